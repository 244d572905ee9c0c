//! Addresses, frames and ranges: the words that every stage counts memory in.
//!
//! A physical address is never mistaken for a virtual one because they are different types, and a range is
//! never empty-by-accident or wrapped because it cannot be constructed so. All arithmetic is checked; nothing
//! here panics on any input.

use core::fmt;

/// log2 of the translation granule that ABI 1 serves.
pub const PAGE_SHIFT: u32 = 12;

/// Bytes of a base page or frame.
pub const PAGE: u64 = 1 << PAGE_SHIFT;

/// Widest physical address that the VMSA names without LPA2 (Arm ARM D8.2: 48 bits with a 4 KiB granule).
pub const PHYS_BITS: u32 = 48;

/// Width of one half of the virtual address space (Arm ARM D8.2: TnSZ = 16).
pub const VIRT_BITS: u32 = 48;

/// The three sizes a 4 KiB granule can map at (Arm ARM D8.3): level 3 page, level 2 block, level 1 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageSize {
    /// 4 KiB, a level 3 page.
    Size4K,
    /// 2 MiB, a level 2 block.
    Size2M,
    /// 1 GiB, a level 1 block.
    Size1G,
}

impl PageSize {
    /// All sizes, smallest first.
    pub const ALL: [Self; 3] = [Self::Size4K, Self::Size2M, Self::Size1G];

    /// log2 of the size in bytes.
    pub const fn shift(self) -> u32 {
        match self {
            Self::Size4K => 12,
            Self::Size2M => 21,
            Self::Size1G => 30,
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    /// The translation level whose descriptor maps this size: 3, 2 or 1.
    pub const fn level(self) -> u8 {
        match self {
            Self::Size4K => 3,
            Self::Size2M => 2,
            Self::Size1G => 1,
        }
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size4K => "4 KiB",
            Self::Size2M => "2 MiB",
            Self::Size1G => "1 GiB",
        })
    }
}

/// Rounds `value` down to a multiple of `alignment`, a power of two.
pub const fn align_down(value: u64, alignment: u64) -> u64 {
    value & !(alignment - 1)
}

/// Rounds `value` up to a multiple of `alignment`, a power of two; `None` past 2⁶⁴.
pub const fn align_up(value: u64, alignment: u64) -> Option<u64> {
    match value.checked_add(alignment - 1) {
        Some(sum) => Some(align_down(sum, alignment)),
        None => None,
    }
}

/// A physical address below 2⁴⁸.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// The first address past all that can be named.
    pub const LIMIT: u64 = 1 << PHYS_BITS;

    /// `None` for a value of 2⁴⁸ or above.
    pub const fn new(value: u64) -> Option<Self> {
        if value < Self::LIMIT { Some(Self(value)) } else { None }
    }

    /// The low 48 bits of `bits` as an address: what the hardware makes of a descriptor's or register's field.
    pub(crate) const fn from_field(bits: u64) -> Self {
        Self(bits & (Self::LIMIT - 1))
    }

    /// The address as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the address is a multiple of `size`.
    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.0 & (size.bytes() - 1) == 0
    }

    /// The address `bytes` further; `None` past the limit.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Self::new(value),
            None => None,
        }
    }

    /// The frame that holds this address.
    pub const fn frame(self) -> Frame {
        Frame(self.0 >> PAGE_SHIFT)
    }
}

/// A canonical virtual address: bits 63 to 48 all 0 (TTBR0) or all 1 (TTBR1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(u64);

impl VirtAddr {
    /// The lowest address that TTBR1 translates.
    pub const HIGH_HALF: Self = Self(0xFFFF_0000_0000_0000);

    /// `None` for an address that neither half translates.
    pub const fn new(value: u64) -> Option<Self> {
        match value >> VIRT_BITS {
            0 | 0xFFFF => Some(Self(value)),
            _ => None,
        }
    }

    /// The address as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether TTBR1 translates it.
    pub const fn is_high(self) -> bool {
        self.0 >> VIRT_BITS != 0
    }

    /// Whether the address is a multiple of `size`.
    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.0 & (size.bytes() - 1) == 0
    }

    /// The address `bytes` further; `None` if it leaves this half.
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) if (value >> VIRT_BITS == 0xFFFF) == self.is_high() => Self::new(value),
            _ => None,
        }
    }

    /// The table index that a walk uses at `level` (0 to 3): nine bits.
    pub const fn table_index(self, level: u8) -> usize {
        ((self.0 >> (PAGE_SHIFT + 9 * (3 - level as u32))) & 0x1FF) as usize
    }
}

/// A physical page frame number: a physical address in units of 4 KiB, below 2³⁶.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Frame(u64);

impl Frame {
    /// `None` for a number of 2³⁶ or above.
    pub const fn new(number: u64) -> Option<Self> {
        if number < PhysAddr::LIMIT >> PAGE_SHIFT { Some(Self(number)) } else { None }
    }

    /// The frame number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The physical address of the frame's first byte.
    pub const fn start(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }

    /// The frame `count` further; `None` past the limit.
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(number) => Self::new(number),
            None => None,
        }
    }
}

/// A half-open range of physical addresses, `start ≤ end ≤ 2⁴⁸`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PhysRange {
    start: u64,
    end: u64,
}

/// A half-open range of virtual addresses inside one half; the very last byte of the high half is never part.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VirtRange {
    start: u64,
    end: u64,
}

macro_rules! range {
    ($range:ident, $address:ident) => {
        impl $range {
            /// The range of `length` bytes from `start`; `None` if it leaves what the address type can name.
            pub const fn new(start: $address, length: u64) -> Option<Self> {
                match start.get().checked_add(length) {
                    Some(end) => Self::from_bounds(start.get(), end),
                    None => None,
                }
            }

            /// The first address.
            pub const fn start(self) -> $address {
                $address(self.start)
            }

            /// The first address past the range, as a number: it need not be nameable.
            pub const fn end(self) -> u64 {
                self.end
            }

            /// The address `offset` bytes after the first.
            ///
            /// # Panics
            /// If that is not in the range: a fault of the caller's, who would otherwise touch what is not its own.
            #[track_caller]
            pub const fn at(self, offset: u64) -> $address {
                assert!(offset < self.len(), "the offset leaves the range");
                $address(self.start + offset)
            }

            /// Length in bytes.
            pub const fn len(self) -> u64 {
                self.end - self.start
            }

            /// Whether the range holds no byte.
            pub const fn is_empty(self) -> bool {
                self.start == self.end
            }

            /// Whether `address` lies inside.
            pub const fn contains(self, address: $address) -> bool {
                self.start <= address.get() && address.get() < self.end
            }

            /// Whether all of `other` lies inside.
            pub const fn covers(self, other: Self) -> bool {
                self.start <= other.start && other.end <= self.end
            }

            /// Whether the two share a byte.
            pub const fn overlaps(self, other: Self) -> bool {
                self.intersection(other).is_some()
            }

            /// The bytes that both hold; `None` if they share none.
            pub const fn intersection(self, other: Self) -> Option<Self> {
                let start = if self.start > other.start { self.start } else { other.start };
                let end = if self.end < other.end { self.end } else { other.end };
                if start < end { Some(Self { start, end }) } else { None }
            }

            /// Whether both ends are multiples of `size`.
            pub const fn is_aligned(self, size: PageSize) -> bool {
                (self.start | self.end) & (size.bytes() - 1) == 0
            }

            /// The largest range of whole pages of `size` inside; `None` if there is none.
            pub const fn aligned_inward(self, size: PageSize) -> Option<Self> {
                let end = align_down(self.end, size.bytes());
                match align_up(self.start, size.bytes()) {
                    Some(start) if start < end => Some(Self { start, end }),
                    _ => None,
                }
            }
        }

        impl fmt::Display for $range {
            /// `0x…–0x…`, start and exclusive end in sixteen digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#018x}–{:#018x}", self.start, self.end)
            }
        }

        impl fmt::Debug for $range {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

range!(PhysRange, PhysAddr);
range!(VirtRange, VirtAddr);

impl PhysRange {
    /// The range from `start` up to, not including, `end`; `None` if reversed or past 2⁴⁸.
    pub const fn from_bounds(start: u64, end: u64) -> Option<Self> {
        if start <= end && end <= PhysAddr::LIMIT { Some(Self { start, end }) } else { None }
    }

    /// The smallest range of whole pages of `size` that covers this one.
    pub const fn aligned_outward(self, size: PageSize) -> Self {
        // The limit is a multiple of every page size, so rounding up cannot leave the range of the type.
        Self {
            start: align_down(self.start, size.bytes()),
            end: match align_up(self.end, size.bytes()) {
                Some(end) => end,
                None => PhysAddr::LIMIT,
            },
        }
    }

    /// The frames that the range touches, as first frame number and count.
    pub const fn frames(self) -> (Frame, u64) {
        let outward = self.aligned_outward(PageSize::Size4K);
        (Frame(outward.start >> PAGE_SHIFT), outward.len() >> PAGE_SHIFT)
    }
}

impl VirtRange {
    /// The range of no byte, at the start of the high half.
    pub const EMPTY: Self = Self { start: VirtAddr::HIGH_HALF.0, end: VirtAddr::HIGH_HALF.0 };

    /// The range from `start` up to, not including, `end`; `None` if reversed, not canonical, or across halves.
    pub const fn from_bounds(start: u64, end: u64) -> Option<Self> {
        if start > end || VirtAddr::new(start).is_none() {
            return None;
        }
        let low = start >> VIRT_BITS == 0;
        if low && end > 1 << VIRT_BITS { None } else { Some(Self { start, end }) }
    }
}

macro_rules! address_format {
    ($($type:ident)*) => {$(
        impl fmt::Display for $type {
            /// `0x` and sixteen hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#018x}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:#x})"), self.0)
            }
        }
    )*};
}

address_format!(PhysAddr VirtAddr Frame);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_outside_the_architecture_cannot_be_made() {
        assert_eq!(PhysAddr::new(1 << 48), None);
        assert_eq!(VirtAddr::new(1 << 48), None);
        assert_eq!(VirtAddr::new(0xFFFE_FFFF_FFFF_FFFF), None);
        assert!(VirtAddr::new(0xFFFF_0000_0000_0000).is_some_and(VirtAddr::is_high));
        assert_eq!(Frame::new(1 << 36), None);
    }

    #[test]
    fn arithmetic_never_wraps_or_changes_half() {
        let top = PhysAddr::new(PhysAddr::LIMIT - 1).unwrap();
        assert_eq!(top.checked_add(1), None);
        assert_eq!(top.checked_add(u64::MAX), None);
        let low_top = VirtAddr::new((1 << 48) - 1).unwrap();
        assert_eq!(low_top.checked_add(1), None);
        assert_eq!(low_top.checked_add(0xFFFF_0000_0000_0000), None);
        assert_eq!(VirtAddr::new(u64::MAX).unwrap().checked_add(1), None);
    }

    #[test]
    fn a_range_inside_one_page_has_no_whole_page() {
        let range = PhysRange::from_bounds(0x1800, 0x1C00).unwrap();
        assert_eq!(range.aligned_inward(PageSize::Size4K), None);
        assert_eq!(range.aligned_outward(PageSize::Size4K), PhysRange::from_bounds(0x1000, 0x2000).unwrap());
        assert_eq!(range.frames(), (Frame::new(1).unwrap(), 1));
    }

    #[test]
    fn an_offset_is_an_address_of_the_range() {
        let range = PhysRange::from_bounds(PhysAddr::LIMIT - 2, PhysAddr::LIMIT).unwrap();
        assert_eq!((range.at(0), range.at(1).get()), (range.start(), PhysAddr::LIMIT - 1));
    }

    #[test]
    #[should_panic(expected = "leaves the range")]
    fn an_offset_past_the_range_is_a_fault() {
        PhysRange::from_bounds(0x1000, 0x2000).unwrap().at(0x1000);
    }

    #[test]
    fn virtual_ranges_stay_in_one_half() {
        assert!(VirtRange::from_bounds(0, 1 << 48).is_some());
        assert_eq!(VirtRange::from_bounds(0, (1 << 48) + 1), None);
        assert_eq!(VirtRange::from_bounds(0x1000, 0xFFFF_0000_0000_0000), None);
        assert_eq!(VirtRange::from_bounds(2, 1), None);
    }

    #[test]
    fn table_indices_are_the_nine_bit_fields_of_the_address() {
        let address = VirtAddr::new(0xFFFF_8080_4020_1000).unwrap();
        assert_eq!([0, 1, 2, 3].map(|level| address.table_index(level)), [0x101, 1, 1, 1]);
    }

    #[test]
    fn addresses_print_in_fixed_width() {
        assert_eq!(PhysAddr::new(0x4000_0000).unwrap().to_string(), "0x0000000040000000");
        assert_eq!(
            PhysRange::from_bounds(0, 0x1000).unwrap().to_string(),
            "0x0000000000000000–0x0000000000001000"
        );
    }
}
