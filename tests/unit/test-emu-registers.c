/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in processor's control, debug and model-specific registers, CPUID, -cpu, ports, checks of descriptors. */
#include <string.h>
#include "emu-system-rig.h"
#include "target/i386/cpuid.h"
#include "target/i386/system.h"

/* ---- -cpu and CPUID -------------------------------------------------------------------------------------------- */

static void test_models(void)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "", "there is no model ''; models are max, mpqemu64, x86-64-v1, x86-64-v2" },
        { "pentium", "there is no model 'pentium'" },
        { "max,sse3", "'sse3' must be +FEATURE or -FEATURE" },
        { "max,", "'' must be +FEATURE or -FEATURE" },
        { "max,+", "there is no feature ''" },
        { "max,+avx512", "there is no feature 'avx512'" },
        { "max,-sse2", "feature 'sse2' is part of every model" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(x86_cpu_model_check(bad[i].text, &error));
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error->message, bad[i].error));
    }
    g_assert_true(x86_cpu_model_check(NULL, NULL));
    g_assert_true(x86_cpu_model_check("x86-64-v1,+movbe,-nx", NULL));
}

static uint32_t cpuid_reg(SysRig *rig, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    uint32_t out[4];

    x86_cpuid(rig->cpu, leaf, subleaf, out);
    return out[reg];
}

enum { EAX, EBX, ECX, EDX };

static void test_features(void)
{
    SysRig rig;

    sys_rig_init(&rig, "x86-64-v1,+movbe,-nx");
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, ECX) & (1u << 22 | 1u << 23), ==, 1u << 22);
    g_assert_cmphex(cpuid_reg(&rig, 0x80000001, 0, EDX) & (1u << 20 | 1u << 29), ==, 1u << 29);
    g_assert_cmphex(rig.cpu->features, ==, X86_FEAT_MOVBE);
    g_assert_cmphex(cpuid_reg(&rig, 7, 0, EBX), ==, 0);
    sys_rig_clear(&rig);

    sys_rig_init(&rig, NULL);
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, ECX) & 1u << 23, ==, 1u << 23);
    g_assert_cmphex(rig.cpu->features & X86_FEAT_POPCNT, ==, X86_FEAT_POPCNT);
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, ECX) & 1u << 21, ==, 1u << 21); /* x2APIC */
    /* What the guest switches on and off. */
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, EDX) & 1u << 9, ==, 1u << 9);
    rig.apic_base = 0xfee00000;
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, EDX) & 1u << 9, ==, 0);
    /* One processor: no others in the package. */
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, EDX) & 1u << 28, ==, 0);
    g_assert_cmphex(cpuid_reg(&rig, 1, 0, EAX), ==, X86_CPUID_SIGNATURE);
    g_assert_cmphex(cpuid_reg(&rig, 0x80000008, 0, EAX), ==, 0x3028);
    g_assert_cmphex(cpuid_reg(&rig, 0, 0, EBX), ==, 0x756e6547); /* "Genu" */
    g_assert_cmphex(cpuid_reg(&rig, 0x40000000, 0, EBX), ==, 0x4551504d); /* "MPQE" */
    g_assert_cmphex(cpuid_reg(&rig, 4, 3, EAX), ==, 0);
    g_assert_cmphex(cpuid_reg(&rig, 0x12345678, 0, EAX), ==, 0);
    sys_rig_clear(&rig);
}

/* CPUID, the decoder and -cpu agree: with the feature the instruction runs, without it is #UD. */
static void test_features_exist(void)
{
#define INSN(...) { __VA_ARGS__, 0xf4 }
    static const struct {
        const char *feature;
        uint8_t code[12]; /* with HLT */
    } cases[] = {
        { "sse3", INSN(0xf2, 0x0f, 0x7c, 0xc1) },             /* haddps %xmm1, %xmm0 */
        { "ssse3", INSN(0x66, 0x0f, 0x38, 0x1c, 0xc1) },      /* pabsb %xmm1, %xmm0 */
        { "sse4.1", INSN(0x66, 0x0f, 0x38, 0x40, 0xc1) },     /* pmulld %xmm1, %xmm0 */
        { "sse4.2", INSN(0x66, 0x0f, 0x38, 0x37, 0xc1) },     /* pcmpgtq %xmm1, %xmm0 */
        { "sse4.2", INSN(0xf2, 0x0f, 0x38, 0xf1, 0xc1) },     /* crc32l %ecx, %eax */
        { "pclmulqdq", INSN(0x66, 0x0f, 0x3a, 0x44, 0xc1, 0) },
        { "aes", INSN(0x66, 0x0f, 0x38, 0xdc, 0xc1) },        /* aesenc %xmm1, %xmm0 */
        { "cx16", INSN(0x48, 0x0f, 0xc7, 0x0f) },             /* cmpxchg16b (%rdi) */
        { "movbe", INSN(0x0f, 0x38, 0xf0, 0x07) },            /* movbe (%rdi), %eax */
        { "popcnt", INSN(0xf3, 0x0f, 0xb8, 0xc1) },           /* popcnt %ecx, %eax */
        { "rdrand", INSN(0x0f, 0xc7, 0xf0) },
        { "rdseed", INSN(0x0f, 0xc7, 0xf8) },
        { "fsgsbase", INSN(0xf3, 0x48, 0x0f, 0xae, 0xc0) },   /* rdfsbase %rax */
        { "invpcid", INSN(0x66, 0x0f, 0x38, 0x82, 0x0f) },    /* invpcid (%rdi), %rcx */
        { "smap", INSN(0x0f, 0x01, 0xca) },                   /* clac */
        { "rdtscp", INSN(0x0f, 0x01, 0xf9) },
        { "xsave", INSN(0x0f, 0x01, 0xd0) },                  /* xgetbv */
        { "xsave", INSN(0x0f, 0xae, 0x27) },                  /* xsave (%rdi) */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned on = 0; on < 2; on++) {
            g_autofree char *model = g_strdup_printf("max,%c%s", on ? '+' : '-', cases[i].feature);
            SysRig rig;

            g_test_message("%s, case %u", model, i);
            if (!x86_cpu_model_check(model, NULL)) {
                continue; /* SSE instructions are the host's */
            }
            sys_rig_init(&rig, model);
            sys_long(&rig);
            rig.state.cr4 |= X86_CR4_OSFXSR | (x86_cpuid_cr4(rig.cpu) & (X86_CR4_OSXSAVE | X86_CR4_FSGSBASE));
            rig.state.gpr[X86_RDI] = SYS_DATA;
            sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].code + sizeof(cases[i].code));
            SYS_RUN_VECTOR(&rig, on ? -1 : X86_EXC_UD);
            sys_rig_clear(&rig);
        }
    }
}

/* x2APIC mode is there when CPUID says so; what the APIC itself has to say of it is its own. */
GUEST(enter_x2apic, 64, "mov $0x1b, %ecx\n xor %edx, %edx\n mov $0xfee00d00, %eax\n wrmsr\n hlt");

static void test_x2apic(void)
{
    for (unsigned on = 0; on < 2; on++) {
        SysRig rig;

        sys_rig_init(&rig, on ? NULL : "max,-x2apic");
        sys_long(&rig);
        g_assert_cmphex(cpuid_reg(&rig, 1, 0, ECX) >> 21 & 1, ==, on);
        SYS_CODE(&rig, SYS_KERNEL, enter_x2apic);
        SYS_RUN_VECTOR(&rig, on ? -1 : X86_EXC_GP);
        g_assert_cmphex(rig.apic_base, ==, on ? 0xfee00d00 : 0xfee00900);
        sys_rig_clear(&rig);
    }
}

static void test_topology(void)
{
    static const struct {
        unsigned count, cores, threads, thread_bits, package_bits;
    } cases[] = {
        { 1, 1, 1, 0, 0 }, { 2, 2, 1, 0, 1 }, { 3, 3, 1, 0, 2 }, { 8, 8, 1, 0, 3 },
        { 8, 2, 2, 1, 2 }, { 4, 1, 1, 0, 0 }, { 4, 1, 4, 2, 2 }, { 6, 3, 2, 1, 3 }, { 6, 6, 1, 0, 3 },
    };
    X86CpuConfig config = { .code_cache_bytes = 1 << 20 };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const unsigned of_package = cases[i].cores * cases[i].threads;

        config.index = cases[i].count - 1;
        config.count = cases[i].count;
        config.cores = cases[i].cores;
        config.threads = cases[i].threads;
        x86_cpu_free(rig.cpu);
        rig.cpu = x86_cpu_new(rig.machine, &config, sys_rig_bus(), &rig, NULL);
        g_assert_cmphex(cpuid_reg(&rig, 1, 0, EBX) >> 24, ==, cases[i].count - 1);
        g_assert_cmphex(cpuid_reg(&rig, 1, 0, EBX) >> 16 & 0xff, ==, 1u << cases[i].package_bits);
        g_assert_cmphex(cpuid_reg(&rig, 1, 0, EDX) >> 28 & 1, ==, of_package > 1);
        g_assert_cmphex(cpuid_reg(&rig, 4, 0, EAX) >> 26, ==,
                        (1u << (cases[i].package_bits - cases[i].thread_bits)) - 1);
        g_assert_cmphex(cpuid_reg(&rig, 4, 0, EAX) >> 14 & 0xfff, ==, (1u << cases[i].thread_bits) - 1);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 0, EAX), ==, cases[i].thread_bits);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 0, EBX), ==, cases[i].threads);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 0, ECX), ==, 0x100);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 1, EAX), ==, cases[i].package_bits);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 1, EBX), ==, of_package);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 1, ECX), ==, 0x201);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 2, ECX), ==, 2);
        g_assert_cmphex(cpuid_reg(&rig, 0xb, 0, EDX), ==, cases[i].count - 1);
    }
    sys_rig_clear(&rig);
}

/* ---- MSRs ------------------------------------------------------------------------------------------------------ */

static void test_msrs(void)
{
    static const struct {
        uint32_t msr;
        uint64_t good, bad; /* bad 0: nothing is */
    } cases[] = {
        { 0x174, 0xffffffff, 0x100000000 },
        { 0x175, 0xffff800000000000, 0x800000000000 },
        { 0x200, 0x4000000006, 0x4000000002 },
        { 0x201, 0xff00000800, 0x10000000800 },
        { 0x20f, 0x800, 0x400 },
        { 0x250, 0x0606060606060606, 0x0706060606060606 },
        { 0x259, 0, 2 },
        { 0x26f, 0x0405, 0x0205 },
        { 0x277, 0x0007010600070106, 0x0002010600070106 },
        { 0x2ff, 0xc06, 0x1c06 },
        { 0x2ff, 0, 0x07 },
        { 0x1a0, 0x1800, 0x1801 ^ 0x400000 },
        { 0xc0000081, ~0ull, 0 },
        { 0xc0000082, 0xffffffff81000000, 0x1000000000000000 },
        { 0xc0000084, 0x47700, 0x100000000 },
        { 0xc0000100, 0x7fffffffffff, 0x800000000000 },
        { 0xc0000102, 0, 0x8000000000000000 },
        { 0xc0000103, 0xffffffff, 0x100000000 },
        { 0x1d9, 0, 2 },
        { 0x1b, 0xfee00800, 0 },
    };
    static const uint32_t unknown[] = { 0, 0x11, 0x1c, 0x210, 0x251, 0x270, 0x6e1, 0x7ff, 0x800, 0xc0000104, ~0u };
    uint64_t value;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(x86_wrmsr(rig.cpu, cases[i].msr, cases[i].good));
        g_assert_true(x86_rdmsr(rig.cpu, cases[i].msr, &value));
        g_assert_cmphex(value, ==, cases[i].good);
        if (cases[i].bad) {
            g_assert_false(x86_wrmsr(rig.cpu, cases[i].msr, cases[i].bad));
            g_assert_true(x86_rdmsr(rig.cpu, cases[i].msr, &value));
            g_assert_cmphex(value, ==, cases[i].good);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(unknown); i++) {
        g_assert_false(x86_rdmsr(rig.cpu, unknown[i], &value));
        g_assert_false(x86_wrmsr(rig.cpu, unknown[i], 0));
    }
    g_assert_false(x86_wrmsr(rig.cpu, 0xfe, 0)); /* MTRRCAP is read-only */
    sys_rig_clear(&rig);
}

static void test_tsc(void)
{
    uint64_t value;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    rig.tsc = 1000;
    g_assert_true(x86_wrmsr(rig.cpu, 0x10, 5000));
    g_assert_true(x86_rdmsr(rig.cpu, 0x3b, &value));
    g_assert_cmpuint(value, ==, 4000);
    rig.tsc = 1001;
    g_assert_true(x86_rdmsr(rig.cpu, 0x10, &value));
    g_assert_cmpuint(value, ==, 5001);
    g_assert_true(x86_wrmsr(rig.cpu, 0x3b, 1));
    g_assert_cmpuint(x86_tsc(rig.cpu), ==, 1002);
    x86_cpu_reset(rig.cpu, true);
    g_assert_cmpuint(x86_tsc(rig.cpu), ==, 1002);
    x86_cpu_reset(rig.cpu, false);
    g_assert_cmpuint(x86_tsc(rig.cpu), ==, 1001);
    sys_rig_clear(&rig);

    sys_rig_init(&rig, "x86-64-v2");
    g_assert_false(x86_rdmsr(rig.cpu, 0x3b, &value));
    g_assert_false(x86_wrmsr(rig.cpu, 0x3b, 0));
    g_assert_false(x86_rdmsr(rig.cpu, 0xc0000103, &value));
    sys_rig_clear(&rig);
}

/* The guest's deadline is by its own TSC, the controller's by the machine's time. */
static void test_deadline_goes_with_the_offset(void)
{
    uint64_t value;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    rig.tsc = 1000;
    g_assert_true(x86_wrmsr(rig.cpu, 0x10, 5000));
    g_assert_true(x86_wrmsr(rig.cpu, 0x6e0, 5100));
    g_assert_cmpuint(rig.deadline, ==, 1100);
    g_assert_true(x86_rdmsr(rig.cpu, 0x6e0, &value));
    g_assert_cmpuint(value, ==, 5100);
    g_assert_true(x86_wrmsr(rig.cpu, 0x6e0, 3)); /* over before the machine began */
    g_assert_cmpuint(rig.deadline, ==, 1);
    g_assert_true(x86_wrmsr(rig.cpu, 0x6e0, 0)); /* off */
    g_assert_cmpuint(rig.deadline, ==, 0);
    g_assert_true(x86_wrmsr(rig.cpu, 0x10, 100));
    g_assert_true(x86_wrmsr(rig.cpu, 0x6e0, 150));
    g_assert_cmpuint(rig.deadline, ==, 1050);
    sys_rig_clear(&rig);
}

GUEST(write_efer, 64, "mov $0xc0000080, %ecx\n xor %edx, %edx\n wrmsr\n hlt\n");

static void test_efer(void)
{
    static const struct {
        uint32_t value;
        int vector;
        uint32_t result;
    } cases[] = {
        { X86_EFER_SCE | X86_EFER_LME, -1, X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA }, /* LMA is not written */
        { X86_EFER_SCE | X86_EFER_LMA, X86_EXC_GP, 0 },                                 /* LME with paging on */
        { X86_EFER_LME | 0x1000, X86_EXC_GP, 0 },                                       /* reserved: SVME */
        { X86_EFER_LME | X86_EFER_NXE, -1, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE },
    };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        rig.state.gpr[X86_RAX] = cases[i].value;
        SYS_CODE(&rig, SYS_KERNEL, write_efer);
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        if (cases[i].vector < 0) {
            g_assert_cmphex(rig.state.efer, ==, cases[i].result);
        }
        sys_rig_clear(&rig);
    }
}

/* ---- control registers ----------------------------------------------------------------------------------------- */

GUEST(write_cr0, 64, "mov %rax, %cr0\n mov %cr0, %rbx\n hlt\n");
GUEST(write_cr3, 64, "mov %rax, %cr3\n mov %cr3, %rbx\n hlt\n");
GUEST(write_cr4, 64, "mov %rax, %cr4\n mov %cr4, %rbx\n hlt\n");
GUEST(write_cr8, 64, "mov %rax, %cr8\n mov %cr8, %rbx\n hlt\n");
GUEST(write_cr1, 64, ".byte 0x0f, 0x22, 0xc8\n");

static void test_control_registers(void)
{
    static const struct {
        const uint8_t *code, *end;
        uint64_t value;
        int vector;
        uint64_t result;
    } cases[] = {
        { write_cr0, write_cr0_end, 0x80000011 | X86_CR0_NW, X86_EXC_GP, 0 },
        { write_cr0, write_cr0_end, X86_CR0_PG, X86_EXC_GP, 0 },
        { write_cr0, write_cr0_end, 1ull << 32 | 0x80000011, X86_EXC_GP, 0 },
        { write_cr0, write_cr0_end, 0x11, X86_EXC_GP, 0 }, /* paging off in 64-bit mode */
        { write_cr0, write_cr0_end, 0x9ffaffc1, -1, 0x80000011 },
        { write_cr0, write_cr0_end, 0xe005003b, -1, 0xe005003b },
        { write_cr3, write_cr3_end, SYS_TABLES | 0x18, -1, SYS_TABLES | 0x18 },
        { write_cr3, write_cr3_end, 1ull << 40 | SYS_TABLES, X86_EXC_GP, 0 },
        { write_cr3, write_cr3_end, 1ull << 63 | SYS_TABLES, X86_EXC_GP, 0 },
        { write_cr4, write_cr4_end, X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_SMAP, -1,
          X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_SMAP },
        { write_cr4, write_cr4_end, X86_CR4_PAE | X86_CR4_PCIDE, X86_EXC_GP, 0 },
        { write_cr4, write_cr4_end, X86_CR4_PAE | X86_CR4_VME, X86_EXC_GP, 0 },
        { write_cr4, write_cr4_end, X86_CR4_PAE | 1ull << 32, X86_EXC_GP, 0 },
        { write_cr8, write_cr8_end, 15, -1, 15 },
        { write_cr8, write_cr8_end, 16, X86_EXC_GP, 0 },
        { write_cr1, write_cr1_end, 0, X86_EXC_UD, 0 },
    };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        rig.state.gpr[X86_RAX] = cases[i].value;
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        g_test_message("case %u", i);
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        if (cases[i].vector < 0) {
            g_assert_cmphex(rig.state.gpr[X86_RBX], ==, cases[i].result);
        }
        sys_rig_clear(&rig);
    }
}

/* With PCID, bit 63 of CR3 means "keep", and is not stored. */
static void test_pcid(void)
{
    SysRig rig;

    sys_rig_init(&rig, "max,+pcid");
    sys_long(&rig);
    rig.state.gpr[X86_RAX] = X86_CR4_PAE | X86_CR4_PCIDE;
    SYS_CODE(&rig, SYS_KERNEL, write_cr4);
    SYS_RUN_VECTOR(&rig, -1);
    sys_long(&rig);
    rig.state.cr4 |= X86_CR4_PCIDE;
    rig.state.gpr[X86_RAX] = 1ull << 63 | SYS_TABLES | 5;
    SYS_CODE(&rig, SYS_KERNEL, write_cr3);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, SYS_TABLES | 5);
    /* Not while the current address space has a number. */
    sys_long(&rig);
    rig.state.cr3 |= 5;
    rig.state.gpr[X86_RAX] = X86_CR4_PAE | X86_CR4_PCIDE;
    SYS_CODE(&rig, SYS_KERNEL, write_cr4);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

GUEST(write_cr3_32, 32, "mov %eax, %cr3\n mov 0x200000, %ebx\n hlt\n");

/* PAE paging reads its four top entries when CR3 is loaded, and refuses bad ones. */
static void test_pae_registers(void)
{
    SysRig rig;

    for (unsigned bad = 0; bad < 2; bad++) {
        sys_rig_init(&rig, NULL);
        sys_protected_paging(&rig, true);
        sys_put(&rig, 0x100000, 0x101001, 8);
        sys_put(&rig, 0x100008, bad ? 0x101003 : 0x101002, 8); /* bit 1 is reserved in present ones */
        sys_put(&rig, 0x101000, SYS_PT | 3, 8);
        sys_put(&rig, 0x101008, 0x400083, 8);
        sys_put(&rig, 0x400000, 0x77, 4);
        rig.state.gpr[X86_RAX] = 0x100000;
        SYS_CODE(&rig, SYS_KERNEL, write_cr3_32);
        SYS_RUN_VECTOR(&rig, bad ? X86_EXC_GP : -1);
        g_assert_cmphex(rig.state.cr3, ==, bad ? SYS_PDPT : 0x100000);
        if (!bad) {
            g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0x77);
        }
        sys_rig_clear(&rig);
    }
}

/* A new table takes effect; a global page outlives CR3 but not INVLPG. */
GUEST(tlb, 64,
      "mov 0x70000, %ecx\n"
      "mov %rax, %cr3\n mov 0x70000, %esi\n"
      "invlpg 0x70000\n mov 0x70000, %edi\n hlt\n");

static void test_tlb(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned global = 0; global < 2; global++) {
        sys_long(&rig);
        rig.state.cr4 |= X86_CR4_PGE;
        /* A second set of tables at 0x100000, where the page is elsewhere. */
        sys_put(&rig, 0x100000, 0x101007, 8);
        sys_put(&rig, 0x101000, 0x102007, 8);
        sys_put(&rig, 0x102000, 0x103007, 8);
        memcpy(rig.ram + 0x103000, rig.ram + SYS_PT, 4096);
        sys_put(&rig, 0x103000 + 0x70 * 8, 0x71003, 8);
        sys_put(&rig, SYS_PT + 0x70 * 8, 0x70003 | global << 8, 8);
        sys_put(&rig, 0x70000, 0x1111, 4);
        sys_put(&rig, 0x71000, 0x2222, 4);
        rig.state.gpr[X86_RAX] = 0x100000;
        SYS_CODE(&rig, SYS_KERNEL, tlb);
        SYS_RUN_VECTOR(&rig, -1);
        g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x1111);
        if (!global) {
            g_assert_cmphex(rig.state.gpr[X86_RSI], ==, 0x2222);
        }
        g_assert_cmphex(rig.state.gpr[X86_RDI], ==, 0x2222);
    }
    sys_rig_clear(&rig);
}

/* ---- debug registers ------------------------------------------------------------------------------------------- */

GUEST(write_dr7, 64, "mov %rax, %dr7\n mov %dr7, %rbx\n hlt\n");
GUEST(write_dr6, 64, "mov %rax, %dr6\n mov %dr6, %rbx\n hlt\n");
GUEST(write_dr4, 64, ".byte 0x0f, 0x23, 0xe0\n mov %dr6, %rbx\n hlt\n");
GUEST(watch, 64, "movl $1, 0x70004\n nop\n hlt\n");

static void test_debug_registers(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    rig.state.gpr[X86_RAX] = 0xdc00;
    SYS_CODE(&rig, SYS_KERNEL, write_dr7);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0x400);
    sys_long(&rig);
    rig.state.gpr[X86_RAX] = 1ull << 32;
    SYS_CODE(&rig, SYS_KERNEL, write_dr7);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_long(&rig);
    rig.state.gpr[X86_RAX] = 0;
    SYS_CODE(&rig, SYS_KERNEL, write_dr6);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0xffff0ff0);
    /* DR4 is DR6, but not with CR4.DE. */
    sys_long(&rig);
    rig.state.gpr[X86_RAX] = 3;
    SYS_CODE(&rig, SYS_KERNEL, write_dr4);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0xffff0ff3);
    sys_long(&rig);
    rig.state.cr4 |= X86_CR4_DE;
    SYS_CODE(&rig, SYS_KERNEL, write_dr4);
    SYS_RUN_VECTOR(&rig, X86_EXC_UD);
    /* General detect: a fault that clears itself. */
    sys_long(&rig);
    rig.state.dr[6] = 0xffff0ff0;
    rig.state.dr[7] = 0x2400;
    SYS_CODE(&rig, SYS_KERNEL, write_dr6);
    SYS_RUN_VECTOR(&rig, X86_EXC_DB);
    g_assert_cmphex(rig.state.dr[6], ==, 0xffff2ff0);
    g_assert_cmphex(rig.state.dr[7], ==, 0x400);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL);
    /* A watched write traps after its instruction. */
    sys_long(&rig);
    rig.state.dr[0] = 0x70004;
    rig.state.dr[6] = 0xffff0ff0;
    rig.state.dr[7] = 0x400 | 2 | 0xdu << 16; /* global, 4 bytes written */
    SYS_CODE(&rig, SYS_KERNEL, watch);
    SYS_RUN_VECTOR(&rig, X86_EXC_DB);
    g_assert_cmphex(rig.state.dr[6], ==, 0xffff0ff1);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 11);
    g_assert_cmphex(sys_get(&rig, 0x70004, 4), ==, 1);
    /* A breakpoint on an instruction comes before it. */
    sys_long(&rig);
    rig.state.dr[1] = SYS_KERNEL + 11;
    rig.state.dr[6] = 0xffff0ff0;
    rig.state.dr[7] = 0x400 | 8;
    SYS_CODE(&rig, SYS_KERNEL, watch);
    SYS_RUN_VECTOR(&rig, X86_EXC_DB);
    g_assert_cmphex(rig.state.dr[6], ==, 0xffff0ff2);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 11);
    sys_rig_clear(&rig);
}

/* ---- ports ----------------------------------------------------------------------------------------------------- */

GUEST(ports, 64, "mov $0x1122334455667788, %rax\n in $0x10, %al\n mov %rax, %rbx\n in %dx, %eax\n hlt\n");
GUEST(port_out, 64, "mov $0x55667788, %eax\n out %ax, %dx\n hlt\n");
GUEST(user_in, 64, "in %dx, %al\n int $0x80\n");
GUEST(user_in_long, 64, "in %dx, %eax\n int $0x80\n");

static void test_ports(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    rig.state.gpr[X86_RDX] = 0xcfc;
    SYS_CODE(&rig, SYS_KERNEL, ports);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0x1122334455667778);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x12345678);
    g_assert_cmphex(rig.port, ==, 0xcfc);
    g_assert_cmpuint(rig.port_size, ==, 4);
    sys_long(&rig);
    rig.state.gpr[X86_RDX] = 0x1f0;
    SYS_CODE(&rig, SYS_KERNEL, port_out);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.port_value, ==, 0x7788);
    g_assert_cmpuint(rig.port_size, ==, 2);
    sys_rig_clear(&rig);
}

/* The map has ports 0 to 55; 16 to 18 are allowed. */
static void test_port_permissions(void)
{
    static const struct {
        unsigned port, size, iopl;
        bool ok;
    } cases[] = {
        { 15, 1, 0, false }, { 16, 1, 0, true }, { 18, 1, 0, true }, { 19, 1, 0, false },
        { 16, 4, 0, false }, { 55, 1, 0, false }, { 56, 1, 0, false }, { 0xffff, 1, 0, false },
        { 0x80, 4, 3, true }, { 15, 1, 2, false },
    };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_rig_init(&rig, NULL);
        sys_user64(&rig);
        sys_put(&rig, SYS_TSS + 104 + 2, 0xf8, 1);
        rig.state.rflags |= cases[i].iopl << X86_IOPL_SHIFT;
        rig.state.gpr[X86_RDX] = cases[i].port;
        if (cases[i].size == 1) {
            SYS_CODE(&rig, SYS_USER, user_in);
        } else {
            SYS_CODE(&rig, SYS_USER, user_in_long);
        }
        SYS_RUN_VECTOR(&rig, cases[i].ok ? 0x80 : X86_EXC_GP);
        sys_rig_clear(&rig);
    }
    /* Four ports in a row. */
    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    sys_put(&rig, SYS_TSS + 104 + 2, 0xff0f, 2); /* 20 to 23 */
    rig.state.gpr[X86_RDX] = 20;
    SYS_CODE(&rig, SYS_USER, user_in_long);
    SYS_RUN_VECTOR(&rig, 0x80);
    sys_rig_clear(&rig);
}

/* ---- descriptors ----------------------------------------------------------------------------------------------- */

GUEST(lar_lsl, 64,
      "xor %eax, %eax\n lar %ecx, %eax\n setz %bl\n xor %edx, %edx\n lsl %ecx, %edx\n setz %bh\n"
      "verr %cx\n setz %sil\n verw %cx\n setz %dil\n hlt\n");

static void test_looks_at_descriptors(void)
{
    static const struct {
        uint16_t selector;
        int lar, verr, verw; /* 0 or 1 */
        uint32_t rights, limit;
    } cases[] = {
        { SYS_CS64, 1, 1, 0, 0xa09b00, 0xffffffff },
        { SYS_DS, 1, 1, 1, 0xc09300, 0xffffffff },
        { SYS_READ_ONLY, 1, 1, 0, 0xc09100, 0xffffffff },
        { SYS_SMALL, 1, 1, 1, 0x409300, 15 },
        { SYS_ABSENT, 1, 1, 1, 0xc01300, 0xffffffff },
        { SYS_TR, 1, 0, 0, 0x8b00, 0x6f },
        { 0, 0, 0, 0, 0, 0 },
        { SYS_GDT_END, 0, 0, 0, 0, 0 },
        { 4, 0, 0, 0, 0, 0 }, /* there is no LDT */
        { SYS_DS | 3, 0, 0, 0, 0, 0 },
    };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("selector 0x%x", cases[i].selector);
        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        rig.state.gpr[X86_RCX] = cases[i].selector;
        SYS_CODE(&rig, SYS_KERNEL, lar_lsl);
        SYS_RUN_VECTOR(&rig, -1);
        g_assert_cmphex(rig.state.gpr[X86_RAX], ==, cases[i].rights);
        g_assert_cmphex(rig.state.gpr[X86_RDX], ==, cases[i].limit);
        g_assert_cmphex(rig.state.gpr[X86_RBX], ==, cases[i].lar * 0x101);
        g_assert_cmphex(rig.state.gpr[X86_RSI], ==, cases[i].verr);
        g_assert_cmphex(rig.state.gpr[X86_RDI], ==, cases[i].verw);
        sys_rig_clear(&rig);
    }
}

GUEST(tables, 64, "sgdt 0x70000\n sidt 0x70010\n sldt %eax\n str %ebx\n smsw %rcx\n hlt\n");
GUEST(user_sgdt, 64, "sgdt 0x50000\n int $0x80\n");
GUEST(load_tr, 64, "mov $0x60, %eax\n ltr %ax\n str %ebx\n hlt\n");
GUEST(load_ldt, 64, "mov $0x90, %eax\n lldt %ax\n mov $0xc, %eax\n mov %eax, %fs\n hlt\n");

static void test_system_tables(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, tables);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(sys_get(&rig, 0x70000, 2), ==, SYS_GDT_END - 1);
    g_assert_cmphex(sys_get(&rig, 0x70002, 8), ==, SYS_GDT);
    g_assert_cmphex(sys_get(&rig, 0x70010, 2), ==, 0xfff);
    g_assert_cmphex(sys_get(&rig, 0x70012, 8), ==, SYS_IDT);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, SYS_TR);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, rig.state.cr0);
    /* UMIP */
    sys_user64(&rig);
    SYS_CODE(&rig, SYS_USER, user_sgdt);
    SYS_RUN_VECTOR(&rig, 0x80);
    sys_user64(&rig);
    rig.state.cr4 |= X86_CR4_UMIP;
    SYS_CODE(&rig, SYS_USER, user_sgdt);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    /* LTR makes the TSS busy, and does not take a busy one. */
    sys_long(&rig);
    sys_put(&rig, SYS_GDT + SYS_TR2 + 8, 0, 8);
    SYS_CODE(&rig, SYS_KERNEL, load_tr);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, SYS_TR2);
    g_assert_cmphex(rig.state.tr.base, ==, SYS_TSS2);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR2 + 5, 1), ==, 0x8b);
    sys_descriptor(&rig, SYS_TR2, SYS_TSS2, 0x67, 0x8b);
    rig.state.tr.selector = SYS_TR;
    SYS_CODE(&rig, SYS_KERNEL, load_tr);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_TR2);
    /* A segment of the LDT. */
    sys_long(&rig);
    sys_descriptor(&rig, SYS_FREE, SYS_LDT, 15, 0x82);
    sys_put(&rig, SYS_GDT + SYS_FREE + 8, 0, 8);
    sys_put(&rig, SYS_LDT + 8, 0x00409334567800ffull, 8);
    SYS_CODE(&rig, SYS_KERNEL, load_ldt);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.segment[X86_FS].base, ==, 0x345678);
    g_assert_cmphex(rig.state.segment[X86_FS].selector, ==, 0xc);
    sys_rig_clear(&rig);
}

/* ---- reset ----------------------------------------------------------------------------------------------------- */

static void test_reset(void)
{
    uint64_t value;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    g_assert_cmphex(rig.state.rip, ==, 0xfff0);
    g_assert_cmphex(rig.state.gpr[X86_RDX], ==, X86_CPUID_SIGNATURE);
    g_assert_cmphex(rig.state.cr0, ==, 0x60000010);
    g_assert_cmphex(rig.state.idt_limit, ==, 0xffff);
    g_assert_cmphex(rig.state.dr[6], ==, 0xffff0ff0);
    g_assert_cmphex(rig.state.pat, ==, 0x0007040600070406);
    /* INIT keeps caches' settings and MTRRs, but no mode. */
    sys_long(&rig);
    rig.state.lstar = 0x1234;
    x86_cpu_set_state(rig.cpu, &rig.state);
    g_assert_true(x86_wrmsr(rig.cpu, 0x2ff, 0xc06));
    x86_cpu_reset(rig.cpu, true);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmphex(rig.state.cr0, ==, 0x10);
    g_assert_cmphex(rig.state.efer, ==, 0);
    g_assert_cmphex(rig.state.lstar, ==, 0x1234);
    g_assert_true(x86_rdmsr(rig.cpu, 0x2ff, &value));
    g_assert_cmphex(value, ==, 0xc06);
    x86_cpu_sipi(rig.cpu, 0x9f);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmphex(rig.state.segment[X86_CS].base, ==, 0x9f000);
    g_assert_cmphex(rig.state.rip, ==, 0);
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-registers/models", test_models);
    g_test_add_func("/emu-registers/features", test_features);
    g_test_add_func("/emu-registers/features-exist", test_features_exist);
    g_test_add_func("/emu-registers/x2apic", test_x2apic);
    g_test_add_func("/emu-registers/topology", test_topology);
    g_test_add_func("/emu-registers/msrs", test_msrs);
    g_test_add_func("/emu-registers/tsc", test_tsc);
    g_test_add_func("/emu-registers/tsc-deadline", test_deadline_goes_with_the_offset);
    g_test_add_func("/emu-registers/efer", test_efer);
    g_test_add_func("/emu-registers/control", test_control_registers);
    g_test_add_func("/emu-registers/pcid", test_pcid);
    g_test_add_func("/emu-registers/pae", test_pae_registers);
    g_test_add_func("/emu-registers/tlb", test_tlb);
    g_test_add_func("/emu-registers/debug", test_debug_registers);
    g_test_add_func("/emu-registers/ports", test_ports);
    g_test_add_func("/emu-registers/port-permissions", test_port_permissions);
    g_test_add_func("/emu-registers/looks-at-descriptors", test_looks_at_descriptors);
    g_test_add_func("/emu-registers/system-tables", test_system_tables);
    g_test_add_func("/emu-registers/reset", test_reset);
    return g_test_run();
}
