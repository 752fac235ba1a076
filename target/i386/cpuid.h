/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processor tells of itself by CPUID, and how the rest asks for it.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * One table in cpuid.c names every feature that exists.  From it come CPUID's bits, X86Cpu.features for the decoder,
 * the bits that CR4 and EFER accept, and the names for -cpu.  A feature that a model lacks cannot be switched on by the
 * guest.
 *
 * Source: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#ifndef TARGET_I386_CPUID_H
#define TARGET_I386_CPUID_H

#include "target/i386/cpu.h"

/* Words of feature bits. */
enum {
    X86_CPUID_1_EDX, X86_CPUID_1_ECX, X86_CPUID_7_EBX, X86_CPUID_7_ECX, X86_CPUID_7_EDX, X86_CPUID_D1_EAX,
    X86_CPUID_81_EDX, X86_CPUID_81_ECX, X86_CPUID_87_EDX, X86_CPUID_WORDS,
};

#define X86_CPUID_BIT(word, bit) ((X86_CPUID_##word) * 32 + (bit))

/* Those that code outside of cpuid.c asks for. */
enum {
    X86_CPUID_DE = X86_CPUID_BIT(1_EDX, 2),
    X86_CPUID_PSE = X86_CPUID_BIT(1_EDX, 3),
    X86_CPUID_PGE = X86_CPUID_BIT(1_EDX, 13),
    X86_CPUID_PCID = X86_CPUID_BIT(1_ECX, 17),
    X86_CPUID_X2APIC = X86_CPUID_BIT(1_ECX, 21),
    X86_CPUID_XSAVE = X86_CPUID_BIT(1_ECX, 26),
    X86_CPUID_FSGSBASE = X86_CPUID_BIT(7_EBX, 0),
    X86_CPUID_TSC_ADJUST = X86_CPUID_BIT(7_EBX, 1),
    X86_CPUID_SMEP = X86_CPUID_BIT(7_EBX, 7),
    X86_CPUID_SMAP = X86_CPUID_BIT(7_EBX, 20),
    X86_CPUID_UMIP = X86_CPUID_BIT(7_ECX, 2),
    X86_CPUID_NX = X86_CPUID_BIT(81_EDX, 20),
    X86_CPUID_PDPE1GB = X86_CPUID_BIT(81_EDX, 26),
    X86_CPUID_RDTSCP = X86_CPUID_BIT(81_EDX, 27),
};

typedef struct X86CpuidModel {
    uint32_t words[X86_CPUID_WORDS]; /* the features it has */
} X86CpuidModel;

static inline bool x86_cpuid_has(const X86Cpu *cpu, unsigned bit)
{
    return cpu->model->words[bit / 32] >> (bit % 32) & 1;
}

/* Family, model and stepping as in leaf 1's EAX; EDX after reset. */
#define X86_CPUID_SIGNATURE 0x000106cau

/* Bits of XCR0 that XSETBV accepts. */
#define X86_XCR0_BITS 3u /* x87, SSE */

/* CR4's bits that the model has; others are reserved. */
uint64_t x86_cpuid_cr4(const X86Cpu *cpu);

#endif
