//! Follows a machine from the kernel's first instruction to the moment that is wanted.
//!
//! ```text
//! kernel's first instruction ─► breakpoints ─► the machine runs ─┬─► a function, a line
//!                                                                ├─► the vectors that were handed over: a fault
//!                                                                ├─► an instruction that ends the machine
//!                                                                └─► the time is up, Ctrl-C
//! ```
//!
//! A kernel ends the machine by semihosting or by PSCI, whose instructions are few: each that lies in executable memory
//! gets a breakpoint, and what is in the registers there says whether it is the end, and which.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::mem::offset_of;
use std::time::{Duration, Instant};

use kernel::faults::ExceptionFrame;
use shared_abi::syndrome::{Syndrome, Vector};
use shared_abi::verdict::{Ending, SEMIHOSTING_EXIT};

use super::address::{self, Explanation};
use super::capture::Hold;
use super::changes::changes;
use super::cpus::{self, Watched};
use super::gdb::Stop;
use super::moment::{At, Fault, Moment};
use super::program::Program;
use super::snapshot::Snapshot;
use super::view::rights;
use crate::failure::Outcome;

/// `hlt #0xF000`, `hvc #0`, `smc #0`: semihosting, and both conduits of PSCI.
const ENDINGS: [u32; 3] = [0xD45E_0000, 0xD400_0002, 0xD400_0003];

/// PSCI's SYSTEM_OFF, SYSTEM_RESET and SYSTEM_RESET2 (DEN 0022, 5.1).
const OFF: [u64; 4] = [0x8400_0008, 0x8400_0009, 0x8400_0012, 0xC400_0012];

/// Most bytes of executable memory that are searched.
const CODE_MAX: u64 = 32 << 20;

/// Most bytes of a stack that are searched for an exception's registers.
const STACK_MAX: u64 = 32 << 10;

/// What stops the machine.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Breakpoints: a function or a line, in words and by its addresses.
    pub code: Option<(String, Vec<u64>)>,
    /// An exception that is taken through the vectors that were handed over: the kernel has none of its own yet.
    pub vectors: bool,
    /// The end of the machine, if it is one of these.
    pub end: Option<End>,
    /// No end until the time is up.
    pub hang: bool,
}

/// Which ends of the machine are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every one.
    Any,
    /// That of a fault.
    Fault,
    /// That of a fault or of a bad verdict.
    Failure,
}

/// Why the moment did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The machine ended: how, if it said so.
    Ended(Option<Ending>),
    /// The machine was reset, has booted again, and is at its kernel's first instruction.
    Restarted,
    /// The time is up.
    TimedOut,
    /// Nobody wanted to wait any longer.
    Cut,
}

/// A machine that has entered its kernel.
pub struct Pursuit<'a> {
    hold: &'a mut Hold,
    entry: Snapshot,
    programs: Programs<'a>,
    endings: Vec<u64>,
}

/// Opened once there is something to name: most boots that are watched do not fail.
type Programs<'a> = LazyCell<Vec<Program>, Box<dyn FnOnce() -> Vec<Program> + 'a>>;

impl Wanted {
    /// For a moment that a person named, with the kernel's code to look it up in.
    pub fn new(at: &At, kernel: Option<&Program>) -> Outcome<Self> {
        let wanted = Self::default();
        Ok(match at {
            At::Entry => wanted,
            At::Fault => Self { vectors: true, end: Some(End::Fault), ..wanted },
            At::Exit => Self { end: Some(End::Any), ..wanted },
            At::Hang => Self { hang: true, ..wanted },
            At::Code(what) => {
                let addresses = kernel.map(|kernel| kernel.find(what)).transpose()?.unwrap_or_default();
                Self { code: Some((what.clone(), addresses)), ..wanted }
            }
        })
    }

    /// For one who watches a boot and wants to explain how it fails.
    pub fn failure() -> Self {
        Self { vectors: true, end: Some(End::Failure), hang: true, ..Self::default() }
    }
}

impl End {
    fn includes(self, ending: Option<Ending>) -> bool {
        match self {
            Self::Any => true,
            Self::Fault => ending.is_some_and(is_fault),
            Self::Failure => ending.is_some_and(is_fault) || ending == Some(Ending::Bad),
        }
    }
}

const fn is_fault(ending: Ending) -> bool {
    matches!(ending, Ending::KernelFault | Ending::LoaderFault)
}

impl<'a> Pursuit<'a> {
    /// Takes over a machine at its kernel's first instruction, as `entry` has it. The programs' code has names.
    pub fn new(hold: &'a mut Hold, entry: Snapshot, programs: impl FnOnce() -> Vec<Program> + 'a) -> Self {
        Self { hold, entry, programs: LazyCell::new(Box::new(programs)), endings: Vec::new() }
    }

    /// Lets the machine run until what is wanted happens, and reads it. Its breakpoints are gone afterwards.
    pub fn reach(mut self, wanted: &Wanted, timeout: Duration) -> Outcome<Result<Snapshot, Missed>> {
        let started = Instant::now();
        let vectors = self.entry.register("VBAR_EL1").filter(|_| wanted.vectors);
        let code = wanted.code.as_ref().map(|(_, addresses)| addresses.clone()).unwrap_or_default();
        if wanted.end.is_some() {
            self.endings = self.find_endings()?;
        }
        // All sixteen: the loader's resident reporter ends the machine whichever it is.
        let entries = vectors.into_iter().flat_map(|start| (start..start + 0x800).step_by(0x80));
        // Where the loader pauses again if the machine is reset.
        let pause = self.hold.pause();
        let others = code.iter().chain(&self.endings).chain([&pause]).copied();
        let mut all: Vec<u64> = entries.chain(others).collect();
        all.sort_unstable();
        all.dedup();
        for at in &all {
            self.hold.gdb().set_breakpoint(*at)?;
        }
        let reached = loop {
            let left = timeout.saturating_sub(started.elapsed());
            match self.hold.gdb().resume(left)? {
                Stop::At(thread) => {
                    let [pc, vbar] = self.hold.gdb().some_registers(["pc", "VBAR_EL1"])?;
                    let pc = pc.unwrap_or_default();
                    if pc == pause {
                        self.clear_breakpoints(&all)?;
                        return Ok(Err(match self.hold.leave_pause(&thread)? {
                            Stop::At(_) => Missed::Restarted,
                            _ => Missed::Ended(None),
                        }));
                    }
                    // Once the kernel has vectors of its own, that address is only code.
                    if let Some(start) = vectors.filter(|start| vbar == Some(*start))
                        && pc.wrapping_sub(start) < 0x800
                    {
                        break Ok(self.fault(&thread, ((pc - start) / 0x80) as u8)?);
                    }
                    if code.contains(&pc) {
                        let what = wanted.code.as_ref().map(|(what, _)| what.as_str()).unwrap_or_default();
                        break Ok(self.moment(format!("at {what}"), &thread, &[], None)?);
                    }
                    let ending = self.ending(pc)?;
                    if let Some(ending) =
                        ending.filter(|ending| wanted.end.is_some_and(|end| end.includes(*ending)))
                    {
                        let is_fault = ending.is_some_and(is_fault);
                        let words = ending.map_or("by a power-off or reset", Ending::name);
                        let when = match is_fault {
                            true => "at a fault".to_owned(),
                            false => format!("as the kernel ends the machine: {words}"),
                        };
                        let registers = if is_fault { self.interrupted()? } else { None };
                        break Ok(self.moment(when, &thread, &[], registers)?);
                    }
                    match ending {
                        Some(Some(ending)) => break Err(Missed::Ended(Some(ending))),
                        // A call of PSCI ends the machine only if somebody answers it.
                        _ if all.contains(&pc) => {
                            if let Stop::Ended(_) = self.hold.gdb().step_over(pc, &thread)? {
                                break Err(Missed::Ended(None));
                            }
                        }
                        _ => {}
                    }
                }
                Stop::TimedOut | Stop::Cut if wanted.hang => {
                    let Stop::At(thread) = self.hold.gdb().interrupt()? else {
                        break Err(Missed::Ended(None));
                    };
                    let watched = cpus::watch(self.hold.gdb())?;
                    self.hold.gdb().select(&thread)?;
                    let after = format!("after {:.1} s without an end", started.elapsed().as_secs_f64());
                    break Ok(self.moment(after, &thread, &watched, None)?);
                }
                Stop::TimedOut => break Err(Missed::TimedOut),
                Stop::Cut => break Err(Missed::Cut),
                Stop::Ended(status) => {
                    break Err(Missed::Ended(u64::try_from(status).ok().and_then(Ending::from_exit_subcode)));
                }
            }
        };
        if reached.is_ok() {
            self.clear_breakpoints(&all)?;
        }
        Ok(reached)
    }

    fn clear_breakpoints(&mut self, all: &[u64]) -> Outcome<()> {
        all.iter().try_for_each(|at| self.hold.gdb().clear_breakpoint(*at))
    }

    /// Every instruction in executable memory that can end the machine.
    fn find_endings(&mut self) -> Outcome<Vec<u64>> {
        let Some(tree) = self.entry.kernel_tables() else { return Ok(Vec::new()) };
        let is_code = |run: &shared_abi::page_table::Run| rights(run.attributes).ends_with('x');
        let runs: Vec<_> = tree.leaves(&self.entry).filter(is_code).collect();
        let mut found = Vec::new();
        for run in runs {
            let length = run.length.min(CODE_MAX);
            let bytes = self.hold.gdb().virtual_memory(run.virt.get(), length)?.unwrap_or_default();
            let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
            let places = (run.virt.get()..).step_by(4).zip(words);
            found.extend(places.filter(|(_, word)| ENDINGS.contains(word)).map(|(at, _)| at));
        }
        Ok(found)
    }

    /// The end that the instruction at `pc` is about to be: `None` if it is none, inside how if it says so.
    fn ending(&mut self, pc: u64) -> Outcome<Option<Option<Ending>>> {
        if !self.endings.contains(&pc) {
            return Ok(None);
        }
        let gdb = self.hold.gdb();
        let [x0, x1] = gdb.some_registers(["x0", "x1"])?.map(Option::unwrap_or_default);
        let word = gdb.virtual_memory(pc, 4)?.unwrap_or_default();
        if word != ENDINGS[0].to_le_bytes() {
            return Ok(OFF.contains(&x0).then_some(None));
        }
        if x0 != SEMIHOSTING_EXIT {
            return Ok(None);
        }
        // The reason and the subcode.
        let block = gdb.virtual_memory(x1, 16)?.unwrap_or_default();
        let subcode = block.as_chunks::<8>().0.get(1).map(|bytes| u64::from_le_bytes(*bytes));
        Ok(Some(subcode.and_then(Ending::from_exit_subcode)))
    }

    /// A fault that has just entered a vector: all registers but PC and PSTATE are as it left them.
    fn fault(&mut self, thread: &str, vector: u8) -> Outcome<Snapshot> {
        let mut registers = self.hold.gdb().registers()?;
        for (now, saved) in [("pc", "ELR_EL1"), ("cpsr", "SPSR_EL1")] {
            if let Some(value) = registers.get(saved).copied() {
                registers.insert(now.to_owned(), value);
            }
        }
        let is_told =
            Vector::new(vector).is_some_and(|vector| vector.is_synchronous() || vector.is_system_error());
        let when = if is_told { "at a fault" } else { "at an interrupt that nobody takes" };
        self.moment(when.to_owned(), thread, &[], Some(registers))
    }

    /// The registers of the exception that a reporter has told of: its frame lies on the stack, and is known by the
    /// four system registers in it.
    fn interrupted(&mut self) -> Outcome<Option<BTreeMap<String, u64>>> {
        let gdb = self.hold.gdb();
        let mut registers = gdb.registers()?;
        let names = ["ELR_EL1", "SPSR_EL1", "ESR_EL1", "FAR_EL1"];
        let known: Vec<u8> = names
            .iter()
            .filter_map(|name| registers.get(*name))
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let sp = registers.get("sp").copied().unwrap_or_default();
        let mut stack = Vec::new();
        while (stack.len() as u64) < STACK_MAX {
            let at = sp + stack.len() as u64;
            let Some(part) = gdb.virtual_memory(at, 0x1000 - at % 0x1000)? else { break };
            stack.extend(part);
        }
        let elr = offset_of!(ExceptionFrame, elr);
        let found = (elr..stack.len()).step_by(8).find(|at| stack[*at..].starts_with(&known));
        let Some(frame) = found.filter(|_| known.len() == 32).map(|at| &stack[at - elr..]) else {
            return Ok(None);
        };
        let word =
            |offset: usize| frame.as_chunks::<8>().0.get(offset / 8).map(|bytes| u64::from_le_bytes(*bytes));
        let general = (0..31).map(|number| (format!("x{number}"), 8 * number));
        let others =
            [("sp", offset_of!(ExceptionFrame, sp)), ("pc", elr), ("cpsr", offset_of!(ExceptionFrame, spsr))];
        for (name, offset) in general.chain(others.map(|(name, offset)| (name.to_owned(), offset))) {
            registers.extend(word(offset).map(|value| (name, value)));
        }
        Ok(Some(registers))
    }

    /// Reads the machine as it is; `registers` are those of a fault instead of the reporter's.
    fn moment(
        &mut self,
        when: String,
        thread: &str,
        watched: &[Watched],
        registers: Option<BTreeMap<String, u64>>,
    ) -> Outcome<Snapshot> {
        let now = match &registers {
            Some(registers) => registers.clone(),
            None => self.hold.gdb().registers()?,
        };
        let cpus = cpus::read(self.hold.gdb(), &self.programs, watched, thread, &now)?;
        let fault = registers.as_ref().and_then(|registers| {
            let syndrome = Syndrome::new(registers.get("ESR_EL1").copied()?);
            let address = registers.get("FAR_EL1").copied().filter(|_| syndrome.far_is_valid());
            let words = syndrome.to_string();
            Some(Fault { syndrome: syndrome.get(), words, address, ..Fault::default() })
        });
        let boot_info = self.entry.register("x0").unwrap_or_default();
        let moment = Moment { when, boot_info, fault, cpus, changes: Vec::new() };
        let mut snapshot = self.hold.snapshot_of(self.entry.title.clone(), Some(moment))?;
        snapshot.registers.extend(registers.into_iter().flatten());
        let changes = changes(&self.entry, &snapshot);
        let pc = snapshot.register("pc").unwrap_or_default();
        let word = self.hold.gdb().virtual_memory(pc, 4)?;
        let word = word.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
        let explained = |fault: Fault| {
            let syndrome = Syndrome::new(fault.syndrome);
            let Explanation { what, help } =
                address::explain(syndrome, word, fault.address, &self.entry, &snapshot);
            Fault { what, help, ..fault }
        };
        let fault = snapshot.moment.as_ref().and_then(|moment| moment.fault.clone()).map(explained);
        if let Some(moment) = &mut snapshot.moment {
            (moment.changes, moment.fault) = (changes, fault);
        }
        Ok(snapshot)
    }
}
