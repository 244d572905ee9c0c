//! Other people's files, told by their first bytes: who gives one is told what it is, not what it lacks.
//!
//! Sources: Linux `Documentation/arch/arm64/booting.rst` and its siblings for the other machines, U-Boot
//! `include/image.h` and the FIT specification, Android's `bootimg.h`, the Limine boot protocol, Multiboot2, the PE
//! format, RFC 1952 (gzip), RFC 8878 (Zstandard) and the headers of the other archives.

use elfloader::kernel_elf::KernelElfError;
use shared_abi::crc32c::crc32c;
use shared_abi::image::Header;
use shared_abi::note::{NOTE_NAME, NoteError};

use crate::elf_form::image_bytes;
use crate::failure::{Failure, Outcome};

/// What to do with a file that is packed, not booted.
const UNPACK: &str = "unpack it, and give the ELF file that is in it";

/// What to do with what another boot starts.
const LINK: &str = "give a kernel's ELF file that has the Handoff note: README, \"A kernel of your own\"";

/// A file of another kind: what it is, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// With its article: `a gzip file`.
    pub name: &'static str,
    help: &'static str,
}

/// Bytes at an offset of a file, and what a file that has them there is.
type Magic = (usize, &'static [u8], &'static str, &'static str);

/// The first that fits counts: what holds another kind's magic as well comes before it.
const MAGICS: &[Magic] = &[
    (4, b"zimg", "a compressed Linux kernel (EFI zboot)", LINK),
    (56, b"ARM\x64", "a Linux arm64 Image, as of Linux, Xen or U-Boot", LINK),
    (56, b"RSC\x05", "a Linux RISC-V Image", LINK),
    (0x202, b"HdrS", "a Linux kernel for x86 (bzImage)", LINK),
    (0x24, &0x016F_2818_u32.to_le_bytes(), "a Linux kernel for 32-bit Arm (zImage)", LINK),
    (0, &[0x27, 0x05, 0x19, 0x56], "a U-Boot legacy image (mkimage)", UNPACK),
    (0, b"ANDROID!", "an Android boot image", UNPACK),
    (0, b"VNDRBOOT", "an Android vendor boot image", UNPACK),
    (0, &[0x1F, 0x8B], "a gzip file", UNPACK),
    (0, &[0x28, 0xB5, 0x2F, 0xFD], "a Zstandard file", UNPACK),
    (0, b"\xFD7zXZ\0", "an xz file", UNPACK),
    (0, b"BZh", "a bzip2 file", UNPACK),
    (0, &[0x04, 0x22, 0x4D, 0x18], "an LZ4 file", UNPACK),
    (0, &[0x02, 0x21, 0x4C, 0x18], "an LZ4 file (legacy)", UNPACK),
    (0, b"\x89LZO\0", "an lzop file", UNPACK),
    (0, &[0x5D, 0, 0], "an LZMA file", UNPACK),
    (0, b"PK\x03\x04", "a ZIP file", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"070701", "a cpio archive", "pack it as a module: --module init.cpio=FILE"),
    (0, b"!<arch>\n", "a library or package (ar)", "link it: give the kernel's ELF file"),
    (0, b"/dts-v1/", "a device tree's source", "compile it: dtc -o FILE.dtb FILE.dts"),
    (0, b"#!", "a script", "give what it makes"),
];

/// What dumps are by their kind of ELF file.
const CORE: &str = "a core dump";

/// What flattened trees are.
const TREE: &str = "a device tree";

/// `EM_AARCH64`.
const AARCH64: u16 = 183;

/// `e_machine` of other machines, and what such a file is.
const MACHINES: &[(u16, &str)] = &[
    (3, "an ELF file for 32-bit x86"),
    (8, "an ELF file for MIPS"),
    (20, "an ELF file for 32-bit PowerPC"),
    (21, "an ELF file for 64-bit PowerPC"),
    (22, "an ELF file for S/390"),
    (40, "an ELF file for 32-bit Arm"),
    (62, "an ELF file for x86-64"),
    (243, "an ELF file for RISC-V"),
    (258, "an ELF file for LoongArch"),
];

/// What is found somewhere in an ELF file for AArch64 that another boot starts.
const MARKS: &[(&[u8], &str)] = &[
    // The first half of the id of every request, and that of the request's place.
    (&LIMINE, "a kernel for the Limine boot protocol"),
    (b"ELF-loader started", "seL4's elfloader with a system in it"),
    (b"seL4 called fail", "the seL4 kernel"),
    (b"Bootstrapping kernel", "the seL4 kernel"),
    (b"Linux version ", "the Linux kernel's ELF file (vmlinux)"),
    (b"Xen version ", "Xen's ELF file"),
    (b"U-Boot 20", "U-Boot's ELF file"),
    (b"Booting Zephyr", "a Zephyr application"),
];

/// `LIMINE_COMMON_MAGIC`.
const LIMINE: [u8; 16] = {
    let (low, high) = (0xC7B1_DD30_DF4C_8B88_u64.to_le_bytes(), 0x0A82_E883_A194_F07B_u64.to_le_bytes());
    let mut bytes = [0; 16];
    let mut at = 0;
    while at < 8 {
        (bytes[at], bytes[8 + at]) = (low[at], high[at]);
        at += 1;
    }
    bytes
};

impl Kind {
    /// What a file is that is neither an image nor a kernel of ours; `None` if it is one, or nobody knows.
    pub fn of(file: &[u8]) -> Option<Self> {
        if Header::begins(file) {
            return None;
        }
        let fits = |(at, bytes, ..): &&Magic| file.get(*at..).is_some_and(|rest| rest.starts_with(bytes));
        if let Some((_, _, name, help)) = MAGICS.iter().find(fits) {
            return Some(Self { name, help });
        }
        match file {
            [0xD0, 0x0D, 0xFE, 0xED, ..] => Some(Self::of_tree(file)),
            [b'M', b'Z', ..] => Self::of_pe(file),
            [0x7F, b'E', b'L', b'F', ..] => Self::of_elf(file),
            _ => holds(file, b"U-Boot 20").then_some(Self { name: "U-Boot", help: LINK }),
        }
    }

    fn of_tree(file: &[u8]) -> Self {
        // A FIT is a tree whose root has this node.
        match holds(file, b"\0\0\0\x01images\0\0") {
            true => Self { name: "a U-Boot FIT image", help: UNPACK },
            false => Self { name: TREE, help: "give it with --dtb FILE, and a kernel beside it" },
        }
    }

    fn of_pe(file: &[u8]) -> Option<Self> {
        let start = u32::from_le_bytes(*file.get(0x3C..)?.first_chunk()?);
        let header = file.get(start as usize..)?.strip_prefix(b"PE\0\0")?;
        let name = match header.first_chunk()? {
            [0x64, 0xAA] => "a PE file for AArch64, as EFI starts it",
            [0x64, 0x86] => "a PE file for x86-64, as EFI starts it",
            _ => "a PE file for another machine",
        };
        Some(Self { name, help: LINK })
    }

    fn of_elf(file: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
        let (kind, machine) = (number(16)?, number(18)?);
        if let Some((_, name)) = MACHINES.iter().find(|(known, _)| *known == machine) {
            return Some(Self { name, help: "build it for AArch64" });
        }
        match (machine, kind) {
            (AARCH64, 1) => {
                Some(Self { name: "an object file", help: "link it: give the kernel's ELF file" })
            }
            (AARCH64, 4) => Some(Self { name: CORE, help: "if inspect wrote it, give it with --from" }),
            (AARCH64, _) if !holds(file, &NOTE_NAME) => {
                let (_, name) = MARKS.iter().find(|(mark, _)| holds(file, mark))?;
                Some(Self { name, help: LINK })
            }
            _ => None,
        }
    }
}

/// The failure, which is that `file` is not what was `wanted`: if one knows what it is instead, that is said. A
/// damaged one of the kind `own` is what was wanted.
fn named(failure: Failure, file: &[u8], wanted: &str, own: &str) -> Failure {
    match Kind::of(file) {
        Some(Kind { name, help }) if name != own => {
            failure.reworded(format!("this is {name}, not {wanted}"), help)
        }
        _ => failure,
    }
}

/// Checks that a file is meant as an image: a damaged one is for the loader to refuse.
pub fn expect_image(file: &[u8]) -> Outcome<()> {
    let (_, image) = image_bytes(file);
    let failure = match Header::decode(image, crc32c) {
        Err(error) if !Header::begins(image) => Failure::from(error),
        _ => return Ok(()),
    };
    if file.starts_with(b"\x7FELF") && holds(file, &NOTE_NAME) && Kind::of(file).is_none() {
        return Err(failure.reworded("this is a kernel, not an image", "give it with --kernel FILE"));
    }
    Err(named(failure, file, "a Handoff image", ""))
}

/// What is wrong with a file that is no kernel: first that it is another kind of file, then that it has no note, then
/// what the loader says of it.
pub fn no_kernel(file: &[u8], error: KernelElfError) -> Failure {
    if Header::begins(file) {
        return Failure::from(error)
            .reworded("this is a Handoff image, not a kernel", "give it with --image FILE");
    }
    let is_read = !matches!(error.code(), 201..=210);
    let error = if is_read && !holds(file, &NOTE_NAME) { NoteError::Missing.into() } else { error };
    named(error.into(), file, "a kernel for Handoff", "")
}

/// What is wrong with a file that is no dump; `failure` says what is.
pub fn no_dump(failure: Failure, file: &[u8]) -> Failure {
    named(failure, file, "a dump of inspect", CORE)
}

/// What is wrong with a file that is no device tree; `failure` says what is.
pub fn no_tree(failure: Failure, file: &[u8]) -> Failure {
    named(failure, file, "a device tree", TREE)
}

fn holds(file: &[u8], bytes: &[u8]) -> bool {
    memchr::memmem::find(file, bytes).is_some()
}

#[cfg(test)]
mod tests {
    use elfloader::kernel_elf::KernelElf;
    use shared_abi::image::{BootFlags, LogLevel};

    use super::*;

    /// `length` bytes with these at their places.
    fn file(length: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut file = vec![0; length];
        for (at, bytes) in parts {
            file[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        file
    }

    fn elf(machine: u16, mark: &[u8]) -> Vec<u8> {
        let machine = machine.to_le_bytes();
        file(
            256,
            &[
                (0, b"\x7FELF\x02\x01\x01"),
                (16, &[2, 0]),
                (18, &machine),
                (20, &[1]),
                (52, &[64, 0, 56]),
                (128, mark),
            ],
        )
    }

    #[test]
    fn every_kind_is_told_by_its_name() {
        let pe =
            |machine: &[u8]| file(256, &[(0, b"MZ"), (0x3C, &[0x80]), (0x80, b"PE\0\0"), (0x84, machine)]);
        // A Linux Image with an EFI stub is a PE file, too, and so is a bzImage.
        let both = |at, magic: &'static [u8]| {
            file(1024, &[(0, b"MZ"), (at, magic), (0x3C, &[0x80]), (0x80, b"PE\0\0")])
        };
        let tree =
            |node: &[u8]| file(128, &[(0, &[0xD0, 0x0D, 0xFE, 0xED]), (60, &[0, 0, 0, 1]), (64, node)]);
        for (file, words) in [
            (both(56, b"ARM\x64"), "Linux arm64 Image"),
            (both(0x202, b"HdrS"), "bzImage"),
            (both(4, b"zimg"), "zboot"),
            (pe(&[0x64, 0xAA]), "PE file for AArch64"),
            (pe(&[0x64, 0x86]), "PE file for x86-64"),
            (tree(b"images\0\0"), "FIT"),
            (tree(b"cpus\0\0\0\0"), "a device tree"),
            (file(64, &[(0, &[0x27, 0x05, 0x19, 0x56])]), "U-Boot legacy"),
            (file(64, &[(0, b"ANDROID!")]), "Android"),
            (file(64, &[(0, &[0x1F, 0x8B])]), "gzip"),
            (file(64, &[(0, &[0x28, 0xB5, 0x2F, 0xFD])]), "Zstandard"),
            (file(64, &[(0, b"\xFD7zXZ\0")]), "xz"),
            (elf(62, b""), "x86-64"),
            (elf(AARCH64, &LIMINE), "Limine"),
            (elf(AARCH64, b"ELF-loader started on"), "seL4's elfloader"),
            (elf(AARCH64, b"Linux version 6.1"), "vmlinux"),
            (file(64, &[(8, b"U-Boot 2023.01")]), "U-Boot"),
        ] {
            let kind = Kind::of(&file).unwrap_or_else(|| panic!("{words} is not known"));
            assert!(kind.name.contains(words) && !kind.help.is_empty(), "{kind:?}: {words}");
            // Wherever it is cut, nothing breaks.
            for length in 0..file.len() {
                Kind::of(&file[..length]);
            }
            let failure = expect_image(&file).unwrap_err();
            assert!(failure.words().contains(words) && failure.code().is_some(), "{failure}");
            let failure = no_kernel(&file, KernelElf::parse(&file).unwrap_err());
            assert!(failure.words().contains(words) && failure.code().is_some(), "{failure}");
        }
        assert_eq!(Kind::of(b"just text"), None);
    }

    #[test]
    fn a_kernel_without_a_note_is_told_so_before_all_else() {
        let other = elf(AARCH64, b"something else");
        let failure = no_kernel(&other, KernelElf::parse(&other).unwrap_err());
        assert_eq!(failure.code(), Some(301), "{failure}");
        let ours = elf(AARCH64, &NOTE_NAME);
        let failure = no_kernel(&ours, KernelElf::parse(&ours).unwrap_err());
        assert_ne!(failure.code(), Some(301), "{failure}");
        assert_eq!(expect_image(&ours).unwrap_err().help(), "give it with --kernel FILE");
    }

    #[test]
    fn a_damaged_image_is_the_loader_s_to_refuse() {
        let header = Header {
            image_size: 0x3000,
            loader_length: 0x1000,
            payload_table_offset: 0x2000,
            boot_flags: BootFlags::empty(),
            log_level: LogLevel::Normal,
            phys_tree_hint: 0,
        };
        let page = header.encode(crc32c);
        for at in 0..page.len().min(256) {
            let mut damaged = page;
            damaged[at] ^= 0x40;
            assert_eq!(expect_image(&damaged), Ok(()), "byte {at:#x}");
        }
        let failure = no_kernel(&page, KernelElf::parse(&page).unwrap_err());
        assert_eq!(failure.help(), "give it with --image FILE");
    }
}
