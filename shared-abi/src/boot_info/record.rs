//! What all tables have in common: records and their iterators.

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fault::Fault;
use super::field::Layout;
use super::strings::Strings;
use super::table_id::TableId;
use crate::wire::load;

/// What has a table of its own: each of the [`TableId`]s' rows says this of its type of records.
pub trait InTable {
    /// The table that holds records of this type.
    const TABLE: TableId;
}

/// A record of a table. One type per table; the type says which.
pub trait Record: InTable + FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Default {
    /// What it is made of.
    const LAYOUT: Layout;

    /// Whether the record can be, after the one `before` it in the same table.
    ///
    /// # Errors
    /// The first field that is wrong.
    fn check(&self, before: Option<&Self>, strings: &Strings<'_>) -> Result<(), Fault>;
}

/// Declares a record: its derives, its size, its description, and what is checked of it.
macro_rules! record {
    ($(#[doc = $doc:literal])+ $name:ident, $size:literal bytes {
        $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)*
    } check $check:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(C)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size && $size % 8 == 0);

        impl $crate::boot_info::Record for $name {
            const LAYOUT: $crate::boot_info::Layout = $crate::boot_info::Layout {
                name: stringify!($name),
                words: concat!($($doc),+),
                size: $size,
                fields: &[$($crate::boot_info::Field {
                    name: stringify!($field),
                    offset: core::mem::offset_of!($name, $field),
                    size: size_of::<$type>(),
                    kind: $crate::boot_info::FieldKind::of(
                        stringify!($field),
                        <$type as $crate::boot_info::field::FieldType>::KIND,
                    ),
                    words: concat!($($field_doc),+),
                }),*],
            };

            fn check(
                &self,
                before: Option<&Self>,
                strings: &$crate::boot_info::Strings<'_>,
            ) -> Result<(), $crate::boot_info::Fault> {
                let check: fn(
                    &Self,
                    Option<&Self>,
                    &$crate::boot_info::Strings<'_>,
                ) -> Result<(), $crate::boot_info::Fault> = $check;
                check(self, before, strings)
            }
        }
    };
}
pub(super) use record;

/// Declares a number with named values that stays open: readers keep values that they do not know.
macro_rules! open_number {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $constant:ident = $value:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$value_meta])* pub const $constant: Self = Self($value);)*

            /// The name in reports; `None` for a number that this version does not know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl $crate::boot_info::field::FieldType for $name {
            const KIND: $crate::boot_info::FieldKind =
                $crate::boot_info::FieldKind::Named(|number| Self(number).name());
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "unknown ({:#x})", self.0),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(super) use open_number;

/// Declares flags whose unknown bits are kept and mean nothing.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $flag:ident = $bit:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        bitflags::bitflags! {
            impl $name: u32 {
                $($(#[doc = $doc])* const $flag = 1 << $bit;)*
            }
        }

        impl $crate::boot_info::field::FieldType for $name {
            const KIND: $crate::boot_info::FieldKind =
                $crate::boot_info::FieldKind::Flags(&[$((stringify!($flag), 1 << $bit)),*]);
        }
    };
}
pub(super) use flags;

/// The records of one table, in order. Longer records of a later version are cut to what this one knows.
#[derive(Debug)]
pub struct Records<'a, R> {
    bytes: &'a [u8],
    stride: usize,
    record: PhantomData<R>,
}

impl<R> Clone for Records<'_, R> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes, stride: self.stride, record: PhantomData }
    }
}

impl<'a, R: Record> Records<'a, R> {
    /// The records of a table's bytes; none if the stride is less than a record.
    pub(super) const fn new(bytes: &'a [u8], stride: usize) -> Self {
        let bytes = if stride < size_of::<R>() { &[] } else { bytes };
        Self { bytes, stride, record: PhantomData }
    }

    /// The record at `index`, if there are so many.
    pub fn get(&self, index: usize) -> Option<R> {
        let start = index.checked_mul(self.stride)?;
        let record = self.bytes.get(start..start.checked_add(self.stride)?)?;
        load(record)
    }
}

impl<R: Record> Iterator for Records<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let (record, rest) = self.bytes.split_at_checked(self.stride)?;
        self.bytes = rest;
        load(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.len().checked_div(self.stride).unwrap_or_default();
        (count, Some(count))
    }
}

impl<R: Record> ExactSizeIterator for Records<'_, R> {}
