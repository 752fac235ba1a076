/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adding to an eventfd that a hostile peer shares, without ever waiting.
 *
 * Thread: one thread at a time.  Runs in: qemu-remote.
 *
 * write(2) on an eventfd waits while its counter is full, unless O_NONBLOCK is set; a peer with the same open file can
 * fill the counter and clear the flag between any check and the write.  The kernel's own signal of an eventfd never
 * waits: it stops at the counter's maximum.  So the eventfd is registered with an io_uring, and completing a
 * no-operation there is what adds 1 (io_uring_register(2), IORING_REGISTER_EVENTFD).
 */
#ifndef IO_EVENTFD_SIGNAL_H
#define IO_EVENTFD_SIGNAL_H

#include "util/syscalls.h"

typedef struct EventfdSignal EventfdSignal;

/*
 * Makes what all signals share, while the process may still make an io_uring.  Returns 0 or a negative errno.  Not
 * needed where it always may: the first signal does it, too.
 */
int eventfd_signal_init(void);

/* A signal for eventfd FD, which stays the caller's and open until _free().  NULL with errno set on failure. */
EventfdSignal *eventfd_signal_new(int fd);
void eventfd_signal_free(EventfdSignal *signal); /* accepts NULL */

/* Adds 1.  Never waits.  Returns 0 or a negative errno. */
int eventfd_signal_raise(EventfdSignal *signal);

extern const SyscallTable eventfd_signal_syscalls;

#endif
