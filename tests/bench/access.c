/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Benchmark client: latency of single accesses, measured from outside both programs.
 * Runs in: neither program; tests/bench/run.py starts it and reads its JSON lines.
 *
 *   access floor COUNT                      a socketpair echo between two processes on one core, and the same through a
 *                                           third process that only passes bytes on: what one more hop costs at least
 *   access remote COUNT -- PROGRAM ARG...   a bare link client on a device process
 *   access main COUNT -- PROGRAM ARG...     a main emulator by qtest; its remote is a process that answers at once
 *
 * In ARGs "@FD@" becomes the number of the link's socket, "@QTEST@" that of the qtest socket's path.  It speaks the
 * link's bytes by docs/interop/mpqemu-link.rst and shares no code with the programs.  All processes run on one core, so
 * that no figure holds a wake-up across cores.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CFGWRITE = 2, CFGREAD = 3, BAR_WRITE = 4, BAR_READ = 5, SYNC = 0, RET = 1, SET_IRQFD = 6, RESET = 7 };

typedef struct Frame {
    uint32_t cmd, pad;
    uint64_t size;
    union {
        struct {
            uint32_t addr, val, len;
        } conf;
        struct {
            uint64_t addr, val;
            uint32_t size;
            uint8_t memory, pad[3];
        } bar;
        uint64_t ret;
        uint8_t bytes[192];
    };
} Frame;

#define BAR1 0xe0000000u

static pid_t child;

static void die(const char *what)
{
    perror(what);
    if (child > 0) {
        kill(child, SIGKILL);
    }
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pin(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set); /* a machine without the right to: the figures tell */
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *name, uint64_t *samples, unsigned count)
{
    qsort(samples, count, sizeof(*samples), compare_u64);
    printf("{\"name\": \"%s\", \"p10\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f}\n", name,
           (double)samples[count / 10] / 1e3, (double)samples[count / 2] / 1e3, (double)samples[count * 9 / 10] / 1e3,
           (double)samples[count * 99ull / 100] / 1e3);
    fflush(stdout);
}

static void report_number(const char *name, double value)
{
    printf("{\"name\": \"%s\", \"value\": %.3f}\n", name, value);
    fflush(stdout);
}

/* ---- the link --------------------------------------------------------------------------------------------------- */

static void read_all(int fd, void *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)buf + done, len - done);

        if (n <= 0) {
            die("link: peer closed");
        }
        done += (size_t)n;
    }
}

static uint64_t exchange(int fd, Frame *frame, size_t payload)
{
    uint8_t reply[24];
    uint64_t value;

    frame->size = payload;
    if (write(fd, frame, 16 + payload) != (ssize_t)(16 + payload)) {
        die("link: write");
    }
    read_all(fd, reply, sizeof(reply));
    memcpy(&value, reply + 16, 8);
    return value;
}

static uint64_t config(int fd, int write_it, uint32_t addr, uint32_t val, uint32_t len)
{
    Frame frame = { .cmd = write_it ? CFGWRITE : CFGREAD };

    frame.conf.addr = addr;
    frame.conf.val = val;
    frame.conf.len = len;
    return exchange(fd, &frame, 12);
}

static uint64_t bar(int fd, int write_it, uint64_t addr, uint64_t val, uint32_t size)
{
    Frame frame = { .cmd = write_it ? BAR_WRITE : BAR_READ };

    frame.bar.addr = addr;
    frame.bar.val = val;
    frame.bar.size = size;
    frame.bar.memory = 1;
    return exchange(fd, &frame, 24);
}

/* Starts argv with "@FD@" and "@QTEST@" filled in; keeps FD open in it. */
static void spawn(char **argv, int fd, const char *qtest)
{
    child = fork();
    if (child < 0) {
        die("fork");
    }
    if (child) {
        return;
    }
    for (char **arg = argv; *arg; arg++) {
        char *at = strstr(*arg, "@FD@");
        char *text;

        if (at && asprintf(&text, "%.*s%d%s", (int)(at - *arg), *arg, fd, at + 4) >= 0) {
            *arg = text;
        }
        at = strstr(*arg, "@QTEST@");
        if (at && asprintf(&text, "%.*s%s%s", (int)(at - *arg), *arg, qtest, at + 7) >= 0) {
            *arg = text;
        }
    }
    execvp(argv[0], argv);
    die(argv[0]);
}

static void measure_remote(unsigned count, char **argv)
{
    uint64_t *samples = calloc(count, sizeof(*samples));
    uint64_t start = now_ns();
    int pair[2];
    char name[256];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        die("socketpair");
    }
    fcntl(pair[0], F_SETFD, FD_CLOEXEC); /* else the device process would hold its own peer open */
    spawn(argv, pair[1], NULL);
    close(pair[1]);
    if ((config(pair[0], 0, 0, 0, 2) & 0xffff) != 0x1000) {
        fprintf(stderr, "no LSI controller at the other end\n");
        exit(1);
    }
    report_number("first answer after exec (ms)", (double)(now_ns() - start) / 1e6);

    usleep(300000); /* a stock remote answers before its own start-up reset, which clears the BARs */
    config(pair[0], 1, 0x14, BAR1, 4);
    config(pair[0], 1, 0x04, 2, 2);
    static const struct {
        const char *name;
        int is_bar, is_write;
        uint32_t addr;
    } kinds[] = {
        { "config read", 0, 0, 0x00 },
        { "config write", 0, 1, 0x0c },
        { "BAR read", 1, 0, 0x34 },
        { "BAR write", 1, 1, 0x34 }, /* SCRATCHA: no side effect */
    };
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t t = now_ns();

            if (kinds[k].is_bar) {
                bar(pair[0], kinds[k].is_write, BAR1 + kinds[k].addr, 0x11, 4);
            } else {
                config(pair[0], kinds[k].is_write, kinds[k].addr, 0, 4);
            }
            samples[i] = now_ns() - t;
        }
        report(kinds[k].name, samples, count);
    }

    snprintf(name, sizeof(name), "/proc/%d/smaps_rollup", child);
    FILE *rollup = fopen(name, "r");
    char line[256];
    long kib;
    while (rollup && fgets(line, sizeof(line), rollup)) {
        if (sscanf(line, "Pss: %ld kB", &kib) == 1) {
            report_number("PSS (MiB)", (double)kib / 1024);
        } else if (sscanf(line, "Rss: %ld kB", &kib) == 1) {
            report_number("RSS (MiB)", (double)kib / 1024);
        }
    }
    close(pair[0]);
    waitpid(child, NULL, 0);
    free(samples);
}

/* ---- a device that answers at once ---------------------------------------------------------------------------- */

static void fake_remote(int fd)
{
    uint8_t space[256] = { 0x00, 0x10, 0x12, 0x00, [0x0a] = 0x00, [0x0b] = 0x01, [0x3d] = 1 };
    uint32_t bar1 = 0;
    Frame in;

    for (;;) {
        struct {
            uint32_t cmd, pad;
            uint64_t size, value;
        } reply = { RET, 0, 8, 0 };
        /* Both emulators send a message whole and wait for its answer, so one read takes one message. */
        ssize_t n = read(fd, &in, sizeof(in));

        if (n < 16 || (size_t)n != 16 + in.size) {
            _exit(0);
        }
        switch (in.cmd) {
        case SYNC:
        case SET_IRQFD:
            continue;
        case RESET:
            reply.size = 0;
            break;
        case CFGREAD:
            if (in.conf.addr == 0x14 && in.conf.len == 4) {
                reply.value = bar1 & 0xfffffc00;
            } else if (in.conf.addr + in.conf.len <= sizeof(space)) {
                memcpy(&reply.value, space + in.conf.addr, in.conf.len);
            }
            break;
        case CFGWRITE:
            if (in.conf.addr == 0x14) {
                bar1 = in.conf.val;
            } else if (in.conf.addr == 4) {
                memcpy(space + 4, &in.conf.val, 2);
            }
            break;
        default:
            break;
        }
        if (write(fd, &reply, 16 + reply.size) < 0) {
            _exit(0);
        }
    }
}

/* ---- a main emulator by qtest ----------------------------------------------------------------------------------- */

static int qtest_fd;

static void qtest(const char *command, char *answer, size_t size)
{
    size_t len = strlen(command), have = 0;

    if (write(qtest_fd, command, len) != (ssize_t)len) {
        die("qtest: write");
    }
    for (;;) {
        ssize_t n = read(qtest_fd, answer + have, size - 1 - have);

        if (n <= 0) {
            die("qtest: peer closed");
        }
        have += (size_t)n;
        answer[have] = 0;
        if (answer[have - 1] == '\n' && strstr(answer, "OK")) {
            return;
        }
        if (strstr(answer, "FAIL") || strstr(answer, "ERR")) {
            fprintf(stderr, "qtest: %s -> %s\n", command, answer);
            exit(1);
        }
    }
}

static void connect_qtest(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    qtest_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int tries = 0; connect(qtest_fd, (struct sockaddr *)&addr, sizeof(addr)); tries++) {
        if (tries > 3000) {
            die(path);
        }
        usleep(10000);
    }
}

static void measure_main(unsigned count, char **argv)
{
    static const struct {
        const char *name, *command;
    } kinds[] = {
        { "qtest floor (inl of a local port)", "inl 0xcf8\n" },
        { "proxied config read", "inl 0xcfc\n" },
        { "proxied BAR read", "readl 0xe0000034\n" },
        { "proxied BAR write", "writel 0xe0000034 0x11\n" },
    };
    uint64_t *samples = calloc(count, sizeof(*samples));
    char answer[256], path[] = "/tmp/mpqemu-bench-XXXXXX";
    char command[64];
    int pair[2];
    pid_t fake;

    if (!mkdtemp(path) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) {
        die("set-up");
    }
    char socket_path[64];
    snprintf(socket_path, sizeof(socket_path), "%s/qtest", path);
    fake = fork();
    if (fake == 0) {
        close(pair[0]);
        fake_remote(pair[1]);
    }
    close(pair[1]);
    spawn(argv, pair[0], socket_path);
    close(pair[0]);
    connect_qtest(socket_path);

    /* Slot 4, function 0: BAR1 and memory decoding. */
    snprintf(command, sizeof(command), "outl 0xcf8 0x%x\n", 0x80002014u);
    qtest(command, answer, sizeof(answer));
    snprintf(command, sizeof(command), "outl 0xcfc 0x%x\n", BAR1);
    qtest(command, answer, sizeof(answer));
    qtest("outl 0xcf8 0x80002004\n", answer, sizeof(answer));
    qtest("outw 0xcfc 0x2\n", answer, sizeof(answer));
    qtest("outl 0xcf8 0x80002000\n", answer, sizeof(answer));
    qtest("inl 0xcfc\n", answer, sizeof(answer));
    if (!strstr(answer, "121000")) {
        fprintf(stderr, "no proxied device in slot 4: %s\n", answer);
        exit(1);
    }
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (unsigned i = 0; i < count; i++) {
            uint64_t t = now_ns();

            qtest(kinds[k].command, answer, sizeof(answer));
            samples[i] = now_ns() - t;
        }
        report(kinds[k].name, samples, count);
    }
    close(qtest_fd);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    kill(fake, SIGKILL);
    waitpid(fake, NULL, 0);
    unlink(socket_path);
    rmdir(path);
    free(samples);
}

/* A process that answers each request on FD: at once, or with what NEXT (>= 0) answers to it. */
static pid_t echo_process(int fd, int next, int unused)
{
    char buf[64];
    ssize_t n;
    pid_t pid = fork();

    if (pid) {
        return pid;
    }
    close(unused);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (next >= 0 && (write(next, buf, (size_t)n) != n || read(next, buf, sizeof(buf)) <= 0)) {
            break;
        }
        if (write(fd, buf, 24) < 0) {
            break;
        }
    }
    _exit(0);
}

static void measure_echo(const char *name, int fd, uint64_t *samples, unsigned count)
{
    char buf[64] = "";

    for (unsigned i = 0; i < count; i++) {
        uint64_t t = now_ns();

        if (write(fd, buf, 40) != 40) {
            die("write");
        }
        read_all(fd, buf, 24);
        samples[i] = now_ns() - t;
    }
    report(name, samples, count);
}

static void measure_floor(unsigned count)
{
    uint64_t *samples = calloc(count, sizeof(*samples));
    int near[2], far[2];
    pid_t echo, relay;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, near) || socketpair(AF_UNIX, SOCK_STREAM, 0, far)) {
        die("socketpair");
    }
    echo = echo_process(far[1], -1, far[0]);
    measure_echo("floor: socketpair echo", far[0], samples, count);
    relay = echo_process(near[1], far[0], near[0]);
    measure_echo("floor: echo through one more process", near[0], samples, count);
    kill(relay, SIGKILL);
    kill(echo, SIGKILL);
    waitpid(relay, NULL, 0);
    waitpid(echo, NULL, 0);
    free(samples);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;

    signal(SIGPIPE, SIG_IGN);
    if (!count || (strcmp(argv[1], "floor") && (argc < 5 || strcmp(argv[3], "--")))) {
        fprintf(stderr, "usage: access floor|remote|main COUNT [-- PROGRAM ARG...]\n");
        return 1;
    }
    pin();
    if (!strcmp(argv[1], "floor")) {
        measure_floor(count);
    } else if (!strcmp(argv[1], "remote")) {
        measure_remote(count, argv + 4);
    } else {
        measure_main(count, argv + 4);
    }
    return 0;
}
