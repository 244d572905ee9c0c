//! Other processors: the loader's resident routine that brings them to the kernel, and the record by which one is asked
//! for.
//!
//! ```text
//! kernel                                             the processor that comes
//! record written, cleaned ─► CPU_ON(mpidr, phys_entry, phys_record)
//!                        or: mailbox, then phys_release or SEV
//!                                                    state 1: arrived, its levels are being opened
//!                                                    state 2: the record is not read any more
//! state polled, each time by `dc civac` ◄────────────virt_entry(argument), on its own stack
//! ```

use core::mem::offset_of;

use super::fault::Fault;
use super::record::{open_number, record};
use crate::addr::{PAGE, PhysAddr, VirtAddr};

record! {
    /// The loader's resident routine that other processors enter. It is there if the kernel's note wanted it.
    Secondaries, 48 bytes {
        /// The routine's first instruction: CPU_ON's entry point, or what `phys_release` takes.
        phys_entry: u64,
        /// The mailbox of processors that are not told their record.
        phys_mailbox: u64,
        /// The same, writable.
        virt_mailbox: u64,
        /// Bytes of a start record, to a multiple of which it is aligned.
        record_size: u32,
        /// Where its status begins, on cache lines of its own.
        status_offset: u32,
        /// Exception levels that a processor may arrive at, bit n for ELn.
        arrival_levels: u32,
        /// 0.
        flags: u32,
        /// 0.
        reserved: u64,
    }
    check |secondaries, _, _| {
        let entry = secondaries.phys_entry;
        let known = PhysAddr::new(entry).is_some() && entry != 0;
        Fault::unless(known && entry.is_multiple_of(4), "phys_entry", entry)?;
        let mailbox = secondaries.phys_mailbox;
        Fault::unless(PhysAddr::new(mailbox).is_some() && mailbox.is_multiple_of(16), "phys_mailbox", mailbox)?;
        let virt = secondaries.virt_mailbox;
        let high = VirtAddr::new(virt).is_some_and(VirtAddr::is_high);
        Fault::unless(high && virt % PAGE == mailbox % PAGE, "virt_mailbox", virt)?;
        let (size, status) = (secondaries.record_size, secondaries.status_offset);
        let large = size.is_power_of_two() && size as usize >= size_of::<StartRecord>();
        Fault::unless(large, "record_size", size as u64)?;
        Fault::unless(status as usize == STATUS_OFFSET, "status_offset", status as u64)?;
        let levels = secondaries.arrival_levels;
        Fault::unless(levels & !0b1110 == 0 && levels != 0, "arrival_levels", levels as u64)
    }
}

/// Where the status begins in a [`StartRecord`]: past any cache line, which has at most 2 KiB (CTR_EL0.CWG).
pub const STATUS_OFFSET: usize = 2048;

/// Set in a mailbox's name beside the affinity, so that no name is 0. MPIDR_EL1 has this bit set as well.
pub const MAILBOX_NAME: u64 = 1 << 31;

/// Where processors look that are not told their record: those of a spin table, and those that came along with the
/// boot processor. The record is written before the name is.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Mailbox {
    /// Whom the record is for: MPIDR_EL1's affinity fields and [`MAILBOX_NAME`]; 0 for nobody.
    pub name: core::sync::atomic::AtomicU64,
    /// Physical address of the record.
    pub phys_record: core::sync::atomic::AtomicU64,
}

/// How one processor is to enter the kernel, and what became of it: in the kernel's memory, cleaned to the point of
/// coherency before the processor is called, untouched until it has entered or is known to be off.
///
/// What is 0 from `phys_root_high` to `vbar` is as the boot processor was entered with it. A root of the kernel's own
/// maps the routine's page as the loader's does; its MAIR_EL1 has attribute 0 as the contract has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Start {
    /// Bytes of this record, [`StartRecord::SIZE`].
    pub size: u32,
    /// 0.
    pub flags: u32,
    /// MPIDR_EL1's affinity fields of the one that is asked for.
    pub mpidr: u64,
    /// Its first instruction in the kernel.
    pub virt_entry: u64,
    /// Its stack pointer there, a multiple of 16.
    pub virt_stack_top: u64,
    /// Its x0 there.
    pub argument: u64,
    /// TTBR1_EL1.
    pub phys_root_high: u64,
    /// TTBR0_EL1.
    pub phys_root_low: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// MAIR_EL1.
    pub mair: u64,
    /// SCTLR_EL1, with M set.
    pub sctlr: u64,
    /// VBAR_EL1.
    pub vbar: u64,
    /// TPIDR_EL1.
    pub tpidr_el1: u64,
}

/// What became of a processor that was asked for, written by itself with its MMU off. All is 0 before it is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StartStatus {
    /// How far it is.
    pub state: StartState,
    /// The exception level that it arrived at.
    pub level: u32,
    /// Its MIDR_EL1.
    pub midr: u64,
    /// The system counter (CNTVCT_EL0) right before it entered the kernel.
    pub ticks: u64,
}

open_number! {
    /// How far a processor is that was asked for.
    StartState {
        /// Nobody came yet.
        NOT_YET = 0, "not there yet";
        /// It is the right one, and its levels are being opened.
        ARRIVED = 1, "arrived";
        /// It enters the kernel, and reads its record no more.
        ENTERED = 2, "entered";
        /// Another processor came. It is parked for good.
        WRONG_MPIDR = 0x80, "another processor";
        /// It came at an exception level that the boot processor was not entered at. It is parked for good.
        WRONG_LEVEL = 0x81, "at another exception level";
        /// It addresses less physical memory than TCR_EL1 says. It is parked for good.
        PHYSICAL_SIZE = 0x82, "with fewer physical address bits";
        /// It has no 4 KiB granule. It is parked for good.
        GRANULE = 0x83, "without the 4 KiB granule";
    }
}

impl StartState {
    /// Whether the processor is parked for good.
    pub const fn is_refused(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// A record as it lies in memory.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct StartRecord {
    /// What is asked for.
    pub start: Start,
    before_status: [u8; STATUS_OFFSET - size_of::<Start>()],
    /// What became of it.
    pub status: StartStatus,
}

impl StartRecord {
    /// Bytes of a record, and its alignment.
    pub const SIZE: u32 = size_of::<Self>() as u32;

    /// A record of what is asked for.
    pub const fn new(start: Start) -> Self {
        let start = Start { size: Self::SIZE, ..start };
        let status = StartStatus { state: StartState::NOT_YET, level: 0, midr: 0, ticks: 0 };
        Self { start, before_status: [0; _], status }
    }
}

const _: () = assert!(offset_of!(StartRecord, status) == STATUS_OFFSET);
const _: () = assert!(size_of::<Start>() == 96 && size_of::<StartStatus>() == 24);
const _: () = assert!(StartRecord::SIZE == 4096 && size_of::<Mailbox>() == 16);
