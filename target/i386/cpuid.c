/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID, and the models that -cpu names.
 *
 * Thread: the processor's own; x86_cpu_model_check() any.  Runs in: mpqemu.
 *
 * Identity.  The processor calls itself an Intel one of family 6, model 28: the in-order Atom of 2008.  Systems know
 * that one not to execute anything speculatively, which is true here as well, and leave out the many costly measures
 * against leaks by speculation.  It has no registers of its own that a system would insist on.
 *
 * Sources: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#include <stdio.h>
#include <string.h>
#include "target/i386/bus.h"
#include "target/i386/cpuid.h"
#include "target/i386/system.h"
#include "util/error.h"

#define LEAF_MAX 0x16u
#define EXTENDED_MAX 0x80000008u
#define HYPERVISOR_LEAF 0x40000000u

#define TSC_HZ 1000000000u /* X86Bus.tsc() */

/* Least model that has a feature: each has those of the ones before. */
typedef enum Level {
    LEVEL_BASE, /* x86-64 as it began, and what cannot be taken away */
    LEVEL_V2,   /* x86-64-v2 */
    LEVEL_MAX,
    LEVEL_NONE, /* in no model, only by "+name" */
} Level;

typedef struct Feature {
    const char *name;
    uint16_t bit;     /* X86_CPUID_BIT() */
    uint8_t level;
    bool removable;   /* "-name" works: the decoder or a control register then refuses it */
    uint32_t decoder; /* X86_FEAT_*, or 0 */
} Feature;

static const Feature features[] = {
    { "fpu", X86_CPUID_BIT(1_EDX, 0), LEVEL_BASE },
    { "de", X86_CPUID_DE, LEVEL_BASE, true },
    { "pse", X86_CPUID_PSE, LEVEL_BASE, true },
    { "tsc", X86_CPUID_BIT(1_EDX, 4), LEVEL_BASE },
    { "msr", X86_CPUID_BIT(1_EDX, 5), LEVEL_BASE },
    { "pae", X86_CPUID_BIT(1_EDX, 6), LEVEL_BASE },
    { "cx8", X86_CPUID_BIT(1_EDX, 8), LEVEL_BASE },
    { "sep", X86_CPUID_BIT(1_EDX, 11), LEVEL_BASE },
    { "mtrr", X86_CPUID_BIT(1_EDX, 12), LEVEL_BASE },
    { "pge", X86_CPUID_PGE, LEVEL_BASE, true },
    { "cmov", X86_CPUID_BIT(1_EDX, 15), LEVEL_BASE },
    { "pat", X86_CPUID_BIT(1_EDX, 16), LEVEL_BASE },
    { "pse36", X86_CPUID_BIT(1_EDX, 17), LEVEL_BASE },
    { "clflush", X86_CPUID_BIT(1_EDX, 19), LEVEL_BASE },
    { "mmx", X86_CPUID_BIT(1_EDX, 23), LEVEL_BASE },
    { "fxsr", X86_CPUID_BIT(1_EDX, 24), LEVEL_BASE },
    { "sse", X86_CPUID_BIT(1_EDX, 25), LEVEL_BASE },
    { "sse2", X86_CPUID_BIT(1_EDX, 26), LEVEL_BASE },
    { "sse3", X86_CPUID_BIT(1_ECX, 0), LEVEL_V2, true, X86_FEAT_SSE3 },
    { "pclmulqdq", X86_CPUID_BIT(1_ECX, 1), LEVEL_MAX, true, X86_FEAT_PCLMUL },
    { "ssse3", X86_CPUID_BIT(1_ECX, 9), LEVEL_V2, true, X86_FEAT_SSSE3 },
    { "cx16", X86_CPUID_BIT(1_ECX, 13), LEVEL_V2, true, X86_FEAT_CX16 },
    /* Translations are dropped at each change of address space all the same: there is nothing to gain. */
    { "pcid", X86_CPUID_PCID, LEVEL_NONE, true },
    { "sse4.1", X86_CPUID_BIT(1_ECX, 19), LEVEL_V2, true, X86_FEAT_SSE41 },
    { "sse4.2", X86_CPUID_BIT(1_ECX, 20), LEVEL_V2, true, X86_FEAT_SSE42 },
    { "x2apic", X86_CPUID_X2APIC, LEVEL_V2, true },
    { "movbe", X86_CPUID_BIT(1_ECX, 22), LEVEL_MAX, true, X86_FEAT_MOVBE },
    { "popcnt", X86_CPUID_BIT(1_ECX, 23), LEVEL_V2, true, X86_FEAT_POPCNT },
    { "aes", X86_CPUID_BIT(1_ECX, 25), LEVEL_MAX, true, X86_FEAT_AES },
    { "xsave", X86_CPUID_XSAVE, LEVEL_MAX, true, X86_FEAT_XSAVE },
    { "rdrand", X86_CPUID_BIT(1_ECX, 30), LEVEL_MAX, true, X86_FEAT_RDRAND },
    { "hypervisor", X86_CPUID_BIT(1_ECX, 31), LEVEL_BASE, true },
    { "fsgsbase", X86_CPUID_FSGSBASE, LEVEL_MAX, true, X86_FEAT_FSGSBASE },
    { "tsc_adjust", X86_CPUID_TSC_ADJUST, LEVEL_MAX, true },
    { "smep", X86_CPUID_SMEP, LEVEL_MAX, true },
    { "erms", X86_CPUID_BIT(7_EBX, 9), LEVEL_MAX, true },
    { "invpcid", X86_CPUID_BIT(7_EBX, 10), LEVEL_MAX, true, X86_FEAT_INVPCID },
    { "rdseed", X86_CPUID_BIT(7_EBX, 18), LEVEL_MAX, true, X86_FEAT_RDSEED },
    { "smap", X86_CPUID_SMAP, LEVEL_MAX, true, X86_FEAT_SMAP },
    { "umip", X86_CPUID_UMIP, LEVEL_MAX, true },
    { "fsrm", X86_CPUID_BIT(7_EDX, 4), LEVEL_MAX, true },
    { "syscall", X86_CPUID_BIT(81_EDX, 11), LEVEL_BASE },
    { "nx", X86_CPUID_NX, LEVEL_BASE, true },
    { "pdpe1gb", X86_CPUID_PDPE1GB, LEVEL_MAX, true },
    { "rdtscp", X86_CPUID_RDTSCP, LEVEL_MAX, true, X86_FEAT_RDTSCP },
    { "lm", X86_CPUID_BIT(81_EDX, 29), LEVEL_BASE },
    { "lahf_lm", X86_CPUID_BIT(81_ECX, 0), LEVEL_V2 },
    { "3dnowprefetch", X86_CPUID_BIT(81_ECX, 8), LEVEL_V2 },
    { "invtsc", X86_CPUID_BIT(87_EDX, 8), LEVEL_BASE, true },
};

static const struct {
    const char *name;
    Level level;
    const char *description;
} models[] = {
    { "max", LEVEL_MAX, "all that the engine has, and this host's processor where it takes part (default)" },
    { "mpqemu64", LEVEL_V2, "x86-64-v2: the name of -accel kvm's default" },
    { "x86-64-v1", LEVEL_BASE, "x86-64 as it began" },
    { "x86-64-v2", LEVEL_V2, "SSE4.2, POPCNT, CMPXCHG16B" },
};

/* Bits of leaf 1 that depend on more than the model */
#define EDX_APIC (1u << 9)
#define EDX_HTT (1u << 28)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_OSXSAVE (1u << 27)

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define APIC_BASE_ENABLE 0x800u

/* ---- models ---------------------------------------------------------------------------------------------------- */

static const Feature *find_feature(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (strcmp(features[i].name, name) == 0) {
            return &features[i];
        }
    }
    return NULL;
}

static void set_feature(X86CpuidModel *model, const Feature *feature, bool on)
{
    uint32_t bit = 1u << feature->bit % 32;
    uint32_t *word = &model->words[feature->bit / 32];

    *word = on ? *word | bit : *word & ~bit;
}

static bool find_model(const char *text, const char *name, Level *ret_level, GError **errp)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (strcmp(models[i].name, name) == 0) {
            *ret_level = models[i].level;
            return true;
        }
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", models[i].name);
    }
    error_setg(errp, "-cpu %s: there is no model '%s'; models are %s", text, name, names->str);
    return false;
}

/* MMX and SSE instructions are the host's (fpu.h). */
static bool host_has(const Feature *feature)
{
    const uint32_t host_dependent = X86_FEAT_SSE3 | X86_FEAT_SSSE3 | X86_FEAT_SSE41 | X86_FEAT_SSE42 | X86_FEAT_AES |
                                    X86_FEAT_PCLMUL;

    return !(feature->decoder & host_dependent & ~x86_fpu_features());
}

/* One "+name" or "-name". */
static bool apply_feature(X86CpuidModel *model, const char *text, const char *item, GError **errp)
{
    bool on = item[0] == '+';

    if (!on && item[0] != '-') {
        error_setg(errp, "-cpu %s: '%s' must be +FEATURE or -FEATURE", text, item);
        return false;
    }
    const Feature *feature = find_feature(item + 1);
    if (feature == NULL) {
        error_setg(errp, "-cpu %s: there is no feature '%s'; -cpu help lists them", text, item + 1);
        return false;
    }
    if (!on && !feature->removable) {
        error_setg(errp, "-cpu %s: feature '%s' is part of every model", text, item + 1);
        return false;
    }
    if (on && !host_has(feature)) {
        error_setg(errp, "-cpu %s: this host's processor does not have '%s', which -accel emu needs for it", text,
                   item + 1);
        return false;
    }
    set_feature(model, feature, on);
    return true;
}

static bool parse_model(const char *text, X86CpuidModel *ret_model, GError **errp)
{
    Level level = models[0].level;
    g_auto(GStrv) items = NULL;

    if (text == NULL) {
        text = models[0].name;
    }
    items = g_strsplit(text, ",", -1);
    if (!find_model(text, items[0] != NULL ? items[0] : "", &level, errp)) {
        return false;
    }
    *ret_model = (X86CpuidModel){ 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        set_feature(ret_model, &features[i], features[i].level <= level && host_has(&features[i]));
    }
    for (unsigned i = 1; items[0] != NULL && items[i] != NULL; i++) {
        if (!apply_feature(ret_model, text, items[i], errp)) {
            return false;
        }
    }
    return true;
}

void x86_cpu_models_print(void)
{
    printf("Models of -accel emu:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        printf("  %-10s %s\n", models[i].name, models[i].description);
    }
    printf("MODEL,+FEATURE,-FEATURE changes a model.  Features that can be changed:\n ");
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (features[i].removable) {
            printf(" %s", features[i].name);
        }
    }
    printf("\n");
}

bool x86_cpu_model_check(const char *model, GError **errp)
{
    X86CpuidModel parsed;

    return parse_model(model, &parsed, errp);
}

bool x86_cpuid_init(X86Cpu *cpu, const X86CpuConfig *config, GError **errp)
{
    X86CpuidModel model;

    if (!parse_model(config->model, &model, errp)) {
        return false;
    }
    cpu->model = g_new(X86CpuidModel, 1);
    *cpu->model = model;
    cpu->features = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (x86_cpuid_has(cpu, features[i].bit)) {
            cpu->features |= features[i].decoder;
        }
    }
    return true;
}

void x86_cpuid_free(X86Cpu *cpu)
{
    g_free(cpu->model);
    cpu->model = NULL;
}

uint64_t x86_cpuid_cr4(const X86Cpu *cpu)
{
    static const struct {
        uint64_t cr4;
        unsigned bit;
    } bits[] = {
        { X86_CR4_DE, X86_CPUID_DE },           { X86_CR4_PSE, X86_CPUID_PSE },
        { X86_CR4_PGE, X86_CPUID_PGE },         { X86_CR4_UMIP, X86_CPUID_UMIP },
        { X86_CR4_FSGSBASE, X86_CPUID_FSGSBASE }, { X86_CR4_PCIDE, X86_CPUID_PCID },
        { X86_CR4_OSXSAVE, X86_CPUID_XSAVE },   { X86_CR4_SMEP, X86_CPUID_SMEP },
        { X86_CR4_SMAP, X86_CPUID_SMAP },
    };
    uint64_t allowed = X86_CR4_TSD | X86_CR4_PAE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        if (x86_cpuid_has(cpu, bits[i].bit)) {
            allowed |= bits[i].cr4;
        }
    }
    return allowed;
}

/* ---- leaves ---------------------------------------------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };

static unsigned bits_for(unsigned count)
{
    unsigned bits = 0;

    while ((1u << bits) < count) {
        bits++;
    }
    return bits;
}

/* Bits of an APIC ID that tell the threads of a core apart, and the processors of a package. */
static unsigned thread_bits(const X86Cpu *cpu)
{
    return bits_for(cpu->threads);
}
static unsigned package_bits(const X86Cpu *cpu)
{
    return thread_bits(cpu) + bits_for(cpu->cores);
}

/* Up to 12 characters in the order EBX, ECX, EDX or as given. */
static void put_text(uint32_t out[], const char *text, const unsigned order[], unsigned count)
{
    char padded[16] = { 0 };

    g_strlcpy(padded, text, sizeof(padded));
    for (unsigned i = 0; i < count; i++) {
        memcpy(&out[order[i]], padded + i * 4, 4);
    }
}

static void leaf_vendor(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    static const unsigned order[] = { EBX, EDX, ECX };

    out[EAX] = LEAF_MAX;
    put_text(out, "GenuineIntel", order, 3);
}

static void leaf_features(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    uint64_t value;

    out[EAX] = X86_CPUID_SIGNATURE;
    out[EBX] = cpu->index << 24 | (1u << package_bits(cpu)) << 16 | (64 / 8) << 8;
    out[ECX] = cpu->model->words[X86_CPUID_1_ECX];
    out[EDX] = cpu->model->words[X86_CPUID_1_EDX];
    if (cpu->cores * cpu->threads > 1) {
        out[EDX] |= EDX_HTT;
    }
    if (cpu->cr4 & X86_CR4_OSXSAVE) {
        out[ECX] |= ECX_OSXSAVE;
    }
    if (!x86_bus_msr_read(cpu, MSR_APIC_BASE, &value)) {
        out[ECX] &= ~(1u << X86_CPUID_X2APIC % 32); /* the board has no local APICs */
    } else if (value & APIC_BASE_ENABLE) {
        out[EDX] |= EDX_APIC;
        if (x86_bus_msr_read(cpu, MSR_TSC_DEADLINE, &value)) {
            out[ECX] |= ECX_TSC_DEADLINE;
        }
    }
}

/* Caches by descriptors: FF says that leaf 4 tells about them. */
static void leaf_cache_descriptors(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = 0x00ff0001;
}

/* TYPE: 1 data, 2 instructions, 3 unified; WAYS of 64-byte lines.  Each is a core's. */
static void put_cache(X86Cpu *cpu, uint32_t out[4], unsigned type, unsigned level, unsigned ways, unsigned kib)
{
    out[EAX] = type | level << 5 | 1u << 8 | ((1u << thread_bits(cpu)) - 1) << 14 |
               ((1u << bits_for(cpu->cores)) - 1) << 26;
    out[EBX] = (64 - 1) | (ways - 1) << 22;
    out[ECX] = kib * 1024 / 64 / ways - 1;
}

/* No cache is modelled: sizes that make software choose sensible block sizes. */
static void leaf_caches(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    if (subleaf == 0) {
        put_cache(cpu, out, 1, 1, 8, 32);
    } else if (subleaf == 1) {
        put_cache(cpu, out, 2, 1, 8, 32);
    } else if (subleaf == 2) {
        put_cache(cpu, out, 3, 2, 8, 1024);
    }
}

static void leaf_power(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = 1u << 2; /* the local APIC's timer never stops */
}

static void leaf_extended_features(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    if (subleaf == 0) {
        out[EBX] = cpu->model->words[X86_CPUID_7_EBX];
        out[ECX] = cpu->model->words[X86_CPUID_7_ECX];
        out[EDX] = cpu->model->words[X86_CPUID_7_EDX];
    }
}

static void leaf_topology(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[ECX] = subleaf & 0xff;
    out[EDX] = cpu->index;
    if (subleaf == 0) {
        out[EAX] = thread_bits(cpu);
        out[EBX] = cpu->threads;
        out[ECX] |= 1u << 8; /* threads */
    } else if (subleaf == 1) {
        out[EAX] = package_bits(cpu);
        out[EBX] = cpu->cores * cpu->threads;
        out[ECX] |= 2u << 8; /* cores */
    }
}

/* x87 and SSE only: FXSAVE's area and the header. */
static void leaf_xsave(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    if (!x86_cpuid_has(cpu, X86_CPUID_XSAVE)) {
        return;
    }
    if (subleaf == 0) {
        out[EAX] = X86_XCR0_BITS;
        out[EBX] = out[ECX] = 512 + 64;
    } else if (subleaf == 1) {
        out[EAX] = cpu->model->words[X86_CPUID_D1_EAX];
    }
}

/* TSC by crystal clock; the local APIC's timer counts the crystal's ticks. */
static void leaf_tsc(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = out[EBX] = 1;
    out[ECX] = TSC_HZ;
}

static void leaf_frequency(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = out[EBX] = TSC_HZ / 1000000;
}

static void leaf_hypervisor(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    static const unsigned order[] = { EBX, ECX, EDX };

    if (x86_cpuid_has(cpu, X86_CPUID_BIT(1_ECX, 31))) {
        out[EAX] = HYPERVISOR_LEAF;
        put_text(out, "MPQEMUemuCPU", order, 3);
    }
}

static void leaf_extended_max(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = EXTENDED_MAX;
}

static void leaf_amd_features(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[ECX] = cpu->model->words[X86_CPUID_81_ECX];
    out[EDX] = cpu->model->words[X86_CPUID_81_EDX];
}

static void put_brand(uint32_t out[4], unsigned part)
{
    static const char brand[48] = "mpqemu built-in x86-64 processor";

    memcpy(out, brand + part * 16, 16);
}

static void leaf_brand_1(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    put_brand(out, 0);
}
static void leaf_brand_2(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    put_brand(out, 1);
}
static void leaf_brand_3(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    put_brand(out, 2);
}

static void leaf_l2_cache(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[ECX] = 1024u << 16 | 6u << 12 | 64; /* 1 MiB, 8 ways, lines of 64 bytes */
}

static void leaf_tsc_invariant(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EDX] = cpu->model->words[X86_CPUID_87_EDX];
}

static void leaf_address_sizes(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = 48 << 8 | X86_PHYS_BITS;
    out[ECX] = package_bits(cpu) << 12 | (cpu->cores * cpu->threads - 1);
}

/* Those not here are all 0. */
static const struct {
    uint32_t leaf;
    void (*fill)(X86Cpu *cpu, uint32_t subleaf, uint32_t out[4]);
} leaves[] = {
    { 0x00, leaf_vendor },
    { 0x01, leaf_features },
    { 0x02, leaf_cache_descriptors },
    { 0x04, leaf_caches },
    { 0x06, leaf_power },
    { 0x07, leaf_extended_features },
    { 0x0b, leaf_topology },
    { 0x0d, leaf_xsave },
    { 0x15, leaf_tsc },
    { 0x16, leaf_frequency },
    { HYPERVISOR_LEAF, leaf_hypervisor },
    { 0x80000000, leaf_extended_max },
    { 0x80000001, leaf_amd_features },
    { 0x80000002, leaf_brand_1 },
    { 0x80000003, leaf_brand_2 },
    { 0x80000004, leaf_brand_3 },
    { 0x80000006, leaf_l2_cache },
    { 0x80000007, leaf_tsc_invariant },
    { 0x80000008, leaf_address_sizes },
};

void x86_cpuid(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
    for (unsigned i = 0; i < G_N_ELEMENTS(leaves); i++) {
        if (leaves[i].leaf == leaf) {
            leaves[i].fill(cpu, subleaf, out);
            return;
        }
    }
}
