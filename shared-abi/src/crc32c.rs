//! CRC-32C, the checksum of all our formats.
//!
//! It is the Castagnoli polynomial (reflected 0x82F63B78, RFC 3720 appendix B.4), the one that the Arm `CRC32C*`
//! instructions compute, so that a loader can pass its own [`Crc32c`] made of them to every reader here. A
//! checksum finds damage, not malice.
//!
//! All functions continue: `f(f(0, a), b) == f(0, ab)`, and `f(0, "")` is 0.

/// A function that continues `checksum` over `bytes`; 0 begins.
pub type Crc32c = fn(checksum: u32, bytes: &[u8]) -> u32;

const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `TABLES[n][b]`: what the byte `b` adds to a checksum `n` bytes further.
const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        tables[0][byte] = shift(byte as u32, 8);
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
};

/// What a nibble adds: 64 bytes of table in place of 8 KiB.
const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        table[nibble] = shift(nibble as u32, 4);
        nibble += 1;
    }
    table
};

/// Divides `bits` more bits out of a remainder.
const fn shift(mut remainder: u32, bits: u32) -> u32 {
    let mut bit = 0;
    while bit < bits {
        remainder = remainder >> 1 ^ if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
        bit += 1;
    }
    remainder
}

/// Eight bytes a step by eight tables (8 KiB): for large inputs without the CPU's instructions.
pub fn crc32c(checksum: u32, bytes: &[u8]) -> u32 {
    static LOOKUP: [[u32; 256]; 8] = TABLES;
    let at = |n: usize, byte: u8| LOOKUP[n][usize::from(byte)];
    let (words, rest) = bytes.as_chunks::<8>();
    let mut remainder = !checksum;
    for [a, b, c, d, e, f, g, h] in words {
        let [p, q, r, s] = remainder.to_le_bytes();
        remainder = at(7, a ^ p)
            ^ at(6, b ^ q)
            ^ at(5, c ^ r)
            ^ at(4, d ^ s)
            ^ at(3, *e)
            ^ at(2, *f)
            ^ at(1, *g)
            ^ at(0, *h);
    }
    for byte in rest {
        remainder = remainder >> 8 ^ at(0, byte ^ remainder.to_le_bytes()[0]);
    }
    !remainder
}

/// Half a byte a step by a table of 64 bytes: where code size counts more than speed.
pub fn crc32c_small(checksum: u32, bytes: &[u8]) -> u32 {
    static LOOKUP: [u32; 16] = NIBBLES;
    let mut remainder = !checksum;
    for &byte in bytes {
        remainder ^= u32::from(byte);
        remainder = remainder >> 4 ^ LOOKUP[(remainder & 0xF) as usize];
        remainder = remainder >> 4 ^ LOOKUP[(remainder & 0xF) as usize];
    }
    !remainder
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [Crc32c; 2] = [crc32c, crc32c_small];

    /// The definition, bit by bit.
    fn reference(checksum: u32, bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!checksum, |remainder, &byte| shift(remainder ^ u32::from(byte), 8))
    }

    #[test]
    fn the_values_of_rfc_3720_and_the_check_value_hold() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        for crc in BOTH {
            assert_eq!(crc(0, b""), 0);
            assert_eq!(crc(0, b"123456789"), 0xE306_9283);
            assert_eq!(crc(0, &[0; 32]), 0x8A91_36AA);
            assert_eq!(crc(0, &[0xFF; 32]), 0x62A8_AB43);
            assert_eq!(crc(0, &ascending), 0x46DD_794E);
            assert_eq!(crc(0, &descending), 0x113F_DB5C);
        }
    }

    proptest! {
        #[test]
        fn both_equal_the_definition_and_continue(
            seed: u32, bytes in prop::collection::vec(any::<u8>(), 0..100), cut in 0usize..100,
        ) {
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            for crc in BOTH {
                prop_assert_eq!(crc(seed, &bytes), reference(seed, &bytes));
                prop_assert_eq!(crc(crc(seed, a), b), crc(seed, &bytes));
            }
        }
    }
}
