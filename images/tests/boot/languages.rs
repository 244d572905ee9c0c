//! Kernels in other languages: built by the command that stands at the top of each, with nothing of ours but
//! `shared-abi/include`, and booted on every row.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use images::machine::MACHINES;
use libtest_mimic::Failed;

use crate::Behaviour;
use crate::handoff::{boot, handoff};
use crate::machines::row;

struct Language {
    name: &'static str,
    source: &'static str,
    /// What its kernel says on the console.
    says: &'static str,
    /// Whether it writes to a PL011 alone.
    pl011: bool,
    built: OnceLock<Result<PathBuf, String>>,
}

static LANGUAGES: [Language; 4] = [
    Language {
        name: "c",
        source: "kernel/examples/hello.c",
        says: "bytes free: 0x",
        pl011: false,
        built: OnceLock::new(),
    },
    Language {
        name: "c++",
        source: "kernel/examples/hello.cpp",
        says: "512 words written and read back",
        pl011: false,
        built: OnceLock::new(),
    },
    Language {
        name: "assembly",
        source: "kernel/examples/hello.S",
        says: "hello from assembly",
        pl011: true,
        built: OnceLock::new(),
    },
    Language {
        name: "zig",
        source: "kernel/examples/hello.zig",
        says: "hello from Zig, MiB free: ",
        pl011: false,
        built: OnceLock::new(),
    },
];

/// Prefixes of the line that builds a kernel, with what warnings are made errors by.
const COMPILERS: [(&str, &[&str]); 2] =
    [("aarch64-linux-gnu-", &["-Wall", "-Wextra", "-Wpedantic", "-Werror"]), ("zig ", &[])];

impl Language {
    /// The command at the source's top, whose warnings are errors, and the kernel that it makes.
    fn build(&self) -> Result<PathBuf, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
        let source = std::fs::read_to_string(root.join(self.source)).map_err(|error| error.to_string())?;
        let lines = source.lines().map(|line| line.trim_start_matches([' ', '*', '/', '!']).trim());
        let compiler = |line: &str| COMPILERS.iter().find(|(prefix, _)| line.starts_with(prefix));
        let lines: Vec<_> = lines.skip_while(|line| compiler(line).is_none()).collect();
        let (_, strict) = lines.first().and_then(|line| compiler(line)).ok_or("no command at its top")?;
        let command: Vec<_> = lines.into_iter().take_while(|line| !line.starts_with("scripts/")).collect();
        let command = command.join(" ").replace('\\', "");
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hello-{}.elf", self.name));
        let output = file.to_str().ok_or("a path that is not UTF-8")?;
        let mut words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        // Zig takes a name, not a path.
        let folder = file.parent().ok_or("no folder")?;
        let program = match words.remove(0).as_str() {
            "zig" => std::env::var("HANDOFF_ZIG").map_err(|_| "HANDOFF_ZIG is not set")?,
            gcc => {
                *words.last_mut().ok_or("no output")? = output.into();
                gcc.into()
            }
        };
        for word in &mut words {
            for (prefix, path) in [("kernel/", "kernel"), ("shared-abi/", "shared-abi")] {
                if let Some(at) = word.find(prefix) {
                    let rest = &word[at + prefix.len()..];
                    *word = format!("{}{}/{rest}", &word[..at], root.join(path).display());
                }
            }
        }
        if program.ends_with("zig") {
            let name = words.last_mut().ok_or("no name")?;
            *name = format!("hello-{}.elf", self.name);
        }
        let result = Command::new(&program)
            .args(&words)
            .args(*strict)
            .current_dir(folder)
            .output()
            .map_err(|error| format!("{program}: {error} (scripts/setup.sh test brings it)"))?;
        let said = String::from_utf8_lossy(&result.stderr);
        if result.status.success() { Ok(file) } else { Err(format!("{command}\n{said}")) }
    }

    /// The kernel's path.
    fn kernel(&self) -> Result<&str, Failed> {
        let built = self.built.get_or_init(|| self.build()).as_ref().map_err(Failed::from)?;
        built.to_str().ok_or_else(|| "a path that is not UTF-8".into())
    }
}

pub fn all() -> Vec<Behaviour> {
    let mut list = Vec::new();
    for language in &LANGUAGES {
        let is_missing = language.name == "zig" && std::env::var_os("HANDOFF_ZIG").is_none();
        let first = list.len();
        for machine in MACHINES {
            let name = machine.name;
            list.push(row(name, format!("a_kernel_in_{}_boots_on_{name}", language.name), move || {
                let ended = boot(language.kernel()?, &["--machine", name])?.expect_status(0)?;
                // The other rows' ports are not PL011s.
                if language.pl011 && !name.starts_with("virt") {
                    return Ok(());
                }
                ended.expect_said(language.says).map(drop)
            }));
        }
        list.push(Behaviour::new(format!("a_kernel_in_{}_passes_the_audit", language.name), || {
            handoff(&["audit", language.kernel()?])?.expect_status(0).map(drop)
        }));
        list.iter_mut().skip(first).for_each(|behaviour| behaviour.is_ignored |= is_missing);
    }
    list
}
