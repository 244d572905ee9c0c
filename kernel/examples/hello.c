/*
 * A kernel in C: says hello and prints the memory map.
 *
 *     aarch64-linux-gnu-gcc -O2 -ffreestanding -nostdlib -static-pie -mgeneral-regs-only -fno-stack-protector \
 *         -I shared-abi/include kernel/examples/hello.c -o hello.elf
 *     scripts/run.sh hello.elf
 *
 * There is a stack and .bss is zero when `_start` is entered, so it needs neither assembly nor a linker script.
 */
#include "handoff.h"

HANDOFF_NOTE(.stack_size = 0x8000);

__attribute__((noreturn)) void _start(const void *boot_info)
{
    struct handoff h;
    struct handoff_memory_region region;
    uint64_t free = 0;

    if (handoff_open(boot_info, &h))
        __builtin_trap(); /* The loader's fault reporter says where. */
    handoff_write(&h, "hello from C, command line \"");
    handoff_write(&h, handoff_command_line(&h));
    handoff_write(&h, "\"\n");
    HANDOFF_FOR_EACH(&h, HANDOFF_TABLE_MEMORY_MAP, region) {
        handoff_write_hex(&h, region.phys_start);
        handoff_write(&h, " + ");
        handoff_write_hex(&h, region.length);
        handoff_write(&h, handoff_is_free(region.kind) ? "  free  " : "        ");
        handoff_write(&h, handoff_string(&h, region.name));
        handoff_write(&h, "\n");
        if (handoff_is_free(region.kind))
            free += region.length;
    }
    handoff_write(&h, "bytes free: ");
    handoff_write_hex(&h, free);
    handoff_write(&h, "\n");
    handoff_end(&h, free ? 0 : 1);
}
