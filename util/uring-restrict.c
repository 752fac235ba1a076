/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An io_uring that does what it was made for and nothing else.
 *
 * Runs in: both programs.
 */
#include "util/uring-restrict.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <glib.h>

/* By the system call: liburing 2.3 declares its functions for this, but its shared library has them not. */
static int ring_register(const struct io_uring *ring, unsigned what, const void *arg, unsigned count)
{
    return syscall(SYS_io_uring_register, ring->ring_fd, what, arg, count) < 0 ? -errno : 0;
}

int uring_restrict(struct io_uring *ring, const uint8_t *operations, unsigned num_operations, const uint8_t *registers,
                   unsigned num_registers)
{
    const unsigned count = num_operations + num_registers;
    g_autofree struct io_uring_restriction *restrictions = g_new0(struct io_uring_restriction, count);
    int ret;

    for (unsigned i = 0; i < num_operations; i++) {
        restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[i].sqe_op = operations[i];
    }
    for (unsigned i = 0; i < num_registers; i++) {
        restrictions[num_operations + i].opcode = IORING_RESTRICTION_REGISTER_OP;
        restrictions[num_operations + i].register_op = registers[i];
    }
    ret = ring_register(ring, IORING_REGISTER_RESTRICTIONS, restrictions, count);
    return ret < 0 ? ret : ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
