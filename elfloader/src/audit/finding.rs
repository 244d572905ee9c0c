//! The rules of the contract, each with a name, a stable code and what broke it. Codes E0740 to E0769.

use core::fmt;

use shared_abi::addr::{Frame, PhysRange, VirtAddr, VirtRange};
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

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $code:literal $name:literal $variant:ident
        { $($field:ident: $type:ty = $field_doc:literal),+ $(,)? } => $text:literal;)+) => {
        /// A breach of the contract.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Finding {
            $($(#[doc = $doc])+ $variant { $(#[doc = $field_doc] $field: $type),+ },)+
        }

        impl Finding {
            /// How many rules there are.
            pub const RULES: usize = [$($code),+].len();

            /// Number and name of every rule, by number.
            pub const NAMES: [(u16, &'static str); Self::RULES] = [$(($code, $name)),+];

            /// The stable number of the rule.
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$variant { .. } => $code,)+
                }
            }

            /// The stable name of the rule.
            pub const fn rule(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)+
                }
            }
        }

        impl fmt::Display for Finding {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}: ", self.rule())?;
                match self {
                    $(Self::$variant { $($field),+ } => write!(f, $text),)+
                }
            }
        }
    };
}

findings! {
    /// A page can be written and executed.
    740 "write-xor-execute" WritableAndExecutable { span: Span = "The pages." }
        => "{span} is writable and executable";
    /// A frame that can be executed at one address can be written at another.
    741 "writable-alias" WritableAlias {
        phys: PhysRange = "The frames.", executable: u64 = "Where they can be executed.",
        writable: u64 = "Where they can be written.",
    } => "frames {phys} are executable at {executable:#018x} and writable at {writable:#018x}";
    /// The direct map can be executed.
    742 "direct-map-executable" DirectMapExecutable { span: Span = "The pages." }
        => "{span} is executable in the direct map";
    /// The direct map can write what it must not: kernel text, read-only data, RELRO, the resident loader.
    743 "direct-map-writable" DirectMapWritable { span: Span = "The pages." }
        => "{span} is writable in the direct map and must not be";
    /// The direct map shows a place where there is no RAM.
    744 "hole-mapped" HoleMapped { span: Span = "The pages." }
        => "{span} lies in the direct map where there is no RAM";
    /// The direct map shows RAM that it must not show: no-map, unaddressable, of unknown use.
    745 "reserved-mapped" ReservedMapped { span: Span = "The pages.", kind: RegionKind = "What it is used for." }
        => "{span} is {kind} memory and must not be in the direct map";
    /// A guard is mapped.
    746 "guard-mapped" GuardMapped { span: Span = "The pages." } => "{span} lies in a guard";
    /// Something is mapped in a window where nothing ought to be.
    747 "unexpected" Unexpected { span: Span = "The pages." } => "{span} ought not to be mapped";
    /// Something is mapped in no window.
    748 "outside-windows" OutsideWindows { span: Span = "The pages." } => "{span} lies in no window of the contract";
    /// Something that ought to be mapped is not.
    749 "missing" Missing {
        place: Place = "What for.", virt: VirtAddr = "First address.", length: u64 = "Bytes.",
    } => "{virt} + {length:#x} is not mapped: {place}";
    /// A page shows another frame than it ought to.
    750 "wrong-frame" WrongFrame { place: Place = "What for.", span: Span = "The pages.", expected: u64 = "The first frame." }
        => "{span} ought to lead to {expected:#018x}: {place}";
    /// A page has other rights than it ought to.
    751 "wrong-rights" WrongRights {
        place: Place = "What for.", span: Span = "The pages.", found: Rights = "Its rights.", expected: Rights = "The right ones.",
    } => "{span} is {found} and ought to be {expected}: {place}";
    /// A page is of another memory type than it ought to be.
    752 "wrong-memory-type" WrongMemoryType {
        place: Place = "What for.", span: Span = "The pages.", found: MemoryType = "Its type.", expected: MemoryType = "The right one.",
    } => "{span} is {found} and ought to be {expected}: {place}";
    /// `BootInfo` can be written where the kernel reads it.
    753 "boot-info-writable" BootInfoWritable { span: Span = "The pages." } => "{span} holds BootInfo and is writable";
    /// EL0 can read, write or execute a page.
    754 "user-access" UserAccess { span: Span = "The pages." } => "{span} is open to EL0";
    /// AF is clear: the first access would fault.
    755 "access-flag" AccessFlag { span: Span = "The pages." } => "{span} has AF clear";
    /// nG is set: the mapping would belong to one ASID.
    756 "not-global" Global { span: Span = "The pages." } => "{span} is not global";
    /// SH is not inner shareable.
    757 "shareability" Shareability { span: Span = "The pages." } => "{span} is not inner shareable";
    /// AttrIndx names a MAIR entry that the contract leaves unused.
    758 "memory-attribute" MemoryAttribute { span: Span = "The pages." } => "{span} uses an undefined memory attribute";
    /// Device memory can be executed.
    759 "executable-device" ExecutableDevice { span: Span = "The pages." } => "{span} is executable Device memory";
    /// A leaf has bits that the contract leaves zero, or is none.
    760 "leaf-descriptor" LeafDescriptor {
        span: Span = "The pages.", level: u8 = "Its level.", error: DescriptorError = "What is wrong.",
    } => "the level {level} leaf of {span} {error}";
    /// A table descriptor has bits that the contract leaves zero.
    761 "table-descriptor" TableDescriptor {
        virt: VirtAddr = "First address that it translates.", level: u8 = "Level of the table that it leads to.",
        found: Descriptor = "The descriptor.", error: DescriptorError = "What is wrong.",
    } => "the descriptor of the level {level} table for {virt}, {found:?}, {error}";
    /// A table lies outside the regions that the memory map gives to tables.
    762 "table-outside-pool" TableOutside {
        virt: u64 = "First address that it translates.", level: u8 = "Its level.", table: Frame = "Its frame.",
    } => "the level {level} table for {virt:#018x} at frame {table} is not page-table memory";
    /// More tables are linked than the memory map has room for: some are linked twice, or in a ring.
    763 "too-many-tables" TooManyTables { room: u64 = "Frames for tables." }
        => "more than {room} tables are linked: some of them more than once";
    /// A table cannot be read.
    764 "table-unreadable" Unreadable {
        virt: u64 = "First address that it translates.", level: u8 = "Its level.", table: Frame = "Its frame.",
    } => "the level {level} table for {virt:#018x} at frame {table} cannot be read";
    /// TTBR0's root is not empty.
    765 "low-half" LowHalf { index: usize = "The entry.", found: Descriptor = "What it holds." }
        => "entry {index} of the low half's root is {found:?}";
    /// More executable runs than a contract's tables have; those from here on were not compared with writable ones.
    766 "too-many-executable" TooManyExecutable { virt: VirtAddr = "Where the first of them begins." }
        => "executable runs from {virt} on are too many to be checked for writable aliases";
    /// The description of what ought to be mapped contradicts itself: parts overlap or are out of order.
    767 "expectation" Expectation { virt: VirtRange = "The part." } => "the part {virt} overlaps another or is out of order";
}
