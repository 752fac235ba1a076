/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd and scsi-cd: MODE SENSE and MODE SELECT.
 * Runs in: tests
 */
#include "scsi-fake-block.h"

#define CACHING(wce) 0x08, 0x12, wce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CONTROL 0x0a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0
#define ERRORS 0x01, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0
/* 2048 blocks of 512. */
#define DESCRIPTOR 0, 0, 8, 0, 0, 0, 2, 0

static Reply sense6(TestHba *hba, unsigned id, uint8_t flags, uint8_t page, uint8_t subpage)
{
    return test_cmd(hba, id, 0, 0x1a, flags, page, subpage, 255, 0);
}

static Reply sense10(TestHba *hba, unsigned id, uint8_t flags, uint8_t page)
{
    return test_cmd(hba, id, 0, 0x5a, flags, page, 0, 0, 0, 0, 0x10, 0, 0);
}

static void test_sense_caching(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    expect_bytes(sense6(hba, 0, 0, 0x08, 0), 31, 0, 0x10, 8, DESCRIPTOR, CACHING(4));
    expect_bytes(sense6(hba, 0, 8, 0x08, 0), 23, 0, 0x10, 0, CACHING(4));
    expect_bytes(sense10(hba, 0, 0, 0x08), 0, 34, 0, 0x10, 0, 0, 0, 8, DESCRIPTOR, CACHING(4));
    expect_bytes(sense10(hba, 0, 0x10, 0x08), 0, 42, 0, 0x10, 1, 0, 0, 16,
                 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, CACHING(4));
    /* Changeable: WCE, nothing else; defaults; saved values are not kept. */
    expect_bytes(sense6(hba, 0, 0, 0x48, 0), 31, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0, 0, CACHING(4));
    test_disk_backend()->wce = false;
    expect_bytes(sense6(hba, 0, 8, 0x08, 0), 23, 0, 0x10, 0, CACHING(0));
    expect_bytes(sense6(hba, 0, 8, 0x88, 0), 23, 0, 0x10, 0, CACHING(4));
    expect_sense(hba, 0, 0, sense6(hba, 0, 0, 0xc8, 0), 5, 0x39, 0);
    test_hba_free(hba);
}

static void test_sense_all(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    Reply reply = sense6(hba, 0, 8, 0x3f, 0);
    const uint8_t geometry[] = { 0x04, 0x16, 0, 0, 2, 16, 0, 0, 2, 0, 0, 2, 0, 200, 0xff, 0xff, 0xff };

    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 4 + 12 + 24 + 20 + 12);
    g_assert_cmpuint(reply.in[0], ==, reply.in_len - 1);
    g_assert_cmpint(memcmp(reply.in + 4, (const uint8_t[]) { ERRORS }, 12), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 16, geometry, sizeof(geometry)), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 40, (const uint8_t[]) { CACHING(4) }, 20), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 60, (const uint8_t[]) { CONTROL }, 12), ==, 0);
    g_assert_cmpuint(sense6(hba, 0, 8, 0x3f, 0xff).in_len, ==, 72);
    g_assert_cmpuint(sense6(hba, 0, 8, 0x08, 0xff).in_len, ==, 24);
    /* Cut. */
    expect_bytes(test_cmd(hba, 0, 0, 0x1a, 0, 0x3f, 0, 4, 0), 79, 0, 0x10, 8);
    expect_good(test_cmd(hba, 0, 0, 0x1a, 0, 0x3f, 0, 0, 0));
    /* What is not there. */
    expect_bad_cdb(hba, 0, 0, sense6(hba, 0, 0, 0x2a, 0), 2);
    expect_bad_cdb(hba, 0, 0, sense6(hba, 0, 0, 0x00, 0), 2);
    expect_bad_cdb(hba, 0, 0, sense6(hba, 0, 0, 0x08, 1), 3);
    expect_bad_cdb(hba, 0, 0, sense6(hba, 0, 0x10, 0x08, 0), 1);
    test_hba_free(hba);
}

static void test_sense_read_only_and_large(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    test_disk_backend()->read_only = true;
    test_disk_backend()->length = 1ull << 43;
    expect_bytes(test_cmd(hba, 0, 0, 0x1a, 0, 0x08, 0, 12, 0), 31, 0, 0x90, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x5a, 0x10, 0x08, 0, 0, 0, 0, 0, 24, 0),
                 0, 42, 0, 0x90, 1, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0);
    test_hba_free(hba);
}

static void test_sense_cd(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    Reply reply;

    fake_drive("cd", 8192);
    test_add(hba, "scsi-cd", "drive=cd,scsi-id=1");
    test_clear_attention(hba, 1, 0);
    /* No block descriptor, no device-specific parameter. */
    expect_bytes(sense6(hba, 1, 0, 0x2a, 0), 25, 0, 0, 0, 0x2a, 0x14,
                 0x3b, 0, 0x70, 0, 0x29, 0, 0x22, 0x60, 0, 2, 8, 0, 0x22, 0x60, 0, 0, 0, 0, 0, 0);
    expect_good(test_cmd(hba, 1, 0, 0x1e, 0, 0, 0, 1, 0));
    g_assert_cmphex(sense6(hba, 1, 0, 0x2a, 0).in[10], ==, 0x2b);
    reply = sense10(hba, 1, 0, 0x3f);
    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 8 + 12 + 20 + 12 + 16 + 22);
    /* The write cache cannot be switched. */
    g_assert_cmphex(sense6(hba, 1, 0, 0x48, 0).in[6], ==, 0);
    expect_bad_cdb(hba, 1, 0, sense6(hba, 1, 0, 0x04, 0), 2);
    /* Without a medium too. */
    fake_set_medium(blk_by_name("cd", NULL), 0);
    expect_good(sense6(hba, 1, 0, 0x2a, 0));
    test_hba_free(hba);
}

/* ---- MODE SELECT ----------------------------------------------------------------------------- */

#define select6(hba, ...) \
    test_send(hba, 0, 0, ((const uint8_t[]) { __VA_ARGS__ }), sizeof((const uint8_t[]) { __VA_ARGS__ }), \
              0x15, 0x10, 0, 0, sizeof((const uint8_t[]) { __VA_ARGS__ }), 0)
#define select10(hba, ...) \
    test_send(hba, 0, 0, ((const uint8_t[]) { __VA_ARGS__ }), sizeof((const uint8_t[]) { __VA_ARGS__ }), \
              0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof((const uint8_t[]) { __VA_ARGS__ }), 0)

static void test_select_cache(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();

    expect_good(select6(hba, 0, 0, 0, 0, CACHING(0)));
    g_assert_false(blk->wce);
    /* What was cached is on the disk before the answer. */
    g_assert_cmpuint(blk->flushes, ==, 1);
    expect_bytes(sense6(hba, 0, 8, 0x08, 0), 23, 0, 0x10, 0, CACHING(0));
    expect_good(select10(hba, 0, 0, 0, 0, 0, 0, 0, 8, DESCRIPTOR, CACHING(4), CONTROL));
    g_assert_true(blk->wce);
    g_assert_cmpuint(blk->flushes, ==, 1);
    expect_good(select10(hba, 0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, CACHING(0)));
    g_assert_false(blk->wce);
    /* A reset brings the default back. */
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    g_assert_true(blk->wce);
    test_hba_free(hba);
}

static void test_select_nothing(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    expect_good(test_cmd(hba, 0, 0, 0x15, 0x10, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_good(select6(hba, 0, 0, 0, 0));
    expect_good(select6(hba, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0));
    g_assert_true(test_disk_backend()->wce);
    test_hba_free(hba);
}

static void test_select_refusals(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    uint8_t list[16] = { 0 };

    /* Command block: SP, no PF. */
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x15, 0x11, 0, 0, 12, 0), 1);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x15, 0x00, 0, 0, 12, 0), 1);
    /* Lengths: header, descriptor, page header, page. */
    expect_sense(hba, 0, 0, test_send(hba, 0, 0, list, 3, 0x15, 0x10, 0, 0, 3, 0), 5, 0x1a, 0);
    expect_sense(hba, 0, 0, test_send(hba, 0, 0, list, 7, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 7, 0), 5, 0x1a, 0);
    expect_sense(hba, 0, 0, select6(hba, 0, 0, 0, 8, 0, 0, 0), 5, 0x1a, 0);
    expect_sense(hba, 0, 0, select6(hba, 0, 0, 0, 0, 0x08), 5, 0x1a, 0);
    expect_sense(hba, 0, 0, select6(hba, 0, 0, 0, 0, 0x08, 0x12, 4, 0, 0), 5, 0x1a, 0);
    /* Descriptors: length, number, size. */
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 7, 0, 0, 8, 0, 0, 0, 2), 3);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 16, DESCRIPTOR, DESCRIPTOR), 3);
    expect_bad_list(hba, 0, 0, select10(hba, 0, 0, 0, 0, 1, 0, 0, 8, DESCRIPTOR), 6);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 8, 0, 0, 7, 0, 0, 0, 2, 0), 6);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 8, 0, 0, 8, 0, 0, 0, 4, 0), 10);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0), 10);
    /* Pages: unknown, subpage, length, a bit that cannot change. */
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 0, 0x2a, 0x14, 0), 4);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 0, 0x48, 0x12, 0, 0), 4);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 0, 0x08, 0x0a, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0), 5);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 0, CACHING(0x05)), 6);
    expect_bad_list(hba, 0, 0, select6(hba, 0, 0, 0, 8, DESCRIPTOR, CACHING(0), CONTROL, 0x0a, 0x0a, 0x06, 0x10, 0, 0,
                                       0, 0, 0xff, 0xff, 0, 0), 12 + 20 + 12 + 2);
    /* The good pages before the bad one were not applied. */
    g_assert_true(test_disk_backend()->wce);
    test_hba_free(hba);
}

static void test_select_cd(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    const uint8_t with_descriptor[12] = { 0, 0, 0, 8 };
    const uint8_t audio[20] = { 0, 0, 0, 0, 0x0e, 0x0e, 4, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff };

    fake_drive("cd", 8192);
    test_add(hba, "scsi-cd", "drive=cd,scsi-id=1");
    test_clear_attention(hba, 1, 0);
    expect_good(test_send(hba, 1, 0, audio, 20, 0x15, 0x10, 0, 0, 20, 0));
    expect_bad_list(hba, 1, 0, test_send(hba, 1, 0, with_descriptor, 12, 0x15, 0x10, 0, 0, 12, 0), 3);
    test_hba_free(hba);
}

/* Random lists: an answer for each, and never a change without a good status. */
static void test_select_random(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    g_autoptr(GRand) rand = g_rand_new_with_seed(20260);

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t list[64] = { 0 };
        uint8_t len = (uint8_t)g_rand_int_range(rand, 0, 65);
        bool before = test_disk_backend()->wce;
        Reply reply;

        if (i % 2) {
            memcpy(list + 4, (const uint8_t[]) { CACHING(4), CONTROL, ERRORS }, 44);
        }
        for (int n = g_rand_int_range(rand, 0, 5); n > 0; n--) {
            list[g_rand_int_range(rand, 0, 64)] = (uint8_t)g_rand_int(rand);
        }
        reply = test_send(hba, 0, 0, list, len, 0x15, 0x10, 0, 0, len, 0);
        g_assert_true(reply.status == SCSI_STATUS_GOOD || test_disk_backend()->wce == before);
    }
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-mode/sense/caching-page-views", test_sense_caching);
    g_test_add_func("/scsi-mode/sense/all-pages", test_sense_all);
    g_test_add_func("/scsi-mode/sense/read-only-and-large", test_sense_read_only_and_large);
    g_test_add_func("/scsi-mode/sense/cd", test_sense_cd);
    g_test_add_func("/scsi-mode/select/write-cache", test_select_cache);
    g_test_add_func("/scsi-mode/select/nothing", test_select_nothing);
    g_test_add_func("/scsi-mode/select/refusals-name-the-byte", test_select_refusals);
    g_test_add_func("/scsi-mode/select/cd", test_select_cd);
    g_test_add_func("/scsi-mode/select/random-lists", test_select_random);
    return g_test_run();
}
