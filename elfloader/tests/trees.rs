//! Real trees: what the loader makes of them, word for word, and what it makes of them when they are damaged.

mod damaged_tree;
mod tree_oracle;

use std::fs;
use std::path::{Path, PathBuf};

use damaged_tree::{Damage, damaged};
use elfloader::device_tree::{LARGEST, Pruned, Survey, describe, prune};
use elfloader::memory_map::{MemoryMap, REGIONS};
use elfloader::platform::{CPUS, DYNAMIC_RESERVATIONS, EnableMethod, MEMORY_RANGES, Machine, RESERVATIONS};
use proptest::prelude::*;
use shared_abi::addr::{PAGE, PhysRange, align_down, align_up};
use shared_abi::memory::RegionKind;
use tree_oracle::Facts;
use zerocopy::IntoBytes;

fn trees() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dtb"));
    files.sort();
    files
}

/// The boards' trees that `scripts/setup.sh machines` fetches; none where it did not.
fn trees_of_boards() -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => collect(&path, files),
                false if path.extension().is_some_and(|extension| extension == "dtb") => files.push(path),
                false => {}
            }
        }
    }
    let mut files = Vec::new();
    if let Some(folder) = std::env::var_os("HANDOFF_TREES") {
        collect(Path::new(&folder), &mut files);
    }
    files.sort();
    files
}

/// Runs `test` on a tree's description. Trees must lie at a multiple of 8, which a vector of bytes need not.
fn with_machine<T>(tree: &[u8], test: impl FnOnce(&Survey, &Machine<'_>) -> T) -> T {
    let mut words = vec![0u64; tree.len().div_ceil(8)];
    let aligned = &mut words.as_mut_bytes()[..tree.len()];
    aligned.copy_from_slice(tree);
    let (mut pruned, mut machine) = (Pruned::new(), Machine::new());
    let survey = describe(aligned, &mut pruned, &mut machine).unwrap();
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

/// What of a tree is kept.
fn pruned(tree: &[u8]) -> Vec<u8> {
    let mut words = vec![0u64; tree.len().div_ceil(8)];
    words.as_mut_bytes()[..tree.len()].copy_from_slice(tree);
    let mut pruned = Pruned::new();
    prune(&words.as_bytes()[..tree.len()], &mut pruned).unwrap();
    pruned.as_bytes().to_vec()
}

/// It is a tree like any other, which says the same but for seeds, and of which nothing more can be pruned.
#[test]
fn a_pruned_tree_is_a_plain_tree_that_says_the_same() {
    let mut largest = 0;
    for path in trees().into_iter().chain(trees_of_boards()) {
        let name = path.display();
        let tree = fs::read(&path).unwrap();
        let small = pruned(&tree);
        largest = largest.max(small.len());
        assert!(small.len() < tree.len() / 2 + 1024, "{name} {}", small.len());
        assert_eq!(pruned(&small), small, "{name}");
        let facts = with_machine(&tree, |_, machine| Facts::of(machine));
        assert_eq!(tree_oracle::facts(&small), Some(facts), "{name}");
        let said = |tree: &[u8]| {
            with_machine(tree, |_, machine| {
                let mut machine = machine.clone();
                (machine.boot.rng_seed, machine.boot.kaslr_seed) = (&[], 0);
                format!("{machine:?}")
            })
        };
        assert_eq!(said(&small), said(&tree), "{name}");
    }
    println!("the largest pruned tree has {largest} bytes");
}

/// RAM for a board that leaves it to firmware to state: as much as there can be, so that whatever it reserves is in it.
const LEFT_TO_FIRMWARE: (u64, u64) = (0, 1 << 40);

/// Gives the machine that RAM if it states none; whether it does.
fn state_ram(machine: &mut Machine<'_>) -> bool {
    let states = !machine.memory.is_empty();
    if !states {
        let ram = PhysRange::from_bounds(LEFT_TO_FIRMWARE.0, LEFT_TO_FIRMWARE.1).unwrap();
        machine.add_memory(ram, 0).unwrap();
    }
    states
}

/// Each is read as the second reader reads it, and its map is page for page what its statements say.
#[test]
fn every_board_is_described_and_mapped_right() {
    let files = trees_of_boards();
    if files.is_empty() {
        return println!(
            "skipped: HANDOFF_TREES has no device trees, scripts/setup.sh machines fetches them"
        );
    }
    let mut stated = 0;
    for path in &files {
        let tree = fs::read(path).unwrap();
        let expected = tree_oracle::facts_of_real(&tree).unwrap_or_else(|| panic!("{}", path.display()));
        with_machine(&tree, |_, machine| {
            assert_eq!(Facts::of(machine), expected, "{}", path.display());
            let mut machine = machine.clone();
            stated += usize::from(state_ram(&mut machine));
            check_map(&machine, &expected, path);
        });
    }
    println!("{} trees, of which {stated} state RAM of their own", files.len());
}

/// What the loader has room for is at least twice what any board needs, as docs/machines.md says.
#[test]
fn no_board_comes_near_a_limit() {
    let files = trees_of_boards();
    if files.is_empty() {
        return println!(
            "skipped: HANDOFF_TREES has no device trees, scripts/setup.sh machines fetches them"
        );
    }
    let mut largest = [
        ("bytes of the tree", LARGEST, 0),
        ("bytes of the pruned tree", Pruned::LARGEST, 0),
        ("ranges of RAM", MEMORY_RANGES, 0),
        ("reserved ranges", RESERVATIONS, 0),
        ("reserved ranges without a place", DYNAMIC_RESERVATIONS, 0),
        ("processors", CPUS, 0),
        ("regions of the memory map", REGIONS, 0),
    ];
    for path in &files {
        let tree = fs::read(path).unwrap();
        let small = pruned(&tree).len();
        with_machine(&tree, |_, machine| {
            let (mut machine, mut map) = (machine.clone(), MemoryMap::new());
            state_ram(&mut machine);
            map.lay_out(&machine, 1 << 48).unwrap();
            map.place_dynamic(&machine).unwrap();
            let needed = [
                tree.len(),
                small,
                machine.memory.len(),
                machine.reservations.len(),
                machine.dynamic_reservations.len(),
                machine.cpus.len(),
                map.regions().len(),
            ];
            for (largest, needed) in largest.iter_mut().zip(needed) {
                largest.2 = largest.2.max(needed);
            }
        });
    }
    for (what, limit, needed) in largest {
        println!("{what}: {needed} of {limit}");
        assert!(needed * 2 <= limit, "{what}: {needed} of {limit}");
    }
}

/// Ranges joined where they overlap or touch.
fn union(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> = ranges.into_iter().filter(|(start, end)| start < end).collect();
    sorted.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in sorted {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// What is in `from` and not in `without`: both are unions.
fn difference(from: &[(u64, u64)], without: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for &(mut start, end) in from {
        for &(hole, hole_end) in without {
            if hole_end <= start || end <= hole {
                continue;
            }
            left.push((start, hole));
            start = hole_end;
        }
        left.push((start, end));
    }
    union(left)
}

/// Holds the map to what the second reader found: whole pages of RAM, without the pages of what is reserved.
fn check_map(machine: &Machine<'_>, facts: &Facts, path: &Path) {
    let stated = machine.memory.iter().map(|memory| (memory.range.start().get(), memory.range.end()));
    let ram = union(
        union(stated).iter().map(|(start, end)| (align_up(*start, PAGE).unwrap(), align_down(*end, PAGE))),
    );
    let release = machine.cpus.iter().filter_map(|cpu| match cpu.enable_method() {
        EnableMethod::SpinTable(word) => Some((word.get(), 8)),
        _ => None,
    });
    let reserved = facts.reservations.iter().map(|reserved| (reserved.0, reserved.1)).chain(release);
    let pages =
        |(start, length): (u64, u64)| (align_down(start, PAGE), align_up(start + length, PAGE).unwrap());
    let reserved = union(reserved.filter(|(_, length)| *length > 0).map(pages));

    let mut map = MemoryMap::new();
    map.lay_out(machine, 1 << 48).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let of = |map: &MemoryMap<'_>, wanted: fn(RegionKind) -> bool| {
        let regions = map.regions().iter().filter(|region| wanted(region.kind));
        union(regions.map(|region| (region.range.start().get(), region.range.end())))
    };
    let usable: fn(RegionKind) -> bool = |kind| kind == RegionKind::USABLE;
    assert_eq!(of(&map, |_| true), ram, "{}", path.display());
    assert_eq!(of(&map, usable), difference(&ram, &reserved), "{}", path.display());

    // What has no place gets one of what was usable, where it may be.
    let before = of(&map, usable);
    map.place_dynamic(machine).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let taken = difference(&before, &of(&map, usable));
    let has_place = |name: &str| map.unplaced().all(|unplaced| unplaced.0 != name);
    let placed = machine.dynamic_reservations.iter().filter(|wanted| has_place(wanted.name));
    let bytes: u64 = placed.map(|wanted| align_up(wanted.length, PAGE).unwrap()).sum();
    assert_eq!(taken.iter().map(|(start, end)| end - start).sum::<u64>(), bytes, "{}", path.display());
    let within: Vec<_> =
        machine.dynamic_reservations.iter().flat_map(|wanted| wanted.within.clone()).collect();
    if machine.dynamic_reservations.iter().all(|wanted| !wanted.within.is_empty()) {
        let within = union(within.iter().map(|range| (range.start().get(), range.end())));
        assert_eq!(difference(&taken, &within), [], "{}", path.display());
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
    line(format!("{:?}, timer {:?}", machine.psci, machine.timer_frequency));
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
