/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of ACPI PCI hot-plug: the test plays the guest's _E01 and _EJ0 by the ports.
 */
#include <string.h>

#include "hw/acpi/pci-hotplug.h"
#include "qapi/qapi.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

typedef struct TestFunction {
    PciDevice pci;
} TestFunction;
typedef struct TestFunctionClass {
    PciDeviceClass pci_class;
} TestFunctionClass;

static GType test_function_get_type(void);
QOM_DEFINE_TYPE(TestFunction, test_function, "test-function", TYPE_PCI_DEVICE, 0)

static void test_function_class_init(TestFunctionClass *klass)
{
    klass->pci_class.vendor_id = 0x1234;
}

static void test_function_init(TestFunction *self)
{
}

typedef struct TestBoard {
    PciDevice pci;
} TestBoard;
typedef struct TestBoardClass {
    PciDeviceClass pci_class;
} TestBoardClass;

static GType test_board_get_type(void);
QOM_DEFINE_TYPE(TestBoard, test_board, "test-board", TYPE_PCI_DEVICE, 0)

static void test_board_class_init(TestBoardClass *klass)
{
    klass->pci_class.device_class.hotpluggable = false;
}

static void test_board_init(TestBoard *self)
{
}

static MemoryRegion root_mem, root_io;
static AddressSpace *io;
static PciBus *bus;
static AcpiPm *pm;
static AcpiPciHotplug *hotplug;
static int sci;
static GString *deleted; /* ids of DEVICE_DELETED, "not ID" for DEVICE_UNPLUG_GUEST_ERROR */

static void set_sci(void *opaque, int level)
{
    sci = level;
}

static void no_shutdown(void *opaque)
{
}

static void sink(const char *event, JsonNode *node, void *opaque)
{
    JsonObject *data = json_object_get_object_member(json_node_get_object(node), "data");
    bool refused = g_str_equal(event, "DEVICE_UNPLUG_GUEST_ERROR");

    g_assert_true(refused || g_str_equal(event, "DEVICE_DELETED"));
    g_string_append_printf(deleted, "%s%s ", refused ? "not " : "", json_object_get_string_member(data, "device"));
}

static void expect_deleted(const char *ids)
{
    g_assert_cmpstr(deleted->str, ==, ids);
    g_string_truncate(deleted, 0);
}

static void out(unsigned port, uint64_t value, unsigned size)
{
    address_space_write(io, port, value, size);
}

static uint32_t in(unsigned port)
{
    uint64_t value;

    address_space_read(io, port, &value, 4);
    return (uint32_t)value;
}

static void settle(void)
{
    for (unsigned i = 0; i < 10 && event_loop_turn(event_loop_main(), false); i++) {
    }
}

static void added(Device *dev, const GError *err, void *opaque)
{
    g_assert_no_error(err);
    *(Device **)opaque = dev;
}

static Device *add(const char *text)
{
    g_autoptr(Options) opts = options_parse("device_add", text, "driver", NULL);
    Device *dev = NULL;

    device_add_async(opts, added, &dev);
    g_assert_nonnull(dev);
    return dev;
}

static void del(const char *id)
{
    GError *err = NULL;

    device_del(id, &err);
    g_assert_no_error(err);
}

/* ACPI on, the event enabled: what an operating system does that has found the namespace. */
static void guest_listens(void)
{
    out(PM_APM_CONTROL, PM_ACPI_ENABLE, 1);
    out(PM_GPE0_BASE + 2, 1 << PM_GPE_PCI_HOTPLUG, 2);
}

/* What _E01 does: up in the upper half, down in the lower one. */
static uint64_t guest_event(void)
{
    uint64_t value = (uint64_t)in(0xae00) << 32;

    value |= in(0xae04);
    out(PM_GPE0_BASE, 1 << PM_GPE_PCI_HOTPLUG, 2);
    g_assert_cmpint(sci, ==, 0);
    return value;
}

static void guest_eject(uint32_t slots)
{
    out(0xae08, slots, 4);
    settle();
}

#define UP(slot) (1ull << (32 + (slot)))
#define DOWN(slot) (1ull << (slot))
#define BUS_CHECK UP(0)

static void set_up(void)
{
    acpi_pci_hotplug_reset(hotplug);
    bus_reset(BUS(bus));
    g_string_truncate(deleted, 0);
}

static void test_without_a_listener_removal_is_at_once(void)
{
    set_up();
    add("test-function,id=a,addr=4");
    g_assert_cmpint(sci, ==, 0);
    del("a");
    expect_deleted("a ");
    guest_listens(); /* what was before is heard now */
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(guest_event(), ==, UP(4) | BUS_CHECK);
    g_assert_cmphex(guest_event(), ==, 0);
}

static void test_add_is_told(void)
{
    set_up();
    guest_listens();
    add("test-function,id=a");
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(guest_event(), ==, UP(2));
    add("test-function,id=b,addr=1f");
    g_assert_cmphex(guest_event(), ==, UP(31));
    del("a");
    del("b");
    g_assert_cmphex(guest_event(), ==, DOWN(2) | DOWN(31));
    expect_deleted("");
    guest_eject(1u << 2 | 1u << 31);
    expect_deleted("a b ");
    g_assert_cmpint(sci, ==, 0); /* it knows */
    g_assert_cmphex(guest_event(), ==, 0);
}

static void test_guest_that_does_not_answer_keeps_the_device(void)
{
    GError *err = NULL;

    set_up();
    guest_listens();
    add("test-function,id=a,addr=5");
    guest_event();
    del("a");
    g_assert_cmphex(guest_event(), ==, DOWN(5));
    settle();
    g_assert_nonnull(device_find("a"));
    expect_deleted("");
    del("a"); /* asked again */
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(guest_event(), ==, DOWN(5));
    /* A blocker that comes meanwhile: the guest's answer calls the removal off. */
    device_set_unplug_blocker(device_find("a"), "it is needed");
    g_assert_false(device_del("a", &err));
    g_clear_error(&err);
    guest_eject(1u << 5);
    g_assert_nonnull(device_find("a"));
    g_assert_false(device_find("a")->removing);
    device_set_unplug_blocker(device_find("a"), NULL);
    del("a");
    guest_eject(1u << 5);
    g_assert_null(device_find("a"));
    expect_deleted("a ");
}

/* What _OST does. */
static void guest_tells(unsigned slot, unsigned event, unsigned status)
{
    out(0xae10, slot | event << 8 | status << 16, 4);
    settle();
}

static void test_guest_that_refuses_keeps_the_device(void)
{
    set_up();
    guest_listens();
    add("test-function,id=a,addr=5");
    add("test-function,id=b,addr=6");
    guest_event();
    guest_tells(5, 3, 0x80); /* nobody has asked */
    expect_deleted("");
    del("a");
    guest_event();
    guest_tells(5, 3, 0x84); /* it is at it */
    guest_tells(5, 1, 0x80); /* another notification */
    guest_tells(6, 3, 0x80);
    guest_tells(0x25, 3, 0x80);
    guest_tells(5, 3, 0);
    expect_deleted("");
    g_assert_true(device_find("a")->removing);
    guest_tells(5, 3, 0x81); /* in use */
    expect_deleted("not a ");
    g_assert_false(device_find("a")->removing);
    set_up(); /* the request is off: a reset takes nothing away */
    guest_listens();
    g_assert_nonnull(device_find("a"));
    /* Another time it lets go, and tells so when the device is gone. */
    del("a");
    g_assert_cmphex(guest_event(), ==, DOWN(5));
    out(0xae08, 1u << 5, 4);
    guest_tells(5, 3, 0x81);
    expect_deleted("a ");
    /* A refusal of before the reset is the old guest's. */
    del("b");
    out(0xae10, 6 | 3 << 8 | 0x81 << 16, 4);
    set_up();
    settle();
    expect_deleted("");
    g_assert_null(device_find("b"));
}

static void test_reset_removes_what_was_asked_for(void)
{
    set_up();
    guest_listens();
    add("test-function,id=a,addr=5");
    add("test-function,id=b,addr=6");
    del("a");
    set_up();
    g_assert_null(device_find("a"));
    g_assert_nonnull(device_find("b"));
    g_assert_cmpint(sci, ==, 0);
    guest_listens();
    g_assert_cmphex(guest_event(), ==, 0);
    /* An eject just before the reset is the old guest's. */
    out(0xae08, 1u << 6, 4);
    set_up();
    settle();
    g_assert_nonnull(device_find("b"));
    del("b");
}

static void test_guest_ejects_unasked(void)
{
    set_up();
    guest_listens();
    add("test-function,id=a,addr=7,multifunction=on");
    add("test-function,id=b,addr=7.1");
    guest_event();
    device_set_unplug_blocker(device_find("b"), "it is needed");
    guest_eject(1u << 7);
    expect_deleted("a ");
    device_set_unplug_blocker(device_find("b"), NULL);
    guest_eject(1u << 7);
    expect_deleted("b ");
    guest_eject(1u << 7); /* nobody there */
    expect_deleted("");
}

/* As when rdevice_del with force or a dying program takes a device. */
static void test_surprise_removal_is_told(void)
{
    Device *dev;

    set_up();
    guest_listens();
    dev = add("test-function,id=a,addr=9");
    guest_event();
    del("a");
    device_unplugged(dev);
    expect_deleted("a ");
    g_assert_cmphex(guest_event(), ==, BUS_CHECK);
    guest_eject(1u << 9);
    expect_deleted("");
}

static bool take_over(Device *dev, void *opaque)
{
    *(Device **)opaque = g_object_ref(dev);
    return true;
}

/* The guest first, then who wants to take care of the removal (a remote process's device). */
static void test_handler_comes_behind_the_guest(void)
{
    Device *taken = NULL;
    GError *err = NULL;

    set_up();
    device_set_del_handler(take_over, &taken);
    guest_listens();
    add("test-function,id=a,addr=3");
    guest_event();
    del("a");
    g_assert_null(taken);
    guest_eject(1u << 3);
    g_assert_nonnull(taken);
    g_assert_false(device_del("a", &err));
    g_assert_nonnull(strstr(err->message, "already in the process of unplug"));
    g_clear_error(&err);
    guest_eject(1u << 3); /* once is enough */
    expect_deleted("");
    device_unplugged(taken);
    expect_deleted("a ");
    g_assert_cmphex(guest_event(), ==, 0);
    g_object_unref(taken);
    device_set_del_handler(NULL, NULL);
}

static void test_board_functions_stay(void)
{
    set_up();
    guest_listens();
    g_assert_cmphex(in(0xae0c), ==, 0xfffffffc);
    guest_eject(UINT32_MAX);
    expect_deleted("");
    g_assert_nonnull(pci_bus_device(bus, 0));
    g_assert_nonnull(pci_bus_device(bus, PCI_DEVFN_OF(1, 3)));
}

static void test_odd_accesses(void)
{
    set_up();
    guest_listens();
    add("test-function,id=a,addr=8");
    out(0xae08, 0xff, 1); /* narrow: refused */
    out(0xae09, 0xff, 1);
    out(0xae00, UINT32_MAX, 4);
    out(0xae0c, UINT32_MAX, 4);
    settle();
    expect_deleted("");
    g_assert_cmphex(in(0xae08), ==, 0);
    g_assert_cmphex(guest_event(), ==, UP(8));
    del("a");
    guest_eject(1u << 8);
    expect_deleted("a ");
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { test_function_get_type, test_board_get_type, NULL };
    static const AcpiPmHooks pm_hooks = { set_sci, no_shutdown, NULL };
    Device *boards[2];
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    deleted = g_string_new(NULL);
    qapi_set_event_sink(sink, NULL);
    event_clock_set_manual();
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    io = address_space_new(&root_io, "io");
    bus = pci_root_bus_new("pci.0", &root_mem, &root_io, NULL, PCI_DEVFN_OF(2, 0));
    for (unsigned i = 0; i < 2; i++) {
        boards[i] = device_new(test_board_get_type());
        PCI_DEVICE(boards[i])->addr = PCI_DEVFN_OF(i, 0);
        PCI_DEVICE(boards[i])->multifunction = true;
        g_assert_true(device_realize(boards[i], BUS(bus), NULL));
    }
    pm = acpi_pm_new(bus, PCI_DEVFN_OF(1, 3), &root_io, &pm_hooks, NULL);
    g_assert_nonnull(pm);
    hotplug = acpi_pci_hotplug_new(bus, pm, &root_io);
    g_test_add_func("/acpi-hotplug/without-a-listener-removal-is-at-once", test_without_a_listener_removal_is_at_once);
    g_test_add_func("/acpi-hotplug/add-is-told", test_add_is_told);
    g_test_add_func("/acpi-hotplug/guest-that-does-not-answer", test_guest_that_does_not_answer_keeps_the_device);
    g_test_add_func("/acpi-hotplug/guest-that-refuses", test_guest_that_refuses_keeps_the_device);
    g_test_add_func("/acpi-hotplug/reset-removes-what-was-asked-for", test_reset_removes_what_was_asked_for);
    g_test_add_func("/acpi-hotplug/guest-ejects-unasked", test_guest_ejects_unasked);
    g_test_add_func("/acpi-hotplug/surprise-removal-is-told", test_surprise_removal_is_told);
    g_test_add_func("/acpi-hotplug/handler-comes-behind-the-guest", test_handler_comes_behind_the_guest);
    g_test_add_func("/acpi-hotplug/board-functions-stay", test_board_functions_stay);
    g_test_add_func("/acpi-hotplug/odd-accesses", test_odd_accesses);
    status = g_test_run();
    g_string_free(deleted, TRUE);
    machine_unlock();
    return status;
}
