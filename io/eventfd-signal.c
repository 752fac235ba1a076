/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adding to an eventfd that a hostile peer shares, without ever waiting.
 *
 * Runs in: qemu-remote.
 */
#include "io/eventfd-signal.h"

#include <errno.h>
#include <glib.h>
#include <liburing.h>

struct EventfdSignal {
    struct io_uring ring;
};

EventfdSignal *eventfd_signal_new(int fd)
{
    EventfdSignal *signal = g_new0(EventfdSignal, 1);
    int ret = io_uring_queue_init(1, &signal->ring, 0);

    if (ret < 0) {
        g_free(signal);
        errno = -ret;
        return NULL;
    }
    ret = io_uring_register_eventfd(&signal->ring, fd);
    if (ret < 0) {
        eventfd_signal_free(signal);
        errno = -ret;
        return NULL;
    }
    return signal;
}

void eventfd_signal_free(EventfdSignal *signal)
{
    if (signal) {
        io_uring_queue_exit(&signal->ring);
        g_free(signal);
    }
}

int eventfd_signal_raise(EventfdSignal *signal)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&signal->ring);
    struct io_uring_cqe *cqe;
    int ret;

    if (sqe) {
        io_uring_prep_nop(sqe);
    } /* else an earlier submission failed and left its entry in the queue of one: that goes now */
    ret = io_uring_submit(&signal->ring);
    /* A no-operation completes inside the submission. */
    while (io_uring_peek_cqe(&signal->ring, &cqe) == 0) {
        io_uring_cqe_seen(&signal->ring, cqe);
    }
    return ret < 0 ? ret : 0;
}
