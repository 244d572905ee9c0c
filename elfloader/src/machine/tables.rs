//! The two trees of tables, and the memory that they are in.
//!
//! TTBR0's identity map is the loader's own view of physical memory: it begins with the entry page and grows by
//! just the pages that the loader is about to touch, so nothing that is not known to be RAM is ever mapped.
//! TTBR1's tree begins with the four tables that the entry code filled and stays the kernel's.

use core::cell::UnsafeCell;

use aarch64_cpu::asm::barrier;
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
#[unsafe(link_section = ".early")]
pub static IDENTITY_TABLES: EarlyTables =
    EarlyTables(UnsafeCell::new([const { Table::new() }; EARLY_TABLES]));

unsafe extern "C" {
    static tables_start: [Table; ENTRY_TABLES];
}

/// The loader's view of physical memory: virtual = physical, never executable but for the entry page.
pub struct IdentityMap {
    tree: PageTable,
    pool: TablePool<'static>,
}

impl IdentityMap {
    /// The map as the entry code left it. Called once: the pool's bookkeeping starts afresh.
    pub fn inherit(image: &OwnImage) -> Option<Self> {
        // SAFETY: only shared references are ever made; the entries are atomics.
        let tables: &'static [Table] = unsafe { &*IDENTITY_TABLES.0.get() };
        let offset = (tables.as_ptr() as u64).checked_sub(OwnImage::linked(0)?.get())?;
        let root = image.base().checked_add(offset)?.frame();
        let mut pool = TablePool::new(tables, root);
        for _ in 0..ENTRY_TABLES {
            pool.allocate()?;
        }
        Some(Self { tree: PageTable::ttbr0(root), pool })
    }

    /// Maps the pages that `range` touches, except those at its ends that are mapped already.
    pub fn map(&mut self, range: PhysRange, rights: Rights) -> Result<(), TableError> {
        self.map_as(range, Attributes::kernel(rights))
    }

    /// Maps a device's registers, whose pages nothing else may be on.
    pub fn map_device(&mut self, registers: PhysRange) -> Result<(), TableError> {
        self.map_as(registers, Attributes::KERNEL_DEVICE)
    }

    fn map_as(&mut self, range: PhysRange, attributes: Attributes) -> Result<(), TableError> {
        let pages = range.aligned_outward(PageSize::Size4K);
        let (mut start, mut end) = (pages.start().get(), pages.end());
        while start < end && self.is_mapped(start) {
            start += PAGE;
        }
        while start < end && self.is_mapped(end - PAGE) {
            end -= PAGE;
        }
        let (Some(phys), Some(virt)) = (PhysAddr::new(start), VirtRange::from_bounds(start, end)) else {
            return Ok(());
        };
        self.tree.map(&mut self.pool, virt, phys, attributes, PageSize::Size1G)?;
        // The walker sees the entries before the first access that needs them.
        barrier::dsb(barrier::ISHST);
        barrier::isb(barrier::SY);
        Ok(())
    }

    fn is_mapped(&self, address: u64) -> bool {
        VirtAddr::new(address).is_some_and(|address| self.tree.walk(&self.pool, address).is_ok())
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

/// TTBR1's tables: the entry code's four in the image, the others in the arena.
pub struct KernelTables {
    first: Frame,
    pool: TablePool<'static>,
}

impl KernelTables {
    /// Tables out of `arena`, which is mapped by the identity map, zeroed, and nobody else's.
    ///
    /// # Safety
    ///
    /// As just said, for as long as the value is used.
    pub unsafe fn new(image: &OwnImage, arena: PhysRange) -> Self {
        let count = (arena.len() / PAGE) as usize;
        // SAFETY: the caller vouches for the memory; a page of zeros is a table.
        let tables = unsafe { core::slice::from_raw_parts(arena.start().get() as *const Table, count) };
        Self { first: image.tables().start().frame(), pool: TablePool::new(tables, arena.start().frame()) }
    }

    /// The entry code's tables alone, for what needs no others.
    pub fn inherit(image: &OwnImage) -> Self {
        Self { first: image.tables().start().frame(), pool: TablePool::new(&[], Frame::default()) }
    }

    /// The tree that TTBR1 points to.
    pub fn tree(&self) -> PageTable {
        PageTable::ttbr1(self.first)
    }

    /// Tables taken from the arena.
    pub fn used(&self) -> usize {
        self.pool.used()
    }
}

impl TableStore for KernelTables {
    fn table(&self, table: Frame) -> Option<&Table> {
        let index = table.number().wrapping_sub(self.first.number());
        // SAFETY: the linker reserves the four tables, which the entry code maps; entries are atomics.
        let own = unsafe { &tables_start };
        match own.get(usize::try_from(index).ok()?) {
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

/// Maps the console's registers at their place in the handoff window, which needs no further table.
pub fn map_console(image: &OwnImage, virt: VirtRange, registers: PhysRange) -> Result<(), TableError> {
    let mut tables = KernelTables::inherit(image);
    let attributes = Attributes::KERNEL_DEVICE;
    tables.tree().map(&mut tables, virt, registers.start(), attributes, PageSize::Size4K)?;
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
    Ok(())
}
