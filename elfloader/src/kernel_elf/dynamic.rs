//! The dynamic section, as far as a static position-independent kernel needs it: where its relocations are.
//!
//! Sources: ELF gABI, "Dynamic Section" and "Relative relocations (RELR)"; tag numbers as registered there.

use goblin::elf64::dynamic::{
    DT_JMPREL, DT_NEEDED, DT_NULL, DT_PLTRELSZ, DT_REL, DT_RELA, DT_RELAENT, DT_RELASZ, DT_RELSZ, Dyn,
};
use goblin::elf64::reloc::Rela;

use super::error::KernelElfError;
use super::file::read;
use super::limits::MAX_DYNAMIC_ENTRIES;
use super::segment::Segment;

/// Bytes of the relative relocation table.
const DT_RELRSZ: u64 = 35;
/// Address of the relative relocation table.
const DT_RELR: u64 = 36;
/// Bytes of an entry there.
const DT_RELRENT: u64 = 37;

/// Android's packed forms of the same tables: a kernel that has them would otherwise run unrelocated.
const ANDROID: [u64; 4] = [0x6000_000F, 0x6000_0011, 0x6FFF_E000, 0x6FFF_E001];

/// A half-open range of file bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FileRange {
    /// File offset of the first byte.
    pub start: u64,
    /// File offset past the last.
    pub end: u64,
}

/// Where the kernel's relocations lie in the file. Each table is whole entries inside the file bytes of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RelocationTables {
    /// `DT_RELA`.
    pub rela: FileRange,
    /// `DT_JMPREL`: of a static kernel empty, or entries of types that are refused.
    pub plt: FileRange,
    /// `DT_RELR`.
    pub relr: FileRange,
}

/// One table as the dynamic section states it.
#[derive(Clone, Copy, Default)]
struct Stated {
    address: u64,
    size: u64,
}

impl Stated {
    /// The file bytes of the table.
    fn locate(self, tag: u64, entry: u64, segments: &[Segment]) -> Result<FileRange, KernelElfError> {
        let Self { address, size } = self;
        if size == 0 {
            return Ok(FileRange::default());
        }
        if !size.is_multiple_of(entry) {
            return Err(KernelElfError::RelocationTable { tag, size, entry });
        }
        segments
            .iter()
            .find(|segment| segment.holds_in_file(address, size))
            .and_then(|segment| segment.file_offset(address))
            .map(|start| FileRange { start, end: start + size })
            .ok_or(KernelElfError::RelocationTableOutside { address, size })
    }
}

impl RelocationTables {
    /// No tables.
    pub(super) const NONE: Self = {
        const EMPTY: FileRange = FileRange { start: 0, end: 0 };
        Self { rela: EMPTY, plt: EMPTY, relr: EMPTY }
    };

    /// Reads the dynamic section's bytes.
    pub(super) fn parse(section: &[u8], segments: &[Segment]) -> Result<Self, KernelElfError> {
        const RELA_ENTRY: u64 = size_of::<Rela>() as u64;
        const RELR_ENTRY: u64 = size_of::<u64>() as u64;
        let (mut rela, mut plt, mut relr) = (Stated::default(), Stated::default(), Stated::default());
        let mut ended = section.is_empty();
        for entry in section.chunks_exact(size_of::<Dyn>()).take(MAX_DYNAMIC_ENTRIES) {
            let Dyn { d_tag, d_val } = read(entry).unwrap_or_default();
            match d_tag {
                DT_NULL => {
                    ended = true;
                    break;
                }
                DT_RELA => rela.address = d_val,
                DT_RELASZ => rela.size = d_val,
                DT_JMPREL => plt.address = d_val,
                DT_PLTRELSZ => plt.size = d_val,
                DT_RELR => relr.address = d_val,
                DT_RELRSZ => relr.size = d_val,
                DT_RELAENT if d_val != RELA_ENTRY => {
                    return Err(KernelElfError::RelocationTable {
                        tag: d_tag,
                        size: rela.size,
                        entry: d_val,
                    });
                }
                DT_RELRENT if d_val != RELR_ENTRY => {
                    return Err(KernelElfError::RelocationTable {
                        tag: d_tag,
                        size: relr.size,
                        entry: d_val,
                    });
                }
                DT_NEEDED => return Err(KernelElfError::NeedsLibrary),
                DT_REL => return Err(KernelElfError::RelocationForm { tag: d_tag }),
                DT_RELSZ if d_val != 0 => return Err(KernelElfError::RelocationForm { tag: d_tag }),
                tag if ANDROID.contains(&tag) => return Err(KernelElfError::RelocationForm { tag }),
                _ => {}
            }
        }
        if !ended {
            return Err(KernelElfError::DynamicTooLong);
        }
        Ok(Self {
            rela: rela.locate(DT_RELA, RELA_ENTRY, segments)?,
            plt: plt.locate(DT_JMPREL, RELA_ENTRY, segments)?,
            relr: relr.locate(DT_RELR, RELR_ENTRY, segments)?,
        })
    }

    /// The tables that have entries.
    pub fn ranges(&self) -> impl Iterator<Item = FileRange> {
        [self.rela, self.plt, self.relr].into_iter().filter(|range| range.start < range.end)
    }
}
