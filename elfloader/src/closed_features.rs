//! What a processor has that the kernel may not use, because the loader left it closed at the levels above.
//!
//! The entry code opens what it knows ([the table](../../docs/contract.md) says what). Features that came later are
//! closed until something opens them: their enables in HCRX_EL2, SCR_EL3 and MDCR_EL3 are 0 there, and so are the
//! inverted ones in the fine-grained trap registers.

use shared_abi::boot_info::ClosedFeatures;

/// The ID registers that show such features; a register that a processor does not have reads as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdRegisters {
    /// ID_AA64DFR0_EL1.
    pub id_aa64dfr0: u64,
    /// ID_AA64ISAR1_EL1.
    pub id_aa64isar1: u64,
    /// ID_AA64MMFR3_EL1.
    pub id_aa64mmfr3: u64,
    /// ID_AA64PFR1_EL1.
    pub id_aa64pfr1: u64,
}

impl IdRegisters {
    /// What is closed if the loader was entered at exception level `level`: nothing that it knows of at EL1.
    pub fn closed(&self, level: u64) -> ClosedFeatures {
        let field = |register: u64, shift: u32| register >> shift & 0xF;
        let shown = [
            // BRBE, TCRX, SCTLRX, GCS, LS64 (3 and up is with ACCDATA_EL1).
            (field(self.id_aa64dfr0, 52) != 0, ClosedFeatures::BRANCH_RECORDS),
            (field(self.id_aa64mmfr3, 0) != 0, ClosedFeatures::EXTENDED_TRANSLATION),
            (field(self.id_aa64mmfr3, 4) != 0, ClosedFeatures::EXTENDED_TRANSLATION),
            (field(self.id_aa64pfr1, 44) != 0, ClosedFeatures::GUARDED_STACKS),
            (field(self.id_aa64isar1, 60) >= 3, ClosedFeatures::ACCELERATOR_DATA),
        ];
        let shown = shown.into_iter().filter(|(is_shown, _)| *is_shown && level > 1);
        shown.fold(ClosedFeatures::empty(), |closed, (_, feature)| closed | feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_registers_show_is_closed_above_el1_only() {
        let plain = IdRegisters { id_aa64dfr0: 6, id_aa64isar1: 1 << 60, id_aa64mmfr3: 0, id_aa64pfr1: 0x21 };
        assert_eq!(plain.closed(2), ClosedFeatures::empty());
        let rich = IdRegisters {
            id_aa64dfr0: 1 << 52,
            id_aa64isar1: 3 << 60,
            id_aa64mmfr3: 1 << 4,
            id_aa64pfr1: 1 << 44,
        };
        let all = ClosedFeatures::BRANCH_RECORDS
            | ClosedFeatures::EXTENDED_TRANSLATION
            | ClosedFeatures::GUARDED_STACKS
            | ClosedFeatures::ACCELERATOR_DATA;
        assert_eq!((rich.closed(1), rich.closed(2), rich.closed(3)), (ClosedFeatures::empty(), all, all));
        assert_eq!(IdRegisters { id_aa64mmfr3: 1, ..plain }.closed(3), ClosedFeatures::EXTENDED_TRANSLATION);
    }
}
