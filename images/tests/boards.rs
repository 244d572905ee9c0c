//! What `plan` makes of the device trees of real boards, those that `scripts/setup.sh machines` fetches: each is planned
//! for the RAM that it states, and none of what it reserves is taken.

#[path = "../../elfloader/tests/tree_builder/mod.rs"]
mod tree_builder;
#[path = "../../elfloader/tests/tree_oracle/mod.rs"]
#[allow(dead_code, reason = "only its facts are asked for")]
mod tree_oracle;

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use images::loader::Parts;
use images::pack::{Contents, pack};
use images::plan::firmware::Places;
use images::plan::{BootSource, plan_boot};
use shared_abi::addr::{PAGE, align_down, align_up};
use shared_abi::boot_info::{BootInfo, TreeSource};
use shared_abi::contract::registers::PhysicalSize;
use shared_abi::memory::{Origin, RegionKind};
use support::contents;
use tree_builder::Tree;
use tree_oracle::Facts;

/// Where the image and the tree go: the tree so far behind the image's beginning, both in so much free RAM.
const TREE: u64 = 8 << 20;
const ROOM: u64 = 16 << 20;

/// For a board that leaves it to firmware to state RAM: all there can be, so that whatever it reserves is in it.
const LEFT_TO_FIRMWARE: u64 = 1 << 40;

fn boards(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => files.extend(boards(&path)),
            false if path.extension().is_some_and(|extension| extension == "dtb") => files.push(path),
            false => {}
        }
    }
    files.sort();
    files
}

/// The tree with a node that states RAM, as firmware adds one.
fn with_memory(tree: &[u8], cells: (usize, usize)) -> Vec<u8> {
    let field = |at: usize| u32::from_be_bytes(*tree[at..].first_chunk().unwrap()) as usize;
    let [structure, strings, reservations, strings_length, structure_length] = [8, 12, 16, 32, 36].map(field);
    let entries =
        tree[reservations..].chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().unwrap()));
    let entries: Vec<u64> = entries.collect();
    let count = entries.chunks_exact(2).position(|entry| entry == [0, 0]).unwrap();
    let mut nodes = tree[structure..][..structure_length].to_vec();
    // The root's end, and the tree's.
    assert_eq!(nodes.split_off(nodes.len() - 8), [0, 0, 0, 2, 0, 0, 0, 9]);
    let whole = Tree {
        structure: nodes,
        strings: tree[strings..][..strings_length].to_vec(),
        reservations: entries[..count * 2].to_vec(),
    };
    // One cell holds less.
    let length = if cells.1 == 1 { u64::from(u32::MAX) + 1 - PAGE } else { LEFT_TO_FIRMWARE };
    let number = |cells: usize, number: u64| [(number >> 32) as u32, number as u32][2 - cells..].to_vec();
    let reg = [number(cells.0, 0), number(cells.1, length)].concat();
    let memory = |node: Tree| node.text("device_type", "memory").cells("reg", &reg);
    whole.node("memory@0", memory).finish()
}

/// Where the image can lie: the first free place of enough room, by what the second reader says.
fn place(facts: &Facts) -> Option<u64> {
    let release = facts.cpus.iter().filter_map(|(_, release)| Some((release.as_ref().copied()?, 8)));
    let taken: Vec<_> =
        facts.reservations.iter().map(|reserved| (reserved.0, reserved.1)).chain(release).collect();
    let free =
        |start: &u64| !taken.iter().any(|(from, length)| *from < start + ROOM && *start < from + length);
    facts.memory.iter().find_map(|&(start, length, _)| {
        let first = start.next_multiple_of(2 << 20);
        let places = (first..).step_by(2 << 20).take_while(|place| place + ROOM <= start + length);
        places.into_iter().find(free)
    })
}

/// The same regions, joined where they touch.
fn union(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.retain(|(start, end)| start < end);
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joined = next.0 <= last.1;
        last.1 = if joined { last.1.max(next.1) } else { last.1 };
        joined
    });
    ranges
}

/// Plans for one board; whether it states RAM of its own.
fn plan(path: &Path) -> bool {
    let name = path.display();
    let own = fs::read(path).unwrap();
    let stated = tree_oracle::facts_of_real(&own).unwrap_or_else(|| panic!("{name}: no second opinion"));
    let states_ram = !stated.memory.is_empty();
    let (tree, facts) = match states_ram {
        true => (own, stated),
        false => {
            let tree = with_memory(&own, tree_oracle::root_cells_of_real(&own).unwrap());
            let facts = tree_oracle::facts_of_real(&tree).unwrap();
            (tree, facts)
        }
    };
    let image = place(&facts).unwrap_or_else(|| panic!("{name}: no room for an image"));
    let mut contents = Contents { loader: vec![0xD5; 0x8000], ..contents() };
    contents.kernel_name = "sample".into();
    let packed = pack(&contents).unwrap();
    let given = BootSource {
        title: name.to_string(),
        image: &packed.bytes,
        loader: Parts {
            text: (0x1000, 0x2000),
            stub: (0x1000, 0x2000),
            constants: (0x2000, 0x2000),
            data: (0x2000, 0x3000),
            secondary: (0x2000, 0x3000),
            secondary_entry: 0x1000,
            tables: (0x3000, 0x7000),
            vectors: 0xFFFF_0080_0000_1800,
        },
        tree: Some(&tree),
        places: Places {
            image,
            tree: image + TREE,
            source: TreeSource::FIRMWARE,
            initrd: 0,
            argument: image + TREE,
            level: 2,
        },
        initrd: None,
        physical_size: PhysicalSize::from_id(5),
        slide: None,
        direct_map: None,
    };
    let snapshot = plan_boot(&given).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let bytes = snapshot.boot_info().unwrap();
    check_map(&BootInfo::decode(&bytes).unwrap(), &facts, path);
    states_ram
}

/// Holds the map that the kernel would be given to what the second reader found.
fn check_map(info: &BootInfo<'_>, facts: &Facts, path: &Path) {
    let name = path.display();
    let regions: Vec<_> = info.memory_map().map(|region| (region.range(), region.kind())).collect();
    let all = union(regions.iter().map(|(range, _)| (range.start().get(), range.end())).collect());
    let stated = union(facts.memory.iter().map(|&(start, length, _)| (start, start + length)).collect());
    let whole = |(start, end): &(u64, u64)| (align_up(*start, PAGE).unwrap(), align_down(*end, PAGE));
    assert_eq!(all, union(stated.iter().map(whole).collect()), "{name}");
    for (start, length, no_map, reserved) in &facts.reservations {
        let end = start + length;
        for (range, kind) in &regions {
            if range.start().get() < end && *start < range.end() {
                let kept = kind.origin() == Origin::Machine && *kind != RegionKind::USABLE;
                assert!(kept, "{name}: {reserved} at {start:#x} is {kind} in {range}");
                assert!(!no_map || *kind == RegionKind::NO_MAP, "{name}: {reserved} at {start:#x} is mapped");
            }
        }
    }
}

#[test]
fn every_board_is_planned_and_keeps_what_it_reserves() {
    let files =
        std::env::var_os("HANDOFF_TREES").map(|folder| boards(Path::new(&folder))).unwrap_or_default();
    if files.is_empty() {
        return println!(
            "skipped: HANDOFF_TREES has no device trees, scripts/setup.sh machines fetches them"
        );
    }
    let stated = files.iter().filter(|path| plan(path)).count();
    println!("{} boards planned, none refused; {stated} state RAM of their own", files.len());
}
