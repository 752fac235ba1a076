/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line's options for monitors: -qmp, -monitor, -chardev, -mon.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 *   -qmp DEVICE, -monitor DEVICE
 *       DEVICE: unix:[path=]PATH[,server=on|off][,wait=on|off] | stdio | null | none
 *   -chardev socket,id=ID,path=PATH[,server=on|off][,wait=on|off] | socket,id=ID,fd=N | stdio,id=ID | null,id=ID
 *   -mon [chardev=]ID[,mode=readline|control][,pretty=on|off]
 *       In mpqemu ID may also be a character device with mux=on, which the monitor then shares with serial ports
 *       (chardev/chardev.h).
 *
 * A listening socket (server=on) serves up to MONITOR_CLIENTS_MAX clients at once, each with a session of its own;
 * more wait to be accepted.  wait=on (the default) holds the start of the machine until the first has connected.  A
 * socket file that is there, of whatever other program, is replaced; the file is removed at the end.
 */
#ifndef MONITOR_OPTIONS_H
#define MONITOR_OPTIONS_H

#include <stdbool.h>
#include "hw/core/startup.h"
#include "util/syscalls.h"

/* Sessions of one listening socket: a launcher, libvirt, a person or two. */
#define MONITOR_CLIENTS_MAX 16

/* The first member of a program's own configuration, which is the OPAQUE of its option handlers. */
typedef struct MonitorOptions {
    StartOptions start;  /* first: the shared option handlers use it */
    GPtrArray *chardevs; /* cmdline_actions_new(): -chardev */
    GPtrArray *monitors; /* cmdline_actions_new(): -mon, and what -qmp and -monitor stand for */
    bool given;          /* any of these options, "none" too */
} MonitorOptions;

void monitor_options_init(MonitorOptions *options);
void monitor_options_clear(MonitorOptions *options);

/* Option handlers for a CmdlineOption table; OPAQUE begins with a MonitorOptions. */
bool monitor_opt_qmp(const char *arg, void *opaque, GError **errp);
bool monitor_opt_monitor(const char *arg, void *opaque, GError **errp);
bool monitor_opt_chardev(const char *arg, void *opaque, GError **errp);
bool monitor_opt_mon(const char *arg, void *opaque, GError **errp);

/* Rows of the CmdlineOption table of a program. */
#define MONITOR_OPTION_ROWS \
    { "qmp", "unix:PATH[,server=on][,wait=off] | stdio | null | none", \
      "a QMP monitor: on a Unix socket, for programs", monitor_opt_qmp }, \
    { "monitor", "unix:PATH[,server=on][,wait=off] | stdio | null | none", "a monitor for people", \
      monitor_opt_monitor }, \
    { "chardev", \
      "socket,id=ID,path=PATH[,server=on][,wait=off] | socket,id=ID,fd=N | stdio,id=ID | null,id=ID", \
      "what a -mon sits on", monitor_opt_chardev }, \
    { "mon", "[chardev=]ID[,mode=readline|control][,pretty=on]", "a monitor on a -chardev", monitor_opt_mon }

/* True when the user has asked for any monitor. */
bool monitor_wanted(const MonitorOptions *options);

/*
 * Makes the monitors' sockets, and tells the run state that somebody can let the machine go on.  Nobody is greeted or
 * answered yet.  On failure monitor_stop() is still due.
 */
bool monitor_open(const MonitorOptions *options, GError **errp);

/*
 * Begins the sessions.  Waits for clients where wait=on says so (the event loop turns meanwhile); false when the
 * program was asked to end before one came.
 */
bool monitor_start(void);

/* Whether a monitor listens, or is on standard input and output; known after monitor_open(). */
bool monitor_listens(void);
bool monitor_on_stdio(void);

/* What such monitors need; a socket that is connected needs no more than a link. */
extern const SyscallTable monitor_listener_syscalls;
extern const SyscallTable monitor_stdio_syscalls;

/* Without it a monitor on a terminal is a plain one, without a thread.  Before monitor_start(); on at first. */
void monitor_allow_editing(bool allow);

/*
 * HANDLER is called when nobody can give orders any more: the last of the sockets that were connected from the start
 * (fd=N, or path=PATH without server=on) has been closed by its peer, and there is no other monitor to come to.
 * Standard input and output count as one that may still be used.  From the event loop; NULL: not called.
 */
void monitor_set_alone_handler(void (*handler)(void));

/* Ends all sessions and removes the sockets' files; at the end of the program. */
void monitor_stop(void);

#endif
