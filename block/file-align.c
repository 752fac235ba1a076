/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What direct I/O needs: aligned bounce buffers, read-modify-write of partial blocks, order among these.
 *
 * Runs in: both.
 *
 * Theory of operation.  A list whose addresses, lengths and offset fit the image's alignment goes to the kernel as it
 * is.  Another one is served from an aligned buffer that covers whole blocks; a write that covers a block only in part
 * reads it first.  Between that reading and the writing no other write may change the block, so on images with
 * blocks larger than a sector all writes are listed in the order of their arrival, and one waits as long as an
 * earlier one overlaps it and either of them is a read-modify-write.  Readers need no order: the bytes around a
 * partial write are written back as they are.
 *
 * A file whose size is no multiple of the block size grows to the next multiple when its last block is written.
 *
 * Memory.  At most BOUNCE_BUDGET bytes of buffers exist; requests that find none left wait.  A waiter may hold a
 * range, but who holds memory waits for nothing but the disk, so there is no deadlock.
 */
#include <errno.h>
#include <stdlib.h>
#include "block/file-int.h"
#include "trace/block.h"
#include "util/iov.h"

/* For the whole program.  A few requests of the largest size. */
#define BOUNCE_BUDGET (4ull * BLOCK_REQUEST_MAX)

/* Alignment of buffers: good for every device. */
#define BOUNCE_ALIGN 4096u

static struct {
    uint64_t used;
    FileOp *head, **tail; /* requests that wait for memory; tail is valid while head is not NULL */
    bool starting;        /* the list is being walked */
} bounce;

/* ---- the order of writes --------------------------------------------------------------------- */

static bool conflicts(const FileOp *f, const FileOp *other)
{
    return (f->rmw || other->rmw) && f->start < other->end && other->start < f->end;
}

/* True when an earlier write than F, which is in the list, keeps it from starting. */
static bool must_wait(const FileOp *f)
{
    if (!f->s->tracked_rmw) {
        return false;
    }
    for (const FileOp *other = f->s->tracked.head; other != f; other = other->next_tracked) {
        if (conflicts(f, other)) {
            return true;
        }
    }
    return false;
}

/* Starts the waiting writes that nothing holds back any more. */
static void start_waiting_writes(FileState *s)
{
    FileOp *f;

    /* A write that ends at once (no memory) comes back here: the outer walk goes on for it. */
    if (s->starting) {
        return;
    }
    s->starting = true;
    do {
        for (f = s->tracked.head; f; f = f->next_tracked) {
            if (f->waits_for_range && !must_wait(f)) {
                f->waits_for_range = false;
                f->go(f);
                break; /* the list may have changed */
            }
        }
    } while (f);
    s->starting = false;
}

/* Appends F to the list and lets it go when nothing holds it back.  Small blocks need no order and no list. */
static void enter_range(FileOp *f)
{
    FileState *s = f->s;

    if (s->offset_align <= BLOCK_SECTOR) {
        f->go(f);
        return;
    }
    if (!s->tracked.head) {
        s->tracked.tail = &s->tracked.head;
    }
    f->next_tracked = NULL;
    *s->tracked.tail = f;
    s->tracked.tail = &f->next_tracked;
    f->tracked = true;
    s->tracked_rmw += f->rmw;
    f->waits_for_range = must_wait(f);
    if (f->waits_for_range) {
        trace_block_file_wait_range(s->filename, f->start, f->end);
    } else {
        f->go(f);
    }
}

void file_range_leave(FileOp *f)
{
    FileState *s = f->s;
    FileOp **link = &s->tracked.head;
    bool held_others_back = s->tracked_rmw > 0;

    if (!f->tracked) {
        return;
    }
    while (*link != f) {
        link = &(*link)->next_tracked;
    }
    *link = f->next_tracked;
    if (!*link) {
        s->tracked.tail = link;
    }
    f->tracked = false;
    s->tracked_rmw -= f->rmw;
    if (held_others_back) {
        start_waiting_writes(s);
    }
}

/* Extends [POS, POS + LEN) to whole blocks.  No overflow: it lies inside an image, whose length is an off_t. */
static void set_range(FileOp *f, uint64_t pos, uint64_t len)
{
    uint64_t align = f->s->offset_align;

    f->start = pos / align * align;
    f->end = (pos + len + align - 1) / align * align;
}

void file_range_enter(FileOp *f, uint64_t pos, uint64_t len, void (*go)(FileOp *f))
{
    set_range(f, pos, len);
    f->rmw = false;
    f->go = go;
    enter_range(f);
}

/* ---- bounce buffers -------------------------------------------------------------------------- */

static void bounce_start(FileOp *f);

/* A single request always fits into an empty budget: BLOCK_REQUEST_MAX and two blocks are less. */
static bool memory_fits(const FileOp *f)
{
    return bounce.used + (f->end - f->start) <= BOUNCE_BUDGET;
}

static void start_memory_waiters(void)
{
    if (bounce.starting) {
        return;
    }
    bounce.starting = true;
    while (bounce.head && memory_fits(bounce.head)) {
        FileOp *f = bounce.head;

        bounce.head = f->next_waiting;
        f->waits_for_memory = false;
        bounce_start(f);
    }
    bounce.starting = false;
}

static void bounce_free(FileOp *f)
{
    if (f->bounce) {
        free(f->bounce);
        f->bounce = NULL;
        bounce.used -= f->end - f->start;
        start_memory_waiters();
    }
}

/* The end of every file_rw(). */
static void rw_finish(FileOp *f, int ret)
{
    bounce_free(f);
    file_range_leave(f);
    f->rw_then(f, ret);
}

/* Moves the buffer, that is, the whole blocks. */
static void bounce_xfer(FileOp *f, bool is_write, FileThen *then)
{
    f->bounce_iov = (struct iovec) { .iov_base = f->bounce, .iov_len = f->end - f->start };
    file_xfer(f, is_write, &f->bounce_iov, 1, f->start, f->bounce_iov.iov_len, then);
}

static void bounce_write(FileOp *f)
{
    iov_to_buf(f->iov, f->iov_count, 0, f->bounce + (f->pos - f->start), f->len);
    bounce_xfer(f, true, rw_finish);
}

/* For a reader the end, for a read-modify-write half of the way: the last point where a cancellation is cheap. */
static void bounce_read_done(FileOp *f, int ret)
{
    if (!ret && file_op_owner(f)->cancelled) {
        ret = -ECANCELED;
    }
    if (!ret && f->is_write) {
        bounce_write(f);
        return;
    }
    if (!ret) {
        iov_from_buf(f->iov, f->iov_count, 0, f->bounce + (f->pos - f->start), f->len);
    }
    rw_finish(f, ret);
}

/* There is budget for F. */
static void bounce_start(FileOp *f)
{
    uint64_t size = f->end - f->start;
    void *buf;

    if (posix_memalign(&buf, MAX(BOUNCE_ALIGN, f->s->mem_align), size)) {
        rw_finish(f, -ENOMEM);
        return;
    }
    f->bounce = buf;
    bounce.used += size;
    if (f->is_write && !f->rmw) {
        bounce_write(f);
    } else {
        bounce_xfer(f, false, bounce_read_done);
    }
}

/* First come, first served, so large requests are not starved by small ones. */
static void wait_for_memory(FileOp *f)
{
    trace_block_file_wait_memory(f->s->filename, f->start, f->end);
    if (!bounce.head) {
        bounce.tail = &bounce.head;
    }
    f->next_waiting = NULL;
    *bounce.tail = f;
    bounce.tail = &f->next_waiting;
    f->waits_for_memory = true;
}

/* ---- reading and writing --------------------------------------------------------------------- */

/* True when the kernel takes F's list for direct I/O as it is. */
static bool is_aligned(const FileOp *f)
{
    const FileState *s = f->s;

    if ((f->pos | f->len) % s->offset_align) {
        return false;
    }
    for (unsigned i = 0; i < f->iov_count; i++) {
        if ((uintptr_t)f->iov[i].iov_base % s->mem_align || f->iov[i].iov_len % s->offset_align) {
            return false;
        }
    }
    return true;
}

/* The range is free. */
static void rw_go(FileOp *f)
{
    if (is_aligned(f)) {
        file_xfer(f, f->is_write, f->iov, f->iov_count, f->pos, f->len, rw_finish);
    } else if (!bounce.head && memory_fits(f)) {
        bounce_start(f);
    } else {
        wait_for_memory(f);
    }
}

void file_rw(FileOp *f, bool is_write, struct iovec *iov, unsigned count, uint64_t pos, size_t len, FileThen *then)
{
    f->is_write = is_write;
    f->iov = iov;
    f->iov_count = count;
    f->pos = pos;
    f->len = len;
    f->rw_then = then;
    set_range(f, pos, len);
    if (is_write) {
        f->rmw = f->start != pos || f->end != pos + len;
        f->go = rw_go;
        enter_range(f);
    } else {
        rw_go(f);
    }
}

bool file_rw_stop_waiting(FileOp *f)
{
    if (f->waits_for_range) {
        f->waits_for_range = false;
        file_range_leave(f);
        return true;
    }
    if (f->waits_for_memory) {
        FileOp **link = &bounce.head;

        while (*link != f) {
            link = &(*link)->next_waiting;
        }
        *link = f->next_waiting;
        if (!*link) {
            bounce.tail = link;
        }
        f->waits_for_memory = false;
        file_range_leave(f);
        start_memory_waiters(); /* those behind it may be smaller */
        return true;
    }
    return false;
}
