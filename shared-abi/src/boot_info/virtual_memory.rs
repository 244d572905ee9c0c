//! The virtual address space at entry: direct map, windows, boot stack, tables, registers.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::fault::Fault;
use super::field::{FieldKind, FieldType};
use super::record::{open_number, record};
use crate::addr::{PAGE, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange};
use crate::contract::DIRECT_MAP_WINDOW;

record! {
    /// The direct map: the virtual address of physical memory is its address plus an offset.
    DirectMap, 24 bytes {
        /// The virtual address of physical address 0, a multiple of 1 GiB.
        virt_offset: u64,
        /// The lowest physical address that is mapped.
        phys_start: u64,
        /// The first physical address past all that is mapped. Holes and `no-map` ranges between are not.
        phys_end: u64,
    }
    check |map, _, _| {
        let aligned = map.virt_offset.is_multiple_of(PageSize::Size1G.bytes());
        Fault::unless(aligned, "virt_offset", map.virt_offset)?;
        Fault::unless(map.phys_start.is_multiple_of(PAGE), "phys_start", map.phys_start)?;
        let phys = PhysRange::from_bounds(map.phys_start, map.phys_end);
        Fault::unless(phys.is_some() && map.phys_end.is_multiple_of(PAGE), "phys_end", map.phys_end)?;
        Fault::unless(map.checked_range().is_some(), "virt_offset", map.virt_offset)
    }
}

impl DirectMap {
    fn checked_range(&self) -> Option<VirtRange> {
        let start = self.virt_offset.checked_add(self.phys_start)?;
        let end = self.virt_offset.checked_add(self.phys_end)?;
        VirtRange::from_bounds(start, end).filter(|&range| DIRECT_MAP_WINDOW.covers(range))
    }

    /// The virtual addresses from the first mapped byte to the last.
    pub fn range(&self) -> VirtRange {
        self.checked_range().unwrap_or(VirtRange::EMPTY)
    }

    /// The physical addresses from the first mapped byte to the last.
    pub fn phys(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_start, self.phys_end).unwrap_or_default()
    }

    /// Where a physical address is mapped; `None` outside the map's bounds.
    pub fn virt(&self, phys: PhysAddr) -> Option<VirtAddr> {
        if !self.phys().contains(phys) {
            return None;
        }
        self.virt_offset.checked_add(phys.get()).and_then(VirtAddr::new)
    }
}

open_number! {
    /// A part of the virtual address space.
    WindowId {
        /// Where kernels that are not slid lie.
        KERNEL = 1, "kernel";
        /// Announced for the kernel's heap; nothing is mapped there.
        HEAP = 2, "heap";
        /// Loader, `BootInfo`, boot stack, console.
        HANDOFF = 3, "handoff";
        /// Where kernels that are slid lie.
        SLIDE = 4, "slide";
        /// The direct map, holes included.
        DIRECT_MAP = 5, "direct map";
        /// `BootInfo` itself, inside the handoff window.
        BOOT_INFO = 6, "boot info";
        /// The resident loader, inside the handoff window.
        LOADER = 7, "loader";
    }
}

record! {
    /// A part of the virtual address space and its purpose.
    Window, 24 bytes {
        /// Which part.
        id: WindowId,
        /// 0.
        reserved: u32,
        /// Its first virtual address.
        virt_start: u64,
        /// Its bytes, a multiple of 4 KiB.
        length: u64,
    }
    check |window, _, _| {
        let range = high_pages(window.virt_start, window.length);
        Fault::unless(window.virt_start.is_multiple_of(PAGE), "virt_start", window.virt_start)?;
        Fault::unless(range.is_some(), "length", window.length)
    }
}

/// A range of whole pages that TTBR1 translates.
fn high_pages(virt_start: u64, length: u64) -> Option<VirtRange> {
    let start = VirtAddr::new(virt_start).filter(|start| start.is_high())?;
    VirtRange::new(start, length).filter(|range| range.is_aligned(PageSize::Size4K))
}

impl Window {
    /// The virtual addresses.
    pub fn range(&self) -> VirtRange {
        high_pages(self.virt_start, self.length).unwrap_or(VirtRange::EMPTY)
    }
}

record! {
    /// The stack that the kernel is entered on, and the unmapped guard right below it.
    BootStack, 40 bytes {
        /// The guard's first virtual address.
        virt_guard: u64,
        /// The guard's bytes.
        guard_length: u64,
        /// The stack's lowest virtual address: the end of the guard.
        virt_bottom: u64,
        /// The end of the stack, and SP at entry.
        virt_top: u64,
        /// The physical address of the stack's lowest byte.
        phys_bottom: u64,
    }
    check |stack, _, _| {
        let guard = high_pages(stack.virt_guard, stack.guard_length).filter(|guard| !guard.is_empty());
        Fault::unless(guard.is_some(), "virt_guard", stack.virt_guard)?;
        let meets = guard.is_some_and(|guard| guard.end() == stack.virt_bottom);
        Fault::unless(meets, "virt_bottom", stack.virt_bottom)?;
        let length = stack.virt_top.saturating_sub(stack.virt_bottom);
        let range = high_pages(stack.virt_bottom, length).filter(|range| !range.is_empty());
        Fault::unless(range.is_some(), "virt_top", stack.virt_top)?;
        let phys = PhysRange::from_bounds(stack.phys_bottom, stack.phys_bottom.saturating_add(length));
        let whole = phys.is_some_and(|phys| phys.is_aligned(PageSize::Size4K));
        Fault::unless(whole, "phys_bottom", stack.phys_bottom)
    }
}

impl BootStack {
    /// The stack's virtual addresses.
    pub fn range(&self) -> VirtRange {
        let length = self.virt_top.saturating_sub(self.virt_bottom);
        high_pages(self.virt_bottom, length).unwrap_or(VirtRange::EMPTY)
    }

    /// The guard's virtual addresses.
    pub fn guard(&self) -> VirtRange {
        high_pages(self.virt_guard, self.guard_length).unwrap_or(VirtRange::EMPTY)
    }

    /// The stack's physical pages.
    pub fn phys(&self) -> PhysRange {
        let length = self.virt_top.saturating_sub(self.virt_bottom);
        PhysRange::from_bounds(self.phys_bottom, self.phys_bottom.saturating_add(length)).unwrap_or_default()
    }
}

record! {
    /// The live translation tables: one pool, of which the first part is used.
    PageTables, 48 bytes {
        /// The root that TTBR1_EL1 points to.
        phys_root_high: u64,
        /// The empty root that TTBR0_EL1 points to.
        phys_root_low: u64,
        /// The pool's physical address.
        phys_pool: u64,
        /// The pool's bytes.
        pool_length: u64,
        /// Bytes of it that tables occupy.
        pool_used: u64,
        /// Tables, both roots included.
        table_count: u32,
        /// 0.
        reserved: u32,
    }
    check |tables, _, _| {
        let pool = pages(tables.phys_pool, tables.pool_length);
        Fault::unless(pool.is_some(), "phys_pool", tables.phys_pool)?;
        let used = tables.pool_used;
        Fault::unless(used <= tables.pool_length && used.is_multiple_of(PAGE), "pool_used", used)?;
        let root = |root: u64| root.is_multiple_of(PAGE) && PhysAddr::new(root).is_some();
        Fault::unless(root(tables.phys_root_high), "phys_root_high", tables.phys_root_high)?;
        Fault::unless(root(tables.phys_root_low), "phys_root_low", tables.phys_root_low)
    }
}

fn pages(phys_start: u64, length: u64) -> Option<PhysRange> {
    PhysRange::from_bounds(phys_start, phys_start.saturating_add(length))
        .filter(|range| range.is_aligned(PageSize::Size4K))
}

impl PageTables {
    /// The pool's physical pages.
    pub fn pool(&self) -> PhysRange {
        pages(self.phys_pool, self.pool_length).unwrap_or_default()
    }
}

/// A system register, by the encoding that MRS and MSR use (Arm ARM C5.1.2): op0 in bits 15 and 14, op1 in 13 to
/// 11, CRn in 10 to 7, CRm in 6 to 3, op2 in 2 to 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct RegisterId(pub u32);

macro_rules! registers {
    ($($constant:ident = $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal;)*) => {
        impl RegisterId {
            $(#[doc = concat!("`", stringify!($constant), "`.")]
            pub const $constant: Self = Self::new($op0, $op1, $crn, $crm, $op2);)*

            /// The Arm ARM's name; `None` for a register that this version does not name.
            pub const fn name(self) -> Option<&'static str> {
                $(if self.0 == Self::$constant.0 {
                    return Some(stringify!($constant));
                })*
                None
            }
        }
    };
}

registers! {
    MDSCR_EL1 = 2, 0, 0, 2, 2;
    SCTLR_EL1 = 3, 0, 1, 0, 0;
    CPACR_EL1 = 3, 0, 1, 0, 2;
    TTBR0_EL1 = 3, 0, 2, 0, 0;
    TTBR1_EL1 = 3, 0, 2, 0, 1;
    TCR_EL1 = 3, 0, 2, 0, 2;
    SP_EL0 = 3, 0, 4, 1, 0;
    DAIF = 3, 3, 4, 2, 1;
    MAIR_EL1 = 3, 0, 10, 2, 0;
    AMAIR_EL1 = 3, 0, 10, 3, 0;
    VBAR_EL1 = 3, 0, 12, 0, 0;
    CONTEXTIDR_EL1 = 3, 0, 13, 0, 1;
    TPIDR_EL1 = 3, 0, 13, 0, 4;
    CNTKCTL_EL1 = 3, 0, 14, 1, 0;
    TPIDR_EL0 = 3, 3, 13, 0, 2;
    TPIDRRO_EL0 = 3, 3, 13, 0, 3;
    CNTP_CTL_EL0 = 3, 3, 14, 2, 1;
    CNTV_CTL_EL0 = 3, 3, 14, 3, 1;
}

impl RegisterId {
    /// The register of these encoding fields.
    pub const fn new(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> Self {
        Self(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2)
    }
}

impl FieldType for RegisterId {
    const KIND: FieldKind = FieldKind::Named(|number| Self(number).name());
}

impl fmt::Display for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = |low: u32, width: u32| self.0 >> low & ((1 << width) - 1);
        match self.name() {
            Some(name) => f.pad(name),
            // The assembler's spelling of a register without a name.
            None => {
                write!(f, "S{}_{}_C{}_C{}_{}", bits(14, 2), bits(11, 3), bits(7, 4), bits(3, 4), bits(0, 3))
            }
        }
    }
}

impl fmt::Debug for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

record! {
    /// A system register and the value that the loader set.
    Register, 16 bytes {
        /// Which register.
        id: RegisterId,
        /// 0.
        reserved: u32,
        /// Its value at entry.
        value: u64,
    }
    check |register, _, _| Fault::unless(register.id.0 >> 16 == 0, "id", register.id.0 as u64)
}
