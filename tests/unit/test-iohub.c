/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: the interrupt hub.
 *
 * Runs in: tests
 */
#include <fcntl.h>
#include <glib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/remote/iohub.h"
#include "remote-rig.h"
#include "util/event-loop.h"
#include "util/fd.h"

typedef struct HubFixture {
    IoHub hub;
    int irq;      /* our own copies of the pair */
    int resample;
} HubFixture;

static void hub_give_pair(HubFixture *f)
{
    f->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    g_assert_cmpint(iohub_set_fds_take_fd(&f->hub, fd_dup(f->irq), fd_dup(f->resample)), ==, 0);
}

static void hub_setup(HubFixture *f, gconstpointer data)
{
    iohub_init(&f->hub);
    hub_give_pair(f);
}

static void hub_teardown(HubFixture *f, gconstpointer data)
{
    iohub_reset(&f->hub);
    close(f->irq);
    close(f->resample);
}

static void test_hub_edge(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    iohub_set_level(&f->hub, 0, false);
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

/* One eventfd as both of the pair: each signal would ask for the next one, for ever. */
static void test_hub_one_eventfd(HubFixture *f, gconstpointer data)
{
    auto_fd both = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    g_assert_cmpint(iohub_set_fds_take_fd(&f->hub, fd_dup(both), fd_dup(both)), ==, 0);
    iohub_set_level(&f->hub, 0, true);
    turn();
    g_assert_null(f->hub.irq);
    g_assert_cmpuint(f->hub.raised, <, 100);
    g_assert_false(event_loop_turn(event_loop_main(), false));
    /* An honest pair works again. */
    close(f->irq);
    close(f->resample);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

static void test_hub_level_is_no_count(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    iohub_set_level(&f->hub, 0, true);
    iohub_set_level(&f->hub, 0, false);
    take_events(f->irq);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
}

static void test_hub_sources(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 3, true);
    iohub_set_level(&f->hub, IOHUB_SOURCES - 1, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, 3, false);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, IOHUB_SOURCES - 1, false);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
}

static void test_hub_resample(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    take_events(f->irq);
    for (int i = 0; i < 3; i++) {
        add_events(f->resample, 1);
        turn();
        g_assert_cmpuint(take_events(f->irq), ==, 1);
    }
    g_assert_cmpuint(f->hub.resampled, ==, 3);
}

static void test_hub_replace(HubFixture *f, gconstpointer data)
{
    unsigned fds = count_fds();
    int old_irq = f->irq, old_resample = f->resample;

    iohub_set_level(&f->hub, 0, true);
    take_events(old_irq);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    g_assert_cmpuint(take_events(old_irq), ==, 0);
    add_events(old_resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    close(old_irq);
    close(old_resample);
    g_assert_cmpuint(count_fds(), ==, fds);
}

static void test_hub_late_pair(HubFixture *f, gconstpointer data)
{
    iohub_reset(&f->hub);
    iohub_set_level(&f->hub, 0, true);
    close(f->irq);
    close(f->resample);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

/* A peer may make its eventfds blocking, fill one and empty the other: none may make us wait. */
static void test_hub_blocking(HubFixture *f, gconstpointer data)
{
    fd_set_nonblock(f->irq, false);
    fd_set_nonblock(f->resample, false);
    add_events(f->irq, UINT64_MAX - 1);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(f->hub.dropped, ==, 0);
    g_assert_cmpuint(take_events(f->irq), ==, UINT64_MAX); /* the kernel's own signal stops at the maximum */
    g_assert_cmpint(fcntl(f->irq, F_GETFL) & O_NONBLOCK, ==, 0);
    add_events(f->resample, 5);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    g_assert_cmpuint(f->hub.resampled, ==, 1);
}

static void add_tests(void)
{
#define HUB(name, fn) g_test_add("/iohub/" name, HubFixture, NULL, hub_setup, fn, hub_teardown)
    HUB("raises-once-per-rising-edge", test_hub_edge);
    HUB("level-is-not-a-count", test_hub_level_is_no_count);
    HUB("line-is-the-or-of-its-sources", test_hub_sources);
    HUB("resample-raises-again-while-high", test_hub_resample);
    HUB("second-pair-replaces-and-raises", test_hub_replace);
    HUB("level-waits-for-the-first-pair", test_hub_late_pair);
    HUB("hostile-eventfds-never-block", test_hub_blocking);
    HUB("one-eventfd-as-a-pair-does-not-spin", test_hub_one_eventfd);
}

int main(int argc, char **argv)
{
    return remote_rig_main(argc, argv, add_tests);
}
