//! What firmware left: the device tree, the machine that it describes, the console, the command line.

use core::fmt::Write as _;

use elfloader::device_tree::{self, Survey};
use elfloader::entropy::{Entropy, Offered};
use elfloader::handoff::Entered;
use elfloader::image::Image;
use elfloader::memory_map::MemoryMap;
use elfloader::occupancy::Tree;
use elfloader::platform::{self, Console, Machine};
use handoff_bare::mmio::Mmio;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};
use shared_abi::boot_info::{Conduit, TreeSource};
use shared_abi::image::header::LogLevel;
use shared_abi::image::payload::Kind;
use shared_abi::rights::Rights;
use shared_abi::uart::{Uart, UartLayout};

use crate::machine::ending::MEANS;
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables::IdentityMap;
use crate::machine::{cpu, tables};
use elfloader::error::{BootError, EntryError};

/// Prints to the serial port that the packed command line names, until the device tree has been read.
pub fn start_early_console(
    image: &Image<'static>,
    identity: &mut IdentityMap,
) -> Result<Option<Console<'static>>, BootError> {
    let console = image.command_line("").early_console()?;
    if let Some(console) = &console {
        identity.map_device(console.pages())?;
        // SAFETY: the registers were just mapped where they lie, and stay so until the loader leaves the map; by then
        // `start_console` has found another way to them.
        unsafe { print_to(console, console.base.get()) };
    }
    Ok(console)
}

/// Describes the machine. Nothing is written: the tree may lie where that does something.
pub fn describe(
    entered: &Entered,
    image: &Image<'_>,
    identity: &mut IdentityMap,
    machine: &mut Machine<'static>,
) -> Result<(Tree, Survey), BootError> {
    let (range, source) = find_tree(entered, image, identity)?;
    // SAFETY: nobody writes to the tree while it is described. What the description borrows of it after that lies
    // behind the header, which `trim` writes to, and is no seed but the one that is taken before `wipe_seeds`; where the
    // tree is copied, the original's place is nobody else's.
    let survey = device_tree::describe(unsafe { identity.bytes(range) }, machine)?;
    let range = PhysRange::new(range.start(), survey.extent as u64).unwrap_or(range);
    Ok((Tree { range, source }, survey))
}

/// Copies the tree if it is to be elsewhere, wipes its seeds and trims it.
pub fn settle_tree(
    found: &Tree,
    tree: &Tree,
    survey: &Survey,
    identity: &mut IdentityMap,
) -> Result<(), BootError> {
    let (from, to) = (found.range.start(), tree.range.start());
    if from != to {
        identity.map(tree.range, Rights::ReadWrite)?;
        // SAFETY: both are mapped, and the memory map has just given the new place to the tree alone.
        unsafe {
            core::ptr::copy_nonoverlapping(
                from.get() as *const u8,
                to.get() as *mut u8,
                found.range.len() as usize,
            );
        }
    }
    wipe_seeds(tree.range, survey);
    trim(tree.range);
    Ok(())
}

/// What there is to be random with. Takes the seed, which is to be wiped where it lies.
pub fn take_entropy(machine: &mut Machine<'_>, image: &Image<'_>) -> Entropy {
    Entropy::gather(&Offered {
        repeatable: image.bytes_of_kind(Kind::ENTROPY_SEED),
        kaslr_seed: Some(machine.boot.kaslr_seed).filter(|seed| *seed != 0),
        rng_seed: core::mem::take(&mut machine.boot.rng_seed),
        cpu: cpu::random(),
        counter: cpu::counter(),
    })
}

/// The device tree: where x0 points, else where the header page says, else in the image.
fn find_tree(
    entered: &Entered,
    image: &Image<'_>,
    identity: &mut IdentityMap,
) -> Result<(PhysRange, TreeSource), BootError> {
    let x0 = entered.arguments[0];
    for (address, source) in [(x0, TreeSource::FIRMWARE), (image.header.phys_tree_hint, TreeSource::HINT)] {
        if let Some(tree) = probe(address, identity)? {
            return Ok((tree, source));
        }
    }
    let missing = EntryError::NoTree { x0, hint: image.header.phys_tree_hint };
    let packed = image.payload.find(Kind::DEVICE_TREE).ok_or(missing)?;
    image.payload.verify(&packed, cpu::crc32c())?;
    Ok((image.range_of(&packed), TreeSource::PACKED))
}

/// The tree at `address`, mapped as far as its header says; `None` if none can be there.
fn probe(address: u64, identity: &mut IdentityMap) -> Result<Option<PhysRange>, BootError> {
    // A tree is 8-byte aligned (Devicetree Specification 5.2), firmware that has none passes small numbers, and what
    // the processor cannot address is not read.
    let possible = (PAGE..cpu::physical_size().limit()).contains(&address) && address.is_multiple_of(8);
    let start = PhysAddr::new(address).filter(|_| possible);
    let Some(header) = start.and_then(|start| PhysRange::new(start, device_tree::HEADER as u64)) else {
        return Ok(None);
    };
    identity.map(header, Rights::ReadWrite)?;
    // SAFETY: just mapped; nobody writes there.
    let bytes = unsafe { identity.bytes(header) };
    let Some(total) = bytes.first_chunk().and_then(|header| device_tree::probe_header(header).ok()) else {
        return Ok(None);
    };
    let tree = PhysRange::new(header.start(), total as u64);
    if let Some(tree) = tree {
        identity.map(tree, Rights::ReadWrite)?;
    }
    Ok(tree)
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

/// Makes the tree's own size that of its contents: what lies behind them is free memory from now on.
fn trim(tree: PhysRange) {
    const TOTAL_SIZE: u64 = 4; // struct fdt_header (Devicetree Specification 5.2)
    let size = (tree.len() as u32).to_be();
    // SAFETY: the tree is mapped writable, 8-byte aligned, longer than its header, and was read.
    unsafe { ((tree.start().get() + TOTAL_SIZE) as *mut u32).write(size) };
}

/// Maps the console's registers where the kernel will find them as well, and prints there from here on.
pub fn start_console(machine: &Machine<'_>, own: &OwnImage) -> Result<(), BootError> {
    if let Some(psci) = machine.psci {
        MEANS.set_conduit(match psci.conduit {
            platform::Conduit::Hvc => Conduit::HVC,
            platform::Conduit::Smc => Conduit::SMC,
        });
    }
    let Some(console) = &machine.console else { return Ok(()) };
    let pages = console.pages();
    let Some(virt) = elfloader::layout::console(pages) else { return Ok(()) };
    tables::map_console(own, virt, pages)?;
    let base = virt.start().get() + (console.base.get() - pages.start().get());
    // SAFETY: the registers were just mapped there as Device memory, and stay so; firmware is done with them.
    unsafe { print_to(console, base) };
    Ok(())
}

/// # Safety
///
/// The console's registers are mapped at virtual address `base` as Device memory for as long as is printed there.
unsafe fn print_to(console: &Console<'_>, base: u64) {
    let layout = UartLayout {
        register_shift: u32::from(console.register_shift),
        access_width: u32::from(console.access_width),
    };
    // SAFETY: as the caller has it.
    let registers = unsafe { Mmio::new(base, PAGE - base % PAGE, layout.access_width) };
    log().set_console(Uart::start(console.kind, layout, registers));
}

/// The first lines.
pub fn announce(entered: &Entered, machine: &Machine<'_>, image: &Image<'_>) {
    log().line(LogLevel::Normal).text("handoff: ").text(machine.model).end();
    log()
        .line(LogLevel::Verbose)
        .text("entered at EL")
        .number(entered.level)
        .text(", image at ")
        .hex(image.range.start().get())
        .text(" + ")
        .hex(image.range.len())
        .end();
    // The log takes every byte; there is no error to act on.
    for remark in machine.remarks.kept() {
        let _ = writeln!(log().line(LogLevel::Normal), "device tree: ignored {remark}");
    }
    if machine.remarks.more() > 0 {
        let more = machine.remarks.more() as u64;
        log().line(LogLevel::Normal).text("device tree: ignored ").number(more).text(" more").end();
    }
}

/// Names the reserved ranges that were only a wish and found no place.
pub fn tell_unplaced(map: &MemoryMap<'_>) {
    for name in map.unplaced() {
        log()
            .line(LogLevel::Normal)
            .text("device tree: no place for \"")
            .text(name)
            .text("\", which can do without")
            .end();
    }
}
