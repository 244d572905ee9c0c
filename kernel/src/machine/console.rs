//! Words to whoever watches: `println!` to the port that `BootInfo` names.

use core::fmt;

use handoff_bare::cell::BorrowCell;
use handoff_bare::mmio::Mmio;
use shared_abi::entry::Handoff;
use shared_abi::uart::Uart;

use super::cpu::Holder;

static CONSOLE: BorrowCell<Option<Uart<Mmio>>> = BorrowCell::new(None);

/// The CPU whose words they are: those of one call come together.
static HOLDER: Holder = Holder::new();

/// Takes over the console that the loader mapped, if there is one.
///
/// # Panics
///
/// The second time.
pub fn start(handoff: &Handoff) {
    let Some(console) = handoff.console() else { return };
    let Some(kind) = console.kind() else { return };
    let mut place =
        CONSOLE.try_borrow_mut().filter(|place| place.is_none()).expect("the console is started once");
    // SAFETY: the contract maps the port's registers there as Device memory; the loader is done with them, and nobody
    // has started the console before.
    let registers = unsafe { Mmio::new(console.virt_base, console.length, console.access_width) };
    *place = Some(Uart::start(kind, console.layout(), registers));
}

/// Has the console for good, once no other CPU prints: frees it of a line that this CPU was interrupted in. The others
/// wait when they print next.
///
/// # Safety
///
/// What this CPU was interrupted in never goes on.
pub(super) unsafe fn keep() {
    HOLDER.take();
    // SAFETY: no other CPU prints, and this one's line never goes on, as the caller says.
    unsafe { CONSOLE.release() };
}

struct Out;

impl fmt::Write for Out {
    /// Held for the text alone, so that what formats a value may print; what interrupts the text itself is not printed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(console) = CONSOLE.try_borrow_mut().as_deref_mut().and_then(Option::as_mut) {
            console.send_text(text);
        }
        Ok(())
    }
}

/// Prints; without a console nothing happens.
pub fn print(arguments: fmt::Arguments<'_>) {
    let had_it = HOLDER.take();
    // `Out` takes every byte, and an error of a value's own Display is not the console's.
    let _ = fmt::Write::write_fmt(&mut Out, arguments);
    if !had_it {
        HOLDER.give();
    }
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
