//! `handoff run`: boots an image in QEMU and turns what happened into words and an exit status.

use std::time::Duration;

use serde_json::json;
use shared_abi::image::BootFlags;
use shared_abi::verdict::{Ending, STATUS_HOST_ERROR, STATUS_INTERRUPTED, STATUS_TIME_OUT, Verdict};

use crate::cli::Run;
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::inspect::snapshot::Snapshot;
use crate::inspect::view::{Blob, View};
use crate::qemu::child::{self, Ended, How};
use crate::qemu::parked::Parked;
use crate::verb::keep::Keep;
use crate::verb::ready::{Ready, Wish};
use crate::verb::witness::Witness;
use crate::workspace::Workspace;

pub fn run(workspace: &Workspace, flags: &Run) -> Outcome<u8> {
    let keep = flags.keep.as_deref().map(Keep::in_folder).transpose()?;
    let echo = !flags.json && !flags.quiet;
    let interactive = child::has_terminal() && echo;
    // A debugger of the person's own is the only one that QEMU serves, and a given image is booted as it is.
    let watched = (flags.json || flags.keep.is_some()) && flags.gdb.is_none() && flags.image.is_none();
    let wish = Wish {
        image: flags.image.as_ref(),
        interactive,
        port: flags.gdb,
        flags: if watched { BootFlags::SEMIHOSTING | BootFlags::PAUSE } else { BootFlags::SEMIHOSTING },
        ..Wish::new(&flags.wanted)
    };
    let mut ready = Ready::new(workspace, &wish)?;
    ready.check_version()?;
    if let Some(port) = flags.gdb {
        wait_for_debugger(&mut ready, port)?;
    }
    // A person with a debugger takes as long as they take.
    let patience = if flags.gdb.is_some() { u32::MAX } else { ready.staged.recipe.timeout };
    let timeout = flags.timeout.unwrap_or(patience);
    let patience = Duration::from_secs(timeout.into());
    let monitor = ready.staged.monitor();
    let witness = if watched { Some(Witness::call(&mut ready, patience)?) } else { None };
    let options = child::Options { timeout: patience, echo, interactive, monitor: Some(&monitor) };
    let ended = child::run(&ready.program, &ready.arguments, options);
    let seen = witness.map_or(Ok(None), Witness::told);
    let (ended, seen) = (ended?, seen?);
    let report = Report::of(&ended, timeout);
    let json = format!("{}\n", report.json(&ended, seen.as_ref()));
    if let Some(keep) = keep {
        keep.everything(&ready.staged.image, &ended.console.text(), &json, seen.as_ref())?;
    }
    drop(ready);
    if flags.json {
        return super::print(&json).map(|_| report.status);
    }
    for line in report.lines(flags.quiet, &ended) {
        super::complain(&line);
    }
    Ok(report.status)
}

/// Makes the machine wait, and says what to type.
fn wait_for_debugger(ready: &mut Ready, port: u16) -> Outcome<()> {
    // QEMU would say it too, but in words of its own and after the line below.
    std::net::TcpListener::bind(("localhost", port))
        .map_err(|_| Failure::new(format!("port {port} is in use: give another, as in --gdb=2345")))?;
    ready.arguments.extend(["-S".into(), "-gdb".into(), format!("tcp:localhost:{port}")]);
    let line = match ready.script() {
        Some(script) => format!("gdb-multiarch -x {}", script.display()),
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
    /// What a person should know beyond what the console said.
    words: Option<String>,
}

impl Report {
    /// What the machine itself has told.
    fn ended(ending: Ending) -> Self {
        Self { status: ending.run_status(), ending: Some(ending), words: None }
    }

    fn of(ended: &Ended, timeout: u32) -> Self {
        let said = |status, words: String| Self { status, ending: None, words: Some(words) };
        match ended.how {
            How::TimedOut => {
                said(STATUS_TIME_OUT, format!("no verdict within {timeout} s: the machine was ended"))
            }
            How::Parked(Parked { ending, code }) => Self {
                ending: Some(ending),
                ..said(
                    ending.run_status(),
                    match code {
                        0 => format!("the machine was parked: {ending}"),
                        code => format!(
                            "the loader parked the machine: error E{code:04}, which docs/errors.md explains"
                        ),
                    },
                )
            },
            How::Interrupted(_) => said(STATUS_INTERRUPTED, "interrupted: the machine was ended".into()),
            How::Killed(signal) => said(STATUS_HOST_ERROR, format!("QEMU was killed by signal {signal}")),
            // Without semihosting a machine ends by a power-off, which carries no status: what was said last counts.
            How::Exited(0) => match (ended.console.error(), ended.console.verdict()) {
                (Some(_), _) => Self::ended(Ending::Refused),
                (None, Some(verdict)) => Self::ended(verdict.ending()),
                (None, None) => said(
                    Ending::Bad.run_status(),
                    "the machine powered off without a verdict: that is not success".into(),
                ),
            },
            How::Exited(status) => match Ending::from_exit_subcode(status as u64) {
                Some(ending) => Self::ended(ending),
                None => said(
                    STATUS_HOST_ERROR,
                    format!("QEMU failed with status {status}; its own words are above"),
                ),
            },
        }
    }

    /// Lines for standard error.
    fn lines(&self, quiet: bool, ended: &Ended) -> Vec<Failure> {
        let console = &ended.console;
        let words = match (&self.words, self.ending) {
            (Some(words), _) => Some(words.clone()),
            (None, Some(Ending::Bad)) => Some(match console.verdict() {
                Some(Verdict::Bad(code)) => format!("the kernel's verdict is bad, its code {code}"),
                _ => "the kernel's verdict is bad, and it gave no code".into(),
            }),
            // The console has said what happened, unless nobody saw it.
            (None, Some(Ending::Good)) | (None, None) => None,
            (None, Some(ending)) if quiet => {
                Some(console.error().map_or_else(|| ending.to_string(), |line| format!("{ending}: {line}")))
            }
            (None, Some(_)) => None,
        };
        words.into_iter().map(Failure::new).collect()
    }

    /// What a script wants to know. The timeline is there if the kernel was entered and somebody watched.
    fn json(&self, ended: &Ended, seen: Option<&Snapshot>) -> serde_json::Value {
        let blob = seen.map(Blob::of);
        let view = seen.zip(blob.as_ref()).map(|(snapshot, blob)| View::new(snapshot, blob));
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
            "words": self.words,
            "seconds": ended.elapsed.as_secs_f64(),
            "timeline": view.map(|view| inspect::json::timeline(&view)),
            "console": console.text(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::console::Console;

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
            (How::Parked(Parked { ending: Ending::Refused, code: 802 }), 101),
            (How::Parked(Parked { ending: Ending::LoaderFault, code: 0 }), 102),
            (How::Interrupted(2), 130),
            (How::Killed(9), 2),
        ] {
            let report = Report::of(&ended(how, ""), 60);
            assert_eq!(report.status, status, "{how:?}");
            let explained = !report.lines(true, &ended(how, "")).is_empty();
            assert_eq!(explained, status != 0, "{how:?}: nothing but success is silent");
        }
    }

    #[test]
    fn a_bad_verdict_is_told_with_its_code() {
        let bad = ended(How::Exited(65), "hello\nverdict: bad 7\n");
        let report = Report::of(&bad, 60);
        let lines: Vec<_> = report.lines(false, &bad).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["error: the kernel's verdict is bad, its code 7"]);
        assert_eq!(
            report.json(&bad, None),
            json!({
                "status": 1, "ending": "bad", "verdict": { "good": false, "code": 7 }, "error": null,
                "words": null, "seconds": 1.5, "timeline": null, "console": "hello\nverdict: bad 7\n",
            })
        );
    }

    #[test]
    fn a_parked_machine_is_told_with_its_code() {
        let parked = ended(How::Parked(Parked { ending: Ending::Refused, code: 105 }), "");
        let lines = Report::of(&parked, 60).lines(false, &parked);
        assert!(lines[0].words().contains("error E0105"), "{lines:?}");
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
            assert_eq!(report.lines(false, &powered_off).is_empty(), status == 0, "{line}");
        }
    }

    #[test]
    fn a_quiet_refusal_still_says_why() {
        let refused = ended(How::Exited(101), "error E0203: segment 2\n");
        let report = Report::of(&refused, 60);
        assert_eq!(report.lines(false, &refused), []);
        assert_eq!(report.lines(true, &refused)[0].to_string(), "error: refused: error E0203: segment 2");
    }
}
