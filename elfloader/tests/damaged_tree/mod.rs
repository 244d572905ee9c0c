//! Device trees that somebody has damaged, as values that can be repeated.

/// A change of one place of a tree. Places are taken modulo its size.
#[derive(Clone, Debug)]
pub enum Damage {
    /// Flips a bit of a byte.
    Bit(usize, u8),
    /// Replaces a word.
    Word(usize, u32),
    /// Leaves words out.
    Delete(usize, usize),
    /// Has words twice.
    Repeat(usize, usize),
    /// Ends the tree, with a total size that admits it or not.
    Cut(usize, bool),
}

/// The tree after the damage.
pub fn damaged(mut tree: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        let words = tree.len() / 4;
        match *damage {
            Damage::Bit(at, bit) => {
                let at = at % tree.len();
                tree[at] ^= 1 << bit;
            }
            Damage::Word(at, word) => {
                let at = at % words * 4;
                tree[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            Damage::Delete(at, count) => {
                let at = at % words * 4;
                tree.drain(at..(at + count * 4).min(words * 4));
            }
            Damage::Repeat(at, count) => {
                let at = at % words * 4;
                let again = tree[at..(at + count * 4).min(words * 4)].to_vec();
                tree.splice(at..at, again);
            }
            Damage::Cut(at, admitted) => {
                tree.truncate(at % tree.len());
                if admitted && tree.len() >= 8 {
                    let length = tree.len() as u32;
                    tree[4..8].copy_from_slice(&length.to_be_bytes());
                }
            }
        }
        if tree.len() < 64 {
            break;
        }
    }
    tree
}
