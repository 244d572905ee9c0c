//! Bytes of a `PT_NOTE` segment → the kernel's note. The first byte chooses the alignment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_abi::note::{ElfNotes, NoteSearch};

fuzz_target!(|bytes: &[u8]| {
    let Some((p_align, segment)) = bytes.split_first() else { return };
    let p_align = u64::from(*p_align);
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
        assert!(note.check().is_ok() && note.stack_bytes() <= shared_abi::note::MAX_STACK_SIZE);
    }
    let mut search = NoteSearch::new();
    if search.segment(segment, p_align).is_ok() {
        let _ = search.finish().map_err(|error| error.to_string());
    }
});
