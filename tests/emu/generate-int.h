/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the generator share.  Runs in: tests.
 */
#ifndef TESTS_EMU_GENERATE_INT_H
#define TESTS_EMU_GENERATE_INT_H

#include "generate.h"

#define CASE_STACK (NATIVE_DATA + 0x3800u)

/* A new case with random registers; ends with case_end(). */
void case_begin(Generator *g, Case *c);
void case_end(Case *c);

void case_byte(Case *c, unsigned byte);
void case_bytes(Case *c, const uint8_t *bytes, unsigned size);

/* Makes register BASE an address of data, now and then one that faults or is not aligned to ALIGN; returns BASE. */
unsigned case_address(Generator *g, Case *c, unsigned base, unsigned align);

/* ModRM with register REG and a memory operand, with what follows it. */
void case_memory(Generator *g, Case *c, unsigned reg, unsigned align);
/* The same with 16-bit addresses, where there is nothing: CR2 and LEA tell what came out. */
void case_memory16(Generator *g, Case *c, unsigned reg);

#endif
