//! Reads the counter at its first instruction and prints what the boot took, stage by stage.
//!
//! With QEMU's `-icount shift=0` an instruction takes one nanosecond of the machine's time, so a tick of the counter is
//! a known number of instructions and the times are counts: `scripts/bench.sh` does so. HANDOFF_PADDING adds as many
//! bytes to the image, so that the cost of size can be seen.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(target_os = "none")]
mod timeline {
    use core::arch::{asm, global_asm};

    use shared_abi::boot_info::{self, BootInfo};
    use shared_abi::entry::Handoff;
    use shared_abi::note::{Note, NoteRecord};
    use shared_abi::verdict::Verdict;

    use crate::{bare, say};

    #[used]
    #[unsafe(link_section = ".note.handoff")]
    static NOTE: NoteRecord = NoteRecord::new(&Note::DEFAULT);

    const NANOSECONDS: u64 = 1_000_000_000;

    const PADDING: usize = match option_env!("HANDOFF_PADDING") {
        Some(bytes) => match usize::from_str_radix(bytes, 10) {
            Ok(bytes) => bytes,
            Err(_) => panic!("HANDOFF_PADDING is not a number of bytes"),
        },
        None => 0,
    };

    /// Not zero, so that the file holds all of it.
    #[used]
    static FILL: [u8; PADDING] = [0x5A; PADDING];

    global_asm!(
        ".section .text.start, \"ax\"",
        ".global _start",
        "_start:",
        "mrs x1, cntvct_el0",
        "b {main}",
        main = sym main,
    );

    extern "C" fn main(boot_info: *const u8, entered: u64) -> ! {
        // SAFETY: by the contract x0 points to a BootInfo, which is never shorter than its header.
        let header = unsafe { core::slice::from_raw_parts(boot_info, size_of::<boot_info::Header>()) };
        let info = boot_info::announced_size(header).and_then(|size| {
            // SAFETY: as many bytes as the header announces are mapped.
            BootInfo::decode(unsafe { core::slice::from_raw_parts(boot_info, size) })
        });
        let info = match info {
            Ok(info) => info,
            Err(error) => panic!("{error}"),
        };
        // SAFETY: the loader has just entered this kernel with it.
        let info = unsafe { Handoff::new(info) };
        bare::start(&info);
        let frequency = info.platform().timer_frequency.max(1);
        let in_instructions = |ticks: u64| ticks.saturating_mul(NANOSECONDS) / frequency;
        let first = info.timeline().next().map_or(entered, |stage| stage.ticks);
        let mut ends = info.timeline().skip(1).map(|stage| stage.ticks).chain([entered]);
        for stage in info.timeline() {
            let took = ends.next().unwrap_or(entered) - stage.ticks;
            say!("stage {:>10}  {}", in_instructions(took), info.string(stage.name));
        }
        say!("total {:>10}", in_instructions(entered - first));
        say!("known {:>10}  of 2000000 instructions", in_instructions(ticks_of_two_million()));
        bare::end(Verdict::Good)
    }

    /// The ticks of two million instructions, to see whether the counter counts them.
    fn ticks_of_two_million() -> u64 {
        let (before, after): (u64, u64);
        // SAFETY: counts a register down.
        unsafe {
            asm!(
                "mrs {before}, cntvct_el0",
                "2: subs {count}, {count}, #1",
                "b.ne 2b",
                "mrs {after}, cntvct_el0",
                before = out(reg) before,
                after = lateout(reg) after,
                count = inout(reg) 1_000_000u64 => _,
                options(nomem, nostack),
            );
        }
        after - before
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "a kernel runs on a bare machine: scripts/run.sh --kernel timeline -- -icount shift=0 boots it"
    );
}
