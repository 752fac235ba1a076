/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: what kind of PCI function is on the other side?
 *
 * Runs in: mpqemu; whichever thread attaches (proxy-int.h, ProxyConn).
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

/* Reads a register, what it holds when all ones were written to it, and restores it. */
static bool probe_size_register(ProxyConn *conn, unsigned addr, uint32_t ones,
                                uint32_t *ret_original, uint32_t *ret_sized, GError **errp)
{
    return proxy_conn_config_read(conn, addr, 4, ret_original, errp) &&
           proxy_conn_config_write(conn, addr, 4, ones, errp) &&
           proxy_conn_config_read(conn, addr, 4, ret_sized, errp) &&
           proxy_conn_config_write(conn, addr, 4, *ret_original, errp);
}

static bool probe_lie(unsigned bar, GError **errp, const char *what,
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

static bool probe_io_bar(unsigned i, uint32_t sized, ProxyShape *shape,
                         GError **errp)
{
    uint32_t mask = sized & ~3u;
    uint64_t size;

    if (sized & 2) {
        return probe_lie(i, errp, "reserved type bits", sized & 3);
    }
    if (mask == 0) {
        return probe_lie(i, errp, "no address bits", sized);
    }
    /* The upper half may be fixed at 0. */
    if (mask >> 16 == 0) {
        mask |= 0xffff0000u;
    }
    size = size_of_mask(0xffffffff00000000ull | mask);
    if (size == 0 || size > BAR_IO_SIZE_MAX) {
        return probe_lie(i, errp, "its size is no power of two up to 64 KiB", sized);
    }
    shape->bars[i].size = size;
    shape->bars[i].type = PCI_BASE_ADDRESS_SPACE_IO;
    return true;
}

static bool probe_memory_bar(ProxyConn *conn, unsigned i, uint32_t sized, ProxyShape *shape,
                             GError **errp)
{
    unsigned kind = sized & PCI_BASE_ADDRESS_MEM_TYPE_MASK;
    uint64_t mask = 0xffffffff00000000ull | (sized & ~0xfu);
    uint64_t size, limit = UINT64_C(1) << 31;

    if (kind == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        uint32_t original_high, sized_high;

        if (i == 5) {
            return probe_lie(i, errp, "64 bits, but no register behind it", sized);
        }
        if (!probe_size_register(conn, PCI_BASE_ADDRESS_0 + 4 * (i + 1), UINT32_MAX,
                                 &original_high, &sized_high, errp)) {
            return false;
        }
        mask = (uint64_t)sized_high << 32 | (sized & ~0xfu);
        limit = BAR64_SIZE_MAX;
    } else if (kind != PCI_BASE_ADDRESS_MEM_TYPE_32) {
        return probe_lie(i, errp, "reserved type bits", sized & 0xf);
    }
    size = size_of_mask(mask);
    if (size == 0 || size > limit) {
        return probe_lie(i, errp, "its size is no power of two within the limit", mask);
    }
    shape->bars[i].size = size;
    shape->bars[i].type = sized & 0xf;
    return true;
}

static bool probe_bar(ProxyConn *conn, unsigned i, ProxyShape *shape, GError **errp)
{
    uint32_t original, sized, flags;

    if (!probe_size_register(conn, PCI_BASE_ADDRESS_0 + 4 * i, UINT32_MAX, &original, &sized,
                             errp)) {
        return false;
    }
    if (sized == 0) {
        return true;
    }
    flags = sized & PCI_BASE_ADDRESS_SPACE_IO ? 3 : 0xf;
    if ((original ^ sized) & flags) {
        return probe_lie(i, errp, "its type changes", sized);
    }
    return sized & PCI_BASE_ADDRESS_SPACE_IO ? probe_io_bar(i, sized, shape, errp)
                                             : probe_memory_bar(conn, i, sized, shape, errp);
}

static bool probe_rom(ProxyConn *conn, ProxyShape *shape, GError **errp)
{
    uint32_t original, sized, mask;
    uint64_t size;

    /* Without the enable bit, so that nothing is decoded meanwhile. */
    if (!probe_size_register(conn, PCI_ROM_ADDRESS, ~(uint32_t)PCI_ROM_ADDRESS_ENABLE, &original,
                             &sized, errp)) {
        return false;
    }
    mask = sized & (uint32_t)PCI_ROM_ADDRESS_MASK;
    if (mask == 0) {
        return true;
    }
    size = size_of_mask(0xffffffff00000000ull | mask);
    if (size < ROM_SIZE_MIN || size > ROM_SIZE_MAX) {
        return probe_lie(PCI_ROM_SLOT, errp, "a ROM has 2 KiB to 16 MiB, a power of two",
                         mask);
    }
    shape->bars[PCI_ROM_SLOT].size = size;
    return true;
}

/* Looks for a PCI Express capability.  A list without an end, or into the header, has none. */
static bool probe_express(ProxyConn *conn, ProxyShape *shape, GError **errp)
{
    uint32_t status, offset, header;

    if (!proxy_conn_config_read(conn, PCI_STATUS, 2, &status, errp)) {
        return false;
    }
    if (!(status & PCI_STATUS_CAP_LIST)) {
        return true;
    }
    if (!proxy_conn_config_read(conn, PCI_CAPABILITY_LIST, 1, &offset, errp)) {
        return false;
    }
    for (unsigned n = 0; n < CAPABILITIES_MAX; n++) {
        offset &= ~3u;
        if (offset < PCI_STD_HEADER_SIZEOF) {
            return true;
        }
        if (!proxy_conn_config_read(conn, offset, 2, &header, errp)) {
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

static bool probe_ids(ProxyConn *conn, ProxyShape *shape, GError **errp)
{
    uint32_t ids, class_revision, header_type, subsystem, pin;

    if (!proxy_conn_config_read(conn, PCI_VENDOR_ID, 4, &ids, errp) ||
        !proxy_conn_config_read(conn, PCI_CLASS_REVISION, 4, &class_revision, errp) ||
        !proxy_conn_config_read(conn, PCI_HEADER_TYPE, 1, &header_type, errp) ||
        !proxy_conn_config_read(conn, PCI_SUBSYSTEM_VENDOR_ID, 4, &subsystem, errp) ||
        !proxy_conn_config_read(conn, PCI_INTERRUPT_PIN, 1, &pin, errp)) {
        return false;
    }
    shape->vendor_id = ids;
    shape->device_id = ids >> 16;
    shape->revision = class_revision;
    shape->class_code = class_revision >> 8;
    shape->subsystem_vendor_id = subsystem;
    shape->subsystem_id = subsystem >> 16;
    shape->interrupt_pin = pin;
    trace_proxy_probe_ids(conn->proxy->name, shape->vendor_id, shape->device_id, shape->class_code,
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
static bool probe_once(ProxyConn *conn, ProxyShape *ret_shape, GError **errp)
{
    memset(ret_shape, 0, sizeof(*ret_shape)); /* the padding, too: shapes are compared */
    if (!probe_ids(conn, ret_shape, errp) || !probe_express(conn, ret_shape, errp)) {
        return false;
    }
    for (unsigned i = 0; i < PCI_ROM_SLOT; i++) {
        if (!probe_bar(conn, i, ret_shape, errp)) {
            return false;
        }
        trace_proxy_probe_bar(conn->proxy->name, i, ret_shape->bars[i].type, ret_shape->bars[i].size);
        if ((ret_shape->bars[i].type & ~PCI_BASE_ADDRESS_MEM_PREFETCH) ==
            PCI_BASE_ADDRESS_MEM_TYPE_64) {
            i++;
        }
    }
    if (!probe_rom(conn, ret_shape, errp)) {
        return false;
    }
    trace_proxy_probe_bar(conn->proxy->name, PCI_ROM_SLOT, 0, ret_shape->bars[PCI_ROM_SLOT].size);
    return true;
}

bool proxy_probe(ProxyConn *conn, ProxyShape *ret_shape, GError **errp)
{
    ProxyShape first = { 0 };
    bool ok, again = false;

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        g_autoptr(GError) err = NULL;

        ok = probe_once(conn, ret_shape, &err);
        if (!ok && (!proxy_conn_is_open(conn) || round + 1 == ROUNDS_MAX)) {
            g_propagate_error(errp, g_steal_pointer(&err));
            return false;
        }
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the padding is zero */
        if (ok && again && memcmp(&first, ret_shape, sizeof(first)) == 0) {
            return true;
        }
        again = ok;
        memcpy(&first, ret_shape, sizeof(first)); /* an assignment may leave the padding out */
        g_usleep(PAUSE_US);
    }
    error_setg(errp, "the remote reports another device each time it is asked; check that the "
               "other end of the socket is a device");
    return false;
}

char *proxy_shape_difference(const ProxyShape *was, const ProxyShape *now)
{
    if (was->vendor_id != now->vendor_id || was->device_id != now->device_id) {
        return g_strdup_printf("it is a %04x:%04x, it was a %04x:%04x", now->vendor_id, now->device_id, was->vendor_id,
                               was->device_id);
    }
    if (was->subsystem_vendor_id != now->subsystem_vendor_id || was->subsystem_id != now->subsystem_id) {
        return g_strdup_printf("its subsystem is %04x:%04x, it was %04x:%04x", now->subsystem_vendor_id,
                               now->subsystem_id, was->subsystem_vendor_id, was->subsystem_id);
    }
    if (was->class_code != now->class_code || was->revision != now->revision) {
        return g_strdup_printf("its class is 0x%06x revision %u, it was 0x%06x revision %u", now->class_code,
                               now->revision, was->class_code, was->revision);
    }
    if (was->interrupt_pin != now->interrupt_pin) {
        return g_strdup_printf("its interrupt pin is %u, it was %u", now->interrupt_pin, was->interrupt_pin);
    }
    if (was->express != now->express) {
        return g_strdup_printf("it has %u bytes of config space, it had %u",
                               now->express ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE,
                               was->express ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE);
    }
    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        if (was->bars[i].size != now->bars[i].size || was->bars[i].type != now->bars[i].type) {
            return g_strdup_printf("its BAR %u has 0x%" PRIx64 " bytes of type 0x%x, it had 0x%" PRIx64
                                   " of type 0x%x", i, now->bars[i].size, now->bars[i].type, was->bars[i].size,
                                   was->bars[i].type);
        }
    }
    return NULL;
}
