//! What the kernels in this folder share: words on the console, and an end with a verdict. Nothing else, so that
//! each shows by itself what it takes to be a kernel.
//!
//! One CPU runs, nothing interrupts it, and a fault does not come back: so the one console needs no lock.

#![allow(dead_code, reason = "compiled into each kernel anew, and none uses all of it")]

use core::cell::UnsafeCell;
use core::fmt::{self, Write};

use shared_abi::boot_info::{BootInfo, Conduit, ExitMethod};
use shared_abi::uart::{Registers, Uart};
use shared_abi::verdict::Verdict;

struct Machine {
    console: Option<Uart<Mmio>>,
    exit: ExitMethod,
    conduit: Conduit,
}

struct Single(UnsafeCell<Machine>);

// SAFETY: one CPU runs, without interrupts; see the top.
unsafe impl Sync for Single {}

static MACHINE: Single =
    Single(UnsafeCell::new(Machine { console: None, exit: ExitMethod::NONE, conduit: Conduit::NONE }));

fn machine() -> &'static mut Machine {
    // SAFETY: no reference is kept across another call; see the top.
    unsafe { &mut *MACHINE.0.get() }
}

/// Learns from `info` where the console is and how the machine is ended.
pub fn start(info: &BootInfo<'_>) {
    let platform = info.platform();
    *machine() = Machine { console: None, exit: platform.exit, conduit: platform.psci_conduit };
    let Some(console) = info.console() else { return };
    if let Some(kind) = console.kind() {
        let registers = Mmio { base: console.virt_base, width: console.access_width };
        machine().console = Some(Uart::start(kind, console.layout(), registers));
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
    let _ = machine().write_fmt(words);
}

impl fmt::Write for Machine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(console) = &mut self.console {
            console.send_text(text);
        }
        Ok(())
    }
}

/// Says the verdict and ends the machine.
pub fn end(verdict: Verdict) -> ! {
    say!("{verdict}");
    match machine().exit {
        ExitMethod::SEMIHOSTING => call::semihosting_exit(verdict.ending().exit_subcode()),
        ExitMethod::PSCI => power_off(),
        _ => {}
    }
    call::park()
}

/// Switches the machine off by PSCI, without a verdict.
pub fn power_off() -> ! {
    const SYSTEM_OFF: u64 = 0x8400_0008;
    match machine().conduit {
        Conduit::HVC => call::hvc(SYSTEM_OFF),
        Conduit::SMC => call::smc(SYSTEM_OFF),
        _ => {}
    }
    call::park()
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

/// A device's registers, accessed by instructions of a fixed form, which a hypervisor can emulate.
#[derive(Clone, Copy)]
struct Mmio {
    base: u64,
    width: u32,
}

#[cfg(target_arch = "aarch64")]
impl Registers for Mmio {
    fn read(&mut self, offset: u64) -> u32 {
        let address = self.base + offset;
        let value: u32;
        // SAFETY: the loader mapped the registers as Device memory at this address, for accesses of this width.
        unsafe {
            match self.width {
                1 => core::arch::asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                2 => core::arch::asm!("ldrh {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
                _ => core::arch::asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)),
            }
        }
        value
    }

    fn write(&mut self, offset: u64, value: u32) {
        let address = self.base + offset;
        // SAFETY: as in `read`.
        unsafe {
            match self.width {
                1 => core::arch::asm!("strb {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                2 => core::arch::asm!("strh {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
                _ => core::arch::asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)),
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod call {
    use core::arch::asm;

    use shared_abi::verdict::{SEMIHOSTING_APPLICATION_EXIT, SEMIHOSTING_EXIT};

    pub fn semihosting_exit(subcode: u64) {
        let block = [SEMIHOSTING_APPLICATION_EXIT, subcode];
        // SAFETY: SYS_EXIT reads the two words behind x1; BootInfo says that a host answers.
        unsafe {
            asm!("hlt #0xF000", inout("x0") SEMIHOSTING_EXIT => _, in("x1") block.as_ptr(), options(nostack));
        }
    }

    pub fn hvc(function: u64) {
        // SAFETY: BootInfo says that PSCI listens here; the calling convention's registers are given up.
        unsafe { asm!("hvc #0", inout("x0") function => _, clobber_abi("C")) };
    }

    pub fn smc(function: u64) {
        // SAFETY: as in `hvc`.
        unsafe { asm!("smc #0", inout("x0") function => _, clobber_abi("C")) };
    }

    pub fn park() -> ! {
        loop {
            // SAFETY: waiting changes nothing.
            unsafe { asm!("wfe", options(nomem, nostack)) };
        }
    }
}

/// On a host these kernels are only type-checked.
#[cfg(not(target_arch = "aarch64"))]
mod call {
    pub fn semihosting_exit(_: u64) {}
    pub fn hvc(_: u64) {}
    pub fn smc(_: u64) {}
    pub fn park() -> ! {
        unreachable!("a host has no machine to end")
    }
}

#[cfg(not(target_arch = "aarch64"))]
impl Registers for Mmio {
    fn read(&mut self, _: u64) -> u32 {
        unreachable!("a host has no device")
    }
    fn write(&mut self, _: u64, _: u32) {}
}
