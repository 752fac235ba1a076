/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside monitor/: where clients come from.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef MONITOR_ENDPOINT_H
#define MONITOR_ENDPOINT_H

#include <stdbool.h>
#include <glib.h>

typedef enum MonitorMode {
    MONITOR_READLINE, /* HMP */
    MONITOR_CONTROL,  /* QMP */
    MONITOR_CONTROL_PRETTY,
} MonitorMode;

/*
 * Make where clients come from.  Each fails with a message that names what it was given.  What they make lives until
 * endpoints_stop(); sessions begin with endpoints_begin().
 */
bool endpoint_listen(const char *path, bool wait, MonitorMode mode, GError **errp);
bool endpoint_connect(const char *path, MonitorMode mode, GError **errp);
bool endpoint_take_fd(int fd, MonitorMode mode, GError **errp);
bool endpoint_stdio(MonitorMode mode, GError **errp);

/* A port of the character device ID, which has mux=on; it counts as standard input and output. */
bool endpoint_mux(const char *id, MonitorMode mode, GError **errp);

/* Nobody is served before, everybody after it. */
void endpoints_begin(void);

/* True while a listening socket with `wait` has not had its first client. */
bool endpoints_waiting(void);

/* Stops listening and removes the sockets' files.  Sessions are ended by others. */
void endpoints_stop(void);

#endif
