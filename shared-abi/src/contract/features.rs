//! What EL1 may use after EL2 and EL3, and what is left closed there: one table.
//!
//! A [`Feature`] is shown by fields of ID registers, and opened by bits of registers at EL2 and EL3. From the rows follow
//! the steps that the loader's entry code takes ([`STEPS_EL2`], [`STEPS_EL3`]), the list of what is closed ([`closed`]),
//! the table in `docs/contract.md`, and what a test kernel tries. A register's bits that no row sets are 0, reserved ones
//! included: what came after this table is closed as well.

mod feature;
mod registers;
mod rows;

pub use feature::{Bits, Condition, Feature, Level};
pub use registers::{Control, Id};
pub use rows::FEATURES;

use crate::boot_info::ClosedFeatures;

/// What of [`FEATURES`] the loader has left closed to EL1 if it was entered above; entered at EL1 it cannot tell.
pub fn closed(mut read: impl FnMut(Id) -> u64) -> ClosedFeatures {
    let shown = CLOSED.iter().filter(|(condition, _)| condition.holds(read(condition.id)));
    shown.fold(ClosedFeatures::empty(), |all, (_, feature)| all | *feature)
}

/// The rows that are closed, as short as they can be: the loader carries them.
static CLOSED: [(Condition, ClosedFeatures); closed_rows::<0>().1] = closed_rows().0;

const fn closed_rows<const N: usize>() -> ([(Condition, ClosedFeatures); N], usize) {
    let none = Condition { id: Id::NONE, low: 0, least: 1, most: 0 };
    let (mut rows, mut count) = ([(none, ClosedFeatures::empty()); N], 0);
    let mut feature = 0;
    while feature < FEATURES.len() {
        let Feature { shown, closed, .. } = FEATURES[feature];
        let mut condition = 0;
        while let Some(flag) = closed
            && condition < shown.len()
        {
            if count < N {
                rows[count] = (shown[condition], flag);
            }
            count += 1;
            condition += 1;
        }
        feature += 1;
    }
    (rows, count)
}

/// One step of writing the registers, in the form that the entry code reads: for each register a first step, which says
/// whether it is there, steps that set bits, and at the last of them the write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Step {
    /// Bits 0 to 7: the [`Id`]; 8 to 15: the field's lowest bit; 16 to 23: its least value; 24 to 31: how many more
    /// values it may have; 32 to 39: the [`Control`]; [`FIRST`](Self::FIRST) and [`LAST`](Self::LAST).
    what: u64,
    /// The bits to set if the condition holds.
    bits: u64,
}

impl Step {
    /// The register's first step.
    pub const FIRST: u32 = 63;
    /// Its last step.
    pub const LAST: u32 = 62;

    const fn new(condition: Condition, control: Control, bits: u64) -> Self {
        let Condition { id, low, least, most } = condition;
        let what = id as u64
            | (low as u64) << 8
            | (least as u64) << 16
            | ((most - least) as u64) << 24
            | (control as u64) << 32;
        Self { what, bits }
    }

    const fn marked(self, bit: u32) -> Self {
        Self { what: self.what | 1 << bit, ..self }
    }
}

/// Appends a step if there is room; counts it in any case.
const fn push<const N: usize>(steps: &mut [Step; N], count: &mut usize, step: Step) {
    if *count < N {
        steps[*count] = step;
    }
    *count += 1;
}

/// The steps of a level and how many there are.
const fn steps<const N: usize>(level: Level) -> ([Step; N], usize) {
    let (mut steps, mut count) = ([Step { what: 0, bits: 0 }; N], 0);
    let mut at = 0;
    while at < Control::ALL.len() {
        let control = Control::ALL[at];
        at += 1;
        if control.level() as u8 != level as u8 {
            continue;
        }
        push(&mut steps, &mut count, Step::new(control.exists(), control, 0).marked(Step::FIRST));
        let base = control.base();
        let mut index = 0;
        while index < base.len() {
            push(&mut steps, &mut count, Step::new(base[index].0, control, base[index].1));
            index += 1;
        }
        let mut feature = 0;
        while feature < FEATURES.len() {
            let Feature { shown, controls, .. } = FEATURES[feature];
            let mut index = 0;
            while index < controls.len() {
                let mut condition = 0;
                while controls[index].control as u8 == control as u8 && condition < shown.len() {
                    push(&mut steps, &mut count, Step::new(shown[condition], control, controls[index].bits));
                    condition += 1;
                }
                index += 1;
            }
            feature += 1;
        }
        if count <= N {
            steps[count - 1] = steps[count - 1].marked(Step::LAST);
        }
    }
    (steps, count)
}

const COUNT_EL2: usize = steps::<0>(Level::El2).1;
const COUNT_EL3: usize = steps::<0>(Level::El3).1;

/// What the entry code does at EL2.
pub const STEPS_EL2: [Step; COUNT_EL2] = steps(Level::El2).0;

/// What the entry code does at EL3.
pub const STEPS_EL3: [Step; COUNT_EL3] = steps(Level::El3).0;

/// What a register holds after the loader, on a processor with these ID registers; `None` if it is not there. The parts
/// that no table says are 0 here: MDCR_EL2.HPMN, which is PMCR_EL0.N, and HCR_EL2.E2H where it is stuck.
pub fn value(control: Control, mut read: impl FnMut(Id) -> u64) -> Option<u64> {
    let exists = control.exists();
    if !exists.holds(read(exists.id)) {
        return None;
    }
    let base = control.base().iter().filter(|(condition, _)| condition.holds(read(condition.id)));
    let base = base.fold(0, |all, (_, bits)| all | bits);
    let shown = FEATURES.iter().filter(|feature| feature.is_shown(&mut read));
    let controls = shown.flat_map(|feature| feature.controls).filter(|bits| bits.control == control);
    Some(controls.fold(base, |all, bits| all | bits.bits))
}

#[cfg(test)]
mod tests;
