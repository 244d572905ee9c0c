//! `handoff audit`: the page tables of a stopped machine or a dump against every rule of the contract.

use elfloader::audit::Finding;
use serde_json::json;
use shared_abi::error::{ErrorDoc, Explained};

use super::output;
use crate::cli::Audit;
use crate::errors;
use crate::failure::Outcome;
use crate::inspect::audit::{self, Audited};
use crate::inspect::snapshot::Snapshot;
use crate::inspect::view::{self, Blob, View};
use crate::size::readable;
use crate::style::Style;
use crate::verb::inspect::{STATUS_WRONG, snapshot};
use crate::workspace::Workspace;

pub fn audit(workspace: &Workspace, flags: &Audit) -> Outcome<u8> {
    let snapshot = snapshot(workspace, &flags.wanted, &flags.stop, false)?;
    if let Some(address) = flags.walk {
        return walk(&snapshot, address.0);
    }
    let blob = Blob::of(&snapshot);
    let view = View::new(&snapshot, &blob);
    let audited = match &view.info {
        Ok(info) => audit::audit(&snapshot, info).map_err(str::to_owned),
        Err(trouble) => Err(trouble.to_string()),
    };
    let good = audited.as_ref().is_ok_and(|audited| audited.findings.is_empty());
    let text = if flags.json {
        format!("{:#}\n", as_json(&snapshot.title, &audited))
    } else {
        as_text(&snapshot.title, &audited, Style::stdout())
    };
    if flags.json {
        output::print(&text)?
    } else {
        output::print_text(&text)?
    };
    Ok(if good { 0 } else { STATUS_WRONG })
}

/// Explains one translation. An address that is not mapped is a result too, with its own status.
fn walk(snapshot: &Snapshot, address: u64) -> Outcome<u8> {
    let (words, mapped) = view::walk(snapshot, address);
    output::print(&format!("{}\n", words.join("\n")))?;
    Ok(if mapped { 0 } else { STATUS_WRONG })
}

fn as_text(title: &str, audited: &Result<Audited, String>, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&format!("{title}, audited")));
    let audited = match audited {
        Ok(audited) => audited,
        Err(words) => return format!("{text}{}  {words}\n", style.bad("FAIL")),
    };
    for rule @ ErrorDoc { code, name, .. } in Finding::CATALOG {
        let found: Vec<_> = audited.findings.iter().filter(|finding| finding.code() == *code).collect();
        let mark = if found.is_empty() { style.good("pass") } else { style.bad("FAIL") };
        text.push_str(&format!("{mark}  E{code:04}  {name:21}  {}\n", errors::meaning(rule)));
        for finding in found {
            text.push_str(&format!("             {finding}\n"));
        }
    }
    let summary = audited.summary;
    text.push_str(&format!(
        "{} tables, {} runs, {} mapped: {} of {} rules broken\n",
        summary.tables,
        summary.runs,
        readable(summary.mapped),
        Finding::CATALOG
            .iter()
            .filter(|rule| audited.findings.iter().any(|finding| finding.code() == rule.code))
            .count(),
        Finding::CATALOG.len(),
    ));
    text
}

fn as_json(title: &str, audited: &Result<Audited, String>) -> serde_json::Value {
    match audited {
        Err(words) => json!({ "title": title, "good": false, "error": words }),
        Ok(audited) => json!({
            "title": title,
            "good": audited.findings.is_empty(),
            "error": null,
            "tables": audited.summary.tables,
            "runs": audited.summary.runs,
            "mapped": audited.summary.mapped,
            "rules": Finding::CATALOG.iter().map(|rule @ ErrorDoc { code, name, .. }| json!({
                "code": format!("E{code:04}"),
                "rule": name,
                "meaning": errors::meaning(rule),
                "pass": !audited.findings.iter().any(|finding| finding.code() == *code),
                "findings": audited.findings.iter().filter(|finding| finding.code() == *code)
                    .map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
    }
}
