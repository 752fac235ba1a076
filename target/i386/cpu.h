/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor's state and what handlers of decoded operations need.
 *
 * Thread: the processor's own, except X86Cpu.pending and X86Cpu.attention.  Runs in: mpqemu.
 *
 * Guest code is translated once into arrays of X86Op.  A handler carries out one operation and goes on to the next one
 * by a tail call (NEXT); it returns NULL to leave the block with X86Cpu.rip set.  Where tail calls are not guaranteed
 * (no optimisation, sanitizers) NEXT returns the next operation, and the loop in run.c calls it: the sources are the
 * same.
 *
 * Faults.  A handler changes registers only after everything that can fault.  x86_raise() does not return; it needs
 * X86Cpu.op to tell the guest's RIP, which the memory functions (mem.h) set from their OP argument before they can
 * fault.
 */
#ifndef TARGET_I386_CPU_H
#define TARGET_I386_CPU_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "target/i386/engine.h"
#include "target/i386/fpu.h"

#ifndef __x86_64__
#error "The engine relies on the memory order and the byte order of an x86-64 host"
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

typedef struct X86Op X86Op;
typedef const X86Op *X86Fn(X86Cpu *cpu, const X86Op *op);

/*
 * One decoded operation.  The translator gives meaning to the fields by the handler's shape; the usual ones:
 *   reg    ModRM.reg operand, rm: ModRM.rm operand when it is a register, else the scale of index
 *   base, index: numbers into X86Cpu.regs of the memory operand, X86_REG_ZERO for none, X86_REG_PAGE for RIP-relative
 *   disp   displacement; imm: sign-extended immediate
 * For 8-bit general registers reg and rm are byte offsets into X86Cpu.regs (AH is 1, CL is 8): X86_R8().
 */
struct X86Op {
    X86Fn *fn;
    uint8_t reg, rm, base, index;
    uint16_t pc_off; /* of the instruction's first byte from the start of its page */
    uint8_t len;     /* of the instruction in bytes */
    uint8_t aux;     /* shape-specific: segment, size, ... */
    int32_t disp;
    int32_t imm;
    union {
        uint64_t imm64;
        const X86Op *next; /* branches: where to go on when taken */
    };
};
_Static_assert(sizeof(X86Op) == 32, "two operations to a cache line");

/* The build defines X86_TRAMPOLINE (0 or 1): 1 with sanitizers, whose frames stand in the way of tail calls. */
#if !X86_TRAMPOLINE && defined(__clang__)
#define X86_DISPATCH(cpu, o) __attribute__((musttail)) return (o)->fn(cpu, o)
#elif !X86_TRAMPOLINE
#define X86_DISPATCH(cpu, o) return (o)->fn(cpu, o)
#else
#define X86_DISPATCH(cpu, o) return (o)
#endif
#define NEXT X86_DISPATCH(cpu, op + 1)
/* Head of a handler: X86_OP(name) { ...; NEXT; } */
#define X86_OP(name) const X86Op *name(X86Cpu *cpu, const X86Op *op)

/* ---- registers --------------------------------------------------------------------------------------------------- */

enum {
    X86_REG_ZERO = 16, /* always 0 */
    X86_REG_PAGE = 17, /* RIP that the first byte of the code page being executed has; RIP is this + op->pc_off */
    X86_REGS = 18,
};

/* EFLAGS */
#define X86_CF 0x0001u
#define X86_PF 0x0004u
#define X86_AF 0x0010u
#define X86_ZF 0x0040u
#define X86_SF 0x0080u
#define X86_TF 0x0100u
#define X86_IF 0x0200u
#define X86_DF 0x0400u
#define X86_OF 0x0800u
#define X86_IOPL 0x3000u
#define X86_IOPL_SHIFT 12
#define X86_NT 0x4000u
#define X86_RF 0x10000u
#define X86_VM 0x20000u
#define X86_AC 0x40000u
#define X86_VIF 0x80000u
#define X86_VIP 0x100000u
#define X86_ID 0x200000u
#define X86_ARITH (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF)

#define X86_CR0_PE 0x1u
#define X86_CR0_MP 0x2u
#define X86_CR0_EM 0x4u
#define X86_CR0_TS 0x8u
#define X86_CR0_ET 0x10u
#define X86_CR0_NE 0x20u
#define X86_CR0_WP 0x10000u
#define X86_CR0_AM 0x40000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

#define X86_CR4_VME 0x1u
#define X86_CR4_PVI 0x2u
#define X86_CR4_TSD 0x4u
#define X86_CR4_DE 0x8u
#define X86_CR4_PSE 0x10u
#define X86_CR4_PAE 0x20u
#define X86_CR4_MCE 0x40u
#define X86_CR4_PGE 0x80u
#define X86_CR4_PCE 0x100u
#define X86_CR4_OSFXSR 0x200u
#define X86_CR4_OSXMMEXCPT 0x400u
#define X86_CR4_UMIP 0x800u
#define X86_CR4_FSGSBASE 0x10000u
#define X86_CR4_PCIDE 0x20000u
#define X86_CR4_OSXSAVE 0x40000u
#define X86_CR4_SMEP 0x100000u
#define X86_CR4_SMAP 0x200000u

#define X86_EFER_SCE 0x1u
#define X86_EFER_LME 0x100u
#define X86_EFER_LMA 0x400u
#define X86_EFER_NXE 0x800u

/* Exceptions */
enum {
    X86_EXC_DE, X86_EXC_DB, X86_EXC_NMI, X86_EXC_BP, X86_EXC_OF, X86_EXC_BR, X86_EXC_UD, X86_EXC_NM, X86_EXC_DF,
    X86_EXC_TS = 10, X86_EXC_NP, X86_EXC_SS, X86_EXC_GP, X86_EXC_PF, X86_EXC_MF = 16, X86_EXC_AC, X86_EXC_MC,
    X86_EXC_XM,
};

/* Attribute bits of X86Segment.attr (as X86SegmentState.attr) */
#define X86_SEG_TYPE 0x000fu
#define X86_SEG_S 0x0010u
#define X86_SEG_DPL_SHIFT 5
#define X86_SEG_P 0x0080u
#define X86_SEG_L 0x2000u
#define X86_SEG_DB 0x4000u
#define X86_SEG_G 0x8000u

typedef X86SegmentState X86Segment;

#define X86_PHYS_BITS 40 /* of guest-physical addresses */

/* ---- lazy flags (flags.h) ---------------------------------------------------------------------------------------- */

typedef enum X86CcOp {
    X86_CC_FLAGS, /* all six are in cc_a */
    X86_CC_LOGIC, /* result cc_dst; CF = OF = AF = 0 */
    X86_CC_ADD,   /* cc_dst = cc_a + cc_b */
    X86_CC_ADC,   /* with carry in */
    X86_CC_SUB,   /* cc_dst = cc_a - cc_b */
    X86_CC_SBB,
    X86_CC_INC,   /* cc_dst = cc_a + 1; CF is cc_b */
    X86_CC_DEC,   /* cc_dst = cc_a - 1; CF is cc_b */
    X86_CC_CO,    /* result cc_dst; CF is cc_b, OF is cc_a (each 0 or 1); AF = 0 */
} X86CcOp;

/* ---- software TLB (mem.h) ---------------------------------------------------------------------------------------- */

#define X86_PAGE 4096u
#define X86_PAGE_MASK (~(uint64_t)(X86_PAGE - 1))
#define X86_TLB_ENTRIES 1024
#define X86_EXEC_TLB_ENTRIES 256
#define X86_JUMP_ENTRIES 4096

/* In the low bits of a tag: the fast comparison fails. */
#define X86_TLB_SLOW 1u    /* translation holds, but each access needs the slow path (device, code, watchpoint) */
#define X86_TLB_INVALID 2u /* nothing here */

typedef struct X86TlbEntry {
    uint64_t tag_read, tag_write; /* linear page, with X86_TLB_* */
    uintptr_t addend;             /* host address = linear address + addend; for RAM */
    uint64_t gpa;                 /* guest-physical page, with X86_TLB_GLOBAL and so on in its low bits */
} X86TlbEntry;
#define X86_TLB_GPA_GLOBAL 1u
#define X86_TLB_GPA_RAM 2u /* addend holds */
#define X86_TLB_GPA_2M 4u  /* part of a large page (4 MiB ones count as two) */
#define X86_TLB_GPA_1G 8u

/* Which rights count. */
typedef enum X86MmuMode {
    X86_MMU_USER,
    X86_MMU_KERNEL,      /* SMAP in force: user pages are out of reach for data */
    X86_MMU_KERNEL_USER, /* without SMAP, or with EFLAGS.AC */
    X86_MMU_USER_ALIGNED, /* X86_MMU_USER with #AC in force: its TLB has nothing for fast access */
    X86_MMU_MODES,
} X86MmuMode;

typedef enum X86Access { X86_READ, X86_WRITE, X86_EXEC } X86Access;

typedef struct X86CodePage X86CodePage; /* code-cache.h */
typedef struct X86CodeCache X86CodeCache;

typedef struct X86JumpEntry {
    uint64_t pc;  /* linear */
    uint32_t key; /* X86Cpu.jump_key[] it was made under */
    uint32_t op;  /* index into the code cache's operations */
} X86JumpEntry;

typedef struct X86ExecEntry {
    uint64_t tag; /* linear page, or X86_TLB_INVALID */
    X86CodePage *page;
    bool global;
    uint8_t large; /* X86_TLB_GPA_2M and so on */
} X86ExecEntry;

/* ---- reasons to look up from guest code -------------------------------------------------------------------------- */

/* X86Cpu.pending; set by any thread, together with attention. */
#define X86_PENDING_KICK 0x01u
#define X86_PENDING_INTR 0x02u
#define X86_PENDING_NMI 0x04u
#define X86_PENDING_CODE 0x08u  /* another processor wrote to translated code */
#define X86_PENDING_MARKS 0x10u /* another processor translated code from a page this one may have for writing */

/* What a block depends on besides its bytes: part of its key.  x86_mode_changed() recomputes it. */
#define X86_CODE_64 0x01u    /* 64-bit mode */
#define X86_CODE_32 0x02u    /* CS.D */
#define X86_CODE_SS32 0x04u  /* SS.B */
#define X86_CODE_FLAT 0x08u  /* DS, ES, SS have base 0 and limit 4 GiB (always set in 64-bit mode) */
#define X86_CODE_REAL 0x10u  /* CR0.PE clear or EFLAGS.VM: no protected-mode instructions */
#define X86_CODE_TS 0x20u    /* CR0.TS */
#define X86_CODE_EM 0x40u    /* CR0.EM */
#define X86_CODE_NOSSE 0x80u /* CR4.OSFXSR clear */
#define X86_CODE_MP 0x100u   /* CR0.MP */
#define X86_CODE_ONE 0x200u  /* one instruction to a block */
#define X86_CODE_LIMIT 0x400u /* CS ends below 4 GiB: blocks look whether they are within it (x86_op_limit) */
#define X86_CODE_ALL_FLAGS 0x800u /* for x86_translate() alone: no flags are left out */

/* What a fault during delivery of an exception or interrupt makes of both: see interrupt.c. */
typedef enum X86EventClass {
    X86_EVENT_NONE, X86_EVENT_BENIGN, X86_EVENT_CONTRIBUTORY, X86_EVENT_PAGE_FAULT, X86_EVENT_DOUBLE,
} X86EventClass;

struct X86Cpu {
    uint64_t regs[X86_REGS]; /* first: byte registers are addressed by op->reg as an offset */
    uint64_t cc_dst, cc_a, cc_b; /* sign-extended to 64 bits whatever the operand size */
    uint64_t cc_op;
    X86TlbEntry *tlb;            /* tlbs[mmu_mode] */
    uint64_t ea;                 /* linear address of the current instruction's memory operand */
    atomic_uint attention;       /* look at `pending` at the next block boundary */
    atomic_uint pending;
    uint32_t jump_key[2];        /* for linear addresses below and above 2^63; by x86_mode_changed() */
    uint32_t jump_epoch[2];      /* count what makes the jump cache's entries of a half invalid */
    bool high_not_global;        /* the exec TLB has, or had, pages of the upper half that a write to CR3 drops */
    X86Op *ops;                  /* base of the code cache's operations */
    const X86Op *op;             /* the operation that may fault */
    uint64_t rip;                /* valid outside of blocks */
    uint64_t rflags;             /* all but the six arithmetic flags */
    uint8_t cpl;
    uint8_t mmu_mode;
    /* after STI or MOV SS at the end of a block: no interrupt before the next instruction */
    bool shadow;
    bool halted;
    bool stepping;               /* a single-step trap is due after the running instruction */
    bool one_insn;               /* the operation belongs to a block of one instruction that is not kept */
    bool bus_locked;             /* between x86_lock_bus() and x86_unlock_bus() */
    bool lock_alone;             /* how: no other processor is in guest code meanwhile (mem-lock.c) */
    bool iret_pending;           /* IRET has begun, and has not completed */
    atomic_bool in_guest;        /* in guest code (bus.h) */
    unsigned pauses;             /* PAUSEs since the last one that yielded */
    bool gave_up_page;           /* x86_tlb_drop_marked() found one: others are to be told */
    bool log_writes;             /* X86Bus.ram_written() wants to know; a page is in a TLB for writing when it does */
    bool exec_evicted;           /* since the last flush a page left the exec TLB, and may still be in the jump cache */
    uint64_t fetch_gpa;          /* page of the last fetch, and how large it is (X86_TLB_GPA_2M...) */
    uint8_t fetch_large;
    bool force_one;              /* the next instruction is to run so */
    uint32_t code_flags;         /* X86_CODE_* now */
    uint64_t cs_base;            /* 0 in 64-bit mode */

    X86Segment seg[X86_SEGMENTS];
    X86Segment ldt, tr;
    uint64_t gdt_base, idt_base;
    uint32_t gdt_limit, idt_limit;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t dr[8];
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, tsc_offset;
    uint64_t xcr0;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t misc_enable;
    uint64_t pdpte[4];           /* PAE paging's, loaded with CR3 */
    uint64_t dr6_pending;        /* data breakpoints met by the running instruction */
    bool nmi_blocked;            /* until IRET */

    X86Fpu fpu;

    /* An exception on its way to delivery; x86_raise() sets it and jumps to the run loop. */
    struct {
        int vector;              /* -1: none */
        bool has_error;
        uint32_t error;
        bool restart;            /* no exception: repeat the instruction in a block of its own */
    } fault;
    jmp_buf fault_jmp;
    /* interrupt.c: what is being delivered, if anything. */
    struct {
        X86EventClass delivering;
        uint8_t ext;             /* the EXT bit of error codes that come of it */
    } event;

    X86Machine *machine;
    X86CodeCache *code;
    const X86Bus *bus;
    void *opaque;
    struct X86CpuidModel *model; /* owned; cpuid.c */
    unsigned index, count;
    unsigned cores, threads;     /* of a package, of a core */
    uint64_t features;           /* X86_FEAT_*: what the decoder asks about */

    X86TlbEntry tlbs[X86_MMU_MODES][X86_TLB_ENTRIES];
    bool tlb_used[X86_MMU_MODES];
    bool tlb_large[2]; /* parts of large pages are, or were, in the TLBs; by the halves of the address space */
    X86ExecEntry exec_tlb[2][X86_EXEC_TLB_ENTRIES]; /* user, supervisor */
    X86JumpEntry jumps[X86_JUMP_ENTRIES];
    struct {
        uint64_t gpa; /* page, or ~0 */
        uint8_t *host;
        bool writable;
    } ram_cache[64]; /* answers of X86Bus.ram_page() */
};

/* Instruction-set extensions the decoder accepts only when CPUID tells of them. */
#define X86_FEAT_MOVBE 0x01u
#define X86_FEAT_POPCNT 0x02u
#define X86_FEAT_SSE3 0x04u
#define X86_FEAT_SSSE3 0x08u
#define X86_FEAT_SSE41 0x10u
#define X86_FEAT_SSE42 0x20u
#define X86_FEAT_CX16 0x40u
#define X86_FEAT_RDTSCP 0x80u
#define X86_FEAT_FSGSBASE 0x100u
#define X86_FEAT_XSAVE 0x200u
#define X86_FEAT_AES 0x400u
#define X86_FEAT_PCLMUL 0x800u
#define X86_FEAT_RDRAND 0x1000u
#define X86_FEAT_SMAP 0x2000u
#define X86_FEAT_INVPCID 0x4000u
#define X86_FEAT_RDSEED 0x20000u

static inline uint8_t *x86_r8(X86Cpu *cpu, unsigned offset)
{
    return (uint8_t *)cpu->regs + offset;
}
#define X86_R8(n) (*x86_r8(cpu, n))
#define X86_R16(n) (*(uint16_t *)&cpu->regs[n])
#define X86_R32(n) (*(uint32_t *)&cpu->regs[n]) /* for reading; a write must clear the upper half */
#define X86_R64(n) (cpu->regs[n])

static inline bool x86_is_64(const X86Cpu *cpu)
{
    return cpu->code_flags & X86_CODE_64;
}

static inline bool x86_long_mode(const X86Cpu *cpu)
{
    return cpu->efer & X86_EFER_LMA;
}

/*
 * The mask of IP.  16-bit code has 32 bits of it, too: only branches cut it to 16.  What goes on beyond 64 KiB meets
 * the segment's limit.
 */
static inline uint64_t x86_ip_mask(const X86Cpu *cpu)
{
    return cpu->code_flags & X86_CODE_64 ? ~(uint64_t)0 : 0xffffffffu;
}

static inline bool x86_canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/* RIP of OP's instruction, and of the one that follows. */
static inline uint64_t x86_op_rip(const X86Cpu *cpu, const X86Op *op)
{
    return (cpu->regs[X86_REG_PAGE] + op->pc_off) & x86_ip_mask(cpu);
}
static inline uint64_t x86_next_rip(const X86Cpu *cpu, const X86Op *op)
{
    return (cpu->regs[X86_REG_PAGE] + op->pc_off + op->len) & x86_ip_mask(cpu);
}

/*
 * An exception of the instruction of X86Cpu.op (a fault: RIP is that of the instruction).  Does not return.  VECTOR's
 * error code is ERROR when the vector has one.
 */
_Noreturn void x86_raise(X86Cpu *cpu, int vector, uint32_t error);
/* The same for the instruction of OP. */
_Noreturn void x86_raise_op(X86Cpu *cpu, const X86Op *op, int vector, uint32_t error);
_Noreturn void x86_page_fault(X86Cpu *cpu, uint64_t linear, uint32_t error);

/*
 * Leaves the block after the instruction of OP, going on at RIP or at the following instruction:
 * "return x86_leave_to(cpu, rip);".  Every handler that changes CR0, CR3, CR4, EFER, a segment, CPL or IF ends so,
 * after x86_mode_changed() where that applies.
 */
static inline const X86Op *x86_leave_to(X86Cpu *cpu, uint64_t rip)
{
    cpu->rip = rip;
    return NULL;
}
static inline const X86Op *x86_leave(X86Cpu *cpu, const X86Op *op)
{
    cpu->rip = x86_next_rip(cpu, op);
    return NULL;
}

/* CR0, CR4, EFER, CPL, EFLAGS.AC/VM/TF, DR7 or a segment changed: recomputes code_flags, mmu_mode, tlb, jump keys. */
void x86_mode_changed(X86Cpu *cpu);

/* jump_key[] from jump_epoch[], code_flags and CPL. */
void x86_update_jump_keys(X86Cpu *cpu);
#define X86_JUMP_MODE_BITS 12
#define X86_JUMP_EPOCHS (1u << (32 - X86_JUMP_MODE_BITS))

/* EFLAGS.IF may have become set: looks whether an interrupt waits. */
static inline void x86_check_interrupts(X86Cpu *cpu)
{
    if ((cpu->rflags & X86_IF) && (atomic_load_explicit(&cpu->pending, memory_order_relaxed) & X86_PENDING_INTR)) {
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
    }
}

/* EFLAGS as the guest sees it; the setter takes all bits as they are (the caller has applied IOPL and so on). */
uint64_t x86_get_rflags(X86Cpu *cpu);
void x86_set_rflags(X86Cpu *cpu, uint64_t value);

#endif
