/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev's start: the function's shape, lies, silence, death at any message.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

/* The start must fail with a message that has TEXT in it, and leave nothing behind. */
static void expect_refusal(Rig *rig, const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(rig_try_start(rig, 5000, &err));
    rig_expect_text(err->message, text);
    rig_expect_no_device(rig);
}

/* ---- shape ----------------------------------------------------------------------------------- */

static void test_ids(Rig *rig, gconstpointer data)
{
    PciDevice *dev;

    rig_start(rig);
    dev = PCI_DEVICE(rig->proxy);
    /* The local copy, read with the machine lock held, and the remote. */
    g_assert_cmphex(pci_get_long(dev->config + PCI_VENDOR_ID), ==, 0x56781234);
    g_assert_cmphex(pci_get_long(dev->config + PCI_CLASS_REVISION), ==, 0x01000207);
    g_assert_cmphex(pci_get_long(dev->config + PCI_SUBSYSTEM_VENDOR_ID), ==, 0xef01abcd);
    g_assert_cmpuint(dev->config[PCI_INTERRUPT_PIN], ==, 1);
    g_assert_cmpuint(dev->config_size, ==, 256);
    g_assert_cmphex(vcpu_config_read(rig, PCI_VENDOR_ID, 4), ==, 0x56781234);
    g_assert_cmphex(vcpu_config_read(rig, PCI_CLASS_REVISION + 1, 1), ==, 0x02);
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        g_assert_cmpuint(dev->bars[i].size, ==, 0);
    }
}

static void test_bar_kinds(Rig *rig, gconstpointer data)
{
    PciDevice *dev;

    fake_bar(&rig->remote, 0, 4, PCI_BASE_ADDRESS_SPACE_IO);
    fake_bar(&rig->remote, 1, 16, 0);
    fake_bar(&rig->remote, 2, UINT64_C(1) << 33,
             PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    fake_bar(&rig->remote, 4, UINT64_C(1) << 31, PCI_BASE_ADDRESS_MEM_PREFETCH);
    fake_bar(&rig->remote, 5, 65536, PCI_BASE_ADDRESS_SPACE_IO);
    fake_rom(&rig->remote, 65536);
    rig_start(rig);
    dev = PCI_DEVICE(rig->proxy);
    g_assert_cmphex(dev->bars[0].size, ==, 4);
    g_assert_cmphex(dev->bars[0].type, ==, PCI_BASE_ADDRESS_SPACE_IO);
    g_assert_cmphex(dev->bars[1].size, ==, 16);
    g_assert_cmphex(dev->bars[1].type, ==, 0);
    g_assert_cmphex(dev->bars[2].size, ==, UINT64_C(1) << 33);
    g_assert_cmphex(dev->bars[2].type, ==,
                    PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    g_assert_cmphex(dev->bars[3].size, ==, 0);
    g_assert_cmphex(dev->bars[4].size, ==, UINT64_C(1) << 31);
    g_assert_cmphex(dev->bars[4].type, ==, PCI_BASE_ADDRESS_MEM_PREFETCH);
    g_assert_cmphex(dev->bars[5].size, ==, 65536);
    g_assert_cmphex(dev->bars[PCI_ROM_SLOT].size, ==, 65536);
}

static void test_io_bar_with_16_bits(Rig *rig, gconstpointer data)
{
    fake_bar(&rig->remote, 0, 256, PCI_BASE_ADDRESS_SPACE_IO);
    pci_set_word(rig->remote.wmask + PCI_BASE_ADDRESS_0 + 2, 0);
    rig_start(rig);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].size, ==, 256);
}

static void test_bars_are_restored(Rig *rig, gconstpointer data)
{
    fake_bar(&rig->remote, 0, 4096, 0);
    fake_bar(&rig->remote, 2, 4096, PCI_BASE_ADDRESS_MEM_TYPE_64);
    fake_rom(&rig->remote, 2048);
    pci_set_long(rig->remote.config + PCI_BASE_ADDRESS_0, 0xd0001000);
    pci_set_long(rig->remote.config + PCI_BASE_ADDRESS_2, 0xd0002000 | 4);
    pci_set_long(rig->remote.config + PCI_BASE_ADDRESS_3, 0x12);
    pci_set_long(rig->remote.config + PCI_ROM_ADDRESS, 0xd0003000);
    rig_start(rig);
    rig_settle(rig);
    g_assert_cmphex(pci_get_long(rig->remote.config + PCI_BASE_ADDRESS_0), ==, 0xd0001000);
    g_assert_cmphex(pci_get_long(rig->remote.config + PCI_BASE_ADDRESS_2), ==, 0xd0002004);
    g_assert_cmphex(pci_get_long(rig->remote.config + PCI_BASE_ADDRESS_3), ==, 0x12);
    g_assert_cmphex(pci_get_long(rig->remote.config + PCI_ROM_ADDRESS), ==, 0xd0003000);
}

/* Two capabilities; the second is the one wanted. */
static void add_express_capability(FakeRemote *remote)
{
    remote->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    remote->config[PCI_CAPABILITY_LIST] = 0x40;
    remote->config[0x40] = PCI_CAP_ID_VNDR;
    remote->config[0x41] = 0x80;
    remote->config[0x80] = PCI_CAP_ID_EXP;
}

static void test_express_has_4096_bytes(Rig *rig, gconstpointer data)
{
    add_express_capability(&rig->remote);
    rig->remote.config_size = 4096;
    rig->remote.config[4095] = 0x5a;
    rig_start(rig);
    g_assert_cmpuint(PCI_DEVICE(rig->proxy)->config_size, ==, 4096);
    g_assert_cmphex(vcpu_config_read(rig, 4095, 1), ==, 0x5a);
}

static void test_capability_ring_ends(Rig *rig, gconstpointer data)
{
    rig->remote.config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    rig->remote.config[PCI_CAPABILITY_LIST] = 0x40;
    rig->remote.config[0x40] = PCI_CAP_ID_VNDR;
    rig->remote.config[0x41] = 0x40;
    rig_start(rig);
    g_assert_cmpuint(PCI_DEVICE(rig->proxy)->config_size, ==, 256);
}

static void test_no_interrupt_pin(Rig *rig, gconstpointer data)
{
    rig->remote.config[PCI_INTERRUPT_PIN] = 0;
    rig_start(rig);
    rig_settle(rig);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_cmpuint(rig->line_changes, ==, 0);
}

/* As stock QEMU does: it answers, then its own start-up resets the BARs, once. */
static void reset_while_sized(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value)
{
    if (conf->addr == PCI_BASE_ADDRESS_0 && remote->tamper_count++ == 1) {
        pci_set_long(remote->config + PCI_BASE_ADDRESS_0, 0);
        *value = 0;
    }
}

static void test_remote_resets_itself_meanwhile(Rig *rig, gconstpointer data)
{
    fake_bar(&rig->remote, 0, 4096, 0);
    rig->remote.tamper = reset_while_sized;
    rig_start(rig);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].size, ==, 4096);
}

/* ---- lies ------------------------------------------------------------------------------------ */

typedef struct Lie {
    const char *name;
    unsigned addr; /* of a config register */
    uint32_t value, writable;
    const char *text; /* of the refusal */
} Lie;

static const Lie lies[] = {
    { "no-device", PCI_VENDOR_ID, 0xffffffff, 0, "no device behind the link" },
    { "vendor-0", PCI_VENDOR_ID, 0x12340000, 0, "no device behind the link" },
    { "bridge", PCI_CACHE_LINE_SIZE, 0x00010000, 0, "header type" },
    { "pin-5", PCI_INTERRUPT_LINE, 0x00000500, 0, "interrupt pin" },
    { "memory-bar-with-a-hole", PCI_BASE_ADDRESS_0, 0, 0xfff0f000, "power of two" },
    { "memory-bar-without-address", PCI_BASE_ADDRESS_0, 8, 0, "power of two" },
    { "memory-bar-below-1M", PCI_BASE_ADDRESS_0, 2, 0xfffff000, "reserved type" },
    { "memory-bar-type-3", PCI_BASE_ADDRESS_0, 6, 0xfffff000, "reserved type" },
    { "memory-bar-changes-type", PCI_BASE_ADDRESS_0, 0, 0xfffff008, "type changes" },
    { "io-bar-with-a-hole", PCI_BASE_ADDRESS_0, 1, 0xffff0f00, "power of two" },
    { "io-bar-of-1M", PCI_BASE_ADDRESS_0, 1, 0xfff00000, "power of two" },
    { "io-bar-reserved-bit", PCI_BASE_ADDRESS_0, 3, 0xffffff00, "reserved type" },
    { "io-bar-without-address", PCI_BASE_ADDRESS_0, 1, 0, "no address bits" },
    { "64-bit-bar-5", PCI_BASE_ADDRESS_5, 4, 0xfffff000, "no register behind" },
    { "64-bit-bar-with-a-hole", PCI_BASE_ADDRESS_0, 4, 0xfffff000, "power of two" },
    { "rom-of-1-KiB-and-a-hole", PCI_ROM_ADDRESS, 0, 0xfff0f801, "ROM" },
    { "rom-of-32-MiB", PCI_ROM_ADDRESS, 0, 0xfe000001, "ROM" },
};

static void test_lie(Rig *rig, gconstpointer data)
{
    const Lie *lie = data;

    pci_set_long(rig->remote.config + lie->addr, lie->value);
    pci_set_long(rig->remote.wmask + lie->addr, lie->writable);
    expect_refusal(rig, lie->text);
}

static void test_huge_64_bit_bar(Rig *rig, gconstpointer data)
{
    fake_bar(&rig->remote, 0, UINT64_C(1) << 41, PCI_BASE_ADDRESS_MEM_TYPE_64);
    expect_refusal(rig, "power of two");
}

static void other_id_each_time(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value)
{
    if (conf->addr == PCI_VENDOR_ID) {
        *value ^= (uint64_t)++remote->tamper_count << 16;
    }
}

static void test_another_device_each_time(Rig *rig, gconstpointer data)
{
    rig->remote.tamper = other_id_each_time;
    expect_refusal(rig, "another device each time");
}

static void test_refused_reads(Rig *rig, gconstpointer data)
{
    rig_set_manner(rig, FAKE_FAILED, 1u << MPQEMU_CMD_PCI_CFGREAD);
    expect_refusal(rig, "refuses to read");
}

static void test_refused_writes(Rig *rig, gconstpointer data)
{
    rig_set_manner(rig, FAKE_FAILED, 1u << MPQEMU_CMD_PCI_CFGWRITE);
    expect_refusal(rig, "refuses to write");
}

/* ---- silence and death ----------------------------------------------------------------------- */

static void test_silence(Rig *rig, gconstpointer data)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    g_autoptr(GError) err = NULL;

    rig_set_manner(rig, FAKE_SILENT, ~0u);
    g_assert_false(rig_try_start(rig, 100, &err));
    g_assert_nonnull(strstr(err->message, "does not answer"));
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * SECOND_NS);
}

/* Each answer within the limit, but all together not. */
static void test_slow_answers(Rig *rig, gconstpointer data)
{
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    g_autoptr(GError) err = NULL;

    rig->remote.delay_us = 60000;
    g_assert_false(rig_try_start(rig, 300, &err));
    g_test_message("%s", err->message);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * SECOND_NS);
}

static const struct {
    const char *name;
    FakeManner manner;
} deaths[] = {
    { "hang-up", FAKE_HANG_UP },
    { "half-header", FAKE_HALF_HEADER },
    { "half-payload", FAKE_HALF_PAYLOAD },
};

/* At message number *DATA and manner, for every message of the start. */
static void test_death_at_each_message(void)
{
    static Rig rig;
    unsigned total;

    rig_init(&rig);
    fake_bar(&rig.remote, 0, 4096, 0);
    rig_start(&rig);
    rig_settle(&rig);
    total = rig.remote.messages;
    rig_cleanup(&rig);
    g_assert_cmpuint(total, >, 40);

    for (unsigned i = 0; i < G_N_ELEMENTS(deaths); i++) {
        /* The last two are the reset and our own read of rig_settle(). */
        for (unsigned n = 0; n < total - 2; n++) {
            g_autoptr(GError) err = NULL;

            rig_init(&rig);
            fake_bar(&rig.remote, 0, 4096, 0);
            rig.remote.manner = deaths[i].manner;
            rig.remote.manner_commands = ~0u;
            rig.remote.manner_from = n;
            if (rig_try_start(&rig, 5000, &err)) {
                g_error("%s at message %u was not noticed", deaths[i].name, n);
            }
            g_assert_nonnull(err);
            rig_cleanup(&rig);
        }
    }
}

/* ---- what the user gave ---------------------------------------------------------------------- */

static void add_with_fd(const char *fd, GError **errp)
{
    g_autoptr(Options) opts = options_new("-device");

    options_set(opts, "driver", "x-pci-proxy-dev");
    if (fd) {
        options_set(opts, "fd", fd);
    }
    g_assert_null(device_add(opts, errp));
}

static void test_bad_fd(Rig *rig, gconstpointer data)
{
    static const struct {
        const char *fd, *text;
    } cases[] = {
        { NULL, "'fd' is missing" },
        { "12345", "not open" },
        { "1x", "not a descriptor number" },
        { "nobody", "no descriptor of this name" },
    };
    int pipe_fds[2];
    g_autofree char *pipe_text = NULL, *own_text = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        add_with_fd(cases[i].fd, &err);
        g_test_message("%s", err->message);
        g_assert_nonnull(strstr(err->message, cases[i].text));
    }
    {
        g_autoptr(GError) err = NULL;

        g_assert_cmpint(pipe(pipe_fds), ==, 0);
        pipe_text = g_strdup_printf("%d", pipe_fds[0]);
        add_with_fd(pipe_text, &err); /* takes pipe_fds[0] */
        g_assert_nonnull(strstr(err->message, "socket"));
        close(pipe_fds[1]);
    }
    {
        g_autoptr(GError) err = NULL;

        own_text = g_strdup_printf("%d", rig->remote.stop_fd); /* close-on-exec */
        add_with_fd(own_text, &err);
        g_assert_nonnull(strstr(err->message, "in use by this program"));
    }
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, fn) g_test_add("/proxy/start/" name, Rig, NULL, rig_setup, fn, rig_teardown)
    ADD("ids", test_ids);
    ADD("bar-kinds", test_bar_kinds);
    ADD("io-bar-with-16-bits", test_io_bar_with_16_bits);
    ADD("bars-are-restored", test_bars_are_restored);
    ADD("express-has-4096-bytes", test_express_has_4096_bytes);
    ADD("capability-ring-ends", test_capability_ring_ends);
    ADD("no-interrupt-pin", test_no_interrupt_pin);
    ADD("remote-resets-itself-meanwhile", test_remote_resets_itself_meanwhile);
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_autofree char *path = g_strdup_printf("/proxy/start/lie/%s", lies[i].name);

        g_test_add(path, Rig, &lies[i], rig_setup, test_lie, rig_teardown);
    }
    ADD("lie/huge-64-bit-bar", test_huge_64_bit_bar);
    ADD("lie/another-device-each-time", test_another_device_each_time);
    ADD("lie/refused-reads", test_refused_reads);
    ADD("lie/refused-writes", test_refused_writes);
    ADD("silence", test_silence);
    ADD("slow-answers", test_slow_answers);
    g_test_add_func("/proxy/start/death-at-each-message", test_death_at_each_message);
    ADD("bad-fd", test_bad_fd);
    return g_test_run();
}
