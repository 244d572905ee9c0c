//! One loadable segment of the kernel, checked.

use core::fmt;

use goblin::elf64::program_header::{PF_R, PF_W, PF_X, ProgramHeader};
use shared_abi::addr::{PAGE, PAGE_SHIFT, VirtRange, align_up};
use shared_abi::rights::Rights;

use super::error::KernelElfError;
use super::file::check_file_range;

/// A `PT_LOAD` with bytes in memory. What holds of every value:
///
/// - its memory is a range inside one half of the virtual address space, and so are the pages it touches;
/// - its bytes in the file lie inside the file and are no more than those in memory;
/// - it is not both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    virt: VirtRange,
    offset: u64,
    file_size: u64,
    rights: Option<Rights>,
    alignment_shift: u8,
    number: u8,
}

impl Segment {
    /// Checks the program header at index `number` of a file of `file_length` bytes. `None` if the segment has
    /// no byte in memory: there is nothing to load then.
    pub(super) fn new(
        header: &ProgramHeader,
        number: u8,
        file_length: u64,
    ) -> Result<Option<Self>, KernelElfError> {
        if header.p_filesz > header.p_memsz {
            return Err(KernelElfError::FileLargerThanMemory {
                segment: number,
                file: header.p_filesz,
                memory: header.p_memsz,
            });
        }
        check_file_range(number, header, file_length)?;
        if header.p_memsz == 0 {
            return Ok(None);
        }
        if header.p_flags & (PF_W | PF_X) == PF_W | PF_X {
            return Err(KernelElfError::WritableAndExecutable { segment: number, flags: header.p_flags });
        }
        // The gABI allows 0 and 1 for "none"; all else is a power of two.
        let alignment = header.p_align.max(1);
        if !alignment.is_power_of_two() {
            return Err(KernelElfError::Alignment { segment: number, alignment });
        }
        let Some(end) =
            header.p_vaddr.checked_add(header.p_memsz).filter(|&end| align_up(end, PAGE).is_some())
        else {
            return Err(KernelElfError::Wraps {
                segment: number,
                start: header.p_vaddr,
                length: header.p_memsz,
            });
        };
        let Some(virt) = VirtRange::from_bounds(header.p_vaddr, end) else {
            return Err(KernelElfError::NonCanonical { segment: number, start: header.p_vaddr, end });
        };
        let rights = match header.p_flags & (PF_R | PF_W | PF_X) {
            0 => None,
            flags => Rights::from_segment_flags(flags),
        };
        Ok(Some(Self {
            virt,
            offset: header.p_offset,
            file_size: header.p_filesz,
            rights,
            alignment_shift: alignment.trailing_zeros() as u8,
            number,
        }))
    }

    /// Index of its program header.
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// Link-time addresses of its bytes in memory.
    pub const fn virt(&self) -> VirtRange {
        self.virt
    }

    /// First link-time address.
    pub const fn start(&self) -> u64 {
        self.virt.start().get()
    }

    /// First link-time address past the segment.
    pub const fn end(&self) -> u64 {
        self.virt.end()
    }

    /// First link-time address that has no byte in the file.
    pub const fn file_end(&self) -> u64 {
        self.start() + self.file_size
    }

    /// Where its bytes begin in the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that it has in the file.
    pub const fn file_size(&self) -> u64 {
        self.file_size
    }

    /// `p_flags`; `None` for a segment that only keeps addresses free: nothing is mapped there.
    pub const fn rights(&self) -> Option<Rights> {
        self.rights
    }

    /// `p_align`, at least 1.
    pub const fn alignment(&self) -> u64 {
        1 << self.alignment_shift
    }

    /// Number of the first virtual page (link-time address / 4 KiB).
    pub const fn first_page(&self) -> u64 {
        self.start() >> PAGE_SHIFT
    }

    /// Number of the first virtual page past the segment.
    pub const fn end_page(&self) -> u64 {
        // `new` made sure that rounding up does not wrap.
        ((self.end() - 1) >> PAGE_SHIFT) + 1
    }

    /// Numbers of the file pages that hold its bytes, half-open; both the same without any.
    pub const fn file_pages(&self) -> (u64, u64) {
        let first = self.offset >> PAGE_SHIFT;
        let end =
            if self.file_size == 0 { first } else { ((self.offset + self.file_size - 1) >> PAGE_SHIFT) + 1 };
        (first, end)
    }

    /// Whether file offset and address agree modulo 4 KiB, so that file pages can be mapped as they lie.
    pub const fn is_congruent(&self) -> bool {
        (self.offset ^ self.start()) & (PAGE - 1) == 0
    }

    /// File offset of the byte at a link-time address; `None` if it has none in the file.
    pub const fn file_offset(&self, address: u64) -> Option<u64> {
        if self.start() <= address && address < self.file_end() {
            Some(self.offset + (address - self.start()))
        } else {
            None
        }
    }

    /// Whether `length` bytes from a link-time address all lie in the segment's file bytes.
    pub const fn holds_in_file(&self, address: u64, length: u64) -> bool {
        self.start() <= address && address <= self.file_end() && length <= self.file_end() - address
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} ({})", self.number, self.virt)
    }
}
