/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Named descriptors.
 *
 * Runs in: mpqemu.  The manual is include/util/fd-name.h.
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

int fd_name_or_number_take(const char *option, const char *value, GError **errp)
{
    gpointer key, held;
    int fd;

    if (!g_ascii_isdigit(value[0])) {
        if (names == NULL || !g_hash_table_steal_extended(names, value, &key, &held)) {
            error_setg(errp, "%s=%s: there is no descriptor of this name; give its number, or name "
                       "it with -add-fd fd=N,set=ID,opaque=%s", option, value, value);
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
    return fd;
}
