//! Everything that is mapped at the handoff, in ascending order.
//!
//! The list is complete but for the loader's own pages, which the entry code has mapped: kernel extents with
//! their rights, `BootInfo` read-only, the console as Device memory, the boot stack, the direct map. Guards are
//! what is not in the list. Ranges do not overlap; no range is executable and writable, since [`Rights`] has no
//! word for that; and no executable frame is writable in another range, because an executable page in place is
//! no other segment's, and the direct map is read-only over it.

use shared_abi::addr::{PageSize, PhysAddr, VirtRange};
use shared_abi::contract::HANDOFF_WINDOW;
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use super::direct_map::{DirectMapPieces, ReadOnly};
use super::mapping::{Mapping, Purpose};
use super::offset::offset_from;
use super::{Extent, LoadPlan};
use crate::memory_map::Region;

impl LoadPlan<'_> {
    /// All mappings, with the arena at `base`. Without a base they need as many tables as with any: blocks that
    /// fit only in some places are not used then, and the direct map lacks the arena's read-only runs, which
    /// [`super::Arena`] allows for.
    pub(super) fn mappings<'m>(
        &'m self,
        base: Option<PhysAddr>,
        regions: &'m [Region<'m>],
    ) -> impl Iterator<Item = Mapping> + 'm {
        let arena = base.unwrap_or_default();
        let site = self.site();
        let read_only =
            ReadOnly { extents: self.extents(), kernel: site.kernel, arena: base, resident: site.resident };
        let below = self.placement().image.start().get() < HANDOFF_WINDOW.start().get();
        let extents = self.extents();
        let none: &[Extent] = &[];
        let (first, second) = if below { (extents, none) } else { (none, extents) };
        let arena_largest = match base {
            Some(_) => PageSize::Size1G,
            None if self.arena().alignment() >= PageSize::Size2M.bytes() => PageSize::Size2M,
            None => PageSize::Size4K,
        };
        let kernel = move |extents| KernelPieces { extents, kernel: site.kernel, arena, arena_largest };
        kernel(first).chain(self.window_mappings(arena)).chain(kernel(second)).chain(DirectMapPieces::new(
            regions,
            read_only,
            self.placement().direct_map_offset,
        ))
    }

    /// The parts of the handoff window.
    fn window_mappings(&self, arena: PhysAddr) -> impl Iterator<Item = Mapping> + use<> {
        let part = |virt, phys, attributes, purpose| Mapping {
            virt,
            phys,
            attributes,
            // The kernel may give these back page by page, or change what it sees of them.
            largest: PageSize::Size4K,
            purpose,
        };
        let boot_info = part(
            self.boot_info(),
            offset_from(arena, self.arena().boot_info_offset()),
            Attributes::kernel(Rights::ReadOnly),
            Purpose::BootInfo,
        );
        let console = self.console().zip(self.site().console).map(|(virt, registers)| {
            let phys = registers.aligned_outward(PageSize::Size4K).start();
            part(virt, phys, Attributes::KERNEL_DEVICE, Purpose::Console)
        });
        let stack = part(
            self.stack(),
            offset_from(arena, self.arena().stack_offset()),
            Attributes::kernel(Rights::ReadWrite),
            Purpose::BootStack,
        );
        [Some(boot_info), console, Some(stack)].into_iter().flatten()
    }
}

/// The kernel's extents, those merged that continue each other on both sides with the same rights.
struct KernelPieces<'m> {
    extents: &'m [Extent],
    kernel: PhysAddr,
    arena: PhysAddr,
    arena_largest: PageSize,
}

impl Iterator for KernelPieces<'_> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        let (first, mut rest) = self.extents.split_first()?;
        let phys = first.phys(self.kernel, self.arena);
        let mut end = first.virt().end();
        while let Some((next, after)) = rest.split_first() {
            let distance = next.virt().start().get() - first.virt().start().get();
            let continues = next.virt().start().get() == end
                && next.arena_offset().is_some() == first.arena_offset().is_some()
                && next.rights() == first.rights()
                && phys.checked_add(distance) == Some(next.phys(self.kernel, self.arena));
            if !continues {
                break;
            }
            end = next.virt().end();
            rest = after;
        }
        self.extents = rest;
        Some(Mapping {
            virt: VirtRange::from_bounds(first.virt().start().get(), end)?,
            phys,
            attributes: Attributes::kernel(first.rights()),
            largest: if first.arena_offset().is_some() { self.arena_largest } else { PageSize::Size1G },
            purpose: Purpose::Kernel,
        })
    }
}
