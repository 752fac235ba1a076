/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about descriptors: names (getfd) and sets (add-fd).
 *
 * Runs in: both programs.
 */
#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

/* The descriptor that came with CALL; -1 with *errp. */
static int take_fd(QmpCall *call, GError **errp)
{
    int fd = qmp_call_take_fd(call);

    if (fd < 0) {
        error_setg(errp, "No file descriptor supplied via SCM_RIGHTS");
        return -1;
    }
    if (!fd_store_check_room(errp)) {
        fd_close(&fd);
    }
    return fd;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool cmd_getfd(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *name = json_object_get_string_member(args, "fdname");
    int fd = take_fd(call, errp);

    return fd >= 0 && fd_name_add_take_fd(name, fd, errp);
}

static bool cmd_closefd(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *name = json_object_get_string_member(args, "fdname");

    if (!fd_name_remove(name)) {
        error_setg(errp, "File descriptor named '%s' not found", name);
        return false;
    }
    return true;
}

/* ---- sets ------------------------------------------------------------------------------------ */

static bool cmd_add_fd(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *opaque = json_object_get_string_member_with_default(args, "opaque", NULL);
    int64_t set_id = json_object_has_member(args, "fdset-id") ? json_object_get_int_member(args, "fdset-id")
                                                              : fdset_free_id();
    JsonObject *info;
    int fd = take_fd(call, errp);

    if (fd < 0 || !fdset_add_take_fd(set_id, fd, opaque, errp)) {
        return false;
    }
    info = json_object_new();
    json_object_set_int_member(info, "fdset-id", set_id);
    json_object_set_int_member(info, "fd", fd);
    *ret_value = node_take_object(info);
    return true;
}

static bool cmd_remove_fd(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    int64_t set_id = json_object_get_int_member(args, "fdset-id");
    bool one = json_object_has_member(args, "fd");
    int64_t fd = one ? json_object_get_int_member(args, "fd") : -1;

    /* A negative or huge "fd" is no descriptor, and must not mean all. */
    if ((one && (fd < 0 || fd > G_MAXINT)) || fdset_remove(set_id, (int)fd) == 0) {
        g_autofree char *which = one ? g_strdup_printf(", fd:%" G_GINT64_FORMAT, fd) : g_strdup("");

        error_setg(errp, "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "%s' not found", set_id, which);
        return false;
    }
    return true;
}

typedef struct FdsetQuery {
    JsonArray *result;
    GHashTable *sets; /* set id -> JsonArray * of its members; owns the keys */
} FdsetQuery;

static void add_member(int64_t set_id, int fd, const char *opaque, void *data)
{
    FdsetQuery *query = data;
    JsonArray *fds = g_hash_table_lookup(query->sets, &set_id);
    JsonObject *info = json_object_new();

    if (!fds) {
        JsonObject *set = json_object_new();

        fds = json_array_new();
        json_object_set_int_member(set, "fdset-id", set_id);
        json_object_set_array_member(set, "fds", fds);
        json_array_add_object_element(query->result, set);
        g_hash_table_insert(query->sets, g_memdup2(&set_id, sizeof(set_id)), fds);
    }
    json_object_set_int_member(info, "fd", fd);
    if (opaque) {
        json_object_set_string_member(info, "opaque", opaque);
    }
    json_array_add_object_element(fds, info);
}

static bool cmd_query_fdsets(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    FdsetQuery query = {
        .result = json_array_new(),
        .sets = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL),
    };

    fdset_foreach(add_member, &query);
    g_hash_table_unref(query.sets);
    *ret_value = node_take_array(query.result);
    return true;
}

const QmpCommandImpl qmp_fd_commands[] = {
    { "getfd", cmd_getfd },
    { "closefd", cmd_closefd },
    { "add-fd", cmd_add_fd },
    { "remove-fd", cmd_remove_fd },
    { "query-fdsets", cmd_query_fdsets },
    { NULL },
};
