/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O hub: an interrupt line's level carried by an interrupt and a resample eventfd.
 *
 * Runs in: qemu-remote.
 *
 * The eventfds come from the peer, which may at any time read, fill or empty them and change their O_NONBLOCK flag.
 * So no system call here may wait for their state whatever that flag says, and we do not set it either: a peer may
 * rely on a blocking read of its own eventfd.
 */
#include "hw/remote/iohub.h"

#include <errno.h>
#include <unistd.h>
#include <sys/uio.h>

#include "trace/hw-remote.h"
#include "util/fd.h"
#include "util/log.h"

const SyscallTable iohub_syscalls = {
    "interrupts", (const SyscallRule[]) {
        SYSCALL(preadv2, "takes the end of an interrupt, never waiting"),
        SYSCALL_END,
    },
};

/*
 * Resample events in a row that are there as soon as the line has been raised.  Ending an interrupt
 * takes a guest longer than two system calls; a pair that is one and the same eventfd does not, and
 * would keep this process turning for ever.
 */
#define ECHOES_MAX 64u

void iohub_init(IoHub *hub)
{
    *hub = (IoHub) { .irqfd = -1, .resamplefd = -1 };
}

static void iohub_drop_fds(IoHub *hub)
{
    event_source_remove(hub->resample);
    hub->resample = NULL;
    eventfd_signal_free(hub->irq);
    hub->irq = NULL;
    fd_close(&hub->irqfd);
    fd_close(&hub->resamplefd);
}

void iohub_reset(IoHub *hub)
{
    iohub_drop_fds(hub);
    hub->asserted = 0;
}

/* One edge for the other side.  Does nothing while nobody has given an eventfd: the level is kept. */
static void iohub_raise(IoHub *hub)
{
    if (!hub->irq) {
        return;
    }
    if (eventfd_signal_raise(hub->irq) < 0) {
        hub->dropped++;
        return;
    }
    hub->raised++;
}

void iohub_set_level(IoHub *hub, unsigned source, bool level)
{
    uint64_t bit, before = hub->asserted;

    g_return_if_fail(source < IOHUB_SOURCES);
    bit = UINT64_C(1) << source;
    hub->asserted = level ? before | bit : before & ~bit;
    if (hub->asserted == before) {
        return;
    }
    trace_iohub_level(hub, source, level, hub->asserted);
    if (before == 0) {
        iohub_raise(hub);
    }
}

/* RWF_NOWAIT: the peer may have emptied the counter since epoll saw it. */
static bool iohub_take_resample(IoHub *hub, int fd)
{
    uint64_t count;
    struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

    if (preadv2(fd, &iov, 1, -1, RWF_NOWAIT) != (ssize_t)sizeof(count)) {
        return false;
    }
    hub->resampled++;
    trace_iohub_resample(hub, hub->asserted);
    return true;
}

/* The guest has ended the interrupt: a device that still wants service must be seen again. */
static void iohub_resample(int fd, unsigned ready, void *opaque)
{
    IoHub *hub = opaque;
    unsigned echoes = 0;

    while (iohub_take_resample(hub, fd) && hub->asserted != 0) {
        if (echoes++ == ECHOES_MAX) {
            log_guest_error("SET_IRQFD: the two eventfds are one; its interrupts are off");
            iohub_drop_fds(hub);
            return;
        }
        iohub_raise(hub);
    }
}

int iohub_set_fds_take_fd(IoHub *hub, int irqfd, int resamplefd)
{
    iohub_drop_fds(hub);
    hub->irqfd = irqfd;
    hub->resamplefd = resamplefd;
    hub->irq = eventfd_signal_new(irqfd);
    if (hub->irq) {
        hub->resample = event_loop_add_fd(event_loop_main(), resamplefd, EVENT_READ, iohub_resample, hub);
    }
    if (!hub->resample) {
        int err = errno;

        iohub_drop_fds(hub);
        return -err;
    }
    trace_iohub_set_fds(hub, irqfd, resamplefd, hub->asserted);
    if (hub->asserted != 0) {
        iohub_raise(hub);
    }
    return 0;
}
