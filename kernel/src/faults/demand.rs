//! Memory that is there when it is touched: a range whose pages are mapped, zeroed, by their first fault.

use shared_abi::addr::{PAGE, VirtAddr, VirtRange, align_down};
use shared_abi::syndrome::{Cause, FaultKind, Syndrome};

use super::dispatch::{FaultHook, Resolution};
use super::{Fault, Interrupted};

/// Maps pages for a [`DemandZero`] range.
pub trait ZeroPages: Sync {
    /// Maps a zeroed frame, readable and writable, at `page`, which is not mapped; an error says why not.
    fn map_zeroed(&self, page: VirtAddr) -> Result<(), &'static str>;
}

/// A range of whole pages that appear when they are touched.
#[derive(Clone, Copy, Debug)]
pub struct DemandZero<Z> {
    range: VirtRange,
    pages: Z,
}

impl<Z: ZeroPages> DemandZero<Z> {
    /// The pages in `range`, mapped by `pages` one by one. Register it with `Interest::Address(range)`.
    pub const fn new(range: VirtRange, pages: Z) -> Self {
        Self { range, pages }
    }

    /// The pages' addresses.
    pub const fn range(&self) -> VirtRange {
        self.range
    }

    /// The page to map for this fault: only a data access that found no descriptor is one for us.
    fn page_of(&self, fault: &Fault) -> Option<VirtAddr> {
        let address = VirtAddr::new(fault.address?).filter(|&address| self.range.contains(address))?;
        let Cause::DataAbort(abort, _) = fault.syndrome.map(Syndrome::cause)? else { return None };
        let page = VirtAddr::new(align_down(address.get(), PAGE))?;
        (abort.fault.kind == FaultKind::Translation && self.range.contains(page)).then_some(page)
    }
}

impl<Z: ZeroPages> FaultHook for DemandZero<Z> {
    fn resolve(&self, fault: &Fault, _: &mut Interrupted<'_>) -> Resolution {
        match self.page_of(fault).map(|page| self.pages.map_zeroed(page)) {
            None => Resolution::NotMine,
            Some(Ok(())) => Resolution::Resolved,
            Some(Err(why)) => Resolution::Failed(why),
        }
    }
}
