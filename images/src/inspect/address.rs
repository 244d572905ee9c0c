//! What the address of a fault is, and what to do about it.
//!
//! The narrowest thing that an address is of explains it: the page at 0, a guard, a segment, physical memory or a device
//! that is used as if it were mapped. What the tables say of it by now comes first, since a fault on what is allowed is
//! a missing barrier.

use kernel::heap::checked;
use shared_abi::addr::{PhysAddr, VirtAddr};
use shared_abi::boot_info::{BootInfo, WindowId};
use shared_abi::page_table::TableSource;
use shared_abi::rights::Rights;
use shared_abi::syndrome::{Access, Cause, FaultKind, Syndrome};
use shared_abi::vmsa::Descriptor;

use super::device;
use super::snapshot::Snapshot;
use super::view::{memory_type, rights};
use crate::size::readable;

/// An explanation: what it is, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What it is.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// What an instruction wanted of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Read,
    Write,
    Execute,
}

/// Addresses below are those of a null pointer and a field behind it.
const NULL: u64 = 0x1_0000;

/// The low half (bits 63 to 48 all 0).
const LOW: u64 = 1 << 48;

fn explained(what: impl Into<String>, help: impl Into<String>) -> Explanation {
    Explanation { what: what.into(), help: help.into() }
}

/// What the kernel library's checked heap fills memory with, and what such a pointer was read from.
const FILLINGS: [(u8, &str); 3] = [
    (checked::FREED, "memory that was freed"),
    (checked::FRESH, "memory that was allocated and never written"),
    (checked::RED, "memory in front of a block or behind it"),
];

/// Bytes behind the kernel's last segment that it most likely means to be its own.
const BEHIND: u64 = 1 << 20;

/// Explains a fault of the instruction `word`. `entry` tells what was handed over, `now` the tables and registers at the
/// fault.
pub fn explain(
    syndrome: Syndrome,
    word: Option<u32>,
    address: Option<u64>,
    entry: &Snapshot,
    now: &Snapshot,
) -> Explanation {
    let bytes = entry.boot_info().unwrap_or_default();
    let info = BootInfo::decode(&bytes).ok();
    if syndrome.cause() == Cause::Unknown {
        return undefined(word, info.as_ref());
    }
    if let Some(explanation) = without_address(syndrome) {
        return explanation;
    }
    let Some(address) = address else {
        return explained("the syndrome gives no address", "look at the code around PC");
    };
    let (wanted, fault) = match syndrome.cause() {
        Cause::InstructionAbort(abort) => (Wanted::Execute, abort.fault),
        Cause::DataAbort(abort, Access::Read) => (Wanted::Read, abort.fault),
        Cause::DataAbort(abort, _) => (Wanted::Write, abort.fault),
        _ => {
            return explained(
                "an exception that no kernel of Handoff's makes by itself",
                "look at the code around PC",
            );
        }
    };
    match fault.kind {
        FaultKind::Alignment => return alignment(address, now),
        FaultKind::External | FaultKind::ExternalOnWalk | FaultKind::Parity | FaultKind::ParityOnWalk => {
            return explained(
                "the bus answered with an error: nothing is there, or not for this width of access",
                "check the physical address behind it, and the width that the device wants",
            );
        }
        _ => {}
    }
    if let Some(leaf) = leaf(now, address)
        && allows(leaf, wanted)
    {
        return explained(
            format!("mapped {}, {} by now: the CPU went by an older entry", rights(leaf), memory_type(leaf)),
            "after a change of the tables: DSB ISHST, TLBI of the address, DSB ISH, ISB",
        );
    }
    place(address, wanted, info.as_ref(), entry, now)
}

fn without_address(syndrome: Syndrome) -> Option<Explanation> {
    Some(match syndrome.cause() {
        _ if syndrome.is_refusal() => explained(
            "the kernel refused its BootInfo: x0 holds the error's code",
            "handoff explain E0… with that code says what to do",
        ),
        Cause::Breakpoint(_) => explained(
            "a BRK: an abort or a trap that the compiler put there",
            "see which function it is in, frame #0",
        ),
        Cause::FloatingPointTrap => explained(
            "a floating-point or SIMD instruction while CPACR_EL1.FPEN traps it",
            "build for aarch64-unknown-none-softfloat (-mgeneral-regs-only), or set CPACR_EL1.FPEN and an ISB first",
        ),
        Cause::StackPointerAlignment => explained(
            "SP is no multiple of 16",
            "keep SP a multiple of 16 whenever it is the base of an access",
        ),
        Cause::ProgramCounterAlignment => explained(
            "PC is no multiple of 4",
            "see who called: a function pointer or return address is damaged",
        ),
        Cause::IllegalState => {
            explained("an exception return to a state that is not allowed", "check SPSR before the ERET")
        }
        Cause::SupervisorCall(_) | Cause::HypervisorCall(_) | Cause::SecureMonitorCall(_) => {
            explained("a call that nobody answers", "see which PSCI conduit BootInfo names, or handle SVC")
        }
        Cause::SystemRegister(_) => explained(
            "a system register that this CPU lacks or that is trapped",
            "check the CPU's ID registers before it is used, or choose another CPU by --cpu",
        ),
        Cause::SystemError(_) => explained(
            "a bus error that came late: an earlier store or device access went wrong",
            "put a DSB behind the device accesses one by one to see which",
        ),
        _ => return None,
    })
}

/// Explains an instruction that is none here.
fn undefined(word: Option<u32>, info: Option<&BootInfo<'_>>) -> Explanation {
    // Load-and-operate and compare-and-swap (Arm ARM C4.1.94).
    let is_atomic =
        |word: u32| matches!(word & 0x3F20_0C00, 0x3820_0000) || matches!(word & 0x3FA0_7C00, 0x08A0_7C00);
    match word {
        Some(0) => explained(
            "zeros where code ought to be",
            "see who called, and whether the linker script loads what lies there",
        ),
        // `hvc` and `smc` with any number.
        Some(word) if matches!(word & 0xFFE0_001F, 0xD400_0002 | 0xD400_0003) => {
            let conduit = info.and_then(|info| info.platform().psci_conduit.name()).unwrap_or("none");
            explained(
                format!("{} where nobody answers it", if word & 1 == 0 { "HVC" } else { "SMC" }),
                format!("call firmware by the conduit that BootInfo names: {conduit}"),
            )
        }
        Some(word) if is_atomic(word) => explained(
            "an atomic instruction of Armv8.1 (LSE), which this CPU lacks",
            "build for Armv8.0 (no +lse, -moutline-atomics), or choose another CPU by --cpu",
        ),
        _ => explained(
            "an undefined instruction: data, or an instruction that this CPU lacks",
            "compare the code at PC with the kernel's file; if it is right, choose another CPU by --cpu",
        ),
    }
}

fn alignment(address: u64, now: &Snapshot) -> Explanation {
    let memory = leaf(now, address).map(memory_type);
    if let Some(memory) = memory.filter(|memory| memory.starts_with("Device")) {
        return explained(
            format!("an access that is not aligned to its size, to {memory} memory"),
            "access device registers by aligned loads and stores of their width: read_volatile of a u32",
        );
    }
    // SCTLR_EL1.A is bit 1.
    match now.register("SCTLR_EL1").is_some_and(|sctlr| sctlr & 1 << 1 != 0) {
        true => explained(
            "an access that is not aligned to its size, and SCTLR_EL1.A has the CPU check that",
            "clear SCTLR_EL1.A, as it was at entry, or build with strict alignment",
        ),
        false => explained(
            "an access that must be aligned: an atomic or exclusive one",
            "align the variable to its size",
        ),
    }
}

/// The leaf that maps an address.
fn leaf(snapshot: &Snapshot, virt: u64) -> Option<Descriptor> {
    let tree = match virt >> 48 {
        0 if snapshot.register("TCR_EL1")? & 1 << 7 == 0 => snapshot.user_tables()?,
        0xFFFF => snapshot.kernel_tables()?,
        _ => return None,
    };
    let mut table = tree.root();
    for level in 0..4_u8 {
        let shift = 39 - 9 * u32::from(level);
        let entry =
            snapshot.entry(table, (virt >> shift & 0x1FF) as usize).filter(|entry| entry.is_valid())?;
        if !entry.is_table(level) {
            return Some(entry);
        }
        table = entry.address().frame();
    }
    None
}

fn allows(leaf: Descriptor, wanted: Wanted) -> bool {
    // The access flag is bit 10.
    let rights = rights(leaf);
    leaf.bits() & 1 << 10 != 0
        && match wanted {
            Wanted::Read => true,
            Wanted::Write => rights.contains('w'),
            // SCTLR_EL1.WXN: what can be written cannot be executed.
            Wanted::Execute => rights.ends_with('x') && !rights.contains('w'),
        }
}

fn place(
    address: u64,
    wanted: Wanted,
    info: Option<&BootInfo<'_>>,
    entry: &Snapshot,
    now: &Snapshot,
) -> Explanation {
    if address < NULL {
        return match wanted {
            // Nobody has called it: x30 is as it was handed over.
            Wanted::Execute if address == 0 && now.register("x30") == Some(0) => explained(
                "the kernel returned from its entry function, which nobody called",
                "end the machine by PSCI, or wait for interrupts in a loop",
            ),
            Wanted::Execute => explained(
                "the null page: a call or return to 0",
                "see who called: a function pointer was never set",
            ),
            _ if address == 0 => explained("the null page: a null pointer", "see where frame #0 has it from"),
            _ => explained(
                format!("the null page: a field {address:#x} bytes behind a null pointer"),
                "see where frame #0 has the pointer from",
            ),
        };
    }
    if address < LOW {
        return low(address, info, entry, now);
    }
    if let Some((_, from)) = FILLINGS.iter().find(|(byte, _)| is_filling(address, *byte)) {
        return explained(
            format!(
                "a pointer that was read from {from}: the checked heap fills it with {:#x}",
                address >> 56
            ),
            "see where frame #0 has it from, and who frees the block that it is in",
        );
    }
    if address >> 48 != 0xFFFF {
        return explained(
            "no address of either half: bits 63 to 48 are neither all 0 nor all 1",
            match wanted {
                Wanted::Execute => {
                    "a return address or a function pointer was overwritten: see who called or returned"
                }
                _ => "the pointer was overwritten, or is data: see where frame #0 has it from",
            },
        );
    }
    let unmapped = leaf(now, address).is_none();
    if unmapped && leaf(entry, address).is_some() {
        return explained(
            "mapped at entry, and no longer: the kernel has unmapped it",
            "see what unmaps it, in the differences from the kernel's first instruction",
        );
    }
    let Some(info) = info else {
        return explained(
            "an address in the high half",
            "BootInfo cannot be read, so nobody knows whose it is",
        );
    };
    high(address, wanted, info, entry, unmapped)
}

/// Whether an address is a filling, with the offset of a field or without.
fn is_filling(address: u64, byte: u8) -> bool {
    address >> 16 == u64::from_le_bytes([byte; 8]) >> 16
}

/// An address in the low half, where nothing is mapped at entry: most likely a physical one.
fn low(address: u64, info: Option<&BootInfo<'_>>, entry: &Snapshot, now: &Snapshot) -> Explanation {
    let walks = |snapshot: &Snapshot| snapshot.register("TCR_EL1").is_none_or(|tcr| tcr & 1 << 7 == 0);
    if !walks(now) && now.register("TTBR0_EL1") != entry.register("TTBR0_EL1") {
        return explained(
            "TTBR0_EL1 has tables of the kernel's own, but TCR_EL1.EPD0 still disables walks through it",
            "clear TCR_EL1.EPD0, and ISB",
        );
    }
    let console = info.and_then(BootInfo::console);
    if let Some(console) = console.filter(|console| address.wrapping_sub(console.phys_base) < console.length)
    {
        let virt = console.virt_base + (address - console.phys_base);
        return explained(
            format!("a physical address used as a pointer: {address:#x} is the console's registers"),
            format!("use its virtual address, {virt:#018x}: BootInfo's console names it"),
        );
    }
    if let Some(name) = device_tree(entry).and_then(|tree| device::at(&tree, address)) {
        return explained(
            format!("a physical address used as a pointer: {address:#x} is {name}'s registers"),
            format!("map {name} as device memory, and use the virtual address"),
        );
    }
    let region = info.and_then(|info| {
        let phys = PhysAddr::new(address)?;
        let region = info.memory_map().find(|region| region.range().contains(phys))?;
        Some((region.kind().to_string(), info.direct_map().virt(phys)))
    });
    match region {
        Some((kind, alias)) => explained(
            format!("a physical address used as a pointer: {address:#x} is RAM, {kind}"),
            match alias {
                Some(alias) => format!("use its virtual address in the direct map, {:#018x}", alias.get()),
                None => "map it, and use the virtual address".to_owned(),
            },
        ),
        None if !walks(now) => explained(
            "an address in the low half, whose walks TCR_EL1.EPD0 disables",
            "set TTBR0_EL1 and clear TCR_EL1.EPD0 for user space, or use an address in the high half",
        ),
        None => explained(
            "an address of user space that is not mapped",
            "map it, or see where the pointer is from",
        ),
    }
}

fn high(address: u64, wanted: Wanted, info: &BootInfo<'_>, entry: &Snapshot, unmapped: bool) -> Explanation {
    let inside =
        |range: shared_abi::addr::VirtRange| VirtAddr::new(address).is_some_and(|at| range.contains(at));
    let stack = info.boot_stack();
    if inside(stack.guard()) {
        let size = readable(stack.range().len());
        return explained(
            format!("the guard below the boot stack: its {size} are used up"),
            "see the backtrace for a recursion or a large local; the kernel's note can ask for a larger stack",
        );
    }
    if let Some(extent) = info.extents().find(|extent| inside(extent.virt())) {
        let (number, rights) = (extent.segment, extent.rights());
        return match (wanted, rights) {
            (Wanted::Write, Rights::ReadExecute) => explained(
                format!("code: segment {number} is r-x"),
                "write through a mapping of its own that is not executable, and make the caches follow",
            ),
            (Wanted::Write, _) => explained(
                format!("constants: segment {number} is r--"),
                "make it mutable data (static mut, no const), or see what the pointer ought to point to",
            ),
            _ => explained(
                format!("data: segment {number} is {rights}, and nothing there is executed"),
                "see who called: a function pointer or return address is damaged; put code into .text",
            ),
        };
    }
    if inside(info.kernel().range()) {
        return explained(
            "between two segments of the kernel, where nothing is mapped",
            "a linker script that loads what lies there, such as .bss, is missing a segment, or an index is too large",
        );
    }
    let end = info.kernel().range().end();
    if (end..end.saturating_add(BEHIND)).contains(&address) && unmapped {
        return explained(
            format!("{:#x} bytes behind the kernel's last segment", address - end),
            "a linker script that loads what lies there, such as .bss, is missing a segment, or an end symbol or an index \
             is too large",
        );
    }
    if inside(stack.range()) {
        return explained(
            "the boot stack, where nothing is executed",
            "a return address on the stack is damaged",
        );
    }
    if info.window(WindowId::BOOT_INFO).is_some_and(inside) {
        return explained("BootInfo, which is read-only", "copy what is to be changed");
    }
    // The map itself is as long as RAM; what is computed by its offset may lie anywhere in its window.
    if inside(info.direct_map().range()) || info.window(WindowId::DIRECT_MAP).is_some_and(inside) {
        return direct_map(address, wanted, info, entry, unmapped);
    }
    if info.window(WindowId::HEAP).is_some_and(inside) {
        return explained(
            "a page of the heap's window that is not mapped: never allocated, or freed since",
            "see where frame #0 has the pointer from, and who frees what it points to",
        );
    }
    let windows = info.windows().filter(|window| inside(window.range()));
    let name = windows.min_by_key(|window| window.length).and_then(|window| window.id.name());
    match name {
        Some(name) if unmapped => {
            explained(format!("a page of the {name} window that is not mapped"), "map it before it is used")
        }
        Some(name) => {
            explained(format!("the {name} window, not for this access"), "see its rights with audit --walk")
        }
        None => explained(
            "an address in the high half that belongs to nothing",
            "the pointer was computed wrong or overwritten: see where frame #0 has it from",
        ),
    }
}

fn direct_map(
    address: u64,
    wanted: Wanted,
    info: &BootInfo<'_>,
    entry: &Snapshot,
    unmapped: bool,
) -> Explanation {
    let phys = address.wrapping_sub(info.direct_map().virt_offset);
    let region =
        PhysAddr::new(phys).and_then(|at| info.memory_map().find(|region| region.range().contains(at)));
    let kind = region.map_or_else(|| "no RAM".to_owned(), |region| region.kind().to_string());
    if wanted == Wanted::Execute {
        return explained(
            format!("the direct map's view of physical {phys:#x} ({kind}), where nothing is executed"),
            "map code that is loaded later at an address of its own, r-x",
        );
    }
    if unmapped {
        return match device_tree(entry).and_then(|tree| device::at(&tree, phys)) {
            Some(name) => explained(
                format!("the direct map holds RAM only: physical {phys:#x} is {name}'s registers"),
                format!("map {name} as device memory at an address of its own"),
            ),
            None => explained(
                format!("a hole of the direct map: physical {phys:#x} is {kind}"),
                "see the memory map: what is not listed, or not to be mapped, has no address there",
            ),
        };
    }
    explained(
        format!("the direct map's view of physical {phys:#x} ({kind}), which is read-only"),
        "see docs/contract.md for what may be written: a region's kind says it",
    )
}

/// The device tree that was handed over.
pub fn device_tree(entry: &Snapshot) -> Option<Vec<u8>> {
    let bytes = entry.boot_info().ok()?;
    let tree = BootInfo::decode(&bytes).ok()?.device_tree()?;
    entry.bytes(tree.phys_start, tree.length).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests;
