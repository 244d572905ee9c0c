//! Names for addresses: which part of the address space one lies in.
//!
//! Parts lie inside of parts (the guard in the handoff window, the text in the kernel): the narrowest names the
//! address. The null page, the low half and addresses that neither half translates have names without being listed.

use core::fmt;

use shared_abi::addr::{PAGE, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::boot_info::{BootInfo, Origin, WindowId};
use shared_abi::rights::Rights;

/// A named part of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// What reports call it.
    pub name: &'static str,
    /// Its addresses.
    pub range: VirtRange,
}

/// The named parts.
///
/// ```
/// use handoff_bare::region::RegionMap;
/// use shared_abi::addr::VirtRange;
///
/// let mut map = RegionMap::new();
/// map.add("kernel", VirtRange::from_bounds(0xFFFF_0000_0000_0000, 0xFFFF_0000_0010_0000).unwrap());
/// map.add("kernel text", VirtRange::from_bounds(0xFFFF_0000_0000_0000, 0xFFFF_0000_0000_8000).unwrap());
/// assert_eq!(map.place_of(0xFFFF_0000_0000_001C).to_string(), "kernel text+0x1c");
/// assert_eq!(map.place_of(8).to_string(), "the null page+0x8");
/// ```
#[derive(Clone, Debug)]
pub struct RegionMap {
    regions: [Region; Self::LIMIT],
    count: usize,
    /// Bit `n`: region `n` is a stack.
    stacks: u32,
    /// Physical memory that the direct map shows, and where it begins.
    direct: Option<(PhysRange, VirtAddr)>,
}

/// Where an address lies. Its `Display` is `kernel text+0x1c`, `the null page+0x8`, `no known region`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a named region, that many bytes from its start.
    Region(&'static str, u64),
    /// In user space or elsewhere in the low half; as a physical address, it is there in the direct map.
    Physical(u64, VirtAddr),
    /// In the high half, in no region.
    Unknown,
    /// An address that neither half translates.
    NotCanonical,
}

impl RegionMap {
    /// Most regions that a map holds; what is added beyond has no name.
    pub const LIMIT: usize = 24;

    /// A map that knows only the null page and the low half.
    pub const fn new() -> Self {
        Self {
            regions: [Region { name: "", range: VirtRange::EMPTY }; Self::LIMIT],
            count: 0,
            stacks: 0,
            direct: None,
        }
    }

    /// The regions that `info` tells of: the kernel's parts by their rights, stack, guard, console, windows and
    /// direct map. A kernel adds its own as it makes them.
    pub fn of_boot(info: &BootInfo<'_>) -> Self {
        let mut map = Self::new();
        let stack = info.boot_stack();
        map.add("boot stack guard", stack.guard());
        map.add_stack("boot stack", stack.range());
        if let Some(console) = info.console()
            && let Some(start) = VirtAddr::new(console.virt_base)
            && let Some(range) = VirtRange::new(start, console.length)
        {
            map.add("console", range);
        }
        for (name, id) in [
            ("boot info", WindowId::BOOT_INFO),
            ("resident loader", WindowId::LOADER),
            ("handoff window", WindowId::HANDOFF),
            ("heap", WindowId::HEAP),
        ] {
            if let Some(range) = info.window(id) {
                map.add(name, range);
            }
        }
        let direct = info.direct_map();
        map.add("direct map", direct.range());
        map.add_direct(direct.phys().start(), direct.range());
        map.add("kernel", info.kernel().range());
        for extent in info.extents() {
            let name = match (extent.rights(), extent.origin) {
                (Rights::ReadExecute, _) => "kernel text",
                (Rights::ReadOnly, _) => "kernel read-only data",
                (Rights::ReadWrite, Origin::ZEROED) => "kernel zeroed data",
                (Rights::ReadWrite, _) => "kernel data",
            };
            map.add(name, extent.virt());
        }
        map
    }

    /// Names a range; one that follows a range of the same name becomes part of it. `false` if the map is full or
    /// the range empty: the region is then part of what lies around it.
    pub fn add(&mut self, name: &'static str, range: VirtRange) -> bool {
        if range.is_empty() {
            return false;
        }
        if let Some(last) = self.count.checked_sub(1).and_then(|last| self.regions.get_mut(last))
            && last.name == name
            && self.stacks >> (self.count - 1) & 1 == 0
            && last.range.end() == range.start().get()
            && let Some(both) = VirtRange::from_bounds(last.range.start().get(), range.end())
        {
            last.range = both;
            return true;
        }
        let Some(free) = self.regions.get_mut(self.count) else { return false };
        *free = Region { name, range };
        self.count += 1;
        true
    }

    /// Names a range that is a stack, mapped and readable as a whole, as [`add`](Self::add) does.
    pub fn add_stack(&mut self, name: &'static str, range: VirtRange) -> bool {
        let added = self.add(name, range);
        if added {
            self.stacks |= 1 << (self.count - 1);
        }
        added
    }

    /// Says that the direct map has the memory from `phys` on at `virt`, so that a physical address used as a pointer
    /// is known as one. Pieces come in ascending order.
    pub fn add_direct(&mut self, phys: PhysAddr, virt: VirtRange) {
        let (first, start) = self.direct.map_or((phys, virt.start()), |(all, start)| (all.start(), start));
        let all = PhysRange::from_bounds(first.get(), phys.get().saturating_add(virt.len()));
        self.direct = all.map(|all| (all, start));
    }

    /// The regions, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().take(self.count)
    }

    /// Those that are stacks: backtraces read them and nothing else.
    pub fn stacks(&self) -> impl Iterator<Item = &Region> {
        self.iter().enumerate().filter(|(index, _)| self.stacks >> index & 1 == 1).map(|(_, region)| region)
    }

    /// The narrowest region that holds `address`.
    pub fn region_of(&self, address: VirtAddr) -> Option<&Region> {
        self.iter().filter(|region| region.range.contains(address)).min_by_key(|region| region.range.len())
    }

    /// Where `address`, any number, lies.
    pub fn place_of(&self, address: u64) -> Place {
        let Some(canonical) = VirtAddr::new(address) else { return Place::NotCanonical };
        match self.region_of(canonical) {
            Some(region) => Place::Region(region.name, address - region.range.start().get()),
            None if address < PAGE => Place::Region("the null page", address),
            None if !canonical.is_high() => match self.direct_of(address) {
                Some(virt) => Place::Physical(address, virt),
                None => Place::Region("the low half", address),
            },
            None => Place::Unknown,
        }
    }

    /// Where the stack pointer `address` points: that of an empty stack is just past the stack's end.
    pub fn place_of_stack(&self, address: u64) -> Place {
        match self.stacks().find(|stack| stack.range.end() == address) {
            Some(stack) => Place::Region(stack.name, stack.range.len()),
            None => self.place_of(address),
        }
    }

    /// Where the direct map has `address`, if that is a physical address there.
    fn direct_of(&self, address: u64) -> Option<VirtAddr> {
        let (phys, virt) = self.direct?;
        let address = PhysAddr::new(address).filter(|address| phys.contains(*address))?;
        virt.checked_add(address.get() - phys.start().get())
    }
}

impl Default for RegionMap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name, offset) => write!(f, "{name}+{offset:#x}"),
            Self::Physical(address, virt) => {
                write!(f, "the low half+{address:#x}; as a physical address, {virt} in the direct map")
            }
            Self::Unknown => f.write_str("no known region"),
            Self::NotCanonical => f.write_str("an address that is never translated"),
        }
    }
}
