//! How a boot differs from a plan of it: every number of both, one beside the other.

use serde_json::Value;

use super::json::json;
use super::snapshot::Snapshot;
use super::view::{Blob, View};

/// What only a running machine knows, or what is not of the boot itself.
const UNKNOWN: [(&str, &str); 10] = [
    ("/boot_info", "timeline"),
    ("/boot_info", "log"),
    ("/boot_info", "entropy"),
    ("/boot_info/machine", "timer_frequency"),
    ("", "title"),
    ("", "origin"),
    ("", "entry"),
    ("", "good"),
    ("", "moment"),
    ("", "recordings"),
];

/// Every difference, in words.
pub fn differences(planned: &Snapshot, found: &Snapshot) -> Vec<String> {
    let [planned, found] = [planned, found].map(|snapshot| {
        let blob = Blob::of(snapshot);
        let mut value = json(&View::new(snapshot, &blob));
        for (place, key) in UNKNOWN {
            if let Some(object) = value.pointer_mut(place).and_then(Value::as_object_mut) {
                object.remove(key);
            }
        }
        value
    });
    let mut words = Vec::new();
    compare("", &planned, &found, &mut words);
    words
}

fn compare(path: &str, planned: &Value, found: &Value, words: &mut Vec<String>) {
    match (planned, found) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            for (key, value) in one {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, value, &other[key], words);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (value, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), value, other, words);
            }
        }
        (planned, found) if planned == found => {}
        (planned, found) => words.push(format!("{path}: planned {planned}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::dump;

    #[test]
    fn a_number_that_differs_is_named_with_both_values() {
        let found = dump::decode(include_bytes!("../../tests/data/virt-el2.core")).unwrap();
        assert_eq!(differences(&found, &found), [] as [String; 0]);
        let mut planned = found.clone();
        // A leaf of the kernel's tables: UXN is not shown, PXN is.
        let root = planned.kernel_tables().unwrap();
        let Some(shared_abi::page_table::Node::Leaf { at, .. }) =
            root.nodes(&found).find(|node| matches!(node, shared_abi::page_table::Node::Leaf { .. }))
        else {
            panic!("nothing is mapped")
        };
        let blob = Blob::of(&found);
        let first = View::new(&found, &blob).runs[0];
        assert_eq!(first.virt, at);
        planned.registers.insert("TTBR1_EL1".into(), 0);
        let words = differences(&planned, &found);
        assert!(words.iter().any(|line| line.starts_with("tables: planned 1, found ")), "{words:?}");
    }
}
