//! The command line as a person meets it: help, results and mistakes, compared with golden text.

mod support;

use std::path::Path;

use clap::CommandFactory;
use images::cli::Cli;
use images::editor::{self, Session};
use support::{ElfBuilder, Folder, assert_golden, contents, handoff, transcript};

/// Every verb that there is.
fn verbs() -> Vec<String> {
    Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

#[test]
fn every_verb_has_help_with_an_example() {
    let folder = Folder::new("help");
    for verb in verbs() {
        let output = handoff(folder.path(), &[&verb, "--help"]);
        let text = transcript(&output);
        assert!(text.contains(&format!("Example: handoff {verb}")), "{text}");
        assert_golden(&format!("help-{verb}.txt"), &text);
        assert_eq!(handoff(folder.path(), &[&verb, "-h"]).status.code(), Some(0));
    }
    assert_golden("help.txt", &transcript(&handoff(folder.path(), &["--help"])));
    assert_golden("machines.txt", &transcript(&handoff(folder.path(), &["machines"])));
}

#[test]
fn check_says_what_is_in_an_image_of_either_form() {
    let folder = Folder::new("check");
    let image = images::pack::pack(&contents()).unwrap().bytes;
    folder.file("sample.img", &image);
    folder.file("sample.elf", images::elf_form::wrap(&image, 0x4020_0000));
    assert_golden("check.txt", &transcript(&handoff(folder.path(), &["check", "sample.img"])));
    assert_golden("check.json", &transcript(&handoff(folder.path(), &["check", "--json", "sample.img"])));
    let elf = transcript(&handoff(folder.path(), &["check", "sample.elf"]));
    assert!(elf.starts_with("sample.elf  elf form") && elf.ends_with("status 0\n"), "{elf}");
}

#[test]
fn mistakes_are_one_line_and_what_to_do_with_status_2_and_leave_nothing_behind() {
    let folder = Folder::new("mistakes");
    let image = images::pack::pack(&contents()).unwrap().bytes;
    let changed = |at: usize| {
        let mut bytes = image.clone();
        bytes[at] ^= 1;
        bytes
    };
    folder.file("cut.img", &image[..image.len() - 1]);
    folder.file("header.img", changed(0x70));
    folder.file("table.img", changed(0x4030));
    folder.file("kernel.img", changed(0x6800));
    folder.file("empty.img", []);
    folder.file("text.elf", "not an ELF file, but long enough to have a header of sixty-four bytes");
    folder.file("wrong.toml", "[machine]\nnmae = \"virt\"\n");
    folder.file("gone.toml", "[modules]\n\"init.cpio\" = \"init.cpio\"\n");
    folder.file("two.toml", "[kernel]\nbin = \"a\"\n");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let before = folder.names();
    let mut all = String::new();
    let mistakes = [
        &["check", "missing.img"][..],
        &["check", "cut.img"],
        &["check", "header.img"],
        &["check", "table.img"],
        &["check", "kernel.img"],
        &["check", "empty.img"],
        &["check", "text.elf"],
        &["check", "folder"],
        &["build", "--kernel", "missing.elf", "-o", "out.img"],
        &["build", "--kernel", "folder", "-o", "out.img"],
        &["build", "wrong.toml", "-o", "out.img"],
        &["build", "two.toml", "--kernel", "wrong.toml", "-o", "out.img"],
        &["build", "text.elf", "-o", "out.img"],
        &["build", "--machine", "virt-u-boot", "--form", "elf", "-o", "out.img"],
        &["build", "--append", "a\nb", "-o", "out.img"],
        &["build", "--kernel", "text.elf", "-o", "no/such/folder/out.img"],
        &["run", "--kernel", "text.elf", "--keep", "wrong.toml"],
        &["run", "--kernel", "text.elf", "--keep", "no/such/folder"],
        &["inspect", "--from", "text.elf", "--html", "no/such/page.html"],
        &["plan", "--kernel", "missing.elf"],
        &["plan", "wrong.toml"],
        &["plan", "--kernel", "text.elf", "--tree", "missing.dtb"],
        &["inspect", "--kernel", "text.elf"],
        &["inspect", "--image", "missing.img"],
        &["audit", "--image", "missing.img"],
        &["run", "--image", "missing.img"],
        &["run"],
        &["plan", "gone.toml"],
        &["plan", "--machine", "virt-le2"],
        &["run", "--module", "init.cpio"],
        &["run", "--memroy", "1G"],
        &["run", "--timeout", "0"],
        &["run", "--memory", "lots"],
        &["run", "--digest", "md5"],
        &["run", "--seed", "xyz"],
        &["rnu"],
        &["build"],
        &["plan", "hlelo"],
        &["run", "--image", "x", "--kernel", "y"],
        &["plan", "--slide", "x"],
        &["debug", "--dir", "no/such/folder"],
        &["debug", "wrong.toml"],
        &["debug", "--kernel", "text.elf"],
        &["debug", "--port", "0"],
        &["run", "--gdb=0"],
        &["run", "--script", "handoff.gdb"],
        &["run", "--gdb", "--script", "no/such/handoff.gdb"],
        &["new", "2k"],
        &["new", "kernel"],
        &["new", "mine", "--lang", "c#"],
        &["new", "folder"],
        &["explain", "E0299"],
        &["explain", "OutsideWindwo"],
        &["machines", "extra"],
        &["tree"],
        &["tree", "missing.dtb", "-o", "out.dtb"],
        &["tree", "text.elf", "-o", "no/such/out.dtb"],
        &["check"],
        &["check", "--json", "text.elf"],
        &["audit", "--walk", "zz"],
        &["audit", "--from", "missing.core"],
        &["audit", "--from", "text.elf", "--json", "--walk", "0"],
        &["inspect", "--from", "text.elf"],
        &["inspect", "--from", "text.elf", "--at", "fault"],
        &["inspect", "--at", ""],
        &["inspect", "--timeout", "0"],
        &["inspect", "--image", "cut.img", "--at", "kmain"],
    ];
    for verb in verbs() {
        assert!(mistakes.iter().any(|words| words[0] == verb), "no mistake is made with {verb}");
    }
    for arguments in mistakes {
        let output = handoff(folder.path(), arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 2, "{arguments:?}: {errors}");
        assert!(errors.lines().last().is_some_and(|line| line.starts_with("help: ")), "{errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        // Which recipes and examples there are is not what is tested.
        let shown = match errors.split_once("recipe, or one of: ") {
            Some((front, _)) => format!("{front}recipe, or one of: …\n"),
            None => errors,
        };
        all.push_str(&format!("$ handoff {}\n{shown}", arguments.join(" ").replace('\n', "\\n")));
    }
    assert_golden("mistakes.txt", &all);
    assert_eq!(folder.names(), before);
}

#[test]
fn help_and_lists_are_there_under_the_names_that_are_tried() {
    let folder = Folder::new("names");
    let same = |one: &[&str], other: &[&str]| {
        let (one, other) = (handoff(folder.path(), one), handoff(folder.path(), other));
        assert_eq!(transcript(&one), transcript(&other));
        assert_eq!(one.status.code(), Some(0));
    };
    same(&["help"], &["--help"]);
    same(&["help", "run"], &["run", "--help"]);
    same(&["run", "--machine", "list"], &["machines"]);
    same(&["plan", "--machine=list"], &["machines"]);
    same(&["explain", "203"], &["explain", "outsidewindow"]);
    assert_eq!(handoff(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn what_the_boot_would_refuse_is_an_answer_of_plan_with_what_to_do() {
    let folder = Folder::new("refusal");
    folder.file("text.elf", "not an ELF file, but long enough to have a header of sixty-four bytes");
    let output = handoff(folder.path(), &["plan", "text.elf", "--json"]);
    assert_golden("refusal.json", &transcript(&output));
    assert_eq!(output.status.code(), Some(101));
}

#[test]
fn a_file_of_another_kind_is_named_in_every_verb_and_nothing_is_booted() {
    let folder = Folder::new("foreign");
    let linux = [b"MZ\0\x91".as_slice(), &[0; 52], b"ARM\x64", &[0; 8192]].concat();
    folder.file("Image", linux);
    folder.file("kernel.gz", [0x1F, 0x8B, 8, 0].repeat(4000));
    let mut host = std::fs::read(env!("CARGO_BIN_EXE_handoff")).unwrap();
    host.truncate(1 << 16);
    folder.file("host", host);
    folder.file("mine.elf", ElfBuilder::good().build());
    folder.file("tree.dts", "/dts-v1/;\n/ {\n\tcompatible = \"linux,dummy-virt\";\n};\n");
    folder.file("mine.img", images::pack::pack(&contents()).unwrap().bytes);
    let before = folder.names();
    let mut all = String::new();
    for file in ["Image", "kernel.gz", "host"] {
        for arguments in [
            &["check", file][..],
            &["build", file, "-o", "out.img"],
            &["plan", "--kernel", file],
            &["plan", "hello", "--tree", file],
            &["tree", file, "-o", "out.dtb"],
            &["run", "--image", file],
            &["inspect", "--image", file],
            &["audit", "--image", file],
            &["inspect", "--from", file],
            &["audit", "--from", file],
        ] {
            let output = handoff(folder.path(), arguments);
            let errors = String::from_utf8_lossy(&output.stderr);
            let named =
                ["arm64 Image", "a gzip file", "an ELF file for "].iter().any(|name| errors.contains(name));
            // This host may be one of the kind that is booted.
            if named || file != "host" {
                assert!(named && output.stdout.is_empty(), "{arguments:?}: {errors}");
                assert_eq!(
                    output.status.code(),
                    Some(if arguments[0] == "plan" { 101 } else { 2 }),
                    "{arguments:?}"
                );
            }
            if file == "Image" {
                all.push_str(&format!("$ handoff {}\n{errors}", arguments.join(" ")));
            }
        }
    }
    for arguments in [
        &["check", "mine.elf"][..],
        &["plan", "mine.img"],
        &["build", "mine.elf", "--dtb", "tree.dts", "-o", "out.img"],
    ] {
        let output = handoff(folder.path(), arguments);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let errors = output.stderr;
        all.push_str(&format!("$ handoff {}\n{}", arguments.join(" "), String::from_utf8_lossy(&errors)));
    }
    assert_golden("foreign.txt", &all);
    assert_eq!(folder.names(), before);
}

#[test]
fn an_editor_s_files_are_these() {
    let run = ["run", "hello", "--append=a b", "--gdb=1234"].map(str::to_owned);
    let session = Session {
        title: "hello on virt",
        program: "/handoff/target/hello",
        tool: "/handoff/scripts/handoff",
        run: &run,
        script: "/mine/handoff.gdb",
    };
    assert_golden("launch.json", &editor::launch(&session));
    assert_golden("tasks.json", &editor::tasks(&session));
}

#[test]
fn explain_says_what_every_code_means() {
    let folder = Folder::new("explain");
    assert_golden("explain.txt", &transcript(&handoff(folder.path(), &["explain", "E0203"])));
    let list = transcript(&handoff(folder.path(), &["explain"]));
    for error in images::errors::all() {
        assert!(list.contains(&format!("{}  {}  ", images::errors::number(error), error.name)), "{error:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = Folder::new("pipe");
    let command = format!("{} machines | true", env!("CARGO_BIN_EXE_handoff"));
    let output =
        std::process::Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_pruned_tree_is_one_that_dtc_prints() {
    let folder = Folder::new("tree");
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../elfloader/tests/trees/zcu102.dtb");
    let pruned = |from: &Path, to: &str| {
        let to = folder.path().join(to);
        let from = from.to_str().unwrap();
        let ended = handoff(folder.path(), &["tree", from, "--pruned", "-o", to.to_str().unwrap()]);
        assert_eq!(ended.status.code(), Some(0), "{}", transcript(&ended));
        to
    };
    let once = pruned(&tree, "once.dtb");
    let twice = pruned(&once, "twice.dtb");
    assert_eq!(std::fs::read(&once).unwrap(), std::fs::read(twice).unwrap());
    let dtc = std::process::Command::new("dtc").args(["-I", "dtb", "-O", "dts"]).arg(&once).output();
    let dtc = dtc.expect("dtc prints the tree: scripts/setup.sh test brings it");
    assert!(dtc.status.success() && dtc.stderr.is_empty(), "{}", String::from_utf8_lossy(&dtc.stderr));
    let source = String::from_utf8(dtc.stdout).unwrap();
    for words in [
        "memory@0 {",
        "device_type = \"memory\"",
        "serial@ff000000 {",
        "enable-method = \"psci\"",
        "stdout-path",
    ] {
        assert!(source.contains(words), "{words} in {source}");
    }
    assert!(!source.contains("interrupts"));
}
