/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives of remote processes: the image is opened here and passed.
 *
 * Runs in: mpqemu.
 *
 * A remote opens no path.  The image's descriptor becomes a descriptor set there for as long as it takes to make the
 * drive, which keeps a duplicate.  The descriptor stays open here too: a restarted process gets the same one, and with
 * it the locks on the image, which belong to the open file.
 */
#include "hw/proxy/remote-int.h"

#include <fcntl.h>

#include "util/error.h"
#include "util/fd.h"

/* The longest id: "link-ID" must be an id too. */
#define OBJECT_ID_MAX 120

/* ---- what the user said ---------------------------------------------------------------------- */

typedef struct CopyContext {
    Options *to;
    const char *const *skip;
} CopyContext;

static bool copy_pair(const char *key, const char *value, void *opaque, GError **errp)
{
    CopyContext *context = opaque;

    if (!g_strv_contains(context->skip, key)) {
        options_set(context->to, key, value);
    }
    return true;
}

Options *remote_copy_options(Options *opts, const char *const *skip)
{
    CopyContext context = { options_new(options_name(opts)), skip };

    options_foreach(opts, copy_pair, &context, NULL);
    return context.to;
}

RemoteProcess *remote_of_new_object(Options *opts, GError **errp)
{
    const char *option = options_name(opts), *rid = options_get(opts, "rid"), *id = options_get(opts, "id");
    RemoteProcess *other;

    if (!rid || !id) {
        error_setg(errp, "%s: %s is missing; give rid=PROCESS,id=NAME", option, rid ? "id" : "rid");
        return NULL;
    }
    if (!id_wellformed(id) || strlen(id) > OBJECT_ID_MAX) {
        error_setg(errp, "%s: id=%s is malformed; an id is a letter, then letters, digits, '-', '.', '_', at most %u "
                   "characters", option, id, OBJECT_ID_MAX);
        return NULL;
    }
    other = remote_of_id(id);
    if (other) {
        error_setg(errp, "%s: id=%s is in use in remote process '%s'; choose another id", option, id, other->rid);
        return NULL;
    }
    return remote_get(rid, errp);
}

/* Opens the image that OPTS name into DRIVE; a drive without one stays empty. */
static bool open_image(RemoteDrive *drive, Options *opts, GError **errp)
{
    static const char *const file_keys[] = { "file", "file.filename" };
    static const char *const media_names[] = { "disk", "cdrom", NULL };
    bool read_only = false;
    int media = 0;
    const char *path = NULL;

    if (!options_get_bool(opts, "readonly", &read_only, errp) ||
        !options_get_bool(opts, "read-only", &read_only, errp) ||
        !options_get_enum(opts, "media", media_names, &media, errp)) {
        return false;
    }
    drive->read_only = read_only || media == 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(file_keys); i++) {
        const char *value = options_get(opts, file_keys[i]);

        if (value && value[0] && !g_str_has_prefix(value, "null-co://")) {
            if (path) {
                error_setg(errp, "%s: 'file' and 'file.filename' mean the same; give one of them", options_name(opts));
                return false;
            }
            path = g_str_has_prefix(value, "file:") ? value + strlen("file:") : value;
            drive->file_key = g_strdup(file_keys[i]);
        }
    }
    if (!path) {
        return true;
    }
    /* O_NONBLOCK: a FIFO in place of an image must not make us wait; the remote clears it. */
    drive->image = fd_open_path(path, (drive->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK, errp);
    if (drive->image < 0) {
        g_prefix_error(errp, "%s: %s=%s: ", options_name(opts), drive->file_key, path);
        return false;
    }
    return true;
}

static RemoteDrive *drive_of_options(Options *opts, GError **errp)
{
    static const char *const none[] = { "rid", NULL };
    RemoteDrive *drive = g_new0(RemoteDrive, 1);

    drive->id = g_strdup(options_get(opts, "id"));
    drive->image = -1;
    drive->opts = remote_copy_options(opts, none);
    if (!open_image(drive, drive->opts, errp)) {
        remote_drive_free(drive);
        return NULL;
    }
    return drive;
}

/* ---- making it ------------------------------------------------------------------------------- */

static bool add_member(const char *key, const char *value, void *opaque, GError **errp)
{
    json_object_set_string_member(opaque, key, value);
    return true;
}

static JsonObject *fdset_args(const RemoteDrive *drive)
{
    JsonObject *args = json_object_new();

    json_object_set_int_member(args, "fdset-id", drive->fdset);
    return args;
}

static void drive_fdset_removed(RemoteOp *op)
{
    op->made(op); /* whether the set was there does not matter any more */
}

static void drive_added(RemoteOp *op)
{
    remote_op_failed(op);
    if (op->drive->image >= 0) {
        remote_op_command(op, "remove-fd", fdset_args(op->drive), -1, drive_fdset_removed);
    } else {
        op->made(op);
    }
}

static void drive_image_passed(RemoteOp *op)
{
    RemoteDrive *drive = op->drive;
    JsonObject *args;

    if (remote_op_failed(op)) {
        op->made(op);
        return;
    }
    args = json_object_new();
    options_foreach(drive->opts, add_member, args, NULL);
    if (drive->image >= 0) {
        g_autofree char *path = g_strdup_printf("/dev/fdset/%" G_GINT64_FORMAT, drive->fdset);

        json_object_set_string_member(args, drive->file_key, path);
    }
    remote_op_command(op, "drive_add", args, -1, drive_added);
}

void remote_drive_make(RemoteOp *op, RemoteOpStep *made)
{
    static int64_t next_fdset = 1000; /* above what a user's own -add-fd takes */
    JsonObject *args;

    op->made = made;
    if (op->drive->image < 0) {
        drive_image_passed(op);
        return;
    }
    op->drive->fdset = next_fdset++;
    args = fdset_args(op->drive);
    json_object_set_string_member(args, "opaque", op->drive->id);
    remote_op_command(op, "add-fd", args, op->drive->image, drive_image_passed);
}

/* ---- rdrive_add ------------------------------------------------------------------------------ */

static void drive_made(RemoteOp *op)
{
    if (!op->failure) {
        g_ptr_array_add(op->remote->drives, g_steal_pointer(&op->new_drive));
    }
    remote_op_end(op);
}

static void drive_start(RemoteOp *op)
{
    op->drive = op->new_drive;
    remote_drive_make(op, drive_made);
}

void remote_drive_add(Options *opts, RemoteDone *done, void *opaque)
{
    GError *err = NULL;
    RemoteProcess *remote = remote_of_new_object(opts, &err);
    RemoteDrive *drive = remote ? drive_of_options(opts, &err) : NULL;
    RemoteOp *op;

    if (!drive) {
        if (remote) {
            remote_ops_continue(remote); /* nothing of it may be left */
        }
        remote_answer_later(err, done, opaque);
        return;
    }
    op = remote_op_new(remote, drive_start, NULL, done, opaque);
    op->id = g_strdup(drive->id);
    op->new_drive = drive;
    remote_op_submit(op);
}

/* ---- rdrive_del, rblock_resize --------------------------------------------------------------- */

static void drive_forget(RemoteOp *op)
{
    RemoteDrive *drive = remote_drive_find(op->remote, op->id);

    if (drive) {
        g_ptr_array_remove(op->remote->drives, drive);
    }
    remote_op_end(op);
}

static void drive_deleted(RemoteOp *op)
{
    /* A process that died over it has deleted it, too. */
    if (remote_is_alive(op->remote) && remote_op_failed(op)) {
        remote_op_end(op);
        return;
    }
    drive_forget(op);
}

static void drive_delete(RemoteOp *op)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "id", op->id);
    remote_op_command(op, "drive_del", args, -1, drive_deleted);
}

/* Without a process nobody but us knows who uses it. */
static void drive_delete_dead(RemoteOp *op)
{
    for (guint i = 0; i < op->remote->devices->len; i++) {
        RemoteDevice *device = op->remote->devices->pdata[i];

        if (g_strcmp0(options_get(device->opts, "drive"), op->id) == 0) {
            error_setg(&op->failure, "drive '%s' is in use by device '%s'; remove that first", op->id, device->id);
            remote_op_end(op);
            return;
        }
    }
    drive_forget(op);
}

/* The process of RDEV_ID when it has drive ID (or, with ANY, device ID); else NULL with *errp. */
static RemoteProcess *find_with_drive(const char *rdev_id, const char *id, bool any, GError **errp)
{
    RemoteProcess *remote = remote_find(rdev_id, errp);

    if (remote && !remote_drive_find(remote, id) && !(any && remote_device_find(remote, id))) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "remote process '%s' has no drive '%s'; query-remote lists its "
                  "drives", remote->rid, id);
        return NULL;
    }
    return remote;
}

void remote_drive_del(const char *rdev_id, const char *id, RemoteDone *done, void *opaque)
{
    GError *err = NULL;
    RemoteProcess *remote = find_with_drive(rdev_id, id, false, &err);
    RemoteOp *op;

    if (!remote) {
        remote_answer_later(err, done, opaque);
        return;
    }
    op = remote_op_new(remote, drive_delete, drive_delete_dead, done, opaque);
    op->id = g_strdup(id);
    remote_op_submit(op);
}

static void resized(RemoteOp *op)
{
    remote_op_failed(op);
    remote_op_end(op);
}

static void resize(RemoteOp *op)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "device", op->id);
    json_object_set_int_member(args, "size", (int64_t)op->size);
    remote_op_command(op, "block_resize", args, -1, resized);
}

void remote_block_resize(const char *rdev_id, const char *device, uint64_t size, RemoteDone *done, void *opaque)
{
    GError *err = NULL;
    RemoteProcess *remote = find_with_drive(rdev_id, device, true, &err);
    RemoteOp *op;

    if (remote && size > INT64_MAX) {
        error_setg(&err, "size %" G_GUINT64_FORMAT " is too large; give bytes below 8E", size);
        remote = NULL;
    }
    if (!remote) {
        remote_answer_later(err, done, opaque);
        return;
    }
    op = remote_op_new(remote, resize, NULL, done, opaque);
    op->id = g_strdup(device);
    op->size = size;
    remote_op_submit(op);
}
