//! Other CPUs: started by MPIDR with a closure, on a stack with a guard, and switched off when it returns.
//!
//! ```text
//! place: 256 KiB │ guard │ stack, 64 KiB │ guard │ block and fault stack │ start record │ not mapped …
//! ```
//!
//! Each CPU keeps its place and its number. The closure lies at the top of the stack that it runs on. A CPU that does not
//! answer keeps its place for good, since it may still come.

use core::mem::{align_of, size_of};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aarch64_cpu::registers::*;
use handoff_bare::translate::{Access, translate};
use handoff_bare::{barrier, cache, psci};
use shared_abi::addr::{PAGE, VirtAddr, VirtRange};
use shared_abi::boot_info::{
    Conduit, CpuFlags, EnableMethod, MAILBOX_NAME, Mailbox, Secondaries, Start, StartRecord, StartState,
};
use shared_abi::entry::Handoff;

use super::cpu::{self, BLOCK, MOST, PLACE};
use super::{memory, user, vectors};
use crate::error::CpuError;
use crate::lock::Lock;

const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: u32 = 0xC400_0003;
const AFFINITY_INFO: u32 = 0xC400_0004;

/// AFFINITY_INFO's answer for a CPU that is off.
const OFF: i64 = 1;

/// Bytes of a stack.
pub const STACK: u64 = 64 << 10;

/// Most bytes of a closure.
const CLOSURE: usize = 2048;

/// How long a CPU is waited for, in seconds.
pub const PATIENCE: u64 = 3;

/// Where the parts of a place begin.
const STACK_AT: u64 = PAGE;
const BLOCK_AT: u64 = STACK_AT + STACK + PAGE;
const RECORD_AT: u64 = BLOCK_AT + BLOCK as u64;

const _: () = assert!(RECORD_AT + size_of::<StartRecord>() as u64 <= PLACE);

/// Of a CPU: `mpidr` with bit 63 once it has a place, and how far it is.
struct Known {
    mpidr: AtomicU64,
    state: AtomicU64,
}

const HAS_PLACE: u64 = 1 << 63;

/// The states: never started; being started or running, as far as PSCI does not say that it is off; done, and waiting for
/// ever; given up.
const IDLE: u64 = 0;
const RUNS: u64 = 1;
const DONE: u64 = 2;
const LOST: u64 = 3;

/// The conduit's number, for the CPU that switches itself off.
static CONDUIT: AtomicU32 = AtomicU32::new(0);

static KNOWN: [Known; MOST] =
    [const { Known { mpidr: AtomicU64::new(0), state: AtomicU64::new(IDLE) } }; MOST];

/// What starting takes; held while one is started.
static STARTER: Lock<()> = Lock::new(());

/// Starts the CPU of this MPIDR (its affinity fields): it runs `work`, and is switched off when that returns, or waits for
/// ever where there is no PSCI. Returns its number once it has entered the kernel.
///
/// # Errors
/// [`CpuError`], within [`PATIENCE`] seconds.
pub fn start<F: FnOnce() + Send + 'static>(
    handoff: &Handoff,
    mpidr: u64,
    work: F,
) -> Result<usize, CpuError> {
    const { assert!(size_of::<F>() <= CLOSURE && align_of::<F>() <= 16, "the closure captures too much") };
    let secondaries = handoff.secondaries().ok_or(CpuError::NoRoutine)?;
    let cpu = handoff.cpus().find(|cpu| cpu.mpidr == mpidr).ok_or(CpuError::Unknown { mpidr })?;
    let conduit = handoff.platform().psci_conduit;
    let _starter = STARTER.lock();
    CONDUIT.store(conduit.0, Ordering::Relaxed);
    if cpu.flags.contains(CpuFlags::BOOT) || mpidr == cpu::affinity() {
        return Err(CpuError::Runs { mpidr });
    }
    let number = find(mpidr).ok_or(CpuError::TooMany { mpidr, most: MOST })?;
    let known = &KNOWN[number];
    match known.state.load(Ordering::Acquire) {
        IDLE => {}
        LOST => return Err(CpuError::Silent { mpidr, seconds: PATIENCE }),
        RUNS if cpu.enable_method == EnableMethod::PSCI && is_off(conduit, mpidr) => {}
        _ => return Err(CpuError::Runs { mpidr }),
    }
    let place = place(number).ok_or(CpuError::TooMany { mpidr, most: MOST })?;
    if known.mpidr.load(Ordering::Relaxed) & HAS_PLACE == 0 {
        back(place)?;
        known.mpidr.store(mpidr | HAS_PLACE, Ordering::Relaxed);
    }
    let stack_top = place + STACK_AT + STACK;
    let closure = stack_top - CLOSURE as u64;
    // SAFETY: the place is this CPU's and it is off: nobody else uses the stack, the block or the record. The closure is
    // not longer than its room and moves to the CPU that is started, which reads it once.
    let phys_record = unsafe {
        (closure as *mut F).write(work);
        core::ptr::write_bytes((place + BLOCK_AT) as *mut u8, 0, BLOCK);
        cpu::number_block(place + BLOCK_AT, number);
        let record = (place + RECORD_AT) as *mut StartRecord;
        record.write(StartRecord::new(Start {
            mpidr,
            virt_entry: enter::<F> as *const () as u64,
            virt_stack_top: closure & !0xF,
            argument: closure,
            phys_root_high: TTBR1_EL1.get() & ((1 << 48) - 2),
            phys_root_low: memory::with(|memory| memory.empty_root.start().get()).unwrap_or_default(),
            tcr: TCR_EL1.get(),
            mair: MAIR_EL1.get(),
            sctlr: SCTLR_EL1.get(),
            vbar: vectors::table(),
            tpidr_el1: place + BLOCK_AT,
            ..Start::default()
        }));
        VirtAddr::new(place + RECORD_AT).and_then(|record| translate(record, Access::Read))
    };
    let phys_record = phys_record.ok_or(CpuError::NoRoutine)?.get();
    clean(place + RECORD_AT, size_of::<StartRecord>() as u64);
    known.state.store(RUNS, Ordering::Release);
    // SAFETY: the record is as the contract has it, and stays.
    let called = unsafe { call(handoff, &secondaries, cpu.enable_method, &cpu, conduit, phys_record) };
    if let Err(error) = called {
        known.state.store(IDLE, Ordering::Relaxed);
        // SAFETY: it was put there, and no CPU was called that could take it.
        drop(unsafe { (closure as *mut F).read() });
        return Err(error);
    }
    let state = wait_for(place + RECORD_AT);
    if state != StartState::ENTERED {
        known.state.store(LOST, Ordering::Relaxed);
        return Err(match state.is_refused() {
            true => CpuError::Unfit { mpidr, state: state.0 },
            false => CpuError::Silent { mpidr, seconds: PATIENCE },
        });
    }
    Ok(number)
}

/// Whether the CPU of this MPIDR has done its work: it is off, or waits for ever where there is no PSCI.
pub fn is_done(handoff: &Handoff, mpidr: u64) -> bool {
    let known = KNOWN.iter().find(|known| known.mpidr.load(Ordering::Relaxed) == mpidr | HAS_PLACE);
    known.is_some_and(|known| known.state.load(Ordering::Acquire) == DONE)
        || is_off(handoff.platform().psci_conduit, mpidr)
}

/// Whether another CPU runs on the kernel's tables, or waits there after its work.
pub(super) fn some_run() -> bool {
    let conduit = Conduit(CONDUIT.load(Ordering::Relaxed));
    KNOWN.iter().any(|known| {
        let mpidr = known.mpidr.load(Ordering::Relaxed) & !HAS_PLACE;
        known.state.load(Ordering::Acquire) != IDLE && !is_off(conduit, mpidr)
    })
}

/// The number of the CPU, which it keeps: 0 is the boot CPU's.
fn find(mpidr: u64) -> Option<usize> {
    let is_its = |known: &Known| known.mpidr.load(Ordering::Relaxed) == mpidr | HAS_PLACE;
    let is_free = |known: &Known| known.mpidr.load(Ordering::Relaxed) == 0;
    let others = || KNOWN.iter().enumerate().skip(1);
    let found =
        others().find(|(_, known)| is_its(known)).or_else(|| others().find(|(_, known)| is_free(known)));
    found.map(|(number, _)| number)
}

fn place(number: usize) -> Option<u64> {
    let places = memory::with(|memory| memory.places())?;
    let start = places.start().get() + number as u64 * PLACE;
    (start + PLACE <= places.end()).then_some(start)
}

/// Backs a place: stack, block and record.
fn back(place: u64) -> Result<(), CpuError> {
    let range = |at: u64, length: u64| VirtRange::from_bounds(place + at, place + at + length);
    for part in [range(STACK_AT, STACK), range(BLOCK_AT, PLACE_END - BLOCK_AT)] {
        let part = part.unwrap_or(VirtRange::EMPTY);
        memory::with(|memory| memory.back(part)).ok_or(CpuError::NoRoutine)??;
    }
    Ok(())
}

const PLACE_END: u64 = RECORD_AT + size_of::<StartRecord>() as u64;

/// Calls the CPU by its method.
///
/// # Safety
///
/// `phys_record` is a start record that stays.
unsafe fn call(
    handoff: &Handoff,
    secondaries: &Secondaries,
    method: EnableMethod,
    cpu: &shared_abi::boot_info::Cpu,
    conduit: Conduit,
    phys_record: u64,
) -> Result<(), CpuError> {
    let mpidr = cpu.mpidr;
    match method {
        EnableMethod::PSCI => {
            // SAFETY: the loader's routine, which stays, lets the CPU enter as the record says.
            let answer = unsafe { psci::call(conduit, CPU_ON, [mpidr, secondaries.phys_entry, phys_record]) };
            return match answer {
                Some(0) => Ok(()),
                answer => Err(CpuError::Refused { mpidr, code: answer.unwrap_or(-1) as i32 }),
            };
        }
        EnableMethod::SPIN_TABLE | EnableMethod::MAILBOX => {}
        _ => return Err(CpuError::NoMethod { mpidr }),
    }
    // SAFETY: the contract has the mailbox there for good; it is atomics.
    let mailbox = unsafe { &*(secondaries.virt_mailbox as *const Mailbox) };
    mailbox.phys_record.store(phys_record, Ordering::Relaxed);
    clean(secondaries.virt_mailbox, 16);
    mailbox.name.store(mpidr | MAILBOX_NAME, Ordering::Relaxed);
    clean(secondaries.virt_mailbox, 16);
    if method == EnableMethod::SPIN_TABLE {
        let release = shared_abi::addr::PhysAddr::new(cpu.phys_release);
        let release =
            release.and_then(|at| handoff.direct_map().virt(at)).ok_or(CpuError::NoMethod { mpidr })?;
        // SAFETY: the word is the spin table's, which the memory map gives to nobody.
        unsafe { (release.get() as *mut u64).write_volatile(secondaries.phys_entry) };
        clean(release.get(), 8);
    }
    // SAFETY: an event wakes who waits.
    unsafe { core::arch::asm!("sev", options(nomem, nostack, preserves_flags)) };
    Ok(())
}

/// Waits until the CPU has entered or is refused; what the record says then.
fn wait_for(record: u64) -> StartState {
    let status = record + core::mem::offset_of!(StartRecord, status) as u64;
    let start = CNTVCT_EL0.get();
    loop {
        clean(status, 24);
        // SAFETY: the record is mapped; the CPU that is started writes this word.
        let state = unsafe { (status as *const StartState).read_volatile() };
        barrier::isb(barrier::SY);
        let is_late = CNTVCT_EL0.get() - start > PATIENCE * CNTFRQ_EL0.get();
        if state == StartState::ENTERED || state.is_refused() || is_late {
            return state;
        }
    }
}

fn clean(start: u64, length: u64) {
    barrier::dsb(barrier::SY);
    cache::clean_and_invalidate(VirtRange::from_bounds(start, start + length).unwrap_or(VirtRange::EMPTY));
}

fn is_off(conduit: Conduit, mpidr: u64) -> bool {
    // SAFETY: the question changes nothing.
    unsafe { psci::call(conduit, AFFINITY_INFO, [mpidr, 0, 0]) == Some(OFF) }
}

/// Where a CPU enters, on its stack.
extern "C" fn enter<F: FnOnce()>(closure: *mut F) -> ! {
    user::join();
    // SAFETY: `start` put it there for this CPU, which reads it once.
    let work = unsafe { closure.read() };
    work();
    off()
}

/// Switches this CPU off, if it is not the boot CPU: it can be started again by PSCI. Without PSCI it waits for ever.
pub fn off() -> ! {
    let conduit = Conduit(CONDUIT.load(Ordering::Relaxed));
    if let Some(known) = KNOWN.get(cpu::number()).filter(|_| conduit == Conduit::NONE) {
        known.state.store(DONE, Ordering::Release);
    }
    // SAFETY: CPU_OFF touches no memory.
    let _ = unsafe { psci::call(conduit, CPU_OFF, [0; 3]) };
    park()
}

/// Stays here.
fn park() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { core::arch::asm!("wfe", options(nomem, nostack, preserves_flags)) };
    }
}
