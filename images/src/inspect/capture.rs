//! Stops a machine at the kernel's first instruction and reads a [`Snapshot`] out of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shared_abi::addr::{PAGE, PageSize};
use shared_abi::boot_info::{BOOT_INFO_MAX, BootInfo};
use shared_abi::image::Header;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::page_table::Node;
use shared_abi::verdict::Ending;

use super::gdb::{Gdb, Stop};
use super::snapshot::Snapshot;
use crate::failure::{Failure, Outcome};
use crate::loader::LOADER_START;
use crate::qemu::console::Console;
use crate::scratch::Scratch;

/// `b .` and `eret` (Arm ARM C6.2.26, C6.2.117): where a loader that was asked to pause waits, and how it leaves.
const PAUSE: [u32; 2] = [0x1400_0000, 0xD69F_03E0];

/// Most tables that are read: 16 MiB of them map more than any machine has.
const MAX_TABLES: usize = 4096;

/// The virtual address where the image's loader pauses if its header page asks for it; its last instruction follows.
pub fn pause_address(image: &[u8], header: &Header) -> Outcome<u64> {
    let loader = image.get(HEADER_PAGE..HEADER_PAGE + header.loader_length as usize).unwrap_or_default();
    let words: Vec<u32> = loader.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let mut found = (LOADER_START..).step_by(4).zip(words.windows(2)).filter(|(_, pair)| **pair == PAUSE);
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        _ => Err(Failure::new("the image's loader has no place to pause: build the image anew")),
    }
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
    /// Starts QEMU with `arguments`, waits until the loader pauses at `pause`, and goes on to the kernel's first
    /// instruction.
    pub fn stop(program: &str, arguments: &[String], pause: u64, timeout: Duration) -> Outcome<Self> {
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
        machine.enter_kernel(pause, timeout)?;
        Ok(machine)
    }

    fn enter_kernel(&mut self, pause: u64, timeout: Duration) -> Outcome<()> {
        let stop = self.gdb.run_to(pause, timeout)?;
        let stop = match stop {
            Stop::At(thread) => {
                self.gdb.set_program_counter(pause + 4)?;
                self.gdb.step(&thread)?
            }
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
        self.read_tree(&mut snapshot)?;
        snapshot.join_runs();
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

    /// Reads the device tree, of which `BootInfo` says where it is: what a plan of the same boot starts from.
    fn read_tree(&mut self, snapshot: &mut Snapshot) -> Outcome<()> {
        let Ok(bytes) = snapshot.boot_info() else { return Ok(()) };
        let tree = BootInfo::decode(&bytes).ok().and_then(|info| info.device_tree());
        let Some(tree) = tree.map(|tree| tree.phys().aligned_outward(PageSize::Size4K)) else {
            return Ok(());
        };
        for start in (tree.start().get()..tree.end()).step_by(PAGE as usize) {
            if !self.read_page(snapshot, start)? {
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
