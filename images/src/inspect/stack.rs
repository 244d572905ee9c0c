//! Who called whom: the chain of frame records (AAPCS64, "The Frame Pointer"), read without trusting it.
//!
//! A function that has not stored its record yet, or never does, has its caller in x30.

use super::moment::Frame;
use super::program::{Place, Program};
use crate::failure::Outcome;

/// Most calls that are shown.
const FRAMES: usize = 64;

/// Where a walk starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// The program counter.
    pub pc: u64,
    /// x29.
    pub frame_pointer: u64,
    /// x30.
    pub link: u64,
}

/// What is at an address, by the first program that has it.
pub fn places(programs: &[Program], address: u64) -> Vec<Place> {
    programs
        .iter()
        .find(|program| program.has(address))
        .map(|program| program.places(address))
        .unwrap_or_default()
}

/// Walks the stack. `read` reads the two words of a frame record: the caller's x29, and the return address.
pub fn walk(
    programs: &[Program],
    start: Start,
    read: &mut dyn FnMut(u64) -> Outcome<Option<[u64; 2]>>,
) -> Outcome<Vec<Frame>> {
    let mut frames = vec![Frame { at: start.pc, places: places(programs, start.pc) }];
    let call = |frames: &mut Vec<Frame>, back: u64| {
        // The call is the instruction in front of the one that it returns to.
        frames.push(Frame { at: back, places: places(programs, back.wrapping_sub(4)) });
    };
    let has_code = |address: u64| programs.iter().any(|program| program.has(address.wrapping_sub(4)));
    let is_stored = programs.iter().any(|program| program.has_frame_record(start.pc));
    let link = without_code(start.link);
    if !is_stored && has_code(link) {
        call(&mut frames, link);
    }
    let mut record = start.frame_pointer;
    while frames.len() < FRAMES && record != 0 && record.is_multiple_of(8) {
        let Some([next, back]) = read(record)? else { break };
        let back = without_code(back);
        if back == 0 {
            break;
        }
        // A leaf's x30 is told once.
        if frames.len() != 2 || is_stored || frames[1].at != back {
            call(&mut frames, back);
        }
        if next <= record {
            break;
        }
        record = next;
    }
    Ok(frames)
}

/// A return address without a pointer authentication code: bit 55 says which half it is of (Arm ARM D8.10).
const fn without_code(address: u64) -> u64 {
    if address & 1 << 55 != 0 { address | 0xFFFF << 48 } else { address & !(0xFFFF << 48) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(start: Start, memory: &[(u64, [u64; 2])]) -> Vec<u64> {
        let mut read = |at| Ok(memory.iter().find(|(start, _)| *start == at).map(|(_, words)| *words));
        walk(&[], start, &mut read).unwrap().iter().map(|frame| frame.at).collect()
    }

    #[test]
    fn records_are_followed_up_to_the_last_or_the_first_that_is_none() {
        let start = Start { pc: 0x100, frame_pointer: 0x8000, link: 0 };
        let good = [(0x8000, [0x8010, 0x200]), (0x8010, [0x8020, 0x300]), (0x8020, [0, 0])];
        assert_eq!(addresses(start, &good), [0x100, 0x200, 0x300]);
        // Unreadable, in a circle, unaligned: the walk ends.
        assert_eq!(addresses(start, &good[..1]), [0x100, 0x200]);
        assert_eq!(addresses(start, &[(0x8000, [0x8000, 0x200])]), [0x100, 0x200]);
        assert_eq!(addresses(Start { frame_pointer: 0x8001, ..start }, &good), [0x100]);
    }

    #[test]
    fn authentication_codes_are_taken_off() {
        assert_eq!(without_code(0xAB80_0000_0000_1000), 0xFFFF_0000_0000_1000 | 0x0080_0000_0000_0000);
        assert_eq!(without_code(0xAB00_0000_0000_1000), 0x1000);
    }
}
