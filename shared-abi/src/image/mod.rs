//! The combined image: one file that firmware can start and that holds everything the boot needs.
//!
//! ```text
//! +0                 header page, 4 KiB: a Linux arm64 Image header, then ours
//! +0x1000            loader, the same bytes in every image
//! +table offset      payload table: what else there is, where, with which digest
//!                    entries in ascending order, the kernel and modules on pages of their own
//! +image size − 32   end marker, tied to the table: without it the file was cut short
//! ```
//!
//! All offsets count from the image's first byte, in the file as in memory. Reading never touches the payload's
//! own bytes, only header, table and marker; an entry's digest is verified when asked for. Writing never judges:
//! what an encoder wrote is good if [`open`] says so, and tests write bad images with the same encoders.

pub mod header;
pub mod payload;

pub use header::{BootFlags, Header, HeaderError, LogLevel};
pub use payload::{EndMarker, Entry, EntryFlags, Kind, PayloadError, PayloadTable};

use crate::crc32c::Crc32c;
use crate::errors;

errors! {
    /// What is wrong with a combined image.
    pub enum ImageError, found by "whoever reads a combined image";

    use Header(HeaderError): "The header page cannot be used.";
    use Payload(PayloadError): "The payload table, the end marker or an entry cannot be used.";
}

/// Opens a whole image: header page, payload table and end marker are valid if this succeeds.
///
/// # Errors
/// The first thing that is wrong, in the order of the file. Digests are not looked at.
pub fn open(image: &[u8], crc32c: Crc32c) -> Result<(Header, PayloadTable<'_>), ImageError> {
    let header = Header::decode(image, crc32c)?;
    let table = PayloadTable::open(image, &header, crc32c)?;
    Ok((header, table))
}
