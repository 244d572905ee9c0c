//! Damaged and cut trees, booted: each is refused or reported with its code, or boots with the memory map that a second
//! reader of device trees agrees with. None hangs.
//!
//! A tree is laid into RAM at the header page's hint, so that QEMU, which judges trees itself, never sees it. The image
//! names a console beforehand: most damage to the tree's own leaves that one.

use std::time::Duration;

use elfloader::device_tree::{Pruned, describe};
use elfloader::platform::Machine;
use libtest_mimic::Failed;
use shared_abi::addr::{PAGE, align_down, align_up};
use shared_abi::image::BootFlags;
use zerocopy::IntoBytes;

use crate::Behaviour;
use crate::damaged_tree::{Damage, damaged};
use crate::early::{EARLYCON, image, replaced};
use crate::handoff::{Scratch, handoff};
use crate::tree_oracle::{self, Facts};

/// How many trees, in how many behaviours.
const TREES: usize = 240;
const BEHAVIOURS: usize = 24;

/// Where the tree lies: in the machine's RAM, away from the image.
const PLACE: u64 = 0x4400_0000;

/// How long a boot may take.
const LIMIT: Duration = Duration::from_secs(2);

/// QEMU's own trees for machines with 128 MiB at the same place, and that RAM, which is 256 MiB here.
const BASES: [&[u8]; 2] = [
    include_bytes!("../../../elfloader/tests/trees/virt.dtb"),
    include_bytes!("../../../elfloader/tests/trees/virt-secure.dtb"),
];
const RAM: [&[u8]; 2] = [b"\0\0\0\0\x40\0\0\0\0\0\0\0\x08\0\0\0", b"\0\0\0\0\x40\0\0\0\0\0\0\0\x10\0\0\0"];

pub fn all() -> Vec<Behaviour> {
    let each = TREES / BEHAVIOURS;
    let behaviour = |first: usize| {
        let name = format!("damaged_trees_{first}_to_{}_are_refused_or_read_right", first + each - 1);
        Behaviour::new(name, move || (first..first + each).try_for_each(boots_or_says_why))
    };
    let mut list: Vec<_> = (0..TREES).step_by(each).map(behaviour).collect();
    list.push(Behaviour::new("undamaged_trees_boot", || {
        // Else all of the above could be refused for another reason.
        BASES.iter().try_for_each(|base| match outcome("whole", &replaced(base, RAM[0], RAM[1]))?.status {
            0 => Ok(()),
            status => Err(format!("the status is {status}").into()),
        })
    }));
    list
}

/// Numbers that are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((value ^ value >> 31) % limit as u64) as usize
    }
}

/// The tree of this number: every eighth is cut, the others have one to three places changed.
fn tree(number: usize) -> Vec<u8> {
    let mut numbers = Numbers(number as u64);
    let whole = replaced(BASES[number % BASES.len()], RAM[0], RAM[1]);
    // Where most of it is read: header, reservations and structure, names behind.
    let place = |numbers: &mut Numbers| numbers.below(whole.len());
    if number.is_multiple_of(8) {
        let cut = Damage::Cut(64 + place(&mut numbers), numbers.below(2) == 0);
        return damaged(whole, &[cut]);
    }
    let words = [0, 1, 2, 3, 4, 9, 0x20, 0x1000, 0x4000_0000, 1 << 31, u32::MAX];
    let count = 1 + numbers.below(3);
    let damage: Vec<_> = (0..count)
        .map(|_| match numbers.below(10) {
            0..=4 => Damage::Bit(place(&mut numbers), numbers.below(8) as u8),
            5..=7 => Damage::Word(place(&mut numbers), words[numbers.below(words.len())]),
            8 => Damage::Delete(place(&mut numbers), 1 + numbers.below(16)),
            _ => Damage::Repeat(place(&mut numbers), 1 + numbers.below(16)),
        })
        .collect();
    damaged(whole, &damage)
}

/// How a boot ended.
struct Outcome {
    status: i32,
    took: Duration,
    console: String,
    words: String,
}

fn outcome(name: &str, tree: &[u8]) -> Result<Outcome, Failed> {
    let image = Scratch::new(&format!("{name}.img"), &image(BootFlags::SEMIHOSTING, PLACE, EARLYCON, &[])?)?;
    let file = Scratch::new(&format!("{name}.dtb"), tree)?;
    let device = format!("loader,file={},addr={PLACE:#x},force-raw=on", file.path());
    let run = ["run", "--image", image.path(), "--machine", "virt-odd", "--json", "--timeout", "20"];
    let ended = handoff(&[&run[..], &["--", "-device", &device]].concat())?;
    let json: serde_json::Value = serde_json::from_str(&ended.console)?;
    Ok(Outcome {
        status: ended.status,
        took: Duration::from_secs_f64(json["seconds"].as_f64().ok_or("no time is told")?),
        console: json["console"].as_str().ok_or("no console is told")?.replace('\r', ""),
        words: ended.words,
    })
}

fn boots_or_says_why(number: usize) -> Result<(), Failed> {
    let tree = tree(number);
    let mut ended = outcome(&number.to_string(), &tree)?;
    // Others may keep this computer busy: what is quick when it is tried again is quick.
    for _ in 0..3 {
        if ended.took > LIMIT {
            ended = outcome(&number.to_string(), &tree)?;
        }
    }
    let Outcome { status, took, console, words } = &ended;
    let failed = |why: &str| -> Result<(), Failed> {
        let kept = std::env::temp_dir().join(format!("handoff-damaged-{number}.dtb"));
        std::fs::write(&kept, &tree)?;
        Err(format!("{}: {why}; status {status}, {took:?}\n{console}{words}", kept.display()).into())
    };
    if *took > LIMIT {
        return failed("it took too long");
    }
    let says = |text: &str| console.contains(text) || words.contains(text);
    match status {
        0 => match map_is_right(&tree, console) {
            Ok(()) => Ok(()),
            Err(why) => failed(why),
        },
        101 if says("error E") => Ok(()),
        102 if says("loader fault") => Ok(()),
        103 if says("kernel fault") => Ok(()),
        _ => failed("nobody says why"),
    }
}

/// Compares the map that the kernel printed with what the second reader says of the tree.
fn map_is_right(tree: &[u8], console: &str) -> Result<(), &'static str> {
    if tree_oracle::check(tree) != 0 {
        return Err("the host refuses it");
    }
    let mut words = vec![0_u64; tree.len().div_ceil(8)];
    let aligned = &mut words.as_mut_bytes()[..tree.len()];
    aligned.copy_from_slice(tree);
    let (mut pruned, mut machine) = (Pruned::new(), Machine::new());
    describe(aligned, &mut pruned, &mut machine).map_err(|_| "the host refuses it")?;
    let regions = regions(console);
    if regions.is_empty() {
        let moved = machine.console.is_some_and(|console| console.base.get() != 0x900_0000);
        return if moved { Ok(()) } else { Err("it says nothing") };
    }
    // Where the second reader has no opinion, the loader on the host must at least say the same.
    let facts = tree_oracle::facts(tree).unwrap_or_else(|| Facts::of(&machine));
    let ram = facts.memory.iter().map(|&(start, length, _)| (start, start + length));
    let whole_pages = |(start, end): (u64, u64)| {
        let (start, end) = (align_up(start, PAGE)?, align_down(end, PAGE));
        (start < end).then_some((start, end))
    };
    let expected: Vec<_> = union(ram).into_iter().filter_map(whole_pages).collect();
    if union(regions.iter().map(|(range, _)| *range)) != expected {
        return Err("its RAM is another");
    }
    let free = regions.iter().filter(|(_, kind)| kind == "usable").map(|(range, _)| *range);
    let mut reserved = facts.reservations.iter().map(|(start, length, ..)| (*start, start + length));
    let is_free =
        |(start, end): (u64, u64)| start < end && free.clone().any(|(low, high)| low < end && start < high);
    if reserved.any(is_free) { Err("what is reserved is free") } else { Ok(()) }
}

/// The regions as `hello` prints them: two blanks, the range, the kind.
fn regions(console: &str) -> Vec<((u64, u64), String)> {
    let region = |line: &str| {
        let (range, rest) = line.strip_prefix("  0x")?.split_once(' ')?;
        let (start, end) = range.split_once("–0x")?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let kind = rest.split(' ').next()?;
        // The kernel's extents are below it, at their virtual addresses.
        Some(((number(start)?, number(end)?), kind.to_owned())).filter(|(range, _)| range.0 >> 48 == 0)
    };
    console.lines().filter_map(region).collect()
}

/// Ranges in ascending order, none of which touch.
fn union(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> = ranges.filter(|(start, end)| start < end).collect();
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
