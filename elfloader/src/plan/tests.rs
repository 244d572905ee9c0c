use super::*;
use crate::elf_builder::*;
use crate::host_boot;
use shared_abi::addr::PAGE;
use shared_abi::boot_info::BlobSize;
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
        boot_info: BlobSize::EMPTY.bytes(0x3000),
        boot_info_per_extent: BlobSize::EMPTY,
        console: PhysRange::from_bounds(0x0900_0000, 0x0900_1000),
    }
}

/// The plan of a file and what carrying it out means, as text. The arena is at 0x4400_0000.
fn planned(file: &[u8], policy: Policy) -> String {
    let elf = KernelElf::parse(file).unwrap_or_else(|error| panic!("E{:04}: {error}", error.code()));
    assert_boots(file, policy);
    let placement = Placement::choose(&elf, &policy, [0x8000_0000_0000_0000; 2], 0x4800_0000).unwrap();
    let mut room = Room::new();
    let plan = LoadPlan::new(&elf, placement, site(), &ram(), &mut room).unwrap();
    let base = PhysAddr::new(0x4400_0000).unwrap();
    let arena = PhysRange::new(base, plan.arena().length()).unwrap();
    let placed = plan.place(arena).unwrap();
    let mut text = placed.to_string();
    placed.fill(|fill| {
        text += &match fill {
            Fill::Copy { from, to, length } => {
                format!("copy        {length:#x} bytes at file +{from:#x} to {to}\n")
            }
            Fill::Zero { to, length } => format!("clear       {length:#x} bytes at {to}\n"),
        }
    });
    placed.relocate(|at, change| {
        text += &match change {
            Change::Set(value) => format!("word        {at} = {value:#018x}\n"),
            Change::Add(value) => format!("word        {at} + {value:#018x}\n"),
        }
    });
    for mapping in placed.mappings(&ram()) {
        text += &format!("map         {mapping}\n");
    }
    text
}

/// Boots the kernel on the host.
fn assert_boots(kernel: &[u8], policy: Policy) {
    let source = host_boot::Source { kernel, policy, layout: [1 << 63; 2], initrd: 0, largest: u64::MAX };
    host_boot::boot(source, |_, _| ()).unwrap_or_else(|(code, words)| panic!("E{code:04}: {words}"));
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

/// A file of `tests/stock`.
fn stock(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/stock/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let mut file = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (offset, digits) = line.split_once(' ').unwrap_or((line, ""));
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        put(&mut file, usize::from_str_radix(offset, 16).unwrap(), &bytes);
    }
    file
}

const RANDOM: Policy = Policy { slide: Slide::Random, direct_map: DirectMap::Random };

#[test]
fn stock_lld_output_loads_with_text_in_place_and_the_shared_file_page_copied_for_the_others() {
    let text = planned(&stock("lld-fixed"), as_noted());
    assert_golden("lld-fixed", &text);
    assert!(text.contains("r-x in place"));
}

#[test]
fn stock_lld_output_is_slid_and_relocated() {
    assert_golden("lld-pie", &planned(&stock("lld-pie"), RANDOM));
    assert_golden("lld-relr", &planned(&stock("lld-relr"), RANDOM));
    assert_golden("lld-relr-not-slid", &planned(&stock("lld-relr"), as_noted()));
}

#[test]
fn stock_gnu_output_loads_fixed_and_slid() {
    assert_golden("gnu-fixed", &planned(&stock("gnu-fixed"), as_noted()));
    assert_golden("gnu-pie", &planned(&stock("gnu-pie"), RANDOM));
}

/// A kernel of `size` bytes of text and some constants, data and BSS, whose file is laid out for blocks: file offsets equal addresses modulo 2 MiB,
/// counted from the site's file.
fn large(size: u64) -> ElfBuilder {
    let text = (0x20_0000 - (site().kernel.get() & 0x1F_FFFF)) & 0x1F_FFFF;
    let load = |flags, at, size| Program::load(flags, LINK + at, text + at, size).align(0x20_0000);
    ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT)
        .program(load(RX, 0, size))
        .program(load(R, size, 0x40_0000))
        .program(load(RW, size + 0x40_0000, 0x10_0000).memory(0xA0_0000))
        .contents(text + size + 0x50_0000, vec![0])
}

#[test]
fn a_large_kernel_is_mapped_by_blocks_and_its_bss_as_well() {
    assert_golden("large", &planned(&large(16 << 20).build(), as_noted()));
}

#[test]
fn a_kernel_of_256_mib_is_planned_with_as_many_tables_and_the_heap_begins_after_it() {
    // Not one byte of its segments is read, so that the host never makes most of this file's pages.
    let text = planned(&large(256 << 20).build(), as_noted());
    assert!(text.contains("66816 in place, 0 copied, 2304 zeroed"), "{text}");
    assert!(text.contains("heap        0xffff000010e00000–0xffff008000000000"), "{text}");
    let tables = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("arena"))
            .map(|line| line[line.find(',').unwrap()..].to_owned())
    };
    assert_eq!(tables(&text), tables(&planned(&large(16 << 20).build(), as_noted())));
}

#[test]
fn a_contiguous_kernel_is_copied_once_in_one_run() {
    let note = Note { contiguous_alignment: 0x20_0000, ..Note::DEFAULT };
    let file = ElfBuilder::new(ET_EXEC, LINK + 0x1000, &note)
        .segment(Program::load(RX, LINK + 0x1000, 0x2000, 0x1234))
        .segment(Program::load(RW, LINK + 0x4000, 0x5000, 0x600).memory(0x3000));
    assert_golden("contiguous", &planned(&file.build(), as_noted()));
}

#[test]
fn a_segment_that_is_not_congruent_is_copied() {
    let file = ElfBuilder::good().segment(Program::load(R, LINK + 0x1_0000, 0x6123, 0x1800));
    assert_golden("not-congruent", &planned(&file.build(), as_noted()));
}

#[test]
fn bss_alone_needs_no_byte_of_the_file() {
    let file = ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT)
        .segment(Program::load(RX, LINK, 0x2000, 0x100))
        .program(Program::load(RW, LINK + 0x1800, 0x1000_0000, 0).memory(0x1000));
    let text = planned(&file.build(), as_noted());
    assert!(text.contains("1 in place, 0 copied, 2 zeroed"), "{text}");
    // Nor do zeros that are only read, wherever they say that their bytes would be.
    let file = file.program(Program::load(R, LINK + 0x5800, 0x800, 0).memory(0x1000));
    let text = planned(&file.build(), as_noted());
    assert!(text.contains("1 in place, 0 copied, 4 zeroed"), "{text}");
}

#[test]
fn pages_that_are_not_shared_by_rights_are_shared_by_segments() {
    // Three data segments in one virtual page and the file's next ones.
    let file = ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT)
        .segment(Program::load(RX, LINK, 0x2000, 0x100))
        .segment(Program::load(RW, LINK + 0x1000, 0x3000, 0x1100))
        .segment(Program::load(RW, LINK + 0x2200, 0x5200, 0x10).memory(0x100))
        .segment(Program::load(RW, LINK + 0x2400, 0x4400, 0x1000));
    assert_golden("shared-page", &planned(&file.build(), as_noted()));
}

#[test]
fn a_plan_takes_no_arena_that_is_too_small_or_unaligned() {
    let file = large(16 << 20).build();
    let elf = KernelElf::parse(&file).unwrap();
    let placement = Placement::choose(&elf, &as_noted(), [0; 2], 0x4800_0000).unwrap();
    for (start, missing) in [(0x4410_0000, 0), (0x4400_0000, 0x1000)] {
        let mut room = Room::new();
        let plan = LoadPlan::new(&elf, placement, site(), &ram(), &mut room).unwrap();
        assert_eq!(plan.arena().alignment(), 0x20_0000);
        let arena = PhysRange::from_bounds(start, start + plan.arena().length() - missing).unwrap();
        assert_eq!(plan.place(arena).err().map(|error| error.code()), Some(250));
    }
}

#[test]
fn a_site_that_cannot_be_is_refused() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    let placement = Placement::choose(&elf, &as_noted(), [0; 2], 0x4800_0000).unwrap();
    let code = |site: Site, placement: Placement| {
        LoadPlan::new(&elf, placement, site, &ram(), &mut Room::new()).err().map(|error| error.code())
    };
    let phys = |address| PhysAddr::new(address).unwrap();
    let good = site();
    assert_eq!(code(good, placement), None);
    assert_eq!(code(Site { kernel: phys(0x4020_0800), ..good }, placement), Some(244));
    assert_eq!(code(Site { kernel: phys((1 << 48) - 0x1000), ..good }, placement), Some(245));
    assert_eq!(code(Site { stack_size: 0x1800, ..good }, placement), Some(246));
    assert_eq!(code(Site { stack_size: 0, ..good }, placement), Some(246));
    assert_eq!(code(Site { boot_info: BlobSize::EMPTY.bytes(512 << 10), ..good }, placement), Some(247));
    let console = PhysRange::from_bounds(0x900_0800, 0x901_0800);
    assert_eq!(code(Site { console, ..good }, placement), Some(248));
    let direct_map_offset = 0xFFFF_FFFF_C000_0000;
    assert_eq!(code(good, Placement { direct_map_offset, ..placement }), Some(242));
}

#[test]
fn data_linked_below_its_file_offset_does_not_alias_the_text_it_shares_a_file_page_with() {
    let file = ElfBuilder::new(ET_DYN, 0x1_0000, &Note::DEFAULT)
        .segment(Program::load(RX, 0x1_0000, 0x3000, 0x2800))
        .program(Program::load(RW, 0x800, 0x5800, 0x1000))
        .contents(0x5800, vec![1; 0x1000]);
    let text = planned(&file.build(), RANDOM);
    assert!(text.contains("rw- copied"), "{text}");
}

#[test]
fn code_is_cleaned_if_it_was_written_and_in_place_too_if_firmware_had_caches_on() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    let placement = Placement::choose(&elf, &as_noted(), [0; 2], 0x4800_0000).unwrap();
    let mut room = Room::new();
    let plan = LoadPlan::new(&elf, placement, site(), &ram(), &mut room).unwrap();
    let arena = PhysRange::new(PhysAddr::new(0x4400_0000).unwrap(), plan.arena().length()).unwrap();
    let placed = plan.place(arena).unwrap();
    assert_eq!(placed.code_to_clean(false).count(), 0);
    let in_place: Vec<_> = placed.code_to_clean(true).collect();
    let ram = ram();
    let code = placed.mappings(&ram).filter(|mapping| mapping.attributes.rights() == Rights::ReadExecute);
    let code: Vec<_> =
        code.map(|mapping| PhysRange::new(mapping.phys, mapping.virt.len()).unwrap()).collect();
    assert_eq!(in_place, code);
    assert!(!code.is_empty());
}

#[test]
fn the_resident_loader_is_read_only_wherever_it_lies() {
    let file = ElfBuilder::good().build();
    let elf = KernelElf::parse(&file).unwrap();
    let placement = Placement::choose(&elf, &as_noted(), [0; 2], 0x4800_0000).unwrap();
    // Before, behind and right behind each of the kernel's pages, and nowhere.
    for page in 0..16 {
        let start = 0x4021_0000 + page * PAGE;
        for resident in [(start, start + 0x8000), (start, start)] {
            let resident = PhysRange::from_bounds(resident.0, resident.1).unwrap();
            let mut room = Room::new();
            let site = Site { resident, ..site() };
            let plan = LoadPlan::new(&elf, placement, site, &ram(), &mut room).unwrap();
            let arena = PhysRange::new(PhysAddr::new(0x4400_0000).unwrap(), plan.arena().length()).unwrap();
            let placed = plan.place(arena).unwrap();
            let mut end = 0x4000_0000;
            for mapping in placed.mappings(&ram()).filter(|mapping| mapping.purpose == Purpose::DirectMap) {
                let (from, to) = (mapping.phys.get(), mapping.phys.get() + mapping.virt.len());
                assert_eq!(from, end, "{mapping}");
                end = to;
                let overlaps = !resident.is_empty() && from < resident.end() && resident.start().get() < to;
                assert!(
                    !overlaps || mapping.attributes.rights() == Rights::ReadOnly,
                    "{resident}: {mapping}"
                );
            }
            assert_eq!(end, 0x4800_0000);
        }
    }
}
