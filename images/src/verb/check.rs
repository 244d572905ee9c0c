//! `handoff check`: whether an image is good, and what is in it.

use elfloader::kernel_elf::{KernelElf, Position};
use serde_json::json;
use shared_abi::image::{BootFlags, LogLevel};

use super::output;
use crate::check::{self, Checked};
use crate::cli::Check;
use crate::elf_form::image_bytes;
use crate::failure::{Failure, Outcome, read};
use crate::foreign;
use crate::size::readable;
use crate::style::Style;

pub fn check(flags: &Check) -> Outcome<u8> {
    let file = read(&flags.image)?;
    let named = |failure: Failure| failure.within(flags.image.display());
    foreign::expect_image(&file).map_err(named)?;
    let (form, bytes) = image_bytes(&file);
    let checked = check::image(bytes).map_err(named)?;
    let kernel = checked.table.kernel().map(|entry| checked.table.bytes(&entry)).unwrap_or_default();
    let elf = KernelElf::parse(kernel).map_err(|error| named(error.into()))?;
    if flags.json {
        return output::print(&format!("{:#}\n", as_json(form, &checked, &elf)));
    }
    output::print(&as_text(&flags.image.display().to_string(), form, &checked, &elf, Style::stdout()))
}

const fn log_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Quiet => "quiet",
        LogLevel::Normal => "normal",
        LogLevel::Verbose => "verbose",
    }
}

fn as_text(name: &str, form: &str, checked: &Checked<'_>, elf: &KernelElf<'_>, style: Style) -> String {
    let Checked { header, table, kernel } = checked;
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    let title = format!("{name}  {} form, {}", form, readable(header.image_size));
    line(format!("{}  {}", style.bold(&title), style.good("good")));
    let semihosting = header.boot_flags.contains(BootFlags::SEMIHOSTING);
    let pause = header.boot_flags.contains(BootFlags::PAUSE);
    let flag = |name: &str, set: bool| if set { format!(", {name}") } else { String::new() };
    line(format!(
        "boot      log {}{}{}{}",
        log_name(header.log_level),
        flag("semihosting", semihosting),
        flag("pause", pause),
        if header.phys_tree_hint == 0 {
            String::new()
        } else {
            format!(", tree at {:#x}", header.phys_tree_hint)
        },
    ));
    line(String::new());
    line(style.bold("offset           size  contents"));
    line(format!("{:#010x}  {:>9}  loader", 0x1000, readable(header.loader_length)));
    for entry in table.entries() {
        let digest = entry.crc32c().map_or_else(|| "no digest".into(), |value| format!("crc32c {value:08x}"));
        let (offset, size, kind) = (entry.offset, readable(entry.length), entry.kind.to_string());
        line(format!("{offset:#010x}  {size:>9}  {kind:14}  {digest:15}  {}", entry.name()));
    }
    line(String::new());
    line(style.bold("kernel"));
    let position = match elf.position() {
        Position::Fixed => "fixed",
        Position::Independent => "position-independent",
    };
    let note = elf.note();
    line(format!("entry     {:#018x}, {position}", elf.entry()));
    line(format!(
        "asks for  ABI {}.{}, boot stack {}",
        note.abi_major,
        note.abi_minor,
        readable(note.stack_bytes())
    ));
    for segment in elf.segments() {
        let rights = segment.rights().map_or_else(|| "rwx".into(), |rights| rights.to_string());
        let zeros = (segment.end() - segment.start()).saturating_sub(segment.file_size());
        let zeros = if zeros == 0 { String::new() } else { format!(" and {} of zeros", readable(zeros)) };
        line(format!(
            "segment {}  {:#018x}–{:#018x}  {rights}  {}{zeros}",
            segment.number(),
            segment.start(),
            segment.end(),
            readable(segment.file_size()),
        ));
    }
    let pages = kernel.pages;
    line(format!("pages     {} in place, {} copied, {} zeroed", pages.in_place, pages.copied, pages.zeroed));
    text
}

fn as_json(form: &str, checked: &Checked<'_>, elf: &KernelElf<'_>) -> serde_json::Value {
    let Checked { header, table, kernel } = checked;
    let hex = |value: u64| format!("{value:#x}");
    json!({
        "form": form,
        "size": header.image_size,
        "loader": header.loader_length,
        "log": log_name(header.log_level),
        "semihosting": header.boot_flags.contains(BootFlags::SEMIHOSTING),
        "pause": header.boot_flags.contains(BootFlags::PAUSE),
        "tree_hint": hex(header.phys_tree_hint),
        "payload": table.entries().map(|entry| json!({
            "kind": entry.kind.to_string(),
            "name": entry.name(),
            "offset": entry.offset,
            "length": entry.length,
            "crc32c": entry.crc32c().map(|value| format!("{value:08x}")),
        })).collect::<Vec<_>>(),
        "kernel": {
            "entry": hex(elf.entry()),
            "position_independent": elf.position() == Position::Independent,
            "abi": [elf.note().abi_major, elf.note().abi_minor],
            "stack": elf.note().stack_bytes(),
            "segments": elf.segments().iter().map(|segment| json!({
                "number": segment.number(),
                "start": hex(segment.start()),
                "end": hex(segment.end()),
                "rights": segment.rights().map(|rights| rights.to_string()),
                "file_size": segment.file_size(),
            })).collect::<Vec<_>>(),
            "pages": {
                "in_place": kernel.pages.in_place,
                "copied": kernel.pages.copied,
                "zeroed": kernel.pages.zeroed,
            },
        },
    })
}
