/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which handler an x87 instruction has, by escape (D8 to DF) and ModRM.
 *
 * Runs in: mpqemu.
 *
 * Source: AMD64 APM volume 3, appendix A.2, "x87 Encodings"; the undocumented aliases that all processors have (D9 D8,
 * DC D0, DD C8, DE D0, DF C0 and their like) are there, since the hardware carries them out.
 */
#include "target/i386/decode.h"
#include "target/i386/ops-x87.h"

#define LD x86_op_x87_load
#define ST x86_op_x87_store

X86Fn *const x86_x87_mem[8][8] = {
    { LD, LD, LD, LD, LD, LD, LD, LD },
    { LD, NULL, ST, ST, x86_op_fldenv, x86_op_fldcw, x86_op_fnstenv, x86_op_fnstcw },
    { LD, LD, LD, LD, LD, LD, LD, LD },
    { LD, ST, ST, ST, NULL, LD, NULL, ST },
    { LD, LD, LD, LD, LD, LD, LD, LD },
    { LD, ST, ST, ST, x86_op_frstor, NULL, x86_op_fnsave, x86_op_fnstsw },
    { LD, LD, LD, LD, LD, LD, LD, LD },
    { LD, ST, ST, ST, LD, LD, ST, ST },
};

#define STORE(bytes) ((bytes) | X86_OPERAND_WRITE)
#define WIDE(bytes) ((bytes) | X86_OPERAND_WIDE)

const uint16_t x86_x87_operand[8][8] = {
    { 4, 4, 4, 4, 4, 4, 4, 4 },
    { 4, 0, STORE(4), STORE(4), WIDE(14), 2, STORE(WIDE(14)), STORE(2) },
    { 4, 4, 4, 4, 4, 4, 4, 4 },
    { 4, STORE(4), STORE(4), STORE(4), 0, 10, 0, STORE(10) },
    { 8, 8, 8, 8, 8, 8, 8, 8 },
    { 8, STORE(8), STORE(8), STORE(8), WIDE(94), 0, STORE(WIDE(94)), STORE(2) },
    { 2, 2, 2, 2, 2, 2, 2, 2 },
    { 2, STORE(2), STORE(2), STORE(2), 10, 8, STORE(10), STORE(8) },
};

#define FROM(first, last) [first ... last] = x86_op_x87_reg
#define CMOV(first, last) [first ... last] = x86_op_fcmov
#define COMI(first, last) [first ... last] = x86_op_fcomi
#define NOPS(first, last) [first ... last] = x86_op_x87_nop

/* Index is ModRM - 0xc0. */
X86Fn *const x86_x87_reg[8][64] = {
    { FROM(0x00, 0x3f) },
    /* FLD, FXCH; FNOP; FCHS, FABS; FTST, FXAM; constants; functions */
    { FROM(0x00, 0x10), FROM(0x18, 0x1f), FROM(0x20, 0x21), FROM(0x24, 0x25), FROM(0x28, 0x2e), FROM(0x30, 0x3f) },
    /* FCMOVB, E, BE, U; FUCOMPP */
    { CMOV(0x00, 0x1f), FROM(0x29, 0x29) },
    /* FCMOVNB, NE, NBE, NU; FENI, FDISI; FNCLEX, FNINIT; FSETPM; FUCOMI, FCOMI */
    { CMOV(0x00, 0x1f), NOPS(0x20, 0x21), [0x22] = x86_op_fnclex, [0x23] = x86_op_fninit, NOPS(0x24, 0x24),
      COMI(0x28, 0x37) },
    { FROM(0x00, 0x3f) },
    /* FFREE, FXCH, FST, FSTP, FUCOM, FUCOMP */
    { FROM(0x00, 0x2f) },
    /* FADDP, FMULP, FCOMP; FCOMPP; FSUBRP to FDIVP */
    { FROM(0x00, 0x17), FROM(0x19, 0x19), FROM(0x20, 0x3f) },
    /* FFREEP, FXCH, FSTP; FNSTSW AX; FUCOMIP, FCOMIP */
    { FROM(0x00, 0x1f), [0x20] = x86_op_fnstsw_ax, COMI(0x28, 0x37) },
};
