/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a vCPU after power-on: what the kernel made, kept and brought back at each reset.
 *
 * Runs in: mpqemu.
 *
 * The kernel's own idea of a vCPU after power-on is the one that fits its CPUID and its MSRs, so none of it is written
 * down here.  Which vCPU is the bootstrap processor is part of it (KVM_MP_STATE, APIC base).
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm-int.h"
#include "util/error.h"
#include "util/log.h"

/* Larger than any kernel's. */
#define NESTED_STATE_MAX 0x10000

typedef struct KvmState {
    unsigned present; /* bit i: parts[i] is known to the kernel; asked once, before the confinement */
    struct kvm_nested_state *nested; /* owned; NULL: this guest cannot be a host */
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    uint32_t xsave[sizeof(struct kvm_xsave) / 4];
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp_state;
    struct kvm_msrs *msrs; /* owned */
} KvmState;

/* One kind of state: how it is asked for, and given back.  In the order of giving back. */
typedef struct KvmPart {
    const char *name;
    unsigned long get;
    unsigned long set;
    size_t offset;
    int capability; /* 0: always there */
} KvmPart;

#define PART(get, set, field, capability) { #set, get, set, offsetof(KvmState, field), capability }

static const KvmPart parts[] = {
    PART(KVM_GET_SREGS, KVM_SET_SREGS, sregs, 0),
    PART(KVM_GET_REGS, KVM_SET_REGS, regs, 0),
    PART(KVM_GET_XCRS, KVM_SET_XCRS, xcrs, KVM_CAP_XCRS),
    PART(KVM_GET_FPU, KVM_SET_FPU, fpu, 0),
    PART(KVM_GET_XSAVE, KVM_SET_XSAVE, xsave, KVM_CAP_XSAVE), /* with what the other leaves out: AVX and later */
    PART(KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, debugregs, KVM_CAP_DEBUGREGS),
    PART(KVM_GET_LAPIC, KVM_SET_LAPIC, lapic, 0),
    PART(KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, events, 0),
    PART(KVM_GET_MP_STATE, KVM_SET_MP_STATE, mp_state, 0),
};

static bool kernel_has(const KvmPart *part)
{
    return part->capability == 0 ||
           kvm_ioctl(kvm_vm.vm_fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)part->capability) > 0;
}

/*
 * Time goes on through a reset, and what the kernel computes from it is not written back: the TSC, its deadline (the local
 * APIC's state has the timer), and the clocks that a guest has switched on, which are switched off by their own zero.
 */
static bool msr_is_reset(uint32_t index)
{
    return index != 0x10 /* TSC */ && index != 0x3b /* TSC_ADJUST */ && index != 0x6e0 /* TSC_DEADLINE */;
}

/* Ranges of MSRs that the kernel knows and does not list: the MTRRs (Intel SDM volume 4, table 2-2). */
static const struct {
    uint32_t first;
    unsigned count;
} unlisted[] = {
    { 0x200, 16 }, /* IA32_MTRR_PHYSBASE0 to PHYSMASK7 */
    { 0x250, 1 },  /* FIX64K_00000 */
    { 0x258, 2 },  /* FIX16K_80000, _A0000 */
    { 0x268, 8 },  /* FIX4K_C0000 to _F8000 */
    { 0x2ff, 1 },  /* IA32_MTRR_DEF_TYPE */
};

#define UNLISTED_MAX 28

/* KVM_GET_MSRS or KVM_SET_MSRS of one MSR; false when the kernel does not do it. */
static bool access_msr(int vcpu_fd, unsigned long request, struct kvm_msr_entry *entry)
{
    uint64_t buffer[(sizeof(struct kvm_msrs) + sizeof(*entry)) / 8] = { 0 };
    struct kvm_msrs *one = (struct kvm_msrs *)buffer;
    int done;

    one->nmsrs = 1;
    one->entries[0] = *entry;
    done = kvm_ioctl(vcpu_fd, request, one);
    *entry = one->entries[0];
    return done == 1;
}

/* Adds MSR INDEX when the kernel reads it. */
static void add_msr(int vcpu_fd, struct kvm_msrs *msrs, uint32_t index)
{
    struct kvm_msr_entry entry = { .index = index };

    if (access_msr(vcpu_fd, KVM_GET_MSRS, &entry)) {
        msrs->entries[msrs->nmsrs++] = entry;
    }
}

/* The values of all MSRs that the kernel reads.  One at a time: one that it does not read would end a list. */
static struct kvm_msrs *read_msrs(int vcpu_fd, GError **errp)
{
    struct kvm_msr_list count = { .nmsrs = 0 };
    g_autofree struct kvm_msr_list *list = NULL;
    struct kvm_msrs *msrs;
    int ret = kvm_ioctl(kvm_vm.dev_fd, KVM_GET_MSR_INDEX_LIST, &count);

    if (ret != -E2BIG || count.nmsrs > 4096) {
        error_setg(errp, "-accel kvm: the kernel does not list its MSRs");
        return NULL;
    }
    list = g_malloc0(sizeof(*list) + count.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = count.nmsrs;
    ret = kvm_ioctl(kvm_vm.dev_fd, KVM_GET_MSR_INDEX_LIST, list);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: the kernel does not list its MSRs");
        return NULL;
    }
    msrs = g_malloc0(sizeof(*msrs) + (list->nmsrs + UNLISTED_MAX) * sizeof(msrs->entries[0]));
    for (unsigned i = 0; i < list->nmsrs; i++) {
        if (msr_is_reset(list->indices[i])) {
            add_msr(vcpu_fd, msrs, list->indices[i]);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(unlisted); i++) {
        for (unsigned j = 0; j < unlisted[i].count; j++) {
            add_msr(vcpu_fd, msrs, unlisted[i].first + j);
        }
    }
    return msrs;
}

/* Of a guest that is no host itself; NULL when it cannot be one. */
static struct kvm_nested_state *read_nested(int vcpu_fd)
{
    int size = kvm_ioctl(kvm_vm.vm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NESTED_STATE);
    g_autofree struct kvm_nested_state *state = NULL;

    if (size < (int)sizeof(*state) || size > NESTED_STATE_MAX) {
        return NULL;
    }
    state = g_malloc0((size_t)size);
    state->size = (uint32_t)size;
    return kvm_ioctl(vcpu_fd, KVM_GET_NESTED_STATE, state) == 0 ? g_steal_pointer(&state) : NULL;
}

bool kvm_state_init(KvmVcpu *vcpu, GError **errp)
{
    KvmState *state = g_new0(KvmState, 1);

    vcpu->power_on = state;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        int ret;

        if (!kernel_has(&parts[i])) {
            continue;
        }
        state->present |= 1u << i;
        ret = kvm_ioctl(vcpu->fd, parts[i].get, (char *)state + parts[i].offset);
        if (ret < 0) {
            error_setg_errno(errp, -ret, "-accel kvm: the kernel does not tell the state of a vCPU (before %s)",
                             parts[i].name);
            return false;
        }
    }
    state->nested = read_nested(vcpu->fd);
    state->msrs = read_msrs(vcpu->fd, errp);
    return state->msrs != NULL;
}

void kvm_state_free(KvmVcpu *vcpu)
{
    if (vcpu->power_on) {
        g_free(vcpu->power_on->nested);
        g_free(vcpu->power_on->msrs);
        g_clear_pointer(&vcpu->power_on, g_free);
    }
}

/* MSRs that the kernel does not take back as it gave them are those that cannot be changed. */
static void write_msrs(int vcpu_fd, const struct kvm_msrs *msrs)
{
    for (unsigned i = 0; i < msrs->nmsrs; i++) {
        struct kvm_msr_entry entry = msrs->entries[i];

        access_msr(vcpu_fd, KVM_SET_MSRS, &entry);
    }
}

bool kvm_state_reset(KvmVcpu *vcpu)
{
    KvmState *state = vcpu->power_on;
    struct kvm_mp_state mp_state = { 0 };

    /* The kernel acts upon an INIT or start-up IPI that is on its way now, and not after the reset. */
    kvm_ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp_state);
    /* Out of a guest of the guest's first: what follows is about the guest itself. */
    if (state->nested) {
        kvm_ioctl(vcpu->fd, KVM_SET_NESTED_STATE, state->nested);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        int ret = 0;

        if (state->present & (1u << i)) {
            ret = kvm_ioctl(vcpu->fd, parts[i].set, (char *)state + parts[i].offset);
        }
        if (ret < 0) {
            log_error("KVM does not reset vCPU %u (%s): %s", vcpu->vcpu->index, parts[i].name, errno_text(-ret));
            return false;
        }
    }
    write_msrs(vcpu->fd, state->msrs);
    return true;
}

char *kvm_state_text(const KvmVcpu *vcpu)
{
    static const char *const names[] = { "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RSP", "RBP", "R8 ",
                                         "R9 ", "R10", "R11", "R12", "R13", "R14", "R15", "RIP", "RFL" };
    struct kvm_regs regs = { 0 };
    struct kvm_sregs sregs = { 0 };
    GString *text = g_string_new(NULL);
    int ret = kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs);

    if (ret == 0) {
        ret = kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
    }
    if (ret < 0) {
        g_string_printf(text, "KVM does not tell the registers: %s\n", errno_text(-ret));
        return g_string_free(text, FALSE);
    }
    G_STATIC_ASSERT(sizeof(regs) == G_N_ELEMENTS(names) * 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_string_append_printf(text, "%s=%016" G_GINT64_MODIFIER "x%c", names[i], (guint64)((uint64_t *)&regs)[i],
                               i % 4 == 3 ? '\n' : ' ');
    }
    g_string_append_printf(text, "\nCS=%04x SS=%04x DS=%04x ES=%04x FS=%04x GS=%04x\n", sregs.cs.selector,
                           sregs.ss.selector, sregs.ds.selector, sregs.es.selector, sregs.fs.selector,
                           sregs.gs.selector);
    g_string_append_printf(text, "CR0=%08" G_GINT64_MODIFIER "x CR2=%016" G_GINT64_MODIFIER "x CR3=%016"
                           G_GINT64_MODIFIER "x CR4=%08" G_GINT64_MODIFIER "x EFER=%08" G_GINT64_MODIFIER "x\n",
                           (guint64)sregs.cr0, (guint64)sregs.cr2, (guint64)sregs.cr3, (guint64)sregs.cr4,
                           (guint64)sregs.efer);
    return g_string_free(text, FALSE);
}
