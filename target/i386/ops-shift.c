/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts and rotates.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * The count is the immediate, or CL when op->aux is 1; it is taken modulo 32, or 64 for 64-bit operands.  A count of 0
 * changes no flags.  Nothing can fault after x86_probe_write(), so flags may be set before the result is stored.  OF
 * is defined for counts of 1 only; it gets what the formula for 1 says of the last step.
 */
#include "target/i386/ops.h"

static inline unsigned count(const X86Cpu *cpu, const X86Op *op, unsigned bits)
{
    return (op->aux ? (unsigned)cpu->regs[X86_RCX] : (unsigned)op->imm) & (bits == 64 ? 63 : 31);
}

/* Rotates leave ZF, SF, AF and PF. */
static void set_carry_overflow(X86Cpu *cpu, bool carry, bool overflow)
{
    x86_cc_flags(cpu, (x86_cc_all(cpu) & ~(X86_CF | X86_OF)) | (carry ? X86_CF : 0) | (overflow ? X86_OF : 0));
}

#define BIT(v, n) (((v) >> (n)) & 1)

/* Each returns the result and sets flags; COUNT is not 0. */
#define DEF_SHIFTS(s) \
    static uint##s##_t rol##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        const unsigned k = n & (s - 1); \
        const uint##s##_t r = k ? (uint##s##_t)(a << k | a >> (s - k)) : a; \
        set_carry_overflow(cpu, r & 1, BIT(r, s - 1) ^ (r & 1)); \
        return r; \
    } \
    static uint##s##_t ror##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        const unsigned k = n & (s - 1); \
        const uint##s##_t r = k ? (uint##s##_t)(a >> k | a << (s - k)) : a; \
        set_carry_overflow(cpu, BIT(r, s - 1), BIT(r, s - 1) ^ BIT(r, s - 2)); \
        return r; \
    } \
    static uint##s##_t rcl##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        bool c = x86_cc_carry(cpu); \
        for (n %= s + 1; n > 0; n--) { \
            const bool out = BIT(a, s - 1); \
            a = (uint##s##_t)(a << 1 | c); \
            c = out; \
        } \
        set_carry_overflow(cpu, c, BIT(a, s - 1) ^ c); \
        return a; \
    } \
    static uint##s##_t rcr##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        bool c = x86_cc_carry(cpu); \
        for (n %= s + 1; n > 0; n--) { \
            const bool out = a & 1; \
            a = (uint##s##_t)(a >> 1 | (uint##s##_t)c << (s - 1)); \
            c = out; \
        } \
        set_carry_overflow(cpu, c, BIT(a, s - 1) ^ BIT(a, s - 2)); \
        return a; \
    } \
    static uint##s##_t shl##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        const uint##s##_t last = n - 1 < s ? (uint##s##_t)(a << (n - 1)) : 0; \
        const uint##s##_t r = (uint##s##_t)(last << 1); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, BIT(last, s - 1) ^ BIT(r, s - 1), BIT(last, s - 1)); \
        return r; \
    } \
    static uint##s##_t shr##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        const uint##s##_t last = n - 1 < s ? (uint##s##_t)(a >> (n - 1)) : 0; \
        const uint##s##_t r = (uint##s##_t)(last >> 1); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, BIT(last, s - 1), last & 1); \
        return r; \
    } \
    static uint##s##_t sar##s(X86Cpu *cpu, uint##s##_t a, unsigned n) \
    { \
        const int##s##_t last = (int##s##_t)((int##s##_t)a >> (n - 1 < s ? n - 1 : s - 1)); \
        const int##s##_t r = (int##s##_t)(last >> 1); \
        x86_cc_set(cpu, X86_CC_CO, r, 0, last & 1); \
        return (uint##s##_t)r; \
    }
DEF_SHIFTS(8)
DEF_SHIFTS(16)
DEF_SHIFTS(32)
DEF_SHIFTS(64)

#define DEF_R(name, s) \
    static X86_OP(name##_r##s) \
    { \
        const unsigned n = count(cpu, op, s); \
        if (n != 0) { \
            X86_WR##s(op->reg, name##s(cpu, X86_RD##s(op->reg), n)); \
        } else if (s == 32) { \
            cpu->regs[op->reg] = X86_R32(op->reg); \
        } \
        NEXT; \
    } \
    static __attribute__((noinline)) void name##_memory##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const unsigned n = count(cpu, op, s); \
        uint##s##_t a; \
        x86_probe_write(cpu, op, cpu->ea, s / 8); \
        a = x86_ld##s(cpu, op, cpu->ea); \
        if (n != 0) { \
            x86_st##s(cpu, op, cpu->ea, name##s(cpu, a, n)); \
        } \
    } \
    static X86_OP(name##_m##s) \
    { \
        name##_memory##s(cpu, op); \
        NEXT; \
    }
#define DEF_SIZES(name) DEF_R(name, 8) DEF_R(name, 16) DEF_R(name, 32) DEF_R(name, 64)
DEF_SIZES(rol)
DEF_SIZES(ror)
DEF_SIZES(rcl)
DEF_SIZES(rcr)
DEF_SIZES(shl)
DEF_SIZES(shr)
DEF_SIZES(sar)

#define S4(x) { x##8, x##16, x##32, x##64 }
X86Fn *const x86_shift_r[8][X86_SIZES] = {
    S4(rol_r), S4(ror_r), S4(rcl_r), S4(rcr_r), S4(shl_r), S4(shr_r), S4(shl_r), S4(sar_r),
};
X86Fn *const x86_shift_m[8][X86_SIZES] = {
    S4(rol_m), S4(ror_m), S4(rcl_m), S4(rcr_m), S4(shl_m), S4(shr_m), S4(shl_m), S4(sar_m),
};

#define DEF_NF(s) \
    static X86_OP(shl_nf##s) \
    { \
        X86_WR##s(op->reg, (uint64_t)X86_RD##s(op->reg) << op->imm); \
        NEXT; \
    } \
    static X86_OP(shr_nf##s) \
    { \
        X86_WR##s(op->reg, (uint64_t)X86_RD##s(op->reg) >> op->imm); \
        NEXT; \
    } \
    static X86_OP(sar_nf##s) \
    { \
        X86_WR##s(op->reg, (int64_t)(int##s##_t)X86_RD##s(op->reg) >> op->imm); \
        NEXT; \
    }
DEF_NF(8)
DEF_NF(16)
DEF_NF(32)
DEF_NF(64)
X86Fn *const x86_shift_ri_nf[3][X86_SIZES] = { S4(shl_nf), S4(shr_nf), S4(sar_nf) };

/* ---- SHLD, SHRD -------------------------------------------------------------------------------------------------- */

/* Counts above 16 of 16-bit operands shift in A again, as processors do (undefined). */
static uint16_t shld16(X86Cpu *cpu, uint16_t a, uint16_t b, unsigned n)
{
    const uint64_t wide = (uint64_t)a << 32 | (uint64_t)b << 16 | a;
    const uint16_t r = (uint16_t)(wide << n >> 32);
    const unsigned last = (unsigned)(wide << (n - 1) >> 32);

    x86_cc_set(cpu, X86_CC_CO, (int16_t)r, BIT(last ^ r, 15), BIT(last, 15));
    return r;
}

static uint16_t shrd16(X86Cpu *cpu, uint16_t a, uint16_t b, unsigned n)
{
    const uint64_t wide = (uint64_t)a << 32 | (uint64_t)b << 16 | a;
    const uint16_t r = (uint16_t)(wide >> n);

    x86_cc_set(cpu, X86_CC_CO, (int16_t)r, BIT(r, 15) ^ BIT(r, 14), BIT(wide, n - 1));
    return r;
}

#define DEF_DOUBLE(s) \
    static uint##s##_t shld##s(X86Cpu *cpu, uint##s##_t a, uint##s##_t b, unsigned n) \
    { \
        const uint##s##_t r = a << n | b >> (s - n); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, BIT(a, s - 1) ^ BIT(r, s - 1), BIT(a, s - n)); \
        return r; \
    } \
    static uint##s##_t shrd##s(X86Cpu *cpu, uint##s##_t a, uint##s##_t b, unsigned n) \
    { \
        const uint##s##_t r = a >> n | b << (s - n); \
        x86_cc_set(cpu, X86_CC_CO, (int##s##_t)r, BIT(r, s - 1) ^ BIT(r, s - 2), BIT(a, n - 1)); \
        return r; \
    }
DEF_DOUBLE(32)
DEF_DOUBLE(64)

#define DEF_XD(name, s) \
    static X86_OP(name##_r##s) \
    { \
        const unsigned n = count(cpu, op, s); \
        if (n != 0) { \
            X86_WR##s(op->rm, name##s(cpu, X86_RD##s(op->rm), X86_RD##s(op->reg), n)); \
        } else if (s == 32) { \
            cpu->regs[op->rm] = X86_R32(op->rm); \
        } \
        NEXT; \
    } \
    static __attribute__((noinline)) void name##_memory##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const unsigned n = count(cpu, op, s); \
        uint##s##_t a; \
        x86_probe_write(cpu, op, cpu->ea, s / 8); \
        a = x86_ld##s(cpu, op, cpu->ea); \
        if (n != 0) { \
            x86_st##s(cpu, op, cpu->ea, name##s(cpu, a, X86_RD##s(op->reg), n)); \
        } \
    } \
    static X86_OP(name##_m##s) \
    { \
        name##_memory##s(cpu, op); \
        NEXT; \
    }
DEF_XD(shld, 16)
DEF_XD(shld, 32)
DEF_XD(shld, 64)
DEF_XD(shrd, 16)
DEF_XD(shrd, 32)
DEF_XD(shrd, 64)
#define S3(x) { NULL, x##16, x##32, x##64 }
X86Fn *const x86_shxd_r[2][X86_SIZES] = { S3(shld_r), S3(shrd_r) };
X86Fn *const x86_shxd_m[2][X86_SIZES] = { S3(shld_m), S3(shrd_m) };
