//! What the integration tests share: running the tool, golden text, and an image made without a target compiler.

#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../../../elfloader/tests/elf_builder/mod.rs"]
mod elf_builder;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub use elf_builder::ElfBuilder;
use images::kernel::KernelFile;
use images::pack::{Contents, Payload};
use images::recipe::Digest;
use shared_abi::image::{BootFlags, Kind, LogLevel};

/// The tool, in a folder of its own and without the caller's environment.
pub fn handoff(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_handoff"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("HANDOFF_CARGO")
        .env("HANDOFF_QEMU", "/nonexistent/qemu")
        .env_remove("HANDOFF_NEWER_QEMU")
        .output()
        .expect("the tool starts")
}

/// What a command printed and left with, as one text.
pub fn transcript(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.is_empty() {
        text.push_str("--- standard error\n");
        text.push_str(&errors);
    }
    text.push_str(&format!("--- status {}\n", output.status.code().expect("the tool ended by itself")));
    text
}

/// Compares with `tests/golden/NAME`; with `BLESS=1` in the environment writes it instead.
pub fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "differs from {}", path.display());
}

/// A folder that is gone when the value is.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder for the test of this name.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("handoff-test-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file can be written");
        path
    }

    /// Names of what is in it.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the folder can be read");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Contents whose loader is not one: good for everything but booting.
pub fn contents() -> Contents {
    Contents {
        loader: vec![0xD5; 0x3000],
        kernel: KernelFile::new(ElfBuilder::good().build()),
        kernel_name: "sample".into(),
        more: vec![
            Payload { kind: Kind::COMMAND_LINE, name: String::new(), bytes: b"nokaslr".to_vec() },
            Payload { kind: Kind::MODULE, name: "initramfs".into(), bytes: vec![1; 0x1800] },
        ],
        digest: Digest::Crc32c,
        flags: BootFlags::SEMIHOSTING,
        log: LogLevel::Normal,
        tree_hint: 0,
    }
}
