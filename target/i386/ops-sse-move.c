/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSE moves.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * "reverse" is the form whose destination is ModRM.rm.
 */
#include "target/i386/ops-sse.h"
#include "target/i386/sse.h"

/* ---- 128 bits ---------------------------------------------------------------------------------------------------- */

X86_OP(x86_op_mov128_r)
{
    XMM(op->reg) = XMM(op->rm);
    NEXT;
}

X86_OP(x86_op_mov128_reverse_r)
{
    XMM(op->rm) = XMM(op->reg);
    NEXT;
}

X86_OP(x86_op_mov128_load_a)
{
    XMM(op->reg) = sse_load_aligned(cpu, op);
    NEXT;
}

X86_OP(x86_op_mov128_load_u)
{
    XMM(op->reg) = sse_load(cpu, op);
    NEXT;
}

X86_OP(x86_op_mov128_store_a)
{
    sse_check_aligned(cpu, op);
    sse_store(cpu, op, XMM(op->reg));
    NEXT;
}

X86_OP(x86_op_mov128_store_u)
{
    sse_store(cpu, op, XMM(op->reg));
    NEXT;
}

/* ---- scalars: a move between registers leaves the rest, a load clears it ----------------------------------------- */

X86_OP(x86_op_movss_r)
{
    cpu->fpu.xmm[op->reg].u32[0] = cpu->fpu.xmm[op->rm].u32[0];
    NEXT;
}

X86_OP(x86_op_movss_reverse_r)
{
    cpu->fpu.xmm[op->rm].u32[0] = cpu->fpu.xmm[op->reg].u32[0];
    NEXT;
}

X86_OP(x86_op_movss_load)
{
    XMM(op->reg) = sse_load32(cpu, op);
    NEXT;
}

X86_OP(x86_op_movss_store)
{
    x86_st32(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u32[0]);
    NEXT;
}

X86_OP(x86_op_movsd_r)
{
    cpu->fpu.xmm[op->reg].u64[0] = cpu->fpu.xmm[op->rm].u64[0];
    NEXT;
}

X86_OP(x86_op_movsd_reverse_r)
{
    cpu->fpu.xmm[op->rm].u64[0] = cpu->fpu.xmm[op->reg].u64[0];
    NEXT;
}

X86_OP(x86_op_movsd_load)
{
    XMM(op->reg) = sse_load64(cpu, op);
    NEXT;
}

X86_OP(x86_op_movsd_store)
{
    x86_st64(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u64[0]);
    NEXT;
}

/* MOVQ clears the upper half in every form. */
X86_OP(x86_op_movq_r)
{
    XMM(op->reg) = sse_vec64(cpu->fpu.xmm[op->rm].u64[0]);
    NEXT;
}

X86_OP(x86_op_movq_reverse_r)
{
    XMM(op->rm) = sse_vec64(cpu->fpu.xmm[op->reg].u64[0]);
    NEXT;
}

X86_OP(x86_op_movq_load)
{
    XMM(op->reg) = sse_load64(cpu, op);
    NEXT;
}

X86_OP(x86_op_movq_store)
{
    x86_st64(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u64[0]);
    NEXT;
}

/* ---- general registers ------------------------------------------------------------------------------------------- */

X86_OP(x86_op_movd_to_xmm_r)
{
    XMM(op->reg) = sse_vec64(op->aux == 8 ? X86_R64(op->rm) : X86_R32(op->rm));
    NEXT;
}

X86_OP(x86_op_movd_to_xmm_m)
{
    XMM(op->reg) = op->aux == 8 ? sse_load64(cpu, op) : sse_load32(cpu, op);
    NEXT;
}

X86_OP(x86_op_movd_from_xmm_r)
{
    const X86Xmm *source = &cpu->fpu.xmm[op->reg];

    cpu->regs[op->rm] = op->aux == 8 ? source->u64[0] : source->u32[0];
    NEXT;
}

X86_OP(x86_op_movd_from_xmm_m)
{
    const X86Xmm *source = &cpu->fpu.xmm[op->reg];

    if (op->aux == 8) {
        x86_st64(cpu, op, cpu->ea, source->u64[0]);
    } else {
        x86_st32(cpu, op, cpu->ea, source->u32[0]);
    }
    NEXT;
}

#define MASK_OP(name, insn) \
    X86_OP(x86_op_##name) \
    { \
        uint32_t mask; \
        __asm__(insn " %1, %0" : "=r"(mask) : "x"(XMM(op->rm))); \
        cpu->regs[op->reg] = mask; \
        NEXT; \
    }

MASK_OP(movmskps, "movmskps")
MASK_OP(movmskpd, "movmskpd")
MASK_OP(pmovmskb, "pmovmskb")

/* ---- halves ------------------------------------------------------------------------------------------------------ */

X86_OP(x86_op_movhlps)
{
    cpu->fpu.xmm[op->reg].u64[0] = cpu->fpu.xmm[op->rm].u64[1];
    NEXT;
}

X86_OP(x86_op_movlps_load)
{
    cpu->fpu.xmm[op->reg].u64[0] = x86_ld64(cpu, op, cpu->ea);
    NEXT;
}

X86_OP(x86_op_movlps_store)
{
    x86_st64(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u64[0]);
    NEXT;
}

X86_OP(x86_op_movlhps)
{
    cpu->fpu.xmm[op->reg].u64[1] = cpu->fpu.xmm[op->rm].u64[0];
    NEXT;
}

X86_OP(x86_op_movhps_load)
{
    cpu->fpu.xmm[op->reg].u64[1] = x86_ld64(cpu, op, cpu->ea);
    NEXT;
}

X86_OP(x86_op_movhps_store)
{
    x86_st64(cpu, op, cpu->ea, cpu->fpu.xmm[op->reg].u64[1]);
    NEXT;
}

X86_OP(x86_op_movddup_r)
{
    long long low = XMM(op->rm)[0];

    XMM(op->reg) = (X86Vec) { low, low };
    NEXT;
}

X86_OP(x86_op_movddup_m)
{
    long long low = (long long)x86_ld64(cpu, op, cpu->ea);

    XMM(op->reg) = (X86Vec) { low, low };
    NEXT;
}

/* ---- bytes under a mask ------------------------------------------------------------------------------------------ */

__attribute__((noinline)) void x86_store_masked(X86Cpu *cpu, const X86Op *op, const void *mask, const void *value,
                                                unsigned size)
{
    const uint8_t *masks = mask, *bytes = value;

    x86_check_alignment(cpu, op, cpu->ea, size);
    x86_probe_write(cpu, op, cpu->ea, size);
    for (unsigned i = 0; i < size; i++) {
        if (masks[i] & 0x80) {
            x86_st8(cpu, op, cpu->ea + i, bytes[i]);
        }
    }
}

X86_OP(x86_op_maskmovdqu)
{
    x86_store_masked(cpu, op, &cpu->fpu.xmm[op->rm], &cpu->fpu.xmm[op->reg], 16);
    NEXT;
}
