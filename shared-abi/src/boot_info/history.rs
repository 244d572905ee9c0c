//! What has happened: stages, log, the entropy that is left, and what the last boot left behind.

use super::fault::Fault;
use super::record::{flags, record};
use super::strings::StringRef;
use crate::addr::{PAGE, PhysRange};
use crate::recorder;

record! {
    /// When a stage of the boot was reached, in ascending order.
    Stage, 16 bytes {
        /// The system counter (CNTVCT_EL0) when it began.
        ticks: u64,
        /// Its name.
        name: StringRef,
    }
    check |stage, before, strings| {
        let after = before.is_none_or(|before| before.ticks <= stage.ticks);
        Fault::unless(after, "ticks", stage.ticks)?;
        strings.check(stage.name, "name")
    }
}

/// What the loader said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// The text, meant to be UTF-8 but not checked.
    pub bytes: &'a [u8],
    /// Whether its beginning is missing.
    pub is_truncated: bool,
}

flags! {
    /// Where entropy came from.
    EntropySources {
        /// `/chosen/kaslr-seed`.
        KASLR_SEED = 0;
        /// `/chosen/rng-seed`.
        RNG_SEED = 1;
        /// The processor's RNDR register.
        RNDR = 2;
        /// The system counter, credited with nothing.
        COUNTER = 3;
        /// A seed that was packed into the image to repeat a boot, credited with nothing.
        PACKED_SEED = 4;
    }
}

record! {
    /// Entropy for the kernel. None of these bytes chose an address.
    Entropy, 48 bytes {
        /// The bytes.
        bytes: [u8; 32],
        /// Bits of entropy that they can be trusted to hold, at most 256.
        credited_bits: u32,
        /// Where they came from.
        sources: EntropySources,
        /// Bits of entropy that the choice of addresses could be trusted to hold.
        slide_credited_bits: u32,
        /// Where those came from.
        slide_sources: EntropySources,
    }
    check |entropy, _, _| {
        let bits = entropy.credited_bits;
        Fault::unless(bits <= 256, "credited_bits", bits as u64)
    }
}

record! {
    /// The flight recorders, in a region of their own.
    Recorder, 24 bytes {
        /// Where this boot's lies, begun and without entries: the kernel's to write.
        phys_current: u64,
        /// Where the last boot's lies, as it was left: the crash record. 0 if none was found.
        phys_last: u64,
        /// Bytes of each.
        length: u64,
    }
    check |recorder, _, _| {
        let is_placed = |start: u64| {
            let range = PhysRange::from_bounds(start, start.saturating_add(recorder.length));
            range.is_some() && start.is_multiple_of(PAGE)
        };
        Fault::unless(recorder.length >= recorder::LENGTH as u64, "length", recorder.length)?;
        Fault::unless(is_placed(recorder.phys_current), "phys_current", recorder.phys_current)?;
        let is_apart = recorder.phys_last.abs_diff(recorder.phys_current) >= recorder.length;
        let is_there = recorder.phys_last != 0;
        Fault::unless(!is_there || is_placed(recorder.phys_last) && is_apart, "phys_last", recorder.phys_last)
    }
}

impl Recorder {
    /// This boot's recorder.
    pub fn current(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_current, self.phys_current.saturating_add(self.length))
            .unwrap_or_default()
    }

    /// The last boot's recorder.
    pub fn last(&self) -> Option<PhysRange> {
        let range = PhysRange::from_bounds(self.phys_last, self.phys_last.saturating_add(self.length));
        range.filter(|_| self.phys_last != 0)
    }
}
