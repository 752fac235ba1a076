/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: devices and drives in remote processes.
 *
 * Runs in: both programs; the commands are offered where their QMP commands are (mpqemu).
 *
 * The first word of the positional forms names the process: by its rid, or by a device or drive in it.
 */
#include "monitor/hmp-int.h"

#include <inttypes.h>
#include <string.h>
#include "hw/core/device.h"
#include "util/error.h"

/* Sets MEMBER to WORD; "-" and a word that is not there say nothing. */
static void set_word(JsonObject *json, const char *member, const char *word)
{
    if (word && !g_str_equal(word, "-")) {
        json_object_set_string_member(json, member, word);
    }
}

/* One word is the key=value form, to be run with the keys as they are; true: it was that. */
static bool run_key_value(HmpSession *hmp, const char *args, const char *implied_key)
{
    const HmpCommand *row = hmp_session_command(hmp);
    g_autoptr(Options) opts = NULL;

    if (*args != '{') {
        g_auto(GStrv) words = hmp_words(hmp, args, 1, 5);

        if (words && words[1]) {
            return false;
        }
        if (!words) {
            return true;
        }
    }
    opts = hmp_options(hmp, row->name, args, implied_key);
    if (opts) {
        hmp_qmp(hmp, row->qmp, hmp_options_to_json(opts), NULL);
    }
    return true;
}

static void run_rdevice_add(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "rdev_id", "driver", "id", "drive", "bus" };
    g_auto(GStrv) words = NULL;
    JsonObject *json;

    if (hmp_help_on_types(hmp, args, TYPE_DEVICE) || run_key_value(hmp, args, "driver")) {
        return;
    }
    words = hmp_words(hmp, args, 3, G_N_ELEMENTS(members));
    if (words) {
        json = json_object_new();
        for (unsigned i = 0; words[i]; i++) {
            set_word(json, members[i], words[i]);
        }
        hmp_qmp(hmp, "rdevice_add", json, NULL);
    }
}

/* "RDEV_ID ID OPTS": what the words say stands before what OPTS say. */
static void run_rdrive_add(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = NULL;
    g_autoptr(Options) opts = NULL;
    g_autoptr(GError) err = NULL;
    JsonObject *json;

    if (run_key_value(hmp, args, NULL)) {
        return;
    }
    words = hmp_words(hmp, args, 3, 3);
    if (!words) {
        return;
    }
    opts = options_parse("rdrive_add", words[2], NULL, &err);
    if (!opts) {
        hmp_error(hmp, "%s", err->message);
        return;
    }
    json = hmp_options_to_json(opts);
    set_word(json, "rdev_id", words[0]);
    set_word(json, "id", words[1]);
    hmp_qmp(hmp, "rdrive_add", json, NULL);
}

static void run_del(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "rdev_id", "id", NULL };

    hmp_run_words(hmp, args, members, NULL);
}

static void run_rdevice_del(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 2, 3);
    JsonObject *json;
    bool force;

    if (!words) {
        return;
    }
    force = words[2] != NULL;
    if (force && !g_str_equal(words[0], "-f")) {
        hmp_usage(hmp, "%s expected", hmp_session_command(hmp)->args);
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "rdev_id", words[force]);
    json_object_set_string_member(json, "id", words[force + 1]);
    if (force) {
        json_object_set_boolean_member(json, "force", true);
    }
    hmp_qmp(hmp, "rdevice_del", json, NULL);
}

static void run_rblock_resize(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 3, 3);
    JsonObject *json;
    int64_t size;

    if (!words || !hmp_size(hmp, words[2], &size)) {
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "rdev_id", words[0]);
    json_object_set_string_member(json, "device", words[1]);
    json_object_set_int_member(json, "size", size);
    hmp_qmp(hmp, "rblock_resize", json, NULL);
}

static void run_restart(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "rid", NULL };

    hmp_run_words(hmp, args, members, NULL);
}

/* ---- remote_proc_list ------------------------------------------------------------------------------ */

/* One row for each of OBJECTS, of process REMOTE. */
static void print_proc_objects(HmpSession *hmp, JsonObject *remote, JsonArray *objects)
{
    const char *process = hmp_json_str(remote, "process");

    for (guint i = 0; objects && i < json_array_get_length(objects); i++) {
        JsonObject *obj = hmp_json_node_obj(json_array_get_element(objects, i));

        hmp_printf(hmp, "%-10" PRId64 " %-16s %-20s %s\n", hmp_json_int(remote, "pid"), hmp_json_str(remote, "id"),
                   hmp_json_str(obj, "id"), *process ? process : "-");
    }
}

static void print_proc(HmpSession *hmp, JsonObject *remote)
{
    print_proc_objects(hmp, remote, hmp_json_array(remote, "devices"));
    print_proc_objects(hmp, remote, hmp_json_array(remote, "drives"));
}

static void print_procs(HmpSession *hmp, JsonNode *value)
{
    hmp_printf(hmp, "%-10s %-16s %-20s %s\n", "PID", "RID", "QEMU ID", "PROCESS NAME");
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_proc);
}

static void run_proc_list(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_procs);
}

/* ---- info remote ------------------------------------------------------------------------------------- */

static void print_link(HmpSession *hmp, JsonObject *link)
{
    hmp_printf(hmp, "    link %s: %" PRId64 " messages, %" PRId64 " bytes, worst wait %" PRId64 " us, %" PRId64
               " time-outs, %" PRId64 " failed\n",
               hmp_json_str(link, "state"), hmp_json_int(link, "messages"), hmp_json_int(link, "bytes"),
               hmp_json_int(link, "worst-wait-ns") / 1000, hmp_json_int(link, "timeouts"),
               hmp_json_int(link, "failed"));
    hmp_printf(hmp, "    dropped: %" PRId64 " reads, %" PRId64 " writes; %" PRId64 " interrupts; reattached %" PRId64
               " times\n",
               hmp_json_int(link, "dropped-reads"), hmp_json_int(link, "dropped-writes"),
               hmp_json_int(link, "interrupts"), hmp_json_int(link, "reattached"));
    if (g_str_equal(hmp_json_str(link, "dma"), "bounce")) {
        hmp_printf(hmp, "    dma bounced: %" PRId64 " bytes\n", hmp_json_int(link, "bounced-bytes"));
    }
}

static void print_remote_device(HmpSession *hmp, JsonObject *dev)
{
    hmp_printf(hmp, "  device %s (%s)%s\n", hmp_json_str(dev, "id"), hmp_json_str(dev, "driver"),
               hmp_json_bool(dev, "controller") ? ", controller" : "");
    if (hmp_json_obj(dev, "link")) {
        print_link(hmp, hmp_json_obj(dev, "link"));
    }
}

static void print_remote_drive(HmpSession *hmp, JsonObject *drive)
{
    hmp_printf(hmp, "  drive %s\n", hmp_json_str(drive, "id"));
}

static void print_remote(HmpSession *hmp, JsonObject *remote)
{
    const char *reason = hmp_json_str(remote, "reason");
    const char *process = hmp_json_str(remote, "process");
    JsonObject *control = hmp_json_obj(remote, "control");

    hmp_printf(hmp, "%s: %s%s%s\n", hmp_json_str(remote, "id"), hmp_json_str(remote, "state"), *reason ? ": " : "",
               reason);
    if (hmp_json_int(remote, "pid") > 0) {
        hmp_printf(hmp, "  pid %" PRId64 ", ", hmp_json_int(remote, "pid"));
    } else {
        hmp_printf(hmp, "  no pid, ");
    }
    hmp_printf(hmp, "process %s\n", *process ? process : "of a launcher");
    hmp_printf(hmp, "  sandbox %s, on-death %s, %" PRId64 " restarts, control channel %" PRId64 " bytes in, %" PRId64
               " out\n", hmp_json_str(remote, "sandbox"), hmp_json_str(remote, "on-death"),
               hmp_json_int(remote, "restarts"), hmp_json_int(control, "received"), hmp_json_int(control, "sent"));
    hmp_json_foreach(hmp, hmp_json_array(remote, "devices"), print_remote_device);
    hmp_json_foreach(hmp, hmp_json_array(remote, "drives"), print_remote_drive);
}

static void print_remotes(HmpSession *hmp, JsonNode *value)
{
    JsonArray *remotes = hmp_json_node_array(value);

    if (!remotes || json_array_get_length(remotes) == 0) {
        hmp_printf(hmp, "No remote processes\n");
    }
    hmp_json_foreach(hmp, remotes, print_remote);
}

static void run_info_remote(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_remotes);
}

const HmpCommand hmp_remote_commands[] = {
    { "rdevice_add", NULL, "DRIVER,id=ID,rid=RID[,prop=value...] | RDEV_ID DRIVER ID [DRIVE [BUS]]",
      "add a device in a remote process; '-' skips DRIVE (also: help; DRIVER,help)", run_rdevice_add,
      hmp_complete_driver, "rdevice_add" },
    { "rdevice_del", NULL, "[-f] RDEV_ID ID",
      "remove a device of a remote process; -f: a controller without asking the guest", run_rdevice_del,
      .qmp = "rdevice_del" },
    { "rdrive_add", NULL, "id=ID,file=FILE,rid=RID[,option=value...] | RDEV_ID ID OPTIONS",
      "add a drive in a remote process", run_rdrive_add, .qmp = "rdrive_add" },
    { "rdrive_del", NULL, "RDEV_ID ID", "remove a drive of a remote process", run_del, .qmp = "rdrive_del" },
    { "rblock_resize", NULL, "RDEV_ID DRIVE SIZE", "resize a remote drive's image to SIZE (M when no suffix is given)",
      run_rblock_resize, .qmp = "rblock_resize" },
    { "remote_proc_list", NULL, "", "list what is in remote processes", run_proc_list, .qmp = "query-remote" },
    { "remote_restart", NULL, "RID", "start a remote process again, with all that was in it", run_restart,
      .qmp = "remote_restart" },
    { "info remote", NULL, "", "show the remote processes, their states and counters", run_info_remote,
      .qmp = "query-remote" },
    { NULL },
};
