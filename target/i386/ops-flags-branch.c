/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An operation that sets flags, and the conditional branch behind it, in one handler: comparisons with memory, and
 * what counts loops.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * The branch is the next operation.  When it does not come to that (the slow path of a memory operand) the operation's
 * own handler goes on to the branch's.
 */
#include "target/i386/conditions.h"
#include "target/i386/ops-steps.h"

/* ---- comparisons with memory ------------------------------------------------------------------------------------- */

#define A_rm(s) X86_RD##s(op->reg)
#define B_rm(s) *(X86Mem##s *)x86_hit_host(t, addr)
#define A_mr(s) *(X86Mem##s *)x86_hit_host(t, addr)
#define B_mr(s) X86_RD##s(op->reg)
#define A_mi(s) *(X86Mem##s *)x86_hit_host(t, addr)
#define B_mi(s) op->imm
#define DEF_CMP(x, e, s, c) \
    static X86_OP(cmp_##x##s##e##_##c) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(!x86_hit_read(t, addr, s / 8))) { \
            X86_BECOME(x86_alu_##x[X86_##e][X86_ALU_CMP][X86_S##s][0]); \
        } \
        const int64_t a = (int##s##_t)A_##x(s), b = (int##s##_t)B_##x(s); \
        const int64_t r = (int##s##_t)((uint64_t)a - (uint64_t)b); \
        x86_cc_set(cpu, X86_CC_SUB, r, a, b); \
        op++; \
        if (X86_SUB_##c(a, b, r)) { \
            X86_GO(op->next); \
        } \
        NEXT; \
    }
#define DEF_CMPS(x, e, s) \
    DEF_CMP(x, e, s, B) DEF_CMP(x, e, s, AE) DEF_CMP(x, e, s, E) DEF_CMP(x, e, s, NE) DEF_CMP(x, e, s, BE) \
    DEF_CMP(x, e, s, A) DEF_CMP(x, e, s, L) DEF_CMP(x, e, s, GE) DEF_CMP(x, e, s, LE) DEF_CMP(x, e, s, G)
#define FOR_CMPS(X) \
    X(rm, BD, 32) X(rm, BD, 64) X(rm, BIS, 32) X(rm, BIS, 64) X(mr, BD, 8) X(mr, BD, 32) X(mr, BD, 64) \
    X(mr, BIS, 8) X(mr, BIS, 32) X(mr, BIS, 64) X(mi, BD, 8) X(mi, BD, 32) X(mi, BD, 64) X(mi, BIS, 8) X(mi, BIS, 32)
FOR_CMPS(DEF_CMPS)

/* ---- counting ---------------------------------------------------------------------------------------------------- */

#define DEF_COUNT(name, s, result, flags, condition) \
    static X86_OP(name) \
    { \
        const uint##s##_t a = X86_RD##s(op->reg), r = (uint##s##_t)(result); \
        X86_WR##s(op->reg, r); \
        flags; \
        op++; \
        if (condition) { \
            X86_GO(op->next); \
        } \
        NEXT; \
    }
#define DEF_COUNT_4(name, s, result, flags) \
    DEF_COUNT(name##s##_E, s, result, flags, r == 0) DEF_COUNT(name##s##_NE, s, result, flags, r != 0) \
    DEF_COUNT(name##s##_E_n, s, result, (void)0, r == 0) DEF_COUNT(name##s##_NE_n, s, result, (void)0, r != 0)
#define IMM(s) (uint##s##_t)(int64_t)op->imm
#define SET(s, cc) x86_cc_set(cpu, cc, (int##s##_t)r, (int##s##_t)a, (int##s##_t)IMM(s))
#define SET_ONE(s, cc) x86_cc_set(cpu, cc, (int##s##_t)r, (int##s##_t)a, x86_cc_carry(cpu))
#define DEF_COUNTS(s) \
    DEF_COUNT_4(add, s, a + IMM(s), SET(s, X86_CC_ADD)) \
    DEF_COUNT_4(sub, s, a - IMM(s), SET(s, X86_CC_SUB)) \
    DEF_COUNT_4(and, s, a & IMM(s), x86_cc_logic(cpu, (int##s##_t)r)) \
    DEF_COUNT_4(inc, s, a + 1, SET_ONE(s, X86_CC_INC)) \
    DEF_COUNT_4(dec, s, a - 1, SET_ONE(s, X86_CC_DEC))
DEF_COUNTS(32)
DEF_COUNTS(64)

#define CMP_CONDITIONS(x) \
    { \
        NULL, NULL, x##_B, x##_AE, x##_E, x##_NE, x##_BE, x##_A, NULL, NULL, NULL, NULL, x##_L, x##_GE, x##_LE, x##_G \
    }
/* Those without flags are not worth handlers of their own. */
#define CMP_ENTRY(x, e, s) \
    { \
        &x86_alu_##x[X86_##e][X86_ALU_CMP][X86_S##s][0], X86_KNOWN_SUB, \
        { CMP_CONDITIONS(cmp_##x##s##e), CMP_CONDITIONS(cmp_##x##s##e) }, \
    },
#define COUNT_ENTRY(name, where, k) \
    { &where, k, { { [4] = name##_E, [5] = name##_NE }, { [4] = name##_E_n, [5] = name##_NE_n } } }
#define COUNT_ENTRIES(s) \
    COUNT_ENTRY(add##s, x86_alu_ri[X86_ALU_ADD][X86_S##s][0], X86_KNOWN_RESULT), \
    COUNT_ENTRY(sub##s, x86_alu_ri[X86_ALU_SUB][X86_S##s][0], X86_KNOWN_SUB), \
    COUNT_ENTRY(and##s, x86_alu_ri[X86_ALU_AND][X86_S##s][0], X86_KNOWN_LOGIC), \
    COUNT_ENTRY(inc##s, x86_unary_r[X86_UN_INC][X86_S##s][0], X86_KNOWN_RESULT), \
    COUNT_ENTRY(dec##s, x86_unary_r[X86_UN_DEC][X86_S##s][0], X86_KNOWN_RESULT)
const X86FlagsBranch x86_flags_branch[] = { FOR_CMPS(CMP_ENTRY) COUNT_ENTRIES(32), COUNT_ENTRIES(64) };
const unsigned x86_flags_branches = sizeof(x86_flags_branch) / sizeof(x86_flags_branch[0]);
