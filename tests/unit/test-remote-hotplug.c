/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controllers and links that come and go in one device process: who holds whom, limits, and what is left behind.
 *
 * The peer is played by raw bytes on a socket pair (docs/interop/mpqemu-link.rst).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "hw/remote/pci-host.h"
#include "hw/remote/remote-object.h"
#include "hw/scsi/lsi53c895a.h"
#include "link-peer.h"
#include "system/runstate.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/fd-name.h"
#include "util/machine-lock.h"

#define TURNS 200 /* of the event loop: more than any step below needs */
#define CYCLES 200

static void turn(void)
{
    for (int i = 0; i < TURNS && event_loop_turn(event_loop_main(), false); i++) {
    }
}

static void added(Device *dev, const GError *err, void *opaque)
{
    g_assert_no_error(err);
    *(Device **)opaque = dev;
}

static Device *add_device(const char *text)
{
    g_autoptr(Options) opts = options_parse("device_add", text, "driver", NULL);
    Device *dev = NULL;

    device_add_async(opts, added, &dev);
    g_assert_nonnull(dev);
    return dev;
}

static bool add_object(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("object-add", text, "qom-type", NULL);

    return user_creatable_add(opts, errp) != NULL;
}

/* Names one end of a socket pair "link", as getfd does; returns the other. */
static int name_link(void)
{
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_true(fd_name_add_take_fd("link", pair[0], NULL));
    return pair[1];
}

/* A served device lsiN by object rN; returns the peer's end. */
static int add_served(unsigned n)
{
    g_autofree char *device = g_strdup_printf("lsi53c895a,id=lsi%u", n);
    g_autofree char *object = g_strdup_printf("x-remote-object,id=r%u,devid=lsi%u,fd=link", n, n);
    g_autoptr(GError) err = NULL;
    int peer = name_link();

    add_device(device);
    add_object(object, &err);
    g_assert_no_error(err);
    return peer;
}

static void expect_error(GError *err, const char *part)
{
    g_assert_nonnull(err);
    if (!strstr(err->message, part)) {
        g_error("'%s' does not contain '%s'", err->message, part);
    }
    g_error_free(err);
}

static void expect_del_fails(const char *id, const char *part)
{
    GError *err = NULL;

    g_assert_false(device_del(id, &err));
    expect_error(err, part);
}

static void expect_object_fails(const char *text, const char *part)
{
    GError *err = NULL;

    g_assert_false(add_object(text, &err));
    expect_error(err, part);
}

static void del_served(unsigned n)
{
    g_autofree char *device = g_strdup_printf("lsi%u", n);
    g_autofree char *object = g_strdup_printf("r%u", n);

    g_assert_true(user_creatable_del(object, NULL));
    g_assert_true(device_del(device, NULL));
}

static void send_message(int peer, uint32_t cmd, const void *payload, uint64_t size, const int *fds, unsigned count)
{
    uint8_t wire[16 + 192] = { 0 };

    memcpy(wire, &cmd, 4);
    memcpy(wire + 8, &size, 8);
    if (size) {
        memcpy(wire + 16, payload, size);
    }
    raw_send(peer, wire, 16 + size, fds, count);
}

/* Vendor and device id, by a config access over the link. */
static uint32_t read_ids(int peer)
{
    const uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[24];
    uint32_t value;
    unsigned fds;

    send_message(peer, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload), NULL, 0);
    turn();
    g_assert_cmpint(raw_receive(peer, wire, sizeof(wire), &fds), ==, sizeof(wire));
    memcpy(&value, wire + 16, sizeof(value));
    return value;
}

/* One MiB of guest memory and a pair of eventfds, as a proxy sends them at its start. */
static void send_memory_and_irq(int peer)
{
    uint64_t table[3 * MPQEMU_FDS_MAX] = { [0] = 0, [MPQEMU_FDS_MAX] = 1 << 20, [2 * MPQEMU_FDS_MAX] = 0 };
    auto_fd ram = memfd_create("ram", MFD_CLOEXEC);
    auto_fd irq = eventfd(0, EFD_CLOEXEC), resample = eventfd(0, EFD_CLOEXEC);
    const int pair[2] = { irq, resample };

    g_assert_cmpint(ftruncate(ram, 1 << 20), ==, 0);
    send_message(peer, MPQEMU_CMD_SYNC_SYSMEM, table, sizeof(table), &ram, 1);
    send_message(peer, MPQEMU_CMD_SET_IRQFD, NULL, 0, pair, 2);
}

static void expect_hang_up(int peer)
{
    uint8_t byte;

    g_assert_cmpint(recv(peer, &byte, 1, MSG_DONTWAIT), ==, 0);
}

static unsigned count_maps(void)
{
    g_autofree char *text = NULL;
    unsigned lines = 0;

    g_assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
    for (const char *c = text; *c; c++) {
        lines += strncmp(c, "memfd:ram", 9) == 0;
    }
    return lines;
}

static void test_served_device_stays(void)
{
    int peer = add_served(0);

    expect_del_fails("lsi0", "served by x-remote-object 'r0'; delete that first (object-del)");
    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    close(peer);
    turn();
    /* The link has ended; the object still stands. */
    expect_del_fails("lsi0", "served by x-remote-object 'r0'");
    g_assert_false(shutdown_requested(NULL));
    del_served(0);
    g_assert_null(device_find("lsi0"));
}

static void test_object_del_ends_the_link_only(void)
{
    int peer = add_served(0), other = add_served(1);

    remote_set_auto_shutdown(true);
    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    g_assert_true(user_creatable_del("r0", NULL));
    expect_hang_up(peer);
    g_assert_cmphex(read_ids(other), ==, 0x00121000);
    close(peer);
    /* Served again by another link. */
    peer = name_link();
    g_assert_true(add_object("x-remote-object,id=r0,devid=lsi0,fd=link", NULL));
    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    del_served(0);
    del_served(1); /* the last link */
    turn();
    g_assert_false(shutdown_requested(NULL));
    remote_set_auto_shutdown(false);
    close(peer);
    close(other);
}

static void test_refused_objects_leave_nothing(void)
{
    int fds = count_fds(), peer, file;
    g_autofree char *number = NULL;

    add_device("lsi53c895a,id=lsi0");
    expect_object_fails("x-remote-object,id=r0,devid=lsi0,fd=link", "no descriptor of this name");
    expect_object_fails("x-remote-object,id=r0,devid=nothing,fd=link", "devid=nothing");
    expect_object_fails("x-remote-object,id=r0,devid=lsi0,fd=-1", "fd=-1");
    expect_object_fails("x-remote-object,id=r0,devid=lsi0,fd=99999999999", "99999999999");
    peer = name_link();
    expect_object_fails("x-remote-object,id=r0,devid=nothing,fd=link", "devid=nothing"); /* keeps the name */
    g_assert_true(add_object("x-remote-object,id=r0,devid=lsi0,fd=link", NULL));
    close(name_link());
    expect_object_fails("x-remote-object,id=r1,devid=lsi0,fd=link", "served by another object");
    expect_object_fails("x-remote-object,id=r1,devid=lsi0,fd=link", "no descriptor of this name"); /* taken */
    g_assert_true(fd_name_add_take_fd("link", eventfd(0, EFD_CLOEXEC), NULL));
    expect_object_fails("x-remote-object,id=r1,devid=lsi0,fd=link", "an eventfd, not a socket");
    /* This program's own descriptors are no links, and stay open. */
    number = g_strdup_printf("x-remote-object,id=r1,devid=lsi0,fd=%d", peer);
    expect_object_fails(number, "in use by this program");
    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    file = open("/dev/null", O_RDONLY);
    g_clear_pointer(&number, g_free);
    number = g_strdup_printf("x-remote-object,id=r1,devid=lsi0,fd=%d", file);
    expect_object_fails(number, "not a socket");
    g_assert_cmpint(close(file), ==, 0);
    del_served(0);
    close(peer);
    g_assert_cmpint(count_fds(), ==, fds);
}

static void test_limit_of_functions(void)
{
    int peers[32];

    for (unsigned i = 0; i < 32; i++) {
        peers[i] = add_served(i);
    }
    g_assert_true(bus_find_by_type(TYPE_PCI_BUS, &(bool) { 0 }) == NULL);
    for (unsigned i = 0; i < 32; i++) {
        g_assert_cmphex(read_ids(peers[i]), ==, 0x00121000);
        del_served(i);
        expect_hang_up(peers[i]);
        close(peers[i]);
    }
}

/* 63 links: functions 1 of the slots are used, too. */
static void test_limit_of_links(void)
{
    int peers[REMOTE_LINKS_MAX];
    g_autofree char *object = NULL;
    unsigned n;

    for (n = 0; n < REMOTE_LINKS_MAX + 1; n++) {
        g_autofree char *device = g_strdup_printf("lsi53c895a,id=lsi%u,addr=%x.%x,multifunction=on", n, n / 8, n % 8);

        add_device(device);
    }
    for (n = 0; n < REMOTE_LINKS_MAX; n++) {
        g_autofree char *text = g_strdup_printf("x-remote-object,id=r%u,devid=lsi%u,fd=link", n, n);

        peers[n] = name_link();
        g_assert_true(add_object(text, NULL));
    }
    object = g_strdup_printf("x-remote-object,id=r%u,devid=lsi%u,fd=link", n, n);
    close(name_link());
    expect_object_fails(object, "at most 63 links");
    /* One goes, the next fits. */
    g_assert_true(user_creatable_del("r5", NULL));
    close(peers[5]);
    peers[5] = name_link();
    g_assert_true(add_object(object, NULL));
    g_assert_cmphex(read_ids(peers[5]), ==, 0x00121000);
    for (n = REMOTE_LINKS_MAX + 1; n-- > 0;) {
        g_autofree char *id = g_strdup_printf("lsi%u", n), *served = g_strdup_printf("r%u", n);

        user_creatable_del(served, NULL);
        g_assert_true(device_del(id, NULL));
    }
    for (n = 0; n < REMOTE_LINKS_MAX; n++) {
        close(peers[n]);
    }
}

static void one_cycle(unsigned n)
{
    int peer = add_served(0);

    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    send_memory_and_irq(peer);
    g_assert_cmphex(read_ids(peer), ==, 0x00121000);
    g_assert_cmpuint(count_maps(), ==, 1);
    if (n % 2) {
        close(peer);
        turn();
        del_served(0);
    } else {
        del_served(0);
        close(peer);
    }
    g_assert_cmpuint(count_maps(), ==, 0);
}

static void test_many_cycles_leave_nothing(void)
{
    int fds;

    one_cycle(0);
    fds = count_fds();
    for (unsigned n = 1; n < CYCLES; n++) {
        one_cycle(n);
        g_assert_cmpint(count_fds(), ==, fds);
    }
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { lsi53c895a_get_type, remote_object_get_type, NULL };
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    remote_pci_host_new();
    remote_set_auto_shutdown(false);
    g_test_add_func("/remote-hotplug/served-device-stays", test_served_device_stays);
    g_test_add_func("/remote-hotplug/object-del-ends-the-link-only", test_object_del_ends_the_link_only);
    g_test_add_func("/remote-hotplug/refused-objects-leave-nothing", test_refused_objects_leave_nothing);
    g_test_add_func("/remote-hotplug/limit-of-functions", test_limit_of_functions);
    g_test_add_func("/remote-hotplug/limit-of-links", test_limit_of_links);
    g_test_add_func("/remote-hotplug/200-cycles-leave-nothing", test_many_cycles_leave_nothing);
    status = g_test_run();
    remote_pci_host_free();
    return status;
}
