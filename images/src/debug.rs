//! For a person with a debugger: a GDB script that loads both stages' symbols at their addresses.
//!
//! The loader lies where it is linked. Where the kernel lies is known when the loader's last instruction is reached:
//! ELR_EL1 then holds its entry, whatever the slide.

use std::path::Path;

/// What a script is made for.
#[derive(Clone, Copy, Debug)]
pub struct Debugged<'a> {
    /// The loader's ELF file.
    pub loader: &'a Path,
    /// The kernel's ELF file.
    pub kernel: &'a Path,
    /// The kernel's entry as linked.
    pub entry: u64,
    /// The virtual address of the loader's last instruction.
    pub leave: u64,
    /// The port of the machine to connect to, if there is one.
    pub port: Option<u16>,
}

/// The script's text.
pub fn script(debugged: &Debugged<'_>) -> String {
    let Debugged { loader, kernel, entry, leave, port } = debugged;
    let quoted = |path: &Path| {
        format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
    };
    let connect = port.map_or_else(String::new, |port| format!("target remote localhost:{port}\n"));
    format!(
        "# Symbols of both stages: gdb-multiarch -x THIS\n\
         set confirm off\n\
         # The kernel's names are not known yet: `break main` waits for them.\n\
         set breakpoint pending on\n\
         set architecture aarch64\n\
         {connect}\
         add-symbol-file {}\n\
         # The loader's last instruction: ELR_EL1 holds the kernel's entry, whatever the slide.\n\
         tbreak *{leave:#x}\n\
         commands\n\
         silent\n\
         add-symbol-file {} -o $ELR_EL1-{entry:#x}\n\
         stepi\n\
         end\n",
        quoted(loader),
        quoted(kernel),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_this() {
        let debugged = Debugged {
            loader: Path::new("/a b/elfloader"),
            kernel: Path::new("kernel"),
            entry: 0x3b84,
            leave: 0xFFFF_0080_0000_2E00,
            port: Some(1234),
        };
        assert_eq!(
            script(&debugged),
            "# Symbols of both stages: gdb-multiarch -x THIS\n\
             set confirm off\n\
             # The kernel's names are not known yet: `break main` waits for them.\n\
             set breakpoint pending on\n\
             set architecture aarch64\n\
             target remote localhost:1234\n\
             add-symbol-file \"/a b/elfloader\"\n\
             # The loader's last instruction: ELR_EL1 holds the kernel's entry, whatever the slide.\n\
             tbreak *0xffff008000002e00\n\
             commands\n\
             silent\n\
             add-symbol-file \"kernel\" -o $ELR_EL1-0x3b84\n\
             stepi\n\
             end\n"
        );
    }
}
