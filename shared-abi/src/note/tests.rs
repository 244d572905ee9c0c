//! Tests of the note: golden bytes, the search, every refusal, and hostile bytes.

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

/// One note's bytes with padding for `alignment`.
fn elf_note(name: &[u8], note_type: u32, descriptor: &[u8], alignment: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((name.len() as u32).to_le_bytes());
    bytes.extend((descriptor.len() as u32).to_le_bytes());
    bytes.extend(note_type.to_le_bytes());
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    bytes.extend(descriptor);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    bytes
}

fn search(segments: &[(&[u8], u64)]) -> Result<Note, NoteError> {
    let mut search = NoteSearch::new();
    for (bytes, alignment) in segments {
        search.segment(bytes, *alignment)?;
    }
    search.finish()
}

#[test]
fn the_default_note_has_these_bytes() {
    #[rustfmt::skip]
    let golden: [u8; 76] = [
        8, 0, 0, 0,  56, 0, 0, 0,  1, 0, 0, 0,  b'H', b'a', b'n', b'd', b'o', b'f', b'f', 0,
        1, 0, 0, 0,  0x00, 0x10, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 0, 0, 0, 0, 0, 0,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(NoteRecord::new(&Note::DEFAULT).as_bytes(), golden);
}

#[test]
fn the_words_of_a_record_are_the_bytes_of_its_note() {
    let note = Note {
        abi_major: 0x1122,
        abi_minor: 0x3344,
        granule: 0x5566_7788,
        required: Required(0x0102_0304_0506_0708),
        wanted: Wanted(0x1112_1314_1516_1718),
        stack_size: 0x2122_2324_2526_2728,
        exception_levels: 0x3132_3334_3536_3738,
        direct_map_offset: 0x4142_4344_4546_4748,
        contiguous_alignment: 0x5152_5354_5556_5758,
    };
    assert_eq!(&NoteRecord::unchecked(&note).as_bytes()[20..], note.as_bytes());
    assert_eq!(Note::parse(note.as_bytes()), Ok(note));
}

#[test]
fn the_note_is_found_at_alignment_4_and_8_among_others() {
    for (alignment, p_align) in [(4, 4), (4, 0), (4, 1), (8, 8)] {
        let mut bytes = elf_note(b"GNU\0", 3, &[7; 20], alignment);
        bytes.extend(elf_note(b"Handoff\0", 2, &[1; 3], alignment));
        bytes.extend(elf_note(b"Handoff", 1, &[], alignment));
        bytes.extend(elf_note(b"", 0, &[], alignment));
        bytes.extend(elf_note(&NOTE_NAME, NOTE_TYPE, Note::DEFAULT.as_bytes(), alignment));
        bytes.extend(elf_note(b"GNU\0", 5, &[9; 5], alignment));
        assert_eq!(search(&[(&bytes, p_align)]), Ok(Note::DEFAULT), "alignment {alignment}");
        // At any alignment in memory.
        bytes.insert(0, 0);
        assert_eq!(search(&[(&bytes[1..], p_align)]), Ok(Note::DEFAULT));
    }
}

#[test]
fn notes_of_both_alignments_share_a_segment_in_any_order_and_with_zeros_between() {
    let ours = elf_note(&NOTE_NAME, NOTE_TYPE, Note::DEFAULT.as_bytes(), 4);
    let others = [
        // .note.gnu.property, .note.gnu.build-id, .note.ABI-tag, a probe's, a name of another length.
        elf_note(b"GNU\0", 5, &[0, 0, 0, 0xC0, 4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], 8),
        elf_note(b"GNU\0", 3, &[0xA5; 20], 4),
        elf_note(b"GNU\0", 1, &[0, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0], 4),
        elf_note(b"stapsdt\0", 3, &[0; 41], 4),
        elf_note(b"Handoff\0", 2, &[0, 0, 0, 0, 1, 0, 0, 0], 4),
    ];
    for skipped in [0, 4, 8, 12, 16, 44] {
        for turn in 0..=others.len() {
            let mut order: Vec<&[u8]> = others.iter().map(Vec::as_slice).collect();
            order.insert(turn, &ours);
            for _ in 0..2 {
                let mut bytes = vec![0; skipped];
                for note in &order {
                    bytes.extend(*note);
                    bytes.resize((bytes.len() + skipped).next_multiple_of(8), 0);
                }
                assert_eq!(search(&[(&bytes, 8)]), Ok(Note::DEFAULT), "{skipped} bytes, place {turn}");
                assert_eq!(search(&[(&bytes, 16)]), Ok(Note::DEFAULT), "{skipped} bytes, place {turn}");
                order.reverse();
            }
        }
    }
    // As an assembler's `.balign 8` has ours, beside one of alignment 4.
    let mixed =
        [others[1].as_slice(), &[0; 4], &elf_note(&NOTE_NAME, 1, Note::DEFAULT.as_bytes(), 8)].concat();
    assert_eq!(search(&[(&mixed, 8)]), Ok(Note::DEFAULT));
}

#[test]
fn zeros_after_the_notes_are_padding_and_other_bytes_are_not() {
    for p_align in [4, 8] {
        for length in 0..40 {
            let mut bytes = NoteRecord::new(&Note::DEFAULT).as_bytes().to_vec();
            bytes.resize(bytes.len() + length, 0);
            assert_eq!(search(&[(&bytes, p_align)]), Ok(Note::DEFAULT), "{length} bytes");
            bytes.push(1);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            assert!(search(&[(&bytes, p_align)]).is_err(), "{length} bytes and a 1");
        }
    }
}

#[test]
fn a_damaged_note_is_refused_among_others() {
    let ours = NoteRecord::new(&Note::DEFAULT);
    for p_align in [4, 8] {
        for size in [0, 4] {
            let mut bytes = elf_note(b"GNU\0", 3, &[0xA5; 20], 4);
            let start = bytes.len();
            bytes.extend(ours.as_bytes());
            bytes[start + size..][..4].copy_from_slice(&0x7FFF_FFFFu32.to_le_bytes());
            let error = NoteError::Malformed { offset: start as u64, length: bytes.len() as u64 };
            assert_eq!(search(&[(&bytes, p_align)]), Err(error));
        }
        for length in [0, 4, 52] {
            let short = elf_note(&NOTE_NAME, 1, &Note::DEFAULT.as_bytes()[..length], 4);
            assert_eq!(search(&[(&short, p_align)]), Err(NoteError::Short { length: length as u64 }));
        }
    }
}

#[test]
fn exactly_one_note_is_asked_for_over_all_segments() {
    let one = NoteRecord::new(&Note::DEFAULT);
    let other = elf_note(b"GNU\0", 3, &[7; 20], 4);
    assert_eq!(search(&[]), Err(NoteError::Missing));
    assert_eq!(search(&[(&other, 4)]), Err(NoteError::Missing));
    assert_eq!(search(&[(&other, 4), (one.as_bytes(), 4)]), Ok(Note::DEFAULT));
    assert_eq!(search(&[(one.as_bytes(), 4), (one.as_bytes(), 4)]), Err(NoteError::Several));
    let twice = [one.as_bytes(), one.as_bytes()].concat();
    assert_eq!(search(&[(&twice, 4)]), Err(NoteError::Several));
}

#[test]
fn a_longer_descriptor_is_read_by_its_known_prefix_and_a_shorter_one_refused() {
    let mut descriptor = Note::DEFAULT.as_bytes().to_vec();
    descriptor.extend([0xA5; 24]);
    assert_eq!(search(&[(&elf_note(&NOTE_NAME, 1, &descriptor, 4), 4)]), Ok(Note::DEFAULT));
    for length in 0..Note::SIZE {
        let short = elf_note(&NOTE_NAME, 1, &descriptor[..length], 4);
        assert_eq!(search(&[(&short, 4)]), Err(NoteError::Short { length: length as u64 }));
    }
}

#[test]
fn a_note_that_leaves_its_segment_is_refused() {
    let whole = NoteRecord::new(&Note::DEFAULT);
    let whole = whole.as_bytes();
    for end in 1..whole.len() {
        let error = NoteError::Malformed { offset: 0, length: end as u64 };
        assert_eq!(search(&[(&whole[..end], 4)]), Err(error), "cut to {end} bytes");
    }
    let mut huge = whole.to_vec();
    huge[4..8].fill(0xFF);
    assert_eq!(search(&[(&huge, 8)]), Err(NoteError::Malformed { offset: 0, length: 76 }));
    let mut huge = whole.to_vec();
    huge[0..4].fill(0xFF);
    assert_eq!(search(&[(&huge, 8)]), Err(NoteError::Malformed { offset: 0, length: 76 }));
}

#[test]
fn every_term_that_is_not_served_is_refused_by_name() {
    let default = Note::DEFAULT;
    let refused = [
        (Note { abi_major: 2, ..default }, NoteError::AbiMajor { asked: 2 }),
        (Note { abi_major: 0, granule: 0, ..default }, NoteError::AbiMajor { asked: 0 }),
        (Note { abi_minor: 1, ..default }, NoteError::AbiMinor { asked: 1 }),
        (Note { required: Required(1 << 63), ..default }, NoteError::Required { unknown: 1 << 63 }),
        (Note { granule: 0x4000, ..default }, NoteError::Granule { asked: 0x4000 }),
        (Note { exception_levels: EL2, ..default }, NoteError::ExceptionLevels { asked: 4 }),
        (Note { exception_levels: EL1 | EL2, ..default }, NoteError::ExceptionLevels { asked: 6 }),
        (Note { exception_levels: 0, ..default }, NoteError::ExceptionLevels { asked: 0 }),
        (Note { stack_size: 0x1800, ..default }, NoteError::StackSize { asked: 0x1800 }),
        (Note { stack_size: 0x100_1000, ..default }, NoteError::StackSize { asked: 0x100_1000 }),
        (
            Note { direct_map_offset: 0xFFFF_8000_0020_0000, ..default },
            NoteError::DirectMapOffset { asked: 0xFFFF_8000_0020_0000 },
        ),
        (
            Note { direct_map_offset: 0xFFFF_7FFF_C000_0000, ..default },
            NoteError::DirectMapOffset { asked: 0xFFFF_7FFF_C000_0000 },
        ),
        (Note { direct_map_offset: 0, ..default }, NoteError::DirectMapOffset { asked: 0 }),
        (Note { contiguous_alignment: 0x800, ..default }, NoteError::ContiguousAlignment { asked: 0x800 }),
        (Note { contiguous_alignment: 0x3000, ..default }, NoteError::ContiguousAlignment { asked: 0x3000 }),
        (
            Note { contiguous_alignment: 1 << 31, ..default },
            NoteError::ContiguousAlignment { asked: 1 << 31 },
        ),
    ];
    for (note, error) in refused {
        assert_eq!(note.check(), Err(error));
        assert_eq!(search(&[(NoteRecord::unchecked(&note).as_bytes(), 4)]), Err(error));
    }
}

#[test]
fn every_term_that_is_served_passes() {
    let default = Note::DEFAULT;
    for note in [
        default,
        Note { wanted: Wanted(u64::MAX), ..default },
        Note { wanted: Wanted::empty(), ..default },
        Note { stack_size: MAX_STACK_SIZE, ..default },
        Note { direct_map_offset: 0xFFFF_8000_0000_0000, ..default },
        Note { direct_map_offset: 0xFFFF_FFFF_C000_0000, ..default },
        Note { contiguous_alignment: 0x1000, ..default },
        Note { contiguous_alignment: 1 << 30, ..default },
    ] {
        assert_eq!(note.check(), Ok(()), "{note:?}");
    }
}

#[test]
fn codes_and_lines_are_stable() {
    let errors = [
        NoteError::Missing,
        NoteError::Several,
        NoteError::Malformed { offset: 0x10, length: 0x40 },
        NoteError::Short { length: 8 },
        NoteError::AbiMajor { asked: 2 },
        NoteError::AbiMinor { asked: 7 },
        NoteError::Required { unknown: 0x80 },
        NoteError::Granule { asked: 0x4000 },
        NoteError::ExceptionLevels { asked: 4 },
        NoteError::StackSize { asked: 0x1800 },
        NoteError::DirectMapOffset { asked: 0x1000 },
        NoteError::ContiguousAlignment { asked: 3 },
    ];
    let lines: Vec<String> = errors.iter().map(|error| format!("E{:04}: {error}", error.code())).collect();
    let documented = include_str!("../../../docs/errors.md");
    for error in errors {
        assert!(documented.contains(&format!("| E{:04} |", error.code())), "{error}");
    }
    let golden = "\
E0301: the kernel has no Handoff note (PT_NOTE, name Handoff, type 1)
E0302: the kernel has more than one Handoff note
E0303: the note at 0x10 reaches past the 0x40 bytes of its segment
E0304: the Handoff note holds 0x8 bytes, ABI 1.0 has 0x38
E0305: the kernel speaks ABI 2, this loader ABI 1
E0306: the kernel needs ABI 1.7, this loader has 1.0
E0307: the kernel requires bits that ABI 1.0 lacks: 0x80
E0308: the kernel asks for a granule of 0x4000 bytes, ABI 1 has 0x1000
E0309: the kernel asks for the exception levels 0x4, ABI 1.0 has EL1 alone (0x2)
E0310: the boot stack of 0x1800 bytes is no multiple of 0x1000 up to 0x1000000
E0311: the direct-map offset 0x0000000000001000 is no multiple of 0x40000000 in 0xffff800000000000–0xfffffffffffff000
E0312: the contiguous alignment 0x3 is no power of two from 0x1000 to 0x40000000";
    assert_eq!(lines.join("\n"), golden);
}

proptest! {
    #[test]
    fn hostile_bytes_end_in_a_value(bytes in prop::collection::vec(any::<u8>(), 0..256), p_align in 0u64..16) {
        let mut covered = 0;
        for found in ElfNotes::new(&bytes, p_align).flatten() {
            covered += 12 + found.name.len() + found.descriptor.len();
        }
        prop_assert!(covered <= bytes.len());
        let _ = search(&[(&bytes, p_align)]);
    }

    #[test]
    fn notes_round_trip_between_others(
        before in prop::collection::vec(("[A-Za-z]{1,11}\0",
            any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        wide: bool,
        extra in prop::collection::vec(any::<u8>(), 0..20),
        stack_pages in 0u64..=4096,
        wanted: u64,
    ) {
        let alignment = if wide { 8 } else { 4 };
        let note = Note { stack_size: stack_pages * PAGE, wanted: Wanted(wanted), ..Note::DEFAULT };
        let mut bytes = Vec::new();
        for (name, note_type, descriptor) in &before {
            bytes.extend(elf_note(name.as_bytes(), *note_type, descriptor, alignment));
        }
        bytes.extend(elf_note(&NOTE_NAME, NOTE_TYPE, &[note.as_bytes(), &extra].concat(), alignment));
        prop_assert_eq!(search(&[(&bytes, alignment as u64)]), Ok(note));
    }
}
