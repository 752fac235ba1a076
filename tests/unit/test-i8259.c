/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the 8259A pair, by its ports, inputs and output.
 */
#include "hw/intc/i8259.h"
#include "hw/intc/irq-pins.h"
#include "isa-rig.h"
#include "util/machine-lock.h"

#define MASTER 0x20
#define SLAVE 0xa0
#define ELCR 0x4d0
#define MASTER_VECTOR 0x30
#define SLAVE_VECTOR 0x38

enum {
    EOI = 0x20,
    EOI_SPECIFIC = 0x60,
    ROTATE_EOI = 0xa0,
    ROTATE_EOI_SPECIFIC = 0xe0,
    ROTATE_AEOI_SET = 0x80,
    ROTATE_AEOI_CLEAR = 0x00,
    SET_PRIORITY = 0xc0,
    READ_IRR = 0x0a,
    READ_ISR = 0x0b,
    POLL = 0x0c,
    SPECIAL_MASK = 0x68,
    SPECIAL_MASK_OFF = 0x48,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
};

typedef struct Fixture {
    IsaRig rig;
    I8259 *pic;
    IrqLine **intr;
    int level;
    unsigned changes;
    unsigned ended[I8259_PINS];
    int lower_at_eoi; /* input, or -1 */
} Fixture;

static void see_intr(void *opaque, int n, int level)
{
    Fixture *f = opaque;

    f->level = level;
    f->changes++;
}

static void see_eoi(void *opaque, unsigned irq)
{
    Fixture *f = opaque;

    f->ended[irq]++;
    if (f->lower_at_eoi == (int)irq) {
        irq_set(f->pic->pins[irq], 0);
    }
}

static void init_chip(Fixture *f, uint16_t port, uint8_t vector, uint8_t icw3, uint8_t icw4)
{
    isa_out(&f->rig, port, 0x11);
    isa_out(&f->rig, port + 1, vector);
    isa_out(&f->rig, port + 1, icw3);
    isa_out(&f->rig, port + 1, 0x01 | icw4);
}

static void init_pair(Fixture *f, uint8_t master_icw4, uint8_t slave_icw4)
{
    init_chip(f, MASTER, MASTER_VECTOR, 0x04, master_icw4);
    init_chip(f, SLAVE, SLAVE_VECTOR, 0x02, slave_icw4);
}

static void setup(Fixture *f, gconstpointer data)
{
    isa_rig_setup(&f->rig);
    f->lower_at_eoi = -1;
    f->pic = i8259_create(f->rig.bus, NULL);
    g_assert_nonnull(f->pic);
    f->intr = irq_new_lines(see_intr, f, 1);
    i8259_set_intr(f->pic, f->intr[0]);
    i8259_set_eoi(f->pic, see_eoi, f);
    init_pair(f, 0, 0);
}

static void teardown(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
    irq_free_lines(f->intr, 1);
}

static void set_pin(Fixture *f, unsigned n, int level)
{
    irq_set(f->pic->pins[n], level);
}

static void pulse(Fixture *f, unsigned n)
{
    set_pin(f, n, 1);
    set_pin(f, n, 0);
}

static uint8_t status(Fixture *f, uint16_t port, uint8_t which)
{
    isa_out(&f->rig, port, which);
    return isa_in(&f->rig, port);
}

static void expect_vector(Fixture *f, unsigned irq)
{
    g_assert_true(f->level);
    g_assert_true(i8259_pending(f->pic));
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, irq < 8 ? MASTER_VECTOR + irq : SLAVE_VECTOR + irq - 8);
}

static void expect_idle(Fixture *f)
{
    g_assert_false(f->level);
    g_assert_false(i8259_pending(f->pic));
}

static void test_after_reset(Fixture *f, gconstpointer data)
{
    device_reset(DEVICE(f->pic));
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0xff);
    g_assert_cmphex(isa_in(&f->rig, SLAVE + 1), ==, 0xff);
    g_assert_cmphex(isa_in(&f->rig, ELCR), ==, 0);
    pulse(f, 0);
    expect_idle(f);
}

static void test_reset_drops_requests(Fixture *f, gconstpointer data)
{
    set_pin(f, 4, 1);
    expect_vector(f, 4);
    set_pin(f, 1, 1);
    g_assert_true(f->level);
    device_reset(DEVICE(f->pic));
    expect_idle(f);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0);
    g_assert_cmphex(status(f, MASTER, READ_IRR), ==, 0);
}

static void test_initialisation(Fixture *f, gconstpointer data)
{
    /* ICW1 alone unmasks; the data port then waits for ICW2 to 4 before it is the mask again. */
    isa_out(&f->rig, MASTER + 1, 0xfb);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0xfb);
    init_chip(f, MASTER, 0x77, 0x04, 0);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0);
    isa_out(&f->rig, MASTER + 1, 0x55);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0x55);
    isa_out(&f->rig, MASTER + 1, 0);
    pulse(f, 3);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x73); /* the low bits of ICW2 do not count */

    /* Single and without ICW4: only ICW2. */
    isa_out(&f->rig, MASTER, 0x12);
    isa_out(&f->rig, MASTER + 1, 0x40);
    isa_out(&f->rig, MASTER + 1, 0xaa);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0xaa);
    /* Single with ICW4; cascade without. */
    isa_out(&f->rig, MASTER, 0x13);
    isa_out(&f->rig, MASTER + 1, 0x40);
    isa_out(&f->rig, MASTER + 1, 0x03);
    isa_out(&f->rig, MASTER + 1, 0x5a);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0x5a);
    isa_out(&f->rig, MASTER, 0x10);
    isa_out(&f->rig, MASTER + 1, 0x40);
    isa_out(&f->rig, MASTER + 1, 0x04);
    isa_out(&f->rig, MASTER + 1, 0xa5);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0xa5);
}

static void test_icw1_forgets(Fixture *f, gconstpointer data)
{
    set_pin(f, 3, 1);
    g_assert_true(f->level);
    expect_vector(f, 3);
    set_pin(f, 1, 1);
    isa_out(&f->rig, MASTER, SPECIAL_MASK);
    isa_out(&f->rig, MASTER, SET_PRIORITY | 3);
    init_chip(f, MASTER, MASTER_VECTOR, 0x04, 0);
    expect_idle(f);
    g_assert_cmphex(isa_in(&f->rig, MASTER), ==, 0); /* IRR, and empty */
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0);
    pulse(f, 4);
    pulse(f, 0);
    expect_vector(f, 0); /* the highest again */
}

static void test_edge(Fixture *f, gconstpointer data)
{
    set_pin(f, 4, 1);
    g_assert_cmphex(status(f, MASTER, READ_IRR), ==, 0x10);
    expect_vector(f, 4);
    g_assert_cmphex(status(f, MASTER, READ_IRR), ==, 0);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x10);
    expect_idle(f);
    isa_out(&f->rig, MASTER, EOI);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0);
    expect_idle(f); /* still high: no edge */
    set_pin(f, 4, 1);
    expect_idle(f);
    set_pin(f, 4, 0);
    set_pin(f, 4, 1);
    expect_vector(f, 4);
    g_assert_cmpuint(f->ended[4], ==, 1); /* a remote's line is lowered by that, whatever ELCR says */
}

static void test_short_edge_stays(Fixture *f, gconstpointer data)
{
    isa_out(&f->rig, MASTER + 1, 0x01);
    pulse(f, 0);
    expect_idle(f);
    isa_out(&f->rig, MASTER + 1, 0x00);
    expect_vector(f, 0);
}

static void test_level(Fixture *f, gconstpointer data)
{
    isa_out(&f->rig, ELCR + 1, 0x08);
    set_pin(f, 11, 1);
    expect_vector(f, 11);
    g_assert_cmphex(status(f, SLAVE, READ_IRR), ==, 0x08);
    isa_out(&f->rig, SLAVE, EOI);
    isa_out(&f->rig, MASTER, EOI);
    g_assert_cmpuint(f->ended[11], ==, 1);
    expect_vector(f, 11); /* still asserted: again */
    set_pin(f, 11, 0);
    isa_out(&f->rig, SLAVE, EOI);
    isa_out(&f->rig, MASTER, EOI);
    expect_idle(f);
    g_assert_cmpuint(f->ended[11], ==, 2);
    g_assert_cmpuint(f->ended[2], ==, 0); /* the cascade is no level input */
}

static void test_source_lowers_at_eoi(Fixture *f, gconstpointer data)
{
    unsigned changes;

    isa_out(&f->rig, ELCR, 0x20);
    f->lower_at_eoi = 5;
    set_pin(f, 5, 1);
    expect_vector(f, 5);
    changes = f->changes;
    isa_out(&f->rig, MASTER, EOI_SPECIFIC | 5);
    g_assert_cmpuint(f->ended[5], ==, 1);
    g_assert_cmpuint(f->changes, ==, changes); /* never asserted again */
    isa_out(&f->rig, MASTER, EOI_SPECIFIC | 5);
    g_assert_cmpuint(f->ended[5], ==, 1); /* nothing was in service */
}

static void test_elcr_bits(Fixture *f, gconstpointer data)
{
    isa_out(&f->rig, ELCR, 0xff);
    isa_out(&f->rig, ELCR + 1, 0xff);
    g_assert_cmphex(isa_in(&f->rig, ELCR), ==, 0xf8);
    g_assert_cmphex(isa_in(&f->rig, ELCR + 1), ==, 0xde);
    /* From level to edge: what was asserted is no edge. */
    set_pin(f, 5, 1);
    g_assert_true(f->level);
    isa_out(&f->rig, ELCR, 0);
    expect_idle(f);
    set_pin(f, 5, 0);
    set_pin(f, 5, 1);
    g_assert_true(f->level);
    /* And back: the level counts, the old edge does not. */
    set_pin(f, 5, 0);
    isa_out(&f->rig, ELCR, 0x20);
    expect_idle(f);
}

static void test_priority(Fixture *f, gconstpointer data)
{
    pulse(f, 6);
    pulse(f, 3);
    pulse(f, 4);
    expect_vector(f, 3);
    expect_idle(f);
    pulse(f, 1);
    expect_vector(f, 1); /* nests in 3 */
    isa_out(&f->rig, MASTER, EOI);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x08);
    expect_idle(f);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 4);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 6);
    isa_out(&f->rig, MASTER, EOI);
    expect_idle(f);
}

static void test_cascade(Fixture *f, gconstpointer data)
{
    pulse(f, 14);
    pulse(f, 5);
    expect_vector(f, 14);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x04);
    g_assert_cmphex(status(f, SLAVE, READ_ISR), ==, 0x40);
    /* A higher one of the slave waits for the cascade's end. */
    pulse(f, 8);
    expect_idle(f);
    isa_out(&f->rig, SLAVE, EOI);
    expect_idle(f);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 8);
    isa_out(&f->rig, SLAVE, EOI);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 5);
    /* Input 2 of the board goes nowhere. */
    isa_out(&f->rig, MASTER, EOI);
    set_pin(f, 2, 1);
    expect_idle(f);
}

static void test_special_fully_nested(Fixture *f, gconstpointer data)
{
    init_pair(f, ICW4_SFNM, 0);
    pulse(f, 14);
    expect_vector(f, 14);
    pulse(f, 15);
    expect_idle(f); /* lower, within the slave */
    pulse(f, 5);
    expect_idle(f); /* lower than the cascade */
    pulse(f, 9);
    expect_vector(f, 9); /* higher, within the slave: passes */
    g_assert_cmphex(status(f, SLAVE, READ_ISR), ==, 0x42);
}

static void test_mask(Fixture *f, gconstpointer data)
{
    isa_out(&f->rig, MASTER + 1, 0x04);
    pulse(f, 12);
    expect_idle(f); /* the cascade is masked */
    isa_out(&f->rig, MASTER + 1, 0x00);
    g_assert_true(f->level);
    isa_out(&f->rig, SLAVE + 1, 0x10);
    expect_idle(f);
    isa_out(&f->rig, SLAVE + 1, 0x00);
    expect_vector(f, 12);
}

static void test_spurious(Fixture *f, gconstpointer data)
{
    isa_out(&f->rig, ELCR, 0x20);
    set_pin(f, 5, 1);
    g_assert_true(f->level);
    set_pin(f, 5, 0);
    expect_idle(f);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, MASTER_VECTOR + 7);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0);
    /* Not an end of anything. */
    isa_out(&f->rig, MASTER, EOI);
    expect_idle(f);
}

static void test_spurious_of_slave(Fixture *f, gconstpointer data)
{
    /* The master polled, so that the cascade is in service, and the slave's request gone. */
    isa_out(&f->rig, ELCR + 1, 0x08);
    set_pin(f, 11, 1);
    isa_out(&f->rig, MASTER, POLL);
    g_assert_cmphex(isa_in(&f->rig, MASTER), ==, 0x82);
    set_pin(f, 11, 0);
    isa_out(&f->rig, SLAVE, POLL);
    g_assert_cmphex(isa_in(&f->rig, SLAVE), ==, 0x00);
    g_assert_cmphex(status(f, SLAVE, READ_ISR), ==, 0);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x04);
}

static void test_poll(Fixture *f, gconstpointer data)
{
    pulse(f, 3);
    pulse(f, 14);
    isa_out(&f->rig, MASTER, POLL);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0x82); /* at either port */
    isa_out(&f->rig, SLAVE, POLL);
    g_assert_cmphex(isa_in(&f->rig, SLAVE), ==, 0x86);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x04);
    isa_out(&f->rig, SLAVE, EOI);
    isa_out(&f->rig, MASTER, EOI);
    isa_out(&f->rig, MASTER, POLL);
    g_assert_cmphex(isa_in(&f->rig, MASTER), ==, 0x83);
    isa_out(&f->rig, MASTER, EOI);
    isa_out(&f->rig, MASTER, POLL);
    g_assert_cmphex(isa_in(&f->rig, MASTER), ==, 0x00);
    g_assert_cmphex(isa_in(&f->rig, MASTER + 1), ==, 0x00); /* one read only: the mask again */
}

static void test_rotation(Fixture *f, gconstpointer data)
{
    pulse(f, 3);
    expect_vector(f, 3);
    isa_out(&f->rig, MASTER, ROTATE_EOI);
    pulse(f, 3);
    pulse(f, 4);
    expect_vector(f, 4); /* 3 is the lowest now */
    isa_out(&f->rig, MASTER, ROTATE_EOI_SPECIFIC | 4);
    expect_vector(f, 3);
    isa_out(&f->rig, MASTER, EOI);
    isa_out(&f->rig, MASTER, SET_PRIORITY | 5);
    pulse(f, 5);
    pulse(f, 6);
    pulse(f, 0);
    expect_vector(f, 6);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 0);
    isa_out(&f->rig, MASTER, EOI);
    expect_vector(f, 5);
}

static void test_auto_eoi(Fixture *f, gconstpointer data)
{
    init_pair(f, ICW4_AEOI, ICW4_AEOI);
    pulse(f, 5);
    expect_vector(f, 5);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0);
    isa_out(&f->rig, ELCR + 1, 0x08);
    f->lower_at_eoi = 11;
    set_pin(f, 11, 1);
    expect_vector(f, 11);
    g_assert_cmpuint(f->ended[11], ==, 1);
    expect_idle(f);

    isa_out(&f->rig, MASTER, ROTATE_AEOI_SET);
    pulse(f, 1);
    expect_vector(f, 1);
    pulse(f, 1);
    pulse(f, 6);
    expect_vector(f, 6);
    expect_vector(f, 1);
    isa_out(&f->rig, MASTER, ROTATE_AEOI_CLEAR);
    isa_out(&f->rig, MASTER, SET_PRIORITY | 7);
    pulse(f, 0);
    expect_vector(f, 0);
    pulse(f, 0);
    pulse(f, 6);
    expect_vector(f, 0);
}

static void test_special_mask(Fixture *f, gconstpointer data)
{
    pulse(f, 1);
    expect_vector(f, 1);
    pulse(f, 4);
    expect_idle(f);
    isa_out(&f->rig, MASTER + 1, 0x02);
    expect_idle(f);
    isa_out(&f->rig, MASTER, SPECIAL_MASK);
    expect_vector(f, 4);
    /* The unspecific end does not see what is masked. */
    isa_out(&f->rig, MASTER, EOI);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x02);
    isa_out(&f->rig, MASTER, EOI);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x02);
    /* Reading a status does not change the mode. */
    pulse(f, 6);
    expect_vector(f, 6);
    isa_out(&f->rig, MASTER, EOI);
    isa_out(&f->rig, MASTER, SPECIAL_MASK_OFF);
    pulse(f, 6);
    expect_idle(f);
    isa_out(&f->rig, MASTER, EOI_SPECIFIC | 1);
    g_assert_true(f->level);
}

static void test_output_follows_line(Fixture *f, gconstpointer data)
{
    /* A line that is connected late learns the level. */
    pulse(f, 7);
    f->level = 0;
    i8259_set_intr(f->pic, f->intr[0]);
    g_assert_true(f->level);
    i8259_set_intr(f->pic, NULL);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, MASTER_VECTOR + 7);
    g_assert_cmphex(status(f, MASTER, READ_ISR), ==, 0x80); /* a true 7 is in service */
}

static void test_pins_interface(Fixture *f, gconstpointer data)
{
    unsigned count;

    g_assert_true(irq_pins_inputs(QOM_OBJECT(f->pic), &count) == f->pic->pins);
    g_assert_cmpuint(count, ==, I8259_PINS);
}

/* ---- the bus --------------------------------------------------------------------------------- */

static void test_ports_are_taken(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    guint ranges = f->rig.bus->ranges->len;

    g_assert_null(i8259_create(f->rig.bus, &err)); /* the name in the tree is taken */
    g_clear_error(&err);
    g_assert_false(isa_realize_board_device(f->rig.bus, device_new(TYPE_I8259), "second", &err));
    g_assert_cmpstr(err->message, ==, "I/O ports 0x20 to 0x21: 'isa-i8259' has 0x20 to 0x21; choose others");
    g_assert_null(qom_child(qom_container("/machine/unattached"), "second"));
    g_assert_cmpuint(f->rig.bus->bus.devices->len, ==, 1);
    g_assert_cmpuint(f->rig.bus->ranges->len, ==, ranges);
}

static void test_bus(void)
{
    IsaRig rig = { 0 };

    isa_rig_setup(&rig);
    g_assert_true(bus_find("isa.0") == BUS(rig.bus));
    irq_set(isa_bus_irq(rig.bus, 15), 1);
    g_assert_cmpint(rig.level[15], ==, 1);
    g_assert_cmpint(rig.level[14], ==, 0);
    isa_rig_teardown(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/isa-bus/name-and-lines", test_bus);
#define ADD(name, fn) g_test_add("/i8259/" name, Fixture, NULL, setup, fn, teardown)
    ADD("after-reset", test_after_reset);
    ADD("reset-drops-requests", test_reset_drops_requests);
    ADD("initialisation", test_initialisation);
    ADD("icw1-forgets", test_icw1_forgets);
    ADD("edge", test_edge);
    ADD("short-edge-stays", test_short_edge_stays);
    ADD("level", test_level);
    ADD("source-lowers-at-eoi", test_source_lowers_at_eoi);
    ADD("elcr-bits", test_elcr_bits);
    ADD("priority", test_priority);
    ADD("cascade", test_cascade);
    ADD("special-fully-nested", test_special_fully_nested);
    ADD("mask", test_mask);
    ADD("spurious", test_spurious);
    ADD("spurious-of-slave", test_spurious_of_slave);
    ADD("poll", test_poll);
    ADD("rotation", test_rotation);
    ADD("auto-eoi", test_auto_eoi);
    ADD("special-mask", test_special_mask);
    ADD("output-follows-line", test_output_follows_line);
    ADD("pins-interface", test_pins_interface);
    ADD("ports-are-taken", test_ports_are_taken);
    return g_test_run();
}
