/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opener seen from the main emulator: one request at a time, with a limit to the wait.
 *
 * Runs in: mpqemu.
 *
 * An answer that comes after its time is thrown away when the next one is waited for, by its serial number.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "sandbox/helper.h"
#include "sandbox/opener-int.h"
#include "util/error.h"
#include "util/fd.h"

#define REMEDY "pass a descriptor with add-fd and give /dev/fdset/ID"

/* It only has to remove some files. */
#define STOP_WAIT_MS 1000

const SyscallTable opener_client_syscalls = {
    "opener", (const SyscallRule[]) {
        SYSCALL(sendmsg, "asks the opener for an image", FD_SOCKET_SENDS_AT_ONCE),
        SYSCALL(recvmsg, "gets it"),
        SYSCALL(poll, "waits for it, for a bounded time"),
        SYSCALL(wait4, "the opener has ended", ARG_IS(2, WNOHANG)),
        SYSCALL(shutdown, "tells the opener to end", ARG_IS(1, SHUT_WR)),
        SYSCALL_END,
    },
};

static struct {
    int sock; /* -1: none, or it has gone */
    pid_t pid;
    uint64_t last_serial;
} opener = { .sock = -1 };

/* What failed, and what can be done about it. */
static const struct {
    const char *what, *remedy;
} step_texts[OPENER_STEPS] = {
    [OPENER_STEP_REQUEST] = { "the opener refuses the request", "this is a bug" },
    [OPENER_STEP_OPEN] = { NULL, "correct the path, or its owner and mode" },
    [OPENER_STEP_KIND] = { NULL, "give the path of a regular file or a block device" },
    [OPENER_STEP_KERNEL] = { "it is on a file system of the kernel's own", "give the path of an image" },
};

/* ---- life ----------------------------------------------------------------------------------------------------- */

bool opener_start(GError **errp)
{
    return helper_start("opener", opener_child_main, &opener.sock, &opener.pid, errp);
}

/* 0 or a negative errno. */
static int send_request(OpenerKind kind, bool writable, const char *path)
{
    size_t size = sizeof(OpenerRequest) + strlen(path) + 1;
    g_autofree OpenerRequest *request = g_malloc0(size);
    ssize_t n;

    *request = (OpenerRequest) { .serial = ++opener.last_serial, .kind = kind, .writable = writable };
    memcpy(request->path, path, strlen(path) + 1);
    n = fd_socket_send(opener.sock, request, size, NULL, 0, MSG_DONTWAIT);
    return n < 0 ? (int)n : 0;
}

void opener_remove_at_end(const char *path)
{
    if (opener.sock >= 0 && strlen(path) < PATH_MAX) {
        send_request(OPENER_REMOVE, false, path);
    }
}

/* The end of the socket; an answer that nobody waits for is dropped. */
static bool wait_for_end(void)
{
    struct pollfd polled = { .fd = opener.sock, .events = POLLIN };
    OpenerAnswer answer;
    ssize_t n = 1;

    while (n > 0 && poll(&polled, 1, STOP_WAIT_MS) == 1) {
        FdSet fds;

        n = fd_socket_receive(opener.sock, &answer, sizeof(answer), &fds, MSG_DONTWAIT);
        fd_set_drop(&fds);
    }
    return n <= 0;
}

void opener_stop(void)
{
    if (opener.sock < 0) {
        return;
    }
    shutdown(opener.sock, SHUT_WR);
    wait_for_end();
    fd_close(&opener.sock);
    waitpid(opener.pid, NULL, WNOHANG); /* a zombie of it takes no more than its number */
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static const char *kind_text(int32_t type)
{
    static const struct {
        mode_t type;
        const char *text;
    } kinds[] = {
        { S_IFDIR, "it is a directory" }, { S_IFIFO, "it is a FIFO" },
        { S_IFSOCK, "it is a socket" }, { S_IFCHR, "it is a character device" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (kinds[i].type == (mode_t)type) {
            return kinds[i].text;
        }
    }
    return "it is no file";
}

static void set_step_error(const OpenerAnswer *answer, const char *path, GError **errp)
{
    OpenerStep step = answer->step < OPENER_STEPS ? answer->step : OPENER_STEP_REQUEST;
    const char *what = step_texts[step].what;

    if (step == OPENER_STEP_OPEN) {
        what = errno_text(answer->error);
    } else if (step == OPENER_STEP_KIND) {
        what = kind_text(answer->error);
    }
    error_setg(errp, "Could not open '%s': %s; %s", path, what, step_texts[step].remedy);
}

/* The answer with our number, and its descriptor or -1.  0, or a negative errno; -ETIME: it does not come. */
static int receive_answer(OpenerAnswer *answer, int *ret_fd)
{
    gint64 deadline = g_get_monotonic_time() + OPENER_WAIT_MS * G_GINT64_CONSTANT(1000);

    for (;;) {
        struct pollfd polled = { .fd = opener.sock, .events = POLLIN };
        gint64 left_us = deadline - g_get_monotonic_time();
        FdSet fds;
        ssize_t n;

        if (left_us <= 0) {
            return -ETIME;
        }
        if (poll(&polled, 1, (int)(left_us / 1000) + 1) <= 0) {
            continue; /* the time is over, or a signal */
        }
        n = fd_socket_receive(opener.sock, answer, sizeof(*answer), &fds, MSG_DONTWAIT);
        if (n == -EAGAIN || n == -EINTR) {
            continue;
        }
        if (n == sizeof(*answer) && answer->serial == opener.last_serial) {
            *ret_fd = fds.num ? fd_steal(&fds.fds[0]) : -1;
            fd_set_drop(&fds);
            return 0;
        }
        fd_set_drop(&fds);
        if (n != sizeof(*answer)) {
            return -EPIPE;
        }
    }
}

bool opener_seal(GError **errp)
{
    OpenerAnswer answer;
    int fd = -1, err = send_request(OPENER_SEAL, false, "");

    err = err ? err : receive_answer(&answer, &fd);
    fd_close(&fd);
    if (err) {
        error_setg_errno(errp, -err, "-sandbox: there is no opener; see what it said, or run with -sandbox off");
        return false;
    }
    return true;
}

int opener_open(const char *path, int flags, GError **errp)
{
    OpenerAnswer answer;
    int fd = -1, err;

    if ((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != O_RDONLY && (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != O_RDWR) {
        error_setg(errp, "Could not open '%s': this process is confined, files are not written but as images; name it "
                         "on the command line", path);
        return -1;
    }
    if (strlen(path) >= PATH_MAX) {
        error_setg_errno(errp, ENAMETOOLONG, "Could not open '%.64s...'", path);
        return -1;
    }
    err = opener.sock < 0 ? -EPIPE : send_request(OPENER_OPEN, (flags & O_ACCMODE) == O_RDWR, path);
    err = err ? err : receive_answer(&answer, &fd);
    if (err == -ETIME || err == -EAGAIN) {
        error_setg(errp, "Could not open '%s': no answer in %d s, its file system hangs; " REMEDY, path,
                   OPENER_WAIT_MS / 1000);
    } else if (err == -EPIPE || err == -ECONNRESET) {
        fd_close(&opener.sock);
        error_setg(errp, "Could not open '%s': the opener process has ended; " REMEDY ", or restart mpqemu", path);
    } else if (err || (answer.step == OPENER_DONE && fd < 0)) {
        /* The kernel has dropped what this process has no number for. */
        error_setg_errno(errp, err ? -err : EMFILE, "Could not open '%s'; raise the limit (ulimit -n)", path);
    } else if (answer.step != OPENER_DONE) {
        fd_close(&fd);
        set_step_error(&answer, path, errp);
    }
    return fd;
}
