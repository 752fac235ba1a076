/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of mpqemu-launch.
 *
 * Runs in: mpqemu-launch.
 *
 * Three parts, in this order: the launcher's own options, a --remote with the remote's arguments for each remote,
 * and behind "--" the emulator's command line.  Only the words "--remote" and "--" part them, so that every
 * option of a remote can be written as if it were started by hand.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "emulator-args.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/options.h"

#define PROGRAM "mpqemu-launch"
#define USAGE \
    PROGRAM " [--name VM] [--grace SECONDS] --remote RID[,KEY=VALUE...] REMOTE-ARGUMENTS...\n" \
    "                     [--remote ...] -- EMULATOR ARGUMENTS..."

/* ---- own options ---------------------------------------------------------------------------------------------- */

static bool opt_name(const char *arg, void *opaque, GError **errp)
{
    LaunchConfig *config = opaque;

    if (!arg[0]) {
        error_setg(errp, "--name '': the name is empty; give the virtual machine's name, or leave the option out");
        return false;
    }
    g_free(config->vm_name);
    config->vm_name = g_strdup(arg);
    return true;
}

static bool opt_grace(const char *arg, void *opaque, GError **errp)
{
    LaunchConfig *config = opaque;
    uint64_t seconds;

    if (!parse_uint64(arg, &seconds) || seconds < 1 || seconds > LAUNCH_GRACE_MAX) {
        error_setg(errp, "--grace %s: not a time; give whole seconds from 1 to %d", arg, LAUNCH_GRACE_MAX);
        return false;
    }
    config->grace = (unsigned)seconds;
    return true;
}

static bool opt_version(const char *arg, void *opaque, GError **errp)
{
    printf(PROGRAM " (mpqemu) version " MPQEMU_VERSION "\n");
    ((LaunchConfig *)opaque)->only_help = true;
    return true;
}

static bool opt_help(const char *arg, void *opaque, GError **errp)
{
    printf("usage: " USAGE "\n\n"
           "Starts device processes, then an emulator (stock QEMU or mpqemu) that is connected to them.\n\n"
           "--name VM           the virtual machine's name, for process titles (default: the emulator's -name)\n"
           "--grace SECONDS     time that remotes get to end after the emulator (default: %d)\n"
           "--remote RID[,device=ID...][,exec=PATH][,control=on]\n"
           "                    a remote; the words up to the next --remote or -- are its arguments\n"
           "    device=ID       serves its PCI device ID to the emulator; may be given several times.  The emulator\n"
           "                    gets '-device x-pci-proxy-dev,id=ID,fd=N', or the number where @fd:ID@ is written\n"
           "    exec=PATH       its program (default: the qemu-remote beside " PROGRAM ")\n"
           "    control=on      the emulator gets its monitor: '-remote rid=RID,fd=N', or the number where\n"
           "                    @control:RID@ is written\n"
           "--version           prints the version\n"
           "--help              prints this text\n",
           LAUNCH_GRACE_DEFAULT);
    ((LaunchConfig *)opaque)->only_help = true;
    return true;
}

static const CmdlineOption options[] = {
    { "name", "VM", "", opt_name },
    { "grace", "SECONDS", "", opt_grace },
    { "version", NULL, "", opt_version },
    { "help", NULL, "", opt_help },
    { "h", NULL, NULL, opt_help },
    { NULL },
};

/* ---- --remote ------------------------------------------------------------------------------------------------- */

static void remote_free(gpointer data)
{
    LaunchRemote *remote = data;

    g_free(remote->rid);
    g_free(remote->program);
    g_ptr_array_unref(remote->devices);
    g_free(remote);
}

/* An id, but it may begin with a digit: QEMU's users know remote 0. */
static bool rid_wellformed(const char *rid)
{
    g_autofree char *id = g_strdup(rid);

    if (g_ascii_isdigit(id[0])) {
        id[0] = 'r';
    }
    return id_wellformed(id);
}

static LaunchRemote *find_device(const LaunchConfig *config, const char *id)
{
    for (guint i = 0; i < config->remotes->len; i++) {
        LaunchRemote *remote = config->remotes->pdata[i];

        if (g_ptr_array_find_with_equal_func(remote->devices, id, g_str_equal, NULL)) {
            return remote;
        }
    }
    return NULL;
}

static bool set_rid(LaunchConfig *config, LaunchRemote *remote, const char *value, GError **errp)
{
    if (!rid_wellformed(value)) {
        error_setg(errp, "--remote: '%s' is not a remote's id; begin with a letter or digit, go on with letters, "
                   "digits, '-', '.' and '_', 127 at most", value);
        return false;
    }
    for (guint i = 0; i < config->remotes->len; i++) {
        if (g_str_equal(((LaunchRemote *)config->remotes->pdata[i])->rid, value)) {
            error_setg(errp, "--remote %s: there are two remotes of this id; choose another", value);
            return false;
        }
    }
    remote->rid = g_strdup(value);
    return true;
}

static bool set_device(LaunchConfig *config, LaunchRemote *remote, const char *value, GError **errp)
{
    /* The object that serves it is called after it, and its id has the same limit. */
    g_autofree char *object = g_strconcat("link-", value, NULL);

    if (!id_wellformed(value) || !id_wellformed(object)) {
        error_setg(errp, "--remote %s,device=%s: not a device's id; begin with a letter, go on with letters, digits, "
                   "'-', '.' and '_', 122 at most", remote->rid, value);
        return false;
    }
    if (find_device(config, value) || g_ptr_array_find_with_equal_func(remote->devices, value, g_str_equal, NULL)) {
        error_setg(errp, "--remote %s,device=%s: the device is named twice; each has one remote and one link",
                   remote->rid, value);
        return false;
    }
    g_ptr_array_add(remote->devices, g_strdup(value));
    return true;
}

static bool set_exec(LaunchConfig *config, LaunchRemote *remote, const char *value, GError **errp)
{
    if (!g_path_is_absolute(value)) {
        error_setg(errp, "--remote %s,exec=%s: not an absolute path; a remote is not searched in PATH", remote->rid,
                   value);
        return false;
    }
    g_free(remote->program);
    remote->program = g_strdup(value);
    return true;
}

static bool set_control(LaunchConfig *config, LaunchRemote *remote, const char *value, GError **errp)
{
    if (!parse_bool(value, &remote->control)) {
        error_setg(errp, "--remote %s,control=%s: not a switch; give on or off", remote->rid, value);
        return false;
    }
    return true;
}

static const struct RemoteKey {
    const char *name;
    bool (*set)(LaunchConfig *config, LaunchRemote *remote, const char *value, GError **errp);
} remote_keys[] = {
    { "device", set_device },
    { "exec", set_exec },
    { "control", set_control },
};

static bool set_key(LaunchConfig *config, LaunchRemote *remote, const char *item, GError **errp)
{
    const char *equals = strchr(item, '=');

    for (unsigned i = 0; equals && i < G_N_ELEMENTS(remote_keys); i++) {
        const char *name = remote_keys[i].name;

        if (strlen(name) == (size_t)(equals - item) && g_str_has_prefix(item, name)) {
            return remote_keys[i].set(config, remote, equals + 1, errp);
        }
    }
    error_setg(errp, "--remote %s: unknown parameter '%s'; write device=ID, exec=PATH or control=on", remote->rid,
               item);
    return false;
}

/* The text up to a single comma, with one comma for each double one; moves *text behind it.  NULL at the end. */
static char *next_item(const char **text)
{
    GString *item;
    const char *p = *text;

    if (!p) {
        return NULL;
    }
    item = g_string_new(NULL);
    for (; *p && (*p != ',' || p[1] == ','); p++) {
        p += *p == ',';
        g_string_append_c(item, *p);
    }
    *text = *p ? p + 1 : NULL;
    return g_string_free(item, FALSE);
}

/* Parses SPEC, adds the remote to the config.  Options' own syntax has no repeated keys, hence not options_parse(). */
static bool add_remote(LaunchConfig *config, const char *spec, char *const *args, int arg_count, GError **errp)
{
    LaunchRemote *remote = g_new0(LaunchRemote, 1);
    g_autofree char *rid = next_item(&spec);
    char *item;
    bool ok;

    remote->devices = g_ptr_array_new_with_free_func(g_free);
    remote->args = args;
    remote->arg_count = arg_count;
    ok = set_rid(config, remote, g_str_has_prefix(rid, "rid=") ? rid + strlen("rid=") : rid, errp);
    while (ok && (item = next_item(&spec))) {
        ok = set_key(config, remote, item, errp);
        g_free(item);
    }
    if (ok && remote->devices->len == 0 && !remote->control) {
        error_setg(errp, "--remote %s: nothing would connect it to the emulator; add device=ID or control=on",
                   remote->rid);
        ok = false;
    }
    if (!ok) {
        remote_free(remote);
        return false;
    }
    g_ptr_array_add(config->remotes, remote);
    return true;
}

/* ---- the whole line ------------------------------------------------------------------------------------------- */

static bool is_mark(const char *word)
{
    return g_str_equal(word, "--remote") || g_str_equal(word, "--");
}

/* The index of the first "--remote" or "--" from I on, or ARGC. */
static int next_mark(int argc, char *const *argv, int i)
{
    while (i < argc && !is_mark(argv[i])) {
        i++;
    }
    return i;
}

static bool parse_remotes(LaunchConfig *config, int argc, char *const *argv, int i, GError **errp)
{
    while (i < argc && g_str_equal(argv[i], "--remote")) {
        int spec = i + 1;

        if (spec == argc || is_mark(argv[spec])) {
            error_setg(errp, "--remote: its argument is missing; give --remote RID,device=ID");
            return false;
        }
        i = next_mark(argc, argv, spec + 1);
        if (!add_remote(config, argv[spec], argv + spec + 1, i - spec - 1, errp)) {
            return false;
        }
    }
    if (i == argc) {
        error_setg(errp, "no emulator is given; write '-- EMULATOR ARGUMENTS...' behind the remotes");
        return false;
    }
    if (config->remotes->len == 0) {
        error_setg(errp, "no remote is given; write '--remote RID,device=ID REMOTE-ARGUMENTS...' before '--'");
        return false;
    }
    if (i + 1 == argc) {
        error_setg(errp, "--: no emulator follows; write '-- EMULATOR ARGUMENTS...'");
        return false;
    }
    if (argv[i + 1][0] == '-' || !argv[i + 1][0]) {
        error_setg(errp, "--: the next word '%s' is not a program; write '-- EMULATOR ARGUMENTS...'", argv[i + 1]);
        return false;
    }
    config->emulator = argv + i + 1;
    return true;
}

static bool look_at_emulator(LaunchConfig *config, GError **errp)
{
    EmulatorArgs args;

    emulator_args_read(config->emulator, &args);
    config->no_guest = args.no_guest;
    if (!config->vm_name) {
        config->vm_name = g_strdup(args.name ? args.name : "vm");
    }
    g_free(args.name);
    if (args.daemonize && !args.no_guest) {
        error_setg(errp, "-daemonize: the launcher must stay with the emulator, which it would lose; leave it out and "
                   "start " PROGRAM " itself in the background");
        return false;
    }
    return true;
}

LaunchConfig *launch_config_parse(int argc, char *const *argv, GError **errp)
{
    g_autoptr(LaunchConfig) config = g_new0(LaunchConfig, 1);
    int own_end = next_mark(argc, argv, 1);

    config->grace = LAUNCH_GRACE_DEFAULT;
    config->remotes = g_ptr_array_new_with_free_func(remote_free);
    if (!cmdline_parse(options, own_end, argv, config, errp)) {
        return NULL;
    }
    if (!config->only_help &&
        (!parse_remotes(config, argc, argv, own_end, errp) || !look_at_emulator(config, errp))) {
        return NULL;
    }
    return g_steal_pointer(&config);
}

void launch_config_free(LaunchConfig *config)
{
    if (config) {
        g_free(config->vm_name);
        g_ptr_array_unref(config->remotes);
    }
    g_free(config);
}
