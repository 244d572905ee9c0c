//! Where the allocator stands: the chunks that it has cached, the zones that it has looked up.

use super::field::UNITS;
use super::memory::{OwnedFrame, OwnedLine};

/// No chunk and no zone has this number.
pub(super) const NONE: u64 = u64::MAX;

/// A touched zone: its number, its page and where its chunks' fields are.
#[derive(Clone, Copy)]
pub(super) struct ZonePage {
    pub number: u64,
    pub page: OwnedFrame,
    pub origin: u64,
}

/// No zone.
pub(super) const NO_ZONE: ZonePage = ZonePage { number: NONE, page: OwnedFrame::new(0), origin: 0 };

/// The index of a chunk in its zone.
pub(super) const fn chunk_index(chunk: u64) -> usize {
    chunk as usize % UNITS
}

/// A chunk that is checked out: it is in no class.
pub(super) struct CachedChunk {
    pub chunk: u64,
    /// Where its field is.
    pub line: OwnedLine,
    /// Its free frames.
    pub free: u64,
    /// The first frame of the word that was last taken from or given back to.
    pub word: u64,
}

/// No chunk.
pub(super) const EMPTY: CachedChunk = CachedChunk { chunk: NONE, line: OwnedLine::new(0), free: 0, word: 0 };
