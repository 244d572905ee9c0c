//! The console that `/chosen` names: through an alias, down the path, and its address up through every bus.

use arrayvec::ArrayVec;
use fdt::node::FdtNode;
use shared_abi::addr::PhysAddr;
use shared_abi::uart::UartKind;

use super::TreeError;
use super::cells::{Bus, Value, values};
use super::class::{Class, class_at};
use super::compact::DEPTH;
use super::kind::{Kind, is_base};
use super::symbol::Symbol;
use crate::platform::Console;

/// Finds the console by its path without options; `None` if it is not there, not okay, not of a known kind, or
/// at no physical address: a machine without console boots.
pub(super) fn find<'s>(
    root: FdtNode<'_, 's>,
    root_bus: Bus<'s>,
    path: &str,
    options: &'s str,
) -> Result<Option<Console<'s>>, TreeError<'s>> {
    // Buses from the root to the node's parent.
    let mut buses = ArrayVec::<Bus<'s>, DEPTH>::new();
    let mut node = root;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let bus = if buses.is_empty() { root_bus } else { Bus::of(node)? };
        if buses.try_push(bus).is_err() {
            return Ok(None);
        }
        match node.children().find(|child| is_named(child.name, part)) {
            Some(child) => node = child,
            None => return Ok(None),
        }
    }
    let Some((parent, above)) = buses.split_last() else { return Ok(None) };

    let Some(device) = Device::read(node)? else { return Ok(None) };
    let Some((address, _)) = parent.cells.ranges(device.reg)?.next() else { return Ok(None) };
    let mut address = address.checked_add(device.offset.into());
    let mut bus = parent;
    for above in above.iter().rev() {
        let Some(inner) = address else { return Ok(None) };
        address = bus.translate(above.cells, inner)?;
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
struct Device<'s> {
    kind: UartKind,
    reg: Value<'s>,
    shift: u8,
    offset: u32,
    width: Option<u8>,
    clock: Option<u32>,
}

impl<'s> Device<'s> {
    /// `None` if the node is no serial port of a known kind, or has no registers.
    fn read(node: FdtNode<'_, 's>) -> Result<Option<Self>, TreeError<'s>> {
        let (mut kind, mut reg, mut shift, mut offset, mut width, mut clock) = (None, None, 0, 0, None, None);
        for value in values(node) {
            match value.symbol {
                Symbol::CLASS => kind = class_at(value.cell()?),
                Symbol::REG => reg = Some(value),
                Symbol::REG_SHIFT => shift = small(value, |shift| shift <= 4)?,
                Symbol::REG_IO_WIDTH => width = Some(small(value, |width| matches!(width, 1 | 2 | 4))?),
                Symbol::REG_OFFSET => offset = value.cell()?,
                // Some boards state it in two cells.
                Symbol::CLOCK_FREQUENCY => clock = u32::try_from(value.number()?).ok(),
                _ => {}
            }
        }
        Ok(match (kind, reg) {
            (Some(Class::Console(kind)), Some(reg)) => Some(Self { kind, reg, shift, offset, width, clock }),
            _ => None,
        })
    }
}

/// A cell that holds a number of few values.
fn small<'s>(value: Value<'s>, allowed: fn(u8) -> bool) -> Result<u8, TreeError<'s>> {
    match u8::try_from(value.cell()?) {
        Ok(number) if allowed(number) => Ok(number),
        _ => Err(value.malformed()),
    }
}

/// Whether a path's part means a node: a part without unit address means the first of that name.
fn is_named(copy: &str, part: &str) -> bool {
    match Kind::of_copy(copy) {
        Some((Kind::Bus | Kind::Serial, name)) => name == part || is_base(name.as_bytes(), part.as_bytes()),
        _ => false,
    }
}
