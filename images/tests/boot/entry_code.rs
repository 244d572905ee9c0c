//! What runs with the MMU off, word by word: nothing that Device memory does not promise.
//!
//! With the MMU off every data access is Device: exclusives and atomics need not work, `dc zva` and unaligned
//! accesses fault. QEMU allows all of them, so a boot proves nothing and the code itself is read. Encodings: Arm ARM
//! C4.1.

use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use object::{Object, ObjectSection, ObjectSymbol};

use crate::Behaviour;

/// Why the instruction at an offset must not run with the MMU off; `None` for one that may.
fn objection(at: usize, word: u32) -> Option<&'static str> {
    let bits = |low: u32, width: u32| word >> low & ((1 << width) - 1);
    let group = bits(25, 4);
    if group & 0b0111 == 0b0111 {
        return Some("FP or SIMD");
    }
    // DC ZVA, GVA, GZVA: SYS #3, C7, C4.
    if word & 0xFFFF_FF00 == 0xD50B_7400 {
        return Some("zeroes a block");
    }
    if !is_load_or_store(word) {
        return None;
    }
    if bits(26, 1) == 1 {
        return Some("loads or stores an FP or SIMD register");
    }
    match (bits(27, 3), bits(24, 2)) {
        // Exclusives, compare-and-swap, ordered loads and stores.
        (0b001, 0b00) => Some("is exclusive or ordered"),
        // A literal: eight bytes, aligned where the assembler puts it.
        (0b011, 0b00) => {
            let is_aligned = literal(at, word).is_multiple_of(8);
            (word >> 30 != 0b01 || !is_aligned).then_some("is no aligned 8-byte literal")
        }
        // Pairs: of doublewords, at an offset that keeps their alignment.
        (0b101, _) => (word >> 30 != 0b10).then_some("is a pair of something else than doublewords"),
        // Single registers; bit 21 without bit 24 and bits 11:10 = 00 is an atomic.
        (0b111, 0b00) if bits(21, 1) == 1 && bits(10, 2) == 0 => Some("is atomic"),
        (0b111, kind) => {
            let size = word >> 30;
            let is_scaled = kind == 0b01;
            let is_indexed_by_words = !is_scaled && bits(21, 1) == 0 && bits(12, 9).is_multiple_of(1 << size);
            let is_register_scaled = bits(21, 1) == 1 && bits(12, 1) == 1;
            if size < 0b10 {
                Some("is narrower than a word")
            } else {
                (!is_scaled && !is_indexed_by_words && !is_register_scaled).then_some("may be unaligned")
            }
        }
        _ => Some("is a load or store of a kind that nobody has looked at"),
    }
}

/// Whether an instruction loads or stores: group x1x0 (Arm ARM C4.1).
pub fn is_load_or_store(word: u32) -> bool {
    word >> 25 & 0b0101 == 0b0100
}

/// From each level's first instruction to its first MSR of SCTLR data may be big-endian: nothing is read, and the one
/// routine that is called reads nothing either.
fn read_before_little_endian() -> Result<(), Failed> {
    let file = std::fs::read(stage::loader(&Workspace::here())?)?;
    let file = object::File::parse(&*file)?;
    let text = file.section_by_name(".text").ok_or("the loader has no .text")?;
    let words: Vec<_> =
        text.data()?.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    // MSR SCTLR_ELx is S3, op1, C1, C0, 0, with op1 0, 4 or 6; RET.
    let ends: [(&str, u32); 5] = [
        ("entry", 0xD518_1000),
        ("from_el1", 0xD518_1000),
        ("from_el2", 0xD51C_1000),
        ("from_el3", 0xD51E_1000),
        ("clean_loader", 0xD65F_03C0),
    ];
    for (name, end) in ends {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        let at = symbol.ok_or_else(|| format!("the loader has no symbol {name}"))?.address() - text.address();
        let length = words[at as usize / 4..].iter().position(|word| word & !0x1F == end);
        let length = length.ok_or_else(|| format!("{name} does not end"))?;
        let code = &words[at as usize / 4..][..length];
        if code.is_empty() || code.iter().any(|word| is_load_or_store(*word)) {
            return Err(format!("{name} loads or stores while data may be big-endian: {code:08x?}").into());
        }
    }
    Ok(())
}

fn read_entry_code() -> Result<(), Failed> {
    let file = std::fs::read(stage::loader(&Workspace::here())?)?;
    let file = object::File::parse(&*file)?;
    let symbol = |name: &str| -> Result<u64, Failed> {
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
        found.map(|symbol| symbol.address()).ok_or_else(|| format!("the loader has no symbol {name}").into())
    };
    let text = file.section_by_name(".text").ok_or("the loader has no .text")?;
    let bytes = text.data()?;
    let mut words = 0;
    // The entry code without its literals, which are data; the stub, whose own MMU stays off.
    let parts =
        [("entry", "entry_end"), ("el2_vectors", "el3_vectors_end"), ("controls_start", "controls_end")];
    for (start, end) in parts {
        let (start, end) = (symbol(start)? - text.address(), symbol(end)? - text.address());
        let code = bytes.get(start as usize..end as usize).ok_or("a symbol lies outside .text")?;
        let literals = literals(code);
        for (index, word) in code.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).enumerate()
        {
            if literals.contains(&(4 * index)) {
                continue;
            }
            words += 1;
            if let Some(why) = objection(4 * index, word) {
                return Err(format!(
                    "{word:#010x} at +{:#x} runs with the MMU off and {why}",
                    start + 4 * index as u64
                )
                .into());
            }
        }
    }
    if words < 200 { Err(format!("only {words} instructions were read").into()) } else { Ok(()) }
}

/// The offset of the literal that the load at `at` names (imm19, in words).
fn literal(at: usize, word: u32) -> usize {
    at.wrapping_add_signed(((word << 8) as i32 >> 13) as isize * 4)
}

/// Offsets of the words that the code loads as literals.
fn literals(code: &[u8]) -> Vec<usize> {
    let words = code.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let loads = words.enumerate().filter(|(_, word)| word & 0x3B00_0000 == 0x1800_0000);
    loads.flat_map(|(index, word)| [literal(4 * index, word), literal(4 * index, word) + 4]).collect()
}

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("what_runs_with_the_mmu_off_needs_no_more_than_device_memory", read_entry_code),
        Behaviour::new("nothing_is_read_before_data_is_little_endian", read_before_little_endian),
        Behaviour::new("the_reader_of_the_entry_code_knows_what_must_not_be_there", || {
            let bad: [(u32, &str); 10] = [
                (0xC85F_7C20, "ldxr x0, [x1]"),
                (0xC8DF_FC20, "ldar x0, [x1]"),
                (0xF820_0020, "ldadd x0, x0, [x1]"),
                (0xC8A0_7C41, "cas x0, x1, [x2]"),
                (0xD50B_7420, "dc zva, x0"),
                (0x3DC0_0020, "ldr q0, [x1]"),
                (0x4EA1_1C20, "mov v0.16b, v1.16b"),
                (0x3940_0020, "ldrb w0, [x1]"),
                (0xF840_1020, "ldur x0, [x1, #1]"),
                (0x2940_0420, "ldp w0, w1, [x1]"),
            ];
            let good: [(u32, &str); 6] = [
                (0xF900_01CB, "str x11, [x14]"),
                (0xF800_85CB, "str x11, [x14], #8"),
                (0xA940_0420, "ldp x0, x1, [x1]"),
                (0xD50B_7E2E, "dc civac, x14"),
                (0xB940_092A, "ldr w10, [x9, #8]"),
                (0xD65F_0240, "ret x18"),
            ];
            for (word, text) in bad {
                objection(0, word).ok_or_else(|| format!("{text} passes"))?;
            }
            for (word, text) in good {
                if let Some(why) = objection(0, word) {
                    return Err(format!("{text}: {why}").into());
                }
            }
            Ok(())
        }),
    ]
}
