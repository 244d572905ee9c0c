//! The kernel's ELF file as it is packed.
//!
//! Only what the loader reads goes into the image: debugging information is often ten times the kernel. What is
//! dropped lies past everything that a program header names, so the file's own offsets stay right.

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use shared_abi::addr::{PAGE, PageSize};

/// A kernel's bytes, ready for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFile {
    bytes: Vec<u8>,
    residue: u64,
}

impl KernelFile {
    /// Takes any file: whether it is a kernel is for the loader's planner to say, here as at the boot.
    pub fn new(file: Vec<u8>) -> Self {
        match Segments::of(&file) {
            Some(segments) => {
                let residue = segments.residue();
                Self { bytes: trim(file, segments.end), residue }
            }
            None => Self { bytes: file, residue: 0 },
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first offset from `free` on where the file can lie in an image: on a page, and if segments are large
    /// enough for blocks, so that they can be mapped by blocks. Images lie at multiples of 2 MiB.
    pub fn place(&self, free: u64) -> u64 {
        let block = PageSize::Size2M.bytes();
        match self.residue {
            0 if !self.wants_blocks() => free.next_multiple_of(PAGE),
            residue => {
                let start = free.next_multiple_of(PAGE);
                start + residue.wrapping_sub(start) % block
            }
        }
    }

    fn wants_blocks(&self) -> bool {
        Segments::of(&self.bytes).is_some_and(|segments| segments.largest.is_some())
    }
}

/// What packing needs to know of the program headers.
struct Segments {
    /// The first offset that nothing names.
    end: u64,
    /// Address less offset of the largest segment that blocks could map, and its length.
    largest: Option<(u64, u64)>,
}

impl Segments {
    /// `None` if the file is no 64-bit ELF or names bytes that it does not have.
    fn of(file: &[u8]) -> Option<Self> {
        let header = elf::FileHeader64::<Endianness>::parse(file).ok()?;
        let endian = header.endian().ok()?;
        let headers = header.program_headers(endian, file).ok()?;
        let table = header.e_phoff(endian).checked_add(size_of_val(headers) as u64)?;
        let mut end = table.max(size_of_val(header) as u64);
        let mut largest: Option<(u64, u64)> = None;
        for header in headers {
            let (offset, length) = (header.p_offset(endian), header.p_filesz(endian));
            if length != 0 {
                end = end.max(offset.checked_add(length)?);
            }
            let distance = header.p_vaddr(endian).wrapping_sub(offset);
            let fits = header.p_type(endian) == elf::PT_LOAD
                && length >= PageSize::Size2M.bytes()
                && distance.is_multiple_of(PAGE);
            if fits && largest.is_none_or(|(_, known)| length > known) {
                largest = Some((distance, length));
            }
        }
        (end <= file.len() as u64).then_some(Self { end, largest })
    }

    fn residue(&self) -> u64 {
        self.largest.map_or(0, |(distance, _)| distance % PageSize::Size2M.bytes())
    }
}

/// Cuts the file at `end` and takes out what the header says of sections, which are gone.
fn trim(mut file: Vec<u8>, end: u64) -> Vec<u8> {
    if (end as usize) < file.len() {
        file.truncate(end as usize);
        // e_shoff; e_shentsize, e_shnum, e_shstrndx (ELF gABI, "ELF Header").
        file[0x28..0x30].fill(0);
        file[0x3A..0x40].fill(0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `size` bytes with one PT_LOAD.
    fn elf(size: usize, offset: u64, address: u64, length: u64) -> Vec<u8> {
        let mut file = vec![0xAA; size];
        file[..64].fill(0);
        file[..7].copy_from_slice(&[0x7F, b'E', b'L', b'F', 2, 1, 1]);
        file[0x14] = 1;
        file[0x20] = 64;
        file[0x28..0x30].copy_from_slice(&(size as u64 - 64).to_le_bytes());
        file[0x34] = 64;
        file[0x36] = 56;
        file[0x38] = 1;
        file[0x3A] = 64;
        file[0x3C] = 1;
        let numbers = [5 << 32 | 1, offset, address, address, length, length, 0x1000_u64];
        file[64..120].copy_from_slice(&numbers.map(u64::to_le_bytes).concat());
        file
    }

    #[test]
    fn what_no_program_header_names_is_left_out() {
        let kernel = KernelFile::new(elf(0x3000, 0x1000, 0xFFFF_0000_0000_1000, 0x234));
        assert_eq!(kernel.bytes().len(), 0x1234);
        assert!(kernel.bytes()[0x28..0x30].iter().all(|&byte| byte == 0));
        assert!(kernel.bytes()[0x3A..0x40].iter().all(|&byte| byte == 0));
        assert_eq!(KernelFile::new(kernel.bytes().to_vec()).bytes(), kernel.bytes());
        assert_eq!(kernel.place(0x5001), 0x6000);
    }

    #[test]
    fn large_segments_lie_so_that_blocks_map_them() {
        let large = |offset, address| KernelFile::new(elf(0x40_0000, offset, address, 0x20_0000));
        for (offset, address) in [(0, 0), (0x1000, 0x20_0000), (0x3000, 0x1000), (0x1000, 0x1F_F000)] {
            let kernel = large(offset, 0xFFFF_0000_0000_0000 + address);
            for free in [0, 1, 0x5000, 0x1F_F000, 0x20_0000] {
                let place = kernel.place(free);
                assert!(place >= free && place < free + 0x20_1000, "{free:#x} {place:#x}");
                assert_eq!((place + offset) % 0x20_0000, address % 0x20_0000);
            }
        }
    }

    #[test]
    fn a_file_that_is_no_kernel_is_packed_as_it_is() {
        for file in
            [vec![], b"#!/bin/sh".to_vec(), elf(0x2000, 0x1000, 0, 0x9000), elf(0x2000, u64::MAX, 0, 2)]
        {
            assert_eq!(KernelFile::new(file.clone()).bytes(), file);
        }
    }
}
