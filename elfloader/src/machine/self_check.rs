//! The last look before the jump: the hardware's own walker confirms what the tables were meant to say.
//!
//! Reading and writing are asked of the hardware by `AT`. It says nothing of execution, so the entry's and the
//! stack's execute rights are read from the descriptors.

use elfloader::error::CheckError;
use elfloader::plan::PlacedPlan;
use handoff_bare::translate::{Access, translate};
use shared_abi::addr::{PageSize, PhysAddr, VirtAddr};
use shared_abi::page_table::{PageTable, TableStore};
use shared_abi::rights::Rights;

/// Checks entry, stack, guard, `BootInfo` and console.
///
/// # Errors
/// The first address that the hardware sees differently.
pub fn check(placed: &PlacedPlan<'_>, tree: PageTable, store: &impl TableStore) -> Result<(), CheckError> {
    let plan = placed.plan();
    let leads = |what, virt: VirtAddr, access, expected: Option<PhysAddr>| {
        let found = translate(virt, access);
        if found == expected { Ok(()) } else { Err(CheckError::Leads { what, virt, expected, found }) }
    };
    let executes = |what, virt, wanted: bool| {
        let rights = tree.walk(store, virt).map(|translation| translation.attributes.rights());
        let good = rights.is_ok_and(|rights| (rights == Rights::ReadExecute) == wanted);
        if good { Ok(()) } else { Err(CheckError::Executes { what, virt }) }
    };
    let entry = plan.entry();
    leads("the entry", entry, Access::Read, placed.translate(entry))?;
    leads("writing to the entry", entry, Access::Write, None)?;
    executes("the entry", entry, true)?;
    let stack = plan.stack();
    let bottom = stack.start();
    leads("the boot stack", bottom, Access::Write, placed.translate(bottom))?;
    executes("the boot stack", bottom, false)?;
    if let Some(top) = VirtAddr::new(stack.end() - 16) {
        leads("the boot stack's top", top, Access::Write, placed.translate(top))?;
    }
    if let Some(guard) = VirtAddr::new(bottom.get() - 8) {
        leads("the guard", guard, Access::Read, None)?;
    }
    let info = plan.boot_info().start();
    leads("BootInfo", info, Access::Read, placed.translate(info))?;
    leads("writing to BootInfo", info, Access::Write, None)?;
    let console = placed.plan().site().console.zip(plan.console());
    if let Some((registers, virt)) = console {
        let page = registers.aligned_outward(PageSize::Size4K).start();
        leads("the console", virt.start(), Access::Write, Some(page))?;
        executes("the console", virt.start(), false)?;
    }
    Ok(())
}
