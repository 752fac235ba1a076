/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard and a PS/2 mouse, as they are at the end of their cables.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: IBM PS/2 hardware interface technical reference, "Keyboard (101- and 102-key)" and "Mouse".
 *
 * A device takes command bytes, whose answers it queues, and is read byte by byte.  Answers go before what the device
 * has to say by itself, and a new command drops the answers to the one before.  All queues have a fixed size.
 */
#ifndef HW_INPUT_PS2_H
#define HW_INPUT_PS2_H

#include <stdbool.h>
#include <stdint.h>

#define PS2_QUEUE 16u /* keys: as in the keyboard; the longest answer has 4 bytes */

typedef struct Ps2Queue {
    uint8_t bytes[PS2_QUEUE];
    unsigned first;
    unsigned count;
} Ps2Queue;

typedef struct Ps2Keyboard {
    Ps2Queue answers;
    Ps2Queue keys;
    uint8_t last;      /* sent last, for "resend" */
    uint8_t command;   /* that waits for an argument; 0: none */
    uint8_t leds;      /* bit 0 scroll lock, 1 num lock, 2 caps lock */
    uint8_t set;       /* of scan codes: 1 or 2; set 3 is refused */
    bool scanning;
} Ps2Keyboard;

/* Nothing moves it: the program has no display yet.  It is there so that drivers find what they look for. */
typedef struct Ps2Mouse {
    Ps2Queue answers;
    uint8_t last;
    uint8_t command;
    uint8_t rate;
    uint8_t resolution;
    bool scaled;
    bool remote;
    bool wrap;
    bool enabled;
} Ps2Mouse;

void ps2_keyboard_reset(Ps2Keyboard *kbd);
void ps2_keyboard_write(Ps2Keyboard *kbd, uint8_t byte);

/* The next byte that the keyboard sends; false when there is none. */
bool ps2_keyboard_read(Ps2Keyboard *kbd, uint8_t *ret_byte);

/* As i8042_key(). */
bool ps2_keyboard_key(Ps2Keyboard *kbd, unsigned code, bool down);

void ps2_mouse_reset(Ps2Mouse *mouse);
void ps2_mouse_write(Ps2Mouse *mouse, uint8_t byte);
bool ps2_mouse_read(Ps2Mouse *mouse, uint8_t *ret_byte);

/* A byte of set 2, other than the prefix 0xf0, as the controller makes it one of set 1. */
uint8_t ps2_translate(uint8_t byte);

#endif
