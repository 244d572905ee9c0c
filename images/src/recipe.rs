//! Recipes: what to boot and on what, as a TOML file.
//!
//! ```toml
//! [kernel]
//! bin = "kernel"              # a binary of the kernel package; or example = "…", or elf = "FILE"
//!
//! [modules]                   # packed page-aligned, listed in BootInfo, in the order of their names
//! "init.cpio" = "rootfs/init.cpio"
//!
//! [boot]
//! command-line = "nokaslr"    # packed into the image
//! log = "normal"              # quiet | normal | verbose
//! digest = "crc32c"           # none | crc32c
//!
//! [machine]
//! name = "virt"               # a row of the machine table
//! memory = "256M"
//! ```
//!
//! Every key may be left out. Files are named from the recipe's own folder. A mistake is an error with file, line
//! and what would be right; a recipe that was read holds only values that are right in themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::failure::{Failure, Outcome};
use crate::machine::Machine;
use crate::size::Size;
use crate::suggest;

/// Where the kernel's ELF file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSource {
    /// A binary of the kernel package, built when needed.
    Bin(String),
    /// An example of the kernel package, built when needed.
    Example(String),
    /// A file that anyone built.
    Elf(PathBuf),
}

/// A digest of each payload entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// Only the payload table's own check and the end marker.
    None,
    /// CRC-32C.
    #[default]
    Crc32c,
}

/// How much the loader prints; what it records is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// Errors.
    Quiet,
    /// The steps.
    #[default]
    Normal,
    /// Everything.
    Verbose,
}

/// The file's form of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The Linux arm64 `Image` form.
    #[default]
    Image,
    /// The same bytes in one `PT_LOAD`.
    Elf,
}

/// What starts the image on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// QEMU itself.
    None,
    /// U-Boot's `booti`.
    UBoot,
}

/// What to boot and on what. Files are absolute or relative to where the tool runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The kernel.
    pub kernel: KernelSource,
    /// Names and files, in the order that they are packed.
    pub modules: Vec<(String, PathBuf)>,
    /// Packed into the image.
    pub command_line: Option<String>,
    /// A device tree to pack, for machines that hand over none.
    pub device_tree: Option<PathBuf>,
    /// How entries are checked; `None` is for the verb to say.
    pub digest: Option<Digest>,
    /// How much is printed.
    pub log: Log,
    /// Makes a boot repeatable: up to 32 bytes.
    pub seed: Option<Seed>,
    /// Row of the machine table.
    pub machine: &'static Machine,
    /// CPU model instead of the row's.
    pub cpu: Option<String>,
    /// RAM instead of the row's.
    pub memory: Option<Size>,
    /// CPUs instead of the row's.
    pub cpus: Option<u32>,
    /// Firmware instead of the row's.
    pub firmware: Option<Firmware>,
    /// An initial RAM disk that the machine hands over.
    pub initrd: Option<PathBuf>,
    /// Seconds until `run` gives up.
    pub timeout: u32,
}

/// Seconds until `run` gives up, unless told otherwise.
pub const DEFAULT_TIMEOUT: u32 = 60;

/// Bytes that stand for a machine's entropy, so that a boot can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(Vec<u8>);

impl Seed {
    /// The seed of a boot that a debugger looks at: its addresses are the same each time.
    pub fn of_debugger() -> Self {
        Self(b"handoff --gdb".to_vec())
    }

    /// The bytes, 1 to 32.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for Seed {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let wrong = || {
            let help = "write 1 to 32 bytes in hexadecimal, as in 0123abcd";
            Failure::new(format!("{text:?} is not a seed"), help)
        };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        let pairs = (0..padded.len()).step_by(2);
        let bytes = pairs.map(|at| u8::from_str_radix(&padded[at..at + 2], 16)).collect::<Result<_, _>>();
        bytes.map(Self).map_err(|_| wrong())
    }
}

impl Recipe {
    /// A recipe that says nothing but the kernel.
    pub fn of(kernel: KernelSource) -> Self {
        Self {
            kernel,
            modules: Vec::new(),
            command_line: None,
            device_tree: None,
            digest: None,
            log: Log::default(),
            seed: None,
            machine: Machine::DEFAULT,
            cpu: None,
            memory: None,
            cpus: None,
            firmware: None,
            initrd: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Outcome<Self> {
        let bytes = crate::failure::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::new(
                format!("{}: a recipe is TOML, in UTF-8", path.display()),
                "a kernel's file is given with --kernel",
            )
        })?;
        Self::parse(Source { path, text: &text, is_there: Path::is_file })
    }

    fn parse(source: Source<'_>) -> Outcome<Self> {
        let Source { path, text, .. } = source;
        let file: File = toml::from_str(text).map_err(|error| source.not_toml(&error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut recipe = Self::of(file.kernel(source, folder)?);
        recipe.modules = file.modules(source, folder)?;
        let Boot { command_line, device_tree, digest, log, seed } = file.boot;
        if let Some(line) = command_line {
            recipe.command_line = Some(source.command_line(line)?);
        }
        recipe.device_tree = device_tree.map(|tree| source.file(folder, &tree)).transpose()?;
        recipe.digest = digest;
        recipe.log = log.unwrap_or_default();
        recipe.seed = seed.map(|seed| source.parse(&seed)).transpose()?;

        let machine = file.machine;
        if let Some(name) = &machine.name {
            recipe.machine = source.check(name, Machine::find(name.get_ref()))?;
        }
        let row = recipe.machine;
        if let Some(model) = machine.cpu {
            source.check(&model, row.cpu(Some(model.get_ref())))?;
            recipe.cpu = Some(model.into_inner());
        }
        if let Some(size) = machine.memory {
            let asked: Size = source.parse(&size)?;
            recipe.memory = Some(source.check(&size, row.memory(Some(asked)))?);
        }
        if let Some(count) = machine.cpus {
            recipe.cpus = Some(source.check(&count, row.cpus(Some(*count.get_ref())))?);
        }
        if let Some(seconds) = machine.timeout {
            if *seconds.get_ref() == 0 {
                let words = "a timeout of 0 is over at once";
                return Err(source.mistake(Some(seconds.span()), words, "give seconds, at least 1"));
            }
            recipe.timeout = seconds.into_inner();
        }
        recipe.firmware = machine.firmware;
        recipe.initrd = machine.initrd.map(|initrd| source.file(folder, &initrd)).transpose()?;
        Ok(recipe)
    }
}

/// A recipe's text, for errors that say where.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    /// Whether a file that is named is there.
    is_there: fn(&Path) -> bool,
}

impl Source<'_> {
    fn mistake(self, span: Option<std::ops::Range<usize>>, words: &str, help: impl Into<String>) -> Failure {
        let at = span.map_or(0, |span| span.start).min(self.text.len());
        let line = self.text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Failure::new(format!("{}:{line}: {words}", self.path.display()), help)
    }

    fn check<T, U>(self, value: &Spanned<T>, checked: Outcome<U>) -> Outcome<U> {
        checked.map_err(|failure| self.mistake(Some(value.span()), failure.words(), failure.help()))
    }

    fn parse<T: std::str::FromStr<Err = Failure>>(self, value: &Spanned<String>) -> Outcome<T> {
        self.check(value, value.get_ref().parse())
    }

    /// A file, named from the recipe's folder, that is there.
    fn file(self, folder: &Path, named: &Spanned<PathBuf>) -> Outcome<PathBuf> {
        let file = folder.join(named.get_ref());
        if (self.is_there)(&file) {
            return Ok(file);
        }
        let words = format!("there is no file {}", file.display());
        let help = "check the name: files are named from the recipe's own folder";
        Err(self.mistake(Some(named.span()), &words, help))
    }

    fn not_toml(self, error: &toml::de::Error) -> Failure {
        let message = error.message().trim_end().replace('\n', "; ");
        // serde: "unknown field `nmae`, expected one of `name`, `cpu`".
        let (wrong, expected) = match message.split_once(", expected ") {
            Some((wrong, expected)) if wrong.starts_with("unknown ") => (wrong, expected),
            _ => {
                return self.mistake(error.span(), &message, "see docs/images.md for what a recipe holds");
            }
        };
        let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let name = quoted(wrong).pop().unwrap_or_default();
        let known = quoted(expected);
        let help = suggest::help(&name, "give one of", known.iter().map(String::as_str));
        self.mistake(error.span(), wrong, help)
    }

    fn command_line(self, line: Spanned<String>) -> Outcome<String> {
        self.check(&line, command_line(line.get_ref()))?;
        Ok(line.into_inner())
    }
}

/// The longest command line, in bytes, as in Linux on arm64 (`COMMAND_LINE_SIZE`) less the NUL.
pub const COMMAND_LINE_MAX: usize = 2047;

/// Checks a command line: one line of text that fits.
pub fn command_line(line: &str) -> Outcome<()> {
    if line.len() > COMMAND_LINE_MAX {
        let length = line.len();
        return Err(Failure::new(
            format!("a command line of {length} bytes is too long"),
            format!("shorten it: at most {COMMAND_LINE_MAX} bytes fit"),
        ));
    }
    if line.chars().any(char::is_control) {
        return Err(Failure::new(
            "a command line is one line without control characters",
            "separate its words by spaces",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    kernel: Option<Spanned<Kernel>>,
    #[serde(default)]
    modules: BTreeMap<Spanned<String>, Spanned<PathBuf>>,
    #[serde(default)]
    boot: Boot,
    #[serde(default)]
    machine: MachineKeys,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kernel {
    bin: Option<String>,
    example: Option<String>,
    elf: Option<Spanned<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Boot {
    command_line: Option<Spanned<String>>,
    device_tree: Option<Spanned<PathBuf>>,
    digest: Option<Digest>,
    log: Option<Log>,
    seed: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineKeys {
    name: Option<Spanned<String>>,
    cpu: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    cpus: Option<Spanned<u32>>,
    firmware: Option<Firmware>,
    initrd: Option<Spanned<PathBuf>>,
    timeout: Option<Spanned<u32>>,
}

impl File {
    fn kernel(&self, source: Source<'_>, folder: &Path) -> Outcome<KernelSource> {
        let Some(kernel) = &self.kernel else { return Ok(KernelSource::Bin("kernel".into())) };
        match kernel.get_ref().clone() {
            Kernel { bin: Some(name), example: None, elf: None } => Ok(KernelSource::Bin(name)),
            Kernel { bin: None, example: Some(name), elf: None } => Ok(KernelSource::Example(name)),
            Kernel { bin: None, example: None, elf: Some(path) } => {
                source.file(folder, &path).map(KernelSource::Elf)
            }
            _ => Err(source.mistake(
                Some(kernel.span()),
                "[kernel] takes one of bin, example and elf",
                "give one of them: elf = \"FILE\" for a kernel that is built already",
            )),
        }
    }

    fn modules(&self, source: Source<'_>, folder: &Path) -> Outcome<Vec<(String, PathBuf)>> {
        let checked = self.modules.iter().map(|(name, file)| {
            source.check(name, module_name(name.get_ref()))?;
            Ok((name.get_ref().clone(), source.file(folder, file)?))
        });
        checked.collect()
    }
}

/// Checks a module's name: what a payload entry has room for.
pub fn module_name(name: &str) -> Outcome<()> {
    const ROOM: usize = 31;
    if name.is_empty() || name.len() > ROOM || name.chars().any(char::is_control) {
        return Err(Failure::new(
            format!("{name:?} names no module"),
            format!("give a name of 1 to {ROOM} bytes of text"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
