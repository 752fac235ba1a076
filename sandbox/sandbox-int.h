/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside sandbox/: the stages, each in a file of its own.
 *
 * Thread: the only one of the process.  Runs in: both programs.
 */
#ifndef SANDBOX_SANDBOX_INT_H
#define SANDBOX_SANDBOX_INT_H

#include <stdint.h>
#include <stdio.h>

#include "sandbox/sandbox.h"

/* A remedy, in errors of stages that need one. */
#define SANDBOX_ALLOW_USER_NAMESPACES \
    "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; the container's policy)"

/* Another: for steps that the kernel takes from everybody, unless a filter of whoever started us forbids them. */
#define SANDBOX_LOOK_OUTSIDE "see what forbids it (a filter or a policy of the container's), or run with -sandbox off"

/*
 * supervisor.c: goes on in a child that is the first process of a new PID namespace; this process stays behind as its
 * supervisor and never returns.  *ret_socket (owned) is connected to it.  False: no such child could be made, or this
 * is one without the namespace.
 */
bool supervisor_fork(const SandboxConfig *config, const char *name, int *ret_socket, GError **errp);

/*
 * SIGKILL for this process when the supervisor at SOCKET dies, or has died.  The kernel forgets that when a process
 * changes its user, so it is said again after that.
 */
void supervisor_die_with(int socket);

/* Tells the supervisor at SOCKET to remove the file PATH when this process has ended. */
void supervisor_send_file(int socket, const char *path);

/* Gives the supervisor at SOCKET the descriptor NOTIFIER of a filter that reports. */
bool supervisor_send_notifier(int socket, int notifier, GError **errp);

/*
 * supervisor.c in the log mode: prints what the filter at NOTIFIER reports and lets it pass; when there is something.
 */
void notifier_report(int notifier, const char *name);

/*
 * namespaces.c: new user (nobody is mapped), mount, IPC, UTS, network and cgroup namespaces, and an empty read-only
 * root.
 */
bool namespaces_enter(GError **errp);

/* privileges.c: reads what it needs of /proc; before the others. */
bool privileges_prepare(GError **errp);

/* privileges.c: root becomes nobody (65534), outside of any namespace too; others stay who they are. */
bool privileges_leave_root(GError **errp);

#define PRIVILEGES_KEPT_MAX 2

/* privileges.c: no capabilities, ever again, but the COUNT ones of KEPT as far as they are there. */
bool privileges_drop(const int *kept, unsigned count, GError **errp);

/* privileges.c: no_new_privs: no program that is executed gives any. */
bool privileges_no_new(GError **errp);

/*
 * privileges.c, after privileges_no_new(): no right by file or by path, and none to signal processes outside but with
 * SIGNALS_OUT.  *ret_landlock: the kernel's ABI, 0: it has none.
 */
bool privileges_lock(bool signals_out, int *ret_landlock, GError **errp);

/* process.c: no core, which would hold the guest's memory; nobody traces us or reads our memory but root. */
bool process_hide(GError **errp);

/*
 * filter.c: loads the filter of PROFILE.  With LOG, what it does not allow goes to *ret_notifier (owned; needs
 * no_new_privs); else *ret_notifier is -1.
 */
bool filter_load(const SyscallTable *const *profile, bool log, int *ret_notifier, GError **errp);

#endif
