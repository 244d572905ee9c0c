//! Physical memory: a bar to scale for each piece of RAM, and under it the crowded parts magnified, to scale as well.
//!
//! ```text
//! ├─┬───────────────┬──────────────────────────────────────┤  all of it
//!   │╲              │╲
//! ├─┴───────┬───┤ ├─┴──┤                                      what hides in a column of it
//! ```

use std::fmt::Write;

use shared_abi::boot_info::{BootInfo, MemoryRegion};
use shared_abi::memory::RegionKind;

use super::frames::Frames;
use super::markup::{class, details, escaped, row, section, table};
use crate::size::readable;

/// Free memory of at most this size between two parts does not separate them.
const GAP: u64 = 256 << 10;

/// The width of a picture.
const WIDTH: f64 = 1000.0;

/// Draws it.
pub fn draw(frames: &Frames<'_>, info: &BootInfo<'_>, page: &mut String) {
    let regions: Vec<_> = info.memory_map().collect();
    let mut content = String::new();
    for piece in regions.chunk_by(|one, next| one.range().end() == next.phys_start) {
        let (start, end) = bounds(piece);
        let crowds = crowds(piece);
        let _ = write!(
            content,
            "<figure><figcaption><code>{start:#x}</code><span>{}, to scale</span><code>{end:#x}</code></figcaption>\
             <div class=\"zoomed\">{}{}{}{}</div></figure>",
            readable(end - start),
            nodes(piece),
            // The magnified parts below hold all of it but what is free: those are stepped through by keyboard.
            bar(frames, info, piece, crowds.is_empty()),
            lenses(&crowds, start, end),
            magnified(frames, info, &crowds)
        );
    }
    content += &legend(&regions);
    let rows: String = regions
        .iter()
        .map(|region| {
            row(&[
                format!(
                    "<span class=\"key {}\"></span>{}",
                    class(region.kind()),
                    escaped(&region.kind().to_string())
                ),
                format!("<code>{}</code>", region.range()),
                readable(region.length),
                escaped(info.string(region.name)),
                region.node.to_string(),
                escaped(&region.kind().when().replace('`', "")),
            ])
        })
        .collect();
    content += &details(
        "Memory map",
        &table(&["use", "physical", "size", "name", "node", "the kernel may use it"], &rows),
    );
    section(page, "Physical memory", &content);
}

/// First byte and end of regions that follow each other.
fn bounds(regions: &[MemoryRegion]) -> (u64, u64) {
    let start = regions.first().map_or(0, |region| region.phys_start);
    (start, regions.last().map_or(start, |region| region.range().end()))
}

/// What lies close together, without the free memory around it.
fn crowds(piece: &[MemoryRegion]) -> Vec<&[MemoryRegion]> {
    let separates = |region: &MemoryRegion| region.kind() == RegionKind::USABLE && region.length > GAP;
    let crowds = piece.split(separates).filter(|crowd| !crowd.is_empty()).map(|crowd| {
        let is_used = |region: &MemoryRegion| region.kind() != RegionKind::USABLE;
        let first = crowd.iter().position(is_used).unwrap_or(0);
        let last = crowd.iter().rposition(is_used).unwrap_or(0);
        &crowd[first..=last]
    });
    // Small pieces without a large gap are readable as they are.
    crowds.filter(|crowd| crowd.len() < piece.len()).collect()
}

/// Regions that follow each other, to scale: links to their frames, with a label where there is room for one.
fn bar(frames: &Frames<'_>, info: &BootInfo<'_>, regions: &[MemoryRegion], by_keyboard: bool) -> String {
    let (start, end) = bounds(regions);
    let scale = |bytes: u64| bytes as f64 * 100.0 / (end - start).max(1) as f64;
    let mut bar = String::from("<div class=\"bar\">");
    for region in regions {
        let (left, width) = (scale(region.phys_start - start), scale(region.length).max(0.15));
        let (name, kind) = (info.string(region.name), region.kind().to_string());
        let label = if name.is_empty() { &kind } else { name };
        let when = region.kind().when().replace('`', "");
        let words =
            format!("{} {kind}, {}; the kernel may use it: {when}", region.range(), readable(region.length));
        // As wide as so many letters.
        let label = if width > 1.5 + label.len() as f64 * 0.75 { escaped(label) } else { String::new() };
        let _ = write!(
            bar,
            "<a class=\"{}{}\" href=\"{}\"{} style=\"left:{left:.3}%;width:{width:.3}%\" title=\"{}\">{label}</a>",
            class(region.kind()),
            frames.classes(region.phys_start, region.length),
            frames.link(region.phys_start, region.length),
            if by_keyboard { "" } else { " tabindex=\"-1\"" },
            escaped(&words),
        );
    }
    bar + "</div>"
}

/// Where memory of another NUMA node begins.
fn nodes(piece: &[MemoryRegion]) -> String {
    let (start, end) = bounds(piece);
    let mut row = String::new();
    for node in piece.chunk_by(|one, next| one.node == next.node) {
        let (from, number) = (bounds(node).0, node.first().map_or(0, |region| region.node));
        let left = (from - start) as f64 * 100.0 / (end - start).max(1) as f64;
        let _ = write!(row, "<span style=\"left:{left:.3}%\">node {number}</span>");
    }
    match piece.iter().all(|region| region.node == 0) {
        true => String::new(),
        false => format!("<div class=\"nodes\">{row}</div>"),
    }
}

/// Where each magnified part begins and ends, in parts of the width: by the root of its size, so that small ones
/// keep a place beside large ones.
fn places(crowds: &[&[MemoryRegion]]) -> Vec<(f64, f64)> {
    const BETWEEN: f64 = 14.0;
    let weight = |crowd: &&[MemoryRegion]| {
        let (start, end) = bounds(crowd);
        ((end - start) as f64).sqrt().max(1.0)
    };
    let all: f64 = crowds.iter().map(weight).sum();
    let room = (WIDTH - BETWEEN * crowds.len().saturating_sub(1) as f64).max(1.0);
    // Each has at least a small part of the row.
    let least = room * 0.06;
    let spare = (room - least * crowds.len() as f64).max(0.0);
    let mut at = 0.0;
    crowds
        .iter()
        .map(|crowd| {
            let width = least + weight(crowd) / all * spare;
            let place = (at, at + width);
            at += width + BETWEEN;
            place
        })
        .collect()
}

/// What leads from the bar to its magnified parts.
fn lenses(crowds: &[&[MemoryRegion]], start: u64, end: u64) -> String {
    let mut svg = String::from(
        "<svg class=\"lens\" viewBox=\"0 0 1000 30\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
    );
    for (crowd, (left, right)) in crowds.iter().zip(places(crowds)) {
        let scale = |at: u64| (at - start) as f64 * WIDTH / (end - start).max(1) as f64;
        let (from, to) = bounds(crowd);
        let (from, to) = (scale(from), scale(to).max(scale(from) + 1.5));
        let _ =
            write!(svg, "<polygon points=\"{from:.2},0 {to:.2},0 {right:.2},30 {left:.2},30\"></polygon>");
    }
    svg + "</svg>"
}

/// The magnified parts in a row.
fn magnified(frames: &Frames<'_>, info: &BootInfo<'_>, crowds: &[&[MemoryRegion]]) -> String {
    let mut row = String::from("<div class=\"crowds\">");
    let mut end = 0.0;
    for (crowd, (left, right)) in crowds.iter().zip(places(crowds)) {
        let (from, to) = bounds(crowd);
        let _ = write!(
            row,
            "<div style=\"margin-left:{:.2}%;width:{:.2}%\">{}<code>{from:#x}</code><span>{}</span></div>",
            (left - end) / WIDTH * 100.0,
            (right - left) / WIDTH * 100.0,
            bar(frames, info, crowd, true),
            readable(to - from)
        );
        end = right;
    }
    row + "</div>"
}

/// Each use with what it takes in all.
fn legend(regions: &[MemoryRegion]) -> String {
    let mut uses: Vec<(RegionKind, u64)> = Vec::new();
    for region in regions {
        match uses.iter_mut().find(|(kind, _)| *kind == region.kind()) {
            Some((_, bytes)) => *bytes += region.length,
            None => uses.push((region.kind(), region.length)),
        }
    }
    let mut list = String::from("<p class=\"uses\">");
    for (kind, bytes) in uses {
        let (class, kind) = (class(kind), escaped(&kind.to_string()));
        let _ = write!(list, "<span><i class=\"key {class}\"></i>{kind} <b>{}</b></span>", readable(bytes));
    }
    list + "</p>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_drawn_where_another_node_begins() {
        let region = |start: u64, node| MemoryRegion {
            phys_start: start << 20,
            length: 1 << 20,
            kind: 1,
            node,
            ..MemoryRegion::default()
        };
        assert_eq!(nodes(&[region(0, 0), region(1, 0)]), "");
        let two = nodes(&[region(4, 0), region(5, 0), region(6, 1), region(7, 1)]);
        assert!(two.contains("left:0.000%\">node 0") && two.contains("left:50.000%\">node 1"), "{two}");
        assert_eq!(two.matches("<span").count(), 2);
    }
}
