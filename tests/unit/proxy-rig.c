/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev: a small machine, and a remote that is honest or lies as told.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define WAIT_NS (10 * G_GINT64_CONSTANT(1000000000))

static unsigned base_threads;

unsigned rig_count_threads(void)
{
    return count_entries("/proc/self/task");
}

static gpointer count_thread(gpointer opaque)
{
    return GUINT_TO_POINTER(rig_count_threads() - 1);
}

void rig_note_base_threads(void)
{
    /* With a thread, for a sanitizer may start its own with the first one. */
    base_threads = GPOINTER_TO_UINT(g_thread_join(g_thread_new("count", count_thread, NULL)));
}

bool rig_has_base_threads(Rig *rig)
{
    return rig_count_threads() == base_threads;
}

/* ---- the remote ------------------------------------------------------------------------------ */

static uint64_t fake_config_read(FakeRemote *r, const MpqemuPciConf *conf)
{
    uint64_t value = 0;

    if (conf->addr + conf->len > r->config_size) {
        return MPQEMU_RET_ERROR;
    }
    memcpy(&value, r->config + conf->addr, conf->len);
    if (r->tamper) {
        r->tamper(r, conf, &value);
    }
    return value;
}

static void fake_config_write(FakeRemote *r, const MpqemuPciConf *conf)
{
    for (unsigned i = 0; i < conf->len && conf->addr + i < r->config_size; i++) {
        uint8_t *byte = &r->config[conf->addr + i];
        uint8_t mask = r->wmask[conf->addr + i];

        *byte = (uint8_t)((*byte & ~mask) | ((conf->val >> (8 * i)) & mask));
    }
}

/* What a device would do and answer.  Lock. */
static uint64_t fake_serve(FakeRemote *r, MpqemuMsg *msg)
{
    switch (msg->cmd) {
    case MPQEMU_CMD_SYNC_SYSMEM:
        r->table = msg->sync;
        r->table_count = msg->num_fds;
        return 0;
    case MPQEMU_CMD_SET_IRQFD:
        fd_close(&r->irq_fd);
        fd_close(&r->resample_fd);
        r->irq_fd = mpqemu_msg_take_fd(msg, 0);
        r->resample_fd = mpqemu_msg_take_fd(msg, 1);
        return 0;
    case MPQEMU_CMD_SET_BOUNCE:
        fd_close(&r->dma_fd);
        fd_close(&r->window_fd);
        r->dma_fd = mpqemu_msg_take_fd(msg, 0);
        r->window_fd = mpqemu_msg_take_fd(msg, 1);
        return 0;
    case MPQEMU_CMD_SYNC_BOUNCE:
        r->bounce_table = msg->bounce;
        return 0;
    case MPQEMU_CMD_PCI_CFGREAD:
        return fake_config_read(r, &msg->conf);
    case MPQEMU_CMD_PCI_CFGWRITE:
        fake_config_write(r, &msg->conf);
        return 0;
    case MPQEMU_CMD_BAR_WRITE:
        r->bar_value = msg->bar.val;
        r->last_bar = msg->bar;
        return 0;
    case MPQEMU_CMD_BAR_READ:
        r->last_bar = msg->bar;
        return msg->bar.size == 8 ? r->bar_value
                                  : r->bar_value & ((UINT64_C(1) << (8 * msg->bar.size)) - 1);
    default:
        r->resets++;
        memset(r->config + PCI_COMMAND, 0, 2);
        memset(r->config + PCI_CACHE_LINE_SIZE, 0, 2);
        return 0;
    }
}

/* The first LEN bytes of an answer with VALUE, then the end. */
static void fake_part_of_reply(FakeRemote *r, uint64_t value, size_t len)
{
    uint8_t wire[24] = { MPQEMU_CMD_RET, [8] = 8 };

    memcpy(wire + 16, &value, sizeof(value));
    g_assert_cmpint(send(mpqemu_link_fd(r->link), wire, len, MSG_NOSIGNAL), ==, (ssize_t)len);
    mpqemu_link_close(r->link, "as told");
}

static void fake_garbage(FakeRemote *r, bool without_end)
{
    uint8_t bytes[256];

    do {
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = without_end ? (i % 24 == 0 ? MPQEMU_CMD_RET : i % 24 == 8 ? 8 : 0) : g_random_int();
        }
    } while (send(mpqemu_link_fd(r->link), bytes, without_end ? 240 : 256, MSG_NOSIGNAL) > 0 && without_end);
}

static bool fake_dies_of(const FakeRemote *r, const MpqemuMsg *msg)
{
    return r->die_at_tail &&
           (msg->cmd == MPQEMU_CMD_PCI_CFGREAD || msg->cmd == MPQEMU_CMD_PCI_CFGWRITE) &&
           msg->conf.addr + 4 > r->config_size;
}

static bool fake_has_reply(MpqemuCmd cmd)
{
    return cmd != MPQEMU_CMD_SYNC_SYSMEM && cmd != MPQEMU_CMD_SET_IRQFD && cmd != MPQEMU_CMD_SYNC_BOUNCE;
}

static void fake_handle(FakeRemote *r, MpqemuMsg *msg)
{
    FakeManner manner;
    uint64_t value;
    useconds_t delay;

    pthread_mutex_lock(&r->lock);
    manner = r->messages >= r->manner_from && (r->manner_commands & UINT64_C(1) << msg->cmd) ? r->manner
                                                                                   : FAKE_HONEST;
    if (fake_dies_of(r, msg)) {
        manner = FAKE_HANG_UP;
    }
    r->log[MIN(r->messages, FAKE_LOG_MAX - 1)] = msg->cmd;
    value = fake_serve(r, msg);
    r->messages++;
    delay = r->delay_us;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (delay) {
        g_usleep(delay);
    }

    switch (manner) {
    case FAKE_SILENT:
        return;
    case FAKE_HANG_UP:
        mpqemu_link_close(r->link, "as told");
        return;
    case FAKE_HALF_HEADER:
        fake_part_of_reply(r, value, 8);
        return;
    case FAKE_HALF_PAYLOAD:
        fake_part_of_reply(r, value, 20);
        return;
    case FAKE_GARBAGE:
    case FAKE_FLOOD:
        fake_garbage(r, manner == FAKE_FLOOD);
        return;
    case FAKE_FAILED:
        value = MPQEMU_RET_ERROR;
        break;
    default:
        break;
    }
    if (fake_has_reply(msg->cmd)) {
        mpqemu_link_reply(r->link, msg->cmd, value);
    }
}

static gpointer fake_thread(gpointer opaque)
{
    FakeRemote *r = opaque;

    while (mpqemu_link_state(r->link) == MPQEMU_LINK_OPEN) {
        struct pollfd fds[2] = {
            { .fd = mpqemu_link_fd(r->link), .events = POLLIN },
            { .fd = r->stop_fd, .events = POLLIN },
        };
        MpqemuMsg msg;
        bool error;

        g_assert_cmpint(poll(fds, 2, -1), >, 0);
        if (fds[1].revents) {
            break;
        }
        while (mpqemu_link_receive(r->link, &msg, &error) == 1) {
            g_assert_false(error);
            fake_handle(r, &msg);
            mpqemu_msg_clear(&msg);
        }
    }
    mpqemu_link_close(r->link, "end");
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void fake_init(FakeRemote *r, int fd)
{
    *r = (FakeRemote) { .config_size = 256, .irq_fd = -1, .resample_fd = -1, .dma_fd = -1, .window_fd = -1 };
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    pci_set_word(r->config + PCI_VENDOR_ID, 0x1234);
    pci_set_word(r->config + PCI_DEVICE_ID, 0x5678);
    pci_set_long(r->config + PCI_CLASS_REVISION, 0x01000200 | 7);
    pci_set_word(r->config + PCI_SUBSYSTEM_VENDOR_ID, 0xabcd);
    pci_set_word(r->config + PCI_SUBSYSTEM_ID, 0xef01);
    r->config[PCI_INTERRUPT_PIN] = 1;
    pci_set_word(r->wmask + PCI_COMMAND, 0x0407);
    r->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    r->wmask[PCI_INTERRUPT_LINE] = 0xff;
    r->stop_fd = eventfd(0, EFD_CLOEXEC);
    r->link = mpqemu_link_new_take_fd(fd, MPQEMU_ROLE_SERVER, "fake", NULL);
    g_assert_nonnull(r->link);
}

static void fake_cleanup(FakeRemote *r)
{
    uint64_t one = 1;

    if (r->thread) {
        g_assert_cmpint(write(r->stop_fd, &one, sizeof(one)), ==, sizeof(one));
        g_thread_join(r->thread);
    }
    mpqemu_link_free(r->link);
    fd_close(&r->stop_fd);
    fd_close(&r->irq_fd);
    fd_close(&r->resample_fd);
    fd_close(&r->dma_fd);
    fd_close(&r->window_fd);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
}

void fake_bar(FakeRemote *remote, unsigned index, uint64_t size, uint32_t flags)
{
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * index;
    uint64_t mask = ~(size - 1);

    pci_set_long(remote->config + reg, flags);
    pci_set_long(remote->wmask + reg, (uint32_t)mask);
    if ((flags & 7) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        pci_set_long(remote->wmask + reg + 4, (uint32_t)(mask >> 32));
    }
}

void fake_rom(FakeRemote *remote, uint32_t size)
{
    pci_set_long(remote->wmask + PCI_ROM_ADDRESS, ~(size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static unsigned rig_map_irq(PciDevice *dev, unsigned pin)
{
    return 16 + pin;
}

static void rig_set_line(void *opaque, int line, int level)
{
    Rig *rig = opaque;

    rig->line[line] = level;
    rig->line_changes++;
}

/* Our end is inherited, as far as the proxy can see: not close-on-exec. */
static void rig_make_remote(Rig *rig)
{
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    rig->proxy_fd = pair[0];
    fake_init(&rig->remote, pair[1]);
}

void rig_init(Rig *rig)
{
    MemoryRegion *memory = address_space_root(system_memory());
    MemoryRegion *io = address_space_root(system_io());

    event_loop_main();
    memset(rig, 0, sizeof(*rig));
    rig->fds_before = count_fds();
    rig->block = ram_block_new_memfd("ram", RIG_RAM, true, NULL);
    g_assert_nonnull(rig->block);
    memory_region_init_ram(&rig->ram, NULL, "ram", rig->block, 0, RIG_RAM);
    memory_region_add(memory, 0, &rig->ram, 0);
    memory_region_init(&rig->pci_mem, NULL, "pci", MEMORY_SIZE_WHOLE);
    memory_region_add(memory, 0, &rig->pci_mem, -1);
    memory_region_init(&rig->pci_io, NULL, "pci-io", 65536);
    memory_region_add(io, 0, &rig->pci_io, -1);
    rig->bus = pci_root_bus_new("pci.0", &rig->pci_mem, &rig->pci_io, system_memory(), 8);
    pci_bus_set_irqs(rig->bus, rig_map_irq, rig_set_line, rig, 32);
    rig_make_remote(rig);
}

void rig_cleanup(Rig *rig)
{
    if (rig->proxy) {
        rig_unplug(rig);
    }
    fd_close(&rig->proxy_fd);
    fake_cleanup(&rig->remote);
    bus_free(BUS(rig->bus));
    memory_region_destroy(&rig->pci_mem);
    memory_region_destroy(&rig->pci_io);
    memory_region_destroy(&rig->ram);
    ram_block_unref(rig->block);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_clear_pointer(&rig->reason, g_free);
    g_clear_error(&rig->add_error);
    g_assert_cmpuint(count_fds(), ==, rig->fds_before);
}

void rig_setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
}

void rig_teardown(Rig *rig, gconstpointer data)
{
    rig_cleanup(rig);
}

static void proxy_changed(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason, void *opaque)
{
    Rig *rig = opaque;

    rig->told = to;
    g_free(rig->reason);
    rig->reason = g_strdup(reason);
}

void rig_watch(Rig *rig)
{
    pci_proxy_set_notify(rig->proxy, proxy_changed, rig);
}

bool rig_told_end(Rig *rig)
{
    return rig->told == PCI_PROXY_READY || rig->told == PCI_PROXY_DEAD;
}

static void rig_start_remote(Rig *rig)
{
    rig->remote.thread = g_thread_new("fake-remote", fake_thread, &rig->remote);
}

static Options *rig_options(Rig *rig, unsigned timeout_ms)
{
    Options *opts = options_new("-device");
    g_autofree char *fd_text = g_strdup_printf("%d", fd_steal(&rig->proxy_fd));
    g_autofree char *timeout_text = g_strdup_printf("%u", timeout_ms);

    options_set(opts, "driver", "pci-proxy-dev");
    options_set(opts, "id", "p0");
    options_set(opts, "fd", fd_text);
    options_set(opts, "timeout", timeout_text);
    if (rig->dma) {
        options_set(opts, "dma", rig->dma);
    }
    return opts;
}

bool rig_try_start(Rig *rig, unsigned timeout_ms, GError **errp)
{
    g_autoptr(Options) opts = rig_options(rig, timeout_ms);

    rig_start_remote(rig);
    rig->proxy = (PciProxyDev *)device_add(opts, errp);
    return rig->proxy != NULL;
}

void rig_start(Rig *rig)
{
    GError *error = NULL;

    rig_try_start(rig, 5000, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
}

static void rig_added(Device *dev, const GError *err, void *opaque)
{
    Rig *rig = opaque;

    g_assert_false(rig->added);
    rig->added = true;
    rig->proxy = (PciProxyDev *)dev;
    rig->add_error = err ? g_error_copy(err) : NULL;
}

void rig_hotplug(Rig *rig, unsigned timeout_ms)
{
    g_autoptr(Options) opts = rig_options(rig, timeout_ms);

    rig_start_remote(rig);
    device_add_async(opts, rig_added, rig);
}

void rig_renew_remote(Rig *rig)
{
    fd_close(&rig->proxy_fd);
    fake_cleanup(&rig->remote);
    rig_make_remote(rig);
}

bool rig_try_reattach(Rig *rig, GError **errp)
{
    rig_start_remote(rig);
    return pci_proxy_reattach_take_fd(rig->proxy, fd_steal(&rig->proxy_fd), errp);
}

void rig_stop_remote(Rig *rig)
{
    uint64_t one = 1;

    g_assert_cmpint(write(rig->remote.stop_fd, &one, sizeof(one)), ==, sizeof(one));
}

void rig_unplug(Rig *rig)
{
    device_unrealize(DEVICE(rig->proxy));
    rig->proxy = NULL;
}

void rig_set_manner(Rig *rig, FakeManner manner, uint64_t commands)
{
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.manner = manner;
    rig->remote.manner_commands = commands;
    rig->remote.manner_from = 0;
    pthread_mutex_unlock(&rig->remote.lock);
}

void rig_wait(Rig *rig, bool (*condition)(Rig *rig))
{
    int64_t deadline = event_clock_ns(EVENT_CLOCK_REAL) + WAIT_NS;

    for (;;) {
        bool done;

        while (event_loop_turn(event_loop_main(), false)) {
        }
        pthread_mutex_lock(&rig->remote.lock);
        done = condition(rig);
        pthread_mutex_unlock(&rig->remote.lock);
        if (done) {
            return;
        }
        g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL), <, deadline);
        machine_unlock();
        g_usleep(200);
        machine_lock();
    }
}

bool rig_remote_has_ended(Rig *rig)
{
    return rig->remote.ended;
}

void rig_expect_text(const char *message, const char *text)
{
    g_test_message("%s", message);
    if (strstr(message, text) == NULL) {
        g_error("no '%s' in: %s", text, message);
    }
}

void rig_expect_no_device(Rig *rig)
{
    g_assert_null(device_find("p0"));
    g_assert_null(pci_bus_device(rig->bus, 8));
}

PciProxyStats rig_stats(Rig *rig)
{
    PciProxyStats s;

    pci_proxy_stats(rig->proxy, &s);
    return s;
}

bool rig_is_dead(Rig *rig)
{
    return pci_proxy_state(rig->proxy) == PCI_PROXY_DEAD;
}

void rig_settle(Rig *rig)
{
    vcpu_config_read(rig, PCI_VENDOR_ID, 2);
}

/* ---- a vCPU ---------------------------------------------------------------------------------- */

uint32_t vcpu_config_read(Rig *rig, unsigned addr, unsigned size)
{
    uint32_t value;

    machine_unlock();
    pci_config_read(PCI_DEVICE(rig->proxy), addr, &value, size);
    machine_lock();
    return value;
}

void vcpu_config_write(Rig *rig, unsigned addr, uint32_t value, unsigned size)
{
    machine_unlock();
    pci_config_write(PCI_DEVICE(rig->proxy), addr, value, size);
    machine_lock();
}

uint64_t vcpu_read(uint64_t addr, unsigned size)
{
    uint64_t value;

    machine_unlock();
    address_space_read(system_memory(), addr, &value, size);
    machine_lock();
    return value;
}

void vcpu_write(uint64_t addr, uint64_t value, unsigned size)
{
    machine_unlock();
    address_space_write(system_memory(), addr, value, size);
    machine_lock();
}

void rig_map_bar(Rig *rig)
{
    vcpu_config_write(rig, PCI_BASE_ADDRESS_0, RIG_BAR_ADDR, 4);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}
