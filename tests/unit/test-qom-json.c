/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of properties as JSON values, and of paths from a hostile client.
 */
#include <string.h>
#include "qom/object.h"
#include "util/error.h"

typedef struct Thing {
    QomObject qom;
    bool flag;
    uint8_t tiny;
    int32_t number;
    uint64_t big;
    uint64_t size;
    char *text;
    char *secret;
    int mode;
    bool state;
    bool late;
} Thing;
typedef struct ThingClass {
    QomObjectClass qom_class;
} ThingClass;

GType thing_get_type(void);
QOM_DEFINE_TYPE(Thing, thing, "test-thing", QOM_TYPE_OBJECT, 0)

static const char *const modes[] = { "auto", "on", "off", NULL };

static const QomProperty thing_properties[] = {
    { "flag", QOM_PROP_KIND_BOOL, offsetof(Thing, flag), .default_value = true },
    { "tiny", QOM_PROP_KIND_UINT8, offsetof(Thing, tiny), .min = 2, .max = 200, .default_value = 2 },
    { "number", QOM_PROP_KIND_INT32, offsetof(Thing, number), .default_value = -1 },
    { "big", QOM_PROP_KIND_UINT64, offsetof(Thing, big) },
    { "a_size", QOM_PROP_KIND_SIZE, offsetof(Thing, size) },
    { "text", QOM_PROP_KIND_STRING, offsetof(Thing, text), .default_text = "hello" },
    { "secret", QOM_PROP_KIND_STRING, offsetof(Thing, secret), .flags = QOM_PROP_WRITE_ONLY },
    { "mode", QOM_PROP_KIND_ENUM, offsetof(Thing, mode), .names = modes, .enum_name = "OnOffAuto" },
    { "state", QOM_PROP_KIND_BOOL, offsetof(Thing, state), .flags = QOM_PROP_READ_ONLY | QOM_PROP_STATE },
    { "late", QOM_PROP_KIND_BOOL, offsetof(Thing, late), .flags = QOM_PROP_RUNTIME },
    { 0 },
};

static void thing_class_init(ThingClass *klass)
{
    qom_class_add_properties(klass, thing_properties);
}

static void thing_init(Thing *self)
{
}

static JsonNode *parse(const char *json)
{
    g_autofree char *array = g_strdup_printf("[%s]", json);
    g_autoptr(JsonParser) parser = json_parser_new();

    g_assert_true(json_parser_load_from_data(parser, array, -1, NULL));
    return json_array_dup_element(json_node_get_array(json_parser_get_root(parser)), 0);
}

static void expect_value(void *obj, const char *name, const char *json)
{
    g_autoptr(JsonNode) node = qom_get_json(obj, name, NULL);
    g_autofree char *text = node ? json_to_string(node, FALSE) : NULL;

    g_assert_cmpstr(text, ==, json);
}

/* Sets NAME from JSON; AFTER is what it reads then; NULL: refused with a message that holds PART. */
static void set(void *obj, const char *name, const char *json, const char *after, const char *part)
{
    g_autoptr(JsonNode) node = parse(json);
    g_autoptr(GError) err = NULL;

    g_test_message("%s=%s", name, json);
    g_assert_cmpint(qom_set_json(obj, name, node, &err), ==, after != NULL);
    if (after) {
        expect_value(obj, name, after);
    } else if (!strstr(err->message, part)) {
        g_error("'%s' does not contain '%s'", err->message, part);
    }
}

static void test_values(void)
{
    static const struct {
        const char *name, *json, *after, *part;
    } cases[] = {
        { "flag", "false", "false" },
        { "flag", "\"on\"", "true" },
        { "flag", "1", NULL, "expected: boolean" },
        { "flag", "null", NULL, "expected: boolean" },
        { "tiny", "200", "200" },
        { "tiny", "201", NULL, "from 2 to 200" },
        { "tiny", "1", NULL, "from 2 to 200" },
        { "tiny", "-1", NULL, "'-1'" },
        { "tiny", "458", NULL, "'458'" }, /* 200 modulo 256 is another number */
        { "tiny", "3.0", NULL, "expected: integer" },
        { "tiny", "true", NULL, "expected: integer" },
        { "tiny", "[]", NULL, "expected: integer" },
        { "tiny", "{}", NULL, "expected: integer" },
        { "tiny", "\"0x10\"", "16" },
        { "tiny", "\"\"", NULL, "''" },
        { "number", "-2147483648", "-2147483648" },
        { "number", "-2147483649", NULL, "-2147483649" },
        { "number", "2147483647", "2147483647" },
        { "number", "2147483648", NULL, "2147483648" },
        { "number", "1e3", NULL, "expected: integer" },
        { "big", "9223372036854775807", "9223372036854775807" },
        { "big", "-1", NULL, "'-1'" },
        { "big", "\"18446744073709551615\"", "\"18446744073709551615\"" },
        { "big", "\"18446744073709551616\"", NULL, "18446744073709551616" },
        { "big", "1e300", NULL, "expected: integer" },
        { "a_size", "\"4K\"", "4096" },
        { "a_size", "4097", "4097" },
        { "a_size", "-4096", NULL, "-4096" },
        { "a-size", "1", NULL, "'test-thing.a-size' not found" },
        { "text", "\"x\"", "\"x\"" },
        { "text", "1", NULL, "expected: string" },
        { "mode", "\"off\"", "\"off\"" },
        { "mode", "\"maybe\"", NULL, "one of auto, on, off" },
        { "mode", "1", NULL, "expected: string" },
        { "state", "true", NULL, "read-only" },
        { "state", "\"on\"", NULL, "read-only" },
        { "type", "\"x\"", NULL, "not writable" },
        { "nothing", "1", NULL, "'test-thing.nothing' not found" },
        { "", "1", NULL, "not found" },
        { "test-thing::text", "\"x\"", NULL, "not found" },
        { "GObject::ref", "1", NULL, "not found" },
        { "\\u0001\xc3\xa4%s%n", "1", NULL, "not found" },
    };
    g_autoptr(GObject) thing = g_object_new(thing_get_type(), NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        set(thing, cases[i].name, cases[i].json, cases[i].after, cases[i].part);
    }
}

static void test_sealed(void)
{
    g_autoptr(GObject) thing = g_object_new(thing_get_type(), NULL);

    g_assert_true(qom_seal(thing, NULL));
    set(thing, "tiny", "3", NULL, "cannot be changed after the object was made");
    set(thing, "text", "\"y\"", NULL, "cannot be changed");
    set(thing, "tiny", "\"3\"", NULL, "cannot be changed");
    set(thing, "late", "true", "true", NULL);
    expect_value(thing, "tiny", "2");
}

static void test_reading(void)
{
    g_autoptr(GObject) thing = g_object_new(thing_get_type(), NULL);
    g_autoptr(GObject) child = g_object_new(thing_get_type(), NULL);
    GError *err = NULL;

    expect_value(thing, "type", "\"test-thing\"");
    expect_value(thing, "mode", "\"auto\"");
    expect_value(thing, "number", "-1");
    expect_value(thing, "state", "false");
    g_assert_null(qom_get_json(thing, "secret", &err));
    g_assert_nonnull(strstr(err->message, "can only be set"));
    g_clear_error(&err);
    g_assert_null(qom_get_json(thing, "nothing", &err));
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    g_clear_error(&err);
    g_assert_true(qom_add_child(qom_container("/box"), "thing", thing, NULL));
    g_assert_true(qom_add_child(QOM_OBJECT(thing), "child", child, NULL));
    expect_value(thing, "child", "\"/box/thing/child\"");
    set(thing, "child", "\"/\"", NULL, "not writable");
    qom_unparent(thing);
}

static void test_child_names(void)
{
    g_autoptr(GObject) thing = g_object_new(thing_get_type(), NULL);
    g_autoptr(GObject) child = g_object_new(thing_get_type(), NULL);
    GError *err = NULL;

    g_assert_false(qom_add_child(QOM_OBJECT(thing), "type", child, &err));
    g_assert_nonnull(strstr(err->message, "'type' is already in use"));
    g_clear_error(&err);
    g_assert_false(qom_add_child(QOM_OBJECT(thing), "a_size", child, &err));
    g_clear_error(&err);
    g_assert_true(qom_add_child(QOM_OBJECT(thing), "a-size", child, NULL));
}

static void name_types(const QomProperty *prop, void *opaque)
{
    g_autoptr(JsonNode) fallback = qom_property_default(prop);
    g_autofree char *text = fallback ? json_to_string(fallback, FALSE) : NULL;

    g_string_append_printf(opaque, "%s:%s=%s ", prop->name, qom_property_type_name(prop), text ? text : "");
}

static void test_type_names(void)
{
    g_autoptr(GString) list = g_string_new(NULL);

    qom_foreach_property(thing_get_type(), name_types, list);
    g_assert_nonnull(strstr(list->str, "flag:bool=true "));
    g_assert_nonnull(strstr(list->str, "tiny:uint8=2 "));
    g_assert_nonnull(strstr(list->str, "number:int32=-1 "));
    g_assert_nonnull(strstr(list->str, "big:uint64=0 "));
    g_assert_nonnull(strstr(list->str, "a_size:size=0 "));
    g_assert_nonnull(strstr(list->str, "text:str= "));
    g_assert_nonnull(strstr(list->str, "mode:OnOffAuto=\"auto\" "));
    g_assert_nonnull(strstr(list->str, "state:bool= "));
}

static void expect_not_found(const char *path, ErrorClass error_class, const char *part)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(qom_find(path, &err));
    g_assert_error(err, MPQEMU_ERROR, (int)error_class);
    g_assert_nonnull(strstr(err->message, part));
}

static void test_paths(void)
{
    g_autoptr(GObject) one = g_object_new(thing_get_type(), NULL);
    g_autoptr(GObject) two = g_object_new(thing_get_type(), NULL);
    g_autofree char *longest = g_strnfill(QOM_PATH_MAX, '/');
    g_autofree char *longer = g_strnfill(QOM_PATH_MAX + 1, '/');
    g_autofree char *huge = g_strnfill(1024 * 1024, 'a');

    g_assert_true(qom_add_child(qom_container("/box1"), "x", one, NULL));
    g_assert_true(qom_add_child(qom_container("/box2"), "x", two, NULL));
    g_assert_true(qom_find("/box1/x", NULL) == QOM_OBJECT(one));
    g_assert_true(qom_find("box2/x", NULL) == QOM_OBJECT(two));
    g_assert_true(qom_find("/", NULL) == qom_root());
    g_assert_true(qom_find(longest, NULL) == qom_root());
    expect_not_found("x", ERROR_CLASS_GENERIC, "'x' is ambiguous");
    expect_not_found("", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found("..", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found("/box1/..", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found("/box1/../box2/x", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found("./x", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found("/box1/x/y", ERROR_CLASS_DEVICE_NOT_FOUND, "'/box1/x/y' not found");
    expect_not_found("%s%n\x7f\x01", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_not_found(longer, ERROR_CLASS_DEVICE_NOT_FOUND, "longer than");
    expect_not_found(huge, ERROR_CLASS_DEVICE_NOT_FOUND, "longer than");
    qom_unparent(one);
    qom_unparent(two);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { thing_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    qom_register_types(types);
    g_test_add_func("/qom-json/values-of-every-kind", test_values);
    g_test_add_func("/qom-json/sealed", test_sealed);
    g_test_add_func("/qom-json/reading", test_reading);
    g_test_add_func("/qom-json/child-names", test_child_names);
    g_test_add_func("/qom-json/type-names", test_type_names);
    g_test_add_func("/qom-json/paths", test_paths);
    return g_test_run();
}
