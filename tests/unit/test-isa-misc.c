/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the small ISA devices: port 0x92, isa-debug-exit, pvpanic.
 */
#include <sys/wait.h>
#include <unistd.h>
#include "hw/misc/debugexit.h"
#include "hw/misc/port92.h"
#include "hw/misc/pvpanic.h"
#include "isa-rig.h"
#include "qapi/qapi.h"
#include "system/runstate.h"
#include "util/machine-lock.h"

typedef struct Fixture {
    IsaRig rig;
    unsigned resets;
    GString *events; /* "NAME action;" ... */
} Fixture;

static void see_reset(void *opaque)
{
    ((Fixture *)opaque)->resets++;
}

static void see_event(const char *event, JsonNode *node, void *opaque)
{
    Fixture *f = opaque;
    JsonObject *data = json_object_get_object_member(json_node_get_object(node), "data");

    g_string_append_printf(f->events, "%s %s;", event, json_object_get_string_member(data, "action"));
}

static void setup(Fixture *f, gconstpointer data)
{
    GType (*const types[])(void) = { debug_exit_get_type, pvpanic_get_type, port92_get_type, NULL };

    qom_register_types(types);
    isa_rig_setup(&f->rig);
    f->events = g_string_new(NULL);
    qapi_set_event_sink(see_event, f);
}

static void teardown(Fixture *f, gconstpointer data)
{
    qapi_set_event_sink(NULL, NULL);
    g_string_free(f->events, true);
    isa_rig_teardown(&f->rig);
}

static Device *add(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-device", text, "driver", errp);

    g_assert_nonnull(opts);
    return device_add(opts, errp);
}

static void test_port92(Fixture *f, gconstpointer data)
{
    Port92 *port = port92_create(f->rig.bus, see_reset, f, NULL);

    g_assert_nonnull(port);
    g_assert_cmphex(isa_in(&f->rig, 0x92), ==, 0x02);
    isa_out(&f->rig, 0x92, 0x00);
    g_assert_cmphex(isa_in(&f->rig, 0x92), ==, 0x00);
    isa_out(&f->rig, 0x92, 0xfe);
    g_assert_cmphex(isa_in(&f->rig, 0x92), ==, 0x02);
    g_assert_cmpuint(f->resets, ==, 0);
    isa_out(&f->rig, 0x92, 0x03);
    g_assert_cmpuint(f->resets, ==, 1);
    isa_out(&f->rig, 0x92, 0x03); /* no edge */
    g_assert_cmpuint(f->resets, ==, 1);
    isa_out(&f->rig, 0x92, 0x00);
    isa_out(&f->rig, 0x92, 0x01);
    g_assert_cmpuint(f->resets, ==, 2);
    device_reset(DEVICE(port));
    g_assert_cmphex(isa_in(&f->rig, 0x92), ==, 0x02);
}

static void test_pvpanic(Fixture *f, gconstpointer data)
{
    Device *dev = add("pvpanic,ioport=0x606", NULL);
    int status = -1;

    g_assert_nonnull(dev);
    g_assert_cmphex(isa_in(&f->rig, 0x606), ==, 0x03);
    isa_out(&f->rig, 0x606, 0xfc);
    g_assert_cmpstr(f->events->str, ==, "");
    isa_out(&f->rig, 0x606, 0x02);
    isa_out(&f->rig, 0x606, 0x02);
    g_assert_cmpstr(f->events->str, ==, "GUEST_CRASHLOADED run;");
    device_reset(dev);
    isa_out(&f->rig, 0x606, 0x02);
    g_assert_cmpstr(f->events->str, ==, "GUEST_CRASHLOADED run;GUEST_CRASHLOADED run;");
    g_assert_false(shutdown_requested(&status));
    isa_out(&f->rig, 0x606, 0x01);
    g_assert_cmpstr(f->events->str, ==, "GUEST_CRASHLOADED run;GUEST_CRASHLOADED run;GUEST_PANICKED poweroff;");
    g_assert_true(shutdown_requested(&status));
    g_assert_cmpint(status, ==, 0);
}

/* In a child: a request for shutdown is final in a process. */
static int exit_status_of(Fixture *f, const char *device, uint16_t port, uint64_t value, unsigned size)
{
    pid_t pid = fork();
    AddressSpace *as;
    int status;

    if (pid == 0) {
        g_assert_nonnull(add(device, NULL));
        g_assert_cmphex(isa_in(&f->rig, port), ==, 0);
        g_assert_false(shutdown_requested(&status));
        as = address_space_new(&f->rig.io, "test-io");
        address_space_write(as, port, value, size);
        g_assert_true(shutdown_requested(&status));
        _exit(status);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_debug_exit(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(exit_status_of(f, "isa-debug-exit", 0x501, 0, 1), ==, 1);
    g_assert_cmpint(exit_status_of(f, "isa-debug-exit", 0x502, 0x10, 1), ==, 0x21);
    g_assert_cmpint(exit_status_of(f, "isa-debug-exit", 0x501, 0x80, 2), ==, 1); /* of 0x101 the host sees 8 bits */
    g_assert_cmpint(exit_status_of(f, "isa-debug-exit,iobase=0xf4,iosize=0x04", 0xf4, 3, 4), ==, 7);
    g_assert_cmpint(exit_status_of(f, "isa-debug-exit,iobase=0xffff,iosize=1", 0xffff, 0x7f, 1), ==, 0xff);
}

static void expect_refused(const char *device, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(add(device, &err));
    g_assert_cmpstr(err->message, ==, message);
}

static void test_refusals(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;

    expect_refused("isa-debug-exit,iobase=0xffff",
                   "-device isa-debug-exit: I/O port 0xffff: 2 ports do not fit there, 0xffff is the last; "
                   "choose a lower one");
    g_assert_null(add("isa-debug-exit,iosize=5", &err));
    g_clear_error(&err);
    g_assert_null(add("isa-debug-exit,iosize=0", &err));
    g_clear_error(&err);
    g_assert_null(add("pvpanic,ioport=0x10000", &err));
    g_clear_error(&err);
    g_assert_nonnull(add("isa-debug-exit,iobase=0x600,iosize=2", NULL));
    expect_refused("pvpanic,ioport=0x601",
                   "-device pvpanic: I/O ports 0x601 to 0x601: 'isa-debug-exit' has 0x600 to 0x601; choose others");
    g_assert_nonnull(add("pvpanic,ioport=0x602", NULL));
    expect_refused("port92", "-device: 'port92' is not a valid device model name; '-device help' lists them");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
#define ADD(name, fn) g_test_add("/isa-misc/" name, Fixture, NULL, setup, fn, teardown)
    ADD("port92", test_port92);
    ADD("debug-exit", test_debug_exit);
    ADD("refusals", test_refusals);
    ADD("pvpanic", test_pvpanic); /* last: the shutdown that it asks for cannot be taken back */
    return g_test_run();
}
