//! Who called whom: the chain of frame records on a stack, read without trusting it.
//!
//! A function that keeps a frame pointer stores a *frame record* (AAPCS64, "The Frame Pointer"): the caller's
//! x29, then the return address. x29 points to the newest one; the oldest has a next or a return address of 0.
//!
//! ```text
//! x29 ─► │ caller's x29 ─┼─► │ its caller's x29 ─┼─► 0
//!        │ return addr.  │   │ return address    │
//! ```
//!
//! The stack may be what is broken, so every record must lie in the given range, be aligned, lie above the one
//! before, and be readable; the walk ends at the first that is not, says so, and takes 64 steps at most.

use shared_abi::addr::{VirtAddr, VirtRange};
use shared_abi::symbols::{Symbol, SymbolTable};

use crate::exception::ExceptionFrame;
use crate::translate::{Access, translate};

/// Reads a word of a stack, or refuses. Implementations look the address up before they read.
pub trait StackMemory {
    /// The eight bytes at `address`, a multiple of 8; `None` if they cannot be read safely.
    fn read(&self, address: VirtAddr) -> Option<u64>;
}

/// Memory as the live tables map it.
#[derive(Clone, Copy, Debug)]
pub struct MappedWords;

impl StackMemory for MappedWords {
    fn read(&self, address: VirtAddr) -> Option<u64> {
        translate(address, Access::Read)?;
        // SAFETY: the hardware has just confirmed that the aligned word can be read.
        Some(unsafe { (address.get() as *const u64).read_volatile() })
    }
}

/// One line of a backtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Where execution was.
    At(u64),
    /// What x30 held: the caller, if the function had not yet stored it or never does.
    Link(u64),
    /// The return address of a frame record.
    Return(u64),
    /// The chain ends here: the next record, at this address, cannot be one.
    Broken(u64),
    /// There may be more, but this is enough.
    Cut,
}

/// The walk.
#[derive(Clone)]
pub struct Backtrace<'a> {
    memory: &'a dyn StackMemory,
    stack: VirtRange,
    next: Next,
    record: u64,
    link: u64,
    steps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    At(u64),
    Link,
    Record,
    Nothing,
}

/// A return address without a pointer authentication code: bit 55 says which half it is of (Arm ARM D8.10).
const fn without_code(address: u64) -> u64 {
    if address & 1 << 55 != 0 { address | 0xFFFF << 48 } else { address & !(0xFFFF << 48) }
}

impl<'a> Backtrace<'a> {
    /// Most steps of a walk.
    pub const STEPS: usize = 64;

    /// A walk over the records in `stack`, from where `frame` was interrupted.
    pub const fn of(frame: &ExceptionFrame, stack: VirtRange, memory: &'a dyn StackMemory) -> Self {
        Self {
            memory,
            stack,
            next: Next::At(frame.elr),
            record: frame.frame_pointer(),
            link: without_code(frame.link_register()),
            steps: 0,
        }
    }

    /// The record at `address`: the next one's address, and the return address.
    fn read(&self, address: u64) -> Option<(u64, u64)> {
        if !address.is_multiple_of(8) || address < self.stack.start().get() {
            return None;
        }
        if address.checked_add(16)? > self.stack.end() {
            return None;
        }
        let start = VirtAddr::new(address)?;
        let next = self.memory.read(start)?;
        Some((next, without_code(self.memory.read(start.checked_add(8)?)?)))
    }
}

impl Iterator for Backtrace<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.next != Next::Nothing && self.steps == Self::STEPS {
            self.next = Next::Nothing;
            return Some(Step::Cut);
        }
        self.steps += 1;
        match self.next {
            Next::At(address) => {
                self.next = Next::Link;
                Some(Step::At(address))
            }
            Next::Link => {
                self.next = Next::Record;
                // A function that called another has its own caller in a record: then x30 tells nothing new.
                let stored = self.read(self.record).map(|(_, address)| address);
                if self.link == 0 || stored == Some(self.link) {
                    self.next()
                } else {
                    Some(Step::Link(self.link))
                }
            }
            Next::Record if self.record == 0 => {
                self.next = Next::Nothing;
                None
            }
            Next::Record => {
                let Some((next, address)) = self.read(self.record) else {
                    self.next = Next::Nothing;
                    return Some(Step::Broken(self.record));
                };
                if next != 0 && next <= self.record {
                    // A record that points down or to itself would never end: read once, followed no more.
                    self.next = Next::Nothing;
                }
                self.record = next;
                if address == 0 {
                    // The function that was entered, not called: its record, if it made one, leads nowhere.
                    self.next = Next::Nothing;
                    return None;
                }
                Some(Step::Return(address))
            }
            Next::Nothing => None,
        }
    }
}

/// Looks code addresses up in the packed symbol table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Symbols<'a> {
    table: Option<SymbolTable<'a>>,
    slide: u64,
}

impl<'a> Symbols<'a> {
    /// The table in `bytes`, if there is one, of an image that runs `slide` above where it was linked (mod 2⁶⁴).
    pub fn open(bytes: &'a [u8], slide: u64) -> Self {
        Self { table: SymbolTable::open(bytes), slide }
    }

    /// No symbols.
    pub const fn none() -> Self {
        Self { table: None, slide: 0 }
    }

    /// The function that holds the instruction at `address`.
    pub fn find(&self, address: u64) -> Option<Symbol<'a>> {
        self.table?.find(address.wrapping_sub(self.slide))
    }

    /// The function that a call returns to at `address`: it holds the call, one instruction before. The return
    /// itself may lie behind it, if the call never returns.
    pub fn find_return(&self, address: u64) -> Option<Symbol<'a>> {
        let symbol = self.find(address.wrapping_sub(4))?;
        Some(Symbol { offset: symbol.offset.wrapping_add(4), ..symbol })
    }
}
