/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read-copy-update: grace periods counted by a 64-bit number.
 *
 * Runs in: both.
 *
 * Theory of operation.  `grace` is the number of the newest grace period.  A reader notes in its
 * own record the number it saw at the begin of its outermost section, and 0 at its end.  A writer
 * that has replaced a pointer begins a new grace period and waits until each record holds 0 or a
 * number that is not older:
 *
 *  - The writer reads 0, but a section just begins: the two full fences order "record, then load
 *    the pointer" of the reader against "replace the pointer, then read the record" of the writer,
 *    so the reader finds the new pointer.
 *  - The record holds the new number: the reader read it by an acquire from the writer's release,
 *    so again it finds the new pointer.
 *  - The record holds an older number: the reader may hold the old pointer, the writer waits for
 *    the 0, whose release and the writer's acquire order the reader's last use before the writer's
 *    free.
 *
 * ThreadSanitizer does not know fences, but it needs none of them: the two happens-before edges
 * above are plain acquire and release operations.  64 bits do not wrap, so a record never looks new
 * again.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <glib.h>
#include "util/rcu.h"

/*
 * First ask again after a mere yield (sections last microseconds), then sleep: the reader may be
 * descheduled.
 */
#define YIELDS_BEFORE_SLEEP 16
#define SLEEP_NS 50000

#ifdef __SANITIZE_THREAD__
#pragma GCC diagnostic ignored "-Wtsan" /* see above: not needed for its view */
#endif

/* One thread's record.  Owned by its thread, which frees it at its exit. */
typedef struct Reader {
    _Atomic uint64_t section; /* 0 outside of sections, else the grace period seen at its begin */
    unsigned depth;           /* nesting; the owning thread only */
    struct Reader *next, *prev; /* `registry_mutex` */
} Reader;

static _Atomic uint64_t grace = 1;

/*
 * Lock order: writer_mutex, then registry_mutex.  Readers take registry_mutex only to register and
 * at their exit.
 */
static pthread_mutex_t writer_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static Reader *registry; /* registry_mutex */

static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key; /* only for its destructor */
static __thread Reader *self;

static void unregister(void *opaque)
{
    Reader *reader = opaque;

    pthread_mutex_lock(&registry_mutex);
    if (reader->prev) {
        reader->prev->next = reader->next;
    } else {
        registry = reader->next;
    }
    if (reader->next) {
        reader->next->prev = reader->prev;
    }
    pthread_mutex_unlock(&registry_mutex);
    g_free(reader);
    /* A later destructor of this thread may read again; it registers anew and comes back here. */
    self = NULL;
}

static void make_exit_key(void)
{
    /* Fails only when a thousand keys exist: a fault of the program, at its first use of RCU. */
    if (pthread_key_create(&exit_key, unregister) != 0) {
        g_error("rcu: no thread-specific key left");
    }
}

static Reader *register_self(void)
{
    Reader *reader = g_new0(Reader, 1);

    pthread_once(&exit_key_once, make_exit_key);
    pthread_setspecific(exit_key, reader);
    pthread_mutex_lock(&registry_mutex);
    reader->next = registry;
    if (registry) {
        registry->prev = reader;
    }
    registry = reader;
    pthread_mutex_unlock(&registry_mutex);
    self = reader;
    return reader;
}

void rcu_read_lock(void)
{
    Reader *reader = self ? self : register_self();

    if (reader->depth++ > 0) {
        return;
    }
    atomic_store_explicit(&reader->section, atomic_load_explicit(&grace, memory_order_acquire),
                          memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

void rcu_read_unlock(void)
{
    Reader *reader = self;

    if (--reader->depth == 0) {
        atomic_store_explicit(&reader->section, 0, memory_order_release);
    }
}

/* True while a section that began before grace period NUMBER is open. */
static bool older_section_open(uint64_t number)
{
    bool found = false;

    pthread_mutex_lock(&registry_mutex);
    for (Reader *reader = registry; reader && !found; reader = reader->next) {
        uint64_t section = atomic_load_explicit(&reader->section, memory_order_acquire);

        found = section != 0 && section < number;
    }
    pthread_mutex_unlock(&registry_mutex);
    return found;
}

/*
 * The registry is locked for each look only, so a thread's first read section never waits for a
 * grace period.
 */
void rcu_synchronize(void)
{
    uint64_t number;

    pthread_mutex_lock(&writer_mutex);
    number = atomic_fetch_add_explicit(&grace, 1, memory_order_acq_rel) + 1;
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned looks = 0; older_section_open(number); looks++) {
        if (looks < YIELDS_BEFORE_SLEEP) {
            sched_yield();
        } else {
            nanosleep(&(struct timespec) { .tv_nsec = SLEEP_NS }, NULL);
        }
    }
    pthread_mutex_unlock(&writer_mutex);
}
