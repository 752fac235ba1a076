/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link: framing and validation of the messages between a PCI proxy and the process of its device.
 * docs/interop/mpqemu-link.rst is the protocol; this module knows no device.
 *
 * Thread: a link belongs to one thread at a time; its owner serialises (the proxy by its link lock).
 * Runs in: both programs (mpqemu as client, qemu-remote as server).
 *
 * Everything that arrives is hostile.  A message is handed out only when its command, direction, size, descriptor
 * count, descriptor kinds, field ranges and the link's state have passed the one table in io/mpqemu-msg.c;
 * descriptors of anything else are closed here.  A refusal is an -errno with a one-line reason for the log; it
 * never ends the process.
 */
#ifndef IO_MPQEMU_LINK_H
#define IO_MPQEMU_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "util/syscalls.h"

typedef enum MpqemuCmd {
    MPQEMU_CMD_SYNC_SYSMEM = 0,
    MPQEMU_CMD_RET = 1,
    MPQEMU_CMD_PCI_CFGWRITE = 2,
    MPQEMU_CMD_PCI_CFGREAD = 3,
    MPQEMU_CMD_BAR_WRITE = 4,
    MPQEMU_CMD_BAR_READ = 5,
    MPQEMU_CMD_SET_IRQFD = 6,
    MPQEMU_CMD_DEVICE_RESET = 7,
    /* This project's own, far enough above stock's for what stock may still add. */
    MPQEMU_CMD_SET_BOUNCE = 32,
    MPQEMU_CMD_SYNC_BOUNCE = 33,
    MPQEMU_CMD_MAX = 34,
} MpqemuCmd;

#define MPQEMU_HEADER_SIZE 16
#define MPQEMU_PAYLOAD_MAX 192
#define MPQEMU_FDS_MAX 8 /* also the most RAM ranges of one SYNC_SYSMEM */

#define MPQEMU_BOUNCE_RANGES_MAX 8 /* of one SYNC_BOUNCE: as many as a table that is mapped has */

/* The reply value that means "failed" (and is a legal 8-byte read result, alas). */
#define MPQEMU_RET_ERROR UINT64_MAX

typedef struct MpqemuSyncSysmem {
    uint64_t gpas[MPQEMU_FDS_MAX];
    uint64_t sizes[MPQEMU_FDS_MAX];
    uint64_t offsets[MPQEMU_FDS_MAX]; /* validated: not negative, no wrap */
} MpqemuSyncSysmem;

/* SYNC_BOUNCE: what is RAM, for a device that does not map it. */
typedef struct MpqemuSyncBounce {
    uint32_t count; /* validated: at most MPQEMU_BOUNCE_RANGES_MAX */
    uint64_t gpas[MPQEMU_BOUNCE_RANGES_MAX];
    uint64_t sizes[MPQEMU_BOUNCE_RANGES_MAX]; /* validated: not 0, no wrap, no overlap */
} MpqemuSyncBounce;

typedef struct MpqemuPciConf {
    uint32_t addr;
    uint32_t val;
    uint32_t len; /* validated: 1, 2 or 4; addr + len <= 4096 */
} MpqemuPciConf;

typedef struct MpqemuBarAccess {
    uint64_t addr;
    uint64_t val;
    uint32_t size; /* validated: 1, 2, 4 or 8; addr + size does not wrap */
    bool memory;
} MpqemuBarAccess;

/* A message in memory; not the wire layout.  Owns `fds` until they are taken. */
typedef struct MpqemuMsg {
    MpqemuCmd cmd;
    union {
        MpqemuSyncSysmem sync;
        MpqemuSyncBounce bounce;
        MpqemuPciConf conf;
        MpqemuBarAccess bar;
        uint64_t ret;
    };
    unsigned num_fds;
    int fds[MPQEMU_FDS_MAX]; /* -1: taken */
} MpqemuMsg;

/* Closes the descriptors still in MSG. */
void mpqemu_msg_clear(MpqemuMsg *msg);

/* Moves descriptor I out of MSG to the caller. */
int mpqemu_msg_take_fd(MpqemuMsg *msg, unsigned i);

/* "SYNC_SYSMEM", ...; "?" for numbers out of range. */
const char *mpqemu_cmd_name(unsigned cmd);

typedef enum MpqemuRole {
    MPQEMU_ROLE_CLIENT, /* the proxy: sends requests, receives RET */
    MPQEMU_ROLE_SERVER, /* the device: receives requests, sends RET */
} MpqemuRole;

typedef enum MpqemuLinkState {
    MPQEMU_LINK_OPEN,   /* entered by _new; left to CLOSED */
    MPQEMU_LINK_CLOSED, /* entered by EOF, an error, a refused message, _close(); final.  Every call gives -ENOTCONN */
} MpqemuLinkState;

/* Counters for monitors; a sentence each. */
typedef struct MpqemuLinkStats {
    uint64_t msgs_in;       /* valid messages received */
    uint64_t msgs_out;      /* messages sent */
    uint64_t bytes_in;      /* bytes received, refused ones included */
    uint64_t bytes_out;     /* bytes sent */
    uint64_t fds_in;        /* descriptors received, refused ones included */
    uint64_t refused;       /* messages refused */
    uint64_t timeouts;      /* client: exchanges that ran out of time */
    uint64_t worst_wait_ns; /* client: longest completed exchange */
} MpqemuLinkStats;

typedef struct MpqemuLink MpqemuLink;

/*
 * A link on the connected AF_UNIX stream socket FD, which it takes (also on failure).  NAME is for messages and
 * traces (the device's id) and is copied.
 */
MpqemuLink *mpqemu_link_new_take_fd(int fd, MpqemuRole role, const char *name, GError **errp);
void mpqemu_link_free(MpqemuLink *link); /* accepts NULL */

int mpqemu_link_fd(const MpqemuLink *link); /* for the event loop; -1 once closed */
MpqemuLinkState mpqemu_link_state(const MpqemuLink *link);
const MpqemuLinkStats *mpqemu_link_stats(const MpqemuLink *link);

/* Why the link was closed ("peer closed", "BAR_READ: size 3 is not 1, 2, 4 or 8"); NULL while open. */
const char *mpqemu_link_reason(const MpqemuLink *link);

/*
 * CLOSING is called once, on the link's thread, before the socket is closed for whatever reason: who watches the
 * descriptor stops here.  Later is too late: an epoll set forgets a closed descriptor only when no other process holds
 * a copy of it.  It must not use the link.
 */
void mpqemu_link_set_closing(MpqemuLink *link, void (*closing)(void *opaque), void *opaque);

/* Closes the socket; REASON (copied) becomes mpqemu_link_reason() unless there is one. */
void mpqemu_link_close(MpqemuLink *link, const char *reason);

/*
 * Server.  Receives without waiting, through a buffer in the link (glued and split messages are sorted out, a
 * descriptor set belongs to the message that began in the chunk it came with).
 * Returns 1: *msg is a valid request (the caller clears it); 0: nothing complete yet; -errno: the link is CLOSED
 * (-ECONNRESET at EOF between messages, -EPIPE at EOF inside one, -EPROTO for a refused one).
 *
 * A message whose failure the protocol can report is not refused but handed out with *ret_error set: the
 * server answers MPQEMU_RET_ERROR and goes on (PCI config and BAR accesses with bad field ranges).
 */
int mpqemu_link_receive(MpqemuLink *link, MpqemuMsg *msg, bool *ret_error);

/* True when receive() may have another whole message buffered without a read. */
bool mpqemu_link_has_buffered(const MpqemuLink *link);

/*
 * Server.  Sends RET with VALUE (or, for DEVICE_RESET, the empty RET).  One sendmsg.  Returns 0, or -EAGAIN when
 * the peer does not read its answers: the reply is kept (at most one), the caller waits for EVENT_WRITE, then
 * calls mpqemu_link_flush() and receives nothing before; or another -errno: CLOSED.
 */
int mpqemu_link_reply(MpqemuLink *link, MpqemuCmd request, uint64_t value);
int mpqemu_link_flush(MpqemuLink *link);

/*
 * Client.  Sends MSG (one sendmsg; descriptors stay the caller's) within TIMEOUT_NS (0: for ever is not offered; the
 * value must be > 0).  For SYNC_SYSMEM, SET_IRQFD and SYNC_BOUNCE, which have no reply.
 * Returns 0 or -errno; -ETIMEDOUT and all others but -EINVAL (MSG itself is bad) close the link, since the
 * stream's position is unknown.
 */
int mpqemu_link_send(MpqemuLink *link, const MpqemuMsg *msg, int64_t timeout_ns);

/*
 * Client.  As above, then waits for the RET in the same time.  *ret_value gets its value, for reads cut to the width of
 * the access; MPQEMU_RET_ERROR is kept whole.  Bytes behind the answer are refused.
 */
int mpqemu_link_call(MpqemuLink *link, const MpqemuMsg *msg, uint64_t *ret_value, int64_t timeout_ns);

/*
 * Client, between two exchanges: refuses what the peer has sent since the last answer.  It would be taken for the next
 * one, and so on for ever, since replies do not say what they answer.  Looks once a millisecond at most: the system
 * call is dear beside an exchange, and it is as good later.  Returns 0 or -errno: CLOSED.
 */
int mpqemu_link_check_silence(MpqemuLink *link);

/* What a server needs; a client waits by other means, too. */
extern const SyscallTable mpqemu_link_syscalls;
extern const SyscallTable mpqemu_link_client_syscalls; /* on top, for who waits for replies */

#endif
