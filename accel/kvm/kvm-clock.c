/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time of a KVM machine that stops and goes on.
 *
 * Thread: main thread with the machine lock held.  Runs in: mpqemu.
 *
 * The clock that KVM gives to guests (kvm-clock) is the machine's: it stands while the machine stands, as the devices'
 * clocks do.  The TSC and the timers of the kernel's local APICs and 8254 go on, as the processor's do in a real
 * machine whose firmware works for a while (SMM).  Who reads kvm-clock is told of the pause: its watchdog does not
 * bark.
 *
 * The clock is read behind the last instruction before the stop, and set before the first one after it: so it never
 * goes back.  Therefore a pause of our own lasts from one to the other.
 */
#include "accel/kvm/kvm-int.h"
#include "system/runstate.h"
#include "util/error.h"
#include "util/log.h"

static struct kvm_clock_data stopped_at;
static bool stopped; /* stopped_at is the clock's time, and vcpus_pause() is in force */

static void clock_stop(void)
{
    int ret;

    vcpus_pause();
    stopped = true;
    ret = kvm_ioctl(kvm_vm.vm_fd, KVM_GET_CLOCK, &stopped_at);
    if (ret < 0) {
        log_warn("KVM does not tell the guest's time, so it goes on: %s", errno_text(-ret));
        stopped_at.clock = 0;
    }
}

/* No vCPU is in KVM_RUN, so nothing here waits. */
static void clock_go_on(void)
{
    const struct kvm_clock_data now = { .clock = stopped_at.clock };

    if (now.clock) {
        kvm_ioctl(kvm_vm.vm_fd, KVM_SET_CLOCK, &now);
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        /* EINVAL: this guest does not use the clock. */
        kvm_ioctl(((KvmVcpu *)vcpu_get(i)->accel_data)->fd, KVM_KVMCLOCK_CTRL, NULL);
    }
    stopped = false;
    vcpus_resume();
}

static void clock_runstate(bool running, RunState state, void *opaque)
{
    if (!running && !stopped) {
        clock_stop();
    } else if (running && stopped) {
        clock_go_on();
    }
}

void kvm_clock_start(void)
{
    runstate_register(clock_runstate, NULL);
}

void kvm_clock_end(void)
{
    runstate_unregister(clock_runstate, NULL);
    stopped = false; /* the pause went with the vCPUs */
}
