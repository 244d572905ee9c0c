//! Runs the tool and holds what a boot said to what it should say.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use images::qemu::version;
use libtest_mimic::Failed;

use crate::Behaviour;

/// How a run of the tool ended.
pub struct Ended {
    pub status: i32,
    /// The machine's console, line ends as QEMU gave them aside.
    pub console: String,
    /// The tool's own words.
    pub words: String,
    command: String,
}

/// Runs the tool. Nothing is at its standard input, as in a script.
pub fn handoff(arguments: &[&str]) -> Result<Ended, Failed> {
    handoff_with(arguments, &[])
}

/// The same with other variables in its environment.
pub fn handoff_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Ended, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoff"));
    command.envs(environment.iter().copied());
    let output = command.args(arguments).stdin(Stdio::null()).output()?;
    Ok(Ended {
        status: output.status.code().unwrap_or(-1),
        console: String::from_utf8_lossy(&output.stdout).replace('\r', ""),
        words: String::from_utf8_lossy(&output.stderr).replace('\r', ""),
        command: format!("handoff {}", arguments.join(" ")),
    })
}

/// Boots a kernel; `more` are further arguments of `run`.
pub fn boot(kernel: &str, more: &[&str]) -> Result<Ended, Failed> {
    // Long enough for a machine that does much else; a boot takes a fraction of a second.
    let mut arguments = vec!["run", "--kernel", kernel, "--timeout", "60"];
    arguments.extend(more);
    handoff(&arguments)
}

impl Ended {
    /// A failure that shows all of it.
    pub fn failed(&self, why: &str) -> Failed {
        let Self { status, console, words, command } = self;
        format!("{why}\n--- {command}\n--- status {status}, console:\n{console}--- words:\n{words}---").into()
    }

    pub fn expect(self, holds: bool, why: &str) -> Result<Self, Failed> {
        if holds { Ok(self) } else { Err(self.failed(why)) }
    }

    pub fn expect_status(self, status: i32) -> Result<Self, Failed> {
        let holds = self.status == status;
        self.expect(holds, &format!("the status is not {status}"))
    }

    /// The console has `text`.
    pub fn expect_said(self, text: &str) -> Result<Self, Failed> {
        let holds = self.console.contains(text);
        self.expect(holds, &format!("the console does not say {text:?}"))
    }

    /// The tool says `text`.
    pub fn expect_words(self, text: &str) -> Result<Self, Failed> {
        let holds = self.words.contains(text);
        self.expect(holds, &format!("the tool does not say {text:?}"))
    }

    /// The rest of the first console line that has `before`.
    pub fn after(&self, before: &str) -> Result<&str, Failed> {
        let found = self.console.lines().find_map(|line| line.split_once(before));
        found.map(|(_, after)| after).ok_or_else(|| self.failed(&format!("no line has {before:?}")))
    }
}

/// The first number, decimal or `0x…`, in `text`.
pub fn number(text: &str) -> Option<u64> {
    let start = text.find(|letter: char| letter.is_ascii_digit())?;
    let rest = &text[start..];
    let (digits, radix) = match rest.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (rest, 10),
    };
    let end = digits.find(|letter: char| !letter.is_digit(radix)).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], radix).ok()
}

/// A file that is gone when the value is.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self, Failed> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, bytes)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("cargo's target folder is named in UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that is left in cargo's own folder harms nobody.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A folder that is gone, with all in it, when the value is.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Result<Self, Failed> {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("cargo's target folder is named in UTF-8")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A behaviour of the QEMU that the set-up brings beside Debian's, which is ignored where it could not be had.
pub fn on_newer_qemu(
    name: impl Into<String>,
    check: impl FnOnce(&str) -> Result<(), Failed> + Send + 'static,
) -> Behaviour {
    let qemu = version::newer();
    let is_there = qemu.is_some();
    let behaviour = Behaviour::new(name, move || check(&qemu.unwrap_or_default()));
    Behaviour { is_ignored: !is_there, ..behaviour }
}
