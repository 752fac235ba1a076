/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adding to an eventfd that a hostile peer shares, without ever waiting.
 *
 * Runs in: qemu-remote.
 *
 * One io_uring serves all signals: the eventfd that is to be raised is registered with it unless it was the last one,
 * too.  So a process with one device makes one system call a signal, one with several up to three; and no ring has to
 * be made when an eventfd arrives.  The ring is bound at birth to what it is for.
 */
#include "io/eventfd-signal.h"

#include <errno.h>
#include <glib.h>
#include <liburing.h>

#include "util/uring-restrict.h"

struct EventfdSignal {
    int fd; /* not owned */
};

static struct {
    bool ready;
    int error; /* the ring could not be made: -errno, and it is not tried again, which might not be allowed any more */
    struct io_uring ring;
    const EventfdSignal *registered; /* whose eventfd the ring signals; NULL: none */
} shared;

const SyscallTable eventfd_signal_syscalls = {
    "interrupts", (const SyscallRule[]) {
        SYSCALL(io_uring_enter, "signals the guest's interrupt without waiting"),
        SYSCALL(io_uring_register, "which eventfd that is", ARG_IS(1, IORING_REGISTER_EVENTFD)),
        SYSCALL(io_uring_register, "it has gone", ARG_IS(1, IORING_UNREGISTER_EVENTFD)),
        SYSCALL_END,
    },
};

static int make_ring(struct io_uring *ring)
{
    static const uint8_t operations[] = { IORING_OP_NOP };
    static const uint8_t registers[] = { IORING_REGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD };
    int ret = io_uring_queue_init(1, ring, IORING_SETUP_R_DISABLED);

    if (ret < 0) {
        return ret;
    }
    ret = uring_restrict(ring, operations, G_N_ELEMENTS(operations), registers, G_N_ELEMENTS(registers));
    if (ret < 0) {
        io_uring_queue_exit(ring);
    }
    return ret;
}

int eventfd_signal_init(void)
{
    if (!shared.ready && shared.error == 0) {
        shared.error = make_ring(&shared.ring);
        shared.ready = shared.error == 0;
    }
    return shared.error;
}

/* The ring signals SIGNAL's eventfd from now on; NULL: none. */
static int set_registered(const EventfdSignal *signal)
{
    int ret = 0;

    if (shared.registered == signal) {
        return 0;
    }
    if (shared.registered) {
        io_uring_unregister_eventfd(&shared.ring);
        shared.registered = NULL;
    }
    if (signal) {
        ret = io_uring_register_eventfd(&shared.ring, signal->fd);
    }
    if (ret == 0) {
        shared.registered = signal;
    }
    return ret;
}

EventfdSignal *eventfd_signal_new(int fd)
{
    EventfdSignal *signal = g_new0(EventfdSignal, 1);
    int ret = eventfd_signal_init();

    signal->fd = fd;
    if (ret == 0) {
        ret = set_registered(signal); /* also proves that it is one */
    }
    if (ret < 0) {
        g_free(signal);
        errno = -ret;
        return NULL;
    }
    return signal;
}

void eventfd_signal_free(EventfdSignal *signal)
{
    if (signal && shared.registered == signal) {
        set_registered(NULL);
    }
    g_free(signal);
}

int eventfd_signal_raise(EventfdSignal *signal)
{
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe;
    int ret = set_registered(signal);

    if (ret < 0) {
        return ret;
    }
    sqe = io_uring_get_sqe(&shared.ring);
    if (sqe) {
        io_uring_prep_nop(sqe);
    } /* else an earlier submission failed and left its entry in the queue of one: that goes now */
    ret = io_uring_submit(&shared.ring);
    /* A no-operation completes inside the submission. */
    while (io_uring_peek_cqe(&shared.ring, &cqe) == 0) {
        io_uring_cqe_seen(&shared.ring, cqe);
    }
    return ret < 0 ? ret : 0;
}
