//! The tree's header (Devicetree Specification 5.2): where its blocks are, and that they are inside it.

use zerocopy::FromBytes;

use super::TreeError;

/// Bytes of a version 17 header.
pub const HEADER: usize = 40;

/// The largest tree that the arm64 boot protocol allows: 2 MiB.
pub const LARGEST: usize = 2 << 20;

const MAGIC: u32 = 0xD00D_FEED;

/// The format version that is read here; 16 lacks only the structure block's length.
const VERSION: u32 = 17;

/// Where the blocks are, all of them inside the tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks<'d> {
    /// Words of the reservation entries, without the terminating one.
    pub reservations: &'d [u32],
    /// The structure block in words of four bytes, as they lie in memory: big-endian.
    pub words: &'d [u32],
    /// Where the structure block begins.
    pub words_offset: usize,
    /// The strings block; its last byte is 0 if it has one.
    pub strings: &'d [u8],
    /// The end of the block that reaches furthest, as the header says. The structure block counts if it says its length.
    pub extent: usize,
}

/// How much of a tree is read, in bytes, as its header states: up to the end of its last block, since what firmware
/// leaves free behind that may be a hundred times as large.
///
/// # Errors
/// [`TreeError::Magic`], [`TreeError::Version`], [`TreeError::TotalSize`].
pub fn probe_header(header: &[u8; HEADER]) -> Result<usize, TreeError<'static>> {
    let fields = fields(header);
    check(&fields).map(|total| read_size(&fields, total))
}

/// That size. It is the total size where the header does not say where a block ends: version 16 gives no length of the
/// structure block, and nobody that of the reservations, which come first as a rule.
fn read_size(fields: &[u32; 10], total: usize) -> usize {
    let [_, _, structure, strings, reservations, version, _, _, strings_length, structure_length] =
        fields.map(|field| field as usize);
    let end = (structure + structure_length).max(strings + strings_length);
    let is_stated = version >= VERSION as usize && reservations < structure.min(strings);
    if is_stated { end.clamp(HEADER, total) } else { total }
}

/// The header's ten words.
#[inline(never)]
fn fields(header: &[u8; HEADER]) -> [u32; 10] {
    let (words, _) = header.as_chunks::<4>();
    let mut fields = [0; 10];
    for (field, word) in fields.iter_mut().zip(words) {
        *field = u32::from_be_bytes(*word);
    }
    fields
}

/// The total size that the fields state, if they are those of a tree.
fn check(fields: &[u32; 10]) -> Result<usize, TreeError<'static>> {
    let [magic, total, _, _, _, version, compatible_with, ..] = *fields;
    if magic != MAGIC {
        return Err(TreeError::Magic { found: magic });
    }
    if version < VERSION - 1 || compatible_with > VERSION {
        return Err(TreeError::Version { version, compatible_with });
    }
    match total as usize {
        size @ HEADER..=LARGEST => Ok(size),
        size => Err(TreeError::TotalSize { size, limit: LARGEST }),
    }
}

/// Finds the blocks of a tree and checks that they are inside it.
pub(super) fn blocks(tree: &[u8]) -> Result<Blocks<'_>, TreeError<'static>> {
    let short = |needed| TreeError::Short { length: tree.len(), needed };
    let header = tree.first_chunk::<HEADER>().ok_or(short(HEADER))?;
    let fields = fields(header);
    let total = check(&fields)?;
    let read = read_size(&fields, total);
    let tree = tree.get(..read).ok_or(short(read))?;
    let [_, _, structure, strings, reservations, version, _, _, strings_length, structure_length] =
        fields.map(|field| field as usize);
    let (structure_length, structure_end) = match version as u32 {
        VERSION.. => (structure_length, structure.saturating_add(structure_length)),
        _ => (read.saturating_sub(structure), 0),
    };

    let words_offset = structure;
    let structure = block(tree, "structure", structure, structure_length, 4)?;
    // Words are read as such, since the processor may refuse to read them unaligned.
    let (words, _) = <[u32]>::ref_from_prefix(structure).map_err(|_| TreeError::Alignment)?;
    let strings_end = strings + strings_length;
    let strings = block(tree, "strings", strings, strings_length, 1)?;
    if strings.last().is_some_and(|last| *last != 0) {
        return Err(TreeError::Name { offset: strings_end - 1, name: strings_length - 1 });
    }
    let rest = block(tree, "reservation", reservations, read.saturating_sub(reservations), 8)?;
    let (entries, _) = rest.as_chunks::<16>();
    let count = entries.iter().position(|entry| *entry == [0; 16]);
    let count = count.ok_or(TreeError::Unterminated { offset: reservations })?;
    let entries = rest.get(..count * 16).unwrap_or_default();
    Ok(Blocks {
        reservations: <[u32]>::ref_from_bytes(entries).map_err(|_| TreeError::Alignment)?,
        words,
        words_offset,
        strings,
        extent: strings_end.max(structure_end).max(reservations + (count + 1) * 16).max(HEADER),
    })
}

fn block<'d>(
    tree: &'d [u8],
    block: &'static str,
    offset: usize,
    length: usize,
    alignment: usize,
) -> Result<&'d [u8], TreeError<'static>> {
    let error = TreeError::Block { block, offset, length, total: tree.len() };
    if !offset.is_multiple_of(alignment) || !(HEADER..=tree.len()).contains(&offset) {
        return Err(error);
    }
    tree.get(offset..).and_then(|rest| rest.get(..length)).ok_or(error)
}
