//! For a person with a debugger: a GDB script that loads both stages' symbols at their addresses.
//!
//! The loader lies where firmware puts it until its MMU is on, and from there on where it is linked. Where the kernel
//! lies is known beforehand if a plan of the same boot says so, which a seed makes possible; otherwise when the loader's
//! last instruction is reached: ELR_EL1 then holds the kernel's entry, whatever the slide.

use std::path::Path;

/// What a script is made for.
#[derive(Clone, Copy, Debug)]
pub struct Debugged<'a> {
    /// The loader's ELF file.
    pub loader: &'a Path,
    /// The kernel's ELF file.
    pub kernel: &'a Path,
    /// Where the kernel will be.
    pub place: Place,
    /// The port of the machine to connect to, if there is one.
    pub port: Option<u16>,
}

/// Where the stages will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As a plan of the same boot says.
    Planned {
        /// What is added to the loader's linked addresses while its MMU is off, modulo 2⁶⁴.
        loader: u64,
        /// What is added to the kernel's, modulo 2⁶⁴.
        slide: u64,
    },
    /// Known when the loader leaves.
    Told {
        /// The kernel's entry as linked.
        entry: u64,
        /// The virtual address of the loader's last instruction.
        leave: u64,
    },
}

/// A script's first line, by which one is known.
pub const FIRST_LINE: &str = "# Symbols of both stages: gdb-multiarch -x THIS\n";

/// The script's text.
pub fn script(debugged: &Debugged<'_>) -> String {
    let Debugged { loader, kernel, place, port } = debugged;
    let quoted = |path: &Path| {
        format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
    };
    let (loader, kernel) = (quoted(loader), quoted(kernel));
    let connect = port.map_or_else(String::new, |port| format!("target remote localhost:{port}\n"));
    let symbols = match place {
        Place::Planned { loader: offset, slide } => format!(
            "# The loader where firmware puts it, and where it is linked: it runs there once its MMU is on.\n\
             add-symbol-file {loader} -o {offset:#x}\n\
             add-symbol-file {loader}\n\
             # The kernel where the loader will put it.\n\
             add-symbol-file {kernel} -o {slide:#x}\n"
        ),
        Place::Told { entry, leave } => format!(
            "# The kernel's names are not known yet: `break main` waits for them.\n\
             set breakpoint pending on\n\
             add-symbol-file {loader}\n\
             # The loader's last instruction: ELR_EL1 holds the kernel's entry, whatever the slide.\n\
             tbreak *{leave:#x}\n\
             commands\n\
             silent\n\
             add-symbol-file {kernel} -o $ELR_EL1-{entry:#x}\n\
             stepi\n\
             end\n"
        ),
    };
    // An editor may have loaded the kernel where it is linked.
    format!("{FIRST_LINE}set confirm off\nfile\nset architecture aarch64\n{connect}{symbols}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_these() {
        let told = Debugged {
            loader: Path::new("/a b/elfloader"),
            kernel: Path::new("kernel"),
            place: Place::Told { entry: 0x3b84, leave: 0xFFFF_0080_0000_2E00 },
            port: None,
        };
        assert_eq!(
            script(&told),
            "# Symbols of both stages: gdb-multiarch -x THIS\n\
             set confirm off\n\
             file\n\
             set architecture aarch64\n\
             # The kernel's names are not known yet: `break main` waits for them.\n\
             set breakpoint pending on\n\
             add-symbol-file \"/a b/elfloader\"\n\
             # The loader's last instruction: ELR_EL1 holds the kernel's entry, whatever the slide.\n\
             tbreak *0xffff008000002e00\n\
             commands\n\
             silent\n\
             add-symbol-file \"kernel\" -o $ELR_EL1-0x3b84\n\
             stepi\n\
             end\n"
        );
        let place = Place::Planned { loader: 0xFF_8040_2000, slide: 0xFFFF_6000_0000_0000 };
        assert_eq!(
            script(&Debugged { place, port: Some(1234), ..told }),
            "# Symbols of both stages: gdb-multiarch -x THIS\n\
             set confirm off\n\
             file\n\
             set architecture aarch64\n\
             target remote localhost:1234\n\
             # The loader where firmware puts it, and where it is linked: it runs there once its MMU is on.\n\
             add-symbol-file \"/a b/elfloader\" -o 0xff80402000\n\
             add-symbol-file \"/a b/elfloader\"\n\
             # The kernel where the loader will put it.\n\
             add-symbol-file \"kernel\" -o 0xffff600000000000\n"
        );
    }
}
