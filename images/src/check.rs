//! Judges an image by the readers that judge it at the boot, before anything boots it.

use shared_abi::crc32c::crc32c;
use shared_abi::image::{self, Header, PayloadTable};

use crate::failure::{Failure, Outcome};

/// Opens an image and compares every digest.
///
/// What the boot would refuse is refused here with the same code and words.
pub fn check(bytes: &[u8]) -> Outcome<(Header, PayloadTable<'_>)> {
    let (header, table) =
        image::open(bytes, crc32c).map_err(|error| Failure::refusal(error.code(), &error))?;
    for entry in table.entries() {
        table.verify(&entry, crc32c).map_err(|error| Failure::refusal(error.code(), &error))?;
    }
    Ok((header, table))
}
