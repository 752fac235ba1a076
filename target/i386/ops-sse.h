/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of MMX and SSE instructions.  Names end in _r for register operands and _m for a memory operand.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_OPS_SSE_H
#define TARGET_I386_OPS_SSE_H

#include "target/i386/cpu.h"
#include "target/i386/sse-list.h"

#define SSE_PAIR(name) X86Fn x86_op_##name##_r, x86_op_##name##_m;
#define SSE_QUAD(name) X86Fn x86_op_##name##_r, x86_op_##name##_m, x86_op_mmx_##name##_r, x86_op_mmx_##name##_m;

/* ops-sse.c */
#define DECLARE(name, ...) SSE_PAIR(name)
SSE_INTEGER_LIST(DECLARE)
SSE_FLOAT_LIST(DECLARE)
SSE_EXTEND_LIST(DECLARE)
SSE_FLAGS_LIST(DECLARE)
SSE_TO_GENERAL_LIST(DECLARE)
SSE_COMPARE_LIST(DECLARE)
SSE_ROUND_LIST(DECLARE)
#undef DECLARE
/* The 64-bit forms of SSE_TO_GENERAL_LIST; to and from general and MMX registers. */
SSE_PAIR(cvtsi2ss) SSE_PAIR(cvtsi2sd)
SSE_PAIR(ptest)

/* ops-mmx.c, and the xmm forms in ops-sse.c */
#define DECLARE(name, ...) SSE_QUAD(name)
SSE_MMX_LIST(DECLARE)
SSE_MMX_LOW_LIST(DECLARE)
#undef DECLARE
#define DECLARE(name, ...) X86Fn x86_op_##name##_imm, x86_op_mmx_##name##_imm;
SSE_SHIFT_LIST(DECLARE)
#undef DECLARE
X86Fn x86_op_pslldq_imm, x86_op_psrldq_imm;
X86Fn x86_op_emms, x86_op_maskmovq, x86_op_movq2dq, x86_op_movdq2q, x86_op_pmovmskb_mmx, x86_op_movntq_m;
X86Fn x86_op_movq_mmx_load_r, x86_op_movq_mmx_load_m, x86_op_movq_mmx_store_r, x86_op_movq_mmx_store_m;
X86Fn x86_op_movd_to_mmx_r, x86_op_movd_to_mmx_m, x86_op_movd_from_mmx_r, x86_op_movd_from_mmx_m;
SSE_PAIR(pshufw) SSE_PAIR(pinsrw_mmx)
X86Fn x86_op_pextrw_mmx, x86_op_palignr_mmx_r, x86_op_palignr_mmx_m;
SSE_PAIR(cvtpi2ps) SSE_PAIR(cvtpi2pd) SSE_PAIR(cvttps2pi) SSE_PAIR(cvttpd2pi) SSE_PAIR(cvtps2pi) SSE_PAIR(cvtpd2pi)

/* ops-sse-move.c: whole registers; _a is aligned, _u is not */
X86Fn x86_op_mov128_r, x86_op_mov128_load_a, x86_op_mov128_load_u, x86_op_mov128_store_a, x86_op_mov128_store_u,
    x86_op_mov128_reverse_r;
X86Fn x86_op_movss_r, x86_op_movss_load, x86_op_movss_store, x86_op_movss_reverse_r;
X86Fn x86_op_movsd_r, x86_op_movsd_load, x86_op_movsd_store, x86_op_movsd_reverse_r;
X86Fn x86_op_movq_r, x86_op_movq_load, x86_op_movq_store, x86_op_movq_reverse_r;
X86Fn x86_op_movd_to_xmm_r, x86_op_movd_to_xmm_m, x86_op_movd_from_xmm_r, x86_op_movd_from_xmm_m;
X86Fn x86_op_movhlps, x86_op_movlps_load, x86_op_movlps_store, x86_op_movlhps, x86_op_movhps_load, x86_op_movhps_store;
SSE_PAIR(movddup)
X86Fn x86_op_movmskps, x86_op_movmskpd, x86_op_pmovmskb, x86_op_maskmovdqu;

/* ops-sse-imm.c: shuffles, blends, insertions, extractions, strings */
SSE_PAIR(pshufd) SSE_PAIR(pshufhw) SSE_PAIR(pshuflw) SSE_PAIR(shufps) SSE_PAIR(shufpd) SSE_PAIR(palignr)
SSE_PAIR(pinsrw) SSE_PAIR(pinsrb) SSE_PAIR(pinsrd) SSE_PAIR(insertps)
X86Fn x86_op_pextrw, x86_op_pextrw_to_r, x86_op_pextrw_to_m;
SSE_PAIR(pextrb) SSE_PAIR(pextrd) SSE_PAIR(extractps)
SSE_PAIR(blendps) SSE_PAIR(blendpd) SSE_PAIR(pblendw) SSE_PAIR(blendvps) SSE_PAIR(blendvpd) SSE_PAIR(pblendvb)
SSE_PAIR(dpps) SSE_PAIR(dppd) SSE_PAIR(mpsadbw)
SSE_PAIR(pcmpestrm) SSE_PAIR(pcmpestri) SSE_PAIR(pcmpistrm) SSE_PAIR(pcmpistri)
SSE_PAIR(pclmulqdq) SSE_PAIR(aeskeygenassist)

/* fpu.c */
X86Fn x86_op_fxsave, x86_op_fxrstor, x86_op_ldmxcsr, x86_op_stmxcsr, x86_op_xsave, x86_op_xrstor;

#undef SSE_PAIR
#undef SSE_QUAD

#endif
