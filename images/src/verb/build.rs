//! `handoff build`: a combined image in a file.

use crate::cli::Build;
use crate::elf_form;
use crate::failure::{Failure, Outcome, write_atomically};
use crate::machine::Machine;
use crate::recipe::{self, Form};
use crate::size::readable;
use crate::style::Style;
use crate::verb::prepare::{Purpose, prepare};
use crate::workspace::Workspace;

pub fn build(workspace: &Workspace, flags: &Build) -> Outcome<u8> {
    let mut recipe = flags.what.resolve(workspace)?;
    if let Some(line) = &flags.append {
        recipe::command_line(line).map_err(|failure| failure.within("--append"))?;
        let packed = recipe.command_line.take().map(|packed| packed + " ").unwrap_or_default();
        recipe.command_line = Some(packed + line);
    }
    if let Some(name) = &flags.machine {
        recipe.machine = Machine::find(name)?;
    }
    let place =
        match flags.form {
            Form::Image => None,
            Form::Elf => Some(recipe.machine.elf.ok_or_else(|| {
                Failure::new(format!("{} has no place for an ELF form", recipe.machine.name))
            })?),
        };
    let tree_hint = place.map_or(0, |place| place.tree);
    let packed = prepare(workspace, &recipe, Purpose { tree_hint, ..Purpose::default() })?;
    let bytes = match place {
        Some(place) => &elf_form::wrap(&packed.bytes, place.base),
        None => &packed.bytes,
    };
    write_atomically(&flags.output, bytes)?;
    let style = Style::stdout();
    let title = format!("{}  {}", flags.output.display(), readable(bytes.len() as u64));
    super::print(&format!("{}\n{}", style.bold(&title), packed.layout.table()))
}
