//! Who may resolve a fault: hooks by address or by class, and what happens when none does.
//!
//! ```text
//! vectors ─► dispatch ─┬─ a fault while one is handled ─► Nested    (say one line, end the machine)
//!                      ├─ a hook resolves it ───────────► Resume    (restore the frame, eret)
//!                      └─ none does ────────────────────► Report    (say everything, end the machine)
//! ```
//!
//! After `Report` or `Nested` the dispatcher stays busy: a fault in the reporter is `Nested`, and one after that
//! too, so every chain of faults ends. A hook that says "resolved" and resolves nothing would fault for ever: the
//! same abort a thousand times in a row is reported.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use shared_abi::addr::{VirtAddr, VirtRange};

use super::{ExceptionFrame, Fault, Interrupted, Reason};

/// Most hooks.
pub const HOOKS: usize = 16;

/// How often the same abort may be "resolved" without another fault between.
pub const REPEATS: u32 = 1000;

/// What a hook did about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Nothing: the next hook is asked.
    NotMine,
    /// The cause is gone, or the frame was changed: execution goes on with the frame as it is.
    Resolved,
    /// It was to be resolved here and could not be, for this reason: it is reported.
    Failed(&'static str),
}

/// Resolves faults. It runs on the vectors' stack, with interrupts masked; a fault inside of it ends the machine,
/// and so would a lock that the interrupted code holds: use `try_lock`.
pub trait FaultHook: Sync {
    /// Looks at `fault` and resolves it, by changing the machine or what is resumed.
    fn resolve(&self, fault: &Fault, frame: &mut Interrupted<'_>) -> Resolution;
}

/// Which faults a hook is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Those with a valid fault address in this range.
    Address(VirtRange),
    /// Those of this exception class (ESR_EL1.EC), such as 0x15 for `SVC`.
    Class(u8),
    /// All that interrupted EL0.
    User,
}

impl Interest {
    fn covers(self, fault: &Fault) -> bool {
        match self {
            Self::Address(range) => {
                fault.address.and_then(VirtAddr::new).is_some_and(|at| range.contains(at))
            }
            Self::Class(class) => fault.syndrome.is_some_and(|syndrome| syndrome.class() == class),
            Self::User => fault.from_user,
        }
    }
}

/// What the vectors do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Restore the frame and return to it.
    Resume,
    /// Report the fault, for this reason, and end the machine.
    Report(Reason),
    /// End the machine: this fault came while another was handled.
    Nested,
}

/// The hooks, in the order in which they are asked, of one CPU.
///
/// ```
/// use kernel::faults::{Dispatcher, ExceptionFrame, Fault, FaultHook, Interest, Interrupted, Outcome, Resolution};
///
/// struct Calls;
///
/// impl FaultHook for Calls {
///     fn resolve(&self, fault: &Fault, _: &mut Interrupted<'_>) -> Resolution {
///         if fault.from_user { Resolution::Resolved } else { Resolution::NotMine }
///     }
/// }
///
/// let mut dispatcher = Dispatcher::new();
/// assert!(dispatcher.add(Interest::Class(0x15), &Calls)); // SVC from AArch64
/// let mut call = ExceptionFrame { esr: 0x5600_0000, vector: 8, ..ExceptionFrame::ZERO };
/// assert_eq!(dispatcher.dispatch(&mut call), Outcome::Resume);
/// ```
pub struct Dispatcher<'h> {
    hooks: [Option<(Interest, &'h dyn FaultHook)>; HOOKS],
    busy: AtomicBool,
    last_at: AtomicU64,
    last_address: AtomicU64,
    repeats: AtomicU32,
}

impl<'h> Dispatcher<'h> {
    /// No hooks: every fault is reported.
    pub const fn new() -> Self {
        Self {
            hooks: [None; HOOKS],
            busy: AtomicBool::new(false),
            last_at: AtomicU64::new(0),
            last_address: AtomicU64::new(0),
            repeats: AtomicU32::new(0),
        }
    }

    /// Adds a hook behind the others; `false` if there is no room.
    pub fn add(&mut self, interest: Interest, hook: &'h dyn FaultHook) -> bool {
        match self.hooks.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some((interest, hook));
                true
            }
            None => false,
        }
    }

    /// Whether a fault is being handled, or was reported.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Asks the hooks.
    pub fn dispatch(&self, frame: &mut ExceptionFrame) -> Outcome {
        // One CPU, and its handler is not interrupted: a load and a store do, where exclusives might not.
        if self.busy.load(Ordering::Relaxed) {
            return Outcome::Nested;
        }
        self.busy.store(true, Ordering::Relaxed);
        let fault = frame.fault();
        let outcome = self.ask(&fault, frame);
        if outcome == Outcome::Resume {
            self.busy.store(false, Ordering::Relaxed);
        }
        outcome
    }

    fn ask(&self, fault: &Fault, frame: &mut ExceptionFrame) -> Outcome {
        for (interest, hook) in self.hooks.iter().flatten() {
            if !interest.covers(fault) {
                continue;
            }
            match hook.resolve(fault, &mut Interrupted::new(frame)) {
                Resolution::NotMine => {}
                // A hook that sent execution elsewhere has not let the instruction try again.
                Resolution::Resolved if frame.elr == fault.at && self.is_repeated(fault) => {
                    return Outcome::Report(Reason::Repeated);
                }
                Resolution::Resolved => return Outcome::Resume,
                Resolution::Failed(why) => return Outcome::Report(Reason::Failed(why)),
            }
        }
        Outcome::Report(Reason::Unresolved)
    }

    /// Counts the same abort in a row. What has no fault address, a call from a loop, may repeat for ever.
    fn is_repeated(&self, fault: &Fault) -> bool {
        let Some(address) = fault.address else {
            self.repeats.store(0, Ordering::Relaxed);
            return false;
        };
        let same = self.last_at.swap(fault.at, Ordering::Relaxed) == fault.at
            && self.last_address.swap(address, Ordering::Relaxed) == address;
        self.last_address.store(address, Ordering::Relaxed);
        let repeats = if same { self.repeats.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.repeats.store(repeats, Ordering::Relaxed);
        repeats >= REPEATS
    }
}

impl Default for Dispatcher<'_> {
    fn default() -> Self {
        Self::new()
    }
}
