/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator in use.  Apart from the choice, so that who only uses it needs no table of all.
 *
 * Runs in: mpqemu.
 */
#include "accel/accel.h"

static const Accel *current; /* set before there are other threads */

const Accel *accel_current(void)
{
    return current;
}

void accel_set_current(const Accel *accel)
{
    current = accel;
}
