//! The page-table tree: every table as a strip of its 512 entries, nested as the walk goes.

use std::fmt::Write;
use std::ops::Range;

use shared_abi::addr::PhysAddr;
use shared_abi::page_table::{Node, TableSource};

use super::frames::Frames;
use super::markup::{rights_class, section};
use crate::inspect::view::{View, memory_type, rights};

/// Draws it.
pub fn draw(frames: Option<&Frames<'_>>, view: &View<'_>, page: &mut String) {
    let Some(root) = view.snapshot.kernel_tables() else { return };
    /// Most tables that are drawn.
    const DRAWN: usize = 256;
    let mut tables: Vec<(u8, u64, u64)> = vec![(0, root.base(), root.root().start().get())];
    for node in root.nodes(view.snapshot) {
        if let Node::Table { at, level, descriptor } = node {
            tables.push((level, at.get(), descriptor.address().get()));
        }
        if tables.len() == DRAWN {
            break;
        }
    }
    let mut content = String::new();
    for (level, virt, table) in tables {
        let mut cells = String::new();
        let mut index = 0;
        while index < 512 {
            let kind = cell(view, level, table, index);
            let begin = index;
            while index < 512 && cell(view, level, table, index) == kind {
                index += 1;
            }
            if kind != "none" {
                let width = index - begin;
                let classes = if kind == "next" {
                    None
                } else {
                    frames.map(|frames| classes(frames, view, level, table, begin..index))
                };
                let classes = classes.unwrap_or_default();
                let _ = write!(
                    cells,
                    "<rect class=\"{kind}{classes}\" x=\"{begin}\" width=\"{width}\" height=\"12\"><title>entries {begin} to {}: {kind}</title></rect>",
                    index - 1
                );
            }
        }
        let _ = write!(
            content,
            "<div class=\"table level{level}\"><code>level {level}  {virt:#018x}  at {table:#x}</code>\
             <svg viewBox=\"0 0 512 12\" preserveAspectRatio=\"none\">{cells}</svg></div>"
        );
    }
    let legend = "<p class=\"legend\"><span class=\"next\">table</span> <span class=\"rx\">r-x</span> \
                  <span class=\"ro\">r--</span> <span class=\"rw\">rw-</span> <span class=\"device\">device</span>: \
                  each strip is a table's 512 entries.</p>";
    section(page, &format!("Page tables: {}", view.tables), &format!("{legend}{content}"));
}

/// The classes of the frames that a range of leaves leads to.
fn classes(frames: &Frames<'_>, view: &View<'_>, level: u8, table: u64, entries: Range<usize>) -> String {
    let frame = PhysAddr::new(table).map(PhysAddr::frame);
    let length = 1 << (39 - 9 * u32::from(level.min(3)));
    // Frames that follow each other are looked up once.
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in entries {
        let entry = frame.and_then(|frame| view.snapshot.entry(frame, index));
        let Some(start) = entry.map(|entry| entry.address().get()) else { continue };
        match runs.last_mut() {
            Some((from, bytes)) if from.saturating_add(*bytes) == start => *bytes += length,
            _ => runs.push((start, length)),
        }
    }
    runs.into_iter().map(|(start, bytes)| frames.classes(start, bytes)).collect()
}

/// What an entry is, as a class name.
fn cell(view: &View<'_>, level: u8, table: u64, index: usize) -> &'static str {
    let frame = PhysAddr::new(table).map(PhysAddr::frame);
    let entry = frame.and_then(|frame| view.snapshot.entry(frame, index)).filter(|entry| entry.is_valid());
    match entry {
        None => "none",
        Some(entry) if entry.is_table(level) => "next",
        Some(entry) if memory_type(entry) != "write-back" => "device",
        Some(entry) => rights_class(rights(entry)),
    }
}
