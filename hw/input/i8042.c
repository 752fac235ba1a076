/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  One byte at a time stands in the output buffer, from the controller itself, the keyboard or
 * the mouse, in this order; the rest waits where it comes from, so that a device whose interface is off is simply not
 * asked.  The read of a byte lowers its interrupt before the next one raises it.
 */
#include "hw/input/i8042.h"
#include "hw/input/ps2.h"

#define DATA_PORT 0x60u
#define COMMAND_PORT 0x64u
#define KEYBOARD_IRQ 1u
#define MOUSE_IRQ 12u

enum {
    STATUS_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,   /* the last write was to the command port */
    STATUS_UNLOCKED = 0x10,
    STATUS_MOUSE = 0x20,     /* with STATUS_FULL: from the mouse */
};

enum {
    CONFIG_KEYBOARD_IRQ = 0x01,
    CONFIG_MOUSE_IRQ = 0x02,
    CONFIG_SYSTEM = 0x04,
    CONFIG_KEYBOARD_OFF = 0x10,
    CONFIG_MOUSE_OFF = 0x20,
    CONFIG_TRANSLATE = 0x40,
    CONFIG_WRITABLE = 0x77,
};

enum {
    OUTPUT_NO_RESET = 0x01,
    OUTPUT_A20 = 0x02,
    OUTPUT_KEYBOARD_FULL = 0x10,
    OUTPUT_MOUSE_FULL = 0x20,
    OUTPUT_IDLE = 0xc0, /* clock and data of the keyboard */
};

enum {
    COMMAND_READ_CONFIG = 0x20,
    COMMAND_WRITE_CONFIG = 0x60,
    COMMAND_PASSWORD_TEST = 0xa4,
    COMMAND_MOUSE_OFF = 0xa7,
    COMMAND_MOUSE_ON = 0xa8,
    COMMAND_MOUSE_TEST = 0xa9,
    COMMAND_SELF_TEST = 0xaa,
    COMMAND_KEYBOARD_TEST = 0xab,
    COMMAND_KEYBOARD_OFF = 0xad,
    COMMAND_KEYBOARD_ON = 0xae,
    COMMAND_READ_INPUT = 0xc0,
    COMMAND_READ_OUTPUT = 0xd0,
    COMMAND_WRITE_OUTPUT = 0xd1,
    COMMAND_AS_KEYBOARD = 0xd2,
    COMMAND_AS_MOUSE = 0xd3,
    COMMAND_TO_MOUSE = 0xd4,
    COMMAND_A20_OFF = 0xdd,
    COMMAND_A20_ON = 0xdf,
    COMMAND_READ_TEST = 0xe0,
    COMMAND_PULSE = 0xf0, /* the low four bits of the output port that are 0 in the command */
};

#define PASSWORD_NONE 0xf1
#define TEST_PASSED 0x00
#define SELF_TEST_PASSED 0x55
#define INPUT_UNLOCKED 0x80
#define SET2_RELEASE 0xf0

struct I8042 {
    IsaDevice isa;
    MemoryRegion data_io, command_io;
    IrqLine *keyboard_irq, *mouse_irq;
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    uint8_t config;
    bool a20;
    uint8_t command;       /* that waits for a byte at the data port; 0: none */
    bool command_last;     /* STATUS_COMMAND */
    uint8_t byte;          /* output buffer */
    bool full;
    bool from_mouse;
    uint8_t answer;        /* the controller's own byte, while the buffer is taken */
    bool has_answer;
    bool answer_as_mouse;
    bool release_next;     /* translation: 0xf0 was taken */
    IsaResetRequest *reset;
    void *reset_opaque;
};

struct I8042Class {
    IsaDeviceClass isa_class;
};

QOM_DEFINE_TYPE(I8042, i8042, "i8042", TYPE_ISA_DEVICE, 0)

/* ---- output buffer --------------------------------------------------------------------------- */

/* The next byte of the keyboard, translated when that is on; false when there is none. */
static bool i8042_take_keyboard(I8042 *kbc, uint8_t *ret_byte)
{
    uint8_t byte;

    while (ps2_keyboard_read(&kbc->keyboard, &byte)) {
        if (!(kbc->config & CONFIG_TRANSLATE)) {
            kbc->release_next = false;
            *ret_byte = byte;
            return true;
        }
        if (byte != SET2_RELEASE) {
            *ret_byte = ps2_translate(byte) | (kbc->release_next ? 0x80 : 0);
            kbc->release_next = false;
            return true;
        }
        kbc->release_next = true;
    }
    return false;
}

static void i8042_fill(I8042 *kbc)
{
    if (kbc->has_answer) {
        kbc->has_answer = false;
        kbc->byte = kbc->answer;
        kbc->from_mouse = kbc->answer_as_mouse;
        kbc->full = true;
    } else if (!(kbc->config & CONFIG_KEYBOARD_OFF) && i8042_take_keyboard(kbc, &kbc->byte)) {
        kbc->from_mouse = false;
        kbc->full = true;
    } else if (!(kbc->config & CONFIG_MOUSE_OFF) && ps2_mouse_read(&kbc->mouse, &kbc->byte)) {
        kbc->from_mouse = true;
        kbc->full = true;
    }
}

/* After whatever may have brought a byte, or changed who may send or interrupt. */
static void i8042_update(I8042 *kbc)
{
    if (!kbc->full) {
        i8042_fill(kbc);
    }
    irq_set(kbc->keyboard_irq, kbc->full && !kbc->from_mouse && (kbc->config & CONFIG_KEYBOARD_IRQ));
    irq_set(kbc->mouse_irq, kbc->full && kbc->from_mouse && (kbc->config & CONFIG_MOUSE_IRQ));
}

static void i8042_answer(I8042 *kbc, uint8_t byte, bool as_mouse)
{
    kbc->answer = byte;
    kbc->answer_as_mouse = as_mouse;
    kbc->has_answer = true;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void i8042_set_output(I8042 *kbc, uint8_t value)
{
    kbc->a20 = value & OUTPUT_A20;
    if (!(value & OUTPUT_NO_RESET) && kbc->reset != NULL) {
        kbc->reset(kbc->reset_opaque);
    }
}

static uint8_t i8042_output(const I8042 *kbc)
{
    return OUTPUT_IDLE | OUTPUT_NO_RESET | (kbc->a20 ? OUTPUT_A20 : 0) |
           (!kbc->full ? 0 : kbc->from_mouse ? OUTPUT_MOUSE_FULL : OUTPUT_KEYBOARD_FULL);
}

static void i8042_run_command(I8042 *kbc, uint8_t command)
{
    kbc->command = 0;
    switch (command) {
    case COMMAND_READ_CONFIG:
        i8042_answer(kbc, kbc->config, false);
        break;
    case COMMAND_PASSWORD_TEST:
        i8042_answer(kbc, PASSWORD_NONE, false);
        break;
    case COMMAND_MOUSE_OFF:
        kbc->config |= CONFIG_MOUSE_OFF;
        break;
    case COMMAND_MOUSE_ON:
        kbc->config &= ~CONFIG_MOUSE_OFF;
        break;
    case COMMAND_SELF_TEST:
        kbc->config |= CONFIG_SYSTEM;
        i8042_answer(kbc, SELF_TEST_PASSED, false);
        break;
    case COMMAND_MOUSE_TEST:
    case COMMAND_KEYBOARD_TEST:
        i8042_answer(kbc, TEST_PASSED, false);
        break;
    case COMMAND_KEYBOARD_OFF:
        kbc->config |= CONFIG_KEYBOARD_OFF;
        break;
    case COMMAND_KEYBOARD_ON:
        kbc->config &= ~CONFIG_KEYBOARD_OFF;
        break;
    case COMMAND_READ_INPUT:
        i8042_answer(kbc, INPUT_UNLOCKED, false);
        break;
    case COMMAND_READ_OUTPUT:
        i8042_answer(kbc, i8042_output(kbc), false);
        break;
    case COMMAND_WRITE_CONFIG:
    case COMMAND_WRITE_OUTPUT:
    case COMMAND_AS_KEYBOARD:
    case COMMAND_AS_MOUSE:
    case COMMAND_TO_MOUSE:
        kbc->command = command;
        break;
    case COMMAND_A20_OFF:
    case COMMAND_A20_ON:
        kbc->a20 = command == COMMAND_A20_ON;
        break;
    case COMMAND_READ_TEST:
        i8042_answer(kbc, 0, false);
        break;
    default:
        /* A pulse of A20 would be over before anybody could see it. */
        if (command >= COMMAND_PULSE && !(command & OUTPUT_NO_RESET) && kbc->reset != NULL) {
            kbc->reset(kbc->reset_opaque);
        }
        break;
    }
}

/* A byte at the data port: the argument of a command, else for the keyboard. */
static void i8042_write_byte(I8042 *kbc, uint8_t byte)
{
    uint8_t command = kbc->command;

    kbc->command = 0;
    switch (command) {
    case COMMAND_WRITE_CONFIG:
        kbc->config = byte & CONFIG_WRITABLE;
        break;
    case COMMAND_WRITE_OUTPUT:
        i8042_set_output(kbc, byte);
        break;
    case COMMAND_AS_KEYBOARD:
    case COMMAND_AS_MOUSE:
        i8042_answer(kbc, byte, command == COMMAND_AS_MOUSE);
        break;
    case COMMAND_TO_MOUSE:
        kbc->config &= ~CONFIG_MOUSE_OFF; /* to send is to switch the interface on */
        ps2_mouse_write(&kbc->mouse, byte);
        break;
    default:
        kbc->config &= ~CONFIG_KEYBOARD_OFF;
        ps2_keyboard_write(&kbc->keyboard, byte);
        break;
    }
}

static MemResult i8042_data_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    I8042 *kbc = opaque;

    *ret_value = kbc->byte; /* the last one again while there is no new one */
    kbc->full = false;
    irq_set(kbc->keyboard_irq, 0);
    irq_set(kbc->mouse_irq, 0);
    i8042_update(kbc);
    return MEM_OK;
}

static MemResult i8042_data_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8042 *kbc = opaque;

    kbc->command_last = false;
    i8042_write_byte(kbc, value);
    i8042_update(kbc);
    return MEM_OK;
}

static MemResult i8042_status_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    I8042 *kbc = opaque;

    *ret_value = STATUS_UNLOCKED | (kbc->full ? STATUS_FULL : 0) | (kbc->config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
                 (kbc->command_last ? STATUS_COMMAND : 0) | (kbc->full && kbc->from_mouse ? STATUS_MOUSE : 0);
    return MEM_OK;
}

static MemResult i8042_command_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8042 *kbc = opaque;

    kbc->command_last = true;
    i8042_run_command(kbc, value);
    i8042_update(kbc);
    return MEM_OK;
}

static const MemoryRegionOps i8042_data_ops = { i8042_data_read, i8042_data_write, .max_size = 1 };
static const MemoryRegionOps i8042_command_ops = { i8042_status_read, i8042_command_write, .max_size = 1 };

/* ---- for the program ------------------------------------------------------------------------- */

bool i8042_key(I8042 *kbc, unsigned code, bool down)
{
    bool taken = ps2_keyboard_key(&kbc->keyboard, code, down);

    i8042_update(kbc);
    return taken;
}

bool i8042_a20(const I8042 *kbc)
{
    return kbc->a20;
}

unsigned i8042_leds(const I8042 *kbc)
{
    return kbc->keyboard.leds;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

I8042 *i8042_create(IsaBus *bus, IsaResetRequest *reset, void *opaque, GError **errp)
{
    I8042 *kbc = I8042_DEVICE(device_new(TYPE_I8042));

    kbc->reset = reset;
    kbc->reset_opaque = opaque;
    return isa_realize_board_device(bus, kbc, "i8042", errp) ? kbc : NULL;
}

static bool i8042_realize(Device *dev, GError **errp)
{
    I8042 *kbc = I8042_DEVICE(dev);
    IsaBus *bus = isa_device_bus(&kbc->isa);

    kbc->keyboard_irq = isa_bus_irq(bus, KEYBOARD_IRQ);
    kbc->mouse_irq = isa_bus_irq(bus, MOUSE_IRQ);
    return isa_add_ports(&kbc->isa, &kbc->data_io, &i8042_data_ops, "i8042-data", DATA_PORT, 1, errp) &&
           isa_add_ports(&kbc->isa, &kbc->command_io, &i8042_command_ops, "i8042-cmd", COMMAND_PORT, 1, errp);
}

static void i8042_device_reset(Device *dev)
{
    I8042 *kbc = I8042_DEVICE(dev);

    ps2_keyboard_reset(&kbc->keyboard);
    ps2_mouse_reset(&kbc->mouse);
    kbc->config = CONFIG_TRANSLATE | CONFIG_KEYBOARD_OFF | CONFIG_MOUSE_OFF;
    kbc->a20 = true;
    kbc->command = 0;
    kbc->command_last = false;
    kbc->byte = 0;
    kbc->full = false;
    kbc->from_mouse = false;
    kbc->has_answer = false;
    kbc->release_next = false;
    i8042_update(kbc);
}

static void i8042_class_init(I8042Class *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = i8042_realize;
    device_class->reset = i8042_device_reset;
    device_class->qom_class.internal = true;
}

static void i8042_init(I8042 *self)
{
}
