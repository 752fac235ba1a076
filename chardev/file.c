/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "file": output only, into a file, or what else has a path and takes bytes.
 *
 * Runs in: mpqemu.
 *
 * Writing to a file of a disk waits for memory, and so for the disk, when that is slower than the guest for long.
 */
#include "chardev/chardev-int.h"

#include <errno.h>
#include <fcntl.h>
#include "util/error.h"
#include "util/fd.h"

Chardev *chardev_open_file(const char *id, Options *opts, GError **errp)
{
    const char *path = options_get(opts, "path");
    bool append = false;
    StreamChardev *self;
    int fd;

    if (!path || !*path) {
        error_setg(errp, "path is missing; give path=PATH");
        return NULL;
    }
    if (!options_get_bool(opts, "append", &append, errp)) {
        return NULL;
    }
    /* A pipe without a reader fails at once, and does not wait for one. */
    fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) {
        error_setg_errno(errp, errno, "path=%s: cannot be opened for writing; give a file that can be made", path);
        return NULL;
    }
    self = g_new0(StreamChardev, 1);
    stream_chardev_init(self, &stream_chardev_class, id);
    if (!stream_chardev_take_fds(self, -1, fd, false)) {
        error_setg_errno(errp, errno, "path=%s: cannot be watched", path);
        chardev_unref(&self->chr);
        return NULL;
    }
    return &self->chr;
}
