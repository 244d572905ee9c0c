//! What an entry is, a row each.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::addr::PAGE;
use crate::memory::RegionKind;

/// What an entry's bytes are. The numbers are ABI and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Kind(pub u32);

/// How many entries of a kind an image may have. Exactly one kernel: [`super::PayloadTable`] sees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// At most one.
    One,
    /// Any number.
    Many,
}

/// How an entry's bytes lie in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// From the beginning of a page, sharing none: its pages get rights or an owner of their own.
    Pages,
    /// At a multiple of 8, close to its neighbours.
    Packed,
}

/// What a kind is: one row of the table below.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    count: Count,
    place: Place,
    region: Option<RegionKind>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+
        $constant:ident = $number:literal, $name:literal, $count:ident, $place:ident, $region:expr;)*) => {
        impl Kind {
            $($(#[doc = $doc])+ pub const $constant: Self = Self($number);)*

            /// All kinds that this version knows, with what they are.
            pub const ALL: &[(Self, &str)] = &[$((Self::$constant, concat!($($doc),+)),)*];

            const fn row(self) -> Option<Row> {
                let row = match self.0 {
                    $($number => {
                        Row { name: $name, count: Count::$count, place: Place::$place, region: $region }
                    })*
                    _ => return None,
                };
                Some(row)
            }
        }

        // A table's reader keeps what it has seen as bits.
        const _: () = assert!($($number < u32::BITS)&&*);
    };
}

kinds! {
    /// The kernel's ELF file: exactly one.
    KERNEL = 1, "kernel", One, Pages, None;
    /// Any file for the kernel.
    MODULE = 2, "module", Many, Pages, Some(RegionKind::MODULE);
    /// UTF-8 without NUL: the kernel gets it in front of what firmware passes, with a space between.
    COMMAND_LINE = 3, "command line", One, Packed, None;
    /// A flattened device tree for where firmware passes none.
    DEVICE_TREE = 4, "device tree", One, Packed, Some(RegionKind::DEVICE_TREE);
    /// The kernel's compact symbol table.
    SYMBOLS = 5, "symbols", One, Packed, Some(RegionKind::MODULE);
    /// Entropy in place of the machine's, to repeat a boot.
    ENTROPY_SEED = 6, "entropy seed", One, Packed, None;
    /// The loader's compact symbol table.
    LOADER_SYMBOLS = 7, "loader symbols", One, Packed, None;
}

impl Kind {
    /// The kind's name in reports; `None` for one that this version does not know.
    pub const fn name(self) -> Option<&'static str> {
        match self.row() {
            Some(row) => Some(row.name),
            None => None,
        }
    }

    /// Whether this version knows the kind.
    pub const fn is_known(self) -> bool {
        self.row().is_some()
    }

    /// Whether an image may have at most one. True of a kind that is not known, of which nobody asks.
    pub const fn is_single(self) -> bool {
        !matches!(self.row(), Some(Row { count: Count::Many, .. }))
    }

    /// Whether it begins on a page and shares none.
    pub const fn owns_pages(self) -> bool {
        matches!(self.row(), Some(Row { place: Place::Pages, .. }))
    }

    /// What the memory map lists its pages as once the kernel is entered; `None` if they are only the loader's. A
    /// kernel's are listed by what becomes of them.
    pub const fn region(self) -> Option<RegionKind> {
        match self.row() {
            Some(row) => row.region,
            None => None,
        }
    }

    /// What its offset is a multiple of, in bytes.
    pub const fn alignment(self) -> u64 {
        if self.owns_pages() { PAGE } else { 8 }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "unknown kind {}", self.0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
