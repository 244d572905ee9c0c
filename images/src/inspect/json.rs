//! A view as JSON. Addresses are hexadecimal strings, since JSON's numbers stop at 2⁵³; sizes are numbers.

use serde_json::{Value, json};
use shared_abi::boot_info::BootInfo;

use super::view::{Trouble, View, memory_type, rights};

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
    json!({
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
        "mappings": view.runs.iter().map(|run| json!({
            "virt": hex(run.virt.get()),
            "phys": hex(run.phys.get()),
            "length": run.length,
            "level": run.level,
            "rights": rights(run.attributes),
            "memory": memory_type(run.attributes),
            "purpose": view.purpose(run.virt.get()),
        })).collect::<Vec<_>>(),
        "tables": view.tables,
    })
}

/// The stages of the boot.
pub fn timeline(view: &View<'_>) -> Value {
    let stage = |(name, start, length): &(&str, u64, u64)| json!({ "stage": name, "ticks": start, "length": length, "microseconds": view.microseconds(*length) });
    view.stages().iter().map(stage).collect()
}

fn boot_info(view: &View<'_>, info: &BootInfo<'_>) -> Value {
    let (kernel, platform, stack) = (info.kernel(), info.platform(), info.boot_stack());
    let (image, tables, direct) = (info.firmware_image(), info.page_tables(), info.direct_map());
    json!({
        "memory_map": info.memory_map().map(|region| json!({
            "start": hex(region.phys_start),
            "length": region.length,
            "kind": region.kind().to_string(),
            "free": region.is_free(),
            "node": region.node,
            "name": info.string(region.name),
        })).collect::<Vec<_>>(),
        "ram": info.total_ram(),
        "free": info.free_bytes(),
        "kernel": {
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
        },
        "extents": info.extents().map(|extent| json!({
            "virt": hex(extent.virt_start),
            "phys": hex(extent.phys_start),
            "length": extent.length,
            "rights": extent.rights().to_string(),
            "origin": extent.origin.name(),
            "segment": extent.segment,
        })).collect::<Vec<_>>(),
        "windows": info.windows().map(|window| json!({
            "name": window.id.name(),
            "start": hex(window.virt_start),
            "length": window.length,
        })).collect::<Vec<_>>(),
        "direct_map": { "offset": hex(direct.virt_offset), "start": hex(direct.phys_start), "end": hex(direct.phys_end) },
        "boot_stack": { "guard": hex(stack.virt_guard), "bottom": hex(stack.virt_bottom), "top": hex(stack.virt_top) },
        "page_tables": { "root": hex(tables.phys_root_high), "count": tables.table_count },
        "registers": info.registers().map(|register| json!({
            "name": register.id.name().map_or_else(|| hex(register.id.0.into()), str::to_owned),
            "value": hex(register.value),
        })).collect::<Vec<_>>(),
        "console": info.console().map(|console| json!({
            "kind": console.kind().map(|kind| kind.name()),
            "phys": hex(console.phys_base),
            "virt": hex(console.virt_base),
        })),
        "machine": {
            "model": info.string(platform.model),
            "exception_level": platform.entry_exception_level,
            "timer_frequency": platform.timer_frequency,
            "psci": platform.psci_version,
            "conduit": platform.psci_conduit.name(),
            "exit": platform.exit.name(),
            "tree_source": platform.tree_source.name(),
            "phys_address_bits": platform.phys_address_bits,
        },
        "cpus": info.cpus().map(|cpu| json!({
            "mpidr": hex(cpu.mpidr),
            "node": cpu.node,
            "enable_method": cpu.enable_method.name(),
        })).collect::<Vec<_>>(),
        "image": {
            "start": hex(image.phys_image),
            "length": image.image_length,
            "arguments": image.entry_arguments.map(hex),
        },
        "device_tree": info.device_tree().map(|tree| json!({ "start": hex(tree.phys_start), "length": tree.length })),
        "initrd": info.initrd().map(|initrd| json!({ "start": hex(initrd.phys_start), "length": initrd.length })),
        "modules": info.modules().map(|module| json!({
            "name": info.string(module.name),
            "start": hex(module.phys_start),
            "length": module.length,
        })).collect::<Vec<_>>(),
        "command_line": info.command_line(),
        "entropy": info.entropy().map(|entropy| json!({
            "credited_bits": entropy.credited_bits,
            "slide_credited_bits": entropy.slide_credited_bits,
        })),
        "timeline": timeline(view),
        "log": String::from_utf8_lossy(info.log().bytes),
    })
}
