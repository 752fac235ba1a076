/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link: requests, and the bounded wait for their replies.
 * Runs in: mpqemu
 */
#include "mpqemu-link-int.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include "trace/io.h"
#include "util/event-loop.h"

#define NS_PER_SEC INT64_C(1000000000)
#define SILENCE_NS INT64_C(1000000) /* how often a client looks for what it has not asked for */

const SyscallTable mpqemu_link_client_syscalls = {
    "link client", (const SyscallRule[]) {
        SYSCALL(ppoll, "waits for a reply, for a bounded time"),
        SYSCALL(setsockopt, "how long a receive waits", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_RCVTIMEO)),
        SYSCALL_END,
    },
};

static int close_timed_out(MpqemuLink *link, MpqemuCmd request)
{
    link->stats.timeouts++;
    mpqemu_why(&link->reason, "%s: no answer in time", mpqemu_cmd_name(request));
    mpqemu_link_close(link, "");
    return -ETIMEDOUT;
}

/* Waits for EVENTS until DEADLINE.  Returns 0 (ready, or interrupted: try again) or -errno: CLOSED. */
static int wait_ready(MpqemuLink *link, MpqemuCmd request, short events, int64_t deadline)
{
    struct pollfd pfd = { .fd = link->fd, .events = events };
    int64_t left = deadline - event_clock_ns(EVENT_CLOCK_REAL);
    struct timespec ts;
    int n;

    if (left <= 0) {
        return close_timed_out(link, request);
    }
    ts = (struct timespec) { .tv_sec = left / NS_PER_SEC, .tv_nsec = left % NS_PER_SEC };
    n = ppoll(&pfd, 1, &ts, NULL);
    if (n < 0 && errno != EINTR) {
        return mpqemu_link_close_errno(link, "poll", errno);
    }
    return 0;
}

/* Sends MSG until DEADLINE.  *ret_waited tells that the socket was full and part of the time is gone. */
static int send_request(MpqemuLink *link, const MpqemuMsg *msg, int64_t deadline, bool *ret_waited)
{
    MpqemuSummary s = mpqemu_msg_summary(msg);
    uint8_t wire[WIRE_MAX];
    size_t len = mpqemu_msg_encode(msg, wire);
    int ret;

    trace_mpqemu_link_out(link->name, mpqemu_cmd_name(msg->cmd), s.addr, s.val, s.len, msg->num_fds);
    *ret_waited = false;
    for (;;) {
        ret = mpqemu_link_write_message(link, wire, len, msg->fds, msg->num_fds);
        if (ret != -EAGAIN) {
            return ret;
        }
        *ret_waited = true;
        ret = wait_ready(link, msg->cmd, POLLOUT, deadline);
        if (ret < 0) {
            return ret;
        }
    }
}

/* Makes a recvmsg() on the socket wait for TIMEOUT_NS, rounded up to the kernel's tick. */
static int set_recv_timeout(MpqemuLink *link, int64_t timeout_ns)
{
    struct timeval tv = {
        .tv_sec = timeout_ns / NS_PER_SEC,
        .tv_usec = timeout_ns % NS_PER_SEC / 1000,
    };

    if (timeout_ns == link->recv_timeout_ns) {
        return 0;
    }
    if (tv.tv_sec == 0 && tv.tv_usec == 0) {
        tv.tv_usec = 1; /* 0 would mean for ever */
    }
    if (setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0) {
        return mpqemu_link_close_errno(link, "SO_RCVTIMEO", errno);
    }
    link->recv_timeout_ns = timeout_ns;
    return 0;
}

/* Takes the answer to REQUEST out of the buffer.  Returns 1, 0 when it is not whole, or -EPROTO: CLOSED. */
static int take_reply(MpqemuLink *link, const MpqemuMsg *request, uint64_t *ret_value)
{
    MpqemuMsg reply;
    size_t size;
    bool bad_field;
    int ret = mpqemu_link_next_message(link, &reply, &size, &bad_field);

    if (ret <= 0) {
        return ret;
    }
    if (!mpqemu_reply_size_ok(request->cmd, size)) {
        mpqemu_why(&link->reason, "%s: answered with %zu bytes", mpqemu_cmd_name(request->cmd), size);
        return mpqemu_link_refuse(link);
    }
    /* The peer may speak only when asked, and was asked once. */
    if (link->head != link->tail) {
        mpqemu_why(&link->reason, "%s: bytes behind the answer", mpqemu_cmd_name(request->cmd));
        return mpqemu_link_refuse(link);
    }
    *ret_value = mpqemu_reply_value(request, reply.ret);
    return 1;
}

static int64_t deadline_of(int64_t start, int64_t timeout_ns)
{
    return start > INT64_MAX - timeout_ns ? INT64_MAX : start + timeout_ns;
}

static int check_request(const MpqemuLink *link, const MpqemuMsg *msg, bool has_reply, int64_t timeout_ns)
{
    MpqemuWhy unused;

    if (link->state == MPQEMU_LINK_CLOSED) {
        return -ENOTCONN;
    }
    if (link->role != MPQEMU_ROLE_CLIENT || timeout_ns <= 0 || !mpqemu_msg_check(msg, &unused) ||
        mpqemu_cmd_has_reply(msg->cmd) != has_reply) {
        return -EINVAL;
    }
    return 0;
}

int mpqemu_link_send(MpqemuLink *link, const MpqemuMsg *msg, int64_t timeout_ns)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    bool waited;
    int ret = check_request(link, msg, false, timeout_ns);

    return ret < 0 ? ret : send_request(link, msg, deadline_of(start, timeout_ns), &waited);
}

int mpqemu_link_call(MpqemuLink *link, const MpqemuMsg *msg, uint64_t *ret_value, int64_t timeout_ns)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    int64_t deadline;
    bool waited;
    int ret = check_request(link, msg, true, timeout_ns);

    if (ret < 0) {
        return ret;
    }
    deadline = deadline_of(start, timeout_ns);
    ret = set_recv_timeout(link, timeout_ns);
    if (ret == 0) {
        ret = send_request(link, msg, deadline, &waited);
    }
    if (ret < 0) {
        return ret;
    }

    /*
     * The first recvmsg() waits by itself.  Whoever needs another (an answer in pieces, a signal, a socket that
     * was full) has used up a part of the time that the socket does not know of, so it waits in ppoll().
     */
    while (ret == 0) {
        if (waited) {
            ret = wait_ready(link, msg->cmd, POLLIN, deadline);
        }
        if (ret == 0) {
            ret = mpqemu_link_read_chunk(link, waited ? MSG_DONTWAIT : 0);
        }
        if (ret > 0) {
            ret = take_reply(link, msg, ret_value);
        }
        waited = true;
    }
    if (ret < 0) {
        return ret;
    }
    link->stats.worst_wait_ns = MAX(link->stats.worst_wait_ns,
                                    (uint64_t)(event_clock_ns(EVENT_CLOCK_REAL) - start));
    return 0;
}

/* Of an end or an error the next exchange will tell. */
int mpqemu_link_check_silence(MpqemuLink *link)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    char byte;

    if (link->state == MPQEMU_LINK_CLOSED) {
        return -ENOTCONN;
    }
    if (now - link->silence_ns < SILENCE_NS) {
        return 0;
    }
    link->silence_ns = now;
    if (recv(link->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) <= 0) {
        return 0;
    }
    mpqemu_why(&link->reason, "bytes that nobody has asked for");
    return mpqemu_link_refuse(link);
}
