/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a device process: which modules' tables make its profile.
 *
 * Thread: main thread.  Runs in: qemu-remote.
 */
#ifndef REMOTE_PROFILE_H
#define REMOTE_PROFILE_H

#include <stdbool.h>

#include "util/syscalls.h"

/* The profile of a process with these kinds of monitors; static. */
const SyscallTable *const *remote_profile(bool listens, bool on_stdio);

/* Prints all profiles, as remote/syscalls.txt has them. */
void remote_profiles_print(void);

#endif
