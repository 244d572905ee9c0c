//! From the flags of a verb that starts a machine to QEMU's program, arguments and the image's file.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use shared_abi::image::BootFlags;

use crate::cli::{On, What};
use crate::elf_form;
use crate::failure::{Failure, Outcome, read, write_atomically};
use crate::machine::WayIn;
use crate::qemu::command::Boot;
use crate::qemu::supply::Supply;
use crate::qemu::version::{self, Asked};
use crate::recipe::{KernelSource, Recipe};
use crate::scratch::Scratch;
use crate::u_boot;
use crate::verb::prepare::{Purpose, prepare};
use crate::workspace::Workspace;

/// A machine that can be started.
pub struct Ready {
    /// QEMU.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The image's bytes, in the `Image` form if it was packed here.
    pub image: Vec<u8>,
    /// What is booted, for titles and time-outs.
    pub recipe: Recipe,
    /// Holds the files that QEMU reads.
    scratch: Scratch,
    asked: Option<Asked>,
}

/// What a verb wants.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// What to boot.
    pub what: &'a What,
    /// On what.
    pub on: &'a On,
    /// An image to boot as it is.
    pub image: Option<&'a PathBuf>,
    /// Whether a person's terminal is on standard input.
    pub interactive: bool,
    /// The port that a debugger will connect to.
    pub port: Option<u16>,
    /// The user's own arguments for QEMU.
    pub more: &'a [String],
}

impl Ready {
    /// Builds, packs and writes what is needed.
    pub fn new(workspace: &Workspace, wish: &Wish<'_>) -> Outcome<Self> {
        let program = version::program();
        // Asked now and answered when the image is there: that costs no time.
        let asked = version::ask(&program)?;
        let mut recipe = match wish.image {
            Some(image) => Recipe::of(KernelSource::Elf(image.clone())),
            None => wish.what.resolve(workspace)?,
        };
        wish.on.apply(&mut recipe)?;
        let way_in = wish.on.way_in(&recipe)?;
        let append = hand_over(wish.on.append.as_deref(), way_in, &mut recipe);
        let scratch = Scratch::new()?;
        let supply = Supply::find(workspace, recipe.machine, way_in, recipe.device_tree.is_some())?;
        let mut boot = Boot {
            machine: recipe.machine,
            way_in,
            cpu: recipe.machine.cpu(recipe.cpu.as_deref())?.map(str::to_owned),
            memory: recipe.machine.memory(recipe.memory)?,
            cpus: recipe.machine.cpus(recipe.cpus)?,
            image: scratch.file("image"),
            initrd: recipe.initrd.clone(),
            append,
            supply,
            interactive: wish.interactive,
            more: wish.more.to_vec(),
        };
        let image = match wish.image {
            // Booted as it is, whatever it is: only that it is there is ours to say.
            Some(path) => {
                boot.image = path.clone();
                read(path)?
            }
            None => {
                if way_in == WayIn::Elf && boot.supply.tree.is_some() {
                    recipe.device_tree = Some(handed_over_tree(&program, &boot, &scratch)?);
                    boot.supply.tree = None;
                }
                pack(workspace, &recipe, &boot, wish.port, &scratch)?
            }
        };
        let arguments = boot.arguments()?;
        Ok(Self { program, arguments, image, recipe, scratch, asked: Some(asked) })
    }

    /// Whether QEMU will do; asked once.
    pub fn check_version(&mut self) -> Outcome<()> {
        self.asked.take().map_or(Ok(()), |asked| asked.answer().map(drop))
    }

    /// The GDB script, if a port was wished for and the image was packed here.
    pub fn script(&self) -> Option<PathBuf> {
        Some(self.scratch.file("gdb")).filter(|path| path.is_file())
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

/// A command line for the machine to hand over; packed instead where the machine cannot.
fn hand_over(line: Option<&str>, way_in: WayIn, recipe: &mut Recipe) -> Option<String> {
    let line = line?;
    if let WayIn::Device { .. } = way_in {
        let packed = recipe.command_line.take().map(|packed| packed + " ").unwrap_or_default();
        recipe.command_line = Some(packed + line);
        return None;
    }
    Some(line.to_owned())
}

/// A board's tree as QEMU would hand it over to the `Image` form, for an ELF form that is handed none: with the RAM
/// that the machine has, and the command line.
fn handed_over_tree(program: &str, boot: &Boot, scratch: &Scratch) -> Outcome<PathBuf> {
    let tree = scratch.file("tree");
    // QEMU wants a kernel, and leaves before it runs: any file serves.
    let image = boot.supply.tree.clone().unwrap_or_default();
    let arguments = Boot { way_in: WayIn::Image, image, ..boot.clone() }.arguments()?;
    let dump = format!("dumpdtb={}", tree.display());
    let output =
        Command::new(program).args(arguments).args(["-machine", &dump]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if tree.is_file() && output.status.success() => Ok(tree),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(Failure::new(format!("{program} did not write the machine's device tree: {}", words.trim())))
        }
        Err(error) => Err(Failure::new(format!("cannot start {program}: {error}"))),
    }
}

/// Packs the image and writes the file that QEMU boots, in the form that the way in wants.
fn pack(
    workspace: &Workspace,
    recipe: &Recipe,
    boot: &Boot,
    port: Option<u16>,
    scratch: &Scratch,
) -> Outcome<Vec<u8>> {
    let place = recipe.machine.elf;
    let tree_hint = match boot.way_in {
        WayIn::Elf | WayIn::Device { .. } => place.map_or(0, |place| place.tree),
        WayIn::Image | WayIn::UBoot => 0,
    };
    let prepared = prepare(workspace, recipe, Purpose { flags: BootFlags::SEMIHOSTING, tree_hint })?;
    if let Some(port) = port {
        let script = prepared.script(&prepared.loader, &prepared.kernel, Some(port))?;
        write_atomically(&scratch.file("gdb"), script.as_bytes())?;
    }
    let packed = prepared.packed.bytes;
    match (boot.way_in, place) {
        (WayIn::Elf, Some(place)) => write_atomically(&boot.image, &elf_form::wrap(&packed, place.base))?,
        (WayIn::UBoot, _) => {
            let initrd = boot.initrd.as_deref().map(read).transpose()?;
            write_atomically(
                &boot.image,
                &u_boot::disk(&packed, initrd.as_deref(), boot.append.as_deref())?,
            )?;
        }
        _ => write_atomically(&boot.image, &packed)?,
    }
    Ok(packed)
}
