/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O hub: one interrupt line (INTx) of a remote device, carried to the guest by a pair of eventfds.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * Level semantics on edge-like eventfds (docs/interop/mpqemu-link.rst, SET_IRQFD).  The line is the wired-OR of its
 * sources.  When it rises, the hub adds 1 to the interrupt eventfd.  When the guest ends the interrupt, the other
 * side adds to the resample eventfd, and the hub adds 1 to the interrupt eventfd again if the line is still high.
 * A falling line is told to nobody: the next resample just finds it low.
 *
 * Each source has a level, not a count: driving it high twice and low once leaves it low.
 */
#ifndef HW_REMOTE_IOHUB_H
#define HW_REMOTE_IOHUB_H

#include <stdbool.h>
#include <stdint.h>
#include "io/eventfd-signal.h"
#include "util/event-loop.h"

#define IOHUB_SOURCES 64u /* bits of `asserted` */

typedef struct IoHub {
    uint64_t asserted;      /* bit n: source n drives the line high */
    int irqfd;              /* owned; -1: nobody listens yet */
    int resamplefd;         /* owned; -1 likewise */
    EventfdSignal *irq;     /* adds to irqfd; NULL when there is none */
    EventSource *resample;  /* watches resamplefd; NULL when there is none */
    uint64_t raised;        /* times the interrupt eventfd was signalled */
    uint64_t resampled;     /* resample events seen */
    uint64_t dropped;       /* signals that the kernel refused */
} IoHub;

void iohub_init(IoHub *hub);

/* Closes the pair and forgets the levels.  The hub can be used again. */
void iohub_reset(IoHub *hub);

/* Drives SOURCE (below IOHUB_SOURCES) to LEVEL. */
void iohub_set_level(IoHub *hub, unsigned source, bool level);

/*
 * Gives the hub a pair of eventfds, which it takes (on failure too) in place of an earlier pair, which it closes.  A
 * line that is high is signalled on the new pair at once, so an interrupt cannot get lost in the exchange.
 * Neither descriptor's flags are changed: the other side shares them.  Returns 0 or a negative errno.
 */
int iohub_set_fds_take_fd(IoHub *hub, int irqfd, int resamplefd);

extern const SyscallTable iohub_syscalls;

#endif
