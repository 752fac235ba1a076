/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the C library and GLib need by themselves, and what they try that they can do without.
 *
 * Runs in: a confined process.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "sandbox/libc.h"

const SyscallTable libc_syscalls = {
    "C library", (const SyscallRule[]) {
        SYSCALL(brk, "malloc()"),
        SYSCALL(mmap, "malloc() of large blocks; never executable", ARG_BITS(2, PROT_EXEC, 0)),
        SYSCALL(munmap, "free() of large blocks"),
        SYSCALL(futex, "GLib wakes waiters without looking whether there are any", ARG_IS(1, FUTEX_WAKE_PRIVATE)),
        SYSCALL(exit_group, "the end of the process"),

        SYSCALL_REFUSED(mremap, ENOMEM, "realloc() of large blocks: it copies"),
        SYSCALL_REFUSED(madvise, EPERM, "malloc() gives memory back: it stays"),
        SYSCALL_REFUSED(openat, ENOENT, "look-ups of translations, time zones, message sinks: there are none"),
        SYSCALL_REFUSED(newfstatat, ENOENT, "as openat"),
        SYSCALL_REFUSED(access, ENOENT, "as openat"),
        SYSCALL_REFUSED(readlink, ENOENT, "as openat"),
        SYSCALL_REFUSED(ioctl, ENOTTY, "is standard output a terminal?", ARG_IS(1, TCGETS)),
        SYSCALL_REFUSED(lseek, ESPIPE, "exit() puts standard input back to where it was read"),
        SYSCALL_REFUSED(getrandom, EAGAIN, "seeds of hash tables: weaker ones do"),
        SYSCALL_REFUSED(rt_sigprocmask, EPERM, "abort(): it goes on without"),
        SYSCALL_REFUSED(rt_sigaction, EPERM, "abort(): likewise"),
        SYSCALL_REFUSED(gettid, EPERM, "abort(): likewise"),
        SYSCALL_REFUSED(getpid, EPERM, "abort(): likewise"),
        SYSCALL_REFUSED(tgkill, EPERM, "abort(): it ends by an instruction that traps, and SIGSEGV"),
        SYSCALL_REFUSED(writev, EPERM, "malloc() reports corruption: it aborts without"),
        SYSCALL_END,
    },
};
