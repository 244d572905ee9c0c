//! The stages of a boot by name: what the timeline and the fault reporter call them.

/// A stage of the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The entry code.
    Enter,
    /// The image is opened.
    ReadImage,
    /// The machine is described.
    ReadTree,
    /// All memory gets its use.
    MapMemory,
    /// Digests and ELF file are checked.
    ReadKernel,
    /// All places are decided.
    Plan,
    /// The kernel's pages are written.
    Load,
    /// The kernel is mapped.
    BuildTables,
    /// The facts are written.
    WriteBootInfo,
    /// The last of the loader.
    EnterKernel,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = Self::NAMES.len();

    /// The names, in order. Each completes "it was to …".
    pub const NAMES: [&str; Self::EnterKernel as usize + 1] = [
        "enter",
        "read the image",
        "read the device tree",
        "map the memory",
        "read the kernel",
        "plan",
        "load",
        "build the tables",
        "write BootInfo",
        "enter the kernel",
    ];

    /// Bytes of all names.
    pub const NAMES_LENGTH: usize = {
        let (mut length, mut stage) = (0, 0);
        while stage < Self::COUNT {
            length += Self::NAMES[stage].len();
            stage += 1;
        }
        length
    };

    /// Its name.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
