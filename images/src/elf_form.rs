//! The ELF form: the image's bytes in one `PT_LOAD`, for what starts ELF files only.
//!
//! Nothing else changes: the entry is the image's first byte, as for the `Image` form. Whoever starts an ELF file
//! rarely passes a device tree, which is what the header page's hint is for.

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment};
use shared_abi::addr::PAGE;

/// ELF header and one program header.
const HEADERS: usize = 64 + 56;

/// Wraps `image` to be loaded and entered at the physical address `base`.
pub fn wrap(image: &[u8], base: u64) -> Vec<u8> {
    let mut file = Vec::with_capacity(PAGE as usize + image.len());
    file.extend_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1, 0]);
    file.extend_from_slice(&[0; 8]);
    file.extend_from_slice(&2_u16.to_le_bytes()); // ET_EXEC
    file.extend_from_slice(&183_u16.to_le_bytes()); // EM_AARCH64
    file.extend_from_slice(&1_u32.to_le_bytes()); // EV_CURRENT
    file.extend_from_slice(&base.to_le_bytes()); // e_entry
    file.extend_from_slice(&64_u64.to_le_bytes()); // e_phoff
    file.extend_from_slice(&0_u64.to_le_bytes()); // e_shoff
    file.extend_from_slice(&0_u32.to_le_bytes()); // e_flags
    for half in [64_u16, 56, 1, 0, 0, 0] {
        // e_ehsize, e_phentsize, e_phnum, and no sections
        file.extend_from_slice(&half.to_le_bytes());
    }
    file.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
    file.extend_from_slice(&7_u32.to_le_bytes()); // read, write, execute: the loader sorts it out itself
    let length = image.len() as u64;
    for word in [PAGE, base, base, length, length, PAGE] {
        // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
        file.extend_from_slice(&word.to_le_bytes());
    }
    debug_assert_eq!(file.len(), HEADERS);
    file.resize(PAGE as usize, 0);
    file.extend_from_slice(image);
    file
}

/// The image inside a file of either form.
pub fn image_bytes(file: &[u8]) -> (&'static str, &[u8]) {
    // What only looks like an ELF form is judged as an image, and refused as one.
    let segment = ElfFile64::<Endianness>::parse(file).ok().and_then(|elf| {
        let mut segments = elf.segments();
        let first = segments.next()?.data().ok()?;
        segments.next().is_none().then_some(first)
    });
    match segment {
        Some(image) => ("elf", image),
        None => ("image", file),
    }
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSegment};

    use super::*;

    #[test]
    fn another_reader_finds_the_image_in_its_one_segment() {
        let image: Vec<u8> = (0..5000_u32).map(|number| number as u8).collect();
        let file = wrap(&image, 0x4020_0000);
        let elf = object::File::parse(&*file).unwrap();
        assert_eq!((elf.entry(), elf.architecture()), (0x4020_0000, object::Architecture::Aarch64));
        let segments: Vec<_> = elf.segments().collect();
        assert_eq!(segments.len(), 1);
        assert_eq!((segments[0].address(), segments[0].size()), (0x4020_0000, 5000));
        assert_eq!(segments[0].data().unwrap(), image);
    }
}
