/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a few instructions on the host's processor, from a given state to the exception that ends them.
 *
 * Thread: one (signal handlers and fixed addresses).  Runs in: tests.
 *
 * The code is at NATIVE_CODE, the memory it may use at NATIVE_DATA; both are the process's own at those addresses, so an
 * address means the same here and in the engine.  Entry and end are signals: the kernel loads and saves the whole state of
 * the processor, FXSAVE image included.
 */
#ifndef TESTS_EMU_NATIVE_H
#define TESTS_EMU_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NATIVE_CODE 0x10000000u
#define NATIVE_CODE_SIZE 0x1000u
#define NATIVE_DATA 0x20000000u
#define NATIVE_DATA_SIZE 0x4000u

/* The state that user code has.  Numbering of gpr is that of the instruction set. */
typedef struct NativeState {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags; /* arithmetic flags and DF */
    bool compat;     /* 32-bit code; numbers above 32 bits do not count */
    uint8_t fxsave[512] __attribute__((aligned(16)));
} NativeState;

/* How it ended. */
typedef struct NativeEnd {
    unsigned vector; /* of the exception */
    uint64_t error;  /* its error code, 0 without one */
    uint64_t cr2;    /* of a page fault */
} NativeEnd;

/* Maps code and data, installs signal handlers; ends the program on failure.  Once. */
void native_init(void);

/* Memory that the code uses; NATIVE_DATA_SIZE bytes, readable and writable at any time. */
uint8_t *native_data(void);

/* Runs CODE, SIZE bytes that end with INT3, from *STATE on; *STATE and *END tell how it ended. */
void native_run(const uint8_t *code, size_t size, NativeState *state, NativeEnd *end);

#endif
