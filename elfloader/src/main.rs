//! The loader: from wherever firmware put it to the kernel's first instruction.
//!
//! The story, one step a line, is the library's `boot`, which runs on the host as well. This is the machine that it
//! runs on: [`start`] is the way in and out, `machine/` what is done to it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("elfloader runs on a bare machine: scripts/run.sh boots it");
    std::process::exit(2);
}

#[cfg(target_os = "none")]
#[panic_handler]
#[allow(unused_attributes, reason = "rustc has no use for `inline` here, but LLVM has")]
// Inlined, the handler shows that no panic's message is used, and nothing that could format one is kept.
#[inline(always)]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    machine::report::report_panic(info.location())
}
