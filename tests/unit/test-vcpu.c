/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of vCPU threads, with an accelerator whose guest code is a loop that counts.
 *
 * Every wait ends after WAIT_S seconds, with a failure.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "accel/accel.h"
#include "qapi/qapi.h"
#include "system/reset.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define WAIT_S 10
#define COUNT 3u

/* What a vCPU's guest code does; set by the test, looked at in each turn. */
typedef enum Program {
    SPIN,
    HALT,     /* when no interrupt is pending; takes one that is */
    ACCESS,   /* a device access that waits for `door` */
    LOCK,     /* a device access with the machine lock, over and over */
    TRIPLE,   /* a triple fault */
    FAIL,
} Program;

typedef struct FakeCpu {
    atomic_int program;
    atomic_bool kicked;
    atomic_bool intr;
    atomic_uint turns;   /* of guest code */
    atomic_uint entries; /* of vcpu_run() */
    atomic_uint taken;   /* interrupts */
    atomic_uint accesses;
    atomic_int resets, inits, sipi;
    unsigned changed;    /* by vcpu_run_on(): no atomic, ThreadSanitizer looks */
} FakeCpu;

static FakeCpu fake[COUNT];
static atomic_bool door; /* ACCESS may end */
static atomic_bool open_fails;

static bool fake_open(bool alone, GError **errp)
{
    if (atomic_load(&open_fails)) {
        g_set_error_literal(errp, G_FILE_ERROR, G_FILE_ERROR_FAILED, "it is closed");
        return false;
    }
    return true;
}

static bool fake_init(const char *model, GError **errp)
{
    return true;
}

static bool fake_vcpu_init(Vcpu *vcpu, GError **errp)
{
    FakeCpu *cpu = &fake[vcpu->index];

    vcpu->accel_data = cpu;
    atomic_store(&cpu->sipi, -1);
    return true;
}

static void fake_vcpu_free(Vcpu *vcpu)
{
    vcpu->accel_data = NULL;
}

static void fake_reset(Vcpu *vcpu, bool by_init)
{
    FakeCpu *cpu = vcpu->accel_data;

    g_assert_true(vcpu_current() == vcpu);
    atomic_fetch_add(by_init ? &cpu->inits : &cpu->resets, 1);
}

static void fake_sipi(Vcpu *vcpu, uint8_t vector)
{
    atomic_store(&((FakeCpu *)vcpu->accel_data)->sipi, vector);
}

static void fake_kick(Vcpu *vcpu)
{
    atomic_store(&((FakeCpu *)vcpu->accel_data)->kicked, true);
}

static void fake_access(Vcpu *vcpu, FakeCpu *cpu, bool wait)
{
    vcpu_device_begin(vcpu);
    atomic_fetch_add(&cpu->accesses, 1);
    if (wait) {
        while (!atomic_load(&door)) {
            g_usleep(100);
        }
    } else {
        machine_lock();
        machine_unlock();
    }
    vcpu_device_end(vcpu);
}

static VcpuExit fake_run(Vcpu *vcpu)
{
    FakeCpu *cpu = vcpu->accel_data;

    atomic_fetch_add(&cpu->entries, 1);
    while (!atomic_exchange(&cpu->kicked, false)) {
        atomic_fetch_add(&cpu->turns, 1);
        cpu->changed++;
        if (atomic_exchange(&cpu->intr, false)) {
            atomic_fetch_add(&cpu->taken, 1);
        }
        switch (atomic_load(&cpu->program)) {
        case HALT:
            if (!atomic_load(&cpu->intr)) {
                return VCPU_HALTED;
            }
            break;
        case ACCESS:
            fake_access(vcpu, cpu, true);
            break;
        case LOCK:
            fake_access(vcpu, cpu, false);
            break;
        case TRIPLE:
            return VCPU_SHUTDOWN;
        case FAIL:
            return VCPU_ERROR;
        default:
            break;
        }
    }
    return VCPU_KICKED;
}

static void fake_set_intr(Vcpu *vcpu, bool level)
{
    atomic_store(&((FakeCpu *)vcpu->accel_data)->intr, level);
    vcpu_wake(vcpu);
}

static const Accel fake_accel = {
    .name = "fake", .description = "a loop that counts", .open = fake_open, .init = fake_init,
    .vcpu_init = fake_vcpu_init, .vcpu_free = fake_vcpu_free, .vcpu_reset = fake_reset, .vcpu_sipi = fake_sipi,
    .vcpu_run = fake_run, .vcpu_kick = fake_kick, .vcpu_set_intr = fake_set_intr,
};

static bool never_open(bool alone, GError **errp)
{
    g_set_error_literal(errp, G_FILE_ERROR, G_FILE_ERROR_FAILED, "it never opens");
    return false;
}

static const Accel never_accel = { .name = "never", .description = "does not work", .open = never_open };

const Accel *const accels[] = { &never_accel, &fake_accel, NULL };

/* ---- waiting ------------------------------------------------------------------------------------- */

/* Waits for CONDITION with the machine lock dropped, while the main loop turns. */
#define WAIT_FOR(condition) \
    do { \
        gint64 end_us = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC; \
        while (!(condition)) { \
            g_assert_cmpint(g_get_monotonic_time(), <, end_us); \
            event_loop_turn(event_loop_main(), false); \
            machine_unlock(); \
            g_usleep(100); \
            machine_lock(); \
        } \
    } while (0)

static unsigned turns(unsigned i)
{
    return atomic_load(&fake[i].turns);
}

static void wait_runs(unsigned i)
{
    unsigned before = turns(i);

    WAIT_FOR(turns(i) > before);
}

/* That VCPU I does not execute guest code. */
static void check_stands(unsigned i)
{
    unsigned before = turns(i);

    machine_unlock();
    g_usleep(2000);
    machine_lock();
    g_assert_cmpuint(turns(i), ==, before);
}

static unsigned resets_told, shutdowns_told, powerdowns_told;
static char *last_event;

static void watch_event(const char *name, JsonNode *node, void *opaque)
{
    shutdowns_told += g_str_equal(name, "SHUTDOWN");
    powerdowns_told += g_str_equal(name, "POWERDOWN");
    if (g_str_equal(name, "RESET")) {
        JsonObject *data = json_object_get_object_member(json_node_get_object(node), "data");

        resets_told++;
        g_free(last_event);
        last_event = g_strdup(json_object_get_string_member(data, "reason"));
    }
}

/* ---- fixture ------------------------------------------------------------------------------------- */

typedef struct Fixture {
    int unused;
} Fixture;

/* All vCPUs run SPIN. */
static void setup(Fixture *f, gconstpointer data)
{
    memset(fake, 0, sizeof(fake));
    atomic_store(&door, false);
    resets_told = 0;
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, COUNT, 1 }, NULL));
    g_assert_true(vcpus_start(NULL));
    system_reset();
    vm_start();
    for (unsigned i = 1; i < COUNT; i++) {
        vcpu_sipi(vcpu_get(i), 0x90);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        wait_runs(i);
    }
}

static void teardown(Fixture *f, gconstpointer data)
{
    atomic_store(&door, true);
    vm_stop(RUN_STATE_PAUSED);
    vcpus_destroy();
    g_assert_cmpuint(vcpu_count(), ==, 0);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void test_select(void)
{
    static const char *const unknown[] = { "fake", "other", NULL };
    static const char *const second[] = { "never", "fake", NULL };
    g_autoptr(GError) err = NULL;

    g_assert_false(accel_select(unknown, &err));
    g_assert_nonnull(strstr(err->message, "other"));
    g_clear_error(&err);
    atomic_store(&open_fails, true);
    g_assert_false(accel_select(second, &err));
    g_assert_nonnull(strstr(err->message, "never: it never opens"));
    g_assert_nonnull(strstr(err->message, "fake: it is closed"));
    g_assert_null(accel_current());
    atomic_store(&open_fails, false);
    g_assert_true(accel_select(second, NULL));
    g_assert_true(accel_current() == &fake_accel);
    g_assert_true(accel_init(NULL, NULL));
}

static void test_parked_until_started(void)
{
    memset(fake, 0, sizeof(fake));
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, 1, 1 }, NULL));
    system_reset(); /* done when the thread begins */
    g_assert_true(vcpus_start(NULL));
    WAIT_FOR(atomic_load(&fake[0].resets) == 1);
    system_reset();
    g_assert_cmpint(atomic_load(&fake[0].resets), ==, 2);
    check_stands(0);
    g_assert_cmpint(vcpu_state(vcpu_get(0)), ==, VCPU_STATE_PARKED);
    vm_start();
    wait_runs(0);
    g_assert_cmpint(vcpu_thread_id(vcpu_get(0)), >, 0);
    vm_stop(RUN_STATE_PAUSED);
    check_stands(0);
    vcpus_destroy();
}

static void test_sipi(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(atomic_load(&fake[1].sipi), ==, 0x90);
    vcpu_sipi(vcpu_get(1), 0x91); /* it does not wait for one */
    vcpu_init_signal(vcpu_get(1));
    WAIT_FOR(atomic_load(&fake[1].inits) == 1);
    g_assert_cmpint(atomic_load(&fake[1].sipi), ==, 0x90);
    g_assert_cmpint(vcpu_state(vcpu_get(1)), ==, VCPU_STATE_WAIT_SIPI);
    check_stands(1);
    vcpu_wake(vcpu_get(1)); /* no interrupt ends it */
    check_stands(1);
    vcpu_sipi(vcpu_get(1), 0x92);
    wait_runs(1);
    g_assert_cmpint(atomic_load(&fake[1].sipi), ==, 0x92);
    /* Both at once, as the vCPU may be slow to take them. */
    vcpu_init_signal(vcpu_get(1));
    vcpu_sipi(vcpu_get(1), 0x93);
    vcpu_sipi(vcpu_get(1), 0x94); /* the second of the usual two: nothing */
    WAIT_FOR(atomic_load(&fake[1].sipi) == 0x93);
    wait_runs(1);
    g_assert_cmpint(atomic_load(&fake[1].inits), ==, 2);
    /* The bootstrap processor goes on by itself. */
    vcpu_init_signal(vcpu_get(0));
    WAIT_FOR(atomic_load(&fake[0].inits) == 1);
    wait_runs(0);
}

static void test_halt_and_wake(Fixture *f, gconstpointer data)
{
    atomic_store(&fake[0].program, HALT);
    WAIT_FOR(vcpu_state(vcpu_get(0)) == VCPU_STATE_HALTED);
    check_stands(0);
    vcpu_kick(vcpu_get(0)); /* only makes it look */
    check_stands(0);
    fake_set_intr(vcpu_get(0), true);
    WAIT_FOR(atomic_load(&fake[0].taken) == 1);
    WAIT_FOR(vcpu_state(vcpu_get(0)) == VCPU_STATE_HALTED);
}

/* An interrupt that comes at whatever moment around HLT is taken. */
static void test_wake_race(Fixture *f, gconstpointer data)
{
    atomic_store(&fake[0].program, HALT);
    for (unsigned i = 1; i <= 2000; i++) {
        fake_set_intr(vcpu_get(0), true);
        while (atomic_load(&fake[0].taken) < i) {
            WAIT_FOR(atomic_load(&fake[0].taken) >= i);
        }
    }
}

static void test_pause_nests(Fixture *f, gconstpointer data)
{
    vcpus_pause();
    vcpus_pause();
    g_assert_true(vcpus_stand());
    check_stands(0);
    vcpus_resume();
    check_stands(0);
    vm_stop(RUN_STATE_PAUSED);
    vcpus_resume();
    check_stands(0);
    vm_start();
    wait_runs(0);
    g_assert_false(vcpus_stand());
}

/* Pause and resume at once: neither a lost kick (it would run on) nor a lost resume (it would stand). */
static void test_pause_race(Fixture *f, gconstpointer data)
{
    for (unsigned i = 0; i < 1000; i++) {
        unsigned before[COUNT];

        vcpus_pause();
        for (unsigned n = 0; n < COUNT; n++) {
            before[n] = turns(n);
        }
        for (unsigned n = 0; n < COUNT; n++) {
            g_assert_cmpuint(turns(n), ==, before[n]);
        }
        vcpus_resume();
    }
    for (unsigned n = 0; n < COUNT; n++) {
        wait_runs(n);
    }
}

static void change(Vcpu *vcpu, void *opaque)
{
    ((FakeCpu *)vcpu->accel_data)->changed += 2;
    (*(unsigned *)opaque)++;
}

static void test_run_on_all(Fixture *f, gconstpointer data)
{
    unsigned calls = 0;

    atomic_store(&fake[1].program, HALT);
    atomic_store(&fake[2].program, LOCK);
    for (unsigned i = 0; i < 500; i++) {
        vcpu_run_on_all(change, &calls);
    }
    g_assert_cmpuint(calls, ==, 500 * COUNT);
    wait_runs(0);
    wait_runs(2);
}

/* A vCPU that waits for a device holds nobody up: it has begun, and goes no further than the access. */
static void test_device_access(Fixture *f, gconstpointer data)
{
    unsigned calls = 0, accesses;

    atomic_store(&fake[1].program, ACCESS);
    WAIT_FOR(atomic_load(&fake[1].accesses) == 1);
    vcpu_run_on_all(change, &calls);
    g_assert_cmpuint(calls, ==, COUNT);
    vm_stop(RUN_STATE_PAUSED);
    g_assert_false(vcpus_stand());
    check_stands(0);
    accesses = atomic_load(&fake[1].accesses);
    atomic_store(&door, true);
    WAIT_FOR(vcpus_stand());
    check_stands(1);
    g_assert_cmpuint(atomic_load(&fake[1].accesses), ==, accesses);
    vm_start();
    WAIT_FOR(atomic_load(&fake[1].accesses) > accesses);
}

/* Those who wait for the machine lock do so in a device access, so its holder need not let them in. */
static void test_pause_with_contended_lock(Fixture *f, gconstpointer data)
{
    for (unsigned i = 0; i < COUNT; i++) {
        atomic_store(&fake[i].program, LOCK);
    }
    for (unsigned n = 0; n < 300; n++) {
        vcpus_pause();
        vcpus_resume();
        machine_unlock();
        machine_lock();
    }
    for (unsigned i = 0; i < COUNT; i++) {
        wait_runs(i);
    }
}

static void test_reset(Fixture *f, gconstpointer data)
{
    int resets = atomic_load(&fake[0].resets);

    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    g_assert_cmpuint(resets_told, ==, 1);
    g_assert_cmpint(atomic_load(&fake[0].resets), ==, resets + 1);
    wait_runs(0);
    g_assert_cmpint(vcpu_state(vcpu_get(1)), ==, VCPU_STATE_WAIT_SIPI);
    check_stands(1);
}

/* One that stands in front of a device is waited for by the main loop, which turns. */
static void test_reset_waits(Fixture *f, gconstpointer data)
{
    int resets = atomic_load(&fake[0].resets);

    atomic_store(&fake[1].program, ACCESS);
    WAIT_FOR(atomic_load(&fake[1].accesses) == 1);
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET); /* becomes one with the first */
    g_assert_cmpuint(resets_told, ==, 0);
    check_stands(0);
    event_loop_turn(event_loop_main(), false);
    g_assert_cmpint(atomic_load(&fake[0].resets), ==, resets);
    atomic_store(&door, true);
    WAIT_FOR(resets_told == 1);
    g_assert_cmpint(atomic_load(&fake[1].resets), ==, resets + 1);
    wait_runs(0);
    check_stands(1);
    g_assert_cmpuint(resets_told, ==, 1);
}

static void test_triple_fault(Fixture *f, gconstpointer data)
{
    atomic_store(&fake[0].program, TRIPLE);
    WAIT_FOR(vcpu_state(vcpu_get(0)) == VCPU_STATE_DEAD);
    atomic_store(&fake[0].program, SPIN);
    WAIT_FOR(resets_told == 1);
    g_assert_cmpstr(last_event, ==, "guest-reset");
    wait_runs(0);
}

static void test_error(Fixture *f, gconstpointer data)
{
    atomic_store(&fake[0].program, FAIL);
    WAIT_FOR(vcpu_state(vcpu_get(0)) == VCPU_STATE_DEAD);
    fake_set_intr(vcpu_get(0), true);
    check_stands(0);
    WAIT_FOR(runstate_get() == RUN_STATE_INTERNAL_ERROR);
    vm_start();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_INTERNAL_ERROR);
    atomic_store(&fake[0].program, SPIN);
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    vm_start();
    wait_runs(0);
}

/* -no-shutdown: the machine stands, and only a reset leads on. */
static void test_no_shutdown(Fixture *f, gconstpointer data)
{
    int status;

    shutdown_set_keep(true);
    shutdown_request_guest();
    shutdown_request_guest();
    WAIT_FOR(runstate_get() == RUN_STATE_SHUTDOWN);
    g_assert_cmpuint(shutdowns_told, ==, 1);
    g_assert_false(shutdown_requested(&status));
    check_stands(0);
    vm_start();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_SHUTDOWN);
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    check_stands(0);
    vm_start();
    wait_runs(0);
    shutdown_set_keep(false);
}

static void press(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static void test_power_button(Fixture *f, gconstpointer data)
{
    unsigned pressed = 0;

    powerdown_request(); /* there is none */
    powerdown_set_handler(press, &pressed);
    powerdown_request();
    g_assert_cmpuint(pressed, ==, 1);
    powerdown_set_handler(NULL, NULL);
    g_assert_cmpuint(powerdowns_told, ==, 2);
}

static void test_no_reboot(Fixture *f, gconstpointer data)
{
    int resets = atomic_load(&fake[0].resets);
    int status;

    reset_set_shutdown(true);
    reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    WAIT_FOR(shutdown_requested(&status));
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(atomic_load(&fake[0].resets), ==, resets);
    reset_set_shutdown(false);
}

static void test_clock_stands_with_machine(Fixture *f, gconstpointer data)
{
    int64_t now;

    vm_stop(RUN_STATE_PAUSED);
    now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    g_usleep(1000);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now);
    vm_start();
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), >=, now);
    WAIT_FOR(event_clock_ns(EVENT_CLOCK_VIRTUAL) > now);
}

/* The other order of ends: a vCPU that runs, one that sleeps, one that waits for SIPI. */
static void test_destroy_running(void)
{
    memset(fake, 0, sizeof(fake));
    atomic_store(&fake[1].program, HALT);
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, COUNT, 1 }, NULL));
    g_assert_true(vcpus_start(NULL));
    system_reset();
    vm_start();
    vcpu_sipi(vcpu_get(1), 1);
    wait_runs(0);
    vcpus_destroy();
    vm_stop(RUN_STATE_PAUSED);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*fn)(Fixture *f, gconstpointer data);
    } tests[] = {
        { "/vcpu/sipi", test_sipi },
        { "/vcpu/halt-and-wake", test_halt_and_wake },
        { "/vcpu/wake-race", test_wake_race },
        { "/vcpu/pause-nests", test_pause_nests },
        { "/vcpu/pause-race", test_pause_race },
        { "/vcpu/run-on-all", test_run_on_all },
        { "/vcpu/device-access", test_device_access },
        { "/vcpu/pause-with-contended-lock", test_pause_with_contended_lock },
        { "/vcpu/reset", test_reset },
        { "/vcpu/reset-waits-for-device-access", test_reset_waits },
        { "/vcpu/triple-fault", test_triple_fault },
        { "/vcpu/error", test_error },
        { "/vcpu/clock-stands-with-machine", test_clock_stands_with_machine },
        { "/vcpu/no-shutdown", test_no_shutdown },
        { "/vcpu/power-button", test_power_button },
        { "/vcpu/no-reboot", test_no_reboot }, /* last: a shutdown is for good */
    };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qapi_set_event_sink(watch_event, NULL);
    g_test_add_func("/accel/select", test_select);
    g_test_add_func("/vcpu/parked-until-started", test_parked_until_started);
    g_test_add_func("/vcpu/destroy-running", test_destroy_running);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    return g_test_run();
}
