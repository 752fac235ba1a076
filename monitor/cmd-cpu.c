/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands on processors, character devices and the buttons of the machine.
 *
 * Runs in: mpqemu.
 */
#include "accel/accel.h"
#include "chardev/chardev.h"
#include "hw/intc/apic.h"
#include "monitor/commands.h"
#include "monitor/commands-int.h"
#include "system/runstate.h"
#include "util/error.h"

/* Each is a socket of its own. */
static JsonObject *describe_cpu(Vcpu *vcpu)
{
    const VcpuTopology *t = &vcpu->topology;
    JsonObject *object = json_object_new(), *props = json_object_new();
    g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", vcpu->index); /* main/machine.c */

    json_object_set_int_member(props, "socket-id", vcpu->index / (t->cores * t->threads));
    json_object_set_int_member(props, "core-id", vcpu->index / t->threads % t->cores);
    json_object_set_int_member(props, "thread-id", vcpu->index % t->threads);
    json_object_set_int_member(object, "cpu-index", vcpu->index);
    json_object_set_string_member(object, "qom-path", path);
    json_object_set_int_member(object, "thread-id", vcpu_thread_id(vcpu));
    json_object_set_object_member(object, "props", props);
    json_object_set_string_member(object, "target", "x86_64");
    return object;
}

static bool cmd_cpus(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *cpus = json_array_new();

    for (unsigned i = 0; i < vcpu_count(); i++) {
        json_array_add_object_element(cpus, describe_cpu(vcpu_get(i)));
    }
    *ret_value = node_take_array(cpus);
    return true;
}

static void get_text(Vcpu *vcpu, void *opaque)
{
    *(char **)opaque = accel_current()->vcpu_text(vcpu);
}

static bool cmd_registers(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    static const char *const states[] = {
        [VCPU_STATE_PARKED] = "stopped",  [VCPU_STATE_WAIT_SIPI] = "waits for a start-up IPI",
        [VCPU_STATE_RUNNING] = "running", [VCPU_STATE_HALTED] = "halted",
        [VCPU_STATE_DEAD] = "shut down",
    };
    int64_t index = json_object_get_int_member_with_default(args, "cpu-index", 0);
    Vcpu *vcpu = index >= 0 && index < VCPUS_MAX ? vcpu_get((unsigned)index) : NULL;
    g_autofree char *registers = NULL, *text = NULL;
    JsonObject *object;

    if (!vcpu) {
        error_setg(errp, "there is no processor %" G_GINT64_FORMAT "; query-cpus-fast lists them", index);
        return false;
    }
    if (!accel_current()->vcpu_text) {
        error_setg(errp, "accelerator %s does not show registers", accel_current()->name);
        return false;
    }
    vcpu_run_on(vcpu, get_text, &registers);
    text = g_strdup_printf("CPU#%u (%s)\n%s", vcpu->index, states[vcpu_state(vcpu)], registers);
    object = json_object_new();
    json_object_set_string_member(object, "human-readable-text", text);
    *ret_value = node_take_object(object);
    return true;
}

static bool cmd_nmi(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const Accel *accel = accel_current();

    if (vcpu_count() == 0 || !accel->vcpu_nmi) {
        error_setg(errp, "accelerator %s has no NMI", accel->name);
        return false;
    }
    if (vcpu_get(0)->apic) {
        apic_nmi_button();
        return true;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        accel->vcpu_nmi(vcpu_get(i));
        vcpu_wake(vcpu_get(i));
    }
    return true;
}

static void add_chardev(const char *id, const char *filename, bool in_use, void *opaque)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "label", id);
    json_object_set_string_member(object, "filename", filename);
    json_object_set_boolean_member(object, "frontend-open", in_use);
    json_array_add_object_element(opaque, object);
}

static bool cmd_chardevs(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *devices = json_array_new();

    chardevs_foreach(add_chardev, devices);
    *ret_value = node_take_array(devices);
    return true;
}

static bool cmd_powerdown(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    powerdown_request();
    return true;
}

void qmp_register_cpus(void)
{
    static const QmpCommandImpl commands[] = {
        { "query-cpus-fast", cmd_cpus },
        { "x-query-registers", cmd_registers },
        { "query-chardev", cmd_chardevs },
        { "inject-nmi", cmd_nmi },
        { "system_powerdown", cmd_powerdown },
        { NULL },
    };

    qmp_register(commands);
}
