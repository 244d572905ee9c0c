//! How a machine ends, and the words and numbers that say so.
//!
//! A stage that ends the machine by semihosting gives a *subcode*; QEMU makes it its own exit status and the host
//! tool turns that into the status of `run`. The good verdict is not zero on the wire, because zero is what QEMU
//! also gives when a guest powers off or resets without having judged anything: silence is never success.
//!
//! ```text
//! ending         subcode  status of run
//! good verdict        64              0
//! bad verdict         65              1   after the console line `verdict: bad CODE`
//! refused            101            101   after the console line `error EXXXX: …`
//! loader fault       102            102
//! kernel fault       103            103
//! (power-off)          0              1   unless the console said a verdict, which then counts
//! ```
//!
//! A machine without semihosting and without PSCI can only be parked: x0 is then the error's number, 802 for E0802,
//! and x1 is [`PARKED`] with the subcode in its low byte, for whoever looks at it from outside.
//!
//! The subcode goes into `SYS_EXIT` (0x18) with the reason [`SEMIHOSTING_APPLICATION_EXIT`], as two 64-bit words
//! that x1 points to (Arm semihosting, "SYS_EXIT", AArch64 form).

use core::fmt;

/// The semihosting operation that ends the machine (Arm semihosting, `SYS_EXIT`).
pub const SEMIHOSTING_EXIT: u64 = 0x18;

/// The semihosting operation that writes a NUL-terminated string to the host's console (`SYS_WRITE0`).
pub const SEMIHOSTING_WRITE0: u64 = 0x04;

/// The first word of `SYS_EXIT`'s block: the program ended of itself (`ADP_Stopped_ApplicationExit`).
pub const SEMIHOSTING_APPLICATION_EXIT: u64 = 0x2_0026;

/// What x1 of a parked machine holds, above the subcode in the low byte.
pub const PARKED: u64 = u64::from_be_bytes(*b"parked:\0");

/// Status of `run` when the tool, its arguments or the host are at fault.
pub const STATUS_HOST_ERROR: u8 = 2;

/// Status of `run` when the boot outlived its time.
pub const STATUS_TIME_OUT: u8 = 124;

/// Status of `run` when a person ended it.
pub const STATUS_INTERRUPTED: u8 = 130;

/// What the console says before a verdict's own words.
pub const VERDICT_PREFIX: &str = "verdict: ";

/// Why the machine was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The kernel judged itself good.
    Good,
    /// The kernel judged itself bad; its own code is on the console.
    Bad,
    /// The loader refused the image, the kernel or the machine.
    Refused,
    /// An exception or a broken invariant in the loader.
    LoaderFault,
    /// An exception in the kernel, reported by its own vectors or by the resident ones.
    KernelFault,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 5] = [Self::Good, Self::Bad, Self::Refused, Self::LoaderFault, Self::KernelFault];

    /// The second word of the `SYS_EXIT` block, QEMU's exit status.
    pub const fn exit_subcode(self) -> u64 {
        match self {
            Self::Good => 64,
            Self::Bad => 65,
            Self::Refused => 101,
            Self::LoaderFault => 102,
            Self::KernelFault => 103,
        }
    }

    /// The ending that a subcode names; `None` for a number that is not one of ours.
    pub const fn from_exit_subcode(subcode: u64) -> Option<Self> {
        match subcode {
            64 => Some(Self::Good),
            65 => Some(Self::Bad),
            101 => Some(Self::Refused),
            102 => Some(Self::LoaderFault),
            103 => Some(Self::KernelFault),
            _ => None,
        }
    }

    /// The ending that x1 of a parked machine names; `None` if it is not parked.
    pub const fn from_parked(x1: u64) -> Option<Self> {
        match x1 & !0xFF {
            PARKED => Self::from_exit_subcode(x1 & 0xFF),
            _ => None,
        }
    }

    /// The exit status of `run`.
    pub const fn run_status(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Bad => 1,
            Self::Refused => 101,
            Self::LoaderFault => 102,
            Self::KernelFault => 103,
        }
    }

    /// The ending in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Refused => "refused",
            Self::LoaderFault => "loader fault",
            Self::KernelFault => "kernel fault",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a kernel says of itself. Its `Display` is the console line: `verdict: good`, `verdict: bad 7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All that it checked held.
    Good,
    /// Something did not; the number is the kernel's own.
    Bad(u32),
}

impl Verdict {
    /// How a machine with this verdict ends.
    pub const fn ending(self) -> Ending {
        match self {
            Self::Good => Ending::Good,
            Self::Bad(_) => Ending::Bad,
        }
    }

    /// Reads a console line, line end and surrounding blanks aside; `None` if it is not a verdict.
    pub fn from_line(line: &str) -> Option<Self> {
        match line.trim().strip_prefix(VERDICT_PREFIX)? {
            "good" => Some(Self::Good),
            words => words.strip_prefix("bad ")?.parse().ok().map(Self::Bad),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => write!(f, "{VERDICT_PREFIX}good"),
            Self::Bad(code) => write!(f, "{VERDICT_PREFIX}bad {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcodes_are_told_from_a_power_off_and_from_each_other() {
        for ending in Ending::ALL {
            // QEMU's exit status is one byte: 0 is a power-off, 1 its own failure, 128 and above a signal.
            assert!((2..128).contains(&ending.exit_subcode()), "{ending}");
            assert_eq!(Ending::from_exit_subcode(ending.exit_subcode()), Some(ending));
            assert_eq!(Ending::from_parked(PARKED | ending.exit_subcode()), Some(ending));
            assert_eq!(Ending::from_parked(ending.exit_subcode()), None);
        }
        let known = (0..=255).filter(|&subcode| Ending::from_exit_subcode(subcode).is_some());
        assert_eq!(known.count(), Ending::ALL.len());
    }

    #[test]
    fn only_the_good_verdict_is_success() {
        for ending in Ending::ALL {
            assert_eq!(ending.run_status() == 0, ending == Ending::Good);
        }
    }

    #[test]
    fn a_verdict_is_read_back_from_its_line() {
        for verdict in [Verdict::Good, Verdict::Bad(0), Verdict::Bad(u32::MAX)] {
            assert_eq!(Verdict::from_line(&format!("{verdict}\r\n")), Some(verdict));
        }
        for line in [
            "",
            "good",
            "verdict: ",
            "verdict: fine",
            "verdict: bad",
            "verdict: bad -1",
            "verdict: bad 4294967296",
        ] {
            assert_eq!(Verdict::from_line(line), None, "{line}");
        }
    }
}
