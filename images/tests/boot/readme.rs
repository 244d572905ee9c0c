//! The README's own kernel, taken out of the README and built, step by step, as a reader would.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;

use crate::handoff::handoff;
use crate::{Behaviour, errata};

/// What a reader's first changes ask of linker and libraries: constants that hold addresses, and `alloc`.
const MORE: &str = r#"
    assert_eq!(info.free_bytes() & 0xFFF, 0);
    println!("{:?} {:?}", info.free_memory().next().is_some(), core::str::from_utf8(b"\xFF"));
    let squares: alloc::vec::Vec<u64> = (1..=9).map(|number| number * number).collect();
    println!("{squares:?}, {}", alloc::format!("{:#x}", squares.iter().sum::<u64>()));
"#;

/// An allocator for [`MORE`], which frees nothing.
const ALLOCATOR: &str = r#"
extern crate alloc;

struct Bump(core::cell::UnsafeCell<[u64; 512]>, core::sync::atomic::AtomicUsize);

// SAFETY: every byte is given out once.
unsafe impl Sync for Bump {}

// SAFETY: blocks are apart from each other, within the array and aligned as asked.
unsafe impl core::alloc::GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: core::alloc::Layout) -> *mut u8 {
        let size = layout.size().next_multiple_of(8);
        let start = self.1.fetch_add(size, core::sync::atomic::Ordering::Relaxed);
        if layout.align() > 8 || start + size > 4096 { core::ptr::null_mut() } else { self.0.get().cast::<u8>().wrapping_add(start) }
    }
    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
}

#[global_allocator]
static BUMP: Bump = Bump(core::cell::UnsafeCell::new([0; 512]), core::sync::atomic::AtomicUsize::new(0));
"#;

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("the_readme_s_first_picture_is_what_run_says", first_picture),
        Behaviour::new("the_readme_s_kernel_builds_and_boots_in_release_and_debug", both_profiles),
        Behaviour::new("the_readme_s_kernel_stays_where_it_is_linked_or_is_not_linked", fixed),
    ]
}

/// The README's first picture: what it shows of each command is said, in this order. Addresses and distances change with
/// the slide and the compiler, and so do the calls that are left out.
fn first_picture() -> Result<(), Failed> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let picture = readme.split("```console\n").nth(1).and_then(|rest| rest.split("```").next());
    let picture = picture.ok_or("README: no picture")?;
    let mut count = 0;
    for part in picture.split("$ scripts/run.sh ").skip(1) {
        let (command, shown) = part.split_once('\n').ok_or("README: a command without a picture")?;
        let arguments: Vec<&str> = std::iter::once("run").chain(command.split(' ')).collect();
        let ended = handoff(&arguments)?;
        let said: Vec<String> = ended.words.lines().map(without_addresses).collect();
        let mut rest = &said[..];
        for line in shown.lines().filter(|line| *line != "…").map(without_addresses) {
            match rest.iter().position(|said| *said == line) {
                Some(at) => rest = &rest[at + 1..],
                None => {
                    return Err(ended.failed(&format!("README shows what is not said, or not there: {line}")));
                }
            }
            count += 1;
        }
    }
    if count > 10 { Ok(()) } else { Err("README: the picture has hardly a line".into()) }
}

/// A line in which every hexadecimal number is the same.
fn without_addresses(line: &str) -> String {
    let mut parts = line.split("0x");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| {
        line + "0x" + part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit())
    })
}

fn both_profiles() -> Result<(), Failed> {
    let steps = Steps::of_readme()?;
    let project = Project::new("profiles", &steps)?;
    let debug = steps.commands.replace(" --release", "").replace("/release/", "/debug/");
    for commands in [&steps.commands, &debug] {
        project.expect("hello: ", commands)?;
    }
    for profile in ["release", "debug"] {
        let file = format!("target/aarch64-unknown-none-softfloat/{profile}/mine");
        errata::expect_none(&std::fs::read(project.file(&file))?, &file)?;
    }
    // As it is, then with what a reader adds next.
    let end = steps.main.rfind("    ending::finish(Verdict::Good)").ok_or("README: no good end")?;
    let (front, back) = steps.main.split_at(end);
    std::fs::write(project.file("src/main.rs"), format!("{front}{MORE}{back}{ALLOCATOR}"))?;
    for commands in [&steps.commands, &debug] {
        project.expect("[1, 4, 9, 16, 25, 36, 49, 64, 81], 0x11d", commands)?;
    }
    Ok(())
}

/// The base that the linker script takes, in front of the script and behind it.
fn fixed() -> Result<(), Failed> {
    let steps = Steps::of_readme()?;
    let project = Project::new("fixed", &steps)?;
    let base = "\"--defsym=kernel_base=0xffff000000000000\"";
    let script = "\"-T../handoff/linker/kernel.ld\"";
    for (arguments, words) in
        [(format!("{base}, {script}"), None), (format!("{script}, {base}"), Some("kernel_base before -T"))]
    {
        let build = steps.build.replace(&format!("{script}, \"-pie\""), &arguments);
        std::fs::write(project.file("build.rs"), &build)?;
        match words {
            None => project.expect("entering the kernel at 0xffff00000000", &steps.commands)?,
            Some(words) => match project.run(&steps.commands)? {
                (false, text) if text.contains(words) => {}
                (_, text) => return Err(format!("{words:?} is not said:\n{text}").into()),
            },
        }
    }
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The blocks of the README's steps, by what they are for.
struct Steps {
    manifest: String,
    main: String,
    build: String,
    config: String,
    commands: String,
}

impl Steps {
    fn of_readme() -> Result<Self, Failed> {
        let readme = std::fs::read_to_string(root().join("README.md"))?;
        let (_, section) =
            readme.split_once("\n## Bring your own kernel\n").ok_or("README: no such section")?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut blocks = section.split("   ```").skip(1).step_by(2).map(|block| {
            let (language, text) = block.split_once('\n').unwrap_or_default();
            let lines = text.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
            (language, lines.fold(String::new(), |all, line| all + line + "\n"))
        });
        let mut next = |wanted: &str| match blocks.next() {
            Some((language, text)) if language == wanted => Ok(text),
            other => Err(Failed::from(format!("README: a block of {wanted} was expected, not {other:?}"))),
        };
        Ok(Self {
            manifest: next("toml")?,
            main: next("rust")?,
            build: next("rust")?,
            config: next("toml")?,
            commands: next("sh")? + &next("sh")?,
        })
    }
}

/// A folder with the reader's project beside this repository, gone with all in it when the value is.
struct Project(PathBuf);

impl Project {
    fn new(name: &str, steps: &Steps) -> Result<Self, Failed> {
        let folder = std::env::temp_dir().join(format!("handoff-readme-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("mine/.cargo"))?;
        let project = Self(folder);
        std::os::unix::fs::symlink(root(), project.0.join("handoff"))?;
        std::fs::create_dir(project.file("src"))?;
        let new = "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n";
        std::fs::write(project.file("Cargo.toml"), new.to_owned() + &steps.manifest)?;
        std::fs::write(project.file("src/main.rs"), &steps.main)?;
        std::fs::write(project.file("build.rs"), &steps.build)?;
        std::fs::write(project.file(".cargo/config.toml"), &steps.config)?;
        // The crates are those that this repository was built with: nothing is fetched for them.
        std::fs::copy(root().join("Cargo.lock"), project.file("Cargo.lock"))?;
        Ok(project)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("mine").join(name)
    }

    /// Runs the commands, each of which must succeed, and wants two boots that say `words`.
    fn expect(&self, words: &str, commands: &str) -> Result<(), Failed> {
        match self.run(commands)? {
            (true, text) if text.matches(words).count() == 2 => Ok(()),
            (_, text) => Err(format!("{words:?} is not said twice:\n{commands}\n{text}").into()),
        }
    }

    /// Runs the commands until one fails: whether none did, and what all of them said.
    fn run(&self, commands: &str) -> Result<(bool, String), Failed> {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", &format!("../handoff/scripts/setup.sh\n{commands}")]);
        command.current_dir(self.0.join("mine")).stdin(Stdio::null());
        // Where this test's build is put is not the reader's business.
        command.env_remove("CARGO_TARGET_DIR").env("CARGO_NET_OFFLINE", "true");
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok((output.status.success(), text.into_owned()))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
