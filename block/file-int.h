/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the drivers "file" and "host_device": state of an image, and how an operation is put together.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Theory of operation.  Three layers, each with one continuation in FileOp, called with 0 or -errno:
 *
 *   file-io.c     what an operation means: flush, FUA, discard, zeroing, the fallback to writing zeroes   -> complete
 *   file-align.c  what O_DIRECT needs: bounce buffers, read-modify-write, order of overlapping requests  -> rw_then
 *   file-xfer.c   moving bytes: short transfers, the image's end, repeated interruptions                -> xfer_then
 */
#ifndef BLOCK_FILE_INT_H
#define BLOCK_FILE_INT_H

#include "block/block-int.h"
#include "block/uring.h"

/* Values of the option "locking". */
typedef enum FileLocking {
    FILE_LOCKING_AUTO, /* lock where the file system can */
    FILE_LOCKING_ON,   /* fail where it cannot */
    FILE_LOCKING_OFF,
} FileLocking;

typedef struct FileOp FileOp;
typedef void FileThen(FileOp *f, int ret);

/* A list of operations in the order of their arrival. */
typedef struct FileOpList {
    FileOp *head, **tail; /* tail is valid while head is not NULL */
} FileOpList;

typedef struct FileState {
    char *filename;
    int fd;                /* owned */
    bool is_block;
    bool direct;           /* O_DIRECT */
    bool locked_read, locked_write; /* the locks of these accesses are held */
    FileLocking locking;
    uint64_t file_size;    /* bytes of a regular file that exist; node->length is this rounded up to sectors */
    unsigned block_size;   /* of a block device: what discard and zeroing need; 1 for files */
    unsigned mem_align;    /* what reads and writes need of memory addresses, ... */
    unsigned offset_align; /* ... and of offsets and lengths; 1: anything goes */
    bool no_punch;         /* the file system said that it cannot punch holes ... */
    bool no_zero_range;    /* ... or zero a range */
    int flush_error;       /* sticky, see file-io.c; 0: none */
    FileOpList tracked;    /* writes on an image with large sectors, see file-align.c */
    unsigned tracked_rmw;  /* of these, read-modify-writes */
    bool starting;         /* the list of tracked writes is being walked */
} FileState;

/* The scratch area of a BlockOp. */
struct FileOp {
    UringOp ring;
    FileState *s;
    uint8_t tries;         /* times the kernel gave up without a result, in a row */
    bool dsync;            /* this write goes through to stable storage by itself */

    /* file-io.c */
    int falloc_mode;       /* fallocate(2) mode of the call under way */
    uint64_t zero_pos, zero_left; /* write-zeroes by writing: what remains */
    struct iovec zero_iov;

    /* file-align.c: the order of writes */
    bool tracked;          /* in s->tracked */
    bool rmw;              /* reads blocks and writes them back: no other write may come in between */
    bool waits_for_range;  /* not started */
    uint64_t start, end;   /* the bytes that it touches, whole blocks */
    FileOp *next_tracked;
    void (*go)(FileOp *f); /* called when the range is free */

    /* file-align.c: bounce buffers */
    bool is_write;
    bool waits_for_memory;
    uint64_t pos;          /* the request's own beginning, ... */
    size_t len;            /* ... length ... */
    struct iovec *iov;     /* ... and memory */
    unsigned iov_count;
    char *bounce;          /* covers [start, end); NULL: none */
    struct iovec bounce_iov;
    FileOp *next_waiting;
    FileThen *rw_then;

    /* file-xfer.c */
    uint64_t xfer_pos;     /* next byte */
    size_t xfer_left;
    struct iovec *xfer_iov;
    unsigned xfer_count;
    bool xfer_write;
    FileThen *xfer_then;
};

static inline BlockOp *file_op_owner(FileOp *f)
{
    return (BlockOp *)((char *)f - offsetof(BlockOp, scratch));
}

/* ---- file-io.c */
void file_submit(BlockNode *node, BlockOp *op);
void file_cancel(BlockNode *node, BlockOp *op);

/* ---- file-align.c */

/* Reads or writes [POS, POS + LEN), any multiples of 512; IOV is the operation's own and may be modified. */
void file_rw(FileOp *f, bool is_write, struct iovec *iov, unsigned count, uint64_t pos, size_t len,
             FileThen *then);

/*
 * For changes of the image other than by file_rw(): calls GO as soon as no read-modify-write is under way in
 * [POS, POS + LEN), and keeps new ones off until file_range_leave().
 */
void file_range_enter(FileOp *f, uint64_t pos, uint64_t len, void (*go)(FileOp *f));
void file_range_leave(FileOp *f);

/* F waits for a range or for memory: takes it out; the caller ends it.  False when it does not wait. */
bool file_rw_stop_waiting(FileOp *f);

/* ---- file-xfer.c */

/* Moves all LEN bytes between the image at POS and IOV, which is modified. */
void file_xfer(FileOp *f, bool is_write, struct iovec *iov, unsigned count, uint64_t pos, size_t len, FileThen *then);

/* RES says only that the kernel was interrupted or short of memory. */
static inline bool file_op_is_transient(int res)
{
    return res == -EINTR || res == -EAGAIN || res == -ECANCELED;
}

/* The result of F for the final RES of a UringOp. */
int file_op_result(FileOp *f, int res);

/*
 * For done() of a UringOp: true when RES is transient and F, not cancelled, was submitted again.  Gives up after
 * many times.
 */
bool file_op_retry(FileOp *f, int res);

/* ---- file-lock.c */

/* Takes and drops the locks on the image so that they fit ACCESS.  On failure the former ones stay. */
bool file_lock(FileState *s, BlockAccess access, GError **errp);

/* ---- file-size.c */

/* The image's actual size in bytes, or -errno. */
int64_t file_measure(const FileState *s);

/* Takes the image's size, SIZE bytes, for true. */
void file_set_size(BlockNode *node, uint64_t size);

/* BlockDriver.resize, .filename, .allocated. */
bool file_resize(BlockNode *node, uint64_t size, GError **errp);
const char *file_filename(const BlockNode *node);
uint64_t file_allocated(const BlockNode *node);

/* ---- file-close.c */

/* BlockDriver.close: unlocks now, closes when the data is on stable storage. */
void file_close(BlockNode *node);

/*
 * Waits until all images are closed; at the end of the program.  False: some are not at DEADLINE_NS of
 * EVENT_CLOCK_REAL.
 */
bool file_wait_closed(int64_t deadline_ns);

#endif
