//! What records are made of, as data: for the written contract, for reports and fuzzers that read any table.
//!
//! Each record's declaration makes its [`Layout`]. Who reads records by their fields' names does not link it.

use core::fmt;

use super::strings::{StringRef, Strings};
use crate::wire::load;

/// What the records of a table are made of.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The record's name.
    pub name: &'static str,
    /// What a record says, in sentences.
    pub words: &'static str,
    /// Its bytes in this version.
    pub size: usize,
    /// Its fields, in order and without gaps.
    pub fields: &'static [Field],
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Where it lies in the record.
    pub offset: usize,
    /// Its bytes.
    pub size: usize,
    /// How its bytes are read.
    pub kind: FieldKind,
    /// What it says, in sentences.
    pub words: &'static str,
}

/// How a field's bytes are read. Numbers are little-endian.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// A number; its unit stands in the field's words.
    Number,
    /// A physical address.
    Phys,
    /// A virtual address.
    Virt,
    /// A number with names.
    Named(fn(u32) -> Option<&'static str>),
    /// Bits, by name.
    Flags(&'static [(&'static str, u32)]),
    /// A string of the string table.
    Text,
    /// An array of bytes.
    Bytes,
    /// An array of numbers of eight bytes.
    Words,
}

impl FieldKind {
    /// The kind of a field by its type's and its name, which says of an address what it is.
    pub(super) const fn of(name: &str, kind: Self) -> Self {
        match name.as_bytes().first_chunk() {
            Some(b"phys_") => Self::Phys,
            Some(b"virt_") => Self::Virt,
            _ => kind,
        }
    }
}

/// A type that a field can have.
pub(super) trait FieldType {
    /// How it is read.
    const KIND: FieldKind;
}

macro_rules! field_types {
    ($($type:ty: $kind:ident;)*) => {
        $(impl FieldType for $type {
            const KIND: FieldKind = FieldKind::$kind;
        })*
    };
}

field_types! {
    u16: Number;
    u32: Number;
    u64: Number;
    [u8; 32]: Bytes;
    [u64; 4]: Words;
    StringRef: Text;
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// An address or bits.
    Hex(u64),
    /// A number's name.
    Name(&'static str),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl Field {
    /// What the field of a record holds whose strings are in `strings`.
    pub(super) fn value<'a>(&self, strings: Strings<'a>, record: &'a [u8]) -> Value<'a> {
        let bytes = record.get(self.offset..self.offset + self.size).unwrap_or_default();
        let number = || bytes.iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        match self.kind {
            FieldKind::Number => Value::Number(number()),
            FieldKind::Phys | FieldKind::Virt | FieldKind::Flags(_) => Value::Hex(number()),
            FieldKind::Named(name) => name(number() as u32).map_or(Value::Number(number()), Value::Name),
            FieldKind::Text => Value::Text(strings.get(load(bytes).unwrap_or_default()).unwrap_or_default()),
            FieldKind::Bytes | FieldKind::Words => Value::Bytes(bytes),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Hex(number) => write!(f, "{number:#x}"),
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
