/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments, exceptions, interrupts, control registers, MSRs, CPUID: the parts of the processor that system software
 * uses.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Handlers below (X86Fn) follow one convention.  They begin with "cpu->op = op" when anything in them can fault.  All
 * of them end their block: they return x86_leave(cpu, op) or x86_leave_to(cpu, rip), after x86_mode_changed() when
 * what that is about has changed; those marked NEXT go on in the block.  Operands:
 *   op->reg, op->rm   general register (16 to 64 bits), segment, control or debug register number
 *                     (register and memory forms are handlers of their own, with suffix _r and _m)
 *   cpu->ea           linear address of the memory operand, checked for the segment's limit at its first byte
 *   op->aux           operand size 2, 4, 8 (in bytes)
 *   op->imm, imm64    immediates
 */
#ifndef TARGET_I386_SYSTEM_H
#define TARGET_I386_SYSTEM_H

#include "target/i386/cpu.h"

/* Raise unless something is as it has to be. */
static inline void x86_require(X86Cpu *cpu, bool condition, int vector)
{
    if (!condition) {
        x86_raise(cpu, vector, 0);
    }
}
static inline void x86_require_cpl0(X86Cpu *cpu)
{
    x86_require(cpu, cpu->cpl == 0, X86_EXC_GP);
}

/* ---- segments: segment.c ----------------------------------------------------------------------------------------- */

/* Loads a data or stack segment register with all checks of the mode; raises.  Real mode: base = selector * 16. */
void x86_load_segment(X86Cpu *cpu, unsigned seg, uint16_t selector);

/* Far transfers; they set cpu->rip, CS and so on, and raise with cpu->op's RIP.  SIZE is the operand size. */
void x86_far_jump(X86Cpu *cpu, uint16_t selector, uint64_t offset, unsigned size);
void x86_far_call(X86Cpu *cpu, uint16_t selector, uint64_t offset, unsigned size, uint64_t return_rip);
void x86_far_return(X86Cpu *cpu, unsigned size, unsigned pop_bytes);
void x86_iret(X86Cpu *cpu, unsigned size);
/*
 * IRET ends: NMIs come again.  Also when it ends by a fault, as Intel has it (SDM volume 3, "Handling Multiple NMIs");
 * not when it is only begun again because what it writes to is translated code.
 */
void x86_iret_done(X86Cpu *cpu);

/*
 * Checks an access of SIZE bytes at OFFSET in segment SEG by rights and limit, raises #GP or #SS, and returns the
 * linear address (truncated to 32 bits outside of 64-bit mode; canonical in it).  The general form of address
 * computation.
 */
uint64_t x86_segment_address(X86Cpu *cpu, unsigned seg, uint64_t offset, unsigned size, X86Access access);

/* ---- exceptions and interrupts: interrupt.c ---------------------------------------------------------------------- */

/*
 * Delivers the exception in cpu->fault with RIP = cpu->rip, through the IDT.  A fault on the way comes back by
 * x86_raise() to the run loop, which calls again; double and triple faults are told apart here by what was being
 * delivered.  False: shutdown.
 */
bool x86_deliver_exception(X86Cpu *cpu);
/* The same for interrupt VECTOR from outside, or NMI (vector 2). */
bool x86_deliver_interrupt(X86Cpu *cpu, uint8_t vector);
/* INT n, INT3, INTO: a trap whose saved RIP is RETURN_RIP; IDT's DPL is checked against CPL. */
void x86_software_interrupt(X86Cpu *cpu, uint8_t vector, uint64_t return_rip);
/* The same without the check of DPL: INT1. */
void x86_trap_interrupt(X86Cpu *cpu, uint8_t vector, uint64_t return_rip);
/*
 * #DB after an instruction (single step, data breakpoint): sets DR6 and delivers; cpu->rip is the next instruction's.
 */
bool x86_deliver_debug_trap(X86Cpu *cpu, uint64_t dr6_bits);
/* The run loop calls it when a guest instruction or delivery has completed: no longer inside of a delivery. */
void x86_delivery_done(X86Cpu *cpu);

/* ---- control registers ------------------------------------------------------------------------------------------- */

/*
 * mmu-walk.c: PAE paging's four registers out of the table at CR3.  False, with nothing changed: reserved bits are
 * set.
 */
bool x86_load_pdptes(X86Cpu *cpu, uint64_t cr3);

/* ---- ports ------------------------------------------------------------------------------------------------------- */

/* IOPL, I/O permission map and breakpoints for SIZE bytes at PORT; raises #GP.  cpu->op is set. */
void x86_check_io(X86Cpu *cpu, uint16_t port, unsigned size);
void x86_check_io_rights(X86Cpu *cpu, uint16_t port, unsigned size); /* without an access: no breakpoint is met */

/* ---- CPUID and MSRs: cpuid.c, msr.c ------------------------------------------------------------------------------ */

/* Reads config->model, fills cpu->model and cpu->features. */
bool x86_cpuid_init(X86Cpu *cpu, const X86CpuConfig *config, GError **errp);
void x86_cpuid_free(X86Cpu *cpu);
void x86_cpuid(X86Cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
bool x86_rdmsr(X86Cpu *cpu, uint32_t msr, uint64_t *value); /* false: #GP */
bool x86_wrmsr(X86Cpu *cpu, uint32_t msr, uint64_t value);
uint64_t x86_tsc(X86Cpu *cpu);

/* Registers of this part after reset or INIT (segments, control, MSRs, RDX); reset.c. */
void x86_system_reset(X86Cpu *cpu, bool by_init);
/* fpu.c */
void x86_fpu_reset(X86Cpu *cpu);
void x86_fxsave_image(X86Cpu *cpu, uint8_t image[512]);       /* 64-bit layout */
void x86_fxrstor_image(X86Cpu *cpu, const uint8_t image[512]);

/* ---- handlers: ops-system.c, ops-segment.c ----------------------------------------------------------------------- */

/* 0F 00 and friends */
X86Fn x86_op_sldt_r, x86_op_sldt_m, x86_op_str_r, x86_op_str_m;
X86Fn x86_op_lldt_r, x86_op_lldt_m, x86_op_ltr_r, x86_op_ltr_m;
X86Fn x86_op_verr_r, x86_op_verr_m, x86_op_verw_r, x86_op_verw_m; /* set ZF by x86_cc_flags(); NEXT */
X86Fn x86_op_lar_r, x86_op_lar_m, x86_op_lsl_r, x86_op_lsl_m;     /* reg <- rm; ZF; NEXT */
X86Fn x86_op_arpl_r, x86_op_arpl_m;                               /* rm/memory, reg; ZF; NEXT */
/* 0F 01 */
X86Fn x86_op_sgdt, x86_op_sidt, x86_op_lgdt, x86_op_lidt;         /* memory */
X86Fn x86_op_smsw_r, x86_op_smsw_m, x86_op_lmsw_r, x86_op_lmsw_m;
X86Fn x86_op_invlpg;
X86Fn x86_op_monitor, x86_op_mwait, x86_op_clac, x86_op_stac, x86_op_xgetbv, x86_op_xsetbv, x86_op_swapgs,
    x86_op_rdtscp;
/* control */
X86Fn x86_op_mov_from_cr, x86_op_mov_to_cr; /* op->reg: CR, op->rm: general register; 64 bits in 64-bit mode, else 32 */
X86Fn x86_op_mov_from_dr, x86_op_mov_to_dr;
X86Fn x86_op_clts, x86_op_invd, x86_op_wbinvd, x86_op_invpcid; /* invpcid: op->reg type, cpu->ea descriptor */
X86Fn x86_op_rdmsr, x86_op_wrmsr, x86_op_rdtsc, x86_op_rdpmc, x86_op_cpuid;
X86Fn x86_op_syscall, x86_op_sysret, x86_op_sysenter, x86_op_sysexit; /* op->aux: operand size */
X86Fn x86_op_pause; /* NEXT */
X86Fn x86_op_hlt;   /* sets cpu->halted and leaves */
X86Fn x86_op_cli;   /* NEXT */
X86Fn x86_op_sti;   /* NEXT after x86_check_interrupts(); op->aux 1: last of its block: sets cpu->shadow and leaves */
X86Fn x86_op_pushf; /* op->aux size; NEXT */
X86Fn x86_op_popf;
X86Fn x86_op_rdfsbase, x86_op_rdgsbase, x86_op_wrfsbase, x86_op_wrgsbase; /* op->rm; op->aux 4 or 8 */
/* segment registers; op->reg is the segment */
X86Fn x86_op_mov_from_seg_r, x86_op_mov_from_seg_m; /* rm/memory <- reg; NEXT */
X86Fn x86_op_mov_to_seg_r, x86_op_mov_to_seg_m;     /* SS: sets cpu->shadow */
X86Fn x86_op_push_seg, x86_op_pop_seg; /* push: NEXT */
X86Fn x86_op_load_far; /* LES, LDS, LSS, LFS, LGS: op->reg general register, op->rm segment */
/* transfers */
X86Fn x86_op_jmp_far_imm, x86_op_call_far_imm; /* selector op->imm, offset op->disp zero-extended by size */
X86Fn x86_op_jmp_far_m, x86_op_call_far_m;
X86Fn x86_op_ret_far; /* op->imm: bytes to pop */
X86Fn x86_op_iret;
X86Fn x86_op_int;     /* op->imm: vector */
X86Fn x86_op_int3, x86_op_int1, x86_op_into;
/* ports: reg is AL/AX/EAX by op->aux */
X86Fn x86_op_in_imm, x86_op_in_dx, x86_op_out_imm, x86_op_out_dx;

/* ---- stack helpers for the above: segment.c ---------------------------------------------------------------------- */

/*
 * PUSH and POP by parts: *SP is the working copy of RSP, put into regs[] by the caller when nothing can fault any more;
 * SIZE 2, 4, 8.  The width of the stack pointer is that of the current SS (or 64-bit mode).
 */
void x86_push(X86Cpu *cpu, uint64_t *sp, uint64_t value, unsigned size);
uint64_t x86_pop(X86Cpu *cpu, uint64_t *sp, unsigned size);
/* Faults as COUNT pushes from SP on would. */
void x86_probe_push(X86Cpu *cpu, uint64_t sp, unsigned count, unsigned size);
void x86_set_sp(X86Cpu *cpu, uint64_t sp); /* into RSP, ESP or SP */

#endif
