//! From the flags of a verb that starts a machine to QEMU's program, arguments and the image's file.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use shared_abi::image::BootFlags;

use crate::cli::Wanted;
use crate::elf_form;
use crate::failure::{Failure, Outcome, read, write_atomically};
use crate::foreign;
use crate::machine::WayIn;
use crate::qemu::command::{Boot, escape};
use crate::qemu::supply::Supply;
use crate::qemu::version::{self, Asked};
use crate::recipe::{Digest, KernelSource, Recipe, Seed};
use crate::scratch::Scratch;
use crate::u_boot;
use crate::verb::given;
use crate::verb::prepare::{Prepared, Purpose, prepare};
use crate::workspace::Workspace;

/// An image, packed and written, and the machine that it is for.
pub struct Staged {
    /// What is booted, for titles and time-outs.
    pub recipe: Recipe,
    /// The machine.
    pub boot: Boot,
    /// The image's bytes, in the `Image` form if it was packed here.
    pub image: Vec<u8>,
    /// The loader's ELF file, if the image was packed here.
    pub loader: Option<PathBuf>,
    /// The kernel's ELF file, if the image was packed here.
    pub kernel: Option<PathBuf>,
    /// Holds the files that QEMU reads.
    pub scratch: Scratch,
}

/// A machine that can be started.
pub struct Ready {
    /// QEMU.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is booted.
    pub staged: Staged,
    asked: Option<Asked>,
}

/// What a verb wants.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// What to boot, and on what.
    pub wanted: &'a Wanted,
    /// An image to boot as it is.
    pub image: Option<&'a PathBuf>,
    /// Whether a person's terminal is on standard input.
    pub interactive: bool,
    /// Whether every boot is to have the same addresses: a seed for what was given none.
    pub repeats: bool,
    /// What the boot may and must do.
    pub flags: BootFlags,
    /// Whether the tree is handed over as it is, so that nobody adds a command line to it.
    pub tree_stays: bool,
}

impl<'a> Wish<'a> {
    /// To boot it unattended; semihosting tells the verdict.
    pub fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            image: None,
            interactive: false,
            repeats: false,
            flags: BootFlags::SEMIHOSTING,
            tree_stays: false,
        }
    }

    /// The recipe as the flags change it.
    pub fn recipe(&self, workspace: &Workspace) -> Outcome<Recipe> {
        let mut recipe = match self.image {
            Some(image) => {
                std::fs::metadata(image).map_err(|error| Failure::io(image, &error))?;
                Recipe::of(KernelSource::Elf(image.clone()))
            }
            None => self.wanted.what.resolve(workspace)?,
        };
        self.wanted.on.apply(&mut recipe)?;
        Ok(recipe)
    }
}

impl Staged {
    /// Builds, packs and writes what is needed. `program` is QEMU, for machines whose tree it completes.
    pub fn new(workspace: &Workspace, program: &str, wish: &Wish<'_>) -> Outcome<Self> {
        let mut recipe = wish.recipe(workspace)?;
        if wish.repeats {
            recipe.seed.get_or_insert_with(Seed::of_debugger);
        }
        let way_in = wish.wanted.on.way_in(&recipe)?;
        let append = hand_over(wish, way_in, &mut recipe)?;
        let scratch = Scratch::new()?;
        let supply = match wish.tree_stays {
            true => Supply::default(),
            false => Supply::find(workspace, recipe.machine, way_in, recipe.device_tree.is_some())?,
        };
        let mut boot = Boot {
            machine: recipe.machine,
            way_in,
            cpu: recipe.machine.cpu(recipe.cpu.as_deref())?.to_owned(),
            memory: recipe.machine.memory(recipe.memory)?,
            cpus: recipe.machine.cpus(recipe.cpus)?,
            image: scratch.file("image"),
            initrd: recipe.initrd.clone(),
            append,
            supply,
            option: recipe
                .machine
                .option
                .filter(|(since, _)| version::is_since(program, *since))
                .map(|(_, option)| option),
            interactive: wish.interactive,
            more: wish.wanted.qemu.clone(),
        };
        let (image, loader, kernel) = match wish.image {
            Some(path) => {
                let bytes = read(path)?;
                match given::for_boot(&bytes, &boot, wish.flags)? {
                    Some(image) => write(&boot, &image)?,
                    None => boot.image = path.clone(),
                }
                (bytes, None, None)
            }
            None => {
                if way_in == WayIn::Elf
                    && let Some(tree) = boot.supply.tree.take()
                {
                    // As it would be handed over to the `Image` form: with the RAM that the machine has, and the
                    // command line. QEMU wants a kernel, and leaves before it runs: any file serves.
                    let supply = Supply { tree: Some(tree.clone()), ..Supply::default() };
                    let whole = Boot { way_in: WayIn::Image, image: tree, supply, ..boot.clone() };
                    recipe.device_tree = Some(dump_tree(program, &whole, &scratch)?);
                }
                let prepared = pack(workspace, &recipe, &boot, wish.flags)?;
                (prepared.packed.bytes, Some(prepared.loader), Some(prepared.kernel))
            }
        };
        Ok(Self { recipe, boot, image, loader, kernel, scratch })
    }

    /// The place of a socket for QEMU's monitor.
    pub fn monitor(&self) -> PathBuf {
        self.scratch.file("monitor")
    }

    /// What is booted on what: `kernel on virt`.
    pub fn title(&self) -> String {
        let kernel = match &self.recipe.kernel {
            KernelSource::Bin(name) | KernelSource::Example(name) => name.clone(),
            KernelSource::Elf(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        format!("{kernel} on {}", self.recipe.machine.name)
    }
}

impl Ready {
    /// Makes all of it ready.
    pub fn new(workspace: &Workspace, wish: &Wish<'_>) -> Outcome<Self> {
        // A mistake in what is asked for is said whether or not QEMU is there.
        let since = wish.recipe(workspace)?.machine.since;
        let program = version::program(since);
        if let Some(path) = wish.image {
            foreign::expect_image(&read(path)?).map_err(|failure| failure.within(path.display()))?;
        }
        // Asked now and answered when the image is there: that costs no time.
        let asked = version::ask(&program, since)?;
        let staged = Staged::new(workspace, &program, wish)?;
        let arguments = staged.boot.arguments()?;
        Ok(Self { program, arguments, staged, asked: Some(asked) })
    }

    /// Whether QEMU will do; asked once.
    pub fn check_version(&mut self) -> Outcome<()> {
        self.asked.take().map_or(Ok(()), |asked| asked.answer().map(drop))
    }
}

/// A command line for the machine to hand over; packed instead where the machine cannot.
fn hand_over(wish: &Wish<'_>, way_in: WayIn, recipe: &mut Recipe) -> Outcome<Option<String>> {
    let Some(line) = wish.wanted.on.append.as_deref() else { return Ok(None) };
    let is_lost = match way_in {
        WayIn::Device { .. } => true,
        // The tree of a packed image is completed beforehand.
        WayIn::Elf => wish.image.is_some() && recipe.machine.elf.is_none_or(|place| place.tree == 0),
        WayIn::Image | WayIn::UBoot => false,
    };
    if is_lost && wish.image.is_some() {
        return Err(Failure::new(
            format!("{} has nobody to hand a command line over", recipe.machine.name),
            "leave out --append, or pack it with build --append TEXT",
        ));
    }
    if wish.tree_stays || is_lost {
        let packed = recipe.command_line.take().map(|packed| packed + " ").unwrap_or_default();
        recipe.command_line = Some(packed + line);
        return Ok(None);
    }
    Ok(Some(line.to_owned()))
}

/// The device tree that a machine hands over, as QEMU completes it: with RAM, command line and initrd.
pub fn dump_tree(program: &str, boot: &Boot, scratch: &Scratch) -> Outcome<PathBuf> {
    let tree = scratch.file("tree");
    let dump = format!("dumpdtb={}", escape(&tree.display().to_string()));
    let mut command = Command::new(program);
    let output = command.args(boot.arguments()?).args(["-machine", &dump]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if tree.is_file() && output.status.success() => Ok(tree),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            let line = words.lines().find(|line| !line.is_empty()).unwrap_or("no words").trim();
            Err(Failure::new(
                format!("{program} did not write the machine's device tree: {line}"),
                "look at its message: the arguments behind -- are QEMU's own",
            ))
        }
        Err(error) => Err(Failure::new(
            format!("cannot start {program}: {error}"),
            "set HANDOFF_QEMU to a qemu-system-aarch64 that starts",
        )),
    }
}

/// Packs the image and writes the file that QEMU boots, in the form that the way in wants.
fn pack(workspace: &Workspace, recipe: &Recipe, boot: &Boot, flags: BootFlags) -> Outcome<Prepared> {
    // The loader goes by a hint before it looks for a packed tree.
    let tree_hint = if recipe.device_tree.is_some() { 0 } else { given::tree_hint(boot)? };
    // The file was written by the process that boots it: nothing can have happened to it.
    let purpose = Purpose { flags, tree_hint, digest: Digest::None };
    let prepared = prepare(workspace, recipe, purpose)?;
    write(boot, &prepared.packed.bytes)?;
    Ok(prepared)
}

/// Writes an image of the `Image` form to the file that QEMU boots, in the form that the way in wants.
fn write(boot: &Boot, image: &[u8]) -> Outcome<()> {
    match (boot.way_in, boot.machine.elf) {
        (WayIn::Elf, Some(place)) => write_atomically(&boot.image, &elf_form::wrap(image, place.base)),
        (WayIn::UBoot, _) => {
            let initrd = boot.initrd.as_deref().map(read).transpose()?;
            write_atomically(&boot.image, &u_boot::disk(image, initrd.as_deref(), boot.append.as_deref())?)
        }
        _ => write_atomically(&boot.image, image),
    }
}
