//! The boot's environment on the host: bytes of files, answers as given, and no effect but tables and `BootInfo`.

use std::collections::BTreeMap;
use std::fmt::Display;

use elfloader::boot::{Built, Described, Environment, Loaded, LoaderParts, Mapped, Planned};
use elfloader::boot_facts::{self, Processor};
use elfloader::boot_memory::Tree;
use elfloader::device_tree::Survey;
use elfloader::entropy::{Entropy, Offered};
use elfloader::error::BootError;
use elfloader::image::Image;
use elfloader::plan::{DirectMap, Mapping, Policy, Slide};
use elfloader::platform::{Console, Machine};
use elfloader::recorder::Recorders;
use elfloader::stage::Stage;
use shared_abi::addr::{PhysAddr, PhysRange};
use shared_abi::boot_info::{BootInfoWriter, ClosedFeatures, WriteError};
use shared_abi::contract::registers::{EntryRegisters, PhysicalSize};
use shared_abi::crc32c::{Crc32c, crc32c};
use shared_abi::image::Header;
use shared_abi::page_table::TableError;

use super::source::BootSource;
use super::tables::Tables;

/// A machine that is not there.
pub struct Host<'a> {
    pub source: &'a BootSource<'a>,
    pub loader: LoaderParts,
    /// Bytes in memory and where they begin, each at a multiple of 8: the tree, if there is one, and the image.
    pub memory: [(PhysAddr, &'a [u8]); 2],
    /// Room for `BootInfo`.
    pub boot_info: &'a mut [u8],
    /// What was made: where `BootInfo` lies, and the tables' pages by physical address.
    pub made: (PhysRange, BTreeMap<u64, Vec<u8>>),
    /// TTBR0_EL1, TTBR1_EL1 and VBAR_EL1.
    pub roots: [u64; 3],
    pub boot_cpu: u64,
    /// What a boot would say that it goes on without.
    pub log: String,
}

impl Host<'_> {
    fn say(&mut self, lines: impl Iterator<Item = impl Display>) {
        self.log.extend(lines.map(|line| format!("{line}\n")));
    }
}

impl<'a> Environment<'a> for Host<'a> {
    type Tables = Tables;

    fn loader(&self) -> LoaderParts {
        self.loader
    }

    fn physical_size(&self) -> PhysicalSize {
        self.source.physical_size
    }

    fn processor(&self) -> Processor {
        Processor {
            affinity: self.boot_cpu,
            model: 0,
            physical_size: self.source.physical_size,
            timer_frequency: 0,
            closed_above_el1: ClosedFeatures::empty(),
        }
    }

    fn crc32c(&self) -> Crc32c {
        crc32c
    }

    /// Only what repeats itself; without that the lowest of all places that randomness would choose from.
    fn entropy(&self, found: Offered<'_>) -> Entropy {
        let entropy = Entropy::gather(&Offered { repeatable: found.repeatable, ..Offered::default() });
        let layout = if found.repeatable.is_some() { entropy.layout } else { [0; 2] };
        Entropy { layout, ..entropy }
    }

    fn policy(&self, noted: Policy) -> Policy {
        Policy {
            slide: self.source.slide.map_or(noted.slide, Slide::Fixed),
            direct_map: self.source.direct_map.map_or(noted.direct_map, DirectMap::Fixed),
        }
    }

    fn image(&mut self, length: u64) -> Result<&'a [u8], TableError> {
        let [_, (_, image)] = self.memory;
        Ok(image.get(..length as usize).unwrap_or(image))
    }

    fn read(&mut self, range: PhysRange) -> Result<&'a [u8], TableError> {
        let inside = |(start, bytes): (PhysAddr, &'a [u8])| {
            let bytes = bytes.get(range.start().get().checked_sub(start.get())? as usize..)?;
            Some(bytes.get(..range.len() as usize).unwrap_or(bytes)).filter(|bytes| !bytes.is_empty())
        };
        Ok(self.memory.into_iter().find_map(inside).unwrap_or_default())
    }

    fn begin(&mut self, _: Stage) {}

    fn obey(&mut self, _: &Header) {}

    fn opened(&mut self, _: &Image<'a>) {}

    fn start_early_console(&mut self, _: &Console) -> Result<(), TableError> {
        Ok(())
    }

    fn amend(&mut self, machine: &mut Machine<'a>) {
        machine.boot.initrd = self.source.initrd.or(machine.boot.initrd);
    }

    fn start_console(&mut self, _: &Machine<'a>) -> Result<(), TableError> {
        Ok(())
    }

    fn described(&mut self, described: &Described<'_, 'a>) {
        self.boot_cpu = described.machine().cpus.first().map_or(0, |cpu| cpu.affinity());
        self.say(described.machine().remarks.lines());
    }

    fn settle_tree(&mut self, _: &Tree, _: PhysRange, _: &Survey) -> Result<(), TableError> {
        Ok(())
    }

    fn mapped(&mut self, mapped: &Mapped<'_, 'a>) {
        self.say(mapped.map().unplaced());
    }

    fn load(&mut self, planned: &Planned<'_, 'a>) -> Result<u64, TableError> {
        let mut relocations = 0;
        planned.placed().relocate(|_, _| relocations += 1);
        Ok(relocations)
    }

    fn begin_recorder(&mut self, _: &Recorders) {}

    fn tables(&mut self, loaded: &Loaded<'_, '_, 'a>) -> Result<Tables, TableError> {
        Tables::new(loaded.planned(), &self.source.loader)
    }

    fn map(&mut self, _: &Mapping) {}

    fn publish(&mut self, built: &Built<'_, '_, 'a, Tables>) {
        self.made = (built.planned().placed().boot_info(), built.tables().pages());
    }

    fn set_registers(&mut self, _: &EntryRegisters, built: &Built<'_, '_, 'a, Tables>) -> [u64; 3] {
        self.roots = [built.low_root().get(), self.loader.tables.start().get(), self.source.loader.vectors];
        self.roots
    }

    fn let_others_come(&mut self, _: &EntryRegisters, _: [u64; 3], _: u64) -> Result<(), TableError> {
        Ok(())
    }

    fn boot_info(&mut self, built: &Built<'_, '_, 'a, Tables>) -> &'a mut [u8] {
        let length = built.planned().placed().boot_info().len() as usize;
        std::mem::take(&mut self.boot_info).get_mut(..length).unwrap_or_default()
    }

    fn finish(&mut self, boot_info: BootInfoWriter<'_>, _: &Planned<'_, 'a>) -> Result<(), WriteError> {
        boot_facts::finish(boot_info, std::iter::empty(), self.log.as_bytes(), false, crc32c).map(drop)
    }

    fn check(&mut self, _: &Built<'_, '_, 'a, Tables>) -> Result<(), BootError<'a>> {
        Ok(())
    }
}
