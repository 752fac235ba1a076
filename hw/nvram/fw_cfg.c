/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg.
 *
 * Runs in: mpqemu.  The manual is include/hw/nvram/fw_cfg.h.
 *
 * Theory of operation.  Port and DMA share one position: an item and an offset.  Reading never fails for want of data:
 * behind the end of an item come zeroes.  A DMA request is carried out slice by slice; the first slice in the write
 * that started it, so that an ordinary request has ended when the guest's instruction has.
 */
#include "hw/nvram/fw_cfg.h"

#include <string.h>

#include "system/dma.h"
#include "util/event-loop.h"

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG", big endian */
#define ID_DATA_PORT (1u << 0)
#define ID_DMA (1u << 1)

/* A request in RAM. */
typedef struct DmaRequest {
    uint32_t control;
    uint32_t length;
    uint64_t address;
} DmaRequest;
G_STATIC_ASSERT(sizeof(DmaRequest) == 16);

/* An entry of the directory. */
typedef struct DirEntry {
    uint32_t size;
    uint16_t key;
    uint16_t reserved;
    char name[FW_CFG_FILE_NAME_SIZE];
} DirEntry;
G_STATIC_ASSERT(sizeof(DirEntry) == 64);

typedef struct File {
    char name[FW_CFG_FILE_NAME_SIZE];
    uint16_t key;
} File;

struct FwCfg {
    MemoryRegion *io;
    MemoryRegion ports;
    MemoryRegion dma_ports;
    GHashTable *items; /* key -> GBytes */
    File files[FW_CFG_FILES_MAX];
    unsigned file_count;

    uint16_t key;      /* selected */
    uint64_t offset;

    DmaContext dma;
    uint32_t dma_high; /* upper half of the address, waiting for the lower one */
    EventBh *dma_bh;
    bool busy;         /* a request is under way: */
    hwaddr request_at;
    uint32_t op;       /* its FW_CFG_DMA_READ, or 0 to skip */
    uint32_t left;
    hwaddr to;
};

/* ---- items ----------------------------------------------------------------------------------- */

/* Takes DATA. */
static void set_item(FwCfg *cfg, uint16_t key, GBytes *data)
{
    g_hash_table_insert(cfg->items, GUINT_TO_POINTER(key), data);
}

static GBytes *get_item(FwCfg *cfg, uint16_t key)
{
    return g_hash_table_lookup(cfg->items, GUINT_TO_POINTER(key));
}

void fw_cfg_set(FwCfg *cfg, uint16_t key, const void *data, size_t size)
{
    set_item(cfg, key, g_bytes_new(data, size));
}

void fw_cfg_set_number(FwCfg *cfg, uint16_t key, uint64_t value, unsigned size)
{
    uint64_t raw = GUINT64_TO_LE(value);

    fw_cfg_set(cfg, key, &raw, size);
}

static int find_file(const FwCfg *cfg, const char *name)
{
    for (unsigned i = 0; i < cfg->file_count; i++) {
        if (g_str_equal(cfg->files[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

static void update_directory(FwCfg *cfg)
{
    GByteArray *dir = g_byte_array_new();
    uint32_t count = GUINT32_TO_BE(cfg->file_count);

    g_byte_array_append(dir, (const guint8 *)&count, sizeof(count));
    for (unsigned i = 0; i < cfg->file_count; i++) {
        const File *file = &cfg->files[i];
        DirEntry entry = {
            .size = GUINT32_TO_BE((uint32_t)g_bytes_get_size(get_item(cfg, file->key))),
            .key = GUINT16_TO_BE(file->key),
        };

        memcpy(entry.name, file->name, sizeof(entry.name));
        g_byte_array_append(dir, (const guint8 *)&entry, sizeof(entry));
    }
    set_item(cfg, FW_CFG_FILE_DIR, g_byte_array_free_to_bytes(dir));
}

void fw_cfg_set_file(FwCfg *cfg, const char *name, GBytes *data)
{
    int index = find_file(cfg, name);

    g_assert(strlen(name) < FW_CFG_FILE_NAME_SIZE && g_bytes_get_size(data) <= UINT32_MAX);
    if (index < 0) {
        g_assert(cfg->file_count < FW_CFG_FILES_MAX);
        index = (int)cfg->file_count++;
        g_strlcpy(cfg->files[index].name, name, FW_CFG_FILE_NAME_SIZE);
        cfg->files[index].key = (uint16_t)(FW_CFG_FILE_FIRST + index);
    }
    set_item(cfg, cfg->files[index].key, g_bytes_ref(data));
    update_directory(cfg);
}

void fw_cfg_set_file_copy(FwCfg *cfg, const char *name, const void *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);

    fw_cfg_set_file(cfg, name, bytes);
}

GBytes *fw_cfg_file(FwCfg *cfg, const char *name)
{
    int index = find_file(cfg, name);

    return index < 0 ? NULL : get_item(cfg, cfg->files[index].key);
}

void fw_cfg_set_e820(FwCfg *cfg, const FwCfgE820 *entries, unsigned count)
{
    g_autoptr(GByteArray) table = g_byte_array_new();

    for (unsigned i = 0; i < count; i++) {
        uint64_t start = GUINT64_TO_LE(entries[i].start), size = GUINT64_TO_LE(entries[i].size);
        uint32_t type = GUINT32_TO_LE(entries[i].type);

        g_byte_array_append(table, (const guint8 *)&start, sizeof(start));
        g_byte_array_append(table, (const guint8 *)&size, sizeof(size));
        g_byte_array_append(table, (const guint8 *)&type, sizeof(type));
    }
    fw_cfg_set_file_copy(cfg, "etc/e820", table->data, table->len);
}

/* The selected item's bytes from the offset on; *ret_size may be 0. */
static const uint8_t *rest_of_item(FwCfg *cfg, uint64_t *ret_size)
{
    GBytes *item = get_item(cfg, cfg->key);
    gsize size = 0;
    const uint8_t *data = item ? g_bytes_get_data(item, &size) : NULL;

    if (cfg->offset >= size) {
        *ret_size = 0;
        return NULL;
    }
    *ret_size = size - cfg->offset;
    return data + cfg->offset;
}

/* ---- DMA ------------------------------------------------------------------------------------- */

/* The guest may have taken the request's memory away: then nobody can be told. */
static void request_end(FwCfg *cfg, uint32_t control)
{
    uint32_t raw = GUINT32_TO_BE(control);

    cfg->busy = false;
    dma_write(&cfg->dma, cfg->request_at, &raw, sizeof(raw));
}

static void request_call_off(FwCfg *cfg)
{
    if (cfg->busy) {
        request_end(cfg, FW_CFG_DMA_ERROR);
    }
}

/* Copies SIZE bytes of the item, and zeroes for what it lacks, to the request's memory. */
static bool copy_slice(FwCfg *cfg, uint32_t size)
{
    g_autofree uint8_t *slice = g_malloc0(size);
    uint64_t rest;
    const uint8_t *data = rest_of_item(cfg, &rest);

    if (rest) {
        memcpy(slice, data, MIN(rest, size));
    }
    return dma_write(&cfg->dma, cfg->to, slice, size) == MEM_OK;
}

static void request_go_on(void *opaque)
{
    FwCfg *cfg = opaque;
    uint32_t size;

    if (!cfg->busy) {
        return;
    }
    /* Skipping is one addition, however long. */
    size = cfg->op & FW_CFG_DMA_READ ? MIN(cfg->left, FW_CFG_DMA_SLICE) : cfg->left;
    if ((cfg->op & FW_CFG_DMA_READ) && size && (cfg->to + size < size || !copy_slice(cfg, size))) {
        request_end(cfg, FW_CFG_DMA_ERROR);
        return;
    }
    cfg->offset += size;
    cfg->to += size;
    cfg->left -= size;
    if (cfg->left) {
        event_bh_schedule(cfg->dma_bh);
    } else {
        request_end(cfg, 0);
    }
}

static void select_item(FwCfg *cfg, uint16_t key)
{
    cfg->key = key;
    cfg->offset = 0;
}

static void request_start(FwCfg *cfg, hwaddr at)
{
    DmaRequest request;
    uint32_t control;

    request_call_off(cfg);
    cfg->request_at = at;
    if (dma_read(&cfg->dma, at, &request, sizeof(request)) != MEM_OK) {
        request_end(cfg, FW_CFG_DMA_ERROR); /* when the first four bytes are RAM, the guest hears of it */
        return;
    }
    control = GUINT32_FROM_BE(request.control);
    if (control & FW_CFG_DMA_SELECT) {
        select_item(cfg, (uint16_t)(control >> 16));
    }
    if ((control & FW_CFG_DMA_WRITE) && !(control & FW_CFG_DMA_READ)) {
        request_end(cfg, FW_CFG_DMA_ERROR);
        return;
    }
    cfg->busy = true;
    cfg->op = control & FW_CFG_DMA_READ;
    cfg->left = control & (FW_CFG_DMA_READ | FW_CFG_DMA_SKIP) ? GUINT32_FROM_BE(request.length) : 0;
    cfg->to = GUINT64_FROM_BE(request.address);
    request_go_on(cfg);
}

/* Byte N of the register is bits 63 - 8n down of the signature: big endian on a little-endian bus. */
static MemResult dma_port_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0;
    for (unsigned i = 0; i < size; i++) {
        *ret_value |= (DMA_SIGNATURE >> (56 - 8 * (addr + i)) & 0xff) << (8 * i);
    }
    return MEM_OK;
}

static MemResult dma_port_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    FwCfg *cfg = opaque;
    uint32_t half = GUINT32_SWAP_LE_BE((uint32_t)value);

    if (addr == 0) {
        cfg->dma_high = half;
    } else {
        hwaddr at = (hwaddr)cfg->dma_high << 32 | half;

        cfg->dma_high = 0;
        request_start(cfg, at);
    }
    return MEM_OK;
}

static const MemoryRegionOps dma_port_ops = {
    .read = dma_port_read,
    .write = dma_port_write,
    .min_size = 4,
    .max_size = 4,
};

/* ---- ports ----------------------------------------------------------------------------------- */

static MemResult port_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    FwCfg *cfg = opaque;
    uint64_t rest;
    const uint8_t *data;

    *ret_value = 0;
    if (addr == 1) {
        data = rest_of_item(cfg, &rest);
        *ret_value = rest ? *data : 0;
        cfg->offset++;
    }
    return MEM_OK;
}

static MemResult port_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    FwCfg *cfg = opaque;

    if (addr == 0 && size == 2) {
        request_call_off(cfg);
        select_item(cfg, (uint16_t)value);
    }
    return MEM_OK;
}

static const MemoryRegionOps port_ops = {
    .read = port_read,
    .write = port_write,
    .max_size = 2,
};

/* ---- life cycle ------------------------------------------------------------------------------ */

void fw_cfg_reset(FwCfg *cfg)
{
    request_call_off(cfg);
    select_item(cfg, FW_CFG_SIGNATURE);
    cfg->dma_high = 0;
}

FwCfg *fw_cfg_new(MemoryRegion *io, AddressSpace *memory)
{
    FwCfg *cfg = g_new0(FwCfg, 1);

    cfg->io = io;
    cfg->items = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_bytes_unref);
    dma_context_init(&cfg->dma, memory);
    cfg->dma.enabled = true;
    cfg->dma_bh = event_bh_new(event_loop_main(), request_go_on, cfg);
    fw_cfg_set(cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_number(cfg, FW_CFG_ID, ID_DATA_PORT | ID_DMA, 4);
    update_directory(cfg);
    memory_region_init_io(&cfg->ports, NULL, &port_ops, cfg, "fw-cfg", 2);
    memory_region_init_io(&cfg->dma_ports, NULL, &dma_port_ops, cfg, "fw-cfg-dma", 8);
    memory_region_add(io, FW_CFG_BASE, &cfg->ports, 0);
    memory_region_add(io, FW_CFG_DMA_BASE, &cfg->dma_ports, 0);
    return cfg;
}

void fw_cfg_free(FwCfg *cfg)
{
    memory_region_remove(cfg->io, &cfg->ports);
    memory_region_remove(cfg->io, &cfg->dma_ports);
    memory_region_destroy(&cfg->ports);
    memory_region_destroy(&cfg->dma_ports);
    event_bh_free(cfg->dma_bh);
    g_hash_table_unref(cfg->items);
    g_free(cfg);
}
