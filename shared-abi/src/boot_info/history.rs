//! The flight recorder: stages, log, and the entropy that is left.

use super::fault::Fault;
use super::record::{flags, record};
use super::strings::StringRef;

record! {
    /// When a stage of the boot was reached, in ascending order.
    Stage, 16 bytes {
        /// The system counter (CNTVCT_EL0) when it began.
        ticks: u64,
        /// Its name.
        name: StringRef,
    }
    check |stage, before, strings| {
        let after = before.is_none_or(|before| before.ticks <= stage.ticks);
        Fault::unless(after, "ticks", stage.ticks)?;
        strings.check(stage.name, "name")
    }
}

/// What the loader said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// The text, meant to be UTF-8 but not checked.
    pub bytes: &'a [u8],
    /// Whether its beginning is missing.
    pub is_truncated: bool,
}

flags! {
    /// Where entropy came from.
    EntropySources {
        /// `/chosen/kaslr-seed`.
        KASLR_SEED = 0;
        /// `/chosen/rng-seed`.
        RNG_SEED = 1;
        /// The processor's RNDR register.
        RNDR = 2;
        /// The system counter, credited with nothing.
        COUNTER = 3;
        /// A seed that was packed into the image to repeat a boot, credited with nothing.
        PACKED_SEED = 4;
    }
}

record! {
    /// Entropy for the kernel. None of these bytes chose an address.
    Entropy, 48 bytes {
        /// The bytes.
        bytes: [u8; 32],
        /// Bits of entropy that they can be trusted to hold, at most 256.
        credited_bits: u32,
        /// Where they came from.
        sources: EntropySources,
        /// Bits of entropy that the choice of addresses could be trusted to hold.
        slide_credited_bits: u32,
        /// Where those came from.
        slide_sources: EntropySources,
    }
    check |entropy, _, _| {
        let bits = entropy.credited_bits;
        Fault::unless(bits <= 256, "credited_bits", bits as u64)
    }
}
