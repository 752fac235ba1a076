/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of eventfds of I/O regions: which writes match, where they are in a flat view, what listeners hear.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "system/memory.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/machine-lock.h"

static unsigned writes; /* that reached a device; atomic */

static MemResult device_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0;
    return MEM_OK;
}

static MemResult device_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    __atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
    return MEM_OK;
}

static const MemoryRegionOps ops = { device_read, device_write };
static const MemoryRegionOps unlocked_ops = { device_read, device_write, .unlocked = true };

/* A listener that keeps what it hears as text. */
typedef struct Ear {
    MemoryListener listener;
    GString *text;
    unsigned changes;
} Ear;

static void ear_note(MemoryListener *listener, const char *what, const MemoryEventfd *eventfd)
{
    Ear *ear = (Ear *)listener;

    g_string_append_printf(ear->text, "%s%" G_GINT64_MODIFIER "x/%u", what, eventfd->addr, eventfd->size);
    if (eventfd->match_data) {
        g_string_append_printf(ear->text, "=%" G_GINT64_MODIFIER "x", eventfd->data);
    }
    g_string_append_c(ear->text, ' ');
}

static void ear_add(MemoryListener *listener, const MemoryEventfd *eventfd)
{
    ear_note(listener, "+", eventfd);
}

static void ear_del(MemoryListener *listener, const MemoryEventfd *eventfd)
{
    ear_note(listener, "-", eventfd);
}

static void ear_changed(MemoryListener *listener, const FlatView *old, const FlatView *new_view)
{
    ((Ear *)listener)->changes++;
}

/* What was heard since the last call. */
static void heard(Ear *ear, const char *expected)
{
    g_assert_cmpstr(g_strchomp(ear->text->str), ==, expected);
    g_string_truncate(ear->text, 0);
}

typedef struct Rig {
    MemoryRegion root;
    MemoryRegion device;
    AddressSpace *as;
    Ear ear;
    int fd;
} Rig;

/* The device's 0x100 bytes are at 0x1000. */
static void rig_init(Rig *rig)
{
    memory_region_init(&rig->root, NULL, "root", MEMORY_SIZE_WHOLE);
    rig->as = address_space_new(&rig->root, "test");
    memory_region_init_io(&rig->device, NULL, &ops, NULL, "device", 0x100);
    memory_region_add(&rig->root, 0x1000, &rig->device, 0);
    rig->ear = (Ear) {
        .listener = { .changed = ear_changed, .eventfd_add = ear_add, .eventfd_del = ear_del },
        .text = g_string_new(NULL),
    };
    memory_listener_register(&rig->ear.listener, rig->as);
    rig->ear.changes = 0;
    rig->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    writes = 0;
}

static void rig_destroy(Rig *rig)
{
    memory_region_destroy(&rig->device);
    memory_listener_unregister(&rig->ear.listener);
    address_space_free(rig->as);
    memory_region_destroy(&rig->root);
    g_string_free(rig->ear.text, TRUE);
    fd_close(&rig->fd);
}

static void add(Rig *rig, hwaddr addr, unsigned size, bool match, uint64_t data)
{
    const MemoryEventfd eventfd = { .addr = addr, .size = size, .match_data = match, .data = data, .fd = rig->fd };
    GError *error = NULL;

    memory_region_add_eventfd(&rig->device, &eventfd, &error);
    g_assert_no_error(error);
}

static void del(Rig *rig, hwaddr addr, unsigned size, bool match, uint64_t data)
{
    const MemoryEventfd eventfd = { .addr = addr, .size = size, .match_data = match, .data = data, .fd = rig->fd };

    memory_region_del_eventfd(&rig->device, &eventfd);
}

static void wr(Rig *rig, hwaddr addr, uint64_t value, unsigned size)
{
    g_assert_cmpint(address_space_write(rig->as, addr, value, size), ==, MEM_OK);
}

/* How often it was signalled, and how many writes reached the device, since the last call. */
static void took(Rig *rig, uint64_t signals, unsigned device_writes)
{
    uint64_t count = 0;

    if (read(rig->fd, &count, sizeof(count)) < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
    }
    g_assert_cmpuint(count, ==, signals);
    g_assert_cmpuint(writes, ==, device_writes);
    writes = 0;
}

static void test_write_signals_instead_of_the_device(void)
{
    Rig rig;
    uint64_t value;

    rig_init(&rig);
    add(&rig, 0x10, 4, false, 0);
    wr(&rig, 0x1010, 0, 4);
    wr(&rig, 0x1010, 0xffffffff, 4);
    took(&rig, 2, 0);
    g_assert_cmpint(address_space_read(rig.as, 0x1010, &value, 4), ==, MEM_OK);
    took(&rig, 0, 0);
    del(&rig, 0x10, 4, false, 0);
    wr(&rig, 0x1010, 0, 4);
    took(&rig, 0, 1);
    rig_destroy(&rig);
}

static void test_other_size_or_place_reaches_the_device(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0x10, 4, false, 0);
    wr(&rig, 0x1010, 0, 2);
    wr(&rig, 0x1010, 0, 1);
    wr(&rig, 0x1010, 0, 8);
    wr(&rig, 0x1014, 0, 4);
    wr(&rig, 0x100c, 0, 4);
    wr(&rig, 0x1012, 0, 2);
    took(&rig, 0, 6);
    add(&rig, 0x10, 2, false, 0); /* the same place by another size is another one */
    wr(&rig, 0x1010, 0, 2);
    wr(&rig, 0x1010, 0, 4);
    took(&rig, 2, 0);
    rig_destroy(&rig);
}

/* The end of an access that began in other memory is no access of its own. */
static void test_part_of_an_access_does_not_match(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0, 4, false, 0);
    g_assert_cmpint(address_space_write(rig.as, 0xffc, 0, 8), ==, MEM_DECODE_ERROR);
    took(&rig, 0, 1);
    wr(&rig, 0x1000, 0, 4);
    took(&rig, 1, 0);
    rig_destroy(&rig);
}

static void test_data_match(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0x20, 2, true, 0xabcd);
    add(&rig, 0x20, 2, true, 7);
    add(&rig, 0x28, 8, true, UINT64_MAX);
    wr(&rig, 0x1020, 7, 2);
    wr(&rig, 0x1020, 0xabcd, 2);
    wr(&rig, 0x1020, 0xffff0007, 2); /* what lies above the access is not looked at */
    wr(&rig, 0x1028, UINT64_MAX, 8);
    took(&rig, 4, 0);
    wr(&rig, 0x1020, 8, 2);
    wr(&rig, 0x1028, UINT64_MAX - 1, 8);
    took(&rig, 0, 2);
    del(&rig, 0x20, 2, true, 7);
    wr(&rig, 0x1020, 7, 2);
    wr(&rig, 0x1020, 0xabcd, 2);
    took(&rig, 1, 1);
    rig_destroy(&rig);
}

static void test_unmapped_and_disabled(void)
{
    Rig rig;

    rig_init(&rig);
    memory_region_set_enabled(&rig.device, false);
    add(&rig, 0x10, 4, false, 0);
    heard(&rig.ear, "");
    g_assert_cmpint(address_space_write(rig.as, 0x1010, 0, 4), ==, MEM_DECODE_ERROR);
    took(&rig, 0, 0);
    memory_region_set_enabled(&rig.device, true);
    heard(&rig.ear, "+1010/4");
    memory_region_remove(&rig.root, &rig.device);
    heard(&rig.ear, "-1010/4");
    g_assert_cmpint(address_space_write(rig.as, 0x1010, 0, 4), ==, MEM_DECODE_ERROR);
    took(&rig, 0, 0);
    memory_region_add(&rig.root, 0x1000, &rig.device, 0);
    heard(&rig.ear, "+1010/4");
    rig_destroy(&rig);
}

/* What a region of higher priority covers, in whole or in part, is not there. */
static void test_overlapped_by_priority(void)
{
    Rig rig;
    MemoryRegion cover;

    rig_init(&rig);
    memory_region_init_io(&cover, NULL, &ops, NULL, "cover", 0x12);
    add(&rig, 0x10, 4, false, 0);
    add(&rig, 0x20, 4, false, 0);
    heard(&rig.ear, "+1010/4 +1020/4");
    memory_region_add(&rig.root, 0x1000, &cover, 1);
    heard(&rig.ear, "-1010/4");
    wr(&rig, 0x1010, 0, 4);
    took(&rig, 0, 2); /* cut in two */
    wr(&rig, 0x1020, 0, 4);
    took(&rig, 1, 0);
    memory_region_destroy(&cover);
    heard(&rig.ear, "+1010/4");
    wr(&rig, 0x1010, 0, 4);
    took(&rig, 1, 0);
    rig_destroy(&rig);
}

static void test_region_moves(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0x10, 4, true, 5);
    heard(&rig.ear, "+1010/4=5");
    memory_region_set_address(&rig.device, 0x8000);
    heard(&rig.ear, "-1010/4=5 +8010/4=5");
    g_assert_cmpint(address_space_write(rig.as, 0x1010, 5, 4), ==, MEM_DECODE_ERROR);
    wr(&rig, 0x8010, 5, 4);
    took(&rig, 1, 0);
    memory_transaction_begin();
    memory_region_set_address(&rig.device, 0x9000);
    memory_region_set_address(&rig.device, 0x8000);
    memory_transaction_commit();
    heard(&rig.ear, "");
    rig_destroy(&rig);
}

static void test_removed_while_mapped(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0x10, 4, false, 0);
    heard(&rig.ear, "+1010/4");
    memory_region_destroy(&rig.device);
    heard(&rig.ear, "-1010/4");
    g_assert_cmpint(address_space_write(rig.as, 0x1010, 0, 4), ==, MEM_DECODE_ERROR);
    took(&rig, 0, 0);
    rig_destroy(&rig);
}

static void test_behind_aliases(void)
{
    Rig rig;
    MemoryRegion first, second;

    rig_init(&rig);
    memory_region_init_alias(&first, NULL, "first", &rig.device, 0, 0x100);
    memory_region_init_alias(&second, NULL, "second", &rig.device, 0x10, 2); /* half of it */
    memory_region_add(&rig.root, 0x2000, &first, 0);
    memory_region_add(&rig.root, 0x3000, &second, 0);
    add(&rig, 0x10, 4, false, 0);
    heard(&rig.ear, "+1010/4 +2010/4");
    wr(&rig, 0x2010, 0, 4);
    took(&rig, 1, 0);
    memory_region_destroy(&first);
    heard(&rig.ear, "-2010/4");
    memory_region_destroy(&second);
    rig_destroy(&rig);
}

/* Eventfds that come and go are no change of the map: an accelerator keeps what it has cached. */
static void test_no_change_of_the_ranges(void)
{
    Rig rig;

    rig_init(&rig);
    add(&rig, 0x10, 4, false, 0);
    del(&rig, 0x10, 4, false, 0);
    g_assert_cmpuint(rig.ear.changes, ==, 0);
    heard(&rig.ear, "+1010/4 -1010/4");
    memory_transaction_begin();
    add(&rig, 0x10, 4, false, 0);
    del(&rig, 0x10, 4, false, 0);
    memory_transaction_commit();
    heard(&rig.ear, "");
    rig_destroy(&rig);
}

static void test_listener_that_comes_later_and_goes(void)
{
    Rig rig;
    Ear late = { .listener = { .eventfd_add = ear_add, .eventfd_del = ear_del }, .text = g_string_new(NULL) };

    rig_init(&rig);
    add(&rig, 0x18, 8, false, 0);
    add(&rig, 0x10, 4, false, 0);
    memory_listener_register(&late.listener, rig.as);
    heard(&late, "+1010/4 +1018/8");
    memory_listener_unregister(&late.listener);
    heard(&late, "-1010/4 -1018/8");
    g_string_free(late.text, TRUE);
    rig_destroy(&rig);
}

static void refused(Rig *rig, MemoryRegion *mr, MemoryEventfd eventfd, const char *reason)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(memory_region_add_eventfd(mr, &eventfd, &error));
    if (!strstr(error->message, reason)) {
        g_error("%s: not \"%s\"", error->message, reason);
    }
    heard(&rig->ear, "");
}

static void test_refusals_and_limits(void)
{
    Rig rig;
    MemoryRegion wide;
    int pipe_fds[2];

    rig_init(&rig);
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    refused(&rig, &rig.root, (MemoryEventfd) { .size = 4, .fd = rig.fd }, "I/O region");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 4, .fd = pipe_fds[0] }, "pass an eventfd");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 4, .fd = -1 }, "not an open descriptor");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 3, .fd = rig.fd }, "3 bytes");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 0, .fd = rig.fd }, "0 bytes");
    refused(&rig, &rig.device, (MemoryEventfd) { .addr = 0xfe, .size = 4, .fd = rig.fd }, "0xfe");
    refused(&rig, &rig.device, (MemoryEventfd) { .addr = UINT64_MAX, .size = 8, .fd = rig.fd }, "0xffffffffffffffff");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 1, .match_data = true, .data = 0x100, .fd = rig.fd },
            "does not fit");
    refused(&rig, &rig.device, (MemoryEventfd) { .size = 4, .data = 1, .fd = rig.fd }, "none of its own");
    close(pipe_fds[0]);
    close(pipe_fds[1]);

    add(&rig, 0x10, 4, true, 1);
    add(&rig, 0x18, 4, false, 0);
    g_string_truncate(rig.ear.text, 0);
    refused(&rig, &rig.device, (MemoryEventfd) { .addr = 0x10, .size = 4, .match_data = true, .data = 1, .fd = rig.fd },
            "already");
    refused(&rig, &rig.device, (MemoryEventfd) { .addr = 0x10, .size = 4, .fd = rig.fd }, "already");
    refused(&rig, &rig.device, (MemoryEventfd) { .addr = 0x18, .size = 4, .match_data = true, .data = 1, .fd = rig.fd },
            "already");

    memory_region_init_io(&wide, NULL, &ops, NULL, "wide", 8 * MEMORY_EVENTFDS_MAX + 8);
    for (unsigned i = 0; i < MEMORY_EVENTFDS_MAX; i++) {
        const MemoryEventfd eventfd = { .addr = 8 * i, .size = 8, .fd = rig.fd };

        g_assert_true(memory_region_add_eventfd(&wide, &eventfd, NULL));
    }
    refused(&rig, &wide, (MemoryEventfd) { .addr = 8 * MEMORY_EVENTFDS_MAX, .size = 8, .fd = rig.fd }, "256");
    memory_region_add(&rig.root, 0x10000, &wide, 0);
    wr(&rig, 0x10000 + 8 * (MEMORY_EVENTFDS_MAX - 1), 0, 8);
    wr(&rig, 0x10000, 0, 8);
    took(&rig, 2, 0);
    memory_region_destroy(&wide);
    rig_destroy(&rig);
}

/* A counter that nobody reads is full at some time, which holds nobody up. */
static void test_full_counter_holds_nobody_up(void)
{
    Rig rig;
    const uint64_t full = UINT64_MAX - 1;

    rig_init(&rig);
    add(&rig, 0x10, 4, false, 0);
    g_assert_cmpint(write(rig.fd, &full, sizeof(full)), ==, sizeof(full));
    wr(&rig, 0x1010, 0, 4);
    took(&rig, full, 0);
    rig_destroy(&rig);
}

/* ---- several threads ------------------------------------------------------------------------------------------- */

#define WRITES 20000u

static gpointer writer(gpointer data)
{
    Rig *rig = data;

    for (unsigned i = 0; i < WRITES; i++) {
        address_space_write(rig->as, 0x1010, i, 4);
    }
    return NULL;
}

/* While it comes and goes each write is either the device's or the eventfd's; none is lost, none counts twice. */
static void test_writers_while_it_comes_and_goes(void)
{
    Rig rig;
    GThread *threads[3];
    uint64_t count = 0;

    machine_lock();
    rig_init(&rig);
    memory_region_destroy(&rig.device);
    memory_region_init_io(&rig.device, NULL, &unlocked_ops, NULL, "device", 0x100);
    memory_region_add(&rig.root, 0x1000, &rig.device, 0);
    machine_unlock();
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("writer", writer, &rig);
    }
    for (unsigned i = 0; i < 50; i++) {
        machine_lock();
        add(&rig, 0x10, 4, false, 0);
        machine_unlock();
        g_thread_yield();
        machine_lock();
        del(&rig, 0x10, 4, false, 0);
        machine_unlock();
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    if (read(rig.fd, &count, sizeof(count)) < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
    }
    g_assert_cmpuint(count + writes, ==, WRITES * G_N_ELEMENTS(threads));
    machine_lock();
    rig_destroy(&rig);
    machine_unlock();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory-eventfd/write-signals-instead-of-the-device", test_write_signals_instead_of_the_device);
    g_test_add_func("/memory-eventfd/other-size-or-place-reaches-the-device",
                    test_other_size_or_place_reaches_the_device);
    g_test_add_func("/memory-eventfd/part-of-an-access-does-not-match", test_part_of_an_access_does_not_match);
    g_test_add_func("/memory-eventfd/data-match", test_data_match);
    g_test_add_func("/memory-eventfd/unmapped-and-disabled", test_unmapped_and_disabled);
    g_test_add_func("/memory-eventfd/overlapped-by-priority", test_overlapped_by_priority);
    g_test_add_func("/memory-eventfd/region-moves", test_region_moves);
    g_test_add_func("/memory-eventfd/removed-while-mapped", test_removed_while_mapped);
    g_test_add_func("/memory-eventfd/behind-aliases", test_behind_aliases);
    g_test_add_func("/memory-eventfd/no-change-of-the-ranges", test_no_change_of_the_ranges);
    g_test_add_func("/memory-eventfd/listener-that-comes-later-and-goes", test_listener_that_comes_later_and_goes);
    g_test_add_func("/memory-eventfd/refusals-and-limits", test_refusals_and_limits);
    g_test_add_func("/memory-eventfd/full-counter-holds-nobody-up", test_full_counter_holds_nobody_up);
    g_test_add_func("/memory-eventfd/writers-while-it-comes-and-goes", test_writers_while_it_comes_and_goes);
    return g_test_run();
}
