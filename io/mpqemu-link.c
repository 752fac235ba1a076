/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link: a socket, its framing, its end.
 * Runs in: both
 *
 * Theory of operation
 *
 * Sending.  A message is one sendmsg() of header, payload and descriptors.  A stream socket of the AF_UNIX family
 * takes so few bytes all or not at all, so a short send is treated as a failure and not resumed.
 *
 * Receiving.  One recvmsg() takes whatever there is into link->in; messages are cut out of it.  Bytes may be split
 * and glued in any way; descriptors may not: the kernel ends a recvmsg() behind the send that carried descriptors,
 * but may put bytes of earlier sends in front of it.  So a chunk brings at most one set, which belongs to the last
 * message that begins in the chunk; when none begins there, the set came with the middle of a message and is refused.
 *
 *     chunk 1           chunk 2
 *     [ M1 ][ M2 (hea|der) ][ M3 ][ M4 + set ]        the set is M4's, though M2 and M3 came with it
 *
 * recvmsg() is called only when the buffer holds no whole message, so at most two sets wait: that of the message at
 * the head, whose rest has not arrived, and that of the newest chunk.
 *
 * Cost.  A request that arrives in one piece costs one recvmsg() here, its reply one sendmsg(); an exchange of the
 * client costs one of each, the wait for the reply included (SO_RCVTIMEO holds the time limit).
 */
#include "mpqemu-link-int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "trace/io.h"
#include "util/error.h"
#include "util/fd.h"

const SyscallTable mpqemu_link_syscalls = {
    "link", (const SyscallRule[]) {
        SYSCALL(recvmsg, "requests, and the descriptors in them"),
        SYSCALL(sendmsg, "replies; what monitors say", FD_SOCKET_SENDS_AT_ONCE),
        SYSCALL(getsockopt, "a new link must be a stream", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_TYPE)),
        SYSCALL(getsockopt, "a new link must be local", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_DOMAIN)),
        SYSCALL_END,
    },
};

void mpqemu_msg_clear(MpqemuMsg *msg)
{
    for (unsigned i = 0; i < msg->num_fds; i++) {
        fd_close(&msg->fds[i]);
    }
    msg->num_fds = 0;
}

int mpqemu_msg_take_fd(MpqemuMsg *msg, unsigned i)
{
    return i < msg->num_fds ? fd_steal(&msg->fds[i]) : -1;
}

static const char *const state_names[] = {
    [MPQEMU_LINK_OPEN] = "open",
    [MPQEMU_LINK_CLOSED] = "closed",
};

static void set_state(MpqemuLink *link, MpqemuLinkState state)
{
    link->state = state;
    trace_mpqemu_link_state(link->name, state_names[state], link->reason.text);
}

static void drop_sets(MpqemuLink *link)
{
    for (unsigned i = 0; i < link->num_sets; i++) {
        fd_set_drop(&link->sets[i].set);
    }
    link->num_sets = 0;
}

void mpqemu_link_set_closing(MpqemuLink *link, void (*closing)(void *opaque), void *opaque)
{
    link->closing = closing;
    link->closing_opaque = opaque;
}

void mpqemu_link_close(MpqemuLink *link, const char *reason)
{
    if (link->state == MPQEMU_LINK_CLOSED) {
        return;
    }
    if (!link->reason.text[0]) {
        mpqemu_why(&link->reason, "%s", reason);
    }
    drop_sets(link);
    link->head = link->tail = 0;
    link->kept_len = 0;
    if (link->closing) {
        link->closing(link->closing_opaque);
    }
    fd_close(&link->fd);
    set_state(link, MPQEMU_LINK_CLOSED);
}

int mpqemu_link_close_errno(MpqemuLink *link, const char *what, int error)
{
    mpqemu_why(&link->reason, "%s: %s", what, errno_text(error));
    mpqemu_link_close(link, "");
    return -error;
}

int mpqemu_link_refuse(MpqemuLink *link)
{
    link->stats.refused++;
    trace_mpqemu_link_refuse(link->name, link->reason.text);
    mpqemu_link_close(link, "");
    return -EPROTO;
}

MpqemuLink *mpqemu_link_new_take_fd(int fd, MpqemuRole role, const char *name, GError **errp)
{
    auto_fd owned = fd;
    int domain = 0, type = 0;
    socklen_t domain_len = sizeof(domain), type_len = sizeof(type);
    MpqemuLink *link;
    int ret;

    if (fd_kind(fd) != FD_KIND_SOCKET) {
        error_setg(errp, "%s: descriptor %d is %s; it must be a connected AF_UNIX stream socket", name, fd,
                   fd_kind_name(fd_kind(fd)));
        return NULL;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 ||
        domain != AF_UNIX || type != SOCK_STREAM) {
        error_setg(errp, "%s: socket %d is not an AF_UNIX stream socket; make it with "
                   "socketpair(AF_UNIX, SOCK_STREAM)", name, fd);
        return NULL;
    }
    if (!fd_socket_is_connected(fd)) {
        error_setg(errp, "%s: socket %d is not connected; make it with socketpair(AF_UNIX, SOCK_STREAM)", name, fd);
        return NULL;
    }
    /* The server never waits, by MSG_DONTWAIT; the client waits inside recvmsg(). */
    ret = fd_set_cloexec(fd);
    if (ret == 0 && role == MPQEMU_ROLE_CLIENT) {
        ret = fd_set_nonblock(fd, false);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "%s: cannot set up socket %d", name, fd);
        return NULL;
    }

    link = g_new0(MpqemuLink, 1);
    link->fd = fd_steal(&owned);
    link->role = role;
    link->name = g_strdup(name);
    set_state(link, MPQEMU_LINK_OPEN);
    return link;
}

void mpqemu_link_free(MpqemuLink *link)
{
    if (link) {
        mpqemu_link_close(link, "no longer used");
        g_free(link->name);
        g_free(link);
    }
}

int mpqemu_link_fd(const MpqemuLink *link)
{
    return link->fd;
}

MpqemuLinkState mpqemu_link_state(const MpqemuLink *link)
{
    return link->state;
}

const MpqemuLinkStats *mpqemu_link_stats(const MpqemuLink *link)
{
    return &link->stats;
}

const char *mpqemu_link_reason(const MpqemuLink *link)
{
    return link->state == MPQEMU_LINK_CLOSED ? link->reason.text : NULL;
}

/* ------------------------------------------------------------------ receiving, both roles */

/*
 * Where the last message that begins in in[chunk..tail) does so, or -1.  A header that is bad ends the walk: the
 * link closes when that message's turn comes, and a set at or behind it with it.
 */
static ssize_t last_beginning(const MpqemuLink *link, size_t chunk)
{
    size_t pos = link->head;
    ssize_t last = -1;

    while (pos < link->tail) {
        MpqemuWhy unused;
        size_t size;

        if (pos >= chunk) {
            last = pos;
        }
        if (link->tail - pos < MPQEMU_HEADER_SIZE ||
            !mpqemu_header_check(link->role, link->in + pos, &size, &unused)) {
            break;
        }
        pos += MPQEMU_HEADER_SIZE + size;
    }
    return last;
}

int mpqemu_link_read_chunk(MpqemuLink *link, int flags)
{
    PendingSet *pending = &link->sets[link->num_sets];
    FdSet *set = &pending->set;
    size_t chunk;
    ssize_t n, start;

    if (link->head > 0) {
        memmove(link->in, link->in + link->head, link->tail - link->head);
        for (unsigned i = 0; i < link->num_sets; i++) {
            link->sets[i].start -= link->head;
        }
        link->tail -= link->head;
        link->head = 0;
    }
    chunk = link->tail;

    n = fd_socket_receive(link->fd, link->in + chunk, BUFFER_SIZE - chunk, set, flags);
    if (n == -EAGAIN || n == -EINTR) {
        return 0;
    }
    if (n == 0 || n == -ECONNRESET) { /* the latter when the peer left something of ours unread */
        mpqemu_link_close(link, chunk ? "peer closed inside a message" : "peer closed");
        return chunk ? -EPIPE : -ECONNRESET;
    }
    if (n < 0) {
        return mpqemu_link_close_errno(link, "receive", -n);
    }
    link->tail += n;
    link->stats.bytes_in += n;

    if (set->num == 0 && !set->truncated) {
        return 1;
    }
    link->stats.fds_in += set->num;
    link->num_sets++;
    start = last_beginning(link, chunk);
    if (start < 0) {
        mpqemu_why(&link->reason, "descriptors in the middle of a message");
        return mpqemu_link_refuse(link);
    }
    pending->start = start;
    return 1;
}

/* The message at the head and its descriptors, which leave the buffer with it. */
static MpqemuVerdict take_message(MpqemuLink *link, size_t size, MpqemuMsg *msg)
{
    const uint8_t *wire = link->in + link->head;
    PendingSet *pending = &link->sets[0];
    MpqemuVerdict verdict;

    if (link->num_sets == 0 || pending->start != link->head) {
        verdict = mpqemu_msg_decode(wire, NULL, 0, msg, &link->reason);
    } else if (pending->set.truncated) {
        mpqemu_why(&link->reason, "more than %d descriptors, or no room for them", MPQEMU_FDS_MAX);
        return MPQEMU_MSG_REFUSED;
    } else {
        verdict = mpqemu_msg_decode(wire, pending->set.fds, pending->set.num, msg, &link->reason);
        if (verdict != MPQEMU_MSG_OK) {
            fd_set_drop(&pending->set);
        }
        link->num_sets--;
        link->sets[0] = link->sets[1];
    }
    link->head += MPQEMU_HEADER_SIZE + size;
    return verdict;
}

int mpqemu_link_next_message(MpqemuLink *link, MpqemuMsg *msg, size_t *ret_size, bool *ret_bad_field)
{
    size_t have = link->tail - link->head;
    MpqemuVerdict verdict;

    if (have < MPQEMU_HEADER_SIZE) {
        return 0;
    }
    /* As soon as the header is there: the peer of a bad one may be waiting for us to notice. */
    if (!mpqemu_header_check(link->role, link->in + link->head, ret_size, &link->reason)) {
        return mpqemu_link_refuse(link);
    }
    if (have < MPQEMU_HEADER_SIZE + *ret_size) {
        return 0;
    }

    verdict = take_message(link, *ret_size, msg);
    if (verdict == MPQEMU_MSG_REFUSED) {
        return mpqemu_link_refuse(link);
    }
    *ret_bad_field = verdict == MPQEMU_MSG_BAD_FIELD;
    if (*ret_bad_field) {
        link->stats.refused++;
        trace_mpqemu_link_bad_field(link->name, link->reason.text);
        link->reason.text[0] = 0;
    } else {
        MpqemuSummary s = mpqemu_msg_summary(msg);

        link->stats.msgs_in++;
        trace_mpqemu_link_in(link->name, mpqemu_cmd_name(msg->cmd), s.addr, s.val, s.len, msg->num_fds);
    }
    return 1;
}

/* ------------------------------------------------------------------ sending, both roles */

int mpqemu_link_write_message(MpqemuLink *link, const uint8_t *wire, size_t len, const int *fds, unsigned num_fds)
{
    ssize_t n = fd_socket_send(link->fd, wire, len, fds, num_fds, MSG_DONTWAIT);

    if (n == -EAGAIN) {
        return n;
    }
    if (n == -EPIPE || n == -ECONNRESET) {
        mpqemu_link_close(link, "peer closed");
        return n;
    }
    if (n < 0) {
        return mpqemu_link_close_errno(link, "send", -n);
    }
    if ((size_t)n != len) {
        mpqemu_link_close(link, "the socket took only a part of a message");
        return -EIO;
    }
    link->stats.msgs_out++;
    link->stats.bytes_out += n;
    return 0;
}

/* ------------------------------------------------------------------ server */

int mpqemu_link_receive(MpqemuLink *link, MpqemuMsg *msg, bool *ret_error)
{
    size_t size;
    int ret;

    if (link->state == MPQEMU_LINK_CLOSED) {
        return -ENOTCONN;
    }
    if (link->role != MPQEMU_ROLE_SERVER) {
        return -EINVAL;
    }
    if (link->kept_len) {
        return 0; /* a peer that does not read its answers gets no more work done */
    }
    ret = mpqemu_link_next_message(link, msg, &size, ret_error);
    if (ret == 0) {
        ret = mpqemu_link_read_chunk(link, MSG_DONTWAIT);
        if (ret > 0) {
            ret = mpqemu_link_next_message(link, msg, &size, ret_error);
        }
    }
    return ret;
}

bool mpqemu_link_has_buffered(const MpqemuLink *link)
{
    size_t have = link->tail - link->head;
    MpqemuWhy unused;
    size_t size;

    if (have < MPQEMU_HEADER_SIZE) {
        return false;
    }
    return !mpqemu_header_check(link->role, link->in + link->head, &size, &unused) ||
           have >= MPQEMU_HEADER_SIZE + size;
}

int mpqemu_link_reply(MpqemuLink *link, MpqemuCmd request, uint64_t value)
{
    uint8_t wire[WIRE_MAX];
    size_t len;
    int ret;

    if (link->state == MPQEMU_LINK_CLOSED) {
        return -ENOTCONN;
    }
    if (link->role != MPQEMU_ROLE_SERVER || link->kept_len || !mpqemu_cmd_has_reply(request)) {
        return -EINVAL;
    }
    trace_mpqemu_link_out(link->name, mpqemu_cmd_name(MPQEMU_CMD_RET), 0, value, 0, 0);
    len = mpqemu_ret_encode(request, value, wire);
    ret = mpqemu_link_write_message(link, wire, len, NULL, 0);
    if (ret == -EAGAIN) {
        memcpy(link->kept, wire, len);
        link->kept_len = len;
        trace_mpqemu_link_reply_kept(link->name);
    }
    return ret;
}

int mpqemu_link_flush(MpqemuLink *link)
{
    int ret;

    if (link->state == MPQEMU_LINK_CLOSED) {
        return -ENOTCONN;
    }
    if (link->kept_len == 0) {
        return 0;
    }
    ret = mpqemu_link_write_message(link, link->kept, link->kept_len, NULL, 0);
    if (ret == 0) {
        link->kept_len = 0;
    }
    return ret;
}
