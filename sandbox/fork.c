/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fork() into a new PID namespace.
 *
 * Runs in: launchers and supervisors.
 *
 * Root makes a PID namespace as it is.  Anybody else needs a user namespace around it, in which the child keeps its own
 * uid and gid, so that it can open its program and make a namespace of its own later; it gets no capability there that
 * outlives exec.  Such a child writes its maps itself: it is allowed to map exactly its own ids.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"
#include "util/fd.h"

/* As fork(), but for pthread_atfork(): callers have one thread. */
static int clone_with(unsigned long flags)
{
    return (int)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0UL);
}

/* TEXT into FILE of /proc/self; async-signal-safe. */
static bool write_proc(const char *path, const char *text)
{
    auto_fd fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* "ID ID 1" into TEXT, without the C library's formatting, which may allocate. */
static void format_map(char *text, unsigned id)
{
    char digits[12];
    int count = 0;

    do {
        digits[count++] = (char)('0' + id % 10);
        id /= 10;
    } while (id);
    for (int round = 0; round < 2; round++) {
        for (int i = count - 1; i >= 0; i--) {
            *text++ = digits[i];
        }
        *text++ = ' ';
    }
    *text++ = '1';
    *text = '\0';
}

static bool map_own_ids(unsigned uid, unsigned gid)
{
    char map[32];

    /* An unprivileged process may map its group only when it has given up setgroups(). */
    if (!write_proc("/proc/self/setgroups", "deny")) {
        return false;
    }
    format_map(map, uid);
    if (!write_proc("/proc/self/uid_map", map)) {
        return false;
    }
    format_map(map, gid);
    return write_proc("/proc/self/gid_map", map);
}

int sandbox_fork(void)
{
    unsigned uid = geteuid(), gid = getegid();
    int child = clone_with(CLONE_NEWPID);

    if (child >= 0 || errno != EPERM) {
        return child >= 0 ? child : errno == ENOSPC ? clone_with(0) : child;
    }
    child = clone_with(CLONE_NEWUSER | CLONE_NEWPID);
    if (child == 0) {
        /* Without its ids it would be nobody; its own sandbox then says what is missing. */
        map_own_ids(uid, gid);
        return 0;
    }
    return child > 0 ? child : clone_with(0);
}
