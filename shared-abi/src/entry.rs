//! `entry!`: the three lines that make a Rust program a kernel of this ABI.
//!
//! ```
//! use shared_abi::entry::Handoff;
//!
//! shared_abi::entry!(kmain);
//!
//! fn kmain(info: Handoff) -> ! {
//!     let _usable = info.free_bytes();
//!     loop {}
//! }
//! ```
//!
//! A function of another type does not compile, and neither does a note that cannot be served:
//!
//! ```compile_fail
//! shared_abi::entry!(kmain);
//! fn kmain(info: usize) -> ! { loop {} }
//! ```
//! ```compile_fail
//! shared_abi::entry!(kmain, Note { stack_size: 1000, ..Note::DEFAULT });
//! fn kmain(info: shared_abi::entry::Handoff) -> ! { loop {} }
//! ```
//! ```
//! shared_abi::entry!(kmain, Note { stack_size: 0x10_0000, ..Note::DEFAULT });
//! fn kmain(info: shared_abi::entry::Handoff) -> ! { loop {} }
//! ```
//!
//! It emits the note (which does not compile if it asks for what ABI 1.0 does not serve), type-checks `kmain`, and
//! defines `_start`, which reads x0 and decodes the `BootInfo` behind it. The stack is there and memory is zeroed
//! when it is entered, so it needs no assembly. On a host, where there is no loader, only the type-check is left,
//! so that a kernel's crate compiles and tests anywhere.
//!
//! A `BootInfo` that cannot be decoded ends in `brk` [`REFUSED`] with the error's code in x0: the loader's fault
//! reporter, which is still in charge of the vectors, says so.

use core::ops::Deref;

use crate::boot_info::BootInfo;

/// The [`BootInfo`] that the loader wrote for this kernel. Anybody can decode bytes that look like one; a value of this
/// type proves that the machine is as it says and that this kernel is what it was handed to, so that what takes devices,
/// memory and vectors over may be safe to call with it.
#[derive(Debug)]
pub struct Handoff(BootInfo<'static>);

impl Handoff {
    /// For a kernel with an entry of its own; `entry!` does it for the others.
    ///
    /// # Safety
    ///
    /// The loader wrote `info` for this kernel, which was entered by it, and no other value was made of it.
    #[expect(unsafe_code, reason = "the caller vouches for where it comes from")]
    pub const unsafe fn new(info: BootInfo<'static>) -> Self {
        Self(info)
    }

    /// What it says, which proves nothing.
    pub const fn boot_info(&self) -> &BootInfo<'static> {
        &self.0
    }
}

impl Deref for Handoff {
    type Target = BootInfo<'static>;

    fn deref(&self) -> &BootInfo<'static> {
        &self.0
    }
}

/// The immediate of the `brk` that ends a kernel whose `BootInfo` was refused; x0 holds the code.
pub const REFUSED: u16 = 0xB007;

/// Makes a function the kernel's entry: `entry!(kmain)`, or `entry!(kmain, Note { …, ..Note::DEFAULT })`.
///
/// The function is a `fn(Handoff) -> !`. The note's names are in scope.
#[macro_export]
macro_rules! entry {
    ($kmain:path) => {
        $crate::entry!($kmain, $crate::note::Note::DEFAULT);
    };
    ($kmain:path, $note:expr) => {
        const _: () = {
            #[allow(unused_imports, reason = "a note of the kernel's own may name none of them")]
            use $crate::note::*;

            /// The type that the entry must have.
            const KMAIN: fn($crate::entry::Handoff) -> ! = $kmain;

            /// Without a loader nothing calls the entry; it is still type-checked, and no dead code.
            #[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
            #[used]
            static UNCALLED: fn($crate::entry::Handoff) -> ! = KMAIN;

            #[used]
            #[cfg_attr(
                all(target_arch = "aarch64", target_os = "none"),
                unsafe(link_section = ".note.handoff")
            )]
            static NOTE: $crate::note::NoteRecord = $crate::note::NoteRecord::new(&$note);

            /// Where the loader enters, by the contract with the address of the `BootInfo` in x0.
            ///
            /// # Safety
            /// Only the loader may call this, once.
            #[cfg(all(target_arch = "aarch64", target_os = "none"))]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn _start(virt_boot_info: *const u8) -> ! {
                const HEADER: usize = ::core::mem::size_of::<$crate::boot_info::Header>();
                // SAFETY: by the contract x0 points to a BootInfo, which is never shorter than its header.
                let header = unsafe { ::core::slice::from_raw_parts(virt_boot_info, HEADER) };
                let info = $crate::boot_info::announced_size(header).and_then(|size| {
                    // SAFETY: the header is valid, and the loader mapped as many bytes as it announces, read-only
                    // and for as long as the kernel leaves them so.
                    let blob = unsafe { ::core::slice::from_raw_parts(virt_boot_info, size) };
                    $crate::boot_info::BootInfo::decode(blob)
                });
                match info {
                    // SAFETY: the loader wrote it for this kernel and has just entered it, once.
                    Ok(info) => KMAIN(unsafe { $crate::entry::Handoff::new(info) }),
                    // SAFETY: the exception goes to the loader's vectors, and nothing comes back from it.
                    Err(error) => unsafe {
                        ::core::arch::asm!(
                            "brk #{refused}",
                            // Should a debugger step over it: stay.
                            "2: wfe",
                            "b 2b",
                            refused = const $crate::entry::REFUSED,
                            in("x0") u64::from(error.code()),
                            options(noreturn),
                        )
                    },
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::Handoff;

    fn kmain(_: Handoff) -> ! {
        unreachable!("no loader on a host")
    }

    crate::entry!(kmain);
    crate::entry!(self::kmain, Note { stack_size: 256 << 10, wanted: Wanted::empty(), ..Note::DEFAULT });
}
