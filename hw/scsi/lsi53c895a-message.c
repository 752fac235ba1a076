/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: what a target does with the messages it gets in MESSAGE OUT (SPI-3 chapter 16).
 *
 * Runs in: both.
 *
 * The chip hands over the bytes of each block move; at the end of a move, when ATN/ is off, all
 * complete messages are acted on.  Answers are queued for MESSAGE IN and go out before anything
 * else happens.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/*
 * The best this target agrees to: Ultra2 (25 ns period factor 0Ah), the chip's REQ/ACK offset, 16
 * bits.
 */
#define MIN_PERIOD 0x0a
#define MAX_OFFSET 31
#define MAX_WIDTH 1

/* Answers a transfer negotiation; false: no message this target knows. */
static bool negotiate(LsiState *s, const uint8_t *msg, unsigned len)
{
    LsiAgreement *agreement = &s->agreement[s->con.id];
    uint8_t answer[8];

    memcpy(answer, msg, MIN(len, sizeof(answer)));
    switch (msg[2]) {
    case EXT_SDTR:
        if (len != 5) {
            return false;
        }
        answer[3] = MAX(msg[3], MIN_PERIOD);
        answer[4] = MIN(msg[4], MAX_OFFSET);
        agreement->period = answer[3];
        agreement->offset = answer[4];
        break;
    case EXT_WDTR:
        if (len != 4) {
            return false;
        }
        answer[3] = MIN(msg[3], MAX_WIDTH);
        /* An agreement on width ends the one on synchronous transfers. */
        *agreement = (LsiAgreement) { .wide = answer[3] };
        break;
    case EXT_PPR:
        if (len != 8) {
            return false;
        }
        /* No double transitions, information units or quick arbitration. */
        answer[3] = MAX(msg[3], MIN_PERIOD);
        answer[4] = 0;
        answer[5] = MIN(msg[5], MAX_OFFSET);
        answer[6] = MIN(msg[6], MAX_WIDTH);
        answer[7] = 0;
        *agreement = (LsiAgreement) { .wide = answer[6], .period = answer[3], .offset = answer[5] };
        break;
    default:
        return false;
    }
    lsi_target_queue_message(s, answer, len);
    return true;
}

/* ABORT, ABORT TAG, CLEAR QUEUE, BUS DEVICE RESET: the target goes to BUS FREE at once. */
static void end_tasks(LsiState *s, uint8_t msg)
{
    LsiConnection *con = &s->con;
    LsiTask *task;

    switch (msg) {
    case MSG_DEVICE_RESET:
        scsi_target_reset(s->bus, con->id, SCSI_RESET_TARGET);
        lsi_tasks_drop(s, con->id, LSI_LUNS, true);
        s->agreement[con->id] = (LsiAgreement) { 0 };
        break;
    case MSG_ABORT_TAG:
        task = con->task ? con->task : lsi_task_find(s, con->id, con->lun, con->tagged, con->tag);
        if (task) {
            lsi_task_free(task, true);
        }
        break;
    default:
        /* Without IDENTIFY there is no unit whose tasks could be meant. */
        if (con->identified) {
            lsi_tasks_drop(s, con->id, con->lun, true);
        }
        break;
    }
    lsi_target_free(s, false);
}

/* One message of LEN bytes. */
static void handle_message(LsiState *s, const uint8_t *msg, unsigned len)
{
    LsiConnection *con = &s->con;

    trace_lsi_message(s, con->id, msg[0], len);
    if (msg[0] & MSG_IDENTIFY) {
        if (!con->task) {
            con->identified = true;
            con->lun = msg[0] & 0x3f;
            con->disconnect_ok = msg[0] & 0x40;
        }
        return;
    }
    if (msg[0] >= MSG_SIMPLE_TAG && msg[0] <= MSG_ORDERED_TAG && !con->task) {
        con->tagged = true;
        con->tag = msg[1];
        return;
    }
    switch (msg[0]) {
    case MSG_ABORT:
    case MSG_ABORT_TAG:
    case MSG_CLEAR_QUEUE:
    case MSG_DEVICE_RESET:
        end_tasks(s, msg[0]);
        return;
    case MSG_REJECT:
        if (con->stage == LSI_STAGE_LEAVE && con->task) {
            /* The initiator does not want the disconnection. */
            con->stage = LSI_STAGE_TASK;
            con->task->disconnect_ok = false;
        } else if (con->stage < LSI_STAGE_TASK) {
            /*
             * It was an answer to a negotiation: back to asynchronous, narrow transfers (SPI-3
             * 16.3.7).
             */
            s->agreement[con->id] = (LsiAgreement) { 0 };
        }
        return;
    case MSG_NOP:
    case MSG_INITIATOR_ERROR:
    case MSG_PARITY_ERROR:
        /* This bus corrupts nothing: what the initiator got is what was sent, and stands. */
        return;
    case MSG_EXTENDED:
        if (negotiate(s, msg, len)) {
            return;
        }
        break;
    default:
        break;
    }
    lsi_target_queue_message(s, &(uint8_t){ MSG_REJECT }, 1);
}

/* Length of the message that begins at MSG, of which LEN bytes are there; 0: not known yet. */
static unsigned message_length(const uint8_t *msg, unsigned len)
{
    if (msg[0] == MSG_EXTENDED) {
        return len < 2 ? 0 : msg[1] == 0 ? 258 : 2u + msg[1];
    }
    return (msg[0] & 0xf0) == 0x20 ? 2 : 1;
}

void lsi_target_messages(LsiState *s)
{
    LsiConnection *con = &s->con;
    unsigned pos = 0;

    while (con->state == LSI_BUS_CONNECTED && pos < con->msg_out_len) {
        unsigned have = con->msg_out_len - pos;
        unsigned len = message_length(con->msg_out + pos, have);

        if (len > LSI_MSG_MAX) {
            /* No message is that long; the rest of it is no use. */
            lsi_target_queue_message(s, &(uint8_t){ MSG_REJECT }, 1);
            pos = con->msg_out_len;
            break;
        }
        if (len == 0 || len > have) {
            break;
        }
        handle_message(s, con->msg_out + pos, len);
        pos += len;
    }
    if (con->state != LSI_BUS_CONNECTED) {
        return;
    }
    memmove(con->msg_out, con->msg_out + pos, con->msg_out_len - pos);
    con->msg_out_len -= pos;
    if (con->stage == LSI_STAGE_IDENTIFY && con->msg_out_len == 0) {
        con->stage = LSI_STAGE_COMMAND;
    }
}
