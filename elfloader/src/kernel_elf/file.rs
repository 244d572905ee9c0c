//! The file's bytes as what they stand for, whatever their alignment, and never past their end.

use goblin::elf64::header::Header;
use goblin::elf64::program_header::ProgramHeader;
use plain::Plain;
use zerocopy::IntoBytes as _;

use super::error::KernelElfError;

/// Copies a structure out of the beginning of `bytes`, at any alignment.
pub fn read<T: Plain + Copy>(bytes: &[u8]) -> Option<T> {
    const { assert!(size_of::<T>() <= size_of::<Header>()) };
    let bytes = bytes.get(..size_of::<T>())?;
    if let Ok(value) = plain::from_bytes(bytes) {
        return Some(*value);
    }
    let mut words = [0u64; size_of::<Header>() / 8];
    copy(bytes, words.as_mut_bytes());
    plain::from_bytes(words.as_bytes()).ok().copied()
}

/// Copies to the start of `to`. Apart, since a copy of known length is made in place, byte by byte.
#[cold]
#[inline(never)]
fn copy(from: &[u8], to: &mut [u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}

/// That a program header's bytes lie in the file. Where no bytes lie does not matter: stripping leaves such
/// offsets past the end.
pub fn check_file_range(number: u8, program: &ProgramHeader, length: u64) -> Result<(), KernelElfError> {
    match program.p_offset.checked_add(program.p_filesz) {
        _ if program.p_filesz == 0 => Ok(()),
        Some(end) if end <= length => Ok(()),
        _ => Err(KernelElfError::FileRange {
            segment: number,
            offset: program.p_offset,
            size: program.p_filesz,
            length,
        }),
    }
}

/// The file bytes of a program header.
pub fn contents<'a>(
    bytes: &'a [u8],
    number: u8,
    program: &ProgramHeader,
) -> Result<&'a [u8], KernelElfError> {
    check_file_range(number, program, bytes.len() as u64)?;
    let start = program.p_offset as usize;
    Ok(bytes.get(start..start.saturating_add(program.p_filesz as usize)).unwrap_or_default())
}
