/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev where the interrupt controllers take its eventfds themselves, as KVM's do.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/intc/gsi.h"
#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

/* The controllers: one pair of eventfds, of our own descriptors. */
static struct {
    unsigned gsi;
    int trigger, resample; /* duplicates; -1: nobody's */
    unsigned added;
    bool refuse;
} taken = { .trigger = -1, .resample = -1 };

static bool take(unsigned gsi, int trigger_fd, int resample_fd, GError **errp)
{
    if (taken.refuse) {
        error_setg(errp, "no room for an interrupt");
        return false;
    }
    g_assert_cmpint(taken.trigger, ==, -1);
    taken.gsi = gsi;
    taken.trigger = fcntl(trigger_fd, F_DUPFD_CLOEXEC, 0);
    taken.resample = fcntl(resample_fd, F_DUPFD_CLOEXEC, 0);
    g_assert_cmpint(taken.trigger, >=, 0);
    g_assert_cmpint(taken.resample, >=, 0);
    taken.added++;
    return true;
}

static void give_back(unsigned gsi, int trigger_fd, int resample_fd)
{
    g_assert_cmpuint(gsi, ==, taken.gsi);
    g_assert_cmpint(fcntl(trigger_fd, F_GETFD), >=, 0); /* still open: KVM finds the pair by its descriptors */
    g_assert_cmpint(fcntl(resample_fd, F_GETFD), >=, 0);
    g_assert_cmpint(taken.trigger, >=, 0);
    close(taken.trigger);
    close(taken.resample);
    taken.trigger = taken.resample = -1;
}

/* The input that carries the line now. */
static unsigned line_input = RIG_LINE;

static unsigned input_of(unsigned gsi)
{
    g_assert_cmpuint(gsi, ==, RIG_LINE);
    return line_input;
}

static const GsiIrqfdOps ops = { take, give_back, input_of };

static void setup(Rig *rig, gconstpointer data)
{
    gsi_set_irqfd_ops(&ops);
    taken.added = 0;
    rig_init(rig);
}

static void teardown(Rig *rig, gconstpointer data)
{
    rig_cleanup(rig);
    g_assert_cmpint(taken.trigger, ==, -1);
    gsi_set_irqfd_ops(NULL);
}

static uint64_t take_count(int fd)
{
    uint64_t count = 0;

    return eventfd_read(fd, &count) < 0 ? 0 : count;
}

static bool remote_is_asked(Rig *rig)
{
    return take_count(rig->remote.resample_fd) > 0;
}

/* A new device is reset, which ends with a look at the remote's level. */
static void start(Rig *rig)
{
    rig_start(rig);
    rig_settle(rig);
    rig_wait(rig, remote_is_asked);
}

static void test_controllers_get_the_eventfds_of_the_remote(Rig *rig, gconstpointer data)
{
    start(rig);
    g_assert_cmpuint(taken.gsi, ==, RIG_LINE);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 3), ==, 0);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_cmpuint(take_count(taken.trigger), ==, 3); /* nobody else has read it */
    g_assert_cmpuint(rig->line_changes, ==, 0);
    take_count(rig->remote.resample_fd);
    g_assert_cmpint(eventfd_write(taken.resample, 1), ==, 0);
    g_assert_cmpuint(take_count(rig->remote.resample_fd), ==, 1);
    rig_unplug(rig);
    g_assert_cmpint(taken.trigger, ==, -1);
}

/* An event of the time before the reset raises nothing after it; the remote is asked for the level it has now. */
static void test_reset_takes_them_away_and_asks_again(Rig *rig, gconstpointer data)
{
    unsigned added;

    start(rig);
    added = taken.added;
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    device_reset(DEVICE(rig->proxy));
    rig_settle(rig);
    rig_wait(rig, remote_is_asked);
    g_assert_cmpuint(taken.added, >, added);
    g_assert_cmpuint(take_count(taken.trigger), ==, 0);
}

static bool is_taken(Rig *rig)
{
    return taken.trigger >= 0;
}

static bool nobody_has_them(Rig *rig)
{
    return taken.trigger < 0;
}

static void test_death_takes_them_away_and_a_new_remote_gives_new_ones(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;

    start(rig);
    rig_stop_remote(rig);
    rig_wait(rig, nobody_has_them);
    rig_renew_remote(rig);
    g_assert_true(rig_try_reattach(rig, &err));
    rig_wait(rig, is_taken);
    rig_settle(rig);
    take_count(taken.trigger);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    g_assert_cmpuint(take_count(taken.trigger), ==, 1);
}

/* The guest routes the interrupt to another input, while the remote's line is high. */
static void test_line_that_moves_takes_them_along(Rig *rig, gconstpointer data)
{
    start(rig);
    line_input = 11;
    gsi_moved(RIG_LINE + 1);
    gsi_moved(RIG_LINE);
    g_assert_cmpuint(taken.gsi, ==, RIG_LINE); /* not in the call, which is a processor's */
    rig_wait(rig, remote_is_asked);
    g_assert_cmpuint(taken.gsi, ==, 11);
    g_assert_cmpint(taken.trigger, >=, 0);
    line_input = RIG_LINE;
    rig_unplug(rig); /* from the input that has them, not from the one of now */
    gsi_moved(RIG_LINE);
    g_assert_cmpint(taken.trigger, ==, -1);
}

static void test_controllers_that_refuse_fail_the_device(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;

    taken.refuse = true;
    g_assert_false(rig_try_start(rig, 5000, &err));
    taken.refuse = false;
    rig_expect_text(err->message, "no room for an interrupt");
    rig_expect_no_device(rig);
}

static void test_device_without_interrupt_gives_none(Rig *rig, gconstpointer data)
{
    rig->remote.config[PCI_INTERRUPT_PIN] = 0;
    rig_start(rig);
    rig_settle(rig);
    g_assert_cmpuint(taken.added, ==, 0);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, function) g_test_add("/proxy/irqfd/" name, Rig, NULL, setup, function, teardown)
    ADD("eventfds-of-the-remote", test_controllers_get_the_eventfds_of_the_remote);
    ADD("reset", test_reset_takes_them_away_and_asks_again);
    ADD("death", test_death_takes_them_away_and_a_new_remote_gives_new_ones);
    ADD("line-moves", test_line_that_moves_takes_them_along);
    ADD("refused", test_controllers_that_refuse_fail_the_device);
    ADD("no-interrupt-pin", test_device_without_interrupt_gives_none);
#undef ADD
    return g_test_run();
}
