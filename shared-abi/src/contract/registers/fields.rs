//! The lists: what each field of each register holds when the kernel is entered, and why.

use super::register::{Field, Register};
use crate::addr::VIRT_BITS;

const fn field(name: &'static str, low: u32, width: u32, value: u64) -> Field {
    Field { name, low, width, value }
}

/// Translation control: both halves 48 bits and 4 KiB granule, walks inner shareable and write-back. IPS is zero
/// here: [`EntryRegisters::with_physical_size`] sets it.
pub const TCR_EL1: Register = Register::new(
    "TCR_EL1",
    &[
        field("T0SZ", 0, 6, 64 - VIRT_BITS as u64),
        field("RES0", 6, 1, 0),
        // No walks through TTBR0: user space is empty and a null dereference faults.
        field("EPD0", 7, 1, 1),
        // Walks are inner and outer write-back, read- and write-allocate (1), inner shareable (3).
        field("IRGN0", 8, 2, 0b01),
        field("ORGN0", 10, 2, 0b01),
        field("SH0", 12, 2, 0b11),
        // 4 KiB is 0b00 here and 0b10 in TG1.
        field("TG0", 14, 2, 0b00),
        field("T1SZ", 16, 6, 64 - VIRT_BITS as u64),
        // The current ASID is TTBR0's.
        field("A1", 22, 1, 0),
        field("EPD1", 23, 1, 0),
        field("IRGN1", 24, 2, 0b01),
        field("ORGN1", 26, 2, 0b01),
        field("SH1", 28, 2, 0b11),
        field("TG1", 30, 2, 0b10),
        field("IPS", 32, 3, 0),
        field("RES0", 35, 1, 0),
        // ASIDs of 8 bits: what every CPU has.
        field("AS", 36, 1, 0),
        // The top byte of an address is part of the address.
        field("TBI0", 37, 1, 0),
        field("TBI1", 38, 1, 0),
        // Software sets AF and writes descriptors; the hardware never does.
        field("HA", 39, 1, 0),
        field("HD", 40, 1, 0),
        // Hierarchical permissions stay in force; the tables use none.
        field("HPD0", 41, 1, 0),
        field("HPD1", 42, 1, 0),
        // No implementation-defined use of descriptor bits.
        field("HWU059-062", 43, 4, 0),
        field("HWU159-162", 47, 4, 0),
        field("TBID0", 51, 1, 0),
        field("TBID1", 52, 1, 0),
        field("NFD0", 53, 1, 0),
        field("NFD1", 54, 1, 0),
        // A kernel that wants EL0 kept from probing TTBR1 sets E0PD1 when it has an EL0.
        field("E0PD0", 55, 1, 0),
        field("E0PD1", 56, 1, 0),
        field("TCMA0", 57, 1, 0),
        field("TCMA1", 58, 1, 0),
        // 48-bit descriptors: SH is SH, not two more address bits.
        field("DS", 59, 1, 0),
        field("MTX0", 60, 1, 0),
        field("MTX1", 61, 1, 0),
        field("RES0", 62, 2, 0),
    ],
);

/// TCR_EL1.EPD0: what the loader keeps clear while it still runs with an identity map.
pub const TCR_EPD0: u64 = 1 << 7;

/// The least significant bit of TCR_EL1.IPS, a field of three bits.
pub const TCR_IPS_SHIFT: u32 = 32;

/// Memory attributes, by the index that [`MemoryType`](crate::vmsa::MemoryType) names. Unused indices are the
/// strictest Device type, so a stray index cannot be speculated through.
pub const MAIR_EL1: Register = Register::new(
    "MAIR_EL1",
    &[
        // Normal, write-back non-transient, read- and write-allocate, inner and outer.
        field("Attr0", 0, 8, 0xFF),
        // Device-nGnRE.
        field("Attr1", 8, 8, 0x04),
        // Normal, non-cacheable, inner and outer.
        field("Attr2", 16, 8, 0x44),
        // Device-nGnRnE, and so are the unused.
        field("Attr3", 24, 8, 0x00),
        field("Attr4", 32, 8, 0x00),
        field("Attr5", 40, 8, 0x00),
        field("Attr6", 48, 8, 0x00),
        field("Attr7", 56, 8, 0x00),
    ],
);

/// System control: MMU, caches and WXN on, stack alignment checked, little-endian, every trap of an EL0 that does
/// not exist yet open rather than surprising, every extension that needs set-up off.
pub const SCTLR_EL1: Register = Register::new(
    "SCTLR_EL1",
    &[
        field("M", 0, 1, 1),
        // Unaligned accesses to Normal memory are allowed, as compilers for this target assume.
        field("A", 1, 1, 0),
        field("C", 2, 1, 1),
        field("SA", 3, 1, 1),
        field("SA0", 4, 1, 1),
        // AArch32 at EL0 is not served: its barriers are undefined, SETEND and long IT blocks disabled.
        field("CP15BEN", 5, 1, 0),
        field("nAA", 6, 1, 0),
        field("ITD", 7, 1, 1),
        field("SED", 8, 1, 1),
        // DAIF belongs to EL1.
        field("UMA", 9, 1, 0),
        field("EnRCTX", 10, 1, 0),
        // Exception entry and return synchronise the context (RES1 without FEAT_ExS).
        field("EOS", 11, 1, 1),
        field("I", 12, 1, 1),
        field("EnDB", 13, 1, 0),
        // EL0 may zero cache blocks, read CTR_EL0, maintain its caches and wait: a program that uses these
        // would otherwise meet an unexpected trap, and none of them reaches another program's memory.
        field("DZE", 14, 1, 1),
        field("UCT", 15, 1, 1),
        field("nTWI", 16, 1, 1),
        field("RES0", 17, 1, 0),
        field("nTWE", 18, 1, 1),
        // Writable is never executable, whatever a descriptor says.
        field("WXN", 19, 1, 1),
        // EL0 has no SCXTNUM (RES1 without FEAT_CSV2).
        field("TSCXT", 20, 1, 1),
        field("IESB", 21, 1, 0),
        field("EIS", 22, 1, 1),
        // Exceptions leave PSTATE.PAN as it is (RES1 without FEAT_PAN).
        field("SPAN", 23, 1, 1),
        field("E0E", 24, 1, 0),
        field("EE", 25, 1, 0),
        field("UCI", 26, 1, 1),
        // Pointer authentication needs keys: the kernel turns it on with them.
        field("EnDA", 27, 1, 0),
        field("nTLSMD", 28, 1, 1),
        field("LSMAOE", 29, 1, 1),
        field("EnIB", 30, 1, 0),
        field("EnIA", 31, 1, 0),
        field("CMOW", 32, 1, 0),
        field("MSCEn", 33, 1, 0),
        field("EnFPM", 34, 1, 0),
        field("BT0", 35, 1, 0),
        field("BT1", 36, 1, 0),
        field("ITFSB", 37, 1, 0),
        field("TCF0", 38, 2, 0),
        field("TCF", 40, 2, 0),
        field("ATA0", 42, 1, 0),
        field("ATA", 43, 1, 0),
        field("DSSBS", 44, 1, 0),
        field("TWEDEn", 45, 1, 0),
        field("TWEDEL", 46, 4, 0),
        field("TMT0", 50, 1, 0),
        field("TMT", 51, 1, 0),
        field("TME0", 52, 1, 0),
        field("TME", 53, 1, 0),
        field("EnASR", 54, 1, 0),
        field("EnAS0", 55, 1, 0),
        field("EnALS", 56, 1, 0),
        field("EPAN", 57, 1, 0),
        field("TCSO0", 58, 1, 0),
        field("TCSO", 59, 1, 0),
        field("EnTP2", 60, 1, 0),
        field("NMI", 61, 1, 0),
        field("SPINTMASK", 62, 1, 0),
        field("TIDCP", 63, 1, 0),
    ],
);

/// SCTLR_EL1 bits M, C, I and WXN: what entry code leaves clear until its tables are in force.
pub const SCTLR_MMU_AND_CACHES: u64 = 1 << 0 | 1 << 2 | 1 << 12 | 1 << 19;

/// Access control: FP and SIMD at EL1 and EL0; SVE and SME trap until the kernel sizes its vectors.
pub const CPACR_EL1: Register = Register::new(
    "CPACR_EL1",
    &[
        field("RES0", 0, 16, 0),
        field("ZEN", 16, 2, 0b00),
        field("RES0", 18, 2, 0),
        field("FPEN", 20, 2, 0b11),
        field("RES0", 22, 2, 0),
        field("SMEN", 24, 2, 0b00),
        field("RES0", 26, 2, 0),
        field("TTA", 28, 1, 0),
        field("E0POE", 29, 1, 0),
        field("TAM", 30, 1, 0),
        field("TCPAC", 31, 1, 0),
        field("RES0", 32, 32, 0),
    ],
);

/// Kernel control of the timers: EL0 has neither counters nor timers, there is no event stream.
pub const CNTKCTL_EL1: Register = Register::new(
    "CNTKCTL_EL1",
    &[
        field("EL0PCTEN", 0, 1, 0),
        field("EL0VCTEN", 1, 1, 0),
        field("EVNTEN", 2, 1, 0),
        field("EVNTDIR", 3, 1, 0),
        field("EVNTI", 4, 4, 0),
        field("EL0VTEN", 8, 1, 0),
        field("EL0PTEN", 9, 1, 0),
        field("RES0", 10, 2, 0),
        field("EL1TVT", 12, 1, 0),
        field("EL1TVCT", 13, 1, 0),
        field("EL1NVPCT", 14, 1, 0),
        field("EL1NVVCT", 15, 1, 0),
        field("RES0", 16, 1, 0),
        field("EVNTIS", 17, 1, 0),
        field("CNTVMASK", 18, 1, 0),
        field("CNTPMASK", 19, 1, 0),
        field("RES0", 20, 44, 0),
    ],
);

/// Monitor debug: no software step, no breakpoints, no trap of the debug channel.
pub const MDSCR_EL1: Register = zero("MDSCR_EL1");

/// Auxiliary memory attributes: none.
pub const AMAIR_EL1: Register = zero("AMAIR_EL1");

/// Context ID.
pub const CONTEXTIDR_EL1: Register = zero("CONTEXTIDR_EL1");

/// EL0's stack pointer.
pub const SP_EL0: Register = zero("SP_EL0");

/// Software thread IDs: EL1's, EL0's, and EL0's read-only one.
pub const TPIDR_EL1: Register = zero("TPIDR_EL1");
/// See [`TPIDR_EL1`].
pub const TPIDR_EL0: Register = zero("TPIDR_EL0");
/// See [`TPIDR_EL1`].
pub const TPIDRRO_EL0: Register = zero("TPIDRRO_EL0");

/// Both timers off, so that unmasking interrupts does not deliver firmware's.
pub const CNTP_CTL_EL0: Register = zero("CNTP_CTL_EL0");
/// See [`CNTP_CTL_EL0`].
pub const CNTV_CTL_EL0: Register = zero("CNTV_CTL_EL0");

const fn zero(name: &'static str) -> Register {
    const ALL: &[Field] = &[field("all", 0, 64, 0)];
    Register::new(name, ALL)
}
