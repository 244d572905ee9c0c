//! Relative relocations of a position-independent kernel.
//!
//! A static kernel needs one kind: `R_AARCH64_RELATIVE`, "this word is an address: add the slide". Linkers write
//! them as `RELA` entries (the sum's other part is in the entry) or as `RELR` (it is in the word). `R_AARCH64_NONE`,
//! which GNU ld leaves where a word turned out to need nothing, is passed over.
//! Anything else would need symbols and is refused, and so is a word that is not wholly in one run of writable or RELRO
//! pages of the plan and among the bytes of one segment.
//!
//! Sources: ELF for the Arm 64-bit Architecture, "Dynamic relocations"; ELF gABI, "Relative relocations (RELR)".

use goblin::elf64::reloc::{R_AARCH64_NONE, R_AARCH64_RELATIVE, Rela, r_type};
use shared_abi::addr::PAGE_SHIFT;

use super::extent::Extent;
use super::relocation_error::RelocationError;
use crate::kernel_elf::{FileRange, KernelElf, read};
/// The two numbers of "no relocation": 0 is the older one.
const NONE: [u32; 2] = [R_AARCH64_NONE, 256];

/// What happens to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It becomes this value.
    Set(u64),
    /// This is added to it, modulo 2⁶⁴.
    Add(u64),
}

/// Words at `start`, `start + 8`, …: bit n of the mask stands for the nth.
#[derive(Clone, Copy)]
struct Words {
    start: u64,
    mask: u64,
    change: Change,
}

/// Link-time addresses in which words may be changed: the part of one extent that one segment fills.
#[derive(Clone, Copy)]
struct Window {
    start: u64,
    end: u64,
    extent: usize,
    /// What takes a link-time address to an offset in the extent.
    bias: u64,
}

impl Window {
    const EMPTY: Self = Self { start: 0, end: 0, extent: 0, bias: 0 };

    /// Whether the word at `address` lies inside.
    const fn holds(&self, address: u64) -> bool {
        self.start <= address && address < self.end && self.end - address >= 8
    }

    fn find(elf: &KernelElf<'_>, slide: u64, extents: &[Extent], address: u64) -> Option<Self> {
        let virt = address.wrapping_add(slide);
        let (extent, found) = extents
            .iter()
            .enumerate()
            .find(|(_, extent)| extent.virt().start().get() <= virt && virt < extent.virt().end())?;
        let segment =
            elf.segments().iter().find(|segment| segment.start() <= address && address < segment.end())?;
        let link_start = found.virt().start().get().wrapping_sub(slide);
        let window = Self {
            start: segment.start().max(link_start),
            end: segment.end().min(link_start + (found.pages() << PAGE_SHIFT)),
            extent,
            bias: link_start,
        };
        (found.is_relocatable() && window.holds(address)).then_some(window)
    }
}

/// Walks all relocations, and for each word calls `change` with the index of its extent, the offset of the word
/// in it and what to do.
///
/// # Errors
/// The first relocation that cannot be applied. Those before it have been passed to `change`.
pub fn for_each(
    elf: &KernelElf<'_>,
    slide: u64,
    extents: &[Extent],
    mut change: impl FnMut(usize, u64, Change),
) -> Result<(), RelocationError> {
    let mut window = Window::EMPTY;
    walk(elf, slide, &mut |words| {
        let mut mask = words.mask;
        while mask != 0 {
            let address = nth(words.start, mask.trailing_zeros())?;
            mask &= mask - 1;
            if !window.holds(address) {
                window =
                    Window::find(elf, slide, extents, address).ok_or(RelocationError::Target { address })?;
            }
            change(window.extent, address - window.bias, words.change);
        }
        Ok(())
    })
}

/// Checks all relocations and changes nothing: what passes here passes [`for_each`]. Runs of words cost one
/// comparison at either end.
///
/// # Errors
/// The first relocation that cannot be applied.
pub fn check(elf: &KernelElf<'_>, slide: u64, extents: &[Extent]) -> Result<(), RelocationError> {
    let mut window = Window::EMPTY;
    walk(elf, slide, &mut |words| {
        let mut mask = words.mask;
        while mask != 0 {
            let lowest = nth(words.start, mask.trailing_zeros())?;
            let highest = nth(words.start, 63 - mask.leading_zeros())?;
            if window.holds(lowest) && window.holds(highest) {
                break;
            }
            mask &= mask - 1;
            if !window.holds(lowest) {
                window = Window::find(elf, slide, extents, lowest)
                    .ok_or(RelocationError::Target { address: lowest })?;
            }
        }
        Ok(())
    })
}

/// Address of the nth word after `start`.
fn nth(start: u64, n: u32) -> Result<u64, RelocationError> {
    start.checked_add(8 * u64::from(n)).ok_or(RelocationError::Target { address: start })
}

/// Decodes the tables.
fn walk(
    elf: &KernelElf<'_>,
    slide: u64,
    words: &mut dyn FnMut(Words) -> Result<(), RelocationError>,
) -> Result<(), RelocationError> {
    let tables = elf.relocation_tables();
    for table in [tables.rela, tables.plt] {
        for entry in bytes(elf, table).chunks_exact(size_of::<Rela>()) {
            let Rela { r_offset, r_info, r_addend } = read(entry).unwrap_or_default();
            let found = r_type(r_info);
            if NONE.contains(&found) {
                continue;
            }
            if found != R_AARCH64_RELATIVE {
                return Err(RelocationError::Type { found, address: r_offset });
            }
            let value = slide.wrapping_add_signed(r_addend);
            words(Words { start: r_offset, mask: 1, change: Change::Set(value) })?;
        }
    }
    let change = Change::Add(slide);
    let mut next = None;
    for entry in bytes(elf, tables.relr).chunks_exact(8) {
        let word = entry.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        if word & 1 == 0 {
            words(Words { start: word, mask: 1, change })?;
            next = Some(word.wrapping_add(8));
        } else {
            let start = next.ok_or(RelocationError::BitmapFirst { word })?;
            words(Words { start, mask: word >> 1, change })?;
            next = Some(start.wrapping_add(63 * 8));
        }
    }
    Ok(())
}

/// The file bytes of a table.
fn bytes<'a>(elf: &KernelElf<'a>, table: FileRange) -> &'a [u8] {
    elf.bytes().get(table.start as usize..table.end as usize).unwrap_or_default()
}
