//! Frames and tables of the running kernel: the allocator over the direct map, and the heap's pages behind it.

use core::fmt;

use shared_abi::addr::{Frame, PAGE, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::page_table::{PageTable, Table, TableError, TableStore, Translation};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use super::tlb;
use crate::frames::{DirectMap, FrameAllocator, FrameError, Order};
use crate::heap::global::GlobalHeap;
use crate::heap::{Heap, HeapError, HeapPages, Unbacked};
use crate::lock::Lock;
use crate::println;

/// The frames and the kernel's own tables.
pub struct Memory {
    /// All frames of the machine.
    pub frames: FrameAllocator<DirectMap>,
    tree: PageTable,
    direct_map_offset: u64,
}

static MEMORY: Lock<Option<Memory>> = Lock::new(None);

/// The heap over the heap window. A kernel makes one its `#[global_allocator]` and hands it to [`start`].
pub type KernelHeap = GlobalHeap<Heap<KernelPages>>;

/// A heap that is not started yet and says on the console what misuse it finds.
pub const fn heap() -> KernelHeap {
    GlobalHeap::new(Heap::new(), report_misuse)
}

fn report_misuse(error: &HeapError) {
    println!("error E{:04}: {error}", error.code());
}

/// Why memory could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The memory map is not one that the allocator takes.
    Frames(FrameError),
    /// There is no heap window, or the heap does not take it.
    Heap(Option<HeapError>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(error) => write!(f, "error E{:04}: {error}", error.code()),
            Self::Heap(Some(error)) => write!(f, "error E{:04}: {error}", error.code()),
            Self::Heap(None) => f.write_str("the handoff announces no heap window"),
        }
    }
}

/// Starts the frame allocator from the handoff's memory map and `heap` in its window.
///
/// # Errors
/// [`StartError`]; the kernel then has neither.
pub fn start(info: &BootInfo<'_>, heap: &KernelHeap) -> Result<(), StartError> {
    let direct_map_offset = info.direct_map().virt_offset;
    let map = info.memory_map().map(|region| (region.range(), region.kind()));
    // SAFETY: the contract maps all free memory at this offset, read-write, and says that it is the kernel's;
    // kinds that are reclaimed later are mapped so as well, and their reader is done with them by then.
    let frames =
        FrameAllocator::new(map, unsafe { DirectMap::new(direct_map_offset) }).map_err(StartError::Frames)?;
    let root = PhysAddr::new(info.page_tables().phys_root_high).unwrap_or_default();
    *MEMORY.lock() = Some(Memory { frames, tree: PageTable::ttbr1(root.frame()), direct_map_offset });
    let window = info.window(WindowId::HEAP).ok_or(StartError::Heap(None))?;
    heap.with(|heap| heap.start(KernelPages { window })).map_err(|error| StartError::Heap(Some(error)))
}

/// Runs `action` on the memory, locked; `None` before [`start`].
pub fn with<T>(action: impl FnOnce(&mut Memory) -> T) -> Option<T> {
    MEMORY.lock().as_mut().map(action)
}

/// As [`with`], but `None` also where the interrupted code holds the lock: for fault handlers.
pub fn try_with<T>(action: impl FnOnce(&mut Memory) -> T) -> Option<T> {
    MEMORY.try_lock()?.as_mut().map(action)
}

impl Memory {
    /// Maps fresh frames, page by page, behind a range of whole pages. Contents are arbitrary, or zero if asked for.
    ///
    /// # Errors
    /// [`TableError`], or `OutOfTables` where there is no frame; nothing is mapped then.
    pub fn map_fresh(&mut self, range: VirtRange, zeroed: bool) -> Result<(), TableError> {
        let mut at = range.start();
        while at.get() < range.end() {
            if let Err(error) = self.map_one(at, zeroed) {
                if let Some(done) = VirtRange::from_bounds(range.start().get(), at.get()) {
                    self.unmap_and_free(done);
                }
                return Err(error);
            }
            match at.checked_add(PAGE) {
                Some(next) => at = next,
                None => break,
            }
        }
        tlb::publish();
        Ok(())
    }

    fn map_one(&mut self, at: VirtAddr, zeroed: bool) -> Result<(), TableError> {
        let frame = if zeroed {
            self.frames.allocate_zeroed(Order::of(PageSize::Size4K))
        } else {
            self.frames.allocate_frame()
        };
        let frame = frame.map_err(|_| TableError::OutOfTables { needed: 1, available: 0 })?;
        let page = VirtRange::new(at, PAGE).unwrap_or(VirtRange::EMPTY);
        let tree = self.tree;
        let mapped =
            tree.map(self, page, frame.start(), Attributes::kernel(Rights::ReadWrite), PageSize::Size4K);
        if mapped.is_err() {
            self.give_back(frame);
        }
        mapped
    }

    /// Unmaps a range that [`Self::map_fresh`] mapped and frees its frames once no CPU can reach them.
    pub fn unmap_and_free(&mut self, range: VirtRange) {
        let tree = self.tree;
        let mut at = range.start().get();
        while at < range.end() {
            let Some(page) = VirtAddr::new(at).and_then(|start| VirtRange::new(start, PAGE)) else { break };
            let Ok(translation) = tree.walk(self, page.start()) else { break };
            let Ok(stale) = tree.unmap(self, page) else { break };
            stale.retire(self, tlb::forget);
            self.give_back(translation.leaf_phys().frame());
            at += PAGE;
        }
    }

    fn give_back(&mut self, frame: Frame) {
        if let Err(error) = self.frames.free_frame(frame) {
            println!("error E{:04}: {error}", error.code());
        }
    }

    /// What the kernel's own tables say of an address.
    ///
    /// # Errors
    /// [`TableError::NotMapped`] with the level at which the walk ends.
    pub fn walk(&self, address: VirtAddr) -> Result<Translation, TableError> {
        self.tree.walk(self, address)
    }

    /// The kernel's own tables.
    pub fn tree(&self) -> PageTable {
        self.tree
    }
}

impl TableStore for Memory {
    fn table(&self, table: Frame) -> Option<&Table> {
        let address = table.start().get().checked_add(self.direct_map_offset)?;
        // SAFETY: tables are RAM, hence in the direct map, which is at that offset; entries are atomics, which the
        // hardware may read meanwhile.
        Some(unsafe { &*(address as *const Table) })
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.frames.allocate_zeroed(Order::of(PageSize::Size4K)).ok()
    }

    fn free(&mut self, table: Frame) {
        self.give_back(table);
    }
}

/// The heap window, backed by frames.
pub struct KernelPages {
    window: VirtRange,
}

// SAFETY:
// 1. The window is the one that the handoff announces for the heap; this kernel puts nothing else there.
// 2. `map_fresh` maps frames that the allocator has just handed out, as Normal memory, read-write.
// 3. It maps all of a range or nothing.
unsafe impl HeapPages for KernelPages {
    fn window(&self) -> VirtRange {
        self.window
    }

    fn map(&mut self, range: VirtRange) -> Result<(), Unbacked> {
        let free = |memory: &Memory| memory.frames.free_frames() * PAGE;
        with(|memory| memory.map_fresh(range, false).map_err(|_| Unbacked { free: free(memory) }))
            .unwrap_or(Err(Unbacked { free: 0 }))
    }

    fn unmap(&mut self, range: VirtRange) {
        with(|memory| memory.unmap_and_free(range));
    }
}

/// Reads stacks for backtraces, and only what the tables say is mapped.
pub struct MappedWords;

impl crate::faults::StackMemory for MappedWords {
    fn read(&self, address: VirtAddr) -> Option<u64> {
        use super::translate::{Access, translate};
        translate(address, Access::Read)?;
        // SAFETY: the hardware has just confirmed that the aligned word can be read.
        Some(unsafe { (address.get() as *const u64).read_volatile() })
    }
}
