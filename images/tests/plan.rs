//! What `plan` says of a boot that has not happened, on the machine that a kept device tree describes.

mod support;
#[path = "../../elfloader/tests/tree_builder/mod.rs"]
mod tree_builder;

use images::failure::{Failure, Outcome};
use images::inspect::snapshot::Snapshot;
use images::inspect::view::{Blob, View};
use images::inspect::{audit, html, text};
use images::loader::Parts;
use images::machine::{Machine, WayIn};
use images::pack::{Contents, Payload, pack};
use images::plan::firmware::{self, Load};
use images::plan::{BootSource, plan_boot, ram_base};
use images::style::Style;
use shared_abi::contract::registers::PhysicalSize;
use shared_abi::image::Kind;
use support::{assert_golden, contents};
use tree_builder::Tree;

const TREE: &[u8] = include_bytes!("../../elfloader/tests/trees/virt.dtb");

/// As the sample image's loader would have them: a page each, and the tables.
const PARTS: Parts = Parts {
    text: (0x1000, 0x2000),
    stub: (0x1000, 0x2000),
    constants: (0x2000, 0x2000),
    data: (0x2000, 0x3000),
    secondary: (0x2000, 0x3000),
    secondary_entry: 0x1000,
    tables: (0x3000, 0x7000),
    vectors: 0xFFFF_0080_0000_1800,
};

/// A plan of the sample image; `change` makes it another one.
fn plan(change: impl FnOnce(&mut Contents, &mut BootSource<'_>)) -> Outcome<Snapshot> {
    let mut contents = Contents { loader: vec![0xD5; 0x8000], ..contents() };
    let mut source = source()?;
    change(&mut contents, &mut source);
    let image = pack(&contents)?.bytes;
    plan_boot(&BootSource { image: &image, ..source })
}

/// All but the image, as QEMU has it.
fn source() -> Outcome<BootSource<'static>> {
    let load = Load { base: ram_base(TREE)?.unwrap(), memory: 128 << 20, image: 0x11020, initrd: 0 };
    Ok(BootSource {
        title: "sample on virt".into(),
        image: &[],
        loader: PARTS,
        tree: Some(TREE),
        places: firmware::places(Machine::DEFAULT, WayIn::Image, load).unwrap(),
        initrd: None,
        physical_size: PhysicalSize::from_id(2),
        slide: None,
        direct_map: None,
    })
}

/// Puts the tree, and what says where it is, elsewhere.
fn move_tree(source: &mut BootSource<'_>, to: u64) {
    (source.places.tree, source.places.argument) = (to, to);
}

fn refused(change: impl FnOnce(&mut Contents, &mut BootSource<'_>)) -> Failure {
    plan(change).unwrap_err()
}

#[test]
fn a_plan_is_shown_as_a_boot_is() {
    let snapshot = plan(|_, _| ()).unwrap();
    let blob = Blob::of(&snapshot);
    let view = View::new(&snapshot, &blob);
    assert!(view.is_good(), "{:?}", view.info);
    assert_golden("plan.txt", &text::text(&view, Style::PLAIN));
    let page = html::html(&view);
    assert!(page.contains("<h2>Physical memory") && !page.contains("<h2>Timeline"));
}

#[test]
fn what_is_planned_keeps_every_rule_of_the_contract() {
    let snapshot = plan(|_, _| ()).unwrap();
    let bytes = snapshot.boot_info().unwrap();
    let info = shared_abi::boot_info::BootInfo::decode(&bytes).unwrap();
    let audited = audit::audit(&snapshot, &info).unwrap();
    assert!(audited.findings.is_empty(), "{:?}", audited.findings);
    assert!(audited.summary.tables > 5);
}

#[test]
fn the_same_things_give_the_same_plan_and_places_are_where_they_are_asked_for() {
    assert_eq!(plan(|_, _| ()).unwrap(), plan(|_, _| ()).unwrap());
    let moved = plan(|_, source| {
        source.places.image = 0x4660_0000;
        source.direct_map = Some(0xFFFF_9000_0000_0000);
    });
    let moved = moved.unwrap();
    let bytes = moved.boot_info().unwrap();
    let info = shared_abi::boot_info::BootInfo::decode(&bytes).unwrap();
    assert_eq!(info.firmware_image().phys_image, 0x4660_0000);
    assert_eq!(info.direct_map().virt_offset, 0xFFFF_9000_0000_0000);
}

#[test]
fn each_refusal_has_the_code_that_the_boot_would_print() {
    let code = |failure: Failure| failure.code().unwrap_or_else(|| panic!("{failure}"));
    // A fixed kernel cannot be slid, nor the direct map lie between gibibytes.
    assert_eq!(code(refused(|_, source| source.slide = Some(0x20_0000))) / 100, 2);
    assert_eq!(code(refused(|_, source| source.direct_map = Some(0xFFFF_8000_0000_1000))) / 100, 2);
    // The image and the tree share bytes; the image lies in no RAM.
    let overlap = refused(|_, source| move_tree(source, source.places.image + 0x1000));
    assert_eq!(code(overlap) / 100, 5);
    assert_eq!(code(refused(|_, source| source.places.image = 0x2000_0000)) / 100, 5);
    // The tree is cut short.
    assert_eq!(code(refused(|_, source| source.tree = Some(&TREE[..64]))) / 100, 4);
    // No address at all is nothing that a boot could meet.
    assert_eq!(refused(|_, source| source.places.image = 1 << 60).code(), None);
}

#[test]
fn a_tree_that_is_not_used_is_not_compared_with_its_digest() {
    let image = {
        let tree = Payload { kind: Kind::DEVICE_TREE, name: String::new(), bytes: TREE.to_vec() };
        let mut contents = Contents { loader: vec![0xD5; 0x8000], ..contents() };
        contents.more.push(tree);
        let mut image = pack(&contents).unwrap().bytes;
        let at = image.windows(TREE.len()).position(|window| window == TREE).unwrap();
        image[at + TREE.len() - 1] ^= 1;
        image
    };
    let source = source().unwrap();
    let with = |tree| plan_boot(&BootSource { image: &image, tree, ..source.clone() });
    assert!(with(Some(TREE)).is_ok());
    assert_eq!(with(None).unwrap_err().code(), Some(140));
}

#[test]
fn the_early_console_is_looked_at_before_the_tree() {
    let both = refused(|contents, source| {
        contents.more[0].bytes = b"earlycon=sbi".to_vec();
        source.tree = Some(&TREE[..64]);
    });
    assert_eq!(both.code(), Some(431));
}

#[test]
fn a_tree_is_looked_for_where_the_boot_looks() {
    // Nowhere, at an address that no tree can have, and where the processor cannot read.
    assert_eq!(refused(|_, source| source.tree = None).code(), Some(802));
    assert_eq!(refused(|_, source| move_tree(source, source.places.tree + 4)).code(), Some(802));
    assert_eq!(refused(|_, source| move_tree(source, 1 << 41)).code(), Some(802));
}

#[test]
fn what_a_boot_would_go_on_without_is_said() {
    let tree = Tree::new()
        .node("memory@40000000", |t| {
            t.text("device_type", "memory")
                .cells("reg", &[0, 0x4000_0000, 0, 0x800_0000])
                .bytes("numa-node-id", &[1])
        })
        .node("psci", |t| t.text("compatible", "arm,psci-1.0"))
        .finish();
    let snapshot = plan(|_, source| source.tree = Some(Box::leak(tree.into_boxed_slice()))).unwrap();
    let blob = Blob::of(&snapshot);
    let shown = text::text(&View::new(&snapshot, &blob), Style::PLAIN);
    let line = "device tree: ignored numa-node-id of \"memory@40000000\", which is malformed";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn boot_info_has_room_for_as_many_names_as_there_are_modules() {
    let snapshot = plan(|contents, _| {
        for number in 0..40 {
            let name = format!("{number:0>31}");
            contents.more.push(Payload { kind: Kind::MODULE, name, bytes: vec![1; 16] });
        }
    });
    assert_eq!(snapshot.err().map(|failure| failure.to_string()), None);
}
