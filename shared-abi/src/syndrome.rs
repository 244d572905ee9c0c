//! What an exception was: ESR_EL1 and the vector it was taken through, decoded into values and words.
//!
//! The loader's resident reporter and the kernel read faults with this one decoder. It is pure, allocates
//! nothing, and is small: names are one table each, and every value of ESR decodes to something that prints.
//! Source: Arm ARM D24.2.40 (ESR_EL1), D1.4.1 (vector offsets).
//!
//! ```text
//!  63      56 55     32 31    26 25 24                       0
//! ┌──────────┬─────────┬────────┬──┬──────────────────────────┐
//! │   RES0   │  ISS2   │   EC   │IL│           ISS            │
//! └──────────┴─────────┴────────┴──┴──────────────────────────┘
//! ```

use core::fmt;

/// An ESR_ELx value. Any number is one: reserved encodings decode to [`Cause::Other`] and print as such.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syndrome(u64);

/// What the syndrome says happened, with the operands that its class defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An instruction fetch that the memory system refused (EC 0x20, 0x21).
    InstructionAbort(Abort),
    /// A data access that the memory system refused (EC 0x24, 0x25), and what it wanted.
    DataAbort(Abort, Access),
    /// `SVC` (EC 0x15) with its immediate.
    SupervisorCall(u16),
    /// `HVC` (EC 0x16) with its immediate.
    HypervisorCall(u16),
    /// `SMC` (EC 0x17) with its immediate.
    SecureMonitorCall(u16),
    /// `BRK` (EC 0x3C) with its immediate.
    Breakpoint(u16),
    /// A trapped `MSR`, `MRS` or system instruction (EC 0x18).
    SystemRegister(SystemRegister),
    /// A floating-point or SIMD instruction while CPACR_EL1.FPEN traps it (EC 0x07).
    FloatingPointTrap,
    /// An instruction fetch from an address that is not a multiple of 4 (EC 0x22).
    ProgramCounterAlignment,
    /// A load or store based on an SP that is not a multiple of 16 (EC 0x26).
    StackPointerAlignment,
    /// PSTATE.IL was set (EC 0x0E).
    IllegalState,
    /// An asynchronous error (EC 0x2F), and how severe it says it is.
    SystemError(Severity),
    /// An undefined instruction, or a reason that has no class (EC 0x00).
    Unknown,
    /// Any other class; [`Syndrome::class_name`] names the assigned ones.
    Other,
}

/// An abort's common half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Whether it came from a lower exception level: for EL1, from EL0.
    pub from_lower: bool,
    /// What the memory system found.
    pub fault: Fault,
    /// Whether FAR_EL1 holds the address (`FnV` clear).
    pub far_is_valid: bool,
}

/// What a data abort's instruction wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store, or the storing half of an atomic.
    Write,
    /// Cache maintenance or address translation (`CM` set): architecturally reported as a write.
    Maintenance,
}

/// A fault status code (DFSC or IFSC, six bits) taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// The level of the walk at which it happened, −2 to 3; `None` where the kind has none.
    pub level: Option<i8>,
}

/// The kinds of fault that a fault status code distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultKind {
    /// An output address or TTBR beyond the configured size.
    AddressSize,
    /// No valid descriptor.
    Translation,
    /// A valid descriptor whose access flag is clear.
    AccessFlag,
    /// A valid descriptor that does not allow this access.
    Permission,
    /// The bus answered the access with an error.
    External,
    /// The bus answered the read of a descriptor with an error.
    ExternalOnWalk,
    /// A parity or ECC error on the access.
    Parity,
    /// A parity or ECC error on the read of a descriptor.
    ParityOnWalk,
    /// A memory tag mismatch.
    Tag,
    /// An unaligned access where alignment is required.
    Alignment,
    /// A granule protection fault on the access.
    Granule,
    /// A granule protection fault on the read of a descriptor.
    GranuleOnWalk,
    /// Two TLB entries for one address.
    TlbConflict,
    /// Hardware could not update the descriptor atomically.
    UnsupportedUpdate,
    /// An exclusive or atomic access to memory that does not support it.
    UnsupportedAtomic,
    /// A lockdown fault, implementation defined.
    Lockdown,
    /// A code that the architecture has not assigned.
    Reserved,
}

/// In [`FaultKind`] order.
const FAULT_NAMES: [&str; 17] = [
    "address size fault",
    "translation fault",
    "access flag fault",
    "permission fault",
    "external abort",
    "external abort on a table walk",
    "parity error",
    "parity error on a table walk",
    "tag check fault",
    "alignment fault",
    "granule protection fault",
    "granule protection fault on a table walk",
    "TLB conflict",
    "unsupported hardware table update",
    "unsupported exclusive or atomic access",
    "lockdown fault",
    "reserved fault status",
];

/// The register that a trapped system instruction named, as the assembler writes it: `S3_0_C1_C0_2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemRegister {
    /// Op0, op1, CRn, CRm, op2.
    pub encoding: [u8; 5],
    /// The general-purpose register that was to be read or written; 31 is XZR.
    pub transfer: u8,
    /// Whether it was a read (`MRS`).
    pub is_read: bool,
}

/// How bad an SError is (`AET`, valid with FEAT_RAS and DFSC 0x11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The state of the CPU is lost in an unknown extent.
    Uncontainable,
    /// Execution cannot go on from here.
    Unrecoverable,
    /// The error has not been consumed; execution may be restarted here.
    Restartable,
    /// The error has been consumed and can be repaired by software.
    Recoverable,
    /// The hardware repaired it.
    Corrected,
    /// Not said, or in an implementation-defined way (`IDS`).
    Unspecified,
}

/// Names of the exception classes by EC, empty where the architecture has assigned none.
const CLASS_NAMES: [&str; 64] = {
    let mut names = [""; 64];
    let mut at = 0;
    while at < ASSIGNED.len() {
        names[ASSIGNED[at].0 as usize] = ASSIGNED[at].1;
        at += 1;
    }
    names
};

const ASSIGNED: [(u8, &str); 43] = [
    (0x00, "undefined instruction or unknown reason"),
    (0x01, "trapped WFI or WFE"),
    (0x03, "trapped AArch32 MCR or MRC, cp15"),
    (0x04, "trapped AArch32 MCRR or MRRC, cp15"),
    (0x05, "trapped AArch32 MCR or MRC, cp14"),
    (0x06, "trapped AArch32 LDC or STC"),
    (0x07, "trapped floating-point or SIMD instruction"),
    (0x08, "trapped AArch32 VMRS"),
    (0x09, "trapped pointer authentication"),
    (0x0A, "trapped 64-byte load or store"),
    (0x0C, "trapped AArch32 MRRC, cp14"),
    (0x0D, "branch target exception"),
    (0x0E, "illegal execution state"),
    (0x11, "AArch32 SVC"),
    (0x12, "AArch32 HVC"),
    (0x13, "AArch32 SMC"),
    (0x15, "SVC"),
    (0x16, "HVC"),
    (0x17, "SMC"),
    (0x18, "trapped system register access"),
    (0x19, "trapped SVE instruction"),
    (0x1A, "trapped ERET"),
    (0x1C, "pointer authentication failure"),
    (0x1D, "trapped SME instruction"),
    (0x1E, "granule protection check"),
    (0x20, "instruction abort"),
    (0x21, "instruction abort"),
    (0x22, "PC alignment fault"),
    (0x24, "data abort"),
    (0x25, "data abort"),
    (0x26, "SP alignment fault"),
    (0x27, "memory copy or set exception"),
    (0x2C, "floating-point exception"),
    (0x2D, "guarded control stack exception"),
    (0x2F, "SError"),
    (0x30, "hardware breakpoint"),
    (0x31, "hardware breakpoint"),
    (0x32, "software step"),
    (0x33, "software step"),
    (0x34, "watchpoint"),
    (0x35, "watchpoint"),
    (0x38, "AArch32 BKPT"),
    (0x3C, "BRK"),
];

impl Syndrome {
    /// The syndrome that this ESR value is.
    pub const fn new(esr: u64) -> Self {
        Self(esr)
    }

    /// ESR as it was read.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// EC, six bits.
    pub const fn class(self) -> u8 {
        (self.0 >> 26) as u8 & 0x3F
    }

    /// ISS, 25 bits.
    pub const fn specific(self) -> u32 {
        self.0 as u32 & 0x1FF_FFFF
    }

    /// IL: the length in bytes of the instruction that trapped, 2 or 4.
    pub const fn instruction_length(self) -> u8 {
        if self.0 & 1 << 25 != 0 { 4 } else { 2 }
    }

    /// The class in words; empty for an unassigned class.
    pub const fn class_name(self) -> &'static str {
        CLASS_NAMES[self.class() as usize]
    }

    /// Whether the class is one of the pairs that tell a lower level from the same one, and this came from below.
    pub const fn is_from_lower(self) -> bool {
        matches!(self.class(), 0x20 | 0x24 | 0x30 | 0x32 | 0x34)
    }

    /// Whether FAR_EL1 was written for this exception (Arm ARM D24.2.44): aborts, PC alignment, watchpoints.
    pub const fn far_is_valid(self) -> bool {
        match self.cause() {
            Cause::InstructionAbort(abort) | Cause::DataAbort(abort, _) => abort.far_is_valid,
            Cause::ProgramCounterAlignment => true,
            _ => matches!(self.class(), 0x34 | 0x35),
        }
    }

    /// The fault of an instruction or data abort.
    pub const fn fault(self) -> Option<Fault> {
        match self.cause() {
            Cause::InstructionAbort(abort) | Cause::DataAbort(abort, _) => Some(abort.fault),
            _ => None,
        }
    }

    /// Whether this is the `brk` by which [`entry!`](crate::entry!) refuses a `BootInfo`; x0 holds the error's code.
    pub const fn is_refusal(self) -> bool {
        matches!(self.cause(), Cause::Breakpoint(crate::entry::REFUSED))
    }

    /// What happened.
    pub const fn cause(self) -> Cause {
        let specific = self.specific();
        let immediate = specific as u16;
        match self.class() {
            0x00 => Cause::Unknown,
            0x07 => Cause::FloatingPointTrap,
            0x0E => Cause::IllegalState,
            0x15 => Cause::SupervisorCall(immediate),
            0x16 => Cause::HypervisorCall(immediate),
            0x17 => Cause::SecureMonitorCall(immediate),
            0x18 => Cause::SystemRegister(SystemRegister::of(specific)),
            0x20 | 0x21 => Cause::InstructionAbort(self.abort()),
            0x22 => Cause::ProgramCounterAlignment,
            0x24 | 0x25 => Cause::DataAbort(
                self.abort(),
                match (specific & 1 << 8 != 0, specific & 1 << 6 != 0) {
                    (true, _) => Access::Maintenance,
                    (false, true) => Access::Write,
                    (false, false) => Access::Read,
                },
            ),
            0x26 => Cause::StackPointerAlignment,
            0x2F => Cause::SystemError(Severity::of(specific)),
            0x3C => Cause::Breakpoint(immediate),
            _ => Cause::Other,
        }
    }

    const fn abort(self) -> Abort {
        Abort {
            from_lower: self.is_from_lower(),
            fault: Fault::of(self.specific() as u8),
            far_is_valid: self.specific() & 1 << 10 == 0,
        }
    }
}

impl Fault {
    /// The fault of a status code, its low six bits (Arm ARM D24.2.40, DFSC).
    pub const fn of(status: u8) -> Self {
        use FaultKind::*;
        let status = status & 0x3F;
        let level = Some((status & 3) as i8);
        let (kind, level) = match status {
            0x00..=0x03 => (AddressSize, level),
            0x04..=0x07 => (Translation, level),
            0x08..=0x0B => (AccessFlag, level),
            0x0C..=0x0F => (Permission, level),
            0x10 => (External, None),
            0x11 => (Tag, None),
            0x12 => (ExternalOnWalk, Some(-2)),
            0x13 => (ExternalOnWalk, Some(-1)),
            0x14..=0x17 => (ExternalOnWalk, level),
            0x18 => (Parity, None),
            0x1B => (ParityOnWalk, Some(-1)),
            0x1C..=0x1F => (ParityOnWalk, level),
            0x21 => (Alignment, None),
            0x22 => (GranuleOnWalk, Some(-2)),
            0x23 => (GranuleOnWalk, Some(-1)),
            0x24..=0x27 => (GranuleOnWalk, level),
            0x28 => (Granule, None),
            0x29 => (AddressSize, Some(-1)),
            0x2A => (Translation, Some(-2)),
            0x2B => (Translation, Some(-1)),
            0x2C => (AddressSize, Some(-2)),
            0x30 => (TlbConflict, None),
            0x31 => (UnsupportedUpdate, None),
            0x34 => (Lockdown, None),
            0x35 => (UnsupportedAtomic, None),
            _ => (Reserved, None),
        };
        Self { kind, level }
    }
}

impl SystemRegister {
    const fn of(specific: u32) -> Self {
        Self {
            encoding: [
                (specific >> 20) as u8 & 3,
                (specific >> 14) as u8 & 7,
                (specific >> 10) as u8 & 15,
                (specific >> 1) as u8 & 15,
                (specific >> 17) as u8 & 7,
            ],
            transfer: (specific >> 5) as u8 & 31,
            is_read: specific & 1 != 0,
        }
    }
}

impl Severity {
    const fn of(specific: u32) -> Self {
        let implementation_defined = specific & 1 << 24 != 0;
        if implementation_defined || specific & 0x3F != 0x11 {
            return Self::Unspecified;
        }
        match specific >> 10 & 7 {
            0 => Self::Uncontainable,
            1 => Self::Unrecoverable,
            2 => Self::Restartable,
            3 => Self::Recoverable,
            6 => Self::Corrected,
            _ => Self::Unspecified,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Uncontainable => "uncontainable",
            Self::Unrecoverable => "unrecoverable",
            Self::Restartable => "restartable",
            Self::Recoverable => "recoverable",
            Self::Corrected => "corrected",
            Self::Unspecified => "severity not said",
        }
    }
}

impl Access {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "a read",
            Self::Write => "a write",
            Self::Maintenance => "cache maintenance",
        }
    }
}

impl fmt::Display for Fault {
    /// `permission fault, level 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULT_NAMES[self.kind as usize])?;
        match self.level {
            Some(level) => write!(f, ", level {level}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SystemRegister {
    /// `read of S3_0_C1_C0_2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [op0, op1, crn, crm, op2] = self.encoding;
        let direction = if self.is_read { "read of" } else { "write to" };
        write!(f, "{direction} S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

impl fmt::Display for Syndrome {
    /// One line without the raw number: `data abort on a write: translation fault, level 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class_name() {
            "" => write!(f, "exception of the unassigned class {:#04x}", self.class())?,
            name => f.write_str(name)?,
        }
        if self.is_from_lower() {
            f.write_str(" from a lower level")?;
        }
        match self.cause() {
            Cause::InstructionAbort(abort) => write!(f, ": {}", abort.fault),
            Cause::DataAbort(abort, access) => write!(f, " on {}: {}", access.name(), abort.fault),
            Cause::SupervisorCall(immediate)
            | Cause::HypervisorCall(immediate)
            | Cause::SecureMonitorCall(immediate)
            | Cause::Breakpoint(immediate) => write!(f, " #{immediate:#x}"),
            Cause::SystemRegister(register) => write!(f, ", {register}"),
            Cause::SystemError(severity) => write!(f, ", {}", severity.name()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Syndrome({:#x})", self.0)
    }
}

/// One of the sixteen exception vectors, in the order of their offsets from VBAR (0x80 apart).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vector(u8);

impl Vector {
    /// Bytes from one vector to the next (Arm ARM D1.4.1).
    pub const STRIDE: u64 = 0x80;

    /// How many there are.
    pub const COUNT: u8 = 16;

    /// The vector at `index`; `None` from 16 on.
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its index, 0 to 15.
    pub const fn index(self) -> u8 {
        self.0
    }

    /// Whether it is one of the four synchronous ones: only these come with a syndrome in ESR, beside SError.
    pub const fn is_synchronous(self) -> bool {
        self.0 & 3 == 0
    }

    /// Whether it is one of the four SError ones.
    pub const fn is_system_error(self) -> bool {
        self.0 & 3 == 3
    }

    /// Whether the exception came from a lower exception level.
    pub const fn is_from_lower(self) -> bool {
        self.0 >= 8
    }
}

impl fmt::Display for Vector {
    /// `synchronous exception from this level on SP_ELx`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];
        const SOURCES: [&str; 4] = [
            "this level on SP_EL0",
            "this level on SP_ELx",
            "a lower level in AArch64",
            "a lower level in AArch32",
        ];
        let (kind, source) = (self.0 as usize & 3, self.0 as usize >> 2 & 3);
        write!(f, "{} from {}", KINDS[kind], SOURCES[source])
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vector({})", self.0)
    }
}

#[cfg(test)]
mod tests;
