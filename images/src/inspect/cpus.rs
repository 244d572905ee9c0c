//! Every CPU of a stopped machine: its registers, its stack, and what it is doing.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_abi::addr::PAGE;
use shared_abi::contract::registers::DAIF;
use shared_abi::syndrome::Syndrome;

use super::gdb::{Gdb, Stop, Thread};
use super::listing;
use super::moment::Cpu;
use super::program::Program;
use super::stack::{self, Start};
use crate::failure::Outcome;

/// How often a machine is looked at to see whether it gets anywhere, and how long it runs in between.
const LOOKS: usize = 8;
const PAUSE: Duration = Duration::from_millis(15);

/// `wfi` and `wfe` (Arm ARM C6.2.416, C6.2.414).
const WFI: u32 = 0xD503_207F;
const WFE: u32 = 0xD503_205F;

/// Most bytes of code that a tight loop has.
const TIGHT: u64 = 128;

/// What a CPU showed at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The program counter.
    pub pc: u64,
    /// VBAR_EL1.
    pub vectors: u64,
    /// ELR_EL1.
    pub exception_link: u64,
    /// ESR_EL1.
    pub syndrome: u64,
}

/// Looks at every CPU of a stopped machine a few times, letting it run in between; it is stopped afterwards.
pub fn looks(gdb: &mut Gdb) -> Outcome<Vec<Vec<Look>>> {
    let threads = gdb.threads()?;
    let mut all = vec![Vec::new(); threads.len()];
    for round in 0..LOOKS {
        if round > 0 && gdb.resume(PAUSE)? == Stop::TimedOut && !matches!(gdb.interrupt()?, Stop::At(_)) {
            break;
        }
        for (looks, thread) in all.iter_mut().zip(&threads) {
            gdb.select(&thread.id)?;
            let [pc, vectors, exception_link, syndrome] =
                gdb.some_registers(["pc", "VBAR_EL1", "ELR_EL1", "ESR_EL1"])?;
            looks.extend(pc.map(|pc| Look {
                pc,
                vectors: vectors.unwrap_or_default(),
                exception_link: exception_link.unwrap_or_default(),
                syndrome: syndrome.unwrap_or_default(),
            }));
        }
    }
    Ok(all)
}

/// Reads every CPU; `first` is the one that comes first, with other registers if there are some for it.
pub fn read(
    gdb: &mut Gdb,
    programs: &[Program],
    looks: &[Vec<Look>],
    first: &str,
    registers: &BTreeMap<String, u64>,
) -> Outcome<Vec<Cpu>> {
    let mut cpus = Vec::new();
    for (number, thread) in gdb.threads()?.into_iter().enumerate() {
        gdb.select(&thread.id)?;
        let is_first = same_thread(&thread.id, first);
        let looks = looks.get(number).map(Vec::as_slice).unwrap_or_default();
        let cpu = cpu(gdb, programs, &thread, looks, is_first.then_some(registers))?;
        cpus.push((!is_first, Cpu { number, ..cpu }));
    }
    cpus.sort_by_key(|(is_other, cpu)| (*is_other, cpu.number));
    gdb.select(first)?;
    Ok(cpus.into_iter().map(|(_, cpu)| cpu).collect())
}

/// `p01.02` and `p1.2` are one.
fn same_thread(one: &str, other: &str) -> bool {
    let number =
        |id: &str| id.rsplit(['.', 'p']).next().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    number(one) == number(other)
}

fn cpu(
    gdb: &mut Gdb,
    programs: &[Program],
    thread: &Thread,
    looks: &[Look],
    replaced: Option<&BTreeMap<String, u64>>,
) -> Outcome<Cpu> {
    let mut registers = gdb.registers()?;
    registers.retain(|name, _| is_general(name));
    for (name, value) in replaced.into_iter().flatten().filter(|(name, _)| is_general(name)) {
        registers.insert(name.clone(), *value);
    }
    let value = |name: &str| registers.get(name).copied().unwrap_or_default();
    let pc = value("pc");
    let program = programs.iter().find(|program| program.has(pc));
    let (start, end) = listing::range(program, pc);
    let (start, bytes) = around(gdb, start, end, pc)?;
    let code = listing::lines(program, start, &bytes, pc);
    let before = gdb.virtual_memory(pc.wrapping_sub(4), 4)?;
    let before = before.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)));
    let is_off = thread.is_halted && before != Some(WFI);
    let frames = if is_off {
        Vec::new()
    } else {
        let mut record = |at| {
            let bytes = gdb.virtual_memory(at, 16)?;
            Ok(bytes.map(|bytes| {
                let words = bytes.as_chunks::<8>().0;
                [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])]
            }))
        };
        let start = Start { pc, frame_pointer: value("x29"), link: value("x30") };
        stack::walk(programs, start, &mut record)?
    };
    let state = match (thread.is_halted, looks) {
        (true, _) if is_off => "off: it was not started, or has ended".to_owned(),
        (true, _) => asleep(value("cpsr")),
        (false, []) => if replaced.is_some() { "stopped here" } else { "running" }.to_owned(),
        (false, looks) => awake(gdb, looks, program, &registers)?,
    };
    let code = if is_off { Vec::new() } else { code };
    Ok(Cpu { number: 0, state, registers, frames, code })
}

/// The memory from `start` to `end`, or what of it is on the page of `at` if there is not all of it.
fn around(gdb: &mut Gdb, start: u64, end: u64, at: u64) -> Outcome<(u64, Vec<u8>)> {
    if let Some(bytes) = gdb.virtual_memory(start, end - start)? {
        return Ok((start, bytes));
    }
    let page = at - at % PAGE;
    let (start, end) = (start.max(page), end.min(page.saturating_add(PAGE)));
    Ok((start, gdb.virtual_memory(start, end - start)?.unwrap_or_default()))
}

/// Whether a register is one that a person reads first: x0 to x30, SP, PC, PSTATE.
fn is_general(name: &str) -> bool {
    matches!(name, "sp" | "pc" | "cpsr")
        || name.strip_prefix('x').is_some_and(|number| number.parse().is_ok_and(|number: u32| number <= 30))
}

fn asleep(pstate: u64) -> String {
    // PSTATE.I is bit 7.
    match pstate & DAIF & 1 << 7 {
        0 => "asleep in WFI, until an interrupt".to_owned(),
        _ => "asleep in WFI with interrupts masked: one wakes it, but none is taken".to_owned(),
    }
}

/// What a CPU that executes does, by what it showed at several looks.
fn awake(
    gdb: &mut Gdb,
    looks: &[Look],
    program: Option<&Program>,
    registers: &BTreeMap<String, u64>,
) -> Outcome<String> {
    if let Some(words) = faulting(looks) {
        return Ok(words);
    }
    let (first, last) = looks
        .iter()
        .fold((u64::MAX, 0), |(first, last): (u64, u64), look| (first.min(look.pc), last.max(look.pc)));
    let start = |pc| program.and_then(|program| program.function_start(pc));
    let function = program.map(|program| program.places(first)).unwrap_or_default();
    let name = function.last().and_then(|place| place.function.clone());
    let name = name.map_or_else(
        || "code without a name".into(),
        |name| name.split('+').next().unwrap_or_default().to_owned(),
    );
    if last - first > TIGHT {
        return Ok(match (start(first), start(last)) {
            (Some(one), Some(other)) if one == other => format!("busy in {name}"),
            _ => "running, in more than one function".to_owned(),
        });
    }
    // The loop's code, with what may lie on either side of where it was seen.
    let (_, bytes) = around(gdb, first.saturating_sub(16), last.saturating_add(20), first)?;
    let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    Ok(spinning(&name, &words, registers))
}

/// Exceptions without end: the CPU is in its vectors at every look, or at the address that they return to.
fn faulting(looks: &[Look]) -> Option<String> {
    let first = looks.first().filter(|_| looks.len() > 1)?;
    let in_vectors = |look: &Look| look.pc.wrapping_sub(look.vectors) < 0x800;
    let same = |look: &Look| look.exception_link == first.exception_link && look.syndrome == first.syndrome;
    if !looks.iter().all(|look| in_vectors(look) && same(look)) {
        return None;
    }
    let (at, syndrome) = (first.exception_link, Syndrome::new(first.syndrome));
    let mut words = format!("faulting in a loop: {syndrome}, at {at:#018x}");
    if at.wrapping_sub(first.vectors) < 0x800 {
        words.push_str(", in the vectors themselves: VBAR_EL1 leads to no code");
    }
    Some(words)
}

/// A tight loop in words: what it waits for, if its instructions say so.
fn spinning(name: &str, words: &[u32], registers: &BTreeMap<String, u64>) -> String {
    let itself = words.contains(&0x1400_0000);
    // LDAR and LDAXR of any size, LDXR, LDAPR (Arm ARM C4.1.94): a lock or a flag that another CPU is to change.
    let waits = words
        .iter()
        .find(|word| matches!(*word & 0x3FFF_FC00, 0x08DF_FC00 | 0x085F_FC00 | 0x085F_7C00 | 0x38BF_C000));
    let address = waits.and_then(|word| registers.get(&format!("x{}", word >> 5 & 31)));
    if let Some(address) = address {
        return format!("spinning in {name}: it waits for memory at {address:#018x} to change");
    }
    if words.contains(&WFE) {
        return format!("waiting for an event (WFE) in {name}");
    }
    if itself {
        return format!("spinning in {name}: a branch to itself");
    }
    format!("spinning in {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_exceptions_is_told_from_a_handler_at_work() {
        let look = Look { pc: 0x1200, vectors: 0x1000, exception_link: 0x1200, syndrome: 0x8600_0006 };
        let words = faulting(&[look; 3]).unwrap();
        assert!(
            words.contains("instruction abort") && words.contains("VBAR_EL1 leads to no code"),
            "{words}"
        );
        let elsewhere = Look { exception_link: 0x9000, ..look };
        assert!(!faulting(&[elsewhere; 3]).unwrap().contains("VBAR"));
        assert_eq!(faulting(&[look]), None);
        assert_eq!(faulting(&[look, elsewhere]), None);
        assert_eq!(faulting(&[look, Look { pc: 0x2000, ..look }]), None);
    }

    #[test]
    fn what_a_loop_waits_for_is_told() {
        let registers = [("x3".to_owned(), 0xFFFF_0000_0000_8000)].into();
        // ldaxr w0, [x3]; cbnz; and the same by ldarb.
        for load in [0x885F_FC60, 0x08DF_FC60] {
            let words = spinning("lock", &[load, 0x3500_0000], &registers);
            assert_eq!(words, "spinning in lock: it waits for memory at 0xffff000000008000 to change");
        }
        assert_eq!(spinning("idle", &[WFE, 0x17FF_FFFF], &registers), "waiting for an event (WFE) in idle");
        assert_eq!(spinning("halt", &[0x1400_0000], &registers), "spinning in halt: a branch to itself");
        assert_eq!(spinning("delay", &[0xF100_0400], &registers), "spinning in delay");
    }

    #[test]
    fn threads_and_registers_have_more_than_one_spelling() {
        assert!(same_thread("p01.02", "p1.2") && !same_thread("p01.01", "p01.02"));
        assert!(is_general("x30") && is_general("sp") && !is_general("x31") && !is_general("xyz"));
    }
}
