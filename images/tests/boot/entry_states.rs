//! Every state that firmware may enter in, made by a firmware of our own in front of the image.
//!
//! The kernel behind it checks the contract line by line, so a register that leaks through is found.

use images::kernel::KernelFile;
use images::loader::flatten;
use images::pack::{Contents, pack};
use images::recipe::{Digest, KernelSource};
use images::stage;
use images::workspace::Workspace;
use libtest_mimic::Failed;
use object::{Object, ObjectSection};
use shared_abi::image::{BootFlags, LogLevel};

use crate::Behaviour;
use crate::handoff::{Scratch, handoff};

/// Where the image lies behind the firmware, and where in the firmware its code and the choice of a state.
pub const IMAGE: usize = 2 << 20;
const CODE: usize = 0x1000;
const STATE: usize = CODE + 8;

/// Name, the firmware's number for it, and the machine that has the level.
pub const STATES: [(&str, u32, &str); 6] = [
    ("el1_with_wild_registers", 1, "virt"),
    ("el1_with_mmu_and_caches_on", 2, "virt"),
    ("el2_with_every_trap_set", 3, "virt-el2"),
    ("el2_as_a_vhe_host", 4, "virt-el2"),
    ("el2_with_mmu_and_caches_on", 5, "virt-el2"),
    ("el2_as_a_vhe_host_with_mmu_and_caches_on", 6, "virt-el2"),
];

pub fn image(flags: BootFlags) -> Result<Vec<u8>, Failed> {
    let workspace = Workspace::here();
    let loader = std::fs::read(stage::loader(&workspace)?)?;
    let kernel = std::fs::read(stage::kernel(&workspace, &KernelSource::Example("contract".into()))?)?;
    let packed = pack(&Contents {
        loader: flatten(&loader)?,
        kernel: KernelFile::new(kernel),
        kernel_name: "contract".into(),
        more: Vec::new(),
        digest: Digest::Crc32c,
        flags: BootFlags::SEMIHOSTING | flags,
        log: LogLevel::Normal,
        tree_hint: 0,
    })?;
    Ok(packed.bytes)
}

/// The image with a firmware in front that leaves the given state.
pub fn behind_firmware(state: u32, flags: BootFlags) -> Result<Vec<u8>, Failed> {
    let image = image(flags)?;
    let firmware = std::fs::read(stage::firmware(&Workspace::here())?)?;
    let firmware = object::File::parse(&*firmware)?;
    let code = firmware.section_by_name(".text").ok_or("the firmware has no code")?.data()?.to_vec();
    // Our own header page serves: it is a Linux header whose branch leads to + 0x1000, and QEMU reads no more of it
    // than the size, which must cover both.
    let mut file = image.get(..CODE).ok_or("the image has no header page")?.to_vec();
    file.extend(code);
    file.resize(IMAGE, 0);
    file.extend(&image);
    let size = (file.len() as u64).to_le_bytes();
    file[16..24].copy_from_slice(&size);
    file[STATE..STATE + 4].copy_from_slice(&state.to_le_bytes());
    Ok(file)
}

fn holds(name: &str, file: &[u8], machine: &str) -> Result<(), Failed> {
    let file = Scratch::new(&format!("{name}.img"), file)?;
    let run = ["run", "--image", file.path(), "--machine", machine, "--cpu", "max", "--timeout", "60"];
    handoff(&run)?.expect_status(0)?.expect_said(" lines hold, 0 do not").map(drop)
}

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = STATES
        .iter()
        .map(|&(name, state, machine)| {
            Behaviour::new(format!("the_contract_holds_after_{name}"), move || {
                holds(name, &behind_firmware(state, BootFlags::empty())?, machine)
            })
        })
        .collect();
    list.push(Behaviour::new("the_contract_holds_after_el2_where_e2h_is_stuck_at_one", || {
        let mut image = image(BootFlags::empty())?;
        // mrs x9, FAR_EL1, which becomes mov x9, #2: what was written to FAR_EL2.
        replace(&mut image, 0xD538_6009, 0xD280_0049)?;
        holds("e2h-stuck", &image, "virt-el2")
    }));
    list.push(Behaviour::new("the_contract_holds_after_el2_where_e2h_is_one_by_its_id_register", || {
        let mut image = image(BootFlags::empty())?;
        // mrs x9, ID_AA64MMFR4_EL1, which becomes mov x9, #(8 << 24): E2H0 is negative.
        replace(&mut image, 0xD538_0789, 0xD2A1_0009)?;
        holds("no-e2h0", &image, "virt-el2")
    }));
    list
}

/// Puts another instruction in the place of one that is there once.
pub fn replace(image: &mut [u8], from: u32, to: u32) -> Result<(), Failed> {
    let places: Vec<_> = memchr::memmem::find_iter(image, &from.to_le_bytes()).collect();
    let [at] = places[..] else { return Err(format!("{from:#x} is at {places:x?}").into()) };
    image[at..at + 4].copy_from_slice(&to.to_le_bytes());
    Ok(())
}
