/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI requests: their states, who may hear of a change and when, references, limits, cancelling.
 *
 * Runs in: both.
 *
 * Theory of operation.  Two parties move a request: the HBA by the calls scsi_req_start() ... scsi_req_direct(), the
 * device by scsi_req_offer_in() ... scsi_req_done().  The device's moves
 * all go through move_to().  When the device moves a request and no HBA call about that request is on the stack, the
 * HBA must be told:
 *   - no HBA call at all on this bus's stack (an I/O completion): ready() at once;
 *   - an HBA call about another request is on the stack (it turned the event loop, or a device ended several
 *     requests): the request waits in bus->ready_queue for a deferred call.
 * So ready() never runs inside an HBA call.
 *
 * Two flags end a conversation.  `closed`: whatever the device still says about the request (an I/O that could not be
 * stopped) changes nothing.  `cancelled`: the HBA ended it and is not told anything any more.
 *
 * References: `refs` are the HBA's, the first from scsi_req_new(); `holds` are ours: a device's while I/O is in flight,
 * the ready queue's per entry, a call's.  When the HBA's last one goes, nobody is told anything any more; when all are
 * gone the request is freed.  It counts in bus->live_requests until then, so memory lent to a slow kernel is inside the
 * limit too.
 */
#include "hw/scsi/scsi-int.h"

#include <string.h>
#include "trace/hw-scsi.h"

static const char *const state_names[] = {
    [SCSI_REQ_NEW] = "new",         [SCSI_REQ_BUSY] = "busy",         [SCSI_REQ_OFFER_IN] = "offer-in",
    [SCSI_REQ_DATA_IN] = "data-in", [SCSI_REQ_DATA_OUT] = "data-out", [SCSI_REQ_DONE] = "done",
};

unsigned scsi_cdb_length(uint8_t opcode)
{
    /* By group, SPC-4 4.3.3; group 3 is variable length or reserved, 6 and 7 are vendor specific. */
    static const uint8_t group_length[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

    return group_length[opcode >> 5];
}

/* ---- references ------------------------------------------------------------------------------ */

ScsiRequest *scsi_req_new(ScsiBus *bus, unsigned id, unsigned lun, uint32_t tag, const uint8_t *cdb,
                          unsigned cdb_len, void *hba_private)
{
    ScsiDevice *dev;
    ScsiRequest *req;

    if (bus->live_requests >= SCSI_REQUESTS_MAX || id >= bus->targets) {
        return NULL;
    }
    dev = scsi_bus_unit(bus, id, lun);
    if (!dev) {
        dev = scsi_bus_stand_in(bus, id);
    }
    req = g_new0(ScsiRequest, 1);
    req->bus = g_object_ref(bus);
    req->device = g_object_ref(dev);
    req->refs = 1;
    req->tag = tag;
    req->lun = (uint8_t)lun;
    req->cdb_len = MIN(cdb_len, SCSI_CDB_MAX);
    memcpy(req->cdb, cdb, req->cdb_len);
    req->state = SCSI_REQ_NEW;
    req->hba_private = hba_private;
    req->link.data = req;
    g_queue_push_tail_link(&dev->requests, &req->link);
    req->queued = true;
    bus->live_requests++;
    trace_scsi_req_new(req, id, lun, tag, req->cdb[0]);
    return req;
}

ScsiRequest *scsi_req_ref(ScsiRequest *req)
{
    req->refs++;
    return req;
}

ScsiRequest *scsi_req_hold(ScsiRequest *req)
{
    req->holds++;
    return req;
}

/* Out of scsi_req_find()'s sight: at the end, and as soon as it is cancelled, so that its tag is free. */
static void unqueue(ScsiRequest *req)
{
    if (req->queued) {
        g_queue_unlink(&req->device->requests, &req->link);
        req->queued = false;
    }
}

static void free_request(ScsiRequest *req)
{
    ScsiDevice *dev = req->device;
    ScsiBus *bus = req->bus;
    ScsiDeviceClass *klass = SCSI_DEVICE_GET_CLASS(dev);

    unqueue(req);
    if (klass->release) {
        klass->release(dev, req);
    }
    bus->live_requests--;
    g_free(req->answer);
    g_free(req);
    g_object_unref(dev);
    g_object_unref(bus);
}

void scsi_req_release(ScsiRequest *req)
{
    if (--req->holds == 0 && req->refs == 0) {
        free_request(req);
    }
}

/* An HBA that loses interest in a request that has not ended cancels it thereby. */
void scsi_req_unref(ScsiRequest *req)
{
    if (--req->refs > 0) {
        return;
    }
    scsi_req_hold(req);
    if (req->state == SCSI_REQ_DONE) {
        req->closed = true;
        req->cancelled = true;
        unqueue(req);
    } else {
        scsi_req_cancel(req);
    }
    scsi_req_release(req);
}

/* The unit may have come after a request went to the stand-in: both are searched. */
ScsiRequest *scsi_req_find(ScsiBus *bus, unsigned id, unsigned lun, uint32_t tag)
{
    ScsiDevice *units[2];
    unsigned i;

    if (id >= bus->targets) {
        return NULL;
    }
    units[0] = scsi_bus_unit(bus, id, lun);
    units[1] = bus->stand_ins[id];
    for (i = 0; i < G_N_ELEMENTS(units); i++) {
        GList *l;

        for (l = units[i] ? units[i]->requests.head : NULL; l; l = l->next) {
            ScsiRequest *req = l->data;

            if (req->lun == lun && req->tag == tag) {
                return req;
            }
        }
    }
    return NULL;
}

/* ---- the device's side ----------------------------------------------------------------------- */

/* Calls ready() when no HBA call is on the stack, else leaves it to the event loop. */
static void tell_hba(ScsiRequest *req)
{
    ScsiBus *bus = req->bus;

    if (req->cancelled || req->ready_queued) {
        return;
    }
    if (bus->calls > 0) {
        g_queue_push_tail(&bus->ready_queue, scsi_req_hold(req));
        req->ready_queued = true;
        event_bh_schedule(bus->ready_bh);
        return;
    }
    scsi_req_hold(req);
    bus->ops->ready(req);
    scsi_req_release(req);
}

/*
 * The deferred ready() calls.  The HBA may have looked at a request's state by itself meanwhile and gone on with it:
 * one that is BUSY again has nothing to tell yet, and one that the HBA dropped counts as cancelled.
 */
void scsi_bus_run_ready_queue(void *opaque)
{
    ScsiBus *bus = opaque;
    ScsiRequest *req;

    g_object_ref(bus);
    while ((req = g_queue_pop_head(&bus->ready_queue))) {
        req->ready_queued = false;
        /* A bus without a parent outlived its HBA. */
        if (!req->cancelled && req->state != SCSI_REQ_BUSY && bus->bus.parent) {
            bus->ops->ready(req);
        }
        scsi_req_release(req);
    }
    g_object_unref(bus);
}

/* False: the request is closed and nothing changed. */
static bool move_to(ScsiRequest *req, ScsiReqState state, uint8_t *data, size_t len)
{
    if (req->closed) {
        return false;
    }
    req->state = state;
    req->data = data;
    req->data_len = len;
    req->data_pos = 0;
    trace_scsi_req_state(req, state_names[state], len);
    if (!req->in_call && state != SCSI_REQ_BUSY) {
        tell_hba(req);
    }
    return true;
}

/* Data moves only when the HBA answers, so it may lend memory instead of taking a buffer. */
void scsi_req_offer_in(ScsiRequest *req, size_t len)
{
    move_to(req, SCSI_REQ_OFFER_IN, NULL, len);
}

void scsi_req_data_in(ScsiRequest *req, uint8_t *data, size_t len)
{
    move_to(req, SCSI_REQ_DATA_IN, data, len);
}

void scsi_req_data_out(ScsiRequest *req, uint8_t *data, size_t len)
{
    move_to(req, SCSI_REQ_DATA_OUT, data, len);
}

/* The last word about REQ; whatever I/O is left is the device's own affair. */
void scsi_req_done(ScsiRequest *req, uint8_t status)
{
    if (!req->closed) {
        req->status = status;
        move_to(req, SCSI_REQ_DONE, NULL, 0);
    }
}

/* The sense data goes to the unit, not the request: REQUEST SENSE is another command that asks for it. */
void scsi_req_check(ScsiRequest *req, ScsiSense sense)
{
    if (req->closed) {
        return;
    }
    trace_scsi_req_check(req, sense.key, sense.asc, sense.ascq);
    scsi_device_push_sense(req->device, &sense);
    scsi_req_done(req, SCSI_STATUS_CHECK_CONDITION);
}

/* A small answer belongs to the request: the device need not keep anything, and the end is always GOOD. */
void scsi_req_answer(ScsiRequest *req, const uint8_t *buf, size_t len, size_t alloc)
{
    len = MIN(len, alloc);
    if (len == 0) {
        scsi_req_done(req, SCSI_STATUS_GOOD);
        return;
    }
    if (req->closed) {
        return;
    }
    g_free(req->answer);
    req->answer = g_memdup2(buf, len);
    req->xfer_len = len;
    scsi_req_data_in(req, req->answer, len);
}

/* ---- the HBA's side -------------------------------------------------------------------------- */

/* Every HBA call is between these two; the reference keeps REQ when the device drops its own meanwhile. */
static void enter_call(ScsiRequest *req)
{
    scsi_req_hold(req);
    req->in_call++;
    req->bus->calls++;
}

/* The state is read before the reference goes: the HBA has its own, but a caller may give that away in ready(). */
static ScsiReqState leave_call(ScsiRequest *req)
{
    ScsiReqState state = req->state;

    req->bus->calls--;
    req->in_call--;
    scsi_req_release(req);
    return state;
}

/*
 * Commands that neither report nor clear a unit attention (SAM-5 5.14, MMC-5 4.2.6).  REQUEST SENSE takes it in its
 * own way.
 */
static bool passes_attention(uint8_t opcode)
{
    static const uint8_t passing[] = {
        OP_REQUEST_SENSE, OP_INQUIRY, OP_REPORT_LUNS, OP_GET_CONFIGURATION, OP_GET_EVENT_STATUS,
    };

    return memchr(passing, opcode, sizeof(passing)) != NULL;
}

/* Checks common to all units, then the unit's own execution. */
static void execute(ScsiRequest *req)
{
    ScsiDevice *dev = req->device;
    unsigned need = scsi_cdb_length(req->cdb[0]);
    ScsiSense attention;

    /*
     * A new command ends the condition of an earlier one (SAM-2 5.9.1: contingent allegiance), when that one's status
     * has been told, which is sure when no other request lives.
     */
    if (req->cdb[0] != OP_REQUEST_SENSE && dev->requests.length == 1) {
        dev->sense_count = 0;
    }
    if (!passes_attention(req->cdb[0]) && scsi_device_take_attention(dev, &attention)) {
        scsi_req_check(req, attention);
        return;
    }
    if (req->cdb_len == 0 || req->cdb_len < need) {
        scsi_req_check(req, scsi_sense(SENSE_ILLEGAL_REQUEST, 0x24, 0x00));
        return;
    }
    if (need == 0) {
        scsi_req_check(req, scsi_sense_invalid_opcode());
        return;
    }
    /* NACA (ACA is not offered) and the old LINK and FLAG bits; bits 6 and 7 are the vendor's. */
    if (req->cdb[need - 1] & 0x07) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(need - 1));
        return;
    }
    SCSI_DEVICE_GET_CLASS(dev)->execute(dev, req);
}

/* A request that was closed before its start (reset, unplug) says DONE. */
ScsiReqState scsi_req_start(ScsiRequest *req)
{
    if (req->state != SCSI_REQ_NEW || req->closed) {
        return req->state;
    }
    enter_call(req);
    move_to(req, SCSI_REQ_BUSY, NULL, 0);
    execute(req);
    return leave_call(req);
}

/* The pointer is good until the next call about REQ. */
uint8_t *scsi_req_buffer(ScsiRequest *req, size_t *ret_len)
{
    if (req->state != SCSI_REQ_DATA_IN && req->state != SCSI_REQ_DATA_OUT) {
        *ret_len = 0;
        return NULL;
    }
    *ret_len = req->data_len - req->data_pos;
    return req->data + req->data_pos;
}

/* N beyond the chunk counts as its rest: an HBA's arithmetic must not move the device's buffer. */
ScsiReqState scsi_req_consume(ScsiRequest *req, size_t n)
{
    if (req->state != SCSI_REQ_DATA_IN && req->state != SCSI_REQ_DATA_OUT) {
        return req->state;
    }
    n = MIN(n, req->data_len - req->data_pos);
    req->data_pos += n;
    req->moved += n;
    if (req->data_pos < req->data_len) {
        return req->state;
    }
    enter_call(req);
    if (req->data == req->answer && req->answer) {
        scsi_req_done(req, SCSI_STATUS_GOOD);
    } else {
        /* BUSY keeps data and data_len: the device looks at what came. */
        req->state = SCSI_REQ_BUSY;
        SCSI_DEVICE_GET_CLASS(req->device)->data_done(req->device, req);
    }
    return leave_call(req);
}

ScsiReqState scsi_req_fetch(ScsiRequest *req)
{
    if (req->state != SCSI_REQ_OFFER_IN) {
        return req->state;
    }
    enter_call(req);
    req->state = SCSI_REQ_BUSY;
    SCSI_DEVICE_GET_CLASS(req->device)->fetch(req->device, req);
    return leave_call(req);
}

/* Only whole pieces can be lent: a DATA_OUT chunk that was begun in the buffer is finished there. */
unsigned scsi_req_direct_granule(const ScsiRequest *req)
{
    bool fits = req->state == SCSI_REQ_OFFER_IN || (req->state == SCSI_REQ_DATA_OUT && req->data_pos == 0);

    return fits ? req->granule : 0;
}

/* MAP is the device's from here on, also when it is refused. */
ScsiReqState scsi_req_direct(ScsiRequest *req, DmaMap *map)
{
    unsigned granule = scsi_req_direct_granule(req);
    ScsiDeviceClass *klass = SCSI_DEVICE_GET_CLASS(req->device);

    enter_call(req);
    if (granule == 0 || map->size == 0 || map->size % granule || map->size > req->data_len || !dma_map_fill(map)) {
        /* An HBA's mistake, or memory that is none; the transfer cannot go on, and the map is ours to give back. */
        dma_unmap(map, 0);
        g_free(map);
        scsi_req_check(req, scsi_sense(SENSE_ABORTED_COMMAND, 0x4b, 0x00));
    } else {
        bool in = req->state == SCSI_REQ_OFFER_IN;

        req->map = map;
        req->state = SCSI_REQ_BUSY;
        if (in) {
            klass->fetch(req->device, req);
        } else {
            klass->data_done(req->device, req);
        }
    }
    return leave_call(req);
}

/* Closes REQ for the device, which stops what it can. */
static void close_request(ScsiRequest *req, uint8_t status)
{
    bool started = req->state != SCSI_REQ_NEW && req->state != SCSI_REQ_DONE;
    ScsiDeviceClass *klass = SCSI_DEVICE_GET_CLASS(req->device);

    req->closed = true;
    req->state = SCSI_REQ_DONE;
    req->status = status;
    unqueue(req);
    if (started && klass->cancel) {
        klass->cancel(req->device, req);
    }
}

/*
 * Safe in every state, twice, and inside ready().  After it the HBA hears nothing of REQ and only drops its reference.
 */
void scsi_req_cancel(ScsiRequest *req)
{
    if (req->cancelled) {
        return;
    }
    trace_scsi_req_cancel(req);
    enter_call(req);
    req->cancelled = true;
    if (!req->closed) {
        close_request(req, SCSI_STATUS_CHECK_CONDITION);
    }
    leave_call(req);
}

/*
 * Unlike a cancel the HBA did not ask for it, so it must learn: BUSY requests get their ready() from the queue, even
 * when this runs inside an HBA call (an unplug by a register write); the others are found ended at its next call.
 */
void scsi_device_end_requests(ScsiDevice *dev, ScsiSense sense)
{
    ScsiRequest *req;

    while ((req = g_queue_peek_head(&dev->requests))) {
        bool was_done = req->state == SCSI_REQ_DONE;
        bool was_busy = req->state == SCSI_REQ_BUSY;

        scsi_req_hold(req);
        close_request(req, was_done ? req->status : SCSI_STATUS_CHECK_CONDITION);
        if (!was_done) {
            scsi_device_push_sense(dev, &sense);
        }
        if (was_busy && !req->cancelled && !req->ready_queued) {
            g_queue_push_tail(&req->bus->ready_queue, scsi_req_hold(req));
            req->ready_queued = true;
            event_bh_schedule(req->bus->ready_bh);
        }
        scsi_req_release(req);
    }
}
