/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of bounced DMA on the device side: SET_BOUNCE, SYNC_BOUNCE, and a main emulator that copies, lies or is gone.
 *
 * A thread of the test is the main emulator's: it answers by raw bytes, as the device waits for them.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hw/remote/pci-host.h"
#include "remote-rig.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define WINDOW (UINT64_C(1) << 20)
#define RAM (UINT64_C(1) << 20)
#define LIMIT_MS 100 /* the DMA socket's */

typedef enum Lie {
    HONEST,
    OTHER_SERIAL,
    RESULT_3,
    SHORT,
    LONG,
    DESCRIPTORS,
    SILENT,
    CLOSES,
    NO_RAM,
} Lie;

typedef struct Fixture {
    ServerFixture s;
    uint8_t *guest;   /* the test's mapping; what it sees is ordered by messages */
    uint8_t *copied, *window; /* the copier's mappings: guest RAM, window */
    int guest_fd, window_fd;
    int dma;          /* the main emulator's end */
    GThread *copier;
    Lie lie;          /* constant while the copier runs */
    unsigned copies;  /* atomic */
} Fixture;

static void answer(Fixture *f, uint32_t serial)
{
    uint32_t words[3] = { f->lie == OTHER_SERIAL ? serial + 1 : serial,
                          f->lie == RESULT_3 ? 3 : f->lie == NO_RAM ? 1 : 0, 0 };
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { words, f->lie == SHORT ? 7 : f->lie == LONG ? 9 : 8 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (f->lie == DESCRIPTORS) {
        struct cmsghdr *cmsg;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &f->dma, sizeof(int));
    }
    g_assert_cmpint(sendmsg(f->dma, &msg, MSG_NOSIGNAL), ==, (ssize_t)iov.iov_len);
}

static gpointer copier_thread(gpointer opaque)
{
    Fixture *f = opaque;
    uint32_t head[4 + 16 * 4];

    while (recv(f->dma, head, sizeof(head), 0) > 0) {
        __atomic_fetch_add(&f->copies, 1, __ATOMIC_RELAXED);
        if (f->lie == CLOSES) {
            shutdown(f->dma, SHUT_RDWR);
            return NULL;
        }
        for (unsigned i = 0; i < head[2] && f->lie != NO_RAM; i++) {
            const uint32_t *piece = head + 4 + 4 * i;
            uint64_t gpa = piece[0] | (uint64_t)piece[1] << 32;

            g_assert_cmpuint(gpa + piece[2], <=, RAM);
            g_assert_cmpuint((uint64_t)piece[3] + piece[2], <=, WINDOW);
            memcpy(head[1] == 1 ? f->window + piece[3] : f->copied + gpa,
                   head[1] == 1 ? f->copied + gpa : f->window + piece[3], piece[2]);
        }
        if (f->lie != SILENT) {
            answer(f, head[0]);
        }
    }
    return NULL;
}

static void setup(Fixture *f, gconstpointer data)
{
    server_setup(&f->s, NULL);
    f->lie = GPOINTER_TO_INT(data);
    f->guest_fd = make_memfd(RAM);
    f->guest = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->guest_fd, 0);
    f->copied = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->guest_fd, 0);
    f->window_fd = make_memfd(WINDOW);
    f->window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, f->window_fd, 0);
    f->dma = -1;
}

static void teardown(Fixture *f, gconstpointer data)
{
    server_teardown(&f->s, NULL);
    if (f->dma >= 0) {
        shutdown(f->dma, SHUT_RDWR);
        g_thread_join(f->copier);
        close(f->dma);
    }
    munmap(f->window, WINDOW);
    close(f->window_fd);
    munmap(f->guest, RAM);
    munmap(f->copied, RAM);
    close(f->guest_fd);
}

/* SET_BOUNCE with FDS; returns false when the link has ended instead of an answer. */
static bool set_bounce(Fixture *f, const int *fds, unsigned num_fds, uint64_t *ret_value)
{
    uint8_t wire[16];

    send_bytes(&f->s, wire, encode(wire, MPQEMU_CMD_SET_BOUNCE, NULL, 0), fds, num_fds);
    return take_reply(&f->s, ret_value);
}

static void sync_bounce(Fixture *f, uint32_t count, const uint64_t *gpas, const uint64_t *sizes)
{
    uint64_t payload[17] = { count };

    for (unsigned i = 0; i < MIN(count, 8); i++) {
        payload[1 + i] = gpas[i];
        payload[9 + i] = sizes[i];
    }
    send_msg(&f->s, MPQEMU_CMD_SYNC_BOUNCE, payload, sizeof(payload));
    turn();
}

/* The honest set-up. */
static void bounce(Fixture *f)
{
    const struct timeval limit = { .tv_usec = LIMIT_MS * 1000 };
    const uint64_t gpa = 0, size = RAM;
    uint64_t value = 1;
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    f->dma = pair[0];
    f->copier = g_thread_new("copier", copier_thread, f);
    g_assert_true(set_bounce(f, (int[]) { pair[1], f->window_fd }, 2, &value));
    g_assert_cmphex(value, ==, 0);
    close(pair[1]);
    sync_bounce(f, 1, &gpa, &size);
    assert_alive(&f->s);
}

static DmaContext *dma_of(Fixture *f)
{
    return &f->s.dev->pci.dma;
}

static unsigned copies(Fixture *f)
{
    return __atomic_load_n(&f->copies, __ATOMIC_RELAXED);
}

static void assert_ended(Fixture *f, LinkServerEnd how)
{
    turn();
    g_assert_cmpuint(f->s.ends, ==, 1);
    g_assert_cmpint(f->s.how, ==, how);
    g_assert_null(dma_of(f)->bounce);
    g_assert_cmpint(dma_read(dma_of(f), 0, &(uint32_t) { 0 }, 4), ==, MEM_DECODE_ERROR);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void test_reads_and_writes(Fixture *f, gconstpointer data)
{
    uint32_t value;

    bounce(f);
    memcpy(f->guest + 0x100, "abcd", 4);
    g_assert_cmpint(dma_read_le32(dma_of(f), 0x100, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x64636261);
    g_assert_cmpint(dma_write_le32(dma_of(f), RAM - 4, 0x01020304), ==, MEM_OK);
    g_assert_cmphex(f->guest[RAM - 4], ==, 4);
    g_assert_cmpuint(copies(f), ==, 2);
    g_assert_cmpint(dma_read_le32(dma_of(f), RAM - 3, &value), ==, MEM_DECODE_ERROR);
    /* The empty table. */
    sync_bounce(f, 0, NULL, NULL);
    assert_alive(&f->s);
    g_assert_cmpint(dma_read_le32(dma_of(f), 0x100, &value), ==, MEM_DECODE_ERROR);
    g_assert_cmpuint(copies(f), ==, 3); /* the 3 bytes before the end of RAM */
}

static void test_transfer_outlives_the_link(Fixture *f, gconstpointer data)
{
    g_autofree DmaMap *map = g_new(DmaMap, 1);
    unsigned fds;

    bounce(f);
    dma_map_init(map, dma_of(f), DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, PAGE));
    fds = count_fds();
    close(f->s.peer);
    f->s.peer = -1;
    turn();
    g_assert_cmpint(f->s.how, ==, LINK_SERVER_END_EOF);
    memset(map->iov[0].iov_base, 0x5a, PAGE);
    dma_unmap(map, PAGE);
    g_assert_cmphex(f->guest[0], ==, 0);
    g_assert_cmpuint(copies(f), ==, 0);
    g_assert_cmpuint(count_fds(), ==, fds - 4); /* both ends of the link, DMA socket, window */
}

static void test_second_set_bounce(Fixture *f, gconstpointer data)
{
    int pair[2];
    uint64_t value;

    bounce(f);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_false(set_bounce(f, (int[]) { pair[1], f->window_fd }, 2, &value));
    close(pair[0]);
    close(pair[1]);
    assert_ended(f, LINK_SERVER_END_PROTOCOL);
}

/* Guest RAM is not even taken from a client that offers it. */
static void test_no_guest_ram_on_this_link(Fixture *f, gconstpointer data)
{
    auto_fd ram = make_memfd(PAGE);
    uint64_t payload[24] = { [8] = PAGE };
    uint8_t wire[16 + 192];

    bounce(f);
    send_bytes(&f->s, wire, encode(wire, MPQEMU_CMD_SYNC_SYSMEM, payload, sizeof(payload)), &ram, 1);
    assert_ended(f, LINK_SERVER_END_PROTOCOL);
}

static void test_set_bounce_after_guest_ram(Fixture *f, gconstpointer data)
{
    auto_fd ram = make_memfd(PAGE);
    uint64_t payload[24] = { [8] = PAGE }, value;
    uint8_t wire[16 + 192];
    int pair[2];

    send_bytes(&f->s, wire, encode(wire, MPQEMU_CMD_SYNC_SYSMEM, payload, sizeof(payload)), &ram, 1);
    assert_alive(&f->s);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_false(set_bounce(f, (int[]) { pair[1], f->window_fd }, 2, &value));
    close(pair[0]);
    close(pair[1]);
    assert_ended(f, LINK_SERVER_END_PROTOCOL);
}

static void test_sync_without_set_bounce(Fixture *f, gconstpointer data)
{
    sync_bounce(f, 0, NULL, NULL);
    assert_ended(f, LINK_SERVER_END_PROTOCOL);
}

/* What is next to the messages: sizes, and the numbers between stock's commands and ours and behind them. */
static void test_neighbouring_messages(Fixture *f, gconstpointer data)
{
    static const struct {
        uint32_t cmd;
        uint64_t size;
    } bad[] = {
        { MPQEMU_CMD_SET_BOUNCE, 1 }, { MPQEMU_CMD_SET_BOUNCE, 8 }, { MPQEMU_CMD_SYNC_BOUNCE, 0 },
        { MPQEMU_CMD_SYNC_BOUNCE, 135 }, { MPQEMU_CMD_SYNC_BOUNCE, 137 }, { MPQEMU_CMD_SYNC_BOUNCE, 192 },
        { 8, 0 }, { 31, 0 }, { 34, 0 }, { 33 + (1u << 31), 136 },
    };
    const uint8_t payload[192] = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        ServerFixture s = { 0 };

        server_setup(&s, NULL);
        send_msg(&s, bad[i].cmd, payload, bad[i].size);
        turn();
        g_assert_cmpuint(s.ends, ==, 1);
        g_assert_cmpint(s.how, ==, LINK_SERVER_END_PROTOCOL);
        server_teardown(&s, NULL);
    }
}

static void test_descriptors_of_set_bounce(Fixture *f, gconstpointer data)
{
    unsigned which = 0;
    int pair[2], pipes[2];
    uint64_t value;
    unsigned fds;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_cmpint(pipe2(pipes, 0), ==, 0);
    {
        const struct {
            int fds[3];
            unsigned count;
        } bad[] = {
            { { 0 }, 0 }, { { pair[1] }, 1 }, { { pair[1], f->window_fd, f->window_fd }, 3 },
            { { f->window_fd, pair[1] }, 2 }, { { pair[1], pair[1] }, 2 }, { { f->window_fd, f->window_fd }, 2 },
            { { pair[1], pipes[0] }, 2 }, { { pipes[0], f->window_fd }, 2 },
        };

        for (which = 0; which < G_N_ELEMENTS(bad); which++) {
            ServerFixture s = { 0 };
            uint8_t wire[16];

            fds = count_fds();
            server_setup(&s, NULL);
            send_bytes(&s, wire, encode(wire, MPQEMU_CMD_SET_BOUNCE, NULL, 0), bad[which].fds, bad[which].count);
            g_assert_false(take_reply(&s, &value));
            g_assert_cmpint(s.how, ==, LINK_SERVER_END_PROTOCOL);
            server_teardown(&s, NULL);
            g_assert_cmpuint(count_fds(), ==, fds);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        close(pair[i]);
        close(pipes[i]);
    }
}

/* A window that is too small is refused by an answer: the client says why it cannot go on. */
static void test_small_window(Fixture *f, gconstpointer data)
{
    auto_fd small = make_memfd(WINDOW - 1);
    uint64_t value = 0;
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_true(set_bounce(f, (int[]) { pair[1], small }, 2, &value));
    g_assert_cmphex(value, ==, UINT64_MAX);
    close(pair[0]);
    close(pair[1]);
    assert_alive(&f->s);
    bounce(f); /* a good one is taken afterwards */
}

static const struct TableCase {
    const char *name;
    uint32_t count;
    uint64_t gpas[8], sizes[8];
    bool good;
} table_cases[] = {
    { "8-ranges", 8, { 0, 2, 4, 6, 8, 10, 12, 14 }, { 1, 1, 1, 1, 1, 1, 1, 1 }, true },
    { "9-ranges", 9, { 0, 2, 4, 6, 8, 10, 12, 14 }, { 1, 1, 1, 1, 1, 1, 1, 1 }, false },
    { "2^32-1-ranges", UINT32_MAX, { 0, 2, 4, 6, 8, 10, 12, 14 }, { 1, 1, 1, 1, 1, 1, 1, 1 }, false },
    { "empty-range", 1, { 0 }, { 0 }, false },
    { "up-to-2^64", 1, { UINT64_MAX }, { 1 }, true },
    { "beyond-2^64", 1, { UINT64_MAX }, { 2 }, false },
    { "adjoining", 2, { 0, 10 }, { 10, 10 }, true },
    { "overlapping", 2, { 0, 9 }, { 10, 10 }, false },
    { "inside-another", 2, { 0, 5 }, { UINT64_MAX, 1 }, false },
    { "garbage-behind-the-count", 1, { 0, 0 }, { 10, 0 }, true },
};

static void test_table(Fixture *f, gconstpointer data)
{
    const struct TableCase *c = data;

    f->lie = HONEST;
    bounce(f);
    sync_bounce(f, c->count, c->gpas, c->sizes);
    if (c->good) {
        assert_alive(&f->s);
    } else {
        assert_ended(f, LINK_SERVER_END_PROTOCOL);
    }
}

/* A window that is full of a hostile peer's bytes, and gone: what is read is data, whatever it is. */
static void test_shrunk_window(Fixture *f, gconstpointer data)
{
    uint32_t value = 0;

    f->lie = NO_RAM; /* it copies nothing: the window is not there */
    bounce(f);
    g_assert_cmpint(ftruncate(f->window_fd, 0), ==, 0);
    g_assert_cmpint(dma_read_le32(dma_of(f), 0, &value), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(value, ==, 0xffffffff);
    g_assert_cmpint(dma_write_le32(dma_of(f), 0, 1), ==, MEM_DECODE_ERROR);
    assert_alive(&f->s);
    g_assert_cmpint(ftruncate(f->window_fd, WINDOW), ==, 0);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void test_answer(Fixture *f, gconstpointer data)
{
    g_autofree DmaMap *map = g_new(DmaMap, 1);
    LinkServerEnd how = f->lie == SILENT || f->lie == CLOSES ? LINK_SERVER_END_LOST : LINK_SERVER_END_PROTOCOL;
    int64_t begin = event_clock_ns(EVENT_CLOCK_REAL);
    uint32_t value = 0;

    bounce(f);
    dma_map_init(map, dma_of(f), DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, PAGE));
    g_assert_cmpint(dma_read_le32(dma_of(f), 0, &value), ==, MEM_ERROR);
    g_assert_cmphex(value, ==, 0xffffffff);
    /* Once is enough: no second wait for the same peer. */
    g_assert_cmpint(dma_read_le32(dma_of(f), 0, &value), ==, MEM_ERROR);
    g_assert_cmpint(dma_write_le32(dma_of(f), 0, value), ==, MEM_ERROR);
    g_assert_false(dma_map_add(map, PAGE, PAGE));
    dma_unmap(map, PAGE);
    g_assert_cmpuint(copies(f), ==, 1);
    assert_ended(f, how);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - begin, <, 5 * INT64_C(1000000000));
}

/* The main emulator's own "no": an error of that access alone. */
static void test_refusal_is_an_answer(Fixture *f, gconstpointer data)
{
    uint32_t value = 0;

    bounce(f);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(dma_read_le32(dma_of(f), 0, &value), ==, MEM_DECODE_ERROR);
        g_assert_cmphex(value, ==, 0xffffffff);
    }
    g_assert_cmpuint(copies(f), ==, 3);
    assert_alive(&f->s);
}

static void add_tests(void)
{
    static const struct {
        const char *name;
        Lie lie;
    } lies[] = {
        { "of-another-request", OTHER_SERIAL }, { "no-such-result", RESULT_3 }, { "short", SHORT }, { "long", LONG },
        { "with-descriptors", DESCRIPTORS }, { "none-in-time", SILENT }, { "end-instead", CLOSES },
    };

#define ADD(name, fn, data) g_test_add("/remote-bounce/" name, Fixture, data, setup, fn, teardown)
    ADD("reads-and-writes", test_reads_and_writes, NULL);
    ADD("transfer-outlives-the-link", test_transfer_outlives_the_link, NULL);
    ADD("set-bounce-twice", test_second_set_bounce, NULL);
    ADD("no-guest-ram-on-this-link", test_no_guest_ram_on_this_link, NULL);
    ADD("set-bounce-after-guest-ram", test_set_bounce_after_guest_ram, NULL);
    ADD("sync-bounce-without-set-bounce", test_sync_without_set_bounce, NULL);
    ADD("descriptors-of-set-bounce", test_descriptors_of_set_bounce, NULL);
    ADD("neighbouring-messages", test_neighbouring_messages, NULL);
    ADD("small-window-is-refused-by-an-answer", test_small_window, NULL);
    ADD("shrunk-window", test_shrunk_window, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(table_cases); i++) {
        g_autofree char *name = g_strdup_printf("/remote-bounce/table/%s", table_cases[i].name);

        g_test_add(name, Fixture, &table_cases[i], setup, test_table, teardown);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_autofree char *name = g_strdup_printf("/remote-bounce/answer/%s", lies[i].name);

        g_test_add(name, Fixture, GINT_TO_POINTER(lies[i].lie), setup, test_answer, teardown);
    }
    ADD("answer/refusal", test_refusal_is_an_answer, GINT_TO_POINTER(NO_RAM));
}

int main(int argc, char **argv)
{
    return remote_rig_main(argc, argv, add_tests);
}
