/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes from one function of x87-thunks.S to the next; also for the assembler.  Runs in: mpqemu. */
#ifndef TARGET_I386_X87_THUNKS_H
#define TARGET_I386_X87_THUNKS_H

#define X86_X87_THUNK_SIZE 32

#endif
