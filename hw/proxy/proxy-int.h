/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: what its source files share.  The manual, with the lock order, is
 * include/hw/proxy/pci-proxy-dev.h.
 *
 * Runs in: mpqemu.
 */
#ifndef HW_PROXY_PROXY_INT_H
#define HW_PROXY_PROXY_INT_H

#include <pthread.h>

#include "hw/intc/gsi.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "io/mpqemu-link.h"
#include "util/event-loop.h"

/* Work that one thread leaves for another (PciProxyDev.pending). */
enum {
    PROXY_WORK_SYNC = 1 << 0,     /* `table` is newer than `sent` */
    PROXY_WORK_RESET = 1 << 1,    /* the machine was reset */
    PROXY_WORK_HANGUP = 1 << 2,   /* the peer has closed its end */
    PROXY_WORK_RESAMPLE = 1 << 3, /* the guest ended an interrupt; the worker's, not the link's */
    PROXY_WORK_QUIT = 1 << 4,     /* the device goes away; the worker's */

    PROXY_WORK_OF_LINK = PROXY_WORK_SYNC | PROXY_WORK_RESET | PROXY_WORK_HANGUP,
};

/* A piece of guest RAM that a remote can map; holds a reference on `block`. */
typedef struct ProxyMemRange {
    uint64_t gpa;
    uint64_t size;
    uint64_t fd_offset;
    RamBlock *block;
} ProxyMemRange;

typedef struct ProxyMemTable {
    unsigned count;    /* ranges in use: 0 when there are more than the message can carry */
    unsigned overflow; /* how many there would be, when that is more than MPQEMU_FDS_MAX; else 0 */
    ProxyMemRange ranges[MPQEMU_FDS_MAX];
} ProxyMemTable;

/* The opaque of a BAR's region. */
typedef struct ProxyBar {
    PciProxyDev *proxy;
    MemoryRegion mr;
    uint64_t addr; /* atomic: where the guest mapped it, or PCI_BAR_UNMAPPED */
    bool io;
    bool present;
} ProxyBar;

struct PciProxyDev {
    PciDevice pci;

    /* Properties: constant once realized. */
    char *fd_text;
    uint32_t timeout_ms;

    const char *name; /* for messages: the id, or the type's name */

    /* Locks are pthread's: ThreadSanitizer does not see GLib's. */
    pthread_mutex_t link_lock;
    /* Link lock. */
    MpqemuLink *link;
    ProxyMemTable sent;     /* what the remote knows */
    bool overflow_told;     /* "too many ranges" was logged and still holds */
    int64_t start_deadline; /* STARTING: the end of the whole start-up, on EVENT_CLOCK_REAL */

    pthread_mutex_t pending_lock;
    pthread_cond_t pending_cond;     /* `pending` got work, or the worker ended */
    /* Pending lock. */
    unsigned pending;       /* PROXY_WORK_* */
    ProxyMemTable table;    /* the newest */
    uint64_t resets_asked;  /* counts PROXY_WORK_RESET postings */
    bool worker_running;

    /* Machine lock. */
    MemoryListener listener;
    bool irq_raised;
    bool irq_muted;         /* the event source ignores the eventfd until the line is lowered */
    EventSource *irq_source;
    EventSource *hangup_source;
    EventBh *irq_bh;        /* main loop: interrupt work asked for by other threads */
    GsiNotifier eoi;
    bool gone;              /* unrealized: the local copy of the config space is no more */

    GThread *worker;        /* NULL outside of READY and DEAD; realize and unrealize */
    /* Constant from realize to finalize. */
    int irq_fd;
    int resample_fd;
    int hangup_fd;          /* a duplicate of the link's socket: any thread may shut it down */

    /* Atomic. */
    int state;              /* PciProxyState; changed by proxy_set_state() alone */
    bool irq_resync;        /* irq_bh: the remote was reset; lower the line and ask again */
    PciProxyStats stats;

    ProxyBar bars[PCI_NUM_REGIONS];
};

#define PROXY_COUNT(proxy, field) __atomic_fetch_add(&(proxy)->stats.field, 1, __ATOMIC_RELAXED)

/*
 * Where a function below says "link lock", realize calls it without: no other thread knows the
 * device yet.
 *
 * ---- state.c ---------------------------------------------------------------------------------
 */

/* Leaves WORK (PROXY_WORK_*) for the worker and the link's next user.  Any thread. */
void proxy_post(PciProxyDev *proxy, unsigned work);

/*
 * Does the pending work of the link.  Link lock.  Returns a ticket that tells whether a reset was
 * asked for since (proxy_ticket_valid()).
 */
uint64_t proxy_do_pending(PciProxyDev *proxy);

/* Takes the link lock, then as above. */
uint64_t proxy_link_begin(PciProxyDev *proxy);
void proxy_link_end(PciProxyDev *proxy);

/* No reset was asked for since proxy_link_begin() gave TICKET.  Machine lock. */
bool proxy_ticket_valid(PciProxyDev *proxy, uint64_t ticket);

/*
 * One exchange.  Link lock.  False: the proxy is (now) DEAD.  True: *ret_value is the reply's
 * value, which may be MPQEMU_RET_ERROR.
 */
bool proxy_call(PciProxyDev *proxy, const MpqemuMsg *msg, uint64_t *ret_value);

/* Sends a message without a reply.  Link lock. */
bool proxy_send(PciProxyDev *proxy, const MpqemuMsg *msg);

/* Config space by a bare exchange.  Link lock.  False: DEAD, or the remote answered "failed". */
bool proxy_config_call(PciProxyDev *proxy, MpqemuCmd cmd, unsigned addr, unsigned len, uint32_t val,
                       uint32_t *ret_value);

/* Why the link ended; link lock. */
const char *proxy_dead_reason(PciProxyDev *proxy);

/* STARTING to READY, and the worker thread; *errp when there can be no thread. */
bool proxy_start_worker(PciProxyDev *proxy, GError **errp);

/*
 * Ends the worker and makes the proxy DEAD.  Machine lock, which is dropped for the wait.  False:
 * the peer holds the thread, which must keep the object and its eventfds.
 */
bool proxy_stop_worker(PciProxyDev *proxy);

/* ---- sync.c ---------------------------------------------------------------------------------- */

/* Registers the listener, which posts the first table.  Fails when guest RAM cannot be shared. */
bool proxy_sync_start(PciProxyDev *proxy, GError **errp);
void proxy_sync_stop(PciProxyDev *proxy);

/* Sends TABLE, which it takes, when it differs from what was sent last.  Link lock. */
void proxy_sync_send(PciProxyDev *proxy, ProxyMemTable *table);

void proxy_table_clear(ProxyMemTable *table);

/* ---- irq.c ----------------------------------------------------------------------------------- */

/* Makes the eventfds and sends them.  Link lock. */
bool proxy_irq_create(PciProxyDev *proxy, GError **errp);

/* Connects them with the function's INTx pin, known by now; nothing for a function without. */
bool proxy_irq_connect(PciProxyDev *proxy, GError **errp);

/* Lowers the line and disconnects; nothing when not connected. */
void proxy_irq_disconnect(PciProxyDev *proxy);
void proxy_irq_destroy(PciProxyDev *proxy);

/* Asks the main loop to look at state and irq_resync.  Any thread. */
void proxy_irq_kick(PciProxyDev *proxy);

/* Worker: tells the remote of the guest's end of interrupt. */
void proxy_irq_signal_resample(PciProxyDev *proxy);

/* ---- probe.c --------------------------------------------------------------------------------- */

/* What a remote reports about its function, checked. */
typedef struct ProxyShape {
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint8_t revision;
    uint32_t class_code;   /* 24 bits */
    uint8_t interrupt_pin; /* 0 to 4 */
    bool express;          /* 4096 bytes of config space */
    struct {
        uint64_t size; /* 0: none */
        uint8_t type;  /* PCI_BASE_ADDRESS_* */
    } bars[PCI_NUM_REGIONS];
} ProxyShape;

/* Asks the remote.  Link lock.  Fails on a dead link and on what no PCI function can be. */
bool proxy_probe(PciProxyDev *proxy, ProxyShape *ret_shape, GError **errp);

/* ---- access.c -------------------------------------------------------------------------------- */

uint32_t proxy_config_read(PciDevice *dev, unsigned addr, unsigned size);
void proxy_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size);

/* Makes the BARs of SHAPE; proxy_bars_destroy() undoes it. */
void proxy_bars_create(PciProxyDev *proxy, const ProxyShape *shape);
void proxy_bars_destroy(PciProxyDev *proxy);

/* Publishes where the BARs are mapped to the access path.  Machine lock. */
void proxy_bars_update(PciProxyDev *proxy);

#endif
