//! Holds `handoff_bare`'s memory functions to byte-by-byte ones: every short length, alignment and overlap.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod bare;

use shared_abi::entry::Handoff;
use shared_abi::verdict::Verdict;

shared_abi::entry!(kmain);

#[cfg(target_os = "none")]
handoff_bare::memory_functions!();

/// Bytes of a place that is worked on, and of what lies around it.
const ROOM: usize = 512;

/// Longest piece: several rounds of every loop.
const LONGEST: usize = 150;

/// Offsets within two words.
const OFFSETS: usize = 17;

/// Bytes that can be told apart, however often they were moved.
fn pattern() -> [u8; ROOM] {
    core::array::from_fn(|at| (at * 37 % 251) as u8)
}

/// What `place` ought to be, byte by byte; opaque, or the compiler would call what is tested.
fn expected(place: &[u8; ROOM], byte: impl Fn(usize, u8) -> u8) -> [u8; ROOM] {
    core::array::from_fn(|at| core::hint::black_box(byte(at, place[at])))
}

/// Whether the two are alike, by no function that is tested.
fn alike(one: &[u8; ROOM], other: &[u8; ROOM]) -> bool {
    (0..ROOM).all(|at| core::hint::black_box(one[at]) == core::hint::black_box(other[at]))
}

fn copied(from: usize, to: usize, length: usize) -> bool {
    let before = pattern();
    let mut place = pattern();
    place.copy_within(from..from + length, to);
    let inside = to..to + length;
    alike(
        &place,
        &expected(&before, |at, old| if inside.contains(&at) { before[at - to + from] } else { old }),
    )
}

fn filled(from: usize, length: usize, byte: u8) -> bool {
    let before = pattern();
    let mut place = pattern();
    place[from..from + length].fill(byte);
    alike(&place, &expected(&before, |at, old| if (from..from + length).contains(&at) { byte } else { old }))
}

/// Whether pieces that differ at `differs` alone, or nowhere, compare as their bytes do.
fn compared(from: usize, to: usize, length: usize, differs: Option<usize>) -> bool {
    let one = pattern();
    let mut other = [0; ROOM];
    for at in 0..length {
        other[to + at] = core::hint::black_box(one[from + at]);
    }
    let wanted = differs.map(|at| {
        other[to + at] ^= 0x80;
        one[from + at].cmp(&other[to + at])
    });
    let found = core::hint::black_box(&one[from..from + length]).cmp(&other[to..to + length]);
    let equal = core::hint::black_box(&one[from..from + length]) == &other[to..to + length];
    found == wanted.unwrap_or(core::cmp::Ordering::Equal) && equal == differs.is_none()
}

fn kmain(info: Handoff) -> ! {
    bare::start(&info);
    let mut count = 0_u32;
    for length in 0..LONGEST {
        for offset in 0..OFFSETS {
            // Apart, and over each other by all but so many bytes, in both directions.
            let moves = [(offset, 256 + length % 16), (64, 64 + offset), (64 + offset, 64)];
            for (from, to) in moves {
                assert!(copied(from, to, length), "{length} bytes from {from} to {to}");
            }
            assert!(filled(offset, length, 0xA5), "{length} bytes at {offset}");
            for differs in [None, Some(0), Some(length / 2), length.checked_sub(1)] {
                let differs = differs.filter(|at| *at < length);
                let is_right = compared(offset, 3 * offset % OFFSETS, length, differs);
                assert!(is_right, "{length} bytes at {offset}, one differs: {differs:?}");
            }
            count += 8;
        }
    }
    say!("{count} pieces moved, filled and compared as byte by byte");
    bare::end(Verdict::Good)
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel memory_functions boots it");
}
