//! The flight recorder: `record!` notes a line for the boot after this one.
//!
//! Any CPU may note at any time, also in an exception: the next number is all that is shared. What was noted is in memory
//! when the call returns, and outlives a reset.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aarch64_cpu::registers::{CNTVCT_EL0, MPIDR_EL1, Readable};
use handoff_bare::cache;
use shared_abi::addr::{PhysRange, VirtRange};
use shared_abi::crc32c::crc32c_small;
use shared_abi::entry::Handoff;
use shared_abi::recorder::{ENTRIES, Entry, Header, LENGTH, Recording, TEXT};
use zerocopy::IntoBytes;

/// MPIDR_EL1's affinity fields.
const AFFINITY: u64 = 0xFF_00FF_FFFF;

/// Words of an entry.
const WORDS: usize = size_of::<Entry>() / size_of::<u64>();

/// Where this boot's recorder is; 0 until it is started.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// Entries that were noted.
static NOTED: AtomicU64 = AtomicU64::new(0);

/// Starts this boot's recorder, if the note asked for one and there was a place for it. Returns what the last boot noted.
///
/// # Panics
///
/// The second time.
pub fn start(handoff: &Handoff) -> Option<Recording<'static>> {
    let recorder = handoff.recorder()?;
    let offset = handoff.direct_map().virt_offset;
    let place = |range: PhysRange| offset.wrapping_add(range.start().get()) as usize;
    if recorder.length < LENGTH as u64 {
        return None;
    }
    let started = PLACE.compare_exchange(0, place(recorder.current()), Ordering::AcqRel, Ordering::Relaxed);
    assert!(started.is_ok(), "the recorder is started once");
    let last = recorder.last()?;
    // SAFETY: the contract maps the region in the direct map, and gives this part of it to nobody who writes.
    let bytes = unsafe { core::slice::from_raw_parts(place(last) as *const u8, LENGTH) };
    Recording::open(bytes, crc32c_small)
}

/// Notes a text; without a recorder nothing happens. A long one takes several entries.
pub fn record(arguments: fmt::Arguments<'_>) {
    let Some(entries) = entries() else { return };
    let mut text = Text { entries, bytes: [0; TEXT], length: 0 };
    // Takes every byte, and an error of a value's own Display is not the recorder's.
    let _ = text.write_fmt(arguments);
    text.note(false);
}

/// Notes a line in the flight recorder.
#[macro_export]
macro_rules! record {
    ($($argument:tt)*) => { $crate::machine::recorder::record(format_args!($($argument)*)) };
}

/// The entries of this boot's recorder.
fn entries() -> Option<&'static [[AtomicU64; WORDS]]> {
    let place = PLACE.load(Ordering::Acquire);
    // SAFETY: `start` has put it there: the direct map's, aligned to a page, this kernel's alone and of this length by the
    // contract. Nothing but this slice of atomics leads there.
    let entries = || unsafe {
        core::slice::from_raw_parts((place + size_of::<Header>()) as *const [AtomicU64; WORDS], ENTRIES)
    };
    (place != 0).then(entries)
}

/// A text on its way into entries.
struct Text {
    entries: &'static [[AtomicU64; WORDS]],
    bytes: [u8; TEXT],
    length: usize,
}

impl Text {
    fn note(&mut self, goes_on: bool) {
        let sequence = NOTED.fetch_add(1, Ordering::Relaxed) + 1;
        let text = self.bytes.get(..self.length).unwrap_or_default();
        let (ticks, mpidr) = (CNTVCT_EL0.get(), MPIDR_EL1.get() & AFFINITY);
        let entry = Entry::new(sequence, ticks, mpidr, text, goes_on, crc32c_small);
        self.length = 0;
        let Some(place) = self.entries.get(Entry::index(sequence)) else { return };
        for (word, bytes) in place.iter().zip(entry.as_bytes().as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        let start = place.as_ptr() as u64;
        if let Some(range) = VirtRange::from_bounds(start, start + size_of::<Entry>() as u64) {
            cache::clean_to_coherency(range);
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length == TEXT {
                self.note(true);
            }
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}
