//! The system registers that rule translation and exceptions, field by field, each beside what the contract says.

use std::fmt::Write;

use shared_abi::contract::registers::EntryRegisters;

use super::markup::section;
use crate::inspect::view::View;

/// Draws them.
pub fn draw(view: &View<'_>, page: &mut String) {
    let mut rows = String::new();
    for name in ["TTBR0_EL1", "TTBR1_EL1", "VBAR_EL1", "ESR_EL1", "ELR_EL1", "FAR_EL1", "SPSR_EL1"] {
        if let Some(value) = view.snapshot.register(name) {
            let _ = write!(rows, "<div class=\"register\"><b>{name}</b><code>{value:#018x}</code></div>");
        }
    }
    let mut zero = Vec::new();
    for (register, stated) in EntryRegisters::ABI_1.each() {
        let Some(value) = view.snapshot.register(register.name) else { continue };
        if value == 0 && stated == 0 {
            zero.push(register.name);
            continue;
        }
        let mut chips = String::new();
        for field in register.fields {
            let (found, stated) = (field.of(value), field.of(stated));
            // A register of one field is said by its value; what the processor decides is no difference.
            let differs = found != stated && field.name != "IPS";
            if register.fields.len() == 1 || found == 0 && !differs {
                continue;
            }
            let class = if differs { "chip other" } else { "chip" };
            let words = if field.width == 1 && found == 1 {
                field.name.to_owned()
            } else {
                format!("{} {found:#x}", field.name)
            };
            let (high, low) = (field.low + field.width - 1, field.low);
            let _ = write!(
                chips,
                "<span class=\"{class}\" title=\"{}[{high}:{low}] = {found:#x}, by the contract {stated:#x} at entry\">{words}</span>",
                register.name
            );
        }
        let _ = write!(
            rows,
            "<div class=\"register\"><b>{}</b><code>{value:#018x}</code><span class=\"chips\">{chips}</span></div>",
            register.name
        );
    }
    if !zero.is_empty() {
        let _ =
            write!(rows, "<div class=\"line\"><b></b><span>0, as at entry: {}</span></div>", zero.join(", "));
    }
    let legend = "<p class=\"legend\">Fields that are not 0; <span class=\"chip other\">marked</span> where they are not as the \
                  contract has them at the kernel's first instruction.</p>";
    section(page, "System registers", &format!("{legend}{rows}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::snapshot::Snapshot;
    use crate::inspect::view::Blob;

    #[test]
    fn a_field_that_is_not_as_at_entry_is_marked() {
        let mut snapshot = Snapshot::default();
        snapshot.registers.insert("SCTLR_EL1".into(), 0x34dd_d99f);
        snapshot.registers.insert("TPIDR_EL1".into(), 0);
        let blob = Blob::of(&snapshot);
        let mut page = String::new();
        draw(&View::new(&snapshot, &blob), &mut page);
        assert!(
            page.contains("title=\"SCTLR_EL1[1:1] = 0x1, by the contract 0x0 at entry\">A</span>"),
            "{page}"
        );
        assert_eq!(page.matches("class=\"chip other\" title").count(), 1, "{page}");
        assert!(page.contains("0, as at entry: TPIDR_EL1"), "{page}");
    }
}
