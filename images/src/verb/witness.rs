//! A witness of a boot: looks at the machine as the kernel is entered, and lets it go on.
//!
//! ```text
//! QEMU, stopped ──► loader ──► pause ──► kernel's first instruction ──► kernel … ──► ends by itself
//!                                            └─► Snapshot
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shared_abi::crc32c::crc32c;

use crate::elf_form::image_bytes;
use crate::failure::Outcome;
use crate::inspect::capture::{self, Hold};
use crate::inspect::gdb::Stop;
use crate::inspect::snapshot::Snapshot;
use crate::verb::ready::Ready;

/// A thread that waits for the machine.
pub struct Witness {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Option<Snapshot>>>,
}

impl Witness {
    /// Has the machine that is about to be started wait for a witness, who is ready at once.
    pub fn call(ready: &mut Ready, timeout: Duration) -> Outcome<Self> {
        let (_, image) = image_bytes(&ready.staged.image);
        let (header, _) = shared_abi::image::open(image, crc32c)?;
        let pause = capture::pause_address(image, &header)?;
        let socket = ready.staged.scratch.file("witness");
        ready.arguments.extend(capture::arguments(&socket));
        let title = ready.staged.title();
        let is_over = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || watch(&socket, pause, timeout, title, &gone));
        Ok(Self { is_over, thread })
    }

    /// What was seen, once the machine is no more; `None` if the kernel was never entered.
    pub fn told(self) -> Outcome<Option<Snapshot>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(Ok(None))
    }
}

fn watch(
    socket: &Path,
    pause: u64,
    timeout: Duration,
    title: String,
    is_over: &AtomicBool,
) -> Outcome<Option<Snapshot>> {
    let Some(mut hold) = Hold::take(socket, pause, &mut || is_over.load(Ordering::Relaxed))? else {
        return Ok(None);
    };
    if !matches!(hold.enter_kernel(timeout), Ok(Stop::At(_))) {
        // Refused, out of time or interrupted: that is the boot's own story, and told by it.
        return Ok(None);
    }
    let snapshot = hold.snapshot(title)?;
    hold.release()?;
    Ok(Some(snapshot))
}
