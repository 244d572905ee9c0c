//! Where the heap's memory comes from: a window of addresses, and whoever puts frames behind them.

use shared_abi::addr::VirtRange;

/// The memory behind the heap. In a kernel: the heap window of `BootInfo`, the frame allocator and the page
/// tables. On a host: an arena.
///
/// # Safety
///
/// The heap writes to what it was given. The implementation promises that
/// 1. [`window`](Self::window) never changes and nothing else uses an address in it, as long as a heap has it;
/// 2. after `map` returned `Ok`, the range is readable and writable Normal memory that nobody else refers to,
///    until `unmap`;
/// 3. after `map` returned `Err`, nothing is mapped that was not before.
#[expect(unsafe_code, reason = "the promise that memory is memory can only be made by its provider")]
pub unsafe trait HeapPages {
    /// The addresses that the heap may ask to have mapped, whole pages.
    fn window(&self) -> VirtRange;

    /// Puts frames behind `range`: whole pages of the window, none of them mapped. Contents are arbitrary.
    fn map(&mut self, range: VirtRange) -> Result<(), Unbacked>;

    /// Takes the frames behind `range` back: whole pages, all of them mapped, not always by one call of `map`.
    fn unmap(&mut self, range: VirtRange);
}

/// Why a range could not be mapped: too few frames, for itself or for the tables that lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbacked {
    /// Bytes of frames that were still free.
    pub free: u64,
}

/// The provider, if the heap has been started, and a count of what it gave.
pub(super) struct Backing<P> {
    pages: Option<P>,
    mapped: usize,
}

impl<P: HeapPages> Backing<P> {
    pub(super) const fn none() -> Self {
        Self { pages: None, mapped: 0 }
    }

    pub(super) const fn with(pages: P) -> Self {
        Self { pages: Some(pages), mapped: 0 }
    }

    pub(super) const fn is_some(&self) -> bool {
        self.pages.is_some()
    }

    /// Bytes mapped now.
    pub(super) const fn mapped(&self) -> usize {
        self.mapped
    }

    pub(super) const fn pages(&self) -> Option<&P> {
        self.pages.as_ref()
    }

    pub(super) fn map(&mut self, start: usize, length: usize) -> Result<(), Unbacked> {
        let range = VirtRange::from_bounds(start as u64, start as u64 + length as u64);
        match (&mut self.pages, range) {
            (Some(pages), Some(range)) => pages.map(range)?,
            _ => return Err(Unbacked { free: 0 }),
        }
        self.mapped += length;
        Ok(())
    }

    pub(super) fn unmap(&mut self, start: usize, length: usize) {
        let range = VirtRange::from_bounds(start as u64, start as u64 + length as u64);
        if let (Some(pages), Some(range)) = (&mut self.pages, range) {
            pages.unmap(range);
            self.mapped -= length;
        }
    }
}
