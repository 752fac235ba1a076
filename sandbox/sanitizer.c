/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the runtime of AddressSanitizer and UndefinedBehaviorSanitizer needs on top, in test builds only.
 *
 * Runs in: a confined process of a test build.
 */
#include <errno.h>

#include "sandbox/libc.h"
#include "sandbox/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
/*
 * Called by the leak checker at the end of the program (sanitizer/lsan_interface.h).  It stops the process from another
 * one and reads /proc, and a confined process can do neither: without this it would hang.
 */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return sandbox_state()->level != SANDBOX_NONE;
}
#endif

const SyscallTable sanitizer_syscalls = {
    "sanitizer", (const SyscallRule[]) {
#ifdef SANITIZED
        SYSCALL(mremap, "its allocator"),
        SYSCALL(madvise, "gives shadow memory back"),
        SYSCALL(mprotect, "guards of its allocator"),
        SYSCALL(futex, "its locks"),
        SYSCALL(sched_yield, "its locks"),
        SYSCALL(sigaltstack, "its signal handlers"),
        SYSCALL(rt_sigaction, "its signal handlers"),
        SYSCALL(rt_sigprocmask, "its reports"),
        SYSCALL(getpid, "its reports"),
        SYSCALL(gettid, "its reports"),
        SYSCALL(tgkill, "the end after a report"),
        SYSCALL(prctl, "names in its reports"),
        SYSCALL(process_vm_readv, "backtraces of its reports"),
        SYSCALL(getrlimit, "the size of the stack"),
        SYSCALL(prlimit64, "the size of the stack"),
        SYSCALL_REFUSED(readlinkat, ENOENT, "its symbolizer"),
        SYSCALL_REFUSED(stat, ENOENT, "its symbolizer"),
        SYSCALL_REFUSED(open, ENOENT, "its symbolizer"),
        SYSCALL_REFUSED(pipe, EPERM, "its symbolizer"),
        SYSCALL_REFUSED(getcwd, ENOENT, "its symbolizer"),
#endif
        SYSCALL_END,
    },
};
