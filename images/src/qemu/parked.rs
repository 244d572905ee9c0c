//! A loader that could end the machine in no other way has parked it: whether it has is seen from outside.
//!
//! What a parked machine has in its registers is said in [`shared_abi::verdict`]. They are read by QEMU's monitor
//! protocol (QMP), which does not disturb the machine.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use shared_abi::verdict::Ending;

use super::command::escape;

/// How often one looks. A boot that ends by itself is over before the first time.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a parked machine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// How it ended.
    pub ending: Ending,
    /// The error's number; 0 for a fault.
    pub code: u16,
}

/// QEMU's arguments for a monitor that [`watch`] can ask at `socket`.
pub fn arguments(socket: &Path) -> [String; 2] {
    ["-qmp".into(), format!("unix:{},server=on,wait=off", escape(&socket.display().to_string()))]
}

/// Looks now and then until the machine is found parked, or is no more.
pub fn watch(socket: &Path) -> Option<Parked> {
    std::thread::sleep(INTERVAL);
    let mut monitor = Monitor::connect(socket)?;
    loop {
        if let Some(parked) = parked(&monitor.registers()?) {
            return Some(parked);
        }
        std::thread::sleep(INTERVAL);
    }
}

/// The first CPU that is parked with a code, among the registers of all as QEMU prints them.
fn parked(registers: &str) -> Option<Parked> {
    let value = |name: &str, text: &str| {
        let digits = text.split_once(name)?.1.get(..16)?;
        u64::from_str_radix(digits, 16).ok()
    };
    registers.split("CPU#").find_map(|text| {
        let ending = Ending::from_parked(value("X01=", text)?)?;
        Some(Parked { ending, code: u16::try_from(value("X00=", text)?).ok()? })
    })
}

struct Monitor(BufReader<UnixStream>);

impl Monitor {
    fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.ask(&json!({ "execute": "qmp_capabilities" }))?;
        Some(monitor)
    }

    /// Every CPU's registers.
    fn registers(&mut self) -> Option<String> {
        let command = json!({ "command-line": "info registers -a" });
        let answer = self.ask(&json!({ "execute": "human-monitor-command", "arguments": command }))?;
        answer.as_str().map(str::to_owned)
    }

    /// The answer to a command; greeting and events, which come unasked, are passed over.
    fn ask(&mut self, command: &Value) -> Option<Value> {
        self.0.get_mut().write_all(format!("{command}\n").as_bytes()).ok()?;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let mut answer: Value = serde_json::from_str(&line).ok()?;
            if let Some(answer) = answer.get_mut("return") {
                return Some(answer.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_cpu_is_told_from_a_running_one() {
        let running = "CPU#0\n PC=ffff008000001000 X00=0000000000000322 X01=0000000000000065\n";
        let asleep = "CPU#1\n PC=ffff008000001000 X00=0000000000000322 X01=7061726b65643a65\n";
        assert_eq!(parked(running), None);
        let found = Parked { ending: Ending::Refused, code: 802 };
        assert_eq!(parked(&format!("{running}{asleep}")), Some(found));
        assert_eq!(parked(""), None);
        assert_eq!(parked("CPU#0 X00=12 X01="), None);
    }
}
