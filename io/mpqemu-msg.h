/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside io/: the messages of the mpqemu link as bytes, and the one table that says which are valid.
 *
 * Thread: any (no state).  Runs in: both programs.
 */
#ifndef IO_MPQEMU_MSG_H
#define IO_MPQEMU_MSG_H

#include <stddef.h>
#include "io/mpqemu-link.h"

/* A one-line reason for a refusal; fixed in size because a hostile peer decides how often it is written. */
typedef struct MpqemuWhy {
    char text[160];
} MpqemuWhy;

void mpqemu_why(MpqemuWhy *why, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

typedef enum MpqemuVerdict {
    MPQEMU_MSG_OK,
    MPQEMU_MSG_BAD_FIELD, /* well formed, but a field is out of range: the protocol can answer that with an error */
    MPQEMU_MSG_REFUSED,   /* the link must be closed */
} MpqemuVerdict;

/*
 * Checks the MPQEMU_HEADER_SIZE bytes at HEADER that arrived at the side ROLE: command, direction, size.
 * *ret_size gets the bytes of the payload (at most MPQEMU_PAYLOAD_MAX).
 */
bool mpqemu_header_check(MpqemuRole role, const uint8_t *header, size_t *ret_size, MpqemuWhy *why);

/*
 * Decodes the whole message at WIRE, whose header passed mpqemu_header_check() and whose descriptors are FDS.
 * On MPQEMU_MSG_OK *msg owns the descriptors.  On MPQEMU_MSG_BAD_FIELD only msg->cmd means something.
 */
MpqemuVerdict mpqemu_msg_decode(const uint8_t *wire, const int *fds, unsigned num_fds, MpqemuMsg *msg,
                                MpqemuWhy *why);

/* Would the peer accept MSG, a request?  The same table, seen by the sender. */
bool mpqemu_msg_check(const MpqemuMsg *msg, MpqemuWhy *why);

/* Writes MSG to WIRE (MPQEMU_HEADER_SIZE + MPQEMU_PAYLOAD_MAX bytes); returns the bytes used. */
size_t mpqemu_msg_encode(const MpqemuMsg *msg, uint8_t *wire);

/* The same for the RET that answers REQUEST: empty for some, VALUE for the others. */
size_t mpqemu_ret_encode(MpqemuCmd request, uint64_t value, uint8_t *wire);

/* True for the requests that are answered with RET. */
bool mpqemu_cmd_has_reply(MpqemuCmd cmd);

/* May a RET with SIZE bytes of payload answer REQUEST? */
bool mpqemu_reply_size_ok(MpqemuCmd request, size_t size);

/* What VALUE answers to REQUEST: cut to the width of the access; MPQEMU_RET_ERROR stays what it is. */
uint64_t mpqemu_reply_value(const MpqemuMsg *request, uint64_t value);

/* What a message is about, for trace lines. */
typedef struct MpqemuSummary {
    uint64_t addr; /* config offset, bus address, first RAM range */
    uint64_t val;
    uint32_t len;  /* width of the access; number of RAM ranges; 0 */
} MpqemuSummary;

MpqemuSummary mpqemu_msg_summary(const MpqemuMsg *msg);

#endif
