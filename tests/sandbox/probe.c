/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A probe inside a confined process: preloaded into an unchanged program, it acts as one that was taken over.
 *
 * Runs in: a program under test (LD_PRELOAD); tests/qtest/sandbox_probe.py drives it.
 *
 * The first time the program's event loop waits without end it is confined and idle.  Then the steps of the variable
 * SANDBOX_PROBE are done by the main thread, one after the other, each told on standard error as "probe: RESULT", where
 * a failed system call is a negative errno; then the process ends with status 42.  Steps are separated by ';':
 *
 *   NUMBER ARG ...   a system call; ARG is a number, "p" (the address of a zeroed page), or "s=TEXT" (of TEXT)
 *   int80 NUMBER     a system call without arguments by the entry, and the number, of 32-bit programs
 *   ring INDEX OP    operation OP on no file by the ring that the program made as its INDEXth; the completion's result
 *   call NAME        one of the library paths in `calls`
 *
 * The steps of SANDBOX_PROBE_OPENER are done by mpqemu's opener, the first time that it waits.
 *
 * With SANDBOX_PROBE_HOLD the process says "probe: held" when it is about to load its filter, and goes on when there is
 * something, or the end, on standard input.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <dlfcn.h>
#include <glib.h>
#include <liburing.h>
#include <seccomp.h>

#define ARGS 6
#define RINGS_MAX 4
#define STATUS 42

static char *steps, *opener_steps;
static struct io_uring *rings[RINGS_MAX];
static unsigned ring_count;
static char page[4096] __attribute__((aligned(4096)));

__attribute__((constructor)) static void remember_steps(void)
{
    const char *text = getenv("SANDBOX_PROBE"), *opener_text = getenv("SANDBOX_PROBE_OPENER");

    steps = text ? strdup(text) : NULL;
    opener_steps = opener_text ? strdup(opener_text) : NULL;
}

/* ---- library paths -------------------------------------------------------------------------------------------- */

static long call_malloc(void)
{
    char *grown = NULL;

    /* By brk(), by mmap(), and growing from one to the other. */
    for (size_t size = 1000; size < 64u << 20; size *= 3) {
        char *more = realloc(grown, size);

        if (!more) {
            return -ENOMEM;
        }
        grown = more;
        memset(grown, 0x5a, size);
    }
    free(grown);
    return 0;
}

static long call_localtime(void)
{
    time_t now = time(NULL);

    return localtime(&now) ? 0 : -EINVAL;
}

static long call_messages(void)
{
    g_warning("a warning of GLib's");
    g_printerr("a message of GLib's\n");
    fprintf(stderr, "%s\n", strerror(ENOENT));
    fprintf(stderr, "%s\n", g_strerror(EACCES));
    return 0;
}

static long call_abort(void)
{
    abort();
}

static long call_assert(void)
{
    g_assert_not_reached();
}

static long call_free_twice(void)
{
    char *volatile block = malloc(100);
    char *volatile again = block;

    free(block);
    free(again);
    return 0;
}

static long call_read_beyond(void)
{
    /* Where no mapping of a process is: the page below the lowest address that may be mapped. */
    return *(volatile char *)(uintptr_t)4096;
}

static long call_exit(void)
{
    exit(STATUS);
}

static const struct {
    const char *name;
    long (*run)(void);
} calls[] = {
    { "malloc", call_malloc },
    { "localtime", call_localtime },
    { "messages", call_messages },
    { "abort", call_abort },
    { "assert", call_assert },
    { "free_twice", call_free_twice },
    { "read_beyond", call_read_beyond },
    { "exit", call_exit },
};

static long library_call(const char *name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i].name, name) == 0) {
            return calls[i].run();
        }
    }
    return -ENOSYS;
}

/* ---- rings ---------------------------------------------------------------------------------------------------- */

static int note_ring(struct io_uring *ring, int result)
{
    /* The library may make one by its other function. */
    if (result == 0 && ring_count < RINGS_MAX && (ring_count == 0 || rings[ring_count - 1] != ring)) {
        rings[ring_count++] = ring;
    }
    return result;
}

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    int (*real)(unsigned, struct io_uring *, unsigned) =
        (int (*)(unsigned, struct io_uring *, unsigned))dlsym(RTLD_NEXT, "io_uring_queue_init");

    return note_ring(ring, real(entries, ring, flags));
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    int (*real)(unsigned, struct io_uring *, struct io_uring_params *) =
        (int (*)(unsigned, struct io_uring *, struct io_uring_params *))dlsym(RTLD_NEXT, "io_uring_queue_init_params");

    return note_ring(ring, real(entries, ring, params));
}

static long ring_operation(const char *text)
{
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe;
    unsigned index, opcode;
    int ret;

    if (sscanf(text, "%u %u", &index, &opcode) != 2 || index >= ring_count) {
        return -ENXIO;
    }
    sqe = io_uring_get_sqe(rings[index]);
    io_uring_prep_nop(sqe);
    sqe->opcode = (uint8_t)opcode;
    io_uring_submit(rings[index]);
    ret = io_uring_wait_cqe(rings[index], &cqe);
    if (ret == 0) {
        ret = cqe->res;
        io_uring_cqe_seen(rings[index], cqe);
    }
    return ret;
}

/* ---- the filter ----------------------------------------------------------------------------------------------- */

int seccomp_load(scmp_filter_ctx context)
{
    int (*real)(scmp_filter_ctx) = (int (*)(scmp_filter_ctx))dlsym(RTLD_NEXT, "seccomp_load");
    static const char held[] = "probe: held\n";
    char byte;

    if (getenv("SANDBOX_PROBE_HOLD") &&
        (write(STDERR_FILENO, held, sizeof(held) - 1) < 0 || read(STDIN_FILENO, &byte, 1) < 0)) {
        _exit(1);
    }
    return real(context);
}

/* ---- system calls --------------------------------------------------------------------------------------------- */

static long call_int80(long number)
{
#ifdef __x86_64__
    long result;

    /* The kernel's 32-bit entry clears what a 64-bit caller may have in r8 to r11. */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    return -ENOSYS;
#endif
}

static long argument(char *text)
{
    return text[0] == 'p' ? (long)(uintptr_t)page
         : text[0] == 's' ? (long)(uintptr_t)(text + 2)
                          : (long)strtoull(text, NULL, 0);
}

static long system_call(char *text)
{
    char *save = NULL, *word = strtok_r(text, " ", &save);
    long number = strtol(word, NULL, 0), args[ARGS] = { 0 }, result;

    for (int i = 0; i < ARGS && (word = strtok_r(NULL, " ", &save)); i++) {
        args[i] = argument(word);
    }
    result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    return result == -1 ? -errno : result;
}

static void run_steps(char *text)
{
    char *save = NULL;

    for (char *step = strtok_r(text, ";", &save); step; step = strtok_r(NULL, ";", &save)) {
        long result = strncmp(step, "call ", 5) == 0 ? library_call(step + 5)
                    : strncmp(step, "ring ", 5) == 0 ? ring_operation(step + 5)
                    : strncmp(step, "int80 ", 6) == 0 ? call_int80(strtol(step + 6, NULL, 0))
                                                      : system_call(step);
        char line[64];
        int len = snprintf(line, sizeof(line), "probe: %ld\n", result);

        if (write(STDERR_FILENO, line, (size_t)len) != len) {
            break;
        }
    }
    _exit(STATUS);
}

int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask)
{
    if (steps && !timeout) {
        run_steps(steps);
    }
    return (int)syscall(SYS_epoll_pwait2, fd, events, max, timeout, mask, sizeof(*mask));
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    /* What ps shows, which a helper writes over its arguments. */
    if (opener_steps && strcmp(program_invocation_name, "mpqemu: opener") == 0) {
        run_steps(opener_steps);
    }
    return (int)syscall(SYS_poll, fds, count, timeout);
}
