//! Every CPU at work: each is started with a closure, uses heap and frames while the others do, prints, and is switched
//! off and started once more. What one unmaps is gone for another at its next access. `fault` on the command line has
//! another CPU fault.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod example {
    use alloc::vec::Vec;
    use core::sync::atomic::{AtomicU64, Ordering};

    use kernel::error::CpuError;
    use kernel::faults::{Fault, FaultHook, Interest, Interrupted, Resolution};
    use kernel::machine::memory::{self, KernelHeap};
    use kernel::machine::{console, cpu, cpus, ending, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, VirtRange};
    use shared_abi::boot_info::{CpuFlags, EnableMethod};
    use shared_abi::entry::Handoff;
    use shared_abi::memory::RegionKind;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain, Note { wanted: Wanted::SLIDE.union(Wanted::SECONDARIES), ..Note::DEFAULT });

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    /// How often each CPU takes and gives back.
    const ROUNDS: u64 = 300;

    static DONE: AtomicU64 = AtomicU64::new(0);
    static SUM: AtomicU64 = AtomicU64::new(0);

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("{error}");
            ending::finish(Verdict::Bad(1));
        }
        let before = memory::with(|memory| memory.statistics().free);
        let all: Vec<_> = info.cpus().filter(|cpu| !cpu.flags.contains(CpuFlags::BOOT)).collect();
        if info.command_line().split_whitespace().any(|word| word == "fault") {
            fault(&info, all[0].mpidr);
        }
        let (mut came, mut failed) = (0, 0);
        for time in 0..2 {
            let mut expected = DONE.load(Ordering::Relaxed);
            for cpu in all.iter().filter(|cpu| time == 0 || cpu.enable_method == EnableMethod::PSCI) {
                let mpidr = cpu.mpidr;
                match cpus::start(&info, mpidr, move || work(mpidr)) {
                    Ok(_) => expected += 1,
                    Err(error) => {
                        println!("error E{:04}: {error}", error.code());
                        failed += 1;
                    }
                }
            }
            if time == 0 {
                came = expected;
                share();
            }
            wait("all to be done", || DONE.load(Ordering::Acquire) == expected);
            let is_off = |mpidr| failed > 0 || cpus::is_done(&info, mpidr);
            wait("all to be off", || all.iter().all(|cpu| is_off(cpu.mpidr)));
            if time == 0 {
                // Those that come after this come without the loader's memory.
                take_back(&info, RegionKind::LOADER_RESIDENT);
                take_back(&info, RegionKind::PAGE_TABLES);
            }
        }
        if let Some(cpu) = all.iter().find(|cpu| cpu.enable_method == EnableMethod::PSCI)
            && failed == 0
        {
            println!("cpus: unmapped on one, gone on another: {}", unmapped(&info, cpu.mpidr));
        }
        let after = memory::with(|memory| memory.statistics().free);
        println!("cpus: {came} of {} came, {failed} did not; sum {}", all.len(), SUM.load(Ordering::Relaxed));
        println!("cpus: free frames {before:?}, then {after:?}");
        ending::finish(Verdict::Good)
    }

    fn take_back(info: &Handoff, kind: RegionKind) {
        // SAFETY: the vectors are the kernel's own, and no module's memory is used.
        let taken = memory::with(|memory| unsafe { memory.reclaim(info, kind) });
        match taken {
            Some(Ok(frames)) => println!("cpus: {kind}: {frames} frames are taken back"),
            Some(Err(error)) => println!("cpus: {kind}: E{:04}: {error}", error.code()),
            None => {}
        }
    }

    /// What another CPU does.
    fn work(mpidr: u64) {
        assert_eq!(cpu::affinity(), mpidr);
        share();
        println!(
            "cpu {} ({mpidr:#x}): its share is done, said in one line that nobody else's words are in",
            cpu::number()
        );
        DONE.fetch_add(1, Ordering::Release);
    }

    /// Takes from heap and frames, and gives back.
    fn share() {
        for round in 0..ROUNDS {
            let numbers: Vec<u64> = (0..round % 97 * 11).collect();
            let this = cpu::number() as u64;
            let frame = memory::with(|memory| {
                // SAFETY: the frame is freed by who took it.
                unsafe { memory.frames_mut() }.allocate_frame().ok().zip(Some(()))
            });
            if let Some(Some((frame, ()))) = frame
                && let Some(Some(at)) = memory::with(|memory| memory.frame_address(frame))
            {
                // SAFETY: the frame is this CPU's alone.
                unsafe {
                    (at as *mut u64).write_volatile(this << 32 | round);
                    core::hint::spin_loop();
                    assert_eq!((at as *mut u64).read_volatile(), this << 32 | round);
                }
                // SAFETY: it was taken above, and nothing refers to it.
                let freed = memory::with(|memory| unsafe { memory.frames_mut() }.free_frame(frame));
                assert!(freed.is_some_and(|freed| freed.is_ok()));
            }
            assert_eq!(
                numbers.iter().sum::<u64>(),
                numbers.len() as u64 * (numbers.len() as u64).saturating_sub(1) / 2
            );
            SUM.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Two pages of the kernel's window.
    const PAGES: VirtRange =
        match VirtRange::from_bounds(0xFFFF_007F_8000_0000, 0xFFFF_007F_8000_0000 + 2 * PAGE) {
            Some(range) => range,
            None => panic!("a range of the high half"),
        };

    static FAULTS: AtomicU64 = AtomicU64::new(0);

    struct StepOver;

    impl FaultHook for StepOver {
        fn resolve(&self, _: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
            FAULTS.fetch_add(1, Ordering::Release);
            // SAFETY: the load is stepped over; its register keeps what it had.
            unsafe { frame.get_mut().elr += 4 };
            Resolution::Resolved
        }
    }

    static STEP_OVER: StepOver = StepOver;
    static ROUND: AtomicU64 = AtomicU64::new(0);
    const UNMAPPED: u64 = 200;

    /// Maps and unmaps a page while another CPU reads it: every read after the page is gone faults there.
    fn unmapped(info: &Handoff, mpidr: u64) -> bool {
        assert!(vectors::add_hook(Interest::Address(PAGES), &STEP_OVER));
        let started = cpus::start(info, mpidr, || {
            for round in 1..=UNMAPPED {
                // Mapped: no fault, twice, so that the TLB has it.
                while ROUND.load(Ordering::Acquire) != 4 * round {}
                let before = FAULTS.load(Ordering::Relaxed);
                touch();
                touch();
                assert_eq!(FAULTS.load(Ordering::Relaxed), before, "a mapped page faults");
                ROUND.store(4 * round + 1, Ordering::Release);
                while ROUND.load(Ordering::Acquire) != 4 * round + 2 {}
                touch();
                assert_eq!(FAULTS.load(Ordering::Relaxed), before + 1, "an unmapped page is still there");
                ROUND.store(4 * round + 3, Ordering::Release);
            }
        });
        if started.is_err() {
            return false;
        }
        for round in 1..=UNMAPPED {
            memory::with(|memory| memory.populate(PAGES)).unwrap_or(Ok(())).expect("there are frames");
            ROUND.store(4 * round, Ordering::Release);
            wait("the reader", || ROUND.load(Ordering::Acquire) == 4 * round + 1);
            // SAFETY: nobody relies on what lies there.
            memory::with(|memory| unsafe { memory.clear(PAGES) }).unwrap_or(Ok(())).expect("it was mapped");
            ROUND.store(4 * round + 2, Ordering::Release);
            wait("the reader", || ROUND.load(Ordering::Acquire) == 4 * round + 3);
        }
        FAULTS.load(Ordering::Relaxed) == UNMAPPED
    }

    fn touch() {
        // SAFETY: the load reads zeros, or faults and is stepped over.
        unsafe {
            core::arch::asm!("ldr {0}, [{0}]", inout(reg) PAGES.start().get() => _, options(nostack, readonly))
        };
    }

    /// Another CPU reads what is not there.
    fn fault(info: &Handoff, mpidr: u64) -> ! {
        let started = cpus::start(info, mpidr, || {
            // SAFETY: it faults.
            unsafe { (0xFFFF_007F_9000_0000 as *const u64).read_volatile() };
        });
        println!("cpus: {:?}", started.map_err(|error: CpuError| error.code()));
        wait("the fault", || false);
        ending::finish(Verdict::Bad(3))
    }

    fn wait(what: &str, done: impl Fn() -> bool) {
        for _ in 0..400_000_000u64 {
            if done() {
                return;
            }
            core::hint::spin_loop();
        }
        println!("cpus: waited in vain for {what}");
        ending::finish(Verdict::Bad(2))
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}\n{}", cpu::Place);
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel cpus boots it");
}
