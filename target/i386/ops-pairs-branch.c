/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs of a step (ops-steps.h) and a comparison that branches.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/conditions.h"
#include "target/i386/ops-steps.h"

#define DEF_PAIR(a, name, tail) \
    static X86_OP(a##_##name) \
    { \
        X86_FIRST(a) \
        op++; \
        tail; \
    }
#define DEF_CMP(f, a, s, c) \
    DEF_PAIR(a, f##_cmp_rr_##s##_##c, X86_CMP_JCC(FLAGS_##f, s, c, (int##s##_t)X86_RD##s(op->rm))) \
    DEF_PAIR(a, f##_cmp_ri_##s##_##c, X86_CMP_JCC(FLAGS_##f, s, c, op->imm))
#define DEF_TEST(f, a, s, c) DEF_PAIR(a, f##_test_rr_##s##_##c, X86_TEST_JCC(FLAGS_##f, s, c, X86_RD##s(op->rm)))
#define DEF_SIZE(f, a, s) \
    DEF_CMP(f, a, s, B) DEF_CMP(f, a, s, AE) DEF_CMP(f, a, s, E) DEF_CMP(f, a, s, NE) DEF_CMP(f, a, s, BE) \
    DEF_CMP(f, a, s, A) DEF_CMP(f, a, s, L) DEF_CMP(f, a, s, GE) DEF_CMP(f, a, s, LE) DEF_CMP(f, a, s, G) \
    DEF_TEST(f, a, s, E) DEF_TEST(f, a, s, NE) DEF_TEST(f, a, s, S) DEF_TEST(f, a, s, NS) DEF_TEST(f, a, s, LE) \
    DEF_TEST(f, a, s, G)
#define FLAGS_f 1
#define FLAGS_n 0
#define DEF_STEP_f(a) DEF_SIZE(f, a, 32) DEF_SIZE(f, a, 64)
#define DEF_STEP_n(a) DEF_SIZE(n, a, 32) DEF_SIZE(n, a, 64)

/* What stands before comparisons most: with flags in code that goes forward, without them in loops. */
#define FOR_STEPS_f(X) X(mov32) X(mov64) X(addi64) X(andi32) X(lea64) X(ld32) X(ld64)
#define FOR_STEPS_n(X) X(mov64) X(add32) X(add64) X(addi32) X(addi64) X(imul64) X(ld32) X(ld64)
FOR_STEPS_f(DEF_STEP_f)
FOR_STEPS_n(DEF_STEP_n)

#define CMP(x, s) \
    { \
        NULL, NULL, x##_##s##_B, x##_##s##_AE, x##_##s##_E, x##_##s##_NE, x##_##s##_BE, x##_##s##_A, NULL, NULL, NULL, \
            NULL, x##_##s##_L, x##_##s##_GE, x##_##s##_LE, x##_##s##_G \
    }
#define TEST(x, s) \
    { \
        [4] = x##_##s##_E, [5] = x##_##s##_NE, [8] = x##_##s##_S, [9] = x##_##s##_NS, [14] = x##_##s##_LE, \
        [15] = x##_##s##_G \
    }
#define TAILS(x) \
    { \
        [X86_TAIL_CMP_RR] = { [X86_S32] = CMP(x##_cmp_rr, 32), [X86_S64] = CMP(x##_cmp_rr, 64) }, \
        [X86_TAIL_CMP_RI] = { [X86_S32] = CMP(x##_cmp_ri, 32), [X86_S64] = CMP(x##_cmp_ri, 64) }, \
        [X86_TAIL_TEST_RR] = { [X86_S32] = TEST(x##_test_rr, 32), [X86_S64] = TEST(x##_test_rr, 64) }, \
    }
#define ENTRY_f(a) [X86_STEP_##a] = TAILS(a##_f),
#define ENTRY_n(a) [X86_STEP_##a] = TAILS(a##_n),
X86Fn *const x86_pair_branch[2][X86_STEP_COUNT][X86_TAILS][X86_SIZES][16] = {
    { FOR_STEPS_f(ENTRY_f) }, { FOR_STEPS_n(ENTRY_n) },
};
