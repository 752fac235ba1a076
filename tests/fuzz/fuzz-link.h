/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both fuzz targets of the link share: a socket pair and the input as a series of sends.
 * Runs in: fuzz targets
 *
 * Input: sends, one after the other:
 *     1 byte   LEN - 1: bytes of this send (1 to 256; what is missing at the end of the input is left out)
 *     1 byte   low 4 bits: descriptors of this send; high 4 bits: which (FUZZ_FD_KINDS; every second one is the next)
 *     LEN      the bytes
 * tests/fuzz/link_seeds.py writes the seeds.
 */
#ifndef TESTS_FUZZ_LINK_H
#define TESTS_FUZZ_LINK_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/mpqemu-link.h"

#define FUZZ_FD_KINDS 4
#define FUZZ_SENDS_MAX 32 /* fewer bytes than a socket takes before it blocks */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* memfd, eventfd, socket, /dev/null; made at the first call and kept. */
static inline const int *fuzz_fds(void)
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

/* The number the next descriptor will have: it changes when some are left open or closed too often. */
static inline int fuzz_lowest_fd(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

/* Sends the next part of the input to SOCK; false at its end. */
static inline bool fuzz_send(int sock, const uint8_t **data, size_t *left)
{
    union {
        char bytes[CMSG_SPACE(16 * sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov;
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    unsigned num, kind;

    if (*left < 3) {
        return false;
    }
    num = (*data)[1] & 15;
    kind = (*data)[1] >> 4;
    iov.iov_base = (void *)(*data + 2);
    iov.iov_len = MIN((*data)[0] + 1u, *left - 2);
    if (num) {
        struct cmsghdr *c;
        int fds[16];

        for (unsigned i = 0; i < num; i++) {
            /* Kinds 0 to 3 alone, 4 and more mixed. */
            fds[i] = fuzz_fds()[(kind + (kind >= FUZZ_FD_KINDS ? i : 0)) % FUZZ_FD_KINDS];
        }
        mh.msg_control = &control;
        mh.msg_controllen = CMSG_SPACE(num * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(num * sizeof(int));
        memcpy(CMSG_DATA(c), fds, num * sizeof(int));
    }
    sendmsg(sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
    *data += 2 + iov.iov_len;
    *left -= 2 + iov.iov_len;
    return true;
}

static inline MpqemuLink *fuzz_link(MpqemuRole role, int *ret_raw)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        abort();
    }
    *ret_raw = pair[1];
    return mpqemu_link_new_take_fd(pair[0], role, "fuzz", NULL);
}

#endif
