//! The registers at an exception: stored by the vectors, shown to who handles it, restored to resume.
//!
//! ```text
//! vector n ─► scratch registers ─► the stack for exceptions ─► ExceptionFrame ─► the handler ─► restored, eret
//! ```
//!
//! An exception may be that the stack is gone, so the frame goes to a stack of the vectors' own, and an exception while
//! one is handled to that stack's lower part. What holds the first two registers on the way is TPIDR_EL1 and
//! TPIDRRO_EL0, which are zero afterwards.

use core::fmt;
use core::mem::offset_of;
use core::ops::Deref;

use shared_abi::contract::pstate;
use shared_abi::syndrome::{Syndrome, Vector};

/// What the vectors store. `general`, `sp`, `elr` and `spsr` are what the interrupted code resumes with; the rest is
/// only told.
///
/// ```
/// use handoff_bare::exception::ExceptionFrame;
///
/// // Vector 4: synchronous, from EL1 on its own stack.
/// let frame = ExceptionFrame { esr: 0x9600_0047, far: 0x10, spsr: 0x3C5, vector: 4, ..ExceptionFrame::ZERO };
/// let fault = frame.fault();
/// assert_eq!((fault.address, fault.from_user), (Some(0x10), false));
/// assert_eq!(fault.to_string(), "data abort on a write: translation fault, level 3");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct ExceptionFrame {
    /// x0 to x30.
    pub general: [u64; 31],
    /// The stack pointer that was in use: SP_EL0 or SP_EL1.
    pub sp: u64,
    /// ELR_EL1: where execution was, and where it resumes.
    pub elr: u64,
    /// SPSR_EL1: the interrupted PSTATE.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1; stale where the syndrome says that it is not valid.
    pub far: u64,
    /// Which of the sixteen vectors, 0 to 15.
    pub vector: u64,
    /// Keeps the size a multiple of 16.
    pub reserved: u64,
}

// What the vectors store in pairs lies side by side.
const _: () = {
    assert!(size_of::<ExceptionFrame>().is_multiple_of(16));
    assert!(offset_of!(ExceptionFrame, elr) == offset_of!(ExceptionFrame, sp) + 8);
    assert!(offset_of!(ExceptionFrame, esr) == offset_of!(ExceptionFrame, spsr) + 8);
};

impl ExceptionFrame {
    /// All registers 0.
    pub const ZERO: Self =
        Self { general: [0; 31], sp: 0, elr: 0, spsr: 0, esr: 0, far: 0, vector: 0, reserved: 0 };

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
        self.spsr & pstate::MODE == pstate::EL0T
    }

    /// What the exception was, taken out of the frame.
    pub const fn fault(&self) -> Fault {
        let syndrome = Syndrome::new(self.esr);
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
            address: if is_told && syndrome.far_is_valid() { Some(self.far) } else { None },
            at: self.elr,
            from_user: self.is_from_user(),
        }
    }
}

impl fmt::Display for ExceptionFrame {
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

/// Code that an exception interrupted, as its handler has it: to be read, and changed by who knows what it resumes.
#[derive(Debug)]
pub struct Interrupted<'a>(&'a mut ExceptionFrame);

impl<'a> Interrupted<'a> {
    /// What resumes with `frame`.
    pub const fn new(frame: &'a mut ExceptionFrame) -> Self {
        Self(frame)
    }

    /// The registers that it resumes with.
    ///
    /// # Safety
    ///
    /// The interrupted code is one that may be resumed so: where it goes on, at which exception level, on which stack
    /// and with which values breaks nothing that it, or the compiler for it, relies on.
    pub const unsafe fn get_mut(&mut self) -> &mut ExceptionFrame {
        self.0
    }
}

impl Deref for Interrupted<'_> {
    type Target = ExceptionFrame;

    fn deref(&self) -> &ExceptionFrame {
        self.0
    }
}

/// Restores x0 to x30 from the frame at x0 and returns from the exception: the last lines of assembly that has set
/// ELR, SPSR and the stack pointers. Its operand is `general`, the frame's offset of that name.
#[macro_export]
macro_rules! return_from_exception {
    () => {
        r#"
    ldp     x2, x3, [x0, #{general} + 16]
    ldp     x4, x5, [x0, #{general} + 32]
    ldp     x6, x7, [x0, #{general} + 48]
    ldp     x8, x9, [x0, #{general} + 64]
    ldp     x10, x11, [x0, #{general} + 80]
    ldp     x12, x13, [x0, #{general} + 96]
    ldp     x14, x15, [x0, #{general} + 112]
    ldp     x16, x17, [x0, #{general} + 128]
    ldp     x18, x19, [x0, #{general} + 144]
    ldp     x20, x21, [x0, #{general} + 160]
    ldp     x22, x23, [x0, #{general} + 176]
    ldp     x24, x25, [x0, #{general} + 192]
    ldp     x26, x27, [x0, #{general} + 208]
    ldp     x28, x29, [x0, #{general} + 224]
    ldr     x30, [x0, #{general} + 240]
    ldp     x0, x1, [x0, #{general}]
    eret
    // Nothing after an exception return is executed, not even in speculation (Arm ARM B2.3.12).
    dsb     nsh
    isb
    "#
    };
}

/// Defines vectors: all sixteen store an [`ExceptionFrame`](crate::exception::ExceptionFrame) and call one function.
///
/// ```text
/// exception_vectors! {
///     table: "kernel_vectors",                      the symbol for VBAR_EL1
///     stack: STACK, size: 0x4000, nested: 0x2000,   a static: an exception taken on its part above `nested` bytes has its
///                                                   frame there, any other at the top; equal if none is nested
///     resume: handle,                               an extern "C" fn(&mut ExceptionFrame), resumed when it returns; or
///     report: report,                               one that never returns
/// }
/// ```
///
/// With `stack: per_cpu` TPIDR_EL1 points to the stack of the CPU that it is read on, and is left as it is. The lowest 16
/// bytes there are the vectors' own.
#[macro_export]
macro_rules! exception_vectors {
    (table: $table:literal, stack: per_cpu, size: $size:expr, nested: $nested:expr, resume: $handler:path $(,)?) => {
        const _: extern "C" fn(&mut $crate::exception::ExceptionFrame) = $handler;
        $crate::exception_vectors!(@assemble $table, r#"
    msr     tpidrro_el0, x0
    mrs     x0, tpidr_el1
    str     x1, [x0]
    mov     x1, #vector
"#, r#"
    str     x1, [x0, #8]
    add     x1, x0, #{nested}
    sub     x1, sp, x1                  // how far SP is above the lower part
    cmp     x1, #{upper}
    mov     x1, x0
    b.ls    8f                          // on this stack's upper part: the handler itself faulted
    add     x1, x1, #{upper}
8:  add     x1, x1, #{nested}
    sub     x1, x1, #{frame_size}
    stp     x2, x3, [x1, #{general} + 16]
    ldp     x2, x3, [x0]
    str     x3, [x1, #{vector}]
    mrs     x0, tpidrro_el0
    stp     x0, x2, [x1, #{general}]
    msr     tpidrro_el0, xzr
"#, $size, $nested, $handler, $crate::exception_vectors!(@resume),);
    };
    (table: $table:literal, stack: $stack:path, size: $size:expr, nested: $nested:expr, report: $handler:path $(,)?) => {
        const _: extern "C" fn(&$crate::exception::ExceptionFrame) -> ! = $handler;
        $crate::exception_vectors!(@define $table, $stack, $size, $nested, $handler, "");
    };
    (table: $table:literal, stack: $stack:path, size: $size:expr, nested: $nested:expr, resume: $handler:path $(,)?) => {
        const _: extern "C" fn(&mut $crate::exception::ExceptionFrame) = $handler;
        $crate::exception_vectors!(@define $table, $stack, $size, $nested, $handler, $crate::exception_vectors!(@resume));
    };
    (@resume) => {
        concat!(r#"
    ldp     x0, x1, [x19, #{sp}]
    ldr     x2, [x19, #{spsr}]
    msr     elr_el1, x1
    msr     spsr_el1, x2
    tst     x2, #1                      // M[0]: 0 is SP_EL0
    b.ne    6f
    msr     sp_el0, x0
    mov     x0, x20                     // SP_EL1 goes back to what it was
6:  mov     sp, x0
    mov     x0, x19
    "#, $crate::return_from_exception!())
    };
    (@define $table:literal, $stack:path, $size:expr, $nested:expr, $handler:path, $resume:expr) => {
        $crate::exception_vectors!(@assemble $table, r#"
    msr     tpidr_el1, x0
    mov     x0, #vector
"#, r#"
    msr     tpidrro_el0, x1
    adrp    x1, {stack}
    add     x1, x1, :lo12:{stack}
    add     x1, x1, #{nested}
    sub     x1, sp, x1                  // how far SP is above the lower part
    cmp     x1, #{upper}
    adrp    x1, {stack}
    add     x1, x1, :lo12:{stack}
    b.ls    8f                          // on this stack's upper part: the handler itself faulted
    add     x1, x1, #{upper}
8:  add     x1, x1, #{nested}
    sub     x1, x1, #{frame_size}
    str     x0, [x1, #{vector}]
    mrs     x0, tpidr_el1
    stp     x2, x3, [x1, #{general} + 16]
    mrs     x2, tpidrro_el0
    stp     x0, x2, [x1, #{general}]
    msr     tpidr_el1, xzr
    msr     tpidrro_el0, xzr
"#, $size, $nested, $handler, $resume, stack = sym $stack,);
    };
    (@assemble $table:literal, $first:literal, $frame:literal, $size:expr, $nested:expr, $handler:path, $resume:expr,
        $($operand:tt)*) => {
        core::arch::global_asm!(
            concat!(".section .text.vectors, \"ax\"\n.balign 0x800\n.global ", $table, "\n", $table, ":"),
            r#"
    .set    vector, 0
    .rept   16
    .balign 0x80
    "#,
            $first,
            r#"
    b       9f
    .set    vector, vector + 1
    .endr
    .balign 0x80

9:
    "#,
            $frame,
            r#"
    stp     x4, x5, [x1, #{general} + 32]
    stp     x6, x7, [x1, #{general} + 48]
    stp     x8, x9, [x1, #{general} + 64]
    stp     x10, x11, [x1, #{general} + 80]
    stp     x12, x13, [x1, #{general} + 96]
    stp     x14, x15, [x1, #{general} + 112]
    stp     x16, x17, [x1, #{general} + 128]
    stp     x18, x19, [x1, #{general} + 144]
    stp     x20, x21, [x1, #{general} + 160]
    stp     x22, x23, [x1, #{general} + 176]
    stp     x24, x25, [x1, #{general} + 192]
    stp     x26, x27, [x1, #{general} + 208]
    stp     x28, x29, [x1, #{general} + 224]
    str     x30, [x1, #{general} + 240]
    mov     x20, sp                     // SP_EL1 as it was
    mrs     x2, spsr_el1
    mov     x0, x20
    tst     x2, #1                      // M[0]: 0 is SP_EL0
    b.ne    7f
    mrs     x0, sp_el0
7:  mrs     x3, elr_el1
    stp     x0, x3, [x1, #{sp}]
    mrs     x3, esr_el1
    stp     x2, x3, [x1, #{spsr}]
    mrs     x2, far_el1
    str     x2, [x1, #{far}]
    mov     sp, x1
    mov     x19, x1
    mov     x0, x1
    mov     x29, xzr
    mov     x30, xzr
    bl      {handler}
    "#,
            $resume,
            $($operand)*
            nested = const $nested,
            upper = const $size - $nested,
            frame_size = const size_of::<$crate::exception::ExceptionFrame>(),
            general = const core::mem::offset_of!($crate::exception::ExceptionFrame, general),
            vector = const core::mem::offset_of!($crate::exception::ExceptionFrame, vector),
            sp = const core::mem::offset_of!($crate::exception::ExceptionFrame, sp),
            spsr = const core::mem::offset_of!($crate::exception::ExceptionFrame, spsr),
            far = const core::mem::offset_of!($crate::exception::ExceptionFrame, far),
            handler = sym $handler,
        );
    };
}
