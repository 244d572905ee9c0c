//! The ABI for other languages: `include/handoff.h` for C, C++ and preprocessed assembly, `include/handoff.inc` for the GNU
//! assembler, `include/handoff.zig` for Zig. All three are written from the declarations by the test below, with
//! `BLESS=1`, and compared with them else.

mod facts;
mod languages;

use crate::uart::UartKind;

/// A file of another language, and what it ought to hold.
fn generated() -> [(&'static str, String); 3] {
    let facts = facts::Facts::collect();
    [
        ("handoff.h", languages::c(&facts)),
        ("handoff.inc", languages::assembly(&facts)),
        ("handoff.zig", languages::zig(&facts)),
    ]
}

#[test]
fn the_files_for_other_languages_are_the_abi_of_the_declarations() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    for (name, text) in generated() {
        let path = format!("{folder}/{name}");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().zip(found.lines()).find(|(ours, theirs)| ours != theirs);
        assert!(
            found == text,
            "ABI: shared-abi/include/{name} differs from the declarations, first at {line:?}. A number, a name and a \
             place that were published do not change: see docs/contract.md, \"What a version may change\". If this is \
             an addition, BLESS=1 writes the file"
        );
    }
}

#[test]
fn the_written_contract_says_how_each_port_is_written_to() {
    let mut rows = String::new();
    for kind in UartKind::ALL {
        let model = kind.model();
        let unit = if model.spread { "register " } else { "+" };
        let before = model.enable.as_ref().map_or("nothing".into(), |enable| {
            format!("at +{:#x} clear {:#x}, set {:#x}", enable.register, enable.clear, enable.set)
        });
        rows += &format!(
            "| {} | {} | {unit}{:#x} | {unit}{:#x} | (status & {:#x}) = {:#x} | {before} |\n",
            *kind as u32,
            kind.name(),
            model.data,
            model.status,
            model.mask,
            model.ready
        );
    }
    let page = include_str!("../../../docs/contract.md");
    assert!(page.contains(&rows), "docs/contract.md ought to say:\n{rows}");
}
