/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A table tells of each register where its value is and which values it takes; the few that do more have functions.
 * Registers of the local APIC are the bus's.  All others raise #GP.
 *
 * Sources: Intel SDM volume 4 and volume 3, section 12.11 (MTRRs); AMD APM volume 2, appendix A.
 */
#include <stddef.h>
#include "target/i386/bus.h"
#include "target/i386/cpuid.h"
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define MSR_TSC 0x10u
#define MSR_PLATFORM_ID 0x17u
#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_X2 0x400u
#define MSR_TSC_ADJUST 0x3bu
#define MSR_UCODE_REV 0x8bu
#define MSR_MTRR_CAP 0xfeu
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_DEBUGCTL 0x1d9u
#define MSR_MTRR_PHYS_FIRST 0x200u
#define MSR_MTRR_PHYS_LAST 0x20fu
#define MSR_MTRR_FIX64K 0x250u
#define MSR_MTRR_FIX16K 0x258u
#define MSR_MTRR_FIX4K 0x268u
#define MSR_MTRR_FIX4K_LAST 0x26fu
#define MSR_PAT 0x277u
#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC_FIRST 0x800u
#define MSR_X2APIC_LAST 0x8ffu
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

#define MISC_ENABLE_FAST_STRINGS 1u
#define MTRR_CAP (8u | 1u << 8 | 1u << 10) /* variable ranges, fixed ranges, write-combining */
#define UCODE_REV (1ull << 32)
#define PHYS_BITS_ABOVE (~((1ull << X86_PHYS_BITS) - 1))

uint64_t x86_tsc(X86Cpu *cpu)
{
    return cpu->bus->tsc(cpu->opaque) + cpu->tsc_offset;
}

/* ---- values that registers take -------------------------------------------------------------------------------- */

/* Uncacheable, write-combining, write-through, write-protected, write-back. */
static bool is_memory_type(unsigned type)
{
    return type <= 6 && type != 2 && type != 3;
}

static bool is_canonical(uint64_t value)
{
    return x86_canonical(value);
}

static bool is_32_bits(uint64_t value)
{
    return value <= 0xffffffffu;
}

static bool is_pat(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> i * 8 & 0xff;

        if (!is_memory_type(type) && type != 7) {
            return false;
        }
    }
    return true;
}

static bool is_fixed_mtrr(uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!is_memory_type(value >> i * 8 & 0xff)) {
            return false;
        }
    }
    return true;
}

static bool is_mtrr_base(uint64_t value)
{
    return !(value & (PHYS_BITS_ABOVE | 0xf00)) && is_memory_type(value & 0xff);
}

static bool is_mtrr_mask(uint64_t value)
{
    return !(value & (PHYS_BITS_ABOVE | 0x7ff));
}

static bool is_mtrr_def_type(uint64_t value)
{
    return !(value & ~0xcffull) && is_memory_type(value & 0xff);
}

/* ---- registers that are plain storage -------------------------------------------------------------------------- */

typedef struct Register {
    uint32_t msr;
    uint16_t offset;                /* of a uint64_t in X86Cpu */
    bool (*accepts)(uint64_t value); /* NULL: any */
} Register;

#define FIELD(name) offsetof(X86Cpu, name)
#define MTRR_RANGE(n) \
    { MSR_MTRR_PHYS_FIRST + 2 * (n), FIELD(mtrr_base[n]), is_mtrr_base }, \
    { MSR_MTRR_PHYS_FIRST + 2 * (n) + 1, FIELD(mtrr_mask[n]), is_mtrr_mask }
#define MTRR_FIX4K(n) { MSR_MTRR_FIX4K + (n), FIELD(mtrr_fixed[3 + (n)]), is_fixed_mtrr }

static const Register registers[] = {
    { MSR_SYSENTER_CS, FIELD(sysenter_cs), is_32_bits },
    { MSR_SYSENTER_ESP, FIELD(sysenter_esp), is_canonical },
    { MSR_SYSENTER_EIP, FIELD(sysenter_eip), is_canonical },
    MTRR_RANGE(0), MTRR_RANGE(1), MTRR_RANGE(2), MTRR_RANGE(3),
    MTRR_RANGE(4), MTRR_RANGE(5), MTRR_RANGE(6), MTRR_RANGE(7),
    { MSR_MTRR_FIX64K, FIELD(mtrr_fixed[0]), is_fixed_mtrr },
    { MSR_MTRR_FIX16K, FIELD(mtrr_fixed[1]), is_fixed_mtrr },
    { MSR_MTRR_FIX16K + 1, FIELD(mtrr_fixed[2]), is_fixed_mtrr },
    MTRR_FIX4K(0), MTRR_FIX4K(1), MTRR_FIX4K(2), MTRR_FIX4K(3),
    MTRR_FIX4K(4), MTRR_FIX4K(5), MTRR_FIX4K(6), MTRR_FIX4K(7),
    { MSR_PAT, FIELD(pat), is_pat },
    { MSR_MTRR_DEF_TYPE, FIELD(mtrr_def_type), is_mtrr_def_type },
    { MSR_STAR, FIELD(star), NULL },
    { MSR_LSTAR, FIELD(lstar), is_canonical },
    { MSR_CSTAR, FIELD(cstar), is_canonical },
    { MSR_FMASK, FIELD(fmask), is_32_bits },
    { MSR_FS_BASE, FIELD(seg[X86_FS].base), is_canonical },
    { MSR_GS_BASE, FIELD(seg[X86_GS].base), is_canonical },
    { MSR_KERNEL_GS_BASE, FIELD(kernel_gs_base), is_canonical },
};

static const Register *find_register(uint32_t msr)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (registers[i].msr == msr) {
            return &registers[i];
        }
    }
    return NULL;
}

static bool is_apic_register(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE || (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/* ---- the others ------------------------------------------------------------------------------------------------ */

static bool write_efer(X86Cpu *cpu, uint64_t value)
{
    uint64_t writable = X86_EFER_SCE | X86_EFER_LME | (x86_cpuid_has(cpu, X86_CPUID_NX) ? X86_EFER_NXE : 0);

    /* LMA follows LME and CR0.PG. */
    value = (value & ~(uint64_t)X86_EFER_LMA) | (cpu->efer & X86_EFER_LMA);
    if ((value & ~(writable | X86_EFER_LMA)) || ((cpu->cr0 & X86_CR0_PG) && ((value ^ cpu->efer) & X86_EFER_LME))) {
        return false;
    }
    bool nx_changes = (value ^ cpu->efer) & X86_EFER_NXE;
    cpu->efer = value;
    if (nx_changes) {
        x86_tlb_flush(cpu, false);
    }
    x86_mode_changed(cpu);
    return true;
}

bool x86_rdmsr(X86Cpu *cpu, uint32_t msr, uint64_t *value)
{
    const Register *reg = find_register(msr);

    if (reg != NULL) {
        *value = *(uint64_t *)((char *)cpu + reg->offset);
        return true;
    }
    if (is_apic_register(msr)) {
        bool known = x86_bus_msr_read(cpu, msr, value);

        if (known && msr == MSR_TSC_DEADLINE && *value != 0) {
            *value += cpu->tsc_offset;
        }
        return known;
    }
    switch (msr) {
    case MSR_TSC:
        *value = x86_tsc(cpu);
        return true;
    case MSR_TSC_ADJUST:
        *value = cpu->tsc_offset;
        return x86_cpuid_has(cpu, X86_CPUID_TSC_ADJUST);
    case MSR_PLATFORM_ID:
    case MSR_DEBUGCTL:
        *value = 0;
        return true;
    case MSR_UCODE_REV:
        *value = UCODE_REV;
        return true;
    case MSR_MTRR_CAP:
        *value = MTRR_CAP;
        return true;
    case MSR_MISC_ENABLE:
        *value = cpu->misc_enable;
        return true;
    case MSR_EFER:
        *value = cpu->efer;
        return true;
    case MSR_TSC_AUX:
        *value = cpu->tsc_aux;
        return x86_cpuid_has(cpu, X86_CPUID_RDTSCP);
    default:
        return false;
    }
}

bool x86_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t value)
{
    const Register *reg = find_register(msr);

    if (reg != NULL) {
        if (reg->accepts != NULL && !reg->accepts(value)) {
            return false;
        }
        *(uint64_t *)((char *)cpu + reg->offset) = value;
        return true;
    }
    if (is_apic_register(msr)) {
        if (msr == MSR_TSC_DEADLINE && value != 0) {
            /* The bus knows no offset.  One that is over already must not become 0, which disarms. */
            value = value > cpu->tsc_offset || (int64_t)cpu->tsc_offset < 0 ? value - cpu->tsc_offset : 1;
            value = value ? value : 1;
        }
        if (msr == MSR_APIC_BASE && (value & APIC_BASE_X2) && !x86_cpuid_has(cpu, X86_CPUID_X2APIC)) {
            return false;
        }
        return x86_bus_msr_write(cpu, msr, value);
    }
    switch (msr) {
    case MSR_TSC:
        cpu->tsc_offset = value - cpu->bus->tsc(cpu->opaque);
        return true;
    case MSR_TSC_ADJUST:
        if (!x86_cpuid_has(cpu, X86_CPUID_TSC_ADJUST)) {
            return false;
        }
        cpu->tsc_offset = value;
        return true;
    case MSR_UCODE_REV: /* 0 before CPUID asks for the revision */
        return true;
    case MSR_MISC_ENABLE:
        if ((value ^ cpu->misc_enable) & ~(uint64_t)MISC_ENABLE_FAST_STRINGS) {
            return false;
        }
        cpu->misc_enable = value;
        return true;
    case MSR_DEBUGCTL: /* none of its functions exists */
        return value == 0;
    case MSR_EFER:
        return write_efer(cpu, value);
    case MSR_TSC_AUX:
        if (!x86_cpuid_has(cpu, X86_CPUID_RDTSCP) || !is_32_bits(value)) {
            return false;
        }
        cpu->tsc_aux = value;
        return true;
    default:
        return false;
    }
}
