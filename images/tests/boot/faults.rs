//! A fault is reported with its syndrome, its address and its place, and is the one that was about to happen.

use libtest_mimic::Failed;
use serde_json::Value;

use crate::Behaviour;
use crate::handoff::{Folder, boot, handoff, number};

/// A fault of the example kernel: its word, what the syndrome says, and the label of the instruction that faults.
struct Fault {
    word: &'static str,
    syndrome: &'static str,
    label: Option<&'static str>,
}

const FAULTS: [Fault; 14] = [
    // TTBR0 walks are disabled, so nothing was walked: level 0.
    Fault {
        word: "null-read",
        syndrome: "data abort on a read: translation fault, level 0",
        label: Some("fault_read"),
    },
    Fault {
        word: "physical-read",
        syndrome: "data abort on a read: translation fault, level 0",
        label: Some("fault_read"),
    },
    Fault { word: "null-call", syndrome: "instruction abort: translation fault, level 0", label: None },
    Fault {
        word: "text-write",
        syndrome: "data abort on a write: permission fault, level 3",
        label: Some("fault_write"),
    },
    Fault {
        word: "constant-write",
        syndrome: "data abort on a write: permission fault, level 3",
        label: Some("fault_write"),
    },
    Fault {
        word: "boot-info-write",
        syndrome: "data abort on a write: permission fault, level 3",
        label: Some("fault_write"),
    },
    Fault {
        word: "alias-write",
        syndrome: "data abort on a write: permission fault, level ",
        label: Some("fault_write"),
    },
    Fault { word: "data-jump", syndrome: "instruction abort: permission fault, level 3", label: None },
    Fault { word: "stack-jump", syndrome: "instruction abort: permission fault, level 3", label: None },
    Fault { word: "direct-map-jump", syndrome: "instruction abort: permission fault, level ", label: None },
    Fault {
        word: "stack-overflow",
        syndrome: "data abort on a write: translation fault, level 3",
        label: Some("fault_stack"),
    },
    // The reporter's own accesses are not aligned.
    Fault {
        word: "unaligned-read",
        syndrome: "data abort on a read: alignment fault",
        label: Some("fault_unaligned"),
    },
    Fault { word: "undefined", syndrome: "", label: Some("fault_undefined") },
    Fault {
        word: "refused",
        syndrome: "BRK #0xb007\n  the kernel refused its BootInfo: error E0609\n",
        label: Some("fault_refused"),
    },
];

/// Whose vectors report: the words before the syndrome, and the word that asks for them.
const REPORTERS: [(&str, &str, &str); 2] =
    [("loader", "kernel fault, reported by the loader: ", ""), ("kernel", "kernel fault: ", " own")];

pub fn all() -> Vec<Behaviour> {
    let each = |reporter: &'static (&str, &str, &str)| {
        FAULTS.iter().map(move |fault| {
            let (who, title, asked) = *reporter;
            let name = format!("the_{who}_reports_{}", fault.word.replace('-', "_"));
            Behaviour::new(name, move || reported(fault, title, asked))
        })
    };
    let mut list: Vec<_> = REPORTERS.iter().flat_map(each).collect();
    list.push(Behaviour::new("a_fault_is_kept_with_its_explanation", kept));
    list
}

/// The report as JSON, and a dump that shows the fault once more.
fn kept() -> Result<(), Failed> {
    let folder = Folder::new("fault")?;
    let line = ["--append", "null-read own", "--json", "--keep", folder.path()];
    let ended = boot("fault", &line)?.expect_status(103)?;
    let report: Value = serde_json::from_str(&ended.console)?;
    let said = |pointer: &str| report.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let holds = said("/moment/fault/address") == "0x8"
        && said("/moment/fault/what").contains("a null pointer")
        && said("/moment/fault/help") == said("/help")
        && said("/moment/cpus/0/frames/0/places/0/function") == "fault_read";
    ended.expect(holds, "the report does not explain the fault")?;
    let dump = folder.path().to_owned() + "/failure.core";
    let ended =
        handoff(&["inspect", "--from", &dump])?.expect_said("a field 0x8 bytes behind a null pointer")?;
    // A boot that does not fail leaves no dump of a failure behind.
    handoff(&["run", "hello", "--quiet", "--keep", folder.path()])?.expect_status(0)?;
    let is_left = std::path::Path::new(&dump).exists();
    ended.expect(!is_left, "the dump of an earlier boot is left").map(drop)
}

fn reported(fault: &Fault, title: &str, asked: &str) -> Result<(), Failed> {
    let line = format!("{}{asked}", fault.word);
    let ended = boot("fault", &["--append", &line])?.expect_status(103)?;
    let ended = ended.expect_said(&format!("{title}{}", fault.syndrome))?;
    let about = ended.after("about to ")?.to_owned();
    let (place, address) =
        about.split_once(" at ").and_then(|(_, rest)| rest.split_once(", ")).unwrap_or_default();
    let at = ended.after("  at ")?.to_owned();
    let ended =
        ended.expect(number(&at).is_some() && number(&at) == number(place), "it is another instruction")?;
    let ended = match fault.label {
        Some(label) => ended.expect(at.contains(label), "the instruction's label is not told")?,
        None => ended,
    };
    // What was called has not called any further: x30 has the caller.
    let ended = ended.expect_said("  (x30)   0x")?;
    let caller = ended.after("  (x30)   ")?.to_owned();
    let ended = ended.expect(caller.contains("kmain"), "the caller has no name")?;
    let ended = match fault.word {
        "physical-read" => {
            ended.expect_said("; as a physical address, 0xffff")?.expect_said(" in the direct map\n")?
        }
        _ => ended,
    };
    if ["undefined", "refused"].contains(&fault.word) {
        return Ok(());
    }
    let far = number(ended.after("  address ")?);
    let ended = ended.expect(far.is_some() && far == number(address), "it is another address")?;
    // The tool's own words beside it: what the address is, and the caller with its line.
    ended
        .expect_words(&format!("\naddress {:#018x}: ", far.unwrap_or_default()))?
        .expect_words("fault::faults::kmain+0x")?
        .expect_words(" at kernel/examples/fault.rs:")
        .map(drop)
}
