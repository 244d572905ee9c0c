//! A folder for what one command needs and nobody wants afterwards.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::failure::{Failure, Outcome};

/// A folder that is gone, with all in it, when the value is.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder that only this user can read.
    pub fn new() -> Outcome<Self> {
        use std::os::unix::fs::DirBuilderExt;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder().join(format!("handoff-{}-{number}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        match made {
            // A process of the same number was killed before it could clean up.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let again = std::fs::remove_dir_all(&path)
                    .and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(&path));
                again.map_err(|error| Failure::io(&path, &error))?;
            }
            made => made.map_err(|error| Failure::io(&path, &error))?,
        }
        Ok(Self(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// The longest name of a folder whose files can be sockets: `sun_path` has 108 bytes (unix(7)).
const LONGEST: usize = 64;

/// Where temporary files go: not too deep for sockets.
fn folder() -> PathBuf {
    Some(std::env::temp_dir())
        .filter(|path| path.as_os_str().len() <= LONGEST)
        .unwrap_or_else(|| "/tmp".into())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let scratch = Scratch::new().unwrap();
        std::fs::write(scratch.file("x"), "x").unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
