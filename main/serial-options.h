/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -serial, -debugcon, -nographic: the serial ports of the board and what is at their other ends.
 *
 * Thread: main thread.  Runs in: mpqemu.
 *
 *   -serial DEVICE    the next of COM1 to COM4; "none" leaves a place out
 *   -debugcon DEVICE  an isa-debugcon
 *       DEVICE: stdio | mon:DEVICE | unix:PATH[,server=on|off][,wait=on|off] | file:PATH | pty | null | chardev:ID
 *       mon: shares it with a monitor for people, by Ctrl-A (chardev/mux.c).
 *   -nographic        without -serial: -serial mon:stdio, or stdio when there is another monitor
 *
 * Without any of these there is COM1, connected to nothing; with -nodefaults or -qtest there is none, and -nographic
 * makes none.
 *
 * A -chardev that no -mon names, or that has mux=on, is opened here (chardev/chardev.h); the monitors open the others.
 */
#ifndef MAIN_SERIAL_OPTIONS_H
#define MAIN_SERIAL_OPTIONS_H

#include "config.h"

/* Option handlers; OPAQUE is the MainConfig. */
bool main_opt_serial(const char *arg, void *opaque, GError **errp);
bool main_opt_debugcon(const char *arg, void *opaque, GError **errp);

/* Opens the character devices, before devices are made and the process is confined. */
bool serial_options_open(MainConfig *config, GError **errp);

/* Makes the ports on BUS (NULL: the machine has none); behind serial_options_open(). */
bool serial_create_all(const MainConfig *config, IsaBus *bus, GError **errp);

#endif
