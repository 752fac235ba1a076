/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both programs make of their command lines at the start (descriptors, objects, disks, devices), and their last
 * step.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * The options are kept while the command line is read, and carried out by step, so that their order
 * on the command line does not matter.
 */
#ifndef HW_CORE_STARTUP_H
#define HW_CORE_STARTUP_H

#include <stdbool.h>
#include <glib.h>

/* In the order in which they are carried out: each needs only what stands before it. */
typedef enum StartStep {
    START_FDS,          /* -add-fd */
    START_OBJECTS,      /* -object, but those of late_object_type */
    START_BLOCKDEV,     /* -blockdev */
    START_DRIVE,        /* -drive */
    START_DEVICE,       /* -device */
    START_LATE_OBJECTS, /* -object of late_object_type */
    START_STEPS,
} StartStep;

/* The first member of a program's own configuration, which is the OPAQUE of its option handlers. */
typedef struct StartOptions {
    GPtrArray *actions[START_STEPS]; /* cmdline_actions_new() */
    const char *late_object_type;    /* objects that need devices; NULL: none do */
    bool named_fds;                  /* -add-fd's opaque= also names the descriptor, for fd=NAME */
    char *vm_name;                   /* -name; owned; NULL: none */
    bool only_help;                  /* help or version was printed: do nothing else */
} StartOptions;

void start_options_init(StartOptions *start);
void start_options_clear(StartOptions *start);

/* Option handlers for a CmdlineOption table; OPAQUE begins with a StartOptions. */
bool start_opt_add_fd(const char *arg, void *opaque, GError **errp);
bool start_opt_object(const char *arg, void *opaque, GError **errp);
bool start_opt_blockdev(const char *arg, void *opaque, GError **errp);
bool start_opt_drive(const char *arg, void *opaque, GError **errp);
bool start_opt_device(const char *arg, void *opaque, GError **errp);

/*
 * -name [guest=]NAME[,process=NAME][,debug-threads=on|off]; the process gets its name at once, the last has no effect.
 */
bool start_opt_name(const char *arg, void *opaque, GError **errp);

/* -trace and -D. */
bool start_opt_trace(const char *arg, void *opaque, GError **errp);
bool start_opt_trace_file(const char *arg, void *opaque, GError **errp);

/* Carries out the steps from FIRST to LAST.  Stops at the first that fails. */
bool start_run(const StartOptions *start, StartStep first, StartStep last, GError **errp);

/*
 * The last step of a program's end, with what block_cleanup() returned: when that names storage that does not answer,
 * it is told and the process ends here, with status 1.  Else nothing.
 */
void end_hung_storage(const char *name);

#endif
