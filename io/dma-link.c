/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DMA socket of dma=bounce: its messages.
 * Runs in: both
 *
 * As on the link the layout is spelled out byte by byte (little-endian), and a message is checked whole before its
 * owner sees it.  Buffers are one byte longer than the longest message, which shows one that is too long.
 */
#include "io/dma-link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fd-socket.h"

enum {
    REQUEST_SERIAL = 0,
    REQUEST_KIND = 4,
    REQUEST_COUNT = 8, /* 4 bytes, then 4 of padding */
    REQUEST_PIECES = 16,
};

enum {
    PIECE_GPA = 0,
    PIECE_LEN = 8,
    PIECE_OFFSET = 12,
    PIECE_SIZE = 16,
};

enum {
    ANSWER_SERIAL = 0,
    ANSWER_RESULT = 4,
    ANSWER_SIZE = 8,
};

#define REQUEST_MAX (REQUEST_PIECES + DMA_LINK_PIECES_MAX * PIECE_SIZE)

static uint32_t get_le32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT32_FROM_LE(v);
}

static uint64_t get_le64(const uint8_t *p)
{
    return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

static void put_le32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static void put_le64(uint8_t *p, uint64_t v)
{
    put_le32(p, (uint32_t)v);
    put_le32(p + 4, (uint32_t)(v >> 32));
}

const SyscallTable dma_link_server_syscalls = {
    "DMA link", (const SyscallRule[]) {
        SYSCALL(socketpair, "requests of a device without guest memory; local only", ARG_IS(0, AF_UNIX)),
        SYSCALL(setsockopt, "how long the device waits", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_RCVTIMEO)),
        SYSCALL(setsockopt, "how long the device waits", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_SNDTIMEO)),
        SYSCALL(recvmsg, "requests"),
        SYSCALL(sendmsg, "answers", FD_SOCKET_SENDS_AT_ONCE),
        SYSCALL_END,
    },
};

const SyscallTable dma_link_client_syscalls = {
    "DMA link", (const SyscallRule[]) {
        SYSCALL(sendmsg, "requests, of which each is waited for", FD_SOCKET_SENDS_WAITING),
        SYSCALL(recvmsg, "answers"),
        SYSCALL_END,
    },
};

int dma_link_pair(unsigned timeout_ms, int *ret_server, int *ret_client)
{
    struct timeval limit = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    if (setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
        setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0) {
        int error = errno;

        close(pair[0]);
        close(pair[1]);
        return -error;
    }
    *ret_server = pair[0];
    *ret_client = pair[1];
    return 0;
}

/* One packet without descriptors.  Returns its bytes, 0 at the end, or a negative errno. */
static ssize_t receive(int fd, void *buf, size_t size)
{
    FdSet set;
    ssize_t n;

    do {
        n = fd_socket_receive(fd, buf, size, &set, 0);
    } while (n == -EINTR);
    if (set.num || set.truncated) {
        fd_set_drop(&set);
        return -EPROTO;
    }
    return n == -ECONNRESET ? 0 : n;
}

/* ---- server ---------------------------------------------------------------------------------------------------- */

/* What is wrong with the N bytes of a request at WIRE, or NULL: then *ret is it. */
static const char *decode_request(const uint8_t *wire, size_t n, DmaLinkRequest *ret)
{
    if (n < REQUEST_PIECES) {
        return "a DMA request is too short";
    }
    ret->serial = get_le32(wire + REQUEST_SERIAL);
    ret->kind = get_le32(wire + REQUEST_KIND);
    ret->count = get_le32(wire + REQUEST_COUNT);
    if (ret->kind != DMA_LINK_READ && ret->kind != DMA_LINK_WRITE) {
        return "a DMA request is neither a read nor a write";
    }
    if (ret->count == 0 || ret->count > DMA_LINK_PIECES_MAX) {
        return "a DMA request has no piece, or too many";
    }
    if (n != REQUEST_PIECES + ret->count * PIECE_SIZE) {
        return "a DMA request has another size than its pieces need";
    }
    for (unsigned i = 0; i < ret->count; i++) {
        const uint8_t *p = wire + REQUEST_PIECES + i * PIECE_SIZE;
        DmaLinkPiece *piece = &ret->pieces[i];

        piece->gpa = get_le64(p + PIECE_GPA);
        piece->len = get_le32(p + PIECE_LEN);
        piece->offset = get_le32(p + PIECE_OFFSET);
        if (piece->len == 0 || piece->len > DMA_LINK_WINDOW || piece->offset > DMA_LINK_WINDOW - piece->len) {
            return "a DMA request leaves the window";
        }
    }
    return NULL;
}

int dma_link_receive(int fd, DmaLinkRequest *ret_request, const char **ret_why)
{
    uint8_t wire[REQUEST_MAX + 1];
    ssize_t n = receive(fd, wire, sizeof(wire));

    if (n == -EPROTO) {
        *ret_why = "a DMA request brings descriptors";
    }
    if (n <= 0) {
        return (int)n;
    }
    *ret_why = decode_request(wire, (size_t)n, ret_request);
    return *ret_why ? -EPROTO : 1;
}

int dma_link_answer(int fd, uint32_t serial, DmaLinkResult result)
{
    uint8_t wire[ANSWER_SIZE];
    ssize_t n;

    put_le32(wire + ANSWER_SERIAL, serial);
    put_le32(wire + ANSWER_RESULT, result);
    n = fd_socket_send(fd, wire, sizeof(wire), NULL, 0, MSG_DONTWAIT);
    return n < 0 ? (int)n : 0;
}

/* ---- client ---------------------------------------------------------------------------------------------------- */

static size_t encode_request(const DmaLinkRequest *request, uint8_t *wire)
{
    memset(wire, 0, REQUEST_PIECES);
    put_le32(wire + REQUEST_SERIAL, request->serial);
    put_le32(wire + REQUEST_KIND, request->kind);
    put_le32(wire + REQUEST_COUNT, request->count);
    for (unsigned i = 0; i < request->count; i++) {
        uint8_t *p = wire + REQUEST_PIECES + i * PIECE_SIZE;

        put_le64(p + PIECE_GPA, request->pieces[i].gpa);
        put_le32(p + PIECE_LEN, request->pieces[i].len);
        put_le32(p + PIECE_OFFSET, request->pieces[i].offset);
    }
    return REQUEST_PIECES + request->count * PIECE_SIZE;
}

int dma_link_call(int fd, const DmaLinkRequest *request, DmaLinkResult *ret_result)
{
    uint8_t wire[REQUEST_MAX];
    uint8_t answer[ANSWER_SIZE + 1];
    ssize_t n = fd_socket_send(fd, wire, encode_request(request, wire), NULL, 0, 0);

    if (n > 0) {
        n = receive(fd, answer, sizeof(answer));
    }
    if (n == -EAGAIN) {
        return -ETIMEDOUT;
    }
    if (n == 0 || n == -EPIPE) {
        return -ECONNRESET;
    }
    if (n < 0) {
        return (int)n;
    }
    if (n != ANSWER_SIZE || get_le32(answer + ANSWER_SERIAL) != request->serial ||
        get_le32(answer + ANSWER_RESULT) >= DMA_LINK_RESULT_MAX) {
        return -EPROTO;
    }
    *ret_result = get_le32(answer + ANSWER_RESULT);
    return 0;
}
