//! From the compacted tree, which is well-formed, to the machine's description.
//!
//! Of the `fdt` library only the calls that cannot panic on such a tree are used: the root by path, children,
//! properties, the reservation map. Values are still hostile: their lengths and contents are checked here.
//! Where a property or node is stated twice, the later one counts, except that ranges add up.

use arrayvec::ArrayVec;
use fdt::Fdt;
use fdt::node::FdtNode;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};

use super::cells::{Bus, Cells, Value, nameable};
use super::class::{Class, class_of};
use super::compact::base_name;
use super::{TreeError, console};
use crate::platform::{Conduit, Cpu, DynamicReservation, EnableMethod, Machine, Psci, PsciVersion};

/// Fills in the description.
pub(super) fn interpret<'s>(compact: &'s [u8], machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
    let tree = Fdt::new(compact).map_err(|_| TreeError::Library)?;
    for entry in tree.memory_reservations() {
        if let Some(range) = nameable("memreserve", entry.address() as u64, entry.size() as u64)? {
            machine.add_reservation(range, false, "memreserve")?;
        }
    }
    let root = tree.find_node("/").ok_or(TreeError::Library)?;
    let mut bus = Bus { cells: Cells::DEFAULT, ranges: None };
    for property in root.properties() {
        match property.name {
            "model" => {
                machine.model = Value { node: "/", property: "model", bytes: property.value }.text()?
            }
            name => bus.take("/", name, property.value)?,
        }
    }

    let mut chosen = Chosen::default();
    let mut alias = None;
    for node in root.children() {
        match base_name(node.name.as_bytes()) {
            b"memory" => memory(node, bus.cells, machine)?,
            b"cpus" => processors(node, machine)?,
            b"reserved-memory" => reservations(node, bus.cells, machine)?,
            b"chosen" => chosen.read(node)?,
            b"aliases" => alias = node.properties().next().map(|path| path.value),
            _ => device(node, bus.cells, machine)?,
        }
    }
    chosen.settle(machine)?;

    let (path, options) = split_options(machine.boot.console_path);
    let path = match alias {
        Some(bytes) if !path.starts_with('/') => Value { node: "aliases", property: "path", bytes }.text()?,
        _ => path,
    };
    if path.starts_with('/') {
        machine.console = console::find(root, bus, split_options(path).0, options)?;
    }
    Ok(())
}

/// A path and what follows its colon.
fn split_options(path: &str) -> (&str, &str) {
    path.split_once(':').unwrap_or((path, ""))
}

/// A node with `device_type = "memory"`, or of that name: all ranges of its `reg`.
fn memory<'s>(node: FdtNode<'_, 's>, cells: Cells, machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
    let mut reg = None;
    let mut numa = 0;
    for property in node.properties() {
        match property.name {
            "reg" => reg = Some(Value { node: node.name, property: "reg", bytes: property.value }),
            "numa-node-id" => numa = numa_node(node.name, property.value)?,
            _ => {}
        }
    }
    for (start, length) in reg.map(|reg| cells.ranges(reg)).transpose()?.into_iter().flatten() {
        let range = nameable(node.name, start, length)?;
        machine.unnameable_memory += length - range.map_or(0, PhysRange::len);
        if let Some(range) = range {
            machine.add_memory(range, numa)?;
        }
    }
    Ok(())
}

fn numa_node<'s>(node: &'s str, bytes: &'s [u8]) -> Result<u16, TreeError<'s>> {
    let value = Value { node, property: "numa-node-id", bytes };
    value.cell()?.try_into().map_err(|_| value.malformed())
}

/// `/cpus`: Devicetree Specification 3.8, and Linux's binding `arm/cpus.yaml` for what `reg` holds.
fn processors<'s>(cpus: FdtNode<'_, 's>, machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
    let cells = Bus::of(cpus)?.cells;
    for node in cpus.children() {
        let mut reg = Value { node: node.name, property: "reg", bytes: &[] };
        let (mut method, mut release, mut numa, mut status) = ("", None, 0, "okay");
        for property in node.properties() {
            let value = |name| Value { node: node.name, property: name, bytes: property.value };
            match property.name {
                "reg" => reg = value("reg"),
                "enable-method" => method = value("enable-method").text()?,
                "cpu-release-addr" => release = Some(value("cpu-release-addr")),
                "numa-node-id" => numa = numa_node(node.name, property.value)?,
                "status" => status = value("status").text()?,
                _ => {}
            }
        }
        // One that failed is as good as absent; one that is disabled can be enabled.
        if status.starts_with("fail") {
            continue;
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
        machine.add_cpu(cpu.ok_or(reg.malformed())?)?;
    }
    Ok(())
}

/// `/reserved-memory`: Devicetree Specification 3.5.
fn reservations<'s>(
    parent: FdtNode<'_, 's>,
    root: Cells,
    machine: &mut Machine<'s>,
) -> Result<(), TreeError<'s>> {
    let bus = Bus::of(parent)?;
    for node in parent.children() {
        let (mut reg, mut size, mut alignment, mut within) = (None, None, None, None);
        let (mut no_map, mut reusable) = (false, false);
        for property in node.properties() {
            let value = |name| Value { node: node.name, property: name, bytes: property.value };
            match property.name {
                "reg" => reg = Some(value("reg")),
                "size" => size = Some(value("size")),
                "alignment" => alignment = Some(value("alignment")),
                "alloc-ranges" => within = Some(value("alloc-ranges")),
                "no-map" => no_map = true,
                "reusable" => reusable = true,
                _ => {}
            }
        }
        // Where there is a place, a wish for another does not count.
        if let Some(reg) = reg {
            for (start, length) in bus.cells.ranges(reg)? {
                let start = physical(&bus, root, start)?.ok_or(reg.malformed())?;
                if let Some(range) = nameable(node.name, start, length)? {
                    machine.add_reservation(range, no_map, node.name)?;
                }
            }
        } else if let Some(size) = size {
            let length = size.number()?;
            let alignment = match alignment {
                Some(value) => match value.number()? {
                    number @ (0 | PAGE..) if number == 0 || number.is_power_of_two() => number.max(PAGE),
                    number if number.is_power_of_two() => PAGE,
                    _ => return Err(value.malformed()),
                },
                None => PAGE,
            };
            let mut ranges = ArrayVec::new();
            if let Some(within) = within {
                for (start, length) in bus.cells.ranges(within)? {
                    let start = physical(&bus, root, start)?.ok_or(within.malformed())?;
                    if let Some(range) = nameable(node.name, start, length)? {
                        ranges.try_push(range).map_err(|_| within.malformed())?;
                    }
                }
            }
            if length > 0 {
                machine.add_dynamic_reservation(DynamicReservation {
                    length,
                    alignment,
                    within: ranges,
                    no_map,
                    reusable: reusable && !no_map,
                    name: node.name,
                })?;
            }
        }
    }
    Ok(())
}

/// A reserved address as the processor sees it: without `ranges`, which is required, as if they were empty.
fn physical<'s>(bus: &Bus<'s>, root: Cells, address: u64) -> Result<Option<u64>, TreeError<'s>> {
    match bus.ranges {
        None => Ok(Some(address)),
        Some(_) => bus.translate(root, address),
    }
}

/// Any other node: a device that is ours, the buses above one, or memory by its `device_type`.
fn device<'s>(node: FdtNode<'_, 's>, root: Cells, machine: &mut Machine<'s>) -> Result<(), TreeError<'s>> {
    let (mut class, mut method, mut clock) = (None, None, None);
    for property in node.properties() {
        let value = |name| Value { node: node.name, property: name, bytes: property.value };
        match property.name {
            "compatible" => class = class_of(property.value),
            "method" => method = Some(value("method")),
            "clock-frequency" => clock = Some(value("clock-frequency")),
            "device_type" => return memory(node, root, machine),
            _ => {}
        }
    }
    match class {
        Some(Class::Psci(version)) => machine.psci = Some(psci(version, method, node.name)?),
        Some(Class::Gic(gic)) if machine.gic.is_none() => machine.gic = Some(gic),
        Some(Class::Timer) => {
            if let Some(clock) = clock {
                machine.timer_frequency = Some(clock.cell()?);
            }
        }
        Some(Class::Gic(_) | Class::Console(_)) => {}
        // A bus: what is below it may be of use.
        None => {
            for child in node.children() {
                device(child, root, machine)?;
            }
        }
    }
    Ok(())
}

/// Linux's binding `arm/psci.yaml`.
fn psci<'s>(version: PsciVersion, method: Option<Value<'s>>, node: &'s str) -> Result<Psci, TreeError<'s>> {
    let method = method.unwrap_or(Value { node, property: "method", bytes: &[] });
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
    fn read(&mut self, node: FdtNode<'_, 's>) -> Result<(), TreeError<'s>> {
        for property in node.properties() {
            let value = |name| Value { node: node.name, property: name, bytes: property.value };
            match property.name {
                "bootargs" => self.command_line = value("bootargs").text()?,
                "stdout-path" => self.stdout_path = value("stdout-path").text()?,
                "linux,stdout-path" => self.linux_stdout_path = value("linux,stdout-path").text()?,
                "linux,initrd-start" => self.initrd_start = Some(value("linux,initrd-start").number()?),
                "linux,initrd-end" => self.initrd_end = Some(value("linux,initrd-end").number()?),
                "rng-seed" => self.rng_seed = property.value,
                "kaslr-seed" => self.kaslr_seed = value("kaslr-seed").number()?,
                _ => {}
            }
        }
        Ok(())
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
