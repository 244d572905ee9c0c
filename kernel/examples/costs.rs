//! What a kernel feels of its memory: a page mapped, a fault resolved, EL0 and back, another space.
//!
//! With QEMU's `-icount shift=0` an instruction takes one nanosecond of the machine's time, so the figures are
//! instructions: `scripts/bench.sh kernel` has them. Otherwise they are nanoseconds. Each is the mean of many.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod costs {
    use alloc::vec::Vec;
    use core::arch::{asm, global_asm};

    use aarch64_cpu::asm::barrier;
    use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};
    use kernel::address_space::{Block, User, UserSpace};
    use kernel::faults::{
        DemandZero, ExceptionFrame, Fault, FaultHook, Interest, Interrupted, Resolution, ZeroPages,
    };
    use kernel::machine::memory::{KernelHeap, Memory};
    use kernel::machine::{console, ending, memory, user, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, PageSize, VirtAddr, VirtRange};
    use shared_abi::entry::Handoff;
    use shared_abi::rights::Rights;
    use shared_abi::syndrome::{Cause, Syndrome};
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    // A program that comes back at once, wherever it lies.
    global_asm!(
        ".section .rodata.programs, \"a\"",
        ".balign 4",
        ".global program",
        "program: svc #1",
        "b program",
    );

    unsafe extern "C" {
        static program: [u8; 8];
    }

    /// As many of each; the pages are within one table of level 3.
    const COUNT: u64 = 500;

    /// Where a user space has its program, and a page whose table serves the pages behind it.
    const CODE: u64 = 0x0000_0001_0000_0000;
    const DATA: u64 = 0x0000_0002_0000_0000;

    /// In the last eighth of the heap window, which is the kernel's and not the heap's: a page whose table serves those
    /// that appear behind it, and one that never does.
    const DEMAND: VirtRange = pages(0xFFFF_007F_0000_0000, COUNT + 1);
    const NOTHING: VirtRange = pages(0xFFFF_007F_4000_0000, 1);

    const fn pages(start: u64, count: u64) -> VirtRange {
        let (Some(start), Some(end)) = (VirtAddr::new(start), VirtAddr::new(start + count * PAGE)) else {
            panic!("not addresses");
        };
        match VirtRange::from_bounds(start.get(), end.get()) {
            Some(range) => range,
            None => panic!("not a range of one half"),
        }
    }

    /// One of the pages behind the first of a range.
    fn behind(range: VirtRange, round: u64) -> VirtRange {
        pages(range.start().get() + (round + 1) * PAGE, 1)
    }

    struct Fresh;

    impl ZeroPages for Fresh {
        fn map_zeroed(&self, page: VirtAddr) -> Result<(), &'static str> {
            let range = VirtRange::new(page, PAGE).ok_or("the page leaves the address space")?;
            memory::try_with(|memory| memory.populate(range))
                .ok_or("the memory is in use")?
                .map_err(|_| "no frame is free")
        }
    }

    static FRESH: DemandZero<Fresh> = DemandZero::new(DEMAND, Fresh);

    /// Goes on behind the instruction.
    struct StepOver;

    impl FaultHook for StepOver {
        fn resolve(&self, _: &Fault, interrupted: &mut Interrupted<'_>) -> Resolution {
            // SAFETY: the load behind which it goes on is `touch`'s, whose result nobody looks at.
            unsafe { interrupted.get_mut() }.elr += 4;
            Resolution::Resolved
        }
    }

    static STEP_OVER: StepOver = StepOver;

    /// What went wrong, with the code of the verdict.
    type Outcome<T> = Result<T, (&'static str, u32)>;

    fn locked<T>(action: impl FnOnce(&mut Memory) -> T) -> Outcome<T> {
        memory::with(action).ok_or(("the memory is not started", 2))
    }

    /// A space with the program, and the table for `DATA` with its first page.
    fn space(memory: &mut Memory) -> Outcome<UserSpace> {
        let failed = |_| ("a space was not made", 3);
        let mut space = memory.new_space().map_err(failed)?;
        let with = &mut memory.resources();
        for start in [CODE, DATA] {
            space.populate(with, pages(start, 1), Rights::ReadWrite, PageSize::Size4K).map_err(failed)?;
        }
        // SAFETY: the program lies in read-only data.
        let code = unsafe { &program };
        space.write(with, pages(CODE, 1).start(), code).map_err(failed)?;
        space.protect(with, pages(CODE, 1), Rights::ReadExecute).map_err(failed)?;
        Ok(space)
    }

    /// Nanoseconds of the machine's time for each of `COUNT`, in the mean.
    fn mean(mut action: impl FnMut(u64) -> Outcome<()>) -> Outcome<u64> {
        let before = counter();
        for round in 0..COUNT {
            action(round)?;
        }
        let ticks = counter() - before;
        Ok(ticks.saturating_mul(1_000_000_000) / CNTFRQ_EL0.get().max(1) / COUNT)
    }

    fn counter() -> u64 {
        barrier::isb(barrier::SY);
        CNTVCT_EL0.get()
    }

    /// Reads a word, or whatever the fault's hook leaves.
    fn touch(range: VirtRange) {
        // SAFETY: reads a page of `DEMAND`, or `NOTHING`, whose hook goes on behind the load.
        unsafe { asm!("ldr {}, [{}]", out(reg) _, in(reg) range.start().get(), options(nostack)) };
    }

    /// Pages of a user space, in a table that is there.
    fn pages_of(memory: &mut Memory, space: &mut UserSpace, mut blocks: Vec<Block<User>>) -> Outcome<()> {
        let failed = |_| ("a page was not mapped", 4);
        let data = pages(DATA, 1);
        let with = &mut memory.resources();
        say(
            "page of a user space: taken, zeroed and mapped",
            mean(|round| {
                space.populate(with, behind(data, round), Rights::ReadWrite, PageSize::Size4K).map_err(failed)
            })?,
        );
        say(
            "page of a user space: unmapped everywhere and freed",
            mean(|round| space.clear(with, behind(data, round)).map_err(failed))?,
        );
        for _ in 0..COUNT {
            // SAFETY: taking frames changes nobody else's.
            let block = Block::allocate(unsafe { memory.frames_mut() }, PageSize::Size4K);
            blocks.push(block.map_err(|_| ("no frame is free", 4))?);
        }
        let with = &mut memory.resources();
        say(
            "page of a user space: mapped",
            mean(|round| {
                let block = blocks.pop().ok_or(("too few blocks", 4))?;
                let mapped = space.map(with, behind(data, round).start(), block, Rights::ReadWrite);
                mapped.map_err(|_| ("a block was not mapped", 4))
            })?,
        );
        Ok(())
    }

    /// Runs the program in the space that was entered, until its call.
    fn call() -> Outcome<()> {
        let frame = user::run(&ExceptionFrame { elr: CODE, ..ExceptionFrame::ZERO });
        match Syndrome::new(frame.esr).cause() {
            Cause::SupervisorCall(1) => Ok(()),
            _ => Err(("the program did not come back by its call", 5)),
        }
    }

    fn measure() -> Outcome<()> {
        let mut spaces = [locked(space)??, locked(space)??];
        // The heap would wait for the memory that is locked below.
        let blocks = Vec::with_capacity(COUNT as usize);
        locked(|memory| pages_of(memory, &mut spaces[0], blocks))??;

        say(
            "fault of the kernel, stepped over by a hook",
            mean(|_| {
                touch(NOTHING);
                Ok(())
            })?,
        );
        touch(DEMAND);
        say(
            "fault of the kernel, a zeroed page mapped by a hook",
            mean(|round| {
                touch(behind(DEMAND, round));
                Ok(())
            })?,
        );

        let mut enter = |index: u64| {
            let space = &mut spaces[index as usize % 2];
            locked(|memory| memory.enter(space))?.map_err(|_| ("a space cannot be entered", 6))
        };
        enter(0)?;
        say("EL0 and back by a call", mean(|_| call())?);
        say("another space", mean(&mut enter)?);
        say(
            "another space, EL0 and back by a call",
            mean(|round| {
                enter(round)?;
                call()
            })?,
        );
        locked(Memory::leave)
    }

    fn say(what: &str, instructions: u64) {
        println!("cost {instructions:>8}  {what}");
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("costs: {error}");
            ending::finish(Verdict::Bad(1));
        }
        let hooks = vectors::add_hook(Interest::Address(DEMAND), &FRESH)
            && vectors::add_hook(Interest::Address(NOTHING), &STEP_OVER);
        let ended = match locked(user::start) {
            Ok(true) if hooks => measure(),
            Ok(_) => Err(("no room for a hook", 2)),
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => ending::finish(Verdict::Good),
            Err((what, code)) => {
                println!("costs: {what}");
                ending::finish(Verdict::Bad(code))
            }
        }
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel costs -- -icount shift=0 boots it");
}
