//! Words to whoever watches: `println!` to the port that `BootInfo` names.

use core::cell::UnsafeCell;
use core::fmt;

use handoff_bare::mmio::Mmio;
use shared_abi::boot_info::BootInfo;
use shared_abi::uart::Uart;

struct Single(UnsafeCell<Option<Uart<Mmio>>>);

// SAFETY: one CPU runs, with interrupts masked; a fault handler that prints never goes back to what it cut off,
// except to resolve a fault, and then it does not print.
unsafe impl Sync for Single {}

static CONSOLE: Single = Single(UnsafeCell::new(None));

/// Takes over the console that the loader mapped, if there is one.
pub fn start(boot_info: &BootInfo<'_>) {
    let Some(console) = boot_info.console() else { return };
    let Some(kind) = console.kind() else { return };
    // SAFETY: the contract maps the port's registers there as Device memory, and the loader is done with them.
    let registers = unsafe { Mmio::new(console.virt_base, console.length, console.access_width) };
    // SAFETY: see `Single`.
    unsafe { *CONSOLE.0.get() = Some(Uart::start(kind, console.layout(), registers)) };
}

struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: see `Single`.
        if let Some(console) = unsafe { &mut *CONSOLE.0.get() } {
            console.send_text(text);
        }
        Ok(())
    }
}

/// Prints; without a console nothing happens.
pub fn print(arguments: fmt::Arguments<'_>) {
    // `Out` takes every byte, and an error of a value's own Display is not the console's.
    let _ = fmt::Write::write_fmt(&mut Out, arguments);
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::machine::console::print(format_args!($($argument)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::print!("{}\n", format_args!($($argument)*)) };
}
