/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: the far end of the SCSI bus, on behalf of the devices on the ScsiBus (SPI-3, SAM-2).
 *
 * Runs in: both.
 *
 * Theory of operation.  A target that was selected, or has reselected, owns the bus and decides on
 * each phase.  Its decision is taken in lsi_target_step(), whenever the initiator has completed
 * something: messages to send go first, then ATN/ is answered with MESSAGE OUT, then the stage
 * (LsiStage) tells.  In LSI_STAGE_TASK the state of the request tells:
 *
 *   BUSY      -> the bus is kept without REQ/; when somebody else wants it and IDENTIFY allowed it,
 *                SAVE DATA POINTER and DISCONNECT.  So a single command costs no reselection, and
 *                many of them overlap.
 *   OFFER_IN  -> DATA IN: the first move has the device read, into the guest's memory if that can
 *                be lent; when the bus is wanted, the device reads into its own buffer meanwhile
 *   DATA_IN   -> DATA IN;  DATA_OUT -> DATA OUT;  DONE -> STATUS, then COMMAND COMPLETE
 *
 * A disconnected task whose request left BUSY waits in `reselect`; SELECT and WAIT RESELECT let it
 * in.
 *
 * SeaBIOS's driver selects without ATN/ and sends IDENTIFY all the same, and gives each command as
 * 16 bytes; its program is the boot path of every guest, so the target takes both.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/* ---- tasks ----------------------------------------------------------------------------------- */

void lsi_task_free(LsiTask *task, bool cancel)
{
    LsiState *s = task->hba;

    if (task->wants_bus) {
        g_queue_unlink(&s->reselect, &task->reselect_link);
    }
    g_queue_unlink(&s->tasks, &task->link);
    if (s->con.task == task) {
        s->con.task = NULL;
    }
    if (cancel) {
        scsi_req_cancel(task->req);
    }
    scsi_req_unref(task->req);
    lsi_lookahead_drop(task);
    g_free(task);
}

void lsi_tasks_drop(LsiState *s, unsigned id, unsigned lun, bool cancel)
{
    GList *l, *next;

    for (l = s->tasks.head; l; l = next) {
        LsiTask *task = l->data;

        next = l->next;
        if ((id == LSI_TARGETS || task->id == id) && (lun == LSI_LUNS || task->lun == lun)) {
            lsi_task_free(task, cancel);
        }
    }
}

LsiTask *lsi_task_find(LsiState *s, unsigned id, unsigned lun, bool tagged, uint8_t tag)
{
    for (GList *l = s->tasks.head; l; l = l->next) {
        LsiTask *task = l->data;

        if (task->id == id && task->lun == lun && task->tagged == tagged &&
            (!tagged || task->tag == tag)) {
            return task;
        }
    }
    return NULL;
}

static void want_bus(LsiTask *task)
{
    if (!task->wants_bus) {
        task->wants_bus = true;
        g_queue_push_tail_link(&task->hba->reselect, &task->reselect_link);
    }
}

/*
 * Makes the command a task and starts it; on refusal the connection goes to status phase without
 * one.
 */
static void start_command(LsiState *s, unsigned len)
{
    LsiConnection *con = &s->con;
    unsigned lun = con->identified ? con->lun : con->cdb[1] >> 5;
    uint32_t tag = con->tagged ? con->tag : SCSI_NO_TAG;
    LsiTask *task;
    ScsiRequest *req;

    con->stage = LSI_STAGE_STATUS;
    if (lsi_task_find(s, con->id, lun, con->tagged, con->tag)) {
        /* Overlapped commands (SAM-2 5.9.2): the initiator's fault; the older one is left alone. */
        con->status = SCSI_STATUS_BUSY;
        return;
    }
    task = g_new0(LsiTask, 1);
    req = scsi_req_new(s->bus, con->id, lun, tag, con->cdb, len, task);
    if (!req) {
        g_free(task);
        con->status = SCSI_STATUS_TASK_SET_FULL;
        return;
    }
    task->hba = s;
    task->req = req;
    task->id = con->id;
    task->lun = (uint8_t)lun;
    task->tagged = con->tagged;
    task->tag = con->tag;
    task->disconnect_ok = con->disconnect_ok;
    task->link.data = task;
    task->reselect_link.data = task;
    g_queue_push_tail_link(&s->tasks, &task->link);
    con->task = task;
    con->stage = LSI_STAGE_TASK;
    trace_lsi_command(s, con->id, lun, tag, con->cdb[0], len);
    scsi_req_start(req);
}

/* ---- the target's decisions ------------------------------------------------------------------ */

static void set_phase(LsiState *s, LsiPhase phase)
{
    if (s->con.phase != phase || !s->con.req) {
        trace_lsi_phase(s, s->con.id, phase);
    }
    s->con.phase = phase;
    s->con.req = true;
}

void lsi_target_queue_message(LsiState *s, const uint8_t *msg, unsigned len)
{
    LsiConnection *con = &s->con;

    if (con->msg_in_pos == con->msg_in_len) {
        con->msg_in_pos = con->msg_in_len = 0;
    }
    if (con->msg_in_len + len <= LSI_MSG_MAX) {
        memcpy(con->msg_in + con->msg_in_len, msg, len);
        con->msg_in_len += len;
    }
}

static void disconnect(LsiState *s, LsiTask *task)
{
    if (task->moved) {
        lsi_target_queue_message(s, &(uint8_t){ MSG_SAVE_POINTERS }, 1);
        task->moved = false;
    }
    lsi_target_queue_message(s, &(uint8_t){ MSG_DISCONNECT }, 1);
    s->con.stage = LSI_STAGE_LEAVE;
    set_phase(s, LSI_MSG_IN);
}

/*
 * Somebody else has a use for the bus: the host has signalled new work, or another task wants to
 * reselect.
 */
static bool bus_wanted(LsiState *s)
{
    return (s->reg[LSI_ISTAT0] & ISTAT0_SIGP) || s->reselect.length > 0;
}

/* What the request wants. */
static void task_step(LsiState *s)
{
    LsiTask *task = s->con.task;
    ScsiRequest *req = task->req;
    bool leave = task->disconnect_ok && bus_wanted(s);

    s->con.req = false;
    if (req->state == SCSI_REQ_OFFER_IN && leave && task->lent_left == 0) {
        scsi_req_fetch(req);
    }
    if (task->lent_left > 0 && req->state == SCSI_REQ_DONE && req->status != SCSI_STATUS_GOOD) {
        /* What was read into lent memory is not valid. */
        lsi_lookahead_drop(task);
    }
    if (req->state == SCSI_REQ_BUSY) {
        if (leave) {
            disconnect(s, task);
        }
    } else if (req->state == SCSI_REQ_DATA_IN || req->state == SCSI_REQ_OFFER_IN ||
               task->lent_left > 0) {
        set_phase(s, LSI_DATA_IN);
    } else if (req->state == SCSI_REQ_DATA_OUT) {
        set_phase(s, LSI_DATA_OUT);
    } else {
        s->con.status = req->status;
        s->con.stage = LSI_STAGE_STATUS;
        if (task->padded && !req->to_device) {
            static const uint8_t residue[] = { MSG_IGNORE_RESIDUE, 1 };

            lsi_target_queue_message(s, residue, sizeof(residue));
            set_phase(s, LSI_MSG_IN);
        } else {
            set_phase(s, LSI_STATUS);
        }
    }
}

void lsi_target_yield(LsiState *s)
{
    LsiConnection *con = &s->con;

    if (con->state == LSI_BUS_CONNECTED && con->stage == LSI_STAGE_TASK && !con->req && !con->ack &&
        con->task->req->state == SCSI_REQ_BUSY) {
        task_step(s);
    }
}

void lsi_target_step(LsiState *s)
{
    LsiConnection *con = &s->con;

    if (con->state != LSI_BUS_CONNECTED || con->ack) {
        return;
    }
    con->req = false;
    if (con->msg_in_pos < con->msg_in_len) {
        set_phase(s, LSI_MSG_IN);
        return;
    }
    /* A message that is not complete yet is asked for without ATN/ too. */
    if (con->atn || con->msg_out_len > 0) {
        set_phase(s, LSI_MSG_OUT);
        return;
    }
    switch (con->stage) {
    case LSI_STAGE_IDENTIFY:
    case LSI_STAGE_COMMAND:
        set_phase(s, LSI_COMMAND);
        break;
    case LSI_STAGE_TASK:
        task_step(s);
        break;
    case LSI_STAGE_STATUS:
        set_phase(s, LSI_STATUS);
        break;
    case LSI_STAGE_COMPLETE:
        if (con->task) {
            lsi_task_free(con->task, false);
        }
        lsi_target_free(s, false);
        break;
    case LSI_STAGE_LEAVE:
        lsi_target_free(s, false);
        break;
    }
}

void lsi_target_data_step(LsiState *s)
{
    if (s->con.state == LSI_BUS_CONNECTED && s->con.stage == LSI_STAGE_TASK) {
        task_step(s);
    }
}

bool lsi_target_wide(LsiState *s)
{
    return s->agreement[s->con.id].wide && (s->reg[LSI_SCNTL3] & SCNTL3_EWS);
}

/* ---- connections ----------------------------------------------------------------------------- */

bool lsi_target_select(LsiState *s, unsigned id, bool atn)
{
    LsiConnection *con = &s->con;

    memset(con, 0, sizeof(*con));
    con->id = (uint8_t)id;
    con->atn = atn;
    con->with_atn = atn;
    if (id == LSI_OWN_ID || !scsi_target_present(s->bus, id)) {
        con->state = LSI_BUS_SELECTING;
        return false;
    }
    con->state = LSI_BUS_CONNECTED;
    con->stage = LSI_STAGE_IDENTIFY;
    s->reg[LSI_SCNTL2] |= SCNTL2_SDU;
    s->reg[LSI_SSTAT2] &= (uint8_t)~SSTAT2_LDSC;
    trace_lsi_select(s, id, atn);
    lsi_target_step(s);
    return true;
}

bool lsi_target_reselect(LsiState *s)
{
    LsiConnection *con = &s->con;
    GList *link;
    LsiTask *task;
    uint8_t msg[3];

    if (con->state != LSI_BUS_FREE || !(link = g_queue_pop_head_link(&s->reselect))) {
        return false;
    }
    task = link->data;
    task->wants_bus = false;
    memset(con, 0, sizeof(*con));
    con->state = LSI_BUS_CONNECTED;
    con->stage = LSI_STAGE_TASK;
    con->id = task->id;
    con->lun = task->lun;
    con->identified = true;
    con->tagged = task->tagged;
    con->tag = task->tag;
    con->task = task;
    s->reg[LSI_SSID] = (uint8_t)(SSID_VAL | task->id);
    if (!(s->reg[LSI_DCNTL] & DCNTL_COM)) {
        /* As the 53C700 did, unless the program protects SFBR. */
        s->reg[LSI_SFBR] = s->reg[LSI_SSID];
    }
    s->reg[LSI_SCNTL2] |= SCNTL2_SDU;
    s->reg[LSI_SSTAT2] &= (uint8_t)~SSTAT2_LDSC;
    msg[0] = (uint8_t)(MSG_IDENTIFY | task->lun);
    msg[1] = MSG_SIMPLE_TAG;
    msg[2] = task->tag;
    lsi_target_queue_message(s, msg, task->tagged ? 3 : 1);
    trace_lsi_reselect(s, task->id, task->lun, task->tagged ? task->tag : SCSI_NO_TAG);
    set_phase(s, LSI_MSG_IN);
    return true;
}

void lsi_target_free(LsiState *s, bool expected)
{
    LsiTask *task = s->con.task;
    bool connected = s->con.state == LSI_BUS_CONNECTED;

    memset(&s->con, 0, sizeof(s->con));
    if (!connected) {
        return;
    }
    s->reg[LSI_SSTAT2] |= SSTAT2_LDSC;
    if (task && task->req->state != SCSI_REQ_BUSY) {
        /* It became ready while it was about to leave. */
        want_bus(task);
    }
    if (!expected && (s->reg[LSI_SCNTL2] & SCNTL2_SDU)) {
        lsi_raise_scsi(s, SIST0_UDC, 0);
    }
}

void lsi_target_bus_reset(LsiState *s)
{
    lsi_target_free(s, true);
    scsi_bus_reset_devices(s->bus, SCSI_RESET_BUS);
    lsi_tasks_drop(s, LSI_TARGETS, LSI_LUNS, true);
    memset(s->agreement, 0, sizeof(s->agreement));
    s->reg[LSI_SCNTL2] &= (uint8_t)~(SCNTL2_SDU | SCNTL2_WSS | SCNTL2_WSR);
}

/* ---- bytes from and to the initiator --------------------------------------------------------- */

static unsigned take_command(LsiState *s, const uint8_t *buf, unsigned len)
{
    LsiConnection *con = &s->con;
    unsigned n = MIN(len, SCSI_CDB_MAX - con->cdb_len);
    unsigned need;

    con->stage = LSI_STAGE_COMMAND;
    memcpy(con->cdb + con->cdb_len, buf, n);
    con->cdb_len += n;
    need = scsi_cdb_length(con->cdb[0]);
    if (need == 0) {
        /* A vendor specific command is as long as the initiator makes it. */
        need = con->cdb_len;
    }
    if (con->cdb_len >= need) {
        start_command(s, need);
    }
    return n;
}

unsigned lsi_target_take(LsiState *s, const uint8_t *buf, unsigned len)
{
    LsiConnection *con = &s->con;
    unsigned n;

    if (con->phase == LSI_COMMAND) {
        return take_command(s, buf, len);
    }
    n = MIN(len, LSI_MSG_MAX - con->msg_out_len);
    memcpy(con->msg_out + con->msg_out_len, buf, n);
    con->msg_out_len += n;
    return n;
}

uint8_t lsi_target_give(LsiState *s)
{
    LsiConnection *con = &s->con;

    if (con->phase == LSI_STATUS) {
        con->stage = LSI_STAGE_COMPLETE;
        lsi_target_queue_message(s, &(uint8_t){ MSG_COMMAND_COMPLETE }, 1);
        return con->status;
    }
    return con->msg_in_pos < con->msg_in_len ? con->msg_in[con->msg_in_pos++] : MSG_NOP;
}

void lsi_target_acknowledge(LsiState *s)
{
    if (s->con.ack) {
        s->con.ack = false;
        lsi_target_step(s);
    }
}

/* ---- the SCSI core's calls ------------------------------------------------------------------- */

/* From the event loop: a request left BUSY. */
static void request_ready(ScsiRequest *req)
{
    LsiTask *task = req->hba_private;
    LsiState *s = task->hba;

    if (s->con.task != task) {
        want_bus(task);
    } else if (!s->con.req) {
        lsi_target_step(s);
    }
    lsi_kick(s);
}

/* A target that was unplugged takes its tasks along, and the bus if it holds it. */
static void bus_changed(ScsiBus *bus)
{
    LsiState *s = bus->hba;

    if (!s) {
        /* The controller is gone. */
        return;
    }
    for (unsigned id = 0; id < LSI_TARGETS; id++) {
        if (!scsi_target_present(bus, id)) {
            lsi_tasks_drop(s, id, LSI_LUNS, true);
            if (s->con.state == LSI_BUS_CONNECTED && s->con.id == id) {
                lsi_target_free(s, false);
            }
            s->agreement[id] = (LsiAgreement) { 0 };
        }
    }
    lsi_kick(s);
}

const ScsiHbaOps lsi_scsi_ops = {
    .ready = request_ready,
    .changed = bus_changed,
};
