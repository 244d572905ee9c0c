//! Checks the entry contract on the machine that it runs on, line by line.
//!
//! It does without `entry!`: its own first instructions put every register away before Rust can change one. And it
//! reads the translation tables bit by bit, by the Arm ARM and not by our decoder, which could share a mistake with
//! the encoder. What does not hold is printed; how many lines that were is the verdict's code.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("a kernel runs on a bare machine: scripts/run.sh --kernel contract boots it");
}

#[cfg(target_os = "none")]
mod conformance {
    use core::arch::{asm, global_asm};
    use core::mem::{offset_of, size_of};

    use shared_abi::addr::{PAGE, PhysAddr, PhysRange, VirtAddr, VirtRange};
    use shared_abi::boot_info::{self, BootInfo, ClosedFeatures, PlatformFlags, RegisterId, WindowId};
    use shared_abi::contract::features;
    use shared_abi::contract::registers::{DAIF, EntryRegisters, PhysicalSize};
    use shared_abi::entry::Handoff;
    use shared_abi::memory::RegionKind;
    use shared_abi::note::{Note, NoteRecord};
    use shared_abi::verdict::Verdict;

    use crate::bare::id::id_register;
    use crate::{bare, say};

    #[used]
    #[unsafe(link_section = ".note.handoff")]
    static NOTE: NoteRecord = NoteRecord::new(&Note { stack_size: STACK, ..Note::DEFAULT });

    /// Another than the default, to see that it is granted.
    const STACK: u64 = 80 << 10;

    /// The registers that a compiler could change.
    #[repr(C, align(16))]
    struct Entered {
        general: [u64; 31],
        stack_pointer: u64,
        masks: u64,
        stack_select: u64,
    }

    global_asm!(
        ".section .text.start, \"ax\"",
        ".global _start",
        "_start:",
        // Storing changes no register but SP, and what SP was is known.
        "sub sp, sp, #{size}",
        "stp x0, x1, [sp, #0]",
        "stp x2, x3, [sp, #16]",
        "stp x4, x5, [sp, #32]",
        "stp x6, x7, [sp, #48]",
        "stp x8, x9, [sp, #64]",
        "stp x10, x11, [sp, #80]",
        "stp x12, x13, [sp, #96]",
        "stp x14, x15, [sp, #112]",
        "stp x16, x17, [sp, #128]",
        "stp x18, x19, [sp, #144]",
        "stp x20, x21, [sp, #160]",
        "stp x22, x23, [sp, #176]",
        "stp x24, x25, [sp, #192]",
        "stp x26, x27, [sp, #208]",
        "stp x28, x29, [sp, #224]",
        "str x30, [sp, #240]",
        "add x1, sp, #{size}",
        "mrs x2, daif",
        "mrs x3, spsel",
        "str x1, [sp, #{stack_pointer}]",
        "str x2, [sp, #{masks}]",
        "str x3, [sp, #{stack_select}]",
        "mov x0, sp",
        "bl {main}",
        size = const size_of::<Entered>(),
        stack_pointer = const offset_of!(Entered, stack_pointer),
        masks = const offset_of!(Entered, masks),
        stack_select = const offset_of!(Entered, stack_select),
        main = sym main,
    );

    static ZEROED: [u64; 512] = [0; 512];
    static mut ZEROED_WRITABLE: [u64; 1024] = [0; 1024];
    static INITIALIZED: &[&str] = &["slid", "or not"];

    /// Counts the lines that do not hold.
    struct Conformance {
        held: u32,
        broken: u32,
    }

    impl Conformance {
        fn line(&mut self, name: &str, holds: bool, found: u64) {
            if holds {
                self.held += 1;
            } else {
                self.broken += 1;
                say!("does not hold: {name}; found {found:#x}");
            }
        }

        fn same(&mut self, name: &str, found: u64, stated: u64) {
            self.line(name, found == stated, found);
        }
    }

    macro_rules! read {
        ($register:literal) => {{
            let value: u64;
            // SAFETY: reading a system register that EL1 has changes nothing.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack)) };
            value
        }};
    }

    extern "C" fn main(entered: &Entered) -> ! {
        // SAFETY: x0 points to a BootInfo by the contract, which is what is to be checked; if it is none, the
        // loader's vectors say so.
        let decoded = unsafe { decode(entered.general[0]) };
        let info = match decoded {
            Ok(info) => info,
            // SAFETY: the resident reporter shows x0.
            Err(error) => unsafe { asm!("brk #1", in("x0") u64::from(error.code()), options(noreturn)) },
        };
        // SAFETY: the loader has just entered this kernel with it.
        let info = unsafe { Handoff::new(info) };
        bare::start(&info);
        let mut lines = Conformance { held: 0, broken: 0 };
        processor_state(&mut lines, entered, &info);
        system_registers(&mut lines, &info);
        low_half(&mut lines, &info);
        handed_over(&mut lines, entered, &info);
        kernel(&mut lines, &info);
        direct_map(&mut lines, &info);
        tables(&mut lines, &info);
        say!("contract: {} lines hold, {} do not", lines.held, lines.broken);
        bare::end(if lines.broken == 0 { Verdict::Good } else { Verdict::Bad(lines.broken) })
    }

    unsafe fn decode(virt: u64) -> Result<BootInfo<'static>, boot_info::BootInfoError> {
        let start = virt as *const u8;
        // SAFETY: the caller vouches for a BootInfo here, never shorter than its header.
        let header = unsafe { core::slice::from_raw_parts(start, size_of::<boot_info::Header>()) };
        let size = boot_info::announced_size(header)?;
        // SAFETY: as many bytes as the header announces are mapped.
        BootInfo::decode(unsafe { core::slice::from_raw_parts(start, size) })
    }

    fn processor_state(lines: &mut Conformance, entered: &Entered, info: &BootInfo<'_>) {
        lines.same("entered at EL1", read!("CurrentEL") >> 2, 1);
        lines.same("SPSel is 1 (EL1h)", entered.stack_select, 1);
        lines.same("DAIF masked", entered.masks, DAIF);
        for (number, &value) in entered.general.iter().enumerate().skip(1) {
            lines.line("x1 to x30 are 0", value == 0, (number as u64) << 56 | value);
        }
        let stack = info.boot_stack();
        lines.same("SP is the top of the boot stack", entered.stack_pointer, stack.virt_top);
        lines.line("SP is 16-byte-aligned", entered.stack_pointer.is_multiple_of(16), entered.stack_pointer);
        lines.same("the boot stack has the size asked for", stack.virt_top - stack.virt_bottom, STACK);
        let mut product = 6u64;
        // SAFETY: the target has no FP registers in its calling convention, so nobody misses d0.
        unsafe {
            asm!(".arch_extension fp", "ucvtf d0, {0}", "fadd d0, d0, d0", "fcvtzu {0}, d0", inout(reg) product)
        };
        lines.same("FP and SIMD are usable", product, 12);
        let boot = info.cpus().find(|cpu| cpu.flags.contains(boot_info::CpuFlags::BOOT));
        let mpidr = read!("MPIDR_EL1") & 0xFF_00FF_FFFF;
        lines.line("the boot CPU is listed", boot.is_some_and(|cpu| cpu.mpidr == mpidr), mpidr);
        if info.platform().flags.contains(PlatformFlags::EL2_STUB) {
            let mut result = 0x1234u64;
            // SAFETY: the stub at EL2 answers with −1 and keeps the other registers.
            unsafe { asm!("hvc #0", inout("x0") result, clobber_abi("C")) };
            lines.same("a stray HVC returns -1", result, u64::MAX);
        }
    }

    fn system_registers(lines: &mut Conformance, info: &BootInfo<'_>) {
        let size = PhysicalSize::from_id(read!("ID_AA64MMFR0_EL1"));
        let stated = EntryRegisters::ABI_1.with_physical_size(size);
        for (register, expected) in stated.each() {
            let Some(found) = value_of(register.name) else {
                lines.line(register.name, false, 0);
                continue;
            };
            for difference in register.differences(expected, found) {
                say!("does not hold: {difference}");
            }
            lines.line(register.name, found == expected, found);
        }
        lines.same(
            "BootInfo tells the address size",
            info.platform().phys_address_bits.into(),
            size.bits().into(),
        );
        lines.same(
            "BootInfo tells the timer's frequency",
            info.platform().timer_frequency,
            read!("CNTFRQ_EL0"),
        );
        let closed = match info.platform().entry_exception_level {
            ..=1 => ClosedFeatures::empty(),
            _ => features::closed(id_register),
        };
        lines.same(
            "BootInfo tells what is closed",
            info.platform().closed_features.bits().into(),
            closed.bits().into(),
        );
        lines.same("BootInfo tells the processor", info.platform().midr, read!("MIDR_EL1"));
        for register in info.registers() {
            let name = register.id.name().unwrap_or("a register without a name");
            let found = match register.id {
                RegisterId::DAIF => Some(DAIF),
                _ => value_of(name),
            };
            lines.line(name, found == Some(register.value), found.unwrap_or_default());
        }
        lines.line(
            "BootInfo tells registers",
            info.registers().count() >= 8,
            info.registers().count() as u64,
        );
    }

    fn value_of(name: &str) -> Option<u64> {
        Some(match name {
            "SCTLR_EL1" => read!("SCTLR_EL1"),
            "TCR_EL1" => read!("TCR_EL1"),
            "MAIR_EL1" => read!("MAIR_EL1"),
            "AMAIR_EL1" => read!("AMAIR_EL1"),
            "CPACR_EL1" => read!("CPACR_EL1"),
            "CNTKCTL_EL1" => read!("CNTKCTL_EL1"),
            // ISTATUS (bit 2) is unknown while the timer is off.
            "CNTP_CTL_EL0" => read!("CNTP_CTL_EL0") & 3,
            "CNTV_CTL_EL0" => read!("CNTV_CTL_EL0") & 3,
            "MDSCR_EL1" => read!("MDSCR_EL1"),
            "CONTEXTIDR_EL1" => read!("CONTEXTIDR_EL1"),
            "SP_EL0" => read!("SP_EL0"),
            "TPIDR_EL1" => read!("TPIDR_EL1"),
            "TPIDR_EL0" => read!("TPIDR_EL0"),
            "TPIDRRO_EL0" => read!("TPIDRRO_EL0"),
            "TTBR0_EL1" => read!("TTBR0_EL1"),
            "TTBR1_EL1" => read!("TTBR1_EL1"),
            "VBAR_EL1" => read!("VBAR_EL1"),
            _ => return None,
        })
    }

    fn low_half(lines: &mut Conformance, info: &BootInfo<'_>) {
        let tables = info.page_tables();
        lines.same("TTBR0 is the empty root, ASID 0", read!("TTBR0_EL1"), tables.phys_root_low);
        lines.same("TTBR1 is the root", read!("TTBR1_EL1"), tables.phys_root_high);
        for index in 0..512 {
            let entry = word(info, tables.phys_root_low + index * 8);
            lines.line("TTBR0's root is empty", entry == Some(0), entry.unwrap_or(index));
        }
        for address in [0, PAGE, info.firmware_image().phys_image, tables.phys_root_high, (1 << 48) - 8] {
            lines.line("nothing is mapped in the low half", translate(address, false).is_none(), address);
        }
    }

    fn handed_over(lines: &mut Conformance, entered: &Entered, info: &BootInfo<'_>) {
        let blob = info.bytes().as_ptr() as u64;
        let window = info.window(WindowId::BOOT_INFO).unwrap_or(VirtRange::EMPTY);
        lines.same("x0 is BootInfo's window", entered.general[0], window.start().get());
        lines.line("BootInfo fits its window", window.len() >= info.bytes().len() as u64, window.len());
        each_page(window, |page| {
            lines.line("BootInfo is readable", translate(page, false).is_some(), page);
            lines.line("BootInfo is not writable", translate(page, true).is_none(), page);
        });
        of_kind(lines, info, "BootInfo is listed", translate(blob, false), RegionKind::BOOT_INFO);

        let stack = info.boot_stack();
        let mut offset = 0;
        each_page(stack.range(), |page| {
            let found = translate(page, true);
            lines.line("the boot stack is writable", found == Some(stack.phys_bottom + offset), page);
            of_kind(lines, info, "the boot stack is listed", found, RegionKind::BOOT_STACK);
            offset += PAGE;
        });
        lines.line(
            "the guard is right below the stack",
            stack.guard().end() == stack.virt_bottom,
            stack.virt_guard,
        );
        lines.line("there is a guard", stack.guard().len() >= PAGE, stack.guard_length);
        each_page(stack.guard(), |page| {
            lines.line("the guard is not mapped", translate(page, false).is_none(), page);
        });

        let vectors = read!("VBAR_EL1");
        let loader = info.window(WindowId::LOADER).unwrap_or(VirtRange::EMPTY);
        let inside = VirtAddr::new(vectors).is_some_and(|vectors| loader.contains(vectors));
        lines.line("the vectors are the resident loader's", inside, vectors);
        of_kind(lines, info, "the loader is listed", translate(vectors, false), RegionKind::LOADER_RESIDENT);

        if let Some(console) = info.console() {
            lines.line(
                "the console is mapped",
                translate(console.virt_base, true) == Some(console.phys_base),
                0,
            );
        }
        if let Some(tree) = info.device_tree() {
            let magic = word(info, tree.phys_start).unwrap_or_default() as u32;
            lines.same("the device tree is there", u32::from_be(magic).into(), 0xD00D_FEED);
            lines.same(
                "its address is the direct map's",
                tree.virt_start,
                tree.phys_start + info.direct_map().virt_offset,
            );
            of_kind(lines, info, "the device tree is listed", Some(tree.phys_start), RegionKind::DEVICE_TREE);
        }
        let pool = info.page_tables().pool();
        of_kind(lines, info, "the tables are listed", Some(pool.start().get()), RegionKind::PAGE_TABLES);
        of_kind(lines, info, "the last table is listed", Some(pool.end() - PAGE), RegionKind::PAGE_TABLES);
        let heap = info.window(WindowId::HEAP).unwrap_or(VirtRange::EMPTY);
        lines.line(
            "the heap window is announced",
            !heap.is_empty() && !heap.overlaps(info.kernel().range()),
            heap.len(),
        );
        lines.line(
            "the heap window is empty",
            translate(heap.start().get(), false).is_none(),
            heap.start().get(),
        );
    }

    fn kernel(lines: &mut Conformance, info: &BootInfo<'_>) {
        let kernel = info.kernel();
        lines.same("the entry is ours", kernel.virt_entry, start());
        lines.line("static data is relocated", INITIALIZED.concat_len() == 10, INITIALIZED.as_ptr() as u64);
        lines.line("zeroed data is zero", ZEROED.iter().all(|&word| word == 0), ZEROED.as_ptr() as u64);
        let zeroed = &raw mut ZEROED_WRITABLE;
        // SAFETY: nobody else knows of it.
        let zeroed = unsafe { &mut *zeroed };
        lines.line("zeroed data is zero", zeroed.iter().all(|&word| word == 0), zeroed.as_ptr() as u64);
        zeroed.fill(1);
        let mut pages = 0;
        for extent in info.extents() {
            let mut phys = extent.phys_start;
            each_page(extent.virt(), |page| {
                lines.line("an extent is where it says", translate(page, false) == Some(phys), page);
                let writable = translate(page, true).is_some();
                lines.line("an extent has its rights", writable == extent.rights().is_writable(), page);
                of_kind(lines, info, "an extent is listed", Some(phys), RegionKind::KERNEL);
                phys += PAGE;
                pages += 1;
            });
        }
        lines.line(
            "every page has its origin counted",
            pages == kernel.pages_in_place + kernel.pages_copied + kernel.pages_zeroed,
            pages,
        );
    }

    fn direct_map(lines: &mut Conformance, info: &BootInfo<'_>) {
        let map = info.direct_map();
        for region in info.memory_map() {
            let range = region.range();
            for page in [range.start().get(), range.end() - PAGE] {
                let virt = map.virt_offset + page;
                let (read, write) = (translate(virt, false), translate(virt, true));
                match region.kind() {
                    kind if !kind.is_mapped() => {
                        lines.line("what must not be mapped is not", read.is_none(), page)
                    }
                    RegionKind::LOADER_RESIDENT => {
                        lines.line("the resident loader is mapped", read == Some(page), page);
                    }
                    kind if kind.is_free_at_entry() => {
                        lines.line("free memory is writable", write == Some(page), page);
                    }
                    _ => lines.line("RAM is mapped", read == Some(page), page),
                }
            }
        }
        for extent in info.extents() {
            let mut virt = map.virt_offset + extent.phys_start;
            each_page(extent.virt(), |_| {
                let writable = translate(virt, true).is_some();
                let may = extent.rights().is_writable();
                lines.line("text and read-only data have no writable alias", may || !writable, virt);
                virt += PAGE;
            });
        }
    }

    /// A leaf of the translation tables, as the Arm ARM (D8.3) lays it out.
    struct Leaf {
        virt: u64,
        phys: u64,
        bytes: u64,
        bits: u64,
    }

    impl Leaf {
        const fn is_writable(&self) -> bool {
            self.bits & 1 << 7 == 0
        }
        const fn is_executable(&self) -> bool {
            self.bits & 1 << 53 == 0
        }
        fn overlaps(&self, phys: u64, bytes: u64) -> bool {
            self.phys < phys + bytes && phys < self.phys + self.bytes
        }
    }

    fn tables(lines: &mut Conformance, info: &BootInfo<'_>) {
        let root = info.page_tables().phys_root_high;
        let console = info.console().map_or(0, |console| console.virt_base & !(PAGE - 1));
        // Frames that some leaf executes, merged where they continue each other.
        let mut executable = [(0u64, 0u64); 32];
        let mut used = 0;
        let mut leaves = 0u64;
        let mut count = 1;
        walk(info, root, 0, 0xFFFF << 48, &mut count, &mut |leaf| {
            leaves += 1;
            lines.line("a leaf has its access flag set", leaf.bits & 1 << 10 != 0, leaf.virt);
            lines.line("a leaf is global", leaf.bits & 1 << 11 == 0, leaf.virt);
            lines.line("a leaf is EL1's alone", leaf.bits & 1 << 6 == 0, leaf.virt);
            lines.line("a leaf is never executable at EL0", leaf.bits & 1 << 54 != 0, leaf.virt);
            lines.line("a leaf sets no other bit", leaf.bits & 0xFF98_0000_0000_0020 == 0, leaf.bits);
            let device = leaf.virt == console;
            lines.same("memory is write-back, the console Device-nGnRE", leaf.bits >> 2 & 7, device.into());
            lines.same("memory is inner shareable", leaf.bits >> 8 & 3, 3);
            lines.line(
                "nothing is writable and executable",
                !(leaf.is_writable() && leaf.is_executable()),
                leaf.virt,
            );
            if leaf.is_executable() {
                match executable[..used].last_mut() {
                    Some(last) if last.0 + last.1 == leaf.phys => last.1 += leaf.bytes,
                    _ => {
                        match executable.get_mut(used) {
                            Some(next) => *next = (leaf.phys, leaf.bytes),
                            None => return lines.line("executable runs fit the list", false, leaf.virt),
                        }
                        used += 1;
                    }
                }
            }
        });
        lines.line("something is executable", used > 0, 0);
        lines.line("something is mapped", leaves > 8, leaves);
        walk(info, root, 0, 0xFFFF << 48, &mut 0, &mut |leaf| {
            let alias = executable[..used].iter().any(|&(phys, bytes)| leaf.overlaps(phys, bytes));
            lines.line("no executable frame has a writable alias", !(alias && leaf.is_writable()), leaf.virt);
        });
        // TTBR0's empty root is a table too.
        lines.same(
            "BootInfo tells how many tables there are",
            info.page_tables().table_count.into(),
            count + 1,
        );
    }

    fn walk(
        info: &BootInfo<'_>,
        table: u64,
        level: u32,
        virt: u64,
        count: &mut u64,
        each: &mut dyn FnMut(Leaf),
    ) {
        let shift = 39 - 9 * level;
        for index in 0..512 {
            let Some(bits) = word(info, table + index * 8) else { continue };
            let (virt, phys) = (virt | index << shift, bits & 0x0000_FFFF_FFFF_F000);
            match (bits & 3, level) {
                (3, 0..=2) => {
                    *count += 1;
                    walk(info, phys, level + 1, virt, count, each);
                }
                (3, 3) | (1, 1..=2) => each(Leaf { virt, phys, bytes: 1 << shift, bits }),
                // Not valid.
                _ => {}
            }
        }
    }

    /// The word at a physical address, read through the direct map.
    fn word(info: &BootInfo<'_>, phys: u64) -> Option<u64> {
        let virt = info.direct_map().virt(PhysAddr::new(phys)?)?.get();
        translate(virt, false)?;
        // SAFETY: the direct map has the address, and the hardware's walker agrees.
        Some(unsafe { (virt as *const u64).read_volatile() })
    }

    /// Where the hardware's own walker leads for a read or a write at EL1; `None` if that would fault.
    fn translate(virt: u64, write: bool) -> Option<u64> {
        // SAFETY: AT writes PAR_EL1 alone.
        unsafe {
            match write {
                false => asm!("at s1e1r, {}", "isb", in(reg) virt, options(nostack)),
                true => asm!("at s1e1w, {}", "isb", in(reg) virt, options(nostack)),
            }
        }
        let result = read!("PAR_EL1");
        (result & 1 == 0).then_some(result & 0x0000_FFFF_FFFF_F000 | virt & (PAGE - 1))
    }

    fn each_page(range: VirtRange, mut action: impl FnMut(u64)) {
        (range.start().get()..range.end()).step_by(PAGE as usize).for_each(&mut action);
    }

    fn of_kind(
        lines: &mut Conformance,
        info: &BootInfo<'_>,
        name: &str,
        phys: Option<u64>,
        kind: RegionKind,
    ) {
        let page =
            phys.and_then(|phys| PhysRange::from_bounds(phys & !(PAGE - 1), (phys & !(PAGE - 1)) + PAGE));
        let listed = page.and_then(|page| info.memory_map().find(|region| region.range().covers(page)));
        lines.line(name, listed.is_some_and(|region| region.kind() == kind), phys.unwrap_or(u64::MAX));
    }

    fn start() -> u64 {
        let address: u64;
        // SAFETY: computes an address.
        unsafe {
            asm!("adrp {0}, _start", "add {0}, {0}, :lo12:_start", out(reg) address, options(nomem, nostack))
        };
        address
    }

    /// The sum of lengths, read so that no compiler can know it beforehand.
    trait Lengths {
        fn concat_len(&self) -> usize;
    }

    impl Lengths for &[&str] {
        fn concat_len(&self) -> usize {
            core::hint::black_box(self).iter().map(|word| word.len()).sum()
        }
    }
}
