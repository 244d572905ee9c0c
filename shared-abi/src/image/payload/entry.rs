//! One entry of the payload table.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::error::PayloadError;
use super::kind::Kind;
use crate::crc32c::Crc32c;

/// Digest kind: none.
pub const NO_DIGEST: u32 = 0;

/// Digest kind: CRC-32C, the first four bytes of the digest, little-endian.
pub const CRC32C: u32 = 1;

/// How a reader is to take an entry. Unknown bits are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct EntryFlags(pub u32);

bitflags! {
    impl EntryFlags: u32 {
        /// A reader that does not know the kind refuses the image.
        const MUST_UNDERSTAND = 1 << 0;
    }
}

/// One entry as it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// What the bytes are.
    pub kind: Kind,
    /// For a kernel the protocol that it is entered by; 0 is ours, the only one that is served.
    pub protocol: u32,
    /// How to take the entry.
    pub flags: EntryFlags,
    /// [`NO_DIGEST`] or [`CRC32C`].
    pub digest_kind: u32,
    /// The name, UTF-8, filled up with NULs of which there is at least one.
    pub name: [u8; 32],
    /// Where the bytes begin, from the image's first byte.
    pub offset: u64,
    /// How many there are; at least one.
    pub length: u64,
    /// The digest, filled up with zeros.
    pub digest: [u8; 32],
}

const _: () = assert!(size_of::<Entry>() == 96 && align_of::<Entry>() == 8);
const _: () = assert!(core::mem::offset_of!(Entry, kind) == 0);

/// A name as the table holds it; `None` for one of more than 31 bytes or with a NUL in it.
pub const fn name_field(name: &str) -> Option<[u8; 32]> {
    let bytes = name.as_bytes();
    let mut field = [0; 32];
    if bytes.len() >= field.len() {
        return None;
    }
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            return None;
        }
        field[at] = bytes[at];
        at += 1;
    }
    Some(field)
}

impl Entry {
    /// An entry without digest and flags.
    pub const fn new(kind: Kind, name: [u8; 32], offset: u64, length: u64) -> Self {
        Self {
            kind,
            protocol: 0,
            flags: EntryFlags::empty(),
            digest_kind: NO_DIGEST,
            name,
            offset,
            length,
            digest: [0; 32],
        }
    }

    /// The same entry with the CRC-32C of its `bytes`.
    pub fn with_crc32c(mut self, bytes: &[u8], crc32c: Crc32c) -> Self {
        self.digest_kind = CRC32C;
        self.digest = [0; 32];
        if let Some(field) = self.digest.first_chunk_mut() {
            *field = crc32c(0, bytes).to_le_bytes();
        }
        self
    }

    /// The name; empty if the field holds none that is valid.
    pub fn name(&self) -> &str {
        self.checked_name().unwrap_or_default()
    }

    /// The digest if it is a CRC-32C.
    pub fn crc32c(&self) -> Option<u32> {
        let field = self.digest.first_chunk().filter(|_| self.digest_kind == CRC32C)?;
        Some(u32::from_le_bytes(*field))
    }

    fn checked_name(&self) -> Option<&str> {
        let length = self.name.iter().position(|&byte| byte == 0)?;
        let (name, filler) = self.name.split_at_checked(length)?;
        let is_filled = Some(filler) == [0; 32].get(length..);
        if is_filled { core::str::from_utf8(name).ok() } else { None }
    }

    /// What of an entry of known kind can be checked without the others.
    pub(super) fn check(&self, index: u32) -> Result<(), PayloadError> {
        if self.protocol != 0 {
            return Err(PayloadError::Protocol { index, protocol: self.protocol });
        }
        if self.digest_kind > CRC32C {
            return Err(PayloadError::DigestKind { index, kind: self.digest_kind });
        }
        if self.checked_name().is_none() {
            return Err(PayloadError::Name { index });
        }
        if self.length == 0 {
            return Err(PayloadError::Empty { index, kind: self.kind });
        }
        if !self.offset.is_multiple_of(self.kind.alignment()) {
            return Err(PayloadError::Unaligned {
                index,
                offset: self.offset,
                alignment: self.kind.alignment(),
            });
        }
        Ok(())
    }
}
