/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The signals that end the program.
 * Runs in: both programs.
 */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "system/runstate.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

static int signal_fd = -1;
static EventSource *signal_source;

/* A process outside of ours' namespace has no number in it (0), and the kernel none at all. */
static void log_sender(const struct signalfd_siginfo *info)
{
    if (info->ssi_pid) {
        log_warn("terminating on signal %u from pid %u", info->ssi_signo, info->ssi_pid);
    } else {
        log_warn("terminating on signal %u", info->ssi_signo);
    }
}

static void handle_signal(int fd, unsigned ready, void *opaque)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        log_sender(&info);
        shutdown_request_for(0, SHUTDOWN_CAUSE_HOST_SIGNAL);
    }
}

bool shutdown_signals_start(GError **errp)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd >= 0) {
        signal_source =
            event_loop_add_fd(event_loop_main(), signal_fd, EVENT_READ, handle_signal, NULL);
    }
    if (!signal_source) {
        error_setg_errno(errp, errno,
                         "cannot watch for signals; raise the limit of descriptors (ulimit -n)");
        return false;
    }
    return true;
}

void shutdown_signals_stop(void)
{
    event_source_remove(signal_source);
    signal_source = NULL;
    fd_close(&signal_fd);
}
