//! Memory that appears when it is touched, and faults that the handler cannot or must not resolve.
//!
//! A range without a single page is registered as demand-zero; the fault hook maps zeroed pages as they are touched,
//! and execution resumes at the very instruction. The command line chooses what else: `outside` touches the page
//! behind the range, `execute` jumps into it, `nested` faults inside of a hook. Each of these must end the
//! machine with the kernel's report; without a word on it, the verdict is good.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod demand {
    use core::sync::atomic::{AtomicU64, Ordering};

    use kernel::faults::{DemandZero, Fault, FaultHook, Interest, Interrupted, Resolution, ZeroPages};
    use kernel::machine::memory::KernelHeap;
    use kernel::machine::{console, ending, memory, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, VirtAddr, VirtRange};
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    /// In the last eighth of the heap window, which is the kernel's and not the heap's: looked at below.
    const START: u64 = 0xFFFF_007F_0000_0000;
    const PAGES: u64 = 256;

    /// The demand-zero pages.
    const RANGE: VirtRange = range(START, PAGES * PAGE);

    /// Where a touch makes a hook fault.
    const TRAP: VirtRange = range(START + (PAGES + 16) * PAGE, PAGE);

    const fn range(start: u64, length: u64) -> VirtRange {
        match VirtRange::from_bounds(start, start + length) {
            Some(range) => range,
            None => panic!("not a range of the high half"),
        }
    }

    /// Maps a page, and counts.
    struct Fresh;

    static MAPPED: AtomicU64 = AtomicU64::new(0);

    impl ZeroPages for Fresh {
        fn map_zeroed(&self, page: VirtAddr) -> Result<(), &'static str> {
            let range = VirtRange::new(page, PAGE).ok_or("the page leaves the address space")?;
            MAPPED.fetch_add(1, Ordering::Relaxed);
            memory::try_with(|memory| memory.populate(range))
                .ok_or("the memory is in use")?
                .map_err(|_| "no frame is free")
        }
    }

    static DEMAND: DemandZero<Fresh> = DemandZero::new(RANGE, Fresh);

    /// A hook with a defect.
    struct Broken;

    impl FaultHook for Broken {
        fn resolve(&self, _: &Fault, _: &mut Interrupted<'_>) -> Resolution {
            println!("about to fault in a hook");
            read(8);
            Resolution::Resolved
        }
    }

    static BROKEN: Broken = Broken;

    /// Never inlined, so that a report shows who called it.
    #[inline(never)]
    fn read(address: u64) -> u64 {
        let value;
        // SAFETY: reads a word, or faults, which is what this kernel is about.
        unsafe { core::arch::asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
        value
    }

    fn write(address: u64, value: u64) {
        // SAFETY: inside of the demand-zero range, which is nobody else's.
        unsafe { core::arch::asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
    }

    fn expect(holds: bool, what: &str, code: u32) {
        if !holds {
            println!("demand: {what}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("demand: {error}");
            ending::finish(Verdict::Bad(1));
        }
        let window = memory::with(|memory| memory.window());
        let ours = window.is_some_and(|window| window.covers(range(START, 1 << 24)));
        expect(ours, "the range is not the kernel's", 2);
        expect(vectors::name_region("demand-zero range", RANGE), "no room for a name", 3);
        expect(vectors::add_hook(Interest::Address(RANGE), &DEMAND), "no room for a hook", 3);
        expect(vectors::add_hook(Interest::Address(TRAP), &BROKEN), "no room for a hook", 3);
        touch();
        match info.command_line() {
            "" => ending::finish(Verdict::Good),
            "outside" => {
                println!("about to read behind the range");
                read(RANGE.end());
            }
            "nested" => {
                println!("about to read where the hook is broken");
                read(TRAP.start().get());
            }
            "execute" => {
                println!("about to jump into the range");
                // SAFETY: none: it must fault, and if it does not, that is a bad verdict.
                unsafe { core::arch::asm!("blr {}", in(reg) START, clobber_abi("C")) };
            }
            other => println!("demand: the command line \"{other}\" names nothing"),
        }
        expect(false, "nothing happened", 4);
        ending::finish(Verdict::Bad(4))
    }

    /// Touches every page once, by reads and writes, in an order that jumps.
    fn touch() {
        for step in 0..PAGES {
            let page = step * 83 % PAGES;
            let address = START + page * PAGE + page * 8;
            if page.is_multiple_of(2) {
                expect(read(address) == 0, "a page was not zero", 5);
            }
            write(address, page + 1);
            expect(MAPPED.load(Ordering::Relaxed) == step + 1, "a page was not mapped by its first touch", 6);
        }
        for page in 0..PAGES {
            let start = START + page * PAGE;
            expect(read(start + page * 8) == page + 1, "a page lost what was written", 7);
            let other = (page * 8 + 2048) % PAGE;
            expect(read(start + other) == 0, "a page was not zero", 5);
        }
        expect(MAPPED.load(Ordering::Relaxed) == PAGES, "a page was mapped twice", 6);
        println!("demand: {PAGES} pages were mapped by {PAGES} faults, each zero, each resumed");
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel demand boots it");
}
