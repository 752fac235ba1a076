/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard and mouse.
 *
 * Runs in: mpqemu.
 */
#include <stddef.h>
#include "hw/input/ps2.h"

enum {
    PS2_ACK = 0xfa,
    PS2_TEST_PASSED = 0xaa,
    PS2_AGAIN = 0xfe, /* not understood; as a command: send the last byte once more */
    PS2_RESET = 0xff,
    PS2_DEFAULTS = 0xf6,
    PS2_DISABLE = 0xf5,
    PS2_ENABLE = 0xf4,
    PS2_RATE = 0xf3,
    PS2_IDENTIFY = 0xf2,
};

enum {
    KEYBOARD_LEDS = 0xed,
    KEYBOARD_ECHO = 0xee,
    KEYBOARD_SET = 0xf0,
    KEYBOARD_ALL_KEYS_FIRST = 0xf7, /* set 3: how all keys, */
    KEYBOARD_ALL_KEYS_LAST = 0xfa,
    KEYBOARD_KEYS_LAST = 0xfd,      /* or those that follow, behave */
    KEYBOARD_ID_FIRST = 0xab,
    KEYBOARD_ID_SECOND = 0x83,
    SCAN_EXTENDED = 0xe0,
    SCAN_RELEASE = 0xf0,  /* set 2: prefix */
    SCAN_RELEASED = 0x80, /* set 1: bit */
};

enum {
    MOUSE_SCALE_1 = 0xe6,
    MOUSE_SCALE_2 = 0xe7,
    MOUSE_RESOLUTION = 0xe8,
    MOUSE_STATUS = 0xe9,
    MOUSE_STREAM = 0xea,
    MOUSE_READ = 0xeb,
    MOUSE_WRAP_END = 0xec,
    MOUSE_WRAP = 0xee,
    MOUSE_REMOTE = 0xf0,
    MOUSE_ID = 0x00,
    MOUSE_PACKET_FIRST = 0x08, /* no button, no movement */
    MOUSE_STATUS_REMOTE = 0x40,
    MOUSE_STATUS_ENABLED = 0x20,
    MOUSE_STATUS_SCALED = 0x10,
};

/* ---- queues ---------------------------------------------------------------------------------- */

static void queue_put(Ps2Queue *queue, uint8_t byte)
{
    if (queue->count < PS2_QUEUE) {
        queue->bytes[(queue->first + queue->count++) % PS2_QUEUE] = byte;
    }
}

static bool queue_take(Ps2Queue *queue, uint8_t *ret_byte)
{
    if (queue->count == 0) {
        return false;
    }
    *ret_byte = queue->bytes[queue->first];
    queue->first = (queue->first + 1) % PS2_QUEUE;
    queue->count--;
    return true;
}

static void queue_clear(Ps2Queue *queue)
{
    queue->count = 0;
}

/* ---- scan codes ------------------------------------------------------------------------------ */

/* Set 1 by set 2: the table of the keyboard controller's translation. */
static const uint8_t set1_by_set2[0x85] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, /* 0x00 */
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, /* 0x10 */
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, /* 0x20 */
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, /* 0x30 */
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, /* 0x40 */
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, /* 0x50 */
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, /* 0x60 */
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, /* 0x70 */
    0x80, 0x81, 0x82, 0x41, 0x54,                                                                   /* 0x80 */
};

uint8_t ps2_translate(uint8_t byte)
{
    return byte < sizeof(set1_by_set2) ? set1_by_set2[byte] : byte;
}

/* The key of set 1 in set 2.  From the end: F7 and SysRq, at 0x83 and 0x84, have a second place that no key uses. */
static uint8_t set2_by_set1(uint8_t code)
{
    unsigned byte = sizeof(set1_by_set2);

    while (byte-- > 1 && set1_by_set2[byte] != code) {
    }
    return (uint8_t)byte;
}

/* ---- keyboard -------------------------------------------------------------------------------- */

static void keyboard_defaults(Ps2Keyboard *kbd)
{
    kbd->set = 2;
    queue_clear(&kbd->keys);
}

void ps2_keyboard_reset(Ps2Keyboard *kbd)
{
    *kbd = (Ps2Keyboard) { .set = 2, .scanning = true };
}

/* The argument of kbd->command; false when it is none. */
static bool keyboard_argument(Ps2Keyboard *kbd, uint8_t byte)
{
    switch (kbd->command) {
    case KEYBOARD_LEDS:
        kbd->leds = byte & 7;
        break;
    case KEYBOARD_SET:
        if (byte > 2) {
            return false;
        }
        kbd->set = byte ? byte : kbd->set;
        break;
    default: /* rate and delay, which nothing repeats by; keys of set 3 */
        break;
    }
    queue_put(&kbd->answers, PS2_ACK);
    if (kbd->command == KEYBOARD_SET && byte == 0) {
        queue_put(&kbd->answers, kbd->set);
    }
    if (kbd->command <= KEYBOARD_ALL_KEYS_LAST) {
        kbd->command = 0; /* lists of keys end with the next command */
    }
    return true;
}

static void keyboard_command(Ps2Keyboard *kbd, uint8_t byte)
{
    kbd->command = 0;
    if (byte == KEYBOARD_ECHO) {
        queue_put(&kbd->answers, KEYBOARD_ECHO);
        return;
    }
    if (byte == PS2_AGAIN) {
        queue_put(&kbd->answers, kbd->last);
        return;
    }
    if (byte < KEYBOARD_LEDS || byte == 0xef || byte == 0xf1) {
        queue_put(&kbd->answers, PS2_AGAIN);
        return;
    }
    queue_put(&kbd->answers, PS2_ACK);
    switch (byte) {
    case KEYBOARD_LEDS:
    case KEYBOARD_SET:
    case PS2_RATE:
        kbd->command = byte;
        break;
    case PS2_IDENTIFY:
        queue_put(&kbd->answers, KEYBOARD_ID_FIRST);
        queue_put(&kbd->answers, KEYBOARD_ID_SECOND);
        break;
    case PS2_ENABLE:
        queue_clear(&kbd->keys);
        kbd->scanning = true;
        break;
    case PS2_DISABLE:
        keyboard_defaults(kbd);
        kbd->scanning = false;
        break;
    case PS2_DEFAULTS:
        keyboard_defaults(kbd);
        break;
    case PS2_RESET:
        keyboard_defaults(kbd);
        kbd->leds = 0;
        kbd->scanning = true;
        queue_put(&kbd->answers, PS2_TEST_PASSED);
        break;
    default:
        if (byte > KEYBOARD_ALL_KEYS_LAST && byte <= KEYBOARD_KEYS_LAST) {
            kbd->command = byte;
        }
        break;
    }
}

void ps2_keyboard_write(Ps2Keyboard *kbd, uint8_t byte)
{
    queue_clear(&kbd->answers);
    /* Arguments are small; what is not begins a new command. */
    if (kbd->command == 0 || byte >= 0x80) {
        keyboard_command(kbd, byte);
    } else if (!keyboard_argument(kbd, byte)) {
        kbd->command = 0;
        queue_put(&kbd->answers, PS2_AGAIN);
    }
}

bool ps2_keyboard_read(Ps2Keyboard *kbd, uint8_t *ret_byte)
{
    if (!queue_take(&kbd->answers, &kbd->last) && !queue_take(&kbd->keys, &kbd->last)) {
        return false;
    }
    *ret_byte = kbd->last;
    return true;
}

bool ps2_keyboard_key(Ps2Keyboard *kbd, unsigned code, bool down)
{
    bool extended = code >> 8 == SCAN_EXTENDED;
    uint8_t key = code & 0xff;
    unsigned need = 1u + extended + (kbd->set == 2 && !down);

    if ((code >> 8 && !extended) || key == 0 || key >= SCAN_RELEASED || !kbd->scanning ||
        PS2_QUEUE - kbd->keys.count < need) {
        return false;
    }
    if (extended) {
        queue_put(&kbd->keys, SCAN_EXTENDED);
    }
    if (kbd->set == 1) {
        queue_put(&kbd->keys, down ? key : key | SCAN_RELEASED);
        return true;
    }
    if (!down) {
        queue_put(&kbd->keys, SCAN_RELEASE);
    }
    queue_put(&kbd->keys, set2_by_set1(key));
    return true;
}

/* ---- mouse ----------------------------------------------------------------------------------- */

static void mouse_defaults(Ps2Mouse *mouse)
{
    mouse->rate = 100;
    mouse->resolution = 2;
    mouse->scaled = false;
    mouse->remote = false;
    mouse->wrap = false;
    mouse->enabled = false;
}

void ps2_mouse_reset(Ps2Mouse *mouse)
{
    *mouse = (Ps2Mouse) { 0 };
    mouse_defaults(mouse);
}

static void mouse_put_status(Ps2Mouse *mouse)
{
    queue_put(&mouse->answers, (mouse->remote ? MOUSE_STATUS_REMOTE : 0) | (mouse->enabled ? MOUSE_STATUS_ENABLED : 0) |
                                   (mouse->scaled ? MOUSE_STATUS_SCALED : 0));
    queue_put(&mouse->answers, mouse->resolution);
    queue_put(&mouse->answers, mouse->rate);
}

static void mouse_argument(Ps2Mouse *mouse, uint8_t byte)
{
    if (mouse->command == MOUSE_RESOLUTION && byte > 3) {
        queue_put(&mouse->answers, PS2_AGAIN);
        mouse->command = 0;
        return;
    }
    *(mouse->command == PS2_RATE ? &mouse->rate : &mouse->resolution) = byte;
    mouse->command = 0;
    queue_put(&mouse->answers, PS2_ACK);
}

static void mouse_command(Ps2Mouse *mouse, uint8_t byte)
{
    mouse->command = 0;
    if (byte == PS2_AGAIN) {
        queue_put(&mouse->answers, mouse->last);
        return;
    }
    if (byte < MOUSE_SCALE_1 || byte == 0xed || byte == 0xef || byte == 0xf1 ||
        (byte > PS2_DEFAULTS && byte != PS2_RESET)) {
        queue_put(&mouse->answers, PS2_AGAIN);
        return;
    }
    queue_put(&mouse->answers, PS2_ACK);
    switch (byte) {
    case PS2_RATE:
    case MOUSE_RESOLUTION:
        mouse->command = byte;
        break;
    case MOUSE_SCALE_1:
    case MOUSE_SCALE_2:
        mouse->scaled = byte == MOUSE_SCALE_2;
        break;
    case MOUSE_STATUS:
        mouse_put_status(mouse);
        break;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        mouse->remote = byte == MOUSE_REMOTE;
        break;
    case MOUSE_READ:
        queue_put(&mouse->answers, MOUSE_PACKET_FIRST);
        queue_put(&mouse->answers, 0);
        queue_put(&mouse->answers, 0);
        break;
    case MOUSE_WRAP:
    case MOUSE_WRAP_END:
        mouse->wrap = byte == MOUSE_WRAP;
        break;
    case PS2_IDENTIFY:
        queue_put(&mouse->answers, MOUSE_ID);
        break;
    case PS2_ENABLE:
    case PS2_DISABLE:
        mouse->enabled = byte == PS2_ENABLE;
        break;
    case PS2_RESET:
        queue_put(&mouse->answers, PS2_TEST_PASSED);
        queue_put(&mouse->answers, MOUSE_ID);
        mouse_defaults(mouse);
        break;
    default: /* PS2_DEFAULTS */
        mouse_defaults(mouse);
        break;
    }
}

void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte)
{
    queue_clear(&mouse->answers);
    if (mouse->wrap && byte != MOUSE_WRAP_END && byte != PS2_RESET) {
        queue_put(&mouse->answers, byte);
    } else if (mouse->command != 0 && byte != PS2_RESET) {
        mouse_argument(mouse, byte);
    } else {
        mouse_command(mouse, byte);
    }
}

bool ps2_mouse_read(Ps2Mouse *mouse, uint8_t *ret_byte)
{
    if (!queue_take(&mouse->answers, &mouse->last)) {
        return false;
    }
    *ret_byte = mouse->last;
    return true;
}
