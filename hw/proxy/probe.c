/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: what kind of PCI function is on the other side?
 *
 * Runs in: mpqemu; in realize.
 *
 * The answers come by config accesses, as firmware would ask (PCI Local Bus 3.0, sections 6.1 and
 * 6.2.5), and nothing of them is believed: they become regions and registers of this machine only
 * when a PCI function can be like that.
 *
 * QEMU as a remote answers before its own start-up has ended, and then resets its device, at the
 * first moment without a message to work on.  That changes a BAR between the writing of all ones
 * and the reading back.  So the probe is done twice, with a pause for that moment between, and must
 * give the same twice.
 */
#include <string.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"

/* Largest 64-bit BAR: a guest with 40 address bits has no room for more. */
#define BAR64_SIZE_MAX (UINT64_C(1) << 40)

/* All of the I/O port space (the specification's 256 bytes are not what devices keep to). */
#define BAR_IO_SIZE_MAX (UINT64_C(1) << 16)

/* PCI 3.0 section 6.2.5.2. */
#define ROM_SIZE_MIN (UINT64_C(1) << 11)
#define ROM_SIZE_MAX (UINT64_C(1) << 24)

/* Rounds of questions until two in a row agree. */
#define ROUNDS_MAX 4
#define PAUSE_US 2000

/* Most capabilities that fit: (256 - 64) / 4.  A list with more is a ring. */
#define CAPABILITIES_MAX 48

static bool probe_read(PciProxyDev *proxy, unsigned addr, unsigned len, uint32_t *ret_value,
                       GError **errp)
{
    if (proxy_config_call(proxy, MPQEMU_CMD_PCI_CFGREAD, addr, len, 0, ret_value)) {
        return true;
    }
    if (pci_proxy_state(proxy) == PCI_PROXY_DEAD) {
        error_setg(errp, "the remote does not answer: %s", proxy_dead_reason(proxy));
    } else {
        error_setg(errp, "the remote refuses to read config space at 0x%x", addr);
    }
    return false;
}

static bool probe_write(PciProxyDev *proxy, unsigned addr, uint32_t value, GError **errp)
{
    if (proxy_config_call(proxy, MPQEMU_CMD_PCI_CFGWRITE, addr, 4, value, NULL)) {
        return true;
    }
    if (pci_proxy_state(proxy) == PCI_PROXY_DEAD) {
        error_setg(errp, "the remote does not answer: %s", proxy_dead_reason(proxy));
    } else {
        error_setg(errp, "the remote refuses to write config space at 0x%x", addr);
    }
    return false;
}

/* Reads a register, what it holds when all ones were written to it, and restores it. */
static bool probe_size_register(PciProxyDev *proxy, unsigned addr, uint32_t ones,
                                uint32_t *ret_original, uint32_t *ret_sized, GError **errp)
{
    return probe_read(proxy, addr, 4, ret_original, errp) && probe_write(proxy, addr, ones, errp) &&
           probe_read(proxy, addr, 4, ret_sized, errp) &&
           probe_write(proxy, addr, *ret_original, errp);
}

static bool probe_lie(PciProxyDev *proxy, unsigned bar, GError **errp, const char *what,
                      uint64_t value)
{
    error_setg(errp, "the remote reports a BAR %u that cannot be: %s (0x%" PRIx64 "); check that "
               "the other end of the socket is a device", bar, what, value);
    return false;
}

/* The size that belongs to MASK, the address bits that can be set; 0: no size. */
static uint64_t size_of_mask(uint64_t mask)
{
    uint64_t size = -mask;

    return size != 0 && (size & (size - 1)) == 0 ? size : 0;
}

static bool probe_io_bar(PciProxyDev *proxy, unsigned i, uint32_t sized, ProxyShape *shape,
                         GError **errp)
{
    uint32_t mask = sized & ~3u;
    uint64_t size;

    if (sized & 2) {
        return probe_lie(proxy, i, errp, "reserved type bits", sized & 3);
    }
    if (mask == 0) {
        return probe_lie(proxy, i, errp, "no address bits", sized);
    }
    /* The upper half may be fixed at 0. */
    if (mask >> 16 == 0) {
        mask |= 0xffff0000u;
    }
    size = size_of_mask(0xffffffff00000000ull | mask);
    if (size == 0 || size > BAR_IO_SIZE_MAX) {
        return probe_lie(proxy, i, errp, "its size is no power of two up to 64 KiB", sized);
    }
    shape->bars[i].size = size;
    shape->bars[i].type = PCI_BASE_ADDRESS_SPACE_IO;
    return true;
}

static bool probe_memory_bar(PciProxyDev *proxy, unsigned i, uint32_t sized, ProxyShape *shape,
                             GError **errp)
{
    unsigned kind = sized & PCI_BASE_ADDRESS_MEM_TYPE_MASK;
    uint64_t mask = 0xffffffff00000000ull | (sized & ~0xfu);
    uint64_t size, limit = UINT64_C(1) << 31;

    if (kind == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        uint32_t original_high, sized_high;

        if (i == 5) {
            return probe_lie(proxy, i, errp, "64 bits, but no register behind it", sized);
        }
        if (!probe_size_register(proxy, PCI_BASE_ADDRESS_0 + 4 * (i + 1), UINT32_MAX,
                                 &original_high, &sized_high, errp)) {
            return false;
        }
        mask = (uint64_t)sized_high << 32 | (sized & ~0xfu);
        limit = BAR64_SIZE_MAX;
    } else if (kind != PCI_BASE_ADDRESS_MEM_TYPE_32) {
        return probe_lie(proxy, i, errp, "reserved type bits", sized & 0xf);
    }
    size = size_of_mask(mask);
    if (size == 0 || size > limit) {
        return probe_lie(proxy, i, errp, "its size is no power of two within the limit", mask);
    }
    shape->bars[i].size = size;
    shape->bars[i].type = sized & 0xf;
    return true;
}

static bool probe_bar(PciProxyDev *proxy, unsigned i, ProxyShape *shape, GError **errp)
{
    uint32_t original, sized, flags;

    if (!probe_size_register(proxy, PCI_BASE_ADDRESS_0 + 4 * i, UINT32_MAX, &original, &sized,
                             errp)) {
        return false;
    }
    if (sized == 0) {
        return true;
    }
    flags = sized & PCI_BASE_ADDRESS_SPACE_IO ? 3 : 0xf;
    if ((original ^ sized) & flags) {
        return probe_lie(proxy, i, errp, "its type changes", sized);
    }
    return sized & PCI_BASE_ADDRESS_SPACE_IO ? probe_io_bar(proxy, i, sized, shape, errp)
                                             : probe_memory_bar(proxy, i, sized, shape, errp);
}

static bool probe_rom(PciProxyDev *proxy, ProxyShape *shape, GError **errp)
{
    uint32_t original, sized, mask;
    uint64_t size;

    /* Without the enable bit, so that nothing is decoded meanwhile. */
    if (!probe_size_register(proxy, PCI_ROM_ADDRESS, ~(uint32_t)PCI_ROM_ADDRESS_ENABLE, &original,
                             &sized, errp)) {
        return false;
    }
    mask = sized & (uint32_t)PCI_ROM_ADDRESS_MASK;
    if (mask == 0) {
        return true;
    }
    size = size_of_mask(0xffffffff00000000ull | mask);
    if (size < ROM_SIZE_MIN || size > ROM_SIZE_MAX) {
        return probe_lie(proxy, PCI_ROM_SLOT, errp, "a ROM has 2 KiB to 16 MiB, a power of two",
                         mask);
    }
    shape->bars[PCI_ROM_SLOT].size = size;
    return true;
}

/* Looks for a PCI Express capability.  A list without an end, or into the header, has none. */
static bool probe_express(PciProxyDev *proxy, ProxyShape *shape, GError **errp)
{
    uint32_t status, offset, header;

    if (!probe_read(proxy, PCI_STATUS, 2, &status, errp)) {
        return false;
    }
    if (!(status & PCI_STATUS_CAP_LIST)) {
        return true;
    }
    if (!probe_read(proxy, PCI_CAPABILITY_LIST, 1, &offset, errp)) {
        return false;
    }
    for (unsigned n = 0; n < CAPABILITIES_MAX; n++) {
        offset &= ~3u;
        if (offset < PCI_STD_HEADER_SIZEOF) {
            return true;
        }
        if (!probe_read(proxy, offset, 2, &header, errp)) {
            return false;
        }
        if ((header & 0xff) == PCI_CAP_ID_EXP) {
            shape->express = true;
            return true;
        }
        offset = header >> 8;
    }
    return true;
}

static bool probe_ids(PciProxyDev *proxy, ProxyShape *shape, GError **errp)
{
    uint32_t ids, class_revision, header_type, subsystem, pin;

    if (!probe_read(proxy, PCI_VENDOR_ID, 4, &ids, errp) ||
        !probe_read(proxy, PCI_CLASS_REVISION, 4, &class_revision, errp) ||
        !probe_read(proxy, PCI_HEADER_TYPE, 1, &header_type, errp) ||
        !probe_read(proxy, PCI_SUBSYSTEM_VENDOR_ID, 4, &subsystem, errp) ||
        !probe_read(proxy, PCI_INTERRUPT_PIN, 1, &pin, errp)) {
        return false;
    }
    shape->vendor_id = ids;
    shape->device_id = ids >> 16;
    shape->revision = class_revision;
    shape->class_code = class_revision >> 8;
    shape->subsystem_vendor_id = subsystem;
    shape->subsystem_id = subsystem >> 16;
    shape->interrupt_pin = pin;
    trace_proxy_probe_ids(proxy->name, shape->vendor_id, shape->device_id, shape->class_code,
                          shape->interrupt_pin);
    if (shape->vendor_id == 0xffff || shape->vendor_id == 0) {
        error_setg(errp, "the remote reports vendor id 0x%04x: there is no device behind the link; "
                   "check its x-remote-object", shape->vendor_id);
        return false;
    }
    if ((header_type & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL) {
        error_setg(errp, "the remote reports header type 0x%x, a bridge; only ordinary functions "
                   "(type 0) can be proxied", header_type);
        return false;
    }
    if (shape->interrupt_pin > 4) {
        error_setg(errp, "the remote reports interrupt pin %u; there are 1 to 4, and 0 for none",
                   shape->interrupt_pin);
        return false;
    }
    return true;
}

/* One round of questions. */
static bool probe_once(PciProxyDev *proxy, ProxyShape *ret_shape, GError **errp)
{
    memset(ret_shape, 0, sizeof(*ret_shape)); /* the padding, too: shapes are compared */
    if (!probe_ids(proxy, ret_shape, errp) || !probe_express(proxy, ret_shape, errp)) {
        return false;
    }
    for (unsigned i = 0; i < PCI_ROM_SLOT; i++) {
        if (!probe_bar(proxy, i, ret_shape, errp)) {
            return false;
        }
        trace_proxy_probe_bar(proxy->name, i, ret_shape->bars[i].type, ret_shape->bars[i].size);
        if ((ret_shape->bars[i].type & ~PCI_BASE_ADDRESS_MEM_PREFETCH) ==
            PCI_BASE_ADDRESS_MEM_TYPE_64) {
            i++;
        }
    }
    if (!probe_rom(proxy, ret_shape, errp)) {
        return false;
    }
    trace_proxy_probe_bar(proxy->name, PCI_ROM_SLOT, 0, ret_shape->bars[PCI_ROM_SLOT].size);
    return true;
}

bool proxy_probe(PciProxyDev *proxy, ProxyShape *ret_shape, GError **errp)
{
    ProxyShape first;
    bool ok, again = false;

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        g_autoptr(GError) err = NULL;

        ok = probe_once(proxy, ret_shape, &err);
        if (!ok && (pci_proxy_state(proxy) == PCI_PROXY_DEAD || round + 1 == ROUNDS_MAX)) {
            g_propagate_error(errp, g_steal_pointer(&err));
            return false;
        }
        if (ok && again && memcmp(&first, ret_shape, sizeof(first)) == 0) {
            return true;
        }
        again = ok;
        first = *ret_shape;
        g_usleep(PAUSE_US);
    }
    error_setg(errp, "the remote reports another device each time it is asked; check that the "
               "other end of the socket is a device");
    return false;
}
