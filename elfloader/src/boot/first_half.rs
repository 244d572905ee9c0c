//! The first half of the boot: what is there, whatever the kernel.

use shared_abi::addr::{PAGE, PhysAddr, PhysRange};
use shared_abi::boot_info::{PlatformFlags, TreeSource};
use shared_abi::image::Header;
use shared_abi::image::payload::{Kind, PayloadTable};

use super::environment::Environment;
use super::stages::{Described, Found, Mapped, Opened};
use crate::boot_facts::Entered;
use crate::boot_memory::{self, Tree};
use crate::device_tree::{self, Pruned, Survey};
use crate::entropy::Offered;
use crate::error::{BootError, EntryError};
use crate::image::Image;
use crate::memory_map::MemoryMap;
use crate::platform::Machine;
use crate::stage::Stage;

impl<'a> Opened<'a> {
    pub(super) fn open<E: Environment<'a>>(
        environment: &mut E,
        entered: Entered,
    ) -> Result<Self, BootError<'a>> {
        environment.begin(Stage::ReadImage);
        let (loader, crc32c) = (environment.loader(), environment.crc32c());
        let header = Header::decode(environment.image(PAGE)?, crc32c)?;
        environment.obey(&header);
        let start = loader.all.start();
        let range = PhysRange::new(start, header.image_size).filter(|range| range.covers(loader.all));
        let range = range.ok_or(EntryError::Place { phys: start.get() })?;
        let payload = PayloadTable::open(environment.image(range.len())?, &header, crc32c)?;
        let image = Image {
            range,
            resident: loader.resident,
            stub: loader.stub,
            secondary: loader.secondary,
            secondary_entry: loader.secondary_entry,
            tables: loader.tables,
            header,
            payload,
        };
        environment.opened(&image);
        let early_console = image.command_line("").early_console()?;
        if let Some(console) = &early_console {
            environment.start_early_console(console)?;
        }
        Ok(Self { entered, physical_size: environment.physical_size(), image, early_console })
    }

    /// Describes the machine in `machine`, which is empty.
    pub(super) fn describe_machine<'s, E: Environment<'a>>(
        &'s self,
        environment: &mut E,
        pruned: &'a mut Pruned,
        machine: &'s mut Machine<'a>,
    ) -> Result<Described<'s, 'a>, BootError<'a>> {
        environment.begin(Stage::ReadTree);
        let read = self.read_tree(environment, pruned, machine);
        if read.is_err() {
            // The refusal is to be read where the tree says, as far as it could be read.
            environment.start_console(machine)?;
        }
        let (tree, survey) = read?;
        machine.console = machine.console.or(self.early_console);
        if self.entered.flags.contains(PlatformFlags::NO_FIRMWARE) {
            // Whatever the tree says: nobody is there to answer.
            machine.psci = None;
        }
        environment.amend(machine);
        environment.start_console(machine)?;
        let command_line = self.image.command_line(machine.boot.command_line);
        let described = Described { opened: self, machine, tree, survey, command_line };
        environment.described(&described);
        Ok(described)
    }

    fn read_tree<E: Environment<'a>>(
        &self,
        environment: &mut E,
        pruned: &'a mut Pruned,
        machine: &mut Machine<'a>,
    ) -> Result<(Tree, Survey), BootError<'a>> {
        let (bytes, range, source) = self.find_tree(environment)?;
        let survey = device_tree::describe(bytes, pruned, machine)?;
        // The tree ends no later than its bytes do.
        let range = PhysRange::new(range.start(), survey.extent as u64).unwrap_or(range);
        Ok((Tree { range, source }, survey))
    }

    /// The device tree: where x0 points, else where the header page says, else in the image.
    fn find_tree<E: Environment<'a>>(
        &self,
        environment: &mut E,
    ) -> Result<(&'a [u8], PhysRange, TreeSource), BootError<'a>> {
        let (x0, hint) = (self.entered.arguments[0], self.image.header.phys_tree_hint);
        for (address, source) in [(x0, TreeSource::FIRMWARE), (hint, TreeSource::HINT)] {
            if let Some((bytes, range)) = self.probe(environment, address)? {
                return Ok((bytes, range, source));
            }
        }
        let packed = self.image.payload.find(Kind::DEVICE_TREE).ok_or(EntryError::NoTree { x0, hint })?;
        self.image.payload.verify(&packed, environment.crc32c())?;
        let range = self.image.range_of(&packed);
        Ok((environment.read(range)?, range, TreeSource::PACKED))
    }

    /// The tree at `address`, as far as its header says; `None` if none can be there.
    fn probe<E: Environment<'a>>(
        &self,
        environment: &mut E,
        address: u64,
    ) -> Result<Option<(&'a [u8], PhysRange)>, BootError<'a>> {
        // A tree is 8-byte aligned (Devicetree Specification 5.2), firmware that has none passes small numbers, and what
        // the processor cannot address is not read.
        let limit = self.physical_size.limit();
        let possible = (PAGE..limit).contains(&address) && address.is_multiple_of(8);
        let start = PhysAddr::new(address).filter(|_| possible);
        let Some(header) = start.and_then(|start| PhysRange::new(start, device_tree::HEADER as u64)) else {
            return Ok(None);
        };
        let bytes = environment.read(header)?;
        let total = bytes.first_chunk().and_then(|header| device_tree::probe_header(header).ok());
        match total.and_then(|total| PhysRange::new(header.start(), total as u64)) {
            Some(range) => Ok(Some((environment.read(range)?, range))),
            None => Ok(None),
        }
    }
}

impl<'s, 'a> Described<'s, 'a> {
    /// Lays the memory out in `map`, which is empty, and leaves the tree as the kernel finds it.
    pub(super) fn map_memory<E: Environment<'a>>(
        self,
        environment: &mut E,
        map: &'s mut MemoryMap<'a>,
    ) -> Result<Mapped<'s, 'a>, BootError<'a>> {
        let Self { opened, machine, tree: found, survey, command_line } = self;
        environment.begin(Stage::MapMemory);
        let limit = opened.physical_size.limit();
        let tree = boot_memory::lay_out(map, machine, limit, &opened.image, &found)?;
        let entropy = environment.entropy(Offered {
            repeatable: opened.image.bytes_of_kind(Kind::ENTROPY_SEED),
            kaslr_seed: Some(machine.boot.kaslr_seed).filter(|seed| *seed != 0),
            // Taken: it is wiped where it lies.
            rng_seed: core::mem::take(&mut machine.boot.rng_seed),
            ..Offered::default()
        });
        environment.settle_tree(&found, tree.range, &survey)?;
        let found = Found { opened, machine, tree, command_line, entropy };
        let mapped = Mapped { found, map };
        environment.mapped(&mapped);
        Ok(mapped)
    }
}
