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
#[derive(Clone, Debug)]
pub struct ElfNotes<'a> {
    bytes: &'a [u8],
    offset: usize,
    alignment: usize,
}

impl<'a> ElfNotes<'a> {
    /// The notes in a segment's bytes. `p_align` 8 pads to 8 bytes, everything else to 4 (ELF gABI, "Note
    /// Section": linkers write 0, 1 and 4 for the latter).
    pub const fn new(bytes: &'a [u8], p_align: u64) -> Self {
        Self { bytes, offset: 0, alignment: if p_align == 8 { 8 } else { 4 } }
    }

    /// The note at the offset and the offset of the next; `None` if its sizes do not fit the bytes.
    fn read(&self) -> Option<(Found<'a>, usize)> {
        const HEADER: usize = 12;
        let note = self.bytes.get(self.offset..)?;
        let word = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(*note.get(at..)?.first_chunk()?)) };
        let name_size = usize::try_from(word(0)?).ok()?;
        let descriptor_size = usize::try_from(word(4)?).ok()?;
        let note_type = word(8)?;
        let name_end = HEADER.checked_add(name_size)?;
        let descriptor_start = name_end.checked_next_multiple_of(self.alignment)?;
        let descriptor_end = descriptor_start.checked_add(descriptor_size)?;
        // An empty descriptor at the very end needs no padding before it.
        let descriptor = match descriptor_size {
            0 => &[],
            _ => note.get(descriptor_start..descriptor_end)?,
        };
        let found = Found { name: note.get(HEADER..name_end)?, note_type, descriptor };
        let next = descriptor_end.checked_next_multiple_of(self.alignment)?;
        Some((found, self.offset.checked_add(next)?))
    }
}

impl<'a> Iterator for ElfNotes<'a> {
    type Item = Result<Found<'a>, NoteError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        match self.read() {
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
