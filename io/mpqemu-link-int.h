/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the mpqemu link: what both roles have.
 *
 * Thread: one at a time for each link.  Runs in: both programs.
 */
#ifndef IO_MPQEMU_LINK_INT_H
#define IO_MPQEMU_LINK_INT_H

#include "fd-socket.h"
#include "io/mpqemu-link.h"
#include "mpqemu-msg.h"

#define WIRE_MAX (MPQEMU_HEADER_SIZE + MPQEMU_PAYLOAD_MAX)

/* Room for about a hundred glued register accesses; a chunk is worked off before the next is read. */
#define BUFFER_SIZE 4096

/* The descriptors of the message that begins at link->in[start]. */
typedef struct PendingSet {
    size_t start;
    FdSet set;
} PendingSet;

struct MpqemuLink {
    int fd; /* -1 once closed */
    MpqemuRole role;
    MpqemuLinkState state;
    char *name;
    MpqemuWhy reason;
    MpqemuLinkStats stats;
    void (*closing)(void *opaque); /* may be NULL */
    void *closing_opaque;

    /* Received and not yet handed out: in[head..tail). */
    uint8_t in[BUFFER_SIZE];
    size_t head, tail;
    PendingSet sets[2]; /* by start; mpqemu-link.c tells why two suffice */
    unsigned num_sets;

    /* Server: a reply that the socket did not take. */
    uint8_t kept[WIRE_MAX];
    size_t kept_len;

    /* Client: the SO_RCVTIMEO in force, and when it was looked for unasked bytes. */
    int64_t recv_timeout_ns;
    int64_t silence_ns;
};

/* Closes after a failed system call and passes its errno on. */
int mpqemu_link_close_errno(MpqemuLink *link, const char *what, int error);

/* Closes because of what the peer sent; the reason stands in link->reason. */
int mpqemu_link_refuse(MpqemuLink *link);

/*
 * One recvmsg() to the buffer.  Returns 1, 0 when it would block, was interrupted or timed out, or -errno: CLOSED.
 * Only called while the buffer holds less than a message.
 */
int mpqemu_link_read_chunk(MpqemuLink *link, int flags);

/*
 * Takes a message out of the buffer.  Returns 1 with *msg and *ret_size set, 0 when none is whole, or -EPROTO: the
 * link is CLOSED.  *ret_bad_field tells that only msg->cmd is good.
 */
int mpqemu_link_next_message(MpqemuLink *link, MpqemuMsg *msg, size_t *ret_size, bool *ret_bad_field);

/* One sendmsg() that does not wait.  Returns 0, -EAGAIN (nothing was sent), or another -errno: CLOSED. */
int mpqemu_link_write_message(MpqemuLink *link, const uint8_t *wire, size_t len, const int *fds, unsigned num_fds);

#endif
