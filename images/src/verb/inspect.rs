//! `handoff inspect`: what a kernel was handed, or what it does, read out of a machine that did not know.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use shared_abi::crc32c::crc32c;
use shared_abi::image::BootFlags;
use shared_abi::verdict::Ending;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::output;
use crate::cli::{Address, Inspect, Plan, Show, Stop, Wanted};
use crate::elf_form::image_bytes;
use crate::failure::{Failure, Outcome, folder_is_there, read, write_atomically};
use crate::foreign;
use crate::inspect::capture::{self, Machine};
use crate::inspect::moment::At;
use crate::inspect::program::Program;
use crate::inspect::pursuit::{self, Missed, Pursuit};
use crate::inspect::snapshot::Snapshot;
use crate::inspect::view::{Blob, View};
use crate::inspect::{self, html, plan_text, text};
use crate::style::Style;
use crate::verb::foresee::plan_staged;
use crate::verb::ready::{Ready, Wish};
use crate::workspace::Workspace;

/// Status when what was found is not as the contract says.
pub const STATUS_WRONG: u8 = 1;

pub fn inspect(workspace: &Workspace, flags: &Inspect) -> Outcome<u8> {
    for path in [&flags.show.html, &flags.show.dump].into_iter().flatten() {
        folder_is_there(path)?;
    }
    let snapshot = snapshot(workspace, &flags.wanted, &flags.stop, flags.show.html.is_some())?;
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
        output::print(&format!("{:#}\n", inspect::json::json(&view)))?;
    } else {
        output::print(&text::text(&view, Style::stdout()))?;
    }
    Ok(if view.is_good() { 0 } else { STATUS_WRONG })
}

/// The snapshot that the flags ask for: of a machine that is booted for it, beside its plan if that is wanted, or out of a
/// dump.
pub fn snapshot(workspace: &Workspace, wanted: &Wanted, stop: &Stop, with_plan: bool) -> Outcome<Snapshot> {
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
    if let Some(At::Code(what)) = &stop.at {
        // A name that leads nowhere is told before anything is started.
        let kernel = ready.staged.kernel.as_ref().ok_or_else(|| {
            Failure::new(
                format!("--at {what} needs the kernel's ELF file, and an image has only what the boot reads"),
                "give the kernel instead of --image, or --at fault, exit or hang",
            )
        })?;
        Program::open(kernel, workspace.root())?.find(what)?;
    }
    let is_cut = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The machine is ended in any case, so that none is left behind.
        signal_hook::flag::register(signal, Arc::clone(&is_cut)).map_err(|error| {
            Failure::new(
                format!("cannot listen for signals: {error}"),
                "see what the system lacks: memory, processes",
            )
        })?;
    }
    let mut machine = Machine::stop(&ready.program, &ready.arguments, pause, timeout, is_cut)?;
    let mut entry = machine.snapshot(ready.staged.title())?;
    let kernel = ready.staged.kernel.as_ref().and_then(|path| Program::open(path, workspace.root()).ok());
    let entered = entry.register("pc").unwrap_or_default();
    entry.parts = kernel.map(|kernel| kernel.entered_at(entered).parts());
    // As the boot left it: a page shows how that differs from the plan of it.
    entry.plan = if with_plan { differences(&ready, &entry) } else { None };
    let (plan, parts) = (entry.plan.clone(), entry.parts.clone());
    let found = match &stop.at {
        None | Some(At::Entry) => Ok(entry),
        Some(at) => {
            let files = [ready.staged.kernel.as_deref(), ready.staged.loader.as_deref()];
            later(&mut machine, entry, at, files, timeout, workspace)
        }
    };
    found.map(|found| Snapshot { plan, parts, ..found })
}

/// How a boot differs from the plan of the same one; `None` where none can be made, since U-Boot decides.
fn differences(ready: &Ready, entry: &Snapshot) -> Option<Vec<String>> {
    let blob = Blob::of(entry);
    let info = View::new(entry, &blob).info.ok()?;
    let (slide, direct_map) = (info.kernel().slide, info.direct_map().virt_offset);
    let flags =
        Plan { slide: Some(Address(slide)), direct_map: Some(Address(direct_map)), ..Plan::default() };
    let planned = plan_staged(&ready.program, &ready.staged, &flags, None).ok()?;
    Some(plan_text::differences(&planned, entry))
}

/// The snapshot of a later moment; `files` are the ELF files of kernel and loader.
fn later(
    machine: &mut Machine,
    mut entry: Snapshot,
    at: &At,
    files: [Option<&Path>; 2],
    timeout: Duration,
    workspace: &Workspace,
) -> Outcome<Snapshot> {
    if *at == At::Hang {
        eprintln!("waiting for {} s: Ctrl-C shows where the machine is by then", timeout.as_secs());
    }
    let started = Instant::now();
    let reached = loop {
        let entered = entry.register("pc").unwrap_or_default();
        let open = |path: &Path| Program::open(path, workspace.root());
        let [kernel, loader] = files.map(|path| path.map(open).transpose());
        let (kernel, loader) = (kernel?.map(|kernel| kernel.entered_at(entered)), loader?);
        let wanted = pursuit::Wanted::new(at, kernel.as_ref())?;
        let programs = || kernel.into_iter().chain(loader).collect();
        let title = entry.title.clone();
        let pursuit = Pursuit::new(machine.hold(), entry, programs);
        match pursuit.reach(&wanted, timeout.saturating_sub(started.elapsed()))? {
            Err(Missed::Restarted) => entry = machine.snapshot(title)?,
            reached => break reached,
        }
    };
    let place = match at {
        At::Code(what) => what,
        At::Fault => "a fault",
        At::Entry | At::Exit | At::Hang => "its end",
    };
    let seconds = timeout.as_secs();
    reached.map_err(|missed| match missed {
        Missed::Cut => Failure::new("interrupted: the machine was ended", "give --at hang to see it then"),
        Missed::TimedOut | Missed::Restarted => Failure::new(
            format!("the kernel did not come to {place} within {seconds} s{}", machine.last_words()),
            "give more with --timeout SECONDS, or see where it is with --at hang",
        ),
        Missed::Ended(ending) => {
            let how = ending.map_or("it ended", Ending::name);
            Failure::new(
                match at {
                    At::Hang => format!("the kernel did not hang: {how}{}", machine.last_words()),
                    _ => format!(
                        "the machine ended before the kernel came to {place}: {how}{}",
                        machine.last_words()
                    ),
                },
                "see the end itself with --at exit, or what it says with handoff run",
            )
        }
    })
}
