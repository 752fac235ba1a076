/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev with dma=bounce: the copies that it makes, and those that it does not.
 *
 * The test plays the remote's end of the DMA socket, by our client code where it is honest and by raw bytes where not.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/dma-link.h"
#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define PAGE 4096u

typedef struct Fixture {
    Rig rig;
    uint8_t *window; /* the remote's mapping */
    uint8_t *ram;    /* guest RAM by a mapping of the test's: what it sees is ordered by messages, not by locks */
    int dma;         /* the remote's socket; the rig's */
    uint32_t serial;
} Fixture;

static void start(Fixture *f)
{
    rig_init(&f->rig);
    f->rig.dma = "bounce";
    fake_bar(&f->rig.remote, 0, 4096, 0);
    f->ram = mmap(NULL, RIG_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, f->rig.block->fd, 0);
    g_assert_true(f->ram != MAP_FAILED);
}

/* What SET_BOUNCE has brought. */
static void take_window(Fixture *f)
{
    if (f->window) {
        munmap(f->window, DMA_LINK_WINDOW);
    }
    f->dma = f->rig.remote.dma_fd;
    f->window = mmap(NULL, DMA_LINK_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, f->rig.remote.window_fd, 0);
    g_assert_true(f->window != MAP_FAILED);
}

static void setup(Fixture *f, gconstpointer data)
{
    start(f);
    rig_start(&f->rig);
    rig_map_bar(&f->rig);
    rig_settle(&f->rig);
    take_window(f);
    rig_watch(&f->rig);
}

static void finish(Fixture *f)
{
    if (f->window) {
        munmap(f->window, DMA_LINK_WINDOW);
        f->window = NULL;
    }
    munmap(f->ram, RIG_RAM);
    rig_cleanup(&f->rig);
}

static void teardown(Fixture *f, gconstpointer data)
{
    finish(f);
}

/* The test's thread holds the machine lock: nothing here waits for it. */
static int dma_pieces(Fixture *f, DmaLinkKind kind, const DmaLinkPiece *pieces, unsigned count)
{
    DmaLinkRequest request = { .serial = f->serial++, .kind = kind, .count = count };
    DmaLinkResult result;
    int rc;

    memcpy(request.pieces, pieces, count * sizeof(*pieces));
    rc = dma_link_call(f->dma, &request, &result);
    return rc < 0 ? rc : (int)result;
}

static int dma(Fixture *f, DmaLinkKind kind, uint64_t gpa, uint32_t len, uint32_t offset)
{
    DmaLinkPiece piece = { gpa, len, offset };

    return dma_pieces(f, kind, &piece, 1);
}

static uint8_t *guest(Fixture *f, uint64_t gpa)
{
    return f->ram + gpa;
}

static bool is_ready(Rig *rig)
{
    return pci_proxy_state(rig->proxy) == PCI_PROXY_READY;
}

static void assert_dead_for(Fixture *f, const char *why)
{
    rig_wait(&f->rig, rig_is_dead);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_nonnull(f->rig.reason);
    if (!strstr(f->rig.reason, why)) {
        g_test_message("reason: %s", f->rig.reason);
    }
    g_assert_nonnull(strstr(f->rig.reason, why));
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
}

/* ---- the first exchanges --------------------------------------------------------------------- */

/* No descriptor of guest RAM goes to the remote, and it knows what is RAM. */
static void test_greeting(Fixture *f, gconstpointer data)
{
    FakeRemote *r = &f->rig.remote;

    g_assert_cmpuint(r->log[0], ==, MPQEMU_CMD_SET_BOUNCE);
    g_assert_cmpuint(r->log[1], ==, MPQEMU_CMD_SYNC_BOUNCE);
    g_assert_cmpuint(r->log[2], ==, MPQEMU_CMD_SET_IRQFD);
    for (unsigned i = 0; i < r->messages; i++) {
        g_assert_cmpuint(r->log[i], !=, MPQEMU_CMD_SYNC_SYSMEM);
    }
    g_assert_cmpuint(r->bounce_table.count, ==, 1);
    g_assert_cmphex(r->bounce_table.gpas[0], ==, 0);
    g_assert_cmphex(r->bounce_table.sizes[0], ==, RIG_RAM);
    g_assert_cmpstr(pci_proxy_dma_name(f->rig.proxy), ==, "bounce");
    g_assert_cmpint(ftruncate(r->window_fd, 0), <, 0); /* sealed */
    g_assert_cmpint(ftruncate(r->window_fd, 2 * DMA_LINK_WINDOW), <, 0);
}

static void fail_to_start(FakeManner manner, unsigned timeout_ms, const char *expected)
{
    static Fixture f;
    g_autoptr(GError) err = NULL;

    start(&f);
    rig_set_manner(&f.rig, manner, UINT64_C(1) << MPQEMU_CMD_SET_BOUNCE);
    g_assert_false(rig_try_start(&f.rig, timeout_ms, &err));
    g_assert_nonnull(strstr(err->message, "dma=bounce"));
    g_assert_nonnull(strstr(err->message, expected));
    finish(&f);
}

static void test_remote_that_cannot(void)
{
    fail_to_start(FAKE_HANG_UP, 5000, "give dma=map, or use this project's qemu-remote"); /* as QEMU does */
    fail_to_start(FAKE_FAILED, 5000, "the remote refuses it; give dma=map");
    fail_to_start(FAKE_GARBAGE, 5000, "give dma=map");
    fail_to_start(FAKE_SILENT, 50, "no answer in time");
}

static void test_hotplug(void)
{
    static Fixture f;

    start(&f);
    rig_hotplug(&f.rig, 5000);
    while (!f.rig.added) {
        machine_unlock();
        g_usleep(200);
        machine_lock();
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_null(f.rig.add_error);
    rig_map_bar(&f.rig);
    take_window(&f);
    g_assert_cmpint(dma(&f, DMA_LINK_READ, 0, PAGE, 0), ==, DMA_LINK_OK);
    finish(&f);
}

/* RAM that no other process could map, and which therefore dma=map refuses. */
static void test_private_guest_ram(void)
{
    static Fixture f;
    MemoryBackend *backend = g_object_new(memory_backend_memfd_get_type(), NULL);
    RamBlock *block;
    MemoryRegion private_ram;
    int fd;

    start(&f);
    fd = memfd_create("private", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    block = ram_block_new_private_take_fd("node1", fd, PAGE, NULL);
    memory_region_init_ram(&private_ram, QOM_OBJECT(backend), "node1", block, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &private_ram, 0);
    rig_start(&f.rig);
    rig_map_bar(&f.rig);
    take_window(&f);
    g_assert_cmpuint(f.rig.remote.bounce_table.count, ==, 2);
    memset(f.window, 0x5a, PAGE);
    g_assert_cmpint(dma(&f, DMA_LINK_WRITE, 0x80000000, PAGE, 0), ==, DMA_LINK_OK);
    g_assert_cmpint(dma(&f, DMA_LINK_READ, 0x80000000, PAGE, PAGE), ==, DMA_LINK_OK);
    g_assert_cmphex(f.window[2 * PAGE - 1], ==, 0x5a);
    /* It goes: a remote that has not heard of it reaches nothing. */
    memory_region_destroy(&private_ram);
    g_assert_cmpint(dma(&f, DMA_LINK_WRITE, 0x80000000, PAGE, 0), ==, DMA_LINK_NO_RAM);
    rig_settle(&f.rig);
    g_assert_cmpuint(f.rig.remote.bounce_table.count, ==, 1);
    ram_block_unref(block);
    g_object_unref(backend);
    finish(&f);
}

/* ---- honest requests ------------------------------------------------------------------------- */

static void test_copies(Fixture *f, gconstpointer data)
{
    DmaLinkPiece pieces[DMA_LINK_PIECES_MAX];
    PciProxyStats stats;

    memset(guest(f, 0x3001), 0x41, 100);
    g_assert_cmpint(dma(f, DMA_LINK_READ, 0x3001, 100, 7), ==, DMA_LINK_OK);
    g_assert_cmphex(f->window[6], ==, 0);
    g_assert_cmphex(f->window[7], ==, 0x41);
    g_assert_cmphex(f->window[106], ==, 0x41);
    g_assert_cmphex(f->window[107], ==, 0);

    /* As many pieces as there may be, and the whole window at once. */
    for (unsigned i = 0; i < DMA_LINK_PIECES_MAX; i++) {
        pieces[i] = (DmaLinkPiece) { .gpa = 0x10000 + i * 0x2000, .len = 0x1000, .offset = (15 - i) * 0x1000 };
        memset(f->window + pieces[i].offset, 0x60 + (int)i, 0x1000);
    }
    g_assert_cmpint(dma_pieces(f, DMA_LINK_WRITE, pieces, DMA_LINK_PIECES_MAX), ==, DMA_LINK_OK);
    for (unsigned i = 0; i < DMA_LINK_PIECES_MAX; i++) {
        g_assert_cmphex(*guest(f, pieces[i].gpa), ==, 0x60 + i);
        g_assert_cmphex(*guest(f, pieces[i].gpa + 0xfff), ==, 0x60 + i);
        g_assert_cmphex(*guest(f, pieces[i].gpa + 0x1000), ==, 0);
    }
    memset(f->window, 0x33, DMA_LINK_WINDOW);
    g_assert_cmpint(dma(f, DMA_LINK_WRITE, RIG_RAM - DMA_LINK_WINDOW, DMA_LINK_WINDOW, 0), ==, DMA_LINK_OK);
    g_assert_cmphex(*guest(f, RIG_RAM - 1), ==, 0x33);
    g_assert_cmpint(dma(f, DMA_LINK_READ, 0, 1, DMA_LINK_WINDOW - 1), ==, DMA_LINK_OK);
    pci_proxy_stats(f->rig.proxy, &stats);
    g_assert_cmpuint(stats.bounced_bytes, ==, 100 + 16 * 0x1000 + DMA_LINK_WINDOW + 1);
}

/* While a vCPU waits for the answer to an access, the device does DMA for it. */
static void dma_first(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value)
{
    DmaLinkRequest request = { .kind = DMA_LINK_WRITE, .count = 1, .pieces = { { 0x5000, 4, 0 } } };
    DmaLinkResult result = DMA_LINK_RESULT_MAX;

    g_assert_cmpint(dma_link_call(remote->dma_fd, &request, &result), ==, 0);
    g_assert_cmpint(result, ==, DMA_LINK_OK);
    remote->tamper_count++;
}

static void test_during_an_access(Fixture *f, gconstpointer data)
{
    memcpy(f->window, "here", 4);
    f->rig.remote.tamper = dma_first;
    vcpu_config_read(&f->rig, PCI_VENDOR_ID, 2);
    g_assert_cmpuint(f->rig.remote.tamper_count, ==, 1);
    g_assert_cmpmem(guest(f, 0x5000), 4, "here", 4);
}

/* ---- addresses and rights -------------------------------------------------------------------- */

static void test_reaches_ram_only(Fixture *f, gconstpointer data)
{
    static const struct {
        uint64_t gpa;
        uint32_t len;
    } bad[] = {
        { RIG_BAR_ADDR, 4 },           /* the device's own registers */
        { RIG_RAM, 1 },                /* nothing */
        { RIG_RAM - 1, 2 },            /* the end of RAM */
        { UINT64_MAX, 1 },
        { UINT64_MAX, 2 },             /* around to address 0 */
        { UINT64_MAX - 0xfff, 0x2000 },
        { UINT64_MAX - 0xffff, DMA_LINK_WINDOW },
    };
    unsigned messages = f->rig.remote.messages;
    DmaLinkPiece mixed[2] = { { RIG_BAR_ADDR, 4, 0 }, { 0x7000, 4, 0 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(dma(f, DMA_LINK_READ, bad[i].gpa, bad[i].len, 0), ==, DMA_LINK_NO_RAM);
        memset(f->window, 0x99, DMA_LINK_WINDOW);
        g_assert_cmpint(dma(f, DMA_LINK_WRITE, bad[i].gpa, bad[i].len, 0), ==, DMA_LINK_NO_RAM);
        g_assert_cmphex(*guest(f, 0), ==, 0);
    }
    g_assert_cmpint(dma_pieces(f, DMA_LINK_WRITE, mixed, 2), ==, DMA_LINK_NO_RAM);
    g_assert_cmphex(*guest(f, 0x7000), ==, 0x99); /* a piece stands for itself */
    g_assert_cmpuint(f->rig.remote.messages, ==, messages); /* no register was touched */
    g_assert_true(is_ready(&f->rig));
}

static void test_rom_is_not_written(Fixture *f, gconstpointer data)
{
    RamBlock *block = ram_block_new_memfd("rom", PAGE, true, NULL);
    MemoryRegion rom;

    memory_region_init_rom(&rom, NULL, "rom", block, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &rom, 0);
    memset(f->window, 0x99, PAGE);
    g_assert_cmpint(dma(f, DMA_LINK_WRITE, 0x80000000, PAGE, 0), ==, DMA_LINK_REFUSED);
    g_assert_cmphex(block->host[0], ==, 0);
    memory_region_destroy(&rom);
    ram_block_unref(block);
}

static void test_needs_bus_mastering(Fixture *f, gconstpointer data)
{
    memset(f->window, 0x77, PAGE);
    vcpu_config_write(&f->rig, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(dma(f, DMA_LINK_WRITE, 0, PAGE, 0), ==, DMA_LINK_NO_RAM);
    g_assert_cmphex(*guest(f, 0), ==, 0);
    vcpu_config_write(&f->rig, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    g_assert_cmpint(dma(f, DMA_LINK_WRITE, 0, PAGE, 0), ==, DMA_LINK_OK);
    g_assert_cmphex(*guest(f, 0), ==, 0x77);
    /* A reset takes the right away at once, before the remote has heard of it. */
    device_reset(DEVICE(f->rig.proxy));
    memset(guest(f, 0), 0, PAGE);
    g_assert_cmpint(dma(f, DMA_LINK_WRITE, 0, PAGE, 0), ==, DMA_LINK_NO_RAM);
    g_assert_cmphex(*guest(f, 0), ==, 0);
}

/* ---- hostile remotes ------------------------------------------------------------------------- */

typedef struct Raw {
    uint32_t serial, kind, count, pad;
    struct {
        uint64_t gpa;
        uint32_t len, offset;
    } pieces[17];
} Raw;

static const struct RawCase {
    const char *name;
    uint32_t kind, count, len, offset;
    int size; /* bytes sent; 0: what COUNT needs */
    const char *why; /* NULL: it is answered */
} raw_cases[] = {
    { "kind-1", 1, 1, 4, 0, 0, NULL },
    { "kind-2", 2, 1, 4, 0, 0, NULL },
    { "kind-0", 0, 1, 4, 0, 0, "neither a read nor a write" },
    { "kind-3", 3, 1, 4, 0, 0, "neither a read nor a write" },
    { "kind-high", 0x80000001, 1, 4, 0, 0, "neither a read nor a write" },
    { "no-piece", 1, 0, 4, 0, 0, "no piece, or too many" },
    { "16-pieces", 1, 16, 4, 0, 0, NULL },
    { "17-pieces", 1, 17, 4, 0, 0, "no piece, or too many" },
    { "2^32-1-pieces", 1, UINT32_MAX, 4, 0, 32, "no piece, or too many" },
    { "one-byte", 1, 1, 4, 0, 1, "too short" },
    { "half-a-header", 1, 1, 4, 0, 15, "too short" },
    { "header-alone", 1, 1, 4, 0, 16, "another size" },
    { "a-byte-less", 1, 2, 4, 0, 47, "another size" },
    { "a-byte-more", 1, 2, 4, 0, 49, "another size" },
    { "length-0", 1, 1, 0, 0, 0, "leaves the window" },
    { "length-window", 2, 1, DMA_LINK_WINDOW, 0, 0, NULL },
    { "length-window+1", 2, 1, DMA_LINK_WINDOW + 1, 0, 0, "leaves the window" },
    { "length-2^32-1", 2, 1, UINT32_MAX, 1, 0, "leaves the window" },
    { "end-of-the-window", 1, 1, 16, DMA_LINK_WINDOW - 16, 0, NULL },
    { "end-of-the-window+1", 1, 1, 16, DMA_LINK_WINDOW - 15, 0, "leaves the window" },
    { "offset-window", 1, 1, 1, DMA_LINK_WINDOW, 0, "leaves the window" },
    { "offset-2^32-1", 1, 1, 1, UINT32_MAX, 0, "leaves the window" },
};

static void test_raw(Fixture *f, gconstpointer data)
{
    const struct RawCase *c = data;
    Raw raw = { .kind = c->kind, .count = c->count };
    size_t size = c->size ? (size_t)c->size : 16 + 16 * c->count;
    uint8_t answer[16];

    for (unsigned i = 0; i < G_N_ELEMENTS(raw.pieces); i++) {
        raw.pieces[i].len = c->len;
        raw.pieces[i].offset = c->offset;
    }
    g_assert_cmpint(send(f->dma, &raw, size, MSG_NOSIGNAL), ==, (ssize_t)size);
    if (c->why) {
        g_assert_cmpint(recv(f->dma, answer, sizeof(answer), 0), ==, 0);
        assert_dead_for(f, c->why);
    } else {
        g_assert_cmpint(recv(f->dma, answer, sizeof(answer), 0), ==, 8);
        g_assert_true(is_ready(&f->rig));
    }
}

static void test_descriptors(Fixture *f, gconstpointer data)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    Raw raw = { .kind = 1, .count = 1, .pieces = { { 0, 4, 0 } } };
    struct iovec iov = { &raw, 32 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    unsigned fds = count_fds();

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &f->dma, sizeof(int));
    g_assert_cmpint(sendmsg(f->dma, &msg, MSG_NOSIGNAL), ==, 32);
    assert_dead_for(f, "brings descriptors");
    g_assert_cmpuint(count_fds(), <=, fds);
}

/* Asks and asks and reads no answer: costs its device, and nobody any memory or time. */
static void test_never_reading(Fixture *f, gconstpointer data)
{
    Raw raw = { .kind = DMA_LINK_READ, .count = 1, .pieces = { { 0, 1, 0 } } };
    uint64_t sent = 0;

    while (send(f->dma, &raw, 32, MSG_NOSIGNAL) == 32) {
        g_assert_cmpuint(++sent, <, 1000000);
    }
    g_assert_cmpuint(sent, >, 10);
    assert_dead_for(f, "does not read the answers");
}

/* Sends ahead but reads: each gets its answer, in order. */
static void test_sending_ahead(Fixture *f, gconstpointer data)
{
    Raw raw = { .kind = DMA_LINK_READ, .count = 1, .pieces = { { 0, 1, 0 } } };
    uint32_t answer[3];

    for (unsigned i = 0; i < 20; i++) {
        raw.serial = 100 + i;
        g_assert_cmpint(send(f->dma, &raw, 32, MSG_NOSIGNAL), ==, 32);
    }
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpint(recv(f->dma, answer, sizeof(answer), 0), ==, 8);
        g_assert_cmpuint(answer[0], ==, 100 + i);
        g_assert_cmpuint(answer[1], ==, DMA_LINK_OK);
    }
}

static void test_closes_the_dma_socket(Fixture *f, gconstpointer data)
{
    shutdown(f->dma, SHUT_RDWR);
    assert_dead_for(f, "closed");
}

/* ---- the end --------------------------------------------------------------------------------- */

typedef struct Hammer {
    Fixture *f;
    GThread *thread;
    bool stop; /* atomic */
    unsigned done;
    uint64_t at; /* a vCPU's own memory */
} Hammer;

/* Writes the window, which changes all the time, to the first MiB of guest RAM, until that fails. */
static gpointer hammer_thread(gpointer opaque)
{
    Hammer *h = opaque;
    DmaLinkRequest request = { .kind = DMA_LINK_WRITE, .count = DMA_LINK_PIECES_MAX };
    DmaLinkResult result;

    for (unsigned i = 0; i < DMA_LINK_PIECES_MAX; i++) {
        request.pieces[i] = (DmaLinkPiece) { i * 0x10000, 0x10000, i * 0x10000 };
    }
    do {
        memset(h->f->window, (int)(1 + request.serial++ % 255), DMA_LINK_WINDOW);
        __atomic_fetch_add(&h->done, 1, __ATOMIC_RELAXED);
    } while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE) &&
             dma_link_call(h->f->dma, &request, &result) == 0);
    return NULL;
}

static void hammer_start(Hammer *h, Fixture *f)
{
    *h = (Hammer) { .f = f };
    h->thread = g_thread_new("hammer", hammer_thread, h);
    while (__atomic_load_n(&h->done, __ATOMIC_RELAXED) < 3) {
        g_usleep(100);
    }
}

static void hammer_stop(Hammer *h)
{
    __atomic_store_n(&h->stop, true, __ATOMIC_RELEASE);
    g_thread_join(h->thread);
}

/* From now on nothing changes guest RAM. */
static void assert_still(Fixture *f)
{
    g_autofree uint8_t *before = g_memdup2(guest(f, 0), 1024 * 1024);

    g_usleep(20000);
    g_assert_cmpmem(guest(f, 0), 1024 * 1024, before, 1024 * 1024);
}

static void test_no_copy_after_death(Fixture *f, gconstpointer data)
{
    Hammer h;

    hammer_start(&h, f);
    pci_proxy_kill(f->rig.proxy, "the test says so");
    assert_still(f);
    hammer_stop(&h);
    assert_dead_for(f, "the test says so");
}

static void test_no_copy_after_unplug(Fixture *f, gconstpointer data)
{
    Hammer h;

    hammer_start(&h, f);
    rig_unplug(&f->rig);
    assert_still(f);
    hammer_stop(&h);
}

static void test_no_copy_after_reset(Fixture *f, gconstpointer data)
{
    Hammer h;

    hammer_start(&h, f);
    device_reset(DEVICE(f->rig.proxy));
    assert_still(f);
    hammer_stop(&h);
    g_assert_true(is_ready(&f->rig));
}

static void test_no_copy_after_bus_mastering(Fixture *f, gconstpointer data)
{
    Hammer h;

    hammer_start(&h, f);
    vcpu_config_write(&f->rig, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_still(f);
    hammer_stop(&h);
    g_assert_true(is_ready(&f->rig));
}

static void test_reattach(Fixture *f, gconstpointer data)
{
    GError *err = NULL;
    int old = fd_dup(f->dma);
    uint8_t byte;

    for (unsigned round = 0; round < 3; round++) {
        pci_proxy_kill(f->rig.proxy, "the test says so");
        rig_wait(&f->rig, rig_is_dead);
        g_assert_cmpint(recv(old, &byte, 1, 0), ==, 0);
        rig_renew_remote(&f->rig);
        fake_bar(&f->rig.remote, 0, 4096, 0);
        rig_try_reattach(&f->rig, &err);
        g_assert_no_error(err);
        rig_wait(&f->rig, is_ready);
        g_assert_cmpuint(f->rig.remote.log[0], ==, MPQEMU_CMD_SET_BOUNCE);
        take_window(f);
        memset(f->window, 0x50 + (int)round, PAGE);
        /* Bus mastering is as the guest has set it. */
        g_assert_cmpint(dma(f, DMA_LINK_WRITE, 0x9000, PAGE, 0), ==, DMA_LINK_OK);
        g_assert_cmphex(*guest(f, 0x9000), ==, 0x50 + round);
        /* The former remote's socket is none any more. */
        g_assert_cmpint(send(old, &byte, 1, MSG_NOSIGNAL), <, 0);
        fd_close(&old);
        old = fd_dup(f->dma);
    }
    fd_close(&old);
}

static void test_reattach_to_one_that_cannot(Fixture *f, gconstpointer data)
{
    GError *err = NULL;

    pci_proxy_kill(f->rig.proxy, "the test says so");
    rig_wait(&f->rig, rig_is_dead);
    rig_renew_remote(&f->rig);
    fake_bar(&f->rig.remote, 0, 4096, 0);
    rig_set_manner(&f->rig, FAKE_HANG_UP, UINT64_C(1) << MPQEMU_CMD_SET_BOUNCE);
    rig_try_reattach(&f->rig, &err);
    g_assert_no_error(err);
    assert_dead_for(f, "dma=map");
}

/* Nothing is left of a dead device's connection: neither the worker nor the DMA thread. */
static void test_death_frees_all(Fixture *f, gconstpointer data)
{
    shutdown(f->dma, SHUT_RDWR);
    assert_dead_for(f, "closed");
    rig_wait(&f->rig, rig_has_base_threads);
}

/* ---- many threads ---------------------------------------------------------------------------- */

static gpointer vcpu_thread(gpointer opaque)
{
    Hammer *h = opaque;
    uint64_t value;

    while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE)) {
        address_space_write(system_memory(), RIG_BAR_ADDR, 1, 4);
        address_space_read(system_memory(), RIG_BAR_ADDR, &value, 4);
        pci_config_write(PCI_DEVICE(h->f->rig.proxy), PCI_COMMAND,
                         PCI_COMMAND_MEMORY | (h->done++ % 8 ? PCI_COMMAND_MASTER : 0), 2);
        address_space_write(system_memory(), h->at + 8 * (h->done % 512), h->done, 8);
    }
    return NULL;
}

static void test_vcpus_and_dma(Fixture *f, gconstpointer data)
{
    Hammer vcpus[2], h;

    hammer_start(&h, f);
    for (unsigned i = 0; i < 2; i++) {
        vcpus[i] = (Hammer) { .f = f, .at = 0x800000 + PAGE * i };
        vcpus[i].thread = g_thread_new("vcpu", vcpu_thread, &vcpus[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        MemoryRegion extra;
        RamBlock *block = ram_block_new_memfd("extra", PAGE, true, NULL);

        memory_region_init_ram(&extra, NULL, "extra", block, 0, PAGE);
        memory_region_add(address_space_root(system_memory()), 0x80000000, &extra, 0);
        machine_unlock();
        g_usleep(5000);
        machine_lock();
        memory_region_destroy(&extra);
        ram_block_unref(block);
        while (event_loop_turn(event_loop_main(), false)) {
        }
    }
    pci_proxy_kill(f->rig.proxy, "the test says so");
    machine_unlock();
    for (unsigned i = 0; i < 2; i++) {
        hammer_stop(&vcpus[i]);
    }
    hammer_stop(&h);
    machine_lock();
    assert_dead_for(f, "the test says so");
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { pci_proxy_dev_get_type, memory_backend_memfd_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    rig_note_base_threads();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, fn) g_test_add("/proxy-bounce/" name, Fixture, NULL, setup, fn, teardown)
    ADD("remote-gets-no-guest-ram", test_greeting);
    g_test_add_func("/proxy-bounce/remote-that-cannot", test_remote_that_cannot);
    g_test_add_func("/proxy-bounce/hot-plug", test_hotplug);
    g_test_add_func("/proxy-bounce/private-guest-ram", test_private_guest_ram);
    ADD("copies", test_copies);
    ADD("dma-while-a-vcpu-waits", test_during_an_access);
    ADD("reaches-ram-only", test_reaches_ram_only);
    ADD("rom-is-not-written", test_rom_is_not_written);
    ADD("needs-bus-mastering", test_needs_bus_mastering);
    for (unsigned i = 0; i < G_N_ELEMENTS(raw_cases); i++) {
        g_autofree char *name = g_strdup_printf("/proxy-bounce/request/%s", raw_cases[i].name);

        g_test_add(name, Fixture, &raw_cases[i], setup, test_raw, teardown);
    }
    ADD("request/descriptors", test_descriptors);
    ADD("request/never-reads-its-answers", test_never_reading);
    ADD("request/sends-ahead", test_sending_ahead);
    ADD("request/closes-the-dma-socket", test_closes_the_dma_socket);
    ADD("no-copy-after/death", test_no_copy_after_death);
    ADD("no-copy-after/unplug", test_no_copy_after_unplug);
    ADD("no-copy-after/reset", test_no_copy_after_reset);
    ADD("no-copy-after/bus-mastering", test_no_copy_after_bus_mastering);
    ADD("reattach", test_reattach);
    ADD("reattach-to-one-that-cannot", test_reattach_to_one_that_cannot);
    ADD("death-frees-all", test_death_frees_all);
    ADD("two-vcpus-and-dma", test_vcpus_and_dma);
    return g_test_run();
}
