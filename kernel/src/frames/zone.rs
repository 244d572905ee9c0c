//! The metadata of a zone (1 GiB) and of its split chunks (2 MiB), as laid out in memory.
//!
//! A zone's page is filled in when the zone is first touched, a chunk's field when the chunk is first split. Until
//! then the bytes there are whatever the RAM held, and nothing reads them.

use super::field::{Field, UNITS};
use super::memory::{FrameMemory, OwnedFrame, OwnedLine};
use shared_abi::addr::PAGE;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// log2 of the frames in a chunk.
pub(super) const CHUNK_SHIFT: u32 = 9;

/// log2 of the frames in a zone.
pub(super) const ZONE_SHIFT: u32 = 18;

/// log2 of the chunks whose fields share a page: a field is a line.
pub(super) const FIELDS_SHIFT: u32 = OwnedLine::SHIFT;

/// The class of a chunk that is not split, so has no field of its own.
pub(super) const WHOLE: u8 = u8::MAX - 1;

/// The class of what is checked out: larger than any, so nothing refiles it.
pub(super) const OUT: u8 = u8::MAX;

/// The largest class of a split chunk: order 8. One that is free as a whole is no longer split.
pub(super) const SPLIT_CLASSES: usize = 9;

/// Which of its two classes a zone is filed under: that of its best split chunk, in frames, …
pub(super) const SMALL: usize = 0;

/// … or that of its largest block of whole chunks, in chunks.
pub(super) const LARGE: usize = 1;

/// A zone's place in the list of its class; pages are frame numbers, 0 for none (frame 0 is never one, see
/// [`super::ledger`]).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Link {
    pub previous: u64,
    pub next: u64,
    pub class: u64,
}

/// A zone's page.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Zone {
    /// The zone's number: its first frame's, shifted.
    pub number: u64,
    /// What to add to a chunk's number for the line of its field, see [`origin`].
    pub origin: u64,
    /// Bit `c`: there are members of class `c`.
    pub classes: u64,
    /// The lists that the zone is in.
    pub links: [Link; 2],
    /// The chunks: free, allocated as wholes, or reserved.
    pub chunks: Field,
    /// The class of each chunk: 0 to 9 if it is split, `OUT` for a cached one, else `WHOLE`.
    pub class: [u8; UNITS],
    /// `members[c - 1]`: the split chunks of class `c`.
    members: [[u64; UNITS / 64]; SPLIT_CLASSES],
    unused: [u64; UNUSED],
}

/// Words left in the page.
const UNUSED: usize = 512 - (3 + 2 * 3 + 16 + 64 + 8 * SPLIT_CLASSES);

const _: () = assert!(size_of::<Zone>() == PAGE as usize);

/// The zone whose page is `page`.
#[inline(always)]
pub(super) fn zone_at<M: FrameMemory>(memory: &mut M, page: OwnedFrame) -> &mut Zone {
    zerocopy::transmute_mut!(memory.page(page))
}

/// What to add to a chunk's number (modulo 2⁶⁴) for the line of its field, if that of `first_chunk` is the first of
/// page `page`.
pub(super) const fn origin(page: u64, first_chunk: u64) -> u64 {
    (page << OwnedLine::SHIFT).wrapping_sub(first_chunk)
}

/// The line of the chunk's field, by the origin of its zone. Only split chunks have one.
#[inline(always)]
pub(super) const fn field_line(origin: u64, chunk: u64) -> OwnedLine {
    OwnedLine::new(origin.wrapping_add(chunk))
}

/// The field in a line.
#[inline(always)]
pub(super) fn field_at<M: FrameMemory>(memory: &mut M, line: OwnedLine) -> &mut Field {
    zerocopy::transmute_mut!(memory.line(line))
}

impl Zone {
    /// Makes the page that of a zone in which no chunk is ours.
    pub fn clear(&mut self, number: u64, origin: u64) {
        const NO_LINK: Link = Link { previous: 0, next: 0, class: 0 };
        self.number = number;
        self.origin = origin;
        self.classes = 0;
        self.links = [NO_LINK; 2];
        self.chunks = Field::RESERVED;
        self.class.fill(WHOLE);
        self.members.as_flattened_mut().fill(0);
    }

    /// The line of the field of the zone's chunk `index`.
    #[inline(always)]
    pub fn line(&self, index: usize) -> OwnedLine {
        field_line(self.origin, (self.number << (ZONE_SHIFT - CHUNK_SHIFT)) + index as u64)
    }

    /// Files the chunk `index` under `class`, out of the one that it is in.
    pub fn refile(&mut self, index: usize, class: u8) {
        let old = core::mem::replace(&mut self.class[index % UNITS], class);
        let (word, bit) = (index / 64 % (UNITS / 64), 1 << (index % 64));
        if let Some(members) = self.members.get_mut(usize::from(old).wrapping_sub(1)) {
            members[word] &= !bit;
            if members.iter().all(|word| *word == 0) {
                self.classes &= !(1 << old);
            }
        }
        if let Some(members) = self.members.get_mut(usize::from(class).wrapping_sub(1)) {
            members[word] |= bit;
            self.classes |= 1 << class;
        }
    }

    /// A split chunk of the least class that is at least `class`.
    pub fn best_split(&self, class: u8) -> Option<usize> {
        let fits = self.classes & (u64::MAX << class);
        let members = self.members.get((fits.trailing_zeros() as usize).wrapping_sub(1))?;
        members
            .iter()
            .enumerate()
            .find_map(|(word, bits)| (*bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize))
    }

    /// The class of the best split chunk, 0 if none has a free frame.
    pub fn small_class(&self) -> u8 {
        self.classes.checked_ilog2().unwrap_or(0) as u8
    }
}

/// The zones that are not checked out, filed under their two classes. Reaching the best one takes no search
/// however many there are.
#[derive(Clone, Copy, Default)]
pub(super) struct ZoneLists {
    /// The first zone's page in the list of each class.
    heads: [[u64; 11]; 2],
    /// Bit `c`: the list of class `c` is not empty.
    classes: [u32; 2],
}

impl ZoneLists {
    /// Puts the zone into the list of `class`, out of the one that it is in. Class 0 and `OUT` have no list.
    pub fn refile<M: FrameMemory>(&mut self, memory: &mut M, page: OwnedFrame, which: usize, class: u8) {
        let which = which % 2;
        let Link { previous, next, class: old } = zone_at(memory, page).links[which];
        if let Some(head) = Self::head(&mut self.heads[which], old) {
            if previous == 0 {
                *head = next;
                if next == 0 {
                    self.classes[which] &= !(1 << old);
                }
            } else {
                zone_at(memory, OwnedFrame::new(previous)).links[which].next = next;
            }
            if next != 0 {
                zone_at(memory, OwnedFrame::new(next)).links[which].previous = previous;
            }
        }
        let mut link = Link { previous: 0, next: 0, class: u64::from(class) };
        if let Some(head) = Self::head(&mut self.heads[which], link.class) {
            let number = page.number();
            link.next = core::mem::replace(head, number);
            if link.next != 0 {
                zone_at(memory, OwnedFrame::new(link.next)).links[which].previous = number;
            }
            self.classes[which] |= 1 << class;
        }
        zone_at(memory, page).links[which] = link;
    }

    fn head(heads: &mut [u64; 11], class: u64) -> Option<&mut u64> {
        heads.get_mut(class as usize).filter(|_| class != 0)
    }

    /// The page of a zone of the least class that is at least `class`.
    pub fn best(&self, which: usize, class: u8) -> Option<OwnedFrame> {
        let fits = self.classes[which % 2] & (u32::MAX << class);
        let head = self.heads[which % 2].get(fits.trailing_zeros() as usize)?;
        Some(OwnedFrame::new(*head))
    }
}
