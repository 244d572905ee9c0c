//! What an edit borrows.

use super::asid::Asids;
use crate::frames::FrameAllocator;

/// What an edit of a space needs: frames for memory and tables, the ASIDs, and the hardware's caches.
#[derive(Debug)]
pub struct Resources<'a, M, T, const CPUS: usize = 1> {
    pub(super) frames: &'a mut FrameAllocator<M>,
    pub(super) asids: &'a mut Asids<CPUS>,
    pub(super) tlb: &'a mut T,
}

impl<'a, M, T, const CPUS: usize> Resources<'a, M, T, CPUS> {
    /// Where blocks and tables come from, which space has which ASID, and the TLB with the instruction cache. Nothing
    /// but spaces reaches them in here: what they free and invalidate is theirs.
    pub const fn new(frames: &'a mut FrameAllocator<M>, asids: &'a mut Asids<CPUS>, tlb: &'a mut T) -> Self {
        Self { frames, asids, tlb }
    }
}
