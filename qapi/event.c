/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: checked against the schema, stamped, handed to the monitor.
 *
 * Runs in: both programs.
 */
#include <time.h>

#include "qapi/qapi.h"
#include "util/error.h"
#include "util/log.h"

static QapiEventSink *event_sink; /* NULL: nobody listens */
static void *event_sink_opaque;

void qapi_set_event_sink(QapiEventSink *sink, void *opaque)
{
    event_sink = sink;
    event_sink_opaque = opaque;
}

JsonNode *qapi_event_node(const char *event, JsonObject *data)
{
    JsonObject *object = json_object_new(), *stamp = json_object_new();
    JsonNode *node = json_node_init_object(json_node_alloc(), object);
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    json_object_set_int_member(stamp, "seconds", now.tv_sec);
    json_object_set_int_member(stamp, "microseconds", now.tv_nsec / 1000);
    json_object_set_object_member(object, "timestamp", stamp);
    json_object_set_string_member(object, "event", event);
    if (data && json_object_get_size(data) > 0) {
        json_object_set_object_member(object, "data", json_object_ref(data));
    }
    json_object_unref(object);
    return node;
}

static bool check_event(const char *event, JsonObject *data, GError **errp)
{
    const QapiEvent *entry = qapi_event_find(event);
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), data);

    if (!entry) {
        error_setg(errp, "it is not in the schema");
        return false;
    }
    return qapi_check(entry->data, node, "", errp);
}

void qapi_event_emit(const char *event, JsonObject *data)
{
    g_autoptr(JsonObject) members = data ? data : json_object_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonNode) node = NULL;

    if (!event_sink) {
        return;
    }
    if (!check_event(event, members, &err)) {
        log_error("internal error: event %s is not sent: %s", event, err->message);
        return;
    }
    node = qapi_event_node(event, members);
    event_sink(event, node, event_sink_opaque);
}
