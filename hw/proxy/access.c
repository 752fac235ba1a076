/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the guest's accesses to config space and BARs.
 *
 * Runs in: mpqemu; any thread, without the machine lock.
 *
 * Every access is one exchange.  What the remote answers with "failed", and everything on a dead
 * device, reads as all ones; such writes do nothing.
 *
 * The last bytes of config space.  QEMU as a remote takes addr + 4 for the end of each config
 * access, whatever its length, and ends its process when that is beyond config space.  So the guest
 * could end its device by reading a byte at 253.  Such accesses become one of the aligned 4 bytes,
 * for every remote, since none tells what it is.
 */
#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/machine-lock.h"

/* A reason not to ask the remote at all: there is none, or it goes, or waiting for it would hold up everybody. */
static bool proxy_must_drop(PciProxyDev *proxy)
{
    return !proxy_is_live(proxy) || proxy_is_retiring(proxy) || machine_locked();
}

static uint64_t proxy_drop_read(PciProxyDev *proxy, uint64_t addr, unsigned size)
{
    PROXY_COUNT(proxy, dropped_reads);
    trace_proxy_dropped(proxy->name, false, addr, size);
    return UINT64_MAX;
}

static void proxy_drop_write(PciProxyDev *proxy, uint64_t addr, unsigned size)
{
    PROXY_COUNT(proxy, dropped_writes);
    trace_proxy_dropped(proxy->name, true, addr, size);
}

/*
 * One access by MSG.  Link lock, which is released when the access fails.  False: it failed, and
 * was counted as the guest's access of SIZE bytes at ADDR.
 */
static bool proxy_access_locked(PciProxyDev *proxy, const MpqemuMsg *msg, bool write, uint64_t addr,
                                unsigned size, uint64_t *ret_value)
{
    if (!proxy_call(proxy, msg, ret_value)) {
        proxy_link_end(proxy);
        if (write) {
            proxy_drop_write(proxy, addr, size);
        } else {
            proxy_drop_read(proxy, addr, size);
        }
        return false;
    }
    /* An 8-byte read may really give all ones; then nothing is lost by calling it a failure. */
    if (*ret_value == MPQEMU_RET_ERROR) {
        proxy_link_end(proxy);
        PROXY_COUNT(proxy, failed);
        trace_proxy_failed(proxy->name, write, addr, size);
        return false;
    }
    return true;
}

/* As above, with the link lock taken here; on success the caller holds it. */
static bool proxy_access(PciProxyDev *proxy, const MpqemuMsg *msg, bool write, uint64_t addr,
                         unsigned size, uint64_t *ret_value)
{
    proxy_link_begin(proxy);
    return proxy_access_locked(proxy, msg, write, addr, size, ret_value);
}

/* ---- config space ---------------------------------------------------------------------------- */

/* One of the accesses of which the file's first comment tells. */
static bool proxy_is_tail_access(const PciDevice *dev, unsigned addr)
{
    return addr + 4 > dev->config_size;
}

/*
 * Makes the write MSG to the last bytes one of the aligned 4.  Link lock, as proxy_access_locked().
 * The bytes around are written with what they hold, which clears write-one-to-clear bits there, as
 * with every host bridge that has 4-byte config cycles only; no function known has such bits there.
 */
static bool proxy_widen_tail_write(PciProxyDev *proxy, MpqemuMsg *msg)
{
    MpqemuPciConf conf = msg->conf;
    MpqemuMsg read = {
        .cmd = MPQEMU_CMD_PCI_CFGREAD,
        .conf = { .addr = conf.addr & ~3u, .len = 4 },
    };
    unsigned shift = 8 * (conf.addr & 3);
    uint32_t mask = ((1u << (8 * conf.len)) - 1) << shift;
    uint64_t value;

    if (!proxy_access_locked(proxy, &read, true, conf.addr, conf.len, &value)) {
        return false;
    }
    msg->conf = (MpqemuPciConf) {
        .addr = read.conf.addr,
        .val = (value & ~mask) | (conf.val << shift & mask),
        .len = 4,
    };
    return true;
}

/*
 * The bit that other functions share the slot is this bus's affair: the remote does not know where
 * its function was put.  VALUE was read from ADDR.
 */
static uint32_t proxy_multifunction_bit(const PciDevice *dev, unsigned addr, unsigned size,
                                        uint32_t value)
{
    uint32_t bit;

    if (addr > PCI_HEADER_TYPE || PCI_HEADER_TYPE >= addr + size) {
        return value;
    }
    bit = 0x80u << (8 * (PCI_HEADER_TYPE - addr));
    return dev->multifunction ? value | bit : value & ~bit;
}

uint32_t proxy_config_read(PciDevice *dev, unsigned addr, unsigned size)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = addr, .len = size } };
    bool tail = proxy_is_tail_access(dev, addr);
    uint64_t value;

    if (machine_locked() && proxy_is_live(proxy)) {
        return pci_default_config_read(dev, addr, size);
    }
    if (proxy_must_drop(proxy)) {
        return proxy_drop_read(proxy, addr, size);
    }
    if (tail) {
        msg.conf = (MpqemuPciConf) { .addr = addr & ~3u, .len = 4 };
    }
    if (!proxy_access(proxy, &msg, false, addr, size, &value)) {
        return UINT32_MAX;
    }
    proxy_link_end(proxy);
    if (tail) {
        return value >> (8 * (addr & 3)) & (UINT32_MAX >> (32 - 8 * size));
    }
    return proxy_multifunction_bit(dev, addr, size, value);
}

void proxy_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);
    MpqemuMsg msg = {
        .cmd = MPQEMU_CMD_PCI_CFGWRITE,
        .conf = { .addr = addr, .val = value, .len = size },
    };
    uint64_t reply, ticket;

    if (proxy_must_drop(proxy)) {
        proxy_drop_write(proxy, addr, size);
        return;
    }
    ticket = proxy_link_begin(proxy);
    if (proxy_is_tail_access(dev, addr) && !proxy_widen_tail_write(proxy, &msg)) {
        return;
    }
    if (!proxy_access_locked(proxy, &msg, true, addr, size, &reply)) {
        return;
    }
    /* Only the standard header means something to this side: command, BARs, interrupt line. */
    if (addr < PCI_STD_HEADER_SIZEOF) {
        machine_lock();
        /*
         * Not when a reset came between: it will be told to the remote after this write.  Nor when the device was
         * killed: its next remote may already be getting what the local copy held.
         */
        if (!proxy_is_live(proxy)) {
            proxy_drop_write(proxy, addr, size);
        } else if (proxy_ticket_valid(proxy, ticket)) {
            pci_default_config_write(dev, addr, value, size);
            proxy_decoding_update(proxy);
        }
        machine_unlock();
    }
    proxy_link_end(proxy);
}

/* ---- BARs ------------------------------------------------------------------------------------ */

static bool proxy_bar_msg(ProxyBar *bar, MpqemuCmd cmd, hwaddr offset, uint64_t value,
                          unsigned size, MpqemuMsg *ret_msg)
{
    uint64_t base = __atomic_load_n(&bar->addr, __ATOMIC_ACQUIRE);

    /* Unmapped in this moment, by another vCPU. */
    if (base == PCI_BAR_UNMAPPED) {
        return false;
    }
    *ret_msg = (MpqemuMsg) {
        .cmd = cmd,
        .bar = { .addr = base + offset, .val = value, .size = size, .memory = !bar->io },
    };
    return true;
}

static MemResult proxy_bar_read(void *opaque, hwaddr offset, uint64_t *ret_value, unsigned size)
{
    ProxyBar *bar = opaque;
    PciProxyDev *proxy = bar->proxy;
    MpqemuMsg msg;

    *ret_value = UINT64_MAX;
    if (proxy_must_drop(proxy) ||
        !proxy_bar_msg(bar, MPQEMU_CMD_BAR_READ, offset, 0, size, &msg)) {
        proxy_drop_read(proxy, offset, size);
        return MEM_ERROR;
    }
    if (!proxy_access(proxy, &msg, false, msg.bar.addr, size, ret_value)) {
        *ret_value = UINT64_MAX;
        return MEM_ERROR;
    }
    proxy_link_end(proxy);
    return MEM_OK;
}

static MemResult proxy_bar_write(void *opaque, hwaddr offset, uint64_t value, unsigned size)
{
    ProxyBar *bar = opaque;
    PciProxyDev *proxy = bar->proxy;
    MpqemuMsg msg;
    uint64_t reply;

    if (proxy_must_drop(proxy) ||
        !proxy_bar_msg(bar, MPQEMU_CMD_BAR_WRITE, offset, value, size, &msg)) {
        proxy_drop_write(proxy, offset, size);
        return MEM_ERROR;
    }
    if (!proxy_access(proxy, &msg, true, msg.bar.addr, size, &reply)) {
        return MEM_ERROR;
    }
    proxy_link_end(proxy);
    return MEM_OK;
}

/* Sizes and alignment are the remote's affair; nothing is split or widened here. */
static const MemoryRegionOps proxy_bar_ops = {
    .read = proxy_bar_read,
    .write = proxy_bar_write,
    .min_size = 1,
    .max_size = 8,
    .unaligned = true,
    .unlocked = true,
};

void proxy_bars_create(PciProxyDev *proxy, const ProxyShape *shape)
{
    static const char *const names[PCI_NUM_REGIONS] = {
        "proxy-bar-0", "proxy-bar-1", "proxy-bar-2", "proxy-bar-3", "proxy-bar-4", "proxy-bar-5",
        "proxy-rom",
    };

    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        ProxyBar *bar = &proxy->bars[i];

        *bar = (ProxyBar) { .proxy = proxy, .addr = PCI_BAR_UNMAPPED };
        if (shape->bars[i].size == 0) {
            continue;
        }
        bar->present = true;
        bar->io = shape->bars[i].type & PCI_BASE_ADDRESS_SPACE_IO;
        memory_region_init_io(&bar->mr, QOM_OBJECT(proxy), &proxy_bar_ops, bar, names[i],
                              shape->bars[i].size);
        pci_register_bar(&proxy->pci, i, shape->bars[i].type, &bar->mr);
    }
}

void proxy_bars_destroy(PciProxyDev *proxy)
{
    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        if (proxy->bars[i].present) {
            memory_region_destroy(&proxy->bars[i].mr);
            proxy->bars[i].present = false;
        }
    }
}

void proxy_decoding_update(PciProxyDev *proxy)
{
    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        __atomic_store_n(&proxy->bars[i].addr, proxy->pci.bars[i].addr, __ATOMIC_RELEASE);
    }
    proxy_bounce_update(proxy);
}
