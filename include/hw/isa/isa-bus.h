/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA bus: gives the classic devices of a pc their I/O ports and their interrupt lines.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * The board makes one bus, "isa.0", on the I/O space it wants the devices in, and says what happens at the 16
 * interrupt lines: on the pc board line n goes to pin n of the 8259s and to the I/O APIC.  A line has one level and no
 * memory of who drives it; ISA interrupts are not shared, so each line is driven by one device.
 *
 * Ports belong to one device: a range that another device of the bus has is refused.  What a device has registered is
 * taken away by the bus when the device leaves it, or when its realize fails.
 */
#ifndef HW_ISA_ISA_BUS_H
#define HW_ISA_ISA_BUS_H

#include "hw/core/bus.h"
#include "hw/core/irq.h"
#include "system/memory.h"

#define ISA_IRQS 16
#define ISA_PORTS 0x10000u

typedef struct IsaBus {
    Bus bus;
    MemoryRegion *io;  /* the container of the devices' ports */
    IrqLine **irqs;    /* ISA_IRQS */
    GArray *ranges;    /* IsaRange, what is taken, in order of registration */
} IsaBus;

typedef struct IsaBusClass {
    BusClass bus_class;
} IsaBusClass;

QOM_DECLARE_TYPE(IsaBus, isa_bus, ISA_BUS)
#define TYPE_ISA_BUS (isa_bus_get_type())

/* The base of all devices of the bus; abstract.  None is hot-pluggable. */
typedef struct IsaDevice {
    Device dev;
} IsaDevice;

typedef struct IsaDeviceClass {
    DeviceClass device_class;
} IsaDeviceClass;

QOM_DECLARE_TYPE(IsaDevice, isa_device, ISA_DEVICE)
#define TYPE_ISA_DEVICE (isa_device_get_type())

/*
 * Makes the bus "isa.0" below PARENT (NULL: a root bus) with its ports in IO, which outlives it.  SET_IRQ is called
 * with (OPAQUE, n, level) whenever a device drives line n.
 */
IsaBus *isa_bus_new(Device *parent, MemoryRegion *io, IrqHandler *set_irq, void *opaque);

/* Line N (0 to 15), owned by the bus. */
IrqLine *isa_bus_irq(IsaBus *bus, unsigned n);

/*
 * In realize: makes MR, embedded in DEV, an I/O region of COUNT ports from BASE, whose callbacks get DEV.  NAME must
 * stay valid.  Fails when it does not fit below port 0x10000 or when ports of it are taken.
 */
bool isa_add_ports(IsaDevice *dev, MemoryRegion *mr, const MemoryRegionOps *ops, const char *name, uint32_t base,
                   uint32_t count, GError **errp);

/*
 * For boards: COUNT ports from BASE are NAME's, which is no device of the bus; isa_add_ports() refuses them.  NAME must
 * stay valid.
 */
void isa_reserve_ports(IsaBus *bus, const char *name, uint32_t base, uint32_t count);

/* The bus DEV is plugged into. */
IsaBus *isa_device_bus(IsaDevice *dev);

/*
 * The board's ear for devices by which the guest resets the machine.  Called within a register access: the reset
 * itself is for later.
 */
typedef void IsaResetRequest(void *opaque);

/*
 * For boards: realizes DEV on BUS as /machine/unattached/NAME.  Takes the caller's reference; the tree keeps the
 * device.  False, with nothing left, when it cannot be realized.
 */
bool isa_realize_board_device(IsaBus *bus, void *dev, const char *name, GError **errp);

#endif
