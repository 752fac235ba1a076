/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiplication and division.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"

#define S4(x) { x##8, x##16, x##32, x##64 }
#define S3(x) { NULL, x##16, x##32, x##64 }

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
        if (b == 0 || (b == -1 && a == (int##ds##_t)((uint##ds##_t)1 << (2 * s - 1))) || \
            a / b != (int##s##_t)(a / b)) { \
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
/* Without flags the product's low half is all there is. */
#define DEF_IMUL_NF(s) \
    static X86_OP(imul_rr_nf##s) \
    { \
        X86_WR##s(op->reg, X86_RD##s(op->reg) * (uint64_t)X86_RD##s(op->rm)); \
        NEXT; \
    } \
    static X86_OP(imul_rri_nf##s) \
    { \
        X86_WR##s(op->reg, X86_RD##s(op->rm) * (uint64_t)(int64_t)op->imm); \
        NEXT; \
    }
DEF_IMUL_NF(16)
DEF_IMUL_NF(32)
DEF_IMUL_NF(64)
X86Fn *const x86_imul_rr_nf[X86_SIZES] = S3(imul_rr_nf);
X86Fn *const x86_imul_rri_nf[X86_SIZES] = S3(imul_rri_nf);
X86Fn *const x86_imul_rr[X86_SIZES] = S3(imul_rr);
X86Fn *const x86_imul_rm[X86_SIZES] = S3(imul_rm);
X86Fn *const x86_imul_rri[X86_SIZES] = S3(imul_rri);
X86Fn *const x86_imul_rmi[X86_SIZES] = S3(imul_rmi);
