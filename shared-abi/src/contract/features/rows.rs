//! The lists: what opens a register, and what is opened or left closed.
//!
//! Bits and conditions: Arm ARM D24 (DDI 0487 L.b) and the GICv5 specification (AES0070). A bit that is set without its
//! feature would be reserved there, so each has its condition.

use super::feature::{Bits, Condition, Feature, Level};
use super::registers::Control::{self, *};
use super::registers::Id::{self, *};
use crate::boot_info::ClosedFeatures;

const ALWAYS: Condition = Condition { id: NONE, low: 0, least: 0, most: 0 };

/// The field of four bits from `low` on is `least` or more.
const fn at_least(id: Id, low: u8, least: u8) -> Condition {
    Condition { id, low, least, most: 0xF }
}

const fn is(id: Id, low: u8, value: u8) -> Condition {
    Condition { id, low, least: value, most: value }
}

const SVE: Condition = at_least(ID_AA64PFR0_EL1, 32, 1);
const SME: Condition = at_least(ID_AA64PFR1_EL1, 24, 1);
const PMU: Condition = Condition { id: ID_AA64DFR0_EL1, low: 8, least: 1, most: 0xE };
const PMU_V3P9: Condition = Condition { id: ID_AA64DFR0_EL1, low: 8, least: 9, most: 0xE };
const SPE: Condition = at_least(ID_AA64DFR0_EL1, 32, 1);
const SPE_V1P2: Condition = at_least(ID_AA64DFR0_EL1, 32, 3);
const MPAM: Condition = at_least(ID_AA64PFR0_EL1, 40, 1);
const GIC: Condition = at_least(ID_AA64PFR0_EL1, 24, 1);
const GIC_V5: Condition = at_least(ID_AA64PFR2_EL1, 12, 1);
const HCX: Condition = at_least(ID_AA64MMFR1_EL1, 40, 1);
const FGT: Condition = at_least(ID_AA64MMFR0_EL1, 56, 1);
const FGT2: Condition = at_least(ID_AA64MMFR0_EL1, 56, 2);
const TCR2: Condition = at_least(ID_AA64MMFR3_EL1, 0, 1);
const SCTLR2: Condition = at_least(ID_AA64MMFR3_EL1, 4, 1);

impl Control {
    /// The level whose register it is.
    pub const fn level(self) -> Level {
        if self as u8 >= SCR_EL3 as u8 { Level::El3 } else { Level::El2 }
    }

    /// When the register is there.
    pub const fn exists(self) -> Condition {
        match self {
            CPTR_EL2 | CNTHCTL_EL2 => is(E2H, 0, 0),
            CPTR_EL2_E2H | CNTHCTL_EL2_E2H => is(E2H, 0, 1),
            CNTHV_CTL_EL2 => at_least(ID_AA64MMFR1_EL1, 8, 1),
            HCRX_EL2 => HCX,
            TCR2_EL1 => TCR2,
            SCTLR2_EL1 => SCTLR2,
            LORC_EL1 => at_least(ID_AA64MMFR1_EL1, 16, 1),
            ICC_SRE_EL2 | ICH_HCR_EL2 | ICC_SRE_EL3 => GIC,
            ICH_HFGRTR_EL2 | ICH_HFGWTR_EL2 | ICH_HFGITR_EL2 | ICH_VCTLR_EL2 => GIC_V5,
            ZCR_EL2 | ZCR_EL3 => SVE,
            SMCR_EL2 | SMCR_EL3 => SME,
            MPAM2_EL2 | MPAM3_EL3 => MPAM,
            MPAMHCR_EL2 => is(MPAMIDR_EL1, 0, 1),
            PMSCR_EL2 => is(PMBIDR_EL1, 0, 0),
            HFGRTR_EL2 | HFGWTR_EL2 | HFGITR_EL2 | HDFGRTR_EL2 | HDFGWTR_EL2 => FGT,
            HAFGRTR_EL2 => is(FGT_AND_AMU, 0, 1),
            HFGRTR2_EL2 | HFGWTR2_EL2 | HFGITR2_EL2 | HDFGRTR2_EL2 | HDFGWTR2_EL2 => FGT2,
            _ => ALWAYS,
        }
    }

    /// What is set whatever the processor has; all bits that neither this nor a feature sets are 0.
    pub const fn base(self) -> &'static [(Condition, u64)] {
        match self {
            // RW: EL1 is AArch64.
            HCR_EL2 => const { &[(ALWAYS, 1 << 31)] },
            // RES1 bits, two of which are traps where SVE and SME are: TZ, TSM.
            CPTR_EL2 => {
                const {
                    &[
                        (ALWAYS, 0x22FF),
                        (is(ID_AA64PFR0_EL1, 32, 0), 1 << 8),
                        (is(ID_AA64PFR1_EL1, 24, 0), 1 << 12),
                    ]
                }
            }
            // CPACR's layout: ZEN, FPEN and SMEN trap nothing.
            CPTR_EL2_E2H => const { &[(ALWAYS, 3 << 20), (SVE, 3 << 16), (SME, 3 << 24)] },
            // EL1PCTEN, EL1PCEN, in the one layout and the other.
            CNTHCTL_EL2 => const { &[(ALWAYS, 3)] },
            CNTHCTL_EL2_E2H => const { &[(ALWAYS, 3 << 10)] },
            // SRE, DFB, DIB, Enable.
            ICC_SRE_EL2 | ICC_SRE_EL3 => const { &[(ALWAYS, 0xF)] },
            // NS, RES1, SMD (nobody answers an SMC), HCE, RW.
            SCR_EL3 => {
                const {
                    &[
                        (ALWAYS, 1 | 3 << 4 | 1 << 7 | 1 << 8 | 1 << 10),
                        (HCX, 1 << 38),
                        (FGT, 1 << 27),
                        (FGT2, 1 << 59),
                    ]
                }
            }
            // MPAMEN; all of it in the default partition.
            MPAM3_EL3 => const { &[(ALWAYS, 1 << 63)] },
            _ => const { &[] },
        }
    }
}

const fn bits(control: Control, bits: u64) -> Bits {
    Bits { control, bits }
}

const fn opened(
    name: &'static str,
    what: &'static str,
    shown: &'static [Condition],
    controls: &'static [Bits],
    probe: &'static [u32],
) -> Feature {
    Feature { name, what, shown, controls, closed: None, probe }
}

const fn closed(
    name: &'static str,
    what: &'static str,
    shown: &'static [Condition],
    flag: ClosedFeatures,
    probe: &'static [u32],
) -> Feature {
    Feature { name, what, shown, controls: &[], closed: Some(flag), probe }
}

/// Every feature that a level above EL1 can keep from it, as far as the Arm ARM names it.
pub const FEATURES: &[Feature] = &[
    // fmov x0, d0
    opened(
        "FP",
        "floating point and SIMD",
        &[Condition { id: ID_AA64PFR0_EL1, low: 16, least: 0, most: 0xE }],
        &[],
        &[0x9E66_0000],
    ),
    // rdvl x0, #1
    opened(
        "SVE",
        "scalable vectors, the longest",
        &[SVE],
        &[bits(ZCR_EL2, 0xF), bits(CPTR_EL3, 1 << 8), bits(ZCR_EL3, 0xF)],
        &[0x04BF_5020],
    ),
    // mrs x0, TPIDR2_EL0; mrs x0, SMCR_EL1
    opened(
        "SME",
        "scalable matrices",
        &[SME],
        &[
            bits(SMCR_EL2, 0xF),
            bits(HFGRTR_EL2, 3 << 54),
            bits(HFGWTR_EL2, 3 << 54),
            bits(SCR_EL3, 1 << 41),
            bits(CPTR_EL3, 1 << 12),
            bits(SMCR_EL3, 0xF),
        ],
        &[0xD53B_D0A0, 0xD538_12C0],
    ),
    opened(
        "SME_FA64",
        "all of SIMD in streaming mode",
        &[at_least(ID_AA64SMFR0_EL1, 63, 1)],
        &[bits(SMCR_EL2, 1 << 31), bits(SMCR_EL3, 1 << 31)],
        &[],
    ),
    // smstart za; zero { zt0 }; smstop za
    opened(
        "SME2",
        "ZT0",
        &[at_least(ID_AA64SMFR0_EL1, 56, 1)],
        &[bits(SMCR_EL2, 1 << 30), bits(SMCR_EL3, 1 << 30)],
        &[0xD503_457F, 0xC048_0001, 0xD503_447F],
    ),
    // mrs x0, FPMR
    opened(
        "FPMR",
        "the mode of 8-bit floating point",
        &[at_least(ID_AA64PFR2_EL1, 32, 1)],
        &[bits(HCRX_EL2, 1 << 23), bits(SCR_EL3, 1 << 50)],
        &[0xD53B_4440],
    ),
    // mrs x0, APIAKeyLo_EL1
    opened(
        "PAuth",
        "pointer authentication",
        &[
            at_least(ID_AA64ISAR1_EL1, 4, 1),
            at_least(ID_AA64ISAR1_EL1, 8, 1),
            at_least(ID_AA64ISAR2_EL1, 12, 1),
        ],
        &[bits(HCR_EL2, 3 << 40), bits(SCR_EL3, 3 << 16)],
        &[0xD538_2100],
    ),
    // mrs x0, GCR_EL1
    opened(
        "MTE2",
        "memory tagging",
        &[at_least(ID_AA64PFR1_EL1, 8, 2)],
        &[bits(HCR_EL2, 1 << 56), bits(SCR_EL3, 1 << 26)],
        &[0xD538_10C0],
    ),
    // mrs x0, SCXTNUM_EL1
    opened(
        "CSV2_2",
        "SCXTNUM_EL1",
        &[at_least(ID_AA64PFR0_EL1, 56, 2), at_least(ID_AA64PFR1_EL1, 32, 2)],
        &[bits(HCR_EL2, 1 << 53), bits(SCR_EL3, 1 << 25)],
        &[0xD538_D0E0],
    ),
    // Injection needs an error record to inject into, so nothing can be tried.
    opened(
        "RASv1p1",
        "fault injection",
        &[at_least(ID_AA64PFR0_EL1, 28, 2)],
        &[bits(HCR_EL2, 1 << 47), bits(SCR_EL3, 1 << 21)],
        &[],
    ),
    // mrs x0, PFAR_EL1
    opened(
        "PFAR",
        "the physical fault address",
        &[at_least(ID_AA64PFR1_EL1, 60, 1)],
        &[bits(HFGRTR2_EL2, 1), bits(HFGWTR2_EL2, 1), bits(SCR_EL3, 1 << 53)],
        &[0xD538_60A0],
    ),
    // mov x1, #0; setp [x0]!, x1!, x2; setm; sete: no bytes
    opened(
        "MOPS",
        "memory copy and set",
        &[at_least(ID_AA64ISAR2_EL1, 16, 1)],
        &[bits(HCRX_EL2, 1 << 11)],
        &[0xD280_0001, 0x19C2_0420, 0x19C2_4420, 0x19C2_8420],
    ),
    // These need memory of a device that takes them, so nothing can be tried.
    opened(
        "LS64",
        "64-byte loads and stores",
        &[at_least(ID_AA64ISAR1_EL1, 60, 1)],
        &[bits(HCRX_EL2, 1 << 1)],
        &[],
    ),
    opened(
        "LS64_V",
        "64-byte stores with a result",
        &[at_least(ID_AA64ISAR1_EL1, 60, 2)],
        &[bits(HCRX_EL2, 1 << 2)],
        &[],
    ),
    // mrs x0, ACCDATA_EL1
    opened(
        "LS64_ACCDATA",
        "ACCDATA_EL1",
        &[at_least(ID_AA64ISAR1_EL1, 60, 3)],
        &[bits(HCRX_EL2, 1), bits(HFGRTR_EL2, 1 << 50), bits(HFGWTR_EL2, 1 << 50), bits(SCR_EL3, 3 << 36)],
        &[0xD538_D0A0],
    ),
    // mrs x0, TCR2_EL1
    opened(
        "TCR2",
        "TCR2_EL1, zero at entry",
        &[TCR2],
        &[bits(HCRX_EL2, 1 << 14), bits(SCR_EL3, 1 << 43)],
        &[0xD538_2060],
    ),
    // mrs x0, SCTLR2_EL1
    opened(
        "SCTLR2",
        "SCTLR2_EL1, zero at entry",
        &[SCTLR2],
        &[bits(HCRX_EL2, 1 << 15), bits(SCR_EL3, 1 << 44)],
        &[0xD538_1060],
    ),
    // mrs x0, PIR_EL1
    opened(
        "S1PIE",
        "permission indirection",
        &[at_least(ID_AA64MMFR3_EL1, 8, 1)],
        &[bits(HFGRTR_EL2, 3 << 57), bits(HFGWTR_EL2, 3 << 57), bits(SCR_EL3, 1 << 45)],
        &[0xD538_A260],
    ),
    // mrs x0, POR_EL1
    opened(
        "S1POE",
        "permission overlays",
        &[at_least(ID_AA64MMFR3_EL1, 16, 1)],
        &[bits(HFGRTR_EL2, 3 << 59), bits(HFGWTR_EL2, 3 << 59), bits(SCR_EL3, 1 << 45)],
        &[0xD538_A280],
    ),
    // mrs x0, ALLINT
    opened("NMI", "interrupts that are not masked", &[at_least(ID_AA64PFR1_EL1, 36, 1)], &[], &[0xD538_4300]),
    // mrs x0, CNTPCT_EL0; mrs x0, CNTP_CTL_EL0; mrs x0, CNTV_CTL_EL0
    opened(
        "timers",
        "counter and both timers, offset 0",
        &[ALWAYS],
        &[],
        &[0xD53B_E020, 0xD53B_E220, 0xD53B_E320],
    ),
    // mrs x0, ICC_SRE_EL1
    opened("GICv3", "the interrupt controller's registers", &[GIC], &[], &[0xD538_CCA0]),
    // mrs x0, ICC_CR0_EL1
    opened(
        "GCIE",
        "the GICv5's registers and instructions",
        &[GIC_V5],
        &[
            bits(ICH_HFGRTR_EL2, 0x1F << 16 | 0xF7),
            bits(ICH_HFGWTR_EL2, 0x1F << 16 | 0x65),
            bits(ICH_HFGITR_EL2, 0x7FF),
            bits(ICH_VCTLR_EL2, 1),
        ],
        &[0xD539_C020],
    ),
    // mrs x0, MPAM1_EL1
    opened(
        "MPAM",
        "memory partitioning, all in the default partition",
        &[MPAM],
        &[bits(MPAM2_EL2, 1 << 50)],
        &[0xD538_A500],
    ),
    // mrs x0, AMCR_EL0
    opened("AMUv1", "activity monitors", &[at_least(ID_AA64PFR0_EL1, 44, 1)], &[], &[0xD53B_D200]),
    // mrs x0, PMCR_EL0
    opened("PMUv3", "performance monitors, all counters", &[PMU], &[], &[0xD53B_9C00]),
    // mrs x0, PMUACR_EL1
    opened(
        "PMUv3p9",
        "the instruction counter and EL0's access, counter by counter",
        &[PMU_V3P9],
        &[bits(HDFGRTR2_EL2, 7 << 2), bits(HDFGWTR2_EL2, 7 << 2), bits(MDCR_EL3, 1 << 7)],
        &[0xD538_9E80],
    ),
    // mrs x0, PMSCR_EL1
    opened(
        "SPE",
        "statistical profiling, physical addresses and time included",
        &[SPE],
        &[
            bits(MDCR_EL2, 3 << 12),
            bits(PMSCR_EL2, 1 << 4 | 1 << 6),
            bits(HDFGRTR2_EL2, 1 << 19),
            bits(HDFGWTR2_EL2, 1 << 19),
            bits(MDCR_EL3, 3 << 12),
        ],
        &[0xD538_9900],
    ),
    // mrs x0, PMSNEVFR_EL1
    opened(
        "SPEv1p2",
        "PMSNEVFR_EL1",
        &[SPE_V1P2],
        &[bits(HDFGRTR_EL2, 1 << 62), bits(HDFGWTR_EL2, 1 << 62), bits(MDCR_EL3, 1 << 36)],
        &[0xD538_9920],
    ),
    // mrs x0, TRBLIMITR_EL1
    opened(
        "TRBE",
        "the trace buffer",
        &[at_least(ID_AA64DFR0_EL1, 44, 1)],
        &[bits(MDCR_EL2, 3 << 24), bits(MDCR_EL3, 3 << 24)],
        &[0xD538_9B00],
    ),
    // mrs x0, DBGBVR0_EL1
    opened("Debug", "breakpoints and watchpoints", &[at_least(ID_AA64DFR0_EL1, 0, 6)], &[], &[0xD530_0080]),
    // mrs x0, LORC_EL1
    opened(
        "LOR",
        "limited ordering regions, off at entry",
        &[at_least(ID_AA64MMFR1_EL1, 16, 1)],
        &[],
        &[0xD538_A460],
    ),
    // mrs x0, BRBCR_EL1
    closed(
        "BRBE",
        "branch records",
        &[at_least(ID_AA64DFR0_EL1, 52, 1)],
        ClosedFeatures::BRANCH_RECORDS,
        &[0xD531_9000],
    ),
    // mrs x0, GCSCR_EL1
    closed(
        "GCS",
        "guarded control stacks",
        &[at_least(ID_AA64PFR1_EL1, 44, 1)],
        ClosedFeatures::GUARDED_STACKS,
        &[0xD538_2500],
    ),
    // mrs x0, MAIR2_EL1
    closed(
        "AIE",
        "attribute indirection",
        &[at_least(ID_AA64MMFR3_EL1, 24, 1)],
        ClosedFeatures::EXTENDED_TRANSLATION,
        &[0xD538_A220],
    ),
    // mrrs x0, x1, TTBR0_EL1
    closed(
        "D128",
        "128-bit descriptors",
        &[at_least(ID_AA64MMFR3_EL1, 32, 1)],
        ClosedFeatures::EXTENDED_TRANSLATION,
        &[0xD578_2000],
    ),
    // mrs x0, RCWMASK_EL1
    closed(
        "THE",
        "translation hardening",
        &[at_least(ID_AA64PFR1_EL1, 48, 1)],
        ClosedFeatures::TRANSLATION_HARDENING,
        &[0xD538_D0C0],
    ),
    // mrs x0, MDSELR_EL1
    closed(
        "Debugv8p9",
        "banks of breakpoints (MDSELR_EL1)",
        &[at_least(ID_AA64DFR0_EL1, 0, 11)],
        ClosedFeatures::DEBUG_BANKS,
        &[0xD530_0440],
    ),
    // mrs x0, SPMACCESSR_EL1
    closed(
        "SPMU",
        "system performance monitors",
        &[at_least(ID_AA64DFR1_EL1, 32, 1)],
        ClosedFeatures::SYSTEM_MONITORS,
        &[0xD530_9D60],
    ),
];
