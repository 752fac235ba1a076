/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest on the chipset's registers: random accesses to config space and ports, with devices that come, are
 * asked to go, and are taken by surprise.  What is tested is that nothing crashes, leaks or hangs, which the
 * sanitizers' builds see best, and that the board's functions are there in the end.  MPQEMU_TEST_SEED and
 * MPQEMU_TEST_STEPS repeat a run.
 */
#include <stdlib.h>

#include "hw/acpi/pci-hotplug.h"
#include "hw/i386/i440fx.h"
#include "hw/i386/pci-host.h"
#include "hw/i386/piix3.h"
#include "hw/nvram/fw_cfg.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define RAM_SIZE 0x200000u
#define STEPS 60000u

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
    klass->pci_class.interrupt_pin = 1;
}

static void test_function_init(TestFunction *self)
{
}

static MemoryRegion root_mem, root_io, ram, pci_memory;
static AddressSpace *mem, *io;
static PciBus *bus;
static Piix3 *piix3;
static AcpiPm *pm;
static AcpiPciHotplug *hotplug;
static FwCfg *cfg;
static GRand *rand_state;
static unsigned interrupts;

static uint32_t below(uint32_t end)
{
    return (uint32_t)g_rand_int_range(rand_state, 0, (gint32)end);
}

static void set_isa_irq(void *opaque, unsigned irq, int level)
{
    g_assert_cmpuint(irq, <, 16);
    interrupts++;
}

static void set_sci(void *opaque, int level)
{
    interrupts++;
}

static void ignore_route(void *opaque)
{
}

static void ignore_reset(void *opaque, bool hard)
{
}

static void ignore_shutdown(void *opaque)
{
}

static unsigned map_irq(PciDevice *dev, unsigned pin)
{
    return (PCI_SLOT_OF(dev->devfn) + pin) & 3;
}

static void set_pirq(void *opaque, int pirq, int level)
{
    piix3_set_pirq(piix3, (unsigned)pirq, level);
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void access_port(unsigned port)
{
    unsigned size = 1u << below(3);
    uint64_t value;

    if (below(2)) {
        address_space_write(io, port, g_rand_int(rand_state), size);
    } else {
        address_space_read(io, port, &value, size);
    }
}

static void do_port(void)
{
    static const struct {
        unsigned base, size;
    } places[] = {
        { FW_CFG_BASE, 12 }, { PM_BASE, PM_BLOCK_SIZE }, { PM_GPE0_BASE, 4 }, { ACPI_PCI_HOTPLUG_BASE, 16 },
        { PM_APM_CONTROL, 2 }, { 0xcf8, 8 }, { 0, 0x10000 },
    };
    unsigned which = below(G_N_ELEMENTS(places));

    access_port(places[which].base + below(places[which].size));
}

static void do_config(void)
{
    static const uint8_t functions[] = { 0, PCI_DEVFN_OF(1, 0), PCI_DEVFN_OF(1, 3), PCI_DEVFN_OF(4, 0) };
    unsigned reg = below(256) & ~3u;

    address_space_write(io, 0xcf8, 0x80000000u | (uint32_t)functions[below(4)] << 8 | reg, 4);
    access_port(0xcfc + below(4));
}

static void do_memory(void)
{
    hwaddr addr = 0xa0000 + below(0x60000);
    uint64_t value;

    if (below(2)) {
        address_space_write(mem, addr, g_rand_int(rand_state), 1u << below(4));
    } else {
        address_space_read(mem, addr, &value, 1u << below(4));
    }
}

/* A request whose bytes are random, at an address that is RAM most of the time. */
static void do_fw_cfg_request(void)
{
    hwaddr at = below(RAM_SIZE + 0x1000);

    for (unsigned i = 0; i < 16; i += 4) {
        address_space_write(mem, at + i, below(4) ? below(0x100) << 24 : g_rand_int(rand_state), 4);
    }
    address_space_write(io, FW_CFG_DMA_BASE + 4, GUINT32_SWAP_LE_BE((uint32_t)at), 4);
}

static void do_listen(void)
{
    address_space_write(io, PM_APM_CONTROL, PM_ACPI_ENABLE, 1);
    address_space_write(io, PM_GPE0_BASE + 2, 1 << PM_GPE_PCI_HOTPLUG, 2);
}

static void added(Device *dev, const GError *err, void *opaque)
{
}

static void do_add(void)
{
    g_autofree char *text = g_strdup_printf("test-function,id=d%u,addr=%x", below(4), 2 + below(4));
    g_autoptr(Options) opts = options_parse("device_add", text, "driver", NULL);

    device_add_async(opts, added, NULL);
}

static void do_del(void)
{
    g_autofree char *id = g_strdup_printf("d%u", below(4));

    device_del(id, NULL);
}

static void do_surprise(void)
{
    g_autofree char *id = g_strdup_printf("d%u", below(4));
    Device *dev = device_find(id);

    if (dev && !below(4)) {
        device_unplugged(dev);
    } else if (dev) {
        pci_set_irq(PCI_DEVICE(dev), (int)below(2));
    }
}

static void do_time(void)
{
    event_clock_step(event_loop_main(), below(1000000000));
    event_loop_turn(event_loop_main(), false);
}

static void do_board(void)
{
    if (!below(50)) {
        acpi_pci_hotplug_reset(hotplug);
        bus_reset(BUS(bus));
        fw_cfg_reset(cfg);
    } else {
        acpi_pm_power_button(pm);
    }
}

static void test_random(void)
{
    static void (*const steps[])(void) = {
        do_port, do_port, do_port, do_config, do_config, do_memory, do_fw_cfg_request,
        do_listen, do_add, do_del, do_surprise, do_time, do_board,
    };
    const char *seed_text = g_getenv("MPQEMU_TEST_SEED"), *steps_text = g_getenv("MPQEMU_TEST_STEPS");
    uint32_t seed = seed_text ? (uint32_t)strtoul(seed_text, NULL, 0) : g_random_int();
    unsigned long count = steps_text ? strtoul(steps_text, NULL, 0) : STEPS;
    uint32_t id;

    g_test_message("MPQEMU_TEST_SEED=%u", seed);
    rand_state = g_rand_new_with_seed(seed);
    for (unsigned long i = 0; i < count; i++) {
        steps[below(G_N_ELEMENTS(steps))]();
    }
    g_rand_free(rand_state);
    acpi_pci_hotplug_reset(hotplug);
    bus_reset(BUS(bus));
    for (unsigned i = 0; i < 1000 && event_loop_turn(event_loop_main(), false); i++) {
    }
    g_assert_true(pci_config_read(pci_bus_device(bus, 0), PCI_VENDOR_ID, &id, 4));
    g_assert_cmphex(id, ==, 0x12378086);
    g_assert_true(pci_config_read(pci_bus_device(bus, PCI_DEVFN_OF(1, 0)), PCI_VENDOR_ID, &id, 4));
    g_assert_cmphex(id, ==, 0x70008086);
    g_assert_true(pci_config_read(pci_bus_device(bus, PCI_DEVFN_OF(1, 3)), PCI_VENDOR_ID, &id, 4));
    g_assert_cmphex(id, ==, 0x71138086);
    g_assert_cmpuint(interrupts, >, 0);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { test_function_get_type, NULL };
    static const Piix3Hooks piix3_hooks = { set_isa_irq, ignore_reset, ignore_route, NULL };
    static const AcpiPmHooks pm_hooks = { set_sci, ignore_shutdown, NULL };
    RamBlock *block;
    PciHost *host;
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_clock_set_manual();
    block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    memory_region_init(&pci_memory, NULL, "pci-memory", MEMORY_SIZE_WHOLE);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, RAM_SIZE);
    memory_region_add(&root_mem, 0, &pci_memory, -1);
    memory_region_add(&root_mem, 0, &ram, -2);
    mem = address_space_new(&root_mem, "mem");
    io = address_space_new(&root_io, "io");
    bus = pci_root_bus_new("pci.0", &pci_memory, &root_io, mem, PCI_DEVFN_OF(2, 0));
    pci_bus_set_irqs(bus, map_irq, set_pirq, NULL, 4);
    host = pci_host_new(bus, &root_io);
    g_assert_nonnull(i440fx_new(bus, &root_mem, &ram, &pci_memory, NULL));
    piix3 = piix3_new(bus, PCI_DEVFN_OF(1, 0), &piix3_hooks, NULL);
    pci_host_set_reset_control(host, piix3_reset_control(piix3));
    pm = acpi_pm_new(bus, PCI_DEVFN_OF(1, 3), &root_io, &pm_hooks, NULL);
    hotplug = acpi_pci_hotplug_new(bus, pm, &root_io);
    cfg = fw_cfg_new(&root_io, mem);
    fw_cfg_set_file_copy(cfg, "etc/file", "0123456789", 10);
    g_test_add_func("/chipset/random", test_random);
    status = g_test_run();
    ram_block_unref(block);
    machine_unlock();
    return status;
}
