//! What the machine is and what was handed over with it, in words: the same for the terminal and for the page.

use shared_abi::boot_info::{BootInfo, CpuFlags, EnableMethod};

use super::view::View;

/// A label, empty for the first line, and what there is to say.
pub type Line = (&'static str, String);

/// Every line.
pub fn lines(view: &View<'_>, info: &BootInfo<'_>) -> Vec<Line> {
    let platform = info.platform();
    let psci = match platform.psci_version {
        0 => "no PSCI".to_owned(),
        version => {
            let conduit = platform.psci_conduit.name().unwrap_or("unknown");
            format!("PSCI {}.{} by {conduit}", version >> 16, version & 0xFFFF)
        }
    };
    let timer = match platform.timer_frequency {
        0 => "timer of unknown frequency".to_owned(),
        frequency => format!("timer {frequency} Hz"),
    };
    let mut lines = vec![(
        "",
        format!(
            "entered at EL{}, {}-bit physical addresses, {timer}, {psci}, exit by {}",
            platform.entry_exception_level,
            platform.phys_address_bits,
            platform.exit.name().unwrap_or("unknown")
        ),
    )];
    for cpu in info.cpus() {
        // A machine with one CPU need not state how another is started.
        let method = match cpu.enable_method {
            EnableMethod::UNKNOWN => "no enable method",
            method => method.name().unwrap_or("unknown enable method"),
        };
        let boot = if cpu.flags.contains(CpuFlags::BOOT) { "  boots" } else { "" };
        lines.push(("CPU", format!("{:#012x}  node {}  {method}{boot}", cpu.mpidr, cpu.node)));
    }
    if let Some(console) = info.console() {
        let kind = console.kind().map_or("unknown", |kind| kind.name());
        let places = format!("{kind} at {:#x}, mapped at {:#018x}", console.phys_base, console.virt_base);
        lines.push(("console", places));
    }
    let image = info.firmware_image();
    lines.push(("image", format!("{}, x0 = {:#x}", image.phys(), image.entry_arguments[0])));
    if let Some(tree) = info.device_tree() {
        let source = platform.tree_source.name().unwrap_or("unknown");
        lines.push(("tree", format!("{}, from {source}", tree.phys())));
    }
    lines.extend(info.initrd().map(|initrd| ("initrd", initrd.phys().to_string())));
    for module in info.modules() {
        lines.push(("module", format!("{}  {}", module.phys(), info.string(module.name))));
    }
    lines.push(("command", format!("{:?}", info.command_line())));
    if let (Some(entropy), true) = (info.entropy(), view.has_run()) {
        let (credited, slide) = (entropy.credited_bits, entropy.slide_credited_bits);
        lines.push(("entropy", format!("{credited} bits for the kernel, {slide} for its address")));
    }
    lines
}
