/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operating system's side of a remote process that we start: where its program is, its command line, its end.
 *
 * Runs in: mpqemu.
 *
 * A child is known to be dead by its pidfd, within the time of one wake-up; how it ended is told by the spawner, which
 * is its parent, a moment later.  A child lives on here without an owner until it has been reaped, so that a process
 * which is asked to end is also made to end.
 */
#include "hw/proxy/remote-int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/reset.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"

#define PROGRAM "qemu-remote"

/* From "quit" on the control channel to SIGTERM, for one that did not hear it. */
#define QUIT_GRACE_MS 500
/* From SIGTERM to SIGKILL: time to write back and unlock images. */
#define TERM_GRACE_MS 3000

struct RemoteChild {
    SpawnedProcess *spawned;
    pid_t pid;                  /* 0: not started yet */
    int pidfd;                  /* owned; -1 likewise */
    EventSource *death;         /* watches the pidfd until it is readable */
    EventTimer *insist;         /* to be ended: the next signal; NULL before */
    bool termed;                /* SIGTERM was sent */
    bool ending;                /* to be ended as soon as it has started */
    bool dead;                  /* it has ended, by its pidfd */
    bool cut;                   /* counted below; not when it is dead */
    const RemoteChildOps *ops;  /* NULL: it has no owner any more */
    void *opaque;
};

const SyscallTable remote_process_syscalls = {
    "remote processes", (const SyscallRule[]) {
        SYSCALL(socketpair, "control channels and links", ARG_IS(0, AF_UNIX)),
        SYSCALL(pidfd_send_signal, "asks a process to end", ARG_IS(1, SIGTERM)),
        SYSCALL(pidfd_send_signal, "ends one that does not", ARG_IS(1, SIGKILL)),
        SYSCALL(pidfd_send_signal, "wakes a stopped one, to hear it", ARG_IS(1, SIGCONT)),
        SYSCALL(wait4, "whether the spawner has ended", ARG_IS(2, WNOHANG)),
        SYSCALL_END,
    },
};

static unsigned living;   /* children that have not been reaped */
static unsigned cut;      /* of these, those that a reset waits for */
static char *vm_name;     /* for ps */

void remote_set_vm_name(const char *name)
{
    g_free(vm_name);
    vm_name = g_strdup(name);
}

/* ---- signals --------------------------------------------------------------------------------- */

/* By pidfd: a number could be another process's by now. */
static void child_signal(RemoteChild *child, int sig)
{
    if (child->pidfd >= 0 && syscall(SYS_pidfd_send_signal, child->pidfd, sig, NULL, 0) < 0) {
        trace_remote_child_signal_failed(child->pid, sig, errno);
    }
}

/* The next harder way to end it. */
static void child_insist(void *opaque)
{
    RemoteChild *child = opaque;
    bool hard = child->termed;

    child->termed = true;
    child_signal(child, hard ? SIGKILL : SIGTERM);
    child_signal(child, SIGCONT); /* a stopped process hears nothing else */
    event_timer_arm(child->insist, event_clock_ns(EVENT_CLOCK_REAL) + TERM_GRACE_MS * NS_PER_MS);
}

static void child_terminate(RemoteChild *child)
{
    child->ending = true;
    if (child->pid == 0) {
        return; /* child_started() does it */
    }
    child->insist = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, child_insist, child);
    event_timer_arm(child->insist, event_clock_ns(EVENT_CLOCK_REAL) + QUIT_GRACE_MS * NS_PER_MS);
}

void remote_child_kill(RemoteChild *child)
{
    child_signal(child, SIGKILL);
}

void remote_child_end(RemoteChild *child)
{
    if (child) {
        child->ops = NULL;
        remote_child_cut(child);
        child_terminate(child);
    }
}

void remote_child_cut(RemoteChild *child)
{
    if (child && !child->cut && !child->dead) {
        child->cut = true;
        cut++;
    }
}

unsigned remote_children_cut(void)
{
    return cut;
}

/* It has ended, or was never there. */
static void child_is_over(RemoteChild *child)
{
    child->dead = true;
    if (child->cut) {
        child->cut = false;
        cut--;
        reset_gate_changed();
    }
}

pid_t remote_child_pid(const RemoteChild *child)
{
    return child->pid;
}

unsigned remote_children(void)
{
    return living;
}

/* ---- what the spawner tells ------------------------------------------------------------------ */

static void child_free(RemoteChild *child)
{
    child_is_over(child);
    event_source_remove(child->death);
    event_timer_free(child->insist);
    fd_close(&child->pidfd);
    g_free(child);
    living--;
}

static void child_dead(int fd, unsigned ready, void *opaque)
{
    RemoteChild *child = opaque;

    event_source_remove(child->death);
    child->death = NULL;
    child_is_over(child); /* nobody's memory is in its hands any more */
    if (child->ops) {
        child->ops->dead(child->opaque);
    }
}

static void child_started(SpawnedProcess *process, pid_t pid, int pidfd, void *opaque)
{
    RemoteChild *child = opaque;

    trace_remote_child_started(pid);
    child->pid = pid;
    child->pidfd = pidfd;
    child->death = event_loop_add_fd(event_loop_main(), pidfd, EVENT_READ, child_dead, child);
    if (child->ending) {
        child_terminate(child);
    } else if (child->ops) {
        child->ops->started(child->opaque);
    }
}

static void child_failed(SpawnedProcess *process, const GError *err, void *opaque)
{
    RemoteChild *child = opaque;
    const RemoteChildOps *ops = child->ops;
    void *owner = child->opaque;

    child_free(child);
    if (ops) {
        ops->failed(err, owner);
    }
}

static void child_exited(SpawnedProcess *process, int status, void *opaque)
{
    RemoteChild *child = opaque;
    const RemoteChildOps *ops = child->ops;
    void *owner = child->opaque;

    trace_remote_child_exited(child->pid, status);
    child_free(child);
    if (ops) {
        ops->exited(status >= 0 ? &status : NULL, owner);
    }
}

static const SpawnOps spawn_ops = { child_started, child_failed, child_exited };

/* ---- start ----------------------------------------------------------------------------------- */

static char *default_program; /* NULL: not looked for, or not there */

/* Installed the two programs are neighbours; in a build directory they are cousins. */
void remote_find_default_program(void)
{
    static const char *const places[] = { PROGRAM, "../remote/" PROGRAM };
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *directory = self ? g_path_get_dirname(self) : NULL;

    for (unsigned i = 0; directory && !default_program && i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_build_filename(directory, places[i], NULL);

        if (access(path, X_OK) == 0) {
            default_program = g_canonicalize_filename(path, NULL);
        }
    }
}

/* NULL with *errp. */
char *remote_default_program(GError **errp)
{
    if (!default_program && !fd_paths_forbidden()) {
        remote_find_default_program();
    }
    if (!default_program) {
        error_setg(errp, "there is no " PROGRAM " beside this program, or /proc is not mounted; say where it is with "
                   "-remote rid=RID,exec=PATH");
    }
    return g_strdup(default_program);
}

/*
 * Behind the title, for a process with SANDBOX (NULL: its default).  QEMU's words, so that its own remote can be
 * started too.
 */
#define ARGUMENTS(sandbox) \
    "-machine", "x-remote,auto-shutdown=off", "-nodefaults", "-display", "none", \
    "-chardev", "socket,id=control,fd=3", "-mon", "chardev=control,mode=control", \
    (sandbox) ? "-sandbox" : NULL, (sandbox), NULL

const char **remote_child_arguments(const char *sandbox)
{
    const char *const arguments[] = { ARGUMENTS(sandbox) };

    return g_memdup2(arguments, sizeof(arguments));
}

RemoteChild *remote_child_spawn(const char *rid, const char *path, const char *sandbox, bool pid_namespace,
                                int control_fd, const RemoteChildOps *ops, void *opaque, GError **errp)
{
    g_autofree char *title = g_strdup_printf(PROGRAM ": %s/%s", vm_name ? vm_name : "vm", rid);
    const char *const argv[] = { title, ARGUMENTS(sandbox) };
    SpawnRequest request = {
        .path = path,
        .argv = argv,
        .fds = &control_fd,
        .fd_count = 1,
        .pid_namespace = pid_namespace,
        .comm = PROGRAM,
    };
    RemoteChild *child = g_new0(RemoteChild, 1);

    child->pidfd = -1;
    child->ops = ops;
    child->opaque = opaque;
    child->spawned = spawner_spawn(&request, &spawn_ops, child, errp);
    if (!child->spawned) {
        g_free(child);
        return NULL;
    }
    living++;
    return child;
}
