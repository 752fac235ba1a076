/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventfds of registers: the kernel signals them, and the vCPU stays in the guest.
 *
 * Runs in: mpqemu.
 *
 * What the kernel does not take is not lost: the write ends KVM_RUN as others do, and the memory dispatch finds the
 * eventfd.
 */
#include <errno.h>

#include "accel/kvm/kvm-int.h"
#include "system/memory.h"
#include "util/error.h"
#include "util/log.h"

static int tell(const MemoryListener *listener, const MemoryEventfd *eventfd, unsigned flags)
{
    struct kvm_ioeventfd args = {
        .datamatch = eventfd->data,
        .addr = eventfd->addr,
        .len = eventfd->size,
        .fd = eventfd->fd,
        .flags = flags | (eventfd->match_data ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                 (listener->as == system_io() ? KVM_IOEVENTFD_FLAG_PIO : 0),
    };

    return kvm_ioctl(kvm_vm.vm_fd, KVM_IOEVENTFD, &args);
}

static void eventfd_add(MemoryListener *listener, const MemoryEventfd *eventfd)
{
    int ret = tell(listener, eventfd, 0);

    if (ret < 0) {
        log_warn("KVM does not take the eventfd of 0x%" G_GINT64_MODIFIER "x: %s; writes to it are slower",
                 eventfd->addr, errno_text(-ret));
    }
}

static void eventfd_del(MemoryListener *listener, const MemoryEventfd *eventfd)
{
    int ret = tell(listener, eventfd, KVM_IOEVENTFD_FLAG_DEASSIGN);

    /* ENOENT: it was not taken. */
    if (ret < 0 && ret != -ENOENT) {
        log_error("KVM keeps the eventfd of 0x%" G_GINT64_MODIFIER "x: %s", eventfd->addr, errno_text(-ret));
    }
}

static MemoryListener listeners[2] = {
    { .eventfd_add = eventfd_add, .eventfd_del = eventfd_del },
    { .eventfd_add = eventfd_add, .eventfd_del = eventfd_del },
};

void kvm_eventfd_start(void)
{
    memory_listener_register(&listeners[0], system_memory());
    memory_listener_register(&listeners[1], system_io());
}

void kvm_eventfd_stop(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(listeners); i++) {
        if (listeners[i].as) {
            memory_listener_unregister(&listeners[i]);
        }
    }
}
