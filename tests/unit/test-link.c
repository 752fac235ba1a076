/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link as its two owners use it: each command both ways, framing, descriptors, time limits, the end.
 * Runs in: tests
 *
 * The raw end writes bytes before the link reads them, so one thread is enough and nothing depends on time.  What
 * refusals there are is the subject of test-link-hostile.c.
 */
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include "link-peer.h"

/*
 * The link's system calls pass through here: counted, and bent where a test asks for it.  The rest of the program
 * (raw_send() and so on) passes too, so tests look at differences.
 */
static struct {
    unsigned sends, receives;
    size_t receive_at_most;  /* not 0: cuts every receive */
    unsigned interrupted;    /* so many receives fail with EINTR first */
    size_t send_at_most;     /* not 0: cuts the next send */
} sys;

ssize_t sendmsg(int sock, const struct msghdr *mh, int flags)
{
    struct msghdr copy = *mh;
    struct iovec iov = mh->msg_iov[0];

    sys.sends++;
    if (sys.send_at_most) {
        iov.iov_len = MIN(iov.iov_len, sys.send_at_most);
        copy.msg_iov = &iov;
        sys.send_at_most = 0;
    }
    return syscall(SYS_sendmsg, sock, &copy, flags);
}

ssize_t recvmsg(int sock, struct msghdr *mh, int flags)
{
    struct iovec *whole = mh->msg_iov;
    struct iovec iov = whole[0];
    ssize_t n;

    sys.receives++;
    if (sys.interrupted) {
        sys.interrupted--;
        errno = EINTR;
        return -1;
    }
    if (sys.receive_at_most) {
        iov.iov_len = MIN(iov.iov_len, sys.receive_at_most);
        mh->msg_iov = &iov;
    }
    n = syscall(SYS_recvmsg, sock, mh, flags);
    mh->msg_iov = whole;
    return n;
}

static void send_wire(Peer *p, Wire w)
{
    raw_send(p->raw, w.bytes, w.len, NULL, 0);
}

/* Expects a good message. */
static MpqemuMsg receive_one(Peer *p)
{
    MpqemuMsg msg;
    bool error = true;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, 1);
    g_assert_false(error);
    return msg;
}

static void expect_nothing(Peer *p)
{
    MpqemuMsg msg;
    bool error;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, 0);
}

static void expect_end(Peer *p, int code, const char *reason)
{
    MpqemuMsg msg;
    bool error;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, code);
    g_assert_cmpint(mpqemu_link_state(p->link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p->link), ==, reason);
    g_assert_cmpint(mpqemu_link_fd(p->link), ==, -1);
    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, -ENOTCONN);
}

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

static void expect_bytes(Peer *p, const Wire *want)
{
    uint8_t got[256];
    unsigned fds;
    ssize_t n = raw_receive(p->raw, got, sizeof(got), &fds);

    g_assert_cmpint(n, >=, 0);
    g_assert_cmpmem(got, n, want->bytes, want->len);
    g_assert_cmpuint(fds, ==, 0);
}

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

/* ------------------------------------------------------------------ server: framing */

/* A dialogue with every kind of message; descriptors come with the first byte of theirs. */
#define SCRIPT_LEN 6

typedef struct Script {
    Wire wires[SCRIPT_LEN];
    unsigned num_fds[SCRIPT_LEN];
    int ram[3], irq[2];
    const int *fds[SCRIPT_LEN];
} Script;

static void script_init(Script *s)
{
    *s = (Script) {
        .wires = { wire_conf(3, 0, 0, 2), wire_sync(3), wire_bar(4, 0xfe000000, 1, 4, 1), wire_plain(6, 0),
                   wire_plain(7, 0), wire_sync(1) },
        .num_fds = { 0, 3, 0, 2, 0, 1 },
        .ram = { make_memfd(), make_memfd(), make_memfd() },
        .irq = { make_eventfd(), make_eventfd() },
    };
    s->fds[1] = s->ram;
    s->fds[3] = s->irq;
    s->fds[5] = s->ram + 2;
}

static void script_clear(Script *s)
{
    close_all(s->ram, 3);
    close_all(s->irq, 2);
}

static size_t script_size(const Script *s)
{
    size_t size = 0;

    for (unsigned i = 0; i < SCRIPT_LEN; i++) {
        size += s->wires[i].len;
    }
    return size;
}

/* Checks that MSG is message I. */
static void script_check(const Script *s, unsigned i, MpqemuMsg *msg)
{
    static const MpqemuCmd cmds[SCRIPT_LEN] = { 3, 0, 4, 6, 7, 0 };

    g_assert_cmpint(msg->cmd, ==, cmds[i]);
    g_assert_cmpuint(msg->num_fds, ==, s->num_fds[i]);
    for (unsigned f = 0; f < msg->num_fds && msg->cmd == 0; f++) {
        g_assert_true(same_file(msg->fds[f], s->fds[i][f]));
    }
    mpqemu_msg_clear(msg);
}

/* Receives all that is there; returns the number of messages so far. */
static unsigned script_receive(Peer *p, const Script *s, unsigned done)
{
    for (;;) {
        MpqemuMsg msg;
        bool error;
        int ret = mpqemu_link_receive(p->link, &msg, &error);

        g_assert_cmpint(ret, >=, 0);
        if (ret == 0) {
            int unread = 0;

            g_assert_cmpint(ioctl(mpqemu_link_fd(p->link), FIONREAD, &unread), ==, 0);
            if (unread == 0) {
                return done;
            }
            continue;
        }
        g_assert_false(error);
        g_assert_cmpuint(done, <, SCRIPT_LEN);
        script_check(s, done++, &msg);
    }
}

/*
 * Sends the dialogue with one more cut at byte CUT of the stream.  Each message is a send of its own, as honest peers
 * do; the link's reads glue them.  EAGER receives after each send, else only at the cut and at the end.
 */
static void script_run(Script *s, size_t cut, bool eager)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    size_t at = 0;
    unsigned done = 0;

    for (unsigned i = 0; i < SCRIPT_LEN; i++) {
        const Wire *w = &s->wires[i];
        size_t first = cut > at && cut < at + w->len ? cut - at : w->len;

        raw_send(p.raw, w->bytes, first, s->fds[i], s->num_fds[i]);
        if (eager || at + first == cut) {
            done = script_receive(&p, s, done);
        }
        if (first < w->len) {
            raw_send(p.raw, w->bytes + first, w->len - first, NULL, 0);
        }
        at += w->len;
    }
    done = script_receive(&p, s, done);
    g_assert_cmpuint(done, ==, SCRIPT_LEN);
    g_assert_false(mpqemu_link_has_buffered(p.link));
    peer_close(&p);
}

static void test_framing_cut_anywhere(void)
{
    Script s;
    size_t size;

    script_init(&s);
    size = script_size(&s);
    for (size_t cut = 0; cut <= size; cut++) {
        script_run(&s, cut, false);
        script_run(&s, cut, true);
    }
    script_clear(&s);
}

/* The reader cuts: every receive gives at most N bytes, so descriptors come with any first part. */
static void test_framing_short_receives(void)
{
    Script s;

    script_init(&s);
    for (size_t n = 1; n <= 250; n++) {
        sys.receive_at_most = n;
        script_run(&s, 0, false);
    }
    sys.receive_at_most = 0;
    script_clear(&s);
}

/* Bytes of many sends in one, the descriptors with the first byte: they are the last message's that begins. */
static void test_framing_one_send_of_two(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire read = wire_conf(3, 0, 0, 2), irq = wire_plain(6, 0);
    int fds[2] = { make_eventfd(), make_eventfd() };
    uint8_t both[64];
    MpqemuMsg msg;

    memcpy(both, read.bytes, read.len);
    memcpy(both + read.len, irq.bytes, irq.len);
    raw_send(p.raw, both, read.len + irq.len, fds, 2);
    g_assert_cmpint(receive_one(&p).cmd, ==, MPQEMU_CMD_PCI_CFGREAD);
    g_assert_true(mpqemu_link_has_buffered(p.link));
    msg = receive_one(&p);
    g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_SET_IRQFD);
    g_assert_false(mpqemu_link_has_buffered(p.link));
    mpqemu_msg_clear(&msg);
    close_all(fds, 2);
    peer_close(&p);
}

/* More than the buffer holds. */
static void test_framing_many_glued(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    int fd = make_memfd();

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 200; i++) {
            if (i % 50 == round) {
                Wire w = wire_sync(1);

                raw_send(p.raw, w.bytes, w.len, &fd, 1);
            } else {
                send_wire(&p, wire_bar(5, i, 0, 1, 1));
            }
        }
        for (unsigned i = 0; i < 200; i++) {
            MpqemuMsg msg = receive_one(&p);

            if (i % 50 == round) {
                g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_SYNC_SYSMEM);
                g_assert_cmpuint(msg.num_fds, ==, 1);
                mpqemu_msg_clear(&msg);
            } else {
                g_assert_cmphex(msg.bar.addr, ==, i);
            }
        }
        expect_nothing(&p);
    }
    close(fd);
    peer_close(&p);
}

static void test_framing_has_buffered(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_conf(3, 0, 0, 2);

    g_assert_false(mpqemu_link_has_buffered(p.link));
    raw_send(p.raw, w.bytes, 10, NULL, 0);
    expect_nothing(&p);
    g_assert_false(mpqemu_link_has_buffered(p.link));
    raw_send(p.raw, w.bytes + 10, 10, NULL, 0);
    expect_nothing(&p);
    g_assert_false(mpqemu_link_has_buffered(p.link));
    raw_send(p.raw, w.bytes + 20, 8, NULL, 0);
    send_wire(&p, wire_plain(99, 0));
    receive_one(&p);
    g_assert_true(mpqemu_link_has_buffered(p.link)); /* to be refused, but without a read */
    expect_end(&p, -EPROTO, "command 99 is unknown");
    g_assert_false(mpqemu_link_has_buffered(p.link));
    peer_close(&p);
}

static void test_server_end_at_every_byte(void)
{
    Wire w = wire_sync(2);
    int fds[2] = { make_memfd(), make_memfd() };

    for (size_t n = 0; n < w.len; n++) {
        Peer p = peer_open(MPQEMU_ROLE_SERVER);

        if (n > 0) {
            raw_send(p.raw, w.bytes, n, fds, 2);
        }
        if (n % 2) {
            expect_nothing(&p);
        }
        peer_hang_up(&p);
        if (n && n % 2 == 0) {
            expect_nothing(&p); /* the bytes first, the end next time */
        }
        expect_end(&p, n ? -EPIPE : -ECONNRESET, n ? "peer closed inside a message" : "peer closed");
        peer_close(&p);
    }
    close_all(fds, 2);
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
        Wire answer = cases[i].msg.cmd == MPQEMU_CMD_DEVICE_RESET ? wire_plain(1, 0) : wire_ret(0x1234 + i);
        uint64_t value = 99;
        unsigned sends = sys.sends, receives;

        /* The answer lies ready, so the exchange is over at once. */
        raw_send(p.raw, answer.bytes, answer.len, NULL, 0);
        sends = sys.sends;
        receives = sys.receives;
        g_assert_cmpint(mpqemu_link_call(p.link, &cases[i].msg, &value, SECOND), ==, 0);
        g_assert_cmpuint(sys.sends - sends, ==, 1);
        g_assert_cmpuint(sys.receives - receives, ==, 1);
        g_assert_cmpuint(value, ==, cases[i].msg.cmd == MPQEMU_CMD_DEVICE_RESET ? 0 : 0x1234 + i);
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

static void test_roles(void)
{
    Peer server = peer_open(MPQEMU_ROLE_SERVER), client = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = conf_read();
    uint64_t value;
    bool error;

    g_assert_cmpint(mpqemu_link_call(server.link, &msg, &value, SECOND), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_receive(client.link, &msg, &error), ==, -EINVAL);
    g_assert_cmpint(mpqemu_link_reply(client.link, MPQEMU_CMD_PCI_CFGREAD, 0), ==, -EINVAL);
    peer_close(&client);
    peer_close(&server);
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
        g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, SECOND), ==, 0);
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
        g_assert_cmpuint(value, ==, i % 4096);
    }
    mpqemu_link_free(client);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 3 * EXCHANGES);
    g_assert_cmpstr(mpqemu_link_reason(server), ==, "peer closed");
    mpqemu_link_free(server);
    close(ram);
    g_assert_cmpint(count_fds(), ==, before);
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
    g_test_add_func("/link/server/end-at-every-byte", test_server_end_at_every_byte);
    g_test_add_func("/link/server/last-words-count", test_server_last_words);
    g_test_add_func("/link/server/one-receive-one-send", test_server_cost);

    g_test_add_func("/link/framing/cut-anywhere", test_framing_cut_anywhere);
    g_test_add_func("/link/framing/short-receives", test_framing_short_receives);
    g_test_add_func("/link/framing/fds-belong-to-the-last-that-begins", test_framing_one_send_of_two);
    g_test_add_func("/link/framing/many-glued", test_framing_many_glued);
    g_test_add_func("/link/framing/has-buffered", test_framing_has_buffered);

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
    g_test_add_func("/link/client/peer-dies", test_client_peer_dies);
    g_test_add_func("/link/client/peer-dies-while-waiting", test_client_peer_dies_while_waiting);

    g_test_add_func("/link/short-send-closes", test_short_send_closes);
    g_test_add_func("/link/roles", test_roles);
    g_test_add_func("/link/both-ends", test_both_ends);
    return g_test_run();
}
