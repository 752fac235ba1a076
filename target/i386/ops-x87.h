/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87: handlers, and what MMX and FXRSTOR share with them.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_OPS_X87_H
#define TARGET_I386_OPS_X87_H

#include "target/i386/cpu.h"

/* Makes TOP of the image what is given; every physical register keeps its value. */
void x86_x87_set_top(X86Fpu *fpu, unsigned top);

/* What FNINIT does; the registers keep their bits. */
void x86_x87_init(X86Fpu *fpu);

/* Loads the control word; bits that do not exist are as the hardware has them. */
void x86_x87_set_control(X86Fpu *fpu, uint16_t control);

/* By register: any instruction, FCMOVcc, F(U)COMI(P), and those that need no unit. */
X86Fn x86_op_x87_reg, x86_op_fcmov, x86_op_fcomi, x86_op_fnstsw_ax, x86_op_fnclex, x86_op_fninit, x86_op_x87_nop;

/* By memory operand: reads it, writes it, control and environment. */
X86Fn x86_op_x87_load, x86_op_x87_store, x86_op_fldcw, x86_op_fnstcw, x86_op_fnstsw, x86_op_fldenv, x86_op_fnstenv,
    x86_op_fnsave, x86_op_frstor;

#endif
