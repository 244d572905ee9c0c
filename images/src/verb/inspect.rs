//! `handoff inspect`: what a kernel was handed, read out of a machine that did not know.

use std::path::Path;
use std::time::Duration;

use crate::cli::{Inspect, On, Stop, What};
use crate::failure::{Failure, Outcome, read, write_atomically};
use crate::inspect::capture::{self, Machine};
use crate::inspect::snapshot::Snapshot;
use crate::inspect::view::{Blob, View};
use crate::inspect::{dump, html, json, text};
use crate::style::Style;
use crate::verb::check::image_bytes;
use crate::verb::ready::{Ready, Wish};
use crate::workspace::Workspace;

/// Status when what was found is not as the contract says.
pub const STATUS_WRONG: u8 = 1;

pub fn inspect(workspace: &Workspace, flags: &Inspect) -> Outcome<u8> {
    let snapshot = snapshot(workspace, &flags.what, &flags.on, &flags.stop, &flags.qemu)?;
    if let Some(path) = &flags.dump {
        keep(path, &snapshot)?;
    }
    let blob = Blob::of(&snapshot);
    let view = View::new(&snapshot, &blob);
    if let Some(path) = &flags.html {
        write_atomically(path, html::html(&view).as_bytes())?;
    }
    if flags.json {
        super::print(&format!("{:#}\n", json::json(&view)))?;
    } else {
        super::print(&text::text(&view, Style::stdout()))?;
    }
    Ok(if view.is_good() { 0 } else { STATUS_WRONG })
}

/// The snapshot that the flags ask for: of a machine that is booted for it, or out of a dump.
pub fn snapshot(
    workspace: &Workspace,
    what: &What,
    on: &On,
    stop: &Stop,
    more: &[String],
) -> Outcome<Snapshot> {
    if let Some(path) = &stop.from {
        return dump::decode(&read(path)?).map_err(|failure| failure.within(path.display()));
    }
    let wish = Wish { what, on, image: stop.image.as_ref(), interactive: false, port: None, more };
    let mut ready = Ready::new(workspace, &wish)?;
    ready.check_version()?;
    let (_, image) = image_bytes(&ready.image);
    let (_, table) = shared_abi::image::open(image, shared_abi::crc32c::crc32c)
        .map_err(|error| Failure::refusal(error.code(), &error))?;
    let leave = capture::leave_address(image, &table)?;
    let timeout = Duration::from_secs(stop.timeout.unwrap_or(ready.recipe.timeout).into());
    let mut machine = Machine::stop(&ready.program, &ready.arguments, leave, timeout)?;
    machine.snapshot(ready.title())
}

fn keep(path: &Path, snapshot: &Snapshot) -> Outcome<()> {
    write_atomically(path, &dump::encode(snapshot))
}
