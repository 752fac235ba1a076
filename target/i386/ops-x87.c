/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 instructions: what the host's unit cannot do for the guest.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * The instruction itself is in x87-thunks.S.  Here are memory operands, pending exceptions, EFLAGS, the environment in
 * its three layouts, and the pointers to the last instruction.
 *
 * An exception that is raised is pending until the next waiting instruction, which then is #MF, as with CR0.NE set; the
 * interrupt line of the 80387 for CR0.NE clear does not exist here, and #MF is raised as well.
 *
 * Source: AMD64 APM volume 5, chapter 3; volume 2, 11.4 (layouts).
 */
#include <string.h>

#include "target/i386/decode.h"
#include "target/i386/flags.h"
#include "target/i386/mem.h"
#include "target/i386/ops-x87.h"
#include "target/i386/system.h"
#include "target/i386/x87-thunks.h"

typedef void RegisterThunk(void *image, uint64_t *eflags);
typedef void MemoryThunk(void *image, uint64_t *eflags, void *operand);

extern const uint8_t x86_x87_register_thunks[];
extern const uint8_t x86_x87_memory_thunks[];

#define EFLAGS_FIXED 0x202u /* what a program of the host has */

/* op->imm is FOP: bits 10:8 are the escape's, 7:0 are ModRM. */
static RegisterThunk *register_thunk(const X86Op *op)
{
    unsigned i = ((unsigned)op->imm >> 8 & 7) * 64 + (op->imm & 63);

    return (RegisterThunk *)(uintptr_t)(x86_x87_register_thunks + i * X86_X87_THUNK_SIZE);
}

static MemoryThunk *memory_thunk(const X86Op *op)
{
    unsigned i = ((unsigned)op->imm >> 8 & 7) * 8 + ((unsigned)op->imm >> 3 & 7);

    return (MemoryThunk *)(uintptr_t)(x86_x87_memory_thunks + i * X86_X87_THUNK_SIZE);
}

/* The start of every waiting instruction. */
static inline void x87_wait(X86Cpu *cpu, const X86Op *op)
{
    if (unlikely(cpu->fpu.status & X86_FSW_ES)) {
        x86_raise_op(cpu, op, X86_EXC_MF, 0);
    }
}

static void set_pointers(X86Cpu *cpu, const X86Op *op, uint64_t data)
{
    cpu->fpu.opcode = op->imm & 0x7ff;
    cpu->fpu.ip = x86_op_rip(cpu, op);
    cpu->fpu.dp = data;
}

/* ---- register operands ------------------------------------------------------------------------------------------- */

/* Apart from the handler, whose tail call a local variable's address would cost. */
static __attribute__((noinline)) void run_register(X86Cpu *cpu, const X86Op *op, uint64_t eflags)
{
    uint64_t data = cpu->fpu.dp;

    register_thunk(op)(&cpu->fpu, &eflags);
    set_pointers(cpu, op, data);
}

static __attribute__((noinline)) void run_compare(X86Cpu *cpu, const X86Op *op)
{
    uint64_t data = cpu->fpu.dp, eflags = EFLAGS_FIXED | x86_cc_all(cpu);

    register_thunk(op)(&cpu->fpu, &eflags);
    set_pointers(cpu, op, data);
    x86_cc_flags(cpu, (uint32_t)eflags);
}

X86_OP(x86_op_x87_reg)
{
    x87_wait(cpu, op);
    run_register(cpu, op, EFLAGS_FIXED);
    NEXT;
}

X86_OP(x86_op_fcmov)
{
    x87_wait(cpu, op);
    run_register(cpu, op, EFLAGS_FIXED | x86_cc_all(cpu));
    NEXT;
}

X86_OP(x86_op_fcomi)
{
    x87_wait(cpu, op);
    run_compare(cpu, op);
    NEXT;
}

X86_OP(x86_op_fnstsw_ax)
{
    X86_R16(X86_RAX) = cpu->fpu.status;
    NEXT;
}

X86_OP(x86_op_fnclex)
{
    cpu->fpu.status &= ~(X86_FSW_EXCEPTIONS | 0x40u | X86_FSW_ES | X86_FSW_B);
    NEXT;
}

void x86_x87_init(X86Fpu *fpu)
{
    x86_x87_set_top(fpu, 0);
    fpu->control = 0x37f;
    fpu->status = 0;
    fpu->valid = 0;
    fpu->opcode = 0;
    fpu->ip = 0;
    fpu->dp = 0;
}

/* TOP becomes 0: the registers change their places in the image. */
X86_OP(x86_op_fninit)
{
    x86_x87_init(&cpu->fpu);
    NEXT;
}

X86_OP(x86_op_x87_nop)
{
    NEXT;
}

X86_OP(x86_op_fwait)
{
    x87_wait(cpu, op);
    NEXT;
}

void x86_x87_set_top(X86Fpu *fpu, unsigned top)
{
    unsigned old = (fpu->status & X86_FSW_TOP) >> X86_FSW_TOP_SHIFT;
    X86St moved[8];

    if (old != top) {
        for (unsigned i = 0; i < 8; i++) {
            moved[i] = fpu->st[(i + top - old) & 7];
        }
        memcpy(fpu->st, moved, sizeof(moved));
        fpu->status = (uint16_t)((fpu->status & ~X86_FSW_TOP) | top << X86_FSW_TOP_SHIFT);
    }
}

/* ---- memory operands --------------------------------------------------------------------------------------------- */

/* Of an operand that is not the environment. */
static unsigned size_of(const X86Op *op)
{
    return x86_x87_operand[(unsigned)op->imm >> 8 & 7][(unsigned)op->imm >> 3 & 7] & X86_OPERAND_BYTES;
}

/* Where it is checked, 80 bits count as 64. */
static void check_alignment(X86Cpu *cpu, const X86Op *op)
{
    const unsigned size = size_of(op);

    x86_check_alignment(cpu, op, cpu->ea, size == 10 ? 8 : size);
}

static __attribute__((noinline)) void run_load(X86Cpu *cpu, const X86Op *op)
{
    uint64_t eflags = EFLAGS_FIXED, address = cpu->ea;
    uint8_t operand[16];

    check_alignment(cpu, op);
    x86_ld_bytes(cpu, op, address, operand, size_of(op));
    memory_thunk(op)(&cpu->fpu, &eflags, operand);
    set_pointers(cpu, op, address);
}

X86_OP(x86_op_x87_load)
{
    x87_wait(cpu, op);
    run_load(cpu, op);
    NEXT;
}

/*
 * On a copy of the state: memory may fault, and then nothing has happened.  With an unmasked exception that forbids the
 * result the host has stored nothing, so neither do we; precision is the one that does not forbid it.
 */
static __attribute__((noinline)) void run_store(X86Cpu *cpu, const X86Op *op)
{
    uint64_t eflags = EFLAGS_FIXED, address = cpu->ea;
    unsigned before = cpu->fpu.status;
    X86Fpu after;
    uint8_t operand[16];
    unsigned forbidding;

    memcpy(&after, &cpu->fpu, X86_FPU_IMAGE_SIZE);
    check_alignment(cpu, op);
    /* Rare, but the operand's page must fault whether or not there is a result. */
    x86_probe_write(cpu, op, address, size_of(op));
    after.status &= ~X86_FSW_EXCEPTIONS;
    memory_thunk(op)(&after, &eflags, operand);
    forbidding = after.status & X86_FSW_EXCEPTIONS & ~0x20u & ~after.control;
    after.status |= before & X86_FSW_EXCEPTIONS;
    if (!forbidding) {
        x86_st_bytes(cpu, op, address, operand, size_of(op));
    }
    memcpy(&cpu->fpu, &after, X86_FPU_IMAGE_SIZE);
    set_pointers(cpu, op, address);
}

X86_OP(x86_op_x87_store)
{
    x87_wait(cpu, op);
    run_store(cpu, op);
    NEXT;
}

X86_OP(x86_op_fldcw)
{
    uint16_t control;

    x87_wait(cpu, op);
    control = x86_ld16(cpu, op, cpu->ea);
    x86_x87_set_control(&cpu->fpu, control);
    NEXT;
}

X86_OP(x86_op_fnstcw)
{
    x86_st16(cpu, op, cpu->ea, cpu->fpu.control);
    NEXT;
}

X86_OP(x86_op_fnstsw)
{
    x86_st16(cpu, op, cpu->ea, cpu->fpu.status);
    NEXT;
}

/* An exception that has happened and loses its mask is pending from now on. */
static void update_summary(X86Fpu *fpu)
{
    if (fpu->status & ~fpu->control & X86_FSW_EXCEPTIONS) {
        fpu->status |= X86_FSW_ES | X86_FSW_B;
    } else {
        fpu->status &= ~(X86_FSW_ES | X86_FSW_B);
    }
}

void x86_x87_set_control(X86Fpu *fpu, uint16_t control)
{
    fpu->control = (control & 0x1f3fu) | 0x40u;
    update_summary(fpu);
}

/* ---- the environment --------------------------------------------------------------------------------------------- */

/* The two bits of each physical register: 0 valid, 1 zero, 2 special, 3 empty. */
static uint16_t full_tags(const X86Fpu *fpu)
{
    unsigned top = (fpu->status & X86_FSW_TOP) >> X86_FSW_TOP_SHIFT, tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const X86St *st = &fpu->st[(i - top) & 7];
        unsigned exponent = st->sign_exponent & 0x7fff, tag = 0;

        if (!(fpu->valid & 1u << i)) {
            tag = 3;
        } else if (exponent == 0 && st->mantissa == 0) {
            tag = 1;
        } else if (exponent == 0 || exponent == 0x7fff || !(st->mantissa >> 63)) {
            tag = 2;
        }
        tags |= tag << (i * 2);
    }
    return (uint16_t)tags;
}

static uint8_t valid_of_tags(uint16_t tags)
{
    uint8_t valid = 0;

    for (unsigned i = 0; i < 8; i++) {
        valid |= (uint8_t)(((tags >> (i * 2) & 3) != 3) << i);
    }
    return valid;
}

/* 14 or 28 bytes by operand size; real-mode and protected-mode layouts differ in the pointers only. */
typedef union X87Environment {
    uint16_t word[14];
    uint32_t dword[7];
} X87Environment;

static unsigned environment_size(const X86Op *op)
{
    return op->aux == 2 ? 14 : 28;
}

static void check_environment_alignment(X86Cpu *cpu, const X86Op *op)
{
    x86_check_alignment(cpu, op, cpu->ea, op->aux == 2 ? 2 : 4);
}

static void environment_get(X86Cpu *cpu, const X86Op *op, X87Environment *env)
{
    const X86Fpu *fpu = &cpu->fpu;
    uint16_t tags = full_tags(fpu);
    bool real = cpu->code_flags & X86_CODE_REAL;

    if (op->aux == 2) {
        env->word[0] = fpu->control;
        env->word[1] = fpu->status;
        env->word[2] = tags;
        env->word[3] = (uint16_t)fpu->ip;
        env->word[4] = (uint16_t)(real ? (fpu->ip >> 4 & 0xf000) | fpu->opcode : 0);
        env->word[5] = (uint16_t)fpu->dp;
        env->word[6] = (uint16_t)(real ? fpu->dp >> 4 & 0xf000 : 0);
        return;
    }
    env->dword[0] = fpu->control | 0xffff0000u;
    env->dword[1] = fpu->status | 0xffff0000u;
    env->dword[2] = tags | 0xffff0000u;
    if (real) {
        env->dword[3] = (uint32_t)fpu->ip & 0xffff;
        env->dword[4] = ((uint32_t)fpu->ip >> 4 & 0x0ffff000u) | fpu->opcode;
        env->dword[5] = (uint32_t)fpu->dp & 0xffff;
        env->dword[6] = (uint32_t)fpu->dp >> 4 & 0x0ffff000u;
    } else {
        env->dword[3] = (uint32_t)fpu->ip;
        env->dword[4] = (uint32_t)fpu->opcode << 16;
        env->dword[5] = (uint32_t)fpu->dp;
        env->dword[6] = 0xffff0000u;
    }
}

/* The registers stay where they are physically: those of the image move when TOP changes. */
static void environment_set(X86Cpu *cpu, const X86Op *op, const X87Environment *env)
{
    X86Fpu *fpu = &cpu->fpu;
    bool narrow = op->aux == 2, real = cpu->code_flags & X86_CODE_REAL;
    uint16_t status = narrow ? env->word[1] : (uint16_t)env->dword[1];

    x86_x87_set_top(fpu, (status & X86_FSW_TOP) >> X86_FSW_TOP_SHIFT);
    fpu->status = status;
    fpu->valid = valid_of_tags(narrow ? env->word[2] : (uint16_t)env->dword[2]);
    if (narrow) {
        fpu->ip = env->word[3] | (real ? (uint32_t)(env->word[4] & 0xf000) << 4 : 0);
        fpu->dp = env->word[5] | (real ? (uint32_t)(env->word[6] & 0xf000) << 4 : 0);
        fpu->opcode = real ? env->word[4] & 0x7ff : 0;
    } else {
        fpu->ip = real ? (env->dword[3] & 0xffff) | (env->dword[4] & 0x0ffff000u) << 4 : env->dword[3];
        fpu->dp = real ? (env->dword[5] & 0xffff) | (env->dword[6] & 0x0ffff000u) << 4 : env->dword[5];
        fpu->opcode = (real ? env->dword[4] : env->dword[4] >> 16) & 0x7ff;
    }
    x86_x87_set_control(fpu, narrow ? env->word[0] : (uint16_t)env->dword[0]);
}

static __attribute__((noinline)) void fnstenv(X86Cpu *cpu, const X86Op *op)
{
    X87Environment env;

    check_environment_alignment(cpu, op);
    environment_get(cpu, op, &env);
    x86_st_bytes(cpu, op, cpu->ea, &env, environment_size(op));
    cpu->fpu.control |= X86_FSW_EXCEPTIONS;
    update_summary(&cpu->fpu);
}

X86_OP(x86_op_fnstenv)
{
    fnstenv(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void fldenv(X86Cpu *cpu, const X86Op *op)
{
    X87Environment env;

    check_environment_alignment(cpu, op);
    x86_ld_bytes(cpu, op, cpu->ea, &env, environment_size(op));
    environment_set(cpu, op, &env);
}

X86_OP(x86_op_fldenv)
{
    x87_wait(cpu, op);
    fldenv(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void fnsave(X86Cpu *cpu, const X86Op *op)
{
    unsigned size = environment_size(op);
    union {
        uint8_t bytes[28 + 80];
        X87Environment env;
    } area;

    check_environment_alignment(cpu, op);
    environment_get(cpu, op, &area.env);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area.bytes + size + i * 10, &cpu->fpu.st[i], 10);
    }
    x86_st_bytes(cpu, op, cpu->ea, area.bytes, size + 80);
    x86_x87_init(&cpu->fpu);
}

X86_OP(x86_op_fnsave)
{
    fnsave(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void frstor(X86Cpu *cpu, const X86Op *op)
{
    unsigned size = environment_size(op);
    union {
        uint8_t bytes[28 + 80];
        X87Environment env;
    } area;

    check_environment_alignment(cpu, op);
    x86_ld_bytes(cpu, op, cpu->ea, area.bytes, size + 80);
    environment_set(cpu, op, &area.env);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&cpu->fpu.st[i], area.bytes + size + i * 10, 10);
    }
}

X86_OP(x86_op_frstor)
{
    x87_wait(cpu, op);
    frstor(cpu, op);
    NEXT;
}
