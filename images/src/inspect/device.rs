//! Which device's registers lie at a physical address, by the device tree.

use dtoolkit::Node;
use dtoolkit::fdt::{Fdt, FdtNode};

/// Deepest node that is looked into.
const DEPTH: usize = 16;

/// The name of the device whose registers hold `phys`: `intc@8000000`. `None` if there is none, or no good tree.
pub fn at(tree: &[u8], phys: u64) -> Option<String> {
    // The field totalsize: what lies behind is none of the tree's.
    let size = u32::from_be_bytes(tree.get(4..8)?.try_into().ok()?);
    below(Fdt::new(tree.get(..size as usize)?).ok()?.root(), phys, 0)
}

/// Looks among the children of a node on whose bus `address` is.
fn below(node: FdtNode<'_>, address: u64, depth: usize) -> Option<String> {
    if depth == DEPTH {
        return None;
    }
    for child in node.children() {
        // Of a device inside of another's registers the inner one is meant.
        let inner = on_bus_of(child, address).and_then(|address| below(child, address, depth + 1));
        if inner.is_some() {
            return inner;
        }
        let name = Node::name(&child);
        let registers = child.reg().ok().flatten().into_iter().flatten();
        for part in registers.filter(|_| !name.starts_with("memory")) {
            let (Ok(start), Ok(length)) = (part.address::<u64>(), part.size::<u64>()) else { continue };
            if address.wrapping_sub(start) < length {
                return Some(name.to_owned());
            }
        }
    }
    None
}

/// The address on the bus that a node is: the same if its `ranges` is empty, none if it has none.
fn on_bus_of(node: FdtNode<'_>, address: u64) -> Option<u64> {
    let mut is_empty = true;
    for range in node.ranges().ok().flatten()? {
        is_empty = false;
        let (Ok(child), Ok(parent), Ok(length)) =
            (range.child_bus_address::<u64>(), range.parent_bus_address::<u64>(), range.length::<u64>())
        else {
            continue;
        };
        if address.wrapping_sub(parent) < length {
            return Some(child + (address - parent));
        }
    }
    is_empty.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_their_registers() {
        let tree = include_bytes!("../../../elfloader/tests/trees/virt.dtb");
        assert_eq!(at(tree, 0x0800_0000).as_deref(), Some("intc@8000000"));
        assert_eq!(at(tree, 0x0900_0FFF).as_deref(), Some("pl011@9000000"));
        for nothing in [0x0900_1000, 0x4000_0000, u64::MAX] {
            assert_eq!(at(tree, nothing), None, "{nothing:#x}");
        }
        assert_eq!(at(b"no tree", 0), None);
    }
}
