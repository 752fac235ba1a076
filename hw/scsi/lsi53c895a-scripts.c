/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: the SCRIPTS processor (data sheet chapter 5), all instructions but block moves.
 *
 * Runs in: both.
 *
 * Theory of operation.  lsi_scripts_run() executes instructions from DSP on until one of these ends
 * the slice:
 *   - `running` goes false: an interrupt condition stopped the processor;
 *   - `suspended` goes true: the instruction waits for the bus; a later lsi_kick() executes it
 *   again from DCMD, DBC and DSPS, without a new fetch (DSP points behind it all the time, as
 *   drivers expect when they look);
 *   - LSI_SLICE instructions were executed: the rest follows in the event loop's next turn, so
 *   neither an endless loop nor a long program keeps the link or other devices waiting.
 *
 * An instruction function returns false when it has to wait.  Interrupts are raised by
 * lsi_raise_dma(), which clears `running`.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/* Bytes a memory move copies per unit of the slice's budget. */
#define MEMORY_MOVE_STEP 4096u

static uint32_t sign_extend24(uint32_t value)
{
    return (value & 0x800000) ? value | 0xff000000 : value & 0xffffff;
}

/* Address in SCRIPTS' own 4 GiB segment. */
static hwaddr segment(LsiState *s, unsigned selector, uint32_t low)
{
    return (hwaddr)lsi_get32(s, selector) << 32 | low;
}

/* Reads the next COUNT (1 or 2) dwords of the program and moves DSP behind them. */
static bool fetch(LsiState *s, uint32_t *ret_words, unsigned count)
{
    uint32_t dsp = lsi_get32(s, LSI_DSP);
    uint8_t buf[8];

    if (!lsi_mem_read(s, segment(s, LSI_SFS, dsp), buf, 4 * count)) {
        lsi_raise_dma(s, DSTAT_BF);
        return false;
    }
    lsi_set32(s, LSI_DSP, dsp + 4 * count);
    for (unsigned i = 0; i < count; i++) {
        ret_words[i] = pci_get_long(buf + 4 * i);
    }
    return true;
}

/* ---- I/O instructions ------------------------------------------------------------------------ */

/* Jump address of SELECT and WAIT RESELECT: absolute or relative to the next instruction. */
static uint32_t alternate(LsiState *s, uint32_t insn)
{
    uint32_t dsps = lsi_get32(s, LSI_DSPS);

    return insn & 0x04000000 ? lsi_get32(s, LSI_DSP) + sign_extend24(dsps) : dsps;
}

static bool do_select(LsiState *s, uint32_t insn)
{
    unsigned id = (insn >> 16) & 0xf;

    /*
     * A program may start its next command before it acknowledged the last one's COMMAND COMPLETE
     * (SeaBIOS does): arbitration implies that the chip let go of ACK/.
     */
    if (s->con.state == LSI_BUS_CONNECTED && s->con.ack && s->con.stage == LSI_STAGE_COMPLETE) {
        s->reg[LSI_SCNTL2] &= (uint8_t)~SCNTL2_SDU;
        lsi_target_acknowledge(s);
    }
    /*
     * Reselected before or instead of winning arbitration: the program goes to its alternate
     * address.
     */
    if (s->con.state == LSI_BUS_CONNECTED || lsi_target_reselect(s)) {
        lsi_set32(s, LSI_DSP, alternate(s, insn));
        return true;
    }
    if (insn & 0x02000000) {
        uint8_t entry[4];
        hwaddr addr = segment(s, LSI_DRS, lsi_get32(s, LSI_DSA) + sign_extend24(insn));

        if (!lsi_mem_read(s, addr, entry, 4)) {
            lsi_raise_dma(s, DSTAT_BF);
            return true;
        }
        s->reg[LSI_SXFER] = entry[1];
        s->reg[LSI_SCNTL3] = entry[3];
        id = entry[2] & 0xf;
    }
    s->reg[LSI_SDID] = (uint8_t)id;
    /*
     * The program goes on while selection is in progress, and waits at its next look at the bus.
     * For an absent target that is where it stands when the time-out comes.
     */
    if (!lsi_target_select(s, id, insn & 0x01000000)) {
        trace_lsi_select_absent(s, id);
    }
    return true;
}

static bool do_wait_disconnect(LsiState *s, uint32_t insn)
{
    if (s->con.state == LSI_BUS_CONNECTED && s->con.ack) {
        lsi_target_acknowledge(s);
    }
    return s->con.state != LSI_BUS_CONNECTED;
}

static bool do_wait_reselect(LsiState *s, uint32_t insn)
{
    if (s->con.state == LSI_BUS_CONNECTED || lsi_target_reselect(s)) {
        return true;
    }
    if (s->reg[LSI_ISTAT0] & ISTAT0_SIGP) {
        lsi_set32(s, LSI_DSP, alternate(s, insn));
        return true;
    }
    return false;
}

static bool do_set_clear(LsiState *s, uint32_t insn)
{
    bool set = (insn >> 27 & 7) == 3;

    if (insn & 0x400) {
        s->carry = set;
    }
    if (insn & 0x200) {
        s->reg[LSI_SCNTL0] = (uint8_t)((s->reg[LSI_SCNTL0] & ~SCNTL0_TRG) | (set ? SCNTL0_TRG : 0));
    }
    if (s->con.state == LSI_BUS_FREE) {
        return true;
    }
    if (insn & 0x08) {
        s->con.atn = set;
        if (set && s->con.state == LSI_BUS_CONNECTED && !s->con.ack) {
            lsi_target_step(s);
        }
    }
    if ((insn & 0x40) && !set && s->con.ack) {
        lsi_target_acknowledge(s);
    }
    return true;
}

static bool io_insn(LsiState *s, uint32_t insn)
{
    static bool (*const table[5])(LsiState *s, uint32_t insn) = {
        do_select, do_wait_disconnect, do_wait_reselect, do_set_clear, do_set_clear,
    };

    /* Target mode is not offered: nobody on this bus selects the chip. */
    if (s->reg[LSI_SCNTL0] & SCNTL0_TRG && (insn >> 27 & 7) < 3) {
        lsi_raise_dma(s, DSTAT_IID);
        return true;
    }
    return table[insn >> 27 & 7](s, insn);
}

/* ---- read-modify-write ----------------------------------------------------------------------- */

static uint8_t operate(LsiState *s, unsigned op, uint8_t value, uint8_t data)
{
    unsigned result;

    switch (op) {
    case 0:
        return data;
    case 1: /* the carry is shifted in, the bit shifted out becomes the carry */
        result = (unsigned)value << 1 | s->carry;
        s->carry = value >> 7;
        return (uint8_t)result;
    case 2:
        return value | data;
    case 3:
        return value ^ data;
    case 4:
        return value & data;
    case 5:
        result = (unsigned)value >> 1 | (unsigned)s->carry << 7;
        s->carry = value & 1;
        return (uint8_t)result;
    default: /* 6: add, 7: add with carry */
        result = (unsigned)value + data + (op == 7 && s->carry);
        s->carry = result > 0xff;
        return (uint8_t)result;
    }
}

static bool rmw_insn(LsiState *s, uint32_t insn)
{
    unsigned reg = (insn >> 16 & 0x7f) | (insn & 0x80);
    /* 5: SFBR to register, 6: register to SFBR, 7: register to itself. */
    unsigned kind = insn >> 27 & 7;
    unsigned op = insn >> 24 & 7;
    uint8_t data = insn & 0x00800000 ? s->reg[LSI_SFBR] : (uint8_t)(insn >> 8);
    uint8_t value = 0;

    if (kind == 5) {
        value = s->reg[LSI_SFBR];
    } else if (op != 0) {
        value = lsi_reg_read(s, reg);
    }
    value = operate(s, op, value, data);
    if (kind == 6) {
        s->reg[LSI_SFBR] = value;
    } else {
        lsi_reg_write(s, reg, value);
    }
    lsi_irq_settle(s);
    return true;
}

/* ---- transfer control ------------------------------------------------------------------------ */

static bool transfer_control(LsiState *s, uint32_t insn)
{
    bool want = insn & 0x00080000;
    bool cond = true;
    uint32_t addr = lsi_get32(s, LSI_DSPS);

    if (insn & 0x00200000) {
        cond = s->carry;
    }
    if (insn & 0x00020000) {
        /* WHEN waits for REQ/; IF looks at the lines as they are. */
        if ((insn & 0x00010000) && !(s->con.state == LSI_BUS_CONNECTED && s->con.req)) {
            return false;
        }
        cond = cond && s->con.state == LSI_BUS_CONNECTED && s->con.phase == (insn >> 24 & 7);
    }
    if (insn & 0x00040000) {
        uint8_t mask = (uint8_t)~(insn >> 8);

        cond = cond && (s->reg[LSI_SFBR] & mask) == (insn & mask);
    }
    if (cond != want) {
        return true;
    }
    if (insn & 0x00800000) {
        addr = lsi_get32(s, LSI_DSP) + sign_extend24(addr);
    }
    switch (insn >> 27 & 7) {
    case 1:
        lsi_set32(s, LSI_TEMP, lsi_get32(s, LSI_DSP));
        /* fall through */
    case 0:
        lsi_set32(s, LSI_DSP, addr);
        break;
    case 2:
        lsi_set32(s, LSI_DSP, lsi_get32(s, LSI_TEMP));
        break;
    case 3:
        if (insn & 0x00100000) {
            s->reg[LSI_ISTAT0] |= ISTAT0_INTF;
            lsi_irq_settle(s);
        } else {
            lsi_raise_dma(s, DSTAT_SIR);
        }
        break;
    default:
        lsi_raise_dma(s, DSTAT_IID);
        break;
    }
    return true;
}

/* A 64-bit jump's third dword replaces the segment of SCRIPTS (SFS) when the jump is taken. */
static bool transfer_control_64(LsiState *s, uint32_t insn)
{
    uint32_t before, upper;

    /* A suspended WHEN has fetched it already; it stands in DNAD64 meanwhile. */
    if (!s->decoded) {
        if (!fetch(s, &upper, 1)) {
            return true;
        }
        lsi_set32(s, LSI_DNAD64, upper);
        s->decoded = true;
    }
    before = lsi_get32(s, LSI_DSP);
    if (!transfer_control(s, insn)) {
        return false;
    }
    if (s->running && lsi_get32(s, LSI_DSP) != before) {
        lsi_set32(s, LSI_SFS, lsi_get32(s, LSI_DNAD64));
    }
    return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool memory_move(LsiState *s, uint32_t insn)
{
    uint32_t count = insn & 0xffffff;
    uint32_t src = lsi_get32(s, LSI_DSPS);
    uint32_t dst;
    uint8_t buf[MEMORY_MOVE_STEP];

    if (!fetch(s, &dst, 1)) {
        return true;
    }
    if (count == 0) {
        lsi_raise_dma(s, DSTAT_IID);
        return true;
    }
    /*
     * A write into the chip's own registers may stop SCRIPTS or reset the chip: that ends the move.
     */
    while (count > 0 && s->running) {
        uint32_t n = MIN(count, (uint32_t)sizeof(buf));
        uint8_t dmode = s->reg[LSI_DMODE];
        hwaddr from = segment(s, LSI_MMRS, src);
        hwaddr to = segment(s, LSI_MMWS, dst);
        bool ok;

        ok = dmode & DMODE_SIOM ? lsi_io_read(s, src, buf, n) : lsi_mem_read(s, from, buf, n);
        ok = ok &&
             (dmode & DMODE_DIOM ? lsi_io_write(s, dst, buf, n) : lsi_mem_write(s, to, buf, n));
        if (!ok) {
            lsi_raise_dma(s, DSTAT_BF);
            break;
        }
        src += n;
        dst += n;
        count -= n;
        s->budget--;
    }
    if (s->running) {
        /* As the chip leaves them: DBC counted down, TEMP holds the destination. */
        lsi_set24(s, LSI_DBC, 0);
        lsi_set32(s, LSI_TEMP, dst);
    }
    return true;
}

static bool load_store(LsiState *s, uint32_t insn)
{
    bool load = insn & 0x01000000;
    bool relative = insn & 0x10000000;
    unsigned reg = insn >> 16 & 0xff;
    unsigned count = insn & 7;
    uint32_t dsps = lsi_get32(s, LSI_DSPS);
    uint32_t low = relative ? lsi_get32(s, LSI_DSA) + sign_extend24(dsps) : dsps;
    hwaddr addr = segment(s, relative ? LSI_DRS : load ? LSI_MMRS : LSI_MMWS, low);
    uint8_t buf[4];
    bool ok;

    /*
     * One to four bytes inside one dword, equally aligned on both sides; never memory that is the
     * chip's registers.
     */
    if (count == 0 || (reg & 3) + count > 4 || (reg & 3) != (low & 3) ||
        lsi_addr_is_registers(s, addr, count)) {
        lsi_raise_dma(s, DSTAT_IID);
        return true;
    }
    if (load) {
        ok = lsi_mem_read(s, addr, buf, count);
        for (unsigned i = 0; ok && i < count; i++) {
            lsi_reg_write(s, reg + i, buf[i]);
        }
    } else {
        for (unsigned i = 0; i < count; i++) {
            buf[i] = lsi_reg_read(s, reg + i);
        }
        ok = lsi_mem_write(s, addr, buf, count);
    }
    if (!ok) {
        lsi_raise_dma(s, DSTAT_BF);
    }
    lsi_irq_settle(s);
    return true;
}

/* ---- the processor --------------------------------------------------------------------------- */

static bool execute(LsiState *s)
{
    uint32_t insn = lsi_get32(s, LSI_DBC); /* DCMD is its highest byte */

    switch (insn >> 29) {
    case 0:
    case 1:
        return lsi_block_move(s);
    case 2:
    case 3:
        return (insn >> 27 & 7) < 5 ? io_insn(s, insn) : rmw_insn(s, insn);
    case 4:
    case 5:
        return insn & 0x00400000 ? transfer_control_64(s, insn) : transfer_control(s, insn);
    case 6:
        return memory_move(s, insn);
    default:
        return load_store(s, insn);
    }
}

/* Fetches the next instruction into DCMD, DBC and DSPS. */
static bool fetch_insn(LsiState *s)
{
    uint32_t words[2];

    s->insn_addr = lsi_get32(s, LSI_DSP);
    if (!fetch(s, words, 2)) {
        return false;
    }
    lsi_set32(s, LSI_DBC, words[0]);
    lsi_set32(s, LSI_DSPS, words[1]);
    s->decoded = false;
    trace_lsi_insn(s, s->insn_addr, words[0], words[1]);
    return true;
}

void lsi_scripts_run(LsiState *s)
{
    if (s->in_slice) {
        return;
    }
    s->in_slice = true;
    s->budget = LSI_SLICE;
    lsi_target_yield(s);
    while (s->running && s->budget-- > 0) {
        if (!s->suspended && !fetch_insn(s)) {
            break;
        }
        /*
         * Cleared before, so that an instruction that changes DSP or stops the processor through a
         * register is not executed a second time.
         */
        s->suspended = false;
        if (!execute(s)) {
            s->suspended = true;
            break;
        }
        if (s->running && (s->reg[LSI_DCNTL] & DCNTL_SSM)) {
            lsi_raise_dma(s, DSTAT_SSI);
        }
    }
    s->in_slice = false;
    if (s->running && !s->suspended) {
        lsi_kick(s);
    }
    /*
     * A target that does not answer is found missing once the program waits for it, or after a full
     * slice.
     */
    if (s->con.state == LSI_BUS_SELECTING) {
        event_bh_schedule(s->select_bh);
    }
    lsi_hth_timer_update(s);
}

void lsi_scripts_start(LsiState *s)
{
    s->running = true;
    s->suspended = false;
    lsi_kick(s);
}

void lsi_scripts_stop(LsiState *s)
{
    s->running = false;
    s->suspended = false;
}
