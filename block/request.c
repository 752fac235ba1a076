/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests of backends: checks, submission, queueing, completion, cancellation, draining.
 *
 * Runs in: both.
 *
 * Theory of operation.  A request is in exactly one place at a time:
 *
 *   the backend's wait queue   more than BLOCK_IN_FLIGHT_MAX are in the nodes; left for the nodes when one of these
 *                              ends, or for the completion queue by blk_cancel()
 *   the nodes                  left by block_op_complete(), after which op.node is NULL
 *   the completion queue       entered once, with the result; left when block_poll() calls the callback
 *
 * and it is freed after its callback.  Requests that fail their checks start in the completion queue.
 */
#include <errno.h>
#include <string.h>
#include "block/block-int.h"
#include "block/uring.h"
#include "trace/block.h"
#include "util/event-loop.h"

typedef enum RequestPlace {
    PLACE_WAIT_QUEUE,
    PLACE_NODES,
    PLACE_COMPLETED,
} RequestPlace;

struct BlockRequest {
    BlockOp op; /* first: completions find the request by it */
    BlockBackend *blk;
    BlockNode *root; /* a reference: the medium may be ejected while the request runs */
    RequestPlace place;
    GList link; /* in the backend's in_nodes */
    uint64_t offset; /* at the root; filters move op.offset */
    int64_t start_ns; /* EVENT_CLOCK_REAL */
    BlockCompletion *cb;
    void *opaque;
    struct iovec iov[];
};

static struct {
    EventBh *poll_bh; /* made at the first use */
    BlockOp *head, **tail; /* operations with a result, oldest first */
    unsigned count;
} completed;

/* ---- completion ------------------------------------------------------------------------------ */

static void poll_due(void *opaque)
{
    block_poll();
}

void block_schedule_poll(void)
{
    if (!completed.poll_bh) {
        completed.poll_bh = event_bh_new(event_loop_main(), poll_due, NULL);
    }
    event_bh_schedule(completed.poll_bh);
}

void block_requests_cleanup(void)
{
    event_bh_free(completed.poll_bh);
    completed.poll_bh = NULL;
    block_delay_cleanup();
}

/* TAIL is only read when the list is not empty; the caller sets it for an empty one. */
static void append(BlockOp ***tail, BlockOp *op)
{
    op->next = NULL;
    **tail = op;
    *tail = &op->next;
}

/* Called by drivers, inside submit() too: no callback runs before block_poll(). */
void block_op_complete(BlockOp *op, int ret)
{
    op->ret = ret;
    op->node = NULL;
    if (!completed.head) {
        completed.tail = &completed.head;
    }
    append(&completed.tail, op);
    completed.count++;
    block_schedule_poll();
}

bool block_poll(void)
{
    bool progress = false;

    block_delay_process();
    uring_process();
    /*
     * One at a time from the head, so a callback may drain, which comes back here.  What callbacks submit and end is
     * left for the next turn.
     */
    for (unsigned budget = completed.count; budget > 0 && completed.head; budget--) {
        BlockOp *op = completed.head;

        completed.head = op->next;
        completed.count--;
        op->done(op);
        progress = true;
    }
    if (completed.head) {
        block_schedule_poll();
    }
    return progress;
}

/* ---- the life of a request ------------------------------------------------------------------- */

static void request_start(BlockRequest *req)
{
    req->place = PLACE_NODES;
    g_queue_push_tail_link(&req->blk->in_nodes, &req->link);
    block_node_submit(req->root, &req->op);
}

/* Lets waiting requests into the nodes as far as the limit allows. */
static void start_waiting(BlockBackend *blk)
{
    while (blk->wait_head && blk->in_nodes.length < BLOCK_IN_FLIGHT_MAX) {
        BlockOp *op = blk->wait_head;

        blk->wait_head = op->next;
        request_start((BlockRequest *)op);
    }
}

/* ---- accounting ------------------------------------------------------------------------------ */

static unsigned stats_type(BlockOpType type)
{
    static const uint8_t types[] = {
        [BLOCK_OP_READ] = BLOCK_STATS_READ,
        [BLOCK_OP_WRITE] = BLOCK_STATS_WRITE,
        [BLOCK_OP_FLUSH] = BLOCK_STATS_FLUSH,
        [BLOCK_OP_DISCARD] = BLOCK_STATS_UNMAP,
        [BLOCK_OP_WRITE_ZEROES] = BLOCK_STATS_WRITE,
    };

    return types[type];
}

/* Counts REQ, which the image has ended.  What its device gave up says nothing about the image. */
static void account(const BlockRequest *req)
{
    BlockStats *stats = &req->blk->stats;
    const BlockOp *op = &req->op;
    unsigned type = stats_type(op->type);
    BlockNode *leaf;

    if (op->ret == -ECANCELED) {
        return;
    }
    stats->last_ns = event_clock_ns(EVENT_CLOCK_REAL);
    stats->type[type].time_ns += (uint64_t)(stats->last_ns - req->start_ns);
    if (op->ret) {
        stats->type[type].failed++;
        return;
    }
    stats->type[type].operations++;
    stats->type[type].bytes += op->len;
    if (type == BLOCK_STATS_WRITE) {
        leaf = block_node_leaf(req->root);
        leaf->highest_write = MAX(leaf->highest_write, op->offset + op->len);
        stats->highest_write = MAX(stats->highest_write, req->offset + op->len);
    }
}

/* Counts REQ, which was refused before it came to the image. */
static void account_invalid(const BlockRequest *req)
{
    BlockStats *stats = &req->blk->stats;

    stats->last_ns = event_clock_ns(EVENT_CLOCK_REAL);
    stats->type[stats_type(req->op.type)].invalid++;
}

/* ---- completion of a request ----------------------------------------------------------------- */

/* op->done of all requests: the only place that calls callbacks. */
static void request_done(BlockOp *op)
{
    BlockRequest *req = (BlockRequest *)op;
    BlockBackend *blk = req->blk;
    bool was_last;

    if (req->place == PLACE_NODES) {
        req->place = PLACE_COMPLETED;
        g_queue_unlink(&blk->in_nodes, &req->link);
        account(req);
        start_waiting(blk);
    }
    blk->in_flight--;
    /* Before the callback, which may give BLK back. */
    was_last = blk->leaving && blk->in_flight == 0;
    trace_block_request_done(blk->name, req, op->ret);
    req->cb(req->opaque, op->ret);
    block_node_unref(req->root);
    g_free(req);
    if (was_last) {
        block_backend_left(blk);
    }
}

/* Ends REQ, which is not in the nodes, by the callback. */
static void request_fail(BlockRequest *req, int ret)
{
    req->place = PLACE_COMPLETED;
    block_op_complete(&req->op, ret);
}

/* COUNT is at most BLOCK_IOV_MAX, so the allocation is small. */
static BlockRequest *request_new(BlockBackend *blk, BlockOpType type, uint64_t offset, uint64_t len,
                                 const struct iovec *iov, unsigned count, unsigned flags,
                                 BlockCompletion *cb, void *opaque)
{
    BlockRequest *req = g_malloc(sizeof(*req) + count * sizeof(*iov));

    /* Not the scratch area: the leaf initialises what it uses. */
    memset(req, 0, offsetof(BlockRequest, op.scratch));
    req->op.type = type;
    req->op.flags = flags;
    req->op.offset = offset;
    req->op.len = len;
    req->op.iov = req->iov;
    req->op.iov_count = count;
    req->op.done = request_done;
    req->link = (GList) { .data = req };
    req->offset = offset;
    req->start_ns = 0;
    req->blk = blk;
    req->root = blk->root ? block_node_ref(blk->root) : NULL;
    req->cb = cb;
    req->opaque = opaque;
    if (count) {
        memcpy(req->iov, iov, count * sizeof(*iov));
    }
    blk->in_flight++;
    trace_block_request(blk->name, req, type, offset, len, flags);
    return req;
}

static bool is_write(BlockOpType type)
{
    return type == BLOCK_OP_WRITE || type == BLOCK_OP_DISCARD || type == BLOCK_OP_WRITE_ZEROES;
}

/* Every check on requests that does not depend on a driver.  Returns 0 or the request's result. */
static int request_check(const BlockBackend *blk, const BlockOp *op)
{
    uint64_t length;

    if (!blk->root) {
        return -ENOMEDIUM;
    }
    if (is_write(op->type) && blk->access != BLOCK_ACCESS_WRITE) {
        return -EROFS;
    }
    if ((op->offset | op->len) % BLOCK_SECTOR) {
        return -EINVAL;
    }
    length = blk->root->length;
    if (op->offset > length || op->len > length - op->offset) {
        return -EIO;
    }
    return 0;
}

/* Checks REQ and sends it on its way; RET is the result of earlier checks. */
static BlockRequest *request_submit(BlockRequest *req, int ret)
{
    BlockBackend *blk = req->blk;
    BlockOp *op = &req->op;

    if (!ret) {
        ret = request_check(blk, op);
    }
    if (ret) {
        account_invalid(req);
        request_fail(req, ret);
        return req;
    }
    req->start_ns = event_clock_ns(EVENT_CLOCK_REAL);
    if (op->type != BLOCK_OP_FLUSH && !op->len) {
        request_fail(req, 0);
    } else if (op->type == BLOCK_OP_DISCARD && !blk->root->discard) {
        account(req); /* for the device it was one */
        request_fail(req, 0);
    } else if (blk->in_nodes.length < BLOCK_IN_FLIGHT_MAX) {
        request_start(req);
    } else {
        if (!blk->wait_head) {
            blk->wait_tail = &blk->wait_head;
        }
        req->place = PLACE_WAIT_QUEUE;
        append(&blk->wait_tail, op);
    }
    return req;
}

/* The length of a list, or BLOCK_REQUEST_MAX + 1 when it is longer than that. */
static uint64_t list_length(const struct iovec *iov, unsigned count)
{
    uint64_t len = 0;

    for (unsigned i = 0; i < count && len <= BLOCK_REQUEST_MAX; i++) {
        len += MIN(iov[i].iov_len, BLOCK_REQUEST_MAX + 1);
    }
    return MIN(len, BLOCK_REQUEST_MAX + 1);
}

/*
 * Reads and writes.  A list that is too long is not even copied; the request then exists only to bring its error by the
 * callback.
 */
static BlockRequest *submit_list(BlockBackend *blk, BlockOpType type, uint64_t offset,
                                 const struct iovec *iov, unsigned count, unsigned flags,
                                 BlockCompletion *cb, void *opaque)
{
    bool fits = count <= BLOCK_IOV_MAX;
    uint64_t len = fits ? list_length(iov, count) : 0;
    BlockRequest *req = request_new(blk, type, offset, len, iov, fits ? count : 0, flags, cb, opaque);

    return request_submit(req, fits && len <= BLOCK_REQUEST_MAX ? 0 : -EINVAL);
}

/* With the write cache off each write is stable before it completes. */
static unsigned write_flags(const BlockBackend *blk, unsigned flags)
{
    if (!blk->write_cache) {
        flags |= BLOCK_REQ_FUA;
    }
    if (!blk_discard_enabled(blk)) {
        flags &= ~BLOCK_REQ_MAY_UNMAP;
    }
    return flags;
}

BlockRequest *blk_preadv(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count,
                         BlockCompletion *cb, void *opaque)
{
    return submit_list(blk, BLOCK_OP_READ, offset, iov, count, 0, cb, opaque);
}

BlockRequest *blk_pwritev(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count,
                          unsigned flags, BlockCompletion *cb, void *opaque)
{
    return submit_list(blk, BLOCK_OP_WRITE, offset, iov, count, write_flags(blk, flags), cb, opaque);
}

BlockRequest *blk_flush(BlockBackend *blk, BlockCompletion *cb, void *opaque)
{
    return request_submit(request_new(blk, BLOCK_OP_FLUSH, 0, 0, NULL, 0, 0, cb, opaque), 0);
}

BlockRequest *blk_discard(BlockBackend *blk, uint64_t offset, uint64_t len, BlockCompletion *cb,
                          void *opaque)
{
    return request_submit(request_new(blk, BLOCK_OP_DISCARD, offset, len, NULL, 0, 0, cb, opaque), 0);
}

BlockRequest *blk_write_zeroes(BlockBackend *blk, uint64_t offset, uint64_t len, unsigned flags,
                               BlockCompletion *cb, void *opaque)
{
    return request_submit(request_new(blk, BLOCK_OP_WRITE_ZEROES, offset, len, NULL, 0,
                                      write_flags(blk, flags), cb, opaque), 0);
}

/* ---- cancellation and draining --------------------------------------------------------------- */

static void unlink_waiting(BlockBackend *blk, BlockOp *op)
{
    BlockOp **link = &blk->wait_head;

    while (*link != op) {
        link = &(*link)->next;
    }
    *link = op->next;
    if (!*link) {
        blk->wait_tail = link;
    }
}

/*
 * Never ends a request inside this call as its caller sees it: even one that waited goes through the completion queue.
 * A request that has its result keeps it.
 */
void blk_cancel(BlockRequest *req)
{
    BlockOp *op = &req->op;

    trace_block_request_cancel(req->blk->name, req);
    switch (req->place) {
    case PLACE_WAIT_QUEUE:
        unlink_waiting(req->blk, op);
        request_fail(req, -ECANCELED);
        break;
    case PLACE_NODES:
        if (op->node && !op->cancelled) {
            op->cancelled = true;
            if (op->node->driver->cancel) {
                op->node->driver->cancel(op->node, op);
            }
        }
        break;
    case PLACE_COMPLETED:
        break;
    }
}

static bool is_past_end(const BlockRequest *req, const BlockNode *root, uint64_t length)
{
    return req->root == root && req->offset + req->op.len > length;
}

bool block_requests_reach(BlockNode *root, uint64_t length)
{
    GPtrArray *backends = block_backends();

    for (unsigned i = 0; backends && i < backends->len; i++) {
        const BlockBackend *blk = g_ptr_array_index(backends, i);

        for (const GList *link = blk->in_nodes.head; link; link = link->next) {
            if (is_past_end(link->data, root, length)) {
                return true;
            }
        }
    }
    return false;
}

void block_requests_cut(BlockNode *root)
{
    GPtrArray *backends = block_backends();

    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);
        BlockOp *next;

        for (BlockOp *op = blk->wait_head; op; op = next) {
            next = op->next;
            if (is_past_end((BlockRequest *)op, root, root->length)) {
                account_invalid((BlockRequest *)op);
                unlink_waiting(blk, op);
                request_fail((BlockRequest *)op, -EIO);
            }
        }
    }
}

unsigned blk_in_flight(const BlockBackend *blk)
{
    return blk->in_flight;
}

/*
 * Does not turn the event loop: the caller may be a device's reset on behalf of its link, and handling the link's next
 * message in the middle of that reset would be re-entrancy.  All that requests wait for comes from the ring, or from
 * delay.c.
 */
bool blk_drain(BlockBackend *blk, int64_t limit_ns)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    int64_t deadline = limit_ns > INT64_MAX - start ? INT64_MAX : start + limit_ns;

    while (blk->in_flight) {
        if (block_poll() || !blk->in_flight) {
            continue;
        }
        if (event_clock_ns(EVENT_CLOCK_REAL) >= deadline) {
            return false;
        }
        uring_wait(MIN(deadline, block_delay_deadline()));
    }
    return true;
}
