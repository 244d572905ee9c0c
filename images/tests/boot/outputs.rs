//! What the verbs print, by its shape where compilers decide the numbers, and that none of them leaves a machine behind.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::Behaviour;
use crate::handoff::{Folder, Scratch, handoff};
use crate::stopped::small;

/// `b .`
const SPINS: &[u32] = &[0x1400_0000];

pub fn all() -> Vec<Behaviour> {
    let mut list = vec![
        Behaviour::new("the_report_of_every_ending_has_the_documented_keys", reports),
        Behaviour::new("what_is_written_is_said_in_these_lines", written),
    ];
    // The verb, and what it says once the machine runs.
    let verbs: [(&str, &[&str]); 4] = [
        ("run", &["run"]),
        ("run_gdb", &["run", "--gdb=0"]),
        ("inspect", &["inspect", "--at", "exit"]),
        ("audit", &["audit", "--at", "exit"]),
    ];
    for (name, words) in verbs {
        for signal in ["INT", "TERM", "HUP"] {
            let test = format!("{name}_that_gets_{signal}_leaves_no_machine_behind").to_lowercase();
            list.push(Behaviour::new(test, move || left_behind(words, signal)));
        }
    }
    list
}

/// The keys that docs/images.md lists are those of every report, whatever the ending, and the kinds of their values.
fn reports() -> Result<(), Failed> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images.md"))?;
    let row = page.lines().find_map(|line| line.strip_prefix("| `--json` | prints one object: "));
    let mut keys: Vec<&str> = row.ok_or("no such row")?.trim_end_matches(" |").split(", ").collect();
    keys.sort_unstable();
    let large = Scratch::new("report-large.elf", &small(SPINS, 1 << 30))?;
    let spins = Scratch::new("report-spins.elf", &small(SPINS, 0x1000))?;
    // Ending, status, and which of verdict, error, timeline and moment are there.
    let endings: [(&[&str], i64, [bool; 4]); 6] = [
        (&["hello"], 0, [true, false, true, false]),
        (&["verdict", "--append", "bad"], 1, [true, false, true, true]),
        (&["verdict", "--append", "power-off"], 1, [false, false, true, false]),
        (&["--kernel", large.path(), "--memory", "128M"], 101, [false, true, false, false]),
        (&["fault", "--append", "null-read"], 103, [false, false, true, true]),
        (&["--kernel", spins.path(), "--timeout", "1"], 124, [false, false, true, true]),
    ];
    for (words, status, there) in endings {
        let ended = handoff(&[&["run", "--json"], words].concat())?.expect_status(status as i32)?;
        let report: Value = serde_json::from_str(&ended.console)?;
        let found: Vec<&str> = report.as_object().ok_or("no object")?.keys().map(String::as_str).collect();
        let ended = ended.expect(found == keys, &format!("the keys are not {keys:?}"))?;
        let ended = ended.expect(report["status"] == status, "the status is another")?;
        let is_there = ["verdict", "error", "timeline", "moment"].map(|key| !report[key].is_null());
        let ended = ended.expect(is_there == there, &format!("there are {is_there:?}"))?;
        let is_told = (status == 0) == report["words"].is_null()
            && report["words"].is_null() == report["help"].is_null();
        let kinds =
            report["seconds"].is_f64() && report["console"].is_string() && report["recordings"].is_array();
        ended.expect(is_told && kinds, "a value is of another kind")?;
    }
    Ok(())
}

/// Text in which every number, and every space beside one, is the same.
fn shape(text: &str) -> String {
    let mut words = Vec::new();
    for line in text.lines() {
        let is_number = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_digit());
        let shown = line.split_whitespace().map(|word| if is_number(&word) { "N" } else { word });
        words.push(shown.collect::<Vec<_>>().join(" "));
    }
    words.join("\n")
}

fn written() -> Result<(), Failed> {
    let folder = Folder::new("written")?;
    let place = folder.path();
    let file = |name: &str| format!("{place}/{name}");
    let said = |words: &[&str], lines: &[String]| {
        let ended = handoff(words)?.expect_status(0)?;
        let holds = shape(&ended.console) == lines.join("\n");
        ended.expect(holds, &format!("it ought to say\n{}", lines.join("\n"))).map(drop)
    };
    let image = file("hello.img");
    let parts =
        ["header page", "loader", "payload table", "loader symbols", "symbols", "kernel hello", "end marker"];
    let parts = parts.map(|part| format!("N N {}iB {part}", "K"));
    let mut build: Vec<_> = std::iter::once(format!("{image} N KiB")).chain(parts).collect();
    for small in ["payload table", "end marker"] {
        let place = build.iter_mut().find(|line| line.ends_with(small)).ok_or("no such line")?;
        *place = format!("N N B {small}");
    }
    build.push(format!("symbols: gdb-multiarch -x {image}.gdb"));
    said(&["build", "hello", "-o", &image], &build)?;
    let tree = file("virt.dtb");
    said(&["tree", "--machine", "virt", "-o", &tree], &[])?;
    let [launch, tasks, script] = [".vscode/launch.json", ".vscode/tasks.json", "handoff.gdb"].map(file);
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?.join("scripts/handoff");
    let debug = [
        format!("written {launch}"),
        format!("written {tasks}"),
        format!("written {script}"),
        String::new(),
        format!(
            "VS Code: open {place}, take \"hello on virt\" in Run and Debug, press F5; it needs the extension ms-vscode.cpptools"
        ),
        format!("GDB: {} run hello --gdb=1234 --script {script}", tool.display()),
        format!("and in another terminal: gdb-multiarch -x {script}"),
    ];
    said(&["debug", "hello", "--dir", place], &debug)
}

/// The machine that a verb has started.
fn machine_of(tool: &Child) -> Option<u32> {
    let folders = std::fs::read_dir("/proc").ok()?.flatten();
    folders.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|process: &u32| {
        // The name in brackets may hold anything: the parent is the second word behind it.
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let (front, back) = stat.rsplit_once(')').unwrap_or_default();
        let parent = back.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        parent == Some(tool.id()) && front.contains("(qemu")
    })
}

/// Sends the verb a signal while its machine runs. Whatever it says of it, the machine is gone with it.
fn left_behind(words: &[&str], signal: &str) -> Result<(), Failed> {
    let name = format!("left-{}-{signal}.elf", words.join("-"));
    let kernel = Scratch::new(&name.replace("--", ""), &small(SPINS, 0x1000))?;
    let port = std::net::TcpListener::bind(("localhost", 0))?.local_addr()?.port();
    let words = words.iter().map(|word| word.replace("--gdb=0", &format!("--gdb={port}")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command.args(words).args(["--kernel", kernel.path(), "--timeout", "300"]);
    let mut tool = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let started = Instant::now();
    // QEMU is asked for its version and for trees first: what stays is the machine.
    let machine = loop {
        let seen = machine_of(&tool);
        std::thread::sleep(Duration::from_millis(700));
        match seen.filter(|_| seen == machine_of(&tool)) {
            Some(machine) => break machine,
            None if started.elapsed() > Duration::from_secs(120) => {
                let _ = tool.kill();
                return Err("no machine was started".into());
            }
            None => {}
        }
    };
    Command::new("kill").args([&format!("-{signal}"), &tool.id().to_string()]).status()?;
    let status = tool.wait()?;
    let is_gone = !Path::new(&format!("/proc/{machine}")).exists();
    match is_gone && !status.success() {
        true => Ok(()),
        false => {
            Err(format!("{status}, and the machine is {}", if is_gone { "gone" } else { "still there" })
                .into())
        }
    }
}
