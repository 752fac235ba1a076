/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads.
 *
 * Runs in: mpqemu.  The manual is include/accel/vcpu.h.
 *
 * Theory of operation.  A vCPU's lock guards what its thread decides by: whether it may go into guest code, and whether
 * it is there.  The thread decides to go in, and says so, in one critical section; who wants it out first leaves what
 * keeps it out (pause_count, visitors, a request), and then looks whether it is in.  So it is either seen inside, and
 * kicked, or it sees why it must not go in.  A kick that comes when it is about to call Accel.vcpu_run() is the
 * accelerator's to keep.
 *
 * A visitor is a thread that waits for the vCPU to leave guest code.  As long as there is one the vCPU does not go in
 * again: else it could leave and enter faster than the visitor wakes up.
 */
#include "accel/vcpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "accel/accel.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "trace/accel.h"
#include "util/error.h"
#include "util/machine-lock.h"

typedef struct VcpuThread {
    /* Comes after the machine lock, which is not needed for it; innermost but for the accelerator's in vcpu_kick(). */
    pthread_mutex_t lock;
    pthread_cond_t go;   /* for the thread: something has changed */
    pthread_cond_t left; /* for visitors: not in guest code now, or a request is done */
    GThread *thread;
    long tid;            /* 0 before the thread runs */

    bool in_guest;       /* in a function of the accelerator's */
    bool in_device;      /* of these, between vcpu_device_begin() and vcpu_device_end() */
    unsigned visitors;
    bool quit;

    /* Requests, done in this order. */
    bool reset;
    bool init;
    int sipi;            /* vector, or -1 */

    /* What keeps it from guest code by itself. */
    bool wait_sipi;
    bool halted;
    bool dead;

    bool woken;          /* vcpu_wake() since Accel.vcpu_run() was last entered */
} VcpuThread;

const SyscallTable vcpu_syscalls = {
    "vCPUs", (const SyscallRule[]) {
        SYSCALL(gettid, "query-cpus-fast tells each vCPU's thread"),
        SYSCALL_END,
    },
};

static const Accel *accel; /* accel_current(), for short; set before there are vCPUs */
static Vcpu *vcpus[VCPUS_MAX];
static unsigned count;

/* How many want the vCPUs to stand; changed with the machine lock held, read with a vCPU's lock held. */
static atomic_uint pause_count;

static __thread Vcpu *current_vcpu;

unsigned vcpu_count(void)
{
    return count;
}

Vcpu *vcpu_get(unsigned index)
{
    return index < count ? vcpus[index] : NULL;
}

Vcpu *vcpu_current(void)
{
    return current_vcpu;
}

/* ---- the thread ----------------------------------------------------------------------------------- */

static bool has_request(const VcpuThread *t)
{
    return t->reset || t->init || t->sipi >= 0;
}

static bool may_run(const VcpuThread *t)
{
    return atomic_load(&pause_count) == 0 && !t->wait_sipi && !t->dead && (!t->halted || t->woken);
}

/* Into the accelerator's code, without the lock; back from there.  In between nobody but the thread unsets in_guest. */
static void enter(VcpuThread *t)
{
    t->in_guest = true;
    pthread_mutex_unlock(&t->lock);
}

static void leave(VcpuThread *t)
{
    pthread_mutex_lock(&t->lock);
    t->in_guest = false;
    pthread_cond_broadcast(&t->left);
    if (atomic_load(&pause_count) > 0) {
        reset_gate_changed();
    }
}

/* Does all that is requested.  With the vCPU's lock held, which is dropped meanwhile. */
static void do_requests(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;
    bool reset = t->reset, init = t->init;
    int sipi = t->sipi;

    t->reset = t->init = false;
    t->sipi = -1;
    t->halted = t->dead = false;
    enter(t);
    if (reset || init) {
        accel->vcpu_reset(vcpu, !reset);
    }
    if (sipi >= 0) {
        accel->vcpu_sipi(vcpu, (uint8_t)sipi);
    }
    leave(t);
}

static void run_guest(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;
    VcpuExit why;

    t->halted = t->woken = false;
    enter(t);
    why = accel->vcpu_run(vcpu);
    if (why == VCPU_SHUTDOWN) {
        reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    } else if (why == VCPU_ERROR) {
        internal_error_request();
    }
    leave(t);
    trace_vcpu_exit(vcpu->index, why);
    t->halted = why == VCPU_HALTED;
    t->dead = why == VCPU_SHUTDOWN || why == VCPU_ERROR;
}

static gpointer vcpu_thread(gpointer opaque)
{
    Vcpu *vcpu = opaque;
    VcpuThread *t = vcpu->thread;

    current_vcpu = vcpu;
    pthread_mutex_lock(&t->lock);
    t->tid = gettid();
    while (!t->quit) {
        if (t->visitors || !(has_request(t) || may_run(t))) {
            pthread_cond_wait(&t->go, &t->lock);
        } else if (has_request(t)) {
            do_requests(vcpu);
        } else {
            run_guest(vcpu);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

void vcpu_device_begin(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;

    pthread_mutex_lock(&t->lock);
    t->in_device = true;
    if (t->visitors) {
        pthread_cond_broadcast(&t->left);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Whoever has seen in_device and is at work for it holds the lock. */
void vcpu_device_end(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;

    pthread_mutex_lock(&t->lock);
    t->in_device = false;
    pthread_mutex_unlock(&t->lock);
}

/* ---- from outside --------------------------------------------------------------------------------- */

/* With the vCPU's lock held, after something that the thread looks at was changed. */
static void nudge(Vcpu *vcpu)
{
    if (vcpu->thread->in_guest) {
        accel->vcpu_kick(vcpu);
    } else {
        pthread_cond_signal(&vcpu->thread->go);
    }
}

void vcpu_kick(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->thread->lock);
    if (vcpu->thread->in_guest) {
        accel->vcpu_kick(vcpu);
    }
    pthread_mutex_unlock(&vcpu->thread->lock);
}

void vcpu_wake(Vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->thread->lock);
    vcpu->thread->woken = true;
    nudge(vcpu);
    pthread_mutex_unlock(&vcpu->thread->lock);
}

/* Whether VCPU sleeps until a start-up IPI after reset and INIT. */
static bool waits_for_sipi(const Vcpu *vcpu)
{
    return vcpu->index > 0 && accel->vcpu_sipi;
}

void vcpu_sipi(Vcpu *vcpu, uint8_t vector)
{
    VcpuThread *t = vcpu->thread;

    pthread_mutex_lock(&t->lock);
    if (t->wait_sipi) {
        t->wait_sipi = false;
        t->sipi = vector;
        nudge(vcpu);
    }
    pthread_mutex_unlock(&t->lock);
}

void vcpu_init_signal(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;

    pthread_mutex_lock(&t->lock);
    t->init = true;
    t->sipi = -1;
    t->wait_sipi = waits_for_sipi(vcpu);
    nudge(vcpu);
    pthread_mutex_unlock(&t->lock);
}

/*
 * Waits until VCPU is not in guest code; back with its lock held.  The machine lock is the caller's, so there is one
 * caller at a time, but for run_guest()'s own thread.
 */
static void visit(Vcpu *vcpu)
{
    VcpuThread *t = vcpu->thread;

    pthread_mutex_lock(&t->lock);
    if (vcpu == current_vcpu) {
        return;
    }
    t->visitors++;
    if (t->in_guest && !t->in_device) {
        accel->vcpu_kick(vcpu);
    }
    while (t->in_guest && !t->in_device) {
        pthread_cond_wait(&t->left, &t->lock);
    }
    t->visitors--;
}

static void end_visit(Vcpu *vcpu)
{
    pthread_cond_signal(&vcpu->thread->go);
    pthread_mutex_unlock(&vcpu->thread->lock);
}

void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    visit(vcpu);
    fn(vcpu, opaque);
    end_visit(vcpu);
}

void vcpu_run_on_all(void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < count; i++) {
        vcpu_run_on(vcpus[i], fn, opaque);
    }
}

void vcpus_pause(void)
{
    if (atomic_fetch_add(&pause_count, 1) > 0) {
        return; /* they have been told, and were waited for */
    }
    for (unsigned i = 0; i < count; i++) {
        vcpu_kick(vcpus[i]); /* all at once; then one is waited for after the other */
    }
    for (unsigned i = 0; i < count; i++) {
        visit(vcpus[i]);
        end_visit(vcpus[i]);
    }
}

void vcpus_resume(void)
{
    if (atomic_fetch_sub(&pause_count, 1) > 1) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&vcpus[i]->thread->lock);
        pthread_cond_signal(&vcpus[i]->thread->go);
        pthread_mutex_unlock(&vcpus[i]->thread->lock);
    }
}

bool vcpus_stand(void)
{
    bool stand = atomic_load(&pause_count) > 0;

    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&vcpus[i]->thread->lock);
        stand &= !vcpus[i]->thread->in_guest;
        pthread_mutex_unlock(&vcpus[i]->thread->lock);
    }
    return stand;
}

VcpuState vcpu_state(Vcpu *vcpu)
{
    const VcpuThread *t = vcpu->thread;
    VcpuState state;

    pthread_mutex_lock(&vcpu->thread->lock);
    if (t->dead) {
        state = VCPU_STATE_DEAD;
    } else if (t->wait_sipi) {
        state = VCPU_STATE_WAIT_SIPI;
    } else if (t->halted && !t->woken) {
        state = VCPU_STATE_HALTED;
    } else {
        state = atomic_load(&pause_count) ? VCPU_STATE_PARKED : VCPU_STATE_RUNNING;
    }
    pthread_mutex_unlock(&vcpu->thread->lock);
    return state;
}

long vcpu_thread_id(Vcpu *vcpu)
{
    long tid;

    pthread_mutex_lock(&vcpu->thread->lock);
    tid = vcpu->thread->tid;
    pthread_mutex_unlock(&vcpu->thread->lock);
    return tid;
}

/* ---- reset and run state --------------------------------------------------------------------------- */

/*
 * Reset comes when all stand; their threads do it at once, since it waits for nothing, and are waited for: devices that
 * are reset next find them reset.  (One that is in a device access, in a reset that did not wait for it, follows.)
 */
static void vcpus_reset(void *opaque)
{
    for (unsigned i = 0; i < count; i++) {
        VcpuThread *t = vcpus[i]->thread;

        pthread_mutex_lock(&t->lock);
        t->reset = true;
        t->init = false;
        t->sipi = -1;
        t->woken = false;
        t->wait_sipi = waits_for_sipi(vcpus[i]);
        nudge(vcpus[i]);
        pthread_mutex_unlock(&t->lock);
    }
    for (unsigned i = 0; i < count; i++) {
        VcpuThread *t = vcpus[i]->thread;

        pthread_mutex_lock(&t->lock);
        /* Before vcpus_start() there is nobody to wait for. */
        while (t->thread && (t->reset || t->in_guest) && !t->in_device && vcpus[i] != current_vcpu) {
            pthread_cond_wait(&t->left, &t->lock);
        }
        pthread_mutex_unlock(&t->lock);
    }
}

static void vcpus_runstate(bool running, RunState state, void *opaque)
{
    if (running) {
        vcpus_resume();
    } else {
        vcpus_pause();
    }
}

static const ResetGate vcpus_gate = {
    .close = vcpus_pause,
    .is_closed = vcpus_stand,
    .open = vcpus_resume,
};

/* ---- life ------------------------------------------------------------------------------------------ */

static void vcpu_free(Vcpu *vcpu)
{
    pthread_mutex_destroy(&vcpu->thread->lock);
    pthread_cond_destroy(&vcpu->thread->go);
    pthread_cond_destroy(&vcpu->thread->left);
    g_free(vcpu->thread);
    g_free(vcpu);
}

static bool vcpu_new(unsigned index, const VcpuTopology *topology, GError **errp)
{
    Vcpu *vcpu = g_new0(Vcpu, 1);

    vcpu->index = vcpu->apic_id = index;
    vcpu->total = vcpu_topology_count(topology);
    vcpu->topology = *topology;
    vcpu->thread = g_new0(VcpuThread, 1);
    vcpu->thread->sipi = -1;
    vcpu->thread->wait_sipi = waits_for_sipi(vcpu);
    pthread_mutex_init(&vcpu->thread->lock, NULL);
    pthread_cond_init(&vcpu->thread->go, NULL);
    pthread_cond_init(&vcpu->thread->left, NULL);
    if (!accel->vcpu_init(vcpu, errp)) {
        vcpu_free(vcpu);
        return false;
    }
    vcpus[count++] = vcpu;
    return true;
}

bool vcpus_create(const VcpuTopology *topology, GError **errp)
{
    accel = accel_current();
    if (!accel->vcpu_init) {
        return true;
    }
    atomic_store(&pause_count, runstate_get() == RUN_STATE_RUNNING ? 0 : 1);
    while (count < vcpu_topology_count(topology)) {
        if (!vcpu_new(count, topology, errp)) {
            vcpus_destroy();
            return false;
        }
    }
    runstate_register(vcpus_runstate, NULL);
    reset_register(vcpus_reset, NULL);
    reset_set_gate(&vcpus_gate);
    return true;
}

bool vcpus_start(GError **errp)
{
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("CPU %u/%s", i, accel->name);
        g_autoptr(GError) err = NULL;

        vcpus[i]->thread->thread = g_thread_try_new(name, vcpu_thread, vcpus[i], &err);
        if (!vcpus[i]->thread->thread) {
            error_setg(errp, "cannot start the thread of vCPU %u: %s; raise the limit of threads (ulimit -u)", i,
                       err->message);
            return false;
        }
    }
    return true;
}

void vcpus_destroy(void)
{
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&vcpus[i]->thread->lock);
        vcpus[i]->thread->quit = true;
        nudge(vcpus[i]);
        pthread_mutex_unlock(&vcpus[i]->thread->lock);
    }
    machine_unlock();
    for (unsigned i = 0; i < count; i++) {
        if (vcpus[i]->thread->thread) {
            g_thread_join(vcpus[i]->thread->thread);
        }
    }
    machine_lock();
    while (count > 0) {
        Vcpu *vcpu = vcpus[--count];

        accel->vcpu_free(vcpu);
        vcpu_free(vcpu);
    }
    runstate_unregister(vcpus_runstate, NULL);
    reset_unregister(vcpus_reset, NULL);
    reset_set_gate(NULL);
}
