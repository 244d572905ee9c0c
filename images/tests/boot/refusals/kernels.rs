//! Kernels that no loader should enter: every file that the host's tests hold against the planner, and what only a
//! machine can refuse.

use libtest_mimic::Failed;
use shared_abi::note::Note;

use super::{Image, expect_refusal, test_name};
use crate::Behaviour;
use crate::elf_builder::bad_kernels::{BadKernel, bad_kernels};
use crate::elf_builder::{ET_EXEC, ElfBuilder, FREE, LINK, Program, RW, RX};
use crate::handoff::{Scratch, handoff};

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = bad_kernels()
        .into_iter()
        .map(|BadKernel { name, code, file }| refused(name, code, file, &[]))
        .collect();
    list.push(refused("bss larger than ram", 508, larger_than_ram(), &["--memory", "128M"]));
    list.push(Behaviour::new("what_finds_no_room_is_named", || {
        let kernel = Scratch::new("no-room.elf", &larger_than_ram())?;
        let ended = handoff(&["run", "--kernel", kernel.path(), "--memory", "128M", "--timeout", "60"])?;
        ended.expect_status(101)?.expect_said("\"kernel and tables\" of 0x40").map(drop)
    }));
    list.push(refused("a direct map too high for ram", 242, direct_map_at_the_top(), &["--memory", "1G"]));
    list
}

fn refused(name: &str, code: u16, file: Vec<u8>, more: &'static [&'static str]) -> Behaviour {
    let name = format!("kernel_refused_e{code:04}_{}", test_name(name));
    Behaviour::new(name.clone(), move || -> Result<(), Failed> {
        expect_refusal(&name, &Image::of(file)?.bytes, code, more)
    })
}

/// A kernel that is right in everything but its wishes.
fn larger_than_ram() -> Vec<u8> {
    ElfBuilder::good().program(Program::load(RW, LINK + 0x10_0000, FREE, 0).memory(1 << 30)).build()
}

/// The last GiB of the direct map's window, where RAM at 1 GiB has no place.
fn direct_map_at_the_top() -> Vec<u8> {
    let note = Note { direct_map_offset: 0xFFFF_FFFF_C000_0000, ..Note::DEFAULT };
    ElfBuilder::new(ET_EXEC, LINK, &note).segment(Program::load(RX, LINK, FREE, 0x100)).build()
}
