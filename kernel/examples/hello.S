/*
 * A kernel in assembly: says hello on a PL011 and ends the machine by PSCI.
 *
 *     aarch64-linux-gnu-gcc -nostdlib -static-pie -I shared-abi/include kernel/examples/hello.S -o hello.elf
 *     scripts/run.sh hello.elf
 *
 * x0 is `BootInfo`. Its directory leads to the console; what is not there is not used.
 */
        .include "handoff.inc"

        handoff_note stack_size=0x4000

        .text
        .global _start
_start: ldr     x1, =HANDOFF_MAGIC
        ldr     x2, [x0, #HANDOFF_HEADER_MAGIC]
        cmp     x1, x2
        b.ne    refused
        mov     x19, x0
        adr     x20, hello
        bl      write
        mov     w0, #HANDOFF_TABLE_PLATFORM
        bl      table
        cbz     x0, park
        ldr     w1, [x0, #HANDOFF_PLATFORM_EXIT]
        cmp     w1, #HANDOFF_PLATFORM_EXIT_SEMIHOSTING
        b.ne    off
        mov     x0, #HANDOFF_SEMIHOSTING_EXIT
        adr     x1, block
        hlt     #0xF000
off:    ldr     w1, [x0, #HANDOFF_PLATFORM_PSCI_CONDUIT]
        ldr     w0, =HANDOFF_PSCI_SYSTEM_OFF
        cmp     w1, #HANDOFF_PLATFORM_PSCI_CONDUIT_HVC
        b.eq    1f
        cmp     w1, #HANDOFF_PLATFORM_PSCI_CONDUIT_SMC
        b.ne    park
        smc     #0
1:      hvc     #0
park:   wfi
        b       park
refused:
        brk     #1

// Writes the text at x20 to the console, if there is one and it is a PL011.
write:  mov     x21, x30
        mov     w0, #HANDOFF_TABLE_CONSOLE
        bl      table
        cbz     x0, 3f
        ldr     w1, [x0, #HANDOFF_CONSOLE_KIND]
        cmp     w1, #HANDOFF_UART_PL011
        b.ne    3f
        ldr     x1, [x0, #HANDOFF_CONSOLE_VIRT_BASE]
1:      ldrb    w2, [x20], #1
        cbz     w2, 3f
2:      ldr     w3, [x1, #0x18]                 // FR.TXFF
        tbnz    w3, #5, 2b
        str     w2, [x1]
        b       1b
3:      ret     x21

// x0 = the table with the number in w0, 0 if it is not there. Changes x1 to x5.
table:  ldp     w1, w2, [x19, #HANDOFF_HEADER_DIRECTORY_OFFSET]
        ldr     w3, [x19, #HANDOFF_HEADER_DIRECTORY_STRIDE]
        add     x1, x19, x1
1:      cbz     w2, 2f
        sub     w2, w2, #1
        ldr     w4, [x1, #HANDOFF_DIRECTORY_ENTRY_ID]
        ldr     w5, [x1, #HANDOFF_DIRECTORY_ENTRY_OFFSET]
        add     x1, x1, x3
        cmp     w4, w0
        b.ne    1b
        add     x0, x19, x5
        ret
2:      mov     x0, #0
        ret

hello:  .asciz  "hello from assembly\r\nverdict: good\r\n"
        .balign 8
block:  .quad   HANDOFF_SEMIHOSTING_APPLICATION_EXIT, HANDOFF_SUBCODE_GOOD
