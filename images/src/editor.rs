//! What VS Code reads to start a machine and debug it: `.vscode/launch.json` and `.vscode/tasks.json`.
//!
//! A task runs `handoff run --gdb`, which writes the debugger's script anew each time: the files stay right when a stage
//! is built again. The debugger's extension is C/C++ (`ms-vscode.cpptools`), which speaks to GDB.

use serde_json::json;

/// What is debugged, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// What is booted on what: `kernel on virt`.
    pub title: &'a str,
    /// The kernel's ELF file.
    pub program: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// Its arguments for a machine that waits for a debugger.
    pub run: &'a [String],
    /// The debugger's script, which the tool writes.
    pub script: &'a str,
}

/// `launch.json`.
pub fn launch(session: &Session<'_>) -> String {
    let source = format!("source {}", session.script);
    pretty(json!({
        "version": "0.2.0",
        "configurations": [{
            "name": session.title,
            "type": "cppdbg",
            "request": "launch",
            "program": session.program,
            "cwd": "${workspaceFolder}",
            "preLaunchTask": task(session),
            "MIMode": "gdb",
            "miDebuggerPath": "gdb-multiarch",
            // In place of its own: the script connects, and knows where the stages lie.
            "customLaunchSetupCommands": [{ "text": source }],
            "launchCompleteCommand": "None",
        }],
    }))
}

/// `tasks.json`.
pub fn tasks(session: &Session<'_>) -> String {
    pretty(json!({
        "version": "2.0.0",
        "tasks": [{
            "label": task(session),
            "type": "process",
            "command": session.tool,
            "args": session.run,
            "isBackground": true,
            "presentation": { "panel": "dedicated" },
            // A task without an end is ready when it says so; what it says is no problem of a file.
            "problemMatcher": {
                "pattern": { "regexp": "^$", "file": 1, "location": 2, "message": 3 },
                "background": {
                    "activeOnStart": true,
                    "beginsPattern": "^$",
                    "endsPattern": "^waiting for a debugger",
                },
            },
        }],
    }))
}

fn task(session: &Session<'_>) -> String {
    format!("handoff: {}", session.title)
}

fn pretty(value: serde_json::Value) -> String {
    format!("{value:#}\n")
}
