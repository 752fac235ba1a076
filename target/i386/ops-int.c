/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer operations with one operand, multiplication and division, exchanges, bits, flags, decimal arithmetic.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <sys/random.h>
#include "target/i386/ops.h"
#include "target/i386/system.h"

#define S4(x) { x##8, x##16, x##32, x##64 }
#define S3(x) { NULL, x##16, x##32, x##64 }

/* ---- INC, DEC, NEG, NOT ------------------------------------------------------------------------------------------ */

#define R_INC(s, a) ((uint##s##_t)((a) + 1))
#define R_DEC(s, a) ((uint##s##_t)((a) - 1))
#define R_NEG(s, a) ((uint##s##_t)(0 - (a)))
#define R_NOT(s, a) ((uint##s##_t)~(a))
#define CC_INC(s, a, r) x86_cc_set(cpu, X86_CC_INC, (int##s##_t)(r), (int##s##_t)(a), x86_cc_carry(cpu))
#define CC_DEC(s, a, r) x86_cc_set(cpu, X86_CC_DEC, (int##s##_t)(r), (int##s##_t)(a), x86_cc_carry(cpu))
#define CC_NEG(s, a, r) x86_cc_set(cpu, X86_CC_SUB, (int##s##_t)(r), 0, (int##s##_t)(a))
#define CC_NOT(s, a, r) (void)(a)

#define DEF_UNARY(o, s) \
    static X86_OP(r_##o##s) \
    { \
        const uint##s##_t a = X86_RD##s(op->reg), r = R_##o(s, a); \
        CC_##o(s, a, r); \
        X86_WR##s(op->reg, r); \
        NEXT; \
    } \
    static X86_OP(nf_##o##s) \
    { \
        X86_WR##s(op->reg, R_##o(s, X86_RD##s(op->reg))); \
        NEXT; \
    } \
    static __attribute__((noinline)) void memory_##o##s(X86Cpu *cpu, const X86Op *op) \
    { \
        x86_probe_write(cpu, op, cpu->ea, s / 8); \
        const uint##s##_t a = x86_ld##s(cpu, op, cpu->ea), r = R_##o(s, a); \
        x86_st##s(cpu, op, cpu->ea, r); \
        CC_##o(s, a, r); \
    } \
    static X86_OP(m_##o##s) \
    { \
        const uint64_t addr = cpu->ea; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (likely(x86_hit_write(t, addr, s / 8))) { \
            X86Mem##s *p = (X86Mem##s *)x86_hit_host(t, addr); \
            const uint##s##_t a = *p, r = R_##o(s, a); \
            *p = r; \
            CC_##o(s, a, r); \
        } else { \
            memory_##o##s(cpu, op); \
        } \
        NEXT; \
    } \
    static __attribute__((noinline)) void locked_##o##s(X86Cpu *cpu, const X86Op *op) \
    { \
        uint8_t *p = x86_lock_target(cpu, op, cpu->ea, s / 8); \
        uint##s##_t a, r; \
        if (p != NULL) { \
            a = *(X86Mem##s *)p; \
            do { \
                r = R_##o(s, a); \
            } while (!x86_cas##s(p, &a, r)); \
        } else { \
            x86_lock_bus(cpu); \
            a = (uint##s##_t)x86_ld_slow(cpu, op, cpu->ea, s / 8); \
            r = R_##o(s, a); \
            x86_st_slow(cpu, op, cpu->ea, r, s / 8); \
            x86_unlock_bus(cpu); \
        } \
        CC_##o(s, a, r); \
    } \
    static X86_OP(lm_##o##s) \
    { \
        locked_##o##s(cpu, op); \
        NEXT; \
    }
#define DEF_UNARY_S(o) DEF_UNARY(o, 8) DEF_UNARY(o, 16) DEF_UNARY(o, 32) DEF_UNARY(o, 64)
DEF_UNARY_S(INC)
DEF_UNARY_S(DEC)
DEF_UNARY_S(NEG)
DEF_UNARY_S(NOT)
#define UN_PAIR(o, s) { r_##o##s, nf_##o##s }
#define UN_ROW(o) { UN_PAIR(o, 8), UN_PAIR(o, 16), UN_PAIR(o, 32), UN_PAIR(o, 64) }
X86Fn *const x86_unary_r[X86_UNS][X86_SIZES][2] = { UN_ROW(INC), UN_ROW(DEC), UN_ROW(NEG), UN_ROW(NOT) };
X86Fn *const x86_unary_m[X86_UNS][X86_SIZES] = { S4(m_INC), S4(m_DEC), S4(m_NEG), S4(m_NOT) };
X86Fn *const x86_unary_lm[X86_UNS][X86_SIZES] = { S4(lm_INC), S4(lm_DEC), S4(lm_NEG), S4(lm_NOT) };

/* ---- MUL, IMUL, DIV, IDIV ---------------------------------------------------------------------------------------- */

typedef unsigned __int128 uint128_t;
typedef __int128 int128_t;

static void mul8(X86Cpu *cpu, const X86Op *op, uint8_t b)
{
    const uint16_t r = (uint16_t)((uint8_t)cpu->regs[X86_RAX] * b);

    X86_R16(X86_RAX) = r;
    x86_cc_set(cpu, X86_CC_CO, (int8_t)r, r > 0xff, r > 0xff);
}

static void imul8(X86Cpu *cpu, const X86Op *op, uint8_t b)
{
    const int16_t r = (int16_t)((int8_t)cpu->regs[X86_RAX] * (int8_t)b);

    X86_R16(X86_RAX) = (uint16_t)r;
    x86_cc_set(cpu, X86_CC_CO, (int8_t)r, r != (int8_t)r, r != (int8_t)r);
}

static void div8(X86Cpu *cpu, const X86Op *op, uint8_t b)
{
    const uint16_t a = X86_R16(X86_RAX);

    if (b == 0 || a / b > 0xff) {
        x86_raise_op(cpu, op, X86_EXC_DE, 0);
    }
    X86_R16(X86_RAX) = (uint16_t)(a % b << 8 | a / b);
}

static void idiv8(X86Cpu *cpu, const X86Op *op, uint8_t ub)
{
    const int16_t a = (int16_t)X86_R16(X86_RAX);
    const int8_t b = (int8_t)ub;

    if (b == 0 || a / b != (int8_t)(a / b)) {
        x86_raise_op(cpu, op, X86_EXC_DE, 0);
    }
    X86_R16(X86_RAX) = (uint16_t)((uint8_t)(a % b) << 8 | (uint8_t)(a / b));
}

#define DEF_MULDIV(s, ds) \
    static void mul##s(X86Cpu *cpu, const X86Op *op, uint##s##_t b) \
    { \
        const uint##ds##_t r = (uint##ds##_t)X86_RD##s(X86_RAX) * b; \
        const uint##s##_t high = (uint##s##_t)(r >> s); \
        X86_WR##s(X86_RAX, r); \
        X86_WR##s(X86_RDX, high); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, high != 0, high != 0); \
    } \
    static void imul##s(X86Cpu *cpu, const X86Op *op, uint##s##_t b) \
    { \
        const int##ds##_t r = (int##ds##_t)(int##s##_t)X86_RD##s(X86_RAX) * (int##s##_t)b; \
        const bool lost = r != (int##s##_t)r; \
        X86_WR##s(X86_RAX, r); \
        X86_WR##s(X86_RDX, r >> s); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, lost, lost); \
    } \
    static void div##s(X86Cpu *cpu, const X86Op *op, uint##s##_t b) \
    { \
        const uint##ds##_t a = (uint##ds##_t)X86_RD##s(X86_RDX) << s | X86_RD##s(X86_RAX); \
        /* The quotient fits when the high half is smaller than the divisor. */ \
        if (X86_RD##s(X86_RDX) >= b) { \
            x86_raise_op(cpu, op, X86_EXC_DE, 0); \
        } \
        if (X86_RD##s(X86_RDX) == 0) { \
            const uint##s##_t low = X86_RD##s(X86_RAX); \
            X86_WR##s(X86_RAX, low / b); \
            X86_WR##s(X86_RDX, low % b); \
            return; \
        } \
        X86_WR##s(X86_RAX, a / b); \
        X86_WR##s(X86_RDX, a % b); \
    } \
    static void idiv##s(X86Cpu *cpu, const X86Op *op, uint##s##_t ub) \
    { \
        const int##ds##_t a = (int##ds##_t)((uint##ds##_t)X86_RD##s(X86_RDX) << s | X86_RD##s(X86_RAX)); \
        const int##s##_t b = (int##s##_t)ub; \
        /* The most negative number by -1 has no quotient even in the double width. */ \
        if (b == 0 || (b == -1 && a == (int##ds##_t)((uint##ds##_t)1 << (2 * s - 1))) || a / b != (int##s##_t)(a / b)) { \
            x86_raise_op(cpu, op, X86_EXC_DE, 0); \
        } \
        X86_WR##s(X86_RAX, a / b); \
        X86_WR##s(X86_RDX, a % b); \
    } \
    static X86_OP(imul_rr##s) \
    { \
        const int##ds##_t r = (int##ds##_t)(int##s##_t)X86_RD##s(op->reg) * (int##s##_t)X86_RD##s(op->rm); \
        const bool lost = r != (int##s##_t)r; \
        X86_WR##s(op->reg, r); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, lost, lost); \
        NEXT; \
    } \
    static X86_OP(imul_rm##s) \
    { \
        const int##s##_t b = (int##s##_t)x86_ld##s(cpu, op, cpu->ea); \
        const int##ds##_t r = (int##ds##_t)(int##s##_t)X86_RD##s(op->reg) * b; \
        const bool lost = r != (int##s##_t)r; \
        X86_WR##s(op->reg, r); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, lost, lost); \
        NEXT; \
    } \
    static X86_OP(imul_rri##s) \
    { \
        const int##ds##_t r = (int##ds##_t)(int##s##_t)X86_RD##s(op->rm) * (int##s##_t)op->imm; \
        const bool lost = r != (int##s##_t)r; \
        X86_WR##s(op->reg, r); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, lost, lost); \
        NEXT; \
    } \
    static X86_OP(imul_rmi##s) \
    { \
        const int##ds##_t r = (int##ds##_t)(int##s##_t)x86_ld##s(cpu, op, cpu->ea) * (int##s##_t)op->imm; \
        const bool lost = r != (int##s##_t)r; \
        X86_WR##s(op->reg, r); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, lost, lost); \
        NEXT; \
    }
DEF_MULDIV(16, 32)
DEF_MULDIV(32, 64)
DEF_MULDIV(64, 128)

#define DEF_GROUP3(name, s) \
    static X86_OP(name##_r##s) \
    { \
        name##s(cpu, op, X86_RD##s(op->reg)); \
        NEXT; \
    } \
    static X86_OP(name##_m##s) \
    { \
        name##s(cpu, op, x86_ld##s(cpu, op, cpu->ea)); \
        NEXT; \
    }
#define DEF_GROUP3_S(name) DEF_GROUP3(name, 8) DEF_GROUP3(name, 16) DEF_GROUP3(name, 32) DEF_GROUP3(name, 64)
DEF_GROUP3_S(mul)
DEF_GROUP3_S(imul)
DEF_GROUP3_S(div)
DEF_GROUP3_S(idiv)
X86Fn *const x86_muldiv_r[4][X86_SIZES] = { S4(mul_r), S4(imul_r), S4(div_r), S4(idiv_r) };
X86Fn *const x86_muldiv_m[4][X86_SIZES] = { S4(mul_m), S4(imul_m), S4(div_m), S4(idiv_m) };
X86Fn *const x86_imul_rr[X86_SIZES] = S3(imul_rr);
X86Fn *const x86_imul_rm[X86_SIZES] = S3(imul_rm);
X86Fn *const x86_imul_rri[X86_SIZES] = S3(imul_rri);
X86Fn *const x86_imul_rmi[X86_SIZES] = S3(imul_rmi);

/* ---- XCHG, XADD, CMPXCHG ----------------------------------------------------------------------------------------- */

/* Memory <- NEW of what is there, atomically; the expression may use `a`.  Ends with `a` the old value. */
#define ATOMIC_UPDATE(s, new) \
    do { \
        uint8_t *p_ = x86_lock_target(cpu, op, cpu->ea, s / 8); \
        if (p_ != NULL) { \
            a = *(X86Mem##s *)p_; \
            while (!x86_cas##s(p_, &a, new)) { \
            } \
        } else { \
            x86_lock_bus(cpu); \
            a = (uint##s##_t)x86_ld_slow(cpu, op, cpu->ea, s / 8); \
            x86_st_slow(cpu, op, cpu->ea, new, s / 8); \
            x86_unlock_bus(cpu); \
        } \
    } while (0)

#define DEF_EXCHANGE(s) \
    static X86_OP(xchg_rr##s) \
    { \
        const uint##s##_t a = X86_RD##s(op->reg), b = X86_RD##s(op->rm); \
        X86_WR##s(op->reg, b); \
        X86_WR##s(op->rm, a); \
        NEXT; \
    } \
    static __attribute__((noinline)) void xchg_memory##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const uint##s##_t b = X86_RD##s(op->reg); \
        uint##s##_t a; \
        ATOMIC_UPDATE(s, b); \
        X86_WR##s(op->reg, a); \
    } \
    static X86_OP(xchg_mr##s) \
    { \
        xchg_memory##s(cpu, op); \
        NEXT; \
    } \
    static X86_OP(xadd_rr##s) \
    { \
        const uint##s##_t a = X86_RD##s(op->rm), b = X86_RD##s(op->reg), r = (uint##s##_t)(a + b); \
        X86_WR##s(op->reg, a); \
        X86_WR##s(op->rm, r); \
        x86_cc_set(cpu, X86_CC_ADD, (int##s##_t)r, (int##s##_t)a, (int##s##_t)b); \
        NEXT; \
    } \
    static __attribute__((noinline)) void xadd_memory##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const uint##s##_t b = X86_RD##s(op->reg); \
        uint##s##_t a; \
        ATOMIC_UPDATE(s, (uint##s##_t)(a + b)); \
        X86_WR##s(op->reg, a); \
        x86_cc_set(cpu, X86_CC_ADD, (int##s##_t)(a + b), (int##s##_t)a, (int##s##_t)b); \
    } \
    static X86_OP(xadd_mr##s) \
    { \
        xadd_memory##s(cpu, op); \
        NEXT; \
    } \
    static X86_OP(cmpxchg_rr##s) \
    { \
        const uint##s##_t a = X86_RD##s(X86_RAX), b = X86_RD##s(op->rm); \
        if (a == b) { \
            X86_WR##s(op->rm, X86_RD##s(op->reg)); \
        } else { \
            X86_WR##s(X86_RAX, b); \
        } \
        x86_cc_set(cpu, X86_CC_SUB, (int##s##_t)(a - b), (int##s##_t)a, (int##s##_t)b); \
        NEXT; \
    } \
    static __attribute__((noinline)) void cmpxchg_memory##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const uint##s##_t a = X86_RD##s(X86_RAX), c = X86_RD##s(op->reg); \
        uint8_t *p = x86_lock_target(cpu, op, cpu->ea, s / 8); \
        uint##s##_t b = a; \
        if (p != NULL) { \
            x86_cas##s(p, &b, c); \
        } else { \
            x86_lock_bus(cpu); \
            b = (uint##s##_t)x86_ld_slow(cpu, op, cpu->ea, s / 8); \
            x86_st_slow(cpu, op, cpu->ea, a == b ? c : b, s / 8); \
            x86_unlock_bus(cpu); \
        } \
        if (a != b) { \
            X86_WR##s(X86_RAX, b); \
        } \
        x86_cc_set(cpu, X86_CC_SUB, (int##s##_t)(a - b), (int##s##_t)a, (int##s##_t)b); \
    } \
    static X86_OP(cmpxchg_mr##s) \
    { \
        cmpxchg_memory##s(cpu, op); \
        NEXT; \
    }
DEF_EXCHANGE(8)
DEF_EXCHANGE(16)
DEF_EXCHANGE(32)
DEF_EXCHANGE(64)
X86Fn *const x86_xchg_rr[X86_SIZES] = S4(xchg_rr);
X86Fn *const x86_xchg_mr[X86_SIZES] = S4(xchg_mr);
X86Fn *const x86_xadd_rr[X86_SIZES] = S4(xadd_rr);
X86Fn *const x86_xadd_mr[X86_SIZES] = S4(xadd_mr);
X86Fn *const x86_cmpxchg_rr[X86_SIZES] = S4(cmpxchg_rr);
X86Fn *const x86_cmpxchg_mr[X86_SIZES] = S4(cmpxchg_mr);

static void set_zf(X86Cpu *cpu, bool zero)
{
    x86_cc_flags(cpu, (x86_cc_all(cpu) & ~X86_ZF) | (zero ? X86_ZF : 0));
}

static __attribute__((noinline)) void cmpxchg8b(X86Cpu *cpu, const X86Op *op)
{
    const uint64_t a = (uint64_t)X86_R32(X86_RDX) << 32 | X86_R32(X86_RAX);
    const uint64_t c = (uint64_t)X86_R32(X86_RCX) << 32 | X86_R32(X86_RBX);
    uint8_t *p = x86_lock_target(cpu, op, cpu->ea, 8);
    uint64_t b = a;

    if (p != NULL) {
        x86_cas64(p, &b, c);
    } else {
        x86_lock_bus(cpu);
        b = x86_ld_slow(cpu, op, cpu->ea, 8);
        x86_st_slow(cpu, op, cpu->ea, a == b ? c : b, 8);
        x86_unlock_bus(cpu);
    }
    if (a != b) {
        X86_WR32(X86_RAX, b);
        X86_WR32(X86_RDX, b >> 32);
    }
    set_zf(cpu, a == b);
}

X86_OP(x86_op_cmpxchg8b)
{
    cmpxchg8b(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void cmpxchg16b(X86Cpu *cpu, const X86Op *op)
{
    const uint64_t low = cpu->regs[X86_RAX], high = cpu->regs[X86_RDX];
    uint64_t b_low = low, b_high = high;
    uint8_t *p;
    bool same;

    if (cpu->ea & 15) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
    p = x86_lock_target(cpu, op, cpu->ea, 16);
    if (p != NULL) {
        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(same), "+m"(*(volatile uint128_t *)p), "+a"(b_low), "+d"(b_high)
                         : "b"(cpu->regs[X86_RBX]), "c"(cpu->regs[X86_RCX])
                         : "memory");
    } else {
        x86_lock_bus(cpu);
        b_low = x86_ld_slow(cpu, op, cpu->ea, 8);
        b_high = x86_ld_slow(cpu, op, cpu->ea + 8, 8);
        same = b_low == low && b_high == high;
        x86_st_slow(cpu, op, cpu->ea, same ? cpu->regs[X86_RBX] : b_low, 8);
        x86_st_slow(cpu, op, cpu->ea + 8, same ? cpu->regs[X86_RCX] : b_high, 8);
        x86_unlock_bus(cpu);
    }
    if (!same) {
        cpu->regs[X86_RAX] = b_low;
        cpu->regs[X86_RDX] = b_high;
    }
    set_zf(cpu, same);
}

X86_OP(x86_op_cmpxchg16b)
{
    cmpxchg16b(cpu, op);
    NEXT;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

static void set_cf(X86Cpu *cpu, bool carry)
{
    x86_cc_flags(cpu, (x86_cc_all(cpu) & ~X86_CF) | carry);
}

#define V_BT(a, mask) ((void)(mask), (a))
#define V_BTS(a, mask) ((a) | (mask))
#define V_BTR(a, mask) ((a) & ~(mask))
#define V_BTC(a, mask) ((a) ^ (mask))
#define W_BT 0
#define W_BTS 1
#define W_BTR 1
#define W_BTC 1

/* SHAPE_r: the bit number is in a register, SHAPE_i: an immediate. */
#define DEF_BIT(o, s, shape, number, target) \
    static X86_OP(shape##r_##o##s) \
    { \
        const uint##s##_t a = X86_RD##s(target); \
        const unsigned n = (number) & (s - 1); \
        if (W_##o) { \
            X86_WR##s(target, V_##o(a, (uint##s##_t)1 << n)); \
        } \
        set_cf(cpu, a >> n & 1); \
        NEXT; \
    } \
    static __attribute__((noinline)) void shape##memory_##o##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const unsigned n = (number) & (s - 1); \
        const uint##s##_t mask = (uint##s##_t)((uint##s##_t)1 << n); \
        uint##s##_t a; \
        if (!W_##o) { \
            a = x86_ld##s(cpu, op, cpu->ea); \
        } else if (op->aux) { \
            ATOMIC_UPDATE(s, (uint##s##_t)V_##o(a, mask)); \
        } else { \
            x86_probe_write(cpu, op, cpu->ea, s / 8); \
            a = x86_ld##s(cpu, op, cpu->ea); \
            x86_st##s(cpu, op, cpu->ea, (uint##s##_t)V_##o(a, mask)); \
        } \
        set_cf(cpu, a >> n & 1); \
    } \
    static X86_OP(shape##m_##o##s) \
    { \
        shape##memory_##o##s(cpu, op); \
        NEXT; \
    }
#define DEF_BIT_S(o, s) DEF_BIT(o, s, r, cpu->regs[op->reg], op->rm) DEF_BIT(o, s, i, (unsigned)op->imm, op->rm)
#define DEF_BITS(o) DEF_BIT_S(o, 16) DEF_BIT_S(o, 32) DEF_BIT_S(o, 64)
DEF_BITS(BT)
DEF_BITS(BTS)
DEF_BITS(BTR)
DEF_BITS(BTC)
X86Fn *const x86_bit_rr[4][X86_SIZES] = { S3(rr_BT), S3(rr_BTS), S3(rr_BTR), S3(rr_BTC) };
X86Fn *const x86_bit_ri[4][X86_SIZES] = { S3(ir_BT), S3(ir_BTS), S3(ir_BTR), S3(ir_BTC) };
X86Fn *const x86_bit_mr[4][X86_SIZES] = { S3(rm_BT), S3(rm_BTS), S3(rm_BTR), S3(rm_BTC) };
X86Fn *const x86_bit_mi[4][X86_SIZES] = { S3(im_BT), S3(im_BTS), S3(im_BTR), S3(im_BTC) };

/* BSF and BSR of 0 leave the destination.  The other flags are undefined; ZF tells of a source of 0. */
#define DEF_SCAN(s) \
    static void bsf##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        if (v != 0) { \
            X86_WR##s(op->reg, (unsigned)__builtin_ctzll(v)); \
        } \
        x86_cc_logic(cpu, v != 0); \
    } \
    static void bsr##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        if (v != 0) { \
            X86_WR##s(op->reg, 63u - (unsigned)__builtin_clzll(v)); \
        } \
        x86_cc_logic(cpu, v != 0); \
    } \
    static void popcnt##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        X86_WR##s(op->reg, (unsigned)__builtin_popcountll(v)); \
        x86_cc_flags(cpu, v == 0 ? X86_ZF : 0); \
    }
DEF_SCAN(16)
DEF_SCAN(32)
DEF_SCAN(64)

static uint32_t crc32_step(uint32_t crc, uint64_t value, unsigned bits)
{
    /* Remainders of four bits by the reflected polynomial 82F63B78. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (unsigned i = 0; i < bits; i += 8) {
        crc ^= (uint8_t)(value >> i);
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}
/* By the size of the source; the destination has 32 bits, cleared above. */
#define DEF_CRC32(s) \
    static void crc32_##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        cpu->regs[op->reg] = crc32_step(X86_R32(op->reg), v, s); \
    }
DEF_CRC32(8)
DEF_CRC32(16)
DEF_CRC32(32)
DEF_CRC32(64)

#define DEF_SOURCE(name, f, s) \
    static X86_OP(name##_rr##s) \
    { \
        f##s(cpu, op, X86_RD##s(op->rm)); \
        NEXT; \
    } \
    static X86_OP(name##_rm##s) \
    { \
        f##s(cpu, op, x86_ld##s(cpu, op, cpu->ea)); \
        NEXT; \
    }
#define DEF_SOURCES(name) DEF_SOURCE(name, name, 16) DEF_SOURCE(name, name, 32) DEF_SOURCE(name, name, 64)
DEF_SOURCES(bsf)
DEF_SOURCES(bsr)
DEF_SOURCES(popcnt)
DEF_SOURCE(crc32, crc32_, 8)
DEF_SOURCE(crc32, crc32_, 16)
DEF_SOURCE(crc32, crc32_, 32)
DEF_SOURCE(crc32, crc32_, 64)
X86Fn *const x86_bsf_rr[X86_SIZES] = S3(bsf_rr);
X86Fn *const x86_bsf_rm[X86_SIZES] = S3(bsf_rm);
X86Fn *const x86_bsr_rr[X86_SIZES] = S3(bsr_rr);
X86Fn *const x86_bsr_rm[X86_SIZES] = S3(bsr_rm);
X86Fn *const x86_popcnt_rr[X86_SIZES] = S3(popcnt_rr);
X86Fn *const x86_popcnt_rm[X86_SIZES] = S3(popcnt_rm);
X86Fn *const x86_crc32_rr[X86_SIZES] = S4(crc32_rr);
X86Fn *const x86_crc32_rm[X86_SIZES] = S4(crc32_rm);

#define DEF_MOVBE(s) \
    static X86_OP(movbe_rm##s) \
    { \
        X86_WR##s(op->reg, __builtin_bswap##s(x86_ld##s(cpu, op, cpu->ea))); \
        NEXT; \
    } \
    static X86_OP(movbe_mr##s) \
    { \
        x86_st##s(cpu, op, cpu->ea, __builtin_bswap##s(X86_RD##s(op->reg))); \
        NEXT; \
    }
DEF_MOVBE(16)
DEF_MOVBE(32)
DEF_MOVBE(64)
X86Fn *const x86_movbe_rm[X86_SIZES] = S3(movbe_rm);
X86Fn *const x86_movbe_mr[X86_SIZES] = S3(movbe_mr);

X86_OP(x86_op_bswap32)
{
    cpu->regs[op->reg] = __builtin_bswap32(X86_R32(op->reg));
    NEXT;
}

X86_OP(x86_op_bswap64)
{
    cpu->regs[op->reg] = __builtin_bswap64(cpu->regs[op->reg]);
    NEXT;
}

/* ---- conversions, flags, and what is left ------------------------------------------------------------------------ */

/* CBW, CWDE, CDQE */
X86_OP(x86_op_cbw)
{
    switch (op->aux) {
    case 2:
        X86_R16(X86_RAX) = (uint16_t)(int8_t)cpu->regs[X86_RAX];
        break;
    case 4:
        cpu->regs[X86_RAX] = (uint32_t)(int16_t)cpu->regs[X86_RAX];
        break;
    default:
        cpu->regs[X86_RAX] = (uint64_t)(int32_t)cpu->regs[X86_RAX];
        break;
    }
    NEXT;
}

/* CWD, CDQ, CQO */
X86_OP(x86_op_cwd)
{
    switch (op->aux) {
    case 2:
        X86_R16(X86_RDX) = (uint16_t)((int16_t)cpu->regs[X86_RAX] >> 15);
        break;
    case 4:
        cpu->regs[X86_RDX] = (uint32_t)((int32_t)cpu->regs[X86_RAX] >> 31);
        break;
    default:
        cpu->regs[X86_RDX] = (uint64_t)((int64_t)cpu->regs[X86_RAX] >> 63);
        break;
    }
    NEXT;
}

X86_OP(x86_op_clc)
{
    set_cf(cpu, false);
    NEXT;
}

X86_OP(x86_op_stc)
{
    set_cf(cpu, true);
    NEXT;
}

X86_OP(x86_op_cmc)
{
    set_cf(cpu, !x86_cc_carry(cpu));
    NEXT;
}

X86_OP(x86_op_cld)
{
    cpu->rflags &= ~(uint64_t)X86_DF;
    NEXT;
}

X86_OP(x86_op_std)
{
    cpu->rflags |= X86_DF;
    NEXT;
}

X86_OP(x86_op_lahf)
{
    X86_R8(1) = (uint8_t)((x86_cc_all(cpu) & (X86_SF | X86_ZF | X86_AF | X86_PF | X86_CF)) | 2);
    NEXT;
}

X86_OP(x86_op_sahf)
{
    x86_cc_flags(cpu, (X86_R8(1) & (X86_SF | X86_ZF | X86_AF | X86_PF | X86_CF)) | (x86_cc_all(cpu) & X86_OF));
    NEXT;
}

X86_OP(x86_op_salc)
{
    X86_R8(0) = x86_cc_carry(cpu) ? 0xff : 0;
    NEXT;
}

X86_OP(x86_op_xlat)
{
    X86_R8(0) = x86_ld8(cpu, op, cpu->ea);
    NEXT;
}

/* SF, ZF and PF of AL. */
static uint32_t szp(uint8_t v)
{
    return (v & 0x80 ? X86_SF : 0) | (v == 0 ? X86_ZF : 0) | (__builtin_parity(v) ? 0 : X86_PF);
}

static __attribute__((noinline)) void ascii_adjust(X86Cpu *cpu, int sign)
{
    const bool adjust = (X86_R8(0) & 0xf) > 9 || (x86_cc_all(cpu) & X86_AF);

    if (adjust) {
        X86_R16(X86_RAX) = (uint16_t)(X86_R16(X86_RAX) + sign * 0x106);
    }
    X86_R8(0) &= 0xf;
    x86_cc_flags(cpu, szp(X86_R8(0)) | (adjust ? X86_AF | X86_CF : 0));
}

X86_OP(x86_op_aaa)
{
    ascii_adjust(cpu, 1);
    NEXT;
}

X86_OP(x86_op_aas)
{
    ascii_adjust(cpu, -1);
    NEXT;
}

static __attribute__((noinline)) void decimal_adjust(X86Cpu *cpu, bool subtract)
{
    const uint32_t flags = x86_cc_all(cpu);
    const uint8_t old = X86_R8(0);
    uint8_t al = old;
    uint32_t out = 0;

    if ((al & 0xf) > 9 || (flags & X86_AF)) {
        out |= X86_AF;
        if (subtract && al < 6) {
            out |= X86_CF;
        }
        al = (uint8_t)(subtract ? al - 6 : al + 6);
    }
    if (old > 0x99 || (flags & X86_CF)) {
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
        out |= X86_CF;
    } else if (!subtract) {
        out &= ~X86_CF;
    }
    X86_R8(0) = al;
    x86_cc_flags(cpu, out | szp(al));
}

X86_OP(x86_op_daa)
{
    decimal_adjust(cpu, false);
    NEXT;
}

X86_OP(x86_op_das)
{
    decimal_adjust(cpu, true);
    NEXT;
}

X86_OP(x86_op_aam)
{
    const uint8_t base = (uint8_t)op->imm, al = X86_R8(0);

    if (base == 0) {
        x86_raise_op(cpu, op, X86_EXC_DE, 0);
    }
    X86_R8(1) = al / base;
    X86_R8(0) = al % base;
    x86_cc_flags(cpu, szp(al % base));
    NEXT;
}

X86_OP(x86_op_aad)
{
    const uint8_t al = (uint8_t)(X86_R8(0) + X86_R8(1) * (uint8_t)op->imm);

    X86_R16(X86_RAX) = al;
    x86_cc_flags(cpu, szp(al));
    NEXT;
}

X86_OP(x86_op_bound)
{
    int32_t index, low, high;

    if (op->aux == 2) {
        index = (int16_t)X86_R16(op->reg);
        low = (int16_t)x86_ld16(cpu, op, cpu->ea);
        high = (int16_t)x86_ld16(cpu, op, cpu->ea + 2);
    } else {
        index = (int32_t)X86_R32(op->reg);
        low = (int32_t)x86_ld32(cpu, op, cpu->ea);
        high = (int32_t)x86_ld32(cpu, op, cpu->ea + 4);
    }
    if (index < low || index > high) {
        x86_raise_op(cpu, op, X86_EXC_BR, 0);
    }
    NEXT;
}

X86_OP(x86_op_mfence)
{
    atomic_thread_fence(memory_order_seq_cst);
    NEXT;
}

/* CLFLUSH: the line must be readable. */
X86_OP(x86_op_clflush)
{
    (void)x86_ld8(cpu, op, cpu->ea);
    NEXT;
}

X86_OP(x86_op_raise)
{
    x86_raise_op(cpu, op, op->imm, 0);
}

static __attribute__((noinline)) void rdrand(X86Cpu *cpu, const X86Op *op)
{
    uint64_t value = 0;
    const bool good = getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value);

    if (op->aux == 2) {
        X86_R16(op->reg) = (uint16_t)value;
    } else {
        cpu->regs[op->reg] = op->aux == 4 ? (uint32_t)value : value;
    }
    x86_cc_flags(cpu, good ? X86_CF : 0);
}

X86_OP(x86_op_rdrand)
{
    rdrand(cpu, op);
    NEXT;
}
