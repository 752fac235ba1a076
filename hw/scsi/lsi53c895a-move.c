/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: block moves, the chip's end of the information transfer phases (data sheet chapter 5,
 * "Block Move").
 *
 * Runs in: both.
 *
 * Theory of operation.  A block move is decoded once: DNAD and DNAD64 get the address, DBC the
 * count; both are counted along, so a suspended move continues where it stood and an interrupted
 * one shows drivers what is left.  Then it moves bytes while the target asserts its phase.  Another
 * phase ends it with a phase mismatch: an interrupt, or a jump to PMJAD1 or PMJAD2 when
 * CCNTL0.ENPMJ is set (chapter 2, "Phase Mismatch Jump"), with RBC, UA, IA, ESA telling where it
 * stood.
 *
 * Wide transfers.  Two bytes cross the bus at a time.  A receive that ends after the first of two
 * keeps the second in SWIDE and sets WSR; the next receive stores it first.  A chained send (CHMOV)
 * that ends there keeps its last byte in SODL and sets WSS.  At the end of an odd transfer one byte
 * is padding, which the target tells with IGNORE WIDE RESIDUE.
 *
 * Count 0 is an illegal instruction by the data sheet; SeaBIOS moves no data with it, so it does
 * nothing here.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/* How a piece of a move ended. */
typedef enum Piece {
    PIECE_MOVED, /* look at count and phase again */
    PIECE_FAULT, /* bus fault was raised */
} Piece;

static hwaddr move_address(LsiState *s)
{
    return (hwaddr)lsi_get32(s, LSI_DNAD64) << 32 | lsi_get32(s, LSI_DNAD);
}

/* N bytes of the move are done. */
static void advance(LsiState *s, uint32_t n)
{
    hwaddr addr = move_address(s) + n;

    lsi_set32(s, LSI_DNAD, (uint32_t)addr);
    lsi_set32(s, LSI_DNAD64, (uint32_t)(addr >> 32));
    lsi_set24(s, LSI_DBC, lsi_get24(s, LSI_DBC) - n);
}

/* N bytes crossed the bus. */
static void count_bus_bytes(LsiState *s, uint32_t n)
{
    lsi_set24(s, LSI_SBC, lsi_get24(s, LSI_SBC) + n);
    if (s->con.phase <= LSI_DATA_IN) {
        lsi_set32(s, LSI_CSBC, lsi_get32(s, LSI_CSBC) + n);
    }
}

/* Memory of a block move.  The chip's own registers are refused: see lsi53c895a-dma.c. */
static bool move_memory(LsiState *s, hwaddr addr, void *buf, uint32_t len, bool to_memory)
{
    bool ok = !lsi_addr_is_registers(s, addr, len);

    ok = ok && (to_memory ? lsi_mem_write(s, addr, buf, len) : lsi_mem_read(s, addr, buf, len));
    if (!ok) {
        lsi_raise_dma(s, DSTAT_BF);
    }
    return ok;
}

/* SFBR gets the first byte of each receive, SIDL keeps the last one. */
static void latch_received(LsiState *s, const uint8_t *buf, uint32_t len)
{
    if (len == 0) {
        return;
    }
    if (s->move_first) {
        s->reg[LSI_SFBR] = buf[0];
        s->move_first = false;
    }
    s->reg[LSI_SIDL] = buf[len - 1];
}

/* ---- data phases ----------------------------------------------------------------------------- */

/* A wide receive that ended on an odd byte takes the other one of the pair along. */
static void receive_residue(LsiState *s, LsiTask *task)
{
    ScsiRequest *req = task->req;
    const uint8_t *p;
    size_t len;

    if (!task->odd || !lsi_target_wide(s) || req->state != SCSI_REQ_DATA_IN) {
        return;
    }
    p = scsi_req_buffer(req, &len);
    if (len == 0) {
        return;
    }
    s->reg[LSI_SWIDE] = *p;
    s->reg[LSI_SCNTL2] |= SCNTL2_WSR;
    task->odd = false;
    count_bus_bytes(s, 1);
    scsi_req_consume(req, 1);
}

/*
 * The request ended after an odd number of bytes on a wide bus: the padding goes to memory if there
 * is room, or to SWIDE.
 */
static bool receive_padding(LsiState *s, LsiTask *task)
{
    uint8_t pad = 0;

    task->padded = true;
    count_bus_bytes(s, 1);
    if (lsi_get24(s, LSI_DBC) == 0) {
        s->reg[LSI_SWIDE] = 0;
        s->reg[LSI_SCNTL2] |= SCNTL2_WSR;
        return true;
    }
    if (!move_memory(s, move_address(s), &pad, 1, true)) {
        return false;
    }
    advance(s, 1);
    return true;
}

static Piece receive_data(LsiState *s)
{
    LsiTask *task = s->con.task;
    ScsiRequest *req = task->req;
    size_t len;
    uint8_t *p;
    uint32_t n;

    if (req->state == SCSI_REQ_OFFER_IN) {
        if (!lsi_lend_in(s, task)) {
            scsi_req_fetch(req);
        }
    } else if (req->state == SCSI_REQ_DATA_IN) {
        p = scsi_req_buffer(req, &len);
        n = (uint32_t)MIN((size_t)lsi_get24(s, LSI_DBC), len);
        if (!move_memory(s, move_address(s), p, n, true)) {
            return PIECE_FAULT;
        }
        latch_received(s, p, n);
        advance(s, n);
        count_bus_bytes(s, n);
        task->moved = true;
        task->odd ^= n & 1;
        scsi_req_consume(req, n);
        if (req->state == SCSI_REQ_DONE && task->odd && lsi_target_wide(s) &&
            !receive_padding(s, task)) {
            return PIECE_FAULT;
        }
    }
    if (req->state != SCSI_REQ_DATA_IN) {
        lsi_target_data_step(s);
    }
    return PIECE_MOVED;
}

/* The byte in SWIDE is the first of a wide receive. */
static bool receive_swide(LsiState *s)
{
    uint8_t byte = s->reg[LSI_SWIDE];

    s->reg[LSI_SCNTL2] &= (uint8_t)~SCNTL2_WSR;
    if (!move_memory(s, move_address(s), &byte, 1, true)) {
        return false;
    }
    latch_received(s, &byte, 1);
    advance(s, 1);
    return true;
}

static Piece send_data(LsiState *s)
{
    LsiTask *task = s->con.task;
    ScsiRequest *req = task->req;
    bool chained = !(s->reg[LSI_DCMD] & 0x08);
    bool wide = lsi_target_wide(s);
    uint32_t count = lsi_get24(s, LSI_DBC);
    uint32_t held = 0;
    size_t len;
    uint8_t *p;
    uint32_t n;

    if (req->state != SCSI_REQ_DATA_OUT) {
        /* Its unit was unplugged. */
        lsi_target_data_step(s);
        return PIECE_MOVED;
    }
    p = scsi_req_buffer(req, &len);
    if ((s->reg[LSI_SCNTL2] & SCNTL2_WSS) && len > 0) {
        /* The byte kept from the move before goes first. */
        p[0] = s->reg[LSI_SODL];
        s->reg[LSI_SCNTL2] &= (uint8_t)~SCNTL2_WSS;
        held = 1;
    }
    n = (uint32_t)MIN((size_t)count, len - held);
    if (!move_memory(s, move_address(s), p + held, n, false)) {
        return PIECE_FAULT;
    }
    advance(s, n);
    task->moved = true;
    if (wide && chained && n == count && (task->odd ^ ((n + held) & 1))) {
        /* Half a pair is left at the end of a chained move: it waits in SODL for its partner. */
        s->reg[LSI_SODL] = p[held + n - 1];
        s->reg[LSI_SCNTL2] |= SCNTL2_WSS;
        held--; /* one byte less for the target; held may wrap, the sum below does not */
    }
    n += held;
    if (n == 0 && len > 0) {
        return PIECE_MOVED;
    }
    task->odd ^= n & 1;
    count_bus_bytes(s, n);
    scsi_req_consume(req, n);
    if (req->state != SCSI_REQ_DATA_OUT) {
        /* The target takes the padding of an odd transfer and throws it away. */
        if (wide && task->odd && !task->padded && req->moved >= req->xfer_len &&
            lsi_get24(s, LSI_DBC) > 0) {
            task->padded = true;
            advance(s, 1);
            count_bus_bytes(s, 1);
        }
        lsi_target_data_step(s);
    }
    return PIECE_MOVED;
}

/* DATA IN: what the device has read into lent memory is there; the move just counts it. */
static Piece retire_data(LsiState *s)
{
    uint32_t n = lsi_retire_in(s, s->con.task, move_address(s), lsi_get24(s, LSI_DBC));

    if (n == 0) {
        lsi_raise_dma(s, DSTAT_BF);
        return PIECE_FAULT;
    }
    advance(s, n);
    count_bus_bytes(s, n);
    s->con.task->moved = true;
    lsi_target_data_step(s);
    return PIECE_MOVED;
}

/* DATA OUT: lend the memory if the request takes it, else copy. */
static Piece collect_or_send(LsiState *s)
{
    LsiTask *task = s->con.task;
    bool fault = false;
    uint32_t n = lsi_collect_out(s, task, move_address(s), lsi_get24(s, LSI_DBC), &fault);

    if (fault) {
        lsi_raise_dma(s, DSTAT_BF);
        return PIECE_FAULT;
    }
    if (n == 0) {
        return send_data(s);
    }
    advance(s, n);
    count_bus_bytes(s, n);
    task->moved = true;
    if (task->req->state != SCSI_REQ_DATA_OUT) {
        lsi_target_data_step(s);
    }
    return PIECE_MOVED;
}

/* ---- the other phases ------------------------------------------------------------------------ */

static Piece send_bytes(LsiState *s)
{
    uint8_t buf[LSI_MSG_MAX];
    uint32_t count = lsi_get24(s, LSI_DBC);
    uint32_t n = MIN(count, (uint32_t)sizeof(buf));
    unsigned taken;

    if (!move_memory(s, move_address(s), buf, n, false)) {
        return PIECE_FAULT;
    }
    taken = lsi_target_take(s, buf, n);
    advance(s, taken);
    count_bus_bytes(s, taken);
    if (s->con.phase == LSI_MSG_OUT && (taken == count || taken < n)) {
        /*
         * The chip drops ATN/ with the last byte; a target whose buffer is full stops there as
         * well.
         */
        if (taken == count) {
            s->con.atn = false;
        }
        lsi_target_messages(s);
    }
    if (taken < n || taken == count) {
        lsi_target_step(s);
    }
    return PIECE_MOVED;
}

static Piece receive_byte(LsiState *s)
{
    LsiPhase phase = s->con.phase;
    uint8_t byte = lsi_target_give(s);

    if (!move_memory(s, move_address(s), &byte, 1, true)) {
        return PIECE_FAULT;
    }
    latch_received(s, &byte, 1);
    count_bus_bytes(s, 1);
    advance(s, 1);
    if (phase == LSI_MSG_IN) {
        /*
         * The chip leaves ACK/ asserted after the last byte of a move, so that the program can
         * raise ATN/ first.
         */
        s->con.ack = true;
        s->con.req = false;
        if (lsi_get24(s, LSI_DBC) > 0) {
            lsi_target_acknowledge(s);
        }
    } else {
        lsi_target_step(s);
    }
    return PIECE_MOVED;
}

/* ---- the instruction ------------------------------------------------------------------------- */

/* Address in memory of a table entry: DSA plus a signed 24-bit offset. */
static uint32_t table_entry(LsiState *s, uint32_t offset)
{
    return lsi_get32(s, LSI_DSA) + (uint32_t)((int32_t)(offset << 8) >> 8);
}

bool lsi_move_operand(LsiState *s, uint32_t insn, uint32_t dsps, uint32_t insn_addr,
                      hwaddr *ret_addr, uint32_t *ret_count)
{
    uint8_t entry[8];
    uint32_t upper = lsi_get32(s, LSI_SBMS);
    hwaddr where;

    *ret_count = insn & 0xffffff;
    if (insn & 0x10000000) {
        /* Table indirect: the entry has count and address. */
        where = (hwaddr)lsi_get32(s, LSI_DRS) << 32 | table_entry(s, dsps);
        if (!lsi_mem_read(s, where, entry, 8)) {
            return false;
        }
        *ret_count = pci_get_long(entry) & 0xffffff;
        if (s->reg[LSI_CCNTL1] & CCNTL1_EN64TIBMV) {
            /*
             * The highest byte of the count is the address's fifth byte, or names a register that
             * holds the upper half.
             */
            unsigned index = entry[3] & 0x1f;

            if (s->reg[LSI_CCNTL1] & CCNTL1_64TIMOD) {
                upper = entry[3];
            } else {
                upper = index < 16 ? lsi_get32(s, LSI_SCRATCHC + 4 * index) :
                        index < 22 ? lsi_get32(s, LSI_MMRS + 4 * (index - 16)) : 0;
            }
        }
        *ret_addr = (hwaddr)upper << 32 | pci_get_long(entry + 4);
        return true;
    }
    if (insn & 0x20000000) {
        where = (hwaddr)lsi_get32(s, LSI_SFS) << 32 | dsps;
        if (!lsi_mem_read(s, where, entry, 4)) {
            return false;
        }
        dsps = pci_get_long(entry);
    } else if (s->reg[LSI_CCNTL1] & CCNTL1_EN64DBMV) {
        /* 64-bit direct block move: a third dword follows. */
        where = (hwaddr)lsi_get32(s, LSI_SFS) << 32 | (uint32_t)(insn_addr + 8);
        if (!lsi_mem_read(s, where, entry, 4)) {
            return false;
        }
        upper = pci_get_long(entry);
    }
    *ret_addr = (hwaddr)upper << 32 | dsps;
    return true;
}

static bool decode(LsiState *s, uint32_t insn)
{
    uint32_t dsps = lsi_get32(s, LSI_DSPS);
    uint32_t count;
    hwaddr addr;

    if (!lsi_move_operand(s, insn, dsps, s->insn_addr, &addr, &count)) {
        lsi_raise_dma(s, DSTAT_BF);
        return false;
    }
    if (!(insn & 0x30000000) && (s->reg[LSI_CCNTL1] & CCNTL1_EN64DBMV)) {
        lsi_set32(s, LSI_DBMS, (uint32_t)(addr >> 32));
        lsi_set32(s, LSI_DSP, lsi_get32(s, LSI_DSP) + 4);
    }
    lsi_set32(s, LSI_DNAD, (uint32_t)addr);
    lsi_set32(s, LSI_DNAD64, (uint32_t)(addr >> 32));
    lsi_set24(s, LSI_DBC, count);
    lsi_set24(s, LSI_SBC, 0);
    /* For phase mismatches: where the move and its table entry stand. */
    lsi_set32(s, LSI_IA, s->insn_addr);
    lsi_set32(s, LSI_ESA, insn & 0x10000000 ? table_entry(s, dsps) : s->insn_addr);
    s->reg[LSI_SCNTL2] &= (uint8_t)~SCNTL2_CHM;
    if (!(insn & 0x08000000)) {
        s->reg[LSI_SCNTL2] |= SCNTL2_CHM;
    }
    s->move_first = true;
    s->decoded = true;
    return true;
}

/* The highest byte of RBC: of the table entry, or the instruction's own. */
static uint8_t rbc_top(LsiState *s, uint32_t insn)
{
    uint8_t entry[4];

    if (insn & 0x10000000 &&
        lsi_mem_read(s, (hwaddr)lsi_get32(s, LSI_DRS) << 32 | lsi_get32(s, LSI_ESA), entry, 4)) {
        return entry[3];
    }
    return (uint8_t)(insn >> 24);
}

static void phase_mismatch(LsiState *s, uint32_t insn)
{
    unsigned phase = insn >> 24 & 7;
    uint8_t ccntl0 = s->reg[LSI_CCNTL0];
    uint32_t left = lsi_get24(s, LSI_DBC);
    bool wsr = phase == LSI_DATA_IN && (s->reg[LSI_SCNTL2] & SCNTL2_WSR);
    bool second;

    trace_lsi_mismatch(s, s->insn_addr, phase, s->con.phase, left);
    /* A byte in SWIDE counts as received; UA is where it belongs. */
    if (!(ccntl0 & CCNTL0_ENPMJ) || (phase > LSI_DATA_IN && !(ccntl0 & CCNTL0_ENNDJ))) {
        lsi_raise_scsi(s, SIST0_MA, 0);
        return;
    }
    lsi_set32(s, LSI_RBC, (uint32_t)rbc_top(s, insn) << 24 | (left - wsr));
    lsi_set32(s, LSI_UA, lsi_get32(s, LSI_DNAD));
    if (ccntl0 & CCNTL0_PMJCTL) {
        second = phase & 1;
    } else {
        second = s->reg[LSI_SCNTL2] & SCNTL2_WSR;
    }
    lsi_set32(s, LSI_DSP, lsi_get32(s, second ? LSI_PMJAD2 : LSI_PMJAD1));
}

/*
 * SeaBIOS selects without ATN/ and sends IDENTIFY nevertheless; a target that was just selected
 * turns to MESSAGE OUT for it.
 */
static void adapt_to_seabios(LsiState *s, unsigned phase)
{
    LsiConnection *con = &s->con;

    if (phase == LSI_MSG_OUT && con->stage == LSI_STAGE_IDENTIFY && !con->with_atn &&
        con->phase == LSI_COMMAND) {
        con->phase = LSI_MSG_OUT;
    }
}

bool lsi_block_move(LsiState *s)
{
    uint32_t insn = lsi_get32(s, LSI_DBC);
    unsigned phase = insn >> 24 & 7;
    LsiConnection *con = &s->con;

    if (!s->decoded) {
        if (!decode(s, insn)) {
            return true;
        }
        /* A move implies that the program is done with the last message byte. */
        lsi_target_acknowledge(s);
    }
    while (s->running && lsi_get24(s, LSI_DBC) > 0) {
        bool wsr = phase == LSI_DATA_IN && (s->reg[LSI_SCNTL2] & SCNTL2_WSR);
        Piece piece;

        /* A byte in SWIDE alone fills a move of one byte, whatever the bus does. */
        if (wsr && lsi_get24(s, LSI_DBC) == 1) {
            if (!receive_swide(s)) {
                return true;
            }
            break;
        }
        if (con->state != LSI_BUS_CONNECTED || !con->req) {
            return false;
        }
        adapt_to_seabios(s, phase);
        if (con->phase != phase) {
            phase_mismatch(s, insn);
            return true;
        }
        if (wsr && !receive_swide(s)) {
            return true;
        }
        switch (phase) {
        case LSI_DATA_IN:
            piece = con->task->lent_left > 0 ? retire_data(s) : receive_data(s);
            break;
        case LSI_DATA_OUT:
            piece = collect_or_send(s);
            break;
        case LSI_COMMAND:
        case LSI_MSG_OUT:
            piece = send_bytes(s);
            break;
        default:
            piece = receive_byte(s);
            break;
        }
        if (piece == PIECE_FAULT) {
            return true;
        }
    }
    if (s->running && con->state == LSI_BUS_CONNECTED && con->stage == LSI_STAGE_TASK &&
        phase <= LSI_DATA_IN) {
        if (phase == LSI_DATA_IN && lsi_get24(s, LSI_SBC) > 0) {
            receive_residue(s, con->task);
        }
        lsi_target_step(s);
    }
    return true;
}
