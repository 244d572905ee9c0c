//! Randomness for the layout, and what is left of it for the kernel.
//!
//! ```text
//!  repeatable seed ──┐ alone, if the image has one
//!  kaslr-seed ───────┤
//!  rng-seed, first half ┼─► mix ─► two words for slide and direct map, used and forgotten
//!  CPU's random words ──┤
//!  counter ─────────────┘
//!  rng-seed, other half, fresh random words ─────► the kernel's bytes
//! ```
//!
//! Bytes are used for one of the two only, so what the kernel is given says nothing about where it lies. Every
//! source there is goes in; credit is the number of bits that the sources vouch for, which for the counter is
//! none. Mixing spreads what there is over both words; it does not make more of it.

use core::fmt;

/// Bytes that are handed to the kernel.
pub const KERNEL_BYTES: usize = 32;

/// Most of `rng-seed` that is used, half for the layout and half for the kernel.
const RNG_SEED_BYTES: usize = 2 * KERNEL_BYTES;

/// Which sources there were: bits as in `shared_abi::boot_info::EntropySources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sources(pub u32);

impl Sources {
    /// The image's repeatable seed: no secret at all.
    pub const REPEATABLE: Self = Self(1 << 4);
    /// `/chosen/kaslr-seed`.
    pub const KASLR_SEED: Self = Self(1 << 0);
    /// `/chosen/rng-seed`.
    pub const RNG_SEED: Self = Self(1 << 1);
    /// The CPU's RNDR register.
    pub const CPU: Self = Self(1 << 2);
    /// The counter.
    pub const COUNTER: Self = Self(1 << 3);

    const NAMES: [(Self, &str); 5] = [
        (Self::REPEATABLE, "repeatable seed"),
        (Self::KASLR_SEED, "kaslr-seed"),
        (Self::RNG_SEED, "rng-seed"),
        (Self::CPU, "RNDR"),
        (Self::COUNTER, "counter"),
    ];

    /// Whether all of `other` were there.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (source, name) in Self::NAMES {
            if self.contains(source) {
                write!(f, "{between}{name}")?;
                between = ", ";
            }
        }
        Ok(())
    }
}

/// What the machine has to offer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered<'a> {
    /// A seed in the image that makes boots repeatable. Nothing else is used then.
    pub repeatable: Option<&'a [u8]>,
    /// `/chosen/kaslr-seed`.
    pub kaslr_seed: Option<u64>,
    /// `/chosen/rng-seed`; may be empty.
    pub rng_seed: &'a [u8],
    /// Random words of the CPU: the first two for the layout, the others for the kernel.
    pub cpu: Option<[u64; 6]>,
    /// The counter, read as late as possible.
    pub counter: u64,
}

/// The layout's words and the kernel's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entropy {
    /// For slide and direct map. To be forgotten.
    pub layout: [u64; 2],
    /// Bits of the layout's words that sources vouch for, at most 128.
    pub layout_bits: u32,
    /// For the kernel.
    pub kernel: [u8; KERNEL_BYTES],
    /// Bits of the kernel's bytes that sources vouch for, at most 256.
    pub kernel_bits: u32,
    /// Where it all comes from.
    pub sources: Sources,
}

impl Entropy {
    /// Divides and mixes what is offered.
    pub fn gather(offered: &Offered<'_>) -> Self {
        if let Some(seed) = offered.repeatable {
            let mut pool = Pool::new(1);
            pool.absorb_bytes(seed);
            let layout = [pool.draw(), pool.draw()];
            let kernel = pool.draw_bytes();
            return Self { layout, layout_bits: 0, kernel, kernel_bits: 0, sources: Sources::REPEATABLE };
        }
        let mut sources = Sources::COUNTER;
        let (mut layout, mut kernel) = (Pool::new(2), Pool::new(3));
        layout.absorb(offered.counter);
        // The kernel can read the counter itself, but not this early.
        kernel.absorb(offered.counter);
        if let Some(seed) = offered.kaslr_seed {
            layout.absorb(seed);
            layout.bits += u64::BITS;
            sources.add(Sources::KASLR_SEED);
        }
        if !offered.rng_seed.is_empty() {
            let used = offered.rng_seed.get(..RNG_SEED_BYTES).unwrap_or(offered.rng_seed);
            let (first, second) = used.split_at(used.len() / 2);
            layout.absorb_bytes(first);
            kernel.absorb_bytes(second);
            layout.bits += 8 * first.len() as u32;
            kernel.bits += 8 * second.len() as u32;
            sources.add(Sources::RNG_SEED);
        }
        if let Some([first, second, rest @ ..]) = offered.cpu {
            layout.absorb(first);
            layout.absorb(second);
            layout.bits += 2 * u64::BITS;
            for word in rest {
                kernel.absorb(word);
                kernel.bits += u64::BITS;
            }
            sources.add(Sources::CPU);
        }
        Self {
            layout: [layout.draw(), layout.draw()],
            layout_bits: layout.bits.min(128),
            kernel: kernel.draw_bytes(),
            kernel_bits: kernel.bits.min(8 * KERNEL_BYTES as u32),
            sources,
        }
    }
}

/// 256 bits that words are mixed into and drawn from: four lanes of SplitMix64 (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators"). Every lane depends on every word.
struct Pool {
    lanes: [u64; 4],
    bits: u32,
}

impl Pool {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

    /// An empty pool; pools with different numbers are unlike each other.
    const fn new(number: u64) -> Self {
        Self { lanes: [number, number + 4, number + 8, number + 12], bits: 0 }
    }

    const fn mix(mut value: u64) -> u64 {
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn absorb(&mut self, word: u64) {
        let mut carried = word;
        for lane in &mut self.lanes {
            *lane = Self::mix((*lane ^ carried).wrapping_add(Self::GAMMA));
            carried = carried.rotate_left(17) ^ *lane;
        }
    }

    fn absorb_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.absorb(u64::from_le_bytes(word));
        }
        self.absorb(bytes.len() as u64);
    }

    fn draw(&mut self) -> u64 {
        self.absorb(Self::GAMMA);
        let [a, b, c, d] = self.lanes;
        Self::mix(a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ d.rotate_left(48))
    }

    fn draw_bytes(&mut self) -> [u8; KERNEL_BYTES] {
        let mut bytes = [0; KERNEL_BYTES];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}
