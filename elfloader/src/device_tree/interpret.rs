//! From the compacted tree, which is well-formed, to the machine's description.
//!
//! Of the `fdt` library only the calls that cannot panic on such a tree are used: all nodes, the root by path,
//! children, properties, the reservation map. Values are still hostile: their lengths and contents are checked here.
//! Where a node is stated twice that there should be one of, the first counts, but memory and reservations add
//! up.

use arrayvec::ArrayVec;
use fdt::Fdt;
use fdt::node::FdtNode;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};

use super::cells::{Bus, Cells, Value, nameable, values};
use super::class::{Class, class_at};
use super::kind::Kind;
use super::symbol::Symbol;
use super::{TreeError, console};
use crate::platform::{Conduit, Cpu, DynamicReservation, EnableMethod, Full, Machine, Psci, PsciVersion};

/// Fills in the description.
pub(super) fn interpret<'s>(compact: &'s [u8], machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
    let tree = Fdt::new(compact).map_err(|_| TreeError::Library)?;
    for entry in tree.memory_reservations() {
        if let Some(range) = nameable("memreserve", entry.address() as u64, entry.size() as u64)? {
            machine.add_reservation(range, false, "memreserve")?;
        }
    }
    let (mut root, mut cpus, mut reserved) = (Bus::DEFAULT, Bus::DEFAULT, Bus::DEFAULT);
    let mut chosen = None;
    let mut alias = None;
    for node in tree.all_nodes() {
        let (kind, name) = Kind::of_copy(node.name).ok_or(TreeError::Library)?;
        match kind {
            Kind::Root => {
                for value in values(node) {
                    match value.symbol {
                        Symbol::MODEL => machine.model = value.text()?,
                        _ => root.take(value)?,
                    }
                }
            }
            Kind::Memory => memory(node, name, root.cells, machine)?,
            Kind::Cpus => cpus = Bus::of(node)?,
            Kind::Cpu => processor(node, name, cpus.cells, machine)?,
            Kind::ReservedMemory => reserved = Bus::of(node)?,
            Kind::Reserved => reservation(node, name, &reserved, root.cells, machine)?,
            Kind::Chosen if chosen.is_none() => chosen = Some(Chosen::read(node)?),
            Kind::Aliases => alias = values(node).next(),
            Kind::Power if machine.psci.is_none() => machine.psci = Some(psci(node, name)?),
            Kind::Timer if machine.timer_frequency.is_none() => {
                for clock in values(node).filter(|value| value.symbol == Symbol::CLOCK_FREQUENCY) {
                    machine.timer_frequency = Some(clock.cell()?);
                }
            }
            _ => {}
        }
    }
    chosen.unwrap_or_default().settle(machine)?;

    let (path, options) = split_options(machine.boot.console_path);
    let path = match alias {
        Some(alias) if !path.starts_with('/') => alias.text()?,
        _ => path,
    };
    if path.starts_with('/') {
        let top = tree.find_node("/").ok_or(TreeError::Library)?;
        machine.console = console::find(top, root, split_options(path).0, options)?;
    }
    Ok(())
}

/// A path and what follows its colon.
fn split_options(path: &str) -> (&str, &str) {
    path.split_once(':').unwrap_or((path, ""))
}

/// A node with `device_type = "memory"`, or of that name: all ranges of its `reg`.
fn memory<'s>(
    node: FdtNode<'_, 's>,
    name: &'s str,
    cells: Cells,
    machine: &mut Machine<'s>,
) -> Result<(), TreeError<'s>> {
    let mut reg = None;
    let mut numa = 0;
    for value in values(node) {
        match value.symbol {
            Symbol::REG => reg = Some(value),
            Symbol::NUMA_NODE => numa = numa_node(value)?,
            _ => {}
        }
    }
    for (start, length) in reg.map(|reg| cells.ranges(reg)).transpose()?.into_iter().flatten() {
        let range = nameable(name, start, length)?;
        let left_out = length - range.map_or(0, PhysRange::len);
        machine.unnameable_memory = machine.unnameable_memory.saturating_add(left_out);
        if let Some(range) = range {
            machine.add_memory(range, numa)?;
        }
    }
    Ok(())
}

fn numa_node<'s>(value: Value<'s>) -> Result<u16, TreeError<'s>> {
    value.cell()?.try_into().map_err(|_| value.malformed())
}

/// A child of `/cpus`: Devicetree Specification 3.8, and Linux's binding `arm/cpus.yaml` for what `reg` holds.
fn processor<'s>(
    node: FdtNode<'_, 's>,
    name: &'s str,
    cells: Cells,
    machine: &mut Machine<'s>,
) -> Result<(), TreeError<'s>> {
    let mut reg = Value { node: name, symbol: Symbol::REG, bytes: &[] };
    let (mut method, mut release, mut numa, mut status) = ("", None, 0, "okay");
    for value in values(node) {
        match value.symbol {
            Symbol::REG => reg = value,
            Symbol::ENABLE_METHOD => method = value.text()?,
            Symbol::RELEASE_ADDRESS => release = Some(value),
            Symbol::NUMA_NODE => numa = numa_node(value)?,
            Symbol::STATUS => status = value.text()?,
            _ => {}
        }
    }
    // One that failed is as good as absent; one that is disabled can be enabled.
    if status.starts_with("fail") {
        return Ok(());
    }
    let method = match (method, release) {
        ("psci", _) => EnableMethod::Psci,
        ("spin-table", Some(release)) => {
            EnableMethod::SpinTable(PhysAddr::new(release.number()?).ok_or(release.malformed())?)
        }
        _ => EnableMethod::Unknown,
    };
    let id = Cells { size: 0, ..cells }.ranges(reg)?.next().map(|(id, _)| id);
    let cpu = id.and_then(|id| Cpu::new(id, method, numa, !matches!(status, "okay" | "ok")));
    Ok(machine.add_cpu(cpu.ok_or(reg.malformed())?)?)
}

/// A child of `/reserved-memory`: Devicetree Specification 3.5.
fn reservation<'s>(
    node: FdtNode<'_, 's>,
    name: &'s str,
    bus: &Bus<'s>,
    root: Cells,
    machine: &mut Machine<'s>,
) -> Result<(), TreeError<'s>> {
    let (mut reg, mut size, mut alignment, mut within) = (None, None, PAGE, None);
    let (mut no_map, mut reusable) = (false, false);
    for value in values(node) {
        match value.symbol {
            Symbol::REG => reg = Some(value),
            Symbol::SIZE => size = Some(value),
            Symbol::ALIGNMENT => alignment = power_of_two(value)?,
            Symbol::ALLOC_RANGES => within = Some(value),
            Symbol::NO_MAP => no_map = true,
            Symbol::REUSABLE => reusable = true,
            _ => {}
        }
    }
    // Where there is a place, a wish for another does not count.
    let Some(size) = size.filter(|_| reg.is_none()) else {
        return each_range(reg, bus, root, |range| Ok(machine.add_reservation(range, no_map, name)?));
    };
    let mut ranges = ArrayVec::new();
    each_range(within, bus, root, |range| {
        let full = Full { what: "places for one reserved range", limit: ranges.capacity() };
        ranges.try_push(range).map_err(|_| full.into())
    })?;
    let length = size.number()?;
    if length == 0 {
        return Ok(());
    }
    Ok(machine.add_dynamic_reservation(DynamicReservation {
        length,
        alignment,
        within: ranges,
        no_map,
        reusable: reusable && !no_map,
        name,
    })?)
}

/// Hands out the ranges of a value as the processor sees them; those that it cannot name are left out.
fn each_range<'s>(
    value: Option<Value<'s>>,
    bus: &Bus<'s>,
    root: Cells,
    mut take: impl FnMut(PhysRange) -> Result<(), TreeError<'s>>,
) -> Result<(), TreeError<'s>> {
    let Some(value) = value else { return Ok(()) };
    for (start, length) in bus.cells.ranges(value)? {
        let start = physical(bus, root, start)?.ok_or(value.malformed())?;
        if let Some(range) = nameable(value.node, start, length)? {
            take(range)?;
        }
    }
    Ok(())
}

/// An alignment, at least a page; 0 asks for none.
fn power_of_two<'s>(value: Value<'s>) -> Result<u64, TreeError<'s>> {
    match value.number()? {
        0 => Ok(PAGE),
        alignment if alignment.is_power_of_two() => Ok(alignment.max(PAGE)),
        _ => Err(value.malformed()),
    }
}

/// A reserved address as the processor sees it: without `ranges`, which is required, as if they were empty.
fn physical<'s>(bus: &Bus<'s>, root: Cells, address: u64) -> Result<Option<u64>, TreeError<'s>> {
    match bus.ranges {
        None => Ok(Some(address)),
        Some(_) => bus.translate(root, address),
    }
}

/// Linux's binding `arm/psci.yaml`.
fn psci<'s>(node: FdtNode<'_, 's>, name: &'s str) -> Result<Psci, TreeError<'s>> {
    let mut method = Value { node: name, symbol: Symbol::METHOD, bytes: &[] };
    let mut version = PsciVersion::V0_1;
    for value in values(node) {
        match value.symbol {
            Symbol::METHOD => method = value,
            Symbol::CLASS => {
                if let Some(Class::Psci(stated)) = class_at(value.cell()?) {
                    version = stated;
                }
            }
            _ => {}
        }
    }
    let conduit = match method.text()? {
        "hvc" => Conduit::Hvc,
        "smc" => Conduit::Smc,
        _ => return Err(method.malformed()),
    };
    Ok(Psci { version, conduit })
}

/// `/chosen`: Devicetree Specification 3.6, and the properties that Linux's boot added.
#[derive(Default)]
struct Chosen<'s> {
    command_line: &'s str,
    stdout_path: &'s str,
    linux_stdout_path: &'s str,
    initrd_start: Option<u64>,
    initrd_end: Option<u64>,
    rng_seed: &'s [u8],
    kaslr_seed: u64,
}

impl<'s> Chosen<'s> {
    fn read(node: FdtNode<'_, 's>) -> Result<Self, TreeError<'s>> {
        let mut chosen = Self::default();
        for value in values(node) {
            match value.symbol {
                Symbol::BOOTARGS => chosen.command_line = value.text()?,
                Symbol::STDOUT_PATH => chosen.stdout_path = value.text()?,
                Symbol::LINUX_STDOUT_PATH => chosen.linux_stdout_path = value.text()?,
                Symbol::INITRD_START => chosen.initrd_start = Some(value.number()?),
                Symbol::INITRD_END => chosen.initrd_end = Some(value.number()?),
                Symbol::RNG_SEED => chosen.rng_seed = value.bytes,
                Symbol::KASLR_SEED => chosen.kaslr_seed = value.number()?,
                _ => {}
            }
        }
        Ok(chosen)
    }

    fn settle(self, machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
        let boot = &mut machine.boot;
        boot.command_line = self.command_line;
        boot.rng_seed = self.rng_seed;
        boot.kaslr_seed = self.kaslr_seed;
        boot.console_path =
            if self.stdout_path.is_empty() { self.linux_stdout_path } else { self.stdout_path };
        if let (Some(start), Some(end)) = (self.initrd_start, self.initrd_end) {
            let range = PhysRange::from_bounds(start, end).ok_or(TreeError::Initrd { start, end })?;
            boot.initrd = Some(range).filter(|range| !range.is_empty());
        }
        Ok(())
    }
}
