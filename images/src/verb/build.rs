//! `handoff build`: a combined image in a file.

use std::path::{Path, PathBuf};

use super::output;
use crate::cli::Build;
use crate::debug::{self, Debugged};
use crate::elf_form;
use crate::failure::{Failure, Outcome, folder_is_there, read, write_atomically};
use crate::machine::Machine;
use crate::recipe::{self, Form};
use crate::size::readable;
use crate::style::Style;
use crate::verb::prepare::{self, Purpose, prepare};
use crate::workspace::Workspace;

pub fn build(workspace: &Workspace, flags: &Build) -> Outcome<u8> {
    folder_is_there(&flags.output)?;
    let mut recipe = flags.what.resolve(workspace)?;
    if let Some(line) = &flags.append {
        recipe::command_line(line).map_err(|failure| failure.within("--append"))?;
        let packed = recipe.command_line.take().map(|packed| packed + " ").unwrap_or_default();
        recipe.command_line = Some(packed + line);
    }
    if let Some(name) = &flags.machine {
        recipe.machine = Machine::find(name)?;
    }
    let place = match flags.form {
        Form::Image => None,
        Form::Elf => Some(recipe.machine.elf.ok_or_else(|| {
            Failure::new(
                format!("{} has no place for an ELF form", recipe.machine.name),
                "leave out --form elf",
            )
        })?),
    };
    // The loader goes by a hint before it looks for a packed tree.
    let tree_hint = place.filter(|_| recipe.device_tree.is_none()).map_or(0, |place| place.tree);
    if place.is_some() && tree_hint == 0 && recipe.device_tree.is_none() {
        let name = recipe.machine.name;
        return Err(Failure::new(
            format!("{name} leaves an ELF form no device tree"),
            "pack one with --dtb FILE",
        ));
    }
    let prepared = prepare(workspace, &recipe, Purpose { tree_hint, ..Purpose::default() })?;
    let packed = &prepared.packed;
    let bytes = match place {
        Some(place) => &elf_form::wrap(&packed.bytes, place.base),
        None => &packed.bytes,
    };
    let beside = |ending: &str| {
        let mut name = flags.output.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let symbols = [(beside(".loader.elf"), &prepared.loader), (beside(".kernel.elf"), &prepared.kernel)];
    for (copy, file) in &symbols {
        write_atomically(copy, &read(file)?)?;
    }
    let [(loader, _), (kernel, _)] = &symbols;
    let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let place = prepare::place(&packed.bytes)?;
    let (loader, kernel) = (full(loader), full(kernel));
    let script = debug::script(&Debugged { loader: &loader, kernel: &kernel, place, port: None });
    write_atomically(&beside(".gdb"), script.as_bytes())?;
    write_atomically(&flags.output, bytes)?;
    let style = Style::stdout();
    let title = format!("{}  {}", flags.output.display(), readable(bytes.len() as u64));
    let script = beside(".gdb");
    let hint = format!("symbols: gdb-multiarch -x {}", script.display());
    output::print(&format!("{}\n{}{}\n", style.bold(&title), packed.layout.table(), style.dim(&hint)))
}
