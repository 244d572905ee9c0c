//! The translation table format of the contract: stage 1 of VMSAv8-64, EL1&0, 4 KiB granule, 48 bits.
//!
//! The kernel inherits live tables, so what a descriptor may look like is ABI. [`Attributes`] is what a mapping
//! *is*; [`Descriptor`] is the 64 bits that say so to the hardware. Encoding and decoding are the same
//! statement read in two directions: a descriptor that our encoder would not have written is refused by name
//! when it is read back, so a table that decodes is a table of this format.
//!
//! What always holds of an encoded leaf (Arm ARM D8.3, D8.4, D8.5):
//!
//! ```text
//!  63    55 54  53  52 51 50 49 48 47                    12 11 10 9  8 7  6 5  4    2 1  0
//! ┌────────┬───┬───┬──────────────┬────────────────────────┬──┬──┬────┬────┬──┬──────┬──┬──┐
//! │   0    │UXN│PXN│      0       │     output address     │nG│AF│ SH │ AP │0 │AttrIx│T │ 1│
//! └────────┴───┴───┴──────────────┴────────────────────────┴──┴──┴────┴────┴──┴──────┴──┴──┘
//!  AF = 1, SH = inner; T = 1 for a page (level 3), 0 for a block (levels 1 and 2)
//!  kernel: AP[1] = 0, nG = 0, UXN = 1, PXN = 0 only with r-x
//!  user:   AP[1] = 1, nG = 1, PXN = 1, UXN = 0 only with r-x
//! ```

mod attributes;
mod descriptor;
#[cfg(test)]
mod tests;

pub use attributes::{Attributes, MemoryType, Privilege};
pub(crate) use descriptor::RightsChange;
pub use descriptor::{AccessPermission, Descriptor, DescriptorError, Shareability};
