//! Why a kernel's ELF file is refused before anything is planned.

use shared_abi::addr::VirtRange;
use shared_abi::note::NoteError;

use super::limits::{MAX_DYNAMIC_ENTRIES, MAX_PROGRAM_HEADERS, MAX_SEGMENTS};
use shared_abi::errors;

errors! {
    /// A refusal of the file, with the offending numbers. Segments are named by the index of their program header.
    pub enum KernelElfError,
        found by "the loader before it plans, and by `handoff check`, `plan` and `build`";

    use Note(NoteError): "The kernel's note is missing, double, damaged or asks for what is not served.";

    /// The file does not begin with `\x7fELF`.
    201 NotElf { magic: u32 = "The four bytes, little-endian." }
        => "the kernel is no ELF file: it begins with {magic:#010x}, not 0x464c457f";
        help "give the kernel's ELF file, not a flat binary or a compressed one";
    /// The file is shorter than an ELF header.
    202 Truncated { length: u64 = "Bytes of the file." }
        => "the kernel's {length:#x} bytes hold no ELF header of 0x40";
        help "the file is cut off: build it again";
    /// The file is not 64-bit.
    204 Class { found: u8 = "`EI_CLASS`." }
        => "the kernel's ELF class is {found:#x}, not 0x2 (64-bit)";
        help "build for a 64-bit target";
    /// The file is not little-endian.
    205 Endianness { found: u8 = "`EI_DATA`." }
        => "the kernel's ELF data encoding is {found:#x}, not 0x1 (little-endian)";
        help "build for `aarch64`, not `aarch64_be`";
    /// The ELF version is not 1.
    206 Version { found: u32 = "The one that is not 1." }
        => "the kernel's ELF version is {found:#x}, not 0x1";
        help "build the file again: it is damaged";
    /// The file is neither an executable nor a position-independent one.
    207 Type { found: u16 = "`e_type`." }
        => "the kernel's ELF type is {found:#x}, neither 0x2 (fixed) nor 0x3 (position-independent)";
        help "link it: objects, core dumps and archives are not loaded";
    /// The file is for another machine.
    208 Machine { found: u16 = "`e_machine`." }
        => "the kernel's ELF machine is {found:#x}, not 0xb7 (AArch64)";
        help "build for AArch64";
    /// The ELF header claims another size than 64 bytes.
    209 HeaderSize { found: u16 = "`e_ehsize`." }
        => "the kernel's ELF header claims {found:#x} bytes, not 0x40";
        help "build the file again: it is damaged";
    /// The program headers claim another size than 56 bytes each.
    210 ProgramHeaderSize { found: u16 = "`e_phentsize`." }
        => "the kernel's program headers claim {found:#x} bytes each, not 0x38";
        help "build the file again: it is damaged";
    /// There are no program headers.
    211 NoProgramHeaders
        => "the kernel has no program headers";
        help "link with program headers (`PHDRS` in the linker script)";
    /// There are more than 128 program headers.
    212 TooManyProgramHeaders { found: u16 = "`e_phnum`." }
        => "the kernel has {found:#x} program headers, more than {MAX_PROGRAM_HEADERS:#x}";
        help "merge segments: {MAX_PROGRAM_HEADERS} program headers are the most";
    /// The program headers reach past the end of the file.
    213 ProgramHeadersOutside {
        offset: u64 = "`e_phoff`.", count: u16 = "`e_phnum`.", length: u64 = "Bytes of the file.",
    }
        => "{count:#x} program headers at {offset:#x} reach past the file's end at {length:#x}";
        help "the file is cut off or damaged";
    /// No segment has a byte in memory.
    214 NoSegments
        => "the kernel has no loadable segment";
        help "check the linker script: everything was discarded";
    /// There are more than 64 loadable segments.
    215 TooManySegments { segment: u8 = "The first that is too many." }
        => "segment {segment} is loadable and comes after {MAX_SEGMENTS:#x} others";
        help "merge segments: {MAX_SEGMENTS} loadable ones are the most";
    /// A segment has more bytes in the file than in memory.
    216 FileLargerThanMemory {
        segment: u8 = "The segment.", file: u64 = "`p_filesz`.", memory: u64 = "`p_memsz`.",
    }
        => "segment {segment} has {file:#x} bytes in the file and only {memory:#x} in memory";
        help "build the file again: it is damaged";
    /// A segment's bytes reach past the end of the file.
    217 FileRange {
        segment: u8 = "The segment.", offset: u64 = "`p_offset`.", size: u64 = "`p_filesz`.",
        length: u64 = "Bytes of the file.",
    }
        => "segment {segment} (file {offset:#x} + {size:#x}) reaches past the file's end at {length:#x}";
        help "build or copy the file again: it is cut off";
    /// A segment wraps around the end of the address space.
    218 Wraps { segment: u8 = "The segment.", start: u64 = "`p_vaddr`.", length: u64 = "`p_memsz`." }
        => "segment {segment} ({start:#018x} + {length:#x}) wraps around the address space";
        help "check the linker script's addresses";
    /// A segment lies where no virtual address is, or in both halves.
    219 NonCanonical {
        segment: u8 = "The segment.", start: u64 = "`p_vaddr`.", end: u64 = "First address past it.",
    }
        => "segment {segment} ({start:#018x}–{end:#018x}) is not canonical: 48 bits, sign-extended";
        help "link to addresses of 48 bits, sign-extended: 0xffff000000000000 and up for a kernel";
    /// Two segments share bytes of memory.
    220 Overlap {
        first: u8 = "The lower segment.", first_range: VirtRange = "Its memory.", second: u8 = "The other.",
        second_range: VirtRange = "Its memory.",
    }
        => "segment {first} ({first_range}) and segment {second} ({second_range}) overlap";
        help "check the linker script's addresses: each byte belongs to one segment";
        here "check the linker script: let segment {second} begin at {:#018x} or later", first_range.end();
    /// Two segments with different rights share a page of memory.
    221 SharedPage {
        page: u64 = "Address of the page.", first: u8 = "The lower segment.", second: u8 = "The other.",
    }
        => "page {page:#018x} belongs to segments {first} and {second}, which have different rights";
        help "align the start of each segment to 4 KiB (`ALIGN(CONSTANT(MAXPAGESIZE))`)";
        here "align the start of segment {second} to 4 KiB (`ALIGN(CONSTANT(MAXPAGESIZE))`)";
    /// An alignment is no power of two.
    222 Alignment { segment: u8 = "The segment.", alignment: u64 = "`p_align`." }
        => "segment {segment} asks for an alignment of {alignment:#x}, no power of two";
        help "build the file again: it is damaged";
    /// A segment is both writable and executable.
    223 WritableAndExecutable { segment: u8 = "The segment.", flags: u32 = "`p_flags`." }
        => "segment {segment} is both writable and executable (p_flags {flags:#x})";
        help "separate text from data in the linker script, and link without -N (--omagic)";
    /// No segment is executable.
    224 NoExecutableSegment
        => "the kernel has no executable segment";
        help "give the text's program header the flag `X` (`PHDRS` … `FLAGS(5)`)";
    /// The entry point is not in the file bytes of an executable segment.
    225 EntryOutside { entry: u64 = "`e_entry`." }
        => "the entry point {entry:#018x} lies in no executable segment";
        help "set `ENTRY` to a symbol in the text";
    /// The entry point is no multiple of 4.
    226 EntryUnaligned { entry: u64 = "`e_entry`." }
        => "the entry point {entry:#018x} is no multiple of 4";
        help "set `ENTRY` to an instruction: those are multiples of 4";
    /// There are two `PT_GNU_RELRO` headers.
    227 SeveralRelro { segment: u8 = "The second." }
        => "program header {segment} is a second PT_GNU_RELRO";
        help "keep what becomes read-only after relocation together";
    /// `PT_GNU_RELRO` wraps around the end of the address space.
    228 RelroWraps { segment: u8 = "Its index.", start: u64 = "`p_vaddr`.", length: u64 = "`p_memsz`." }
        => "PT_GNU_RELRO {segment} ({start:#018x} + {length:#x}) wraps around the address space";
        help "build the file again: it is damaged";
    /// There are two `PT_DYNAMIC` headers.
    229 SeveralDynamic { segment: u8 = "The second." }
        => "program header {segment} is a second PT_DYNAMIC";
        help "build the file again: it is damaged";
    /// The dynamic section has no end within 256 entries.
    230 DynamicTooLong
        => "the dynamic section has no end within {MAX_DYNAMIC_ENTRIES:#x} entries";
        help "build the file again: its dynamic section is damaged";
    /// The kernel needs a shared library.
    231 NeedsLibrary
        => "the kernel needs a shared library (DT_NEEDED): link it statically";
        help "link statically: -static-pie, --no-dynamic-linker";
    /// A relocation table's size is no multiple of its entries', or the entries have another size.
    232 RelocationTable {
        tag: u64 = "Dynamic tag of the entry size.", size: u64 = "Bytes.", entry: u64 = "Bytes of an entry.",
    }
        => "the relocation table (dynamic tag {tag:#x}) has {size:#x} bytes in entries of {entry:#x}";
        help "build the file again: it is damaged";
    /// A relocation table does not lie in the file bytes of one segment.
    233 RelocationTableOutside { address: u64 = "Link-time address.", size: u64 = "Bytes." }
        => "the relocation table at {address:#018x} + {size:#x} lies in the file bytes of no segment";
        help "keep `.rela.dyn` and `.relr.dyn` in a loaded segment";
    /// Relocations are in a form that is not applied (REL, Android's packed forms).
    234 RelocationForm { tag: u64 = "Its dynamic tag." }
        => "relocations in the form of dynamic tag {tag:#x} are not applied: RELA and RELR are";
        help "link with --pack-dyn-relocs=relr, or none";
}
