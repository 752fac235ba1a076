/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of PCI: config space, BARs of every kind, capabilities, INTx, MSI, MSI-X, slots.
 */
#include <string.h>
#include "hw/pci/msi.h"
#include "util/error.h"
#include "util/machine-lock.h"

/* A function with one BAR of each kind: 0 I/O, 1 memory, 2+3 64-bit prefetchable, 4 with the MSI-X table, ROM. */
typedef struct Card {
    PciDevice pci;
    MemoryRegion io, mem, big, msix, rom;
    RamBlock *rom_block;
    uint64_t last_addr;
    bool fail;
} Card;
typedef struct CardClass {
    PciDeviceClass pci_class;
} CardClass;

GType card_get_type(void);
QOM_DEFINE_TYPE(Card, card, "test-card", TYPE_PCI_DEVICE, 0)

static MemResult card_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0xa5;
    ((Card *)opaque)->last_addr = addr;
    return MEM_OK;
}

static MemResult card_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    ((Card *)opaque)->last_addr = addr;
    return MEM_OK;
}

static const MemoryRegionOps card_ops = { card_read, card_write };

static bool card_realize(PciDevice *dev, GError **errp)
{
    Card *card = (Card *)dev;
    QomObject *owner = QOM_OBJECT(dev);

    if (card->fail) {
        error_setg(errp, "told to fail");
        return false;
    }
    card->rom_block = ram_block_new_memfd("rom", 4096, true, errp);
    memset(card->rom_block->host, 0x77, 4096);
    memory_region_init_io(&card->io, owner, &card_ops, card, "io", 0x100);
    memory_region_init_io(&card->mem, owner, &card_ops, card, "mem", 0x400);
    memory_region_init_io(&card->big, owner, &card_ops, card, "big", 0x200000000);
    memory_region_init(&card->msix, owner, "msix", 0x1000);
    memory_region_init_rom(&card->rom, owner, "rom", card->rom_block, 0, 4096);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_IO, &card->io);
    pci_register_bar(dev, 1, PCI_BASE_ADDRESS_SPACE_MEMORY, &card->mem);
    pci_register_bar(dev, 2, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, &card->big);
    pci_register_bar(dev, 4, PCI_BASE_ADDRESS_SPACE_MEMORY, &card->msix);
    pci_register_bar(dev, PCI_ROM_SLOT, 0, &card->rom);
    return msi_init(dev, 0, 4, true, errp) && msix_init(dev, 0, 3, &card->msix, 4, 0, 0x800, errp);
}

static void card_unrealize(PciDevice *dev)
{
    Card *card = (Card *)dev;

    memory_region_destroy(&card->io);
    memory_region_destroy(&card->mem);
    memory_region_destroy(&card->big);
    msix_uninit(dev);
    memory_region_destroy(&card->msix);
    memory_region_destroy(&card->rom);
    ram_block_unref(card->rom_block);
}

static const QomProperty card_properties[] = {
    { "fail", QOM_PROP_KIND_BOOL, offsetof(Card, fail), .description = "realize fails" },
    { 0 },
};

static void card_class_init(CardClass *klass)
{
    PciDeviceClass *pci = &klass->pci_class;

    pci->realize = card_realize;
    pci->unrealize = card_unrealize;
    pci->vendor_id = 0x1234;
    pci->device_id = 0x5678;
    pci->class_code = 0x010203;
    pci->revision = 9;
    pci->interrupt_pin = 2;
    qom_class_add_properties(klass, card_properties);
}

static void card_init(Card *self)
{
}

/* ---- fixture: a bus with shared spaces --------------------------------------------------------------------------- */

static PciBus *bus;
static int irq_line, irq_level, irq_calls;
static uint64_t msi_addr;
static uint32_t msi_data;
static int msi_calls;

static unsigned map_irq(PciDevice *dev, unsigned pin)
{
    return PCI_SLOT_OF(dev->devfn) + pin;
}

static void set_irq(void *opaque, int line, int level)
{
    irq_line = line;
    irq_level = level;
    irq_calls++;
}

static void send_msi(void *opaque, PciDevice *dev, uint64_t addr, uint32_t data)
{
    msi_addr = addr;
    msi_data = data;
    msi_calls++;
}

static Device *add(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-device", text, "driver", errp);

    return opts ? device_add(opts, errp) : NULL;
}

static PciDevice *add_card(const char *text)
{
    GError *error = NULL;
    Device *dev = add(text, &error);

    g_assert_no_error(error);
    return PCI_DEVICE(dev);
}

static uint32_t cfg_rd(PciDevice *dev, unsigned addr, unsigned size)
{
    uint32_t value;

    g_assert_true(pci_config_read(dev, addr, &value, size));
    return value;
}

static void cfg_wr(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    g_assert_true(pci_config_write(dev, addr, value, size));
}

static void test_header(void)
{
    PciDevice *dev = add_card("test-card,id=c0");

    g_assert_cmphex(cfg_rd(dev, PCI_VENDOR_ID, 4), ==, 0x56781234);
    g_assert_cmphex(cfg_rd(dev, PCI_CLASS_REVISION, 4), ==, 0x01020309);
    g_assert_cmphex(cfg_rd(dev, PCI_INTERRUPT_PIN, 1), ==, 2);
    cfg_wr(dev, PCI_VENDOR_ID, 0, 4);
    g_assert_cmphex(cfg_rd(dev, PCI_VENDOR_ID, 2), ==, 0x1234);
    cfg_wr(dev, PCI_COMMAND, 0xffff, 2);
    g_assert_cmphex(cfg_rd(dev, PCI_COMMAND, 2), ==, 0x0547);
    device_unrealize(&dev->dev);
    g_assert_null(device_find("c0"));
}

static void test_config_access_is_bounded(void)
{
    PciDevice *dev = add_card("test-card");
    uint32_t value;

    g_assert_true(pci_config_read(dev, 255, &value, 1));
    g_assert_true(pci_config_read(dev, 254, &value, 2));
    g_assert_false(pci_config_read(dev, 255, &value, 2));
    g_assert_cmphex(value, ==, 0xffff);
    g_assert_false(pci_config_read(dev, 256, &value, 1));
    g_assert_false(pci_config_read(dev, UINT32_MAX, &value, 4));
    g_assert_false(pci_config_read(dev, 0, &value, 3));
    g_assert_false(pci_config_read(dev, 0, &value, 0));
    g_assert_false(pci_config_write(dev, 253, 0, 4));
    device_unrealize(&dev->dev);
}

/* A host bridge looks a function up, takes a reference, and asks it: it may be unplugged in between. */
static void test_unplugged_function_reads_all_ones(void)
{
    PciDevice *dev = g_object_ref(add_card("test-card"));
    uint32_t value = 0;

    device_unrealize(&dev->dev);
    g_assert_false(pci_config_read(dev, PCI_VENDOR_ID, &value, 2));
    g_assert_cmphex(value, ==, 0xffff);
    g_assert_false(pci_config_write(dev, PCI_COMMAND, 0, 2));
    g_object_unref(dev);
}

static void test_bar_sizing(void)
{
    static const struct {
        unsigned reg;
        uint32_t sized;
    } cases[] = {
        { 0x10, 0xffffff01 }, { 0x14, 0xfffffc00 }, { 0x18, 0x0000000c }, { 0x1c, 0xfffffffe },
        { 0x20, 0xfffff000 }, { 0x24, 0 },          { 0x30, 0xfffff001 },
    };
    PciDevice *dev = add_card("test-card");

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        cfg_wr(dev, cases[i].reg, UINT32_MAX, 4);
        g_assert_cmphex(cfg_rd(dev, cases[i].reg, 4), ==, cases[i].sized);
    }
    device_unrealize(&dev->dev);
}

static void test_bars_decode_where_they_are_put(void)
{
    PciDevice *dev = add_card("test-card");
    Card *card = (Card *)dev;
    uint64_t value, offset;

    cfg_wr(dev, 0x10, 0xc000, 4);
    cfg_wr(dev, 0x14, 0xfe000000, 4);
    cfg_wr(dev, 0x18, 0, 4);
    cfg_wr(dev, 0x1c, 0x10, 4); /* 0x10_0000_0000 */
    cfg_wr(dev, 0x30, 0xfd000001, 4);
    g_assert_cmpint(address_space_read(system_memory(), 0xfe000010, &value, 1), ==, MEM_DECODE_ERROR);
    cfg_wr(dev, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(address_space_read(system_memory(), 0xfe000010, &value, 1), ==, MEM_OK);
    g_assert_cmphex(card->last_addr, ==, 0x10);
    g_assert_cmpint(address_space_read(system_memory(), 0x11ffffffffull, &value, 1), ==, MEM_OK);
    g_assert_cmphex(card->last_addr, ==, 0x1ffffffff);
    g_assert_cmpint(address_space_write(system_io(), 0xc0fc, 0, 4), ==, MEM_OK);
    g_assert_cmphex(card->last_addr, ==, 0xfc);
    g_assert_cmpint(address_space_read(system_memory(), 0xfd000000, &value, 4), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x77777777);

    g_assert_cmpint(pci_find_bar(dev, true, 0xfe0003fc, 4, &offset), ==, 1);
    g_assert_cmphex(offset, ==, 0x3fc);
    g_assert_cmpint(pci_find_bar(dev, true, 0xfe0003fd, 4, &offset), ==, -1);
    g_assert_cmpint(pci_find_bar(dev, false, 0xc000, 1, &offset), ==, 0);
    g_assert_cmpint(pci_find_bar(dev, false, 0xfe000000, 1, &offset), ==, -1);
    g_assert_cmpint(pci_find_bar(dev, true, 0xfd000000, 4, &offset), ==, PCI_ROM_SLOT);

    /* Sizing with decode on must not map at the end of the space. */
    cfg_wr(dev, 0x14, UINT32_MAX, 4);
    g_assert_cmpint(address_space_read(system_memory(), 0xfffffc00, &value, 1), ==, MEM_DECODE_ERROR);
    cfg_wr(dev, 0x14, 0xfe000000, 4);
    device_reset(&dev->dev);
    g_assert_cmpint(address_space_read(system_memory(), 0xfe000010, &value, 1), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(cfg_rd(dev, 0x18, 4), ==, 0x0000000c);
    device_unrealize(&dev->dev);
}

static void test_intx(void)
{
    PciDevice *a = add_card("test-card,addr=3");
    PciDevice *b = add_card("test-card,addr=4");

    irq_calls = 0;
    pci_set_irq(a, 1);
    pci_set_irq(a, 1); /* no balance is expected */
    g_assert_cmpint(irq_calls, ==, 1);
    g_assert_cmpint(irq_line, ==, 4);
    g_assert_true(cfg_rd(a, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    cfg_wr(a, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    g_assert_cmpint(irq_level, ==, 0);
    g_assert_true(cfg_rd(a, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    cfg_wr(a, PCI_COMMAND, 0, 2);
    g_assert_cmpint(irq_level, ==, 1);
    pci_set_irq(b, 1);
    g_assert_cmpint(irq_line, ==, 5);
    device_reset(&a->dev);
    g_assert_cmpint(irq_line, ==, 4);
    g_assert_cmpint(irq_level, ==, 0);
    device_unrealize(&b->dev);
    g_assert_cmpint(irq_line, ==, 5);
    g_assert_cmpint(irq_level, ==, 0);
    device_unrealize(&a->dev);
}

static void test_shared_intx_line_is_wired_or(void)
{
    PciDevice *a = add_card("test-card,addr=3.0,multifunction=on");
    PciDevice *b = add_card("test-card,addr=3.1");

    irq_calls = 0;
    pci_set_irq(a, 1);
    pci_set_irq(b, 1);
    pci_set_irq(a, 0);
    g_assert_cmpint(irq_calls, ==, 1);
    g_assert_cmpint(irq_level, ==, 1);
    pci_set_irq(b, 0);
    g_assert_cmpint(irq_level, ==, 0);
    device_unrealize(&b->dev);
    device_unrealize(&a->dev);
}

static unsigned find_cap(PciDevice *dev, uint8_t id)
{
    unsigned offset = cfg_rd(dev, PCI_CAPABILITY_LIST, 1);

    while (offset && cfg_rd(dev, offset, 1) != id) {
        offset = cfg_rd(dev, offset + 1, 1);
    }
    return offset;
}

static void test_msi(void)
{
    PciDevice *dev = add_card("test-card");
    unsigned cap = find_cap(dev, PCI_CAP_ID_MSI);

    g_assert_cmpuint(cap, !=, 0);
    msi_calls = 0;
    msi_notify(dev, 0);
    g_assert_cmpint(msi_calls, ==, 0);
    cfg_wr(dev, cap + PCI_MSI_ADDRESS_LO, 0xfee01003, 4);
    cfg_wr(dev, cap + PCI_MSI_DATA_64, 0x40, 2);
    cfg_wr(dev, cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | (1 << 4), 2); /* two of four vectors */
    msi_notify(dev, 3);
    g_assert_cmphex(msi_addr, ==, 0xfee01000);
    g_assert_cmphex(msi_data, ==, 0x41);
    cfg_wr(dev, cap + PCI_MSI_MASK_64, 1, 4);
    msi_notify(dev, 0);
    g_assert_cmpint(msi_calls, ==, 1);
    g_assert_cmphex(cfg_rd(dev, cap + PCI_MSI_PENDING_64, 4), ==, 1);
    cfg_wr(dev, cap + PCI_MSI_MASK_64, 0, 4);
    g_assert_cmpint(msi_calls, ==, 2);
    g_assert_cmphex(msi_data, ==, 0x40);
    device_reset(&dev->dev);
    g_assert_false(msi_enabled(dev));
    device_unrealize(&dev->dev);
}

static void test_msix(void)
{
    PciDevice *dev = add_card("test-card");
    unsigned cap = find_cap(dev, PCI_CAP_ID_MSIX);
    AddressSpace *as = system_memory();
    uint64_t value;

    g_assert_cmphex(cfg_rd(dev, cap + PCI_MSIX_FLAGS, 2), ==, 2);
    g_assert_cmphex(cfg_rd(dev, cap + PCI_MSIX_TABLE, 4), ==, 4);
    g_assert_cmphex(cfg_rd(dev, cap + PCI_MSIX_PBA, 4), ==, 0x804);
    cfg_wr(dev, 0x20, 0xfc000000, 4);
    cfg_wr(dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    msi_calls = 0;
    address_space_write(as, 0xfc000010, 0xfee00000, 8);
    address_space_write(as, 0xfc000018, 0x51, 4);
    cfg_wr(dev, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
    msix_notify(dev, 1);
    g_assert_cmpint(msi_calls, ==, 0); /* masked since reset */
    address_space_read(as, 0xfc000800, &value, 8);
    g_assert_cmphex(value, ==, 2);
    address_space_write(as, 0xfc000800, 0, 8);
    address_space_write(as, 0xfc00001c, 0, 4);
    g_assert_cmpint(msi_calls, ==, 1);
    g_assert_cmphex(msi_data, ==, 0x51);
    address_space_read(as, 0xfc000800, &value, 8);
    g_assert_cmphex(value, ==, 0);
    cfg_wr(dev, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
    msix_notify(dev, 1);
    g_assert_cmpint(msi_calls, ==, 1);
    cfg_wr(dev, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
    g_assert_cmpint(msi_calls, ==, 2);
    msix_notify(dev, 3); /* past the last */
    g_assert_cmpint(msi_calls, ==, 2);
    device_unrealize(&dev->dev);
}

static void expect_add_error(const char *text, const char *part)
{
    GError *error = NULL;

    g_assert_null(add(text, &error));
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, part));
    g_clear_error(&error);
}

static void test_device_add_errors_leave_nothing(void)
{
    PciDevice *dev = add_card("test-card,id=a,addr=5");

    expect_add_error("no-such-thing", "'no-such-thing' is not a valid device model name");
    expect_add_error("pci-device", "pci-device");
    expect_add_error("test-card,id=a", "'a' is already in use");
    expect_add_error("test-card,addr=5", "taken by test-card");
    expect_add_error("test-card,addr=20", "addr=20");
    expect_add_error("test-card,addr=5.8", "addr=5.8");
    expect_add_error("test-card,addr=x", "addr=x");
    expect_add_error("test-card,addr=6.1", "multifunction");
    expect_add_error("test-card,bus=none.0", "bus=none.0");
    expect_add_error("test-card,colour=red", "test-card.colour");
    expect_add_error("test-card,id=9", "id=9");
    expect_add_error("test-card,id=b,fail=on", "told to fail");
    g_assert_null(qom_resolve("/machine/peripheral/b"));
    g_assert_cmpuint(bus->bus.devices->len, ==, 1);
    device_unrealize(&dev->dev);
    g_assert_cmpuint(bus->bus.devices->len, ==, 0);
}

/* Function 0 may go first; until the others have gone, too, the slot is no place for somebody else. */
static void test_slot_whose_function_0_has_gone(void)
{
    PciDevice *first = add_card("test-card,addr=0,multifunction=on");
    PciDevice *second = add_card("test-card,addr=0.1");
    PciDevice *other;

    device_unrealize(&first->dev);
    expect_add_error("test-card,addr=0", "the slot has other functions");
    other = add_card("test-card");
    g_assert_cmpuint(other->devfn, ==, PCI_DEVFN_OF(1, 0));
    first = add_card("test-card,addr=0,multifunction=on");
    device_unrealize(&first->dev);
    device_unrealize(&second->dev);
    first = add_card("test-card");
    g_assert_cmpuint(first->devfn, ==, 0);
    device_unrealize(&first->dev);
    device_unrealize(&other->dev);
}

static void test_info_for_monitors(void)
{
    PciDevice *dev = add_card("test-card");
    PciFunctionInfo info;

    pci_device_info(dev, &info);
    g_assert_cmphex(info.vendor_id, ==, cfg_rd(dev, PCI_VENDOR_ID, 2));
    g_assert_cmphex(info.device_id, ==, cfg_rd(dev, PCI_DEVICE_ID, 2));
    g_assert_cmphex(info.class_code, ==, cfg_rd(dev, PCI_CLASS_DEVICE, 2));
    g_assert_cmpuint(info.irq_pin, ==, cfg_rd(dev, PCI_INTERRUPT_PIN, 1));
    g_assert_cmpuint(info.irq_line, ==, 0);
    cfg_wr(dev, PCI_INTERRUPT_LINE, 11, 1);
    pci_device_info(dev, &info);
    g_assert_cmpuint(info.irq_line, ==, 11);
    device_unrealize(&dev->dev);
    g_assert_cmpstr(pci_class_name(0x0100), ==, "SCSI controller");
    g_assert_cmpstr(pci_class_name(0x01ff), ==, "Storage controller");
    g_assert_cmpstr(pci_class_name(0x0a00), ==, NULL);
    g_assert_cmpstr(pci_class_name(0xff00), ==, NULL);
}

static void test_addr_is_parsed_strictly(void)
{
    static const char *const wrong[] = {
        "20", "3.8", "3.", ".1", "3.1.1", "x", " 3", "3 ", "-1", "100000003", "3.100000001", "0x",
    };
    PciDevice *dev = add_card("test-card,addr=0x1F");

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf("test-card,addr=%s", wrong[i]);

        expect_add_error(text, "SLOT");
    }
    g_assert_cmpuint(dev->devfn, ==, 0x1f << 3);
    device_unrealize(&dev->dev);
}

static void test_bus_full(void)
{
    PciDevice *devs[32];

    for (unsigned i = 0; i < 32; i++) {
        devs[i] = add_card("test-card");
        g_assert_cmpuint(devs[i]->devfn, ==, i * 8);
    }
    expect_add_error("test-card", "full");
    for (unsigned i = 0; i < 32; i++) {
        device_unrealize(&devs[i]->dev);
    }
}

static void test_per_function_spaces_never_meet(void)
{
    MemoryRegion nothing;
    AddressSpace *dma_as;
    PciBus *remote;
    PciDevice *a, *b;
    uint64_t offset;
    GError *error = NULL;

    memory_region_init(&nothing, NULL, "nothing", MEMORY_SIZE_WHOLE);
    dma_as = address_space_new(&nothing, "nothing");
    remote = pci_root_bus_new("remote.0", NULL, NULL, dma_as, 0);
    expect_add_error("test-card,bus=remote.0", "message-signalled");
    remote->send_msi = send_msi;
    a = PCI_DEVICE(add("test-card,bus=remote.0", &error));
    g_assert_no_error(error);
    b = PCI_DEVICE(add("test-card,bus=remote.0", &error));
    cfg_wr(a, 0x14, 0xfe000000, 4);
    cfg_wr(b, 0x14, 0xfe000000, 4);
    cfg_wr(a, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    cfg_wr(b, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(pci_find_bar(a, true, 0xfe000000, 4, &offset), ==, 1);
    g_assert_cmpint(pci_find_bar(b, true, 0xfe000000, 4, &offset), ==, 1);
    g_assert_true(a->bars[1].space == &a->bar_mem);
    device_unrealize(&a->dev);
    device_unrealize(&b->dev);
    bus_free(&remote->bus);
    address_space_free(dma_as);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { card_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    qom_register_types(types);
    machine_lock();
    bus = pci_root_bus_new("pci.0", address_space_root(system_memory()), address_space_root(system_io()),
                           system_memory(), 0);
    pci_bus_set_irqs(bus, map_irq, set_irq, NULL, 64);
    bus->send_msi = send_msi;
    g_test_add_func("/pci/header", test_header);
    g_test_add_func("/pci/config-access-is-bounded", test_config_access_is_bounded);
    g_test_add_func("/pci/unplugged-function-reads-all-ones", test_unplugged_function_reads_all_ones);
    g_test_add_func("/pci/bar-sizing", test_bar_sizing);
    g_test_add_func("/pci/bars-decode-where-they-are-put", test_bars_decode_where_they_are_put);
    g_test_add_func("/pci/intx", test_intx);
    g_test_add_func("/pci/shared-intx-line-is-wired-or", test_shared_intx_line_is_wired_or);
    g_test_add_func("/pci/msi", test_msi);
    g_test_add_func("/pci/msix", test_msix);
    g_test_add_func("/pci/device-add-errors-leave-nothing", test_device_add_errors_leave_nothing);
    g_test_add_func("/pci/slot-whose-function-0-has-gone", test_slot_whose_function_0_has_gone);
    g_test_add_func("/pci/info-for-monitors", test_info_for_monitors);
    g_test_add_func("/pci/addr-is-parsed-strictly", test_addr_is_parsed_strictly);
    g_test_add_func("/pci/bus-full", test_bus_full);
    g_test_add_func("/pci/per-function-spaces-never-meet", test_per_function_spaces_never_meet);
    return g_test_run();
}
