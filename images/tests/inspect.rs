//! What `inspect` and `audit` say of a dump that is kept beside this file, and of damaged ones.
//!
//! The dump is of the `hello` example on `virt-el2` with two CPUs, 1 GiB of RAM, a module, an initrd and a seed.
//! After a change of the ABI make it anew with `handoff inspect … --dump images/tests/data/virt-el2.core`.

mod support;

use images::inspect::dump;
use images::inspect::moment::{Cpu, Fault, Frame, Moment};
use images::inspect::program::{Parts, Place, Section};
use images::inspect::snapshot::Snapshot;
use images::inspect::view::{Blob, View};
use support::{Folder, assert_golden, handoff, transcript};

const DUMP: &[u8] = include_bytes!("data/virt-el2.core");

fn snapshot() -> Snapshot {
    dump::decode(DUMP).unwrap()
}

/// The dump with one change, as a file, and what a verb says of it.
fn said(folder: &Folder, verb: &str, change: impl FnOnce(&mut Snapshot)) -> (Option<i32>, String) {
    let mut snapshot = snapshot();
    change(&mut snapshot);
    folder.file("changed.core", dump::encode(&snapshot));
    let output = handoff(folder.path(), &[verb, "--from", "changed.core"]);
    (output.status.code(), transcript(&output))
}

/// Changes memory at a physical address.
fn poke(snapshot: &mut Snapshot, at: u64, bytes: &[u8]) {
    let (start, run) = snapshot.memory.range_mut(..=at).next_back().unwrap();
    run[(at - start) as usize..][..bytes.len()].copy_from_slice(bytes);
}

/// The physical address of BootInfo.
fn boot_info(snapshot: &Snapshot) -> u64 {
    let virt = shared_abi::addr::VirtAddr::new(snapshot.register("x0").unwrap()).unwrap();
    snapshot.kernel_tables().unwrap().walk(snapshot, virt).unwrap().phys.get()
}

#[test]
fn a_good_dump_is_shown_in_full() {
    let folder = Folder::new("inspect");
    folder.file("good.core", DUMP);
    assert_golden("inspect.txt", &transcript(&handoff(folder.path(), &["inspect", "--from", "good.core"])));
    assert_golden("audit.txt", &transcript(&handoff(folder.path(), &["audit", "--from", "good.core"])));
    let output = handoff(folder.path(), &["inspect", "--json", "--from", "good.core"]);
    assert_golden("inspect.json", &transcript(&output));
    let output = handoff(folder.path(), &["audit", "--json", "--from", "good.core"]);
    assert_golden("audit.json", &transcript(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["good"], true);
    assert!(json["rules"].as_array().unwrap().len() > 20);
}

/// A later moment as it is shown: a fault, a CPU with a backtrace and code, one that is off, and what changed.
#[test]
fn a_later_moment_is_shown_in_full() {
    let folder = Folder::new("moment");
    let mut snapshot = snapshot();
    let place = |function: &str, inlined| Place {
        function: Some(function.into()),
        line: Some(("kernel/main.rs".into(), 42)),
        inlined,
    };
    let pc = snapshot.register("pc").unwrap();
    let frames = vec![
        Frame { at: pc, places: vec![place("read", true), place("kmain+0x8", false)] },
        Frame { at: 8, places: Vec::new() },
    ];
    let registers = [("x0".to_owned(), 0x18), ("pc".to_owned(), pc), ("cpsr".to_owned(), 0x3c5)].into();
    let stopped = Cpu {
        number: 0,
        state: "stopped here".into(),
        registers,
        frames,
        code: vec!["=> ldr x1, [x0]".into()],
    };
    snapshot.moment = Some(Moment {
        when: "at a fault".into(),
        boot_info: snapshot.register("x0").unwrap(),
        fault: Some(Fault {
            syndrome: 0x9600_0004,
            words: "data abort on a read: translation fault, level 0".into(),
            address: Some(0x18),
            what: "the null page: a field 0x18 bytes behind a null pointer".into(),
            help: "see where frame #0 has the pointer from".into(),
        }),
        cpus: vec![stopped, Cpu { number: 1, state: "off".into(), ..Cpu::default() }],
        changes: vec!["SCTLR_EL1.A was 0x0, is 0x1".into()],
    });
    snapshot.plan = Some(vec!["tables: planned 11, found 12".into()]);
    let sections = vec![Section { name: ".text".into(), start: pc & !0xFFF, length: 0x1234 }];
    snapshot.parts = Some(Parts { sections, entry: Some("_start".into()) });
    folder.file("moment.core", dump::encode(&snapshot));
    let shown = handoff(folder.path(), &["inspect", "--from", "moment.core"]);
    assert_golden("moment.txt", &transcript(&shown));
    let shown = handoff(folder.path(), &["inspect", "--json", "--from", "moment.core"]);
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let own = ["moment", "plan_differences", "kernel_file"].map(|key| (key, json[key].clone()));
    let own: serde_json::Map<_, _> = own.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
    assert_golden("moment.json", &format!("{:#}\n", serde_json::Value::Object(own)));
}

/// Every element that opens closes, in order. What HTML leaves open is listed.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closing tag");
        } else if !matches!(name, "!DOCTYPE" | "meta") {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_whole_self_contained_and_shows_hostile_text_as_text() {
    let folder = Folder::new("page");
    let mut hostile = snapshot();
    hostile.title = "<script>alert(1)</script>&\"".into();
    folder.file("hostile.core", dump::encode(&hostile));
    let output = handoff(folder.path(), &["inspect", "--from", "hostile.core", "--html", "page.html"]);
    assert_eq!(output.status.code(), Some(0));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_balanced(&page);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "escaped");
    assert!(
        !page.contains("http") && !page.contains("src=") && !page.contains("@import"),
        "nothing from elsewhere"
    );
    // Every link leads somewhere, by keyboard as by pointer.
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(page.contains(&format!("id=\"{link}\" tabindex=\"0\"")), "{link}");
    }
    assert!(page.contains("the kernel may use it") && page.contains("@media print"));
    let headings =
        ["Physical memory", "Virtual memory", "Machine ", "System registers", "Page tables: ", "Frames"];
    for heading in headings.iter().chain(&["Timeline", "Entry state"]) {
        assert!(page.contains(&format!("<h2>{heading}")), "{heading}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
    // Damaged BootInfo: what it says is not drawn.
    let at = boot_info(&hostile);
    poke(&mut hostile, at, b"wrong");
    folder.file("hostile.core", dump::encode(&hostile));
    let output = handoff(folder.path(), &["inspect", "--from", "hostile.core", "--html", "page.html"]);
    assert_eq!(output.status.code(), Some(1));
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert_balanced(&page);
    assert!(page.contains("in field magic") && !page.contains("Timeline"));
}

/// Needs Chromium; says so and does nothing where there is none.
#[test]
fn a_browser_renders_the_page() {
    let folder = Folder::new("browser");
    folder.file("good.core", DUMP);
    handoff(folder.path(), &["inspect", "--from", "good.core", "--html", "page.html"]);
    let screenshot = folder.path().join("page.png");
    let command = std::process::Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,2600"])
        .arg(format!("--screenshot={}", screenshot.display()))
        .arg(folder.path().join("page.html"))
        .output();
    match command {
        Err(error) => eprintln!("skipped: no Chromium ({error})"),
        Ok(output) => {
            let picture = std::fs::read(&screenshot).unwrap_or_default();
            assert!(picture.starts_with(b"\x89PNG"), "{output:?}");
            // A blank page of this size is a few kilobytes.
            assert!(picture.len() > 50_000, "{} bytes: hardly anything was drawn", picture.len());
        }
    }
}

#[test]
fn every_walk_is_explained_to_its_end() {
    let folder = Folder::new("walk");
    folder.file("good.core", DUMP);
    let mut all = String::new();
    for address in
        ["0xffff_0080_0000_1000", "0", "0xffff008001000000", "0x8000000000000000", "ffff008000180004"]
    {
        let output = handoff(folder.path(), &["audit", "--from", "good.core", "--walk", address]);
        all.push_str(&format!("$ --walk {address}\n{}", transcript(&output)));
    }
    assert_golden("walk.txt", &all);
}

#[test]
fn damage_in_every_header_field_is_named_by_field_and_never_shown() {
    let folder = Folder::new("fields");
    let at = boot_info(&snapshot());
    for (offset, field) in [
        (0, "magic"),
        (8, "abi_major"),
        (12, "header_size"),
        (16, "total_size"),
        (20, "checksum"),
        (24, "directory_offset"),
        (28, "directory_count"),
        (32, "directory_stride"),
    ] {
        let (status, text) =
            said(&folder, "inspect", |snapshot| poke(snapshot, at + offset, &[0xFF, 0xFF, 0xFF, 0xFF]));
        assert_eq!(status, Some(1), "{field}: {text}");
        assert!(text.contains(&format!("in field {field}:")), "{field}: {text}");
        // Nothing that BootInfo says is shown.
        assert!(!text.contains("Physical memory") && !text.contains("Timeline"), "{field}: {text}");
        assert!(text.contains("Mapped by TTBR1"), "what does not depend on it is");
        let (status, text) =
            said(&folder, "audit", |snapshot| poke(snapshot, at + offset, &[0xFF, 0xFF, 0xFF, 0xFF]));
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(&format!("in field {field}:")), "{field}: {text}");
    }
}

#[test]
fn damage_in_any_byte_is_diagnosed() {
    let good = snapshot();
    let at = boot_info(&good);
    let length = good.boot_info().unwrap().len() as u64;
    for offset in (0..length).step_by(7) {
        let mut damaged = good.clone();
        let old = good.bytes(at + offset, 1).unwrap()[0];
        poke(&mut damaged, at + offset, &[old ^ 0x20]);
        let blob = Blob::of(&damaged);
        let view = View::new(&damaged, &blob);
        assert!(view.info.is_err() && !view.is_good(), "byte {offset:#x} of {length:#x}");
    }
}

/// A generator of numbers without pattern (SplitMix64), so that a failure can be repeated.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) >> 8
}

#[test]
fn random_bytes_are_never_shown_as_boot_info() {
    let good = snapshot();
    let (at, length) = (boot_info(&good), good.boot_info().unwrap().len() as u64);
    for seed in 0..200 {
        let mut state = seed;
        let mut damaged = good.clone();
        // All of it, or all behind the header, or one run of bytes somewhere.
        let (start, count) = match seed % 3 {
            0 => (0, length),
            1 => (40, length - 40),
            _ => (random(&mut state) % length, 1 + random(&mut state) % 64),
        };
        for offset in start..(start + count).min(length) {
            poke(&mut damaged, at + offset, &[random(&mut state) as u8]);
        }
        if damaged == good {
            continue;
        }
        let blob = Blob::of(&damaged);
        let view = View::new(&damaged, &blob);
        let Err(trouble) = &view.info else { panic!("seed {seed}: shown as if it were good") };
        assert!(!view.is_good(), "seed {seed}");
        let words = trouble.to_string();
        assert!(words.contains("in field ") || words.contains("no BootInfo"), "seed {seed}: {words}");
        // What is drawn of it is the diagnosis.
        let text = images::inspect::text::text(&view, images::style::Style::PLAIN);
        assert!(text.contains(&words) && !text.contains("Physical memory"), "seed {seed}");
        let json = images::inspect::json::json(&view);
        assert!(json["boot_info"].is_null() && !json["boot_info_error"]["words"].is_null(), "seed {seed}");
    }
}

#[test]
fn a_wrong_register_or_table_is_found() {
    let folder = Folder::new("wrong");
    let (status, text) = said(&folder, "inspect", |snapshot| {
        snapshot.registers.insert("x5".into(), 7);
    });
    assert_eq!(status, Some(1));
    assert!(text.contains("WRONG  x1–x30"), "{text}");
    let (status, text) = said(&folder, "inspect", |snapshot| {
        snapshot.registers.insert("x0".into(), 0);
    });
    assert_eq!(status, Some(1));
    assert!(text.contains("no BootInfo: x0 = 0x0000000000000000 points to no memory"), "{text}");

    // The descriptor of BootInfo's first page, made writable and then executable as well.
    let good = snapshot();
    let virt = shared_abi::addr::VirtAddr::new(good.register("x0").unwrap()).unwrap();
    let walked = good.kernel_tables().unwrap().walk(&good, virt).unwrap();
    let entry = walked.tables[3].unwrap().start().get() + 8 * virt.table_index(3) as u64;
    let leaf = walked.leaf.bits();
    let (status, text) =
        said(&folder, "audit", |snapshot| poke(snapshot, entry, &(leaf & !(1 << 7)).to_le_bytes()));
    assert_eq!(status, Some(1));
    assert!(text.contains("FAIL  E0753  boot-info-writable"), "{text}");
    let (_, text) =
        said(&folder, "audit", |snapshot| poke(snapshot, entry, &(leaf & !(1 << 7 | 1 << 53)).to_le_bytes()));
    assert!(text.contains("FAIL  E0740  write-xor-execute"), "{text}");
}

#[test]
fn damaged_dumps_are_one_line_and_what_to_do_with_status_2() {
    let folder = Folder::new("dumps");
    folder.file("cut.core", &DUMP[..DUMP.len() - 1]);
    folder.file("empty.core", []);
    folder.file("text.core", "hello");
    let mut damaged = DUMP.to_vec();
    let last = damaged.len() - 100;
    damaged[last] ^= 1;
    folder.file("damaged.core", damaged);
    let before = folder.names();
    for verb in ["inspect", "audit"] {
        for (file, words) in [
            ("cut.core", "the dump is damaged: a part lies past its end"),
            ("empty.core", "not a dump of inspect"),
            ("text.core", "not a dump of inspect"),
            ("damaged.core", "the dump is damaged: checksum"),
            ("missing.core", "No such file or directory"),
        ] {
            let output = handoff(folder.path(), &[verb, "--from", file]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{errors}");
            assert!(errors.starts_with(&format!("error: {file}: ")) && errors.contains(words), "{errors}");
            assert_eq!(errors.lines().count(), 2, "{errors}");
        }
    }
    assert_eq!(folder.names(), before);
}
