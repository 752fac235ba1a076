/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: image files, and the options that say how they are to be read.
 * Runs in: fuzz target
 *
 * Input: 1 byte, a -drive (even) or a -blockdev (odd); its text up to a NUL; the image.  Every path is the image, in
 * memory.  The only formats here are raw, which has no metadata, and what is probed to be none of ours; so what parses
 * the image's bytes is block/probe.c, and its size meets the windows (offset=, size=) and rules (blkdebug) of the
 * options. Then the whole device is read, and beyond.  Checked, besides what the sanitizers see: what is read is a part
 * of the image or zeroes, requests beyond the end fail, all that was made can be removed again.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "block/block.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define SECTOR 512u
#define READ_MAX (64u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int __wrap_fd_open_path(const char *path, int flags, GError **errp);

static int image_fd;
static uint8_t image[READ_MAX], window[READ_MAX]; /* `image`: what the file has, zeroes behind */
static size_t image_size;

static void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-image: %s", what);
    }
}

/* A description of its own for each, as open() gives: locks belong to it. */
int __wrap_fd_open_path(const char *path, int flags, GError **errp)
{
    g_autofree char *own = g_strdup_printf("/proc/self/fd/%d", image_fd);

    return open(own, flags | O_CLOEXEC);
}

static void done(void *opaque, int ret)
{
    *(int *)opaque = ret;
}

/* One request from OFFSET on, to its end; 0 or -errno. */
static int read_at(BlockBackend *blk, uint64_t offset, size_t len)
{
    struct iovec iov = { window, len };
    int ret = 1;

    blk_preadv(blk, offset, &iov, 1, done, &ret);
    blk_drain(blk, G_TIME_SPAN_SECOND * INT64_C(1000));
    check(ret <= 0, "a request did not end");
    return ret;
}

/* Whether the LEN bytes that were read stand in the image at a sector, or are zeroes. */
static bool comes_from_image(size_t len)
{
    for (size_t at = 0; at + len <= READ_MAX; at += SECTOR) {
        if (memcmp(image + at, window, len) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < len; i++) {
        if (window[i]) {
            return false;
        }
    }
    return true;
}

static void use(BlockBackend *blk)
{
    uint64_t length = blk_length(blk);
    size_t len = MIN(length, READ_MAX);

    check(length % SECTOR == 0, "a device that ends inside a sector");
    if (len > 0 && read_at(blk, 0, len) == 0) {
        check(comes_from_image(len), "bytes that the image does not have");
    }
    if (length >= SECTOR) {
        read_at(blk, length - SECTOR, SECTOR);
        check(read_at(blk, length - SECTOR, 2 * SECTOR) < 0, "read past the end");
    }
    check(read_at(blk, length, SECTOR) < 0, "read behind the end");
    check(read_at(blk, UINT64_MAX - SECTOR + 1, SECTOR) < 0, "read at the end of the world");
}

/* ---- making and removing ----------------------------------------------------------------------------------------- */

static void keep_name(const char *name, void *opaque)
{
    g_ptr_array_add(opaque, g_strdup(name));
}

static void remove_nodes(void)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    unsigned removed = 0, before;

    block_foreach_node(keep_name, names);
    /* A node that another stands on goes after it; so some rounds are needed. */
    do {
        before = removed;
        for (unsigned i = 0; i < names->len; i++) {
            removed += blockdev_del(names->pdata[i], NULL);
        }
    } while (removed > before);
    g_ptr_array_set_size(names, 0);
    block_foreach_node(keep_name, names);
    check(names->len == 0, "a node cannot be removed");
}

static void try_drive(const char *text)
{
    g_autoptr(Options) opts = options_parse("-drive", text, NULL, NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *name = NULL;
    BlockBackend *blk = opts ? drive_add(opts, &err) : NULL;

    if (blk) {
        use(blk);
        name = g_strdup(blk_name(blk));
        check(drive_del(name, NULL), "a drive cannot be removed");
    }
}

static void try_node(const char *text)
{
    g_autoptr(Options) opts = options_parse("-blockdev", text, "driver", NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *name = opts ? g_strdup(options_get(opts, "node-name")) : NULL;
    BlockBackend *blk;

    if (!opts || !blockdev_add(opts, &err)) {
        return;
    }
    blk = blk_by_name(name, NULL);
    check(blk != NULL, "a node without a backend");
    if (blk_attach(blk, "fuzz", false, NULL)) {
        use(blk);
        blk_detach(blk);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    machine_lock();
    image_fd = memfd_create("image", MFD_CLOEXEC);
    check(image_fd >= 0, "no memfd");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data + 1, 0, size - 1) : NULL;
    g_autofree char *text = NULL;

    if (!end) {
        return 0;
    }
    text = g_strdup((const char *)data + 1);
    memset(image, 0, image_size);
    image_size = MIN((size_t)(data + size - end - 1), READ_MAX);
    memcpy(image, end + 1, image_size);
    if (ftruncate(image_fd, 0) < 0 || pwrite(image_fd, image, image_size, 0) != (ssize_t)image_size) {
        abort();
    }
    if (data[0] % 2) {
        try_node(text);
    } else {
        try_drive(text);
    }
    remove_nodes();
    return 0;
}
