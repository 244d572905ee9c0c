//! How the pages that are not in place get their contents.
//!
//! Every byte of the arena that belongs to the image is written exactly once: a copy of file bytes, or zeros.
//! After that, and only then, the tails of data pages in place are cleared: a copy may still have been taken
//! from the same page.

use shared_abi::addr::{PAGE, PhysAddr, align_up};

use super::PlacedPlan;
use super::extent::{Extent, Origin};
use super::offset::offset_from;
use crate::kernel_elf::Segment;

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Bytes of the kernel's file go to memory.
    Copy {
        /// Offset in the file.
        from: u64,
        /// Where to.
        to: PhysAddr,
        /// Bytes.
        length: u64,
    },
    /// Memory becomes zero.
    Zero {
        /// Where.
        to: PhysAddr,
        /// Bytes.
        length: u64,
    },
}

impl PlacedPlan<'_> {
    /// Walks the work, in the order in which it must be done. Relocation comes after it.
    pub fn fill(&self, mut each: impl FnMut(Fill)) {
        for extent in self.plan().extents() {
            let to = self.phys(extent);
            match extent.origin() {
                Origin::InPlace(_) => {}
                Origin::Zeroed(_) => each(Fill::Zero { to, length: extent.virt().len() }),
                Origin::Copied(_) => self.build(extent, to, &mut each),
            }
        }
        for extent in self.plan().extents() {
            if let Origin::InPlace(_) = extent.origin() {
                self.clear_tail(extent, &mut each);
            }
        }
    }

    /// Makes copied pages of the parts of all segments that reach into them, and zeros.
    fn build(&self, extent: &Extent, to: PhysAddr, each: &mut impl FnMut(Fill)) {
        let slide = self.plan().placement().slide;
        let start = extent.virt().start().get().wrapping_sub(slide);
        let end = start + extent.virt().len();
        let mut done = start;
        let zero = |from: u64, until: u64, each: &mut dyn FnMut(Fill)| {
            if from < until {
                each(Fill::Zero { to: offset_from(to, from - start), length: until - from });
            }
        };
        for segment in self.plan().elf().segments() {
            let file_start = segment.start().max(start);
            let file_end = segment.file_end().min(end);
            if segment.rights().is_none() || file_start >= file_end {
                continue;
            }
            zero(done, file_start, each);
            each(Fill::Copy {
                from: segment.offset() + (file_start - segment.start()),
                to: offset_from(to, file_start - start),
                length: file_end - file_start,
            });
            done = file_end;
        }
        zero(done, end, each);
    }

    /// Clears what follows the file bytes of a segment in its last page in place.
    fn clear_tail(&self, extent: &Extent, each: &mut impl FnMut(Fill)) {
        let slide = self.plan().placement().slide;
        let start = extent.virt().start().get().wrapping_sub(slide);
        let end = start + extent.virt().len();
        let ends_here = |segment: &&Segment| {
            segment.number() == extent.segment() && segment.file_end() > start && segment.file_end() <= end
        };
        let Some(segment) = self.plan().elf().segments().iter().find(ends_here) else { return };
        let from = segment.file_end();
        let until = align_up(from, PAGE).unwrap_or(from).min(segment.end());
        if from < until {
            each(Fill::Zero { to: offset_from(self.phys(extent), from - start), length: until - from });
        }
    }
}
