/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI bus: plugging of logical units, look-up by address, resets.
 *
 * Runs in: both.
 *
 * A unit's address is (target id, lun), given by the properties scsi-id and lun; scsi-id -1 takes the lowest target
 * without any unit.  A device that is plugged but not realized yet is invisible to the HBA.
 */
#include "hw/scsi/scsi-int.h"

#include "trace/hw-scsi.h"
#include "util/error.h"

QOM_DEFINE_TYPE(ScsiBus, scsi_bus, "SCSI", TYPE_BUS, 0)
QOM_DEFINE_TYPE(ScsiDevice, scsi_device, "scsi-device", TYPE_DEVICE, G_TYPE_FLAG_ABSTRACT)

/* ---- addresses ------------------------------------------------------------------------------- */

static ScsiDevice *nth_device(ScsiBus *bus, unsigned n)
{
    return g_ptr_array_index(bus->bus.devices, n); /* only ScsiDevices plug in here */
}

/* A walk over the units: a bus has few, and their order is that of plugging. */
ScsiDevice *scsi_bus_unit(ScsiBus *bus, unsigned id, unsigned lun)
{
    unsigned i;

    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev->dev.realized && dev->scsi_id == (int32_t)id && dev->lun == lun) {
            return dev;
        }
    }
    return NULL;
}

/* A target is there as long as any unit answers at its id; which one does not matter to selection. */
bool scsi_target_present(ScsiBus *bus, unsigned id)
{
    unsigned i;

    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev->dev.realized && dev->scsi_id == (int32_t)id) {
            return true;
        }
    }
    return false;
}

/*
 * A stand-in is a device without a place: outside the tree and the bus's list, owned by bus->stand_ins.  Its scsi_id is
 * the target's, its lun says nothing: the request knows which one was meant.
 */
ScsiDevice *scsi_bus_stand_in(ScsiBus *bus, unsigned id)
{
    if (!bus->stand_ins[id]) {
        ScsiDevice *dev = SCSI_DEVICE(device_new(scsi_stand_in_get_type()));

        dev->scsi_id = (int32_t)id;
        dev->dev.parent_bus = &bus->bus;
        bus->stand_ins[id] = dev;
    }
    return bus->stand_ins[id];
}

/* The device plugged at (ID, LUN), realized or not, other than EXCEPT; any LUN when LUN is negative. */
static ScsiDevice *occupant(ScsiBus *bus, int32_t id, int64_t lun, const ScsiDevice *except)
{
    unsigned i;

    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev != except && dev->scsi_id == id && (lun < 0 || dev->lun == lun)) {
            return dev;
        }
    }
    return NULL;
}

/* The lowest target without a unit, or -1. */
static int32_t lowest_free_id(ScsiBus *bus, const ScsiDevice *except)
{
    unsigned id;

    for (id = 0; id < bus->targets; id++) {
        if (id != bus->own_id && !occupant(bus, (int32_t)id, -1, except)) {
            return (int32_t)id;
        }
    }
    return -1;
}

/*
 * BusClass.plug: from device_realize(), before the unit's own realize().  Settles scsi-id -1, so that a user sees the
 * place taken, and refuses places that do not exist, the adapter's, and ones that are taken.
 */
static bool scsi_bus_plug(Bus *parent, Device *device, GError **errp)
{
    ScsiBus *bus = SCSI_BUS(parent);
    ScsiDevice *dev = SCSI_DEVICE(device);
    int32_t free_id = lowest_free_id(bus, dev);
    ScsiDevice *other;

    if (dev->lun >= bus->luns) {
        error_setg(errp, "lun=%u: units of bus %s are 0 to %u; choose one of them", dev->lun, parent->bus_name,
                   bus->luns - 1);
        return false;
    }
    if (dev->scsi_id == -1) {
        if (free_id < 0) {
            error_setg(errp, "scsi-id: no free target on bus %s; give scsi-id and a lun that is free there, "
                       "or use another bus", parent->bus_name);
            return false;
        }
        dev->scsi_id = free_id;
    }
    if (dev->scsi_id < 0 || (unsigned)dev->scsi_id >= bus->targets) {
        error_setg(errp, "scsi-id=%d: targets of bus %s are 0 to %u; choose one of them", dev->scsi_id,
                   parent->bus_name, bus->targets - 1);
        return false;
    }
    if ((unsigned)dev->scsi_id == bus->own_id) {
        error_setg(errp, "scsi-id=%d: it is the host adapter's own on bus %s; choose another of 0 to %u",
                   dev->scsi_id, parent->bus_name, bus->targets - 1);
        return false;
    }
    other = occupant(bus, dev->scsi_id, dev->lun, dev);
    if (other) {
        g_autofree char *who = other->dev.id ? g_strdup_printf("device '%s'", other->dev.id)
                                             : g_strdup("a device without an id");
        g_autofree char *free_one = free_id < 0 ? g_strdup("")
                                                : g_strdup_printf(" or a free scsi-id, for example %d", free_id);

        error_setg(errp, "scsi-id=%d,lun=%u: %s is there on bus %s; choose another lun%s", dev->scsi_id, dev->lun, who,
                   parent->bus_name, free_one);
        return false;
    }
    bus->changed = true;
    event_bh_schedule(bus->ready_bh);
    return true;
}

static void scsi_bus_unplug(Bus *parent, Device *device)
{
    ScsiBus *bus = SCSI_BUS(parent);
    ScsiDevice *dev = SCSI_DEVICE(device);

    if (dev->counted) {
        bus->lost_unit[dev->scsi_id] = true;
    }
    bus->changed = true;
    event_bh_schedule(bus->ready_bh);
}

/*
 * BusClass.is_full, for a -device without bus=: no target is empty.  Units of present targets can still be plugged with
 * bus= and lun=.
 */
static bool scsi_bus_is_full(Bus *parent)
{
    return lowest_free_id(SCSI_BUS(parent), NULL) < 0;
}

/* Whether target ID got or lost a unit since the last count. */
static bool target_changed(ScsiBus *bus, unsigned id)
{
    unsigned i;

    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev->dev.realized && dev->scsi_id == (int32_t)id && !dev->counted) {
            return true;
        }
    }
    return bus->lost_unit[id];
}

/*
 * Units that were there before tell that their target has other ones now: REPORTED LUNS DATA HAS CHANGED (SPC-4
 * 5.14.2, 6.33).  A target that was not there has nobody who could tell; its initiator finds it when it looks.
 */
static void count_target(ScsiBus *bus, unsigned id)
{
    bool changed = target_changed(bus, id);
    unsigned i;

    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (!dev->dev.realized || dev->scsi_id != (int32_t)id) {
            continue;
        }
        if (changed && dev->counted) {
            scsi_device_set_unit_attention(dev, scsi_sense(SENSE_UNIT_ATTENTION, 0x3f, 0x0e));
        }
        dev->counted = true;
    }
    bus->lost_unit[id] = false;
}

/* What could not be told inside a call: the population, then the requests. */
static void deferred_news(void *opaque)
{
    ScsiBus *bus = opaque;
    unsigned id;

    g_object_ref(bus);
    if (bus->changed) {
        bus->changed = false;
        for (id = 0; id < bus->targets; id++) {
            count_target(bus, id);
        }
        if (bus->ops->changed) {
            bus->ops->changed(bus);
        }
    }
    scsi_bus_run_ready_queue(bus);
    g_object_unref(bus);
}

/* The bus dies with its HBA (bus_free() by hw/core); requests that outlive it hold a reference each. */
ScsiBus *scsi_bus_new(Device *hba, const ScsiHbaOps *ops, void *opaque, unsigned targets, unsigned luns,
                      unsigned own_id)
{
    ScsiBus *bus = SCSI_BUS(bus_new(TYPE_SCSI_BUS, hba, NULL));

    bus->ops = ops;
    bus->hba = opaque;
    bus->targets = targets;
    bus->luns = luns;
    bus->own_id = own_id;
    bus->stand_ins = g_new0(ScsiDevice *, targets);
    bus->lost_unit = g_new0(bool, targets);
    bus->ready_bh = event_bh_new(event_loop_main(), deferred_news, bus);
    return bus;
}

/* No request lives any more: each holds a reference to the bus. */
static void scsi_bus_finalize(GObject *object)
{
    ScsiBus *bus = SCSI_BUS(object);
    unsigned id;

    event_bh_free(bus->ready_bh);
    for (id = 0; id < bus->targets; id++) {
        if (bus->stand_ins[id]) {
            g_object_unref(bus->stand_ins[id]);
        }
    }
    g_free(bus->stand_ins);
    g_free(bus->lost_unit);
    G_OBJECT_CLASS(scsi_bus_parent_class)->finalize(object);
}

static void scsi_bus_class_init(ScsiBusClass *klass)
{
    klass->bus_class.plug = scsi_bus_plug;
    klass->bus_class.unplug = scsi_bus_unplug;
    klass->bus_class.is_full = scsi_bus_is_full;
    G_OBJECT_CLASS(klass)->finalize = scsi_bus_finalize;
}

static void scsi_bus_init(ScsiBus *bus)
{
    g_queue_init(&bus->ready_queue);
}

/* ---- resets ---------------------------------------------------------------------------------- */

/* State to power-on, then the attention that tells of it (SPC-4 table 61). */
static void reset_state(ScsiDevice *dev, ScsiResetKind kind)
{
    static const uint8_t ascq[] = {
        [SCSI_RESET_POWER_ON] = 0x01, [SCSI_RESET_BUS] = 0x02, [SCSI_RESET_TARGET] = 0x03,
    };
    ScsiDeviceClass *klass = SCSI_DEVICE_GET_CLASS(dev);

    trace_scsi_unit_reset((unsigned)dev->scsi_id, dev->lun, kind);
    dev->sense_count = 0;
    if (kind == SCSI_RESET_POWER_ON) {
        dev->attention_count = 0;
    }
    if (klass->unit_reset) {
        klass->unit_reset(dev);
    }
    scsi_device_set_unit_attention(dev, scsi_sense(SENSE_UNIT_ATTENTION, 0x29, ascq[kind]));
}

static void forget_reset(ScsiDevice *dev)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < dev->attention_count; i++) {
        if (dev->attentions[i].asc != 0x29) {
            dev->attentions[kept++] = dev->attentions[i];
        }
    }
    dev->attention_count = kept;
}

void scsi_bus_forget_resets(ScsiBus *bus)
{
    for (unsigned i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev->dev.realized && dev->removable) {
            forget_reset(dev);
        }
    }
}

/* The HBA asked: its requests end without a word to it (scsi_req_cancel()). */
void scsi_device_reset_kind(ScsiDevice *dev, ScsiResetKind kind)
{
    ScsiRequest *req;

    while ((req = g_queue_peek_head(&dev->requests))) {
        scsi_req_cancel(req);
    }
    if (kind == SCSI_RESET_ABORT) {
        /*
         * It ends a contingent allegiance condition too (SCSI-2 7.6); sense data of an aborted
         * command would go to the next one that fails.
         */
        dev->sense_count = 0;
    } else {
        reset_state(dev, kind);
    }
}

/* Stand-ins have no state, but they may have requests. */
static void cancel_stand_in(ScsiBus *bus, unsigned id)
{
    if (bus->stand_ins[id]) {
        scsi_device_reset_kind(bus->stand_ins[id], SCSI_RESET_ABORT);
    }
}

void scsi_bus_reset_devices(ScsiBus *bus, ScsiResetKind kind)
{
    unsigned id;

    for (id = 0; id < bus->targets; id++) {
        scsi_target_reset(bus, id, kind);
    }
}

/* One attention per unit: each logical unit has its own (SAM-2 5.9.7); stand-ins are never asked for theirs. */
void scsi_target_reset(ScsiBus *bus, unsigned id, ScsiResetKind kind)
{
    unsigned i;

    if (id >= bus->targets) {
        return;
    }
    for (i = 0; i < bus->bus.devices->len; i++) {
        ScsiDevice *dev = nth_device(bus, i);

        if (dev->dev.realized && dev->scsi_id == (int32_t)id) {
            scsi_device_reset_kind(dev, kind);
        }
    }
    cancel_stand_in(bus, id);
}

void scsi_unit_reset(ScsiBus *bus, unsigned id, unsigned lun, ScsiResetKind kind)
{
    ScsiDevice *dev = scsi_bus_unit(bus, id, lun);

    if (dev) {
        scsi_device_reset_kind(dev, kind);
    } else if (id < bus->targets) {
        cancel_stand_in(bus, id);
    }
}

/* ---- the abstract unit ----------------------------------------------------------------------- */

/*
 * Unplug, and reset by the machine (device_realize() does one too).  The HBA may have requests here: it reset itself
 * before us at a machine reset, but not at an unplug.
 */
static void scsi_device_unrealize(Device *device)
{
    scsi_device_end_requests(SCSI_DEVICE(device), scsi_sense(SENSE_ILLEGAL_REQUEST, 0x25, 0x00));
}

static void scsi_device_machine_reset(Device *device)
{
    ScsiDevice *dev = SCSI_DEVICE(device);

    scsi_device_end_requests(dev, scsi_sense(SENSE_UNIT_ATTENTION, 0x29, 0x01));
    reset_state(dev, SCSI_RESET_POWER_ON);
}

/* Ranges that depend on the bus are checked at the plug. */
static const QomProperty scsi_device_properties[] = {
    { "scsi-id", QOM_PROP_KIND_INT32, offsetof(ScsiDevice, scsi_id), .min = -1, .max = 255, .default_value = -1,
      .description = "target id; -1: the lowest free one" },
    { "lun", QOM_PROP_KIND_UINT32, offsetof(ScsiDevice, lun), .description = "logical unit number" },
    { NULL },
};

static void scsi_device_class_init(ScsiDeviceClass *klass)
{
    klass->device_class.bus_type = TYPE_SCSI_BUS;
    klass->device_class.category = "Storage";
    klass->device_class.hotpluggable = true;
    klass->device_class.unrealize = scsi_device_unrealize;
    klass->device_class.reset = scsi_device_machine_reset;
    qom_class_add_properties(klass, scsi_device_properties);
}

static void scsi_device_init(ScsiDevice *dev)
{
    g_queue_init(&dev->requests);
}
