/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix sockets with a path, as monitors and character devices make them, and standard input and output.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef CHARDEV_UNIX_SOCKET_H
#define CHARDEV_UNIX_SOCKET_H

#include <stdbool.h>
#include <glib.h>

/* A socket file of this program. */
typedef struct UnixSocketFile UnixSocketFile;

/*
 * Listens at PATH with BACKLOG.  As QEMU does: whatever socket is there is replaced, unless it is one of this
 * program's, which nobody could reach any more.  Other files are not.  Returns the descriptor, non-blocking, and
 * *ret_file, to be ended with unix_socket_file_remove(); or -1 with *errp.
 */
int unix_socket_listen(const char *path, int backlog, UnixSocketFile **ret_file, GError **errp);

/* Removes the file, when it is still ours, and frees FILE; accepts NULL. */
void unix_socket_file_remove(UnixSocketFile *file);

/* Connects to PATH.  Returns the descriptor, non-blocking, or -1 with *errp. */
int unix_socket_connect(const char *path, GError **errp);

/* Whether FD is a stream socket with a peer; false with *errp. */
bool unix_socket_check_connected(int fd, GError **errp);

/*
 * Descriptors of our own for standard input and output, non-blocking if that can be had, whatever others do with the
 * shared ones.  Files are not opened anew: they never block, and the place of the next byte is shared with other
 * output. False with *errp.  The caller owns them.
 */
bool stdio_open(int *ret_in, int *ret_out, GError **errp);

/* Who uses standard input and output: one thing in a program.  False with *errp when something does already. */
bool stdio_claim(GError **errp);

#endif
