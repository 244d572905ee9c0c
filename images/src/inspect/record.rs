//! Any table of a `BootInfo` by its layout: for what no report has a place of its own for.

use serde_json::{Map, Value as Json, json};
use shared_abi::boot_info::{BootInfo, Layout, TableId, Value};

/// The tables of later versions than ABI 1.0, whose tables the text and the page show in places of their own.
pub fn others(info: &BootInfo<'_>) -> impl Iterator<Item = TableId> {
    let there = |table: &&TableId| **table > TableId::SYMBOLS && !info.table_bytes(**table).is_empty();
    TableId::ALL.iter().filter(there).copied()
}

/// A table in lines, a record each.
pub fn lines(info: &BootInfo<'_>, table: TableId) -> Vec<String> {
    let Some(layout) = table.layout() else {
        return String::from_utf8_lossy(info.table_bytes(table)).lines().map(str::to_owned).collect();
    };
    let line = |record| {
        let fields: Vec<_> =
            fields(info, layout, record).map(|(name, value)| format!("{name} {value}")).collect();
        fields.join(", ")
    };
    info.raw_records(table).map(line).collect()
}

/// A table as JSON: an object, `null` or an array of objects by how many records it may have; bytes as a string.
pub fn json(info: &BootInfo<'_>, table: TableId) -> Json {
    let Some(layout) = table.layout() else {
        return String::from_utf8_lossy(info.table_bytes(table)).into();
    };
    let object = |record| {
        let fields = fields(info, layout, record);
        let object: Map<_, _> = fields.map(|(name, value)| (name.to_owned(), value_json(value))).collect();
        Json::Object(object)
    };
    let mut records = info.raw_records(table).map(object);
    if table.limit() == 1 { records.next().into() } else { records.collect() }
}

/// The fields of a record, without what is reserved; the names without the kind of address.
fn fields<'a>(
    info: &BootInfo<'a>,
    layout: &'static Layout,
    record: &'a [u8],
) -> impl Iterator<Item = (&'static str, Value<'a>)> {
    let info = *info;
    let said = layout.fields.iter().filter(|field| field.name != "reserved");
    said.map(move |field| {
        let name = field.name.strip_prefix("phys_").or(field.name.strip_prefix("virt_"));
        (name.unwrap_or(field.name), info.value(field, record))
    })
}

fn value_json(value: Value<'_>) -> Json {
    match value {
        Value::Number(number) => number.into(),
        Value::Name(text) | Value::Text(text) => text.into(),
        Value::Hex(_) | Value::Bytes(_) => json!(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::dump;
    use crate::inspect::view::{Blob, View};

    #[test]
    fn a_table_without_a_place_of_its_own_is_shown_by_its_layout() {
        let snapshot = dump::decode(include_bytes!("../../tests/data/virt-el2.core")).unwrap();
        let blob = Blob::of(&snapshot);
        let view = View::new(&snapshot, &blob);
        let info = view.info.as_ref().unwrap();
        assert_eq!(
            lines(info, TableId::CPUS)[1],
            "mpidr 1, release 0x0, enable_method psci, flags 0x0, node 0"
        );
        assert_eq!(json(info, TableId::INITRD), json!({ "start": "0x48000000", "length": 5000 }));
        assert_eq!(json(info, TableId::CPUS)[1]["enable_method"], "psci");
        assert_eq!(json(info, TableId::ACPI), "");
        assert_eq!(json(info, TableId::LOG), String::from_utf8_lossy(info.log().bytes).as_ref());
        // Every table of ABI 1.0 has its place.
        assert_eq!(others(info).next(), None);
    }
}
