//! Which QEMU there is, and whether it will do.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Outcome};

/// Major and minor version.
pub type Version = (u32, u32);

/// The oldest version that the machine table was tried with.
pub const OLDEST: Version = (7, 2);

/// The program for a machine that QEMU has since a version: the newer one that the set-up brought if that is needed and
/// there, else what the set-up found, else the one in `PATH`.
pub fn program(since: Version) -> String {
    if let Some(newer) = newer().filter(|_| since > OLDEST) {
        return newer;
    }
    let found = std::env::var("HANDOFF_QEMU").ok().filter(|value| !value.is_empty());
    found.unwrap_or_else(|| "qemu-system-aarch64".into())
}

/// The newer QEMU that the set-up brought, if it could.
pub fn newer() -> Option<String> {
    std::env::var("HANDOFF_NEWER_QEMU").ok().filter(|program| Path::new(program).is_file())
}

/// Whether a program is that new.
pub fn is_since(program: &str, since: Version) -> bool {
    ask(program, since).is_ok_and(|asked| asked.answer().is_ok())
}

/// A question for QEMU's version, asked early and answered while other work is done.
pub struct Asked {
    child: Child,
    program: String,
    since: Version,
}

/// Asks `program` for its version, which has to be one that has what is there since `since`.
pub fn ask(program: &str, since: Version) -> Outcome<Asked> {
    let child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| missing(program, &error))?;
    Ok(Asked { child, program: program.into(), since })
}

fn missing(program: &str, error: &std::io::Error) -> Failure {
    let remedy = "install qemu-system-arm (Debian), or set HANDOFF_QEMU to a qemu-system-aarch64";
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("{program} is not there"), remedy),
        _ => Failure::new(format!("cannot start {program}: {error}"), remedy),
    }
}

impl Asked {
    /// The version, if it is new enough.
    pub fn answer(self) -> Outcome<Version> {
        let output = self.child.wait_with_output().map_err(|error| missing(&self.program, &error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = parse(&text).ok_or_else(|| {
            Failure::new(
                format!("{} --version says nothing of a QEMU version", self.program),
                "set HANDOFF_QEMU to a qemu-system-aarch64",
            )
        })?;
        if version < self.since {
            let ((major, minor), (least, least_minor)) = (version, self.since);
            return Err(Failure::new(
                format!("{} is QEMU {major}.{minor}: at least {least}.{least_minor} is needed", self.program),
                "scripts/setup.sh newer-qemu brings one from Debian's backports; or set HANDOFF_QEMU to another",
            ));
        }
        Ok(version)
    }
}

fn parse(text: &str) -> Option<Version> {
    let version = text.split_once("version ")?.1;
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_first_line() {
        assert_eq!(parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\n"), Some((7, 2)));
        assert_eq!(parse("QEMU emulator version 10.0.2"), Some((10, 0)));
        for text in ["", "version ", "version x.y", "QEMU emulator version 8"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_qemu_is_one_line_with_the_remedy() {
        let Err(failure) = ask("/nonexistent/qemu", OLDEST) else { panic!("started") };
        let words = failure.to_string();
        assert!(failure.help().contains("install qemu-system-arm") && !words.contains('\n'), "{words}");
    }

    #[test]
    fn something_that_is_not_qemu_is_refused() {
        assert!(ask("true", OLDEST).unwrap().answer().is_err());
    }
}
