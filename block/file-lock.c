/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks on images that other emulators and tools respect.
 *
 * Runs in: both.
 *
 * Theory of operation.  QEMU and its tools lock single bytes of the image with shared locks of the open file
 * description (fcntl(2) F_OFD_SETLK).  Seen from outside with /proc/locks on QEMU 7.2: byte 100 + N says "I do N",
 * byte 200 + N says "I do not stand others doing N", where N is 0 for reading and 1 for writing.  After locking its
 * own bytes everyone looks whether someone else holds the opposite ones; so two that start at the same time see each
 * other.  The bytes need not exist in the file.
 *
 *   device that only reads     100, 201
 *   device that writes         100, 101, 201
 *   qemu-img, reading          100 (and 201)
 *
 * Locks belong to the open file description: a descriptor passed by a launcher shares the launcher's.
 */
#include <errno.h>
#include <fcntl.h>
#include "block/file-int.h"
#include "trace/block.h"
#include "util/error.h"

#define DOES 100
#define REFUSES 200

enum {
    USE_READ = 0,
    USE_WRITE = 1,
};

/* Each of ours: the byte, and the opposite one that nobody may hold meanwhile. */
typedef struct LockByte {
    short byte, opposite;
    const char *use; /* what another process does that holds the opposite byte */
} LockByte;

static const LockByte read_bytes[] = {
    { DOES + USE_READ, REFUSES + USE_READ, "does not let others read it" },
    { REFUSES + USE_WRITE, DOES + USE_WRITE, "writes to it" },
};
static const LockByte write_bytes[] = {
    { DOES + USE_WRITE, REFUSES + USE_WRITE, "does not let others write to it" },
};

/* COMMAND F_OFD_SETLK: locks or unlocks BYTE.  F_OFD_GETLK: *ret_type is F_UNLCK when nobody is in the way. */
static int lock_byte(int fd, int command, short type, short byte, short *ret_type)
{
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };

    if (fcntl(fd, command, &lock) < 0) {
        return -errno;
    }
    if (ret_type) {
        *ret_type = lock.l_type;
    }
    return 0;
}

static void unlock(const FileState *s, const LockByte *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        lock_byte(s->fd, F_OFD_SETLK, F_UNLCK, bytes[i].byte, NULL);
    }
}

/* NFS without a lock daemon, FUSE: there are no locks at all. */
static bool is_unsupported(int err)
{
    return err == -ENOLCK || err == -EOPNOTSUPP || err == -EINVAL || err == -ENOSYS;
}

/* Locks all of BYTES and checks their opposites, or locks nothing. */
static bool lock_bytes(const FileState *s, const LockByte *bytes, unsigned count, GError **errp)
{
    short found = F_UNLCK;
    int err = 0;

    for (unsigned i = 0; i < count && !err; i++) {
        err = lock_byte(s->fd, F_OFD_SETLK, F_RDLCK, bytes[i].byte, NULL);
    }
    for (unsigned i = 0; i < count && !err; i++) {
        /* Would an exclusive lock conflict with anybody's? */
        err = lock_byte(s->fd, F_OFD_GETLK, F_WRLCK, bytes[i].opposite, &found);
        if (!err && found != F_UNLCK) {
            unlock(s, bytes, count);
            trace_block_file_lock_conflict(s->filename, bytes[i].opposite);
            error_setg(errp, "image %s is in use: another process, or another drive of this one, %s; stop that, share "
                       "the image with readonly=on on all sides, or give locking=off (file.locking=off) at your own "
                       "risk",
                       s->filename, bytes[i].use);
            return false;
        }
    }
    if (err == -EAGAIN || err == -EACCES) {
        unlock(s, bytes, count);
        error_setg(errp, "image %s is in use: another process has locked it as a whole; stop that process, or give "
                   "locking=off (file.locking=off) at your own risk", s->filename);
        return false;
    }
    if (err && !(s->locking == FILE_LOCKING_AUTO && is_unsupported(err))) {
        unlock(s, bytes, count);
        error_setg_errno(errp, -err, "image %s cannot be locked; give locking=off (file.locking=off) where the file "
                         "system has no locks", s->filename);
        return false;
    }
    return true;
}

/* Called when a node's users change.  Takes before it drops, so a failure leaves the image as it was. */
bool file_lock(FileState *s, BlockAccess access, GError **errp)
{
    bool reads = access >= BLOCK_ACCESS_READ;
    bool writes = access == BLOCK_ACCESS_WRITE;
    bool took_read = false;

    if (s->locking == FILE_LOCKING_OFF) {
        return true;
    }
    if (reads && !s->locked_read) {
        if (!lock_bytes(s, read_bytes, G_N_ELEMENTS(read_bytes), errp)) {
            return false;
        }
        took_read = true;
    }
    if (writes && !s->locked_write && !lock_bytes(s, write_bytes, G_N_ELEMENTS(write_bytes), errp)) {
        if (took_read) {
            unlock(s, read_bytes, G_N_ELEMENTS(read_bytes));
        }
        return false;
    }
    if (!writes && s->locked_write) {
        unlock(s, write_bytes, G_N_ELEMENTS(write_bytes));
    }
    if (!reads && s->locked_read) {
        unlock(s, read_bytes, G_N_ELEMENTS(read_bytes));
    }
    s->locked_read = reads;
    s->locked_write = writes;
    return true;
}
