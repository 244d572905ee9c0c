//! A view as text for a terminal.

use std::fmt::Write;

use shared_abi::boot_info::BootInfo;
use shared_abi::memory::RegionKind;
use shared_abi::page_table::Run;

use super::view::{View, memory_type, run_rights};
use super::{machine_text, moment_text, record, recordings};
use crate::size::readable;
use crate::style::Style;

/// The text so far.
struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn heading(&mut self, words: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let words = self.style.bold(words);
        self.line(&words);
    }

    fn line(&mut self, words: &str) {
        self.text.push_str(words.trim_end());
        self.text.push('\n');
    }
}

/// The whole view.
pub fn text(view: &View<'_>, style: Style) -> String {
    let mut page = Page { text: String::new(), style };
    let good = if view.is_good() {
        style.good("as the contract says")
    } else {
        style.bad("not as the contract says")
    };
    page.line(&match view.has_run() {
        true => format!("{}: {good}", style.bold(&view.title())),
        false => style.bold(&view.title()),
    });
    if view.has_run() {
        entry_state(view, &mut page);
    }
    if let Some(moment) = &view.snapshot.moment {
        for (heading, lines) in moment_text::sections(view.snapshot, moment) {
            page.heading(&heading);
            for line in lines {
                page.line(&line);
            }
        }
    }
    match &view.info {
        Ok(info) => {
            memory(info, &mut page);
            kernel(view, info, &mut page);
            handed(view, info, &mut page);
            others(info, &mut page);
            for noted in recordings::of_info(view.snapshot, info) {
                page.heading(&noted.title());
                noted.shown().iter().for_each(|line| page.line(line));
            }
        }
        Err(trouble) => {
            page.heading("BootInfo");
            let words = style.bad(&trouble.to_string());
            page.line(&words);
        }
    }
    mappings(view, &mut page);
    if let Some(differences) = &view.snapshot.plan {
        page.heading("What differs from the plan");
        let agree = ["nothing".to_owned()];
        let lines = if differences.is_empty() { &agree[..] } else { differences };
        lines.iter().for_each(|line| page.line(line));
    }
    if let Ok(info) = &view.info {
        if view.has_run() {
            timeline(view, &mut page);
        }
        if !info.log().bytes.is_empty() {
            log(info, &mut page);
        }
    }
    page.text
}

fn entry_state(view: &View<'_>, page: &mut Page) {
    page.heading("Entry state");
    let style = page.style;
    for line in &view.lines {
        let mark = if line.holds { style.good("ok   ") } else { style.bad("WRONG") };
        let found = if line.holds { String::new() } else { format!("  found {}", line.found) };
        page.line(&format!("{mark}  {:16}  {}{found}", line.what, line.expected));
    }
}

fn memory(info: &BootInfo<'_>, page: &mut Page) {
    let (total, free) = (info.total_ram(), info.free_bytes());
    page.heading(&format!("Physical memory: {} of RAM, {} free", readable(total), readable(free)));
    for region in info.memory_map() {
        let (range, kind) = (region.range(), region.kind());
        let name = info.string(region.name);
        let node = if region.node == 0 { String::new() } else { format!("  node {}", region.node) };
        page.line(&format!(
            "{} {range}  {:>10}  {kind:18} {name}{node}",
            kind.letter(),
            readable(region.length)
        ));
    }
    page.line("");
    for bar in bars(info, page.style.width().saturating_sub(2)) {
        page.line(&bar);
    }
}

/// One bar for each contiguous piece of RAM, to scale among themselves. A column shows what is least free in it.
fn bars(info: &BootInfo<'_>, width: usize) -> Vec<String> {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    for region in info.memory_map() {
        let (start, end) = (region.range().start().get(), region.range().end());
        match pieces.last_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ => pieces.push((start, end)),
        }
    }
    let longest = pieces.iter().map(|(start, end)| end - start).max().unwrap_or(1).max(1);
    let columns =
        |bytes: u64| ((u128::from(bytes) * width as u128).div_ceil(u128::from(longest)) as usize).max(1);
    let bar = |&(start, end): &(u64, u64)| {
        let count = columns(end - start);
        let mut cells = vec!['.'; count];
        for region in info.memory_map() {
            let range = region.range();
            let (from, to) = (range.start().get(), range.end());
            if from < start || to > end || region.kind() == RegionKind::USABLE {
                continue;
            }
            let cell = |at: u64| (u128::from(at - start) * count as u128 / u128::from(end - start)) as usize;
            for slot in &mut cells[cell(from)..=cell(to - 1)] {
                if matches!(*slot, '.' | ',') || region.kind() == RegionKind::KERNEL {
                    *slot = region.kind().letter();
                }
            }
        }
        format!("[{}] {start:#x}, {}", cells.into_iter().collect::<String>(), readable(end - start))
    };
    pieces.iter().map(bar).collect()
}

fn kernel(view: &View<'_>, info: &BootInfo<'_>, page: &mut Page) {
    let kernel = info.kernel();
    let name = info.string(kernel.name);
    page.heading(&format!("Kernel {name}"));
    let linked = kernel.virt_link_base;
    page.line(&format!("image      {}, linked at {linked:#x}, slid by {:#x}", kernel.range(), kernel.slide));
    let parts = view.snapshot.parts.as_ref();
    let symbol = parts.and_then(|parts| parts.entry.as_deref()).unwrap_or_default();
    page.line(&format!("entry      {:#018x}  {symbol}", kernel.virt_entry));
    page.line(&format!(
        "pages      {} in place, {} copied, {} zeroed; {} relocations",
        kernel.pages_in_place, kernel.pages_copied, kernel.pages_zeroed, kernel.relocations
    ));
    for extent in info.extents() {
        let origin = extent.origin.name().unwrap_or("unknown");
        let segment = extent.segment;
        page.line(&format!(
            "segment {segment:2} {} {}  {origin} at {}",
            extent.virt(),
            extent.rights(),
            extent.phys()
        ));
        let sections = view.sections(extent.virt());
        if !sections.is_empty() {
            page.line(&format!("           {}", sections.join(", ")));
        }
    }
    page.heading("Virtual layout");
    let mut places: Vec<_> = info
        .windows()
        .map(|window| (window.range(), window.id.name().unwrap_or("unknown").to_owned()))
        .collect();
    places.push((info.boot_stack().range(), "boot stack".into()));
    places.push((info.boot_stack().guard(), "guard below the boot stack".into()));
    places.push((kernel.range(), "kernel image".into()));
    places.sort_by_key(|(range, _)| (range.start(), std::cmp::Reverse(range.end())));
    for (range, what) in places {
        page.line(&format!("{range}  {:>10}  {what}", readable(range.len())));
    }
    let tables = info.page_tables();
    page.line(&format!(
        "direct map: virtual = physical + {:#x}; {} tables, root {:#x}",
        info.direct_map().virt_offset,
        view.tables,
        tables.phys_root_high
    ));
}

fn handed(view: &View<'_>, info: &BootInfo<'_>, page: &mut Page) {
    page.heading(&format!("Machine {}", info.string(info.platform().model)));
    for (label, words) in machine_text::lines(view, info) {
        match label {
            "" => page.line(&words),
            _ => page.line(&format!("{label:10} {words}")),
        }
    }
}

fn others(info: &BootInfo<'_>, page: &mut Page) {
    for table in record::others(info) {
        page.heading(&table.to_string());
        for line in record::lines(info, table) {
            page.line(&line);
        }
    }
}

fn mappings(view: &View<'_>, page: &mut Page) {
    let (low, high) = (&view.low_runs, &view.runs);
    if !low.is_empty() {
        page.heading(&format!("Mapped by TTBR0: {} runs", low.len()));
        low.iter().for_each(|run| page.line(&mapping(view, run)));
    }
    page.heading(&format!("Mapped by TTBR1: {} runs, {} tables", high.len(), view.tables));
    high.iter().for_each(|run| page.line(&mapping(view, run)));
}

fn mapping(view: &View<'_>, run: &Run) -> String {
    let (start, length) = (run.virt.get(), run.length);
    let size = ["?", "1G", "2M", "4K"][usize::from(run.level & 3)];
    format!(
        "{start:#018x}  {:>10} by {size}  {}  {:12}  {:#014x}  {}",
        readable(length),
        run_rights(run),
        memory_type(run.attributes),
        run.phys.get(),
        view.purpose(start)
    )
}

fn timeline(view: &View<'_>, page: &mut Page) {
    let stages = view.stages();
    let total: u64 = stages.iter().map(|(_, _, length)| length).sum();
    page.heading(&format!("Timeline: {}", view.time(total)));
    let names = stages.iter().map(|(name, _, _)| name.len()).max().unwrap_or_default();
    let width = page.style.width().saturating_sub(names + 20).max(10);
    for (name, start, length) in stages {
        let scale = |ticks: u64| (u128::from(ticks) * width as u128 / u128::from(total.max(1))) as usize;
        let bar = format!("{}{}", " ".repeat(scale(start)), "=".repeat(scale(length).max(1)));
        let time = view.time(length);
        page.line(&format!("{name:names$}  {time:>10}  {bar}"));
    }
}

fn log(info: &BootInfo<'_>, page: &mut Page) {
    let log = info.log();
    page.heading(if log.is_truncated { "Loader's log (its beginning is missing)" } else { "Loader's log" });
    for line in String::from_utf8_lossy(log.bytes).lines() {
        // Control characters in a log are not for the terminal.
        let mut shown = String::new();
        for letter in line.chars() {
            // Writing to a string cannot fail.
            let _ = if letter.is_control() {
                write!(shown, "{}", letter.escape_default())
            } else {
                write!(shown, "{letter}")
            };
        }
        page.line(&shown);
    }
}
