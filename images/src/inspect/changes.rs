//! What is no longer as it was at the kernel's first instruction: registers that rule it, and what is mapped how.

use std::collections::BTreeSet;

use shared_abi::addr::VirtRange;
use shared_abi::contract::registers::EntryRegisters;
use shared_abi::page_table::Run;

use super::snapshot::Snapshot;
use super::view::{memory_type, rights, run_rights};
use crate::size::readable;

/// Most changes of mappings that are listed.
const LISTED: usize = 64;

/// Most runs of mappings that are compared.
const RUNS: usize = 4096;

/// Every change, in words.
pub fn changes(entry: &Snapshot, now: &Snapshot) -> Vec<String> {
    let mut words = registers(entry, now);
    let mut mapped = mappings(&runs(entry), &runs(now));
    let more = mapped.len().saturating_sub(LISTED);
    mapped.truncate(LISTED);
    words.extend(mapped);
    if more > 0 {
        words.push(format!("… and {more} more changes of mappings"));
    }
    let before = write_and_execute(&runs(entry));
    words.extend(write_and_execute(&runs(now)).difference(&before).cloned());
    words
}

/// Whether a mapping in a range is not what it was at the kernel's first instruction, by the words of the changes.
pub fn has_changed(snapshot: &Snapshot, range: VirtRange) -> bool {
    let changes = snapshot.moment.iter().flat_map(|moment| &moment.changes);
    changes
        .filter_map(|words| place(words))
        .any(|(start, end)| start < range.end() && range.start().get() < end)
}

/// The range that a change's words begin with, its end cut to a tenth of the unit.
fn place(words: &str) -> Option<(u64, u64)> {
    let mut words = words.split_whitespace();
    let start = words.next().filter(|word| word.len() == 18)?.strip_prefix("0x")?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let count: f64 = words.next()?.parse().ok()?;
    let unit =
        ["B", "KiB", "MiB", "GiB", "TiB"].iter().position(|unit| words.clone().next() == Some(unit))?;
    Some((start, start.saturating_add((count * (1_u64 << (10 * unit)) as f64) as u64)))
}

fn registers(entry: &Snapshot, now: &Snapshot) -> Vec<String> {
    let mut words = Vec::new();
    for name in ["TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1"] {
        if let (Some(then), Some(now)) = (entry.register(name), now.register(name))
            && then != now
        {
            words.push(format!("{name} was {then:#018x}, is {now:#018x}"));
        }
    }
    for (register, _) in EntryRegisters::ABI_1.each() {
        let (Some(then), Some(now)) = (entry.register(register.name), now.register(register.name)) else {
            continue;
        };
        let differences: Vec<_> = register.differences(then, now).collect();
        words.extend(match differences.len() {
            // An address or a number as a whole.
            1 if register.fields.len() == 1 => vec![format!("{} was {then:#x}, is {now:#x}", register.name)],
            _ => differences
                .iter()
                .map(|one| {
                    format!("{}.{} was {:#x}, is {:#x}", one.register, one.field, one.expected, one.found)
                })
                .collect(),
        });
    }
    words
}

/// What both halves map. TTBR0 counts while walks through it are enabled (TCR_EL1.EPD0, bit 7).
fn runs(snapshot: &Snapshot) -> Vec<Run> {
    let walks_low = snapshot.register("TCR_EL1").is_some_and(|tcr| tcr & 1 << 7 == 0);
    let low = snapshot.user_tables().filter(|_| walks_low);
    let trees = low.into_iter().chain(snapshot.kernel_tables());
    trees.flat_map(|tree| tree.leaves(snapshot).take(RUNS).collect::<Vec<_>>()).collect()
}

/// The run that maps an address, and the physical address that it maps it to.
fn mapping(runs: &[Run], at: u128) -> Option<(&Run, u64)> {
    let after = runs.partition_point(|run| u128::from(run.virt.get()) <= at);
    let run = runs[..after].last()?;
    let distance = at - u128::from(run.virt.get());
    (distance < u128::from(run.length)).then(|| (run, run.phys.get().wrapping_add(distance as u64)))
}

fn mappings(then: &[Run], now: &[Run]) -> Vec<String> {
    let ends = |run: &Run| {
        let start = u128::from(run.virt.get());
        [start, start + u128::from(run.length)]
    };
    let edges: BTreeSet<u128> = then.iter().chain(now).flat_map(ends).collect();
    let edges: Vec<u128> = edges.into_iter().collect();
    // What changed, where from, where to.
    let mut changed: Vec<(String, u128, u128)> = Vec::new();
    for pair in edges.windows(2) {
        let [start, end] = [pair[0], pair[1]];
        let words = match (mapping(then, start), mapping(now, start)) {
            (None, Some((run, _))) => {
                let (rights, memory) = (run_rights(run), memory_type(run.attributes));
                format!("mapped now, {rights}, {memory}")
            }
            (Some(_), None) => "no longer mapped".to_owned(),
            (Some((old, from)), Some((new, to))) => {
                let mut differences = Vec::new();
                if from != to {
                    differences.push("leads to other memory".to_owned());
                }
                let both = |run: &Run| [run_rights(run), memory_type(run.attributes)];
                for (was, is) in both(old).into_iter().zip(both(new)) {
                    if was != is {
                        differences.push(format!("was {was}, is {is}"));
                    }
                }
                differences.join(", ")
            }
            (None, None) => String::new(),
        };
        match changed.last_mut() {
            _ if words.is_empty() => {}
            Some((known, _, last)) if *known == words && *last == start => *last = end,
            _ => changed.push((words, start, end)),
        }
    }
    changed
        .into_iter()
        .map(|(words, start, end)| format!("{start:#018x}  {:>10}  {words}", readable((end - start) as u64)))
        .collect()
}

/// Physical memory that can be written through one mapping and executed through the same or another.
fn write_and_execute(runs: &[Run]) -> BTreeSet<String> {
    let with = |mark: char| runs.iter().filter(move |run| rights(run.attributes).contains(mark));
    let mut found = BTreeSet::new();
    for executable in with('x') {
        for writable in with('w') {
            let start = executable.phys.get().max(writable.phys.get());
            let ends = [executable, writable].map(|run| run.phys.get().saturating_add(run.length));
            let length = ends[0].min(ends[1]).saturating_sub(start);
            if length > 0 {
                let at = |run: &Run| run.virt.get() + (start - run.phys.get());
                found.insert(format!(
                    "W+X: {} at physical {start:#x} can be written at {:#018x} and executed at {:#018x}",
                    readable(length),
                    at(writable),
                    at(executable)
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use shared_abi::addr::{PageSize, PhysAddr, VirtAddr};
    use shared_abi::rights::Rights;
    use shared_abi::vmsa::{Attributes, Descriptor};

    use super::*;

    fn run(virt: u64, phys: u64, pages: u64, rights: Rights) -> Run {
        Run {
            virt: VirtAddr::new(0xFFFF_0000_0000_0000 + virt).unwrap(),
            phys: PhysAddr::new(phys).unwrap(),
            length: pages << 12,
            level: 3,
            attributes: Descriptor::leaf_attributes(PageSize::Size4K, Attributes::kernel(rights)),
        }
    }

    #[test]
    fn each_kind_of_change_is_told_with_its_range() {
        let then = [run(0x1000, 0x4000, 2, Rights::ReadExecute), run(0x8000, 0x9000, 4, Rights::ReadWrite)];
        let now = [
            run(0x1000, 0x4000, 1, Rights::ReadExecute),
            run(0x8000, 0x9000, 1, Rights::ReadWrite),
            run(0x9000, 0xF000, 1, Rights::ReadWrite),
            run(0xA000, 0xB000, 2, Rights::ReadOnly),
            run(0x10000, 0x20000, 1, Rights::ReadWrite),
        ];
        assert_eq!(
            mappings(&then, &now),
            [
                "0xffff000000002000       4 KiB  no longer mapped",
                "0xffff000000009000       4 KiB  leads to other memory",
                "0xffff00000000a000       8 KiB  was rw-, is r--",
                "0xffff000000010000       4 KiB  mapped now, rw-, write-back",
            ]
        );
        assert_eq!(mappings(&then, &then), [] as [String; 0]);
    }

    #[test]
    fn a_range_knows_whether_a_change_is_in_it() {
        use crate::inspect::moment::Moment;
        let changes = mappings(&[], &[run(0x9000, 0xF000, 2, Rights::ReadWrite)]);
        let moment = Some(Moment { changes, ..Moment::default() });
        let now = Snapshot { moment, ..Snapshot::default() };
        let range = |start: u64| {
            VirtRange::from_bounds(0xFFFF_0000_0000_0000 + start, 0xFFFF_0000_0000_B000).unwrap()
        };
        // Two pages from 0x9000 on: the last one counts as well, the next does not.
        assert!(has_changed(&now, range(0x8000)) && has_changed(&now, range(0xA000)));
        let after = VirtRange::from_bounds(0xFFFF_0000_0000_B000, 0xFFFF_0000_0000_C000).unwrap();
        assert!(!has_changed(&now, after));
        assert!(!has_changed(&Snapshot::default(), range(0x8000)));
    }

    #[test]
    fn memory_that_two_mappings_make_writable_and_executable_is_found() {
        let text = run(0x1000, 0x4000, 2, Rights::ReadExecute);
        assert!(write_and_execute(&[text, run(0x8000, 0x6000, 1, Rights::ReadWrite)]).is_empty());
        let found = write_and_execute(&[text, run(0x8000, 0x5000, 4, Rights::ReadWrite)]);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["W+X: 4 KiB at physical 0x5000 can be written at 0xffff000000008000 and executed at \
                 0xffff000000002000"]
        );
    }

    #[test]
    fn a_register_is_told_by_its_fields() {
        let with = |name: &str, value| Snapshot {
            registers: [(name.to_owned(), value)].into(),
            ..Snapshot::default()
        };
        assert_eq!(
            registers(&with("SCTLR_EL1", 0x1), &with("SCTLR_EL1", 0x3)),
            ["SCTLR_EL1.A was 0x0, is 0x1"]
        );
        assert_eq!(registers(&with("SP_EL0", 0), &with("SP_EL0", 8)).len(), 1);
        assert_eq!(
            registers(&with("VBAR_EL1", 0), &with("VBAR_EL1", 0x800)),
            ["VBAR_EL1 was 0x0000000000000000, is 0x0000000000000800"]
        );
    }
}
