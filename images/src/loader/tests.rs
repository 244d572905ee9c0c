//! Flattening, on ELF files made here byte by byte.

use super::*;

/// Address, bytes in the file, bytes in memory.
type Segment<'a> = (u64, &'a [u8], u64);

/// A file with these PT_LOADs (or other types), their bytes one after the other from 0x1000.
fn elf(entry: u64, segments: &[(u32, Segment<'_>)]) -> Vec<u8> {
    let mut file = vec![0; 0x1000];
    let head: [&[u8]; 12] = [
        &[0x7F, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &2_u16.to_le_bytes(),
        &183_u16.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &entry.to_le_bytes(),
        &64_u64.to_le_bytes(),
        &0_u64.to_le_bytes(),
        &0_u32.to_le_bytes(),
        &64_u16.to_le_bytes(),
        &56_u16.to_le_bytes(),
        &(segments.len() as u16).to_le_bytes(),
        &[64, 0, 0, 0, 0, 0],
    ];
    let head = head.concat();
    file[..64].copy_from_slice(&head);
    for (index, (kind, (address, bytes, memory))) in segments.iter().enumerate() {
        let offset = file.len() as u64;
        let numbers = [offset, *address, *address, bytes.len() as u64, *memory, 0x1000];
        let words = [kind.to_le_bytes(), 7_u32.to_le_bytes()].concat();
        let header = [words, numbers.map(u64::to_le_bytes).concat()].concat();
        file[64 + 56 * index..][..56].copy_from_slice(&header);
        file.extend_from_slice(bytes);
    }
    file
}

fn load(segments: &[Segment<'_>]) -> Outcome<Vec<u8>> {
    let segments: Vec<_> = segments.iter().map(|segment| (1, *segment)).collect();
    flatten(&elf(LOADER_START, &segments))
}

fn refused(outcome: Outcome<Vec<u8>>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn offsets_in_the_image_are_offsets_in_memory() {
    let flat = load(&[(LOADER_START, b"text", 4), (LOADER_START + 0x2000, b"data", 0x1800)]).unwrap();
    assert_eq!(flat.len(), 0x4000);
    assert_eq!((&flat[..4], &flat[0x2000..0x2004]), (&b"text"[..], &b"data"[..]));
    assert!(flat[4..0x2000].iter().chain(&flat[0x2004..]).all(|&byte| byte == 0));
}

#[test]
fn a_loader_that_would_not_run_is_refused() {
    let entry = flatten(&elf(LOADER_START + 4, &[(1, (LOADER_START, b"text", 4))]));
    assert!(refused(entry).contains("has its entry at 0xffff008000001004, not at 0xffff008000001000"));
    let dynamic =
        flatten(&elf(LOADER_START, &[(1, (LOADER_START, b"text", 4)), (2, (LOADER_START, b"", 0))]));
    assert!(refused(dynamic).contains("dynamic section"));
    let shared = load(&[(LOADER_START, b"text", 4), (LOADER_START + 8, b"data", 4)]);
    assert!(refused(shared).contains("on a page of another"));
    assert!(
        refused(load(&[(LOADER_START + 0x1000, b"b", 1), (LOADER_START, b"a", 1)])).contains("out of order")
    );
    assert!(refused(load(&[(LOADER_START - 0x1000, b"a", 1)])).contains("out of order"));
    assert!(refused(load(&[(LOADER_START, b"text", 0x20_0000)])).contains("past the 0x200000 bytes"));
    assert!(refused(load(&[(LOADER_START, b"text", u64::MAX)])).contains("past the 0x200000 bytes"));
    assert!(refused(load(&[(LOADER_START, b"text", 2)])).contains("with 0x4 bytes in the file"));
    assert!(refused(load(&[])).contains("nothing to load"));
    assert!(refused(flatten(b"#!/bin/sh")).contains("cannot be read"));
    let mut cut = elf(LOADER_START, &[(1, (LOADER_START, b"text", 4))]);
    cut.truncate(cut.len() - 1);
    assert!(refused(flatten(&cut)).contains("is cut short"));
}
