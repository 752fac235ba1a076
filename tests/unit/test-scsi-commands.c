/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd: commands without block data: INQUIRY, capacity, readiness, operation codes, the table's checks.
 * Runs in: tests
 */
#include "scsi-fake-block.h"

static Reply inquiry(TestHba *hba, uint8_t evpd, uint8_t page, uint16_t alloc)
{
    return test_cmd(hba, 0, 0, 0x12, evpd, page, alloc >> 8, alloc & 0xff, 0);
}

/* ---- INQUIRY --------------------------------------------------------------------------------- */

static void test_inquiry_standard(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    Reply reply = inquiry(hba, 0, 0, 255);
    static const char text[] = "QEMU    QEMU HARDDISK   2.5+";

    expect_good(reply);
    g_assert_cmpuint(reply.in_len, ==, 36);
    g_assert_cmpint(memcmp(reply.in, (const uint8_t[]) { 0, 0, 5, 0x12, 31, 0, 0, 0x12 }, 8), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 8, text, 28), ==, 0);
    g_assert_cmpuint(inquiry(hba, 0, 0, 5).in_len, ==, 5);
    g_assert_cmpuint(inquiry(hba, 0, 0, 0).in_len, ==, 0);
    g_assert_cmpuint(inquiry(hba, 0, 0, 65535).in_len, ==, 36);
    expect_bad_cdb(hba, 0, 0, inquiry(hba, 0, 1, 255), 2);
    expect_bad_cdb(hba, 0, 0, inquiry(hba, 2, 0, 255), 1);
    test_hba_free(hba);
}

static void test_inquiry_properties(void)
{
    TestHba *hba = test_hba_new(16, 8, 7);
    Reply reply;

    fake_drive("d0", 4096);
    test_add(hba, "scsi-hd", "drive=d0,scsi-id=0,vendor=ME,product=BOX,ver=1,removable=on");
    reply = inquiry(hba, 0, 0, 255);
    g_assert_cmpint(reply.in[1], ==, 0x80);
    /* A wide bus. */
    g_assert_cmpint(reply.in[7], ==, 0x32);
    g_assert_cmpint(memcmp(reply.in + 8, "ME      BOX             1   ", 28), ==, 0);
    test_hba_free(hba);
}

static void test_vpd_pages(void)
{
    TestHba *hba = test_hba_with_disk("serial=S1,wwn=0x5000c50012345678,port_wwn=0x500a098000000001,port_index=2,"
                                      "min_io_size=4096,opt_io_size=65536,rotation_rate=7200,device_id=unit-of-mine");
    const uint8_t limits[16] = { 0, 0xb0, 0, 0x3c, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 128 };
    const uint8_t limits_unmap[20] = {
        0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 255, 0, 0, 0, 8, 0, 0, 0, 0,
    };
    Reply reply;

    expect_bytes(inquiry(hba, 1, 0x00, 255), 0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2);
    expect_bytes(inquiry(hba, 1, 0x80, 255), 0, 0x80, 0, 2, 'S', '1');
    expect_bytes(inquiry(hba, 1, 0x83, 255),
                 0, 0x83, 0, 48,
                 2, 0, 0, 12, 'u', 'n', 'i', 't', '-', 'o', 'f', '-', 'm', 'i', 'n', 'e',
                 1, 3, 0, 8, 0x50, 0x00, 0xc5, 0x00, 0x12, 0x34, 0x56, 0x78,
                 0x11, 0x93, 0, 8, 0x50, 0x0a, 0x09, 0x80, 0, 0, 0, 1,
                 0x11, 0x94, 0, 4, 0, 0, 0, 2);
    expect_bytes(inquiry(hba, 1, 0x83, 6), 0, 0x83, 0, 48, 2, 0);
    reply = inquiry(hba, 1, 0xb0, 255);
    g_assert_cmpuint(reply.in_len, ==, 64);
    g_assert_cmpint(memcmp(reply.in, limits, sizeof(limits)), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 16, limits_unmap, sizeof(limits_unmap)), ==, 0);
    g_assert_cmpint(memcmp(reply.in + 36, (const uint8_t[]) { 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff }, 8), ==, 0);
    reply = inquiry(hba, 1, 0xb1, 255);
    g_assert_cmpuint(reply.in_len, ==, 64);
    g_assert_cmpint(memcmp(reply.in, (const uint8_t[]) { 0, 0xb1, 0, 0x3c, 0x1c, 0x20, 0 }, 7), ==, 0);
    expect_bytes(inquiry(hba, 1, 0xb2, 255), 0, 0xb2, 0, 4, 0, 0xe0, 2, 0);
    expect_bad_cdb(hba, 0, 0, inquiry(hba, 1, 0x84, 255), 2);
    test_hba_free(hba);
}

/* Defaults: no serial number, the drive's name, cut to 20 characters. */
static void test_vpd_defaults(void)
{
    TestHba *hba = test_hba_new(8, 8, 7);

    fake_drive("drive-with-a-very-long-name", 4096);
    test_add(hba, "scsi-hd", "drive=drive-with-a-very-long-name,scsi-id=0,discard_granularity=0");
    expect_bytes(inquiry(hba, 1, 0x00, 255), 0, 0, 0, 5, 0x00, 0x83, 0xb0, 0xb1, 0xb2);
    expect_bad_cdb(hba, 0, 0, inquiry(hba, 1, 0x80, 255), 2);
    expect_bytes(inquiry(hba, 1, 0x83, 255), 0, 0x83, 0, 24, 2, 0, 0, 20,
                 'd', 'r', 'i', 'v', 'e', '-', 'w', 'i', 't', 'h', '-', 'a', '-', 'v', 'e', 'r', 'y', '-', 'l', 'o');
    expect_bytes(inquiry(hba, 1, 0xb2, 255), 0, 0xb2, 0, 4, 0, 0, 0, 0);
    test_clear_attention(hba, 0, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), 5, 0x20, 0);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 1);
    test_hba_free(hba);
}

/* ---- capacity -------------------------------------------------------------------------------- */

static void test_capacity(void)
{
    TestHba *hba = test_hba_with_disk("physical_block_size=4096");
    BlockBackend *blk = test_disk_backend();

    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 7, 0xff, 0, 0, 2, 0);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0), 2);
    expect_good(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 1, 0, 0, 1, 0));
    expect_bytes(test_cmd(hba, 0, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0),
                 0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0, 0, 3, 0x80, 0);
    g_assert_cmpuint(test_cmd(hba, 0, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0).in_len, ==, 32);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 32, 0, 0), 2);
    /* Another service action of a known operation code. */
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), 1);
    /* Beyond 2 TiB: no data is touched by these commands. */
    blk->length = 512ull * 0x123456789;
    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0),
                 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x88, 0, 0, 2, 0);
    /* A rest that is no whole block does not count. */
    blk->length = 1024 * 1024 - 1;
    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 7, 0xfe, 0, 0, 2, 0);
    blk->length = 1024 * 1024;
    test_hba_free(hba);
}

static void test_capacity_changes(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    fake_set_medium(test_disk_backend(), 2 * 1024 * 1024);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_bytes(test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, 15, 0xff, 0, 0, 2, 0);
    /* Shrunk below one block. */
    fake_set_medium(test_disk_backend(), 100);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x2a, 0x09);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x30, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 2, 0x30, 0);
    test_hba_free(hba);
}

/* ---- REQUEST SENSE formats ------------------------------------------------------------------- */

static void test_request_sense_formats(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    Reply reply;

    /* Descriptor format: information, then nothing. */
    reply = test_cmd(hba, 0, 0, 0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 0);
    g_assert_cmpint(reply.status, ==, SCSI_STATUS_CHECK_CONDITION);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 1, 0, 0, 255, 0),
                 0x72, 5, 0x21, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8);
    /* The same does not fit the fixed format: not valid. */
    reply = test_cmd(hba, 0, 0, 0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 255, 0),
                 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0);
    /* Field pointer. */
    reply = test_cmd(hba, 0, 0, 0x12, 0, 1, 0, 36, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 1, 0, 0, 255, 0),
                 0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xc0, 0, 2, 0);
    /* Cut, and fetched all the same. */
    reply = test_cmd(hba, 0, 0, 0x12, 0, 1, 0, 36, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 0, 0, 0, 4, 0), 0x70, 0, 5, 0);
    expect_bytes(test_cmd(hba, 0, 0, 0x03, 1, 0, 0, 255, 0), 0x72, 0, 0, 0, 0, 0, 0, 0);
    reply = test_cmd(hba, 0, 0, 0x03, 2, 0, 0, 255, 0);
    g_assert_cmpint(reply.status, ==, SCSI_STATUS_CHECK_CONDITION);
    test_hba_free(hba);
}

/* ---- readiness, stop and start, removal ------------------------------------------------------ */

static Reply start_stop(TestHba *hba, uint8_t bits)
{
    return test_cmd(hba, 0, 0, 0x1b, 0, 0, 0, bits, 0);
}

static void test_start_stop_fixed(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();

    expect_good(start_stop(hba, 0));
    g_assert_cmpuint(blk->flushes, ==, 1);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x04, 0x02);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2, 0x04, 0x02);
    expect_good(test_cmd(hba, 0, 0, 0x12, 0, 0, 0, 36, 0));
    expect_good(start_stop(hba, 1));
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    /* A reset starts it too. */
    expect_good(start_stop(hba, 0));
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x02);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    /* A fixed disk does not eject; power conditions are not offered. */
    expect_bad_cdb(hba, 0, 0, start_stop(hba, 2), 4);
    expect_bad_cdb(hba, 0, 0, start_stop(hba, 0x10), 4);
    g_assert_true(blk_is_inserted(blk));
    test_hba_free(hba);
}

static void test_removable_disk(void)
{
    TestHba *hba = test_hba_with_disk("removable=on");
    BlockBackend *blk = test_disk_backend();

    expect_good(test_cmd(hba, 0, 0, 0x1e, 0, 0, 0, 1, 0));
    g_assert_true(blk->locked);
    expect_sense(hba, 0, 0, start_stop(hba, 2), 5, 0x53, 0x02);
    g_assert_true(blk_is_inserted(blk));
    expect_good(test_cmd(hba, 0, 0, 0x1e, 0, 0, 0, 0, 0));
    g_assert_false(blk->locked);
    expect_good(start_stop(hba, 2));
    g_assert_cmpuint(blk->flushes, ==, 1);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x3a, 0x02);
    expect_good(start_stop(hba, 3));
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x28, 0x00);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    fake_set_medium(blk, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 2, 0x3a, 0x01);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), 2, 0x3a, 0x01);
    fake_set_medium(blk, 4096);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0), 6, 0x28, 0x00);
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x1e, 0, 0, 0, 2, 0), 4);
    /* A reset ends the prevention. */
    expect_good(test_cmd(hba, 0, 0, 0x1e, 0, 0, 0, 1, 0));
    scsi_bus_reset_devices(hba->bus, SCSI_RESET_BUS);
    g_assert_false(blk->locked);
    test_hba_free(hba);
}

static void test_prevent_on_fixed_disk(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    expect_good(test_cmd(hba, 0, 0, 0x1e, 0, 0, 0, 1, 0));
    g_assert_false(test_disk_backend()->locked);
    test_hba_free(hba);
}

static void test_small_commands(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    expect_good(test_cmd(hba, 0, 0, 0x1d, 0x04, 0, 0, 0, 0));
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x1d, 0, 0, 0, 0, 0), 1);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x1d, 0x04, 0, 0, 4, 0), 4);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x1d, 0x24, 0, 0, 0, 0), 1);
    expect_good(test_cmd(hba, 0, 0, 0x16, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x00, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x17, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    /* Third-party reservations are not offered, persistent ones neither. */
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x16, 0x10, 0, 0, 0, 0), 1);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0), 5, 0x20, 0);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0), 5, 0x20, 0);
    test_hba_free(hba);
}

/* ---- the table ------------------------------------------------------------------------------- */

static Reply report_opcodes(TestHba *hba, unsigned id, uint8_t options, uint8_t opcode, uint16_t sa, uint16_t alloc)
{
    return test_cmd(hba, id, 0, 0xa3, 0x0c, options, opcode, sa >> 8, sa & 0xff, 0, 0, alloc >> 8, alloc & 0xff, 0, 0);
}

static void test_report_opcodes(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    Reply reply;

    expect_bytes(report_opcodes(hba, 0, 1, 0x28, 0, 100),
                 0, 3, 0, 10, 0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0);
    expect_bytes(report_opcodes(hba, 0, 2, 0x9e, 0x10, 10), 0, 3, 0, 16, 0x9e, 0x10, 0xff, 0xff, 0xff, 0xff);
    expect_bytes(report_opcodes(hba, 0, 0x81, 0x00, 0, 100),
                 0, 0x83, 0, 6, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    expect_bytes(report_opcodes(hba, 0, 1, 0x43, 0, 100), 0, 1, 0, 0); /* a CD's */
    expect_bytes(report_opcodes(hba, 0, 2, 0x9e, 0x11, 100), 0, 1, 0, 0);
    expect_bytes(report_opcodes(hba, 0, 3, 0x28, 1, 100), 0, 1, 0, 0);
    expect_bad_cdb(hba, 0, 0, report_opcodes(hba, 0, 1, 0x9e, 0, 100), 2);
    expect_bad_cdb(hba, 0, 0, report_opcodes(hba, 0, 2, 0x28, 0, 100), 2);
    expect_bad_cdb(hba, 0, 0, report_opcodes(hba, 0, 4, 0x28, 0, 100), 2);
    reply = report_opcodes(hba, 0, 0, 0, 0, 0xffff);
    expect_good(reply);
    g_assert_cmpuint(reply.in_len % 8, ==, 4);
    g_assert_cmpuint(reply.in_len, ==, 4u + (reply.in[2] << 8 | reply.in[3]));
    g_assert_cmpuint(report_opcodes(hba, 0, 0x80, 0, 0, 0xffff).in_len, >, reply.in_len);
    test_hba_free(hba);
}

/* Every operation code on both kinds of units, all 16 bytes of ones after it: an answer for each, never a crash. */
static void test_all_opcodes_survive(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    fake_drive("cd", 8192);
    test_add(hba, "scsi-cd", "drive=cd,scsi-id=1");
    test_clear_attention(hba, 1, 0);
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned id = 0; id < 2; id++) {
            for (unsigned sa = 0; sa < 256; sa++) {
                uint8_t cdb[16] = { (uint8_t)opcode, (uint8_t)sa };
                Reply reply;

                memset(cdb + 2, sa % 2 ? 0xff : 0, 14);
                cdb[scsi_cdb_length(cdb[0]) ? scsi_cdb_length(cdb[0]) - 1 : 15] = 0;
                /* Data for a piece of zeroes or the longest list. */
                static uint8_t zeroes[SCSI_CHUNK_MAX];

                reply = test_cmd_out(hba, id, 0, cdb, 16, zeroes, sizeof(zeroes));
                g_assert_true(reply.status == SCSI_STATUS_GOOD || reply.status == SCSI_STATUS_CHECK_CONDITION);
            }
        }
    }
    test_hba_free(hba);
}

/* One bit too many in each byte of each command: INVALID FIELD IN CDB that names the byte, as the usage data says. */
static void test_unknown_bits(void)
{
    TestHba *hba = test_hba_with_disk(NULL);

    fake_drive("cd", 8192);
    test_add(hba, "scsi-cd", "drive=cd,scsi-id=1");
    test_clear_attention(hba, 1, 0);
    for (unsigned id = 0; id < 2; id++) {
        Reply all = report_opcodes(hba, id, 0, 0, 0, 0xffff);
        g_autofree uint8_t *list = g_memdup2(all.in, all.in_len);

        for (size_t at = 4; at < all.in_len; at += 8) {
            bool has_sa = list[at + 5] & 1;
            unsigned len = list[at + 7];
            Reply one = report_opcodes(hba, id, has_sa ? 2 : 1, list[at], list[at + 3], 0xffff);
            g_autofree uint8_t *usage = g_memdup2(one.in, one.in_len);

            g_assert_cmpuint(one.in_len, ==, 4 + len);
            for (unsigned byte = has_sa ? 2 : 1; byte < len - 1; byte++) {
                for (unsigned bit = 0; bit < 8; bit++) {
                    uint8_t cdb[16] = { list[at], has_sa ? list[at + 3] : 0 };

                    cdb[byte] |= (uint8_t)(1 << bit);
                    if (!(usage[4 + byte] & 1 << bit)) {
                        expect_bad_cdb(hba, id, 0, test_cmd_out(hba, id, 0, cdb, len, NULL, 0), byte);
                    }
                }
            }
        }
    }
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-commands/inquiry/standard", test_inquiry_standard);
    g_test_add_func("/scsi-commands/inquiry/properties", test_inquiry_properties);
    g_test_add_func("/scsi-commands/inquiry/vpd-pages", test_vpd_pages);
    g_test_add_func("/scsi-commands/inquiry/vpd-defaults", test_vpd_defaults);
    g_test_add_func("/scsi-commands/capacity/10-and-16", test_capacity);
    g_test_add_func("/scsi-commands/capacity/change-is-told", test_capacity_changes);
    g_test_add_func("/scsi-commands/request-sense/formats", test_request_sense_formats);
    g_test_add_func("/scsi-commands/start-stop/fixed-disk", test_start_stop_fixed);
    g_test_add_func("/scsi-commands/start-stop/removable-disk", test_removable_disk);
    g_test_add_func("/scsi-commands/prevent/fixed-disk", test_prevent_on_fixed_disk);
    g_test_add_func("/scsi-commands/diagnostic-and-reservations", test_small_commands);
    g_test_add_func("/scsi-commands/table/report-operation-codes", test_report_opcodes);
    g_test_add_func("/scsi-commands/table/every-operation-code-ends", test_all_opcodes_survive);
    g_test_add_func("/scsi-commands/table/unknown-bits-are-named", test_unknown_bits);
    return g_test_run();
}
