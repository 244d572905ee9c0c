//! A client of QEMU's gdbstub: as much of GDB's remote serial protocol as stopping and reading a machine takes.
//!
//! Packets are `$data#checksum`. Acknowledgements are turned off first, since the socket loses nothing. QEMU's own
//! `Qqemu.PhyMemMode` makes memory packets mean physical addresses.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::packet::{attributes, bytes_of, receive};
use super::snapshot::other_name;
use crate::failure::{Failure, Outcome};

/// Bytes of memory asked for at once: QEMU's packets hold 4 KiB of text.
const CHUNK: u64 = 0x700;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a wait looks whether somebody still waits.
const SLICE: Duration = Duration::from_millis(50);

/// A connection to a machine that is stopped whenever no call of ours runs it.
pub struct Gdb {
    stream: BufReader<UnixStream>,
    /// Whether memory packets mean physical addresses.
    physical: bool,
    /// Name and number of every register of at most 64 bits, once they were asked for.
    known: Vec<(String, u32)>,
    /// Set once nobody wants to wait for the machine any longer.
    is_cut: Arc<AtomicBool>,
}

/// A CPU as the debugger port shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its name in the protocol's words.
    pub id: String,
    /// Whether it executes nothing: asleep until an interrupt, or off.
    pub is_halted: bool,
}

/// Why the machine is no longer running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It stopped for us; the CPU that did, in the protocol's words.
    At(String),
    /// It ended with this status.
    Ended(i32),
    /// It did not stop in time, and runs on.
    TimedOut,
    /// Nobody wanted to wait any longer; it runs on.
    Cut,
}

impl Gdb {
    /// Connects to the socket at `path`, waiting for it to appear.
    pub fn connect(path: &Path, patience: Duration) -> Outcome<Self> {
        let deadline = Instant::now() + patience;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(Failure::new(
                        format!("cannot reach QEMU's debugger port: {error}"),
                        "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| {
            Failure::new(
                format!("cannot wait for QEMU's debugger port: {error}"),
                "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
            )
        })?;
        let mut gdb = Self {
            stream: BufReader::new(stream),
            physical: false,
            known: Vec::new(),
            is_cut: Arc::default(),
        };
        gdb.ask("qSupported:multiprocess+;xmlRegisters=aarch64")?;
        gdb.send("QStartNoAckMode")?;
        gdb.receive()?;
        gdb.stream.get_mut().write_all(b"+").map_err(lost)?;
        Ok(gdb)
    }

    /// Runs the machine until the instruction at the virtual address `at` is about to be executed.
    pub fn run_to(&mut self, at: u64, timeout: Duration) -> Outcome<Stop> {
        self.set_breakpoint(at)?;
        let stop = self.resume(timeout)?;
        if matches!(stop, Stop::At(_)) {
            self.clear_breakpoint(at)?;
        }
        Ok(stop)
    }

    /// Has the machine stop in front of the instruction at a virtual address.
    pub fn set_breakpoint(&mut self, at: u64) -> Outcome<()> {
        self.expect_ok(&format!("Z1,{at:x},4"))
    }

    /// Takes a breakpoint back.
    pub fn clear_breakpoint(&mut self, at: u64) -> Outcome<()> {
        self.expect_ok(&format!("z1,{at:x},4"))
    }

    /// Has every wait end with [`Stop::Cut`] once `is_cut` is set.
    pub fn cut_by(&mut self, is_cut: Arc<AtomicBool>) {
        self.is_cut = is_cut;
    }

    /// Lets the machine run until it stops.
    pub fn resume(&mut self, timeout: Duration) -> Outcome<Stop> {
        self.send("vCont;c")?;
        self.wait(timeout)
    }

    /// Waits for a machine that runs to stop.
    pub fn wait(&mut self, timeout: Duration) -> Outcome<Stop> {
        let deadline = Instant::now().checked_add(timeout);
        let answer = loop {
            let left = deadline.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()));
            // A time-out of zero would mean none.
            let slice = left.clamp(Duration::from_millis(1), SLICE);
            self.stream.get_ref().set_read_timeout(Some(slice)).map_err(lost)?;
            match self.try_receive() {
                Err(error) if is_time_out(&error) => {
                    if self.is_cut.load(Ordering::Relaxed) {
                        return Ok(Stop::Cut);
                    }
                    if left <= SLICE && deadline.is_some() {
                        return Ok(Stop::TimedOut);
                    }
                }
                answer => break answer,
            }
        };
        self.stream.get_ref().set_read_timeout(Some(PATIENCE)).map_err(lost)?;
        match answer {
            Ok(answer) => self.stopped(&answer),
            // QEMU that ends closes the port, sometimes before it says so.
            Err(_) => Ok(Stop::Ended(0)),
        }
    }

    /// Stops a machine that runs.
    pub fn interrupt(&mut self) -> Outcome<Stop> {
        // GDB's Ctrl-C is this byte outside of any packet.
        self.stream.get_mut().write_all(&[0x03]).map_err(lost)?;
        // Whoever does not want to wait for the machine wants to see it.
        self.is_cut = Arc::default();
        self.wait(PATIENCE)
    }

    /// Every CPU.
    pub fn threads(&mut self) -> Outcome<Vec<Thread>> {
        let mut threads = Vec::new();
        let mut answer = self.ask("qfThreadInfo")?;
        while let Some(ids) = answer.strip_prefix('m') {
            for id in ids.split(',') {
                // `CPU#1 [halted ]`, or with the name of the model in front.
                let words = self.ask(&format!("qThreadExtraInfo,{id}"))?;
                let words = bytes_of(&words).unwrap_or_default();
                let is_halted = String::from_utf8_lossy(&words).contains("[halted");
                threads.push(Thread { id: id.to_owned(), is_halted });
            }
            answer = self.ask("qsThreadInfo")?;
        }
        Ok(threads)
    }

    /// Makes registers and virtual memory mean those of one CPU.
    pub fn select(&mut self, thread: &str) -> Outcome<()> {
        self.expect_ok(&format!("Hg{thread}"))
    }

    /// Executes one instruction on one CPU.
    pub fn step(&mut self, thread: &str) -> Outcome<Stop> {
        self.send(&format!("vCont;s:{thread}"))?;
        self.wait(PATIENCE)
    }

    /// Executes the instruction at a breakpoint on one CPU.
    pub fn step_over(&mut self, at: u64, thread: &str) -> Outcome<Stop> {
        self.clear_breakpoint(at)?;
        let stop = self.step(thread)?;
        if matches!(stop, Stop::At(_)) {
            self.set_breakpoint(at)?;
        }
        Ok(stop)
    }

    /// Lets the machine run and does not come back.
    pub fn detach(mut self) -> Outcome<()> {
        self.expect_ok("D;1")
    }

    /// Has the CPU that stopped go on elsewhere.
    pub fn set_program_counter(&mut self, to: u64) -> Outcome<()> {
        // The number that GDB's description of AArch64 gives it (org.gnu.gdb.aarch64.core).
        const PC: u32 = 32;
        // QEMU takes registers by number only from one who has read what they are.
        self.description("target.xml")?;
        let digits: String = to.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.expect_ok(&format!("P{PC:x}={digits}"))
    }

    fn stopped(&mut self, answer: &str) -> Outcome<Stop> {
        match answer.split_at_checked(1) {
            Some(("T", rest)) => {
                let thread = rest.split([';', ':']).skip_while(|word| !word.ends_with("thread")).nth(1);
                let thread = thread.unwrap_or("p01.01").to_owned();
                self.select(&thread)?;
                Ok(Stop::At(thread))
            }
            Some(("W" | "X", rest)) => {
                let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
                Ok(Stop::Ended(i32::from_str_radix(&digits, 16).unwrap_or_default()))
            }
            _ => Err(Failure::new(
                format!("QEMU's debugger port says {answer:?} instead of a stop"),
                "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
            )),
        }
    }

    /// Every register of at most 64 bits of the selected CPU, by QEMU's name for it.
    pub fn registers(&mut self) -> Outcome<BTreeMap<String, u64>> {
        self.learn_registers()?;
        let mut values = BTreeMap::new();
        for (name, number) in self.known.clone() {
            // A register that cannot be read now is left out.
            values.extend(self.read_register(number)?.map(|value| (name, value)));
        }
        Ok(values)
    }

    /// Some registers of the selected CPU; `None` for one that it does not have.
    pub fn some_registers<const N: usize>(&mut self, names: [&str; N]) -> Outcome<[Option<u64>; N]> {
        self.learn_registers()?;
        let mut values = [None; N];
        for (value, name) in values.iter_mut().zip(names) {
            let number = |name: &str| self.known.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
            if let Some(number) = number(name).or_else(|| number(other_name(name)?)) {
                *value = self.read_register(number)?;
            }
        }
        Ok(values)
    }

    fn read_register(&mut self, number: u32) -> Outcome<Option<u64>> {
        let answer = self.ask(&format!("p{number:x}"))?;
        Ok(bytes_of(&answer).filter(|bytes| matches!(bytes.len(), 4 | 8)).map(|bytes| {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(&bytes);
            u64::from_le_bytes(value)
        }))
    }

    fn learn_registers(&mut self) -> Outcome<()> {
        if !self.known.is_empty() {
            return Ok(());
        }
        let mut next = 0;
        let target = self.description("target.xml")?;
        for part in attributes(&target, "xi:include", &["href"]) {
            let [file] = &part[..] else { continue };
            let text = self.description(file)?;
            for register in attributes(&text, "reg", &["name", "bitsize", "regnum"]) {
                let [name, bits, number] = &register[..] else { continue };
                let number = number.parse().unwrap_or(next);
                next = number + 1;
                if bits.parse().is_ok_and(|bits: u32| bits <= 64) {
                    self.known.push((name.clone(), number));
                }
            }
        }
        Ok(())
    }

    fn description(&mut self, file: &str) -> Outcome<String> {
        let mut text = String::new();
        loop {
            let answer = self.ask(&format!("qXfer:features:read:{file}:{:x},{CHUNK:x}", text.len()))?;
            match answer.split_at_checked(1) {
                Some(("m", part)) => text.push_str(part),
                Some(("l", part)) => return Ok(text + part),
                _ => {
                    return Err(Failure::new(
                        format!("QEMU's debugger port does not describe {file}"),
                        "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
                    ));
                }
            }
        }
    }

    /// Memory at a physical address; `None` where there is none.
    pub fn physical_memory(&mut self, start: u64, length: u64) -> Outcome<Option<Vec<u8>>> {
        self.memory(true, start, length)
    }

    /// Memory as the selected CPU sees it; `None` where it sees none.
    pub fn virtual_memory(&mut self, start: u64, length: u64) -> Outcome<Option<Vec<u8>>> {
        self.memory(false, start, length)
    }

    fn memory(&mut self, physical: bool, start: u64, length: u64) -> Outcome<Option<Vec<u8>>> {
        if self.physical != physical {
            self.expect_ok(&format!("Qqemu.PhyMemMode:{}", u8::from(physical)))?;
            self.physical = physical;
        }
        let mut bytes = Vec::with_capacity(length as usize);
        while (bytes.len() as u64) < length {
            let at = start.wrapping_add(bytes.len() as u64);
            let count = (length - bytes.len() as u64).min(CHUNK);
            let answer = self.ask(&format!("m{at:x},{count:x}"))?;
            match bytes_of(&answer).filter(|part| part.len() as u64 == count) {
                Some(part) => bytes.extend(part),
                None => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }

    fn expect_ok(&mut self, packet: &str) -> Outcome<()> {
        match self.ask(packet)?.as_str() {
            "OK" => Ok(()),
            answer => Err(Failure::new(
                format!("QEMU's debugger port answers {packet} with {answer:?}"),
                "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
            )),
        }
    }

    fn ask(&mut self, packet: &str) -> Outcome<String> {
        self.send(packet)?;
        self.receive()
    }

    fn send(&mut self, packet: &str) -> Outcome<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.get_mut().write_all(format!("${packet}#{sum:02x}").as_bytes()).map_err(lost)
    }

    fn receive(&mut self) -> Outcome<String> {
        self.try_receive().map_err(lost)
    }

    fn try_receive(&mut self) -> std::io::Result<String> {
        receive(&mut self.stream)
    }
}

fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("lost QEMU's debugger port: {error}"),
        "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
    )
}

fn is_time_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
