/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mpqemu link against a peer that lies: every refusal by name, then tens of thousands of random streams.
 * Runs in: tests (one thread)
 *
 * Each test ends by counting this process's descriptors: whatever was refused, nothing may stay open.
 */
#include <stdlib.h>
#include <sys/resource.h>
#include "link-peer.h"
#include "under-valgrind.h"

/* Descriptors of every kind, made once; a case names them by letter. */
static int pool[128];

static void pool_open(void)
{
    int pair[2];

    pool['m'] = make_memfd();
    pool['e'] = make_eventfd();
    pool['n'] = open("/dev/null", O_RDWR | O_CLOEXEC);
    pool['d'] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    pool['p'] = pair[0];
    close(pair[1]);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    pool['s'] = pair[0];
    close(pair[1]);
}

/* "mme" gives two memfds and an eventfd. */
static unsigned pick_fds(const char *letters, int *fds)
{
    unsigned n = 0;

    for (; letters[n]; n++) {
        g_assert_cmpuint(n, <, RAW_FDS_MAX);
        fds[n] = pool[(int)letters[n]];
    }
    return n;
}

static void send_case(Peer *p, const Wire *w, const char *letters)
{
    int fds[RAW_FDS_MAX];
    unsigned num = pick_fds(letters, fds);

    raw_send(p->raw, w->bytes, w->len, fds, num);
}

/* ------------------------------------------------------------------ server: refusals */

typedef struct Refusal {
    const char *name;
    Wire wire;
    const char *fds;
    const char *reason;
} Refusal;

static Wire with_range(unsigned i, uint64_t gpa, uint64_t size, uint64_t offset)
{
    Wire w = wire_sync(8);

    wire_range(&w, i, gpa, size, offset);
    return w;
}

static const Refusal *refusals(size_t *ret_num)
{
    static Refusal list[64];
    size_t n = 0;

#define REFUSE(NAME, WIRE, FDS, REASON) list[n++] = (Refusal) { NAME, WIRE, FDS, REASON }
    REFUSE("command-8", wire_plain(8, 0), "", "command 8 is unknown");
    REFUSE("command-minus-1", wire_plain(UINT32_MAX, 0), "", "command 4294967295 is unknown");
    REFUSE("ret", wire_ret(0), "", "RET: is not for this side of the link");
    REFUSE("empty-ret", wire_plain(1, 0), "", "RET: is not for this side of the link");

    REFUSE("sync-size-0", wire_plain(0, 0), "m", "SYNC_SYSMEM: 0 bytes of payload, must be 192");
    REFUSE("sync-size-191", wire_plain(0, 191), "m", "SYNC_SYSMEM: 191 bytes of payload, must be 192");
    REFUSE("sync-size-193", wire_plain(0, 193), "m", "SYNC_SYSMEM: 193 bytes of payload, must be 192");
    REFUSE("cfgwrite-size-8", wire_plain(2, 8), "", "PCI_CFGWRITE: 8 bytes of payload, must be 12");
    REFUSE("cfgread-size-16", wire_plain(3, 16), "", "PCI_CFGREAD: 16 bytes of payload, must be 12");
    REFUSE("bar-write-size-0", wire_plain(4, 0), "", "BAR_WRITE: 0 bytes of payload, must be 24");
    REFUSE("bar-read-size-192", wire_plain(5, 192), "", "BAR_READ: 192 bytes of payload, must be 24");
    REFUSE("irqfd-size-8", wire_plain(6, 8), "ee", "SET_IRQFD: 8 bytes of payload, must be 0");
    REFUSE("reset-size-8", wire_plain(7, 8), "", "DEVICE_RESET: 8 bytes of payload, must be 0");
    REFUSE("size-4-GiB-and-12", wire_plain(3, UINT64_C(0x10000000c)), "",
           "PCI_CFGREAD: 4294967308 bytes of payload, must be 12");
    REFUSE("size-minus-1", wire_plain(5, UINT64_MAX), "",
           "BAR_READ: 18446744073709551615 bytes of payload, must be 24");

    REFUSE("sync-9-fds", wire_sync(8), "mmmmmmmmm", "more than 8 descriptors, or no room for them");
    REFUSE("sync-16-fds", wire_sync(8), "mmmmmmmmmmmmmmmm", "more than 8 descriptors, or no room for them");
    REFUSE("cfgread-1-fd", wire_conf(3, 0, 0, 2), "m", "PCI_CFGREAD: 1 descriptors, must be 0 to 0");
    REFUSE("cfgwrite-8-fds", wire_conf(2, 0, 0, 2), "mmmmmmmm", "PCI_CFGWRITE: 8 descriptors, must be 0 to 0");
    REFUSE("bar-read-1-fd", wire_bar(5, 0, 0, 4, 1), "e", "BAR_READ: 1 descriptors, must be 0 to 0");
    REFUSE("bar-write-2-fds", wire_bar(4, 0, 0, 4, 1), "ee", "BAR_WRITE: 2 descriptors, must be 0 to 0");
    REFUSE("reset-1-fd", wire_plain(7, 0), "s", "DEVICE_RESET: 1 descriptors, must be 0 to 0");
    REFUSE("irqfd-0-fds", wire_plain(6, 0), "", "SET_IRQFD: 0 descriptors, must be 2 to 2");
    REFUSE("irqfd-1-fd", wire_plain(6, 0), "e", "SET_IRQFD: 1 descriptors, must be 2 to 2");
    REFUSE("irqfd-3-fds", wire_plain(6, 0), "eee", "SET_IRQFD: 3 descriptors, must be 2 to 2");

    REFUSE("irqfd-pipe", wire_plain(6, 0), "ep", "SET_IRQFD: descriptor 1 is ");
    REFUSE("irqfd-null", wire_plain(6, 0), "ne", "SET_IRQFD: descriptor 0 is ");
    REFUSE("irqfd-memfd", wire_plain(6, 0), "mm", "SET_IRQFD: descriptor 0 is ");
    REFUSE("irqfd-socket", wire_plain(6, 0), "es", "SET_IRQFD: descriptor 1 is a socket");
    REFUSE("sync-eventfd", wire_sync(2), "me", "SYNC_SYSMEM: descriptor 1 is an eventfd");
    REFUSE("sync-socket", wire_sync(1), "s", "SYNC_SYSMEM: descriptor 0 is a socket");
    REFUSE("sync-pipe", wire_sync(1), "p", "SYNC_SYSMEM: descriptor 0 is ");
    REFUSE("sync-null", wire_sync(1), "n", "SYNC_SYSMEM: descriptor 0 is ");
    REFUSE("sync-directory", wire_sync(1), "d", "SYNC_SYSMEM: descriptor 0 is ");

    REFUSE("range-empty", with_range(1, 0, 0, 0), "mm", "SYNC_SYSMEM: range 1 is empty");
    REFUSE("range-wraps", with_range(0, UINT64_MAX - 0xfff, 0x1001, 0), "m", "SYNC_SYSMEM: range 0 wraps: ");
    REFUSE("range-of-everything", with_range(0, 2, UINT64_MAX, 0), "m", "SYNC_SYSMEM: range 0 wraps: ");
    REFUSE("offset-negative", with_range(0, 0, 0x1000, UINT64_MAX - 0xfff), "m", "SYNC_SYSMEM: range 0: offset ");
    REFUSE("offset-wraps", with_range(0, 0, 0x1000, INT64_MAX - 0xffe), "m", "SYNC_SYSMEM: range 0: offset ");
    REFUSE("size-no-file-has", with_range(0, 0, UINT64_C(1) << 63, 0), "m", "SYNC_SYSMEM: range 0: offset ");
    REFUSE("ranges-equal", with_range(1, 0x100000, 0x10000, 0), "mm",
           "SYNC_SYSMEM: ranges 0 and 1 overlap at 0x100000");
    REFUSE("ranges-overlap-by-1", with_range(7, 0x10ffff, 1, 0), "mmmmmmmm",
           "SYNC_SYSMEM: ranges 0 and 7 overlap at 0x10ffff");
    REFUSE("ranges-overlap-by-1-below", with_range(1, 0xf0001, 0x10000, 0), "mm",
           "SYNC_SYSMEM: ranges 0 and 1 overlap at 0x100000");
    REFUSE("range-inside", with_range(1, 0x108000, 0x1000, 0), "mm",
           "SYNC_SYSMEM: ranges 0 and 1 overlap at 0x108000");
    REFUSE("range-around", with_range(1, 0, UINT64_C(1) << 40, 0), "mm",
           "SYNC_SYSMEM: ranges 0 and 1 overlap at 0x100000");
#undef REFUSE
    g_assert_cmpuint(n, <=, G_N_ELEMENTS(list));
    *ret_num = n;
    return list;
}

static void expect_refused(Peer *p, const char *reason)
{
    MpqemuMsg msg = { 0 };
    bool error;
    uint8_t byte;
    unsigned fds;

    g_assert_cmpint(mpqemu_link_receive(p->link, &msg, &error), ==, -EPROTO);
    g_assert_cmpuint(msg.num_fds, ==, 0); /* an owner that clears it all the same closes nothing */
    g_assert_cmpint(mpqemu_link_state(p->link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p->link), !=, "");
    if (!g_str_has_prefix(mpqemu_link_reason(p->link), reason)) {
        g_assert_cmpstr(mpqemu_link_reason(p->link), ==, reason);
    }
    g_assert_cmpuint(mpqemu_link_stats(p->link)->refused, ==, 1);
    /* No answer but the end. */
    g_assert_cmpint(raw_receive(p->raw, &byte, 1, &fds), <=, 0);
}

static void test_refuses(gconstpointer data)
{
    const Refusal *r = data;
    Peer p = peer_open(MPQEMU_ROLE_SERVER);

    send_case(&p, &r->wire, r->fds);
    expect_refused(&p, r->reason);
    peer_close(&p);

    /* The same behind a good message in one read: the good one still counts. */
    p = peer_open(MPQEMU_ROLE_SERVER);
    {
        Wire good = wire_plain(7, 0);
        MpqemuMsg msg;
        bool error;

        raw_send(p.raw, good.bytes, good.len, NULL, 0);
        send_case(&p, &r->wire, r->fds);
        g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 1);
        g_assert_cmpint(msg.cmd, ==, MPQEMU_CMD_DEVICE_RESET);
        expect_refused(&p, r->reason);
    }
    peer_close(&p);
}

/* A bad header is refused as soon as it is there, without its body. */
static void test_refuses_at_header(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_plain(5, 25);

    raw_send(p.raw, w.bytes, 16, NULL, 0);
    expect_refused(&p, "BAR_READ: 25 bytes of payload, must be 24");
    peer_close(&p);
}

/* Descriptors with the rest of a message, in all places of the cut. */
static void test_refuses_fds_in_the_middle(void)
{
    Wire w = wire_sync(1);

    for (size_t cut = 1; cut < w.len; cut++) {
        Peer p = peer_open(MPQEMU_ROLE_SERVER);
        MpqemuMsg msg;
        bool error;

        raw_send(p.raw, w.bytes, cut, NULL, 0);
        g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 0);
        raw_send(p.raw, w.bytes + cut, w.len - cut, &pool['m'], 1);
        expect_refused(&p, "descriptors in the middle of a message");
        peer_close(&p);
    }
}

/* Two sets for one message: the second is in its middle. */
static void test_refuses_second_set(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_sync(2);

    raw_send(p.raw, w.bytes, 100, &pool['m'], 1);
    raw_send(p.raw, w.bytes + 100, w.len - 100, &pool['m'], 1);
    {
        MpqemuMsg msg;
        bool error;

        g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 0);
    }
    expect_refused(&p, "descriptors in the middle of a message");
    peer_close(&p);
}

/* Descriptors that wait for a message that never becomes whole go when the link goes. */
static void test_closes_waiting_fds(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_sync(8), irq = wire_plain(6, 0);
    int fds[8];
    MpqemuMsg msg;
    bool error;

    pick_fds("mmmmmmmm", fds);
    raw_send(p.raw, w.bytes, 20, fds, 8);
    g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 0);
    /* And a second set behind it. */
    raw_send(p.raw, w.bytes + 20, w.len - 20, NULL, 0);
    pick_fds("ee", fds);
    raw_send(p.raw, irq.bytes, 5, fds, 2);
    g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 1);
    g_assert_cmpuint(msg.num_fds, ==, 8);
    mpqemu_msg_clear(&msg);
    g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 0);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->fds_in, ==, 10);
    peer_close(&p);
}

/* This process has no descriptor left: the kernel drops what it cannot install, and the message is refused. */
static void test_refuses_when_out_of_descriptors(void)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire w = wire_sync(8);
    struct rlimit old, tight;
    int top = dup(0);

    g_assert_cmpint(top, >=, 0);
    close(top);
    if (skip_under_valgrind("its limit of descriptors is not the kernel's")) {
        peer_close(&p);
        return;
    }
    send_case(&p, &w, "mmmmmmmm");
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    tight = (struct rlimit) { .rlim_cur = top + 3, .rlim_max = old.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
    expect_refused(&p, "more than 8 descriptors, or no room for them");
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
    peer_close(&p);
}

/* ------------------------------------------------------------------ server: errors that are answered */

static void test_answers_bad_fields(void)
{
    const Wire bad[] = {
        wire_conf(3, 0, 0, 0), wire_conf(3, 0, 0, 3), wire_conf(3, 0, 0, 5), wire_conf(3, 0, 0, 8),
        wire_conf(2, 0, 0, 256), wire_conf(2, 0, 0, UINT32_MAX), wire_conf(2, 0, 0, 0x80000000),
        wire_conf(3, 4093, 0, 4), wire_conf(3, 4095, 0, 2), wire_conf(3, 4096, 0, 1),
        wire_conf(2, UINT32_MAX, 0, 1), wire_conf(2, UINT32_MAX - 3, 0, 4),
        wire_bar(5, 0, 0, 0, 1), wire_bar(5, 0, 0, 3, 1), wire_bar(4, 0, 0, 16, 1), wire_bar(4, 0, 0, UINT32_MAX, 0),
        wire_bar(5, UINT64_MAX, 0, 2, 1), wire_bar(4, UINT64_MAX - 6, 0, 8, 1),
        wire_bar(5, 0, 0, 4, 2), wire_bar(4, 0, 0, 4, 255),
    };
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    Wire want = wire_ret(UINT64_MAX);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        uint8_t got[64];
        unsigned fds;
        MpqemuMsg msg;
        bool error = false;

        raw_send(p.raw, bad[i].bytes, bad[i].len, NULL, 0);
        g_assert_cmpint(mpqemu_link_receive(p.link, &msg, &error), ==, 1);
        g_assert_true(error);
        g_assert_cmpint(msg.cmd, ==, bad[i].bytes[0]);
        g_assert_cmpuint(msg.num_fds, ==, 0);
        g_assert_cmpuint(mpqemu_link_stats(p.link)->refused, ==, i + 1);
        g_assert_cmpint(mpqemu_link_reply(p.link, msg.cmd, MPQEMU_RET_ERROR), ==, 0);
        g_assert_cmpint(raw_receive(p.raw, got, sizeof(got), &fds), ==, 24);
        g_assert_cmpmem(got, 24, want.bytes, want.len);
    }
    /* The session goes on, and its later end has its own reason. */
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_OPEN);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->msgs_in, ==, 0);
    mpqemu_link_close(p.link, "end of test");
    g_assert_cmpstr(mpqemu_link_reason(p.link), ==, "end of test");
    peer_close(&p);
}

/* ------------------------------------------------------------------ client: answers that are none */

static void client_refuses(MpqemuCmd cmd, const Wire *answer, const char *letters, const char *reason)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    MpqemuMsg msg = { .cmd = cmd };
    uint64_t value = 42;

    if (cmd == MPQEMU_CMD_PCI_CFGREAD) {
        msg.conf.len = 4;
    }
    send_case(&p, answer, letters);
    g_assert_cmpint(mpqemu_link_call(p.link, &msg, &value, SECOND), ==, -EPROTO);
    g_assert_cmpuint(value, ==, 42);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, MPQEMU_LINK_CLOSED);
    g_assert_cmpstr(mpqemu_link_reason(p.link), ==, reason);
    g_assert_cmpuint(mpqemu_link_stats(p.link)->refused, ==, 1);
    peer_close(&p);
}

static void test_client_refuses(void)
{
    Wire empty = wire_plain(1, 0), ret = wire_ret(0), long_ret = wire_plain(1, 192), two = wire_ret(0);
    Wire half = wire_plain(1, 4), request = wire_conf(3, 0, 0, 4), unknown = wire_plain(1000, 0);

    memcpy(two.bytes + 24, ret.bytes, 24);
    two.len = 48;
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &empty, "", "PCI_CFGREAD: answered with 0 bytes");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &half, "", "RET: 4 bytes of payload, must be 8");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &long_ret, "", "RET: 192 bytes of payload, must be 8");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &request, "", "PCI_CFGREAD: is not for this side of the link");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &unknown, "", "command 1000 is unknown");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &two, "", "PCI_CFGREAD: bytes behind the answer");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &ret, "m", "RET: 1 descriptors, must be 0 to 0");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &ret, "mmmmmmmm", "RET: 8 descriptors, must be 0 to 0");
    client_refuses(MPQEMU_CMD_PCI_CFGREAD, &ret, "mmmmmmmmm", "more than 8 descriptors, or no room for them");
    client_refuses(MPQEMU_CMD_DEVICE_RESET, &empty, "e", "RET: 1 descriptors, must be 0 to 0");
    client_refuses(MPQEMU_CMD_DEVICE_RESET, &half, "", "RET: 4 bytes of payload, must be 8");
}

/* ------------------------------------------------------------------ random streams */

#define CASES 30000
#define STREAM_MAX 1024

/* One seed per case, so that a failure is repeated by its number alone (MPQEMU_LINK_CASE=N). */
static GRand *case_rand(unsigned role, unsigned number)
{
    return g_rand_new_with_seed(number * 2 + role);
}

static uint64_t rand64(GRand *r)
{
    static const uint64_t odd[] = {
        0, 1, 3, 7, 8, 12, 16, 24, 191, 192, 193, 255, 4095, 4096, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX,
        UINT64_C(1) << 63, UINT64_C(0x10000000c),
    };

    if (g_rand_boolean(r)) {
        return odd[g_rand_int_range(r, 0, G_N_ELEMENTS(odd))];
    }
    return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
}

static Wire random_wire(GRand *r, MpqemuRole to)
{
    Wire w;

    switch (g_rand_int_range(r, 0, to == MPQEMU_ROLE_SERVER ? 9 : 3)) {
    case 0:
        w = wire_ret(rand64(r));
        break;
    case 1:
        w = wire_plain(1, 0);
        break;
    case 2: /* any bytes */
        w.len = g_rand_int_range(r, 1, 200);
        for (size_t i = 0; i < w.len; i++) {
            w.bytes[i] = g_rand_int(r);
        }
        return w;
    case 3:
        w = wire_sync(g_rand_int_range(r, 0, 9));
        break;
    case 4:
        w = wire_plain(6, 0);
        break;
    case 5:
        w = wire_plain(7, 0);
        break;
    case 6:
        w = wire_conf(g_rand_int_range(r, 2, 4), g_rand_int_range(r, 0, 4200), g_rand_int(r),
                      1 << g_rand_int_range(r, 0, 4));
        break;
    default:
        w = wire_bar(g_rand_int_range(r, 4, 6), rand64(r), rand64(r), 1 << g_rand_int_range(r, 0, 5),
                     g_rand_boolean(r));
        break;
    }
    /* In half of the cases something is wrong with it. */
    switch (g_rand_int_range(r, 0, 8)) {
    case 0:
        w.bytes[g_rand_int_range(r, 0, w.len)] ^= 1 << g_rand_int_range(r, 0, 8);
        break;
    case 1:
        put64(w.bytes + 8 * g_rand_int_range(r, 0, w.len / 8), rand64(r));
        break;
    case 2:
        w.len = g_rand_int_range(r, 1, w.len + 1);
        break;
    case 3: {
        size_t more = g_rand_int_range(r, 0, sizeof(w.bytes) - w.len + 1);

        memset(w.bytes + w.len, g_rand_int(r), more);
        w.len += more;
        break;
    }
    default:
        break;
    }
    return w;
}

/* Fitting descriptors, mostly. */
static unsigned random_fds(GRand *r, const Wire *w, int *fds)
{
    static const char kinds[] = "mmmmeeeendps";
    char letters[RAW_FDS_MAX + 1] = "";
    unsigned num = 0;

    if (w->bytes[0] == 6 && g_rand_int_range(r, 0, 4)) {
        return pick_fds("ee", fds);
    }
    if (w->bytes[0] == 0 && g_rand_int_range(r, 0, 4)) {
        num = g_rand_int_range(r, 0, 9);
        memset(letters, 'm', num);
    } else if (g_rand_int_range(r, 0, 4) == 0) {
        num = g_rand_int_range(r, 0, RAW_FDS_MAX + 1);
        for (unsigned i = 0; i < num; i++) {
            letters[i] = kinds[g_rand_int_range(r, 0, sizeof(kinds) - 1)];
        }
    }
    letters[num] = 0;
    return pick_fds(letters, fds);
}

/* Independent of io/: what may be handed out at all. */
static void check_handed_out(const MpqemuMsg *msg)
{
    switch (msg->cmd) {
    case MPQEMU_CMD_SYNC_SYSMEM:
        g_assert_cmpuint(msg->num_fds, <=, 8);
        for (unsigned i = 0; i < msg->num_fds; i++) {
            g_assert_true(same_file(msg->fds[i], pool['m']));
            g_assert_cmpuint(msg->sync.sizes[i], >, 0);
            g_assert_cmpuint(msg->sync.gpas[i] + (msg->sync.sizes[i] - 1), >=, msg->sync.gpas[i]);
            g_assert_cmpuint(msg->sync.offsets[i] + msg->sync.sizes[i], <=, INT64_MAX);
        }
        break;
    case MPQEMU_CMD_PCI_CFGWRITE:
    case MPQEMU_CMD_PCI_CFGREAD:
        g_assert_cmpuint(msg->num_fds, ==, 0);
        g_assert_true(msg->conf.len == 1 || msg->conf.len == 2 || msg->conf.len == 4);
        g_assert_cmpuint(msg->conf.addr, <=, 4096 - msg->conf.len);
        break;
    case MPQEMU_CMD_BAR_WRITE:
    case MPQEMU_CMD_BAR_READ:
        g_assert_cmpuint(msg->num_fds, ==, 0);
        g_assert_true(msg->bar.size == 1 || msg->bar.size == 2 || msg->bar.size == 4 || msg->bar.size == 8);
        g_assert_cmpuint(msg->bar.addr + (msg->bar.size - 1), >=, msg->bar.addr);
        break;
    case MPQEMU_CMD_SET_IRQFD:
        g_assert_cmpuint(msg->num_fds, ==, 2);
        break;
    case MPQEMU_CMD_DEVICE_RESET:
        g_assert_cmpuint(msg->num_fds, ==, 0);
        break;
    default:
        g_assert_not_reached();
    }
}

typedef struct Outcome {
    unsigned good, errors, refused, ended;
} Outcome;

/* A few sends of whole or cut messages, then everything is received; no more receives than bytes can make. */
static void server_case(unsigned number, Outcome *sum)
{
    Peer p = peer_open(MPQEMU_ROLE_SERVER);
    GRand *r = case_rand(0, number);
    int sends = g_rand_int_range(r, 1, 7);

    for (int i = 0; i < sends; i++) {
        Wire w = random_wire(r, MPQEMU_ROLE_SERVER);
        int fds[RAW_FDS_MAX];
        unsigned num = random_fds(r, &w, fds);
        size_t first = g_rand_int_range(r, 0, 4) ? w.len : (size_t)g_rand_int_range(r, 1, w.len + 1);

        raw_send(p.raw, w.bytes, first, fds, num);
        if (first < w.len) {
            raw_send(p.raw, w.bytes + first, w.len - first, NULL, 0);
        }
    }
    g_rand_free(r);
    peer_hang_up(&p);
    for (unsigned receives = 0;; receives++) {
        MpqemuMsg msg;
        bool error;
        int ret = mpqemu_link_receive(p.link, &msg, &error);

        g_assert_cmpuint(receives, <, STREAM_MAX);
        if (ret < 0) {
            g_assert_true(ret == -EPROTO || ret == -EPIPE || ret == -ECONNRESET);
            sum->refused += ret == -EPROTO;
            sum->ended += ret != -EPROTO;
            break;
        }
        if (ret > 0 && error) {
            sum->errors++;
        } else if (ret > 0) {
            sum->good++;
            check_handed_out(&msg);
            mpqemu_msg_clear(&msg);
        }
    }
    peer_close(&p);
}

static void client_case(unsigned number, Outcome *sum)
{
    Peer p = peer_open(MPQEMU_ROLE_CLIENT);
    GRand *r = case_rand(1, number);
    MpqemuMsg calls[] = {
        { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { 0, 0, 4 } },
        { .cmd = MPQEMU_CMD_BAR_WRITE, .bar = { 0x1000, 1, 4, true } },
        { .cmd = MPQEMU_CMD_DEVICE_RESET },
    };
    Wire w = random_wire(r, MPQEMU_ROLE_CLIENT);
    int fds[RAW_FDS_MAX];
    unsigned num = random_fds(r, &w, fds);
    size_t first = g_rand_int_range(r, 1, w.len + 1);
    uint64_t value;
    int ret;

    raw_send(p.raw, w.bytes, first, fds, num);
    if (first < w.len) {
        raw_send(p.raw, w.bytes + first, w.len - first, NULL, 0);
    }
    /* So that half an answer ends and does not wait. */
    g_assert_cmpint(shutdown(p.raw, SHUT_WR), ==, 0);
    ret = mpqemu_link_call(p.link, &calls[g_rand_int_range(r, 0, 3)], &value, SECOND);
    g_rand_free(r);
    g_assert_true(ret == 0 || ret == -EPROTO || ret == -EPIPE || ret == -ECONNRESET);
    g_assert_cmpint(mpqemu_link_state(p.link), ==, ret ? MPQEMU_LINK_CLOSED : MPQEMU_LINK_OPEN);
    sum->good += ret == 0;
    sum->refused += ret == -EPROTO;
    sum->ended += ret == -EPIPE || ret == -ECONNRESET;
    peer_close(&p);
}

static void random_cases(void (*one)(unsigned number, Outcome *sum), bool has_errors)
{
    const char *only = g_getenv("MPQEMU_LINK_CASE");
    Outcome sum = { 0 };

    if (only) {
        one(atoi(only), &sum);
        return;
    }
    for (unsigned number = 0; number < CASES; number++) {
        one(number, &sum);
    }
    g_test_message("%u good, %u answered with an error, %u refused, %u ended", sum.good, sum.errors, sum.refused,
                   sum.ended);
    /* The generator must reach all outcomes, or it tests nothing. */
    g_assert_cmpuint(sum.good, >, CASES / 20);
    g_assert_cmpuint(sum.refused, >, CASES / 20);
    g_assert_cmpuint(sum.ended, >, CASES / 20);
    g_assert_true(!has_errors || sum.errors > CASES / 20);
}

static void test_random_server(void)
{
    random_cases(server_case, true);
}

static void test_random_client(void)
{
    random_cases(client_case, false);
}

int main(int argc, char **argv)
{
    const Refusal *list;
    size_t num;

    g_test_init(&argc, &argv, NULL);
    pool_open();

    list = refusals(&num);
    for (size_t i = 0; i < num; i++) {
        g_autofree char *path = g_strdup_printf("/link/refuses/%s", list[i].name);

        g_test_add_data_func(path, &list[i], test_refuses);
    }
    g_test_add_func("/link/refuses/at-the-header", test_refuses_at_header);
    g_test_add_func("/link/refuses/fds-in-the-middle", test_refuses_fds_in_the_middle);
    g_test_add_func("/link/refuses/second-set-of-fds", test_refuses_second_set);
    g_test_add_func("/link/refuses/when-out-of-descriptors", test_refuses_when_out_of_descriptors);
    g_test_add_func("/link/closes-waiting-fds", test_closes_waiting_fds);
    g_test_add_func("/link/answers-bad-fields", test_answers_bad_fields);
    g_test_add_func("/link/client-refuses", test_client_refuses);
    g_test_add_func("/link/random/server", test_random_server);
    g_test_add_func("/link/random/client", test_random_client);
    return g_test_run();
}
