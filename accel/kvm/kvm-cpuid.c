/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What CPUID tells the guest of a KVM machine.
 *
 * Runs in: mpqemu.
 *
 * "host" is all that this kernel supports on this processor.  "mpqemu64", the default, is that cut to what every x86-64
 * processor of the last decade has (the level x86-64-v2 of the psABI) plus what costs nothing to have everywhere, so
 * that a guest finds the same on the next host; the vendor stays the host's, since kernels choose their work-arounds
 * by it.
 *
 * Source: Intel SDM volume 2, CPUID; AMD64 APM volume 3, appendix E.
 */
#include <stdio.h>

#include "accel/kvm/kvm-int.h"
#include "util/error.h"

#define ENTRIES_MAX 256

enum { EAX, EBX, ECX, EDX };

#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_X2APIC (1u << 21)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_EDX_HTT (1u << 28)

/*
 * Bits that the default model keeps of REG of LEAF; leaves with no line here keep all, listed leaves lose other
 * registers' bits.
 */
static const struct {
    uint32_t leaf;
    unsigned reg;
    uint32_t keep;
} baseline[] = {
    /* SSE3 PCLMULQDQ SSSE3 CX16 PCID SSE4.1 SSE4.2 x2APIC MOVBE POPCNT TSC-deadline AES hypervisor */
    { 0x1, ECX, 1u << 0 | 1u << 1 | 1u << 9 | 1u << 13 | 1u << 17 | 1u << 19 | 1u << 20 | 1u << 21 | 1u << 22 |
      1u << 23 | 1u << 24 | 1u << 25 | 1u << 31 },
    /* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 HTT */
    { 0x1, EDX, 0x178bfbffu },
    /* FSGSBASE SMEP ERMS SMAP */
    { 0x7, EBX, 1u << 0 | 1u << 7 | 1u << 9 | 1u << 20 },
    { 0x7, ECX, 0 },
    { 0x7, EDX, 0 },
    { 0xa, EAX, 0 },
    { 0xa, EBX, 0 },
    { 0xa, EDX, 0 },
    { 0xd, EAX, 0 },
    { 0xd, EBX, 0 },
    { 0xd, ECX, 0 },
    { 0xd, EDX, 0 },
    /* LAHF CMP_LEGACY */
    { 0x80000001, ECX, 1u << 0 | 1u << 1 },
    /* SYSCALL NX 1 GiB pages, RDTSCP, long mode, and the copies of leaf 1 that AMD has */
    { 0x80000001, EDX, 0x0183fbffu | 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29 },
    { 0x8000000a, EAX, 0 },
    { 0x8000000a, EBX, 0 },
    { 0x8000000a, EDX, 0 },
};

static uint32_t *entry_reg(struct kvm_cpuid_entry2 *entry, unsigned reg)
{
    uint32_t *const regs[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

    return regs[reg];
}

static void cut_to_baseline(struct kvm_cpuid2 *cpuid)
{
    for (unsigned i = 0; i < cpuid->nent; i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(baseline); j++) {
            if (baseline[j].leaf == cpuid->entries[i].function) {
                *entry_reg(&cpuid->entries[i], baseline[j].reg) &= baseline[j].keep;
            }
        }
    }
}

/* What the kernel supports, but leaves to us to say. */
static void add_local_apic(struct kvm_cpuid2 *cpuid, int dev_fd)
{
    bool deadline = kvm_ioctl(dev_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_TSC_DEADLINE_TIMER) > 0;

    for (unsigned i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function == 1) {
            cpuid->entries[i].ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_HYPERVISOR | (deadline ? LEAF1_ECX_TSC_DEADLINE : 0);
        }
    }
}

static struct kvm_cpuid_entry2 *find_entry(struct kvm_cpuid2 *cpuid, uint32_t leaf, uint32_t index)
{
    for (unsigned i = 0; i < cpuid->nent; i++) {
        if (cpuid->entries[i].function == leaf && cpuid->entries[i].index == index) {
            return &cpuid->entries[i];
        }
    }
    return NULL;
}

/* Leaves of the topology have two levels, threads and cores (set_topology()); the kernel may tell of the first only. */
static void add_core_level(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
    struct kvm_cpuid_entry2 *threads = find_entry(cpuid, leaf, 0);

    if (threads && !find_entry(cpuid, leaf, 1) && cpuid->nent < ENTRIES_MAX) {
        threads->flags |= KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2) {
            .function = leaf,
            .index = 1,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        };
    }
}

void kvm_cpu_print(void)
{
    printf("Models of -accel kvm:\n"
           "  mpqemu64   what all x86-64 processors of the last decade have (default)\n"
           "  host       everything that this host's processor and kernel have\n");
}

struct kvm_cpuid2 *kvm_cpuid_model(int dev_fd, const char *cpu_model, GError **errp)
{
    g_autofree struct kvm_cpuid2 *cpuid = g_malloc0(sizeof(*cpuid) + ENTRIES_MAX * sizeof(cpuid->entries[0]));
    bool host = g_strcmp0(cpu_model, "host") == 0;
    int ret;

    if (cpu_model && !host && !g_str_equal(cpu_model, "mpqemu64")) {
        error_setg(errp, "-cpu %s: -accel kvm has no such model; -cpu help lists them", cpu_model);
        return NULL;
    }
    cpuid->nent = ENTRIES_MAX;
    ret = kvm_ioctl(dev_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: the kernel does not tell what the processor can do");
        return NULL;
    }
    add_local_apic(cpuid, dev_fd);
    add_core_level(cpuid, 0xb);
    add_core_level(cpuid, 0x1f);
    if (!host) {
        cut_to_baseline(cpuid);
    }
    return g_steal_pointer(&cpuid);
}

/* The first levels of caches are a core's, the last one is the package's. */
static void set_topology(struct kvm_cpuid_entry2 *entry, uint32_t apic_id, const VcpuTopology *t)
{
    unsigned of_package = t->cores * t->threads, thread_bits = vcpu_topology_bits(t->threads);
    unsigned package_bits = thread_bits + vcpu_topology_bits(t->cores);

    switch (entry->function) {
    case 0x1:
        entry->ebx = (entry->ebx & 0x0000ffffu) | apic_id << 24 | 1u << package_bits << 16;
        entry->edx = of_package > 1 ? entry->edx | LEAF1_EDX_HTT : entry->edx & ~LEAF1_EDX_HTT;
        break;
    case 0x4:
        if (entry->eax & 0x1f) {
            bool shared = (entry->eax >> 5 & 7) >= 3; /* the last level */

            entry->eax = (entry->eax & 0x3fffu) | ((1u << (package_bits - thread_bits)) - 1) << 26 |
                         ((1u << (shared ? package_bits : thread_bits)) - 1) << 14;
        }
        break;
    case 0xb:
    case 0x1f:
        entry->eax = entry->index == 0 ? thread_bits : entry->index == 1 ? package_bits : 0;
        entry->ebx = entry->index == 0 ? t->threads : entry->index == 1 ? of_package : 0;
        entry->ecx = entry->index | (entry->index == 0 ? 1u << 8 : entry->index == 1 ? 2u << 8 : 0);
        entry->edx = apic_id;
        break;
    case 0x80000008:
        entry->ecx = package_bits << 12 | (of_package - 1);
        break;
    case 0x8000001e:
        entry->eax = apic_id;
        entry->ebx = apic_id >> thread_bits | (t->threads - 1) << 8;
        entry->ecx = 0;
        break;
    default:
        break;
    }
}

bool kvm_cpuid_set(const KvmVcpu *vcpu, GError **errp)
{
    size_t size = sizeof(*kvm_vm.cpuid) + kvm_vm.cpuid->nent * sizeof(kvm_vm.cpuid->entries[0]);
    g_autofree struct kvm_cpuid2 *cpuid = g_memdup2(kvm_vm.cpuid, size);
    int ret;

    for (unsigned i = 0; i < cpuid->nent; i++) {
        set_topology(&cpuid->entries[i], vcpu->vcpu->apic_id, &vcpu->vcpu->topology);
    }
    ret = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: the kernel does not take the CPUID table of vCPU %u",
                         vcpu->vcpu->index);
        return false;
    }
    return true;
}
