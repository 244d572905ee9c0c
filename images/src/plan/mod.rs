//! The boot, decided without booting: the loader's own story on the host, up to what the kernel would find.
//!
//! ```text
//! image ─┐
//! tree  ─┼─► Host ─► the loader's story ──► Snapshot, as inspect reads one
//! places ┘           elfloader::boot
//! ```
//!
//! The result is a [`Snapshot`] that no machine was stopped for: tables, `BootInfo` and registers as they would be at
//! the kernel's first instruction, so whatever shows or audits a stopped machine shows and audits a plan. What only
//! a running machine knows is missing: the timeline, most of the log, the timer's frequency, the kernel's random bytes.

mod environment;
pub mod firmware;
mod source;
mod tables;

pub use source::BootSource;

use std::collections::BTreeMap;

use elfloader::boot::{self, LoaderParts, Ready, Scratch};
use elfloader::boot_facts::Entered;
use elfloader::device_tree::{self, Pruned};
use elfloader::layout;
use elfloader::platform::Machine;
use shared_abi::addr::{PAGE, PhysAddr, PhysRange};
use shared_abi::contract::registers::{DAIF, PhysicalSize};
use zerocopy::IntoBytes;

use crate::failure::{Failure, Outcome};
use crate::inspect::snapshot::{Origin, Snapshot};
use crate::loader::Parts;
use environment::Host;
use firmware::Places;

/// EL1h, the stack pointer of its own (Arm ARM C5.2.19).
const EL1H: u64 = 0b0101;

/// The first address of RAM that a tree states; `None` if it states none.
pub fn ram_base(tree: &[u8]) -> Outcome<Option<u64>> {
    let (words, mut pruned, mut machine) = (aligned(tree), Box::new(Pruned::new()), Box::new(Machine::new()));
    device_tree::describe(&words.as_bytes()[..tree.len()], &mut pruned, &mut machine)?;
    Ok(machine.memory.iter().map(|memory| memory.range.start().get()).min())
}

/// What of a device tree the loader reads, as a device tree.
pub fn prune(tree: &[u8]) -> Outcome<Vec<u8>> {
    let (words, mut pruned) = (aligned(tree), Box::new(Pruned::new()));
    device_tree::prune(&words.as_bytes()[..tree.len()], &mut pruned)?;
    Ok(pruned.as_bytes().to_vec())
}

/// The bytes at a multiple of 8, where firmware puts them.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0; bytes.len().div_ceil(8)];
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    words
}

/// Decides everything. What the boot would refuse is a [`Failure`] with the code of the refusal.
pub fn plan_boot(source: &BootSource<'_>) -> Outcome<Snapshot> {
    let mut boot_info = aligned(&vec![0; layout::BOOT_INFO.len() as usize]);
    let planned = boot(source, boot_info.as_mut_bytes())?;
    let mut snapshot =
        Snapshot { title: source.title.clone(), origin: Origin::Planned, ..Snapshot::default() };
    snapshot.registers = entry_registers(&planned, source.physical_size);
    snapshot.memory = planned.tables;
    let pages = boot_info.as_bytes().chunks_exact(PAGE as usize);
    let starts = (planned.boot_info.start().get()..planned.boot_info.end()).step_by(PAGE as usize);
    snapshot.memory.extend(starts.zip(pages).map(|(start, page)| (start, page.to_vec())));
    snapshot.join_runs();
    Ok(snapshot)
}

/// What a boot leaves for the kernel, beside the contents of `BootInfo`.
struct Planned {
    ready: Ready,
    boot_info: PhysRange,
    /// The tables' pages by physical address.
    tables: BTreeMap<u64, Vec<u8>>,
    /// TTBR0_EL1, TTBR1_EL1 and VBAR_EL1.
    roots: [u64; 3],
}

/// Boots on the host, and leaves `BootInfo` in the room for it.
fn boot(source: &BootSource<'_>, boot_info: &mut [u8]) -> Outcome<Planned> {
    let (image, tree) = (aligned(source.image), aligned(source.tree.unwrap_or_default()));
    let Places { image: start, tree: tree_start, argument, level, .. } = source.places;
    let part = |(from, to): (u64, u64)| phys(start.saturating_add(from), to - from, "the loader");
    let Parts { text, stub, data, tables, secondary, secondary_entry, .. } = source.loader;
    let mut pruned = Box::new(Pruned::new());
    let mut host = Host {
        source,
        loader: LoaderParts {
            all: part((0, tables.1))?,
            resident: part((text.0, data.1))?,
            stub: part(stub)?,
            secondary: part(secondary)?,
            secondary_entry: part((secondary_entry, secondary_entry))?.start(),
            tables: part(tables)?,
        },
        memory: [
            (
                phys(tree_start, 0, "the device tree")?.start(),
                &tree.as_bytes()[..source.tree.map_or(0, <[u8]>::len)],
            ),
            (phys(start, 0, "the image")?.start(), &image.as_bytes()[..source.image.len()]),
        ],
        boot_info,
        made: Default::default(),
        roots: [0; 3],
        boot_cpu: 0,
        log: String::new(),
    };
    let entered = Entered { arguments: [argument, 0, 0, 0], level, flags: source.places.flags() };
    let mut scratch = Box::<Scratch<'_>>::default();
    let ready = boot::boot(&mut host, entered, &mut pruned, &mut scratch)?;
    let (boot_info, tables) = host.made;
    Ok(Planned { ready, boot_info, tables, roots: host.roots })
}

fn phys(start: u64, length: u64, what: &str) -> Outcome<PhysRange> {
    let range = PhysAddr::new(start).and_then(|start| PhysRange::new(start, length));
    range.ok_or_else(|| {
        Failure::new(
            format!("{what} cannot lie at {start:#x}"),
            "give an address below 2^48 with room behind it",
        )
    })
}

/// Registers by the names that a stopped machine's have.
fn entry_registers(planned: &Planned, size: PhysicalSize) -> BTreeMap<String, u64> {
    let Planned { ready, roots: [ttbr0, ttbr1, vbar], .. } = planned;
    let named = [
        ("x0", ready.boot_info.get()),
        ("sp", ready.stack_top),
        ("pc", ready.entry.get()),
        ("cpsr", DAIF | EL1H),
        ("TTBR0_EL1", *ttbr0),
        ("TTBR1_EL1", *ttbr1),
        ("VBAR_EL1", *vbar),
        ("ID_AA64MMFR0_EL1", size.encoding().into()),
    ];
    let general = (1..=30).map(|number| (format!("x{number}"), 0));
    let contract = ready.registers.each().map(|(register, value)| (register.name.to_owned(), value));
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(general).chain(contract).collect()
}
