//! The loader.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod machine;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("elfloader runs on a bare machine: scripts/run.sh boots it");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn start(
    x0: u64,
    x1: u64,
    x2: u64,
    x3: u64,
    phys: u64,
    level: u64,
    counter: u64,
    flags: u64,
) -> ! {
    use core::fmt::Write;
    machine::ending::allow_semihosting();
    let l = machine::log::log();
    l.mark();
    let _ = writeln!(l, "hello {x0:x} {x1:x} {x2:x} {x3:x} {phys:x} EL{level} {counter} {flags}");
    l.say_without_console();
    machine::ending::end(shared_abi::verdict::Ending::Good, 0)
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    machine::report::report_panic(info)
}
