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

use shared_abi::boot_info::EntropySources;

/// Bytes that are handed to the kernel.
pub const KERNEL_BYTES: usize = 32;

/// Most of `rng-seed` that is used, half for the layout and half for the kernel.
const RNG_SEED_BYTES: usize = 2 * KERNEL_BYTES;

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
    /// Where the kernel's bytes come from.
    pub sources: EntropySources,
    /// Where the layout's words come from.
    pub layout_sources: EntropySources,
}

impl Entropy {
    /// Divides and mixes what is offered.
    pub fn gather(offered: &Offered<'_>) -> Self {
        if let Some(seed) = offered.repeatable {
            let mut pool = Pool::new(1);
            pool.absorb_bytes(EntropySources::PACKED_SEED, seed, 0);
            return Self::draw(&mut pool.clone(), &mut pool.fork());
        }
        let (mut layout, mut kernel) = (Pool::new(2), Pool::new(3));
        for pool in [&mut layout, &mut kernel] {
            pool.absorb(EntropySources::COUNTER, offered.counter, 0);
        }
        if let Some(seed) = offered.kaslr_seed {
            layout.absorb(EntropySources::KASLR_SEED, seed, u64::BITS);
        }
        let used = offered.rng_seed.get(..RNG_SEED_BYTES).unwrap_or(offered.rng_seed);
        let (first, second) = used.split_at(used.len() / 2);
        for (pool, bytes) in [(&mut layout, first), (&mut kernel, second)] {
            if !bytes.is_empty() {
                pool.absorb_bytes(EntropySources::RNG_SEED, bytes, 8 * bytes.len() as u32);
            }
        }
        if let Some([first, second, rest @ ..]) = offered.cpu {
            for word in [first, second] {
                layout.absorb(EntropySources::RNDR, word, u64::BITS);
            }
            for word in rest {
                kernel.absorb(EntropySources::RNDR, word, u64::BITS);
            }
        }
        Self::draw(&mut layout, &mut kernel)
    }

    fn draw(layout: &mut Pool, kernel: &mut Pool) -> Self {
        Self {
            layout: [layout.draw(), layout.draw()],
            layout_bits: layout.bits.min(2 * u64::BITS),
            kernel: kernel.draw_bytes(),
            kernel_bits: kernel.bits.min(8 * KERNEL_BYTES as u32),
            sources: kernel.sources,
            layout_sources: layout.sources,
        }
    }
}

/// 256 bits that words are mixed into and drawn from: four lanes, each mixed as SplitMix64 does (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators"). Every lane depends on every word.
#[derive(Clone)]
struct Pool {
    lanes: [u64; 4],
    bits: u32,
    sources: EntropySources,
}

impl Pool {
    /// An odd number without pattern: 2⁶⁴ divided by the golden ratio.
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

    /// An empty pool; pools with different numbers are unlike each other.
    const fn new(number: u64) -> Self {
        let lanes = [number, number + 4, number + 8, number + 12];
        Self { lanes, bits: 0, sources: EntropySources::empty() }
    }

    /// A pool that holds as much, and says something else.
    fn fork(mut self) -> Self {
        self.stir(1);
        self
    }

    const fn mix(mut value: u64) -> u64 {
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    #[inline(never)]
    fn stir(&mut self, word: u64) {
        let mut carried = word;
        for lane in &mut self.lanes {
            *lane = Self::mix((*lane ^ carried).wrapping_add(Self::GAMMA));
            carried = carried.rotate_left(17) ^ *lane;
        }
    }

    #[inline(never)]
    fn absorb(&mut self, source: EntropySources, word: u64, bits: u32) {
        self.stir(word);
        self.bits += bits;
        self.sources |= source;
    }

    #[inline(never)]
    fn absorb_bytes(&mut self, source: EntropySources, bytes: &[u8], bits: u32) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.stir(u64::from_le_bytes(word));
        }
        self.absorb(source, bytes.len() as u64, bits);
    }

    fn draw(&mut self) -> u64 {
        self.stir(Self::GAMMA);
        let [a, b, c, d] = self.lanes;
        Self::mix(a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ d.rotate_left(48))
    }

    fn draw_bytes(&mut self) -> [u8; KERNEL_BYTES] {
        let words = [(); KERNEL_BYTES / 8].map(|()| self.draw().to_le());
        zerocopy::transmute!(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 64] = [0x5A; 64];

    fn offered() -> Offered<'static> {
        Offered { kaslr_seed: Some(1), rng_seed: &SEED, cpu: Some([2; 6]), counter: 3, repeatable: None }
    }

    #[test]
    fn what_chose_addresses_says_nothing_about_the_kernels_bytes_and_the_other_way_round() {
        let base = Entropy::gather(&offered());
        let mut changed = SEED;
        changed[0] = 0;
        let layout_only = [
            Offered { kaslr_seed: None, ..offered() },
            Offered { kaslr_seed: Some(2), ..offered() },
            Offered { rng_seed: &changed, ..offered() },
            Offered { cpu: Some([9, 2, 2, 2, 2, 2]), ..offered() },
        ];
        for offered in &layout_only {
            let entropy = Entropy::gather(offered);
            assert_ne!(entropy.layout, base.layout, "{offered:?}");
            assert_eq!(entropy.kernel, base.kernel, "{offered:?}");
        }
        let mut changed = SEED;
        changed[63] = 0;
        let kernel_only = [
            Offered { rng_seed: &changed, ..offered() },
            Offered { cpu: Some([2, 2, 2, 2, 2, 9]), ..offered() },
        ];
        for offered in &kernel_only {
            let entropy = Entropy::gather(offered);
            assert_eq!(entropy.layout, base.layout, "{offered:?}");
            assert_ne!(entropy.kernel, base.kernel, "{offered:?}");
        }
    }

    #[test]
    fn credit_is_what_the_sources_vouch_for() {
        let bits = |offered: &Offered<'_>| {
            let entropy = Entropy::gather(offered);
            (entropy.layout_bits, entropy.kernel_bits, entropy.layout_sources, entropy.sources)
        };
        let nothing = Offered { counter: 7, ..Offered::default() };
        let counter = EntropySources::COUNTER;
        assert_eq!(bits(&nothing), (0, 0, counter, counter));
        let kaslr = counter | EntropySources::KASLR_SEED;
        assert_eq!(bits(&Offered { kaslr_seed: Some(1), ..nothing }), (64, 0, kaslr, counter));
        let seed = counter | EntropySources::RNG_SEED;
        assert_eq!(bits(&Offered { rng_seed: &SEED[..32], ..nothing }), (128, 128, seed, seed));
        assert_eq!(bits(&Offered { rng_seed: &SEED[..1], ..nothing }), (0, 8, counter, seed));
        let cpu = counter | EntropySources::RNDR;
        assert_eq!(bits(&Offered { cpu: Some([0; 6]), ..nothing }), (128, 256, cpu, cpu));
        assert_eq!(bits(&offered()).0, 128);
        assert_eq!(bits(&offered()).1, 256);
    }

    #[test]
    fn a_repeatable_seed_is_used_alone_and_credited_with_nothing() {
        let with =
            |seed, offered: Offered<'_>| Entropy::gather(&Offered { repeatable: Some(seed), ..offered });
        let first = with(b"seed", offered());
        assert_eq!(first, with(b"seed", Offered::default()));
        assert_ne!(first.layout, with(b"sees", offered()).layout);
        assert_eq!((first.layout_bits, first.kernel_bits), (0, 0));
        assert_eq!(first.sources, EntropySources::PACKED_SEED);
        assert_ne!(first.layout[0].to_le_bytes(), first.kernel[..8]);
    }

    #[test]
    fn neighbouring_counters_give_layouts_that_share_no_more_bits_than_chance() {
        let draw = |counter| Entropy::gather(&Offered { counter, ..Offered::default() }).layout;
        for counter in 0..1000 {
            let (one, next) = (draw(counter), draw(counter + 1));
            let differing = (one[0] ^ next[0]).count_ones() + (one[1] ^ next[1]).count_ones();
            assert!((30..98).contains(&differing), "{counter}: {differing} of 128 bits differ");
        }
    }
}
