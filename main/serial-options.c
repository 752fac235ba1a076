/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -serial, -debugcon, -nographic.
 *
 * Runs in: mpqemu.
 *
 * A DEVICE becomes what a user could have written with -chardev, with the id "serialN" or "debugcon"; mon: adds what
 * a user could have written with -mon.
 */
#include "serial-options.h"

#include <string.h>
#include "chardev/chardev.h"
#include "hw/char/debugcon.h"
#include "util/cmdline.h"
#include "util/error.h"

#define DEVICES "stdio, mon:stdio, unix:PATH, file:PATH, pty, null or chardev:ID"

/* ---- reading ------------------------------------------------------------------------------------- */

bool main_opt_serial(const char *arg, void *opaque, GError **errp)
{
    MainConfig *config = opaque;

    if (config->num_serials == ISA_SERIAL_MAX) {
        error_setg(errp, "-serial %s: there are %u of them already; add -device isa-serial,iobase=,irq=,chardev=", arg,
                   ISA_SERIAL_MAX);
        return false;
    }
    config->serials[config->num_serials++].arg = arg;
    return true;
}

bool main_opt_debugcon(const char *arg, void *opaque, GError **errp)
{
    MainConfig *config = opaque;

    if (config->debugcon.arg) {
        error_setg(errp, "-debugcon %s: there is one already, %s; add -device isa-debugcon,iobase=,chardev=", arg,
                   config->debugcon.arg);
        return false;
    }
    config->debugcon.arg = arg;
    return true;
}

/* ---- what a DEVICE stands for ---------------------------------------------------------------------- */

/* The text of a -chardev for ARG, without its id; NULL with *errp. */
static char *chardev_text(const char *arg, GError **errp)
{
    static const struct { const char *prefix, *backend; } with_path[] = { { "unix:", "socket" }, { "file:", "file" } };
    static const char *const bare[] = { "stdio", "pty", "null", NULL };

    if (g_strv_contains(bare, arg)) {
        return g_strdup(arg);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(with_path); i++) {
        if (g_str_has_prefix(arg, with_path[i].prefix)) {
            const char *path = arg + strlen(with_path[i].prefix);

            return g_strdup_printf("%s,%s%s", with_path[i].backend, g_str_has_prefix(path, "path=") ? "" : "path=",
                                   path);
        }
    }
    error_setg(errp, "not supported; give " DEVICES);
    return NULL;
}

/* A monitor on the shared device ID. */
static bool add_monitor(MainConfig *config, const char *id, GError **errp)
{
    g_autofree char *text = g_strdup_printf("chardev=%s,mode=readline", id);
    GPtrArray *monitors = config->monitor.monitors;

    if (!cmdline_action_add(monitors, "-mon", text, NULL, errp)) {
        return false;
    }
    /* For messages, as long as the program lives. */
    ((CmdlineAction *)g_ptr_array_index(monitors, monitors->len - 1))->arg = g_intern_string(text);
    return true;
}

/* Finds out, or makes, the character device ID of PORT.  `chardev` stays NULL for one that is not wanted. */
static bool open_port(MainConfig *config, SerialPort *port, const char *id, GError **errp)
{
    const char *arg = port->arg;
    bool with_monitor = g_str_has_prefix(arg, "mon:");
    g_autofree char *text = NULL;
    g_autofree char *whole = NULL;

    if (with_monitor) {
        arg += strlen("mon:");
    }
    if (g_str_equal(arg, "none")) {
        return true;
    }
    if (g_str_has_prefix(arg, "chardev:")) {
        port->chardev = g_intern_string(arg + strlen("chardev:"));
    } else {
        text = chardev_text(arg, errp);
        if (!text) {
            return false;
        }
        whole = g_strdup_printf("%s,id=%s%s", text, id, with_monitor ? ",mux=on" : "");
        if (!cmdline_action_add(config->monitor.chardevs, "-chardev", whole, "backend", errp)) {
            return false;
        }
        ((CmdlineAction *)g_ptr_array_index(config->monitor.chardevs, config->monitor.chardevs->len - 1))->arg =
            g_intern_string(whole);
        port->chardev = g_intern_string(id);
    }
    return !with_monitor || add_monitor(config, port->chardev, errp);
}

static bool open_named_port(MainConfig *config, SerialPort *port, const char *option, const char *id, GError **errp)
{
    if (!port->arg || open_port(config, port, id, errp)) {
        return true;
    }
    g_prefix_error(errp, "%s %s: ", option, port->arg);
    return false;
}

/* ---- carrying out ---------------------------------------------------------------------------------- */

/* What is there when nothing was said. */
static void add_defaults(MainConfig *config)
{
    if (config->num_serials > 0 || config->nodefaults || config->qtest) {
        return;
    }
    config->num_serials = 1;
    config->serials[0].arg = !config->nographic ? "null" : config->monitor.given ? "stdio" : "mon:stdio";
}

/* Whether a -mon has ID for itself. */
static bool is_monitors(const MainConfig *config, CmdlineAction *chardev)
{
    const char *id = options_get(chardev->opts, "id");
    bool mux = false;

    if (!id || (options_get_bool(chardev->opts, "mux", &mux, NULL) && mux)) {
        return false;
    }
    for (unsigned i = 0; i < config->monitor.monitors->len; i++) {
        CmdlineAction *mon = g_ptr_array_index(config->monitor.monitors, i);

        if (g_str_equal(mon->option, "-mon") && g_strcmp0(options_get(mon->opts, "chardev"), id) == 0) {
            return true;
        }
    }
    return false;
}

bool serial_options_open(MainConfig *config, GError **errp)
{
    add_defaults(config);
    for (unsigned i = 0; i < config->num_serials; i++) {
        g_autofree char *id = g_strdup_printf("serial%u", i);

        if (!open_named_port(config, &config->serials[i], "-serial", id, errp)) {
            return false;
        }
    }
    if (!open_named_port(config, &config->debugcon, "-debugcon", "debugcon", errp)) {
        return false;
    }
    for (unsigned i = 0; i < config->monitor.chardevs->len; i++) {
        CmdlineAction *action = g_ptr_array_index(config->monitor.chardevs, i);

        if (!is_monitors(config, action) && !chardev_add(action->opts, errp)) {
            cmdline_action_prefix_error(action, errp);
            return false;
        }
    }
    return true;
}

/* A board device of TYPE on CHARDEV, with its INDEX (NULL: it has none). */
static bool create(IsaBus *bus, GType type, const char *name, const char *chardev, const char *index, GError **errp)
{
    g_autoptr(GObject) dev = G_OBJECT(device_new(type));

    return qom_set_str(dev, "chardev", chardev, errp) && (!index || qom_set_str(dev, "index", index, errp)) &&
           isa_realize_board_device(bus, g_object_ref(dev), name, errp);
}

bool serial_create_all(const MainConfig *config, IsaBus *bus, GError **errp)
{
    for (unsigned i = 0; bus && i < config->num_serials; i++) {
        const SerialPort *port = &config->serials[i];
        g_autofree char *name = g_strdup_printf("serial%u", i);
        g_autofree char *index = g_strdup_printf("%u", i);

        if (port->chardev && !create(bus, isa_serial_get_type(), name, port->chardev, index, errp)) {
            g_prefix_error(errp, "-serial %s: ", port->arg);
            return false;
        }
    }
    if (bus && config->debugcon.chardev &&
        !create(bus, debugcon_get_type(), "debugcon", config->debugcon.chardev, NULL, errp)) {
        g_prefix_error(errp, "-debugcon %s: ", config->debugcon.arg);
        return false;
    }
    return true;
}
