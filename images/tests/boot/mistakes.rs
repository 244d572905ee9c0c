//! Broken kernels: for each mistake of a kernel's author the words that name it or its place.
//!
//! Most are made by the example `mistakes`; what is a linker's or an entry's to get wrong is an ELF file made here. The
//! table of `docs/mistakes.md` is written from the one below (`BLESS=1`), and compared with it.

use std::path::Path;

use libtest_mimic::Failed;
use shared_abi::note::Note;

use crate::Behaviour;
use crate::elf_builder::{ET_EXEC, ElfBuilder, FREE, LINK, Program, RW, RWX, RX};
use crate::handoff::{Ended, Scratch, handoff};
use crate::stopped::small;

/// A mistake.
struct Mistake {
    /// What was done wrong.
    what: &'static str,
    made_by: Maker,
    /// The status that `run` leaves with.
    status: i32,
    /// What is said of it.
    words: &'static [&'static str],
}

/// Who makes a mistake.
enum Maker {
    /// The example kernel, by this word.
    Example(&'static str),
    /// An ELF file.
    File(fn() -> Vec<u8>),
}

use Maker::{Example, File};

const fn mistake(what: &'static str, made_by: Maker, status: i32, words: &'static [&'static str]) -> Mistake {
    Mistake { what, made_by, status, words }
}

const FAULT: i32 = 103;
const HANG: i32 = 124;
const HOST: i32 = 2;

const MISTAKES: [Mistake; 33] = [
    mistake(
        "no entry point: no ENTRY in the linker script",
        File(without_entry),
        HOST,
        &["error E0225", "lies in no executable segment", "set `ENTRY` to a symbol in the text"],
    ),
    mistake(
        "linked at its load address, in the low half",
        File(linked_low),
        HOST,
        &["error E0203", "lies outside the kernel window"],
    ),
    mistake(
        "code and data share a page: no ALIGN in the linker script",
        File(shared_page),
        HOST,
        &["error E0221", "belongs to segments 1 and 2, which have different rights"],
    ),
    mistake(
        "a segment that is writable and executable",
        File(writable_code),
        HOST,
        &["error E0223", "segment 1 is both writable and executable"],
    ),
    mistake(
        "no .bss in the linker script's segments",
        File(without_bss),
        FAULT,
        &["bytes behind the kernel's last segment", "such as .bss, is missing a segment"],
    ),
    mistake(
        "the clearing of .bss runs too far",
        File(clears_too_much),
        FAULT,
        &["0x0 bytes behind the kernel's last segment", "an end symbol or an index is too large"],
    ),
    mistake(
        "a return from the entry function",
        File(returns),
        FAULT,
        &["the kernel returned from its entry function, which nobody called"],
    ),
    mistake(
        "an endless recursion, a stack overflow",
        Example("recursion"),
        FAULT,
        &["the guard below the boot stack: its 64 KiB are used up", "mistakes::recursion+0x"],
    ),
    mistake(
        "a null pointer to a structure",
        Example("null_field"),
        FAULT,
        &["the null page: a field 0x18 bytes behind a null pointer", "mistakes::null_field+0x"],
    ),
    mistake(
        "a call by a function pointer that was never set",
        Example("null_call"),
        FAULT,
        &["the null page: a call or return to 0", "mistakes::null_call+0x"],
    ),
    mistake(
        "the serial port at its physical address",
        Example("console_address"),
        FAULT,
        &["0x9000000 is the console's registers", "use its virtual address, 0xffff"],
    ),
    mistake(
        "a device at its physical address",
        Example("device_address"),
        FAULT,
        &["0x8000000 is intc@8000000's registers", "map intc@8000000 as device memory"],
    ),
    mistake(
        "RAM at its physical address",
        Example("ram_address"),
        FAULT,
        &["is RAM, device tree", "use its virtual address in the direct map, 0xffff"],
    ),
    mistake(
        "a pointer that text was written over",
        Example("wild_pointer"),
        FAULT,
        &["0x4141414141414141: no address of either half", "the pointer was overwritten"],
    ),
    mistake(
        "a return address that a buffer ran over",
        Example("damaged_return"),
        FAULT,
        &["a return address or a function pointer was overwritten", "mistakes::kmain+0x"],
    ),
    mistake(
        "a write to a constant",
        Example("write_to_constant"),
        FAULT,
        &["constants: segment 2 is r--", "make it mutable data"],
    ),
    mistake("code that changes itself", Example("write_to_code"), FAULT, &["code: segment 1 is r-x"]),
    mistake(
        "a call into data",
        Example("call_of_data"),
        FAULT,
        &["data: segment 3 is rw-, and nothing there is executed", "mistakes::call_of_data+0x"],
    ),
    mistake(
        "memory that was freed",
        Example("freed_block"),
        FAULT,
        &[
            "a page of the heap's window that is not mapped: never allocated, or freed since",
            "mistakes::freed_block+0x",
        ],
    ),
    mistake(
        "BootInfo after its memory was taken back",
        Example("reclaimed_boot_info"),
        FAULT,
        &["mapped at entry, and no longer: the kernel has unmapped it"],
    ),
    mistake(
        "an atomic that is not aligned",
        Example("unaligned_atomic"),
        FAULT,
        &["an access that must be aligned: an atomic or exclusive one"],
    ),
    mistake(
        "built for a newer CPU",
        Example("newer_instruction"),
        FAULT,
        &["an atomic instruction of Armv8.1 (LSE), which this CPU lacks"],
    ),
    mistake(
        "PSCI by the wrong conduit",
        Example("wrong_conduit"),
        FAULT,
        &["SMC where nobody answers it", "the conduit that BootInfo names: hvc"],
    ),
    mistake(
        "TTBR0_EL1 set, its walks still disabled",
        Example("user_walks_disabled"),
        FAULT,
        &["TCR_EL1.EPD0 still disables walks through it", "and ISB"],
    ),
    mistake(
        "a fault with VBAR_EL1 at a physical address: a double fault",
        Example("no_vectors"),
        HANG,
        &[
            "faulting in a loop: instruction abort: translation fault, level 0, at 0x0000000040080200",
            "VBAR_EL1 leads to no code",
        ],
    ),
    mistake(
        "a fault handler that faults",
        Example("faulting_handler"),
        HANG,
        &[
            "faulting in a loop: data abort on a read: translation fault, level 0, at 0x",
            "(faulting_vectors+0x204), in the vectors themselves: the handler faults as well",
        ],
    ),
    mistake(
        "an interrupt handler that does not quiet its device",
        Example("interrupt_storm"),
        HANG,
        &["in an interrupt storm: IRQ after IRQ at 0x", "(mistakes::mistakes::interrupt_storm+0x"],
    ),
    mistake(
        "a lock that is taken twice",
        Example("lock_twice"),
        HANG,
        &[
            "spinning in mistakes::mistakes::lock_twice: it waits for memory at 0x",
            "(mistakes::mistakes::LOCK+0x8) to change",
        ],
    ),
    mistake(
        "a flag that nobody sets",
        Example("flag_nobody_sets"),
        HANG,
        &[
            "spinning in mistakes::mistakes::flag_nobody_sets: it waits for memory at 0x",
            "(mistakes::mistakes::IS_READY) to change",
        ],
    ),
    mistake(
        "a second CPU started at a virtual address",
        Example("second_cpu"),
        HANG,
        &[
            "CPU 0: spinning in mistakes::mistakes::second_cpu",
            "CPU 1: faulting in a loop",
            "VBAR_EL1 leads to no code, and its MMU is off",
        ],
    ),
    mistake(
        "WFI with no interrupt enabled",
        Example("sleep_masked"),
        HANG,
        &[
            "asleep in WFI with interrupts masked: one wakes it, but none is taken",
            "mistakes::sleep_masked+0x",
        ],
    ),
    mistake(
        "WFE for an event that nobody sends",
        Example("event_nobody_sends"),
        HANG,
        &["waiting for an event (WFE) in mistakes::mistakes::event_nobody_sends"],
    ),
    mistake(
        "an endless loop in place of an end",
        Example("endless_loop"),
        HANG,
        &["spinning in mistakes::mistakes::endless_loop: a branch to itself"],
    ),
];

fn without_entry() -> Vec<u8> {
    let mut file = ElfBuilder::good();
    file.entry = 0;
    file.build()
}

fn linked_low() -> Vec<u8> {
    ElfBuilder::new(ET_EXEC, 0x4008_0000, &Note::DEFAULT)
        .segment(Program::load(RX, 0x4008_0000, FREE, 0x100))
        .build()
}

fn shared_page() -> Vec<u8> {
    ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT)
        .segment(Program::load(RX, LINK, FREE, 0x100))
        .segment(Program::load(RW, LINK + 0x800, FREE + 0x800, 0x100))
        .build()
}

fn writable_code() -> Vec<u8> {
    ElfBuilder::new(ET_EXEC, LINK, &Note::DEFAULT).segment(Program::load(RWX, LINK, FREE, 0x100)).build()
}

/// Adds to a word on the page behind data, where `.bss` ought to be.
fn without_bss() -> Vec<u8> {
    // adr x0, .+0x3000; str xzr, [x0]
    small(&[0x1001_8000, 0xF900_001F], 0x1000)
}

/// Clears from the start of `.bss` on, and past its end.
fn clears_too_much() -> Vec<u8> {
    // adr x0, .+0x1000; str xzr, [x0], #8; b .-4
    small(&[0x1000_8000, 0xF800_841F, 0x17FF_FFFF], 0x1000)
}

fn returns() -> Vec<u8> {
    small(&[0xD65F_03C0], 0x1000)
}

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = MISTAKES
        .iter()
        .enumerate()
        .map(|(number, mistake)| {
            let name = mistake.what.to_lowercase();
            let name =
                name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            let name = name.collect::<Vec<_>>().join("_");
            Behaviour::new(format!("mistake_{name}"), move || told(number, mistake))
        })
        .collect();
    list.push(Behaviour::new("the_page_on_mistakes_has_each_with_its_words", page));
    list
}

fn told(number: usize, mistake: &Mistake) -> Result<(), Failed> {
    // A kernel that hangs is looked at when this is over; one that faults ends long before.
    let run = ["run", "--cpus", "2", "--timeout", if mistake.status == HANG { "3" } else { "60" }];
    let ended = match mistake.made_by {
        Example(word) => handoff(&[&run[..], &["mistakes", "--append", word]].concat())?,
        File(make) => {
            let file = Scratch::new(&format!("mistake-{number}.elf"), &make())?;
            handoff(&[&run[..], &["--kernel", file.path()]].concat())?
        }
    };
    let ended = ended.expect_status(mistake.status)?;
    mistake.words.iter().try_fold(ended, |ended, words| ended.expect_words(words))?.helps()
}

impl Ended {
    /// It says what to do, once.
    fn helps(self) -> Result<(), Failed> {
        let lines = self.words.lines().filter(|line| line.starts_with("help: ")).count();
        self.expect(lines == 1, "there is no single line of help").map(drop)
    }
}

fn page() -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mistakes.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) =
        page.split_once("<!-- mistakes -->\n").ok_or("the page has no place for the table")?;
    let (_, after) = rest.split_once("<!-- end -->").ok_or("the table has no end")?;
    let mut table =
        "| mistake | made by | `run` leaves with | and says |\n| --- | --- | ---: | --- |\n".to_owned();
    for Mistake { what, made_by, status, words } in &MISTAKES {
        let made_by = match made_by {
            Example(word) => format!("`{word}`"),
            File(_) => "an ELF file".into(),
        };
        let words: Vec<_> = words.iter().map(|words| format!("“{words}”")).collect();
        table += &format!("| {what} | {made_by} | {status} | {} |\n", words.join(", "));
    }
    let right = format!("{before}<!-- mistakes -->\n{table}<!-- end -->{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &right)?;
        return Ok(());
    }
    match page == right {
        true => Ok(()),
        false => Err("docs/mistakes.md has another table: BLESS=1 writes it".into()),
    }
}
