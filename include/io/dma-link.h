/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DMA socket of dma=bounce: a device process asks for copies between guest RAM and the window that both share
 * (docs/interop/mpqemu-link.rst, "Bounced DMA").
 *
 * Thread: any; one thread at a time for a socket.  Runs in: both programs (qemu-remote asks, mpqemu copies).
 *
 * The socket is SOCK_SEQPACKET: a message is one packet, whole or not at all.  Requests and answers are of a few
 * hundred bytes at most; no byte of guest memory goes through the socket.  One request is under way at a time.
 *
 * Both sides distrust each other.  What breaks the form below is -EPROTO, and the owner ends the link.
 */
#ifndef IO_DMA_LINK_H
#define IO_DMA_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "util/syscalls.h"

/* Bytes of the window: the bound of the memory that a device has under way. 1 MiB holds the largest common request. */
#define DMA_LINK_WINDOW (UINT32_C(1) << 20)

/* Pieces of one request: 64 KiB in pages, so that an ordinary transfer is one exchange. */
#define DMA_LINK_PIECES_MAX 16

typedef enum DmaLinkKind {
    DMA_LINK_READ = 1,  /* guest RAM to window */
    DMA_LINK_WRITE = 2, /* window to guest RAM */
} DmaLinkKind;

typedef struct DmaLinkPiece {
    uint64_t gpa;    /* any: what is no RAM there is told by the result */
    uint32_t len;    /* validated: 1 to DMA_LINK_WINDOW */
    uint32_t offset; /* in the window; validated: offset + len <= DMA_LINK_WINDOW */
} DmaLinkPiece;

typedef struct DmaLinkRequest {
    uint32_t serial; /* comes back with the answer */
    DmaLinkKind kind;
    unsigned count;  /* validated: 1 to DMA_LINK_PIECES_MAX */
    DmaLinkPiece pieces[DMA_LINK_PIECES_MAX];
} DmaLinkRequest;

typedef enum DmaLinkResult {
    DMA_LINK_OK = 0,
    DMA_LINK_NO_RAM = 1,  /* a piece is not all RAM, or the device may not master the bus; others may be done */
    DMA_LINK_REFUSED = 2, /* RAM that refuses: read-only */
    DMA_LINK_RESULT_MAX = 3,
} DmaLinkResult;

/*
 * Makes the two ends; both are close-on-exec.  *ret_server is for the copying side, *ret_client to be passed.  The
 * options of the client's end are set here, so that the device process needs no system call for that: what it sends and
 * waits for ends after TIMEOUT_MS.  Returns 0 or a negative errno.
 */
int dma_link_pair(unsigned timeout_ms, int *ret_server, int *ret_client);

/*
 * Server.  Waits for a request; shutdown() of the socket ends the wait.  Returns 1, 0 at the end of the connection, or
 * a negative errno; for -EPROTO *ret_why says what was wrong.
 */
int dma_link_receive(int fd, DmaLinkRequest *ret_request, const char **ret_why);

/* Server.  Answers without waiting: -EAGAIN from a peer that does not read its answers.  0 or a negative errno. */
int dma_link_answer(int fd, uint32_t serial, DmaLinkResult result);

/*
 * Client.  Sends REQUEST (valid) and waits for its answer.  Returns 0 or a negative errno, after which the position in
 * the stream is unknown: -ETIMEDOUT, -EPROTO, -ECONNRESET at the end of the connection, or another.
 */
int dma_link_call(int fd, const DmaLinkRequest *request, DmaLinkResult *ret_result);

/* What the main emulator needs, and a device process. */
extern const SyscallTable dma_link_server_syscalls;
extern const SyscallTable dma_link_client_syscalls;

#endif
