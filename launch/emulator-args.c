/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the emulator's arguments: does a guest start, does the emulator leave its parent, what is its name.
 *
 * Runs in: mpqemu-launch.
 *
 * libvirt and users ask an emulator for its version, its devices and, with -machine none, for everything over QMP.
 * Remotes must not be started for that: they would lock the images of the guest that runs.
 */
#include "emulator-args.h"

#include <string.h>

#include "util/options.h"

/* Options by which the emulator prints something and ends. */
static const char *const informing[] = { "h", "help", "version", "audio-help", NULL };

/* Options whose argument may ask for a list. */
static const char *const listing[] = {
    "accel", "audio", "audiodev", "chardev", "cpu", "d", "device", "display", "drive", "global", "L", "M", "machine",
    "net", "netdev", "nic", "object", "rtc", "soundhw", "tpmdev", "trace", "vga", "watchdog", NULL,
};

static const char *const list_items[] = {
    "help", "?", "model=help", "model=?", "format=help", "format=?", NULL,
};

static bool asks_for_list(const char *option, const char *arg)
{
    g_auto(GStrv) items = NULL;

    if (!g_strv_contains(listing, option)) {
        return false;
    }
    items = g_strsplit(arg, ",", -1);
    for (unsigned i = 0; items[i]; i++) {
        if (g_strv_contains(list_items, items[i])) {
            return true;
        }
    }
    return false;
}

/* The value of KEY, which may be implied, in "key=value,..."; NULL: none.  Mistakes are the emulator's. */
static char *value_of(const char *option, const char *arg, const char *key)
{
    g_autoptr(Options) opts = options_parse(option, arg, key, NULL);

    return opts ? g_strdup(options_get(opts, key)) : NULL;
}

static void replace(char **text, char *with)
{
    if (with) {
        g_free(*text);
        *text = with;
    }
}

void emulator_args_read(char *const *command, EmulatorArgs *ret)
{
    g_autofree char *machine = NULL;

    *ret = (EmulatorArgs) { 0 };
    for (char *const *word = command + 1; *word; word++) {
        const char *option = *word, *arg = word[1];

        if (option[0] != '-') {
            continue;
        }
        option += option[1] == '-' ? 2 : 1;
        if (g_str_equal(option, "append") && arg) {
            word++;
            continue;
        }
        ret->no_guest |= g_strv_contains(informing, option);
        ret->daemonize |= g_str_equal(option, "daemonize");
        if (!arg || arg[0] == '-') {
            continue;
        }
        ret->no_guest |= asks_for_list(option, arg);
        if (g_str_equal(option, "machine") || g_str_equal(option, "M")) {
            replace(&machine, value_of("-machine", arg, "type"));
        } else if (g_str_equal(option, "name")) {
            replace(&ret->name, value_of("-name", arg, "guest"));
        }
    }
    ret->no_guest |= g_strcmp0(machine, "none") == 0;
}
