/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Global system interrupts: who wants to know of a guest's end of interrupt.
 *
 * Runs in: mpqemu.  The manual is include/hw/intc/gsi.h.
 */
#include <stddef.h>

#include "hw/intc/gsi.h"

static GsiNotifier *notifiers; /* machine lock */
static const GsiIrqfdOps *irqfd_ops;

void gsi_notifier_add(GsiNotifier *notifier, unsigned gsi)
{
    notifier->gsi = gsi;
    notifier->pending = false;
    notifier->next = notifiers;
    notifiers = notifier;
}

void gsi_notifier_remove(GsiNotifier *notifier)
{
    for (GsiNotifier **link = &notifiers; *link != NULL; link = &(*link)->next) {
        if (*link == notifier) {
            *link = notifier->next;
            return;
        }
    }
}

void gsi_eoi(unsigned gsi)
{
    GsiNotifier *n;

    /*
     * A callback may change the list, or end another GSI, so no pointer into the list is kept across one: the
     * notifiers to call are marked, and the list is searched anew after each.
     */
    for (n = notifiers; n != NULL; n = n->next) {
        n->pending |= n->gsi == gsi && n->eoi;
    }
    for (;;) {
        for (n = notifiers; n != NULL && !(n->pending && n->gsi == gsi); n = n->next) {
        }
        if (n == NULL) {
            return;
        }
        n->pending = false;
        n->eoi(n);
    }
}

void gsi_moved(unsigned gsi)
{
    for (GsiNotifier *n = notifiers; n != NULL; n = n->next) {
        if (n->gsi == gsi && n->moved) {
            n->moved(n);
        }
    }
}

void gsi_set_irqfd_ops(const GsiIrqfdOps *ops)
{
    irqfd_ops = ops;
}

bool gsi_has_irqfd(void)
{
    return irqfd_ops != NULL;
}

unsigned gsi_irqfd_input(unsigned gsi)
{
    return irqfd_ops->input ? irqfd_ops->input(gsi) : gsi;
}

bool gsi_irqfd_add(unsigned gsi, int trigger_fd, int resample_fd, GError **errp)
{
    return irqfd_ops->add(gsi, trigger_fd, resample_fd, errp);
}

void gsi_irqfd_remove(unsigned gsi, int trigger_fd, int resample_fd)
{
    irqfd_ops->remove(gsi, trigger_fd, resample_fd);
}
