/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/: error, iov, log, machine-lock, rcu, trace.
 *
 * Runs in: neither program.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/iov.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/rcu.h"
#include "tests-unit.h"
#include "util-rig.h"

/* ---- helpers -------------------------------------------------------------------------------- */

/* Redirects descriptor FD to a memory file; capture_end() gives the text written since. */
typedef struct Capture {
    int fd, saved, file;
} Capture;

static Capture capture_begin(int fd)
{
    Capture capture = { fd, dup(fd), memfd_create("capture", MFD_CLOEXEC) };

    g_assert_cmpint(capture.saved, >=, 0);
    g_assert_cmpint(capture.file, >=, 0);
    fflush(stdout);
    g_assert_cmpint(dup2(capture.file, fd), ==, fd);
    return capture;
}

static char *capture_end(Capture *capture)
{
    off_t len;
    char *text;

    fflush(stdout);
    g_assert_cmpint(dup2(capture->saved, capture->fd), ==, capture->fd);
    len = lseek(capture->file, 0, SEEK_END);
    text = g_malloc0((gsize)len + 1);
    g_assert_cmpint(pread(capture->file, text, (size_t)len, 0), ==, len);
    fd_close(&capture->saved);
    fd_close(&capture->file);
    return text;
}
/* ---- error ---------------------------------------------------------------------------------- */

static void test_error(void)
{
    g_autoptr(GError) err = NULL;

    error_setg(&err, "a %d", 1);
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    g_assert_cmpstr(err->message, ==, "a 1");
    g_clear_error(&err);
    error_setg_errno(&err, ENOENT, "open '%s'", "x%s");
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    g_assert_cmpstr(err->message, ==, "open 'x%s': No such file or directory");
    g_clear_error(&err);
    error_set(&err, ERROR_CLASS_DEVICE_NOT_FOUND, "no '%s'", "x");
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_assert_cmpstr(err->message, ==, "no 'x'");
    error_setg(NULL, "a");
    error_setg_errno(NULL, ENOENT, "a");
    error_set(NULL, ERROR_CLASS_GENERIC, "a");
}

/* ---- iov ------------------------------------------------------------------------------------ */

/* Pieces of 3, 0, 5 and 2 bytes of MEMORY, with a gap of a byte after each. */
static void make_iov(char memory[16], struct iovec iov[4])
{
    memset(memory, '.', 15);
    memory[15] = 0;
    iov[0] = (struct iovec) { memory, 3 };
    iov[1] = (struct iovec) { memory + 4, 0 };
    iov[2] = (struct iovec) { memory + 4, 5 };
    iov[3] = (struct iovec) { memory + 10, 2 };
}

static void test_iov_copy(void)
{
    char memory[16], back[16] = "";
    struct iovec iov[4];

    make_iov(memory, iov);
    g_assert_cmpuint(iov_from_buf(iov, 4, 0, "abcdefghijkl", 12), ==, 10);
    g_assert_cmpstr(memory, ==, "abc.defgh.ij...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 2, "CDE", 3), ==, 3);
    g_assert_cmpstr(memory, ==, "abC.DEfgh.ij...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 8, "XYZ", 3), ==, 2);
    g_assert_cmpstr(memory, ==, "abC.DEfgh.XY...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 10, "!", 1), ==, 0);
    g_assert_cmpuint(iov_from_buf(iov, 4, SIZE_MAX, "!", 1), ==, 0);
    g_assert_cmpuint(iov_from_buf(iov, 4, 0, NULL, 0), ==, 0);
    g_assert_cmpuint(iov_to_buf(iov, 4, 1, back, 15), ==, 9);
    g_assert_cmpstr(back, ==, "bCDEfghXY");
    g_assert_cmpuint(iov_to_buf(iov, 2, 0, back, 15), ==, 3);
    g_assert_cmpuint(iov_memset(iov, 4, 3, '#', 6), ==, 6);
    g_assert_cmpstr(memory, ==, "abC.#####.#Y...");
    g_assert_cmpuint(iov_memset(iov, 4, 9, '*', SIZE_MAX), ==, 1);
    g_assert_cmpstr(memory, ==, "abC.#####.#*...");
}

/* ---- log ------------------------------------------------------------------------------------ */

static void test_log_lines(void)
{
    Capture capture = capture_begin(STDERR_FILENO);
    g_autofree char *text = NULL;

    log_error("bad %d%%", 7);
    log_warn("odd\n");
    log_guest_error("x\x1b[2Jy\nz\x7f\tu\xc3\xa4");
    text = capture_end(&capture);
    g_assert_cmpstr(text, ==, "test-util: bad 7%\n"
                    "test-util: warning: odd\n"
                    "test-util: guest error: x?[2Jy z? u\xc3\xa4\n");
}

static void test_log_long_line(void)
{
    g_autofree char *just = g_strnfill(4095 - strlen("test-util: "), 'a');
    g_autofree char *longer = g_strconcat(just, "b", NULL);
    Capture capture = capture_begin(STDERR_FILENO);
    g_autofree char *text = NULL;

    log_error("%s", just);
    log_error("%s", longer);
    text = capture_end(&capture);
    g_assert_cmpuint(strlen(text), ==, 2 * 4096);
    g_assert_cmpint(text[4095], ==, '\n');
    g_assert_cmpint(text[4094], ==, 'a');
    g_assert_true(g_str_has_suffix(text, "aaa...\n"));
}

static void test_log_rate(void)
{
    enum { BURST = 1000 };
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL), seconds;
    unsigned written = 0, suppressed = 0;
    Capture capture;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    capture = capture_begin(STDERR_FILENO);
    for (int i = 0; i < BURST; i++) {
        log_guest_error("line %d", i);
    }
    seconds = (event_clock_ns(EVENT_CLOCK_REAL) - start) / 1000000000;
    /* The next second tells how many were dropped. */
    g_usleep(1100000);
    log_guest_error("line %d", BURST);
    text = capture_end(&capture);

    lines = g_strsplit(text, "\n", -1);
    for (; lines[written][0]; written++) {
        const char *note = strstr(lines[written], " (");
        unsigned count = 0;

        if (note && sscanf(note, " (%u earlier such lines suppressed)", &count) == 1) {
            suppressed += count;
        }
    }
    g_assert_cmpuint(written + suppressed, ==, BURST + 1);
    g_assert_cmpuint(written, <=, 10 * (seconds + 2) + 1);
    g_assert_cmpuint(written, >=, 8); /* the test before took one of this second's lines */
}

/* ---- machine lock --------------------------------------------------------------------------- */

enum { LOCK_THREADS = 3, LOCK_ROUNDS = 5000 };

static int guarded; /* machine lock; ThreadSanitizer checks that */

static void *lock_rounds(void *opaque)
{
    for (int i = 0; i < LOCK_ROUNDS; i++) {
        g_assert_false(machine_locked());
        machine_lock();
        g_assert_true(machine_locked());
        guarded++;
        machine_unlock();
    }
    return NULL;
}

static void test_machine_lock(void)
{
    pthread_t threads[LOCK_THREADS];

    machine_lock();
    for (int i = 0; i < LOCK_THREADS; i++) {
        /* They see their own state, not ours. */
        pthread_create(&threads[i], NULL, lock_rounds, NULL);
    }
    guarded = 0;
    machine_unlock();
    for (int i = 0; i < LOCK_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    g_assert_cmpint(guarded, ==, LOCK_THREADS * LOCK_ROUNDS);
    g_assert_false(machine_locked());
}

/* ---- rcu ------------------------------------------------------------------------------------ */

enum { RCU_READERS = 3, RCU_UPDATES = 100, RCU_MAGIC = 0x5a5a5a5a };

typedef struct View {
    int magic, copy;
} View;

static View *view; /* RCU */
static atomic_bool readers_stop;
static atomic_int readers_started;

static void check_view(const View *seen)
{
    g_assert_cmpint(seen->magic, ==, RCU_MAGIC);
    g_assert_cmpint(seen->copy, ==, RCU_MAGIC);
}

static void *read_views(void *opaque)
{
    atomic_fetch_add(&readers_started, 1);
    while (!atomic_load(&readers_stop)) {
        const View *seen;

        rcu_read_lock();
        seen = rcu_load(&view);
        check_view(seen);
        rcu_read_lock();
        check_view(rcu_load(&view));
        rcu_read_unlock();
        /* The inner section's end does not end ours. */
        check_view(seen);
        rcu_read_unlock();
        sched_yield(); /* be preempted here rather than in the section: the writers wait less */
    }
    return NULL;
}

static View *new_view(void)
{
    View *made = g_new(View, 1);

    made->magic = made->copy = RCU_MAGIC;
    return made;
}

static void *read_once(void *opaque)
{
    rcu_read_lock();
    check_view(rcu_load(&view));
    rcu_read_unlock();
    return NULL;
}

static void *update_views(void *opaque)
{
    for (int i = 0; i < RCU_UPDATES; i++) {
        View *old;

        machine_lock(); /* writers exclude each other, as the memory topology's do */
        old = view;
        rcu_store(&view, new_view());
        machine_unlock();
        rcu_synchronize();
        old->magic = old->copy = 0;
        g_free(old);
    }
    return NULL;
}

static void test_rcu_readers(void)
{
    pthread_t readers[RCU_READERS], writers[2];

    view = new_view();
    for (int i = 0; i < RCU_READERS; i++) {
        pthread_create(&readers[i], NULL, read_views, NULL);
    }
    while (atomic_load(&readers_started) < RCU_READERS) {
        g_usleep(100);
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&writers[i], NULL, update_views, NULL);
    }
    /* Threads that come and go meanwhile register and unregister. */
    for (int i = 0; i < 50; i++) {
        pthread_t brief;

        pthread_create(&brief, NULL, read_once, NULL);
        pthread_join(brief, NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&readers_stop, true);
    for (int i = 0; i < RCU_READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    rcu_synchronize();
    g_clear_pointer(&view, g_free);
}

static atomic_bool synchronized;

static void *synchronize(void *opaque)
{
    rcu_synchronize();
    atomic_store(&synchronized, true);
    return NULL;
}

static void test_rcu_waits(void)
{
    pthread_t thread;

    rcu_synchronize();
    rcu_read_lock();
    rcu_read_lock();
    pthread_create(&thread, NULL, synchronize, NULL);
    rcu_read_unlock();
    /* Can only find an error, never make one: the thread may be slow, but it may not be done. */
    for (int i = 0; i < 20; i++) {
        g_usleep(1000);
        g_assert_false(atomic_load(&synchronized));
    }
    rcu_read_unlock();
    pthread_join(thread, NULL);
    g_assert_true(atomic_load(&synchronized));
}

/* ---- trace ---------------------------------------------------------------------------------- */

static TraceEvent *const *const tables[] = { trace_events_tests_unit, NULL };

static void append_state(const char *name, bool enabled, void *opaque)
{
    g_string_append_printf(opaque, "%s=%d;", name, enabled);
}

static char *event_states(void)
{
    GString *text = g_string_new(NULL);

    trace_foreach(append_state, text);
    return g_string_free(text, FALSE);
}

#define ASSERT_STATES(expected) \
    do { \
        g_autofree char *states_ = event_states(); \
        g_assert_cmpstr(states_, ==, expected); \
    } while (0)

static void test_trace_patterns(void)
{
    g_autoptr(GError) err = NULL;

    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
    g_assert_true(trace_enable_pattern("test_[nv]*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    g_assert_true(trace_enable_pattern("-test_v*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=0;");
    g_assert_true(trace_enable_pattern("*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=1;test_void=1;");
    g_assert_true(trace_enable_pattern("*", false, &err));
    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
    g_assert_no_error(err);
    g_assert_false(trace_enable_pattern("-nothing*", true, &err));
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    assert_contains(err->message, "'nothing*'; ");
}

static void test_trace_output(void)
{
    g_autofree char *huge = g_strnfill(5000, 'x');
    g_autofree char *pid = g_strdup_printf(" %d test_", (int)getpid());
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Capture capture = capture_begin(STDERR_FILENO);

    trace_test_numbers(1, 2, 3);
    g_assert_true(trace_enable_pattern("*", true, NULL));
    trace_test_void();
    trace_test_numbers(-5, UINT64_MAX, 6);
    trace_test_text("a\n\x1b" "b", NULL, true);
    trace_test_text(huge, NULL, true);
    g_assert_true(trace_enable_pattern("*", false, NULL));
    trace_test_void();
    text = capture_end(&capture);

    lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 5);
    for (int i = 0; i < 4; i++) {
        unsigned seconds, micros;

        g_assert_cmpint(sscanf(lines[i], "%u.%6u ", &seconds, &micros), ==, 2);
        assert_contains(lines[i], pid);
    }
    g_assert_true(g_str_has_suffix(lines[0], " test_void nothing to tell"));
    g_assert_true(g_str_has_suffix(lines[1],
                                   " test_numbers count=-5 addr=0xffffffffffffffff len=6"));
    g_assert_true(g_str_has_suffix(lines[2], " test_text name=\"a??b\" ptr=(nil) flag=1"));
    g_assert_cmpuint(strlen(lines[3]), <, 1024);
    g_assert_true(g_str_has_suffix(lines[3], "xxxx"));
}

static void test_trace_option(void)
{
    g_autofree char *dir = g_dir_make_tmp("util-XXXXXX", NULL);
    g_autofree char *output = g_build_filename(dir, "output", NULL);
    g_autofree char *events = g_build_filename(dir, "events", NULL);
    g_autofree char *arg = g_strdup_printf("events=%s,file=%s", events, output);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    bool ret_exit = false;

    g_assert_true(g_file_set_contents(events, "# comment\n\n  test_*  \n-test_text\n", -1, NULL));
    g_assert_true(trace_parse_option(arg, &ret_exit, &err));
    g_assert_no_error(err);
    g_assert_false(ret_exit);
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    trace_test_void();
    g_assert_true(g_file_get_contents(output, &text, NULL, NULL));
    assert_contains(text, " test_void nothing to tell\n");
    /* Once more: appends, and closes the first. */
    g_assert_true(trace_parse_option(arg, &ret_exit, &err));
    trace_test_void();
    g_free(text);
    g_assert_true(g_file_get_contents(output, &text, NULL, NULL));
    g_assert_true(g_strstr_len(strstr(text, "tell\n") + 5, -1, "tell\n") != NULL);

    g_assert_true(trace_parse_option("-test_void", &ret_exit, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=0;");
    g_assert_true(trace_parse_option("enable=test_void", &ret_exit, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    g_assert_true(trace_enable_pattern("*", false, NULL));

    g_assert_true(g_file_set_contents(events, "test_void\nnothing\n", -1, NULL));
    g_assert_false(trace_parse_option(arg, &ret_exit, &err));
    assert_contains(err->message, "events:2: ");
    assert_contains(err->message, "'nothing'; ");
    g_assert_true(trace_enable_pattern("*", false, NULL));
    g_unlink(events);
    g_unlink(output);
    g_rmdir(dir);
}

static void test_trace_option_errors(void)
{
    static const struct {
        const char *arg, *part;
    } bad[] = {
        { "nothing", "-trace: no trace event matches 'nothing'; " },
        { "colour=red", "-trace: unknown parameter 'colour' (value 'red'); " },
        { "events=/no/such", "'events' does not accept '/no/such': " },
        { "file=/no/such/dir/x", "'file': Could not open '/no/such/dir/x': No such file" },
        { "a b=c", "-trace: " },
    };
    bool ret_exit = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(trace_parse_option(bad[i].arg, &ret_exit, &err));
        g_assert_nonnull(err);
        assert_contains(err->message, bad[i].part);
        g_assert_false(ret_exit);
    }
    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
}

static void test_trace_help(void)
{
    Capture capture = capture_begin(STDOUT_FILENO);
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    bool ret_exit = false;
    bool ok = trace_parse_option("help", &ret_exit, &err);

    text = capture_end(&capture);
    g_assert_true(ok);
    g_assert_true(ret_exit);
    g_assert_cmpstr(text, ==, "test_numbers\ntest_text\ntest_void\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_init("test-util");
    trace_init(tables);
    g_test_add_func("/error/class-and-text", test_error);
    g_test_add_func("/iov/copy", test_iov_copy);
    g_test_add_func("/log/lines-without-control-characters", test_log_lines);
    g_test_add_func("/log/cuts-long-lines", test_log_long_line);
    g_test_add_func("/log/guest-errors-at-limited-rate", test_log_rate);
    g_test_add_func("/machine-lock/excludes", test_machine_lock);
    g_test_add_func("/rcu/readers-see-live-objects", test_rcu_readers);
    g_test_add_func("/rcu/synchronize-waits-for-section", test_rcu_waits);
    g_test_add_func("/trace/patterns", test_trace_patterns);
    g_test_add_func("/trace/output-lines", test_trace_output);
    g_test_add_func("/trace/option", test_trace_option);
    g_test_add_func("/trace/option-errors", test_trace_option_errors);
    g_test_add_func("/trace/help-lists-names", test_trace_help);
    return g_test_run();
}
