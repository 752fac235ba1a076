/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs of steps (ops-steps.h) between registers.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops-steps.h"

#define DEF_FREE(a, b) X86_DEF_PAIR(rr, a, b, 0)
#define DEF_LINKED(a, b) X86_DEF_PAIR(rr_reg, a, b, X86_LINK_REG)
#define DEF_ROW(a) X86_MOVE_STEPS2(DEF_FREE, a) X86_ALU_STEPS2(DEF_FREE, a) X86_ALU_STEPS2(DEF_LINKED, a)
X86_MOVE_STEPS(DEF_ROW)
X86_ALU_STEPS(DEF_ROW)

#define ENTRY(a, b) [X86_STEP_##b] = rr_##a##_##b,
#define ROW(a) [X86_STEP_##a] = { X86_MOVE_STEPS2(ENTRY, a) X86_ALU_STEPS2(ENTRY, a) },
X86Fn *const x86_pair[X86_REG_STEP_COUNT][X86_REG_STEP_COUNT] = { X86_MOVE_STEPS(ROW) X86_ALU_STEPS(ROW) };

#define ENTRY_REG(a, b) [X86_STEP_##b] = rr_reg_##a##_##b,
#define ROW_REG(a) [X86_STEP_##a] = { X86_ALU_STEPS2(ENTRY_REG, a) },
X86Fn *const x86_pair_reg[X86_REG_STEP_COUNT][X86_REG_STEP_COUNT] = { X86_MOVE_STEPS(ROW_REG) X86_ALU_STEPS(ROW_REG) };
