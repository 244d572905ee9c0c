//! The kernel as it was loaded.

use super::fault::Fault;
use super::record::{flags, open_number, record};
use super::strings::StringRef;
use crate::addr::{PAGE, PageSize, PhysRange, VirtAddr, VirtRange};
use crate::contract::{KERNEL_WINDOW, SLIDE_WINDOW};
use crate::rights::Rights;

flags! {
    /// How the kernel was loaded.
    KernelFlags {
        /// It is position-independent (`ET_DYN`).
        POSITION_INDEPENDENT = 0;
        /// It was moved to a random address.
        SLID = 1;
        /// It was copied to one physically contiguous range, as its note asked.
        CONTIGUOUS = 2;
    }
}

record! {
    /// The kernel: where it was linked, where it runs, what loading it took.
    Kernel, 112 bytes {
        /// The lowest virtual address of its segments as linked, rounded down to a page.
        virt_link_base: u64,
        /// What was added to every linked address, modulo 2⁶⁴.
        slide: u64,
        /// Where it was entered.
        virt_entry: u64,
        /// The lowest virtual address that it occupies.
        virt_start: u64,
        /// Bytes from there to the end of its last page.
        length: u64,
        /// Where its ELF file lies.
        phys_elf: u64,
        /// Bytes of that file.
        elf_length: u64,
        /// Pages of the file that are mapped where they lie.
        pages_in_place: u64,
        /// Pages that were copied.
        pages_copied: u64,
        /// Pages that were zeroed.
        pages_zeroed: u64,
        /// Relocations that were applied.
        relocations: u64,
        /// How it was loaded.
        flags: KernelFlags,
        /// The ABI's major version that its note asked for.
        abi_major: u16,
        /// The least minor version that its note asked for.
        abi_minor: u16,
        /// Its name in the image; may be empty.
        name: StringRef,
        /// Bits that its note wanted.
        wanted: u64,
    }
    check |kernel, _, strings| {
        let window = image_window(kernel.virt_start, kernel.length);
        Fault::unless(kernel.virt_start.is_multiple_of(PAGE), "virt_start", kernel.virt_start)?;
        let range = window.filter(|range| range.is_aligned(PageSize::Size4K) && !range.is_empty());
        let Some(range) = range else { return Err(Fault { field: "length", value: kernel.length }) };
        let linked = kernel.virt_link_base.wrapping_add(kernel.slide);
        Fault::unless(linked == kernel.virt_start, "slide", kernel.slide)?;
        let entered = VirtAddr::new(kernel.virt_entry).is_some_and(|entry| range.contains(entry));
        Fault::unless(entered, "virt_entry", kernel.virt_entry)?;
        let elf = PhysRange::from_bounds(kernel.phys_elf, kernel.phys_elf.saturating_add(kernel.elf_length));
        Fault::unless(elf.is_some(), "phys_elf", kernel.phys_elf)?;
        strings.check(kernel.name, "name")
    }
}

/// The range if it lies in one of the two windows that a kernel can run in.
fn image_window(virt_start: u64, length: u64) -> Option<VirtRange> {
    let range = VirtRange::new(VirtAddr::new(virt_start)?, length)?;
    [KERNEL_WINDOW, SLIDE_WINDOW].into_iter().any(|window| window.covers(range)).then_some(range)
}

impl Kernel {
    /// The virtual addresses that the kernel occupies, gaps between segments included.
    pub fn range(&self) -> VirtRange {
        image_window(self.virt_start, self.length).unwrap_or(VirtRange::EMPTY)
    }
}

open_number! {
    /// Where an extent's bytes come from.
    Origin {
        /// Pages of the ELF file, mapped where they lie.
        IN_PLACE = 1, "in place";
        /// Copied from the file.
        COPIED = 2, "copied";
        /// Fresh memory, zeroed.
        ZEROED = 3, "zeroed";
    }
}

record! {
    /// A run of the kernel's pages that is contiguous virtually and physically and has one origin and one right.
    /// In ascending virtual order.
    Extent, 40 bytes {
        /// The first page's virtual address.
        virt_start: u64,
        /// The first page's physical address.
        phys_start: u64,
        /// Bytes, a multiple of 4 KiB.
        length: u64,
        /// A [`Rights`]' number.
        rights: u32,
        /// Where the bytes come from.
        origin: Origin,
        /// The program header that it belongs to, from 0.
        segment: u32,
        /// 0.
        reserved: u32,
    }
    check |extent, before, _| {
        Fault::unless(extent.virt_start.is_multiple_of(PAGE), "virt_start", extent.virt_start)?;
        Fault::unless(extent.phys_start.is_multiple_of(PAGE), "phys_start", extent.phys_start)?;
        let length = extent.length;
        Fault::unless(length > 0 && length.is_multiple_of(PAGE), "length", length)?;
        let virt = image_window(extent.virt_start, length);
        Fault::unless(virt.is_some(), "virt_start", extent.virt_start)?;
        let phys = PhysRange::from_bounds(extent.phys_start, extent.phys_start.saturating_add(length));
        Fault::unless(phys.is_some(), "phys_start", extent.phys_start)?;
        Fault::unless(Rights::from_u32(extent.rights).is_some(), "rights", extent.rights as u64)?;
        let free = before.map_or(0, |before| before.virt().end());
        Fault::unless(free <= extent.virt_start, "virt_start", extent.virt_start)
    }
}

impl Extent {
    /// The virtual pages.
    pub fn virt(&self) -> VirtRange {
        image_window(self.virt_start, self.length).unwrap_or(VirtRange::EMPTY)
    }

    /// The physical pages.
    pub fn phys(&self) -> PhysRange {
        PhysRange::from_bounds(self.phys_start, self.phys_start.saturating_add(self.length))
            .unwrap_or_default()
    }

    /// What may be done with them.
    pub const fn rights(&self) -> Rights {
        match Rights::from_u32(self.rights) {
            Some(rights) => rights,
            None => Rights::ReadOnly,
        }
    }
}

record! {
    /// The kernel's compact symbol table, packed beside it.
    Symbols, 16 bytes {
        /// Where it lies; the direct map shows it.
        phys_start: u64,
        /// Its bytes.
        length: u64,
    }
    check |symbols, _, _| {
        let end = symbols.phys_start.saturating_add(symbols.length);
        Fault::unless(PhysRange::from_bounds(symbols.phys_start, end).is_some(), "phys_start", symbols.phys_start)
    }
}
