//! Which table: the number alone. What each number means is a row of `tables`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which table. The numbers are ABI and never change their meaning.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct TableId(pub u32);
