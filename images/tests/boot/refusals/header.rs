//! The header page: wrong in one field and sealed again. The loader runs nevertheless, since firmware enters it by
//! the Linux header alone; it has no console yet and may not call the host, so the tool reads the code of a processor
//! that waits.

use libtest_mimic::Failed;
use shared_abi::crc32c::crc32c;
use shared_abi::image::header::{HEADER_OFFSET, HEADER_PAGE, seal};

use super::{Image, expect_refusal, test_name};
use crate::Behaviour;

/// A field's offset in the page, what is written there, and the code that the boot must answer with.
type Damage = (&'static str, u16, usize, &'static [u8]);

const DAMAGES: [Damage; 10] = [
    ("another magic", 102, HEADER_OFFSET, b"HANDOFG\0"),
    ("another version", 103, HEADER_OFFSET + 0x08, &[2]),
    ("another size", 104, HEADER_OFFSET + 0x0C, &[64]),
    ("another Linux magic", 106, 56, b"ARM\x65"),
    ("an image above 64 GiB", 107, HEADER_OFFSET + 0x10, &[0, 0, 0, 0, 0x20]),
    ("an empty loader", 108, HEADER_OFFSET + 0x18, &[0; 8]),
    ("a table in the loader", 109, HEADER_OFFSET + 0x20, &[0, 0x10, 0, 0]),
    ("an unaligned table", 109, HEADER_OFFSET + 0x20, &[4]),
    ("an unknown boot flag", 110, HEADER_OFFSET + 0x28, &[1, 0, 0, 0x80]),
    ("an unknown log level", 111, HEADER_OFFSET + 0x2C, &[3]),
];

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = DAMAGES
        .into_iter()
        .map(|(name, code, at, bytes)| {
            refused(name, code, move |page| {
                page[at..at + bytes.len()].copy_from_slice(bytes);
                seal(page, crc32c).expect("it is a whole page");
            })
        })
        .collect();
    list.push(refused("a damaged byte", 105, |page| page[HEADER_OFFSET + 0x40] ^= 1));
    list
}

fn refused(name: &str, code: u16, damage: impl FnOnce(&mut [u8]) + Send + 'static) -> Behaviour {
    let name = format!("header_refused_e{code:04}_{}", test_name(name));
    Behaviour::new(name.clone(), move || -> Result<(), Failed> {
        let mut image = Image::of_example("hello")?;
        damage(&mut image.bytes[..HEADER_PAGE]);
        expect_refusal(&name, &image.bytes, code, &[])
    })
}
