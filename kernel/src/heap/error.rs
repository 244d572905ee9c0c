//! What can go wrong in the heap, with the sizes and addresses that say why.

use shared_abi::errors;

errors! {
    /// An allocation that could not be served, or a block that could not be taken back.
    pub enum HeapError, found by "the heap";

    /// The heap found no memory, even after a trim.
    921 Exhausted {
        size: usize = "Bytes asked for.", align: usize = "Their alignment.",
        mapped: usize = "Bytes that the heap has mapped.",
        free: u64 = "Bytes of frames that were free when mapping more was refused.",
    }
        => "the heap cannot get {size:#x} bytes aligned to {align:#x}: {mapped:#x} are mapped, {free:#x} \
            bytes of frames are free";
        help "free memory, or give the machine more RAM";
    /// More than the heap's window ever holds.
    922 TooLarge {
        size: usize = "Bytes asked for.", align: usize = "Their alignment.",
        window: usize = "Bytes of the window that large blocks share.",
    }
        => "{size:#x} bytes aligned to {align:#x} do not fit the heap's window of {window:#x} bytes";
        help "ask for less, or start the heap in a larger window";
    /// The window is too small, or the heap was started before.
    923 CannotStart { window: u64 = "Bytes of the window." }
        => "the heap cannot start in a window of {window:#x} bytes, or has been started";
        help "start the heap once, in the window that `BootInfo` announces";
    /// No block begins at the address, or it was freed. Of blocks up to 64 KiB only the checking mode notices it.
    924 NotABlock { address: usize = "The address." }
        => "no block of the heap begins at {address:#018x}";
        help "look for a foreign pointer or a double free";
    /// A block is given back with another size than it has. Of blocks up to 64 KiB only the checking mode notices it.
    925 WrongSize {
        address: usize = "The block.", allocated: usize = "Bytes that it was allocated with.",
        given: usize = "Bytes that were given with it now.",
    }
        => "block {address:#018x} was allocated with {allocated:#x} bytes and given back as {given:#x}";
        help "give the layout that the block was allocated with";
    /// A block was freed twice (checking mode).
    926 DoubleFree { address: usize = "The block.", size: usize = "Bytes that it was allocated with." }
        => "block {address:#018x} of {size:#x} bytes was freed twice";
        help "look for the second of the two that free the block";
    /// Bytes next to a block were overwritten (checking mode).
    927 RedZone {
        address: usize = "The block.", size: usize = "Bytes that it was allocated with.",
        damaged: usize = "The first damaged byte.",
    }
        => "block {address:#018x} of {size:#x} bytes was left: byte {damaged:#018x} is overwritten";
        help "look for who writes past the end of the block";
    /// A freed block was written to (checking mode).
    928 WriteAfterFree {
        address: usize = "The block.", size: usize = "Bytes that it was allocated with.",
        damaged: usize = "The first damaged byte.",
    }
        => "block {address:#018x} of {size:#x} bytes was written to after it was freed, at {damaged:#018x}";
        help "look for who kept a pointer to the block";
    /// The heap was asked before it was started.
    929 NotStarted { size: usize = "Bytes asked for." }
        => "{size:#x} bytes were asked of the heap before it was started";
        help "call `memory::start` first";
}
