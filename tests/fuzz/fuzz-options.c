/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: option strings.
 * Runs in: fuzz target
 *
 * The first byte chooses what the rest, text up to a NUL, is read as (`readers`).  Checked, besides what the sanitizers
 * see: a failure has a message, pairs are neither lost nor unread, no descriptor is left open.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "launch/config.h"
#include "launch/emulator-args.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/fd-name.h"
#include "util/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_fd_parse(const char *option, const char *value, GError **errp);
int __real_fd_parse(const char *option, const char *value, GError **errp);

static void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-options: %s", what);
    }
}

/* ERRP: by its address, since the call that sets it stands beside it. */
static void check_result(bool ok, GError *const *errp)
{
    check(ok == !*errp, "success and failure at once, or neither");
    check(ok || (*errp)->message[0], "a failure without a message");
}

/* Numbers mean descriptors of ours, so that the fuzzer's own stay open. */
int __wrap_fd_parse(const char *option, const char *value, GError **errp)
{
    uint64_t number;

    return parse_uint64(value, &number) && number < 8 ? open("/dev/null", O_RDWR) : __real_fd_parse(option, "-1", errp);
}

/* ---- readers of text --------------------------------------------------------------------------------------------- */

static bool check_pair(const char *key, const char *value, void *opaque, GError **errp)
{
    unsigned *num = opaque;

    check(key[0] && value, "a pair without key or value");
    (*num)++;
    return true;
}

/* Each typed reader on KEY. */
static void read_value(Options *opts, const char *key)
{
    static const char *const names[] = { "on", "off", "auto", NULL };
    g_autoptr(GError) bool_err = NULL;
    g_autoptr(GError) uint_err = NULL;
    g_autoptr(GError) size_err = NULL;
    g_autoptr(GError) enum_err = NULL;
    uint64_t number;
    bool flag;
    int index;

    check_result(options_get_bool(opts, key, &flag, &bool_err), &bool_err);
    check_result(options_get_uint(opts, key, 1000, &number, &uint_err), &uint_err);
    check_result(options_get_size(opts, key, &number, &size_err), &size_err);
    check_result(options_get_enum(opts, key, names, &index, &enum_err), &enum_err);
}

static void read_values(Options *opts)
{
    static const char *const keys[] = { "a", "b", "size", "file.a", "a.0.b", "" };
    g_autoptr(Options) part = options_take_prefix(opts, "file.");

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        read_value(opts, keys[i]);
        read_value(part, keys[i]);
    }
}

static void read_options(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) unused = NULL;
    g_autoptr(Options) opts = options_parse("-device", text, "driver", &err);
    unsigned num = 0;

    check_result(opts != NULL, &err);
    if (opts) {
        read_values(opts);
        check_result(options_check_unused(opts, NULL, &unused), &unused);
        options_foreach(opts, check_pair, &num, NULL);
        check(num == options_count(opts), "pairs are lost");
        check(options_check_unused(opts, NULL, NULL), "a pair that was read is unused");
    }
}

/* Properties of a device, which is not realized. */
static void set_properties(const char *text, GType type)
{
    g_autoptr(Options) opts = options_parse("-device", text, NULL, NULL);
    g_autoptr(GError) err = NULL;
    Device *dev;

    if (opts) {
        dev = device_new(type);
        check_result(qom_set_options(dev, opts, NULL, &err), &err);
        g_object_unref(dev);
    }
}

static void set_lsi(const char *text)
{
    set_properties(text, lsi53c895a_get_type());
}

static void set_disk(const char *text)
{
    set_properties(text, scsi_hd_get_type());
}

static void forget_set(int64_t set_id, int fd, const char *opaque, void *data)
{
    *(int64_t *)data = set_id;
}

/* -add-fd, then the set by its path, and what a name means. */
static void read_add_fd(const char *text)
{
    g_autoptr(Options) opts = options_parse("-add-fd", text, NULL, NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *name = NULL;

    if (!opts) {
        return;
    }
    name = g_strdup(options_get(opts, "opaque"));
    check_result(fd_add_option(opts, true, &err), &err);
    while (fdset_count() > 0) {
        int64_t set_id = -1;
        g_autofree char *path = NULL;
        auto_fd fd = -1;

        fdset_foreach(forget_set, &set_id);
        path = g_strdup_printf("/dev/fdset/%" G_GINT64_FORMAT, set_id);
        fd = fd_open_path(path, O_RDONLY, NULL);
        check(fdset_remove(set_id, -1) > 0, "a set that is there cannot be removed");
    }
    if (fd_name_count() > 0) {
        auto_fd fd = fd_name_or_number_take("fd", name, NULL);

        check(fd >= 0 && fd_name_count() == 0, "a name is not what it was given for");
    }
}

/* What a monitor's or a launcher's user calls a file. */
static void read_path(const char *text)
{
    g_autofree char *path = g_strconcat("/dev/fdset/", text, NULL);
    g_autoptr(GError) err = NULL;
    auto_fd fd = fd_open_path(path, O_RDWR, &err);

    check_result(fd >= 0, &err);
    check(fd < 0, "a set that nobody has made");
}

static void read_values_alone(const char *text)
{
    bool flag;
    uint64_t number;
    int64_t with_sign;

    parse_bool(text, &flag);
    if (parse_uint64(text, &number) && number <= INT64_MAX) {
        check(parse_int64(text, &with_sign) && (uint64_t)with_sign == number, "a number is two");
    }
    parse_size(text, 'B', &number);
    id_wellformed(text);
}

/* Words, which blanks part. */
static void read_launch(const char *text)
{
    g_autofree char *line = g_strconcat("mpqemu-launch ", text, NULL);
    g_auto(GStrv) words = g_strsplit(line, " ", 64);
    g_autoptr(GError) err = NULL;
    g_autoptr(LaunchConfig) config = launch_config_parse((int)g_strv_length(words), words, &err);
    EmulatorArgs args;

    check_result(config != NULL, &err);
    emulator_args_read(words, &args);
    g_free(args.name);
}

static void (*const readers[])(const char *text) = {
    read_options, set_lsi, set_disk, read_add_fd, read_path, read_values_alone, read_launch,
};


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = NULL;

    if (size > 0) {
        text = g_strndup((const char *)data + 1, size - 1);
        readers[data[0] % G_N_ELEMENTS(readers)](text);
    }
    return 0;
}
