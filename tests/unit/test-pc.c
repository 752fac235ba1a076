/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the pc board: what is where, and what a reset of the machine reaches.
 */
#include "accel/accel.h"
#include "hw/i386/pc.h"
#include "hw/i386/pir.h"
#include "hw/intc/gsi.h"
#include "hw/intc/i8259.h"
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

/* ---- interrupt routing ----------------------------------------------------------------------- */

#define PIIX3_ROUTES 0x60

static uint8_t pic_requests(unsigned command_port)
{
    uint64_t value;

    address_space_write(system_io(), command_port, 0x0a, 1); /* OCW3: the next read is IRR */
    address_space_read(system_io(), command_port, &value, 1);
    return (uint8_t)value;
}

static uint32_t ioapic_levels(void)
{
    return IOAPIC(qom_resolve("/machine/ioapic"))->asserted;
}

/* ISA interrupts 10 and 11 are level triggered, as firmware sets them for PCI. */
static void program_pic(void)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } writes[] = {
        { 0x20, 0x11 }, { 0x21, 0x08 }, { 0x21, 0x04 }, { 0x21, 0x01 },
        { 0xa0, 0x11 }, { 0xa1, 0x70 }, { 0xa1, 0x02 }, { 0xa1, 0x01 },
        { 0x4d1, 0x0c }, { 0x21, 0x00 }, { 0xa1, 0x00 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        address_space_write(system_io(), writes[i].port, writes[i].value, 1);
    }
}

static Device *plug_probe(unsigned slot)
{
    Device *dev = device_new(probe_get_type());

    PCI_DEVICE(dev)->addr = PCI_DEVFN_OF(slot, 0);
    g_assert_true(device_realize(dev, bus_find("pci.0"), NULL));
    return dev;
}

static void unplug_probe(Device *dev)
{
    device_unrealize(dev);
    g_object_unref(dev);
}

/* Slot 6's INTA is PIRQ B, GSI 17. */
static void test_pci_interrupt_takes_both_ways(void)
{
    Device *dev = plug_probe(6);

    system_reset();
    program_pic();
    pci_set_irq(PCI_DEVICE(dev), 1);
    g_assert_cmphex(ioapic_levels(), ==, 1u << 17);
    g_assert_cmphex(pic_requests(0xa0), ==, 0); /* no route yet */
    config_write(1, PIIX3_ROUTES, 0x80800b80);  /* PIRQ B to 11 */
    g_assert_cmphex(pic_requests(0xa0), ==, 1 << 3);
    g_assert_cmphex(ioapic_levels(), ==, 1u << 17 | 1u << 11); /* where SeaBIOS's MP table has it */
    config_write(1, PIIX3_ROUTES, 0x80800a80);
    g_assert_cmphex(pic_requests(0xa0), ==, 1 << 2);
    g_assert_cmphex(ioapic_levels(), ==, 1u << 17 | 1u << 10);
    pci_set_irq(PCI_DEVICE(dev), 0);
    g_assert_cmphex(pic_requests(0xa0), ==, 0);
    g_assert_cmphex(ioapic_levels(), ==, 0);
    unplug_probe(dev);
}

static unsigned eois[24];

static void count_eoi(GsiNotifier *notifier)
{
    eois[notifier->gsi]++;
}

/* Who waits for the end of GSI 17 hears of it from the 8259s, too, while PIRQ B is routed. */
static void test_end_at_the_8259s_is_told_of_the_pirq(void)
{
    Device *dev = plug_probe(6);
    I8259 *pic = (I8259 *)qom_resolve("/machine/unattached/isa-i8259");
    GsiNotifier own = { .eoi = count_eoi }, other = { .eoi = count_eoi };

    g_assert_nonnull(pic);
    memset(eois, 0, sizeof(eois));
    gsi_notifier_add(&own, 17);
    gsi_notifier_add(&other, 18);
    system_reset();
    program_pic();
    config_write(1, PIIX3_ROUTES, 0x80800b80);
    pci_set_irq(PCI_DEVICE(dev), 1);
    g_assert_cmphex(i8259_acknowledge(pic), ==, 0x73);
    g_assert_cmpuint(eois[17], ==, 0);
    address_space_write(system_io(), 0xa0, 0x20, 1);
    address_space_write(system_io(), 0x20, 0x20, 1);
    g_assert_cmpuint(eois[17], ==, 1);
    g_assert_cmpuint(eois[18], ==, 0);
    gsi_notifier_remove(&own);
    gsi_notifier_remove(&other);
    unplug_probe(dev);
}

/* The same by the I/O APIC, whichever of its pins the guest uses. */
static void test_end_at_the_io_apic_is_told_of_the_pirq(void)
{
    Device *dev = plug_probe(6);
    GsiNotifier own = { .eoi = count_eoi }, other = { .eoi = count_eoi };
    Ioapic *ioapic = IOAPIC(qom_resolve("/machine/ioapic"));

    memset(eois, 0, sizeof(eois));
    gsi_notifier_add(&own, 17);
    gsi_notifier_add(&other, 18);
    system_reset();
    config_write(1, PIIX3_ROUTES, 0x80800b80);
    ioapic->redir[11] = IOAPIC_ENTRY_LEVEL | 0x41;
    pci_set_irq(PCI_DEVICE(dev), 1);
    g_assert_true(ioapic->redir[11] & IOAPIC_ENTRY_REMOTE_IRR);
    ioapic_eoi(ioapic, 0x41);
    g_assert_cmpuint(eois[17], ==, 1);
    ioapic->redir[17] = IOAPIC_ENTRY_LEVEL | 0x42;
    ioapic_eoi(ioapic, 0x42);
    g_assert_cmpuint(eois[17], ==, 2);
    g_assert_cmpuint(eois[18], ==, 0);
    pci_set_irq(PCI_DEVICE(dev), 0);
    gsi_notifier_remove(&own);
    gsi_notifier_remove(&other);
    unplug_probe(dev);
}

/* The table for kernels without ACPI says what the bus does, pin by pin, and by which register it is routed. */
static void test_interrupt_routing_table(void)
{
    g_autoptr(GBytes) bytes = pir_table();
    gsize size;
    const uint8_t *table = g_bytes_get_data(bytes, &size);
    uint8_t sum = 0;

    g_assert_cmpmem(table, 4, "$PIR", 4);
    g_assert_cmpuint(size, ==, table[6] | table[7] << 8);
    g_assert_cmpuint(size, ==, 32 + 32 * 16);
    g_assert_cmpmem(table + 8, 8, "\0\x08\0\0\x86\x80\0\x70", 8);
    for (unsigned i = 0; i < size; i++) {
        sum += table[i];
    }
    g_assert_cmpuint(sum, ==, 0);
    for (unsigned slot = 2; slot < 32; slot++) {
        const uint8_t *entry = table + 32 + 16 * slot;
        Device *dev = plug_probe(slot);

        g_assert_cmphex(entry[1], ==, slot << 3);
        g_assert_cmphex(entry[3] | entry[4] << 8, ==, 1u << 5 | 1u << 10 | 1u << 11);
        for (unsigned pirq = 0; pirq < 4; pirq++) {
            config_write(1, PIIX3_ROUTES, 0x80808080 ^ 0x8bu << (8 * pirq));
            pci_set_irq(PCI_DEVICE(dev), 1);
            g_assert_cmpuint(ioapic_levels() >> 11 & 1, ==, entry[2] == PIIX3_ROUTES + pirq);
            pci_set_irq(PCI_DEVICE(dev), 0);
        }
        unplug_probe(dev);
    }
    /* As SeaBIOS has it: the first slot behind the bridge begins with PIRQ A. */
    g_assert_cmphex(table[32 + 16 + 2], ==, PIIX3_ROUTES);
    g_assert_cmphex(table[32 + 16 + 5], ==, PIIX3_ROUTES + 1);
    g_assert_cmphex(table[32 + 32 + 2], ==, PIIX3_ROUTES + 1);
}

/* ISA interrupt 0 is pin 2 of the I/O APIC; the others have their own number. */
static void test_isa_interrupts(void)
{
    IsaBus *isa = (IsaBus *)bus_find("isa.0");

    system_reset();
    program_pic();
    irq_set(isa_bus_irq(isa, 0), 0);
    irq_set(isa_bus_irq(isa, 0), 1);
    g_assert_cmphex(ioapic_levels(), ==, 1u << 2);
    g_assert_cmphex(pic_requests(0x20) & 1, ==, 1);
    irq_set(isa_bus_irq(isa, 0), 0);
    irq_set(isa_bus_irq(isa, 4), 1);
    g_assert_cmphex(ioapic_levels(), ==, 1u << 4);
    irq_set(isa_bus_irq(isa, 4), 0);
    g_assert_cmphex(ioapic_levels(), ==, 0);
}

/* A PIRQ that is routed to an interrupt with a source of its own: either asserts it. */
static void test_routed_and_own_source_are_ored(void)
{
    IsaBus *isa = (IsaBus *)bus_find("isa.0");
    Device *dev = plug_probe(6);

    system_reset();
    program_pic();
    config_write(1, PIIX3_ROUTES, 0x80800b80);
    irq_set(isa_bus_irq(isa, 11), 1);
    pci_set_irq(PCI_DEVICE(dev), 1);
    irq_set(isa_bus_irq(isa, 11), 0);
    g_assert_cmphex(pic_requests(0xa0), ==, 1 << 3);
    pci_set_irq(PCI_DEVICE(dev), 0);
    g_assert_cmphex(pic_requests(0xa0), ==, 0);
    unplug_probe(dev);
}

static void test_hole_below_1m(void)
{
    uint64_t value;

    system_reset();
    address_space_write(system_memory(), 0x9fffc, 0x12345678, 4);
    address_space_read(system_memory(), 0x9fffc, &value, 4);
    g_assert_cmphex(value, ==, 0x12345678);
    g_assert_cmpint(address_space_read(system_memory(), 0xc0000, &value, 4), ==, MEM_DECODE_ERROR);
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
    g_test_add_func("/pc/pci-interrupt-takes-both-ways", test_pci_interrupt_takes_both_ways);
    g_test_add_func("/pc/end-at-the-8259s-is-told-of-the-pirq", test_end_at_the_8259s_is_told_of_the_pirq);
    g_test_add_func("/pc/end-at-the-io-apic-is-told-of-the-pirq", test_end_at_the_io_apic_is_told_of_the_pirq);
    g_test_add_func("/pc/interrupt-routing-table", test_interrupt_routing_table);
    g_test_add_func("/pc/isa-interrupts", test_isa_interrupts);
    g_test_add_func("/pc/routed-and-own-source-are-ored", test_routed_and_own_source_are_ored);
    g_test_add_func("/pc/hole-below-1m", test_hole_below_1m);
    return g_test_run();
}
