//! The flight recorders' place, and which of the two this boot writes.
//!
//! The place follows from the machine's RAM alone, so that the next boot finds what this one left, whatever it boots:
//! three quarters into the longest piece of RAM, where neither images nor trees are put, nor firmware itself, which
//! moves to the end; below that if something is there all the same.

use shared_abi::addr::{PageSize, PhysAddr, PhysRange, align_down};
use shared_abi::crc32c::Crc32c;
use shared_abi::memory::RegionKind;
use shared_abi::recorder::{Header, LENGTH, Turn};

use crate::memory_map::Region;

/// Bytes of both.
const BOTH: u64 = 2 * LENGTH as u64;

/// The recorders of this boot: where they lie, and whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorders {
    place: PhysRange,
    turn: Turn,
}

/// Where both lie; `None` if no free memory has the place.
// Apart: few kernels keep one.
#[inline(never)]
pub fn place(regions: &[Region<'_>]) -> Option<PhysRange> {
    let pieces = regions.chunk_by(|one, next| one.range.end() == next.start());
    let bounds =
        pieces.filter_map(|piece| PhysRange::from_bounds(piece.first()?.start(), piece.last()?.range.end()));
    let longest =
        bounds.reduce(|longest, piece| if piece.len() > longest.len() { piece } else { longest })?;
    let wanted = align_down(longest.start().get() + longest.len() / 4 * 3, PageSize::Size2M.bytes());
    let free = regions.iter().filter(|region| {
        region.kind == RegionKind::USABLE && region.range.len() >= BOTH && longest.covers(region.range)
    });
    let start = free.rev().find_map(|region| {
        let highest = align_down(region.range.end() - BOTH, PageSize::Size4K.bytes());
        Some(wanted.min(highest)).filter(|start| region.start() <= *start)
    });
    PhysRange::new(PhysAddr::new(start?)?, BOTH)
}

impl Recorders {
    /// Those at `place`, whose bytes are as they were found.
    #[inline(never)]
    pub fn find(place: PhysRange, bytes: &[u8], crc32c: Crc32c) -> Self {
        Self { place, turn: Turn::of(bytes, crc32c) }
    }

    /// The one that this boot writes.
    pub fn current(&self) -> PhysRange {
        self.part(self.turn.current)
    }

    /// The one that the last boot left.
    pub fn last(&self) -> Option<PhysRange> {
        self.turn.has_last.then(|| self.part(1 - self.turn.current))
    }

    /// The header of this boot's.
    pub fn header(&self, timer_frequency: u64, crc32c: Crc32c) -> Header {
        Header::new(self.turn.boot, timer_frequency, crc32c)
    }

    fn part(&self, index: usize) -> PhysRange {
        let start = self.place.start().checked_add((index * LENGTH) as u64);
        start.and_then(|start| PhysRange::new(start, LENGTH as u64)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use shared_abi::crc32c::crc32c;
    use zerocopy::IntoBytes;

    use super::*;

    const M: u64 = 1 << 20;

    fn region(start: u64, end: u64, kind: RegionKind) -> Region<'static> {
        Region { range: PhysRange::from_bounds(start, end).unwrap(), kind, node: 0, name: "" }
    }

    #[test]
    fn the_place_is_that_of_the_ram_and_gives_way_to_what_is_there() {
        let (usable, used) = (RegionKind::USABLE, RegionKind::INITRD);
        let start = |regions: &[Region<'_>]| place(regions).map(|place| place.start().get());
        let ram = |at: u64, from: u64, to: u64| {
            [region(at, from, usable), region(from, to, used), region(to, at + 256 * M, usable)]
        };
        let base = 0x4000_0000;
        let wanted = Some(base + 192 * M);
        assert_eq!(start(&ram(base, base + M, base + 2 * M)), wanted);
        assert_eq!(start(&ram(base, base + 80 * M, base + 160 * M)), wanted);
        // What is there has it go below, and a smaller piece is not looked at.
        let below = base + 190 * M - BOTH;
        assert_eq!(start(&ram(base, base + 190 * M, base + 200 * M)), Some(below));
        let two = [region(0, 64 * M, usable), region(base, base + 256 * M, usable)];
        assert_eq!(start(&two), wanted);
        assert_eq!(start(&[region(0, 64 * M, used)]), None);
        assert_eq!(start(&[region(0, BOTH - 0x1000, usable)]), None);
        assert_eq!(start(&[]), None);
    }

    #[test]
    fn the_second_boot_finds_what_the_first_left() {
        let place = PhysRange::new(PhysAddr::new(0x4000_0000).unwrap(), BOTH).unwrap();
        let mut memory = vec![0x55; BOTH as usize];
        let first = Recorders::find(place, &memory, crc32c);
        assert_eq!((first.current().start().get(), first.last()), (0x4000_0000, None));
        memory[..128].copy_from_slice(first.header(1, crc32c).as_bytes());
        let second = Recorders::find(place, &memory, crc32c);
        assert_eq!((second.current().start().get(), second.last()), (0x4001_0000, Some(first.current())));
        assert_eq!(second.header(1, crc32c).boot, 2);
    }
}
