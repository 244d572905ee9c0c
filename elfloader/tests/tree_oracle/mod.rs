//! A second opinion on device trees: the same questions put to Google's `dtoolkit`, with every value read anew.
//!
//! It shares no code with the loader, and of its tables only the serial ports. It answers for trees that `dtoolkit`
//! accepts and whose values make sense to it; what it then says must be what the loader says, if the loader accepts the
//! tree as well.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use elfloader::device_tree::{Pruned, describe, prune};
use elfloader::memory_map::MemoryMap;
use elfloader::platform::{CPUS, DYNAMIC_RESERVATIONS, EnableMethod, Machine};
use shared_abi::memory::RegionKind;
use shared_abi::uart::UartKind;

/// What is compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Start, length, node; nothing from 2⁴⁸ on.
    pub memory: Vec<(u64, u64, u16)>,
    /// Start, length, no-map, name; sorted, as their order says nothing.
    pub reservations: Vec<(u64, u64, bool, String)>,
    /// Length, no-map, name.
    pub dynamic: Vec<(u64, bool, String)>,
    /// Affinity and release address.
    pub cpus: Vec<(u64, Option<u64>)>,
    /// The conduit is SMC.
    pub psci_by_smc: Option<bool>,
    pub command_line: String,
    pub initrd: Option<(u64, u64)>,
    /// Its first register, if it is there, okay and of a kind that is known.
    pub console: Option<u64>,
}

impl Facts {
    /// What the loader found.
    pub fn of(machine: &Machine<'_>) -> Self {
        let range = |range: shared_abi::addr::PhysRange| (range.start().get(), range.len());
        let mut facts = Self {
            memory: machine.memory.iter().map(|m| (range(m.range).0, range(m.range).1, m.node)).collect(),
            reservations: machine
                .reservations
                .iter()
                .map(|r| (range(r.range).0, range(r.range).1, r.no_map, r.name.to_string()))
                .collect(),
            dynamic: machine
                .dynamic_reservations
                .iter()
                .map(|d| (d.length, d.no_map, d.name.to_string()))
                .collect(),
            cpus: machine
                .cpus
                .iter()
                .map(|cpu| match cpu.enable_method() {
                    EnableMethod::SpinTable(address) => (cpu.affinity(), Some(address.get())),
                    _ => (cpu.affinity(), None),
                })
                .collect(),
            psci_by_smc: machine.psci.map(|psci| psci.conduit == elfloader::platform::Conduit::Smc),
            command_line: machine.boot.command_line.to_string(),
            initrd: machine.boot.initrd.map(|initrd| (initrd.start().get(), initrd.end())),
            console: machine.console.map(|console| console.base.get()),
        };
        facts.reservations.sort_unstable();
        facts
    }
}

const LIMIT: u128 = 1 << 48;

/// `None` if `dtoolkit` refuses the tree, or a value makes no sense.
pub fn facts(tree: &[u8]) -> Option<Facts> {
    facts_of(Fdt::new(tree).ok()?)
}

/// The same for a tree known to be good: `dtoolkit` refuses property names longer than 31 characters, which
/// real trees have.
#[allow(dead_code, reason = "hostile trees cannot be known to be good")]
pub fn facts_of_real(tree: &[u8]) -> Option<Facts> {
    facts_of(Fdt::new_unchecked(tree))
}

/// The cells of the root's children in a tree known to be good.
#[allow(dead_code, reason = "only who adds a node asks")]
pub fn root_cells_of_real(tree: &[u8]) -> Option<(usize, usize)> {
    cells(Fdt::new_unchecked(tree).root())
}

fn facts_of(tree: Fdt<'_>) -> Option<Facts> {
    let mut facts = Facts::default();
    for entry in tree.memory_reservations() {
        add_reservation(&mut facts, entry.address().into(), entry.size().into(), false, "memreserve")?;
    }
    let root = tree.root();
    let root_cells = cells(root)?;
    let mut chosen: Option<FdtNode<'_>> = None;
    for node in root.children() {
        let base = node.name().split('@').next()?;
        let named = ["memory", "chosen", "aliases", "reserved-memory", "cpus"].contains(&base);
        let device_type = is(node, "device_type", b"memory\0");
        if base == "memory" || !named && device_type {
            if okay(node) && is_ram(node) {
                memory(&mut facts, node, root_cells)?;
            }
        } else if base == "cpus" && okay(node) {
            let cells = lenient_cells(node);
            for cpu in node.children().filter(|cpu| cpu.name().split('@').next() == Some("cpu")) {
                processor(&mut facts, cpu, cells.0)?;
            }
        } else if base == "chosen" && okay(node) && chosen.is_none() {
            chosen = Some(node);
        } else if base == "reserved-memory" && okay(node) {
            for child in node.children().filter(|child| okay(*child)) {
                reserved(&mut facts, node, child, root_cells.0)?;
            }
        }
    }
    if let Some(usable) = chosen.and_then(|chosen| value(chosen, "linux,usable-memory-range")) {
        facts.memory = usable_memory(&facts.memory, &pairs(&usable, root_cells)?)?;
    }
    power(&mut facts, root, 0);
    if let Some(chosen) = chosen {
        for name in ["linux,elfcorehdr", "linux,ima-kexec-buffer"] {
            for (start, length) in pairs(&value(chosen, name).unwrap_or_default(), root_cells)? {
                add_reservation(&mut facts, start, length, false, name)?;
            }
        }
        facts.command_line = lenient_text(chosen, "bootargs");
        let number = |name| match value(chosen, name) {
            Some(bytes) if bytes.len() == 4 || bytes.len() == 8 => Some(be(&bytes) as u64),
            _ => None,
        };
        if let (Some(start), Some(end)) = (number("linux,initrd-start"), number("linux,initrd-end")) {
            facts.initrd = (start < end && u128::from(end) <= LIMIT).then_some((start, end));
        }
        let path = match lenient_text(chosen, "stdout-path") {
            path if path.is_empty() => lenient_text(chosen, "linux,stdout-path"),
            path => path,
        };
        let mut path = path.split(':').next()?.to_string();
        if !path.starts_with('/') {
            let aliases = root.children().find(|node| node.name().split('@').next() == Some("aliases"));
            let target = match aliases {
                Some(aliases) if !path.is_empty() => lenient_text(aliases, &path),
                _ => String::new(),
            };
            path = target.split(':').next()?.to_string();
        }
        if path.starts_with('/') {
            facts.console = console(root, &path).flatten();
        }
    }
    facts.reservations.sort_unstable();
    // What does not fit is left out or refused, which is no question of the tree's.
    let fits = facts.cpus.len() <= CPUS && facts.dynamic.len() <= DYNAMIC_RESERVATIONS;
    fits.then_some(facts)
}

/// RAM in the first window, then in the second, and so on.
fn usable_memory(memory: &[(u64, u64, u16)], windows: &[(u128, u128)]) -> Option<Vec<(u64, u64, u16)>> {
    let mut usable = Vec::new();
    for (start, length) in windows {
        if start + length > 1 << 64 {
            return None;
        }
        for (from, bytes, node) in memory {
            let low = u128::from(*from).max(*start);
            let high = (u128::from(*from) + u128::from(*bytes)).min(start + length);
            if low < high {
                usable.push((low as u64, (high - low) as u64, *node));
            }
        }
    }
    Some(usable)
}

/// Whether a node called memory, or of that type, is RAM.
fn is_ram(node: FdtNode<'_>) -> bool {
    let compatible = value(node, "compatible");
    match value(node, "device_type") {
        None => compatible.is_none(),
        Some(device_type) => {
            let persistent =
                compatible.is_some_and(|list| list.split(|b| *b == 0).any(|s| s == b"pmem-region"));
            device_type == b"memory\0" && !persistent
        }
    }
}

/// Cells that count as not stated where they are malformed.
fn lenient_cells(node: FdtNode<'_>) -> (usize, usize) {
    let count = |name, default| match value(node, name) {
        Some(bytes) if bytes.len() == 4 && be(&bytes) <= 8 => be(&bytes) as usize,
        _ => default,
    };
    (count("#address-cells", 2), count("#size-cells", 1))
}

/// A string that is empty where it is malformed.
fn lenient_text(node: FdtNode<'_>, name: &str) -> String {
    if value(node, name).is_some_and(|value| value.len() > 4096) {
        return String::new();
    }
    text(node, name).flatten().unwrap_or_default()
}

fn value(node: FdtNode<'_>, name: &str) -> Option<Vec<u8>> {
    node.properties().find(|property| property.name() == name).map(|property| property.value().to_vec())
}

fn is(node: FdtNode<'_>, name: &str, bytes: &[u8]) -> bool {
    value(node, name).is_some_and(|value| value == bytes)
}

fn okay(node: FdtNode<'_>) -> bool {
    value(node, "status").is_none_or(|status| matches!(&status[..], b"okay\0" | b"ok\0"))
}

/// The outer `None`: not a string.
fn text(node: FdtNode<'_>, name: &str) -> Option<Option<String>> {
    match value(node, name) {
        None => Some(None),
        Some(bytes) => {
            let text = std::ffi::CStr::from_bytes_until_nul(&bytes).ok()?;
            Some(Some(text.to_str().ok()?.to_string()))
        }
    }
}

fn be(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn cells(node: FdtNode<'_>) -> Option<(usize, usize)> {
    let count = |name, default| match value(node, name) {
        None => Some(default),
        Some(bytes) if bytes.len() == 4 && be(&bytes) <= 8 => Some(be(&bytes) as usize),
        Some(_) => None,
    };
    Some((count("#address-cells", 2)?, count("#size-cells", 1)?))
}

fn pairs(bytes: &[u8], cells: (usize, usize)) -> Option<Vec<(u128, u128)>> {
    let record = (cells.0 + cells.1) * 4;
    if cells.0 > 2 || cells.1 > 2 || record == 0 || !bytes.len().is_multiple_of(record) {
        return None;
    }
    Some(bytes.chunks(record).map(|pair| (be(&pair[..cells.0 * 4]), be(&pair[cells.0 * 4..]))).collect())
}

/// Cuts a range at 2⁴⁸; the outer `None` if it wraps at 2⁶⁴, the inner if nothing is left.
fn cut(start: u128, length: u128) -> Option<Option<(u64, u64)>> {
    if start + length > 1 << 64 {
        return None;
    }
    let end = (start + length).min(LIMIT);
    Some((start < end).then(|| (start as u64, (end - start) as u64)))
}

fn add_reservation(facts: &mut Facts, start: u128, length: u128, no_map: bool, name: &str) -> Option<()> {
    if let Some((start, length)) = cut(start, length)? {
        facts.reservations.push((start, length, no_map, name.to_string()));
    }
    Some(())
}

fn numa(node: FdtNode<'_>) -> u16 {
    match value(node, "numa-node-id") {
        Some(bytes) if bytes.len() == 4 => (be(&bytes) as u32).try_into().unwrap_or(0),
        _ => 0,
    }
}

fn memory(facts: &mut Facts, node: FdtNode<'_>, cells: (usize, usize)) -> Option<()> {
    let numa = numa(node);
    if let Some(reg) = value(node, "linux,usable-memory").or_else(|| value(node, "reg")) {
        for (start, length) in pairs(&reg, cells)? {
            if let Some((start, length)) = cut(start, length)? {
                facts.memory.push((start, length, numa));
            }
        }
    }
    Some(())
}

fn processor(facts: &mut Facts, cpu: FdtNode<'_>, address_cells: usize) -> Option<()> {
    if lenient_text(cpu, "status").starts_with("fail") {
        return Some(());
    }
    let method = lenient_text(cpu, "enable-method");
    let release = match (method.as_str(), value(cpu, "cpu-release-addr")) {
        ("spin-table", Some(bytes)) if bytes.len() == 4 || bytes.len() == 8 => Some(be(&bytes)),
        ("spin-table", Some(_)) => return None,
        _ => None,
    };
    if release.is_some_and(|release| release >= LIMIT) {
        return None;
    }
    let reg = value(cpu, "reg").and_then(|reg| pairs(&reg, (address_cells, 0)));
    // Some state the whole register.
    let id = reg.and_then(|reg| reg.first().copied()).map(|(id, _)| id & !0xC100_0000);
    if let Some(id) = id.filter(|id| id & !0xFF_00FF_FFFF == 0) {
        facts.cpus.push((id as u64, release.map(|release| release as u64)));
    }
    Some(())
}

fn reserved(
    facts: &mut Facts,
    parent: FdtNode<'_>,
    node: FdtNode<'_>,
    root_address_cells: usize,
) -> Option<()> {
    let cells = cells(parent)?;
    let no_map = value(node, "no-map").is_some();
    if let Some(alignment) = value(node, "alignment") {
        let number = be(&alignment);
        if !matches!(alignment.len(), 4 | 8) || number != 0 && !number.is_power_of_two() {
            return None;
        }
    }
    if let Some(reg) = value(node, "reg") {
        for (start, length) in pairs(&reg, cells)? {
            let start = match value(parent, "ranges") {
                None => start,
                Some(ranges) => translate(&ranges, start, cells, root_address_cells)??,
            };
            add_reservation(facts, start, length, no_map, node.name())?;
        }
    } else if let Some(size) = value(node, "size") {
        if !matches!(size.len(), 4 | 8) {
            return None;
        }
        if let Some(within) = value(node, "alloc-ranges") {
            pairs(&within, cells)?;
        }
        if be(&size) > 0 {
            facts.dynamic.push((be(&size) as u64, no_map, node.name().to_string()));
        }
    }
    Some(())
}

/// The outer `None`: malformed; the inner: no range has the address.
fn translate(
    ranges: &[u8],
    address: u128,
    child: (usize, usize),
    parent_address_cells: usize,
) -> Option<Option<u128>> {
    if ranges.is_empty() {
        return Some(Some(address));
    }
    if child.0 > 2 || child.1 > 2 || parent_address_cells > 2 {
        return Some(None);
    }
    let (a, b, c) = (child.0 * 4, parent_address_cells * 4, child.1 * 4);
    if a + b + c == 0 || !ranges.len().is_multiple_of(a + b + c) {
        return None;
    }
    for entry in ranges.chunks(a + b + c) {
        let (start, target, length) = (be(&entry[..a]), be(&entry[a..a + b]), be(&entry[a + b..]));
        if start <= address && address < start + length {
            let translated = target + (address - start);
            return if translated < 1 << 64 { Some(Some(translated)) } else { None };
        }
    }
    Some(None)
}

/// The first power interface in the tree's order, below nodes that are okay.
fn power(facts: &mut Facts, node: FdtNode<'_>, depth: usize) {
    for child in node.children() {
        let base = child.name().split('@').next().unwrap_or_default();
        let named = depth == 0 && ["memory", "chosen", "aliases", "reserved-memory", "cpus"].contains(&base);
        if named || !okay(child) || depth == 0 && is(child, "device_type", b"memory\0") {
            continue;
        }
        match class(child) {
            Some(Class::Psci) if facts.psci_by_smc.is_none() => {
                facts.psci_by_smc = match lenient_text(child, "method").as_str() {
                    "hvc" => Some(false),
                    "smc" => Some(true),
                    _ => None,
                };
            }
            Some(_) => {}
            None => power(facts, child, depth + 1),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Serial,
    Psci,
    Timer,
}

fn class(node: FdtNode<'_>) -> Option<Class> {
    value(node, "compatible")?.split(|byte| *byte == 0).find_map(|name| {
        Some(match std::str::from_utf8(name).ok()? {
            name if UartKind::COMPATIBLE.iter().any(|(known, _)| *known == name) => Class::Serial,
            "arm,psci-1.0" | "arm,psci-0.2" | "arm,psci" => Class::Psci,
            "arm,armv8-timer" => Class::Timer,
            _ => return None,
        })
    })
}

/// The outer `None`: malformed; the inner: no console.
fn console(root: FdtNode<'_>, path: &str) -> Option<Option<u64>> {
    let mut chain = vec![root];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let parent = *chain.last()?;
        if chain.len() > 1 && class(parent).is_some() {
            return Some(None);
        }
        // Nodes that are not okay are as good as absent.
        let child = parent.children().find(|child| {
            let named = chain.len() == 1
                && (["memory", "chosen", "aliases", "reserved-memory", "cpus"]
                    .contains(&child.name().split('@').next().unwrap_or_default())
                    || is(*child, "device_type", b"memory\0"));
            let name = child.name();
            !named
                && okay(*child)
                && (name == part || name.split('@').next() == Some(part))
                && leads(*child, 0)
        });
        match child {
            Some(child) => chain.push(child),
            None => return Some(None),
        }
    }
    let node = *chain.last()?;
    if chain.len() < 2 || class(node) != Some(Class::Serial) {
        return Some(None);
    }
    let number = |name, allowed: fn(u128) -> bool| match value(node, name) {
        None => Some(0),
        Some(bytes) if bytes.len() == 4 && allowed(be(&bytes)) => Some(be(&bytes)),
        Some(_) => None,
    };
    number("reg-shift", |shift| shift <= 4)?;
    number("reg-io-width", |width| matches!(width, 1 | 2 | 4))?;
    let offset = number("reg-offset", |_| true)?;
    let all: Option<Vec<_>> = chain[..chain.len() - 1].iter().map(|bus| cells(*bus)).collect();
    let all = all?;
    let Some(reg) = value(node, "reg") else { return Some(None) };
    let Some((mut address, _)) = pairs(&reg, *all.last()?)?.first().copied() else { return Some(None) };
    address += offset;
    if address >= 1 << 64 {
        return Some(None);
    }
    for level in (1..chain.len() - 1).rev() {
        let Some(ranges) = value(chain[level], "ranges") else { return Some(None) };
        match translate(&ranges, address, all[level], all[level - 1].0)? {
            Some(translated) => address = translated,
            None => return Some(None),
        }
    }
    Some((address < LIMIT).then_some(address as u64))
}

/// Whether the loader's copy has a node: a serial port, or a bus with one below it.
fn leads(node: FdtNode<'_>, depth: usize) -> bool {
    match class(node) {
        Some(class) => class == Class::Serial,
        None => depth < 32 && node.children().any(|child| okay(child) && copied(child, depth + 1)),
    }
}

/// Whether anything of a node is copied: any device of a kind but silent timers.
fn copied(node: FdtNode<'_>, depth: usize) -> bool {
    match class(node) {
        Some(Class::Timer) => value(node, "clock-frequency").is_some(),
        Some(_) => true,
        None => depth < 32 && node.children().any(|child| okay(child) && copied(child, depth + 1)),
    }
}

/// Reads a tree as the loader does and checks everything that must hold of the answer, the oracle's agreement
/// included. Gives the error's code, or 0.
pub fn check(tree: &[u8]) -> u16 {
    let mut words: Vec<u64> = vec![0; tree.len().div_ceil(8)];
    zerocopy::IntoBytes::as_mut_bytes(words.as_mut_slice())[..tree.len()].copy_from_slice(tree);
    let mut trimmed = words.clone();
    let aligned = &zerocopy::IntoBytes::as_bytes(words.as_slice())[..tree.len()];
    let (mut pruned, mut machine) = (Pruned::new(), Machine::new());
    let survey = match describe(aligned, &mut pruned, &mut machine) {
        Ok(survey) => survey,
        Err(error) => {
            assert!((401..=420).contains(&error.code()) && error.code() != 420, "{error:?}");
            assert!(!error.to_string().contains('\n'));
            return error.code();
        }
    };
    let found = Facts::of(&machine);
    if let Some(expected) = facts(tree) {
        assert_eq!(found, expected);
    }
    assert!(survey.extent <= tree.len());
    check_map(&machine);
    check_pruned(aligned, &machine);

    // The tree may be trimmed to its extent and its seeds wiped, and says the same.
    let bytes = zerocopy::IntoBytes::as_mut_bytes(trimmed.as_mut_slice());
    for seed in &survey.seeds {
        bytes[seed.offset..seed.offset + seed.length].fill(0);
    }
    bytes[4..8].copy_from_slice(&(survey.extent as u32).to_be_bytes());
    let overlaps = |at: usize, length: usize| {
        survey.seeds.iter().any(|s| s.offset < at + length && at < s.offset + s.length)
    };
    let (mut pruned, mut again) = (Pruned::new(), Machine::new());
    match describe(&bytes[..survey.extent], &mut pruned, &mut again) {
        Ok(_) => assert!(Facts::of(&again) == found || overlaps(0, survey.extent)),
        // A hostile tree's seeds may lie over what describes it.
        Err(error) => assert!(overlaps(0, survey.extent), "{error}"),
    }
    0
}

/// Sees that the pruned tree is one that the second reader reads, and that pruning it again changes nothing.
fn check_pruned(tree: &[u8], machine: &Machine<'_>) {
    let (mut once, mut twice) = (Pruned::new(), Pruned::new());
    prune(tree, &mut once).unwrap();
    prune(once.as_bytes(), &mut twice).unwrap();
    assert_eq!(once.as_bytes(), twice.as_bytes());
    if let Some(facts) = facts(once.as_bytes()) {
        assert_eq!(facts, Facts::of(machine));
    }
}

/// Lays out the memory and checks the map against the machine's own statements.
fn check_map(machine: &Machine<'_>) {
    let mut map = MemoryMap::new();
    if map.lay_out(machine, 1 << 44).is_err() {
        return;
    }
    let _ = map.place_dynamic(machine);
    let mut end = 0;
    for region in map.regions() {
        let (start, length) = (region.range.start().get(), region.range.len());
        assert!(start >= end && length > 0 && start % 4096 == 0 && length % 4096 == 0);
        end = region.range.end();
        for address in [start, end - 1] {
            let address = shared_abi::addr::PhysAddr::new(address).unwrap();
            assert!(machine.memory.iter().any(|memory| memory.range.contains(address)));
        }
        if region.kind == RegionKind::USABLE {
            assert!(!machine.reservations.iter().any(|reserved| reserved.range.overlaps(region.range)));
        }
    }
}
