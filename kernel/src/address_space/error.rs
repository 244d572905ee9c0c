//! Why an operation on an address space was refused. Nothing has been changed then.

use crate::frames::FrameError;
use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::errors;
use shared_abi::page_table::TableError;

errors! {
    /// A refusal, with the offending numbers.
    pub enum SpaceError, found by "the kernel's and user address spaces";

    use Table(TableError): "The tables refuse, or there is no memory for more of them.";
    use Frames(FrameError): "There is no memory to map, or it cannot be given back.";

    /// A range is empty or not where the operation may work.
    941 Outside { range: VirtRange = "The range given.", window: VirtRange = "Where it has to lie." }
        => "{range} is empty or not inside {window}";
        help "use the kernel's window for its own memory, and addresses outside of it for borrowed memory";
    /// User memory would hold the null page.
    942 NullPage { range: VirtRange = "The range given." }
        => "{range} holds the null page";
        help "begin user memory at 4 KiB (0x1000)";
    /// The kernel runs on what was to be unmapped or split.
    943 Pinned {
        range: VirtRange = "The range given.", pinned: VirtRange = "The pinned range that it touches.",
    }
        => "{range} touches {pinned}, which the kernel runs on";
        help "let the kernel leave the range first, then `unpin` it";
    /// Too many ranges are pinned.
    944 TooManyPinned { range: VirtRange = "The range given." }
        => "{range} cannot be pinned: too many ranges are";
        help "pin fewer, larger ranges";
    /// A CPU runs in the space.
    945 Active { cpu: usize = "The CPU's number." }
        => "CPU {cpu:#x} runs in the address space";
        help "let the CPU leave the space first";
    /// There is no such CPU.
    946 NoSuchCpu { cpu: usize = "The number given." }
        => "there is no CPU {cpu:#x}";
        help "give a number below that for which `Asids` was made";
    /// CPUs run with every ASID.
    947 NoAsid
        => "every ASID is in use";
        help "use fewer than 255 CPUs";
    /// A block is not aligned to its size there.
    948 Misaligned { at: VirtAddr = "The address.", size: u64 = "The block's size in bytes." }
        => "{at} is not a multiple of {size:#x}";
        help "map it at a multiple of its size";
}
