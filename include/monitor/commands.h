/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The groups of QMP commands: each is made known by one function, which a program calls at its start when it has what
 * the group is about.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef MONITOR_COMMANDS_H
#define MONITOR_COMMANDS_H

/* Objects, devices and PCI: qom-*, object-*, device*, query-pci. */
void qmp_register_objects(void);
/* Block devices: query-block*, blockdev-*, drive_*, block_resize, eject. */
void qmp_register_block(void);

/* Remote processes: rdevice_*, rdrive_*, rblock_resize, remote_restart, query-remote; mpqemu only. */
void qmp_register_remote(void);

/*
 * Processors, character devices, NMI and power button: query-cpus-fast, x-query-registers, query-chardev, inject-nmi,
 * system_powerdown; mpqemu only.
 */
void qmp_register_cpus(void);

#endif
