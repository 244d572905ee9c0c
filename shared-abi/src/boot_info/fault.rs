//! What is wrong with one field of a record.

/// A field of a record whose value cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field's name.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
}

impl Fault {
    /// `Ok` if the value is as it should be, else the fault.
    pub(super) const fn unless(good: bool, field: &'static str, value: u64) -> Result<(), Self> {
        if good { Ok(()) } else { Err(Self { field, value }) }
    }
}
