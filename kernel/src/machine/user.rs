//! EL0: TTBR0 in use, switching between user spaces, and running code there until an exception brings it back.
//!
//! ```text
//! start ─► enter(space) ─► run(registers) ─eret─► EL0 … SVC or fault ─► vectors ─► hook ─► run returns the frame
//!              ▲                                                                             │
//!              └──────────── another space, or leave(): TTBR0 is the empty table ◄───────────┘
//! ```
//!
//! Interrupts stay masked at EL0, as everywhere in this kernel. Floating-point registers are not switched: no code
//! of this kernel touches them, so a kernel with programs that do saves them with the rest.

use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::*;
use handoff_bare::return_from_exception;
use shared_abi::addr::VirtAddr;
use shared_abi::contract::pstate;
use shared_abi::contract::registers::TCR_EPD0;

use super::memory::Memory;
use super::{cpu, vectors};
use crate::address_space::{Flush, SpaceError, Tlb, Ttbr0, UserSpace};
use crate::faults::{ExceptionFrame, Fault, FaultHook, Interest, Interrupted, Resolution};

/// TCR_EL1.E0PD1: what EL0 tries of the high half faults before any walk.
const E0PD1: u64 = 1 << 56;

/// A data abort of EL1's own.
const DATA_ABORT: u8 = 0x25;

/// What [`run`] leaves behind and what comes back.
struct UserEntry {
    /// x19 to x30 and SP, as they are when `run_user` returns.
    kernel: [u64; 13],
    /// The registers at the exception.
    exit: ExceptionFrame,
}

/// Of the [`run`] that waits for an exception, CPU by CPU; null while none does.
static USER_ENTRY: [AtomicPtr<UserEntry>; cpu::MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; cpu::MOST];

/// PSTATE.PAN where the CPU has it.
static PAN: [AtomicU64; cpu::MOST] = [const { AtomicU64::new(0) }; cpu::MOST];

/// Whether user spaces are in use.
static STARTED: AtomicBool = AtomicBool::new(false);

/// This CPU's of what each has.
fn of_this<T>(all: &[T; cpu::MOST]) -> &T {
    &all[cpu::number() % cpu::MOST]
}

/// Every exception from EL0 ends in [`run`]'s return.
struct ReturnToKernel;

impl FaultHook for ReturnToKernel {
    fn resolve(&self, _: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
        let waiting = of_this(&USER_ENTRY).swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: `run`, which set it, waits on this CPU for this exception and does not touch it meanwhile.
        let Some(user_entry) = (unsafe { waiting.as_mut() }) else { return Resolution::NotMine };
        user_entry.exit = **frame;
        // SAFETY: EL0 is not resumed but left: `run_user` stored what its caller resumes with, and returns there.
        let frame = unsafe { frame.get_mut() };
        let [saved @ .., sp] = user_entry.kernel;
        frame.general[19..].copy_from_slice(&saved);
        frame.sp = sp;
        frame.elr = frame.link_register();
        frame.spsr = pstate::EL1H_MASKED | of_this(&PAN).load(Ordering::Relaxed);
        Resolution::Resolved
    }
}

static RETURN_TO_KERNEL: ReturnToKernel = ReturnToKernel;

/// Readies the machine for user spaces: TTBR0 walks on, with the empty table, and what this CPU has to keep EL0
/// and EL1 apart. The vectors are installed; hooks that resolve faults of user memory are added before, since they
/// are to be asked first. `false` if there is no room for two more.
///
/// The table is in place before walks are allowed, and as TLBs may keep what TCR_EL1 said (Arm ARM D8.16.2), they
/// forget it before anything can rely on the new value.
pub fn start(memory: &mut Memory) -> bool {
    let id: u64;
    // ID_AA64MMFR2_EL1, by its encoding.
    // SAFETY: reading an identification register changes nothing.
    unsafe { asm!("mrs {}, S3_0_C0_C7_2", out(reg) id, options(nomem, nostack, preserves_flags)) };
    let e0pd = if id >> 60 != 0 { E0PD1 } else { 0 };
    TTBR0_EL1.set(memory.empty_root.start().get());
    barrier::isb(barrier::SY);
    TCR_EL1.set(TCR_EL1.get() & !TCR_EPD0 | e0pd);
    barrier::isb(barrier::SY);
    memory.tlb.invalidate(&Flush::Everything);
    STARTED.store(true, Ordering::Release);
    keep_apart();
    vectors::add_hook(Interest::User, &RETURN_TO_KERNEL)
        && vectors::add_hook(Interest::Class(DATA_ABORT), &USER_ACCESS_FIXUP)
}

/// Readies a CPU that was started after [`start`], with its TCR_EL1.
pub(super) fn join() {
    if STARTED.load(Ordering::Acquire) {
        keep_apart();
    }
}

/// What keeps EL0 and EL1 apart on this CPU.
fn keep_apart() {
    if ID_AA64MMFR1_EL1.get() >> 20 & 0xF != 0 {
        // SAFETY: `msr pan, #1`; this kernel reaches user memory by the direct map and by LDTR alone.
        unsafe { asm!(".inst 0xd500419f", options(nomem, nostack, preserves_flags)) };
        of_this(&PAN).store(pstate::PAN, Ordering::Relaxed);
    }
    keep_from_user();
}

/// Keeps EL0 from what is not memory, and what reset or firmware may have left open to it: the counters of performance and
/// activity monitors, the debug channel, and the implementation's own registers where EL1 can (FEAT_TIDCP1).
fn keep_from_user() {
    const TDCC: u64 = 1 << 12;
    const TIDCP: u64 = 1 << 63;
    let field = |id: u64, low: u32| id >> low & 0xF;
    if matches!(field(ID_AA64DFR0_EL1.get(), 8), 1..0xF) {
        // PMUSERENR_EL0, which is there with PMUv3.
        // SAFETY: EL0 loses registers that this kernel's programs do not know.
        unsafe { asm!("msr S3_3_C9_C14_0, xzr", options(nomem, nostack, preserves_flags)) };
    }
    if field(ID_AA64PFR0_EL1.get(), 44) != 0 {
        // AMUSERENR_EL0, which is there with activity monitors.
        // SAFETY: as above.
        unsafe { asm!("msr S3_3_C13_C2_3, xzr", options(nomem, nostack, preserves_flags)) };
    }
    MDSCR_EL1.set(MDSCR_EL1.get() | TDCC);
    if field(ID_AA64MMFR1_EL1.get(), 52) != 0 {
        SCTLR_EL1.set(SCTLR_EL1.get() | TIDCP);
    }
    barrier::isb(barrier::SY);
}

impl Memory {
    /// This CPU is in `space` from now on.
    ///
    /// # Errors
    /// Those of [`Asids::activate`](crate::address_space::Asids::activate).
    pub fn enter(&mut self, space: &mut UserSpace) -> Result<(), SpaceError> {
        let ttbr0 = self.asids.activate(cpu::number(), space, &mut self.tlb)?;
        self.set_ttbr0(Some(ttbr0));
        Ok(())
    }

    /// This CPU is in no user space from now on.
    pub fn leave(&mut self) {
        self.set_ttbr0(None);
        self.asids.deactivate(cpu::number());
    }

    /// `None` is the empty table.
    fn set_ttbr0(&self, ttbr0: Option<Ttbr0>) {
        TTBR0_EL1.set(ttbr0.map_or(self.empty_root.start().get(), Ttbr0::get));
        barrier::isb(barrier::SY);
    }
}

/// Runs EL0 code of the space that was entered: `registers` says with which general registers, stack pointer and
/// return address. The frame of the exception that ended it: an `svc`, or a fault.
pub fn run(registers: &ExceptionFrame) -> ExceptionFrame {
    let registers =
        ExceptionFrame { spsr: pstate::EL0T_MASKED | of_this(&PAN).load(Ordering::Relaxed), ..*registers };
    let mut user_entry = UserEntry { kernel: [0; 13], exit: ExceptionFrame::ZERO };
    let waiting = &raw mut user_entry;
    of_this(&USER_ENTRY).store(waiting, Ordering::Relaxed);
    // SAFETY: EL0 changes no memory but its own; `ReturnToKernel` restores what a call preserves, once, and fills in
    // `exit` before.
    unsafe {
        run_user(&registers, &raw mut (*waiting).kernel);
        (*waiting).exit
    }
}

/// The word at `at` as EL0 has it; `None` where EL0 would fault.
pub fn load(at: VirtAddr) -> Option<u64> {
    // SAFETY: an unprivileged load reads what EL0 may read, or faults, and then `UserAccessFixup` has it return.
    let AccessResult { word, done } = unsafe { user_load(at.get()) };
    (done != 0).then_some(word)
}

/// Stores `word` at `at` as EL0 would; `false` where that would fault.
pub fn store(at: VirtAddr, word: u64) -> bool {
    // SAFETY: an unprivileged store changes what EL0 may change, or faults, and then `UserAccessFixup` has it return.
    unsafe { user_store(at.get(), word) }.done != 0
}

/// What `user_load` and `user_store` return.
#[repr(C)]
struct AccessResult {
    word: u64,
    done: u64,
}

/// Lets EL1's own tries of user memory return when they fault.
struct UserAccessFixup;

impl FaultHook for UserAccessFixup {
    fn resolve(&self, fault: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
        let tries = [user_load as *const () as u64, user_store as *const () as u64];
        if fault.from_user || !tries.contains(&fault.at) {
            return Resolution::NotMine;
        }
        // SAFETY: both accesses are leaf functions whose caller expects what the failure returns.
        unsafe { frame.get_mut() }.elr = user_access_failed as *const () as u64;
        Resolution::Resolved
    }
}

static USER_ACCESS_FIXUP: UserAccessFixup = UserAccessFixup;

unsafe extern "C" {
    fn user_load(address: u64) -> AccessResult;
    fn user_store(address: u64, word: u64) -> AccessResult;
    fn user_access_failed();
}

global_asm!(
    r#"
    .section .text.user_access, "ax"
    .global user_load, user_store, user_access_failed
    .type   user_load, %function
user_load:
    ldtr    x0, [x0]
    mov     x1, #1
    ret
    .type   user_store, %function
user_store:
    sttr    x1, [x0]
    mov     x1, #1
    ret
    .type   user_access_failed, %function
user_access_failed:
    mov     x1, #0
    ret
    "#
);

unsafe extern "C" {
    fn run_user(registers: &ExceptionFrame, kernel: *mut [u64; 13]);
}

global_asm!(
    r#"
    .section .text.run_user, "ax"
    .global run_user
    .type   run_user, %function
run_user:
    // What a call preserves, for the hook to restore.
    stp     x19, x20, [x1]
    stp     x21, x22, [x1, #16]
    stp     x23, x24, [x1, #32]
    stp     x25, x26, [x1, #48]
    stp     x27, x28, [x1, #64]
    stp     x29, x30, [x1, #80]
    mov     x2, sp
    str     x2, [x1, #96]
    ldp     x2, x3, [x0, #{sp}]
    ldr     x4, [x0, #{spsr}]
    msr     sp_el0, x2
    msr     elr_el1, x3
    msr     spsr_el1, x4
    "#,
    return_from_exception!(),
    r#"
    .size   run_user, . - run_user
    "#,
    general = const offset_of!(ExceptionFrame, general),
    sp = const offset_of!(ExceptionFrame, sp),
    spsr = const offset_of!(ExceptionFrame, spsr),
);
