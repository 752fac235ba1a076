/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-serial": a 16550A at one of the PC's places for serial ports (hw/char/serial.h).
 *
 * Runs in: mpqemu.
 */
#include "hw/char/serial.h"
#include "hw/isa/isa-bus.h"
#include "util/error.h"

/* An interrupt number that means COMn's. */
#define IRQ_DEFAULT (-1)

typedef struct IsaSerial {
    IsaDevice isa;
    MemoryRegion ports;
    Uart uart;
    char *name; /* for traces */
    char *chardev;
    int32_t index;   /* -1: the next one */
    uint32_t iobase; /* 0: COMn's */
    int32_t irq;
    unsigned place;  /* of `places_used`; ISA_SERIAL_MAX: none */
} IsaSerial;

typedef struct IsaSerialClass {
    IsaDeviceClass isa_class;
} IsaSerialClass;

static const struct {
    uint16_t iobase;
    uint8_t irq;
} places[ISA_SERIAL_MAX] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

static bool places_used[ISA_SERIAL_MAX];

QOM_DEFINE_TYPE(IsaSerial, isa_serial, "isa-serial", TYPE_ISA_DEVICE, 0)

static MemResult ports_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    IsaSerial *self = opaque;

    *ret_value = uart_read(&self->uart, (unsigned)addr);
    return MEM_OK;
}

static MemResult ports_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    IsaSerial *self = opaque;

    uart_write(&self->uart, (unsigned)addr, (uint8_t)value);
    return MEM_OK;
}

static const MemoryRegionOps ports_ops = {
    .read = ports_read,
    .write = ports_write,
    .max_size = 1,
};

/* Which of the PC's ports this one is; with a place of its own it need be none. */
static bool find_place(IsaSerial *self, GError **errp)
{
    bool own_place = self->iobase != 0 && self->irq != IRQ_DEFAULT;
    unsigned place = 0;

    if (self->index >= 0) {
        place = (unsigned)self->index;
        if (places_used[place]) {
            error_setg(errp, "index=%u: there is a serial port of this number; leave index= out", place);
            return false;
        }
    } else if (own_place) {
        place = ISA_SERIAL_MAX;
    } else {
        while (place < ISA_SERIAL_MAX && places_used[place]) {
            place++;
        }
        if (place == ISA_SERIAL_MAX) {
            error_setg(errp, "all %u places of serial ports are taken; give iobase= and irq=", ISA_SERIAL_MAX);
            return false;
        }
    }
    self->place = place;
    return true;
}

static bool isa_serial_realize(Device *dev, GError **errp)
{
    IsaSerial *self = (IsaSerial *)(void *)dev;
    uint32_t iobase;
    unsigned irq;

    if (!find_place(self, errp)) {
        return false;
    }
    iobase = self->iobase ? self->iobase : places[self->place].iobase;
    irq = self->irq != IRQ_DEFAULT ? (unsigned)self->irq : places[self->place].irq;
    self->name = dev->id ? g_strdup(dev->id) : g_strdup_printf("serial-0x%x", iobase);
    self->uart.name = self->name;
    self->uart.irq = isa_bus_irq(isa_device_bus(ISA_DEVICE(dev)), irq);
    if (!uart_init(&self->uart, self->chardev, errp)) {
        return false;
    }
    if (!isa_add_ports(ISA_DEVICE(dev), &self->ports, &ports_ops, "serial", iobase, UART_PORTS, errp)) {
        uart_destroy(&self->uart);
        return false;
    }
    if (self->place < ISA_SERIAL_MAX) {
        places_used[self->place] = true;
    }
    return true;
}

static void isa_serial_unrealize(Device *dev)
{
    IsaSerial *self = (IsaSerial *)(void *)dev;

    uart_destroy(&self->uart);
    if (self->place < ISA_SERIAL_MAX) {
        places_used[self->place] = false;
    }
}

static void isa_serial_reset(Device *dev)
{
    uart_reset(&((IsaSerial *)(void *)dev)->uart);
}

static void isa_serial_finalize(GObject *gobject)
{
    g_free(((IsaSerial *)(void *)gobject)->name);
    G_OBJECT_CLASS(isa_serial_parent_class)->finalize(gobject);
}

static const QomProperty isa_serial_properties[] = {
    { .name = "chardev", .kind = QOM_PROP_KIND_STRING, .offset = offsetof(IsaSerial, chardev),
      .description = "id of the -chardev at its other end (default: none)" },
    { .name = "index", .kind = QOM_PROP_KIND_INT32, .offset = offsetof(IsaSerial, index), .min = -1,
      .max = ISA_SERIAL_MAX - 1, .default_value = -1,
      .description = "which of the PC's ports, from 0 (default: the next)" },
    { .name = "iobase", .kind = QOM_PROP_KIND_UINT32, .offset = offsetof(IsaSerial, iobase),
      .max = ISA_PORTS - UART_PORTS, .description = "first I/O port (default: that of the index)" },
    { .name = "irq", .kind = QOM_PROP_KIND_INT32, .offset = offsetof(IsaSerial, irq), .min = IRQ_DEFAULT,
      .max = ISA_IRQS - 1, .default_value = IRQ_DEFAULT,
      .description = "ISA interrupt, 0 to 15 (default: that of the index)" },
    { .name = NULL },
};

static void isa_serial_class_init(IsaSerialClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    ((GObjectClass *)klass)->finalize = isa_serial_finalize;
    device_class->realize = isa_serial_realize;
    device_class->unrealize = isa_serial_unrealize;
    device_class->reset = isa_serial_reset;
    device_class->category = "Input";
    device_class->qom_class.description = "16550A serial port";
    qom_class_add_properties(klass, isa_serial_properties);
}

static void isa_serial_init(IsaSerial *self)
{
}
