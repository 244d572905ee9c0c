//! The boot, decided without booting: the loader's own steps on the host, up to what the kernel would find.
//!
//! ```text
//! image ─┐
//! tree  ─┼─► describe ─► lay out ─► plan ─► tables ─► BootInfo ──► Snapshot, as inspect reads one
//! places ┘                  the elfloader library's, in the loader's order
//! ```
//!
//! The result is a [`Snapshot`] that no machine was stopped for: tables, `BootInfo` and registers as they would be at
//! the kernel's first instruction, so whatever shows or audits a stopped machine shows and audits a plan. What only
//! a running machine knows is missing: the timeline, the log, the timer's frequency, the kernel's random bytes.

pub mod firmware;
mod tables;

use elfloader::closed_features::IdRegisters;
use elfloader::device_tree::{self, Survey};
use elfloader::entropy::{Entropy, Offered};
use elfloader::handoff::{self, Entered, Facts, Processor};
use elfloader::image::Image;
use elfloader::kernel_elf::KernelElf;
use elfloader::memory_map::MemoryMap;
use elfloader::occupancy::{self, Tree};
use elfloader::plan::{DirectMap, LoadPlan, PlacedPlan, Placement, Policy, Room, Slide};
use elfloader::platform::Machine;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};
use shared_abi::boot_info::{PlatformFlags, TreeSource};
use shared_abi::contract::registers::{DAIF, EntryRegisters, PhysicalSize};
use shared_abi::crc32c::crc32c;
use shared_abi::image::Header;
use shared_abi::image::payload::{Kind, PayloadTable};

use crate::failure::{Failure, Outcome};
use crate::inspect::snapshot::{Origin, Snapshot};
use crate::loader::Parts;

/// EL1h, the stack pointer of its own (Arm ARM C5.2.19).
const EL1H: u64 = 0b0101;

/// Everything that a boot depends on.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// What is booted on what, for titles.
    pub title: String,
    /// The combined image.
    pub image: &'a [u8],
    /// What of it is which part of the loader.
    pub loader: Parts,
    /// The machine's device tree; without one, the packed one is used.
    pub tree: Option<&'a [u8]>,
    /// Where everything lies.
    pub places: firmware::Places,
    /// An initial RAM disk of which the tree says nothing.
    pub initrd: Option<PhysRange>,
    /// The processor's physical address size.
    pub physical_size: PhysicalSize,
    /// The slide, in place of a random one.
    pub slide: Option<u64>,
    /// The direct map's offset, in place of a random one.
    pub direct_map: Option<u64>,
}

/// The first address of RAM that a tree states; `None` if it states none.
pub fn ram_base(tree: &[u8]) -> Outcome<Option<u64>> {
    let (mut aligned, mut machine) = (Vec::new(), Box::new(Machine::new()));
    describe(tree, &mut aligned, &mut machine)?;
    Ok(machine.memory.iter().map(|memory| memory.range.start().get()).min())
}

/// Describes the machine of a tree, which the loader finds at a multiple of 8: it is copied to `aligned`.
fn describe<'t>(tree: &[u8], aligned: &'t mut Vec<u64>, machine: &mut Machine<'t>) -> Outcome<Survey> {
    aligned.resize(tree.len().div_ceil(8), 0);
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut aligned[..]);
    let (bytes, _) = bytes.split_at_mut(tree.len());
    bytes.copy_from_slice(tree);
    Ok(device_tree::describe(bytes, machine)?)
}

/// Decides everything. What the boot would refuse is a [`Failure`] with the code of the refusal.
pub fn foresee(given: &Given<'_>) -> Outcome<Snapshot> {
    let image = open(given)?;
    let (mut aligned, mut machine) = (Vec::new(), Box::new(Machine::new()));
    let (bytes, start, source) = match given.tree {
        Some(tree) => (tree, given.places.tree, given.places.source),
        None => {
            let packed = image.bytes_of_kind(Kind::DEVICE_TREE);
            let start = image.range_of_kind(Kind::DEVICE_TREE).unwrap_or_default().start().get();
            (packed.ok_or_else(|| Failure::new("no device tree to plan with"))?, start, TreeSource::PACKED)
        }
    };
    let survey = describe(bytes, &mut aligned, &mut machine)?;
    machine.boot.initrd = given.initrd.or(machine.boot.initrd);
    machine.console = machine.console.or(image.command_line("").early_console()?);
    if given.places.flags().contains(PlatformFlags::NO_FIRMWARE) {
        machine.psci = None;
    }
    let machine = &*machine;
    let range = phys(start, survey.extent as u64, "the device tree")?;
    let command_line = image.command_line(machine.boot.command_line);

    let mut map = Box::new(MemoryMap::new());
    let tree = Tree { range, source };
    let tree = occupancy::lay_out(&mut map, machine, given.physical_size.limit(), &image, &tree)?;

    for entry in image.payload.entries() {
        image.payload.verify(&entry, crc32c)?;
    }
    let elf = KernelElf::parse(image.bytes_of_kind(Kind::KERNEL).unwrap_or_default())?;

    let entropy = Entropy::gather(&Offered {
        repeatable: image.bytes_of_kind(Kind::ENTROPY_SEED),
        ..Offered::default()
    });
    let random = match image.payload.find(Kind::ENTROPY_SEED) {
        Some(_) => entropy.layout,
        // The lowest of all places that randomness would choose from.
        None => [0; 2],
    };
    let mut policy = Policy::new(elf.note(), command_line.allows_randomness());
    policy.slide = given.slide.map_or(policy.slide, Slide::Fixed);
    policy.direct_map = given.direct_map.map_or(policy.direct_map, DirectMap::Fixed);
    let ram_end = map.mapped_span().map_or(0, PhysRange::end);
    let placement = Placement::choose(&elf, &policy, random, ram_end)?;
    let site = occupancy::site(&image, &elf, machine, &map, command_line);
    let mut room = Room::new();
    let plan = LoadPlan::new(&elf, placement, site, map.regions(), &mut room)?;
    let arena = occupancy::take_arena(&mut map, &plan)?;
    let placed = plan.place(arena)?;
    let mut relocations = 0;
    placed.relocate(|_, _| relocations += 1);

    occupancy::describe(&mut map, &image, &placed, given.places.level)?;
    let built = tables::build(&image, &given.loader, &placed, map.regions())?;

    let registers = EntryRegisters::ABI_1.with_physical_size(given.physical_size);
    let roots = [built.tables.low_root.get(), image.tables.start().get(), given.loader.vectors];
    let facts = Facts {
        entered: Entered {
            arguments: [given.places.argument, 0, 0, 0],
            level: given.places.level,
            flags: given.places.flags(),
        },
        processor: Processor {
            affinity: machine.cpus.first().map_or(0, |cpu| cpu.affinity()),
            model: 0,
            physical_size: given.physical_size,
            timer_frequency: 0,
            id: IdRegisters::default(),
        },
        image: &image,
        tree,
        machine,
        command_line,
        entropy: &entropy,
        placed: &placed,
        relocations,
        regions: map.regions(),
        tables: built.tables,
        registers: &handoff::registers_as_set(&registers, roots),
    };
    let mut boot_info = vec![0; placed.boot_info().len() as usize];
    handoff::finish(handoff::begin(&facts, &mut boot_info)?, std::iter::empty(), &[], false, crc32c)?;

    let mut snapshot =
        Snapshot { title: given.title.clone(), origin: Origin::Planned, ..Snapshot::default() };
    snapshot.registers = entry_registers(&placed, &registers, given.physical_size, roots);
    snapshot.memory = built.memory;
    let pages = boot_info
        .chunks_exact(PAGE as usize)
        .zip((placed.boot_info().start().get()..).step_by(PAGE as usize));
    snapshot.memory.extend(pages.map(|(page, start)| (start, page.to_vec())));
    snapshot.join_runs();
    Ok(snapshot)
}

/// The image at its place.
fn open<'a>(given: &Given<'a>) -> Outcome<Image<'a>> {
    let header = Header::decode(given.image, crc32c)?;
    let payload = PayloadTable::open(given.image, &header, crc32c)?;
    let base = given.places.image;
    let range = phys(base, header.image_size, "the image")?;
    let part = |(start, end): (u64, u64)| phys(base + start, end - start, "the loader");
    Ok(Image {
        range,
        resident: part((given.loader.text.0, given.loader.data.1))?,
        stub: part(given.loader.stub)?,
        tables: part(given.loader.tables)?,
        header,
        payload,
    })
}

fn phys(start: u64, length: u64, what: &str) -> Outcome<PhysRange> {
    let range = PhysAddr::new(start).and_then(|start| PhysRange::new(start, length));
    range.ok_or_else(|| Failure::new(format!("{what} cannot lie at {start:#x}")))
}

/// Registers by the names that a stopped machine's have.
fn entry_registers(
    placed: &PlacedPlan<'_>,
    registers: &EntryRegisters,
    size: PhysicalSize,
    [ttbr0, ttbr1, vbar]: [u64; 3],
) -> std::collections::BTreeMap<String, u64> {
    let plan = placed.plan();
    let named = [
        ("x0", plan.boot_info().start().get()),
        ("sp", plan.stack().end()),
        ("pc", plan.entry().map_or(0, |entry| entry.get())),
        ("cpsr", DAIF | EL1H),
        ("TTBR0_EL1", ttbr0),
        ("TTBR1_EL1", ttbr1),
        ("VBAR_EL1", vbar),
        ("ID_AA64MMFR0_EL1", size.encoding().into()),
    ];
    let general = (1..=30).map(|number| (format!("x{number}"), 0));
    let contract = registers.each().map(|(register, value)| (register.name.to_owned(), value));
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(general).chain(contract).collect()
}
