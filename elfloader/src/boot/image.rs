//! The combined image, where it lies: header page, payload table.

use shared_abi::addr::{PAGE, PhysRange};
use shared_abi::image::header::{BootFlags, Header};
use shared_abi::image::payload::{Kind, PayloadTable};
use shared_abi::rights::Rights;

use elfloader::image::Image;

use crate::machine::ending::MEANS;
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::IdentityMap;
use crate::machine::{cpu, report};
use elfloader::error::{BootError, EntryError};

/// Opens the image that the loader is part of.
pub fn open(own: &OwnImage, identity: &mut IdentityMap) -> Result<Image<'static>, BootError> {
    let header = read_header(own, identity)?;
    let range = image_range(own, &header)?;
    map_image(own, range, identity)?;
    // SAFETY: nobody writes to the image before the plan is carried out, and what is read of it after that, names,
    // the table's entries and a packed tree's texts, is not what the plan writes to.
    let bytes = unsafe { identity.bytes(range) };
    let payload = PayloadTable::open(bytes, &header, cpu::crc32c())?;
    let (resident, stub, tables) = (own.resident(), own.stub(), own.tables());
    let image = Image { range, resident, stub, tables, header, payload };
    if let Some(table) = image.range_of_kind(Kind::LOADER_SYMBOLS) {
        // SAFETY: the identity map has the image until the jump.
        unsafe { report::situation().name_code(table.start().get(), table.len(), 0) };
    }
    Ok(image)
}

/// Compares every entry that has a digest with it. The device tree's was compared before its seeds were wiped.
pub fn verify(image: &Image<'_>) -> Result<(), BootError> {
    for entry in image.payload.entries().filter(|entry| entry.kind != Kind::DEVICE_TREE) {
        image.payload.verify(&entry, cpu::crc32c())?;
    }
    Ok(())
}

/// Reads the header page, which the entry code has mapped with the loader.
fn read_header(own: &OwnImage, identity: &mut IdentityMap) -> Result<Header, BootError> {
    identity.map(own.header_page(), Rights::ReadOnly)?;
    // SAFETY: the header page is the image's first, and nobody writes to it.
    let page = unsafe { identity.bytes(own.header_page()) };
    let header = Header::decode(page, cpu::crc32c())?;
    if header.boot_flags.contains(BootFlags::SEMIHOSTING) {
        MEANS.allow_semihosting();
    }
    log().print_up_to(header.log_level);
    Ok(header)
}

/// The image's bytes in memory.
fn image_range(own: &OwnImage, header: &Header) -> Result<PhysRange, BootError> {
    let range = PhysRange::new(own.base(), header.image_size).filter(|range| range.covers(own.loader()));
    range.ok_or(EntryError::Place { phys: own.base().get() }.into())
}

/// Maps the image where it lies: the loader's code read-only but for the entry page, the rest writable.
fn map_image(own: &OwnImage, image: PhysRange, identity: &mut IdentityMap) -> Result<(), BootError> {
    identity.map(own.read_only(PAGE), Rights::ReadOnly)?;
    let rest = PhysRange::from_bounds(own.writable().start().get(), image.end());
    identity.map(rest.unwrap_or_default(), Rights::ReadWrite)?;
    Ok(())
}
