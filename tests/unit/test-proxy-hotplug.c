/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev's hot-plug: the remote is asked without holding up the main loop.
 */
#include <string.h>
#include <unistd.h>

#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

static void setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
    fake_bar(&rig->remote, 0, 4096, 0);
}

static bool is_added(Rig *rig)
{
    return rig->added;
}

static void expect_device(Rig *rig)
{
    rig_wait(rig, is_added);
    g_assert_no_error(rig->add_error);
    g_assert_nonnull(rig->proxy);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    rig_map_bar(rig);
    vcpu_write(RIG_BAR_ADDR, 0x1234, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0x1234);
}

static void expect_refusal(Rig *rig, const char *text)
{
    rig_wait(rig, is_added);
    g_assert_null(rig->proxy);
    rig_expect_text(rig->add_error->message, text);
    rig_expect_no_device(rig);
}

static void test_device_comes(Rig *rig, gconstpointer data)
{
    rig_hotplug(rig, 5000);
    g_assert_false(rig->added);
    expect_device(rig);
    g_assert_true(pci_bus_device(rig->bus, 8) == PCI_DEVICE(rig->proxy));
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
}

/* The worker does all asking: the loop's turns are short ones. */
static void test_loop_does_not_wait(Rig *rig, gconstpointer data)
{
    unsigned turns = 0;

    rig->remote.delay_us = 2000;
    rig_hotplug(rig, 30000);
    while (!rig->added) {
        event_loop_turn(event_loop_main(), false);
        turns++;
        machine_unlock();
        g_usleep(500);
        machine_lock();
    }
    g_assert_cmpuint(turns, >, 40);
    expect_device(rig);
}

static bool some_messages(Rig *rig)
{
    return rig->remote.messages >= 10;
}

static void test_changes_meanwhile(Rig *rig, gconstpointer data)
{
    MemoryRegion alias;

    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    rig->remote.delay_us = 2000;
    rig_hotplug(rig, 30000);
    rig_wait(rig, some_messages);
    g_assert_false(rig->added);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &alias, 0);
    expect_device(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 2);
    memory_region_destroy(&alias);
}

static void test_lie(Rig *rig, gconstpointer data)
{
    pci_set_word(rig->remote.config + PCI_VENDOR_ID, 0xffff);
    rig_hotplug(rig, 5000);
    expect_refusal(rig, "no device behind the link");
}

static void test_silence(Rig *rig, gconstpointer data)
{
    rig_set_manner(rig, FAKE_SILENT, ~0u);
    rig_hotplug(rig, 100);
    expect_refusal(rig, "does not answer");
}

/* The process of the device ends: no time limit is waited for. */
static void test_end_of_the_remote(Rig *rig, gconstpointer data)
{
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_PCI_CFGREAD);
    rig_hotplug(rig, 3600000);
    rig_stop_remote(rig);
    expect_refusal(rig, "the remote");
}

static void test_no_socket(Rig *rig, gconstpointer data)
{
    int pair[2];

    g_assert_cmpint(pipe(pair), ==, 0);
    fd_close(&rig->proxy_fd);
    rig->proxy_fd = pair[0];
    rig_hotplug(rig, 5000);
    g_assert_false(rig->added); /* from the event loop, not inside the call */
    expect_refusal(rig, "socket");
    close(pair[1]);
}

static const FakeManner manners[] = {
    FAKE_HANG_UP, FAKE_HALF_HEADER, FAKE_HALF_PAYLOAD, FAKE_GARBAGE, FAKE_FLOOD,
};

static void test_failure_at_each_message(void)
{
    static Rig rig;
    unsigned total;

    setup(&rig, NULL);
    rig_hotplug(&rig, 5000);
    rig_wait(&rig, is_added);
    rig_settle(&rig);
    total = rig.remote.messages - 2; /* the reset and our own read of rig_settle() */
    rig_teardown(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(manners); i++) {
        for (unsigned n = 0; n < total; n += i == 0 ? 1 : 3) {
            setup(&rig, NULL);
            rig.remote.manner = manners[i];
            rig.remote.manner_commands = ~0u;
            rig.remote.manner_from = n;
            rig_hotplug(&rig, 5000);
            expect_refusal(&rig, "");
            rig_renew_remote(&rig);
            rig_wait(&rig, rig_has_base_threads);
            rig_teardown(&rig, NULL);
        }
    }
}

/* A device that is given up while it asks: by the last reference to it. */
static void test_given_up(Rig *rig, gconstpointer data)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    g_autofree char *fd_text = g_strdup_printf("%d", rig->proxy_fd);
    Device *dev = device_new(TYPE_PCI_PROXY_DEV);
    g_autoptr(Options) opts = options_new("test");

    options_set(opts, "fd", fd_text);
    options_set(opts, "timeout", "3600000");
    fd_steal(&rig->proxy_fd);
    g_assert_true(qom_set_options(dev, opts, NULL, NULL));
    /* Nobody answers: the remote is not started.  The handle is not looked at before the end of the preparation. */
    DEVICE_GET_CLASS(dev)->prepare(dev, BUS(rig->bus), (DevicePrepare *)rig);
    for (unsigned i = 0; i < 10; i++) {
        event_loop_turn(event_loop_main(), false);
    }
    g_object_unref(dev);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * SECOND_NS);
    rig_wait(rig, rig_has_base_threads);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    rig_note_base_threads();
#define ADD(name, fn) g_test_add("/proxy/hotplug/" name, Rig, NULL, setup, fn, rig_teardown)
    ADD("device-comes", test_device_comes);
    ADD("loop-does-not-wait", test_loop_does_not_wait);
    ADD("changes-meanwhile", test_changes_meanwhile);
    ADD("lie", test_lie);
    ADD("silence", test_silence);
    ADD("end-of-the-remote", test_end_of_the_remote);
    ADD("no-socket", test_no_socket);
    g_test_add_func("/proxy/hotplug/failure-at-each-message", test_failure_at_each_message);
    ADD("given-up", test_given_up);
    return g_test_run();
}
