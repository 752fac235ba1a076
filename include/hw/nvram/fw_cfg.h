/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fw_cfg: items by number and files by name that the board tells the firmware and the guest's kernel.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: QEMU's "QEMU Firmware Configuration (fw_cfg) Device" specification (docs/specs/fw_cfg); keys and files as
 * SeaBIOS and Linux's qemu_fw_cfg driver use them.
 *
 * Registers (I/O ports).
 *
 *   0x510  selector, 16 bits, write only: the item whose bytes follow, from its start
 *   0x511  data, 8 bits: the item's next byte; behind its end, and of an item that does not exist, 0
 *   0x514  DMA address, 64 bits, big endian, in two halves: writing the lower one (0x518) starts the request at the
 *          address; reading gives "QEMU CFG"
 *
 * A DMA request is 16 big-endian bytes in RAM: control, length, address.  Control: FW_CFG_DMA_* bits and, with SELECT,
 * the key in its upper half.  When the request has ended, control holds 0 or FW_CFG_DMA_ERROR.
 *
 * All items are read only for the guest: a write by the data port is ignored, by DMA an error.  Data is copied to RAM
 * only: what cannot be copied is an error.  A request of more than FW_CFG_DMA_SLICE bytes goes on from the event loop,
 * slice by slice, and is called off, with the error bit, by a new selection, a new request or a reset.  (Drivers poll
 * control, as the specification tells them to.)
 */
#ifndef HW_NVRAM_FW_CFG_H
#define HW_NVRAM_FW_CFG_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "system/memory.h"

#define FW_CFG_BASE 0x510u
#define FW_CFG_DMA_BASE 0x514u
#define FW_CFG_PORTS_END 0x51cu /* behind the last port */

/* Keys of items; little-endian numbers, except in the file directory. */
enum {
    FW_CFG_SIGNATURE = 0x00, /* "QEMU" */
    FW_CFG_ID = 0x01,        /* 32 bits: bit 0 data port, bit 1 DMA */
    FW_CFG_UUID = 0x02,      /* 16 bytes */
    FW_CFG_RAM_SIZE = 0x03,  /* 64 bits */
    FW_CFG_NOGRAPHIC = 0x04, /* 16 bits */
    FW_CFG_NB_CPUS = 0x05,   /* 16 bits: at work after power-on */
    FW_CFG_BOOT_MENU = 0x0e, /* 16 bits */
    FW_CFG_MAX_CPUS = 0x0f,  /* 16 bits */
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
};
#define FW_CFG_FILES_MAX 64u
#define FW_CFG_FILE_NAME_SIZE 56u /* with the zero behind it */

enum {
    FW_CFG_DMA_ERROR = 1 << 0,
    FW_CFG_DMA_READ = 1 << 1,
    FW_CFG_DMA_SKIP = 1 << 2,
    FW_CFG_DMA_SELECT = 1 << 3,
    FW_CFG_DMA_WRITE = 1 << 4,
};
#define FW_CFG_DMA_SLICE (256u * 1024)

typedef struct FwCfg FwCfg;

/*
 * The device at its ports of IO, with signature, id and an empty directory.  DMA goes to MEMORY.  For a board, it lives
 * as long as the program; fw_cfg_free() is for tests.
 */
FwCfg *fw_cfg_new(MemoryRegion *io, AddressSpace *memory);
void fw_cfg_free(FwCfg *cfg);

/* Calls off what is under way and selects item 0.  For the board's reset. */
void fw_cfg_reset(FwCfg *cfg);

/* Item KEY is SIZE bytes of DATA (copied) from now on. */
void fw_cfg_set(FwCfg *cfg, uint16_t key, const void *data, size_t size);

/* Item KEY is VALUE in SIZE (2, 4 or 8) bytes. */
void fw_cfg_set_number(FwCfg *cfg, uint16_t key, uint64_t value, unsigned size);

/*
 * File NAME is DATA (a reference is taken) from now on; replaces a file of this name and keeps its key.  NAME is
 * shorter than FW_CFG_FILE_NAME_SIZE, and there are no more than FW_CFG_FILES_MAX files: both are the board's to keep
 * (asserted).
 */
void fw_cfg_set_file(FwCfg *cfg, const char *name, GBytes *data);

/* The same with a copy of SIZE bytes. */
void fw_cfg_set_file_copy(FwCfg *cfg, const char *name, const void *data, size_t size);

/* Contents of file NAME (borrowed), or NULL. */
GBytes *fw_cfg_file(FwCfg *cfg, const char *name);

/* File "etc/e820": what memory is where.  The entries are little-endian and packed in the file. */
typedef struct FwCfgE820 {
    uint64_t start;
    uint64_t size;
    uint32_t type;
} FwCfgE820;
enum { FW_CFG_E820_RAM = 1, FW_CFG_E820_RESERVED = 2 };
void fw_cfg_set_e820(FwCfg *cfg, const FwCfgE820 *entries, unsigned count);

#endif
