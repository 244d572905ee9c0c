//! Stops a machine at the kernel's first instruction and reads a [`Snapshot`] out of it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use shared_abi::addr::{PAGE, PageSize};
use shared_abi::boot_info::{BOOT_INFO_MAX, BootInfo};
use shared_abi::image::Header;
use shared_abi::image::header::HEADER_PAGE;
use shared_abi::page_table::Node;
use shared_abi::verdict::Ending;

use super::gdb::{Gdb, Stop};
use super::moment::Moment;
use super::snapshot::Snapshot;
use crate::errors;
use crate::failure::{Failure, Outcome};
use crate::loader::LOADER_START;
use crate::qemu::command::escape;
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
        _ => Err(Failure::new("the image's loader has no place to pause", "build the image anew")),
    }
}

/// QEMU's arguments for a machine that waits for a debugger at `socket` before its first instruction.
pub fn arguments(socket: &Path) -> [String; 5] {
    [
        "-S".into(),
        "-chardev".into(),
        format!("socket,id=gdb,server=on,wait=off,path={}", escape(&socket.display().to_string())),
        "-gdb".into(),
        "chardev:gdb".into(),
    ]
}

/// A debugger's hold of a machine.
pub struct Hold {
    gdb: Gdb,
    /// Where the loader pauses.
    pause: u64,
}

impl Hold {
    /// Takes hold of the machine that listens at `socket`; `None` if it is gone before it does.
    pub fn take(socket: &Path, pause: u64, is_gone: &mut dyn FnMut() -> bool) -> Outcome<Option<Self>> {
        for _ in 0..400 {
            if socket.exists() {
                let gdb = Gdb::connect(socket, Duration::from_secs(5))?;
                return Ok(Some(Self { gdb, pause }));
            }
            if is_gone() {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Failure::new(
            "QEMU opened no debugger port",
            "try again; a QEMU that stays so is told by HANDOFF_QEMU=… of another version",
        ))
    }

    /// Runs the machine until the loader pauses and then on to the kernel's first instruction.
    pub fn enter_kernel(&mut self, timeout: Duration) -> Outcome<Stop> {
        match self.gdb.run_to(self.pause, timeout)? {
            Stop::At(thread) => self.leave_pause(&thread),
            other => Ok(other),
        }
    }

    /// From where the loader pauses on to the kernel's first instruction, on the CPU that stopped there.
    pub fn leave_pause(&mut self, thread: &str) -> Outcome<Stop> {
        self.gdb.set_program_counter(self.pause + 4)?;
        self.gdb.step(thread)
    }

    /// Where the loader pauses.
    pub const fn pause(&self) -> u64 {
        self.pause
    }

    /// The debugger's port.
    pub fn gdb(&mut self) -> &mut Gdb {
        &mut self.gdb
    }

    /// Lets the machine run on.
    pub fn release(self) -> Outcome<()> {
        self.gdb.detach()
    }

    /// Reads registers, translation tables, `BootInfo` and device tree.
    pub fn snapshot(&mut self, title: String) -> Outcome<Snapshot> {
        self.snapshot_of(title, None)
    }

    /// The same at a later moment.
    pub fn snapshot_of(&mut self, title: String, moment: Option<Moment>) -> Outcome<Snapshot> {
        let registers = self.gdb.registers()?;
        let mut snapshot = Snapshot { registers, title, moment, ..Snapshot::default() };
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
        self.read_named(&mut snapshot)?;
        snapshot.join_runs();
        Ok(snapshot)
    }

    fn read_boot_info(&mut self, snapshot: &mut Snapshot) -> Outcome<()> {
        let Some(at) = snapshot.boot_info_address() else { return Ok(()) };
        for page in 0..(BOOT_INFO_MAX as u64 / PAGE + 1) {
            let phys = at.checked_add(page * PAGE).and_then(|virt| snapshot.translate(virt));
            let Some(phys) = phys else { break };
            if !self.read_page(snapshot, phys - phys % PAGE)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads what `BootInfo` names: the device tree, which a plan of the same boot starts from, and the flight recorders.
    fn read_named(&mut self, snapshot: &mut Snapshot) -> Outcome<()> {
        let Ok(bytes) = snapshot.boot_info() else { return Ok(()) };
        let Ok(info) = BootInfo::decode(&bytes) else { return Ok(()) };
        let tree = info.device_tree().map(|tree| tree.phys());
        let recorders = info.recorder().into_iter().flat_map(|both| [Some(both.current()), both.last()]);
        for range in recorders.chain([tree]).flatten() {
            let pages = range.aligned_outward(PageSize::Size4K);
            for start in (pages.start().get()..pages.end()).step_by(PAGE as usize) {
                if !self.read_page(snapshot, start)? {
                    break;
                }
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

/// A machine that is stopped at the kernel's first instruction, and gone when the value is.
pub struct Machine {
    child: Child,
    hold: Hold,
    /// Holds what it says.
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
    /// instruction. Once `is_cut` is set nobody waits for it any longer.
    pub fn stop(
        program: &str,
        arguments: &[String],
        pause: u64,
        timeout: Duration,
        is_cut: Arc<AtomicBool>,
    ) -> Outcome<Self> {
        let scratch = Scratch::new()?;
        let (socket, console, messages) =
            (scratch.file("gdb"), scratch.file("console"), scratch.file("messages"));
        let open = |path: &Path| std::fs::File::create(path).map_err(|error| Failure::io(path, &error));
        let mut child = Command::new(program)
            .args(arguments)
            .args(self::arguments(&socket))
            // A signal that is meant for us reaches it only from us.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(open(&console)?)
            .stderr(open(&messages)?)
            .spawn()
            .map_err(|error| {
                Failure::new(
                    format!("cannot start {program}: {error}"),
                    "set HANDOFF_QEMU to a qemu-system-aarch64 that starts",
                )
            })?;
        let hold = Hold::take(&socket, pause, &mut || child.try_wait().is_ok_and(|status| status.is_some()));
        let hold = match hold {
            Ok(Some(hold)) => hold,
            other => {
                let _ = child.kill();
                let _ = child.wait();
                other?;
                return Err(Failure::new(
                    format!("{program} ended at once{}", last_words(&console, &messages)),
                    "look at its message: the arguments behind -- are QEMU's own",
                ));
            }
        };
        let mut machine = Self { child, hold, scratch };
        machine.hold.gdb.cut_by(is_cut);
        match machine.hold.enter_kernel(timeout)? {
            Stop::At(_) => Ok(machine),
            Stop::Cut => Err(Failure::new(
                "interrupted: the machine was ended",
                "give it more time to enter the kernel",
            )),
            Stop::TimedOut => Err(Failure::new(
                format!("the kernel was not entered within {} s{}", timeout.as_secs(), machine.last_words()),
                "give more with --timeout SECONDS, or see how far it comes with handoff run --log verbose",
            )),
            Stop::Ended(_) => {
                let words = machine.last_words();
                // The status on the wire may come before the one of the process; the process's is the one that counts.
                let status = machine.child.wait().ok().and_then(|status| status.code()).unwrap_or_default();
                let ending = u64::try_from(status).ok().and_then(Ending::from_exit_subcode);
                let ending =
                    ending.map_or_else(|| format!("with status {status}"), |ending| ending.to_string());
                let help =
                    errors::help_of(&words).unwrap_or_else(|| "see its console with handoff run".into());
                Err(Failure::new(
                    format!("the machine ended before the kernel was entered: {ending}{words}"),
                    help,
                ))
            }
        }
    }

    /// What is to be read out of it.
    pub fn snapshot(&mut self, title: String) -> Outcome<Snapshot> {
        self.hold.snapshot(title)
    }

    /// What it or QEMU said last, as an afterthought to another message.
    pub fn last_words(&self) -> String {
        last_words(&self.scratch.file("console"), &self.scratch.file("messages"))
    }

    /// The debugger's hold of it.
    pub fn hold(&mut self) -> &mut Hold {
        &mut self.hold
    }
}

/// What the machine or QEMU said last, as an afterthought to another message.
fn last_words(console: &Path, messages: &Path) -> String {
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let mut heard = Console::default();
    heard.hear(&read(console));
    heard.close();
    let said = heard.text();
    let messages = String::from_utf8_lossy(&read(messages)).into_owned();
    let line = heard.error().map(str::to_owned).or_else(|| {
        let mut lines = messages.lines().chain(said.lines()).map(str::trim);
        lines.rfind(|line| !line.is_empty()).map(str::to_owned)
    });
    line.map_or_else(String::new, |line| format!("; it said: {line}"))
}
