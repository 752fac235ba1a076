/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote processes: the device processes that the main emulator manages, by rid.
 *
 * Thread: main loop with the machine lock held.  Runs in: mpqemu.
 *
 * What one is.  A qemu-remote with a control channel (its QMP monitor, on a socketpair), started by the spawner
 * or, when the user gave a control descriptor, by a launcher.  Everything that is done in it is a QMP command on
 * that channel; success is told when the remote has said so, and its error is passed on unchanged.  A device
 * link is a socketpair of its own: one end becomes an x-remote-object there, the other a pci-proxy-dev here.
 *
 * What it keeps.  The options of each remote drive and device, and the open images, in the order of their making:
 * that is what a restart does again.
 *
 * Nothing here waits for a remote.  Each operation is a chain of commands; it ends by a callback.  The operations
 * of one process run one after the other; of different processes, side by side.
 *
 * States of a process (RemoteState): STARTING, READY, SUSPECT, DEAD, RESTARTING, GONE; documented there.
 */
#ifndef HW_PROXY_REMOTE_PROCESS_H
#define HW_PROXY_REMOTE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>
#include "util/options.h"
#include "util/syscalls.h"

typedef struct RemoteProcess RemoteProcess;

typedef enum RemoteState {
    /* Entered when the process is asked for.  Left to READY when its monitor has answered and said what devices it
     * has; to DEAD when it ended, or did not answer in time. */
    REMOTE_STARTING,
    /* Operations run; heartbeats are answered. */
    REMOTE_READY,
    /* A heartbeat is overdue by one interval.  All goes on, since every wait has its limit.  Left to READY by any
     * answer; to DEAD at the heartbeat's limit. */
    REMOTE_SUSPECT,
    /* The process ended or was given up (then it is killed, when we started it); its proxies are DEAD.  Left by
     * remote_restart, by the policy `restart`, or by the removal of its last object (GONE). */
    REMOTE_DEAD,
    /* A new process has been asked for, in which everything is made again.  Left to READY, or to DEAD. */
    REMOTE_RESTARTING,
    /* Nothing of it is left; final.  A launcher's process that lives stays READY without objects: it could not be had
     * again. */
    REMOTE_GONE,
} RemoteState;

/* What happens when a process dies (-remote on-death=). */
typedef enum RemoteOnDeath {
    REMOTE_ON_DEATH_DETACH,  /* its devices read all ones; the machine runs on */
    REMOTE_ON_DEATH_RESTART, /* it is started again, at most REMOTE_RESTARTS_MAX times a minute; then as detach */
    /* The machine stops until remote_restart (of each process that died so), cont, or the removal of its objects. */
    REMOTE_ON_DEATH_PAUSE,
    REMOTE_ON_DEATH_EXIT,    /* the program ends with status 1 */
} RemoteOnDeath;

/* A device that dies this often is not saved by more restarts; the user's remote_restart counts anew. */
#define REMOTE_RESTARTS_MAX 5

/* At most this many processes; one is a device or a few. */
#define REMOTE_PROCESSES_MAX 64

const char *remote_state_name(RemoteState state);

/* A valid rid: letters, digits, '-', '.', '_', at most 127 bytes; QEMU's users know "0". */
bool remote_rid_wellformed(const char *rid);

/* The end of an operation: ERR NULL is success; stays the caller's. */
typedef void RemoteDone(const GError *err, void *opaque);

/*
 * -remote rid=RID[,exec=PATH][,fd=CONTROL_FD][,sandbox=on|seccomp|log|off][,on-death=detach|restart|pause|exit]
 * [,heartbeat-interval=MS][,heartbeat-limit=MS][,timeout=MS]: says what differs from the defaults, before the
 * first device or drive of the rid.  fd= (a number or a name) takes over the control channel of a process that
 * runs; exec= is an absolute path.
 */
bool remote_configure(Options *opts, GError **errp);

/*
 * Makes a drive in RID's process, which is started when there is none.  OPTS: the options of -drive with rid= and
 * id=; file= is opened here (or /dev/fdset/N) and passed.  DONE comes later, once; when it fails nothing is left.
 * OPTS stays the caller's.
 */
void remote_drive_add(Options *opts, RemoteDone *done, void *opaque);

/* Likewise for a device: the options of -device with rid= and id=.  A PCI device gets a pci-proxy-dev here. */
void remote_device_add(Options *opts, RemoteDone *done, void *opaque);

/* The rid of the process that RDEV_ID names, by its rid or by the id of any of its objects; NULL: none. */
const char *remote_rid_of(const char *rdev_id);

/* RDEV_ID: a rid, or the id of any device or drive of the process.  Works on dead processes too. */
void remote_drive_del(const char *rdev_id, const char *id, RemoteDone *done, void *opaque);
/*
 * Likewise.  Of a controller the guest is asked first, as by device_del(), where one listens: then DONE comes when it
 * was asked, and DEVICE_DELETED when it has given the controller up.  FORCE: it is not asked, as when a card is pulled;
 * nor is it for a controller that is dead.  A controller leaves when its process works on guest RAM no more, or is
 * gone; one that does not answer in time is ended for it.
 */
void remote_device_del(const char *rdev_id, const char *id, bool force, RemoteDone *done, void *opaque);
void remote_block_resize(const char *rdev_id, const char *device, uint64_t size, RemoteDone *done, void *opaque);

/* Starts RID's process again, whatever its state and policy (a living one is killed first). */
void remote_restart(const char *rdev_id, RemoteDone *done, void *opaque);

/* Looks for the program of processes without exec=, which a confined main emulator cannot do later. */
void remote_find_default_program(void);

/*
 * From now on no process is started but those of remote_configure(), as they are, and the default one.  Whatever this
 * program says later: the spawner sees to it.  Before any is started.
 */
bool remote_restrict_programs(GError **errp);

/* What managing processes needs on top of the tables of link and threads. */
extern const SyscallTable remote_process_syscalls;

/* The machine's name (-name), for the processes' titles in ps; copied. */
void remote_set_vm_name(const char *name);

/* At the end of the program, when the machine's devices have gone: control channels are closed, processes end. */
void remote_processes_stop(void);

/* ---- query-remote ---------------------------------------------------------------------------- */

typedef struct RemoteObjectInfo {
    const char *id;
    const char *driver;     /* of a device; NULL for drives */
    bool controller;        /* has a pci-proxy-dev of the same id here */
} RemoteObjectInfo;

typedef struct RemoteInfo {
    const char *rid;
    pid_t pid;              /* 0: not known, or none now */
    const char *process;    /* path of the program; NULL: a launcher's */
    RemoteState state;
    const char *reason;     /* why it is DEAD; else NULL */
    const char *sandbox;    /* level that is in force, as the process tells it; "none" for one that cannot tell */
    RemoteOnDeath on_death;
    unsigned restarts;
    uint64_t control_received, control_sent; /* bytes */
} RemoteInfo;

/* Calls FN for each process, in order of their making; strings are valid inside the call. */
void remote_foreach(void (*fn)(RemoteProcess *remote, const RemoteInfo *info, void *opaque), void *opaque);
void remote_foreach_device(RemoteProcess *remote, void (*fn)(const RemoteObjectInfo *info, void *opaque), void *opaque);
void remote_foreach_drive(RemoteProcess *remote, void (*fn)(const RemoteObjectInfo *info, void *opaque), void *opaque);
const char *remote_on_death_name(RemoteOnDeath policy);

#endif
