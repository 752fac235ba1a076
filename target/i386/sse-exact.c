/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flags of SSE arithmetic whose overflow or underflow is not masked.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Theory of operation.  The host executes with all exceptions masked, where an overflow, and a tiny result that is
 * flushed to zero, are inexact whatever they are.  Unmasked ones are inexact only when the result, with an exponent
 * without bounds, differs from the exact one.  This is what the x87 unit computes from the same operands when it rounds
 * to the significand of the destination: its exponents have room for all results.  It is done number by number, for
 * those that raised an unmasked exception; the others have the flags of the same instruction by itself.
 *
 * Sources: Intel SDM volume 1, 4.9.1 and 11.5.2; AMD APM volume 1, 4.10.
 */
#include "target/i386/sse.h"

enum { ADD, SUB, MUL, DIV, NARROW };
/* Which numbers make one result: those of one place; neighbours; of one place, subtracted where it is even. */
enum { PLACES, NEIGHBOURS, ALTERNATING };

typedef struct Arithmetic {
    uint8_t operation;
    uint8_t results; /* 0: none that overflows */
    uint8_t how;
    bool wide;       /* doubles */
} Arithmetic;

static const Arithmetic arithmetic[X86_SSE_NUMBERS] = {
    [X86_SSE_addps] = { ADD, 4 }, [X86_SSE_addpd] = { ADD, 2, .wide = true },
    [X86_SSE_addss] = { ADD, 1 }, [X86_SSE_addsd] = { ADD, 1, .wide = true },
    [X86_SSE_subps] = { SUB, 4 }, [X86_SSE_subpd] = { SUB, 2, .wide = true },
    [X86_SSE_subss] = { SUB, 1 }, [X86_SSE_subsd] = { SUB, 1, .wide = true },
    [X86_SSE_mulps] = { MUL, 4 }, [X86_SSE_mulpd] = { MUL, 2, .wide = true },
    [X86_SSE_mulss] = { MUL, 1 }, [X86_SSE_mulsd] = { MUL, 1, .wide = true },
    [X86_SSE_divps] = { DIV, 4 }, [X86_SSE_divpd] = { DIV, 2, .wide = true },
    [X86_SSE_divss] = { DIV, 1 }, [X86_SSE_divsd] = { DIV, 1, .wide = true },
    [X86_SSE_haddps] = { ADD, 4, NEIGHBOURS }, [X86_SSE_haddpd] = { ADD, 2, NEIGHBOURS, true },
    [X86_SSE_hsubps] = { SUB, 4, NEIGHBOURS }, [X86_SSE_hsubpd] = { SUB, 2, NEIGHBOURS, true },
    [X86_SSE_addsubps] = { ADD, 4, ALTERNATING }, [X86_SSE_addsubpd] = { ADD, 2, ALTERNATING, true },
    [X86_SSE_cvtpd2ps] = { NARROW, 2, .wide = true }, [X86_SSE_cvtsd2ss] = { NARROW, 1, .wide = true },
};

#define OVERFLOW_FLAG 0x08u
#define UNDERFLOW_FLAG 0x10u
#define PRECISION_FLAG 0x20u

static uint32_t unmasked(const X86Cpu *cpu)
{
    return ~(cpu->fpu.mxcsr >> X86_MXCSR_MASK_SHIFT);
}

/* ---- one number -------------------------------------------------------------------------------------------------- */

#define DEF_FLAGS(name, insn) \
    static uint32_t name##_flags(X86Cpu *cpu, X86Vec a, X86Vec b) \
    { \
        sse_begin(cpu); \
        __asm__ volatile("ldmxcsr %1\n\t" insn " %2, %0\n\tstmxcsr %1\n\tldmxcsr %3" \
                         : "+x"(a), "+m"(cpu->fpu.work_mxcsr) : "x"(b), "m"(x86_host_mxcsr)); \
        return cpu->fpu.work_mxcsr & X86_MXCSR_FLAGS; \
    }
DEF_FLAGS(add_float, "addss")
DEF_FLAGS(sub_float, "subss")
DEF_FLAGS(mul_float, "mulss")
DEF_FLAGS(div_float, "divss")
DEF_FLAGS(add_double, "addsd")
DEF_FLAGS(sub_double, "subsd")
DEF_FLAGS(mul_double, "mulsd")
DEF_FLAGS(div_double, "divsd")
DEF_FLAGS(narrow, "cvtsd2ss")

typedef uint32_t Flags(X86Cpu *cpu, X86Vec a, X86Vec b);
static Flags *const flags_of[][2] = {
    [ADD] = { add_float_flags, add_double_flags }, [SUB] = { sub_float_flags, sub_double_flags },
    [MUL] = { mul_float_flags, mul_double_flags }, [DIV] = { div_float_flags, div_double_flags },
    [NARROW] = { NULL, narrow_flags },
};

#define X87_MASKED 0x3fu
#define X87_DOUBLE 0x200u /* precision control; 0: of a float */
#define X87_ROUNDING_SHIFT 10
#define MXCSR_ROUNDING(mxcsr) ((mxcsr) >> 13 & 3)
#define MXCSR_DAZ 0x40u

/* Leaves PRECISION_FLAG in STATUS, or not. */
#define X87(insn) \
    __asm__ volatile("fninit\n\tfldcw %1\n\tfldl %2\n\t" insn "\n\tfnstsw %0\n\tfninit" \
                     : "=a"(status) : "m"(control), "m"(a), "m"(b) \
                     : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

static bool is_inexact(const X86Cpu *cpu, unsigned operation, bool narrow, double a, double b)
{
    const uint16_t control =
        (uint16_t)(X87_MASKED | (narrow ? 0 : X87_DOUBLE) | MXCSR_ROUNDING(cpu->fpu.mxcsr) << X87_ROUNDING_SHIFT);
    uint16_t status;

    switch (operation) {
    case ADD:
        X87("faddl %3");
        break;
    case SUB:
        X87("fsubl %3");
        break;
    case MUL:
        X87("fmull %3");
        break;
    case DIV:
        X87("fdivl %3");
        break;
    default:
        X87("fldz\n\tfaddp"); /* which rounds */
        break;
    }
    return status & PRECISION_FLAG;
}

/* Number I of VALUE for the x87 unit, which gets floats as doubles, and takes no denormal number for zero. */
static double operand(const X86Cpu *cpu, const X86Xmm *value, unsigned i, bool wide)
{
    const double x = wide ? value->f64[i] : (double)value->f32[i];
    const bool denormal = wide ? !(value->u64[i] << 1 >> 53) : !(value->u32[i] << 1 >> 24);

    return denormal && (cpu->fpu.mxcsr & MXCSR_DAZ) ? 0 : x;
}

static X86Vec number(const X86Xmm *value, unsigned i, bool wide)
{
    return sse_vec64(wide ? value->u64[i] : value->u32[i]);
}

/* Number I of A and number K of B. */
static uint32_t exact_flags(X86Cpu *cpu, unsigned operation, bool wide, const X86Xmm *a, unsigned i, const X86Xmm *b,
                            unsigned k)
{
    uint32_t flags = flags_of[operation][wide](cpu, number(a, i, wide), number(b, k, wide));

    if ((flags & unmasked(cpu) & (OVERFLOW_FLAG | UNDERFLOW_FLAG)) &&
        !is_inexact(cpu, operation, !wide || operation == NARROW, operand(cpu, a, i, wide), operand(cpu, b, k, wide))) {
        flags &= ~PRECISION_FLAG;
    }
    return flags;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

void x86_sse_arithmetic_exception(X86Cpu *cpu, const X86Op *op, uint32_t flags, unsigned insn, X86Vec first,
                                  X86Vec second)
{
    const Arithmetic *what = &arithmetic[insn];
    const X86Xmm a = { .vec = first }, b = { .vec = second };
    const unsigned half = what->results / 2;

    if (what->results != 0 && (flags & unmasked(cpu) & (OVERFLOW_FLAG | UNDERFLOW_FLAG))) {
        flags = 0;
        for (unsigned i = 0; i < what->results; i++) {
            const bool subtracts = what->operation == SUB || (what->how == ALTERNATING && i % 2 == 0);

            if (what->how == NEIGHBOURS) {
                const X86Xmm *from = i < half ? &a : &b;

                flags |= exact_flags(cpu, what->operation, what->wide, from, i % half * 2, from, i % half * 2 + 1);
            } else if (what->operation == NARROW) {
                flags |= exact_flags(cpu, NARROW, true, &b, i, &b, i);
            } else {
                flags |= exact_flags(cpu, subtracts ? SUB : what->operation, what->wide, &a, i, &b, i);
            }
        }
    }
    x86_sse_exception(cpu, op, flags);
}
