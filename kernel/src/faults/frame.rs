//! The registers at an exception, as the vectors store them and as a hook may change them.
//!
//! The layout is what the assembly of the vectors writes and restores; the offsets are asserted here, so that
//! the assembly can take them from `offset_of!` and a change shows in both places.

use core::fmt;
use core::mem::offset_of;

use shared_abi::syndrome::{Syndrome, Vector};

/// What the vectors store. Changing `general`, `stack_pointer`, `return_address` or `saved_state` changes what
/// the interrupted code resumes with; the rest is only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct FaultFrame {
    /// x0 to x30.
    pub general: [u64; 31],
    /// The stack pointer that was in use: SP_EL0 or SP_EL1.
    pub stack_pointer: u64,
    /// ELR_EL1: where execution was, and where it resumes.
    pub return_address: u64,
    /// SPSR_EL1: the interrupted PSTATE.
    pub saved_state: u64,
    /// ESR_EL1.
    pub syndrome: u64,
    /// FAR_EL1; stale where the syndrome says that it is not valid.
    pub fault_address: u64,
    /// Which of the sixteen vectors, 0 to 15.
    pub vector: u64,
    /// Keeps the size a multiple of 16.
    pub reserved: u64,
}

const _: () = {
    assert!(size_of::<FaultFrame>() == 304 && align_of::<FaultFrame>() == 16);
    assert!(offset_of!(FaultFrame, general) == 0);
    assert!(offset_of!(FaultFrame, stack_pointer) == 248);
    assert!(offset_of!(FaultFrame, return_address) == 256);
    assert!(offset_of!(FaultFrame, saved_state) == 264);
    assert!(offset_of!(FaultFrame, syndrome) == 272);
    assert!(offset_of!(FaultFrame, fault_address) == 280);
    assert!(offset_of!(FaultFrame, vector) == 288);
};

impl FaultFrame {
    /// All registers 0.
    pub const ZERO: Self = Self {
        general: [0; 31],
        stack_pointer: 0,
        return_address: 0,
        saved_state: 0,
        syndrome: 0,
        fault_address: 0,
        vector: 0,
        reserved: 0,
    };

    /// x29, which frame records hang from (AAPCS64, "The Frame Pointer").
    pub const fn frame_pointer(&self) -> u64 {
        self.general[29]
    }

    /// x30.
    pub const fn link_register(&self) -> u64 {
        self.general[30]
    }

    /// Whether EL0 was interrupted (SPSR_EL1.M is 0).
    pub const fn is_from_user(&self) -> bool {
        self.saved_state & 0x1F == 0
    }

    /// What the exception was, taken out of the frame.
    pub const fn fault(&self) -> Fault {
        let syndrome = Syndrome::new(self.syndrome);
        let vector = match Vector::new(self.vector as u8) {
            Some(vector) if self.vector < Vector::COUNT as u64 => Some(vector),
            _ => None,
        };
        let is_told = match vector {
            Some(vector) => vector.is_synchronous() || vector.is_system_error(),
            None => true,
        };
        Fault {
            vector,
            syndrome: if is_told { Some(syndrome) } else { None },
            address: if is_told && syndrome.far_is_valid() { Some(self.fault_address) } else { None },
            at: self.return_address,
            from_user: self.is_from_user(),
        }
    }
}

impl fmt::Display for FaultFrame {
    /// The general registers, four to a line, each line indented by two and ended.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, values) in self.general.chunks(4).enumerate() {
            f.write_str(" ")?;
            for (at, value) in values.iter().enumerate() {
                write!(f, " x{:<2} {value:016x}", line * 4 + at)?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// An exception as a value: what hooks judge and reports name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The vector; `None` if the frame names none.
    pub vector: Option<Vector>,
    /// The syndrome; `None` for interrupts, which write none.
    pub syndrome: Option<Syndrome>,
    /// FAR_EL1, where it was written for this exception.
    pub address: Option<u64>,
    /// Where execution was.
    pub at: u64,
    /// Whether EL0 was interrupted.
    pub from_user: bool,
}

impl fmt::Display for Fault {
    /// What happened, without the places: `data abort on a write: translation fault, level 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.syndrome, self.vector) {
            (Some(syndrome), _) => syndrome.fmt(f),
            (None, Some(vector)) => write!(f, "unexpected {vector}"),
            (None, None) => f.write_str("exception without a vector"),
        }
    }
}
