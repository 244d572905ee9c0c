//! Why a relocation cannot be applied.

use goblin::elf64::reloc::{
    R_AARCH64_ABS64, R_AARCH64_COPY, R_AARCH64_GLOB_DAT, R_AARCH64_IRELATIVE, R_AARCH64_JUMP_SLOT,
    R_AARCH64_TLS_DTPMOD, R_AARCH64_TLSDESC,
};
use shared_abi::errors;

errors! {
    /// A relocation that cannot be applied. Addresses are as linked.
    pub enum RelocationError, found by "the loader when it plans, and by `handoff check`, `plan` and `build`";

    /// A relocation is not `R_AARCH64_RELATIVE`.
    235 Type { found: u32 = "The type.", address: u64 = "`r_offset`." }
        => "the relocation at {address:#018x} has type {found:#x}, not 0x403 (R_AARCH64_RELATIVE)";
        help "compile and link position-independent (-fPIE -pie; for rustc -Crelocation-model=pic) with \
            -Bsymbolic: no symbol may be left to resolve";
        here "{}", remedy(*found);
    /// A relocation is not in a writable or RELRO segment, or reaches across runs of pages.
    236 Target { address: u64 = "The word." }
        => "the relocation at {address:#018x} is not in one run of writable or RELRO pages";
        help "compile position-independent (-fPIE; for rustc -Crelocation-model=pic) and link with -z text";
    /// The RELR table begins with a bitmap.
    237 BitmapFirst { word: u64 = "The entry." }
        => "the RELR table begins with the bitmap {word:#x}, not an address";
        help "link the file again: it is damaged";
}

/// What leaves a relocation of this type to the loader, and how to have none.
const fn remedy(found: u32) -> &'static str {
    match found {
        R_AARCH64_COPY | R_AARCH64_JUMP_SLOT | R_AARCH64_GLOB_DAT | R_AARCH64_ABS64 => {
            "link statically with -pie -Bsymbolic: a symbol is left to be resolved at run time"
        }
        R_AARCH64_IRELATIVE => "build without indirect functions (ifunc): nothing calls their resolvers",
        R_AARCH64_TLS_DTPMOD..=R_AARCH64_TLSDESC => {
            "build without thread-local variables: there are no threads yet"
        }
        _ => "compile and link position-independent: -fPIE -pie; for rustc -Crelocation-model=pic",
    }
}
