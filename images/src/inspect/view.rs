//! What a snapshot says, judged once and shown three ways: as text, as JSON, as a page.

use shared_abi::addr::VirtRange;
use shared_abi::boot_info::{BootInfo, BootInfoError};
use shared_abi::page_table::{Run, TableSource};
use shared_abi::vmsa::Descriptor;

use super::contract::{self, Announced, Line};
use super::snapshot::{Origin, Snapshot};
use crate::size::readable;

/// Most runs of mappings that are shown: a damaged tree can name one table over and over.
const MAX_RUNS: usize = 4096;

/// Why there is no `BootInfo` to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// x0 does not lead to one.
    Missing(String),
    /// It was read and is wrong. The second is what the tables show if only the checksum is.
    Damaged(BootInfoError, Option<BootInfoError>),
}

/// A snapshot's `BootInfo` bytes, kept for a [`View`] to borrow.
#[derive(Debug)]
pub struct Blob(Result<Vec<u8>, String>);

impl Blob {
    /// Reads them.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self(snapshot.boot_info())
    }
}

/// Everything there is to show.
#[derive(Debug)]
pub struct View<'a> {
    /// Where it comes from.
    pub snapshot: &'a Snapshot,
    /// `BootInfo`, only if every check of every table passed.
    pub info: Result<BootInfo<'a>, Trouble>,
    /// The entry state against the contract.
    pub lines: Vec<Line>,
    /// What the kernel's tables map, in ascending order.
    pub runs: Vec<Run>,
    /// What TTBR0's tables map, if walks through it are enabled.
    pub low_runs: Vec<Run>,
    /// Tables of the kernel's tree, root included.
    pub tables: usize,
}

impl<'a> View<'a> {
    /// Judges a snapshot.
    pub fn new(snapshot: &'a Snapshot, blob: &'a Blob) -> Self {
        let info = match &blob.0 {
            Err(words) => Err(Trouble::Missing(words.clone())),
            Ok(bytes) => BootInfo::decode(bytes).map_err(|error| {
                let inside = matches!(error, BootInfoError::Checksum { .. });
                let inside = inside.then(|| BootInfo::decode_damaged(bytes).err()).flatten();
                Trouble::Damaged(error, inside)
            }),
        };
        let announced = info.as_ref().map_or_else(
            |_| Announced::default(),
            |info| Announced {
                entry: Some(info.kernel().virt_entry),
                stack_top: Some(info.boot_stack().virt_top),
            },
        );
        let tree = snapshot.kernel_tables();
        let runs = tree.map(|tree| tree.leaves(snapshot).take(MAX_RUNS).collect()).unwrap_or_default();
        let tables = tree.map_or(0, |tree| {
            let nodes = tree.nodes(snapshot).take(MAX_RUNS * 512);
            1 + nodes.filter(|node| matches!(node, shared_abi::page_table::Node::Table { .. })).count()
        });
        // TCR_EL1.EPD0 (bit 7) disables its walks.
        let walks_low = snapshot.register("TCR_EL1").is_some_and(|tcr| tcr & 1 << 7 == 0);
        let low = snapshot.user_tables().filter(|_| walks_low);
        let low_runs = low.map(|tree| tree.leaves(snapshot).take(MAX_RUNS).collect()).unwrap_or_default();
        // The contract is about the kernel's first instruction alone.
        let lines = match snapshot.moment {
            None => contract::lines(snapshot, announced),
            Some(_) => Vec::new(),
        };
        Self { snapshot, info, lines, runs, low_runs, tables }
    }

    /// What the view is of, in words: which kernel, which machine, when.
    pub fn title(&self) -> String {
        match (self.snapshot.origin, &self.snapshot.moment) {
            (_, Some(moment)) => format!("{}, {}", self.snapshot.title, moment.when),
            (Origin::Stopped, None) => format!("{}, at the kernel's first instruction", self.snapshot.title),
            (Origin::Planned, None) => format!("{}, as planned", self.snapshot.title),
        }
    }

    /// Whether this is the entry of a machine that ran, so that there is a timeline, a log and a state to judge.
    pub fn has_run(&self) -> bool {
        self.snapshot.origin == Origin::Stopped && self.snapshot.moment.is_none()
    }

    /// Whether all of it is as it ought to be. A later moment is the kernel's own, and as good as it wants it.
    pub fn is_good(&self) -> bool {
        self.snapshot.moment.is_some() || self.info.is_ok() && self.lines.iter().all(|line| line.holds)
    }

    /// The stages of the boot: name, ticks since the first, ticks until the next.
    pub fn stages(&self) -> Vec<(&'a str, u64, u64)> {
        let Ok(info) = &self.info else { return Vec::new() };
        let stages: Vec<_> = info.timeline().collect();
        let first = stages.first().map_or(0, |stage| stage.ticks);
        let ends = stages.iter().skip(1).chain(stages.last()).map(|stage| stage.ticks);
        let shown = stages.iter().zip(ends);
        shown.map(|(stage, end)| (info.string(stage.name), stage.ticks - first, end - stage.ticks)).collect()
    }

    /// Ticks of the system counter as a person reads a time.
    pub fn time(&self, ticks: u64) -> String {
        match self.microseconds(ticks) {
            None => format!("{ticks} ticks"),
            Some(time) if time < 1000.0 => format!("{time:.0} µs"),
            Some(time) => format!("{:.1} ms", time / 1000.0),
        }
    }

    /// Ticks of the system counter as microseconds; `None` if its frequency is not known.
    pub fn microseconds(&self, ticks: u64) -> Option<f64> {
        let frequency = self.info.as_ref().ok()?.platform().timer_frequency;
        (frequency != 0).then(|| ticks as f64 * 1e6 / frequency as f64)
    }

    /// The kernel's sections in a part of it: names and sizes.
    pub fn sections(&self, range: VirtRange) -> Vec<String> {
        let sections = self.snapshot.parts.iter().flat_map(|parts| &parts.sections);
        let inside =
            sections.filter(|section| range.start().get() <= section.start && section.start < range.end());
        inside.map(|section| format!("{} {}", section.name, readable(section.length))).collect()
    }

    /// What a virtual address belongs to, by what `BootInfo` says.
    pub fn purpose(&self, virt: u64) -> &'static str {
        let Ok(info) = &self.info else { return "" };
        let inside = |range: shared_abi::addr::VirtRange| range.start().get() <= virt && virt < range.end();
        if inside(info.kernel().range()) {
            return "kernel";
        }
        if inside(info.boot_stack().range()) {
            return "boot stack";
        }
        if info.console().is_some_and(|console| console.virt_base / 0x1000 == virt / 0x1000) {
            return "console";
        }
        // The narrow windows lie inside the wide ones.
        let window =
            info.windows().filter(|window| inside(window.range())).min_by_key(|window| window.length);
        window.and_then(|window| window.id.name()).unwrap_or_default()
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(words) => write!(f, "no BootInfo: {words}"),
            Self::Damaged(error, None) => {
                write!(f, "E{:04} in field {}: {error}", error.code(), error.field())
            }
            Self::Damaged(error, Some(inside)) => write!(
                f,
                "E{:04} in field {}: {error}; inside, E{:04} in field {}: {inside}",
                error.code(),
                error.field(),
                inside.code(),
                inside.field()
            ),
        }
    }
}

/// Rights of a leaf in three letters: what the kernel may do. Not by the format's own decoder, so that what is
/// not of the format can be shown too (Arm ARM D8.4: AP[2] bit 7, PXN bit 53).
pub fn rights(leaf: Descriptor) -> &'static str {
    match (leaf.bits() & 1 << 7 == 0, leaf.bits() & 1 << 53 == 0) {
        (true, true) => "rwx",
        (true, false) => "rw-",
        (false, true) => "r-x",
        (false, false) => "r--",
    }
}

/// Rights of a run: in the kernel's half what the kernel may do, in the other what EL0 may do (AP[1] bit 6, UXN bit 54).
pub fn run_rights(run: &Run) -> &'static str {
    if run.virt.is_high() {
        return rights(run.attributes);
    }
    let bits = run.attributes.bits();
    let (is_user, is_written, is_code) = (bits & 1 << 6 != 0, bits & 1 << 7 == 0, bits & 1 << 54 == 0);
    match (is_user, is_written, is_code) {
        (false, _, true) => "--x",
        (false, _, false) => "---",
        (true, true, true) => "rwx",
        (true, true, false) => "rw-",
        (true, false, true) => "r-x",
        (true, false, false) => "r--",
    }
}

/// Memory type by its index in MAIR, as the contract numbers them.
pub fn memory_type(leaf: Descriptor) -> &'static str {
    match leaf.attribute_index() {
        0 => "write-back",
        1 => "Device-nGnRE",
        2 => "non-cacheable",
        3 => "Device-nGnRnE",
        _ => "unknown type",
    }
}

/// A walk, level by level, in words; and whether it ends at a leaf.
pub fn walk(snapshot: &Snapshot, virt: u64) -> (Vec<String>, bool) {
    let mut words = Vec::new();
    let high = virt >> 48 == 0xFFFF;
    if !high && virt >> 48 != 0 {
        return (
            vec![format!("{virt:#018x} is not canonical: bits 63 to 48 are neither all 0 nor all 1")],
            false,
        );
    }
    let (name, tree) =
        if high { ("TTBR1_EL1", snapshot.kernel_tables()) } else { ("TTBR0_EL1", snapshot.user_tables()) };
    let Some(tree) = tree else { return (vec![format!("{name} was not read")], false) };
    let mut table = tree.root();
    words.push(format!(
        "{virt:#018x} is translated by {name}, whose root table is at {:#x}",
        table.start().get()
    ));
    if !high && snapshot.register("TCR_EL1").is_some_and(|tcr| tcr & 1 << 7 != 0) {
        words.push("TCR_EL1.EPD0 is set: walks are disabled, a translation fault at level 0".into());
        return (words, false);
    }
    for level in 0..4_u8 {
        let shift = 39 - 9 * u32::from(level);
        let index = (virt >> shift & 0x1FF) as usize;
        let place = format!("level {level}, entry {index} of the table at {:#x}", table.start().get());
        let Some(entry) = snapshot.entry(table, index) else {
            words.push(format!("{place}: this table was not read"));
            return (words, false);
        };
        let bits = entry.bits();
        if !entry.is_valid() {
            words.push(format!("{place}: {bits:#018x}, not valid: a translation fault at level {level}"));
            return (words, false);
        }
        if entry.is_table(level) {
            table = entry.address().frame();
            words.push(format!("{place}: {bits:#018x}, the table at {:#x} is next", table.start().get()));
            continue;
        }
        let size = ["512 GiB", "1 GiB", "2 MiB", "4 KiB"][usize::from(level)];
        let offset = virt & ((1 << shift) - 1);
        let phys = (entry.address().get() & !((1 << shift) - 1)) | offset;
        let what = if level == 3 { "page" } else { "block" };
        words.push(format!(
            "{place}: {bits:#018x}, a {what} of {size}: {}, {}, {}",
            rights(entry),
            memory_type(entry),
            if bits & 1 << 11 == 0 { "global" } else { "not global" },
        ));
        words.push(format!("{virt:#018x} is physical {phys:#x}"));
        return (words, true);
    }
    (words, false)
}

#[cfg(test)]
mod tests {
    use shared_abi::addr::{PhysAddr, VirtAddr};

    use super::*;

    #[test]
    fn each_half_has_the_rights_of_who_uses_it() {
        let run = |virt, bits: u64| Run {
            virt: VirtAddr::new(virt).unwrap(),
            phys: PhysAddr::new(0x4000_0000).unwrap(),
            length: 0x1000,
            level: 3,
            attributes: Descriptor::from_bits_retain(bits | 3),
        };
        let (user, read_only, pxn, uxn) = (1 << 6, 1 << 7, 1 << 53, 1 << 54);
        for (low, high, bits) in [
            ("r-x", "r--", user | read_only | pxn),
            ("rw-", "rw-", user | pxn | uxn),
            ("r--", "r--", user | read_only | pxn | uxn),
            ("---", "rw-", pxn | uxn),
            ("rwx", "rwx", user),
            ("--x", "r-x", read_only),
        ] {
            assert_eq!(run_rights(&run(0x1000, bits)), low, "{bits:#x}");
            assert_eq!(run_rights(&run(0xFFFF_0000_0000_1000, bits)), high, "{bits:#x}");
        }
    }
}
