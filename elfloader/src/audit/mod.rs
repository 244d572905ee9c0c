//! The auditor: reads finished tables back and proves the mapping rules of the entry contract, one by one.
//!
//! It knows nothing of how the tables were made. It reads descriptors from whatever holds them, live memory or a
//! dump, and compares what they say with an [`Expectation`]: what ought to be mapped, stated by ranges. Both are
//! sequences in ascending order of virtual address, so one pass over the two side by side finds every address that
//! is mapped and should not be, should be and is not, or is mapped to the wrong frame or in the wrong way:
//!
//! ```text
//! found:     ├ r-x ┤├ rw- ┤      ├ r-- ┤  ├ rw- ┤         leaves, coalesced
//! expected:  ├ r-x ┤├ r-- ┤├ rw- ┤     ┊  ├ rw- ┤         parts, then the direct map
//!                   rights  missing  unexpected
//! ```
//!
//! That no executable frame is writable anywhere else is proved of the tables as found, whatever was expected: each
//! executable run against each writable one, by physical address.
//!
//! All findings are reported; none ends the audit but a tree with more tables than there is room for.

mod expected;
mod finding;
#[cfg(test)]
mod tests;

use shared_abi::addr::{Frame, PhysRange, VirtAddr, VirtRange};
use shared_abi::contract::{DIRECT_MAP_WINDOW, HANDOFF_WINDOW, KERNEL_WINDOW, SLIDE_WINDOW};
use shared_abi::memory::RegionKind;
use shared_abi::page_table::{Leaves, Node, Run, TableSource};
use shared_abi::vmsa::{AccessPermission, Attributes, Descriptor, DescriptorError, Privilege};

pub use expected::{Expectation, Part, Place};
pub use finding::{Finding, Span};

use expected::Pieces;

/// Most executable runs that are compared with every writable one. A contract's tables have a few.
pub const MAX_EXECUTABLE_RUNS: usize = 512;

/// What the auditor went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Tables below the root of TTBR1.
    pub tables: u64,
    /// Runs of equal leaves.
    pub runs: u64,
    /// Bytes of virtual memory that are mapped.
    pub mapped: u64,
    /// Findings that were reported.
    pub findings: u64,
}

/// Goes through all tables and reports every breach of the contract.
pub fn audit<S: TableSource + ?Sized>(
    source: &S,
    expected: &Expectation<'_>,
    report: &mut dyn FnMut(Finding),
) -> Summary {
    let mut audit = Audit { source, expected, report, summary: Summary::default() };
    audit.check_expectation();
    audit.check_low_half();
    if audit.check_tables() {
        audit.check_leaves();
        audit.check_places();
        audit.check_aliases();
    }
    audit.summary
}

/// An audit under way.
struct Audit<'a, 'r, S: ?Sized> {
    source: &'a S,
    expected: &'a Expectation<'a>,
    report: &'r mut dyn FnMut(Finding),
    summary: Summary,
}

/// Whether EL1 or EL0 can write. Hierarchical bits are refused, so the leaf alone decides.
fn is_writable(leaf: Descriptor) -> bool {
    matches!(leaf.access_permission(), AccessPermission::KernelReadWrite | AccessPermission::ReadWrite)
}

/// Whether EL1 or EL0 can execute. UXN alone decides for EL0, even where it cannot read (Arm ARM D8.4.2).
fn is_executable(leaf: Descriptor) -> bool {
    !leaf.contains(Descriptor::PRIVILEGED_EXECUTE_NEVER) || !leaf.contains(Descriptor::USER_EXECUTE_NEVER)
}

/// The first `length` bytes of a run.
fn span(virt: VirtAddr, run: &Run, length: u64) -> Span {
    let skipped = virt.get() - run.virt.get();
    Span { virt, phys: run.phys.get().wrapping_add(skipped), length, attributes: run.attributes }
}

impl<'a, S: TableSource + ?Sized> Audit<'a, '_, S> {
    fn find(&mut self, finding: Finding) {
        self.summary.findings += 1;
        (self.report)(finding);
    }

    fn runs(&self) -> Leaves<'a, S> {
        self.expected.tree.leaves(self.source)
    }

    /// The expectation is in order, or the comparison would mean nothing.
    fn check_expectation(&mut self) {
        let mut end = 0;
        for part in self.expected.parts {
            if part.virt.start().get() < end || DIRECT_MAP_WINDOW.start().get() < part.virt.end() {
                self.find(Finding::Expectation { virt: part.virt });
            }
            end = part.virt.end();
        }
    }

    /// TTBR0 translates nothing.
    fn check_low_half(&mut self) {
        let Some(root) = self.expected.low_root else { return };
        self.check_table_frame(root, 0, 0);
        for index in 0..shared_abi::page_table::ENTRIES {
            match self.source.entry(root, index) {
                Some(entry) if !entry.is_valid() => {}
                Some(found) => return self.find(Finding::LowHalf { index, found }),
                None => return self.find(Finding::Unreadable { virt: 0, level: 0, table: root }),
            }
        }
    }

    /// Tables lie where the memory map says that tables are.
    fn check_table_frame(&mut self, table: Frame, virt: u64, level: u8) {
        let is_pool = |kind| kind == Some(RegionKind::PAGE_TABLES);
        if !is_pool(self.expected.kind_from(table.start().get()).1) {
            self.find(Finding::TableOutside { virt, level, table });
        }
    }

    /// Every table: its place, and the bits of the descriptor that leads to it. Whether their number is possible.
    fn check_tables(&mut self) -> bool {
        let room = self.expected.frames_of(RegionKind::PAGE_TABLES);
        let tree = self.expected.tree;
        self.check_table_frame(tree.root(), tree.base(), 0);
        for node in tree.nodes(self.source) {
            match node {
                Node::Leaf { .. } => {}
                Node::Unreadable { at, level, table } => {
                    self.find(Finding::Unreadable { virt: at.get(), level, table });
                }
                Node::Table { at, level, descriptor } => {
                    self.summary.tables += 1;
                    if self.summary.tables > room {
                        self.find(Finding::TooManyTables { room });
                        return false;
                    }
                    if let Err(error) = descriptor.decode_table(level - 1) {
                        self.find(Finding::TableDescriptor { virt: at, level, found: descriptor, error });
                    }
                    self.check_table_frame(descriptor.address().frame(), at.get(), level);
                }
            }
        }
        true
    }

    /// Every leaf by itself: it is one that the contract's format has.
    fn check_leaves(&mut self) {
        for run in self.runs() {
            self.summary.runs += 1;
            self.summary.mapped += run.length;
            let whole = span(run.virt, &run, run.length);
            if is_writable(run.attributes) && is_executable(run.attributes) {
                self.find(Finding::WritableAndExecutable { span: whole });
            }
            match decode(&run) {
                Ok(attributes) if attributes.privilege() == Privilege::User => {
                    self.find(Finding::UserAccess { span: whole });
                }
                Ok(_) => {}
                Err(error) => self.check_broken(whole, run.level, error),
            }
        }
    }

    /// Names what is wrong with a leaf that does not decode.
    fn check_broken(&mut self, span: Span, level: u8, error: DescriptorError) {
        self.find(match error {
            DescriptorError::AccessFlagClear => Finding::AccessFlag { span },
            DescriptorError::Shareability(_) => Finding::Shareability { span },
            DescriptorError::AttributeIndex(_) => Finding::MemoryAttribute { span },
            DescriptorError::ExecutableDevice(_) => Finding::ExecutableDevice { span },
            DescriptorError::Global { .. } => Finding::Global { span },
            DescriptorError::Execute { .. } if is_writable(span.attributes) => return,
            DescriptorError::Execute { .. } => Finding::UserAccess { span },
            _ => Finding::LeafDescriptor { span, level, error },
        });
    }

    /// Every address: what is mapped there against what ought to be.
    fn check_places(&mut self) {
        let expected = self.expected;
        let mut pieces = Pieces::new(expected);
        let mut piece = pieces.next();
        for run in self.runs() {
            let mut next = Some(run.virt);
            let mut left = run.length;
            while let (Some(at), true) = (next, left > 0) {
                // What ought to be mapped before here is not.
                while let Some(missing) = piece.filter(|piece| piece.end() <= at.get()) {
                    self.missing(missing);
                    piece = pieces.next();
                }
                let length = match piece {
                    Some(current) if current.virt.get() > at.get() => {
                        let length = left.min(current.virt.get() - at.get());
                        self.unexpected(span(at, &run, length));
                        length
                    }
                    Some(current) => {
                        let (before, rest) = current.split_at(at);
                        if let Some(missing) = before {
                            self.missing(missing);
                        }
                        let length = left.min(rest.length);
                        self.compare(&rest, span(at, &run, length), decode(&run).ok());
                        piece = rest.after(length).or_else(|| pieces.next());
                        length
                    }
                    None => {
                        self.unexpected(span(at, &run, left));
                        left
                    }
                };
                left -= length;
                next = at.checked_add(length);
            }
        }
        while let Some(missing) = piece {
            self.missing(missing);
            piece = pieces.next();
        }
    }

    fn missing(&mut self, piece: expected::Piece) {
        self.find(Finding::Missing { place: piece.place, virt: piece.virt, length: piece.length });
    }

    /// Something is mapped where nothing ought to be.
    fn unexpected(&mut self, span: Span) {
        let range = VirtRange::new(span.virt, span.length);
        let meets = |other: &VirtRange| range.is_some_and(|range| range.overlaps(*other));
        if self.expected.guards.iter().any(meets) {
            return self.find(Finding::GuardMapped { span });
        }
        if meets(&DIRECT_MAP_WINDOW) {
            return self.beside_ram(span);
        }
        if [KERNEL_WINDOW, HANDOFF_WINDOW, SLIDE_WINDOW].iter().any(meets) {
            return self.find(Finding::Unexpected { span });
        }
        self.find(Finding::OutsideWindows { span });
    }

    /// The direct map shows what it must not: told apart by what lies there.
    fn beside_ram(&mut self, mut span: Span) {
        while span.length > 0 {
            let phys = span.virt.get().wrapping_sub(self.expected.direct_map_offset);
            let (end, kind) = self.expected.kind_from(phys);
            let length = span.length.min(end.saturating_sub(phys).max(1));
            let part = Span { length, ..span };
            self.find(match kind {
                Some(kind) => Finding::ReservedMapped { span: part, kind },
                None => Finding::HoleMapped { span: part },
            });
            let Some(virt) = span.virt.checked_add(length) else { return };
            span = Span { virt, phys: span.phys.wrapping_add(length), length: span.length - length, ..span };
        }
    }

    /// Something is mapped where something ought to be.
    fn compare(&mut self, piece: &expected::Piece, span: Span, found: Option<Attributes>) {
        let place = piece.place;
        if piece.phys != span.phys {
            self.find(Finding::WrongFrame { place, span, expected: piece.phys });
        }
        if place == Place::DirectMap && is_executable(span.attributes) {
            self.find(Finding::DirectMapExecutable { span });
        }
        // What does not decode has been reported for what it is.
        let Some(found) = found else { return };
        if found.memory() != piece.memory {
            self.find(Finding::WrongMemoryType {
                place,
                span,
                found: found.memory(),
                expected: piece.memory,
            });
        }
        let Some(rights) = piece.rights else { return };
        if found.rights() == rights {
            return;
        }
        match place {
            Place::DirectMap if found.rights().is_executable() => {}
            Place::DirectMap if found.rights().is_writable() => {
                self.find(Finding::DirectMapWritable { span })
            }
            Place::BootInfo if found.rights().is_writable() => self.find(Finding::BootInfoWritable { span }),
            _ => self.find(Finding::WrongRights { place, span, found: found.rights(), expected: rights }),
        }
    }

    /// No frame that can be executed somewhere can be written somewhere else.
    fn check_aliases(&mut self) {
        let mut executable_runs = 0;
        for executable in self.runs().filter(|run| is_executable(run.attributes)) {
            executable_runs += 1;
            if executable_runs > MAX_EXECUTABLE_RUNS {
                return self.find(Finding::TooManyExecutable { virt: executable.virt });
            }
            for writable in self.runs().filter(|run| is_writable(run.attributes)) {
                let Some(shared) =
                    physical(&executable).zip(physical(&writable)).and_then(|(x, w)| x.intersection(w))
                else {
                    continue;
                };
                let at = |run: &Run| run.virt.get().wrapping_add(shared.start().get() - run.phys.get());
                // The run itself, if it is both, is reported as such.
                if at(&executable) != at(&writable) {
                    self.find(Finding::WritableAlias {
                        phys: shared,
                        executable: at(&executable),
                        writable: at(&writable),
                    });
                }
            }
        }
    }
}

fn physical(run: &Run) -> Option<PhysRange> {
    PhysRange::new(run.phys, run.length)
}

/// What a run's leaves are; all of them decode as the first does.
fn decode(run: &Run) -> Result<Attributes, DescriptorError> {
    let first = Descriptor::from_bits_retain(run.attributes.bits() | run.phys.get());
    first.decode_leaf(run.level).map(|(_, _, attributes)| attributes)
}
