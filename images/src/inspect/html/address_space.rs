//! Virtual memory: the kernel's half of the address space to scale, and what is mapped in each window.

use std::fmt::Write;

use shared_abi::addr::VirtRange;
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::page_table::Run;

use super::frames::Frames;
use super::markup::{escaped, rights_class, section};
use crate::inspect::changes;
use crate::inspect::view::{View, rights, run_rights};
use crate::size::readable;

/// The windows that hold all others.
const OUTER: [WindowId; 4] = [WindowId::KERNEL, WindowId::HANDOFF, WindowId::SLIDE, WindowId::DIRECT_MAP];

/// The first address of the kernel's half.
const HALF: u64 = 0xFFFF_0000_0000_0000;

/// Draws it.
pub fn draw(frames: &Frames<'_>, view: &View<'_>, info: &BootInfo<'_>, page: &mut String) {
    let windows: Vec<_> = info.windows().filter(|window| OUTER.contains(&window.id)).collect();
    let named = |id: WindowId| id.name().unwrap_or("window");
    let mut map = String::from(
        "<svg class=\"half\" viewBox=\"0 0 1000 34\" preserveAspectRatio=\"none\" role=\"img\">",
    );
    for (index, window) in windows.iter().enumerate() {
        let (x, width) = (scale(window.virt_start), window.length as f64 * 1000.0 / (1_u64 << 48) as f64);
        let words = format!("{}, {}", named(window.id), readable(window.length));
        let _ = write!(
            map,
            "<rect class=\"window{}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"34\"><title>{}</title></rect>",
            index % 2,
            escaped(&words)
        );
    }
    for run in &view.runs {
        let words =
            format!("{:#018x} {}, {}", run.virt.get(), view.purpose(run.virt.get()), readable(run.length));
        let _ = write!(
            map,
            "<rect class=\"{}\" x=\"{:.2}\" y=\"5\" width=\"2\" height=\"24\"><title>{}</title></rect>",
            rights_class(rights(run.attributes)),
            scale(run.virt.get()),
            escaped(&words)
        );
    }
    map.push_str("</svg>");
    let figure = format!(
        "<figure><figcaption><code>{HALF:#018x}</code><span>256 TiB, to scale</span>\
         <code>0xffffffffffffffff</code></figcaption>{map}</figure>"
    );
    let mut blocks = String::new();
    for window in windows {
        let range = window.range();
        let inside = view.runs.iter().filter(|run| range.contains(run.virt));
        let mut rows: Vec<_> = inside.map(|run| row(frames, view, run)).collect();
        if window.id == WindowId::HANDOFF {
            rows.push(guard(info));
        }
        rows.sort();
        let rows: String = match rows.is_empty() {
            true => "<div class=\"run empty\">nothing is mapped</div>".into(),
            false => rows.into_iter().map(|(_, row)| row).collect(),
        };
        let _ = write!(
            blocks,
            "<div class=\"window\"><h3>{}<span>{}</span></h3>{rows}</div>",
            escaped(named(window.id)),
            readable(range.len())
        );
    }
    if !view.low_runs.is_empty() {
        let rows: String = view.low_runs.iter().map(|run| row(frames, view, run).1).collect();
        let _ = write!(blocks, "<div class=\"window\"><h3>user space<span>TTBR0</span></h3>{rows}</div>");
    }
    let legend = "<p class=\"legend\"><span class=\"rx\">r-x</span> code <span class=\"ro\">r--</span> read-only \
                  <span class=\"rw\">rw-</span> data. Virtual address, size, rights, what for, physical address.</p>";
    section(page, "Virtual memory", &format!("{figure}{legend}<div class=\"windows\">{blocks}</div>"));
}

fn scale(virt: u64) -> f64 {
    virt.saturating_sub(HALF) as f64 * 1000.0 / (1_u64 << 48) as f64
}

/// A run: its address, for the order, and a row that leads to its frames.
fn row(frames: &Frames<'_>, view: &View<'_>, run: &Run) -> (u64, String) {
    let (virt, phys, rights) = (run.virt.get(), run.phys.get(), run_rights(run));
    let range = VirtRange::new(run.virt, run.length).unwrap_or(VirtRange::EMPTY);
    let mut more = Vec::new();
    let sections = view.sections(range);
    if !sections.is_empty() {
        more.push(escaped(&sections.join(", ")));
    }
    if let Ok(info) = &view.info
        && range.start().get() <= info.kernel().virt_entry
        && info.kernel().virt_entry < range.end()
        && rights == "r-x"
    {
        let symbol = view.snapshot.parts.as_ref().and_then(|parts| parts.entry.as_deref());
        let symbol = symbol.unwrap_or("the kernel's first instruction");
        more.push(format!("entry {:#x}, {}", info.kernel().virt_entry, escaped(symbol)));
    }
    if changes::has_changed(view.snapshot, range) {
        more.push("<b class=\"other\">changed since the kernel's first instruction</b>".to_owned());
    }
    let more: String = more.iter().map(|words| format!("<small>{words}</small>")).collect();
    let words = format!(
        "<a class=\"run {}{}\" href=\"{}\"><code>{virt:#018x}</code><span>{}</span><span class=\"rights\">{rights}</span>\
         <span>{}</span><code>{phys:#x}</code>{more}</a>",
        rights_class(rights),
        frames.classes(phys, run.length),
        frames.link(phys, run.length),
        readable(run.length),
        escaped(view.purpose(virt)),
    );
    (virt, words)
}

/// The hole that a stack overflow falls into.
fn guard(info: &BootInfo<'_>) -> (u64, String) {
    let guard = info.boot_stack().guard();
    let virt = guard.start().get();
    let words = format!(
        "<div class=\"run none\"><code>{virt:#018x}</code><span>{}</span><span class=\"rights\">---</span>\
         <span>guard</span><code></code></div>",
        readable(guard.len()),
    );
    (virt, words)
}
