/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev: a small machine, and a remote that is honest or lies as told.
 *
 * Runs in: tests.  The test's thread is the main loop and holds the machine lock, but where it
 * plays a vCPU (vcpu_*()).  The remote is a thread of its own.
 */
#ifndef TESTS_PROXY_RIG_H
#define TESTS_PROXY_RIG_H

#include <pthread.h>
#include <glib.h>
#include "count-fds.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "io/mpqemu-link.h"

#define MIB (1024ull * 1024)
#define PAGE 4096u
#define SECOND_NS G_GINT64_CONSTANT(1000000000)
#define RIG_RAM (16 * MIB)

#define RIG_LINE 16        /* the line that carries INTA of the proxy */
#define RIG_BAR_ADDR 0xe0000000u /* where rig_map_bar() puts memory BAR 0, of 4 KiB */

/* How the remote answers. */
typedef enum FakeManner {
    FAKE_HONEST,
    FAKE_SILENT,       /* takes the message and says nothing, from then on */
    FAKE_HANG_UP,      /* closes instead of answering */
    FAKE_HALF_HEADER,  /* 8 bytes of the answer, then closes */
    FAKE_HALF_PAYLOAD, /* 20 bytes of the answer, then closes */
    FAKE_FAILED,       /* all ones */
    FAKE_GARBAGE,      /* bytes that are no message */
    FAKE_FLOOD,        /* answers without end, until the peer is gone */
} FakeManner;

#define FAKE_LOG_MAX 4096

typedef struct FakeRemote FakeRemote;

struct FakeRemote {
    pthread_mutex_t lock; /* everything below; the proxy's messages and the test meet here */
    pthread_cond_t changed;
    uint8_t config[4096];
    uint8_t wmask[4096];
    unsigned config_size;
    uint64_t bar_value;              /* last value written to a BAR; reads give it */
    unsigned resets;
    unsigned messages;               /* received so far */
    uint8_t log[FAKE_LOG_MAX];       /* their commands */
    MpqemuBarAccess last_bar;
    MpqemuSyncSysmem table;
    unsigned table_count;
    MpqemuSyncBounce bounce_table;
    int dma_fd, window_fd;           /* dma=bounce; -1: not given yet */
    int irq_fd, resample_fd;         /* -1: not given yet */
    bool ended;                      /* the link is closed */

    /* From message number `manner_from` on, for messages of the commands in the bit set. */
    FakeManner manner;
    unsigned manner_from;
    uint64_t manner_commands;
    /* Changes a config read's answer; NULL: none. */
    void (*tamper)(FakeRemote *remote, const MpqemuPciConf *conf, uint64_t *value);
    unsigned tamper_count;           /* for its own use */
    useconds_t delay_us;             /* before each answer */
    bool die_at_tail;                /* as QEMU does at a narrow access to the last 4 bytes */

    /* Private to the thread. */
    MpqemuLink *link;
    int stop_fd;
    GThread *thread;
};

typedef struct Rig {
    PciBus *bus;
    MemoryRegion ram;
    RamBlock *block;
    MemoryRegion pci_mem, pci_io;
    int line[32];         /* level of each INTx line */
    unsigned line_changes;
    FakeRemote remote;
    int proxy_fd;         /* our end until a proxy takes it */
    const char *dma;      /* the proxy's property, set before it is started; NULL: the default */
    PciProxyDev *proxy;
    bool added;
    GError *add_error;
    PciProxyState told;   /* by rig_watch(): the last change */
    char *reason;         /* and why; NULL: none was given */
    unsigned fds_before;
} Rig;

/* A machine with RAM_SIZE bytes at 0, and a remote with one function: 1234:5678, INTA, no BAR. */
void rig_init(Rig *rig);
void rig_cleanup(Rig *rig);

/* The same two as a fixture of g_test_add(). */
void rig_setup(Rig *rig, gconstpointer data);
void rig_teardown(Rig *rig, gconstpointer data);

/* Gives the function a BAR; REST: flag bits of the register. */
void fake_bar(FakeRemote *remote, unsigned index, uint64_t size, uint32_t flags);
void fake_rom(FakeRemote *remote, uint32_t size);

/* Starts the remote and realizes a proxy for it with time limit TIMEOUT_MS. */
bool rig_try_start(Rig *rig, unsigned timeout_ms, GError **errp);
void rig_start(Rig *rig); /* must succeed; 5 s */

/*
 * The same at run time: device_add_async().  When it has ended, rig->added is set, and rig->proxy or rig->add_error
 * (free it).
 */
void rig_hotplug(Rig *rig, unsigned timeout_ms);

/* Ends the remote; another one, as after rig_init(), takes its place, which is not started yet. */
void rig_renew_remote(Rig *rig);

/* Starts the remote and attaches the dead proxy to it. */
bool rig_try_reattach(Rig *rig, GError **errp);

/* Closes the remote's end, as the end of its process does. */
void rig_stop_remote(Rig *rig);

/* Unrealizes the proxy. */
void rig_unplug(Rig *rig);

/* The remote behaves by MANNER for COMMANDS (bits) from now on. */
void rig_set_manner(Rig *rig, FakeManner manner, uint64_t commands);

/* Turns the main loop until CONDITION(rig) holds; fails the test after 10 s. */
void rig_wait(Rig *rig, bool (*condition)(Rig *rig));

/* Keeps rig->told and rig->reason from now on. */
void rig_watch(Rig *rig);

/* Conditions: an attachment has ended, well or not, since rig->told was set to another state; */
bool rig_told_end(Rig *rig);

/* The device is dead. */
bool rig_is_dead(Rig *rig);

/* The remote has closed the link; no thread runs but those of rig_note_base_threads(). */
bool rig_remote_has_ended(Rig *rig);
bool rig_has_base_threads(Rig *rig);

/* Fails the test when TEXT is not in MESSAGE, which is noted in the log of the test. */
void rig_expect_text(const char *message, const char *text);

/* No device was left behind by a start that failed. */
void rig_expect_no_device(Rig *rig);

PciProxyStats rig_stats(Rig *rig);

/* Waits for the remote to have seen all that the proxy has posted: a config read. */
void rig_settle(Rig *rig);

/* Accesses as a vCPU makes them. */
uint32_t vcpu_config_read(Rig *rig, unsigned addr, unsigned size);
void vcpu_config_write(Rig *rig, unsigned addr, uint32_t value, unsigned size);
uint64_t vcpu_read(uint64_t addr, unsigned size);
void vcpu_write(uint64_t addr, uint64_t value, unsigned size);

/* Programs BAR 0 to RIG_BAR_ADDR and enables memory decoding. */
void rig_map_bar(Rig *rig);

unsigned rig_count_threads(void);

/* Notes how many threads the test itself and the sanitizers have; when no other runs. */
void rig_note_base_threads(void);

#endif
