/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsi-hd: READ, WRITE, VERIFY, WRITE SAME, UNMAP, SYNCHRONIZE CACHE: ranges, pieces, lent memory.
 * Runs in: tests
 */
#include "scsi-fake-block.h"

#define MIB (1024u * 1024)

static void fill_pattern(uint8_t *p, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)(i * 7 + i / 512 + seed);
    }
}

/* READ or WRITE of any length: OPCODE in its 6, 10, 12 or 16 byte form. */
static unsigned make_cdb(uint8_t *cdb, uint8_t opcode, uint64_t lba, uint32_t count)
{
    memset(cdb, 0, 16);
    cdb[0] = opcode;
    switch (scsi_cdb_length(opcode)) {
    case 6:
        cdb[1] = (uint8_t)(lba >> 16);
        cdb[2] = (uint8_t)(lba >> 8);
        cdb[3] = (uint8_t)lba;
        cdb[4] = (uint8_t)count;
        return 6;
    case 10:
    case 12:
        for (unsigned i = 0; i < 4; i++) {
            cdb[2 + i] = (uint8_t)(lba >> (24 - 8 * i));
        }
        if (scsi_cdb_length(opcode) == 10) {
            cdb[7] = (uint8_t)(count >> 8);
            cdb[8] = (uint8_t)count;
            return 10;
        }
        for (unsigned i = 0; i < 4; i++) {
            cdb[6 + i] = (uint8_t)(count >> (24 - 8 * i));
        }
        return 12;
    default:
        for (unsigned i = 0; i < 8; i++) {
            cdb[2 + i] = (uint8_t)(lba >> (56 - 8 * i));
        }
        for (unsigned i = 0; i < 4; i++) {
            cdb[10 + i] = (uint8_t)(count >> (24 - 8 * i));
        }
        return 16;
    }
}

static Reply rw(TestHba *hba, uint8_t opcode, uint64_t lba, uint32_t count, const void *out, size_t out_len)
{
    uint8_t cdb[16];
    unsigned len = make_cdb(cdb, opcode, lba, count);

    return test_cmd_out(hba, 0, 0, cdb, len, out, out_len);
}

/* A disk of 4 MiB. */
static TestHba *big_disk(const char *properties)
{
    TestHba *hba = test_hba_with_disk(properties);

    test_disk_backend()->data = g_realloc(test_disk_backend()->data, 4 * MIB);
    test_disk_backend()->length = 4 * MIB;
    fill_pattern(test_disk_backend()->data, 4 * MIB, 1);
    return hba;
}

static const uint8_t read_opcodes[] = { 0x08, 0x28, 0xa8, 0x88 };
static const uint8_t write_opcodes[] = { 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e };

/* ---- READ ------------------------------------------------------------------------------------ */

static void check_reads(TestHba *hba)
{
    BlockBackend *blk = test_disk_backend();
    const struct {
        uint64_t lba;
        uint32_t count;
    } ranges[] = { { 0, 1 }, { 3, 255 }, { 8191, 1 }, { 1, 2 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(read_opcodes); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(ranges); j++) {
            Reply reply = rw(hba, read_opcodes[i], ranges[j].lba, ranges[j].count, NULL, 0);

            expect_good(reply);
            g_assert_cmpuint(reply.in_len, ==, ranges[j].count * 512);
            g_assert_cmpint(memcmp(reply.in, blk->data + ranges[j].lba * 512, reply.in_len), ==, 0);
        }
    }
    /* READ(6): 0 means 256; the others: nothing. */
    g_assert_cmpuint(rw(hba, 0x08, 0, 0, NULL, 0).in_len, ==, 256 * 512);
    for (unsigned i = 1; i < G_N_ELEMENTS(read_opcodes); i++) {
        Reply reply = rw(hba, read_opcodes[i], 8192, 0, NULL, 0);

        expect_good(reply);
        g_assert_cmpuint(reply.in_len, ==, 0);
    }
}

static void test_read(void)
{
    TestHba *hba = big_disk(NULL);

    check_reads(hba);
    hba->piece = 100;
    check_reads(hba);
    test_hba_free(hba);
}

static void test_read_direct(void)
{
    TestHba *hba = big_disk(NULL);

    hba->direct = true;
    check_reads(hba);
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    g_assert_cmpuint(hba->dma.write_bytes, >, 0);
    test_hba_free(hba);
}

/* 3 MiB: buffered in chunks of SCSI_CHUNK_MAX, direct in pieces of SCSI_OFFER_MAX. */
static void test_read_pieces(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    Reply reply = rw(hba, 0x28, 5, 6144, NULL, 0);

    g_assert_cmpuint(reply.in_len, ==, 3 * MIB);
    g_assert_cmpint(memcmp(reply.in, blk->data + 5 * 512, 3 * MIB), ==, 0);
    g_assert_cmpuint(blk->read_bytes_max, ==, SCSI_CHUNK_MAX);
    g_assert_cmpuint(blk->reads, ==, 3 * MIB / SCSI_CHUNK_MAX);
    hba->direct = true;
    blk->reads = 0;
    reply = rw(hba, 0x28, 5, 6145, NULL, 0);
    g_assert_cmpint(memcmp(reply.in, blk->data + 5 * 512, 3 * MIB + 512), ==, 0);
    g_assert_cmpuint(blk->read_bytes_max, ==, SCSI_OFFER_MAX);
    g_assert_cmpuint(blk->reads, ==, 4);
    test_hba_free(hba);
}

/* Lent memory for a part of what is on offer, a buffer for the rest. */
static void test_read_mixed(void)
{
    TestHba *hba = big_disk(NULL);
    uint8_t cdb[16];
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, 1, cdb, make_cdb(cdb, 0x28, 8, 8), NULL);
    size_t len;

    g_assert_cmpint(test_start(hba, req), ==, SCSI_REQ_OFFER_IN);
    test_direct(hba, req, 0, 1024);
    test_wait(req);
    g_assert_cmpint(req->state, ==, SCSI_REQ_OFFER_IN);
    g_assert_cmpuint(req->data_len, ==, 6 * 512);
    g_assert_cmpuint(req->moved, ==, 1024);
    g_assert_cmpint(memcmp(hba->ram->host, test_disk_backend()->data + 8 * 512, 512), ==, 0);
    test_fetch(hba, req);
    test_wait(req);
    g_assert_cmpint(memcmp(scsi_req_buffer(req, &len), test_disk_backend()->data + 10 * 512, 6 * 512), ==, 0);
    g_assert_cmpuint(len, ==, 6 * 512);
    g_assert_cmpint(test_consume(hba, req, len), ==, SCSI_REQ_DONE);
    g_assert_cmpuint(req->moved, ==, 4096);
    scsi_req_unref(req);
    test_hba_free(hba);
}

static void test_ranges(void)
{
    TestHba *hba = big_disk(NULL);
    const uint8_t ten[] = { 0x28, 0x2a, 0x2e, 0x2f }, sixteen[] = { 0x88, 0x8a, 0x8e, 0x8f };
    unsigned before;

    before = test_disk_backend()->submitted;
    for (unsigned i = 0; i < G_N_ELEMENTS(ten); i++) {
        expect_sense_info(hba, 0, 0, rw(hba, ten[i], 8192, 1, NULL, 0), 5, 0x21, 0, 8192);
        expect_sense_info(hba, 0, 0, rw(hba, ten[i], 8191, 2, NULL, 0), 5, 0x21, 0, 8191);
        expect_sense_info(hba, 0, 0, rw(hba, ten[i], 0xffffffff, 0xffff, NULL, 0), 5, 0x21, 0, 0xffffffff);
        expect_sense_info(hba, 0, 0, rw(hba, ten[i], 8193, 0, NULL, 0), 5, 0x21, 0, 8193);
        expect_sense(hba, 0, 0, rw(hba, sixteen[i], UINT64_MAX, 0xffffffff, NULL, 0), 5, 0x21, 0);
        expect_sense(hba, 0, 0, rw(hba, sixteen[i], UINT64_MAX, 1, NULL, 0), 5, 0x21, 0);
        /* Would wrap when turned into bytes. */
        expect_sense(hba, 0, 0, rw(hba, sixteen[i], 1ull << 55, 1, NULL, 0), 5, 0x21, 0);
        expect_sense_info(hba, 0, 0, rw(hba, sixteen[i], 1, 0xffffffff, NULL, 0), 5, 0x21, 0, 1);
    }
    expect_sense_info(hba, 0, 0, rw(hba, 0x08, 0x1fffff, 1, NULL, 0), 5, 0x21, 0, 0x1fffff);
    expect_sense_info(hba, 0, 0, rw(hba, 0x35, 8192, 1, NULL, 0), 5, 0x21, 0, 8192);
    expect_sense_info(hba, 0, 0, rw(hba, 0x91, 8193, 0, NULL, 0), 5, 0x21, 0, 8193);
    expect_sense_info(hba, 0, 0, rw(hba, 0x41, 8192, 1, NULL, 0), 5, 0x21, 0, 8192);
    g_assert_cmpuint(test_disk_backend()->submitted, ==, before);
    /* RDPROTECT, WRPROTECT: not formatted so. */
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    /* DPO, FUA on reads are fine. */
    expect_good(test_cmd(hba, 0, 0, 0x28, 0x18, 0, 0, 0, 0, 0, 0, 1, 0));
    test_hba_free(hba);
}

/* ---- WRITE ----------------------------------------------------------------------------------- */

static void check_writes(TestHba *hba)
{
    BlockBackend *blk = test_disk_backend();
    g_autofree uint8_t *data = g_malloc(600 * 512), *before = g_malloc(4 * MIB);

    for (unsigned i = 0; i < G_N_ELEMENTS(write_opcodes); i++) {
        unsigned count = scsi_cdb_length(write_opcodes[i]) == 6 ? 250 : 600;
        Reply reply;

        fill_pattern(data, count * 512, (uint8_t)(i * 31));
        memcpy(before, blk->data, 4 * MIB);
        reply = rw(hba, write_opcodes[i], 100, count, data, count * 512);
        expect_good(reply);
        g_assert_cmpuint(reply.out_len, ==, count * 512);
        memcpy(before + 100 * 512, data, count * 512);
        g_assert_cmpint(memcmp(before, blk->data, 4 * MIB), ==, 0);
    }
}

static void test_write(void)
{
    TestHba *hba = big_disk(NULL);

    check_writes(hba);
    hba->piece = 999;
    check_writes(hba);
    hba->piece = 0;
    hba->direct = true;
    check_writes(hba);
    test_hba_free(hba);
}

/* Reading with FUA tells that the data is on the medium: the cache goes there first. */
static void test_read_fua(void)
{
    TestHba *hba = test_hba_with_disk(NULL);
    BlockBackend *blk = test_disk_backend();

    expect_good(test_cmd(hba, 0, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0));
    g_assert_cmpuint(blk->flushes, ==, 0);
    expect_good(test_cmd(hba, 0, 0, 0x28, 0x08, 0, 0, 0, 0, 0, 0, 1, 0));
    g_assert_cmpuint(blk->flushes, ==, 1);
    g_assert_cmpuint(blk->reads, ==, 2);
    blk->fail = EIO;
    blk->fail_at = UINT64_MAX;
    blk->fail_flush_only = true;
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0xa8, 0x08, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 3, 0x0c, 0);
    blk->fail = 0;
    blk_set_write_cache(blk, false);
    expect_good(test_cmd(hba, 0, 0, 0x88, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0));
    g_assert_cmpuint(blk->reads, ==, 3);
    test_hba_free(hba);
}

static void test_write_fua(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    uint8_t block[512] = { 1 };

    expect_good(test_send(hba, 0, 0, block, 512, 0x2a, 0x00, 0, 0, 0, 0, 0, 0, 1, 0));
    g_assert_cmpuint(blk->fua, ==, 0);
    expect_good(test_send(hba, 0, 0, block, 512, 0x2a, 0x18, 0, 0, 0, 0, 0, 0, 1, 0));
    g_assert_cmpuint(blk->fua, ==, 1);
    expect_good(test_send(hba, 0, 0, block, 512, 0x8a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0));
    g_assert_cmpuint(blk->fua, ==, 2);
    /* WRITE(6): these bits are address. */
    expect_good(test_send(hba, 0, 0, block, 512, 0x0a, 0x00, 0, 8, 1, 0));
    g_assert_cmpuint(blk->fua, ==, 2);
    expect_good(test_cmd(hba, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    expect_good(test_cmd(hba, 0, 0, 0x91, 2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0));
    g_assert_cmpuint(blk->flushes, ==, 2);
    test_hba_free(hba);
}

static void test_write_protected(void)
{
    const uint8_t opcodes[] = { 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x41, 0x93, 0x42 };
    TestHba *hba = big_disk(NULL);

    test_disk_backend()->read_only = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(opcodes); i++) {
        expect_sense(hba, 0, 0, rw(hba, opcodes[i], 0, 1, NULL, 0), 7, 0x27, 0);
    }
    expect_good(rw(hba, 0x28, 0, 1, NULL, 0));
    expect_good(rw(hba, 0x35, 0, 0, NULL, 0));
    test_hba_free(hba);
}

/* ---- other block sizes ----------------------------------------------------------------------- */

static void test_4k_blocks(void)
{
    TestHba *hba = big_disk("logical_block_size=4096");
    BlockBackend *blk = test_disk_backend();
    g_autofree uint8_t *data = g_malloc(4096);
    Reply reply = rw(hba, 0x28, 3, 2, NULL, 0);

    g_assert_cmpuint(reply.in_len, ==, 8192);
    g_assert_cmpint(memcmp(reply.in, blk->data + 3 * 4096, 8192), ==, 0);
    fill_pattern(data, 4096, 99);
    expect_good(rw(hba, 0x2a, 1023, 1, data, 4096));
    g_assert_cmpint(memcmp(data, blk->data + 1023 * 4096, 4096), ==, 0);
    expect_sense_info(hba, 0, 0, rw(hba, 0x28, 1024, 1, NULL, 0), 5, 0x21, 0, 1024);
    hba->direct = true;
    g_assert_cmpuint(rw(hba, 0x28, 0, 1000, NULL, 0).in_len, ==, 1000 * 4096);
    test_hba_free(hba);
}

/* ---- VERIFY ---------------------------------------------------------------------------------- */

static void test_verify(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    g_autofree uint8_t *data = g_memdup2(blk->data, 1000 * 512);

    expect_good(rw(hba, 0x2f, 0, 1000, NULL, 0));
    expect_good(rw(hba, 0xaf, 0, 8192, NULL, 0));
    expect_good(rw(hba, 0x8f, 1, 8191, NULL, 0));
    expect_good(rw(hba, 0x2f, 0, 0, NULL, 0));
    blk->fail = EIO;
    blk->fail_at = 999 * 512;
    /* In the second chunk, which begins with block 512. */
    expect_sense_info(hba, 0, 0, rw(hba, 0x2f, 0, 1000, NULL, 0), 3, 0x11, 0, 512);
    blk->fail = 0;
    expect_good(test_send(hba, 0, 0, data, 1000 * 512, 0x2f, 2, 0, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff, 0));
    data[700 * 512 + 511] ^= 1;
    expect_sense_info(hba, 0, 0,
                      test_send(hba, 0, 0, data, 1000 * 512, 0x2f, 2, 0, 0, 0, 0, 0, 1000 >> 8, 1000 & 0xff, 0),
                      0xe, 0x1d, 0, 700);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x2f, 4, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x2f, 6, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    g_assert_cmpuint(blk->writes, ==, 0);
    test_hba_free(hba);
}

static void test_write_and_verify(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    uint8_t block[512] = { 7 };

    expect_good(test_send(hba, 0, 0, block, 512, 0x2e, 2, 0, 0, 0, 9, 0, 0, 1, 0));
    g_assert_cmpuint(blk->fua, ==, 1);
    g_assert_cmpuint(blk->reads, ==, 1);
    g_assert_cmpint(memcmp(blk->data + 9 * 512, block, 512), ==, 0);
    test_hba_free(hba);
}

/* ---- WRITE SAME ------------------------------------------------------------------------------ */

static void test_write_same(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    g_autofree uint8_t *expected = g_memdup2(blk->data, 4 * MIB);
    uint8_t block[512];

    /* A pattern, in chunks. */
    fill_pattern(block, 512, 3);
    expect_good(test_send(hba, 0, 0, block, 512, 0x41, 0, 0, 0, 0, 2, 0, 1000 >> 8, 1000 & 0xff, 0));
    for (unsigned i = 0; i < 1000; i++) {
        memcpy(expected + (2 + i) * 512, block, 512);
    }
    g_assert_cmpint(memcmp(expected, blk->data, 4 * MIB), ==, 0);
    g_assert_cmpuint(blk->writes, ==, 2);
    g_assert_cmpuint(blk->zeroes, ==, 0);
    /* UNMAP with a pattern writes: the blocks must read as given. */
    expect_good(test_send(hba, 0, 0, block, 512, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0));
    memcpy(expected + 512, block, 512);
    g_assert_cmpuint(blk->discards + blk->unmap_zeroes, ==, 0);
    /* Zeroes. */
    memset(block, 0, 512);
    expect_good(test_send(hba, 0, 0, block, 512, 0x41, 0, 0, 0, 0, 0, 0, 0, 2, 0));
    g_assert_cmpuint(blk->zeroes, ==, 1);
    g_assert_cmpuint(blk->unmap_zeroes, ==, 0);
    expect_good(test_send(hba, 0, 0, block, 512, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0));
    g_assert_cmpuint(blk->unmap_zeroes, ==, 1);
    /* NDOB: no data at all. */
    expect_good(test_cmd(hba, 0, 0, 0x93, 9, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0));
    g_assert_cmpuint(blk->unmap_zeroes, ==, 2);
    memset(expected, 0, 5 * 512);
    g_assert_cmpint(memcmp(expected, blk->data, 4 * MIB), ==, 0);
    /* 0 blocks, too many, ANCHOR, NDOB in the short form. */
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0), 7);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 10);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0), 10);
    expect_sense(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0, 0),
                 5, 0x21, 0);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x93, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0), 1);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x41, 1, 0, 0, 0, 0, 0, 0, 1, 0), 1);
    test_hba_free(hba);
}

/* ---- UNMAP ----------------------------------------------------------------------------------- */

static void put_range(uint8_t *list, unsigned i, uint64_t lba, uint32_t count)
{
    uint8_t cdb[16];

    make_cdb(cdb, 0x88, lba, count);
    memset(list + 8 + 16 * i, 0, 16);
    memcpy(list + 8 + 16 * i, cdb + 2, 12);
}

static Reply unmap(TestHba *hba, const uint8_t *list, uint16_t len)
{
    return test_send(hba, 0, 0, list, len, 0x42, 0, 0, 0, 0, 0, 0, len >> 8, len & 0xff, 0);
}

static void set_list_header(uint8_t *list, unsigned ranges_len)
{
    memset(list, 0, 8);
    list[0] = (uint8_t)((ranges_len + 6) >> 8);
    list[1] = (uint8_t)(ranges_len + 6);
    list[2] = (uint8_t)(ranges_len >> 8);
    list[3] = (uint8_t)ranges_len;
}

static void test_unmap(void)
{
    TestHba *hba = big_disk(NULL);
    BlockBackend *blk = test_disk_backend();
    g_autofree uint8_t *expected = g_memdup2(blk->data, 4 * MIB);
    static uint8_t list[8 + 256 * 16];

    expect_good(unmap(hba, list, 0));
    set_list_header(list, 48);
    put_range(list, 0, 1, 2);
    put_range(list, 1, 500, 0);
    put_range(list, 2, 8000, 192);
    expect_good(unmap(hba, list, 56));
    memset(expected + 512, 0, 1024);
    memset(expected + 8000 * 512, 0, 192 * 512);
    g_assert_cmpuint(blk->discards, ==, 2);
    g_assert_cmpint(memcmp(expected, blk->data, 4 * MIB), ==, 0);

    /* Nothing of a list with a bad range is done. */
    put_range(list, 2, 8000, 193);
    expect_sense_info(hba, 0, 0, unmap(hba, list, 56), 5, 0x21, 0, 8000);
    put_range(list, 2, UINT64_MAX, 0xffffffff);
    expect_sense(hba, 0, 0, unmap(hba, list, 56), 5, 0x21, 0);
    g_assert_cmpuint(blk->discards, ==, 2);

    /* Lengths. */
    expect_sense(hba, 0, 0, unmap(hba, list, 7), 5, 0x1a, 0);
    expect_sense(hba, 0, 0, unmap(hba, list, 55), 5, 0x1a, 0);
    set_list_header(list, 47);
    expect_bad_list(hba, 0, 0, unmap(hba, list, 56), 2);
    set_list_header(list, 0);
    expect_good(unmap(hba, list, 8));
    for (unsigned i = 0; i < 256; i++) {
        put_range(list, i, i, 1);
    }
    set_list_header(list, 255 * 16);
    expect_good(unmap(hba, list, 8 + 255 * 16));
    g_assert_cmpuint(blk->discards, ==, 2 + 255);
    set_list_header(list, 256 * 16);
    expect_bad_list(hba, 0, 0, unmap(hba, list, 8 + 256 * 16), 2);

    /* More blocks than the limits page allows; the size is a lie that nobody reads. */
    blk->length = 1ull << 40;
    set_list_header(list, 32);
    put_range(list, 0, 0, 0x200000);
    put_range(list, 1, 0x200000, 1);
    expect_bad_list(hba, 0, 0, unmap(hba, list, 40), 32);
    blk->length = 4 * MIB;

    /* discard=ignore: taken, nothing happens. */
    blk->no_discard = true;
    set_list_header(list, 16);
    put_range(list, 0, 0, 1);
    expect_good(unmap(hba, list, 24));
    g_assert_cmpuint(blk->discards, ==, 2 + 255);
    expect_bad_cdb(hba, 0, 0, test_cmd(hba, 0, 0, 0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0), 1);
    test_hba_free(hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scsi-rw/read/buffered", test_read);
    g_test_add_func("/scsi-rw/read/direct", test_read_direct);
    g_test_add_func("/scsi-rw/read/in-pieces", test_read_pieces);
    g_test_add_func("/scsi-rw/read/direct-then-buffered", test_read_mixed);
    g_test_add_func("/scsi-rw/range/out-of-range", test_ranges);
    g_test_add_func("/scsi-rw/write/buffered-and-direct", test_write);
    g_test_add_func("/scsi-rw/read/fua-flushes-first", test_read_fua);
    g_test_add_func("/scsi-rw/write/fua-and-flush", test_write_fua);
    g_test_add_func("/scsi-rw/write/protected", test_write_protected);
    g_test_add_func("/scsi-rw/blocks-of-4k", test_4k_blocks);
    g_test_add_func("/scsi-rw/verify", test_verify);
    g_test_add_func("/scsi-rw/write-and-verify", test_write_and_verify);
    g_test_add_func("/scsi-rw/write-same", test_write_same);
    g_test_add_func("/scsi-rw/unmap", test_unmap);
    return g_test_run();
}
