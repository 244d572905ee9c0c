//! From the pruned tree, which is well-formed, to the machine's description, which borrows from it.
//!
//! Of the `fdt` library only the calls that cannot panic on such a tree are used: the root, children, properties,
//! the reservation map. Values are still hostile: their lengths and contents are checked here. Where a node is stated
//! twice that there should be one of, the first counts, but memory and reservations add up.

use arrayvec::ArrayVec;
use fdt::Fdt;
use fdt::node::FdtNode;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};

use super::TreeError;
use super::bus::Bus;
use super::cells::{Cells, Ranges, nameable, number};
use super::class::Class;
use super::console::Search;
use super::kind::Kind;
use super::node::Node;
use super::prune::{Chosen, console_path};
use super::symbol::Symbol;
use crate::platform::{
    BootRequest, Conduit, Cpu, DYNAMIC_RESERVATIONS, DynamicReservation, EnableMethod, Full, MEMORY_RANGES,
    Machine, Psci, PsciVersion, Remark,
};

/// Most ranges that RAM can be narrowed to. Linux reads two.
const USABLE_RANGES: usize = 16;

/// The bits of MPIDR_EL1 that are no affinity and may be set (Arm ARM D23.2.101): RES1, U and MT.
const MPIDR_OTHER: u64 = 1 << 31 | 1 << 30 | 1 << 24;

/// Fills in the description. The console is looked for even in a tree that is refused: the refusal is to be read.
pub(super) fn interpret<'s>(
    pruned: &'s [u8],
    stated: Chosen<'s>,
    machine: &mut Machine<'s>,
) -> Result<(), TreeError<'s>> {
    let tree = Fdt::new(pruned).map_err(|_| TreeError::Library)?;
    for entry in tree.memory_reservations() {
        let (start, length) = (entry.address() as u64, entry.size() as u64);
        let wraps = TreeError::Range { node: "memreserve", start, length };
        let range = nameable(start, length).ok_or(wraps)?;
        if !range.is_empty() {
            machine.add_reservation(range, false, "memreserve")?;
        }
    }
    machine.boot = BootRequest::default();
    let top = tree.find_node("/").ok_or(TreeError::Library)?;
    let node = &mut Node::new();
    node.read(top, None);
    let root = Bus::of(node);
    machine.model = node.text(Symbol::MODEL).unwrap_or_default();
    // It is printed: strings are printable (2.2.4), lest one command a terminal.
    if machine.model.chars().any(char::is_control) {
        machine.model = "";
        node.malformed(Symbol::MODEL);
    }
    let path = match stated.alias {
        Some((name, None)) => {
            node.remarks.add(Remark::Malformed { node: "aliases", property: name });
            ""
        }
        Some((_, Some(path))) => path,
        None => stated.console_path,
    };
    let console = &mut Search::new(root, without_options(path));
    let (mut chosen, mut usable) = (false, None);
    for place in top.children() {
        node.read(place, Some(Kind::Root));
        match node.kind {
            Kind::Memory => memory(node, root.cells, machine),
            Kind::Cpus => {
                let cpus = Bus::of(node);
                for cpu in place.children() {
                    node.read(cpu, Some(Kind::Cpus));
                    processor(node, cpus.cells, machine);
                }
            }
            Kind::ReservedMemory => {
                let reserved = Bus::of(node);
                for range in place.children() {
                    node.read(range, Some(Kind::ReservedMemory));
                    reservation(node, &reserved, root.cells, machine);
                }
            }
            Kind::Chosen if !chosen => {
                chosen = true;
                machine.boot = request(node, stated);
                usable = node
                    .value(Symbol::USABLE_MEMORY_RANGE)
                    .map(|_| node.ranges(Symbol::USABLE_MEMORY_RANGE, root.cells));
                for symbol in [Symbol::ELF_CORE_HEADER, Symbol::IMA_BUFFER] {
                    for (start, length) in node.ranges(symbol, root.cells) {
                        if let Some(range) = node.nameable(start, length) {
                            node.must_fit(machine.add_reservation(range, false, symbol.name()));
                        }
                    }
                }
            }
            _ => devices(place, node, machine, console, 1),
        }
    }
    if let Some(usable) = usable
        && let Err(error) = narrow(machine, usable)
    {
        node.refuse(error);
    }

    machine.console = console.found;
    machine.remarks = core::mem::take(&mut node.remarks);
    node.check()
}

/// A device, or the devices below a bus, with so many nodes above it.
fn devices<'s>(
    place: FdtNode<'_, 's>,
    node: &mut Node<'s>,
    machine: &mut Machine<'s>,
    console: &mut Search<'s>,
    above: usize,
) {
    console.visit(node, above);
    match node.kind {
        Kind::Power if machine.psci.is_none() => machine.psci = psci(node),
        Kind::Timer if machine.timer_frequency.is_none() => {
            machine.timer_frequency = node.cell(Symbol::CLOCK_FREQUENCY);
        }
        Kind::Bus => {
            for device in place.children() {
                node.read(device, Some(Kind::Bus));
                devices(device, node, machine, console, above + 1);
            }
            console.leave(above);
        }
        _ => {}
    }
}

/// A path up to its colon, behind which are options.
#[inline(never)]
fn without_options(path: &str) -> &str {
    let colon = path.bytes().position(|byte| byte == b':');
    colon.and_then(|colon| path.get(..colon)).unwrap_or(path)
}

/// Keeps of the machine's RAM what lies in the ranges of `/chosen/linux,usable-memory-range` (Linux's binding
/// `chosen.txt`): the rest is another kernel's, which may have crashed in it.
fn narrow<'s>(machine: &mut Machine<'s>, usable: Ranges<'s>) -> Result<(), TreeError<'s>> {
    let stated = core::mem::replace(&mut machine.memory, ArrayVec::<_, MEMORY_RANGES>::new_const());
    for (index, (start, length)) in usable.enumerate() {
        if index == USABLE_RANGES {
            return Err(Full { what: "usable memory ranges", limit: USABLE_RANGES }.into());
        }
        let wraps = TreeError::Range { node: "chosen", start, length };
        let window = nameable(start, length).ok_or(wraps)?;
        for memory in &stated {
            if let Some(range) = memory.range.intersection(window) {
                machine.add_memory(range, memory.node)?;
            }
        }
    }
    Ok(())
}

/// Whether a node that is called `memory` or is of that type is RAM. One that is of another type, or is only called so
/// and states what it is compatible with, is something else: persistent memory holds somebody's data.
fn is_ram(node: &Node<'_>) -> bool {
    match node.value(Symbol::DEVICE_TYPE) {
        Some(device_type) => device_type == b"memory\0" && !node.lists(Symbol::COMPATIBLE, b"pmem-region"),
        None => node.value(Symbol::COMPATIBLE).is_none(),
    }
}

/// A node with `device_type = "memory"`, or of that name: all ranges of `linux,usable-memory`, else of `reg`, as Linux
/// takes them. One that is `hotpluggable` is RAM until somebody asks for it back.
fn memory<'s>(node: &mut Node<'s>, cells: Cells, machine: &mut Machine<'s>) {
    if !is_ram(node) {
        return;
    }
    let numa = numa_node(node);
    let usable = node.value(Symbol::USABLE_MEMORY).is_some();
    let stated = if usable { Symbol::USABLE_MEMORY } else { Symbol::REG };
    for (start, length) in node.ranges(stated, cells) {
        if node.is_refused() {
            break;
        }
        if let Some(range) = node.nameable(start, length) {
            node.must_fit(machine.add_memory(range, numa));
        }
    }
}

fn numa_node(node: &mut Node<'_>) -> u16 {
    node.cell_if(Symbol::NUMA_NODE, |numa| numa <= u16::MAX.into()).unwrap_or(0) as u16
}

/// A child of `/cpus`: Devicetree Specification 3.8, and Linux's binding `arm/cpus.yaml` for what `reg` holds.
fn processor<'s>(node: &mut Node<'s>, cells: Cells, machine: &mut Machine<'s>) {
    let numa = numa_node(node);
    let method = node.text(Symbol::ENABLE_METHOD);
    let status = node.text(Symbol::STATUS).unwrap_or("okay").as_bytes();
    // One that failed is as good as absent; one that is disabled can be enabled.
    if status.starts_with(b"fail") {
        return;
    }
    let method = match method {
        Some("psci") => EnableMethod::Psci,
        Some("spin-table") if node.value(Symbol::RELEASE_ADDRESS).is_some() => {
            match node.number(Symbol::RELEASE_ADDRESS).and_then(PhysAddr::new) {
                Some(address) => EnableMethod::SpinTable(address),
                // The word lies in RAM, wherever it is, and must not be given away.
                None => return node.required(Symbol::RELEASE_ADDRESS),
            }
        }
        _ => EnableMethod::Unknown,
    };
    let id = node.ranges(Symbol::REG, Cells { size: 0, ..cells }).next().map(|(id, _)| id);
    let disabled = !matches!(status, b"okay" | b"ok");
    let cpu = id.and_then(|id| Cpu::new(id & !MPIDR_OTHER, method, numa, disabled));
    match id {
        Some(id) if cpu.is_some() && id & MPIDR_OTHER != 0 => {
            node.remarks.add(Remark::NotAffinity { node: node.name });
        }
        _ if cpu.is_none() => node.malformed(Symbol::REG),
        _ => {}
    }
    match cpu {
        Some(cpu) if matches!(method, EnableMethod::SpinTable(_)) => node.must_fit(machine.add_cpu(cpu)),
        Some(cpu) => node.may_be_dropped(machine.add_cpu(cpu)),
        None => {}
    }
}

/// A child of `/reserved-memory`: Devicetree Specification 3.5.
fn reservation<'s>(node: &mut Node<'s>, bus: &Bus<'s>, root: Cells, machine: &mut Machine<'s>) {
    let name = node.name;
    let no_map = node.value(Symbol::NO_MAP).is_some();
    let asked = node.number_if(Symbol::ALIGNMENT, |alignment| alignment == 0 || alignment.is_power_of_two());
    // Where there is a place, a wish for another does not count.
    if node.value(Symbol::REG).is_some() || node.value(Symbol::SIZE).is_none() {
        let mut stated = node.ranges(Symbol::REG, bus.cells);
        while let Some(range) = next_place(&mut stated, node, Symbol::REG, bus, root) {
            node.must_fit(machine.add_reservation(range, no_map, name));
        }
        return;
    }
    let mut within = ArrayVec::new();
    let full = Full { what: "places for one reserved range", limit: within.capacity() };
    let mut stated = node.ranges(Symbol::ALLOC_RANGES, bus.cells);
    while let Some(range) = next_place(&mut stated, node, Symbol::ALLOC_RANGES, bus, root) {
        node.must_fit(within.try_push(range).map_err(|_| full));
    }
    let reusable = !no_map && node.value(Symbol::REUSABLE).is_some();
    if let Some(length @ 1..) = node.number(Symbol::SIZE) {
        // At least a page; 0 asks for none.
        let alignment = asked.unwrap_or(0).max(PAGE);
        let wish = DynamicReservation { length, alignment, within, no_map, reusable, name };
        // What must be placed takes the room of a wish.
        if !reusable
            && machine.dynamic_reservations.is_full()
            && let Some(dropped) = machine.drop_wish()
        {
            let full = Full { what: "reserved ranges without a place", limit: DYNAMIC_RESERVATIONS };
            node.remarks.add(Remark::Dropped { node: dropped, full });
        }
        let added = machine.add_dynamic_reservation(wish);
        if reusable { node.may_be_dropped(added) } else { node.must_fit(added) }
    }
}

/// The next of the ranges that a value states, as the processor sees it; those that it cannot name are left out.
#[inline(never)]
fn next_place<'s>(
    stated: &mut Ranges<'s>,
    node: &mut Node<'s>,
    symbol: Symbol,
    bus: &Bus<'s>,
    root: Cells,
) -> Option<PhysRange> {
    // One of no length reserves nothing, wherever it is.
    for (start, length) in stated.filter(|(_, length)| *length > 0) {
        if node.is_refused() {
            break;
        }
        // Without `ranges`, which is required, as if they were empty.
        let start = match bus.ranges {
            None => Ok(Some(start)),
            Some(_) => bus.translate(root, start),
        };
        match start {
            Ok(Some(start)) => {
                if let Some(range) = node.nameable(start, length) {
                    return Some(range);
                }
            }
            Ok(None) => node.malformed(symbol),
            Err(error) => node.refuse(error),
        }
    }
    None
}

/// Linux's binding `arm/psci.yaml`.
fn psci(node: &mut Node<'_>) -> Option<Psci> {
    let version = match node.class {
        Some(Class::Psci(version)) => version,
        _ => PsciVersion::V0_1,
    };
    let conduit = match node.text(Symbol::METHOD) {
        Some("hvc") => Conduit::Hvc,
        Some("smc") => Conduit::Smc,
        _ => {
            node.malformed(Symbol::METHOD);
            return None;
        }
    };
    Some(Psci { version, conduit })
}

/// `/chosen`: Devicetree Specification 3.6, and the properties that Linux's boot added.
fn request<'s>(node: &mut Node<'s>, stated: Chosen<'s>) -> BootRequest<'s> {
    let initrd = match (node.number(Symbol::INITRD_START), node.number(Symbol::INITRD_END)) {
        (Some(start), Some(end)) => {
            let range = PhysRange::from_bounds(start, end);
            if range.is_none() {
                node.malformed(Symbol::INITRD_END);
            }
            range.filter(|range| !range.is_empty())
        }
        _ => None,
    };
    for symbol in [Symbol::STDOUT_PATH, Symbol::LINUX_STDOUT_PATH] {
        node.text(symbol);
    }
    let kaslr_seed = stated.kaslr_seed.map(|seed| number(seed).filter(|_| !seed.is_empty()));
    if kaslr_seed == Some(None) {
        node.malformed(Symbol::KASLR_SEED);
    }
    BootRequest {
        command_line: node.text(Symbol::BOOTARGS).unwrap_or_default(),
        initrd,
        rng_seed: stated.rng_seed.unwrap_or_default(),
        kaslr_seed: kaslr_seed.flatten().unwrap_or_default(),
        console_path: console_path(node.value(Symbol::STDOUT_PATH), node.value(Symbol::LINUX_STDOUT_PATH)),
    }
}
