//! `handoff debug`: what VS Code and GDB need to debug a boot, and the line to type.

use std::path::{Path, PathBuf};

use super::debugger;
use super::output;
use crate::cli::Debug;
use crate::debug::FIRST_LINE;
use crate::editor::{self, Session};
use crate::failure::{Failure, Outcome, read, write_atomically};
use crate::repeat;
use crate::verb::ready::{Ready, Wish};
use crate::workspace::Workspace;

/// A file to write, and whether one that is there is this tool's own, which may be replaced.
struct Piece {
    path: PathBuf,
    text: String,
    is_own: fn(&[u8]) -> bool,
}

pub fn debug(workspace: &Workspace, flags: &Debug) -> Outcome<u8> {
    if !flags.dir.is_dir() {
        return Err(Failure::new(
            format!("{}: there is no such folder", flags.dir.display()),
            "give --dir the folder that you open in the editor",
        ));
    }
    let folder = std::path::absolute(&flags.dir).map_err(|error| Failure::io(&flags.dir, &error))?;
    let wish = Wish { repeats: true, ..Wish::new(&flags.wanted) };
    let mut ready = Ready::new(workspace, &wish)?;
    ready.check_version()?;
    let staged = &ready.staged;
    let script = folder.join("handoff.gdb");
    let text = debugger::of_staged(&ready.program, staged, flags.port)?;
    let kernel = staged.kernel.as_ref().map(std::path::absolute).and_then(Result::ok);
    let (Some(text), Some(kernel)) = (text, kernel) else {
        return Err(Failure::new("there are no ELF files to debug", "give a kernel or a recipe"));
    };
    let root = std::path::absolute(workspace.root()).unwrap_or_else(|_| workspace.root().to_owned());
    let tool = root.join("scripts/handoff").display().to_string();
    let run: Vec<String> = std::iter::once("run".to_owned())
        .chain(repeat::words(&flags.wanted))
        .chain([format!("--gdb={}", flags.port), "--script".into(), script.display().to_string()])
        .chain(repeat::qemu_words(&flags.wanted))
        .collect();
    let session = Session {
        title: &staged.title(),
        program: &kernel.display().to_string(),
        tool: &tool,
        run: &run,
        script: &script.display().to_string(),
    };
    let editor = folder.join(".vscode");
    let nobody = |_: &[u8]| false;
    let pieces = [
        Piece { path: editor.join("launch.json"), text: editor::launch(&session), is_own: nobody },
        Piece { path: editor.join("tasks.json"), text: editor::tasks(&session), is_own: nobody },
        Piece { path: script.clone(), text, is_own: |bytes| bytes.starts_with(FIRST_LINE.as_bytes()) },
    ];
    // All are looked at before one is written.
    let done: Vec<_> = pieces.iter().map(|piece| judge(piece, flags.force)).collect::<Outcome<_>>()?;
    if !editor.is_dir() {
        std::fs::create_dir(&editor).map_err(|error| Failure::io(&editor, &error))?;
    }
    let mut said = String::new();
    for (piece, done) in pieces.iter().zip(done) {
        if done != "unchanged" {
            write_atomically(&piece.path, piece.text.as_bytes())?;
        }
        said += &format!("{done:9}  {}\n", piece.path.display());
    }
    let start: Vec<String> = std::iter::once(&tool).chain(&run).cloned().collect();
    said += &format!(
        "\nVS Code: open {}, take \"{}\" in Run and Debug, press F5; it needs the extension ms-vscode.cpptools\n\
         GDB: {}\n     and in another terminal: gdb-multiarch -x {}\n",
        folder.display(),
        session.title,
        repeat::line(&start),
        repeat::line(&[script.display().to_string()]),
    );
    output::print(&said)
}

/// What becomes of a file, in a word.
fn judge(piece: &Piece, force: bool) -> Outcome<&'static str> {
    let there = |path: &Path| path.try_exists().map_err(|error| Failure::io(path, &error));
    if !there(&piece.path)? {
        return Ok("written");
    }
    let bytes = read(&piece.path)?;
    match bytes == piece.text.as_bytes() {
        true => Ok("unchanged"),
        false if force || (piece.is_own)(&bytes) => Ok("replaced"),
        false => Err(Failure::new(
            format!("{} is there, and another", piece.path.display()),
            "move it away, or give --force to have it replaced",
        )),
    }
}
