/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Confinement of a process: what it gives up, in stages, before it deals with anybody hostile.
 *
 * Thread: the only thread of the process, but sandbox_state().  Runs in: both programs, by their -sandbox.
 *
 * Theory of operation.  A device process runs sandbox_enter() first of all, is then configured as its command line
 * says, runs sandbox_confine(), and only then answers anybody.  Each stage is one function of this directory:
 *
 *   sandbox_enter()      process.c     not dumpable, no core, few descriptors, a session of its own
 *                        supervisor.c  first process of a new PID namespace, with a supervisor outside that only
 *                                      waits for it (none when it is the first already, by the spawner or launcher)
 *   sandbox_confine()    process.c     what was inherited and no option has taken is closed
 *                        namespaces.c  new user, mount, IPC, UTS, network and cgroup namespace; empty read-only root
 *                        privileges.c  no capabilities, securebits locked, no_new_privs, Landlock without rights
 *                        filter.c      allow-list of system calls; all else kills
 *
 * The main emulator runs sandbox_confine_main() instead, when its command line has opened what it names.
 *
 * There is no silent fall-back: a stage that cannot be had is an error which names the lower level to ask for.
 */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <glib.h>

#include "util/syscalls.h"

/* SandboxLevel of the schema (qapi/sandbox.json), in its order: from the lowest. */
typedef enum SandboxLevel {
    SANDBOX_NONE,
    SANDBOX_LOG,     /* as the others, but the filter only reports */
    SANDBOX_SECCOMP, /* without namespaces (ns=off) */
    SANDBOX_FULL,
} SandboxLevel;

const char *sandbox_level_name(SandboxLevel level);

typedef struct SandboxConfig {
    bool on;
    bool log;        /* with `on`: what the filter would refuse is done, and reported */
    bool namespaces; /* with `on` */
    /* set by the program, not by the user: no file that is open when it is confined grows afterwards */
    bool fixed_files;
} SandboxConfig;

/* What is in force in this process. */
typedef struct SandboxState {
    SandboxLevel level;
    int landlock;                   /* ABI of the kernel's Landlock; 0: the kernel has none */
    const SyscallTable *const *profile; /* NULL before sandbox_confine() */
} SandboxState;

#define SANDBOX_OPTION_SYNTAX "on|off|log[,ns=on|off]"

/*
 * Reads the argument of -sandbox into *config; NAMESPACES is what ns= is without being said.  The mode must be said,
 * and ns= goes with on and log only.  QEMU's obsolete=, elevateprivileges=, spawn= and resourcecontrol= are taken when
 * they ask for less (deny): that is so anyway.
 */
bool sandbox_parse(const char *arg, bool namespaces, SandboxConfig *config, GError **errp);

/*
 * The first stage, right after the command line was read: no thread, and no descriptor but inherited ones.  Returns in
 * the process that shall go on, which may be another than the caller's.  NAME is the program's.
 */
bool sandbox_enter(const SandboxConfig *config, const char *name, GError **errp);

/*
 * The file PATH, which is there, is removed when the process has ended: it cannot do so itself once it is confined.
 * Between the two stages.  Does nothing without a supervisor or an opener; then the file stays.
 */
void sandbox_remove_at_end(const char *path);

/*
 * The last stage: after it only the calls of PROFILE (NULL-ended, and static) are possible.  The event loop has not
 * turned yet.  On failure the process is confined in part and must end.
 */
bool sandbox_confine(const SandboxConfig *config, const SyscallTable *const *profile, GError **errp);

/*
 * The only stage of a main emulator, which keeps its uid, its namespaces and what it inherited, and of root's
 * capabilities CAP_KILL.  Before there are threads: capabilities and Landlock are each thread's own, and threads that
 * are made later inherit them and the filter.  An opener (sandbox/opener.h) runs and is sealed.  As sandbox_confine()
 * otherwise.
 */
bool sandbox_confine_main(const SyscallTable *const *profile, GError **errp);

/* Any thread. */
const SandboxState *sandbox_state(void);

/*
 * PROFILE as text: a line for each call or rule, sorted by name, with its reason and module, and the count.  The same
 * for the same tables.  Free the result.
 */
char *sandbox_profile_text(const char *title, const SyscallTable *const *profile);

/* Calls FN with the name of each system call that PROFILE allows, sorted, once. */
void sandbox_profile_foreach(const SyscallTable *const *profile, void (*fn)(const char *name, void *opaque),
                             void *opaque);

/* How many different system calls PROFILE allows; refused ones do not count. */
unsigned sandbox_profile_count(const SyscallTable *const *profile);

/*
 * fork() for a launcher: the child is the first process of a new PID namespace, where that can be had (as root, or by a
 * new user namespace in which the caller has its own uid).  Elsewhere it is an ordinary child, whose own
 * sandbox_enter() does it or says what is missing.  Async-signal-safe in the child; in the child getppid() is 0.
 */
int sandbox_fork(void);

#endif
