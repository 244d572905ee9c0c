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

mod fields;
mod register;

pub use fields::*;
pub use register::{Difference, Field, Register};

use crate::addr::PHYS_BITS;

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

    #[test]
    fn the_page_for_people_has_these_values() {
        let (mut rows, mut zero) = (String::new(), vec![]);
        for (register, value) in EntryRegisters::ABI_1.each() {
            if value == 0 {
                zero.push(format!("`{}`", register.name));
                continue;
            }
            let set = register.fields.iter().filter(|field| field.value != 0);
            let fields: Vec<String> = set
                .map(|field| match field.width {
                    1 => field.name.to_string(),
                    _ => format!("{} = {:#x}", field.name, field.value),
                })
                .collect();
            rows += &format!("| `{}` | `{value:#018x}` | {} |\n", register.name, fields.join(", "));
        }
        let page = include_str!("../../../docs/contract.md");
        for text in [rows, zero.join(", ")] {
            assert!(page.contains(&text), "docs/contract.md ought to say:\n{text}");
        }
    }
}
