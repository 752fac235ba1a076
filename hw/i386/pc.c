/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board.
 *
 * Runs in: mpqemu.  The memory map and the interrupt routing stand in include/hw/i386/pc.h.
 */
#include "hw/i386/pc.h"
#include "hw/i386/i440fx.h"
#include "hw/i386/linux-boot.h"
#include "hw/i386/pc-firmware.h"
#include "hw/i386/pci-host.h"
#include "hw/intc/ioapic.h"
#include "hw/pci/pci.h"
#include "system/reset.h"

/* Everything lives as long as the program. */
typedef struct PcBoard {
    MemoryRegion base_ram;
    MemoryRegion low_ram;
    MemoryRegion high_ram;
    MemoryRegion pci_memory;
    MemoryRegion pci_io;
    PciBus *bus;
    Ioapic *ioapic;
    LinuxBoot *linux_boot; /* NULL: firmware boots, or nobody does */
} PcBoard;

static PcBoard board;

static unsigned pc_map_irq(PciDevice *dev, unsigned pin)
{
    return PC_PCI_GSI_FIRST + ((PCI_SLOT_OF(dev->devfn) + pin) & 3);
}

static void pc_set_gsi(void *opaque, int gsi, int level)
{
    Ioapic *ioapic = opaque;

    irq_set(ioapic->pins[gsi], level);
}

/* What is between 640 KiB and 1 MiB, the host bridge decides. */
static void pc_map_ram(MemoryRegion *ram, uint64_t ram_size)
{
    MemoryRegion *memory = address_space_root(system_memory());
    uint64_t low = MIN(ram_size, PC_LOW_RAM_MAX);

    memory_region_init_alias(&board.base_ram, NULL, "ram-below-640k", ram, 0, MIN(low, PC_BASE_RAM_END));
    memory_region_add(memory, 0, &board.base_ram, 0);
    if (low > PC_LOW_RAM_BASE) {
        memory_region_init_alias(&board.low_ram, NULL, "ram-below-4g", ram, PC_LOW_RAM_BASE, low - PC_LOW_RAM_BASE);
        memory_region_add(memory, PC_LOW_RAM_BASE, &board.low_ram, 0);
    }
    if (ram_size > low) {
        memory_region_init_alias(&board.high_ram, NULL, "ram-above-4g", ram, low, ram_size - low);
        memory_region_add(memory, PC_HIGH_RAM_BASE, &board.high_ram, 0);
    }
}

/* The I/O APIC at its QOM path and address. */
static bool pc_add_ioapic(GError **errp)
{
    g_autoptr(GObject) ioapic = G_OBJECT(device_new(TYPE_IOAPIC));

    board.ioapic = IOAPIC(ioapic);
    if (!qom_add_child(qom_container("/machine"), "ioapic", ioapic, errp) ||
        !device_realize(DEVICE(ioapic), NULL, errp)) {
        return false;
    }
    memory_region_add(address_space_root(system_memory()), IOAPIC_BASE, &board.ioapic->window, 0);
    return true;
}

/* What the reset vector finds. */
static bool pc_add_boot(const PcConfig *config, GError **errp)
{
    MemoryRegion *memory = address_space_root(system_memory());
    uint64_t low = MIN(config->ram_size, PC_LOW_RAM_MAX);
    const LinuxRam ram = { low, PC_HIGH_RAM_BASE + config->ram_size - low };
    E820Entry map[E820_ENTRIES_MAX];
    BootRomParams params;

    if (config->bios) {
        return pc_firmware_load(config->bios, memory, &board.pci_memory, errp);
    }
    if (!config->kernel) {
        return true;
    }
    board.linux_boot = linux_boot_open(config->kernel, config->initrd, config->append, &ram, errp);
    if (!board.linux_boot) {
        return false;
    }
    linux_boot_set_board(board.linux_boot, map, pc_e820(config->ram_size, 0, map), 0);
    params = linux_boot_params(board.linux_boot);
    return pc_firmware_boot_rom(&params, memory, errp);
}

/* Sources before the interrupt controller: they lower their lines. */
static void pc_reset(void *opaque)
{
    bus_reset(BUS(board.bus));
    device_reset(DEVICE(board.ioapic));
    if (board.linux_boot) {
        linux_boot_load(board.linux_boot);
    }
}

bool pc_init(const PcConfig *config, GError **errp)
{
    MemoryRegion *memory = address_space_root(system_memory());
    MemoryRegion *io = address_space_root(system_io());

    pc_map_ram(config->ram, config->ram_size);
    /* Behind RAM and board devices: a BAR that is put over them does not hide them. */
    memory_region_init(&board.pci_memory, NULL, "pci-memory", MEMORY_SIZE_WHOLE);
    memory_region_add(memory, 0, &board.pci_memory, -1);
    memory_region_init(&board.pci_io, NULL, "pci-io", 65536);
    memory_region_add(io, 0, &board.pci_io, -1);
    if (!pc_add_ioapic(errp)) {
        return false;
    }
    board.bus = pci_root_bus_new("pci.0", &board.pci_memory, &board.pci_io, system_memory(),
                                 PCI_DEVFN_OF(1, 0));
    pci_bus_set_irqs(board.bus, pc_map_irq, pc_set_gsi, board.ioapic, IOAPIC_PINS);
    pci_host_new(board.bus, io);
    if (!i440fx_new(board.bus, memory, config->ram, &board.pci_memory, errp) || !pc_add_boot(config, errp)) {
        return false;
    }
    reset_register(pc_reset, NULL);
    return true;
}
