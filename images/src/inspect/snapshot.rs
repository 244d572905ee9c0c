//! What was read out of a stopped machine, or foreseen of one: registers and the memory that describes the handoff.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_abi::addr::{Frame, PAGE, PhysAddr, VirtAddr};
use shared_abi::boot_info::{BOOT_INFO_MAX, announced_size};
use shared_abi::page_table::{PageTable, TableSource};
use shared_abi::vmsa::Descriptor;

use super::moment::Moment;
use super::program::Parts;

/// Where a [`Snapshot`] comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A machine that was stopped.
    #[default]
    Stopped,
    /// A plan: nothing ran.
    Planned,
}

/// A machine at the kernel's first instruction, or at a later moment.
///
/// Memory is by physical address, in runs of whole pages that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Registers by the Arm ARM's name, in lower case for general ones: `x0`, `sp`, `pc`, `TCR_EL1`.
    pub registers: BTreeMap<String, u64>,
    /// Bytes by the physical address of their first.
    pub memory: BTreeMap<u64, Vec<u8>>,
    /// What was booted and on what, for titles.
    pub title: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What was seen of a later moment; `None` at the kernel's first instruction.
    pub moment: Option<Moment>,
    /// What the kernel's ELF file says of it, where it was at hand.
    pub parts: Option<Parts>,
    /// How the boot differs from a plan of it; `None` if none was made.
    pub plan: Option<Vec<String>>,
}

/// What QEMU calls a register that it shares with AArch32.
pub fn other_name(name: &str) -> Option<&'static str> {
    const OTHERS: [(&str, &str); 5] = [
        ("SCTLR_EL1", "SCTLR"),
        ("CPACR_EL1", "CPACR"),
        ("CNTKCTL_EL1", "CNTKCTL"),
        ("VBAR_EL1", "VBAR"),
        ("AMAIR_EL1", "AMAIR0"),
    ];
    OTHERS.iter().find(|(known, _)| *known == name).map(|(_, other)| *other)
}

impl Snapshot {
    /// A register's value. QEMU's names differ between versions; the Arm ARM's are asked for.
    pub fn register(&self, name: &str) -> Option<u64> {
        self.registers.get(name).or_else(|| self.registers.get(other_name(name)?)).copied()
    }

    /// The virtual address of `BootInfo`: x0 at entry.
    pub fn boot_info_address(&self) -> Option<u64> {
        self.moment.as_ref().map_or_else(|| self.register("x0"), |moment| Some(moment.boot_info))
    }

    /// The tree that TTBR1_EL1 points to.
    pub fn kernel_tables(&self) -> Option<PageTable> {
        root(self.register("TTBR1_EL1")?).map(PageTable::ttbr1)
    }

    /// The tree that TTBR0_EL1 points to.
    pub fn user_tables(&self) -> Option<PageTable> {
        root(self.register("TTBR0_EL1")?).map(PageTable::ttbr0)
    }

    /// Makes one run of pages that follow each other.
    pub fn join_runs(&mut self) {
        let mut runs: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (start, bytes) in std::mem::take(&mut self.memory) {
            match runs.last_entry() {
                Some(mut run) if run.key() + run.get().len() as u64 == start => run.get_mut().extend(bytes),
                _ => drop(runs.insert(start, bytes)),
            }
        }
        self.memory = runs;
    }

    /// Physical memory, if all of it was read.
    pub fn bytes(&self, start: u64, length: u64) -> Option<&[u8]> {
        let (first, run) = self.memory.range(..=start).next_back()?;
        let from = usize::try_from(start - first).ok()?;
        run.get(from..from.checked_add(usize::try_from(length).ok()?)?)
    }

    /// Where a virtual address of the high half lies, by the hardware's walk: rights and types that the contract's
    /// format refuses translate as well, or nothing could be said of tables that are wrong.
    pub fn translate(&self, virt: u64) -> Option<u64> {
        VirtAddr::new(virt).filter(|virt| virt.is_high())?;
        let mut table = self.kernel_tables()?.root();
        for level in 0..4_u8 {
            let shift = 39 - 9 * u32::from(level);
            let entry =
                self.entry(table, (virt >> shift & 0x1FF) as usize).filter(|entry| entry.is_valid())?;
            if !entry.is_table(level) {
                let inside = (1 << shift) - 1;
                return Some((entry.address().get() & !inside) | (virt & inside));
            }
            table = entry.address().frame();
        }
        None
    }

    /// Virtual memory through the kernel's tables, page by page; `None` where it is not mapped or was not read.
    pub fn virtual_bytes(&self, start: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let at = start.checked_add(bytes.len() as u64)?;
            let count = (PAGE - at % PAGE).min(length - bytes.len() as u64);
            bytes.extend_from_slice(self.bytes(self.translate(at)?, count)?);
        }
        Some(bytes)
    }

    /// The bytes of `BootInfo`, where x0 points.
    ///
    /// # Errors
    /// In words, why there is none to judge.
    pub fn boot_info(&self) -> Result<Vec<u8>, String> {
        let at = self.boot_info_address().ok_or("x0 was not read")?;
        let head =
            self.virtual_bytes(at, 64).ok_or_else(|| format!("x0 = {at:#018x} points to no memory"))?;
        // A damaged size is the decoder's to name: it gets as much as could be.
        let size = announced_size(&head).unwrap_or(BOOT_INFO_MAX) as u64;
        let mut length = size.min(BOOT_INFO_MAX as u64);
        loop {
            match self.virtual_bytes(at, length) {
                Some(bytes) => return Ok(bytes),
                None if length > PAGE => length = (length - 1) / PAGE * PAGE,
                None => return Ok(head),
            }
        }
    }
}

/// The table that a TTBR points to: its address field without ASID and CnP (Arm ARM D17.2, TTBR1_EL1).
fn root(ttbr: u64) -> Option<Frame> {
    Some(PhysAddr::new(ttbr & 0xFFFF_FFFF_F000)?.frame())
}

impl TableSource for Snapshot {
    fn entry(&self, table: Frame, index: usize) -> Option<Descriptor> {
        let at = table.start().get().checked_add(index as u64 * 8)?;
        let bytes = self.bytes(at, 8)?;
        Some(Descriptor::from_bits_retain(u64::from_le_bytes(bytes.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_follow_each_other_become_one_run() {
        let pages = [(0x1000, vec![1; 0x1000]), (0x2000, vec![2; 0x1000]), (0x4000, vec![3; 0x1000])];
        let mut snapshot = Snapshot { memory: pages.into(), ..Snapshot::default() };
        snapshot.join_runs();
        assert_eq!(
            snapshot.memory.iter().map(|(start, run)| (*start, run.len())).collect::<Vec<_>>(),
            [(0x1000, 0x2000), (0x4000, 0x1000)]
        );
    }

    #[test]
    fn memory_is_found_only_where_it_was_read() {
        let memory = BTreeMap::from([(0x1000, vec![1; 0x1000]), (0x4000, vec![2; 0x2000])]);
        let snapshot = Snapshot { memory, ..Snapshot::default() };
        assert_eq!(snapshot.bytes(0x1FFF, 1), Some(&[1][..]));
        assert_eq!(snapshot.bytes(0x1FFF, 2), None);
        assert_eq!(snapshot.bytes(0x5FFE, 2), Some(&[2, 2][..]));
        for (start, length) in [(0, 1), (0x2000, 1), (0x6000, 1), (0x4000, u64::MAX), (u64::MAX, 1)] {
            assert_eq!(snapshot.bytes(start, length), None);
        }
    }

    #[test]
    fn an_empty_snapshot_says_what_is_missing() {
        assert!(Snapshot::default().boot_info().unwrap_err().contains("x0"));
        let registers = BTreeMap::from([("x0".to_owned(), 8), ("TTBR1_EL1".to_owned(), 0x1001)]);
        let snapshot = Snapshot { registers, ..Snapshot::default() };
        assert_eq!(snapshot.boot_info().unwrap_err(), "x0 = 0x0000000000000008 points to no memory");
        assert_eq!(snapshot.kernel_tables().unwrap().root().number(), 1);
    }
}
