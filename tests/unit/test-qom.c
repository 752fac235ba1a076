/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the object model: types, tree, properties, -object.
 */
#include "qom/object.h"
#include "util/error.h"

typedef struct Gadget {
    QomObject qom;
    bool flag;
    uint8_t tiny;
    uint32_t count;
    int32_t number;
    uint64_t size;
    char *text;
    char *needed;
    int colour;
    bool completed;
} Gadget;
typedef struct GadgetClass {
    QomObjectClass qom_class;
} GadgetClass;

static int gadgets_alive;
static bool refuse_delete;

GType gadget_get_type(void);

static bool gadget_complete(QomObject *obj, GError **errp)
{
    Gadget *gadget = (Gadget *)obj;

    if (gadget->count == 13) {
        error_setg(errp, "count=13 is unlucky");
        return false;
    }
    gadget->completed = true;
    return true;
}

static bool gadget_can_be_deleted(QomObject *obj, GError **errp)
{
    if (refuse_delete) {
        error_setg(errp, "in use");
    }
    return !refuse_delete;
}

static void gadget_iface_init(gpointer iface, gpointer data)
{
    ((UserCreatableInterface *)iface)->complete = gadget_complete;
    ((UserCreatableInterface *)iface)->can_be_deleted = gadget_can_be_deleted;
}

static const GInterfaceInfo gadget_iface = { .interface_init = gadget_iface_init };

QOM_DEFINE_TYPE_WITH_CODE(Gadget, gadget, "test-gadget", QOM_TYPE_OBJECT, 0,
                          g_type_add_interface_static(type, QOM_TYPE_USER_CREATABLE, &gadget_iface))

static const char *const colours[] = { "red", "green", NULL };

static const QomProperty gadget_properties[] = {
    { "flag", QOM_PROP_KIND_BOOL, offsetof(Gadget, flag), .default_value = true, .description = "a flag" },
    { "tiny", QOM_PROP_KIND_UINT8, offsetof(Gadget, tiny), .description = "a small number" },
    { "the_count", QOM_PROP_KIND_UINT32, offsetof(Gadget, count), .min = 1, .max = 100, .default_value = 7,
      .flags = QOM_PROP_RUNTIME, .description = "a count" },
    { "number", QOM_PROP_KIND_INT32, offsetof(Gadget, number), .default_value = -1, .description = "signed" },
    { "size", QOM_PROP_KIND_SIZE, offsetof(Gadget, size), .description = "bytes" },
    { "text", QOM_PROP_KIND_STRING, offsetof(Gadget, text), .default_text = "hello", .description = "text" },
    { "needed", QOM_PROP_KIND_STRING, offsetof(Gadget, needed), .flags = QOM_PROP_REQUIRED, .description = "must" },
    { "colour", QOM_PROP_KIND_ENUM, offsetof(Gadget, colour), .names = colours, .description = "a colour" },
    { 0 },
};

static void gadget_finalize(GObject *obj)
{
    gadgets_alive--;
    G_OBJECT_CLASS(gadget_parent_class)->finalize(obj);
}

static void gadget_class_init(GadgetClass *klass)
{
    ((GObjectClass *)klass)->finalize = gadget_finalize;
    qom_class_add_properties(klass, gadget_properties);
}

static void gadget_init(Gadget *self)
{
    gadgets_alive++;
}

static void expect_error(GError **error, const char *part)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, part)) {
        g_error("'%s' does not contain '%s'", (*error)->message, part);
    }
    g_clear_error(error);
}

static void expect_text(void *obj, const char *name, const char *value)
{
    g_autofree char *text = qom_get_str(obj, name, NULL);

    g_assert_cmpstr(text, ==, value);
}

static void test_defaults(void)
{
    Gadget *gadget = g_object_new(gadget_get_type(), NULL);

    g_assert_true(gadget->flag);
    g_assert_cmpuint(gadget->count, ==, 7);
    g_assert_cmpint(gadget->number, ==, -1);
    g_assert_cmpstr(gadget->text, ==, "hello");
    g_assert_null(gadget->needed);
    expect_text(gadget, "flag", "on");
    expect_text(gadget, "number", "-1");
    expect_text(gadget, "colour", "red");
    g_object_unref(gadget);
    g_assert_cmpint(gadgets_alive, ==, 0);
}

static void test_set_every_kind(void)
{
    Gadget *gadget = g_object_new(gadget_get_type(), NULL);
    GError *error = NULL;
    static const struct {
        const char *name, *value, *text; /* text NULL: refused */
    } cases[] = {
        { "flag", "off", "off" },    { "flag", "yes", "on" },     { "flag", "maybe", NULL },
        { "tiny", "255", "255" },    { "tiny", "256", NULL },     { "tiny", "-1", NULL },
        { "tiny", "0x10", "16" },    { "tiny", "1x", NULL },      { "tiny", "", NULL },
        { "the_count", "1", "1" },   { "the_count", "0", NULL },  { "the_count", "100", "100" },
        { "the_count", "101", NULL },{ "number", "-5", "-5" },    { "number", "2147483647", "2147483647" },
        { "number", "2147483648", NULL }, { "size", "4K", "4096" }, { "size", "1.5M", "1572864" },
        { "size", "99999999999G", NULL },  { "text", "", "" },       { "colour", "green", "green" },
        { "colour", "blue", NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool ok = qom_set_str(gadget, cases[i].name, cases[i].value, &error);

        g_test_message("%s=%s", cases[i].name, cases[i].value);
        g_assert_cmpint(ok, ==, cases[i].text != NULL);
        if (ok) {
            expect_text(gadget, cases[i].name, cases[i].text);
        } else {
            expect_error(&error, cases[i].name);
        }
    }
    g_assert_false(qom_set_str(gadget, "nothing", "1", &error));
    expect_error(&error, "test-gadget.nothing");
    g_object_unref(gadget);
}

static void test_sealed_object_keeps_its_properties(void)
{
    Gadget *gadget = g_object_new(gadget_get_type(), NULL);
    GError *error = NULL;

    g_assert_false(qom_seal(gadget, &error));
    expect_error(&error, "'needed' is missing");
    g_assert_true(qom_set_str(gadget, "needed", "x", NULL));
    g_assert_true(qom_seal(gadget, NULL));
    g_assert_false(qom_set_str(gadget, "text", "y", &error));
    expect_error(&error, "cannot be changed");
    g_assert_true(qom_set_str(gadget, "the_count", "8", NULL));
    g_object_unref(gadget);
}

static void test_tree(void)
{
    Gadget *a = g_object_new(gadget_get_type(), NULL);
    Gadget *b = g_object_new(gadget_get_type(), NULL);
    QomObject *box = qom_container("/machine/box");
    GError *error = NULL;
    g_autofree char *path = NULL;

    g_assert_true(qom_container("/machine/box") == box);
    g_assert_true(qom_add_child(box, "a", a, NULL));
    g_assert_false(qom_add_child(box, "a", b, &error));
    expect_error(&error, "'a' is already in use below /machine/box");
    g_assert_true(qom_add_child(QOM_OBJECT(a), "b", b, NULL));
    path = qom_path(b);
    g_assert_cmpstr(path, ==, "/machine/box/a/b");
    g_assert_true(qom_resolve("/machine/box/a/b") == QOM_OBJECT(b));
    g_assert_true(qom_resolve("b") == QOM_OBJECT(b));
    g_assert_true(qom_resolve("a/b") == QOM_OBJECT(b));
    g_assert_null(qom_resolve("/machine/box/c"));
    g_object_unref(a);
    g_object_unref(b);
    qom_unparent(a); /* takes b along */
    g_assert_cmpint(gadgets_alive, ==, 0);
    g_assert_null(qom_resolve("b"));
}

static bool add(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-object", text, "qom-type", errp);

    return opts && user_creatable_add(opts, errp);
}

static void test_user_creatable(void)
{
    GError *error = NULL;

    g_assert_true(add("test-gadget,id=g1,needed=x,the_count=3", &error));
    g_assert_true(((Gadget *)qom_resolve("/objects/g1"))->completed);
    g_assert_false(add("test-gadget,id=g1,needed=x", &error));
    expect_error(&error, "g1");
    g_assert_false(add("test-gadget,needed=x", &error));
    expect_error(&error, "id");
    g_assert_false(add("test-gadget,id=7,needed=x", &error));
    expect_error(&error, "'7'");
    g_assert_false(add("container,id=c", &error));
    expect_error(&error, "container");
    g_assert_false(add("nonsense,id=c", &error));
    expect_error(&error, "nonsense");
    g_assert_false(add("test-gadget,id=g2", &error));
    expect_error(&error, "needed");
    g_assert_false(add("test-gadget,id=g2,needed=x,the_count=13", &error));
    expect_error(&error, "unlucky");
    g_assert_null(qom_resolve("/objects/g2"));
    g_assert_cmpint(gadgets_alive, ==, 1);

    refuse_delete = true;
    g_assert_false(user_creatable_del("g1", &error));
    expect_error(&error, "in use");
    refuse_delete = false;
    g_assert_true(user_creatable_del("g1", NULL));
    g_assert_false(user_creatable_del("g1", &error));
    g_assert_cmpint(error->code, ==, ERROR_CLASS_GENERIC);
    g_clear_error(&error);
    g_assert_cmpint(gadgets_alive, ==, 0);
}

static void test_types(void)
{
    unsigned count;
    g_autofree GType *types = NULL;

    g_assert_cmpuint(qom_type_by_name("test-gadget"), ==, gadget_get_type());
    g_assert_cmpuint(qom_type_by_name("GObject"), ==, 0);
    g_assert_cmpuint(qom_type_by_name("no-such-type"), ==, 0);
    types = qom_types_of(QOM_TYPE_OBJECT, &count);
    g_assert_cmpuint(count, >=, 1);
    g_free(types);
    types = qom_types_of(QOM_TYPE_USER_CREATABLE, &count); /* those that have it, not the interface itself */
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpuint(types[0], ==, gadget_get_type());
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { gadget_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    qom_register_types(types);
    g_test_add_func("/qom/defaults", test_defaults);
    g_test_add_func("/qom/set-every-kind", test_set_every_kind);
    g_test_add_func("/qom/sealed-object-keeps-its-properties", test_sealed_object_keeps_its_properties);
    g_test_add_func("/qom/tree", test_tree);
    g_test_add_func("/qom/user-creatable", test_user_creatable);
    g_test_add_func("/qom/types", test_types);
    return g_test_run();
}
