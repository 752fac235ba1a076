/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the 16550A and of isa-serial, on a backend in memory.
 */
#include "chardev/chardev-int.h"
#include "hw/char/serial.h"
#include "isa-rig.h"
#include "util/machine-lock.h"

#define COM1 0x3f8
#define COM1_IRQ 4

/* Four characters of 10 bits at 115200 baud, and a little. */
#define TIMEOUT_NS (40 * G_GINT64_CONSTANT(1000000000) / 115200)

typedef struct Memory {
    Chardev chr;
    GString *output;
    size_t room;     /* bytes that are still taken */
    unsigned wanted; /* calls of accept_input() */
} Memory;

typedef struct Fixture {
    IsaRig rig;
    Memory *memory;
    Device *dev;
} Fixture;

static size_t memory_write(Chardev *chr, const uint8_t *data, size_t len)
{
    Memory *memory = (Memory *)(void *)chr;
    size_t taken = MIN(len, memory->room);

    g_string_append_len(memory->output, (const char *)data, (gssize)taken);
    memory->room -= taken;
    return taken;
}

static void memory_accept_input(Chardev *chr)
{
    ((Memory *)(void *)chr)->wanted++;
}

static void memory_free(Chardev *chr)
{
    g_string_free(((Memory *)(void *)chr)->output, TRUE);
    g_free(chr);
}

static Memory *memory_new(const char *id)
{
    static const ChardevClass klass = { "memory", .write = memory_write, .accept_input = memory_accept_input,
                                        .free = memory_free };
    Memory *memory = g_new0(Memory, 1);

    chardev_init(&memory->chr, &klass, id);
    memory->output = g_string_new(NULL);
    memory->room = SIZE_MAX;
    chardev_register(&memory->chr);
    return memory;
}

/* Gives the guest TEXT as far as it takes it; returns how much that was. */
static size_t type(Fixture *f, const char *text)
{
    size_t done = 0, len = strlen(text);

    while (done < len) {
        size_t room = chardev_front_can_read(&f->memory->chr);

        if (room == 0) {
            break;
        }
        room = MIN(room, len - done);
        chardev_front_read(&f->memory->chr, (const uint8_t *)text + done, room);
        done += room;
    }
    return done;
}

static uint8_t in(Fixture *f, unsigned reg)
{
    return isa_in(&f->rig, (uint16_t)(COM1 + reg));
}

static void out(Fixture *f, unsigned reg, uint8_t value)
{
    isa_out(&f->rig, (uint16_t)(COM1 + reg), value);
}

static uint8_t iir(Fixture *f)
{
    return in(f, UART_IIR) & UART_IIR_ID;
}

static int level(Fixture *f)
{
    return f->rig.level[COM1_IRQ];
}

static unsigned edges(Fixture *f)
{
    return f->rig.raised[COM1_IRQ];
}

static Device *add(Fixture *f, const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-device", text, "driver", errp);

    return device_add(opts, errp);
}

static void setup(Fixture *f, gconstpointer data)
{
    isa_rig_setup(&f->rig);
    f->memory = memory_new("mem0");
    f->dev = add(f, "isa-serial,chardev=mem0", NULL);
    g_assert_nonnull(f->dev);
}

static void teardown(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
    chardevs_stop();
}

/* 115200 8N1, FIFOs with TRIGGER (0 to 3), the interrupt let through. */
static void program(Fixture *f, unsigned trigger, uint8_t ier)
{
    out(f, UART_LCR, UART_LCR_DLAB);
    out(f, UART_DLL, 1);
    out(f, UART_DLM, 0);
    out(f, UART_LCR, 3);
    out(f, UART_FCR, (uint8_t)(UART_FCR_ENABLE | UART_FCR_CLEAR_RX | UART_FCR_CLEAR_TX |
                               trigger << UART_FCR_TRIGGER_SHIFT));
    out(f, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
    out(f, UART_IER, ier);
}

static void test_reset_values(Fixture *f, gconstpointer data)
{
    out(f, UART_SCR, 0x5a);
    program(f, 2, 0xf);
    device_reset(f->dev);
    g_assert_cmphex(in(f, UART_IER), ==, 0);
    g_assert_cmphex(in(f, UART_IIR), ==, UART_IIR_NONE);
    g_assert_cmphex(in(f, UART_LCR), ==, 0);
    g_assert_cmphex(in(f, UART_MCR), ==, 0);
    g_assert_cmphex(in(f, UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    g_assert_cmphex(in(f, UART_MSR), ==, UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD);
    g_assert_cmphex(in(f, UART_SCR), ==, 0x5a);
    g_assert_cmpint(level(f), ==, 0);
}

/* What Linux' autoconfig() finds out, and a driver that reads what it has written. */
static void test_looks_like_a_16550a(Fixture *f, gconstpointer data)
{
    out(f, UART_IER, 0xff);
    g_assert_cmphex(in(f, UART_IER), ==, 0x0f);
    out(f, UART_IER, 0);
    out(f, UART_MCR, 0xff);
    g_assert_cmphex(in(f, UART_MCR), ==, UART_MCR_WRITABLE);
    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    g_assert_cmphex(in(f, UART_MSR) & 0xf0, ==, UART_MSR_DCD | UART_MSR_CTS);
    out(f, UART_MCR, 0);
    out(f, UART_FCR, UART_FCR_ENABLE);
    g_assert_cmphex(in(f, UART_IIR) & UART_IIR_FIFO, ==, UART_IIR_FIFO);
    out(f, UART_FCR, 0);
    g_assert_cmphex(in(f, UART_IIR) & UART_IIR_FIFO, ==, 0);
    /* Bits of FCR count only with the enabling one. */
    out(f, UART_FCR, 0xc0);
    g_assert_cmphex(in(f, UART_IIR) & UART_IIR_FIFO, ==, 0);
    out(f, UART_LCR, UART_LCR_DLAB);
    out(f, UART_DLL, 0x34);
    out(f, UART_DLM, 0x12);
    g_assert_cmphex(in(f, UART_DLL), ==, 0x34);
    g_assert_cmphex(in(f, UART_DLM), ==, 0x12);
    out(f, UART_LCR, 0);
    g_assert_cmphex(in(f, UART_IER), ==, 0);
}

static void test_sends_at_once(Fixture *f, gconstpointer data)
{
    program(f, 0, 0);
    for (const char *c = "hello"; *c; c++) {
        out(f, UART_THR, (uint8_t)*c);
        g_assert_cmphex(in(f, UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    }
    g_assert_cmpstr(f->memory->output->str, ==, "hello");
}

/* Enabling gives the interrupt, reading IIR takes it, writing gives the next one: each an edge. */
static void test_thre_interrupt(Fixture *f, gconstpointer data)
{
    program(f, 0, 0);
    g_assert_cmpuint(edges(f), ==, 0);
    out(f, UART_IER, UART_IER_THRI);
    g_assert_cmpuint(edges(f), ==, 1);
    g_assert_cmphex(iir(f), ==, UART_IIR_THRI);
    g_assert_cmpint(level(f), ==, 0);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    out(f, UART_THR, 'a');
    g_assert_cmpuint(edges(f), ==, 2);
    /* Without reading IIR: the line goes down for the time on the wire. */
    out(f, UART_THR, 'b');
    g_assert_cmpuint(edges(f), ==, 3);
    g_assert_cmpint(level(f), ==, 1);
    /* Linux' test for chips that do not tell again: off, on. */
    g_assert_cmphex(iir(f), ==, UART_IIR_THRI);
    out(f, UART_IER, 0);
    out(f, UART_IER, UART_IER_THRI);
    g_assert_cmphex(iir(f), ==, UART_IIR_THRI);
    /* What is enabled already is not told again. */
    out(f, UART_IER, UART_IER_THRI | UART_IER_RDI);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
}

static void test_backend_full(Fixture *f, gconstpointer data)
{
    program(f, 0, UART_IER_THRI);
    iir(f);
    f->memory->room = 2;
    for (unsigned i = 0; i < 2 + UART_FIFO + 1; i++) {
        out(f, UART_THR, (uint8_t)('a' + i)); /* the last one finds the FIFO full */
    }
    iir(f);
    g_assert_cmphex(in(f, UART_LSR), ==, 0);
    g_assert_cmpint(level(f), ==, 0);
    f->memory->room = 5;
    chardev_front_can_write(&f->memory->chr);
    g_assert_cmphex(in(f, UART_LSR), ==, 0);
    f->memory->room = SIZE_MAX;
    chardev_front_can_write(&f->memory->chr);
    g_assert_cmphex(in(f, UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    g_assert_cmpint(level(f), ==, 1);
    g_assert_cmphex(iir(f), ==, UART_IIR_THRI);
    g_assert_cmpstr(f->memory->output->str, ==, "abcdefghijklmnopqr");
    /* Cleared by the guest instead. */
    f->memory->room = 0;
    out(f, UART_THR, 'x');
    g_assert_cmphex(in(f, UART_LSR), ==, 0);
    out(f, UART_FCR, UART_FCR_ENABLE | UART_FCR_CLEAR_TX);
    g_assert_cmphex(in(f, UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    f->memory->room = SIZE_MAX;
    chardev_front_can_write(&f->memory->chr);
    g_assert_cmpuint(f->memory->output->len, ==, 18);
}

/* Without FIFOs one character waits, and the next one takes its place. */
static void test_backend_full_without_fifo(Fixture *f, gconstpointer data)
{
    f->memory->room = 0;
    out(f, UART_THR, 'a');
    g_assert_cmphex(in(f, UART_LSR), ==, 0);
    out(f, UART_THR, 'b');
    f->memory->room = SIZE_MAX;
    chardev_front_can_write(&f->memory->chr);
    g_assert_cmpstr(f->memory->output->str, ==, "b");
}

static void test_trigger_levels(Fixture *f, gconstpointer data)
{
    static const unsigned levels[] = { 1, 4, 8, 14 };
    const char *text = "0123456789abcdef";

    for (unsigned trigger = 0; trigger < 4; trigger++) {
        program(f, trigger, UART_IER_RDI);
        for (unsigned i = 0; i < UART_FIFO; i++) {
            char byte[2] = { text[i], 0 };

            g_assert_cmpint(level(f), ==, i >= levels[trigger]);
            g_assert_cmpuint(type(f, byte), ==, 1);
        }
        g_assert_cmpuint(type(f, "x"), ==, 0); /* full: it is not taken */
        g_assert_cmphex(iir(f), ==, UART_IIR_RDI);
        for (unsigned i = 0; i < UART_FIFO; i++) {
            g_assert_cmpint(level(f), ==, UART_FIFO - i >= levels[trigger]);
            g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_DR | UART_LSR_ERRORS), ==, UART_LSR_DR);
            g_assert_cmpint(in(f, UART_RBR), ==, text[i]);
        }
        g_assert_cmphex(in(f, UART_LSR) & UART_LSR_DR, ==, 0);
        g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
        g_assert_cmpint(in(f, UART_RBR), ==, 'f'); /* what was read last */
    }
}

/* The backend is asked for more when all has been read. */
static void test_asks_for_input(Fixture *f, gconstpointer data)
{
    unsigned wanted;

    program(f, 2, UART_IER_RDI);
    type(f, "abc");
    wanted = f->memory->wanted;
    in(f, UART_RBR);
    in(f, UART_RBR);
    g_assert_cmpuint(f->memory->wanted, ==, wanted);
    in(f, UART_RBR);
    g_assert_cmpuint(f->memory->wanted, ==, wanted + 1);
}

static void test_timeout(Fixture *f, gconstpointer data)
{
    program(f, 2, UART_IER_RDI);
    type(f, "abc");
    isa_rig_step(TIMEOUT_NS - 1000);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    isa_rig_step(2000);
    g_assert_cmpint(level(f), ==, 1);
    g_assert_cmphex(iir(f), ==, UART_IIR_TIMEOUT);
    /* A character that is read ends it and begins it anew. */
    g_assert_cmpint(in(f, UART_RBR), ==, 'a');
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    isa_rig_step(TIMEOUT_NS + 1000);
    g_assert_cmphex(iir(f), ==, UART_IIR_TIMEOUT);
    /* So does one that comes. */
    type(f, "d");
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    isa_rig_step(TIMEOUT_NS + 1000);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmphex(iir(f), ==, i ? UART_IIR_NONE : UART_IIR_TIMEOUT);
        in(f, UART_RBR);
    }
    isa_rig_step(10 * TIMEOUT_NS);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE); /* nothing is there */
}

/* The guest's format and rate count: 4 characters of 1 + 5 + 1 + 2 bits at 50 baud. */
static void test_timeout_slow(Fixture *f, gconstpointer data)
{
    int64_t ns = 4 * 9 * G_GINT64_CONSTANT(1000000000) * 2304 / 115200;

    program(f, 2, UART_IER_RDI);
    out(f, UART_LCR, UART_LCR_DLAB);
    out(f, UART_DLL, 2304 & 0xff);
    out(f, UART_DLM, 2304 >> 8);
    out(f, UART_LCR, UART_LCR_PARITY | UART_LCR_STOP);
    type(f, "a");
    isa_rig_step(ns - 1000000);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    isa_rig_step(2000000);
    g_assert_cmphex(iir(f), ==, UART_IIR_TIMEOUT);
}

static void test_priorities(Fixture *f, gconstpointer data)
{
    program(f, 0, 0);
    /* A changed modem line, by a turn through loopback mode. */
    out(f, UART_MCR, UART_MCR_LOOP);
    out(f, UART_MCR, UART_MCR_OUT2);
    chardev_front_event(&f->memory->chr, CHARDEV_EVENT_BREAK);
    out(f, UART_IER, 0xf);
    g_assert_cmphex(iir(f), ==, UART_IIR_RLSI);
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_ERRORS | UART_LSR_DR | UART_LSR_FIFO_ERROR), ==,
                    UART_LSR_BI | UART_LSR_DR | UART_LSR_FIFO_ERROR);
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_ERRORS | UART_LSR_FIFO_ERROR), ==, 0);
    g_assert_cmphex(iir(f), ==, UART_IIR_RDI);
    g_assert_cmpint(in(f, UART_RBR), ==, 0);
    g_assert_cmphex(iir(f), ==, UART_IIR_THRI);
    g_assert_cmphex(iir(f), ==, UART_IIR_MSI);
    g_assert_cmphex(in(f, UART_MSR) & UART_MSR_DELTAS, !=, 0);
    g_assert_cmphex(iir(f), ==, UART_IIR_NONE);
    g_assert_cmpint(level(f), ==, 0);
}

/* A break is told when its character is the next to be read. */
static void test_break_in_its_place(Fixture *f, gconstpointer data)
{
    program(f, 3, UART_IER_RLSI);
    type(f, "a");
    chardev_front_event(&f->memory->chr, CHARDEV_EVENT_BREAK);
    type(f, "b");
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_BI | UART_LSR_FIFO_ERROR), ==, UART_LSR_FIFO_ERROR);
    g_assert_cmpint(level(f), ==, 0);
    g_assert_cmpint(in(f, UART_RBR), ==, 'a');
    g_assert_cmpint(level(f), ==, 1);
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_BI | UART_LSR_FIFO_ERROR), ==, UART_LSR_BI | UART_LSR_FIFO_ERROR);
    g_assert_cmpint(in(f, UART_RBR), ==, 0);
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_BI | UART_LSR_FIFO_ERROR), ==, 0);
    g_assert_cmpint(in(f, UART_RBR), ==, 'b');
}

static void test_loopback(Fixture *f, gconstpointer data)
{
    program(f, 3, UART_IER_RDI);
    out(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
    g_assert_cmpuint(type(f, "x"), ==, 0); /* the outside is cut off */
    for (unsigned i = 0; i < UART_FIFO + 1; i++) {
        out(f, UART_THR, (uint8_t)i);
    }
    g_assert_cmpuint(f->memory->output->len, ==, 0);
    g_assert_cmpint(level(f), ==, 0); /* OUT2's pin is inactive */
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_DR | UART_LSR_OE), ==, UART_LSR_DR | UART_LSR_OE);
    for (unsigned i = 0; i < UART_FIFO; i++) {
        g_assert_cmpuint(in(f, UART_RBR), ==, i); /* the one too many was lost */
    }
    g_assert_cmphex(in(f, UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    out(f, UART_LCR, 3 | UART_LCR_BREAK);
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_DR | UART_LSR_BI), ==, UART_LSR_DR | UART_LSR_BI);
    in(f, UART_RBR);
    out(f, UART_MCR, UART_MCR_OUT2);
    g_assert_cmpuint(type(f, "x"), ==, 1);
}

/* Without FIFOs an overrun replaces the old character. */
static void test_overrun_without_fifo(Fixture *f, gconstpointer data)
{
    out(f, UART_MCR, UART_MCR_LOOP);
    out(f, UART_THR, 'a');
    out(f, UART_THR, 'b');
    g_assert_cmphex(in(f, UART_LSR) & UART_LSR_OE, ==, UART_LSR_OE);
    g_assert_cmpint(in(f, UART_RBR), ==, 'b');
    g_assert_cmphex(in(f, UART_LSR) & (UART_LSR_DR | UART_LSR_OE), ==, 0);
}

static void test_modem_deltas(Fixture *f, gconstpointer data)
{
    static const struct { uint8_t mcr, line, delta; } lines[] = {
        { UART_MCR_RTS, UART_MSR_CTS, UART_MSR_DCTS },
        { UART_MCR_DTR, UART_MSR_DSR, UART_MSR_DDSR },
        { UART_MCR_OUT2, UART_MSR_DCD, UART_MSR_DDCD },
        { UART_MCR_OUT1, UART_MSR_RI, UART_MSR_TERI },
    };

    out(f, UART_MCR, UART_MCR_LOOP);
    in(f, UART_MSR);
    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        uint8_t rising = lines[i].line == UART_MSR_RI ? 0 : lines[i].delta; /* of RI the trailing edge only */

        out(f, UART_MCR, UART_MCR_LOOP | lines[i].mcr);
        g_assert_cmphex(in(f, UART_MSR), ==, lines[i].line | rising);
        g_assert_cmphex(in(f, UART_MSR), ==, lines[i].line);
        out(f, UART_MCR, UART_MCR_LOOP);
        g_assert_cmphex(in(f, UART_MSR), ==, lines[i].delta);
    }
}

static void test_out2_gates(Fixture *f, gconstpointer data)
{
    program(f, 0, UART_IER_RDI);
    out(f, UART_MCR, 0);
    type(f, "a");
    g_assert_cmpint(level(f), ==, 0);
    g_assert_cmphex(iir(f), ==, UART_IIR_RDI);
    out(f, UART_MCR, UART_MCR_OUT2);
    g_assert_cmpint(level(f), ==, 1);
    device_reset(f->dev);
    g_assert_cmpint(level(f), ==, 0);
}

/* Registers get everything, in a fixed random order. */
static void test_random(Fixture *f, gconstpointer data)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(16550);

    for (unsigned i = 0; i < 200000; i++) {
        unsigned reg = (unsigned)g_rand_int_range(rand, 0, UART_PORTS);
        char byte[2] = { 'a', 0 };

        switch (g_rand_int_range(rand, 0, 6)) {
        case 0:
        case 1:
            in(f, reg);
            break;
        case 2:
        case 3:
            out(f, reg, (uint8_t)g_rand_int(rand));
            break;
        case 4:
            type(f, byte);
            break;
        default:
            f->memory->room = (size_t)g_rand_int_range(rand, 0, 3);
            chardev_front_can_write(&f->memory->chr);
            chardev_front_event(&f->memory->chr, (ChardevEvent)g_rand_int_range(rand, 0, 3));
        }
        g_assert_cmpint(level(f) != 0, ==, level(f));
    }
    f->memory->room = SIZE_MAX;
    device_reset(f->dev);
    g_string_truncate(f->memory->output, 0);
    test_sends_at_once(f, NULL);
}

/* ---- a driver ------------------------------------------------------------------------------------ */

/*
 * What an interrupt driver of the kind of Linux' 8250 does, which looks at the port at rising edges only: it goes on
 * until IIR tells nothing, reads while there is data, and writes 16 bytes when the transmitter is empty.
 */
typedef struct Driver {
    Fixture *f;
    unsigned edges_seen;
    GString *received;
    const char *text; /* to be sent */
    size_t left;
} Driver;

static void driver_interrupt(Driver *d)
{
    while (!(in(d->f, UART_IIR) & UART_IIR_NONE)) {
        uint8_t lsr = in(d->f, UART_LSR);

        for (; lsr & UART_LSR_DR; lsr = in(d->f, UART_LSR)) {
            g_assert_cmphex(lsr & UART_LSR_ERRORS, ==, 0);
            g_string_append_c(d->received, (char)in(d->f, UART_RBR));
        }
        if (lsr & UART_LSR_THRE && in(d->f, UART_IER) & UART_IER_THRI) {
            for (unsigned i = 0; i < UART_FIFO && d->left > 0; i++, d->left--) {
                out(d->f, UART_THR, (uint8_t)*d->text++);
            }
            if (d->left == 0) {
                out(d->f, UART_IER, UART_IER_RDI | UART_IER_RLSI);
            }
        }
    }
}

static void driver_run(Driver *d)
{
    while (d->edges_seen != edges(d->f)) {
        d->edges_seen = edges(d->f);
        driver_interrupt(d);
    }
}

/* Both directions at once, in pieces of random sizes: every byte arrives, in order, and nobody waits for ever. */
static void test_driver_under_load(Fixture *f, gconstpointer data)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(8250);
    g_autoptr(GString) sent = g_string_new(NULL), typed = g_string_new(NULL);
    Driver d = { .f = f, .received = g_string_new(NULL) };
    size_t given = 0;

    for (unsigned i = 0; i < 20000; i++) {
        g_string_append_c(sent, (char)g_rand_int_range(rand, 1, 256));
        g_string_append_c(typed, (char)g_rand_int_range(rand, 1, 256));
    }
    d.text = sent->str;
    d.left = sent->len;
    program(f, 2, UART_IER_RDI | UART_IER_RLSI);
    f->memory->room = 0;
    out(f, UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_THRI);
    for (unsigned i = 0; f->memory->output->len < sent->len || d.received->len < typed->len; i++) {
        g_autofree char *piece = g_strndup(typed->str + given, (gsize)g_rand_int_range(rand, 1, 40));

        g_assert_cmpuint(i, <, 100000);
        given += type(f, piece);
        driver_run(&d);
        f->memory->room = (size_t)g_rand_int_range(rand, 0, 30);
        chardev_front_can_write(&f->memory->chr);
        driver_run(&d);
        isa_rig_step(g_rand_int_range(rand, 0, 2) ? TIMEOUT_NS + 1000 : 1000);
        driver_run(&d);
    }
    g_assert_cmpstr(f->memory->output->str, ==, sent->str);
    g_assert_cmpstr(d.received->str, ==, typed->str);
    g_string_free(d.received, TRUE);
}

/* ---- isa-serial ---------------------------------------------------------------------------------- */

static void test_places(Fixture *f, gconstpointer data)
{
    static const uint16_t bases[] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    g_autoptr(GError) err = NULL;

    for (unsigned i = 1; i < 4; i++) {
        g_assert_nonnull(add(f, "isa-serial", &err));
        g_assert_no_error(err);
    }
    for (unsigned i = 0; i < 4; i++) {
        isa_out(&f->rig, (uint16_t)(bases[i] + UART_SCR), (uint8_t)(0x10 + i));
    }
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(isa_in(&f->rig, (uint16_t)(bases[i] + UART_SCR)), ==, 0x10 + i);
    }
    isa_out(&f->rig, 0x2f8 + UART_MCR, UART_MCR_OUT2);
    isa_out(&f->rig, 0x2f8 + UART_IER, UART_IER_THRI);
    g_assert_cmpint(f->rig.level[3], ==, 1);
    /* Nothing is connected: what is sent goes nowhere, at once. */
    isa_out(&f->rig, 0x2f8 + UART_THR, 'a');
    g_assert_cmphex(isa_in(&f->rig, 0x2f8 + UART_LSR), ==, UART_LSR_THRE | UART_LSR_TEMT);
    g_assert_null(add(f, "isa-serial", &err));
    g_assert_nonnull(strstr(err->message, "all 4 places"));
    g_clear_error(&err);
    g_assert_nonnull(add(f, "isa-serial,iobase=0x4000,irq=9", &err));
}

static void test_refused(Fixture *f, gconstpointer data)
{
    static const struct { const char *text, *message; } cases[] = {
        { "isa-serial,index=0", "index=0: there is a serial port" },
        { "isa-serial,index=4", "index" },
        { "isa-serial,irq=16", "irq" },
        { "isa-serial,iobase=0x3f8,irq=5", "0x3f8" },
        { "isa-serial,iobase=0xfff9", "iobase" },
        { "isa-serial,chardev=mem0", "in use" },
        { "isa-serial,chardev=nobody", "no such device" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(add(f, cases[i].text, &err));
        g_assert_nonnull(err);
        if (!strstr(err->message, cases[i].message)) {
            g_error("%s: %s", cases[i].text, err->message);
        }
    }
    /* Nothing of them stayed. */
    g_assert_nonnull(add(f, "isa-serial,index=1", NULL));
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { isa_serial_get_type, NULL };

    static const struct { const char *name; void (*run)(Fixture *f, gconstpointer data); } tests[] = {
        { "reset-values", test_reset_values },
        { "looks-like-a-16550a", test_looks_like_a_16550a },
        { "sends-at-once", test_sends_at_once },
        { "thre-interrupt", test_thre_interrupt },
        { "backend-full", test_backend_full },
        { "backend-full-without-fifo", test_backend_full_without_fifo },
        { "trigger-levels", test_trigger_levels },
        { "asks-for-input", test_asks_for_input },
        { "timeout", test_timeout },
        { "timeout-slow", test_timeout_slow },
        { "priorities", test_priorities },
        { "break-in-its-place", test_break_in_its_place },
        { "loopback", test_loopback },
        { "overrun-without-fifo", test_overrun_without_fifo },
        { "modem-deltas", test_modem_deltas },
        { "out2-gates", test_out2_gates },
        { "random", test_random },
        { "driver-under-load", test_driver_under_load },
        { "places", test_places },
        { "refused", test_refused },
    };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/serial/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, setup, tests[i].run, teardown);
    }
    return g_test_run();
}
