//! Kernels' mistakes, those of beginners and of others: the command line names one, and it is made.
//!
//! None is helped to a report by this kernel: it has no vectors of its own, or broken ones, and many never end. What the
//! host tool says of each is in docs/mistakes.md. Each is a function of its own, so that a backtrace names it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod mistakes {
    use alloc::vec;
    use core::arch::{asm, global_asm};
    use core::cell::UnsafeCell;
    use core::hint::{black_box, spin_loop};
    use core::sync::atomic::{AtomicBool, Ordering};

    use handoff_bare::psci;
    use kernel::lock::Lock;
    use kernel::machine::memory::{self, KernelHeap};
    use kernel::machine::{console, ending};
    use kernel::println;
    use shared_abi::entry::Handoff;
    use shared_abi::memory::RegionKind;
    use shared_abi::verdict::Verdict;

    shared_abi::entry!(kmain);

    #[global_allocator]
    static HEAP: KernelHeap = memory::heap();

    /// The functions below by their names.
    macro_rules! by_name {
        ($($name:ident)*) => { [$((stringify!($name), $name as fn(&Handoff))),*] };
    }

    fn kmain(info: Handoff) -> ! {
        console::start(&info);
        ending::start(&info);
        let word = info.command_line();
        let all = by_name! {
            recursion null_field null_call console_address device_address ram_address wild_pointer
            write_to_constant write_to_code call_of_data damaged_return freed_block reclaimed_boot_info
            unaligned_atomic newer_instruction wrong_conduit user_walks_disabled
            no_vectors faulting_handler interrupt_storm lock_twice flag_nobody_sets second_cpu sleep_masked
            event_nobody_sends endless_loop
        };
        match all.iter().find(|(name, _)| *name == word) {
            Some((_, make)) => make(&info),
            None => panic!("the command line \"{word}\" names no mistake"),
        }
        println!("nothing happened");
        ending::finish(Verdict::Bad(1))
    }

    #[inline(always)]
    fn read(address: u64) -> u64 {
        // SAFETY: none, and that is the mistake.
        unsafe { (black_box(address) as *const u64).read_volatile() }
    }

    #[inline(always)]
    fn write(address: u64) {
        // SAFETY: none, and that is the mistake.
        unsafe { (black_box(address) as *mut u32).write_volatile(0) }
    }

    #[inline(always)]
    fn call(address: u64) {
        // SAFETY: none, and that is the mistake.
        unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) }
    }

    #[inline(never)]
    #[expect(unconditional_recursion, reason = "that is the mistake")]
    fn recursion(info: &Handoff) {
        let local = black_box([info.total_ram(); 32]);
        recursion(info);
        black_box(local);
    }

    #[inline(never)]
    fn null_field(_: &Handoff) {
        read(0x18);
    }

    #[inline(never)]
    fn null_call(_: &Handoff) {
        call(0);
    }

    /// The port of QEMU's virt machine as its manual has it.
    #[inline(never)]
    fn console_address(_: &Handoff) {
        write(0x0900_0000);
    }

    /// The interrupt controller likewise.
    #[inline(never)]
    fn device_address(_: &Handoff) {
        write(0x0800_0000);
    }

    #[inline(never)]
    fn ram_address(info: &Handoff) {
        read(info.device_tree().map_or(0, |tree| tree.phys_start));
    }

    #[inline(never)]
    fn wild_pointer(_: &Handoff) {
        read(0x4141_4141_4141_4141);
    }

    static CONSTANT: u32 = 7;

    #[inline(never)]
    fn write_to_constant(_: &Handoff) {
        write(&raw const CONSTANT as u64);
    }

    #[inline(never)]
    fn write_to_code(_: &Handoff) {
        write(recursion as *const () as u64);
    }

    static mut DATA: [u64; 4] = [0xD65F_03C0; 4];

    #[inline(never)]
    fn call_of_data(_: &Handoff) {
        call(&raw const DATA as u64);
    }

    /// As after a buffer on the stack overflowed.
    #[inline(never)]
    fn damaged_return(_: &Handoff) {
        // SAFETY: none, and that is the mistake.
        unsafe { asm!("mov x30, {}", "ret", in(reg) 0x4141_4141_4141_4141_u64, options(noreturn)) }
    }

    #[inline(never)]
    fn freed_block(info: &Handoff) {
        memory::start(info, &HEAP).expect("the memory starts");
        let block = vec![1_u8; 8 << 20];
        let address = black_box(block.as_ptr()) as u64;
        drop(block);
        HEAP.with(|heap| heap.trim());
        read(address);
    }

    #[inline(never)]
    fn reclaimed_boot_info(info: &Handoff) {
        memory::start(info, &HEAP).expect("the memory starts");
        // SAFETY: none, since `info` is used afterwards, and that is the mistake.
        memory::with(|memory| unsafe { memory.reclaim(info, RegionKind::BOOT_INFO) });
        black_box(info.total_ram());
    }

    #[inline(never)]
    fn unaligned_atomic(_: &Handoff) {
        // SAFETY: none, and that is the mistake.
        unsafe { asm!("ldaxr {word}, [{at}]", word = out(reg) _, at = in(reg) &raw const DATA as u64 + 1) }
    }

    /// `ldadd x0, x0, [x1]`, of Armv8.1.
    #[inline(never)]
    fn newer_instruction(_: &Handoff) {
        // SAFETY: none, and that is the mistake.
        unsafe { asm!(".inst 0xF8200020", inout("x0") 1_u64 => _, in("x1") &raw const DATA) }
    }

    /// `smc #0` for SYSTEM_OFF, where PSCI listens at HVC.
    #[inline(never)]
    fn wrong_conduit(_: &Handoff) {
        // SAFETY: none, and that is the mistake.
        unsafe { asm!(".inst 0xD4000003", inout("x0") 0x8400_0008_u64 => _) }
    }

    #[repr(align(4096))]
    struct Table(UnsafeCell<[u64; 512]>);

    // SAFETY: one CPU, and no interrupts, while it is changed.
    unsafe impl Sync for Table {}

    static TABLES: [Table; 2] = [const { Table(UnsafeCell::new([0; 512])) }; 2];

    /// Sets TTBR0_EL1 to tables that map the first GiB of physical addresses, with devices in it, where they are.
    fn set_ttbr0(info: &Handoff) {
        let [root, below] = TABLES.each_ref().map(|table| {
            let virt = table.0.get() as u64;
            let extent = info.extents().find(|extent| virt.wrapping_sub(extent.virt_start) < extent.length);
            extent.map_or(0, |extent| virt - extent.virt_start + extent.phys_start)
        });
        // SAFETY: this CPU alone has the tables, and nothing is reached through the low half yet. The descriptors are a
        // table and a block of Device-nGnRE (MAIR's attribute 1), read-write and never executed.
        unsafe {
            (*TABLES[0].0.get())[0] = below | 0b11;
            (*TABLES[1].0.get())[0] = 1 << 54 | 1 << 53 | 1 << 10 | 1 << 2 | 0b01;
            asm!("dsb ishst", "msr ttbr0_el1, {}", "isb", in(reg) root);
        }
    }

    #[inline(never)]
    fn user_walks_disabled(info: &Handoff) {
        set_ttbr0(info);
        read(0x0900_0018);
    }

    fn set_vectors(address: u64) {
        // SAFETY: none: whoever calls this makes a mistake.
        unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) address) }
    }

    /// Vectors at a physical address.
    #[inline(never)]
    fn no_vectors(_: &Handoff) {
        set_vectors(0x4008_0000);
        read(0x18);
    }

    global_asm!(
        ".section .text.mistaken_vectors, \"ax\"",
        // Each of the sixteen reads through a null pointer.
        ".balign 0x800",
        ".global faulting_vectors, hasty_vectors",
        "faulting_vectors:",
        ".rept 16",
        "mov x0, #0x18",
        "ldr x0, [x0]",
        ".balign 0x80",
        ".endr",
        // Each returns at once, and leaves the interrupt's source as it is.
        "hasty_vectors:",
        ".rept 16",
        "eret",
        ".balign 0x80",
        ".endr",
    );

    unsafe extern "C" {
        static faulting_vectors: u8;
        static hasty_vectors: u8;
    }

    #[inline(never)]
    fn faulting_handler(_: &Handoff) {
        set_vectors(&raw const faulting_vectors as u64);
        read(0x18);
    }

    /// The timer of a GICv2 at the addresses of QEMU's virt machine; nobody ever stops it.
    #[inline(never)]
    fn interrupt_storm(info: &Handoff) {
        set_ttbr0(info);
        set_vectors(&raw const hasty_vectors as u64);
        // SAFETY: the low half is this function's, and the registers are those of the distributor (GICD_CTLR,
        // GICD_ISENABLER0 with the virtual timer's 27) and of the CPU interface (GICC_PMR, GICC_CTLR).
        unsafe {
            asm!("mrs {0}, tcr_el1", "bic {0}, {0}, #0x80", "msr tcr_el1, {0}", "isb", out(reg) _);
            for (register, value) in
                [(0x0800_0000, 1), (0x0800_0100, 1 << 27), (0x0801_0004, 0xFF), (0x0801_0000, 1)]
            {
                (black_box(register) as *mut u32).write_volatile(value);
            }
            asm!("msr cntv_cval_el0, xzr", "msr cntv_ctl_el0, {}", "msr daifclr, #2", "isb", in(reg) 1_u64);
        }
        work();
    }

    #[inline(never)]
    fn work() -> ! {
        loop {
            black_box(0);
        }
    }

    static LOCK: Lock<u64> = Lock::new(0);

    #[inline(never)]
    fn lock_twice(_: &Handoff) {
        let mut first = LOCK.lock();
        *first += *LOCK.lock();
    }

    static IS_READY: AtomicBool = AtomicBool::new(false);

    #[inline(never)]
    fn flag_nobody_sets(_: &Handoff) {
        let flag = black_box(&IS_READY);
        while !flag.load(Ordering::Relaxed) {
            spin_loop();
        }
    }

    /// CPU_ON with a virtual entry point: a CPU starts with its MMU off.
    #[inline(never)]
    fn second_cpu(info: &Handoff) {
        let conduit = info.platform().psci_conduit;
        let entry = work as *const () as u64;
        // SAFETY: none, and that is the mistake.
        unsafe { psci::call(conduit, 0xC400_0003, [1, entry, 0]) };
        let flag = black_box(&IS_READY);
        while !flag.load(Ordering::Acquire) {
            spin_loop();
        }
    }

    /// Asleep until an interrupt, which nobody enabled.
    #[inline(never)]
    fn sleep_masked(_: &Handoff) {
        loop {
            // SAFETY: waiting changes nothing.
            unsafe { asm!("wfi", options(nomem, nostack)) }
        }
    }

    #[inline(never)]
    fn event_nobody_sends(_: &Handoff) {
        loop {
            // SAFETY: waiting changes nothing.
            unsafe { asm!("wfe", options(nomem, nostack)) }
        }
    }

    #[inline(never)]
    #[expect(clippy::empty_loop, reason = "that is the mistake")]
    fn endless_loop(_: &Handoff) {
        loop {}
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        println!("{info}");
        ending::finish(Verdict::Bad(255))
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "a kernel runs on a bare machine: scripts/run.sh --kernel mistakes --append lock_twice boots it"
    );
}
