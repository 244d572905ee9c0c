//! What each statement of a tree becomes, and each way in which one can be wrong. Real trees are in `tests/`.

use shared_abi::addr::PhysRange;
use shared_abi::uart::UartKind;
use zerocopy::IntoBytes;

use super::pruned::CAPACITY;
use super::*;
use crate::platform::{Conduit, EnableMethod, Machine, PsciVersion};
use crate::tree_builder::Tree;

/// Runs `test` on what the loader makes of a tree, which it copies to where trees must lie.
fn read<T>(tree: &[u8], test: impl FnOnce(Result<Survey, TreeError<'_>>, &Machine<'_>) -> T) -> T {
    let mut words = vec![0u64; tree.len().div_ceil(8)];
    let aligned = &mut words.as_mut_bytes()[..tree.len()];
    aligned.copy_from_slice(tree);
    let (mut pruned, mut machine) = (Pruned::new(), Machine::new());
    let result = describe(aligned, &mut pruned, &mut machine);
    test(result, &machine)
}

fn machine<T>(tree: Tree, test: impl FnOnce(&Machine<'_>) -> T) -> T {
    read(&tree.finish(), |result, machine| {
        result.unwrap();
        test(machine)
    })
}

/// The error's code and line.
fn refusal(tree: &[u8]) -> (u16, String) {
    read(tree, |result, _| {
        let error = result.unwrap_err();
        (error.code(), error.to_string())
    })
}

/// What is ignored in a tree that is accepted.
fn remarks(tree: Tree) -> Vec<String> {
    machine(tree, |machine| {
        machine.remarks.lines().map(|line| line.to_string().replace("device tree: ignored ", "")).collect()
    })
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::from_bounds(start, end).unwrap()
}

#[test]
fn memory_is_every_entry_of_every_node_that_is_okay() {
    let tree = Tree::new()
        .node("memory@0", |t| {
            t.cells("reg", &[0, 0x1000, 0, 0x1001, 1, 0, 0, 0x10]).cells("numa-node-id", &[7])
        })
        .node("memory@80000000", |t| {
            t.cells("reg", &[0, 0x8000_0000, 0, 0x1000]).text("device_type", "memory").text("status", "ok")
        })
        .node("dimm", |t| t.cells("reg", &[0, 0x9000_0000, 0, 0x1000]).text("device_type", "memory"))
        .node("secram@e000000", |t| {
            t.text("status", "disabled").text("device_type", "memory").cells("reg", &[0, 0, 0, 0x1000])
        })
        .node("memory@a0000000", |t| t.cells("reg", &[0, 0xA000_0000, 0, 0x1000]).text("status", "reserved"))
        .node("memory-controller@b0000000", |t| t.cells("reg", &[0, 0xB000_0000, 0, 0x1000]))
        .node("memory@c0000000", |t| t.cells("reg", &[0, 0xC000_0000, 0, 0]))
        .node("soc", |t| t.node("memory@0", |t| t.text("device_type", "memory").cells("reg", &[0, 0, 9])));
    machine(tree, |machine| {
        let found: Vec<_> = machine.memory.iter().map(|memory| (memory.range, memory.node)).collect();
        assert_eq!(
            found,
            [
                (range(0x1000, 0x2001), 7),
                (range(0x1_0000_0000, 0x1_0000_0010), 7),
                (range(0x8000_0000, 0x8000_1000), 0),
                (range(0x9000_0000, 0x9000_1000), 0),
            ]
        );
    });
}

#[test]
fn memory_above_48_bits_is_left_out() {
    let tree = Tree::new()
        .node("memory@a", |t| t.cells("reg", &[0xFFFF, 0xFFFF_F000, 0, 0x3000]))
        .node("memory@b", |t| t.cells("reg", &[0xFFFF_FFFF, 0xFFFF_F000, 0, 0x1000]));
    machine(tree, |machine| {
        assert_eq!(machine.memory.len(), 1);
        assert_eq!(machine.memory[0].range, range(0xFFFF_FFFF_F000, 1 << 48));
    });
    let wraps = Tree::new().node("memory@b", |t| t.cells("reg", &[0xFFFF_FFFF, 0xFFFF_F000, 0, 0x1001]));
    assert_eq!(
        refusal(&wraps.finish()),
        (
            416,
            "the device tree's range 0xfffffffffffff000 of 0x1001 bytes in \"memory@b\" wraps round"
                .to_string()
        )
    );
}

#[test]
fn what_is_called_memory_and_says_that_it_is_something_else_is_no_ram() {
    let reg = |t: Tree| t.cells("reg", &[0, 0x1000, 0, 0x1000]);
    let is_ram = |fill: fn(Tree) -> Tree| {
        let tree = Tree::new().node("memory@1000", |t| fill(reg(t)));
        machine(tree, |machine| !machine.memory.is_empty())
    };
    assert!(is_ram(|t| t));
    assert!(is_ram(|t| t.text("device_type", "memory").text("compatible", "vendor,dimm")));
    assert!(is_ram(|t| t.text("device_type", "memory").bytes("hotpluggable", &[])));
    assert!(!is_ram(|t| t.text("device_type", "pmem")));
    assert!(!is_ram(|t| t.text("device_type", "pmem").text("compatible", "pmem-region")));
    assert!(!is_ram(|t| t.text("compatible", "pmem-region")));
    assert!(!is_ram(|t| t.text("compatible", "mmio-sram")));
    assert!(!is_ram(|t| t.text("device_type", "memory").text("compatible", "vendor,x\0pmem-region")));
    assert!(!is_ram(|t| t.bytes("device_type", b"memory")));
    let elsewhere =
        Tree::new().node("dimm", |t| reg(t).text("device_type", "memory").text("compatible", "pmem-region"));
    machine(elsewhere, |machine| assert!(machine.memory.is_empty()));
}

#[test]
fn ram_is_what_linux_usable_memory_leaves_of_it() {
    let memory = |tree: Tree| {
        machine(tree, |machine| machine.memory.iter().map(|memory| memory.range).collect::<Vec<_>>())
    };
    let reg = |t: Tree| t.cells("reg", &[0, 0x1000, 0, 0x9000]);
    let usable = |t: Tree| t.cells("linux,usable-memory", &[0, 0x3000, 0, 0x1000, 0, 0x6000, 0, 0x1000]);
    let expected = [range(0x3000, 0x4000), range(0x6000, 0x7000)];
    assert_eq!(memory(Tree::new().node("memory@1000", |t| usable(reg(t)))), expected);
    assert_eq!(memory(Tree::new().node("memory@1000", usable)), expected);
    assert_eq!(memory(Tree::new().node("memory@1000", |t| reg(t).bytes("linux,usable-memory", &[]))), []);
    let odd = Tree::new().node("memory@1000", |t| reg(t).cells("linux,usable-memory", &[0, 1]));
    assert_eq!(refusal(&odd.finish()).0, 415);
}

#[test]
fn ram_is_what_the_chosen_usable_ranges_leave_of_it() {
    let tree = |cells: &[u32]| {
        Tree::new()
            .node("memory@1000", |t| t.cells("reg", &[0, 0x1000, 0, 0x4000]).cells("numa-node-id", &[1]))
            .node("chosen", |t| t.cells("linux,usable-memory-range", cells))
            .node("memory@9000", |t| t.cells("reg", &[0, 0x9000, 0, 0x1000]))
    };
    let memory = |cells: &[u32]| {
        machine(tree(cells), |machine| {
            machine.memory.iter().map(|memory| (memory.range, memory.node)).collect::<Vec<_>>()
        })
    };
    assert_eq!(memory(&[0, 0x2000, 0, 0x1000]), [(range(0x2000, 0x3000), 1)]);
    assert_eq!(
        memory(&[0, 0x9800, 0, 0x8000, 0, 0, 0, 0x1800]),
        [(range(0x9800, 0xA000), 0), (range(0x1000, 0x1800), 1)]
    );
    assert_eq!(memory(&[0, 0x100_0000, 0, 0x1000]), []);
    for malformed in [&[0, 0x2000, 0][..], &[u32::MAX, u32::MAX, 0, 2]] {
        assert!(matches!(refusal(&tree(malformed).finish()).0, 415 | 416));
    }
    let most = [0, 0x2000, 0, 0].repeat(16);
    assert_eq!(memory(&most), []);
    assert_eq!(refusal(&tree(&[&most[..], &[0; 4]].concat()).finish()).0, 418);
}

#[test]
fn what_another_kernel_left_is_reserved() {
    let tree = |cells: &[u32]| {
        let chosen = |t: Tree| {
            t.cells("linux,elfcorehdr", cells).cells("linux,ima-kexec-buffer", &[0, 0x8000, 0, 0x20])
        };
        Tree::new().node("chosen", chosen)
    };
    machine(tree(&[0, 0x5000, 0, 0x1000]), |machine| {
        let found: Vec<_> = machine.reservations.iter().map(|r| (r.range, r.name)).collect();
        assert_eq!(
            found,
            [(range(0x5000, 0x6000), "linux,elfcorehdr"), (range(0x8000, 0x8020), "linux,ima-kexec-buffer")]
        );
    });
    assert_eq!(refusal(&tree(&[0, 0x5000, 0]).finish()).0, 415);
}

#[test]
fn what_the_boot_can_lack_is_ignored_and_named() {
    let chosen = |fill: fn(Tree) -> Tree| remarks(Tree::new().node("chosen", fill));
    assert_eq!(chosen(|t| t.bytes("bootargs", &[])), ["bootargs of \"chosen\", which is malformed"]);
    assert_eq!(chosen(|t| t.bytes("bootargs", b"\xff\0")), ["bootargs of \"chosen\", which is malformed"]);
    assert_eq!(chosen(|t| t.bytes("stdout-path", &[])), ["stdout-path of \"chosen\", which is malformed"]);
    assert_eq!(chosen(|t| t.bytes("kaslr-seed", &[1])), ["kaslr-seed of \"chosen\", which is malformed"]);
    assert_eq!(
        chosen(|t| t.bytes("linux,initrd-start", &[]).cells("linux,initrd-end", &[8])),
        ["linux,initrd-start of \"chosen\", which is malformed"]
    );
    let cpu = |fill: fn(Tree) -> Tree| {
        let cpus = |t: Tree| t.cells("#address-cells", &[1]).node("cpu@0", fill);
        Tree::new().node("cpus", cpus)
    };
    for (fill, property) in [
        ((|t| t) as fn(Tree) -> Tree, "reg"),
        (|t| t.cells("reg", &[0x0200_0000]), "reg"),
        (|t| t.cells("reg", &[1]).cells("numa-node-id", &[u32::MAX]), "numa-node-id"),
        (|t| t.cells("reg", &[1]).bytes("status", b"okay"), "status"),
        (|t| t.cells("reg", &[1]).bytes("enable-method", b"psci"), "enable-method"),
    ] {
        assert_eq!(remarks(cpu(fill)), [format!("{property} of \"cpu@0\", which is malformed")]);
        machine(cpu(fill), |machine| assert_eq!(machine.cpus.len(), usize::from(property != "reg")));
    }
    // The whole of MPIDR_EL1, of a processor with several threads.
    machine(cpu(|t| t.cells("reg", &[0x8100_0203])), |machine| {
        assert_eq!(machine.cpus[0].affinity(), 0x203);
        let remark = machine.remarks.lines().next().unwrap().to_string();
        assert_eq!(remark, "device tree: ignored what reg of \"cpu@0\" states beside the affinity");
    });
    let memory = |t: Tree| t.cells("reg", &[0, 0, 0, 9]).cells("numa-node-id", &[u32::MAX]);
    assert_eq!(
        remarks(Tree::new().node("memory", memory)),
        ["numa-node-id of \"memory\", which is malformed"]
    );
    let psci = |t: Tree| t.text("compatible", "arm,psci-1.0");
    machine(Tree::new().node("psci", psci), |machine| assert_eq!(machine.psci, None));
    let nine = (0..9).fold(Tree::new(), |t, at| t.node(&format!("memory@{at}"), memory));
    machine(nine, |machine| {
        let lines: Vec<_> = machine.remarks.lines().map(|line| line.to_string()).collect();
        assert_eq!((lines.len(), machine.remarks.count()), (9, 9));
        assert_eq!(lines[8], "device tree: ignored 1 more");
    });
}

#[test]
fn a_tree_that_is_refused_still_names_its_console() {
    let tree = Tree::new()
        .node("memory", |t| t.cells("reg", &[1]))
        .node("chosen", |t| t.text("stdout-path", "/serial"))
        .node("serial", |t| t.text("compatible", "arm,pl011").cells("reg", &[0, 0x1000, 0, 1]));
    read(&tree.finish(), |result, machine| {
        assert_eq!(result.unwrap_err().code(), 415);
        assert_eq!(machine.console.map(|console| console.base.get()), Some(0x1000));
    });
}

#[test]
fn wishes_for_room_are_dropped_where_there_are_too_many_and_demands_are_not() {
    let pools = |wishes: usize, demands: usize| {
        let pool = |t: Tree, reusable: bool| {
            t.node("pool", |t| {
                let t = t.cells("size", &[0x1000]);
                if reusable { t.bytes("reusable", &[]) } else { t }
            })
        };
        let all = |t| (0..wishes + demands).fold(t, |t, index| pool(t, index < wishes));
        Tree::new().node("reserved-memory", all)
    };
    let most = crate::platform::DYNAMIC_RESERVATIONS;
    machine(pools(most + 1, 0), |machine| {
        assert_eq!((machine.dynamic_reservations.len(), machine.remarks.count()), (most, 1));
    });
    // What must be placed takes the room of a wish.
    machine(pools(most, 1), |machine| {
        assert_eq!(machine.dynamic_reservations.iter().filter(|pool| pool.reusable).count(), most - 1);
    });
    assert_eq!(refusal(&pools(0, most + 1).finish()).0, 418);
}

#[test]
fn cells_are_one_or_two_and_two_and_one_where_nothing_is_said() {
    let one = Tree::default()
        .begin("")
        .cells("#size-cells", &[1])
        .cells("#address-cells", &[1])
        .node("memory", |t| t.cells("reg", &[0x1000, 0x2000]));
    machine(one, |machine| assert_eq!(machine.memory[0].range, range(0x1000, 0x3000)));
    let default = Tree::default().begin("").node("memory", |t| t.cells("reg", &[1, 0x1000, 0x2000]));
    machine(default, |machine| assert_eq!(machine.memory[0].range, range(0x1_0000_1000, 0x1_0000_3000)));
    for cells in [3, 9, u32::MAX] {
        let tree = Tree::default().begin("").cells("#address-cells", &[cells]);
        let tree = tree.node("memory", |t| t.cells("reg", &[0, 0, 0, 1]));
        assert_eq!(refusal(&tree.finish()).0, 415, "{cells} cells");
    }
    let uneven = Tree::new().node("memory", |t| t.cells("reg", &[0, 0, 1]));
    assert_eq!(
        refusal(&uneven.finish()),
        (415, "the device tree's reg of 0xc bytes in \"memory\" is malformed".to_string())
    );
}

/// A console below two buses of different cells; `inner` and `outer` are the buses' ranges.
fn bridged(outer: Option<&[u32]>, inner: Option<&[u32]>) -> Tree {
    let ranges = |tree: Tree, ranges: Option<&[u32]>| match ranges {
        Some(cells) => tree.cells("ranges", cells),
        None => tree,
    };
    Tree::new().node("chosen", |t| t.text("stdout-path", "/soc/bridge@1/serial@4000:9600")).node("soc", |t| {
        let t = t.cells("#address-cells", &[1]).cells("#size-cells", &[1]);
        ranges(t, outer).node("bridge@1", |t| {
            let t = t.cells("#address-cells", &[2]).cells("#size-cells", &[1]);
            ranges(t, inner).node("serial@4000", |t| {
                t.cells("reg", &[0, 0x4000, 0x100])
                    .text("compatible", "vendor,special\0snps,dw-apb-uart")
                    .cells("reg-shift", &[2])
                    .cells("reg-io-width", &[4])
                    .cells("clock-frequency", &[24_000_000])
            })
        })
    })
}

#[test]
fn a_console_is_translated_through_every_bus() {
    let outer: &[u32] = &[0x7000_0000, 0, 0x3F00_0000, 0x100_0000, 0x9000_0000, 8, 0, 0x10_0000];
    let inner: &[u32] = &[0, 0, 0x7000_0000, 0x1000, 0, 0x4000, 0x9000_1000, 0x1000];
    machine(bridged(Some(outer), Some(inner)), |machine| {
        let console = machine.console.unwrap();
        assert_eq!((console.kind, console.base.get()), (UartKind::Ns16550, 0x8_0000_1000));
        assert_eq!((console.register_shift, console.access_width), (2, 4));
        assert_eq!(console.clock, Some(24_000_000));
    });
    machine(bridged(Some(&[]), Some(&[])), |machine| {
        assert_eq!(machine.console.unwrap().base.get(), 0x4000);
    });
    // No way up: the machine boots without console.
    for (outer, inner) in [(None, Some(inner)), (Some(outer), None), (Some(outer), Some(&outer[..4]))] {
        machine(bridged(outer, inner), |machine| assert_eq!(machine.console, None));
    }
    assert_eq!(remarks(bridged(Some(&outer[1..]), Some(inner))), ["ranges of \"soc\", which is malformed"]);
}

#[test]
fn a_console_is_absent_where_it_or_a_bus_above_it_is_malformed() {
    let serial = |t: Tree, fill: fn(Tree) -> Tree| {
        t.node("serial", |t| fill(t.text("compatible", "arm,pl011").cells("reg", &[0, 0x1000, 0, 1])))
    };
    let tree = |bus: fn(Tree) -> Tree, fill: fn(Tree) -> Tree| {
        let chosen = Tree::new().node("chosen", |t| t.text("stdout-path", "/soc/serial"));
        chosen.node("soc", |t| serial(bus(t.cells("ranges", &[]).cells("#size-cells", &[2])), fill))
    };
    machine(tree(|t| t, |t| t), |machine| assert!(machine.console.is_some()));
    type Fill = fn(Tree) -> Tree;
    let malformed: [(Fill, Fill, &str); 4] = [
        (|t| t.bytes("#address-cells", &[2]), |t| t, "#address-cells of \"soc\""),
        (|t| t, |t| t.cells("reg-shift", &[5]), "reg-shift of \"serial\""),
        (|t| t, |t| t.cells("reg-io-width", &[3]), "reg-io-width of \"serial\""),
        (|t| t, |t| t.bytes("reg-offset", &[]), "reg-offset of \"serial\""),
    ];
    for (bus, fill, what) in malformed {
        machine(tree(bus, fill), |machine| assert_eq!(machine.console, None, "{what}"));
        assert_eq!(remarks(tree(bus, fill)), [format!("{what}, which is malformed")]);
    }
    // What its clock is does not matter to who writes to it.
    machine(tree(|t| t, |t| t.bytes("clock-frequency", &[1])), |machine| assert!(machine.console.is_some()));
}

#[test]
fn a_console_is_found_by_alias_and_by_name_without_address() {
    let serial =
        |t: Tree| t.cells("reg", &[0, 0x900_0000, 0, 0x1000]).text("compatible", "arm,pl011\0arm,primecell");
    let with = |property: &str, path: &str, aliases: &[(&str, &str)]| {
        let tree = Tree::new().node("serial@8000000", |t| serial(t).text("status", "disabled"));
        let tree = tree.node("serial@9000000", serial).node("chosen", |t| t.text(property, path));
        let tree = tree.node("aliases", |t| aliases.iter().fold(t, |t, (name, path)| t.text(name, path)));
        machine(tree, |machine| machine.console.map(|console| console.base.get()))
    };
    let found = Some(0x900_0000);
    assert_eq!(with("stdout-path", "/serial@9000000", &[]), found);
    assert_eq!(with("stdout-path", "/serial", &[]), found);
    assert_eq!(with("linux,stdout-path", "/serial:115200n8", &[]), found);
    let aliases = [("serial0", "/nowhere"), ("serial1", "/serial@9000000"), ("serial11", "/nowhere")];
    assert_eq!(with("stdout-path", "serial1:115200", &aliases), found);
    assert_eq!(with("stdout-path", "serial1", &aliases), found);
    for path in ["serial0", "serial2", "serial", "/serial@8000000", "/", "", ":", "/serial@9000000/child"] {
        assert_eq!(with("stdout-path", path, &aliases), None, "{path}");
    }
    // An alias is a path, not another alias; it cannot lead round in circles.
    assert_eq!(with("stdout-path", "a", &[("a", "a")]), None);
}

#[test]
fn what_lies_below_a_bus_that_is_off_is_off() {
    let tree = Tree::new()
        .node("chosen", |t| t.text("stdout-path", "/soc/serial"))
        .node("soc", |t| {
            t.cells("ranges", &[])
                .text("status", "disabled")
                .node("serial", |t| t.text("compatible", "arm,pl011").cells("reg", &[0, 0x1000, 0]))
        })
        .node("psci", |t| t.text("compatible", "arm,psci").text("method", "hvc").text("status", "disabled"));
    machine(tree, |machine| assert_eq!((machine.console, machine.psci), (None, None)));
}

#[test]
fn a_model_that_would_command_a_terminal_is_ignored() {
    machine(Tree::new().text("model", "Kärnten® 2"), |machine| assert_eq!(machine.model, "Kärnten® 2"));
    for model in ["A\x1b[2JBoard", "A\nBoard", "A\u{9b}2JBoard"] {
        assert_eq!(remarks(Tree::new().text("model", model)), ["model of \"/\", which is malformed"]);
        machine(Tree::new().text("model", model), |machine| assert_eq!(machine.model, ""));
    }
}

#[test]
fn a_trimmed_tree_keeps_all_of_the_structure_block_that_its_header_states() {
    let mut tree = Tree::new().text("model", "A Board").finish();
    tree.extend([0; 64]);
    let (length, structure) = (tree.len() as u32, u32::from_be_bytes([tree[8], tree[9], tree[10], tree[11]]));
    tree[4..8].copy_from_slice(&length.to_be_bytes());
    tree[36..40].copy_from_slice(&(length - structure).to_be_bytes());
    read(&tree, |survey, _| assert_eq!(survey.unwrap().extent, tree.len()));
}

#[test]
fn reservations_have_a_place_or_ask_for_one() {
    let mut tree = Tree::new().node("reserved-memory", |t| {
        t.cells("#address-cells", &[2])
            .cells("#size-cells", &[2])
            .cells("ranges", &[])
            .node("firmware@1000", |t| t.cells("reg", &[0, 0x1000, 0, 0x800, 0, 0x9000, 0, 1]))
            .node("secure@2000", |t| {
                t.cells("reg", &[0, 0x2000, 0, 0x800]).bytes("no-map", &[]).cells("size", &[0, 1])
            })
            .node("pool", |t| {
                t.cells("size", &[0, 0x10000]).cells("alignment", &[0, 0x100]).bytes("reusable", &[])
            })
            .node("shared", |t| {
                t.cells("size", &[0x2000])
                    .cells("alignment", &[0, 0x4000])
                    .bytes("no-map", &[])
                    .bytes("reusable", &[])
                    .cells("alloc-ranges", &[0, 0, 0, 0x1000, 1, 0, 0, 0x1000])
            })
            .node("off", |t| t.cells("reg", &[0, 0, 0, 0x1000]).text("status", "disabled"))
            .node("nothing", |t| t)
    });
    tree.reservations = vec![0x8000_0000, 0x1000, 0, 5, 0x1234, 0, 1 << 48, 0x1000];
    machine(tree, |machine| {
        let fixed: Vec<_> = machine.reservations.iter().map(|r| (r.range, r.no_map, r.name)).collect();
        assert_eq!(
            fixed,
            [
                (range(0x8000_0000, 0x8000_1000), false, "memreserve"),
                (range(0, 5), false, "memreserve"),
                (range(0x1000, 0x1800), false, "firmware@1000"),
                (range(0x9000, 0x9001), false, "firmware@1000"),
                (range(0x2000, 0x2800), true, "secure@2000"),
            ]
        );
        let [pool, shared] = &machine.dynamic_reservations[..] else { panic!("not two") };
        assert_eq!((pool.length, pool.alignment, pool.reusable, pool.no_map), (0x10000, 0x1000, true, false));
        assert_eq!(
            (shared.length, shared.alignment, shared.reusable, shared.no_map),
            (0x2000, 0x4000, false, true)
        );
        assert_eq!(shared.within[..], [range(0, 0x1000), range(0x1_0000_0000, 0x1_0000_1000)]);
    });
    let uneven = |name, cells: &[u32]| {
        let child = |t: Tree| t.cells("size", &[0, 1]).cells(name, cells);
        refusal(&Tree::new().node("reserved-memory", |t| t.node("x", child)).finish()).0
    };
    assert_eq!(uneven("alignment", &[0, 0x3000]), 415);
    assert_eq!(uneven("alloc-ranges", &[0, 0x3000]), 415);
}

#[test]
fn processors_have_affinity_method_node_and_status() {
    let cpus = |t: Tree| {
        t.cells("#address-cells", &[2])
            .cells("#size-cells", &[0])
            .node("cpu@0", |t| {
                t.cells("reg", &[0, 0]).text("enable-method", "psci").text("device_type", "cpu")
            })
            .node("cpu@100000100", |t| {
                t.cells("reg", &[1, 0x100])
                    .text("enable-method", "spin-table")
                    .cells("cpu-release-addr", &[0, 0x8000_FFF8])
                    .cells("numa-node-id", &[3])
            })
            .node("cpu@2", |t| t.cells("reg", &[0, 2]).text("status", "disabled"))
            .node("cpu@3", |t| t.cells("reg", &[0, 3]).text("status", "fail-sss"))
            .node("cpu-map", |t| t.node("cpu@9", |t| t.cells("reg", &[0, 9])))
            .node("l2-cache", |t| t.text("compatible", "cache"))
    };
    machine(Tree::new().node("cpus", cpus), |machine| {
        let found: Vec<_> = machine
            .cpus
            .iter()
            .map(|cpu| (cpu.affinity(), cpu.enable_method(), cpu.node(), cpu.is_disabled()))
            .collect();
        let release = EnableMethod::SpinTable(shared_abi::addr::PhysAddr::new(0x8000_FFF8).unwrap());
        assert_eq!(
            found,
            [
                (0, EnableMethod::Psci, 0, false),
                (0x1_0000_0100, release, 3, false),
                (2, EnableMethod::Unknown, 0, true),
            ]
        );
    });
    // The word that a processor spins on is in RAM somewhere.
    let release = |t: Tree| t.cells("reg", &[0]).text("enable-method", "spin-table");
    let cpus = |t: Tree| {
        t.cells("#address-cells", &[1]).node("cpu@0", |t| release(t).bytes("cpu-release-addr", &[1]))
    };
    assert_eq!(refusal(&Tree::new().node("cpus", cpus).finish()).0, 415);
}

#[test]
fn power_and_timer_are_known_by_their_bindings() {
    let tree = Tree::new()
        .node("firmware", |t| {
            t.node("psci", |t| t.text("compatible", "arm,psci-1.0\0arm,psci-0.2").text("method", "smc"))
        })
        .node("psci", |t| t.text("compatible", "arm,psci").text("method", "hvc"))
        .node("timer", |t| {
            t.text("compatible", "arm,armv8-timer\0arm,armv7-timer").cells("clock-frequency", &[5])
        });
    machine(tree, |machine| {
        let psci = machine.psci.unwrap();
        assert_eq!((psci.version, psci.conduit), (PsciVersion::V1_0, Conduit::Smc));
        assert_eq!(machine.timer_frequency, Some(5));
    });
    for method in ["svc", ""] {
        let tree = Tree::new().node("psci", |t| t.text("compatible", "arm,psci-0.2").text("method", method));
        assert_eq!(remarks(tree.clone()), ["method of \"psci\", which is malformed"], "{method}");
        machine(tree, |machine| assert_eq!(machine.psci, None));
    }
}

#[test]
fn the_boot_request_is_read_and_its_seeds_are_found() {
    let tree = Tree::new()
        .text("model", "A Board")
        .node("chosen", |t| {
            t.text("bootargs", "quiet nokaslr")
                .cells("linux,initrd-start", &[0x4800_0000])
                .cells("linux,initrd-end", &[0, 0x4800_1234])
                .bytes("rng-seed", &[1, 2, 3, 4, 5])
                .cells("kaslr-seed", &[6, 7])
                .bytes("rng-seed", &[9])
        })
        .node("chosen", |t| t.text("bootargs", "second").cells("kaslr-seed", &[0, 8]))
        .finish();
    read(&tree, |survey, machine| {
        let survey = survey.unwrap();
        let boot = machine.boot;
        assert_eq!((machine.model, boot.command_line), ("A Board", "quiet nokaslr"));
        assert_eq!(boot.initrd, Some(range(0x4800_0000, 0x4800_1234)));
        assert_eq!((boot.rng_seed, boot.kaslr_seed), (&[1, 2, 3, 4, 5][..], 6 << 32 | 7));
        let seeds: Vec<_> =
            survey.seeds.iter().map(|seed| &tree[seed.offset..seed.offset + seed.length]).collect();
        let expected: [&[u8]; 4] =
            [&[1, 2, 3, 4, 5], &[0, 0, 0, 6, 0, 0, 0, 7], &[9], &[0, 0, 0, 0, 0, 0, 0, 8]];
        assert_eq!(seeds, expected);
        assert_eq!(survey.extent, tree.len());
    });
    let initrd = |start: &[u32], end: &[u32]| {
        Tree::new().node("chosen", |t| t.cells("linux,initrd-start", start).cells("linux,initrd-end", end))
    };
    machine(initrd(&[5], &[5]), |machine| assert_eq!(machine.boot.initrd, None));
    for end in [&[4][..], &[0x1_0000, 1], &[0, 0, 1], &[]] {
        assert_eq!(
            remarks(initrd(&[5], end)),
            ["linux,initrd-end of \"chosen\", which is malformed"],
            "{end:?}"
        );
        machine(initrd(&[5], end), |machine| assert_eq!(machine.boot.initrd, None));
    }
    let seeds =
        |count| Tree::new().node("chosen", |t| (0..count).fold(t, |t, _| t.bytes("rng-seed", &[1]))).finish();
    read(&seeds(SEEDS), |survey, _| assert_eq!(survey.unwrap().seeds.len(), SEEDS));
    assert_eq!(refusal(&seeds(SEEDS + 1)).0, 414);
}

#[test]
fn of_a_property_stated_twice_the_first_counts() {
    let tree = Tree::new()
        .node("chosen", |t| t.text("stdout-path", "/uart").text("stdout-path", "/other"))
        .node("uart", |t| {
            t.text("compatible", "cdns,uart-r1p8")
                .text("compatible", "arm,pl011")
                .text("status", "okay")
                .text("status", "disabled")
                .cells("reg", &[0, 0x1000, 0, 1])
                .cells("reg", &[0, 0x2000, 0, 1])
        })
        .node("dimm", |t| {
            t.text("device_type", "memory").text("device_type", "cpu").cells("reg", &[0, 0, 0, 9])
        })
        .node("memory", |t| t.text("status", "disabled").text("status", "okay").cells("reg", &[0, 8, 0, 9]));
    machine(tree, |machine| {
        let console = machine.console.unwrap();
        assert_eq!((console.kind, console.base.get()), (UartKind::Cadence, 0x1000));
        assert_eq!(machine.memory.len(), 1);
    });
}

#[test]
fn nops_and_trailing_bytes_change_nothing() {
    let plain = Tree::new()
        .node("soc", |t| t.node("memory", |t| t))
        .node("memory", |t| t.cells("reg", &[0, 0, 0, 9]));
    let nops = Tree::default()
        .word(4)
        .begin("")
        .word(4)
        .cells("#address-cells", &[2])
        .word(4)
        .word(4)
        .cells("#size-cells", &[2])
        .node("soc", |t| t.word(4).node("memory", |t| t.word(4)).word(4))
        .node("memory", |t| t.word(4).cells("reg", &[0, 0, 0, 9]).word(4))
        .word(4)
        .end()
        .word(4)
        .word(9)
        .word(0xDEAD);
    let expected = machine(plain, |machine| machine.memory.clone());
    assert_eq!(expected.len(), 1);
    read(&nops.raw(), |result, machine| {
        result.unwrap();
        assert_eq!(machine.memory, expected);
    });
}

#[test]
fn the_root_has_no_name_whatever_the_tree_says() {
    let named = Tree::default().begin("board@0").cells("#address-cells", &[1]).cells("#size-cells", &[1]);
    machine(named.node("memory", |t| t.cells("reg", &[0x1000, 0x1000])), |machine| {
        assert_eq!(machine.memory[0].range, range(0x1000, 0x2000));
    });
}

#[test]
fn nesting_is_limited_whatever_the_nodes_are() {
    let nested = |depth: usize, leaf: fn(Tree) -> Tree| {
        let mut tree = Tree::new();
        for _ in 1..depth {
            tree = tree.begin("bus").cells("ranges", &[]);
        }
        tree = leaf(tree);
        (1..depth).fold(tree, |tree, _| tree.end()).finish()
    };
    let serial: fn(Tree) -> Tree = |t| t.text("compatible", "arm,pl011").cells("reg", &[0, 0x1000, 0, 1]);
    for leaf in [|t| t, serial] {
        read(&nested(DEPTH, leaf), |result, _| assert!(result.is_ok()));
        assert_eq!(refusal(&nested(DEPTH + 1, leaf)).0, 409);
    }
    assert_eq!(refusal(&nested(5000, |t| t)).0, 409);
    let ignored = |depth: usize| {
        let tree = (1..depth).fold(Tree::new(), |tree, _| tree.begin("chosen"));
        (1..depth).fold(tree, |tree, _| tree.end()).finish()
    };
    read(&ignored(DEPTH), |result, _| assert!(result.is_ok()));
    assert_eq!(refusal(&ignored(DEPTH + 1)).0, 409);
}

#[test]
fn every_structural_damage_has_its_code() {
    let good = Tree::new().node("memory", |t| t.cells("reg", &[0, 0, 0, 9]));
    let header = |word: usize, value: u32| {
        let mut tree = good.clone().finish();
        tree[word * 4..][..4].copy_from_slice(&value.to_be_bytes());
        refusal(&tree).0
    };
    let total = good.clone().finish().len() as u32;
    assert_eq!(refusal(&[]).0, 401);
    assert_eq!(refusal(&good.clone().finish()[..39]).0, 401);
    assert_eq!(refusal(&good.clone().finish()[..total as usize - 1]).0, 401);
    assert_eq!(header(0, 0xEDFE_0DD0), 402);
    assert_eq!(header(5, 15), 403);
    assert_eq!(header(6, 18), 403);
    assert_eq!(header(1, 39), 404);
    assert_eq!(header(1, LARGEST as u32 + 1), 404);
    for (word, value) in
        [(2, 58), (2, total + 4), (3, total + 1), (4, 41), (4, total + 8), (8, total), (9, total)]
    {
        assert_eq!(header(word, value), 405, "word {word} = {value}");
    }
    assert_eq!(header(8, u32::MAX), 405);
    // What is free behind the last block is not read, so it need not be there.
    let mut roomy = good.clone().finish();
    roomy[4..8].copy_from_slice(&(total + 1).to_be_bytes());
    read(&roomy, |result, _| assert_eq!(result.unwrap().extent, total as usize));
    assert_eq!(probe_header(roomy.first_chunk().unwrap()), Ok(total as usize));
    // The reservations' end lies outside the tree, or there is none.
    assert_eq!(header(4, (total - 8) / 8 * 8), 406);
    let token = |tree: Tree| refusal(&tree.raw()).0;
    assert_eq!(token(good.clone().word(5)), 407);
    assert_eq!(token(good.clone()), 408);
    assert_eq!(token(good.clone().word(1).word(0x6162_6364)), 408);
    assert_eq!(token(good.clone().begin("x").word(3).word(4)), 408);
    assert_eq!(token(good.clone().begin("x").word(3).word(9).word(0).word(0).word(0)), 408);
    assert_eq!(token(good.clone().begin("x").word(3).word(u32::MAX).word(0).word(0)), 408);
    assert_eq!(token(good.clone().cells("late", &[1]).end().word(9)), 410);
    assert_eq!(token(Tree::default().cells("early", &[1]).begin("").end().word(9)), 410);
    assert_eq!(token(good.clone().word(9)), 411);
    assert_eq!(token(Tree::default().word(9)), 411);
    assert_eq!(token(Tree::default().end().word(9)), 411);
    assert_eq!(token(good.clone().end().begin("two").end().word(9)), 411);
    assert_eq!(token(good.clone().begin("x").word(3).word(0).word(1000).end().end().word(9)), 412);
    assert_eq!(token(Tree::new().node("memory@\u{e4}", |t| t).end().word(9)), 412);
    // A line feed would make two lines of the error that names the node, an escape command the terminal.
    assert_eq!(token(Tree::new().node("memory@\n", |t| t).end().word(9)), 412);
    assert_eq!(token(Tree::new().node("memory@\u{1b}[2J", |t| t).end().word(9)), 412);
    // Nothing is read of these, so they may be called anything.
    read(&Tree::new().node("\u{e4}", |t| t.bytes("\u{e4}", &[1])).finish(), |result, _| {
        assert!(result.is_ok())
    });
    // The strings block does not end with a zero.
    let mut open = good.clone();
    open.strings.push(b'x');
    assert_eq!(token(open.end().word(9)), 412);
}

#[test]
fn what_does_not_fit_is_an_error() {
    // Nodes that say nothing, but for what they are.
    let reserved = |count: usize| {
        let fill = |t: Tree| (0..count).fold(t, |t, _| t.node("range", |t| t));
        Tree::new().node("reserved-memory", fill).finish()
    };
    let do_fit = |count: &usize| read(&reserved(*count), |result, _| result.is_ok());
    let fits = (CAPACITY / 5..=CAPACITY / 4).rev().find(do_fit).expect("a node is four words");
    read(&reserved(fits + 1), |result, _| {
        assert_eq!(result, Err(TreeError::Scratch { capacity: 4 * CAPACITY }));
    });

    let tree = Tree::new().node("memory", |t| t.cells("reg", &[0, 0, 0, 9])).finish();
    let words = vec![0u64; tree.len().div_ceil(8)];
    let mut moved = vec![0u64; words.len() + 1];
    let moved = &mut moved.as_mut_bytes()[1..][..tree.len()];
    moved.copy_from_slice(&tree);
    assert_eq!(prune(moved, &mut Pruned::new()), Err(TreeError::Alignment));

    let cpus = |count: u32| {
        let fill = |t: Tree| {
            let cpu = |t: Tree, id| {
                t.node("cpu", |t| {
                    t.cells("reg", &[id]).text("enable-method", "psci").cells("numa-node-id", &[id / 64])
                })
            };
            (0..count).fold(t.cells("#address-cells", &[1]), cpu)
        };
        Tree::new().node("cpus", fill).finish()
    };
    read(&cpus(256), |result, machine| assert_eq!((result.is_ok(), machine.cpus.len()), (true, 256)));
    read(&cpus(257), |result, machine| {
        assert_eq!((result.is_ok(), machine.cpus.len(), machine.remarks.count()), (true, 256, 1));
        let remark = machine.remarks.lines().next().unwrap().to_string();
        assert_eq!(remark, "device tree: ignored \"cpu\", since the machine has more than 256 processors");
    });
    let memory = |count: u32| {
        let cells: Vec<u32> = (0..count).flat_map(|at| [0, at * 16, 0, 8]).collect();
        Tree::new().node("memory", |t| t.cells("reg", &cells)).finish()
    };
    read(&memory(64), |result, _| assert!(result.is_ok()));
    assert_eq!(refusal(&memory(65)).0, 418);
}

#[test]
fn a_name_or_a_value_that_is_too_long_is_refused_or_ignored() {
    let long = "a".repeat(CAPACITY * 4);
    let named = |t: Tree| t.node(&format!("memory@{long}"), |t| t.cells("reg", &[0, 0, 0, 9]));
    let stated = |t: Tree| t.node("memory", |t| t.cells("reg", &vec![0; CAPACITY]));
    assert_eq!(refusal(&named(Tree::new()).finish()).0, 413);
    assert_eq!(refusal(&stated(Tree::new()).finish()).0, 413);
    // Of no use is what is long and of none of ours.
    machine(Tree::new().node(&long, |t| t.text("label", &long)), |_| {});
    // A text that is as long as there may be one, and one that is longer.
    let bootargs = |length| Tree::new().node("chosen", |t| t.text("bootargs", &"a".repeat(length)));
    machine(bootargs(4095), |machine| assert_eq!(machine.boot.command_line.len(), 4095));
    machine(bootargs(4096), |machine| assert_eq!(machine.boot.command_line, ""));
    assert_eq!(remarks(bootargs(4096)), ["bootargs of \"chosen\", which is malformed"]);
    let aliased = |value: &[u8]| {
        let chosen = Tree::new().node("chosen", |t| t.text("stdout-path", "a"));
        chosen.node("aliases", |t| t.bytes("a", value))
    };
    for value in [long.as_bytes(), b"/no-zero"] {
        assert_eq!(remarks(aliased(value)), ["a of \"aliases\", which is malformed"]);
    }
}

#[test]
fn a_console_is_below_the_bus_that_its_path_names() {
    let serial =
        |t: Tree| t.node("serial", |t| t.text("compatible", "arm,pl011").cells("reg", &[0, 0x1000, 0, 1]));
    let bus = |t: Tree| t.cells("#address-cells", &[2]).cells("#size-cells", &[2]).cells("ranges", &[]);
    let found = |path: &str| {
        let tree = Tree::new().node("chosen", |t| t.text("stdout-path", path));
        // The first has another device, the next a console, the one in it as well; a serial port is no bus.
        let tree = tree
            .node("first", |t| {
                bus(t).node("psci", |t| t.text("compatible", "arm,psci").text("method", "hvc"))
            })
            .node("second", |t| bus(t).node("inner", |t| serial(bus(t))))
            .node("port", |t| t.text("compatible", "arm,pl011").cells("reg", &[0, 0x2000, 0, 1]))
            .node("third", |t| serial(bus(t)));
        machine(tree, |machine| machine.console.map(|console| console.base.get()))
    };
    assert_eq!((found("/second/inner/serial"), found("//third//serial/")), (Some(0x1000), Some(0x1000)));
    assert_eq!(found("/port"), Some(0x2000));
    for path in
        ["/first/serial", "/first/psci", "/second/serial", "/second", "/port/serial", "/first/inner/serial"]
    {
        assert_eq!(found(path), None, "{path}");
    }
}

#[test]
fn the_fuzz_targets_dictionary_has_every_name() {
    let dictionary = include_str!("../../fuzz/device_tree.dict");
    for name in super::symbol::NAMES {
        assert!(dictionary.contains(&format!("\"{name}\\x00\"")), "{name}");
    }
}

#[test]
fn version_16_lacks_only_the_length_of_the_structure() {
    let mut tree = Tree::new().node("memory", |t| t.cells("reg", &[0, 0, 0, 9])).finish();
    tree[20..24].copy_from_slice(&16u32.to_be_bytes());
    tree[36..40].fill(0xFF);
    read(&tree, |result, machine| {
        result.unwrap();
        assert_eq!(machine.memory.len(), 1);
    });
}

#[test]
fn the_header_tells_how_much_to_map() {
    let tree = Tree::new().finish();
    let header: [u8; HEADER] = tree[..HEADER].try_into().unwrap();
    assert_eq!(probe_header(&header), Ok(tree.len()));
    assert_eq!(probe_header(&[0; HEADER]), Err(TreeError::Magic { found: 0 }));
}
