//! The timeline: when each stage of the boot began, and which one is under way should a fault cut it short.

use aarch64_cpu::registers::{CNTVCT_EL0, Readable};
use elfloader::stage::Stage;
use handoff_bare::cell::BorrowCell;

/// The stages so far, each with the counter when it began.
#[derive(Clone, Copy)]
pub struct Timeline {
    stages: [(&'static str, u64); Stage::COUNT],
    count: usize,
}

/// The boot's. The fault reporter, which never goes back to what it interrupted, seizes it.
pub static TIMELINE: BorrowCell<Timeline> =
    BorrowCell::new(Timeline { stages: [("", 0); Stage::COUNT], count: 0 });

impl Timeline {
    /// Every stage, in order.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, u64)> + Clone {
        self.stages.iter().take(self.count).copied()
    }

    /// The stage under way.
    pub fn current(&self) -> &'static str {
        self.stages().last().map_or("start", |stage| stage.0)
    }
}

/// Begins a stage that began at `ticks`.
pub fn begin_at(stage: Stage, ticks: u64) {
    let Some(mut timeline) = TIMELINE.try_borrow_mut() else { return };
    let count = timeline.count;
    if let Some(place) = timeline.stages.get_mut(count) {
        *place = (stage.name(), ticks);
        timeline.count += 1;
    }
}

/// Begins a stage now.
// Not inlined: every stage calls it once.
#[inline(never)]
pub fn begin(stage: Stage) {
    begin_at(stage, CNTVCT_EL0.get());
}

/// The stages so far.
pub fn all() -> Timeline {
    TIMELINE.try_borrow().map_or(Timeline { stages: [("", 0); Stage::COUNT], count: 0 }, |timeline| *timeline)
}
