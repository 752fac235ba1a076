/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI PCI hot-plug.
 *
 * Runs in: mpqemu.  The manual is include/hw/acpi/pci-hotplug.h.
 *
 * Theory of operation.  The guest ejects from a vCPU's thread; devices are taken apart by the main loop's.  So ejected
 * slots are collected, and removed by a deferred call; so are those that the guest refuses.
 */
#include "hw/acpi/pci-hotplug.h"

#include "util/event-loop.h"

enum { REG_UP = 0x0, REG_DOWN = 0x4, REG_EJECT = 0x8, REG_REMOVABLE = 0xc, REG_OUTCOME = 0x10 };
#define SLOTS 32u
#define FUNCTIONS 8u
#define WHOLE_BUS 0u /* in place of a slot that no user's device can have */

/* ACPI 5.0, 6.3.5: _OST's arguments. */
#define OST_EJECT_REQUEST 3u
#define OST_SUCCESS 0u
#define OST_EJECT_IN_PROGRESS 0x84u

struct AcpiPciHotplug {
    PciBus *bus;
    AcpiPm *pm;
    DeviceGuestHooks hooks;
    MemoryRegion ports;
    uint32_t up;
    uint32_t down;
    uint32_t ejected; /* to be removed by the deferred call */
    uint32_t refused; /* for the deferred call: the guest keeps them */
    EventBh *answer_bh;
};

static void tell(AcpiPciHotplug *hotplug, uint32_t *reg, unsigned slot)
{
    *reg |= 1u << slot;
    acpi_pm_raise_gpe(hotplug->pm, PM_GPE_PCI_HOTPLUG);
}

/* The slot of DEV when it is a function of our bus, else -1. */
static int slot_of(const AcpiPciHotplug *hotplug, Device *dev)
{
    if (!IS_PCI_DEVICE(dev) || dev->parent_bus != &hotplug->bus->bus) {
        return -1;
    }
    return PCI_SLOT_OF(PCI_DEVICE(dev)->devfn);
}

/* ---- the guest's side ------------------------------------------------------------------------ */

/* Gives up all functions of SLOT but the board's; function 0 last, as it was first. */
static void eject_slot(AcpiPciHotplug *hotplug, unsigned slot)
{
    for (unsigned fn = FUNCTIONS; fn-- > 0;) {
        PciDevice *dev = pci_bus_device(hotplug->bus, PCI_DEVFN_OF(slot, fn));

        if (dev && DEVICE_GET_CLASS(dev)->hotpluggable) {
            device_unplug_granted(DEVICE(dev));
        }
    }
}

static void keep_slot(AcpiPciHotplug *hotplug, unsigned slot)
{
    for (unsigned fn = 0; fn < FUNCTIONS; fn++) {
        PciDevice *dev = pci_bus_device(hotplug->bus, PCI_DEVFN_OF(slot, fn));

        if (dev) {
            device_unplug_refused(DEVICE(dev));
        }
    }
}

/* The guest's answers of late, in the order that helps it: what it ejected is gone. */
static void take_answers(void *opaque)
{
    AcpiPciHotplug *hotplug = opaque;
    uint32_t ejected = hotplug->ejected, refused = hotplug->refused;

    hotplug->ejected = hotplug->refused = 0;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (ejected & 1u << slot) {
            eject_slot(hotplug, slot);
        } else if (refused & 1u << slot) {
            keep_slot(hotplug, slot);
        }
    }
}

/* _OST: the guest tells what became of a notification. */
static void outcome(AcpiPciHotplug *hotplug, uint32_t value)
{
    unsigned slot = value & 0xff, event = value >> 8 & 0xff, status = value >> 16 & 0xff;

    if (slot < SLOTS && event == OST_EJECT_REQUEST && status != OST_SUCCESS && status != OST_EJECT_IN_PROGRESS) {
        hotplug->refused |= 1u << slot;
        event_bh_schedule(hotplug->answer_bh);
    }
}

/* Slots without a function of the board. */
static uint32_t removable(const AcpiPciHotplug *hotplug)
{
    uint32_t slots = UINT32_MAX;

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(hotplug->bus, (uint8_t)devfn);

        if (dev && !DEVICE_GET_CLASS(dev)->hotpluggable) {
            slots &= ~(1u << PCI_SLOT_OF(devfn));
        }
    }
    return slots;
}

static uint32_t take(uint32_t *reg)
{
    uint32_t value = *reg;

    *reg = 0;
    return value;
}

static MemResult ports_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    AcpiPciHotplug *hotplug = opaque;

    *ret_value = addr == REG_UP ? take(&hotplug->up) :
                 addr == REG_DOWN ? take(&hotplug->down) :
                 addr == REG_REMOVABLE ? removable(hotplug) : 0;
    return MEM_OK;
}

static MemResult ports_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    AcpiPciHotplug *hotplug = opaque;

    if (addr == REG_EJECT) {
        hotplug->ejected |= (uint32_t)value;
        event_bh_schedule(hotplug->answer_bh);
    } else if (addr == REG_OUTCOME) {
        outcome(hotplug, (uint32_t)value);
    }
    return MEM_OK;
}

static const MemoryRegionOps ports_ops = {
    .read = ports_read,
    .write = ports_write,
    .min_size = 4,
    .max_size = 4,
};

/* ---- the machine's side ---------------------------------------------------------------------- */

static void plugged(Device *dev, void *opaque)
{
    AcpiPciHotplug *hotplug = opaque;
    int slot = slot_of(hotplug, dev);

    if (slot >= 0) {
        tell(hotplug, &hotplug->up, (unsigned)slot);
    }
}

static bool unplug_request(Device *dev, void *opaque)
{
    AcpiPciHotplug *hotplug = opaque;
    int slot = slot_of(hotplug, dev);

    if (slot < 0 || !acpi_pm_listens(hotplug->pm, PM_GPE_PCI_HOTPLUG)) {
        return false;
    }
    tell(hotplug, &hotplug->down, (unsigned)slot);
    return true;
}

static void unplugged(Device *dev, void *opaque)
{
    AcpiPciHotplug *hotplug = opaque;
    int slot = slot_of(hotplug, dev);

    if (slot >= 0) {
        hotplug->down &= ~(1u << slot);
        if (!dev->given_up) {
            tell(hotplug, &hotplug->up, WHOLE_BUS);
        }
    }
}

/* The guest that was asked is gone, and what it held with it; the next one's firmware shall not find it any more. */
static void complete_removals(AcpiPciHotplug *hotplug)
{
    for (unsigned devfn = PCI_DEVFN_MAX; devfn-- > 0;) {
        PciDevice *dev = pci_bus_device(hotplug->bus, (uint8_t)devfn);

        if (dev) {
            device_unplug_at_reset(DEVICE(dev));
        }
    }
}

void acpi_pci_hotplug_reset(AcpiPciHotplug *hotplug)
{
    complete_removals(hotplug);
    hotplug->up = hotplug->down = hotplug->ejected = hotplug->refused = 0;
}

AcpiPciHotplug *acpi_pci_hotplug_new(PciBus *bus, AcpiPm *pm, MemoryRegion *io)
{
    AcpiPciHotplug *hotplug = g_new0(AcpiPciHotplug, 1);

    hotplug->bus = bus;
    hotplug->pm = pm;
    hotplug->answer_bh = event_bh_new(event_loop_main(), take_answers, hotplug);
    memory_region_init_io(&hotplug->ports, NULL, &ports_ops, hotplug, "acpi-pci-hotplug", ACPI_PCI_HOTPLUG_SIZE);
    memory_region_add(io, ACPI_PCI_HOTPLUG_BASE, &hotplug->ports, 0);
    hotplug->hooks = (DeviceGuestHooks) { plugged, unplug_request, unplugged, hotplug };
    device_set_guest_hooks(&hotplug->hooks);
    return hotplug;
}
