//! What is said of addresses, by the kept dump.

use super::*;
use crate::inspect::dump;

/// The kept dump, with a tree where its own was: QEMU's for the same machine, with as much behind it as there was.
fn entry() -> Snapshot {
    let mut entry = dump::decode(include_bytes!("../../../tests/data/virt-el2.core")).unwrap();
    let mut tree = include_bytes!("../../../../elfloader/tests/trees/virt.dtb").to_vec();
    tree.resize(0x2000, 0);
    let bytes = entry.boot_info().unwrap();
    let at = BootInfo::decode(&bytes).unwrap().device_tree().unwrap().phys_start;
    entry.memory.insert(at, tree);
    entry
}

/// What is said of an access that the tables of the kept dump refuse.
fn said(syndrome: u64, address: u64) -> String {
    let entry = entry();
    let Explanation { what, help } = explain(Syndrome::new(syndrome), None, Some(address), &entry, &entry);
    assert!(!help.is_empty(), "{what}");
    format!("{what}; {help}")
}

const READ: u64 = 0x9600_0004;
const WRITE: u64 = 0x9600_0044;
const EXECUTE: u64 = 0x8600_0004;

#[test]
fn every_kind_of_address_has_its_words() {
    let entry = entry();
    let bytes = entry.boot_info().unwrap();
    let info = BootInfo::decode(&bytes).unwrap();
    let extent = |wanted| info.extents().find(|extent| extent.rights() == wanted).unwrap().virt_start;
    let map = info.direct_map();
    let modules = info.modules().next().unwrap().phys_start.wrapping_add(map.virt_offset);
    let text = info.extents().find(|extent| extent.rights() == Rights::ReadExecute).unwrap();
    let alias = text.phys_start.wrapping_add(map.virt_offset);
    for (syndrome, address, words) in [
        (READ, 0, "a null pointer"),
        (READ, 0x18, "a field 0x18 bytes behind a null pointer"),
        (EXECUTE, 8, "a call or return to 0"),
        (READ, 0x0800_0000, "0x8000000 is intc@8000000's registers; map intc@8000000 as device memory"),
        (WRITE, 0x4100_0000, "0x41000000 is RAM, usable; use its virtual address in the direct map, 0xffff"),
        (READ, 0x7000_0000_0000, "whose walks TCR_EL1.EPD0 disables"),
        (READ, 0x4141_4141_4141_4141, "no address of either half"),
        (EXECUTE, 0x4141_4141_4141_4141, "a return address or a function pointer was overwritten"),
        (READ, 0xDDDD_DDDD_DDDD_DDDD, "memory that was freed: the checked heap fills it with 0xdd"),
        (READ, 0xDDDD_DDDD_DDDD_DDE5, "memory that was freed"),
        (WRITE, 0xA5A5_A5A5_A5A5_A5A5, "memory that was allocated and never written"),
        (READ, 0xFBFB_FBFB_FBFB_FBFB, "memory in front of a block or behind it"),
        (WRITE, 0x0900_0018, "the console's registers; use its virtual address, 0xffff008000180018"),
        (WRITE, info.kernel().range().end() + 8, "0x8 bytes behind the kernel's last segment"),
        (WRITE, info.boot_stack().virt_bottom - 16, "guard below the boot stack: its 64 KiB are used up"),
        (WRITE, extent(Rights::ReadExecute), "code: segment 1 is r-x"),
        (WRITE, extent(Rights::ReadOnly), "constants: segment 0 is r--"),
        (EXECUTE, extent(Rights::ReadWrite), "nothing there is executed"),
        (EXECUTE, info.boot_stack().virt_bottom, "the boot stack, where nothing is executed"),
        (WRITE, entry.register("x0").unwrap(), "BootInfo, which is read-only"),
        (EXECUTE, modules, "where nothing is executed; map code"),
        (WRITE, alias, "(kernel), which is read-only"),
        (READ, map.virt_offset.wrapping_add(0x0800_0000), "the direct map holds RAM only"),
        (READ, 0xFFFF_0000_1000_0000, "heap's window that is not mapped"),
        (READ, 0xFFFF_0090_0000_0000, "a page of the handoff window that is not mapped"),
    ] {
        let found = said(syndrome, address);
        assert!(found.contains(words), "{address:#x}: {found:?} lacks {words:?}");
    }
}

#[test]
fn an_access_that_the_tables_allow_by_now_lacked_a_barrier() {
    let entry = entry();
    let x0 = entry.register("x0").unwrap();
    let found = explain(Syndrome::new(READ), None, Some(x0), &entry, &entry);
    assert!(found.what.contains("mapped r--") && found.help.contains("TLBI"), "{found:?}");
}

#[test]
fn what_was_mapped_at_entry_and_is_no_longer_was_unmapped() {
    let entry = entry();
    let x0 = entry.register("x0").unwrap();
    let mut now = entry.clone();
    now.registers.insert("TTBR1_EL1".into(), entry.register("TTBR0_EL1").unwrap());
    let found = explain(Syndrome::new(READ), None, Some(x0), &entry, &now);
    assert!(found.what.contains("the kernel has unmapped it"), "{found:?}");
}

#[test]
fn undefined_instructions_are_told_by_themselves() {
    let said = |word| {
        let Explanation { what, help } = explain(Syndrome::new(0x0200_0000), word, None, &entry(), &entry());
        format!("{what}; {help}")
    };
    assert!(said(Some(0)).starts_with("zeros where code ought to be"));
    // smc #0, ldadd x0, x0, [x1], cas x0, x1, [x2], mul x0, x0, x0
    assert!(said(Some(0xD400_0003)).starts_with("SMC where nobody answers it"));
    assert!(said(Some(0xF820_0020)).contains("LSE") && said(Some(0xC8A0_7C41)).contains("LSE"));
    assert!(said(Some(0x9B00_7C00)).contains("compare the code") && said(None).contains("compare the code"));
}

#[test]
fn a_return_from_the_entry_function_is_told_from_a_null_call() {
    let (entry, mut now) = (entry(), entry());
    let said = |now: &Snapshot| explain(Syndrome::new(EXECUTE), None, Some(0), &entry, now).what;
    now.registers.insert("x30".into(), 0);
    assert!(said(&now).contains("returned from its entry function"));
    now.registers.insert("x30".into(), 8);
    assert!(said(&now).contains("a call or return to 0"));
}

#[test]
fn tables_of_ones_own_whose_walks_are_disabled_are_told() {
    let (entry, mut now) = (entry(), entry());
    now.registers.insert("TTBR0_EL1".into(), 0x4000_0000);
    let found = explain(Syndrome::new(READ), None, Some(0x0900_0018), &entry, &now);
    assert!(found.what.contains("EPD0 still disables") && found.help.contains("ISB"), "{found:?}");
}

#[test]
fn faults_without_an_address_are_explained_by_their_class() {
    let said = |esr: u64| explain(Syndrome::new(esr), None, None, &entry(), &entry()).what;
    assert!(said(0x1FE0_0000).contains("floating-point"));
    assert!(said(0x0200_0000).contains("undefined instruction"));
    assert!(said(0x9A00_0000).contains("SP is no multiple of 16"));
    assert!(said(0x8A00_0000).contains("PC is no multiple of 4"));
}

#[test]
fn an_alignment_fault_is_told_by_memory_and_sctlr() {
    let mut entry = entry();
    let x0 = entry.register("x0").unwrap();
    let aligned = Syndrome::new(0x9600_0021);
    assert!(explain(aligned, None, Some(x0 + 1), &entry, &entry).what.contains("atomic"));
    let sctlr = entry.register("SCTLR_EL1").unwrap();
    for name in ["SCTLR", "SCTLR_EL1"] {
        entry.registers.insert(name.into(), sctlr | 2);
    }
    assert!(explain(aligned, None, Some(x0 + 1), &entry, &entry).what.contains("SCTLR_EL1.A"));
}
