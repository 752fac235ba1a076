/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making, resetting and inspecting a processor.
 *
 * Thread: the processor's own, or any while it does not run.  Runs in: mpqemu.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"
#include "target/i386/mem.h"
#include "target/i386/flags.h"
#include "target/i386/system.h"
#include "util/error.h"

static bool flat_segment(const X86Segment *seg)
{
    return seg->base == 0 && seg->limit == 0xffffffffu && (seg->attr & X86_SEG_P) &&
           (seg->attr & (X86_SEG_S | 0xe)) == (X86_SEG_S | 2); /* data, writable, not expand-down */
}

void x86_mode_changed(X86Cpu *cpu)
{
    const bool long_mode = cpu->efer & X86_EFER_LMA, real = !(cpu->cr0 & X86_CR0_PE) || (cpu->rflags & X86_VM);
    const bool code64 = long_mode && (cpu->seg[X86_CS].attr & X86_SEG_L);
    uint32_t flags = 0;

    if (code64) {
        flags |= X86_CODE_64 | X86_CODE_32 | X86_CODE_SS32 | X86_CODE_FLAT;
    } else {
        flags |= cpu->seg[X86_CS].attr & X86_SEG_DB ? X86_CODE_32 : 0;
        flags |= cpu->seg[X86_SS].attr & X86_SEG_DB ? X86_CODE_SS32 : 0;
        if (!real && flat_segment(&cpu->seg[X86_DS]) && flat_segment(&cpu->seg[X86_ES]) && flat_segment(&cpu->seg[X86_SS])) {
            flags |= X86_CODE_FLAT;
        }
    }
    flags |= !code64 && cpu->seg[X86_CS].limit != 0xffffffffu ? X86_CODE_LIMIT : 0;
    flags |= real ? X86_CODE_REAL : 0;
    flags |= cpu->cr0 & X86_CR0_TS ? X86_CODE_TS : 0;
    flags |= cpu->cr0 & X86_CR0_EM ? X86_CODE_EM : 0;
    flags |= cpu->cr0 & X86_CR0_MP ? X86_CODE_MP : 0;
    flags |= cpu->cr4 & X86_CR4_OSFXSR ? 0 : X86_CODE_NOSSE;
    flags |= (cpu->rflags & X86_TF) || (cpu->dr[7] & 0xff) ? X86_CODE_ONE : 0;
    cpu->code_flags = flags;
    cpu->cs_base = code64 ? 0 : cpu->seg[X86_CS].base;
    if (cpu->cpl == 3) {
        cpu->mmu_mode =
            (cpu->cr0 & X86_CR0_AM) && (cpu->rflags & X86_AC) ? X86_MMU_USER_ALIGNED : X86_MMU_USER;
    } else if ((cpu->cr4 & X86_CR4_SMAP) && !(cpu->rflags & X86_AC)) {
        cpu->mmu_mode = X86_MMU_KERNEL;
    } else {
        cpu->mmu_mode = X86_MMU_KERNEL_USER;
    }
    cpu->tlb = cpu->tlbs[cpu->mmu_mode];
    x86_update_jump_keys(cpu);
}

static void forget_all(X86Cpu *cpu)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu->ram_cache); i++) {
        cpu->ram_cache[i].gpa = ~(uint64_t)0;
    }
    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        cpu->tlb_used[mode] = true;
    }
    x86_tlb_flush(cpu, false);
    x86_code_flush(cpu);
}

void x86_cpu_flush_memory(X86Cpu *cpu)
{
    /* Blocks stay: they are found by host address, and compared with what is there. */
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu->ram_cache); i++) {
        cpu->ram_cache[i].gpa = ~(uint64_t)0;
    }
    x86_tlb_flush(cpu, false);
}

void x86_cpu_log_writes(X86Cpu *cpu, bool on)
{
    cpu->log_writes = on;
    if (on) {
        x86_tlb_drop_written(cpu);
    }
}

X86Cpu *x86_cpu_new(X86Machine *machine, const X86CpuConfig *config, const X86Bus *bus, void *opaque, GError **errp)
{
    X86Cpu *cpu;

    if (config->index >= X86_CPUS_MAX) {
        error_setg(errp, "processor %u: there can be %u", config->index, X86_CPUS_MAX);
        return NULL;
    }
    cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~(size_t)63);
    if (cpu == NULL) {
        error_setg(errp, "processor %u: out of memory", config->index);
        return NULL;
    }
    memset(cpu, 0, sizeof(*cpu));
    cpu->machine = machine;
    cpu->bus = bus;
    cpu->opaque = opaque;
    cpu->index = config->index;
    cpu->count = config->count ? config->count : 1;
    cpu->threads = config->threads ? config->threads : 1;
    cpu->cores = config->cores ? config->cores : cpu->count / cpu->threads;
    cpu->fault.vector = -1;
    if (!x86_cpuid_init(cpu, config, errp)) {
        free(cpu);
        return NULL;
    }
    if (!x86_code_init(cpu, config->code_cache_bytes)) {
        error_setg(errp, "processor %u: no memory for translated code", config->index);
        x86_cpuid_free(cpu);
        free(cpu);
        return NULL;
    }
    x86_cpu_reset(cpu, false);
    g_mutex_lock(&machine->bus_lock);
    atomic_store(&machine->cpus[cpu->index], cpu);
    g_mutex_unlock(&machine->bus_lock);
    return cpu;
}

void x86_cpu_free(X86Cpu *cpu)
{
    if (cpu == NULL) {
        return;
    }
    atomic_store(&cpu->machine->cpus[cpu->index], NULL);
    x86_code_free(cpu);
    x86_cpuid_free(cpu);
    free(cpu);
}

void x86_cpu_reset(X86Cpu *cpu, bool by_init)
{
    memset(cpu->regs, 0, sizeof(cpu->regs));
    x86_cc_flags(cpu, 0);
    cpu->rflags = 2;
    cpu->op = NULL;
    cpu->fault.vector = -1;
    cpu->fault.restart = false;
    cpu->shadow = cpu->halted = cpu->force_one = cpu->one_insn = cpu->nmi_blocked = false;
    cpu->dr6_pending = 0;
    atomic_fetch_and(&cpu->pending, ~X86_PENDING_NMI);
    x86_system_reset(cpu, by_init);
    if (!by_init) {
        x86_fpu_reset(cpu);
    }
    x86_delivery_done(cpu);
    x86_mode_changed(cpu);
    forget_all(cpu);
}

void x86_cpu_sipi(X86Cpu *cpu, uint8_t vector)
{
    cpu->seg[X86_CS].selector = (uint16_t)(vector << 8);
    cpu->seg[X86_CS].base = (uint64_t)vector << 12;
    cpu->rip = 0;
    cpu->halted = false;
    x86_mode_changed(cpu);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

void x86_cpu_get_state(X86Cpu *cpu, X86State *state)
{
    *state = (X86State) {
        .rip = cpu->rip, .rflags = x86_get_rflags(cpu), .ldt = cpu->ldt, .tr = cpu->tr, .gdt_base = cpu->gdt_base,
        .idt_base = cpu->idt_base, .gdt_limit = (uint16_t)cpu->gdt_limit, .idt_limit = (uint16_t)cpu->idt_limit,
        .cr0 = cpu->cr0, .cr2 = cpu->cr2, .cr3 = cpu->cr3, .cr4 = cpu->cr4, .efer = cpu->efer, .star = cpu->star,
        .lstar = cpu->lstar, .cstar = cpu->cstar, .fmask = cpu->fmask, .kernel_gs_base = cpu->kernel_gs_base,
        .sysenter_cs = (uint32_t)cpu->sysenter_cs, .sysenter_esp = cpu->sysenter_esp, .sysenter_eip = cpu->sysenter_eip,
        .pat = cpu->pat, .tsc_aux = cpu->tsc_aux, .halted = cpu->halted,
    };
    memcpy(state->gpr, cpu->regs, sizeof(state->gpr));
    memcpy(state->segment, cpu->seg, sizeof(state->segment));
    memcpy(state->dr, cpu->dr, sizeof(state->dr));
    x86_fxsave_image(cpu, state->fxsave);
}

void x86_cpu_set_state(X86Cpu *cpu, const X86State *state)
{
    memcpy(cpu->regs, state->gpr, sizeof(state->gpr));
    memcpy(cpu->seg, state->segment, sizeof(state->segment));
    memcpy(cpu->dr, state->dr, sizeof(state->dr));
    cpu->rip = state->rip;
    x86_set_rflags(cpu, state->rflags);
    cpu->ldt = state->ldt;
    cpu->tr = state->tr;
    cpu->gdt_base = state->gdt_base;
    cpu->idt_base = state->idt_base;
    cpu->gdt_limit = state->gdt_limit;
    cpu->idt_limit = state->idt_limit;
    cpu->cr0 = state->cr0;
    cpu->cr2 = state->cr2;
    cpu->cr3 = state->cr3;
    cpu->cr4 = state->cr4;
    cpu->efer = state->efer;
    cpu->star = state->star;
    cpu->lstar = state->lstar;
    cpu->cstar = state->cstar;
    cpu->fmask = state->fmask;
    cpu->kernel_gs_base = state->kernel_gs_base;
    cpu->sysenter_cs = state->sysenter_cs;
    cpu->sysenter_esp = state->sysenter_esp;
    cpu->sysenter_eip = state->sysenter_eip;
    cpu->pat = state->pat;
    cpu->tsc_aux = state->tsc_aux;
    cpu->halted = state->halted;
    x86_fxrstor_image(cpu, state->fxsave);
    if ((cpu->cr0 & X86_CR0_PG) && (cpu->cr4 & X86_CR4_PAE) && !x86_long_mode(cpu)) {
        x86_load_pdptes(cpu, cpu->cr3);
    }
    cpu->cpl = cpu->cr0 & X86_CR0_PE ? (state->rflags & X86_VM ? 3 : cpu->seg[X86_SS].attr >> X86_SEG_DPL_SHIFT & 3) : 0;
    cpu->shadow = cpu->force_one = cpu->nmi_blocked = false;
    x86_mode_changed(cpu);
    forget_all(cpu);
}

char *x86_cpu_text(X86Cpu *cpu)
{
    static const char *const gpr[16] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                         "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15" };
    static const char *const segment[X86_SEGMENTS] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < 16; i++) {
        g_string_append_printf(text, "%s=%016" PRIx64 "%c", gpr[i], cpu->regs[i], i % 4 == 3 ? '\n' : ' ');
    }
    g_string_append_printf(text, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " CPL=%u HLT=%u\n", cpu->rip, x86_get_rflags(cpu), cpu->cpl,
                           cpu->halted);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        g_string_append_printf(text, "%s =%04x %016" PRIx64 " %08x %04x\n", segment[i], cpu->seg[i].selector, cpu->seg[i].base,
                               cpu->seg[i].limit, cpu->seg[i].attr);
    }
    g_string_append_printf(text, "LDT=%04x %016" PRIx64 " %08x %04x\n", cpu->ldt.selector, cpu->ldt.base, cpu->ldt.limit,
                           cpu->ldt.attr);
    g_string_append_printf(text, "TR =%04x %016" PRIx64 " %08x %04x\n", cpu->tr.selector, cpu->tr.base, cpu->tr.limit,
                           cpu->tr.attr);
    g_string_append_printf(text, "GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", cpu->gdt_base, cpu->gdt_limit,
                           cpu->idt_base, cpu->idt_limit);
    g_string_append_printf(text, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", cpu->cr0,
                           cpu->cr2, cpu->cr3, cpu->cr4);
    g_string_append_printf(text, "DR0=%016" PRIx64 " DR1=%016" PRIx64 " DR2=%016" PRIx64 " DR3=%016" PRIx64 "\n", cpu->dr[0],
                           cpu->dr[1], cpu->dr[2], cpu->dr[3]);
    g_string_append_printf(text, "DR6=%016" PRIx64 " DR7=%016" PRIx64 " EFER=%016" PRIx64 "\n", cpu->dr[6], cpu->dr[7],
                           cpu->efer);
    return g_string_free(text, FALSE);
}
