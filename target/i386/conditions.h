/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conditions after comparisons, as handlers write them.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_CONDITIONS_H
#define TARGET_I386_CONDITIONS_H

#include "target/i386/ops.h"

/* A and B as 64-bit numbers, sign-extended from any size; R is A - B, cut to the size and sign-extended. */
#define X86_SUB_B(a, b, r) ((uint64_t)(a) < (uint64_t)(b))
#define X86_SUB_AE(a, b, r) ((uint64_t)(a) >= (uint64_t)(b))
#define X86_SUB_E(a, b, r) ((a) == (b))
#define X86_SUB_NE(a, b, r) ((a) != (b))
#define X86_SUB_BE(a, b, r) ((uint64_t)(a) <= (uint64_t)(b))
#define X86_SUB_A(a, b, r) ((uint64_t)(a) > (uint64_t)(b))
#define X86_SUB_S(a, b, r) ((r) < 0)
#define X86_SUB_NS(a, b, r) ((r) >= 0)
#define X86_SUB_L(a, b, r) ((a) < (b))
#define X86_SUB_GE(a, b, r) ((a) >= (b))
#define X86_SUB_LE(a, b, r) ((a) <= (b))
#define X86_SUB_G(a, b, r) ((a) > (b))
/* After a logical operation CF and OF are 0. */
#define X86_LOGIC_B(r) (false)
#define X86_LOGIC_AE(r) (true)
#define X86_LOGIC_E(r) ((r) == 0)
#define X86_LOGIC_NE(r) ((r) != 0)
#define X86_LOGIC_BE(r) ((r) == 0)
#define X86_LOGIC_A(r) ((r) != 0)
#define X86_LOGIC_S(r) ((r) < 0)
#define X86_LOGIC_NS(r) ((r) >= 0)
#define X86_LOGIC_L(r) ((r) < 0)
#define X86_LOGIC_GE(r) ((r) >= 0)
#define X86_LOGIC_LE(r) ((r) <= 0)
#define X86_LOGIC_G(r) ((r) > 0)

/*
 * Ends a handler: compares register reg of S bits with B (sign-extended), or with V bit by bit, and branches on C.
 * FLAGS 0: they are overwritten on both ways before anything reads them.
 */
#define X86_CMP_JCC(flags, s, c, b_) \
    do { \
        const int64_t a = (int##s##_t)X86_RD##s(op->reg), b = (b_); \
        const int64_t r = (int##s##_t)((uint64_t)a - (uint64_t)b); \
        if (flags) { \
            x86_cc_set(cpu, X86_CC_SUB, r, a, b); \
        } \
        if (X86_SUB_##c(a, b, r)) { \
            X86_GO(op->next); \
        } \
        NEXT; \
    } while (0)
#define X86_TEST_JCC(flags, s, c, v) \
    do { \
        const int64_t r = (int##s##_t)(X86_RD##s(op->reg) & (v)); \
        if (flags) { \
            x86_cc_logic(cpu, r); \
        } \
        if (X86_LOGIC_##c(r)) { \
            X86_GO(op->next); \
        } \
        NEXT; \
    } while (0)

#endif
