/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x87 instructions, executed by the host's own x87 unit: two tables of small functions.
 *
 * Runs in: mpqemu.  Called by x87.c only.
 *
 * A function loads the guest's x87 state (an FXSAVE image), executes one instruction, and saves the state again.  So
 * stack faults, condition codes, precision and rounding control, unmasked exceptions and the transcendental functions
 * are the hardware's, bit for bit.  The state is saved with FXSAVE, which does not wait: an exception that the
 * instruction raised stays in the image.  The caller sees to it that none is pending before.  The host's units are
 * left as the ABI wants them: x87 empty with control word 0x37f, MXCSR 0x1f80.
 *
 *   x86_x87_register_thunks  0xd8 + o, ModRM 0xc0 + m at (o * 64 + m) * X86_X87_THUNK_SIZE:
 *                            void (*)(void *image, uint64_t *eflags)
 *   x86_x87_memory_thunks    0xd8 + o, reg field r, at (o * 8 + r) * X86_X87_THUNK_SIZE:
 *                            void (*)(void *image, uint64_t *eflags, void *operand)
 *
 * EFLAGS are loaded and stored for FCMOVcc and FCOMI.  Not every place of the tables has a defined instruction: x87.c
 * knows which have.
 */
#include "x87-thunks.h"

    .macro x87_thunk opcode modrm
    .balign X86_X87_THUNK_SIZE
    endbr64
    fxrstor64 (%rdi)
    pushq   (%rsi)
    popfq
    .byte   \opcode, \modrm
    pushfq
    popq    (%rsi)
    fxsave64 (%rdi)
    fninit
    ldmxcsr host_mxcsr(%rip)
    ret
    .endm

    .section .rodata
    .balign 4
host_mxcsr:
    .long   0x1f80

    .text
    .globl  x86_x87_register_thunks
    .hidden x86_x87_register_thunks
    .type   x86_x87_register_thunks, @function
    .balign X86_X87_THUNK_SIZE
x86_x87_register_thunks:
    .set    opcode, 0xd8
    .rept   8
    .set    modrm, 0xc0
    .rept   64
    x87_thunk opcode modrm
    .set    modrm, modrm + 1
    .endr
    .set    opcode, opcode + 1
    .endr
    .size   x86_x87_register_thunks, . - x86_x87_register_thunks

/* ModRM with mod 0 and r/m 2: the operand is at (%rdx). */
    .globl  x86_x87_memory_thunks
    .hidden x86_x87_memory_thunks
    .type   x86_x87_memory_thunks, @function
    .balign X86_X87_THUNK_SIZE
x86_x87_memory_thunks:
    .set    opcode, 0xd8
    .rept   8
    .set    modrm, 0x02
    .rept   8
    x87_thunk opcode modrm
    .set    modrm, modrm + 8
    .endr
    .set    opcode, opcode + 1
    .endr
    .size   x86_x87_memory_thunks, . - x86_x87_memory_thunks

    .section .note.GNU-stack, "", @progbits
