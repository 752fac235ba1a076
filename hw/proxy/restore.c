/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: gives a new remote the header registers that the guest has programmed.
 *
 * Runs in: mpqemu; the worker of a connection that is being attached.
 *
 * The local copy of the header does not change meanwhile but by a reset, since a guest's config writes are dropped.  A
 * reset of before is sent besides the one of each attachment, which is none for a device that was made with something
 * to tell the driver of before (bus-reset-pending of lsi53c895a).  One that comes later stays posted, and is sent
 * before the first access; it takes back what was written here, on both sides.
 *
 * QEMU as a remote resets its device once more at the end of its own start-up, and answers before (probe.c).  So
 * what was written is read back after a pause, and written again when it is gone.
 */
#include <string.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/machine-lock.h"

#define ROUNDS_MAX 4
#define PAUSE_US 2000

typedef struct HeaderRegister {
    unsigned addr, len;
    uint32_t value;
    uint32_t check; /* the bits that must read back; others may be fixed in the remote */
} HeaderRegister;

/* Command twice, 6 BARs, ROM, cache line size, latency timer, interrupt line. */
#define REGISTERS_MAX 12

typedef struct HeaderRegisters {
    HeaderRegister list[REGISTERS_MAX]; /* in the order of writing */
    unsigned count;
} HeaderRegisters;

static void add(HeaderRegisters *regs, unsigned addr, unsigned len, uint32_t value, uint32_t check)
{
    regs->list[regs->count++] = (HeaderRegister) { addr, len, value, check };
}

/* BAR I; returns the bit of the command register that it hears. */
static uint16_t add_bar(HeaderRegisters *regs, const uint8_t *header, const ProxyShape *shape, unsigned i)
{
    unsigned addr = i == PCI_ROM_SLOT ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * i;
    uint64_t mask = ~(shape->bars[i].size - 1);
    uint8_t type = shape->bars[i].type;
    uint32_t value = pci_get_long(header + addr);

    if (shape->bars[i].size == 0) {
        return 0;
    }
    if (i == PCI_ROM_SLOT) {
        add(regs, addr, 4, value, (uint32_t)mask | PCI_ROM_ADDRESS_ENABLE);
        return PCI_COMMAND_MEMORY;
    }
    if (type & PCI_BASE_ADDRESS_SPACE_IO) {
        add(regs, addr, 4, value, mask & 0xffff); /* the upper half may be fixed at 0 */
        return PCI_COMMAND_IO;
    }
    add(regs, addr, 4, value, mask);
    if (type & PCI_BASE_ADDRESS_MEM_TYPE_64) {
        add(regs, addr + 4, 4, pci_get_long(header + addr + 4), mask >> 32);
    }
    return PCI_COMMAND_MEMORY;
}

/* BARs first, while nothing is decoded; command last. */
static void collect(HeaderRegisters *regs, const uint8_t *header, const ProxyShape *shape)
{
    uint16_t decoded = 0;

    regs->count = 0;
    add(regs, PCI_COMMAND, 2, 0, 0);
    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        decoded |= add_bar(regs, header, shape, i);
    }
    add(regs, PCI_CACHE_LINE_SIZE, 1, header[PCI_CACHE_LINE_SIZE], 0);
    add(regs, PCI_LATENCY_TIMER, 1, header[PCI_LATENCY_TIMER], 0);
    /* PCI 3.0 section 6.2.4: functions with an interrupt pin have all 8 bits. */
    add(regs, PCI_INTERRUPT_LINE, 1, header[PCI_INTERRUPT_LINE], shape->interrupt_pin ? 0xff : 0);
    add(regs, PCI_COMMAND, 2, pci_get_word(header + PCI_COMMAND), decoded);
}

static bool write_all(ProxyConn *conn, const HeaderRegisters *regs, GError **errp)
{
    for (unsigned i = 0; i < regs->count; i++) {
        const HeaderRegister *reg = &regs->list[i];

        if (!proxy_conn_config_write(conn, reg->addr, reg->len, reg->value, errp)) {
            return false;
        }
    }
    return true;
}

/* Reads back; *ret_lost is the first register that does not hold what was written, or NULL. */
static bool check_all(ProxyConn *conn, const HeaderRegisters *regs, const HeaderRegister **ret_lost, GError **errp)
{
    *ret_lost = NULL;
    for (unsigned i = 0; i < regs->count && *ret_lost == NULL; i++) {
        const HeaderRegister *reg = &regs->list[i];
        uint32_t value;

        if (reg->check == 0) {
            continue;
        }
        if (!proxy_conn_config_read(conn, reg->addr, reg->len, &value, errp)) {
            return false;
        }
        if ((value ^ reg->value) & reg->check) {
            *ret_lost = reg;
        }
    }
    return true;
}

/*
 * The local copy's header, with which the posted reset is to be done; *ret_was_reset: there is one.  False: the
 * connection is not wanted any more.
 */
static bool take_header(ProxyConn *conn, uint8_t header[PCI_STD_HEADER_SIZEOF], bool *ret_was_reset)
{
    PciProxyDev *proxy = conn->proxy;
    bool wanted;

    machine_lock();
    wanted = proxy->next == conn;
    if (wanted) {
        memcpy(header, proxy->pci.config, PCI_STD_HEADER_SIZEOF);
        pthread_mutex_lock(&proxy->pending_lock);
        *ret_was_reset = proxy->pending & PROXY_WORK_RESET;
        proxy->pending &= ~PROXY_WORK_RESET;
        proxy->resets_done = proxy->resets_asked; /* by reset(), before the device is READY */
        pthread_mutex_unlock(&proxy->pending_lock);
    }
    machine_unlock();
    return wanted;
}

static bool reset(ProxyConn *conn, GError **errp)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_DEVICE_RESET };
    uint64_t value;

    trace_proxy_reset(conn->proxy->name);
    if (!proxy_conn_call(conn, &msg, &value)) {
        error_setg(errp, "the remote does not answer: %s", proxy_conn_reason(conn));
        return false;
    }
    PROXY_COUNT(conn->proxy, resets);
    return true;
}

bool proxy_restore(ProxyConn *conn, GError **errp)
{
    uint8_t header[PCI_STD_HEADER_SIZEOF];
    const HeaderRegister *lost = NULL;
    HeaderRegisters regs;
    bool was_reset = false;

    if (!take_header(conn, header, &was_reset)) {
        error_setg(errp, "the attachment was given up");
        return false;
    }
    collect(&regs, header, &conn->proxy->shape);
    if (!reset(conn, errp) || (was_reset && !reset(conn, errp))) {
        return false;
    }
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        if (!write_all(conn, &regs, errp)) {
            return false;
        }
        g_usleep(PAUSE_US);
        if (!check_all(conn, &regs, &lost, errp)) {
            return false;
        }
        trace_proxy_restore(conn->proxy->name, round, lost ? lost->addr : 0);
        if (lost == NULL) {
            return true;
        }
    }
    error_setg(errp, "the remote does not keep its register 0x%x; check that the other end of the socket is the device "
               "that it was", lost->addr);
    return false;
}
