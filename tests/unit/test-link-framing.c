/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link: messages split and glued in every way, with their descriptors; the end at every byte.
 * Runs in: tests
 *
 * The raw end writes bytes before the link reads them, so one thread is enough and nothing depends on time.
 */
#include <sys/ioctl.h>
#include "link-syscalls.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/link/framing/cut-anywhere", test_framing_cut_anywhere);
    g_test_add_func("/link/framing/short-receives", test_framing_short_receives);
    g_test_add_func("/link/framing/fds-belong-to-the-last-that-begins", test_framing_one_send_of_two);
    g_test_add_func("/link/framing/many-glued", test_framing_many_glued);
    g_test_add_func("/link/framing/has-buffered", test_framing_has_buffered);
    g_test_add_func("/link/server/end-at-every-byte", test_server_end_at_every_byte);
    return g_test_run();
}
