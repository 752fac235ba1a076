/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drivers "file" (regular files) and "host_device" (block devices): opening, closing, properties of an image.
 *
 * Runs in: both.
 *
 * The image is opened once, at start-up, with the widest rights that its options allow; a later sandbox need not
 * open anything.  Who really writes is a matter of locks, which follow the users of the node.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "block/file-int.h"
#include "trace/block.h"
#include "util/error.h"
#include "util/fd.h"

/* What an image is aligned to when nobody knows better: the page size, the largest block size of direct I/O. */
#define SAFE_ALIGN 4096u

static const char *const locking_names[] = { "auto", "on", "off", NULL };

/* ---- alignment ---------------------------------------------------------------------- */

/*
 * The first LEN bytes of the image, in place: for opening, when nothing is under way.  As pread(2), by the call that a
 * confined process has.
 */
static ssize_t read_start(const FileState *s, void *buf, size_t len)
{
    struct iovec iov = { .iov_base = buf, .iov_len = len };

    return preadv2(s->fd, &iov, 1, 0, 0);
}

/*
 * Finds out what O_DIRECT needs.  statx() tells it for files since Linux 6.1, not on every file system; a block device
 * tells its sector size.  Otherwise a read is tried: direct I/O with the wrong alignment is EINVAL.
 */
static void find_direct_alignment(FileState *s)
{
    struct statx stx;
    void *buf;

    s->mem_align = s->offset_align = SAFE_ALIGN;
    if (!statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) && (stx.stx_mask & STATX_DIOALIGN) &&
        stx.stx_dio_offset_align) {
        s->mem_align = MAX(stx.stx_dio_mem_align, 1u);
        s->offset_align = stx.stx_dio_offset_align;
    } else if (s->is_block) {
        s->mem_align = s->offset_align = s->block_size;
    } else if (!posix_memalign(&buf, SAFE_ALIGN, SAFE_ALIGN)) {
        if (read_start(s, (char *)buf + BLOCK_SECTOR, BLOCK_SECTOR) >= 0) {
            s->mem_align = s->offset_align = BLOCK_SECTOR;
        }
        free(buf);
    }
}

/* What the user called the path: -drive and drive_add say file=, -blockdev and blockdev-add filename=. */
static const char *path_key(const char *option)
{
    return g_str_has_prefix(option, "-drive") || g_str_has_prefix(option, "drive_") ? "file" : "filename";
}

/* Turns on O_DIRECT, on a descriptor that was passed to us too. */
static bool set_direct(FileState *s, const char *option, GError **errp)
{
    int flags = fcntl(s->fd, F_GETFL);

    if (fcntl(s->fd, F_SETFL, flags | O_DIRECT) < 0) {
        error_setg_errno(errp, errno, "%s: %s=%s: the file system cannot do without the page cache; use "
                         "cache=writeback (cache.direct=off)", option, path_key(option), s->filename);
        return false;
    }
    find_direct_alignment(s);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What to do about a path that cannot be opened. */
static const char *open_remedy(const char *path, bool read_only)
{
    if (g_str_has_prefix(path, "/dev/fdset/")) {
        return "its access must fit readonly=";
    }
    if (fd_paths_forbidden()) {
        return "pass a descriptor with add-fd and give /dev/fdset/ID, or name the image on the command line";
    }
    if (access(path, F_OK) < 0) {
        return "correct the path, or make the image (qemu-img create -f raw FILE SIZE)";
    }
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        return "give the path of an image in it";
    }
    if (!read_only && !access(path, R_OK)) {
        return "make it writable, or give readonly=on";
    }
    return "check its owner and mode";
}

/*
 * Opens for writing unless the node is read-only.  With auto-read-only an image that may only be read makes the node
 * read-only; who needs to write learns it when he attaches.
 */
static bool open_image(BlockNode *node, const char *option, GError **errp)
{
    FileState *s = node->state;
    g_autoptr(GError) err = NULL;

    /* O_NONBLOCK: a FIFO in place of an image must not make us wait for its writer. */
    s->fd = fd_open_path(s->filename, (node->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK, &err);
    if (s->fd < 0 && !node->read_only && node->auto_read_only) {
        s->fd = fd_open_path(s->filename, O_RDONLY | O_NONBLOCK, NULL);
        node->read_only = s->fd >= 0;
    }
    if (s->fd < 0) {
        error_setg(errp, "%s: %s=%s: %s; %s", option, path_key(option), s->filename, err->message,
                   open_remedy(s->filename, node->read_only));
        return false;
    }
    return true;
}

/* Only what the driver is for is accepted; other things have their own message. */
static bool check_kind(const FileState *s, const char *option, GError **errp)
{
    static const struct {
        mode_t type;
        const char *name, *remedy;
    } kinds[] = {
        { S_IFREG, "a regular file", "use driver=file" },
        { S_IFBLK, "a block device", "use driver=host_device" },
        { S_IFDIR, "a directory", "give the path of an image in it" },
        { S_IFCHR, "a character device", "give the disk's block device (SCSI pass-through is not supported)" },
    };
    const char *name = "no file and no block device", *remedy = "give the path of an image";
    mode_t wanted = s->is_block ? S_IFBLK : S_IFREG;
    struct stat st = { 0 };

    if (!fd_stat(s->fd, &st) && (st.st_mode & S_IFMT) == wanted) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if ((st.st_mode & S_IFMT) == kinds[i].type) {
            name = kinds[i].name;
            remedy = kinds[i].remedy;
        }
    }
    error_setg(errp, "%s: %s=%s is %s, driver=%s wants %s; %s", option, path_key(option), s->filename, name,
               s->is_block ? "host_device" : "file", s->is_block ? "a block device" : "a regular file", remedy);
    return false;
}

/* Reads the size once: an image does not grow under us but by our own writes; block_resize() looks again. */
static bool find_size(BlockNode *node, const char *option, GError **errp)
{
    FileState *s = node->state;
    int64_t size = file_measure(s);
    int sector;

    if (size < 0) {
        error_setg_errno(errp, -size, "%s: %s=%s: its size cannot be read; is the medium there?", option,
                         path_key(option), s->filename);
        return false;
    }
    /* Not even a boot sector: hardly what the user meant.  An empty file is left to the device to judge. */
    if (size > 0 && size < BLOCK_SECTOR) {
        error_setg(errp, "%s: %s=%s: the image's %" G_GINT64_FORMAT " bytes are less than one sector of %u; "
                   "use a larger image", option, path_key(option), s->filename, size, BLOCK_SECTOR);
        return false;
    }
    s->block_size = 1;
    if (s->is_block && !ioctl(s->fd, BLKSSZGET, &sector) && sector > 0) {
        s->block_size = sector;
    }
    file_set_size(node, (uint64_t)size);
    return true;
}

/*
 * Both drivers' open().  The ring is made before the image is touched, so its absence is told before anything is
 * changed; O_DIRECT is set after the kind is known, since only files and disks have it.
 */
static bool open_common(BlockNode *node, Options *opts, bool is_block, GError **errp)
{
    static const char *const aio_names[] = { "io_uring", "threads", "native", NULL };
    FileState *s = node->state;
    const char *option = options_name(opts);
    const char *filename = options_get(opts, "filename");
    int locking = FILE_LOCKING_AUTO, aio;

    s->fd = -1;
    s->is_block = is_block;
    s->direct = node->direct;
    if (!filename || !filename[0]) {
        error_setg(errp, "%s: parameter 'filename' is missing for driver=%s; give the path of the image", option,
                   node->driver->name);
        return false;
    }
    if (!options_get_enum(opts, "locking", locking_names, &locking, errp) ||
        !options_get_enum(opts, "aio", aio_names, &aio, errp) || !uring_init(errp)) {
        return false;
    }
    s->locking = locking;
    s->filename = g_strdup(filename);
    if (!open_image(node, option, errp) || !check_kind(s, option, errp) || !find_size(node, option, errp)) {
        goto fail;
    }
    s->mem_align = s->offset_align = 1;
    if (s->direct && !set_direct(s, option, errp)) {
        goto fail;
    }
    if (!s->direct && (fcntl(s->fd, F_GETFL) & O_DIRECT)) {
        find_direct_alignment(s); /* a passed descriptor, whose flags its passer chose and may share with others */
    }
    /* With O_NONBLOCK the kernel would answer EAGAIN instead of reading from the disk. */
    fd_set_nonblock(s->fd, false);
    trace_block_file_open(s->filename, s->fd, s->file_size, s->mem_align, s->offset_align);
    return true;

fail:
    fd_close(&s->fd);
    g_free(s->filename);
    return false;
}

static bool file_open(BlockNode *node, Options *opts, GError **errp)
{
    return open_common(node, opts, false, errp);
}

static bool host_device_open(BlockNode *node, Options *opts, GError **errp)
{
    return open_common(node, opts, true, errp);
}

/* Called for each change of the node's users, also when nothing changes for the image. */
static bool file_set_access(BlockNode *node, BlockAccess access, GError **errp)
{
    return file_lock(node->state, access, errp);
}

/* Not by io_uring: the event loop may not run yet. */
static ssize_t file_peek(BlockNode *node, void *buf, size_t len)
{
    FileState *s = node->state;
    void *aligned;
    ssize_t ret;

    /* Good for direct I/O too. */
    if (posix_memalign(&aligned, SAFE_ALIGN, SAFE_ALIGN)) {
        return -ENOMEM;
    }
    ret = read_start(s, aligned, SAFE_ALIGN);
    if (ret < 0) {
        ret = -errno;
    } else {
        ret = MIN((size_t)ret, len);
        memcpy(buf, aligned, ret);
    }
    free(aligned);
    return ret;
}

#define FILE_DRIVER(driver_name, open_function)                                        \
    {                                                                                  \
        .name = driver_name,                                                           \
        .state_size = sizeof(FileState),                                               \
        .keys = (const char *const[]) { "filename", "locking", "aio", NULL },          \
        .open = open_function,                                                         \
        .close = file_close,                                                           \
        .submit = file_submit,                                                         \
        .cancel = file_cancel,                                                         \
        .set_access = file_set_access,                                                 \
        .resize = file_resize,                                                         \
        .filename = file_filename,                                                     \
        .allocated = file_allocated,                                                   \
        .peek = file_peek,                                                             \
    }

const BlockDriver block_driver_file = FILE_DRIVER("file", file_open);
const BlockDriver block_driver_host_device = FILE_DRIVER("host_device", host_device_open);
