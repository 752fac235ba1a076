/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: streams of bytes between a serial port or a debug console and the host.
 *
 * Thread: with the machine lock held; the main loop's, but chardev_write(), chardev_room() and chardev_accept_input()
 * are for vCPU threads, too.  Runs in: mpqemu.
 *
 *   -chardev stdio,id=ID[,mux=on|off][,signal=on|off]
 *   -chardev socket,id=ID,path=PATH[,server=on|off][,wait=on|off][,mux=on|off] | socket,id=ID,fd=N[,mux=on|off]
 *   -chardev file,id=ID,path=PATH[,append=on|off]
 *   -chardev pty,id=ID[,mux=on|off]
 *   -chardev null,id=ID
 *
 * A backend is the host's side, with an id.  At most one front (a port of the guest's) is attached to it.  With
 * mux=on it is shared: each chardev_attach() makes a port of it, and the person there goes from port to port
 * (chardev/mux.c).
 *
 * Monitors.  A -chardev that a -mon names is the monitor's own (monitor/options.h) and is no Chardev, but with
 * mux=on.  A monitor serves many clients of one socket, takes descriptors that they send, hears of half-closed
 * connections, and cuts off who does not read; a port has one peer, loses bytes rather than the peer, and takes input
 * only as fast as the guest does.  The ids are one namespace, and sockets are made by one function
 * (chardev/unix-socket.h).
 *
 * Output.  Nothing waits.  At most CHARDEV_QUEUE bytes are kept for a peer that does not read; what does not fit is
 * not taken, and stays with the front (a UART says that it is not ready to send).  A peer that has taken nothing for
 * CHARDEV_STALL_NS counts as stalled: what does not fit is dropped, until it reads again.  So a guest is
 * never held longer than that.  What is written while nobody is connected is dropped at once.  A file that cannot
 * take more (a full file system) loses the bytes, which is told once.
 *
 * Input.  No more is read than the front has room for, so a peer is held back by its own socket, pipe or terminal.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>
#include "util/options.h"
#include "util/syscalls.h"

typedef struct Chardev Chardev;

/* Enough for a burst of a boot's messages; small beside the rest of the process. */
#define CHARDEV_QUEUE (64u * 1024)

/* How long a peer that does not read can hold the guest up. */
#define CHARDEV_STALL_NS (1000 * 1000 * 1000LL)

typedef enum ChardevEvent {
    CHARDEV_EVENT_OPENED, /* somebody is at the other end now; not told for what is so from the start */
    CHARDEV_EVENT_CLOSED, /* nobody any more */
    CHARDEV_EVENT_BREAK,  /* the person wants a break condition on the line */
} ChardevEvent;

/* Called from the event loop, never inside a function of this header.  Each may be NULL. */
typedef struct ChardevOps {
    size_t (*can_read)(void *opaque); /* how many bytes read() takes now; when that grows: chardev_accept_input() */
    void (*read)(void *opaque, const uint8_t *data, size_t len); /* at most what can_read() said last */
    void (*can_write)(void *opaque);  /* there is room again, after chardev_write() took less than all */
    void (*event)(void *opaque, ChardevEvent event);
} ChardevOps;

/* ---- for fronts ---------------------------------------------------------------------------------- */

/*
 * Attaches a front to the backend ID; OPS is static.  Returns what is to be used from then on, or NULL with *errp:
 * there is none of that id, or it has another front.  End with chardev_detach().
 */
Chardev *chardev_attach(const char *id, const ChardevOps *ops, void *opaque, GError **errp);

/* No callback comes any more.  What is queued is still sent.  Accepts NULL. */
void chardev_detach(Chardev *chr);

/*
 * Takes up to LEN bytes, as many as there is room for, and returns their number.  After less than LEN, can_write()
 * comes when there is room.  CHR NULL: takes and drops all.
 */
size_t chardev_write(Chardev *chr, const void *data, size_t len);

/* How many bytes chardev_write() would take now. */
size_t chardev_room(Chardev *chr);

/* The front has room for input (again).  Accepts NULL. */
void chardev_accept_input(Chardev *chr);

/* ---- for the start and end of the program ---------------------------------------------------------- */

/*
 * Makes a backend of what a -chardev says (key "backend", then "id" and its own).  Sockets and files are opened, so a
 * process that confines itself does that after it.  Nobody is read from or accepted before chardevs_start().  On
 * failure nothing is left of it.
 */
bool chardev_add(Options *opts, GError **errp);

/* Whether there is a backend ID, and whether it has mux=on. */
bool chardev_exists(const char *id);
bool chardev_is_mux(const char *id);

/*
 * For monitors: calls FN for each backend that a -chardev, or what stands for one, has made.  FILENAME is what it is
 * connected to: "stdio", "file", "null", "pty:PATH", "unix:PATH[,server=on]" or "fd"; IN_USE: a front is attached.
 */
void chardevs_foreach(void (*fn)(const char *id, const char *filename, bool in_use, void *opaque), void *opaque);

/*
 * Begins to accept and to read.  Waits for clients where wait=on says so (the event loop turns meanwhile); false when
 * the program was asked to end before they came.
 */
bool chardevs_start(void);

/* Sends what can be sent without waiting, frees all, gives terminals their modes back and removes sockets' files. */
void chardevs_stop(void);

/*
 * For a monitor on a backend with mux=on: makes a port of it, and returns the terminal's end of a pseudo-terminal whose
 * other end is that port, so that the monitor edits lines as on any terminal.  The caller owns the descriptor.  -1 with
 * *errp.  What the monitor writes waits until the person has come to it, so it does not mix with the guest's output.
 */
int chardev_mux_terminal(const char *id, GError **errp);

/* What all that needs of the kernel. */
extern const SyscallTable chardev_syscalls;

#endif
