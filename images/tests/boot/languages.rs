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

static LANGUAGES: [Language; 3] = [
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
];

impl Language {
    /// The command at the source's top, whose warnings are errors, and the kernel that it makes.
    fn build(&self) -> Result<PathBuf, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no root")?;
        let source = std::fs::read_to_string(root.join(self.source)).map_err(|error| error.to_string())?;
        let lines = source.lines().map(|line| line.trim_start_matches(" *").trim());
        let lines = lines.skip_while(|line| !line.starts_with("aarch64-linux-gnu-"));
        let command: Vec<_> = lines.take_while(|line| !line.starts_with("scripts/")).collect();
        let command = command.join(" ").replace('\\', "");
        let mut words: Vec<_> = command.split_whitespace().collect();
        let output = words.pop().ok_or("no command at its top")?;
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{output}", self.name));
        let result = Command::new(words[0])
            .args(&words[1..])
            .arg(&file)
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("{}: {error} (scripts/setup.sh test brings it)", words[0]))?;
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
    }
    list
}
