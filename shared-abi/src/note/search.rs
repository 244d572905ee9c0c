//! Finding the one Handoff note among the notes of an ELF file.
//!
//! A kernel may have several `PT_NOTE` segments (lld makes one per alignment), each with notes of others
//! (build id, GNU properties): those are skipped. Sizes are outside bytes: one that does not fit its segment is
//! an error, never a read past the end.

use super::{NOTE_NAME, NOTE_TYPE, Note, NoteError};

/// One note of any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name, with its terminating NUL if it has one.
    pub name: &'a [u8],
    /// The type, whose meaning is the name's.
    pub note_type: u32,
    /// The descriptor.
    pub descriptor: &'a [u8],
}

impl Found<'_> {
    /// Whether this is a Handoff note.
    pub fn is_handoff(&self) -> bool {
        self.name == NOTE_NAME && self.note_type == NOTE_TYPE
    }
}

/// The notes of one segment, in file order. Ends after the first malformed one.
///
/// A linker puts notes of alignment 4 and of alignment 8 into one segment, in any order, and fills the gaps with
/// zeros: so zero words where a note could begin are padding (nobody makes notes without a name), and in a segment of alignment 8 each note is read by
/// the padding that it has.
#[derive(Clone, Debug)]
pub struct ElfNotes<'a> {
    bytes: &'a [u8],
    offset: usize,
    may_be_wide: bool,
}

impl<'a> ElfNotes<'a> {
    /// The notes in a segment's bytes. `p_align` 8 or more allows padding to 8 bytes, all else is padding to 4 (ELF
    /// gABI, "Note Section": linkers write 0, 1 and 4 for the latter).
    pub const fn new(bytes: &'a [u8], p_align: u64) -> Self {
        Self { bytes, offset: 0, may_be_wide: p_align >= 8 }
    }

    fn word(&self, offset: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(offset..)?.first_chunk()?))
    }

    /// The note at an offset, padded to `alignment` before its descriptor, and where that ends; `None` if its sizes
    /// do not fit the bytes.
    fn padded(&self, offset: usize, alignment: usize) -> Option<(Found<'a>, usize)> {
        const HEADER: usize = 12;
        let note = self.bytes.get(offset..)?;
        let name_size = usize::try_from(self.word(offset)?).ok()?;
        let descriptor_size = usize::try_from(self.word(offset + 4)?).ok()?;
        let note_type = self.word(offset + 8)?;
        let name_end = HEADER.checked_add(name_size)?;
        let descriptor_start = name_end.checked_next_multiple_of(alignment)?;
        let descriptor_end = descriptor_start.checked_add(descriptor_size)?;
        // An empty descriptor at the very end needs no padding before it.
        let descriptor = match descriptor_size {
            0 => &[],
            _ => note.get(descriptor_start..descriptor_end)?,
        };
        let found = Found { name: note.get(HEADER..name_end)?, note_type, descriptor };
        Some((found, offset.checked_add(descriptor_end)?))
    }

    /// The note at an offset, and where the next one or padding begins.
    fn read(&self, offset: usize) -> Option<(Found<'a>, usize)> {
        let narrow = self.padded(offset, 4);
        let wide = self.padded(offset, 8).filter(|(found, end)| {
            let gap = offset + (12 + found.name.len()).next_multiple_of(4);
            self.may_be_wide && self.word(gap) == Some(0) && self.goes_on(*end)
        });
        let (found, end) = wide.or(narrow)?;
        Some((found, end.checked_next_multiple_of(4)?))
    }

    /// Whether at a note's end there is what can follow one: the segment's end, or a named note.
    fn goes_on(&self, end: usize) -> bool {
        self.skip_zeros(end.next_multiple_of(4)).is_none_or(|next| self.is_named(next))
    }

    /// Whether a note begins at an offset whose name is one: no NUL but the one at its end.
    fn is_named(&self, offset: usize) -> bool {
        let name = self.padded(offset, 4).and_then(|(found, _)| found.name.split_last());
        name.is_some_and(|(_, rest)| !rest.contains(&0))
    }

    /// The first word from an offset on that is not zero; `None` if all are.
    fn skip_zeros(&self, offset: usize) -> Option<usize> {
        let rest = self.bytes.get(offset..)?;
        rest.iter().position(|&byte| byte != 0).map(|at| offset + at / 4 * 4)
    }
}

impl<'a> Iterator for ElfNotes<'a> {
    type Item = Result<Found<'a>, NoteError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.offset = self.skip_zeros(self.offset)?;
        match self.read(self.offset) {
            Some((found, next)) => {
                self.offset = next;
                Some(Ok(found))
            }
            None => {
                let offset = self.offset as u64;
                self.offset = self.bytes.len();
                Some(Err(NoteError::Malformed { offset, length: self.bytes.len() as u64 }))
            }
        }
    }
}

/// Looks for the one Handoff note over all `PT_NOTE` segments of a file.
///
/// Call [`segment`](Self::segment) for each, then [`finish`](Self::finish).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoteSearch {
    note: Option<Note>,
}

impl NoteSearch {
    /// A search that has seen nothing.
    pub const fn new() -> Self {
        Self { note: None }
    }

    /// Looks through the bytes of one segment.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::Several`] or [`NoteError::Short`].
    pub fn segment(&mut self, bytes: &[u8], p_align: u64) -> Result<(), NoteError> {
        for found in ElfNotes::new(bytes, p_align) {
            let found = found?;
            if !found.is_handoff() {
                continue;
            }
            if self.note.is_some() {
                return Err(NoteError::Several);
            }
            self.note = Some(Note::parse(found.descriptor)?);
        }
        Ok(())
    }

    /// The one note that was found, and that this version can serve.
    ///
    /// # Errors
    /// [`NoteError::Missing`], or what [`Note::check`] refuses.
    pub fn finish(self) -> Result<Note, NoteError> {
        let note = self.note.ok_or(NoteError::Missing)?;
        note.check()?;
        Ok(note)
    }
}
