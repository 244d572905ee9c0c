//! What the hardware must be told after an edit, as a value: which instructions, with which operands.

use super::context::Context;
use shared_abi::addr::{PAGE_SHIFT, PageSize, PhysRange, VirtRange};

/// More pages than this are not invalidated one by one but with their whole ASID.
pub const MAX_FLUSHED_PAGES: u64 = 512;

/// The caches of translations and of instructions, of all CPUs that share the tables.
pub trait Tlb {
    /// Makes new mappings, where there were none, visible to every walker: `dsb ishst`, `isb`. No TLB holds them.
    fn publish(&mut self);

    /// Returns when no CPU holds, or is still using, what `flush` names: `dsb ishst`, the `tlbi` instructions,
    /// `dsb ish`, `isb`.
    fn invalidate(&mut self, flush: &Flush);

    /// Returns when instructions fetched from this memory are what is written there: data cache cleaned to the
    /// point of unification, instruction cache invalidated, as CTR_EL0 demands.
    fn sync_instructions(&mut self, memory: PhysRange);
}

/// What to invalidate. Operands are those of the `tlbi` instructions (Arm ARM C5.5): the page number of the address
/// in bits 43 to 0, the ASID in bits 63 to 48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Addresses in steps: `tlbi v{a}{l}e1is` with `first`, `first + step`, … `count` times.
    Pages {
        /// The first operand.
        first: u64,
        /// What to add for the next one.
        step: u64,
        /// How many.
        count: u64,
        /// Only leaves changed: the `l` form, which spares the walk caches.
        leaves_only: bool,
        /// The mappings are the kernel's: the `vaa` forms, for every ASID.
        global: bool,
    },
    /// All of an ASID: `tlbi aside1is`.
    Asid {
        /// The operand.
        operand: u64,
    },
    /// All of EL1 and EL0: `tlbi vmalle1is`.
    Everything,
}

impl Flush {
    /// For `range`, in which nothing smaller than `smallest` changed. `space` is that of the mappings, `None` for
    /// the kernel's; `tables` says whether tables were unlinked as well.
    pub fn of(space: Option<Context>, range: VirtRange, smallest: PageSize, tables: bool) -> Self {
        let steps = range.len().div_ceil(smallest.bytes());
        if steps > MAX_FLUSHED_PAGES {
            return space.map_or(Self::Everything, Self::asid);
        }
        const PAGE_NUMBER: u64 = (1 << 44) - 1;
        Self::Pages {
            first: range.start().get() >> PAGE_SHIFT & PAGE_NUMBER | space.map_or(0, Context::operand),
            step: smallest.bytes() >> PAGE_SHIFT,
            count: steps,
            leaves_only: !tables,
            global: space.is_none(),
        }
    }

    /// For all mappings of a space.
    pub fn asid(space: Context) -> Self {
        Self::Asid { operand: space.operand() }
    }
}
