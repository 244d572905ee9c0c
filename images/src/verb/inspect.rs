//! `handoff inspect`: what a kernel was handed, read out of a machine that did not know.

use std::time::Duration;

use shared_abi::crc32c::crc32c;
use shared_abi::image::BootFlags;

use crate::cli::{Inspect, Show, Stop, Wanted};
use crate::elf_form::image_bytes;
use crate::failure::{Outcome, folder_is_there, read, write_atomically};
use crate::foreign;
use crate::inspect::capture::{self, Machine};
use crate::inspect::snapshot::Snapshot;
use crate::inspect::view::{Blob, View};
use crate::inspect::{self, html, text};
use crate::style::Style;
use crate::verb::ready::{Ready, Wish};
use crate::workspace::Workspace;

/// Status when what was found is not as the contract says.
pub const STATUS_WRONG: u8 = 1;

pub fn inspect(workspace: &Workspace, flags: &Inspect) -> Outcome<u8> {
    for path in [&flags.show.html, &flags.show.dump].into_iter().flatten() {
        folder_is_there(path)?;
    }
    let snapshot = snapshot(workspace, &flags.wanted, &flags.stop)?;
    show(&snapshot, &flags.show)
}

/// Shows a snapshot: on standard output, and in the files that are asked for.
pub fn show(snapshot: &Snapshot, how: &Show) -> Outcome<u8> {
    if let Some(path) = &how.dump {
        write_atomically(path, &inspect::dump::encode(snapshot))?;
    }
    let blob = Blob::of(snapshot);
    let view = View::new(snapshot, &blob);
    if let Some(path) = &how.html {
        write_atomically(path, html::html(&view).as_bytes())?;
    }
    if how.json {
        super::print(&format!("{:#}\n", inspect::json::json(&view)))?;
    } else {
        super::print(&text::text(&view, Style::stdout()))?;
    }
    Ok(if view.is_good() { 0 } else { STATUS_WRONG })
}

/// The snapshot that the flags ask for: of a machine that is booted for it, or out of a dump.
pub fn snapshot(workspace: &Workspace, wanted: &Wanted, stop: &Stop) -> Outcome<Snapshot> {
    if let Some(path) = &stop.from {
        let file = read(path)?;
        return inspect::dump::decode(&file)
            .map_err(|failure| foreign::no_dump(failure, &file).within(path.display()));
    }
    let flags = BootFlags::SEMIHOSTING | BootFlags::PAUSE;
    let wish = Wish { image: stop.image.as_ref(), flags, ..Wish::new(wanted) };
    let mut ready = Ready::new(workspace, &wish)?;
    ready.check_version()?;
    let (_, image) = image_bytes(&ready.staged.image);
    let (header, _) = shared_abi::image::open(image, crc32c)?;
    let pause = capture::pause_address(image, &header)?;
    let timeout = Duration::from_secs(stop.timeout.unwrap_or(ready.staged.recipe.timeout).into());
    let mut machine = Machine::stop(&ready.program, &ready.arguments, pause, timeout)?;
    machine.snapshot(ready.staged.title())
}
