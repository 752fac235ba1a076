/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qtest: a test program plays the guest's CPU, by QEMU's qtest text protocol.
 *
 * Thread: main loop, with the machine lock held.  Runs in: mpqemu.
 *
 * Commands come a line at a time; each is answered by a line "OK [VALUE]" or "FAIL REASON".  They
 * are carried out by a thread of their own, as a vCPU's accesses would be: a command that waits for
 * a remote device stops neither the main loop nor the machine.
 *
 *   inb|inw|inl PORT                   outb|outw|outl PORT VALUE
 *   readb|readw|readl|readq ADDR       writeb|writew|writel|writeq ADDR VALUE
 *   read ADDR SIZE -> 0xHEX            write ADDR SIZE 0xHEX (short data: zeroes follow)
 *   b64read ADDR SIZE -> BASE64        b64write ADDR SIZE BASE64
 *   memset ADDR SIZE BYTE              endianness -> little
 *   clock_step [NS] -> NS              clock_set NS -> NS
 *   irq_intercept_in PATH              set_irq_in PATH unnamed-gpio-in PIN LEVEL
 *   irq_intercept_out PATH (no object of this program has output pins: FAIL)
 *
 * After irq_intercept_in a change of an input pin of PATH (/machine/ioapic) is told at any time by
 * a line "IRQ raise PIN" or "IRQ lower PIN"; the pin works as before.
 *
 * The virtual clock stands still but for clock_step and clock_set.
 */
#ifndef ACCEL_QTEST_H
#define ACCEL_QTEST_H

#include <stdbool.h>
#include <glib.h>

#include "accel/accel.h"
#include "util/syscalls.h"

/* The accelerator of this name: no vCPUs, a manual clock.  It does nothing; what follows does. */
extern const Accel qtest_accel;

/*
 * Opens CHARDEV:
 *   unix:PATH,server=on[,wait=on|off]  listens; one client after the other.  The machine does
 *                                      nothing without a client, so `wait` makes no difference
 *   unix:PATH[,server=off]             connects; the program ends when the peer closes
 *   stdio                              standard input and output; the program ends at end of file
 * LOG_PATH: a file that gets all lines, or NULL.
 */
bool qtest_open(const char *chardev, const char *log_path, GError **errp);

/* Starts serving what qtest_open() has opened; nothing when that was not called. */
bool qtest_start(GError **errp);

/* Ends the thread and closes everything; nothing when not opened. */
void qtest_stop(void);

/* Of its thread, and of the main loop. */
extern const SyscallTable qtest_syscalls;

#endif
