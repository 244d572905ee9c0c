//! Reading a record out of bytes that may lie anywhere.
//!
//! The loader aligns what it writes and maps, and targets that must not make unaligned accesses would read such a
//! record byte by byte. So whole words are read where the bytes are aligned; a tool's copy need not be.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The record at the start of `bytes`; `None` if they are too few.
pub(crate) fn load<T: FromBytes + Immutable + KnownLayout + Copy>(bytes: &[u8]) -> Option<T> {
    match T::ref_from_prefix(bytes) {
        Ok((record, _)) => Some(*record),
        Err(_) => T::read_from_prefix(bytes).ok().map(|(record, _)| record),
    }
}
