/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of bounced DMA as a device sees it: the same calls and results as with mapped RAM.
 *
 * The copying process is a function that copies from and to an array, and counts.
 */
#include <string.h>

#include "system/dma.h"
#include "util/machine-lock.h"

#define KIB UINT64_C(1024)
#define WINDOW (1024 * KIB)
#define STAGE (64 * KIB) /* of the window, not lent */
#define GUEST (2048 * KIB)

typedef struct Fixture {
    uint8_t *guest; /* [0, GUEST) */
    RamBlock *window;
    DmaBounce *bounce;
    DmaContext dma;
    DmaMap *map;
    unsigned copies, pieces;
    MemResult result; /* of all copies from now on, when not MEM_OK */
} Fixture;

static MemResult copy(void *opaque, bool write, const DmaBouncePiece *pieces, unsigned count)
{
    Fixture *f = opaque;

    f->copies++;
    g_assert_cmpuint(count, >=, 1);
    g_assert_cmpuint(count, <=, DMA_BOUNCE_PIECES_MAX);
    for (unsigned i = 0; i < count && f->result == MEM_OK; i++) {
        uint8_t *at = f->window->host + pieces[i].offset;

        g_assert_cmpuint(pieces[i].len, >, 0);
        g_assert_cmpuint(pieces[i].addr + pieces[i].len, <=, GUEST);
        g_assert_cmpuint((uint64_t)pieces[i].offset + pieces[i].len, <=, WINDOW);
        memcpy(write ? f->guest + pieces[i].addr : at, write ? at : f->guest + pieces[i].addr, pieces[i].len);
        f->pieces++;
    }
    return f->result;
}

static void setup(Fixture *f, gconstpointer data)
{
    /* Two ranges that adjoin, in the wrong order, and one behind a gap. */
    const uint64_t addrs[] = { GUEST / 2, 0, GUEST / 2 + 512 * KIB }, sizes[] = { 256 * KIB, GUEST / 2, 512 * KIB };

    f->guest = g_malloc(GUEST);
    for (uint64_t i = 0; i < GUEST; i++) {
        f->guest[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    f->window = ram_block_new_memfd("window", WINDOW, true, NULL);
    f->bounce = dma_bounce_new(f->window, copy, f);
    dma_bounce_set_ram(f->bounce, addrs, sizes, 3);
    dma_context_init(&f->dma, NULL);
    f->dma.bounce = f->bounce;
    f->dma.enabled = true;
    f->map = g_new(DmaMap, 1);
}

static void teardown(Fixture *f, gconstpointer data)
{
    dma_bounce_unref(f->bounce);
    g_assert_cmpint(f->window->refs, ==, 1); /* nothing holds a part of it */
    ram_block_unref(f->window);
    g_free(f->guest);
    g_free(f->map);
}

#define RAM_END (GUEST / 2 + 256 * KIB) /* of the first two ranges */

static void test_read_and_write(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *buf = g_malloc(GUEST);
    uint8_t behind;
    uint32_t value;

    g_assert_cmpint(dma_read(&f->dma, 1, buf, 3 * STAGE + 1), ==, MEM_OK);
    g_assert_cmpmem(buf, 3 * STAGE + 1, f->guest + 1, 3 * STAGE + 1);
    g_assert_cmpuint(f->copies, ==, 4);
    g_assert_cmpint(dma_read(&f->dma, GUEST / 2 - 2, buf, 4), ==, MEM_OK); /* over a border */
    g_assert_cmpmem(buf, 4, f->guest + GUEST / 2 - 2, 4);

    g_assert_cmpint(dma_write_le32(&f->dma, 0x1003, 0x12345678), ==, MEM_OK);
    g_assert_cmphex(f->guest[0x1003], ==, 0x78);
    g_assert_cmpint(dma_read_le32(&f->dma, 0x1003, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x12345678);
    behind = f->guest[0x20000 + 2 * STAGE];
    g_assert_cmphex(behind, !=, 0x5a);
    memset(buf, 0x5a, 2 * STAGE);
    g_assert_cmpint(dma_write(&f->dma, 0x20000, buf, 2 * STAGE), ==, MEM_OK);
    g_assert_cmpmem(f->guest + 0x20000, 2 * STAGE, buf, 2 * STAGE);
    g_assert_cmphex(f->guest[0x20000 + 2 * STAGE], ==, behind);
    g_assert_cmpuint(f->dma.errors, ==, 0);
}

static void test_single_bytes(Fixture *f, gconstpointer data)
{
    hwaddr addrs[40];
    uint8_t bytes[40];

    for (unsigned i = 0; i < 40; i++) {
        addrs[i] = 0x1001 * (40 - i);
    }
    g_assert_cmpint(dma_read_bytes(&f->dma, addrs, bytes, 40), ==, MEM_OK);
    g_assert_cmpuint(f->copies, ==, 3);
    for (unsigned i = 0; i < 40; i++) {
        g_assert_cmphex(bytes[i], ==, f->guest[addrs[i]]);
    }
    addrs[20] = RAM_END;
    g_assert_cmpint(dma_read_bytes(&f->dma, addrs, bytes, 40), ==, MEM_DECODE_ERROR);
    g_assert_cmpint(dma_read_bytes(&f->dma, addrs, bytes, 20), ==, MEM_OK);
    f->dma.enabled = false;
    g_assert_cmpint(dma_read_bytes(&f->dma, addrs, bytes, 1), ==, MEM_DECODE_ERROR);
}

/* What lies before the end of RAM is done, as with mapped RAM; nobody is asked for the rest. */
static void test_no_ram(Fixture *f, gconstpointer data)
{
    static const hwaddr nowhere[] = { RAM_END, GUEST, UINT64_MAX - 1, UINT64_MAX };
    uint8_t buf[8] = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(nowhere); i++) {
        g_assert_cmpint(dma_read(&f->dma, nowhere[i], buf, 8), ==, MEM_DECODE_ERROR);
        g_assert_cmphex(buf[0] & buf[7], ==, 0xff);
        g_assert_cmpint(dma_write(&f->dma, nowhere[i], buf, 8), ==, MEM_DECODE_ERROR);
        dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
        g_assert_false(dma_map_add(f->map, nowhere[i], 8));
    }
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_cmpint(dma_read(&f->dma, RAM_END - 4, buf, 8), ==, MEM_DECODE_ERROR);
    g_assert_cmpmem(buf, 4, f->guest + RAM_END - 4, 4);
    g_assert_cmphex(buf[4] & buf[7], ==, 0xff);
    memset(buf, 0x11, 8);
    g_assert_cmpint(dma_write(&f->dma, RAM_END - 4, buf, 8), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(f->guest[RAM_END - 1], ==, 0x11);
    g_assert_cmphex(f->guest[RAM_END], !=, 0x11);
    f->dma.enabled = false;
    f->copies = 0;
    g_assert_cmpint(dma_read(&f->dma, 0, buf, 8), ==, MEM_DECODE_ERROR);
    g_assert_false(dma_map_add(f->map, 0, 8));
    g_assert_cmpuint(f->copies, ==, 0);
}

static void test_map_to_device(Fixture *f, gconstpointer data)
{
    dma_map_init(f->map, &f->dma, DMA_TO_DEVICE);
    g_assert_true(dma_map_add(f->map, 0x1001, 1000));
    g_assert_true(dma_map_add(f->map, 0x8000, 4096));
    g_assert_true(dma_map_add(f->map, 0, 0));
    g_assert_false(dma_map_add(f->map, RAM_END - 1, 2));
    g_assert_cmpuint(f->map->count, ==, 2);
    g_assert_cmpuint(f->map->size, ==, 5096);
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_true(dma_map_fill(f->map));
    g_assert_cmpuint(f->copies, ==, 1); /* all of it at once */
    g_assert_cmpmem(f->map->iov[0].iov_base, f->map->iov[0].iov_len, f->guest + 0x1001, 1000);
    g_assert_cmpmem(f->map->iov[1].iov_base, f->map->iov[1].iov_len, f->guest + 0x8000, 4096);
    g_assert_cmpuint(f->dma.mapped, ==, 1);
    f->copies = 0;
    memset(f->map->iov[1].iov_base, 0, 4096); /* a device that writes what it may only read */
    dma_unmap(f->map, 5096);
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_cmpuint(f->dma.mapped, ==, 0);
    g_assert_cmpuint(f->dma.read_bytes, ==, 5096);
}

/* Exactly what was transferred reaches the guest, when the transfer ends. */
static void test_map_from_device(Fixture *f, gconstpointer data)
{
    g_autofree uint8_t *before = g_memdup2(f->guest, GUEST);

    dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
    for (unsigned i = 0; i < 40; i++) {
        g_assert_true(dma_map_add(f->map, 0x2000 * i, 0x1000));
        memset(f->map->iov[i].iov_base, 0x80 + (int)i, 0x1000);
    }
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_cmpmem(f->guest, GUEST, before, GUEST);
    dma_unmap(f->map, 39 * 0x1000 + 5);
    g_assert_cmpuint(f->copies, ==, 3); /* of 16, 16 and 8 pieces */
    for (unsigned i = 0; i < 40; i++) {
        memset(before + 0x2000 * i, 0x80 + (int)i, i < 39 ? 0x1000 : 5);
    }
    g_assert_cmpmem(f->guest, GUEST, before, GUEST);
}

static void test_abandoned_map_does_not_reach_the_guest(Fixture *f, gconstpointer data)
{
    dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(f->map, 0, 0x1000));
    dma_map_abandon(f->map);
    g_assert_cmpuint(f->dma.abandoned, ==, 0); /* nobody has to wait for it */
    dma_unmap(f->map, 0x1000);
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_cmpuint(f->dma.mapped, ==, 0);
    /* The map can be used anew. */
    g_assert_true(dma_map_add(f->map, 0, 0x1000));
    dma_unmap(f->map, 0x1000);
    g_assert_cmpuint(f->copies, ==, 1);
}

/* A full window refuses maps, and nothing else; all of it comes back. */
static void test_window_runs_out(Fixture *f, gconstpointer data)
{
    g_autofree DmaMap *second = g_new(DmaMap, 1);
    uint8_t buf[4];

    for (unsigned round = 0; round < 3; round++) {
        dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
        dma_map_init(second, &f->dma, DMA_FROM_DEVICE);
        g_assert_false(dma_map_add(f->map, 0, WINDOW));
        g_assert_false(dma_map_add(f->map, 0, WINDOW - STAGE + 1));
        g_assert_true(dma_map_add(f->map, 0, WINDOW - STAGE - 512));
        g_assert_false(dma_map_add(second, 0, 513));
        g_assert_true(dma_map_add(second, 0, 512));
        g_assert_false(dma_map_add(f->map, 0, 1));
        g_assert_cmpint(dma_read(&f->dma, 0, buf, 4), ==, MEM_OK);
        g_assert_cmpint(dma_write(&f->dma, 0, buf, 4), ==, MEM_OK);
        dma_unmap(f->map, 0);
        g_assert_true(dma_map_add(f->map, 0, WINDOW - STAGE - 512));
        dma_unmap(f->map, 0);
        dma_unmap(second, 0);
        g_assert_true(dma_map_add(f->map, 0, WINDOW - STAGE));
        dma_unmap(f->map, 0);
    }
}

static void test_map_runs_out_of_entries(Fixture *f, gconstpointer data)
{
    dma_map_init(f->map, &f->dma, DMA_TO_DEVICE);
    for (unsigned i = 0; i < DMA_MAP_MAX; i++) {
        g_assert_true(dma_map_add(f->map, i * 0x1000, 0x400));
    }
    g_assert_false(dma_map_add(f->map, 0, 1));
    dma_unmap(f->map, 0);
}

/* Lent room never overlaps, whatever the order of ends. */
static void test_lent_room_is_disjoint(Fixture *f, gconstpointer data)
{
    enum { MAPS = 24 };
    DmaMap *maps[MAPS];
    unsigned live = 0;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    for (unsigned i = 0; i < MAPS; i++) {
        maps[i] = g_new(DmaMap, 1);
        dma_map_init(maps[i], &f->dma, DMA_FROM_DEVICE);
    }
    for (unsigned step = 0; step < 4000; step++) {
        unsigned i = (unsigned)g_rand_int_range(rand, 0, MAPS);

        if (maps[i]->size) {
            const uint8_t *p = maps[i]->iov[0].iov_base;

            for (size_t k = 0; k < maps[i]->iov[0].iov_len; k += 97) {
                g_assert_cmpuint(p[k], ==, i);
            }
            dma_unmap(maps[i], 0);
            live--;
        } else if (dma_map_add(maps[i], 0, (uint64_t)g_rand_int_range(rand, 1, 100000))) {
            memset(maps[i]->iov[0].iov_base, (int)i, maps[i]->iov[0].iov_len);
            live++;
        }
        g_assert_cmpuint(f->dma.mapped, ==, live);
    }
    for (unsigned i = 0; i < MAPS; i++) {
        dma_unmap(maps[i], 0);
        g_free(maps[i]);
    }
}

static void test_failing_copies(Fixture *f, gconstpointer data)
{
    uint8_t buf[4] = { 0 };

    f->result = MEM_DECODE_ERROR; /* bus mastering was taken away, or RAM that this side still believed in */
    g_assert_cmpint(dma_read(&f->dma, 0, buf, 4), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(buf[0], ==, 0xff);
    g_assert_cmpint(dma_write(&f->dma, 0, buf, 4), ==, MEM_DECODE_ERROR);
    dma_map_init(f->map, &f->dma, DMA_TO_DEVICE);
    g_assert_true(dma_map_add(f->map, 0, 4));
    g_assert_false(dma_map_fill(f->map));
    dma_unmap(f->map, 0);
    dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(f->map, 0, 4));
    g_assert_true(dma_map_fill(f->map));
    f->dma.errors = 0;
    dma_unmap(f->map, 4);
    g_assert_cmpuint(f->dma.errors, ==, 1);
    f->result = MEM_OK;
    g_assert_true(dma_map_add(f->map, 0, WINDOW - STAGE)); /* failures have kept no room */
    dma_unmap(f->map, 0);
}

/* The link ends under a transfer: that goes on in the window, and reaches nobody. */
static void test_end_under_a_map(Fixture *f, gconstpointer data)
{
    uint8_t buf[4];

    dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(f->map, 0, 0x1000));
    dma_bounce_end(f->bounce);
    g_assert_cmpint(dma_read(&f->dma, 0, buf, 4), ==, MEM_ERROR);
    g_assert_false(dma_map_add(f->map, 0x1000, 0x1000));
    f->dma.bounce = NULL;
    dma_bounce_unref(f->bounce);
    f->bounce = NULL;
    g_assert_false(dma_map_add(f->map, 0x1000, 0x1000)); /* no mixture with what comes after */
    memset(f->map->iov[0].iov_base, 1, 0x1000);
    dma_unmap(f->map, 0x1000);
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_cmpuint(f->dma.mapped, ==, 0);
}

/* A new link's map does not go on with an old one's. */
static void test_no_map_over_two_links(Fixture *f, gconstpointer data)
{
    const uint64_t addr = 0, size = GUEST;
    DmaBounce *second = dma_bounce_new(f->window, copy, f);

    dma_bounce_set_ram(second, &addr, &size, 1);
    dma_map_init(f->map, &f->dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(f->map, 0, 0x1000));
    dma_bounce_end(f->bounce);
    f->dma.bounce = second;
    g_assert_false(dma_map_add(f->map, 0x1000, 0x1000));
    dma_unmap(f->map, 0x1000);
    g_assert_cmpuint(f->copies, ==, 0);
    g_assert_true(dma_map_add(f->map, 0x1000, 0x1000));
    dma_unmap(f->map, 0x1000);
    g_assert_cmpuint(f->copies, ==, 1);
    dma_bounce_unref(second);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
#define ADD(name, fn) g_test_add("/dma-bounce/" name, Fixture, NULL, setup, fn, teardown)
    ADD("read-and-write", test_read_and_write);
    ADD("single-bytes", test_single_bytes);
    ADD("no-ram-is-a-decode-error", test_no_ram);
    ADD("map/to-device", test_map_to_device);
    ADD("map/from-device", test_map_from_device);
    ADD("map/abandoned-does-not-reach-the-guest", test_abandoned_map_does_not_reach_the_guest);
    ADD("map/window-runs-out", test_window_runs_out);
    ADD("map/runs-out-of-entries", test_map_runs_out_of_entries);
    ADD("map/lent-room-is-disjoint", test_lent_room_is_disjoint);
    ADD("map/end-of-the-link", test_end_under_a_map);
    ADD("map/not-over-two-links", test_no_map_over_two_links);
    ADD("failing-copies", test_failing_copies);
    return g_test_run();
}
