/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Harness of the SCSI unit tests: a host adapter without hardware, and calls that run one command to its end.
 * Runs in: tests
 */
#ifndef TESTS_UNIT_SCSI_TEST_H
#define TESTS_UNIT_SCSI_TEST_H

#include <errno.h>
#include <string.h>
#include "hw/scsi/scsi.h"
#include "system/ram.h"
#include "util/error.h"

/* ---- the host adapter (scsi-test.c) ---------------------------------------------------------- */

typedef struct TestHba {
    Device *dev;
    ScsiBus *bus;
    unsigned ready_calls;   /* ops->ready() */
    unsigned changed_calls; /* ops->changed() */
    bool in_call;           /* set around calls into the bus: ready() must not come then */
    bool direct;            /* lend memory where a request takes it */
    size_t piece;           /* buffered data moves in pieces of at most this; 0: as it comes */
    DmaContext dma;
    RamBlock *ram;          /* lent memory, 8 MiB */
} TestHba;

TestHba *test_hba_new(unsigned targets, unsigned luns, unsigned own_id);
void test_hba_free(TestHba *hba);
/* Called at the end of test_hba_free() when set: the drives are not in use any more. */
extern void (*test_free_drives)(void);

/* Makes TYPE with properties TEXT ("drive=d0,scsi-id=1") on HBA's bus; a failure is fatal to the test. */
ScsiDevice *test_add(TestHba *hba, const char *type, const char *text);
/* The same must fail with a message that holds each text of NEEDLES (NULL-ended). */
void test_add_fails(TestHba *hba, const char *type, const char *text, const char *const *needles);

/* One turn of the event loop. */
void test_turn(void);
/* Turns until REQ is not BUSY; fatal after 60 s. */
void test_wait(ScsiRequest *req);

/* A request of (0, 0), not started. */
ScsiRequest *test_request(TestHba *hba, uint32_t tag, const uint8_t *cdb, unsigned len);

/* The calls of scsi.h with the re-entrancy check around them. */
ScsiReqState test_start(TestHba *hba, ScsiRequest *req);
ScsiReqState test_consume(TestHba *hba, ScsiRequest *req, size_t n);
ScsiReqState test_fetch(TestHba *hba, ScsiRequest *req);
/* Lends LEN bytes at OFFSET of hba->ram. */
ScsiReqState test_direct(TestHba *hba, ScsiRequest *req, size_t offset, size_t len);
void test_cancel(TestHba *hba, ScsiRequest *req);

/* What a command gave. */
typedef struct Reply {
    uint8_t status;
    size_t in_len;      /* bytes that came */
    size_t out_len;     /* bytes that were taken */
    uint64_t xfer_len;
    uint8_t *in;        /* freed by the next command */
} Reply;

/* Runs CDB (N bytes) at (ID, LUN) with OUT_LEN bytes for it to its end. */
Reply test_cmd_out(TestHba *hba, unsigned id, unsigned lun, const uint8_t *cdb, unsigned n, const void *out,
                   size_t out_len);

/* test_cmd(hba, id, lun, opcode, ...): without data out; lengths by the operation code. */
#define test_cmd(hba, id, lun, ...) \
    test_cmd_out(hba, id, lun, (const uint8_t[16]) { __VA_ARGS__ }, \
                 scsi_cdb_length(((const uint8_t[]) { __VA_ARGS__ })[0]), NULL, 0)
#define test_send(hba, id, lun, out, out_len, ...) \
    test_cmd_out(hba, id, lun, (const uint8_t[16]) { __VA_ARGS__ }, \
                 scsi_cdb_length(((const uint8_t[]) { __VA_ARGS__ })[0]), out, out_len)

/* GOOD with exactly these bytes. */
#define expect_bytes(reply, ...) \
    test_expect_bytes(G_STRLOC, reply, (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))
void test_expect_bytes(const char *where, Reply reply, const uint8_t *bytes, size_t len);

#define expect_good(reply) g_assert_cmpint((reply).status, ==, SCSI_STATUS_GOOD)

/* CHECK CONDITION, and REQUEST SENSE gives key/asc/ascq. */
#define expect_sense(hba, id, lun, reply, key, asc, ascq) \
    test_expect_sense(G_STRLOC, hba, id, lun, reply, key, asc, ascq, -1, -1)
/* ILLEGAL REQUEST with a pointer to BYTE of the command block (24/00) or of the parameter list (26/00). */
#define expect_bad_cdb(hba, id, lun, reply, byte) \
    test_expect_sense(G_STRLOC, hba, id, lun, reply, 5, 0x24, 0, 0xc00000 | (byte), -1)
#define expect_bad_list(hba, id, lun, reply, byte) \
    test_expect_sense(G_STRLOC, hba, id, lun, reply, 5, 0x26, 0, 0x800000 | (byte), -1)
/* With INFORMATION. */
#define expect_sense_info(hba, id, lun, reply, key, asc, ascq, info) \
    test_expect_sense(G_STRLOC, hba, id, lun, reply, key, asc, ascq, -1, info)
void test_expect_sense(const char *where, TestHba *hba, unsigned id, unsigned lun, Reply reply, uint8_t key,
                       uint8_t asc, uint8_t ascq, int64_t specific, int64_t info);

/* Takes the power-on attention off a unit. */
void test_clear_attention(TestHba *hba, unsigned id, unsigned lun);

#endif
