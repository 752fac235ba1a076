/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a confined main emulator, and of its opener.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_PROFILE_H
#define MAIN_PROFILE_H

#include "util/syscalls.h"

/* NULL-ended. */
extern const SyscallTable *const main_profile[];

/* Prints both profiles, as main/syscalls.txt has them. */
void main_profiles_print(void);

#endif
