/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator.
 *
 * Thread: as accel/accel.h says.  Runs in: mpqemu.
 */
#ifndef ACCEL_KVM_H
#define ACCEL_KVM_H

#include "accel/accel.h"

extern const Accel accel_kvm;

#endif
