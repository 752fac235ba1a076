/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerators that were built in.
 *
 * Runs in: mpqemu.
 */
#include "accel/accel.h"
#include "accel/emu.h"
#include "accel/kvm.h"
#include "accel/qtest.h"

const Accel *const accels[] = {
    &accel_kvm,
    &emu_accel,
    &qtest_accel,
    NULL,
};
