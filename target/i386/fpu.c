/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and SSE state as a whole: reset, FXSAVE, XSAVE, MXCSR.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Our own state is an FXSAVE image already; what comes from the guest's memory is checked, and what the hardware would
 * not keep is cleared, since the host's FXRSTOR gets it next.
 *
 * Source: AMD64 APM volume 2, 11.4.4 and 11.5; volume 5, FXSAVE to XRSTOR.
 */
#include <string.h>

#include "target/i386/mem.h"
#include "target/i386/ops-sse.h"
#include "target/i386/ops-x87.h"
#include "target/i386/sse.h"
#include "target/i386/system.h"

#define XSTATE_X87 1u
#define XSTATE_SSE 2u
#define XSAVE_HEADER_SIZE 64u
#define XSAVE_SIZE (X86_FPU_IMAGE_SIZE + XSAVE_HEADER_SIZE)

/* Where the parts of an image are. */
#define IMAGE_MXCSR 24u
#define IMAGE_XMM 160u
#define IMAGE_END 416u

uint64_t x86_fpu_features(void)
{
    return (__builtin_cpu_supports("sse3") ? X86_FEAT_SSE3 : 0) |
           (__builtin_cpu_supports("ssse3") ? X86_FEAT_SSSE3 : 0) |
           (__builtin_cpu_supports("sse4.1") ? X86_FEAT_SSE41 : 0) |
           (__builtin_cpu_supports("sse4.2") ? X86_FEAT_SSE42 : 0) |
           (__builtin_cpu_supports("aes") ? X86_FEAT_AES : 0) |
           (__builtin_cpu_supports("pclmul") ? X86_FEAT_PCLMUL : 0);
}

static void reset_x87(X86Fpu *fpu)
{
    memset(fpu->st, 0, sizeof(fpu->st));
    x86_x87_init(fpu);
}

void x86_fpu_reset(X86Cpu *cpu)
{
    memset(&cpu->fpu, 0, sizeof(cpu->fpu));
    reset_x87(&cpu->fpu);
    cpu->fpu.control = 0x40; /* after power-on; FNINIT makes it 0x37f */
    cpu->fpu.valid = 0xff;
    x86_fpu_set_mxcsr(&cpu->fpu, 0x1f80);
    cpu->fpu.mxcsr_mask = X86_MXCSR_VALID;
}

/* Takes the x87 part of IMAGE. */
static void load_x87(X86Fpu *fpu, const uint8_t *image)
{
    memcpy(fpu, image, IMAGE_MXCSR);
    memcpy(fpu->st, image + 32, sizeof(fpu->st));
    for (unsigned i = 0; i < 8; i++) {
        memset(fpu->st[i].unused, 0, sizeof(fpu->st[i].unused));
    }
    fpu->unused1 = 0;
    fpu->opcode &= 0x7ff;
    x86_x87_set_control(fpu, fpu->control);
}

void x86_fxsave_image(X86Cpu *cpu, uint8_t image[512])
{
    memcpy(image, &cpu->fpu, X86_FPU_IMAGE_SIZE);
}

void x86_fxrstor_image(X86Cpu *cpu, const uint8_t image[512])
{
    uint32_t mxcsr;

    load_x87(&cpu->fpu, image);
    memcpy(&mxcsr, image + IMAGE_MXCSR, sizeof(mxcsr));
    x86_fpu_set_mxcsr(&cpu->fpu, mxcsr & X86_MXCSR_VALID);
    memcpy(cpu->fpu.xmm, image + IMAGE_XMM, sizeof(cpu->fpu.xmm));
}

/* ---- FXSAVE and FXRSTOR ------------------------------------------------------------------------------------------ */

static void check_area(X86Cpu *cpu, const X86Op *op, unsigned alignment)
{
    if (cpu->cr0 & (X86_CR0_TS | X86_CR0_EM)) {
        x86_raise_op(cpu, op, X86_EXC_NM, 0);
    }
    if (cpu->ea & (alignment - 1)) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
}

/* Without REX.W the pointers are 32 bits and a selector, which is 0 here. */
static void narrow_pointers(const X86Op *op, uint8_t *image)
{
    if (op->aux != 8) {
        memset(image + 12, 0, 4);
        memset(image + 20, 0, 4);
    }
}

static unsigned xmm_end(const X86Cpu *cpu)
{
    return x86_is_64(cpu) ? IMAGE_END : IMAGE_XMM + 8 * 16;
}

static void check_mxcsr(X86Cpu *cpu, const X86Op *op, uint32_t mxcsr)
{
    if (mxcsr & ~X86_MXCSR_VALID) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
}

static __attribute__((noinline)) void fxsave(X86Cpu *cpu, const X86Op *op)
{
    uint8_t image[X86_FPU_IMAGE_SIZE];

    check_area(cpu, op, 16);
    x86_fxsave_image(cpu, image);
    narrow_pointers(op, image);
    x86_probe_write(cpu, op, cpu->ea, X86_FPU_IMAGE_SIZE); /* also what is not written */
    x86_st_bytes(cpu, op, cpu->ea, image, xmm_end(cpu));
}

X86_OP(x86_op_fxsave)
{
    fxsave(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void fxrstor(X86Cpu *cpu, const X86Op *op)
{
    uint8_t image[X86_FPU_IMAGE_SIZE];
    uint32_t mxcsr;

    check_area(cpu, op, 16);
    x86_ld_bytes(cpu, op, cpu->ea, image, X86_FPU_IMAGE_SIZE);
    memcpy(&mxcsr, image + IMAGE_MXCSR, sizeof(mxcsr));
    check_mxcsr(cpu, op, mxcsr);
    narrow_pointers(op, image);
    load_x87(&cpu->fpu, image);
    x86_fpu_set_mxcsr(&cpu->fpu, mxcsr);
    memcpy(cpu->fpu.xmm, image + IMAGE_XMM, xmm_end(cpu) - IMAGE_XMM);
}

X86_OP(x86_op_fxrstor)
{
    fxrstor(cpu, op);
    NEXT;
}

X86_OP(x86_op_ldmxcsr)
{
    uint32_t mxcsr = x86_ld32(cpu, op, cpu->ea);

    check_mxcsr(cpu, op, mxcsr);
    x86_fpu_set_mxcsr(&cpu->fpu, mxcsr);
    NEXT;
}

X86_OP(x86_op_stmxcsr)
{
    x86_st32(cpu, op, cpu->ea, cpu->fpu.mxcsr);
    NEXT;
}

/* ---- XSAVE and XRSTOR: components 0 (x87) and 1 (SSE), the standard format --------------------------------------- */

static void check_xsave(X86Cpu *cpu, const X86Op *op)
{
    if (!(cpu->cr4 & X86_CR4_OSXSAVE)) {
        x86_raise_op(cpu, op, X86_EXC_UD, 0);
    }
    if (cpu->cr0 & X86_CR0_TS) {
        x86_raise_op(cpu, op, X86_EXC_NM, 0);
    }
    if (cpu->ea & 63) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
}

static uint64_t requested(const X86Cpu *cpu)
{
    return ((uint64_t)X86_R32(X86_RDX) << 32 | X86_R32(X86_RAX)) & cpu->xcr0;
}

static __attribute__((noinline)) void xsave(X86Cpu *cpu, const X86Op *op)
{
    uint64_t area = cpu->ea, wanted = requested(cpu), present;
    uint8_t image[X86_FPU_IMAGE_SIZE];

    check_xsave(cpu, op);
    x86_fxsave_image(cpu, image);
    narrow_pointers(op, image);
    x86_probe_write(cpu, op, area, XSAVE_SIZE);
    if (wanted & XSTATE_X87) {
        x86_st_bytes(cpu, op, area, image, IMAGE_MXCSR);
        x86_st_bytes(cpu, op, area + 32, image + 32, IMAGE_XMM - 32);
    }
    if (wanted & XSTATE_SSE) {
        x86_st_bytes(cpu, op, area + IMAGE_MXCSR, image + IMAGE_MXCSR, 8);
        x86_st_bytes(cpu, op, area + IMAGE_XMM, image + IMAGE_XMM, xmm_end(cpu) - IMAGE_XMM);
    }
    present = x86_ld64(cpu, op, area + X86_FPU_IMAGE_SIZE);
    x86_st64(cpu, op, area + X86_FPU_IMAGE_SIZE, present | wanted);
}

X86_OP(x86_op_xsave)
{
    xsave(cpu, op);
    NEXT;
}

static bool header_is_sane(const X86Cpu *cpu, const uint64_t header[8])
{
    return !(header[0] & ~cpu->xcr0) && !header[1] && !header[2];
}

static __attribute__((noinline)) void xrstor(X86Cpu *cpu, const X86Op *op)
{
    uint64_t wanted = requested(cpu), header[8];
    uint8_t image[X86_FPU_IMAGE_SIZE];
    uint32_t mxcsr;

    check_xsave(cpu, op);
    x86_ld_bytes(cpu, op, cpu->ea, image, sizeof(image));
    x86_ld_bytes(cpu, op, cpu->ea + X86_FPU_IMAGE_SIZE, header, sizeof(header));
    memcpy(&mxcsr, image + IMAGE_MXCSR, sizeof(mxcsr));
    if (!header_is_sane(cpu, header)) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
    if (wanted & XSTATE_SSE) {
        check_mxcsr(cpu, op, mxcsr);
        x86_fpu_set_mxcsr(&cpu->fpu, mxcsr);
        if (header[0] & XSTATE_SSE) {
            memcpy(cpu->fpu.xmm, image + IMAGE_XMM, xmm_end(cpu) - IMAGE_XMM);
        } else {
            memset(cpu->fpu.xmm, 0, xmm_end(cpu) - IMAGE_XMM);
        }
    }
    if (wanted & XSTATE_X87) {
        if (header[0] & XSTATE_X87) {
            narrow_pointers(op, image);
            load_x87(&cpu->fpu, image);
        } else {
            reset_x87(&cpu->fpu);
        }
    }
}

X86_OP(x86_op_xrstor)
{
    xrstor(cpu, op);
    NEXT;
}
