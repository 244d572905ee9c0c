//! Dumps: a [`Snapshot`] as a file, an ELF core file that other tools can read as well.
//!
//! A `PT_LOAD` per run of memory with its physical address, and a `PT_NOTE` named `Handoff` (type 2) with title and
//! registers as JSON and a checksum over all runs. A dump that was damaged or cut short is refused.

use std::collections::BTreeMap;

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use serde::{Deserialize, Serialize};
use shared_abi::crc32c::crc32c;

use super::moment::Moment;
use super::program::Parts;
use super::snapshot::{Origin, Snapshot};
use crate::failure::{Failure, Outcome};

/// The note's type: 1 is the kernel's own note.
const NOTE_TYPE: u32 = 2;

const NAME: &[u8; 8] = b"Handoff\0";

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u32,
    title: String,
    #[serde(default)]
    origin: Origin,
    registers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moment: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<String>>,
    crc32c: u32,
}

fn checksum(memory: &BTreeMap<u64, Vec<u8>>) -> u32 {
    memory.iter().fold(0, |sum, (start, run)| crc32c(crc32c(sum, &start.to_le_bytes()), run))
}

/// The dump's bytes.
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let meta = Meta {
        version: 1,
        title: snapshot.title.clone(),
        origin: snapshot.origin,
        registers: snapshot
            .registers
            .iter()
            .map(|(name, value)| (name.clone(), format!("{value:#x}")))
            .collect(),
        moment: snapshot.moment.clone(),
        parts: snapshot.parts.clone(),
        plan: snapshot.plan.clone(),
        crc32c: checksum(&snapshot.memory),
    };
    // Strings and numbers: there is nothing in it that JSON cannot say.
    let meta = serde_json::to_vec(&meta).unwrap_or_default();
    let mut note = Vec::new();
    for word in [NAME.len() as u32, meta.len() as u32, NOTE_TYPE] {
        note.extend_from_slice(&word.to_le_bytes());
    }
    note.extend_from_slice(NAME);
    note.extend_from_slice(&meta);
    note.resize(note.len().next_multiple_of(4), 0);

    let count = snapshot.memory.len() + 1;
    let note_offset = 64 + 56 * count;
    let mut offset = (note_offset + note.len()).next_multiple_of(0x1000) as u64;
    let mut file = vec![0x7F, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend_from_slice(&elf::ET_CORE.0.to_le_bytes());
    file.extend_from_slice(&elf::EM_AARCH64.0.to_le_bytes());
    file.extend_from_slice(&1_u32.to_le_bytes());
    for word in [0_u64, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, count as u16, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    let mut header = |kind: elf::ProgramType, flags: u32, words: [u64; 6]| {
        file.extend_from_slice(&kind.0.to_le_bytes());
        file.extend_from_slice(&flags.to_le_bytes());
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    header(elf::PT_NOTE, 4, [note_offset as u64, 0, 0, note.len() as u64, 0, 4]);
    for (start, run) in &snapshot.memory {
        let length = run.len() as u64;
        header(elf::PT_LOAD, 6, [offset, 0, *start, length, length, 0x1000]);
        offset += length.next_multiple_of(0x1000);
    }
    file.extend_from_slice(&note);
    for run in snapshot.memory.values() {
        file.resize(file.len().next_multiple_of(0x1000), 0);
        file.extend_from_slice(run);
    }
    file
}

/// Reads a dump.
pub fn decode(file: &[u8]) -> Outcome<Snapshot> {
    let wrong = |words: &str| {
        Failure::new(
            format!("not a dump of inspect: {words}"),
            "give a file that handoff inspect --dump wrote",
        )
    };
    let core = ElfFile64::<Endianness>::parse(file).map_err(|error| wrong(&error.to_string()))?;
    let endian = core.endian();
    if core.elf_header().e_type(endian) != elf::ET_CORE {
        return Err(wrong("no ELF core file"));
    }
    let mut memory = BTreeMap::new();
    let mut meta: Option<Meta> = None;
    for header in core.elf_program_headers() {
        let damaged = || {
            Failure::new(
                "the dump is damaged: a part lies past its end",
                "take the dump again: handoff inspect --dump FILE",
            )
        };
        if header.p_type(endian) == elf::PT_LOAD {
            let run = header.data(endian, file).map_err(|()| damaged())?;
            memory.insert(header.p_paddr(endian), run.to_vec());
        }
        let notes = header.notes(endian, file).map_err(|_| damaged())?;
        let Some(mut notes) = notes else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == &NAME[..7] && note.n_type(endian).0 == NOTE_TYPE {
                meta = serde_json::from_slice(note.desc()).ok();
            }
        }
    }
    let meta = meta.ok_or_else(|| wrong("no registers in it"))?;
    if meta.version != 1 {
        return Err(wrong(&format!("its version is {}, not 1", meta.version)));
    }
    let computed = checksum(&memory);
    if computed != meta.crc32c {
        let stored = meta.crc32c;
        return Err(Failure::new(
            format!("the dump is damaged: checksum {computed:#010x}, stored {stored:#010x}"),
            "take the dump again: handoff inspect --dump FILE",
        ));
    }
    let registers = meta.registers.into_iter().map(|(name, text)| {
        let value = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(|value| (name, value)).ok_or_else(|| wrong("a register has no number"))
    });
    Ok(Snapshot {
        registers: registers.collect::<Outcome<_>>()?,
        memory,
        title: meta.title,
        origin: meta.origin,
        parts: meta.parts,
        plan: meta.plan,
        moment: meta.moment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            registers: [("x0".to_owned(), u64::MAX), ("pc".to_owned(), 0)].into(),
            memory: [(0x4000_0000, vec![1; 0x1000]), (0x4800_0000, vec![2; 0x3000])].into(),
            title: "sample on virt".into(),
            origin: Origin::Planned,
            moment: Some(Moment { when: "at kmain".into(), boot_info: 0x1000, ..Moment::default() }),
            parts: Some(Parts { sections: Vec::new(), entry: Some("_start".into()) }),
            plan: Some(vec!["tables: planned 1, found 2".into()]),
        }
    }

    #[test]
    fn a_dump_is_read_back_as_it_was() {
        assert_eq!(decode(&encode(&snapshot())).unwrap(), snapshot());
        assert_eq!(decode(&encode(&Snapshot::default())).unwrap(), Snapshot::default());
    }

    #[test]
    fn damage_anywhere_is_found_or_harmless() {
        let file = encode(&snapshot());
        for length in (0..file.len()).step_by(97) {
            assert!(decode(&file[..length]).is_err(), "cut at {length:#x}");
        }
        for at in (0..file.len()).step_by(61) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            // Some bytes, such as e_flags and the padding, mean nothing.
            if let Ok(read) = decode(&damaged) {
                assert_eq!(read.memory, snapshot().memory, "byte {at:#x}");
            }
        }
    }
}
