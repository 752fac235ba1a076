/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the pc board: what is where, and what a reset of the machine reaches.
 */
#include "accel/accel.h"
#include "hw/i386/pc.h"
#include "hw/intc/ioapic.h"
#include "hw/pci/pci.h"
#include "system/reset.h"
#include "util/machine-lock.h"

/* There are no CPUs. */
const Accel *const accels[] = { NULL };

#define RAM_SIZE 0x100000ull
#define ENTRY0 (IOAPIC_REG_REDIR + 0)

/* A function that notes the order of its reset. */
typedef struct Probe {
    PciDevice pci;
    unsigned resets;
} Probe;
typedef struct ProbeClass {
    PciDeviceClass pci_class;
} ProbeClass;

static GType probe_get_type(void);
QOM_DEFINE_TYPE(Probe, probe, "test-probe", TYPE_PCI_DEVICE, 0)

static void probe_reset(PciDevice *dev)
{
    ((Probe *)dev)->resets++;
}

static void probe_class_init(ProbeClass *klass)
{
    klass->pci_class.vendor_id = 0x1234;
    klass->pci_class.interrupt_pin = 1;
    klass->pci_class.reset = probe_reset;
}

static void probe_init(Probe *self)
{
}

static uint32_t ioapic_entry(void)
{
    uint64_t value;

    address_space_write(system_memory(), IOAPIC_BASE + IOAPIC_SELECT, ENTRY0, 4);
    address_space_read(system_memory(), IOAPIC_BASE + IOAPIC_DATA, &value, 4);
    return (uint32_t)value;
}

static uint32_t config_read(unsigned slot, unsigned addr)
{
    uint64_t value;

    address_space_write(system_io(), 0xcf8, 0x80000000 | slot << 11 | addr, 4);
    address_space_read(system_io(), 0xcfc, &value, 4);
    return (uint32_t)value;
}

static void config_write(unsigned slot, unsigned addr, uint32_t value)
{
    address_space_write(system_io(), 0xcf8, 0x80000000 | slot << 11 | addr, 4);
    address_space_write(system_io(), 0xcfc, value, 4);
}

static void test_host_bridge_answers(void)
{
    g_assert_cmphex(config_read(0, PCI_VENDOR_ID), ==, 0x12378086);
    g_assert_cmphex(config_read(9, PCI_VENDOR_ID), ==, UINT32_MAX);
}

static void test_reset_reaches_devices_and_interrupt_controller(void)
{
    Device *dev = device_new(probe_get_type());
    Probe *probe = (Probe *)dev;
    QomObject *board = qom_resolve("/machine/ioapic");

    PCI_DEVICE(dev)->addr = PCI_DEVFN_OF(5, 0);
    g_assert_true(device_realize(dev, bus_find("pci.0"), NULL));
    g_assert_cmpuint(probe->resets, ==, 1);
    config_write(5, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    address_space_write(system_memory(), IOAPIC_BASE + IOAPIC_SELECT, ENTRY0, 4);
    address_space_write(system_memory(), IOAPIC_BASE + IOAPIC_DATA, 0x8031, 4);
    pci_set_irq(&probe->pci, 1);
    g_assert_cmphex(ioapic_entry(), ==, 0x8031);
    g_assert_cmphex(IOAPIC(board)->asserted, !=, 0);

    system_reset();
    g_assert_cmpuint(probe->resets, ==, 2);
    g_assert_cmphex(config_read(5, PCI_COMMAND) & 0xffff, ==, 0);
    g_assert_cmphex(ioapic_entry(), ==, IOAPIC_ENTRY_MASKED);
    g_assert_cmphex(IOAPIC(board)->asserted, ==, 0);
    device_unrealize(dev);
    g_object_unref(dev);
}

int main(int argc, char **argv)
{
    MemoryRegion ram;
    RamBlock *block;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, RAM_SIZE);
    g_assert_true(pc_init(&(PcConfig) { .ram = &ram, .ram_size = RAM_SIZE }, NULL));
    g_test_add_func("/pc/host-bridge-answers", test_host_bridge_answers);
    g_test_add_func("/pc/reset-reaches-devices-and-interrupt-controller",
                    test_reset_reaches_devices_and_interrupt_controller);
    return g_test_run();
}
