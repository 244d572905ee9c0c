//! Console output: the serial port, the first lines, and what the boot goes on without.

use core::fmt::Write as _;

use elfloader::boot::Described;
use elfloader::layout;
use elfloader::memory_map::MemoryMap;
use elfloader::platform::{self, Console, Machine};
use handoff_bare::mmio::Mmio;
use shared_abi::addr::PAGE;
use shared_abi::boot_info::Conduit;
use shared_abi::image::header::LogLevel;
use shared_abi::page_table::TableError;
use shared_abi::uart::{Uart, UartLayout};

use crate::machine::ending::MEANS;
use crate::machine::log::log;
use crate::machine::own_image::OwnImage;
use crate::machine::tables;

/// Maps the console's registers where the kernel will find them as well, and prints there from here on.
pub fn start(machine: &Machine<'_>, own: &OwnImage) -> Result<(), TableError> {
    if let Some(psci) = machine.psci {
        MEANS.set_conduit(match psci.conduit {
            platform::Conduit::Hvc => Conduit::HVC,
            platform::Conduit::Smc => Conduit::SMC,
        });
    }
    let Some(console) = &machine.console else { return Ok(()) };
    let pages = console.pages();
    let Some(virt) = layout::console(pages) else { return Ok(()) };
    tables::map_console(own, virt, pages)?;
    let base = virt.start().get() + (console.base.get() - pages.start().get());
    // SAFETY: the registers were just mapped there as Device memory, and stay so; firmware is done with them.
    unsafe { print_to(console, base) };
    Ok(())
}

/// Prints to a console from here on.
///
/// # Safety
///
/// The console's registers are mapped at virtual address `base` as Device memory for as long as is printed there.
pub unsafe fn print_to(console: &Console, base: u64) {
    let layout = UartLayout {
        register_shift: u32::from(console.register_shift),
        access_width: u32::from(console.access_width),
    };
    // SAFETY: guaranteed by this function's contract.
    let registers = unsafe { Mmio::new(base, PAGE - base % PAGE, layout.access_width) };
    log().set_console(Uart::start(console.kind, layout, registers));
}

/// The first lines.
pub fn announce(described: &Described<'_, '_>) {
    let (entered, machine, image) = (described.entered(), described.machine(), described.image());
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
    for line in machine.remarks.lines() {
        let _ = write!(log().line(LogLevel::Normal), "{line}");
    }
}

/// Names the reserved ranges that were only a wish and found no place.
pub fn tell_unplaced(map: &MemoryMap<'_>) {
    for line in map.unplaced() {
        let _ = write!(log().line(LogLevel::Normal), "{line}");
    }
}
