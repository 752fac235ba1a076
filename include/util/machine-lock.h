/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine lock: serialises device models, the memory topology and the main loop's handlers.
 *
 * Thread: any.  Runs in: both programs (in qemu-remote only one thread takes it).
 *
 * Order: the machine lock comes first; a proxy's link lock is never taken with the machine lock held across a wait
 * for the peer (include/hw/proxy/pci-proxy-dev.h).
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
