//! `handoff run`: boots an image in QEMU and turns what happened into words and an exit status.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use shared_abi::image::BootFlags;
use shared_abi::verdict::{Ending, STATUS_HOST_ERROR, STATUS_INTERRUPTED, STATUS_TIME_OUT, Verdict};

use super::{debugger, output};
use crate::cli::Run;
use crate::errors;
use crate::failure::{Failure, Outcome, folder_is_there, write_atomically};
use crate::inspect::view::{Blob, View};
use crate::inspect::{self, moment_text, recordings};
use crate::qemu::child::{self, Ended, How};
use crate::qemu::console::Console;
use crate::qemu::parked::Parked;
use crate::verb::given;
use crate::verb::keep::Keep;
use crate::verb::ready::{Ready, Wish};
use crate::verb::witness::{Seen, Witness};
use crate::workspace::Workspace;

/// Most lines of a flight recorder that are said.
const RECORDED: usize = 10;

pub fn run(workspace: &Workspace, flags: &Run) -> Outcome<u8> {
    flags.script.as_deref().map(folder_is_there).transpose()?;
    let keep = flags.keep.as_deref().map(Keep::in_folder).transpose()?;
    let echo = !flags.json && !flags.quiet;
    let interactive = child::has_terminal() && echo;
    // A debugger of the person's own is the only one that QEMU serves.
    let has_debugger = flags.gdb.is_some()
        || flags.wanted.qemu.iter().any(|argument| ["-s", "-S", "-gdb"].contains(&argument.as_str()));
    let watched = !has_debugger && flags.image.as_ref().map_or(Ok(true), |image| given::is_whole(image))?;
    let wish = Wish {
        image: flags.image.as_ref(),
        interactive,
        repeats: flags.gdb.is_some(),
        flags: if watched { BootFlags::SEMIHOSTING | BootFlags::PAUSE } else { BootFlags::SEMIHOSTING },
        ..Wish::new(&flags.wanted)
    };
    let mut ready = Ready::new(workspace, &wish)?;
    ready.check_version()?;
    if let Some(port) = flags.gdb {
        wait_for_debugger(&mut ready, port, flags.script.as_deref())?;
    }
    // A person with a debugger takes as long as they take.
    let patience = if flags.gdb.is_some() { u32::MAX } else { ready.staged.recipe.timeout };
    let timeout = flags.timeout.unwrap_or(patience);
    let patience = Duration::from_secs(timeout.into());
    let monitor = ready.staged.monitor();
    let witness = if watched { Some(Witness::call(workspace, &mut ready)?) } else { None };
    let last_look = || witness.iter().for_each(Witness::look);
    let options = child::Options {
        timeout: patience,
        echo,
        interactive,
        monitor: Some(&monitor),
        last_look: &last_look,
    };
    let ended = child::run(&ready.program, &ready.arguments, options);
    let seen = witness.map(Witness::told).transpose();
    let (ended, seen) = (ended?, seen?);
    let report = Report::of(&ended, timeout).explained(seen.as_ref());
    let seen = seen.unwrap_or_default();
    let json = format!("{}\n", report.json(&ended, &seen));
    if let Some(keep) = keep {
        keep.everything(&ready.staged.image, &ended.console.text(), &json, &seen)?;
    }
    drop(ready);
    if flags.json {
        return output::print(&json).map(|_| report.status);
    }
    if let Some(failure) = &report.failure {
        // The console has said what happened, unless nobody saw it.
        if !report.is_said || flags.quiet {
            output::say(failure);
        }
        let lines = seen.failure.as_ref().and_then(|seen| seen.moment.as_ref()).map(moment_text::brief);
        lines.into_iter().flatten().for_each(|line| eprintln!("{line}"));
    }
    // What the boot before left is of interest however this one ended.
    for noted in seen.recordings().iter().filter(|_| !flags.quiet) {
        eprintln!("{}", noted.title());
        noted.lines(RECORDED).iter().for_each(|line| eprintln!("{line}"));
    }
    if let Some(failure) = &report.failure {
        output::help(failure.help());
    }
    Ok(report.status)
}

/// Makes the machine wait, and says what to type.
fn wait_for_debugger(ready: &mut Ready, port: u16, file: Option<&Path>) -> Outcome<()> {
    // QEMU would say it too, but in words of its own and after the line below.
    std::net::TcpListener::bind(("localhost", port))
        .map_err(|_| Failure::new(format!("port {port} is in use"), "give another, as in --gdb=2345"))?;
    ready.arguments.extend(["-S".into(), "-gdb".into(), format!("tcp:localhost:{port}")]);
    let line = match debugger::of_staged(&ready.program, &ready.staged, port)? {
        Some(script) => {
            let file = file.map_or_else(|| ready.staged.scratch.file("gdb"), Path::to_owned);
            write_atomically(&file, script.as_bytes())?;
            format!("gdb-multiarch -x {}", file.display())
        }
        None => format!("gdb-multiarch -ex 'target remote localhost:{port}'"),
    };
    eprintln!("waiting for a debugger: {line}");
    Ok(())
}

/// What a boot that ended means.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    status: u8,
    ending: Option<Ending>,
    /// What a person should know, unless all is good.
    failure: Option<Failure>,
    /// Whether the console has said it.
    is_said: bool,
}

impl Report {
    /// What the machine itself has told.
    fn ended(ending: Ending, console: &Console) -> Self {
        let line = console.error();
        let words = line.map_or_else(|| ending.to_string(), |line| format!("{ending}: {line}"));
        let failure = match (ending, console.verdict()) {
            (Ending::Good, _) => None,
            (Ending::Bad, Some(Verdict::Bad(code))) => Some(Failure::new(
                format!("the kernel's verdict is bad, its code {code}"),
                "look the code up in the kernel: it is the kernel's own",
            )),
            (Ending::Bad, _) => Some(Failure::new(
                "the kernel's verdict is bad, and it gave no code",
                "see what the kernel said last",
            )),
            (Ending::Refused | Ending::LoaderFault | Ending::KernelFault, _) => {
                let help = line.and_then(errors::help_of);
                Some(Failure::new(words, help.unwrap_or_else(|| "see what the console said last".into())))
            }
        };
        Self { status: ending.run_status(), ending: Some(ending), failure, is_said: ending != Ending::Bad }
    }

    fn of(ended: &Ended, timeout: u32) -> Self {
        let console = &ended.console;
        let said = |status, words: &str, help: &str| Self {
            status,
            ending: None,
            failure: Some(Failure::new(words, help)),
            is_said: false,
        };
        match ended.how {
            How::TimedOut => said(
                STATUS_TIME_OUT,
                &format!("no verdict within {timeout} s: the machine was ended"),
                "give more with --timeout SECONDS, or see where it waits with --gdb",
            ),
            // A machine that can neither power off nor call the host waits with the kernel's verdict.
            How::Parked(Parked { ending: ending @ (Ending::Good | Ending::Bad), .. }) => {
                Self::ended(ending, console)
            }
            How::Parked(parked) => Self {
                ending: Some(parked.ending),
                status: parked.ending.run_status(),
                failure: Some(parked_words(parked)),
                is_said: false,
            },
            How::Interrupted(_) => said(
                STATUS_INTERRUPTED,
                "interrupted: the machine was ended",
                "run it again: nothing is left of it",
            ),
            How::Killed(signal) => said(
                STATUS_HOST_ERROR,
                &format!("QEMU was killed by signal {signal}"),
                "see the host's log for who did: for want of memory, give less with --memory",
            ),
            // Without semihosting a machine ends by a power-off, which carries no status: what was said last counts.
            How::Exited(0) => match (console.error(), console.verdict()) {
                (Some(_), _) => Self::ended(Ending::Refused, console),
                (None, Some(verdict)) => Self::ended(verdict.ending(), console),
                (None, None) => said(
                    Ending::Bad.run_status(),
                    "the machine powered off without a verdict: that is not success",
                    "have the kernel print `verdict: good` or `verdict: bad N` before it powers off",
                ),
            },
            How::Exited(status) => match Ending::from_exit_subcode(status as u64) {
                Some(ending) => Self::ended(ending, console),
                None => said(
                    STATUS_HOST_ERROR,
                    &format!("QEMU failed with status {status}"),
                    "look at its message above: the arguments behind -- are QEMU's own",
                ),
            },
        }
    }

    /// The same with what a witness has seen, if there was one.
    fn explained(mut self, seen: Option<&Seen>) -> Self {
        let Some(seen) = seen else { return self };
        let Some(failure) = self.failure.take() else { return self };
        let words = failure.words().to_owned();
        let fault = seen.failure.as_ref().and_then(|seen| seen.moment.as_ref()?.fault.as_ref());
        self.failure = Some(match (&seen.entry, fault) {
            (_, Some(fault)) => failure.reworded(words, &fault.help),
            (None, None) if self.status == STATUS_TIME_OUT => failure.reworded(
                words + ", and had not entered the kernel",
                "give more with --timeout SECONDS, or see how far it comes with --log verbose",
            ),
            (Some(_), None) if self.status == STATUS_TIME_OUT => failure.reworded(
                words,
                "give more with --timeout SECONDS, or see registers, code and tables with handoff inspect --at hang",
            ),
            _ => failure,
        });
        self
    }

    /// What a script wants to know. The timeline is there if the kernel was entered and somebody watched, the moment
    /// if it failed as well.
    fn json(&self, ended: &Ended, seen: &Seen) -> serde_json::Value {
        let blob = seen.entry.as_ref().map(Blob::of);
        let view = seen.entry.as_ref().zip(blob.as_ref()).map(|(snapshot, blob)| View::new(snapshot, blob));
        let moment = seen.failure.as_ref().and_then(|seen| seen.moment.as_ref());
        let console = &ended.console;
        let verdict = match (self.ending, console.verdict()) {
            (Some(Ending::Good), _) => json!({ "good": true }),
            (Some(Ending::Bad), Some(Verdict::Bad(code))) => json!({ "good": false, "code": code }),
            (Some(Ending::Bad), _) => json!({ "good": false }),
            _ => serde_json::Value::Null,
        };
        json!({
            "status": self.status,
            "ending": self.ending.map(Ending::name),
            "verdict": verdict,
            "error": console.error(),
            "words": self.failure.as_ref().map(Failure::words),
            "help": self.failure.as_ref().map(Failure::help),
            "seconds": ended.elapsed.as_secs_f64(),
            "timeline": view.map(|view| inspect::json::timeline(&view)),
            "moment": moment.map(moment_text::json),
            "recordings": recordings::json(&seen.recordings()),
            "console": console.text(),
        })
    }
}

/// A machine without a console that anybody hears: all that is known is the code.
fn parked_words(Parked { ending, code }: Parked) -> Failure {
    let known = errors::find(code).map(|row| (format!("{}: {}", row.name, errors::meaning(row)), row.help()));
    match known {
        Some((meaning, help)) => Failure::new(
            format!("the loader parked the machine: error E{code:04}, {}", meaning.trim_end_matches('.')),
            help.to_string(),
        ),
        None if code == 0 => Failure::new(
            format!("the machine was parked: {ending}"),
            "see why with --gdb, or give the loader a console: earlycon= on the command line",
        ),
        None => Failure::new(
            format!("the loader parked the machine: error E{code:04}, which is not known here"),
            "use the tool of the version that built the image",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::moment::{Fault, Moment};
    use crate::inspect::snapshot::Snapshot;

    fn ended(how: How, said: &str) -> Ended {
        let mut console = Console::default();
        console.hear(said.as_bytes());
        console.close();
        Ended { how, console, elapsed: Duration::from_millis(1500) }
    }

    #[test]
    fn every_way_to_end_has_its_status() {
        for (how, status) in [
            (How::Exited(64), 0),
            (How::Exited(65), 1),
            (How::Exited(0), 1),
            (How::Exited(1), 2),
            (How::Exited(77), 2),
            (How::Exited(101), 101),
            (How::Exited(102), 102),
            (How::Exited(103), 103),
            (How::TimedOut, 124),
            (How::Parked(Parked { ending: Ending::Good, code: 0 }), 0),
            (How::Parked(Parked { ending: Ending::Bad, code: 0 }), 1),
            (How::Parked(Parked { ending: Ending::Refused, code: 802 }), 101),
            (How::Parked(Parked { ending: Ending::LoaderFault, code: 0 }), 102),
            (How::Interrupted(2), 130),
            (How::Killed(9), 2),
        ] {
            let report = Report::of(&ended(how, ""), 60);
            assert_eq!(report.status, status, "{how:?}");
            assert_eq!(report.failure.is_some(), status != 0, "{how:?}: nothing but success is silent");
        }
    }

    #[test]
    fn a_bad_verdict_is_told_with_its_code() {
        let bad = ended(How::Exited(65), "hello\nverdict: bad 7\n");
        let report = Report::of(&bad, 60);
        let failure = report.failure.as_ref().unwrap();
        assert_eq!(failure.to_string(), "error: the kernel's verdict is bad, its code 7");
        assert!(!report.is_said);
        assert_eq!(
            report.json(&bad, &Seen::default()),
            json!({
                "status": 1, "ending": "bad", "verdict": { "good": false, "code": 7 }, "error": null,
                "words": "the kernel's verdict is bad, its code 7",
                "help": "look the code up in the kernel: it is the kernel's own", "seconds": 1.5, "timeline": null, "moment": null, "recordings": [], "console": "hello\nverdict: bad 7\n",
            })
        );
    }

    #[test]
    fn a_parked_machine_is_told_in_words_and_with_what_to_do() {
        let told = |code| {
            let parked = ended(How::Parked(Parked { ending: Ending::Refused, code }), "");
            Report::of(&parked, 60).failure.unwrap()
        };
        let words = "the loader parked the machine: error E0105, Checksum: The header's checksum is wrong: it was \
                     damaged or changed by hand";
        assert_eq!((told(105).words(), told(105).help()), (words, "build the image again"));
        assert!(told(199).words().contains("E0199, which is not known"));
        assert_eq!(told(0).words(), "the machine was parked: refused");
    }

    #[test]
    fn what_a_witness_saw_says_what_to_do() {
        let timed_out = || Report::of(&ended(How::TimedOut, ""), 60);
        let told = |report: Report| report.failure.unwrap();
        let unseen = told(timed_out().explained(None));
        assert!(!unseen.words().contains("entered"), "{unseen}");
        let before = told(timed_out().explained(Some(&Seen::default())));
        assert!(before.words().ends_with("had not entered the kernel"), "{before}");
        let seen = |fault: Option<Fault>| Seen {
            entry: Some(Snapshot::default()),
            failure: Some(Snapshot {
                moment: Some(Moment { fault, ..Moment::default() }),
                ..Snapshot::default()
            }),
        };
        assert!(told(timed_out().explained(Some(&seen(None)))).help().contains("inspect --at hang"));
        let faulted = ended(How::Exited(103), "");
        let fault = Fault { help: "map it".into(), ..Fault::default() };
        assert_eq!(told(Report::of(&faulted, 60).explained(Some(&seen(Some(fault))))).help(), "map it");
        assert!(Report::of(&ended(How::Exited(64), ""), 60).explained(Some(&seen(None))).failure.is_none());
    }

    #[test]
    fn a_refusal_that_can_only_power_off_is_one() {
        let refused = ended(How::Exited(0), "error E0203: segment 2\n");
        assert_eq!(Report::of(&refused, 60).status, 101);
    }

    #[test]
    fn a_verdict_before_a_power_off_is_one() {
        for (line, status) in [("verdict: good\n", 0), ("verdict: bad 7\n", 1), ("all is good\n", 1)] {
            let powered_off = ended(How::Exited(0), line);
            let report = Report::of(&powered_off, 60);
            assert_eq!(report.status, status, "{line}");
            assert_eq!(report.failure.is_none(), status == 0, "{line}");
        }
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do() {
        let refused = ended(How::Exited(101), "error E0203: segment 2\n");
        let report = Report::of(&refused, 60);
        assert!(report.is_said);
        let failure = report.failure.as_ref().unwrap();
        assert_eq!(failure.to_string(), "error: refused: error E0203: segment 2");
        assert!(failure.help().contains("-pie"), "{failure:?}");
        assert_eq!(report.json(&refused, &Seen::default())["help"], failure.help());
    }
}
