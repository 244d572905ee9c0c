//! Address-space identifiers: 255 tags for any number of spaces.
//!
//! ```text
//!   context:  generation (56 bits) │ ASID (8 bits)         0: the space never ran
//! ```
//!
//! A space gets an ASID when it first runs. When all are taken, the next generation begins: everything is
//! invalidated, only the ASIDs that CPUs are running with stay taken, and every other space gets a new one when it
//! next runs. ASID 0 is for no space: TTBR0 with the empty table. (Arm ARM D8.15: TCR_EL1.AS = 0, A1 = 0.)

use super::SpaceError;
use super::context::{COUNT, Context, Ttbr0};
use super::tlb::{Flush, Tlb};
use shared_abi::addr::Frame;

/// Which ASIDs are taken, and by which CPUs. One value serves all CPUs that share the TLB invalidations.
#[derive(Debug)]
pub struct Asids<const CPUS: usize = 1> {
    /// From 1 up.
    generation: u64,
    taken: [u64; COUNT as usize / 64],
    /// What each CPU runs with: `NONE` outside of user spaces.
    active: [Context; CPUS],
}

impl<const CPUS: usize> Asids<CPUS> {
    /// All free but ASID 0.
    pub const fn new() -> Self {
        Self { generation: 1, taken: [1, 0, 0, 0], active: [Context::NONE; CPUS] }
    }

    /// Makes `context` current, that of the space whose root table is `root`, and `cpu` one that runs in it.
    pub(super) fn run<T: Tlb>(
        &mut self,
        cpu: usize,
        context: &mut Context,
        root: Frame,
        tlb: &mut T,
    ) -> Result<Ttbr0, SpaceError> {
        if cpu >= CPUS {
            return Err(SpaceError::NoSuchCpu { cpu });
        }
        if !self.is_current(*context) {
            // The CPU's former space stays active meanwhile: until TTBR0 is written, its walks can still fill the
            // TLB, so its ASID must not become another's.
            *context = self.take(tlb).ok_or(SpaceError::NoAsid)?;
        }
        self.active[cpu] = *context;
        Ok(Ttbr0::new(root, *context))
    }

    /// `cpu` runs in no user space from now on. Call it after TTBR0_EL1 was written with the empty table and ASID 0
    /// and an `isb`.
    pub fn deactivate(&mut self, cpu: usize) {
        if let Some(active) = self.active.get_mut(cpu) {
            *active = Context::NONE;
        }
    }

    /// The CPU that runs in a space with this context.
    pub(super) fn user_of(&self, context: Context) -> Option<usize> {
        if context == Context::NONE {
            return None;
        }
        self.active.iter().position(|active| *active == context)
    }

    /// Whether a TLB can hold translations of this context: it has run in this generation, or runs now.
    pub(super) fn is_current(&self, context: Context) -> bool {
        context.generation() == self.generation || self.user_of(context).is_some()
    }

    /// Frees the ASID of a space that is gone, after its translations are. No CPU runs in it.
    pub(super) fn release(&mut self, context: Context) {
        if self.is_current(context) && context != Context::NONE {
            let asid = usize::from(context.asid());
            self.taken[asid / 64] &= !(1 << (asid % 64));
        }
    }

    /// A free ASID, in a new generation if there is none in this one.
    fn take<T: Tlb>(&mut self, tlb: &mut T) -> Option<Context> {
        if let Some(context) = self.find() {
            return Some(context);
        }
        self.generation += 1;
        self.taken = [1, 0, 0, 0];
        for active in self.active {
            // A context that runs keeps its ASID and its old generation: it stays current as long as it runs, and
            // its ASID stays taken to the end of this generation.
            let asid = usize::from(active.asid());
            self.taken[asid / 64] |= 1 << (asid % 64);
        }
        tlb.invalidate(&Flush::Everything);
        self.find()
    }

    fn find(&mut self) -> Option<Context> {
        let word = self.taken.iter().position(|word| *word != u64::MAX)?;
        let bit = self.taken[word].trailing_ones();
        self.taken[word] |= 1 << bit;
        Some(Context::new(self.generation, word as u64 * 64 + u64::from(bit)))
    }
}

impl<const CPUS: usize> Default for Asids<CPUS> {
    fn default() -> Self {
        Self::new()
    }
}
