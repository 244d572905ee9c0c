//! Cortex-A53's errata that a compiler and a linker avoid: no code of ours has the sequences that meet them.
//!
//! Arm's notice on the MPCore's errata (EPM-048406) describes both. The readers here ask for less than it does, so they
//! may name a sequence that would be harmless, and miss none.

use images::recipe::KernelSource;
use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use object::{Object, ObjectSection, SectionKind};

use crate::Behaviour;
use crate::entry_code::is_load_or_store;

/// 835769: a 64-bit multiply-accumulate right behind a load or store.
fn accumulates_behind_memory(words: &[u32]) -> bool {
    let [before, word, ..] = *words else { return false };
    // MADD, MSUB, SMADDL, SMSUBL, UMADDL, UMSUBL of 64 bits (Arm ARM C4.1.95) that add a register other than XZR.
    let is_multiply = word >> 24 == 0x9B && matches!(word >> 21 & 7, 0 | 1 | 5) && word >> 10 & 0x1F != 0x1F;
    is_load_or_store(before) && is_multiply
}

/// 843419: an ADRP in the last two words of a page, a load or store, and, next or one further, a load or store by the
/// ADRP's register plus a scaled offset.
fn addresses_behind_a_page_end(at: u64, words: &[u32]) -> bool {
    let [adrp, memory, rest @ ..] = words else { return false };
    let is_adrp = adrp & 0x9F00_0000 == 0x9000_0000 && at & 0xFFF >= 0xFF8;
    let uses = |word: &u32| word & 0x3B00_0000 == 0x3900_0000 && word >> 5 & 0x1F == adrp & 0x1F;
    is_adrp && is_load_or_store(*memory) && rest.iter().take(2).any(uses)
}

/// Looks at all code of an ELF file.
pub fn expect_none(file: &[u8], name: &str) -> Result<(), Failed> {
    let file = object::File::parse(file)?;
    let mut looked_at = 0;
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let words: Vec<_> =
            section.data()?.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        for (index, at) in (section.address()..).step_by(4).take(words.len()).enumerate() {
            let words = &words[index..];
            for (erratum, is_met) in [
                (835_769, accumulates_behind_memory(words)),
                (843_419, addresses_behind_a_page_end(at, words)),
            ] {
                if is_met {
                    let words = &words[..4.min(words.len())];
                    return Err(format!("{name} meets erratum {erratum} at {at:#x}: {words:08x?}").into());
                }
            }
        }
        looked_at += words.len();
    }
    if looked_at < 1000 { Err(format!("{name} has only {looked_at} instructions").into()) } else { Ok(()) }
}

fn expect_none_in_ours() -> Result<(), Failed> {
    let workspace = Workspace::here();
    expect_none(&std::fs::read(stage::loader(&workspace)?)?, "the loader")?;
    for source in [KernelSource::Bin("kernel".into()), KernelSource::Example("workloads".into())] {
        expect_none(&std::fs::read(stage::kernel(&workspace, &source)?)?, &format!("{source:?}"))?;
    }
    Ok(())
}

/// ERET, DSB NSH, ISB.
const LEAVE: [u32; 3] = [0xD69F_03E0, 0xD503_379F, 0xD503_3FDF];

/// Nothing behind an ERET may be executed in speculation, with the registers of before (Arm ARM B2.3.12).
fn expect_barriers() -> Result<(), Failed> {
    let workspace = Workspace::here();
    let mut count = 0;
    for path in [stage::loader(&workspace)?, stage::kernel(&workspace, &KernelSource::Bin("kernel".into()))?]
    {
        let file = std::fs::read(path)?;
        let file = object::File::parse(&*file)?;
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let words: Vec<_> =
                section.data()?.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
            for at in (0..words.len()).filter(|at| words[*at] == LEAVE[0]) {
                count += 1;
                if !words[at..].starts_with(&LEAVE) {
                    return Err(format!("an ERET at +{:#x} has no barrier behind it", 4 * at).into());
                }
            }
        }
    }
    if count < 8 { Err(format!("only {count} ERETs were found").into()) } else { Ok(()) }
}

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("no_code_is_executed_in_speculation_behind_an_exception_return", expect_barriers),
        Behaviour::new("no_code_of_ours_meets_an_erratum_of_cortex_a53", expect_none_in_ours),
        Behaviour::new("the_readers_of_errata_know_them", || {
            // ldr x0, [x1]; madd x2, x3, x4, x5, and umaddl. A mul, or a madd of words, is harmless.
            for (word, is_met) in
                [(0x9B04_1462, true), (0x9BA4_1462, true), (0x9B04_7C62, false), (0x1B04_1462, false)]
            {
                if accumulates_behind_memory(&[0xF940_0020, word]) != is_met {
                    return Err(format!("{word:#x} behind a load").into());
                }
            }
            // adrp x0; str x1, [x2]; nop; ldr x3, [x0, #8]
            let words = [0x9000_0000, 0xF900_0041, 0xD503_201F, 0xF940_0403];
            let found = [0x1FF8, 0x1FFC, 0x1FF4].map(|at| addresses_behind_a_page_end(at, &words));
            let next = addresses_behind_a_page_end(0xFFC, &[words[0], words[1], words[3]]);
            let other = addresses_behind_a_page_end(0xFFC, &[words[0], words[1], words[2], 0xF940_0423]);
            match (found, next, other) {
                ([true, true, false], true, false) => Ok(()),
                found => Err(format!("{found:?}").into()),
            }
        }),
    ]
}
