//! A client of QEMU's gdbstub: as much of GDB's remote serial protocol as stopping and reading a machine takes.
//!
//! Packets are `$data#checksum`. Acknowledgements are turned off first, since the socket loses nothing. QEMU's own
//! `Qqemu.PhyMemMode` makes memory packets mean physical addresses.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// Bytes of memory asked for at once: QEMU's packets hold 4 KiB of text.
const CHUNK: u64 = 0x700;

/// A connection to a machine that is stopped whenever no call of ours runs it.
pub struct Gdb {
    stream: BufReader<UnixStream>,
    physical: bool,
}

/// Why the machine is no longer running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It stopped for us; the CPU that did, in the protocol's words.
    At(String),
    /// It ended with this status.
    Ended(i32),
    /// It did not stop in time.
    TimedOut,
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
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| {
            Failure::new(
                format!("cannot wait for QEMU's debugger port: {error}"),
                "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
            )
        })?;
        let mut gdb = Self { stream: BufReader::new(stream), physical: false };
        gdb.ask("qSupported:multiprocess+;xmlRegisters=aarch64")?;
        gdb.send("QStartNoAckMode")?;
        gdb.receive()?;
        gdb.stream.get_mut().write_all(b"+").map_err(lost)?;
        Ok(gdb)
    }

    /// Runs the machine until the instruction at the virtual address `at` is about to be executed.
    pub fn run_to(&mut self, at: u64, timeout: Duration) -> Outcome<Stop> {
        self.expect_ok(&format!("Z1,{at:x},4"))?;
        let stop = self.resume("vCont;c", timeout)?;
        if matches!(stop, Stop::At(_)) {
            self.expect_ok(&format!("z1,{at:x},4"))?;
        }
        Ok(stop)
    }

    /// Executes one instruction on one CPU.
    pub fn step(&mut self, thread: &str) -> Outcome<Stop> {
        self.resume(&format!("vCont;s:{thread}"), Duration::from_secs(10))
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

    fn resume(&mut self, how: &str, timeout: Duration) -> Outcome<Stop> {
        self.send(how)?;
        self.stream.get_ref().set_read_timeout(Some(timeout)).map_err(lost)?;
        let answer = self.try_receive();
        self.stream.get_ref().set_read_timeout(Some(Duration::from_secs(10))).map_err(lost)?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_time_out(&error) => return Ok(Stop::TimedOut),
            // QEMU that ends closes the port, sometimes before it says so.
            Err(_) => return Ok(Stop::Ended(0)),
        };
        match answer.split_at_checked(1) {
            Some(("T", rest)) => {
                let thread = rest.split([';', ':']).skip_while(|word| !word.ends_with("thread")).nth(1);
                let thread = thread.unwrap_or("p01.01").to_owned();
                self.expect_ok(&format!("Hg{thread}"))?;
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

    /// Every register of at most 64 bits, by QEMU's name for it.
    pub fn registers(&mut self) -> Outcome<BTreeMap<String, u64>> {
        let mut numbers: Vec<(String, u32)> = Vec::new();
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
                    numbers.push((name.clone(), number));
                }
            }
        }
        let mut values = BTreeMap::new();
        for (name, number) in numbers {
            let answer = self.ask(&format!("p{number:x}"))?;
            // A register that cannot be read now is left out.
            if let Some(bytes) = bytes_of(&answer).filter(|bytes| matches!(bytes.len(), 4 | 8)) {
                let mut value = [0; 8];
                value[..bytes.len()].copy_from_slice(&bytes);
                values.insert(name, u64::from_le_bytes(value));
            }
        }
        Ok(values)
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
        if !self.physical {
            self.expect_ok("Qqemu.PhyMemMode:1")?;
            self.physical = true;
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

/// One packet's data, escapes undone.
fn receive(stream: &mut impl Read) -> std::io::Result<String> {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte[0])
    };
    while byte()? != b'$' {}
    let mut data = Vec::new();
    loop {
        match byte()? {
            b'#' => break,
            b'}' => data.push(byte()? ^ 0x20),
            other => data.push(other),
        }
    }
    // The checksum guards a serial line, which this is not.
    byte()?;
    byte()?;
    String::from_utf8(data).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))
}

/// Bytes from pairs of hexadecimal digits; `None` for an error's `E..` or anything else.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() || text.is_empty() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// For each `element` of an XML text the values of the named attributes, empty for one that it lacks. QEMU's
/// descriptions are flat, so no more of XML is needed.
fn attributes(text: &str, element: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let Some(rest) = tag.strip_prefix(element).filter(|rest| rest.starts_with(char::is_whitespace))
        else {
            continue;
        };
        let value = |name: &&str| {
            let start = rest.find(&format!(" {name}=\""))? + name.len() + 3;
            rest[start..].split('"').next().map(str::to_owned)
        };
        found.push(names.iter().map(|name| value(name).unwrap_or_default()).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_with_their_escapes_undone() {
        let mut stream: &[u8] = b"+$a}\x03b#00$OK#9a";
        assert_eq!(receive(&mut stream).unwrap(), "a#b");
        assert_eq!(receive(&mut stream).unwrap(), "OK");
        assert!(receive(&mut stream).is_err());
    }

    #[test]
    fn memory_is_pairs_of_digits_and_errors_are_not() {
        assert_eq!(bytes_of("00ff1a"), Some(vec![0, 0xFF, 0x1A]));
        for text in ["", "E14", "0", "zz", "é"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }

    #[test]
    fn attributes_are_found_in_any_order() {
        let text = r#"<?xml version="1.0"?><feature name="x"><reg name="x0" bitsize="64"/><reg bitsize="32" regnum="7" name="cpsr" /><regs/></feature>"#;
        let found = attributes(text, "reg", &["name", "bitsize", "regnum"]);
        assert_eq!(found, [vec!["x0", "64", ""], vec!["cpsr", "32", "7"]]);
    }
}
