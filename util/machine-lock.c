/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine lock: one mutex, and a note in each thread whether it holds it.
 *
 * Runs in: both.
 */
#include <pthread.h>
#include <glib.h>
#include "util/machine-lock.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Thread-local, so asking needs no atomics and is right whatever the other threads do. */
static __thread bool held;

/*
 * The assertions catch a programming error that would otherwise be a silent deadlock or undefined
 * behaviour; which paths take the lock depends on the code alone, never on data of a guest or a
 * peer.
 */
void machine_lock(void)
{
    g_assert(!held);
    pthread_mutex_lock(&mutex);
    held = true;
}

void machine_unlock(void)
{
    g_assert(held);
    held = false;
    pthread_mutex_unlock(&mutex);
}

bool machine_locked(void)
{
    return held;
}
