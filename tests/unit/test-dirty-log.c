/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of dirty logs: which bits the memory dispatch and DMA set, what an accelerator is asked, several logs, several
 * threads.  Real accelerators are in test-accel-hooks.c.
 */
#include <string.h>
#include "system/dirty-log.h"
#include "system/dma.h"
#include "util/error.h"
#include "util/machine-lock.h"

#define PAGES 130u /* more than two words of bits */
#define RAM_SIZE (PAGES * DIRTY_PAGE)
#define RAM_BASE 0x100000u
#define ROM_BASE 0x800000u

typedef struct Rig {
    MemoryRegion root, ram, rom;
    RamBlock *block;
    AddressSpace *as;
    DirtyLog *log;
} Rig;

/* RAM at RAM_BASE; its page 100 as ROM at ROM_BASE. */
static void rig_init(Rig *rig)
{
    memory_region_init(&rig->root, NULL, "root", MEMORY_SIZE_WHOLE);
    rig->as = address_space_new(&rig->root, "test");
    rig->block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    memory_region_init_ram(&rig->ram, NULL, "ram", rig->block, 0, RAM_SIZE);
    memory_region_init_rom(&rig->rom, NULL, "rom", rig->block, 100 * DIRTY_PAGE, DIRTY_PAGE);
    memory_region_add(&rig->root, RAM_BASE, &rig->ram, 0);
    memory_region_add(&rig->root, ROM_BASE, &rig->rom, 0);
    rig->log = dirty_log_start(rig->block);
    g_assert_cmpuint(dirty_log_pages(rig->log), ==, PAGES);
}

static void rig_destroy(Rig *rig)
{
    dirty_log_stop(rig->log);
    memory_region_destroy(&rig->ram);
    memory_region_destroy(&rig->rom);
    address_space_free(rig->as);
    memory_region_destroy(&rig->root);
    g_assert_cmpint(rig->block->refs, ==, 1);
    ram_block_unref(rig->block);
}

/* The pages of LOG since the last call are those of TEXT, numbers with a blank between them. */
static void told(DirtyLog *log, const char *text)
{
    uint64_t bitmap[(PAGES + 63) / 64];
    g_autoptr(GString) pages = g_string_new(NULL);
    uint64_t count;

    memset(bitmap, 0xff, sizeof(bitmap));
    count = dirty_log_take(log, bitmap);
    for (unsigned i = 0; i < G_N_ELEMENTS(bitmap) * 64; i++) {
        if (bitmap[i / 64] >> (i % 64) & 1) {
            g_string_append_printf(pages, "%s%u", pages->len ? " " : "", i);
            count--;
        }
    }
    g_assert_cmpstr(pages->str, ==, text);
    g_assert_cmpuint(count, ==, 0);
}

static void test_exactly_the_written_pages(void)
{
    Rig rig;
    uint64_t value;
    uint8_t byte = 1;

    rig_init(&rig);
    told(rig.log, "");
    address_space_write(rig.as, RAM_BASE + 3 * DIRTY_PAGE + 4095, 1, 1);
    address_space_write(rig.as, RAM_BASE + 63 * DIRTY_PAGE, 1, 8);
    address_space_write(rig.as, RAM_BASE + 64 * DIRTY_PAGE + 8, 1, 4);
    address_space_copy_to(rig.as, RAM_BASE + 129 * DIRTY_PAGE + 4095, &byte, 1, true);
    address_space_read(rig.as, RAM_BASE + 5 * DIRTY_PAGE, &value, 8);
    address_space_copy_from(rig.as, RAM_BASE + 6 * DIRTY_PAGE, &byte, 1, true);
    told(rig.log, "3 63 64 129");
    told(rig.log, "");
    memory_region_write(&rig.ram, 7 * DIRTY_PAGE, 1, 4);
    told(rig.log, "7");
    rig_destroy(&rig);
}

static void test_writes_across_pages(void)
{
    Rig rig;
    g_autofree uint8_t *data = g_malloc0(3 * DIRTY_PAGE);

    rig_init(&rig);
    address_space_write(rig.as, RAM_BASE + 9 * DIRTY_PAGE - 1, 0x1122, 2);
    told(rig.log, "8 9");
    address_space_copy_to(rig.as, RAM_BASE + 20 * DIRTY_PAGE + 1, data, 2 * DIRTY_PAGE, true);
    told(rig.log, "20 21 22");
    address_space_copy_to(rig.as, RAM_BASE + 20 * DIRTY_PAGE, data, 2 * DIRTY_PAGE, true);
    told(rig.log, "20 21");
    address_space_write(rig.as, RAM_BASE - 4, 0, 8); /* begins in nothing */
    told(rig.log, "0");
    rig_destroy(&rig);
}

static void test_rom_is_not_written(void)
{
    Rig rig;
    uint8_t byte = 1;

    rig_init(&rig);
    address_space_write(rig.as, ROM_BASE, 1, 4);
    address_space_copy_to(rig.as, ROM_BASE, &byte, 1, true);
    memory_region_write(&rig.rom, 0, 1, 4);
    told(rig.log, "");
    rig_destroy(&rig);
}

/* A region that begins inside of the block marks by the block's pages, not its own. */
static void test_pages_are_the_blocks(void)
{
    Rig rig;
    MemoryRegion window;

    rig_init(&rig);
    memory_region_init_ram(&window, NULL, "window", rig.block, 50 * DIRTY_PAGE + 0x800, DIRTY_PAGE);
    memory_region_add(&rig.root, 0x2000, &window, 0);
    address_space_write(rig.as, 0x2000, 1, 4);
    told(rig.log, "50");
    address_space_write(rig.as, 0x2800, 1, 4);
    told(rig.log, "51");
    memory_region_destroy(&window);
    rig_destroy(&rig);
}

static void test_dma(void)
{
    Rig rig;
    DmaContext dma;
    g_autofree DmaMap *map = g_new0(DmaMap, 1);
    uint32_t value;

    rig_init(&rig);
    dma_context_init(&dma, rig.as);
    dma_write_le32(&dma, RAM_BASE, 1); /* no bus master */
    told(rig.log, "");
    dma.enabled = true;
    dma_write_le32(&dma, RAM_BASE + 2 * DIRTY_PAGE - 2, 1);
    told(rig.log, "1 2");
    dma_read_le32(&dma, RAM_BASE, &value);
    told(rig.log, "");

    /* Into mapped memory: when it is done. */
    dma_map_init(map, &dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, RAM_BASE + 10 * DIRTY_PAGE + 512, DIRTY_PAGE));
    g_assert_true(dma_map_add(map, RAM_BASE + 40 * DIRTY_PAGE, 512));
    told(rig.log, "");
    memset(map->iov[0].iov_base, 1, map->iov[0].iov_len);
    dma_unmap(map, DIRTY_PAGE + 512);
    told(rig.log, "10 11 40");
    dma_map_init(map, &dma, DMA_TO_DEVICE);
    g_assert_true(dma_map_add(map, RAM_BASE + 10 * DIRTY_PAGE, DIRTY_PAGE));
    dma_unmap(map, DIRTY_PAGE);
    told(rig.log, "");
    /* One that was given up, or failed, may have written anything of it. */
    dma_map_init(map, &dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, RAM_BASE + 70 * DIRTY_PAGE, 2 * DIRTY_PAGE));
    dma_map_abandon(map);
    dma_unmap(map, 0);
    told(rig.log, "70 71");
    rig_destroy(&rig);
}

static void test_several_logs_do_not_see_each_other(void)
{
    Rig rig;
    DirtyLog *second;

    rig_init(&rig);
    address_space_write(rig.as, RAM_BASE, 1, 1);
    second = dirty_log_start(rig.block);
    address_space_write(rig.as, RAM_BASE + DIRTY_PAGE, 1, 1);
    told(second, "1"); /* nothing from before it began */
    address_space_write(rig.as, RAM_BASE + 2 * DIRTY_PAGE, 1, 1);
    told(rig.log, "0 1 2");
    told(second, "2");
    dirty_log_stop(rig.log);
    rig.log = NULL;
    g_assert_true(ram_block_is_logged(rig.block));
    address_space_write(rig.as, RAM_BASE + 3 * DIRTY_PAGE, 1, 1);
    told(second, "3");
    address_space_write(rig.as, RAM_BASE + 4 * DIRTY_PAGE, 1, 1);
    dirty_log_stop(second);
    g_assert_false(ram_block_is_logged(rig.block));
    rig.log = dirty_log_start(rig.block);
    told(rig.log, ""); /* what was left is not the next one's */
    g_assert_cmpuint(dirty_log_take(rig.log, NULL), ==, 0);
    rig_destroy(&rig);
}

/* The last page of a block that is no multiple of a page. */
static void test_last_page_is_a_part(void)
{
    RamBlock *block = ram_block_new_memfd("odd", 2 * DIRTY_PAGE + 100, false, NULL);
    DirtyLog *log = dirty_log_start(block);
    uint64_t bits;

    g_assert_cmpuint(dirty_log_pages(log), ==, 3);
    ram_block_dirty(block, 2 * DIRTY_PAGE + 99, 1);
    ram_block_dirty(block, 0, 0);
    g_assert_cmpuint(dirty_log_take(log, &bits), ==, 1);
    g_assert_cmphex(bits, ==, 4);
    dirty_log_stop(log);
    dirty_log_stop(NULL);
    ram_block_unref(block);
}

/* ---- an accelerator -------------------------------------------------------------------------------------------- */

/* One that has written to `page` and tells when it is asked. */
typedef struct FakeAccel {
    MemoryListener listener;
    GString *calls;
    uint64_t page; /* UINT64_MAX: none */
} FakeAccel;

static void fake_changed(MemoryListener *listener, RamBlock *block)
{
    g_string_append(((FakeAccel *)listener)->calls, ram_block_is_logged(block) ? "on " : "off ");
}

static void fake_collect(MemoryListener *listener, RamBlock *block)
{
    FakeAccel *fake = (FakeAccel *)listener;

    g_string_append(fake->calls, "collect ");
    if (fake->page != UINT64_MAX) {
        ram_block_dirty(block, fake->page * DIRTY_PAGE, DIRTY_PAGE);
        fake->page = UINT64_MAX;
    }
}

static void fake_cleared(MemoryListener *listener, RamBlock *block)
{
    g_string_append(((FakeAccel *)listener)->calls, "cleared ");
}

static void test_accelerator_is_asked_in_order(void)
{
    Rig rig;
    FakeAccel fake = {
        .listener = { .log_changed = fake_changed, .log_collect = fake_collect, .log_cleared = fake_cleared },
        .calls = g_string_new(NULL),
        .page = UINT64_MAX,
    };
    DirtyLog *second;

    rig_init(&rig);
    dirty_log_stop(rig.log);
    memory_listener_register(&fake.listener, rig.as);
    rig.log = dirty_log_start(rig.block);
    fake.page = 77;
    told(rig.log, "77");
    fake.page = 78;
    second = dirty_log_start(rig.block); /* what is known belongs to the first one */
    told(second, "");
    dirty_log_stop(rig.log);
    rig.log = NULL;
    dirty_log_stop(second);
    g_assert_cmpstr(fake.calls->str, ==, "on collect cleared collect cleared collect cleared off ");
    memory_listener_unregister(&fake.listener);
    g_string_free(fake.calls, TRUE);
    rig_destroy(&rig);
}

/* ---- several threads ------------------------------------------------------------------------------------------- */

#define WRITERS 4u
#define ROUNDS 20000u

typedef struct Writer {
    Rig *rig;
    unsigned first; /* its pages are every WRITERS-th from here: words of bits are shared */
} Writer;

static gpointer write_pages(gpointer data)
{
    const Writer *writer = data;
    unsigned random = writer->first;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t page;

        random = random * 1103515245u + 12345u;
        page = writer->first + (random >> 16) % (PAGES / WRITERS) * WRITERS;
        address_space_write(writer->rig->as, RAM_BASE + page * DIRTY_PAGE, i, 4);
    }
    return NULL;
}

/*
 * A copy that is kept up to date by what the log tells is the memory in the end.  What is copied while it is written
 * may be torn, and then the page is told again: for ThreadSanitizer, that is a race, so with it only the last round
 * reads.
 */
static void test_copy_follows_several_threads(void)
{
#ifdef __SANITIZE_THREAD__
    const bool read_meanwhile = false;
#else
    const bool read_meanwhile = true;
#endif
    Rig rig;
    GThread *threads[WRITERS];
    Writer writers[WRITERS];
    g_autofree uint8_t *copy = g_malloc0(RAM_SIZE);
    g_autofree uint8_t *memory = g_malloc0(RAM_SIZE);
    uint64_t sum[(PAGES + 63) / 64] = { 0 };

    machine_lock();
    rig_init(&rig);
    machine_unlock();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (Writer) { .rig = &rig, .first = i };
        threads[i] = g_thread_new("writer", write_pages, &writers[i]);
    }
    for (unsigned round = 0; round <= 200; round++) {
        uint64_t bits[(PAGES + 63) / 64];
        bool last = round == 200;

        for (unsigned i = 0; last && i < WRITERS; i++) {
            g_thread_join(threads[i]);
        }
        machine_lock();
        dirty_log_take(rig.log, bits);
        machine_unlock();
        for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
            sum[i] |= bits[i];
        }
        for (unsigned i = 0; i < PAGES; i++) {
            const uint64_t *told_by = read_meanwhile ? bits : sum;

            if ((read_meanwhile || last) && (told_by[i / 64] >> (i % 64) & 1)) {
                address_space_copy_from(rig.as, RAM_BASE + (uint64_t)i * DIRTY_PAGE, copy + (size_t)i * DIRTY_PAGE,
                                        DIRTY_PAGE, true);
            }
        }
        g_thread_yield();
    }
    address_space_copy_from(rig.as, RAM_BASE, memory, RAM_SIZE, true);
    g_assert_cmpmem(copy, RAM_SIZE, memory, RAM_SIZE);
    machine_lock();
    rig_destroy(&rig);
    machine_unlock();
}

/* Logs begin and end while others write: for sanitizers. */
static void test_logs_come_and_go_under_writers(void)
{
    Rig rig;
    GThread *threads[WRITERS];
    Writer writers[WRITERS];

    machine_lock();
    rig_init(&rig);
    machine_unlock();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (Writer) { .rig = &rig, .first = i };
        threads[i] = g_thread_new("writer", write_pages, &writers[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        machine_lock();
        dirty_log_stop(rig.log);
        rig.log = dirty_log_start(rig.block);
        machine_unlock();
        g_thread_yield();
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        g_thread_join(threads[i]);
    }
    machine_lock();
    dirty_log_take(rig.log, NULL);
    address_space_write(rig.as, RAM_BASE + DIRTY_PAGE, 1, 1);
    told(rig.log, "1");
    rig_destroy(&rig);
    machine_unlock();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-log/exactly-the-written-pages", test_exactly_the_written_pages);
    g_test_add_func("/dirty-log/writes-across-pages", test_writes_across_pages);
    g_test_add_func("/dirty-log/rom-is-not-written", test_rom_is_not_written);
    g_test_add_func("/dirty-log/pages-are-the-blocks", test_pages_are_the_blocks);
    g_test_add_func("/dirty-log/dma", test_dma);
    g_test_add_func("/dirty-log/several-logs-do-not-see-each-other", test_several_logs_do_not_see_each_other);
    g_test_add_func("/dirty-log/last-page-is-a-part", test_last_page_is_a_part);
    g_test_add_func("/dirty-log/accelerator-is-asked-in-order", test_accelerator_is_asked_in_order);
    g_test_add_func("/dirty-log/copy-follows-several-threads", test_copy_follows_several_threads);
    g_test_add_func("/dirty-log/logs-come-and-go-under-writers", test_logs_come_and_go_under_writers);
    return g_test_run();
}
