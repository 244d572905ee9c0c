//! Keeps a flight recorder through a reset: the first boot notes more than it holds and resets the machine, the second
//! finds what the first noted, says it and ends. The word `panic` has it note a line and panic instead.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(target_os = "none")]
mod recorder {
    use handoff_bare::psci;
    use kernel::machine::recorder;
    use kernel::record;
    use shared_abi::entry::Handoff;
    use shared_abi::memory::RegionKind;
    use shared_abi::recorder::{ENTRIES, Recording};
    use shared_abi::verdict::Verdict;

    use crate::{bare, say};

    shared_abi::entry!(kmain, Note { wanted: Wanted::SLIDE.union(Wanted::RECORDER), ..Note::DEFAULT });

    /// Lines that the first boot notes before its last words.
    const LINES: usize = 600;

    fn kmain(info: Handoff) -> ! {
        bare::start(&info);
        let Some(place) = info.recorder() else {
            say!("no recorder: there is no place for one");
            bare::end(Verdict::Bad(1))
        };
        let mut regions = info.memory_map().filter(|region| region.range().covers(place.current()));
        if regions.next().is_none_or(|region| region.kind() != RegionKind::RECORDER) {
            say!("the recorder's memory is not the recorder's");
            bare::end(Verdict::Bad(2))
        }
        match recorder::start(&info) {
            None => {
                say!("no recorder of an earlier boot: noting {LINES} lines, then a reset");
                (1..=LINES).for_each(|line| record!("line {line} of {LINES}"));
                record!(
                    "last words: {:?}",
                    "a text that is longer than one entry has room for, so that it goes on"
                );
                psci::system_reset(info.platform().psci_conduit);
                say!("nobody resets this machine");
                bare::end(Verdict::Bad(3))
            }
            Some(last) => {
                let verdict = tell(&last);
                if bare::is_asked(&info, "panic") {
                    record!("boot {} panics", last.boot() + 1);
                    panic!("as asked");
                }
                bare::end(verdict)
            }
        }
    }

    /// Says what the last boot noted: the newest entries of more than there is room for, and all of the last words.
    fn tell(last: &Recording<'_>) -> Verdict {
        let (mut count, mut words) = (0, [0; 256]);
        let mut length = 0;
        for entry in last.entries() {
            count += 1;
            let is_last = entry.sequence > LINES as u64;
            for (place, byte) in words.iter_mut().skip(length).zip(entry.text()).filter(|_| is_last) {
                *place = *byte;
                length += 1;
            }
        }
        let words = core::str::from_utf8(words.get(..length).unwrap_or_default()).unwrap_or("no UTF-8");
        say!("boot {} left {count} entries in its recorder; {words}", last.boot());
        match count == ENTRIES && last.boot() == 1 && words.ends_with("so that it goes on\"") {
            true => Verdict::Good,
            false => Verdict::Bad(4),
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh recorder boots it");
}
