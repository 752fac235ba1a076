/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU of KVM: KVM_RUN, what it comes back for, and how it is made to come back.
 *
 * Runs in: mpqemu.
 *
 * Kick.  `immediate_exit` makes the next KVM_RUN return, a signal makes a running one return.  The flag is set first: a
 * signal that comes before KVM_RUN is entered is then not lost.  Whoever sees EINTR clears the flag, so a kick
 * between two calls of kvm_vcpu_run() ends the second one.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-int.h"
#include "system/memory.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

/* Accesses of one instruction: KVM splits what it moves, 64 bytes at most, into pieces of 8 bytes, on two pages. */
#define MMIO_PIECES_MAX 16

/* Of the local APIC's LVT entry for LINT1 (Intel SDM volume 3, section 11.5.1). */
#define APIC_LINT1 0x360
#define LVT_MODE(entry) ((entry) >> 8 & 7)
#define LVT_MODE_NMI 4u
#define LVT_MASKED (1u << 16)

static void kick_signal(int number)
{
}

/* The first time on its own thread: from now on the kick signal interrupts it. */
static void start(KvmVcpu *self)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, KVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    __atomic_store_n(&self->thread, gettid(), __ATOMIC_SEQ_CST);
}

bool kvm_vcpu_init(Vcpu *vcpu, GError **errp)
{
    struct sigaction action = { .sa_handler = kick_signal };
    KvmVcpu *self = g_new0(KvmVcpu, 1);
    int ret;

    self->vcpu = vcpu;
    self->fd = -1;
    vcpu->accel_data = self;
    sigaction(KVM_KICK_SIGNAL, &action, NULL);
    ret = kvm_ioctl(kvm_vm.vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)vcpu->index);
    if (ret >= 0) {
        self->fd = ret;
        ret = kvm_ioctl(kvm_vm.dev_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    }
    if (ret >= 0) {
        void *run = mmap(NULL, (size_t)ret, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

        if (run != MAP_FAILED) {
            self->run = run;
            self->run_size = (size_t)ret;
        } else {
            ret = -errno;
        }
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: cannot make vCPU %u", vcpu->index);
        return false;
    }
    return kvm_cpuid_set(self, errp) && kvm_state_init(self, errp);
}

void kvm_vcpu_free(Vcpu *vcpu)
{
    KvmVcpu *self = vcpu->accel_data;

    if (!self) {
        return;
    }
    kvm_state_free(self);
    if (self->run) {
        munmap(self->run, self->run_size);
    }
    fd_close(&self->fd);
    g_free(self);
    vcpu->accel_data = NULL;
}

/*
 * The kernel ends the instruction that came to us for a device before its state is replaced.  One that is not at its
 * end then asks for its next access, to which nobody listens any more; it has MMIO_PIECES_MAX at most.
 */
static void end_instruction(KvmVcpu *self)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < MMIO_PIECES_MAX; i++) {
        __atomic_store_n(&self->run->immediate_exit, 1, __ATOMIC_RELAXED);
        ret = ioctl(self->fd, KVM_RUN, NULL);
    }
    __atomic_store_n(&self->run->immediate_exit, 0, __ATOMIC_RELAXED);
}

void kvm_vcpu_reset(Vcpu *vcpu, bool by_init)
{
    KvmVcpu *self = vcpu->accel_data;

    end_instruction(self);
    kvm_state_reset(self);
}

void kvm_vcpu_kick(Vcpu *vcpu)
{
    KvmVcpu *self = vcpu->accel_data;
    pid_t thread;

    __atomic_store_n(&self->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    thread = __atomic_load_n(&self->thread, __ATOMIC_SEQ_CST);
    if (thread && vcpu != vcpu_current()) {
        /* Not pthread_kill(): that asks for the process's number, which a confined process does not get. */
        tgkill(kvm_vm.pid, thread, KVM_KICK_SIGNAL);
    }
}

char *kvm_vcpu_text(Vcpu *vcpu)
{
    return kvm_state_text(vcpu->accel_data);
}

/*
 * An edge at LINT1, where a PC has its NMI: the kernel's local APIC has no such input, so its entry is looked at here,
 * as the documentation of KVM_NMI tells.
 */
static void nmi_edge(Vcpu *vcpu, void *opaque)
{
    KvmVcpu *self = vcpu->accel_data;
    struct kvm_lapic_state apic = { 0 };
    uint32_t entry;

    if (kvm_ioctl(self->fd, KVM_GET_LAPIC, &apic) < 0) {
        return;
    }
    memcpy(&entry, apic.regs + APIC_LINT1, sizeof(entry));
    if (!(entry & LVT_MASKED) && LVT_MODE(entry) == LVT_MODE_NMI) {
        kvm_ioctl(self->fd, KVM_NMI, NULL);
    }
}

/* A vCPU's ioctls wait for its KVM_RUN, which may last for ever. */
void kvm_vcpu_nmi(Vcpu *vcpu)
{
    vcpu_run_on(vcpu, nmi_edge, NULL);
}

/* ---- exits --------------------------------------------------------------------------------------- */

static void run_io(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_IN) {
            address_space_read(system_io(), run->io.port, &value, run->io.size);
            memcpy(data, &value, run->io.size);
        } else {
            memcpy(&value, data, run->io.size);
            address_space_write(system_io(), run->io.port, value, run->io.size);
        }
    }
}

static void run_mmio(struct kvm_run *run)
{
    unsigned len = MIN(run->mmio.len, sizeof(run->mmio.data));

    if (run->mmio.is_write) {
        address_space_copy_to(system_memory(), run->mmio.phys_addr, run->mmio.data, len, false);
    } else {
        address_space_copy_from(system_memory(), run->mmio.phys_addr, run->mmio.data, len, false);
    }
}

static VcpuExit run_failed(const KvmVcpu *self, int error)
{
    const struct kvm_run *run = self->run;
    g_autofree char *registers = kvm_state_text(self);

    if (error) {
        log_error("KVM does not run vCPU %u: %s", self->vcpu->index, errno_text(error));
    } else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
        log_error("the processor does not enter the guest on vCPU %u: reason 0x%" G_GINT64_MODIFIER "x",
                  self->vcpu->index, (guint64)run->fail_entry.hardware_entry_failure_reason);
    } else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        log_error("KVM gave up on vCPU %u: internal error %u%s", self->vcpu->index, run->internal.suberror,
                  run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? " (an instruction it cannot emulate)" : "");
    } else {
        log_error("KVM left vCPU %u for an unknown reason, %u", self->vcpu->index, run->exit_reason);
    }
    log_info("registers of vCPU %u:\n%s", self->vcpu->index, registers);
    return VCPU_ERROR;
}

VcpuExit kvm_vcpu_run(Vcpu *vcpu)
{
    KvmVcpu *self = vcpu->accel_data;
    struct kvm_run *run = self->run;

    if (!self->thread) {
        start(self);
    }
    for (;;) {
        if (ioctl(self->fd, KVM_RUN, NULL) < 0) {
            if (errno == EINTR || errno == EAGAIN) {
                __atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
                return VCPU_KICKED;
            }
            return run_failed(self, errno);
        }
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            vcpu_device_begin(vcpu);
            run_io(run);
            vcpu_device_end(vcpu);
            break;
        case KVM_EXIT_MMIO:
            vcpu_device_begin(vcpu);
            run_mmio(run);
            vcpu_device_end(vcpu);
            break;
        case KVM_EXIT_INTR:
            return VCPU_KICKED;
        case KVM_EXIT_HLT:
            return VCPU_HALTED;
        case KVM_EXIT_SHUTDOWN:
        case KVM_EXIT_SYSTEM_EVENT:
            return VCPU_SHUTDOWN;
        default:
            return run_failed(self, 0);
        }
    }
}
