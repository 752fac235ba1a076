/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines: a level from one device to one input.
 *
 * Thread: with the machine lock held.  Runs in: both programs.
 */
#ifndef HW_CORE_IRQ_H
#define HW_CORE_IRQ_H

#include <stdbool.h>
#include <glib.h>

typedef struct IrqLine IrqLine;
typedef void IrqHandler(void *opaque, int n, int level);

/* Makes COUNT lines, free with irq_free_lines(); line i calls HANDLER(opaque, i, level). */
IrqLine **irq_new_lines(IrqHandler *handler, void *opaque, unsigned count);
void irq_free_lines(IrqLine **lines, unsigned count);

/*
 * Drives LINE (NULL: not connected, nothing happens) to LEVEL; the handler is called on every call.
 */
void irq_set(IrqLine *line, int level);

/*
 * Puts an observer before the handler of LINE (qtest's irq_intercept): it is called with every
 * level.  With PASS_ON false the handler is not called.
 */
void irq_intercept(IrqLine *line, IrqHandler *observer, void *opaque, int n, bool pass_on);

#endif
