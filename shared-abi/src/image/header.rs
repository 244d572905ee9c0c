//! The header page: what firmware reads to start us, then what the loader and the tools read.
//!
//! ```text
//! 0x000   Linux arm64 Image header (Documentation/arch/arm64/booting.rst), 64 bytes
//! 0x040   our header, 128 bytes, closed by a checksum of everything from 0x000 on
//! 0x0C0   zero
//! 0x200   left for a PE header, which the word at 0x03C would then point to
//! 0x1000  the loader
//! ```
//!
//! Whatever boots an arm64 Linux `Image` boots us. Its first word must read `MZ` for a PE loader and do nothing
//! for the CPU: `ccmp x18, #0, #0xd, pl`; the second branches to the loader.

#[cfg(test)]
mod tests;

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::crc32c::Crc32c;
use crate::errors;
use crate::wire::load;

/// Bytes of the header page, and the loader's offset in the image.
pub const HEADER_PAGE: usize = 0x1000;

/// Where our header begins in the page.
pub const HEADER_OFFSET: usize = 0x40;

/// Where a PE header is to go; nothing of ours may lie there.
pub const PE_OFFSET: usize = 0x200;

/// The first eight bytes of our header.
pub const HEADER_MAGIC: [u8; 8] = *b"HANDOFF\0";

/// The version of our header and of the payload table. Another one is refused.
pub const IMAGE_VERSION: u32 = 1;

/// Largest image that is accepted, 64 GiB: sums of offsets cannot wrap.
pub const MAX_IMAGE_SIZE: u64 = 1 << 36;

/// Where in the page the boot flags lie, for code that runs before any of this can.
pub const BOOT_FLAGS_OFFSET: usize = HEADER_OFFSET + core::mem::offset_of!(Record, boot_flags);

/// Where in the page the device-tree hint lies.
pub const TREE_HINT_OFFSET: usize = HEADER_OFFSET + core::mem::offset_of!(Record, phys_tree_hint);

/// Where in the page the size of the whole image lies.
pub const IMAGE_SIZE_OFFSET: usize = HEADER_OFFSET + core::mem::offset_of!(Record, image_size);

bitflags! {
    /// What the boot may and must do. Unknown bits are refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct BootFlags: u32 {
        /// Semihosting is there: errors and the verdict may use it.
        const SEMIHOSTING = 1 << 0;
        /// Wait in front of the loader's last instruction, for a debugger that goes on behind the wait.
        const PAUSE = 1 << 1;
    }
}

/// How much the loader prints. What it records does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u32)]
pub enum LogLevel {
    /// Errors.
    Quiet = 0,
    /// One line per stage.
    #[default]
    Normal = 1,
    /// Everything.
    Verbose = 2,
}

impl LogLevel {
    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Quiet),
            1 => Some(Self::Normal),
            2 => Some(Self::Verbose),
            _ => None,
        }
    }
}

/// The header page's contents. A value from [`Header::decode`] has passed every check that its bytes allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole image, end marker included.
    pub image_size: u64,
    /// Bytes of the loader, from +0x1000 on.
    pub loader_length: u64,
    /// Where the payload table begins, a multiple of 8.
    pub payload_table_offset: u64,
    /// What the boot may and must do.
    pub boot_flags: BootFlags,
    /// How much is printed.
    pub log_level: LogLevel,
    /// Physical address of a device tree where firmware passes none; 0 for no hint.
    pub phys_tree_hint: u64,
}

/// The Linux arm64 `Image` header, field by field.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct LinuxRecord {
    code0: u32,
    code1: u32,
    text_offset: u64,
    image_size: u64,
    flags: u64,
    res2: u64,
    res3: u64,
    res4: u64,
    magic: [u8; 4],
    pe_offset: u32,
}

/// Our header, field by field.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    magic: [u8; 8],
    version: u32,
    size: u32,
    image_size: u64,
    loader_length: u64,
    payload_table_offset: u64,
    boot_flags: u32,
    log_level: u32,
    phys_tree_hint: u64,
    reserved: [u64; 8],
    reserved_word: u32,
    checksum: u32,
}

/// Both headers as they lie at the page's start.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Page {
    linux: LinuxRecord,
    ours: Record,
}

const CHECKED: usize = size_of::<Page>() - size_of::<u32>();

const _: () = assert!(size_of::<LinuxRecord>() == HEADER_OFFSET);
const _: () = assert!(size_of::<Record>() == 128 && size_of::<Page>() <= PE_OFFSET);
const _: () = assert!(core::mem::offset_of!(Page, ours.checksum) == CHECKED);

/// `ccmp x18, #0, #0xd, pl`: its low bytes are `MZ` and it changes flags that nobody reads.
const CODE0: u32 = 0xFA40_5A4D;

/// `b` from +4 to +0x1000 (Arm ARM C6.2.25: opcode 0b000101, distance in words).
const CODE1: u32 = 0x1400_0000 | ((HEADER_PAGE as u32 - 4) / 4);

/// Linux header flags: little-endian, 4 KiB pages (bits 1 and 2), placement anywhere (bit 3).
const LINUX_FLAGS: u64 = 1 << 1 | 1 << 3;

const LINUX_MAGIC: [u8; 4] = *b"ARM\x64";

impl Header {
    /// The header page. Nothing is judged: [`decode`](Self::decode) does that.
    pub fn encode(&self, crc32c: Crc32c) -> [u8; HEADER_PAGE] {
        let mut page = Page {
            linux: LinuxRecord {
                code0: CODE0,
                code1: CODE1,
                text_offset: 0,
                image_size: self.image_size,
                flags: LINUX_FLAGS,
                res2: 0,
                res3: 0,
                res4: 0,
                magic: LINUX_MAGIC,
                pe_offset: 0,
            },
            ours: Record {
                magic: HEADER_MAGIC,
                version: IMAGE_VERSION,
                size: size_of::<Record>() as u32,
                image_size: self.image_size,
                loader_length: self.loader_length,
                payload_table_offset: self.payload_table_offset,
                boot_flags: self.boot_flags.bits(),
                log_level: self.log_level as u32,
                phys_tree_hint: self.phys_tree_hint,
                reserved: [0; 8],
                reserved_word: 0,
                checksum: 0,
            },
        };
        page.ours.checksum = crc32c(0, page.as_bytes().split_at(CHECKED).0);
        let mut bytes = [0; HEADER_PAGE];
        bytes[..size_of::<Page>()].copy_from_slice(page.as_bytes());
        bytes
    }

    /// Whether a file begins as an image does, however damaged: with our magic, or with the entry's instructions.
    pub fn begins(file: &[u8]) -> bool {
        let page = load::<Page>(file);
        page.is_some_and(|Page { linux, ours }| {
            ours.magic == HEADER_MAGIC || (linux.code0, linux.code1) == (CODE0, CODE1)
        })
    }

    /// Reads the header page at the start of an image.
    ///
    /// # Errors
    /// The first field that is wrong. Whether `image` holds all of the image is left to the payload table.
    pub fn decode(image: &[u8], crc32c: Crc32c) -> Result<Self, HeaderError> {
        let short = HeaderError::Short { length: image.len() as u64 };
        let head = image.get(..HEADER_PAGE).ok_or(short)?;
        let Page { linux, ours } = load(head).ok_or(short)?;
        if ours.magic != HEADER_MAGIC {
            return Err(HeaderError::Magic { found: u64::from_le_bytes(ours.magic) });
        }
        if ours.version != IMAGE_VERSION {
            return Err(HeaderError::Version { found: ours.version });
        }
        if ours.size as usize != size_of::<Record>() {
            return Err(HeaderError::Size { found: ours.size });
        }
        let computed = crc32c(0, head.get(..CHECKED).ok_or(short)?);
        if ours.checksum != computed {
            return Err(HeaderError::Checksum { stored: ours.checksum, computed });
        }
        let entry = (u64::from(linux.code1) << 32) | u64::from(linux.code0);
        if entry != u64::from(CODE1) << 32 | u64::from(CODE0) || linux.magic != LINUX_MAGIC {
            return Err(HeaderError::LinuxHeader { code: entry, magic: u32::from_le_bytes(linux.magic) });
        }
        if ours.image_size > MAX_IMAGE_SIZE || linux.image_size != ours.image_size {
            return Err(HeaderError::ImageSize { linux: linux.image_size, ours: ours.image_size });
        }
        let loader_end = (HEADER_PAGE as u64).checked_add(ours.loader_length);
        if ours.loader_length == 0 || loader_end.is_none_or(|end| end > ours.image_size) {
            return Err(HeaderError::LoaderLength { length: ours.loader_length, image: ours.image_size });
        }
        let table = ours.payload_table_offset;
        let in_loader = loader_end.is_none_or(|end| end > table);
        if !table.is_multiple_of(8) || in_loader || table >= ours.image_size {
            return Err(HeaderError::TableOffset { offset: table, image: ours.image_size });
        }
        Ok(Self {
            image_size: ours.image_size,
            loader_length: ours.loader_length,
            payload_table_offset: table,
            boot_flags: BootFlags::from_bits(ours.boot_flags)
                .ok_or(HeaderError::BootFlags { found: ours.boot_flags })?,
            log_level: LogLevel::from_number(ours.log_level)
                .ok_or(HeaderError::LogLevel { found: ours.log_level })?,
            phys_tree_hint: ours.phys_tree_hint,
        })
    }
}

/// Makes the checksum of a header page right again after its bytes were changed; `None` if they are too few.
pub fn seal(page: &mut [u8], crc32c: Crc32c) -> Option<()> {
    let (checked, rest) = page.split_at_mut_checked(CHECKED)?;
    *rest.first_chunk_mut()? = crc32c(0, checked).to_le_bytes();
    Some(())
}

errors! {
    /// What is wrong with a header page.
    pub enum HeaderError,
        found by "the loader when it reads its own image, and by `handoff check`, `plan` and `build`";

    /// The image is shorter than its header page.
    101 Short { length: u64 = "How many there are." }
        => "the image holds {length:#x} bytes, the header page alone {HEADER_PAGE:#x}";
        help "give a whole image file: this one is cut off, or is not one";
    /// There is no Handoff header: another file, or its start was overwritten.
    102 Magic { found: u64 = "The eight bytes that were found, little-endian." }
        => "no Handoff image: its magic is {found:#018x}";
        help "give an image that `handoff build` wrote; a kernel's ELF file is given with --kernel";
    /// The image is of another version.
    103 Version { found: u32 = "Its version." }
        => "the image has version {found:#x}, this reader {IMAGE_VERSION:#x}";
        help "build the image with the tool of the loader's version";
    /// The header has another size than this version's.
    104 Size { found: u32 = "Its bytes." }
        => "the image's header has {found:#x} bytes, not {:#x}", size_of::<Record>();
        help "build the image with the tool of this version";
    /// The header's checksum is wrong: it was damaged or changed by hand.
    105 Checksum { stored: u32 = "As written.", computed: u32 = "As the bytes have it." }
        => "the image's header is damaged: checksum {computed:#010x}, stored {stored:#010x}";
        help "build the image again";
    /// The Linux part of the header does not start the loader.
    106 LinuxHeader { code: u64 = "Its first two instructions.", magic: u32 = "Its magic number." }
        => "the image's Linux header does not start the loader: code {code:#018x}, magic {magic:#010x}";
        help "build the image again; do not edit its first 64 bytes";
    /// The image's size is above 64 GiB, or said differently in two places.
    107 ImageSize { linux: u64 = "In the Linux header.", ours: u64 = "In ours." }
        => "the image's size is {ours:#x}, in the Linux header {linux:#x}, at most {MAX_IMAGE_SIZE:#x}";
        help "build the image again";
    /// The loader is empty or larger than the image.
    108 LoaderLength { length: u64 = "Its bytes.", image: u64 = "The image's." }
        => "the loader of {length:#x} bytes does not fit the image of {image:#x}";
        help "build the image again";
    /// The payload table's place is unaligned, in the loader or outside the image.
    109 TableOffset { offset: u64 = "Where it is said to be.", image: u64 = "Bytes of the image." }
        => "the payload table cannot lie at {offset:#x} of the image of {image:#x} bytes";
        help "build the image again";
    /// A boot flag is not known.
    110 BootFlags { found: u32 = "All flags." }
        => "the image's boot flags {found:#x} are not all known";
        help "build the image with the tool of this version";
    /// The log level is not known.
    111 LogLevel { found: u32 = "Its number." }
        => "the image's log level {found:#x} is not known";
        help "build the image with the tool of this version";
}
