//! The timeline: when each stage of the boot began, and which one is under way should a fault cut it short.

use core::cell::UnsafeCell;

use aarch64_cpu::registers::{CNTVCT_EL0, Readable};

/// Most stages of a boot.
const STAGES: usize = 16;

struct Timeline {
    stages: [(&'static str, u64); STAGES],
    count: usize,
}

struct Single(UnsafeCell<Timeline>);

// SAFETY: the loader runs on one CPU; the fault reporter only reads.
unsafe impl Sync for Single {}

static TIMELINE: Single = Single(UnsafeCell::new(Timeline { stages: [("", 0); STAGES], count: 0 }));

fn timeline() -> &'static mut Timeline {
    // SAFETY: see `Single`; references live for one statement.
    unsafe { &mut *TIMELINE.0.get() }
}

/// Begins a stage that began at `ticks`. Its name completes "it was to …".
pub fn begin_at(name: &'static str, ticks: u64) {
    let timeline = timeline();
    if let Some(stage) = timeline.stages.get_mut(timeline.count) {
        *stage = (name, ticks);
        timeline.count += 1;
    }
}

/// Begins a stage now.
#[inline(never)]
pub fn begin(name: &'static str) {
    begin_at(name, CNTVCT_EL0.get());
}

/// The stages so far.
pub fn all() -> &'static [(&'static str, u64)] {
    let timeline = timeline();
    timeline.stages.get(..timeline.count).unwrap_or_default()
}

/// The stage under way.
pub fn current() -> &'static str {
    all().last().map_or("start", |stage| stage.0)
}
