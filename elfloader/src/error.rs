//! Why a boot ended in the loader: the error of whichever module refused, with its code.

use core::fmt;

use shared_abi::addr::{PhysAddr, VirtAddr};
use shared_abi::boot_info::WriteError;
use shared_abi::error::{ErrorDoc, Explained};
use shared_abi::errors;
use shared_abi::image::header::HeaderError;
use shared_abi::image::payload::PayloadError;
use shared_abi::page_table::TableError;

use crate::audit::Finding;
use crate::command_line::CommandLineError;
use crate::device_tree::TreeError;
use crate::kernel_elf::KernelElfError;
use crate::memory_map::MapError;
use crate::plan::PlanError;
use crate::plan::RelocationError;

/// The catalogs of this crate's errors.
pub const ERRORS: &[&[ErrorDoc]] = &[
    KernelElfError::CATALOG,
    PlanError::CATALOG,
    RelocationError::CATALOG,
    TreeError::CATALOG,
    CommandLineError::CATALOG,
    MapError::CATALOG,
    Finding::CATALOG,
    CheckError::CATALOG,
    EntryError::CATALOG,
];

errors! {
    /// Any of them.
    pub enum BootError<'t>, found by "the loader";

    use Header(HeaderError): "See [`HeaderError`].";
    use Payload(PayloadError): "See [`PayloadError`].";
    use Tree(TreeError<'t>): "See [`TreeError`].";
    use CommandLine(CommandLineError): "See [`CommandLineError`].";
    use Map(MapError<'t>): "See [`MapError`].";
    use Elf(KernelElfError): "See [`KernelElfError`].";
    use Plan(PlanError): "See [`PlanError`].";
    use Table(TableError): "See [`TableError`].";
    use Write(WriteError): "See [`WriteError`].";
    use Entry(EntryError): "See [`EntryError`].";
    use Check(CheckError): "See [`CheckError`].";
}

errors! {
    /// What the loader itself has to say of how it was entered.
    pub enum EntryError, found by "the loader when it is entered";

    /// The image lies where no address can name all of it, or was entered twice.
    801 Place { phys: u64 = "Where it lies." }
        => "the image cannot run at {phys:#018x}";
        help "load the image once, in RAM below 2^48";
    /// There is no device tree: not where x0 points, not at the header page's hint, not in the image.
    802 NoTree { x0: u64 = "x0 as firmware passed it.", hint: u64 = "The header page's hint." }
        => "no device tree: x0 is {x0:#x}, the hint is {hint:#x}, and none is packed";
        help "pack one with `--dtb FILE`, or have firmware pass it in x0";
    /// The entry code met an exception: most likely a register that the ID registers show and that is not there, or is
    /// kept by the level above. It says it by parking the CPU.
    803 Trapped => "a system register is not there or kept by firmware, though the ID registers show it";
        help "change the CPU model or the firmware: the ID registers promise what they do not give";
    /// The processor's MMU has no granule of 4 KiB. The entry code says it by parking the CPU.
    804 Granule => "the processor has no 4 KiB translation granule";
        help "boot on another processor: the loader's and the kernel's tables are of 4 KiB pages";
}

impl EntryError {
    /// The code of [`Self::Trapped`], for the assembly that says it.
    pub const TRAPPED: u16 = 803;

    /// The code of [`Self::Granule`], likewise.
    pub const NO_GRANULE: u16 = 804;
}

errors! {
    /// What the hardware's own walk of the tables says otherwise.
    pub enum CheckError,
        found by "the loader's last look, by the hardware's translation, before it enters the kernel";

    /// An address of the kernel's leads elsewhere than planned.
    780 Leads {
        what: &'static str = "What lies there.", virt: VirtAddr = "The address.",
        expected: Option<PhysAddr> = "Where it should lead; `None` for a fault.",
        found: Option<PhysAddr> = "Where it leads.",
    }
        => "self-check: {what} at {virt} leads to {}, not {}", Target(*found), Target(*expected);
        help "report it: it is a fault of the loader";
    /// An address can be executed that must not be, or the other way round.
    781 Executes { what: &'static str = "What lies there.", virt: VirtAddr = "The address." }
        => "self-check: {what} at {virt} has the wrong execute rights";
        help "report it: it is a fault of the loader";
}

/// Where an address leads, in words.
struct Target(Option<PhysAddr>);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(phys) => write!(f, "{phys}"),
            None => f.write_str("a fault"),
        }
    }
}
