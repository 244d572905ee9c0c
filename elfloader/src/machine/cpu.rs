//! What this CPU is and can do, and the registers that it is handed over with.

use core::arch::asm;

use aarch64_cpu::registers::*;
use elfloader::boot_facts::Processor;
use shared_abi::addr::PhysAddr;
use shared_abi::contract::features::{self, Id};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::crc32c::Crc32c;

/// The CPU's physical address size, at most 48 bits.
pub fn physical_size() -> PhysicalSize {
    PhysicalSize::from_id(ID_AA64MMFR0_EL1.get())
}

/// What this CPU says of itself.
pub fn processor() -> Processor {
    Processor {
        affinity: MPIDR_EL1.get() & elfloader::platform::Cpu::AFFINITY_MASK,
        model: MIDR_EL1.get(),
        physical_size: physical_size(),
        timer_frequency: CNTFRQ_EL0.get(),
        closed_above_el1: features::closed(id_register),
    }
}

macro_rules! readers {
    ($($name:ident = $encoding:literal,)*) => {
        /// An ID register; 0 for what is none.
        fn id_register(id: Id) -> u64 {
            let value: u64;
            match id {
                $(Id::$name => {
                    // SAFETY: reading an ID register has no effect; one that the processor does not have reads as 0 (Arm
                    // ARM D19.3.1).
                    unsafe {
                        asm!(concat!("mrs {}, ", $encoding), out(reg) value,
                            options(pure, nomem, nostack, preserves_flags))
                    }
                })*
                _ => value = 0,
            }
            value
        }
    };
}

shared_abi::feature_id_registers!(readers);

/// Whether the CPU has EL2 (ID_AA64PFR0_EL1.EL2).
pub fn has_el2() -> bool {
    const EL2: u64 = 8;
    ID_AA64PFR0_EL1.get() >> EL2 & 0xF != 0
}

/// Ticks since some start.
pub fn counter() -> u64 {
    CNTVCT_EL0.get()
}

/// CRC-32C by the CPU's own instructions where it has them (FEAT_CRC32), else by table.
pub fn crc32c() -> Crc32c {
    const CRC32: u64 = 16;
    if ID_AA64ISAR0_EL1.get() >> CRC32 & 0xF != 0 {
        crc32c_by_instruction
    } else {
        shared_abi::crc32c::crc32c_small
    }
}

fn crc32c_by_instruction(checksum: u32, bytes: &[u8]) -> u32 {
    let mut sum = !checksum;
    // Words that are known to be aligned: the compiler reads others byte by byte.
    // SAFETY: every eight bytes are a valid word.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    let byte = |sum: &mut u32, byte: u8| {
        // SAFETY: `crc32c` has seen that the CPU has FEAT_CRC32; the instruction has no other effect.
        unsafe {
            asm!(".arch_extension crc", "crc32cb {0:w}, {0:w}, {1:w}", inout(reg) *sum, in(reg) u32::from(byte),
                options(pure, nomem, nostack, preserves_flags))
        };
    };
    head.iter().for_each(|value| byte(&mut sum, *value));
    // The longer a block, the less its loop costs.
    let words = crc32c_of_blocks::<32>(&mut sum, words);
    let words = crc32c_of_blocks::<8>(&mut sum, words);
    let rest = crc32c_of_blocks::<2>(&mut sum, words);
    let bytes = rest.iter().flat_map(|word| word.to_ne_bytes());
    bytes.chain(tail.iter().copied()).for_each(|value| byte(&mut sum, value));
    !sum
}

/// Continues over blocks of so many words, an even number. Returns the words that make no block.
fn crc32c_of_blocks<'w, const WORDS: usize>(sum: &mut u32, words: &'w [u64]) -> &'w [u64] {
    let (blocks, rest) = words.as_chunks::<WORDS>();
    for block in blocks {
        // SAFETY: as many bytes are read as the block has; the CPU has FEAT_CRC32, as `crc32c` has seen.
        unsafe {
            asm!(
                ".arch_extension crc",
                ".rept {pairs}",
                "ldp {a}, {b}, [{at}], #16",
                "crc32cx {sum:w}, {sum:w}, {a}",
                "crc32cx {sum:w}, {sum:w}, {b}",
                ".endr",
                pairs = const WORDS / 2,
                at = inout(reg) block.as_ptr() => _,
                sum = inout(reg) *sum,
                a = out(reg) _,
                b = out(reg) _,
                options(pure, readonly, nostack, preserves_flags),
            )
        };
    }
    rest
}

/// Random words of the CPU (FEAT_RNG): as many as asked for, or none if it has none to give.
pub fn random<const COUNT: usize>() -> Option<[u64; COUNT]> {
    const RNDR: u64 = 60;
    if ID_AA64ISAR0_EL1.get() >> RNDR & 0xF == 0 {
        return None;
    }
    let mut words = [0; COUNT];
    for word in &mut words {
        let (value, failed): (u64, u64);
        // SAFETY: RNDR exists; reading it has no effect but on the flags.
        unsafe {
            asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) value, lateout(reg) failed, options(nomem, nostack))
        };
        if failed != 0 {
            return None;
        }
        *word = value;
    }
    Some(words)
}

/// Sets what the contract says of every register that may have its final value while the loader still runs.
/// The boot protocol promises EL1 the counter and not the physical timer, but the contract has it off: hypervisors emulate
/// it (KVM, Xen, Apple's), and one that did not would show as a fault of the loader with this place.
/// TCR_EL1, SP_EL0 and the thread pointers follow in the jump; SCTLR_EL1 and MAIR_EL1 stand since the entry.
pub fn apply(registers: &EntryRegisters) {
    CPACR_EL1.set(registers.cpacr_el1);
    CNTKCTL_EL1.set(registers.cntkctl_el1);
    CNTP_CTL_EL0.set(registers.cntp_ctl_el0);
    CNTV_CTL_EL0.set(registers.cntv_ctl_el0);
    MDSCR_EL1.set(registers.mdscr_el1);
    CONTEXTIDR_EL1.set(registers.contextidr_el1);
    // SAFETY: AMAIR_EL1 holds implementation-defined hints for memory attributes; zero asks for none.
    unsafe {
        asm!("msr amair_el1, {}", in(reg) registers.amair_el1, options(nomem, nostack, preserves_flags))
    };
}

/// TTBR0_EL1 as it will be, TTBR1_EL1 and VBAR_EL1 as they are.
pub fn table_registers(low_root: PhysAddr) -> [u64; 3] {
    [low_root.get(), TTBR1_EL1.get(), VBAR_EL1.get()]
}
