//! Faults in the way that the command line asks for, so that the report can be checked.
//!
//! Each fault is one instruction with a label, and a line beforehand says what is about to happen and where: any
//! other crash is not the one that was asked for. The report is the resident loader's, or with `own` as a second word
//! that of the kernel library's vectors.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod faults {
    use core::arch::global_asm;

    use kernel::machine::{console, ending, vectors};
    use kernel::println;
    use shared_abi::entry::Handoff;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    // Each takes an address in x0, and comes back if nothing happens.
    global_asm!(
        ".section .text.faults, \"ax\"",
        ".global fault_read, fault_write, fault_jump, fault_stack, fault_undefined, fault_refused, fault_unaligned",
        ".type fault_read, %function",
        "fault_read: ldr x1, [x0]",
        "ret",
        ".size fault_read, . - fault_read",
        ".type fault_write, %function",
        "fault_write: str xzr, [x0]",
        "ret",
        ".size fault_write, . - fault_write",
        // The faulting address is the one that is jumped to.
        ".type fault_jump, %function",
        "fault_jump: br x0",
        ".size fault_jump, . - fault_jump",
        ".type fault_stack, %function",
        "fault_stack: str x0, [sp, #-16]!",
        "b fault_stack",
        ".size fault_stack, . - fault_stack",
        ".type fault_undefined, %function",
        "fault_undefined: udf #0xF00D",
        "ret",
        ".size fault_undefined, . - fault_undefined",
        // As `entry!` does it, with the code of a checksum that is wrong.
        ".type fault_refused, %function",
        "fault_refused: brk #{refused}",
        "ret",
        ".size fault_refused, . - fault_refused",
        // With alignment checked, as a kernel may want it; the fifth instruction faults.
        ".type fault_unaligned, %function",
        "fault_unaligned: mrs x1, sctlr_el1",
        "orr x1, x1, #2",
        "msr sctlr_el1, x1",
        "isb",
        "ldr x1, [x0]",
        "ret",
        ".size fault_unaligned, . - fault_unaligned",
        refused = const shared_abi::entry::REFUSED,
    );

    unsafe extern "C" {
        fn fault_read(address: u64);
        fn fault_write(address: u64);
        fn fault_jump(address: u64);
        fn fault_stack(address: u64);
        fn fault_undefined(address: u64);
        fn fault_refused(code: u64);
        fn fault_unaligned(address: u64);
    }

    static mut DATA: [u64; 2] = [0; 2];
    static CONSTANT: u64 = 0xC0DE;

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        let word = match info.command_line().split_once(' ') {
            Some((word, "own")) => {
                vectors::install(&info);
                word
            }
            _ => info.command_line(),
        };
        let text = fault_read as *const () as u64;
        let stack = info.boot_stack();
        let kernel = info.kernel();
        let frame = info.extents().find(|extent| extent.rights().is_executable());
        let alias = frame.map_or(0, |text| text.phys_start.wrapping_add(info.direct_map().virt_offset));
        let physical = frame.map_or(0, |text| text.phys_start);
        let at = |fault: unsafe extern "C" fn(u64)| fault as *const () as u64;
        let (what, fault, place, address): (_, unsafe extern "C" fn(u64), _, _) = match word {
            "null-read" => ("read null", fault_read, at(fault_read), 8),
            "physical-read" => ("read a physical address", fault_read, at(fault_read), physical),
            "null-call" => ("call null", fault_jump, 0, 0),
            "text-write" => ("write to text", fault_write, at(fault_write), text),
            "constant-write" => {
                ("write to a constant", fault_write, at(fault_write), &raw const CONSTANT as u64)
            }
            "boot-info-write" => {
                ("write to BootInfo", fault_write, at(fault_write), info.bytes().as_ptr() as u64)
            }
            "alias-write" => ("write to text through the direct map", fault_write, at(fault_write), alias),
            "data-jump" => ("jump into data", fault_jump, &raw const DATA as u64, &raw const DATA as u64),
            "stack-jump" => ("jump into the stack", fault_jump, stack.virt_bottom, stack.virt_bottom),
            "direct-map-jump" => ("jump into the direct map", fault_jump, alias, alias),
            // The first store below the stack's last byte.
            "stack-overflow" => ("overflow the stack", fault_stack, at(fault_stack), stack.virt_bottom - 16),
            "gap-read" => {
                ("read past the kernel", fault_read, at(fault_read), kernel.virt_start + kernel.length)
            }
            "undefined" => ("run an undefined instruction", fault_undefined, at(fault_undefined), 0),
            "unaligned-read" => {
                let address = &raw const CONSTANT as u64 + 1;
                ("read unaligned", fault_unaligned, at(fault_unaligned) + 16, address)
            }
            "refused" => ("refuse BootInfo", fault_refused, at(fault_refused), 609),
            other => panic!("the command line \"{other}\" names no fault"),
        };
        println!("about to {what} at {place:#018x}, address {address:#018x}");
        // SAFETY: none: it is to fault, and if it does not, that is a bad verdict.
        unsafe { fault(address) };
        println!("nothing happened");
        ending::finish(Verdict::Bad(1))
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel fault --append null-read boots it");
}
