/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI core: plugging, absent units, unit attentions, resets, command blocks, states of requests, limits.
 * Runs in: tests
 */
#include "scsi-fake-block.h"
#include "hw/scsi/scsi-int.h"

#define NEEDLES(...) (const char *const[]) { __VA_ARGS__, NULL }

static const uint8_t read_2_blocks[10] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 2, 0 };
static const uint8_t write_1_block[10] = { 0x2a, 0, 0, 0, 0, 1, 0, 0, 1, 0 };
static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 36, 0 };
static const uint8_t test_ready[6] = { 0 };

/* ---- plugging -------------------------------------------------------------------------------- */

static void test_plug_lowest_id(void)
{
    TestHba *hba = test_hba_new(4, 2, 1);
    char text[32];
    /* 1 is the adapter's own. */
    const int expected[] = { 0, 2, 3 };

    for (unsigned i = 0; i < 3; i++) {
        g_snprintf(text, sizeof(text), "d%u", i);
        fake_drive(text, 4096);
        g_snprintf(text, sizeof(text), "drive=d%u", i);
        g_assert_cmpint(test_add(hba, "scsi-hd", text)->scsi_id, ==, expected[i]);
    }
    g_assert_true(BUS_GET_CLASS(hba->bus)->is_full(&hba->bus->bus));
    fake_drive("d3", 4096);
    test_add_fails(hba, "scsi-hd", "drive=d3", NEEDLES("scsi-id", "scsi.0", "lun"));
    test_add_fails(hba, "scsi-hd", "drive=d3,scsi-id=2", NEEDLES("scsi-id=2,lun=0", "without an id", "another lun"));
    /* A second unit of a present target still fits. */
    test_add(hba, "scsi-hd", "drive=d3,scsi-id=2,lun=1");
    g_assert_cmpuint(hba->changed_calls, ==, 0);
    test_turn();
    g_assert_cmpuint(hba->changed_calls, ==, 1);
    test_hba_free(hba);
}

static void expect_luns_changed(TestHba *hba, unsigned id, unsigned lun)
{
    expect_sense(hba, id, lun, test_cmd(hba, id, lun, 0), 6, 0x3f, 0x0e);
    expect_good(test_cmd(hba, id, lun, 0));
}

/* Units that were there tell of a unit that came to, or went from, their target; others say nothing. */
static void test_population_is_told(void)
{
    TestHba *hba = test_hba_new(4, 4, 3);
    ScsiDevice *late;
    char text[32];

    for (unsigned i = 0; i < 4; i++) {
        g_snprintf(text, sizeof(text), "d%u", i);
        fake_drive(text, 4096);
    }
    test_add(hba, "scsi-hd", "drive=d0,scsi-id=0,lun=0");
    test_add(hba, "scsi-hd", "drive=d1,scsi-id=0,lun=1");
    test_add(hba, "scsi-hd", "drive=d2,scsi-id=1,lun=0");
    test_turn();
    /* At the start nobody knew another population. */
    test_clear_attention(hba, 0, 0);
    test_clear_attention(hba, 0, 1);
    test_clear_attention(hba, 1, 0);
    expect_good(test_cmd(hba, 0, 0, 0));

    test_add_fails(hba, "scsi-hd", "drive=no-such,scsi-id=0,lun=2", NEEDLES("no-such"));
    test_turn();
    expect_good(test_cmd(hba, 0, 0, 0));

    late = test_add(hba, "scsi-hd", "drive=d3,scsi-id=0,lun=2");
    test_turn();
    expect_luns_changed(hba, 0, 0);
    expect_luns_changed(hba, 0, 1);
    test_clear_attention(hba, 0, 2); /* power on, and nothing else */
    expect_good(test_cmd(hba, 0, 2, 0));
    expect_good(test_cmd(hba, 1, 0, 0));

    device_unrealize(&late->dev);
    test_turn();
    expect_luns_changed(hba, 0, 0);
    expect_luns_changed(hba, 0, 1);
    expect_good(test_cmd(hba, 1, 0, 0));

    /* Came and went before anybody was told. */
    device_unrealize(&test_add(hba, "scsi-hd", "drive=d3,scsi-id=1,lun=2")->dev);
    test_turn();
    expect_good(test_cmd(hba, 1, 0, 0));
    test_hba_free(hba);
}

static void test_plug_refusals(void)
{
    TestHba *hba = test_hba_new(8, 4, 7);

    fake_drive("d0", 4096);
    fake_drive("d1", 4096);
    test_add(hba, "scsi-hd", "id=first,drive=d0,scsi-id=2,lun=1");
    test_add_fails(hba, "scsi-hd", "drive=d1,scsi-id=8", NEEDLES("scsi-id=8", "0 to 7"));
    test_add_fails(hba, "scsi-hd", "drive=d1,scsi-id=7", NEEDLES("scsi-id=7", "own", "0 to 7"));
    test_add_fails(hba, "scsi-hd", "drive=d1,scsi-id=-2", NEEDLES("scsi-id"));
    test_add_fails(hba, "scsi-hd", "drive=d1,scsi-id=2,lun=4", NEEDLES("lun=4", "0 to 3"));
    test_add_fails(hba, "scsi-hd", "drive=d1,scsi-id=2,lun=1", NEEDLES("scsi-id=2,lun=1", "first", "for example 0"));
    test_add_fails(hba, "scsi-cd", "drive=d0,scsi-id=3", NEEDLES("d0", "in use"));
    test_add(hba, "scsi-hd", "drive=d1,scsi-id=2,lun=3");
    test_hba_free(hba);
}

static void test_properties(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    BlockBackend *ro = fake_drive("ro", 4096);

    fake_drive("d0", 1024);
    fake_drive("empty", 0);
    test_add_fails(hba, "scsi-hd", "scsi-id=0", NEEDLES("drive"));
    test_add_fails(hba, "scsi-hd", "drive=none", NEEDLES("none"));
    test_add_fails(hba, "scsi-hd", "drive=empty", NEEDLES("drive=empty", "no medium"));
    test_add_fails(hba, "scsi-hd", "drive=d0,channel=1", NEEDLES("channel=1"));
    test_add_fails(hba, "scsi-hd", "drive=d0,logical_block_size=4096", NEEDLES("1024 bytes", "4096"));
    test_add_fails(hba, "scsi-hd", "drive=d0,logical_block_size=1000", NEEDLES("logical_block_size=1000", "512"));
    test_add_fails(hba, "scsi-hd", "drive=d0,logical_block_size=256", NEEDLES("logical_block_size=256"));
    test_add_fails(hba, "scsi-hd", "drive=d0,logical_block_size=64k", NEEDLES("logical_block_size=65536", "32768"));
    test_add_fails(hba, "scsi-hd", "drive=d0,logical_block_size=1024,physical_block_size=512",
                   NEEDLES("physical_block_size=512", "1024"));
    test_add_fails(hba, "scsi-hd", "drive=d0,min_io_size=100", NEEDLES("min_io_size=100", "512"));
    test_add_fails(hba, "scsi-hd", "drive=d0,discard_granularity=513", NEEDLES("discard_granularity=513"));
    test_add_fails(hba, "scsi-hd", "drive=d0,vendor=123456789", NEEDLES("vendor=123456789", "8"));
    test_add_fails(hba, "scsi-hd", "drive=d0,product=12345678901234567", NEEDLES("product", "16"));
    test_add_fails(hba, "scsi-hd", "drive=d0,ver=12345", NEEDLES("ver=12345", "4"));
    test_add_fails(hba, "scsi-hd", "drive=d0,serial=1234567890123456789012345678901234567", NEEDLES("serial", "36"));
    test_add_fails(hba, "scsi-hd", "drive=d0,serial=a\tb", NEEDLES("serial", "0x09", "position 1"));
    test_add_fails(hba, "scsi-hd", "drive=d0,werror=perhaps", NEEDLES("werror", "perhaps"));
    test_add_fails(hba, "scsi-cd", "drive=d0,rotation_rate=7200", NEEDLES("rotation_rate"));
    ro->read_only = true;
    test_add(hba, "scsi-hd", "drive=ro");
    g_assert_false(ro->attached_writable);
    test_add(hba, "scsi-hd", "drive=d0,serial=123456789012345678901234567890123456,write-cache=off,rerror=ignore,"
             "werror=stop,bootindex=1");
    g_assert_false(blk_write_cache_enabled(blk_by_name("d0", NULL)));
    g_assert_cmpint(blk_error_action(blk_by_name("d0", NULL), false), ==, BLOCK_ERROR_IGNORE);
    g_assert_cmpint(blk_error_action(blk_by_name("d0", NULL), true), ==, BLOCK_ERROR_STOP);
    test_add(hba, "scsi-hd", "drive=empty,removable=on");
    test_hba_free(hba);
}

/* ---- absent units ---------------------------------------------------------------------------- */

static void test_absent_target(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    g_assert_true(scsi_target_present(hba->bus, 0));
    g_assert_false(scsi_target_present(hba->bus, 1));
    g_assert_false(scsi_target_present(hba->bus, 7));
    g_assert_false(scsi_target_present(hba->bus, 1000));
    g_assert_null(scsi_req_new(hba->bus, 8, 0, 0, inquiry, 6, NULL));
    test_hba_free(hba);
}

static void test_absent_lun(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    Reply reply;

    fake_drive("d0", 4096);
    fake_drive("d1", 4096);
    test_add(hba, "scsi-hd", "drive=d0,scsi-id=2,lun=3");
    test_add(hba, "scsi-hd", "drive=d1,scsi-id=2,lun=5");
    reply = test_cmd(hba, 2, 0, 0x12, 0, 0, 0, 255, 0);
    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 36);
    g_assert_cmpuint(reply.in[0], ==, 0x7f);
    g_assert_cmpuint(reply.in[2], ==, 5);
    /* LUN 0 is not there, but tells where the units are; so does every other one. */
    for (unsigned lun = 0; lun < 4; lun += 3) {
        expect_bytes(test_cmd(hba, 2, lun, 0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
                     0, 0, 0, 16, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0);
    }
    expect_bytes(test_cmd(hba, 2, 0, 0xa0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0), 0, 0, 0, 0, 0, 0, 0, 0);
    expect_bytes(test_cmd(hba, 2, 0, 0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0), 0, 0, 0, 16, 0, 0, 0, 0, 0, 3);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0xa0, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0), 2);
    expect_sense(hba, 2, 0, test_cmd(hba, 2, 0, 0x00, 0, 0, 0, 0, 0), 5, 0x25, 0);
    expect_sense(hba, 2, 0, test_cmd(hba, 2, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 5, 0x25, 0);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0x12, 1, 0, 0, 255, 0), 1);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0x12, 0, 1, 0, 255, 0), 2);
    /* REQUEST SENSE without a condition before it says so too, and beyond the bus's units. */
    expect_bytes(test_cmd(hba, 2, 0, 0x03, 0, 0, 0, 18, 0),
                 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x25, 0, 0, 0, 0, 0);
    g_assert_cmpint(test_cmd(hba, 2, 0, 0x03, 0x80, 0, 0, 18, 0).status, ==, SCSI_STATUS_CHECK_CONDITION);
    expect_sense(hba, 2, 200, test_cmd(hba, 2, 200, 0x00, 0, 0, 0, 0, 0), 5, 0x25, 0);
    test_hba_free(hba);
}

/* ---- unit attention and resets --------------------------------------------------------------- */

static void test_attention_power_on(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);

    fake_drive("d0", 4096);
    test_add(hba, "scsi-hd", "drive=d0,scsi-id=0");
    /* Neither tells nor clears. */
    expect_good(test_cmd(hba, 0, 0, 0x12, 0, 0, 0, 36, 0));
    expect_good(test_cmd(hba, 0, 0, 0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0));
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x01);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    /* REQUEST SENSE tells and clears with GOOD. */
    scsi_unit_reset(hba->bus, 0, 0, SCSI_RESET_BUS);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 2, 0, 0, 0, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    test_hba_free(hba);
}

static void test_resets(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    ScsiRequest *req[3];
    ScsiDevice *dev;

    for (unsigned i = 0; i < 3; i++) {
        char text[32];

        g_snprintf(text, sizeof(text), "d%u", i);
        fake_drive(text, 4096);
    }
    dev = test_add(hba, "scsi-hd", "drive=d0,scsi-id=0,lun=0");
    test_add(hba, "scsi-hd", "drive=d1,scsi-id=0,lun=1");
    test_add(hba, "scsi-hd", "drive=d2,scsi-id=1,lun=0");
    test_clear_attention(hba, 0, 0);
    test_clear_attention(hba, 0, 1);
    test_clear_attention(hba, 1, 0);

    req[0] = scsi_req_new(hba->bus, 0, 0, 1, read_2_blocks, 10, NULL);
    req[1] = scsi_req_new(hba->bus, 0, 5, 1, test_ready, 6, NULL);
    req[2] = scsi_req_new(hba->bus, 1, 0, 1, read_2_blocks, 10, NULL);
    for (unsigned i = 0; i < 3; i++) {
        test_start(hba, req[i]);
    }
    test_fetch(hba, req[0]);
    test_fetch(hba, req[2]);

    /* ABORT: requests only, and only this unit's. */
    scsi_unit_reset(hba->bus, 1, 0, SCSI_RESET_ABORT);
    g_assert_cmpint(req[2]->state, ==, SCSI_REQ_DONE);
    g_assert_null(scsi_req_find(hba->bus, 1, 0, 1));
    g_assert_true(scsi_req_find(hba->bus, 0, 0, 1) == req[0]);
    expect_good(test_cmd(hba, 1, 0, 0x00, 0, 0, 0, 0, 0));

    /* The target: both units and what the stand-in had. */
    scsi_target_reset(hba->bus, 0, SCSI_RESET_TARGET);
    g_assert_null(scsi_req_find(hba->bus, 0, 0, 1));
    g_assert_null(scsi_req_find(hba->bus, 0, 5, 1));
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x03);
    expect_sense(hba, 0, 1, test_cmd(hba, 0, 1, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x03);
    expect_good(test_cmd(hba, 1, 0, 0x00, 0, 0, 0, 0, 0));

    /* The bus: all; a later reset replaces the attention of an earlier one, another attention stays behind it. */
    scsi_device_set_unit_attention(dev, scsi_sense(6, 0x2a, 0x09));
    scsi_target_reset(hba->bus, 0, SCSI_RESET_TARGET);
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_sense(hba, 0, 1, test_cmd(hba, 0, 1, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    expect_sense(hba, 1, 0, test_cmd(hba, 1, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));

    /* Power: everything forgotten but that. */
    scsi_device_set_unit_attention(dev, scsi_sense(6, 0x2a, 0x09));
    device_reset(&dev->dev);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x01);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));

    /* Nobody there: nothing happens. */
    scsi_target_reset(hba->bus, 1000, SCSI_RESET_TARGET);
    scsi_unit_reset(hba->bus, 1000, 0, SCSI_RESET_TARGET);
    scsi_unit_reset(hba->bus, 5, 0, SCSI_RESET_TARGET);
    test_turn();
    for (unsigned i = 0; i < 3; i++) {
        scsi_req_unref(req[i]);
    }
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    test_hba_free(hba);
}

static void test_attention_queue_bound(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiDevice *dev = scsi_bus_unit(hba->bus, 0, 0);

    for (unsigned i = 0; i < 300; i++) {
        scsi_device_set_unit_attention(dev, scsi_sense(6, 0x2a, (uint8_t)(i % 8)));
    }
    g_assert_cmpuint(dev->attention_count, ==, SCSI_ATTENTION_QUEUE);
    /* A reset is told even when the queue is full. */
    scsi_unit_reset(hba->bus, 0, 0, SCSI_RESET_BUS);
    g_assert_cmpuint(dev->attention_count, ==, SCSI_ATTENTION_QUEUE);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    test_hba_free(hba);
}

/* ---- command blocks -------------------------------------------------------------------------- */

static void test_cdb_length(void)
{
    const uint8_t opcodes[] = { 0x00, 0x1f, 0x20, 0x5f, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
    const unsigned lengths[] = { 6, 6, 10, 10, 0, 16, 16, 12, 12, 0, 0 };
    TestHba *hba = test_hba_with_disk(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(opcodes); i++) {
        g_assert_cmpuint(scsi_cdb_length(opcodes[i]), ==, lengths[i]);
    }
    /* Short ones, with none of the bytes beyond looked at; vendor groups. */
    expect_sense(hba, 0, 0, test_cmd_out(hba, 0, 0, read_2_blocks, 9, NULL, 0), 5, 0x24, 0);
    expect_sense(hba, 0, 0, test_cmd_out(hba, 0, 0, read_2_blocks, 0, NULL, 0), 5, 0x24, 0);
    expect_sense(hba, 0, 0, test_cmd_out(hba, 0, 0, inquiry, 5, NULL, 0), 5, 0x24, 0);
    expect_sense(hba, 0, 0, test_cmd_out(hba, 0, 0, (const uint8_t[16]) { 0xc0 }, 16, NULL, 0), 5, 0x20, 0);
    expect_sense(hba, 0, 0, test_cmd_out(hba, 0, 0, (const uint8_t[16]) { 0x7f }, 16, NULL, 0), 5, 0x20, 0);
    /* Longer than needed is fine. */
    expect_good(test_cmd_out(hba, 0, 0, (const uint8_t[16]) { 0x12, 0, 0, 0, 36 }, 16, NULL, 0));
    test_hba_free(hba);
}

static void test_control_byte(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    for (unsigned bit = 0; bit < 3; bit++) {
        expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 1 << bit), 5);
        expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 1 << bit), 9);
    }
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0xc0));
    test_hba_free(hba);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_states_buffered(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req = test_request(hba, 5, read_2_blocks, 10);
    size_t len;

    memset(blk->data + 512, 0xaa, 1024);
    g_assert_cmpint(req->state, ==, SCSI_REQ_NEW);
    g_assert_true(scsi_req_find(hba->bus, 0, 0, 5) == req);
    g_assert_null(scsi_req_find(hba->bus, 0, 0, 6));
    g_assert_null(scsi_req_find(hba->bus, 0, 1, 5));
    /* Calls out of turn change nothing. */
    g_assert_cmpint(test_consume(hba, req, 1), ==, SCSI_REQ_NEW);
    g_assert_cmpint(test_fetch(hba, req), ==, SCSI_REQ_NEW);
    g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_OFFER_IN);
    g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_OFFER_IN);
    g_assert_cmpuint(req->data_len, ==, 1024);
    g_assert_cmpuint(req->xfer_len, ==, 1024);
    g_assert_false(req->to_device);
    g_assert_null(scsi_req_buffer(req, &len));
    g_assert_cmpuint(len, ==, 0);
    g_assert_cmpint(test_fetch(hba, req), ==, SCSI_REQ_BUSY);
    g_assert_cmpint(test_fetch(hba, req), ==, SCSI_REQ_BUSY);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    test_turn();
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    g_assert_cmpint(req->state, ==, SCSI_REQ_DATA_IN);
    g_assert_cmphex(scsi_req_buffer(req, &len)[1023], ==, 0xaa);
    g_assert_cmpuint(len, ==, 1024);
    g_assert_cmpint(test_consume(hba, req, 1000), ==, SCSI_REQ_DATA_IN);
    scsi_req_buffer(req, &len);
    g_assert_cmpuint(len, ==, 24);
    g_assert_cmpuint(req->moved, ==, 1000);
    /* More than there is counts as what there is. */
    g_assert_cmpint(test_consume(hba, req, 1000000), ==, SCSI_REQ_DONE);
    g_assert_cmpuint(req->moved, ==, 1024);
    g_assert_cmpint(req->status, ==, SCSI_STATUS_GOOD);
    g_assert_true(scsi_req_find(hba->bus, 0, 0, 5) == req);
    g_assert_cmpint(test_consume(hba, req, 1), ==, SCSI_REQ_DONE);
    scsi_req_unref(req);
    g_assert_null(scsi_req_find(hba->bus, 0, 0, 5));
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    test_hba_free(hba);
}

static void test_states_write(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req = test_request(hba, 5, write_1_block, 10);
    size_t len;

    g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_DATA_OUT);
    g_assert_true(req->to_device);
    memset(scsi_req_buffer(req, &len), 0x55, 512);
    g_assert_cmpuint(len, ==, 512);
    g_assert_cmpuint(scsi_req_direct_granule(req), ==, 512);
    g_assert_cmpint(test_consume(hba, req, 100), ==, SCSI_REQ_DATA_OUT);
    /* Half a buffer was filled: no lending any more. */
    g_assert_cmpuint(scsi_req_direct_granule(req), ==, 0);
    g_assert_cmpint(test_consume(hba, req, 412), ==, SCSI_REQ_BUSY);
    test_turn();
    g_assert_cmpint(req->state, ==, SCSI_REQ_DONE);
    g_assert_cmpuint(hba->ready_calls, ==, 1);
    g_assert_cmphex(blk->data[512], ==, 0x55);
    g_assert_cmphex(blk->data[511], ==, 0);
    scsi_req_unref(req);
    test_hba_free(hba);
}

static void test_direct_misuse(void)
{
    const size_t wrong[] = { 0, 511, 513, 1536 };
    TestHba *hba = test_hba_with_disk(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ScsiRequest *req = test_request(hba, i, read_2_blocks, 10);

        g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_OFFER_IN);
        g_assert_cmpint(test_direct(hba, req, 0, wrong[i]), ==, SCSI_REQ_DONE);
        g_assert_cmpint(req->status, ==, SCSI_STATUS_CHECK_CONDITION);
        g_assert_cmpuint(hba->dma.mapped, ==, 0);
        scsi_req_unref(req);
    }
    g_assert_cmpuint(test_disk_backend()->submitted, ==, 0);
    test_hba_free(hba);
}

static void test_limit(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    ScsiRequest *reqs[SCSI_REQUESTS_MAX], *one;

    for (unsigned i = 0; i < SCSI_REQUESTS_MAX; i++) {
        /* Absent units' requests count too. */
        reqs[i] = scsi_req_new(hba->bus, 0, i % 2, i, read_2_blocks, 10, NULL);
        g_assert_nonnull(reqs[i]);
    }
    g_assert_null(scsi_req_new(hba->bus, 0, 0, 9999, read_2_blocks, 10, NULL));
    g_assert_true(scsi_req_find(hba->bus, 0, 1, SCSI_REQUESTS_MAX - 1) == reqs[SCSI_REQUESTS_MAX - 1]);
    scsi_req_unref(reqs[0]);
    one = scsi_req_new(hba->bus, 0, 0, 9999, read_2_blocks, 10, NULL);
    g_assert_nonnull(one);
    scsi_req_unref(one);
    for (unsigned i = 1; i < SCSI_REQUESTS_MAX; i++) {
        scsi_req_unref(reqs[i]);
    }
    test_hba_free(hba);
}

/* A cancelled request whose I/O still runs is inside the limit: its memory is in use. */
static void test_limit_counts_cancelled(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    ScsiRequest *req = test_request(hba, 1, read_2_blocks, 10);

    test_start(hba, req);
    test_fetch(hba, req);
    test_cancel(hba, req);
    scsi_req_unref(req);
    g_assert_cmpuint(hba->bus->live_requests, ==, 1);
    g_assert_cmpuint(blk->cancels, ==, 1);
    test_turn();
    g_assert_cmpuint(hba->bus->live_requests, ==, 0);
    g_assert_cmpuint(hba->ready_calls, ==, 0);
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi/plug/takes-lowest-free-id", test_plug_lowest_id);
    g_test_add_func("/scsi/plug/refuses-with-property-value-remedy", test_plug_refusals);
    g_test_add_func("/scsi/plug/checks-properties", test_properties);
    g_test_add_func("/scsi/plug/population-is-told", test_population_is_told);
    g_test_add_func("/scsi/absent/target-is-not-there", test_absent_target);
    g_test_add_func("/scsi/absent/lun-answers-inquiry-luns-sense", test_absent_lun);
    g_test_add_func("/scsi/attention/power-on-told-once", test_attention_power_on);
    g_test_add_func("/scsi/attention/queue-is-bounded", test_attention_queue_bound);
    g_test_add_func("/scsi/reset/unit-target-bus-power", test_resets);
    g_test_add_func("/scsi/cdb/length-by-group", test_cdb_length);
    g_test_add_func("/scsi/cdb/control-byte", test_control_byte);
    g_test_add_func("/scsi/request/read-states", test_states_buffered);
    g_test_add_func("/scsi/request/write-states", test_states_write);
    g_test_add_func("/scsi/request/direct-of-wrong-size", test_direct_misuse);
    g_test_add_func("/scsi/request/limit-and-one-more", test_limit);
    g_test_add_func("/scsi/request/limit-counts-io-in-flight", test_limit_counts_cancelled);
    return g_test_run();
}
