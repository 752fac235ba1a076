/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface of objects with interrupt inputs.
 *
 * Runs in: mpqemu.
 */
#include "hw/intc/irq-pins.h"

GType irq_pins_get_type(void)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        GType type = g_type_register_static_simple(G_TYPE_INTERFACE, "irq-pins",
                                                   sizeof(IrqPinsInterface), NULL, 0, NULL, 0);

        g_type_interface_add_prerequisite(type, QOM_TYPE_OBJECT);
        g_once_init_leave(&once, type);
    }
    return once;
}

IrqLine **irq_pins_inputs(QomObject *obj, unsigned *ret_count)
{
    IrqPinsInterface *iface;

    *ret_count = 0;
    if (!g_type_is_a(G_OBJECT_TYPE(obj), TYPE_IRQ_PINS)) {
        return NULL;
    }
    iface = G_TYPE_INSTANCE_GET_INTERFACE(obj, TYPE_IRQ_PINS, IrqPinsInterface);
    return iface->inputs(obj, ret_count);
}
