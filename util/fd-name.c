/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors from the user: names, and the option -add-fd.
 *
 * Runs in: both.  The manual is include/util/fd-name.h.
 */
#include <fcntl.h>

#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

static GHashTable *names; /* char * -> descriptor + 1; owns both */

static void close_value(gpointer value)
{
    int fd = GPOINTER_TO_INT(value) - 1;

    fd_close(&fd);
}

bool fd_name_add_take_fd(const char *name, int fd, GError **errp)
{
    auto_fd owned = fd;

    if (name[0] == '\0' || g_ascii_isdigit(name[0])) {
        error_setg(errp, "'%s' cannot name a descriptor; begin with a letter", name);
        return false;
    }
    if (names == NULL) {
        names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_value);
    }
    g_hash_table_replace(names, g_strdup(name), GINT_TO_POINTER(fd_steal(&owned) + 1));
    return true;
}

bool fd_name_remove(const char *name)
{
    return names != NULL && g_hash_table_remove(names, name);
}

unsigned fd_name_count(void)
{
    return names ? g_hash_table_size(names) : 0;
}

bool fd_store_check_room(GError **errp)
{
    if (fdset_count() + fd_name_count() < FD_STORE_MAX) {
        return true;
    }
    error_setg(errp, "there are %d descriptors in names and sets; close some with closefd or remove-fd", FD_STORE_MAX);
    return false;
}

int fd_name_or_number_take(const char *option, const char *value, GError **errp)
{
    gpointer key, held;
    int fd;

    if (!g_ascii_isdigit(value[0])) {
        if (names == NULL || !g_hash_table_steal_extended(names, value, &key, &held)) {
            error_setg(errp, "%s=%s: there is no descriptor of this name; give its number, or name "
                       "it with -add-fd fd=N,set=ID,opaque=%s or getfd", option, value, value);
            return -1;
        }
        g_free(key);
        return GPOINTER_TO_INT(held) - 1;
    }
    fd = fd_parse(option, value, errp);
    if (fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC)) {
        error_setg(errp, "%s=%s: descriptor %d is in use by this program; pass one of its own to "
                   "each device", option, value, fd);
        return -1;
    }
    if (fd >= 0) {
        fd_set_cloexec(fd); /* from now on it is ours */
    }
    return fd;
}

/* Names a duplicate of FD after OPAQUE. */
static bool name_duplicate(const char *opaque, int fd, GError **errp)
{
    int copy = fd_dup(fd);

    if (copy < 0) {
        error_setg_errno(errp, -copy, "-add-fd: descriptor %d cannot be duplicated; raise the "
                         "limit (ulimit -n)", fd);
        return false;
    }
    return fd_name_add_take_fd(opaque, copy, errp);
}

bool fd_add_option(Options *opts, bool named, GError **errp)
{
    static const char *const known[] = { "fd", "set", "opaque", NULL };
    const char *fd_text = options_get(opts, "fd");
    const char *opaque = options_get(opts, "opaque");
    uint64_t set = 0;
    int fd;

    if (!fd_text || !options_has(opts, "set")) {
        error_setg(errp, "-add-fd: %s is missing; give fd=N,set=ID", fd_text ? "set" : "fd");
        return false;
    }
    if (!options_get_uint(opts, "set", INT64_MAX, &set, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    fd = fd_parse("fd", fd_text, errp);
    if (fd < 0) {
        return false;
    }
    if (named && opaque && id_wellformed(opaque) && !name_duplicate(opaque, fd, errp)) {
        return false;
    }
    return fdset_add_take_fd((int64_t)set, fd, opaque, errp);
}
