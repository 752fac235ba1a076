/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A link's socket without the kernel.
 * Runs in: fuzz targets
 */
#include "fuzz-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/fd-socket.h"
#include "util/fd.h"

#define SENDS_MAX 64
#define FDS_MAX 15
#define FAKE_FD 1000    /* our end; the peer's descriptors follow */
#define FAKE_FDS 512    /* more than an input can send */

int __wrap_getsockopt(int sock, int level, int name, void *value, socklen_t *len);
int __wrap_setsockopt(int sock, int level, int name, const void *value, socklen_t len);
bool __wrap_fd_socket_is_connected(int sock);
FdKind __wrap_fd_kind(int fd);
void __wrap_fd_close(int *fd);
int __wrap_fd_set_cloexec(int fd);
int __wrap_fd_set_nonblock(int fd, bool nonblock);
ssize_t __wrap_fd_socket_send(int sock, const void *buf, size_t len, const int *fds, unsigned num_fds, int flags);
ssize_t __wrap_fd_socket_receive(int sock, void *buf, size_t len, FdSet *ret_set, int flags);
int __real_getsockopt(int sock, int level, int name, void *value, socklen_t *len);
int __real_setsockopt(int sock, int level, int name, const void *value, socklen_t len);
bool __real_fd_socket_is_connected(int sock);
FdKind __real_fd_kind(int fd);
void __real_fd_close(int *fd);
int __real_fd_set_cloexec(int fd);
int __real_fd_set_nonblock(int fd, bool nonblock);
ssize_t __real_fd_socket_send(int sock, const void *buf, size_t len, const int *fds, unsigned num_fds, int flags);
ssize_t __real_fd_socket_receive(int sock, void *buf, size_t len, FdSet *ret_set, int flags);

typedef struct Send {
    const uint8_t *data; /* the caller's, until the end of the input */
    size_t len, done;
    unsigned kinds[FDS_MAX], num;
} Send;

static FuzzSocketMode mode;
static int peer = -1, lowest; /* KERNEL: the peer's end; the number the next descriptor had before */
static Send sends[SENDS_MAX];
static unsigned num_sends, next_send;
static bool peer_sends, peer_reads;
/* Kind of each number given out, FD_KIND_INVALID when closed. */
static FdKind fakes[FAKE_FDS];
static unsigned num_fakes;

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

/* One of each kind for the peer to send, made at the first call and kept. */
static const int *real_fds(void)
{
    static int fds[FUZZ_FD_KINDS] = { -1 };

    if (fds[0] < 0) {
        fds[0] = memfd_create("fuzz", MFD_CLOEXEC);
        fds[1] = eventfd(0, EFD_CLOEXEC);
        fds[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        fds[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    return fds;
}

static int fake_open(FdKind kind)
{
    if (num_fakes == FAKE_FDS) {
        abort();
    }
    fakes[num_fakes] = kind;
    return FAKE_FD + (int)num_fakes++;
}

static FdKind *fake_of(int fd)
{
    if (fd < FAKE_FD || fd >= FAKE_FD + (int)num_fakes || fakes[fd - FAKE_FD] == FD_KIND_INVALID) {
        abort();
    }
    return &fakes[fd - FAKE_FD];
}

static int lowest_fd(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

FdKind __wrap_fd_kind(int fd)
{
    return mode == FUZZ_SOCKET_KERNEL ? __real_fd_kind(fd) : *fake_of(fd);
}

void __wrap_fd_close(int *fd)
{
    if (mode == FUZZ_SOCKET_KERNEL) {
        __real_fd_close(fd);
    } else if (*fd >= 0) {
        *fake_of(*fd) = FD_KIND_INVALID;
        *fd = -1;
    }
}

int __wrap_fd_set_cloexec(int fd)
{
    return mode == FUZZ_SOCKET_KERNEL ? __real_fd_set_cloexec(fd) : 0;
}

int __wrap_fd_set_nonblock(int fd, bool nonblock)
{
    return mode == FUZZ_SOCKET_KERNEL ? __real_fd_set_nonblock(fd, nonblock) : 0;
}

/* ---- the socket -------------------------------------------------------------------------------------------------- */

int __wrap_getsockopt(int sock, int level, int name, void *value, socklen_t *len)
{
    if (mode == FUZZ_SOCKET_KERNEL) {
        return __real_getsockopt(sock, level, name, value, len);
    }
    *(int *)value = name == SO_DOMAIN ? AF_UNIX : SOCK_STREAM;
    return 0;
}

int __wrap_setsockopt(int sock, int level, int name, const void *value, socklen_t len)
{
    return mode == FUZZ_SOCKET_KERNEL ? __real_setsockopt(sock, level, name, value, len) : 0;
}

bool __wrap_fd_socket_is_connected(int sock)
{
    return mode == FUZZ_SOCKET_MODEL || __real_fd_socket_is_connected(sock);
}

ssize_t __wrap_fd_socket_send(int sock, const void *buf, size_t len, const int *fds, unsigned num_fds, int flags)
{
    if (mode == FUZZ_SOCKET_KERNEL) {
        return __real_fd_socket_send(sock, buf, len, fds, num_fds, flags);
    }
    fake_of(sock);
    return peer_reads ? (ssize_t)len : -EPIPE;
}

/* The descriptors of SEND arrive: what does not fit is closed by the kernel. */
static void deliver_fds(Send *s, FdSet *set)
{
    static const FdKind kinds[FUZZ_FD_KINDS] = { FD_KIND_SHMEM, FD_KIND_EVENTFD, FD_KIND_SOCKET, FD_KIND_CHAR };

    set->truncated = s->num > FD_SOCKET_MAX;
    set->num = s->num < FD_SOCKET_MAX ? s->num : FD_SOCKET_MAX;
    for (unsigned i = 0; i < set->num; i++) {
        set->fds[i] = fake_open(kinds[s->kinds[i]]);
    }
}

ssize_t __wrap_fd_socket_receive(int sock, void *buf, size_t len, FdSet *ret_set, int flags)
{
    size_t got = 0;

    if (mode == FUZZ_SOCKET_KERNEL) {
        return __real_fd_socket_receive(sock, buf, len, ret_set, flags);
    }
    fake_of(sock);
    ret_set->num = 0;
    ret_set->truncated = false;
    while (got < len && next_send < num_sends) {
        Send *s = &sends[next_send];
        size_t n = s->len - s->done < len - got ? s->len - s->done : len - got;
        bool with_fds = s->num > 0 && s->done == 0;

        memcpy((uint8_t *)buf + got, s->data + s->done, n);
        got += n;
        s->done += n;
        if (with_fds) {
            deliver_fds(s, ret_set);
        }
        next_send += s->done == s->len;
        if (with_fds || s->done < s->len) {
            break;
        }
    }
    return got ? (ssize_t)got : peer_sends ? -EAGAIN : 0;
}

/* ---- the peer ---------------------------------------------------------------------------------------------------- */

int fuzz_socket_open(FuzzSocketMode new_mode)
{
    int pair[2];

    mode = new_mode;
    num_sends = next_send = num_fakes = 0;
    peer_sends = peer_reads = true;
    if (mode == FUZZ_SOCKET_MODEL) {
        return fake_open(FD_KIND_SOCKET);
    }
    real_fds();
    lowest = lowest_fd();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    peer = pair[1];
    return pair[0];
}

static void kernel_send(const void *data, size_t len, const unsigned *kinds, unsigned num)
{
    union {
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { (void *)data, len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    int fds[FDS_MAX];

    if (num > 0) {
        struct cmsghdr *c;

        for (unsigned i = 0; i < num; i++) {
            fds[i] = real_fds()[kinds[i]];
        }
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(num * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(num * sizeof(int));
        memcpy(CMSG_DATA(c), fds, num * sizeof(int));
    }
    sendmsg(peer, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void fuzz_socket_peer_send(const void *data, size_t len, const unsigned *kinds, unsigned num)
{
    Send *s = &sends[num_sends];

    if (mode == FUZZ_SOCKET_KERNEL) {
        kernel_send(data, len, kinds, num);
    } else if (num_sends < SENDS_MAX && len > 0) {
        *s = (Send) { .data = data, .len = len, .num = num };
        memcpy(s->kinds, kinds, num * sizeof(*kinds));
        num_sends++;
    }
}

void fuzz_socket_peer_hang_up(bool both)
{
    peer_sends = false;
    peer_reads = !both;
    if (mode == FUZZ_SOCKET_KERNEL) {
        if (both) {
            close(peer);
            peer = -1;
        } else {
            shutdown(peer, SHUT_WR);
        }
    }
}

unsigned fuzz_socket_finish(void)
{
    unsigned open_fds = 0;

    if (mode == FUZZ_SOCKET_KERNEL) {
        if (peer >= 0) {
            close(peer);
            peer = -1;
        }
        return lowest_fd() != lowest;
    }
    for (unsigned i = 0; i < num_fakes; i++) {
        open_fds += fakes[i] != FD_KIND_INVALID;
    }
    return open_fds;
}
