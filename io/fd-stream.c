/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes on a descriptor of any kind, without waiting.
 *
 * Runs in: both programs.
 */
#include "fd-stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <glib.h>

static bool poll_now(int fd, short events)
{
    struct pollfd pfd = { .fd = fd, .events = events };

    return poll(&pfd, 1, 0) == 1;
}

ssize_t fd_stream_send(int fd, bool is_socket, const void *data, size_t len)
{
    ssize_t n;

    if (is_socket) {
        return fd_socket_send(fd, data, len, NULL, 0, MSG_DONTWAIT);
    }
    if (!poll_now(fd, POLLOUT)) {
        return -EAGAIN;
    }
    n = write(fd, data, MIN(len, PIPE_BUF));
    return n < 0 ? -errno : n;
}

ssize_t fd_stream_receive(int fd, bool is_socket, void *data, size_t len, FdSet *received)
{
    ssize_t n;

    if (is_socket) {
        return fd_socket_receive(fd, data, len, received, MSG_DONTWAIT);
    }
    if (!poll_now(fd, POLLIN)) {
        return -EAGAIN;
    }
    n = read(fd, data, len);
    return n < 0 ? -errno : n;
}
