//! The machine table: what `--machine` names, one row each.
//!
//! A row is a QEMU machine and a *way in*: how the combined image gets to the CPU. The image's loader bytes are the
//! same in every row; only the host knows a board. Adding a machine is adding a row to [`MACHINES`].

use crate::failure::{Failure, Outcome};
use crate::qemu::version::{self, Version};
use crate::size::Size;
use crate::suggest;

/// How the combined image gets onto the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayIn {
    /// QEMU's `-kernel` with the Linux `Image` form: x0 is the device tree.
    Image,
    /// QEMU's `-kernel` with the ELF form: x0 is 0, so the header page hints at the tree.
    Elf,
    /// `-device loader` at an address that no firmware would choose.
    Device {
        /// Physical address of the image.
        base: u64,
    },
    /// U-Boot's `booti`, from an extlinux file on a FAT disk.
    UBoot,
}

/// Where the ELF form lies and where QEMU then leaves the device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfPlace {
    /// Physical address of the image's first byte, 2 MiB aligned.
    pub base: u64,
    /// Physical address of the device tree; 0 if it leaves none, so that one must be packed.
    pub tree: u64,
}

/// Who makes the device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// QEMU, for this very machine.
    Machine,
    /// A file of Debian's arm64 kernel package, by its path below the package's tree folder.
    Debian(&'static str),
}

/// A number that a machine fixes or lets one choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Without `--cpus`.
    pub default: u32,
    /// The fewest.
    pub least: u32,
    /// The most.
    pub most: u32,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The name that `--machine` takes.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// QEMU's `-machine`.
    pub qemu: &'static str,
    /// The model of its CPUs unless one asks for another.
    pub cpu: &'static str,
    /// Whether the machine has just that model, and QEMU no `-cpu` for it.
    pub cpu_fixed: bool,
    /// RAM unless one asks for another.
    pub memory: Size,
    /// Whether the machine has just that RAM.
    pub memory_fixed: bool,
    /// CPUs.
    pub cpus: Cpus,
    /// NUMA nodes that RAM is spread over, highest addresses last.
    pub nodes: u32,
    /// How the image gets there.
    pub way_in: WayIn,
    /// Where an ELF form can be put.
    pub elf: Option<ElfPlace>,
    /// Who makes the tree.
    pub tree: Tree,
    /// Which of the machine's serial ports the tree's `stdout-path` names.
    pub serial: u32,
    /// The QEMU that has it first.
    pub since: Version,
    /// What `-machine` has to say besides, from some QEMU on.
    pub option: Option<(Version, &'static str)>,
}

/// QEMU `virt`, the row that the others differ from.
const VIRT: Machine = Machine {
    name: "virt",
    about: "QEMU virt, entered at EL1",
    qemu: "virt",
    cpu: "cortex-a53",
    cpu_fixed: false,
    memory: Size::mib(256),
    memory_fixed: false,
    cpus: Cpus { default: 1, least: 1, most: 8 },
    nodes: 1,
    way_in: WayIn::Image,
    // QEMU writes the tree to the base of RAM if the lowest segment leaves it a mebibyte.
    elf: Some(ElfPlace { base: 0x4020_0000, tree: 0x4000_0000 }),
    tree: Tree::Machine,
    serial: 0,
    since: version::OLDEST,
    option: None,
};

/// The Raspberry Pi 3: RAM from 0, a mini-UART behind `ranges`, spin-table CPUs, no PSCI.
const RASPI3B: Machine = Machine {
    name: "raspi3b",
    about: "Raspberry Pi 3, RAM from 0, EL2, no PSCI, mini-UART",
    qemu: "raspi3b",
    cpu_fixed: true,
    memory: Size::mib(1024),
    memory_fixed: true,
    cpus: Cpus { default: 4, least: 4, most: 4 },
    tree: Tree::Debian("broadcom/bcm2837-rpi-3-b.dtb"),
    // For an ELF file QEMU leaves no tree at an address that can be told from none.
    elf: Some(ElfPlace { base: 0x20_0000, tree: 0 }),
    serial: 1,
    ..VIRT
};

/// Every machine that `--machine` names.
pub const MACHINES: &[Machine] = &[
    VIRT,
    Machine {
        name: "virt-gic3",
        about: "virt with a GICv3",
        qemu: "virt,gic-version=3",
        cpus: Cpus { most: 64, ..VIRT.cpus },
        ..VIRT
    },
    Machine {
        name: "virt-el2",
        about: "virt entered at EL2, PSCI by smc",
        qemu: "virt,virtualization=on",
        ..VIRT
    },
    Machine {
        name: "virt-el2-gic3",
        about: "virt entered at EL2 with a GICv3",
        qemu: "virt,virtualization=on,gic-version=3",
        cpus: Cpus { most: 64, ..VIRT.cpus },
        ..VIRT
    },
    Machine {
        name: "virt-secure",
        about: "virt with EL3, entered at EL1, a disabled memory node",
        qemu: "virt,secure=on",
        ..VIRT
    },
    Machine {
        name: "virt-secure-el2",
        about: "virt with EL3 and EL2, entered at EL2",
        qemu: "virt,secure=on,virtualization=on",
        ..VIRT
    },
    Machine {
        name: "virt-secure-elf",
        about: "virt entered at EL3 without firmware, by four CPUs at once",
        qemu: "virt,secure=on",
        cpus: Cpus { default: 4, ..VIRT.cpus },
        way_in: WayIn::Elf,
        ..VIRT
    },
    Machine {
        name: "virt-elf",
        about: "virt entered through the ELF form, x0 = 0",
        way_in: WayIn::Elf,
        ..VIRT
    },
    Machine {
        name: "virt-odd",
        about: "virt with the image at an odd 2 MiB address, x0 = 0",
        way_in: WayIn::Device { base: 0x4A60_0000 },
        ..VIRT
    },
    Machine {
        name: "virt-high",
        about: "virt with the image above 64 GiB, x0 = 0",
        cpu: "cortex-a72",
        memory: Size::mib(128 << 10),
        way_in: WayIn::Device { base: 0x13_5720_0000 },
        ..VIRT
    },
    Machine {
        name: "virt-numa",
        about: "virt with three NUMA nodes",
        memory: Size::mib(768),
        cpus: Cpus { default: 3, least: 3, most: 8 },
        nodes: 3,
        ..VIRT
    },
    Machine {
        name: "virt-1t",
        about: "virt with 1 TiB of sparse RAM",
        cpu: "cortex-a72",
        memory: Size::mib(1 << 20),
        ..VIRT
    },
    Machine {
        name: "virt-u-boot",
        about: "virt through U-Boot's booti at EL1",
        way_in: WayIn::UBoot,
        elf: None,
        ..VIRT
    },
    Machine {
        name: "virt-u-boot-el2",
        about: "virt through U-Boot's booti at EL2",
        qemu: "virt,virtualization=on",
        way_in: WayIn::UBoot,
        elf: None,
        ..VIRT
    },
    RASPI3B,
    Machine {
        name: "raspi3b-elf",
        about: "Raspberry Pi 3 through the ELF form, by four CPUs at once",
        way_in: WayIn::Elf,
        ..RASPI3B
    },
    Machine {
        name: "xlnx-zcu102",
        about: "Xilinx ZynqMP, RAM from 0, Cadence UART",
        qemu: "xlnx-zcu102",
        cpu_fixed: true,
        memory: Size::mib(2048),
        cpus: Cpus { default: 4, least: 4, most: 4 },
        tree: Tree::Debian("xilinx/zynqmp-zcu102-rev1.0.dtb"),
        elf: None,
        // Its DisplayPort has sound, which takes the first `-audiodev` by itself before.
        option: Some(((8, 2), "audiodev=silence")),
        ..VIRT
    },
    Machine {
        name: "xlnx-versal-virt",
        about: "Xilinx Versal, RAM from 0, EL2, its own tree",
        qemu: "xlnx-versal-virt",
        cpu: "cortex-a72",
        cpu_fixed: true,
        memory: Size::mib(2048),
        cpus: Cpus { default: 4, least: 4, most: 4 },
        elf: None,
        ..VIRT
    },
    Machine {
        name: "raspi4b",
        about: "Raspberry Pi 4, RAM from 0, EL2, no PSCI, mini-UART",
        qemu: "raspi4b",
        cpu: "cortex-a72",
        memory: Size::mib(2048),
        tree: Tree::Debian("broadcom/bcm2711-rpi-4-b.dtb"),
        elf: None,
        since: (9, 0),
        ..RASPI3B
    },
    Machine {
        name: "imx8mp-evk",
        about: "NXP i.MX 8M Plus, its own UART",
        qemu: "imx8mp-evk",
        cpu_fixed: true,
        memory: Size::mib(1024),
        cpus: Cpus { default: 4, least: 4, most: 4 },
        tree: Tree::Debian("freescale/imx8mp-evk.dtb"),
        elf: None,
        serial: 1,
        since: (10, 0),
        ..VIRT
    },
];

impl Machine {
    /// The row that a recipe gets if it names none.
    pub const DEFAULT: &'static Self = &MACHINES[0];

    /// The row of this name.
    pub fn find(name: &str) -> Outcome<&'static Self> {
        MACHINES.iter().find(|machine| machine.name == name).ok_or_else(|| {
            let names = MACHINES.iter().map(|machine| machine.name);
            Failure::new(format!("no machine is named {name:?}"), suggest::help(name, "give one of", names))
        })
    }

    /// Checks a number of CPUs against the machine.
    pub fn cpus(&self, asked: Option<u32>) -> Outcome<u32> {
        let Cpus { default, least, most } = self.cpus;
        match asked {
            None => Ok(default),
            Some(count) if (least..=most).contains(&count) => Ok(count),
            Some(count) if least == most => Err(Failure::new(
                format!("{} has {most} CPUs, not {count}", self.name),
                format!("leave --cpus out, or give {most}"),
            )),
            Some(count) => Err(Failure::new(
                format!("{} takes {least} to {most} CPUs, not {count}", self.name),
                format!("give --cpus {}", count.clamp(least, most)),
            )),
        }
    }

    /// Checks a size of RAM against the machine.
    pub fn memory(&self, asked: Option<Size>) -> Outcome<Size> {
        match asked {
            Some(size) if self.memory_fixed && size != self.memory => Err(Failure::new(
                format!("{} has {} of RAM, not {size}", self.name, self.memory),
                "leave --memory out: the machine fixes it",
            )),
            Some(size) if size < Size::mib(32) => {
                Err(Failure::new(format!("{size} of RAM cannot hold a boot"), "give at least 32M"))
            }
            asked => Ok(asked.unwrap_or(self.memory)),
        }
    }

    /// Checks a CPU model against the machine.
    pub fn cpu<'a>(&self, asked: Option<&'a str>) -> Outcome<&'a str> {
        match asked {
            Some(model) if self.cpu_fixed => Err(Failure::new(
                format!("{} has its own CPUs: --cpu {model} cannot change them", self.name),
                "leave --cpu out, or choose a machine with --machine virt",
            )),
            asked => Ok(asked.unwrap_or(self.cpu)),
        }
    }
}

/// The table as `handoff machines` prints it.
pub fn table() -> String {
    let width = MACHINES.iter().map(|machine| machine.name.len()).max().unwrap_or_default();
    let rows = MACHINES.iter().map(|machine| {
        let cpu = if machine.cpu_fixed { "own CPUs" } else { machine.cpu };
        let memory = machine.memory.to_string();
        format!(
            "{:width$}  {cpu:10}  {memory:>5}  {} CPU  {}\n",
            machine.name, machine.cpus.default, machine.about
        )
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_row_is_within_its_own_limits() {
        for (index, machine) in MACHINES.iter().enumerate() {
            assert!(MACHINES[..index].iter().all(|other| other.name != machine.name), "{}", machine.name);
            assert_eq!(machine.cpus(None).unwrap(), machine.cpus.default);
            assert!(machine.cpus(Some(machine.cpus.default)).is_ok(), "{}", machine.name);
            assert!(machine.memory(Some(machine.memory)).is_ok(), "{}", machine.name);
            assert!(machine.way_in != WayIn::Elf || machine.elf.is_some(), "{}", machine.name);
            assert!(machine.nodes <= machine.cpus.least.max(1), "{}: every node wants a CPU", machine.name);
        }
    }

    #[test]
    fn what_a_machine_does_not_take_is_said_with_its_name() {
        let pi = Machine::find("raspi3b").unwrap();
        assert_eq!(pi.cpus(Some(2)).unwrap_err().words(), "raspi3b has 4 CPUs, not 2");
        assert_eq!(pi.memory(Some(Size::mib(128))).unwrap_err().words(), "raspi3b has 1G of RAM, not 128M");
        assert!(pi.cpu(Some("max")).is_err());
        let virt = Machine::DEFAULT;
        assert_eq!(virt.cpus(Some(9)).unwrap_err().words(), "virt takes 1 to 8 CPUs, not 9");
        assert_eq!(virt.cpu(None).unwrap(), "cortex-a53");
        assert!(virt.memory(Some(Size::mib(1))).is_err());
        assert!(Machine::find("pc").unwrap_err().help().contains("virt-el2"));
        assert_eq!(Machine::find("virt-le2").unwrap_err().help(), "did you mean virt-el2?");
    }
}
