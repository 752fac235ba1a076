/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the PIIX3 ISA bridge (interrupt routing, reset control) and the PIIX4 power management function.
 */
#include "hw/acpi/pm.h"
#include "hw/i386/piix3.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define MS 1000000ll
/* 2^23 ticks in nanoseconds, rounded up. */
#define TOGGLE_NS 2343484438ll

static MemoryRegion root_mem, root_io;
static AddressSpace *io;
static PciBus *bus;
static Piix3 *piix3;
static AcpiPm *pm;
static uint16_t isa_levels;
static unsigned isa_changes, hard_resets, soft_resets, shutdowns, sci_changes;
static int sci;

static void set_isa_irq(void *opaque, unsigned irq, int level)
{
    isa_levels = (uint16_t)((isa_levels & ~(1u << irq)) | (unsigned)level << irq);
    isa_changes++;
}

static unsigned reroutes;

static void note_route(void *opaque)
{
    reroutes++;
}

static void note_reset(void *opaque, bool hard)
{
    hard_resets += hard;
    soft_resets += !hard;
}

static void set_sci(void *opaque, int level)
{
    sci = level;
    sci_changes++;
}

static void note_shutdown(void *opaque)
{
    shutdowns++;
}

static void out(unsigned port, uint64_t value, unsigned size)
{
    address_space_write(io, port, value, size);
}

static uint64_t in(unsigned port, unsigned size)
{
    uint64_t value;

    address_space_read(io, port, &value, size);
    return value;
}

static PciDevice *function(unsigned fn)
{
    return pci_bus_device(bus, PCI_DEVFN_OF(1, fn));
}

static uint32_t config(unsigned fn, unsigned reg, unsigned size)
{
    uint32_t value;

    g_assert_true(pci_config_read(function(fn), reg, &value, size));
    return value;
}

static void set_config(unsigned fn, unsigned reg, uint32_t value, unsigned size)
{
    g_assert_true(pci_config_write(function(fn), reg, value, size));
}

static void set_up(void)
{
    for (unsigned pirq = 0; pirq < PIIX3_PIRQS; pirq++) {
        piix3_set_pirq(piix3, pirq, 0);
    }
    bus_reset(BUS(bus));
    isa_changes = hard_resets = soft_resets = shutdowns = 0;
}

static void test_identity(void)
{
    set_up();
    g_assert_cmphex(config(0, PCI_VENDOR_ID, 4), ==, 0x70008086);
    g_assert_cmphex(config(0, PCI_CLASS_REVISION, 4) >> 8, ==, 0x060100);
    g_assert_cmphex(config(0, PCI_HEADER_TYPE, 1), ==, 0x80);
    g_assert_cmphex(config(3, PCI_VENDOR_ID, 4), ==, 0x71138086);
    g_assert_cmphex(config(3, 0x90, 4), ==, 0); /* no SMBus */
    g_assert_cmphex(config(3, 0x58, 4), ==, 0x02000000);
}

static void test_pirq_routing(void)
{
    set_up();
    piix3_set_pirq(piix3, 0, 1);
    g_assert_cmphex(isa_levels, ==, 0);
    g_assert_cmphex(config(0, 0x60, 4), ==, 0x80808080);
    set_config(0, 0x60, 10, 1);
    g_assert_cmphex(isa_levels, ==, 1 << 10);
    set_config(0, 0x61, 0x7a, 1); /* reserved bits stay 0 */
    g_assert_cmphex(config(0, 0x61, 1), ==, 0x0a);
    piix3_set_pirq(piix3, 1, 1); /* shared: no change */
    piix3_set_pirq(piix3, 0, 0);
    g_assert_cmphex(isa_levels, ==, 1 << 10);
    g_assert_cmpuint(isa_changes, ==, 1);
    set_config(0, 0x60, 0x8b058b0b, 4); /* B moves to nowhere, D too, C to 5 */
    g_assert_cmphex(isa_levels, ==, 0);
    piix3_set_pirq(piix3, 2, 1);
    g_assert_cmphex(isa_levels, ==, 1 << 5);
    reroutes = 0;
    set_config(0, 0x64, 1, 1);
    g_assert_cmpuint(reroutes, ==, 0);
    set_config(0, 0x63, 11, 1);
    g_assert_cmpuint(reroutes, ==, 1);
    bus_reset(BUS(bus));
    g_assert_cmpuint(reroutes, ==, 2);
    g_assert_cmphex(isa_levels, ==, 0);
}

static void test_reserved_interrupts_are_no_route(void)
{
    static const uint8_t reserved[] = { 0, 1, 2, 8, 13 };

    set_up();
    piix3_set_pirq(piix3, 3, 1);
    for (unsigned i = 0; i < sizeof(reserved); i++) {
        set_config(0, 0x63, reserved[i], 1);
        g_assert_cmphex(isa_levels, ==, 0);
    }
    set_config(0, 0x63, 15, 1);
    g_assert_cmphex(isa_levels, ==, 0x8000);
}

static void test_reset_control(void)
{
    MemoryRegion *control = piix3_reset_control(piix3);
    uint64_t value;

    set_up();
    memory_region_write(control, 0, 2, 1);
    g_assert_cmpuint(hard_resets + soft_resets, ==, 0);
    memory_region_read(control, 0, &value, 1);
    g_assert_cmphex(value, ==, 2);
    memory_region_write(control, 0, 6, 1);
    g_assert_cmpuint(hard_resets, ==, 1);
    memory_region_write(control, 0, 0xfc, 1);
    g_assert_cmpuint(soft_resets, ==, 1);
    g_assert_cmpuint(hard_resets, ==, 1);
    memory_region_read(control, 0, &value, 1);
    g_assert_cmphex(value, ==, 0);
}

static void test_block_moves(void)
{
    set_up();
    out(PM_BASE + PM1_ENABLE, PM1_GLOBAL, 2);
    g_assert_cmphex(config(3, 0x40, 4), ==, 0x601);
    g_assert_cmphex(in(PM_BASE + PM1_ENABLE, 2), ==, PM1_GLOBAL);
    set_config(3, 0x40, 0xb000, 4);
    g_assert_cmphex(config(3, 0x40, 4), ==, 0xb001);
    g_assert_cmphex(in(PM_BASE + PM1_ENABLE, 2), ==, 0xffff);
    g_assert_cmphex(in(0xb000 + PM1_ENABLE, 2), ==, PM1_GLOBAL);
    set_config(3, 0x80, 0, 1);
    g_assert_cmphex(in(0xb000 + PM1_ENABLE, 2), ==, 0xffff);
    set_config(3, 0x80, 1, 1);
    set_config(3, 0x40, 0xffffffff, 4); /* the last place there is */
    g_assert_cmphex(in(0xffc0 + PM1_ENABLE, 2), ==, PM1_GLOBAL);
    set_config(3, 0x40, 0, 4);
    g_assert_cmphex(in(0, 2), ==, 0xffff);
    bus_reset(BUS(bus));
    g_assert_cmphex(in(PM_BASE + PM1_ENABLE, 2), ==, 0);
}

static void test_timer_counts_guest_time(void)
{
    uint64_t before, after;

    set_up();
    before = in(PM_BASE + PM_TIMER, 4);
    event_clock_step(event_loop_main(), 1000 * MS);
    after = in(PM_BASE + PM_TIMER, 4);
    g_assert_cmpuint((after - before) & 0xffffff, >=, PM_TIMER_HZ - 1);
    g_assert_cmpuint((after - before) & 0xffffff, <=, PM_TIMER_HZ + 1);
    g_assert_cmphex(in(PM_BASE + PM_TIMER + 3, 1), ==, 0);
    g_assert_cmphex(in(PM_BASE + PM_TIMER + 1, 1), ==, after >> 8 & 0xff);
    out(PM_BASE + PM_TIMER, 0, 4); /* read only */
    g_assert_cmphex(in(PM_BASE + PM_TIMER, 4), ==, after);
}

/* Brings the clock to a nanosecond before a multiple of 2^23 ticks. */
static void to_just_before_toggle(void)
{
    uint64_t now = (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL);
    uint64_t n = 1;

    while ((uint64_t)((unsigned __int128)n * 0x800000 * 1000000000 / PM_TIMER_HZ) < now + 2) {
        n++;
    }
    event_clock_step(event_loop_main(),
                     (int64_t)((unsigned __int128)n * 0x800000 * 1000000000 / PM_TIMER_HZ - now));
}

static void test_timer_interrupt(void)
{
    set_up();
    out(PM_APM_CONTROL, PM_ACPI_ENABLE, 1);
    out(PM_BASE + PM1_ENABLE, PM1_TIMER, 2);
    g_assert_cmpint(sci, ==, 0);
    to_just_before_toggle();
    g_assert_cmphex(in(PM_BASE + PM_TIMER, 4) & 0x7fffff, ==, 0x7fffff);
    g_assert_cmpint(sci, ==, 0);
    event_clock_step(event_loop_main(), 1);
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(in(PM_BASE + PM_TIMER, 4) & 0x7fffff, ==, 0);
    g_assert_cmphex(in(PM_BASE + PM1_STATUS, 2), ==, PM1_TIMER);
    out(PM_BASE + PM1_STATUS, PM1_TIMER, 2);
    g_assert_cmpint(sci, ==, 0);
    event_clock_step(event_loop_main(), TOGGLE_NS - 2);
    g_assert_cmpint(sci, ==, 0);
    event_clock_step(event_loop_main(), 4);
    g_assert_cmpint(sci, ==, 1);
    /* Not enabled: the status tells without a timer. */
    out(PM_BASE + PM1_ENABLE, 0, 2);
    out(PM_BASE + PM1_STATUS, PM1_TIMER, 2);
    g_assert_cmphex(in(PM_BASE + PM1_STATUS, 2), ==, 0);
    g_assert_cmpint(event_clock_virtual_deadline(event_loop_main()), ==, INT64_MAX);
    event_clock_step(event_loop_main(), 10 * TOGGLE_NS);
    g_assert_cmphex(in(PM_BASE + PM1_STATUS, 2), ==, PM1_TIMER);
    g_assert_cmpint(sci, ==, 0);
}

static void test_power_button(void)
{
    set_up();
    out(PM_BASE + PM1_ENABLE, 0xffff, 2);
    g_assert_cmphex(in(PM_BASE + PM1_ENABLE, 2), ==, PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC);
    acpi_pm_power_button(pm);
    g_assert_cmpint(sci, ==, 0); /* ACPI is off */
    out(PM_APM_CONTROL, PM_ACPI_ENABLE, 1);
    g_assert_cmphex(in(PM_BASE + PM1_CONTROL, 2), ==, PM1_SCI_ENABLE);
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(in(PM_BASE + PM1_STATUS + 1, 1), ==, 1);
    out(PM_BASE + PM1_STATUS, 0xff, 1); /* the other half */
    g_assert_cmpint(sci, ==, 1);
    out(PM_BASE + PM1_STATUS + 1, 0x01, 1);
    g_assert_cmpint(sci, ==, 0);
    /* Status and enable in one access. */
    acpi_pm_power_button(pm);
    out(PM_BASE + PM1_STATUS, 0, 4);
    g_assert_cmphex(in(PM_BASE + PM1_STATUS, 4), ==, PM1_POWER_BUTTON);
    out(PM_APM_CONTROL, PM_ACPI_DISABLE, 1);
    g_assert_cmphex(in(PM_BASE + PM1_CONTROL, 2), ==, 0);
    out(PM_APM_CONTROL, 0x55, 2);
    g_assert_cmphex(in(PM_APM_CONTROL, 2), ==, 0x55);
}

static void test_sleep(void)
{
    set_up();
    out(PM_BASE + PM1_CONTROL, 5 << PM1_SLEEP_TYPE_SHIFT | PM1_SLEEP_ENABLE, 2);
    g_assert_cmphex(in(PM_BASE + PM1_CONTROL, 2), ==, 5 << PM1_SLEEP_TYPE_SHIFT);
    out(PM_BASE + PM1_CONTROL, PM_SLEEP_TYPE_S5 << PM1_SLEEP_TYPE_SHIFT, 2);
    g_assert_cmpuint(shutdowns, ==, 0);
    out(PM_BASE + PM1_CONTROL, PM1_SLEEP_ENABLE, 2);
    g_assert_cmpuint(shutdowns, ==, 1);
    out(PM_BASE + PM1_CONTROL + 1, PM1_SLEEP_ENABLE >> 8, 1);
    g_assert_cmpuint(shutdowns, ==, 2);
}

static void test_gpe(void)
{
    set_up();
    out(PM_APM_CONTROL, PM_ACPI_ENABLE, 1);
    acpi_pm_raise_gpe(pm, PM_GPE_PCI_HOTPLUG);
    g_assert_cmpint(sci, ==, 0);
    g_assert_cmphex(in(PM_GPE0_BASE, 4), ==, 2);
    out(PM_GPE0_BASE + 2, 2, 1);
    g_assert_cmpint(sci, ==, 1);
    g_assert_cmphex(in(PM_GPE0_BASE, 4), ==, 0x20002);
    out(PM_GPE0_BASE, 2, 1);
    g_assert_cmpint(sci, ==, 0);
    g_assert_cmphex(in(PM_GPE0_BASE, 4), ==, 0x20000);
    acpi_pm_raise_gpe(pm, PM_GPE_PCI_HOTPLUG);
    g_assert_cmpint(sci, ==, 1);
    bus_reset(BUS(bus));
    g_assert_cmpint(sci, ==, 0);
    g_assert_cmphex(in(PM_GPE0_BASE, 4), ==, 0);
}

int main(int argc, char **argv)
{
    static const Piix3Hooks piix3_hooks = { set_isa_irq, note_reset, note_route, NULL };
    static const AcpiPmHooks pm_hooks = { set_sci, note_shutdown, NULL };
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    event_clock_set_manual();
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    io = address_space_new(&root_io, "io");
    bus = pci_root_bus_new("pci.0", &root_mem, &root_io, NULL, PCI_DEVFN_OF(2, 0));
    piix3 = piix3_new(bus, PCI_DEVFN_OF(1, 0), &piix3_hooks, NULL);
    g_assert_nonnull(piix3);
    pm = acpi_pm_new(bus, PCI_DEVFN_OF(1, 3), &root_io, &pm_hooks, NULL);
    g_assert_nonnull(pm);
    g_test_add_func("/piix/identity", test_identity);
    g_test_add_func("/piix/pirq-routing", test_pirq_routing);
    g_test_add_func("/piix/reserved-interrupts-are-no-route", test_reserved_interrupts_are_no_route);
    g_test_add_func("/piix/reset-control", test_reset_control);
    g_test_add_func("/piix/block-moves", test_block_moves);
    g_test_add_func("/piix/timer-counts-guest-time", test_timer_counts_guest_time);
    g_test_add_func("/piix/timer-interrupt", test_timer_interrupt);
    g_test_add_func("/piix/power-button", test_power_button);
    g_test_add_func("/piix/sleep", test_sleep);
    g_test_add_func("/piix/gpe", test_gpe);
    status = g_test_run();
    machine_unlock();
    return status;
}
