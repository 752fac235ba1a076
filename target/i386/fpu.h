/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of the x87 FPU, MMX and SSE.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_FPU_H
#define TARGET_I386_FPU_H

#include <stdint.h>

typedef union X86Xmm {
    uint8_t u8[16];
    uint16_t u16[8];
    uint32_t u32[4];
    uint64_t u64[2];
    int8_t s8[16];
    int16_t s16[8];
    int32_t s32[4];
    int64_t s64[2];
    float f32[4];
    double f64[2];
} __attribute__((aligned(16))) X86Xmm;

/* An 80-bit register; as memory, the 64-bit significand comes first.  MMX registers are the significands. */
typedef union X86St {
    long double value;
    struct {
        uint64_t mantissa;
        uint16_t sign_exponent;
    };
} X86St;

typedef struct X86Fpu {
    X86Xmm xmm[16];
    X86St st[8]; /* physical registers; ST(i) is st[(top + i) & 7] */
    uint32_t mxcsr;
    uint16_t control;
    uint16_t status; /* without TOP */
    uint8_t top;
    uint8_t empty; /* bit i: st[i] is empty */
    uint16_t opcode;
    uint64_t ip, dp;
    uint16_t cs, ds;
} X86Fpu;

#endif
