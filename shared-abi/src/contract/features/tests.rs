use super::*;

/// What the entry code does with the steps.
fn carry_out(steps: &[Step], read: &dyn Fn(Id) -> u64) -> Vec<(u64, u64)> {
    let (mut written, mut value, mut is_there) = (Vec::new(), 0, false);
    for step in steps {
        let part = |low: u32| step.what >> low & 0xFF;
        let id = Id::ALL[part(0) as usize];
        let holds = (read(id) >> part(8) & 0xF).wrapping_sub(part(16)) <= part(24);
        if step.what >> Step::FIRST & 1 == 1 {
            (value, is_there) = (0, holds);
        }
        value |= if holds { step.bits } else { 0 };
        if step.what >> Step::LAST & 1 == 1 && is_there {
            written.push((part(32), value));
        }
    }
    written
}

/// ID registers of a processor, by name; those not named read as 0.
type Processor = &'static [(Id, u64)];

const CORTEX_A53: Processor =
    &[(Id::ID_AA64PFR0_EL1, 0x2222), (Id::ID_AA64DFR0_EL1, 0x1030_5106), (Id::ID_AA64MMFR0_EL1, 0x1122)];

const NEWEST: Processor = &[
    (Id::ID_AA64PFR0_EL1, 0x2111_1123_1100_2222),
    (Id::ID_AA64PFR1_EL1, 0x1111_1021_1121_0321),
    (Id::ID_AA64PFR2_EL1, 0x1_0000_1000),
    (Id::ID_AA64SMFR0_EL1, 0x8200_0000_0000_0000),
    (Id::ID_AA64DFR0_EL1, 0x0010_1015_1030_590B),
    (Id::ID_AA64DFR1_EL1, 1 << 32),
    (Id::ID_AA64ISAR1_EL1, 3 << 60 | 1 << 4),
    (Id::ID_AA64ISAR2_EL1, 1 << 16),
    (Id::ID_AA64MMFR0_EL1, 0x0200_0000_0000_1126),
    (Id::ID_AA64MMFR1_EL1, 0x0000_0100_0001_0100),
    (Id::ID_AA64MMFR3_EL1, 0x0000_0001_0101_0111),
    (Id::MPAMIDR_EL1, 1),
    (Id::FGT_AND_AMU, 1),
];

fn reader(processor: Processor) -> impl Fn(Id) -> u64 {
    move |id| {
        let unnamed = u64::from(id == Id::PMBIDR_EL1 && processor == CORTEX_A53);
        processor.iter().find(|(known, _)| *known == id).map_or(unnamed, |(_, value)| *value)
    }
}

#[test]
fn the_steps_write_what_the_table_says() {
    for processor in [CORTEX_A53, NEWEST, &[(Id::E2H, 1)]] {
        let read = reader(processor);
        for (level, steps) in [(Level::El2, &STEPS_EL2[..]), (Level::El3, &STEPS_EL3[..])] {
            let controls = Control::ALL.iter().filter(|control| control.level() == level);
            let said: Vec<_> =
                controls.filter_map(|&control| Some((control as u64, value(control, &read)?))).collect();
            assert_eq!(carry_out(steps, &read), said, "{level:?}");
        }
    }
}

#[test]
fn an_old_processor_has_few_registers_and_no_reserved_bit_set() {
    let values = |control| value(control, reader(CORTEX_A53));
    assert_eq!(values(Control::HCR_EL2), Some(1 << 31));
    assert_eq!(values(Control::CPTR_EL2), Some(0x33FF));
    assert_eq!(values(Control::CNTHCTL_EL2), Some(3));
    assert_eq!(values(Control::MDCR_EL2), Some(0));
    assert_eq!(values(Control::SCR_EL3), Some(0x5B1));
    let there: Vec<_> = Control::ALL
        .iter()
        .filter(|control| values(**control).is_some())
        .map(|control| control.name())
        .collect();
    assert_eq!(
        there,
        [
            "HCR_EL2",
            "CPTR_EL2",
            "CNTHCTL_EL2",
            "CNTVOFF_EL2",
            "CNTHP_CTL_EL2",
            "VTTBR_EL2",
            "HSTR_EL2",
            "HACR_EL2",
            "MDCR_EL2",
            "SCR_EL3",
            "CPTR_EL3",
            "MDCR_EL3"
        ]
    );
    assert_eq!(closed(reader(CORTEX_A53)), ClosedFeatures::empty());
}

#[test]
fn a_new_processor_is_opened_as_linux_opens_it() {
    // By arch/arm64/include/asm/el2_setup.h and Documentation/arch/arm64/booting.rst of Linux 6.18, features that are
    // closed here aside.
    let values = |control| value(control, reader(NEWEST));
    assert_eq!(values(Control::HCRX_EL2), Some(1 << 23 | 1 << 15 | 1 << 14 | 1 << 11 | 7));
    assert_eq!(values(Control::HFGRTR_EL2), Some(0xF << 57 | 3 << 54 | 1 << 50));
    assert_eq!(values(Control::HFGWTR_EL2), values(Control::HFGRTR_EL2));
    assert_eq!(values(Control::HFGITR_EL2), Some(0));
    assert_eq!(values(Control::HDFGRTR_EL2), Some(1 << 62));
    assert_eq!(values(Control::HDFGRTR2_EL2), Some(1 << 19 | 7 << 2));
    assert_eq!(values(Control::ICH_HFGRTR_EL2), Some(0x1F_00F7));
    assert_eq!(values(Control::ICH_HFGWTR_EL2), Some(0x1F_0065));
    assert_eq!(values(Control::ICH_HFGITR_EL2), Some(0x7FF));
    assert_eq!(values(Control::SMCR_EL2), Some(1 << 31 | 1 << 30 | 0xF));
    assert_eq!(values(Control::PMSCR_EL2), Some(0x50));
    assert_eq!(values(Control::MDCR_EL2), Some(3 << 12 | 3 << 24));
    for control in Control::ALL {
        assert_eq!(values(*control).is_some(), !control_of_e2h(*control), "{control:?}");
    }
    assert_eq!(closed(reader(NEWEST)), ALL_CLOSED);
}

const fn control_of_e2h(control: Control) -> bool {
    matches!(control, Control::CPTR_EL2_E2H | Control::CNTHCTL_EL2_E2H)
}

const ALL_CLOSED: ClosedFeatures = ClosedFeatures::BRANCH_RECORDS
    .union(ClosedFeatures::GUARDED_STACKS)
    .union(ClosedFeatures::EXTENDED_TRANSLATION)
    .union(ClosedFeatures::TRANSLATION_HARDENING)
    .union(ClosedFeatures::DEBUG_BANKS)
    .union(ClosedFeatures::SYSTEM_MONITORS);

#[test]
fn the_page_for_people_has_the_table() {
    let mut rows = String::new();
    for feature in FEATURES {
        let mut shown: Vec<_> = Vec::new();
        for Condition { id, low, least, most } in feature.shown {
            let field = format!("{}[{}:{low}]", id.name(), (low + 3).min(63));
            match (id, least, most) {
                (Id::NONE, ..) => shown.push("always".to_owned()),
                (_, least, 0xF) => shown.push(format!("{field} ≥ {least}")),
                (_, least, most) => shown.push(format!("{field} {least} to {most}")),
            }
        }
        let mut by: Vec<String> = Vec::new();
        for Bits { control, bits } in feature.controls {
            by.push(format!("{} {bits:#x}", control.name()));
        }
        let by = match (feature.closed, by.is_empty()) {
            (Some(_), _) => "**closed**".to_owned(),
            (None, true) => "no trap".to_owned(),
            (None, false) => by.join(", "),
        };
        rows += &format!("| {} | {} | {} | {by} |\n", feature.name, feature.what, shown.join(", or "));
    }
    let page = include_str!("../../../../docs/contract.md");
    assert!(page.contains(&rows), "docs/contract.md ought to say:\n{rows}");
}
