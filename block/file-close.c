/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing an image without keeping anybody waiting.
 *
 * Runs in: both.
 *
 * Theory of operation.  What is left in the host's cache is written before the descriptor goes: it is the last chance
 * for it.  That may take long, so the ring does it, and the descriptor is closed when it is done.  The locks go first:
 * another user of this host sees the same cache.
 */
#include "block/file-int.h"
#include "trace/block.h"
#include "util/event-loop.h"
#include "util/fd.h"

typedef struct FileClosing {
    UringOp ring; /* first: done() finds the rest by it */
    int fd;       /* owned */
    char *filename;
    unsigned tries; /* the kernel was interrupted */
} FileClosing;

/* Interruptions in a row before the image is closed all the same. */
#define CLOSE_TRIES_MAX 100

static unsigned under_way;

static void sync_prep(UringOp *ring, struct io_uring_sqe *sqe)
{
    io_uring_prep_fsync(sqe, ((FileClosing *)ring)->fd, IORING_FSYNC_DATASYNC);
}

/* Nobody is left to be told of an error. */
static void sync_done(UringOp *ring, int res)
{
    FileClosing *closing = (FileClosing *)ring;

    if (file_op_is_transient(res) && closing->tries++ < CLOSE_TRIES_MAX) {
        uring_submit(ring);
        return;
    }
    if (res < 0) {
        trace_block_file_close_error(closing->filename, -res);
    }
    fd_close(&closing->fd);
    g_free(closing->filename);
    g_free(closing);
    under_way--;
}

void file_close(BlockNode *node)
{
    FileState *s = node->state;
    FileClosing *closing;

    file_lock(s, BLOCK_ACCESS_NONE, NULL);
    if (node->read_only || node->no_flush) {
        fd_close(&s->fd);
        g_free(s->filename);
        return;
    }
    closing = g_new0(FileClosing, 1);
    *closing = (FileClosing) {
        .ring = { .prep = sync_prep, .done = sync_done },
        .fd = s->fd,
        .filename = s->filename,
    };
    under_way++;
    uring_submit(&closing->ring);
}

bool file_wait_closed(int64_t deadline_ns)
{
    while (under_way > 0) {
        uring_process();
        if (under_way > 0 && event_clock_ns(EVENT_CLOCK_REAL) >= deadline_ns) {
            return false;
        }
        if (under_way > 0) {
            uring_wait(deadline_ns);
        }
    }
    return true;
}
