//! The large values of the boot, in memory that is free after it.
//!
//! They are too large to move about, and the stack is not where hundreds of regions belong.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use elfloader::kernel_elf::KernelElf;
use elfloader::memory_map::MemoryMap;
use elfloader::plan::Room;
use elfloader::platform::Machine;

/// What the stages fill, one after the other.
pub struct Scratch {
    /// The machine.
    pub machine: Machine<'static>,
    /// Its memory.
    pub map: MemoryMap<'static>,
    /// The kernel.
    pub elf: Option<KernelElf<'static>>,
    /// The plan's lists.
    pub room: Room,
}

struct Single(UnsafeCell<Scratch>);

// SAFETY: `take` gives it out once, to the one CPU that runs.
unsafe impl Sync for Single {}

#[unsafe(link_section = ".early.scratch")]
static SCRATCH: Single = Single(UnsafeCell::new(Scratch {
    machine: Machine::new(),
    map: MemoryMap::new(),
    elf: None,
    room: Room::new(),
}));

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The scratch memory, for the one who asks first.
pub fn take() -> Option<&'static mut Scratch> {
    if TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    TAKEN.store(true, Ordering::Relaxed);
    // SAFETY: nobody else has asked, and nobody else will be given it.
    Some(unsafe { &mut *SCRATCH.0.get() })
}
