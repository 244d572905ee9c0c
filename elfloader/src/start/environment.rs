//! The machine as the story's environment: bytes by the identity map, answers from the processor, effects in memory.

use elfloader::boot::{Built, Described, Environment, Loaded, LoaderParts, Mapped, Planned};
use elfloader::boot_facts::{self, Processor};
use elfloader::boot_memory::Tree;
use elfloader::device_tree::Survey;
use elfloader::entropy::{Entropy, Offered};
use elfloader::error::BootError;
use elfloader::image::Image;
use elfloader::plan::Mapping;
use elfloader::platform::{Console, Machine};
use elfloader::recorder::Recorders;
use elfloader::stage::Stage;
use handoff_bare::cache::{self, Reach};
use shared_abi::addr::{PAGE, PhysRange, VirtRange};
use shared_abi::boot_info::{BootInfoWriter, PlatformFlags, WriteError};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::crc32c::Crc32c;
use shared_abi::image::header::{BootFlags, Header, LogLevel};
use shared_abi::page_table::{PageTable, TableError};
use shared_abi::recorder;
use shared_abi::rights::Rights;

use super::{console, names};
use crate::machine::ending::MEANS;
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::{IdentityMap, Tables};
use crate::machine::{cpu, memory, report, secondary, self_check, stages};

/// The machine that the loader runs on. Holding it proves that nobody else touches its memory: the story, which alone
/// can make the stages that the effects ask for, decides whose each byte is.
pub struct Bare {
    own: OwnImage,
    identity: IdentityMap,
}

impl Bare {
    /// The machine, with the image at `image`; `None` if that is no address of RAM that could hold it.
    ///
    /// # Safety
    ///
    /// The entry code has just led here, and this is called once.
    pub unsafe fn new(image: u64) -> Option<Self> {
        let own = OwnImage::at(image)?;
        let identity = IdentityMap::inherit(&own)?;
        Some(Self { own, identity })
    }
}

impl Environment<'static> for Bare {
    type Tables = Tables;

    fn loader(&self) -> LoaderParts {
        let own = &self.own;
        LoaderParts {
            all: own.loader(),
            resident: own.resident(),
            stub: own.stub(),
            secondary: own.secondary(),
            secondary_entry: own.secondary_entry(),
            tables: own.tables(),
        }
    }

    fn physical_size(&self) -> PhysicalSize {
        cpu::physical_size()
    }

    fn processor(&self) -> Processor {
        cpu::processor()
    }

    fn crc32c(&self) -> Crc32c {
        cpu::crc32c()
    }

    fn entropy(&self, found: Offered<'_>) -> Entropy {
        Entropy::gather(&Offered { cpu: cpu::random(), counter: cpu::counter(), ..found })
    }

    /// The loader's code is read-only but for the entry page, the rest writable.
    fn image(&mut self, length: u64) -> Result<&'static [u8], TableError> {
        self.identity.map(self.own.header_page(), Rights::ReadOnly)?;
        let image = PhysRange::new(self.own.base(), length).unwrap_or_default();
        if image.covers(self.own.loader()) {
            self.identity.map(self.own.read_only(PAGE), Rights::ReadOnly)?;
            let rest = PhysRange::from_bounds(self.own.writable().start().get(), image.end());
            self.identity.map(rest.unwrap_or_default(), Rights::ReadWrite)?;
        }
        // SAFETY: nobody writes to the image before the plan is carried out, and what is read of it after that, names,
        // the table's entries and a packed tree's texts, is not what the plan writes to.
        Ok(unsafe { self.identity.bytes(image) })
    }

    // Write-back before the memory map is known: the boot protocol says that x0 is a tree in RAM, the hint is the packer's
    // word, and pages beyond what was asked for are not mapped, so nothing speculates past them.
    fn read(&mut self, range: PhysRange) -> Result<&'static [u8], TableError> {
        self.identity.map(range, Rights::ReadWrite)?;
        // SAFETY: nobody writes to a tree while it is described. What the description borrows of it is not in the
        // header, which `trim` writes to, and is no seed but the one that is taken before `wipe_seeds`; where the tree is
        // copied, the original's place is nobody else's.
        Ok(unsafe { self.identity.bytes(range) })
    }

    fn begin(&mut self, stage: Stage) {
        stages::begin(stage);
    }

    fn obey(&mut self, header: &Header) {
        if header.boot_flags.contains(BootFlags::SEMIHOSTING) {
            MEANS.allow_semihosting();
        }
        log().print_up_to(header.log_level);
    }

    fn opened(&mut self, image: &Image<'static>) {
        names::name_loader_code(image);
    }

    fn start_early_console(&mut self, console: &Console) -> Result<(), TableError> {
        self.identity.map_device(console.pages())?;
        // SAFETY: the registers were just mapped where they lie, and stay so until the loader leaves the map; by then
        // `start_console` has found another way to them.
        unsafe { console::print_to(console, console.base.get()) };
        Ok(())
    }

    fn start_console(&mut self, machine: &Machine<'static>) -> Result<(), TableError> {
        console::start(machine, &self.own)
    }

    fn described(&mut self, described: &Described<'_, 'static>) {
        console::announce(described);
    }

    fn settle_tree(&mut self, found: &Tree, place: PhysRange, survey: &Survey) -> Result<(), TableError> {
        let (from, to) = (found.range.start(), place.start());
        if from != to {
            self.identity.map(place, Rights::ReadWrite)?;
            // SAFETY: both are mapped, and the memory map has just given the new place to the tree alone.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    from.get() as *const u8,
                    to.get() as *mut u8,
                    found.range.len() as usize,
                );
            }
        }
        wipe_seeds(place, survey);
        trim(place);
        Ok(())
    }

    fn mapped(&mut self, mapped: &Mapped<'_, 'static>) {
        console::tell_unplaced(mapped.map());
    }

    fn load(&mut self, planned: &Planned<'_, 'static>) -> Result<u64, TableError> {
        self.identity.map(planned.arena(), Rights::ReadWrite)?;
        // SAFETY: image and arena are mapped, writable, and the loader's.
        Ok(unsafe { memory::carry_out(planned.placed()) })
    }

    fn begin_recorder(&mut self, recorders: &Recorders) {
        let (place, crc32c) = (recorders.current(), cpu::crc32c());
        let header = recorders.header(cpu::processor().timer_frequency, crc32c);
        // SAFETY: `read` has mapped the place writable, the memory map gave it to the recorders alone, and of what was read
        // there nothing is kept.
        unsafe {
            cache::zero_pages(place.start().get(), place.len());
            (place.start().get() as *mut recorder::Header).write(header);
        }
        // A reset may come before the lines have gone out by themselves.
        if let Some(range) = VirtRange::from_bounds(place.start().get(), place.end()) {
            cache::clean_to_coherency(range);
        }
    }

    fn tables(&mut self, loaded: &Loaded<'_, '_, 'static>) -> Result<Tables, TableError> {
        let pool = loaded.planned().placed().table_pool();
        // SAFETY: the plan leaves these pages of the arena to tables; they are mapped writable.
        unsafe {
            cache::zero_pages(pool.start().get(), pool.len());
            Ok(Tables::kernel(&self.own, pool))
        }
    }

    fn map(&mut self, mapping: &Mapping) {
        names::name_mapping(mapping);
    }

    fn publish(&mut self, built: &Built<'_, '_, 'static, Tables>) {
        let (planned, placed) = (built.planned(), built.planned().placed());
        names::name_guard(placed);
        // The identity map has it at its physical address.
        let is_cached = planned.entered().flags.contains(PlatformFlags::ENTERED_WITH_MMU);
        let code = placed.code_to_clean(is_cached);
        let code = code.filter_map(|range| VirtRange::from_bounds(range.start().get(), range.end()));
        cache::make_executable(code, Reach::ThisCpu);
    }

    fn set_registers(
        &mut self,
        registers: &EntryRegisters,
        built: &Built<'_, '_, 'static, Tables>,
    ) -> [u64; 3] {
        cpu::apply(registers);
        cpu::table_registers(built.low_root())
    }

    fn let_others_come(
        &mut self,
        registers: &EntryRegisters,
        roots: [u64; 3],
        level: u64,
    ) -> Result<(), TableError> {
        secondary::prepare(&self.own, registers, roots, level)
    }

    fn boot_info(&mut self, built: &Built<'_, '_, 'static, Tables>) -> &'static mut [u8] {
        let pages = built.planned().placed().boot_info();
        // SAFETY: the plan leaves these pages of the arena to `BootInfo`; they are mapped writable, nobody else's, and
        // the story asks once.
        unsafe { core::slice::from_raw_parts_mut(pages.start().get() as *mut u8, pages.len() as usize) }
    }

    fn finish(
        &mut self,
        boot_info: BootInfoWriter<'_>,
        planned: &Planned<'_, 'static>,
    ) -> Result<(), WriteError> {
        let entry = planned.placed().plan().entry();
        log().line(LogLevel::Normal).text("entering the kernel at ").hex(entry.get()).end();
        stages::begin(Stage::EnterKernel);
        let timeline = stages::all();
        let log = log();
        let truncated = log.dropped() > 0;
        boot_facts::finish(boot_info, timeline.stages(), log.recorded(), truncated, cpu::crc32c()).map(drop)
    }

    fn check(&mut self, built: &Built<'_, '_, 'static, Tables>) -> Result<(), BootError<'static>> {
        let (placed, tables) = (built.planned().placed(), built.tables());
        self_check::check(placed, PageTable::ttbr1(tables.root()), tables)?;
        names::name_kernel_code(built.planned().image(), placed);
        report::situation().in_kernel = true;
        Ok(())
    }
}

/// Wipes the seeds in the tree: what was used must not be found later.
fn wipe_seeds(tree: PhysRange, survey: &Survey) {
    for seed in &survey.seeds {
        let start = tree.start().checked_add(seed.offset as u64);
        if let Some(range) = start.and_then(|start| PhysRange::new(start, seed.length as u64))
            && tree.covers(range)
        {
            // SAFETY: the tree is mapped writable, and nobody has a reference to a seed: it was taken.
            unsafe { core::ptr::write_bytes(range.start().get() as *mut u8, 0, seed.length) };
        }
    }
}

/// Makes the tree's own size that of its contents: what follows them is free memory from now on.
fn trim(tree: PhysRange) {
    const TOTAL_SIZE: u64 = 4; // struct fdt_header (Devicetree Specification 5.2)
    let size = (tree.len() as u32).to_be();
    // SAFETY: the tree is mapped writable, 8-byte aligned, longer than its header, and was read.
    unsafe { ((tree.start().get() + TOTAL_SIZE) as *mut u32).write(size) };
}
