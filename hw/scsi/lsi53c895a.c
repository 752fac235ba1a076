/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: the PCI function: identity, BARs, life cycle, timers, and the event loop's calls.
 *
 * Runs in: both.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/*
 * PCI identity as stock QEMU shows it; the subsystem vendor is not the chip's, so driver tables
 * match the same.
 */
#define LSI_PCI_VENDOR 0x1000
#define LSI_PCI_DEVICE 0x0012
#define LSI_PCI_SUBSYSTEM 0x1000
#define LSI_PCI_CLASS 0x010000

/*
 * Period of the SCSI clock, and of the clock quadrupler's output when it is selected, in
 * picoseconds.
 */
#define SCLK_PS 25000
#define SCLK_QUAD_PS 6250
/*
 * Clock cycles, behind the prescaler, of the shortest time that STIME0 and STIME1 encode (measured
 * by drivers).
 */
#define TIMER_CYCLES 1447

QOM_DEFINE_TYPE(LsiState, lsi53c895a, TYPE_LSI53C895A_NAME, TYPE_PCI_DEVICE, 0)

/* ---- BARs ------------------------------------------------------------------------------------ */

static MemResult lsi_regs_bar_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    LsiState *s = opaque;
    uint64_t value = 0;

    /* The 256 bytes repeat through the 1 KiB of BAR 1. */
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)lsi_reg_read(s, (unsigned)(addr + i) % LSI_REG_SIZE) << 8 * i;
    }
    lsi_irq_settle(s);
    *ret_value = value;
    return MEM_OK;
}

static MemResult lsi_regs_bar_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    LsiState *s = opaque;

    for (unsigned i = 0; i < size; i++) {
        lsi_reg_write(s, (unsigned)(addr + i) % LSI_REG_SIZE, (uint8_t)(value >> 8 * i));
    }
    lsi_irq_settle(s);
    return MEM_OK;
}

static MemResult lsi_ram_bar_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    LsiState *s = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size && addr + i < LSI_RAM_SIZE; i++) {
        value |= (uint64_t)s->ram[addr + i] << 8 * i;
    }
    *ret_value = value;
    return MEM_OK;
}

static MemResult lsi_ram_bar_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    LsiState *s = opaque;

    for (unsigned i = 0; i < size && addr + i < LSI_RAM_SIZE; i++) {
        s->ram[addr + i] = (uint8_t)(value >> 8 * i);
    }
    return MEM_OK;
}

static const MemoryRegionOps lsi_regs_ops = {
    .read = lsi_regs_bar_read,
    .write = lsi_regs_bar_write,
    .unaligned = true,
};

static const MemoryRegionOps lsi_ram_ops = {
    .read = lsi_ram_bar_read,
    .write = lsi_ram_bar_write,
    .unaligned = true,
};

/* ---- timers and deferred work ---------------------------------------------------------------- */

void lsi_kick(LsiState *s)
{
    event_bh_schedule(s->run_bh);
}

static void lsi_run(void *opaque)
{
    LsiState *s = opaque;

    lsi_scripts_run(s);
}

/*
 * Selection time-out.  The chip waits as long as STIME0 says, without end when that is 0; here a
 * target that is not there is reported as soon as the program waits for it, which saves guests a
 * quarter second per absent id, and SeaBIOS, whose driver leaves STIME0 at 0, from waiting for
 * ever.
 */
static void lsi_selection_timeout(void *opaque)
{
    LsiState *s = opaque;

    if (s->con.state == LSI_BUS_SELECTING) {
        lsi_target_free(s, true);
        lsi_raise_scsi(s, 0, SIST1_STO);
    }
}

/* Duration of code N (1..15) of a timer, scaled by 16 when asked, in ns of virtual time. */
static int64_t timer_ns(const LsiState *s, unsigned n, bool scaled)
{
    /* Clock prescaler SCNTL3.CCF, in halves; code 0 divides as 5 does on this family. */
    static const uint8_t divisor2[8] = { 6, 2, 3, 4, 6, 8, 12, 16 };
    int64_t ps = s->reg[LSI_STEST1] & STEST1_QSEL ? SCLK_QUAD_PS : SCLK_PS;
    int64_t unit = ps * TIMER_CYCLES * divisor2[s->reg[LSI_SCNTL3] & SCNTL3_CCF] / 2;

    return (unit << n << (scaled ? 4 : 0)) / 1000;
}

void lsi_gen_timer_update(LsiState *s)
{
    unsigned n = s->reg[LSI_STIME1] & 0x0f;

    if (n == 0) {
        event_timer_disarm(s->gen_timer);
    } else {
        event_timer_arm(s->gen_timer, event_clock_ns(EVENT_CLOCK_VIRTUAL) +
                                          timer_ns(s, n, s->reg[LSI_STIME1] & 0x20));
    }
}

static void lsi_gen_expired(void *opaque)
{
    lsi_raise_scsi(opaque, 0, SIST1_GEN);
}

/* Handshake-to-handshake: runs while the program waits for a connected target's REQ/. */
void lsi_hth_timer_update(LsiState *s)
{
    unsigned n = s->reg[LSI_STIME0] >> 4;
    bool waiting = s->running && s->suspended && s->con.state == LSI_BUS_CONNECTED && !s->con.req;

    if (n == 0 || !waiting) {
        event_timer_disarm(s->hth_timer);
    } else {
        event_timer_arm(s->hth_timer, event_clock_ns(EVENT_CLOCK_VIRTUAL) +
                                          timer_ns(s, n, s->reg[LSI_STIME1] & 0x10));
    }
}

static void lsi_hth_expired(void *opaque)
{
    lsi_raise_scsi(opaque, 0, SIST1_HTH);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static bool lsi_realize(PciDevice *pci, GError **errp)
{
    LsiState *s = LSI53C895A(pci);
    EventLoop *loop = event_loop_main();

    memory_region_init_io(&s->io, QOM_OBJECT(s), &lsi_regs_ops, s, "lsi-io", LSI_REG_SIZE);
    memory_region_init_io(&s->mmio, QOM_OBJECT(s), &lsi_regs_ops, s, "lsi-mmio", LSI_MMIO_SIZE);
    memory_region_init_io(&s->ram_region, QOM_OBJECT(s), &lsi_ram_ops, s, "lsi-ram", LSI_RAM_SIZE);
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_IO, &s->io);
    pci_register_bar(pci, 1, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->mmio);
    pci_register_bar(pci, 2, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->ram_region);
    s->run_bh = event_bh_new(loop, lsi_run, s);
    s->select_bh = event_bh_new(loop, lsi_selection_timeout, s);
    s->gen_timer = event_timer_new(loop, EVENT_CLOCK_VIRTUAL, lsi_gen_expired, s);
    s->hth_timer = event_timer_new(loop, EVENT_CLOCK_VIRTUAL, lsi_hth_expired, s);
    g_queue_init(&s->tasks);
    g_queue_init(&s->reselect);
    s->bus = g_object_ref(scsi_bus_new(&pci->dev, &lsi_scsi_ops, s, LSI_TARGETS, LSI_LUNS,
                                       LSI_OWN_ID));
    lsi_regs_reset(s);
    lsi_notice_init(s);
    return true;
}

/*
 * Memory lent to I/O that could not be stopped names our DmaContext: the object lives until that
 * I/O ends.
 */
static void lsi_dma_idle(void *opaque)
{
    g_object_unref(opaque);
}

static void lsi_unrealize(PciDevice *pci)
{
    LsiState *s = LSI53C895A(pci);

    lsi_scripts_stop(s);
    lsi_target_free(s, true);
    lsi_tasks_drop(s, LSI_TARGETS, LSI_LUNS, true);
    /* The bus may live on with I/O that could not be stopped, and have news for us. */
    s->bus->hba = NULL;
    g_clear_object(&s->bus);
    event_bh_free(s->run_bh);
    event_bh_free(s->select_bh);
    event_timer_free(s->gen_timer);
    event_timer_free(s->hth_timer);
    lsi_notice_clear(s);
    memory_region_destroy(&s->io);
    memory_region_destroy(&s->mmio);
    memory_region_destroy(&s->ram_region);
    if (pci->dma.mapped > 0) {
        pci->dma.idle = lsi_dma_idle;
        pci->dma.idle_opaque = g_object_ref(s);
    }
}

/* PCI reset: the bus and its devices are reset by the core afterwards. */
static void lsi_reset(PciDevice *pci)
{
    LsiState *s = LSI53C895A(pci);

    lsi_notice_reset(s);
    lsi_soft_reset(s);
    lsi_tasks_drop(s, LSI_TARGETS, LSI_LUNS, true);
    memset(s->agreement, 0, sizeof(s->agreement));
}

static void lsi_config_write(PciDevice *pci, unsigned addr, uint32_t value, unsigned size)
{
    pci_default_config_write(pci, addr, value, size);
    lsi_notice_config_written(LSI53C895A(pci));
}

static const QomProperty lsi_properties[] = {
    { "bus-reset-pending", QOM_PROP_KIND_BOOL, offsetof(LsiState, bus_reset_pending),
      .description = "tell the driver of a bus reset, for a controller that takes the place of a lost one" },
    { 0 },
};

static void lsi53c895a_class_init(LsiStateClass *klass)
{
    PciDeviceClass *pci = &klass->parent_class;

    ((QomObjectClass *)klass)->description = "LSI 53C895A PCI to Ultra2 SCSI controller";
    ((DeviceClass *)klass)->category = "Storage";
    ((DeviceClass *)klass)->hotpluggable = true;
    pci->vendor_id = LSI_PCI_VENDOR;
    pci->device_id = LSI_PCI_DEVICE;
    pci->subsystem_id = LSI_PCI_SUBSYSTEM;
    pci->class_code = LSI_PCI_CLASS;
    pci->interrupt_pin = 1;
    pci->realize = lsi_realize;
    pci->unrealize = lsi_unrealize;
    pci->reset = lsi_reset;
    pci->config_write = lsi_config_write;
    qom_class_add_properties(klass, lsi_properties);
}

static void lsi53c895a_init(LsiState *self)
{
}
