/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: processors, character devices, and the buttons of the machine.
 *
 * Runs in: both programs; the commands that it needs are mpqemu's.
 */
#include "monitor/hmp-int.h"

#include <inttypes.h>

#include "util/options.h"

static void run_plain(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, NULL);
}

static void print_cpu(HmpSession *hmp, JsonObject *cpu)
{
    int64_t index = hmp_json_int(cpu, "cpu-index");

    hmp_printf(hmp, "%c CPU #%" PRId64 ": thread_id=%" PRId64 "\n", index == 0 ? '*' : ' ', index,
               hmp_json_int(cpu, "thread-id"));
}

static void print_cpus(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_cpu);
}

static void run_cpus(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_cpus);
}

static void print_registers(HmpSession *hmp, JsonNode *value)
{
    hmp_printf(hmp, "%s", hmp_json_str(hmp_json_node_obj(value), "human-readable-text"));
}

/* info registers [N], of processor N. */
static void run_registers(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 1);
    JsonObject *json;
    uint64_t index = 0;

    if (!words) {
        return;
    }
    if (words[0] && (!parse_uint64(words[0], &index) || index > INT32_MAX)) {
        hmp_usage(hmp, "'%s' is no number", words[0]);
        return;
    }
    json = json_object_new();
    json_object_set_int_member(json, "cpu-index", (int64_t)index);
    hmp_qmp(hmp, "x-query-registers", json, print_registers);
}

static void print_chardev(HmpSession *hmp, JsonObject *chardev)
{
    hmp_printf(hmp, "%s: filename=%s\n", hmp_json_str(chardev, "label"), hmp_json_str(chardev, "filename"));
}

static void print_chardevs(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_chardev);
}

static void run_chardevs(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_chardevs);
}

const HmpCommand hmp_cpu_commands[] = {
    { "info chardev", NULL, "", "show the character devices of serial ports", run_chardevs, .qmp = "query-chardev" },
    { "info cpus", NULL, "", "show the processors", run_cpus, .qmp = "query-cpus-fast" },
    { "info registers", NULL, "[CPU]", "show the registers of a processor", run_registers, .qmp = "x-query-registers" },
    { "nmi", NULL, "", "press the NMI button", run_plain, .qmp = "inject-nmi" },
    { "system_powerdown", NULL, "", "press the power button", run_plain, .qmp = "system_powerdown" },
    { NULL },
};
