//! What the kernels in this folder share: words on the console, and an end with a verdict. Nothing else, so that
//! each shows by itself what it takes to be a kernel.

#![allow(dead_code, reason = "compiled into each kernel anew, and none uses all of it")]

#[cfg(target_os = "none")]
pub mod id;

use core::fmt::{self, Write};

use handoff_bare::cell::BorrowCell;
use handoff_bare::ending::Means;
use handoff_bare::mmio::Mmio;
use shared_abi::boot_info::BootInfo;
use shared_abi::entry::Handoff;
use shared_abi::uart::Uart;
use shared_abi::verdict::Verdict;

static MEANS: Means = Means::new();

static CONSOLE: BorrowCell<Option<Uart<Mmio>>> = BorrowCell::new(None);

/// Learns from `info` where the console is and how the machine is ended.
pub fn start(info: &Handoff) {
    MEANS.learn(&info.platform());
    let Some(found) = info.console() else { return };
    if let (Some(kind), Some(mut console)) = (found.kind(), CONSOLE.try_borrow_mut()) {
        // SAFETY: the contract maps the port's registers there as Device memory, and the loader is done with them.
        let registers = unsafe { Mmio::new(found.virt_base, found.length, found.access_width) };
        *console = Some(Uart::start(kind, found.layout(), registers));
    }
}

/// Prints a line.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {
        $crate::bare::print(format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Prints words, where there is a console.
pub fn print(words: fmt::Arguments<'_>) {
    // Writing to a serial port cannot fail.
    let _ = Out.write_fmt(words);
}

struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(console) = CONSOLE.try_borrow_mut().as_deref_mut().and_then(Option::as_mut) {
            console.send_text(text);
        }
        Ok(())
    }
}

/// Says the verdict and ends the machine.
pub fn end(verdict: Verdict) -> ! {
    say!("{verdict}");
    MEANS.end(verdict.ending(), 0)
}

/// Switches the machine off by PSCI, without a verdict.
pub fn power_off() -> ! {
    MEANS.switch_off()
}

/// Whether the kernel's command line has `word`.
pub fn is_asked(info: &BootInfo<'_>, word: &str) -> bool {
    info.command_line().split_whitespace().any(|found| found == word)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(panic: &core::panic::PanicInfo<'_>) -> ! {
    say!("{panic}");
    end(Verdict::Bad(255))
}
