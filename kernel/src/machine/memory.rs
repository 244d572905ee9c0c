//! The running kernel's memory: its frames over the direct map, its address space, the heap in its window.
//!
//! ```text
//! heap window │ the heap                              │ other CPUs │ ⅛: Memory::window()         │
//!             │ Heap ─► KernelPages ─► KernelSpace ─► frames    │ stacks, demand-zero, yours  │
//! ```

use core::fmt;

use shared_abi::addr::{Frame, PAGE_SHIFT, PageSize, PhysAddr, VirtAddr, VirtRange};
use shared_abi::boot_info::{self, WindowId};
use shared_abi::entry::Handoff;
use shared_abi::page_table::Translation;
use shared_abi::rights::Rights;

use super::cpu::{Holder, MOST, PLACE};
use super::tlb::BareTlb;
use crate::address_space::{Asids, KernelRoot, KernelSpace, Resources, SpaceError, UserSpace};
use crate::frames::{DirectMap, FrameAllocator, FrameError, Statistics};
use crate::heap::global::GlobalHeap;
use crate::heap::{Heap, HeapError, HeapPages, Unbacked};
use crate::lock::Lock;
use crate::println;

/// What edits of this machine's spaces need.
pub type KernelResources<'a> = Resources<'a, DirectMap, BareTlb, MOST>;

/// The frames, the kernel's own space, and what user spaces need.
pub struct Memory {
    /// All frames of the machine.
    pub(super) frames: FrameAllocator<DirectMap>,
    space: KernelSpace,
    pub(super) asids: Asids<MOST>,
    pub(super) tlb: BareTlb,
    window: VirtRange,
    places: VirtRange,
    direct_map: boot_info::DirectMap,
    /// The empty table that TTBR0 has outside of user spaces.
    pub(super) empty_root: Frame,
}

static MEMORY: Lock<Option<Memory>> = Lock::new(None);

/// The CPU that has it locked.
static HOLDER: Holder = Holder::new();

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
    /// What the kernel runs on cannot be pinned.
    Space(SpaceError),
    /// It was started before.
    Twice,
    /// There is no heap window, or the heap does not take it.
    Heap(Option<HeapError>),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(error) => write!(f, "error E{:04}: {error}", error.code()),
            Self::Space(error) => write!(f, "error E{:04}: {error}", error.code()),
            Self::Heap(Some(error)) => write!(f, "error E{:04}: {error}", error.code()),
            Self::Twice => f.write_str("memory is started once"),
            Self::Heap(None) => f.write_str("the handoff announces no heap window"),
        }
    }
}

/// Starts the frame allocator from the handoff's memory map, takes the live tables over, and starts `heap` in its
/// window.
///
/// # Errors
/// [`StartError`]; the kernel then has no heap.
pub fn start(info: &Handoff, heap: &KernelHeap) -> Result<(), StartError> {
    let mut memory = MEMORY.lock();
    if memory.is_some() {
        return Err(StartError::Twice);
    }
    let direct_map = info.direct_map();
    let map = info.memory_map().map(|region| (region.range(), region.kind()));
    // SAFETY: the contract maps all free memory at this offset, read-write, and says that it is the kernel's;
    // kinds that are reclaimed later are mapped so as well, or made so first, and their reader is done with them.
    let frames = FrameAllocator::new(map, unsafe { DirectMap::new(direct_map.virt_offset) });
    let frames = frames.map_err(StartError::Frames)?;
    let window = info.window(WindowId::HEAP).ok_or(StartError::Heap(None))?;
    let tables = info.page_tables();
    let root = |address| PhysAddr::new(address).unwrap_or_default().frame();
    // SAFETY: `BootInfo` names the live tables of the contract's format; they lie in RAM, hence in the direct map,
    // and this is the only place that takes them, once.
    let mut space = KernelSpace::new(unsafe { KernelRoot::new(root(tables.phys_root_high)) }, window);
    for range in [direct_map.range(), info.kernel().range(), info.boot_stack().range()] {
        space.pin(range).map_err(StartError::Space)?;
    }
    let (for_heap, places, rest) = divide(window).ok_or(StartError::Heap(None))?;
    let tlb = BareTlb::new(direct_map.virt_offset);
    let empty_root = root(tables.phys_root_low);
    let (asids, window) = (Asids::new(), rest);
    *memory = Some(Memory { frames, space, asids, tlb, window, places, direct_map, empty_root });
    drop(memory);
    heap.with(|heap| heap.start(KernelPages { window: for_heap }))
        .map_err(|error| StartError::Heap(Some(error)))
}

/// The heap's part of its window, the places of other CPUs, and the last eighth, from a multiple of 2 MiB on.
fn divide(window: VirtRange) -> Option<(VirtRange, VirtRange, VirtRange)> {
    let border = (window.end() - window.len() / 8) & !(PageSize::Size2M.bytes() - 1);
    let places = border - MOST as u64 * PLACE;
    let heap = VirtRange::from_bounds(window.start().get(), places)?;
    Some((heap, VirtRange::from_bounds(places, border)?, VirtRange::from_bounds(border, window.end())?))
}

/// Runs `action` on the memory, locked; `None` before [`start`]. What `action` does must not use the heap, which
/// takes this lock when it grows.
pub fn with<T>(action: impl FnOnce(&mut Memory) -> T) -> Option<T> {
    HOLDER.take();
    let result = MEMORY.lock().as_mut().map(action);
    HOLDER.give();
    result
}

/// As [`with`], but `None` also where the interrupted code holds the lock: for fault handlers. Another CPU is waited for.
pub fn try_with<T>(action: impl FnOnce(&mut Memory) -> T) -> Option<T> {
    if HOLDER.is_this() { None } else { with(action) }
}

impl Memory {
    /// All frames of the machine, to be looked at.
    pub fn frames(&self) -> &FrameAllocator<DirectMap> {
        &self.frames
    }

    /// All frames of the machine, counted.
    pub fn statistics(&mut self) -> Statistics {
        self.frames.statistics()
    }

    /// All frames of the machine, to be taken and given back.
    ///
    /// # Safety
    ///
    /// Only frames that the caller itself allocated are freed, once nothing refers to them any more: the heap and every
    /// space are made of frames.
    pub unsafe fn frames_mut(&mut self) -> &mut FrameAllocator<DirectMap> {
        &mut self.frames
    }

    /// The kernel's space, and what it takes to edit it.
    ///
    /// # Safety
    ///
    /// What is edited is the caller's own: memory that nobody else refers to, at addresses of [`window`](Self::window).
    pub unsafe fn kernel(&mut self) -> (&mut KernelSpace, KernelResources<'_>) {
        self.parts()
    }

    pub(super) fn parts(&mut self) -> (&mut KernelSpace, KernelResources<'_>) {
        let Self { frames, space, asids, tlb, .. } = self;
        (space, Resources::new(frames, asids, tlb))
    }

    /// A user space without memory.
    ///
    /// # Errors
    /// [`SpaceError`] if there is no frame for its root.
    pub fn new_space(&mut self) -> Result<UserSpace, SpaceError> {
        UserSpace::new(&mut self.frames)
    }

    /// What it takes to edit user spaces.
    pub fn resources(&mut self) -> KernelResources<'_> {
        self.parts().1
    }

    /// Addresses that are the kernel's and not the heap's: for its stacks, for memory that appears when touched.
    pub fn window(&self) -> VirtRange {
        self.window
    }

    /// Where other CPUs have their stacks.
    pub(super) fn places(&self) -> VirtRange {
        self.places
    }

    /// Where the direct map has a frame; `None` outside of it.
    pub fn frame_address(&self, frame: Frame) -> Option<u64> {
        self.direct_map.virt(frame.start()).map(VirtAddr::get)
    }

    /// Puts zeroed frames, read-write, at a range of whole pages of [`window`](Self::window) that has none.
    ///
    /// # Errors
    /// [`SpaceError`]; nothing has been changed then.
    pub fn populate(&mut self, range: VirtRange) -> Result<(), SpaceError> {
        if self.window.covers(range) {
            self.back(range)
        } else {
            Err(SpaceError::Outside { range, window: self.window })
        }
    }

    /// Takes a range of whole pages of [`window`](Self::window) back: when this returns, no TLB has them and their
    /// frames are free.
    ///
    /// # Errors
    /// [`SpaceError`].
    ///
    /// # Safety
    ///
    /// Nothing refers to what lies there.
    pub unsafe fn clear(&mut self, range: VirtRange) -> Result<(), SpaceError> {
        if self.window.covers(range) {
            self.unback(range)
        } else {
            Err(SpaceError::Outside { range, window: self.window })
        }
    }

    pub(super) fn back(&mut self, range: VirtRange) -> Result<(), SpaceError> {
        let (space, mut with) = self.parts();
        space.populate(&mut with, range, Rights::ReadWrite, PageSize::Size4K)
    }

    fn unback(&mut self, range: VirtRange) -> Result<(), SpaceError> {
        let (space, mut with) = self.parts();
        space.clear(&mut with, range)
    }

    /// What the kernel's own tables say of an address.
    ///
    /// # Errors
    /// [`SpaceError`] with the level at which the walk ends.
    pub fn walk(&mut self, address: VirtAddr) -> Result<Translation, SpaceError> {
        let (space, mut with) = self.parts();
        space.translate(&mut with, address)
    }
}

/// The heap window, backed by frames.
pub struct KernelPages {
    window: VirtRange,
}

// SAFETY:
// 1. The window is the heap's part of the one that the handoff announces; this kernel puts nothing else there.
// 2. `populate` maps frames that the allocator has just handed out, as Normal memory, read-write.
// 3. It maps all of a range or nothing.
unsafe impl HeapPages for KernelPages {
    fn window(&self) -> VirtRange {
        self.window
    }

    fn map(&mut self, range: VirtRange) -> Result<(), Unbacked> {
        with(|memory| {
            memory.back(range).map_err(|_| Unbacked { free: memory.frames.free_frames() << PAGE_SHIFT })
        })
        .unwrap_or(Err(Unbacked { free: 0 }))
    }

    fn unmap(&mut self, range: VirtRange) {
        if let Some(Err(error)) = with(|memory| memory.unback(range)) {
            println!("error E{:04}: {error}", error.code());
        }
    }
}
