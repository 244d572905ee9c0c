//! A kernel in Zig: says hello and counts the free memory.
//!
//!     zig build-exe -target aarch64-freestanding-none -mcpu generic-neon-fp_armv8 -O ReleaseSmall -fPIE -fstrip \
//!         --dep handoff -Mroot=kernel/examples/hello.zig -Mhandoff=shared-abi/include/handoff.zig --name hello.elf
//!     scripts/run.sh hello.elf

const handoff = @import("handoff");

export const handoff_note linksection(".note.handoff") = handoff.NoteRecord.of(.{ .stack_size = 0x10000 });

export fn _start(boot_info: [*]align(8) const u8) noreturn {
    const info = handoff.BootInfo.open(boot_info) catch @trap();
    var free: u64 = 0;
    var regions = info.records(handoff.MemoryRegion, handoff.TABLE_MEMORY_MAP);
    while (regions.next()) |region| {
        if (handoff.isFree(region.kind)) free += region.length;
    }
    info.write("hello from Zig, MiB free: ");
    var digits: [20]u8 = undefined;
    var first: usize = digits.len;
    var rest = free >> 20;
    while (true) {
        first -= 1;
        digits[first] = '0' + @as(u8, @intCast(rest % 10));
        rest /= 10;
        if (rest == 0) break;
    }
    info.write(digits[first..]);
    info.write("\n");
    info.end(if (free == 0) 1 else 0);
}
