//! What is wrong with a payload.

use super::kind::Kind;
use crate::errors;
use crate::image::header::IMAGE_VERSION;

errors! {
    /// A payload table, end marker or entry that cannot be used. Entries are numbered from 0.
    pub enum PayloadError,
        found by "the loader when it reads its own image, and by `handoff check`, `plan` and `build`";

    /// The file ends before the image does.
    120 Truncated { expected: u64 = "Bytes that the header promises.", length: u64 = "Bytes that are there." }
        => "the image is cut short: {length:#x} of {expected:#x} bytes are there";
        help "it is cut off: copy or build it again";
    /// The payload table reaches past the image.
    121 TableBounds { offset: u64 = "Where it begins.", image: u64 = "Bytes of the image." }
        => "the payload table at {offset:#x} reaches past the image of {image:#x} bytes";
        help "build the image again";
    /// There is no payload table where the header says.
    122 TableMagic {
        offset: u64 = "Where it was looked for.",
        found: u64 = "The eight bytes that were found, little-endian.",
    }
        => "no payload table at {offset:#x}: its magic is {found:#018x}";
        help "what follows the loader was overwritten: check where firmware puts things";
    /// The payload table is of another version.
    123 TableVersion { found: u32 = "Its version." }
        => "the payload table has version {found:#x}, this reader {IMAGE_VERSION:#x}";
        help "build the image with the tool of this version";
    /// The payload table's header or entries have an impossible size.
    124 TableRecords {
        header: u32 = "Bytes of the header.", stride: u32 = "Bytes from one entry to the next.",
    }
        => "the payload table's header of {header:#x} or entries of {stride:#x} bytes cannot be";
        help "build the image again";
    /// There are more than 64 payload entries.
    125 TableCount { found: u32 = "How many.", limit: u32 = "How many are served." }
        => "the payload table has {found:#x} entries, at most {limit:#x} are served";
        help "pack fewer files, or several in an archive";
    /// The payload table's checksum is wrong.
    126 TableChecksum { stored: u32 = "As written.", computed: u32 = "As the bytes have it." }
        => "the payload table is damaged: checksum {computed:#010x}, stored {stored:#010x}";
        help "it was damaged: build or copy the image again";
    /// Table and header are not of one image.
    127 TableImageSize { table: u64 = "As the table has it.", header: u64 = "As the header has it." }
        => "the payload table is of an image of {table:#x} bytes, the header of {header:#x}";
        help "build the image again";
    /// The end marker is missing or of another image: the image was cut short, or overwritten in memory.
    128 EndMarker { image: u64 = "Bytes of the image, which the marker closes." }
        => "the image is cut short: no end marker closes its {image:#x} bytes";
        help "copy it again; check that RAM is large enough and what firmware loads after it";
    /// An entry of unknown kind must be understood.
    130 UnknownKind { index: u32 = "The entry.", kind: u32 = "Its kind's number." }
        => "payload entry {index} must be understood, but its kind {kind:#x} is not known";
        help "use a loader of the version that packed it";
    /// A kernel asks for another protocol than this ABI.
    131 Protocol { index: u32 = "The entry.", protocol: u32 = "Its protocol's number." }
        => "payload entry {index} asks for the protocol {protocol:#x}, only 0x0 is served";
        help "use a loader that serves it";
    /// An entry's digest is of an unknown kind.
    132 DigestKind { index: u32 = "The entry.", kind: u32 = "The digest's number." }
        => "payload entry {index} has a digest of the unknown kind {kind:#x}";
        help "use a loader of the version that packed it";
    /// An entry's name is not UTF-8 filled up with NULs.
    133 Name { index: u32 = "The entry." }
        => "payload entry {index} has a name that is not UTF-8 filled up with NULs";
        help "give the module a name of at most 31 bytes";
    /// An entry is empty.
    134 Empty { index: u32 = "The entry.", kind: Kind = "What it is." }
        => "payload entry {index}, a {kind}, is empty";
        help "leave the empty file out";
    /// An entry begins at an offset that its kind does not allow (kernel and modules: 4 KiB; others: 8).
    135 Unaligned {
        index: u32 = "The entry.", offset: u64 = "Where it begins.",
        alignment: u64 = "What that should be a multiple of.",
    }
        => "payload entry {index} begins at {offset:#x}, no multiple of {alignment:#x}";
        help "build the image again";
    /// There is a second entry of a kind that there is one of.
    136 Twice { index: u32 = "The later entry.", kind: Kind = "What both are." }
        => "payload entry {index} is a second {kind}";
        help "pack one kernel, one device tree and one initrd at most";
    /// An entry reaches past the end marker.
    137 EntryBounds {
        index: u32 = "The entry.", offset: u64 = "Where it begins.", length: u64 = "Its bytes.",
        limit: u64 = "Where the end marker begins.",
    }
        => "payload entry {index} of {length:#x} bytes at {offset:#x} reaches past {limit:#x}";
        help "build the image again";
    /// An entry overlaps the table, the one before it, or a page that belongs to that one.
    138 EntryOverlap {
        index: u32 = "The entry.", offset: u64 = "Where it begins.", length: u64 = "Its bytes.",
        free: u64 = "Where it could begin at the earliest.",
    }
        => "payload entry {index} of {length:#x} bytes at {offset:#x} overlaps what lies before {free:#x}";
        help "build the image again";
    /// There is no kernel.
    139 NoKernel
        => "the image holds no kernel";
        help "pack a kernel: `handoff build --kernel FILE`";
    /// An entry's digest is wrong: its bytes were damaged.
    140 Digest {
        kind: Kind = "What it is.", offset: u64 = "Where it begins.", stored: u32 = "The digest as written.",
        computed: u32 = "As the bytes have it.",
    }
        => "the {kind} at {offset:#x} of the image is damaged: digest {computed:#010x}, stored {stored:#010x}";
        help "copy or build the image again; if it stays, check the memory";
}
