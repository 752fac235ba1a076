/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: every address that SCRIPTS name goes through here.
 *
 * Runs in: both.
 *
 * The chip may be told to use its own BARs as memory: drivers run SCRIPTS from its RAM, move data
 * into it, and (older ones) move memory to its registers.  These accesses are resolved here,
 * without the bus, so they can neither re-enter the device nor deadlock; a register write made this
 * way never starts a nested SCRIPTS run (LsiState.in_slice).  Block moves to and from registers are
 * refused by their caller: a reset written in the middle would end the command being moved. All
 * other addresses go to the DMA choke point, which reaches RAM only.
 */
#include "hw/scsi/lsi53c895a-int.h"

/* One range of addresses and what is there. */
typedef enum Place {
    PLACE_BUS,
    PLACE_RAM,
    PLACE_REGISTERS,
} Place;

/* Where ADDR lies in BAR, or false. */
static bool in_bar(const PciBar *bar, hwaddr addr, uint64_t *ret_offset)
{
    if (bar->addr == PCI_BAR_UNMAPPED || addr < bar->addr || addr - bar->addr >= bar->size) {
        return false;
    }
    *ret_offset = addr - bar->addr;
    return true;
}

/* The place of ADDR; *len is lowered to the bytes of the access that lie in the same place. */
static Place locate(LsiState *s, hwaddr addr, uint32_t *len, uint64_t *ret_offset)
{
    static const struct {
        unsigned bar;
        Place place;
    } own[] = { { 2, PLACE_RAM }, { 1, PLACE_REGISTERS } };
    uint64_t max = *len;

    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        const PciBar *bar = &s->pci.bars[own[i].bar];

        if (in_bar(bar, addr, ret_offset)) {
            *len = (uint32_t)MIN((uint64_t)*len, bar->size - *ret_offset);
            return own[i].place;
        }
        /* The access may run into the BAR later on. */
        if (bar->addr != PCI_BAR_UNMAPPED && bar->addr > addr && bar->addr - addr < max) {
            max = bar->addr - addr;
        }
    }
    *len = (uint32_t)max;
    *ret_offset = 0;
    return PLACE_BUS;
}

bool lsi_addr_is_own(LsiState *s, hwaddr addr, uint32_t len)
{
    uint32_t part = len;
    uint64_t offset;

    return locate(s, addr, &part, &offset) != PLACE_BUS || part != len;
}

bool lsi_addr_is_registers(LsiState *s, hwaddr addr, uint32_t len)
{
    const PciBar *bar = &s->pci.bars[1];

    if (bar->addr == PCI_BAR_UNMAPPED || len == 0) {
        return false;
    }
    return addr < bar->addr ? bar->addr - addr < len : addr - bar->addr < bar->size;
}

static void registers_read(LsiState *s, uint64_t offset, uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        p[i] = lsi_reg_read(s, (unsigned)(offset + i));
    }
    lsi_irq_settle(s);
}

static void registers_write(LsiState *s, uint64_t offset, const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        lsi_reg_write(s, (unsigned)(offset + i), p[i]);
    }
    lsi_irq_settle(s);
}

bool lsi_mem_read(LsiState *s, hwaddr addr, void *buf, uint32_t len)
{
    uint8_t *p = buf;
    bool ok = true;

    while (len > 0) {
        uint32_t part = len;
        uint64_t offset;

        switch (locate(s, addr, &part, &offset)) {
        case PLACE_RAM:
            memcpy(p, s->ram + offset, part);
            break;
        case PLACE_REGISTERS:
            registers_read(s, offset, p, part);
            break;
        case PLACE_BUS:
            ok = dma_read(&s->pci.dma, addr, p, part) == MEM_OK && ok;
            break;
        }
        p += part;
        addr += part;
        len -= part;
    }
    return ok;
}

bool lsi_mem_write(LsiState *s, hwaddr addr, const void *buf, uint32_t len)
{
    const uint8_t *p = buf;
    bool ok = true;

    while (len > 0 && ok) {
        uint32_t part = len;
        uint64_t offset;

        switch (locate(s, addr, &part, &offset)) {
        case PLACE_RAM:
            memcpy(s->ram + offset, p, part);
            break;
        case PLACE_REGISTERS:
            registers_write(s, offset, p, part);
            break;
        case PLACE_BUS:
            ok = dma_write(&s->pci.dma, addr, p, part) == MEM_OK;
            break;
        }
        p += part;
        addr += part;
        len -= part;
    }
    return ok;
}

/* True when all of [addr, addr + len) is in BAR 0. */
static bool in_io_bar(LsiState *s, hwaddr addr, uint32_t len, uint64_t *ret_offset)
{
    const PciBar *bar = &s->pci.bars[0];

    return in_bar(bar, addr, ret_offset) && len <= bar->size - *ret_offset;
}

bool lsi_io_read(LsiState *s, hwaddr addr, void *buf, uint32_t len)
{
    uint64_t offset;

    if (!in_io_bar(s, addr, len, &offset)) {
        memset(buf, 0xff, len);
        return false;
    }
    registers_read(s, offset, buf, len);
    return true;
}

bool lsi_io_write(LsiState *s, hwaddr addr, const void *buf, uint32_t len)
{
    uint64_t offset;

    if (!in_io_bar(s, addr, len, &offset)) {
        return false;
    }
    registers_write(s, offset, buf, len);
    return true;
}
