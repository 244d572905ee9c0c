//! The system registers of the entry contract: every field of every register, stated once.
//!
//! A register is a list of fields that tile its 64 bits without gap or overlap (asserted at compile time), so no
//! bit is inherited from reset or firmware, reserved bits included. The value that entry code writes, the value
//! that a conformance test compares and the text that a tool prints all come from the same list.
//!
//! [`EntryRegisters`] is one value of a type: another kernel protocol has another value. The only input is the
//! CPU's physical address size, which TCR_EL1.IPS follows ([`PhysicalSize`]).
//!
//! Bit positions: Arm ARM D19.2 (DDI 0487). Bits that a CPU does not implement are RES0 or RES1 there; the value
//! stated is the one the Arm ARM wants written to a bit that is reserved on an older CPU.

use core::fmt;

use crate::addr::{PHYS_BITS, VIRT_BITS};

/// A field of a system register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// The Arm ARM's name; `RES0` for bits that no architecture version names.
    pub name: &'static str,
    /// The least significant bit.
    pub low: u32,
    /// Number of bits, 1 to 64.
    pub width: u32,
    /// The contract's value, unshifted.
    pub value: u64,
}

impl Field {
    /// The field's bits in the register.
    pub const fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.width)) << self.low
    }

    /// The field's value in `register`, unshifted.
    pub const fn of(self, register: u64) -> u64 {
        (register & self.mask()) >> self.low
    }
}

const fn field(name: &'static str, low: u32, width: u32, value: u64) -> Field {
    Field { name, low, width, value }
}

/// A system register whose fields, each with the contract's value, tile all 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// The Arm ARM's name.
    pub name: &'static str,
    /// From bit 0 upward.
    pub fields: &'static [Field],
}

impl Register {
    /// Evaluated at compile time only: a gap, an overlap or an oversized value ends the build.
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        let mut next = 0;
        let mut index = 0;
        while index < fields.len() {
            let field = fields[index];
            assert!(field.low == next, "fields must tile the register from bit 0 upward");
            assert!(field.of(field.value << field.low) == field.value, "a value is wider than its field");
            next += field.width;
            index += 1;
        }
        assert!(next == 64, "fields must tile all 64 bits");
        Self { name, fields }
    }

    /// The contract's value: all fields joined.
    pub const fn value(self) -> u64 {
        let mut bits = 0;
        let mut index = 0;
        while index < self.fields.len() {
            bits |= self.fields[index].value << self.fields[index].low;
            index += 1;
        }
        bits
    }

    /// The fields in which `found` is not `expected`, lowest first.
    pub fn differences(self, expected: u64, found: u64) -> impl Iterator<Item = Difference> {
        let differs = move |field: &&Field| field.of(expected) != field.of(found);
        self.fields.iter().filter(differs).map(move |field| Difference {
            register: self.name,
            field: field.name,
            expected: field.of(expected),
            found: field.of(found),
        })
    }
}

/// A field that does not hold what the contract says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The register.
    pub register: &'static str,
    /// The field.
    pub field: &'static str,
    /// The contract's value, unshifted.
    pub expected: u64,
    /// The value found, unshifted.
    pub found: u64,
}

impl fmt::Display for Difference {
    /// `SCTLR_EL1.WXN is 0x0, not 0x1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} is {:#x}, not {:#x}", self.register, self.field, self.found, self.expected)
    }
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

/// PSTATE's masks at entry, as DAIF reads: debug, SError, IRQ and FIQ masked.
pub const DAIF: u64 = 0b1111 << 6;

/// The CPU's physical address size, as TCR_EL1.IPS and ID_AA64MMFR0_EL1.PARange encode it, at most 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PhysicalSize(u8);

impl PhysicalSize {
    /// The encoding of 48 bits: more needs LPA2 or another granule, and TCR_EL1.DS is 0.
    pub const MAX_ENCODING: u8 = 0b101;

    /// From the value of ID_AA64MMFR0_EL1 (PARange is bits 3 to 0), clamped to 48 bits. Encodings above 48 bits
    /// and those still reserved can address at least 48.
    pub const fn from_id(id_aa64mmfr0: u64) -> Self {
        let encoding = (id_aa64mmfr0 & 0b1111) as u8;
        if encoding > Self::MAX_ENCODING { Self(Self::MAX_ENCODING) } else { Self(encoding) }
    }

    /// The encoding, 0 to 5.
    pub const fn encoding(self) -> u8 {
        self.0
    }

    /// Bits of a physical address: 32, 36, 40, 42, 44 or 48.
    pub const fn bits(self) -> u32 {
        match self.0 {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            _ => PHYS_BITS,
        }
    }

    /// The first physical address that the CPU cannot name, as a number.
    pub const fn limit(self) -> u64 {
        1 << self.bits()
    }
}

/// The values of the system registers that a kernel protocol promises at the kernel's first instruction. TTBR0,
/// TTBR1, VBAR and the stack pointer are addresses and follow from the boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryRegisters {
    /// See [`SCTLR_EL1`].
    pub sctlr_el1: u64,
    /// See [`TCR_EL1`].
    pub tcr_el1: u64,
    /// See [`MAIR_EL1`].
    pub mair_el1: u64,
    /// See [`AMAIR_EL1`].
    pub amair_el1: u64,
    /// See [`CPACR_EL1`].
    pub cpacr_el1: u64,
    /// See [`CNTKCTL_EL1`].
    pub cntkctl_el1: u64,
    /// See [`CNTP_CTL_EL0`].
    pub cntp_ctl_el0: u64,
    /// See [`CNTV_CTL_EL0`].
    pub cntv_ctl_el0: u64,
    /// See [`MDSCR_EL1`].
    pub mdscr_el1: u64,
    /// See [`CONTEXTIDR_EL1`].
    pub contextidr_el1: u64,
    /// See [`SP_EL0`].
    pub sp_el0: u64,
    /// See [`TPIDR_EL1`].
    pub tpidr_el1: u64,
    /// See [`TPIDR_EL0`].
    pub tpidr_el0: u64,
    /// See [`TPIDRRO_EL0`].
    pub tpidrro_el0: u64,
    /// See [`DAIF`].
    pub daif: u64,
}

impl EntryRegisters {
    /// The contract's values, with IPS still zero (32 bits of physical address).
    pub const ABI_1: Self = Self {
        sctlr_el1: SCTLR_EL1.value(),
        tcr_el1: TCR_EL1.value(),
        mair_el1: MAIR_EL1.value(),
        amair_el1: AMAIR_EL1.value(),
        cpacr_el1: CPACR_EL1.value(),
        cntkctl_el1: CNTKCTL_EL1.value(),
        cntp_ctl_el0: CNTP_CTL_EL0.value(),
        cntv_ctl_el0: CNTV_CTL_EL0.value(),
        mdscr_el1: MDSCR_EL1.value(),
        contextidr_el1: CONTEXTIDR_EL1.value(),
        sp_el0: SP_EL0.value(),
        tpidr_el1: TPIDR_EL1.value(),
        tpidr_el0: TPIDR_EL0.value(),
        tpidrro_el0: TPIDRRO_EL0.value(),
        daif: DAIF,
    };

    /// The same for a CPU of that physical address size.
    pub const fn with_physical_size(self, size: PhysicalSize) -> Self {
        let without = self.tcr_el1 & !(0b111 << TCR_IPS_SHIFT);
        Self { tcr_el1: without | (size.encoding() as u64) << TCR_IPS_SHIFT, ..self }
    }

    /// Each register that has fields, with its value here: for comparing with a machine and for printing.
    pub const fn each(&self) -> [(Register, u64); 14] {
        [
            (SCTLR_EL1, self.sctlr_el1),
            (TCR_EL1, self.tcr_el1),
            (MAIR_EL1, self.mair_el1),
            (AMAIR_EL1, self.amair_el1),
            (CPACR_EL1, self.cpacr_el1),
            (CNTKCTL_EL1, self.cntkctl_el1),
            (CNTP_CTL_EL0, self.cntp_ctl_el0),
            (CNTV_CTL_EL0, self.cntv_ctl_el0),
            (MDSCR_EL1, self.mdscr_el1),
            (CONTEXTIDR_EL1, self.contextidr_el1),
            (SP_EL0, self.sp_el0),
            (TPIDR_EL1, self.tpidr_el1),
            (TPIDR_EL0, self.tpidr_el0),
            (TPIDRRO_EL0, self.tpidrro_el0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmsa::MemoryType;

    #[test]
    fn values_are_the_literals_of_the_contract() {
        assert_eq!(EntryRegisters::ABI_1.sctlr_el1, 0x0000_0000_34DD_D99D);
        assert_eq!(EntryRegisters::ABI_1.tcr_el1, 0x0000_0000_B510_3590);
        assert_eq!(EntryRegisters::ABI_1.mair_el1, 0x0000_0000_0044_04FF);
        assert_eq!(EntryRegisters::ABI_1.cpacr_el1, 0x0000_0000_0030_0000);
        assert_eq!(EntryRegisters::ABI_1.daif, 0x3C0);
        let zero = EntryRegisters::ABI_1.each().into_iter().filter(|(_, value)| *value == 0).count();
        assert_eq!(zero, 10);
    }

    #[test]
    fn single_bits_stand_where_the_architecture_puts_them() {
        let sctlr = EntryRegisters::ABI_1.sctlr_el1;
        let set: Vec<u32> = (0..64).filter(|bit| sctlr >> bit & 1 == 1).collect();
        assert_eq!(set, [0, 2, 3, 4, 7, 8, 11, 12, 14, 15, 16, 18, 19, 20, 22, 23, 26, 28, 29]);
        assert_eq!(sctlr & SCTLR_MMU_AND_CACHES, SCTLR_MMU_AND_CACHES);
        assert_eq!(EntryRegisters::ABI_1.tcr_el1 & TCR_EPD0, TCR_EPD0);
    }

    #[test]
    fn the_physical_size_is_clamped_to_forty_eight_bits() {
        let tcr = |id| EntryRegisters::ABI_1.with_physical_size(PhysicalSize::from_id(id)).tcr_el1;
        assert_eq!(tcr(0x0000_0000_0000_1122), 0x0000_0002_B510_3590); // cortex-a53: 40 bits
        assert_eq!(tcr(0x0000_0000_0000_1124), 0x0000_0004_B510_3590); // cortex-a72: 44 bits
        assert_eq!(tcr(0x0000_0000_0000_1126), 0x0000_0005_B510_3590); // 52 bits, clamped
        let bits = [0, 1, 2, 3, 4, 5, 6, 7, 15].map(|id| PhysicalSize::from_id(id).bits());
        assert_eq!(bits, [32, 36, 40, 42, 44, 48, 48, 48, 48]);
        assert_eq!(PhysicalSize::from_id(0).limit(), 1 << 32);
    }

    #[test]
    fn memory_types_index_the_attribute_bytes() {
        let bytes = EntryRegisters::ABI_1.mair_el1.to_le_bytes();
        let of = |memory: MemoryType| bytes[usize::from(memory.index())];
        assert_eq!(MemoryType::ALL.map(of), [0xFF, 0x04, 0x44, 0x00]);
        assert!(MemoryType::ALL.iter().all(|memory| memory.is_device() == (of(*memory) & 0xF0 == 0)));
    }

    #[test]
    fn differences_name_the_fields() {
        let expected = EntryRegisters::ABI_1.sctlr_el1;
        let found = expected ^ (1 << 19) ^ (1 << 38);
        let text: Vec<String> = SCTLR_EL1.differences(expected, found).map(|d| d.to_string()).collect();
        assert_eq!(text, ["SCTLR_EL1.WXN is 0x0, not 0x1", "SCTLR_EL1.TCF0 is 0x1, not 0x0"]);
        assert_eq!(SCTLR_EL1.differences(expected, expected).count(), 0);
    }
}
