/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes and descriptors over an AF_UNIX socket: SCM_RIGHTS in one place.
 * Runs in: both
 */
#include "fd-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <glib.h>
#include "util/fd.h"

/* Room for exactly FD_SOCKET_MAX: the kernel closes what is more and says so with MSG_CTRUNC. */
typedef union Control {
    char bytes[CMSG_SPACE(FD_SOCKET_MAX * sizeof(int))];
    struct cmsghdr align;
} Control;

void fd_set_drop(FdSet *set)
{
    for (unsigned i = 0; i < set->num; i++) {
        fd_close(&set->fds[i]);
    }
    set->num = 0;
}

ssize_t fd_socket_send(int sock, const void *buf, size_t len, const int *fds, unsigned num_fds, int flags)
{
    Control control;
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (num_fds) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, num_fds * sizeof(int));
    }
    do {
        n = sendmsg(sock, &mh, flags | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* A launcher may have switched on other control messages (credentials); they are not ours to look at. */
static void collect_fds(struct msghdr *mh, FdSet *set)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        size_t len;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        len = MIN(c->cmsg_len - CMSG_LEN(0), (FD_SOCKET_MAX - set->num) * sizeof(int));
        memcpy(set->fds + set->num, CMSG_DATA(c), len);
        set->num += len / sizeof(int);
    }
}

ssize_t fd_socket_receive(int sock, void *buf, size_t len, FdSet *ret_set, int flags)
{
    Control control;
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct msghdr mh = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(sock, &mh, flags | MSG_CMSG_CLOEXEC);

    ret_set->num = 0;
    ret_set->truncated = false;
    if (n < 0) {
        return -errno;
    }
    ret_set->truncated = mh.msg_flags & MSG_CTRUNC;
    if (mh.msg_controllen) {
        collect_fds(&mh, ret_set);
    }
    return n;
}

bool fd_socket_is_connected(int sock)
{
    char byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = sizeof(byte) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    /* unix(7): EINVAL without a peer.  Data, the end of it, or EAGAIN with one. */
    return recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno == EAGAIN || errno == ECONNRESET;
}
