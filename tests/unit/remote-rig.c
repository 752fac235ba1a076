/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: a function that is served, and its peer.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hw/remote/pci-host.h"
#include "remote-rig.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define TURNS 200 /* of the event loop: more than any step of a test needs */

void turn(void)
{
    for (int i = 0; i < TURNS && event_loop_turn(event_loop_main(), false); i++) {
    }
}

int make_memfd(uint64_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    return fd;
}

/* ---- a PCI function to serve ---------------------------------------------------------------------------------- */

static MemResult test_reg_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = TEST_FUNCTION(opaque)->reg + addr;
    return MEM_OK;
}

/* Offset 0 holds a value, offset 8 drives the interrupt. */
static MemResult test_reg_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    TestFunction *self = TEST_FUNCTION(opaque);

    if (addr == 8) {
        pci_set_irq(&self->pci, value != 0);
    } else if (addr == 16 && self->on_write) {
        self->on_write(self->on_write_opaque);
    } else {
        self->reg = value;
    }
    return MEM_OK;
}

static const MemoryRegionOps test_reg_ops = { .read = test_reg_read, .write = test_reg_write };

static bool test_function_realize(PciDevice *dev, GError **errp)
{
    TestFunction *self = TEST_FUNCTION(dev);

    memory_region_init_io(&self->io, QOM_OBJECT(self), &test_reg_ops, self, "test-io", 256);
    memory_region_init_io(&self->mem, QOM_OBJECT(self), &test_reg_ops, self, "test-mem", PAGE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_IO, &self->io);
    pci_register_bar(dev, 1, PCI_BASE_ADDRESS_SPACE_MEMORY, &self->mem);
    return true;
}

static void test_function_unrealize(PciDevice *dev)
{
    memory_region_destroy(&TEST_FUNCTION(dev)->io);
    memory_region_destroy(&TEST_FUNCTION(dev)->mem);
}

static void test_function_reset(PciDevice *dev)
{
    TEST_FUNCTION(dev)->resets++;
    TEST_FUNCTION(dev)->reg = 0;
}

static void test_function_class_init(TestFunctionClass *klass)
{
    klass->pci_class.vendor_id = 0x1234;
    klass->pci_class.device_id = 0x5678;
    klass->pci_class.interrupt_pin = 1;
    klass->pci_class.realize = test_function_realize;
    klass->pci_class.unrealize = test_function_unrealize;
    klass->pci_class.reset = test_function_reset;
}

static void test_function_init(TestFunction *self)
{
}

QOM_DEFINE_TYPE(TestFunction, test_function, "test-function", TYPE_PCI_DEVICE, 0)

/* ---- link server ---------------------------------------------------------------------------------------------- */

void server_ended(LinkServer *server, LinkServerEnd how, void *opaque)
{
    ServerFixture *f = opaque;

    f->ends++;
    f->how = how;
}

/* A message as bytes: header, then up to 192 bytes of payload.  Returns its length. */
size_t encode(uint8_t *wire, uint32_t cmd, const void *payload, uint64_t size)
{
    memset(wire, 0, 16);
    memcpy(wire, &cmd, 4);
    memcpy(wire + 8, &size, 8);
    if (size > 0) {
        memcpy(wire + 16, payload, size);
    }
    return 16 + size;
}

void send_bytes(ServerFixture *f, const void *data, size_t size, const int *fds, unsigned num_fds)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
    char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (num_fds > 0) {
        struct cmsghdr *cmsg;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
    }
    g_assert_cmpint(sendmsg(f->peer, &msg, MSG_NOSIGNAL), ==, size);
}

void send_msg(ServerFixture *f, uint32_t cmd, const void *payload, uint64_t size)
{
    uint8_t wire[16 + 192];

    send_bytes(f, wire, encode(wire, cmd, payload, size), NULL, 0);
}

/* Turns the loop, then takes one reply.  Returns false when there is none. */
bool take_reply(ServerFixture *f, uint64_t *ret_value)
{
    uint8_t wire[24];
    uint32_t cmd;

    turn();
    if (recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT) != (ssize_t)sizeof(wire)) {
        return false;
    }
    memcpy(&cmd, wire, 4);
    g_assert_cmpuint(cmd, ==, MPQEMU_CMD_RET);
    memcpy(ret_value, wire + 16, 8);
    return true;
}

uint64_t call(ServerFixture *f, uint32_t cmd, const void *payload, uint64_t size)
{
    uint64_t value;

    send_msg(f, cmd, payload, size);
    g_assert_true(take_reply(f, &value));
    return value;
}

uint64_t config(ServerFixture *f, bool write, uint32_t addr, uint32_t val, uint32_t len)
{
    uint32_t payload[3] = { addr, val, len };

    return call(f, write ? MPQEMU_CMD_PCI_CFGWRITE : MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
}

uint64_t bar(ServerFixture *f, bool write, bool memory, uint64_t addr, uint64_t val, uint32_t size)
{
    BarPayload payload = { addr, val, size, memory, { 0 } };

    return call(f, write ? MPQEMU_CMD_BAR_WRITE : MPQEMU_CMD_BAR_READ, &payload, sizeof(payload));
}

void server_setup(ServerFixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    int pair[2];

    f->dev = TEST_FUNCTION(device_new(test_function_get_type()));
    g_assert_true(device_realize(DEVICE(f->dev), bus_find(REMOTE_PCI_BUS_NAME), &err));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    f->peer = pair[0];
    f->server = link_server_new_take_fd(pair[1], &f->dev->pci, "test", server_ended, f, &err);
    g_assert_no_error(err);

    g_assert_cmpuint(config(f, true, PCI_BASE_ADDRESS_0, IO_BASE, 4), ==, 0);
    g_assert_cmpuint(config(f, true, PCI_BASE_ADDRESS_1, MEM_BASE, 4), ==, 0);
    g_assert_cmpuint(config(f, true, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2), ==, 0);
}

void server_teardown(ServerFixture *f, gconstpointer data)
{
    link_server_free(f->server);
    device_unrealize(DEVICE(f->dev));
    g_object_unref(f->dev);
    if (f->peer >= 0) {
        close(f->peer);
    }
}

void assert_alive(ServerFixture *f)
{
    g_assert_cmphex(config(f, false, PCI_VENDOR_ID, 0, 4), ==, 0x56781234);
}

uint64_t take_events(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

void add_events(int fd, uint64_t count)
{
    g_assert_cmpint(write(fd, &count, sizeof(count)), ==, sizeof(count));
}

int remote_rig_main(int argc, char **argv, void (*add)(void))
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    ram_guard_install();
    remote_pci_host_new();
    add();
    ret = g_test_run();
    remote_pci_host_free();
    machine_unlock();
    return ret;
}
