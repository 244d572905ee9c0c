//! What a mapping is: memory type, rights, and whose it is.
//!
//! A value can only be made of a combination that the contract knows: nothing is writable and executable
//! ([`Rights`] cannot say it) and Device memory is never executable (the constructor refuses it: a fetch from
//! it may have side effects, Arm ARM B2.10). Global or not follows from whose the mapping is: kernel mappings
//! are the same in every address space, user mappings belong to one ASID.

use core::fmt;

use crate::rights::Rights;

/// Memory type, by the fixed index into MAIR_EL1 (the contract's `MAIR_EL1` gives the attribute bytes).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum MemoryType {
    /// Normal, inner and outer write-back, read- and write-allocate: all RAM.
    WriteBack = 0,
    /// Device, no gathering, no reordering, early write acknowledgement: most MMIO, the console.
    DeviceNGnRE = 1,
    /// Normal, inner and outer non-cacheable: buffers shared with devices that do not snoop.
    NonCacheable = 2,
    /// Device, no gathering, no reordering, no early write acknowledgement: the strictest MMIO.
    DeviceNGnRnE = 3,
}

impl MemoryType {
    /// All types, by index.
    pub const ALL: [Self; 4] = [Self::WriteBack, Self::DeviceNGnRE, Self::NonCacheable, Self::DeviceNGnRnE];

    /// The type at a MAIR index; `None` for the four indices that the contract leaves unused.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::WriteBack),
            1 => Some(Self::DeviceNGnRE),
            2 => Some(Self::NonCacheable),
            3 => Some(Self::DeviceNGnRnE),
            _ => None,
        }
    }

    /// The index into MAIR_EL1.
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// Whether accesses are to Device memory.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::DeviceNGnRE | Self::DeviceNGnRnE)
    }
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WriteBack => "write-back",
            Self::DeviceNGnRE => "device-nGnRE",
            Self::NonCacheable => "non-cacheable",
            Self::DeviceNGnRnE => "device-nGnRnE",
        })
    }
}

/// Whose a mapping is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Privilege {
    /// EL1 alone; the same in every address space.
    Kernel,
    /// EL0 has the rights, EL1 can read and write as they say but never executes it; one address space's own.
    User,
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::User => "user",
        })
    }
}

/// The attributes of a mapping. Holding one proves that it is not executable Device memory and not W+X.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attributes {
    memory: MemoryType,
    rights: Rights,
    privilege: Privilege,
}

impl Attributes {
    /// The console and its like: Device-nGnRE, read and write, the kernel's.
    pub const KERNEL_DEVICE: Self =
        Self { memory: MemoryType::DeviceNGnRE, rights: Rights::ReadWrite, privilege: Privilege::Kernel };

    /// The combination; `None` for executable Device memory.
    pub const fn new(memory: MemoryType, rights: Rights, privilege: Privilege) -> Option<Self> {
        if memory.is_device() && rights.is_executable() {
            None
        } else {
            Some(Self { memory, rights, privilege })
        }
    }

    /// Write-back RAM of the kernel.
    pub const fn kernel(rights: Rights) -> Self {
        Self { memory: MemoryType::WriteBack, rights, privilege: Privilege::Kernel }
    }

    /// Write-back RAM of a user space.
    pub const fn user(rights: Rights) -> Self {
        Self { memory: MemoryType::WriteBack, rights, privilege: Privilege::User }
    }

    /// The same mapping with other rights; `None` for executable Device memory.
    pub const fn with_rights(self, rights: Rights) -> Option<Self> {
        Self::new(self.memory, rights, self.privilege)
    }

    /// Memory type.
    pub const fn memory(self) -> MemoryType {
        self.memory
    }

    /// Rights.
    pub const fn rights(self) -> Rights {
        self.rights
    }

    /// Whose it is.
    pub const fn privilege(self) -> Privilege {
        self.privilege
    }

    /// Whether TLB entries of the mapping match every ASID.
    pub const fn is_global(self) -> bool {
        matches!(self.privilege, Privilege::Kernel)
    }
}

impl fmt::Display for Attributes {
    /// `kernel r-x write-back`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.privilege, self.rights, self.memory)
    }
}
