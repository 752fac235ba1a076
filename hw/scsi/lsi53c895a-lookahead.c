/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: lending guest memory to requests, so that disk I/O needs no copy.
 *
 * Runs in: both.
 *
 * DATA OUT.  Each data move adds its memory to a list instead of copying it; when the request has
 * all bytes it asked for, the list is lent to it.  The device reads that memory a little later than
 * the move ended, but before the command does, which no driver can tell from a target with a large
 * buffer that disconnects.  A move that cannot be lent (the chip's own RAM, memory that is no RAM,
 * odd pieces on a wide bus) turns the request back to copying, what was collected included.
 *
 * DATA IN.  The device must know the memory before the data exist.  So at the first data move the
 * program is read ahead, without executing it, as long as block moves of the same phase follow;
 * their memory is lent, and the bus is kept (or given up) until the device is done.  Then each move
 * as it is executed is compared with the list: the same address, as always in practice, costs
 * nothing; another one (the program was changed, or went elsewhere) has its bytes copied there.  A
 * program that leaves out some of the moves read ahead finds their memory written nevertheless; no
 * known driver's does.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/* Moves read ahead; a scatter list of a common driver has up to 128 entries. */
#define SEGMENTS_MAX DMA_MAP_MAX

void lsi_lookahead_drop(LsiTask *task)
{
    if (task->collected) {
        dma_unmap(task->collected, 0);
        g_clear_pointer(&task->collected, g_free);
    }
    g_clear_pointer(&task->segments, g_free);
    task->segment_count = task->segment_pos = task->segment_off = 0;
    task->lent_left = 0;
    task->firsts_read = false;
}

/* Adds a piece to MAP and to the list of TASK; false: it cannot be lent. */
static bool add_segment(LsiState *s, LsiTask *task, DmaMap *map, hwaddr addr, uint32_t len)
{
    if (task->segment_count == SEGMENTS_MAX || lsi_addr_is_own(s, addr, len) ||
        ((len & 1) && lsi_target_wide(s)) || !dma_map_add(map, addr, len)) {
        return false;
    }
    if (!task->segments) {
        task->segments = g_new(LsiSegment, SEGMENTS_MAX);
    }
    task->segments[task->segment_count++] = (LsiSegment) { .addr = addr, .len = len };
    return true;
}

static DmaMap *new_map(LsiState *s, DmaDirection direction)
{
    DmaMap *map = g_new(DmaMap, 1);

    dma_map_init(map, &s->pci.dma, direction);
    return map;
}

/* ---- DATA OUT -------------------------------------------------------------------------------- */

/* Copies what was collected into the request's buffer; false: bus fault. */
static bool copy_collected(LsiState *s, LsiTask *task)
{
    bool ok = true;
    size_t done = 0;
    size_t room;
    uint8_t *p = scsi_req_buffer(task->req, &room);

    for (unsigned i = 0; ok && i < task->segment_count; i++) {
        const LsiSegment *seg = &task->segments[i];

        ok = lsi_mem_read(s, seg->addr, p + done, seg->len);
        done += seg->len;
    }
    lsi_lookahead_drop(task);
    if (ok && done > 0) {
        scsi_req_consume(task->req, done);
    }
    return ok;
}

uint32_t lsi_collect_out(LsiState *s, LsiTask *task, hwaddr addr, uint32_t len, bool *ret_fault)
{
    ScsiRequest *req = task->req;
    unsigned granule = scsi_req_direct_granule(req);
    DmaMap *map = task->collected;
    uint32_t n;

    if (!map) {
        if (req->state != SCSI_REQ_DATA_OUT || granule == 0 || req->data_len % granule ||
            (s->reg[LSI_SCNTL2] & SCNTL2_WSS)) {
            return 0;
        }
        map = task->collected = new_map(s, DMA_TO_DEVICE);
    } else if (req->state != SCSI_REQ_DATA_OUT) {
        /* Its unit was unplugged. */
        lsi_lookahead_drop(task);
        return 0;
    }
    n = (uint32_t)MIN((uint64_t)len, req->data_len - map->size);
    if (!add_segment(s, task, map, addr, n)) {
        *ret_fault = !copy_collected(s, task);
        return 0;
    }
    if (map->size == req->data_len) {
        trace_lsi_lend(s, task->id, map->size, task->segment_count);
        task->collected = NULL;
        lsi_lookahead_drop(task);
        scsi_req_direct(req, map);
    }
    return n;
}

/* ---- DATA IN --------------------------------------------------------------------------------- */

/* Cuts MAP and the list down to SIZE bytes, by building them anew. */
static bool cut(LsiState *s, LsiTask *task, DmaMap *map, uint64_t size)
{
    unsigned count = task->segment_count;
    uint64_t left = size;

    dma_unmap(map, 0);
    task->segment_count = 0;
    for (unsigned i = 0; i < count && left > 0; i++) {
        LsiSegment seg = task->segments[i];

        seg.len = (uint32_t)MIN((uint64_t)seg.len, left);
        if (!add_segment(s, task, map, seg.addr, seg.len)) {
            return false;
        }
        left -= seg.len;
    }
    return left == 0;
}

/* Adds the moves that follow the one being executed, up to SIZE bytes in all. */
static void read_ahead(LsiState *s, LsiTask *task, DmaMap *map, uint64_t size)
{
    uint32_t dsp = lsi_get32(s, LSI_DSP);

    while (map->size < size) {
        hwaddr at = (hwaddr)lsi_get32(s, LSI_SFS) << 32 | dsp;
        uint8_t raw[8];
        uint32_t insn, count;
        hwaddr addr;

        if (lsi_addr_is_registers(s, at, 8) || !lsi_mem_read(s, at, raw, 8)) {
            return;
        }
        insn = pci_get_long(raw);
        if ((insn >> 30) != 0 || (insn >> 24 & 7) != LSI_DATA_IN ||
            !lsi_move_operand(s, insn, pci_get_long(raw + 4), dsp, &addr, &count) || count == 0 ||
            !add_segment(s, task, map, addr, (uint32_t)MIN((uint64_t)count, size - map->size))) {
            return;
        }
        dsp += !(insn & 0x30000000) && (s->reg[LSI_CCNTL1] & CCNTL1_EN64DBMV) ? 12 : 8;
    }
}

bool lsi_lend_in(LsiState *s, LsiTask *task)
{
    ScsiRequest *req = task->req;
    unsigned granule = scsi_req_direct_granule(req);
    hwaddr addr = (hwaddr)lsi_get32(s, LSI_DNAD64) << 32 | lsi_get32(s, LSI_DNAD);
    uint32_t first = (uint32_t)MIN((size_t)lsi_get24(s, LSI_DBC), req->data_len);
    uint64_t whole;
    DmaMap *map;

    if (granule == 0 || (s->reg[LSI_SCNTL2] & SCNTL2_WSR)) {
        return false;
    }
    map = new_map(s, DMA_FROM_DEVICE);
    if (add_segment(s, task, map, addr, first)) {
        read_ahead(s, task, map, req->data_len);
    }
    whole = map->size - map->size % granule;
    if (whole == 0 || (whole != map->size && !cut(s, task, map, whole))) {
        dma_unmap(map, 0);
        g_free(map);
        lsi_lookahead_drop(task);
        return false;
    }
    trace_lsi_lend(s, task->id, map->size, task->segment_count);
    task->lent_left = map->size;
    scsi_req_direct(req, map);
    return true;
}

/* Moves LEN bytes from where they were read to where the program wants them now. */
static bool relocate(LsiState *s, hwaddr from, hwaddr to, uint32_t len)
{
    uint8_t buf[4096];

    while (len > 0) {
        uint32_t n = MIN(len, (uint32_t)sizeof(buf));

        if (lsi_addr_is_registers(s, to, n) || !lsi_mem_read(s, from, buf, n) ||
            !lsi_mem_write(s, to, buf, n)) {
            return false;
        }
        from += n;
        to += n;
        len -= n;
    }
    return true;
}

/* Reads the first bytes of all segments that are left: where memory is not mapped, one look is as dear as many. */
static bool read_firsts(LsiState *s, LsiTask *task)
{
    unsigned count = task->segment_count - task->segment_pos;
    LsiSegment *left = task->segments + task->segment_pos;
    hwaddr addrs[SEGMENTS_MAX] = { 0 };
    uint8_t bytes[SEGMENTS_MAX];

    for (unsigned i = 0; i < count; i++) {
        addrs[i] = left[i].addr;
    }
    if (dma_read_bytes(&s->pci.dma, addrs, bytes, count) != MEM_OK) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        left[i].first = bytes[i];
    }
    task->firsts_read = true;
    return true;
}

/* The byte at ADDR, which a move of the next segment has begun with. */
static bool first_byte(LsiState *s, LsiTask *task, hwaddr addr, uint8_t *ret)
{
    if (task->segment_off == 0 && task->segments[task->segment_pos].addr == addr &&
        (task->firsts_read || read_firsts(s, task))) {
        *ret = task->segments[task->segment_pos].first;
        return true;
    }
    return lsi_mem_read(s, addr, ret, 1);
}

uint32_t lsi_retire_in(LsiState *s, LsiTask *task, hwaddr addr, uint32_t len)
{
    const LsiSegment *seg = &task->segments[task->segment_pos];
    hwaddr from = seg->addr + task->segment_off;
    uint32_t n = MIN(len, seg->len - task->segment_off);
    uint8_t byte;

    if (from != addr && !relocate(s, from, addr, n)) {
        return 0;
    }
    if (s->move_first && first_byte(s, task, addr, &byte)) {
        s->reg[LSI_SFBR] = byte;
        s->move_first = false;
    }
    task->segment_off += n;
    task->lent_left -= n;
    if (task->segment_off == seg->len) {
        task->segment_off = 0;
        task->segment_pos++;
    }
    if (task->lent_left == 0) {
        lsi_lookahead_drop(task);
    }
    return n;
}
