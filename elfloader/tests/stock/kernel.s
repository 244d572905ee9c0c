// A kernel as small as one can be, linked by linkers as they come. The files beside this one hold the results, a row of
// hexadecimal bytes per offset, rows of zeros left out:
//
//      aarch64-linux-gnu-as kernel.s -o kernel.o
//      lld-fixed       ld.lld --image-base=0xffff000000000000 kernel.o
//      lld-pie         ld.lld -pie --no-dynamic-linker kernel.o
//      lld-relr        ld.lld -pie --no-dynamic-linker --pack-dyn-relocs=relr kernel.o
//      gnu-fixed       aarch64-linux-gnu-ld -Ttext-segment=0xffff000000000000 kernel.o
//      gnu-pie         aarch64-linux-gnu-ld -pie --no-dynamic-linker kernel.o
//
// (LLD 22.1.8, GNU ld 2.40)

        .text
        .global _start
_start: adrp    x1, counter
        ldr     x2, [x1, :lo12:counter]
        adrp    x3, table
        ldr     x4, [x3, :lo12:table]
        wfi
        b       _start

        .section .rodata, "a"
message: .asciz "stock linker output"

        .section .data.rel.ro, "aw"
        .balign 8
table:  .quad   _start, message, counter

        .data
        .balign 8
counter: .quad  counter, 7

        .bss
        .balign 8
        .skip   0x2345

        .section .note.handoff, "a", %note
        .balign 4
        .word   8, 56, 1
        .asciz  "Handoff"
        .hword  1, 0            // ABI 1.0
        .word   4096            // granule
        .quad   0, 1            // required, wanted: slide
        .quad   0, 2            // stack, exception levels
        .quad   -1, 0           // direct map, contiguous
