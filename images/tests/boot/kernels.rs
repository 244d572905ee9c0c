//! Kernels that boot behind the same loader, one behaviour each.

use crate::Behaviour;
use crate::handoff::boot;

pub fn all() -> Vec<Behaviour> {
    let mut list = vec![
        Behaviour::new("a_second_kernel_boots_behind_the_same_loader", || {
            let ended = boot("hello", &["--append", "some words"])?.expect_status(0)?;
            ended.expect_said("hello from 0xffff")?.expect_said("command line \"some words\"").map(drop)
        }),
        Behaviour::new("every_frame_is_handed_out_once_and_is_free", || {
            let ended = boot("frames", &["--memory", "128M"])?.expect_status(0)?;
            ended.expect_said("taken, written, found and given back").map(drop)
        }),
        Behaviour::new("the_heap_keeps_every_byte", || {
            boot("heap", &[])?.expect_status(0)?.expect_said("every byte as it was left").map(drop)
        }),
    ];
    list.push(Behaviour::new("memory_appears_where_its_fault_is_resolved", || {
        boot("demand", &[])?.expect_status(0)?.expect_said("256 pages were mapped by 256 faults").map(drop)
    }));
    for word in ["outside", "execute", "nested"] {
        list.push(Behaviour::new(
            format!("a_fault_that_no_hook_may_resolve_ends_the_machine_{word}"),
            move || {
                boot("demand", &["--append", word])?.expect_status(103)?.expect_said("kernel fault").map(drop)
            },
        ));
    }
    // A CPU that knows nothing but the first version of the architecture, and one with PAN and E0PD.
    for (cpu, kind) in [("cortex-a53", "Permission"), ("max", "Translation")] {
        list.push(Behaviour::new(format!("user_spaces_and_the_kernel_are_apart_on_{cpu}"), move || {
            let ended = boot("separation", &["--cpu", cpu])?.expect_status(0)?;
            ended
                .expect_said("is 0xaaaa0000000003e8 in one space and 0xbbbb0000000007d0 in the other")?
                .expect_said(&format!("6 places of the kernel are out of reach, {kind} faults"))?
                .expect_said("neither reaches the other's page")?
                .expect_said("protected, taken, and given anew: each time seen")?
                .expect_said("without a space the low half is empty")?
                .expect_said("300 spaces shared 255 ASIDs and kept their words")?
                .expect_said("302 spaces destroyed, every frame is back")
                .map(drop)
        }));
    }
    list
}
