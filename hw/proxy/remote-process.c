/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One remote process: its start, its control channel, its heartbeat, its death, and what follows from it.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The state (RemoteState) is changed by remote_set_state() alone, which tells the monitors.
 * Death is found out by whatever comes first: the pidfd, the end of the control channel, a heartbeat that is not
 * answered, a start that takes too long.  remote_died() then cuts everything that could wait for the process, at once:
 * the channel, the links (their devices read all ones from now on).  The word DEAD with the exit status follows when
 * the spawner has told it.  A process that does not end by itself within REAP_MS is killed.  So a monitor gets one
 * event that says all.
 */
#include "hw/proxy/remote-int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "qapi/qapi.h"
#include "system/runstate.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

/*
 * Time for a process whose channel has ended to end by itself, which says more than our SIGKILL; and longest wait for
 * its exit status after that.
 */
#define REAP_MS 250

/* Pause before the second, third, ... automatic restart within a minute: doubles from this. */
#define BACKOFF_MS 100
#define RESTART_WINDOW_MS 60000

/* Longest wait at the end of the program for processes that were asked to end. */
#define STOP_MS 5000

/* Bytes of a reason that are kept: it may be a remote's words, which can be long. */
#define REASON_MAX 1000

static const char *const state_names[] = {
    [REMOTE_STARTING] = "starting", [REMOTE_READY] = "ready",           [REMOTE_SUSPECT] = "suspect",
    [REMOTE_DEAD] = "dead",         [REMOTE_RESTARTING] = "restarting", [REMOTE_GONE] = "gone",
};

static bool stopping; /* the program ends: nothing is started any more */

const char *remote_state_name(RemoteState state)
{
    return state_names[state];
}

bool remote_stopping(void)
{
    return stopping;
}

bool remote_is_alive(const RemoteProcess *remote)
{
    return (remote->state == REMOTE_READY || remote->state == REMOTE_SUSPECT) && !remote->dying;
}

/* ---- the state ------------------------------------------------------------------------------- */

static void emit_state(RemoteProcess *remote, RemoteState from, const char *reason, const int *wait_status)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "id", remote->rid);
    json_object_set_string_member(data, "from", state_names[from]);
    json_object_set_string_member(data, "to", state_names[remote->state]);
    if (reason) {
        json_object_set_string_member(data, "reason", reason);
    }
    if (wait_status && WIFEXITED(*wait_status)) {
        json_object_set_int_member(data, "exit-status", WEXITSTATUS(*wait_status));
    } else if (wait_status && WIFSIGNALED(*wait_status)) {
        json_object_set_int_member(data, "signal", WTERMSIG(*wait_status));
    }
    qapi_event_emit("REMOTE_STATE", data);
}

void remote_set_state(RemoteProcess *remote, RemoteState to, const char *reason, const int *wait_status)
{
    RemoteState from = remote->state;

    if (from == to) {
        return;
    }
    trace_remote_state(remote->rid, state_names[from], state_names[to], reason ? reason : "");
    remote->state = to;
    emit_state(remote, from, reason, wait_status);
}

static void set_suspect(RemoteProcess *remote, bool suspect)
{
    g_autofree char *reason = NULL;

    if (suspect == (remote->state == REMOTE_SUSPECT)) {
        return;
    }
    if (suspect) {
        reason = g_strdup_printf("no answer for %u ms", remote->heartbeat_interval_ms);
    }
    remote_set_state(remote, suspect ? REMOTE_SUSPECT : REMOTE_READY, reason, NULL);
    for (guint i = 0; i < remote->devices->len; i++) {
        RemoteDevice *device = remote->devices->pdata[i];

        if (device->proxy) {
            pci_proxy_set_suspect(device->proxy, suspect);
        }
    }
}

static void kill_child(RemoteProcess *remote)
{
    remote->killed = true;
    remote_child_kill(remote->child);
    event_timer_arm(remote->reap, event_clock_ns(EVENT_CLOCK_REAL) + REAP_MS * NS_PER_MS);
}

void remote_give_up(RemoteProcess *remote, const char *reason)
{
    remote_died(remote, reason);
    if (remote->dying && remote->child) {
        kill_child(remote);
    }
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

static void arm_heartbeat(RemoteProcess *remote, int64_t ms)
{
    event_timer_arm(remote->heartbeat, event_clock_ns(EVENT_CLOCK_REAL) + ms * NS_PER_MS);
}

static void remote_beat(RemoteProcess *remote)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL), silent_ms;
    /* When we ourselves did not run (a suspended host), the answer lies unread: no judgement this time. */
    bool late = now - remote->last_beat > 2 * (int64_t)remote->heartbeat_interval_ms * NS_PER_MS;

    remote->last_beat = now;
    qmp_client_ping(remote->control, &silent_ms);
    trace_remote_beat(remote->rid, silent_ms, late);
    if (late) {
        arm_heartbeat(remote, remote->heartbeat_interval_ms);
        return;
    }
    if (silent_ms >= remote->heartbeat_limit_ms) {
        g_autofree char *reason = g_strdup_printf("it has not answered for %" G_GINT64_FORMAT " ms", silent_ms);

        remote_give_up(remote, reason);
        return;
    }
    set_suspect(remote, silent_ms >= remote->heartbeat_interval_ms);
    arm_heartbeat(remote, MIN(remote->heartbeat_interval_ms, remote->heartbeat_limit_ms - silent_ms));
}

static void heartbeat_timer(void *opaque)
{
    RemoteProcess *remote = opaque;

    if (remote->state == REMOTE_READY || remote->state == REMOTE_SUSPECT) {
        remote_beat(remote);
    } else {
        g_autofree char *reason = g_strdup_printf("it was not ready %u ms after its start", remote->timeout_ms);

        remote_give_up(remote, reason);
    }
}

/* ---- death ----------------------------------------------------------------------------------- */

/* Tells who waits for a restart of its end. */
static void tell_restart(RemoteProcess *remote, const GError *err)
{
    RemoteDone *done = g_steal_pointer(&remote->restart_done);

    if (done) {
        done(err, remote->restart_opaque);
    }
}

static void launch(RemoteProcess *remote, RemoteState state);

/* Room for one more automatic restart within the window; *ret_ms: the pause before it. */
static bool take_restart(RemoteProcess *remote, int64_t *ret_ms)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    unsigned recent = 0, oldest = 0;

    for (unsigned i = 0; i < REMOTE_RESTARTS_MAX; i++) {
        recent += remote->restart_at[i] && now - remote->restart_at[i] < RESTART_WINDOW_MS * NS_PER_MS;
        oldest = remote->restart_at[i] < remote->restart_at[oldest] ? i : oldest;
    }
    if (recent == REMOTE_RESTARTS_MAX) {
        return false;
    }
    remote->restart_at[oldest] = now;
    *ret_ms = recent ? BACKOFF_MS << (recent - 1) : 0;
    return true;
}

/* on-death=restart, before the death is told: whether there will be one; *ret_ms: the pause before it. */
static bool plan_restart(RemoteProcess *remote, int64_t *ret_ms)
{
    char *reason = remote->reason;

    if (!remote->ever_ready || remote->on_death != REMOTE_ON_DEATH_RESTART || stopping) {
        return false;
    }
    if (take_restart(remote, ret_ms)) {
        return true;
    }
    remote->reason = g_strdup_printf("%s; it was restarted %d times within a minute, that is enough: remote_restart %s "
                                     "tries again", reason, REMOTE_RESTARTS_MAX, remote->rid);
    g_free(reason);
    return false;
}

static void apply_policy(RemoteProcess *remote)
{
    switch (remote->on_death) {
    case REMOTE_ON_DEATH_DETACH:
    case REMOTE_ON_DEATH_RESTART: /* plan_restart() */
        break;
    case REMOTE_ON_DEATH_PAUSE:
        remote_pause(remote);
        break;
    case REMOTE_ON_DEATH_EXIT:
        log_error("remote process '%s' has died, and on-death=exit: this program ends", remote->rid);
        shutdown_request(1);
    }
}

static char *status_text(const int *wait_status)
{
    if (wait_status && WIFSIGNALED(*wait_status)) {
        return g_strdup_printf(" (signal %d%s)", WTERMSIG(*wait_status), WTERMSIG(*wait_status) == SIGSYS ?
                               ": a system call that its sandbox forbids; -remote sandbox=log tells which" : "");
    }
    return wait_status ? g_strdup_printf(" (exit status %d)", WEXITSTATUS(*wait_status)) : g_strdup("");
}

/* The second half of remote_died(): all that will be known is known. */
static void finish_death(RemoteProcess *remote, const int *wait_status)
{
    g_autofree char *how = status_text(wait_status);
    bool asked = remote->restart_asked, again;
    g_autoptr(GError) err = NULL;
    int64_t pause_ms = 0;

    event_timer_disarm(remote->reap);
    remote_bring_up_abort(remote);
    remote_ops_drop_bring_up(remote);
    g_free(remote->reason);
    remote->reason = g_steal_pointer(&remote->dying);
    remote->restart_asked = false;
    again = !asked && plan_restart(remote, &pause_ms);
    if (!asked) {
        log_error("remote process '%s' is dead: %s%s", remote->rid, remote->reason, how);
    }
    remote_set_state(remote, REMOTE_DEAD, remote->reason, wait_status);
    remote_device_death_over(remote);
    if (stopping) {
        return;
    }
    if (asked) {
        launch(remote, REMOTE_RESTARTING);
    } else if (again) {
        event_timer_arm(remote->reap, event_clock_ns(EVENT_CLOCK_REAL) + pause_ms * NS_PER_MS);
    } else {
        error_setg(&err, "remote process '%s' could not be restarted: %s%s", remote->rid, remote->reason, how);
        if (remote->ever_ready) {
            apply_policy(remote);
        }
        tell_restart(remote, err);
    }
    remote_ops_continue(remote);
}

/* REASON as it may be kept and shown on a terminal. */
static char *cut_reason(const char *reason)
{
    g_autofree char *cut = g_strndup(reason, REASON_MAX);

    for (char *p = cut; *p; p++) {
        *p = g_ascii_iscntrl(*p) ? '?' : *p;
    }
    return g_utf8_make_valid(cut, -1);
}

void remote_died(RemoteProcess *remote, const char *reason)
{
    QmpClient *control;
    uint64_t received, sent;

    if (stopping || remote->dying || remote->state == REMOTE_DEAD || remote->state == REMOTE_GONE) {
        return;
    }
    control = g_steal_pointer(&remote->control);
    remote->greeted = false;
    remote->dying = cut_reason(reason);
    remote_child_cut(remote->child);
    event_timer_disarm(remote->heartbeat);
    for (guint i = 0; i < remote->devices->len; i++) {
        RemoteDevice *device = remote->devices->pdata[i];

        if (device->proxy) {
            pci_proxy_kill(device->proxy, remote->dying);
        }
    }
    remote_device_abort(remote);
    remote->killed = false;
    event_timer_arm(remote->reap, remote->child ? event_clock_ns(EVENT_CLOCK_REAL) + REAP_MS * NS_PER_MS : 0);
    if (control) {
        qmp_client_counters(control, &received, &sent);
        remote->control_received += received;
        remote->control_sent += sent;
        qmp_client_free(control); /* the command under way fails, and its chain ends */
    }
}

/* It has not ended by itself; or its exit status is late, or there is none; or the pause before a restart is over. */
static void reap_timer(void *opaque)
{
    RemoteProcess *remote = opaque;

    if (remote->dying && remote->child && !remote->killed) {
        kill_child(remote);
    } else if (remote->dying) {
        remote_child_end(g_steal_pointer(&remote->child));
        finish_death(remote, NULL);
    } else if (remote->state == REMOTE_DEAD) {
        launch(remote, REMOTE_RESTARTING);
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static void child_failed(const GError *err, void *opaque)
{
    RemoteProcess *remote = opaque;

    remote->child = NULL;
    remote_died(remote, err->message);
    /* Its control channel may have ended first, which says less. */
    if (remote->dying) {
        g_free(remote->dying);
        remote->dying = g_strdup(err->message);
        finish_death(remote, NULL);
    }
}

static void child_dead(void *opaque)
{
    remote_died(opaque, "the process has ended");
}

static void child_exited(const int *wait_status, void *opaque)
{
    RemoteProcess *remote = opaque;

    static const char reason[] = "the process has ended";

    remote->child = NULL;
    remote_died(remote, reason);
    if (remote->dying) {
        /*
         * A crash is why its channels have ended, whatever was noticed first; one that exits may do so since we closed.
         */
        if (!remote->killed && wait_status && WIFSIGNALED(*wait_status)) {
            g_free(remote->dying);
            remote->dying = g_strdup(reason);
        }
        finish_death(remote, wait_status);
    }
}

/* The greeting may be here before the spawner's word: without a pid nobody could see or end it. */
static void bring_up_if_known(RemoteProcess *remote)
{
    if (remote->greeted && (remote->launched || (remote->child && remote_child_pid(remote->child) != 0))) {
        remote->greeted = false;
        remote_bring_up(remote);
    }
}

static void child_started(void *opaque)
{
    bring_up_if_known(opaque);
}

static const RemoteChildOps child_ops = { child_started, child_failed, child_dead, child_exited };

static void control_ready(QmpClient *client, void *opaque)
{
    RemoteProcess *remote = opaque;

    remote->greeted = true;
    bring_up_if_known(remote);
}

static void control_closed(QmpClient *client, const char *reason, void *opaque)
{
    g_autofree char *text = g_strdup_printf("control channel: %s", reason);

    remote_died(opaque, text);
}

static const QmpClientOps control_ops = { control_ready, remote_event, control_closed };

/* What the process is started with. */
static const char *const sandbox_options[] = {
    [REMOTE_SANDBOX_DEFAULT] = NULL,
    [REMOTE_SANDBOX_OFF] = "off",
    [REMOTE_SANDBOX_LOG] = "log",
    [REMOTE_SANDBOX_SECCOMP] = "on,ns=off",
    [REMOTE_SANDBOX_ON] = "on",
};

/*
 * What its sandbox needs, and cannot make for itself without one process more.  Not for another program unless a
 * sandbox was asked for: as the first process of a namespace it would not die of most signals.
 */
static bool wants_pid_namespace(const RemoteProcess *remote)
{
    return remote->sandbox == REMOTE_SANDBOX_ON || (remote->sandbox == REMOTE_SANDBOX_DEFAULT && remote->own_program);
}

/* PATH with SANDBOX as what may be started. */
static void add_form(GArray *forms, const char *path, const char *sandbox)
{
    SpawnForm form = { path, remote_child_arguments(sandbox) };

    g_array_append_val(forms, form);
}

/* Our own program where no exec= names another; false with *errp when it is not there. */
static bool choose_program(RemoteProcess *remote, GError **errp)
{
    if (!remote->exec) {
        remote->exec = remote_default_program(errp);
        remote->own_program = remote->exec != NULL;
    }
    return remote->exec != NULL;
}

static GArray *collected; /* of SpawnForm, inside remote_restrict_programs() */

static void collect_form(RemoteProcess *remote)
{
    /* One that is not there is told when it is to be started. */
    if (!remote->launched && choose_program(remote, NULL)) {
        add_form(collected, remote->exec, sandbox_options[remote->sandbox]);
    }
}

bool remote_restrict_programs(GError **errp)
{
    g_autofree char *program = remote_default_program(NULL);
    g_autoptr(GArray) forms = g_array_new(false, false, sizeof(SpawnForm));
    bool done;

    if (program) {
        add_form(forms, program, NULL);
    }
    collected = forms;
    remote_for_all(collect_form);
    collected = NULL;
    done = spawner_restrict((const SpawnForm *)(void *)forms->data, forms->len, errp);
    for (unsigned i = 0; i < forms->len; i++) {
        g_free((void *)g_array_index(forms, SpawnForm, i).args);
    }
    return done;
}

/* The process's program and both ends of its control channel; ours is returned. */
static int spawn_child(RemoteProcess *remote, GError **errp)
{
    int pair[2];

    if (!choose_program(remote, errp)) {
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_setg_errno(errp, errno, "cannot make a socket pair; raise the limit of descriptors (ulimit -n)");
        return -1;
    }
    remote->child = remote_child_spawn(remote->rid, remote->exec, sandbox_options[remote->sandbox],
                                       wants_pid_namespace(remote), pair[1], &child_ops, remote, errp);
    fd_close(&pair[1]);
    if (!remote->child) {
        fd_close(&pair[0]);
    }
    return pair[0];
}

static bool open_control(RemoteProcess *remote, GError **errp)
{
    auto_fd control = -1;

    if (remote->launched && remote->given_control < 0) {
        error_setg(errp, "the process that its launcher started has ended");
        return false;
    }
    control = remote->launched ? fd_steal(&remote->given_control) : spawn_child(remote, errp);
    if (control < 0) {
        return false;
    }
    remote->control = qmp_client_new_take_fd(fd_steal(&control), &control_ops, remote, errp);
    return remote->control != NULL;
}

static void launch(RemoteProcess *remote, RemoteState state)
{
    g_autoptr(GError) err = NULL;

    remote_watch_runstate();
    remote_watch_reset();
    device_set_del_handler(remote_device_del_handler, NULL);
    if (!remote->heartbeat) {
        remote->heartbeat = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, heartbeat_timer, remote);
        remote->reap = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, reap_timer, remote);
    }
    event_timer_disarm(remote->reap);
    remote->greeted = false;
    remote->io_stopped = remote->stop_refused = false;
    remote_set_state(remote, state, NULL, NULL);
    arm_heartbeat(remote, remote->timeout_ms);
    if (!open_control(remote, &err)) {
        remote_died(remote, err->message);
    }
}

void remote_start(RemoteProcess *remote)
{
    if (!stopping) {
        launch(remote, REMOTE_STARTING);
    }
}

void remote_brought_up(RemoteProcess *remote, const GError *err)
{
    bool restarted = remote->state == REMOTE_RESTARTING;

    if (stopping || remote->dying || (!restarted && remote->state != REMOTE_STARTING)) {
        return;
    }
    if (err) {
        g_autofree char *reason = g_strdup_printf("it could not be set up: %s", err->message);

        remote_give_up(remote, reason);
        return;
    }
    remote->restarts += restarted;
    remote->ever_ready = true;
    g_clear_pointer(&remote->reason, g_free);
    remote_set_state(remote, REMOTE_READY, NULL, NULL);
    remote->last_beat = event_clock_ns(EVENT_CLOCK_REAL);
    arm_heartbeat(remote, remote->heartbeat_interval_ms);
    remote_pause_end(remote);
    tell_restart(remote, NULL);
    remote_bring_up_check(remote);
}

/* ---- the user's restart, the end ------------------------------------------------------------- */

void remote_restart(const char *rdev_id, RemoteDone *done, void *opaque)
{
    GError *err = NULL;
    RemoteProcess *remote = remote_find(rdev_id, &err);

    if (remote && remote->launched) {
        error_setg(&err, "remote process '%s' was started by a launcher; restart it there", remote->rid);
    } else if (remote && (remote->dying || remote->restart_done || remote->state == REMOTE_STARTING ||
                          remote->state == REMOTE_RESTARTING)) {
        error_setg(&err, "remote process '%s' is being started; wait for its REMOTE_STATE event", remote->rid);
    } else if (remote && remote->state == REMOTE_GONE) {
        error_setg(&err, "remote process '%s' has no devices and drives and does not run; add one", remote->rid);
    }
    if (err) {
        remote_answer_later(err, done, opaque);
        return;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): without a remote there is an error */
    memset(remote->restart_at, 0, sizeof(remote->restart_at));
    remote->restart_done = done;
    remote->restart_opaque = opaque;
    if (remote->state == REMOTE_DEAD) {
        launch(remote, REMOTE_RESTARTING);
    } else {
        remote->restart_asked = true;
        remote_give_up(remote, "a restart was asked for");
    }
}

void remote_process_clear(RemoteProcess *remote)
{
    QmpClient *control = g_steal_pointer(&remote->control);

    if (remote->child) {
        qmp_client_say_last(control, "quit");
    }
    qmp_client_free(control);
    remote_child_end(g_steal_pointer(&remote->child));
    g_clear_pointer(&remote->heartbeat, event_timer_free);
    g_clear_pointer(&remote->reap, event_timer_free);
    g_clear_pointer(&remote->pci_types, g_hash_table_unref);
    g_clear_pointer(&remote->dying, g_free);
}

void remote_end(RemoteProcess *remote)
{
    remote_process_clear(remote);
    remote->ever_ready = false;
    remote->io_stopped = false;
    memset(remote->restart_at, 0, sizeof(remote->restart_at));
    remote_pause_end(remote);
    remote_drop(remote);
}

static void stop_one(RemoteProcess *remote)
{
    g_autoptr(GError) err = NULL;

    error_setg(&err, "the program ends");
    remote_process_clear(remote);
    remote_bring_up_abort(remote);
    remote_device_abort(remote);
    remote_device_death_over(remote);
    remote_ops_clear(remote);
    tell_restart(remote, err);
    remote->state = REMOTE_GONE; /* no event: the monitors are told of the shutdown */
}

static void set_flag(void *opaque)
{
    *(bool *)opaque = true;
}

/* An operation has not ended: it waits for a proxy. */
static bool is_busy(const RemoteProcess *remote)
{
    return remote->current != NULL;
}

void remote_processes_stop(void)
{
    bool over = false;
    EventTimer *limit = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, set_flag, &over);

    stopping = true;
    remote_for_all(stop_one);
    event_timer_arm(limit, event_clock_ns(EVENT_CLOCK_REAL) + STOP_MS * NS_PER_MS);
    while ((remote_children() > 0 || remote_any(is_busy)) && !over) {
        event_loop_turn(event_loop_main(), true);
    }
    event_timer_free(limit);
}
