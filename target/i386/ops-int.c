/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer operations with one operand, exchanges, conversions, flags, decimal arithmetic.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <sys/random.h>
#include "target/i386/ops.h"
#include "target/i386/system.h"

typedef unsigned __int128 uint128_t;

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

/* ---- XCHG, XADD, CMPXCHG ----------------------------------------------------------------------------------------- */

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
        X86_ATOMIC_UPDATE(s, b); \
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
        X86_ATOMIC_UPDATE(s, (uint##s##_t)(a + b)); \
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
        X86Xmm value;

        x86_lock_bus(cpu);
        x86_ld128(cpu, op, cpu->ea, &value);
        b_low = value.u64[0];
        b_high = value.u64[1];
        same = b_low == low && b_high == high;
        if (same) {
            value.u64[0] = cpu->regs[X86_RBX];
            value.u64[1] = cpu->regs[X86_RCX];
        }
        x86_st128(cpu, op, cpu->ea, &value);
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
    x86_cc_set_carry(cpu, false);
    NEXT;
}

X86_OP(x86_op_stc)
{
    x86_cc_set_carry(cpu, true);
    NEXT;
}

X86_OP(x86_op_cmc)
{
    x86_cc_set_carry(cpu, !x86_cc_carry(cpu));
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
