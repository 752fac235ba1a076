/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board: makes its parts and connects them.
 *
 * Runs in: mpqemu.  The memory map and the interrupt routing stand in include/hw/i386/pc.h.
 */
#include "hw/i386/pc.h"
#include "accel/accel.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/acpi/pm.h"
#include "hw/acpi/tables.h"
#include "hw/i386/bootrom.h"
#include "hw/i386/i440fx.h"
#include "hw/i386/linux-boot.h"
#include "hw/i386/pc-firmware.h"
#include "hw/i386/pc-irq.h"
#include "hw/i386/pci-host.h"
#include "hw/i386/pir.h"
#include "hw/i386/smbios.h"
#include "hw/input/i8042.h"
#include "hw/intc/apic.h"
#include "hw/intc/gsi.h"
#include "hw/misc/debugexit.h"
#include "hw/misc/port92.h"
#include "hw/misc/pvpanic.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/pci/pci.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/i8254.h"
#include "system/reset.h"

#define BRIDGE_DEVFN PCI_DEVFN_OF(1, 0) /* PIIX3 */
#define PM_DEVFN PCI_DEVFN_OF(1, 3)
#define FIRST_FREE_DEVFN PCI_DEVFN_OF(2, 0)

#define KIB 1024u
#define MIB 0x100000u
#define KIB64 0x10000u

#define SMBIOS_BASE 0xf0000u
#define PIR_BASE 0xf8000u
#define TABLES_ALIGN 0x1000u /* a memory map in whole pages */

GType (*const pc_types[])(void) = {
    i440fx_get_type, piix3_get_type, acpi_pm_get_type, ioapic_get_type, i8259_get_type, pit_get_type,
    isa_device_get_type, rtc_get_type, i8042_get_type, port92_get_type, pvpanic_get_type, debug_exit_get_type, NULL,
};

/* Everything lives as long as the program. */
typedef struct PcBoard {
    MemoryRegion base_ram;
    MemoryRegion low_ram;
    MemoryRegion high_ram;
    MemoryRegion pci_memory;
    MemoryRegion pci_io;
    PciBus *bus;
    IsaBus *isa;
    PciHost *host;
    I440fx *bridge;
    AcpiPm *pm;
    AcpiPciHotplug *hotplug;
    FwCfg *fw_cfg;
    PcIrqs irqs;
    GsiIrqfdOps irqfd; /* of controllers in the kernel */
    AcpiConfig acpi;
    SmbiosConfig smbios;
    LinuxBoot *linux_boot; /* NULL: firmware boots, or nobody does; these go with it: */
    GBytes *acpi_tables;
    uint64_t acpi_base;
    GBytes *smbios_tables;
    GBytes *pir_table;
    GBytes *boot_rom; /* what the other processors need of it */
} PcBoard;

static PcBoard board;

/* ---- memory ---------------------------------------------------------------------------------- */

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

/* Behind RAM and board devices: a BAR that is put over them does not hide them. */
static void pc_map_pci(void)
{
    memory_region_init(&board.pci_memory, NULL, "pci-memory", MEMORY_SIZE_WHOLE);
    memory_region_add(address_space_root(system_memory()), 0, &board.pci_memory, -1);
    memory_region_init(&board.pci_io, NULL, "pci-io", 65536);
    memory_region_add(address_space_root(system_io()), 0, &board.pci_io, -1);
}

/* ---- interrupt controllers ------------------------------------------------------------------- */

/* The I/O APIC at its QOM path and address. */
static bool pc_add_ioapic(GError **errp)
{
    g_autoptr(GObject) ioapic = G_OBJECT(device_new(TYPE_IOAPIC));

    board.irqs.ioapic = IOAPIC(ioapic);
    if (!qom_add_child(qom_container("/machine"), "ioapic", ioapic, errp) ||
        !device_realize(DEVICE(ioapic), NULL, errp)) {
        return false;
    }
    memory_region_add(address_space_root(system_memory()), IOAPIC_BASE, &board.irqs.ioapic->window, 0);
    return true;
}

static uint8_t pc_acknowledge(void *opaque)
{
    return i8259_acknowledge(opaque);
}

static unsigned pc_irqfd_input(unsigned gsi)
{
    return pc_irq_input(&board.irqs, gsi);
}

/* The controllers and the timer that an accelerator may have in the kernel. */
static bool pc_add_irqchip(GError **errp)
{
    const Accel *accel = accel_current();

    if (accel && accel->kernel_irqchip) {
        board.irqs.kernel = accel;
        board.irqfd = (GsiIrqfdOps) { accel->irqfd_add, accel->irqfd_remove, pc_irqfd_input };
        gsi_set_irqfd_ops(&board.irqfd);
        return true;
    }
    board.irqs.pic = i8259_create(board.isa, errp);
    if (!board.irqs.pic || !pc_add_ioapic(errp) || !pit_create(board.isa, errp)) {
        return false;
    }
    i8259_set_eoi(board.irqs.pic, pc_irq_pic_eoi, NULL);
    pc_irq_init(&board.irqs);
    if (vcpu_count() > 0) {
        apics_create(address_space_root(system_memory()), board.irqs.ioapic);
        apic_set_pic(pc_acknowledge, board.irqs.pic);
        i8259_set_intr(board.irqs.pic, apic_pic_line());
    }
    return true;
}

/* ---- PCI ------------------------------------------------------------------------------------- */

static unsigned pc_map_irq(PciDevice *dev, unsigned pin)
{
    return PC_PCI_GSI_FIRST + pc_pirq(PCI_SLOT_OF(dev->devfn), pin);
}

static void pc_send_msi(void *opaque, PciDevice *dev, uint64_t address, uint32_t data)
{
    if (board.irqs.kernel) {
        board.irqs.kernel->send_msi(address, data);
    } else {
        apic_send_msi(address, data);
    }
}

static void pc_add_pci_bus(void)
{
    board.bus = pci_root_bus_new("pci.0", &board.pci_memory, &board.pci_io, system_memory(), FIRST_FREE_DEVFN);
    pci_bus_set_irqs(board.bus, pc_map_irq, pc_irq_set_pci, &board.irqs, IOAPIC_PINS);
    if (vcpu_count() > 0) {
        board.bus->send_msi = pc_send_msi; /* nobody else could take one */
    }
}

static void pc_set_sci(void *opaque, int level)
{
    pc_irq_set_isa(&board.irqs, PM_SCI_IRQ, level);
}

static void pc_guest_shutdown(void *opaque)
{
    shutdown_request_guest();
}

static void pc_guest_reset(void *opaque, bool hard)
{
    reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
}

static void pc_power_button(void *opaque)
{
    acpi_pm_power_button(board.pm);
}

/* The host bridge, and the functions of the south bridge. */
static bool pc_add_bridges(MemoryRegion *ram, GError **errp)
{
    MemoryRegion *memory = address_space_root(system_memory());
    MemoryRegion *io = address_space_root(system_io());
    const Piix3Hooks piix3_hooks = { pc_irq_set_routed, pc_guest_reset, pc_irq_rerouted, &board.irqs };
    const AcpiPmHooks pm_hooks = { pc_set_sci, pc_guest_shutdown, NULL };

    board.host = pci_host_new(board.bus, io);
    board.bridge = i440fx_new(board.bus, memory, ram, &board.pci_memory, errp);
    board.irqs.piix3 = board.bridge ? piix3_new(board.bus, BRIDGE_DEVFN, &piix3_hooks, errp) : NULL;
    board.pm = board.irqs.piix3 ? acpi_pm_new(board.bus, PM_DEVFN, io, &pm_hooks, errp) : NULL;
    if (!board.pm) {
        return false;
    }
    pc_irq_add_model(&board.irqs, io);
    pci_host_set_reset_control(board.host, piix3_reset_control(board.irqs.piix3));
    board.hotplug = acpi_pci_hotplug_new(board.bus, board.pm, io);
    powerdown_set_handler(pc_power_button, NULL);
    return true;
}

/* ---- ISA ------------------------------------------------------------------------------------- */

/* SIZE bytes from REG up, little-endian. */
static void set_cmos(Rtc *rtc, unsigned reg, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        rtc_set_cmos(rtc, reg + i, (uint8_t)(value >> (8 * i)));
    }
}

/* What firmware of this kind of machine reads from the clock's memory. */
static void pc_fill_cmos(Rtc *rtc, uint64_t ram_size)
{
    uint64_t low = MIN(ram_size, PC_LOW_RAM_MAX);
    uint64_t extended = low > PC_LOW_RAM_BASE ? low - PC_LOW_RAM_BASE : 0;
    uint64_t above_16m = low > 16 * MIB ? low - 16 * MIB : 0;

    set_cmos(rtc, 0x14, 0x06, 1); /* equipment: numeric coprocessor, PS/2 mouse; no floppy */
    set_cmos(rtc, 0x15, MIN(low, PC_BASE_RAM_END) / KIB, 2);
    set_cmos(rtc, 0x17, MIN(extended / KIB, UINT16_MAX), 2);
    set_cmos(rtc, 0x30, MIN(extended / KIB, UINT16_MAX), 2);
    set_cmos(rtc, 0x34, above_16m / KIB64, 2);
    set_cmos(rtc, 0x5b, (ram_size - low) / KIB64, 3);
    set_cmos(rtc, 0x5f, board.acpi.cpu_count - 1, 1);
    set_cmos(rtc, 0x38, 0x01, 1); /* SeaBIOS: a floppy without a signature boots, too */
    set_cmos(rtc, 0x3d, 0x32, 1); /* SeaBIOS: boots from disk, then from CD */
}

static void pc_request_reset(void *opaque)
{
    reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
}

static bool pc_add_isa_devices(const PcConfig *config, GError **errp)
{
    Rtc *rtc = rtc_create(board.isa, config->rtc_base, errp);

    if (!rtc || !i8042_create(board.isa, pc_request_reset, NULL, errp) ||
        !port92_create(board.isa, pc_request_reset, NULL, errp)) {
        return false;
    }
    pc_fill_cmos(rtc, config->ram_size);
    return true;
}

/* Ports that no device of the ISA bus has; where the guest has not moved it, the power management block. */
static void pc_reserve_ports(void)
{
    static const struct {
        const char *name;
        uint32_t base, count;
        bool kernel; /* with controllers in the kernel only */
    } ports[] = {
        { "the PCI config mechanism", 0xcf8, 8 },
        { "fw_cfg", FW_CFG_BASE, 12 },
        { "ACPI power management", PM_BASE, PM_BLOCK_SIZE },
        { "ACPI GPE", PM_GPE0_BASE, PM_GPE0_SIZE },
        { "ACPI PCI hot-plug", ACPI_PCI_HOTPLUG_BASE, ACPI_PCI_HOTPLUG_SIZE },
        { "the kernel's 8259", 0x20, 2, true },
        { "the kernel's 8254", 0x40, 4, true },
        { "the kernel's 8254", 0x61, 1, true },
        { "the kernel's 8259", 0xa0, 2, true },
        { "the kernel's 8259", 0x4d0, 2, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++) {
        if (!ports[i].kernel || board.irqs.kernel) {
            isa_reserve_ports(board.isa, ports[i].name, ports[i].base, ports[i].count);
        }
    }
}

/* ---- boot ------------------------------------------------------------------------------------ */

static void pc_describe(const PcConfig *config)
{
    uint64_t high_end = PC_HIGH_RAM_BASE + config->ram_size - MIN(config->ram_size, PC_LOW_RAM_MAX);

    board.acpi = (AcpiConfig) {
        .cpu_count = MAX(vcpu_count(), 1),
        .isa_devices = ACPI_ISA_RTC | ACPI_ISA_KEYBOARD | ACPI_ISA_MOUSE |
                       (config->serial_ports & 1 ? ACPI_ISA_COM1 : 0) | (config->serial_ports & 2 ? ACPI_ISA_COM2 : 0),
        .pci_first = PC_PCI_MEMORY_BASE,
        .pci_last = IOAPIC_BASE - 1,
        .pci64_first = (high_end + PC_PCI64_ALIGN - 1) & ~(PC_PCI64_ALIGN - 1),
    };
    board.smbios = (SmbiosConfig) {
        .cpu_count = board.acpi.cpu_count,
        .low_ram = MIN(config->ram_size, PC_LOW_RAM_MAX),
        .high_ram = high_end - PC_HIGH_RAM_BASE,
    };
    board.acpi.pci64_last = board.acpi.pci64_first + PC_PCI64_SIZE - 1;
}

static void pc_add_fw_cfg(const PcConfig *config)
{
    uint64_t low = MIN(config->ram_size, PC_LOW_RAM_MAX);
    /* What is not RAM below 1 MiB, firmware knows. */
    const FwCfgE820 ram[] = {
        { 0, low, FW_CFG_E820_RAM },
        { PC_HIGH_RAM_BASE, config->ram_size - low, FW_CFG_E820_RAM },
    };

    board.fw_cfg = fw_cfg_new(address_space_root(system_io()), system_memory());
    fw_cfg_set_number(board.fw_cfg, FW_CFG_RAM_SIZE, config->ram_size, 8);
    fw_cfg_set_number(board.fw_cfg, FW_CFG_NB_CPUS, board.acpi.cpu_count, 2);
    fw_cfg_set_number(board.fw_cfg, FW_CFG_MAX_CPUS, board.acpi.cpu_count, 2);
    fw_cfg_set_number(board.fw_cfg, FW_CFG_BOOT_MENU, 0, 2);
    fw_cfg_set_e820(board.fw_cfg, ram, config->ram_size > low ? 2 : 1);
    acpi_tables_add_to_fw_cfg(&board.acpi, board.fw_cfg);
    smbios_add_to_fw_cfg(&board.smbios, board.fw_cfg);
}

/*
 * A kernel without firmware: ACPI's tables are at the end of low RAM, SMBIOS's and the one of interrupt routing where
 * kernels search.
 */
static bool pc_add_linux(const PcConfig *config, GError **errp)
{
    g_autoptr(GBytes) any_place = acpi_tables_place(&board.acpi, 0, &board.acpi_base);
    uint64_t tables_size = (g_bytes_get_size(any_place) + TABLES_ALIGN - 1) & ~(uint64_t)(TABLES_ALIGN - 1);
    uint64_t low = MIN(config->ram_size, PC_LOW_RAM_MAX);
    const LinuxRam ram = {
        .low_end = low - MIN(low, tables_size),
        .high_end = PC_HIGH_RAM_BASE + config->ram_size - low,
    };
    E820Entry map[E820_ENTRIES_MAX];
    BootRomParams params;
    uint64_t rsdp;

    board.linux_boot = linux_boot_open(config->kernel, config->initrd, config->append, &ram, errp);
    if (!board.linux_boot) {
        return false;
    }
    board.acpi_base = ram.low_end;
    board.acpi_tables = acpi_tables_place(&board.acpi, (uint32_t)board.acpi_base, &rsdp);
    board.smbios_tables = smbios_place(&board.smbios, SMBIOS_BASE);
    board.pir_table = pir_table();
    board.boot_rom = g_bytes_new_static(boot_rom, BOOT_ROM_CODE_SIZE);
    linux_boot_set_board(board.linux_boot, map, pc_e820(config->ram_size, tables_size, map), rsdp);
    params = linux_boot_params(board.linux_boot);
    return pc_firmware_boot_rom(&params, address_space_root(system_memory()), errp);
}

/* What the reset vector finds. */
static bool pc_add_boot(const PcConfig *config, GError **errp)
{
    if (config->bios) {
        return pc_firmware_load(config->bios, address_space_root(system_memory()), &board.pci_memory, errp);
    }
    return !config->kernel || pc_add_linux(config, errp);
}

static void write_tables(uint64_t address, GBytes *tables)
{
    gsize size;
    const void *data = g_bytes_get_data(tables, &size);

    address_space_copy_to(system_memory(), address, data, size, true);
}

/* As firmware would leave memory. */
static void pc_load_linux(void)
{
    i440fx_open_ram(board.bridge);
    linux_boot_load(board.linux_boot);
    write_tables(board.acpi_base, board.acpi_tables);
    write_tables(SMBIOS_BASE, board.smbios_tables);
    write_tables(PIR_BASE, board.pir_table);
    write_tables(BOOT_ROM_COPY, board.boot_rom);
}

/* Sources before the interrupt controllers: they lower their lines. */
static void pc_reset(void *opaque)
{
    acpi_pci_hotplug_reset(board.hotplug);
    pc_irq_model_reset(&board.irqs);
    bus_reset(BUS(board.bus));
    bus_reset(BUS(board.isa));
    if (board.irqs.ioapic) {
        device_reset(DEVICE(board.irqs.ioapic));
    }
    pci_host_reset(board.host);
    fw_cfg_reset(board.fw_cfg);
    if (board.linux_boot) {
        pc_load_linux();
    }
}

bool pc_init(const PcConfig *config, GError **errp)
{
    pc_map_ram(config->ram, config->ram_size);
    pc_map_pci();
    board.isa = isa_bus_new(NULL, address_space_root(system_io()), pc_irq_set_isa, &board.irqs);
    if (!pc_add_irqchip(errp)) {
        return false;
    }
    pc_add_pci_bus();
    if (!pc_add_bridges(config->ram, errp)) {
        return false;
    }
    pc_describe(config);
    if (!pc_add_isa_devices(config, errp)) {
        return false;
    }
    pc_reserve_ports();
    pc_add_fw_cfg(config);
    if (!pc_add_boot(config, errp)) {
        return false;
    }
    reset_register(pc_reset, NULL);
    return true;
}
