//! A view as one self-contained page: physical memory, virtual memory, the page-table tree, the timeline.
//!
//! No script, no font and no file from elsewhere: colours follow the reader's light or dark preference, details open on
//! demand, and a pointer or the keyboard on a piece of memory marks all that leads there.

mod address_space;
mod frames;
mod markup;
mod physical;
mod registers;
mod tree;

use std::fmt::Write;

use frames::Frames;
use markup::{details, escaped, row, section, table};

use shared_abi::boot_info::BootInfo;

use super::snapshot::Origin;
use super::view::View;
use super::{machine_text, moment_text, record, recordings};
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
    if let Some(moment) = &view.snapshot.moment {
        // The registers that rule the machine have a section of their own.
        let sections = moment_text::sections(view.snapshot, moment).into_iter();
        for (heading, lines) in sections.filter(|(heading, _)| heading != moment_text::REGISTERS) {
            let lines = escaped(&lines.join("\n"));
            section(&mut page, &escaped(&heading), &format!("<pre>{lines}</pre>"));
        }
    }
    match &view.info {
        Ok(info) => {
            let frames = Frames::of(view, info);
            let _ = write!(page, "<style>\n{}</style>\n", frames.style());
            summary(view, info, &mut page);
            physical::draw(&frames, info, &mut page);
            address_space::draw(&frames, view, info, &mut page);
            machine(view, info, &mut page);
            registers::draw(view, &mut page);
            plan(view, &mut page);
            tree::draw(Some(&frames), view, &mut page);
            frames.draw(info, &mut page);
            for table in record::others(info) {
                let text = escaped(&record::lines(info, table).join("\n"));
                section(&mut page, &table.to_string(), &format!("<pre>{text}</pre>"));
            }
            for noted in recordings::of_info(view.snapshot, info) {
                let text = escaped(&noted.shown().join("\n"));
                section(&mut page, &noted.title(), &format!("<pre>{text}</pre>"));
            }
            if view.has_run() {
                timeline(view, &mut page);
                entry_state(view, &mut page);
            }
            if !info.log().bytes.is_empty() {
                log(info, &mut page);
            }
        }
        Err(trouble) => {
            section(
                &mut page,
                "BootInfo",
                &format!("<p class=\"bad\">{}</p>", escaped(&trouble.to_string())),
            );
            registers::draw(view, &mut page);
            tree::draw(None, view, &mut page);
            entry_state(view, &mut page);
        }
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
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
            if view.snapshot.origin == Origin::Stopped { view.time(total) } else { "not yet".to_owned() },
        ),
    ];
    page.push_str("<section class=\"facts\">\n");
    for (name, value) in facts {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    page.push_str("</section>\n");
}

fn machine(view: &View<'_>, info: &BootInfo<'_>, page: &mut String) {
    let mut rows = String::new();
    for (label, words) in machine_text::lines(view, info) {
        let _ = write!(rows, "<div class=\"line\"><b>{label}</b><span>{}</span></div>", escaped(&words));
    }
    section(page, &format!("Machine {}", info.string(info.platform().model)), &rows);
}

/// How the boot differs from its plan.
fn plan(view: &View<'_>, page: &mut String) {
    let Some(differences) = &view.snapshot.plan else { return };
    let content = match &differences[..] {
        [] => "<p class=\"good\">Every number is as planned.</p>".to_owned(),
        all => format!("<pre>{}</pre>", escaped(&all.join("\n"))),
    };
    section(page, "Plan and boot", &content);
}

fn timeline(view: &View<'_>, page: &mut String) {
    let stages = view.stages();
    let total = stages.iter().map(|(_, _, length)| length).sum::<u64>().max(1);
    let mut content = String::from("<div class=\"timeline\">");
    for (name, start, length) in stages {
        let share = |ticks: u64| ticks as f64 * 100.0 / total as f64;
        let time = view.time(length);
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
    let words = match wrong {
        0 => format!("all {} lines of the contract hold", view.lines.len()),
        _ => format!("{} lines of the contract hold, {wrong} do not", view.lines.len() - wrong),
    };
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
