/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface of objects whose interrupt inputs can be watched and driven from outside (qtest's
 * irq_intercept_in and set_irq_in).
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 */
#ifndef HW_INTC_IRQ_PINS_H
#define HW_INTC_IRQ_PINS_H

#include "hw/core/irq.h"
#include "qom/object.h"

typedef struct IrqPinsInterface {
    GTypeInterface parent;
    /* The inputs, owned by OBJ and living as long as it; *ret_count of them. */
    IrqLine **(*inputs)(QomObject *obj, unsigned *ret_count);
} IrqPinsInterface;

#define TYPE_IRQ_PINS (irq_pins_get_type())
GType irq_pins_get_type(void);

/* The inputs of OBJ, or NULL when it has none. */
IrqLine **irq_pins_inputs(QomObject *obj, unsigned *ret_count);

#endif
