//! Plans the boot of what was packed, as the loader would decide it.

use std::path::Path;

use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::TreeSource;

use crate::cli::Plan;
use crate::failure::{Failure, Outcome, read};
use crate::inspect::program::Program;
use crate::inspect::snapshot::Snapshot;
use crate::loader;
use crate::machine::{Tree, WayIn};
use crate::plan::firmware::{self, Load, Places};
use crate::plan::{self, BootSource};
use crate::qemu::version;
use crate::verb::ready::{Staged, dump_tree};

fn u_boot_decides() -> Failure {
    Failure::new(
        "U-Boot chooses the places and edits the tree",
        "give --tree, --tree-at and --image-at, as inspect shows them",
    )
}

/// Plans the boot of what was packed; `given` is the tree in place of the machine's own.
pub fn plan_staged(
    program: &str,
    staged: &Staged,
    flags: &Plan,
    given: Option<Vec<u8>>,
) -> Outcome<Snapshot> {
    let recipe = &staged.recipe;
    let physical_size = firmware::physical_size(&staged.boot.cpu, flags.address_bits)?;
    let tree = match (given, recipe.machine.tree) {
        (Some(tree), _) => Some(tree),
        // A packed tree is for a machine that has none.
        (None, Tree::Debian(_)) if recipe.device_tree.is_some() => None,
        (None, _) => Some(machine_tree(program, staged)?),
    };
    let loader = staged.loader.as_deref().ok_or_else(|| {
        Failure::new("no loader was built", "plan an image that is packed here, from a kernel or a recipe")
    })?;
    let described = match &tree {
        Some(tree) => plan::ram_base(tree),
        None => plan::ram_base(&read(recipe.device_tree.as_deref().unwrap_or(Path::new("")))?),
    };
    let initrd_length = recipe.initrd.as_deref().map(read).transpose()?.map_or(0, |bytes| bytes.len() as u64);
    let load = Load {
        base: described?.unwrap_or(0),
        memory: staged.boot.memory.bytes(),
        image: staged.image.len() as u64,
        initrd: initrd_length,
    };
    let places = places(flags, staged, load)?;
    let initrd = match (&flags.tree, initrd_length) {
        (None, _) | (_, 0) => None,
        (Some(_), length) => PhysAddr::new(places.initrd).and_then(|start| PhysRange::new(start, length)),
    };
    let planned = plan::plan_boot(&BootSource {
        title: staged.title(),
        image: &staged.image,
        loader: loader::parts(&read(loader)?)?,
        tree: tree.as_deref(),
        places,
        initrd,
        physical_size,
        slide: flags.slide.map(|address| address.0),
        direct_map: flags.direct_map.map(|address| address.0),
    })?;
    // What cannot be read has no names, and is planned all the same.
    let kernel = staged.kernel.as_ref().and_then(|path| Program::open(path, Path::new(".")).ok());
    let entry = planned.register("pc").unwrap_or_default();
    Ok(Snapshot { parts: kernel.map(|kernel| kernel.entered_at(entry).parts()), ..planned })
}

/// Where firmware puts what: as asked, else as QEMU does.
fn places(flags: &Plan, staged: &Staged, load: Load) -> Outcome<Places> {
    let level = firmware::level(staged.recipe.machine, staged.boot.way_in);
    let modelled = firmware::places(staged.recipe.machine, staged.boot.way_in, load);
    let (image, tree) = (flags.image_at.map(|at| at.0), flags.tree_at.map(|at| at.0));
    let mut places = match (modelled, image, tree) {
        (Some(places), _, _) => places,
        (None, Some(image), Some(tree)) => {
            Places { image, tree, source: TreeSource::FIRMWARE, initrd: 0, argument: tree, level }
        }
        (None, ..) => {
            return Err(u_boot_decides());
        }
    };
    places.image = image.unwrap_or(places.image);
    if let Some(tree) = tree {
        places.tree = tree;
        places.argument = if places.source == TreeSource::FIRMWARE { tree } else { 0 };
    }
    places.initrd = flags.initrd_at.map_or(places.initrd, |at| at.0);
    Ok(places)
}

/// The device tree that QEMU makes for the machine.
pub fn machine_tree(program: &str, staged: &Staged) -> Outcome<Vec<u8>> {
    if staged.boot.way_in == WayIn::UBoot {
        return Err(u_boot_decides());
    }
    version::ask(program, staged.recipe.machine.since)?.answer()?;
    read(&dump_tree(program, &staged.boot, &staged.scratch)?)
}
