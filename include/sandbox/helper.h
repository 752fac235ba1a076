/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Helpers: small processes that the main emulator forks at its start for what it gives up later.
 *
 * Thread: the only one of the process.  Runs in: mpqemu and its helpers.
 *
 * A helper is forked before there are threads, guest memory or descriptors.  It is connected by a SOCK_SEQPACKET pair,
 * has no other descriptor of the main emulator's but standard output and error, a session of its own, and default
 * signal actions.  It hears of the main emulator's death by the end of the socket and by a signal: somebody else may
 * still hold the socket's other end.
 */
#ifndef SANDBOX_HELPER_H
#define SANDBOX_HELPER_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>

/* Where a helper keeps its socket: the first number behind the standard ones. */
#define HELPER_SOCK_FD 3

/* Comes when the main emulator has died; anybody may send it, so getppid() is asked. */
#define HELPER_PARENT_DIED SIGUSR1

/*
 * Forks the helper NAME ("spawner"), which runs RUN with its end of the socket; every signal is blocked there.  The
 * other end, owned, is *ret_sock.
 */
bool helper_start(const char *name, void (*run)(int sock, pid_t parent), int *ret_sock, pid_t *ret_pid, GError **errp);

/*
 * In the helper, first of all: arranges descriptors, signals and its name for ps.  SOCK is HELPER_SOCK_FD from then on,
 * the only descriptor behind the standard ones; standard input is /dev/null.  Returns a signalfd that does not block,
 * for SIGCHLD and HELPER_PARENT_DIED, or -1: then there is nothing to do but to end.
 */
int helper_begin(const char *name, int sock, pid_t parent);

/* All actions are the default ones afterwards.  Async-signal-safe. */
void helper_reset_signal_actions(void);

#endif
