//! `handoff plan`: everything that a boot would decide, without booting.

use std::path::Path;

use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::TreeSource;
use shared_abi::verdict::Ending;

use super::output;
use crate::cli::Plan;
use crate::failure::{Failure, Outcome, read};
use crate::foreign;
use crate::inspect::snapshot::Snapshot;
use crate::loader;
use crate::machine::{Tree, WayIn};
use crate::plan::firmware::{self, Load, Places};
use crate::plan::{self, BootSource};
use crate::qemu::version;
use crate::style::Style;
use crate::verb::inspect::show;
use crate::verb::ready::{Staged, Wish, dump_tree};
use crate::workspace::Workspace;

const RANDOM: &str = "What a boot places at random is shown at the lowest place: --seed, --slide and --direct-map \
                      choose another.";

fn u_boot_decides() -> Failure {
    Failure::new(
        "U-Boot chooses the places and edits the tree",
        "give --tree, --tree-at and --image-at, as inspect shows them",
    )
}

pub fn plan(workspace: &Workspace, flags: &Plan) -> Outcome<u8> {
    let planned = plan_as_asked(workspace, flags);
    let refusal = match &planned {
        Err(failure) => failure.code().map(|code| (code, failure)),
        Ok(_) => None,
    };
    let Some((code, failure)) = refusal else {
        let status = show(&planned?, &flags.show)?;
        if !flags.show.json
            && flags.wanted.what.seed.is_none()
            && (flags.slide.is_none() || flags.direct_map.is_none())
        {
            output::print(&format!("\n{}\n", Style::stdout().dim(RANDOM)))?;
        }
        return Ok(status);
    };
    // What the boot would refuse is what was asked for, and an answer.
    if flags.show.json {
        let refusal = serde_json::json!({ "code": format!("E{code:04}"), "words": failure.words(), "help": failure.help() });
        output::print(&format!("{:#}\n", serde_json::json!({ "refusal": refusal })))?;
    } else {
        output::complain(failure);
    }
    Ok(Ending::Refused.run_status())
}

fn plan_as_asked(workspace: &Workspace, flags: &Plan) -> Outcome<Snapshot> {
    let given = flags.tree.as_deref().map(given_tree).transpose()?;
    let tree_stays = given.is_some();
    let wish = Wish { tree_stays, ..Wish::new(&flags.wanted) };
    let program = version::program(wish.recipe(workspace)?.machine.since);
    let staged = Staged::new(workspace, &program, &wish)?;
    plan_staged(&program, &staged, flags, given)
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
    plan::plan_boot(&BootSource {
        title: staged.title(),
        image: &staged.image,
        loader: loader::parts(&read(loader)?)?,
        tree: tree.as_deref(),
        places,
        initrd,
        physical_size,
        slide: flags.slide.map(|address| address.0),
        direct_map: flags.direct_map.map(|address| address.0),
    })
}

/// A tree from a file, which is named if it is none.
fn given_tree(path: &Path) -> Outcome<Vec<u8>> {
    let tree = read(path)?;
    plan::ram_base(&tree).map_err(|failure| foreign::no_tree(failure, &tree).within(path.display()))?;
    Ok(tree)
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
