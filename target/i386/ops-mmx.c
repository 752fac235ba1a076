/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX instructions.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * MMX register n is the significand of physical x87 register n; every instruction but EMMS makes TOP 0 first, and then
 * it is that of st[n].
 *
 * Source: AMD64 APM volume 5, chapter 2; volume 2, 11.5.
 */
#include "target/i386/ops-sse.h"
#include "target/i386/sse.h"

#define MM(n) (*mmx_register(cpu, n))

__attribute__((noinline)) void x86_mmx_enter_slow(X86Cpu *cpu, const X86Op *op)
{
    if (cpu->fpu.status & X86_FSW_ES) {
        x86_raise_op(cpu, op, X86_EXC_MF, 0);
    }
    x86_x87_set_top(&cpu->fpu, 0);
}

/* A memory operand is read before anything changes. */
#define MMX_OP_BY(name, bits) \
    X86_OP(x86_op_mmx_##name##_r) \
    { \
        mmx_enter(cpu, op); \
        MMX_EXECUTE(#name, MM(op->reg), MM(op->rm)); \
        mmx_written(cpu, op->reg); \
        NEXT; \
    } \
    X86_OP(x86_op_mmx_##name##_m) \
    { \
        cpu->fpu.work_mm = x86_ld##bits(cpu, op, cpu->ea); \
        mmx_enter(cpu, op); \
        MMX_EXECUTE(#name, MM(op->reg), cpu->fpu.work_mm); \
        mmx_written(cpu, op->reg); \
        NEXT; \
    }

#define MMX_OP(name, ...) MMX_OP_BY(name, 64)
SSE_MMX_LIST(MMX_OP)
#define MMX_LOW_OP(name, ...) MMX_OP_BY(name, 32)
SSE_MMX_LOW_LIST(MMX_LOW_OP)

#define MMX_SHIFT_OP(name, ...) \
    X86_OP(x86_op_mmx_##name##_imm) \
    { \
        mmx_enter(cpu, op); \
        cpu->fpu.work_mm = (uint8_t)op->imm; \
        MMX_EXECUTE(#name, MM(op->rm), cpu->fpu.work_mm); \
        mmx_written(cpu, op->rm); \
        NEXT; \
    }

SSE_SHIFT_LIST(MMX_SHIFT_OP)

X86_OP(x86_op_emms)
{
    if (unlikely(cpu->fpu.status & X86_FSW_ES)) {
        x86_raise_op(cpu, op, X86_EXC_MF, 0);
    }
    cpu->fpu.valid = 0;
    NEXT;
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

static inline void mmx_set(X86Cpu *cpu, const X86Op *op, unsigned n, uint64_t value)
{
    mmx_enter(cpu, op);
    MM(n) = value;
    mmx_written(cpu, n);
}

static inline uint64_t mmx_get(X86Cpu *cpu, const X86Op *op, unsigned n)
{
    mmx_enter(cpu, op);
    return MM(n);
}

X86_OP(x86_op_movq_mmx_load_r)
{
    mmx_set(cpu, op, op->reg, mmx_get(cpu, op, op->rm));
    NEXT;
}

X86_OP(x86_op_movq_mmx_load_m)
{
    mmx_set(cpu, op, op->reg, x86_ld64(cpu, op, cpu->ea));
    NEXT;
}

X86_OP(x86_op_movq_mmx_store_r)
{
    mmx_set(cpu, op, op->rm, mmx_get(cpu, op, op->reg));
    NEXT;
}

/* TOP is changed only after the store, which may fault. */
static __attribute__((noinline)) void mmx_store(X86Cpu *cpu, const X86Op *op, unsigned size)
{
    unsigned top = (cpu->fpu.status & X86_FSW_TOP) >> X86_FSW_TOP_SHIFT;
    uint64_t value = cpu->fpu.st[(op->reg - top) & 7].mantissa;

    if (cpu->fpu.status & X86_FSW_ES) {
        x86_raise_op(cpu, op, X86_EXC_MF, 0);
    }
    if (size == 8) {
        x86_st64(cpu, op, cpu->ea, value);
    } else {
        x86_st32(cpu, op, cpu->ea, (uint32_t)value);
    }
    mmx_enter(cpu, op);
}

X86_OP(x86_op_movq_mmx_store_m)
{
    mmx_store(cpu, op, 8);
    NEXT;
}

X86_OP(x86_op_movntq_m)
{
    mmx_store(cpu, op, 8);
    NEXT;
}

X86_OP(x86_op_movd_to_mmx_r)
{
    mmx_set(cpu, op, op->reg, op->aux == 8 ? X86_R64(op->rm) : X86_R32(op->rm));
    NEXT;
}

X86_OP(x86_op_movd_to_mmx_m)
{
    mmx_set(cpu, op, op->reg, op->aux == 8 ? x86_ld64(cpu, op, cpu->ea) : x86_ld32(cpu, op, cpu->ea));
    NEXT;
}

X86_OP(x86_op_movd_from_mmx_r)
{
    uint64_t value = mmx_get(cpu, op, op->reg);

    cpu->regs[op->rm] = op->aux == 8 ? value : (uint32_t)value;
    NEXT;
}

X86_OP(x86_op_movd_from_mmx_m)
{
    mmx_store(cpu, op, op->aux == 8 ? 8 : 4);
    NEXT;
}

X86_OP(x86_op_movq2dq)
{
    XMM(op->reg) = sse_vec64(mmx_get(cpu, op, op->rm));
    NEXT;
}

X86_OP(x86_op_movdq2q)
{
    mmx_set(cpu, op, op->reg, cpu->fpu.xmm[op->rm].u64[0]);
    NEXT;
}

X86_OP(x86_op_pmovmskb_mmx)
{
    uint64_t signs = mmx_get(cpu, op, op->rm) & 0x8080808080808080u;

    cpu->regs[op->reg] = (signs * 0x0002040810204081u) >> 56;
    NEXT;
}

X86_OP(x86_op_maskmovq)
{
    mmx_enter(cpu, op);
    x86_store_masked(cpu, op, &MM(op->rm), &MM(op->reg), 8);
    NEXT;
}

/* ---- words by an immediate --------------------------------------------------------------------------------------- */

X86_OP(x86_op_pshufw_r)
{
    mmx_set(cpu, op, op->reg, shuffle_words(mmx_get(cpu, op, op->rm), (uint8_t)op->imm));
    NEXT;
}

X86_OP(x86_op_pshufw_m)
{
    mmx_set(cpu, op, op->reg, shuffle_words(x86_ld64(cpu, op, cpu->ea), (uint8_t)op->imm));
    NEXT;
}

static inline void mmx_insert_word(X86Cpu *cpu, const X86Op *op, uint64_t word)
{
    unsigned shift = (op->imm & 3) * 16;
    uint64_t rest = mmx_get(cpu, op, op->reg) & ~(0xffffull << shift);

    mmx_set(cpu, op, op->reg, rest | (word & 0xffff) << shift);
}

X86_OP(x86_op_pinsrw_mmx_r)
{
    mmx_insert_word(cpu, op, X86_R32(op->rm));
    NEXT;
}

X86_OP(x86_op_pinsrw_mmx_m)
{
    mmx_insert_word(cpu, op, x86_ld16(cpu, op, cpu->ea));
    NEXT;
}

X86_OP(x86_op_pextrw_mmx)
{
    cpu->regs[op->reg] = mmx_get(cpu, op, op->rm) >> ((op->imm & 3) * 16) & 0xffff;
    NEXT;
}

static inline uint64_t align_right(uint64_t high, uint64_t low, unsigned bytes)
{
    unsigned __int128 both = (unsigned __int128)high << 64 | low;

    return bytes > 15 ? 0 : (uint64_t)(both >> bytes * 8);
}

X86_OP(x86_op_palignr_mmx_r)
{
    uint64_t low = mmx_get(cpu, op, op->rm);

    mmx_set(cpu, op, op->reg, align_right(MM(op->reg), low, (uint8_t)op->imm));
    NEXT;
}

X86_OP(x86_op_palignr_mmx_m)
{
    uint64_t low = x86_ld64(cpu, op, cpu->ea);

    mmx_set(cpu, op, op->reg, align_right(mmx_get(cpu, op, op->reg), low, (uint8_t)op->imm));
    NEXT;
}

/* ---- conversions ------------------------------------------------------------------------------------------------- */

/* Two integers become two numbers.  CVTPI2PD of memory is no MMX instruction: it leaves the x87 state alone. */
#define TO_XMM_OP(name, insn, enter_for_memory) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec source = sse_vec64(mmx_get(cpu, op, op->rm)), result = source; \
        SSE_WITH_MXCSR(insn " %1, %0", "+x", result, "x", source); \
        name##_result(cpu, op, result); \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec source = sse_load64(cpu, op), result = source; \
        if (enter_for_memory) { \
            mmx_enter(cpu, op); \
        } \
        SSE_WITH_MXCSR(insn " %1, %0", "+x", result, "x", source); \
        name##_result(cpu, op, result); \
        NEXT; \
    }

static inline void cvtpi2ps_result(X86Cpu *cpu, const X86Op *op, X86Vec result)
{
    cpu->fpu.xmm[op->reg].s64[0] = result[0];
}

static inline void cvtpi2pd_result(X86Cpu *cpu, const X86Op *op, X86Vec result)
{
    XMM(op->reg) = result;
}

TO_XMM_OP(cvtpi2ps, "cvtdq2ps", true)
TO_XMM_OP(cvtpi2pd, "cvtdq2pd", false)

#define FROM_XMM_OP(name, insn, load) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec source = sse_low_of_##load(XMM(op->rm)), result = source; \
        mmx_enter(cpu, op); \
        SSE_WITH_MXCSR(insn " %1, %0", "+x", result, "x", source); \
        mmx_set(cpu, op, op->reg, (uint64_t)result[0]); \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec source = sse_load##load(cpu, op), result = source; \
        mmx_enter(cpu, op); \
        SSE_WITH_MXCSR(insn " %1, %0", "+x", result, "x", source); \
        mmx_set(cpu, op, op->reg, (uint64_t)result[0]); \
        NEXT; \
    }

/* The upper two numbers are not converted, and raise nothing: zeroes stand in for them. */
#define sse_low_of_64(value) sse_vec64((uint64_t)(value)[0])
#define sse_low_of__aligned(value) (value)

FROM_XMM_OP(cvttps2pi, "cvttps2dq", 64)
FROM_XMM_OP(cvtps2pi, "cvtps2dq", 64)
FROM_XMM_OP(cvttpd2pi, "cvttpd2dq", _aligned)
FROM_XMM_OP(cvtpd2pi, "cvtpd2dq", _aligned)
