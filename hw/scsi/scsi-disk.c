/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: the types scsi-hd and scsi-cd, their properties, life cycle and state.
 *
 * Runs in: both.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>
#include "system/runstate.h"
#include "util/error.h"

/* Type scsi-disk-base is never made by itself; the two kinds differ by class data and properties only. */
QOM_DEFINE_TYPE(ScsiDisk, scsi_disk, "scsi-disk-base", TYPE_SCSI_DEVICE, G_TYPE_FLAG_ABSTRACT)

typedef ScsiDisk ScsiHd;
typedef ScsiDiskClass ScsiHdClass;
typedef ScsiDisk ScsiCd;
typedef ScsiDiskClass ScsiCdClass;

QOM_DEFINE_TYPE(ScsiHd, scsi_hd, "scsi-hd", scsi_disk_get_type(), 0)
QOM_DEFINE_TYPE(ScsiCd, scsi_cd, "scsi-cd", scsi_disk_get_type(), 0)

/* discard_granularity's default and what it stands for (QEMU's). */
#define DISCARD_GRANULARITY_AUTO UINT32_MAX
#define DISCARD_GRANULARITY_DEFAULT 4096u

/* How long a removal holds the process for a disk that is slow.  Half of what a monitor may keep its user waiting. */
#define DRAIN_LIMIT_NS (50 * 1000 * 1000)

typedef enum ScsiDiskAuto {
    SCSI_DISK_AUTO,
    SCSI_DISK_ON,
    SCSI_DISK_OFF,
} ScsiDiskAuto;

static const char *const auto_names[] = { "auto", "on", "off", NULL };
static const char *const policy_names[] = { "auto", "report", "ignore", "stop", "enospc", NULL };

/* ---- state ----------------------------------------------------------------------------------- */

/* Asked for anew each time: the length may change at any moment.  A rest of the image is not reachable. */
uint64_t scsi_disk_blocks(ScsiDisk *disk)
{
    return blk_is_inserted(disk->blk) ? blk_length(disk->blk) / disk->block_size : 0;
}

bool scsi_disk_is_removable(ScsiDisk *disk)
{
    return scsi_disk_is_cd(disk) || disk->removable;
}

/* Whether UNMAP is offered; it does something when the drive has discard=unmap. */
bool scsi_disk_is_thin(const ScsiDisk *disk)
{
    return disk->discard_granularity != 0;
}

bool scsi_disk_write_protected(ScsiDisk *disk)
{
    return scsi_disk_is_cd(disk) || blk_is_read_only(disk->blk);
}

/* In the order in which a drive notices (SPC-4 table 41: what an initiator can do about each). */
bool scsi_disk_ready(ScsiDisk *disk, ScsiSense *ret)
{
    if (disk->tray_open || !blk_is_inserted(disk->blk)) {
        /* Medium not present: tray open, tray closed. */
        *ret = scsi_sense(SENSE_NOT_READY, 0x3a, disk->tray_open ? 0x02 : 0x01);
        return false;
    }
    if (disk->stopped) {
        /* Initializing command required: START STOP UNIT. */
        *ret = scsi_sense(SENSE_NOT_READY, 0x04, 0x02);
        return false;
    }
    if (scsi_disk_blocks(disk) == 0) {
        /* Incompatible medium: not one block on it. */
        *ret = scsi_sense(SENSE_NOT_READY, 0x30, 0x00);
        return false;
    }
    return true;
}

/* ScsiDeviceClass.unit_reset: the tray stays as it is, mode pages go back to their defaults (SPC-4 5.11). */
static void disk_unit_reset(ScsiDevice *dev)
{
    ScsiDisk *disk = SCSI_DISK(dev);

    disk->stopped = false;
    disk->prevented = false;
    blk_lock_medium(disk->blk, false);
    blk_set_write_cache(disk->blk, disk->default_wce);
}

/* Length or medium changed by the user. */
static void disk_changed(void *opaque)
{
    ScsiDisk *disk = opaque;
    bool inserted = blk_is_inserted(disk->blk);

    if (inserted != disk->was_inserted) {
        disk->was_inserted = inserted;
        scsi_cd_medium_changed(disk);
    } else if (inserted && !disk->tray_open) {
        /* Capacity data has changed. */
        scsi_device_set_unit_attention(&disk->scsi, scsi_sense(SENSE_UNIT_ATTENTION, 0x2a, 0x09));
    }
}

/* RunStateHandler: requests stopped by rerror/werror=stop try again when the machine goes on. */
static void disk_runstate(bool running, RunState state, void *opaque)
{
    (void)state;
    if (running) {
        blk_reset_io_status(((ScsiDisk *)opaque)->blk);
        scsi_disk_retry_waiting(opaque);
    }
}

/* ---- realize --------------------------------------------------------------------------------- */

/* INQUIRY texts: printable ASCII (SPC-4 4.4.1) that fits its field. */
static bool check_text(const char *name, const char *text, size_t max, GError **errp)
{
    const char *p;

    if (!text) {
        return true;
    }
    if (strlen(text) > max) {
        error_setg(errp, "%s=%s: %zu characters; at most %zu fit", name, text, strlen(text), max);
        return false;
    }
    for (p = text; *p; p++) {
        if (*p < 0x20 || *p > 0x7e) {
            error_setg(errp, "%s: byte 0x%02x at position %zu; use printable ASCII characters only", name,
                       (unsigned char)*p, (size_t)(p - text));
            return false;
        }
    }
    return true;
}

static bool check_texts(ScsiDisk *disk, GError **errp)
{
    return check_text("vendor", disk->vendor, SCSI_DISK_VENDOR_LEN, errp) &&
           check_text("product", disk->product, SCSI_DISK_PRODUCT_LEN, errp) &&
           check_text("ver", disk->version, SCSI_DISK_VERSION_LEN, errp) &&
           check_text("serial", disk->serial, SCSI_DISK_SERIAL_MAX, errp) &&
           check_text("device_id", disk->device_id, UINT8_MAX, errp);
}

/* ---- sizes ---------------------------------------------------------------------------------------- */

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool check_block_size(const char *name, uint64_t size, uint64_t max, GError **errp)
{
    if (!is_power_of_two(size) || size < SCSI_DISK_BLOCK_MIN || size > max) {
        error_setg(errp, "%s=%" G_GUINT64_FORMAT ": use a power of two from %u to %" G_GUINT64_FORMAT, name, size,
                   SCSI_DISK_BLOCK_MIN, max);
        return false;
    }
    return true;
}

/* A size that block limits state in logical blocks. */
static bool check_multiple(ScsiDisk *disk, const char *name, uint64_t size, uint64_t max, GError **errp)
{
    if (size % disk->block_size || size > max) {
        error_setg(errp, "%s=%" G_GUINT64_FORMAT ": use a multiple of logical_block_size (%u) up to %" G_GUINT64_FORMAT,
                   name, size, disk->block_size, max);
        return false;
    }
    return true;
}

/* Sets defaults that depend on the kind, and checks sizes. */
static bool settle_sizes(ScsiDisk *disk, GError **errp)
{
    if (disk->logical_block_size == 0) {
        disk->logical_block_size = scsi_disk_is_cd(disk) ? 2048 : SCSI_DISK_BLOCK_MIN;
    }
    if (!check_block_size("logical_block_size", disk->logical_block_size, SCSI_DISK_BLOCK_MAX, errp)) {
        return false;
    }
    disk->block_size = (uint32_t)disk->logical_block_size;
    if (disk->physical_block_size == 0) {
        disk->physical_block_size = disk->logical_block_size;
    }
    if (!check_block_size("physical_block_size", disk->physical_block_size, 2 * 1024 * 1024, errp)) {
        return false;
    }
    if (disk->physical_block_size < disk->logical_block_size) {
        error_setg(errp, "physical_block_size=%" G_GUINT64_FORMAT ": smaller than logical_block_size=%u; make it "
                   "at least as large", disk->physical_block_size, disk->block_size);
        return false;
    }
    if (disk->discard_granularity == DISCARD_GRANULARITY_AUTO) {
        disk->discard_granularity = MAX(DISCARD_GRANULARITY_DEFAULT, disk->block_size);
    }
    return check_multiple(disk, "min_io_size", disk->min_io_size, (uint64_t)UINT16_MAX * disk->block_size, errp) &&
           check_multiple(disk, "opt_io_size", disk->opt_io_size, (uint64_t)UINT32_MAX * disk->block_size, errp) &&
           check_multiple(disk, "discard_granularity", disk->discard_granularity, UINT32_MAX, errp);
}

/* A fixed disk needs a medium of one block; a removable one may be empty, and a CD hold anything. */
static bool check_medium(ScsiDisk *disk, GError **errp)
{
    if (!blk_is_inserted(disk->blk)) {
        if (scsi_disk_is_removable(disk)) {
            return true;
        }
        error_setg(errp, "drive=%s: has no medium; give the drive a file, or the device removable=on", disk->drive);
        return false;
    }
    if (blk_length(disk->blk) < disk->block_size && !scsi_disk_is_cd(disk)) {
        error_setg(errp, "drive=%s: image of %" G_GUINT64_FORMAT " bytes is shorter than one block of %u; use a larger "
                   "image", disk->drive, blk_length(disk->blk), disk->block_size);
        return false;
    }
    return true;
}

/* Device properties go before the drive's options; "auto" leaves those. */
static void apply_backend_options(ScsiDisk *disk)
{
    if (disk->rerror > 0) {
        blk_set_error_action(disk->blk, false, (BlockErrorAction)(disk->rerror - 1));
    }
    if (disk->werror > 0) {
        blk_set_error_action(disk->blk, true, (BlockErrorAction)(disk->werror - 1));
    }
    if (disk->write_cache != SCSI_DISK_AUTO) {
        blk_set_write_cache(disk->blk, disk->write_cache == SCSI_DISK_ON);
    }
    disk->default_wce = blk_write_cache_enabled(disk->blk);
}

/* DeviceClass.realize.  The drive is taken last but one, so that a failure has little to undo. */
static bool disk_realize(Device *device, GError **errp)
{
    ScsiDisk *disk = SCSI_DISK(device);
    g_autofree char *path = qom_path(device);
    BlockBackend *blk;
    bool writes;

    if (disk->channel != 0) {
        error_setg(errp, "channel=%u: the bus has channel 0 only; leave channel out", disk->channel);
        return false;
    }
    if (disk->tray_open && !scsi_disk_is_removable(disk)) {
        error_setg(errp, "tray-open=on: the medium cannot be ejected; give removable=on, or leave tray-open out");
        return false;
    }
    if (!check_texts(disk, errp) || !settle_sizes(disk, errp)) {
        return false;
    }
    blk = blk_by_name(disk->drive, errp);
    writes = blk && !scsi_disk_is_cd(disk) && !blk_is_read_only(blk);
    if (!blk || !blk_attach(blk, device->id ? device->id : path, writes, errp)) {
        return false;
    }
    disk->blk = blk;
    if (!check_medium(disk, errp)) {
        blk_detach(blk);
        disk->blk = NULL;
        return false;
    }
    disk->was_inserted = blk_is_inserted(blk);
    apply_backend_options(disk);
    blk_set_device_path(blk, path);
    blk_set_change_handler(blk, disk_changed, disk);
    disk->scsi.removable = scsi_disk_is_removable(disk);
    if (disk->scsi.removable) {
        blk_set_tray(blk, &scsi_cd_tray_ops, disk, disk->tray_open);
    }
    runstate_register(disk_runstate, disk);
    return true;
}

static void disk_unrealize(Device *device)
{
    ScsiDisk *disk = SCSI_DISK(device);

    /*
     * Ends the requests.  What the kernel still does for them is waited for, so that the drive is free when the device
     * has gone; but not for long, since the process has other devices.  What lasts longer keeps us alive by references.
     */
    ((DeviceClass *)scsi_disk_parent_class)->unrealize(device);
    blk_drain(disk->blk, DRAIN_LIMIT_NS);
    runstate_unregister(disk_runstate, disk);
    blk_set_change_handler(disk->blk, NULL, NULL);
    blk_detach(disk->blk);
    disk->blk = NULL;
}

/* ---- types ----------------------------------------------------------------------------------- */

/* Names and defaults as QEMU's. */
static const QomProperty disk_properties[] = {
    { "drive", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, drive), .flags = QOM_PROP_REQUIRED,
      .description = "id of a -drive or node-name of a -blockdev" },
    { "channel", QOM_PROP_KIND_UINT32, offsetof(ScsiDisk, channel), .description = "must be 0" },
    { "serial", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, serial), .description = "serial number, VPD page 80" },
    { "vendor", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, vendor), .default_text = "QEMU",
      .description = "INQUIRY vendor, at most 8 characters" },
    { "product", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, product),
      .description = "INQUIRY product, at most 16 characters" },
    { "ver", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, version), .default_text = "2.5+",
      .description = "INQUIRY revision, at most 4 characters" },
    { "device_id", QOM_PROP_KIND_STRING, offsetof(ScsiDisk, device_id),
      .description = "name in VPD page 83; default: the serial number, else the drive's name" },
    { "wwn", QOM_PROP_KIND_UINT64, offsetof(ScsiDisk, wwn), .description = "NAA name of the unit; 0: none" },
    { "port_wwn", QOM_PROP_KIND_UINT64, offsetof(ScsiDisk, port_wwn),
      .description = "NAA name of the target port; 0: none" },
    { "port_index", QOM_PROP_KIND_UINT16, offsetof(ScsiDisk, port_index),
      .description = "relative number of the target port; 0: none" },
    { "logical_block_size", QOM_PROP_KIND_SIZE, offsetof(ScsiDisk, logical_block_size),
      .description = "bytes per block, a power of two from 512 to 32768; 0: 512, CD 2048" },
    { "physical_block_size", QOM_PROP_KIND_SIZE, offsetof(ScsiDisk, physical_block_size),
      .description = "bytes per physical block, a power of two up to 2 MiB; 0: as logical_block_size" },
    { "min_io_size", QOM_PROP_KIND_SIZE, offsetof(ScsiDisk, min_io_size),
      .description = "optimal transfer granularity in bytes; 0: not told" },
    { "opt_io_size", QOM_PROP_KIND_SIZE, offsetof(ScsiDisk, opt_io_size),
      .description = "optimal transfer length in bytes; 0: not told" },
    { "discard_granularity", QOM_PROP_KIND_SIZE, offsetof(ScsiDisk, discard_granularity),
      .default_value = DISCARD_GRANULARITY_AUTO, .description = "bytes; 4294967295: 4096; 0: no UNMAP" },
    { "bootindex", QOM_PROP_KIND_INT32, offsetof(ScsiDisk, bootindex), .min = -1, .default_value = -1,
      .description = "place in the boot order" },
    { "write-cache", QOM_PROP_KIND_ENUM, offsetof(ScsiDisk, write_cache), .names = auto_names,
      .enum_name = "OnOffAuto",
      .description = "write cache enabled; auto: as the drive's cache= says" },
    { "rerror", QOM_PROP_KIND_ENUM, offsetof(ScsiDisk, rerror), .names = policy_names,
      .enum_name = "BlockdevOnError",
      .description = "on a read error; auto: as the drive says" },
    { "werror", QOM_PROP_KIND_ENUM, offsetof(ScsiDisk, werror), .names = policy_names,
      .enum_name = "BlockdevOnError",
      .description = "on a write error; auto: as the drive says" },
    { NULL },
};

static void scsi_disk_class_init(ScsiDiskClass *klass)
{
    klass->scsi_class.device_class.realize = disk_realize;
    klass->scsi_class.device_class.unrealize = disk_unrealize;
    klass->scsi_class.execute = scsi_disk_execute;
    klass->scsi_class.data_done = scsi_disk_data_done;
    klass->scsi_class.fetch = scsi_disk_fetch;
    klass->scsi_class.cancel = scsi_disk_cancel;
    klass->scsi_class.unit_reset = disk_unit_reset;
    klass->scsi_class.release = scsi_disk_release;
    qom_class_add_properties(klass, disk_properties);
    scsi_disk_cmds_init();
}

static void scsi_disk_init(ScsiDisk *disk)
{
    g_queue_init(&disk->waiting);
    g_queue_init(&disk->held);
}

#define TRAY_OPEN \
    { "tray-open", QOM_PROP_KIND_BOOL, offsetof(ScsiDisk, tray_open), \
      .description = "the tray is open, with the medium on it: for a drive that takes the place of a lost one" }

static const QomProperty hd_properties[] = {
    { "rotation_rate", QOM_PROP_KIND_UINT16, offsetof(ScsiDisk, rotation_rate),
      .description = "turns a minute; 1: solid state, 0: not told" },
    { "removable", QOM_PROP_KIND_BOOL, offsetof(ScsiDisk, removable), .description = "the medium can be ejected" },
    TRAY_OPEN,
    { NULL },
};

static const QomProperty cd_properties[] = {
    TRAY_OPEN,
    { NULL },
};

static void scsi_hd_class_init(ScsiHdClass *klass)
{
    klass->scsi_class.device_class.qom_class.description = "SCSI disk";
    qom_class_add_properties(klass, hd_properties);
}

static void scsi_hd_init(ScsiHd *disk)
{
    (void)disk;
}

static void scsi_cd_class_init(ScsiCdClass *klass)
{
    klass->scsi_class.device_class.qom_class.description = "SCSI CD-ROM";
    qom_class_add_properties(klass, cd_properties);
    klass->is_cd = true;
}

static void scsi_cd_init(ScsiCd *disk)
{
    (void)disk;
}
