/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spawner: a small process that starts remote processes for the main emulator.
 *
 * Thread: main loop with the machine lock held, but spawner_start().  Runs in: mpqemu.
 *
 * Why.  The main emulator shall be able to give up the right to exec, and fork() with threads and
 * all of guest RAM mapped is slow and unsafe.  So a process is forked off before there are threads,
 * guest memory or descriptors; it does nothing but to exec what it is told and to tell how its
 * children ended.
 *
 * What a child gets: an absolute path, the argument list, an empty environment but what is named, the
 * descriptors of the keep list at the numbers 3 and up, standard input from /dev/null, standard
 * output and error of the main emulator, default signal actions and an empty signal mask, no other
 * descriptor; SIGKILL when the spawner dies (parent-death signal, with the check against the race).
 *
 * How it ends: when the main emulator closes its socket or dies, however that happens, the spawner gives
 * its children SPAWNER_GRACE_MS to end by themselves (their links and control channels have closed),
 * sends SIGTERM, then SIGKILL, and exits.
 *
 * The protocol between the two is one SOCK_SEQPACKET message a request and an answer; both ends are
 * this program, so it is private.  The spawner still checks sizes and counts: the main emulator may
 * have been taken over by a guest.  It execs files only that are regular, by absolute path; after spawner_restrict()
 * only those named there.
 */
#ifndef HW_PROXY_SPAWNER_H
#define HW_PROXY_SPAWNER_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

/* Descriptors of one child: a link or control channel or two. */
#define SPAWNER_FDS_MAX 8
/* Bytes of path, arguments and environment of one request. */
#define SPAWNER_TEXT_MAX (64u * 1024)
/* Arguments and environment strings of one request. */
#define SPAWNER_STRINGS_MAX 1024u
/* Children alive at once. */
#define SPAWNER_CHILDREN_MAX 256
#define SPAWNER_GRACE_MS 3000

/*
 * Forks the spawner.  At the start of the program: no other thread, no guest memory, no descriptor
 * but the inherited ones, of which it keeps standard output and error.  Cheap enough (below 1 ms) to be
 * called always.
 */
bool spawner_start(GError **errp);

/*
 * Closes the connection; the spawner ends as told above.  Waits for nothing.  Accepts not started.  No
 * callback comes any more; processes that are left stay the callers' until they are forgotten.
 */
void spawner_stop(void);

/* A child that was asked for. */
typedef struct SpawnedProcess SpawnedProcess;

typedef struct SpawnRequest {
    const char *path;            /* absolute */
    const char *const *argv;     /* NULL-ended; argv[0] is what ps shows ("qemu-remote: vm/r0") */
    const char *const *envp;     /* NULL-ended "NAME=value"; NULL: empty */
    const int *fds;              /* kept; argv says 3, 4, ... for them; stay the caller's */
    unsigned fd_count;
    bool pid_namespace;          /* the first process of one of its own, where that can be had (sandbox_fork()) */
    const char *comm;            /* name of the process in /proc/PID/comm before exec's own; may be NULL */
} SpawnRequest;

typedef struct SpawnOps {
    /* It runs (exec has succeeded): PID, and PIDFD, which is the callee's (-1: this process has no number free). */
    void (*started)(SpawnedProcess *process, pid_t pid, int pidfd, void *opaque);
    /* It could not be started, or nobody knows whether it was, since the spawner is gone (its children are
     * dead then, too); ERR stays the caller's.  PROCESS is freed after the call. */
    void (*failed)(SpawnedProcess *process, const GError *err, void *opaque);
    /* It has ended with wait status STATUS (as waitpid(2)); -1: the spawner is gone, nobody knows.  Comes
     * after `started` always.  PROCESS is freed after the call. */
    void (*exited)(SpawnedProcess *process, int status, void *opaque);
} SpawnOps;

/* Asks for a child.  The callbacks come later, from the event loop.  NULL with *errp: refused here. */
SpawnedProcess *spawner_spawn(const SpawnRequest *request, const SpawnOps *ops, void *opaque,
                              GError **errp);

/* What may be started: a program with these arguments behind the first, and an empty environment. */
typedef struct SpawnForm {
    const char *path;
    const char *const *args; /* NULL-ended; none is empty */
} SpawnForm;

/*
 * From now on the spawner starts nothing but what fits one of FORMS, whatever it is asked: for a main emulator that
 * confines itself.  Once, before anything is asked for.
 */
bool spawner_restrict(const SpawnForm *forms, unsigned count, GError **errp);

/*
 * Forgets PROCESS: no more callbacks, it is reaped all the same.  Does not end it.  Accepts NULL; may be
 * called inside PROCESS's callbacks.
 */
void spawned_process_forget(SpawnedProcess *process);

#endif
