/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An io_uring that does what it was made for and nothing else.
 *
 * Thread: the ring's.  Runs in: both programs.
 *
 * Through an io_uring a process may open files and make sockets past a system call filter.  A ring that was bound at
 * birth takes only the operations named here, for ever (io_uring_register(2), IORING_REGISTER_RESTRICTIONS, Linux
 * 5.10).
 */
#ifndef UTIL_URING_RESTRICT_H
#define UTIL_URING_RESTRICT_H

#include <stdint.h>
#include <liburing.h>

/*
 * Binds RING, which was made with IORING_SETUP_R_DISABLED, to OPERATIONS (IORING_OP_*) and REGISTERS
 * (IORING_REGISTER_*, IORING_UNREGISTER_*), and lets it work.  Returns 0 or a negative errno; then the ring is of no
 * use.
 */
int uring_restrict(struct io_uring *ring, const uint8_t *operations, unsigned num_operations, const uint8_t *registers,
                   unsigned num_registers);

#endif
