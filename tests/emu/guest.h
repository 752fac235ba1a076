/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a few instructions in the engine, as user code of a small 64-bit guest whose code and data are at the
 * addresses that native.h has.
 *
 * Thread: one.  Runs in: tests.
 *
 * The guest's kernel is a table of interrupt gates that lead to HLT: whatever ends the instructions is delivered as the
 * processor delivers it, and read back from the frame on the kernel's stack.
 */
#ifndef TESTS_EMU_GUEST_H
#define TESTS_EMU_GUEST_H

#include <stdbool.h>

#include "native.h"

/* Makes the guest, with the features of CPU model MODEL (NULL: the default).  Once. */
void guest_init(const char *model);
void guest_free(void);

/* The guest's data, NATIVE_DATA_SIZE bytes. */
uint8_t *guest_data(void);

/* As native_run().  False: the engine did not end in the guest's kernel (a triple fault, or no end within a second). */
bool guest_run(const uint8_t *code, size_t size, NativeState *state, NativeEnd *end);

#endif
