/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI interrupt routing table.
 *
 * Runs in: mpqemu.
 */
#include "hw/i386/pir.h"

#include "hw/i386/pc.h"
#include "hw/i386/piix3.h"

#define SIGNATURE 0x52495024u /* "$PIR" */
#define HEADER_SIZE 32u
#define SLOT_SIZE 16u
#define SLOTS 32u

#define ROUTER_DEVFN (1u << 3)
#define ROUTER_ID 0x70008086u /* the PIIX3's ISA function: device and vendor */
#define PINS 4u
/* To 5, 10 and 11, as ACPI's link devices; the others may have a device on the ISA bus. */
#define IRQS (1u << 5 | 1u << 10 | 1u << 11)

static void put(uint8_t *at, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

GBytes *pir_table(void)
{
    const unsigned size = HEADER_SIZE + SLOTS * SLOT_SIZE;
    uint8_t *table = g_malloc0(size), sum = 0;

    put(table, SIGNATURE, 4);
    put(table + 4, 0x0100, 2); /* version */
    put(table + 6, size, 2);
    put(table + 8, 0, 1); /* the router: bus and function */
    put(table + 9, ROUTER_DEVFN, 1);
    put(table + 10, 0, 2); /* no interrupt is PCI's alone */
    put(table + 12, ROUTER_ID, 4);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint8_t *entry = table + HEADER_SIZE + (size_t)slot * SLOT_SIZE;

        put(entry + 1, slot << 3, 1); /* on bus 0 */
        for (unsigned pin = 0; pin < PINS; pin++) {
            put(entry + 2 + 3 * (size_t)pin, PIIX3_PIRQRC + pc_pirq(slot, pin), 1);
            put(entry + 3 + 3 * (size_t)pin, IRQS, 2);
        }
        put(entry + 14, slot < 2 ? 0 : slot, 1); /* the board's own are in no slot that could be opened */
    }
    for (unsigned i = 0; i < size; i++) {
        sum += table[i];
    }
    table[31] = (uint8_t)-sum;
    return g_bytes_new_take(table, size);
}
