/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which handlers an MMX or SSE instruction has, by opcode and mandatory prefix.
 *
 * Runs in: mpqemu.
 *
 * Source: AMD64 APM volume 3, appendix A.1; Intel SDM volume 2, appendix A.
 */
#include "target/i386/decode.h"
#include "target/i386/ops-sse.h"

#define PP_NONE X86_PP_NONE
#define PP_66 X86_PP_66
#define PP_F3 X86_PP_F3
#define PP_F2 X86_PP_F2

/* A row: handlers are names without x86_op_, or NONE; OPERAND is the one in memory. */
#define x86_op_NONE NULL
#define ROW(map_, opcode_, pp_, attr_, feature_, reg_, mem_, operand_) \
    { .map = X86_MAP_##map_, .opcode = opcode_, .pp = PP_##pp_, .attr = (uint8_t)(attr_), .group = (attr_) >> 8, \
      .feature = feature_, .reg = x86_op_##reg_, .mem = x86_op_##mem_, .operand = operand_ },
#define BOTH(map, opcode, pp, attr, feature, name, operand) \
    ROW(map, opcode, pp, attr, feature, name##_r, name##_m, operand)

/* Bytes of the operand that an instruction's list says how to load. */
#define LOAD__aligned 16
#define LOAD_64 8
#define LOAD_32 4
#define LOAD_16 2
#define STORE(bytes) ((bytes) | X86_OPERAND_WRITE)
#define GENERAL X86_OPERAND_GENERAL

#define IMM8 X86_SSE_IMM8
#define MMX X86_SSE_MMX
#define FLAGS X86_SSE_FLAGS
#define ANY X86_SSE_ANY
#define GROUP(n) (X86_SSE_GROUP(n) << 8) /* beside the attributes */
#define SSE3 X86_FEAT_SSE3
#define SSSE3 X86_FEAT_SSSE3
#define SSE41 X86_FEAT_SSE41
#define SSE42 X86_FEAT_SSE42

#define INTEGER_ROW(name, map, opcode, pp, feature) BOTH(map, opcode, pp, 0, feature, name, 16)
#define MMX_ROWS(name, map, opcode, feature) \
    BOTH(map, opcode, 66, 0, feature, name, 16) BOTH(map, opcode, NONE, MMX, feature, mmx_##name, 8)
#define MMX_LOW_ROWS(name, map, opcode, feature) \
    BOTH(map, opcode, 66, 0, feature, name, 16) BOTH(map, opcode, NONE, MMX, feature, mmx_##name, 4)
#define FLOAT_ROW(name, opcode, pp, load, feature) BOTH(0F, opcode, pp, 0, feature, name, LOAD_##load)
#define COMPARE_ROW(name, pp, load) BOTH(0F, 0xc2, pp, IMM8, 0, name, LOAD_##load)
#define EXTEND_ROW(name, opcode, load) BOTH(0F38, opcode, 66, 0, SSE41, name, LOAD_##load)
#define FLAGS_ROW(name, opcode, pp, load) BOTH(0F, opcode, pp, FLAGS, 0, name, LOAD_##load)
#define GENERAL_ROW(name, opcode, pp, load) BOTH(0F, opcode, pp, 0, 0, name, LOAD_##load)
#define SHIFT_ROWS(name, opcode, group) \
    ROW(0F, opcode, 66, IMM8 | GROUP(group), 0, name##_imm, NONE, 0) \
    ROW(0F, opcode, NONE, IMM8 | MMX | GROUP(group), 0, mmx_##name##_imm, NONE, 0)
#define ROUND_ROW(name, opcode, load) BOTH(0F3A, opcode, 66, IMM8, SSE41, name, LOAD_##load)

const X86SseRow x86_sse_rows[] = {
    SSE_INTEGER_LIST(INTEGER_ROW)
    SSE_MMX_LIST(MMX_ROWS)
    SSE_MMX_LOW_LIST(MMX_LOW_ROWS)
    SSE_FLOAT_LIST(FLOAT_ROW)
    SSE_COMPARE_LIST(COMPARE_ROW)
    SSE_EXTEND_LIST(EXTEND_ROW)
    SSE_FLAGS_LIST(FLAGS_ROW)
    SSE_TO_GENERAL_LIST(GENERAL_ROW)
    SSE_SHIFT_LIST(SHIFT_ROWS)
    SSE_ROUND_LIST(ROUND_ROW)

    /* moves */
    ROW(0F, 0x10, NONE, 0, 0, mov128_r, mov128_load_u, 16)
    ROW(0F, 0x11, NONE, 0, 0, mov128_reverse_r, mov128_store_u, STORE(16))
    ROW(0F, 0x10, 66, 0, 0, mov128_r, mov128_load_u, 16)
    ROW(0F, 0x11, 66, 0, 0, mov128_reverse_r, mov128_store_u, STORE(16))
    ROW(0F, 0x10, F3, 0, 0, movss_r, movss_load, 4)
    ROW(0F, 0x11, F3, 0, 0, movss_reverse_r, movss_store, STORE(4))
    ROW(0F, 0x10, F2, 0, 0, movsd_r, movsd_load, 8)
    ROW(0F, 0x11, F2, 0, 0, movsd_reverse_r, movsd_store, STORE(8))
    ROW(0F, 0x12, NONE, 0, 0, movhlps, movlps_load, 8)
    ROW(0F, 0x12, 66, 0, 0, NONE, movlps_load, 8)
    BOTH(0F, 0x12, F2, 0, SSE3, movddup, 8)
    ROW(0F, 0x13, NONE, 0, 0, NONE, movlps_store, STORE(8))
    ROW(0F, 0x13, 66, 0, 0, NONE, movlps_store, STORE(8))
    ROW(0F, 0x16, NONE, 0, 0, movlhps, movhps_load, 8)
    ROW(0F, 0x16, 66, 0, 0, NONE, movhps_load, 8)
    ROW(0F, 0x17, NONE, 0, 0, NONE, movhps_store, STORE(8))
    ROW(0F, 0x17, 66, 0, 0, NONE, movhps_store, STORE(8))
    ROW(0F, 0x28, NONE, 0, 0, mov128_r, mov128_load_a, 16)
    ROW(0F, 0x29, NONE, 0, 0, mov128_reverse_r, mov128_store_a, STORE(16))
    ROW(0F, 0x28, 66, 0, 0, mov128_r, mov128_load_a, 16)
    ROW(0F, 0x29, 66, 0, 0, mov128_reverse_r, mov128_store_a, STORE(16))
    ROW(0F, 0x2b, NONE, 0, 0, NONE, mov128_store_a, STORE(16))
    ROW(0F, 0x2b, 66, 0, 0, NONE, mov128_store_a, STORE(16))
    ROW(0F, 0x50, NONE, 0, 0, movmskps, NONE, 0)
    ROW(0F, 0x50, 66, 0, 0, movmskpd, NONE, 0)
    BOTH(0F, 0x6e, 66, 0, 0, movd_to_xmm, GENERAL)
    BOTH(0F, 0x6e, NONE, MMX, 0, movd_to_mmx, GENERAL)
    BOTH(0F, 0x7e, 66, 0, 0, movd_from_xmm, STORE(GENERAL))
    BOTH(0F, 0x7e, NONE, MMX, 0, movd_from_mmx, STORE(GENERAL))
    ROW(0F, 0x7e, F3, 0, 0, movq_r, movq_load, 8)
    ROW(0F, 0xd6, 66, 0, 0, movq_reverse_r, movq_store, STORE(8))
    ROW(0F, 0x6f, 66, 0, 0, mov128_r, mov128_load_a, 16)
    ROW(0F, 0x6f, F3, 0, 0, mov128_r, mov128_load_u, 16)
    ROW(0F, 0x7f, 66, 0, 0, mov128_reverse_r, mov128_store_a, STORE(16))
    ROW(0F, 0x7f, F3, 0, 0, mov128_reverse_r, mov128_store_u, STORE(16))
    ROW(0F, 0x6f, NONE, MMX, 0, movq_mmx_load_r, movq_mmx_load_m, 8)
    ROW(0F, 0x7f, NONE, MMX, 0, movq_mmx_store_r, movq_mmx_store_m, STORE(8))
    ROW(0F, 0xd6, F3, MMX, 0, movq2dq, NONE, 0)
    ROW(0F, 0xd6, F2, MMX, 0, movdq2q, NONE, 0)
    ROW(0F, 0xd7, 66, 0, 0, pmovmskb, NONE, 0)
    ROW(0F, 0xd7, NONE, MMX, 0, pmovmskb_mmx, NONE, 0)
    ROW(0F, 0xe7, 66, 0, 0, NONE, mov128_store_a, STORE(16))
    ROW(0F, 0xe7, NONE, MMX, 0, NONE, movntq_m, STORE(8))
    ROW(0F, 0xf0, F2, 0, SSE3, NONE, mov128_load_u, 16)
    ROW(0F, 0xf7, 66, 0, 0, maskmovdqu, NONE, STORE(16))
    ROW(0F, 0xf7, NONE, MMX, 0, maskmovq, NONE, STORE(8))
    ROW(0F38, 0x2a, 66, 0, SSE41, NONE, mov128_load_a, 16)

    /* conversions to and from general and MMX registers */
    BOTH(0F, 0x2a, F3, 0, 0, cvtsi2ss, GENERAL)
    BOTH(0F, 0x2a, F2, 0, 0, cvtsi2sd, GENERAL)
    BOTH(0F, 0x2a, NONE, MMX, 0, cvtpi2ps, 8)
    BOTH(0F, 0x2a, 66, MMX, 0, cvtpi2pd, 8)
    BOTH(0F, 0x2c, NONE, MMX, 0, cvttps2pi, 8)
    BOTH(0F, 0x2c, 66, MMX, 0, cvttpd2pi, 16)
    BOTH(0F, 0x2d, NONE, MMX, 0, cvtps2pi, 8)
    BOTH(0F, 0x2d, 66, MMX, 0, cvtpd2pi, 16)

    /* shuffles, insertions, extractions */
    BOTH(0F, 0x70, 66, IMM8, 0, pshufd, 16)
    BOTH(0F, 0x70, F3, IMM8, 0, pshufhw, 16)
    BOTH(0F, 0x70, F2, IMM8, 0, pshuflw, 16)
    BOTH(0F, 0x70, NONE, IMM8 | MMX, 0, pshufw, 8)
    ROW(0F, 0x73, 66, IMM8 | GROUP(3), 0, psrldq_imm, NONE, 0)
    ROW(0F, 0x73, 66, IMM8 | GROUP(7), 0, pslldq_imm, NONE, 0)
    BOTH(0F, 0xc4, 66, IMM8, 0, pinsrw, 2)
    BOTH(0F, 0xc4, NONE, IMM8 | MMX, 0, pinsrw_mmx, 2)
    ROW(0F, 0xc5, 66, IMM8, 0, pextrw, NONE, 0)
    ROW(0F, 0xc5, NONE, IMM8 | MMX, 0, pextrw_mmx, NONE, 0)
    BOTH(0F, 0xc6, NONE, IMM8, 0, shufps, 16)
    BOTH(0F, 0xc6, 66, IMM8, 0, shufpd, 16)
    BOTH(0F38, 0x10, 66, 0, SSE41, pblendvb, 16)
    BOTH(0F38, 0x14, 66, 0, SSE41, blendvps, 16)
    BOTH(0F38, 0x15, 66, 0, SSE41, blendvpd, 16)
    BOTH(0F38, 0x17, 66, FLAGS, SSE41, ptest, 16)
    BOTH(0F3A, 0x0c, 66, IMM8, SSE41, blendps, 16)
    BOTH(0F3A, 0x0d, 66, IMM8, SSE41, blendpd, 16)
    BOTH(0F3A, 0x0e, 66, IMM8, SSE41, pblendw, 16)
    BOTH(0F3A, 0x0f, 66, IMM8, SSSE3, palignr, 16)
    BOTH(0F3A, 0x0f, NONE, IMM8 | MMX, SSSE3, palignr_mmx, 8)
    BOTH(0F3A, 0x14, 66, IMM8, SSE41, pextrb, STORE(1))
    ROW(0F3A, 0x15, 66, IMM8, SSE41, pextrw_to_r, pextrw_to_m, STORE(2))
    BOTH(0F3A, 0x16, 66, IMM8, SSE41, pextrd, STORE(GENERAL))
    BOTH(0F3A, 0x17, 66, IMM8, SSE41, extractps, STORE(4))
    BOTH(0F3A, 0x20, 66, IMM8, SSE41, pinsrb, 1)
    BOTH(0F3A, 0x21, 66, IMM8, SSE41, insertps, 4)
    BOTH(0F3A, 0x22, 66, IMM8, SSE41, pinsrd, GENERAL)
    BOTH(0F3A, 0x40, 66, IMM8, SSE41, dpps, 16)
    BOTH(0F3A, 0x41, 66, IMM8, SSE41, dppd, 16)
    BOTH(0F3A, 0x42, 66, IMM8, SSE41, mpsadbw, 16)
    BOTH(0F3A, 0x44, 66, IMM8, X86_FEAT_PCLMUL, pclmulqdq, 16)
    BOTH(0F3A, 0x60, 66, IMM8 | FLAGS, SSE42, pcmpestrm, 16)
    BOTH(0F3A, 0x61, 66, IMM8 | FLAGS, SSE42, pcmpestri, 16)
    BOTH(0F3A, 0x62, 66, IMM8 | FLAGS, SSE42, pcmpistrm, 16)
    BOTH(0F3A, 0x63, 66, IMM8 | FLAGS, SSE42, pcmpistri, 16)
    BOTH(0F3A, 0xdf, 66, IMM8, X86_FEAT_AES, aeskeygenassist, 16)

    /* state */
    ROW(0F, 0x77, NONE, MMX, 0, emms, emms, 0)
    ROW(0F, 0xae, NONE, ANY | GROUP(0), 0, NONE, fxsave, STORE(512))
    ROW(0F, 0xae, NONE, ANY | GROUP(1), 0, NONE, fxrstor, 512)
    ROW(0F, 0xae, NONE, GROUP(2), 0, NONE, ldmxcsr, 4)
    ROW(0F, 0xae, NONE, GROUP(3), 0, NONE, stmxcsr, STORE(4))
    ROW(0F, 0xae, NONE, ANY | GROUP(4), X86_FEAT_XSAVE, NONE, xsave, STORE(576))
    ROW(0F, 0xae, NONE, ANY | GROUP(5), X86_FEAT_XSAVE, NONE, xrstor, 576)
};

const unsigned x86_sse_row_count = sizeof(x86_sse_rows) / sizeof(x86_sse_rows[0]);
