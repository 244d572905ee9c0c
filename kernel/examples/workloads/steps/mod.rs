//! Random use of frames, heap and user spaces, each step checked: the same steps on a machine, by the example, and on
//! a host, by the library's tests.

pub mod frames;
pub mod heap;
pub mod spaces;

/// Numbers for the steps: xorshift64* (Vigna, 2016). The same seed gives the same numbers; not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every odd seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `below`; 0 if that is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % below.max(1)
    }
}
