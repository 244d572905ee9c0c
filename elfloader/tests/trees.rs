//! Real trees: what the loader makes of them, word for word, and what it makes of them when they are damaged.

mod damaged_tree;
mod tree_oracle;

use std::fs;
use std::path::{Path, PathBuf};

use damaged_tree::{Damage, damaged};
use elfloader::device_tree::{Survey, describe};
use elfloader::memory_map::MemoryMap;
use elfloader::platform::Machine;
use proptest::prelude::*;
use tree_oracle::Facts;
use zerocopy::IntoBytes;

fn trees() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dtb"));
    files.sort();
    files
}

/// Runs `test` on a tree's description. Trees must lie at a multiple of 8, which a vector of bytes need not.
fn with_machine<T>(tree: &[u8], test: impl FnOnce(&Survey, &Machine<'_>) -> T) -> T {
    let mut words = vec![0u64; tree.len().div_ceil(8)];
    let aligned = &mut words.as_mut_bytes()[..tree.len()];
    aligned.copy_from_slice(tree);
    let mut machine = Machine::new();
    let survey = describe(aligned, &mut machine).unwrap();
    test(&survey, &machine)
}

#[test]
fn the_oracle_agrees_on_every_real_tree() {
    for path in trees() {
        let tree = fs::read(&path).unwrap();
        assert_eq!(tree_oracle::check(&tree), 0, "{}", path.display());
        let expected = tree_oracle::facts_of_real(&tree);
        let found = with_machine(&tree, |_, machine| Facts::of(machine));
        assert_eq!(Some(found), expected, "{}", path.display());
    }
}

/// `HANDOFF_UPDATE_GOLDENS=1` writes them anew.
#[test]
fn every_real_tree_reads_as_its_golden_says() {
    for path in trees() {
        let tree = fs::read(&path).unwrap();
        let found = with_machine(&tree, report);
        let golden = path.with_extension("txt");
        if std::env::var_os("HANDOFF_UPDATE_GOLDENS").is_some() {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert!(found == expected, "{} differs; found:\n{found}", golden.display());
    }
}

/// Everything that was found out, and the map of a processor that addresses 40 bits.
fn report(survey: &Survey, machine: &Machine<'_>) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    line(format!("model {:?}, extent {:#x}", machine.model, survey.extent));
    for seed in &survey.seeds {
        line(format!("seed at {:#x}, {} bytes", seed.offset, seed.length));
    }
    for memory in &machine.memory {
        line(format!("memory {} node {}", memory.range, memory.node));
    }
    for reserved in &machine.reservations {
        let how = if reserved.no_map { "no-map" } else { "mapped" };
        line(format!("reserved {} {how} {:?}", reserved.range, reserved.name));
    }
    for dynamic in &machine.dynamic_reservations {
        line(format!("to reserve {dynamic:?}"));
    }
    for cpu in &machine.cpus {
        line(format!("{cpu:?}"));
    }
    line(format!("{:?}, {:?}, timer {:?}", machine.psci, machine.gic, machine.timer_frequency));
    line(format!("{:?}", machine.console));
    line(format!("{:?}", machine.boot));
    let mut map = MemoryMap::new();
    map.lay_out(machine, 1 << 40).unwrap();
    map.place_dynamic(machine).unwrap();
    for region in map.regions() {
        line(format!("{} node {} {} {}", region.range, region.node, region.kind, region.name));
    }
    text
}

#[test]
fn a_tree_cut_anywhere_is_refused() {
    for path in trees() {
        let tree = fs::read(&path).unwrap();
        for length in (0..tree.len()).step_by(if tree.len() > 10_000 { 97 } else { 1 }) {
            assert_ne!(tree_oracle::check(&tree[..length]), 0, "{} cut at {length}", path.display());
            // The same with a total size that admits it.
            if length >= 40 {
                let mut cut = tree[..length].to_vec();
                cut[4..8].copy_from_slice(&(length as u32).to_be_bytes());
                assert_ne!(tree_oracle::check(&cut), 0, "{} cut to {length}", path.display());
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let words = prop_oneof![
        any::<u32>(),
        0..32u32,
        Just(u32::MAX),
        Just(1 << 31),
        prop::sample::select(vec![1, 2, 3, 4, 9]),
    ];
    prop_oneof![
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        (any::<usize>(), words).prop_map(|(at, word)| Damage::Word(at, word)),
        (any::<usize>(), 1..64usize).prop_map(|(at, words)| Damage::Delete(at, words)),
        (any::<usize>(), 1..64usize).prop_map(|(at, words)| Damage::Repeat(at, words)),
        (any::<usize>(), any::<bool>()).prop_map(|(at, admitted)| Damage::Cut(at, admitted)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_tree_gives_a_code_or_what_the_oracle_says(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec(damage(), 1..6),
    ) {
        let trees = trees();
        let tree = damaged(fs::read(which.get(&trees)).unwrap(), &damage);
        tree_oracle::check(&tree);
    }
}
