/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor after power-on and INIT.
 *
 * Thread: the processor's own, or while it does not run.  Runs in: mpqemu.
 *
 * Source: Intel SDM volume 3, section 9.1.
 */
#include <string.h>
#include "target/i386/cpuid.h"
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define DR6_RESET 0xffff0ff0u
#define DR7_RESET 0x400u
#define PAT_RESET 0x0007040600070406ull
/* Fast strings; no branch trace store, no precise event-based sampling. */
#define MISC_ENABLE_RESET (1u | 1u << 11 | 1u << 12)

#define ATTR_DATA (X86_SEG_P | X86_SEG_S | X86_TYPE_RW | X86_TYPE_ACCESSED)

/* What INIT leaves as it is. */
static void reset_msrs(X86Cpu *cpu)
{
    cpu->star = cpu->lstar = cpu->cstar = cpu->fmask = cpu->kernel_gs_base = 0;
    cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
    cpu->pat = PAT_RESET;
    cpu->tsc_aux = 0;
    cpu->tsc_offset = 0;
    cpu->misc_enable = MISC_ENABLE_RESET;
    cpu->mtrr_def_type = 0;
    memset(cpu->mtrr_fixed, 0, sizeof(cpu->mtrr_fixed));
    memset(cpu->mtrr_base, 0, sizeof(cpu->mtrr_base));
    memset(cpu->mtrr_mask, 0, sizeof(cpu->mtrr_mask));
    cpu->xcr0 = 1;
}

void x86_system_reset(X86Cpu *cpu, bool by_init)
{
    uint64_t cache_bits = by_init ? cpu->cr0 & (X86_CR0_CD | X86_CR0_NW) : X86_CR0_CD | X86_CR0_NW;

    memset(cpu->regs, 0, sizeof(cpu->regs));
    cpu->regs[X86_RDX] = X86_CPUID_SIGNATURE;
    cpu->rip = 0xfff0;
    x86_set_rflags(cpu, 2);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        cpu->seg[i] = (X86Segment){ .limit = 0xffff, .attr = ATTR_DATA };
    }
    cpu->seg[X86_CS] = (X86Segment){
        .selector = 0xf000, .base = 0xffff0000u, .limit = 0xffff, .attr = ATTR_DATA | X86_TYPE_CODE,
    };
    cpu->ldt = (X86Segment){ .limit = 0xffff, .attr = X86_SEG_P | X86_TYPE_LDT };
    cpu->tr = (X86Segment){ .limit = 0xffff, .attr = X86_SEG_P | X86_TYPE_TSS32_BUSY };
    cpu->gdt_base = cpu->idt_base = 0;
    cpu->gdt_limit = cpu->idt_limit = 0xffff;
    cpu->cr0 = X86_CR0_ET | cache_bits;
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    memset(cpu->dr, 0, sizeof(cpu->dr));
    cpu->dr[6] = DR6_RESET;
    cpu->dr[7] = DR7_RESET;
    cpu->dr6_pending = 0;
    cpu->efer = 0;
    memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
    cpu->cpl = 0;
    cpu->shadow = cpu->halted = cpu->nmi_blocked = false;
    x86_delivery_done(cpu);
    if (!by_init) {
        reset_msrs(cpu);
    }
    x86_tlb_flush(cpu, false);
    x86_mode_changed(cpu);
}
