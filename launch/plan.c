/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the parsed command line to processes with argument lists and socketpairs.
 *
 * Runs in: mpqemu-launch.
 */
#include "plan.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fd.h"

#define REMOTE_NAME "qemu-remote"

/* What a place in an argument begins with; it ends at the next '@'. */
static const char *const place_heads[] = { "@fd:", "@control:" };

/* ---- processes ------------------------------------------------------------------------------------------------ */

static void close_element(gpointer data)
{
    fd_close(data);
}

static LaunchProcess *process_new(char *title, char *program)
{
    LaunchProcess *process = g_new0(LaunchProcess, 1);

    process->title = title;
    process->program = program;
    process->argv = g_ptr_array_new_with_free_func(g_free);
    process->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(process->fds, close_element);
    return process;
}

static void process_free(gpointer data)
{
    LaunchProcess *process = data;

    g_free(process->title);
    g_free(process->program);
    g_free(process->devices);
    g_ptr_array_unref(process->argv);
    g_array_unref(process->fds);
    g_free(process);
}

static void G_GNUC_PRINTF(2, 3) add_word(LaunchProcess *process, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_ptr_array_add(process->argv, g_strdup_vprintf(format, args));
    va_end(args);
}

/* ---- places --------------------------------------------------------------------------------------------------- */

/* The first place in WORD, as it is written there, or NULL.  Free with g_free(). */
static char *find_place(const char *word)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(place_heads); i++) {
        const char *start = strstr(word, place_heads[i]);
        const char *end = start ? strchr(start + strlen(place_heads[i]), '@') : NULL;

        if (end) {
            return g_strndup(start, end + 1 - start);
        }
    }
    return NULL;
}

/* Puts FD where the words of PROCESS have PLACE; false when none has. */
static bool fill_place(LaunchProcess *process, const char *place, int fd)
{
    bool found = false;

    for (guint i = 0; i < process->argv->len; i++) {
        char **word = (char **)&process->argv->pdata[i];

        if (strstr(*word, place)) {
            g_auto(GStrv) parts = g_strsplit(*word, place, -1);
            g_autofree char *number = g_strdup_printf("%d", fd);

            g_free(*word);
            *word = g_strjoinv(number, parts);
            found = true;
        }
    }
    return found;
}

static bool check_places_filled(const LaunchProcess *process, GError **errp)
{
    for (guint i = 0; i < process->argv->len; i++) {
        g_autofree char *place = find_place(process->argv->pdata[i]);

        if (place) {
            error_setg(errp, "%s: '%s': %s belongs to no device and no control channel of %s; name it in --remote "
                       "(device=ID or control=on)", process->title, (char *)process->argv->pdata[i], place,
                       process->remote ? "this remote" : "a remote");
            return false;
        }
    }
    return true;
}

GPtrArray *launch_plain_command(char *const *command)
{
    GPtrArray *plain = g_ptr_array_new();

    for (; *command; command++) {
        g_autofree char *place = find_place(*command);

        if (!place) {
            g_ptr_array_add(plain, *command);
        } else if (plain->len > 1) {
            g_ptr_array_set_size(plain, plain->len - 1);
        }
    }
    g_ptr_array_add(plain, NULL);
    return plain;
}

/* ---- links ---------------------------------------------------------------------------------------------------- */

/* A socketpair; each process gets one end. */
static bool connect_processes(LaunchProcess *emulator, LaunchProcess *remote, int ends[2], GError **errp)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        error_setg_errno(errp, errno, "%s: no socketpair for it; raise the limit of descriptors (ulimit -n)",
                         remote->title);
        return false;
    }
    g_array_append_val(emulator->fds, ends[0]);
    g_array_append_val(remote->fds, ends[1]);
    return true;
}

static bool add_device_link(LaunchProcess *emulator, LaunchProcess *remote, const char *id, GError **errp)
{
    g_autofree char *place = g_strdup_printf("@fd:%s@", id);
    g_autofree char *others = remote->devices;
    int ends[2];

    remote->devices = others ? g_strdup_printf("%s, %s", others, id) : g_strdup(id);
    if (!connect_processes(emulator, remote, ends, errp)) {
        return false;
    }
    if (!fill_place(remote, place, ends[1])) {
        add_word(remote, "-object");
        add_word(remote, "x-remote-object,id=link-%s,devid=%s,fd=%d", id, id, ends[1]);
    }
    if (!fill_place(emulator, place, ends[0])) {
        add_word(emulator, "-device");
        add_word(emulator, "x-pci-proxy-dev,id=%s,fd=%d", id, ends[0]);
    }
    return true;
}

static bool add_control(LaunchProcess *emulator, LaunchProcess *remote, const char *rid, GError **errp)
{
    g_autofree char *place = g_strdup_printf("@control:%s@", rid);
    int ends[2];

    if (!connect_processes(emulator, remote, ends, errp)) {
        return false;
    }
    if (!fill_place(remote, place, ends[1])) {
        add_word(remote, "-chardev");
        add_word(remote, "socket,id=control,fd=%d", ends[1]);
        add_word(remote, "-mon");
        add_word(remote, "chardev=control,mode=control");
        add_word(remote, "-no-shutdown"); /* its last link may go, and another come */
    }
    if (!fill_place(emulator, place, ends[0])) {
        add_word(emulator, "-remote");
        add_word(emulator, "rid=%s,fd=%d", rid, ends[0]);
    }
    return true;
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

/* The qemu-remote of this installation, or of this build tree. */
static char *default_remote(GError **errp)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", errp);
    g_autofree char *directory = NULL, *installed = NULL, *built = NULL;

    if (!self) {
        g_prefix_error(errp, "the default of exec= is not known; give exec=PATH: ");
        return NULL;
    }
    directory = g_path_get_dirname(self);
    installed = g_build_filename(directory, REMOTE_NAME, NULL);
    built = g_build_filename(directory, "..", "remote", REMOTE_NAME, NULL);
    if (access(installed, X_OK) == 0) {
        return g_steal_pointer(&installed);
    }
    if (access(built, X_OK) == 0) {
        return g_canonicalize_filename(built, NULL);
    }
    error_setg(errp, "there is no %s beside %s; install it there, or give exec=PATH", REMOTE_NAME, self);
    return NULL;
}

static bool add_remote(LaunchPlan *plan, const LaunchConfig *config, const LaunchRemote *wanted, GError **errp)
{
    char *program = wanted->program ? g_strdup(wanted->program) : default_remote(errp);
    LaunchProcess *remote;
    bool ok = true;

    if (!program) {
        return false;
    }
    remote = process_new(g_strdup_printf("remote '%s'", wanted->rid), program);
    remote->remote = true;
    g_ptr_array_add(plan->remotes, remote);
    add_word(remote, REMOTE_NAME ": %s/%s", config->vm_name, wanted->rid);
    for (int i = 0; i < wanted->arg_count; i++) {
        add_word(remote, "%s", wanted->args[i]);
    }
    if (wanted->control) {
        ok = add_control(plan->emulator, remote, wanted->rid, errp);
    }
    for (guint i = 0; ok && i < wanted->devices->len; i++) {
        ok = add_device_link(plan->emulator, remote, wanted->devices->pdata[i], errp);
    }
    if (!ok || !check_places_filled(remote, errp)) {
        return false;
    }
    g_ptr_array_add(remote->argv, NULL);
    return true;
}

LaunchPlan *launch_plan_new(const LaunchConfig *config, GError **errp)
{
    g_autoptr(LaunchPlan) plan = g_new0(LaunchPlan, 1);

    plan->grace = config->grace;
    plan->remotes = g_ptr_array_new_with_free_func(process_free);
    plan->emulator = process_new(g_strdup("the emulator"), g_strdup(config->emulator[0]));
    for (char *const *word = config->emulator; *word; word++) {
        add_word(plan->emulator, "%s", *word);
    }
    for (guint i = 0; i < config->remotes->len; i++) {
        if (!add_remote(plan, config, config->remotes->pdata[i], errp)) {
            return NULL;
        }
    }
    if (!check_places_filled(plan->emulator, errp)) {
        return NULL;
    }
    g_ptr_array_add(plan->emulator->argv, NULL);
    return g_steal_pointer(&plan);
}

void launch_plan_free(LaunchPlan *plan)
{
    if (plan) {
        process_free(plan->emulator);
        g_ptr_array_unref(plan->remotes);
    }
    g_free(plan);
}
