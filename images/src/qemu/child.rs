//! The QEMU process: started, listened to, and always ended.
//!
//! ```text
//!            ┌── exits ─────────────────────► Exited
//! running ───┼── time is up ──► look, kill ─► TimedOut
//!            ├── is parked ─────────► kill ─► Parked
//!            └── Ctrl-C, TERM ──────► kill ─► Interrupted
//! ```
//!
//! When [`run`] returns there is no process left, everything it said was passed on, and the terminal is as it was.
//!
//! With a person's terminal on standard input QEMU shares our process group: it must be the terminal's foreground
//! group to read from it. Otherwise it has a group of its own, so that a signal meant for us reaches it only from us.

use std::io::{IsTerminal as _, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::termios::{self, OptionalActions, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::console::Console;
use super::parked::{self, Parked};
use crate::failure::{Failure, Outcome};

/// How long QEMU may take to end itself when told to.
const GRACE: Duration = Duration::from_secs(2);

/// How to run the process.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// When to give up.
    pub timeout: Duration,
    /// Whether the console is passed on to standard output.
    pub echo: bool,
    /// Whether QEMU gets our standard input.
    pub interactive: bool,
    /// Where to make the socket by which a parked machine is noticed.
    pub monitor: Option<&'a Path>,
    /// Has a last look at a machine whose time is up, before it is ended.
    pub last_look: &'a dyn Fn(),
}

/// Why the process is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It left with this status.
    Exited(i32),
    /// A signal ended it that did not come from here.
    Killed(i32),
    /// It outlived its time.
    TimedOut,
    /// The loader had parked the machine.
    Parked(Parked),
    /// This signal told us to end.
    Interrupted(i32),
}

/// A process that is no more.
#[derive(Debug)]
pub struct Ended {
    /// Why.
    pub how: How,
    /// What it said.
    pub console: Console,
    /// How long it ran.
    pub elapsed: Duration,
}

/// Whether standard input is a terminal that we may read from now.
pub fn has_terminal() -> bool {
    let stdin = std::io::stdin();
    // A background job has a terminal too, but reading from it would stop the job.
    termios::tcgetpgrp(stdin).is_ok_and(|foreground| foreground == rustix::process::getpgrp())
}

enum Event {
    Said(Vec<u8>),
    Signal(i32),
    Parked(Parked),
    Gone,
}

/// Runs `program` until it ends or is ended.
pub fn run(program: &str, arguments: &[String], options: Options<'_>) -> Outcome<Ended> {
    let terminal = Terminal::keep(options.interactive);
    let (sender, events) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| {
        Failure::new(format!("cannot listen for signals: {error}"), "the host is out of something: try again")
    })?;
    let signals_handle = signals.handle();
    let signal_sender = sender.clone();
    let listener = std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal_sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });

    let started = Instant::now();
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(options.monitor.iter().flat_map(|socket| parked::arguments(socket)));
    if options.interactive {
        command.stdin(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).process_group(0);
    }
    let mut child = command.spawn().map_err(|error| {
        Failure::new(
            format!("cannot start {program}: {error}"),
            "set HANDOFF_QEMU to a qemu-system-aarch64 that starts",
        )
    })?;
    let readers = [
        listen(child.stdout.take(), sender.clone()),
        // QEMU's own messages: few, and of interest even if the console is not shown.
        pass_on(child.stderr.take()),
    ];
    let pid = Pid::from_child(&child);
    if let Some(socket) = options.monitor.map(Path::to_owned) {
        let sender = sender.clone();
        // Ends with the process.
        std::thread::spawn(move || parked::watch(&socket).map(|found| sender.send(Event::Parked(found))));
    }
    std::thread::spawn(move || {
        // Leaves the process to be reaped by its owner, so that its number stays ours until then.
        let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let _ = sender.send(Event::Gone);
    });

    let mut hearing = Hearing { console: Console::default(), echo: options.echo };
    let ended = loop {
        let left = options.timeout.saturating_sub(started.elapsed());
        match events.recv_timeout(left) {
            Ok(Event::Said(bytes)) => hearing.take(&bytes),
            Ok(Event::Signal(signal)) => break Some(How::Interrupted(signal)),
            Ok(Event::Parked(parked)) => break Some(How::Parked(parked)),
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => break None,
            Err(RecvTimeoutError::Timeout) => break Some(How::TimedOut),
        }
    };
    if ended == Some(How::TimedOut) {
        (options.last_look)();
    }
    if ended.is_some() {
        end(&child, !options.interactive, &events, &mut hearing);
    }
    let status = child.wait().map_err(|error| {
        Failure::new(
            format!("lost track of {program}: {error}"),
            "look for a QEMU that was left, and try again",
        )
    })?;
    let elapsed = started.elapsed();
    for reader in readers {
        let _ = reader.join();
    }
    // The readers are done, so all that was said is in the channel.
    for event in events.try_iter() {
        if let Event::Said(bytes) = event {
            hearing.take(&bytes);
        }
    }
    signals_handle.close();
    let _ = listener.join();
    hearing.console.close();
    drop(terminal);
    let how = ended.unwrap_or_else(|| match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => How::Killed(signal.unwrap_or_default()),
    });
    Ok(Ended { how, console: hearing.console, elapsed })
}

/// Tells the process to end, and after a while makes it.
fn end(child: &Child, own_group: bool, events: &mpsc::Receiver<Event>, hearing: &mut Hearing) {
    let pid = Pid::from_child(child);
    let kill = |signal| {
        // It may be gone already, which is what is wanted.
        let _ = match own_group {
            true => rustix::process::kill_process_group(pid, signal),
            false => rustix::process::kill_process(pid, signal),
        };
    };
    kill(Signal::TERM);
    let told = Instant::now();
    loop {
        match events.recv_timeout(GRACE.saturating_sub(told.elapsed())) {
            Ok(Event::Said(bytes)) => hearing.take(&bytes),
            Ok(Event::Signal(_) | Event::Parked(_)) => {}
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => return kill(Signal::KILL),
        }
    }
}

struct Hearing {
    console: Console,
    echo: bool,
}

impl Hearing {
    fn take(&mut self, bytes: &[u8]) {
        self.console.hear(bytes);
        if self.echo {
            let mut stdout = std::io::stdout().lock();
            // A terminal needs the carriage returns that the machine sends; lines of a file or pipe have none.
            let plain: Vec<u8>;
            let bytes = if stdout.is_terminal() {
                bytes
            } else {
                plain = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
                &plain
            };
            // Whoever read our output may have left; the verdict counts all the same.
            self.echo = stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok();
        }
    }
}

fn listen(
    stream: Option<impl Read + Send + 'static>,
    sender: mpsc::Sender<Event>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if sender.send(Event::Said(buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    })
}

fn pass_on(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        use std::io::BufRead;
        let Some(stream) = stream else { return };
        for line in std::io::BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            // We sent that signal, and say so in our own words.
            if !line.windows(21).any(|words| words == b"terminating on signal") {
                let mut stderr = std::io::stderr().lock();
                let _ = stderr.write_all(&line).and_then(|()| stderr.write_all(b"\n"));
            }
        }
    })
}

/// The terminal's settings, put back when dropped.
struct Terminal(Option<Termios>);

impl Terminal {
    fn keep(interactive: bool) -> Self {
        Self(interactive.then(|| termios::tcgetattr(std::io::stdin()).ok()).flatten())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // QEMU restores them itself unless it was killed; a terminal that is gone needs nothing.
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: u64) -> Ended {
        let options = Options {
            timeout: Duration::from_secs(seconds),
            echo: false,
            interactive: false,
            monitor: None,
            last_look: &|| {},
        };
        run("sh", &["-c".into(), script.into()], options).unwrap()
    }

    #[test]
    fn all_that_was_said_is_heard_and_the_status_told() {
        let ended = shell(
            "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo verdict: bad 3; exit 65",
            20,
        );
        assert_eq!(ended.how, How::Exited(65));
        assert_eq!(ended.console.verdict(), Some(shared_abi::verdict::Verdict::Bad(3)));
        assert_eq!(ended.console.text().lines().count(), 2001);
    }

    #[test]
    fn a_process_that_outlives_its_time_is_ended_even_if_it_will_not() {
        let before = Instant::now();
        let ended = shell("trap '' TERM; echo on; while :; do sleep 0.05; done", 1);
        assert_eq!(ended.how, How::TimedOut);
        assert!(before.elapsed() < Duration::from_secs(6));
        assert_eq!(ended.console.text(), "on\n");
    }

    #[test]
    fn a_signal_from_elsewhere_is_told() {
        assert_eq!(shell("kill -9 $$", 20).how, How::Killed(9));
    }
}
