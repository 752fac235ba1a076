/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd: what the guest sees of I/O errors, by rerror and werror; stop and go on.
 * Runs in: tests
 */
#include "scsi-fake-block.h"
#include "system/runstate.h"

static const uint8_t block[512] = { 0x42 };

static Reply read_blocks(TestHba *hba, uint16_t lba, uint16_t count)
{
    return test_cmd(hba, 0, 0, 0x28, 0, 0, 0, lba >> 8, lba & 0xff, 0, count >> 8, count & 0xff, 0);
}

static Reply write_block(TestHba *hba, uint8_t lba)
{
    return test_send(hba, 0, 0, block, 512, 0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0);
}

/* ---- report ---------------------------------------------------------------------------------- */

static void test_sense_by_errno(void)
{
    static const struct {
        int error;
        uint8_t key, asc, ascq;
    } table[] = {
        { ENOSPC, 7, 0x27, 7 }, { EDQUOT, 7, 0x27, 7 }, { EROFS, 7, 0x27, 0 }, { EACCES, 7, 0x27, 0 },
        { EPERM, 7, 0x27, 0 }, { ENOMEDIUM, 2, 0x3a, 0 }, { EINVAL, 5, 0x24, 0 }, { ENOMEM, 4, 0x44, 0 },
        { EOPNOTSUPP, 4, 0x44, 0 }, { ECANCELED, 0xb, 0, 6 },
    };
    TestHba *hba = test_hba_with_disk("werror=report");
    BlockBackend *blk = test_disk_backend();

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        blk->fail = table[i].error;
        expect_sense(hba, 0, 0, read_blocks(hba, 0, 1), table[i].key, table[i].asc, table[i].ascq);
        expect_sense(hba, 0, 0, write_block(hba, 0), table[i].key, table[i].asc, table[i].ascq);
    }
    /* EIO and whatever else there is. */
    blk->fail = EIO;
    expect_sense_info(hba, 0, 0, read_blocks(hba, 0x123, 1), 3, 0x11, 0, 0x123);
    expect_sense_info(hba, 0, 0, write_block(hba, 9), 3, 0x0c, 0, 9);
    blk->fail = ETIMEDOUT;
    expect_sense_info(hba, 0, 0, read_blocks(hba, 7, 1), 3, 0x11, 0, 7);
    /* A flush concerns no block. */
    blk->fail = EIO;
    expect_bytes((test_cmd(hba, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0)),
                 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0);
    blk->fail = 0;
    expect_good(read_blocks(hba, 0, 1));
    test_hba_free(hba);
}

/* In the second chunk: the first one came over, and INFORMATION says where the failed one begins. */
static void test_error_in_later_piece(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    Reply reply;

    blk->fail = EIO;
    blk->fail_at = 600 * 512;
    reply = read_blocks(hba, 10, 1000);
    g_assert_cmpuint(reply.in_len, ==, SCSI_CHUNK_MAX);
    expect_sense_info(hba, 0, 0, reply, 3, 0x11, 0, 10 + SCSI_CHUNK_MAX / 512);
    expect_good(read_blocks(hba, 10, 500));
    test_hba_free(hba);
}

/* Lent memory is given back by a failure, and nothing counts as moved. */
static void test_error_direct(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, 4, 0, 0, 4, 0 };
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, 1, cdb, 10, NULL);

    test_disk_backend()->fail = EIO;
    test_start(hba, req);
    test_direct(hba, req, 0, 2048);
    test_wait(req);
    g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
    g_assert_cmpint(req->status, ==, SCSI_STATUS_CHECK_CONDITION);
    g_assert_cmpuint(req->moved, ==, 0);
    g_assert_null(req->map);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    scsi_req_unref(req);
    test_hba_free(hba);
}

static void test_errors_of_other_commands(void)
{
    TestHba *hba = test_hba_with_disk("werror=report");
    BlockBackend *blk = test_disk_backend();
    const uint8_t unmap[24] = { 0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2 };
    const uint8_t wce_off[24] = { 0, 0, 0, 0, 0x08, 0x12 };

    blk->fail = EIO;
    expect_sense_info(hba, 0, 0, test_send(hba, 0, 0, unmap, 24, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), 3, 0x0c, 0, 5);
    expect_sense_info(hba, 0, 0, test_send(hba, 0, 0, block, 512, 0x41, 0, 0, 0, 0, 3, 0, 0, 9, 0), 3, 0x0c, 0, 3);
    expect_sense_info(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0),
                      3, 0x0c, 0, 4);
    expect_sense_info(hba, 0, 0, test_cmd(hba, 0, 0, 0x2f, 0, 0, 0, 0, 6, 0, 0, 1, 0), 3, 0x11, 0, 6);
    expect_sense_info(hba, 0, 0, test_send(hba, 0, 0, block, 512, 0x2e, 0, 0, 0, 0, 6, 0, 0, 1, 0), 3, 0x0c, 0, 6);
    expect_sense(hba, 0, 0, test_send(hba, 0, 0, wce_off, 24, 0x15, 0x10, 0, 0, 24, 0), 3, 0x0c, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x1b, 0, 0, 0, 0, 0), 3, 0x0c, 0);
    test_hba_free(hba);
}

/* ---- ignore ---------------------------------------------------------------------------------- */

static void test_ignore(void)
{
    TestHba *hba = test_hba_with_disk("rerror=ignore,werror=ignore");
    BlockBackend *blk = test_disk_backend();
    Reply reply;

    memset(blk->data, 0xee, 4096);
    blk->fail = EIO;
    expect_good(write_block(hba, 0));
    g_assert_cmphex(blk->data[0], ==, 0xee);
    /* Bytes that were never read are zeroes, not what this process had in memory. */
    reply = read_blocks(hba, 0, 8);
    expect_good(reply);
    for (unsigned i = 0; i < 4096; i++) {
        g_assert_cmphex(reply.in[i], ==, 0);
    }
    hba->direct = true;
    expect_good(read_blocks(hba, 0, 8));
    expect_good(write_block(hba, 0));
    expect_good(test_cmd(hba, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    test_hba_free(hba);
}

/* ---- stop ------------------------------------------------------------------------------------ */

static ScsiRequest *start_write(TestHba *hba, uint32_t tag)
{
    const uint8_t cdb[10] = { 0x2a, 0, 0, 0, 0, (uint8_t)tag, 0, 0, 1, 0 };
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, tag, cdb, 10, NULL);

    g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_DATA_OUT);
    memcpy(hba->ram->host + 512 * tag, block, 512);
    g_assert_cmpint(test_direct(hba, req, 512 * tag, 512), ==, SCSI_REQ_BUSY);
    return req;
}

static void test_stop_and_retry(void)
{
    TestHba *hba = test_hba_with_disk(NULL); /* werror=enospc is the default */
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req[3];

    vm_start();
    blk->fail = ENOSPC;
    for (unsigned i = 0; i < 3; i++) {
        req[i] = start_write(hba, i + 1);
    }
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_IO_ERROR);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(req[i]->state, ==, SCSI_REQ_BUSY);
    }
    g_assert_cmpuint(blk->errors_told, ==, 3);
    g_assert_true(blk->told_write);
    g_assert_cmpint(blk->told_error, ==, ENOSPC);
    g_assert_cmpint(blk->told_action, ==, BLOCK_ERROR_STOP);
    g_assert_cmpuint(hba->dma.mapped, ==, 3);
    g_assert_cmpuint(blk->in_flight, ==, 0);
    /* One is aborted meanwhile. */
    test_cancel(hba, req[1]);
    scsi_req_unref(req[1]);
    g_assert_cmpuint(hba->dma.mapped, ==, 2);
    g_assert_cmpuint(hba->bus->live_requests, ==, 2);
    /* Still no room: stops again. */
    vm_start();
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_IO_ERROR);
    g_assert_cmpuint(blk->errors_told, ==, 5);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    blk->fail = 0;
    vm_start();
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_RUNNING);
    g_assert_cmpuint(hba->ready_calls, ==, 2);
    for (unsigned i = 0; i < 3; i += 2) {
        g_assert_cmpint(req[i]->state, ==, SCSI_REQ_DONE);
        g_assert_cmpint(req[i]->status, ==, SCSI_STATUS_GOOD);
        scsi_req_unref(req[i]);
    }
    g_assert_cmphex(blk->data[512], ==, 0x42);
    g_assert_cmphex(blk->data[2 * 512], ==, 0);
    g_assert_cmphex(blk->data[3 * 512], ==, 0x42);
    /* Another error is reported. */
    blk->fail = EIO;
    expect_sense(hba, 0, 0, write_block(hba, 0), 3, 0x0c, 0);
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_RUNNING);
    test_hba_free(hba);
}

static void test_stop_on_read(void)
{
    TestHba *hba = test_hba_with_disk("rerror=stop");
    BlockBackend *blk = test_disk_backend();
    const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, 4, 0, 0, 4, 0 };
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, 1, cdb, 10, NULL);

    vm_start();
    blk->fail = EIO;
    test_start(hba, req);
    test_fetch(hba, req);
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_IO_ERROR);
    blk->fail = 0;
    vm_start();
    test_turn();
    g_assert_cmpint(req->state, ==, SCSI_REQ_DATA_IN);
    scsi_req_unref(req);
    test_hba_free(hba);
}

/* The user shrinks the image below what a command that waits for the machine wants: no stop would help. */
static void test_shrink_under_request(void)
{
    TestHba *hba = test_hba_with_disk("rerror=stop");
    BlockBackend *blk = test_disk_backend();
    const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, 4, 0, 0, 4, 0 };
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, 1, cdb, 10, NULL);

    vm_start();
    blk->fail = EIO;
    test_start(hba, req);
    test_fetch(hba, req);
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_IO_ERROR);
    g_assert_cmpuint(blk->errors_told, ==, 1);
    fake_set_medium(blk, 6 * 512);
    blk->fail = 0;
    vm_start();
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_RUNNING);
    g_assert_cmpuint(blk->errors_told, ==, 1);
    g_assert_cmpuint(blk->status_resets, >=, 1);
    g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
    g_assert_cmpint(req->status, ==, SCSI_STATUS_CHECK_CONDITION);
    scsi_req_unref(req);
    /* The next commands: sense data of the failed one, the change of capacity, then less than a block of 512. */
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 8, 0), 0xf0, 0, 5, 0, 0, 0, 4, 10);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, 5, 0, 0, 2, 0);
    test_hba_free(hba);
}

/* An image of less than one block: not ready, and nothing breaks. */
static void test_shrink_to_nothing(void)
{
    TestHba *hba = test_hba_with_disk("logical_block_size=4096");
    BlockBackend *blk = test_disk_backend();
    static const uint8_t opcodes[] = { 0x00, 0x08, 0x0a, 0x1a, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x5a,
                                       0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa8 };

    fake_set_medium(blk, 512);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x30, 0x00);
    for (unsigned i = 0; i < G_N_ELEMENTS(opcodes); i++) {
        uint8_t cdb[16] = { opcodes[i], opcodes[i] == 0x9e ? 0x10 : 0 };
        ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, 1, cdb, sizeof(cdb), NULL);

        test_start(hba, req);
        test_turn();
        scsi_req_cancel(req);
        scsi_req_unref(req);
    }
    g_assert_cmpuint(blk->reads + blk->writes, ==, 0);
    fake_set_medium(blk, 4096);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0, 0, 0x10, 0);
    test_hba_free(hba);
}

/* Where nothing could let the machine go on, the guest sees the error. */
static void test_stop_without_monitor(void)
{
    TestHba *hba = test_hba_with_disk("rerror=stop"); /* werror=enospc */
    BlockBackend *blk = test_disk_backend();

    runstate_set_resumable(false);
    vm_start();
    blk->fail = ENOSPC;
    expect_sense(hba, 0, 0, write_block(hba, 0), 7, 0x27, 7);
    g_assert_cmpint(blk->told_action, ==, BLOCK_ERROR_REPORT);
    blk->fail = EIO;
    expect_sense_info(hba, 0, 0, read_blocks(hba, 3, 1), 3, 0x11, 0, 3);
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_RUNNING);
    runstate_set_resumable(true);
    test_hba_free(hba);
}

/* Resets and unplugging take waiting requests along. */
static void test_stop_and_reset(void)
{
    TestHba *hba = test_hba_with_disk("werror=stop");
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req;

    vm_start();
    blk->fail = EIO;
    req = start_write(hba, 1);
    test_turn();
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    scsi_req_unref(req);
    g_assert_cmpuint(hba->bus->live_requests, ==, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    vm_start();
    req = start_write(hba, 2);
    test_turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_IO_ERROR);
    device_unrealize(hba->bus->bus.devices->pdata[0]);
    g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    test_turn();
    scsi_req_unref(req);
    vm_start();
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-errors/report/sense-by-errno", test_sense_by_errno);
    g_test_add_func("/scsi-errors/report/later-piece", test_error_in_later_piece);
    g_test_add_func("/scsi-errors/report/lent-memory-comes-back", test_error_direct);
    g_test_add_func("/scsi-errors/report/every-writing-command", test_errors_of_other_commands);
    g_test_add_func("/scsi-errors/ignore", test_ignore);
    g_test_add_func("/scsi-errors/stop/retries-when-going-on", test_stop_and_retry);
    g_test_add_func("/scsi-errors/stop/on-read", test_stop_on_read);
    g_test_add_func("/scsi-errors/shrink/under-a-request", test_shrink_under_request);
    g_test_add_func("/scsi-errors/shrink/below-one-block", test_shrink_to_nothing);
    g_test_add_func("/scsi-errors/stop/reset-and-unplug", test_stop_and_reset);
    g_test_add_func("/scsi-errors/stop/reports-where-nobody-can-go-on", test_stop_without_monitor);
    return g_test_run();
}
