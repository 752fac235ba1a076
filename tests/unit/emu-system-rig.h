/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for tests of the processor's system parts: RAM from 0 on, one processor, tables for each mode.
 *
 * Thread: the test's.
 *
 * All is mapped to its own address.  A test puts code to SYS_KERNEL or SYS_USER and runs it until HLT.  Every vector of
 * the interrupt table leads to a HLT of its own, so that where the processor halts tells what happened, and the frame
 * is on the stack.
 */
#ifndef TESTS_EMU_SYSTEM_RIG_H
#define TESTS_EMU_SYSTEM_RIG_H

#include "target/i386/cpu.h"
#include "target/i386/engine.h"

#define SYS_RAM_SIZE (16u << 20)
#define SYS_GDT 0x1000u
#define SYS_IDT 0x2000u
#define SYS_TSS 0x3000u
#define SYS_TSS2 0x3800u
#define SYS_LDT 0x4000u
#define SYS_TABLES 0x10000u /* of pages: top, then SYS_PD, SYS_PT */
#define SYS_PDPT (SYS_TABLES + 0x1000u)
#define SYS_PD (SYS_TABLES + 0x2000u)
#define SYS_PT (SYS_TABLES + 0x3000u) /* of the first 2 (32-bit paging: 4) MiB */
#define SYS_KERNEL 0x20000u
#define SYS_USER 0x30000u       /* to 0x3ffff: user pages */
#define SYS_KERNEL_STACK 0x48000u
#define SYS_INNER_STACK 0x4a000u /* of the TSS, for level 0 */
#define SYS_IST 0x4c000u         /* interrupt stack 1 */
#define SYS_USER_STACK 0x58000u  /* 0x50000 to 0x5ffff: user pages */
#define SYS_HANDLERS 0x60000u    /* 16 bytes for each vector */
#define SYS_DATA 0x70000u

/* Selectors */
enum {
    SYS_CS64 = 0x08, SYS_DS = 0x10, SYS_CS32 = 0x18, SYS_CS16 = 0x20, SYS_DS16 = 0x28,
    /* in the order that SYSRET and SYSEXIT need */
    SYS_USER_CS32 = 0x33, SYS_USER_DS = 0x3b, SYS_USER_CS64 = 0x43,
    SYS_TR = 0x50,       /* 16 bytes */
    SYS_TR2 = 0x60,
    SYS_GATE = 0x68,     /* call gates: 16 bytes */
    SYS_ABSENT = 0x78,   /* data segment, not present */
    SYS_READ_ONLY = 0x80,
    SYS_SMALL = 0x88,    /* data segment of 16 bytes */
    SYS_FREE = 0x90,     /* for tests, to the end */
    SYS_GDT_END = 0xc0,
};

typedef struct SysRig {
    uint8_t *ram;
    X86Machine *machine;
    X86Cpu *cpu;
    X86State state;     /* set before, read after sys_run() */
    X86Exit exit;
    int interrupt;      /* that the controller offers; -1: none */
    uint64_t tsc;
    uint8_t tpr;
    uint64_t deadline;  /* TSC-deadline MSR of the controller */
    uint64_t apic_base;
    unsigned port, port_size; /* of the last access */
    uint32_t port_value;
    uint64_t written[SYS_RAM_SIZE / 4096 / 64]; /* a bit for each page told to X86Bus.ram_written() */
    void (*port_hook)(struct SysRig *rig); /* of an OUT; may be NULL */
} SysRig;

/* Guest code by the assembler: GUEST(name, 64, "hlt") defines name and name_end. */
#define GUEST(name, bits, text) \
    extern const uint8_t name[] __attribute__((visibility("hidden"))); \
    extern const uint8_t name##_end[] __attribute__((visibility("hidden"))); \
    __asm__(".pushsection .rodata\n.code" #bits "\n.globl " #name ", " #name "_end\n.hidden " #name ", " #name \
            "_end\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection")

/* MODEL: -cpu text or NULL. */
void sys_rig_init(SysRig *rig, const char *model);
void sys_rig_clear(SysRig *rig);
/* The rig's X86Bus, for other processors with the rig as their OPAQUE. */
const X86Bus *sys_rig_bus(void);

/* A state in each mode at SYS_KERNEL, with tables in RAM. */
void sys_real(SysRig *rig);
void sys_protected(SysRig *rig);   /* 32-bit, level 0, no paging */
void sys_protected_paging(SysRig *rig, bool pae);
void sys_long(SysRig *rig);        /* 64-bit, level 0 */
void sys_user64(SysRig *rig);      /* 64-bit, level 3, at SYS_USER */
void sys_user32(SysRig *rig);      /* legacy 32-bit, level 3; after sys_protected*() */

/* Virtual-8086 mode, no paging: HLTs at 3000h:0 (SYS_USER), a cleared stack at 5000h:SYS_VM_STACK, data at 7000h. */
void sys_vm86(SysRig *rig, unsigned iopl);
#define SYS_VM_STACK 0x1000u

void sys_put(SysRig *rig, uint32_t addr, uint64_t value, unsigned size);
uint64_t sys_get(const SysRig *rig, uint32_t addr, unsigned size);

/* 8-byte descriptor at OFFSET in the GDT. */
void sys_descriptor(SysRig *rig, unsigned offset, uint32_t base, uint32_t limit, uint16_t attr);
/* IDT entry of VECTOR in the current mode's form; TYPE as in the table (0xe: 32- or 64-bit interrupt gate). */
void sys_gate(SysRig *rig, unsigned vector, uint16_t selector, uint64_t offset, unsigned type, unsigned dpl,
              unsigned ist);

/* Copies guest code to ADDR and makes RIP point to it. */
void sys_code(SysRig *rig, uint32_t addr, const uint8_t *code, const uint8_t *end);
#define SYS_CODE(rig, addr, name) sys_code(rig, addr, name, name##_end)
/* Runs STATE until the processor halts or shuts down. */
void sys_run(SysRig *rig);

/* The vector whose handler halted, or -1: the code's own HLT. */
int sys_vector(const SysRig *rig);
/* SYS_RUN_VECTOR: runs, and the handler of VECTOR has to be reached (-1: HLT). */
#define SYS_RUN_VECTOR(rig, expected) \
    do { \
        sys_run(rig); \
        g_assert_cmpint((rig)->exit, ==, X86_EXIT_HALTED); \
        g_assert_cmpint(sys_vector(rig), ==, expected); \
    } while (0)

/* Word N of what is on the stack, by the size of the handler's pushes. */
uint64_t sys_stack(const SysRig *rig, unsigned n, unsigned size);

#endif
