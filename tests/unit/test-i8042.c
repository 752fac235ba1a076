/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the keyboard controller with keyboard and mouse.
 */
#include "hw/input/i8042.h"
#include "isa-rig.h"
#include "util/machine-lock.h"

#define DATA 0x60
#define COMMAND 0x64

enum {
    FULL = 0x01,
    SYSTEM = 0x04,
    LAST_COMMAND = 0x08,
    UNLOCKED = 0x10,
    FROM_MOUSE = 0x20,
};

typedef struct Fixture {
    IsaRig rig;
    I8042 *kbc;
    unsigned resets;
} Fixture;

static void see_reset(void *opaque)
{
    ((Fixture *)opaque)->resets++;
}

static void setup(Fixture *f, gconstpointer data)
{
    isa_rig_setup(&f->rig);
    f->kbc = i8042_create(f->rig.bus, see_reset, f, NULL);
    g_assert_nonnull(f->kbc);
}

static void teardown(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
}

static uint8_t status(Fixture *f)
{
    return isa_in(&f->rig, COMMAND);
}

static void command(Fixture *f, uint8_t value)
{
    isa_out(&f->rig, COMMAND, value);
}

static void data_out(Fixture *f, uint8_t value)
{
    isa_out(&f->rig, DATA, value);
}

static void expect_byte(Fixture *f, uint8_t byte)
{
    g_assert_cmphex(status(f) & (FULL | FROM_MOUSE), ==, FULL);
    g_assert_cmphex(isa_in(&f->rig, DATA), ==, byte);
}

static void expect_mouse(Fixture *f, uint8_t byte)
{
    g_assert_cmphex(status(f) & (FULL | FROM_MOUSE), ==, FULL | FROM_MOUSE);
    g_assert_cmphex(isa_in(&f->rig, DATA), ==, byte);
}

static void expect_nothing(Fixture *f)
{
    g_assert_false(status(f) & FULL);
}

static void set_config(Fixture *f, uint8_t value)
{
    command(f, 0x60);
    data_out(f, value);
}

static uint8_t config(Fixture *f)
{
    command(f, 0x20);
    g_assert_cmphex(status(f) & (FULL | FROM_MOUSE), ==, FULL);
    return isa_in(&f->rig, DATA);
}

/* A command or argument of the keyboard that is acknowledged. */
static void keyboard(Fixture *f, uint8_t value)
{
    data_out(f, value);
    expect_byte(f, 0xfa);
}

static void mouse(Fixture *f, uint8_t value)
{
    command(f, 0xd4);
    data_out(f, value);
    expect_mouse(f, 0xfa);
}

static void press(Fixture *f, unsigned code)
{
    g_assert_true(i8042_key(f->kbc, code, true));
}

static void release(Fixture *f, unsigned code)
{
    g_assert_true(i8042_key(f->kbc, code, false));
}

static void test_controller_commands(Fixture *f, gconstpointer data)
{
    static const struct {
        uint8_t command, answer;
    } cases[] = {
        { 0xaa, 0x55 }, { 0xab, 0x00 }, { 0xa9, 0x00 }, { 0xa4, 0xf1 }, { 0xc0, 0x80 }, { 0xe0, 0x00 },
    };

    g_assert_cmphex(status(f), ==, UNLOCKED);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        command(f, cases[i].command);
        g_assert_cmphex(status(f) & ~SYSTEM, ==, UNLOCKED | LAST_COMMAND | FULL);
        expect_byte(f, cases[i].answer);
        expect_nothing(f);
    }
    g_assert_true(status(f) & SYSTEM); /* since the self-test */
    g_assert_cmphex(isa_in(&f->rig, DATA), ==, 0x00); /* the last byte once more */
    /* Not known: nothing. */
    for (unsigned value = 0; value < 0x100; value++) {
        if (value == 0x21 || value == 0x5f || value == 0x61 || value == 0xa0 || value == 0xd5 || value == 0xff) {
            command(f, (uint8_t)value);
            expect_nothing(f);
        }
    }
    g_assert_cmpuint(f->resets, ==, 0);
}

static void test_config(Fixture *f, gconstpointer data)
{
    g_assert_cmphex(config(f), ==, 0x70);
    set_config(f, 0xff);
    g_assert_cmphex(config(f), ==, 0x77);
    set_config(f, 0x00);
    g_assert_cmphex(config(f), ==, 0x00);
    command(f, 0xa7);
    g_assert_cmphex(config(f), ==, 0x20);
    command(f, 0xad);
    g_assert_cmphex(config(f), ==, 0x30);
    command(f, 0xa8);
    g_assert_cmphex(config(f), ==, 0x10);
    command(f, 0xae);
    g_assert_cmphex(config(f), ==, 0x00);
    set_config(f, 0x30);
    keyboard(f, 0xf4); /* to send switches the interface on */
    mouse(f, 0xf5);
    g_assert_cmphex(config(f), ==, 0x00);
    g_assert_false(status(f) & SYSTEM);
    set_config(f, 0x04);
    g_assert_true(status(f) & SYSTEM);
    g_assert_false(status(f) & LAST_COMMAND);
    /* A command instead of the byte that is waited for. */
    command(f, 0x60);
    command(f, 0xae);
    keyboard(f, 0xf4);
    g_assert_cmphex(config(f), ==, 0x04);
}

static void test_output_port(Fixture *f, gconstpointer data)
{
    g_assert_true(i8042_a20(f->kbc));
    command(f, 0xd0);
    expect_byte(f, 0xc3);
    command(f, 0xdd);
    g_assert_false(i8042_a20(f->kbc));
    command(f, 0xd0);
    expect_byte(f, 0xc1);
    command(f, 0xdf);
    g_assert_true(i8042_a20(f->kbc));
    command(f, 0xd1);
    data_out(f, 0x01);
    g_assert_false(i8042_a20(f->kbc));
    command(f, 0xd1);
    data_out(f, 0x03);
    g_assert_true(i8042_a20(f->kbc));
    g_assert_cmpuint(f->resets, ==, 0);
    /* What is in the buffer shows. */
    command(f, 0xd2);
    data_out(f, 0x11);
    command(f, 0xd0);
    expect_byte(f, 0x11);
    expect_byte(f, 0xd3);
    command(f, 0xd3);
    data_out(f, 0x11);
    command(f, 0xd0);
    expect_mouse(f, 0x11);
    expect_byte(f, 0xe3);
}

static void test_reset_pulse(Fixture *f, gconstpointer data)
{
    command(f, 0xfe);
    g_assert_cmpuint(f->resets, ==, 1);
    command(f, 0xff);
    command(f, 0xf1);
    g_assert_cmpuint(f->resets, ==, 1);
    command(f, 0xf0);
    g_assert_cmpuint(f->resets, ==, 2);
    command(f, 0xd1);
    data_out(f, 0x02);
    g_assert_cmpuint(f->resets, ==, 3);
}

/* What Linux's driver does to find out whether there is a mouse port and whether it interrupts. */
static void test_loops_as_linux_probes(Fixture *f, gconstpointer data)
{
    set_config(f, 0x30);
    command(f, 0xd3);
    data_out(f, 0x5a);
    expect_mouse(f, 0x5a);
    command(f, 0xa7);
    g_assert_true(config(f) & 0x20);
    command(f, 0xa8);
    g_assert_false(config(f) & 0x20);
    set_config(f, 0x32);
    command(f, 0xd3);
    data_out(f, 0xa5);
    g_assert_cmpint(f->rig.level[12], ==, 1);
    g_assert_cmpint(f->rig.level[1], ==, 0);
    expect_mouse(f, 0xa5);
    g_assert_cmpint(f->rig.level[12], ==, 0);
    /* No multiplexer: what is sent comes back as it is. */
    for (unsigned i = 0; i < 3; i++) {
        static const uint8_t magic[] = { 0xf0, 0x56, 0xa4 };

        command(f, 0xd3);
        data_out(f, magic[i]);
        expect_mouse(f, magic[i]);
    }
    command(f, 0xd2);
    data_out(f, 0x77);
    expect_byte(f, 0x77);
}

static void test_keyboard_commands(Fixture *f, gconstpointer data)
{
    set_config(f, 0x00);
    keyboard(f, 0xff);
    expect_byte(f, 0xaa);
    keyboard(f, 0xf2);
    expect_byte(f, 0xab);
    expect_byte(f, 0x83);
    data_out(f, 0xee);
    expect_byte(f, 0xee);
    keyboard(f, 0xed);
    g_assert_cmpuint(i8042_leds(f->kbc), ==, 0);
    keyboard(f, 0x07);
    g_assert_cmpuint(i8042_leds(f->kbc), ==, 7);
    keyboard(f, 0xf3);
    keyboard(f, 0x00);
    keyboard(f, 0xf0);
    keyboard(f, 0x00);
    expect_byte(f, 0x02);
    keyboard(f, 0xf0);
    keyboard(f, 0x01);
    keyboard(f, 0xf0);
    keyboard(f, 0x00);
    expect_byte(f, 0x01);
    keyboard(f, 0xf0);
    data_out(f, 0x03); /* there is no set 3 */
    expect_byte(f, 0xfe);
    keyboard(f, 0xf6);
    keyboard(f, 0xf0);
    keyboard(f, 0x00);
    expect_byte(f, 0x02);
    keyboard(f, 0xfa);
    keyboard(f, 0xfc);
    keyboard(f, 0x1c);
    keyboard(f, 0x1d);
    /* Resend; not a command; a command instead of an argument. */
    keyboard(f, 0xf2);
    expect_byte(f, 0xab);
    expect_byte(f, 0x83);
    data_out(f, 0xfe);
    expect_byte(f, 0x83);
    data_out(f, 0xef);
    expect_byte(f, 0xfe);
    data_out(f, 0x12);
    expect_byte(f, 0xfe);
    keyboard(f, 0xed);
    keyboard(f, 0xf4);
    data_out(f, 0x00);
    expect_byte(f, 0xfe);
    g_assert_cmpuint(i8042_leds(f->kbc), ==, 7);
    keyboard(f, 0xff);
    expect_byte(f, 0xaa);
    g_assert_cmpuint(i8042_leds(f->kbc), ==, 0);
    expect_nothing(f);
}

static void test_keys(Fixture *f, gconstpointer data)
{
    set_config(f, 0x01);
    press(f, 0x1e); /* A */
    g_assert_cmpint(f->rig.level[1], ==, 1);
    expect_byte(f, 0x1c);
    g_assert_cmpint(f->rig.level[1], ==, 0);
    release(f, 0x1e);
    expect_byte(f, 0xf0);
    expect_byte(f, 0x1c);
    press(f, 0xe01d); /* right control */
    expect_byte(f, 0xe0);
    expect_byte(f, 0x14);
    release(f, 0xe01d);
    expect_byte(f, 0xe0);
    expect_byte(f, 0xf0);
    expect_byte(f, 0x14);
    press(f, 0x41); /* F7 */
    expect_byte(f, 0x83);
    g_assert_cmpuint(f->rig.raised[1], ==, 1 + 2 + 2 + 3 + 1);
    /* Translated. */
    set_config(f, 0x41);
    press(f, 0x41);
    expect_byte(f, 0x41);
    release(f, 0x41);
    expect_byte(f, 0xc1);
    release(f, 0xe01d);
    expect_byte(f, 0xe0);
    expect_byte(f, 0x9d);
    keyboard(f, 0xf2);
    expect_byte(f, 0xab);
    expect_byte(f, 0x41);
    /* Set 1, from the keyboard. */
    set_config(f, 0x01);
    keyboard(f, 0xf0);
    keyboard(f, 0x01);
    press(f, 0xe048);
    release(f, 0xe048);
    expect_byte(f, 0xe0);
    expect_byte(f, 0x48);
    expect_byte(f, 0xe0);
    expect_byte(f, 0xc8);
    expect_nothing(f);
    /* No keys. */
    g_assert_false(i8042_key(f->kbc, 0x00, true));
    g_assert_false(i8042_key(f->kbc, 0x80, true));
    g_assert_false(i8042_key(f->kbc, 0xe000, true));
    g_assert_false(i8042_key(f->kbc, 0xe180, true));
    g_assert_false(i8042_key(f->kbc, 0xe11d, true));
    expect_nothing(f);
}

/* Every key of a 102-key keyboard comes out of the translation as it went in. */
static void test_all_keys_translated(Fixture *f, gconstpointer data)
{
    set_config(f, 0x40);
    for (unsigned code = 1; code < 0x80; code++) {
        press(f, code);
        expect_byte(f, (uint8_t)code);
        release(f, code);
        expect_byte(f, (uint8_t)(code | 0x80));
        expect_nothing(f);
    }
}

static void test_full_and_off(Fixture *f, gconstpointer data)
{
    /* One byte in the controller's buffer and 16 in the keyboard's. */
    set_config(f, 0x00);
    for (unsigned i = 0; i < 17; i++) {
        press(f, 0x1e);
    }
    g_assert_false(i8042_key(f->kbc, 0x1e, true));
    expect_byte(f, 0x1c);
    g_assert_false(i8042_key(f->kbc, 0x1e, false)); /* two bytes, room for one */
    press(f, 0x30);
    for (unsigned i = 0; i < 16; i++) {
        expect_byte(f, 0x1c);
    }
    expect_byte(f, 0x32);
    expect_nothing(f);
    /* The interface off: the keyboard keeps them.  The answer to a command goes before. */
    command(f, 0xad);
    press(f, 0x1e);
    expect_nothing(f);
    command(f, 0x20);
    expect_byte(f, 0x10);
    data_out(f, 0xee);
    expect_byte(f, 0xee);
    expect_byte(f, 0x1c);
    /* The keyboard off. */
    keyboard(f, 0xf5);
    g_assert_false(i8042_key(f->kbc, 0x1e, true));
    keyboard(f, 0xf4);
    press(f, 0x1e);
    expect_byte(f, 0x1c);
}

static void test_order(Fixture *f, gconstpointer data)
{
    /* A key in the buffer, another in the keyboard, an answer of the mouse, one of the controller. */
    set_config(f, 0x03);
    press(f, 0x1e);
    press(f, 0x30);
    command(f, 0xd4);
    data_out(f, 0xf2);
    command(f, 0x20);
    g_assert_cmpint(f->rig.level[1], ==, 1);
    expect_byte(f, 0x1c);
    expect_byte(f, 0x03);
    expect_byte(f, 0x32);
    g_assert_cmpint(f->rig.level[1], ==, 0);
    g_assert_cmpint(f->rig.level[12], ==, 1);
    expect_mouse(f, 0xfa);
    expect_mouse(f, 0x00);
    g_assert_cmpint(f->rig.level[12], ==, 0);
    g_assert_cmpuint(f->rig.raised[1], ==, 3);
    g_assert_cmpuint(f->rig.raised[12], ==, 2);
}

static void test_mouse(Fixture *f, gconstpointer data)
{
    set_config(f, 0x00);
    mouse(f, 0xff);
    expect_mouse(f, 0xaa);
    expect_mouse(f, 0x00);
    mouse(f, 0xf2);
    expect_mouse(f, 0x00);
    mouse(f, 0xe9);
    expect_mouse(f, 0x00);
    expect_mouse(f, 2);
    expect_mouse(f, 100);
    mouse(f, 0xf3);
    mouse(f, 200);
    mouse(f, 0xe8);
    mouse(f, 3);
    mouse(f, 0xe7);
    mouse(f, 0xf4);
    mouse(f, 0xf0);
    mouse(f, 0xe9);
    expect_mouse(f, 0x70);
    expect_mouse(f, 3);
    expect_mouse(f, 200);
    mouse(f, 0xeb);
    expect_mouse(f, 0x08);
    expect_mouse(f, 0x00);
    expect_mouse(f, 0x00);
    command(f, 0xd4);
    data_out(f, 0xfe);
    expect_mouse(f, 0x00);
    mouse(f, 0xe8);
    command(f, 0xd4);
    data_out(f, 4);
    expect_mouse(f, 0xfe);
    command(f, 0xd4);
    data_out(f, 0xe1);
    expect_mouse(f, 0xfe);
    command(f, 0xd4);
    data_out(f, 0xfc);
    expect_mouse(f, 0xfe);
    /* Wrap: all comes back but the end of it and reset. */
    mouse(f, 0xee);
    command(f, 0xd4);
    data_out(f, 0xf2);
    expect_mouse(f, 0xf2);
    expect_nothing(f);
    mouse(f, 0xec);
    mouse(f, 0xf3);
    mouse(f, 0xff); /* reset, not a rate */
    expect_mouse(f, 0xaa);
    expect_mouse(f, 0x00);
    mouse(f, 0xe6);
    mouse(f, 0xea);
    mouse(f, 0xf6);
    mouse(f, 0xe9);
    expect_mouse(f, 0x00);
    expect_mouse(f, 2);
    expect_mouse(f, 100);
    /* Off: it waits. */
    command(f, 0xd4);
    data_out(f, 0xf2);
    command(f, 0xa7);
    expect_mouse(f, 0xfa); /* was in the buffer already */
    expect_nothing(f);
    command(f, 0xa8);
    expect_mouse(f, 0x00);
}

/* Nothing that a guest writes makes more of a queue than there is. */
static void test_flood(Fixture *f, gconstpointer data)
{
    for (unsigned i = 0; i < 0x10000; i++) {
        command(f, i & 1 ? 0xd4 : (uint8_t)(i >> 8));
        data_out(f, (uint8_t)i);
    }
    for (unsigned i = 0; status(f) & FULL; i++) {
        g_assert_cmpuint(i, <, 64);
        isa_in(&f->rig, DATA);
    }
}

static void test_reset(Fixture *f, gconstpointer data)
{
    set_config(f, 0x03);
    keyboard(f, 0xf0);
    keyboard(f, 0x01);
    keyboard(f, 0xf5);
    command(f, 0xdd);
    command(f, 0x20);
    command(f, 0xd2);
    data_out(f, 1);
    g_assert_cmpint(f->rig.level[1], ==, 1);
    command(f, 0x60);
    device_reset(DEVICE(f->kbc));
    g_assert_cmpint(f->rig.level[1], ==, 0);
    g_assert_cmphex(status(f), ==, UNLOCKED);
    g_assert_true(i8042_a20(f->kbc));
    keyboard(f, 0xf0); /* nobody waits for a config byte */
    keyboard(f, 0x00);
    expect_byte(f, 0x41); /* set 2, translated as everything is */
    g_assert_cmphex(config(f), ==, 0x60);
    press(f, 0x1e);
    expect_byte(f, 0x1e);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
#define ADD(name, fn) g_test_add("/i8042/" name, Fixture, NULL, setup, fn, teardown)
    ADD("controller-commands", test_controller_commands);
    ADD("config", test_config);
    ADD("output-port", test_output_port);
    ADD("reset-pulse", test_reset_pulse);
    ADD("loops-as-linux-probes", test_loops_as_linux_probes);
    ADD("keyboard-commands", test_keyboard_commands);
    ADD("keys", test_keys);
    ADD("all-keys-translated", test_all_keys_translated);
    ADD("full-and-off", test_full_and_off);
    ADD("order", test_order);
    ADD("mouse", test_mouse);
    ADD("flood", test_flood);
    ADD("reset", test_reset);
    return g_test_run();
}
