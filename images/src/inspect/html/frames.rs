//! Physical memory cut where its use or its mapping changes: what ties a frame to every virtual alias of it, and to the
//! descriptor's bits.
//!
//! Whatever shows a part has its class, `p7`: a rule for each marks all of them when a pointer or the keyboard is on one,
//! and each leads to the part's row in the table of frames. That takes no script.

use std::collections::BTreeSet;
use std::fmt::Write;

use shared_abi::boot_info::{BootInfo, MemoryRegion};
use shared_abi::page_table::Run;

use super::markup::{class, escaped, section};
use crate::inspect::view::{View, memory_type, run_rights};
use crate::size::readable;

/// Most parts that are tied together: a page is for a person.
const PARTS: usize = 400;

/// A run of frames with one use and the same mappings.
struct Part<'a> {
    start: u64,
    end: u64,
    region: Option<MemoryRegion>,
    aliases: Vec<(u64, &'a Run)>,
}

/// All parts, in ascending order.
pub struct Frames<'a>(Vec<Part<'a>>);

impl<'a> Frames<'a> {
    /// Those of a view.
    pub fn of(view: &'a View<'_>, info: &BootInfo<'_>) -> Self {
        let regions: Vec<_> = info.memory_map().collect();
        let runs = || view.low_runs.iter().chain(&view.runs);
        let of_runs = runs().map(|run| (run.phys.get(), run.phys.get().saturating_add(run.length)));
        let of_regions = regions.iter().map(|region| (region.phys_start, region.range().end()));
        let edges: BTreeSet<u64> = of_runs.chain(of_regions).flat_map(|(start, end)| [start, end]).collect();
        let edges: Vec<u64> = edges.into_iter().collect();
        let part = |pair: &[u64]| {
            let [start, end] = [pair[0], pair[1]];
            let region =
                regions.iter().find(|region| region.phys_start <= start && start < region.range().end());
            let aliases: Vec<_> = runs()
                .filter(|run| run.phys.get() <= start && start - run.phys.get() < run.length)
                .map(|run| (run.virt.get() + (start - run.phys.get()), run))
                .collect();
            (region.is_some() || !aliases.is_empty()).then(|| Part {
                start,
                end,
                region: region.copied(),
                aliases,
            })
        };
        Self(edges.windows(2).filter_map(part).take(PARTS).collect())
    }

    /// The classes of all parts in a physical range.
    pub fn classes(&self, start: u64, length: u64) -> String {
        self.inside(start, length).map(|index| format!(" p{index}")).collect()
    }

    /// The link to the row of the first of them; to the section where there is none.
    pub fn link(&self, start: u64, length: u64) -> String {
        self.inside(start, length).next().map_or_else(|| "#frames".to_owned(), |index| format!("#p{index}"))
    }

    fn inside(&self, start: u64, length: u64) -> impl Iterator<Item = usize> {
        let end = start.saturating_add(length);
        let touches = move |(_, part): &(usize, &Part<'_>)| part.start < end && start < part.end;
        self.0.iter().enumerate().filter(touches).map(|(index, _)| index)
    }

    /// The rules that mark a part wherever it is shown.
    pub fn style(&self) -> String {
        let rule = |index| {
            format!(
                "body:has(.p{index}:is(:hover,:focus-visible)) .p{index},.p{index}:target{{--on:var(--mark)}}\n"
            )
        };
        (0..self.0.len()).map(rule).collect()
    }

    /// Draws the table of frames.
    pub fn draw(&self, info: &BootInfo<'_>, page: &mut String) {
        let mut rows = String::new();
        for (index, part) in self.0.iter().enumerate() {
            let (key, what) = match &part.region {
                Some(region) => {
                    let name = info.string(region.name);
                    let what = if name.is_empty() {
                        region.kind().to_string()
                    } else {
                        format!("{}, {name}", region.kind())
                    };
                    (class(region.kind()), what)
                }
                None => ("region device".to_owned(), "no RAM".to_owned()),
            };
            let aliases: String = part.aliases.iter().map(|(virt, run)| alias(*virt, run)).collect();
            let aliases =
                if aliases.is_empty() { "<span class=\"soft\">not mapped</span>".into() } else { aliases };
            let _ = write!(
                rows,
                "<div class=\"frame p{index}\" id=\"p{index}\" tabindex=\"0\"><div><code>{:#014x}</code><span>{}</span>\
                 <span><i class=\"key {key}\"></i>{}</span></div><div>{aliases}</div></div>",
                part.start,
                readable(part.end - part.start),
                escaped(&what)
            );
        }
        let legend = "<p class=\"legend\">Physical address, size and use; then every virtual address that leads there, its \
                      rights, and the leaf's descriptor without its address.</p>";
        section(page, "Frames", &format!("{legend}<div class=\"frames\">{rows}</div>"));
    }
}

/// A virtual address of a part with its descriptor, field by field.
fn alias(virt: u64, run: &Run) -> String {
    let bits = run.attributes.bits();
    let field = |high: u32, low: u32| bits >> low & ((1 << (high - low + 1)) - 1);
    let fields = [
        format!("AttrIndx {}", field(4, 2)),
        format!("AP {:02b}", field(7, 6)),
        format!("SH {:02b}", field(9, 8)),
        format!("AF {}", field(10, 10)),
        format!("nG {}", field(11, 11)),
        format!("PXN {}", field(53, 53)),
        format!("UXN {}", field(54, 54)),
    ];
    let size = ["512 GiB", "1 GiB", "2 MiB", "4 KiB"][usize::from(run.level & 3)];
    let chips: String = fields.iter().map(|field| format!("<span class=\"chip\">{field}</span>")).collect();
    format!(
        "<div class=\"alias\"><code>{virt:#018x}</code><span class=\"rights\">{}</span><span>{} by {size}</span>\
         <code class=\"soft\">{bits:#018x}</code><span class=\"chips\">{chips}</span></div>",
        run_rights(run),
        memory_type(run.attributes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::dump;
    use crate::inspect::view::{Blob, rights};

    #[test]
    fn every_mapping_and_every_region_leads_to_its_frames() {
        let snapshot = dump::decode(include_bytes!("../../../tests/data/virt-el2.core")).unwrap();
        let blob = Blob::of(&snapshot);
        let view = View::new(&snapshot, &blob);
        let info = view.info.as_ref().unwrap();
        let frames = Frames::of(&view, info);
        // Each byte of RAM is in one part, with the use that the map says.
        let ram: u64 =
            frames.0.iter().filter(|part| part.region.is_some()).map(|part| part.end - part.start).sum();
        assert_eq!(ram, info.total_ram());
        for run in &view.runs {
            let parts: Vec<_> =
                frames.inside(run.phys.get(), run.length).map(|index| &frames.0[index]).collect();
            assert_eq!(parts.iter().map(|part| part.end - part.start).sum::<u64>(), run.length, "{run:?}");
            let leads = |part: &&Part<'_>| {
                part.aliases.contains(&(run.virt.get() + (part.start - run.phys.get()), run))
            };
            assert!(parts.iter().all(leads), "{run:?}");
        }
        // The kernel's text has two aliases, of which one can be executed.
        let entry = snapshot.translate(info.kernel().virt_entry).unwrap();
        let text = &frames.0[frames.inside(entry, 1).next().unwrap()];
        let rights: Vec<_> = text.aliases.iter().map(|(_, run)| rights(run.attributes)).collect();
        assert_eq!((rights.len(), rights.iter().filter(|rights| **rights == "r-x").count()), (2, 1));
    }

    #[test]
    fn a_descriptor_is_told_field_by_field() {
        let snapshot = dump::decode(include_bytes!("../../../tests/data/virt-el2.core")).unwrap();
        let blob = Blob::of(&snapshot);
        let view = View::new(&snapshot, &blob);
        let device = view.runs.iter().find(|run| memory_type(run.attributes) == "Device-nGnRE").unwrap();
        let words = alias(0xFFFF_0080_0018_0000, device);
        for part in ["0xffff008000180000", "rw-", "AttrIndx 1", "AP 00", "AF 1", "PXN 1", "UXN 1", "by 4 KiB"]
        {
            assert!(words.contains(part), "{part} in {words}");
        }
    }
}
