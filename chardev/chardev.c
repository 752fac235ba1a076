/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the list of backends, fronts, and what -chardev says.
 *
 * Runs in: mpqemu.
 */
#include "chardev/chardev-int.h"

#include "util/error.h"
#include "system/runstate.h"

int64_t chardev_stall_ns = CHARDEV_STALL_NS;

static GPtrArray *backends; /* Chardev *, a reference each */

static Chardev *find(const char *id)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        Chardev *chr = g_ptr_array_index(backends, i);

        if (g_str_equal(chr->id, id)) {
            return chr;
        }
    }
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------- */

void chardev_init(Chardev *chr, const ChardevClass *klass, const char *id)
{
    *chr = (Chardev) { .klass = klass, .id = g_strdup(id), .refs = 1 };
}

Chardev *chardev_ref(Chardev *chr)
{
    chr->refs++;
    return chr;
}

void chardev_unref(Chardev *chr)
{
    if (chr && --chr->refs == 0) {
        g_free(chr->id);
        g_free(chr->filename);
        if (chr->klass->free) {
            chr->klass->free(chr);
        } else {
            g_free(chr);
        }
    }
}

void chardev_register(Chardev *chr)
{
    if (!backends) {
        backends = g_ptr_array_new();
    }
    g_ptr_array_add(backends, chr);
}

/* ---- fronts -------------------------------------------------------------------------------------- */

Chardev *chardev_attach(const char *id, const ChardevOps *ops, void *opaque, GError **errp)
{
    Chardev *chr = find(id);

    if (!chr) {
        error_setg(errp, "chardev=%s: there is no such device; add -chardev socket,id=%s,...", id, id);
        return NULL;
    }
    if (chr->klass->attach) {
        chr = chr->klass->attach(chr, errp);
        if (!chr) {
            return NULL;
        }
    } else if (chr->ops) {
        error_setg(errp, "chardev=%s: it is in use; give each port a -chardev of its own, or mux=on to the one", id);
        return NULL;
    } else {
        chardev_ref(chr);
    }
    chr->ops = ops;
    chr->opaque = opaque;
    chardev_accept_input(chr);
    return chr;
}

void chardev_detach(Chardev *chr)
{
    if (!chr) {
        return;
    }
    chr->ops = NULL;
    if (chr->klass->detached) {
        chr->klass->detached(chr);
    }
    chardev_unref(chr);
}

size_t chardev_write(Chardev *chr, const void *data, size_t len)
{
    return chr && chr->klass->write ? chr->klass->write(chr, data, len) : len;
}

size_t chardev_room(Chardev *chr)
{
    return chr->klass->room ? chr->klass->room(chr) : CHARDEV_QUEUE;
}

void chardev_accept_input(Chardev *chr)
{
    if (chr && chr->klass->accept_input) {
        chr->klass->accept_input(chr);
    }
}

size_t chardev_front_can_read(Chardev *chr)
{
    return chr->ops && chr->ops->can_read ? chr->ops->can_read(chr->opaque) : 0;
}

void chardev_front_read(Chardev *chr, const uint8_t *data, size_t len)
{
    if (chr->ops && chr->ops->read) {
        chr->ops->read(chr->opaque, data, len);
    }
}

void chardev_front_can_write(Chardev *chr)
{
    if (chr->ops && chr->ops->can_write) {
        chr->ops->can_write(chr->opaque);
    }
}

void chardev_front_event(Chardev *chr, ChardevEvent event)
{
    if (chr->ops && chr->ops->event) {
        chr->ops->event(chr->opaque, event);
    }
}

/* ---- start and end ------------------------------------------------------------------------------- */

static Chardev *open_null(const char *id, Options *opts, GError **errp)
{
    static const ChardevClass klass = { .name = "null" };
    Chardev *chr = g_new0(Chardev, 1);

    chardev_init(chr, &klass, id);
    return chr;
}

static const struct {
    const char *name;
    ChardevOpen *open;
    const char *const keys[8]; /* known, besides those of all */
    bool mux;                  /* something can come in: sharing makes sense */
} kinds[] = {
    { "stdio", chardev_open_stdio, { "signal", "mux", "id" }, true },
    { "socket", chardev_open_socket, { "path", "server", "wait", "fd", "mux", "id" }, true },
    { "file", chardev_open_file, { "path", "append", "mux", "id" }, false },
    { "pty", chardev_open_pty, { "mux", "id" }, true },
    { "null", open_null, { "mux", "id" }, false },
};

bool chardev_add(Options *opts, GError **errp)
{
    const char *kind = options_get(opts, "backend"), *id = options_get(opts, "id");
    bool mux = false;
    unsigned i = 0;
    Chardev *chr;

    while (i < G_N_ELEMENTS(kinds) && g_strcmp0(kind, kinds[i].name) != 0) {
        i++;
    }
    if (i == G_N_ELEMENTS(kinds)) {
        error_setg(errp, "'%s' is no kind of device; give file, pty, socket, stdio or null", kind ? kind : "");
        return false;
    }
    if (!id || !id_wellformed(id)) {
        error_setg(errp, "id=%s: it needs an id; give letters and digits", id ? id : "");
        return false;
    }
    if (find(id)) {
        error_setg(errp, "id=%s: there is a device of this id; give each its own", id);
        return false;
    }
    if (!options_get_bool(opts, "mux", &mux, errp)) {
        return false;
    }
    if (mux && !kinds[i].mux) {
        error_setg(errp, "mux=on: a %s cannot be shared; leave it out", kind);
        return false;
    }
    /* Before it is opened, which others may see. */
    for (const char *const *key = kinds[i].keys; *key; key++) {
        options_get(opts, *key);
    }
    if (!options_check_unused(opts, kinds[i].keys, errp)) {
        return false;
    }
    chr = kinds[i].open(id, opts, errp);
    if (!chr) {
        return false;
    }
    if (!chr->filename) {
        chr->filename = g_strdup(kind);
    }
    if (mux) {
        chardev_mux_new(chr);
    } else {
        chardev_register(chr);
    }
    return true;
}

bool chardev_exists(const char *id)
{
    return find(id) != NULL;
}

bool chardev_is_mux(const char *id)
{
    Chardev *chr = find(id);

    return chr && chardev_is_mux_of(chr);
}

void chardevs_foreach(void (*fn)(const char *id, const char *filename, bool in_use, void *opaque), void *opaque)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        Chardev *chr = g_ptr_array_index(backends, i);

        /* Without a filename: the terminal of a monitor on a mux, which no -chardev made. */
        if (chr->filename) {
            fn(chr->id, chr->filename, chr->klass->in_use ? chr->klass->in_use(chr) : chr->ops != NULL, opaque);
        }
    }
}

static bool any_waiting(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        Chardev *chr = g_ptr_array_index(backends, i);

        if (chr->klass->waiting && chr->klass->waiting(chr)) {
            return true;
        }
    }
    return false;
}

bool chardevs_start(void)
{
    int status;

    for (unsigned i = 0; backends && i < backends->len; i++) {
        Chardev *chr = g_ptr_array_index(backends, i);

        if (chr->klass->start) {
            chr->klass->start(chr);
        }
    }
    while (any_waiting() && !shutdown_requested(&status)) {
        event_loop_turn(event_loop_main(), true);
    }
    return !any_waiting();
}

void chardevs_stop(void)
{
    while (backends && backends->len > 0) {
        Chardev *chr = g_ptr_array_steal_index(backends, backends->len - 1);

        if (chr->klass->stop) {
            chr->klass->stop(chr);
        }
        chardev_unref(chr);
    }
    g_clear_pointer(&backends, g_ptr_array_unref);
}
