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
#define X86_BLOCK_OPS (X86_BLOCK_INSNS * (X86_OPS_PER_INSN + 1) + 4)

struct X86Translation {
    X86Cpu *cpu;
    uint32_t code_flags;
    X86Op *ops;      /* room for X86_BLOCK_OPS */
    unsigned count;
    bool ended;      /* the last operation does not go on */
    bool flags_dead; /* the instruction need not set flags: they are overwritten before anyone looks */
    bool last;       /* the instruction is the last one of the block */
    unsigned known;  /* X86_KNOWN_* about cc_op */
    unsigned insn_op;  /* first operation of the instruction, and of the one before */
    unsigned previous_op;
    unsigned exits;    /* conditional branches: their exits are emitted at the end */
    struct {
        uint16_t op;
        uint8_t opsize;
        X86Op place; /* pc_off, len, disp */
    } exit[X86_BLOCK_INSNS];
};

/*
 * Translates the instructions from BYTES on, AVAILABLE of which are there, the first one at PC_OFF in its page, into
 * OPS. LIMIT is the most instructions it takes.  Returns the number of operations, or 0: the first instruction does
 * not end within AVAILABLE bytes.  *USED: bytes.
 */
unsigned x86_translate(X86Cpu *cpu, uint32_t code_flags, const uint8_t *bytes, unsigned available, unsigned pc_off,
                       unsigned limit, X86Op *ops, unsigned *used);

/* Appends an operation of INSN's place with all else 0. */
X86Op *x86_emit(X86Translation *t, const X86Insn *insn, X86Fn *fn);
/* Puts the linear address of INSN's memory operand into cpu->ea; SIZE and ACCESS for limit checks. */
void x86_emit_ea(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access);
/* Raises VECTOR (#UD, #NM). */
void x86_emit_raise(X86Translation *t, const X86Insn *insn, int vector);

/* A branch to the next instruction + disp, as the end of the block or the exit of a conditional one. */
void x86_emit_jump(X86Translation *t, const X86Insn *insn);
/* translate-pairs.c: gives the COUNT operations of a block handlers that carry out several of them at once. */
void x86_pair_up(X86Op *ops, unsigned count);
/* Operation OP branches to the next instruction + INSN's imm when taken. */
void x86_add_exit(X86Translation *t, const X86Insn *insn, unsigned op);

#endif
