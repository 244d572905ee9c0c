//! What trees of real machines state, booted: RAM that is not ours, more than fits, values that are malformed.

use libtest_mimic::Failed;
use shared_abi::image::BootFlags;

use crate::Behaviour;
use crate::early::image;
use crate::handoff::{Ended, Scratch, handoff};
use crate::tree_builder::Tree;

/// QEMU `virt` with 256 MiB, as far as a boot needs to know it; the root is still open.
fn machine(memory: &[u32], chosen: impl FnOnce(Tree) -> Tree) -> Tree {
    Tree::new()
        .text("model", "a board")
        .node("memory@40000000", |t| t.text("device_type", "memory").cells("reg", memory))
        .node("chosen", |t| chosen(t.text("stdout-path", "/pl011@9000000")))
        .node("pl011@9000000", |t| {
            t.text("compatible", "arm,pl011").cells("reg", &[0, 0x900_0000, 0, 0x1000])
        })
}

/// All of the RAM.
const RAM: [u32; 4] = [0, 0x4000_0000, 0, 0x1000_0000];

/// Boots `hello` with such a tree packed, on a machine that hands over none.
fn boots(name: &str, flags: BootFlags, tree: Tree) -> Result<Ended, Failed> {
    let file = Scratch::new(&format!("{name}.img"), &image(flags, 0, "", &tree.finish())?)?;
    handoff(&["run", "--image", file.path(), "--machine", "virt-odd", "--timeout", "60"])
}

fn good(name: &str, tree: Tree) -> Result<Ended, Failed> {
    boots(name, BootFlags::SEMIHOSTING, tree)?.expect_status(0)
}

pub fn all() -> Vec<Behaviour> {
    vec![
        Behaviour::new("ram_outside_the_chosen_usable_range_is_not_ours", || {
            // The memory node says 8 GiB, of which there are 256 MiB.
            let usable = |t: Tree| t.cells("linux,usable-memory-range", &[0, 0x4A00_0000, 0, 0x400_0000]);
            let ended = good("usable-range", machine(&[0, 0x4000_0000, 2, 0], usable))?;
            ended.expect_said("RAM 64 MiB")?.expect_said("0x000000004e000000 usable").map(drop)
        }),
        Behaviour::new("ram_outside_linux_usable_memory_is_not_ours", || {
            // The image lies in the first of them.
            let tree = machine(&[0, 0x4A00_0000, 0, 0x200_0000], |t| t).node("memory@40000000", |t| {
                t.text("device_type", "memory")
                    .cells("reg", &RAM)
                    .cells("linux,usable-memory", &[0, 0x4E00_0000, 0, 0x200_0000])
            });
            let ended = good("usable-memory", tree)?.expect_said("RAM 64 MiB")?;
            ended.expect_said("0x000000004e000000–0x0000000050000000 usable").map(drop)
        }),
        Behaviour::new("persistent_memory_is_no_ram", || {
            let tree = machine(&[0, 0x4000_0000, 0, 0xC00_0000], |t| t).node("memory@4c000000", |t| {
                t.text("device_type", "pmem")
                    .text("compatible", "pmem-region")
                    .cells("reg", &[0, 0x4C00_0000, 0, 0x100_0000])
            });
            good("pmem", tree)?.expect_said("RAM 192 MiB")?.expect_said("0x000000004c000000 usable").map(drop)
        }),
        Behaviour::new("many_scattered_reservations_and_pools_boot", || {
            let reserved = |t: Tree| {
                let t = t.cells("#address-cells", &[2]).cells("#size-cells", &[2]).cells("ranges", &[]);
                let fixed = |t: Tree, at: u32| {
                    t.node(&format!("r{at}"), |t| t.cells("reg", &[0, 0x4400_0000 + at * 0x2000, 0, 0x1000]))
                };
                let pool = |t: Tree, at: u32| {
                    t.node(&format!("pool{at}"), |t| t.cells("size", &[0x10_0000]).bytes("reusable", &[]))
                };
                (0..20).fold((0..120).fold(t, fixed), pool)
            };
            let ended = good("scattered", machine(&RAM, |t| t).node("reserved-memory", reserved))?;
            let said = "device tree: ignored \"pool16\", since the machine has more than 16 reserved ranges";
            ended.expect_said(said)?.expect_said("r119")?.expect_said("verdict: good").map(drop)
        }),
        Behaviour::new("values_that_a_boot_can_lack_are_named_and_ignored", || {
            let chosen = |t: Tree| t.bytes("bootargs", &[]).bytes("linux,initrd-start", &[]);
            let tree = machine(&RAM, chosen).node("psci", |t| t.text("compatible", "arm,psci-1.0")).node(
                "cpus",
                |t| {
                    let cpu = |t: Tree| t.cells("reg", &[0x8000_0000]).cells("numa-node-id", &[u32::MAX]);
                    t.cells("#address-cells", &[1]).cells("#size-cells", &[0]).node("cpu@0", cpu)
                },
            );
            let mut ended = good("odd-values", tree)?.expect_said("verdict: good")?;
            for (property, node) in [
                ("bootargs", "chosen"),
                ("linux,initrd-start", "chosen"),
                ("method", "psci"),
                ("numa-node-id", "cpu@0"),
            ] {
                let said = format!("device tree: ignored {property} of \"{node}\", which is malformed");
                ended = ended.expect_said(&said)?;
            }
            ended.expect_said("ignored what reg of \"cpu@0\" states beside the affinity").map(drop)
        }),
        Behaviour::new("a_refused_tree_is_told_on_the_console_that_it_names", || {
            // Nobody listens to semihosting, and no console is named beforehand.
            let ended = boots("refused-tree", BootFlags::empty(), machine(&RAM[..3], |t| t))?;
            ended.expect_status(101)?.expect_said("error E0415").map(drop)
        }),
    ]
}
