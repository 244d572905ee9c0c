//! The tree as firmware left it, read by words as they lie in memory: big-endian.

use zerocopy::IntoBytes;

/// A word as it lies in memory.
pub(super) type Word = u32;

/// The structure block of a tree that was checked. The copy says by index what stands where in it.
#[derive(Clone, Copy)]
pub(super) struct Original<'t>(pub &'t [Word]);

impl<'t> Original<'t> {
    /// The block from a word on.
    fn from(self, index: u32) -> &'t [Word] {
        self.0.get(index as usize..).unwrap_or_default()
    }

    /// The value of the property that begins at an index.
    #[inline(never)]
    pub fn value(self, index: u32) -> Option<&'t [u8]> {
        value(self.from(index)).map(|(words, length)| bytes(words, length))
    }

    /// The name at an index. It was found printable when its node was copied.
    #[inline(never)]
    pub fn name(self, index: u32) -> &'t str {
        let name = node_name(self.from(index)).and_then(|(name, _)| core::str::from_utf8(name).ok());
        name.unwrap_or_default()
    }
}

/// The bytes of a value.
pub(super) fn bytes(words: &[Word], length: usize) -> &[u8] {
    words.as_bytes().get(..length).unwrap_or_default()
}

/// How many words hold so many bytes.
pub(super) const fn words_of(length: u32) -> usize {
    (length as usize + 3) >> 2
}

/// The value of the property that begins with these words, and its length in bytes.
pub(super) fn value(property: &[Word]) -> Option<(&[Word], usize)> {
    let [_, length, _, words @ ..] = property else { return None };
    let length = u32::from_be(*length);
    Some((words.get(..words_of(length))?, length as usize))
}

/// A node's name without the zero that ends it, and what follows.
pub(super) fn node_name(words: &[Word]) -> Option<(&[u8], &[Word])> {
    let mut count = 0;
    loop {
        let word = u32::from_le(*words.get(count)?);
        let zeros = word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080;
        count += 1;
        if zeros != 0 {
            let length = (count - 1) * 4 + (zeros.trailing_zeros() / 8) as usize;
            let (words, rest) = words.split_at_checked(count)?;
            return Some((bytes(words, length), rest));
        }
    }
}
