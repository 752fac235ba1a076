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
#include "system/reset.h"
#include "util/event-loop.h"

/* Work that a thread that must not wait leaves for whoever uses the link next (PciProxyDev.pending). */
enum {
    PROXY_WORK_SYNC = 1 << 0,  /* `table` is newer than what was sent */
    PROXY_WORK_RESET = 1 << 1, /* the machine was reset */
};

/* Work of one connection's worker (ProxyConn.work). */
enum {
    PROXY_CONN_RESAMPLE = 1 << 0, /* the guest ended an interrupt */
    PROXY_CONN_END = 1 << 1,      /* the connection is over */
};

/* Sets of states, for proxy_change_state(). */
enum {
    PROXY_IN_STARTING = 1 << PCI_PROXY_STARTING,
    PROXY_IN_READY = 1 << PCI_PROXY_READY,
    PROXY_IN_SUSPECT = 1 << PCI_PROXY_SUSPECT,
    PROXY_IN_DEAD = 1 << PCI_PROXY_DEAD,
    PROXY_IN_REATTACHING = 1 << PCI_PROXY_REATTACHING,

    PROXY_IN_LIVE = PROXY_IN_READY | PROXY_IN_SUSPECT, /* accesses are forwarded */
};

/* PciProxyDev.dma */
enum {
    PROXY_DMA_MAP,    /* the remote maps guest RAM */
    PROXY_DMA_BOUNCE, /* it asks for copies */
};

typedef struct ProxyBounce ProxyBounce;

/* A piece of guest RAM that a remote can reach; holds a reference on `block`. */
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

/* What a remote reports about its function, checked.  Compared bytewise: padding is zeroed. */
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

/*
 * What belongs to one socket: the link and its eventfds, and the thread that serves them.  A re-attachment makes a new
 * one beside the old one.
 *
 * The main loop makes and frees it.  Until it is attached (`attached`), one thread alone uses the link: the worker,
 * or realize at start-up.  From then on it is PciProxyDev.conn, used with the link lock.  It ends by
 * proxy_conn_end(): then its worker takes it out of PciProxyDev.conn, so that nobody can be inside, and ends; then
 * the main loop frees it.
 */
typedef struct ProxyConn {
    PciProxyDev *proxy;

    /* The link lock once attached, before that the thread that attaches. */
    MpqemuLink *link;
    ProxyMemTable sent;     /* what the remote knows */
    bool overflow_told;     /* "too many ranges" was logged and still holds */
    bool attached;          /* the end of the link is the end of the device */
    int64_t deadline;       /* until attached: end of all exchanges, on EVENT_CLOCK_REAL */
    uint64_t bytes_counted; /* of the link's bytes, those in PciProxyStats */

    /* Constant. */
    int shutdown_fd;        /* a duplicate of the link's socket: any thread may shut it down */
    int irq_fd;
    int resample_fd;
    ProxyBounce *bounce;    /* NULL: dma=map */
    bool (*attach)(struct ProxyConn *conn); /* the worker's first work; false: it failed, and told; NULL: none */

    /* Machine lock. */
    EventSource *irq_source;
    EventSource *hangup_source;
    unsigned irq_empty;     /* wake-ups of irq_source in a row that found nothing */
    bool irq_muted;         /* irq_source ignores the eventfd until the line is lowered */
    int irqfd_gsi;          /* the interrupt controllers are to take the eventfds for this one; -1: we read them */
    unsigned irqfd_input;   /* they have them, for this input; */
    bool irqfd_added;       /* if at all */
    GThread *worker;        /* NULL: was not started */

    /* Pending lock. */
    unsigned work;          /* PROXY_CONN_* */
    bool worker_running;
} ProxyConn;

/* Connections at a time: one in use or being attached, others only while a hostile peer holds their worker. */
#define PROXY_CONNS_MAX 8

struct PciProxyDev {
    PciDevice pci;

    /* Properties: constant once realized. */
    char *fd_text;
    uint32_t timeout_ms;
    int dma;                /* PROXY_DMA_* */

    /* Constant. */
    const char *name;       /* for messages: the id, or the type's name */
    ProxyShape shape;       /* from realize on: what the guest knows */

    /* Locks are pthread's: ThreadSanitizer does not see GLib's. */
    pthread_mutex_t link_lock;
    /* Link lock and machine lock to change, but in realize, which has the machine lock alone; either to read. */
    ProxyConn *conn;        /* not NULL while READY or SUSPECT */

    pthread_mutex_t pending_lock;
    pthread_cond_t pending_cond; /* there is work for a worker, or one has ended */
    /* Pending lock. */
    int state;              /* PciProxyState; read by any thread (atomic), changed by proxy_change_state() alone */
    uint64_t changes;       /* of the state */
    char *reason;           /* of the last DEAD */
    unsigned pending;       /* PROXY_WORK_*; taken while READY or SUSPECT, with the link lock */
    ProxyMemTable table;    /* the newest */
    uint64_t resets_asked;  /* counts PROXY_WORK_RESET postings */
    uint64_t resets_done;   /* the remote has answered those up to this one */
    EventBh *bh;            /* main loop: looks at all that changed; NULL: nothing left to do */

    /* Machine lock. */
    MemoryListener listener;
    GSList *conns;          /* ProxyConn *: all there are, owned; the main loop alone, with the lock or without */
    ProxyConn *next;        /* the one being attached: STARTING and REATTACHING; else NULL */
    bool irq_raised;
    GsiNotifier gsi;
    ResetBarrier barrier;
    uint64_t barrier_ticket; /* resets_done that the machine's reset waits for */
    EventTimer *barrier_limit; /* armed while it may wait */
    PciProxyRetired *retired; /* to be told of the end of pci_proxy_retire(); NULL: it was not asked for, or is over */
    void *retired_opaque;
    uint64_t retire_ticket;   /* resets_done that it waits for */
    EventTimer *retire_limit; /* NULL: it was not asked for */
    DevicePrepare *prepare; /* to be told of the end of the preparation; NULL: not preparing */
    GError *prepare_error;
    bool prepare_over;
    PciProxyNotify *notify;
    void *notify_opaque;
    PciProxyState told;     /* the state told last */
    uint64_t changes_told;

    /* Atomic. */
    bool irq_resync;        /* the remote was reset: lower the line and ask again */
    bool retiring;          /* the device is about to be removed: the guest's accesses are dropped */
    PciProxyStats stats;

    ProxyBar bars[PCI_NUM_REGIONS];
};

#define PROXY_COUNT_BY(proxy, field, n) __atomic_fetch_add(&(proxy)->stats.field, n, __ATOMIC_RELAXED)
#define PROXY_COUNT(proxy, field) PROXY_COUNT_BY(proxy, field, 1)

/* ---- state.c --------------------------------------------------------------------------------- */

/*
 * The only place that changes the state: to TO, when it is one of FROM (PROXY_IN_*) now.  False: it was not.
 * REASON (copied): why it becomes DEAD.  Any thread.
 */
bool proxy_change_state(PciProxyDev *proxy, unsigned from, PciProxyState to, const char *reason);

/* READY or SUSPECT now.  Any thread; stays so only with the locks that keep others from changing it. */
static inline bool proxy_is_live(PciProxyDev *proxy)
{
    return PROXY_IN_LIVE >> __atomic_load_n(&proxy->state, __ATOMIC_ACQUIRE) & 1;
}

/* The link of CONN has ended (it is attached): the device is DEAD for REASON unless it was already.  Link lock. */
void proxy_fail(ProxyConn *conn, const char *reason);

/* Main loop: the peer of the connection in use, or being attached, has closed its end. */
void proxy_hung_up(PciProxyDev *proxy);
/* The device is lost for REASON, which is logged: pci_proxy_kill() by ourselves.  Main loop, machine lock. */
void proxy_give_up(PciProxyDev *proxy, const char *reason);

/* Main loop: makes proxy_kick() work.  proxy_bh_free() ends that. */
void proxy_bh_create(PciProxyDev *proxy);
void proxy_bh_free(PciProxyDev *proxy);

/* Makes the main loop look at state, interrupts, connections and preparation.  Any thread. */
void proxy_kick(PciProxyDev *proxy);

/* ---- pending.c ------------------------------------------------------------------------------- */

/* Leaves WORK (PROXY_WORK_*) for the next user of the link, or the worker.  Any thread. */
void proxy_post(PciProxyDev *proxy, unsigned work);

/*
 * Takes the link lock and does the pending work.  Returns a ticket that tells whether a reset was asked for since
 * (proxy_ticket_valid()).
 */
uint64_t proxy_link_begin(PciProxyDev *proxy);
void proxy_link_end(PciProxyDev *proxy);

/* No reset was asked for since proxy_link_begin() gave TICKET.  Machine lock. */
bool proxy_ticket_valid(PciProxyDev *proxy, uint64_t ticket);

/* A reset of the remote, posted; returns what proxy_reset_is_over() is to be asked with.  Any thread. */
uint64_t proxy_post_reset(PciProxyDev *proxy);

/*
 * The reset of TICKET has been answered, or the device is dead and its owner knows; *ret_answered tells which.  Machine
 * lock.
 */
bool proxy_reset_is_over(PciProxyDev *proxy, uint64_t ticket, bool *ret_answered);

/* Machine lock: the machine's reset waits for the remote's transfers, from now on; until _remove(). */
void proxy_barrier_add(PciProxyDev *proxy);
void proxy_barrier_remove(PciProxyDev *proxy);

/*
 * One exchange on the connection in use, for the guest.  Link lock.  False: the device is not READY or SUSPECT (any
 * more), or about to be removed.  True: *ret_value is the reply's value, which may be MPQEMU_RET_ERROR.
 */
bool proxy_call(PciProxyDev *proxy, const MpqemuMsg *msg, uint64_t *ret_value);

/* ---- retire.c -------------------------------------------------------------------------------- */

/* Main loop: tells of the end of pci_proxy_retire() when it has come. */
void proxy_retire_update(PciProxyDev *proxy);

/* The device goes, whatever its remote does: tells of the end, too. */
void proxy_retire_end(PciProxyDev *proxy);

/* DeviceClass.retire, for a proxy whose removal is nobody else's affair. */
bool proxy_retire(Device *dev);

/* An access of the guest must not reach the remote any more.  Any thread; surely so with the link lock. */
static inline bool proxy_is_retiring(PciProxyDev *proxy)
{
    return __atomic_load_n(&proxy->retiring, __ATOMIC_ACQUIRE);
}

/* ---- conn.c ---------------------------------------------------------------------------------- */

/* A connection on socket FD, which is taken, on failure too; with eventfds, without a worker.  Machine lock. */
ProxyConn *proxy_conn_new_take_fd(PciProxyDev *proxy, int fd, GError **errp);

/* Starts the worker: first ATTACH, when given; then, unless that failed, it serves.  Machine lock. */
bool proxy_conn_start_worker(ProxyConn *conn, bool (*attach)(ProxyConn *conn), GError **errp);

/* Ends CONN at once: the peer sees the end of the link, whoever waits for the peer wakes.  Any thread. */
void proxy_conn_end(ProxyConn *conn);

/* Leaves WORK (PROXY_CONN_*) for CONN's worker. */
void proxy_conn_post(ProxyConn *conn, unsigned work);

/* Main loop: frees what has ended. */
void proxy_conns_reap(PciProxyDev *proxy);

/*
 * Main loop: ends all connections.  The machine lock, when held, is dropped for the wait.  False: a peer holds a
 * worker, which must keep the object.
 */
bool proxy_conns_end(PciProxyDev *proxy);

/*
 * What "who uses the link" means below: see ProxyConn.
 *
 * proxy_conn_call(): one exchange; as proxy_call(), but false only when the link is closed.
 * proxy_conn_send(): a message without a reply.
 */
bool proxy_conn_call(ProxyConn *conn, const MpqemuMsg *msg, uint64_t *ret_value);
bool proxy_conn_send(ProxyConn *conn, const MpqemuMsg *msg);

/* Config space by a bare exchange.  False with *errp: the link is closed, or the remote answered "failed". */
bool proxy_conn_config_read(ProxyConn *conn, unsigned addr, unsigned len, uint32_t *ret_value, GError **errp);
bool proxy_conn_config_write(ProxyConn *conn, unsigned addr, unsigned len, uint32_t value, GError **errp);

bool proxy_conn_is_open(const ProxyConn *conn);

/* Why the link ended. */
const char *proxy_conn_reason(const ProxyConn *conn);

/* ---- attach.c: with a connection that is not attached ------------------------------------------ */

/* The first exchanges of every link: memory table, eventfds, shape. */
bool proxy_greet(ProxyConn *conn, ProxyShape *ret_shape, GError **errp);

/* For proxy_conn_start_worker(): the preparation of a hot-plug, a re-attachment. */
bool proxy_attach_prepare(ProxyConn *conn);
bool proxy_attach_again(ProxyConn *conn);

/* Machine lock: CONN is the one in use from now on; the device becomes READY. */
void proxy_attached(ProxyConn *conn);

/* ---- bounce.c -------------------------------------------------------------------------------- */

/* What a connection with dma=bounce needs, without a thread.  SHUTDOWN_FD: the connection's, for its life. */
ProxyBounce *proxy_bounce_new(PciProxyDev *proxy, int shutdown_fd, GError **errp);

/* Ends and joins its thread, which needs no lock that the caller may hold.  Accepts NULL. */
void proxy_bounce_free(ProxyBounce *bounce);

/* Offers it to the remote, and starts to copy for it.  Before the memory table; who uses the link. */
bool proxy_bounce_offer(ProxyConn *conn, GError **errp);

/* From its return on, no copy touches guest RAM.  Any thread; waits for no peer.  Accepts NULL. */
void proxy_bounce_stop(ProxyBounce *bounce);

/* Machine lock: bus mastering, or the connection in use, may have changed.  No copy that is not allowed goes on. */
void proxy_bounce_update(PciProxyDev *proxy);

/*
 * Orders guest memory between a vCPU that makes an access and the copies made for it.  The way between the two
 * threads leads through another process, where no memory model follows.  Accepts NULL.
 */
void proxy_bounce_fence(ProxyBounce *bounce);

/* Why the link has ended (static text); NULL: for another reason than bounced DMA.  Any thread.  Accepts NULL. */
const char *proxy_bounce_reason(ProxyBounce *bounce);

/* ---- restore.c ------------------------------------------------------------------------------- */

/* Resets the remote and gives it the header registers of the local copy.  By a worker, without locks. */
bool proxy_restore(ProxyConn *conn, GError **errp);

/* ---- sync.c ---------------------------------------------------------------------------------- */

/* Registers the listener, which posts the first table.  Fails when guest RAM cannot be shared. */
bool proxy_sync_start(PciProxyDev *proxy, GError **errp);
void proxy_sync_stop(PciProxyDev *proxy);

/* Sends TABLE, which it takes, when it differs from what was sent last.  Who uses the link. */
void proxy_sync_send(ProxyConn *conn, ProxyMemTable *table);

/* The newest table, with references.  Pending lock. */
void proxy_table_take_newest(PciProxyDev *proxy, ProxyMemTable *ret_table);
void proxy_table_clear(ProxyMemTable *table);

/* ---- irq.c ----------------------------------------------------------------------------------- */

/* Sends the eventfds.  Who uses the link. */
bool proxy_irq_send(ProxyConn *conn, GError **errp);

/*
 * Main loop: watches link and interrupt eventfd of CONN, whose device is known to have interrupt PIN.  MUTED: the
 * eventfd is not heard before proxy_irq_update().
 */
bool proxy_irq_connect(ProxyConn *conn, uint8_t pin, bool muted, GError **errp);
void proxy_irq_disconnect(ProxyConn *conn);

/*
 * Main loop: hears of the guest's ends of interrupt, for the device as a whole; where interrupt controllers take the
 * eventfds, of another input instead.
 */
void proxy_irq_watch(PciProxyDev *proxy);

/* Main loop: does what the state, irq_resync and a removal ask for. */
void proxy_irq_update(PciProxyDev *proxy);

/*
 * The guest may be in its driver's interrupt handler: the line is high, or it is not known here when the interrupt ends.
 * Main loop.
 */
bool proxy_irq_may_be_handled(PciProxyDev *proxy);

/* Worker: tells the remote of the guest's end of interrupt. */
void proxy_irq_signal_resample(ProxyConn *conn);

/* Lets go a worker that is held in the above.  Any thread. */
void proxy_irq_free_resample(ProxyConn *conn);

/* ---- probe.c --------------------------------------------------------------------------------- */

/* Asks the remote.  Who uses the link.  Fails on a dead link and on what no PCI function can be. */
bool proxy_probe(ProxyConn *conn, ProxyShape *ret_shape, GError **errp);

/* How NOW differs from WAS, for a message; NULL: not at all.  Free it. */
char *proxy_shape_difference(const ProxyShape *was, const ProxyShape *now);

/* ---- access.c -------------------------------------------------------------------------------- */

uint32_t proxy_config_read(PciDevice *dev, unsigned addr, unsigned size);
void proxy_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size);

/* Makes the BARs of SHAPE; proxy_bars_destroy() undoes it. */
void proxy_bars_create(PciProxyDev *proxy, const ProxyShape *shape);
void proxy_bars_destroy(PciProxyDev *proxy);

/* Publishes what the command register and the BARs decode to: to the access path and to DMA.  Machine lock. */
void proxy_decoding_update(PciProxyDev *proxy);

#endif
