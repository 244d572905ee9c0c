//! `handoff tree`: a machine's device tree as a file, whole or what of it the loader reads.

use crate::cli::{Tree, Wanted};
use crate::failure::{Outcome, read, write_atomically};
use crate::foreign;
use crate::machine::WayIn;
use crate::plan;
use crate::qemu::version;
use crate::scratch::Scratch;
use crate::verb::foresee::machine_tree;
use crate::verb::ready::{Staged, Wish};
use crate::workspace::Workspace;

pub fn tree(workspace: &Workspace, flags: &Tree) -> Outcome<u8> {
    let tree = match &flags.file {
        Some(file) => read(file)?,
        None => tree_of_machine(workspace, flags)?,
    };
    let pruned = plan::prune(&tree).map_err(|failure| {
        let failure = foreign::no_tree(failure, &tree);
        flags.file.iter().fold(failure, |failure, file| failure.within(file.display()))
    })?;
    write_atomically(&flags.output, if flags.pruned { &pruned } else { &tree })?;
    Ok(0)
}

/// The tree that a machine hands over to the `Image` form.
fn tree_of_machine(workspace: &Workspace, flags: &Tree) -> Outcome<Vec<u8>> {
    let scratch = Scratch::new()?;
    // QEMU wants a kernel, and leaves before it runs: any file serves.
    let any = scratch.file("kernel");
    write_atomically(&any, &[0; 64])?;
    let wanted = Wanted { on: flags.on.clone(), ..Wanted::default() };
    let wish = Wish { image: Some(&any), ..Wish::new(&wanted) };
    let program = version::program(wish.recipe(workspace)?.machine.since);
    let mut staged = Staged::new(workspace, &program, &wish)?;
    if staged.boot.way_in == WayIn::Elf {
        staged.boot.way_in = WayIn::Image;
    }
    machine_tree(&program, &staged)
}
