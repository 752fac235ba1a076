/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: pieces of guest memory that live in a file descriptor and can be shared with another
 * process.
 *
 * Thread: made and freed with the machine lock held; the memory itself is shared with vCPUs,
 * devices and other processes at any time.  Runs in: both programs.
 *
 * Nobody outside dma.c and memory-access.c touches `host`: other processes change these bytes at
 * any moment, so everything is copied once and then checked.
 *
 * A peer may shrink an unsealed file under our mapping.  A fault in the lost part must not kill the
 * process: ram.c has a SIGBUS handler (ram_guard_install()) that puts zero pages there, and marks
 * the block as lost.
 */
#ifndef SYSTEM_RAM_H
#define SYSTEM_RAM_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "qom/object.h"
#include "util/syscalls.h"

typedef struct RamBlock {
    char *name;
    int fd;            /* owned; -1: private memory that cannot be shared */
    uint64_t fd_offset;
    uint8_t *host;     /* mapping */
    uint64_t size;     /* bytes; a multiple of the page size unless it came from a peer's table */
    bool readonly;
    int refs;          /* atomic: flat views and in-flight DMA hold references */
    bool lost;         /* the file was shrunk under us; relaxed atomic, set by the SIGBUS handler */
    void *map_base;    /* what munmap() gets: whole pages of the file's kind around the block */
    size_t map_size;
    uint64_t *dirty;   /* while it is logged (system/dirty-log.h): a bit for each page.  Else NULL.  Atomic */
    struct DirtyState *dirty_state; /* dirty-log.c's; NULL before the first log */
} RamBlock;

/* A new block on a memfd of SIZE bytes (sealed against growing and shrinking when SEAL). */
RamBlock *ram_block_new_memfd(const char *name, uint64_t size, bool seal, GError **errp);

/*
 * Maps SIZE bytes from OFFSET of FD shared.  Takes FD.  Fails unless the descriptor is mappable
 * memory or a regular file (fd_kind) that is already at least OFFSET + SIZE bytes long: a peer's
 * file is never grown.
 */
RamBlock *ram_block_new_take_fd(const char *name, int fd, uint64_t offset, uint64_t size,
                                bool readonly, GError **errp);

/*
 * A private copy-on-write mapping of FD's first SIZE bytes; takes FD and keeps none: such a block
 * cannot be shared.
 */
RamBlock *ram_block_new_private_take_fd(const char *name, int fd, uint64_t size, GError **errp);

RamBlock *ram_block_ref(RamBlock *block);
void ram_block_unref(RamBlock *block); /* any thread; accepts NULL */

/*
 * Installs the SIGBUS handler; once, in main().  A SIGBUS outside RAM blocks still kills the
 * process.
 */
void ram_guard_install(void);

/*
 * Memory backends (-object memory-backend-memfd,id=,size=[,seal=on|off][,share=on] and
 * memory-backend-file,id=,size=,mem-path=,share=on[,readonly=on]).  complete() makes the block.
 * share=off is refused where the backend is used for guest RAM that a remote process must see.
 */
typedef struct MemoryBackend {
    QomObject qom;
    uint64_t size;
    bool share;
    bool seal;
    bool readonly;
    char *mem_path;
    RamBlock *block; /* owned; NULL until completed */
    bool mapped;     /* in use by a machine */
} MemoryBackend;
typedef struct MemoryBackendClass {
    QomObjectClass qom_class;
} MemoryBackendClass;

QOM_DECLARE_TYPE(MemoryBackend, memory_backend, MEMORY_BACKEND)
GType memory_backend_memfd_get_type(void);
GType memory_backend_file_get_type(void);

/* What taking memory from a peer needs. */
extern const SyscallTable ram_syscalls;
extern const SyscallTable ram_maker_syscalls; /* on top, for who makes guest memory */

#endif
