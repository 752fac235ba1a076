/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of libraries: each profile begins with them.
 *
 * Thread: none (constant data).  Runs in: both programs.
 */
#ifndef SANDBOX_LIBC_H
#define SANDBOX_LIBC_H

#include "util/syscalls.h"

/*
 * glibc and GLib.  A call that they try on an error path, and that needs nothing, fails there; the path ends as it
 * would have, a little later.
 */
extern const SyscallTable libc_syscalls;

/* What it needs on top in a process that makes threads at run time. */
extern const SyscallTable thread_syscalls;

/* The sanitizers' runtime; empty in a build without.  Such a build is for tests: it is less confined. */
extern const SyscallTable sanitizer_syscalls;

#endif
