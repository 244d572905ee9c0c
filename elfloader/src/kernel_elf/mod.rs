//! The kernel's ELF file: read once, checked completely, before a byte of memory changes.
//!
//! The file is outside bytes. goblin gives the structures, copied out without regard to alignment; every check
//! is made here. Only headers, notes and the dynamic section are read, never a segment's contents, so the cost
//! does not grow with the kernel.
//!
//! Source: ELF gABI ("ELF Header", "Program Header", "Dynamic Section"), ELF for the Arm 64-bit Architecture.

mod dynamic;
mod error;
mod file;
mod limits;
mod segment;
#[cfg(test)]
mod tests;

pub use dynamic::{FileRange, RelocationTables};
pub use error::KernelElfError;
pub(crate) use file::read;
pub use limits::{MAX_DYNAMIC_ENTRIES, MAX_PROGRAM_HEADERS, MAX_SEGMENTS};
pub use segment::Segment;

use file::contents;

use arrayvec::ArrayVec;
use goblin::elf64::header::{
    EI_CLASS, EI_DATA, EI_VERSION, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_AARCH64, ET_DYN, ET_EXEC, EV_CURRENT,
    Header,
};
use goblin::elf64::program_header::{PT_DYNAMIC, PT_GNU_RELRO, PT_LOAD, PT_NOTE, ProgramHeader};
use shared_abi::addr::{PAGE_SHIFT, align_down};
use shared_abi::note::{Note, NoteSearch};

/// Whether the kernel runs only where it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// `ET_EXEC`: only there.
    Fixed,
    /// `ET_DYN`: anywhere, after relocation.
    Independent,
}

/// A kernel that can be planned. What holds of every value:
///
/// - the segments are in ascending order, do not overlap, and share pages only with their like in rights;
/// - one of them is executable and has the entry point among its file bytes;
/// - the note asks for nothing that this version does not serve.
#[derive(Clone, Debug)]
pub struct KernelElf<'a> {
    bytes: &'a [u8],
    segments: ArrayVec<Segment, MAX_SEGMENTS>,
    entry: u64,
    position: Position,
    note: Note,
    relro_pages: (u64, u64),
    tables: RelocationTables,
}

impl<'a> KernelElf<'a> {
    /// Reads and checks the whole file, which may lie at any alignment.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KernelElfError> {
        let mut elf = Self::unread(bytes);
        elf.read()?;
        Ok(elf)
    }

    /// The same in a place of the caller's: a kernel is too large to be handed about.
    ///
    /// # Errors
    /// As [`Self::parse`]; the place is then empty.
    pub fn parse_into<'p>(place: &'p mut Option<Self>, bytes: &'a [u8]) -> Result<&'p Self, KernelElfError> {
        if let Err(error) = place.insert(Self::unread(bytes)).read() {
            *place = None;
            return Err(error);
        }
        place.as_ref().ok_or(KernelElfError::NoSegments)
    }

    /// What is still to be read.
    const fn unread(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            segments: ArrayVec::new_const(),
            entry: 0,
            position: Position::Fixed,
            note: Note::DEFAULT,
            relro_pages: (0, 0),
            tables: RelocationTables::NONE,
        }
    }

    fn read(&mut self) -> Result<(), KernelElfError> {
        let bytes = self.bytes;
        let (header, position) = check_header(bytes)?;
        let mut notes = NoteSearch::new();
        let mut relro = None;
        let mut dynamic = None;
        let length = bytes.len() as u64;
        for (number, program) in (0u8..).zip(program_headers(bytes, &header)?) {
            match program.p_type {
                PT_LOAD => {
                    if let Some(segment) = Segment::new(&program, number, length)? {
                        insert(&mut self.segments, segment)?;
                    }
                }
                PT_NOTE => {
                    let contents = contents(bytes, number, &program)?;
                    notes.segment(contents, program.p_align).map_err(KernelElfError::Note)?;
                }
                PT_GNU_RELRO => {
                    if relro.is_some() {
                        return Err(KernelElfError::SeveralRelro { segment: number });
                    }
                    let (start, length) = (program.p_vaddr, program.p_memsz);
                    let end = start.checked_add(length);
                    relro = Some((
                        start,
                        end.ok_or(KernelElfError::RelroWraps { segment: number, start, length })?,
                    ));
                }
                PT_DYNAMIC => {
                    if dynamic.is_some() {
                        return Err(KernelElfError::SeveralDynamic { segment: number });
                    }
                    dynamic = Some(contents(bytes, number, &program)?);
                }
                _ => {}
            }
        }
        check_neighbours(&self.segments)?;
        check_entry(header.e_entry, &self.segments)?;
        self.entry = header.e_entry;
        self.position = position;
        self.note = notes.finish().map_err(KernelElfError::Note)?;
        self.tables = RelocationTables::parse(dynamic.unwrap_or_default(), &self.segments)?;
        self.relro_pages = relro.map_or((0, 0), |(start, end)| relro_pages(start, end, &self.segments));
        Ok(())
    }

    /// The file.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Loadable segments by ascending address.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Link-time address of the entry point.
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// Whether the kernel may be moved.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// What the kernel asks for.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Where the relocations are.
    pub const fn relocation_tables(&self) -> &RelocationTables {
        &self.tables
    }

    /// Numbers of the virtual pages, half-open, that are read-only once relocated (`PT_GNU_RELRO`): those of
    /// which no byte outside the range belongs to a segment.
    pub const fn relro_pages(&self) -> (u64, u64) {
        self.relro_pages
    }

    /// Numbers of the virtual pages, half-open, from the first segment's to the last one's.
    pub fn image_pages(&self) -> (u64, u64) {
        match (self.segments.first(), self.segments.last()) {
            (Some(first), Some(last)) => (first.first_page(), last.end_page()),
            _ => (0, 0),
        }
    }

    /// The largest alignment that a segment asks for.
    pub fn alignment(&self) -> u64 {
        self.segments.iter().map(Segment::alignment).max().unwrap_or(1)
    }
}

/// The ELF header, each field of which is what the loader understands.
fn check_header(bytes: &[u8]) -> Result<(Header, Position), KernelElfError> {
    let magic = bytes.first_chunk().map(|magic| u32::from_le_bytes(*magic));
    if let Some(magic) = magic.filter(|magic| magic.to_le_bytes() != *ELFMAG) {
        return Err(KernelElfError::NotElf { magic });
    }
    let Some(header) = read::<Header>(bytes) else {
        return Err(KernelElfError::Truncated { length: bytes.len() as u64 });
    };
    let ident = &header.e_ident;
    if ident[EI_CLASS] != ELFCLASS64 {
        return Err(KernelElfError::Class { found: ident[EI_CLASS] });
    }
    if ident[EI_DATA] != ELFDATA2LSB {
        return Err(KernelElfError::Endianness { found: ident[EI_DATA] });
    }
    for found in [u32::from(ident[EI_VERSION]), header.e_version] {
        if found != u32::from(EV_CURRENT) {
            return Err(KernelElfError::Version { found });
        }
    }
    let position = match header.e_type {
        ET_EXEC => Position::Fixed,
        ET_DYN => Position::Independent,
        found => return Err(KernelElfError::Type { found }),
    };
    if header.e_machine != EM_AARCH64 {
        return Err(KernelElfError::Machine { found: header.e_machine });
    }
    if usize::from(header.e_ehsize) != size_of::<Header>() {
        return Err(KernelElfError::HeaderSize { found: header.e_ehsize });
    }
    Ok((header, position))
}

/// The program headers, all of which lie in the file.
fn program_headers<'a>(
    bytes: &'a [u8],
    header: &Header,
) -> Result<impl Iterator<Item = ProgramHeader> + use<'a>, KernelElfError> {
    const SIZE: usize = size_of::<ProgramHeader>();
    let count = header.e_phnum;
    if count == 0 {
        return Err(KernelElfError::NoProgramHeaders);
    }
    if usize::from(header.e_phentsize) != SIZE {
        return Err(KernelElfError::ProgramHeaderSize { found: header.e_phentsize });
    }
    if count > MAX_PROGRAM_HEADERS {
        return Err(KernelElfError::TooManyProgramHeaders { found: count });
    }
    let outside =
        KernelElfError::ProgramHeadersOutside { offset: header.e_phoff, count, length: bytes.len() as u64 };
    let start = usize::try_from(header.e_phoff).map_err(|_| outside)?;
    let end = start.checked_add(SIZE * usize::from(count)).ok_or(outside)?;
    let table = bytes.get(start..end).ok_or(outside)?;
    Ok(table.chunks_exact(SIZE).filter_map(read))
}

/// Puts a segment in its place by address. The gABI wants them in order; linker scripts make others.
fn insert(segments: &mut ArrayVec<Segment, MAX_SEGMENTS>, segment: Segment) -> Result<(), KernelElfError> {
    let place =
        segments.iter().rposition(|other| other.start() <= segment.start()).map_or(0, |before| before + 1);
    segments
        .try_insert(place, segment)
        .map_err(|_| KernelElfError::TooManySegments { segment: segment.number() })
}

/// That no two segments share a byte, and none a page with one of other rights.
fn check_neighbours(segments: &[Segment]) -> Result<(), KernelElfError> {
    for pair in segments.windows(2) {
        let [first, second] = pair else { continue };
        if first.end() > second.start() {
            return Err(KernelElfError::Overlap {
                first: first.number(),
                first_range: first.virt(),
                second: second.number(),
                second_range: second.virt(),
            });
        }
        if first.end_page() > second.first_page() && first.rights() != second.rights() {
            return Err(KernelElfError::SharedPage {
                page: second.first_page() << PAGE_SHIFT,
                first: first.number(),
                second: second.number(),
            });
        }
    }
    Ok(())
}

/// That there is something to execute and that the entry point is part of it.
fn check_entry(entry: u64, segments: &[Segment]) -> Result<(), KernelElfError> {
    if segments.is_empty() {
        return Err(KernelElfError::NoSegments);
    }
    let is_executable = |segment: &&Segment| segment.rights().is_some_and(|rights| rights.is_executable());
    let mut executable = segments.iter().filter(is_executable).peekable();
    if executable.peek().is_none() {
        return Err(KernelElfError::NoExecutableSegment);
    }
    if !entry.is_multiple_of(4) {
        return Err(KernelElfError::EntryUnaligned { entry });
    }
    if !executable.any(|segment| segment.holds_in_file(entry, 4)) {
        return Err(KernelElfError::EntryOutside { entry });
    }
    Ok(())
}

/// The pages of which no byte outside `start..end` belongs to a segment.
fn relro_pages(start: u64, end: u64, segments: &[Segment]) -> (u64, u64) {
    const PAGE: u64 = 1 << PAGE_SHIFT;
    let claimed = |from: u64, to: u64| segments.iter().any(|other| other.start() < to && from < other.end());
    let first = align_down(start, PAGE);
    let last = align_down(end, PAGE);
    let first_page = (start >> PAGE_SHIFT) + u64::from(first < start && claimed(first, start));
    let end_page = (end >> PAGE_SHIFT) + u64::from(last < end && !claimed(end, last.saturating_add(PAGE)));
    if first_page < end_page { (first_page, end_page) } else { (0, 0) }
}
