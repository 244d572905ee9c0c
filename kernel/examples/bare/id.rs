//! The processor's ID registers, by their names in the contract's table of features.

use core::arch::asm;

use shared_abi::contract::features::Id;

macro_rules! readers {
    ($($name:ident = $encoding:literal,)*) => {
        /// What an ID register reads as; 0 for what is none.
        pub fn id_register(id: Id) -> u64 {
            let value: u64;
            match id {
                // SAFETY: reading an ID register changes nothing; one that the processor does not have reads as 0.
                $(Id::$name => unsafe {
                    asm!(concat!("mrs {}, ", $encoding), out(reg) value, options(nomem, nostack, preserves_flags))
                },)*
                _ => value = 0,
            }
            value
        }
    };
}

shared_abi::feature_id_registers!(readers);
