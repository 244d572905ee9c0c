//! A stage's ELF file as a person sees it: names and source lines of its code, and where a name or a line is.
//!
//! Names come from the symbol table, lines and inlined calls from DWARF. A file without either has no names, and is
//! otherwise as good as another. Addresses are those of the running machine: the slide is taken off inside.

use std::path::{Path, PathBuf};

use gimli::{EndianArcSlice, LittleEndian};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind, elf};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome, read};
use crate::suggest;

type Lines = addr2line::Context<EndianArcSlice<LittleEndian>>;

/// A place in the code: what a line of a backtrace says of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The function, with the distance from its start if it is not inlined: `kernel::main+0x1c`.
    pub function: Option<String>,
    /// The source file, as short as it is clear, and the line.
    pub line: Option<(String, u32)>,
    /// Whether the function was inlined into the one that comes next.
    pub inlined: bool,
}

/// A section of an ELF file, where it is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its virtual address.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
}

/// What an ELF file says of a kernel beside its code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The sections that are loaded, where they lie.
    pub sections: Vec<Section>,
    /// The symbol of its entry.
    pub entry: Option<String>,
}

/// A function or a variable of the symbol table.
#[derive(Clone, Debug)]
struct Symbol {
    start: u64,
    length: u64,
    name: String,
}

impl Symbol {
    /// The name of an address in it, with the distance from its start.
    fn at(&self, linked: u64) -> String {
        match linked - self.start {
            0 => self.name.clone(),
            distance => format!("{}+{distance:#x}", self.name),
        }
    }
}

/// The symbols that have a name of a person's, in the order of their addresses.
fn in_order<'a>(symbols: impl Iterator<Item = impl ObjectSymbol<'a>>) -> Vec<Symbol> {
    let mut symbols: Vec<_> = symbols
        .filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with(['$', '.']))?;
            let name = format!("{:#}", rustc_demangle::demangle(name));
            Some(Symbol { start: symbol.address(), length: symbol.size(), name })
        })
        .collect();
    symbols.sort_by(|a, b| a.start.cmp(&b.start).then(b.length.cmp(&a.length)));
    symbols
}

/// The last symbol that begins at an address or in front of it.
fn holding(symbols: &[Symbol], linked: u64) -> Option<&Symbol> {
    let after = symbols.partition_point(|symbol| symbol.start <= linked);
    let nearest = symbols[..after].last()?;
    // At one address the name with a length comes first: the others are labels at its start.
    symbols.get(symbols.partition_point(|symbol| symbol.start < nearest.start))
}

/// A stage's ELF file.
pub struct Program {
    functions: Vec<Symbol>,
    variables: Vec<Symbol>,
    /// Sections that are loaded.
    sections: Vec<Section>,
    /// Sections with code: address and bytes.
    code: Vec<(u64, Vec<u8>)>,
    lines: Option<Lines>,
    entry: u64,
    slide: u64,
    /// The folder that source files are named from.
    root: PathBuf,
}

impl Program {
    /// Reads a stage's ELF file. `root` is the folder that its source files are named from.
    pub fn open(path: &Path, root: &Path) -> Outcome<Self> {
        let file = read(path)?;
        let parsed = ElfFile64::<Endianness>::parse(&file[..]).map_err(|error| {
            Failure::new(
                format!("{}: {error}", path.display()),
                "give the ELF file that the linker made of the kernel",
            )
        })?;
        let mut code = Vec::new();
        let mut sections = Vec::new();
        for section in parsed.sections().filter(|section| section.kind() == SectionKind::Text) {
            code.push((section.address(), section.data().unwrap_or_default().to_vec()));
            sections.push(section.index());
        }
        if code.is_empty() {
            // Stripped of its sections.
            let endian = parsed.endian();
            let headers = parsed.elf_program_headers().iter();
            let executable = headers.filter(|header| {
                header.p_type(endian) == elf::PT_LOAD && header.p_flags(endian).contains(elf::PF_X)
            });
            code.extend(executable.map(|header| {
                (header.p_vaddr(endian), header.data(endian, &file[..]).unwrap_or_default().to_vec())
            }));
        }
        let is_code = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown);
        let symbols = || parsed.symbols().filter_map(|symbol| Some((symbol.section_index()?, symbol)));
        let functions =
            symbols().filter(|(section, symbol)| sections.contains(section) && is_code(symbol.kind()));
        let variables = symbols().filter(|(_, symbol)| symbol.kind() == SymbolKind::Data);
        let functions = in_order(functions.map(|(_, symbol)| symbol));
        let variables = in_order(variables.map(|(_, symbol)| symbol));
        let section = |id: gimli::SectionId| {
            let data = parsed.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
            Ok::<_, gimli::Error>(EndianArcSlice::new(data.unwrap_or_default().into(), LittleEndian))
        };
        let is_loaded = |flags| matches!(flags, object::SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC));
        let loaded = parsed.sections().filter(|section| is_loaded(section.flags()) && section.size() != 0);
        let loaded = loaded.filter_map(|section| {
            let name = section.name().ok()?.to_owned();
            Some(Section { name, start: section.address(), length: section.size() })
        });
        let loaded = loaded.collect();
        let lines = gimli::Dwarf::load(section).and_then(Lines::from_dwarf).ok();
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        Ok(Self {
            functions,
            variables,
            sections: loaded,
            code,
            lines,
            entry: parsed.entry(),
            slide: 0,
            root,
        })
    }

    /// What of the file a report of the running machine shows.
    pub fn parts(&self) -> Parts {
        let slid =
            |section: &Section| Section { start: section.start.wrapping_add(self.slide), ..section.clone() };
        Parts {
            sections: self.sections.iter().map(slid).collect(),
            entry: self.function(self.entry).map(|symbol| symbol.at(self.entry)),
        }
    }

    /// The same file where it lies once its first instruction is at `entry`.
    pub fn entered_at(self, entry: u64) -> Self {
        Self { slide: entry.wrapping_sub(self.entry), ..self }
    }

    /// Whether an address of the machine is in this file's code.
    pub fn has(&self, address: u64) -> bool {
        let linked = address.wrapping_sub(self.slide);
        self.code.iter().any(|(start, bytes)| linked.wrapping_sub(*start) < bytes.len() as u64)
    }

    /// Where the function that holds `address` begins.
    pub fn function_start(&self, address: u64) -> Option<u64> {
        self.function(address.wrapping_sub(self.slide))
            .map(|function| function.start.wrapping_add(self.slide))
    }

    /// Every place of an instruction in the code.
    pub fn instructions(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<u64> {
        let words = self.code.iter().flat_map(|(start, bytes)| {
            (*start..).step_by(4).zip(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)))
        });
        words
            .filter(|(_, word)| is_wanted(*word))
            .map(|(linked, _)| linked.wrapping_add(self.slide))
            .collect()
    }

    /// Whether the function that holds `address` has stored its frame record by then (`stp x29, x30, [sp, …]`), so
    /// that x30 need no longer be its caller.
    pub fn has_frame_record(&self, address: u64) -> bool {
        let Some(start) = self.function_start(address) else { return false };
        // The offset form and the pre-indexed form (Arm ARM C6.2.361).
        let stores = self.instructions(|word| matches!(word & 0xFFC0_7FFF, 0xA900_7BFD | 0xA980_7BFD));
        stores.iter().any(|at| (start..address).contains(at))
    }

    fn function(&self, linked: u64) -> Option<&Symbol> {
        holding(&self.functions, linked)
            .filter(|found| found.length == 0 || linked - found.start < found.length)
    }

    /// The variable that holds an address of the machine, with the distance from its start: `LOCK+0x8`.
    pub fn variable(&self, address: u64) -> Option<String> {
        let linked = address.wrapping_sub(self.slide);
        let found = holding(&self.variables, linked).filter(|found| linked - found.start < found.length)?;
        Some(found.at(linked))
    }

    /// What is at an address of the machine, the innermost inlined call first; empty outside this file's code.
    pub fn places(&self, address: u64) -> Vec<Place> {
        if !self.has(address) {
            return Vec::new();
        }
        let linked = address.wrapping_sub(self.slide);
        let mut places = Vec::new();
        if let Some(lines) = &self.lines
            && let Ok(mut frames) = lines.find_frames(linked).skip_all_loads()
        {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
                let line = frame
                    .location
                    .as_ref()
                    .and_then(|location| Some((self.short(location.file?), location.line?)));
                let function = name.map(|name| without_hash(&name).to_owned());
                places.push(Place { function, line, inlined: true });
            }
        }
        if places.is_empty() {
            places.push(Place::default());
        }
        if let Some(outermost) = places.last_mut() {
            outermost.inlined = false;
            // The symbol's name: that of DWARF lacks the distance, and assembly has none there.
            if let Some(function) = self.function(linked) {
                outermost.function = Some(function.at(linked));
            }
        }
        places
    }

    /// The addresses that a person means by a name: `kmain`, `kernel::main`, `main.rs:42`.
    pub fn find(&self, what: &str) -> Outcome<Vec<u64>> {
        let line = what.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<u32>().ok()?)));
        let found = match line {
            Some((file, line)) => self.line(what, file, line)?,
            None => self.name(what)?,
        };
        Ok(found.into_iter().map(|linked| linked.wrapping_add(self.slide)).collect())
    }

    fn name(&self, what: &str) -> Outcome<Vec<u64>> {
        let is_meant =
            |name: &str| name == what || name.strip_suffix(what).is_some_and(|rest| rest.ends_with("::"));
        let mut found: Vec<u64> = self
            .functions
            .iter()
            .filter(|function| is_meant(&function.name))
            .map(|function| function.start)
            .collect();
        found.dedup();
        if found.is_empty() {
            found = self.inlined(&is_meant);
        }
        if found.is_empty() {
            let last = |function: &Symbol| function.name.rsplit("::").next().map(str::to_owned);
            let known: Vec<String> = self.functions.iter().filter_map(last).collect();
            let known = known.iter().map(String::as_str);
            let help = match suggest::nearest(what, known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "give a function of the kernel, FILE:LINE, entry, fault, exit or hang".to_owned(),
            };
            return Err(Failure::new(format!("the kernel has no function {what}"), help));
        }
        Ok(found)
    }

    /// Where code begins that was inlined from a function.
    fn inlined(&self, is_meant: &impl Fn(&str) -> bool) -> Vec<u64> {
        let mut found = Vec::new();
        for (start, bytes) in &self.code {
            let mut was_in = false;
            for linked in (*start..start + bytes.len() as u64).step_by(4) {
                let places = self.places(linked.wrapping_add(self.slide));
                let is_in = places
                    .iter()
                    .any(|place| place.inlined && place.function.as_deref().is_some_and(is_meant));
                if is_in && !was_in {
                    found.push(linked);
                }
                was_in = is_in;
            }
        }
        found
    }

    /// Where the code of a line begins, or that of the first line behind it which has code.
    fn line(&self, what: &str, file: &str, line: u32) -> Outcome<Vec<u64>> {
        let is_meant = |path: &str| {
            let rest = path.strip_suffix(file);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/') || file.starts_with('/'))
        };
        let mut known = false;
        let mut found: Vec<(u32, u64)> = Vec::new();
        for (start, bytes) in &self.code {
            let end = start + bytes.len() as u64;
            let ranges = self.lines.as_ref().and_then(|lines| lines.find_location_range(*start, end).ok());
            for (at, _, location) in ranges.into_iter().flatten() {
                if location.file.is_some_and(is_meant) {
                    known = true;
                    found.extend(location.line.filter(|number| *number >= line).map(|number| (number, at)));
                }
            }
        }
        let Some(nearest) = found.iter().map(|(number, _)| *number).min() else {
            let words = format!("the kernel has no code for {what}");
            return Err(match known {
                true => Failure::new(words, "give a line in front of the file's last one with code"),
                false => {
                    Failure::new(words, "check the file's name, and that the kernel is built with debug = 1")
                }
            });
        };
        found.retain(|(number, _)| *number == nearest);
        // A line may have code in many places, and which comes first is for the machine to say.
        let mut places: Vec<u64> = found.into_iter().map(|(_, at)| at).collect();
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// A source file's name from the folder that a person would look in.
    fn short(&self, file: &str) -> String {
        if let Ok(inside) = Path::new(file).strip_prefix(&self.root) {
            return inside.display().to_string();
        }
        // `…/registry/src/INDEX/CRATE/src/lib.rs`, `/rustc/HASH/library/core/…`.
        let behind = |mark: &str, skipped: usize| {
            let (_, rest) = file.split_once(mark)?;
            rest.splitn(skipped + 1, '/').nth(skipped)
        };
        behind("/registry/src/", 1).or_else(|| behind("/rustc/", 1)).unwrap_or(file).to_owned()
    }

    /// A line of a source file, if the file is there.
    pub fn source(&self, file: &str, line: u32) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join(file)).ok()?;
        text.lines().nth(line.checked_sub(1)? as usize).map(|line| line.trim().to_owned())
    }
}

/// A demangled name without the hash that old mangling appends.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.function.as_deref().unwrap_or("?"))?;
        if let Some((file, line)) = &self.line {
            write!(f, " at {file}:{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program itself: an ELF file with names and lines that the compiler has just made.
    fn own() -> Program {
        Program::open(
            &std::env::current_exe().unwrap(),
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(),
        )
        .unwrap()
    }

    #[inline(never)]
    fn landmark() -> u64 {
        std::hint::black_box(line!()).into()
    }

    #[test]
    fn a_name_leads_to_its_line_and_back() {
        let line = landmark();
        let own = own().entered_at(0x10_0000);
        let found = own.find("program::tests::landmark").unwrap();
        assert_eq!(found.len(), 1);
        let places = own.places(found[0]);
        let place = places.last().unwrap();
        assert!(place.function.as_deref().unwrap().ends_with("tests::landmark"), "{place}");
        let (file, at) = place.line.clone().unwrap();
        assert_eq!(file, "images/src/inspect/program.rs");
        assert!((line - 3..=line).contains(&u64::from(at)), "{at} is not near {line}");
        // Two bytes of the machine's code further is another instruction of the same function.
        assert!(own.places(found[0] + 4).last().unwrap().function.as_deref().unwrap().ends_with("+0x4"));
        let by_line = own.find(&format!("program.rs:{line}")).unwrap();
        assert!(
            by_line.iter().any(|at| own.function_start(*at) == Some(found[0])),
            "{by_line:x?} {found:x?}"
        );
        assert!(own.source(&file, at).is_some());
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is_near() {
        let own = own();
        let failure = own.find("landmrk").unwrap_err();
        assert_eq!(failure.words(), "the kernel has no function landmrk");
        assert_eq!(failure.help(), "did you mean landmark?");
        assert!(own.find("nowhere.rs:3").unwrap_err().help().contains("debug = 1"));
        assert!(own.find("program.rs:999999").unwrap_err().help().contains("last one"));
        assert_eq!(own.places(8), []);
        assert!(Program::open(Path::new(file!()), Path::new(".")).is_err());
    }

    #[test]
    fn hashes_are_no_part_of_a_name() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::hello"), "a::hello");
    }
}
