//! Stops a machine at the kernel's first instruction and reads a [`Snapshot`] out of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shared_abi::addr::PAGE;
use shared_abi::boot_info::BOOT_INFO_MAX;
use shared_abi::image::{Kind, PayloadTable};
use shared_abi::page_table::Node;
use shared_abi::symbols::SymbolTable;
use shared_abi::verdict::Ending;

use super::gdb::{Gdb, Stop};
use super::snapshot::Snapshot;
use crate::failure::{Failure, Outcome};
use crate::loader::LOADER_START;
use crate::qemu::console::Console;
use crate::scratch::Scratch;

/// The loader's function whose last instruction enters the kernel.
const JUMP: &str = "elfloader::machine::jump::jump";

/// `eret` (Arm ARM C6.2.117).
const ERET: u32 = 0xD69F_03E0;

/// Most tables that are read: 16 MiB of them map more than any machine has.
const MAX_TABLES: usize = 4096;

/// The virtual address of the loader's last instruction, by its own symbol table.
pub fn leave_address(image: &[u8], table: &PayloadTable<'_>) -> Outcome<u64> {
    let words = "the image's loader has no symbols that say where it leaves: build the image anew";
    let unknown = || Failure::new(words);
    let symbols = table.find(Kind::LOADER_SYMBOLS).map(|entry| table.bytes(&entry)).unwrap_or_default();
    let symbols = SymbolTable::open(symbols).ok_or_else(unknown)?;
    // Between function and end lies nothing but its instructions: the first ERET is its last.
    let loader = image.get(0x1000..).unwrap_or_default();
    let words = loader.chunks_exact(4).zip((LOADER_START..).step_by(4));
    let mut in_jump = words.filter(|(_, at)| symbols.find(*at).is_some_and(|symbol| symbol.name == JUMP));
    let last = in_jump.find(|(word, _)| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) == ERET);
    last.map(|(_, at)| at).ok_or_else(unknown)
}

/// A machine that is stopped, and gone when the value is.
pub struct Machine {
    child: Child,
    gdb: Gdb,
    /// Holds the socket and the console's text.
    scratch: Scratch,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine {
    /// Starts QEMU with `arguments` and stops it at the kernel's first instruction, one past `leave`.
    pub fn stop(program: &str, arguments: &[String], leave: u64, timeout: Duration) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let socket = scratch.file("gdb");
        let console = scratch.file("console");
        let open = |path: &Path| std::fs::File::create(path).map_err(|error| Failure::io(path, &error));
        let child = Command::new(program)
            .args(arguments)
            .args(["-S", "-chardev"])
            .arg(format!("socket,id=gdb,server=on,wait=off,path={}", socket.display()))
            .args(["-gdb", "chardev:gdb"])
            .stdin(Stdio::null())
            .stdout(open(&console)?)
            .stderr(open(&scratch.file("messages"))?)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start {program}: {error}")))?;
        let mut child = Some(child);
        let connected = connect(&mut child, &socket, &scratch);
        let (Some(child), gdb) = (child, connected?) else {
            return Err(Failure::new("lost QEMU"));
        };
        let mut machine = Self { child, gdb, scratch };
        machine.enter_kernel(leave, timeout)?;
        Ok(machine)
    }

    fn enter_kernel(&mut self, leave: u64, timeout: Duration) -> Outcome<()> {
        let stop = self.gdb.run_to(leave, timeout)?;
        let stop = match stop {
            Stop::At(thread) => self.gdb.step(&thread)?,
            other => other,
        };
        match stop {
            Stop::At(_) => Ok(()),
            Stop::TimedOut => Err(Failure::new(format!(
                "the kernel was not entered within {} s{}",
                timeout.as_secs(),
                self.last_words()
            ))),
            Stop::Ended(_) => {
                // The status on the wire may come before the one of the process; the process's is the one that counts.
                let status = self.child.wait().ok().and_then(|status| status.code()).unwrap_or_default();
                let ending = u64::try_from(status).ok().and_then(Ending::from_exit_subcode);
                let ending =
                    ending.map_or_else(|| format!("with status {status}"), |ending| ending.to_string());
                let words = self.last_words();
                Err(Failure::new(format!("the machine ended before the kernel was entered: {ending}{words}")))
            }
        }
    }

    /// What the machine or QEMU said last, as an afterthought to another message.
    fn last_words(&self) -> String {
        let read = |name: &str| std::fs::read(self.scratch.file(name)).unwrap_or_default();
        let mut console = Console::default();
        console.hear(&read("console"));
        console.close();
        let said = console.text();
        let messages = String::from_utf8_lossy(&read("messages")).into_owned();
        let line = console.error().map(str::to_owned).or_else(|| {
            let mut lines = messages.lines().chain(said.lines()).map(str::trim);
            lines.rfind(|line| !line.is_empty()).map(str::to_owned)
        });
        line.map_or_else(String::new, |line| format!("; it said: {line}"))
    }

    /// What the console has said so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.scratch.file("console")).unwrap_or_default()).into_owned()
    }

    /// Reads registers, translation tables and `BootInfo`.
    pub fn snapshot(&mut self, title: String) -> Outcome<Snapshot> {
        let registers = self.gdb.registers()?;
        let mut snapshot = Snapshot { registers, title, ..Snapshot::default() };
        for tables in [snapshot.kernel_tables(), snapshot.user_tables()].into_iter().flatten() {
            self.read_page(&mut snapshot, tables.root().start().get())?;
            // Each round reads the tables that the last one made known.
            for _ in 0..MAX_TABLES {
                let missing = tables.nodes(&snapshot).find_map(|node| match node {
                    Node::Unreadable { table, .. } => Some(table),
                    _ => None,
                });
                let Some(table) = missing else { break };
                if !self.read_page(&mut snapshot, table.start().get())? {
                    break;
                }
            }
        }
        self.read_boot_info(&mut snapshot)?;
        snapshot.memory = joined(std::mem::take(&mut snapshot.memory));
        Ok(snapshot)
    }

    fn read_boot_info(&mut self, snapshot: &mut Snapshot) -> Outcome<()> {
        let Some(at) = snapshot.register("x0") else { return Ok(()) };
        for page in 0..(BOOT_INFO_MAX as u64 / PAGE + 1) {
            let phys = at.checked_add(page * PAGE).and_then(|virt| snapshot.translate(virt));
            let Some(phys) = phys else { break };
            if !self.read_page(snapshot, phys - phys % PAGE)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads a page of physical memory; false if there is none.
    fn read_page(&mut self, snapshot: &mut Snapshot, start: u64) -> Outcome<bool> {
        if snapshot.memory.contains_key(&start) {
            return Ok(true);
        }
        let bytes = self.gdb.physical_memory(start, PAGE)?;
        let found = bytes.is_some();
        snapshot.memory.extend(bytes.map(|bytes| (start, bytes)));
        Ok(found)
    }
}

/// Connects, unless QEMU has ended already and said why.
fn connect(child: &mut Option<Child>, socket: &Path, scratch: &Scratch) -> Outcome<Gdb> {
    let running = child.as_mut().ok_or_else(|| Failure::new("lost QEMU"))?;
    for _ in 0..400 {
        if socket.exists() {
            return Gdb::connect(socket, Duration::from_secs(5)).inspect_err(|_| {
                let _ = running.kill();
                let _ = running.wait();
            });
        }
        if running.try_wait().is_ok_and(|status| status.is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = running.kill();
    let _ = running.wait();
    let messages = std::fs::read_to_string(scratch.file("messages")).unwrap_or_default();
    let line = messages.lines().find(|line| !line.is_empty()).unwrap_or("QEMU opened no debugger port");
    Err(Failure::new(line))
}

/// Pages that follow each other as one run.
fn joined(pages: std::collections::BTreeMap<u64, Vec<u8>>) -> std::collections::BTreeMap<u64, Vec<u8>> {
    let mut runs: std::collections::BTreeMap<u64, Vec<u8>> = std::collections::BTreeMap::new();
    for (start, bytes) in pages {
        match runs.last_entry() {
            Some(mut run) if run.key() + run.get().len() as u64 == start => run.get_mut().extend(bytes),
            _ => {
                runs.insert(start, bytes);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_follow_each_other_become_one_run() {
        let pages = [(0x1000, vec![1; 0x1000]), (0x2000, vec![2; 0x1000]), (0x4000, vec![3; 0x1000])];
        let runs = joined(pages.into());
        assert_eq!(
            runs.iter().map(|(start, run)| (*start, run.len())).collect::<Vec<_>>(),
            [(0x1000, 0x2000), (0x4000, 0x1000)]
        );
    }
}
