//! Where QEMU puts what it loads, and how it enters: a model of its arm64 boot loader, held to the boots by a test.
//!
//! ```text
//! RAM + 0        ELF form: device tree
//! RAM + 2 MiB    image
//! RAM + 128 MiB  initrd, or half of RAM if that is less; never below the image's end
//! behind it      device tree, at the next 2 MiB
//! ```

use shared_abi::boot_info::{PlatformFlags, TreeSource};
use shared_abi::contract::registers::PhysicalSize;

use crate::failure::{Failure, Outcome};
use crate::machine::{Machine, WayIn};

/// Where everything lies when the image is entered. Addresses are physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The image's first byte.
    pub image: u64,
    /// The device tree's.
    pub tree: u64,
    /// How the loader learns of the tree.
    pub source: TreeSource,
    /// The initial RAM disk's first byte, if there is one.
    pub initrd: u64,
    /// x0.
    pub argument: u64,
    /// The exception level.
    pub level: u64,
}

impl Places {
    /// What of the entry the kernel would be told: at EL3 there is no firmware left to call.
    pub fn flags(&self) -> PlatformFlags {
        if self.level == 3 { PlatformFlags::NO_FIRMWARE } else { PlatformFlags::default() }
    }
}

/// What is put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The first address of RAM.
    pub base: u64,
    /// Bytes of RAM.
    pub memory: u64,
    /// Bytes of the image.
    pub image: u64,
    /// Bytes of the initial RAM disk, 0 if there is none.
    pub initrd: u64,
}

const MIB: u64 = 1 << 20;

/// Where a machine has it all; `None` where it is not QEMU that decides.
pub fn places(machine: &Machine, way_in: WayIn, load: Load) -> Option<Places> {
    let image = load.base + 2 * MIB;
    let initrd =
        (load.base + (load.memory / 2).min(128 * MIB)).max(image + load.image).next_multiple_of(0x1000);
    let tree = (initrd + load.initrd).next_multiple_of(2 * MIB);
    let level = level(machine, way_in);
    let hinted = |image| {
        let tree = machine.elf.map_or(0, |place| place.tree);
        Places { image, tree, source: TreeSource::HINT, initrd: 0, argument: 0, level }
    };
    match way_in {
        WayIn::Image => {
            Some(Places { image, tree, source: TreeSource::FIRMWARE, initrd, argument: tree, level })
        }
        WayIn::Elf => Some(hinted(machine.elf?.base)),
        WayIn::Device { base } => Some(hinted(base)),
        WayIn::UBoot => None,
    }
}

/// The exception level at which QEMU enters: the highest there is, but for Linux at most EL2.
pub fn level(machine: &Machine, way_in: WayIn) -> u64 {
    let has = |option: &str| machine.qemu.split(',').any(|part| part == option);
    let (has_el2, has_el3) = match machine.qemu.split(',').next() {
        Some("virt") => (has("virtualization=on"), has("secure=on")),
        Some("xlnx-zcu102") => (false, false),
        _ => (true, true),
    };
    match way_in {
        WayIn::Elf | WayIn::Device { .. } if has_el3 => 3,
        _ if has_el2 => 2,
        _ => 1,
    }
}

/// Physical address sizes of QEMU's CPU models, in bits.
const SIZES: [(&str, u32); 13] = [
    ("cortex-a35", 40),
    ("cortex-a53", 40),
    ("cortex-a55", 40),
    ("cortex-a57", 44),
    ("cortex-a72", 44),
    ("cortex-a76", 40),
    ("cortex-a710", 40),
    ("neoverse-n1", 48),
    ("neoverse-n2", 48),
    ("neoverse-v1", 48),
    ("a64fx", 48),
    ("max", 48),
    ("host", 48),
];

/// The physical address size of CPUs: by their model, or as asked.
pub fn physical_size(model: &str, asked: Option<u32>) -> Outcome<PhysicalSize> {
    // A model may be followed by its features.
    let model = model.split(',').next().unwrap_or_default();
    let known = || SIZES.iter().find(|(name, _)| *name == model).map(|(_, bits)| *bits);
    let bits = asked.or_else(known).ok_or_else(|| {
        Failure::new(
            format!("how much memory a {model} can address is not known here"),
            "give --address-bits",
        )
    })?;
    let sizes = (0..=PhysicalSize::MAX_ENCODING).map(|encoding| PhysicalSize::from_id(encoding.into()));
    sizes.into_iter().find(|size| size.bits() == bits).ok_or_else(|| {
        Failure::new(format!("no CPU has {bits} address bits"), "give one of: 32, 36, 40, 42, 44, 48")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MACHINES;

    #[test]
    fn a_large_image_or_initrd_pushes_what_is_behind_it() {
        let load = Load { base: 0x4000_0000, memory: 256 * MIB, image: MIB, initrd: 0 };
        let at = |load| {
            let places = places(Machine::DEFAULT, WayIn::Image, load).unwrap();
            (places.image, places.initrd, places.tree, places.argument)
        };
        assert_eq!(at(load), (0x4020_0000, 0x4800_0000, 0x4800_0000, 0x4800_0000));
        assert_eq!(at(Load { memory: 64 * MIB, ..load }).2, 0x4200_0000);
        assert_eq!(at(Load { initrd: 1, ..load }).2, 0x4820_0000);
        let large = at(Load { image: 200 * MIB + 1, initrd: MIB, ..load });
        assert_eq!(large, (0x4020_0000, 0x4CA0_1000, 0x4CC0_0000, 0x4CC0_0000));
        assert_eq!(places(Machine::DEFAULT, WayIn::UBoot, load), None);
    }

    #[test]
    fn a_model_that_is_not_known_needs_its_size_stated() {
        let size = |model, asked| physical_size(model, asked).map(PhysicalSize::bits);
        assert_eq!(size("cortex-a72,pmu=off", None), Ok(44));
        assert_eq!(size("max", Some(36)), Ok(36));
        assert!(size("cortex-x9", None).unwrap_err().help().contains("give --address-bits"));
        assert!(size("cortex-a53", Some(41)).unwrap_err().help().contains("32, 36, 40"));
        for machine in MACHINES {
            assert!(size(machine.cpu, None).is_ok(), "{}", machine.name);
        }
    }
}
