/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link: making one, the server's commands and replies, both ends together.
 * Runs in: tests
 *
 * The raw end writes bytes before the link reads them, so one thread is enough and nothing depends on time.  What
 * refusals there are is the subject of test-link-hostile.c.
 */
#include <sys/select.h>
#include "link-syscalls.h"

/* ------------------------------------------------------------------ making a link */

static void refuse_socket(int fd, const char *text)
{
    int before = count_fds() - (fd >= 0);
    GError *error = NULL;

    g_assert_null(mpqemu_link_new_take_fd(fd, MPQEMU_ROLE_SERVER, "lsi0", &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, text));
    g_error_free(error);
    g_assert_cmpint(count_fds(), ==, before);
}

static void test_new_refuses(void)
{
    refuse_socket(-1, "lsi0: descriptor -1");
    refuse_socket(make_memfd(), "AF_UNIX stream socket");
    refuse_socket(open("/dev/null", O_RDWR | O_CLOEXEC), "AF_UNIX stream socket");
    refuse_socket(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "not an AF_UNIX stream socket");
    refuse_socket(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "not an AF_UNIX stream socket");
    refuse_socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "not an AF_UNIX stream socket");
    refuse_socket(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "not connected");
}

static void test_new_sets_up(void)
{
    int before = count_fds();
    int pair[2];
    MpqemuLink *link;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), ==, 0);
    link = mpqemu_link_new_take_fd(pair[0], MPQEMU_ROLE_CLIENT, "lsi0", NULL);
    g_assert_nonnull(link);
    g_assert_cmpint(mpqemu_link_fd(link), ==, pair[0]);
    g_assert_cmpint(fcntl(pair[0], F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(fcntl(pair[0], F_GETFL) & O_NONBLOCK, ==, 0);
    g_assert_cmpint(mpqemu_link_state(link), ==, MPQEMU_LINK_OPEN);
    g_assert_null(mpqemu_link_reason(link));
    mpqemu_link_close(link, "first");
    mpqemu_link_close(link, "second");
    g_assert_cmpstr(mpqemu_link_reason(link), ==, "first");
    mpqemu_link_free(link);
    mpqemu_link_free(NULL);
    close(pair[1]);
    g_assert_cmpint(count_fds(), ==, before);
}

static void test_names(void)
{
    g_assert_cmpstr(mpqemu_cmd_name(0), ==, "SYNC_SYSMEM");
    g_assert_cmpstr(mpqemu_cmd_name(7), ==, "DEVICE_RESET");
    g_assert_cmpstr(mpqemu_cmd_name(8), ==, "?");
    g_assert_cmpstr(mpqemu_cmd_name(UINT32_MAX), ==, "?");
}

/* ------------------------------------------------------------------ server: commands */

static void test_server_config(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    MpqemuMsg msg;

    send_wire(&p, wire_conf(3, 0x10, 0, 4));
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_PCI_CFGREAD);
    g_assert_cmpuint(msg.conf.addr, ==, 0x10);
    g_assert_cmpuint(msg.conf.len, ==, 4);
    g_assert_cmpuint(msg.num_fds, ==, 0);

    send_wire(&p, wire_conf(2, 0x04, 0x107, 2));
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_PCI_CFGWRITE);
    g_assert_cmpuint(msg.conf.addr, ==, 0x04);
    g_assert_cmpuint(msg.conf.val, ==, 0x107);
    g_assert_cmpuint(msg.conf.len, ==, 2);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->msgs_in, ==, 2);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->bytes_in, ==, 2 * 28);
    peer_close(&p);
}

static void test_server_bar(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    MpqemuMsg msg;

    send_wire(&p, wire_bar(5, 0xfebf1014, 0, 8, 1));
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_BAR_READ);
    g_assert_cmpuint(msg.bar.addr, ==, 0xfebf1014);
    g_assert_cmpuint(msg.bar.size, ==, 8);
    g_assert_true(msg.bar.memory);

    send_wire(&p, wire_bar(4, 0xc000, UINT64_C(0x1122334455667788), 8, 0));
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_BAR_WRITE);
    g_assert_cmphex(msg.bar.val, ==, UINT64_C(0x1122334455667788));
    g_assert_false(msg.bar.memory);

    /* The last bytes of the address space. */
    send_wire(&p, wire_bar(5, UINT64_MAX - 7, 0, 8, 1));
    msg = receive_one(&p);
    g_assert_cmphex(msg.bar.addr, ==, UINT64_MAX - 7);
    peer_close(&p);
}

static void test_server_cuts_values(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);

    send_wire(&p, wire_conf(2, 0x0c, 0xdeadbeef, 1));
    g_assert_cmphex(receive_one(&p).conf.val, ==, 0xef);
    send_wire(&p, wire_bar(4, 0xc000, UINT64_MAX, 4, 0));
    g_assert_cmphex(receive_one(&p).bar.val, ==, 0xffffffff);
    peer_close(&p);
}

static void test_server_whole_config_space(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    static const struct {
        uint32_t addr, len;
    } last[] = { { 253, 1 }, { 254, 2 }, { 255, 1 }, { 4092, 4 }, { 4093, 1 }, { 4094, 2 }, { 4095, 1 } };

    for (size_t i = 0; i < G_N_ELEMENTS(last); i++) {
        MpqemuMsg msg;

        send_wire(&p, wire_conf(3, last[i].addr, 0, last[i].len));
        msg = receive_one(&p);
        g_assert_cmpuint(msg.conf.addr, ==, last[i].addr);
        g_assert_cmpuint(msg.conf.len, ==, last[i].len);
    }
    peer_close(&p);
}

static void test_server_reset_and_irqfd(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    int fds[2] = { make_eventfd(), make_eventfd() };
    Wire w = wire_plain(6, 0);
    uint64_t value = 5;
    MpqemuMsg msg;
    int irq;

    send_wire(&p, wire_plain(7, 0));
    g_assert_cmpint(receive_one(&p).cmd, ==, MPQEMU_CMD_DEVICE_RESET);

    raw_send(p.raw, w.bytes, w.len, fds, 2);
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_SET_IRQFD);
    g_assert_cmpuint(msg.num_fds, ==, 2);

    /* In order, close-on-exec, and the same eventfds. */
    g_assert_cmpint(fcntl(msg.fds[0], F_GETFD) & FD_CLOEXEC, !=, 0);
    irq = mpqemu_msg_take_fd(&msg, 0);
    g_assert_cmpint(mpqemu_msg_take_fd(&msg, 0), ==, -1);
    g_assert_cmpint(mpqemu_msg_take_fd(&msg, 2), ==, -1);
    g_assert_cmpint(write(irq, &value, sizeof(value)), ==, sizeof(value));
    value = 0;
    g_assert_cmpint(read(fds[0], &value, sizeof(value)), ==, sizeof(value));
    g_assert_cmpuint(value, ==, 5);
    close(irq);
    mpqemu_msg_clear(&msg);
    mpqemu_msg_clear(&msg);
    close_all(fds, 2);
    peer_close(&p);
}

static void test_server_memory_table(void)
{
    for (unsigned num = 0; num <= 8; num++) {
        Peer p = peer_open(MPQEMU_ROLE_SERVER);
        Wire w = wire_sync(num);
        int fds[8];
        MpqemuMsg msg;

        for (unsigned i = 0; i < num; i++) {
            fds[i] = make_memfd();
        }
        /* What stands behind the last descriptor's entry is nobody's. */
        if (num < 8) {
            wire_range(&w, num, UINT64_MAX, UINT64_MAX, UINT64_MAX);
        }
        raw_send(p.raw, w.bytes, w.len, fds, num);
        msg = receive_one(&p);
        g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_SYNC_SYSMEM);
        g_assert_cmpuint(msg.num_fds, ==, num);
        for (unsigned i = 0; i < num; i++) {
            g_assert_cmphex(msg.sync.gpas[i], ==, 0x100000 + 0x10000 * i);
            g_assert_cmphex(msg.sync.sizes[i], ==, 0x10000);
            g_assert_cmphex(msg.sync.offsets[i], ==, 0x10000 * i);
            g_assert_true(same_file(msg.fds[i], fds[i]));
        }
        g_assert_cmpuint(mpqemu_link_stats(p.link)->fds_in, ==, num);
        mpqemu_msg_clear(&msg);
        close_all(fds, num);
        peer_close(&p);
    }
}

/* The edges that are still good: a range that ends with the address space, neighbours, the largest file offset. */
static void test_server_memory_table_edges(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    int fds[3] = { make_memfd(), make_memfd(), make_memfd() };
    Wire w = wire_plain(0, 192);
    MpqemuMsg msg;

    wire_range(&w, 0, UINT64_MAX - 0xfff, 0x1000, 0);
    wire_range(&w, 1, UINT64_MAX - 0x1fff, 0x1000, INT64_MAX - 0x1000);
    wire_range(&w, 2, 0, 1, 0);
    raw_send(p.raw, w.bytes, w.len, fds, 3);
    msg = receive_one(&p);
    g_assert_cmpuint(msg.num_fds, ==, 3);
    mpqemu_msg_clear(&msg);
    close_all(fds, 3);
    peer_close(&p);
}

static void test_server_ram_kinds(void)
{
    static const char *const dirs[] = { "/dev/shm", "/var/tmp" };

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *path = g_strdup_printf("%s/mpqemu-test-XXXXXX", dirs[i]);
        Peer p = peer_open(MPQEMU_ROLE_SERVER);
        int fd = g_mkstemp(path);
        Wire w = wire_sync(1);
        MpqemuMsg msg;

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(unlink(path), ==, 0);
        raw_send(p.raw, w.bytes, w.len, &fd, 1);
        msg = receive_one(&p);
        g_assert_cmpuint(msg.num_fds, ==, 1);
        mpqemu_msg_clear(&msg);
        close(fd);
        peer_close(&p);
    }
}

static void test_server_ignores_padding(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_bar(4, 0xc000, 7, 1, 0);

    memset(w.bytes + 4, 0xaa, 4);
    memset(w.bytes + 37, 0x55, 3);
    send_wire(&p, w);
    g_assert_cmphex(receive_one(&p).bar.val, ==, 7);
    peer_close(&p);
}

/* ------------------------------------------------------------------ server: replies */

static void test_server_replies(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire value = wire_ret(UINT64_C(0x1122334455667788)), error = wire_ret(UINT64_MAX), empty = wire_plain(1, 0);

    for (unsigned cmd = 2; cmd <= 5; cmd++) {
        g_assert_cmpint(mpqemu_link_reply(p.link, cmd, UINT64_C(0x1122334455667788)), ==, 0);
        expect_bytes(&p, &value);
        g_assert_cmpint(mpqemu_link_reply(p.link, cmd, MPQEMU_RET_ERROR), ==, 0);
        expect_bytes(&p, &error);
    }
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_DEVICE_RESET, 0), ==, 0);
    expect_bytes(&p, &empty);

    /* Requests that have no reply, and no requests. */
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_SYNC_SYSMEM, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_RET, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_SET_IRQFD, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_MAX, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_OPEN);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->msgs_out, ==, 9);
    peer_close(&p);
}

static void test_server_keeps_a_reply(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    unsigned sent = 0, got = 0, fds;
    Wire w = wire_ret(0), request = wire_plain(7, 0);
    uint8_t bytes[24];
    int ret;

    do {
        put64(w.bytes + 16, sent);
        ret = mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, sent++);
        g_assert_cmpuint(sent, <, 100000);
    } while (ret == 0);
    g_assert_cmpint(ret, ==, -EAGAIN);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_OPEN);

    /* Meanwhile no work is taken, and no second reply. */
    raw_send(p.raw, request.bytes, request.len, NULL, 0);
    expect_nothing(&p);
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_flush(p.link), ==, -EAGAIN);

    while (got < sent - 1) {
        g_assert_cmpint(raw_receive(p.raw, bytes, sizeof(bytes), &fds), ==, 24);
        put64(w.bytes + 16, got++);
        g_assert_cmpmem(bytes, 24, w.bytes, 24);
    }
    g_assert_cmpint(mpqemu_link_flush(p.link), ==, 0);
    put64(w.bytes + 16, got);
    expect_bytes(&p, &w);
    g_assert_cmpint(mpqemu_link_flush(p.link), ==, 0);
    g_assert_cmpint(raw_receive(p.raw, bytes, sizeof(bytes), &fds), ==, -1);
    g_assert_cmpint(receive_one(&p).cmd, ==, MPQEMU_CMD_DEVICE_RESET);
    peer_close(&p);
}

static void test_server_reply_to_nobody(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);

    peer_hang_up(&p);
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, -EPIPE);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p.link), ==, "peer closed");
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, -ENOTCONN);
    g_assert_cmpint(mpqemu_link_flush(p.link), ==, -ENOTCONN);
    peer_close(&p);
}

static void test_short_send_closes(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);

    sys.send_at_most = 20;
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, -EIO);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    peer_close(&p);
}

/* What was sent before the end still counts, though the peer left our reply unread. */
static void test_server_last_words(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);

    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, 0);
    send_wire(&p, wire_plain(7, 0));
    peer_hang_up(&p);
    g_assert_cmpint(receive_one(&p).cmd, ==, MPQEMU_CMD_DEVICE_RESET);
    expect_end(&p, -ECONNRESET, "peer closed");
    peer_close(&p);
}

static void test_server_cost(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    unsigned receives, sends;

    send_wire(&p, wire_bar(5, 0, 0, 4, 1));
    receives = sys.receives;
    receive_one(&p);
    g_assert_cmpuint(sys.receives - receives, ==, 1);
    g_assert_false(mpqemu_link_has_buffered(p.link));
    sends = sys.sends;
    g_assert_cmpint(mpqemu_link_reply(p.link, MPQEMU_CMD_BAR_READ, 0), ==, 0);
    g_assert_cmpuint(sys.sends - sends, ==, 1);
    peer_close(&p);
}

/* ------------------------------------------------------------------ both ends */

#define EXCHANGES 3000

static gpointer serve(gpointer data)
{
    MpqemuLink *link = data;
    MpqemuMsg msg;
    bool error;
    unsigned served = 0;

    for (;;) {
        int ret = mpqemu_link_receive(link, &msg, &error);

        if (ret < 0) {
            break;
        }
        if (ret == 0) {
            fd_set readable;
            struct timeval limit = { .tv_sec = 20 };

            FD_ZERO(&readable);
            FD_SET(mpqemu_link_fd(link), &readable);
            g_assert_cmpint(select(mpqemu_link_fd(link) + 1, &readable, NULL, NULL, &limit), ==, 1);
            continue;
        }
        served++;
        if (msg.cmd == MPQEMU_CMD_BAR_READ) {
            g_assert_cmpint(mpqemu_link_reply(link, msg.cmd, msg.bar.addr * 3), ==, 0);
        } else if (msg.cmd == MPQEMU_CMD_PCI_CFGREAD) {
            g_assert_cmpint(mpqemu_link_reply(link, msg.cmd, error ? MPQEMU_RET_ERROR : msg.conf.addr), ==, 0);
        }
        mpqemu_msg_clear(&msg);
    }
    return GUINT_TO_POINTER(served);
}

static void test_both_ends(void)
{
    int before = count_fds();
    int pair[2], ram = make_memfd();
    MpqemuLink *client, *server;
    GThread *thread;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    client = mpqemu_link_new_take_fd(pair[0], MPQEMU_ROLE_CLIENT, "main", NULL);
    server = mpqemu_link_new_take_fd(pair[1], MPQEMU_ROLE_SERVER, "remote", NULL);
    thread = g_thread_new("server", serve, server);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        MpqemuMsg sync = {
            .cmd = MPQEMU_CMD_SYNC_SYSMEM, .sync = { .sizes = { 0x1000 } }, .num_fds = 1, .fds = { ram },
        };
        MpqemuMsg bar = { .cmd = MPQEMU_CMD_BAR_READ, .bar = { i, 0, 4, true } };
        MpqemuMsg conf = { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { i % 4096, 0, 1 } };
        uint64_t value = 0;

        /* The table and what follows are glued when the server is slow; the exchange stands behind the table. */
        g_assert_cmpint(mpqemu_link_send(client, &sync, 20 * SECOND), ==, 0);
        g_assert_cmpint(mpqemu_link_call(client, &bar, &value, 20 * SECOND), ==, 0);
        g_assert_cmpuint(value, ==, 3 * i);
        g_assert_cmpint(mpqemu_link_call(client, &conf, &value, 20 * SECOND), ==, 0);
        g_assert_cmpuint(value, ==, i % 256); /* one byte */
    }
    mpqemu_link_free(client);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 3 * EXCHANGES);
    g_assert_cmpstr(mpqemu_link_reason(server), ==, "peer closed");
    mpqemu_link_free(server);
    close(ram);
    g_assert_cmpint(count_fds(), ==, before);
}

static void test_roles(void)
{
    Peer server = peer_open(MPQEMU_ROLE_SERVER), client = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = 0x10, .len = 4 } };
    uint64_t value;
    bool error;

    g_assert_cmpint(mpqemu_link_call(server.link, &msg, &value, SECOND), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_receive(client.link, &msg, &error), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_reply(client.link, MPQEMU_CMD_PCI_CFGREAD, 0), ==, -EINVAL);
    peer_close(&client);
    peer_close(&server);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/link/new/refuses-what-is-no-connected-stream-socket", test_new_refuses);
    g_test_add_func("/link/new/sets-up-the-socket", test_new_sets_up);
    g_test_add_func("/link/cmd-names", test_names);
    g_test_add_func("/link/server/config", test_server_config);
    g_test_add_func("/link/server/bar", test_server_bar);
    g_test_add_func("/link/server/cuts-values-to-their-width", test_server_cuts_values);
    g_test_add_func("/link/server/reaches-the-last-config-bytes", test_server_whole_config_space);
    g_test_add_func("/link/server/reset-and-irqfd", test_server_reset_and_irqfd);
    g_test_add_func("/link/server/memory-table-of-0-to-8-fds", test_server_memory_table);
    g_test_add_func("/link/server/memory-table-edges", test_server_memory_table_edges);
    g_test_add_func("/link/server/ram-on-tmpfs-and-on-disk", test_server_ram_kinds);
    g_test_add_func("/link/server/ignores-padding", test_server_ignores_padding);
    g_test_add_func("/link/server/replies", test_server_replies);
    g_test_add_func("/link/server/keeps-a-reply-nobody-reads", test_server_keeps_a_reply);
    g_test_add_func("/link/server/reply-to-nobody", test_server_reply_to_nobody);
    g_test_add_func("/link/short-send-closes", test_short_send_closes);
    g_test_add_func("/link/server/last-words-count", test_server_last_words);
    g_test_add_func("/link/server/one-receive-one-send", test_server_cost);
    g_test_add_func("/link/both-ends", test_both_ends);
    g_test_add_func("/link/roles", test_roles);
    return g_test_run();
}
