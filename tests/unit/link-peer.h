/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bare other end of an mpqemu link for the tests: bytes and descriptors in any shape.
 * Runs in: tests (one thread, unless a test says otherwise)
 *
 * Nothing here uses io/: the constants are written down again from docs/interop/mpqemu-link.rst.
 */
#ifndef TESTS_LINK_PEER_H
#define TESTS_LINK_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib.h>
#include "count-fds.h"
#include "io/mpqemu-link.h"

#define RAW_FDS_MAX 16
#define SECOND INT64_C(1000000000)

typedef struct Peer {
    MpqemuLink *link;
    int raw; /* the other end */
    int fds_before;
} Peer;

static inline Peer peer_open(MpqemuRole role)
{
    Peer p = { .fds_before = count_fds() };
    int pair[2];
    GError *error = NULL;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    p.raw = pair[1];
    p.link = mpqemu_link_new_take_fd(pair[0], role, "lsi0", &error);
    g_assert_no_error(error);
    return p;
}

static inline void peer_hang_up(Peer *p)
{
    close(p->raw);
    p->raw = -1;
}

/* Ends the pair; whatever happened in between, no descriptor may be left. */
static inline void peer_close(Peer *p)
{
    mpqemu_link_free(p->link);
    if (p->raw >= 0) {
        close(p->raw);
    }
    g_assert_cmpint(count_fds(), ==, p->fds_before);
}

/* One sendmsg() of LEN bytes with NUM descriptors. */
static inline void raw_send(int sock, const void *bytes, size_t len, const int *fds, unsigned num)
{
    union {
        char bytes[CMSG_SPACE(RAW_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (num) {
        struct cmsghdr *c;

        g_assert_cmpuint(num, <=, RAW_FDS_MAX);
        memset(&control, 0, sizeof(control));
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(num * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(num * sizeof(int));
        memcpy(CMSG_DATA(c), fds, num * sizeof(int));
    }
    g_assert_cmpint(sendmsg(sock, &mh, MSG_NOSIGNAL), ==, len);
}

/* What one recvmsg() gives, without waiting; the descriptors are counted and closed. */
static inline ssize_t raw_receive(int sock, void *bytes, size_t room, unsigned *ret_fds)
{
    union {
        char bytes[CMSG_SPACE(RAW_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { .iov_base = bytes, .iov_len = room };
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 && mh.msg_controllen ? CMSG_FIRSTHDR(&mh) : NULL;

    *ret_fds = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    for (unsigned i = 0; i < *ret_fds; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
        close(fd);
    }
    return n;
}

static inline void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = v >> (8 * i);
    }
}

static inline void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = v >> (8 * i);
    }
}

/* A message as bytes. */
typedef struct Wire {
    size_t len;
    uint8_t bytes[16 + 256];
} Wire;

/* Header and SIZE zero bytes (as many as fit: the header may lie). */
static inline Wire wire_plain(uint32_t cmd, uint64_t size)
{
    Wire w = { .len = 16 + MIN(size, 256) };

    put32(w.bytes, cmd);
    put64(w.bytes + 8, size);
    return w;
}

static inline Wire wire_conf(uint32_t cmd, uint32_t addr, uint32_t val, uint32_t len)
{
    Wire w = wire_plain(cmd, 12);

    put32(w.bytes + 16, addr);
    put32(w.bytes + 20, val);
    put32(w.bytes + 24, len);
    return w;
}

static inline Wire wire_bar(uint32_t cmd, uint64_t addr, uint64_t val, uint32_t size, uint8_t memory)
{
    Wire w = wire_plain(cmd, 24);

    put64(w.bytes + 16, addr);
    put64(w.bytes + 24, val);
    put32(w.bytes + 32, size);
    w.bytes[36] = memory;
    return w;
}

static inline void wire_range(Wire *w, unsigned i, uint64_t gpa, uint64_t size, uint64_t offset)
{
    put64(w->bytes + 16 + 8 * i, gpa);
    put64(w->bytes + 80 + 8 * i, size);
    put64(w->bytes + 144 + 8 * i, offset);
}

/* A memory table of NUM ranges of 64 KiB side by side from 1 MiB on. */
static inline Wire wire_sync(unsigned num)
{
    Wire w = wire_plain(0, 192);

    for (unsigned i = 0; i < num; i++) {
        wire_range(&w, i, 0x100000 + 0x10000 * i, 0x10000, 0x10000 * i);
    }
    return w;
}

static inline Wire wire_ret(uint64_t value)
{
    Wire w = wire_plain(1, 8);

    put64(w.bytes + 16, value);
    return w;
}

static inline int make_memfd(void)
{
    int fd = memfd_create("test-ram", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 1 << 20), ==, 0);
    return fd;
}

static inline int make_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static inline void close_all(int *fds, unsigned num)
{
    for (unsigned i = 0; i < num; i++) {
        close(fds[i]);
    }
}

/* True when A and B are descriptors of the same memfd. */
static inline bool same_file(int a, int b)
{
    struct stat x, y;

    g_assert_cmpint(fstat(a, &x), ==, 0);
    g_assert_cmpint(fstat(b, &y), ==, 0);
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static inline void send_wire(Peer *p, Wire w)
{
    raw_send(p->raw, w.bytes, w.len, NULL, 0);
}

/* Expects a good message. */
static inline MpqemuMsg receive_one(Peer *p)
{
    MpqemuMsg msg;
    bool error = true;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, 1);
    g_assert_false(error);
    return msg;
}

static inline void expect_nothing(Peer *p)
{
    MpqemuMsg msg;
    bool error;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, 0);
}

static inline void expect_end(Peer *p, int code, const char *reason)
{
    MpqemuMsg msg;
    bool error;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, code);
    g_assert_cmpint(mpqemu_link_state(p->link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p->link), ==, reason);
    g_assert_cmpint(mpqemu_link_fd(p->link), ==, -1);
    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, -ENOTCONN);
}

/* The next thing the raw end gets is WANT. */
static inline void expect_bytes(Peer *p, const Wire *want)
{
    uint8_t got[256];
    unsigned fds;
    ssize_t n = raw_receive(p->raw, got, sizeof(got), &fds);

    g_assert_cmpint(n, >=, 0);
    g_assert_cmpmem(got, n, want->bytes, want->len);
    g_assert_cmpuint(fds, ==, 0);
}

#endif
