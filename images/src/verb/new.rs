//! `handoff new`: a kernel's own project, which builds and boots by its language's ordinary commands.

use std::path::PathBuf;

use super::output;
use crate::cli::New;
use crate::failure::{Failure, Outcome};
use crate::project::wrong_name;
use crate::repeat;
use crate::workspace::Workspace;

pub fn new(workspace: &Workspace, flags: &New) -> Outcome<u8> {
    if let Some(why) = wrong_name(&flags.name) {
        return Err(Failure::new(
            format!("a project cannot be named {:?}: {why}", flags.name),
            "give a name such as mine or my-kernel",
        ));
    }
    let root =
        std::path::absolute(workspace.root()).map_err(|error| Failure::io(workspace.root(), &error))?;
    let root = root.to_str().filter(|root| !root.contains([' ', '"', '\\', '$', '#'])).ok_or_else(|| {
        Failure::new(
            format!("{}: build files cannot hold this path", root.display()),
            "move the repository to a path without blanks and signs that make or a shell would read",
        )
    })?;
    let folder = flags.dir.join(&flags.name);
    if folder.exists() {
        let help = "give another name, or another folder with --dir";
        return Err(Failure::new(format!("{} is there", folder.display()), help));
    }
    let mut said = String::new();
    for (path, text) in flags.lang.files(&flags.name, root) {
        write(folder.join(path), &text)?;
        said += &format!("written  {}\n", folder.join(path).display());
    }
    let [run, test] = flags.lang.commands().map(|command| command_here(command, root));
    let (compiler, from) = flags.lang.compiler();
    if !is_on_path(compiler) {
        said += &format!("\n{compiler} is not on PATH ({from})\n");
    }
    let folder = repeat::line(&[folder.display().to_string()]);
    said += &format!("\nboot it:  cd {folder} && {run}\ntest it:  cd {folder} && {test}\n");
    output::print(&said)
}

/// A command as it works here: cargo is told where the target's libraries are, where rustup does not bring them.
fn command_here(command: &str, root: &str) -> String {
    let is_built_here = std::env::vars().any(|(name, value)| {
        name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS") && value.contains("--sysroot")
    });
    match command.strip_prefix("cargo ") {
        Some(rest) if is_built_here => {
            format!(". {root}/target/handoff-env.sh && RUSTC=$HANDOFF_RUSTC $HANDOFF_CARGO {rest}")
        }
        _ => command.to_owned(),
    }
}

fn write(path: PathBuf, text: &str) -> Outcome<()> {
    let failed = |error| Failure::io(&path, &error);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::write(&path, text).map_err(failed)
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
