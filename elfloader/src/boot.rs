//! The boot, told once: one step a line, errors up, nothing changed in memory before the plan stands.
//!
//! ```text
//! Opened ─► Described ─► Mapped ─► Kernel ─► Planned ─► Loaded ─► Built ─► Ready
//! image     machine      memory    ELF file  places     pages     tables   BootInfo written: to be entered
//! ```
//!
//! Each stage can only be made from the one before, so holding one proves that the boot has come that far. What differs
//! between a machine that boots and a host that plans, tests or fuzzes a boot is an [`Environment`]; everything that is
//! decided is decided here, once for all of them.

mod environment;
mod first_half;
mod second_half;
mod stages;

pub use environment::{Environment, LoaderParts};
pub use stages::{Built, Described, Kernel, KernelTables, Loaded, Mapped, Opened, Planned, Ready};

use crate::boot_facts::Entered;
use crate::device_tree::Pruned;
use crate::error::BootError;
use crate::memory_map::MemoryMap;
use crate::plan::Room;
use crate::platform::Machine;

/// Room for the large values of a boot, which are filled in place.
#[derive(Default)]
pub struct Scratch<'a> {
    /// The machine as described.
    pub machine: Machine<'a>,
    /// Its memory.
    pub map: MemoryMap<'a>,
}

impl Scratch<'_> {
    /// Empty room.
    pub const fn new() -> Self {
        Self { machine: Machine::new(), map: MemoryMap::new() }
    }
}

/// The whole boot, up to the jump. `pruned` is room for what the machine is described from, `scratch` is empty.
///
/// # Errors
/// The first thing that is refused, with the code of whichever module refused it. Until the kernel is loaded, only the
/// device tree was written to.
pub fn boot<'a, E: Environment<'a>>(
    environment: &mut E,
    entered: Entered,
    pruned: &'a mut Pruned,
    scratch: &mut Scratch<'a>,
) -> Result<Ready, BootError<'a>> {
    let opened = Opened::open(environment, entered)?;
    let described = opened.describe_machine(environment, pruned, &mut scratch.machine)?;
    let mut mapped = described.map_memory(environment, &mut scratch.map)?;
    boot_kernel(environment, &mut mapped)
}

/// The second half. Its lists are on the stack.
#[inline(never)]
fn boot_kernel<'a, E: Environment<'a>>(
    environment: &mut E,
    mapped: &mut Mapped<'_, 'a>,
) -> Result<Ready, BootError<'a>> {
    let (mut elf, mut room) = (None, Room::new());
    let kernel = mapped.read_kernel(environment, &mut elf)?;
    let mut planned = kernel.plan(environment, &mut room)?;
    let loaded = planned.load(environment)?;
    let built = loaded.build_tables(environment)?;
    built.write_boot_info(environment)
}
