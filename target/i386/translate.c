/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: blocks.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A block goes on over conditional branches that are not taken and ends at other changes of control, at the end of the
 * page, and after X86_BLOCK_INSNS instructions.  All instructions are decoded first; going backward through them tells
 * whose flags are overwritten before anything reads them.  An instruction that faults in between, or an interrupt after
 * a branch to an instruction of the same block, shows stale arithmetic flags in its frame; what runs on after it cannot
 * tell.
 */
#include <string.h>
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

X86Op *x86_emit(X86Translation *t, const X86Insn *insn, X86Fn *fn)
{
    X86Op *op = &t->ops[t->count++];

    memset(op, 0, sizeof(*op));
    op->fn = fn;
    op->pc_off = insn->pc_off;
    op->len = insn->len;
    return op;
}

void x86_emit_raise(X86Translation *t, const X86Insn *insn, int vector)
{
    x86_emit(t, insn, x86_op_raise)->imm = vector;
    t->ended = true;
}

void x86_emit_ea(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access)
{
    const bool code64 = t->code_flags & X86_CODE_64;
    X86Op *op;

    if (code64 && insn->addrsize == 4) {
        op = x86_emit(t, insn, x86_op_ea_addr32);
    } else if (code64 && insn->seg >= X86_FS) {
        op = x86_emit(t, insn, insn->index == X86_REG_ZERO ? x86_op_ea_seg : x86_op_ea_seg_bis);
    } else if (code64) {
        op = x86_emit(t, insn, insn->index == X86_REG_ZERO ? x86_op_ea_bd : x86_op_ea_bis);
    } else if ((t->code_flags & X86_CODE_FLAT) && insn->addrsize == 4 && insn->seg < X86_FS && insn->seg != X86_CS) {
        op = x86_emit(t, insn, x86_op_ea_flat32);
    } else {
        op = x86_emit(t, insn, x86_op_ea_general);
        op->reg = insn->addrsize;
        op->imm = (int32_t)size | (access == X86_WRITE ? X86_EA_WRITE : 0);
    }
    op->base = insn->base;
    op->index = insn->index;
    op->rm = insn->scale;
    op->disp = insn->disp;
    op->aux = insn->seg;
}

/* Makes OP, whose place and disp are set, a way on: in the page by IN_PAGE, if that is possible, or by ELSEWHERE. */
static void set_jump(X86Translation *t, X86Op *op, unsigned opsize, X86Fn *in_page, X86Fn *elsewhere)
{
    const int64_t to = (int64_t)op->pc_off + op->len + op->disp;
    const bool wide = t->code_flags & X86_CODE_64 || opsize == 4;

    op->aux = (uint8_t)opsize;
    op->fn = wide && to >= 0 && to < (int64_t)X86_PAGE && !(t->code_flags & X86_CODE_ONE) ? in_page : elsewhere;
}

static void set_branch(X86Translation *t, X86Op *op, unsigned opsize, X86Fn *in_page)
{
    set_jump(t, op, opsize, in_page, x86_op_jmp_page);
    if (t->code_flags & X86_CODE_LIMIT) {
        op->fn = x86_op_jmp_limit;
    }
}

void x86_emit_jump(X86Translation *t, const X86Insn *insn)
{
    X86Op *op = x86_emit(t, insn, NULL);

    op->disp = (int32_t)insn->imm;
    set_branch(t, op, insn->opsize, x86_op_jmp);
    t->ended = true;
}

void x86_add_exit(X86Translation *t, const X86Insn *insn, unsigned op)
{
    const unsigned n = t->exits++;

    t->exit[n].op = (uint16_t)op;
    t->exit[n].opsize = insn->opsize;
    t->exit[n].place = (X86Op) { .pc_off = insn->pc_off, .len = insn->len, .disp = (int32_t)insn->imm };
}

static void finish(X86Translation *t, const X86Insn *last)
{
    if (!t->ended) {
        X86Op *op = x86_emit(t, last, NULL);

        set_jump(t, op, t->code_flags & X86_CODE_64 ? 8 : 4, x86_op_jmp, x86_op_next_page);
    }
    for (unsigned i = 0; i < t->exits; i++) {
        X86Op *exit = &t->ops[t->count++];

        *exit = t->exit[i].place;
        set_branch(t, exit, t->exit[i].opsize, x86_op_exit);
        exit->next = &t->ops[t->exit[i].op];
        t->ops[t->exit[i].op].next = exit;
    }
}

/* The instruction among the COUNT of INSNS that the conditional branch INSN goes to, or COUNT. */
static unsigned branch_target(uint32_t code_flags, const X86Insn *insns, unsigned count, const X86Insn *insn)
{
    const int64_t to = (int64_t)insn->pc_off + insn->len + insn->imm;
    unsigned i = 0;

    if (!(code_flags & X86_CODE_64) || insn->opsize == 2) {
        return count; /* where IP wraps */
    }
    while (i < count && insns[i].pc_off != to) {
        i++;
    }
    return i;
}

/*
 * DEAD[i]: the flags that instruction I leaves are overwritten before anything reads them.  Behind the block and where
 * its branches leave it they are read, but for branches to an instruction of the block itself: loops.
 */
static void find_dead_flags(uint32_t code_flags, const X86Insn *insns, const X86Row *const *rows, unsigned count,
                            bool *dead)
{
    bool before[X86_BLOCK_INSNS + 1]; /* whether they are read from there on */

    if (code_flags & X86_CODE_ALL_FLAGS) {
        memset(dead, 0, count * sizeof(dead[0]));
        return;
    }
    before[count] = true;
    for (unsigned i = count; i-- > 0;) {
        const uint32_t attr = rows[i] ? rows[i]->attr : X86_A_USES;

        dead[i] = !before[i + 1];
        before[i] = (attr & X86_A_USES) || (before[i + 1] && !(attr & X86_A_SETS));
    }
    for (unsigned i = 0; i < count; i++) {
        if (rows[i] && rows[i]->translate == x86_tr_jcc) {
            dead[i] = dead[i] && !before[branch_target(code_flags, insns, count, &insns[i])];
        }
    }
}

unsigned x86_translate(X86Cpu *cpu, uint32_t code_flags, const uint8_t *bytes, unsigned available, unsigned pc_off,
                       unsigned limit, X86Op *ops, unsigned *used)
{
    X86Translation t = { .cpu = cpu, .code_flags = code_flags, .ops = ops };
    X86Insn insns[X86_BLOCK_INSNS];
    const X86Row *rows[X86_BLOCK_INSNS];
    bool dead[X86_BLOCK_INSNS];
    unsigned count = 0, at = 0;
    bool bad = false;

    while (count < limit && at < available && !bad) {
        X86DecodeResult result = x86_decode(cpu, code_flags, bytes + at, MIN(available - at, X86_INSN_MAX),
                                            (uint16_t)(pc_off + at), &insns[count], &rows[count]);

        if (result == X86_DECODE_MORE) {
            break;
        }
        bad = result != X86_DECODE_OK;
        if (bad) {
            insns[count].len = 1;
            insns[count].pc_off = (uint16_t)(pc_off + at);
            rows[count] = NULL;
            insns[count].imm = result == X86_DECODE_TOO_LONG ? X86_EXC_GP : X86_EXC_UD;
        }
        at += insns[count].len;
        count++;
        if (!bad && (rows[count - 1]->attr & X86_A_END)) {
            break;
        }
    }
    *used = at;
    if (count == 0) {
        return 0;
    }
    if ((code_flags & (X86_CODE_LIMIT | X86_CODE_ONE)) == X86_CODE_LIMIT) {
        x86_emit(&t, &insns[0], x86_op_limit)->imm = (int32_t)at;
    }
    find_dead_flags(code_flags, insns, rows, count, dead);
    for (unsigned i = 0; i < count && !t.ended; i++) {
        t.previous_op = t.insn_op;
        t.insn_op = t.count;
        t.flags_dead = dead[i];
        t.last = i + 1 == count;
        if (rows[i] == NULL) {
            x86_emit_raise(&t, &insns[i], (int)insns[i].imm);
            break;
        }
        if (!(rows[i]->attr & X86_A_KEEPS)) {
            t.known = X86_KNOWN_NONE;
        }
        rows[i]->translate(&t, &insns[i], rows[i]);
    }
    finish(&t, &insns[count - 1]);
    x86_pair_up(ops, t.count);
    return t.count;
}
