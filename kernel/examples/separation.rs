//! Two user spaces with different memory at the same address: neither sees the other, nor the kernel.
//!
//! A few instructions run at EL0 in each. An `svc` brings them back, or the fault that was to happen: each attempt
//! says beforehand what must come of it, down to the syndrome's kind. Every line that this kernel prints is a claim
//! that it has checked; what does not hold ends it with a verdict of its own.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod separation {
    use alloc::vec::Vec;
    use core::arch::global_asm;

    use handoff_bare::translate::{Access, translate};
    use kernel::address_space::{SpaceError, UserSpace};
    use kernel::faults::ExceptionFrame;
    use kernel::machine::memory::{KernelHeap, Memory};
    use kernel::machine::{console, ending, memory, user, vectors};
    use kernel::println;
    use shared_abi::addr::{PAGE, PageSize, VirtAddr, VirtRange};
    use shared_abi::boot_info::BootInfo;
    use shared_abi::entry::Handoff;
    use shared_abi::rights::Rights;
    use shared_abi::syndrome::{self, Cause, FaultKind, Syndrome};
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    // The programs. They lie in read-only data and are copied to user memory; wherever that is, they run.
    global_asm!(
        ".section .rodata.programs, \"a\"",
        ".balign 4",
        ".global programs, program_load, program_store, program_jump, program_add, program_counter, program_channel, programs_end",
        "programs:",
        // x1 = the word at x0
        "program_load: ldr x1, [x0]",
        "svc #1",
        "program_store: str x1, [x0]",
        "svc #2",
        "program_jump: br x0",
        "program_counter: mrs x1, pmccntr_el0",
        "svc #4",
        "program_channel: mrs x1, mdccsr_el0",
        "svc #4",
        // Adds x1 to the word at x0, x2 times.
        "program_add: ldr x3, [x0]",
        "add x3, x3, x1",
        "str x3, [x0]",
        "subs x2, x2, #1",
        "b.ne program_add",
        "svc #3",
        "programs_end:",
    );

    unsafe extern "C" {
        static programs: u8;
        static program_load: u8;
        static program_store: u8;
        static program_jump: u8;
        static program_add: u8;
        static program_counter: u8;
        static program_channel: u8;
        static programs_end: u8;
    }

    /// The same addresses in every space: far up in the low half, at a table's border.
    const CODE: u64 = 0x0000_7FFF_FFFF_F000;
    const DATA: u64 = CODE + PAGE;
    const CONSTANT: u64 = DATA + PAGE;
    /// One page that only the first space has, and one that only the second has.
    const ONLY: [u64; 2] = [0x0000_0001_0000_0000, 0x0000_0002_0000_0000];
    const MARKS: [u64; 2] = [0xAAAA_0000_0000_0000, 0xBBBB_0000_0000_0000];

    /// More than there are ASIDs.
    const MANY: u64 = 300;

    fn expect(holds: bool, what: &str, found: u64, code: u32) {
        if !holds {
            println!("separation: does not hold: {what}; found {found:#x}");
            ending::finish(Verdict::Bad(code));
        }
    }

    fn good<T>(result: Result<T, SpaceError>, what: &str) -> T {
        match result {
            Ok(value) => value,
            Err(error) => {
                println!("separation: {what}: error E{:04}: {error}", error.code());
                ending::finish(Verdict::Bad(2))
            }
        }
    }

    fn at(address: u64) -> VirtAddr {
        VirtAddr::new(address).unwrap_or(VirtAddr::HIGH_HALF)
    }

    fn page(address: u64) -> VirtRange {
        VirtRange::new(at(address), PAGE).unwrap_or(VirtRange::EMPTY)
    }

    fn locked<T>(action: impl FnOnce(&mut Memory) -> T) -> T {
        match memory::with(action) {
            Some(value) => value,
            None => ending::finish(Verdict::Bad(2)),
        }
    }

    /// Gives the space a zeroed page.
    fn give(memory: &mut Memory, space: &mut UserSpace, address: u64, rights: Rights) {
        let given = space.populate(&mut memory.resources(), page(address), rights, PageSize::Size4K);
        good(given, "a page was not given");
    }

    fn write(memory: &mut Memory, space: &mut UserSpace, address: u64, word: u64) {
        let written = space.write(&mut memory.resources(), at(address), &word.to_le_bytes());
        good(written, "a space's memory was not written");
    }

    fn read(memory: &mut Memory, space: &mut UserSpace, address: u64) -> u64 {
        let mut word = [0; 8];
        good(space.read(&mut memory.resources(), at(address), &mut word), "a space's memory was not read");
        u64::from_le_bytes(word)
    }

    /// A space with the programs, a page of data that begins with `mark`, and a read-only page.
    fn space(memory: &mut Memory, mark: u64) -> UserSpace {
        let mut space = good(memory.new_space(), "no space");
        let start = &raw const programs;
        // SAFETY: the programs are in read-only data, from the first label to the last.
        let code = unsafe {
            core::slice::from_raw_parts(start, (&raw const programs_end).offset_from(start) as usize)
        };
        give(memory, &mut space, CODE, Rights::ReadWrite);
        good(space.write(&mut memory.resources(), at(CODE), code), "the programs were not copied");
        let executable = space.protect(&mut memory.resources(), page(CODE), Rights::ReadExecute);
        good(executable, "the programs are not executable");
        give(memory, &mut space, DATA, Rights::ReadWrite);
        give(memory, &mut space, CONSTANT, Rights::ReadOnly);
        write(memory, &mut space, DATA, mark);
        space
    }

    /// Runs a program with x0 to x2 in the space that was entered.
    fn run(program: *const u8, arguments: [u64; 3]) -> ExceptionFrame {
        let mut registers = ExceptionFrame::ZERO;
        registers.general[..3].copy_from_slice(&arguments);
        registers.elr = CODE + program as u64 - &raw const programs as u64;
        user::run(&registers)
    }

    fn returned(frame: &ExceptionFrame, call: u16) -> bool {
        frame.is_from_user()
            && Syndrome::new(frame.esr).cause() == Cause::SupervisorCall(call)
            && frame.vector == 8
    }

    fn load(address: u64) -> u64 {
        let frame = run(&raw const program_load, [address, 0, 0]);
        expect(returned(&frame, 1), "a user load came back as something else", frame.esr, 3);
        frame.general[1]
    }

    /// Runs a program that must fault with these words at `address`.
    fn refused(program: *const u8, address: u64, kind: FaultKind, access: Option<syndrome::Access>) {
        let frame = run(program, [address, 0xBAD, 0]);
        let fault = frame.fault();
        expect(fault.from_user, "it was no fault of EL0", frame.esr, 4);
        expect(fault.address == Some(address), "it faulted elsewhere", frame.far, 5);
        let cause = fault.syndrome.map(Syndrome::cause);
        let holds = match (cause, access) {
            (Some(Cause::DataAbort(abort, found)), Some(access)) => {
                abort.fault.kind == kind && found == access
            }
            (Some(Cause::InstructionAbort(abort)), None) => abort.fault.kind == kind,
            _ => false,
        };
        expect(holds, "it was refused in another way", frame.esr, 6);
    }

    /// Whether a program that reads a system register is kept from it.
    fn is_kept(program: *const u8) -> bool {
        const SYSTEM_REGISTER: u8 = 0x18;
        let frame = run(program, [0; 3]);
        frame.is_from_user() && Syndrome::new(frame.esr).class() == SYSTEM_REGISTER
    }

    fn load_refused(address: u64, kind: FaultKind) {
        refused(&raw const program_load, address, kind, Some(syndrome::Access::Read));
    }

    fn store_refused(address: u64, kind: FaultKind) {
        refused(&raw const program_store, address, kind, Some(syndrome::Access::Write));
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        vectors::install(&info);
        if let Err(error) = memory::start(&info, &HEAP) {
            println!("separation: {error}");
            ending::finish(Verdict::Bad(1));
        }
        // As firmware may leave it: EL0 has the performance monitors (PMUSERENR_EL0.EN).
        // SAFETY: every processor that QEMU gives this kernel has them; no program runs yet.
        unsafe { core::arch::asm!("msr pmuserenr_el0, {}", in(reg) 1_u64, options(nomem, nostack)) };
        expect(locked(user::start), "no room for a hook", 0, 1);
        let mut many = Vec::with_capacity(MANY as usize);
        let before = locked(|memory| memory.statistics().allocated);

        let mut spaces = locked(|memory| MARKS.map(|mark| space(memory, mark)));
        for (space, address) in spaces.iter_mut().zip(ONLY) {
            locked(|memory| give(memory, space, address, Rights::ReadWrite));
        }
        let frames = spaces.each_mut().map(|space| {
            locked(|memory| good(space.translate(&mut memory.resources(), at(DATA)), "no translation").phys)
        });
        expect(frames[0] != frames[1], "the two share a frame", frames[0].get(), 7);
        descriptors(&spaces);
        same_address(&mut spaces);
        for (index, space) in spaces.iter_mut().enumerate() {
            good(locked(|memory| memory.enter(space)), "a space cannot be entered");
            load(ONLY[index]);
            load_refused(ONLY[1 - index], FaultKind::Translation);
            the_kernel_is_out_of_reach(&info, frames[index].get());
            rights();
            expect(is_kept(&raw const program_counter), "EL0 has the cycle counter", 0, 22);
        }
        println!("separation: neither has the cycle counter");
        // QEMU 7.2 keeps MDSCR_EL1.TDCC and does not trap by it; a newer one does.
        if is_kept(&raw const program_channel) {
            println!("separation: nor the debug channel");
        } else {
            const TDCC: u64 = 1 << 12;
            let mdscr: u64;
            // SAFETY: reading MDSCR_EL1 has no effect.
            unsafe { core::arch::asm!("mrs {}, mdscr_el1", out(reg) mdscr, options(nomem, nostack)) };
            expect(mdscr & TDCC != 0, "EL0 has the debug channel", mdscr, 23);
            println!(
                "separation: the debug channel is closed, and the machine lets EL0 have it all the same"
            );
        }
        println!(
            "separation: neither reaches the other's page, its constants by a store, its data by a jump"
        );
        under_way(&mut spaces[1]);
        locked(Memory::leave);
        nothing_is_left();
        rollover(&mut many);
        for space in spaces {
            destroy(space);
        }
        let statistics = locked(|memory| memory.statistics());
        expect(statistics.allocated == before, "frames are lost", statistics.allocated, 20);
        let sum = statistics.free + statistics.allocated + statistics.reserved;
        expect(sum == statistics.total, "the frames do not add up", sum, 21);
        println!("separation: {} spaces destroyed, every frame is back", MANY + 2);
        ending::finish(Verdict::Good)
    }

    fn destroy(space: UserSpace) {
        let destroyed = locked(|memory| space.destroy(&mut memory.resources()));
        good(destroyed.map_err(|(_, error)| error), "a space was not destroyed");
    }

    /// Every leaf is a user's: nG, so that the TLB keeps spaces apart, AP[1], and never executable by the kernel.
    fn descriptors(spaces: &[UserSpace; 2]) {
        for space in spaces {
            locked(|memory| {
                // SAFETY: the tables are only read.
                space.for_each(unsafe { memory.frames_mut() }, |run| {
                    let bits = run.attributes.bits();
                    let is_users = bits >> 11 & 1 == 1 && bits >> 6 & 1 == 1 && bits >> 53 & 1 == 1;
                    expect(is_users, "a leaf of a user space is not a user's", bits, 8);
                });
            });
        }
    }

    /// Both at work in turn, at one address: each finds what it left, and nothing else.
    fn same_address(spaces: &mut [UserSpace; 2]) {
        const ROUNDS: u64 = 100;
        for round in 0..ROUNDS {
            for (index, space) in spaces.iter_mut().enumerate() {
                good(locked(|memory| memory.enter(space)), "a space cannot be entered");
                let step = index as u64 + 1;
                let word = load(DATA);
                expect(word == MARKS[index] + round * step * 10, "a space lost its word", word, 9);
                let frame = run(&raw const program_add, [DATA, step, 10]);
                expect(returned(&frame, 3), "a program did not come back", frame.esr, 10);
            }
        }
        locked(Memory::leave);
        for (index, space) in spaces.iter_mut().enumerate() {
            let word = locked(|memory| read(memory, space, DATA));
            let step = index as u64 + 1;
            expect(word == MARKS[index] + ROUNDS * step * 10, "the kernel sees another word", word, 11);
        }
        println!(
            "separation: {DATA:#018x} is {:#x} in one space and {:#x} in the other after {ROUNDS} turns",
            MARKS[0] + ROUNDS * 10,
            MARKS[1] + ROUNDS * 20
        );
    }

    /// Neither half of the kernel: its text, data, stack, `BootInfo`, console, nor the space's own memory as the
    /// kernel sees it. With E0PD nothing is walked for it, so the fault does not tell what is there.
    fn the_kernel_is_out_of_reach(info: &BootInfo<'_>, own: u64) {
        // SAFETY: reading an identification register changes nothing.
        let id: u64 = unsafe {
            let id;
            core::arch::asm!("mrs {}, S3_0_C0_C7_2", out(reg) id, options(nomem, nostack));
            id
        };
        let mapped = if id >> 60 != 0 { FaultKind::Translation } else { FaultKind::Permission };
        let text = kmain as *const () as u64;
        let places = [
            text,
            &raw const HEAP as u64,
            info.boot_stack().virt_top - 8,
            info.bytes().as_ptr() as u64,
            info.console().map_or(text, |console| console.virt_base),
            info.direct_map().virt_offset.wrapping_add(own),
        ];
        for place in places {
            expect(translate(at(place), Access::Read).is_some(), "the kernel has lost a page", place, 12);
            load_refused(place & !7, mapped);
            store_refused(place & !7, mapped);
            refused(&raw const program_jump, place & !7, mapped, None);
        }
        load_refused(info.boot_stack().virt_guard, FaultKind::Translation);
        println!("separation: {} places of the kernel are out of reach, {mapped:?} faults", places.len());
    }

    /// What each has, by its rights alone.
    fn rights() {
        load(CONSTANT);
        store_refused(CONSTANT, FaultKind::Permission);
        load(CODE);
        store_refused(CODE, FaultKind::Permission);
        refused(&raw const program_jump, DATA, FaultKind::Permission, None);
        load_refused(8, FaultKind::Translation);
    }

    /// Edits of the space that runs: the TLB has what was there, and must have been told.
    fn under_way(space: &mut UserSpace) {
        expect(load(DATA) != 0, "there is nothing to lose", 0, 13);
        let edit = |space: &mut UserSpace, rights| {
            locked(|memory| space.protect(&mut memory.resources(), page(DATA), rights))
        };
        good(edit(space, Rights::ReadOnly), "no page was protected");
        store_refused(DATA, FaultKind::Permission);
        good(edit(space, Rights::ReadWrite), "no page was protected");
        let frame = run(&raw const program_store, [DATA, 7, 0]);
        expect(returned(&frame, 2) && load(DATA) == 7, "no page is writable again", frame.esr, 14);
        good(locked(|memory| space.clear(&mut memory.resources(), page(DATA))), "no page was taken");
        load_refused(DATA, FaultKind::Translation);
        locked(|memory| give(memory, space, DATA, Rights::ReadWrite));
        let word = load(DATA);
        expect(word == 0, "new memory is not zero", word, 15);
        println!(
            "separation: a page of the running space was protected, taken, and given anew: each time seen"
        );
    }

    /// Outside of spaces the low half is empty, for EL1 and for EL0.
    fn nothing_is_left() {
        for address in [0, CODE, DATA, CONSTANT, ONLY[0], ONLY[1]] {
            expect(translate(at(address), Access::Read).is_none(), "user memory is left", address, 16);
        }
        let frame = run(&raw const program_load, [DATA, 0, 0]);
        expect(frame.fault().address == Some(CODE), "a program ran in no space", frame.esr, 17);
        println!("separation: without a space the low half is empty");
    }

    /// More spaces than ASIDs, each run twice: a generation ends in between.
    fn rollover(many: &mut Vec<UserSpace>) {
        for index in 0..MANY {
            many.push(locked(|memory| space(memory, index << 32)));
        }
        for turn in 0..2 {
            for (space, index) in many.iter_mut().zip(0..) {
                good(locked(|memory| memory.enter(space)), "a space cannot be entered");
                let word = load(DATA);
                expect(word == index << 32 | turn, "a space has another's word", word, 18);
                let frame = run(&raw const program_add, [DATA, 1, 1]);
                expect(returned(&frame, 3), "a program did not come back", frame.esr, 19);
            }
        }
        locked(Memory::leave);
        println!("separation: {MANY} spaces shared 255 ASIDs and kept their words");
        many.drain(..).for_each(destroy);
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel separation boots it");
}
