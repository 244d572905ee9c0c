//! The plan as text, for people and for tests.

use core::fmt;

use super::{Extent, LoadPlan, Origin, PlacedPlan};

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InPlace(offset) => write!(f, "in place  file  +{offset:#010x}"),
            Self::Copied(offset) => write!(f, "copied    arena +{offset:#010x}"),
            Self::Zeroed(offset) => write!(f, "zeroed    arena +{offset:#010x}"),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relro = if self.relocatable && !self.rights.is_writable() { "  relro" } else { "" };
        write!(f, "{} {} {}  segment {}{relro}", self.virt, self.rights, self.origin(), self.segment)
    }
}

impl fmt::Display for LoadPlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (placement, arena, pages) = (&self.placement, &self.arena, self.pages());
        writeln!(f, "image       {}", placement.image)?;
        writeln!(f, "slide       {:#018x}", placement.slide)?;
        writeln!(f, "entry       {}", placement.entry)?;
        for extent in self.extents() {
            writeln!(f, "extent      {extent}")?;
        }
        writeln!(
            f,
            "pages       {} in place, {} copied, {} zeroed",
            pages.in_place, pages.copied, pages.zeroed
        )?;
        writeln!(f, "heap        {}", placement.heap)?;
        writeln!(f, "stack       {}", self.stack)?;
        writeln!(f, "boot info   {}", self.boot_info())?;
        if let Some(console) = self.console {
            writeln!(f, "console     {console}")?;
        }
        writeln!(f, "direct map  offset {:#018x}", placement.direct_map_offset)?;
        writeln!(
            f,
            "arena       {:#x} bytes aligned to {:#x}, {} tables",
            arena.length(),
            arena.alignment(),
            arena.table_count()
        )
    }
}

impl fmt::Display for PlacedPlan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.plan(), f)?;
        for (range, used) in self.uses() {
            writeln!(f, "memory      {range} {}", used.kind())?;
        }
        Ok(())
    }
}
