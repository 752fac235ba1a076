/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev: re-attachments that fail or are given up, and devices that are taken away in any state.
 */
#include <string.h>
#include <unistd.h>

#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

static void give_shape(Rig *rig)
{
    fake_bar(&rig->remote, 0, 4096, 0);
    fake_bar(&rig->remote, 1, 256, PCI_BASE_ADDRESS_SPACE_IO);
    fake_rom(&rig->remote, 2048);
}

/* A dead device with time limit *DATA ms, and a remote of the same shape that waits to be started. */
static void setup_with_limit(Rig *rig, unsigned timeout_ms)
{
    rig_init(rig);
    give_shape(rig);
    g_assert_true(rig_try_start(rig, timeout_ms, NULL));
    rig_map_bar(rig);
    pci_proxy_kill(rig->proxy, "dead");
    rig_watch(rig);
    rig_wait(rig, rig_remote_has_ended);
    rig_renew_remote(rig);
    give_shape(rig);
    /* The dead device's worker has ended and its connection is freed; the remote is not started. */
    rig_wait(rig, rig_has_base_threads);
}

static void setup(Rig *rig, gconstpointer data)
{
    setup_with_limit(rig, 5000);
}

static void start_reattach(Rig *rig)
{
    GError *error = NULL;

    rig->told = PCI_PROXY_REATTACHING;
    rig_try_reattach(rig, &error);
    g_assert_no_error(error);
}

/* A remote as it should be is taken after all. */
static void expect_success(Rig *rig)
{
    rig_renew_remote(rig);
    give_shape(rig);
    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    g_assert_cmpstr(rig->reason, ==, NULL);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    g_assert_cmphex(vcpu_config_read(rig, PCI_BASE_ADDRESS_0, 4), ==, RIG_BAR_ADDR);
}

/* The re-attachment must end in DEAD with TEXT in the reason; the next one succeeds. */
static void expect_failure(Rig *rig, const char *text)
{
    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    rig_expect_text(rig->reason, text);
    rig_wait(rig, rig_remote_has_ended);
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0xffffffff);
    expect_success(rig);
}

/* ---- refused at once ------------------------------------------------------------------------- */

static void test_only_dead_devices(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    int pair[2];

    start_reattach(rig);
    g_assert_cmpint(pipe(pair), ==, 0);
    g_assert_false(pci_proxy_reattach_take_fd(rig->proxy, pair[0], &err));
    g_assert_nonnull(strstr(err->message, "reattaching"));
    g_clear_error(&err);
    rig_wait(rig, rig_told_end);
    g_assert_false(pci_proxy_reattach_take_fd(rig->proxy, pair[1], &err));
    g_assert_nonnull(strstr(err->message, "ready"));
    g_assert_cmpint(fd_kind(pair[1]), ==, FD_KIND_INVALID); /* taken */
}

static void test_no_socket(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    int pair[2];

    g_assert_cmpint(pipe(pair), ==, 0);
    g_assert_false(pci_proxy_reattach_take_fd(rig->proxy, pair[0], &err));
    g_assert_nonnull(strstr(err->message, "socket"));
    g_assert_cmpint(fd_kind(pair[0]), ==, FD_KIND_INVALID);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    close(pair[1]);
}

/* ---- other devices --------------------------------------------------------------------------- */

typedef struct Other {
    const char *name;
    unsigned addr; /* of a config register */
    uint32_t value, writable;
    const char *text; /* of the reason */
} Other;

static const Other others[] = {
    { "vendor", PCI_VENDOR_ID, 0x56781235, 0, "1235:5678" },
    { "device", PCI_VENDOR_ID, 0x56791234, 0, "1234:5679" },
    { "no-device", PCI_VENDOR_ID, 0xffffffff, 0, "no device behind the link" },
    { "revision", PCI_CLASS_REVISION, 0x01000208, 0, "revision 8" },
    { "class", PCI_CLASS_REVISION, 0x01000307, 0, "0x010003" },
    { "bridge", PCI_CACHE_LINE_SIZE, 0x00010000, 0, "header type" },
    { "subsystem", PCI_SUBSYSTEM_VENDOR_ID, 0xef02abcd, 0, "subsystem" },
    { "pin", PCI_INTERRUPT_LINE, 0x00000200, 0xff, "interrupt pin is 2" },
    { "no-pin", PCI_INTERRUPT_LINE, 0, 0xff, "interrupt pin is 0" },
    { "pin-5", PCI_INTERRUPT_LINE, 0x00000500, 0xff, "interrupt pin" },
    { "larger-bar", PCI_BASE_ADDRESS_0, 0, 0xffffe000, "BAR 0" },
    { "smaller-bar", PCI_BASE_ADDRESS_0, 0, 0xfffff800, "BAR 0" },
    { "prefetchable-bar", PCI_BASE_ADDRESS_0, 8, 0xfffff000, "BAR 0" },
    { "bar-that-cannot-be", PCI_BASE_ADDRESS_0, 0, 0xfff0f000, "power of two" },
    { "no-bar", PCI_BASE_ADDRESS_1, 0, 0, "BAR 1" },
    { "memory-for-io", PCI_BASE_ADDRESS_1, 0, 0xffffff00, "BAR 1" },
    { "one-more-bar", PCI_BASE_ADDRESS_4, 0, 0xfffff000, "BAR 4" },
    { "larger-rom", PCI_ROM_ADDRESS, 0, 0xfffff001, "BAR 6" },
};

static void test_other(Rig *rig, gconstpointer data)
{
    const Other *other = data;

    pci_set_long(rig->remote.config + other->addr, other->value);
    pci_set_long(rig->remote.wmask + other->addr, other->writable);
    expect_failure(rig, other->text);
}

static void test_express(Rig *rig, gconstpointer data)
{
    rig->remote.config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    rig->remote.config[PCI_CAPABILITY_LIST] = 0x40;
    rig->remote.config[0x40] = PCI_CAP_ID_EXP;
    rig->remote.config_size = 4096;
    expect_failure(rig, "4096 bytes");
}

/* What is written once the remote has been reset does not stay. */
static void forgets(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value)
{
    if (remote->resets && conf->addr == PCI_BASE_ADDRESS_0) {
        *value = 0;
    }
}

static void test_register_that_is_not_kept(Rig *rig, gconstpointer data)
{
    rig->remote.tamper = forgets;
    expect_failure(rig, "does not keep its register 0x10");
}

/* ---- peers that fail ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    FakeManner manner;
} manners[] = {
    { "hang-up", FAKE_HANG_UP },
    { "half-header", FAKE_HALF_HEADER },
    { "half-payload", FAKE_HALF_PAYLOAD },
    { "failed", FAKE_FAILED },
    { "garbage", FAKE_GARBAGE },
    { "flood", FAKE_FLOOD },
};

/* *ret_reset: which of them is DEVICE_RESET, whose answer cannot say "failed". */
static unsigned messages_of_a_reattachment(Rig *rig, unsigned *ret_reset)
{
    unsigned total;

    rig_renew_remote(rig);
    give_shape(rig);
    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    pthread_mutex_lock(&rig->remote.lock);
    total = rig->remote.messages;
    *ret_reset = (unsigned)((uint8_t *)memchr(rig->remote.log, MPQEMU_CMD_DEVICE_RESET, total) - rig->remote.log);
    pthread_mutex_unlock(&rig->remote.lock);
    g_assert_cmpuint(total, >, 60);
    return total;
}

/* At each message of the re-attachment; one device lives through all of it. */
static void test_failure_at_each_message(gconstpointer data)
{
    FakeManner manner = GPOINTER_TO_INT(data);
    static Rig rig;
    unsigned total, reset, fds;

    setup_with_limit(&rig, 5000);
    fds = count_fds();
    total = messages_of_a_reattachment(&rig, &reset);
    pci_proxy_kill(rig.proxy, "dead");
    for (unsigned n = 0; n < total; n++) {
        rig_renew_remote(&rig);
        give_shape(&rig);
        /* On a busy machine the workers of former connections are still on their way out, of which there may be 8. */
        rig_wait(&rig, rig_has_base_threads);
        rig.remote.manner = manner;
        rig.remote.manner_commands = manner == FAKE_FAILED && n == reset ? 1u << MPQEMU_CMD_PCI_CFGWRITE : ~0u;
        rig.remote.manner_from = n;
        start_reattach(&rig);
        rig_wait(&rig, rig_told_end);
        if (pci_proxy_state(rig.proxy) == PCI_PROXY_READY) {
            g_error("at message %u of %u nothing was noticed", n, total);
        }
        pci_proxy_kill(rig.proxy, "dead");
    }
    expect_success(&rig);
    pci_proxy_kill(rig.proxy, "dead");
    rig_renew_remote(&rig);
    rig_wait(&rig, rig_has_base_threads);
    g_assert_cmpuint(count_fds(), ==, fds);
    rig_teardown(&rig, NULL);
}

static void test_silence(Rig *rig, gconstpointer data)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    PciProxyStats stats;

    rig_set_manner(rig, FAKE_SILENT, ~0u);
    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * SECOND_NS);
    g_assert_nonnull(strstr(rig->reason, "does not answer"));
    pci_proxy_stats(rig->proxy, &stats);
    g_assert_cmpuint(stats.timeouts, ==, 1);
}

/* Each answer within the limit, but all together not. */
static void test_slow_answers(Rig *rig, gconstpointer data)
{
    rig->remote.delay_us = 60000;
    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    g_test_message("%s", rig->reason);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
}

static void setup_short(Rig *rig, gconstpointer data)
{
    setup_with_limit(rig, 300);
}

/* ---- given up -------------------------------------------------------------------------------- */

static bool one_message(Rig *rig)
{
    return rig->remote.messages > 2;
}

/* The remote says nothing, and there would be a minute of time. */
static void start_hanging_reattach(Rig *rig)
{
    rig_set_manner(rig, FAKE_SILENT, 1u << MPQEMU_CMD_PCI_CFGREAD);
    start_reattach(rig);
    rig_wait(rig, one_message);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_REATTACHING);
}

static void setup_long(Rig *rig, gconstpointer data)
{
    setup_with_limit(rig, 60000);
}

static void test_kill_ends_it(Rig *rig, gconstpointer data)
{
    start_hanging_reattach(rig);
    pci_proxy_kill(rig->proxy, "not that one");
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_DEAD);
    rig_wait(rig, rig_told_end);
    g_assert_cmpstr(rig->reason, ==, "not that one");
    rig_wait(rig, rig_remote_has_ended);
    expect_success(rig);
}

/* The worker of the one that was given up must not spoil the next. */
static void test_next_one_at_once(Rig *rig, gconstpointer data)
{
    for (unsigned i = 0; i < 20; i++) {
        start_hanging_reattach(rig);
        pci_proxy_kill(rig->proxy, "not that one");
        expect_success(rig);
        pci_proxy_kill(rig->proxy, "dead");
        rig_renew_remote(rig);
        give_shape(rig);
    }
}

static bool went_away(Rig *rig)
{
    return rig->remote.ended;
}

/* Takes the device away; nothing of it may be left. */
static void expect_clean_unplug(Rig *rig, unsigned fds)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);

    rig_unplug(rig);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * SECOND_NS);
    if (rig->remote.thread) {
        rig_wait(rig, went_away);
        rig_renew_remote(rig);
    }
    g_assert_cmpuint(count_fds(), ==, fds);
    /* The dead device's worker has ended and its connection is freed; the remote is not started. */
    rig_wait(rig, rig_has_base_threads); /* a thread that was joined is seen a little longer */
}

static void test_unplug_while_reattaching(Rig *rig, gconstpointer data)
{
    unsigned fds = count_fds();

    start_hanging_reattach(rig);
    expect_clean_unplug(rig, fds);
}

static void test_unplug_when_dead(Rig *rig, gconstpointer data)
{
    expect_clean_unplug(rig, count_fds());
}

static void test_unplug_when_suspect(Rig *rig, gconstpointer data)
{
    unsigned fds = count_fds();

    start_reattach(rig);
    rig_wait(rig, rig_told_end);
    rig_set_manner(rig, FAKE_SILENT, ~0u);
    pci_proxy_set_suspect(rig->proxy, true);
    device_reset(DEVICE(rig->proxy)); /* the worker waits for the answer */
    expect_clean_unplug(rig, fds);
}

/* The remote stops reading in the middle of the re-attachment's messages, or talks without end. */
static void test_unplug_under_flood(Rig *rig, gconstpointer data)
{
    unsigned fds = count_fds();

    rig_set_manner(rig, FAKE_FLOOD, ~0u);
    start_reattach(rig);
    expect_clean_unplug(rig, fds);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    rig_note_base_threads();
#define ADD(name, prepare, fn) g_test_add("/proxy/reattach/" name, Rig, NULL, prepare, fn, rig_teardown)
    ADD("only-dead-devices", setup, test_only_dead_devices);
    ADD("no-socket", setup, test_no_socket);
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *path = g_strdup_printf("/proxy/reattach/other/%s", others[i].name);

        g_test_add(path, Rig, &others[i], setup, test_other, rig_teardown);
    }
    ADD("other/config-size", setup, test_express);
    ADD("register-that-is-not-kept", setup, test_register_that_is_not_kept);
    for (unsigned i = 0; i < G_N_ELEMENTS(manners); i++) {
        g_autofree char *path = g_strdup_printf("/proxy/reattach/at-each-message/%s", manners[i].name);

        g_test_add_data_func(path, GINT_TO_POINTER(manners[i].manner), test_failure_at_each_message);
    }
    ADD("silence", setup_short, test_silence);
    ADD("slow-answers", setup_short, test_slow_answers);
    ADD("kill-ends-it", setup_long, test_kill_ends_it);
    ADD("next-one-at-once", setup_long, test_next_one_at_once);
    ADD("unplug/while-reattaching", setup_long, test_unplug_while_reattaching);
    ADD("unplug/when-dead", setup_long, test_unplug_when_dead);
    ADD("unplug/when-suspect", setup_long, test_unplug_when_suspect);
    ADD("unplug/under-flood", setup_long, test_unplug_under_flood);
    return g_test_run();
}
