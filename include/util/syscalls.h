/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a module needs of the kernel once its process is confined: a table beside the code that needs it.
 *
 * Thread: none (constant data).  Runs in: all programs.
 *
 * A module that makes system calls after the start of a program exports a SyscallTable.  A program's profile is a list
 * of such tables (remote/profile.c); sandbox/ makes the filter from it, prints it for the reviewed list, and the tests
 * probe each rule of it from both sides.  What stands in no table kills the process.
 *
 * Several rules for one call are alternatives; all arguments of one rule must fit.  An argument is compared by its low
 * 32 bits, since the kernel takes commands and flags as int.
 */
#ifndef UTIL_SYSCALLS_H
#define UTIL_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#define SYSCALL_ARGS_MAX 2

/* Argument INDEX (from 0), of which the bits of MASK must be VALUE.  MASK 0: no condition, and the last one. */
typedef struct SyscallArg {
    unsigned index;
    uint32_t mask;
    uint32_t value;
} SyscallArg;

typedef struct SyscallRule {
    const char *name;
    int number;
    int error; /* 0: the call is made; else it is not, and gives this errno */
    const char *why;
    SyscallArg args[SYSCALL_ARGS_MAX];
} SyscallRule;

typedef struct SyscallTable {
    const char *module;       /* as a user of the printed list knows it: "link", "block" */
    const SyscallRule *rules; /* the last one has no name */
} SyscallTable;

/* One line of a table; conditions (ARG_IS, ARG_BITS) may follow WHY. */
#define SYSCALL(call, why_text, ...) \
    { .name = #call, .number = SYS_##call, .why = why_text, .args = { __VA_ARGS__ } }

/*
 * A call that must not be made, but that a library makes on its own and can do without: it fails with ERROR instead of
 * killing the process.
 */
#define SYSCALL_REFUSED(call, error_number, why_text, ...) \
    { .name = #call, .number = SYS_##call, .error = error_number, .why = why_text, .args = { __VA_ARGS__ } }

#define SYSCALL_END { .name = NULL }

#define ARG_IS(arg_index, arg_value) { .index = arg_index, .mask = UINT32_MAX, .value = (uint32_t)(arg_value) }
#define ARG_BITS(arg_index, arg_mask, arg_value) { .index = arg_index, .mask = arg_mask, .value = arg_value }

#endif
