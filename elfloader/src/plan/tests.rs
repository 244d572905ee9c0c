use super::*;
use crate::elf_builder::*;
use shared_abi::memory::RegionKind;
use shared_abi::note::Note;

/// 128 MiB of RAM where QEMU's `virt` has it.
fn ram() -> Vec<Region<'static>> {
    vec![Region {
        range: PhysRange::from_bounds(0x4000_0000, 0x4800_0000).unwrap(),
        kind: RegionKind::USABLE,
        node: 0,
        name: "",
    }]
}

fn site() -> Site {
    Site {
        kernel: PhysAddr::new(0x4021_0000).unwrap(),
        resident: PhysRange::from_bounds(0x4020_1000, 0x4020_9000).unwrap(),
        stack_size: 0x1_0000,
        boot_info_size: 0x4000,
        console: PhysRange::from_bounds(0x0900_0000, 0x0900_1000),
    }
}

/// The plan of a file, placed at 0x4400_0000 unless that is not aligned enough, as text.
fn planned(file: &[u8], policy: Policy) -> String {
    let elf = KernelElf::parse(file).unwrap_or_else(|error| panic!("E{:04}: {error}", error.code()));
    let placement = Placement::choose(&elf, &policy, [0x8000_0000_0000_0000; 2], 0x4800_0000).unwrap();
    let mut room = Room::new();
    let plan = LoadPlan::new(&elf, placement, site(), &ram(), &mut room).unwrap();
    let base = PhysAddr::new(0x4400_0000).unwrap();
    let arena = PhysRange::new(base, plan.arena().length()).unwrap();
    let placed = plan.place(arena).unwrap();
    let mut text = placed.to_string();
    for mapping in placed.mappings(&ram()) {
        text += &format!("{mapping}\n");
    }
    text
}

fn as_noted() -> Policy {
    Policy::new(&Note::DEFAULT, false)
}

/// Compares with `tests/plans/NAME.txt`; with `BLESS=1` in the environment writes it instead.
fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/tests/plans/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "the plan differs from {path}");
}

#[test]
fn a_kernel_with_each_segment_on_its_own_pages_is_not_copied() {
    let text = planned(&ElfBuilder::good().build(), as_noted());
    assert!(text.contains("4 in place, 0 copied, 2 zeroed"));
    assert_golden("own-pages", &text);
}
