/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: what -drive and -blockdev accept, and what they say about the rest.
 *
 * Runs in: the test program test-block-options.
 */
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include "tests/unit/block-test.h"
#include "util/fd.h"

/* Text given to an option, and words that the message must have; %s in the text is the path of a good image. */
typedef struct BadCase {
    const char *text;
    const char *words[3];
} BadCase;

static const BadCase bad_drives[] = {
    { "id=d,file=%s,format=qcow2", { "'qcow2'", "raw", "qemu-img convert" } },
    { "id=d,file=%s,format=nonsense", { "'nonsense'", "use one of" } },
    { "id=d,file=%s,format=raw,driver=raw", { "'format'", "'driver'" } },
    { "id=d,file=%s,format=raw,bogus=1", { "'bogus'", "'1'", "werror" } },
    { "id=d,file=%s,format=raw,file.bogus=1", { "'file.bogus'", "locking" } },
    { "id=d,file=%s,format=raw,locking=off", { "'locking'", "file.locking" } },
    { "id=d,file=%s,format=raw,file.locking=maybe", { "'file.locking'", "'maybe'", "auto, on, off" } },
    { "id=d,file=%s,format=raw,cache=fast", { "'cache'", "'fast'", "writethrough" } },
    { "id=d,file=%s,format=raw,cache.direct=fast", { "'cache.direct'", "'fast'", "on or off" } },
    { "id=d,file=%s,format=raw,aio=posix", { "'aio'", "'posix'", "io_uring" } },
    { "id=d,file=%s,format=raw,werror=panic", { "'werror'", "'panic'", "enospc" } },
    { "id=d,file=%s,format=raw,rerror=enospc", { "'rerror'", "'enospc'", "report, ignore, stop" } },
    { "id=d,file=%s,format=raw,media=tape", { "'media'", "'tape'", "cdrom" } },
    { "id=d,file=%s,format=raw,discard=some", { "'discard'", "'some'", "unmap" } },
    { "id=d,file=%s,format=raw,detect-zeroes=on", { "'detect-zeroes'", "'on'", "off" } },
    { "id=d,file=%s,format=raw,snapshot=on", { "snapshot=on", "copy" } },
    { "id=d,file=%s,format=raw,if=virtio", { "'if'", "'virtio'", "none" } },
    { "id=d,file=%s,format=raw,index=1", { "'index'", "if=none", "scsi-id" } },
    { "id=d,file=%s,format=raw,readonly=perhaps", { "'readonly'", "'perhaps'", "on or off" } },
    { "id=d,file=%s,format=raw,readonly=on,read-only=on", { "'readonly'", "'read-only'" } },
    { "id=d,file=%s,format=raw,file.filename=x", { "file.filename", "mean the same" } },
    { "id=d,file=%s,format=raw,offset=100", { "offset=100", "multiple of 512" } },
    { "id=d,file=%s,format=raw,offset=1G", { "offset=1073741824", "8192" } },
    { "id=d,file=%s,format=raw,size=513", { "size=513", "multiple of 512" } },
    { "id=d,file=%s,format=raw,offset=512,size=8192", { "size=8192", "7680" } },
    { "id=d,file=%s,format=raw,size=18446744073709551104", { "size=18446744073709551104" } },
    { "id=1d,file=%s,format=raw", { "id=1d", "letter" } },
    { "id=taken,file=%s,format=raw", { "id=taken", "in use" } },
    { "id=d,file=%s,format=raw,node-name=taken", { "node-name=taken", "in use" } },
    { "id=d,format=raw", { "'file'", "file=PATH" } },
    { "id=d,file=/nowhere/at/all.img,format=raw", { "/nowhere/at/all.img", "No such file", "correct the path" } },
    { "id=d,file=/,format=raw", { " file=/", "directory" } },
    { "id=d,file=/,format=raw,readonly=on", { " file=/", "is a directory", "give the path of an image" } },
    { "id=d,file=/dev/zero,format=raw", { "/dev/zero", "character device", "block device" } },
    { "id=d,file=/dev/fdset/77,format=raw", { "/dev/fdset/77", "no such descriptor set", "-add-fd" } },
    { "id=d,file=nbd:localhost:10809,format=raw", { "'nbd'", "unknown protocol" } },
    { "id=d,driver=host_device,file=%s", { "a regular file", "driver=file" } },
    { "id=d,driver=null-co,size=1", { "size=1", "512" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-error.0.event=nonsense",
      { "'file.inject-error.0.event'", "'nonsense'", "read_aio" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-error.0.event=read_aio,"
      "file.inject-error.0.errno=0", { "errno=0", "EIO" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-error.1.event=read_aio",
      { "'file.inject-error.1.event'" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-error.0.event=read_aio,"
      "file.inject-error.0.iotype=block-status", { "'file.inject-error.0.iotype'", "write-zeroes" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-delay.0.event=read_aio",
      { "ns=", "nanoseconds" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-delay.0.event=read_aio,"
      "file.inject-delay.0.ns=3600000000001", { "'file.inject-delay.0.ns'", "3600000000000" } },
    { "id=d,format=raw,file.driver=blkdebug,file.image.filename=%s,file.inject-delay.0.event=read_aio,"
      "file.inject-delay.0.ns=1,file.inject-delay.0.errno=5", { "'file.inject-delay.0.errno'" } },
    { "id=d,format=raw,file.driver=blkdebug", { "'image'", "missing" } },
};

static const BadCase bad_blockdevs[] = {
    { "driver=file,filename=%s", { "'node-name'", "missing" } },
    { "node-name=n,filename=%s", { "'driver'", "missing" } },
    { "driver=qcow2,node-name=n,file.filename=%s", { "'qcow2'", "not supported" } },
    { "driver=raw,node-name=n", { "'file'", "missing" } },
    { "driver=raw,node-name=n,file=nobody", { "file=nobody", "no such block node", "-blockdev" } },
    { "driver=raw,node-name=n,file.filename=%s", { "'driver'", "missing", "file.driver=file" } },
    { "driver=raw,node-name=n,file=x,file.driver=file,file.filename=%s", { "'x'", "nested" } },
    { "driver=file,node-name=n", { "'filename'", "missing" } },
    { "driver=file,node-name=a b,filename=%s", { "node-name=a b", "letter" } },
    { "driver=file,node-name=taken,filename=%s", { "node-name=taken", "in use" } },
    { "driver=file,node-name=n,filename=%s,cache.writeback=on", { "'cache.writeback'", "cache.direct" } },
    { "driver=file,node-name=n,filename=%s,werror=stop", { "'werror'", "unknown" } },
};

static void check_bad(const BadCase *cases, unsigned count, bool drive)
{
    g_autofree char *path = make_image("good.img", 8192);

    g_assert_true(try_blockdev("driver=null-co,node-name=taken", NULL));
    for (unsigned i = 0; i < count; i++) {
        g_auto(GStrv) parts = g_strsplit(cases[i].text, "%s", -1);
        g_autofree char *text = g_strjoinv(path, parts);
        g_autoptr(GError) err = NULL;

        g_test_message("%s", text);
        if (drive) {
            g_assert_null(try_drive(text, &err));
        } else {
            g_assert_false(try_blockdev(text, &err));
        }
        g_assert_nonnull(err);
        g_test_message("%s", err->message);
        g_assert_true(g_str_has_prefix(err->message, drive ? "-drive: " : "-blockdev: "));
        g_assert_null(strchr(err->message, '\n'));
        for (unsigned w = 0; w < G_N_ELEMENTS(cases[i].words) && cases[i].words[w]; w++) {
            if (!strstr(err->message, cases[i].words[w])) {
                g_error("no \"%s\" in: %s", cases[i].words[w], err->message);
            }
        }
        /* Nothing half-started: neither names nor locks are left. */
        g_assert_null(blk_by_name("d", NULL));
        g_assert_null(blk_by_name("n", NULL));
    }
    g_assert_nonnull(try_drive("id=d,driver=null-co", NULL));
    block_cleanup();
}

static void test_bad_drives(void)
{
    check_bad(bad_drives, G_N_ELEMENTS(bad_drives), true);
}

static void test_bad_blockdevs(void)
{
    check_bad(bad_blockdevs, G_N_ELEMENTS(bad_blockdevs), false);
}

static void test_unknown_name(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(blk_by_name("ghost", &err));
    g_assert_nonnull(strstr(err->message, "'ghost'"));
    g_assert_nonnull(strstr(err->message, "-drive"));
}

/* Option text that stock QEMU accepts. */
static void test_good_drives(void)
{
    static const char *const texts[] = {
        "id=d,file=%s,format=raw,if=none",
        "id=d,file=%s,if=none",
        "id=d,file=file:%s,format=raw,if=none",
        "id=d,file=%s,format=raw,if=none,media=disk,cache=unsafe,aio=native,discard=unmap,detect-zeroes=off,"
        "werror=stop,rerror=report,snapshot=off",
        "id=d,file=%s,format=raw,if=none,aio=threads,cache.writeback=off,cache.direct=off,cache.no-flush=on",
        "id=d,if=none,format=raw,file.driver=file,file.filename=%s,file.locking=off",
        "id=d,if=none,driver=file,filename=%s",
        "id=d,if=none,format=raw,offset=512,size=1k,file.filename=%s",
        "id=d,if=none,format=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=%s,"
        "file.inject-error.0.event=read_aio,file.inject-error.0.errno=5,file.inject-error.0.sector=3,"
        "file.inject-error.0.once=on,file.inject-error.0.immediately=off,file.inject-error.0.state=1,"
        "file.inject-error.0.iotype=read,file.set-state.0.event=write_aio,file.set-state.0.new_state=2",
        "{\"id\":\"d\",\"if\":\"none\",\"driver\":\"blkdebug\",\"image\":{\"driver\":\"file\",\"filename\":\"%s\"},"
        "\"inject-error\":[{\"event\":\"flush_to_disk\"},{\"event\":\"none\",\"iotype\":\"discard\",\"sector\":-1}]}",
    };
    g_autofree char *path = make_image("good.img", 8192);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_auto(GStrv) parts = g_strsplit(texts[i], "%s", -1);
        g_autofree char *text = g_strjoinv(path, parts);
        GError *err = NULL;
        BlockBackend *blk;
        uint8_t buf[512];

        g_test_message("%s", text);
        blk = try_drive(text, &err);
        g_assert_no_error(err);
        g_assert_true(blk_attach(blk, "x", true, &err));
        g_assert_no_error(err);
        g_assert_cmpstr(blk_name(blk), ==, "d");
        g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
        g_assert_cmpint(buf[9], ==, pattern_byte((strstr(text, "offset=512") ? 512 : 0) + 9));
        close_drive(blk);
    }
}

static void test_cache_modes(void)
{
    static const struct {
        const char *mode;
        bool write_cache;
    } modes[] = {
        { "discard=ignore", true },
        { "cache=writeback", true },
        { "cache=unsafe", true },
        { "cache=writethrough", false },
        { "cache=writethrough,cache.writeback=on", true },
        /* These need direct I/O. */
        { "cache=none", true },
        { "cache=directsync", false },
    };
    g_autofree char *path = make_image("cache.img", 8192);

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        BlockBackend *blk;

        if (i == 5 && !have_direct()) {
            return;
        }
        blk = open_drive(true, "file=%s,format=raw,%s", path, modes[i].mode);
        g_assert_cmpint(blk_write_cache_enabled(blk), ==, modes[i].write_cache);
        g_assert_false(blk_discard_enabled(blk));
        blk_set_write_cache(blk, !modes[i].write_cache);
        g_assert_cmpint(blk_write_cache_enabled(blk), ==, !modes[i].write_cache);
        close_drive(blk);
    }
}

static void test_empty_drive(void)
{
    BlockBackend *blk = open_drive(false, "media=cdrom,readonly=on");

    g_assert_false(blk_is_inserted(blk));
    g_assert_true(blk_is_read_only(blk));
    g_assert_cmpint(blk_length(blk), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, -ENOMEDIUM);
    close_drive(blk);
    blk = try_drive("file=,if=none", NULL);
    g_assert_nonnull(blk);
    g_assert_true(id_wellformed(blk_name(blk)));
    block_cleanup();
}

/* ---- image formats --------------------------------------------------------------------------- */

static void test_formats_are_not_guest_data(void)
{
    static const struct {
        const char *format;
        size_t offset;
        const char *magic;
        size_t len;
    } magics[] = {
        { "qcow2", 0, "QFI\xfb\0\0\0\x03", 8 }, { "vmdk", 0, "KDMV", 4 },           { "vhdx", 0, "vhdxfile", 8 },
        { "vdi", 0x40, "\x7f\x10\xda\xbe", 4 }, { "luks", 0, "LUKS\xba\xbe\0\1", 8 }, { "vpc", 0, "conectix", 8 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(magics); i++) {
        g_autofree char *path = test_path("format.img");
        g_autofree char *text = g_strdup_printf("id=d,file=%s", path);
        g_autoptr(GError) err = NULL;
        char data[1024] = "";

        memcpy(data + magics[i].offset, magics[i].magic, magics[i].len);
        g_assert_true(g_file_set_contents(path, data, sizeof(data), NULL));
        g_assert_null(try_drive(text, &err));
        g_assert_nonnull(strstr(err->message, magics[i].format));
        g_assert_nonnull(strstr(err->message, "format=raw"));
        g_assert_nonnull(strstr(err->message, path));
        close_drive(open_drive(true, "file=%s,format=raw", path));
    }
}

/* ---- files that are no images ---------------------------------------------------------------- */

static void test_permissions(void)
{
    g_autofree char *path = make_image("closed.img", 8192);
    g_autofree char *text = g_strdup_printf("id=d,file=%s,format=raw", path);
    g_autofree char *auto_ro = g_strdup_printf("driver=file,node-name=n,auto-read-only=on,filename=%s", path);
    g_autoptr(GError) err = NULL;
    bool root = geteuid() == 0;

    /* Root may open everything; anybody else will do. */
    if (root) {
        g_assert_cmpint(chmod(test_dir, 0755), ==, 0);
        g_assert_cmpint(seteuid(65534), ==, 0);
    }
    g_assert_cmpint(root ? 0 : chmod(path, 0444), ==, 0);
    g_assert_null(try_drive(text, &err));
    g_assert_nonnull(strstr(err->message, "Permission denied"));
    g_assert_nonnull(strstr(err->message, "readonly=on"));
    g_assert_true(try_blockdev(auto_ro, NULL));
    g_assert_true(blk_is_read_only(blk_by_name("n", NULL)));
    block_cleanup();
    if (root) {
        g_assert_cmpint(seteuid(0), ==, 0);
    }
}

/* Neither waits for somebody to open its other end. */
static void test_special_files(void)
{
    g_autofree char *fifo = test_path("fifo");
    g_autofree char *sock = test_path("socket");
    g_autofree char *fifo_text = g_strdup_printf("id=d,file=%s,format=raw,readonly=on", fifo);
    g_autofree char *sock_text = g_strdup_printf("id=d,file=%s,format=raw", sock);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GError *err = NULL;

    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_null(try_drive(fifo_text, &err));
    g_assert_nonnull(strstr(err->message, "regular file"));
    g_clear_error(&err);
    g_strlcpy(addr.sun_path, sock, sizeof(addr.sun_path));
    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_null(try_drive(sock_text, &err));
    g_clear_error(&err);
    block_cleanup();
}

static void test_short_image(void)
{
    g_autofree char *path = make_image("short.img", 511);
    g_autofree char *text = g_strdup_printf("id=d,file=%s,format=raw", path);
    g_autoptr(GError) err = NULL;

    g_assert_null(try_drive(text, &err));
    g_assert_nonnull(strstr(err->message, path));
    g_assert_nonnull(strstr(err->message, "511 bytes"));
    g_assert_cmpint(truncate(path, 512), ==, 0);
    g_assert_nonnull(try_drive(text, NULL));
    block_cleanup();
}

/* ---- descriptors from the launcher ----------------------------------------------------------- */

static void test_fdset(void)
{
    g_autofree char *path = make_image("fdset.img", 8192);
    auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    BlockBackend *blk;
    GError *err = NULL;
    uint8_t buf[512];

    g_assert_true(fdset_add_take_fd(5, fd_steal(&fd), NULL, &err));
    g_assert_no_error(err);
    g_assert_null(try_drive("id=d,file=/dev/fdset/5,format=raw", &err));
    g_assert_nonnull(strstr(err->message, "read-write"));
    g_clear_error(&err);
    blk = open_drive(false, "file=/dev/fdset/5,format=raw,readonly=on");
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[0], ==, pattern_byte(512));
    close_drive(blk);
    g_assert_true(fdset_add_take_fd(5, open(path, O_RDWR | O_CLOEXEC), NULL, &err));
    blk = open_drive(true, "file=/dev/fdset/5,format=raw");
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-options/drive/refuses-with-remedy", test_bad_drives);
    g_test_add_func("/block-options/blockdev/refuses-with-remedy", test_bad_blockdevs);
    g_test_add_func("/block-options/unknown-name", test_unknown_name);
    g_test_add_func("/block-options/drive/accepts-stock-text", test_good_drives);
    g_test_add_func("/block-options/drive/cache-modes", test_cache_modes);
    g_test_add_func("/block-options/drive/empty", test_empty_drive);
    g_test_add_func("/block-options/other-formats-need-format-raw", test_formats_are_not_guest_data);
    g_test_add_func("/block-options/permissions", test_permissions);
    g_test_add_func("/block-options/special-files", test_special_files);
    g_test_add_func("/block-options/short-image", test_short_image);
    g_test_add_func("/block-options/fdset", test_fdset);
    return block_test_run();
}
