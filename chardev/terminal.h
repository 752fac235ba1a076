/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside chardev/: the terminal of standard input.
 *
 * Thread: main loop.  Runs in: mpqemu.
 */
#ifndef CHARDEV_TERMINAL_H
#define CHARDEV_TERMINAL_H

#include <stdbool.h>
#include <sys/ioctl.h>

/* The size of the terminal that "stdio" is on; false when it is on none. */
bool stdio_window_size(struct winsize *ret_size);

#endif
