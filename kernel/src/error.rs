//! The codes of this library's errors, and why memory of the boot was not taken back.

use shared_abi::error::{ErrorDoc, Explained};
use shared_abi::errors;

use crate::address_space::SpaceError;
use crate::frames::FrameError;
use crate::heap::HeapError;

/// The catalogs of this crate's errors.
pub const ERRORS: &[&[ErrorDoc]] =
    &[FrameError::CATALOG, HeapError::CATALOG, SpaceError::CATALOG, ReclaimError::CATALOG, CpuError::CATALOG];

errors! {
    /// Why memory was not taken back. Nothing has been changed then, unless the tables turned out to be damaged.
    pub enum ReclaimError, found by "whoever takes back what the loader left";

    use Frames(FrameError): "The kind is none that is given back, or was.";
    use Space(SpaceError): "A mapping cannot be changed, or there is no memory for tables.";

    /// What is to be taken back is still used: vectors, stack, a user space.
    951 InUse { what: &'static str = "What is still there." }
        => "the memory cannot be taken back: {what} is still there";
        help "let the kernel leave it first";
        here "let the kernel leave {what} first";
}

errors! {
    /// Why another CPU was not started.
    pub enum CpuError, found by "whoever starts another CPU";

    use Space(SpaceError): "There is no memory for its stack.";

    /// The loader left no routine for other CPUs, or memory is not started.
    961 NoRoutine
        => "other CPUs cannot be started: there is no routine for them, or no memory yet";
        help "ask for it by `Wanted::SECONDARIES` in the note, and start memory first";
    /// The machine has no CPU of this MPIDR.
    962 Unknown { mpidr: u64 = "The one that was asked for." } => "the machine has no CPU {mpidr:#x}";
        help "use the MPIDRs of `BootInfo`'s CPUs";
    /// The CPU runs already, or waits for good after its work.
    963 Runs { mpidr: u64 = "Which CPU." } => "CPU {mpidr:#x} was started already";
        help "wait until it is off; without PSCI a CPU is started once";
    /// More CPUs than there are places for.
    964 TooMany { mpidr: u64 = "Which CPU.", most: usize = "How many there can be." }
        => "there is no place for CPU {mpidr:#x}: at most {most} can be started";
        help "start fewer, or raise `cpu::MOST`";
    /// PSCI refuses CPU_ON.
    965 Refused { mpidr: u64 = "Which CPU.", code: i32 = "PSCI's answer." }
        => "PSCI refuses to switch CPU {mpidr:#x} on: {code}";
        help "look the code up in the PSCI specification; -2 is an MPIDR that there is not";
    /// Nobody says how the CPU is started.
    966 NoMethod { mpidr: u64 = "Which CPU." } => "nothing is known by which CPU {mpidr:#x} is started";
        help "state its enable-method, and for a spin table a release address in RAM, in the device tree";
    /// The CPU was called and did not come.
    967 Silent { mpidr: u64 = "Which CPU.", seconds: u64 = "How long it was waited for." }
        => "CPU {mpidr:#x} does not answer within {seconds} s";
        help "compare its MPIDR and release address in the device tree with the machine";
    /// A CPU came that cannot enter this kernel; it is parked.
    968 Unfit { mpidr: u64 = "Which CPU was asked for.", state: u32 = "The record's state." }
        => "CPU {mpidr:#x} cannot enter: state {state:#x}";
        help "0x80: another CPU came, 0x81: at another exception level than the boot CPU, 0x82: with fewer physical address bits, 0x83: without the 4 KiB granule";
}
