/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM accelerator: what its files share.
 *
 * Runs in: mpqemu.
 *
 *   kvm.c         the accelerator: is it usable here, the virtual machine, its end
 *   kvm-memory.c  guest memory: slots follow the flat view of system memory
 *   kvm-eventfd.c writes to registers that only signal an eventfd
 *   kvm-irq.c     interrupts: routing, lines, irqfds, MSIs
 *   kvm-vcpu.c    running a vCPU, kicking it, what its exits ask for
 *   kvm-state.c   the state after power-on and INIT
 *   kvm-cpuid.c   what CPUID tells the guest
 *   kvm-clock.c   the guest's time while the machine stands
 *
 * Source: Linux Documentation/virt/kvm/api.rst.
 */
#ifndef ACCEL_KVM_KVM_INT_H
#define ACCEL_KVM_KVM_INT_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>

#include "accel/accel.h"

/* Pages that KVM wants for itself on some processors: behind the local APICs, right below the largest firmware. */
#define KVM_IDENTITY_MAP_ADDR 0xfeffc000u
#define KVM_TSS_ADDR 0xfeffd000u

typedef struct KvmVcpu KvmVcpu;

/* Vcpu.accel_data. */
struct KvmVcpu {
    Vcpu *vcpu;
    int fd;
    struct kvm_run *run;     /* shared with the kernel; immediate_exit is written by any thread */
    size_t run_size;
    pid_t thread;            /* that runs it; 0 before it does.  Atomic */
    struct KvmState *power_on; /* kvm-state.c */
};

/* The one virtual machine.  Descriptors are -1 until made. */
typedef struct KvmVm {
    int dev_fd; /* /dev/kvm */
    pid_t pid;  /* ours: a confined process does not learn it any more */
    int vm_fd;
    bool readonly_memory; /* KVM_CAP_READONLY_MEM */
    struct kvm_cpuid2 *cpuid; /* of every vCPU but for its number; owned */
} KvmVm;

extern KvmVm kvm_vm;

/* An ioctl that is repeated when interrupted.  -errno. */
int kvm_ioctl(int fd, unsigned long request, const void *arg);

/* Starts to follow system memory.  Machine lock held. */
bool kvm_memory_start(GError **errp);
void kvm_memory_stop(void);

/* Starts to follow the eventfds of system memory and of the ports.  Machine lock held. */
void kvm_eventfd_start(void);
void kvm_eventfd_stop(void); /* nothing when it was not started */

/*
 * Makes the interrupt controllers and the 8254, with the board's routing (hw/i386/pc.h); they are reset with the
 * machine.
 */
bool kvm_irq_init(GError **errp);
void kvm_set_gsi(unsigned gsi, int level);
bool kvm_irqfd_add(unsigned gsi, int trigger_fd, int resample_fd, GError **errp);
void kvm_irqfd_remove(unsigned gsi, int trigger_fd, int resample_fd);
void kvm_send_msi(uint64_t address, uint32_t data);

/* Follows the run state; between accel init and cleanup. */
void kvm_clock_start(void);
void kvm_clock_end(void);

/* The table for CPU_MODEL (NULL: the default); g_free() it.  NULL with *errp. */
struct kvm_cpuid2 *kvm_cpuid_model(int dev_fd, const char *cpu_model, GError **errp);
/* Gives VCPU its table: KVM_SET_CPUID2 with its APIC id in place. */
bool kvm_cpuid_set(const KvmVcpu *vcpu, GError **errp);

/* Keeps the state that the kernel gave a new vCPU, and brings that back. */
bool kvm_state_init(KvmVcpu *vcpu, GError **errp);
void kvm_state_free(KvmVcpu *vcpu);
bool kvm_state_reset(KvmVcpu *vcpu);
char *kvm_state_text(const KvmVcpu *vcpu);

/* Prints the models, for -cpu help. */
void kvm_cpu_print(void);

bool kvm_vcpu_init(Vcpu *vcpu, GError **errp);
void kvm_vcpu_free(Vcpu *vcpu);
void kvm_vcpu_reset(Vcpu *vcpu, bool by_init);
VcpuExit kvm_vcpu_run(Vcpu *vcpu);
void kvm_vcpu_kick(Vcpu *vcpu);
void kvm_vcpu_nmi(Vcpu *vcpu);
char *kvm_vcpu_text(Vcpu *vcpu);

/* What kicks a vCPU. */
#define KVM_KICK_SIGNAL SIGUSR1

extern const SyscallTable kvm_syscalls;

#endif
