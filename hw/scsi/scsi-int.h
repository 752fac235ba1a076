/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the SCSI core and the SCSI devices share: big-endian fields, codes, the bus's inner look-ups.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef HW_SCSI_SCSI_INT_H
#define HW_SCSI_SCSI_INT_H

#include "hw/scsi/scsi.h"

/* Sense keys (SPC-4 4.5.6). */
enum {
    SENSE_NO_SENSE = 0x0,
    SENSE_NOT_READY = 0x2,
    SENSE_MEDIUM_ERROR = 0x3,
    SENSE_HARDWARE_ERROR = 0x4,
    SENSE_ILLEGAL_REQUEST = 0x5,
    SENSE_UNIT_ATTENTION = 0x6,
    SENSE_DATA_PROTECT = 0x7,
    SENSE_ABORTED_COMMAND = 0xb,
    SENSE_MISCOMPARE = 0xe,
};

/* Operation codes (SPC-4, SBC-3, MMC-5) that the code names; the rest stand in the command table only. */
enum {
    OP_REQUEST_SENSE = 0x03,
    OP_INQUIRY = 0x12,
    OP_GET_CONFIGURATION = 0x46,
    OP_GET_EVENT_STATUS = 0x4a,
    OP_REPORT_LUNS = 0xa0,
};

/* INQUIRY byte 0: no unit at this LUN, none can be (SPC-4 6.4.2: qualifier 011b, device type 1Fh). */
#define SCSI_PERIPHERAL_ABSENT 0x7f
/* INQUIRY byte 2: SPC-3, the version at which Linux uses REPORT LUNS and VPD pages without further questions. */
#define SCSI_VERSION_SPC3 0x05

static inline uint16_t scsi_get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t scsi_get_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t scsi_get_be32(const uint8_t *p)
{
    return (uint32_t)scsi_get_be16(p) << 16 | scsi_get_be16(p + 2);
}

static inline uint64_t scsi_get_be64(const uint8_t *p)
{
    return (uint64_t)scsi_get_be32(p) << 32 | scsi_get_be32(p + 4);
}

static inline void scsi_put_be16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void scsi_put_be24(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 16);
    scsi_put_be16(p + 1, (uint16_t)value);
}

static inline void scsi_put_be32(uint8_t *p, uint32_t value)
{
    scsi_put_be16(p, (uint16_t)(value >> 16));
    scsi_put_be16(p + 2, (uint16_t)value);
}

static inline void scsi_put_be64(uint8_t *p, uint64_t value)
{
    scsi_put_be32(p, (uint32_t)(value >> 32));
    scsi_put_be32(p + 4, (uint32_t)value);
}

/* References of devices and of the core itself; the HBA's are scsi_req_ref() and scsi_req_unref(). */
ScsiRequest *scsi_req_hold(ScsiRequest *req);
void scsi_req_release(ScsiRequest *req);

/* The realized unit at (ID, LUN), or NULL. */
ScsiDevice *scsi_bus_unit(ScsiBus *bus, unsigned id, unsigned lun);

/* The stand-in for absent units of target ID; made at first use, lives as long as the bus. */
ScsiDevice *scsi_bus_stand_in(ScsiBus *bus, unsigned id);

/* Adds to DEV's sense data waiting for REQUEST SENSE; the oldest gives way when SCSI_SENSE_QUEUE wait. */
void scsi_device_push_sense(ScsiDevice *dev, const ScsiSense *sense);

/* Takes the first pending unit attention into *ret; false: none. */
bool scsi_device_take_attention(ScsiDevice *dev, ScsiSense *ret);

/* Cancels all requests of DEV, resets it, and sets the unit attention of KIND (none for SCSI_RESET_ABORT). */
void scsi_device_reset_kind(ScsiDevice *dev, ScsiResetKind kind);

/* ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST with a pointer to BYTE of it (SPC-4 4.5.2.4.2). */
ScsiSense scsi_sense_invalid_field_in_list(unsigned byte);

/* The bus's deferred ready() calls; opaque is the ScsiBus. */
void scsi_bus_run_ready_queue(void *opaque);

GType scsi_stand_in_get_type(void);

#endif
