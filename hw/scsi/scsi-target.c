/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a target answers for all its units: REPORT LUNS, REQUEST SENSE, and the stand-in for units that are not there.
 *
 * Runs in: both.
 *
 * SPC-4 4.6.4 and 6.4.2: a target with any unit answers INQUIRY, REPORT LUNS and REQUEST SENSE at every LUN, so that
 * an initiator that looks at LUN 0 only finds units elsewhere; any other command to an absent unit ends with
 * LOGICAL UNIT NOT SUPPORTED.
 */
#include "hw/scsi/scsi-int.h"

#include <string.h>

/* REPORT LUNS, SPC-4 6.33: the target's units in ascending order, 8 bytes each (peripheral device addressing). */
static void report_luns(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiBus *bus = req->bus;
    uint8_t buf[8 + 256 * 8] = { 0 };
    uint32_t alloc = scsi_get_be32(req->cdb + 6);
    unsigned select_report = req->cdb[2], len = 8, lun;

    if (select_report > 2) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(2));
        return;
    }
    /* 01h asks for well known units only: there are none. */
    for (lun = 0; select_report != 1 && lun < MIN(bus->luns, 256); lun++) {
        if (scsi_bus_unit(bus, (unsigned)dev->scsi_id, lun)) {
            buf[len + 1] = (uint8_t)lun;
            len += 8;
        }
    }
    scsi_put_be32(buf, len - 8);
    scsi_req_answer(req, buf, len, alloc);
}

/*
 * REQUEST SENSE, SPC-4 6.39: the oldest sense data not told yet, else a unit attention (which is cleared), else the
 * unit's standing condition.  The answer itself always ends with GOOD.
 */
static void request_sense(ScsiDevice *dev, ScsiRequest *req, ScsiSense standing)
{
    ScsiSense sense = standing;
    uint8_t buf[SCSI_SENSE_MAX];
    bool descriptor = req->cdb[1] & 0x01;
    unsigned len;

    if (req->cdb[1] & ~0x01u) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(1));
        return;
    }
    if (dev->sense_count > 0) {
        sense = dev->sense[0];
        dev->sense_count--;
        memmove(dev->sense, dev->sense + 1, dev->sense_count * sizeof(sense));
    } else {
        scsi_device_take_attention(dev, &sense);
    }
    len = scsi_sense_format(&sense, descriptor, buf);
    scsi_req_answer(req, buf, len, req->cdb[4]);
}

bool scsi_device_execute_common(ScsiDevice *dev, ScsiRequest *req)
{
    switch (req->cdb[0]) {
    case OP_REPORT_LUNS:
        report_luns(dev, req);
        return true;
    case OP_REQUEST_SENSE:
        request_sense(dev, req, scsi_sense(SENSE_NO_SENSE, 0x00, 0x00));
        return true;
    default:
        return false;
    }
}

/* ---- the stand-in ---------------------------------------------------------------------------- */

typedef struct ScsiStandIn {
    ScsiDevice scsi;
} ScsiStandIn;

typedef struct ScsiStandInClass {
    ScsiDeviceClass scsi_class;
} ScsiStandInClass;

QOM_DEFINE_TYPE(ScsiStandIn, scsi_stand_in, "scsi-absent-unit", TYPE_SCSI_DEVICE, 0)

/* Only byte 0 says something; the version and format make initiators go on with REPORT LUNS. */
static void stand_in_inquiry(ScsiRequest *req)
{
    uint8_t buf[36] = {
        [0] = SCSI_PERIPHERAL_ABSENT, [2] = SCSI_VERSION_SPC3, [3] = 0x12, [4] = sizeof(buf) - 5,
    };

    if (req->cdb[1] != 0) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(1));
    } else if (req->cdb[2] != 0) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(2));
    } else {
        memset(buf + 8, ' ', sizeof(buf) - 8);
        scsi_req_answer(req, buf, sizeof(buf), scsi_get_be16(req->cdb + 3));
    }
}

static void stand_in_execute(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiSense absent = scsi_sense(SENSE_ILLEGAL_REQUEST, 0x25, 0x00);

    switch (req->cdb[0]) {
    case OP_INQUIRY:
        stand_in_inquiry(req);
        break;
    case OP_REPORT_LUNS:
        report_luns(dev, req);
        break;
    case OP_REQUEST_SENSE:
        request_sense(dev, req, absent);
        break;
    default:
        scsi_req_check(req, absent);
    }
}

static void scsi_stand_in_class_init(ScsiStandInClass *klass)
{
    klass->scsi_class.execute = stand_in_execute;
    klass->scsi_class.device_class.qom_class.internal = true;
}

static void scsi_stand_in_init(ScsiStandIn *self)
{
    (void)self;
}
