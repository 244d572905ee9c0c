//! The structure block by words as they lie in memory: big-endian.

use zerocopy::IntoBytes;

/// A word as it lies in memory.
pub(super) type Word = u32;

/// The bytes of a value.
pub(super) fn bytes(words: &[Word], length: usize) -> &[u8] {
    words.as_bytes().get(..length).unwrap_or_default()
}

/// How many words hold so many bytes.
pub(super) const fn words_of(length: u32) -> usize {
    (length as usize + 3) >> 2
}

/// The lowest bit that is set is the highest of a word's first zero byte; 0 if it has none.
pub(super) const fn zeros(word: Word) -> u32 {
    let word = u32::from_le(word);
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080
}

/// The words of a node's name, the bytes of it without the zero that ends it, and what follows.
pub(super) fn node_name(words: &[Word]) -> Option<(&[Word], &[u8], &[Word])> {
    let mut count = 0;
    loop {
        let zeros = zeros(*words.get(count)?);
        count += 1;
        if zeros != 0 {
            let length = (count - 1) * 4 + (zeros.trailing_zeros() / 8) as usize;
            let (name, rest) = words.split_at_checked(count)?;
            return Some((name, bytes(name, length), rest));
        }
    }
}
