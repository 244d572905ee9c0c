//! Where this image lies: its parts as the linker laid them, at the address where firmware put them.

use shared_abi::addr::{PAGE, PhysAddr, PhysRange, VirtAddr, VirtRange};
use shared_abi::contract::HANDOFF_WINDOW;

unsafe extern "C" {
    static text_start: u8;
    static stub_end: u8;
    static text_end: u8;
    static rodata_end: u8;
    static secondary_entry: u8;
    static secondary_start: u8;
    static tables_start: u8;
    static tables_end: u8;
    static stack_bottom: u8;
    static stack_top: u8;
    static loader_end: u8;
}

macro_rules! offset_of {
    ($symbol:ident) => {
        ((&raw const $symbol as u64) - HANDOFF_WINDOW.start().get())
    };
}

/// The image's place. What is mapped by the entry code is reached at its linked address, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct OwnImage {
    base: PhysAddr,
}

impl OwnImage {
    /// The image whose header page is at `base`; `None` if that is no address of RAM that could hold it.
    pub fn at(base: u64) -> Option<Self> {
        let base = PhysAddr::new(base)?;
        base.checked_add(offset_of!(loader_end)).map(|_| Self { base })
    }

    /// Physical address of the header page.
    pub fn base(&self) -> PhysAddr {
        self.base
    }

    fn part(&self, start: u64, end: u64) -> PhysRange {
        // `at` has checked that the whole loader can be named.
        PhysRange::from_bounds(self.base.get() + start, self.base.get() + end).unwrap_or_default()
    }

    /// Header page and loader.
    pub fn loader(&self) -> PhysRange {
        self.part(0, offset_of!(loader_end))
    }

    /// The header page.
    pub fn header_page(&self) -> PhysRange {
        self.part(0, offset_of!(text_start))
    }

    /// Text, read-only data and data: what stays with the fault reporter.
    pub fn resident(&self) -> PhysRange {
        self.part(offset_of!(text_start), offset_of!(tables_start))
    }

    /// The entry code, the stub at EL2 and the code of the upper levels: what CPUs above EL1, those that wait and those
    /// that come later execute.
    pub fn stub(&self) -> PhysRange {
        self.part(offset_of!(text_start), offset_of!(stub_end))
    }

    /// The page that CPUs enter, and in which they turn the MMU on.
    pub fn entry_page(&self) -> PhysRange {
        self.part(offset_of!(text_start), offset_of!(text_start) + PAGE)
    }

    /// What other CPUs read and write beside the stub, the mailbox first.
    pub fn secondary(&self) -> PhysRange {
        self.part(offset_of!(secondary_start), offset_of!(tables_start))
    }

    /// Where other CPUs enter.
    pub fn secondary_entry(&self) -> PhysAddr {
        self.part(offset_of!(secondary_entry), offset_of!(loader_end)).start()
    }

    /// The physical address of what is mapped at a linked one.
    pub fn phys(&self, linked: u64) -> Option<PhysAddr> {
        self.base.checked_add(linked.checked_sub(HANDOFF_WINDOW.start().get())?)
    }

    /// Text and read-only data, without the first `skip` bytes.
    pub fn read_only(&self, skip: u64) -> PhysRange {
        self.part(offset_of!(text_start) + skip, offset_of!(rodata_end))
    }

    /// Data, tables, stack and scratch memory.
    pub fn writable(&self) -> PhysRange {
        self.part(offset_of!(rodata_end), offset_of!(loader_end))
    }

    /// TTBR1's first four tables.
    pub fn tables(&self) -> PhysRange {
        self.part(offset_of!(tables_start), offset_of!(tables_end))
    }

    /// The linked, hence mapped, address of the loader's byte at `offset` of the image.
    pub fn linked(offset: u64) -> Option<VirtAddr> {
        HANDOFF_WINDOW.start().checked_add(offset)
    }

    /// Level 3 entries of the pages that leave the window at the jump, header page aside: first index, count.
    pub fn leaving_entries() -> (u64, u64) {
        (offset_of!(tables_start) >> 12, (offset_of!(loader_end) - offset_of!(tables_start)) >> 12)
    }

    /// Named parts of the loader by their linked addresses, for the fault reporter.
    pub fn regions() -> [(&'static str, u64, u64); 4] {
        let base = HANDOFF_WINDOW.start().get();
        [
            ("loader text", base + offset_of!(text_start), base + offset_of!(text_end)),
            ("loader read-only data", base + offset_of!(text_end), base + offset_of!(rodata_end)),
            ("loader data", base + offset_of!(rodata_end), base + offset_of!(tables_end)),
            (
                "guard below the loader's stack",
                base + offset_of!(tables_end),
                base + offset_of!(stack_bottom),
            ),
        ]
    }

    /// The loader's stack, as linked.
    pub fn stack() -> Option<VirtRange> {
        let base = HANDOFF_WINDOW.start().get();
        VirtRange::from_bounds(base + offset_of!(stack_bottom), base + offset_of!(stack_top))
    }
}
