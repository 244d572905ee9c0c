//! A person's debugger: what it is given, and that it knows both stages before the machine has moved.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use serde_json::Value;

use crate::Behaviour;
use crate::handoff::{Folder, handoff};

const GDB: &str = "gdb-multiarch";

pub fn all() -> Vec<Behaviour> {
    let is_there = Command::new(GDB).arg("--version").output().is_ok();
    let debugged = |machine| {
        let name = format!("a_debugger_knows_both_stages_before_the_first_step_on_{machine}");
        Behaviour { is_ignored: !is_there, ..Behaviour::new(name, move || debugged(machine)) }
    };
    vec![
        debugged("virt"),
        debugged("raspi3b"),
        Behaviour::new("files_of_an_editor_are_not_replaced_without_a_word", kept),
    ]
}

/// Does as the editor would with the files that it is given: the task, the set-up commands, a breakpoint, F5.
fn debugged(machine: &str) -> Result<(), Failed> {
    let folder = Folder::new(&format!("debugged-{machine}"))?;
    let port = std::net::TcpListener::bind(("localhost", 0))?.local_addr()?.port().to_string();
    let words = ["debug", "hello", "--machine", machine, "--dir", folder.path(), "--port", &port];
    handoff(&words)?.expect_status(0)?.expect_said("gdb-multiarch -x ")?;
    let read = |name: &str| -> Result<Value, Failed> {
        Ok(serde_json::from_str(&std::fs::read_to_string(format!("{}/.vscode/{name}", folder.path()))?)?)
    };
    let (launch, tasks) = (read("launch.json")?, read("tasks.json")?);
    let (launch, task) = (&launch["configurations"][0], &tasks["tasks"][0]);
    let arguments = task["args"].as_array().ok_or("the task has no arguments")?;
    let is_told = launch["preLaunchTask"] == task["label"] && !launch["preLaunchTask"].is_null();
    let setup = launch["customLaunchSetupCommands"][0]["text"].as_str().filter(|_| is_told);
    let setup = setup.ok_or("the task is not the one that is started, or no commands are given")?;

    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command.args(arguments.iter().filter_map(Value::as_str));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut words = BufReader::new(child.stderr.take().ok_or("no standard error")?);
    let mut line = String::new();
    while !line.starts_with("waiting for a debugger") {
        line.clear();
        if words.read_line(&mut line)? == 0 {
            return Err("the task did not wait".into());
        }
    }
    // Names of both at once; then a stop in the loader while its MMU is off, and one in the kernel.
    let commands =
        ["info address start", "tbreak text_start", "break kmain", "continue", "info symbol $pc", "continue"];
    let commands = [&[setup][..], &commands, &["backtrace 1", "kill"]].concat();
    let mut gdb = Command::new(GDB);
    gdb.args(["-nx", "-batch"]).args(commands.iter().flat_map(|command| ["-ex", command]));
    let output = gdb.stdin(Stdio::null()).output()?;
    // The debugger has ended the machine, and whoever ran it leaves.
    let left = child.wait()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (before, after) = said.split_once(" in text_start ()").unwrap_or((&said, ""));
    let knows = ["Symbol \"start\" is a function", "file kernel/examples/hello.rs, line "];
    let stops = ["text_start in section .text", "Breakpoint 2, ", "kmain () at kernel/examples/hello.rs:"];
    let is_all = knows.iter().all(|words| before.contains(words))
        && stops.iter().all(|words| after.contains(words))
        && left.code().is_some();
    match is_all {
        true => Ok(()),
        false => Err(format!("{left}\n{said}\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn kept() -> Result<(), Failed> {
    let folder = Folder::new("editor")?;
    let debug = |more: &[&str]| handoff(&[&["debug", "hello", "--dir", folder.path()], more].concat());
    debug(&[])?.expect_status(0)?.expect_said("written    ")?;
    let again = debug(&[])?.expect_status(0)?;
    let count = again.console.matches("unchanged  ").count();
    again.expect(count == 3, "something was written again")?;
    let other = ["--machine", "virt-el2"];
    debug(&other)?.expect_status(2)?.expect_words("launch.json is there, and another")?;
    debug(&[&other[..], &["--force"]].concat())?.expect_status(0)?.expect_said("replaced   ")?;
    // A script of the tool's own may be replaced, a person's may not.
    let script = format!("{}/handoff.gdb", folder.path());
    std::fs::write(&script, "break main\n")?;
    debug(&other)?.expect_status(2)?.expect_words("handoff.gdb is there, and another")?;
    match std::fs::read_to_string(&script)?.as_str() {
        "break main\n" => Ok(()),
        _ => Err("a person's script was replaced".into()),
    }
}
