/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd and scsi-cd on the real block layer: images, lent memory, injected errors.
 * Runs in: tests
 */
#include <glib/gstdio.h>
#include "block/block.h"
#include "scsi-test.h"

#define MIB (1024u * 1024)

static char *image; /* path of the test's image */

/* An adapter with TYPE at 0 on a drive "d0" on an image of LENGTH bytes of a pattern. */
static TestHba *set_up(const char *type, const char *drive_options, const char *properties, size_t length)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    g_autofree uint8_t *bytes = g_malloc(length);
    g_autofree char *text = NULL, *device = g_strdup_printf("drive=d0,scsi-id=0%s", properties);
    g_autoptr(Options) opts = NULL;
    GError *error = NULL;
    int fd = g_file_open_tmp("mpqemu-scsi-XXXXXX", &image, &error);

    g_assert_no_error(error);
    g_close(fd, NULL);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(i / 512 + i * 3);
    }
    g_assert_true(g_file_set_contents(image, (char *)bytes, (gssize)length, NULL));
    text = g_strdup_printf(drive_options, image);
    opts = options_parse("-drive", text, NULL, &error);
    g_assert_no_error(error);
    drive_add(opts, &error);
    g_assert_no_error(error);
    test_add(hba, type, device);
    test_clear_attention(hba, 0, 0);
    return hba;
}

static void tear_down(TestHba *hba)
{
    test_hba_free(hba);
    block_cleanup();
    g_remove(image);
    g_clear_pointer(&image, g_free);
}

static uint8_t *contents(void)
{
    char *bytes;

    g_assert_true(g_file_get_contents(image, &bytes, NULL, NULL));
    return (uint8_t *)bytes;
}

static void test_read_write(void)
{
    TestHba *hba = set_up("scsi-hd", "id=d0,if=none,format=raw,file=%s", "", 2 * MIB);
    g_autofree uint8_t *expected = contents(), *data = g_malloc(MIB);

    for (unsigned direct = 0; direct < 2; direct++) {
        Reply reply;
        g_autofree uint8_t *now = NULL;

        hba->direct = direct;
        reply = test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 1, 0, 0x0f, 0xf0, 0);
        expect_good(reply);
        g_assert_cmpuint(reply.in_len, ==, 0xff0 * 512);
        g_assert_cmpint(memcmp(reply.in, expected + 512, reply.in_len), ==, 0);
        memset(data, 0x30 + (int)direct, MIB);
        expect_good(test_send(hba, 0, 0, data, 0x7ff * 512, 0x2a, 8, 0, 0, 0, 3, 0, 7, 0xff, 0));
        memcpy(expected + 3 * 512, data, 0x7ff * 512);
        expect_good(test_cmd(hba, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
        now = contents();
        g_assert_cmpint(memcmp(now, expected, 2 * MIB), ==, 0);
        expect_good(test_send(hba, 0, 0, data, 512, 0x2e, 2, 0, 0, 0, 5, 0, 0, 1, 0));
    }
    tear_down(hba);
}

static void test_erase(void)
{
    TestHba *hba = set_up("scsi-hd", "id=d0,if=none,format=raw,discard=unmap,file=%s", "", 2 * MIB);
    g_autofree uint8_t *expected = contents(), *now = NULL;
    const uint8_t list[24] = { 0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 4, 0 };
    const uint8_t zero[512] = { 0 };

    expect_good(test_send(hba, 0, 0, list, 24, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0));
    memset(expected + 0x800 * 512, 0, 0x400 * 512);
    expect_good(test_send(hba, 0, 0, zero, 512, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0));
    memset(expected + 7 * 512, 0, 9 * 512);
    now = contents();
    g_assert_cmpint(memcmp(now, expected, 2 * MIB), ==, 0);
    tear_down(hba);
}

/* The error of one sector, among many commands in flight: its own command fails, all others are good. */
static void test_injected_error(void)
{
    TestHba *hba = set_up("scsi-hd",
                          "id=d0,if=none,format=raw,file.driver=blkdebug,file.image.filename=%s,"
                          "file.inject-error.0.event=read_aio,file.inject-error.0.sector=40", "", 2 * MIB);
    ScsiRequest *reqs[64];

    for (unsigned i = 0; i < 64; i++) {
        const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, (uint8_t)i, 0, 0, 1, 0 };

        reqs[i] = scsi_req_new(hba->bus, 0, 0, i, cdb, 10, NULL);
        test_start(hba, reqs[i]);
        if (i % 2) {
            test_direct(hba, reqs[i], i * 512, 512);
        } else {
            test_fetch(hba, reqs[i]);
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        size_t len;

        test_wait(reqs[i]);
        if (scsi_req_buffer(reqs[i], &len)) {
            test_consume(hba, reqs[i], len);
        }
        g_assert_cmpint(reqs[i]->state, ==, SCSI_REQ_DONE);
        g_assert_cmpint(reqs[i]->status, ==, i == 40 ? SCSI_STATUS_CHECK_CONDITION : SCSI_STATUS_GOOD);
    }
    for (unsigned i = 0; i < 64; i++) {
        scsi_req_unref(reqs[i]);
    }
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 18, 0),
                 0xf0, 0, 3, 0, 0, 0, 40, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0);
    tear_down(hba);
}

/* Cancelled in flight, unplugged in flight: nothing is left, the drive is free for another device. */
static void test_cancel_and_unplug(void)
{
    TestHba *hba = set_up("scsi-hd", "id=d0,if=none,format=raw,file=%s", "", 2 * MIB);
    const uint8_t cdb[10] = { 0x28, 0, 0, 0, 0, 0, 0, 0x08, 0, 0 };
    ScsiRequest *reqs[32];

    for (unsigned i = 0; i < 32; i++) {
        reqs[i] = scsi_req_new(hba->bus, 0, 0, i, cdb, 10, NULL);
        test_start(hba, reqs[i]);
        test_direct(hba, reqs[i], 0, MIB);
    }
    for (unsigned i = 0; i < 32; i += 2) {
        test_cancel(hba, reqs[i]);
        scsi_req_unref(reqs[i]);
    }
    device_unrealize(hba->bus->bus.devices->pdata[0]);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    test_turn();
    for (unsigned i = 1; i < 32; i += 2) {
        g_assert_cmpint(reqs[i]->state, ==, SCSI_REQ_DONE);
        scsi_req_unref(reqs[i]);
    }
    test_add(hba, "scsi-hd", "drive=d0,scsi-id=0");
    tear_down(hba);
}

static void test_cd(void)
{
    TestHba *hba = set_up("scsi-cd", "id=d0,if=none,format=raw,media=cdrom,readonly=on,file=%s", "", 2 * MIB);
    g_autofree uint8_t *expected = contents();
    Reply reply = test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 3, 0, 0, 5, 0);

    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 5 * 2048);
    g_assert_cmpint(memcmp(reply.in, expected + 3 * 2048, 5 * 2048), ==, 0);
    expect_good(test_cmd(hba, 0, 0, 0x1b, 0, 0, 0, 2, 0));
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x3a, 0x02);
    tear_down(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-block/read-and-write", test_read_write);
    g_test_add_func("/scsi-block/unmap-and-write-same", test_erase);
    g_test_add_func("/scsi-block/injected-error-among-many", test_injected_error);
    g_test_add_func("/scsi-block/cancel-and-unplug-in-flight", test_cancel_and_unplug);
    g_test_add_func("/scsi-block/cd", test_cd);
    return g_test_run();
}
