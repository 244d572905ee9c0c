//! The memory functions that compilers call, for a processor that accesses Normal memory at any alignment.
//!
//! Those that come with Rust for a target with strict alignment go by bytes wherever two addresses do not agree, which is
//! most of the time in what a boot reads. These load and store whole words, the last of them over the one before it, so
//! that no length needs a loop over what remains.

/// Defines `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp` (ISO C, 7.24) in place of the compiler's own.
///
/// They are for code that only runs with the MMU on, in Normal memory, and with SCTLR_ELx.A clear: to Device memory, which
/// all memory is while the MMU is off, an unaligned access is an exception.
#[macro_export]
macro_rules! memory_functions {
    () => {
        core::arch::global_asm!(
            r#"
    .section .text.memory_functions, "ax"

// x0 = destination, x1 = source, x2 = length: one function for both, since all of a short source is loaded before
// any of it is stored, and a long one asks only once.
    .global memcpy
    .global memmove
memcpy:
memmove:
    add     x3, x1, x2                  // the source's end
    add     x4, x0, x2                  // the destination's end
    cmp     x2, #16
    b.hi    3f
    tbnz    x2, #4, 4f
    tbz     x2, #3, 1f
    ldr     x5, [x1]                    // 8 to 15
    ldr     x6, [x3, #-8]
    str     x5, [x0]
    str     x6, [x4, #-8]
    ret
1:  tbz     x2, #2, 2f
    ldr     w5, [x1]                    // 4 to 7
    ldr     w6, [x3, #-4]
    str     w5, [x0]
    str     w6, [x4, #-4]
    ret
2:  cbz     x2, 9f
    lsr     x8, x2, #1                  // 1 to 3: the first, the middle one, the last
    ldrb    w5, [x1]
    ldrb    w6, [x1, x8]
    ldrb    w7, [x3, #-1]
    strb    w5, [x0]
    strb    w6, [x0, x8]
    strb    w7, [x4, #-1]
9:  ret
3:  cmp     x2, #32
    b.hi    5f
4:  ldp     x5, x6, [x1]                // 16 to 32
    ldp     x7, x8, [x3, #-16]
    stp     x5, x6, [x0]
    stp     x7, x8, [x4, #-16]
    ret
5:  sub     x8, x0, x1
    cmp     x8, x2
    b.lo    7f
    ldp     x9, x10, [x3, #-32]!        // upwards, the last 32 bytes loaded before they may be overwritten
    ldp     x11, x12, [x3, #16]
    mov     x13, x0
6:  ldp     x5, x6, [x1], #16
    ldp     x7, x8, [x1], #16
    stp     x5, x6, [x13], #16
    stp     x7, x8, [x13], #16
    cmp     x1, x3
    b.lo    6b
    stp     x9, x10, [x4, #-32]
    stp     x11, x12, [x4, #-16]
    ret
7:  ldp     x11, x12, [x1, #16]         // the destination begins in the source: downwards, likewise
    ldp     x9, x10, [x1], #32
8:  ldp     x5, x6, [x3, #-16]!
    ldp     x7, x8, [x3, #-16]!
    stp     x5, x6, [x4, #-16]!
    stp     x7, x8, [x4, #-16]!
    cmp     x3, x1
    b.hi    8b
    stp     x9, x10, [x0]
    stp     x11, x12, [x0, #16]
    ret

// x0 = destination, w1 = byte, x2 = length.
    .global memset
memset:
    and     x1, x1, #0xFF
    mov     x5, #0x0101010101010101
    mul     x1, x1, x5
    add     x4, x0, x2
    subs    x5, x2, #16
    b.lo    2f
    add     x5, x0, x5                  // where the last 16 bytes begin
    mov     x3, x0
1:  stp     x1, x1, [x3], #16
    cmp     x3, x5
    b.lo    1b
    stp     x1, x1, [x5]
    ret
2:  tbz     x2, #3, 3f
    str     x1, [x0]
    str     x1, [x4, #-8]
    ret
3:  tbz     x2, #2, 4f
    str     w1, [x0]
    str     w1, [x4, #-4]
    ret
4:  cbz     x2, 5f
    lsr     x2, x2, #1
    strb    w1, [x0]
    strb    w1, [x0, x2]
    strb    w1, [x4, #-1]
5:  ret

// x0, x1 = what is compared, x2 = length: w0 = 0, or the sign of the first difference.
    .global memcmp
    .global bcmp
memcmp:
bcmp:
    subs    x2, x2, #8                  // where the last word begins
    b.lo    2f
    mov     x3, #0
1:  ldr     x4, [x0, x3]
    ldr     x5, [x1, x3]
    cmp     x4, x5
    b.ne    6f
    add     x3, x3, #8
    cmp     x3, x2
    b.lo    1b
    ldr     x4, [x0, x2]
    ldr     x5, [x1, x2]
    cmp     x4, x5
    b.ne    6f
    mov     w0, #0
    ret
2:  adds    x2, x2, #8
    b.eq    4f
3:  ldrb    w4, [x0], #1
    ldrb    w5, [x1], #1
    subs    w4, w4, w5
    b.ne    5f
    subs    x2, x2, #1
    b.ne    3b
4:  mov     w0, #0
    ret
5:  mov     w0, w4
    ret
6:  rev     x4, x4                      // the first byte decides
    rev     x5, x5
    cmp     x4, x5
    cset    w0, hi
    csinv   w0, w0, wzr, hs
    ret
            "#
        );
    };
}
