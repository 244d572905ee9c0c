//! The kernel's note: what it asks of the loader, inside its own ELF file.
//!
//! A kernel says that it speaks this ABI, and on which terms, by one ELF note (`PT_NOTE`, name `Handoff`,
//! type 1). The loader reads it before it changes anything, so a term that it cannot serve is a clean refusal.
//!
//! The descriptor grows by its size: a longer one comes from a newer kernel and its known prefix is read; what
//! a kernel *must* have from a newer ABI it says by the least minor version or by a required bit, which this
//! version then refuses. What it would merely like is a wanted bit, and unknown ones are ignored.
//!
//! Source of the note format: ELF gABI, "Note Section". Name and descriptor are padded to the alignment of the
//! segment, which is 4, or 8 where a linker says so.

mod error;
mod search;
#[cfg(test)]
mod tests;

pub use crate::contract::MAX_STACK_SIZE;
pub use error::NoteError;
pub use search::{ElfNotes, Found, NoteSearch};

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::addr::{PAGE, PageSize};
use crate::contract::{ABI_MAJOR, ABI_MINOR, DIRECT_MAP_WINDOW};

/// The note's name as ELF stores it, NUL included.
pub const NOTE_NAME: [u8; 8] = *b"Handoff\0";

/// The note's type.
pub const NOTE_TYPE: u32 = 1;

/// Bytes of boot stack for a kernel that asks for none in particular.
pub const DEFAULT_STACK_SIZE: u64 = 64 << 10;

/// [`Note::direct_map_offset`] of a kernel that takes the direct map anywhere.
pub const ANY_OFFSET: u64 = u64::MAX;

/// [`Note::exception_levels`] of a kernel that is entered at EL1, the only level that ABI 1.0 serves.
pub const EL1: u64 = 1 << 1;

/// [`Note::exception_levels`] bit reserved for kernels that are entered at EL2. ABI 1.0 refuses it.
pub const EL2: u64 = 1 << 2;

/// Terms without which the kernel cannot run. ABI 1.0 defines none: any bit is from a newer ABI and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Required(pub u64);

/// Terms that the kernel would like. Unknown bits are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Wanted(pub u64);

bitflags! {
    impl Required: u64 {}

    impl Wanted: u64 {
        /// A position-independent kernel (`ET_DYN`) may be moved to a random address.
        const SLIDE = 1 << 0;
        /// The kernel starts other processors: the loader's routine for them stays resident.
        const SECONDARIES = 1 << 1;
        /// A flight recorder that survives a reset.
        const RECORDER = 1 << 8;
    }
}

/// The note's descriptor. Fields may be made freely; [`Note::check`] decides whether they can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// The ABI that the kernel was written for. Another one than the loader's is refused.
    pub abi_major: u16,
    /// The least minor version of that ABI which has all that the kernel uses.
    pub abi_minor: u16,
    /// Translation granule in bytes: 4096.
    pub granule: u32,
    /// Terms to serve or to refuse.
    pub required: Required,
    /// Terms to serve if possible.
    pub wanted: Wanted,
    /// Bytes of boot stack, a multiple of 4 KiB up to 16 MiB; 0 for the default of 64 KiB.
    pub stack_size: u64,
    /// Exception levels that the kernel can be entered at: bit n for ELn. ABI 1.0 serves exactly [`EL1`].
    pub exception_levels: u64,
    /// The direct map's place: virtual address of physical address 0, a multiple of 1 GiB in the direct-map
    /// window; [`ANY_OFFSET`] to leave it to the loader.
    pub direct_map_offset: u64,
    /// Asks for the whole image in one physically contiguous range that begins at a multiple of this power of
    /// two, 4 KiB to 1 GiB. The loader then copies the image once. 0: pages may lie anywhere, and need no copy.
    pub contiguous_alignment: u64,
}

const _: () = assert!(size_of::<Note>() == 56 && align_of::<Note>() == 8);

impl Note {
    /// Bytes of the descriptor in ABI 1.0, and the least that is accepted.
    pub const SIZE: usize = size_of::<Self>();

    /// What `entry!(kmain)` asks for: this ABI, a 64 KiB stack, any direct map, and a slide.
    pub const DEFAULT: Self = Self {
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        granule: PAGE as u32,
        required: Required::empty(),
        wanted: Wanted::SLIDE,
        stack_size: 0,
        exception_levels: EL1,
        direct_map_offset: ANY_OFFSET,
        contiguous_alignment: 0,
    };

    /// Reads the known prefix of a note's descriptor, at any alignment. Nothing is judged but the length:
    /// [`NoteError::Short`] if it holds less than ABI 1.0's fields.
    pub fn parse(descriptor: &[u8]) -> Result<Self, NoteError> {
        match Self::read_from_prefix(descriptor) {
            Ok((note, _)) => Ok(note),
            Err(_) => Err(NoteError::Short { length: descriptor.len() as u64 }),
        }
    }

    /// Whether this version can serve the note. The version is judged first, since another major version may
    /// give the fields another meaning.
    pub const fn check(&self) -> Result<(), NoteError> {
        if self.abi_major != ABI_MAJOR {
            return Err(NoteError::AbiMajor { asked: self.abi_major });
        }
        if self.abi_minor > ABI_MINOR {
            return Err(NoteError::AbiMinor { asked: self.abi_minor });
        }
        let unknown = self.required.bits() & !Required::all().bits();
        if unknown != 0 {
            return Err(NoteError::Required { unknown });
        }
        if self.granule as u64 != PAGE {
            return Err(NoteError::Granule { asked: self.granule });
        }
        if self.exception_levels != EL1 {
            return Err(NoteError::ExceptionLevels { asked: self.exception_levels });
        }
        if self.stack_size > MAX_STACK_SIZE || !self.stack_size.is_multiple_of(PAGE) {
            return Err(NoteError::StackSize { asked: self.stack_size });
        }
        // The window reaches to the end of the address space: every multiple from its start on lies in it.
        if self.direct_map_offset != ANY_OFFSET
            && (self.direct_map_offset < DIRECT_MAP_WINDOW.start().get()
                || !self.direct_map_offset.is_multiple_of(PageSize::Size1G.bytes()))
        {
            return Err(NoteError::DirectMapOffset { asked: self.direct_map_offset });
        }
        let alignment = self.contiguous_alignment;
        if alignment != 0
            && (!alignment.is_power_of_two() || alignment < PAGE || alignment > PageSize::Size1G.bytes())
        {
            return Err(NoteError::ContiguousAlignment { asked: alignment });
        }
        Ok(())
    }

    /// Bytes of boot stack to provide: what was asked for, or the default.
    pub const fn stack_bytes(&self) -> u64 {
        if self.stack_size == 0 { DEFAULT_STACK_SIZE } else { self.stack_size }
    }

    /// Whether the kernel may be moved to a random address.
    pub const fn may_slide(&self) -> bool {
        self.wanted.contains(Wanted::SLIDE)
    }

    /// Whether the kernel starts other processors by the loader's routine.
    pub const fn wants_secondaries(&self) -> bool {
        self.wanted.contains(Wanted::SECONDARIES)
    }

    /// Whether the kernel keeps a flight recorder.
    pub const fn wants_recorder(&self) -> bool {
        self.wanted.contains(Wanted::RECORDER)
    }

    /// The direct-map offset that the kernel insists on.
    pub const fn fixed_direct_map_offset(&self) -> Option<u64> {
        if self.direct_map_offset == ANY_OFFSET { None } else { Some(self.direct_map_offset) }
    }

    /// The alignment in bytes of the contiguous range that the kernel insists on.
    pub const fn contiguous(&self) -> Option<u64> {
        if self.contiguous_alignment == 0 { None } else { Some(self.contiguous_alignment) }
    }

    /// The descriptor as the 32-bit words that a note at alignment 4 holds.
    const fn words(&self) -> [u32; Self::SIZE / 4] {
        const fn low(value: u64) -> u32 {
            value as u32
        }
        const fn high(value: u64) -> u32 {
            (value >> 32) as u32
        }
        [
            self.abi_major as u32 | (self.abi_minor as u32) << 16,
            self.granule,
            low(self.required.bits()),
            high(self.required.bits()),
            low(self.wanted.bits()),
            high(self.wanted.bits()),
            low(self.stack_size),
            high(self.stack_size),
            low(self.exception_levels),
            high(self.exception_levels),
            low(self.direct_map_offset),
            high(self.direct_map_offset),
            low(self.contiguous_alignment),
            high(self.contiguous_alignment),
        ]
    }
}

/// A whole ELF note as it lies in `.note.handoff`: header, name and descriptor at alignment 4.
///
/// Alignment 4 is what every linker and every reader of notes agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NoteRecord {
    name_size: u32,
    descriptor_size: u32,
    note_type: u32,
    name: [u8; NOTE_NAME.len()],
    descriptor: [u32; Note::SIZE / 4],
}

const _: () = assert!(size_of::<NoteRecord>() == 20 + Note::SIZE && align_of::<NoteRecord>() == 4);

impl NoteRecord {
    /// The record of a note that can be served. In a `const`, as `entry!` uses it, another one does not compile.
    ///
    /// # Panics
    /// If [`Note::check`] refuses the note.
    pub const fn new(note: &Note) -> Self {
        assert!(note.check().is_ok(), "this note asks for what ABI 1.0 does not serve: see Note::check");
        Self::unchecked(note)
    }

    /// The record of any note, for kernels that show how a loader refuses.
    pub const fn unchecked(note: &Note) -> Self {
        Self {
            name_size: NOTE_NAME.len() as u32,
            descriptor_size: Note::SIZE as u32,
            note_type: NOTE_TYPE,
            name: NOTE_NAME,
            descriptor: note.words(),
        }
    }
}
