//! Kernels' own projects, as `handoff new` makes them: booted and tested by the lines that it says.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use images::project::Language;
use libtest_mimic::Failed;

use crate::Behaviour;
use crate::handoff::handoff;

/// A folder that is gone when the value is.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn all() -> Vec<Behaviour> {
    let languages = Language::value_variants().iter().map(|&language| {
        let name = language.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let is_missing = language == Language::Zig && std::env::var_os("HANDOFF_ZIG").is_none();
        let test = format!("a_project_in_{name}_boots_and_is_tested_as_new_says");
        let mut behaviour = Behaviour::new(test, move || begins(&name));
        behaviour.is_ignored |= is_missing;
        behaviour
    });
    languages.collect()
}

fn begins(language: &str) -> Result<(), Failed> {
    let folder = Folder(std::env::temp_dir().join(format!("handoff-new-{language}-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    let place = folder.0.to_str().ok_or("a path that is not UTF-8")?;
    let said = handoff(&["new", "mine", "--lang", language, "--dir", place])?.expect_status(0)?.console;
    let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line is missing");
    let run = line("boot it:  ")?;
    runs(run, "hello from mine")?;
    runs(line("test it:  ")?, "verdict: good")?;
    // Without and with optimization, whichever is not the rule.
    let other = match language {
        "rust" => format!("{run} --release"),
        "zig" => format!("{run} -Doptimize=ReleaseSafe"),
        "asm" => return Ok(()),
        _ => format!("{run} DEBUG=1"),
    };
    runs(&other, "hello from mine")
}

/// Runs a line in a shell, as a person would, with the compilers that the set-up found.
fn runs(line: &str, words: &str) -> Result<(), Failed> {
    let mut path = std::env::var("PATH").unwrap_or_default();
    if let Ok(zig) = std::env::var("HANDOFF_ZIG")
        && let Some(folder) = Path::new(&zig).parent()
    {
        path = format!("{path}:{}", folder.display());
    }
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PATH", path)
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if output.status.success() && text.contains(words) {
        Ok(())
    } else {
        Err(format!("{line}\n--- {}, without {words:?}:\n{text}", output.status).into())
    }
}
