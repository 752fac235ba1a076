/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes on a descriptor of any kind that a person or program is at the other end of: sockets, pipes, terminals, files.
 *
 * Thread: any.  Runs in: both programs.
 *
 * No call blocks, whatever flags others set on a shared open file description: a socket is used with MSG_DONTWAIT,
 * another descriptor only after poll() has said that it is ready, in pieces that a pipe takes whole.
 */
#ifndef IO_FD_STREAM_H
#define IO_FD_STREAM_H

#include "io/fd-socket.h"

/* One attempt; bytes sent, or a negative errno; -EAGAIN: not now. */
ssize_t fd_stream_send(int fd, bool is_socket, const void *data, size_t len);

/* One attempt; bytes received, 0 at the end, or a negative errno.  RECEIVED gets descriptors that a socket brings. */
ssize_t fd_stream_receive(int fd, bool is_socket, void *data, size_t len, FdSet *received);

#endif
