/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translated code of one processor.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Blocks belong to physical pages and know their place only relative to the page, so the same page mapped at several
 * linear addresses has one set of blocks.  X86CodePage keeps a copy of the 64-byte lines that blocks were made from.
 * When a page comes into the exec TLB (after a flush, by a jump to it) these lines are compared with RAM, and the
 * page's blocks are forgotten when they differ: this finds what devices wrote.  Blocks of one page are linked
 * directly, blocks of different ones never are.
 *
 * Writes by processors are seen at once: X86Machine marks the lines of all pages that anyone translated (machine.h).
 *
 * Operations and pages live in one array that is filled from the front and forgotten as a whole when full.
 */
#ifndef TARGET_I386_CODE_CACHE_H
#define TARGET_I386_CODE_CACHE_H

#include "target/i386/cpu.h"
#include "target/i386/machine.h"

#define X86_CODE_BUCKETS 64
#define X86_LINES (X86_PAGE / X86_LINE)

/* One block: a header in the array of operations, followed by its operations. */
typedef struct X86Block {
    uint32_t next;   /* in the bucket: index of the header, or 0 */
    uint32_t flags;  /* X86_CODE_* it was made for */
    uint16_t pc_off; /* of its first instruction */
    uint16_t count;  /* operations */
    uint32_t pad[5];
} X86Block;
_Static_assert(sizeof(X86Block) == sizeof(X86Op), "takes the place of an operation");

struct X86CodePage {
    const uint8_t *host;
    X86CodePage *next;   /* in the cache's table */
    uint64_t lines;      /* bit i: bytes of line i are in `bytes`, and blocks may have been made from them */
    bool changes_itself; /* a block has written to its own page: from then on no flags are left out */
    uint64_t pad[4];
    uint32_t bucket[X86_CODE_BUCKETS];
    uint8_t bytes[X86_PAGE];
};
_Static_assert(sizeof(X86CodePage) % sizeof(X86Op) == 0, "lies in the array of operations");

bool x86_code_init(X86Cpu *cpu, size_t bytes);
void x86_code_free(X86Cpu *cpu);

/*
 * Operations at cpu->rip, translated if need be, with X86_REG_PAGE set; NULL: ask again.  Raises faults of the fetch
 * (cpu->op NULL).
 */
const X86Op *x86_code_lookup(X86Cpu *cpu);

/* The same for RIP in the page being executed, without faults.  NULL with cpu->rip set: back to the run loop. */
const X86Op *x86_code_in_page(X86Cpu *cpu, uint64_t rip);

/* The instruction at cpu->rip by itself, in a place that the next call reuses. */
const X86Op *x86_code_one(X86Cpu *cpu);

/* The exec TLB's part of x86_tlb_flush() and x86_tlb_flush_page(). */
void x86_exec_flush(X86Cpu *cpu, bool keep_global);
void x86_exec_flush_page(X86Cpu *cpu, uint64_t linear);
/* The same for parts of large pages around LINEAR. */
void x86_exec_flush_large(X86Cpu *cpu, uint64_t linear);

/*
 * Whether the instruction of cpu->op accesses ADDR as part of the stack segment: by its memory operand's base, or by
 * being a PUSH, POP, CALL, RET or the like.  Decodes it again; for the choice of an exception.
 */
bool x86_code_uses_stack(X86Cpu *cpu, uint64_t addr);

/*
 * The mark of the page at HOST was cleared: forgets its blocks; nothing is being executed from it.  Pages that share
 * the mark are compared before they are used again.
 */
void x86_code_drop(X86Cpu *cpu, const uint8_t *host);
/* Forgets everything.  Between blocks only. */
void x86_code_flush(X86Cpu *cpu);

#endif
