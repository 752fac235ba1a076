/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-cd: the multi-media commands, tray and medium.
 * Runs in: tests
 */
#include "scsi-fake-block.h"

#define BLOCKS 1000u

static BlockBackend *cd;

/* A scsi-cd at 2 with BLOCKS blocks of 2048 bytes, or empty. */
static TestHba *hba_with_cd(bool medium)
{
    TestHba *hba = test_hba_new(8, 8, 7);

    cd = fake_drive("cd", medium ? BLOCKS * 2048 : 0);
    test_add(hba, "scsi-cd", "drive=cd,scsi-id=2");
    test_clear_attention(hba, 2, 0);
    return hba;
}

static Reply tur(TestHba *hba)
{
    return test_cmd(hba, 2, 0, 0x00, 0, 0, 0, 0, 0);
}

static Reply start_stop(TestHba *hba, uint8_t bits)
{
    return test_cmd(hba, 2, 0, 0x1b, 0, 0, 0, bits, 0);
}

static Reply toc(TestHba *hba, uint8_t msf, uint8_t format, uint8_t track, uint8_t control)
{
    return test_cmd(hba, 2, 0, 0x43, msf, format, 0, 0, 0, track, 0, 255, control);
}

static Reply event(TestHba *hba, uint8_t polled, uint8_t classes, uint8_t alloc)
{
    return test_cmd(hba, 2, 0, 0x4a, polled, 0, 0, classes, 0, 0, 0, alloc, 0);
}

static void test_identity(void)
{
    TestHba *hba = hba_with_cd(true);
    Reply reply = test_cmd(hba, 2, 0, 0x12, 0, 0, 0, 255, 0);

    g_assert_cmpint(memcmp(reply.in, (const uint8_t[]) { 5, 0x80, 5, 0x12, 31, 0, 0, 0x12 }, 8), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 8, "QEMU    QEMU CD-ROM     2.5+", 28), ==, 0);
    expect_bytes(test_cmd(hba, 2, 0, 0x12, 1, 0, 0, 255, 0), 5, 0, 0, 2, 0, 0x83);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0x12, 1, 0xb0, 0, 255, 0), 2);
    expect_bytes(test_cmd(hba, 2, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 3, 0xe7, 0, 0, 8, 0);
    g_assert_false(cd->attached_writable);
    test_hba_free(hba);
}

static void test_read(void)
{
    TestHba *hba = hba_with_cd(true);
    Reply reply;

    memset(cd->data + 2048 * 999, 0x99, 2048);
    for (unsigned i = 0; i < 2; i++) {
        hba->direct = i;
        reply = test_cmd(hba, 2, 0, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 1, 0);
        expect_good(reply);
        g_assert_cmpuint(reply.in_len, ==, 2048);
        g_assert_cmphex(reply.in[0], ==, 0x99);
        g_assert_cmpuint(test_cmd(hba, 2, 0, 0xa8, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0).in_len, ==, BLOCKS * 2048);
    }
    expect_sense_info(hba, 2, 0, test_cmd(hba, 2, 0, 0x28, 0, 0, 0, 3, 0xe8, 0, 0, 1, 0), 5, 0x21, 0, 1000);
    /* READ CD: user data of any, mode 1 or mode 2 form 1 sectors; nothing asked, nothing sent; no raw parts. */
    expect_good(test_cmd(hba, 2, 0, 0xbe, 0, 0, 0, 3, 0xe7, 0, 0, 1, 0, 0, 0));
    reply = test_cmd(hba, 2, 0, 0xbe, 0x08, 0, 0, 3, 0xe7, 0, 0, 1, 0x10, 0, 0);
    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 2048);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0xbe, 0x04, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0), 1);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0xf8, 0, 0), 9);
    /* No writes, no disk commands. */
    expect_sense(hba, 2, 0, test_cmd(hba, 2, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 5, 0x20, 0);
    expect_sense(hba, 2, 0, test_cmd(hba, 2, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 5, 0x20, 0);
    expect_good(test_cmd(hba, 2, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    g_assert_cmpuint(cd->flushes, ==, 0);
    test_hba_free(hba);
}

static void test_toc(void)
{
    TestHba *hba = hba_with_cd(true);

    expect_bytes(toc(hba, 0, 0, 0, 0), 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 3, 0xe8);
    /* 1000 + 150 frames are 15 s and 25 frames. */
    expect_bytes(toc(hba, 2, 0, 1, 0), 0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 15, 25);
    expect_bytes(toc(hba, 0, 0, 0xaa, 0), 0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 3, 0xe8);
    expect_bad_cdb(hba, 2, 0, toc(hba, 0, 0, 2, 0), 6);
    expect_bytes(toc(hba, 0, 1, 0, 0), 0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0);
    expect_bytes(toc(hba, 2, 2, 0, 0), 0, 46, 1, 1,
                 1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0, 1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0,
                 1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 15, 25, 1, 0x14, 0, 1, 0, 0, 0, 0, 0, 2, 0);
    expect_bad_cdb(hba, 2, 0, toc(hba, 0, 3, 0, 0), 2);
    expect_bad_cdb(hba, 2, 0, toc(hba, 0, 5, 0, 0), 2);
    /* The format as SFF-8020 had it: session information. */
    expect_bytes(toc(hba, 0, 0, 0, 0x40), 0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0);
    test_hba_free(hba);
}

static void test_configuration(void)
{
    TestHba *hba = hba_with_cd(true);
    Reply reply = test_cmd(hba, 2, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 255, 0);
    unsigned all;

    expect_good(reply);
    all = (unsigned)reply.in_len;
    g_assert_cmpint(memcmp(reply.in, (const uint8_t[]) { 0, 0, 0, all - 4, 0, 0, 0, 8, 0, 0, 3, 4, 0, 8, 1, 0 }, 16),
                    ==, 0);
    expect_bytes(test_cmd(hba, 2, 0, 0x46, 2, 0, 3, 0, 0, 0, 0, 255, 0),
                 0, 0, 0, 12, 0, 0, 0, 8, 0, 3, 7, 4, 0x29, 0, 0, 0);
    expect_bytes(test_cmd(hba, 2, 0, 0x46, 2, 0, 4, 0, 0, 0, 0, 255, 0), 0, 0, 0, 4, 0, 0, 0, 8);
    expect_bytes(test_cmd(hba, 2, 0, 0x46, 0, 0, 0x1e, 0, 0, 0, 0, 255, 0),
                 0, 0, 0, 12, 0, 0, 0, 8, 0, 0x1e, 9, 4, 0, 0, 0, 0);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0x46, 3, 0, 0, 0, 0, 0, 0, 255, 0), 1);
    /* Without a medium: no current profile, and less is current.  Works with an attention pending. */
    fake_set_medium(cd, 0);
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    expect_bytes(test_cmd(hba, 2, 0, 0x46, 2, 0, 0, 0, 0, 0, 0, 255, 0),
                 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 3, 4, 0, 8, 0, 0);
    g_assert_cmpuint(test_cmd(hba, 2, 0, 0x46, 1, 0, 0, 0, 0, 0, 0, 255, 0).in_len, ==, all - 12 - 8);
    g_assert_cmpuint(test_cmd(hba, 2, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 255, 0).in_len, ==, all);
    expect_sense(hba, 2, 0, tur(hba), 6, 0x29, 0x02);
    test_hba_free(hba);
}

static void test_medium_changes(void)
{
    TestHba *hba = hba_with_cd(false);

    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x01);
    expect_sense(hba, 2, 0, test_cmd(hba, 2, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 2, 0x3a, 0x01);
    expect_sense(hba, 2, 0, toc(hba, 0, 0, 0, 0), 2, 0x3a, 0x01);
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 0, 0, 0, 0);
    fake_set_medium(cd, 8192);
    /* The event can be fetched with the attention pending; each is told once. */
    expect_bytes(event(hba, 1, 0x10, 4), 0, 6, 4, 0x10);
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 2, 2, 0, 0);
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 0, 2, 0, 0);
    expect_sense(hba, 2, 0, tur(hba), 6, 0x28, 0x00);
    expect_good(tur(hba));
    fake_set_medium(cd, 0);
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x01);
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 3, 0, 0, 0);
    /* Other classes, and asynchronous: not offered. */
    expect_bytes(event(hba, 1, 0x02, 8), 0, 2, 0x80, 0x10);
    expect_bad_cdb(hba, 2, 0, event(hba, 0, 0x10, 8), 1);
    /* An image of less than a block. */
    fake_set_medium(cd, 512);
    expect_sense(hba, 2, 0, tur(hba), 6, 0x28, 0x00);
    expect_sense(hba, 2, 0, tur(hba), 2, 0x30, 0x00);
    test_hba_free(hba);
}

static void test_eject(void)
{
    TestHba *hba = hba_with_cd(true);

    /* Stopping keeps the disc, which starts again when it is used. */
    expect_good(start_stop(hba, 0));
    expect_good(tur(hba));
    expect_good(test_cmd(hba, 2, 0, 0x1e, 0, 0, 0, 1, 0));
    g_assert_true(cd->locked);
    expect_sense(hba, 2, 0, start_stop(hba, 2), 5, 0x53, 0x02);
    expect_good(test_cmd(hba, 2, 0, 0x1e, 0, 0, 0, 0, 0));
    expect_bytes(test_cmd(hba, 2, 0, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0), 0, 0, 0, 0, 0, 1, 0, 0);
    expect_good(start_stop(hba, 2));
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x02);
    expect_bytes(test_cmd(hba, 2, 0, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0), 0, 0x10, 0, 0, 0, 1, 0, 0);
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 3, 1, 0, 0);
    expect_good(start_stop(hba, 2));
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 0, 1, 0, 0);
    /* The disc was still on the tray. */
    expect_good(start_stop(hba, 3));
    expect_bytes(event(hba, 1, 0x10, 8), 0, 6, 4, 0x10, 2, 2, 0, 0);
    expect_sense(hba, 2, 0, tur(hba), 6, 0x28, 0x00);
    expect_good(tur(hba));
    expect_good(start_stop(hba, 3));
    expect_good(tur(hba));
    /* The user takes it off the open tray and puts another one there: found when the tray is closed. */
    expect_good(start_stop(hba, 2));
    fake_set_medium(cd, 0);
    fake_set_medium(cd, 8192);
    fake_set_medium(cd, 4096);
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x02);
    expect_good(start_stop(hba, 3));
    expect_sense(hba, 2, 0, tur(hba), 6, 0x28, 0x00);
    expect_bytes(test_cmd(hba, 2, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 0, 1, 0, 0, 8, 0);
    /* Nothing on it: closed and empty. */
    expect_good(start_stop(hba, 2));
    fake_set_medium(cd, 0);
    expect_good(start_stop(hba, 3));
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x01);
    test_hba_free(hba);
}

/* The user's eject: a tray that opens; a medium that the guest has locked is asked for. */
static void test_eject_by_user(void)
{
    TestHba *hba = hba_with_cd(true);

    g_assert_nonnull(cd->tray);
    cd->tray->request(cd->tray_opaque);
    g_assert_cmpuint(cd->tray_moves, ==, 0);
    expect_bytes(event(hba, 1, 0x10, 255), 0, 6, 4, 0x10, 1, 2, 0, 0);
    expect_bytes(event(hba, 1, 0x10, 255), 0, 6, 4, 0x10, 0, 2, 0, 0);
    cd->tray->open(cd->tray_opaque);
    fake_set_medium(cd, 0);
    g_assert_cmpuint(cd->tray_moves, ==, 1);
    g_assert_true(cd->tray_open);
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x02);
    expect_bytes(event(hba, 1, 0x10, 255), 0, 6, 4, 0x10, 3, 1, 0, 0);
    /* Open already. */
    cd->tray->open(cd->tray_opaque);
    g_assert_cmpuint(cd->tray_moves, ==, 1);
    expect_good(start_stop(hba, 3));
    g_assert_cmpuint(cd->tray_moves, ==, 2);
    g_assert_false(cd->tray_open);
    expect_sense(hba, 2, 0, tur(hba), 2, 0x3a, 0x01);
    test_hba_free(hba);
}

/* A fixed disk has no tray, a removable one has. */
static void test_trays(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    g_assert_null(test_disk_backend()->tray);
    test_hba_free(hba);
    hba = test_hba_with_disk("removable=on");
    g_assert_nonnull(test_disk_backend()->tray);
    test_hba_free(hba);
}

static void test_disc_information(void)
{
    TestHba *hba = hba_with_cd(true);
    Reply reply = test_cmd(hba, 2, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 255, 0);

    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 34);
    g_assert_cmpint(memcmp(reply.in, (const uint8_t[]) { 0, 32, 0x0e, 1, 1, 1, 1, 0x20 }, 8), ==, 0);
    expect_bad_cdb(hba, 2, 0, test_cmd(hba, 2, 0, 0x51, 1, 0, 0, 0, 0, 0, 0, 255, 0), 1);
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-cd/identity", test_identity);
    g_test_add_func("/scsi-cd/read", test_read);
    g_test_add_func("/scsi-cd/read-toc", test_toc);
    g_test_add_func("/scsi-cd/get-configuration", test_configuration);
    g_test_add_func("/scsi-cd/medium-comes-and-goes", test_medium_changes);
    g_test_add_func("/scsi-cd/eject-and-prevent", test_eject);
    g_test_add_func("/scsi-cd/eject-by-user", test_eject_by_user);
    g_test_add_func("/scsi-cd/removable-has-a-tray", test_trays);
    g_test_add_func("/scsi-cd/disc-information", test_disc_information);
    return g_test_run();
}
