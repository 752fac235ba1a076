/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: "info" about the program and the machine, printed from QMP's answers.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include <inttypes.h>
#include "util/trace.h"

/* ---- version, status, name ----------------------------------------------------------------------- */

static void print_version(HmpSession *hmp, JsonNode *value)
{
    JsonObject *version = hmp_json_node_obj(value);
    JsonObject *triple = hmp_json_obj(version, "qemu");

    hmp_printf(hmp, "%" PRId64 ".%" PRId64 ".%" PRId64 " %s\n", hmp_json_int(triple, "major"),
               hmp_json_int(triple, "minor"), hmp_json_int(triple, "micro"), hmp_json_str(version, "package"));
}

static void run_version(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_version);
}

static void print_status(HmpSession *hmp, JsonNode *value)
{
    JsonObject *info = hmp_json_node_obj(value);
    const char *status = hmp_json_str(info, "status");

    if (hmp_json_bool(info, "running")) {
        hmp_printf(hmp, "VM status: running\n");
    } else if (g_str_equal(status, "paused")) {
        hmp_printf(hmp, "VM status: paused\n");
    } else {
        hmp_printf(hmp, "VM status: paused (%s)\n", status);
    }
}

static void run_status(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_status);
}

static void print_name(HmpSession *hmp, JsonNode *value)
{
    const char *name = hmp_json_str(hmp_json_node_obj(value), "name");

    if (*name) {
        hmp_printf(hmp, "%s\n", name);
    }
}

static void run_name(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_name);
}

/* ---- pci ------------------------------------------------------------------------------------------- */

static void print_region(HmpSession *hmp, JsonObject *region)
{
    int64_t address = hmp_json_int(region, "address");
    int64_t last = address + hmp_json_int(region, "size") - 1;
    bool io = g_str_equal(hmp_json_str(region, "type"), "io");

    hmp_printf(hmp, "      BAR%" PRId64 ": ", hmp_json_int(region, "bar"));
    if (io) {
        hmp_printf(hmp, "I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n", address, last);
    } else {
        hmp_printf(hmp, "%d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\n",
                   hmp_json_bool(region, "mem_type_64") ? 64 : 32,
                   hmp_json_bool(region, "prefetch") ? " prefetchable" : "", address, last);
    }
}

static void print_pci_ids(HmpSession *hmp, JsonObject *dev)
{
    JsonObject *class_info = hmp_json_obj(dev, "class_info");
    JsonObject *id = hmp_json_obj(dev, "id");
    const char *desc = hmp_json_str(class_info, "desc");

    if (*desc) {
        hmp_printf(hmp, "    %s", desc);
    } else {
        hmp_printf(hmp, "    Class %04" PRIx64, hmp_json_int(class_info, "class"));
    }
    hmp_printf(hmp, ": PCI device %04" PRIx64 ":%04" PRIx64 "\n", hmp_json_int(id, "vendor"),
               hmp_json_int(id, "device"));
    if (hmp_json_int(id, "subsystem-vendor") || hmp_json_int(id, "subsystem")) {
        hmp_printf(hmp, "      PCI subsystem %04" PRIx64 ":%04" PRIx64 "\n", hmp_json_int(id, "subsystem-vendor"),
                   hmp_json_int(id, "subsystem"));
    }
}

static void print_pci_device(HmpSession *hmp, JsonObject *dev)
{
    int64_t pin = hmp_json_int(dev, "irq_pin");

    hmp_printf(hmp, "  Bus %2" PRId64 ", device %3" PRId64 ", function %" PRId64 ":\n", hmp_json_int(dev, "bus"),
               hmp_json_int(dev, "slot"), hmp_json_int(dev, "function"));
    print_pci_ids(hmp, dev);
    if (pin > 0) {
        hmp_printf(hmp, "      IRQ %" PRId64 ", pin %c\n", hmp_json_int(dev, "irq"), (char)('A' + (pin - 1) % 4));
    }
    hmp_json_foreach(hmp, hmp_json_array(dev, "regions"), print_region);
    hmp_printf(hmp, "      id \"%s\"\n", hmp_json_str(dev, "qdev_id"));
}

static void print_pci_bus(HmpSession *hmp, JsonObject *bus)
{
    hmp_json_foreach(hmp, hmp_json_array(bus, "devices"), print_pci_device);
}

static void print_pci(HmpSession *hmp, JsonNode *value)
{
    JsonArray *buses = hmp_json_node_array(value);

    if (!buses || json_array_get_length(buses) == 0) {
        hmp_printf(hmp, "No PCI buses\n");
    }
    hmp_json_foreach(hmp, buses, print_pci_bus);
}

static void run_pci(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_pci);
}

/* ---- chardev, fdsets -------------------------------------------------------------------------------- */

static void print_fdset_fd(HmpSession *hmp, JsonObject *fd)
{
    const char *text = hmp_json_str(fd, "opaque");

    hmp_printf(hmp, "  fd %" PRId64 "%s%s\n", hmp_json_int(fd, "fd"), *text ? ": " : "", text);
}

static void print_fdset(HmpSession *hmp, JsonObject *set)
{
    hmp_printf(hmp, "/dev/fdset/%" PRId64 "\n", hmp_json_int(set, "fdset-id"));
    hmp_json_foreach(hmp, hmp_json_array(set, "fds"), print_fdset_fd);
}

static void print_fdsets(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_fdset);
}

static void run_fdsets(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_fdsets);
}

/* ---- trace events, history -------------------------------------------------------------------------- */

static void print_trace_event(HmpSession *hmp, JsonObject *event)
{
    hmp_printf(hmp, "%s : state %d\n", hmp_json_str(event, "name"),
               g_str_equal(hmp_json_str(event, "state"), "enabled"));
}

static void print_trace_events(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_trace_event);
}

static void run_trace_events(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 1);
    JsonObject *json;

    if (words) {
        json = json_object_new();
        json_object_set_string_member(json, "name", words[0] ? words[0] : "*");
        hmp_qmp(hmp, "trace-event-get-state", json, print_trace_events);
    }
}

static void run_history(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 0);
    const GPtrArray *lines = hmp_session_history(hmp);

    if (!words) {
        return;
    }
    if (!lines) {
        hmp_error(hmp, "only a monitor on a terminal keeps a history");
        return;
    }
    for (guint i = 0; i < lines->len; i++) {
        hmp_printf(hmp, "%u: '%s'\n", i, (const char *)lines->pdata[i]);
    }
}

const HmpCommand hmp_info_commands[] = {
    { "info version", NULL, "", "show the program's version", run_version, .qmp = "query-version" },
    { "info status", NULL, "", "show whether the machine runs", run_status, .qmp = "query-status" },
    { "info name", NULL, "", "show the machine's name", run_name, .qmp = "query-name" },
    { "info pci", NULL, "", "show the PCI devices", run_pci, .qmp = "query-pci" },
    { "info fdsets", NULL, "", "show the sets of descriptors", run_fdsets, .qmp = "query-fdsets" },
    { "info trace-events", NULL, "[NAME]", "show which trace events are on (NAME may be a pattern)", run_trace_events,
      hmp_complete_trace, "trace-event-get-state" },
    { "info history", NULL, "", "show the lines typed so far", run_history },
    { NULL },
};
