//! Size classes: which block size serves a request.
//!
//! Steps of 16 bytes up to 128, then four per doubling, so that no more than a fifth of a block of over 128
//! bytes is slack. A class says nothing about places: where its blocks lie is [`super::area`]'s business.
//!
//! ```text
//! index   0  1 …  7 │   8   9  10  11 │  12 …  15 │ … │    40 …    43
//! bytes  16 32 … 128│ 160 192 224 256 │ 320 … 512 │ … │ 40960 … 65536
//! ```

use core::alloc::Layout;

/// How many classes there are.
pub(super) const CLASSES: usize = 44;

/// The largest block of a class in bytes; larger requests are page runs.
pub(super) const LARGEST: usize = 64 << 10;

/// The alignment of every block; more is a matter of choosing the class.
const GRAIN: usize = 16;

/// Requests up to here find their class in one table.
const TABLED: usize = 1024;

/// A size class, an index below [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

const SIZES: [u32; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let mut at = 0;
    while at < CLASSES {
        sizes[at] = if at < 8 {
            GRAIN as u32 * (at as u32 + 1)
        } else {
            let (doubling, quarter) = ((at as u32 - 8) / 4, (at as u32 - 8) % 4);
            (128 << doubling) + (32 << doubling) * (quarter + 1)
        };
        at += 1;
    }
    sizes
};

/// Class by request in grains, rounded up.
const BY_GRAINS: [u8; TABLED / GRAIN + 1] = {
    let mut table = [0; TABLED / GRAIN + 1];
    let (mut grains, mut class) = (0, 0);
    while grains < table.len() {
        while (SIZES[class as usize] as usize) < grains * GRAIN {
            class += 1;
        }
        table[grains] = class;
        grains += 1;
    }
    table
};

impl Class {
    /// The smallest class that serves `layout`; `None` if it takes a page run.
    #[inline(always)]
    pub(super) const fn of(layout: Layout) -> Option<Self> {
        if layout.align() > GRAIN {
            return Self::of_aligned(layout.size(), layout.align());
        }
        Self::of_size(layout.size())
    }

    /// The smallest class whose blocks hold `size` bytes.
    #[inline(always)]
    const fn of_size(size: usize) -> Option<Self> {
        if size <= TABLED {
            Some(Self(BY_GRAINS[size.div_ceil(GRAIN)]))
        } else if size <= LARGEST {
            let below = size - 1;
            let doubling = below.ilog2();
            Some(Self((8 + (doubling - 7) * 4) as u8 + (below >> (doubling - 2) & 3) as u8))
        } else {
            None
        }
    }

    /// The smallest class whose size is a multiple of `align`: spans are aligned to more than any class size,
    /// so every block of it is aligned too.
    #[inline(never)]
    const fn of_aligned(size: usize, align: usize) -> Option<Self> {
        if size > LARGEST || align > LARGEST {
            return None;
        }
        let Some(Self(mut class)) = Self::of_size(if size < align { align } else { size }) else {
            return None;
        };
        // Ends at the latest at the next power of two, which is a class.
        while (class as usize) < CLASSES {
            if SIZES[class as usize] as usize & (align - 1) == 0 {
                return Some(Self(class));
            }
            class += 1;
        }
        None
    }

    /// The class at `index`; `None` from [`CLASSES`] on.
    pub(super) const fn at(index: u8) -> Option<Self> {
        if (index as usize) < CLASSES { Some(Self(index)) } else { None }
    }

    /// The class's index.
    #[inline(always)]
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of a block.
    pub(super) const fn block(self) -> usize {
        SIZES[self.0 as usize] as usize
    }

    /// The area whose spans suit the class: at least 16 blocks a span up to 1 KiB, 8 up to 8 KiB, then 4.
    pub(super) const fn area(self) -> usize {
        match self.0 {
            0..12 => 0,
            12..20 => 1,
            20..32 => 2,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn sizes_are_the_documented_ones() {
        assert_eq!(SIZES[..9], [16, 32, 48, 64, 80, 96, 112, 128, 160]);
        assert_eq!(SIZES[11..20], [256, 320, 384, 448, 512, 640, 768, 896, 1024]);
        assert_eq!(SIZES[39..], [32768, 40960, 49152, 57344, 65536]);
        assert!(SIZES.iter().all(|&size| (size as usize).is_multiple_of(GRAIN)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive, and without unsafe code")]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 0..=LARGEST {
            let class = Class::of(layout(size, 1)).unwrap();
            assert!(class.block() >= size);
            assert!(class.index() == 0 || SIZES[class.index() - 1] < size.max(1) as u32, "{size}");
        }
        assert_eq!(Class::of(layout(LARGEST + 1, 1)), None);
        assert_eq!(Class::of(layout(usize::MAX >> 1, 1)), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive, and without unsafe code")]
    fn every_alignment_gets_a_class_that_keeps_it() {
        for shift in 0..=16 {
            for size in (0..=LARGEST).step_by(37).chain([LARGEST]) {
                let class = Class::of(layout(size, 1 << shift)).unwrap();
                assert!(class.block() >= size && class.block().is_multiple_of(1 << shift.max(4)));
            }
        }
        assert_eq!(Class::of(layout(16, 2 * LARGEST)), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "exhaustive, and without unsafe code")]
    fn slack_is_at_most_a_fifth_above_128_bytes() {
        for size in 129..=LARGEST {
            let block = Class::of(layout(size, 1)).unwrap().block();
            assert!((block - size) * 5 < block, "{size} in {block}");
        }
    }

    #[test]
    fn spans_hold_enough_blocks_of_their_class() {
        for index in 0..CLASSES as u8 {
            let class = Class::at(index).unwrap();
            let blocks = (0x1000 << (2 * class.area())) / class.block();
            assert!(blocks >= [16, 16, 8, 4][class.area()], "{index}: {blocks}");
        }
    }
}
