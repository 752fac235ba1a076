/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the I/O APIC and of the news of a guest's end of interrupt.
 */
#include "hw/intc/gsi.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/irq-pins.h"
#include "util/machine-lock.h"

#define PIN 5
#define VECTOR 0x41

typedef struct Fixture {
    Ioapic *ioapic;
    IoapicMessage last;
    unsigned count;
    bool refuses; /* no local APIC takes it */
} Fixture;

static bool deliver(void *opaque, const IoapicMessage *msg)
{
    Fixture *f = opaque;

    f->last = *msg;
    f->count++;
    return !f->refuses;
}

static void setup(Fixture *f, gconstpointer data)
{
    f->ioapic = IOAPIC(device_new(TYPE_IOAPIC));
    g_assert_true(device_realize(DEVICE(f->ioapic), NULL, NULL));
    ioapic_set_deliver(f->ioapic, deliver, f);
}

static void teardown(Fixture *f, gconstpointer data)
{
    device_unrealize(DEVICE(f->ioapic));
    g_object_unref(f->ioapic);
}

static uint32_t window_read(Fixture *f, hwaddr addr)
{
    uint64_t value;

    g_assert_cmpint(memory_region_read(&f->ioapic->window, addr, &value, 4), ==, MEM_OK);
    return (uint32_t)value;
}

static void window_write(Fixture *f, hwaddr addr, uint32_t value)
{
    g_assert_cmpint(memory_region_write(&f->ioapic->window, addr, value, 4), ==, MEM_OK);
}

static uint32_t reg_read(Fixture *f, uint8_t reg)
{
    window_write(f, IOAPIC_SELECT, reg);
    return window_read(f, IOAPIC_DATA);
}

static void reg_write(Fixture *f, uint8_t reg, uint32_t value)
{
    window_write(f, IOAPIC_SELECT, reg);
    window_write(f, IOAPIC_DATA, value);
}

static uint64_t entry_read(Fixture *f, unsigned pin)
{
    uint64_t high = reg_read(f, (uint8_t)(0x11 + 2 * pin));

    return high << 32 | reg_read(f, (uint8_t)(0x10 + 2 * pin));
}

static void entry_write(Fixture *f, unsigned pin, uint64_t entry)
{
    reg_write(f, (uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32));
    reg_write(f, (uint8_t)(0x10 + 2 * pin), (uint32_t)entry);
}

static void set_pin(Fixture *f, unsigned pin, int level)
{
    irq_set(f->ioapic->pins[pin], level);
}

static void test_registers(Fixture *f, gconstpointer data)
{
    g_assert_cmphex(reg_read(f, IOAPIC_REG_VERSION), ==, 0x00170020);
    reg_write(f, IOAPIC_REG_VERSION, 0);
    g_assert_cmphex(reg_read(f, IOAPIC_REG_VERSION), ==, 0x00170020);
    reg_write(f, IOAPIC_REG_ID, 0xffffffff);
    g_assert_cmphex(reg_read(f, IOAPIC_REG_ID), ==, 0x0f000000);
    g_assert_cmphex(reg_read(f, IOAPIC_REG_ARBITRATION), ==, 0x0f000000);
    g_assert_cmphex(window_read(f, IOAPIC_SELECT), ==, IOAPIC_REG_ARBITRATION);
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        g_assert_cmphex(entry_read(f, i), ==, IOAPIC_ENTRY_MASKED);
    }
    /* Registers and offsets that do not exist. */
    reg_write(f, 0x40, 0xffffffff);
    g_assert_cmphex(reg_read(f, 0x40), ==, 0);
    g_assert_cmphex(reg_read(f, 0x03), ==, 0);
    g_assert_cmphex(window_read(f, 0x20), ==, 0);
    window_write(f, 0xffc, 0xffffffff);
}

static void test_entry_bits(Fixture *f, gconstpointer data)
{
    /* Delivery status and remote IRR are not the guest's to write. */
    entry_write(f, 0, UINT64_MAX);
    g_assert_cmphex(entry_read(f, 0), ==, 0xff0000000001afffull);
    entry_write(f, 23, 0x1200000000010055ull);
    g_assert_cmphex(entry_read(f, 23), ==, 0x1200000000010055ull);
    g_assert_cmphex(entry_read(f, 22), ==, IOAPIC_ENTRY_MASKED);
}

static void test_edge(Fixture *f, gconstpointer data)
{
    entry_write(f, PIN, 0x0300000000000900ull | VECTOR);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 1);
    g_assert_cmphex(f->last.vector, ==, VECTOR);
    g_assert_cmpuint(f->last.mode, ==, 1);
    g_assert_cmpuint(f->last.dest, ==, 3);
    g_assert_true(f->last.logical);
    g_assert_false(f->last.level);
    set_pin(f, PIN, 1); /* no edge */
    set_pin(f, PIN, 0);
    g_assert_cmpuint(f->count, ==, 1);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 2);
    g_assert_false(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
}

static void test_masked_edge_is_lost(Fixture *f, gconstpointer data)
{
    entry_write(f, PIN, IOAPIC_ENTRY_MASKED | VECTOR);
    set_pin(f, PIN, 1);
    entry_write(f, PIN, VECTOR);
    g_assert_cmpuint(f->count, ==, 0);
}

static void test_level(Fixture *f, gconstpointer data)
{
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | IOAPIC_ENTRY_ACTIVE_LOW | VECTOR);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 1);
    g_assert_true(f->last.level);
    g_assert_true(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
    /* Not again before its end. */
    set_pin(f, PIN, 0);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 1);
    window_write(f, IOAPIC_EOI, VECTOR + 1);
    g_assert_cmpuint(f->count, ==, 1);
    /* Ended while still asserted: once more. */
    window_write(f, IOAPIC_EOI, VECTOR);
    g_assert_cmpuint(f->count, ==, 2);
    set_pin(f, PIN, 0);
    window_write(f, IOAPIC_EOI, VECTOR);
    g_assert_cmpuint(f->count, ==, 2);
    g_assert_false(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
}

static void test_masked_level_waits(Fixture *f, gconstpointer data)
{
    entry_write(f, PIN, IOAPIC_ENTRY_MASKED | IOAPIC_ENTRY_LEVEL | VECTOR);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 0);
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    g_assert_cmpuint(f->count, ==, 1);
    /* A write to the entry keeps the remote IRR. */
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    g_assert_cmpuint(f->count, ==, 1);
    /* Edge mode clears it: how drivers of old parts end an interrupt. */
    entry_write(f, PIN, IOAPIC_ENTRY_MASKED | VECTOR);
    g_assert_false(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    g_assert_cmpuint(f->count, ==, 2);
}

/* What no local APIC takes is not in service anywhere, and comes again when one may. */
static void test_refused_level_sets_no_remote_irr(Fixture *f, gconstpointer data)
{
    f->refuses = true;
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 1);
    g_assert_false(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
    ioapic_send_refused(f->ioapic);
    g_assert_cmpuint(f->count, ==, 2);
    f->refuses = false;
    ioapic_send_refused(f->ioapic);
    g_assert_cmpuint(f->count, ==, 3);
    g_assert_true(entry_read(f, PIN) & IOAPIC_ENTRY_REMOTE_IRR);
    ioapic_send_refused(f->ioapic);
    g_assert_cmpuint(f->count, ==, 3);
    /* One that is not asserted any more has nothing to send. */
    window_write(f, IOAPIC_EOI, VECTOR);
    g_assert_cmpuint(f->count, ==, 4);
    set_pin(f, PIN, 0);
    window_write(f, IOAPIC_EOI, VECTOR);
    f->refuses = true;
    set_pin(f, PIN, 1);
    set_pin(f, PIN, 0);
    ioapic_send_refused(f->ioapic);
    g_assert_cmpuint(f->count, ==, 5);
}

static void test_reset(Fixture *f, gconstpointer data)
{
    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    reg_write(f, IOAPIC_REG_ID, 0x05000000);
    set_pin(f, PIN, 1);
    device_reset(DEVICE(f->ioapic));
    g_assert_cmphex(entry_read(f, PIN), ==, IOAPIC_ENTRY_MASKED);
    g_assert_cmphex(reg_read(f, IOAPIC_REG_ID), ==, 0);
    g_assert_cmpuint(f->count, ==, 1);
}

/* ---- end of interrupt ------------------------------------------------------------------------ */

typedef struct Source {
    GsiNotifier notifier;
    Fixture *f;
    unsigned calls;
    bool lower;
    GsiNotifier *remove; /* taken out in the callback */
} Source;

static void source_eoi(GsiNotifier *notifier)
{
    Source *source = (Source *)(void *)notifier;

    source->calls++;
    if (source->lower) {
        set_pin(source->f, PIN, 0);
    }
    if (source->remove) {
        gsi_notifier_remove(source->remove);
    }
}

static void test_source_lowers_at_eoi(Fixture *f, gconstpointer data)
{
    Source source = { .notifier.eoi = source_eoi, .f = f, .lower = true };

    entry_write(f, PIN, IOAPIC_ENTRY_LEVEL | VECTOR);
    gsi_notifier_add(&source.notifier, PIN);
    set_pin(f, PIN, 1);
    window_write(f, IOAPIC_EOI, VECTOR);
    g_assert_cmpuint(source.calls, ==, 1);
    g_assert_cmpuint(f->count, ==, 1); /* lowered in time: no second message */
    set_pin(f, PIN, 1);
    g_assert_cmpuint(f->count, ==, 2);
    gsi_notifier_remove(&source.notifier);
    window_write(f, IOAPIC_EOI, VECTOR);
    g_assert_cmpuint(source.calls, ==, 1);
}

static void test_notifiers_of_one_gsi(Fixture *f, gconstpointer data)
{
    Source a = { .notifier.eoi = source_eoi, .f = f };
    Source b = { .notifier.eoi = source_eoi, .f = f };
    Source other = { .notifier.eoi = source_eoi, .f = f };

    gsi_notifier_add(&a.notifier, PIN);
    gsi_notifier_add(&b.notifier, PIN);
    gsi_notifier_add(&other.notifier, PIN + 1);
    gsi_eoi(PIN);
    g_assert_cmpuint(a.calls, ==, 1);
    g_assert_cmpuint(b.calls, ==, 1);
    g_assert_cmpuint(other.calls, ==, 0);
    /* One that removes itself, or the next one, while they are called. */
    b.remove = &a.notifier;
    gsi_eoi(PIN);
    g_assert_cmpuint(b.calls, ==, 2);
    g_assert_cmpuint(a.calls, ==, 1);
    b.remove = &b.notifier;
    gsi_eoi(PIN);
    gsi_eoi(PIN);
    g_assert_cmpuint(b.calls, ==, 3);
    gsi_notifier_remove(&other.notifier);
    gsi_notifier_remove(&other.notifier);
}

static void test_pins_interface(Fixture *f, gconstpointer data)
{
    unsigned count;

    g_assert_true(irq_pins_inputs(QOM_OBJECT(f->ioapic), &count) == f->ioapic->pins);
    g_assert_cmpuint(count, ==, IOAPIC_PINS);
    g_assert_null(irq_pins_inputs(qom_container("/machine"), &count));
    g_assert_cmpuint(count, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
#define ADD(name, fn) g_test_add("/ioapic/" name, Fixture, NULL, setup, fn, teardown)
    ADD("registers", test_registers);
    ADD("entry-bits", test_entry_bits);
    ADD("edge", test_edge);
    ADD("masked-edge-is-lost", test_masked_edge_is_lost);
    ADD("level-until-eoi", test_level);
    ADD("masked-level-waits", test_masked_level_waits);
    ADD("refused-level-sets-no-remote-irr", test_refused_level_sets_no_remote_irr);
    ADD("reset", test_reset);
    ADD("source-lowers-at-eoi", test_source_lowers_at_eoi);
    ADD("notifiers-of-one-gsi", test_notifiers_of_one_gsi);
    ADD("pins-interface", test_pins_interface);
    return g_test_run();
}
