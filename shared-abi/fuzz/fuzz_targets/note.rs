//! Bytes of a `PT_NOTE` segment → the kernel's note: any bytes, and what linkers make of several notes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_abi::note::{ElfNotes, MAX_STACK_SIZE, NOTE_NAME, Note, NoteRecord, NoteSearch};
use zerocopy::IntoBytes;

fuzz_target!(|bytes: &[u8]| {
    let Some((p_align, rest)) = bytes.split_first() else { return };
    any_bytes(rest, u64::from(*p_align));
    as_linked(rest);
});

fn any_bytes(segment: &[u8], p_align: u64) {
    let covered: usize = ElfNotes::new(segment, p_align)
        .flatten()
        .map(|note| 12 + note.name.len() + note.descriptor.len())
        .sum();
    assert!(covered <= segment.len());

    let mut search = NoteSearch::new();
    // Twice, so that a good note is found to be there twice.
    let (first, second) = segment.split_at(segment.len() / 2);
    if search.segment(first, p_align).and_then(|()| search.segment(second, p_align)).is_ok()
        && let Ok(note) = search.finish()
    {
        assert!(note.check().is_ok() && note.stack_bytes() <= MAX_STACK_SIZE);
    }
    let mut search = NoteSearch::new();
    if search.segment(segment, p_align).is_ok() {
        let _ = search.finish().map_err(|error| error.to_string());
    }
}

/// Names that linkers, compilers and libraries use; one is ours, with another type.
const NAMES: [&[u8]; 8] =
    [b"GNU\0", b"GNU\0", b"Go\0\0", b"LLVM\0", b"stapsdt\0", b"FreeBSD\0", &NOTE_NAME, b"Xen\0"];

/// Notes of others as the bytes choose them, of both alignments and with zeros between, and ours at some place among
/// them: it is found whole, and cut short it is refused.
fn as_linked(mut choices: &[u8]) {
    let mut next = move || {
        let (first, rest) = choices.split_first()?;
        choices = rest;
        Some(*first)
    };
    let (Some(place), Some(cut)) = (next(), next()) else { return };
    let ours = NoteRecord::new(&Note::DEFAULT);
    let mut segment = Vec::new();
    let mut start = None;
    for number in 0..8 {
        if number == place % 8 {
            start = Some(segment.len());
            segment.extend(ours.as_bytes());
        }
        let (Some(shape), Some(length)) = (next(), next()) else { break };
        let name = NAMES[usize::from(shape & 7)];
        // GNU properties alone are of alignment 8.
        let alignment = if shape & 7 == 0 { 8 } else { 4 };
        let zeros = usize::from(shape >> 5) * 4;
        segment.resize((segment.len() + zeros).next_multiple_of(alignment), 0);
        segment.extend((name.len() as u32).to_le_bytes());
        segment.extend(u32::from(length).to_le_bytes());
        segment.extend((2 + u32::from(shape >> 3 & 3)).to_le_bytes());
        segment.extend(name);
        segment.resize(segment.len().next_multiple_of(4), 0);
        for _ in 0..length {
            // Not zeros alone at a descriptor's end or beginning, which padding could be taken for.
            segment.push(next().unwrap_or(0) | 1);
        }
        segment.resize(segment.len().next_multiple_of(alignment), 0);
    }
    let Some(start) = start else { return };
    let found = |bytes: &[u8]| {
        let mut search = NoteSearch::new();
        search.segment(bytes, 8).and_then(|()| search.finish())
    };
    assert_eq!(found(&segment), Ok(Note::DEFAULT), "{segment:x?}");
    assert!(found(&segment[..start + usize::from(cut) % ours.as_bytes().len()]).is_err());
}
