/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote processes: what their source files share.  The manual is include/hw/proxy/remote-process.h.
 *
 * Thread: main loop with the machine lock held.  Runs in: mpqemu.
 *
 *   remote-registry.c  the processes by rid, their configuration, query-remote
 *   remote-child.c     the operating system's side of it
 *   remote-process.c   one process: start, control channel, heartbeat, death and policy
 *   remote-reset.c     what a reset of the machine waits for
 *   remote-event.c     what a process tells by itself, and the machine's run state
 *   remote-op.c        operations: chains of commands, one chain at a time a process
 *   remote-drive.c, remote-device.c   the operations on drives and devices
 *   remote-removal.c   the end of devices
 *   remote-bring-up.c  making everything again; links that end
 */
#ifndef HW_PROXY_REMOTE_INT_H
#define HW_PROXY_REMOTE_INT_H

#include "hw/proxy/pci-proxy-dev.h"
#include "hw/proxy/remote-process.h"
#include "hw/proxy/spawner.h"
#include "io/qmp-client.h"
#include "util/event-loop.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Operations of one process that wait; each may hold an open image. */
#define REMOTE_OPS_MAX 256

typedef struct RemoteOp RemoteOp;
typedef struct RemoteChild RemoteChild;

/* A drive of a process: what makes it, now and after a restart. */
typedef struct RemoteDrive {
    char *id;
    Options *opts;    /* as for drive_add in the remote, without file= when there is an image */
    int image;        /* owned; -1: an empty drive */
    bool read_only;   /* by the user's options */
    bool tray_open;   /* by the last word of its device */
    int64_t fdset;    /* set through which the image is passed */
    char *file_key;   /* "file" or "file.filename": which option names it */
} RemoteDrive;

/* A device of a process. */
typedef struct RemoteDevice {
    char *id;
    char *driver;
    Options *opts;       /* for device_add in the remote: all but rid */
    char *parent_id;     /* device whose bus it was put on by bus=; NULL: not said */
    bool controller;     /* a PCI function: it has a proxy */
    PciProxyDev *proxy;  /* referenced; NULL: not a controller, or not made yet */
    bool let_go;         /* its link was given up, and its process has let go of it, until it is attached again */
    int link_fd;         /* bring-up: our end of its link until all is made; else -1 */
    bool watches_reset;  /* the guest's driver would be interrupted by a bus reset, by the device's last word */
} RemoteDevice;

/* sandbox= of -remote. */
typedef enum RemoteSandbox {
    REMOTE_SANDBOX_DEFAULT, /* the process's own, which is the highest of ours; whatever another program has is taken */
    REMOTE_SANDBOX_OFF,
    REMOTE_SANDBOX_LOG,
    REMOTE_SANDBOX_SECCOMP,
    REMOTE_SANDBOX_ON,
} RemoteSandbox;

struct RemoteProcess {
    char *rid;

    /* Configuration: from -remote, or the defaults. */
    bool configured;          /* by -remote: kept when its last object goes */
    char *exec;               /* NULL: the qemu-remote beside this program, not looked for yet */
    bool own_program;         /* it is that one */
    bool greeted;             /* of the process of now: its control channel is ready */
    int given_control;        /* owned; control channel of a launcher's process until it is used; -1: none */
    bool launched;            /* a launcher's process: nothing is spawned, restarted or killed */
    RemoteSandbox sandbox;    /* asked for */
    RemoteOnDeath on_death;
    uint32_t heartbeat_interval_ms, heartbeat_limit_ms;
    uint32_t timeout_ms;      /* for an answer on the control channel, and for the links' accesses */

    /* The process of now. */
    RemoteState state;
    char *reason;             /* DEAD: why */
    RemoteChild *child;       /* NULL: a launcher's, or none, or it has been reaped */
    QmpClient *control;
    EventTimer *heartbeat;    /* READY, SUSPECT: the next beat; STARTING, RESTARTING: the limit of the start */
    int64_t last_beat;        /* EVENT_CLOCK_REAL */
    EventTimer *reap;         /* waits a moment for the exit status, or for the next try of a restart */
    bool killed;              /* dying: by us */
    char *dying;              /* it is known to have ended, for this reason; its status is awaited */
    char *sandbox_level;      /* in force, in its own words; "none" until it has told, and for one that cannot tell */
    bool ever_ready;          /* it has been READY: a death is a death and no failed start */
    uint64_t control_received, control_sent; /* of earlier channels */
    GHashTable *pci_types;    /* char * set: drivers that are PCI functions */
    bool io_stopped;          /* its werror=stop stopped it, and perhaps the machine */
    bool stop_refused;        /* ... not the machine, which was logged */

    /* Death and restart. */
    bool restart_asked;       /* by the user */
    RemoteDone *restart_done; /* NULL: nobody waits */
    void *restart_opaque;
    unsigned restarts;        /* completed, ever */
    int64_t restart_at[REMOTE_RESTARTS_MAX]; /* times of the last automatic ones; 0: none */
    bool paused_vm;           /* on-death=pause stopped the machine */

    /* What it has, in the order of making. */
    GPtrArray *drives;        /* RemoteDrive *, owned */
    GPtrArray *devices;       /* RemoteDevice *, owned */

    /* Links that were given up, of which the process has not let go yet. */
    unsigned cuts;

    /* Operations. */
    GQueue ops;               /* RemoteOp *, waiting, owned */
    RemoteOp *current;        /* runs; owned */
    EventBh *next_op;         /* starts the next: never inside the end of the one before */
};

/* ---- remote-registry.c ----------------------------------------------------------------------- */

/* The process of RID, made (not started) when there is none; NULL with *errp. */
RemoteProcess *remote_get(const char *rid, GError **errp);

/* By rid or by the id of any of its objects; NULL with *errp (DeviceNotFound). */
RemoteProcess *remote_find(const char *rdev_id, GError **errp);

/* The process that has a drive or device ID, or NULL. */
RemoteProcess *remote_of_object(const char *id);

/* The process that has a drive or device ID or is about to get one, or NULL. */
RemoteProcess *remote_of_id(const char *id);
RemoteProcess *remote_of_proxy(PciProxyDev *proxy, RemoteDevice **ret_device);

/* Nothing is left of REMOTE's process: frees it unless it was configured. */
void remote_drop(RemoteProcess *remote);

RemoteDrive *remote_drive_find(RemoteProcess *remote, const char *id);
RemoteDevice *remote_device_find(RemoteProcess *remote, const char *id);
void remote_drive_free(gpointer drive);
void remote_device_free(gpointer device);

/* Calls FN for each; FN may drop the one it is called for. */
void remote_for_all(void (*fn)(RemoteProcess *remote));

/* Whether TEST is true for one. */
bool remote_any(bool (*test)(const RemoteProcess *remote));

/* ---- remote-child.c -------------------------------------------------------------------------- */

typedef struct RemoteChildOps {
    void (*started)(void *opaque);                          /* its pid is known; perhaps after its first words */
    void (*failed)(const GError *err, void *opaque);        /* it could not be started; the child is no more */
    void (*dead)(void *opaque);                             /* it has ended, nobody knows how yet */
    void (*exited)(const int *wait_status, void *opaque);   /* NULL: not known; the child is no more */
} RemoteChildOps;

/*
 * What remote_child_spawn() starts a program with, behind the title; NULL-ended.  Free with g_free(), not its strings.
 */
const char **remote_child_arguments(const char *sandbox);

/* The qemu-remote that belongs to this program; free with g_free().  NULL with *errp. */
char *remote_default_program(GError **errp);

/*
 * Starts program PATH with CONTROL_FD (stays the caller's) as its monitor and -sandbox SANDBOX (NULL: its own default);
 * with PID_NAMESPACE as the first of one.  Callbacks come later.  NULL with *errp.
 */
RemoteChild *remote_child_spawn(const char *rid, const char *path, const char *sandbox, bool pid_namespace,
                                int control_fd, const RemoteChildOps *ops, void *opaque, GError **errp);

pid_t remote_child_pid(const RemoteChild *child); /* 0: not started yet */
void remote_child_kill(RemoteChild *child);       /* SIGKILL; the callbacks come as ever */

/*
 * CHILD is dead to us, its links are cut: a reset of the machine waits for its end (remote-reset.c).  Accepts NULL.
 */
void remote_child_cut(RemoteChild *child);
unsigned remote_children_cut(void); /* that have not ended yet */

/* The owner goes, having said "quit": SIGTERM after a while, then SIGKILL; no more callbacks.  Accepts NULL. */
void remote_child_end(RemoteChild *child);

/* Children that have not been reaped yet. */
unsigned remote_children(void);

/* ---- remote-process.c ------------------------------------------------------------------------ */

/* Starts it when it is not running.  Its end of the start runs the operations that wait. */
void remote_start(RemoteProcess *remote);

/* READY or SUSPECT, or operations run because it is being started. */
bool remote_is_alive(const RemoteProcess *remote);

/* As remote_died(), for one that will not end by itself: it is killed. */
void remote_give_up(RemoteProcess *remote, const char *reason);

/*
 * The process has ended, or is given up, for REASON: channels and links are closed at once, operations fail; when the
 * exit status is known (or after a moment) the state becomes DEAD and the policy is applied.
 */
void remote_died(RemoteProcess *remote, const char *reason);

/* Ends the process in good order (SIGTERM) and makes the state GONE; nothing is restarted. */
void remote_end(RemoteProcess *remote);

/* The end of remote_bring_up(): ERR NULL makes it READY. */
void remote_brought_up(RemoteProcess *remote, const GError *err);

/* The program ends: nothing is made any more. */
bool remote_stopping(void);

/* Frees what remote-process.c has made. */
void remote_process_clear(RemoteProcess *remote);

void remote_set_state(RemoteProcess *remote, RemoteState to, const char *reason, const int *wait_status);

/* ---- remote-reset.c -------------------------------------------------------------------------- */

/* From now on a reset of the machine waits for the ends of processes and links that were given up. */
void remote_watch_reset(void);

/* ---- remote-op.c ----------------------------------------------------------------------------- */

typedef void RemoteOpStep(RemoteOp *op);

/*
 * One chain.  A step ends by remote_op_command() (the answer calls the next step, with `value` or `err` set), by
 * calling another step, or by remote_op_end().
 */
struct RemoteOp {
    RemoteProcess *remote;
    RemoteOpStep *first;     /* runs when the process is ready */
    RemoteOpStep *if_dead;   /* runs instead when the process is dead; NULL: the operation fails */
    bool bring_up;           /* the chain that makes the process ready */
    RemoteDone *done;
    void *opaque;

    RemoteOpStep *next;      /* what the answer calls */
    JsonNode *value;         /* of the last command; owned; NULL: it failed */
    GError *err;             /* of the last command; owned */
    GError *failure;         /* why the chain fails; later errors (of undoing) do not replace it */

    /* What is being made: `new_drive`, `new_device`, or one that the process had before its restart. */
    RemoteDrive *drive;
    RemoteDevice *device;
    RemoteOpStep *made;      /* what follows then */

    /* The chain's own data; owned. */
    RemoteDrive *new_drive;
    RemoteDevice *new_device;
    char *id;                /* of the object, for traces and for what is removed */
    uint64_t size;
    unsigned index;          /* bring-up: which drive or device is next, to be made, then to be attached */
    bool reattaching;        /* bring-up: waits for the proxy of `device` */
    bool adding_proxy;       /* waits for device_add_async() of the proxy of `new_device` */
    bool at_rest;            /* removal: the remote has answered the reset of device `id` */
    bool awaits_death;       /* removal: waits for remote_device_death_over() */
    bool sure;               /* queued whatever waits: there can be one of a device */
    int link_fd;             /* our end of a link, until the proxy has it */
    GHashTable *prop_types;  /* property name -> type name, of the driver */
};

/* A chain of REMOTE that begins with FIRST; DONE may be NULL. */
RemoteOp *remote_op_new(RemoteProcess *remote, RemoteOpStep *first, RemoteOpStep *if_dead, RemoteDone *done,
                        void *opaque);

/*
 * Queues OP (taken) and starts the process when it does not run.  With REMOTE_OPS_MAX in the queue OP fails, later,
 * unless it is `sure`.
 */
void remote_op_submit(RemoteOp *op);

/* Queues OP (taken) in front of all others, to be run before the process is ready: the bring-up. */
void remote_op_submit_first(RemoteOp *op);

/* Sends a command with ARGS (taken) and FD (stays the caller's; -1: none); the answer calls NEXT. */
void remote_op_command(RemoteOp *op, const char *command, JsonObject *args, int fd, RemoteOpStep *next);

/* The end, with `failure` or good. */
void remote_op_end(RemoteOp *op);

/* Keeps the error of the last command as the chain's failure; true when there was one. */
bool remote_op_failed(RemoteOp *op);

/* Arguments of a command: {"id": ID}; and the name of the link of controller ID in the remote, to be freed. */
JsonObject *remote_id_args(const char *id);
char *remote_link_name(const char *id);

/* The "name"s in the last answer, an array of objects, each with its "type" or NULL; empty when it is no such array. */
GHashTable *remote_op_names(const RemoteOp *op);

/* Calls DONE later, from the event loop, with ERR (taken; NULL: success): for what ends before it begins. */
void remote_answer_later(GError *err, RemoteDone *done, void *opaque);

/* The process has become ready, or dead: the operations that wait run, or fail. */
void remote_ops_continue(RemoteProcess *remote);

/* Ends all operations that wait, with failure; at the end of the program. */
void remote_ops_clear(RemoteProcess *remote);

/* The process has died: a bring-up that waits in the queue was its own. */
void remote_ops_drop_bring_up(RemoteProcess *remote);

/* ---- remote-event.c -------------------------------------------------------------------------- */

/* QmpClientOps.event of the control channel; OPAQUE is the RemoteProcess. */
void remote_event(QmpClient *client, const char *name, JsonObject *data, void *opaque);

/* From now on the machine's going on lets the remotes go on. */
void remote_watch_runstate(void);

/* on-death=pause: the machine stops for REMOTE, or stays so. */
void remote_pause(RemoteProcess *remote);

/* What on-death=pause waited for has happened: the machine goes on unless it waits for another process, too. */
void remote_pause_end(RemoteProcess *remote);

/* ---- remote-drive.c, remote-device.c, remote-removal.c, remote-bring-up.c -------------------- */

/* Makes everything that REMOTE has in its new process; ends by remote_brought_up(). */
void remote_bring_up(RemoteProcess *remote);

/* The process has become READY: a link that has ended since it was attached has lost its device. */
void remote_bring_up_check(RemoteProcess *remote);

/* The process has died: a bring-up that waits for a proxy ends. */
void remote_bring_up_abort(RemoteProcess *remote);

/* The process has died: an addition that waits for a proxy fails soon, whoever holds the link's other end. */
void remote_device_abort(RemoteProcess *remote);

/* All that will be known of the death is known: a removal that waits for it goes on. */
void remote_device_death_over(RemoteProcess *remote);

/*
 * The link of controller ID was given up, and the process lives: it has to let go of the link's end, and of guest RAM
 * with it, or is given up, too.
 */
void remote_device_cut(RemoteProcess *remote, const char *id);

/* Makes op->drive in the process; MADE follows, with op->failure set when it was refused (nothing is left then). */
void remote_drive_make(RemoteOp *op, RemoteOpStep *made);

/* Makes op->device, and for a controller the remote end of a link, whose other end is op->link_fd; likewise. */
void remote_device_make(RemoteOp *op, RemoteOpStep *made);

/* A user's device_del of a proxy that belongs to a process (device_set_del_handler()). */
bool remote_device_del_handler(Device *dev, void *opaque);

/* A copy of OPTS without the keys of SKIP (NULL-ended). */
Options *remote_copy_options(Options *opts, const char *const *skip);

/* The rid and id of OPTS, checked, and the process; NULL with *errp. */
RemoteProcess *remote_of_new_object(Options *opts, GError **errp);

unsigned remote_count_controllers(const RemoteProcess *remote);

/* Device ID is gone in the remote, or is to be so: forgets it and all that was put on its buses. */
void remote_device_forget(RemoteProcess *remote, const char *id);

/* The proxy of a controller has changed its state. */
PciProxyNotify remote_proxy_changed;

#endif
