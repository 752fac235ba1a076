/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object x-remote-object,id=ID,devid=DEVICE,fd=SOCKET: serves a PCI device of this process to a proxy.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * Names and syntax are QEMU's.  Other than there, a process may have several, each with its own device, link, view of
 * guest RAM and interrupt.  The device must exist when the object is completed: qemu-remote makes these objects after
 * all devices, wherever they stand on the command line.
 *
 * At run time (object-add) fd= is a name given by getfd, or the number of an inherited descriptor.  While the object is
 * there, its device cannot be removed; first object-del, then device_del.  object-del ends the link: the peer sees its
 * end, the device is reset, its RAM and eventfds are dropped.
 *
 * The end of the process (remote_set_auto_shutdown()) follows from a link that ends by its peer, when no other is
 * alive then.  object-del is the user's own wish and ends no process, not even with the last link: a user who replaces
 * a link wants to go on, and one who wants the end has quit.  Who is gone wants nothing: remote_end_with_links().
 */
#ifndef HW_REMOTE_REMOTE_OBJECT_H
#define HW_REMOTE_REMOTE_OBJECT_H

#include "hw/pci/pci.h"
#include "hw/remote/link-server.h"

typedef struct RemoteObject {
    QomObject qom;
    char *fd_text;      /* property "fd" */
    char *devid;        /* property "devid" */
    int fd;             /* the socket's number; -1 before complete.  Belongs to the server */
    LinkServer *server; /* NULL before complete */
    Device *dev;        /* served; the server has the reference */
} RemoteObject;

typedef struct RemoteObjectClass {
    QomObjectClass qom_class;
} RemoteObjectClass;

QOM_DECLARE_TYPE(RemoteObject, remote_object, REMOTE_OBJECT)
#define TYPE_REMOTE_OBJECT_NAME "x-remote-object"

/*
 * Nobody will make another link: the process ends with its last one (or at once, when there is none), whatever was said
 * by remote_set_auto_shutdown().
 */
void remote_end_with_links(void);

/*
 * Whether the process ends when its last link has ended by its peer (default: yes).  Its exit status is then 0, or 1
 * when a peer was cut off for breaking the protocol.
 */
void remote_set_auto_shutdown(bool on);

#endif
