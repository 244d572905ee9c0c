//! A witness of a boot: looks at the machine as the kernel is entered, lets it go on, and sees how it fails.
//!
//! ```text
//! QEMU, stopped ──► loader ──► pause ──► kernel's first instruction ──► kernel … ─┬─► ends well, by itself
//!                                            └─► Snapshot                         ├─► faults, or judges itself bad
//!                                                                                 └─► is out of time
//!                                                                                        └─► Snapshot
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shared_abi::crc32c::crc32c;

use crate::elf_form::image_bytes;
use crate::failure::Outcome;
use crate::inspect::capture::{self, Hold};
use crate::inspect::gdb::Stop;
use crate::inspect::program::Program;
use crate::inspect::pursuit::{Missed, Pursuit, Wanted};
use crate::inspect::recordings::{self, Noted};
use crate::inspect::snapshot::Snapshot;
use crate::verb::ready::Ready;
use crate::workspace::Workspace;

/// How long a look at a machine that is out of time may take.
const LOOK: Duration = Duration::from_secs(10);

/// A thread that waits for the machine.
pub struct Witness {
    is_over: Arc<AtomicBool>,
    is_cut: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Seen>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The kernel's first instruction; `None` if it was never entered.
    pub entry: Option<Snapshot>,
    /// The kernel's failure; `None` if it did not fail, or in no way that can be seen from outside.
    pub failure: Option<Snapshot>,
}

impl Seen {
    /// What the flight recorders hold, as they were seen last.
    pub fn recordings(&self) -> Vec<Noted> {
        self.failure.as_ref().or(self.entry.as_ref()).map(recordings::of).unwrap_or_default()
    }
}

/// Whom to watch, and what its code is called.
struct Subject {
    socket: PathBuf,
    pause: u64,
    title: String,
    kernel: Option<PathBuf>,
    loader: Option<PathBuf>,
    /// The folder that source files are named from.
    root: PathBuf,
}

impl Witness {
    /// Has the machine that is about to be started wait for a witness, who is ready at once.
    pub fn call(workspace: &Workspace, ready: &mut Ready) -> Outcome<Self> {
        let staged = &ready.staged;
        let (_, image) = image_bytes(&staged.image);
        let (header, _) = shared_abi::image::open(image, crc32c)?;
        let subject = Subject {
            socket: staged.scratch.file("witness"),
            pause: capture::pause_address(image, &header)?,
            title: staged.title(),
            kernel: staged.kernel.clone(),
            loader: staged.loader.clone(),
            root: workspace.root().to_owned(),
        };
        ready.arguments.extend(capture::arguments(&subject.socket));
        let (is_over, is_cut) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (gone, cut) = (Arc::clone(&is_over), Arc::clone(&is_cut));
        let thread = std::thread::spawn(move || subject.watch(&gone, cut));
        Ok(Self { is_over, is_cut, thread })
    }

    /// Has the machine looked at where it is now, and waits until it was.
    pub fn look(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        let started = Instant::now();
        while !self.thread.is_finished() && started.elapsed() < LOOK {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was seen, once the machine is no more.
    pub fn told(self) -> Outcome<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Ok(Seen::default()))
    }
}

impl Subject {
    fn watch(self, is_over: &AtomicBool, is_cut: Arc<AtomicBool>) -> Outcome<Seen> {
        let is_gone = &mut || is_over.load(Ordering::Relaxed);
        let Some(mut hold) = Hold::take(&self.socket, self.pause, is_gone)? else {
            return Ok(Seen::default());
        };
        hold.gdb().cut_by(is_cut);
        if !matches!(hold.enter_kernel(Duration::MAX), Ok(Stop::At(_))) {
            // Refused, out of time or interrupted: that is the boot's own story, and told by it.
            return Ok(Seen::default());
        }
        let (entry, failure) = loop {
            let entry = hold.snapshot(self.title.clone())?;
            let entered = entry.register("pc").unwrap_or_default();
            let programs = || {
                // What cannot be read has no names, and fails all the same.
                let open = |path: &Option<PathBuf>| Program::open(path.as_ref()?, &self.root).ok();
                let kernel = open(&self.kernel).map(|kernel| kernel.entered_at(entered));
                kernel.into_iter().chain(open(&self.loader)).collect()
            };
            let pursuit = Pursuit::new(&mut hold, entry.clone(), programs);
            match pursuit.reach(&Wanted::failure(), Duration::MAX) {
                Ok(Err(Missed::Restarted)) => {}
                // A machine that is gone in the middle of a look has nothing to show, which is no mistake of anybody's.
                reached => break (entry, reached.ok().and_then(Result::ok)),
            }
        };
        let _ = hold.release();
        Ok(Seen { entry: Some(entry), failure })
    }
}
