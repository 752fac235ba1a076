/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "pty": a pseudo-terminal, whose name is told on standard output.
 *
 * Runs in: mpqemu.
 *
 * The other end is kept open here, too: without anybody there the kernel would tell of a hangup all the time, and
 * lose what is written.  So what is written before somebody opens it waits for them, as much as the terminal takes
 * (4 KiB).
 */
#include "chardev/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include "chardev/chardev-int.h"
#include "util/error.h"
#include "util/fd.h"

typedef struct PtyChardev {
    StreamChardev stream;
    int terminal_fd;
} PtyChardev;

bool pty_open(int *ret_in, int *ret_out, int *ret_terminal, GError **errp)
{
    auto_fd out = -1;
    auto_fd ours = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    auto_fd terminal = -1;
    char name[64];

    if (ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0 && ptsname_r(ours, name, sizeof(name)) == 0) {
        terminal = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        out = fd_dup(ours);
    }
    if (terminal < 0 || out < 0) {
        error_setg_errno(errp, errno, "cannot make a pseudo-terminal; mount /dev/pts, or use a socket");
        return false;
    }
    *ret_in = fd_steal(&ours);
    *ret_out = fd_steal(&out);
    *ret_terminal = fd_steal(&terminal);
    return true;
}

static void pty_freed(StreamChardev *stream)
{
    fd_close(&((PtyChardev *)(void *)stream)->terminal_fd);
}

Chardev *chardev_open_pty(const char *id, Options *opts, GError **errp)
{
    PtyChardev *self;
    int ours, out, terminal;
    struct termios modes;
    char name[64];

    if (!pty_open(&ours, &out, &terminal, errp)) {
        return NULL;
    }
    if (tcgetattr(terminal, &modes) == 0) {
        cfmakeraw(&modes);
        tcsetattr(terminal, TCSANOW, &modes);
    }
    if (ptsname_r(ours, name, sizeof(name)) != 0) {
        name[0] = '\0';
    } else {
        printf("char device redirected to %s (label %s)\n", name, id);
        fflush(stdout);
    }
    self = g_new0(PtyChardev, 1);
    stream_chardev_init(&self->stream, &stream_chardev_class, id);
    self->stream.chr.filename = g_strdup_printf("pty:%s", name);
    self->stream.freed = pty_freed;
    self->terminal_fd = terminal;
    if (!stream_chardev_take_fds(&self->stream, ours, out, false)) {
        error_setg_errno(errp, errno, "the pseudo-terminal cannot be watched");
        chardev_unref(&self->stream.chr);
        return NULL;
    }
    return &self->stream.chr;
}
