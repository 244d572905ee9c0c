//! What differs between a machine and a host.

use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::{BootInfoWriter, WriteError};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::crc32c::Crc32c;
use shared_abi::image::Header;
use shared_abi::page_table::TableError;

use super::stages::{Built, Described, KernelTables, Loaded, Mapped, Planned};
use crate::boot_facts::Processor;
use crate::boot_memory::Tree;
use crate::device_tree::Survey;
use crate::entropy::{Entropy, Offered};
use crate::error::BootError;
use crate::image::Image;
use crate::plan::{Mapping, Policy};
use crate::platform::{Console, Machine};
use crate::recorder::Recorders;
use crate::stage::Stage;

/// Where the parts of the loader's own image lie in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderParts {
    /// Header page and loader.
    pub all: PhysRange,
    /// Text, constants and data: they stay, with the fault reporter.
    pub resident: PhysRange,
    /// What of it stays for good where the loader was entered above EL1.
    pub stub: PhysRange,
    /// What other processors read and write: their mailbox, then tables. It lies in the resident part.
    pub secondary: PhysRange,
    /// Where other processors enter.
    pub secondary_entry: PhysAddr,
    /// The four tables that the entry code fills, root first: they stay the kernel's.
    pub tables: PhysRange,
}

/// What there is, how its bytes are reached, and where effects go. `'a` is how long those bytes stay.
///
/// Only the story calls these, in its order: an effect takes the stage that it is part of, which nothing else can make.
pub trait Environment<'a> {
    /// The kernel's tables.
    type Tables: KernelTables;

    /// Where the loader lies.
    fn loader(&self) -> LoaderParts;

    /// The processor's physical address size.
    fn physical_size(&self) -> PhysicalSize;

    /// What the processor says of itself, once the machine is described.
    fn processor(&self) -> Processor;

    /// How checksums are computed.
    fn crc32c(&self) -> Crc32c;

    /// Collects all entropy: what was found, and what the processor offers.
    fn entropy(&self, found: Offered<'_>) -> Entropy;

    /// What decides the kernel's place, where that is not what the note allows.
    fn policy(&self, noted: Policy) -> Policy {
        noted
    }

    /// The first bytes of the image: of its header page, or of all of it; fewer where fewer are there.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map them with.
    fn image(&mut self, length: u64) -> Result<&'a [u8], TableError>;

    /// The bytes at `range`; fewer where fewer are there. Nothing is written: it may lie where a write has side
    /// effects.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map them with.
    fn read(&mut self, range: PhysRange) -> Result<&'a [u8], TableError>;

    /// A stage begins.
    fn begin(&mut self, stage: Stage);

    /// Does what the header page allows and asks for.
    fn obey(&mut self, header: &Header);

    /// The image is open.
    fn opened(&mut self, image: &Image<'a>);

    /// Prints to a console until the device tree has been read.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map it with.
    fn start_early_console(&mut self, console: &Console) -> Result<(), TableError>;

    /// Adds what firmware will have put in the tree by the time of a boot.
    fn amend(&mut self, _machine: &mut Machine<'a>) {}

    /// Prints to the machine's console from here on, and can end the machine as it says. It may not be wholly
    /// described.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map the console with.
    fn start_console(&mut self, machine: &Machine<'a>) -> Result<(), TableError>;

    /// The machine is described.
    fn described(&mut self, described: &Described<'_, 'a>);

    /// Copies the tree that was found to its `place`, unless it is there already, wipes its seeds and trims it.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map it with.
    fn settle_tree(&mut self, found: &Tree, place: PhysRange, survey: &Survey) -> Result<(), TableError>;

    /// The memory is mapped.
    fn mapped(&mut self, mapped: &Mapped<'_, 'a>);

    /// Carries the plan out. Returns the number of relocated words.
    ///
    /// # Errors
    /// [`TableError`] if there is no table to map the arena with.
    fn load(&mut self, planned: &Planned<'_, 'a>) -> Result<u64, TableError>;

    /// Clears this boot's flight recorder, which [`Self::read`] has read, and writes its header.
    fn begin_recorder(&mut self, recorders: &Recorders);

    /// The tables to map the kernel in: none of the pool's is used.
    ///
    /// # Errors
    /// [`TableError`] if what is mapped already cannot be.
    fn tables(&mut self, loaded: &Loaded<'_, '_, 'a>) -> Result<Self::Tables, TableError>;

    /// Something is mapped for the kernel.
    fn map(&mut self, mapping: &Mapping);

    /// Lets the processor see the tables, and fetch what was loaded.
    fn publish(&mut self, built: &Built<'_, '_, 'a, Self::Tables>);

    /// Sets the registers that may have their final values while the loader still runs. Returns TTBR0_EL1 as it will
    /// be, TTBR1_EL1 and VBAR_EL1.
    fn set_registers(
        &mut self,
        registers: &EntryRegisters,
        built: &Built<'_, '_, 'a, Self::Tables>,
    ) -> [u64; 3];

    /// Lets other processors come, at the exception level that the boot processor was entered at, to be handed over with
    /// these registers, TTBR0_EL1, TTBR1_EL1 and VBAR_EL1.
    ///
    /// # Errors
    /// [`TableError`] if the page that they enter cannot be mapped.
    fn let_others_come(
        &mut self,
        registers: &EntryRegisters,
        roots: [u64; 3],
        level: u64,
    ) -> Result<(), TableError>;

    /// The pages of `BootInfo`, to be written.
    fn boot_info(&mut self, built: &Built<'_, '_, 'a, Self::Tables>) -> &'a mut [u8];

    /// Adds timeline and log to `BootInfo` and closes it.
    ///
    /// # Errors
    /// [`WriteError`] if they do not fit.
    fn finish(&mut self, boot_info: BootInfoWriter<'_>, planned: &Planned<'_, 'a>) -> Result<(), WriteError>;

    /// The last look before the kernel is entered.
    ///
    /// # Errors
    /// What the hardware sees otherwise than planned.
    fn check(&mut self, built: &Built<'_, '_, 'a, Self::Tables>) -> Result<(), BootError<'a>>;
}
