//! Why a kernel's ELF file is refused before anything is planned.

use shared_abi::addr::VirtRange;
use shared_abi::note::NoteError;

use super::{MAX_DYNAMIC_ENTRIES, MAX_PROGRAM_HEADERS, MAX_SEGMENTS};
use crate::refusals::refusals;

refusals! {
    /// A refusal of the file, with the offending numbers. Segments are named by the index of their program header.
    KernelElfError, Note(NoteError): "The kernel's note is missing, double, damaged or asks for what is not served.";

    /// The first four bytes are not `\x7fELF`.
    201 NotElf { magic: u32 = "The four bytes, little-endian." }
        => "the kernel is no ELF file: it begins with {magic:#010x}, not 0x464c457f";
    /// Shorter than an ELF header.
    202 Truncated { length: u64 = "Bytes of the file." }
        => "the kernel's {length:#x} bytes hold no ELF header of 0x40";
    /// Not a 64-bit file (`EI_CLASS`).
    204 Class { found: u8 = "`EI_CLASS`." } => "the kernel's ELF class is {found:#x}, not 0x2 (64-bit)";
    /// Not little-endian (`EI_DATA`).
    205 Endianness { found: u8 = "`EI_DATA`." }
        => "the kernel's ELF data encoding is {found:#x}, not 0x1 (little-endian)";
    /// Another ELF version (`EI_VERSION`, `e_version`).
    206 Version { found: u32 = "The one that is not 1." } => "the kernel's ELF version is {found:#x}, not 0x1";
    /// Neither `ET_EXEC` nor `ET_DYN`.
    207 Type { found: u16 = "`e_type`." }
        => "the kernel's ELF type is {found:#x}, neither 0x2 (fixed) nor 0x3 (position-independent)";
    /// Another machine (`e_machine`).
    208 Machine { found: u16 = "`e_machine`." } => "the kernel's ELF machine is {found:#x}, not 0xb7 (AArch64)";
    /// `e_ehsize` is not 64.
    209 HeaderSize { found: u16 = "`e_ehsize`." } => "the kernel's ELF header claims {found:#x} bytes, not 0x40";
    /// `e_phentsize` is not 56.
    210 ProgramHeaderSize { found: u16 = "`e_phentsize`." }
        => "the kernel's program headers claim {found:#x} bytes each, not 0x38";
    /// `e_phnum` is 0.
    211 NoProgramHeaders => "the kernel has no program headers";
    /// More program headers than are read.
    212 TooManyProgramHeaders { found: u16 = "`e_phnum`." }
        => "the kernel has {found:#x} program headers, more than {MAX_PROGRAM_HEADERS:#x}";
    /// The program headers reach past the end of the file.
    213 ProgramHeadersOutside {
        offset: u64 = "`e_phoff`.", count: u16 = "`e_phnum`.", length: u64 = "Bytes of the file.",
    } => "{count:#x} program headers at {offset:#x} reach past the file's end at {length:#x}";
    /// No `PT_LOAD` with a byte in memory.
    214 NoSegments => "the kernel has no loadable segment";
    /// More loadable segments than are planned for.
    215 TooManySegments { segment: u8 = "The first that is too many." }
        => "segment {segment} is loadable and comes after {MAX_SEGMENTS:#x} others";
    /// `p_filesz` > `p_memsz`.
    216 FileLargerThanMemory {
        segment: u8 = "The segment.", file: u64 = "`p_filesz`.", memory: u64 = "`p_memsz`.",
    } => "segment {segment} has {file:#x} bytes in the file and only {memory:#x} in memory";
    /// A segment's bytes reach past the end of the file.
    217 FileRange {
        segment: u8 = "The segment.", offset: u64 = "`p_offset`.", size: u64 = "`p_filesz`.",
        length: u64 = "Bytes of the file.",
    } => "segment {segment} (file {offset:#x} + {size:#x}) reaches past the file's end at {length:#x}";
    /// `p_vaddr` + `p_memsz` passes the end of the address space.
    218 Wraps { segment: u8 = "The segment.", start: u64 = "`p_vaddr`.", length: u64 = "`p_memsz`." }
        => "segment {segment} ({start:#018x} + {length:#x}) wraps around the address space";
    /// A segment lies where no virtual address is.
    219 NonCanonical { segment: u8 = "The segment.", start: u64 = "`p_vaddr`.", end: u64 = "First address past it." }
        => "segment {segment} ({start:#018x}–{end:#018x}) is not canonical: 48 bits, sign-extended";
    /// Two segments share bytes of memory.
    220 Overlap {
        first: u8 = "The lower segment.", first_range: VirtRange = "Its memory.",
        second: u8 = "The other.", second_range: VirtRange = "Its memory.",
    } => "segment {first} ({first_range}) and segment {second} ({second_range}) overlap";
    /// Two segments with different rights share a page of memory.
    221 SharedPage {
        page: u64 = "Address of the page.", first: u8 = "The lower segment.", second: u8 = "The other.",
    } => "page {page:#018x} belongs to segments {first} and {second}, which have different rights";
    /// `p_align` is no power of two.
    222 Alignment { segment: u8 = "The segment.", alignment: u64 = "`p_align`." }
        => "segment {segment} asks for an alignment of {alignment:#x}, no power of two";
    /// A segment asks to be written and executed.
    223 WritableAndExecutable { segment: u8 = "The segment.", flags: u32 = "`p_flags`." }
        => "segment {segment} is both writable and executable (p_flags {flags:#x})";
    /// Nothing can be executed.
    224 NoExecutableSegment => "the kernel has no executable segment";
    /// The entry point is not in the file bytes of an executable segment.
    225 EntryOutside { entry: u64 = "`e_entry`." }
        => "the entry point {entry:#018x} lies in no executable segment";
    /// The entry point is no multiple of 4.
    226 EntryUnaligned { entry: u64 = "`e_entry`." } => "the entry point {entry:#018x} is no multiple of 4";
    /// A second `PT_GNU_RELRO`.
    227 SeveralRelro { segment: u8 = "The second." } => "program header {segment} is a second PT_GNU_RELRO";
    /// A `PT_GNU_RELRO` that wraps around the address space.
    228 RelroWraps { segment: u8 = "Its index.", start: u64 = "`p_vaddr`.", length: u64 = "`p_memsz`." }
        => "PT_GNU_RELRO {segment} ({start:#018x} + {length:#x}) wraps around the address space";
    /// A second `PT_DYNAMIC`.
    229 SeveralDynamic { segment: u8 = "The second." } => "program header {segment} is a second PT_DYNAMIC";
    /// More dynamic entries than are read, or no end to them.
    230 DynamicTooLong => "the dynamic section has no end within {MAX_DYNAMIC_ENTRIES:#x} entries";
    /// The kernel wants to be linked against a shared library.
    231 NeedsLibrary => "the kernel needs a shared library (DT_NEEDED): link it statically";
    /// Sizes of a relocation table that do not fit each other.
    232 RelocationTable { tag: u64 = "Dynamic tag of the entry size.", size: u64 = "Bytes.", entry: u64 = "Bytes of an entry." }
        => "the relocation table (dynamic tag {tag:#x}) has {size:#x} bytes in entries of {entry:#x}";
    /// A relocation table that is not in the file bytes of one segment.
    233 RelocationTableOutside { address: u64 = "Link-time address.", size: u64 = "Bytes." }
        => "the relocation table at {address:#018x} + {size:#x} lies in the file bytes of no segment";
    /// A relocation table in a form that is not applied.
    234 RelocationForm { tag: u64 = "Its dynamic tag." }
        => "relocations in the form of dynamic tag {tag:#x} are not applied: RELA and RELR are";
}
