/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user asked of mpqemu on its command line.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_CONFIG_H
#define MAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "accel/vcpu.h"
#include "hw/char/serial.h"
#include "hw/isa/isa-bus.h"
#include "monitor/options.h"
#include "sandbox/sandbox.h"
#include "util/options.h"

/* -serial and -debugcon (serial-options.h). */
typedef struct SerialPort {
    const char *arg;     /* as the user wrote it; of argv, or static */
    const char *chardev; /* id of what is at the other end; interned; NULL: there is no such port */
} SerialPort;

typedef struct MainConfig {
    MonitorOptions monitor;            /* first: the shared option handlers use it */
    const char *machine;               /* type's name; of `machine_opts`, or static */
    Options *machine_opts;             /* what the -machine options say together */
    const char *memory_backend;        /* -machine memory-backend=; NULL: none */
    uint64_t ram_size;                 /* -m, bytes; 0: not given */
    GPtrArray *numa_memdevs;           /* char *, owned: the nodes' memory backends, in order */
    const char *kernel;                /* -kernel, -initrd, -append, -bios; NULL: not given */
    const char *initrd;
    const char *append;
    const char *bios;
    int64_t rtc_base;                  /* -rtc base=, seconds since 1970 */
    const char *rtc_arg;               /* -rtc; NULL: not given */
    GPtrArray *accels;                 /* char *, owned: -accel, in order; empty: not given */
    VcpuTopology cpus;                 /* -smp */
    const char *cpu_model;             /* -cpu; NULL: not given */
    const char *qtest;                 /* -qtest; NULL: not given */
    const char *qtest_log;             /* -qtest-log; NULL: none */
    bool stopped;                      /* -S */
    bool no_reboot;                    /* -no-reboot */
    bool no_shutdown;                  /* -no-shutdown */
    SandboxConfig sandbox;             /* off unless -sandbox says more */
    SerialPort serials[ISA_SERIAL_MAX];
    unsigned num_serials;
    SerialPort debugcon;               /* arg NULL: none */
    bool nographic;                    /* -nographic */
    bool nodefaults;                   /* -nodefaults */
    GPtrArray *remotes;                /* CmdlineAction *: -remote, -rdrive, -rdevice */
    GPtrArray *rdrives;
    GPtrArray *rdevices;
} MainConfig;

/* Parses the command line; options that print something (help, version) have printed. */
MainConfig *main_config_parse(int argc, char *const *argv, GError **errp);
void main_config_free(MainConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MainConfig, main_config_free)

#endif
