//! A moment after the kernel's first instruction: which one is wanted, and what was seen of it.
//!
//! Everything that takes the stages' ELF files to know is worked out as the machine is read, so that a dump of it can
//! be shown where they are not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::program::Place;
use crate::failure::{Failure, Outcome};

/// Where a machine is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// At the kernel's first instruction.
    #[default]
    Entry,
    /// At the first exception that ends the kernel.
    Fault,
    /// As the kernel ends the machine.
    Exit,
    /// When the time is up, or Ctrl-C is pressed.
    Hang,
    /// At a function or a line of the kernel.
    Code(String),
}

impl std::str::FromStr for At {
    type Err = Failure;

    fn from_str(text: &str) -> Outcome<Self> {
        Ok(match text {
            "" => {
                return Err(Failure::new(
                    "no place",
                    "give a function, FILE:LINE, entry, fault, exit or hang",
                ));
            }
            "entry" => Self::Entry,
            "fault" => Self::Fault,
            "exit" => Self::Exit,
            "hang" => Self::Hang,
            code => Self::Code(code.to_owned()),
        })
    }
}

/// What was seen of a later moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which moment, in words: `at kmain`.
    pub when: String,
    /// Where `BootInfo` was handed over, by its virtual address.
    pub boot_info: u64,
    /// The exception that ended the kernel.
    pub fault: Option<Fault>,
    /// Every CPU; the one that the registers of the snapshot are of comes first.
    pub cpus: Vec<Cpu>,
    /// What is no longer as it was at the kernel's first instruction.
    pub changes: Vec<String>,
}

/// An exception that ended the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// ESR_EL1.
    pub syndrome: u64,
    /// What it says, in words.
    pub words: String,
    /// The address that was accessed, if the syndrome says that there is one.
    pub address: Option<u64>,
    /// What it is.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// A CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number, as QEMU counts.
    pub number: usize,
    /// What it does: `asleep`, `spinning`, …
    pub state: String,
    /// Its general registers, SP, PC and PSTATE.
    pub registers: BTreeMap<String, u64>,
    /// Who called whom, the innermost first.
    pub frames: Vec<Frame>,
    /// The code around its PC.
    pub code: Vec<String>,
}

/// One call of a backtrace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The address of the instruction, or that which the call returns to.
    pub at: u64,
    /// What is there, the innermost inlined call first.
    pub places: Vec<Place>,
}

impl Cpu {
    /// The backtrace, a line for each call; of one that calls itself the first and the last.
    pub fn backtrace(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, frame) in self.frames.iter().enumerate() {
            let at = frame.at;
            let is_same = |other: Option<usize>| {
                other.and_then(|other| self.frames.get(other)).is_some_and(|other| other.at == at)
            };
            if is_same(number.checked_sub(1)) && is_same(Some(number + 1)) {
                if !is_same(number.checked_sub(2)) {
                    lines.push("    …".to_owned());
                }
                continue;
            }
            if frame.places.is_empty() {
                lines.push(format!("#{number:<2} {at:#018x}  no known code"));
            }
            for (index, place) in frame.places.iter().enumerate() {
                let inlined = if place.inlined { "  (inlined)" } else { "" };
                lines.push(match index {
                    0 => format!("#{number:<2} {at:#018x}  {place}{inlined}"),
                    _ => format!("{:22}  {place}{inlined}", ""),
                });
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_moments_and_the_rest_is_code() {
        assert_eq!("hang".parse(), Ok(At::Hang));
        assert_eq!("main.rs:42".parse(), Ok(At::Code("main.rs:42".into())));
        assert!("".parse::<At>().unwrap_err().help().contains("give a function"));
    }

    #[test]
    fn a_recursion_is_cut_short() {
        let frames = [8, 16, 16, 16, 16, 24].map(|at| Frame { at, places: vec![] });
        let shown = Cpu { frames: frames.into(), ..Cpu::default() }.backtrace();
        let numbers: Vec<_> = shown.iter().map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!(numbers, ["#0", "#1", "", "#4", "#5"], "{shown:?}");
    }

    #[test]
    fn inlined_calls_are_lines_of_their_own() {
        let place = |name: &str, inlined| Place {
            function: Some(name.into()),
            line: Some(("main.rs".into(), 7)),
            inlined,
        };
        let cpu = Cpu {
            frames: vec![
                Frame {
                    at: 0xFFFF_0000_0000_1000,
                    places: vec![place("read", true), place("kmain+0x8", false)],
                },
                Frame { at: 8, places: vec![] },
            ],
            ..Cpu::default()
        };
        assert_eq!(
            cpu.backtrace(),
            [
                "#0  0xffff000000001000  read at main.rs:7  (inlined)",
                "                        kmain+0x8 at main.rs:7",
                "#1  0x0000000000000008  no known code",
            ]
        );
    }
}
