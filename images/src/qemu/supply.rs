//! What some machines need beside QEMU: a board's device tree, U-Boot.
//!
//! Both come from Debian's packages. They are looked for where the set-up leaves them, and the set-up is asked to
//! bring what is not there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};
use crate::machine::{Machine, Tree, WayIn};
use crate::qemu::version;
use crate::workspace::Workspace;

/// Where Debian's u-boot-qemu has U-Boot for QEMU's 64-bit `virt`.
const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// The files that a machine needs. Each one that is named was there.
#[derive(Clone, Debug, Default)]
pub struct Supply {
    /// The device tree that the machine is to hand over, where QEMU does not make it.
    pub tree: Option<PathBuf>,
    /// U-Boot.
    pub u_boot: Option<PathBuf>,
}

impl Supply {
    /// Finds what `machine` needs to be started by `way_in`, with its own tree unless one is packed.
    ///
    /// # Errors
    /// Something is missing and the set-up could not bring it.
    pub fn find(
        workspace: &Workspace,
        machine: &Machine,
        way_in: WayIn,
        tree_is_packed: bool,
    ) -> Outcome<Self> {
        let mut supply = Self::default();
        if let (Tree::Debian(path), false) = (machine.tree, tree_is_packed) {
            supply.tree = Some(found_or_brought(workspace, tree(path), || {
                Failure::new(
                    format!("{} needs the device tree {path} of Debian's arm64 kernel package", machine.name),
                    format!("give it with --dtb FILE, or set HANDOFF_TREES to the folder that holds {path}"),
                )
            })?);
        }
        if way_in == WayIn::UBoot {
            supply.u_boot = Some(found_or_brought(workspace, Some(u_boot()), || {
                Failure::new(
                    format!("{} is not there", u_boot().display()),
                    "install u-boot-qemu (Debian), or set HANDOFF_U_BOOT to U-Boot for QEMU's 64-bit virt",
                )
            })?);
        }
        Ok(supply)
    }

    /// Whether all that `machine` needs is there already.
    pub fn is_there(machine: &Machine) -> bool {
        let tree = match machine.tree {
            Tree::Machine => true,
            Tree::Debian(path) => tree(path).is_some_and(|file| file.is_file()),
        };
        tree && (machine.since == version::OLDEST
            || version::is_since(&version::program(machine.since), machine.since))
            && (machine.way_in != WayIn::UBoot || u_boot().is_file())
    }
}

/// A tree by its path in the package; `None` without a set-up, which says where the trees are.
fn tree(path: &str) -> Option<PathBuf> {
    std::env::var_os("HANDOFF_TREES").map(|folder| PathBuf::from(folder).join(path))
}

fn u_boot() -> PathBuf {
    std::env::var_os("HANDOFF_U_BOOT").map_or_else(|| U_BOOT.into(), PathBuf::from)
}

/// The file if it is there, now or after the set-up.
fn found_or_brought(
    workspace: &Workspace,
    file: Option<PathBuf>,
    missing: impl Fn() -> Failure,
) -> Outcome<PathBuf> {
    let is_there = |file: &PathBuf| file.is_file();
    let file = file.ok_or_else(&missing)?;
    if !is_there(&file) {
        bring(workspace.root());
    }
    Some(file).filter(is_there).ok_or_else(&missing)
}

/// Runs the set-up, which says on standard error what it does. Whether it brought the file is for the caller to see.
fn bring(root: &Path) {
    let script = std::path::absolute(root.join("scripts/setup.sh"));
    let _ = script.and_then(|script| {
        Command::new(script).arg("machines").stdin(Stdio::null()).stdout(Stdio::null()).status()
    });
}
