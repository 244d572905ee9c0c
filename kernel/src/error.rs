//! The codes of this library's errors, and why memory of the boot was not taken back.

use shared_abi::error::{ErrorDoc, Explained};
use shared_abi::errors;

use crate::address_space::SpaceError;
use crate::frames::FrameError;
use crate::heap::HeapError;

/// The catalogs of this crate's errors.
pub const ERRORS: &[&[ErrorDoc]] =
    &[FrameError::CATALOG, HeapError::CATALOG, SpaceError::CATALOG, ReclaimError::CATALOG];

errors! {
    /// Why memory was not taken back. Nothing has been changed then, unless the tables turned out to be damaged.
    pub enum ReclaimError, found by "whoever takes back what the loader left";

    use Frames(FrameError): "The kind is none that is given back, or was.";
    use Space(SpaceError): "A mapping cannot be changed, or there is no memory for tables.";

    /// What is to be taken back is still used: vectors, stack, a user space.
    951 InUse { what: &'static str = "What is still there." }
        => "the memory cannot be taken back: {what} is still there";
        help "let the kernel leave it first";
        here "let the kernel leave {what} first";
}
