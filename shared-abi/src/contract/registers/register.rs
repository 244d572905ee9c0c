//! A system register as the contract states one: fields that tile its bits, each with its value.

use core::fmt;

/// A field of a system register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// The Arm ARM's name; `RES0` for bits that no architecture version names.
    pub name: &'static str,
    /// The least significant bit.
    pub low: u32,
    /// Number of bits, 1 to 64.
    pub width: u32,
    /// The contract's value, unshifted.
    pub value: u64,
}

impl Field {
    /// The field's bits in the register.
    pub const fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.width)) << self.low
    }

    /// The field's value in `register`, unshifted.
    pub const fn of(self, register: u64) -> u64 {
        (register & self.mask()) >> self.low
    }
}

/// A system register whose fields, each with the contract's value, tile all 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// The Arm ARM's name.
    pub name: &'static str,
    /// From bit 0 upward.
    pub fields: &'static [Field],
}

impl Register {
    /// Evaluated at compile time only: a gap, an overlap or an oversized value ends the build.
    pub(super) const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        let mut next = 0;
        let mut index = 0;
        while index < fields.len() {
            let field = fields[index];
            assert!(field.low == next, "fields must tile the register from bit 0 upward");
            assert!(field.of(field.value << field.low) == field.value, "a value is wider than its field");
            next += field.width;
            index += 1;
        }
        assert!(next == 64, "fields must tile all 64 bits");
        Self { name, fields }
    }

    /// The contract's value: all fields joined.
    pub const fn value(self) -> u64 {
        let mut bits = 0;
        let mut index = 0;
        while index < self.fields.len() {
            bits |= self.fields[index].value << self.fields[index].low;
            index += 1;
        }
        bits
    }

    /// The fields in which `found` is not `expected`, lowest first.
    pub fn differences(self, expected: u64, found: u64) -> impl Iterator<Item = Difference> {
        let differs = move |field: &&Field| field.of(expected) != field.of(found);
        self.fields.iter().filter(differs).map(move |field| Difference {
            register: self.name,
            field: field.name,
            expected: field.of(expected),
            found: field.of(found),
        })
    }
}

/// A field that does not hold what the contract says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The register.
    pub register: &'static str,
    /// The field.
    pub field: &'static str,
    /// The contract's value, unshifted.
    pub expected: u64,
    /// The value found, unshifted.
    pub found: u64,
}

impl fmt::Display for Difference {
    /// `SCTLR_EL1.WXN is 0x0, not 0x1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} is {:#x}, not {:#x}", self.register, self.field, self.found, self.expected)
    }
}
