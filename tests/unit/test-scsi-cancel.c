/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI core: requests that are cancelled in any state, and several at once.
 * Runs in: tests
 */
#include "scsi-fake-block.h"
#include "hw/scsi/scsi-int.h"

static const uint8_t read_2_blocks[10] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 2, 0 };
static const uint8_t write_1_block[10] = { 0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0 };

/* ---- cancelling in every state --------------------------------------------------------------- */

static void test_cancel_states(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();

    for (unsigned step = 0; step < 8; step++) {
        bool out = step == 4 || step == 5;
        ScsiRequest *req = out ? test_request(hba, step, write_1_block, 10) : test_request(hba, step, read_2_blocks, 10);
        unsigned ready = 0;

        hba->ready_calls = 0;
        blk->hold = true;
        if (step >= 1) {
            g_assert_cmpint(test_start(hba, req), ==, out ? SCSI_REQ_DATA_OUT : SCSI_REQ_OFFER_IN);
        }
        if (step == 2 || step == 3 || step == 7) {
            test_fetch(hba, req);
            g_assert_cmpint(req->state, ==, SCSI_REQ_BUSY);
        }
        if (step == 3 || step == 7) {
            blk->hold = false;
            test_turn();
            g_assert_cmpint(req->state, ==, SCSI_REQ_DATA_IN);
            ready = 1;
        }
        if (step == 5) {
            test_consume(hba, req, 512);
            g_assert_cmpint(req->state, ==, SCSI_REQ_BUSY);
        }
        if (step == 6) {
            g_assert_cmpint(test_direct(hba, req, 0, 1024), ==, SCSI_REQ_BUSY);
        }
        if (step == 7) {
            g_assert_cmpint(test_consume(hba, req, 1024), ==, SCSI_REQ_DONE);
        }
        test_cancel(hba, req);
        test_cancel(hba, req);
        g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
        g_assert_null(scsi_req_find(hba->bus, 0, 0, step));
        /* Lent memory is in the kernel's hands until the I/O ends. */
        g_assert_cmpuint(hba->dma.mapped, ==, step == 6 ? 1 : 0);
        scsi_req_unref(req);
        test_turn();
        g_assert_cmpuint(hba->dma.mapped, ==, 0);
        g_assert_cmpuint(hba->bus->live_requests, ==, 0);
        g_assert_cmpuint(hba->ready_calls, ==, ready);
        /* The unit goes on. */
        blk->hold = false;
        expect_good(test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    }
    test_hba_free(hba);
}

/* The I/O was faster than the cancel: its good end is not told either. */
static void test_cancel_too_late(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *req = test_request(hba, 1, read_2_blocks, 10);

    test_disk_backend()->late_cancel = true;
    test_disk_backend()->data[512] = 0x77;
    test_start(hba, req);
    test_direct(hba, req, 0, 512);
    g_assert_cmpuint(hba->dma.abandoned, ==, 0);
    test_cancel(hba, req);
    g_assert_cmpuint(hba->dma.mapped, ==, 1);
    g_assert_cmpuint(hba->dma.abandoned, ==, 1);
    test_turn();
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    g_assert_cmpuint(hba->dma.abandoned, ==, 0);
    g_assert_cmphex(hba->ram->host[0], ==, 0x77);
    g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
    g_assert_cmpuint(req->moved, ==, 0);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    scsi_req_unref(req);
    test_hba_free(hba);
}

/*
 * An aborted write that the kernel had begun reaches the disk late; the same blocks written anew must win, so commands
 * that touch blocks wait.  Others do not.
 */
static void test_cancelled_io_comes_first(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *old = test_request(hba, 1, write_1_block, 10), *new_one, *third, *dropped;

    blk->hold = true;
    blk->late_cancel = true;
    test_start(hba, old);
    memset(hba->ram->host, 0x11, 512);
    test_direct(hba, old, 0, 512);
    test_cancel(hba, old);
    scsi_req_unref(old);
    new_one = test_request(hba, 2, write_1_block, 10);
    third = test_request(hba, 3, read_2_blocks, 10);
    dropped = test_request(hba, 4, read_2_blocks, 10);
    g_assert_cmpint(test_start(hba, new_one), ==, SCSI_REQ_BUSY);
    g_assert_cmpint(test_start(hba, third), ==, SCSI_REQ_BUSY);
    g_assert_cmpint(test_start(hba, dropped), ==, SCSI_REQ_BUSY);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x12, 0, 0, 0, 36, 0));
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    /* A held one is cancelled, another just let go. */
    test_cancel(hba, third);
    scsi_req_unref(third);
    scsi_req_unref(dropped);
    blk_drain(blk, INT64_MAX);
    g_assert_cmphex(blk->data[512], ==, 0x11);
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    g_assert_cmpint(new_one->state, ==, SCSI_REQ_DATA_OUT);
    memset(hba->ram->host, 0x22, 512);
    test_direct(hba, new_one, 0, 512);
    test_wait(new_one);
    g_assert_cmphex(blk->data[512], ==, 0x22);
    scsi_req_unref(new_one);
    expect_good(test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    test_hba_free(hba);
}

/* What changed while a command was held counts when it begins; an unplug takes held ones along. */
static void test_held_commands_look_again(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *old = test_request(hba, 1, read_2_blocks, 10), *held;

    blk->hold = true;
    test_start(hba, old);
    test_direct(hba, old, 0, 1024);
    blk->late_cancel = true;
    test_cancel(hba, old);
    scsi_req_unref(old);
    held = test_request(hba, 2, write_1_block, 10);
    test_start(hba, held);
    blk->read_only = true;
    blk_drain(blk, INT64_MAX);
    g_assert_cmpint(held->state, ==, SCSI_REQ_DONE);
    g_assert_cmpint(held->status, ==, SCSI_STATUS_CHECK_CONDITION);
    scsi_req_unref(held);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                 0x70, 0, 7, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x27, 0, 0, 0, 0, 0);
    blk->hold = true;
    old = test_request(hba, 3, read_2_blocks, 10);
    test_start(hba, old);
    test_direct(hba, old, 0, 1024);
    test_cancel(hba, old);
    scsi_req_unref(old);
    held = test_request(hba, 4, read_2_blocks, 10);
    test_start(hba, held);
    device_unrealize(&scsi_bus_unit(hba->bus, 0, 0)->dev);
    g_assert_cmpint(held->state, ==, SCSI_REQ_DONE);
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 2);
    scsi_req_unref(held);
    test_hba_free(hba);
}

/* ---- several at once ------------------------------------------------------------------------- */

/*
 * ABORT ends a contingent allegiance condition (SCSI-2 7.6).  The sense data of a command whose
 * status nobody saw would otherwise be told for the next one that fails.
 */
static void test_abort_clears_sense(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *aborted = test_request(hba, 1, read_2_blocks, 10);

    blk->fail = EIO;
    test_start(hba, aborted);
    test_fetch(hba, aborted);
    test_wait(aborted);
    g_assert_cmpint(aborted->status, ==, SCSI_STATUS_CHECK_CONDITION);
    scsi_unit_reset(hba->bus, 0, 0, SCSI_RESET_ABORT);
    scsi_req_unref(aborted);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    test_hba_free(hba);
}

/* Two commands fail before the first REQUEST SENSE: each gets its own sense data, in order. */
static void test_sense_of_two(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req[2];

    blk->fail = EIO;
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, (uint8_t)(10 + i), 0, 0, 1, 0 };

        req[i] = test_request(hba, i, cdb, 10);
        test_start(hba, req[i]);
        test_fetch(hba, req[i]);
    }
    test_wait(req[0]);
    test_wait(req[1]);
    g_assert_cmpuint(hba->ready_calls, ==, 2);
    scsi_req_unref(req[0]);
    scsi_req_unref(req[1]);
    for (unsigned i = 0; i < 2; i++) {
        expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                     0xf0, 0, 3, 0, 0, 0, 10 + i, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);
    }
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0), 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    blk->fail = 0;
    test_hba_free(hba);
}

/* Sense data that nobody fetches is gone with the next command, and never grows without bound. */
static void test_sense_is_dropped(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *keep = test_request(hba, 77, read_2_blocks, 10);

    g_assert_cmpint(test_cmd(hba, 0, 0, 0xff, 0).status, ==, SCSI_STATUS_CHECK_CONDITION);
    for (unsigned i = 0; i < 3 * SCSI_SENSE_QUEUE; i++) {
        g_assert_cmpint(test_cmd(hba, 0, 0, 0x01, 0).status, ==, SCSI_STATUS_CHECK_CONDITION);
    }
    g_assert_cmpuint(scsi_bus_unit(hba->bus, 0, 0)->sense_count, ==, SCSI_SENSE_QUEUE);
    scsi_req_unref(keep);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0), 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    test_hba_free(hba);
}

/* An I/O ends while the adapter is inside a call about another request: it is told afterwards, by the event loop. */
static void test_ready_waits_for_calls(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *req[4];

    for (unsigned i = 0; i < 4; i++) {
        req[i] = test_request(hba, i, read_2_blocks, 10);
        test_start(hba, req[i]);
        test_fetch(hba, req[i]);
    }
    hba->bus->calls++;
    blk_drain(test_disk_backend(), INT64_MAX);
    g_assert_cmpint(req[0]->state, ==, SCSI_REQ_DATA_IN);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    hba->bus->calls--;
    /* Aborted before it could be told; seen and finished; seen and taken to another wait. */
    test_cancel(hba, req[1]);
    scsi_req_unref(req[1]);
    g_assert_cmpint(test_consume(hba, req[2], 1024), ==, SCSI_REQ_DONE);
    scsi_req_unref(req[2]);
    req[3]->state = SCSI_REQ_BUSY;
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    g_assert_cmpuint(hba->bus->live_requests, ==, 2);
    scsi_req_unref(req[0]);
    scsi_req_unref(req[3]);
    test_hba_free(hba);
}

static void test_unplug(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *busy = test_request(hba, 1, read_2_blocks, 10);
    ScsiRequest *offered = test_request(hba, 2, read_2_blocks, 10);
    ScsiRequest *fresh = test_request(hba, 3, read_2_blocks, 10);
    size_t len;

    test_turn();
    hba->changed_calls = 0;
    blk->hold = true;
    test_start(hba, busy);
    test_direct(hba, busy, 0, 1024);
    test_start(hba, offered);
    device_unrealize(&scsi_bus_unit(hba->bus, 0, 0)->dev);
    g_assert_false(scsi_target_present(hba->bus, 0));
    /* The drive is free again, guest memory given back. */
    g_assert_false(blk->attached);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    g_assert_cmpint(busy->state, ==, SCSI_REQ_DONE);
    g_assert_cmpint(busy->status, ==, SCSI_STATUS_CHECK_CONDITION);
    test_turn();
    /* Who waited is told; the others find out by their next call. */
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    g_assert_cmpuint(hba->changed_calls, ==, 1);
    g_assert_cmpint(test_fetch(hba, offered), ==, SCSI_REQ_DONE);
    g_assert_cmpint(test_start(hba, fresh), ==, SCSI_REQ_DONE);
    g_assert_null(scsi_req_buffer(offered, &len));
    scsi_req_unref(busy);
    scsi_req_unref(offered);
    scsi_req_unref(fresh);
    test_hba_free(hba);
}

/* The adapter found out by itself before it was told, and dropped the request: nothing is told of it. */
static void test_unplug_seen_first(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *busy = test_request(hba, 1, read_2_blocks, 10);

    test_start(hba, busy);
    test_fetch(hba, busy);
    device_unrealize(&scsi_bus_unit(hba->bus, 0, 0)->dev);
    g_assert_cmpint(busy->state, ==, SCSI_REQ_DONE);
    scsi_req_unref(busy);
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    g_assert_cmpuint(hba->bus->live_requests, ==, 0);
    test_hba_free(hba);
}

/* Dropping a request that has not ended cancels it. */
static void test_unref_cancels(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req = test_request(hba, 1, read_2_blocks, 10);

    test_start(hba, scsi_req_ref(req));
    test_direct(hba, req, 0, 1024);
    scsi_req_unref(req);
    g_assert_cmpuint(blk->cancels, ==, 0);
    scsi_req_unref(req);
    g_assert_cmpuint(blk->cancels, ==, 1);
    g_assert_null(scsi_req_find(hba->bus, 0, 0, 1));
    test_turn();
    g_assert_cmpuint(hba->bus->live_requests, ==, 0);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    test_hba_free(hba);
}

/* The machine resets the unit alone while the HBA waits. */
static void test_machine_reset(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *busy = test_request(hba, 1, read_2_blocks, 10);

    test_start(hba, busy);
    test_fetch(hba, busy);
    device_reset(&scsi_bus_unit(hba->bus, 0, 0)->dev);
    g_assert_cmpint(busy->state, ==, SCSI_REQ_DONE);
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    scsi_req_unref(busy);
    test_clear_attention(hba, 0, 0);
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi/reset/machine-ends-requests", test_machine_reset);
    g_test_add_func("/scsi/cancel/in-every-state", test_cancel_states);
    g_test_add_func("/scsi/cancel/too-late", test_cancel_too_late);
    g_test_add_func("/scsi/cancel/later-commands-wait-for-begun-io", test_cancelled_io_comes_first);
    g_test_add_func("/scsi/cancel/held-commands-look-again", test_held_commands_look_again);
    g_test_add_func("/scsi/cancel/by-dropping", test_unref_cancels);
    g_test_add_func("/scsi/cancel/abort-clears-sense", test_abort_clears_sense);
    g_test_add_func("/scsi/unplug/seen-before-told", test_unplug_seen_first);
    g_test_add_func("/scsi/sense/of-two-commands", test_sense_of_two);
    g_test_add_func("/scsi/sense/dropped-by-next-command", test_sense_is_dropped);
    g_test_add_func("/scsi/request/ready-waits-for-other-calls", test_ready_waits_for_calls);
    g_test_add_func("/scsi/unplug/ends-requests", test_unplug);
    return g_test_run();
}
