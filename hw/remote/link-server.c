/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link server: receives a proxy's requests, performs them on one PCI function, answers.
 *
 * Runs in: qemu-remote.
 *
 * Theory of operation.  io/ hands out messages that are valid in form; here they meet the device, by a table of
 * handlers.  One request costs one recvmsg and one sendmsg: after an answer the socket is not read again in the same
 * turn unless the link has bytes buffered, because the peer waits for each answer.
 *
 * A peer that does not wait, but sends ahead, gets REQUESTS_PER_TURN requests done and then has to let the other links
 * have their turn.  A peer that does not read its answers is not read from either (BLOCKED), so nothing piles up.
 *
 * Barrier.  After a SYNC_SYSMEM that took memory away, the server does not answer (nor receive) until no transfer of
 * the device uses that memory, or DRAIN_LIMIT_NS have passed (DRAINING).  So when the reply to a later
 * request has come, the other side may use the memory for something else.
 *
 * The same holds for transfers that the guest believes to be over, by an abort or a reset, while
 * the host still works on them: every reply waits for them, that to DEVICE_RESET included, but at
 * most DRAIN_LIMIT_NS once.  So the guest cannot find a device done with its memory before it is.
 *
 * Bounced DMA.  After SET_BOUNCE the device maps no guest RAM: its accesses are copies that the other side makes
 * (bounce-client.h), each of them over before the device goes on.  So nothing is left to be waited for.  A copy that
 * fails closes the link, wherever the device was; what follows is done by the next turn.
 *
 * Nested turns.  A handler of a device might turn the event loop.  This link is not served
 * meanwhile (`busy`), and not watched once it has become ready; other links are served as ever.
 */
#include "hw/remote/link-server.h"

#include <errno.h>
#include <string.h>

#include "hw/remote/bounce-client.h"
#include "hw/remote/iohub.h"
#include "hw/remote/memory-table.h"
#include "hw/remote/pci-host.h"
#include "trace/hw-remote.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

/* Requests of one link done in one turn of the event loop. */
#define REQUESTS_PER_TURN 16

/*
 * Longest wait for transfers to memory that was taken away: well below the 5 s after which a proxy gives up on us, so
 * that a disk that hangs does not become a link that hangs.  The memory stays mapped here until they end.
 */
#define DRAIN_LIMIT_NS (2 * G_GINT64_CONSTANT(1000000000))
#define DRAIN_POLL_NS G_GINT64_CONSTANT(500000)

struct LinkServer {
    char *name;
    PciDevice *dev;       /* a reference */
    MpqemuLink *link;
    MemoryTable *memory;
    BounceClient *bounce; /* not NULL: `memory` stays empty */
    IoHub hub;
    LinkServerState state;
    EventSource *source;  /* NULL while nothing is received */
    EventBh *more;        /* buffered requests wait for the next turn */
    EventTimer *drain;    /* looks for the end of DRAINING */
    int64_t drain_limit;  /* EVENT_CLOCK_REAL */
    bool reply_held;      /* a reply waits for the end of DRAINING: */
    MpqemuCmd held_cmd;
    uint64_t held_value;
    uint64_t given_up;    /* dma.abandons when a wait ran out of time: no more waits for these */
    bool busy;            /* a request is being performed */
    int dma_failure;      /* the negative errno with which bounced DMA has ended the link, or 0 */
    LinkServerEnded *ended;
    void *opaque;
};

static void link_server_ready(int fd, unsigned ready, void *opaque);

static const char *const state_names[] = {
    [LINK_SERVER_SERVING] = "serving",
    [LINK_SERVER_BLOCKED] = "blocked",
    [LINK_SERVER_DRAINING] = "draining",
    [LINK_SERVER_ENDED] = "ended",
};

LinkServerState link_server_state(const LinkServer *server)
{
    return server->state;
}

/* Lets the event loop watch the socket for EVENTS; 0: not at all, so that a hang-up cannot spin. */
static void link_server_watch(LinkServer *server, unsigned events)
{
    if (events == 0) {
        g_clear_pointer(&server->source, event_source_remove);
    } else if (server->source) {
        event_source_set_events(server->source, events);
    } else {
        server->source = event_loop_add_fd(event_loop_main(), mpqemu_link_fd(server->link), events,
                                           link_server_ready, server);
        if (!server->source) {
            /* Out of kernel memory: nothing would ever wake this link again, so it ends. */
            mpqemu_link_close(server->link, "the event loop cannot watch its socket");
            event_bh_schedule(server->more);
        }
    }
}

/* The link's socket is about to be closed, which may happen inside any call of io/. */
static void link_server_unwatch(void *opaque)
{
    link_server_watch(opaque, 0);
}

/* The one place where the state changes; what is watched follows from it. */
static void link_server_set_state(LinkServer *server, LinkServerState state)
{
    static const unsigned events[] = {
        [LINK_SERVER_SERVING] = EVENT_READ,
        [LINK_SERVER_BLOCKED] = EVENT_WRITE,
        [LINK_SERVER_DRAINING] = 0,
        [LINK_SERVER_ENDED] = 0,
    };

    if (server->state != state) {
        trace_link_server_state(server->name, state_names[server->state], state_names[state]);
        server->state = state;
        link_server_watch(server, events[state]);
    }
}

/* Takes everything from the device that came by the link, and brings it into the state of power-on. */
static void link_server_release(LinkServer *server)
{
    link_server_set_state(server, LINK_SERVER_ENDED);
    event_timer_disarm(server->drain);
    mpqemu_link_close(server->link, "closed by this side");
    if (server->bounce) {
        dma_bounce_end(bounce_client_bounce(server->bounce));
    }
    device_reset(DEVICE(server->dev));
    server->dev->dma.bounce = NULL;
    g_clear_pointer(&server->bounce, bounce_client_free);
    memory_table_clear(server->memory);
    iohub_reset(&server->hub);
}

/* The link is closed with RC by io/, or by us for a reason of our own: cleans up, and tells the owner. */
static void link_server_end(LinkServer *server, int rc)
{
    LinkServerEnd how = server->dma_failure == -EPROTO ? LINK_SERVER_END_PROTOCOL :
                        server->dma_failure            ? LINK_SERVER_END_LOST :
                        rc == -ECONNRESET              ? LINK_SERVER_END_EOF :
                        rc == -EPROTO                  ? LINK_SERVER_END_PROTOCOL :
                                                         LINK_SERVER_END_LOST;
    const char *reason = mpqemu_link_reason(server->link);

    trace_link_server_end(server->name, rc, reason);
    if (how != LINK_SERVER_END_EOF) {
        log_guest_error("%s: link ended: %s", server->name, reason);
    }
    link_server_release(server);
    server->ended(server, how, server->opaque);
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

/*
 * Performs MSG.  With a reply, *ret_value is its value.  Returns 0, or a negative errno after closing the link for
 * a reason that is the peer's fault.
 */
typedef int LinkServerHandler(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value);

static int link_server_config_read(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    uint32_t value;

    if (pci_config_read(server->dev, msg->conf.addr, &value, msg->conf.len)) {
        *ret_value = value;
    }
    return 0;
}

static int link_server_config_write(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    if (pci_config_write(server->dev, msg->conf.addr, msg->conf.val, msg->conf.len)) {
        *ret_value = 0;
    }
    return 0;
}

/*
 * The BAR of the device that an access hits, or NULL.  Only this device's own BARs are looked at, as they are
 * decoded now; an absolute address of anything else, guest RAM included, is nobody's.
 */
static MemoryRegion *link_server_find_bar(LinkServer *server, const MpqemuBarAccess *access, uint64_t *ret_offset)
{
    int index = pci_find_bar(server->dev, access->memory, access->addr, access->size, ret_offset);

    if (index < 0) {
        trace_link_server_no_bar(server->name, access->memory, access->addr, access->size);
        return NULL;
    }
    return server->dev->bars[index].mr;
}

static int link_server_bar_read(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    uint64_t offset, value;
    MemoryRegion *mr = link_server_find_bar(server, &msg->bar, &offset);

    if (mr && memory_region_read(mr, offset, &value, msg->bar.size) == MEM_OK) {
        *ret_value = value;
    }
    return 0;
}

static int link_server_bar_write(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    uint64_t offset;
    MemoryRegion *mr = link_server_find_bar(server, &msg->bar, &offset);

    if (mr && memory_region_write(mr, offset, msg->bar.val, msg->bar.size) == MEM_OK) {
        *ret_value = 0;
    }
    return 0;
}

static int link_server_device_reset(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    device_reset(DEVICE(server->dev));
    *ret_value = 0;
    return 0;
}

/* No message is received and no reply sent until link_server_drain() has seen the transfers end. */
static void link_server_start_draining(LinkServer *server)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);

    server->drain_limit = now + DRAIN_LIMIT_NS;
    event_timer_arm(server->drain, now + DRAIN_POLL_NS);
    link_server_set_state(server, LINK_SERVER_DRAINING);
}

/* Whether transfers that the guest believes to be over go on, and were not waited for in vain. */
static bool link_server_has_abandoned(const LinkServer *server)
{
    const DmaContext *dma = &server->dev->dma;

    return dma->abandoned > 0 && dma->abandons != server->given_up;
}

static int link_server_sync(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    g_autoptr(GError) err = NULL;

    if (server->bounce) {
        mpqemu_link_close(server->link, "SYNC_SYSMEM: DMA on this link is bounced, it maps no guest RAM");
        return -EPROTO;
    }
    if (!memory_table_apply(server->memory, msg, &err)) {
        g_prefix_error(&err, "SYNC_SYSMEM: ");
        mpqemu_link_close(server->link, err->message);
        return -EPROTO;
    }
    if (memory_table_draining(server->memory)) {
        link_server_start_draining(server);
    }
    return 0;
}

static int link_server_set_irqfd(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    int irqfd = mpqemu_msg_take_fd(msg, 0), resamplefd = mpqemu_msg_take_fd(msg, 1);
    int rc = iohub_set_fds_take_fd(&server->hub, irqfd, resamplefd);

    if (rc < 0) {
        g_autofree char *reason = g_strdup_printf("SET_IRQFD: cannot watch the resample eventfd: %s", errno_text(-rc));

        mpqemu_link_close(server->link, reason);
        return -EPROTO;
    }
    return 0;
}

/* From inside an access of the device: the link ends when that is over. */
static void link_server_dma_failed(void *opaque, int rc, const char *reason)
{
    LinkServer *server = opaque;

    server->dma_failure = rc;
    mpqemu_link_close(server->link, reason);
    event_bh_schedule(server->more);
}

static int link_server_set_bounce(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    g_autoptr(GError) err = NULL;

    if (server->bounce || memory_table_count(server->memory) > 0) {
        mpqemu_link_close(server->link, "SET_BOUNCE: it must come once, before guest RAM");
        return -EPROTO;
    }
    server->bounce = bounce_client_new(msg, server->name, link_server_dma_failed, server, &err);
    trace_link_server_bounce(server->name, err ? err->message : "");
    if (server->bounce) {
        server->dev->dma.bounce = bounce_client_bounce(server->bounce);
        *ret_value = 0;
    }
    return 0;
}

static int link_server_sync_bounce(LinkServer *server, MpqemuMsg *msg, uint64_t *ret_value)
{
    if (!server->bounce) {
        mpqemu_link_close(server->link, "SYNC_BOUNCE: there was no SET_BOUNCE");
        return -EPROTO;
    }
    dma_bounce_set_ram(bounce_client_bounce(server->bounce), msg->bounce.gpas, msg->bounce.sizes, msg->bounce.count);
    return 0;
}

G_STATIC_ASSERT(DMA_BOUNCE_RANGES_MAX == MPQEMU_BOUNCE_RANGES_MAX);

static const struct {
    LinkServerHandler *handle;
    bool replies;
} handlers[MPQEMU_CMD_MAX] = {
    [MPQEMU_CMD_SYNC_SYSMEM] = { link_server_sync, false },
    [MPQEMU_CMD_PCI_CFGWRITE] = { link_server_config_write, true },
    [MPQEMU_CMD_PCI_CFGREAD] = { link_server_config_read, true },
    [MPQEMU_CMD_BAR_WRITE] = { link_server_bar_write, true },
    [MPQEMU_CMD_BAR_READ] = { link_server_bar_read, true },
    [MPQEMU_CMD_SET_IRQFD] = { link_server_set_irqfd, false },
    [MPQEMU_CMD_DEVICE_RESET] = { link_server_device_reset, true },
    [MPQEMU_CMD_SET_BOUNCE] = { link_server_set_bounce, true },
    [MPQEMU_CMD_SYNC_BOUNCE] = { link_server_sync_bounce, false },
};

/* Returns 0 or a negative errno: the link is closed. */
static int link_server_reply(LinkServer *server, MpqemuCmd request, uint64_t value)
{
    int rc = mpqemu_link_reply(server->link, request, value);

    if (rc == -EAGAIN) {
        link_server_set_state(server, LINK_SERVER_BLOCKED);
        rc = 0;
    }
    return rc;
}

/* Receives and performs one request.  Returns 1, 0 when none is complete, or a negative errno: the link is closed. */
static int link_server_one(LinkServer *server)
{
    MpqemuMsg msg;
    bool bad_fields;
    uint64_t value = MPQEMU_RET_ERROR;
    int rc = mpqemu_link_receive(server->link, &msg, &bad_fields);

    if (rc <= 0) {
        return rc;
    }
    rc = bad_fields ? 0 : handlers[msg.cmd].handle(server, &msg, &value);
    mpqemu_msg_clear(&msg);
    if (rc == 0 && handlers[msg.cmd].replies) {
        if (link_server_has_abandoned(server)) {
            server->reply_held = true;
            server->held_cmd = msg.cmd;
            server->held_value = value;
            link_server_start_draining(server);
        } else {
            rc = link_server_reply(server, msg.cmd, value);
        }
    }
    return rc < 0 ? rc : 1;
}

/* Performs what has arrived, up to a turn's share. */
static void link_server_serve(LinkServer *server)
{
    unsigned done = 0;
    int rc;

    server->busy = true;
    do {
        rc = link_server_one(server);
    } while (rc > 0 && server->state == LINK_SERVER_SERVING && mpqemu_link_has_buffered(server->link) &&
             ++done < REQUESTS_PER_TURN);
    server->busy = false;

    if (rc < 0) {
        link_server_end(server, rc);
    } else if (server->state == LINK_SERVER_SERVING) {
        if (!server->source) {
            link_server_watch(server, EVENT_READ); /* a nested turn had stopped it */
        }
        if (rc > 0 && mpqemu_link_has_buffered(server->link)) {
            event_bh_schedule(server->more);
        }
    }
}

/* ---- event loop ----------------------------------------------------------------------------------------------- */

static void link_server_ready(int fd, unsigned ready, void *opaque)
{
    LinkServer *server = opaque;
    int rc;

    if (server->busy) {
        link_server_watch(server, 0);
        return;
    }
    if (server->state == LINK_SERVER_BLOCKED) {
        rc = mpqemu_link_flush(server->link);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc < 0) {
            link_server_end(server, rc);
            return;
        }
        link_server_set_state(server, LINK_SERVER_SERVING);
        event_bh_schedule(server->more);
        return;
    }
    link_server_serve(server);
}

/* Goes on with buffered requests, of which epoll does not know, or ends a link that cannot be watched. */
static void link_server_more(void *opaque)
{
    LinkServer *server = opaque;

    if (server->busy || server->state == LINK_SERVER_ENDED) {
        return;
    }
    if (mpqemu_link_state(server->link) == MPQEMU_LINK_CLOSED) {
        link_server_end(server, -ENOTCONN);
    } else if (server->state == LINK_SERVER_SERVING) {
        link_server_serve(server);
    }
}

/* Looks whether the transfers have ended; RamBlock references tell no one when they go. */
static void link_server_drain(void *opaque)
{
    LinkServer *server = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    bool used = memory_table_draining(server->memory) || link_server_has_abandoned(server);
    int rc = 0;

    if (used && now < server->drain_limit) {
        event_timer_arm(server->drain, now + DRAIN_POLL_NS);
        return;
    }
    trace_link_server_drained(server->name, !used);
    if (used) {
        /* Once is enough: a disk that hangs must not delay every later message. */
        memory_table_stop_draining(server->memory);
        server->given_up = server->dev->dma.abandons;
    }
    link_server_set_state(server, LINK_SERVER_SERVING);
    if (server->reply_held) {
        server->reply_held = false;
        rc = link_server_reply(server, server->held_cmd, server->held_value);
    }
    if (rc < 0) {
        link_server_end(server, rc);
        return;
    }
    event_bh_schedule(server->more);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

LinkServer *link_server_new_take_fd(int fd_arg, PciDevice *dev, const char *name, LinkServerEnded *ended, void *opaque,
                                    GError **errp)
{
    auto_fd fd = fd_arg;
    LinkServer *server = g_new0(LinkServer, 1);
    EventLoop *loop = event_loop_main();

    server->name = g_strdup(name);
    server->ended = ended;
    server->opaque = opaque;
    server->memory = memory_table_new(name);
    iohub_init(&server->hub);
    if (!remote_pci_host_connect(dev, &server->hub, memory_table_as(server->memory), name, errp)) {
        goto fail;
    }
    server->link = mpqemu_link_new_take_fd(fd_steal(&fd), MPQEMU_ROLE_SERVER, name, errp);
    if (!server->link) {
        remote_pci_host_disconnect(dev);
        goto fail;
    }
    mpqemu_link_set_closing(server->link, link_server_unwatch, server);
    server->dev = g_object_ref(dev);
    server->more = event_bh_new(loop, link_server_more, server);
    server->drain = event_timer_new(loop, EVENT_CLOCK_REAL, link_server_drain, server);
    link_server_watch(server, EVENT_READ);
    if (!server->source) {
        error_setg(errp, "%s: %s", name, mpqemu_link_reason(server->link));
        link_server_free(server);
        return NULL;
    }
    return server;

fail:
    memory_table_free(server->memory);
    g_free(server->name);
    g_free(server);
    return NULL;
}

bool link_server_stop(LinkServer *server)
{
    if (server->busy) {
        return false; /* it is looked at again when the nested turn has ended */
    }
    if (server->state != LINK_SERVER_ENDED) {
        link_server_release(server);
    }
    return server->dev->dma.abandoned == 0;
}

void link_server_free(LinkServer *server)
{
    if (!server) {
        return;
    }
    g_return_if_fail(!server->busy);
    if (server->state != LINK_SERVER_ENDED) {
        link_server_release(server);
    }
    remote_pci_host_disconnect(server->dev);
    event_bh_free(server->more);
    event_timer_free(server->drain);
    mpqemu_link_free(server->link);
    memory_table_free(server->memory);
    g_object_unref(server->dev);
    g_free(server->name);
    g_free(server);
}
