/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring that was bound takes its operations and no other.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <glib.h>

#include "util/uring-restrict.h"

static const uint8_t operations[] = { IORING_OP_NOP, IORING_OP_READ };
static const uint8_t registers[] = { IORING_REGISTER_EVENTFD };

static void make_ring(struct io_uring *ring)
{
    g_assert_cmpint(io_uring_queue_init(4, ring, IORING_SETUP_R_DISABLED), ==, 0);
    g_assert_cmpint(uring_restrict(ring, operations, G_N_ELEMENTS(operations), registers, G_N_ELEMENTS(registers)),
                    ==, 0);
}

/* Result of the one entry that was prepared. */
static int run(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    int res;

    g_assert_cmpint(io_uring_submit_and_wait(ring, 1), >=, 0);
    g_assert_cmpint(io_uring_wait_cqe(ring, &cqe), ==, 0);
    res = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return res;
}

static void test_named_operations_are_done(void)
{
    struct io_uring ring;
    char byte;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    make_ring(&ring);
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    g_assert_cmpint(run(&ring), ==, 0);
    io_uring_prep_read(io_uring_get_sqe(&ring), fd, &byte, 1, 0);
    g_assert_cmpint(run(&ring), ==, 1);
    close(fd);
    io_uring_queue_exit(&ring);
}

static void test_other_operations_are_refused(void)
{
    struct io_uring ring;

    make_ring(&ring);
    io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/dev/null", O_RDONLY, 0);
    g_assert_cmpint(run(&ring), ==, -EACCES);
    io_uring_prep_connect(io_uring_get_sqe(&ring), 0, NULL, 0);
    g_assert_cmpint(run(&ring), ==, -EACCES);
    io_uring_prep_close(io_uring_get_sqe(&ring), 0);
    g_assert_cmpint(run(&ring), ==, -EACCES);
    /* Whatever comes after the operations that this header knows. */
    for (unsigned operation = IORING_OP_NOP; operation < 255; operation++) {
        struct io_uring_sqe *sqe;

        if (operation == IORING_OP_NOP || operation == IORING_OP_READ) {
            continue;
        }
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_nop(sqe);
        sqe->opcode = (uint8_t)operation;
        /* EINVAL: the kernel does not know it. */
        g_assert_cmpint(run(&ring), <, 0);
    }
    io_uring_queue_exit(&ring);
}

static void test_registrations_are_bound_too(void)
{
    struct io_uring ring;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    make_ring(&ring);
    g_assert_cmpint(io_uring_register_files(&ring, &fd, 1), ==, -EACCES);
    g_assert_cmpint(io_uring_register_eventfd(&ring, fd), !=, -EACCES);
    g_assert_cmpint(uring_restrict(&ring, operations, 1, NULL, 0), <, 0); /* once and for all */
    close(fd);
    io_uring_queue_exit(&ring);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uring-restrict/named-operations-are-done", test_named_operations_are_done);
    g_test_add_func("/uring-restrict/other-operations-are-refused", test_other_operations_are_refused);
    g_test_add_func("/uring-restrict/registrations-are-bound-too", test_registrations_are_bound_too);
    return g_test_run();
}
