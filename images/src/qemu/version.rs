//! Which QEMU there is, and whether it will do.

use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Outcome};

/// The oldest version that the machine table was tried with.
pub const OLDEST: (u32, u32) = (7, 2);

/// The program: what the set-up found, else the one in `PATH`.
pub fn program() -> String {
    let found = std::env::var("HANDOFF_QEMU").ok().filter(|value| !value.is_empty());
    found.unwrap_or_else(|| "qemu-system-aarch64".into())
}

/// A question for QEMU's version, asked early and answered while other work is done.
pub struct Asked {
    child: Child,
    program: String,
}

/// Asks `program` for its version.
pub fn ask(program: &str) -> Outcome<Asked> {
    let child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| missing(program, &error))?;
    Ok(Asked { child, program: program.into() })
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
    pub fn answer(self) -> Outcome<(u32, u32)> {
        let output = self.child.wait_with_output().map_err(|error| missing(&self.program, &error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = parse(&text).ok_or_else(|| {
            Failure::new(
                format!("{} --version says nothing of a QEMU version", self.program),
                "set HANDOFF_QEMU to a qemu-system-aarch64",
            )
        })?;
        if version < OLDEST {
            let (major, minor) = version;
            return Err(Failure::new(
                format!(
                    "{} is QEMU {major}.{minor}: at least {}.{} is needed",
                    self.program, OLDEST.0, OLDEST.1
                ),
                "take one from your distribution's backports or qemu.org, or set HANDOFF_QEMU to another",
            ));
        }
        Ok(version)
    }
}

fn parse(text: &str) -> Option<(u32, u32)> {
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
        let Err(failure) = ask("/nonexistent/qemu") else { panic!("started") };
        let words = failure.to_string();
        assert!(failure.help().contains("install qemu-system-arm") && !words.contains('\n'), "{words}");
    }

    #[test]
    fn something_that_is_not_qemu_is_refused() {
        assert!(ask("true").unwrap().answer().is_err());
    }
}
