/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSE shuffles, blends, insertions, extractions, and the string instructions of SSE4.2.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * What an immediate chooses is done in C, but where a result is more than a choice: there the host executes the
 * instruction, in one piece of code for each immediate.
 *
 * Sources: AMD64 APM volume 4; Intel SDM volume 2.
 */
#include "target/i386/ops-sse.h"
#include "target/i386/sse.h"

typedef unsigned int Vec32 __attribute__((vector_size(16)));
typedef unsigned short Vec16 __attribute__((vector_size(16)));
typedef unsigned char Vec8 __attribute__((vector_size(16)));

#define TWO_FORMS(name, load, expression) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec a = XMM(op->reg), b = XMM(op->rm); \
        XMM(op->reg) = expression; \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec a = XMM(op->reg), b = load(cpu, op); \
        XMM(op->reg) = expression; \
        NEXT; \
    }

#define IMM ((unsigned)(uint8_t)op->imm)

/* ---- shuffles ---------------------------------------------------------------------------------------------------- */

static inline X86Vec shuffle32(X86Vec a, X86Vec b, unsigned order)
{
    Vec32 x = (Vec32)a, y = (Vec32)b;

    return (X86Vec)(Vec32) { x[order & 3], x[order >> 2 & 3], y[order >> 4 & 3], y[order >> 6 & 3] };
}

static inline X86Vec shuffle_low(X86Vec b, unsigned order)
{
    return (X86Vec) { (long long)shuffle_words((uint64_t)b[0], order), b[1] };
}

static inline X86Vec shuffle_high(X86Vec b, unsigned order)
{
    return (X86Vec) { b[0], (long long)shuffle_words((uint64_t)b[1], order) };
}

static inline X86Vec align_right(X86Vec high, X86Vec low, unsigned bytes)
{
    unsigned __int128 h = (unsigned __int128)high, l = (unsigned __int128)low;

    if (bytes == 0) {
        return low;
    }
    if (bytes < 16) {
        return (X86Vec)(l >> bytes * 8 | h << (16 - bytes) * 8);
    }
    return bytes < 32 ? (X86Vec)(h >> (bytes - 16) * 8) : (X86Vec) { 0, 0 };
}

#define UNUSED_FIRST (void)a
TWO_FORMS(pshufd, sse_load_aligned, (UNUSED_FIRST, shuffle32(b, b, IMM)))
TWO_FORMS(pshuflw, sse_load_aligned, (UNUSED_FIRST, shuffle_low(b, IMM)))
TWO_FORMS(pshufhw, sse_load_aligned, (UNUSED_FIRST, shuffle_high(b, IMM)))
TWO_FORMS(shufps, sse_load_aligned, shuffle32(a, b, IMM))
TWO_FORMS(shufpd, sse_load_aligned, ((X86Vec) { a[IMM & 1], b[IMM >> 1 & 1] }))
TWO_FORMS(palignr, sse_load_aligned, align_right(a, b, IMM))

/* ---- blends ------------------------------------------------------------------------------------------------------ */

/* All ones where bit i of IMM is set. */
static inline X86Vec mask32(unsigned imm)
{
    return (X86Vec)(Vec32) { -(imm & 1), -(imm >> 1 & 1), -(imm >> 2 & 1), -(imm >> 3 & 1) };
}

static inline X86Vec mask64(unsigned imm)
{
    return (X86Vec) { -(long long)(imm & 1), -(long long)(imm >> 1 & 1) };
}

static inline X86Vec mask16(unsigned imm)
{
    Vec16 bits = { 1, 2, 4, 8, 16, 32, 64, 128 };
    Vec16 all = (Vec16) { 0 } + (unsigned short)imm;

    return (X86Vec)((all & bits) == bits);
}

static inline X86Vec blend(X86Vec a, X86Vec b, X86Vec take_b)
{
    return (a & ~take_b) | (b & take_b);
}

#define SIGNS_OF(type, value) ((X86Vec)((type)(value) < (type) { 0 }))
typedef signed int SignedVec32 __attribute__((vector_size(16)));
typedef signed char SignedVec8 __attribute__((vector_size(16)));

TWO_FORMS(blendps, sse_load_aligned, blend(a, b, mask32(IMM)))
TWO_FORMS(blendpd, sse_load_aligned, blend(a, b, mask64(IMM)))
TWO_FORMS(pblendw, sse_load_aligned, blend(a, b, mask16(IMM)))
TWO_FORMS(blendvps, sse_load_aligned, blend(a, b, SIGNS_OF(SignedVec32, XMM(0))))
TWO_FORMS(blendvpd, sse_load_aligned, blend(a, b, SIGNS_OF(X86Vec, XMM(0))))
TWO_FORMS(pblendvb, sse_load_aligned, blend(a, b, SIGNS_OF(SignedVec8, XMM(0))))

/* ---- insertions and extractions ---------------------------------------------------------------------------------- */

#define INSERT_OP(name, field, index_mask, register_value, memory_value) \
    X86_OP(x86_op_##name##_r) \
    { \
        cpu->fpu.xmm[op->reg].field[IMM & (index_mask)] = register_value; \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        cpu->fpu.xmm[op->reg].field[IMM & (index_mask)] = memory_value; \
        NEXT; \
    }

INSERT_OP(pinsrw, u16, 7, (uint16_t)X86_R32(op->rm), x86_ld16(cpu, op, cpu->ea))
INSERT_OP(pinsrb, u8, 15, (uint8_t)X86_R32(op->rm), x86_ld8(cpu, op, cpu->ea))

X86_OP(x86_op_pinsrd_r)
{
    if (op->aux == 8) {
        cpu->fpu.xmm[op->reg].u64[IMM & 1] = X86_R64(op->rm);
    } else {
        cpu->fpu.xmm[op->reg].u32[IMM & 3] = X86_R32(op->rm);
    }
    NEXT;
}

X86_OP(x86_op_pinsrd_m)
{
    if (op->aux == 8) {
        cpu->fpu.xmm[op->reg].u64[IMM & 1] = x86_ld64(cpu, op, cpu->ea);
    } else {
        cpu->fpu.xmm[op->reg].u32[IMM & 3] = x86_ld32(cpu, op, cpu->ea);
    }
    NEXT;
}

/* One number goes to place IMM[5:4]; those of IMM[3:0] become 0. */
static inline void insert_number(X86Cpu *cpu, const X86Op *op, uint32_t number)
{
    cpu->fpu.xmm[op->reg].u32[IMM >> 4 & 3] = number;
    XMM(op->reg) &= ~mask32(IMM);
}

X86_OP(x86_op_insertps_r)
{
    insert_number(cpu, op, cpu->fpu.xmm[op->rm].u32[IMM >> 6]);
    NEXT;
}

X86_OP(x86_op_insertps_m)
{
    insert_number(cpu, op, x86_ld32(cpu, op, cpu->ea));
    NEXT;
}

/* 0F C5: the register is ModRM.rm; 0F 3A 15: it is ModRM.reg, as in all other extractions. */
X86_OP(x86_op_pextrw)
{
    cpu->regs[op->reg] = cpu->fpu.xmm[op->rm].u16[IMM & 7];
    NEXT;
}

X86_OP(x86_op_pextrw_to_r)
{
    cpu->regs[op->rm] = cpu->fpu.xmm[op->reg].u16[IMM & 7];
    NEXT;
}

X86_OP(x86_op_pextrw_to_m)
{
    x86_st16(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u16[IMM & 7]);
    NEXT;
}

X86_OP(x86_op_pextrb_r)
{
    cpu->regs[op->rm] = cpu->fpu.xmm[op->reg].u8[IMM & 15];
    NEXT;
}

X86_OP(x86_op_pextrb_m)
{
    x86_st8(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u8[IMM & 15]);
    NEXT;
}

X86_OP(x86_op_pextrd_r)
{
    const X86Xmm *source = &cpu->fpu.xmm[op->reg];

    cpu->regs[op->rm] = op->aux == 8 ? source->u64[IMM & 1] : source->u32[IMM & 3];
    NEXT;
}

X86_OP(x86_op_pextrd_m)
{
    const X86Xmm *source = &cpu->fpu.xmm[op->reg];

    if (op->aux == 8) {
        x86_st64(cpu, op, cpu->ea, source->u64[IMM & 1]);
    } else {
        x86_st32(cpu, op, cpu->ea, source->u32[IMM & 3]);
    }
    NEXT;
}

X86_OP(x86_op_extractps_r)
{
    cpu->regs[op->rm] = cpu->fpu.xmm[op->reg].u32[IMM & 3];
    NEXT;
}

X86_OP(x86_op_extractps_m)
{
    x86_st32(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u32[IMM & 3]);
    NEXT;
}

/* ---- dot products: products that IMM[7:4] selects, their sum to places of IMM[3:0] ------------------------------- */

/* Step by step: an unmasked exception of one keeps the next from raising any. */
#define SUM_PAIRS(add) \
    do { \
        b = sum; \
        SSE_ARITHMETIC(add, sum, b, b); \
    } while (0)
#define DOT_PRODUCT_OP(name, multiply, add, mask) \
    static __attribute__((noinline)) X86Vec name(X86Cpu *cpu, const X86Op *op, X86Vec b) \
    { \
        X86Vec selected = mask(IMM >> 4), sum = XMM(op->reg) & selected; \
        b &= selected; \
        SSE_ARITHMETIC(multiply, sum, b, XMM(op->reg) & selected); \
        add; \
        return sum & mask(IMM); \
    } \
    TWO_FORMS(name, sse_load_aligned, (UNUSED_FIRST, name(cpu, op, b)))

DOT_PRODUCT_OP(dpps, mulps, SUM_PAIRS(haddps); SUM_PAIRS(haddps), mask32)
DOT_PRODUCT_OP(dppd, mulpd, SUM_PAIRS(haddpd), mask64)

/* ---- instructions whose immediate is code ------------------------------------------------------------------------ */

#define ROW_16(CASE, high) \
    CASE(0x##high##0) CASE(0x##high##1) CASE(0x##high##2) CASE(0x##high##3) CASE(0x##high##4) CASE(0x##high##5) \
    CASE(0x##high##6) CASE(0x##high##7) CASE(0x##high##8) CASE(0x##high##9) CASE(0x##high##a) CASE(0x##high##b) \
    CASE(0x##high##c) CASE(0x##high##d) CASE(0x##high##e) CASE(0x##high##f)
#define ROWS_8(CASE) \
    ROW_16(CASE, 0) ROW_16(CASE, 1) ROW_16(CASE, 2) ROW_16(CASE, 3) ROW_16(CASE, 4) ROW_16(CASE, 5) ROW_16(CASE, 6) \
    ROW_16(CASE, 7)
#define ROWS_16(CASE) \
    ROWS_8(CASE) ROW_16(CASE, 8) ROW_16(CASE, 9) ROW_16(CASE, a) ROW_16(CASE, b) ROW_16(CASE, c) ROW_16(CASE, d) \
    ROW_16(CASE, e) ROW_16(CASE, f)

#define MPSADBW_CASE(n) \
    case n: \
        __asm__("mpsadbw $" #n ", %1, %0" : "+x"(a) : "x"(b)); \
        break;
static __attribute__((noinline)) X86Vec mpsadbw(X86Vec a, X86Vec b, unsigned imm)
{
    switch (imm & 7) {
        MPSADBW_CASE(0) MPSADBW_CASE(1) MPSADBW_CASE(2) MPSADBW_CASE(3) MPSADBW_CASE(4) MPSADBW_CASE(5) MPSADBW_CASE(6)
        MPSADBW_CASE(7)
    }
    return a;
}
TWO_FORMS(mpsadbw, sse_load_aligned, mpsadbw(a, b, IMM))

#define PCLMULQDQ_CASE(n) \
    case n: \
        __asm__("pclmulqdq $" #n ", %1, %0" : "+x"(a) : "x"(b)); \
        break;
static __attribute__((noinline)) X86Vec pclmulqdq(X86Vec a, X86Vec b, unsigned imm)
{
    switch (imm & 0x11) {
        PCLMULQDQ_CASE(0x00) PCLMULQDQ_CASE(0x01) PCLMULQDQ_CASE(0x10) PCLMULQDQ_CASE(0x11)
    }
    return a;
}
TWO_FORMS(pclmulqdq, sse_load_aligned, pclmulqdq(a, b, IMM))

#define AESKEYGENASSIST_CASE(n) \
    case n: \
        __asm__("aeskeygenassist $" #n ", %1, %0" : "=x"(a) : "x"(b)); \
        break;
static __attribute__((noinline)) X86Vec aeskeygenassist(X86Vec a, X86Vec b, unsigned imm)
{
    switch (imm) {
        ROWS_16(AESKEYGENASSIST_CASE)
    }
    return a;
}
TWO_FORMS(aeskeygenassist, sse_load_aligned, aeskeygenassist(a, b, IMM))

/* ---- strings ----------------------------------------------------------------------------------------------------- */

/* The result of one of the four: ECX or XMM0, and EFLAGS, where PF and AF are clear. */
typedef struct StringResult {
    X86Vec mask;
    uint32_t index;
    uint32_t flags;
} StringResult;

/* Bit 7 of the immediate is ignored.  Explicit lengths are RAX and RDX, with REX.W in 64 bits. */
#define STRING_CASE(n) \
    case n: \
        __asm__(STRING_INSN " $" #n ", %[b], %[a]" \
                : "=@ccc"(carry), "=@ccz"(zero), "=@ccs"(sign), "=@cco"(overflow), STRING_OUT \
                : [a] "x"(a), [b] "x"(b), "a"(length_a), "d"(length_b) STRING_IN); \
        break;

#define STRING_BODY \
    { \
        bool carry = false, zero = false, sign = false, overflow = false; \
        register X86Vec mask __asm__("xmm0") = { 0, 0 }; \
        uint32_t index = 0; \
        switch (imm & 0x7f) { \
            ROWS_8(STRING_CASE) \
        } \
        *ret = (StringResult) { mask, index, (carry ? X86_CF : 0) | (zero ? X86_ZF : 0) | (sign ? X86_SF : 0) | \
                                             (overflow ? X86_OF : 0) }; \
    }

#define STRING_ARGS (X86Vec a, X86Vec b, uint64_t length_a, uint64_t length_b, unsigned imm, StringResult *ret)

#define STRING_OUT "=c"(index)
#define STRING_IN
#define STRING_INSN "pcmpistri"
static __attribute__((noinline)) void pcmpistri STRING_ARGS STRING_BODY
#undef STRING_INSN
#define STRING_INSN "pcmpestri"
static __attribute__((noinline)) void pcmpestri STRING_ARGS STRING_BODY
#undef STRING_INSN
#undef STRING_OUT
#define STRING_OUT "=x"(mask)
#define STRING_INSN "pcmpistrm"
static __attribute__((noinline)) void pcmpistrm STRING_ARGS STRING_BODY
#undef STRING_INSN
#define STRING_INSN "pcmpestrm"
static __attribute__((noinline)) void pcmpestrm STRING_ARGS STRING_BODY

/*
 * A length is a number whose magnitude counts, at most 16; the host saturates 32-bit ones, so narrow 64-bit ones
 * first.
 */
static uint32_t string_length(const X86Cpu *cpu, const X86Op *op, unsigned reg)
{
    int64_t length = op->aux == 8 ? (int64_t)cpu->regs[reg] : (int32_t)cpu->regs[reg];

    return length < -16 || length > 16 ? 16 : (uint32_t)(int32_t)length;
}

#define STRING_OP(name, commit) \
    static __attribute__((noinline)) void name##_commit(X86Cpu *cpu, const X86Op *op, X86Vec b) \
    { \
        StringResult result; \
        name(XMM(op->reg), b, string_length(cpu, op, X86_RAX), string_length(cpu, op, X86_RDX), IMM, &result); \
        commit; \
        x86_cc_flags(cpu, result.flags); \
    } \
    X86_OP(x86_op_##name##_r) \
    { \
        name##_commit(cpu, op, XMM(op->rm)); \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        name##_commit(cpu, op, sse_load(cpu, op)); /* these may be unaligned */ \
        NEXT; \
    }

STRING_OP(pcmpistri, cpu->regs[X86_RCX] = result.index)
STRING_OP(pcmpestri, cpu->regs[X86_RCX] = result.index)
STRING_OP(pcmpistrm, XMM(0) = result.mask)
STRING_OP(pcmpestrm, XMM(0) = result.mask)
