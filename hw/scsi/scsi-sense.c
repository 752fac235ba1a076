/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sense data: ready-made conditions, the two formats on the wire, what waits in a unit.
 *
 * Runs in: both.
 */
#include "hw/scsi/scsi-int.h"

#include <string.h>
#include "trace/hw-scsi.h"

/* ---- conditions ----------------------------------------------------------------------------------- */

ScsiSense scsi_sense(uint8_t key, uint8_t asc, uint8_t ascq)
{
    return (ScsiSense) { .key = key, .asc = asc, .ascq = ascq };
}

ScsiSense scsi_sense_invalid_field_in_cdb(unsigned byte)
{
    return (ScsiSense) {
        .key = SENSE_ILLEGAL_REQUEST, .asc = 0x24, .field_valid = true, .in_cdb = true, .field = (uint16_t)byte,
    };
}

ScsiSense scsi_sense_invalid_field_in_list(unsigned byte)
{
    return (ScsiSense) {
        .key = SENSE_ILLEGAL_REQUEST, .asc = 0x26, .field_valid = true, .field = (uint16_t)byte,
    };
}

ScsiSense scsi_sense_invalid_opcode(void)
{
    return (ScsiSense) { .key = SENSE_ILLEGAL_REQUEST, .asc = 0x20, .field_valid = true, .in_cdb = true };
}

ScsiSense scsi_sense_lba_out_of_range(uint64_t lba)
{
    return (ScsiSense) { .key = SENSE_ILLEGAL_REQUEST, .asc = 0x21, .info_valid = true, .info = lba };
}

/* Sense-key specific bytes of ILLEGAL REQUEST: SKSV, C/D, no bit pointer, field pointer (SPC-4 table 54). */
static void format_field_pointer(const ScsiSense *sense, uint8_t *p)
{
    p[0] = 0x80 | (sense->in_cdb ? 0x40 : 0);
    scsi_put_be16(p + 1, sense->field);
}

/* SPC-4 4.5.3: 18 bytes.  An LBA beyond 32 bits does not fit the INFORMATION field, so VALID stays 0. */
static unsigned format_fixed(const ScsiSense *sense, uint8_t *buf)
{
    memset(buf, 0, 18);
    buf[0] = 0x70;
    if (sense->info_valid && sense->info <= UINT32_MAX) {
        buf[0] |= 0x80;
        scsi_put_be32(buf + 3, (uint32_t)sense->info);
    }
    buf[2] = sense->key;
    buf[7] = 18 - 8;
    buf[12] = sense->asc;
    buf[13] = sense->ascq;
    if (sense->field_valid) {
        format_field_pointer(sense, buf + 15);
    }
    return 18;
}

/* SPC-4 4.5.2: 8 bytes, then descriptors: information (0), sense-key specific (2). */
static unsigned format_descriptor(const ScsiSense *sense, uint8_t *buf)
{
    uint8_t *p = buf + 8;

    memset(buf, 0, 8 + 12 + 8);
    buf[0] = 0x72;
    buf[1] = sense->key;
    buf[2] = sense->asc;
    buf[3] = sense->ascq;
    if (sense->info_valid) {
        p[0] = 0x00;
        p[1] = 10;
        p[2] = 0x80;
        scsi_put_be64(p + 4, sense->info);
        p += 12;
    }
    if (sense->field_valid) {
        p[0] = 0x02;
        p[1] = 6;
        format_field_pointer(sense, p + 4);
        p += 8;
    }
    buf[7] = (uint8_t)(p - buf - 8);
    return (unsigned)(p - buf);
}

/* BUF: SCSI_SENSE_MAX bytes. */
unsigned scsi_sense_format(const ScsiSense *sense, bool descriptor, uint8_t *buf)
{
    return descriptor ? format_descriptor(sense, buf) : format_fixed(sense, buf);
}

/* ---- what waits in a unit ------------------------------------------------------------------------- */

/* A guest that never asks cannot make it grow: the oldest goes, whose initiator has given up on it long ago. */
void scsi_device_push_sense(ScsiDevice *dev, const ScsiSense *sense)
{
    if (dev->sense_count == SCSI_SENSE_QUEUE) {
        dev->sense_count--;
        memmove(dev->sense, dev->sense + 1, dev->sense_count * sizeof(dev->sense[0]));
    }
    dev->sense[dev->sense_count++] = *sense;
}

/*
 * Reset conditions (29/xx) go first and replace each other; another condition is kept once.  When all places are
 * taken the newest gives way: the initiator learns of a reset or of an older condition and looks at everything anew.
 */
void scsi_device_set_unit_attention(ScsiDevice *dev, ScsiSense sense)
{
    bool is_reset = sense.asc == 0x29;
    unsigned i, at;

    sense.key = SENSE_UNIT_ATTENTION;
    trace_scsi_unit_attention((unsigned)dev->scsi_id, dev->lun, sense.asc, sense.ascq);
    for (i = 0; i < dev->attention_count; i++) {
        const ScsiSense *old = &dev->attentions[i];

        if (old->asc == sense.asc && (is_reset || old->ascq == sense.ascq)) {
            dev->attentions[i] = sense;
            return;
        }
    }
    if (dev->attention_count == SCSI_ATTENTION_QUEUE) {
        dev->attention_count--;
    }
    at = is_reset ? 0 : dev->attention_count;
    memmove(dev->attentions + at + 1, dev->attentions + at, (dev->attention_count - at) * sizeof(sense));
    dev->attentions[at] = sense;
    dev->attention_count++;
}

/* Each condition is told once (SAM-5 5.14). */
bool scsi_device_take_attention(ScsiDevice *dev, ScsiSense *ret)
{
    if (dev->attention_count == 0) {
        return false;
    }
    *ret = dev->attentions[0];
    dev->attention_count--;
    memmove(dev->attentions, dev->attentions + 1, dev->attention_count * sizeof(*ret));
    return true;
}
