/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_TRANSLATE_H
#define TARGET_I386_TRANSLATE_H

#include "target/i386/decode.h"

/* Operations of one block under construction.  An instruction makes at most X86_OPS_PER_INSN. */
#define X86_BLOCK_INSNS 64
#define X86_OPS_PER_INSN 4
#define X86_BLOCK_OPS (X86_BLOCK_INSNS * X86_OPS_PER_INSN + 2)

struct X86Translation {
    X86Cpu *cpu;
    uint32_t code_flags;
    unsigned count;
    bool ended; /* the last operation does not go on */
    bool flags_dead; /* the instruction being translated need not set flags: they are overwritten before anyone looks */
    X86Op ops[X86_BLOCK_OPS];
};

/* Appends an operation of INSN's place with all else 0. */
X86Op *x86_emit(X86Translation *t, const X86Insn *insn, X86Fn *fn);
/* Puts the linear address of INSN's memory operand into cpu->ea; SIZE and ACCESS for limit checks. */
void x86_emit_ea(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access);
/* Raises VECTOR (#UD, #NM). */
void x86_emit_raise(X86Translation *t, const X86Insn *insn, int vector);

#endif
