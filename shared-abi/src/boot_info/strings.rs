//! The string table, and how records name what is in it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fault::Fault;

/// A string of the blob's string table. The empty string is at no place in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StringRef {
    /// Where it begins in the string table.
    pub offset: u32,
    /// Its bytes, the NUL behind them not counted.
    pub length: u32,
}

/// The string table: UTF-8 as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strings<'a>(&'a str);

impl<'a> Strings<'a> {
    /// The table of these bytes; `None` if they are not UTF-8.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        core::str::from_utf8(bytes).ok().map(Self)
    }

    /// The string; `None` if it leaves the table, cuts a character, or has a NUL in it or none behind it.
    pub fn get(&self, string: StringRef) -> Option<&'a str> {
        if string.length == 0 {
            return Some("");
        }
        let start = usize::try_from(string.offset).ok()?;
        let end = start.checked_add(usize::try_from(string.length).ok()?)?;
        let text = self.0.get(start..end)?;
        let closed = self.0.as_bytes().get(end) == Some(&0);
        if closed && !text.as_bytes().contains(&0) { Some(text) } else { None }
    }

    /// The fault of a string that [`get`](Self::get) does not find.
    pub(super) fn check(&self, string: StringRef, field: &'static str) -> Result<(), Fault> {
        let value = u64::from(string.offset) << 32 | u64::from(string.length);
        Fault::unless(self.get(string).is_some(), field, value)
    }
}
