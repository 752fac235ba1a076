/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu-launch: starts device processes, and an emulator that is connected to them.
 *
 * Runs in: mpqemu-launch.
 *
 * Theory of operation.  config.c reads the command line, plan.c makes socketpairs and argument lists of it, spawn.c
 * starts the remotes and then the emulator, watch.c stays until all have ended.  What this program promises, and how it
 * ends, is told in docs/system/mpqemu-launch.rst.
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "plan.h"
#include "spawn.h"
#include "util/fd.h"
#include "util/log.h"
#include "watch.h"

/* Closes all that the children have now: an end of the emulator's must be seen at once by whoever has the other. */
static void drop_descriptors(void)
{
    auto_fd null = -1;

    close_range(STDERR_FILENO + 1, ~0U, 0);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
}

/* Remotes first: an emulator must not run without them. */
static bool start_all(LaunchPlan *plan, const SpawnSignals *signals, int *ret_status, GError **errp)
{
    for (guint i = 0; i < plan->remotes->len; i++) {
        if (!spawn_process(plan->remotes->pdata[i], signals, ret_status, errp)) {
            return false;
        }
    }
    return spawn_process(plan->emulator, signals, ret_status, errp);
}

/*
 * Ends as the emulator has ended; by its signal too, so that a shell or a service manager sees what it would have seen.
 * Without a core file, which would be about this program.
 */
static int end_as(int status)
{
    sigset_t set;

    if (!WIFSIGNALED(status)) {
        return WEXITSTATUS(status);
    }
    prctl(PR_SET_DUMPABLE, 0);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    sigemptyset(&set);
    sigaddset(&set, WTERMSIG(status));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return 128 + WTERMSIG(status); /* the init of a container does not die by its own signals */
}

static int launch(const LaunchConfig *config)
{
    g_autoptr(GError) err = NULL;
    SpawnSignals signals;
    LaunchPlan *plan;
    int status;

    if (config->no_guest) {
        g_autoptr(GPtrArray) command = launch_plain_command(config->emulator);

        status = spawn_replace((char *const *)command->pdata, &err);
        log_error("%s", err->message);
        return status;
    }
    fd_open_standard();
    plan = launch_plan_new(config, &err);
    if (!plan) {
        log_error("%s", err->message);
        return LAUNCH_EXIT_FAILED;
    }
    watch_take_signals(&signals);
    if (start_all(plan, &signals, &status, &err)) {
        status = -1; /* the emulator's */
    } else {
        log_error("%s", err->message);
    }
    g_array_set_size(plan->emulator->fds, 0);
    for (guint i = 0; i < plan->remotes->len; i++) {
        g_array_set_size(((LaunchProcess *)plan->remotes->pdata[i])->fds, 0);
    }
    drop_descriptors();
    watch_run(plan);
    if (status < 0) {
        status = plan->emulator->status;
        launch_plan_free(plan);
        return end_as(status);
    }
    launch_plan_free(plan);
    return status;
}

int main(int argc, char **argv)
{
    g_autoptr(LaunchConfig) config = NULL;
    g_autoptr(GError) err = NULL;

    log_init("mpqemu-launch");
    config = launch_config_parse(argc, argv, &err);
    if (!config) {
        log_error("%s", err->message);
        return LAUNCH_EXIT_USAGE;
    }
    return config->only_help ? 0 : launch(config);
}
