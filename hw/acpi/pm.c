/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 power management.
 *
 * Runs in: mpqemu.  The manual is include/hw/acpi/pm.h.
 *
 * Theory of operation.  The PM timer is not counted: it is a function of the guest's time.  Its status bit is set when
 * bit 23 changes, every 2^23 ticks; `next_toggle` is the first such tick not yet seen, looked at when the status is,
 * and by an event timer only while the guest wants the interrupt.
 */
#include "hw/acpi/pm.h"

#include "util/event-loop.h"

/* Registers in config space. */
enum { PMBA = 0x40, DEVACTB = 0x58, PMREGMISC = 0x80 };
#define PMBA_IO 1u
#define PMREGMISC_ENABLE 1u
#define DEVACTB_APMC_ENABLE (1u << 25)

#define PM1_EVENTS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)
#define PM1_CONTROL_KEPT (PM1_SCI_ENABLE | 1u << 1 | 7u << PM1_SLEEP_TYPE_SHIFT)
#define TIMER_MASK 0xffffffu
#define TIMER_TOGGLE 0x800000u /* ticks between two changes of the highest bit */
#define NS_PER_S 1000000000u

struct AcpiPm {
    PciDevice pci;
    AcpiPmHooks hooks;
    MemoryRegion *io;
    MemoryRegion block;
    MemoryRegion gpe;
    MemoryRegion apm;
    uint16_t status; /* PM1, but for a toggle not yet seen */
    uint16_t enable;
    uint16_t control;
    uint16_t gpe_status;
    uint16_t gpe_enable;
    uint8_t apm_bytes[2];
    uint64_t next_toggle;
    EventTimer *timer;
    bool sci;
};

typedef struct AcpiPmClass {
    PciDeviceClass pci_class;
} AcpiPmClass;

QOM_DEFINE_TYPE(AcpiPm, acpi_pm, "PIIX4_PM", TYPE_PCI_DEVICE, 0)

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t ticks_now(void)
{
    return (uint64_t)((unsigned __int128)event_clock_ns(EVENT_CLOCK_VIRTUAL) * PM_TIMER_HZ / NS_PER_S);
}

/* The first nanosecond at which ticks_now() is TICK. */
static int64_t ns_of_tick(uint64_t tick)
{
    return (int64_t)(((unsigned __int128)tick * NS_PER_S + PM_TIMER_HZ - 1) / PM_TIMER_HZ);
}

static uint64_t toggle_behind(uint64_t tick)
{
    return (tick / TIMER_TOGGLE + 1) * TIMER_TOGGLE;
}

/* ---- SCI ------------------------------------------------------------------------------------- */

/* Brings status, SCI and event timer in step with time and registers. */
static void update(AcpiPm *pm)
{
    bool sci;

    if (ticks_now() >= pm->next_toggle) {
        pm->status |= PM1_TIMER;
    }
    sci = (pm->control & PM1_SCI_ENABLE) &&
          ((pm->status & pm->enable & PM1_EVENTS) || (pm->gpe_status & pm->gpe_enable));
    if ((pm->enable & PM1_TIMER) && !(pm->status & PM1_TIMER)) {
        event_timer_arm(pm->timer, ns_of_tick(pm->next_toggle));
    } else {
        event_timer_disarm(pm->timer);
    }
    if (sci != pm->sci) {
        pm->sci = sci;
        pm->hooks.set_sci(pm->hooks.opaque, sci);
    }
}

static void timer_expired(void *opaque)
{
    update(opaque);
}

void acpi_pm_power_button(AcpiPm *pm)
{
    pm->status |= PM1_POWER_BUTTON;
    update(pm);
}

void acpi_pm_raise_gpe(AcpiPm *pm, unsigned bit)
{
    pm->gpe_status |= (uint16_t)(1u << bit);
    update(pm);
}

bool acpi_pm_listens(const AcpiPm *pm, unsigned bit)
{
    return (pm->control & PM1_SCI_ENABLE) && (pm->gpe_enable & 1u << bit);
}

/* ---- PM1 block ------------------------------------------------------------------------------- */

static void status_written(AcpiPm *pm, uint16_t ones)
{
    update(pm); /* what happened before this write is cleared by it */
    pm->status &= (uint16_t)~ones;
    if (ones & PM1_TIMER) {
        pm->next_toggle = toggle_behind(ticks_now());
    }
}

static void control_written(AcpiPm *pm, uint16_t value)
{
    pm->control = value & PM1_CONTROL_KEPT;
    if ((value & PM1_SLEEP_ENABLE) && (value >> PM1_SLEEP_TYPE_SHIFT & 7) == PM_SLEEP_TYPE_S5) {
        pm->hooks.shutdown(pm->hooks.opaque);
    }
}

/* A register of 16 bits of a block; narrow accesses see a part of it. */
static uint16_t block_get(AcpiPm *pm, unsigned reg)
{
    switch (reg) {
    case PM1_STATUS:
        update(pm);
        return pm->status;
    case PM1_ENABLE:
        return pm->enable;
    case PM1_CONTROL:
        return pm->control;
    default:
        return 0;
    }
}

static MemResult block_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    AcpiPm *pm = opaque;

    if (addr >= PM_TIMER && addr < PM_TIMER + 4) {
        *ret_value = (ticks_now() & TIMER_MASK) >> (8 * (addr & 3));
    } else {
        *ret_value = (block_get(pm, addr & ~1u) | (uint32_t)block_get(pm, (addr & ~1u) + 2) << 16) >> (8 * (addr & 1));
    }
    return MEM_OK;
}

/* MASK has the bits that the access covers, VALUE is 0 elsewhere. */
static void block_set(AcpiPm *pm, unsigned reg, uint16_t value, uint16_t mask)
{
    switch (reg) {
    case PM1_STATUS:
        status_written(pm, value);
        break;
    case PM1_ENABLE:
        pm->enable = ((pm->enable & ~mask) | value) & PM1_EVENTS;
        break;
    case PM1_CONTROL:
        control_written(pm, (uint16_t)((pm->control & ~mask) | value));
        break;
    default:
        break;
    }
    update(pm);
}

static MemResult block_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    unsigned shift = 8 * (addr & 1);
    uint32_t mask = (uint32_t)(size == 4 ? UINT32_MAX : (1u << (8 * size)) - 1) << shift;
    uint32_t bits = (uint32_t)value << shift & mask;

    for (unsigned i = 0; i < 2; i++) {
        uint16_t part = (uint16_t)(mask >> (16 * i));

        if (part) {
            block_set(opaque, (addr & ~1u) + 2 * i, (uint16_t)(bits >> (16 * i)), part);
        }
    }
    return MEM_OK;
}

static const MemoryRegionOps block_ops = {
    .read = block_read,
    .write = block_write,
    .max_size = 4,
};

/* ---- GPE0 and APM ---------------------------------------------------------------------------- */

static MemResult gpe_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    AcpiPm *pm = opaque;

    *ret_value = (pm->gpe_status | (uint32_t)pm->gpe_enable << 16) >> (8 * addr);
    return MEM_OK;
}

static MemResult gpe_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;
    uint64_t mask = ((1ull << (8 * size)) - 1) << (8 * addr);
    uint64_t bits = value << (8 * addr) & mask;

    pm->gpe_status &= (uint16_t)~bits;
    pm->gpe_enable = (uint16_t)((pm->gpe_enable & ~(mask >> 16)) | bits >> 16);
    update(pm);
    return MEM_OK;
}

static const MemoryRegionOps gpe_ops = {
    .read = gpe_read,
    .write = gpe_write,
    .max_size = 4,
};

static MemResult apm_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = ((AcpiPm *)opaque)->apm_bytes[addr];
    return MEM_OK;
}

static MemResult apm_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;

    pm->apm_bytes[addr] = (uint8_t)value;
    if (addr == 0 && value == PM_ACPI_ENABLE) {
        pm->control |= PM1_SCI_ENABLE;
    } else if (addr == 0 && value == PM_ACPI_DISABLE) {
        pm->control &= (uint16_t)~PM1_SCI_ENABLE;
    }
    update(pm);
    return MEM_OK;
}

static const MemoryRegionOps apm_ops = {
    .read = apm_read,
    .write = apm_write,
    .max_size = 1,
};

/* ---- the function ---------------------------------------------------------------------------- */

static void map_block(AcpiPm *pm)
{
    uint32_t base = pci_get_long(pm->pci.config + PMBA) & 0xffc0;

    memory_transaction_begin();
    memory_region_set_address(&pm->block, base);
    memory_region_set_enabled(&pm->block, base && (pm->pci.config[PMREGMISC] & PMREGMISC_ENABLE));
    memory_transaction_commit();
}

static void acpi_pm_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    pci_default_config_write(dev, addr, value, size);
    map_block((AcpiPm *)dev);
}

static void acpi_pm_reset(PciDevice *dev)
{
    AcpiPm *pm = (AcpiPm *)dev;

    pci_set_word(dev->config + PCI_COMMAND, PCI_COMMAND_IO);
    dev->config[PCI_INTERRUPT_LINE] = PM_SCI_IRQ;
    pci_set_long(dev->config + PMBA, PM_BASE | PMBA_IO);
    pci_set_long(dev->config + DEVACTB, DEVACTB_APMC_ENABLE);
    dev->config[PMREGMISC] = PMREGMISC_ENABLE;
    map_block(pm);
    pm->status = pm->enable = pm->control = 0;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->apm_bytes[0] = pm->apm_bytes[1] = 0;
    pm->next_toggle = toggle_behind(ticks_now());
    update(pm);
}

static bool acpi_pm_realize(PciDevice *dev, GError **errp)
{
    AcpiPm *pm = (AcpiPm *)dev;

    pci_set_long(dev->wmask + PMBA, 0xffc0);
    pci_set_long(dev->wmask + DEVACTB, DEVACTB_APMC_ENABLE);
    dev->wmask[PMREGMISC] = PMREGMISC_ENABLE;
    pm->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_VIRTUAL, timer_expired, pm);
    memory_region_init_io(&pm->block, NULL, &block_ops, pm, "acpi-pm", PM_BLOCK_SIZE);
    memory_region_init_io(&pm->gpe, NULL, &gpe_ops, pm, "acpi-gpe0", PM_GPE0_SIZE);
    memory_region_init_io(&pm->apm, NULL, &apm_ops, pm, "apm", 2);
    memory_region_add(pm->io, PM_BASE, &pm->block, 0);
    memory_region_add(pm->io, PM_GPE0_BASE, &pm->gpe, 0);
    memory_region_add(pm->io, PM_APM_CONTROL, &pm->apm, 0);
    return true;
}

static void acpi_pm_class_init(AcpiPmClass *klass)
{
    klass->pci_class.vendor_id = 0x8086;
    klass->pci_class.device_id = 0x7113;
    klass->pci_class.revision = 3;
    klass->pci_class.class_code = 0x068000; /* other bridge */
    klass->pci_class.interrupt_pin = 1;
    klass->pci_class.realize = acpi_pm_realize;
    klass->pci_class.reset = acpi_pm_reset;
    klass->pci_class.config_write = acpi_pm_config_write;
    klass->pci_class.device_class.qom_class.internal = true;
    klass->pci_class.device_class.hotpluggable = false;
}

static void acpi_pm_init(AcpiPm *self)
{
}

AcpiPm *acpi_pm_new(PciBus *bus, uint8_t devfn, MemoryRegion *io, const AcpiPmHooks *hooks, GError **errp)
{
    g_autoptr(GObject) object = G_OBJECT(device_new(acpi_pm_get_type()));
    AcpiPm *pm = (AcpiPm *)object;

    pm->hooks = *hooks;
    pm->io = io;
    pm->pci.addr = devfn;
    if (!qom_add_child(qom_container("/machine/unattached"), "PIIX4_PM", object, errp) ||
        !device_realize(DEVICE(object), BUS(bus), errp)) {
        return NULL;
    }
    return pm; /* the tree's reference keeps it */
}
