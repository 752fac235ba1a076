/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ISA bus for tests of its devices.
 */
#include "isa-rig.h"
#include "util/event-loop.h"

static void rig_set_irq(void *opaque, int n, int level)
{
    IsaRig *rig = opaque;

    rig->raised[n] += level && !rig->level[n];
    rig->level[n] = level;
}

void isa_rig_setup(IsaRig *rig)
{
    static bool manual;

    if (!manual) {
        event_clock_set_manual();
        manual = true;
    }
    memory_region_init(&rig->io, NULL, "test-io", ISA_PORTS);
    rig->bus = isa_bus_new(NULL, &rig->io, rig_set_irq, rig);
}

void isa_rig_teardown(IsaRig *rig)
{
    GPtrArray *devices = rig->bus->bus.devices;

    while (devices->len) {
        device_unrealize(devices->pdata[devices->len - 1]);
    }
    bus_free(BUS(rig->bus));
    memory_region_destroy(&rig->io);
}

/* The region that PORT belongs to, as an address space would find it: nothing here overlaps. */
static MemoryRegion *rig_find(IsaRig *rig, uint16_t *port)
{
    GPtrArray *parts = rig->io.subregions;

    for (guint i = 0; parts && i < parts->len; i++) {
        MemoryRegion *mr = parts->pdata[i];

        if (mr->enabled && *port >= mr->addr && *port - mr->addr < mr->size) {
            *port -= mr->addr;
            return mr;
        }
    }
    return NULL;
}

uint8_t isa_in(IsaRig *rig, uint16_t port)
{
    MemoryRegion *mr = rig_find(rig, &port);
    uint64_t value;

    g_assert_nonnull(mr);
    g_assert_cmpint(memory_region_read(mr, port, &value, 1), ==, MEM_OK);
    return (uint8_t)value;
}

void isa_out(IsaRig *rig, uint16_t port, uint8_t value)
{
    MemoryRegion *mr = rig_find(rig, &port);

    g_assert_nonnull(mr);
    g_assert_cmpint(memory_region_write(mr, port, value, 1), ==, MEM_OK);
}

void isa_rig_step(int64_t ns)
{
    event_clock_step(event_loop_main(), ns);
}

void isa_rig_stall(int64_t ns)
{
    g_autoptr(EventLoop) idle = event_loop_new(NULL);

    event_clock_step(idle, ns);
}
