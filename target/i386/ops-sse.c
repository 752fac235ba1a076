/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSE arithmetic: each instruction by itself, on the host.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Sources: AMD64 APM volume 4; Intel SDM volume 2.
 */
#include "target/i386/ops-sse.h"
#include "target/i386/sse.h"

const uint32_t x86_host_mxcsr = 0x1f80;

/*
 * What a processor does: exceptions that are found before the operation (invalid, denormal, divide by zero) keep those
 * from being found that come with the result.
 */
void x86_sse_exception(X86Cpu *cpu, const X86Op *op, uint32_t flags)
{
    uint32_t before = flags & 0x07u;

    if (before & ~(cpu->fpu.mxcsr >> X86_MXCSR_MASK_SHIFT)) {
        flags = before;
    }
    cpu->fpu.mxcsr |= flags;
    x86_raise_op(cpu, op, cpu->cr4 & X86_CR4_OSXMMEXCPT ? X86_EXC_XM : X86_EXC_UD, 0);
}

__attribute__((noinline)) X86Vec x86_sse_load_slow(X86Cpu *cpu, const X86Op *op)
{
    X86Xmm value;

    x86_ld128(cpu, op, cpu->ea, &value);
    return value.vec;
}

__attribute__((noinline)) void x86_sse_store_slow(X86Cpu *cpu, const X86Op *op, X86Vec vec)
{
    X86Xmm value = { .vec = vec };

    x86_st128(cpu, op, cpu->ea, &value);
}

/* ---- integers and bits ------------------------------------------------------------------------------------------- */

#define INTEGER_OP(name, ...) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec result = XMM(op->reg); \
        __asm__(#name " %1, %0" : "+x"(result) : "x"(XMM(op->rm))); \
        XMM(op->reg) = result; \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec source = sse_load_aligned(cpu, op), result = XMM(op->reg); \
        __asm__(#name " %1, %0" : "+x"(result) : "x"(source)); \
        XMM(op->reg) = result; \
        NEXT; \
    }

SSE_INTEGER_LIST(INTEGER_OP)
SSE_MMX_LIST(INTEGER_OP)
SSE_MMX_LOW_LIST(INTEGER_OP)

#define EXTEND_OP(name, opcode, load) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec result; \
        __asm__(#name " %1, %0" : "=x"(result) : "x"(XMM(op->rm))); \
        XMM(op->reg) = result; \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec result, source = sse_load##load(cpu, op); \
        __asm__(#name " %1, %0" : "=x"(result) : "x"(source)); \
        XMM(op->reg) = result; \
        NEXT; \
    }

SSE_EXTEND_LIST(EXTEND_OP)

/* The count of a shift by an immediate, as the operand of the shift by a register. */
#define SHIFT_OP(name, ...) \
    X86_OP(x86_op_##name##_imm) \
    { \
        X86Vec result = XMM(op->rm), count = sse_vec64((uint8_t)op->imm); \
        __asm__(#name " %1, %0" : "+x"(result) : "x"(count)); \
        XMM(op->rm) = result; \
        NEXT; \
    }

SSE_SHIFT_LIST(SHIFT_OP)

X86_OP(x86_op_pslldq_imm)
{
    unsigned n = (uint8_t)op->imm;
    unsigned __int128 value = n > 15 ? 0 : (unsigned __int128)XMM(op->rm) << n * 8;

    XMM(op->rm) = (X86Vec)value;
    NEXT;
}

X86_OP(x86_op_psrldq_imm)
{
    unsigned n = (uint8_t)op->imm;
    unsigned __int128 value = n > 15 ? 0 : (unsigned __int128)XMM(op->rm) >> n * 8;

    XMM(op->rm) = (X86Vec)value;
    NEXT;
}

/* ---- floating point ---------------------------------------------------------------------------------------------- */

#define FLOAT_OP(name, opcode, prefix, load, feature) \
    X86_OP(x86_op_##name##_r) \
    { \
        X86Vec result = XMM(op->reg), source = XMM(op->rm); \
        SSE_ARITHMETIC(name, result, source, XMM(op->reg)); \
        XMM(op->reg) = result; \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        X86Vec source = sse_load##load(cpu, op), result = XMM(op->reg); \
        SSE_ARITHMETIC(name, result, source, XMM(op->reg)); \
        XMM(op->reg) = result; \
        NEXT; \
    }

SSE_FLOAT_LIST(FLOAT_OP)

/* The immediate is part of the instruction: one piece of code for each of its values. */
#define CASE(n, insn) \
    case n: \
        SSE_WITH_MXCSR(insn " $" #n ", %1, %0", "+x", result, "x", source); \
        break;
#define CASES_8(insn) \
    CASE(0, insn) CASE(1, insn) CASE(2, insn) CASE(3, insn) CASE(4, insn) CASE(5, insn) CASE(6, insn) CASE(7, insn)
#define CASES_16(insn)                                                                                                 \
    CASES_8(insn)                                                                                                      \
    CASE(8, insn) CASE(9, insn) CASE(10, insn) CASE(11, insn) CASE(12, insn) CASE(13, insn) CASE(14, insn)             \
        CASE(15, insn)

#define IMMEDIATE_FLOAT_OP(name, load, cases, mask) \
    static __attribute__((noinline)) X86Vec name##_by_immediate(X86Cpu *cpu, const X86Op *op, X86Vec source) \
    { \
        X86Vec result = XMM(op->reg); \
        switch (op->imm & (mask)) { \
            cases(#name) \
        } \
        return result; \
    } \
    X86_OP(x86_op_##name##_r) \
    { \
        XMM(op->reg) = name##_by_immediate(cpu, op, XMM(op->rm)); \
        NEXT; \
    } \
    X86_OP(x86_op_##name##_m) \
    { \
        XMM(op->reg) = name##_by_immediate(cpu, op, sse_load##load(cpu, op)); \
        NEXT; \
    }

#define COMPARE_OP(name, prefix, load) IMMEDIATE_FLOAT_OP(name, load, CASES_8, 7)
#define ROUND_OP(name, opcode, load) IMMEDIATE_FLOAT_OP(name, load, CASES_16, 15)
SSE_COMPARE_LIST(COMPARE_OP)
SSE_ROUND_LIST(ROUND_OP)

/* ---- EFLAGS ------------------------------------------------------------------------------------------------------ */

#define FLAGS_BODY(name, value) \
    { \
        X86Vec source = value, first = XMM(op->reg); \
        bool zero, parity, carry; \
        sse_begin(cpu); \
        __asm__ volatile("ldmxcsr %5\n\t" #name " %4, %3\n\tstmxcsr %5\n\tldmxcsr %6" \
                         : "=@ccz"(zero), "=@ccp"(parity), "=@ccc"(carry) \
                         : "x"(first), "x"(source), "m"(cpu->fpu.work_mxcsr), "m"(x86_host_mxcsr) : "memory"); \
        sse_end(cpu, op); \
        x86_cc_flags(cpu, (zero ? X86_ZF : 0) | (parity ? X86_PF : 0) | (carry ? X86_CF : 0)); \
        NEXT; \
    }

#define FLAGS_OP(name, opcode, prefix, load) \
    X86_OP(x86_op_##name##_r) FLAGS_BODY(name, XMM(op->rm)) \
    X86_OP(x86_op_##name##_m) FLAGS_BODY(name, sse_load##load(cpu, op))

SSE_FLAGS_LIST(FLAGS_OP)

static inline void ptest(X86Cpu *cpu, X86Vec a, X86Vec b)
{
    X86Vec both = a & b, rest = ~a & b;

    x86_cc_flags(cpu, (both[0] | both[1] ? 0 : X86_ZF) | (rest[0] | rest[1] ? 0 : X86_CF));
}

X86_OP(x86_op_ptest_r)
{
    ptest(cpu, XMM(op->reg), XMM(op->rm));
    NEXT;
}

X86_OP(x86_op_ptest_m)
{
    ptest(cpu, XMM(op->reg), sse_load_aligned(cpu, op));
    NEXT;
}

/* ---- general registers ------------------------------------------------------------------------------------------- */

#define TO_GENERAL_BODY(name, value) \
    { \
        X86Vec source = value; \
        if (op->aux == 8) { \
            uint64_t result = 0; \
            SSE_WITH_MXCSR(#name "q %1, %q0", "+r", result, "x", source); \
            cpu->regs[op->reg] = result; \
        } else { \
            uint32_t result = 0; \
            SSE_WITH_MXCSR(#name "l %1, %k0", "+r", result, "x", source); \
            cpu->regs[op->reg] = result; \
        } \
        NEXT; \
    }

#define TO_GENERAL_OP(name, opcode, prefix, load) \
    X86_OP(x86_op_##name##_r) TO_GENERAL_BODY(name, XMM(op->rm)) \
    X86_OP(x86_op_##name##_m) TO_GENERAL_BODY(name, sse_load##load(cpu, op))

SSE_TO_GENERAL_LIST(TO_GENERAL_OP)

#define FROM_GENERAL_BODY(name, wide_value, narrow_value) \
    { \
        X86Vec result; \
        if (op->aux == 8) { \
            uint64_t source = wide_value; \
            result = XMM(op->reg); \
            SSE_WITH_MXCSR(#name "q %q1, %0", "+x", result, "r", source); \
        } else { \
            uint32_t source = narrow_value; \
            result = XMM(op->reg); \
            SSE_WITH_MXCSR(#name "l %k1, %0", "+x", result, "r", source); \
        } \
        XMM(op->reg) = result; \
        NEXT; \
    }

#define FROM_GENERAL_OP(name) \
    X86_OP(x86_op_##name##_r) FROM_GENERAL_BODY(name, X86_R64(op->rm), X86_R32(op->rm)) \
    X86_OP(x86_op_##name##_m) FROM_GENERAL_BODY(name, x86_ld64(cpu, op, cpu->ea), x86_ld32(cpu, op, cpu->ea))

FROM_GENERAL_OP(cvtsi2ss)
FROM_GENERAL_OP(cvtsi2sd)
