//! Uses every feature that the contract says is open, and finds each that is closed undefined.
//!
//! The rows of the contract's table are taken one by one: the processor's ID registers say whether it has the feature, and
//! the row's instructions are carried out. What the loader cannot know, since it was entered at EL1, is used all the same
//! and only counted. A name on the command line is left out: what firmware at EL3 keeps without an answer, a use of
//! which would never come back.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(target_os = "none")]
mod features {
    use core::arch::asm;
    use core::sync::atomic::{AtomicBool, Ordering};

    use kernel::faults::{Fault, FaultHook, Interest, Interrupted, Resolution};
    use kernel::machine::vectors;
    use shared_abi::boot_info::ClosedFeatures;
    use shared_abi::contract::features::{self, FEATURES};
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    use crate::bare::id::id_register;
    use crate::{bare, say};

    shared_abi::entry!(kmain);

    /// Each row's instructions, with what fills them up and returns.
    #[used]
    #[unsafe(link_section = ".text.probes")]
    static PROBES: [[u32; 5]; FEATURES.len()] = {
        const NOP: u32 = 0xD503_201F;
        const RET: u32 = 0xD65F_03C0;
        let mut probes = [[NOP, NOP, NOP, NOP, RET]; FEATURES.len()];
        let mut at = 0;
        while at < FEATURES.len() {
            let mut word = 0;
            while word < FEATURES[at].probe.len() {
                probes[at][word] = FEATURES[at].probe[word];
                word += 1;
            }
            at += 1;
        }
        probes
    };

    /// Notes an undefined instruction and goes on behind the row's.
    struct Undefined;

    static WAS_UNDEFINED: AtomicBool = AtomicBool::new(false);

    impl FaultHook for Undefined {
        fn resolve(&self, fault: &Fault, frame: &mut Interrupted<'_>) -> Resolution {
            let probes = PROBES.as_ptr_range();
            if !(probes.start as u64..probes.end as u64).contains(&fault.at) {
                return Resolution::NotMine;
            }
            WAS_UNDEFINED.store(true, Ordering::Relaxed);
            // SAFETY: `is_undefined` called the instructions, which keep the link register.
            let frame = unsafe { frame.get_mut() };
            frame.elr = frame.link_register();
            Resolution::Resolved
        }
    }

    static UNDEFINED: Undefined = Undefined;

    /// Whether the row's instructions, carried out, are undefined.
    fn is_undefined(row: usize) -> bool {
        WAS_UNDEFINED.store(false, Ordering::Relaxed);
        // SAFETY: the table says that the row's instructions change x0 to x2 and no memory; RET follows them.
        unsafe {
            asm!("blr {}", in(reg) PROBES[row].as_ptr(), out("x0") _, out("x1") _, out("x2") _, out("x30") _,
                options(nostack))
        };
        WAS_UNDEFINED.load(Ordering::Relaxed)
    }

    fn kmain(info: Handoff) -> ! {
        bare::start(&info);
        vectors::install(&info);
        if !vectors::add_hook(Interest::Class(0), &UNDEFINED) {
            say!("features: no room for a hook");
            bare::end(Verdict::Bad(1));
        }
        // FP, SVE and SME without a trap; the bits of what is not there are reserved.
        // SAFETY: this kernel's own code has no vectors.
        unsafe {
            asm!("msr cpacr_el1, {}", "isb", in(reg) 3_u64 << 16 | 3 << 20 | 3 << 24, options(nomem, nostack))
        };
        let is_ours = info.platform().entry_exception_level > 1;
        let expected = if is_ours { features::closed(id_register) } else { ClosedFeatures::empty() };
        let found = info.platform().closed_features;
        let mut wrong = u32::from(found != expected);
        if wrong > 0 {
            say!("features: BootInfo says {found:?} are closed, not {expected:?}");
        }
        let (mut used, mut undefined) = (0, 0);
        for (row, feature) in FEATURES.iter().enumerate() {
            if feature.probe.is_empty() || !feature.is_shown(id_register) {
                continue;
            }
            if bare::is_asked(&info, feature.name) {
                say!("features: {} is left out", feature.name);
                continue;
            }
            let is_undefined = is_undefined(row);
            let count = if is_undefined { &mut undefined } else { &mut used };
            *count += 1;
            if is_ours && is_undefined != feature.closed.is_some() {
                say!("features: {} is {}", feature.name, if is_undefined { "undefined" } else { "open" });
                wrong += 1;
            }
        }
        say!("features: {used} used, {undefined} undefined, of {}", FEATURES.len());
        bare::end(if wrong == 0 { Verdict::Good } else { Verdict::Bad(wrong) })
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel features boots it");
}
