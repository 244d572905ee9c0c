//! An image that exists, on every machine and with every flag: what is asked for reaches QEMU or U-Boot's disk, or is
//! refused in words with status 2. Nothing is lost.
//!
//! In QEMU's place is a script that writes its arguments and its disk down.

#[path = "support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use images::machine::{MACHINES, Machine, Tree, WayIn};
use images::pack::{Contents, Payload, pack};
use images::size::Size;
use shared_abi::image::{BootFlags, Kind};
use support::{Folder, contents};

/// Answers for its version; else keeps what it was given and leaves as a machine whose kernel's verdict is good.
const QEMU: &str = r#"#!/bin/sh
case $1 in --version) echo 'QEMU emulator version 10.0.0'; exit ;; esac
printf '%s\n' "$@" >arguments
for argument; do
    case $before$argument in
        -kernel*) file=$argument ;;
        -drivefile=* | -deviceloader,file=*)
            file=$(printf %s "$argument" | sed 's/.*file=//; s/,\(format\|addr\)=.*//; s/,,/,/g') ;;
    esac
    before=$argument
done
cp "$file" booted
exit 64
"#;

/// Where a loader pauses: `b .`, `eret`.
const PAUSE: [u8; 8] = [0x00, 0x00, 0x00, 0x14, 0xE0, 0x03, 0x9F, 0xD6];

/// The flags, and what of each must be in QEMU's arguments, in order, or on U-Boot's disk.
const FLAGS: [(&[&str], &[&str], &str); 8] = [
    (&[], &[], ""),
    (&["--append", "two words"], &["-append", "two words"], "  append two words\n"),
    (&["--initrd", "initrd,1"], &["-initrd", "initrd,1"], "bytes of an initrd"),
    (&["--memory", "640M"], &["-m", "640M"], ""),
    (&["--cpu", "cortex-a76"], &["-cpu", "cortex-a76"], ""),
    (&["--cpus", "4"], &["-smp", "4"], ""),
    (&["--firmware", "u-boot"], &["-bios", "u-boot.bin"], ""),
    (&["--", "-d", "int"], &["-d", "int"], ""),
];

/// An image whose loader has a place to pause; with a tree packed, if asked for.
fn image(tree: Option<&[u8]>) -> Vec<u8> {
    let mut contents = Contents { flags: BootFlags::empty(), ..contents() };
    contents.loader[0x100..0x108].copy_from_slice(&PAUSE);
    let tree =
        tree.map(|tree| Payload { kind: Kind::DEVICE_TREE, name: String::new(), bytes: tree.to_vec() });
    contents.more.extend(tree);
    pack(&contents).unwrap().bytes
}

struct Bench(Folder);

impl Bench {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let qemu = folder.file("qemu", QEMU);
        std::fs::set_permissions(qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder.file("initrd,1", "bytes of an initrd");
        folder.file("u-boot.bin", "");
        for machine in MACHINES {
            if let Tree::Debian(path) = machine.tree {
                std::fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
                folder.file(path, "");
            }
        }
        Self(folder)
    }

    /// Runs the tool without a terminal; what QEMU was given before is gone.
    fn handoff(&self, arguments: &[&str], temporary: &Path) -> Output {
        for name in ["arguments", "booted"] {
            let _ = std::fs::remove_file(self.path(name));
        }
        Command::new(env!("CARGO_BIN_EXE_handoff"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("HANDOFF_QEMU", self.path("qemu"))
            .env("HANDOFF_NEWER_QEMU", "")
            .env("HANDOFF_TREES", self.0.path())
            .env("HANDOFF_U_BOOT", "u-boot.bin")
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// QEMU's arguments and the file that it was to boot, if it was started.
    fn started(&self) -> Option<(Vec<String>, Vec<u8>)> {
        let arguments = std::fs::read_to_string(self.path("arguments")).ok()?;
        Some((arguments.lines().map(str::to_owned).collect(), std::fs::read(self.path("booted")).unwrap()))
    }
}

/// Whether a flag cannot be honoured on a machine.
fn is_refused(machine: &Machine, flag: &str, tree_is_packed: bool) -> bool {
    let is_virt = machine.qemu.split(',').next() == Some("virt");
    let leaves_no_tree = machine.way_in == WayIn::Elf && machine.elf.is_none_or(|place| place.tree == 0);
    (leaves_no_tree && !tree_is_packed)
        || match flag {
            "--append" => matches!(machine.way_in, WayIn::Device { .. }) || leaves_no_tree,
            "--initrd" => matches!(machine.way_in, WayIn::Device { .. } | WayIn::Elf),
            "--memory" => machine.memory_fixed,
            "--cpu" => machine.cpu_fixed,
            "--cpus" => !(machine.cpus.least..=machine.cpus.most).contains(&4),
            "--firmware" => !is_virt,
            _ => false,
        }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len().max(1)).any(|window| window == part)
}

#[test]
fn every_flag_reaches_every_machine_or_is_refused() {
    let bench = Bench::new("given");
    bench.0.file("plain.img", image(None));
    bench.0.file("tree.img", image(Some(include_bytes!("../../elfloader/tests/trees/virt.dtb"))));
    let form = images::elf_form::wrap(&image(None), 0x4020_0000);
    bench.0.file("form.img", form);
    let temporary = std::env::temp_dir();
    let mut cells = 0;
    for machine in MACHINES {
        for (given, name) in [("plain", "plain.img"), ("tree", "tree.img"), ("form", "form.img")] {
            // These boot as run does, only stopped.
            let stopped: &[&str] = if given == "plain" { &["inspect", "audit"] } else { &[] };
            for verb in [&["run"], stopped].concat() {
                for (flags, expected, on_disk) in FLAGS {
                    let on = [verb, "--image", name, "--machine", machine.name];
                    let arguments = [&on[..], flags].concat();
                    let output = bench.handoff(&arguments, &temporary);
                    let words = String::from_utf8_lossy(&output.stderr).into_owned();
                    let flag = flags.first().copied().unwrap_or_default();
                    let started = bench.started();
                    if is_refused(machine, flag, given == "tree") {
                        assert!(started.is_none(), "{arguments:?} is lost");
                        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
                        let lines: Vec<_> = words.lines().collect();
                        let [error, help] = lines[..] else { panic!("{arguments:?}: {words}") };
                        assert!(error.starts_with("error: ") && help.starts_with("help: "), "{words}");
                    } else {
                        let (said, booted) = started.unwrap_or_else(|| panic!("{arguments:?}: {words}"));
                        let through_u_boot = machine.way_in == WayIn::UBoot || flag == "--firmware";
                        let found = match (through_u_boot, on_disk) {
                            (true, part) if !part.is_empty() => holds(&booted, part.as_bytes()),
                            _ => expected.is_empty() || said.windows(2).any(|pair| pair == expected),
                        };
                        assert!(found, "{arguments:?} is lost: {said:?}");
                        // The loader's bytes get there, in whatever form.
                        assert!(holds(&booted, &PAUSE), "{arguments:?}");
                        assert!(verb != "run" || output.status.success(), "{arguments:?}: {words}");
                    }
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, MACHINES.len() * 5 * FLAGS.len());
}

#[test]
fn an_image_gets_the_form_and_the_hint_that_the_way_in_wants_and_else_stays_as_it_is() {
    use shared_abi::crc32c::crc32c;
    use shared_abi::image::Header;
    let bench = Bench::new("forms");
    let plain = image(None);
    bench.0.file("plain.img", &plain);
    for machine in MACHINES {
        let output =
            bench.handoff(&["run", "--image", "plain.img", "--machine", machine.name], &std::env::temp_dir());
        let Some((_, booted)) = bench.started() else {
            assert_eq!(output.status.code(), Some(2), "{}", machine.name);
            continue;
        };
        let (image, hint) = match machine.way_in {
            WayIn::Elf => (&booted[0x1000..], machine.elf.unwrap().tree),
            WayIn::Device { .. } => (&booted[..], machine.elf.unwrap().tree),
            WayIn::Image => (&booted[..], 0),
            WayIn::UBoot => {
                // The header has the pause flag, for whoever watches.
                assert!(holds(&booted, &plain[0x1000..]), "{}", machine.name);
                continue;
            }
        };
        assert_eq!(booted.starts_with(b"\x7FELF"), machine.way_in == WayIn::Elf, "{}", machine.name);
        assert_eq!(Header::decode(image, crc32c).unwrap().phys_tree_hint, hint, "{}", machine.name);
        assert!(image[0x1000..] == plain[0x1000..], "{}", machine.name);
    }
    assert_eq!(std::fs::read(bench.path("plain.img")).unwrap(), plain);
}

#[test]
fn any_folder_for_temporary_files_will_do() {
    let bench = Bench::new("folders");
    bench.0.file("plain.img", image(None));
    let long = format!("long/{}", "x".repeat(120));
    for name in ["a,b", "with space", &long] {
        let folder = bench.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        for machine in ["virt", "virt-odd", "virt-elf", "virt-u-boot"] {
            let output = bench.handoff(&["run", "--image", "plain.img", "--machine", machine], &folder);
            assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            let (said, _) = bench.started().unwrap();
            let monitor = said.iter().find(|word| word.starts_with("unix:")).unwrap();
            let path = monitor.split(",server").next().unwrap();
            // A comma that is not doubled ends the value; `sun_path` has room for 107 bytes.
            assert!(path.len() < 107 && !path.replace(",,", "").contains(','), "{monitor}");
        }
    }
    // The one that is not there is named.
    let output =
        bench.handoff(&["run", "--image", "plain.img", "--machine", "virt-odd"], &bench.path("none"));
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/none/"));
    assert!(Machine::DEFAULT.memory(Some(Size::mib(640))).is_ok(), "the size that the matrix asks for");
}
