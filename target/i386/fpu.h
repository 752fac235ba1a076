/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of the x87 FPU, MMX and SSE, and how its instructions are carried out.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * The state is an FXSAVE image in its 64-bit layout, so that the host's own units can work on it: an x87 instruction is
 * FXRSTOR, that instruction, FXSAVE (x87-thunks.S); an SSE instruction is that instruction between two loads of MXCSR.
 * Results, flags and unmasked exceptions are the hardware's.  The guest never gets what a host instruction leaves in
 * the instruction and data pointers: the handlers set these.
 *
 * The exceptions of SSE are masked for the host, and raised here by the flags they leave.  With underflow not masked
 * the host flushes tiny results to zero, whose flag then tells of exact ones as well; sse-exact.c has what else is
 * different.
 *
 * SSE and SSE2 are there on every x86-64 host.  Later extensions are told to the guest only when the host has them
 * (x86_fpu_features()).
 */
#ifndef TARGET_I386_FPU_H
#define TARGET_I386_FPU_H

#include <stdint.h>

typedef long long X86Vec __attribute__((vector_size(16), may_alias));
typedef X86Vec X86VecUnaligned __attribute__((aligned(1)));

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
    X86Vec vec;
} __attribute__((aligned(16))) X86Xmm;

/* An x87 register; its significand is also an MMX register. */
typedef struct X86St {
    uint64_t mantissa;
    uint16_t sign_exponent;
    uint16_t unused[3];
} X86St;

typedef struct X86Fpu {
    /* The image. */
    uint16_t control;
    uint16_t status;   /* with TOP */
    uint8_t valid;     /* bit i: physical register i is not empty */
    uint8_t unused1;
    uint16_t opcode;
    uint64_t ip;
    uint64_t dp;
    uint32_t mxcsr;
    uint32_t mxcsr_mask;
    X86St st[8];       /* ST(0) first: physical register i is st[(i - TOP) & 7] */
    X86Xmm xmm[16];
    uint8_t unused2[96];
    /* Not of the image: scratch of one handler, here because a local variable would cost it its tail call. */
    uint32_t work_mxcsr;
    uint32_t host_mxcsr; /* what it begins with: by x86_fpu_set_mxcsr() */
    uint64_t work_mm;
} __attribute__((aligned(16))) X86Fpu;

#define X86_FPU_IMAGE_SIZE 512
_Static_assert(__builtin_offsetof(X86Fpu, work_mxcsr) == X86_FPU_IMAGE_SIZE, "layout of FXSAVE");
_Static_assert(__builtin_offsetof(X86Fpu, st) == 32 && __builtin_offsetof(X86Fpu, xmm) == 160, "layout of FXSAVE");

#define X86_FSW_EXCEPTIONS 0x003fu
#define X86_FSW_ES 0x0080u
#define X86_FSW_TOP 0x3800u
#define X86_FSW_TOP_SHIFT 11
#define X86_FSW_B 0x8000u

#define X86_MXCSR_FLAGS 0x003fu
#define X86_MXCSR_MASKS 0x1f80u
#define X86_MXCSR_MASK_SHIFT 7
#define X86_MXCSR_VALID 0xffffu /* MXCSR_MASK: DAZ is there */
#define X86_MXCSR_UM 0x0800u
#define X86_MXCSR_FTZ 0x8000u

/* VALUE is valid. */
static inline void x86_fpu_set_mxcsr(X86Fpu *fpu, uint32_t value)
{
    fpu->mxcsr = value;
    fpu->host_mxcsr = (value & ~X86_MXCSR_FLAGS) | X86_MXCSR_MASKS | (value & X86_MXCSR_UM ? 0 : X86_MXCSR_FTZ);
}

/* X86_FEAT_* of instructions that the host can carry out. */
uint64_t x86_fpu_features(void);

#endif
