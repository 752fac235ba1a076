/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APIC (82093AA with the EOI register of later parts).
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  An edge pin sends its message at each rising edge while not masked; an
 * edge on a masked pin is lost.  A level pin sends while it is asserted, not masked, and its
 * remote IRR bit is clear; a local APIC that takes it sets the bit.  A message that nobody takes is
 * sent again when that may have changed, as the bus of real parts repeats it.  The guest's end of
 * interrupt clears the bit and so allows the next message.  Between, the sources of the pin are told (gsi.h): one that
 * is only emulated as a level lowers its line then, so that no second message goes out for a level that
 * nobody asserts any more.
 */
#include "hw/intc/gsi.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/irq-pins.h"

#define VERSION 0x20u

/* Bits of an entry that a guest can write. */
#define ENTRY_WRITABLE \
    (0xff00000000000000ull | IOAPIC_ENTRY_MASKED | IOAPIC_ENTRY_LEVEL | IOAPIC_ENTRY_ACTIVE_LOW | \
     IOAPIC_ENTRY_LOGICAL | (7ull << IOAPIC_ENTRY_MODE_SHIFT) | IOAPIC_ENTRY_VECTOR)

static void ioapic_pins_interface_init(gpointer iface, gpointer data);

static const GInterfaceInfo ioapic_pins_interface = {
    .interface_init = ioapic_pins_interface_init,
};

QOM_DEFINE_TYPE_WITH_CODE(Ioapic, ioapic, "ioapic", TYPE_DEVICE, 0,
                          g_type_add_interface_static(type, TYPE_IRQ_PINS, &ioapic_pins_interface))

/* Whether somebody took it. */
static bool ioapic_send(Ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->redir[pin];
    IoapicMessage msg = {
        .vector = entry & IOAPIC_ENTRY_VECTOR,
        .mode = (entry >> IOAPIC_ENTRY_MODE_SHIFT) & 7,
        .dest = entry >> IOAPIC_ENTRY_DEST_SHIFT,
        .logical = entry & IOAPIC_ENTRY_LOGICAL,
        .level = entry & IOAPIC_ENTRY_LEVEL,
    };

    ioapic->delivered++;
    /* Without CPUs (qtest) the test program is whoever takes it. */
    return ioapic->deliver == NULL || ioapic->deliver(ioapic->deliver_opaque, &msg);
}

/* Sends the message of level pin PIN when all conditions hold; called whenever one may have changed. */
static void ioapic_update_level(Ioapic *ioapic, unsigned pin)
{
    const uint32_t bit = 1u << pin;
    uint64_t entry = ioapic->redir[pin];

    ioapic->refused &= ~bit;
    if (!(ioapic->asserted & bit) || !(entry & IOAPIC_ENTRY_LEVEL) ||
        (entry & (IOAPIC_ENTRY_MASKED | IOAPIC_ENTRY_REMOTE_IRR))) {
        return;
    }
    /* The bit first: an end of interrupt that comes during delivery finds it. */
    ioapic->redir[pin] |= IOAPIC_ENTRY_REMOTE_IRR;
    if (!ioapic_send(ioapic, pin)) {
        ioapic->redir[pin] &= ~IOAPIC_ENTRY_REMOTE_IRR;
        ioapic->refused |= bit;
    }
}

void ioapic_send_refused(Ioapic *ioapic)
{
    for (uint32_t pins = ioapic->refused; pins; pins &= pins - 1) {
        ioapic_update_level(ioapic, (unsigned)__builtin_ctz(pins));
    }
}

static void ioapic_set_pin(void *opaque, int n, int level)
{
    Ioapic *ioapic = opaque;
    uint32_t bit = 1u << n;
    bool rising = level && !(ioapic->asserted & bit);

    ioapic->asserted = level ? ioapic->asserted | bit : ioapic->asserted & ~bit;
    if (ioapic->redir[n] & IOAPIC_ENTRY_LEVEL) {
        ioapic_update_level(ioapic, n);
    } else if (rising && !(ioapic->redir[n] & IOAPIC_ENTRY_MASKED)) {
        ioapic_send(ioapic, n);
    }
}

void ioapic_eoi(Ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if ((ioapic->redir[pin] & IOAPIC_ENTRY_VECTOR) != vector) {
            continue;
        }
        /*
         * Sources first, then the remote IRR: a source that lowers and raises its line here gives
         * one new message, not two.  Edge pins have sources to tell as well.
         */
        gsi_eoi(pin);
        ioapic->redir[pin] &= ~IOAPIC_ENTRY_REMOTE_IRR;
        ioapic_update_level(ioapic, pin);
    }
}

void ioapic_eoi_edge(Ioapic *ioapic, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = ioapic->redir[pin];

        if ((entry & IOAPIC_ENTRY_VECTOR) == vector && !(entry & IOAPIC_ENTRY_LEVEL)) {
            gsi_eoi(pin);
        }
    }
}

void ioapic_set_deliver(Ioapic *ioapic, IoapicDeliver *deliver, void *opaque)
{
    ioapic->deliver = deliver;
    ioapic->deliver_opaque = opaque;
}

/* ---- registers ------------------------------------------------------------------------------- */

static uint32_t ioapic_read_selected(Ioapic *ioapic)
{
    unsigned entry = ((unsigned)ioapic->select - IOAPIC_REG_REDIR) / 2;

    switch (ioapic->select) {
    case IOAPIC_REG_ID:
    case IOAPIC_REG_ARBITRATION: /* the arbitration id follows the id */
        return (uint32_t)ioapic->apic_id << 24;
    case IOAPIC_REG_VERSION:
        return VERSION | (IOAPIC_PINS - 1) << 16;
    default:
        if (ioapic->select < IOAPIC_REG_REDIR || entry >= IOAPIC_PINS) {
            return 0; /* reserved */
        }
        return ioapic->select & 1 ? ioapic->redir[entry] >> 32 : ioapic->redir[entry];
    }
}

static void ioapic_write_selected(Ioapic *ioapic, uint32_t value)
{
    unsigned pin = ((unsigned)ioapic->select - IOAPIC_REG_REDIR) / 2;
    unsigned shift = ioapic->select & 1 ? 32 : 0;
    uint64_t writable = ENTRY_WRITABLE & (0xffffffffull << shift);
    uint64_t entry;

    if (ioapic->select == IOAPIC_REG_ID) {
        ioapic->apic_id = (value >> 24) & 0xf;
        return;
    }
    if (ioapic->select < IOAPIC_REG_REDIR || pin >= IOAPIC_PINS) {
        return; /* read-only or reserved */
    }
    entry = (ioapic->redir[pin] & ~writable) | (((uint64_t)value << shift) & writable);
    if (!(entry & IOAPIC_ENTRY_LEVEL)) {
        /* Drivers of parts without an EOI register end an interrupt by a turn through edge mode. */
        entry &= ~IOAPIC_ENTRY_REMOTE_IRR;
    }
    ioapic->redir[pin] = entry;
    ioapic_update_level(ioapic, pin);
}

/* The registers are 32 bits wide; a narrower access takes or gives the low bits. */
static MemResult ioapic_window_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Ioapic *ioapic = opaque;

    switch (addr) {
    case IOAPIC_SELECT:
        *ret_value = ioapic->select;
        break;
    case IOAPIC_DATA:
        *ret_value = ioapic_read_selected(ioapic);
        break;
    default:
        *ret_value = 0;
        break;
    }
    return MEM_OK;
}

static MemResult ioapic_window_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Ioapic *ioapic = opaque;

    switch (addr) {
    case IOAPIC_SELECT:
        ioapic->select = value;
        break;
    case IOAPIC_DATA:
        ioapic_write_selected(ioapic, value);
        break;
    case IOAPIC_EOI:
        ioapic_eoi(ioapic, value);
        break;
    default: /* reserved */
        break;
    }
    return MEM_OK;
}

static const MemoryRegionOps ioapic_window_ops = {
    .read = ioapic_window_read,
    .write = ioapic_window_write,
    .max_size = 4,
};

/* ---- life cycle ------------------------------------------------------------------------------ */

static void ioapic_reset(Device *dev)
{
    Ioapic *ioapic = IOAPIC(dev);

    ioapic->select = 0;
    ioapic->apic_id = 0;
    ioapic->refused = 0;
    /* `asserted` is the sources' and stays; their own reset lowers the lines. */
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        ioapic->redir[i] = IOAPIC_ENTRY_MASKED;
    }
}

static void ioapic_finalize(GObject *gobject)
{
    irq_free_lines(IOAPIC(gobject)->pins, IOAPIC_PINS);
    G_OBJECT_CLASS(ioapic_parent_class)->finalize(gobject);
}

static IrqLine **ioapic_inputs(QomObject *obj, unsigned *ret_count)
{
    *ret_count = IOAPIC_PINS;
    return IOAPIC(obj)->pins;
}

static void ioapic_pins_interface_init(gpointer iface, gpointer data)
{
    ((IrqPinsInterface *)iface)->inputs = ioapic_inputs;
}

static void ioapic_class_init(IoapicClass *klass)
{
    ((GObjectClass *)klass)->finalize = ioapic_finalize;
    klass->device_class.reset = ioapic_reset;
    klass->device_class.qom_class.internal = true;
    klass->device_class.hotpluggable = false;
}

static void ioapic_init(Ioapic *self)
{
    self->pins = irq_new_lines(ioapic_set_pin, self, IOAPIC_PINS);
    memory_region_init_io(&self->window, QOM_OBJECT(self), &ioapic_window_ops, self, "ioapic",
                          IOAPIC_WINDOW_SIZE);
}
