/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schema's tables: checks of values, introspection, events.
 */
#include <string.h>
#include "qapi/qapi.h"
#include "util/error.h"

/* "" when ARGS fit command NAME, else the message. */
static char *check(const char *name, const char *args)
{
    const QapiCommand *command = qapi_command_find(name);
    g_autoptr(JsonNode) node = json_from_string(args, NULL);
    g_autoptr(GError) err = NULL;

    g_assert_nonnull(command);
    g_assert_nonnull(node);
    return qapi_check(command->args, node, "", &err) ? g_strdup("") : g_strdup(err->message);
}

typedef struct Case {
    const char *command, *args, *message;
} Case;

static void run_cases(const Case *cases, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *message = check(cases[i].command, cases[i].args);

        if (strcmp(message, cases[i].message) != 0) {
            g_error("%s %s: '%s' instead of '%s'", cases[i].command, cases[i].args, message, cases[i].message);
        }
    }
}

static void test_members(void)
{
    static const Case cases[] = {
        { "stop", "{}", "" },
        { "stop", "{\"x\":1}", "Parameter 'x' is unexpected" },
        { "getfd", "{}", "Parameter 'fdname' is missing" },
        { "getfd", "{\"fdname\":\"a\"}", "" },
        { "getfd", "{\"fdname\":3}", "Invalid parameter type for 'fdname', expected: string" },
        { "getfd", "{\"fdname\":null}", "Invalid parameter type for 'fdname', expected: string" },
        { "getfd", "{\"fdname\":\"a\",\"b\":1}", "Parameter 'b' is unexpected" },
        { "eject", "{\"force\":\"x\"}", "Invalid parameter type for 'force', expected: boolean" },
        { "eject", "{\"force\":true,\"id\":\"cd\"}", "" },
        { "block_resize", "{\"device\":\"a\",\"size\":1.5}", "Invalid parameter type for 'size', expected: integer" },
        { "block_resize", "{\"device\":\"a\",\"size\":-1}", "" },
        { "qom-set", "{\"path\":\"a\",\"property\":\"b\",\"value\":null}", "" },
        { "qom-set", "{\"path\":\"a\",\"property\":\"b\",\"value\":{\"x\":[1]}}", "" },
        { "qom-set", "{\"path\":\"a\",\"property\":\"b\"}", "Parameter 'value' is missing" },
    };

    run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_limits_of_integers(void)
{
    static const Case cases[] = {
        { "rblock_resize", "{\"device\":\"a\",\"size\":0}", "" },
        { "rblock_resize", "{\"device\":\"a\",\"size\":9223372036854775807}", "" },
        { "rblock_resize", "{\"device\":\"a\",\"size\":-1}",
          "Parameter 'size' does not accept value '-1'; give a number from 0 to 9223372036854775807" },
        { "remove-fd", "{\"fdset-id\":-9223372036854775808}", "" },
    };
    static const QapiType byte = { .name = "uint8", .kind = QAPI_INT, .min = 0, .max = 255 };
    static const QapiType small = { .name = "int8", .kind = QAPI_INT, .min = -128, .max = 127 };

    run_cases(cases, G_N_ELEMENTS(cases));
    for (int value = -200; value <= 300; value++) {
        g_autoptr(JsonNode) node = json_node_init_int(json_node_alloc(), value);

        g_assert_cmpint(qapi_check(&byte, node, "b", NULL), ==, value >= 0 && value <= 255);
        g_assert_cmpint(qapi_check(&small, node, "s", NULL), ==, value >= -128 && value <= 127);
    }
}

static void test_arrays_and_enums(void)
{
    static const Case cases[] = {
        { "qmp_capabilities", "{}", "" },
        { "qmp_capabilities", "{\"enable\":[]}", "" },
        { "qmp_capabilities", "{\"enable\":[\"oob\"]}", "" },
        { "qmp_capabilities", "{\"enable\":\"oob\"}", "Invalid parameter type for 'enable', expected: array" },
        { "qmp_capabilities", "{\"enable\":[\"oob\",\"bad\"]}", "Parameter 'enable[1]' does not accept value 'bad'" },
        { "qmp_capabilities", "{\"enable\":[[]]}", "Invalid parameter type for 'enable[0]', expected: string" },
    };

    run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_unions_and_alternates(void)
{
    static const Case cases[] = {
        { "blockdev-add", "{}", "Parameter 'driver' is missing" },
        { "blockdev-add", "{\"driver\":\"nosuch\"}", "Parameter 'driver' does not accept value 'nosuch'" },
        { "blockdev-add", "{\"driver\":\"null-co\",\"node-name\":\"n\"}", "" },
        { "blockdev-add", "{\"driver\":\"null-co\",\"node-name\":\"n\",\"x\":1}", "Parameter 'x' is unexpected" },
        { "blockdev-add", "{\"driver\":\"null-co\",\"filename\":\"n\"}", "Parameter 'filename' is unexpected" },
        { "blockdev-add", "{\"driver\":\"file\"}", "Parameter 'filename' is missing" },
        { "blockdev-add", "{\"driver\":\"raw\",\"file\":\"n\"}", "" },
        { "blockdev-add", "{\"driver\":\"raw\",\"file\":3}",
          "Invalid parameter type for 'file', expected: BlockdevRef" },
        { "blockdev-add", "{\"driver\":\"raw\",\"file\":{\"driver\":\"null-co\",\"foo\":1}}",
          "Parameter 'file.foo' is unexpected" },
        { "blockdev-add",
          "{\"driver\":\"raw\",\"file\":{\"driver\":\"raw\",\"file\":{\"driver\":\"null-co\",\"size\":\"1\"}}}",
          "Invalid parameter type for 'file.file.size', expected: integer" },
        { "blockdev-add", "{\"driver\":\"null-co\",\"cache\":{\"direct\":1}}",
          "Invalid parameter type for 'cache.direct', expected: boolean" },
        { "blockdev-add",
          "{\"driver\":\"blkdebug\",\"image\":\"n\",\"inject-error\":[{\"event\":\"none\"},"
          "{\"event\":\"none\",\"errno\":[]}]}",
          "Invalid parameter type for 'inject-error[1].errno', expected: integer" },
    };

    run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_open_arguments(void)
{
    static const Case cases[] = {
        { "device_add", "{\"driver\":\"x\",\"a\":1,\"b\":{\"c\":[]}}", "" },
        { "device_add", "{\"a\":1}", "Parameter 'driver' is missing" },
        { "device_add", "{\"driver\":\"x\",\"id\":1}", "Invalid parameter type for 'id', expected: string" },
        { "object-add", "{\"qom-type\":\"x\",\"id\":\"y\",\"size\":1}", "" },
        { "drive_add", "{\"id\":\"y\",\"file\":\"x\"}", "" },
        { "rdrive_add", "{\"id\":\"y\",\"rid\":\"0\",\"file\":\"x\"}", "" },
        { "drive_del", "{\"id\":\"y\",\"file\":\"x\"}", "Parameter 'file' is unexpected" },
    };

    run_cases(cases, G_N_ELEMENTS(cases));
}

static void test_tables_are_sorted(void)
{
    for (const QapiCommand *command = qapi_commands; command->name; command++) {
        g_assert_true(command == qapi_commands || strcmp(command[-1].name, command->name) < 0);
        g_assert_true(qapi_command_find(command->name) == command);
        g_assert_cmpint(command->args->kind, ==, QAPI_OBJECT);
    }
    for (const QapiEvent *event = qapi_events; event->name; event++) {
        g_assert_true(event == qapi_events || strcmp(event[-1].name, event->name) < 0);
        g_assert_true(qapi_event_find(event->name) == event);
    }
    g_assert_null(qapi_command_find("STOP"));
    g_assert_null(qapi_event_find("stop"));
    g_assert_null(qapi_command_find(""));
}

/* ---- introspection --------------------------------------------------------------------------- */

static bool is_named(const char *command, void *opaque)
{
    return strcmp(command, opaque) == 0;
}

static bool is_any(const char *command, void *opaque)
{
    return true;
}

/* The entries of the answer by name; each name once. */
static GHashTable *by_name(JsonNode *schema)
{
    GHashTable *entries = g_hash_table_new(g_str_hash, g_str_equal);
    JsonArray *array = json_node_get_array(schema);

    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        JsonObject *entry = json_array_get_object_element(array, i);

        g_assert_true(g_hash_table_insert(entries, (void *)json_object_get_string_member(entry, "name"), entry));
    }
    return entries;
}

static void test_introspection_fits_itself(void)
{
    g_autoptr(JsonNode) schema = qapi_introspect(is_any, NULL);
    g_autoptr(GHashTable) entries = by_name(schema);
    g_autoptr(GError) err = NULL;

    qapi_check(qapi_command_find("query-qmp-schema")->ret, schema, "return", &err);
    g_assert_no_error(err);
    for (const QapiCommand *command = qapi_commands; command->name; command++) {
        JsonObject *entry = g_hash_table_lookup(entries, command->name);

        g_assert_cmpstr(json_object_get_string_member(entry, "meta-type"), ==, "command");
        g_assert_true(g_hash_table_contains(entries, json_object_get_string_member(entry, "arg-type")));
        g_assert_true(g_hash_table_contains(entries, json_object_get_string_member(entry, "ret-type")));
    }
    g_assert_false(g_hash_table_contains(entries, "BlockdevOptions"));
}

static void test_introspection_tells_what_is_reachable(void)
{
    g_autoptr(JsonNode) all = qapi_introspect(is_any, NULL), one = qapi_introspect(is_named, (void *)"query-status");
    g_autoptr(GHashTable) entries = by_name(one);
    JsonObject *entry = g_hash_table_lookup(entries, "query-status");

    g_assert_nonnull(entry);
    g_assert_true(json_object_get_boolean_member(entry, "allow-oob"));
    g_assert_null(g_hash_table_lookup(entries, "stop"));
    g_assert_nonnull(g_hash_table_lookup(entries, "SHUTDOWN"));
    g_assert_cmpuint(json_array_get_length(json_node_get_array(one)), <,
                     json_array_get_length(json_node_get_array(all)) / 2);
}

/* ---- events ---------------------------------------------------------------------------------- */

static char *seen; /* the event seen last, without its time */

static void see(const char *event, JsonNode *node, void *opaque)
{
    JsonObject *object = json_node_get_object(node), *stamp = json_object_get_object_member(object, "timestamp");
    int64_t us = json_object_get_int_member(stamp, "microseconds");
    int64_t now = g_get_real_time(), then = json_object_get_int_member(stamp, "seconds") * G_USEC_PER_SEC + us;
    JsonNode *data = json_object_get_member(object, "data");
    g_autofree char *text = data ? json_to_string(data, FALSE) : g_strdup("none");

    g_assert_cmpstr(json_object_get_string_member(object, "event"), ==, event);
    g_assert_cmpuint(json_object_get_size(object), ==, data ? 3 : 2);
    g_assert_true(us >= 0 && us < G_USEC_PER_SEC && then <= now && now - then < 3600 * (int64_t)G_USEC_PER_SEC);
    g_free(seen);
    seen = g_strdup_printf("%s %s", event, text);
}

static void test_events(void)
{
    JsonObject *data = json_object_new();

    qapi_event_emit("STOP", NULL);
    json_object_set_string_member(data, "path", "/x");
    qapi_event_emit("DEVICE_DELETED", json_object_ref(data));
    g_assert_null(seen);

    qapi_set_event_sink(see, NULL);
    qapi_event_emit("STOP", NULL);
    g_assert_cmpstr(seen, ==, "STOP none");
    qapi_event_emit("DEVICE_DELETED", data);
    g_assert_cmpstr(seen, ==, "DEVICE_DELETED {\"path\":\"/x\"}");
    qapi_set_event_sink(NULL, NULL);
    qapi_event_emit("STOP", NULL);
    g_assert_cmpstr(seen, ==, "DEVICE_DELETED {\"path\":\"/x\"}");
    g_clear_pointer(&seen, g_free);
}

static void emit_bad_events(void)
{
    JsonObject *data = json_object_new();

    qapi_set_event_sink(see, NULL);
    json_object_set_string_member(data, "device", "x");
    qapi_event_emit("DEVICE_DELETED", data);
    qapi_event_emit("NO_SUCH_EVENT", NULL);
    g_assert_null(seen);
}

/* A bug of ours is logged and does not reach clients. */
static void test_bad_events(void)
{
    if (g_test_subprocess()) {
        emit_bad_events();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*DEVICE_DELETED is not sent: Parameter 'path' is missing*NO_SUCH_EVENT*not in the "
                              "schema*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/members", test_members);
    g_test_add_func("/qapi/limits-of-integers", test_limits_of_integers);
    g_test_add_func("/qapi/arrays-and-enums", test_arrays_and_enums);
    g_test_add_func("/qapi/unions-and-alternates", test_unions_and_alternates);
    g_test_add_func("/qapi/open-arguments-are-left-to-the-handler", test_open_arguments);
    g_test_add_func("/qapi/tables-are-sorted", test_tables_are_sorted);
    g_test_add_func("/qapi/introspection-fits-itself", test_introspection_fits_itself);
    g_test_add_func("/qapi/introspection-tells-what-is-reachable", test_introspection_tells_what_is_reachable);
    g_test_add_func("/qapi/events", test_events);
    g_test_add_func("/qapi/events-that-do-not-fit-are-not-sent", test_bad_events);
    return g_test_run();
}
