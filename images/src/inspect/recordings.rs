//! The flight recorders in words: what the last boot left, and what this one has noted so far.

use serde_json::{Value, json};
use shared_abi::addr::PhysRange;
use shared_abi::boot_info::BootInfo;
use shared_abi::crc32c::crc32c;
use shared_abi::recorder::{Entry, Recording};

use super::snapshot::Snapshot;

/// Most lines of one that are shown: the newest.
const SHOWN: usize = 64;

/// What a recorder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The number of the boot.
    pub boot: u64,
    /// Whether it is the last boot's, the crash record.
    pub is_last: bool,
    /// What was noted, the oldest first.
    pub entries: Vec<Entry>,
    frequency: u64,
}

/// What is found: the last boot's, then this one's if anything was noted in it.
pub fn of(snapshot: &Snapshot) -> Vec<Noted> {
    let Ok(bytes) = snapshot.boot_info() else { return Vec::new() };
    BootInfo::decode(&bytes).map(|info| of_info(snapshot, &info)).unwrap_or_default()
}

/// The same where `BootInfo` has been read.
pub fn of_info(snapshot: &Snapshot, info: &BootInfo<'_>) -> Vec<Noted> {
    let Some(recorder) = info.recorder() else { return Vec::new() };
    let open = |range: PhysRange, is_last| {
        let recording = Recording::open(snapshot.bytes(range.start().get(), range.len())?, crc32c)?;
        let frequency = recording.header().timer_frequency;
        Some(Noted { boot: recording.boot(), is_last, entries: recording.entries().collect(), frequency })
    };
    let last = recorder.last().and_then(|range| open(range, true));
    let current = open(recorder.current(), false).filter(|noted| !noted.entries.is_empty());
    last.into_iter().chain(current).collect()
}

impl Noted {
    /// What it is, for a heading.
    pub fn title(&self) -> String {
        let whose = if self.is_last { "the boot before" } else { "this boot" };
        let count = self.entries.len();
        let entries = if count == 1 { "entry" } else { "entries" };
        format!("Flight recorder of {whose}, boot {}: {count} {entries}", self.boot)
    }

    /// The newest lines, what went on in one.
    pub fn lines(&self, most: usize) -> Vec<String> {
        let mut lines: Vec<(Option<u64>, Vec<u8>, &Entry)> = Vec::new();
        for entry in &self.entries {
            let open = lines.iter_mut().rev().find(|(open, ..)| *open == Some(entry.mpidr));
            let goes_on = entry.goes_on().then_some(entry.mpidr);
            match open {
                Some((open, text, _)) => {
                    text.extend(entry.text());
                    *open = goes_on;
                }
                None => lines.push((goes_on, entry.text().to_vec(), entry)),
            }
        }
        let left_out = lines.len().saturating_sub(most);
        let more = (left_out > 0).then(|| format!("… {left_out} older lines"));
        let shown = lines.iter().skip(left_out).map(|(_, text, first)| {
            let text = String::from_utf8_lossy(text);
            let text = text.trim_end().chars().map(|letter| match letter.is_control() {
                true => letter.escape_default().to_string(),
                false => letter.to_string(),
            });
            format!("{}  CPU {:#x}  {}", self.time(first.ticks), first.mpidr, text.collect::<String>())
        });
        more.into_iter().chain(shown).collect()
    }

    /// As many lines as a report has room for.
    pub fn shown(&self) -> Vec<String> {
        self.lines(SHOWN)
    }

    fn time(&self, ticks: u64) -> String {
        match self.frequency {
            0 => format!("{ticks:>12}"),
            frequency => format!("{:>11.6} s", ticks as f64 / frequency as f64),
        }
    }
}

/// All of them as JSON.
pub fn json(noted: &[Noted]) -> Value {
    let of = |noted: &Noted| {
        let entry = |entry: &Entry| {
            json!({
                "sequence": entry.sequence,
                "ticks": entry.ticks,
                "mpidr": format!("{:#x}", entry.mpidr),
                "text": String::from_utf8_lossy(entry.text()),
                "goes_on": entry.goes_on(),
            })
        };
        let entries: Vec<_> = noted.entries.iter().map(entry).collect();
        json!({ "boot": noted.boot, "last": noted.is_last, "entries": entries })
    };
    noted.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(entries: &[(u64, &[u8], bool)], frequency: u64) -> Noted {
        let entry = |(index, (mpidr, text, goes_on)): (usize, &(u64, &[u8], bool))| {
            Entry::new(index as u64 + 1, 500 * index as u64, *mpidr, text, *goes_on, crc32c)
        };
        Noted { boot: 3, is_last: true, entries: entries.iter().enumerate().map(entry).collect(), frequency }
    }

    #[test]
    fn lines_that_go_on_are_joined_cpu_by_cpu_and_the_newest_shown() {
        let two: [(u64, &[u8], bool); 4] =
            [(0, b"one \xC3", true), (1, b"two\n", false), (0, b"\xA4\x1B", false), (0, b"three", false)];
        let noted = noted(&two, 1000);
        let all = [
            "   0.000000 s  CPU 0x0  one ä\\u{1b}",
            "   0.500000 s  CPU 0x1  two",
            "   1.500000 s  CPU 0x0  three",
        ];
        assert_eq!(noted.shown(), all);
        assert_eq!(noted.lines(1), ["… 2 older lines", all[2]]);
        assert_eq!(noted.title(), "Flight recorder of the boot before, boot 3: 4 entries");
    }

    #[test]
    fn without_a_frequency_the_ticks_are_shown() {
        let noted = noted(&[(0, b"a", false), (0, b"b", false)], 0);
        assert_eq!(noted.shown()[1], "         500  CPU 0x0  b");
        assert_eq!(json(&[noted])[0]["entries"][1]["text"], "b");
    }
}
