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
    use kernel::machine::{console, ending, memory, vectors};
    use kernel::println;
    use shared_abi::boot_info::BootInfo;
    use shared_abi::verdict::Verdict;

    use crate::{report, trial};

    shared_abi::entry!(kmain);

    fn kmain(info: BootInfo<'static>) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info) {
            println!("memory cannot be started: {error:?}");
            ending::finish(Verdict::Bad(1));
        }
        report::handoff(&info);
        report::hardware(&info);
        report::memory();
        let good = trial::translations(&info) & trial::heap() & trial::contract(&info);
        ending::finish(if good { Verdict::Good } else { Verdict::Bad(2) })
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the kernel runs behind the loader: scripts/run.sh boots it");
    std::process::exit(2);
}
