/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside io/ and for the spawner: bytes and descriptors over an AF_UNIX socket.
 *
 * Thread: any.  Runs in: both programs.
 */
#ifndef IO_FD_SOCKET_H
#define IO_FD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "util/syscalls.h"

#define FD_SOCKET_MAX 8 /* descriptors of one send or receive: the most of any protocol here */

/* Descriptors that came with one receive; the receiver owns them. */
typedef struct FdSet {
    unsigned num;
    bool truncated; /* more came than FD_SOCKET_MAX, or than this process may open; the kernel has closed those */
    int fds[FD_SOCKET_MAX];
} FdSet;

/* Closes the descriptors of SET and empties it. */
void fd_set_drop(FdSet *set);

/*
 * One sendmsg() of BUF with FDS (at most FD_SOCKET_MAX; they stay the caller's), never with a SIGPIPE, again after
 * EINTR.  Returns the bytes sent or a negative errno.
 */
ssize_t fd_socket_send(int sock, const void *buf, size_t len, const int *fds, unsigned num_fds, int flags);

/* Conditions of sendmsg() in a SyscallTable, for callers with MSG_DONTWAIT, and for those without flags. */
#define FD_SOCKET_SENDS_AT_ONCE ARG_IS(2, MSG_DONTWAIT | MSG_NOSIGNAL)
#define FD_SOCKET_SENDS_WAITING ARG_IS(2, MSG_NOSIGNAL)

/*
 * One recvmsg().  *ret_set gets what descriptors came, close-on-exec.  Returns the bytes received, 0 at the end of the
 * stream, or a negative errno.
 */
ssize_t fd_socket_receive(int sock, void *buf, size_t len, FdSet *ret_set, int flags);

/*
 * Whether stream socket SOCK has (or had) a peer.  Takes nothing from it.  By recvmsg(), which a confined process has;
 * getpeername() it has not.
 */
bool fd_socket_is_connected(int sock);

#endif
