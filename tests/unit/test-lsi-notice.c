/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the lsi53c895a that takes the place of a lost one: the bus reset that its driver is told of, and the
 * event by which a supervisor knows that there is such a driver.
 */
#include "lsi-rig.h"
#include "hw/scsi/scsi-int.h"
#include "qapi/qapi.h"

static GString *told; /* of SCSI_BUS_RESET_WATCH: '+' enabled, '-' not */

static void on_event(const char *event, JsonNode *node, void *opaque)
{
    JsonObject *data = json_object_get_object_member(json_node_get_object(node), "data");

    g_assert_cmpstr(event, ==, "SCSI_BUS_RESET_WATCH");
    g_string_append_c(told, json_object_get_boolean_member(data, "enabled") ? '+' : '-');
}

static void listen(void)
{
    told = g_string_new("");
    qapi_set_event_sink(on_event, NULL);
}

static void wait_ms(int64_t ms)
{
    int64_t end = event_clock_ns(EVENT_CLOCK_REAL) + ms * 1000000;

    while (event_clock_ns(EVENT_CLOCK_REAL) < end) {
        event_loop_turn(event_loop_main(), false);
        g_usleep(1000);
    }
}

/* EXPECT is what is told next; empty: nothing is, for longer than a change must last. */
static void expect_told(const char *expect)
{
    while (expect[0] && told->len == 0) {
        event_loop_turn(event_loop_main(), true);
    }
    wait_ms(expect[0] ? 0 : 100);
    g_assert_cmpstr(told->str, ==, expect);
    g_string_truncate(told, 0);
}

static void end(Rig *rig)
{
    rig_free(rig);
    qapi_set_event_sink(NULL, NULL);
    g_string_free(told, TRUE);
}

/* A controller with the property, not mapped yet, in the place of the rig's. */
static void replace(Rig *rig)
{
    Device *dev = device_new(lsi53c895a_get_type());
    GError *error = NULL;

    pci_rig_unplug(&rig->pci);
    g_assert_true(qom_set_str(dev, "bus-reset-pending", "on", &error));
    g_assert_true(device_realize(dev, &rig->pci.bus->bus, &error));
    g_assert_no_error(error);
    g_object_unref(dev);
    rig->pci.dev = PCI_DEVICE(dev);
    rig->lsi = LSI53C895A(dev);
}

/* As the proxy's re-attachment does it: reset, command 0, BARs, command. */
static void attach(Rig *rig)
{
    device_reset(&rig->pci.dev->dev);
    g_assert_true(pci_config_write(rig->pci.dev, PCI_COMMAND, 0, 2));
    g_assert_cmpint(rig->pci.irq, ==, 0);
    pci_rig_map(&rig->pci);
}

static void test_driver_hears_of_a_bus_reset(void)
{
    Rig *rig = rig_new();
    FakeDisk *disk;

    listen();
    replace(rig);
    disk = rig_unit(rig, 0, 0);
    attach(rig);
    /* What the drivers' interrupt handlers look at, in their order. */
    g_assert_cmpint(rig->pci.irq, ==, 1);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_SIP);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, SIST0_RST);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, 0);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmpint(disk->resets, ==, 1); /* by the PCI reset: it tells a bus reset, it makes none */
    /* It is told once: not when the header is written again, not after a reset. */
    pci_rig_map(&rig->pci);
    attach(rig);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
    end(rig);
}

static void test_driver_starts_anew(void)
{
    Rig *rig = rig_new();

    listen();
    replace(rig);
    attach(rig);
    /* Linux answers with a soft reset, which takes everything back. */
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIEN0, 1), ==, 0);
    rig_emit(rig, INT, 0x42);
    rig_write(rig, LSI_DIEN, 0x7d, 1);
    rig_expect_int(rig, 0x42);
    end(rig);
}

static void test_nothing_before_bus_master(void)
{
    Rig *rig = rig_new();

    listen();
    replace(rig);
    /* A guest that has the BARs decoded, and no more, has no driver that runs. */
    g_assert_true(pci_config_write(rig->pci.dev, PCI_BASE_ADDRESS_1, RIG_MMIO, 4));
    g_assert_true(pci_config_write(rig->pci.dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2));
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIEN0, 1), ==, 0);
    /* A driver that resets the chip first needs to hear of nothing. */
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    g_assert_true(pci_config_write(rig->pci.dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2));
    g_assert_cmpint(rig->pci.irq, ==, 0);
    end(rig);
}

static void test_nothing_without_the_property(void)
{
    Rig *rig = rig_new();

    listen();
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
    end(rig);
}

/* An attention of a removable unit is a new medium to Linux; a disk's is a reset, and it says so. */
static void test_removable_units_keep_quiet(void)
{
    Rig *rig = rig_new();
    FakeDisk *fixed, *removable;

    listen();
    replace(rig);
    fixed = rig_unit(rig, 0, 0);
    removable = rig_unit(rig, 1, 0);
    removable->scsi.removable = true;
    scsi_device_set_unit_attention(&removable->scsi, scsi_sense(SENSE_UNIT_ATTENTION, 0x28, 0));
    attach(rig);
    g_assert_cmpuint(fixed->scsi.attention_count, ==, 1);
    g_assert_cmphex(fixed->scsi.attentions[0].asc, ==, 0x29);
    /* The PCI reset has taken the news of the medium; what comes now is told. */
    g_assert_cmpuint(removable->scsi.attention_count, ==, 0);
    scsi_device_set_unit_attention(&removable->scsi, scsi_sense(SENSE_UNIT_ATTENTION, 0x28, 0));
    scsi_bus_forget_resets(rig->lsi->bus);
    g_assert_cmpuint(removable->scsi.attention_count, ==, 1);
    end(rig);
}

static void test_watch_is_told(void)
{
    Rig *rig;

    listen();
    rig = rig_new(); /* with SIEN0.RST */
    expect_told("+");
    rig_write(rig, LSI_SIEN0, 0x8d, 1);
    expect_told("-");
    rig_write(rig, LSI_SIEN0, SIST0_RST, 1);
    expect_told("+");
    rig_write(rig, LSI_DCNTL, DCNTL_IRQD, 1); /* the pin is off */
    expect_told("-");
    rig_write(rig, LSI_DCNTL, 0, 1);
    expect_told("+");
    device_reset(&rig->pci.dev->dev);
    expect_told("-");
    end(rig);
}

/* A driver's new start, and a guest that wants to flood the monitor. */
static void test_short_changes_are_not_told(void)
{
    Rig *rig;

    listen();
    rig = rig_new();
    expect_told("+");
    for (unsigned i = 0; i < 10000; i++) {
        rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
        rig_write(rig, LSI_SIEN0, SIST0_RST, 1);
    }
    expect_told("");
    end(rig);
}

/* Each change lasts long enough to be told, and the guest goes on for as long as it likes. */
static void test_changes_are_told_once_a_second(void)
{
    int64_t start;
    Rig *rig;

    listen();
    rig = rig_new();
    expect_told("+");
    start = event_clock_ns(EVENT_CLOCK_REAL);
    for (unsigned i = 0; i < 4; i++) {
        rig_write(rig, LSI_SIEN0, 0, 1);
        wait_ms(70);
        rig_write(rig, LSI_SIEN0, SIST0_RST, 1);
        wait_ms(70);
    }
    rig_write(rig, LSI_SIEN0, 0, 1);
    expect_told("-");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, >=, 900000000);
    end(rig);
}

/* The machine was reset while the process was being made: firmware that polls must not find the interrupt. */
static void test_reset_of_the_machine_takes_it_back(void)
{
    Rig *rig = rig_new();

    listen();
    replace(rig);
    device_reset(&rig->pci.dev->dev); /* by the process's own start */
    device_reset(&rig->pci.dev->dev);
    /* The attachment: it sizes the BARs, and resets; and the machine's reset. */
    g_assert_true(pci_config_write(rig->pci.dev, PCI_BASE_ADDRESS_1, UINT32_MAX, 4));
    device_reset(&rig->pci.dev->dev);
    device_reset(&rig->pci.dev->dev);
    pci_rig_map(&rig->pci);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIEN0, 1), ==, 0);
    expect_told("-");
    end(rig);
}

/* The supervisor's word for it is the property: the next replacement needs no event. */
static void test_replacement_goes_on_from_there(void)
{
    Rig *rig = rig_new();

    listen();
    replace(rig);
    expect_told("");
    attach(rig);
    expect_told("");
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    expect_told("-");
    end(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lsi-notice/driver-hears-of-a-bus-reset", test_driver_hears_of_a_bus_reset);
    g_test_add_func("/lsi-notice/driver-starts-anew", test_driver_starts_anew);
    g_test_add_func("/lsi-notice/nothing-before-bus-master", test_nothing_before_bus_master);
    g_test_add_func("/lsi-notice/nothing-without-the-property", test_nothing_without_the_property);
    g_test_add_func("/lsi-notice/removable-units-keep-quiet", test_removable_units_keep_quiet);
    g_test_add_func("/lsi-notice/watch-is-told", test_watch_is_told);
    g_test_add_func("/lsi-notice/short-changes-are-not-told", test_short_changes_are_not_told);
    g_test_add_func("/lsi-notice/changes-are-told-once-a-second", test_changes_are_told_once_a_second);
    g_test_add_func("/lsi-notice/machine-reset-takes-it-back", test_reset_of_the_machine_takes_it_back);
    g_test_add_func("/lsi-notice/replacement-goes-on-from-there", test_replacement_goes_on_from_there);
    return g_test_run();
}
