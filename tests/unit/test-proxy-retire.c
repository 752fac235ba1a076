/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The removal of a proxy that is nobody else's: it waits until the remote works on guest RAM no more.
 */
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/proxy/proxy-int.h"
#include "proxy-rig.h"
#include "qapi/qapi.h"
#include "util/machine-lock.h"

static unsigned deleted; /* DEVICE_DELETED events */

static void on_event(const char *event, JsonNode *node, void *opaque)
{
    deleted += g_str_equal(event, "DEVICE_DELETED");
}

static void setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
    deleted = 0;
    qapi_set_event_sink(on_event, NULL);
}

static void teardown(Rig *rig, gconstpointer data)
{
    qapi_set_event_sink(NULL, NULL);
    rig_cleanup(rig);
}

static unsigned remote_resets(Rig *rig)
{
    unsigned resets;

    pthread_mutex_lock(&rig->remote.lock);
    resets = rig->remote.resets;
    pthread_mutex_unlock(&rig->remote.lock);
    return resets;
}

/* A device that works, whose transfers are under way for 50 ms behind each message. */
static void start(Rig *rig, unsigned timeout_ms)
{
    g_assert_true(rig_try_start(rig, timeout_ms, NULL));
    rig_settle(rig);
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.delay_us = 50000;
    pthread_mutex_unlock(&rig->remote.lock);
}

static void remove_it(void)
{
    g_autoptr(GError) err = NULL;

    device_del("p0", &err);
    g_assert_no_error(err);
}

/* Turns the main loop until the device is gone. */
static void wait_gone(Rig *rig)
{
    g_autoptr(GObject) keep = g_object_ref(G_OBJECT(rig->proxy));
    Device *dev = DEVICE(keep);

    while (dev->realized) {
        event_loop_turn(event_loop_main(), true);
    }
    rig->proxy = NULL;
    g_assert_cmpuint(deleted, ==, 1);
    rig_expect_no_device(rig);
}

static void test_it_waits_for_the_answer_to_a_reset(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    unsigned resets;

    start(rig, 5000);
    resets = remote_resets(rig);
    remove_it();
    g_assert_true(DEVICE(rig->proxy)->realized);
    g_assert_cmpuint(deleted, ==, 0);
    g_assert_false(device_del("p0", &err)); /* once is enough */
    rig_expect_text(err->message, "already in the process of unplug");
    wait_gone(rig);
    g_assert_cmpuint(remote_resets(rig), ==, resets + 1);
}

/* What the guest says to it could begin a transfer behind the reset. */
static void test_guest_reaches_it_no_more(Rig *rig, gconstpointer data)
{
    PciProxyStats before, after;

    fake_bar(&rig->remote, 0, PAGE, PCI_BASE_ADDRESS_SPACE_MEMORY);
    start(rig, 5000);
    rig_map_bar(rig);
    remove_it();
    pci_proxy_stats(rig->proxy, &before);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, UINT32_MAX);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, UINT32_MAX);
    vcpu_write(RIG_BAR_ADDR, 1, 4);
    pci_proxy_stats(rig->proxy, &after);
    g_assert_cmpuint(after.dropped_reads, ==, before.dropped_reads + 2);
    g_assert_cmpuint(after.dropped_writes, ==, before.dropped_writes + 2);
    wait_gone(rig);
}

/* The remote raises its line, until the guest sees it: the reset at the device's start may swallow some. */
static int interrupt(Rig *rig)
{
    uint64_t one = 1;
    int irq_fd;

    pthread_mutex_lock(&rig->remote.lock);
    irq_fd = rig->remote.irq_fd;
    pthread_mutex_unlock(&rig->remote.lock);
    while (rig->line[RIG_LINE] == 0) {
        g_assert_cmpint(write(irq_fd, &one, sizeof(one)), ==, sizeof(one));
        event_loop_turn(event_loop_main(), true);
    }
    return irq_fd;
}

/* A driver must not look for the reason of its interrupt in a device that reads all ones. */
static void test_guest_ends_its_interrupt_first(Rig *rig, gconstpointer data)
{
    uint64_t one = 1;
    unsigned resets;
    int irq_fd;

    start(rig, 5000);
    irq_fd = interrupt(rig);
    resets = remote_resets(rig);
    remove_it();
    g_assert_cmpint(rig->line[RIG_LINE], ==, 1);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), !=, UINT32_MAX);
    g_assert_cmpuint(remote_resets(rig), ==, resets);
    gsi_eoi(RIG_LINE);
    g_assert_cmpint(rig->line[RIG_LINE], ==, 0);
    /* A transfer that ends now interrupts no more. */
    g_assert_cmpint(write(irq_fd, &one, sizeof(one)), ==, sizeof(one));
    rig->line_changes = 0;
    wait_gone(rig);
    g_assert_cmpuint(rig->line_changes, ==, 0);
    g_assert_cmpuint(remote_resets(rig), ==, resets + 1);
}

static void test_interrupt_without_end_holds_it_up_for_a_limited_time(Rig *rig, gconstpointer data)
{
    start(rig, 5000);
    interrupt(rig);
    remove_it();
    wait_gone(rig);
    g_assert_cmpint(rig->line[RIG_LINE], ==, 0);
}

static void test_death_ends_the_wait_for_the_interrupt(Rig *rig, gconstpointer data)
{
    start(rig, 60000);
    interrupt(rig);
    remove_it();
    pci_proxy_kill(rig->proxy, "for the test");
    wait_gone(rig);
}

static void test_silent_remote_holds_it_up_for_its_timeout(Rig *rig, gconstpointer data)
{
    start(rig, 200);
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_DEVICE_RESET);
    remove_it();
    g_assert_true(DEVICE(rig->proxy)->realized);
    wait_gone(rig);
}

static void test_remote_that_dies_meanwhile_holds_it_up_no_more(Rig *rig, gconstpointer data)
{
    start(rig, 60000);
    rig_set_manner(rig, FAKE_HANG_UP, 1u << MPQEMU_CMD_DEVICE_RESET);
    remove_it();
    wait_gone(rig);
}

static void let_go_when_dead(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason, void *opaque)
{
    if (to == PCI_PROXY_DEAD) {
        pthread_mutex_unlock(&proxy->link_lock);
    }
}

/* As a peer can hold the worker (irq.c): the link's time limit does not count. */
static void test_held_link_holds_it_up_for_a_limited_time(Rig *rig, gconstpointer data)
{
    start(rig, 100);
    pci_proxy_set_notify(rig->proxy, let_go_when_dead, NULL);
    machine_unlock();
    pthread_mutex_lock(&rig->proxy->link_lock);
    machine_lock();
    remove_it();
    wait_gone(rig);
}

static void test_dead_device_goes_soon(Rig *rig, gconstpointer data)
{
    start(rig, 60000);
    pci_proxy_kill(rig->proxy, "for the test");
    remove_it();
    wait_gone(rig);
}

static void test_reset_of_the_machine_completes_it(Rig *rig, gconstpointer data)
{
    start(rig, 60000);
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_DEVICE_RESET);
    device_unplug_at_reset(DEVICE(rig->proxy)); /* nobody has asked for it */
    g_assert_true(DEVICE(rig->proxy)->realized);
    remove_it();
    device_unplug_at_reset(DEVICE(rig->proxy));
    rig->proxy = NULL;
    g_assert_cmpuint(deleted, ==, 1);
    rig_expect_no_device(rig);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_cmpuint(deleted, ==, 1);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, function) g_test_add("/proxy/retire/" name, Rig, NULL, setup, function, teardown)
    ADD("waits-for-rest", test_it_waits_for_the_answer_to_a_reset);
    ADD("no-access", test_guest_reaches_it_no_more);
    ADD("interrupt-is-ended-first", test_guest_ends_its_interrupt_first);
    ADD("interrupt-without-end", test_interrupt_without_end_holds_it_up_for_a_limited_time);
    ADD("dead-with-interrupt", test_death_ends_the_wait_for_the_interrupt);
    ADD("silent-remote", test_silent_remote_holds_it_up_for_its_timeout);
    ADD("dying-remote", test_remote_that_dies_meanwhile_holds_it_up_no_more);
    ADD("held-link", test_held_link_holds_it_up_for_a_limited_time);
    ADD("dead", test_dead_device_goes_soon);
    ADD("machine-reset", test_reset_of_the_machine_completes_it);
#undef ADD
    return g_test_run();
}
