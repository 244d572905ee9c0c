//! The command line: verbs, flags and their help.
//!
//! Flags that say *what* to boot are shared by all verbs, flags that say *on what* by those that start a machine.
//! They override the recipe, and what they override it with is checked as the recipe is.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::failure::{Failure, Outcome};
use crate::inspect::moment::At;
use crate::machine::{Machine, WayIn};
use crate::project::Language;
use crate::recipe::{self, Digest, Firmware, Form, KernelSource, Log, Recipe, Seed};
use crate::size::Size;
use crate::suggest;
use crate::workspace::Workspace;

/// Handoff: pack a kernel with its loader, boot it, and see what it was handed.
#[derive(Debug, Parser)]
#[command(name = "handoff", version, max_term_width = 100, subcommand_required = true)]
#[command(
    after_help = "Exit status of run: 0 the kernel's verdict is good, 1 it is bad or there was none, 2 a mistake \
on the host, 101 the loader refused, 102 a fault in the loader, 103 a fault in the kernel, 124 out of time."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

impl Verb {
    /// Whether the machine that is asked for is `list`: all of them are to be shown.
    pub fn lists_machines(&self) -> bool {
        let machine = match self {
            Self::Build(flags) => &flags.machine,
            Self::Run(flags) => &flags.wanted.on.machine,
            Self::Plan(flags) => &flags.wanted.on.machine,
            Self::Tree(flags) => &flags.on.machine,
            Self::Inspect(flags) => &flags.wanted.on.machine,
            Self::Audit(flags) => &flags.wanted.on.machine,
            Self::Debug(flags) => &flags.wanted.on.machine,
            Self::Check(_) | Self::Explain(_) | Self::New(_) | Self::Machines => &None,
        };
        machine.as_deref() == Some("list")
    }
}

/// A mistake in the command line, in one line and what to do; `None` for what is none, such as help.
pub fn mistake(error: &clap::Error) -> Option<Failure> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.as_str()],
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let first = |kind| context(kind).first().copied();
    let flag = first(ContextKind::InvalidArg).and_then(|flag| flag.split(' ').next()).unwrap_or_default();
    if let Some(failure) =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Failure>())
    {
        return Some(failure.clone().within(flag));
    }
    let text = error.to_string();
    let lines: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let wrong = lines.join(" ");
    let wrong = wrong.strip_prefix("error: ").unwrap_or(&wrong);
    let wrong = wrong.split(" [possible values").next().unwrap_or_default();
    let verbs = Cli::command();
    let verbs: Vec<_> = verbs.get_subcommands().map(clap::Command::get_name).collect();
    let known = context(ContextKind::ValidValue);
    let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let help = match (error.kind(), wrong.split_once(" is not in "), first(ContextKind::SuggestedArg)) {
        (ErrorKind::InvalidSubcommand, ..) => {
            suggest::help(first(ContextKind::InvalidSubcommand).unwrap_or_default(), "give one of", verbs)
        }
        (ErrorKind::InvalidValue, ..) if !known.is_empty() => {
            suggest::help(first(ContextKind::InvalidValue).unwrap_or_default(), "give one of", known)
        }
        (ErrorKind::ValueValidation, Some((_, range)), _) => format!("give a number in {range}"),
        (ErrorKind::ArgumentConflict, ..) => "leave one of the two out".into(),
        (_, _, Some(meant)) => format!("did you mean {meant}?"),
        _ => usage.map_or("handoff VERB --help shows what can be given".into(), |usage| {
            format!("the usage is: {usage}")
        }),
    };
    Some(Failure::new(wrong, help))
}

/// What the tool does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Pack a kernel and its payload into one bootable image.
    #[command(after_help = "Example: handoff build --kernel mine.elf -o mine.img")]
    Build(Build),
    /// Boot a kernel in QEMU and report its verdict as the exit status.
    #[command(after_help = "Example: handoff run --kernel mine.elf --memory 1G --cpu cortex-a72 -- -d int")]
    Run(Run),
    /// Verify an image and say what is in it.
    #[command(after_help = "Example: handoff check mine.img")]
    Check(Check),
    /// Say what a boot would decide, without booting: memory map, load plan, virtual layout, tables.
    #[command(after_help = "Example: handoff plan --kernel mine.elf --machine virt-el2 --memory 4G\n\
Exit status: 101 and the refusal with its code if the boot would refuse.")]
    Plan(Plan),
    /// Write a device tree: a machine's own, or what of one the loader reads.
    #[command(
        after_help = "Example: handoff tree --machine virt-el2 --pruned -o virt.dtb && dtc -I dtb virt.dtb"
    )]
    Tree(Tree),
    /// Stop a machine at the kernel's first instruction, or later, and show what the kernel was handed and does.
    #[command(
        after_help = "Example: handoff inspect --kernel mine.elf --machine virt-el2 --dump mine.core\n\
handoff inspect --kernel mine.elf --at fault"
    )]
    Inspect(Inspect),
    /// Prove the contract's mapping rules on the page tables of a stopped machine or a dump.
    #[command(
        after_help = "Example: handoff audit --kernel mine.elf; handoff audit --from mine.core --walk 0xffff008000001000"
    )]
    Audit(Audit),
    /// Write what VS Code and GDB need to debug a boot, and say how to start.
    #[command(after_help = "Example: handoff debug --kernel mine.elf --dir mine")]
    Debug(Debug),
    /// Begin a kernel's own project, in a folder outside of this repository.
    #[command(after_help = "Example: handoff new mine --lang c --dir .. && cd ../mine && make run")]
    New(New),
    /// Say what the code of an error means and what to do about it.
    #[command(after_help = "Example: handoff explain E0203")]
    Explain(Explain),
    /// List the machines that --machine names.
    #[command(after_help = "Example: handoff machines")]
    Machines,
}

/// What to boot.
#[derive(Clone, Debug, Default, Args)]
pub struct What {
    /// Recipe: a .toml file, or the name of one in images/; or a kernel's ELF file [default: default]
    pub recipe: Option<String>,
    /// Kernel: any ELF file that speaks the handoff ABI, or a recipe
    #[arg(long, value_name = "ELF|RECIPE")]
    pub kernel: Option<String>,
    /// Digest of each payload entry [default: the recipe's, else crc32c for build, none for a boot]
    #[arg(long, value_enum)]
    pub digest: Option<Digest>,
    /// How much the loader prints
    #[arg(long, value_enum)]
    pub log: Option<Log>,
    /// Entropy in hexadecimal, which makes a boot repeatable
    #[arg(long, value_name = "HEX")]
    pub seed: Option<Seed>,
    /// Device tree to pack, for a machine that hands over none
    #[arg(long, value_name = "FILE")]
    pub dtb: Option<PathBuf>,
    /// File to pack as a module, under this name; may be given several times
    #[arg(long, value_name = "NAME=FILE")]
    pub module: Vec<Module>,
}

/// A module: its name, and the file that is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    name: String,
    file: PathBuf,
}

impl Module {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that is packed.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl std::str::FromStr for Module {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(|| {
            let help = "write NAME=FILE, as in init.cpio=rootfs/init.cpio";
            Failure::new(format!("{text:?} is not a module"), help)
        })?;
        recipe::module_name(name)?;
        Ok(Self { name: name.to_owned(), file: file.into() })
    }
}

/// Flags of `build`.
#[derive(Clone, Debug, Args)]
pub struct Build {
    /// What to boot.
    #[command(flatten)]
    pub what: What,
    /// Image to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Kernel command line to pack
    #[arg(long, value_name = "TEXT")]
    pub append: Option<String>,
    /// Form of the file
    #[arg(long, value_enum, default_value = "image")]
    pub form: Form,
    /// Machine whose addresses an ELF form is made for
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
}

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Image to verify, in either form
    pub image: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `new`.
#[derive(Clone, Debug, Args)]
pub struct New {
    /// Name of the project, its folder and its kernel
    pub name: String,
    /// Language
    #[arg(long, value_name = "LANGUAGE", value_enum, default_value = "rust")]
    pub lang: Language,
    /// Folder in which the project's own is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Code or name of an error, as in E0203 [default: list all]
    pub code: Option<String>,
}

/// On what to boot.
#[derive(Clone, Debug, Default, Args)]
pub struct On {
    /// Machine: a row of `handoff machines`, or list
    #[arg(long, value_name = "NAME")]
    pub machine: Option<String>,
    /// RAM
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// CPU model
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Number of CPUs
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Initial RAM disk that the machine hands over
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// Kernel command line that the machine hands over
    #[arg(long, value_name = "TEXT")]
    pub append: Option<String>,
    /// What starts the image
    #[arg(long, value_enum)]
    pub firmware: Option<Firmware>,
    /// Form in which QEMU gets the image
    #[arg(long, value_enum)]
    pub form: Option<Form>,
}

/// What a verb boots, or would boot.
#[derive(Clone, Debug, Default, Args)]
pub struct Wanted {
    /// What to boot.
    #[command(flatten)]
    pub what: What,
    /// On what.
    #[command(flatten)]
    pub on: On,
    /// Arguments for QEMU
    #[arg(last = true, value_name = "QEMU ARGS")]
    pub qemu: Vec<String>,
}

/// How a handoff is shown.
#[derive(Clone, Debug, Default, Args)]
pub struct Show {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Draw it all as one self-contained page as well
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Keep registers, tables and BootInfo in a file, an ELF core: for audit --from
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
}

/// Flags of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct Run {
    /// What to boot, and on what.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Seconds until the boot is ended with status 124 [default: the recipe's, else 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
    /// Boot this image as it is instead of packing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipe", "kernel", "digest", "log", "seed", "dtb", "module", "form"])]
    pub image: Option<PathBuf>,
    /// Wait for a debugger before the first instruction, and say how to start one
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1234", require_equals = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub gdb: Option<u16>,
    /// Write the debugger's script to this file, and not to a temporary one
    #[arg(long, value_name = "FILE", requires = "gdb", conflicts_with = "image")]
    pub script: Option<PathBuf>,
    /// Print nothing of the machine's console
    #[arg(long)]
    pub quiet: bool,
    /// Print one JSON object about the boot instead of the console
    #[arg(long)]
    pub json: bool,
    /// Keep image, console, report and, for inspect --from, dumps of the kernel's entry and of its failure
    #[arg(long, value_name = "FOLDER", conflicts_with = "gdb")]
    pub keep: Option<PathBuf>,
}

/// Flags of `plan`.
#[derive(Clone, Debug, Default, Args)]
pub struct Plan {
    /// What to boot, and on what.
    #[command(flatten)]
    pub wanted: Wanted,
    /// The machine's device tree [default: the one that QEMU makes for the machine]
    #[arg(long, value_name = "FILE")]
    pub tree: Option<PathBuf>,
    /// Where firmware puts the image [default: as QEMU does]
    #[arg(long, value_name = "ADDRESS")]
    pub image_at: Option<Address>,
    /// Where firmware puts the device tree [default: as QEMU does]
    #[arg(long, value_name = "ADDRESS")]
    pub tree_at: Option<Address>,
    /// Where firmware puts the initial RAM disk, if --tree is given [default: as QEMU does]
    #[arg(long, value_name = "ADDRESS", requires = "tree")]
    pub initrd_at: Option<Address>,
    /// Bits of a physical address [default: the CPU model's]
    #[arg(long, value_name = "N")]
    pub address_bits: Option<u32>,
    /// Slide of the kernel, as BootInfo records it [default: the lowest of the random ones, unless --seed]
    #[arg(long, value_name = "BYTES")]
    pub slide: Option<Address>,
    /// Offset of the direct map, as BootInfo records it [default: the lowest of the random ones, unless --seed]
    #[arg(long, value_name = "ADDRESS")]
    pub direct_map: Option<Address>,
    /// How to show it.
    #[command(flatten)]
    pub show: Show,
}

/// Flags of `tree`.
#[derive(Clone, Debug, Args)]
pub struct Tree {
    /// Device tree to read [default: the one that QEMU makes for the machine]
    #[arg(conflicts_with_all = ["machine", "memory", "cpu", "cpus", "initrd", "append", "firmware", "form"])]
    pub file: Option<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub on: On,
    /// Keep only what the loader reads
    #[arg(long)]
    pub pruned: bool,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Flags of `inspect`.
#[derive(Clone, Debug, Default, Args)]
pub struct Inspect {
    /// What to boot, and on what.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Where the stopped machine comes from.
    #[command(flatten)]
    pub stop: Stop,
    /// How to show it.
    #[command(flatten)]
    pub show: Show,
}

/// Flags of `audit`.
#[derive(Clone, Debug, Default, Args)]
pub struct Audit {
    /// What to boot, and on what.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Where the stopped machine comes from.
    #[command(flatten)]
    pub stop: Stop,
    /// Explain the translation of one virtual address instead
    #[arg(long, value_name = "ADDRESS")]
    pub walk: Option<Address>,
    /// Print JSON
    #[arg(long, conflicts_with = "walk")]
    pub json: bool,
}

/// Flags of `debug`.
#[derive(Clone, Debug, Args)]
pub struct Debug {
    /// What to boot, and on what.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Folder that is opened in the editor
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub dir: PathBuf,
    /// Port at which the machine waits for the debugger
    #[arg(long, value_name = "PORT", default_value_t = 1234, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
}

/// An address, in hexadecimal with or without `0x`; underscores may group digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub u64);

impl std::str::FromStr for Address {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        let digits = text.strip_prefix("0x").unwrap_or(text).replace('_', "");
        let wrong = |_| {
            let help = "write it in hexadecimal, as in 0xffff008000001000";
            Failure::new(format!("{text:?} is not an address"), help)
        };
        u64::from_str_radix(&digits, 16).map(Self).map_err(wrong)
    }
}

/// Where a stopped machine comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct Stop {
    /// Look into a dump instead of a machine
    #[arg(long, value_name = "DUMP", conflicts_with_all = [
        "recipe", "kernel", "digest", "log", "seed", "dtb", "module", "machine", "memory", "cpu", "cpus", "initrd", "append",
        "firmware", "form", "image", "timeout", "qemu", "at",
    ])]
    pub from: Option<PathBuf>,
    /// Boot this image as it is instead of packing one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipe", "kernel", "digest", "log", "seed", "dtb", "module", "form"])]
    pub image: Option<PathBuf>,
    /// Where to look: a function or FILE:LINE of the kernel, fault, exit, hang, or entry [default: entry]
    #[arg(long, value_name = "WHERE")]
    pub at: Option<At>,
    /// Seconds until the kernel must have been entered, and must have come there [default: the recipe's, else 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
}

impl What {
    /// The recipe that the flags ask for.
    pub fn resolve(&self, workspace: &Workspace) -> Outcome<Recipe> {
        let mut recipe = match (&self.recipe, self.kernel.as_deref().map(|kernel| named(workspace, kernel))) {
            (None, None) => Recipe::read(&workspace.recipe("default"))?,
            (Some(name), None) => recipe_named(workspace, name)?,
            (None, Some(Named::Recipe(path))) => Recipe::read(&path)?,
            (None, Some(Named::Kernel(kernel))) => Recipe::of(kernel),
            (Some(name), Some(Named::Kernel(kernel))) => Recipe { kernel, ..recipe_named(workspace, name)? },
            (Some(name), Some(Named::Recipe(path))) => {
                let path = path.display();
                return Err(Failure::new(
                    format!("two recipes, {name} and {path}"),
                    "give one, or give --kernel an ELF file",
                ));
            }
            (_, Some(Named::Nothing(failure))) => return Err(failure),
        };
        recipe.digest = self.digest.or(recipe.digest);
        recipe.log = self.log.unwrap_or(recipe.log);
        recipe.seed = self.seed.clone().or(recipe.seed);
        recipe.device_tree = self.dtb.clone().or(recipe.device_tree);
        for Module { name, file } in &self.module {
            // One that the recipe has under this name is replaced.
            recipe.modules.retain(|(known, _)| known != name);
            recipe.modules.push((name.clone(), file.clone()));
        }
        Ok(recipe)
    }
}

impl On {
    /// Overrides the recipe's machine by the flags.
    pub fn apply(&self, recipe: &mut Recipe) -> Outcome<()> {
        if let Some(name) = &self.machine {
            // Another machine's numbers do not carry over.
            let row = Machine::find(name)?;
            if *row != *recipe.machine {
                (recipe.cpu, recipe.memory, recipe.cpus, recipe.firmware) = (None, None, None, None);
            }
            recipe.machine = row;
        }
        let row = recipe.machine;
        if let Some(model) = self.cpu.as_deref() {
            recipe.cpu = Some(row.cpu(Some(model))?.to_owned());
        }
        if self.memory.is_some() {
            recipe.memory = Some(row.memory(self.memory)?);
        }
        if self.cpus.is_some() {
            recipe.cpus = Some(row.cpus(self.cpus)?);
        }
        recipe.firmware = self.firmware.or(recipe.firmware);
        recipe.initrd = self.initrd.clone().or(recipe.initrd.take());
        if let Some(line) = &self.append {
            recipe::command_line(line).map_err(|failure| failure.within("--append"))?;
        }
        Ok(())
    }

    /// How the image gets to the machine.
    pub fn way_in(&self, recipe: &Recipe) -> Outcome<WayIn> {
        let row = recipe.machine;
        let way = match (recipe.firmware, self.form) {
            (Some(Firmware::UBoot), Some(Form::Elf)) => {
                return Err(Failure::new("U-Boot starts the image form", "leave out --form elf"));
            }
            (Some(Firmware::UBoot), _) => WayIn::UBoot,
            (_, Some(Form::Elf)) => WayIn::Elf,
            (_, Some(Form::Image)) | (Some(Firmware::None), None) => match row.way_in {
                WayIn::Device { base } => WayIn::Device { base },
                _ => WayIn::Image,
            },
            (None, None) => row.way_in,
        };
        match way {
            WayIn::Elf if row.elf.is_none() => Err(Failure::new(
                format!("{} has no place for an ELF form", row.name),
                "leave out --form elf",
            )),
            WayIn::UBoot if row.qemu.split(',').next() != Some("virt") => Err(Failure::new(
                format!("U-Boot is there for virt only, not for {}", row.name),
                "leave out --firmware u-boot, or give --machine virt-u-boot",
            )),
            way => Ok(way),
        }
    }
}

enum Named {
    Recipe(PathBuf),
    Kernel(KernelSource),
    Nothing(Failure),
}

/// What `--kernel` names: a file by its content or ending, else a recipe or an example by its name.
fn named(workspace: &Workspace, name: &str) -> Named {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
        return Named::Recipe(path.into());
    }
    if path.is_file() {
        // Whether it is an ELF file of the right kind is for the planner to say, with its code.
        return Named::Kernel(KernelSource::Elf(path.into()));
    }
    if is_plain(name) {
        if workspace.recipe(name).is_file() {
            return Named::Recipe(workspace.recipe(name));
        }
        if workspace.example(name).exists() {
            return Named::Kernel(KernelSource::Example(name.into()));
        }
    }
    Named::Nothing(if path.is_dir() {
        Failure::new(format!("{name} is a folder"), "give an ELF file or a recipe")
    } else {
        let names = workspace.recipe_names();
        Failure::new(
            format!("no kernel {name}"),
            suggest::help(
                name,
                "give an ELF file, a .toml recipe, or one of",
                names.iter().map(String::as_str),
            ),
        )
    })
}

fn recipe_named(workspace: &Workspace, name: &str) -> Outcome<Recipe> {
    let path = Path::new(name);
    if path.is_file() {
        // A file that is no recipe is a kernel, and whether it is a good one is for the planner to say.
        return match path.extension().is_some_and(|extension| extension == "toml") {
            true => Recipe::read(path),
            false => Ok(Recipe::of(KernelSource::Elf(path.into()))),
        };
    }
    match named(workspace, name) {
        Named::Recipe(path) => Recipe::read(&path),
        Named::Kernel(kernel) => Ok(Recipe::of(kernel)),
        Named::Nothing(failure) if path.is_dir() => Err(failure),
        Named::Nothing(failure) => {
            let help = failure.help();
            Err(Failure::new(format!("no recipe {name}"), help))
        }
    }
}

/// Whether a name can be that of a recipe: no path, no dots.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "Cargo"
        && name.chars().all(|letter| letter.is_alphanumeric() || "-_".contains(letter))
}
