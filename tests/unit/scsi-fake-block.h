/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block layer in memory for the SCSI unit tests: include/block/block.h with failures and delays that the test
 * chooses. Linked in place of the real one.
 * Runs in: tests
 */
#ifndef TESTS_UNIT_SCSI_FAKE_BLOCK_H
#define TESTS_UNIT_SCSI_FAKE_BLOCK_H

#include "block/block.h"
#include "scsi-test.h"

struct BlockBackend {
    char *name;
    uint8_t *data;       /* NULL: no medium */
    uint64_t length;
    bool read_only, wce, no_discard, locked, attached, attached_writable;
    BlockErrorAction action[2];
    void (*changed)(void *opaque);
    void *changed_opaque;
    GQueue queue;        /* BlockRequest *, submitted */
    unsigned in_flight;

    bool hold;           /* nothing completes */
    bool late_cancel;    /* cancels have no effect */
    int fail;            /* errno for requests that touch fail_at; 0: none */
    uint64_t fail_at;    /* byte offset; UINT64_MAX: any request, flushes too */
    bool fail_flush_only;
    unsigned submitted;  /* counters since the start */
    unsigned reads, writes, flushes, discards, zeroes, fua, cancels;
    uint64_t read_bytes_max; /* longest read */
    const BlockTrayOps *tray; /* as the device gave them */
    void *tray_opaque;
    bool tray_open;
    unsigned tray_moves, status_resets;
    unsigned errors_told;    /* blk_report_error() calls, and the last one's arguments */
    bool told_write;
    int told_error;
    BlockErrorAction told_action;
    unsigned unmap_zeroes;   /* write_zeroes with BLOCK_REQ_MAY_UNMAP */
};

/* A drive of LENGTH bytes of zeroes, or without a medium when LENGTH is 0; lives until test_hba_free(). */
BlockBackend *fake_drive(const char *name, uint64_t length);
/* The user changes the medium (0: takes it out). */
void fake_set_medium(BlockBackend *blk, uint64_t length);

/*
 * Ends one of BLK's requests, counted from the oldest modulo their number, though they are held: with errno ERROR, or
 * as it comes when that is 0.  From outside of the event loop's handlers.  False: there is none.
 */
bool fake_complete(BlockBackend *blk, unsigned index, int error);

/* An adapter of 8 targets, 8 units, own id 7, with a scsi-hd of 1 MiB ("d0") at 0 and its attention cleared. */
TestHba *test_hba_with_disk(const char *properties);
BlockBackend *test_disk_backend(void);

#endif
