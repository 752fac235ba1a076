/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines.
 * Runs in: both programs.
 */
#include "hw/core/irq.h"

struct IrqLine {
    IrqHandler *handler;
    void *opaque;
    int n;
    IrqHandler *observer; /* NULL: not intercepted */
    void *observer_opaque;
    int observer_n;
    bool pass_on;
};

IrqLine **irq_new_lines(IrqHandler *handler, void *opaque, unsigned count)
{
    IrqLine **lines = g_new(IrqLine *, count);

    for (unsigned i = 0; i < count; i++) {
        lines[i] = g_new0(IrqLine, 1);
        lines[i]->handler = handler;
        lines[i]->opaque = opaque;
        lines[i]->n = (int)i;
    }
    return lines;
}

void irq_free_lines(IrqLine **lines, unsigned count)
{
    if (!lines) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        g_free(lines[i]);
    }
    g_free(lines);
}

void irq_set(IrqLine *line, int level)
{
    if (!line) {
        return;
    }
    if (line->observer) {
        line->observer(line->observer_opaque, line->observer_n, level);
        if (!line->pass_on) {
            return;
        }
    }
    line->handler(line->opaque, line->n, level);
}

void irq_intercept(IrqLine *line, IrqHandler *observer, void *opaque, int n, bool pass_on)
{
    line->observer = observer;
    line->observer_opaque = opaque;
    line->observer_n = n;
    line->pass_on = pass_on;
}
