//! The registers that show features and those that open them, by name and encoding.

/// Hands the ID registers and their encodings to a macro, in the order of [`Id`].
#[macro_export]
macro_rules! feature_id_registers {
    ($use:ident) => {
        $use! {
            ID_AA64PFR0_EL1 = "S3_0_C0_C4_0",
            ID_AA64PFR1_EL1 = "S3_0_C0_C4_1",
            ID_AA64PFR2_EL1 = "S3_0_C0_C4_2",
            ID_AA64SMFR0_EL1 = "S3_0_C0_C4_5",
            ID_AA64DFR0_EL1 = "S3_0_C0_C5_0",
            ID_AA64DFR1_EL1 = "S3_0_C0_C5_1",
            ID_AA64ISAR1_EL1 = "S3_0_C0_C6_1",
            ID_AA64ISAR2_EL1 = "S3_0_C0_C6_2",
            ID_AA64MMFR0_EL1 = "S3_0_C0_C7_0",
            ID_AA64MMFR1_EL1 = "S3_0_C0_C7_1",
            ID_AA64MMFR3_EL1 = "S3_0_C0_C7_3",
        }
    };
}

/// Hands the control registers to a macro, in the order of [`Control`], which is that of writing. `own` ones are written
/// by code of their own.
#[macro_export]
macro_rules! feature_controls {
    ($use:ident) => {
        $use! {
            HCR_EL2 = "S3_4_C1_C1_0" own,
            CPTR_EL2 = "S3_4_C1_C1_2",
            CPTR_EL2_E2H = "S3_4_C1_C1_2",
            CNTHCTL_EL2 = "S3_4_C14_C1_0",
            CNTHCTL_EL2_E2H = "S3_4_C14_C1_0",
            CNTVOFF_EL2 = "S3_4_C14_C0_3",
            CNTHP_CTL_EL2 = "S3_4_C14_C2_1",
            CNTHV_CTL_EL2 = "S3_4_C14_C3_1",
            VTTBR_EL2 = "S3_4_C2_C1_0",
            HSTR_EL2 = "S3_4_C1_C1_3",
            HACR_EL2 = "S3_4_C1_C1_7",
            MDCR_EL2 = "S3_4_C1_C1_1" own,
            HCRX_EL2 = "S3_4_C1_C2_2",
            TCR2_EL1 = "S3_0_C2_C0_3" own,
            SCTLR2_EL1 = "S3_0_C1_C0_3" own,
            LORC_EL1 = "S3_0_C10_C4_3",
            ICC_SRE_EL2 = "S3_4_C12_C9_5",
            ICH_HCR_EL2 = "S3_4_C12_C11_0" own,
            ICH_HFGRTR_EL2 = "S3_4_C12_C9_4",
            ICH_HFGWTR_EL2 = "S3_4_C12_C9_6",
            ICH_HFGITR_EL2 = "S3_4_C12_C9_7",
            ICH_VCTLR_EL2 = "S3_4_C12_C11_4",
            ZCR_EL2 = "S3_4_C1_C2_0",
            SMCR_EL2 = "S3_4_C1_C2_6",
            MPAM2_EL2 = "S3_4_C10_C5_0",
            MPAMHCR_EL2 = "S3_4_C10_C4_0",
            PMSCR_EL2 = "S3_4_C9_C9_0",
            HFGRTR_EL2 = "S3_4_C1_C1_4",
            HFGWTR_EL2 = "S3_4_C1_C1_5",
            HFGITR_EL2 = "S3_4_C1_C1_6",
            HDFGRTR_EL2 = "S3_4_C3_C1_4",
            HDFGWTR_EL2 = "S3_4_C3_C1_5",
            HAFGRTR_EL2 = "S3_4_C3_C1_6",
            HFGRTR2_EL2 = "S3_4_C3_C1_2",
            HFGWTR2_EL2 = "S3_4_C3_C1_3",
            HFGITR2_EL2 = "S3_4_C3_C1_7",
            HDFGRTR2_EL2 = "S3_4_C3_C1_0",
            HDFGWTR2_EL2 = "S3_4_C3_C1_1",
            SCR_EL3 = "S3_6_C1_C1_0",
            CPTR_EL3 = "S3_6_C1_C1_2",
            MDCR_EL3 = "S3_6_C1_C3_1",
            ZCR_EL3 = "S3_6_C1_C2_0",
            SMCR_EL3 = "S3_6_C1_C2_6",
            MPAM3_EL3 = "S3_6_C10_C5_0",
            ICC_SRE_EL3 = "S3_6_C12_C12_5",
        }
    };
}

macro_rules! ids {
    ($($name:ident = $encoding:literal,)*) => {
        /// What a condition looks at: an ID register, or one of the values that stand behind them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(non_camel_case_types, missing_docs, reason = "the Arm ARM's names")]
        pub enum Id {
            $($name,)*
            /// 0.
            NONE,
            /// 1 if HCR_EL2.E2H is stuck at one.
            E2H,
            /// MPAMIDR_EL1.HAS_HCR where there is MPAM, else 0.
            MPAMIDR_EL1,
            /// 1 where there are activity monitors and fine-grained traps, which are later.
            FGT_AND_AMU,
            /// PMBIDR_EL1.P, which is 0 if the profiling buffer is not a higher level's; 1 without SPE.
            PMBIDR_EL1,
        }

        impl Id {
            /// The ID registers, which can be read at any level.
            pub const REGISTERS: &[Self] = &[$(Self::$name),*];

            /// All, in the order of their numbers.
            pub const ALL: &[Self] = &[
                $(Self::$name,)*
                Self::NONE,
                Self::E2H,
                Self::MPAMIDR_EL1,
                Self::FGT_AND_AMU,
                Self::PMBIDR_EL1,
            ];

            /// The Arm ARM's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::NONE => "",
                    Self::E2H => "HCR_EL2",
                    Self::MPAMIDR_EL1 => "MPAMIDR_EL1",
                    Self::FGT_AND_AMU => "ID_AA64PFR0_EL1",
                    Self::PMBIDR_EL1 => "PMBIDR_EL1",
                }
            }
        }
    };
}

macro_rules! controls {
    ($($name:ident = $encoding:literal $($own:ident)?,)*) => {
        /// A register that is written at EL2 or EL3.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(non_camel_case_types, missing_docs, reason = "the Arm ARM's names")]
        pub enum Control { $($name,)* }

        impl Control {
            /// All, in the order in which they are written.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The Arm ARM's name, with `_E2H` where the layout is that of HCR_EL2.E2H.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

feature_id_registers!(ids);
feature_controls!(controls);
