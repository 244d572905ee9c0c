//! The combined image where firmware put it: the loader's own parts, and what it carries.

use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::image::header::Header;
use shared_abi::image::payload::{Entry, Kind, PayloadTable};

use crate::command_line::CommandLine;

/// The image, opened: its payload table and its end marker are right.
pub struct Image<'a> {
    /// All of it.
    pub range: PhysRange,
    /// The loader's text, constants and data: they stay, with the fault reporter.
    pub resident: PhysRange,
    /// The part of it that stays for good where the loader was entered above EL1, or other processors may come.
    pub stub: PhysRange,
    /// What other processors read and write, the mailbox first.
    pub secondary: PhysRange,
    /// Where other processors enter.
    pub secondary_entry: PhysAddr,
    /// The four tables that the entry code fills: they stay the kernel's.
    pub tables: PhysRange,
    /// The header page.
    pub header: Header,
    /// What it carries.
    pub payload: PayloadTable<'a>,
}

impl<'a> Image<'a> {
    /// Where an entry of the payload lies.
    #[inline(never)]
    pub fn range_of(&self, entry: &Entry) -> PhysRange {
        // The payload table has checked that entries lie inside the image.
        let start = self.range.start().checked_add(entry.offset);
        start.and_then(|start| PhysRange::new(start, entry.length)).unwrap_or_default()
    }

    /// Where the only entry of a kind lies; `None` if there is none.
    pub fn range_of_kind(&self, kind: Kind) -> Option<PhysRange> {
        self.payload.find(kind).map(|entry| self.range_of(&entry))
    }

    /// The bytes of the only entry of a kind; `None` if there is none.
    pub fn bytes_of_kind(&self, kind: Kind) -> Option<&'a [u8]> {
        self.payload.find(kind).map(|entry| self.payload.bytes(&entry))
    }

    /// The packed command line, in front of what firmware passes.
    pub fn command_line(&self, passed: &'a str) -> CommandLine<'a> {
        let packed = self.bytes_of_kind(Kind::COMMAND_LINE).unwrap_or_default();
        CommandLine { packed: core::str::from_utf8(packed).unwrap_or_default(), passed }
    }
}
