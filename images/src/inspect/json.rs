//! A view as JSON. Addresses are hexadecimal strings, since JSON's numbers stop at 2⁵³; sizes are numbers.

use serde_json::{Map, Value, json};
use shared_abi::boot_info::{BootInfo, TableId};
use shared_abi::page_table::Run;

use super::program::Section;
use super::view::{Trouble, View, memory_type, run_rights};
use super::{moment_text, record, recordings};

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

/// The whole view.
pub fn json(view: &View<'_>) -> Value {
    let trouble = |trouble: &Trouble| match trouble {
        Trouble::Missing(words) => json!({ "code": null, "field": null, "words": words }),
        Trouble::Damaged(error, inside) => {
            let blamed = inside.as_ref().unwrap_or(error);
            json!({
                "code": format!("E{:04}", error.code()),
                "field": blamed.field(),
                "words": trouble.to_string(),
            })
        }
    };
    let mut value = json!({
        "title": view.snapshot.title,
        "origin": view.snapshot.origin,
        "good": view.is_good(),
        "entry": view.lines.iter().map(|line| json!({
            "what": line.what.trim(),
            "expected": line.expected,
            "found": line.found,
            "holds": line.holds,
        })).collect::<Vec<_>>(),
        "boot_info": view.info.as_ref().ok().map(|info| boot_info(view, info)),
        "boot_info_error": view.info.as_ref().err().map(trouble),
        "mappings": mappings(view, &view.runs),
        "tables": view.tables,
    });
    if let Some(moment) = &view.snapshot.moment {
        value["moment"] = moment_text::json(moment);
    }
    if !view.low_runs.is_empty() {
        value["user_mappings"] = mappings(view, &view.low_runs);
    }
    if let Some(plan) = &view.snapshot.plan {
        value["plan_differences"] = json!(plan);
    }
    if let Some(parts) = &view.snapshot.parts {
        let section = |section: &Section| json!({ "name": section.name, "start": hex(section.start), "length": section.length });
        let sections: Vec<_> = parts.sections.iter().map(section).collect();
        value["kernel_file"] = json!({ "entry": parts.entry, "sections": sections });
    }
    let recordings = view.info.as_ref().map(|info| recordings::of_info(view.snapshot, info));
    if let Ok(recordings) = recordings
        && !recordings.is_empty()
    {
        value["recordings"] = recordings::json(&recordings);
    }
    value
}

fn mappings(view: &View<'_>, runs: &[Run]) -> Value {
    let mapping = |run: &Run| {
        json!({
            "virt": hex(run.virt.get()),
            "phys": hex(run.phys.get()),
            "length": run.length,
            "level": run.level,
            "rights": run_rights(run),
            "memory": memory_type(run.attributes),
            "purpose": view.purpose(run.virt.get()),
        })
    };
    runs.iter().map(mapping).collect()
}

/// The stages of the boot.
pub fn timeline(view: &View<'_>) -> Value {
    let stage = |(name, start, length): &(&str, u64, u64)| json!({ "stage": name, "ticks": start, "length": length, "microseconds": view.microseconds(*length) });
    view.stages().iter().map(stage).collect()
}

/// Every table under its name, and what of ABI 1.0 is shown in a shape of its own.
fn boot_info(view: &View<'_>, info: &BootInfo<'_>) -> Value {
    let mut object = Map::from_iter([
        ("ram".to_owned(), info.total_ram().into()),
        ("free".to_owned(), info.free_bytes().into()),
    ]);
    for &table in TableId::ALL {
        let key = match table {
            // Seen through what names them.
            TableId::STRINGS | TableId::SYMBOLS => continue,
            TableId::EXTENTS => "extents".to_owned(),
            TableId::PLATFORM => "machine".to_owned(),
            TableId::FIRMWARE_IMAGE => "image".to_owned(),
            _ => table.to_string().to_lowercase().replace(' ', "_"),
        };
        object.insert(key, table_json(view, info, table));
    }
    Value::Object(object)
}

fn table_json(view: &View<'_>, info: &BootInfo<'_>, table: TableId) -> Value {
    match table {
        TableId::MEMORY_MAP => info
            .memory_map()
            .map(|region| {
                json!({
                    "start": hex(region.phys_start),
                    "length": region.length,
                    "kind": region.kind().to_string(),
                    "free": region.is_free(),
                    "node": region.node,
                    "name": info.string(region.name),
                })
            })
            .collect(),
        TableId::KERNEL => {
            let kernel = info.kernel();
            json!({
                "name": info.string(kernel.name),
                "link_base": hex(kernel.virt_link_base),
                "slide": hex(kernel.slide),
                "entry": hex(kernel.virt_entry),
                "start": hex(kernel.virt_start),
                "length": kernel.length,
                "pages": {
                    "in_place": kernel.pages_in_place,
                    "copied": kernel.pages_copied,
                    "zeroed": kernel.pages_zeroed,
                },
                "relocations": kernel.relocations,
            })
        }
        TableId::EXTENTS => info
            .extents()
            .map(|extent| {
                json!({
                    "virt": hex(extent.virt_start),
                    "phys": hex(extent.phys_start),
                    "length": extent.length,
                    "rights": extent.rights().to_string(),
                    "origin": extent.origin.name(),
                    "segment": extent.segment,
                })
            })
            .collect(),
        TableId::WINDOWS => info
            .windows()
            .map(|window| {
                json!({
                    "name": window.id.name(),
                    "start": hex(window.virt_start),
                    "length": window.length,
                })
            })
            .collect(),
        TableId::BOOT_STACK => {
            let stack = info.boot_stack();
            json!({ "guard": hex(stack.virt_guard), "bottom": hex(stack.virt_bottom), "top": hex(stack.virt_top) })
        }
        TableId::PAGE_TABLES => {
            let tables = info.page_tables();
            json!({ "root": hex(tables.phys_root_high), "count": tables.table_count })
        }
        TableId::REGISTERS => info
            .registers()
            .map(|register| {
                json!({
                    "name": register.id.name().map_or_else(|| hex(register.id.0.into()), str::to_owned),
                    "value": hex(register.value),
                })
            })
            .collect(),
        TableId::CONSOLE => json!(info.console().map(|console| json!({
            "kind": console.kind().map(|kind| kind.name()),
            "phys": hex(console.phys_base),
            "virt": hex(console.virt_base),
        }))),
        TableId::PLATFORM => {
            let platform = info.platform();
            json!({
                "model": info.string(platform.model),
                "exception_level": platform.entry_exception_level,
                "timer_frequency": platform.timer_frequency,
                "psci": platform.psci_version,
                "conduit": platform.psci_conduit.name(),
                "exit": platform.exit.name(),
                "tree_source": platform.tree_source.name(),
                "phys_address_bits": platform.phys_address_bits,
            })
        }
        TableId::CPUS => info
            .cpus()
            .map(|cpu| {
                json!({
                    "mpidr": hex(cpu.mpidr),
                    "node": cpu.node,
                    "enable_method": cpu.enable_method.name(),
                })
            })
            .collect(),
        TableId::FIRMWARE_IMAGE => {
            let image = info.firmware_image();
            json!({
                "start": hex(image.phys_image),
                "length": image.image_length,
                "arguments": image.entry_arguments.map(hex),
            })
        }
        TableId::DEVICE_TREE => json!(
            info.device_tree().map(|tree| json!({ "start": hex(tree.phys_start), "length": tree.length }))
        ),
        TableId::MODULES => info
            .modules()
            .map(|module| {
                json!({
                    "name": info.string(module.name),
                    "start": hex(module.phys_start),
                    "length": module.length,
                })
            })
            .collect(),
        TableId::COMMAND_LINE => info.command_line().into(),
        TableId::ENTROPY => json!(info.entropy().map(|entropy| json!({
            "credited_bits": entropy.credited_bits,
            "slide_credited_bits": entropy.slide_credited_bits,
        }))),
        TableId::TIMELINE => timeline(view),
        _ => record::json(info, table),
    }
}
