//! The kernel's pages in virtual order, and where each comes from.
//!
//! A file page that can be mapped where it lies is not copied. A segment's pages therefore fall into at most
//! four runs, in this order:
//!
//! ```text
//!  │ copied │            in place            │ copied │ zeroed │ built │
//!    file page            file pages that       file     no       the next
//!    wanted by            are this segment's    page     file     segment begins
//!    another                                    shared   bytes    in this page
//! ```
//!
//! Which segment gets a file page that several claim: the executable one, else the read-only one, else the
//! first writable one; segments of the same rights that only read share it. A page that is written, by the
//! kernel, by a relocation or because zeros must follow the file bytes in it (that tail is cleared in place),
//! therefore never shows in another segment; the others' copies are taken before it is written. Relocation
//! tables claim their pages as well, against writable segments only: they are read while pages are written.
//!
//! As with `mmap`, a page in place shows the file's bytes around the segment; the tail that is cleared may
//! have held symbols or section headers, which nothing reads from here on.

use arrayvec::ArrayVec;
use shared_abi::addr::{PAGE, PAGE_SHIFT, VirtRange};
use shared_abi::rights::Rights;

use super::PlanError;
use crate::kernel_elf::{KernelElf, MAX_SEGMENTS, Segment};

/// Most extents of a plan: five for each segment, and two more where RELRO begins and ends.
pub const MAX_EXTENTS: usize = 5 * MAX_SEGMENTS + 2;

/// Where the pages of an extent come from. Offsets are in bytes and multiples of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Mapped where the kernel's file lies, from this offset in the file.
    InPlace(u64),
    /// In the arena from this offset, made of file bytes and zeros.
    Copied(u64),
    /// In the arena from this offset, zeros.
    Zeroed(u64),
}

/// Bytes that an offset of an extent can count: 16 TiB.
pub(super) const MAX_OFFSET: u64 = (u32::MAX as u64) << PAGE_SHIFT;

/// A run of virtual pages with the same rights and consecutive physical pages. Packed: a kernel may have hundreds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub(super) virt: VirtRange,
    /// The page of the file or of the arena where it begins.
    page: u32,
    source: Source,
    pub(super) rights: Rights,
    pub(super) segment: u8,
    pub(super) relocatable: bool,
}

const _: () = assert!(size_of::<Extent>() == 24);

impl Extent {
    /// Where the kernel sees it: whole pages, slide included.
    pub const fn virt(&self) -> VirtRange {
        self.virt
    }

    /// Where it comes from.
    pub const fn origin(&self) -> Origin {
        let offset = (self.page as u64) << PAGE_SHIFT;
        match self.source {
            Source::InPlace => Origin::InPlace(offset),
            Source::Copied => Origin::Copied(offset),
            Source::Zeroed => Origin::Zeroed(offset),
        }
    }

    /// Gives it a place in the arena, unless it is in place: an offset of at most [`MAX_OFFSET`].
    pub(super) const fn set_arena_offset(&mut self, offset: u64) {
        if !matches!(self.source, Source::InPlace) {
            self.page = (offset >> PAGE_SHIFT) as u32;
        }
    }

    /// Its final rights: `p_flags`, but read-only for RELRO.
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Index of the program header of its (first) segment.
    pub const fn segment(&self) -> u8 {
        self.segment
    }

    /// Whether its segment is writable, so that relocations may change it, even if it is RELRO.
    pub const fn is_relocatable(&self) -> bool {
        self.relocatable
    }

    /// Number of pages.
    pub const fn pages(&self) -> u64 {
        self.virt.len() >> PAGE_SHIFT
    }
}

/// How a run of pages is made: [`Origin`] without the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    InPlace,
    Copied,
    Zeroed,
}

/// Makes the extents of a kernel, in ascending order.
pub(super) struct Builder<'a> {
    pub elf: &'a KernelElf<'a>,
    pub slide: u64,
    /// Everything is copied, for one contiguous range.
    pub copy_all: bool,
    pub extents: &'a mut ArrayVec<Extent, MAX_EXTENTS>,
}

impl Builder<'_> {
    /// Makes them all.
    pub fn build(&mut self) -> Result<(), PlanError> {
        let segments = self.elf.segments();
        let mut done = 0;
        for (index, segment) in segments.iter().enumerate() {
            let Some(rights) = segment.rights() else { continue };
            // The first page belongs to the segment before if it begins there.
            let first = segment.first_page().max(done);
            let end = segment.end_page();
            done = end;
            let joint = segments.get(index + 1).is_some_and(|next| next.first_page() < end);
            let own_end = if joint { end - 1 } else { end };
            let (file_first, file_end) = segment.file_pages();
            let file_end = if segment.is_congruent() {
                segment.first_page() + (file_end - file_first)
            } else if segment.file_size() == 0 {
                segment.first_page()
            } else {
                ((segment.file_end() - 1) >> PAGE_SHIFT) + 1
            };
            let copied_end = file_end.clamp(first, own_end.max(first));
            let (in_place, in_place_end) = self.in_place(index, segment, rights, first, copied_end);
            for (source, first, end) in [
                (Source::Copied, first, in_place),
                (Source::InPlace, in_place, in_place_end),
                (Source::Copied, in_place_end, copied_end),
                (Source::Zeroed, copied_end, own_end),
                (Source::Copied, own_end.max(first), end),
            ] {
                self.push(segment, rights, source, first, end)?;
            }
        }
        Ok(())
    }

    /// Of the virtual pages `first..end`, which have file bytes, the run that can lie in place.
    fn in_place(&self, index: usize, segment: &Segment, rights: Rights, first: u64, end: u64) -> (u64, u64) {
        if self.copy_all || !segment.is_congruent() || segment.file_size() == 0 {
            return (first, first);
        }
        let mut run = Run { first, end };
        let (file_first, file_end) = segment.file_pages();
        // Takes file pages away, as far as this segment shows them.
        let mut exclude = |start: u64, end: u64| {
            let (start, end) = (start.max(file_first), end.min(file_end));
            if start < end {
                run.exclude(
                    segment.first_page() + (start - file_first),
                    segment.first_page() + (end - file_first),
                );
            }
        };
        let has_tail = segment.end() > segment.file_end() && segment.file_end() & (PAGE - 1) != 0;
        if has_tail && !rights.is_writable() {
            // Only data is cleared in place: text and constants in the file stay as they were signed off.
            exclude(file_end - 1, file_end);
        }
        for (other_index, other) in self.elf.segments().iter().enumerate() {
            let Some(other_rights) = other.rights().filter(|_| other_index != index) else { continue };
            let (start, end) = other.file_pages();
            let wins = rank(other_rights) > rank(rights)
                || (rights.is_writable() && other_rights.is_writable() && other_index < index);
            if wins {
                exclude(start, end);
            }
        }
        if rights.is_writable() {
            for table in self.elf.relocation_tables().ranges() {
                exclude(table.start >> PAGE_SHIFT, ((table.end - 1) >> PAGE_SHIFT) + 1);
            }
        }
        (run.first, run.end)
    }

    /// Adds the pages `first..end`, split where RELRO begins and ends.
    fn push(
        &mut self,
        segment: &Segment,
        rights: Rights,
        source: Source,
        first: u64,
        end: u64,
    ) -> Result<(), PlanError> {
        if first >= end {
            return Ok(());
        }
        let (relro, relro_end) = self.elf.relro_pages();
        if !rights.is_writable() || relro_end <= first || end <= relro {
            return self.push_run(segment, rights, rights, source, first, end);
        }
        let before = relro.max(first);
        let after = relro_end.min(end);
        self.push_run(segment, rights, rights, source, first, before)?;
        self.push_run(segment, rights, Rights::ReadOnly, source, before, after)?;
        self.push_run(segment, rights, rights, source, after, end)
    }

    #[inline(never)]
    fn push_run(
        &mut self,
        segment: &Segment,
        wanted: Rights,
        rights: Rights,
        source: Source,
        first: u64,
        end: u64,
    ) -> Result<(), PlanError> {
        if first >= end {
            return Ok(());
        }
        let virt = |page: u64| (page << PAGE_SHIFT).wrapping_add(self.slide);
        let too_many = PlanError::TooManyExtents { segment: segment.number() };
        // Of the file, which is no longer than what an offset can count.
        let page = match source {
            Source::InPlace => segment.file_pages().0 + (first - segment.first_page()),
            Source::Copied | Source::Zeroed => 0,
        };
        let extent = Extent {
            virt: VirtRange::from_bounds(virt(first), virt(end)).ok_or(too_many)?,
            page: page as u32,
            source,
            rights,
            segment: segment.number(),
            relocatable: wanted.is_writable(),
        };
        self.extents.try_push(extent).map_err(|_| too_many)
    }
}

/// A run of pages from which parts are taken away.
struct Run {
    first: u64,
    end: u64,
}

impl Run {
    /// Keeps the larger side of what `start..end` leaves.
    fn exclude(&mut self, start: u64, end: u64) {
        if end <= self.first || self.end <= start {
            return;
        }
        let below = start.saturating_sub(self.first);
        let above = self.end.saturating_sub(end);
        if below >= above {
            self.end = self.first + below;
        } else {
            self.first = end;
        }
    }
}

/// Who gets a file page.
const fn rank(rights: Rights) -> u8 {
    match rights {
        Rights::ReadExecute => 2,
        Rights::ReadOnly => 1,
        Rights::ReadWrite => 0,
    }
}
