/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of devices that come and go at run time: device_add_async(), device_del() and their events.
 */
#include <string.h>
#include "hw/core/bus.h"
#include "qapi/qapi.h"
#include "util/error.h"

/* ---- a controller with a bus, a device for it, a board's device ------------------------------- */

typedef struct TestBus {
    Bus bus;
} TestBus;
typedef struct TestBusClass {
    BusClass bus_class;
} TestBusClass;
typedef struct TestHba {
    Device dev;
} TestHba;
typedef struct TestHbaClass {
    DeviceClass device_class;
} TestHbaClass;
typedef struct TestUnit {
    Device dev;
    uint32_t number;
    bool fail;
    unsigned resets;
} TestUnit;
typedef struct TestUnitClass {
    DeviceClass device_class;
} TestUnitClass;
typedef TestUnit TestSlow;
typedef TestUnitClass TestSlowClass;
typedef TestUnit TestFixed;
typedef TestUnitClass TestFixedClass;

GType test_bus_get_type(void);
GType test_hba_get_type(void);
GType test_unit_get_type(void);
GType test_slow_get_type(void);
GType test_fixed_get_type(void);

QOM_DEFINE_TYPE(TestBus, test_bus, "test-bus", TYPE_BUS, 0)
QOM_DEFINE_TYPE(TestHba, test_hba, "test-hba", TYPE_DEVICE, 0)
QOM_DEFINE_TYPE(TestUnit, test_unit, "test-unit", TYPE_DEVICE, 0)
QOM_DEFINE_TYPE(TestSlow, test_slow, "test-slow", test_unit_get_type(), 0)
QOM_DEFINE_TYPE(TestFixed, test_fixed, "test-fixed", test_unit_get_type(), 0)

static int units_alive;
static unsigned unrealized;
static DevicePrepare *preparing; /* the last that test-slow was asked for */

static void test_bus_class_init(TestBusClass *klass)
{
}

static void test_bus_init(TestBus *self)
{
}

static bool hba_realize(Device *dev, GError **errp)
{
    bus_new(test_bus_get_type(), dev, NULL);
    return true;
}

static void test_hba_class_init(TestHbaClass *klass)
{
    klass->device_class.realize = hba_realize;
}

static void test_hba_init(TestHba *self)
{
}

static bool unit_realize(Device *dev, GError **errp)
{
    if (((TestUnit *)dev)->fail) {
        error_setg(errp, "fail=on; leave it out");
        return false;
    }
    return true;
}

static void unit_unrealize(Device *dev)
{
    g_assert_false(dev->realized);
    unrealized++;
}

static void unit_reset(Device *dev)
{
    ((TestUnit *)dev)->resets++;
}

static void unit_finalize(GObject *obj)
{
    units_alive--;
    G_OBJECT_CLASS(test_unit_parent_class)->finalize(obj);
}

static const QomProperty unit_properties[] = {
    { "number", QOM_PROP_KIND_UINT32, offsetof(TestUnit, number), .description = "a number" },
    { "fail", QOM_PROP_KIND_BOOL, offsetof(TestUnit, fail), .description = "realize fails" },
    { 0 },
};

static void test_unit_class_init(TestUnitClass *klass)
{
    ((GObjectClass *)klass)->finalize = unit_finalize;
    klass->device_class.bus_type = test_bus_get_type();
    klass->device_class.realize = unit_realize;
    klass->device_class.unrealize = unit_unrealize;
    klass->device_class.reset = unit_reset;
    qom_class_add_properties(klass, unit_properties);
}

static void test_unit_init(TestUnit *self)
{
    units_alive++;
}

static void slow_prepare(Device *dev, Bus *bus, DevicePrepare *prepare)
{
    g_assert_false(dev->realized);
    g_assert_null(preparing);
    preparing = prepare;
}

static void test_slow_class_init(TestSlowClass *klass)
{
    klass->device_class.prepare = slow_prepare;
}

static void test_slow_init(TestSlow *self)
{
}

static void test_fixed_class_init(TestFixedClass *klass)
{
    klass->device_class.hotpluggable = false;
}

static void test_fixed_init(TestFixed *self)
{
}

/* ---- calls -------------------------------------------------------------------------------------- */

typedef struct Added {
    unsigned calls;
    Device *dev;
    char *message; /* of the failure; NULL: none */
} Added;

static void added(Device *dev, const GError *err, void *opaque)
{
    Added *result = opaque;

    g_assert_true((dev == NULL) == (err != NULL));
    result->calls++;
    result->dev = dev;
    result->message = err ? g_strdup(err->message) : NULL;
}

static void start_add(const char *text, Added *result)
{
    g_autoptr(Options) opts = options_parse("device_add", text, "driver", NULL);

    *result = (Added) { 0 };
    device_add_async(opts, added, result);
}

static Device *add(const char *text)
{
    Added result;

    start_add(text, &result);
    g_assert_cmpuint(result.calls, ==, 1);
    g_assert_cmpstr(result.message, ==, NULL);
    return result.dev;
}

static void expect_text(char **text, const char *part)
{
    g_assert_nonnull(*text);
    if (!strstr(*text, part)) {
        g_error("'%s' does not contain '%s'", *text, part);
    }
    g_clear_pointer(text, g_free);
}

static void expect_add_fails(const char *text, const char *part)
{
    Added result;

    start_add(text, &result);
    g_assert_cmpuint(result.calls, ==, 1);
    expect_text(&result.message, part);
}

static void expect_del_fails(const char *id, ErrorClass error_class, const char *part)
{
    GError *err = NULL;

    g_assert_false(device_del(id, &err));
    g_assert_error(err, MPQEMU_ERROR, (int)error_class);
    if (!strstr(err->message, part)) {
        g_error("'%s' does not contain '%s'", err->message, part);
    }
    g_clear_error(&err);
}

static void del(const char *id)
{
    g_autoptr(GError) err = NULL;

    device_del(id, &err);
    g_assert_no_error(err);
}

/* Paths of the DEVICE_DELETED events, and ids where they differ from the last part: "path(id) ...". */
static GString *events;

static void sink(const char *event, JsonNode *node, void *opaque)
{
    JsonObject *data = json_object_get_object_member(json_node_get_object(node), "data");
    const char *path = json_object_get_string_member(data, "path");

    g_assert_cmpstr(event, ==, "DEVICE_DELETED");
    g_assert_null(qom_resolve(path)); /* it is over */
    g_string_append_printf(events, "%s(%s) ", path,
                           json_object_get_string_member_with_default(data, "device", "-"));
}

static void expect_events(const char *text)
{
    g_assert_cmpstr(events->str, ==, text);
    g_string_truncate(events, 0);
}

static bool bool_of(void *obj, const char *name)
{
    JsonNode *node = qom_get_json(obj, name, NULL);
    bool value = json_node_get_boolean(node);

    json_node_unref(node);
    return value;
}

/* ---- tests -------------------------------------------------------------------------------------- */

static void test_add_and_del(void)
{
    Device *hba = add("test-hba,id=h"), *unit;
    GError *err = NULL;

    unit = add("test-unit,id=u,bus=h.0,number=7");
    g_assert_true(unit->parent_bus == hba->buses->pdata[0]);
    g_assert_cmpuint(((TestUnit *)unit)->number, ==, 7);
    g_assert_cmpuint(((TestUnit *)unit)->resets, ==, 1);
    g_assert_true(bool_of(unit, "realized"));
    g_assert_true(bool_of(unit, "hotplugged"));
    g_assert_false(qom_set_str(unit, "realized", "off", &err));
    g_clear_error(&err);
    del("u");
    expect_events("/machine/peripheral/u(u) ");
    g_assert_cmpint(units_alive, ==, 0);
    add("test-unit,id=u"); /* id and bus are free again */
    del("/machine/peripheral/u");
    del("h");
    expect_events("/machine/peripheral/u(u) /machine/peripheral/h(h) ");
}

static void test_start_up_is_not_hotplug(void)
{
    g_autoptr(Options) opts = options_parse("-device", "test-hba,id=h", "driver", NULL);
    Device *hba = device_add(opts, NULL);

    g_assert_true(bool_of(hba, "realized"));
    g_assert_false(bool_of(hba, "hotplugged"));
    del("h");
    expect_events("/machine/peripheral/h(h) ");
}

static void test_refused_additions_leave_nothing(void)
{
    add("test-hba,id=h");
    expect_add_fails("no-such", "'no-such' is not a valid device model name");
    expect_add_fails("test-bus", "'test-bus' is not");
    expect_add_fails("test-fixed", "Device 'test-fixed' does not support hotplugging");
    expect_add_fails("test-unit,id=9", "id=9");
    expect_add_fails("test-unit,id=..", "id=..");
    expect_add_fails("test-unit,id=type", "'type' is already in use");
    expect_add_fails("test-unit,id=h", "'h' is already in use");
    expect_add_fails("test-unit,bus=x.0", "bus=x.0");
    expect_add_fails("test-unit,number=-1", "number");
    expect_add_fails("test-unit,realized=on", "realized");
    expect_add_fails("test-unit,colour=red", "test-unit.colour");
    expect_add_fails("test-unit,id=u,fail=on", "device_add test-unit,id=u: fail=on");
    g_assert_cmpint(units_alive, ==, 0);
    g_assert_null(qom_resolve("/machine/peripheral/u"));
    del("h");
    expect_add_fails("test-unit", "no 'test-bus' bus found");
    expect_events("/machine/peripheral/h(h) ");
}

static void test_preparation_reserves_the_id(void)
{
    Device *hba = add("test-hba,id=h");
    QomObject *obj;
    Added result;
    GError *err = NULL;

    start_add("test-slow,id=s", &result);
    g_assert_cmpuint(result.calls, ==, 0);
    obj = qom_resolve("/machine/peripheral/s");
    g_assert_false(bool_of(obj, "realized"));
    g_assert_null(device_find("s"));
    g_assert_false(qom_set_str(obj, "number", "3", &err));
    g_clear_error(&err);
    expect_add_fails("test-unit,id=s", "'s' is already in use");
    expect_del_fails("s", ERROR_CLASS_GENERIC, "still being added");
    g_assert_cmpuint(((Bus *)hba->buses->pdata[0])->devices->len, ==, 0);
    device_prepared(g_steal_pointer(&preparing), NULL);
    g_assert_cmpuint(result.calls, ==, 1);
    g_assert_true(result.dev == device_find("s"));
    del("h");
    expect_events("/machine/peripheral/s(s) /machine/peripheral/h(h) ");
    g_assert_cmpint(units_alive, ==, 0);
}

static void test_preparation_that_fails(void)
{
    GError *err = NULL;
    Added result;

    add("test-hba,id=h");
    start_add("test-slow,id=s", &result);
    error_setg(&err, "the other side said no");
    device_prepared(g_steal_pointer(&preparing), err);
    g_assert_cmpuint(result.calls, ==, 1);
    expect_text(&result.message, "device_add test-slow,id=s: the other side said no");
    start_add("test-slow,id=s,fail=on", &result); /* prepared well, not realized */
    device_prepared(g_steal_pointer(&preparing), NULL);
    expect_text(&result.message, "fail=on");
    g_assert_null(qom_resolve("/machine/peripheral/s"));
    g_assert_cmpint(units_alive, ==, 0);
    del("h");
    g_string_truncate(events, 0);
}

static void test_bus_that_goes_during_preparation(void)
{
    Added result;

    add("test-hba,id=h");
    start_add("test-slow,id=s,bus=h.0", &result);
    del("h");
    expect_events("/machine/peripheral/h(h) ");
    device_prepared(g_steal_pointer(&preparing), NULL);
    g_assert_cmpuint(result.calls, ==, 1);
    expect_text(&result.message, "bus 'h.0' was removed meanwhile");
    g_assert_cmpint(units_alive, ==, 0);
}

static void test_controller_takes_its_units_along(void)
{
    g_autofree char *path = NULL;
    g_autofree char *expected = NULL;

    add("test-hba,id=h");
    add("test-unit,id=a");
    path = qom_path(add("test-unit"));
    unrealized = 0;
    del("h");
    g_assert_cmpuint(unrealized, ==, 2);
    expected = g_strdup_printf("/machine/peripheral/a(a) %s(-) /machine/peripheral/h(h) ", path);
    expect_events(expected);
    g_assert_cmpint(units_alive, ==, 0);
}

static void test_del_of_what_cannot_go(void)
{
    g_autofree char *long_path = g_strnfill(2 * QOM_PATH_MAX, '/');
    Device *board = device_new(test_hba_get_type());

    expect_del_fails("nothing", ERROR_CLASS_DEVICE_NOT_FOUND, "'nothing' not found");
    expect_del_fails("", ERROR_CLASS_DEVICE_NOT_FOUND, "'' not found");
    expect_del_fails("..", ERROR_CLASS_DEVICE_NOT_FOUND, "'..' not found");
    expect_del_fails("\x01\xc3\xa4", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_del_fails(long_path, ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_del_fails("/nothing", ERROR_CLASS_DEVICE_NOT_FOUND, "'/nothing' not found");
    expect_del_fails("/", ERROR_CLASS_GENERIC, "/ is not a hotpluggable device");
    expect_del_fails("/machine/peripheral", ERROR_CLASS_GENERIC, "not a hotpluggable device");
    g_assert_true(qom_add_child(qom_container("/machine/unattached"), "board", board, NULL));
    g_assert_true(device_realize(board, NULL, NULL));
    expect_del_fails("board", ERROR_CLASS_DEVICE_NOT_FOUND, "not found");
    expect_del_fails("/machine/unattached/board", ERROR_CLASS_GENERIC,
                     "Device 'test-hba' does not support hotplugging");
    device_unrealize(board);
    g_object_unref(board);
    expect_events("");
}

static void test_blocker_below_holds_the_controller(void)
{
    Device *unit;

    add("test-hba,id=h");
    unit = add("test-unit,id=u");
    device_set_unplug_blocker(unit, "it is served by 'r0'; delete that first");
    expect_del_fails("u", ERROR_CLASS_GENERIC, "it is served by 'r0'");
    expect_del_fails("h", ERROR_CLASS_GENERIC, "it is served by 'r0'");
    device_set_unplug_blocker(unit, NULL);
    del("h");
    expect_events("/machine/peripheral/u(u) /machine/peripheral/h(h) ");
}

static bool take_over(Device *dev, void *opaque)
{
    Device **taken = opaque;

    if (g_strcmp0(dev->id, "ours") != 0) {
        return false;
    }
    *taken = g_object_ref(dev);
    return true;
}

static void test_handler_takes_over(void)
{
    Device *taken = NULL;

    device_set_del_handler(take_over, &taken);
    add("test-hba,id=h");
    add("test-unit,id=ours");
    add("test-unit,id=other");
    del("other");
    expect_events("/machine/peripheral/other(other) ");
    del("ours");
    expect_events("");
    g_assert_true(taken == device_find("ours"));
    expect_del_fails("ours", ERROR_CLASS_GENERIC, "already in the process of unplug");
    device_unplugged(taken);
    expect_events("/machine/peripheral/ours(ours) ");
    device_unplugged(taken); /* it has gone already */
    expect_events("");
    g_clear_object(&taken);
    /* The controller goes while the handler has the unit. */
    add("test-unit,id=ours");
    del("ours");
    del("h");
    expect_events("/machine/peripheral/ours(ours) /machine/peripheral/h(h) ");
    device_unplugged(taken);
    expect_events("");
    g_object_unref(taken);
    device_set_del_handler(NULL, NULL);
    g_assert_cmpint(units_alive, ==, 0);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = {
        test_bus_get_type, test_hba_get_type, test_unit_get_type, test_slow_get_type, test_fixed_get_type, NULL,
    };
    int status;

    g_test_init(&argc, &argv, NULL);
    qom_register_types(types);
    events = g_string_new(NULL);
    qapi_set_event_sink(sink, NULL);
    g_test_add_func("/hotplug/add-and-del", test_add_and_del);
    g_test_add_func("/hotplug/start-up-is-none", test_start_up_is_not_hotplug);
    g_test_add_func("/hotplug/refused-additions-leave-nothing", test_refused_additions_leave_nothing);
    g_test_add_func("/hotplug/prepare/reserves-the-id", test_preparation_reserves_the_id);
    g_test_add_func("/hotplug/prepare/fails", test_preparation_that_fails);
    g_test_add_func("/hotplug/prepare/bus-goes", test_bus_that_goes_during_preparation);
    g_test_add_func("/hotplug/del/controller-takes-its-units-along", test_controller_takes_its_units_along);
    g_test_add_func("/hotplug/del/of-what-cannot-go", test_del_of_what_cannot_go);
    g_test_add_func("/hotplug/del/blocker-below-holds-the-controller", test_blocker_below_holds_the_controller);
    g_test_add_func("/hotplug/del/handler-takes-over", test_handler_takes_over);
    status = g_test_run();
    g_string_free(events, TRUE);
    return status;
}
