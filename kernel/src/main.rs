//! Our kernel: starts its frame allocator and its heap, says what it found, and ends with a verdict.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod report;

#[cfg(target_os = "none")]
mod kernel_main {
    use kernel::machine::{console, ending};
    use shared_abi::boot_info::BootInfo;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    fn kmain(boot_info: BootInfo<'static>) -> ! {
        console::start(&boot_info);
        ending::start(&boot_info);
        crate::report::handoff(&boot_info);
        ending::finish(Verdict::Good)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the kernel runs behind the loader: scripts/run.sh boots it");
    std::process::exit(2);
}
