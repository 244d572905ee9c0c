//! From a machine and an image to QEMU's arguments.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::machine::{Machine, WayIn};
use crate::qemu::supply::Supply;
use crate::size::Size;

/// RAM from this size on is reserved by use, not at once.
const SPARSE_FROM: Size = Size::mib(16 << 10);

/// Everything that decides how QEMU is started.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The machine.
    pub machine: &'static Machine,
    /// The way in: the machine's own or another.
    pub way_in: WayIn,
    /// CPU model, where the machine has a choice.
    pub cpu: String,
    /// RAM.
    pub memory: Size,
    /// CPUs.
    pub cpus: u32,
    /// The file that holds the image, in the form that the way in wants.
    pub image: PathBuf,
    /// Handed over by the machine.
    pub initrd: Option<PathBuf>,
    /// Handed over by the machine.
    pub append: Option<String>,
    /// What the machine needs beside QEMU.
    pub supply: Supply,
    /// The machine's option, if this QEMU wants it.
    pub option: Option<&'static str>,
    /// Whether a person's terminal is on standard input.
    pub interactive: bool,
    /// The user's own arguments, last.
    pub more: Vec<String>,
}

impl Boot {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Outcome<Vec<String>> {
        let mut list = Arguments(Vec::new());
        let option = self.option.map(|option| format!(",{option}")).unwrap_or_default();
        list.pair("-machine", format!("{}{option}", self.machine.qemu));
        if !self.machine.cpu_fixed {
            list.pair("-cpu", &self.cpu);
        }
        list.pair("-smp", self.cpus.to_string());
        self.memory_arguments(&mut list);
        list.pair("-display", "none");
        if self.machine.qemu.starts_with("virt") {
            // Its network card would search for an option ROM, which minimal installations lack.
            list.pair("-nic", "none");
        } else {
            // A board's sound would look for the host's.
            list.pair("-audiodev", "none,id=silence");
        }
        list.pair("-semihosting-config", "enable=on,target=native");
        self.console_arguments(&mut list);
        self.way_in_arguments(&mut list)?;
        list.0.extend(self.more.iter().cloned());
        Ok(list.0)
    }

    fn memory_arguments(&self, list: &mut Arguments) {
        list.pair("-m", format!("{}M", self.memory.bytes() >> 20));
        let nodes = u64::from(self.machine.nodes);
        if nodes > 1 {
            let each = (self.memory.bytes() / nodes) >> 20;
            for node in 0..nodes {
                let size = if node == 0 { (self.memory.bytes() >> 20) - each * (nodes - 1) } else { each };
                list.pair("-object", format!("memory-backend-ram,id=ram{node},size={size}M"));
                list.pair("-numa", format!("node,nodeid={node},memdev=ram{node}"));
            }
            for cpu in 0..u64::from(self.cpus) {
                list.pair(
                    "-numa",
                    format!("cpu,node-id={},socket-id=0,cluster-id=0,core-id={cpu}", cpu % nodes),
                );
            }
        } else if self.memory >= SPARSE_FROM {
            list.pair(
                "-object",
                format!("memory-backend-ram,id=ram0,reserve=off,size={}M", self.memory.bytes() >> 20),
            );
            list.pair("-machine", "memory-backend=ram0");
        }
    }

    fn console_arguments(&self, list: &mut Arguments) {
        if self.interactive {
            // Ctrl-C ends QEMU, Ctrl-A C is its monitor, Ctrl-A X leaves.
            list.pair("-chardev", "stdio,id=console,mux=on,signal=on");
            list.pair("-mon", "chardev=console");
        } else {
            list.pair("-chardev", "stdio,id=console,signal=off");
            list.pair("-monitor", "none");
        }
        for _ in 0..self.machine.serial {
            list.pair("-serial", "null");
        }
        list.pair("-serial", "chardev:console");
    }

    fn way_in_arguments(&self, list: &mut Arguments) -> Outcome<()> {
        let image = plain(&self.image)?;
        match self.way_in {
            WayIn::Image | WayIn::Elf => {
                list.pair("-kernel", image);
                if let Some(line) = &self.append {
                    list.pair("-append", line);
                }
            }
            WayIn::Device { base } => list.pair(
                "-device",
                format!("loader,file={},addr={base:#x},force-raw=on,cpu-num=0", escape(&image)),
            ),
            WayIn::UBoot => {
                let firmware = self.supply.u_boot.as_deref();
                list.pair(
                    "-bios",
                    plain(firmware.ok_or_else(|| {
                        Failure::new("there is no U-Boot", "run scripts/setup.sh, which fetches it")
                    })?)?,
                );
                list.pair("-drive", format!("file={},format=raw,if=none,id=disk", escape(&image)));
                list.pair("-device", "virtio-blk-device,drive=disk");
            }
        }
        match (self.way_in, &self.initrd) {
            (WayIn::Image, Some(initrd)) => list.pair("-initrd", plain(initrd)?),
            // In the disk already, or nothing to hand over.
            (WayIn::UBoot, _) | (_, None) => {}
            (WayIn::Elf | WayIn::Device { .. }, Some(_)) => {
                let name = self.machine.name;
                return Err(Failure::new(
                    format!("{name} has nobody to hand an initrd over"),
                    "leave out --initrd, or pack it with --module NAME=FILE",
                ));
            }
        }
        if let Some(tree) = &self.supply.tree {
            list.pair("-dtb", plain(tree)?);
        }
        Ok(())
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }
}

fn plain(path: &Path) -> Outcome<String> {
    let text = path.to_str().ok_or_else(|| {
        Failure::new(format!("{}: not a UTF-8 path", path.display()), "give it a name in UTF-8")
    })?;
    // QEMU would take a leading dash for an option.
    Ok(if text.starts_with('-') { format!("./{text}") } else { text.to_owned() })
}

/// Doubles the commas that would end a QEMU option's value.
pub fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(machine: &'static Machine) -> Boot {
        Boot {
            machine,
            way_in: machine.way_in,
            cpu: machine.cpu.to_owned(),
            memory: machine.memory,
            cpus: machine.cpus.default,
            image: "a,b.img".into(),
            initrd: None,
            append: None,
            supply: Supply::default(),
            option: None,
            interactive: false,
            more: Vec::new(),
        }
    }

    fn line(boot: &Boot) -> String {
        boot.arguments().unwrap().join(" ")
    }

    #[test]
    fn the_default_machine_has_these_arguments() {
        assert_eq!(
            line(&boot(Machine::DEFAULT)),
            "-machine virt -cpu cortex-a53 -smp 1 -m 256M -display none -nic none \
             -semihosting-config enable=on,target=native -chardev stdio,id=console,signal=off -monitor none \
             -serial chardev:console -kernel a,b.img"
        );
    }

    #[test]
    fn the_user_s_arguments_come_last_and_what_the_machine_hands_over_is_passed() {
        let boot = Boot {
            initrd: Some("-rd".into()),
            append: Some("a b".into()),
            interactive: true,
            more: vec!["-d".into(), "int".into()],
            ..boot(Machine::DEFAULT)
        };
        let line = line(&boot);
        assert!(line.ends_with("-kernel a,b.img -append a b -initrd ./-rd -d int"), "{line}");
        assert!(line.contains("mux=on,signal=on -mon chardev=console"), "{line}");
    }

    #[test]
    fn large_ram_is_sparse_and_nodes_share_all_of_it() {
        let sparse = line(&boot(Machine::find("virt-1t").unwrap()));
        assert!(
            sparse.contains("-m 1048576M -object memory-backend-ram,id=ram0,reserve=off,size=1048576M"),
            "{sparse}"
        );
        let numa = Machine::find("virt-numa").unwrap();
        let uneven = line(&Boot { memory: Size::mib(1000), ..boot(numa) });
        for part in ["id=ram0,size=334M", "id=ram1,size=333M", "id=ram2,size=333M", "node-id=2,socket-id=0"] {
            assert!(uneven.contains(part), "{part} in {uneven}");
        }
    }

    #[test]
    fn commas_do_not_end_a_device_option() {
        let odd = line(&boot(Machine::find("virt-odd").unwrap()));
        assert!(odd.contains("-device loader,file=a,,b.img,addr=0x4a600000,force-raw=on,cpu-num=0"), "{odd}");
    }

    #[test]
    fn an_initrd_that_nobody_hands_over_is_a_mistake() {
        for name in ["virt-odd", "virt-elf"] {
            let machine = Machine::find(name).unwrap();
            let error = Boot { initrd: Some("rd".into()), ..boot(machine) }.arguments().unwrap_err();
            assert!(error.help().contains("leave out --initrd"), "{error}");
        }
    }

    #[test]
    fn what_was_found_for_the_machine_is_given_to_qemu() {
        let supply = Supply { tree: Some("pi.dtb".into()), u_boot: Some("u-boot.bin".into()) };
        let pi = line(&Boot { supply: supply.clone(), ..boot(Machine::find("raspi3b").unwrap()) });
        assert!(pi.contains("-audiodev none,id=silence") && pi.ends_with("-dtb pi.dtb"), "{pi}");
        let u_boot = Machine::find("virt-u-boot").unwrap();
        let supply = Supply { tree: None, ..supply };
        let line = line(&Boot { supply, ..boot(u_boot) });
        assert!(line.contains("-bios u-boot.bin -drive file=a,,b.img,"), "{line}");
        assert!(boot(u_boot).arguments().is_err());
    }
}
