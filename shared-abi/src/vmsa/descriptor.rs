//! One translation table descriptor: 64 bits, encoded from and decoded to [`Attributes`].
//!
//! The one-bit fields are flags. AP, SH and AttrIndx are values of two and three bits, so they are typed fields
//! with accessors: asking whether a flag of theirs "is contained" would be a wrong question. Sources: Arm ARM
//! D8.3 (descriptor formats), D8.4 (AP, UXN, PXN), D8.5 (AttrIndx, SH, AF, nG).

use bitflags::bitflags;
use core::fmt;

use super::attributes::{Attributes, MemoryType, Privilege};
use crate::addr::{Frame, PageSize, PhysAddr};
use crate::rights::Rights;

bitflags! {
    /// A translation table descriptor. Any 64 bits are one: what they mean is asked of the decoders.
    #[repr(transparent)]
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Descriptor: u64 {
        /// Bit 0: the walk goes on, or ends in a mapping.
        const VALID = 1 << 0;
        /// Bit 1: at level 3 a page, above it a table.
        const TABLE_OR_PAGE = 1 << 1;
        /// Bit 10, AF: clear, the first access faults. Always set: hardware management is off.
        const ACCESSED = 1 << 10;
        /// Bit 11, nG: TLB entries match one ASID only.
        const NOT_GLOBAL = 1 << 11;
        /// Bit 53, PXN: EL1 cannot execute it.
        const PRIVILEGED_EXECUTE_NEVER = 1 << 53;
        /// Bit 54, UXN: EL0 cannot execute it.
        const USER_EXECUTE_NEVER = 1 << 54;
        // Every bit is a known one, or the address field would be dropped in silence.
        const _ = !0;
    }
}

/// AP[2:1], bits 7 and 6: who may load and store (Arm ARM D8.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AccessPermission {
    /// EL1 reads and writes.
    KernelReadWrite = 0b00,
    /// EL1 and EL0 read and write.
    ReadWrite = 0b01,
    /// EL1 reads.
    KernelReadOnly = 0b10,
    /// EL1 and EL0 read.
    ReadOnly = 0b11,
}

/// SH, bits 9 and 8: the shareability domain of Normal cacheable memory (Arm ARM D8.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Shareability {
    /// Non-shareable.
    Non = 0b00,
    /// The reserved encoding.
    Reserved = 0b01,
    /// Outer shareable.
    Outer = 0b10,
    /// Inner shareable: what every mapping of the contract is.
    Inner = 0b11,
}

const ATTRIBUTE_INDEX_SHIFT: u32 = 2;
const ACCESS_PERMISSION_SHIFT: u32 = 6;
const SHAREABILITY_SHIFT: u32 = 8;

const ATTRIBUTE_INDEX_MASK: u64 = 0b111 << ATTRIBUTE_INDEX_SHIFT;
const ACCESS_PERMISSION_MASK: u64 = 0b11 << ACCESS_PERMISSION_SHIFT;
const SHAREABILITY_MASK: u64 = 0b11 << SHAREABILITY_SHIFT;

/// Bits 47 to 12: output address of a page, or of the next table.
const ADDRESS_MASK: u64 = (PhysAddr::LIMIT - 1) & !0xFFF;

/// AP[1]: EL0 has access.
const USER: u64 = 0b01 << ACCESS_PERMISSION_SHIFT;

/// The bits that say rights, for a mapping whose privilege stays.
const RIGHTS_MASK: u64 = 0b10 << ACCESS_PERMISSION_SHIFT
    | Descriptor::PRIVILEGED_EXECUTE_NEVER.bits()
    | Descriptor::USER_EXECUTE_NEVER.bits();

/// Every bit of a leaf that this format gives a meaning.
const LEAF_MASK: u64 = Descriptor::VALID.bits()
    | Descriptor::TABLE_OR_PAGE.bits()
    | ATTRIBUTE_INDEX_MASK
    | ACCESS_PERMISSION_MASK
    | SHAREABILITY_MASK
    | Descriptor::ACCESSED.bits()
    | Descriptor::NOT_GLOBAL.bits()
    | ADDRESS_MASK
    | Descriptor::PRIVILEGED_EXECUTE_NEVER.bits()
    | Descriptor::USER_EXECUTE_NEVER.bits();

/// Why a descriptor is none that the contract's encoder writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescriptorError {
    /// Bit 0 is clear.
    Invalid,
    /// A leaf where the format has none: a block at level 0, or bit 1 clear at level 3.
    NotALeaf {
        /// Translation level, 0 to 3.
        level: u8,
    },
    /// A leaf, or a level 3 descriptor, where a table is wanted.
    NotATable,
    /// AF is clear: the first access would fault.
    AccessFlagClear,
    /// SH is not inner shareable.
    Shareability(Shareability),
    /// AttrIndx names one of the MAIR entries that the contract leaves unused.
    AttributeIndex(u8),
    /// Writable and executable by the same level, or executable by the wrong one.
    Execute {
        /// AP as found.
        access: AccessPermission,
        /// PXN as found.
        privileged_execute_never: bool,
        /// UXN as found.
        user_execute_never: bool,
    },
    /// Device memory that can be executed.
    ExecutableDevice(MemoryType),
    /// nG disagrees with AP[1]: a kernel mapping that is not global, or a user mapping that is.
    Global {
        /// nG as found.
        not_global: bool,
    },
    /// The output address is not a multiple of the block's size.
    Address(PhysAddr),
    /// Bits are set that the format leaves zero.
    UnknownBits(u64),
}

impl Descriptor {
    /// The descriptor of nothing.
    pub const INVALID: Self = Self::empty();

    /// A table descriptor for the next level. Hierarchical attributes (bits 63 to 59) stay zero: rights are said
    /// in one place, the leaf.
    pub const fn table(next: Frame) -> Self {
        Self::from_bits_retain(next.start().get()).union(Self::VALID).union(Self::TABLE_OR_PAGE)
    }

    /// The leaf that maps `size` bytes at `phys`; `None` if `phys` is not aligned to them.
    pub const fn leaf(phys: PhysAddr, size: PageSize, attributes: Attributes) -> Option<Self> {
        if !phys.is_aligned(size) {
            return None;
        }
        Some(Self::from_bits_retain(phys.get()).union(Self::leaf_attributes(size, attributes)))
    }

    /// All of a leaf but the output address.
    pub const fn leaf_attributes(size: PageSize, attributes: Attributes) -> Self {
        let mut flags = Self::VALID
            .union(Self::ACCESSED)
            .union(Self::attribute_index_bits(attributes.memory()))
            .union(Self::shareability_bits(Shareability::Inner))
            .union(Self::rights_bits(attributes.rights(), attributes.privilege()));
        if matches!(size, PageSize::Size4K) {
            flags = flags.union(Self::TABLE_OR_PAGE);
        }
        if !attributes.is_global() {
            flags = flags.union(Self::NOT_GLOBAL);
        }
        flags
    }

    const fn attribute_index_bits(memory: MemoryType) -> Self {
        Self::from_bits_retain((memory.index() as u64) << ATTRIBUTE_INDEX_SHIFT)
    }

    const fn shareability_bits(shareability: Shareability) -> Self {
        Self::from_bits_retain((shareability as u64) << SHAREABILITY_SHIFT)
    }

    const fn rights_bits(rights: Rights, privilege: Privilege) -> Self {
        let access = match (privilege, rights.is_writable()) {
            (Privilege::Kernel, true) => AccessPermission::KernelReadWrite,
            (Privilege::Kernel, false) => AccessPermission::KernelReadOnly,
            (Privilege::User, true) => AccessPermission::ReadWrite,
            (Privilege::User, false) => AccessPermission::ReadOnly,
        };
        let never = match (privilege, rights.is_executable()) {
            (Privilege::Kernel, true) => Self::USER_EXECUTE_NEVER,
            (Privilege::User, true) => Self::PRIVILEGED_EXECUTE_NEVER,
            (_, false) => Self::PRIVILEGED_EXECUTE_NEVER.union(Self::USER_EXECUTE_NEVER),
        };
        Self::from_bits_retain((access as u64) << ACCESS_PERMISSION_SHIFT).union(never)
    }

    /// Whether the walk does not end here in a translation fault.
    pub const fn is_valid(self) -> bool {
        self.contains(Self::VALID)
    }

    /// Whether a walk at `level` goes on to another table. Bit 1 says table only above level 3.
    pub const fn is_table(self, level: u8) -> bool {
        level < 3 && self.contains(Self::VALID.union(Self::TABLE_OR_PAGE))
    }

    /// AP[2:1].
    pub const fn access_permission(self) -> AccessPermission {
        match self.bits() >> ACCESS_PERMISSION_SHIFT & 0b11 {
            0b00 => AccessPermission::KernelReadWrite,
            0b01 => AccessPermission::ReadWrite,
            0b10 => AccessPermission::KernelReadOnly,
            _ => AccessPermission::ReadOnly,
        }
    }

    /// SH.
    pub const fn shareability(self) -> Shareability {
        match self.bits() >> SHAREABILITY_SHIFT & 0b11 {
            0b00 => Shareability::Non,
            0b01 => Shareability::Reserved,
            0b10 => Shareability::Outer,
            _ => Shareability::Inner,
        }
    }

    /// AttrIndx, 0 to 7.
    pub const fn attribute_index(self) -> u8 {
        (self.bits() >> ATTRIBUTE_INDEX_SHIFT & 0b111) as u8
    }

    /// Bits 47 to 12 as an address: the frame of the next table or of a page, or the start of a block.
    pub const fn address(self) -> PhysAddr {
        PhysAddr::from_field(self.bits() & ADDRESS_MASK)
    }

    /// The descriptor without its output address: equal for leaves that differ in place alone.
    pub const fn without_address(self) -> Self {
        Self::from_bits_retain(self.bits() & !ADDRESS_MASK)
    }

    /// The next table's frame.
    ///
    /// # Errors
    /// [`DescriptorError`] if this is no table descriptor or carries bits that the contract leaves zero.
    pub const fn decode_table(self, level: u8) -> Result<Frame, DescriptorError> {
        if !self.is_valid() {
            return Err(DescriptorError::Invalid);
        }
        if !self.is_table(level) {
            return Err(DescriptorError::NotATable);
        }
        match self.without_address().difference(Self::VALID.union(Self::TABLE_OR_PAGE)).bits() {
            0 => Ok(self.address().frame()),
            bits => Err(DescriptorError::UnknownBits(bits)),
        }
    }

    /// What a leaf at `level` maps: where, how much, and as what.
    ///
    /// # Errors
    /// [`DescriptorError`] for anything but the exact bits that [`Descriptor::leaf`] writes.
    pub const fn decode_leaf(self, level: u8) -> Result<(PhysAddr, PageSize, Attributes), DescriptorError> {
        if !self.is_valid() {
            return Err(DescriptorError::Invalid);
        }
        let size = match (level, self.contains(Self::TABLE_OR_PAGE)) {
            (1, false) => PageSize::Size1G,
            (2, false) => PageSize::Size2M,
            (3, true) => PageSize::Size4K,
            _ => return Err(DescriptorError::NotALeaf { level }),
        };
        if self.bits() & !LEAF_MASK != 0 {
            return Err(DescriptorError::UnknownBits(self.bits() & !LEAF_MASK));
        }
        if !self.address().is_aligned(size) {
            return Err(DescriptorError::Address(self.address()));
        }
        match self.decode_attributes() {
            Ok(attributes) => Ok((self.address(), size, attributes)),
            Err(error) => Err(error),
        }
    }

    const fn decode_attributes(self) -> Result<Attributes, DescriptorError> {
        if !self.contains(Self::ACCESSED) {
            return Err(DescriptorError::AccessFlagClear);
        }
        match self.shareability() {
            Shareability::Inner => {}
            other => return Err(DescriptorError::Shareability(other)),
        }
        let Some(memory) = MemoryType::from_index(self.attribute_index()) else {
            return Err(DescriptorError::AttributeIndex(self.attribute_index()));
        };
        let access = self.access_permission();
        let privileged_execute_never = self.contains(Self::PRIVILEGED_EXECUTE_NEVER);
        let user_execute_never = self.contains(Self::USER_EXECUTE_NEVER);
        let (privilege, rights) = match (access, privileged_execute_never, user_execute_never) {
            (AccessPermission::KernelReadOnly, true, true) => (Privilege::Kernel, Rights::ReadOnly),
            (AccessPermission::KernelReadWrite, true, true) => (Privilege::Kernel, Rights::ReadWrite),
            (AccessPermission::KernelReadOnly, false, true) => (Privilege::Kernel, Rights::ReadExecute),
            (AccessPermission::ReadOnly, true, true) => (Privilege::User, Rights::ReadOnly),
            (AccessPermission::ReadWrite, true, true) => (Privilege::User, Rights::ReadWrite),
            (AccessPermission::ReadOnly, true, false) => (Privilege::User, Rights::ReadExecute),
            _ => {
                return Err(DescriptorError::Execute {
                    access,
                    privileged_execute_never,
                    user_execute_never,
                });
            }
        };
        let not_global = self.contains(Self::NOT_GLOBAL);
        if not_global != matches!(privilege, Privilege::User) {
            return Err(DescriptorError::Global { not_global });
        }
        match Attributes::new(memory, rights, privilege) {
            Some(attributes) => Ok(attributes),
            None => Err(DescriptorError::ExecutableDevice(memory)),
        }
    }

    /// The same leaf with other rights; `None` if that would make Device memory executable. Whose mapping it is,
    /// its memory type and its address stay: a change that needs no break-before-make (Arm ARM D8.16.1).
    pub const fn with_rights(self, rights: Rights) -> Option<Self> {
        if rights.is_executable() {
            match MemoryType::from_index(self.attribute_index()) {
                Some(memory) if !memory.is_device() => {}
                _ => return None,
            }
        }
        Some(RightsChange::to(rights).apply(self))
    }
}

/// The bits of other rights, worked out once for many leaves.
#[derive(Clone, Copy)]
pub(crate) struct RightsChange {
    kernel: u64,
    user: u64,
}

impl RightsChange {
    pub(crate) const fn to(rights: Rights) -> Self {
        Self {
            kernel: Descriptor::rights_bits(rights, Privilege::Kernel).bits(),
            user: Descriptor::rights_bits(rights, Privilege::User).bits(),
        }
    }

    /// The leaf with those rights. Whether it may have them is not asked here.
    #[inline]
    pub(crate) const fn apply(self, leaf: Descriptor) -> Descriptor {
        // AP[1] says whose the mapping is, and is part of both sets of bits alike.
        let is_user = leaf.bits() & USER != 0;
        let rights = if is_user { self.user } else { self.kernel };
        Descriptor::from_bits_retain(leaf.bits() & !RIGHTS_MASK | rights)
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({:#018x})", self.bits())
    }
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Invalid => f.write_str("is not valid"),
            Self::NotALeaf { level } => write!(f, "is no leaf at level {level}"),
            Self::NotATable => f.write_str("is no table"),
            Self::AccessFlagClear => f.write_str("has AF clear"),
            Self::Shareability(found) => write!(f, "has SH {:#x}, not inner shareable", found as u8),
            Self::AttributeIndex(index) => write!(f, "has AttrIndx {index}, which MAIR leaves unused"),
            Self::Execute { access, privileged_execute_never, user_execute_never } => write!(
                f,
                "has AP {:#x}, PXN {}, UXN {}, which the contract does not allow together",
                access as u8, privileged_execute_never as u8, user_execute_never as u8
            ),
            Self::ExecutableDevice(memory) => write!(f, "makes {memory} memory executable"),
            Self::Global { not_global } => write!(f, "has nG {} against its AP[1]", not_global as u8),
            Self::Address(address) => write!(f, "has output address {address} inside its block size"),
            Self::UnknownBits(bits) => write!(f, "has bits {bits:#018x} set, which the contract leaves zero"),
        }
    }
}
