//! PSTATE, as SPSR_ELx holds it and `eret` restores it (Arm ARM C5.2.19).

use super::registers::DAIF;

/// M, the exception level and the stack pointer, with M[4] = 0 for AArch64.
pub const MODE: u64 = 0x1F;

/// M of EL0.
pub const EL0T: u64 = 0b0000;

/// M of EL1 on its own stack.
pub const EL1H: u64 = 0b0101;

/// M of EL2 on its own stack.
pub const EL2H: u64 = 0b1001;

/// PAN: EL1 cannot touch user memory by an ordinary load or store.
pub const PAN: u64 = 1 << 22;

/// EL0, everything masked.
pub const EL0T_MASKED: u64 = DAIF | EL0T;

/// EL1 on its own stack, everything masked: what a kernel is entered with.
pub const EL1H_MASKED: u64 = DAIF | EL1H;

/// EL2 on its own stack, everything masked.
pub const EL2H_MASKED: u64 = DAIF | EL2H;
