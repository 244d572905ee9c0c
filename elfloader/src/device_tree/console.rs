//! The console that `/chosen` names: through an alias, down the path, and its address up through every bus.

use arrayvec::ArrayVec;
use fdt::node::FdtNode;
use shared_abi::addr::PhysAddr;
use shared_abi::uart::UartKind;

use super::TreeError;
use super::cells::{Bus, Cells};
use super::class::{Class, class_at};
use super::compact::DEPTH;
use super::kind::{Kind, is_base};
use super::node::Node;
use super::original::Original;
use super::symbol::Symbol;
use crate::platform::{Console, Remark};

/// Finds the console by its path without options; `None` if it is not there, not okay, not of a known kind, or
/// at no physical address: a machine without console boots. Each node on the way is read to `node`.
pub(super) fn find<'s>(
    root: FdtNode<'_, '_>,
    root_bus: Bus<'s>,
    path: &str,
    options: &'s str,
    original: Original<'_>,
    node: &mut Node<'s>,
) -> Result<Option<Console<'s>>, TreeError<'s>> {
    // Buses from the root to the node's parent.
    let mut buses = ArrayVec::<Bus<'s>, DEPTH>::new();
    let mut place = root;
    let ignored = node.ignored();
    for part in path.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        let child = place.children().find(|child| is_named(child.name, part, original));
        // What a node says as a bus counts only for what is below it.
        let bus = if buses.is_empty() { root_bus } else { Bus::of(node) };
        let (Some(child), Ok(())) = (child, buses.try_push(bus)) else { return Ok(None) };
        node.read(child)?;
        place = child;
    }
    let Some((parent, above)) = buses.split_last() else { return Ok(None) };
    // Where a bus is malformed, an address below it would be a guess.
    if node.ignored() > ignored {
        return Ok(None);
    }

    let Some(device) = Device::read(node, parent.cells) else { return Ok(None) };
    let mut address = device.address;
    let mut bus = parent;
    for above in above.iter().rev() {
        let Some(inner) = address else { return Ok(None) };
        address = bus.translate(above.cells, inner).unwrap_or_else(|_| {
            node.remarks.add(Remark::Malformed { node: bus.name, property: Symbol::RANGES.name() });
            None
        });
        bus = above;
    }
    Ok(address.and_then(PhysAddr::new).map(|base| Console {
        kind: device.kind,
        base,
        register_shift: device.shift,
        access_width: device.width.unwrap_or(device.kind.default_layout().access_width as u8),
        clock: device.clock,
        options,
    }))
}

/// A serial port as its node states it.
struct Device {
    kind: UartKind,
    /// Of its first register on its parent's bus; `None` if that wraps round.
    address: Option<u64>,
    shift: u8,
    width: Option<u8>,
    clock: Option<u32>,
}

impl Device {
    /// `None` if the node is no serial port of a known kind, has no registers, or is malformed in what says how they lie.
    fn read(node: &mut Node<'_>, parent: Cells) -> Option<Self> {
        let ignored = node.ignored();
        let shift = node.cell_if(Symbol::REG_SHIFT, |shift| shift <= 4);
        let width = node.cell_if(Symbol::REG_IO_WIDTH, |width| matches!(width, 1 | 2 | 4));
        let offset = node.cell(Symbol::REG_OFFSET).unwrap_or(0);
        if node.ignored() > ignored {
            return None;
        }
        // Some boards state it in two cells.
        let clock = node.number(Symbol::CLOCK_FREQUENCY).and_then(|clock| u32::try_from(clock).ok());
        let Some(Class::Console(kind)) = class_at(node.class()?) else { return None };
        let (address, _) = node.ranges(Symbol::REG, parent).next()?;
        Some(Self {
            kind,
            address: address.checked_add(offset.into()),
            shift: shift.map_or(0, |shift| shift as u8),
            width: width.map(|width| width as u8),
            clock,
        })
    }
}

/// Whether a path's part means a node: a part without unit address means the first of that name.
fn is_named(copy: &str, part: &[u8], original: Original<'_>) -> bool {
    match Kind::of_copy(copy) {
        Some((Kind::Bus | Kind::Serial, name)) => {
            let name = original.name(name).as_bytes();
            name == part || is_base(name, part)
        }
        _ => false,
    }
}
