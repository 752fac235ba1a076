/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: a PCI function whose registers, memory accesses and interrupts are those of a
 * device in another process.  The alias "x-pci-proxy-dev" is QEMU's name for it.
 *
 * Thread: main loop with the machine lock held, except where a function says "any thread".
 * Runs in: mpqemu.
 *
 * What it is.  One generic function: it knows no device.  At realize it asks the other side, by
 * config accesses, for ids, revision, class, header type, interrupt pin and all BARs with kinds
 * and sizes, and takes that shape.  After that
 *   - config accesses and accesses to the BARs are messages (docs/interop/mpqemu-link.rst), each
 *     answered before the access ends; config writes are also applied to the local copy, so that
 *     the BARs are mapped here where the guest put them;
 *   - guest RAM is shared: the remote maps the files behind it and does DMA by itself.  A table of
 *     at most 8 ranges is sent when it changed.  With dma=bounce the remote gets no guest RAM: it asks
 *     for copies between that and a window of 1 MiB, which a thread of the connection makes;
 *   - interrupts come by eventfd, and the guest's end of interrupt goes back by another.
 *
 * Trust.  The other side may lie, be silent, or be gone.  Every exchange has a time limit
 * (property timeout).  What a remote reports is checked before anything is built on it, and
 * refused when no device can be like that.  After the first failure the device is DEAD: it reads
 * all ones, drops writes, its interrupt line is low, and the machine runs on.
 *
 * Threads.  Accesses come from several vCPU threads at once, without the machine lock.  The main
 * loop changes the memory map, resets the device, watches the interrupt eventfd; it never waits
 * for the remote.  What it wants sent is left as pending work (the newest memory table, "reset"),
 * done by whoever uses the link next: an access, or the proxy's own worker thread, which is woken
 * for it.  So an access made after a reset or a change of memory finds it done.
 *
 * Connections.  Socket, eventfds and worker belong to a connection.  A re-attachment makes a new one beside the old
 * one; its worker alone talks to the new remote until all is as the guest knows it, then puts it in the place of
 * the old one.  At hot-plug (DeviceClass.prepare) the worker does the first exchanges, too; at start-up realize does.
 *
 * Locks, in the order in which they may be taken:
 *   1. the link lock (PciProxyDev.link_lock): whoever exchanges messages on the connection in use; held
 *      across the wait for the remote.  NEVER taken with the machine lock held: realize, which has the
 *      machine lock, uses the link without, since no other thread knows the connection yet.
 *   2. the machine lock: taken inside the link lock to apply an acknowledged config write, and to put
 *      another connection in use or take it away.
 *   3. the pending lock (PciProxyDev.pending_lock): state and posted work; held for a few assignments,
 *      nothing that takes a lock is called under it.
 *   4. the bounce lock (ProxyBounce.lock): as the innermost, held for the copy of one piece.
 * An access by a thread that holds the machine lock is therefore refused like one to a dead
 * device, except config reads, which are answered from the local copy.
 *
 * Ownership.  The socket of property fd becomes the proxy's, on failure too.  A connection is freed by
 * the main loop when it has ended, its worker has, and no vCPU is in an access on it; a DEAD device soon
 * holds no descriptor and no thread.  Unrealize waits for that, without the machine lock: it shuts
 * the sockets down, which ends all waiting.
 */
#ifndef HW_PROXY_PCI_PROXY_DEV_H
#define HW_PROXY_PCI_PROXY_DEV_H

#include "hw/pci/pci.h"
#include "util/syscalls.h"

/*
 * The device link's state machine.  One function changes it (hw/proxy/state.c).
 *
 *   STARTING -> READY <-> SUSPECT -> DEAD -> REATTACHING -> READY
 *        |        `-------------------^ ^---------'
 *        `-> DEAD                 any -> GONE
 */
typedef enum PciProxyState {
    /*
     * Entered by creation.  The worker (hot-plug) or realize (start-up) alone uses the link, to ask for the
     * shape; no guest can reach the device.  Left to READY, or to DEAD (the device is not made).
     */
    PCI_PROXY_STARTING,
    /* Entered at the end of a good realize or re-attachment.  Accesses are forwarded. */
    PCI_PROXY_READY,
    /*
     * Entered from READY when the remote's process has not answered a heartbeat in time.  Accesses are
     * forwarded as in READY, each with its own time limit.  Left to READY when an answer comes, to DEAD.
     */
    PCI_PROXY_SUSPECT,
    /*
     * Entered when an exchange fails, when the peer hangs up, when pci_proxy_kill() says so.  The link is
     * closed; reads give all ones, writes are dropped, both are counted; the line is low.  Left to
     * REATTACHING at any later time, or to GONE.
     */
    PCI_PROXY_DEAD,
    /*
     * Entered by pci_proxy_reattach_take_fd().  The worker alone uses the new link; accesses are treated as
     * in DEAD.  Left to READY, or to DEAD again (the remote failed, or is another device now).
     */
    PCI_PROXY_REATTACHING,
    /* Entered by unrealize; final.  A vCPU may still be in an access, which it treats as in DEAD. */
    PCI_PROXY_GONE,
} PciProxyState;

/* Counters since the first exchange, over all re-attachments; a snapshot. */
typedef struct PciProxyStats {
    uint64_t exchanges;      /* requests sent, those for memory, interrupts and reset included */
    uint64_t bytes;          /* of requests and replies, headers included */
    uint64_t failed;         /* accesses that the remote answered with "failed" */
    uint64_t timeouts;       /* exchanges given up because the remote did not answer in time */
    uint64_t worst_wait_ns;  /* longest time from a request to its reply */
    uint64_t dropped_reads;  /* reads answered without asking: not READY or SUSPECT, or machine lock held */
    uint64_t dropped_writes; /* writes dropped for the same reasons */
    uint64_t irqs;           /* interrupt events that raised the line */
    uint64_t syncs;          /* memory tables sent */
    uint64_t resets;         /* resets sent */
    uint64_t reattached;     /* times that REATTACHING ended in READY */
    uint64_t bounced_bytes;  /* dma=bounce: bytes copied between guest RAM and window */
} PciProxyStats;

typedef struct PciProxyDev PciProxyDev;
typedef struct PciProxyDevClass {
    PciDeviceClass pci_class;
} PciProxyDevClass;

QOM_DECLARE_TYPE(PciProxyDev, pci_proxy_dev, PCI_PROXY_DEV)
#define TYPE_PCI_PROXY_DEV (pci_proxy_dev_get_type())

/* Any thread. */
PciProxyState pci_proxy_state(PciProxyDev *proxy);
const char *pci_proxy_state_name(PciProxyState state);
void pci_proxy_stats(PciProxyDev *proxy, PciProxyStats *ret_stats);
const char *pci_proxy_dma_name(PciProxyDev *proxy); /* property dma: "map" or "bounce" */

/* The guest lets the device master the bus, as far as this side knows; main loop.  It stays so while it is DEAD. */
bool pci_proxy_is_bus_master(PciProxyDev *proxy);

/*
 * Sets who is told of each change of state from then on, by a call from the event loop (so a little later,
 * and several changes may have become one): FROM is the state told last, TO that of now (the same, when it has changed
 * back meanwhile), REASON why it is DEAD (else NULL).  GONE is told inside the unrealize, and only
 * when the device is REATTACHING or has changed since it was told last.  FN NULL: nobody.  FN may do anything with a device that is not GONE, unplug it included.
 */
typedef void PciProxyNotify(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason,
                            void *opaque);
void pci_proxy_set_notify(PciProxyDev *proxy, PciProxyNotify *fn, void *opaque);

/* READY to SUSPECT or back; nothing in other states. */
void pci_proxy_set_suspect(PciProxyDev *proxy, bool suspect);

/*
 * Makes a READY or SUSPECT device DEAD for REASON (copied), at once: an access under way ends, the peer sees
 * the end of the link.  Also ends a REATTACHING under way, and the preparation of a hot-plug, which fails later as if
 * the peer had ended the link.  Nothing in other states.  Logs nothing: the caller knows more.
 */
void pci_proxy_kill(PciProxyDev *proxy, const char *reason);

/*
 * Before a removal: from now on there are no more interrupts.  When the guest has ended the last one, or within a
 * second, its accesses are dropped and the line is low, as in DEAD, and the remote is reset, which ends what it does to
 * guest RAM by itself.  Without waiting; DONE is called once, by the event loop or
 * inside the device's unrealize: RESET tells that the remote has answered; else it is unknown to be at rest, and the
 * device is DEAD (when it has not answered in time, since then) or gone.  DONE may do anything with the device.
 */
typedef void PciProxyRetired(PciProxyDev *proxy, bool reset, void *opaque);
void pci_proxy_retire(PciProxyDev *proxy, PciProxyRetired *done, void *opaque);

/*
 * Attaches a DEAD device to a new remote at the other end of socket FD (taken, on failure too), without waiting: the
 * worker sends memory table and eventfds (new ones), asks for the shape and compares it with what the guest knows,
 * resets the device and writes back the registers of the standard header (BARs, command, cache line size, latency
 * timer, interrupt line), so that a driver finds the device where it was, in its state after reset.  All together
 * has the time of one exchange (property timeout).  The end is told by the notify function: READY, DEAD with the
 * reason, or GONE.  False with *errp: not DEAD, no socket, or no descriptors and threads left.
 */
bool pci_proxy_reattach_take_fd(PciProxyDev *proxy, int fd, GError **errp);

/* On top of the tables of link and threads. */
extern const SyscallTable pci_proxy_syscalls;

#endif
