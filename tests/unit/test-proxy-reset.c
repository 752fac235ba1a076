/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reset of a machine whose devices work on guest RAM in other processes: it waits until they have stopped.
 */
#include <errno.h>
#include <semaphore.h>
#include "hw/proxy/proxy-int.h"
#include "proxy-rig.h"
#include "system/reset.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

/* Those who execute guest code, of whom this test only has the word. */
static bool closed;

static void gate_close(void)
{
    closed = true;
}

static bool gate_is_closed(void)
{
    return closed;
}

static void gate_open(void)
{
    closed = false;
}

static const ResetGate gate = { gate_close, gate_is_closed, gate_open };

/* The board: what it finds when it is reset. */
static unsigned machine_resets;
static uint64_t answers_before; /* resets that the remote had answered by then */

static void board_reset(void *opaque)
{
    Rig *rig = opaque;

    machine_resets++;
    if (rig->proxy) {
        PciProxyStats stats;

        pci_proxy_stats(rig->proxy, &stats);
        answers_before = stats.resets;
        device_reset(DEVICE(rig->proxy));
    }
}

static void setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
    machine_resets = 0;
    answers_before = 0;
    reset_register(board_reset, rig);
    reset_set_gate(&gate);
}

static void teardown(Rig *rig, gconstpointer data)
{
    reset_set_gate(NULL);
    reset_unregister(board_reset, rig);
    rig_cleanup(rig);
}

static bool machine_was_reset(Rig *rig)
{
    return machine_resets > 0;
}

static void start_with_delay(Rig *rig, unsigned timeout_ms)
{
    g_assert_true(rig_try_start(rig, timeout_ms, NULL));
    rig_settle(rig);
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.delay_us = 50000; /* transfers that are under way */
    pthread_mutex_unlock(&rig->remote.lock);
}

static void ask_for_reset(void)
{
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
}

static void test_reset_waits_for_the_transfers_of_the_remote(Rig *rig, gconstpointer data)
{
    PciProxyStats stats;

    start_with_delay(rig, 5000);
    pci_proxy_stats(rig->proxy, &stats);
    ask_for_reset();
    ask_for_reset(); /* one with the first */
    g_assert_cmpuint(machine_resets, ==, 0);
    g_assert_true(closed);
    rig_wait(rig, machine_was_reset);
    g_assert_cmpuint(machine_resets, ==, 1);
    g_assert_cmpuint(answers_before, ==, stats.resets + 1);
    g_assert_false(closed);
    /* And each time anew. */
    machine_resets = 0;
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 0);
    rig_wait(rig, machine_was_reset);
    g_assert_cmpuint(answers_before, >=, stats.resets + 2);
}

static void test_remote_that_does_not_answer_holds_it_up_for_its_timeout(Rig *rig, gconstpointer data)
{
    start_with_delay(rig, 200);
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_DEVICE_RESET);
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 0);
    rig_wait(rig, machine_was_reset);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    g_assert_false(closed);
    /* A dead one holds nobody up. */
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 2);
}

static void test_remote_that_dies_meanwhile_holds_up_no_more(Rig *rig, gconstpointer data)
{
    start_with_delay(rig, 60000);
    rig_set_manner(rig, FAKE_HANG_UP, 1u << MPQEMU_CMD_DEVICE_RESET);
    ask_for_reset();
    rig_wait(rig, machine_was_reset);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
}

static void test_device_that_goes_meanwhile_holds_up_no_more(Rig *rig, gconstpointer data)
{
    start_with_delay(rig, 60000);
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_DEVICE_RESET);
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 0);
    rig_unplug(rig);
    rig_wait(rig, machine_was_reset);
    g_assert_cmpuint(machine_resets, ==, 1);
}

typedef struct Holder {
    PciProxyDev *proxy;
    sem_t holds, let_go;
} Holder;

static void *hold_link(void *opaque)
{
    Holder *holder = opaque;

    pthread_mutex_lock(&holder->proxy->link_lock);
    sem_post(&holder->holds);
    while (sem_wait(&holder->let_go) < 0) {
        g_assert_cmpint(errno, ==, EINTR);
    }
    pthread_mutex_unlock(&holder->proxy->link_lock);
    return NULL;
}

/* The worker is where no time limit counts: a peer that fills the resample eventfd can hold it there (irq.c). */
static void test_remote_that_holds_the_worker_holds_it_up_for_a_limited_time(Rig *rig, gconstpointer data)
{
    Holder holder;
    pthread_t thread;

    start_with_delay(rig, 200);
    holder.proxy = rig->proxy;
    g_assert_cmpint(sem_init(&holder.holds, 0, 0), ==, 0);
    g_assert_cmpint(sem_init(&holder.let_go, 0, 0), ==, 0);
    g_assert_cmpint(pthread_create(&thread, NULL, hold_link, &holder), ==, 0);
    while (sem_wait(&holder.holds) < 0) {
        g_assert_cmpint(errno, ==, EINTR);
    }
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 0);
    rig_wait(rig, machine_was_reset);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    sem_post(&holder.let_go);
    g_assert_cmpint(pthread_join(thread, NULL), ==, 0);
    sem_destroy(&holder.holds);
    sem_destroy(&holder.let_go);
}

/* Another device, which works on guest RAM for longer. */
static bool other_is_over;

static void other_begin(ResetBarrier *barrier)
{
    other_is_over = false;
}

static bool other_tells(ResetBarrier *barrier)
{
    return other_is_over;
}

static bool is_ready(Rig *rig)
{
    return pci_proxy_state(rig->proxy) == PCI_PROXY_READY;
}

static void test_device_that_is_attached_again_meanwhile_holds_up_no_more(Rig *rig, gconstpointer data)
{
    ResetBarrier other = { other_begin, other_tells };
    GError *error = NULL;

    rig_start(rig);
    rig_settle(rig);
    reset_barrier_register(&other);
    pci_proxy_kill(rig->proxy, "for the test");
    rig_renew_remote(rig);
    ask_for_reset();
    rig_try_reattach(rig, &error);
    g_assert_no_error(error);
    rig_wait(rig, is_ready);
    g_assert_cmpuint(machine_resets, ==, 0);
    other_is_over = true;
    reset_gate_changed();
    rig_wait(rig, machine_was_reset);
    g_assert_true(is_ready(rig));
    reset_barrier_unregister(&other);
}

static void test_without_processors_it_comes_at_once(Rig *rig, gconstpointer data)
{
    start_with_delay(rig, 5000);
    reset_set_gate(NULL);
    ask_for_reset();
    g_assert_cmpuint(machine_resets, ==, 1);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, function) g_test_add("/proxy/reset/" name, Rig, NULL, setup, function, teardown)
    ADD("waits-for-transfers", test_reset_waits_for_the_transfers_of_the_remote);
    ADD("silent-remote", test_remote_that_does_not_answer_holds_it_up_for_its_timeout);
    ADD("dying-remote", test_remote_that_dies_meanwhile_holds_up_no_more);
    ADD("unplugged", test_device_that_goes_meanwhile_holds_up_no_more);
    ADD("held-worker", test_remote_that_holds_the_worker_holds_it_up_for_a_limited_time);
    ADD("reattached", test_device_that_is_attached_again_meanwhile_holds_up_no_more);
    ADD("no-processors", test_without_processors_it_comes_at_once);
#undef ADD
    return g_test_run();
}
