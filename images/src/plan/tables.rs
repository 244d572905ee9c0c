//! The translation tables of a plan in the host's memory.

use std::collections::BTreeMap;

use elfloader::boot::{KernelTables, Planned};
use elfloader::plan::Purpose;
use shared_abi::addr::{Frame, PAGE, PageSize, PhysRange, VirtRange};
use shared_abi::contract::HANDOFF_WINDOW;
use shared_abi::page_table::{ENTRIES, PageTable, Table, TableError, TableStore};
use shared_abi::rights::Rights;
use shared_abi::vmsa::Attributes;

use crate::loader::Parts;

/// The image's four tables, and the arena's.
pub struct Tables {
    own: Run,
    pool: Run,
}

/// Tables in consecutive frames, handed out from the front.
struct Run {
    first: Frame,
    tables: Vec<Table>,
    used: usize,
}

impl Run {
    fn new(range: PhysRange) -> Self {
        let tables = (0..range.len() / PAGE).map(|_| Table::new()).collect();
        Self { first: range.start().frame(), tables, used: 0 }
    }

    fn table(&self, table: Frame) -> Option<&Table> {
        self.tables.get(table.number().checked_sub(self.first.number())? as usize)
    }

    fn allocate(&mut self) -> Option<Frame> {
        let frame = self.first.checked_add(self.used as u64).filter(|_| self.used < self.tables.len())?;
        self.used += 1;
        Some(frame)
    }

    /// The pages of those in use, by physical address.
    fn pages(&self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let starts = (self.first.start().get()..).step_by(PAGE as usize);
        let bytes = |table: &Table| (0..ENTRIES).flat_map(|at| table.load(at).bits().to_le_bytes()).collect();
        starts.zip(self.tables.iter().take(self.used).map(bytes))
    }
}

impl TableStore for Tables {
    fn table(&self, table: Frame) -> Option<&Table> {
        self.own.table(table).or_else(|| self.pool.table(table))
    }

    fn allocate(&mut self) -> Option<Frame> {
        self.own.allocate().or_else(|| self.pool.allocate())
    }

    fn free(&mut self, _: Frame) {}
}

impl KernelTables for Tables {
    fn used(&self) -> usize {
        self.pool.used
    }
}

impl Tables {
    /// The tables with what is mapped by the time that the kernel is: the loader's pages, as the entry code maps them,
    /// and the console.
    pub fn new(planned: &Planned<'_, '_>, loader: &Parts) -> Result<Self, TableError> {
        let (image, placed) = (planned.image(), planned.placed());
        let mut tables = Self { own: Run::new(image.tables), pool: Run::new(placed.table_pool()) };
        let missing = TableError::OutOfTables { needed: 1, available: 0 };
        let root = tables.allocate().ok_or(missing)?;
        let mut tree = PageTable::ttbr1(root).builder(&mut tables);
        for ((start, end), rights) in [
            (loader.text, Rights::ReadExecute),
            (loader.constants, Rights::ReadOnly),
            (loader.data, Rights::ReadWrite),
        ] {
            let window = HANDOFF_WINDOW.start().get();
            let virt = VirtRange::from_bounds(window + start, window + end).unwrap_or(VirtRange::EMPTY);
            let phys = image.range.start().checked_add(start).unwrap_or_default();
            tree.map(virt, phys, Attributes::kernel(rights), PageSize::Size4K)?;
        }
        let console =
            placed.mappings(planned.regions()).filter(|mapping| mapping.purpose == Purpose::Console);
        for mapping in console {
            tree.map(mapping.virt, mapping.phys, mapping.attributes, mapping.largest)?;
        }
        Ok(tables)
    }

    /// The pages of all that are used, by physical address.
    pub fn pages(&self) -> BTreeMap<u64, Vec<u8>> {
        self.own.pages().chain(self.pool.pages()).collect()
    }
}
