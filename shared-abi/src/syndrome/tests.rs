//! Golden words for syndromes as real CPUs report them, and totality over every encoding.

use super::*;

fn words(esr: u64) -> String {
    Syndrome::new(esr).to_string()
}

#[test]
fn faults_that_a_kernel_meets_read_in_words() {
    // Values as QEMU and hardware report them; ISS fields by hand from the Arm ARM.
    for (esr, expected) in [
        (0x9600_0044, "data abort on a write: translation fault, level 0"),
        (0x9600_0007, "data abort on a read: translation fault, level 3"),
        (0x9600_004F, "data abort on a write: permission fault, level 3"),
        (0x9600_0021, "data abort on a read: alignment fault"),
        (0x9600_0147, "data abort on cache maintenance: translation fault, level 3"),
        (0x9200_0006, "data abort from a lower level on a read: translation fault, level 2"),
        (0x8600_000E, "instruction abort: permission fault, level 2"),
        (0x8200_000F, "instruction abort from a lower level: permission fault, level 3"),
        (0x9600_0010, "data abort on a read: external abort"),
        (0x9600_0015, "data abort on a read: external abort on a table walk, level 1"),
        (0x9600_002B, "data abort on a read: translation fault, level -1"),
        (0xF200_0001, "BRK #0x1"),
        (0x5600_0042, "SVC #0x42"),
        (0x5A00_0000, "HVC #0x0"),
        (0x5E00_0007, "SMC #0x7"),
        (0x8A00_0000, "PC alignment fault"),
        (0x9A00_0000, "SP alignment fault"),
        (0x3A00_0000, "illegal execution state"),
        (0x1FE0_0000, "trapped floating-point or SIMD instruction"),
        (0x0200_0000, "undefined instruction or unknown reason"),
        (0xBE00_0000, "SError, severity not said"),
        (0xBE00_0411, "SError, unrecoverable"),
        (0xBF00_0411, "SError, severity not said"),
        (0x6234_0001, "trapped system register access, read of S3_0_C0_C0_2"),
        (0xD200_0022, "watchpoint from a lower level"),
        (0xFE00_0000, "exception of the unassigned class 0x3f"),
    ] {
        assert_eq!(words(esr), expected, "{esr:#x}");
    }
}

#[test]
fn the_system_register_encoding_is_taken_from_its_fields() {
    // mrs x5, ctr_el0 (S3_3_C0_C0_1) trapped from EL0.
    let specific = 3 << 20 | 1 << 17 | 3 << 14 | 5 << 5 | 1;
    let Cause::SystemRegister(register) = Syndrome::new(0x18 << 26 | specific).cause() else {
        panic!("not a system register trap")
    };
    assert_eq!(register, SystemRegister { encoding: [3, 3, 0, 0, 1], transfer: 5, is_read: true });
    assert_eq!(register.to_string(), "read of S3_3_C0_C0_1");
}

#[test]
fn the_fault_address_is_valid_only_where_the_architecture_writes_it() {
    let far = |esr| Syndrome::new(esr).far_is_valid();
    assert!(far(0x9600_0044) && far(0x8600_000E) && far(0x8A00_0000) && far(0xD200_0022));
    assert!(!far(0x9600_0410), "FnV is set");
    assert!(!far(0x5600_0000) && !far(0xBE00_0000) && !far(0) && !far(0x9A00_0000));
}

#[test]
fn every_class_and_every_status_code_decodes_and_prints() {
    for class in 0..64_u64 {
        for status in 0..64_u64 {
            let syndrome = Syndrome::new(class << 26 | status);
            assert!(!syndrome.to_string().is_empty());
            assert_eq!(u64::from(syndrome.class()), class);
            assert_eq!(syndrome.fault().is_some(), matches!(class, 0x20 | 0x21 | 0x24 | 0x25));
        }
    }
    assert!(!words(u64::MAX).is_empty());
}

#[test]
fn levels_belong_to_walks_and_lie_between_minus_two_and_three() {
    for status in 0..64 {
        let fault = Fault::of(status);
        let walks =
            !matches!(status, 0x10 | 0x11 | 0x18 | 0x21 | 0x28 | 0x30..) && fault.kind != FaultKind::Reserved;
        assert_eq!(fault.level.is_some(), walks, "{status:#x}");
        assert!(fault.level.is_none_or(|level| (-2..=3).contains(&level)));
    }
    // The four kinds that a kernel can resolve, by their literal codes.
    assert_eq!(Fault::of(0x07), Fault { kind: FaultKind::Translation, level: Some(3) });
    assert_eq!(Fault::of(0x0B), Fault { kind: FaultKind::AccessFlag, level: Some(3) });
    assert_eq!(Fault::of(0x0F), Fault { kind: FaultKind::Permission, level: Some(3) });
    assert_eq!(Fault::of(0x21), Fault { kind: FaultKind::Alignment, level: None });
}

#[test]
fn vectors_name_what_and_whence() {
    let name = |index| Vector::new(index).map(|vector| vector.to_string());
    assert_eq!(name(0).as_deref(), Some("synchronous exception from this level on SP_EL0"));
    assert_eq!(name(4).as_deref(), Some("synchronous exception from this level on SP_ELx"));
    assert_eq!(name(7).as_deref(), Some("SError from this level on SP_ELx"));
    assert_eq!(name(9).as_deref(), Some("IRQ from a lower level in AArch64"));
    assert_eq!(name(14).as_deref(), Some("FIQ from a lower level in AArch32"));
    assert_eq!(name(16), None);
}
