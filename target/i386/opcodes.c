/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opcode maps.  A row that is not here is #UD, or MMX or SSE (ops-sse-table.c).
 *
 * Thread: any; constant.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

#define MODRM X86_A_MODRM
#define IMM8 X86_A_IMM8
#define IMMZ X86_A_IMMZ
#define IMM16 X86_A_IMM16
#define NO64 X86_A_NO64
#define LOCK X86_A_LOCK
#define MEM X86_A_MEM
#define BYTE X86_A_BYTE
#define D64 X86_A_D64
#define F64 X86_A_F64
#define END (X86_A_END | X86_A_USES) /* what follows may look at flags */
#define USES X86_A_USES
#define KEEPS X86_A_KEEPS
#define SETS X86_A_SETS
#define PROT X86_A_PROT

enum {
    G1_8, G1_Z, G1_I8, G2_8_I, G2_V_I, G2_8_1, G2_V_1, G2_8_CL, G2_V_CL, G3_8, G3_V, G4, G5, G8, GROUP_MOV_8, GROUP_MOV_V,
    GROUP_POP, G6,
};
#define GROUP(n) { .attr = MODRM | X86_A_GROUP, .arg = n }

/* The six forms of an arithmetic operation from opcode BASE on. */
#define ALU(base, alu, flags) \
    [base] = { x86_tr_alu_rm_r, MODRM | BYTE | LOCK | (flags), alu }, \
    [base + 1] = { x86_tr_alu_rm_r, MODRM | LOCK | (flags), alu }, \
    [base + 2] = { x86_tr_alu_r_rm, MODRM | BYTE | (flags), alu }, \
    [base + 3] = { x86_tr_alu_r_rm, MODRM | (flags), alu }, \
    [base + 4] = { x86_tr_alu_acc_i, IMM8 | BYTE | (flags), alu }, \
    [base + 5] = { x86_tr_alu_acc_i, IMMZ | (flags), alu }
#define EIGHT(base, ...) [base ... base + 7] = { __VA_ARGS__ }
#define SIXTEEN(base, ...) [base ... base + 15] = { __VA_ARGS__ }
#define SEG_PUSH(seg) { x86_tr_segment_push, NO64 | KEEPS, seg, x86_op_push_seg }
#define SEG_POP(seg) { x86_tr_segment_push, NO64 | END, seg, x86_op_pop_seg }
#define STRING(base, name, flags) \
    [base] = { x86_tr_string, BYTE | (flags), 0, x86_op_##name }, [base + 1] = { x86_tr_string, (flags), 0, x86_op_##name }
#define PORT(base, imm, name) \
    [base] = { x86_tr_port, BYTE | END | (imm), 0, x86_op_##name }, [base + 1] = { x86_tr_port, END | (imm), 0, x86_op_##name }

const X86Row x86_map_1[256] = {
    ALU(0x00, X86_ALU_ADD, SETS), ALU(0x08, X86_ALU_OR, SETS), ALU(0x10, X86_ALU_ADC, SETS | USES),
    ALU(0x18, X86_ALU_SBB, SETS | USES), ALU(0x20, X86_ALU_AND, SETS), ALU(0x28, X86_ALU_SUB, SETS),
    ALU(0x30, X86_ALU_XOR, SETS),
    [0x38] = { x86_tr_alu_rm_r, MODRM | BYTE | SETS, X86_ALU_CMP },
    [0x39] = { x86_tr_alu_rm_r, MODRM | SETS, X86_ALU_CMP },
    [0x3a] = { x86_tr_alu_r_rm, MODRM | BYTE | SETS, X86_ALU_CMP },
    [0x3b] = { x86_tr_alu_r_rm, MODRM | SETS, X86_ALU_CMP },
    [0x3c] = { x86_tr_alu_acc_i, IMM8 | BYTE | SETS, X86_ALU_CMP },
    [0x3d] = { x86_tr_alu_acc_i, IMMZ | SETS, X86_ALU_CMP },
    [0x06] = SEG_PUSH(X86_ES), [0x07] = SEG_POP(X86_ES), [0x0e] = SEG_PUSH(X86_CS),
    [0x16] = SEG_PUSH(X86_SS), [0x17] = SEG_POP(X86_SS), [0x1e] = SEG_PUSH(X86_DS), [0x1f] = SEG_POP(X86_DS),
    [0x27] = { x86_tr_simple, NO64 | USES, 0, x86_op_daa }, [0x2f] = { x86_tr_simple, NO64 | USES, 0, x86_op_das },
    [0x37] = { x86_tr_simple, NO64 | USES, 0, x86_op_aaa }, [0x3f] = { x86_tr_simple, NO64 | USES, 0, x86_op_aas },
    EIGHT(0x40, x86_tr_unary_low, NO64, X86_UN_INC),
    EIGHT(0x48, x86_tr_unary_low, NO64, X86_UN_DEC),
    EIGHT(0x50, x86_tr_push_low, D64 | KEEPS),
    EIGHT(0x58, x86_tr_pop_low, D64 | KEEPS),
    [0x60] = { x86_tr_simple, NO64 | KEEPS, 0, x86_op_pusha }, [0x61] = { x86_tr_simple, NO64 | KEEPS, 0, x86_op_popa },
    [0x62] = { x86_tr_bound, MODRM | MEM | NO64 | KEEPS },
    [0x63] = { x86_tr_arpl_movsxd, MODRM | KEEPS, 1 | X86_S32 << 1 },
    [0x68] = { x86_tr_push_i, IMMZ | D64 | KEEPS },
    [0x69] = { x86_tr_imul_i, MODRM | IMMZ | SETS },
    [0x6a] = { x86_tr_push_i, IMM8 | D64 | KEEPS },
    [0x6b] = { x86_tr_imul_i, MODRM | IMM8 | SETS },
    STRING(0x6c, ins, KEEPS), STRING(0x6e, outs, KEEPS),
    SIXTEEN(0x70, x86_tr_jcc, IMM8 | F64 | KEEPS | USES),
    [0x80] = GROUP(G1_8), [0x81] = GROUP(G1_Z), [0x82] = GROUP(G1_8), [0x83] = GROUP(G1_I8),
    [0x84] = { x86_tr_alu_rm_r, MODRM | BYTE | SETS, X86_ALU_TEST },
    [0x85] = { x86_tr_alu_rm_r, MODRM | SETS, X86_ALU_TEST },
    [0x86] = { x86_tr_xchg, MODRM | BYTE | LOCK | KEEPS }, [0x87] = { x86_tr_xchg, MODRM | LOCK | KEEPS },
    [0x88] = { x86_tr_mov_rm_r, MODRM | BYTE | KEEPS }, [0x89] = { x86_tr_mov_rm_r, MODRM | KEEPS },
    [0x8a] = { x86_tr_mov_r_rm, MODRM | BYTE | KEEPS }, [0x8b] = { x86_tr_mov_r_rm, MODRM | KEEPS },
    [0x8c] = { x86_tr_mov_from_seg, MODRM | KEEPS },
    [0x8d] = { x86_tr_lea, MODRM | MEM | KEEPS },
    [0x8e] = { x86_tr_mov_to_seg, MODRM | END | KEEPS },
    [0x8f] = GROUP(GROUP_POP),
    [0x90] = { x86_tr_nop90, KEEPS },
    [0x91 ... 0x97] = { x86_tr_xchg_acc, KEEPS },
    [0x98] = { x86_tr_simple, KEEPS, 0, x86_op_cbw }, [0x99] = { x86_tr_simple, KEEPS, 0, x86_op_cwd },
    [0x9a] = { x86_tr_far_imm, X86_A_FARPTR | NO64 | END, 0, x86_op_call_far_imm },
    [0x9b] = { x86_tr_fwait, KEEPS },
    [0x9c] = { x86_tr_simple, D64 | KEEPS | USES, 0, x86_op_pushf }, [0x9d] = { x86_tr_simple, D64 | END, 0, x86_op_popf },
    [0x9e] = { x86_tr_simple, USES, 0, x86_op_sahf }, [0x9f] = { x86_tr_simple, KEEPS | USES, 0, x86_op_lahf },
    [0xa0] = { x86_tr_mov_acc_moffs, X86_A_MOFFS | BYTE | KEEPS }, [0xa1] = { x86_tr_mov_acc_moffs, X86_A_MOFFS | KEEPS },
    [0xa2] = { x86_tr_mov_moffs_acc, X86_A_MOFFS | BYTE | KEEPS }, [0xa3] = { x86_tr_mov_moffs_acc, X86_A_MOFFS | KEEPS },
    STRING(0xa4, movs, KEEPS), STRING(0xa6, cmps, USES),
    [0xa8] = { x86_tr_alu_acc_i, IMM8 | BYTE | SETS, X86_ALU_TEST },
    [0xa9] = { x86_tr_alu_acc_i, IMMZ | SETS, X86_ALU_TEST },
    STRING(0xaa, stos, KEEPS), STRING(0xac, lods, KEEPS), STRING(0xae, scas, USES),
    EIGHT(0xb0, x86_tr_mov_low_i, IMM8 | BYTE | KEEPS),
    EIGHT(0xb8, x86_tr_mov_low_i, X86_A_IMMV | KEEPS),
    [0xc0] = GROUP(G2_8_I), [0xc1] = GROUP(G2_V_I),
    [0xc2] = { x86_tr_ret, IMM16 | F64 | END | KEEPS }, [0xc3] = { x86_tr_ret, F64 | END | KEEPS },
    [0xc4] = { x86_tr_load_far, MODRM | MEM | NO64 | END, X86_ES }, [0xc5] = { x86_tr_load_far, MODRM | MEM | NO64 | END, X86_DS },
    [0xc6] = GROUP(GROUP_MOV_8), [0xc7] = GROUP(GROUP_MOV_V),
    [0xc8] = { x86_tr_enter, X86_A_ENTER | D64 | KEEPS }, [0xc9] = { x86_tr_leave, D64 | KEEPS },
    [0xca] = { x86_tr_ret_far, IMM16 | END, 0, x86_op_ret_far }, [0xcb] = { x86_tr_ret_far, END, 0, x86_op_ret_far },
    [0xcc] = { x86_tr_simple, END, 0, x86_op_int3 }, [0xcd] = { x86_tr_int, IMM8 | END, 0, x86_op_int },
    [0xce] = { x86_tr_simple, NO64 | END, 0, x86_op_into }, [0xcf] = { x86_tr_simple, END, 0, x86_op_iret },
    [0xd0] = GROUP(G2_8_1), [0xd1] = GROUP(G2_V_1), [0xd2] = GROUP(G2_8_CL), [0xd3] = GROUP(G2_V_CL),
    [0xd4] = { x86_tr_simple, IMM8 | NO64, 0, x86_op_aam }, [0xd5] = { x86_tr_simple, IMM8 | NO64, 0, x86_op_aad },
    [0xd6] = { x86_tr_simple, NO64 | USES, 0, x86_op_salc }, [0xd7] = { x86_tr_xlat, KEEPS },
    EIGHT(0xd8, x86_tr_x87, MODRM | USES),
    [0xe0 ... 0xe1] = { x86_tr_loop, IMM8 | F64 | KEEPS | USES }, [0xe2 ... 0xe3] = { x86_tr_loop, IMM8 | F64 | KEEPS | USES },
    PORT(0xe4, IMM8, in_imm), PORT(0xe6, IMM8, out_imm), PORT(0xec, 0, in_dx), PORT(0xee, 0, out_dx),
    [0xe8] = { x86_tr_call, IMMZ | F64 | END | KEEPS },
    [0xe9] = { x86_tr_jmp, IMMZ | F64 | END | KEEPS },
    [0xea] = { x86_tr_far_imm, X86_A_FARPTR | NO64 | END, 0, x86_op_jmp_far_imm },
    [0xeb] = { x86_tr_jmp, IMM8 | F64 | END | KEEPS },
    [0xf1] = { x86_tr_simple, END, 0, x86_op_int1 },
    [0xf4] = { x86_tr_simple, END, 0, x86_op_hlt },
    [0xf5] = { x86_tr_simple, USES, 0, x86_op_cmc },
    [0xf6] = GROUP(G3_8), [0xf7] = GROUP(G3_V),
    [0xf8] = { x86_tr_simple, USES, 0, x86_op_clc }, [0xf9] = { x86_tr_simple, USES, 0, x86_op_stc },
    [0xfa] = { x86_tr_simple, KEEPS, 0, x86_op_cli }, [0xfb] = { x86_tr_sti, KEEPS },
    [0xfc] = { x86_tr_simple, KEEPS, 0, x86_op_cld }, [0xfd] = { x86_tr_simple, KEEPS, 0, x86_op_std },
    [0xfe] = GROUP(G4), [0xff] = GROUP(G5),
};

#define G1(attr, i) \
    { { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS, X86_ALU_ADD }, { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS, X86_ALU_OR }, \
      { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS | USES, X86_ALU_ADC }, \
      { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS | USES, X86_ALU_SBB }, \
      { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS, X86_ALU_AND }, { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS, X86_ALU_SUB }, \
      { x86_tr_alu_rm_i, (attr) | (i) | LOCK | SETS, X86_ALU_XOR }, { x86_tr_alu_rm_i, (attr) | (i) | SETS, X86_ALU_CMP } }
/* Counts may be 0: flags are not always written. */
#define G2(attr, f) \
    { { f, (attr) | USES, 0 }, { f, (attr) | USES, 1 }, { f, (attr) | USES, 2 }, { f, (attr) | USES, 3 }, { f, (attr), 4 }, \
      { f, (attr), 5 }, { f, (attr), 6 }, { f, (attr), 7 } }
#define G2_ONE(attr) \
    { { x86_tr_shift_1, (attr) | USES, 0 }, { x86_tr_shift_1, (attr) | USES, 1 }, { x86_tr_shift_1, (attr) | USES, 2 }, \
      { x86_tr_shift_1, (attr) | USES, 3 }, { x86_tr_shift_1, (attr) | SETS, 4 }, { x86_tr_shift_1, (attr) | SETS, 5 }, \
      { x86_tr_shift_1, (attr) | SETS, 6 }, { x86_tr_shift_1, (attr) | SETS, 7 } }
#define G3(attr, i) \
    { { x86_tr_alu_rm_i, (attr) | (i) | SETS, X86_ALU_TEST }, { x86_tr_alu_rm_i, (attr) | (i) | SETS, X86_ALU_TEST }, \
      { x86_tr_unary, (attr) | LOCK | KEEPS, X86_UN_NOT }, { x86_tr_unary, (attr) | LOCK | SETS, X86_UN_NEG }, \
      { x86_tr_muldiv, (attr) | SETS, 4 }, { x86_tr_muldiv, (attr) | SETS, 5 }, { x86_tr_muldiv, (attr), 6 }, \
      { x86_tr_muldiv, (attr), 7 } }

const X86Row x86_groups[][8] = {
    [G1_8] = G1(MODRM | BYTE, IMM8), [G1_Z] = G1(MODRM, IMMZ), [G1_I8] = G1(MODRM, IMM8),
    [G2_8_I] = G2(MODRM | BYTE | IMM8, x86_tr_shift_i), [G2_V_I] = G2(MODRM | IMM8, x86_tr_shift_i),
    [G2_8_1] = G2_ONE(MODRM | BYTE), [G2_V_1] = G2_ONE(MODRM),
    [G2_8_CL] = G2(MODRM | BYTE, x86_tr_shift_cl), [G2_V_CL] = G2(MODRM, x86_tr_shift_cl),
    [G3_8] = G3(MODRM | BYTE, IMM8), [G3_V] = G3(MODRM, IMMZ),
    [G4] = { { x86_tr_unary, MODRM | BYTE | LOCK, X86_UN_INC }, { x86_tr_unary, MODRM | BYTE | LOCK, X86_UN_DEC } },
    [G5] = {
        { x86_tr_unary, MODRM | LOCK, X86_UN_INC }, { x86_tr_unary, MODRM | LOCK, X86_UN_DEC },
        { x86_tr_call_rm, MODRM | F64 | END | KEEPS }, { x86_tr_far_m, MODRM | MEM | END, 0, x86_op_call_far_m },
        { x86_tr_jmp_rm, MODRM | F64 | END | KEEPS }, { x86_tr_far_m, MODRM | MEM | END, 0, x86_op_jmp_far_m },
        { x86_tr_push_rm, MODRM | D64 | KEEPS },
    },
    [G8] = {
        [4] = { x86_tr_bit_i, MODRM | IMM8 | USES, 0 }, [5] = { x86_tr_bit_i, MODRM | IMM8 | LOCK | USES, 1 },
        [6] = { x86_tr_bit_i, MODRM | IMM8 | LOCK | USES, 2 }, [7] = { x86_tr_bit_i, MODRM | IMM8 | LOCK | USES, 3 },
    },
    [GROUP_MOV_8] = { { x86_tr_mov_rm_i, MODRM | BYTE | IMM8 | KEEPS } },
    [GROUP_MOV_V] = { { x86_tr_mov_rm_i, MODRM | IMMZ | KEEPS } },
    [GROUP_POP] = { { x86_tr_pop_rm, MODRM | D64 | KEEPS } },
    [G6] = {
        { x86_tr_rm, MODRM | PROT | END, 2 | 256, x86_op_sldt_r, x86_op_sldt_m },
        { x86_tr_rm, MODRM | PROT | END, 2 | 256, x86_op_str_r, x86_op_str_m },
        { x86_tr_rm, MODRM | PROT | END, 2, x86_op_lldt_r, x86_op_lldt_m },
        { x86_tr_rm, MODRM | PROT | END, 2, x86_op_ltr_r, x86_op_ltr_m },
        { x86_tr_rm, MODRM | PROT | USES, 2, x86_op_verr_r, x86_op_verr_m },
        { x86_tr_rm, MODRM | PROT | USES, 2, x86_op_verw_r, x86_op_verw_m },
    },
};

const X86Row x86_map_0f[256] = {
    [0x00] = GROUP(G6),
    [0x01] = { x86_tr_group7, MODRM | END },
    [0x02] = { x86_tr_rm, MODRM | PROT | USES, 2, x86_op_lar_r, x86_op_lar_m },
    [0x03] = { x86_tr_rm, MODRM | PROT | USES, 2, x86_op_lsl_r, x86_op_lsl_m },
    [0x05] = { x86_tr_simple, END, 0, x86_op_syscall }, [0x06] = { x86_tr_simple, END, 0, x86_op_clts },
    [0x07] = { x86_tr_simple, END, 0, x86_op_sysret },
    [0x08] = { x86_tr_simple, END, 0, x86_op_invd }, [0x09] = { x86_tr_simple, END, 0, x86_op_wbinvd },
    [0x0b] = { x86_tr_ud, END },
    [0x0d] = { x86_tr_nop, MODRM | MEM | KEEPS },           /* PREFETCH, PREFETCHW */
    [0x18 ... 0x1f] = { x86_tr_nop, MODRM | KEEPS },        /* hints, ENDBR, NOP with operand */
    [0x20] = { x86_tr_simple, MODRM | X86_A_NO_MEM | END, 0, x86_op_mov_from_cr },
    [0x21] = { x86_tr_simple, MODRM | X86_A_NO_MEM | END, 0, x86_op_mov_from_dr },
    [0x22] = { x86_tr_simple, MODRM | X86_A_NO_MEM | END, 0, x86_op_mov_to_cr },
    [0x23] = { x86_tr_simple, MODRM | X86_A_NO_MEM | END, 0, x86_op_mov_to_dr },
    [0x30] = { x86_tr_simple, END, 0, x86_op_wrmsr }, [0x31] = { x86_tr_simple, END, 0, x86_op_rdtsc },
    [0x32] = { x86_tr_simple, END, 0, x86_op_rdmsr }, [0x33] = { x86_tr_simple, END, 0, x86_op_rdpmc },
    [0x34] = { x86_tr_simple, END, 0, x86_op_sysenter }, [0x35] = { x86_tr_simple, END, 0, x86_op_sysexit },
    SIXTEEN(0x40, x86_tr_cmov, MODRM | KEEPS | USES),
    SIXTEEN(0x80, x86_tr_jcc, IMMZ | F64 | KEEPS | USES),
    SIXTEEN(0x90, x86_tr_setcc, MODRM | BYTE | KEEPS | USES),
    [0xa0] = { x86_tr_segment_push, D64 | KEEPS, X86_FS, x86_op_push_seg },
    [0xa1] = { x86_tr_segment_push, D64 | END, X86_FS, x86_op_pop_seg },
    [0xa2] = { x86_tr_simple, END, 0, x86_op_cpuid },
    [0xa3] = { x86_tr_bit_r, MODRM | USES, 0 },
    [0xa4] = { x86_tr_shxd_i, MODRM | IMM8, 0 }, [0xa5] = { x86_tr_shxd_cl, MODRM, 0 },
    [0xa8] = { x86_tr_segment_push, D64 | KEEPS, X86_GS, x86_op_push_seg },
    [0xa9] = { x86_tr_segment_push, D64 | END, X86_GS, x86_op_pop_seg },
    [0xab] = { x86_tr_bit_r, MODRM | LOCK | USES, 1 },
    [0xac] = { x86_tr_shxd_i, MODRM | IMM8, 1 }, [0xad] = { x86_tr_shxd_cl, MODRM, 1 },
    [0xaf] = { x86_tr_imul, MODRM | SETS },
    [0xb0] = { x86_tr_cmpxchg, MODRM | BYTE | LOCK | SETS }, [0xb1] = { x86_tr_cmpxchg, MODRM | LOCK | SETS },
    [0xb2] = { x86_tr_load_far, MODRM | MEM | END, X86_SS }, [0xb3] = { x86_tr_bit_r, MODRM | LOCK | USES, 2 },
    [0xb4] = { x86_tr_load_far, MODRM | MEM | END, X86_FS }, [0xb5] = { x86_tr_load_far, MODRM | MEM | END, X86_GS },
    [0xb6] = { x86_tr_movx, MODRM | KEEPS, X86_S8 << 1 }, [0xb7] = { x86_tr_movx, MODRM | KEEPS, X86_S16 << 1 },
    [0xb9] = { x86_tr_ud, MODRM | END },
    [0xba] = GROUP(G8), [0xbb] = { x86_tr_bit_r, MODRM | LOCK | USES, 3 },
    [0xbc] = { x86_tr_scan, MODRM | SETS, X86_SCAN_BSF }, [0xbd] = { x86_tr_scan, MODRM | SETS, X86_SCAN_BSR },
    [0xbe] = { x86_tr_movx, MODRM | KEEPS, 1 | X86_S8 << 1 }, [0xbf] = { x86_tr_movx, MODRM | KEEPS, 1 | X86_S16 << 1 },
    [0xc0] = { x86_tr_xadd, MODRM | BYTE | LOCK | SETS }, [0xc1] = { x86_tr_xadd, MODRM | LOCK | SETS },
    [0xc3] = { x86_tr_movnti, MODRM | MEM | KEEPS },
    EIGHT(0xc8, x86_tr_bswap, KEEPS),
    [0xff] = { x86_tr_ud, MODRM | END },
};

/* ---- what a prefix, ModRM or CPUID decides ----------------------------------------------------------------------- */

const X86Row x86_sse_row = { x86_tr_sse, MODRM };
const X86Row x86_sse_row_imm8 = { x86_tr_sse, MODRM | IMM8 };
const X86Row x86_sse_row_end = { x86_tr_sse, MODRM | END };

typedef struct SparseRow {
    uint8_t map, opcode;
    uint8_t pp;      /* X86_PP_*, or ANY */
    uint8_t modrm;   /* 0: any; 8 + n: ModRM.reg == n */
    uint32_t feature;
    X86Row row;
} SparseRow;
#define ANY 0xff
#define REG(n) (8 | (n))

static const SparseRow sparse[] = {
    { X86_MAP_0F, 0xb8, X86_PP_F3, 0, X86_FEAT_POPCNT, { x86_tr_scan, MODRM | SETS, X86_SCAN_POPCNT } },
    { X86_MAP_0F, 0xae, X86_PP_NONE, REG(5), 0, { x86_tr_simple, MODRM | X86_A_REG | KEEPS, 0, x86_op_mfence } }, /* LFENCE */
    { X86_MAP_0F, 0xae, X86_PP_NONE, REG(6), 0, { x86_tr_simple, MODRM | X86_A_REG | KEEPS, 0, x86_op_mfence } },
    { X86_MAP_0F, 0xae, X86_PP_NONE, REG(7), 0, { x86_tr_rm, MODRM | KEEPS, 1, x86_op_mfence, x86_op_clflush } },
    { X86_MAP_0F, 0xae, X86_PP_F3, REG(0), X86_FEAT_FSGSBASE,
      { x86_tr_simple, MODRM | X86_A_REG | X86_A_ONLY64 | END, 0, x86_op_rdfsbase } },
    { X86_MAP_0F, 0xae, X86_PP_F3, REG(1), X86_FEAT_FSGSBASE,
      { x86_tr_simple, MODRM | X86_A_REG | X86_A_ONLY64 | END, 0, x86_op_rdgsbase } },
    { X86_MAP_0F, 0xae, X86_PP_F3, REG(2), X86_FEAT_FSGSBASE,
      { x86_tr_simple, MODRM | X86_A_REG | X86_A_ONLY64 | END, 0, x86_op_wrfsbase } },
    { X86_MAP_0F, 0xae, X86_PP_F3, REG(3), X86_FEAT_FSGSBASE,
      { x86_tr_simple, MODRM | X86_A_REG | X86_A_ONLY64 | END, 0, x86_op_wrgsbase } },
    { X86_MAP_0F, 0xc7, ANY, REG(1), 0, { x86_tr_cmpxchg8b, MODRM | MEM | LOCK | USES } },
    { X86_MAP_0F, 0xc7, X86_PP_NONE, REG(6), X86_FEAT_RDRAND, { x86_tr_random, MODRM | X86_A_REG | SETS } },
    { X86_MAP_0F, 0xc7, X86_PP_66, REG(6), X86_FEAT_RDRAND, { x86_tr_random, MODRM | X86_A_REG | SETS } },
    { X86_MAP_0F, 0xc7, X86_PP_NONE, REG(7), X86_FEAT_RDSEED, { x86_tr_random, MODRM | X86_A_REG | SETS } },
    { X86_MAP_0F, 0xc7, X86_PP_66, REG(7), X86_FEAT_RDSEED, { x86_tr_random, MODRM | X86_A_REG | SETS } },
    { X86_MAP_0F38, 0x82, X86_PP_66, 0, X86_FEAT_INVPCID, { x86_tr_ea, MODRM | MEM | PROT | END, 16, x86_op_invpcid } },
    { X86_MAP_0F38, 0xf0, X86_PP_F2, 0, X86_FEAT_SSE42, { x86_tr_scan, MODRM | KEEPS, X86_SCAN_CRC32_8 } },
    { X86_MAP_0F38, 0xf1, X86_PP_F2, 0, X86_FEAT_SSE42, { x86_tr_scan, MODRM | KEEPS, X86_SCAN_CRC32 } },
    { X86_MAP_0F38, 0xf0, X86_PP_NONE, 0, X86_FEAT_MOVBE, { x86_tr_movbe_load, MODRM | MEM | KEEPS } },
    { X86_MAP_0F38, 0xf0, X86_PP_66, 0, X86_FEAT_MOVBE, { x86_tr_movbe_load, MODRM | MEM | KEEPS } },
    { X86_MAP_0F38, 0xf1, X86_PP_NONE, 0, X86_FEAT_MOVBE, { x86_tr_movbe_store, MODRM | MEM | KEEPS } },
    { X86_MAP_0F38, 0xf1, X86_PP_66, 0, X86_FEAT_MOVBE, { x86_tr_movbe_store, MODRM | MEM | KEEPS } },
};

const X86Row *x86_sparse_row(const X86Cpu *cpu, const X86Insn *insn)
{
    if (insn->map == X86_MAP_1) {
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(sparse); i++) {
        const SparseRow *s = &sparse[i];

        if (s->opcode == insn->opcode && s->map == insn->map && (s->pp == ANY || s->pp == insn->pp) &&
            (s->modrm == 0 || s->modrm == REG(insn->modrm >> 3 & 7)) && !(s->feature & ~cpu->features) &&
            !((s->row.attr & X86_A_REG) && insn->is_mem) && !((s->row.attr & X86_A_MEM) && !insn->is_mem)) {
            return &s->row;
        }
    }
    return NULL;
}
