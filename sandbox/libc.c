/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the C library and GLib need by themselves, and what they try that they can do without.
 *
 * Runs in: a confined process.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "sandbox/libc.h"

const SyscallTable libc_syscalls = {
    "C library",
    (const SyscallRule[]){
        SYSCALL(brk, "malloc()"),
        SYSCALL(mmap, "malloc() of large blocks; never executable", ARG_BITS(2, PROT_EXEC, 0)),
        SYSCALL(munmap, "free() of large blocks"),
        SYSCALL(futex, "GLib wakes waiters without looking whether there are any", ARG_IS(1, FUTEX_WAKE_PRIVATE)),
        SYSCALL(exit_group, "the end of the process"),
        SYSCALL(gettimeofday, "GLib's slices, where the clock of the host has no vDSO"),

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
        SYSCALL_REFUSED(tgkill, EPERM, "abort(): it ends by an instruction that traps, and SIGSEGV",
                        ARG_IS(2, SIGABRT)),
        SYSCALL_REFUSED(writev, EPERM, "malloc() reports corruption: it aborts without"),
        SYSCALL_END,
    },
};

/* As glibc's pthread_create() has it: a thread of this process, and nothing that is none. */
#define THREAD_FLAGS \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS | \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

const SyscallTable thread_syscalls = {
    "threads", (const SyscallRule[]) {
        SYSCALL(clone, "a new thread, no process", ARG_IS(0, THREAD_FLAGS)),
        SYSCALL_REFUSED(clone3, ENOSYS, "a new thread: clone() is tried next, whose flags can be looked at"),
        SYSCALL(mprotect, "stacks and heaps of threads; never executable", ARG_BITS(2, PROT_EXEC, 0)),
        SYSCALL(madvise, "stacks and heaps of threads that have ended"),
        SYSCALL(set_robust_list, "the beginning of a thread"),
        SYSCALL(rseq, "the beginning of a thread"),
        SYSCALL(rt_sigprocmask, "signals are the main thread's"),
        SYSCALL(prctl, "a thread's name", ARG_IS(0, PR_SET_NAME)),
        SYSCALL(futex, "locks and conditions"),
        SYSCALL(sched_yield, "a lock that another thread is about to leave"),
        SYSCALL(clock_nanosleep, "a thread that lets others go first"),
        SYSCALL_REFUSED(sched_getaffinity, EPERM,
                        "malloc() counts processors for many threads: it takes them to be two"),
        SYSCALL(exit, "the end of a thread"),
        SYSCALL(restart_syscall, "a wait in which the process was stopped"),
        SYSCALL_END,
    },
};
