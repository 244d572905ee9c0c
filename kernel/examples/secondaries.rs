//! Other processors without a library: each is started by the loader's routine, looks at its registers, and is switched
//! off where that can be, to be started again.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(target_os = "none")]
mod example {
    use core::arch::asm;
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicU64, Ordering};

    use handoff_bare::translate::{Access, translate};
    use handoff_bare::{barrier, cache, psci};
    use shared_abi::addr::{PhysAddr, VirtAddr, VirtRange};
    use shared_abi::boot_info::{
        Conduit, Cpu, CpuFlags, EnableMethod, MAILBOX_NAME, Mailbox, Secondaries, Start, StartRecord,
        StartState,
    };
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    use crate::bare;
    use crate::say;

    shared_abi::entry!(kmain, Note { wanted: Wanted::SLIDE.union(Wanted::SECONDARIES), ..Note::DEFAULT });

    const CPU_OFF: u32 = 0x8400_0002;
    const CPU_ON: u32 = 0xC400_0003;
    const AFFINITY_INFO: u32 = 0xC400_0004;
    const OFF: i64 = 1;

    /// In the record's argument beside the number: switch off after the look.
    const THEN_OFF: u64 = 1 << 32;

    #[repr(C, align(4096))]
    struct Room {
        record: UnsafeCell<StartRecord>,
        stack: UnsafeCell<[u8; 0x2000]>,
    }

    // SAFETY: one processor at a time is started with it, and waited for.
    unsafe impl Sync for Room {}

    const MOST: usize = 64;

    static ROOMS: [Room; MOST] = [const {
        Room {
            record: UnsafeCell::new(StartRecord::new(Start {
                size: 0,
                flags: 0,
                mpidr: 0,
                virt_entry: 0,
                virt_stack_top: 0,
                argument: 0,
                phys_root_high: 0,
                phys_root_low: 0,
                tcr: 0,
                mair: 0,
                sctlr: 0,
                vbar: 0,
                tpidr_el1: 0,
            })),
            stack: UnsafeCell::new([0; 0x2000]),
        }
    }; MOST];

    /// What the processor that was started last found, and its argument and 1 once it has.
    static SEEN: [AtomicU64; REGISTERS.len()] = [const { AtomicU64::new(0) }; REGISTERS.len()];
    static DONE: AtomicU64 = AtomicU64::new(0);

    macro_rules! registers {
        ($($name:literal),* $(,)?) => {
            const REGISTERS: [&str; [$($name),*].len()] = [$($name),*];

            fn look() -> [u64; REGISTERS.len()] {
                [$({
                    let value: u64;
                    // SAFETY: reading these registers changes nothing.
                    unsafe { asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack)) };
                    value
                }),*]
            }
        };
    }

    // As the contract has them at entry, the same on every processor; in front the one that differs.
    registers! {
        "tpidr_el1", "sctlr_el1", "tcr_el1", "mair_el1", "amair_el1", "cpacr_el1", "ttbr0_el1", "ttbr1_el1", "vbar_el1",
        "cntkctl_el1", "cntp_ctl_el0", "cntv_ctl_el0", "mdscr_el1", "contextidr_el1", "sp_el0", "tpidr_el0",
        "tpidrro_el0", "daif", "CurrentEL", "spsel",
    }

    /// Where another processor enters.
    extern "C" fn entered(argument: u64, second: u64, third: u64) -> ! {
        for (place, value) in SEEN.iter().zip(look()) {
            place.store(value, Ordering::Relaxed);
        }
        let is_clean = second == 0 && third == 0;
        DONE.store((argument << 1 | 1) * u64::from(is_clean), Ordering::Release);
        if argument & THEN_OFF != 0 {
            let conduit = if argument >> 33 & 1 != 0 { Conduit::HVC } else { Conduit::SMC };
            // SAFETY: CPU_OFF touches no memory.
            let _ = unsafe { psci::call(conduit, CPU_OFF, [0; 3]) };
        }
        loop {
            core::hint::spin_loop();
        }
    }

    fn kmain(info: Handoff) -> ! {
        bare::start(&info);
        let Some(secondaries) = info.secondaries() else {
            say!("secondaries: the loader has no routine");
            bare::end(Verdict::Bad(1))
        };
        let expected = look();
        let mut failed = 0;
        let others = info.cpus().filter(|cpu| !cpu.flags.contains(CpuFlags::BOOT));
        for (number, cpu) in others.take(MOST).enumerate() {
            let twice = cpu.enable_method == EnableMethod::PSCI;
            for time in 0..if twice { 2 } else { 1 } {
                match start(&info, &secondaries, &cpu, number, twice && time == 0, &expected) {
                    Ok(ticks) => {
                        say!("secondaries: {:#x} entered by {} at {ticks}", cpu.mpidr, cpu.enable_method)
                    }
                    Err(why) => {
                        say!("secondaries: {:#x} by {}: {why}", cpu.mpidr, cpu.enable_method);
                        failed += 1;
                    }
                }
            }
        }
        say!("secondaries: {failed} failed");
        bare::end(if failed == 0 { Verdict::Good } else { Verdict::Bad(2) })
    }

    fn start(
        info: &Handoff,
        secondaries: &Secondaries,
        cpu: &Cpu,
        number: usize,
        then_off: bool,
        expected: &[u64],
    ) -> Result<u64, &'static str> {
        let room = ROOMS.get(number).ok_or("there is no room for it")?;
        let record = room.record.get();
        let phys_record = phys(record as u64).ok_or("the record is not mapped")?;
        let conduit = info.platform().psci_conduit;
        let how = (u64::from(conduit == Conduit::HVC) << 1 | 1) * u64::from(then_off);
        let argument = number as u64 | how << 32;
        let tag = 0xCAFE_0000 + number as u64;
        DONE.store(0, Ordering::Relaxed);
        // SAFETY: nobody reads the record before it is cleaned and the processor called.
        unsafe {
            record.write(StartRecord::new(Start {
                mpidr: cpu.mpidr,
                virt_entry: entered as *const () as u64,
                virt_stack_top: room.stack.get() as u64 + 0x2000,
                argument,
                tpidr_el1: tag,
                ..Start::default()
            }));
        }
        clean(record as u64, size_of::<StartRecord>() as u64);
        if cpu.enable_method == EnableMethod::PSCI {
            // SAFETY: the routine lets the processor run from the record's entry, with the record's stack.
            let answer =
                unsafe { psci::call(conduit, CPU_ON, [cpu.mpidr, secondaries.phys_entry, phys_record]) };
            if answer != Some(0) {
                return Err("PSCI refuses");
            }
        } else {
            let mailbox = secondaries.virt_mailbox as *const Mailbox;
            // SAFETY: the contract maps the mailbox there; it is atomics.
            let mailbox = unsafe { &*mailbox };
            mailbox.phys_record.store(phys_record, Ordering::Relaxed);
            clean(secondaries.virt_mailbox, 16);
            mailbox.name.store(cpu.mpidr | MAILBOX_NAME, Ordering::Relaxed);
            clean(secondaries.virt_mailbox, 16);
            if cpu.enable_method == EnableMethod::SPIN_TABLE {
                let release = PhysAddr::new(cpu.phys_release).and_then(|at| info.direct_map().virt(at));
                let release = release.ok_or("its release address is not mapped")?.get();
                // SAFETY: the word is the spin table's, in memory that the direct map shows.
                unsafe { (release as *mut u64).write_volatile(secondaries.phys_entry) };
                clean(release, 8);
            }
            // SAFETY: an event wakes who waits.
            unsafe { asm!("sev", options(nomem, nostack)) };
        }
        // SAFETY: the status is read as what another processor writes: a word at a time.
        let state = || unsafe {
            let state = &raw const (*record).status.state;
            clean(state as u64, 24);
            state.read_volatile()
        };
        wait(|| state() == StartState::ENTERED || state().is_refused()).ok_or("it does not answer")?;
        if state().is_refused() {
            return Err(state().name().unwrap_or("refused"));
        }
        wait(|| DONE.load(Ordering::Acquire) != 0).ok_or("it does not enter")?;
        if DONE.load(Ordering::Relaxed) != argument << 1 | 1 {
            return Err("x0 to x2 are wrong");
        }
        let found = SEEN.iter().map(|seen| seen.load(Ordering::Relaxed));
        for (index, (found, &expected)) in found.zip(expected).enumerate() {
            let expected = if index == 0 { tag } else { expected };
            if found != expected {
                say!("secondaries: {} is {found:#x}, not {expected:#x}", REGISTERS[index]);
                return Err("a register is not as the boot CPU's");
            }
        }
        if then_off {
            // SAFETY: the question changes nothing.
            let is_off = || unsafe { psci::call(conduit, AFFINITY_INFO, [cpu.mpidr, 0, 0]) } == Some(OFF);
            wait(is_off).ok_or("it does not switch off")?;
        }
        // SAFETY: the processor has written its status for good.
        Ok(unsafe { (&raw const (*record).status.ticks).read_volatile() })
    }

    fn phys(virt: u64) -> Option<u64> {
        translate(VirtAddr::new(virt)?, Access::Read).map(PhysAddr::get)
    }

    fn clean(start: u64, length: u64) {
        barrier::dsb(barrier::SY);
        cache::clean_and_invalidate(
            VirtRange::from_bounds(start, start + length).unwrap_or(VirtRange::EMPTY),
        );
    }

    fn counter() -> u64 {
        let ticks: u64;
        // SAFETY: reading the counter changes nothing.
        unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
        ticks
    }

    /// Until `done`, at most three seconds.
    fn wait(done: impl Fn() -> bool) -> Option<()> {
        let frequency: u64;
        // SAFETY: reading the frequency changes nothing.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack)) };
        let start = counter();
        while !done() {
            if counter() - start > 3 * frequency {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel secondaries boots it");
}
