/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block layer: nodes, backends, asynchronous requests.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Theory of operation.  A BlockNode is a driver instance with a node-name (file, host_device, raw, blkdebug, null-co);
 * -blockdev makes named nodes, -drive makes an anonymous chain of them and a BlockBackend under the drive's id.  A
 * device takes a backend exclusively (blk_attach()) and submits requests; completions come from the event loop,
 * never synchronously inside the submitting call, and each request's callback is called exactly once: with 0 or
 * -errno, -ECANCELED after blk_cancel().
 *
 * Zero copy: the scatter list is handed to io_uring as it is (guest RAM included).  Only a list that O_DIRECT cannot
 * take (addresses or lengths off the device's alignment) goes through an aligned bounce buffer.
 *
 * Ends of the image, read-only nodes and overlong requests are checked here, once, in 64 bits without overflow.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <glib.h>
#include "util/options.h"
#include "util/syscalls.h"

typedef struct BlockBackend BlockBackend;
typedef struct BlockRequest BlockRequest;

typedef void BlockCompletion(void *opaque, int ret);

/* Limits, each with its reason. */
#define BLOCK_REQUEST_MAX (16u * 1024 * 1024) /* bytes of one read or write: bounds bounce memory */
#define BLOCK_IOV_MAX 1024                    /* the kernel's UIO_MAXIOV */
#define BLOCK_IN_FLIGHT_MAX 512               /* per backend; more wait in a queue inside the backend */
/* A disk that spins up answers in this time, and whoever asked for the program's end does not wait much longer. */
#define BLOCK_CLEANUP_LIMIT_NS (10 * G_GINT64_CONSTANT(1000000000))

enum {
    BLOCK_REQ_FUA = 1 << 0,      /* writes: on stable storage before completion */
    BLOCK_REQ_MAY_UNMAP = 1 << 1, /* write zeroes: may deallocate */
};

/* What to do on an I/O error (properties werror= and rerror=). */
typedef enum BlockErrorAction {
    BLOCK_ERROR_REPORT, /* the guest sees it */
    BLOCK_ERROR_IGNORE, /* pretend success */
    BLOCK_ERROR_STOP,   /* stop the machine; retry when it goes on */
    BLOCK_ERROR_ENOSPC, /* werror default: stop on ENOSPC, report others */
} BlockErrorAction;

/*
 * Makes what all images share, while the process may still make an io_uring.  An image that is opened later needs no
 * more than block_syscalls.
 */
bool block_init_io(GError **errp);

/* What images need that are opened after block_init_io() by a passed descriptor, and I/O on them. */
extern const SyscallTable block_syscalls;

/* ---- configuration --------------------------------------------------------------------------- */

/*
 * -drive: id=, file=, format=raw, if=none, cache=writeback|none|unsafe|writethrough|directsync,
 * readonly=on|off (read-only=), discard=ignore|unmap, detect-zeroes=off, aio=io_uring|threads|native (all mean
 * io_uring), werror=, rerror=, media=disk|cdrom (cdrom: read-only), snapshot=off, or node options as file.driver=...,
 * file.locking=...; index/bus/unit refused with if=none.  Empty (no file=): a drive without a medium (scsi-cd).
 * Fails on unknown keys, missing or locked images, wrong formats.  Without format= the image is taken as raw unless its
 * first bytes show another format.  The image is locked for reading from here on, for writing while a device that
 * writes is attached.
 */
BlockBackend *drive_add(Options *opts, GError **errp);

/* -blockdev: driver=, node-name=, then the driver's options; dotted keys or JSON; a child is a node-name or nested. */
bool blockdev_add(Options *opts, GError **errp);

/*
 * The backend for a device's drive=NAME: a -drive id or a node-name (a backend is then made for the node; it goes away
 * when the device gives it back by blk_detach()).  NULL with *errp.
 */
BlockBackend *blk_by_name(const char *name, GError **errp);

/*
 * Reserves BLK for device DEV_ID and locks the image for what it does; before that BLK can only be read.  Fails when
 * another device has it, when the node is read-only but WRITABLE is wanted, and when the image is in use by others.
 */
bool blk_attach(BlockBackend *blk, const char *dev_id, bool writable, GError **errp);

/*
 * Gives it back.  The caller forgets BLK: one that stands for a node-name is gone.  Requests that have not ended
 * (cancel them first) still get their callbacks, and the image stays open and locked for them; until then nobody can
 * attach BLK.
 */
void blk_detach(BlockBackend *blk);

/* The QOM path of the device that has BLK, for blk_find(); blk_detach() forgets it. */
void blk_set_device_path(BlockBackend *blk, const char *path);

/*
 * Takes away what drive_add() made: its name is free afterwards.  Fails while a device has it.  The image is closed
 * behind the caller's back, when the last request of a removed device has ended and the data is on stable storage.
 */
bool drive_del(const char *name, GError **errp);

/* Takes away what blockdev_add() made.  Fails while a device, another node or a request uses it. */
bool blockdev_del(const char *node_name, GError **errp);

/* ---- at run time ----------------------------------------------------------------------------- */

/*
 * Resizes the image below the node NODE_NAME to SIZE bytes, counted at that node (a multiple of 512); the change
 * handlers of all backends above it are called.  A file is truncated or extended; a block device is measured anew
 * (SIZE must not exceed it).  What somebody else did to the image's size is taken notice of.  Requests beyond the new
 * end that wait in a backend's queue fail; refused when one is in the kernel's hands, and for read-only images.
 */
bool block_resize(const char *node_name, uint64_t size, GError **errp);

/*
 * The user's eject: the tray opens and the medium is gone.  FORCE: though the guest has locked it; otherwise the guest
 * is asked for it and this fails.  Fails for a device with a fixed medium.
 */
bool block_eject(BlockBackend *blk, bool force, GError **errp);

/* Calls FN for each drive, then for each node's backend that a device has, in the order of their making. */
void block_foreach_backend(void (*fn)(BlockBackend *blk, void *opaque), void *opaque);

/* Finds a backend by a drive's id, else blk_of_device(); NULL: none. */
BlockBackend *blk_find(const char *name);

/* The backend of the device with that id or QOM path; NULL: none. */
BlockBackend *blk_of_device(const char *id_or_path);

/* Counters of a backend since it was made. */
typedef struct BlockStats {
    struct {
        uint64_t operations; /* completed well */
        uint64_t failed;     /* the image gave an error; cancelled ones are not counted at all */
        uint64_t invalid;    /* refused before they came to the image: past the end, no medium */
        uint64_t bytes;      /* of operations */
        uint64_t time_ns;    /* sum of the times from submission to completion, of failed ones too */
    } type[4];               /* BLOCK_STATS_* */
    uint64_t highest_write;  /* end of the farthest write, bytes */
    int64_t last_ns;         /* when the latest completed, on EVENT_CLOCK_REAL; 0: none did yet */
} BlockStats;
enum { BLOCK_STATS_READ, BLOCK_STATS_WRITE /* and zeroing */, BLOCK_STATS_FLUSH, BLOCK_STATS_UNMAP };
void blk_stats(const BlockBackend *blk, BlockStats *ret_stats);

/* What query-block tells of an image; strings stay the block layer's. */
typedef struct BlockImageInfo {
    const char *node_name;
    const char *driver;
    const char *filename;    /* of the image below */
    const char *child;       /* name of the node below; NULL: this is the image itself */
    uint64_t length;
    uint64_t allocated;      /* bytes that the file takes on its file system */
    uint64_t highest_write;  /* at the image: end of the farthest write, bytes; 0 for nodes above it */
    bool read_only, direct, no_flush;
} BlockImageInfo;
bool blk_image_info(const BlockBackend *blk, BlockImageInfo *ret_info); /* false: no medium */
bool block_node_info(const char *node_name, BlockImageInfo *ret_info);  /* false: no such node */

/* Calls FN for each node, those of -blockdev first, in the order of their making. */
void block_foreach_node(void (*fn)(const char *node_name, void *opaque), void *opaque);

/* Id, else QOM path, of the device it is attached to; NULL: none. */
const char *blk_device(const BlockBackend *blk);
/* The -drive's id; "" for a backend that stands for a node-name. */
const char *blk_drive_id(const BlockBackend *blk);
bool blk_is_locked(const BlockBackend *blk);    /* the guest has locked the medium */
bool blk_is_removable(const BlockBackend *blk); /* the device says so; without a device: yes */
/* False: the device has no tray. */
bool blk_tray(const BlockBackend *blk, bool *ret_open);

/* What the last errors that stopped the machine left, until it goes on. */
typedef enum BlockIoStatus { BLOCK_IO_OK, BLOCK_IO_FAILED, BLOCK_IO_NOSPACE } BlockIoStatus;
/* False: no error stops the machine, so there is nothing to tell. */
bool blk_io_status(const BlockBackend *blk, BlockIoStatus *ret_status);

/*
 * Waits for all requests, frees all nodes and backends (images are flushed and unlocked); at the end of the program.
 * Storage that does not answer is given up after BLOCK_CLEANUP_LIMIT_NS: then the name of a backend that waits for it
 * is returned, and the process must end by _exit(), since the kernel may still use its memory.  NULL: all is well.
 */
const char *block_cleanup(void);

/* ---- properties of a backend ----------------------------------------------------------------- */

const char *blk_name(const BlockBackend *blk);
bool blk_is_inserted(const BlockBackend *blk);      /* has a medium */
bool blk_is_read_only(const BlockBackend *blk);     /* without a medium too */
uint64_t blk_length(const BlockBackend *blk);        /* bytes; a file's last, partial sector counts whole */
bool blk_write_cache_enabled(const BlockBackend *blk);
void blk_set_write_cache(BlockBackend *blk, bool enabled); /* off: each write completes only when stable */
bool blk_discard_enabled(const BlockBackend *blk);
BlockErrorAction blk_error_action(const BlockBackend *blk, bool is_write);
void blk_set_error_action(BlockBackend *blk, bool is_write, BlockErrorAction action);

/* Drops the medium, unless it is locked.  Requests in flight still end as if it were there. */
void blk_eject(BlockBackend *blk);
/* While locked blk_eject() does nothing (PREVENT ALLOW MEDIUM REMOVAL). */
void blk_lock_medium(BlockBackend *blk, bool locked);

/* FN is called when length or medium changed, by blk_eject() too; NULL: nobody.  blk_detach() forgets it. */
void blk_set_change_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque);

/* ---- what devices tell ------------------------------------------------------------------------ */

/* A device with a tray; blk_detach() forgets it. */
typedef struct BlockTrayOps {
    void (*request)(void *opaque); /* the user wants the medium, which the guest has locked */
    void (*open)(void *opaque);    /* by the user's hand; the device answers with blk_tray_moved() */
} BlockTrayOps;
void blk_set_tray(BlockBackend *blk, const BlockTrayOps *ops, void *opaque, bool open); /* OPEN: it is, without an event */

/* The tray is open or closed now.  Event DEVICE_TRAY_MOVED, at most one a second of each backend. */
void blk_tray_moved(BlockBackend *blk, bool open);

/*
 * A request failed with errno ERROR and ACTION (report, ignore, stop) is taken, before the machine is stopped.  Event
 * BLOCK_IO_ERROR: at once for the first error that stops the machine, else at most one a second of each backend, the
 * latest.  Main loop's thread only.
 */
void blk_report_error(BlockBackend *blk, bool is_write, int error, BlockErrorAction action);

/* The machine goes on: blk_io_status() is BLOCK_IO_OK again. */
void blk_reset_io_status(BlockBackend *blk);

/* ---- requests -------------------------------------------------------------------------------- */

/*
 * Submit.  OFFSET and lengths in bytes, multiples of 512.  IOV's array is copied; the memory it names must stay until
 * the callback.  Errors found at submission (-EINVAL, -EROFS, -EIO past the end, -ENOMEDIUM) come by the callback too.
 * The returned handle is valid until the callback was called.  Any thread that holds the machine lock may submit and
 * cancel; callbacks come on the main loop's thread.
 */
BlockRequest *blk_preadv(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count,
                         BlockCompletion *cb, void *opaque);
BlockRequest *blk_pwritev(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count, unsigned flags,
                          BlockCompletion *cb, void *opaque);
BlockRequest *blk_flush(BlockBackend *blk, BlockCompletion *cb, void *opaque);
BlockRequest *blk_discard(BlockBackend *blk, uint64_t offset, uint64_t len, BlockCompletion *cb, void *opaque);
BlockRequest *blk_write_zeroes(BlockBackend *blk, uint64_t offset, uint64_t len, unsigned flags, BlockCompletion *cb,
                               void *opaque);

/*
 * Asks for an early end.  The callback still comes, once, when the kernel no longer touches the memory: with
 * -ECANCELED, or with the true result when it was too late.
 */
void blk_cancel(BlockRequest *req);

/* Requests of BLK without a completion yet. */
unsigned blk_in_flight(const BlockBackend *blk);

/*
 * Waits until blk_in_flight() is 0, for LIMIT_NS at most; false: it is not.  Only completions of the block layer (of
 * any backend) are delivered meanwhile, no other handler of the event loop runs; inside a completion these come nested.
 * Main loop's thread only.
 */
bool blk_drain(BlockBackend *blk, int64_t limit_ns);

#endif
