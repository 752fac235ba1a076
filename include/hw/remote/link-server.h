/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link server: serves one PCI function to one proxy over one mpqemu link.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * The server owns all that belongs to a link: the socket, the memory table with its address space, the interrupt
 * hub.  Whatever its peer does ends at most this link; the device is then reset, its RAM and eventfds are dropped.
 */
#ifndef HW_REMOTE_LINK_SERVER_H
#define HW_REMOTE_LINK_SERVER_H

#include "hw/pci/pci.h"
#include "io/mpqemu-link.h"

typedef struct LinkServer LinkServer;

typedef enum LinkServerState {
    LINK_SERVER_SERVING,  /* entered by _new, and from the next two; requests are received and answered */
    LINK_SERVER_BLOCKED,  /* entered when the peer does not read its reply; left when the reply is sent */
    LINK_SERVER_DRAINING, /* entered when memory that transfers use was taken away (SYNC_SYSMEM) or
                             given up (abort, reset); left when they ended, or after a while */
    LINK_SERVER_ENDED,    /* entered from all others at EOF and on errors; final */
} LinkServerState;

/* How a link ended. */
typedef enum LinkServerEnd {
    LINK_SERVER_END_EOF,      /* the peer closed, between two messages */
    LINK_SERVER_END_LOST,     /* the connection broke: EOF inside a message, a reset */
    LINK_SERVER_END_PROTOCOL, /* the peer broke the protocol and was cut off */
} LinkServerEnd;

/* Called once, from the event loop, when the link has ended.  Must not free the server. */
typedef void LinkServerEnded(LinkServer *server, LinkServerEnd how, void *opaque);

/*
 * Serves DEV (of the remote's bus; the server holds a reference) on the connected socket FD, which it takes (on failure
 * too).  NAME (copied) is for messages and traces.
 */
LinkServer *link_server_new_take_fd(int fd, PciDevice *dev, const char *name, LinkServerEnded *ended, void *opaque,
                                    GError **errp);

/*
 * Ends the link if it is alive, without calling ENDED; true: nothing that its device began touches guest RAM any more.
 * May be called again, to look.  Inside a request it does nothing, and tells false.
 */
bool link_server_stop(LinkServer *server);

/* Ends the link if it is alive, without calling ENDED, and frees.  Accepts NULL.  Not from inside a request. */
void link_server_free(LinkServer *server);

LinkServerState link_server_state(const LinkServer *server);

#endif
