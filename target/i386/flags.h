/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lazy arithmetic flags.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * An operation that sets flags leaves its operands and result, sign-extended from their size to 64 bits, in cc_a, cc_b
 * and cc_dst.  Sign extension keeps the order of signed and of unsigned numbers, so no formula below needs the size.
 */
#ifndef TARGET_I386_FLAGS_H
#define TARGET_I386_FLAGS_H

#include "target/i386/cpu.h"

static inline void x86_cc_set(X86Cpu *cpu, X86CcOp op, int64_t dst, int64_t a, int64_t b)
{
    cpu->cc_op = op;
    cpu->cc_dst = dst;
    cpu->cc_a = a;
    cpu->cc_b = b;
}

static inline void x86_cc_logic(X86Cpu *cpu, int64_t dst)
{
    cpu->cc_op = X86_CC_LOGIC;
    cpu->cc_dst = dst;
}

/* The six flags as given (others in FLAGS are ignored). */
static inline void x86_cc_flags(X86Cpu *cpu, uint32_t flags)
{
    cpu->cc_op = X86_CC_FLAGS;
    cpu->cc_a = flags & X86_ARITH;
}

uint32_t x86_cc_all(const X86Cpu *cpu);       /* all six in EFLAGS positions */
bool x86_cc_carry(const X86Cpu *cpu);
bool x86_cc_test(const X86Cpu *cpu, unsigned condition); /* condition code 0-15 of Jcc, SETcc, CMOVcc */

/* CF alone; the others stay. */
static inline void x86_cc_set_carry(X86Cpu *cpu, bool carry)
{
    x86_cc_flags(cpu, (x86_cc_all(cpu) & ~X86_CF) | carry);
}

#endif
