//! Every CPU of a stopped machine: its registers, its stack, and what it is doing.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_abi::addr::PAGE;
use shared_abi::contract::registers::DAIF;
use shared_abi::syndrome::{Cause, Syndrome};

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

/// How many exceptions of a CPU are followed, and for how long one is waited for.
const FOLLOWED: usize = 6;
const WAIT: Duration = Duration::from_millis(30);

/// What a CPU showed while it was watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// At each look.
    pub looks: Vec<Look>,
    /// The exceptions that it took one after the other.
    pub taken: Vec<Taken>,
    /// Whether its MMU is off.
    pub is_mmu_off: bool,
}

/// An exception that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Through which of the sixteen vectors.
    pub vector: u8,
    /// ELR_EL1.
    pub exception_link: u64,
    /// ESR_EL1, which an interrupt leaves as it was.
    pub syndrome: u64,
}

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

/// Watches every CPU of a stopped machine for a while; it is stopped afterwards.
pub fn watch(gdb: &mut Gdb) -> Outcome<Vec<Watched>> {
    let threads = gdb.threads()?;
    let mut all: Vec<Watched> =
        looks(gdb, &threads)?.into_iter().map(|looks| Watched { looks, ..Watched::default() }).collect();
    for (watched, thread) in all.iter_mut().zip(&threads) {
        gdb.select(&thread.id)?;
        let [sctlr] = gdb.some_registers(["SCTLR_EL1"])?;
        watched.is_mmu_off = sctlr.is_some_and(|sctlr| sctlr & 1 == 0);
        if let (false, Some(look)) = (thread.is_halted, watched.looks.last()) {
            watched.taken = exceptions(gdb, thread, look.vectors)?;
        }
    }
    Ok(all)
}

/// Follows a CPU from one exception to the next.
fn exceptions(gdb: &mut Gdb, thread: &Thread, vectors: u64) -> Outcome<Vec<Taken>> {
    let entries: Vec<u64> = (0..16).map(|index| vectors.wrapping_add(index * 0x80)).collect();
    for at in &entries {
        gdb.set_breakpoint(*at)?;
    }
    let mut taken = Vec::new();
    // Another CPU may have the same vectors.
    for _ in 0..2 * FOLLOWED {
        let stopped = match gdb.resume(WAIT)? {
            Stop::At(stopped) => stopped,
            Stop::TimedOut | Stop::Cut => {
                gdb.interrupt()?;
                break;
            }
            Stop::Ended(_) => return Ok(Vec::new()),
        };
        let [pc, exception_link, syndrome] =
            gdb.some_registers(["pc", "ELR_EL1", "ESR_EL1"])?.map(Option::unwrap_or_default);
        if same_thread(&stopped, &thread.id) {
            let vector = (pc.wrapping_sub(vectors) / 0x80) as u8;
            taken.push(Taken { vector, exception_link, syndrome });
        }
        if taken.len() == FOLLOWED {
            break;
        }
        if !matches!(gdb.step_over(pc, &stopped)?, Stop::At(_)) {
            return Ok(Vec::new());
        }
    }
    for at in &entries {
        gdb.clear_breakpoint(*at)?;
    }
    Ok(taken)
}

/// Looks at every CPU a few times, letting the machine run in between.
fn looks(gdb: &mut Gdb, threads: &[Thread]) -> Outcome<Vec<Vec<Look>>> {
    let mut all = vec![Vec::new(); threads.len()];
    for round in 0..LOOKS {
        if round > 0 && gdb.resume(PAUSE)? == Stop::TimedOut && !matches!(gdb.interrupt()?, Stop::At(_)) {
            break;
        }
        for (looks, thread) in all.iter_mut().zip(threads) {
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
    watched: &[Watched],
    first: &str,
    registers: &BTreeMap<String, u64>,
) -> Outcome<Vec<Cpu>> {
    let mut cpus = Vec::new();
    for (number, thread) in gdb.threads()?.into_iter().enumerate() {
        gdb.select(&thread.id)?;
        let is_first = same_thread(&thread.id, first);
        let cpu = cpu(gdb, programs, &thread, watched.get(number), is_first.then_some(registers))?;
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
    watched: Option<&Watched>,
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
    let state = match (thread.is_halted, watched) {
        (true, _) if is_off => "off: it was not started, or has ended".to_owned(),
        (true, _) => asleep(value("cpsr")),
        (false, None) => if replaced.is_some() { "stopped here" } else { "running" }.to_owned(),
        (false, Some(watched)) => awake(gdb, watched, programs, program, &registers)?,
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
    Watched { looks, taken, is_mmu_off }: &Watched,
    programs: &[Program],
    program: Option<&Program>,
    registers: &BTreeMap<String, u64>,
) -> Outcome<String> {
    let name = |at| match stack::places(programs, at).last().and_then(|place| place.function.clone()) {
        Some(name) => format!("{at:#018x} ({name})"),
        None => format!("{at:#018x}"),
    };
    if let Some(words) = faulting(looks, &name) {
        return Ok(if *is_mmu_off { words + ", and its MMU is off" } else { words });
    }
    let link = taken.last().map_or(0, |taken| taken.exception_link);
    let before = gdb.virtual_memory(link.wrapping_sub(4), 4)?.unwrap_or_default();
    let is_idle = [WFI, WFE].iter().any(|word| before == word.to_le_bytes());
    if let Some(words) = taking(taken, &name).filter(|_| !is_idle) {
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
    let (start, bytes) = around(gdb, first.saturating_sub(TIGHT), last.saturating_add(TIGHT), first)?;
    let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let [from, to] = [first, last].map(|at| (at.saturating_sub(start) / 4) as usize);
    let words = loop_around(&words, from, to);
    let variable = |at| programs.iter().find_map(|program| program.variable(at));
    Ok(spinning(&name, words, registers, &variable))
}

/// The smallest loop that holds the instructions `from` to `to`: what is between a branch and where it leads back to.
fn loop_around(words: &[u32], from: usize, to: usize) -> &[u32] {
    let end = words.iter().enumerate().skip(to).find_map(|(at, word)| {
        let start = at.checked_add_signed(branch(*word)? as isize)?;
        (start <= from).then_some((start, at))
    });
    end.and_then(|(start, at)| words.get(start..=at)).unwrap_or_default()
}

/// How many instructions further a branch leads: B, B.cond, CBZ and CBNZ, TBZ and TBNZ (Arm ARM C4.1.90).
fn branch(word: u32) -> Option<i32> {
    let signed = |shift: u32, width: u32| ((word >> shift) << (32 - width)) as i32 >> (32 - width);
    match word {
        _ if word & 0xFC00_0000 == 0x1400_0000 => Some(signed(0, 26)),
        _ if word & 0xFF00_0000 == 0x5400_0000 || word & 0x7E00_0000 == 0x3400_0000 => Some(signed(5, 19)),
        _ if word & 0x7E00_0000 == 0x3600_0000 => Some(signed(5, 14)),
        _ => None,
    }
}

/// Exceptions without end: the CPU is in its vectors at every look, and came there from one place. `name` names it.
fn faulting(looks: &[Look], name: &dyn Fn(u64) -> String) -> Option<String> {
    let first = looks.first().filter(|_| looks.len() > 1)?;
    // Every fourth is for synchronous exceptions.
    let in_vectors = |look: &Look| {
        let offset = look.pc.wrapping_sub(look.vectors);
        offset < 0x800 && (offset / 0x80).is_multiple_of(4)
    };
    let same = |look: &Look| look.exception_link == first.exception_link && look.syndrome == first.syndrome;
    if !looks.iter().all(|look| in_vectors(look) && same(look)) {
        return None;
    }
    let (at, syndrome) = (first.exception_link, Syndrome::new(first.syndrome));
    let mut words = format!("faulting in a loop: {syndrome}, at {}", name(at));
    if at.wrapping_sub(first.vectors) < 0x800 {
        words.push_str(match syndrome.cause() {
            Cause::InstructionAbort(_) | Cause::Unknown => {
                ", in the vectors themselves: VBAR_EL1 leads to no code"
            }
            _ => ", in the vectors themselves: the handler faults as well",
        });
    }
    Some(words)
}

/// One exception after the other from the same place, so that nothing gets done in between.
fn taking(taken: &[Taken], name: &dyn Fn(u64) -> String) -> Option<String> {
    let first = taken.first().filter(|_| taken.len() == FOLLOWED)?;
    if taken.iter().any(|other| other != first) {
        return None;
    }
    let at = name(first.exception_link);
    let kind = ["synchronous", "IRQ", "FIQ", "SError"][usize::from(first.vector % 4)];
    match Syndrome::new(first.syndrome) {
        syndrome if kind == "synchronous" => Some(format!("faulting in a loop: {syndrome}, at {at}")),
        _ => Some(format!(
            "in an interrupt storm: {kind} after {kind} at {at}, since nobody quiets what interrupts"
        )),
    }
}

/// A tight loop in words: what it waits for, if its instructions say so.
fn spinning(
    name: &str,
    words: &[u32],
    registers: &BTreeMap<String, u64>,
    variable: &dyn Fn(u64) -> Option<String>,
) -> String {
    let itself = words.contains(&0x1400_0000);
    let base = |word: &u32| registers.get(&format!("x{}", word >> 5 & 31)).copied();
    // LDAR and LDAXR of any size, LDXR, LDAPR (Arm ARM C4.1.94): a lock or a flag that another CPU is to change.
    let waits = words
        .iter()
        .find(|word| matches!(*word & 0x3FFF_FC00, 0x08DF_FC00 | 0x085F_FC00 | 0x085F_7C00 | 0x38BF_C000));
    // LDR, LDRH or LDRB with an offset, if it is the only one: a flag again, or a device's register.
    let mut plain = words.iter().filter(|word| *word & 0x3FC0_0000 == 0x3940_0000);
    let plain = plain.next().filter(|_| plain.next().is_none());
    let offset = |word: &u32| u64::from(word >> 10 & 0xFFF) << (word >> 30);
    let address =
        waits.and_then(base).or_else(|| plain.and_then(|word| Some(base(word)?.wrapping_add(offset(word)))));
    if let Some(address) = address {
        let variable = variable(address).map_or_else(String::new, |name| format!(" ({name})"));
        return format!("spinning in {name}: it waits for memory at {address:#018x}{variable} to change");
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
        let name = |at| format!("{at:#x}");
        let faulting = |looks: &[Look]| super::faulting(looks, &name);
        let words = faulting(&[look; 3]).unwrap();
        assert!(
            words.contains("instruction abort") && words.contains("VBAR_EL1 leads to no code"),
            "{words}"
        );
        let data_abort = Look { syndrome: 0x9600_0004, ..look };
        assert!(faulting(&[data_abort; 3]).unwrap().ends_with("the handler faults as well"));
        let elsewhere = Look { exception_link: 0x9000, ..look };
        assert!(!faulting(&[elsewhere; 3]).unwrap().contains("VBAR"));
        assert_eq!(faulting(&[look]), None);
        assert_eq!(faulting(&[look, elsewhere]), None);
        assert_eq!(faulting(&[look, Look { pc: 0x2000, ..look }]), None);
    }

    #[test]
    fn exceptions_of_one_place_are_a_loop_and_of_several_work() {
        let name = |at| format!("{at:#x}");
        let taking = |taken: &[Taken]| super::taking(taken, &name);
        let fault = Taken { vector: 4, exception_link: 0x9000, syndrome: 0x9600_0004 };
        assert!(taking(&[fault; FOLLOWED]).unwrap().starts_with("faulting in a loop: data abort on a read"));
        let interrupt = Taken { vector: 5, ..fault };
        assert!(taking(&[interrupt; FOLLOWED]).unwrap().contains("IRQ after IRQ at 0x9000"));
        assert_eq!(taking(&[interrupt; FOLLOWED - 1]), None);
        let mut moving = [interrupt; FOLLOWED];
        moving[3].exception_link += 4;
        assert_eq!(taking(&moving), None);
    }

    #[test]
    fn a_loop_ends_with_the_branch_that_leads_back_to_its_start() {
        // ldr; 1: isb; ldrb; cbz 1b; b 2f; ldr; 2:
        let words = [0xF940_0000, 0xD503_3FDF, 0x3940_2060, 0x34FF_FFC0, 0x1400_0002, 0xF940_0000];
        assert_eq!(loop_around(&words, 2, 3), &words[1..4]);
        assert_eq!(loop_around(&words, 0, 3), [0; 0]);
        assert_eq!(loop_around(&words, 4, 9), [0; 0]);
        // b.ne .-8, tbnz w0, #3, .-4, b .
        assert_eq!([0x54FF_FFC1, 0x371F_FFE0, 0x1400_0000].map(branch), [Some(-2), Some(-1), Some(0)]);
        assert_eq!(branch(0xD65F_03C0), None);
    }

    #[test]
    fn what_a_loop_waits_for_is_told() {
        let registers = [("x3".to_owned(), 0xFFFF_0000_0000_8000)].into();
        let variable = |at| (at == 0xFFFF_0000_0000_8008).then(|| "READY".to_owned());
        let spinning = |name: &str, words: &[u32], registers| spinning(name, words, registers, &variable);
        // ldrb w0, [x3, #8]; cbz
        let words = spinning("wait", &[0x3940_2060, 0x34FF_FFE0], &registers);
        assert_eq!(words, "spinning in wait: it waits for memory at 0xffff000000008008 (READY) to change");
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
