//! What `run --keep` leaves in a folder: the image, the console, the report, and dumps of what was seen.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome, write_atomically};
use crate::inspect::dump;
use crate::verb::witness::Seen;

/// A folder to keep things in. Holding one proves that it was there, or could be made, before the boot.
pub struct Keep(PathBuf);

impl Keep {
    /// In this folder, which is made unless it is there; the one around it must be.
    pub fn in_folder(folder: &Path) -> Outcome<Self> {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Failure::io(folder, &error))
            }
            Err(_) if !folder.is_dir() => {
                Err(Failure::new(format!("{} is a file", folder.display()), "give --keep a folder"))
            }
            _ => Ok(Self(folder.into())),
        }
    }

    /// Keeps what there is. A dump of an earlier boot does not stay beside the report of this one.
    pub fn everything(&self, image: &[u8], console: &str, report: &str, seen: &Seen) -> Outcome<()> {
        write_atomically(&self.0.join("image"), image)?;
        write_atomically(&self.0.join("console.txt"), console.as_bytes())?;
        write_atomically(&self.0.join("report.json"), report.as_bytes())?;
        for (name, snapshot) in [("handoff.core", &seen.entry), ("failure.core", &seen.failure)] {
            let core = self.0.join(name);
            match snapshot {
                Some(snapshot) => write_atomically(&core, &dump::encode(snapshot))?,
                None => match std::fs::remove_file(&core) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Failure::io(&core, &error));
                    }
                    _ => {}
                },
            }
        }
        Ok(())
    }
}
