/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A link's socket without the kernel: sends lie in a queue, descriptors are numbers in a table.  For speed: a system
 * call costs as much as the link's work on a message.
 * Thread: any one.  Runs in: fuzz targets
 *
 * Takes the place of io/fd-socket.h's and util/fd.h's functions and of libc's about sockets (linked with --wrap).  How
 * bytes and descriptors of several sends come together is as in Linux: a receive goes on over the borders of sends, but
 * not beyond one that carried descriptors; these come with its first byte; what is more than there is room for is
 * closed and told as truncated.  With FUZZ_SOCKET_KERNEL everything is the kernel's own, so that both can be compared.
 *
 * Descriptors that are closed twice, or used when they are closed, end the program.
 */
#ifndef TESTS_FUZZ_SOCKET_H
#define TESTS_FUZZ_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of descriptors that can be sent: memfd, eventfd, socket, /dev/null. */
#define FUZZ_FD_KINDS 4

typedef enum FuzzSocketMode {
    FUZZ_SOCKET_MODEL,
    FUZZ_SOCKET_KERNEL,
} FuzzSocketMode;

/* A connected socket; returns our end.  One at a time. */
int fuzz_socket_open(FuzzSocketMode mode);

/* The peer sends LEN bytes with NUM descriptors (up to 15) of these KINDS. */
void fuzz_socket_peer_send(const void *data, size_t len, const unsigned *kinds, unsigned num);

/* The peer sends no more; with BOTH it does not read either. */
void fuzz_socket_peer_hang_up(bool both);

/* Descriptors that are open and should not be, our end included; frees the peer's end. */
unsigned fuzz_socket_finish(void);

#endif
