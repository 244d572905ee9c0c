//! Our kernel: starts its frame allocator and its heap, says what it found, and ends with a verdict.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod trial;

#[cfg(target_os = "none")]
mod story {
    use core::panic::PanicInfo;

    use kernel::machine::memory::KernelHeap;
    use kernel::machine::{console, ending, memory, vectors};
    use kernel::println;
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    use crate::{report, trial};

    shared_abi::entry!(kmain);

    /// Where `alloc`'s collections live once memory is started.
    #[global_allocator]
    pub static HEAP: KernelHeap = memory::heap();

    /// The verdict's codes.
    const NO_MEMORY: u32 = 1;
    const TRIAL_FAILED: u32 = 2;
    const PANICKED: u32 = 255;

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("memory cannot be started: {error}");
            ending::finish(Verdict::Bad(NO_MEMORY));
        }
        report::handoff(&info);
        report::hardware(&info);
        report::memory();
        ending::finish(if trial::milestones(&info) { Verdict::Good } else { Verdict::Bad(TRIAL_FAILED) })
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(PANICKED))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the kernel runs behind the loader: scripts/run.sh boots it");
    std::process::exit(2);
}
