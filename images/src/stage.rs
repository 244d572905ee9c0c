//! Building the stages for the target with cargo.
//!
//! How a machine gets the target's `core` is the set-up's business: it exports what cargo needs, and this module
//! only passes it on. The loader and the kernel are built by commands of their own, so that one kernel's choice of
//! dependencies can never change the loader's bytes.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::recipe::KernelSource;
use crate::workspace::Workspace;

/// What to do about a build that lacks something.
const SET_UP: &str = "run scripts/setup.sh, which sets up what the build needs; its messages are above";

/// The target triple of both stages.
const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The kernel's fault report walks frame records. The loader's has no need to, and would pay for them.
const FRAME_POINTERS: &str = "-Cforce-frame-pointers=yes";

/// rustc warns of the feature that avoids an erratum (`.cargo/config.toml`), once a package and at every build, and no
/// flag silences that alone. Clippy is where warnings about our code are looked at.
const NO_WARNINGS: &str = "-Awarnings";

/// How long cargo may work in silence.
const PATIENCE: Duration = Duration::from_secs(2);

/// The loader's ELF file, built if anything changed.
pub fn loader(workspace: &Workspace) -> Outcome<PathBuf> {
    cargo(workspace, "elfloader", &["--bin", "elfloader"], &[])
}

/// The firmware that leaves odd states, for tests: position-independent code in its `.text`.
pub fn firmware(workspace: &Workspace) -> Outcome<PathBuf> {
    cargo(workspace, "elfloader", &["--example", "firmware"], &[])
}

/// The kernel's ELF file, built if it is one of ours and anything changed.
pub fn kernel(workspace: &Workspace, source: &KernelSource) -> Outcome<PathBuf> {
    match source {
        KernelSource::Bin(name) => cargo(workspace, "kernel", &["--bin", name], &[FRAME_POINTERS]),
        KernelSource::Example(name) => cargo(workspace, "kernel", &["--example", name], &[FRAME_POINTERS]),
        KernelSource::Elf(path) => Ok(path.clone()),
    }
}

fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

fn cargo(workspace: &Workspace, package: &str, what: &[&str], flags: &[&str]) -> Outcome<PathBuf> {
    let target = set("HANDOFF_TARGET").unwrap_or_else(|| TARGET.into());
    let program = set("HANDOFF_CARGO").unwrap_or_else(|| "cargo".into());
    let target_dir = set("HANDOFF_TARGET_DIR").unwrap_or_else(|| "target/bare".into());
    let mut command = Command::new(&program);
    command
        .current_dir(workspace.root())
        .args(["build", "--release", "--message-format=json-render-diagnostics", "--target"])
        .arg(&target)
        // A folder of their own: host builds may use another compiler, and sharing would rebuild all each time.
        .args(["--target-dir", &target_dir, "--package", package])
        .args(what)
        // Joined with the flags that the repository and the set-up give for the target.
        .arg(format!("--config=target.{target}.rustflags={:?}", [&[NO_WARNINGS], flags].concat()))
        // These would replace the flags that the set-up gives for the target alone.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS");
    if let Some(rustc) = set("HANDOFF_RUSTC") {
        command.env("RUSTC", rustc);
    }
    if crate::style::Style::stderr().has_colour() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let built = patiently(command)
        .map_err(|error| Failure::new(format!("cannot start {program}: {error}"), SET_UP))?;
    if !built.good {
        let remedy = match set("HANDOFF_CARGO") {
            Some(_) => "mend what the messages above name",
            None => SET_UP,
        };
        return Err(Failure::new(format!("building {package} ({}) failed", what.join(" ")), remedy));
    }
    let messages = built.output.split(|&byte| byte == b'\n');
    let executable = messages
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back();
    executable.ok_or_else(|| {
        Failure::new(
            format!("cargo built no executable for {package} ({})", what.join(" ")),
            "check that the package has a binary or example of this name",
        )
    })
}

struct Built {
    good: bool,
    output: Vec<u8>,
}

/// Runs a command whose messages are shown only if it fails or takes long.
fn patiently(mut command: Command) -> std::io::Result<Built> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, messages) = mpsc::channel();
    let stderr = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let Some(mut stderr) = stderr else { return };
        while let Ok(length @ 1..) = stderr.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let shower = std::thread::spawn(move || {
        let (mut held, deadline) = (Vec::new(), std::time::Instant::now() + PATIENCE);
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match messages.recv_timeout(left) {
                Ok(bytes) => held.extend(bytes),
                Err(mpsc::RecvTimeoutError::Disconnected) => return held,
                Err(mpsc::RecvTimeoutError::Timeout) => break,
            }
        }
        let mut stderr = std::io::stderr();
        // If our own standard error is gone there is nobody to show it to.
        let _ = stderr.write_all(&held);
        for bytes in messages {
            let _ = stderr.write_all(&bytes);
        }
        Vec::new()
    });
    let mut output = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_end(&mut output)?;
    }
    let good = child.wait()?.success();
    let _ = reader.join();
    let held = shower.join().unwrap_or_default();
    if !good {
        let _ = std::io::stderr().write_all(&held);
    }
    Ok(Built { good, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_kept_and_the_status_told() {
        let built = patiently(shell("echo out; echo message >&2")).unwrap();
        assert!(built.good);
        assert_eq!(built.output, b"out\n");
        assert!(!patiently(shell("exit 3")).unwrap().good);
        assert!(patiently(Command::new("/nonexistent/cargo")).is_err());
    }
}
