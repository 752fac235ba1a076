/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The built-in x86-64 processor: executes guest code in software.  docs/devel/cpu-engine.rst tells how it works.
 *
 * Thread: each X86Cpu belongs to one thread, which makes all calls on it except those marked "any thread".  Several run
 * in parallel on the same RAM.  Runs in: mpqemu.
 *
 * The engine knows processors and nothing else: memory, ports, interrupt controllers and time are reached through the
 * X86Bus of its user.  RAM is used directly through host pointers.  Device programs may write to it at any time without
 * telling the engine.
 *
 * Sources: AMD64 Architecture Programmer's Manual volumes 1 to 5; Intel Software Developer's Manual volumes 1 to 3.
 */
#ifndef TARGET_I386_ENGINE_H
#define TARGET_I386_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

typedef struct X86Machine X86Machine;
typedef struct X86Cpu X86Cpu;

#define X86_CPUS_MAX 64

typedef enum X86Exit {
    X86_EXIT_KICKED,   /* x86_cpu_kick(); also when it came before x86_cpu_run() */
    X86_EXIT_HALTED,   /* HLT (or MWAIT) and no interrupt is pending that would end it */
    X86_EXIT_SHUTDOWN, /* triple fault; x86_cpu_reset() is the only way on */
} X86Exit;

/*
 * What surrounds the processor.  All callbacks come on the processor's own thread and get X86Cpu's OPAQUE.  They may
 * call the "any thread" functions of any processor, and x86_cpu_flush_memory() and x86_cpu_log_writes() of their own.
 */
typedef struct X86Bus {
    /*
     * Host address of the RAM or ROM page at guest-physical GPA (a multiple of 4096), or NULL: accesses go to
     * mmio_read() and mmio_write().  *WRITABLE false: reads and instructions come from the page, writes go to
     * mmio_write().  The engine keeps the answer until x86_cpu_flush_memory().
     */
    uint8_t *(*ram_page)(void *opaque, uint64_t gpa, bool *writable);
    /*
     * With x86_cpu_log_writes() only: the processor writes to the writable RAM page at GPA, or is about to.  It may
     * turn out to fault instead.  The callback waits for nothing: others may stand still for this access.
     */
    void (*ram_written)(void *opaque, uint64_t gpa);
    /* SIZE is 1, 2, 4 or 8, within an 8-byte unit. */
    uint64_t (*mmio_read)(void *opaque, uint64_t gpa, unsigned size);
    void (*mmio_write)(void *opaque, uint64_t gpa, uint64_t value, unsigned size);
    /* SIZE is 1, 2 or 4. */
    uint32_t (*port_in)(void *opaque, uint16_t port, unsigned size);
    void (*port_out)(void *opaque, uint16_t port, uint32_t value, unsigned size);
    /* The processor takes the external interrupt: its vector, or -1 when it is gone after all. */
    int (*interrupt_ack)(void *opaque);
    /* Time stamp counter before guest's own offset; counts at 1 GHz. */
    uint64_t (*tsc)(void *opaque);
    /* CR8: bits 7:4 of the local APIC's task priority.  Values 0 to 15. */
    uint8_t (*tpr_get)(void *opaque);
    void (*tpr_set)(void *opaque, uint8_t value);
    /* MSRs of the local APIC (APIC base, x2APIC, TSC deadline).  False: there is none, #GP for the guest. */
    bool (*msr_read)(void *opaque, uint32_t msr, uint64_t *value);
    bool (*msr_write)(void *opaque, uint32_t msr, uint64_t value);
    /*
     * Around a wait for another processor, which may be in a callback of its own meanwhile; x86_cpu_flush_memory() and
     * x86_cpu_log_writes() are allowed in between.  NULL: nobody wants to know.
     */
    void (*wait_begin)(void *opaque);
    void (*wait_end)(void *opaque);
} X86Bus;

/* What all processors of one guest share: marks of pages with translated code, and the list of processors. */
X86Machine *x86_machine_new(void);
void x86_machine_free(X86Machine *machine); /* after all its processors; NULL does nothing */

typedef struct X86CpuConfig {
    const char *model;        /* "-cpu" text: MODEL[,+FEATURE][,-FEATURE]...; NULL: the default model */
    unsigned index;           /* 0: the bootstrap processor; also the initial APIC ID */
    unsigned count;           /* processors in the machine, for CPUID */
    unsigned cores, threads;  /* of a package, of a core; 0: one package of cores with one thread */
    size_t code_cache_bytes;  /* bound of translated code; 0: the default */
} X86CpuConfig;

/* Prints the models and features for -cpu help. */
void x86_cpu_models_print(void);

/* True when MODEL can be given to x86_cpu_new(). */
bool x86_cpu_model_check(const char *model, GError **errp);

/*
 * In reset state.  BUS stays the caller's and must outlive the processor.  On any thread; the machine is not running.
 */
X86Cpu *x86_cpu_new(X86Machine *machine, const X86CpuConfig *config, const X86Bus *bus, void *opaque, GError **errp);
/* No processor of its machine runs.  NULL does nothing. */
void x86_cpu_free(X86Cpu *cpu);

/* State after power-on, or after INIT (FPU, caches, MTRRs kept) when BY_INIT. */
void x86_cpu_reset(X86Cpu *cpu, bool by_init);
/* Start-up IPI: real mode at VECTOR << 12. */
void x86_cpu_sipi(X86Cpu *cpu, uint8_t vector);

X86Exit x86_cpu_run(X86Cpu *cpu);

/* Makes x86_cpu_run() return soon, also one that is about to be called.  Any thread, async-signal-safe. */
void x86_cpu_kick(X86Cpu *cpu);

/* The INTR pin (a level) and NMI (an edge).  Any thread, async-signal-safe. */
void x86_cpu_set_intr(X86Cpu *cpu, bool level);
void x86_cpu_nmi(X86Cpu *cpu);

/*
 * Drops everything learned from X86Bus.ram_page(): the memory map has changed.  Own thread, or while it does not run,
 * or while its own thread is in a callback of X86Bus (and goes on only when this has returned).
 */
void x86_cpu_flush_memory(X86Cpu *cpu);

/*
 * ON: X86Bus.ram_written() is called for each page before, or with, the first write to it from here on; again so after
 * each call.  Not ON, as a processor begins: never.  When and where as x86_cpu_flush_memory().
 */
void x86_cpu_log_writes(X86Cpu *cpu, bool on);

/* Registers as text, many lines.  Caller frees.  Own thread, or while it does not run. */
char *x86_cpu_text(X86Cpu *cpu);

/* ---- the architectural state, for loaders and tests -------------------------------------------------------------- */

typedef struct X86SegmentState {
    uint16_t selector;
    uint16_t attr; /* bits 8-15 and 20-23 of the descriptor's second word, shifted right by 8 (bits 0-7, 12-15) */
    uint32_t limit; /* in bytes */
    uint64_t base;
} X86SegmentState;

/* Numbering of segments is that of the instruction set. */
enum { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEGMENTS };
enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI };

typedef struct X86State {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    X86SegmentState segment[X86_SEGMENTS];
    X86SegmentState ldt, tr;
    uint64_t gdt_base, idt_base;
    uint16_t gdt_limit, idt_limit;
    uint64_t cr0, cr2, cr3, cr4;
    uint64_t dr[8];
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint32_t sysenter_cs;
    uint64_t sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux;
    bool halted;
    /* FXSAVE's 512-byte image with 64-bit layout: x87, MXCSR, XMM0-15. */
    uint8_t fxsave[512];
} X86State;

void x86_cpu_get_state(X86Cpu *cpu, X86State *state);
/* Trusts the caller: meant for values a processor can have.  Drops all cached translations. */
void x86_cpu_set_state(X86Cpu *cpu, const X86State *state);

#endif
