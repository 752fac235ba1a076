/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the handlers of MMX and SSE instructions are made of.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A handler loads its operands, has the host execute the very instruction the guest has (as inline assembly, so that
 * compiler options do not matter), and stores the result.  Nothing here takes the address of a local variable: a
 * handler that did would not end in a tail call.
 */
#ifndef TARGET_I386_SSE_H
#define TARGET_I386_SSE_H

#include "target/i386/flags.h"
#include "target/i386/mem.h"
#include "target/i386/ops-x87.h"
#include "target/i386/sse-list.h"

#define XMM(n) (cpu->fpu.xmm[n].vec)

/* ---- memory operands, at cpu->ea --------------------------------------------------------------------------------- */

/* 16 bytes that cross pages, or whose page the TLB does not have. */
X86Vec x86_sse_load_slow(X86Cpu *cpu, const X86Op *op);
void x86_sse_store_slow(X86Cpu *cpu, const X86Op *op, X86Vec value);

static inline X86Vec sse_load(X86Cpu *cpu, const X86Op *op)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, cpu->ea);

    return likely(x86_hit_read(t, cpu->ea, 16)) ? *(const volatile X86VecUnaligned *)x86_hit_host(t, cpu->ea)
                                                : x86_sse_load_slow(cpu, op);
}

static inline void sse_store(X86Cpu *cpu, const X86Op *op, X86Vec value)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, cpu->ea);

    if (likely(x86_hit_write(t, cpu->ea, 16))) {
        *(volatile X86VecUnaligned *)x86_hit_host(t, cpu->ea) = value;
    } else {
        x86_sse_store_slow(cpu, op, value);
    }
}

static inline void sse_check_aligned(X86Cpu *cpu, const X86Op *op)
{
    if (unlikely(cpu->ea & 15)) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
}

static inline X86Vec sse_load_aligned(X86Cpu *cpu, const X86Op *op)
{
    sse_check_aligned(cpu, op);
    return sse_load(cpu, op);
}

/*
 * Stores the bytes of VALUE whose bytes of MASK have bit 7 set.  Faults as a write of all SIZE bytes would, whatever
 * the mask is, as an AMD EPYC does.
 */
void x86_store_masked(X86Cpu *cpu, const X86Op *op, const void *mask, const void *value, unsigned size);

static inline X86Vec sse_vec64(uint64_t low)
{
    return (X86Vec) { (long long)low, 0 };
}

/* Operands narrower than a register; the rest is zero. */
static inline X86Vec sse_load64(X86Cpu *cpu, const X86Op *op)
{
    return sse_vec64(x86_ld64(cpu, op, cpu->ea));
}
static inline X86Vec sse_load32(X86Cpu *cpu, const X86Op *op)
{
    return sse_vec64(x86_ld32(cpu, op, cpu->ea));
}
static inline X86Vec sse_load16(X86Cpu *cpu, const X86Op *op)
{
    return sse_vec64(x86_ld16(cpu, op, cpu->ea));
}

/* ---- arithmetic with MXCSR --------------------------------------------------------------------------------------- */

/* The host's own, which the ABI wants between handlers. */
extern const uint32_t x86_host_mxcsr;

/* Raises #XM, or #UD without CR4.OSXMMEXCPT, for FLAGS, which an instruction has raised. */
_Noreturn void x86_sse_exception(X86Cpu *cpu, const X86Op *op, uint32_t flags);

/* The instructions of SSE_FLOAT_LIST, for x86_sse_arithmetic_exception(). */
#define X86_SSE_NUMBER(name, ...) X86_SSE_##name,
enum { SSE_FLOAT_LIST(X86_SSE_NUMBER) X86_SSE_NUMBERS };
#undef X86_SSE_NUMBER

/*
 * The same for instruction INSN (X86_SSE_*), which changes XMM register FIRST by SECOND: with overflow or underflow not
 * masked the flags are not what the host has raised (sse-exact.c).
 */
_Noreturn void x86_sse_arithmetic_exception(X86Cpu *cpu, const X86Op *op, uint32_t flags, unsigned insn, X86Vec first,
                                            X86Vec second);

/* Before SSE_EXECUTE: all exceptions are masked for the host, and their flags tell. */
static inline void sse_begin(X86Cpu *cpu)
{
    cpu->fpu.work_mxcsr = cpu->fpu.host_mxcsr;
}

/* Behind it: the flags it raised, some of them unmasked. */
static inline uint32_t sse_unmasked(const X86Cpu *cpu)
{
    const uint32_t raised = cpu->fpu.work_mxcsr & X86_MXCSR_FLAGS;

    return unlikely(raised & ~(cpu->fpu.mxcsr >> X86_MXCSR_MASK_SHIFT)) ? raised : 0;
}

/* Behind it, before the result is stored. */
static inline void sse_end(X86Cpu *cpu, const X86Op *op)
{
    const uint32_t raised = sse_unmasked(cpu);

    if (unlikely(raised != 0)) {
        x86_sse_exception(cpu, op, raised);
    }
    cpu->fpu.mxcsr |= cpu->fpu.work_mxcsr & X86_MXCSR_FLAGS;
}

/* INSN, text that may name %0 (RESULT, of class OUT, both ways) and %1 (SOURCE, of class IN). */
#define SSE_EXECUTE(insn, out, result, in, source) \
    __asm__ volatile("ldmxcsr %2\n\t" insn "\n\tstmxcsr %2\n\tldmxcsr %3" \
                     : out(result) : in(source), "m"(cpu->fpu.work_mxcsr), "m"(x86_host_mxcsr) : "memory")
#define SSE_WITH_MXCSR(insn, out, result, in, source) \
    do { \
        sse_begin(cpu); \
        SSE_EXECUTE(insn, out, result, in, source); \
        sse_end(cpu, op); \
    } while (0)
/* The same for instruction NAME of SSE_FLOAT_LIST: RESULT by SOURCE.  BEFORE is what RESULT was. */
#define SSE_ARITHMETIC(name, result, source, before) \
    do { \
        sse_begin(cpu); \
        SSE_EXECUTE(#name " %1, %0", "+x", result, "x", source); \
        const uint32_t raised_ = sse_unmasked(cpu); \
        if (unlikely(raised_ != 0)) { \
            x86_sse_arithmetic_exception(cpu, op, raised_, X86_SSE_##name, before, source); \
        } \
        cpu->fpu.mxcsr |= cpu->fpu.work_mxcsr & X86_MXCSR_FLAGS; \
    } while (0)

/* ---- MMX --------------------------------------------------------------------------------------------------------- */

void x86_mmx_enter_slow(X86Cpu *cpu, const X86Op *op);

/* Every MMX instruction: a pending x87 exception is raised, TOP becomes 0, all registers become valid. */
static inline void mmx_enter(X86Cpu *cpu, const X86Op *op)
{
    if (unlikely(cpu->fpu.status & (X86_FSW_TOP | X86_FSW_ES))) {
        x86_mmx_enter_slow(cpu, op);
    }
    cpu->fpu.valid = 0xff;
}

/* Of a register's number only three bits count: REX does not apply. */
static inline uint64_t *mmx_register(X86Cpu *cpu, unsigned n)
{
    return &cpu->fpu.st[n & 7].mantissa;
}

static inline void mmx_written(X86Cpu *cpu, unsigned n)
{
    cpu->fpu.st[n & 7].sign_exponent = 0xffff;
}

/* DESTINATION and SOURCE are places in memory; the host's registers are left empty. */
#define MMX_EXECUTE(insn, destination, source) \
    __asm__ volatile("movq %0, %%mm0\n\t" insn " %1, %%mm0\n\tmovq %%mm0, %0\n\temms" \
                     : "+m"(destination) : "m"(source) \
                     : "mm0", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

/* The four words of VALUE in the order of an immediate: two bits for each. */
static inline uint64_t shuffle_words(uint64_t value, unsigned order)
{
    uint64_t result = 0;

    for (unsigned i = 0; i < 4; i++) {
        result |= (value >> ((order >> (i * 2) & 3) * 16) & 0xffff) << (i * 16);
    }
    return result;
}

#endif
