/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The size of an image: measuring, resizing.
 *
 * Runs in: both.
 *
 * A file's size is taken from the file when it is opened and when the user resizes it, not in between; our own writes
 * may extend it to the end of its last sector.
 */
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "block/file-int.h"
#include "trace/block.h"
#include "util/error.h"
#include "util/fd.h"

int64_t file_measure(const FileState *s)
{
    struct stat st;
    uint64_t size;

    if (s->is_block) {
        return ioctl(s->fd, BLKGETSIZE64, &size) < 0 ? -errno : (int64_t)MIN(size, INT64_MAX);
    }
    return fd_stat(s->fd, &st) < 0 ? -errno : st.st_size;
}

void file_set_size(BlockNode *node, uint64_t size)
{
    FileState *s = node->state;

    s->file_size = size;
    /* The last, partial sector of a file reads as if zeroes followed. */
    node->length = (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
}

/* Nothing is in flight beyond SIZE.  ftruncate(2) on a file that has the size already changes nothing. */
bool file_resize(BlockNode *node, uint64_t size, GError **errp)
{
    FileState *s = node->state;
    int64_t measured;

    if (!s->is_block && ftruncate(s->fd, (off_t)size) < 0) {
        error_setg_errno(errp, errno, "image %s cannot be resized to %" G_GUINT64_FORMAT " bytes", s->filename, size);
        return false;
    }
    measured = file_measure(s);
    if (measured < 0) {
        error_setg_errno(errp, (int)-measured, "image %s: its size cannot be read", s->filename);
        return false;
    }
    trace_block_file_resize(s->filename, node->length, (uint64_t)measured);
    if ((uint64_t)measured < size) {
        error_setg(errp, "block device %s has %" G_GINT64_FORMAT " bytes, which this cannot change; extend the device "
                   "first, or give a size up to that", s->filename, measured);
        return false;
    }
    file_set_size(node, (uint64_t)measured);
    return true;
}

const char *file_filename(const BlockNode *node)
{
    return ((const FileState *)node->state)->filename;
}

uint64_t file_allocated(const BlockNode *node)
{
    const FileState *s = node->state;
    struct stat st;

    return fd_stat(s->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}
