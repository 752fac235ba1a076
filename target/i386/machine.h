/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processors of one machine share: marks on memory that was translated.
 *
 * Thread: any processor's.  Runs in: mpqemu.
 *
 * For each page of RAM (found by its host address; pages may share a place, which costs time only) a word tells from
 * which 64-byte lines some processor has translated code.  While it is not 0 no TLB has the page for fast writing, so
 * that each write to it comes to x86_machine_write():
 *
 *   translating  sets the bits, takes the page from its own TLB for writing and asks the others to do the same
 *                (X86_PENDING_MARKS), then reads the bytes
 *   writing      to a marked line: after the write clears the page's word and asks the others to compare their copies
 * with RAM (X86_PENDING_CODE), who set the bits again for what they keep
 *
 * A processor that still had the page for writing when it was marked asks for that comparison as well when it gives the
 * page up, for whatever reason, so nothing it wrote meanwhile is missed.  Until it does, at the end of the block it is in, another
 * processor may run old bytes: as on real hardware, where other processors see new code only after a serialising
 * instruction.
 */
#ifndef TARGET_I386_MACHINE_H
#define TARGET_I386_MACHINE_H

#include <pthread.h>
#include "target/i386/cpu.h"

#define X86_LINE 64u
#define X86_MARKS (1u << 22) /* of 16 GiB */

struct X86Machine {
    GMutex bus_lock; /* locked accesses to devices; and `cpus` */
    pthread_mutex_t guest_lock;   /* bus.h; innermost */
    pthread_cond_t guest_changed; /* any of what follows, or a processor has left guest code */
    unsigned waiting;             /* for guest_changed */
    unsigned standing;            /* stopped for the one that is alone, and not in guest code again */
    uint64_t tickets, ticket_served; /* who wants to be alone comes by turns */
    int64_t alone_since, rest_until; /* microseconds: see rest_after() */
    atomic_bool exclusive; /* a processor is alone in guest code, or waits to be; changed under guest_lock */
    X86Cpu *_Atomic cpus[X86_CPUS_MAX];
    _Atomic uint64_t *marks; /* X86_MARKS words */
};

static inline _Atomic uint64_t *x86_marks(const X86Cpu *cpu, const uint8_t *host)
{
    return &cpu->machine->marks[((uintptr_t)host / X86_PAGE) & (X86_MARKS - 1)];
}

/* The lines of its page that SIZE bytes at HOST are in, as bits of the page's mark. */
static inline uint64_t x86_lines(const uint8_t *host, unsigned size)
{
    const unsigned offset = (uintptr_t)host & (X86_PAGE - 1);

    return UINT64_MAX << offset / X86_LINE & UINT64_MAX >> (63 - (offset + size - 1) / X86_LINE);
}

/* The processor has translated, or is about to read for that, LINES of the page at HOST. */
void x86_machine_mark(X86Cpu *cpu, const uint8_t *host, uint64_t lines);
/* The bytes of LINES of the page at HOST, some of them marked, have changed. */
void x86_machine_written(X86Cpu *cpu, const uint8_t *host);
/* Sets PENDING for all processors but CPU. */
void x86_machine_tell_others(X86Cpu *cpu, unsigned pending);
/* X86_PENDING_MARKS: gives up fast writing to marked pages. */
void x86_tlb_drop_marked(X86Cpu *cpu);
/* Gives up fast writing to all pages. */
void x86_tlb_drop_written(X86Cpu *cpu);

#endif
