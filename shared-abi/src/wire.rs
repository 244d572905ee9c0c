//! Reading a record out of bytes that may lie anywhere.
//!
//! The loader aligns what it writes and maps, and targets that must not make unaligned accesses would read such a
//! record byte by byte. So whole words are read where the bytes are aligned; a tool's copy need not be.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The record at the start of `bytes`; `None` if they are too few.
pub(crate) fn load<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy>(bytes: &[u8]) -> Option<T> {
    if let Ok((record, _)) = T::ref_from_prefix(bytes) {
        return Some(*record);
    }
    let mut record = T::new_zeroed();
    copy(bytes, record.as_mut_bytes()).map(|()| record)
}

/// Fills `to` from the start of `from`. Apart, since a copy of known length is made in place, byte by byte.
#[cold]
#[inline(never)]
fn copy(from: &[u8], to: &mut [u8]) -> Option<()> {
    to.copy_from_slice(from.get(..to.len())?);
    Some(())
}
