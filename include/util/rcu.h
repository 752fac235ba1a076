/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-copy-update for read-mostly pointers (the flat views of memory): readers never wait, a
 * writer replaces the pointer and frees the old object after a grace period.
 *
 * Thread: any.  Runs in: both programs.
 *
 * Why not liburcu: its fences are invisible to ThreadSanitizer, and its deferred frees start a
 * thread, which a locked-down device process must not do.  This one is C11 atomics only.  Read
 * sections are short (a look-up and a reference), never block, and nest.
 */
#ifndef UTIL_RCU_H
#define UTIL_RCU_H

/* Begins and ends a read section of the calling thread (registered by itself at the first call). */
void rcu_read_lock(void);
void rcu_read_unlock(void);

/*
 * Waits until every read section that began before the call has ended.  Not inside a read section.
 */
void rcu_synchronize(void);

/* Loads and publishes an RCU-protected pointer. */
#define rcu_load(ptr) __atomic_load_n((ptr), __ATOMIC_ACQUIRE)
#define rcu_store(ptr, value) __atomic_store_n((ptr), (value), __ATOMIC_RELEASE)

#endif
