/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a confined main emulator, and of its opener.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_PROFILE_H
#define MAIN_PROFILE_H

#include "util/syscalls.h"

/* With what the accelerator in use needs; NULL-ended, static. */
const SyscallTable *const *main_profile(void);

/* Prints all profiles, and what each accelerator adds, as main/syscalls.txt has them. */
void main_profiles_print(void);

#endif
