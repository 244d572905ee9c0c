//! The console that `/chosen` names: down the path while the tree is read, and its address up through every bus.

use arrayvec::ArrayVec;
use shared_abi::addr::PhysAddr;
use shared_abi::uart::UartKind;

use super::bus::Bus;
use super::cells::Cells;
use super::class::Class;
use super::kind::{Kind, is_base};
use super::node::Node;
use super::prune::DEPTH;
use super::symbol::Symbol;
use crate::platform::{Console, Remark};

/// The way to the console. It ends nowhere if the console is not there, not okay, not of a known kind, or at no physical
/// address: a machine without console boots.
pub(super) struct Search<'s> {
    /// What of the path is below the last node on the way.
    rest: &'s str,
    /// The nodes on the way to which it leads: the root, then buses.
    buses: ArrayVec<Bus<'s>, DEPTH>,
    /// It.
    pub found: Option<Console>,
}

impl<'s> Search<'s> {
    /// Begins at the root, with a path without options.
    pub(super) fn new(root: Bus<'s>, path: &'s str) -> Self {
        let mut search = Self { rest: path.trim_matches('/'), buses: ArrayVec::new(), found: None };
        if path.starts_with('/') && !search.rest.is_empty() {
            search.buses.push(root);
        }
        search
    }

    /// Looks at a node that was read, which has so many nodes above it. Of several that a part of the path may mean, the
    /// first counts.
    pub(super) fn visit(&mut self, node: &mut Node<'s>, above: usize) {
        if self.buses.len() != above || !matches!(node.kind, Kind::Bus | Kind::Serial) {
            return;
        }
        let (part, rest) = self.rest.split_once('/').unwrap_or((self.rest, ""));
        // A part without unit address means the first of that name.
        if node.name != part && !is_base(node.name.as_bytes(), part.as_bytes()) {
            return;
        }
        let ignored = node.ignored();
        self.rest = rest.trim_start_matches('/');
        if self.rest.is_empty() {
            self.found = self.console(node);
        } else if node.kind == Kind::Bus {
            let bus = Bus::of(node);
            // Where a bus is malformed, an address below it would be a guess.
            if node.ignored() == ignored && self.buses.try_push(bus).is_ok() {
                return;
            }
        }
        self.buses.clear();
    }

    /// Leaves a bus that has so many nodes above it: the way ends there if it led to it.
    pub(super) fn leave(&mut self, above: usize) {
        if self.buses.len() > above {
            self.buses.clear();
        }
    }

    /// What the node at the way's end is.
    fn console(&self, node: &mut Node<'s>) -> Option<Console> {
        let (parent, above) = self.buses.split_last()?;
        let device = Device::read(node, parent.cells)?;
        let mut address = device.address;
        let mut bus = parent;
        for above in above.iter().rev() {
            address = bus.translate(above.cells, address?).unwrap_or_else(|_| {
                node.remarks.add(Remark::Malformed { node: bus.name, property: Symbol::RANGES.name() });
                None
            });
            bus = above;
        }
        address.and_then(PhysAddr::new).map(|base| Console {
            kind: device.kind,
            base,
            register_shift: device.shift,
            access_width: device.width.unwrap_or(device.kind.default_layout().access_width as u8),
            clock: device.clock,
        })
    }
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
        let Some(Class::Console(kind)) = node.class else { return None };
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
