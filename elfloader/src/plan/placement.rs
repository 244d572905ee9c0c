//! Where things go in the virtual address space: slide, heap window, direct map.
//!
//! Deterministic: randomness is an argument. A kernel that is slid goes to one of all places in the slide
//! window at the step that its alignment allows (2 MiB for most: 25 bits and more), each equally likely.

use shared_abi::addr::{PAGE_SHIFT, PageSize, VirtAddr, VirtRange, align_down, align_up};
use shared_abi::contract::{DIRECT_MAP_WINDOW, HEAP_START, KERNEL_WINDOW, SLIDE_WINDOW};
use shared_abi::note::Note;

use super::PlanError;
use crate::kernel_elf::{KernelElf, Position};

/// Where to move a position-independent kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slide {
    /// As linked if that is in the kernel window, else to the window's start.
    Off,
    /// To a random place in the slide window.
    Random,
    /// By this many bytes from where it is linked, modulo 2⁶⁴: for comparing a plan with a boot.
    Fixed(u64),
}

/// Where to put the direct map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectMap {
    /// At the start of its window.
    Lowest,
    /// At a random multiple of 1 GiB in its window.
    Random,
    /// With this virtual address of physical address 0.
    Fixed(u64),
}

/// What decides the placement besides kernel, machine and randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where to move the kernel.
    pub slide: Slide,
    /// Where to put the direct map.
    pub direct_map: DirectMap,
}

impl Policy {
    /// What the note allows: everything random that it leaves open, or nothing if `randomize` is off.
    pub const fn new(note: &Note, randomize: bool) -> Self {
        let slide = if randomize && note.may_slide() { Slide::Random } else { Slide::Off };
        let direct_map = match note.fixed_direct_map_offset() {
            Some(offset) => DirectMap::Fixed(offset),
            None if randomize => DirectMap::Random,
            None => DirectMap::Lowest,
        };
        Self { slide, direct_map }
    }
}

/// The places chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// What is added to every link-time address, modulo 2⁶⁴.
    pub slide: u64,
    /// The image's pages, from the first segment to the end of the last.
    pub image: VirtRange,
    /// The entry point, in it.
    pub entry: VirtAddr,
    /// The heap window: free addresses of the kernel window, empty if the image fills it.
    pub heap: VirtRange,
    /// Virtual address of physical address 0 in the direct map, a multiple of 1 GiB.
    pub direct_map_offset: u64,
}

impl Placement {
    /// Chooses. `ram_end` is the first physical address past all RAM that the direct map must hold.
    ///
    /// # Errors
    /// [`PlanError::OutsideWindow`], [`PlanError::NoRoom`], [`PlanError::Slide`], [`PlanError::DirectMap`].
    pub fn choose(
        elf: &KernelElf<'_>,
        policy: &Policy,
        entropy: [u64; 2],
        ram_end: u64,
    ) -> Result<Self, PlanError> {
        let slide = choose_slide(elf, policy.slide, entropy[0])?;
        let image = slid_image(elf, slide)?;
        let entry = image.at(elf.entry() - (elf.image_pages().0 << PAGE_SHIFT));
        let heap = heap_window(image);
        let direct_map_offset = choose_direct_map(policy.direct_map, entropy[1], ram_end)?;
        Ok(Self { slide, image, entry, heap, direct_map_offset })
    }
}

/// One of `count` choices, equally likely as far as 64 bits allow.
const fn pick(random: u64, count: u64) -> u64 {
    ((random as u128 * count as u128) >> 64) as u64
}

fn choose_slide(elf: &KernelElf<'_>, slide: Slide, random: u64) -> Result<u64, PlanError> {
    let step = match elf.position() {
        Position::Fixed => 0,
        Position::Independent => elf.alignment().max(PageSize::Size2M.bytes()),
    };
    if step == 0 {
        return match slide {
            Slide::Fixed(asked) if asked != 0 => Err(PlanError::Slide { asked, step }),
            _ => Ok(0),
        };
    }
    let (first, end) = elf.image_pages();
    let link_start = align_down(first << PAGE_SHIFT, step);
    let size = (end << PAGE_SHIFT) - link_start;
    let no_room = PlanError::NoRoom { size, alignment: step };
    // Number of places in a window at the step, and the first of them.
    let places = |window: VirtRange| -> Option<(u64, u64)> {
        let start = align_up(window.start().get(), step)?;
        let room = window.end().checked_sub(start)?.checked_sub(size)?;
        Some((start, room / step + 1))
    };
    match slide {
        Slide::Fixed(asked) if asked.is_multiple_of(step) => Ok(asked),
        Slide::Fixed(asked) => Err(PlanError::Slide { asked, step }),
        Slide::Off => {
            let linked = VirtRange::from_bounds(first << PAGE_SHIFT, end << PAGE_SHIFT);
            if linked.is_some_and(|linked| KERNEL_WINDOW.covers(linked)) {
                return Ok(0);
            }
            let (start, _) = places(KERNEL_WINDOW).ok_or(no_room)?;
            Ok(start.wrapping_sub(link_start))
        }
        Slide::Random => {
            let (start, count) = places(SLIDE_WINDOW).ok_or(no_room)?;
            Ok((start + pick(random, count) * step).wrapping_sub(link_start))
        }
    }
}

/// The image's pages after the slide, inside one of the two windows.
fn slid_image(elf: &KernelElf<'_>, slide: u64) -> Result<VirtRange, PlanError> {
    let (first, end) = elf.image_pages();
    let slid = |page: u64| (page << PAGE_SHIFT).wrapping_add(slide);
    let image = VirtRange::from_bounds(slid(first), slid(end));
    if let Some(image) = image.filter(|&image| KERNEL_WINDOW.covers(image) || SLIDE_WINDOW.covers(image)) {
        return Ok(image);
    }
    // Name the first segment that leaves the window in which the image begins.
    let window = [KERNEL_WINDOW, SLIDE_WINDOW]
        .into_iter()
        .find(|window| window.start().get() <= slid(first) && slid(first) < window.end());
    let inside = |range: VirtRange| window.is_some_and(|window| window.covers(range));
    for segment in elf.segments() {
        let (start, end) = (segment.start().wrapping_add(slide), segment.end().wrapping_add(slide));
        if !VirtRange::from_bounds(start, end).is_some_and(inside) {
            return Err(PlanError::OutsideWindow { segment: segment.number(), start, end });
        }
    }
    Err(PlanError::NoRoom { size: (end - first) << PAGE_SHIFT, alignment: elf.alignment() })
}

/// The larger part of the kernel window, from the announced start of the heap on, that the image leaves free.
fn heap_window(image: VirtRange) -> VirtRange {
    const STEP: u64 = PageSize::Size2M.bytes();
    let end = KERNEL_WINDOW.end();
    let below = align_down(image.start().get(), STEP).clamp(HEAP_START, end);
    let above = align_up(image.end(), STEP).unwrap_or(end).clamp(HEAP_START, end);
    let (start, end) = if end - above >= below - HEAP_START { (above, end) } else { (HEAP_START, below) };
    VirtRange::from_bounds(start, end).unwrap_or(KERNEL_WINDOW)
}

fn choose_direct_map(place: DirectMap, random: u64, ram_end: u64) -> Result<u64, PlanError> {
    const STEP: u64 = PageSize::Size1G.bytes();
    let lowest = DIRECT_MAP_WINDOW.start().get();
    let room = (DIRECT_MAP_WINDOW.end() - lowest).checked_sub(ram_end);
    let room = room.ok_or(PlanError::DirectMap { offset: lowest, end: ram_end })?;
    match place {
        DirectMap::Lowest => Ok(lowest),
        DirectMap::Random => Ok(lowest + pick(random, room / STEP + 1) * STEP),
        DirectMap::Fixed(offset) => match offset.checked_sub(lowest) {
            Some(above) if above <= room && above.is_multiple_of(STEP) => Ok(offset),
            _ => Err(PlanError::DirectMap { offset, end: ram_end }),
        },
    }
}
