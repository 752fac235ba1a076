/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the block layer: nodes, their drivers, and the operations that travel down a chain of nodes.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Theory of operation.  A node is an instance of a BlockDriver and has at most one child: a filter (raw, blkdebug)
 * stands on a leaf (file, host_device, null-co).  A request of a backend carries one BlockOp.  It is handed to the
 * top node's driver; a filter changes it or ends it, or passes it to its child with block_node_submit(); the leaf
 * works on it and ends it with block_op_complete().  Nothing comes back through the filters, so an operation costs
 * one allocation however long the chain is.
 *
 * block_op_complete() only queues; block_poll(), called from the event loop (or from blk_drain()), delivers.  That
 * is why a driver may end an operation inside its own submit().
 */
#ifndef BLOCK_BLOCK_INT_H
#define BLOCK_BLOCK_INT_H

#include <json-glib/json-glib.h>
#include "block/block.h"
#include "util/event-loop.h"

/* Offsets and lengths of requests are multiples of it; so is the length of every node. */
#define BLOCK_SECTOR 512u

/* Bytes a leaf driver may keep in each operation. */
#define BLOCK_OP_SCRATCH 384

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockOp BlockOp;

typedef enum BlockOpType {
    BLOCK_OP_READ,
    BLOCK_OP_WRITE,
    BLOCK_OP_FLUSH,
    BLOCK_OP_DISCARD,
    BLOCK_OP_WRITE_ZEROES,
} BlockOpType;

/* What a user of a node (a backend, or the node above) does with it, and tolerates. */
typedef enum BlockAccess {
    BLOCK_ACCESS_NONE,
    BLOCK_ACCESS_READ,  /* reads; others may read too */
    BLOCK_ACCESS_WRITE, /* reads and writes; nobody else may do anything */
} BlockAccess;

struct BlockOp {
    BlockOpType type;
    unsigned flags;      /* BLOCK_REQ_*, for writes and write-zeroes */
    uint64_t offset;     /* bytes; a filter may move it */
    uint64_t len;        /* bytes; the sum of iov for reads and writes */
    struct iovec *iov;   /* reads and writes: the operation's own array, which the leaf may modify */
    unsigned iov_count;
    BlockNode *node;     /* who has it now; NULL once it has a result */
    bool cancelled;      /* blk_cancel() was called: drivers stop at the next convenient point */
    int ret;             /* set by block_op_complete() */
    void (*done)(BlockOp *op);
    BlockOp *next;       /* in the queue of completions, or before that in delay.c */
    _Alignas(16) char scratch[BLOCK_OP_SCRATCH]; /* the leaf's */
};

struct BlockDriver {
    const char *name;         /* value of "driver" */
    size_t state_size;        /* bytes of node->state */
    const char *child_key;    /* option that names the child: "file", "image"; NULL: a leaf */
    const char *const *keys;  /* the driver's own options, NULL-ended, for messages */

    /*
     * Opens: reads its options from OPTS (the caller checks for unused ones), sets node->state, node->length, and
     * for leaves node->discard.  The child is open already.  On failure nothing is left behind.
     */
    bool (*open)(BlockNode *node, Options *opts, GError **errp);
    /*
     * No operation is in flight.  Makes written data stable, which may last longer than this call.  NULL: nothing to
     * do.
     */
    void (*close)(BlockNode *node);
    /* Starts OP, which was checked against the node's length. */
    void (*submit)(BlockNode *node, BlockOp *op);
    /* OP is in this node and shall end early; it must still complete.  NULL: operations end by themselves soon. */
    void (*cancel)(BlockNode *node, BlockOp *op);
    /* Takes and drops locks as ACCESS needs.  On failure the former ones stay.  NULL: there are no locks. */
    bool (*set_access)(BlockNode *node, BlockAccess access, GError **errp);
    /*
     * Filters: a node of SIZE bytes is wanted, what must its child have?  NULL: the same.  Fails for a node whose size
     * is fixed.
     */
    bool (*child_size)(const BlockNode *node, uint64_t size, uint64_t *ret_child_size, GError **errp);
    /* Filters: the length on a child of CHILD_LENGTH bytes.  NULL: the same. */
    uint64_t (*length_over)(const BlockNode *node, uint64_t child_length);
    /* Leaves: gives the image SIZE bytes, or measures it, and sets node->length.  NULL: it cannot be resized. */
    bool (*resize)(BlockNode *node, uint64_t size, GError **errp);
    /* Leaves: what the user calls the image, and the bytes it takes on the host.  NULL: the driver's name, nothing. */
    const char *(*filename)(const BlockNode *node);
    uint64_t (*allocated)(const BlockNode *node);
    /* Reads up to LEN <= 4096 first bytes, synchronously, at start-up.  Leaves only.  Returns bytes or -errno. */
    ssize_t (*peek)(BlockNode *node, void *buf, size_t len);
};

struct BlockNode {
    const BlockDriver *driver;
    char *name;          /* node-name; made up ("#block1") for a node without one */
    unsigned refs;       /* parents, backends, and -blockdev itself */
    BlockNode *child;    /* referenced; NULL for a leaf */
    BlockAccess child_access; /* ours to the child: the strongest that a user of ours has */
    void *state;         /* the driver's */
    uint64_t length;     /* bytes, a multiple of BLOCK_SECTOR */
    bool read_only;      /* here or below */
    bool auto_read_only; /* a leaf that may not be written becomes read-only instead of failing */
    bool direct;         /* cache.direct: past the host's page cache */
    bool no_flush;       /* cache.no-flush: flushes and FUA do nothing */
    bool discard;        /* discard=unmap, here and below */
    unsigned readers;    /* users with BLOCK_ACCESS_READ */
    bool writer;         /* a user with BLOCK_ACCESS_WRITE; it is the only user then */
    uint64_t highest_write; /* leaves: end of the farthest write */
};

/* ---- operations (request.c) -------------------------------------------------------------------------------------- */

/* Gives OP to NODE's driver. */
static inline void block_node_submit(BlockNode *node, BlockOp *op)
{
    op->node = node;
    node->driver->submit(node, op);
}

/* Ends OP with 0 or -errno.  op->done() is called later, from block_poll(). */
void block_op_complete(BlockOp *op, int ret);

/* Makes the event loop call block_poll() at its next turn.  Any thread that holds the machine lock. */
void block_schedule_poll(void);

/* Submits and reaps I/O and delivers completions.  Returns true when it delivered any. */
bool block_poll(void);

/* Whether a request under way in ROOT and below reaches beyond LENGTH bytes of ROOT. */
bool block_requests_reach(BlockNode *root, uint64_t length);

/* Fails requests for ROOT that wait in backends' queues and reach beyond its end. */
void block_requests_cut(BlockNode *root);

/* At the end of the program: frees what block_schedule_poll() made. */
void block_requests_cleanup(void);

/* ---- delays (delay.c) ------------------------------------------------------------------------------------------- */

typedef void BlockDelayDone(BlockOp *op, int argument);

/*
 * Keeps OP, which is in a filter of the caller's, for NS nanoseconds of EVENT_CLOCK_REAL; then GO passes it on or ends
 * it.  The caller's driver calls block_delay_cancel() from its cancel(): that ends OP with -ECANCELED, or does nothing
 * when it is not CANCELLABLE, as a file system that does not answer.
 */
void block_delay(BlockOp *op, int64_t ns, bool cancellable, BlockDelayDone *go, int argument);
void block_delay_cancel(BlockOp *op);

/* Lets go what is due: part of block_poll(). */
void block_delay_process(void);
/* When the next one is due; INT64_MAX: there is none. */
int64_t block_delay_deadline(void);
/* At the end of the program, when none is left. */
void block_delay_cleanup(void);

/* ---- nodes (node.c) --------------------------------------------------------------------------------------------- */

extern const BlockDriver block_driver_file;
extern const BlockDriver block_driver_host_device;
extern const BlockDriver block_driver_raw;
extern const BlockDriver block_driver_blkdebug;
extern const BlockDriver block_driver_null_co;

/* What an unnamed child takes over from its parent. */
typedef struct BlockInherit {
    bool is_drive; /* below a -drive: a driver may be left to be found out from the file name */
    const char *const *drive_keys; /* the top node of a -drive: its other options, NULL-ended, for messages */
    bool read_only;
    bool auto_read_only;
    bool direct;
    bool no_flush;
    bool discard;
} BlockInherit;

/*
 * Opens a node and its children.  Reads all of OPTS and fails on unknown keys; INHERIT is NULL for a node of
 * -blockdev.  Returns a reference, or NULL with *errp.
 */
BlockNode *block_node_open(Options *opts, const BlockInherit *inherit, GError **errp);

/* The option that names the child of such a node; NULL: it has no child, or there is no such driver. */
const char *block_driver_child_key(const char *driver_name);

BlockNode *block_node_ref(BlockNode *node);
void block_node_unref(BlockNode *node); /* accepts NULL; the last reference closes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockNode, block_node_unref)

/* The node of that node-name, or NULL.  No new reference. */
BlockNode *block_node_find(const char *name);

/*
 * A user of NODE changes its access, for the whole chain down to the image: from NONE when it comes, to NONE when it
 * goes.  Fails, changing nothing, when NODE is read-only and WRITE is wanted, or when another user, in this process
 * or another, does not go together with it.  Dropping access never fails.
 */
bool block_node_change_access(BlockNode *node, BlockAccess from, BlockAccess to, GError **errp);

/* The lowest node below NODE: the image. */
static inline BlockNode *block_node_leaf(BlockNode *node)
{
    while (node->child) {
        node = node->child;
    }
    return node;
}

/* Calls FN for all nodes that stand right on CHILD; NULL: for all nodes there are. */
void block_node_foreach_parent(const BlockNode *child, void (*fn)(BlockNode *node, void *opaque), void *opaque);

/* Fills the answer of blk_image_info(). */
void block_node_fill_info(BlockNode *node, BlockImageInfo *ret_info);

/* Drops the references of -blockdev; at the end of the program. */
void block_nodes_cleanup(void);

/* ---- backends (backend.c) --------------------------------------------------------------------------------------- */

/* What is to be told of a backend, not more than once a second of each kind (events.c). */
typedef struct BlockNews {
    EventBh *bh;           /* made at first need, as is the timer */
    EventTimer *timer;
    JsonObject *error;     /* BLOCK_IO_ERROR that waits; NULL: none */
    int64_t error_ns;      /* when the last one was told; 0: never */
    int64_t tray_ns;
    bool tray_told;        /* the tray's state as it was told last */
} BlockNews;

struct BlockBackend {
    char *name;            /* -drive id, or the node-name */
    bool is_drive;         /* made by drive_add(), not for a device's node-name */
    BlockNode *root;       /* referenced; NULL: no medium */
    BlockAccess idle;      /* access to root while no device is attached: a drive holds its image from the start */
    BlockAccess access;    /* access to root now */
    char *owner;           /* the device that attached; NULL: free */
    bool write_cache;
    char *device_path;     /* QOM path of the device; NULL: not told */
    bool medium_locked;
    bool tray_open;
    const BlockTrayOps *tray; /* NULL: the device has none */
    void *tray_opaque;
    BlockIoStatus io_status;
    BlockNews news;
    BlockStats stats;
    BlockErrorAction on_read_error, on_write_error;
    void (*changed)(void *opaque);
    void *changed_opaque;

    bool leaving;          /* given back by its device, with requests that have not ended */
    unsigned in_flight;    /* requests without a completion yet */
    GQueue in_nodes;       /* of these, in the nodes: BlockRequests, at most BLOCK_IN_FLIGHT_MAX */
    BlockOp *wait_head;    /* the others, oldest first */
    BlockOp **wait_tail;
};

/* The last request of a backend that was leaving has ended. */
void block_backend_left(BlockBackend *blk);

/* All of them, in the order of their making; NULL: none. */
GPtrArray *block_backends(void);

/* Drops what no device has of backends made for NODE by blk_by_name(). */
void block_backends_forget(const BlockNode *node);

/* Tells what waits to be told, and frees what there is for it; the device or the backend goes (events.c). */
void block_news_flush(BlockBackend *blk);

/*
 * Makes a backend named NAME on ROOT (takes the reference on success; NULL: empty) with access IDLE while no device is
 * attached, and lists it.  NULL with *errp when the access is refused.
 */
BlockBackend *block_backend_new(const char *name, BlockNode *root, BlockAccess idle, GError **errp);

/* Fails when NAME is no valid id or names a backend or a node already. */
bool block_check_new_name(const char *option, const char *key, const char *name, GError **errp);

/* ---- image formats (probe.c) ------------------------------------------------------------------------------------- */

/*
 * The name of the format whose magic number the first bytes of the image below NODE show; NULL: none that is known,
 * or they cannot be read.
 */
const char *block_probe_format(BlockNode *node);

#endif
