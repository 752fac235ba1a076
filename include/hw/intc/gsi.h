/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Global system interrupts (GSI): the board's interrupt inputs by number, and the news that the
 * guest has ended one.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Theory of operation.  On the pc board GSI n is pin n of the I/O APIC, and the PCI bus routes its
 * INTx pins to lines that carry the GSI's number (PciBus.map_irq returns it).  A level-triggered
 * source outside this process, whose level cannot be seen, is emulated as KVM does with an irqfd
 * with resample: raise on each event, lower at the guest's end of interrupt (EOI), then ask the
 * source whether it still asserts.  The EOI is told here, so that the source's local end needs to
 * know no interrupt controller, and the controller no source.
 *
 * With interrupt controllers in the kernel nobody here hears of an EOI; these take the source's two eventfds instead
 * (gsi_irqfd_add), and do the same.
 */
#ifndef HW_INTC_GSI_H
#define HW_INTC_GSI_H

#include <stdbool.h>
#include <glib.h>

typedef struct GsiNotifier GsiNotifier;

/* Embedded in its owner; the owner sets `eoi` and keeps the rest alone. */
struct GsiNotifier {
    /* The guest ended interrupt GSI.  May change interrupt lines, (un)register notifiers, and tell of another GSI. */
    void (*eoi)(GsiNotifier *notifier);
    /* Controllers that take eventfds have another input for GSI now: take yours away, and give them anew.  NULL: none. */
    void (*moved)(GsiNotifier *notifier);
    unsigned gsi;        /* set by gsi_notifier_add() */
    GsiNotifier *next;   /* private */
    bool pending;        /* private: to be called by the gsi_eoi() under way */
};

/* Calls NOTIFIER->eoi at each EOI of GSI, or NOTIFIER->moved, until it is removed. */
void gsi_notifier_add(GsiNotifier *notifier, unsigned gsi);

/* Nothing for a notifier that is not registered. */
void gsi_notifier_remove(GsiNotifier *notifier);

/* For interrupt controllers: the guest has ended GSI. */
void gsi_eoi(unsigned gsi);

/* For the board: gsi_irqfd_input(GSI) has changed.  Nothing is changed in the call. */
void gsi_moved(unsigned gsi);

/* Of interrupt controllers that take eventfds; as the functions below.  `input` NULL: GSI itself. */
typedef struct GsiIrqfdOps {
    bool (*add)(unsigned gsi, int trigger_fd, int resample_fd, GError **errp);
    void (*remove)(unsigned gsi, int trigger_fd, int resample_fd);
    unsigned (*input)(unsigned gsi);
} GsiIrqfdOps;

/* For the board: OPS (static) serve from now on; NULL: nobody does. */
void gsi_set_irqfd_ops(const GsiIrqfdOps *ops);

/* Whether sources are to use gsi_irqfd_add(), and not a notifier. */
bool gsi_has_irqfd(void);

/* The input of the controllers that carries GSI now: what the two below are given, the same for both. */
unsigned gsi_irqfd_input(unsigned gsi);

/*
 * Each event of TRIGGER_FD raises input GSI until the guest ends it, which signals RESAMPLE_FD.  Both stay the
 * caller's. Taking them away again lowers the line, unless others hold it; before they are closed.  Only where
 * gsi_has_irqfd().
 */
bool gsi_irqfd_add(unsigned gsi, int trigger_fd, int resample_fd, GError **errp);
void gsi_irqfd_remove(unsigned gsi, int trigger_fd, int resample_fd);

#endif
