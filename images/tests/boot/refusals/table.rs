//! The payload table, its end marker and the entries' digests: wrong in one thing and sealed again, so that nothing
//! but that thing can be what is refused.

use libtest_mimic::Failed;
use shared_abi::crc32c::crc32c;
use shared_abi::image::EndMarker;
use zerocopy::IntoBytes;

use super::{Image, expect_refusal, test_name};
use crate::Behaviour;

/// What is done to an image, and the code that the boot must answer with.
type Damage = (&'static str, u16, fn(&mut Image));

// The table's fields (`shared-abi/src/image/payload`): its header, then an entry each 96 bytes.
const VERSION: usize = 8;
const HEADER_SIZE: usize = 12;
const COUNT: usize = 16;
const STRIDE: usize = 20;
const IMAGE_SIZE: usize = 24;
const CHECKSUM: usize = 36;
/// The first entry is the kernel's, the second a module's.
const KERNEL: usize = 40;
const MODULE: usize = KERNEL + 96;
// An entry's fields.
const KIND: usize = 0;
const PROTOCOL: usize = 4;
const FLAGS: usize = 8;
const DIGEST: usize = 12;
const NAME: usize = 16;
const OFFSET: usize = 48;
const LENGTH: usize = 56;

/// Contents that the table's seal does not cover.
const UNSEALED: [Damage; 6] = [
    ("a truncated image", 128, |image| image.bytes.truncate(image.bytes.len() - 4096)),
    ("an image without its last byte", 128, |image| image.bytes.truncate(image.bytes.len() - 1)),
    ("a table that is gone", 122, |image| image.change(0, &[0; 8])),
    ("a damaged entry in the table", 126, |image| image.bytes[image.table + KERNEL + 1] ^= 1),
    ("a damaged kernel", 140, |image| image.bytes[image.kernel + image.kernel_length - 1] ^= 1),
    ("a damaged module", 140, |image| {
        let module = image.word(MODULE + OFFSET);
        image.bytes[module] ^= 0x80;
    }),
];

/// Tables that are wrong on purpose.
const SEALED: [Damage; 16] = [
    ("a table past the image", 121, |image| {
        image.change(COUNT, &[64]);
        image.change(STRIDE, &[0, 0x10]);
    }),
    ("a table of another version", 123, |image| image.change(VERSION, &[2])),
    ("a table header of another size", 124, |image| image.change(HEADER_SIZE, &[36])),
    ("a stride below an entry", 124, |image| image.change(STRIDE, &[88])),
    ("too many entries", 125, |image| image.change(COUNT, &[65])),
    ("a table of another image", 127, |image| {
        let size = image.word(IMAGE_SIZE) as u64 + 4096;
        image.change(IMAGE_SIZE, &size.to_le_bytes());
    }),
    ("an unknown entry that must be understood", 130, |image| {
        image.change(MODULE + KIND, &[0xFF]);
        image.change(MODULE + FLAGS, &[1]);
    }),
    ("a kernel of another protocol", 131, |image| image.change(KERNEL + PROTOCOL, &[1])),
    ("a digest of an unknown kind", 132, |image| image.change(MODULE + DIGEST, &[9])),
    ("a name that is no text", 133, |image| image.change(MODULE + NAME, &[0xFF, 0xFE])),
    ("an empty entry", 134, |image| image.change(MODULE + LENGTH, &[0; 8])),
    ("a kernel between pages", 135, |image| {
        let offset = image.word(KERNEL + OFFSET) as u64 + 8;
        image.change(KERNEL + OFFSET, &offset.to_le_bytes());
    }),
    ("a second kernel", 136, |image| image.change(MODULE + KIND, &[1])),
    ("an entry past the end", 137, |image| image.change(MODULE + LENGTH + 4, &[1])),
    ("overlapping entries", 138, |image| {
        let kernel = image.word(KERNEL + OFFSET) as u64;
        image.change(MODULE + OFFSET, &kernel.to_le_bytes());
    }),
    ("no kernel", 139, |image| image.change(KERNEL + KIND, &[2])),
];

pub fn all() -> Vec<Behaviour> {
    let unsealed = UNSEALED.map(|damage| refused(damage, |_| ()));
    let sealed = SEALED.map(|damage| refused(damage, Image::seal_table));
    unsealed.into_iter().chain(sealed).collect()
}

fn refused((name, code, damage): Damage, seal: fn(&mut Image)) -> Behaviour {
    let name = format!("image_refused_e{code:04}_{}", test_name(name));
    Behaviour::new(name.clone(), move || -> Result<(), Failed> {
        let mut image = Image::of_example("hello")?;
        damage(&mut image);
        seal(&mut image);
        expect_refusal(&name, &image.bytes, code, &[])
    })
}

impl Image {
    /// Changes bytes of the table.
    fn change(&mut self, at: usize, bytes: &[u8]) {
        self.put(self.table + at, bytes);
    }

    /// A 64-bit field of the table.
    fn word(&self, at: usize) -> usize {
        let bytes = self.bytes[self.table + at..].first_chunk().expect("the image goes on");
        u64::from_le_bytes(*bytes) as usize
    }

    /// Makes checksum and end marker right again.
    fn seal_table(&mut self) {
        let table = &self.bytes[self.table..];
        let half = |at: usize| u32::from_le_bytes(*table[at..].first_chunk().expect("it goes on")) as usize;
        let end = (half(HEADER_SIZE) + half(COUNT) * half(STRIDE)).min(table.len());
        let checksum = crc32c(crc32c(0, &table[..CHECKSUM]), &table[(CHECKSUM + 4).min(end)..end]);
        self.change(CHECKSUM, &checksum.to_le_bytes());
        let size = self.bytes.len();
        let marker = EndMarker::new(size as u64, checksum);
        self.put(size - marker.as_bytes().len(), marker.as_bytes());
    }
}
