/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching the processes of a plan: signals in, ends out.
 *
 * Thread: the only one.  Runs in: mpqemu-launch.
 */
#ifndef LAUNCH_WATCH_H
#define LAUNCH_WATCH_H

#include "plan.h"
#include "spawn.h"

/*
 * Takes over all signals of the launcher, which then wait for watch_run(); before the first child.  *ret gets
 * how they were.  Not taken: SIGKILL and SIGSTOP, the faults (SIGSEGV...), SIGTTIN and SIGTTOU, which stop the launcher
 * as any program.
 */
void watch_take_signals(SpawnSignals *ret);

/*
 * Returns when the emulator and all remotes have ended.  Until the emulator's end each signal is passed on to it;
 * then the remotes are given PLAN's grace to end by themselves, after SIGTERM, and after SIGKILL.  An emulator that was
 * not started counts as ended.
 */
void watch_run(LaunchPlan *plan);

#endif
