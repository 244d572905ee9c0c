//! The combined image's writer: contents in, bytes and their layout out.
//!
//! ```text
//! +0        header page
//! +0x1000   loader
//! …         payload table, then the small entries close behind it
//! …         kernel on pages of its own, by 2 MiB where blocks can map it; modules likewise
//! …         end marker
//! ```
//!
//! Packing writes what it is given and judges nothing, so that tests can make bad images; [`crate::check`] judges.
//! The same contents give the same bytes: nothing of the clock, the host or a path gets in.

use std::fmt::Write;

use shared_abi::addr::PAGE;
use shared_abi::crc32c::crc32c;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::image::payload::name_field;
use shared_abi::image::{BootFlags, EndMarker, Entry, Header, Kind, LogLevel, PayloadTable};

use crate::failure::{Failure, Outcome};
use crate::kernel::KernelFile;
use crate::recipe::Digest;
use crate::size::readable;

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The flattened loader.
    pub loader: Vec<u8>,
    /// The kernel and its name.
    pub kernel: KernelFile,
    /// The kernel's name.
    pub kernel_name: String,
    /// Everything else, in any order; the layout sorts it.
    pub more: Vec<Payload>,
    /// How entries are checked.
    pub digest: Digest,
    /// What the boot may and must do.
    pub flags: BootFlags,
    /// How much is printed.
    pub log: LogLevel,
    /// Physical address of a device tree where firmware passes none; 0 for no hint.
    pub tree_hint: u64,
}

/// One payload entry besides the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A packed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The image.
    pub bytes: Vec<u8>,
    /// What lies where.
    pub layout: Layout,
}

/// What lies where in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The parts in ascending order.
    pub parts: Vec<Part>,
}

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub what: String,
    /// Its own name, if it has one.
    pub name: String,
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Packs an image.
pub fn pack(contents: &Contents) -> Outcome<Packed> {
    let mut parts = vec![
        Part::new("header page", "", 0, HEADER_PAGE),
        Part::new("loader", "", HEADER_PAGE as u64, contents.loader.len()),
    ];
    let table_offset = (HEADER_PAGE as u64 + contents.loader.len() as u64).next_multiple_of(PAGE);
    let table_length = PayloadTable::size(contents.more.len() + 1);
    parts.push(Part::new("payload table", "", table_offset, table_length));

    let mut free = table_offset + table_length as u64;
    let mut entries = Vec::new();
    let mut blobs: Vec<(u64, &[u8])> = Vec::new();
    let mut place = |kind: Kind, name: &str, offset: u64, bytes: &'_ [u8]| -> Outcome<Entry> {
        let field = name_field(name).ok_or_else(|| {
            Failure::new(format!("{name:?} is no name for a payload"), "give one of at most 31 bytes")
        })?;
        parts.push(Part::new(&kind.to_string(), name, offset, bytes.len()));
        let entry = Entry::new(kind, field, offset, bytes.len() as u64);
        Ok(match contents.digest {
            Digest::None => entry,
            Digest::Crc32c => entry.with_crc32c(bytes, crc32c),
        })
    };
    // What shares pages goes in front: it fits behind the table.
    let (owners, small): (Vec<_>, Vec<_>) =
        contents.more.iter().partition(|payload| payload.kind.owns_pages());
    for payload in small {
        let offset = free.next_multiple_of(payload.kind.alignment());
        entries.push(place(payload.kind, &payload.name, offset, &payload.bytes)?);
        blobs.push((offset, &payload.bytes));
        free = offset + payload.bytes.len() as u64;
    }
    let offset = contents.kernel.place(free);
    entries.push(place(Kind::KERNEL, &contents.kernel_name, offset, contents.kernel.bytes())?);
    blobs.push((offset, contents.kernel.bytes()));
    free = (offset + contents.kernel.bytes().len() as u64).next_multiple_of(PAGE);
    for payload in owners {
        entries.push(place(payload.kind, &payload.name, free, &payload.bytes)?);
        blobs.push((free, &payload.bytes));
        free = (free + payload.bytes.len() as u64).next_multiple_of(PAGE);
    }
    // On a page of its own: a kernel's last page is its own, zeros and all.
    let image_size = free + EndMarker::SIZE;
    parts.push(Part::new("end marker", "", free, EndMarker::SIZE as usize));

    let header = Header {
        image_size,
        loader_length: contents.loader.len() as u64,
        payload_table_offset: table_offset,
        boot_flags: contents.flags,
        log_level: contents.log,
        phys_tree_hint: contents.tree_hint,
    };
    let size = usize::try_from(image_size).map_err(|_| {
        Failure::new("the image is larger than this host can hold", "pack less, or on a 64-bit host")
    })?;
    let mut bytes = vec![0; size];
    bytes[..HEADER_PAGE].copy_from_slice(&header.encode(crc32c));
    bytes[HEADER_PAGE..][..contents.loader.len()].copy_from_slice(&contents.loader);
    let marker = PayloadTable::encode(&entries, image_size, &mut bytes[table_offset as usize..], crc32c)
        .ok_or_else(|| {
            Failure::new(
                format!("{} payload entries are too many for a table", entries.len()),
                "pack fewer modules, or several in an archive",
            )
        })?;
    for (offset, blob) in blobs {
        bytes[offset as usize..][..blob.len()].copy_from_slice(blob);
    }
    bytes[free as usize..].copy_from_slice(zerocopy::IntoBytes::as_bytes(&marker));
    Ok(Packed { bytes, layout: Layout { parts } })
}

impl Part {
    fn new(what: &str, name: &str, offset: u64, length: usize) -> Self {
        Self { what: what.to_owned(), name: name.to_owned(), offset, length: length as u64 }
    }
}

impl Layout {
    /// The layout as a table, a line per part.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let width = self.parts.iter().map(|part| part.what.len()).max().unwrap_or_default();
        for part in &self.parts {
            let Part { what, name, offset, length } = part;
            let line = format!("{offset:#010x}  {:>9}  {what:width$}  {name}", readable(*length));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use shared_abi::image;

    use super::*;

    fn contents() -> Contents {
        let payload = |kind, name: &str, length| Payload { kind, name: name.into(), bytes: vec![7; length] };
        Contents {
            loader: vec![0xD5; 0x3000],
            kernel: KernelFile::new(vec![1; 0x1234]),
            kernel_name: "kernel".into(),
            more: vec![
                payload(Kind::MODULE, "initramfs", 0x1001),
                payload(Kind::COMMAND_LINE, "", 11),
                payload(Kind::SYMBOLS, "", 100),
            ],
            digest: Digest::Crc32c,
            flags: BootFlags::SEMIHOSTING,
            log: LogLevel::Normal,
            tree_hint: 0,
        }
    }

    #[test]
    fn the_layout_is_this() {
        assert_eq!(
            pack(&contents()).unwrap().layout.table(),
            "\
0x00000000      4 KiB  header page
0x00001000     12 KiB  loader
0x00004000      424 B  payload table
0x000041a8       11 B  command line
0x000041b8      100 B  symbols
0x00005000    4.5 KiB  kernel         kernel
0x00007000      4 KiB  module         initramfs
0x00009000       32 B  end marker
"
        );
    }

    #[test]
    fn the_reader_of_the_stages_finds_all_contents() {
        let contents = contents();
        let packed = pack(&contents).unwrap();
        let (header, table) = image::open(&packed.bytes, crc32c).unwrap();
        assert_eq!(header.loader_length, 0x3000);
        assert_eq!(table.entries().count(), 4);
        for entry in table.entries() {
            assert_eq!(table.verify(&entry, crc32c), Ok(()));
            assert!(entry.crc32c().is_some());
        }
        for payload in &contents.more {
            let entry = table.find(payload.kind).unwrap();
            assert_eq!((entry.name(), table.bytes(&entry)), (payload.name.as_str(), &payload.bytes[..]));
        }
        assert_eq!(table.bytes(&table.kernel().unwrap()), contents.kernel.bytes());
        assert_eq!(&packed.bytes[0x1000..0x4000], &contents.loader[..]);
        let without = pack(&Contents { digest: Digest::None, ..contents }).unwrap();
        let (_, table) = image::open(&without.bytes, crc32c).unwrap();
        assert!(table.entries().all(|entry| entry.crc32c().is_none()));
    }

    #[test]
    fn packing_is_reproducible_and_the_loader_s_bytes_do_not_depend_on_the_rest() {
        let one = pack(&contents()).unwrap();
        assert_eq!(one, pack(&contents()).unwrap());
        let other = Contents {
            kernel: KernelFile::new(vec![9; 0x9000]),
            more: Vec::new(),
            log: LogLevel::Quiet,
            tree_hint: 0x4000_0000,
            ..contents()
        };
        assert_eq!(pack(&other).unwrap().bytes[0x1000..0x4000], one.bytes[0x1000..0x4000]);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let long = Contents { kernel_name: "x".repeat(32), ..contents() };
        assert!(pack(&long).unwrap_err().help().contains("at most 31 bytes"));
    }
}
