//! The machine, described: what the boot needs to know of the hardware and of what firmware left behind.
//!
//! A [`Machine`] knows nothing of device trees; one is filled by [`crate::device_tree`], another source can
//! fill it later. It owns no memory: lists have a stated capacity, text is borrowed from whoever described the
//! machine. Addresses are physical and already translated to the CPU's view.
//!
//! Always holds: no list is silently cut short ([`Full`] says which one and at what limit), every range is one
//! that a [`PhysRange`] can name, and nothing here has been aligned, sorted or merged: that is the memory
//! map's work, which needs the raw statements to round them the right way.

use core::fmt;

use arrayvec::ArrayVec;
use shared_abi::addr::{PageSize, PhysAddr, PhysRange};
use shared_abi::uart::UartKind;

/// Most memory ranges that a machine can state.
pub const MEMORY_RANGES: usize = 64;

/// Most reserved ranges at stated places. The largest of Debian's arm64 trees has 44.
pub const RESERVATIONS: usize = 144;

/// Most reserved ranges whose place the loader chooses. The largest of Debian's arm64 trees has 3.
pub const DYNAMIC_RESERVATIONS: usize = 16;

/// Most processors.
pub const CPUS: usize = 256;

/// Most remarks; those after them are counted.
pub const REMARKS: usize = 8;

/// A list of the machine is full: stated as an error, since a machine described in part would boot wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// What there is too much of, in the plural.
    pub what: &'static str,
    /// How many fit.
    pub limit: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the machine has more than {} {}", self.limit, self.what)
    }
}

/// Something that the machine states and the boot goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark<'t> {
    /// A value is malformed: it counts as absent, or what it belongs to does.
    Malformed {
        /// Whose value.
        node: &'t str,
        /// Which one.
        property: &'t str,
    },
    /// A processor's `reg` is more of MPIDR_EL1 than the affinity, which is all that counts.
    NotAffinity {
        /// Whose.
        node: &'t str,
    },
    /// There is no room to keep it.
    Dropped {
        /// Whose.
        node: &'t str,
        /// What does not fit.
        full: Full,
    },
}

impl fmt::Display for Remark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { node, property } => write!(f, "{property} of \"{node}\", which is malformed"),
            Self::Dropped { node, full } => write!(f, "\"{node}\", since {full}"),
            Self::NotAffinity { node } => write!(f, "what reg of \"{node}\" states beside the affinity"),
        }
    }
}

/// What the machine states and the boot goes on without, to be said in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks<'t> {
    kept: ArrayVec<Remark<'t>, REMARKS>,
    more: usize,
}

impl<'t> Remarks<'t> {
    /// None yet.
    pub const fn new() -> Self {
        Self { kept: ArrayVec::new_const(), more: 0 }
    }

    /// Adds one.
    #[cold]
    pub fn add(&mut self, remark: Remark<'t>) {
        // A value that is read twice is said once.
        if self.kept.last() == Some(&remark) {
            return;
        }
        self.more += usize::from(self.kept.try_push(remark).is_err());
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.kept.len() + self.more
    }

    /// A line of the log for each of the first [`REMARKS`], and one for the others.
    pub fn lines(&self) -> impl Iterator<Item = Ignored<'t>> {
        let more = Some(self.more).filter(|more| *more > 0).map(Ignored::More);
        self.kept.iter().copied().map(Ignored::One).chain(more)
    }
}

/// A line of the log that says what the boot goes on without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored<'t> {
    /// Which.
    One(Remark<'t>),
    /// How many that are not named.
    More(usize),
}

impl fmt::Display for Ignored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(remark) => write!(f, "device tree: ignored {remark}"),
            Self::More(more) => write!(f, "device tree: ignored {more} more"),
        }
    }
}

/// A range of RAM as the machine states it: unaligned and overlapping ranges are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// The physical bytes.
    pub range: PhysRange,
    /// The NUMA node, 0 where none is stated.
    pub node: u16,
}

/// A range that firmware keeps or has written to, at a stated place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation<'t> {
    /// The physical bytes; they need not be RAM.
    pub range: PhysRange,
    /// Whether the range must not be mapped at all, lest speculation reach it.
    pub no_map: bool,
    /// What the machine calls it; may be empty.
    pub name: &'t str,
}

/// A reserved range whose place the memory map chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicReservation<'t> {
    /// Length in bytes.
    pub length: u64,
    /// Alignment in bytes, a power of two of at least a page.
    pub alignment: u64,
    /// Physical ranges of which one must hold it; none stated means anywhere.
    pub within: ArrayVec<PhysRange, 4>,
    /// Whether the range must not be mapped at all.
    pub no_map: bool,
    /// Whether the system may use it meanwhile: a wish, so a machine too small for it still boots.
    pub reusable: bool,
    /// What the machine calls it.
    pub name: &'t str,
}

/// How a secondary processor is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableMethod {
    /// Nothing is stated, or a method that the loader does not know.
    Unknown,
    /// By PSCI's CPU_ON.
    Psci,
    /// By writing the entry address to this physical address, which the processor polls.
    SpinTable(PhysAddr),
}

/// One processor, packed: a server has hundreds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    affinity_low: u32,
    release_low: u32,
    release_high: u16,
    node: u16,
    affinity_3: u8,
    method: u8,
    disabled: bool,
}

impl Cpu {
    /// The affinity fields of MPIDR_EL1 (Arm ARM D23.2.101): Aff3 in bits 39 to 32, Aff2 to Aff0 in 23 to 0.
    pub const AFFINITY_MASK: u64 = 0x00FF_00FF_FFFF;

    /// `None` if `affinity` has bits outside MPIDR's affinity fields.
    pub const fn new(affinity: u64, method: EnableMethod, node: u16, disabled: bool) -> Option<Self> {
        if affinity & !Self::AFFINITY_MASK != 0 {
            return None;
        }
        let (method, release) = match method {
            EnableMethod::Unknown => (0, 0),
            EnableMethod::Psci => (1, 0),
            EnableMethod::SpinTable(address) => (2, address.get()),
        };
        Some(Self {
            affinity_low: affinity as u32,
            release_low: release as u32,
            release_high: (release >> 32) as u16,
            node,
            affinity_3: (affinity >> 32) as u8,
            method,
            disabled,
        })
    }

    /// MPIDR_EL1's affinity fields; the register's other bits are 0 here.
    pub const fn affinity(&self) -> u64 {
        (self.affinity_3 as u64) << 32 | self.affinity_low as u64
    }

    /// How it is started.
    pub const fn enable_method(&self) -> EnableMethod {
        match self.method {
            1 => EnableMethod::Psci,
            2 => match PhysAddr::new((self.release_high as u64) << 32 | self.release_low as u64) {
                Some(address) => EnableMethod::SpinTable(address),
                None => EnableMethod::Unknown,
            },
            _ => EnableMethod::Unknown,
        }
    }

    /// The NUMA node, 0 where none is stated.
    pub const fn node(&self) -> u16 {
        self.node
    }

    /// Whether the machine states that it is off until something enables it (`status` is not okay).
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cpu {:#x} node {} {:?}", self.affinity(), self.node, self.enable_method())?;
        if self.disabled { f.write_str(" disabled") } else { Ok(()) }
    }
}

/// The instruction by which PSCI is called (SMC Calling Convention, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc #0`, answered at EL2.
    Hvc,
    /// `smc #0`, answered at EL3 (or trapped at EL2).
    Smc,
}

/// The least PSCI version that the machine states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PsciVersion {
    /// 0.1: function numbers are the machine's own, the standard ones do not hold.
    V0_1,
    /// 0.2: standard function numbers.
    V0_2,
    /// 1.0 or later: PSCI_VERSION tells more.
    V1_0,
}

/// The machine's power interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Psci {
    /// The least version.
    pub version: PsciVersion,
    /// How it is called.
    pub conduit: Conduit,
}

/// The serial port that firmware uses for its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// Which registers it has.
    pub kind: UartKind,
    /// Physical address of the first register.
    pub base: PhysAddr,
    /// log2 of the distance between two registers, in bytes (16550 only).
    pub register_shift: u8,
    /// Bytes of one register access: 1, 2 or 4.
    pub access_width: u8,
    /// The clock that feeds it, in Hz, where the machine states it.
    pub clock: Option<u32>,
}

impl Console {
    /// The page of its registers.
    pub fn pages(&self) -> PhysRange {
        PhysRange::new(self.base, 1).unwrap_or_default().aligned_outward(PageSize::Size4K)
    }
}

/// What whoever started the loader asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootRequest<'t> {
    /// The command line; empty if none.
    pub command_line: &'t str,
    /// The initial RAM disk's physical bytes.
    pub initrd: Option<PhysRange>,
    /// Random bytes from firmware; wiped where they came from.
    pub rng_seed: &'t [u8],
    /// Random number from firmware for address layout; 0 if none.
    pub kaslr_seed: u64,
    /// The console as asked for, with options, whether or not it was found; empty if none.
    pub console_path: &'t str,
}

/// A machine, described. See the module's documentation for what always holds.
#[derive(Clone, Debug, Default)]
pub struct Machine<'t> {
    /// The board's name; may be empty.
    pub model: &'t str,
    /// All RAM that is okay to use, as stated.
    pub memory: ArrayVec<MemoryRange, MEMORY_RANGES>,
    /// Reserved ranges at stated places.
    pub reservations: ArrayVec<Reservation<'t>, RESERVATIONS>,
    /// Reserved ranges to be placed.
    pub dynamic_reservations: ArrayVec<DynamicReservation<'t>, DYNAMIC_RESERVATIONS>,
    /// Processors, in the machine's order.
    pub cpus: ArrayVec<Cpu, CPUS>,
    /// The power interface, if there is one.
    pub psci: Option<Psci>,
    /// The serial port for output, if one is stated and its kind is known.
    pub console: Option<Console>,
    /// The timer's frequency in Hz where the machine overrides CNTFRQ_EL0, which firmware should have set.
    pub timer_frequency: Option<u32>,
    /// What whoever started the loader asks for.
    pub boot: BootRequest<'t>,
    /// What is stated and the boot goes on without.
    pub remarks: Remarks<'t>,
}

impl<'t> Machine<'t> {
    /// A machine of which nothing is known.
    pub const fn new() -> Self {
        Self {
            model: "",
            memory: ArrayVec::new_const(),
            reservations: ArrayVec::new_const(),
            dynamic_reservations: ArrayVec::new_const(),
            cpus: ArrayVec::new_const(),
            psci: None,
            console: None,
            timer_frequency: None,
            boot: BootRequest {
                command_line: "",
                initrd: None,
                rng_seed: &[],
                kaslr_seed: 0,
                console_path: "",
            },
            remarks: Remarks::new(),
        }
    }

    /// Adds a range of RAM.
    ///
    /// # Errors
    /// [`Full`] past [`MEMORY_RANGES`].
    pub fn add_memory(&mut self, range: PhysRange, node: u16) -> Result<(), Full> {
        let full = Full { what: "memory ranges", limit: MEMORY_RANGES };
        self.memory.try_push(MemoryRange { range, node }).map_err(|_| full)
    }

    /// Adds a reserved range.
    ///
    /// # Errors
    /// [`Full`] past [`RESERVATIONS`].
    pub fn add_reservation(&mut self, range: PhysRange, no_map: bool, name: &'t str) -> Result<(), Full> {
        let full = Full { what: "reserved ranges", limit: RESERVATIONS };
        self.reservations.try_push(Reservation { range, no_map, name }).map_err(|_| full)
    }

    /// Takes out the last of the reserved ranges to be placed that is only a wish; its name.
    pub fn drop_wish(&mut self) -> Option<&'t str> {
        let last = self.dynamic_reservations.iter().rposition(|wanted| wanted.reusable)?;
        self.dynamic_reservations.pop_at(last).map(|wish| wish.name)
    }

    /// Adds a reserved range to be placed.
    ///
    /// # Errors
    /// [`Full`] past [`DYNAMIC_RESERVATIONS`].
    pub fn add_dynamic_reservation(&mut self, reservation: DynamicReservation<'t>) -> Result<(), Full> {
        let full = Full { what: "reserved ranges without a place", limit: DYNAMIC_RESERVATIONS };
        self.dynamic_reservations.try_push(reservation).map_err(|_| full)
    }

    /// Adds a processor.
    ///
    /// # Errors
    /// [`Full`] past [`CPUS`].
    pub fn add_cpu(&mut self, cpu: Cpu) -> Result<(), Full> {
        self.cpus.try_push(cpu).map_err(|_| Full { what: "processors", limit: CPUS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_keeps_all_that_it_was_made_of() {
        let release = PhysAddr::new(0xFEDC_BA98_7654).unwrap();
        for method in [EnableMethod::Unknown, EnableMethod::Psci, EnableMethod::SpinTable(release)] {
            let cpu = Cpu::new(0xAB_0012_3456, method, 0xFFFE, true).unwrap();
            assert_eq!(cpu.affinity(), 0xAB_0012_3456);
            assert_eq!(cpu.enable_method(), method);
            assert_eq!((cpu.node(), cpu.is_disabled()), (0xFFFE, true));
        }
        assert_eq!(Cpu::new(0x100_0000, EnableMethod::Psci, 0, false), None);
        assert_eq!(size_of::<Cpu>(), 16);
    }

    #[test]
    fn a_list_that_is_full_says_so() {
        let mut machine = Machine::new();
        let range = PhysRange::from_bounds(0, 1).unwrap();
        for _ in 0..MEMORY_RANGES {
            machine.add_memory(range, 0).unwrap();
        }
        let full = machine.add_memory(range, 0).unwrap_err();
        assert_eq!(full.to_string(), "the machine has more than 64 memory ranges");
    }
}
