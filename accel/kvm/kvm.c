/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM accelerator: whether it is usable here, and the virtual machine.
 *
 * Runs in: mpqemu.
 *
 * "Usable" is more than "/dev/kvm opens".  Some hosts offer a KVM that interprets or single-steps the guest without
 * hardware virtualization; it runs firmware, and no operating system gets through its start.  The processor tells:
 * without VMX and SVM the accelerator is passed over when there is another candidate, and used with a warning when the
 * user named it alone.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "accel/kvm.h"
#include "accel/kvm/kvm-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

#define KVM_DEVICE "/dev/kvm"

KvmVm kvm_vm = { .dev_fd = -1, .vm_fd = -1 };

/* What the kernel must be able to do; all of it is in every kernel since 4.12. */
static const struct {
    int number;
    const char *name;
} needed[] = {
    { KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
    { KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
    { KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
    { KVM_CAP_PIT2, "KVM_CAP_PIT2" },
    { KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
    { KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE" },
    { KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI" },
    { KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE" },
    { KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS" },
    { KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
    { KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR" },
    { KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
    { KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

int kvm_ioctl(int fd, unsigned long request, const void *arg)
{
    int ret;

    do {
        ret = ioctl(fd, request, arg);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 ? -errno : ret;
}

/* Whether the processor has what KVM is made for. */
static bool hardware_virtualizes(void)
{
    unsigned a, b, c, d;

    return (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 5 /* VMX */)) ||
           (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1u << 2 /* SVM */));
}

static bool check_capabilities(int fd, GError **errp)
{
    int version = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);

    if (version < 0) {
        error_setg_errno(errp, -version, "%s is something else than KVM", KVM_DEVICE);
        return false;
    }
    if (version != KVM_API_VERSION) {
        error_setg(errp, "%s speaks version %d of its interface, not %d", KVM_DEVICE, version, KVM_API_VERSION);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (kvm_ioctl(fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)needed[i].number) <= 0) {
            error_setg(errp, "this kernel's KVM lacks %s; use a newer kernel, or -accel emu", needed[i].name);
            return false;
        }
    }
    return true;
}

static bool kvm_open(bool alone, GError **errp)
{
    auto_fd fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot open " KVM_DEVICE "%s",
                         errno == EACCES ? " (become a member of its group, kvm on most systems, or use -accel emu)"
                         : errno == ENOENT ? " (load kvm_intel or kvm_amd, or use -accel emu)"
                                           : "");
        return false;
    }
    if (!check_capabilities(fd, errp)) {
        return false;
    }
    if (!hardware_virtualizes()) {
        if (!alone) {
            error_setg(errp, "%s is there, but this processor has neither VMX nor SVM: such a KVM runs no operating "
                       "system", KVM_DEVICE);
            return false;
        }
        log_warn("-accel kvm: this processor has neither VMX nor SVM; the guest may not get through its "
                 "start; use -accel kvm:emu or -accel emu");
    }
    kvm_vm.dev_fd = fd_steal(&fd);
    kvm_vm.pid = getpid();
    return true;
}

static bool kvm_init(const char *cpu_model, GError **errp)
{
    uint64_t identity_map = KVM_IDENTITY_MAP_ADDR;
    int ret;

    kvm_vm.cpuid = kvm_cpuid_model(kvm_vm.dev_fd, cpu_model, errp);
    if (!kvm_vm.cpuid) {
        return false;
    }
    ret = kvm_ioctl(kvm_vm.dev_fd, KVM_CREATE_VM, NULL);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: cannot make a virtual machine");
        return false;
    }
    kvm_vm.vm_fd = ret;
    fcntl(kvm_vm.vm_fd, F_SETFD, FD_CLOEXEC);
    kvm_vm.readonly_memory = kvm_ioctl(kvm_vm.vm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_READONLY_MEM) > 0;
    ret = kvm_ioctl(kvm_vm.vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    if (ret == 0) {
        ret = kvm_ioctl(kvm_vm.vm_fd, KVM_SET_TSS_ADDR, (void *)(uintptr_t)KVM_TSS_ADDR);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: the kernel refuses the places of its own pages");
        return false;
    }
    kvm_clock_start();
    if (!kvm_irq_init(errp) || !kvm_memory_start(errp)) {
        return false;
    }
    kvm_eventfd_start();
    return true;
}

static void kvm_cleanup(void)
{
    kvm_eventfd_stop();
    kvm_memory_stop();
    kvm_clock_end();
    fd_close(&kvm_vm.vm_fd);
    fd_close(&kvm_vm.dev_fd);
    g_clear_pointer(&kvm_vm.cpuid, g_free);
}

const Accel accel_kvm = {
    .name = "kvm",
    .description = "hardware virtualization by the host's KVM",
    .kernel_irqchip = true,
    .open = kvm_open,
    .init = kvm_init,
    .cleanup = kvm_cleanup,
    .cpu_print = kvm_cpu_print,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_free = kvm_vcpu_free,
    .vcpu_reset = kvm_vcpu_reset,
    .vcpu_run = kvm_vcpu_run,
    .vcpu_kick = kvm_vcpu_kick,
    .vcpu_nmi = kvm_vcpu_nmi,
    .vcpu_text = kvm_vcpu_text,
    .set_gsi = kvm_set_gsi,
    .irqfd_add = kvm_irqfd_add,
    .irqfd_remove = kvm_irqfd_remove,
    .send_msi = kvm_send_msi,
    .syscalls = &kvm_syscalls,
};

/* What a running machine asks of KVM; the machine itself was made before the confinement. */
const SyscallTable kvm_syscalls = {
    .module = "kvm",
    .rules = (const SyscallRule[]) {
        SYSCALL(ioctl, "runs a vCPU", ARG_IS(1, KVM_RUN)),
        SYSCALL(ioctl, "guest memory", ARG_IS(1, KVM_SET_USER_MEMORY_REGION)),
        SYSCALL(ioctl, "which memory was written", ARG_IS(1, KVM_GET_DIRTY_LOG)),
        SYSCALL(ioctl, "eventfds of devices' registers", ARG_IS(1, KVM_IOEVENTFD)),
        SYSCALL(ioctl, "interrupt lines", ARG_IS(1, KVM_IRQ_LINE)),
        SYSCALL(ioctl, "interrupt eventfds of devices", ARG_IS(1, KVM_IRQFD)),
        SYSCALL(ioctl, "MSIs", ARG_IS(1, KVM_SIGNAL_MSI)),
        SYSCALL(ioctl, "NMI from a monitor", ARG_IS(1, KVM_GET_LAPIC)),
        SYSCALL(ioctl, "NMI from a monitor", ARG_IS(1, KVM_NMI)),
        SYSCALL(ioctl, "the guest's clock at a stop", ARG_IS(1, KVM_GET_CLOCK)),
        SYSCALL(ioctl, "the guest's clock when it goes on", ARG_IS(1, KVM_SET_CLOCK)),
        SYSCALL(ioctl, "tells the guest that it was stopped", ARG_IS(1, KVM_KVMCLOCK_CTRL)),
        SYSCALL(ioctl, "registers, for a monitor", ARG_IS(1, KVM_GET_REGS)),
        SYSCALL(ioctl, "registers, for a monitor", ARG_IS(1, KVM_GET_SREGS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_GET_MP_STATE)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_NESTED_STATE)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_REGS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_SREGS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_FPU)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_XSAVE)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_XCRS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_DEBUGREGS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_VCPU_EVENTS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_MSRS)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_LAPIC)),
        SYSCALL(ioctl, "reset of a vCPU", ARG_IS(1, KVM_SET_MP_STATE)),
        SYSCALL(ioctl, "reset of the interrupt controllers", ARG_IS(1, KVM_SET_IRQCHIP)),
        SYSCALL(ioctl, "reset of the 8254", ARG_IS(1, KVM_SET_PIT2)),
        SYSCALL(tgkill, "takes a vCPU out of the guest", ARG_IS(2, KVM_KICK_SIGNAL)),
        SYSCALL_END,
    },
};
