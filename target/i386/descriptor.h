/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors, and stacks other than the current one: what far transfers, interrupts and task switches have in common.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Everything here may raise unless it says otherwise; nothing changes registers.
 * Sources: AMD APM volume 2, chapters 4 and 8; Intel SDM volume 3, chapters 3, 5 and 6.
 */
#ifndef TARGET_I386_DESCRIPTOR_H
#define TARGET_I386_DESCRIPTOR_H

#include "target/i386/cpu.h"

/* Bits of a code or data segment's type */
#define X86_TYPE_ACCESSED 1u
#define X86_TYPE_RW 2u          /* data: writable; code: readable */
#define X86_TYPE_CONFORMING 4u  /* code */
#define X86_TYPE_EXPAND_DOWN 4u /* data */
#define X86_TYPE_CODE 8u

/* System descriptors' types */
enum {
    X86_TYPE_TSS16 = 1, X86_TYPE_LDT, X86_TYPE_TSS16_BUSY, X86_TYPE_CALL16, X86_TYPE_TASK_GATE, X86_TYPE_INT16,
    X86_TYPE_TRAP16, X86_TYPE_TSS32 = 9, X86_TYPE_TSS32_BUSY = 11, X86_TYPE_CALL32, X86_TYPE_INT32 = 14,
    X86_TYPE_TRAP32,
};
#define X86_TYPE_BUSY 2u /* TSS: types 3 and 11 are 1 and 9 with it */

/* A descriptor as it was found in a table. */
typedef struct X86Desc {
    uint64_t low;
    uint64_t high; /* upper half of what takes 16 bytes in long mode, else 0 */
    uint64_t addr; /* linear, of the first byte */
} X86Desc;

static inline unsigned x86_desc_type(const X86Desc *d)
{
    return d->low >> 40 & 0xf;
}
static inline bool x86_desc_is_system(const X86Desc *d)
{
    return !(d->low >> 44 & 1);
}
static inline bool x86_desc_is_code(const X86Desc *d)
{
    return (d->low >> 40 & 0x18) == 0x18;
}
static inline bool x86_desc_is_conforming(const X86Desc *d)
{
    return (d->low >> 40 & 0x1c) == 0x1c;
}
static inline bool x86_desc_is_writable(const X86Desc *d)
{
    return (d->low >> 40 & 0x1a) == 0x12;
}
static inline bool x86_desc_is_readable(const X86Desc *d)
{
    return !x86_desc_is_system(d) && (!x86_desc_is_code(d) || (x86_desc_type(d) & X86_TYPE_RW));
}
static inline unsigned x86_desc_dpl(const X86Desc *d)
{
    return d->low >> 45 & 3;
}
static inline bool x86_desc_present(const X86Desc *d)
{
    return d->low >> 47 & 1;
}
static inline bool x86_desc_long(const X86Desc *d)
{
    return d->low >> 53 & 1;
}
static inline bool x86_desc_big(const X86Desc *d)
{
    return d->low >> 54 & 1;
}
static inline unsigned x86_seg_dpl(const X86Segment *s)
{
    return s->attr >> X86_SEG_DPL_SHIFT & 3;
}

/* As in X86Segment. */
uint32_t x86_desc_limit(const X86Desc *d);
void x86_desc_segment(const X86Desc *d, uint16_t selector, X86Segment *ret_segment);

/* Real mode or virtual-8086 mode: segments are 16 times their selectors. */
static inline bool x86_real_segments(const X86Cpu *cpu)
{
    return !(cpu->cr0 & X86_CR0_PE) || (cpu->rflags & X86_VM);
}

/* Linear addresses of system structures have 32 bits outside of long mode. */
static inline uint64_t x86_system_linear(const X86Cpu *cpu, uint64_t linear)
{
    return x86_long_mode(cpu) ? linear : (uint32_t)linear;
}

/* x86_raise() with the EXT bit added to ERROR while an event that no instruction asked for is being delivered. */
_Noreturn void x86_raise_ext(X86Cpu *cpu, int vector, uint32_t error);

/*
 * Reads the descriptor of SELECTOR; with SYSTEM in long mode all 16 bytes.  False (nothing raised): SELECTOR is null or
 * beyond the end of its table.
 */
bool x86_find_descriptor(X86Cpu *cpu, uint16_t selector, bool system, X86Desc *ret_desc);
/* The same for 8 bytes; raises VECTOR with the selector as error code (0 for null). */
void x86_get_descriptor(X86Cpu *cpu, uint16_t selector, int vector, X86Desc *ret_desc);
/* Sets the accessed bit in the table, or bits BITS of the type. */
void x86_mark_descriptor(X86Cpu *cpu, X86Desc *desc, unsigned bits);
void x86_mark_accessed(X86Cpu *cpu, X86Desc *desc);

/* True when SIZE bytes at OFFSET are within S, by its limit and direction of growth. */
bool x86_segment_holds(const X86Segment *s, uint32_t offset, unsigned size);

/*
 * The descriptor of SELECTOR as a stack for privilege LEVEL: a writable data segment of that DPL, with RPL equal to it.
 * Raises VECTOR (#GP or #TS) with the selector, or #SS when it is not present.
 */
void x86_get_stack_descriptor(X86Cpu *cpu, uint16_t selector, unsigned level, int vector, X86Desc *ret_desc);

/* CS = DESC for execution at privilege LEVEL, RIP = RIP (checked before).  Cannot fault. */
void x86_set_cs(X86Cpu *cpu, uint16_t selector, const X86Desc *desc, unsigned level, uint64_t rip);
/* Raises #GP(0) unless RIP is within the code segment DESC (canonical for a 64-bit one). */
void x86_check_rip(X86Cpu *cpu, const X86Desc *desc, uint64_t rip);
/* S = SELECTOR in the manner of real and virtual-8086 mode. */
void x86_set_real_segment(X86Cpu *cpu, unsigned seg, uint16_t selector);
/* The null segment with SELECTOR's RPL. */
void x86_null_segment(X86Segment *s, uint16_t selector);

/* A stack to push to: the current one, or an inner level's before it becomes the current one. */
typedef struct X86Stack {
    X86Segment ss;
    uint64_t sp;    /* working copy of RSP */
    uint64_t mask;  /* of the part of RSP in use */
    uint32_t error; /* of #SS */
    bool flat;      /* 64-bit mode: no base, no limit */
    bool user;      /* by user's rights: level 3 */
} X86Stack;

void x86_current_stack(X86Cpu *cpu, X86Stack *ret_stack);
void x86_stack_push(X86Cpu *cpu, X86Stack *stack, uint64_t value, unsigned size);

/* ---- task.c ---------------------------------------------------------------------------------------------------- */

typedef enum X86TaskSwitch { X86_TASK_JUMP, X86_TASK_CALL, X86_TASK_IRET } X86TaskSwitch;

/*
 * Switches to the task of the TSS with SELECTOR, already known not to be null; RETURN_RIP is saved for the old one.
 * The new state is loaded before segments are checked: a fault after that belongs to the new task, as on a processor.
 */
void x86_task_switch(X86Cpu *cpu, uint16_t selector, X86TaskSwitch reason, uint64_t return_rip);
/* The same through the task gate GATE, for JMP, CALL and interrupts. */
void x86_task_gate(X86Cpu *cpu, const X86Desc *gate, X86TaskSwitch reason, uint64_t return_rip);

/*
 * SS and SP of privilege LEVEL (0 to 2) out of the current 16- or 32-bit TSS; in long mode RSP alone, for LEVEL, or for
 * interrupt stack IST (1 to 7) when that is not 0.  #TS when the TSS is too short.
 */
void x86_tss_stack(X86Cpu *cpu, unsigned level, uint16_t *ret_ss, uint64_t *ret_sp);
uint64_t x86_tss_stack64(X86Cpu *cpu, unsigned level, unsigned ist);

#endif
