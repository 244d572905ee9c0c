//! From the flags of a verb that starts a machine to QEMU's program, arguments and the image's file.

use std::path::PathBuf;

use shared_abi::image::BootFlags;

use crate::cli::{On, What};
use crate::elf_form;
use crate::failure::{Outcome, read, write_atomically};
use crate::machine::WayIn;
use crate::qemu::command;
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
        let (memory, cpus) = (recipe.machine.memory(recipe.memory)?, recipe.machine.cpus(recipe.cpus)?);
        let append = hand_over(wish.on.append.as_deref(), way_in, &mut recipe);
        let scratch = Scratch::new()?;
        let (path, image) = match wish.image {
            // Booted as it is, whatever it is: only that it is there is ours to say.
            Some(path) => (path.clone(), read(path)?),
            None => pack(workspace, &recipe, way_in, append.as_deref(), wish.port, &scratch)?,
        };
        let arguments = command::Boot {
            machine: recipe.machine,
            way_in,
            cpu: recipe.machine.cpu(recipe.cpu.as_deref())?,
            memory,
            cpus,
            image: &path,
            initrd: recipe.initrd.as_deref(),
            append: append.as_deref(),
            tree_packed: recipe.device_tree.is_some(),
            interactive: wish.interactive,
            more: wish.more,
        }
        .arguments()?;
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

/// Packs the image and writes the file that QEMU boots, in the form that the way in wants.
fn pack(
    workspace: &Workspace,
    recipe: &Recipe,
    way_in: WayIn,
    append: Option<&str>,
    port: Option<u16>,
    scratch: &Scratch,
) -> Outcome<(PathBuf, Vec<u8>)> {
    let place = recipe.machine.elf;
    let tree_hint = match way_in {
        WayIn::Elf | WayIn::Device { .. } => place.map_or(0, |place| place.tree),
        WayIn::Image | WayIn::UBoot => 0,
    };
    let prepared = prepare(workspace, recipe, Purpose { flags: BootFlags::SEMIHOSTING, tree_hint })?;
    if let Some(port) = port {
        let script = prepared.script(&prepared.loader, &prepared.kernel, Some(port))?;
        write_atomically(&scratch.file("gdb"), script.as_bytes())?;
    }
    let packed = prepared.packed;
    let path = scratch.file("image");
    match (way_in, place) {
        (WayIn::Elf, Some(place)) => write_atomically(&path, &elf_form::wrap(&packed.bytes, place.base))?,
        (WayIn::UBoot, _) => {
            let initrd = recipe.initrd.as_deref().map(read).transpose()?;
            write_atomically(&path, &u_boot::disk(&packed.bytes, initrd.as_deref(), append)?)?;
        }
        _ => write_atomically(&path, &packed.bytes)?,
    }
    Ok((path, packed.bytes))
}
