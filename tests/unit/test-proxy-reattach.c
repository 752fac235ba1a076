/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev's states: suspicion, killing, re-attachment, and who is told.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/intc/gsi.h"
#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

/* ---- the rig with a device of two BARs, and what its owner is told --------------------------- */

#define TOLD_MAX 64

static struct {
    PciProxyState from, to;
    char *reason;
} told[TOLD_MAX];
static unsigned told_count;

static void on_change(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason, void *opaque)
{
    g_assert_true(machine_locked());
    g_assert_true((reason != NULL) == (to == PCI_PROXY_DEAD));
    g_assert_cmpint(from, ==, told_count ? told[told_count - 1].to : PCI_PROXY_READY);
    told[told_count].from = from;
    told[told_count].to = to;
    told[told_count++].reason = g_strdup(reason);
    g_assert_cmpuint(told_count, <, TOLD_MAX);
}

static void forget_told(void)
{
    for (unsigned i = 0; i < told_count; i++) {
        g_free(told[i].reason);
    }
    told_count = 0;
}

static void give_bars(Rig *rig)
{
    fake_bar(&rig->remote, 0, 4096, 0);
    fake_bar(&rig->remote, 1, 256, PCI_BASE_ADDRESS_SPACE_IO);
    fake_bar(&rig->remote, 2, 65536, PCI_BASE_ADDRESS_MEM_TYPE_64);
    rig->remote.wmask[PCI_LATENCY_TIMER] = 0xff;
}

static void setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
    give_bars(rig);
    rig_start(rig);
    rig_map_bar(rig);
    rig_settle(rig);
    pci_proxy_set_notify(rig->proxy, on_change, NULL);
}

static void teardown(Rig *rig, gconstpointer data)
{
    rig_cleanup(rig);
    forget_told();
}

static bool told_end(Rig *rig)
{
    return told_count && (told[told_count - 1].to == PCI_PROXY_DEAD || told[told_count - 1].to == PCI_PROXY_READY);
}

static bool told_dead(Rig *rig)
{
    return told_count && told[told_count - 1].to == PCI_PROXY_DEAD;
}

static bool told_ready(Rig *rig)
{
    return told_count && told[told_count - 1].to == PCI_PROXY_READY;
}

static void kill_it(Rig *rig)
{
    pci_proxy_kill(rig->proxy, "the test says so");
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    rig_wait(rig, rig_remote_has_ended);
    rig_wait(rig, told_dead);
}

static void reattach(Rig *rig)
{
    GError *error = NULL;

    rig_try_reattach(rig, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_REATTACHING);
}

/* Kills the device and attaches it to a new remote, which is honest. */
static void replace(Rig *rig)
{
    kill_it(rig);
    rig_renew_remote(rig);
    give_bars(rig);
    reattach(rig);
    rig_wait(rig, told_end);
    if (told[told_count - 1].reason) {
        g_error("%s", told[told_count - 1].reason);
    }
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
}

static uint32_t remote_long(Rig *rig, unsigned addr)
{
    uint32_t value;

    pthread_mutex_lock(&rig->remote.lock);
    value = pci_get_long(rig->remote.config + addr);
    pthread_mutex_unlock(&rig->remote.lock);
    return value;
}

static unsigned remote_resets(Rig *rig)
{
    unsigned resets;

    pthread_mutex_lock(&rig->remote.lock);
    resets = rig->remote.resets;
    pthread_mutex_unlock(&rig->remote.lock);
    return resets;
}

/* ---- suspicion and killing ------------------------------------------------------------------- */

static void test_state_names(void)
{
    static const char *const names[] = { "starting", "ready", "suspect", "dead", "reattaching", "gone" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_assert_cmpstr(pci_proxy_state_name(i), ==, names[i]);
    }
}

static bool told_something(Rig *rig)
{
    return told_count > 0;
}

static void test_suspect_goes_on(Rig *rig, gconstpointer data)
{
    pci_proxy_set_suspect(rig->proxy, false); /* nothing */
    pci_proxy_set_suspect(rig->proxy, true);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_SUSPECT);
    vcpu_write(RIG_BAR_ADDR, 0x77, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0x77);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0x56781234);
    rig_wait(rig, told_something);
    g_assert_cmpint(told[0].to, ==, PCI_PROXY_SUSPECT);
    pci_proxy_set_suspect(rig->proxy, false);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    rig_wait(rig, told_ready);
    pci_proxy_set_suspect(rig->proxy, true);
    kill_it(rig);
    pci_proxy_set_suspect(rig->proxy, true);
    pci_proxy_set_suspect(rig->proxy, false);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
}

static void test_suspect_dies_like_ready(Rig *rig, gconstpointer data)
{
    pci_proxy_set_suspect(rig->proxy, true);
    rig_set_manner(rig, FAKE_HANG_UP, ~0u);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    rig_wait(rig, told_dead);
}

static void test_kill(Rig *rig, gconstpointer data)
{
    PciProxyStats before = rig_stats(rig);

    kill_it(rig);
    g_assert_cmpstr(told[0].reason, ==, "the test says so");
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0xffffffff);
    vcpu_config_write(rig, PCI_COMMAND, 0, 2);
    g_assert_cmpuint(rig_stats(rig).exchanges, ==, before.exchanges);
    g_assert_cmpuint(rig_stats(rig).dropped_reads, ==, before.dropped_reads + 2);
    g_assert_cmpuint(rig_stats(rig).dropped_writes, ==, before.dropped_writes + 1);
    pci_proxy_kill(rig->proxy, "again"); /* nothing */
    rig_settle(rig);
    g_assert_cmpuint(told_count, ==, 1);
}

static gpointer read_thread(gpointer opaque)
{
    uint32_t value;

    pci_config_read(opaque, 0, &value, 4);
    return GUINT_TO_POINTER(value);
}

static bool read_is_waiting(Rig *rig)
{
    return rig->remote.messages > rig->remote.tamper_count;
}

/* A vCPU that waits for a silent remote, which is given much time. */
static GThread *start_waiting_read(Rig *rig)
{
    GThread *thread;

    rig_set_manner(rig, FAKE_SILENT, ~0u);
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.tamper_count = rig->remote.messages;
    pthread_mutex_unlock(&rig->remote.lock);
    thread = g_thread_new("vcpu", read_thread, rig->proxy);
    rig_wait(rig, read_is_waiting);
    return thread;
}

static void test_kill_ends_a_waiting_access(Rig *rig, gconstpointer data)
{
    GThread *thread = start_waiting_read(rig);
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);

    pci_proxy_kill(rig->proxy, "too slow"); /* the vCPU has the link lock */
    g_assert_cmphex(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 0xffffffff); /* needs no machine lock */
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 4 * SECOND_NS);
    rig_wait(rig, told_dead);
    g_assert_cmpstr(told[0].reason, ==, "too slow");
    g_assert_cmpuint(rig_stats(rig).timeouts, ==, 0);
}

static gpointer write_thread(gpointer opaque)
{
    pci_config_write(opaque, PCI_INTERRUPT_LINE, 0x99, 1);
    return NULL;
}

static bool line_register_is_written(Rig *rig)
{
    return rig->remote.config[PCI_INTERRUPT_LINE] == 0x99;
}

/* The old remote has acknowledged it, but the next one would not know it. */
static void test_config_write_of_a_killed_device_is_dropped(Rig *rig, gconstpointer data)
{
    GThread *thread = g_thread_new("vcpu", write_thread, rig->proxy);
    int64_t deadline = event_clock_ns(EVENT_CLOCK_REAL) + 10 * SECOND_NS;
    bool there = false;

    /* With the machine lock held, so that the vCPU cannot apply it. */
    while (!there) {
        pthread_mutex_lock(&rig->remote.lock);
        there = line_register_is_written(rig);
        pthread_mutex_unlock(&rig->remote.lock);
        g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL), <, deadline);
    }
    pci_proxy_kill(rig->proxy, "now");
    machine_unlock();
    g_thread_join(thread);
    machine_lock();
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->config[PCI_INTERRUPT_LINE], ==, 0);
    g_assert_cmpuint(rig_stats(rig).dropped_writes, ==, 1);
}

static unsigned quiet_fds, quiet_threads;

static bool holds_nothing(Rig *rig)
{
    /* The rig's remote has its end of the socket no more, but three descriptors, and no thread. */
    return rig->remote.ended && count_fds() == quiet_fds && rig_count_threads() == quiet_threads;
}

static void test_dead_device_holds_nothing(Rig *rig, gconstpointer data)
{
    rig_settle(rig);
    quiet_fds = count_fds() - 5; /* link at both ends, its duplicate, two eventfds */
    quiet_threads = rig_count_threads() - 2;
    kill_it(rig);
    rig_wait(rig, holds_nothing);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void test_counters(Rig *rig, gconstpointer data)
{
    PciProxyStats before = rig_stats(rig), after;

    g_assert_cmpuint(before.bytes, >, 24 * before.exchanges);
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.delay_us = 20000;
    pthread_mutex_unlock(&rig->remote.lock);
    vcpu_config_read(rig, 0, 4);
    after = rig_stats(rig);
    g_assert_cmpuint(after.exchanges, ==, before.exchanges + 1);
    g_assert_cmpuint(after.bytes, ==, before.bytes + 16 + 12 + 16 + 8);
    g_assert_cmpuint(after.worst_wait_ns, >=, 20000000);
    g_assert_cmpuint(after.timeouts, ==, 0);
    g_assert_cmpuint(after.reattached, ==, 0);
}

/* ---- re-attachment --------------------------------------------------------------------------- */

static void test_guest_finds_its_device(Rig *rig, gconstpointer data)
{
    vcpu_config_write(rig, PCI_BASE_ADDRESS_1, 0xc000, 4);
    vcpu_config_write(rig, PCI_BASE_ADDRESS_2, 0xe0010000, 4);
    vcpu_config_write(rig, PCI_BASE_ADDRESS_3, 0x12, 4);
    vcpu_config_write(rig, PCI_INTERRUPT_LINE, 11, 1);
    vcpu_config_write(rig, PCI_CACHE_LINE_SIZE, 16, 1);
    vcpu_config_write(rig, PCI_LATENCY_TIMER, 0x40, 1);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    replace(rig);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_0), ==, RIG_BAR_ADDR);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_1), ==, 0xc001);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_2), ==, 0xe0010004);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_3), ==, 0x12);
    g_assert_cmphex(remote_long(rig, PCI_CACHE_LINE_SIZE), ==, 0x4010);
    g_assert_cmphex(remote_long(rig, PCI_INTERRUPT_LINE), ==, 0x010b);
    g_assert_cmphex(remote_long(rig, PCI_COMMAND), ==, 7);
    g_assert_cmpuint(remote_resets(rig), ==, 1);
    vcpu_write(RIG_BAR_ADDR + 16, 0x5a5a, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR + 16, 4), ==, 0x5a5a);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0x56781234);
    g_assert_cmpuint(rig_stats(rig).reattached, ==, 1);
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
    g_assert_cmphex(rig->remote.table.sizes[0], ==, RIG_RAM);
}

static void test_again_and_again(Rig *rig, gconstpointer data)
{
    for (unsigned i = 1; i <= 10; i++) {
        replace(rig);
        vcpu_write(RIG_BAR_ADDR, i, 4);
        g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, i);
        g_assert_cmpuint(rig_stats(rig).reattached, ==, i);
    }
}

/* A remote that is slow enough for things to happen meanwhile. */
static void start_slow_reattach(Rig *rig)
{
    kill_it(rig);
    rig_renew_remote(rig);
    give_bars(rig);
    rig->remote.delay_us = 10000;
    reattach(rig);
}

static bool was_reset(Rig *rig)
{
    return rig->remote.resets > 0;
}

static void test_accesses_meanwhile_are_dropped(Rig *rig, gconstpointer data)
{
    PciProxyStats before;

    start_slow_reattach(rig);
    rig_wait(rig, was_reset);
    before = rig_stats(rig);
    vcpu_config_write(rig, PCI_INTERRUPT_LINE, 5, 1);
    vcpu_write(RIG_BAR_ADDR, 5, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0xffffffff);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_REATTACHING);
    g_assert_cmpuint(rig_stats(rig).dropped_reads, ==, before.dropped_reads + 2);
    g_assert_cmpuint(rig_stats(rig).dropped_writes, ==, before.dropped_writes + 2);
    rig_wait(rig, told_ready);
    g_assert_cmphex(vcpu_config_read(rig, PCI_INTERRUPT_LINE, 1), ==, 0);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->config[PCI_INTERRUPT_LINE], ==, 0);
    g_assert_cmphex(rig->remote.bar_value, ==, 0);
}

/* The remote has been reset and is getting the registers of before. */
static void test_reset_meanwhile_is_not_lost(Rig *rig, gconstpointer data)
{
    start_slow_reattach(rig);
    rig_wait(rig, was_reset);
    device_reset(DEVICE(rig->proxy));
    rig_wait(rig, told_ready);
    g_assert_cmphex(vcpu_config_read(rig, PCI_COMMAND, 2), ==, 0);
    g_assert_cmpuint(remote_resets(rig), ==, 2);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].addr, ==, PCI_BAR_UNMAPPED);
    rig_map_bar(rig);
    vcpu_write(RIG_BAR_ADDR, 5, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 5);
}

static void test_reset_of_a_dead_device_is_kept(Rig *rig, gconstpointer data)
{
    kill_it(rig);
    device_reset(DEVICE(rig->proxy));
    rig_renew_remote(rig);
    give_bars(rig);
    reattach(rig);
    rig_wait(rig, told_ready);
    rig_settle(rig);
    g_assert_cmphex(remote_long(rig, PCI_COMMAND), ==, 0);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_0), ==, 0);
    /* Both: a device that was made to tell its driver of the time before must know that this is over. */
    g_assert_cmpuint(remote_resets(rig), ==, 2);
}

static void test_memory_change_meanwhile_is_not_lost(Rig *rig, gconstpointer data)
{
    MemoryRegion *memory = address_space_root(system_memory());
    MemoryRegion alias;

    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    start_slow_reattach(rig);
    rig_wait(rig, was_reset);
    memory_region_add(memory, 0x80000000, &alias, 0);
    rig_wait(rig, told_ready);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 2);
    /* And one while it is dead. */
    kill_it(rig);
    memory_region_remove(memory, &alias);
    rig_renew_remote(rig);
    give_bars(rig);
    reattach(rig);
    rig_wait(rig, told_ready);
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
    memory_region_destroy(&alias);
}

/* As stock QEMU does: it answers, then the end of its own start-up resets it. */
static void late_reset(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value)
{
    if (remote->resets && conf->addr == PCI_BASE_ADDRESS_0 && remote->tamper_count++ == 0) {
        pci_set_long(remote->config + PCI_BASE_ADDRESS_0, 0);
        pci_set_word(remote->config + PCI_COMMAND, 0);
        *value = 0;
    }
}

static void test_remote_resets_itself_late(Rig *rig, gconstpointer data)
{
    kill_it(rig);
    rig_renew_remote(rig);
    give_bars(rig);
    rig->remote.tamper = late_reset;
    reattach(rig);
    rig_wait(rig, told_ready);
    g_assert_cmphex(remote_long(rig, PCI_BASE_ADDRESS_0), ==, RIG_BAR_ADDR);
    g_assert_cmphex(remote_long(rig, PCI_COMMAND), ==, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmpuint(rig->remote.tamper_count, ==, 2);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static uint64_t resampled;

static bool has_resample(Rig *rig)
{
    uint64_t count;

    if (rig->remote.resample_fd >= 0 && eventfd_read(rig->remote.resample_fd, &count) == 0) {
        resampled += count;
    }
    return resampled > 0;
}

static bool line_is_high(Rig *rig)
{
    return rig->line[RIG_LINE] == 1;
}

static bool has_eventfds(Rig *rig)
{
    return rig->remote.irq_fd >= 0;
}

static void test_interrupts_of_the_new_remote(Rig *rig, gconstpointer data)
{
    int old_irq_fd = dup(rig->remote.irq_fd);

    resampled = 0;
    rig_wait(rig, has_resample); /* that of the start's reset */
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
    pci_proxy_kill(rig->proxy, "now");
    g_assert_false(line_is_high(rig)); /* at once */
    rig_wait(rig, told_dead);
    rig_renew_remote(rig);
    give_bars(rig);
    rig->remote.delay_us = 1000;
    reattach(rig);
    rig_wait(rig, has_eventfds);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0); /* too early to be heard */
    rig->line_changes = 0;
    resampled = 0;
    rig_wait(rig, told_ready);
    rig_wait(rig, has_resample);
    g_assert_cmpuint(resampled, ==, 1);
    g_assert_cmpuint(rig->line_changes, ==, 0);

    g_assert_cmpint(eventfd_write(old_irq_fd, 1), ==, 0);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_false(line_is_high(rig));
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0); /* the answer to the resample */
    rig_wait(rig, line_is_high);
    resampled = 0;
    gsi_eoi(RIG_LINE);
    g_assert_false(line_is_high(rig));
    rig_wait(rig, has_resample);
    close(old_irq_fd);
}

typedef struct Holder {
    int fd;
    bool stop;
} Holder;

/* Makes writes to a full eventfd wait, again and again. */
static gpointer hold_thread(gpointer opaque)
{
    Holder *holder = opaque;

    while (!__atomic_load_n(&holder->stop, __ATOMIC_RELAXED)) {
        fcntl(holder->fd, F_SETFL, 0);
    }
    return NULL;
}

/* A peer that may catch the worker in a write: neither the next remote nor the unplug has to do with it. */
static void test_peer_that_holds_the_worker(Rig *rig, gconstpointer data)
{
    Holder holder = { .fd = dup(rig->remote.resample_fd) };
    GThread *thread;

    resampled = 0;
    rig_wait(rig, has_resample);
    thread = g_thread_new("holder", hold_thread, &holder);
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
        rig_wait(rig, line_is_high);
        if (i == 0) { /* full, from now on */
            g_assert_cmpint(eventfd_write(rig->remote.resample_fd, UINT64_MAX - 1), ==, 0);
        }
        gsi_eoi(RIG_LINE);
    }
    replace(rig);
    vcpu_write(RIG_BAR_ADDR, 3, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 3);
    rig_unplug(rig);
    __atomic_store_n(&holder.stop, true, __ATOMIC_RELAXED);
    g_thread_join(thread);
    close(holder.fd);
}

/* ---- who is told ----------------------------------------------------------------------------- */

/* Kill and re-attachment in one go: the end is told even when the state is that of before. */
static void test_end_is_told_when_nothing_seems_changed(Rig *rig, gconstpointer data)
{
    int64_t deadline = event_clock_ns(EVENT_CLOCK_REAL) + 10 * SECOND_NS;

    pci_proxy_kill(rig->proxy, "now");
    rig_renew_remote(rig);
    give_bars(rig);
    reattach(rig);
    while (pci_proxy_state(rig->proxy) != PCI_PROXY_READY) { /* no turn of the loop meanwhile */
        g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL), <, deadline);
        machine_unlock();
        g_usleep(200);
        machine_lock();
    }
    rig_wait(rig, told_ready);
    g_assert_cmpuint(told_count, ==, 1);
    g_assert_cmpint(told[0].from, ==, PCI_PROXY_READY);
}

static void unplug_on_death(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason, void *opaque)
{
    Rig *rig = opaque;

    rig_unplug(rig);
}

static bool is_unplugged(Rig *rig)
{
    return rig->proxy == NULL;
}

static void test_who_is_told_may_unplug(Rig *rig, gconstpointer data)
{
    pci_proxy_set_notify(rig->proxy, unplug_on_death, rig);
    rig_stop_remote(rig);
    rig_wait(rig, is_unplugged);
}

static void test_nobody_is_told(Rig *rig, gconstpointer data)
{
    pci_proxy_set_notify(rig->proxy, NULL, NULL);
    pci_proxy_kill(rig->proxy, "now");
    while (event_loop_turn(event_loop_main(), false)) {
    }
    pci_proxy_set_notify(rig->proxy, on_change, NULL); /* from now on */
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_cmpuint(told_count, ==, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct Vcpu {
    PciDevice *dev;
    unsigned step;
    unsigned accesses;
    bool stop;
} Vcpu;

static gpointer hammer_thread(gpointer opaque)
{
    Vcpu *v = opaque;
    uint32_t value;
    uint64_t wide;

    while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
        switch (v->step++ % 5) {
        case 0:
            pci_config_read(v->dev, PCI_VENDOR_ID, &value, 4);
            g_assert_true(value == 0x56781234 || value == 0xffffffff);
            break;
        case 1:
            address_space_write(system_memory(), RIG_BAR_ADDR + 8, 0x11223344, 4);
            break;
        case 2:
            address_space_read(system_memory(), RIG_BAR_ADDR + 8, &wide, 4);
            break;
        case 3:
            pci_config_write(v->dev, PCI_INTERRUPT_LINE, v->step & 0xff, 1);
            break;
        default:
            pci_config_write(v->dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
            break;
        }
        __atomic_fetch_add(&v->accesses, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* What the guest sees of itself and what the remote has must be the same after all that. */
static void check_agreement(Rig *rig)
{
    const uint8_t *config = PCI_DEVICE(rig->proxy)->config;

    rig_settle(rig);
    g_assert_cmphex(vcpu_config_read(rig, PCI_INTERRUPT_LINE, 1), ==, config[PCI_INTERRUPT_LINE]);
    g_assert_cmphex(vcpu_config_read(rig, PCI_COMMAND, 2), ==, pci_get_word(config + PCI_COMMAND));
    g_assert_cmphex(vcpu_config_read(rig, PCI_BASE_ADDRESS_0, 4), ==, pci_get_long(config + PCI_BASE_ADDRESS_0));
}

static bool has_old_threads(Rig *rig)
{
    return rig_count_threads() == quiet_threads;
}

static unsigned count_maps(void)
{
    g_autofree char *maps = NULL;
    unsigned lines = 0;

    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    for (const char *c = maps; *c; c++) {
        lines += *c == '\n';
    }
    return lines;
}

static void test_hammer(Rig *rig, gconstpointer data)
{
    Vcpu v[2] = { { .step = 0 }, { .step = 3 } };
    unsigned fds = count_fds();
    unsigned maps = 0;
    GThread *vcpus[2];

    quiet_threads = rig_count_threads();

    for (unsigned i = 0; i < 2; i++) {
        v[i].dev = PCI_DEVICE(rig->proxy);
        vcpus[i] = g_thread_new("vcpu", hammer_thread, &v[i]);
    }
    for (unsigned n = 0; n < 200; n++) {
        forget_told();
        pci_proxy_set_notify(rig->proxy, on_change, NULL);
        if (n % 4 == 0) {
            rig_stop_remote(rig); /* the remote dies by itself */
            rig_wait(rig, told_dead);
        } else {
            pci_proxy_kill(rig->proxy, "hammer");
        }
        rig_renew_remote(rig);
        give_bars(rig);
        reattach(rig);
        if (n % 5 == 0) { /* given up in the middle of it */
            rig_wait(rig, has_eventfds);
            pci_proxy_kill(rig->proxy, "hammer");
            rig_renew_remote(rig);
            give_bars(rig);
            reattach(rig);
        }
        if (n % 7 == 0) {
            device_reset(DEVICE(rig->proxy));
        }
        rig_wait(rig, told_ready);
        g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
        if (n % 7 == 0) {
            rig_map_bar(rig);
        }
        g_assert_cmpuint(count_fds(), <, fds + 24);
        if (n == 20) {
            maps = count_maps();
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        __atomic_store_n(&v[i].stop, true, __ATOMIC_RELAXED);
        machine_unlock();
        g_thread_join(vcpus[i]);
        machine_lock();
        g_assert_cmpuint(v[i].accesses, >, 1000);
    }
    check_agreement(rig);
    g_assert_cmpuint(rig_stats(rig).reattached, >=, 200);
    rig_wait(rig, has_old_threads);
    g_assert_cmpuint(count_fds(), ==, fds);
    g_assert_cmpuint(count_maps(), <=, maps + 8); /* the allocator's */
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, fn) g_test_add("/proxy/" name, Rig, NULL, setup, fn, teardown)
    g_test_add_func("/proxy/state-names", test_state_names);
    ADD("suspect/goes-on", test_suspect_goes_on);
    ADD("suspect/dies-like-ready", test_suspect_dies_like_ready);
    ADD("kill/at-once", test_kill);
    ADD("kill/ends-a-waiting-access", test_kill_ends_a_waiting_access);
    ADD("kill/config-write-under-way-is-dropped", test_config_write_of_a_killed_device_is_dropped);
    ADD("kill/dead-device-holds-nothing", test_dead_device_holds_nothing);
    ADD("counters", test_counters);
    ADD("reattach/guest-finds-its-device", test_guest_finds_its_device);
    ADD("reattach/again-and-again", test_again_and_again);
    ADD("reattach/accesses-meanwhile-are-dropped", test_accesses_meanwhile_are_dropped);
    ADD("reattach/reset-meanwhile-is-not-lost", test_reset_meanwhile_is_not_lost);
    ADD("reattach/reset-of-a-dead-device-is-kept", test_reset_of_a_dead_device_is_kept);
    ADD("reattach/memory-change-meanwhile-is-not-lost", test_memory_change_meanwhile_is_not_lost);
    ADD("reattach/remote-resets-itself-late", test_remote_resets_itself_late);
    ADD("reattach/interrupts-of-the-new-remote", test_interrupts_of_the_new_remote);
    ADD("reattach/peer-that-holds-the-worker", test_peer_that_holds_the_worker);
    ADD("told/end-when-nothing-seems-changed", test_end_is_told_when_nothing_seems_changed);
    ADD("told/may-unplug", test_who_is_told_may_unplug);
    ADD("told/nobody", test_nobody_is_told);
    ADD("hammer/kill-and-reattach", test_hammer);
    return g_test_run();
}
