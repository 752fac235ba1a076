/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine lock: serialises device models, the memory topology and the main loop's handlers.
 *
 * Thread: any.  Runs in: both programs (in qemu-remote only one thread takes it).
 *
 * Order: a proxy's link lock comes before the machine lock, and is never taken with it held, since
 * its holder may wait for a peer (include/hw/proxy/pci-proxy-dev.h).  All other locks come after
 * the machine lock.
 */
#ifndef UTIL_MACHINE_LOCK_H
#define UTIL_MACHINE_LOCK_H

#include <stdbool.h>

/* Not recursive. */
void machine_lock(void);
void machine_unlock(void);

/* True when the calling thread holds it (for assertions and for code reached both ways). */
bool machine_locked(void);

#endif
