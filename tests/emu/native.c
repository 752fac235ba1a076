/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's processor as a witness.  The manual is native.h.
 */
#include "native.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ENTER_SIGNAL SIGUSR1

/* gregs[] of each number of the instruction set. */
static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* Selectors of Linux: 32-bit user code, and data, which 32-bit code needs in DS and ES. */
#define COMPAT_CS 0x23
#define USER_DS 0x2b

#define FLAGS_OF_USER 0xcd5u /* arithmetic flags and DF */

static uint8_t *code_page; /* the page at NATIVE_CODE, writable */
/* Volatile: the compiler does not know that a system call can enter a signal handler. */
static NativeState *volatile running;
static NativeEnd *volatile ending;
static gregset_t caller_gregs;
static uint8_t caller_fxsave[512];

static void on_enter(int number, siginfo_t *info, void *opaque)
{
    mcontext_t *context = &((ucontext_t *)opaque)->uc_mcontext;

    memcpy(caller_gregs, context->gregs, sizeof(caller_gregs));
    memcpy(caller_fxsave, context->fpregs, sizeof(caller_fxsave));
    for (unsigned i = 0; i < 16; i++) {
        context->gregs[greg_of[i]] = (greg_t)running->gpr[i];
    }
    context->gregs[REG_RIP] = (greg_t)running->rip;
    if (running->compat) {
        context->gregs[REG_CSGSFS] = (context->gregs[REG_CSGSFS] & ~(greg_t)0xffff) | COMPAT_CS;
    }
    context->gregs[REG_EFL] = (greg_t)((running->rflags & FLAGS_OF_USER) | 0x202);
    /* Bytes from 464 on are the kernel's. */
    memcpy(context->fpregs, running->fxsave, 416);
}

static void on_exception(int number, siginfo_t *info, void *opaque)
{
    mcontext_t *context = &((ucontext_t *)opaque)->uc_mcontext;

    if (!running) {
        _exit(99); /* a fault of the test's own */
    }
    for (unsigned i = 0; i < 16; i++) {
        running->gpr[i] = (uint64_t)context->gregs[greg_of[i]];
    }
    running->rip = (uint64_t)context->gregs[REG_RIP];
    running->rflags = (uint64_t)context->gregs[REG_EFL] & FLAGS_OF_USER;
    memcpy(running->fxsave, context->fpregs, 416);
    ending->vector = (unsigned)context->gregs[REG_TRAPNO];
    ending->error = (uint64_t)context->gregs[REG_ERR];
    ending->cr2 = ending->vector == 14 ? (uint64_t)context->gregs[REG_CR2] : 0;
    memcpy(context->gregs, caller_gregs, sizeof(caller_gregs));
    memcpy(context->fpregs, caller_fxsave, 416);
}

static void *map_at(uint64_t address, size_t size, int protection, int fd)
{
    void *p =
        mmap((void *)(uintptr_t)address, size, protection, MAP_SHARED | (address ? MAP_FIXED_NOREPLACE : 0), fd, 0);

    if (p == MAP_FAILED) {
        perror("cannot map memory at its place");
        exit(1);
    }
    return p;
}

void native_init(void)
{
    static const int exceptions[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
    const unsigned data_segment = USER_DS;
    struct sigaction action = { .sa_sigaction = on_enter, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
    int code_fd = memfd_create("code", MFD_CLOEXEC), data_fd = memfd_create("data", MFD_CLOEXEC);

    if (code_fd < 0 || data_fd < 0 || ftruncate(code_fd, NATIVE_CODE_SIZE) < 0 ||
        ftruncate(data_fd, NATIVE_DATA_SIZE) < 0 || sigaltstack(&stack, NULL) < 0) {
        perror("cannot set up the native side");
        exit(1);
    }
    code_page = map_at(0, NATIVE_CODE_SIZE, PROT_READ | PROT_WRITE, code_fd);
    map_at(NATIVE_CODE, NATIVE_CODE_SIZE, PROT_READ | PROT_EXEC, code_fd);
    map_at(NATIVE_DATA, NATIVE_DATA_SIZE, PROT_READ | PROT_WRITE, data_fd);
    close(code_fd);
    close(data_fd);
    /* 64-bit code does not mind. */
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(data_segment));
    sigaction(ENTER_SIGNAL, &action, NULL);
    action.sa_sigaction = on_exception;
    for (unsigned i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        sigaction(exceptions[i], &action, NULL);
    }
}

uint8_t *native_data(void)
{
    return (uint8_t *)(uintptr_t)NATIVE_DATA;
}

void native_run(const uint8_t *code, size_t size, NativeState *state, NativeEnd *end)
{
    memcpy(code_page, code, size);
    ending = end;
    running = state;
    syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), ENTER_SIGNAL);
    running = NULL;
}
