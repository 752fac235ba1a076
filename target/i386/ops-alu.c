/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two-operand arithmetic and logic: ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST in all shapes (ops.h).
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"

/* Result R of A and B; C_IN is the carry flag, only evaluated by those that use it. */
#define R_ADD(a, b) ((a) + (b))
#define R_OR(a, b) ((a) | (b))
#define R_ADC(a, b) ((a) + (b) + carry)
#define R_SBB(a, b) ((a) - (b) - carry)
#define R_AND(a, b) ((a) & (b))
#define R_SUB(a, b) ((a) - (b))
#define R_XOR(a, b) ((a) ^ (b))
#define R_CMP(a, b) ((a) - (b))
#define R_TEST(a, b) ((a) & (b))

#define CARRY_ADD
#define CARRY_OR
#define CARRY_ADC const uint8_t carry = x86_cc_carry(cpu);
#define CARRY_SBB const uint8_t carry = x86_cc_carry(cpu);
#define CARRY_AND
#define CARRY_SUB
#define CARRY_XOR
#define CARRY_CMP
#define CARRY_TEST

#define SX(s, v) ((int##s##_t)(v))
#define CC_ARITH(s, cc) x86_cc_set(cpu, cc, SX(s, r), SX(s, a), SX(s, b))
#define CC_ADD(s) CC_ARITH(s, X86_CC_ADD)
#define CC_OR(s) x86_cc_logic(cpu, SX(s, r))
#define CC_ADC(s) CC_ARITH(s, X86_CC_ADC)
#define CC_SBB(s) CC_ARITH(s, X86_CC_SBB)
#define CC_AND(s) x86_cc_logic(cpu, SX(s, r))
#define CC_SUB(s) CC_ARITH(s, X86_CC_SUB)
#define CC_XOR(s) x86_cc_logic(cpu, SX(s, r))
#define CC_CMP(s) CC_ARITH(s, X86_CC_SUB)
#define CC_TEST(s) x86_cc_logic(cpu, SX(s, r))

#define FLAGS_f(o, s) CC_##o(s)
#define FLAGS_n(o, s) (void)0

/* CMP and TEST write no result. */
#define WRITES_ADD 1
#define WRITES_OR 1
#define WRITES_ADC 1
#define WRITES_SBB 1
#define WRITES_AND 1
#define WRITES_SUB 1
#define WRITES_XOR 1
#define WRITES_CMP 0
#define WRITES_TEST 0

#define DEF_RR(o, s, f) \
    static X86_OP(rr_##o##s##f) \
    { \
        CARRY_##o \
        const uint##s##_t a = X86_RD##s(op->reg), b = X86_RD##s(op->rm); \
        const uint##s##_t r = (uint##s##_t)R_##o(a, b); \
        if (WRITES_##o) { \
            X86_WR##s(op->reg, r); \
        } \
        FLAGS_##f(o, s); \
        NEXT; \
    }
#define DEF_RI(o, s, f) \
    static X86_OP(ri_##o##s##f) \
    { \
        CARRY_##o \
        const uint##s##_t a = X86_RD##s(op->reg), b = (uint##s##_t)(int64_t)op->imm; \
        const uint##s##_t r = (uint##s##_t)R_##o(a, b); \
        if (WRITES_##o) { \
            X86_WR##s(op->reg, r); \
        } \
        FLAGS_##f(o, s); \
        NEXT; \
    }
#define FINISH_RM(o, s, f) \
    CARRY_##o \
    const uint##s##_t a = X86_RD##s(op->reg); \
    const uint##s##_t r = (uint##s##_t)R_##o(a, b); \
    if (WRITES_##o) { \
        X86_WR##s(op->reg, r); \
    } \
    FLAGS_##f(o, s); \
    NEXT;
#define DEF_RM(o, s, f, e) \
    static X86_SLOW_OP(rm_##o##s##f##e##_slow) \
    { \
        const uint##s##_t b = (uint##s##_t)x86_ld_slow(cpu, op, X86_ADDR_##e, s / 8); \
        FINISH_RM(o, s, f) \
    } \
    static X86_OP(rm_##o##s##f##e) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(!x86_hit_read(t, addr, s / 8))) { \
            X86_BECOME(rm_##o##s##f##e##_slow); \
        } \
        const uint##s##_t b = *(X86Mem##s *)x86_hit_host(t, addr); \
        FINISH_RM(o, s, f) \
    }
#define DEF_M(name, o, s, f, e, source) \
    static X86_SLOW_OP(name##_##o##s##f##e##_slow) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const uint##s##_t b = (uint##s##_t)(source); \
        CARRY_##o \
        if (WRITES_##o) { \
            x86_probe_write(cpu, op, addr, s / 8); \
        } \
        const uint##s##_t a = (uint##s##_t)x86_ld_slow(cpu, op, addr, s / 8); \
        const uint##s##_t r = (uint##s##_t)R_##o(a, b); \
        if (WRITES_##o) { \
            x86_st_slow(cpu, op, addr, r, s / 8); \
        } \
        FLAGS_##f(o, s); \
        NEXT; \
    } \
    static X86_OP(name##_##o##s##f##e) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(WRITES_##o ? !x86_hit_write(t, addr, s / 8) : !x86_hit_read(t, addr, s / 8))) { \
            X86_BECOME(name##_##o##s##f##e##_slow); \
        } \
        const uint##s##_t b = (uint##s##_t)(source); \
        CARRY_##o \
        X86Mem##s *p = (X86Mem##s *)x86_hit_host(t, addr); \
        const uint##s##_t a = *p; \
        const uint##s##_t r = (uint##s##_t)R_##o(a, b); \
        if (WRITES_##o) { \
            *p = r; \
        } \
        FLAGS_##f(o, s); \
        NEXT; \
    }
#define DEF_MR(o, s, f, e) DEF_M(mr, o, s, f, e, X86_RD##s(op->reg))
#define DEF_MI(o, s, f, e) DEF_M(mi, o, s, f, e, (int64_t)op->imm)

#define DEF_L(name, o, s, source) \
    static __attribute__((noinline)) uint##s##_t name##_value_##o##s(X86Cpu *cpu, const X86Op *op, uint##s##_t b, \
                                                                     uint##s##_t *old) \
    { \
        uint8_t *p = x86_lock_target(cpu, op, cpu->ea, s / 8); \
        CARRY_##o \
        uint##s##_t a, r; \
        if (likely(p != NULL)) { \
            a = *(X86Mem##s *)p; \
            do { \
                r = (uint##s##_t)R_##o(a, b); \
            } while (!x86_cas##s(p, &a, r)); \
        } else { \
            x86_lock_bus(cpu); \
            a = (uint##s##_t)x86_ld_slow(cpu, op, cpu->ea, s / 8); \
            r = (uint##s##_t)R_##o(a, b); \
            x86_st_slow(cpu, op, cpu->ea, r, s / 8); \
            x86_unlock_bus(cpu); \
        } \
        *old = a; \
        return r; \
    } \
    static __attribute__((noinline)) void name##_do_##o##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const uint##s##_t b = (uint##s##_t)(source); \
        uint##s##_t a; \
        const uint##s##_t r = name##_value_##o##s(cpu, op, b, &a); \
        CC_##o(s); \
        (void)a; \
    } \
    static X86_OP(name##_##o##s) \
    { \
        name##_do_##o##s(cpu, op); \
        NEXT; \
    }
#define DEF_LMR(o, s) DEF_L(lmr, o, s, X86_RD##s(op->reg))
#define DEF_LMI(o, s) DEF_L(lmi, o, s, (int64_t)op->imm)

#define DEF_FLAGGED(o, s, f) \
    DEF_RR(o, s, f) DEF_RI(o, s, f) \
    DEF_RM(o, s, f, BD) DEF_RM(o, s, f, BIS) DEF_RM(o, s, f, EA) \
    DEF_MR(o, s, f, BD) DEF_MR(o, s, f, EA) \
    DEF_MI(o, s, f, BD) DEF_MI(o, s, f, EA)
#define DEF_SIZE(o, s) DEF_FLAGGED(o, s, f) DEF_FLAGGED(o, s, n)
#define DEF_ALL(o) DEF_SIZE(o, 8) DEF_SIZE(o, 16) DEF_SIZE(o, 32) DEF_SIZE(o, 64)
DEF_ALL(ADD)
DEF_ALL(OR)
DEF_ALL(ADC)
DEF_ALL(SBB)
DEF_ALL(AND)
DEF_ALL(SUB)
DEF_ALL(XOR)
#define DEF_COMPARE(o, s) DEF_FLAGGED(o, s, f) DEF_MR(o, s, f, BIS) DEF_MI(o, s, f, BIS)
DEF_COMPARE(CMP, 8)
DEF_COMPARE(CMP, 16)
DEF_COMPARE(CMP, 32)
DEF_COMPARE(CMP, 64)
DEF_COMPARE(TEST, 8)
DEF_COMPARE(TEST, 16)
DEF_COMPARE(TEST, 32)
DEF_COMPARE(TEST, 64)

#define DEF_LOCKED(o) \
    DEF_LMR(o, 8) DEF_LMR(o, 16) DEF_LMR(o, 32) DEF_LMR(o, 64) \
    DEF_LMI(o, 8) DEF_LMI(o, 16) DEF_LMI(o, 32) DEF_LMI(o, 64)
DEF_LOCKED(ADD)
DEF_LOCKED(OR)
DEF_LOCKED(ADC)
DEF_LOCKED(SBB)
DEF_LOCKED(AND)
DEF_LOCKED(SUB)
DEF_LOCKED(XOR)

#define PAIR(x, o, s) { x##_##o##s##f, x##_##o##s##n }
#define ROW(x, o) [X86_ALU_##o] = { PAIR(x, o, 8), PAIR(x, o, 16), PAIR(x, o, 32), PAIR(x, o, 64) }
#define SAME(x, o, s) { x##_##o##s##f, x##_##o##s##f }
#define SAME_ROW(x, o) [X86_ALU_##o] = { SAME(x, o, 8), SAME(x, o, 16), SAME(x, o, 32), SAME(x, o, 64) }
#define TABLE(x) \
    { ROW(x, ADD), ROW(x, OR), ROW(x, ADC), ROW(x, SBB), ROW(x, AND), ROW(x, SUB), ROW(x, XOR), SAME_ROW(x, CMP), \
      SAME_ROW(x, TEST) }

X86Fn *const x86_alu_rr[X86_ALUS][X86_SIZES][2] = TABLE(rr);
X86Fn *const x86_alu_ri[X86_ALUS][X86_SIZES][2] = TABLE(ri);

#define PAIR_E(x, o, s, e) { x##_##o##s##f##e, x##_##o##s##n##e }
#define ROW_E(x, o, e) \
    [X86_ALU_##o] = { PAIR_E(x, o, 8, e), PAIR_E(x, o, 16, e), PAIR_E(x, o, 32, e), PAIR_E(x, o, 64, e) }
#define SAME_E(x, o, s, e) { x##_##o##s##f##e, x##_##o##s##f##e }
#define SAME_ROW_E(x, o, e) \
    [X86_ALU_##o] = { SAME_E(x, o, 8, e), SAME_E(x, o, 16, e), SAME_E(x, o, 32, e), SAME_E(x, o, 64, e) }
#define TABLE_E(x, e) \
    { ROW_E(x, ADD, e), ROW_E(x, OR, e), ROW_E(x, ADC, e), ROW_E(x, SBB, e), ROW_E(x, AND, e), ROW_E(x, SUB, e), \
      ROW_E(x, XOR, e), SAME_ROW_E(x, CMP, e), SAME_ROW_E(x, TEST, e) }

#define TABLE_COMPARE_E(x, e) { SAME_ROW_E(x, CMP, e), SAME_ROW_E(x, TEST, e) }

/* Those without a BIS form are translated with X86_EA. */
X86Fn *const x86_alu_rm[X86_EAS][X86_ALUS][X86_SIZES][2] = {
    [X86_BD] = TABLE_E(rm, BD), [X86_BIS] = TABLE_E(rm, BIS), [X86_EA] = TABLE_E(rm, EA),
};
X86Fn *const x86_alu_mr[X86_EAS][X86_ALUS][X86_SIZES][2] = {
    [X86_BD] = TABLE_E(mr, BD), [X86_BIS] = TABLE_COMPARE_E(mr, BIS), [X86_EA] = TABLE_E(mr, EA),
};
X86Fn *const x86_alu_mi[X86_EAS][X86_ALUS][X86_SIZES][2] = {
    [X86_BD] = TABLE_E(mi, BD), [X86_BIS] = TABLE_COMPARE_E(mi, BIS), [X86_EA] = TABLE_E(mi, EA),
};

#define LROW(x, o) [X86_ALU_##o] = { x##_##o##8, x##_##o##16, x##_##o##32, x##_##o##64 }
#define LTABLE(x) { LROW(x, ADD), LROW(x, OR), LROW(x, ADC), LROW(x, SBB), LROW(x, AND), LROW(x, SUB), LROW(x, XOR) }
X86Fn *const x86_alu_lmr[X86_ALUS][X86_SIZES] = LTABLE(lmr);
X86Fn *const x86_alu_lmi[X86_ALUS][X86_SIZES] = LTABLE(lmi);
