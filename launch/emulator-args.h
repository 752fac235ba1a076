/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the launcher must know of the emulator's arguments, without knowing all of its options.
 *
 * Thread: the only one.  Runs in: mpqemu-launch.
 *
 * How words are read.  A word that begins with '-' is an option ("--x" is "-x"); the next word is its argument
 * unless it begins with '-' itself.  The word behind -append is never an option.
 */
#ifndef LAUNCH_EMULATOR_ARGS_H
#define LAUNCH_EMULATOR_ARGS_H

#include <stdbool.h>
#include <glib.h>

typedef struct EmulatorArgs {
    /*
     * No guest runs: -h, -help, -version or -audio-help is there; or the argument of an option of the list in
     * emulator-args.c has an item "help" or "?" (or "model=" or "format=" with one of them); or the last machine type
     * that -machine or -M names is "none".
     */
    bool no_guest;
    bool daemonize; /* -daemonize is there */
    char *name;     /* of the guest, by -name; NULL: none; the caller's to free */
} EmulatorArgs;

/* COMMAND: the emulator's program and arguments, NULL-ended. */
void emulator_args_read(char *const *command, EmulatorArgs *ret);

#endif
