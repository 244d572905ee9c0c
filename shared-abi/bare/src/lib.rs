//! The bare machine: what both stages, the examples and any kernel of this ABI do to a 64-bit Arm processor.
//!
//! ```text
//! mmio         one device's registers, by instructions that a hypervisor can emulate
//! translate    what the processor's own walker says of an address
//! cache, tlb   upkeep by name, with the barriers that belong to it
//! cell         state that is there once, borrowed or claimed
//! exception    vectors, and the registers that they store and restore
//! backtrace    who called whom, by the frame records on a stack
//! region       names for addresses         report        a fault in words
//! psci         calls to firmware          semihosting   calls to a debugger's host
//! ending       the ways to end a machine, from the best to the last
//! ```
//!
//! Each function does one thing and knows no board. What is safe here cannot break memory safety, whatever it is called
//! with: at worst an exception is taken. docs/soundness.md says what follows from that.
//!
//! The package compiles on any host, so that a kernel's pure half can be tested there; an instruction of the machine's
//! that is reached on a host panics.
#![no_std]
#![cfg_attr(
    not(target_arch = "aarch64"),
    allow(
        clippy::never_loop,
        unused_mut,
        unused_unsafe,
        unused_variables,
        unreachable_code,
        reason = "a host has none of the instructions"
    )
)]

#[cfg(test)]
extern crate std;

pub use aarch64_cpu::asm::barrier;

/// `asm!` on the machine, a panic on a host.
macro_rules! instruction {
    ($($assembly:tt)*) => {
        match () {
            #[cfg(target_arch = "aarch64")]
            () => core::arch::asm!($($assembly)*),
            #[cfg(not(target_arch = "aarch64"))]
            () => unimplemented!("an instruction of the 64-bit Arm architecture"),
        }
    };
}

pub mod backtrace;
pub mod cache;
pub mod cell;
pub mod ending;
pub mod exception;
pub mod memory_functions;
pub mod mmio;
pub mod psci;
pub mod region;
pub mod report;
pub mod semihosting;
pub mod tlb;
pub mod translate;
