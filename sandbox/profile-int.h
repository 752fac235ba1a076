/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside sandbox/: the tables of a profile as one list without contradictions.
 *
 * Thread: any (no state).  Runs in: both programs.
 */
#ifndef SANDBOX_PROFILE_INT_H
#define SANDBOX_PROFILE_INT_H

#include <stdbool.h>
#include <glib.h>

#include "util/syscalls.h"

typedef struct ProfileEntry {
    const SyscallRule *rule;
    const char *modules; /* owned; "block, interrupts" */
    const char *whys;    /* owned; the reasons, in the same order */
} ProfileEntry;

/*
 * The rules of PROFILE, sorted by name, equal ones as one entry.  A rule that another makes needless is left out: a
 * call that some module may make in any way is neither conditional nor refused.  Free with g_array_unref().
 */
GArray *profile_compose(const SyscallTable *const *profile);

/* Whether RULE has no conditions. */
bool syscall_rule_is_plain(const SyscallRule *rule);

#endif
