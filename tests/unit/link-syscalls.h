/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link's system calls, counted and bent.
 * Runs in: tests (each thread has its own counts and wishes)
 *
 * Included once a program: it replaces libc's sendmsg(), recvmsg() and setsockopt() for all of it, so raw_send() and
 * the like are counted too, and tests look at differences.
 */
#ifndef TESTS_LINK_SYSCALLS_H
#define TESTS_LINK_SYSCALLS_H

#include <sys/syscall.h>
#include "link-peer.h"

static _Thread_local struct {
    unsigned sends, receives, options;
    int receive_flags;       /* of the last receive */
    size_t receive_at_most;  /* not 0: cuts every receive */
    unsigned interrupted;    /* so many receives fail with EINTR first */
    size_t send_at_most;     /* not 0: cuts the next send */
} sys;

ssize_t sendmsg(int sock, const struct msghdr *mh, int flags)
{
    struct msghdr copy = *mh;
    struct iovec iov = mh->msg_iov[0];

    sys.sends++;
    if (sys.send_at_most) {
        iov.iov_len = MIN(iov.iov_len, sys.send_at_most);
        copy.msg_iov = &iov;
        sys.send_at_most = 0;
    }
    return syscall(SYS_sendmsg, sock, &copy, flags);
}

ssize_t recvmsg(int sock, struct msghdr *mh, int flags)
{
    struct iovec *whole = mh->msg_iov;
    struct iovec iov = whole[0];
    ssize_t n;

    sys.receives++;
    sys.receive_flags = flags;
    if (sys.interrupted) {
        sys.interrupted--;
        errno = EINTR;
        return -1;
    }
    if (sys.receive_at_most) {
        iov.iov_len = MIN(iov.iov_len, sys.receive_at_most);
        mh->msg_iov = &iov;
    }
    n = syscall(SYS_recvmsg, sock, mh, flags);
    mh->msg_iov = whole;
    return n;
}

int setsockopt(int sock, int level, int name, const void *value, socklen_t len)
{
    sys.options++;
    return syscall(SYS_setsockopt, sock, level, name, value, len);
}

#endif
