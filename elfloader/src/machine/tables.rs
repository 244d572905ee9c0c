//! The two trees of tables, and the memory that they are in.
//!
//! TTBR0's identity map is the loader's own view of physical memory: it begins with the entry page and grows by
//! just the pages that the loader is about to touch, so nothing that is not known to be RAM is ever mapped.
//! TTBR1's tree begins with the four tables that the entry code filled and stays the kernel's.

use core::cell::UnsafeCell;

use elfloader::boot::KernelTables;
use handoff_bare::cell::BorrowCell;
use handoff_bare::tlb;
use handoff_bare::translate::{Access, translate};
use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::page_table::{PageTable, Table, TableError, TablePool, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use super::own_image::OwnImage;

/// Tables for the identity map: the entry code's four, and one for each 2 MiB, GiB or 512 GiB that is begun.
const EARLY_TABLES: usize = 24;

/// How many of them the entry code fills.
const ENTRY_TABLES: usize = 4;

#[repr(transparent)]
pub struct EarlyTables(UnsafeCell<[Table; EARLY_TABLES]>);

// SAFETY: a `Table` is made of atomics.
unsafe impl Sync for EarlyTables {}

/// TTBR0's tables, root first.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".early.tables")]
pub static IDENTITY_TABLES: EarlyTables =
    EarlyTables(UnsafeCell::new([const { Table::new() }; EARLY_TABLES]));

unsafe extern "C" {
    static tables_start: [Table; ENTRY_TABLES];
}

/// One tree's tables: the entry code's four, root first, and a pool of more.
pub struct Tables {
    own: &'static [Table],
    first: Frame,
    pool: TablePool<'static>,
}

impl Tables {
    /// The kernel's, with the tables of `pool`, which is mapped by the identity map, zeroed, and nobody else's.
    ///
    /// # Safety
    ///
    /// As just said, for as long as the value is used.
    pub unsafe fn kernel(image: &OwnImage, pool: PhysRange) -> Self {
        let count = (pool.len() / PAGE) as usize;
        // SAFETY: the caller vouches for the memory; a page of zeros is a table.
        let tables = unsafe { core::slice::from_raw_parts(pool.start().get() as *const Table, count) };
        Self::with_pool(image, TablePool::new(tables, pool.start().frame()))
    }

    fn with_pool(image: &OwnImage, pool: TablePool<'static>) -> Self {
        // SAFETY: the linker reserves the four tables, which the entry code maps; entries are atomics.
        let own = unsafe { &tables_start };
        Self { own, first: image.tables().start().frame(), pool }
    }

    /// Frame of the level 0 table.
    pub const fn root(&self) -> Frame {
        self.first
    }
}

impl KernelTables for Tables {
    fn used(&self) -> usize {
        self.pool.used()
    }
}

impl TableStore for Tables {
    #[inline]
    fn table(&self, table: Frame) -> Option<&Table> {
        let index = table.number().wrapping_sub(self.first.number());
        match self.own.get(usize::try_from(index).ok()?) {
            Some(table) => Some(table),
            None => self.pool.table(table),
        }
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.pool.allocate()
    }

    fn free(&mut self, table: Frame) {
        self.pool.free(table);
    }
}

/// The loader's view of physical memory: virtual = physical, never executable but for the entry page.
pub struct IdentityMap(Tables);

impl IdentityMap {
    /// The map as the entry code left it; `None` the second time: the pool's bookkeeping starts afresh.
    pub fn inherit(image: &OwnImage) -> Option<Self> {
        static INHERITED: BorrowCell<()> = BorrowCell::new(());
        INHERITED.claim()?;
        // SAFETY: only shared references are ever made; the entries are atomics.
        let tables: &'static [Table] = unsafe { &*IDENTITY_TABLES.0.get() };
        let offset = (tables.as_ptr() as u64).checked_sub(OwnImage::linked(0)?.get())?;
        let first = image.base().checked_add(offset)?.frame();
        let (own, more) = tables.split_at_checked(ENTRY_TABLES)?;
        Some(Self(Tables { own, first, pool: TablePool::new(more, first.checked_add(ENTRY_TABLES as u64)?) }))
    }

    /// Maps the pages that `range` touches, except those at its ends that are mapped already.
    pub fn map(&mut self, range: PhysRange, rights: Rights) -> Result<(), TableError> {
        self.map_as(range, Attributes::kernel(rights))
    }

    /// Maps a device's registers, whose pages nothing else may be on.
    // nGnRE, whatever `nonposted-mmio` says: that is of Apple's buses, whose serial port no row of `uarts!` drives.
    pub fn map_device(&mut self, registers: PhysRange) -> Result<(), TableError> {
        self.map_as(registers, Attributes::KERNEL_DEVICE)
    }

    fn map_as(&mut self, range: PhysRange, attributes: Attributes) -> Result<(), TableError> {
        let pages = range.aligned_outward(PageSize::Size4K);
        let (mut start, mut end) = (pages.start().get(), pages.end());
        while start < end && is_mapped(start) {
            start += PAGE;
        }
        while start < end && is_mapped(end - PAGE) {
            end -= PAGE;
        }
        let (Some(phys), Some(virt)) = (PhysAddr::new(start), VirtRange::from_bounds(start, end)) else {
            return Ok(());
        };
        map(PageTable::ttbr0(self.0.root()), &mut self.0, virt, phys, attributes)
    }

    /// The bytes of `range`, which [`Self::map`] has mapped.
    ///
    /// # Safety
    ///
    /// Nobody writes to the range while the slice lives.
    pub unsafe fn bytes(&self, range: PhysRange) -> &'static [u8] {
        // SAFETY: the identity map covers the range for as long as the loader runs.
        unsafe { core::slice::from_raw_parts(range.start().get() as *const u8, range.len() as usize) }
    }
}

/// Whether the identity map has an address: the hardware knows.
fn is_mapped(address: u64) -> bool {
    VirtAddr::new(address).is_some_and(|address| translate(address, Access::Read).is_some())
}

/// Maps the console's registers at their place in the handoff window, which needs no further table.
pub fn map_console(image: &OwnImage, virt: VirtRange, registers: PhysRange) -> Result<(), TableError> {
    let mut tables = Tables::with_pool(image, TablePool::new(&[], Frame::default()));
    map(PageTable::ttbr1(tables.root()), &mut tables, virt, registers.start(), Attributes::KERNEL_DEVICE)
}

/// Maps the entry page where it lies in `tables`, which are zeros, root first.
pub fn map_entry_page(image: &OwnImage, tables: &'static [Table]) -> Result<(), TableError> {
    let missing = TableError::OutOfTables { needed: 4, available: 0 };
    let page = image.entry_page();
    let first = image.phys(tables.as_ptr() as u64).ok_or(missing)?.frame();
    let mut tables = Tables { own: &[], first, pool: TablePool::new(tables, first) };
    let root = tables.allocate().ok_or(missing)?;
    let virt = VirtRange::from_bounds(page.start().get(), page.end()).ok_or(missing)?;
    map(PageTable::ttbr0(root), &mut tables, virt, page.start(), Attributes::kernel(Rights::ReadExecute))
}

/// Maps a range for use at once: the walker sees the entries before the first access that needs them.
fn map(
    tree: PageTable,
    tables: &mut Tables,
    virt: VirtRange,
    phys: PhysAddr,
    attributes: Attributes,
) -> Result<(), TableError> {
    // Registers are at most a few pages at no particular place, so that no size has to be ruled out.
    tree.builder(tables).map(virt, phys, attributes, PageSize::Size1G)?;
    tlb::publish();
    Ok(())
}
