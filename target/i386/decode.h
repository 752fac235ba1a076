/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction decoder and the tables that drive it.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * One X86Row describes one opcode: what follows it (ModRM, immediates), where it is legal, and the function that
 * translates it into operations (translate.h).  Opcodes of x87 and of MMX/SSE are in tables of their own, whose rows
 * name handlers directly.
 */
#ifndef TARGET_I386_DECODE_H
#define TARGET_I386_DECODE_H

#include "target/i386/cpu.h"

#define X86_INSN_MAX 15

typedef enum X86Map { X86_MAP_1, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A, X86_MAPS } X86Map;

enum { X86_REP_NONE, X86_REP_F3, X86_REP_F2 };

/* Mandatory prefix, as an index: 66 counts only without F2 and F3. */
enum { X86_PP_NONE, X86_PP_66, X86_PP_F3, X86_PP_F2, X86_PPS };

typedef struct X86Insn {
    uint8_t len;
    uint8_t map, opcode;
    uint8_t rex;          /* the whole byte, or 0 */
    bool has66, lock;
    uint8_t rep;          /* X86_REP_*: the last of F2 and F3 */
    uint8_t pp;           /* X86_PP_* */
    uint8_t opsize;       /* 2, 4 or 8 */
    uint8_t addrsize;     /* 2, 4 or 8 */
    uint8_t modrm, mod;   /* MOD 3: RM is a register */
    uint8_t reg, rm;      /* with REX.R and REX.B */
    bool is_mem;
    uint8_t base, index;  /* X86_REG_ZERO: none; X86_REG_PAGE: RIP-relative (disp is from the page's start then) */
    uint8_t scale;        /* shift count */
    uint8_t seg;          /* of the memory operand: override or default */
    int8_t seg_override;  /* -1: none */
    int32_t disp;
    int64_t imm;          /* sign-extended; for far pointers and ENTER the first operand */
    uint16_t imm2;        /* selector of a far pointer, ENTER's level */
    uint16_t pc_off;      /* of the first byte in its page */
    const struct X86SseRow *sse; /* with x86_sse_row */
} X86Insn;

typedef struct X86Translation X86Translation;
typedef struct X86Row X86Row;
typedef void X86Translate(X86Translation *t, const X86Insn *insn, const X86Row *row);

struct X86Row {
    X86Translate *translate; /* NULL: #UD */
    uint32_t attr;           /* X86_A_* */
    uint32_t arg;            /* for translate */
    X86Fn *fn, *fn_mem;      /* for translate */
};

/* What follows the opcode. */
#define X86_A_MODRM 0x0001u
#define X86_A_IMM8 0x0002u   /* sign-extended */
#define X86_A_IMMZ 0x0004u   /* 16 or 32 bits by operand size */
#define X86_A_IMMV 0x0008u   /* 16, 32 or 64 bits (MOV reg, imm) */
#define X86_A_IMM16 0x0010u  /* zero-extended */
#define X86_A_MOFFS 0x0020u  /* an address */
#define X86_A_FARPTR 0x0040u
#define X86_A_ENTER 0x0080u
/* Where it is legal. */
#define X86_A_NO64 0x0100u
#define X86_A_ONLY64 0x0200u
#define X86_A_LOCK 0x0400u   /* with a memory operand */
#define X86_A_MEM 0x0800u    /* the operand must be memory */
#define X86_A_REG 0x1000u    /* the operand must be a register */
#define X86_A_PROT 0x2000u   /* not in real mode */
/* Operand size. */
#define X86_A_BYTE 0x4000u   /* 8 bits */
#define X86_A_D64 0x8000u    /* 64 by default in 64-bit mode, or 16 */
#define X86_A_F64 0x10000u   /* always 64 in 64-bit mode */
#define X86_A_GROUP 0x20000u /* x86_groups[arg][ModRM.reg] has the rest */
#define X86_A_END 0x40000u   /* the block ends after it */
#define X86_A_USES 0x80000u  /* reads arithmetic flags, or exposes them */
#define X86_A_KEEPS 0x100000u /* writes none of them */
#define X86_A_NO_MEM 0x400000u /* ModRM.mod counts as 3 whatever it is */
#define X86_A_SETS 0x200000u /* writes all six in any case */

/* opcodes.c */
extern const X86Row x86_map_1[256], x86_map_0f[256];
extern const X86Row x86_groups[][8];
extern const X86Row x86_sse_row, x86_sse_row_imm8, x86_sse_row_end;
/* Integer instructions of the maps 0F 38 and 0F 3A, and those that a mandatory prefix makes of others; NULL: none. */
const X86Row *x86_sparse_row(const X86Cpu *cpu, const X86Insn *insn);

typedef enum X86DecodeResult { X86_DECODE_OK, X86_DECODE_UD, X86_DECODE_TOO_LONG, X86_DECODE_MORE } X86DecodeResult;

/*
 * Decodes the instruction in BYTES, of which AVAILABLE (at most 15) are there, in the mode CODE_FLAGS.  PC_OFF: place
 * of the first byte in its page.  X86_DECODE_MORE: the instruction goes on after AVAILABLE bytes (fewer than 15).
 */
X86DecodeResult x86_decode(const X86Cpu *cpu, uint32_t code_flags, const uint8_t *bytes, unsigned available,
                           uint16_t pc_off, X86Insn *insn, const X86Row **row);

/* ---- MMX and SSE: ops-sse-table.c -------------------------------------------------------------------------------- */

/*
 * Handlers get xmm, mm or general register numbers in op->reg and op->rm (general 8-bit ones do not occur), the
 * immediate byte zero-extended in op->imm, and the address of a memory operand in cpu->ea.  op->aux is the operand
 * size 2, 4 or 8 (8 with REX.W).  Alignment is the handler's business.  In 64-bit code xmm numbers have REX applied,
 * mm numbers not.
 */
typedef struct X86SseRow {
    uint8_t map;      /* X86_MAP_0F, _0F38 or _0F3A */
    uint8_t opcode;
    uint8_t pp;       /* X86_PP_* */
    uint8_t attr;     /* X86_SSE_* */
    X86Fn *reg, *mem; /* NULL: #UD */
    uint8_t group;    /* 0, or X86_SSE_GROUP(n): only with ModRM.reg == n (groups 12 to 15); op->reg is n then */
    uint32_t feature; /* X86_FEAT_* it needs; 0: SSE2 and below */
    uint16_t operand; /* bytes of the memory operand (MASKMOVQ's is implied), with X86_OPERAND_* */
} X86SseRow;
#define X86_OPERAND_GENERAL 0x2000u /* 4 bytes, 8 with REX.W */
#define X86_OPERAND_WIDE 0x4000u    /* 14 more with an operand size of 32 or 64 bits: the x87 environment */
#define X86_OPERAND_WRITE 0x8000u
#define X86_OPERAND_BYTES 0x1fffu
#define X86_SSE_IMM8 0x01u
#define X86_SSE_MMX 0x02u     /* an MMX or x87 state user: CR0.EM is #UD, TS #NM; not subject to CR4.OSFXSR */
#define X86_SSE_W 0x04u       /* only with REX.W: takes precedence over a row without */
#define X86_SSE_FLAGS 0x08u   /* writes arithmetic flags (COMISS, PTEST...), by x86_cc_flags() */
#define X86_SSE_ANY 0x10u     /* with no checks of CR0 and CR4 at all: the handler makes them (FXSAVE, XSAVE) */
#define X86_SSE_END 0x20u     /* the block ends after it: the handler returns x86_leave() */

#define X86_SSE_GROUP(n) (8u | (n))

/* In any order. */
extern const X86SseRow x86_sse_rows[];
extern const unsigned x86_sse_row_count;

/* ---- x87: ops-x87-table.c ---------------------------------------------------------------------------------------- */

/*
 * By ModRM and escape D8-DF.  NULL: #UD.  Handlers get ST's number in op->rm, cpu->ea for memory, and in op->imm the
 * 11 bits of FOP.  op->aux is the operand size (for FLDENV and the like: 2, 4 or 8).  CR0.EM and TS are checked before.
 */
extern X86Fn *const x86_x87_mem[8][8];  /* [escape - 0xd8][ModRM.reg] */
extern X86Fn *const x86_x87_reg[8][64]; /* [escape - 0xd8][ModRM & 0x3f] */
extern const uint16_t x86_x87_operand[8][8]; /* as X86SseRow.operand, by the indices of x86_x87_mem */
/* FCOMI and FUCOMI and their popping forms write flags; FCMOVcc reads them: as X86_SSE_FLAGS, found by opcode. */
X86Fn x86_op_fwait;                     /* 9B; CR0.MP and TS checked before */

#endif
