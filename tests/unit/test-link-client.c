/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link as the proxy uses it: exchanges, time limits, a peer that dies.
 * Runs in: tests
 *
 * Mostly the answer lies ready before the request is sent, so one thread is enough.  Where time matters, a test
 * waits for something that must come, and is bounded by the link's own limit.
 */
#include "link-syscalls.h"

/* ------------------------------------------------------------------ client */

static MpqemuMsg conf_read(void)
{
    return (MpqemuMsg) { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = 0x10, .len = 4 } };
}

static void test_client_request_bytes(void)
{
    struct {
        MpqemuMsg msg;
        Wire want;
    } cases[] = {
        { { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { 0x10, 0, 4 } }, wire_conf(3, 0x10, 0, 4) },
        { { .cmd = MPQEMU_CMD_PCI_CFGWRITE, .conf = { 0xfff, 0xab, 1 } }, wire_conf(2, 0xfff, 0xab, 1) },
        { { .cmd = MPQEMU_CMD_BAR_READ, .bar = { 0xfebf0000, 0, 8, true } }, wire_bar(5, 0xfebf0000, 0, 8, 1) },
        { { .cmd = MPQEMU_CMD_BAR_WRITE, .bar = { 0xc004, 0x12345678, 4, false } },
          wire_bar(4, 0xc004, 0x12345678, 4, 0) },
        { { .cmd = MPQEMU_CMD_DEVICE_RESET }, wire_plain(7, 0) },
    };
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Wire answer = cases[i].msg.cmd == MPQEMU_CMD_DEVICE_RESET ? wire_plain(1, 0) : wire_ret(0x40 + i);
        uint64_t value = 99;
        unsigned sends, receives, options;

        /* The answer lies ready, so the exchange is over at once. */
        raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
        sends = sys.sends;
        receives = sys.receives;
        options = sys.options;
        g_assert_cmpint(mpqemu_link_call(p.link, &cases[i].msg, &value, SECOND), ==, 0);
        g_assert_cmpuint(sys.sends - sends, ==, 1);
        g_assert_cmpuint(sys.receives - receives, ==, 1);
        g_assert_cmpuint(sys.options - options, ==, i == 0); /* the time limit is set when it changes */
        g_assert_cmpuint(value, ==, cases[i].msg.cmd == MPQEMU_CMD_DEVICE_RESET ? 0 : 0x40 + i);
        expect_bytes(&p, &cases[i].want);
    }
    g_assert_cmpuint(mpqemu_link_stats(p.link)->msgs_out, ==, G_N_ELEMENTS(cases));
    g_assert_cmpuint(mpqemu_link_stats(p.link)->msgs_in, ==, G_N_ELEMENTS(cases));
    g_assert_cmpuint(mpqemu_link_stats(p.link)->worst_wait_ns, >, 0);
    peer_close(&p);
}

static void test_client_sends_descriptors(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    int ram[8], irq[2] = { make_eventfd(), make_eventfd() };
    MpqemuMsg sync = { .cmd = MPQEMU_CMD_SYNC_SYSMEM, .num_fds = 8 };
    MpqemuMsg irqfd = { .cmd = MPQEMU_CMD_SET_IRQFD, .num_fds = 2, .fds = { irq[0], irq[1] } };
    Wire want = wire_sync(8), want_irq = wire_plain(6, 0);
    uint8_t got[256];
    unsigned fds;

    for (unsigned i = 0; i < 8; i++) {
        sync.fds[i] = ram[i] = make_memfd();
        sync.sync.gpas[i] = 0x100000 + 0x10000 * i;
        sync.sync.sizes[i] = 0x10000;
        sync.sync.offsets[i] = 0x10000 * i;
    }
    g_assert_cmpint(mpqemu_link_send(p.link, &sync, SECOND), ==, 0);
    g_assert_cmpint(raw_receive(p.raw, got, sizeof(got), &fds), ==, 208);
    g_assert_cmpmem(got, 208, want.bytes, want.len);
    g_assert_cmpuint(fds, ==, 8);

    g_assert_cmpint(mpqemu_link_send(p.link, &irqfd, SECOND), ==, 0);
    g_assert_cmpint(raw_receive(p.raw, got, sizeof(got), &fds), ==, 16);
    g_assert_cmpmem(got, 16, want_irq.bytes, want_irq.len);
    g_assert_cmpuint(fds, ==, 2);

    close_all(ram, 8); /* still the sender's */
    close_all(irq, 2);
    peer_close(&p);
}

/* A message of ours that the peer would refuse is our mistake, and costs nothing. */
static void test_client_checks_itself(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    int fd = make_memfd();
    uint64_t value;
    MpqemuMsg calls[] = {
        { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { 0, 0, 3 } },
        { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { 4093, 0, 4 } },
        { .cmd = MPQEMU_CMD_BAR_READ, .bar = { 0, 0, 16, true } },
        { .cmd = MPQEMU_CMD_BAR_READ, .bar = { UINT64_MAX, 0, 2, true } },
        { .cmd = MPQEMU_CMD_BAR_READ, .bar = { 0, 0, 4, true }, .num_fds = 1, .fds = { fd } },
        { .cmd = MPQEMU_CMD_DEVICE_RESET, .num_fds = 1, .fds = { fd } },
        { .cmd = MPQEMU_CMD_RET },
        { .cmd = MPQEMU_CMD_MAX },
        { .cmd = -1 },
        { .cmd = MPQEMU_CMD_SYNC_SYSMEM }, /* has no reply to wait for */
    };
    MpqemuMsg sends[] = {
        { .cmd = MPQEMU_CMD_SET_IRQFD, .num_fds = 1, .fds = { fd } },
        { .cmd = MPQEMU_CMD_SYNC_SYSMEM, .num_fds = 9 },
        { .cmd = MPQEMU_CMD_SYNC_SYSMEM, .num_fds = 1, .fds = { fd } }, /* empty range */
        { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { 0, 0, 4 } },         /* has a reply */
    };
    MpqemuMsg good = conf_read();
    Wire answer = wire_ret(1);
    uint8_t none[8];
    unsigned fds;

    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_assert_cmpint(mpqemu_link_call(p.link, &calls[i], &value, SECOND), ==, -EINVAL);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sends); i++) {
        g_assert_cmpint(mpqemu_link_send(p.link, &sends[i], SECOND), ==, -EINVAL);
    }
    g_assert_cmpint(mpqemu_link_call(p.link, &good, &value, 0), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_call(p.link, &good, &value, -1), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_OPEN);
    g_assert_cmpint(raw_receive(p.raw, none, sizeof(none), &fds), ==, -1);

    raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
    g_assert_cmpint(mpqemu_link_call(p.link, &good, &value, INT64_MAX), ==, 0);
    g_assert_cmpuint(value, ==, 1);
    close(fd);
    peer_close(&p);
}

/* The answer to RESET is empty from stock, and a whole RET from others. */
static void test_client_reset_answers(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg reset = { .cmd = MPQEMU_CMD_DEVICE_RESET };
    Wire answers[] = { wire_plain(1, 0), wire_ret(0) };

    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        uint64_t value = 1;

        raw_send(p.raw, answers[i].bytes, answers[i].len, NULL, 0);
        g_assert_cmpint(mpqemu_link_call(p.link, &reset, &value, SECOND), ==, 0);
        g_assert_cmpuint(value, ==, 0);
    }
    peer_close(&p);
}

/* A read's answer has the read's width, whatever the peer says; "failed" stays "failed". */
static void test_client_cuts_answers(void)
{
    static const struct {
        uint32_t len;
        uint64_t answer, want;
    } cases[] = {
        { 1, 0x1234, 0x34 }, { 2, UINT64_MAX - 1, 0xfffe }, { 4, UINT64_C(1) << 32, 0 }, { 8, INT64_MAX, INT64_MAX },
        { 1, UINT64_MAX, MPQEMU_RET_ERROR }, { 8, UINT64_MAX, MPQEMU_RET_ERROR },
    };
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        MpqemuMsg msg = { .cmd = MPQEMU_CMD_BAR_READ, .bar = { .size = cases[i].len, .memory = true } };
        Wire answer = wire_ret(cases[i].answer);
        uint64_t value = 0;

        raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
        g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, SECOND), ==, 0);
        g_assert_cmphex(value, ==, cases[i].want);
    }
    peer_close(&p);
}

static void test_client_answer_in_pieces(void)
{
    for (size_t n = 1; n <= 24; n++) {
        Peer p = peer_open(MPQEMU_ROLE_CLIENT);
        MpqemuMsg msg = conf_read();
        Wire answer = wire_ret(0xabcdef);
        uint64_t value = 0;

        raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
        sys.receive_at_most = n;
        g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, n % 2 ? SECOND : INT64_MAX), ==, 0);
        sys.receive_at_most = 0;
        g_assert_cmphex(value, ==, 0xabcdef);
        peer_close(&p);
    }
}

/* A signal (a vCPU is kicked by them) does not end the wait. */
static void test_client_interrupted(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = conf_read();
    Wire answer = wire_ret(7);
    uint64_t value = 0;

    raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
    sys.interrupted = 5;
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, SECOND), ==, 0);
    g_assert_cmpuint(value, ==, 7);
    peer_close(&p);
}

/* Silence after the first N bytes of an answer.  Returns the nanoseconds it took. */
static int64_t time_out(size_t n, int64_t timeout_ns)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = conf_read();
    Wire answer = wire_ret(7);
    uint64_t value = 0;
    gint64 start, took;

    if (n) {
        raw_send(p.raw, answer.bytes, n, NULL, 0);
    }
    start = g_get_monotonic_time();
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, timeout_ns), ==, -ETIMEDOUT);
    took = (g_get_monotonic_time() - start) * 1000;
    g_assert_cmpint(took, >=, timeout_ns - 1000000);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p.link), ==, "PCI_CFGREAD: no answer in time");
    g_assert_cmpuint(mpqemu_link_stats(p.link)->timeouts, ==, 1);

    /* So an answer that comes late can answer nothing else. */
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, timeout_ns), ==, -ENOTCONN);
    peer_close(&p);
    return took;
}

static void test_client_time_out(void)
{
    time_out(0, 20000000);
    time_out(0, 1);
    for (size_t n = 1; n < 24; n += 7) {
        time_out(n, 15000000);
    }
}

/* A peer that sends a byte now and then gains no time: the limit is for the whole exchange. */
static gpointer drip(gpointer data)
{
    Wire answer = wire_ret(7);
    int sock = GPOINTER_TO_INT(data);

    for (size_t i = 0; i < answer.len; i++) {
        g_usleep(20000);
        if (send(sock, answer.bytes + i, 1, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    return NULL;
}

static void test_client_slow_drip(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    GThread *thread = g_thread_new("drip", drip, GINT_TO_POINTER(p.raw));
    MpqemuMsg msg = conf_read();
    uint64_t value;

    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, 100000000), ==, -ETIMEDOUT);
    g_thread_join(thread);
    peer_close(&p);
}

/* A peer that reads nothing: the socket fills, then the time runs out. */
static void test_client_peer_does_not_read(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SYNC_SYSMEM };
    int ret, sent = 0;

    do {
        ret = mpqemu_link_send(p.link, &msg, 20000000);
        g_assert_cmpint(sent++, <, 100000);
    } while (ret == 0);
    g_assert_cmpint(ret, ==, -ETIMEDOUT);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->timeouts, ==, 1);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    peer_close(&p);
}

static gpointer read_slowly(gpointer data)
{
    uint8_t bytes[4096];
    int sock = GPOINTER_TO_INT(data);

    g_usleep(20000);
    while (recv(sock, bytes, sizeof(bytes), 0) > 0) {
        continue;
    }
    return NULL;
}

static void test_client_peer_reads_late(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SYNC_SYSMEM };
    GThread *thread = g_thread_new("reader", read_slowly, GINT_TO_POINTER(p.raw));

    for (int i = 0; i < 2000; i++) {
        g_assert_cmpint(mpqemu_link_send(p.link, &msg, 10 * SECOND), ==, 0);
    }
    mpqemu_link_close(p.link, "done");
    g_thread_join(thread);
    peer_close(&p);
}

/*
 * A call that had to wait until the socket took its request may not wait as long again inside recvmsg(), whose limit
 * knows nothing of that.
 */
typedef struct FullSocket {
    int sock;
    size_t filled;
} FullSocket;

static gpointer drain_and_answer(gpointer data)
{
    const FullSocket *full = data;
    Wire answer = wire_ret(7);
    g_autofree uint8_t *bytes = g_malloc(full->filled);

    g_usleep(20000);
    g_assert_cmpint(recv(full->sock, bytes, full->filled, MSG_WAITALL), ==, full->filled);
    g_assert_cmpint(recv(full->sock, bytes, 28, MSG_WAITALL), ==, 28);
    raw_send(full->sock, answer.bytes, answer.len, NULL, 0);
    return NULL;
}

static void test_client_limits_the_whole_call(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    FullSocket full = { .sock = p.raw };
    MpqemuMsg msg = conf_read();
    GThread *thread;
    uint64_t value = 0;
    ssize_t n;

    while ((n = send(mpqemu_link_fd(p.link), &value, sizeof(value), MSG_DONTWAIT)) > 0) {
        full.filled += n;
    }
    thread = g_thread_new("peer", drain_and_answer, &full);
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, 20 * SECOND), ==, 0);
    g_assert_cmpuint(value, ==, 7);
    g_assert_cmpint(sys.receive_flags & MSG_DONTWAIT, !=, 0);
    g_thread_join(thread);
    peer_close(&p);
}

static void client_end(size_t n, bool hang_up, int code, const char *reason)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = conf_read();
    Wire answer = wire_ret(7);
    uint64_t value;

    if (n) {
        raw_send(p.raw, answer.bytes, n, NULL, 0);
    }
    if (hang_up) {
        peer_hang_up(&p);
    } else {
        g_assert_cmpint(shutdown(p.raw, SHUT_WR), ==, 0);
    }
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, SECOND), ==, code);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p.link), ==, reason);
    peer_close(&p);
}

static void test_client_peer_dies(void)
{
    client_end(0, true, -EPIPE, "peer closed");
    client_end(0, false, -ECONNRESET, "peer closed");
    for (size_t n = 1; n < 24; n++) {
        client_end(n, false, -EPIPE, "peer closed inside a message");
    }
}

/* Dies with the request in its socket unread, while the client waits. */
static gpointer die_soon(gpointer data)
{
    g_usleep(20000);
    close(GPOINTER_TO_INT(data));
    return NULL;
}

static void test_client_peer_dies_while_waiting(void)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    GThread *thread = g_thread_new("peer", die_soon, GINT_TO_POINTER(p.raw));
    MpqemuMsg msg = conf_read();
    uint64_t value;

    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, 20 * SECOND), ==, -ECONNRESET);
    g_thread_join(thread);
    p.raw = -1;
    peer_close(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/link/client/request-bytes-and-cost", test_client_request_bytes);
    g_test_add_func("/link/client/sends-descriptors", test_client_sends_descriptors);
    g_test_add_func("/link/client/checks-itself", test_client_checks_itself);
    g_test_add_func("/link/client/reset-answers", test_client_reset_answers);
    g_test_add_func("/link/client/cuts-answers-to-their-width", test_client_cuts_answers);
    g_test_add_func("/link/client/answer-in-pieces", test_client_answer_in_pieces);
    g_test_add_func("/link/client/interrupted", test_client_interrupted);
    g_test_add_func("/link/client/time-out", test_client_time_out);
    g_test_add_func("/link/client/slow-drip-gains-no-time", test_client_slow_drip);
    g_test_add_func("/link/client/peer-does-not-read", test_client_peer_does_not_read);
    g_test_add_func("/link/client/peer-reads-late", test_client_peer_reads_late);
    g_test_add_func("/link/client/limits-the-whole-call", test_client_limits_the_whole_call);
    g_test_add_func("/link/client/peer-dies", test_client_peer_dies);
    g_test_add_func("/link/client/peer-dies-while-waiting", test_client_peer_dies_while_waiting);
    return g_test_run();
}
