//! The rules of the contract, each with a name, a stable code and what broke it. Codes E0740 to E0769.

use core::fmt;

use shared_abi::addr::{Frame, PhysRange, VirtAddr, VirtRange};
use shared_abi::errors;
use shared_abi::memory::RegionKind;
use shared_abi::rights::Rights;
use shared_abi::vmsa::{Descriptor, DescriptorError, MemoryType};

use super::expected::Place;

/// Neighbouring pages as found in the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First virtual address.
    pub virt: VirtAddr,
    /// First physical address, as a number: a damaged leaf may name one past all that exist.
    pub phys: u64,
    /// Bytes.
    pub length: u64,
    /// The descriptors without their output addresses.
    pub attributes: Descriptor,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { virt, phys, length, attributes } = self;
        write!(f, "{virt} + {length:#x} to {phys:#018x} (attributes {:#018x})", attributes.bits())
    }
}

errors! {
    /// A breach of the contract.
    pub enum Finding, found by "`handoff audit`, and the tests of the tables";

    /// A page can be written and executed.
    740 "write-xor-execute" WritableAndExecutable { span: Span = "The pages." }
        => "{span} is writable and executable";
        help "map code read-only and executable, data writable and not executable; PXN and UXN, or AP, \
            are wrong";
    /// A frame that can be executed at one address can be written at another.
    741 "writable-alias" WritableAlias {
        phys: PhysRange = "The frames.", executable: u64 = "Where they can be executed.",
        writable: u64 = "Where they can be written.",
    }
        => "frames {phys} are executable at {executable:#018x} and writable at {writable:#018x}";
        help "unmap the writable alias or make it read-only before the frames are made executable";
    /// The direct map can be executed.
    742 "direct-map-executable" DirectMapExecutable { span: Span = "The pages." }
        => "{span} is executable in the direct map";
        help "set PXN and UXN on every leaf of the direct map";
    /// The direct map can write what it must not: kernel text, read-only data, RELRO, the resident loader.
    743 "direct-map-writable" DirectMapWritable { span: Span = "The pages." }
        => "{span} is writable in the direct map and must not be";
        help "make these pages read-only in the direct map (AP = 0b10)";
    /// The direct map shows a place where there is no RAM.
    744 "hole-mapped" HoleMapped { span: Span = "The pages." }
        => "{span} lies in the direct map where there is no RAM";
        help "unmap them: an access would end in an external abort";
    /// The direct map shows RAM that it must not show: no-map, unaddressable, of unknown use.
    745 "reserved-mapped" ReservedMapped {
        span: Span = "The pages.", kind: RegionKind = "What it is used for.",
    }
        => "{span} is {kind} memory and must not be in the direct map";
        help "unmap them: a speculative access to such memory is not allowed";
    /// A guard is mapped.
    746 "guard-mapped" GuardMapped { span: Span = "The pages." }
        => "{span} lies in a guard";
        help "unmap the guard: an overflow has to fault there";
    /// Something is mapped in a window where nothing ought to be.
    747 "unexpected" Unexpected { span: Span = "The pages." }
        => "{span} ought not to be mapped";
        help "unmap it, or describe it in `BootInfo`";
    /// Something is mapped in no window.
    748 "outside-windows" OutsideWindows { span: Span = "The pages." }
        => "{span} lies in no window of the contract";
        help "map only inside the windows of `docs/contract.md`";
    /// Something that ought to be mapped is not.
    749 "missing" Missing {
        place: Place = "What for.", virt: VirtAddr = "First address.", length: u64 = "Bytes.",
    }
        => "{virt} + {length:#x} is not mapped: {place}";
        help "map it before the kernel is entered, or before the dump is taken";
    /// A page shows another frame than it ought to.
    750 "wrong-frame" WrongFrame {
        place: Place = "What for.", span: Span = "The pages.", expected: u64 = "The first frame.",
    }
        => "{span} ought to lead to {expected:#018x}: {place}";
        help "compare the output address of the leaf with the plan (`handoff plan`)";
    /// A page has other rights than it ought to.
    751 "wrong-rights" WrongRights {
        place: Place = "What for.", span: Span = "The pages.", found: Rights = "Its rights.",
        expected: Rights = "The right ones.",
    }
        => "{span} is {found} and ought to be {expected}: {place}";
        help "set AP, PXN and UXN as the expected rights ask";
    /// A page is of another memory type than it ought to be.
    752 "wrong-memory-type" WrongMemoryType {
        place: Place = "What for.", span: Span = "The pages.", found: MemoryType = "Its type.",
        expected: MemoryType = "The right one.",
    }
        => "{span} is {found} and ought to be {expected}: {place}";
        help "set AttrIndx: Normal for RAM, Device-nGnRE for registers";
    /// `BootInfo` can be written where the kernel reads it.
    753 "boot-info-writable" BootInfoWritable { span: Span = "The pages." }
        => "{span} holds BootInfo and is writable";
        help "map `BootInfo` read-only: the kernel trusts it for as long as it runs";
    /// EL0 can read, write or execute a page.
    754 "user-access" UserAccess { span: Span = "The pages." }
        => "{span} is open to EL0";
        help "clear AP[1] and set UXN on pages of the kernel";
    /// AF is clear: the first access would fault.
    755 "access-flag" AccessFlag { span: Span = "The pages." }
        => "{span} has AF clear";
        help "set AF: the contract leaves no access-flag faults to the kernel";
    /// nG is set: the mapping would belong to one ASID.
    756 "not-global" Global { span: Span = "The pages." }
        => "{span} is not global";
        help "clear nG in TTBR1's half: the kernel is the same for every ASID";
    /// SH is not inner shareable.
    757 "shareability" Shareability { span: Span = "The pages." }
        => "{span} is not inner shareable";
        help "set SH to 0b11: other CPUs would see stale data";
    /// AttrIndx names a MAIR entry that the contract leaves unused.
    758 "memory-attribute" MemoryAttribute { span: Span = "The pages." }
        => "{span} uses an undefined memory attribute";
        help "use an index of MAIR_EL1 that the contract defines";
    /// Device memory can be executed.
    759 "executable-device" ExecutableDevice { span: Span = "The pages." }
        => "{span} is executable Device memory";
        help "set PXN and UXN: a speculative fetch could read a register";
    /// A leaf has bits that the contract leaves zero, or is none.
    760 "leaf-descriptor" LeafDescriptor {
        span: Span = "The pages.", level: u8 = "Its level.", error: DescriptorError = "What is wrong.",
    }
        => "the level {level} leaf of {span} {error}";
        help "write leaves with the constructors of `shared_abi::vmsa`";
    /// A table descriptor has bits that the contract leaves zero.
    761 "table-descriptor" TableDescriptor {
        virt: VirtAddr = "First address that it translates.",
        level: u8 = "Level of the table that it leads to.", found: Descriptor = "The descriptor.",
        error: DescriptorError = "What is wrong.",
    }
        => "the descriptor of the level {level} table for {virt}, {found:?}, {error}";
        help "leave the hierarchical attributes of table descriptors zero: rights are in the leaves";
    /// A table lies outside the regions that the memory map gives to tables.
    762 "table-outside-pool" TableOutside {
        virt: u64 = "First address that it translates.", level: u8 = "Its level.",
        table: Frame = "Its frame.",
    }
        => "the level {level} table for {virt:#018x} at frame {table} is not page-table memory";
        help "take tables from memory of kind `page tables`, or add their region to the memory map";
    /// More tables are linked than the memory map has room for: some are linked twice, or in a ring.
    763 "too-many-tables" TooManyTables { room: u64 = "Frames for tables." }
        => "more than {room} tables are linked: some of them more than once";
        help "look for a table that is linked twice: an entry may point back up the tree";
    /// A table cannot be read.
    764 "table-unreadable" Unreadable {
        virt: u64 = "First address that it translates.", level: u8 = "Its level.",
        table: Frame = "Its frame.",
    }
        => "the level {level} table for {virt:#018x} at frame {table} cannot be read";
        help "the dump lacks the frame, or the descriptor above it is damaged";
    /// TTBR0's root is not empty.
    765 "low-half" LowHalf { index: usize = "The entry.", found: Descriptor = "What it holds." }
        => "entry {index} of the low half's root is {found:?}";
        help "point TTBR0_EL1 to a table of zeros before the kernel is entered";
    /// More executable runs than a contract's tables have; those from here on were not compared with writable
    /// ones.
    766 "too-many-executable" TooManyExecutable { virt: VirtAddr = "Where the first of them begins." }
        => "executable runs from {virt} on are too many to be checked for writable aliases";
        help "map code in fewer runs: neighbouring pages with the same rights are one";
    /// The description of what ought to be mapped contradicts itself: parts overlap or are out of order.
    767 "expectation" Expectation { virt: VirtRange = "The part." }
        => "the part {virt} overlaps another or is out of order";
        help "`BootInfo` is damaged, or the dump is not of the machine that it describes";
}
