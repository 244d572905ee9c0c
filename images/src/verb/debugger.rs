//! The debugger's script for a machine that will boot, with the places that a plan of the same boot knows.

use std::path::PathBuf;

use shared_abi::boot_info::BootInfo;
use shared_abi::image::header::HEADER_PAGE;

use super::foresee::plan_staged;
use super::prepare::place;
use super::ready::Staged;
use crate::cli::Plan;
use crate::debug::{Debugged, Place, script};
use crate::failure::Outcome;
use crate::loader::LOADER_START;

/// The script for what was packed here, to connect to `port`; `None` for an image that came without ELF files.
pub fn of_staged(program: &str, staged: &Staged, port: u16) -> Outcome<Option<String>> {
    let (Some(loader), Some(kernel)) = (&staged.loader, &staged.kernel) else { return Ok(None) };
    let full = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let (loader, kernel) = (full(loader), full(kernel));
    // U-Boot chooses at the time, and what the boot will refuse it says itself.
    let place = match planned(program, staged) {
        Some(place) => place,
        None => place(&staged.image)?,
    };
    Ok(Some(script(&Debugged { loader: &loader, kernel: &kernel, place, port: Some(port) })))
}

fn planned(program: &str, staged: &Staged) -> Option<Place> {
    let plan = plan_staged(program, staged, &Plan::default(), None).ok()?;
    let bytes = plan.boot_info().ok()?;
    let info = BootInfo::decode(&bytes).ok()?;
    let loader = info.firmware_image().phys_image + HEADER_PAGE as u64;
    Some(Place::Planned { loader: loader.wrapping_sub(LOADER_START), slide: info.kernel().slide })
}
