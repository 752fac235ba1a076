/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory by linear address: the software TLB.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * x86_ld8..64() and x86_st8..64() take the rights of the current CPL (X86Cpu.mmu_mode) and raise the exceptions a
 * processor would; OP is the operation whose instruction then faults.  x86_*_sys() access with supervisor rights
 * whatever CPL is (descriptor tables, TSS, stacks of inner levels).  Segments and canonical addresses are the caller's
 * business, i.e. of the operation that computed X86Cpu.ea; a non-canonical address gets here as #GP.
 *
 * Other threads and processes change RAM at any time: a value is read once.
 */
#ifndef TARGET_I386_MEM_H
#define TARGET_I386_MEM_H

#include "target/i386/cpu.h"

/* Unaligned, aliasing, and read or written by one instruction. */
typedef volatile uint16_t __attribute__((aligned(1), may_alias)) X86Mem16;
typedef volatile uint32_t __attribute__((aligned(1), may_alias)) X86Mem32;
typedef volatile uint64_t __attribute__((aligned(1), may_alias)) X86Mem64;
typedef volatile uint8_t __attribute__((may_alias)) X86Mem8;

uint64_t x86_ld_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size);
void x86_st_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, uint64_t value, unsigned size);
/* Notes the breakpoints (DR7) that SIZE ports from PORT on meet. */
void x86_watch_port(X86Cpu *cpu, uint16_t port, unsigned size);

static inline X86TlbEntry *x86_tlb_entry(X86Cpu *cpu, uint64_t addr)
{
    return &cpu->tlb[(addr / X86_PAGE) & (X86_TLB_ENTRIES - 1)];
}

/*
 * Whether T, the entry for ADDR, has the SIZE (up to 64) bytes there in one page of RAM.  The page of the last byte is
 * compared: an access that crosses pages fails as one that misses.  x86_hit_host() is their host address then.
 */
static inline bool x86_hit_read(const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    return t->tag_read == ((addr + size - 1) & X86_PAGE_MASK);
}
static inline bool x86_hit_write(const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    return t->tag_write == ((addr + size - 1) & X86_PAGE_MASK);
}
static inline uint8_t *x86_hit_host(const X86TlbEntry *t, uint64_t addr)
{
    return (uint8_t *)((uintptr_t)addr + t->addend);
}

/* The same in one: host address, or NULL. */
static inline uint8_t *x86_fast_read(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    return likely(x86_hit_read(t, addr, size)) ? x86_hit_host(t, addr) : NULL;
}
static inline uint8_t *x86_fast_write(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    return likely(x86_hit_write(t, addr, size)) ? x86_hit_host(t, addr) : NULL;
}

#define X86_MEM_ACCESS(bits) \
    static inline uint##bits##_t x86_ld##bits(X86Cpu *cpu, const X86Op *op, uint64_t addr) \
    { \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        return likely(x86_hit_read(t, addr, bits / 8)) ? *(X86Mem##bits *)x86_hit_host(t, addr) \
                                                       : (uint##bits##_t)x86_ld_slow(cpu, op, addr, bits / 8); \
    } \
    static inline void x86_st##bits(X86Cpu *cpu, const X86Op *op, uint64_t addr, uint##bits##_t value) \
    { \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (likely(x86_hit_write(t, addr, bits / 8))) { \
            *(X86Mem##bits *)x86_hit_host(t, addr) = value; \
        } else { \
            x86_st_slow(cpu, op, addr, value, bits / 8); \
        } \
    }
X86_MEM_ACCESS(8)
X86_MEM_ACCESS(16)
X86_MEM_ACCESS(32)
X86_MEM_ACCESS(64)

/* 16 bytes; each half is read or written by itself when the access crosses pages. */
void x86_ld128(X86Cpu *cpu, const X86Op *op, uint64_t addr, X86Xmm *value);
void x86_st128(X86Cpu *cpu, const X86Op *op, uint64_t addr, const X86Xmm *value);

/* SIZE bytes in ascending order (FXSAVE areas and the like). */
void x86_ld_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, void *data, unsigned size);
void x86_st_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, const void *data, unsigned size);

/* Faults as a write of SIZE bytes at ADDR would, and writes nothing. */
void x86_probe_write(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size);

/* #AC, when it is in force, unless ADDR is a multiple of ALIGNMENT. */
static inline void x86_check_alignment(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned alignment)
{
    if (unlikely(cpu->mmu_mode == X86_MMU_USER_ALIGNED && (addr & (alignment - 1)))) {
        x86_raise_op(cpu, op, X86_EXC_AC, 0);
    }
}

/*
 * With supervisor rights; X86Cpu.op tells the instruction.  In long mode #GP where no address is.  x86_probe_sys()
 * faults as a write would.
 */
uint64_t x86_ld_sys(X86Cpu *cpu, uint64_t addr, unsigned size);
void x86_st_sys(X86Cpu *cpu, uint64_t addr, uint64_t value, unsigned size);
void x86_probe_sys(X86Cpu *cpu, uint64_t addr, unsigned size);

/* Notes data breakpoints that an access within one page meets. */
void x86_check_watch(X86Cpu *cpu, uint64_t addr, unsigned size, X86Access access);

/* ---- below linear addresses -------------------------------------------------------------------------------------- */

/*
 * Host address of guest-physical GPA (any alignment) when it is RAM or ROM; NULL: a device, nothing, or ROM with WRITE.
 * Good for accesses up to the end of the page.
 */
uint8_t *x86_ram_host(X86Cpu *cpu, uint64_t gpa, bool write);

/* RAM in the page of GPA is written, for X86Bus.ram_written(). */
void x86_ram_written(X86Cpu *cpu, uint64_t gpa);

/* The result of a page walk. */
typedef struct X86Walk {
    uint64_t gpa;    /* of the 4 KiB page */
    bool user;       /* user code may access it */
    bool writable;   /* the entries allow writes (CR0.WP not applied) */
    bool executable; /* NX not set, or not in force */
    bool global;
    bool dirty;      /* the leaf's D bit is set now */
    uint64_t page_size; /* 4096, or that of a large page */
} X86Walk;

/*
 * mmu-walk.c: translates LINEAR for ACCESS with the rights of MODE by the paging mode in force (none, 32-bit, PAE,
 * 4-level), sets accessed and, for writes, dirty bits.  The accessed bits are set by host atomics.  True and *WALK, or
 * false and *ERROR, the error code of #PF (P, W/R, U/S, RSVD, I/D).  Never raises.
 */
bool x86_mmu_walk(X86Cpu *cpu, uint64_t linear, X86Access access, X86MmuMode mode, X86Walk *walk, uint32_t *error);

/* X86_TLB_GPA_2M or _1G for a page of SIZE bytes, or 0. */
static inline uint8_t x86_large_flag(uint64_t size)
{
    return size >= UINT64_C(1) << 30 ? X86_TLB_GPA_1G : size > X86_PAGE ? X86_TLB_GPA_2M : 0;
}
/* Whether two addresses can be in one large page of the kind FLAGS tell of. */
static inline bool x86_same_large(uint64_t a, uint64_t b, uint64_t flags)
{
    return flags & X86_TLB_GPA_1G ? (a ^ b) >> 30 == 0 : flags & X86_TLB_GPA_2M ? (a ^ b) >> 22 == 0 : false;
}

/*
 * MOV CR3 and friends: KEEP_GLOBAL when CR4.PGE is set and the architecture keeps them.  Any time in a handler that
 * leaves.
 */
void x86_tlb_flush(X86Cpu *cpu, bool keep_global);
void x86_tlb_flush_page(X86Cpu *cpu, uint64_t linear); /* INVLPG; global ones as well */

#endif
