//! What went wrong on the host, in one line that says what to do.
//!
//! Every mistake of a user, a file or the host ends as a [`Failure`]: the tool prints it and leaves with status 2.
//! What the boot would refuse is said with the boot's own code. Nothing in this package panics on what it is given.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use shared_abi::error::Explained;

/// One line for the person at the terminal. Holding one means that nothing half-written was left behind.
///
/// Its `Display` is the first line: `error: no kernel x`, or `error E0203: …` with the code of a refusal. What to do
/// is the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: Option<u16>,
    words: String,
    help: String,
}

/// A result whose error is for the person at the terminal.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure that says `words`, what is wrong, and `help`, what to do.
    pub fn new(words: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: None, words: words.into(), help: help.into() }
    }

    /// What to do.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The code of a refusal.
    pub const fn code(&self) -> Option<u16> {
        self.code
    }

    /// What is wrong, without `error` in front.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// A failure of the system at `path`: `FILE: No such file or directory`.
    pub fn io(path: &Path, error: &std::io::Error) -> Self {
        // The number that std appends, " (os error 2)", tells a person nothing.
        let words = error.to_string();
        let words = words.split(" (os error").next().unwrap_or_default();
        let help = match error.kind() {
            ErrorKind::NotFound => "check the name: it is taken from the folder that the tool runs in",
            ErrorKind::PermissionDenied => "give a file that may be read, or a place that may be written",
            ErrorKind::IsADirectory => "give a file, not a folder",
            ErrorKind::StorageFull => "free some space, or set TMPDIR to a folder that has it",
            _ => "check the file and its file system",
        };
        Self::new(format!("{}: {words}", path.display()), help)
    }

    /// The same failure with its code, in words that tell more.
    pub fn reworded(self, words: impl Into<String>, help: impl Into<String>) -> Self {
        Self { words: words.into(), help: help.into(), ..self }
    }

    /// The same failure, said to be of `what`.
    pub fn within(self, what: impl fmt::Display) -> Self {
        Self { words: format!("{what}: {}", self.words), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "error E{code:04}: {}", self.words),
            None => write!(f, "error: {}", self.words),
        }
    }
}

impl std::error::Error for Failure {}

/// What the boot would refuse, with the code and in the words that the boot has for it.
impl<E: Explained> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: Some(error.code()), words: error.to_string(), help: error.help().to_string() }
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::io(path, &error))
}

/// Whether the folder of a file that is to be written is there: one that is not would be a slip of the pen, and is
/// not made.
pub fn folder_is_there(path: &Path) -> Outcome<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(Failure::new(
            format!("{}: there is no such folder", folder.display()),
            "make the folder first, or correct its name",
        )),
        _ => Ok(()),
    }
}

/// Writes a whole file or nothing: to a neighbour first, then renamed over `path`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let fail = |error| Failure::io(path, &error);
    folder_is_there(path)?;
    let name = path.file_name().ok_or_else(|| {
        Failure::new(format!("{}: not a file name", path.display()), "give the name of a file to write")
    })?;
    let mut neighbour = name.to_os_string();
    neighbour.push(format!(".{}.tmp", std::process::id()));
    let neighbour = path.with_file_name(neighbour);
    let written = std::fs::write(&neighbour, bytes).and_then(|()| std::fs::rename(&neighbour, path));
    if written.is_err() {
        // The neighbour may not exist; the error that matters is the one above.
        let _ = std::fs::remove_file(&neighbour);
    }
    written.map_err(fail)
}

#[cfg(test)]
mod tests {
    use shared_abi::image::HeaderError;

    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = std::env::temp_dir().join(format!("handoff-write-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("taken")).unwrap();
        assert!(write_atomically(&folder.join("taken"), b"x").is_err());
        assert!(
            write_atomically(&folder.join("missing/file"), b"x")
                .unwrap_err()
                .words()
                .contains("no such folder")
        );
        write_atomically(&folder.join("file"), b"x").unwrap();
        assert_eq!(read(&folder.join("file")).unwrap(), b"x");
        let left: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let failure = Failure::from(HeaderError::Short { length: 7 }).within("mine.img");
        assert_eq!(failure.code(), Some(101));
        assert!(failure.to_string().starts_with("error E0101: mine.img: "), "{failure}");
        assert!(failure.help().contains("whole image"), "{failure:?}");
    }

    #[test]
    fn a_missing_file_is_named_without_numbers() {
        let failure = read(Path::new("/nonexistent/kernel")).unwrap_err();
        assert_eq!(failure.to_string(), "error: /nonexistent/kernel: No such file or directory");
    }
}
