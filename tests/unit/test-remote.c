/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: the link server.
 *
 * The peer of a link is tests/unit/remote-rig.h.
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/eventfd-signal.h"
#include "remote-rig.h"
#include "util/event-loop.h"
#include "util/fd.h"

static void send_sync(ServerFixture *f, const Range *ranges, unsigned count)
{
    uint64_t payload[24] = { 0 };
    uint8_t wire[16 + 192];
    int fds[16];

    for (unsigned i = 0; i < count; i++) {
        payload[i % 8] = ranges[i].gpa;
        payload[8 + i % 8] = ranges[i].size;
        payload[16 + i % 8] = ranges[i].offset;
        fds[i] = ranges[i].fd;
    }
    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SYNC_SYSMEM, payload, sizeof(payload)), fds, count);
}

static void test_server_config(ServerFixture *f, gconstpointer data)
{
    assert_alive(f);
    for (unsigned addr = 253; addr < 256; addr++) {
        g_assert_cmphex(config(f, false, addr, 0, 1), ==, 0);
    }
    g_assert_cmphex(config(f, false, 254, 0, 2), ==, 0);
    g_assert_cmphex(config(f, false, 256, 0, 1), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 254, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(config(f, true, 255, 0, 2), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 0, 0, 3), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 0, 0, 256), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, UINT32_MAX, 0, 4), ==, UINT64_MAX);
    assert_alive(f);
}

static void test_server_bar(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(4 * PAGE);
    Range range = { .gpa = 0, .size = 4 * PAGE, .offset = 0, .fd = fd };
    uint32_t ram = 0;

    g_assert_cmphex(bar(f, true, true, MEM_BASE, 0x1122334455667788, 8), ==, 0);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 8), ==, 0x1122334455667788);
    g_assert_cmphex(bar(f, false, false, IO_BASE, 0, 4), ==, 0x55667788);
    /* Nothing there, another space, beyond the end, across it, bad sizes: an error, and on it goes. */
    g_assert_cmphex(bar(f, false, true, 0x1000, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, IO_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, MEM_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, IO_BASE + 256, 0, 1), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, true, true, MEM_BASE + PAGE - 4, 0, 8), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 3), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 16), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, UINT64_MAX, 0, 8), ==, UINT64_MAX);

    /* Guest RAM is no BAR. */
    send_sync(f, &range, 1);
    g_assert_cmphex(bar(f, true, true, 0x100, 0x41414141, 4), ==, UINT64_MAX);
    g_assert_cmpint(pread(fd, &ram, 4, 0x100), ==, 4);
    g_assert_cmphex(ram, ==, 0);

    /* The command register decides. */
    config(f, true, PCI_COMMAND, PCI_COMMAND_IO, 2);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, IO_BASE, 0, 4), ==, 0x55667788);
    assert_alive(f);
}

/* Two functions with BARs and RAM at the same addresses on two links see each their own. */
static void test_server_neighbours(ServerFixture *f, gconstpointer data)
{
    ServerFixture other = { 0 };
    auto_fd fd = make_memfd(PAGE);
    Range range = { .gpa = 0, .size = PAGE, .offset = 0, .fd = fd };
    uint32_t value;

    server_setup(&other, NULL);
    bar(f, true, true, MEM_BASE, 1, 4);
    bar(&other, true, true, MEM_BASE, 2, 4);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, 1);
    g_assert_cmphex(bar(&other, false, true, MEM_BASE, 0, 4), ==, 2);

    send_sync(&other, &range, 1);
    assert_alive(&other);
    g_assert_cmpint(dma_read_le32(&other.dev->pci.dma, 0, &value), ==, MEM_OK);
    g_assert_cmpint(dma_read_le32(&f->dev->pci.dma, 0, &value), ==, MEM_DECODE_ERROR);

    /* A neighbour that breaks the protocol ends alone. */
    send_msg(&other, 99, NULL, 0);
    turn();
    g_assert_cmpuint(other.ends, ==, 1);
    g_assert_cmpint(other.how, ==, LINK_SERVER_END_PROTOCOL);
    g_assert_cmpuint(f->ends, ==, 0);
    assert_alive(f);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, 1);
    server_teardown(&other, NULL);
}

static void test_server_one_object_per_device(ServerFixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    unsigned fds = count_fds();
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_null(link_server_new_take_fd(pair[1], &f->dev->pci, "second", server_ended, f, &err));
    g_assert_nonnull(strstr(err->message, "served"));
    close(pair[0]);
    g_assert_cmpuint(count_fds(), ==, fds);
    assert_alive(f);
}

static void test_server_reset(ServerFixture *f, gconstpointer data)
{
    unsigned resets = f->dev->resets;
    uint8_t wire[16 + 8];
    uint64_t size;

    bar(f, true, true, MEM_BASE, 7, 4);
    send_msg(f, MPQEMU_CMD_DEVICE_RESET, NULL, 0);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), ==, 16);
    memcpy(&size, wire + 8, 8);
    g_assert_cmpuint(size, ==, 0);
    g_assert_cmpuint(f->dev->resets, ==, resets + 1);
    g_assert_cmphex(config(f, false, PCI_COMMAND, 0, 2), ==, 0);
    assert_alive(f);
}

static void test_server_interrupt(ServerFixture *f, gconstpointer data)
{
    auto_fd irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int fds[2] = { irq, resample };
    uint8_t wire[16 + 192];

    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SET_IRQFD, NULL, 0), fds, 2);
    bar(f, true, true, MEM_BASE + 8, 1, 4);
    g_assert_cmpuint(take_events(irq), ==, 1);
    add_events(resample, 1);
    turn();
    g_assert_cmpuint(take_events(irq), ==, 1);
    bar(f, true, true, MEM_BASE + 8, 0, 4);
    add_events(resample, 1);
    turn();
    g_assert_cmpuint(take_events(irq), ==, 0);

    /* Interrupt disable of the command register. */
    config(f, true, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 2);
    bar(f, true, true, MEM_BASE + 8, 1, 4);
    g_assert_cmpuint(take_events(irq), ==, 0);
    config(f, true, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpuint(take_events(irq), ==, 1);
}

/* Memory that is in use: the reply to what follows the SYNC_SYSMEM waits for the transfer. */
static void test_server_barrier(ServerFixture *f, gconstpointer data)
{
    auto_fd a = make_memfd(PAGE);
    auto_fd b = make_memfd(PAGE);
    Range first = { 0, PAGE, 0, a }, second = { 0, PAGE, 0, b };
    g_autofree DmaMap *map = g_new0(DmaMap, 1);
    uint32_t payload[3] = { 0, 0, 4 };
    uint64_t value;

    send_sync(f, &first, 1);
    assert_alive(f);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));

    send_sync(f, &second, 1);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    dma_unmap(map, 0);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(event_loop_main(), true); /* the server's timer ends the wait */
    }
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0x56781234);
}

/* Waits until the server leaves DRAINING by its timer. */
static void wait_drained(ServerFixture *f)
{
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(event_loop_main(), true);
    }
}

/* A transfer that the guest believes to be over, but the host still works on. */
static DmaMap *abandoned_transfer(ServerFixture *f)
{
    DmaMap *map = g_new0(DmaMap, 1);

    g_assert_cmpuint(config(f, true, PCI_COMMAND, PCI_COMMAND_MASTER, 2), ==, 0);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));
    assert_alive(f); /* a transfer at work delays nothing */
    dma_map_abandon(map);
    dma_map_abandon(map);
    g_assert_cmpuint(f->dev->pci.dma.abandoned, ==, 1);
    return map;
}

/* The guest sees no answer, that to a reset included, before the device is done with its memory. */
static void test_server_abandoned(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *map = NULL;
    uint8_t wire[16 + 8];
    uint64_t value;

    send_sync(f, &range, 1);
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    dma_unmap(map, 64);
    g_assert_cmpuint(f->dev->pci.dma.abandoned, ==, 0);
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0x56781234);
    assert_alive(f);

    g_free(g_steal_pointer(&map));
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_DEVICE_RESET, NULL, 0);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), <, 0);
    dma_unmap(map, 0);
    wait_drained(f);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), ==, 16);
    assert_alive(f);
}

/* A disk that hangs delays one answer; the link goes on as ever until something new is given up. */
static void test_server_abandoned_limit(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *hung = NULL, *other = NULL;
    uint64_t value;

    send_sync(f, &range, 1);
    hung = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
    assert_alive(f);
    send_sync(f, NULL, 0);
    turn();
    wait_drained(f);
    send_sync(f, &range, 1);
    assert_alive(f); /* the hung transfer's old memory is not waited for again */
    other = g_new0(DmaMap, 1);
    dma_map_init(other, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(other, 0, 64));
    dma_map_abandon(other);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    dma_unmap(hung, 0);
    dma_unmap(other, 0);
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
}

/* The link may end while a reply is held. */
static void test_server_abandoned_end(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *map = NULL;

    send_sync(f, &range, 1);
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    turn();
    close(f->peer);
    f->peer = -1;
    dma_unmap(map, 0);
    wait_drained(f);
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_ENDED);
}

/* A transfer that never ends holds the link up for a limited time only. */
static void test_server_barrier_limit(ServerFixture *f, gconstpointer data)
{
    auto_fd a = make_memfd(PAGE);
    auto_fd b = make_memfd(PAGE);
    Range first = { 0, PAGE, 0, a }, second = { 0, PAGE, 0, b };
    g_autofree DmaMap *map = g_new0(DmaMap, 1);
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);

    send_sync(f, &first, 1);
    assert_alive(f);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));
    send_sync(f, &second, 1);
    turn();
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(event_loop_main(), true);
    }
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * G_GINT64_CONSTANT(1000000000));
    assert_alive(f);
    dma_unmap(map, 0);
}

/* A peer that sends and never reads: we stop, keep nothing, and go on when it reads. */
static void test_server_unread_replies(ServerFixture *f, gconstpointer data)
{
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    unsigned sent = 0, received = 0;
    uint64_t value;

    for (bool progress = true; progress;) {
        progress = false;
        while (send(f->peer, wire, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size) {
            sent++;
            progress = true;
        }
        for (unsigned i = 0; event_loop_turn(event_loop_main(), false); i++) {
            g_assert_cmpuint(i, <, 100000); /* else it spins */
        }
    }
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_BLOCKED);
    while (take_reply(f, &value)) {
        g_assert_cmphex(value, ==, 0x56781234);
        received++;
    }
    g_assert_cmpuint(received, ==, sent);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_SERVING);
    assert_alive(f);
}

/* The peer dies while we wait for it to read. */
static void test_server_blocked_peer_dies(ServerFixture *f, gconstpointer data)
{
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));

    while (link_server_state(f->server) != LINK_SERVER_BLOCKED) {
        send(f->peer, wire, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        turn();
    }
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_LOST);
}

/* One link's flood does not starve another. */
static void test_server_fair(ServerFixture *f, gconstpointer data)
{
    ServerFixture other = { 0 };
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    char reply[24];
    unsigned answered = 0;
    int turns;

    server_setup(&other, NULL);
    for (int i = 0; i < 140; i++) {
        g_assert_cmpint(send(f->peer, wire, size, 0), ==, size);
    }
    g_assert_cmpint(send(other.peer, wire, size, 0), ==, size);
    for (turns = 0; recv(other.peer, reply, sizeof(reply), MSG_DONTWAIT) < 0; turns++) {
        g_assert_cmpint(turns, <, 3);
        event_loop_turn(event_loop_main(), false);
    }
    while (recv(f->peer, reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply)) {
        answered++;
    }
    g_assert_cmpuint(answered, <, 60);
    turn();
    while (recv(f->peer, reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply)) {
        answered++;
    }
    g_assert_cmpuint(answered, ==, 140);
    server_teardown(&other, NULL);
}

/* What came by the link goes with it: descriptors, RAM, interrupt; the device is reset. */
/* What is waiting to be read by the peer, in bytes. */
static int unread(ServerFixture *f)
{
    int bytes = 0;

    g_assert_cmpint(ioctl(f->peer, FIONREAD, &bytes), ==, 0);
    return bytes;
}

static void ask_and_turn(void *opaque)
{
    ServerFixture *f = opaque;
    uint32_t payload[3] = { PCI_VENDOR_ID, 0, 4 };
    int before = unread(f);

    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    turn();
    g_assert_cmpint(unread(f), ==, before);
}

/*
 * A request that arrives while another one is carried out, by a device that turns the loop, waits and is answered: also
 * when the loop would tell of it, since the other one was not read just now but has waited behind many.
 */
static void test_server_request_in_a_nested_turn(ServerFixture *f, gconstpointer data)
{
    const unsigned ahead = GPOINTER_TO_UINT(data);
    uint32_t payload[3] = { PCI_VENDOR_ID, 0, 4 };
    BarPayload write = { .addr = MEM_BASE + 16, .size = 4, .memory = 1 };
    uint64_t value;

    f->dev->on_write = ask_and_turn;
    f->dev->on_write_opaque = f;
    for (unsigned i = 0; i < ahead; i++) {
        send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    }
    send_msg(f, MPQEMU_CMD_BAR_WRITE, &write, sizeof(write));
    for (unsigned i = 0; i < ahead; i++) {
        g_assert_true(take_reply(f, &value));
    }
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0);
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0x56781234);
    assert_alive(f);
}

static void test_server_end_frees(ServerFixture *f, gconstpointer data)
{
    auto_fd irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd fd = make_memfd(PAGE);
    Range range = { .gpa = 0, .size = PAGE, .offset = 0, .fd = fd };
    int fds[2] = { irq, resample };
    uint8_t wire[16 + 192];
    unsigned open_before, resets = f->dev->resets;
    uint32_t value;

    g_assert_cmpint(eventfd_signal_init(), ==, 0); /* the ring of all interrupts stays */
    open_before = count_fds();
    send_sync(f, &range, 1);
    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SET_IRQFD, NULL, 0), fds, 2);
    assert_alive(f);
    g_assert_cmpuint(count_fds(), ==, open_before + 3); /* RAM, irq, resample */
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_EOF);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_ENDED);
    g_assert_cmpuint(f->dev->resets, ==, resets + 1);
    g_assert_cmpuint(count_fds(), ==, open_before - 2); /* both ends of the link too */
    f->dev->pci.dma.enabled = true;
    g_assert_cmpint(dma_read_le32(&f->dev->pci.dma, 0, &value), ==, MEM_DECODE_ERROR);
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
}

static void test_server_bad_tables(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range nine[9], overlap[2] = { { 0, PAGE, 0, fd }, { 0, PAGE, 0, fd } };
    unsigned open_before = count_fds();

    for (unsigned i = 0; i < 9; i++) {
        nine[i] = (Range) { i * PAGE, PAGE, 0, fd };
    }
    if (GPOINTER_TO_UINT(data) == 9) {
        send_sync(f, nine, 9);
    } else {
        send_sync(f, overlap, 2);
    }
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_PROTOCOL);
    g_assert_cmpuint(count_fds(), ==, open_before - 1); /* the server's end of the link */
}

static void test_server_eight_ranges(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range eight[8];

    for (unsigned i = 0; i < 8; i++) {
        eight[i] = (Range) { i * PAGE, PAGE, 0, fd };
    }
    send_sync(f, eight, 8);
    assert_alive(f);
    g_assert_cmpuint(f->ends, ==, 0);
}

static void test_server_half_message(ServerFixture *f, gconstpointer data)
{
    uint8_t wire[16 + 192];
    uint32_t payload[3] = { 0, 0, 4 };

    encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    send_bytes(f, wire, 20, NULL, 0);
    turn();
    g_assert_cmpuint(f->ends, ==, 0);
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_LOST);
}

static void add_tests(void)
{
#define SERVER(name, fn, data) \
    g_test_add("/link-server/" name, ServerFixture, GUINT_TO_POINTER(data), server_setup, fn, server_teardown)
    SERVER("config-access-is-checked-exactly", test_server_config, 0);
    SERVER("bar-access-hits-own-bars-only", test_server_bar, 0);
    SERVER("links-never-meet", test_server_neighbours, 0);
    SERVER("a-device-has-one-link", test_server_one_object_per_device, 0);
    SERVER("reset-is-answered-empty", test_server_reset, 0);
    SERVER("interrupts-reach-the-eventfd", test_server_interrupt, 0);
    SERVER("reply-waits-for-transfers", test_server_barrier, 0);
    SERVER("reply-waits-for-a-limited-time", test_server_barrier_limit, 0);
    SERVER("reply-waits-for-abandoned-transfers", test_server_abandoned, 0);
    SERVER("abandoned-transfers-are-waited-for-once", test_server_abandoned_limit, 0);
    SERVER("peer-dies-while-a-reply-is-held", test_server_abandoned_end, 0);
    SERVER("unread-replies-stop-the-reading", test_server_unread_replies, 0);
    SERVER("blocked-peer-may-die", test_server_blocked_peer_dies, 0);
    SERVER("flood-on-one-link-is-fair-to-others", test_server_fair, 0);
    SERVER("request-in-a-nested-turn", test_server_request_in_a_nested_turn, 0);
    SERVER("request-in-a-nested-turn-behind-many", test_server_request_in_a_nested_turn, 100);
    SERVER("end-frees-everything", test_server_end_frees, 0);
    SERVER("eight-ranges-are-accepted", test_server_eight_ranges, 0);
    SERVER("nine-ranges-end-the-link", test_server_bad_tables, 9);
    SERVER("overlap-ends-the-link", test_server_bad_tables, 2);
    SERVER("half-a-message-at-the-end-is-a-loss", test_server_half_message, 0);
}

int main(int argc, char **argv)
{
    return remote_rig_main(argc, argv, add_tests);
}
