//! The time before there is a console, and what firmware need not do: an error is seen all the same, a serial port can
//! be named beforehand, a tree may lie where nobody can write.

use images::kernel::KernelFile;
use images::loader::flatten;
use images::pack::{Contents, Payload, pack};
use images::recipe::{Digest, KernelSource};
use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use shared_abi::image::{BootFlags, Kind, LogLevel};

use crate::Behaviour;
use crate::entry_states::replace;
use crate::handoff::{Ended, Scratch, handoff};

/// QEMU `virt` with one CPU and 128 MiB, by its own account.
const TREE: &[u8] = include_bytes!("../../../elfloader/tests/trees/virt.dtb");

/// Its RAM, as address and size, and that of the machine here.
const RAM: [&[u8]; 2] = [b"\0\0\0\0\x40\0\0\0\0\0\0\0\x08\0\0\0", b"\0\0\0\0\x40\0\0\0\0\0\0\0\x10\0\0\0"];

/// The first byte of `virt`'s second flash memory.
const FLASH: u64 = 0x0400_0000;

/// RAM of `virt` that nobody puts a tree into.
const NOWHERE: u64 = 0x4800_0000;

/// A place in the header page that its checksum covers.
const CHECKED: usize = 0x80;

pub const EARLYCON: &str = "earlycon=pl011,0x9000000";

/// The kernel `hello`, with what a test asks for.
pub fn image(flags: BootFlags, tree_hint: u64, command_line: &str, tree: &[u8]) -> Result<Vec<u8>, Failed> {
    let workspace = Workspace::here();
    let payload = |kind, bytes: &[u8]| Payload { kind, name: String::new(), bytes: bytes.to_vec() };
    let more = [payload(Kind::COMMAND_LINE, command_line.as_bytes()), payload(Kind::DEVICE_TREE, tree)];
    let packed = pack(&Contents {
        loader: flatten(&std::fs::read(stage::loader(&workspace)?)?)?,
        kernel: KernelFile::new(std::fs::read(stage::kernel(
            &workspace,
            &KernelSource::Example("hello".into()),
        )?)?),
        kernel_name: "hello".into(),
        more: more.into_iter().filter(|payload| !payload.bytes.is_empty()).collect(),
        digest: Digest::Crc32c,
        flags,
        log: LogLevel::Normal,
        tree_hint,
    })?;
    Ok(packed.bytes)
}

/// Boots an image as it is.
fn run(name: &str, image: &[u8], machine: &str, more: &[&str]) -> Result<Ended, Failed> {
    let file = Scratch::new(&format!("{name}.img"), image)?;
    let mut arguments = vec!["run", "--image", file.path(), "--machine", machine, "--timeout", "60"];
    arguments.extend(more);
    handoff(&arguments)
}

/// The tree of the machine here.
fn tree() -> Vec<u8> {
    replaced(TREE, RAM[0], RAM[1])
}

/// The same, with a console that nobody can find.
fn tree_without_console() -> Vec<u8> {
    replaced(&tree(), b"stdout-path\0", b"xtdout-path\0")
}

/// The bytes with `from`, which is there once, replaced by as many.
pub fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    let [at] = places[..] else { panic!("{from:x?} is there {} times", places.len()) };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("a_loader_that_can_only_park_is_read_from_outside", || {
            let image = image(BootFlags::empty(), NOWHERE, "", &[])?;
            let ended = run("no-tree", &image, "virt-odd", &[])?.expect_status(101)?;
            ended.expect_words("parked the machine: error E0802")?.expect_words("\nhelp: ").map(drop)
        }),
        Behaviour::new("a_loader_that_cannot_read_its_header_is_read_from_outside", || {
            let mut image = image(BootFlags::SEMIHOSTING, 0, "", &[])?;
            image[CHECKED] ^= 1;
            run("header", &image, "virt", &[])?.expect_status(101)?.expect_words("error E0105").map(drop)
        }),
        Behaviour::new("a_register_of_el2_that_is_not_there_parks_the_machine_with_its_code", || {
            // QEMU 7.2 gives this model GIC system registers by its ID register, and none by its GICv2.
            let run =
                ["run", "--kernel", "hello", "--machine", "virt-el2", "--cpu", "a64fx", "--timeout", "60"];
            let ended = handoff(&run)?;
            match ended.status {
                0 => Ok(()),
                _ => ended.expect_status(101)?.expect_words("parked the machine: error E0803").map(drop),
            }
        }),
        Behaviour::new(
            "an_exception_of_the_entry_code_parks_the_machine_with_its_code_at_every_level",
            || {
                // At EL1 msr SPSel, #1, at EL2 msr HACR_EL2, x8, at EL3 msr SCR_EL3, x8: each becomes an undefined
                // instruction where it first stands, which is in the boot processor's way.
                for (machine, instruction) in
                    [("virt", 0xD500_41BF), ("virt-el2", 0xD51C_11E8), ("virt-secure-elf", 0xD51E_1108)]
                {
                    let mut image = image(BootFlags::SEMIHOSTING, 0, "", &[])?;
                    let at = memchr::memmem::find(&image, &u32::to_le_bytes(instruction))
                        .ok_or("no such instruction")?;
                    image[at..at + 4].fill(0);
                    let ended = run(&format!("udf-{machine}"), &image, machine, &[])?;
                    ended.expect_status(101)?.expect_words("parked the machine: error E0803")?;
                }
                Ok(())
            },
        ),
        Behaviour::new("a_processor_without_the_granule_is_refused_in_front_of_its_tables", || {
            let mut image = image(BootFlags::SEMIHOSTING, 0, "", &[])?;
            // ubfx x10, x10, #28, #4, of ID_AA64MMFR0_EL1, which becomes mov x10, #0xF: TGran4 says no.
            replace(&mut image, 0xD35C_7D4A, 0xD280_01EA)?;
            let ended = run("granule", &image, "virt", &[])?.expect_status(101)?;
            ended.expect_words("parked the machine: error E0804")?.expect_words("\nhelp: ").map(drop)
        }),
        Behaviour::new("a_machine_without_a_tree_is_refused_on_the_early_console", || {
            let image = image(BootFlags::empty(), NOWHERE, EARLYCON, &[])?;
            let ended = run("early-no-tree", &image, "virt-odd", &[])?.expect_status(101)?;
            ended.expect_said("error E0802: no device tree: x0 is 0x0, the hint is 0x48000000").map(drop)
        }),
        Behaviour::new("an_early_console_that_is_none_is_refused", || {
            let image = image(BootFlags::SEMIHOSTING, 0, "earlycon=sbi", &[])?;
            run("early-sbi", &image, "virt", &[])?.expect_status(101)?.expect_words("error E0431").map(drop)
        }),
        Behaviour::new("a_console_where_no_device_is_is_a_fault_that_is_told", || {
            // There is no tree, which it would say there.
            let image = image(BootFlags::SEMIHOSTING, NOWHERE, "earlycon=pl011,0xb000000", &[])?;
            let ended = run("early-none", &image, "virt-odd", &[])?.expect_status(102)?;
            let ended =
                ended.expect_words("loader fault while it was to read the device tree: data abort on a ")?;
            ended.expect_words("external abort")?.expect_words("address 0x000000000b0000").map(drop)
        }),
        Behaviour::new("an_early_console_serves_where_the_tree_names_none", || {
            let image = image(BootFlags::SEMIHOSTING, 0, EARLYCON, &tree_without_console())?;
            run("early-only", &image, "virt-odd", &[])?
                .expect_status(0)?
                .expect_said("verdict: good")
                .map(drop)
        }),
        Behaviour::new("a_machine_without_a_console_boots_in_silence", || {
            let image = image(BootFlags::SEMIHOSTING, 0, "", &tree_without_console())?;
            let ended = run("no-console", &image, "virt-odd", &[])?.expect_status(0)?;
            let is_silent = ended.console.is_empty();
            ended.expect(is_silent, "somebody says something").map(drop)
        }),
        Behaviour::new("the_packed_command_line_comes_before_the_passed_one", || {
            let image = image(BootFlags::SEMIHOSTING, 0, &format!("{EARLYCON} packed"), &[])?;
            let ended = run("lines", &image, "virt", &["--append", "passed"])?.expect_status(0)?;
            ended.expect_said(&format!("command line \"{EARLYCON} packed passed\"")).map(drop)
        }),
        Behaviour::new("a_tree_in_flash_is_copied_to_ram", || {
            let image = image(BootFlags::SEMIHOSTING, FLASH, "", &[])?;
            let tree = Scratch::new("flash.dtb", &tree())?;
            let flash = format!("loader,file={},addr={FLASH:#x},force-raw=on", tree.path());
            let ended = run("flash", &image, "virt-odd", &["--", "-device", &flash])?.expect_status(0)?;
            ended.expect_said(" device tree device tree")?.expect_said("verdict: good").map(drop)
        }),
    ]
}
