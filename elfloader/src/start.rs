//! The first and the last of the loader on a machine: from the entry code into the story, and from there to the kernel.

mod console;
mod environment;
mod names;

use core::fmt::Write as _;

use elfloader::boot::{self, Ready};
use elfloader::boot_facts::Entered;
use elfloader::error::{BootError, EntryError};
use elfloader::stage::Stage;
use shared_abi::addr::PAGE;
use shared_abi::boot_info::PlatformFlags;
use shared_abi::image::header::LogLevel;
use shared_abi::verdict::Ending;

use crate::machine::ending::MEANS;
use crate::machine::entry::EntryFlags;
use crate::machine::jump::{self, Jump};
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::{cpu, scratch, stages};
use environment::Bare;

/// Where the entry code leads, with the MMU on: the first line of Rust.
#[unsafe(no_mangle)]
extern "C" fn start(x0: u64, x1: u64, x2: u64, x3: u64, image: u64, level: u64, ticks: u64, flags: u64) -> ! {
    stages::begin_at(Stage::Enter, ticks);
    let flags = platform_flags(EntryFlags(flags), level);
    match boot(image, Entered { arguments: [x0, x1, x2, x3], level, flags }) {
        // SAFETY: the story prepared every field, and its last step was to confirm the tables by the hardware.
        Ok(ready) => unsafe { jump::jump(&leave(&ready)) },
        Err(error) => refuse(&error),
    }
}

/// What of the entry the kernel is told.
fn platform_flags(found: EntryFlags, level: u64) -> PlatformFlags {
    let flag = |set: bool, flag: PlatformFlags| if set { flag } else { PlatformFlags::default() };
    flag(found.has(EntryFlags::NO_FIRMWARE), PlatformFlags::NO_FIRMWARE)
        | flag(found.has(EntryFlags::E2H_STUCK), PlatformFlags::ENTERED_WITH_E2H)
        | flag(found.has(EntryFlags::CACHES_ON), PlatformFlags::ENTERED_WITH_MMU)
        | flag(level >= 2 && cpu::has_el2(), PlatformFlags::EL2_STUB)
}

fn boot(image: u64, entered: Entered) -> Result<Ready, BootError<'static>> {
    let misplaced = EntryError::Place { phys: image };
    let (pruned, scratch) = scratch::take().ok_or(misplaced)?;
    // SAFETY: whoever has the scratch memory is the first and only one to get here.
    let mut machine = unsafe { Bare::new(image) }.ok_or(misplaced)?;
    names::name_loader();
    boot::boot(&mut machine, entered, pruned, scratch)
}

#[cold]
fn refuse(error: &BootError<'_>) -> ! {
    let mut log = log();
    log.line(LogLevel::Quiet).mark();
    let code = error.code();
    // The log takes every byte; there is no error to act on.
    let _ = writeln!(log, "error E{code:04}: {error}");
    log.say_without_console();
    MEANS.end(Ending::Refused, code)
}

/// What the jump needs.
fn leave(ready: &Ready) -> Jump {
    let (first, count) = OwnImage::leaving_entries();
    // The last of TTBR1's four tables is the level 3 table that maps the loader.
    let level_3 = ready.direct_map_offset + (ready.tables.end() - PAGE);
    Jump {
        virt_boot_info: ready.boot_info.get(),
        virt_entry: ready.entry.get(),
        virt_stack_top: ready.stack_top,
        phys_empty_table: ready.low_root.get(),
        tcr: ready.registers.tcr_el1,
        virt_entries: level_3 + first * size_of::<u64>() as u64,
        entry_count: count,
        virt_header_entry: level_3,
        pause: u64::from(ready.pause),
    }
}
