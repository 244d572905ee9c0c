//! What may be done with a mapping: write and execute together cannot be said.
//!
//! Everything that is mapped can be read. The kernel's segments, the memory map's regions and the page tables
//! all speak of access in these three words, so a mapping that is both writable and executable has no
//! spelling anywhere in the project. The numbers are ABI: `BootInfo` records them per extent.

use core::fmt;

/// Rights of a mapping. Reading is always allowed; writing and executing exclude each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Rights {
    /// Read only, `r--`.
    ReadOnly = 1,
    /// Read and write, `rw-`.
    ReadWrite = 2,
    /// Read and execute, `r-x`.
    ReadExecute = 3,
}

impl Rights {
    /// All rights, by number.
    pub const ALL: [Self; 3] = [Self::ReadOnly, Self::ReadWrite, Self::ReadExecute];

    /// The number that `BootInfo` and the plan record. Zero stays free for "none".
    pub const fn to_u32(self) -> u32 {
        self as u32
    }

    /// The rights of a recorded number; `None` for one that this version does not know.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::ReadOnly),
            2 => Some(Self::ReadWrite),
            3 => Some(Self::ReadExecute),
            _ => None,
        }
    }

    /// The rights that a segment's `p_flags` ask for (ELF gABI: `PF_X` = 1, `PF_W` = 2, `PF_R` = 4); `None` if
    /// they ask for writing and executing together. Bits above the three are the caller's to judge. Execute or
    /// write without read also grants reading: the architecture has no kernel mapping without it.
    pub const fn from_segment_flags(p_flags: u32) -> Option<Self> {
        match p_flags & 0b011 {
            0b00 => Some(Self::ReadOnly),
            0b10 => Some(Self::ReadWrite),
            0b01 => Some(Self::ReadExecute),
            _ => None,
        }
    }

    /// Whether a store is allowed.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::ReadWrite)
    }

    /// Whether an instruction fetch is allowed.
    pub const fn is_executable(self) -> bool {
        matches!(self, Self::ReadExecute)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ReadOnly => "r--",
            Self::ReadWrite => "rw-",
            Self::ReadExecute => "r-x",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_unknown_ones_are_refused() {
        for rights in Rights::ALL {
            assert_eq!(Rights::from_u32(rights.to_u32()), Some(rights));
        }
        assert_eq!(Rights::ALL.map(Rights::to_u32), [1, 2, 3]);
        assert_eq!([0, 4, u32::MAX].map(Rights::from_u32), [None; 3]);
    }

    #[test]
    fn segment_flags_that_ask_for_write_and_execute_have_no_rights() {
        assert_eq!(Rights::from_segment_flags(0b100), Some(Rights::ReadOnly));
        assert_eq!(Rights::from_segment_flags(0b110), Some(Rights::ReadWrite));
        assert_eq!(Rights::from_segment_flags(0b101), Some(Rights::ReadExecute));
        assert_eq!(Rights::from_segment_flags(0b111), None);
        assert_eq!(Rights::from_segment_flags(0b011), None);
    }

    #[test]
    fn no_rights_are_both_writable_and_executable() {
        assert!(Rights::ALL.iter().all(|rights| !(rights.is_writable() && rights.is_executable())));
        assert_eq!(Rights::ALL.map(|rights| rights.to_string()), ["r--", "rw-", "r-x"]);
    }
}
