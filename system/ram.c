/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: shared mappings of descriptors, and the guard against files that shrink under them.
 * Runs in: both programs.
 *
 * The guard.  Live blocks are published in a fixed table of address ranges that the SIGBUS handler
 * can read without a lock.  A slot is claimed by storing `start` last and given up by clearing
 * `start` first; a fault in a block can only happen while somebody holds a reference on it, so its
 * slot is stable then.  Other slots may change hands while the handler looks: it takes what it read
 * only when `start` is the same before and after.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include "system/dirty-log.h"
#include "system/ram.h"
#include "util/error.h"
#include "util/fd.h"

/*
 * Blocks alive at once: 8 ranges for each of a process's links and the main RAM; more are refused.
 */
#define GUARD_SLOTS 1024

const SyscallTable ram_syscalls = {
    "guest memory", (const SyscallRule[]) {
        SYSCALL(mmap, "guest memory; never executable", ARG_BITS(2, PROT_EXEC, 0)),
        SYSCALL(munmap, "guest memory that was taken back"),
        SYSCALL(fstatfs, "tells huge pages from small ones"),
        SYSCALL(rt_sigreturn, "goes on after memory was lost under it"),
        SYSCALL_REFUSED(memfd_create, EPERM, "memory of one's own: a device needs none"),
        SYSCALL_END,
    },
};

const SyscallTable ram_maker_syscalls = {
    "making guest memory", (const SyscallRule[]) {
        SYSCALL(memfd_create, "memory backends at run time"),
        SYSCALL(ftruncate, "their size"),
        SYSCALL(fcntl, "which is sealed", ARG_IS(1, F_ADD_SEALS)),
        SYSCALL_END,
    },
};

static struct {
    uintptr_t start; /* 0: free; 1: being filled */
    uintptr_t end;
    RamBlock *block;
} guard_slots[GUARD_SLOTS];

static struct sigaction guard_previous;

static bool guard_add(RamBlock *block)
{
    for (unsigned i = 0; i < GUARD_SLOTS; i++) {
        uintptr_t expected = 0;

        if (__atomic_compare_exchange_n(&guard_slots[i].start, &expected, 1, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            __atomic_store_n(&guard_slots[i].end, (uintptr_t)block->map_base + block->map_size,
                             __ATOMIC_RELEASE);
            __atomic_store_n(&guard_slots[i].block, block, __ATOMIC_RELEASE);
            __atomic_store_n(&guard_slots[i].start, (uintptr_t)block->map_base, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

static void guard_remove(RamBlock *block)
{
    for (unsigned i = 0; i < GUARD_SLOTS; i++) {
        if (__atomic_load_n(&guard_slots[i].start, __ATOMIC_ACQUIRE) ==
            (uintptr_t)block->map_base) {
            __atomic_store_n(&guard_slots[i].start, 0, __ATOMIC_RELEASE);
            return;
        }
    }
}

/* The block that ADDR lies in, or NULL.  Signal handler: loads only. */
static RamBlock *guard_find(uintptr_t addr)
{
    for (unsigned i = 0; i < GUARD_SLOTS; i++) {
        uintptr_t start = __atomic_load_n(&guard_slots[i].start, __ATOMIC_ACQUIRE);
        uintptr_t end = __atomic_load_n(&guard_slots[i].end, __ATOMIC_ACQUIRE);
        RamBlock *block = __atomic_load_n(&guard_slots[i].block, __ATOMIC_ACQUIRE);

        if (start > 1 && addr >= start && addr < end &&
            start == __atomic_load_n(&guard_slots[i].start, __ATOMIC_RELAXED)) {
            return block;
        }
    }
    return NULL;
}

/* Signal handler: only system calls and loads.  Puts a zero page where the file ended. */
static void guard_sigbus(int sig, siginfo_t *info, void *context)
{
    const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const int prot = PROT_READ | PROT_WRITE;
    int saved_errno = errno;
    /* Only "no such page": zeroes for a page that the hardware lost would hide the loss of data. */
    RamBlock *block = info->si_code == BUS_ADRERR ? guard_find((uintptr_t)info->si_addr) : NULL;

    if (block) {
        uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)4095;

        __atomic_store_n(&block->lost, true, __ATOMIC_RELAXED);
        /* A huge page cannot be replaced in part: then the whole block becomes anonymous. */
        if (mmap((void *)page, 4096, prot, flags, -1, 0) != MAP_FAILED ||
            mmap(block->map_base, block->map_size, prot, flags, -1, 0) != MAP_FAILED) {
            errno = saved_errno;
            return;
        }
    }
    /* Not ours: fault again with the earlier disposition, which a confined process cannot restore. */
    if (sigaction(SIGBUS, &guard_previous, NULL) < 0) {
        abort();
    }
    errno = saved_errno;
}

void ram_guard_install(void)
{
    struct sigaction action = { .sa_sigaction = guard_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &guard_previous);
}

/*
 * The unit in which FD can be mapped, replaced and unmapped: a page; on hugetlbfs, memfds of huge
 * pages included, a huge page.  Mapping less succeeds there, but then nothing undoes it.
 */
static uint64_t map_unit(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        return (uint64_t)fs.f_bsize;
    }
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Maps SIZE bytes from OFFSET of FD; the block keeps FD only when MAP_SHARED is in FLAGS. */
static RamBlock *ram_block_map_take_fd(const char *name, int fd_arg, uint64_t offset, uint64_t size,
                                       bool readonly, int flags, GError **errp)
{
    auto_fd fd = fd_arg;
    uint64_t unit = map_unit(fd);
    uint64_t slack = offset & (unit - 1);
    uint64_t map_size = (size + slack + unit - 1) & ~(unit - 1);
    RamBlock *block;
    void *base;

    base = mmap(NULL, map_size, PROT_READ | (readonly ? 0 : PROT_WRITE), flags, fd,
                (off_t)(offset - slack));
    if (base == MAP_FAILED) {
        error_setg_errno(errp, errno, "%s: cannot map %" G_GUINT64_FORMAT " bytes of memory; "
                         "use less, or raise the limit (ulimit -v)", name,
                         size);
        return NULL;
    }
    block = g_new0(RamBlock, 1);
    block->name = g_strdup(name);
    block->fd = flags & MAP_SHARED ? fd_steal(&fd) : -1;
    block->fd_offset = offset;
    block->host = (uint8_t *)base + slack;
    block->size = size;
    block->readonly = readonly;
    block->refs = 1;
    block->map_base = base;
    block->map_size = map_size;
    if (!guard_add(block)) {
        error_setg(errp, "%s: too many RAM blocks (%d) in one process; use fewer devices in it",
                   name, GUARD_SLOTS);
        munmap(base, block->map_size);
        fd_close(&block->fd);
        g_free(block->name);
        g_free(block);
        return NULL;
    }
    return block;
}

RamBlock *ram_block_new_memfd(const char *name, uint64_t size, bool seal, GError **errp)
{
    auto_fd fd = memfd_create(name, MFD_CLOEXEC | (seal ? MFD_ALLOW_SEALING : 0));

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        error_setg_errno(errp, errno,
                         "%s: cannot make %" G_GUINT64_FORMAT " bytes of shared memory; use less, "
                         "or raise the limits (ulimit -f, -n)", name,
                         size);
        return NULL;
    }
    if (seal && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        error_setg_errno(errp, errno, "%s: cannot seal shared memory; try seal=off", name);
        return NULL;
    }
    return ram_block_map_take_fd(name, fd_steal(&fd), 0, size, false, MAP_SHARED, errp);
}

/* Refuses descriptors that are no memory and ranges that the file does not have. */
static bool check_backing(const char *name, int fd, uint64_t offset, uint64_t size, GError **errp)
{
    FdKind kind = fd_kind(fd);
    struct stat st;

    if (kind != FD_KIND_SHMEM && kind != FD_KIND_FILE) {
        error_setg(errp, "%s: descriptor is %s; pass shared memory or a regular file", name,
                   fd_kind_name(kind));
        return false;
    }
    if (fd_stat(fd, &st) < 0) {
        error_setg_errno(errp, errno,
                         "%s: cannot ask for the size of the file; pass shared memory or a "
                         "regular file",
                         name);
        return false;
    }
    if (!size || size > INT64_MAX || offset > INT64_MAX - size ||
        offset + size > (uint64_t)st.st_size) {
        error_setg(errp,
                   "%s: range %#" G_GINT64_MODIFIER "x+%#" G_GINT64_MODIFIER
                   "x is not inside the file of %#" G_GINT64_MODIFIER
                   "x bytes; make the file longer",
                   name, offset, size, (uint64_t)st.st_size);
        return false;
    }
    return true;
}

RamBlock *ram_block_new_take_fd(const char *name, int fd_arg, uint64_t offset, uint64_t size,
                                bool readonly, GError **errp)
{
    auto_fd fd = fd_arg;

    if (!check_backing(name, fd, offset, size, errp)) {
        return NULL;
    }
    return ram_block_map_take_fd(name, fd_steal(&fd), offset, size, readonly, MAP_SHARED, errp);
}

RamBlock *ram_block_new_private_take_fd(const char *name, int fd_arg, uint64_t size, GError **errp)
{
    auto_fd fd = fd_arg;

    if (!check_backing(name, fd, 0, size, errp)) {
        return NULL;
    }
    return ram_block_map_take_fd(name, fd_steal(&fd), 0, size, false, MAP_PRIVATE, errp);
}

RamBlock *ram_block_ref(RamBlock *block)
{
    __atomic_fetch_add(&block->refs, 1, __ATOMIC_RELAXED);
    return block;
}

void ram_block_unref(RamBlock *block)
{
    if (!block || __atomic_sub_fetch(&block->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    guard_remove(block);
    dirty_state_free(block);
    munmap(block->map_base, block->map_size);
    fd_close(&block->fd);
    g_free(block->name);
    g_free(block);
}
