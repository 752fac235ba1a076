/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching the processes: passing signals on, noticing ends, winding the remotes down.
 *
 * Runs in: mpqemu-launch.
 *
 * Theory of operation.  All signals are blocked and taken one by one by sigtimedwait(), SIGCHLD among them, so there
 * are no handlers, no descriptors and no races.
 *
 * The emulator is in the launcher's process group.  A signal from the terminal (Ctrl-C, Ctrl-\, Ctrl-Z, a new size)
 * comes from the kernel and goes to the whole group, so the emulator has it already; a signal from kill(2) goes to
 * the launcher and is passed on.  A lost terminal is told to the session's leader only (SIGHUP, SIGCONT).  Remotes are
 * in sessions of their own: they end when their links end, not while the emulator still uses them.
 */
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"

/*
 * A remote that ends with status 0 has lost its links.  Most often that is the emulator's end, of which the kernel
 * tells a moment later.  Only when there is none is it worth a word.
 */
#define CLEAN_END_US (1 * G_USEC_PER_SEC)

typedef enum WatchStage {
    STAGE_EMULATOR,  /* it runs */
    STAGE_LINKS,     /* it has ended, and with it all links; remotes end by themselves */
    STAGE_TERMINATE, /* SIGTERM was sent to those that had not */
    STAGE_KILL,      /* SIGKILL was */
    STAGE_GIVEN_UP,  /* even so one is left: the kernel does not let it go */
} WatchStage;

typedef struct Watch {
    LaunchPlan *plan;
    WatchStage stage;
    int64_t stage_end_us; /* monotonic; for the stages LINKS to KILL */
} Watch;

/* ---- ends ----------------------------------------------------------------------------------------------------- */

static void log_end(const LaunchProcess *process, const char *when)
{
    const char *comma = process->devices ? ", " : "";
    const char *devices = process->devices ? process->devices : "";

    if (WIFSIGNALED(process->status)) {
        log_error("%s (process %d%s%s) was killed by signal %d (%s) %s", process->title, (int)process->pid, comma,
                  /* NOLINTNEXTLINE(concurrency-mt-unsafe): the launcher has one thread */
                  devices, WTERMSIG(process->status), strsignal(WTERMSIG(process->status)), when);
    } else {
        log_error("%s (process %d%s%s) ended with status %d %s", process->title, (int)process->pid, comma, devices,
                  WEXITSTATUS(process->status), when);
    }
}

static void process_ended(Watch *watch, pid_t pid, int status)
{
    LaunchProcess *process = watch->plan->emulator;

    for (guint i = 0; process->pid != pid; i++) {
        if (i == watch->plan->remotes->len) {
            return; /* an orphan that came to us because the launcher is the init of a container */
        }
        process = watch->plan->remotes->pdata[i];
    }
    process->ended = true;
    process->status = status;
    process->ended_us = g_get_monotonic_time();
}

/* Tells of each remote whose end is news. */
static void tell_ends(const Watch *watch)
{
    bool running = watch->stage == STAGE_EMULATOR;
    const char *when = running ? "while the emulator runs" : watch->plan->emulator->pid ? "after the emulator's end"
                               : "and the emulator was not started";

    for (guint i = 0; i < watch->plan->remotes->len; i++) {
        LaunchProcess *remote = watch->plan->remotes->pdata[i];

        if (!remote->ended || remote->told) {
            continue;
        }
        if (remote->status == 0 && running && g_get_monotonic_time() < remote->ended_us + CLEAN_END_US) {
            continue; /* not yet */
        }
        remote->told = true;
        if (remote->status != 0 || running) {
            log_end(remote, when);
        }
    }
}

static bool remotes_left(const LaunchPlan *plan)
{
    for (guint i = 0; i < plan->remotes->len; i++) {
        const LaunchProcess *remote = plan->remotes->pdata[i];

        if (remote->pid && !remote->ended) {
            return true;
        }
    }
    return false;
}

static bool emulator_left(const LaunchPlan *plan)
{
    return plan->emulator->pid && !plan->emulator->ended;
}

/* ---- winding down --------------------------------------------------------------------------------------------- */

static const struct WindDown {
    int signal;
    const char *what;
} wind_down[] = {
    [STAGE_TERMINATE] = { SIGTERM, "does not end by itself: sent SIGTERM" },
    [STAGE_KILL] = { SIGKILL, "does not end by SIGTERM: sent SIGKILL" },
    [STAGE_GIVEN_UP] = { 0, "cannot be killed and is left behind" },
};

static void enter_stage(Watch *watch, WatchStage stage)
{
    watch->stage = stage;
    watch->stage_end_us = g_get_monotonic_time() + (int64_t)watch->plan->grace * G_USEC_PER_SEC;
    for (guint i = 0; stage > STAGE_LINKS && i < watch->plan->remotes->len; i++) {
        LaunchProcess *remote = watch->plan->remotes->pdata[i];

        if (!remote->pid || remote->ended) {
            continue;
        }
        log_warn("%s (process %d) %s", remote->title, (int)remote->pid, wind_down[stage].what);
        remote->told = true;
        kill(remote->pid, wind_down[stage].signal); /* not reaped yet, so the number is still its own */
    }
}

/* All children that have ended; then the news of it. */
static void reap(Watch *watch)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        process_ended(watch, pid, status);
    }
    if (watch->stage == STAGE_EMULATOR && !emulator_left(watch->plan)) {
        enter_stage(watch, STAGE_LINKS);
    }
    tell_ends(watch);
}

/* ---- signals -------------------------------------------------------------------------------------------------- */

static void taken_signals(sigset_t *set)
{
    static const int left[] = {
        SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGTTIN, SIGTTOU,
    };

    sigfillset(set);
    for (unsigned i = 0; i < G_N_ELEMENTS(left); i++) {
        sigdelset(set, left[i]);
    }
}

void watch_take_signals(SpawnSignals *ret)
{
    struct sigaction default_action = { .sa_handler = SIG_DFL };
    sigset_t set;

    taken_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, &ret->mask);
    /* When the caller ignores SIGCHLD the kernel would reap our children. */
    sigaction(SIGCHLD, &default_action, &ret->child);
}

/*
 * Stops, when the parent is a shell with job control, which waits for that; returns when continued.  By SIGSTOP, since
 * SIGTSTP would have to be unblocked for it, and the next one could slip through unseen.
 */
static void stop_here(void)
{
    pid_t parent = getppid();

    if (getsid(parent) == getsid(0) && getpgid(parent) != getpgrp()) {
        raise(SIGSTOP);
    }
}

static void pass_on(const Watch *watch, const siginfo_t *info)
{
    bool to_leader = (info->si_signo == SIGHUP || info->si_signo == SIGCONT) && getsid(0) == getpid();
    bool by_terminal = info->si_code == SI_KERNEL && !to_leader;

    /*
     * SIGPIPE is about the launcher's own messages.  SIGTSTP is sent in any case: an earlier SIGCONT that was passed on
     * may have come after the terminal's, and a stopped process does not notice a second one.
     */
    if ((!by_terminal || info->si_signo == SIGTSTP) && info->si_signo != SIGPIPE) {
        kill(watch->plan->emulator->pid, info->si_signo);
    }
    if (info->si_signo == SIGTSTP) {
        stop_here();
    }
}

static void handle_signal(Watch *watch, const siginfo_t *info)
{
    if (info->si_signo == SIGCHLD) {
        reap(watch);
    } else if (watch->stage == STAGE_EMULATOR) {
        pass_on(watch, info);
    } else if (info->si_signo == SIGTERM || info->si_signo == SIGINT || info->si_signo == SIGQUIT ||
               info->si_signo == SIGHUP) {
        enter_stage(watch, watch->stage + 1); /* somebody is in a hurry */
    } else if (info->si_signo == SIGTSTP) {
        stop_here();
    }
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

/* When to wake up without a signal; INT64_MAX: never. */
static int64_t next_deadline(const Watch *watch)
{
    int64_t deadline = watch->stage == STAGE_EMULATOR ? INT64_MAX : watch->stage_end_us;

    for (guint i = 0; i < watch->plan->remotes->len; i++) {
        const LaunchProcess *remote = watch->plan->remotes->pdata[i];

        if (remote->ended && !remote->told) {
            deadline = MIN(deadline, remote->ended_us + CLEAN_END_US);
        }
    }
    return deadline;
}

/* The next signal before DEADLINE; false: none. */
static bool wait_signal(int64_t deadline, siginfo_t *info)
{
    int64_t left = MAX(deadline - g_get_monotonic_time(), 0);
    struct timespec timeout = {
        .tv_sec = left / G_USEC_PER_SEC,
        .tv_nsec = left % G_USEC_PER_SEC * 1000,
    };
    sigset_t set;

    taken_signals(&set);
    return sigtimedwait(&set, info, deadline == INT64_MAX ? NULL : &timeout) > 0;
}

void watch_run(LaunchPlan *plan)
{
    Watch watch = { .plan = plan, .stage = STAGE_EMULATOR };

    reap(&watch);
    while ((emulator_left(plan) || remotes_left(plan)) && watch.stage < STAGE_GIVEN_UP) {
        siginfo_t info;

        if (wait_signal(next_deadline(&watch), &info)) {
            handle_signal(&watch, &info);
        } else if (watch.stage > STAGE_EMULATOR && g_get_monotonic_time() >= watch.stage_end_us) {
            enter_stage(&watch, watch.stage + 1);
        } else {
            tell_ends(&watch);
        }
    }
}
