/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of 8259A interrupt controllers.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Each chip has requests (edges it has latched, and level inputs that are asserted), a mask, and
 * interrupts in service.  Its output is asserted while an unmasked request has a higher priority than everything in
 * service.  The slave's output is input 2 of the master, whose request follows it.  After everything that may have
 * changed one of these, i8259_update() brings the outputs up to date, slave first.
 */
#include "hw/intc/i8259.h"
#include "hw/intc/irq-pins.h"

#define MASTER_BASE 0x20u
#define SLAVE_BASE 0xa0u
#define ELCR_BASE 0x4d0u

#define CASCADE_PIN 2u
#define CASCADE_BIT (1u << CASCADE_PIN)
#define SPURIOUS 7u
#define NO_PRIORITY 8u /* below the lowest */

/* Inputs that can be level triggered: not 0, 1, 2, 8 and 13. */
#define MASTER_LEVEL_WRITABLE 0xf8u
#define SLAVE_LEVEL_WRITABLE 0xdeu

/* The command port: ICW1 has bit 4, OCW3 bit 3, OCW2 neither. */
#define ICW1_BIT 0x10u
#define ICW1_NEED_ICW4 0x01u
#define ICW1_SINGLE 0x02u
#define ICW2_BASE 0xf8u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_FULLY_NESTED 0x10u
#define OCW3_BIT 0x08u
#define OCW3_READ_ISR 0x01u
#define OCW3_READ_SELECT 0x02u
#define OCW3_POLL 0x04u
#define OCW3_SPECIAL_MASK 0x20u
#define OCW3_SPECIAL_SELECT 0x40u
#define POLL_PENDING 0x80u

/* OCW2 by its top three bits: rotate, specific (the input is in bits 0 to 2), end of interrupt. */
enum {
    OCW2_ROTATE_AEOI_CLEAR = 0,
    OCW2_EOI = 1,
    OCW2_EOI_SPECIFIC = 3,
    OCW2_ROTATE_AEOI_SET = 4,
    OCW2_ROTATE_EOI = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_ROTATE_EOI_SPECIFIC = 7,
};

static void i8259_pins_interface_init(gpointer iface, gpointer data);

static const GInterfaceInfo i8259_pins_interface = {
    .interface_init = i8259_pins_interface_init,
};

QOM_DEFINE_TYPE_WITH_CODE(I8259, i8259, "isa-i8259", TYPE_ISA_DEVICE, 0,
                          g_type_add_interface_static(type, TYPE_IRQ_PINS, &i8259_pins_interface))

/* ---- one chip -------------------------------------------------------------------------------- */

static uint8_t chip_requests(const I8259Chip *chip)
{
    return chip->edges | (chip->lines & chip->level);
}

/* The input of PRIORITY, 0 the highest; and back. */
static unsigned chip_input(const I8259Chip *chip, unsigned priority)
{
    return (chip->lowest + 1 + priority) & 7;
}

/* The priority of the highest input in MASK, or NO_PRIORITY. */
static unsigned chip_highest(const I8259Chip *chip, unsigned mask)
{
    for (unsigned priority = 0; priority < 8; priority++) {
        if (mask & (1u << chip_input(chip, priority))) {
            return priority;
        }
    }
    return NO_PRIORITY;
}

/* In special mask mode an interrupt in service that is masked as well holds up nobody. */
static uint8_t chip_in_service(const I8259Chip *chip)
{
    return chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
}

/* The input that the output is asserted for, or -1.  Special fully nested: the cascade does not hold up itself. */
static int chip_pending(const I8259Chip *chip)
{
    unsigned request = chip_highest(chip, chip_requests(chip) & ~chip->imr);
    unsigned service = chip_highest(chip, chip_in_service(chip));

    if (request == NO_PRIORITY || request > service) {
        return -1;
    }
    if (request == service && !(chip->fully_nested && chip_input(chip, request) == CASCADE_PIN)) {
        return -1;
    }
    return (int)chip_input(chip, request);
}

static void chip_set_line(I8259Chip *chip, unsigned n, bool asserted)
{
    unsigned bit = 1u << n;

    if (asserted && !((chip->lines | chip->level) & bit)) {
        chip->edges |= bit;
    }
    chip->lines = asserted ? chip->lines | bit : chip->lines & ~bit;
}

/* ---- the pair -------------------------------------------------------------------------------- */

static void i8259_update(I8259 *pic)
{
    bool cascade = chip_pending(&pic->slave) >= 0;
    bool level;

    chip_set_line(&pic->master, CASCADE_PIN, cascade);
    /* Never latched: the slave's request may have gone, or another one have come. */
    pic->master.edges = cascade ? pic->master.edges | CASCADE_BIT : pic->master.edges & ~CASCADE_BIT;
    level = chip_pending(&pic->master) >= 0;
    if (level != pic->intr_level) {
        pic->intr_level = level;
        irq_set(pic->intr, level);
    }
}

/* Takes N out of service; its sources hear of it before, also of an edge input: a remote's line is lowered by that. */
static void i8259_end(I8259 *pic, I8259Chip *chip, unsigned n)
{
    bool cascade = chip == &pic->master && n == CASCADE_PIN;

    if ((chip->isr & (1u << n)) && !cascade && pic->eoi != NULL) {
        pic->eoi(pic->eoi_opaque, chip == &pic->slave ? n + 8 : n);
    }
    chip->isr &= ~(1u << n);
}

/* The acknowledge cycle of one chip: puts its pending input into service and returns it, or -1. */
static int i8259_take(I8259 *pic, I8259Chip *chip)
{
    int n = chip_pending(chip);

    if (n < 0) {
        return -1;
    }
    chip->edges &= ~(1u << n);
    chip->isr |= 1u << n;
    if (chip->auto_eoi) {
        i8259_end(pic, chip, (unsigned)n);
        if (chip->rotate_on_aeoi) {
            chip->lowest = (uint8_t)n;
        }
    }
    return n;
}

uint8_t i8259_acknowledge(I8259 *pic)
{
    int n = i8259_take(pic, &pic->master);
    const I8259Chip *chip = &pic->master;

    if (n == (int)CASCADE_PIN) {
        chip = &pic->slave;
        n = i8259_take(pic, &pic->slave);
    }
    i8259_update(pic);
    return chip->base + (n < 0 ? SPURIOUS : (unsigned)n);
}

bool i8259_pending(const I8259 *pic)
{
    return pic->intr_level;
}

static void i8259_set_pin(void *opaque, int n, int level)
{
    I8259 *pic = opaque;

    if (n == (int)CASCADE_PIN) {
        return;
    }
    chip_set_line(n < 8 ? &pic->master : &pic->slave, (unsigned)n & 7, level);
    i8259_update(pic);
}

void i8259_set_intr(I8259 *pic, IrqLine *line)
{
    pic->intr = line;
    irq_set(pic->intr, pic->intr_level);
}

void i8259_set_eoi(I8259 *pic, I8259Eoi *eoi, void *opaque)
{
    pic->eoi = eoi;
    pic->eoi_opaque = opaque;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void i8259_write_icw1(I8259Chip *chip, uint8_t value)
{
    chip->edges = 0;
    chip->imr = 0;
    chip->isr = 0;
    chip->lowest = 7;
    chip->special_mask = false;
    chip->read_isr = false;
    chip->poll = false;
    chip->auto_eoi = false;
    chip->rotate_on_aeoi = false;
    chip->fully_nested = false;
    chip->single = value & ICW1_SINGLE;
    chip->need_icw4 = value & ICW1_NEED_ICW4;
    chip->init_step = 2;
}

static void i8259_write_ocw2(I8259 *pic, I8259Chip *chip, uint8_t value)
{
    unsigned n = value & 7;
    unsigned priority;

    switch (value >> 5) {
    case OCW2_ROTATE_AEOI_CLEAR:
    case OCW2_ROTATE_AEOI_SET:
        chip->rotate_on_aeoi = value >> 5 == OCW2_ROTATE_AEOI_SET;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
        priority = chip_highest(chip, chip_in_service(chip));
        if (priority == NO_PRIORITY) {
            break;
        }
        n = chip_input(chip, priority);
        i8259_end(pic, chip, n);
        if (value >> 5 == OCW2_ROTATE_EOI) {
            chip->lowest = n;
        }
        break;
    case OCW2_EOI_SPECIFIC:
    case OCW2_ROTATE_EOI_SPECIFIC:
        i8259_end(pic, chip, n);
        if (value >> 5 == OCW2_ROTATE_EOI_SPECIFIC) {
            chip->lowest = n;
        }
        break;
    case OCW2_SET_PRIORITY:
        chip->lowest = n;
        break;
    default: /* 2: no operation */
        break;
    }
}

static void i8259_write_ocw3(I8259Chip *chip, uint8_t value)
{
    if (value & OCW3_SPECIAL_SELECT) {
        chip->special_mask = value & OCW3_SPECIAL_MASK;
    }
    if (value & OCW3_POLL) {
        chip->poll = true;
    } else if (value & OCW3_READ_SELECT) {
        chip->read_isr = value & OCW3_READ_ISR;
    }
}

/* The data port: the ICW that is waited for, else OCW1. */
static void i8259_write_data(I8259Chip *chip, uint8_t value)
{
    switch (chip->init_step) {
    case 2:
        chip->base = value & ICW2_BASE;
        chip->init_step = !chip->single ? 3 : chip->need_icw4 ? 4 : 0;
        break;
    case 3:
        chip->icw3 = value;
        chip->init_step = chip->need_icw4 ? 4 : 0;
        break;
    case 4:
        chip->auto_eoi = value & ICW4_AUTO_EOI;
        chip->fully_nested = value & ICW4_FULLY_NESTED;
        chip->init_step = 0;
        break;
    default:
        chip->imr = value;
        break;
    }
}

static void i8259_chip_write(I8259 *pic, I8259Chip *chip, hwaddr addr, uint8_t value)
{
    if (addr & 1) {
        i8259_write_data(chip, value);
    } else if (value & ICW1_BIT) {
        i8259_write_icw1(chip, value);
    } else if (value & OCW3_BIT) {
        i8259_write_ocw3(chip, value);
    } else {
        i8259_write_ocw2(pic, chip, value);
    }
    i8259_update(pic);
}

/* The read behind a poll command is an acknowledge at either port. */
static uint8_t i8259_chip_read(I8259 *pic, I8259Chip *chip, hwaddr addr)
{
    int n;

    if (!chip->poll) {
        return addr & 1 ? chip->imr : chip->read_isr ? chip->isr : chip_requests(chip);
    }
    chip->poll = false;
    n = i8259_take(pic, chip);
    i8259_update(pic);
    return n < 0 ? 0 : POLL_PENDING | (unsigned)n;
}

static MemResult i8259_master_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    I8259 *pic = opaque;

    *ret_value = i8259_chip_read(pic, &pic->master, addr);
    return MEM_OK;
}

static MemResult i8259_master_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8259 *pic = opaque;

    i8259_chip_write(pic, &pic->master, addr, value);
    return MEM_OK;
}

static MemResult i8259_slave_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    I8259 *pic = opaque;

    *ret_value = i8259_chip_read(pic, &pic->slave, addr);
    return MEM_OK;
}

static MemResult i8259_slave_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8259 *pic = opaque;

    i8259_chip_write(pic, &pic->slave, addr, value);
    return MEM_OK;
}

static MemResult i8259_elcr_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    I8259 *pic = opaque;

    *ret_value = addr & 1 ? pic->slave.level : pic->master.level;
    return MEM_OK;
}

static MemResult i8259_elcr_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8259 *pic = opaque;

    I8259Chip *chip = addr & 1 ? &pic->slave : &pic->master;

    chip->level = value & (addr & 1 ? SLAVE_LEVEL_WRITABLE : MASTER_LEVEL_WRITABLE);
    chip->edges &= ~chip->level;
    i8259_update(pic);
    return MEM_OK;
}

static const MemoryRegionOps i8259_master_ops = { i8259_master_read, i8259_master_write, .max_size = 1 };
static const MemoryRegionOps i8259_slave_ops = { i8259_slave_read, i8259_slave_write, .max_size = 1 };
static const MemoryRegionOps i8259_elcr_ops = { i8259_elcr_read, i8259_elcr_write, .max_size = 1 };

/* ---- life cycle ------------------------------------------------------------------------------ */

I8259 *i8259_create(IsaBus *bus, GError **errp)
{
    I8259 *pic = I8259_PAIR(device_new(TYPE_I8259));

    return isa_realize_board_device(bus, pic, "isa-i8259", errp) ? pic : NULL;
}

static bool i8259_realize(Device *dev, GError **errp)
{
    I8259 *pic = I8259_PAIR(dev);

    return isa_add_ports(&pic->isa, &pic->master_io, &i8259_master_ops, "pic", MASTER_BASE, 2, errp) &&
           isa_add_ports(&pic->isa, &pic->slave_io, &i8259_slave_ops, "pic", SLAVE_BASE, 2, errp) &&
           isa_add_ports(&pic->isa, &pic->elcr_io, &i8259_elcr_ops, "elcr", ELCR_BASE, 2, errp);
}

/* Everything masked until the guest initialises the chip.  The lines are the sources', and stay. */
static void i8259_chip_reset(I8259Chip *chip)
{
    *chip = (I8259Chip) { .lines = chip->lines, .imr = 0xff, .lowest = 7 };
}

static void i8259_reset(Device *dev)
{
    I8259 *pic = I8259_PAIR(dev);

    i8259_chip_reset(&pic->master);
    i8259_chip_reset(&pic->slave);
    i8259_update(pic);
}

static void i8259_finalize(GObject *gobject)
{
    irq_free_lines(I8259_PAIR(gobject)->pins, I8259_PINS);
    G_OBJECT_CLASS(i8259_parent_class)->finalize(gobject);
}

static IrqLine **i8259_inputs(QomObject *obj, unsigned *ret_count)
{
    *ret_count = I8259_PINS;
    return I8259_PAIR(obj)->pins;
}

static void i8259_pins_interface_init(gpointer iface, gpointer data)
{
    ((IrqPinsInterface *)iface)->inputs = i8259_inputs;
}

static void i8259_class_init(I8259Class *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    ((GObjectClass *)klass)->finalize = i8259_finalize;
    device_class->realize = i8259_realize;
    device_class->reset = i8259_reset;
    device_class->qom_class.internal = true;
}

static void i8259_init(I8259 *self)
{
    self->pins = irq_new_lines(i8259_set_pin, self, I8259_PINS);
}
