//! A view as one self-contained page: physical memory, virtual memory, the page-table tree, the timeline.
//!
//! No script, no font and no file from elsewhere: the pictures are SVG, colours follow the reader's light or dark
//! preference, details open on demand and a pointer over a piece says what it is.

use std::fmt::Write;

use shared_abi::boot_info::BootInfo;
use shared_abi::memory::RegionKind;
use shared_abi::page_table::Node;

use super::view::{View, memory_type, rights};
use crate::size::readable;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn html(view: &View<'_>) -> String {
    let title = escaped(&view.title());
    let verdict = match (view.has_run(), view.is_good()) {
        (false, true) => "",
        (true, true) => "<span class=\"good\">as the contract says</span>",
        (_, false) => "<span class=\"bad\">not as the contract says</span>",
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p>{verdict}</p></header>\n<main>\n"
    );
    match &view.info {
        Ok(info) => {
            summary(view, info, &mut page);
            physical(info, &mut page);
            virtual_memory(view, info, &mut page);
            tree(view, &mut page);
            if view.has_run() {
                timeline(view, &mut page);
                entry_state(view, &mut page);
                log(info, &mut page);
            }
        }
        Err(trouble) => {
            section(
                &mut page,
                "BootInfo",
                &format!("<p class=\"bad\">{}</p>", escaped(&trouble.to_string())),
            );
            tree(view, &mut page);
            entry_state(view, &mut page);
        }
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            control if control.is_control() => out.extend(control.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

fn section(page: &mut String, heading: &str, content: &str) {
    // Writing to a string cannot fail.
    let _ = write!(page, "<section>\n<h2>{}</h2>\n{content}\n</section>\n", escaped(heading));
}

fn row(cells: &[String]) -> String {
    format!("<tr>{}</tr>\n", cells.iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>())
}

fn table(head: &[&str], rows: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th>{name}</th>")).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>"
    )
}

fn details(summary: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>\n{content}\n</details>", escaped(summary))
}

/// The class that colours a region.
const fn class(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::USABLE => "usable",
        RegionKind::LOADER_RECLAIMABLE => "reclaimable",
        RegionKind::KERNEL => "kernel",
        RegionKind::BOOT_STACK => "stack",
        RegionKind::BOOT_INFO => "info",
        RegionKind::PAGE_TABLES => "tables",
        RegionKind::LOADER_RESIDENT => "loader",
        RegionKind::DEVICE_TREE => "tree",
        RegionKind::INITRD | RegionKind::MODULE => "module",
        _ => "reserved",
    }
}

/// A kind in one short word.
const fn label(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::USABLE => "usable",
        RegionKind::LOADER_RECLAIMABLE => "reclaim",
        RegionKind::KERNEL => "kernel",
        RegionKind::BOOT_STACK => "stack",
        RegionKind::BOOT_INFO => "info",
        RegionKind::PAGE_TABLES => "tables",
        RegionKind::LOADER_RESIDENT => "loader",
        RegionKind::DEVICE_TREE => "tree",
        RegionKind::INITRD => "initrd",
        RegionKind::MODULE => "module",
        RegionKind::FIRMWARE => "firmware",
        RegionKind::NO_MAP => "no-map",
        _ => "other",
    }
}

fn summary(view: &View<'_>, info: &BootInfo<'_>, page: &mut String) {
    let (kernel, platform) = (info.kernel(), info.platform());
    let total: u64 = view.stages().iter().map(|(_, _, length)| length).sum();
    let facts = [
        ("Machine", info.string(platform.model).to_owned()),
        ("Entered at", format!("EL{}", platform.entry_exception_level)),
        ("RAM", format!("{}, {} free", readable(info.total_ram()), readable(info.free_bytes()))),
        ("CPUs", info.cpus().count().to_string()),
        ("Kernel", info.string(kernel.name).to_owned()),
        (
            "Pages",
            format!(
                "{} in place, {} copied, {} zeroed",
                kernel.pages_in_place, kernel.pages_copied, kernel.pages_zeroed
            ),
        ),
        ("Tables", format!("{} in {} runs", view.tables, view.runs.len())),
        (
            "Boot",
            view.microseconds(total).map_or_else(|| format!("{total} ticks"), |time| format!("{time:.0} µs")),
        ),
    ];
    page.push_str("<section class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    page.push_str("</section>\n");
}

/// One bar per contiguous piece of RAM, and below it the parts that a true scale would hide, magnified.
fn physical(info: &BootInfo<'_>, page: &mut String) {
    let regions: Vec<_> = info.memory_map().collect();
    let mut content = String::new();
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for region in &regions {
        match pieces.last_mut() {
            Some((_, end)) if *end == region.phys_start => *end = region.range().end(),
            _ => pieces.push((region.phys_start, region.range().end())),
        }
    }
    for (start, end) in pieces {
        let inside: Vec<_> = regions
            .iter()
            .filter(|region| region.phys_start >= start && region.range().end() <= end)
            .collect();
        let scale = |bytes: u64| bytes as f64 * 1000.0 / (end - start) as f64;
        let mut bar = String::from(
            "<svg class=\"bar\" viewBox=\"0 0 1000 40\" preserveAspectRatio=\"none\" role=\"img\">",
        );
        for region in &inside {
            let (x, width) = (scale(region.phys_start - start), scale(region.length).max(2.5));
            let words = format!("{} {} {}", region.range(), region.kind(), readable(region.length));
            let _ = write!(
                bar,
                "<rect class=\"{}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"40\"><title>{}</title></rect>",
                class(region.kind()),
                escaped(&words)
            );
        }
        bar.push_str("</svg>");
        let _ = write!(
            content,
            "<figure>{bar}<figcaption><span>{start:#x}</span><span>{}, to scale</span><span>{end:#x}</span></figcaption></figure>",
            readable(end - start)
        );
        // The same regions with one width each that is readable: by the logarithm of the size.
        let weight = |bytes: u64| (bytes as f64 / 2048.0).log2().max(1.0);
        let all: f64 = inside.iter().map(|region| weight(region.length)).sum();
        let mut strip = String::from("<div class=\"strip\">");
        for region in &inside {
            let share = weight(region.length) * 100.0 / all;
            let words = format!("{} {} {}", region.range(), region.kind(), readable(region.length));
            let _ = write!(
                strip,
                "<div class=\"{}\" style=\"flex:{share:.2}\" title=\"{}\"><b>{}</b><i>{}</i></div>",
                class(region.kind()),
                escaped(&words),
                label(region.kind()),
                readable(region.length)
            );
        }
        strip.push_str("</div>");
        let _ = write!(
            content,
            "<figure>{strip}<figcaption><span>the same in order, by the logarithm of the size</span></figcaption></figure>"
        );
    }
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
            ])
        })
        .collect();
    content += &details("Memory map", &table(&["use", "physical", "size", "name", "node"], &rows));
    section(page, "Physical memory", &content);
}

/// The windows in order, each as high as the logarithm of its size, with what is mapped in it.
fn virtual_memory(view: &View<'_>, info: &BootInfo<'_>, page: &mut String) {
    let mut blocks = String::new();
    let outer = ["kernel", "handoff", "slide", "direct map"];
    for window in info.windows() {
        let Some(name) = window.id.name().filter(|name| outer.contains(name)) else { continue };
        let range = window.range();
        let inside = view.runs.iter().filter(|run| range.contains(run.virt));
        let mut runs = String::new();
        for run in inside {
            let _ = write!(
                runs,
                "<div class=\"run {}\"><code>{:#018x}</code><span>{}</span><span class=\"rights\">{}</span><span>{}</span><code>{:#x}</code></div>",
                rights_class(rights(run.attributes)),
                run.virt.get(),
                readable(run.length),
                rights(run.attributes),
                escaped(view.purpose(run.virt.get())),
                run.phys.get()
            );
        }
        if runs.is_empty() {
            runs = "<div class=\"run empty\">nothing is mapped</div>".into();
        }
        let _ = write!(
            blocks,
            "<div class=\"window\"><h3>{name}</h3><p><code>{:#018x}</code> {}</p>{runs}</div>",
            range.start().get(),
            readable(range.len())
        );
    }
    let legend = "<p class=\"legend\"><span class=\"rx\">r-x</span> code <span class=\"ro\">r--</span> read-only \
                  <span class=\"rw\">rw-</span> data. Virtual address, size, rights, what for, physical address.</p>";
    section(page, "Virtual memory", &format!("{legend}<div class=\"windows\">{blocks}</div>"));
}

fn rights_class(rights: &str) -> &'static str {
    match rights {
        "r-x" => "rx",
        "rw-" => "rw",
        "r--" => "ro",
        _ => "rwx",
    }
}

/// Every table as a strip of its 512 entries, nested as the walk goes.
fn tree(view: &View<'_>, page: &mut String) {
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
                let _ = write!(
                    cells,
                    "<rect class=\"{kind}\" x=\"{begin}\" width=\"{width}\" height=\"12\"><title>entries {begin} to {}: {kind}</title></rect>",
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

/// What an entry is, as a class name.
fn cell(view: &View<'_>, level: u8, table: u64, index: usize) -> &'static str {
    use shared_abi::page_table::TableSource;
    let frame = shared_abi::addr::PhysAddr::new(table).map(shared_abi::addr::PhysAddr::frame);
    let entry = frame.and_then(|frame| view.snapshot.entry(frame, index)).filter(|entry| entry.is_valid());
    match entry {
        None => "none",
        Some(entry) if entry.is_table(level) => "next",
        Some(entry) if memory_type(entry) != "write-back" => "device",
        Some(entry) => rights_class(rights(entry)),
    }
}

fn timeline(view: &View<'_>, page: &mut String) {
    let stages = view.stages();
    let total = stages.iter().map(|(_, _, length)| length).sum::<u64>().max(1);
    let mut content = String::from("<div class=\"timeline\">");
    for (name, start, length) in stages {
        let share = |ticks: u64| ticks as f64 * 100.0 / total as f64;
        let time = view
            .microseconds(length)
            .map_or_else(|| format!("{length} ticks"), |time| format!("{time:.0} µs"));
        let _ = write!(
            content,
            "<span>{}</span><span class=\"time\">{time}</span><div class=\"lane\"><div style=\"margin-left:{:.2}%;width:{:.2}%\"></div></div>",
            escaped(name),
            share(start).min(99.5),
            share(length).max(0.5)
        );
    }
    content.push_str("</div>");
    section(page, "Timeline", &content);
}

fn entry_state(view: &View<'_>, page: &mut String) {
    let wrong = view.lines.iter().filter(|line| !line.holds).count();
    let rows: String = view
        .lines
        .iter()
        .map(|line| {
            let mark = if line.holds {
                "<span class=\"good\">ok</span>"
            } else {
                "<span class=\"bad\">wrong</span>"
            };
            let cells = [&line.what, &line.expected, &line.found]
                .map(|text| format!("<code>{}</code>", escaped(text)));
            let [what, expected, found] = cells;
            row(&[mark.to_owned(), what, expected, found])
        })
        .collect();
    let rows = table(&["", "what", "contract", "found"], &rows);
    let words = format!("{} lines hold, {wrong} do not", view.lines.len() - wrong);
    let content =
        if wrong == 0 { details(&words, &rows) } else { format!("<p class=\"bad\">{words}</p>{rows}") };
    section(page, "Entry state", &content);
}

fn log(info: &BootInfo<'_>, page: &mut String) {
    let log = info.log();
    let missing = if log.is_truncated { "<p>Its beginning is missing.</p>" } else { "" };
    let text = escaped(&String::from_utf8_lossy(log.bytes));
    section(page, "Loader's log", &format!("{missing}<pre>{text}</pre>"));
}
