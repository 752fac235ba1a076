/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of instructions that come by the dozen, for ops-sse*.c (which makes handlers) and ops-sse-table.c (which makes
 * rows). Runs in: mpqemu.
 *
 * Source: AMD64 APM volumes 4 and 5; Intel SDM volume 2 for SSSE3 to SSE4.2 and AES.
 */

/* I(name, map, opcode, prefix, feature): xmm, xmm/m128, integers or bits; no exceptions but #GP for an unaligned operand. */
#define SSE_INTEGER_LIST(I) \
    I(andps, 0F, 0x54, NONE, 0) I(andnps, 0F, 0x55, NONE, 0) I(orps, 0F, 0x56, NONE, 0) I(xorps, 0F, 0x57, NONE, 0) \
    I(andpd, 0F, 0x54, 66, 0) I(andnpd, 0F, 0x55, 66, 0) I(orpd, 0F, 0x56, 66, 0) I(xorpd, 0F, 0x57, 66, 0) \
    I(unpcklps, 0F, 0x14, NONE, 0) I(unpckhps, 0F, 0x15, NONE, 0) I(unpcklpd, 0F, 0x14, 66, 0) \
    I(unpckhpd, 0F, 0x15, 66, 0) I(rcpps, 0F, 0x53, NONE, 0) I(rsqrtps, 0F, 0x52, NONE, 0) \
    I(punpcklqdq, 0F, 0x6c, 66, 0) I(punpckhqdq, 0F, 0x6d, 66, 0) \
    I(movsldup, 0F, 0x12, F3, X86_FEAT_SSE3) I(movshdup, 0F, 0x16, F3, X86_FEAT_SSE3) \
    I(pmuldq, 0F38, 0x28, 66, X86_FEAT_SSE41) I(pcmpeqq, 0F38, 0x29, 66, X86_FEAT_SSE41) \
    I(packusdw, 0F38, 0x2b, 66, X86_FEAT_SSE41) I(pcmpgtq, 0F38, 0x37, 66, X86_FEAT_SSE42) \
    I(pminsb, 0F38, 0x38, 66, X86_FEAT_SSE41) I(pminsd, 0F38, 0x39, 66, X86_FEAT_SSE41) \
    I(pminuw, 0F38, 0x3a, 66, X86_FEAT_SSE41) I(pminud, 0F38, 0x3b, 66, X86_FEAT_SSE41) \
    I(pmaxsb, 0F38, 0x3c, 66, X86_FEAT_SSE41) I(pmaxsd, 0F38, 0x3d, 66, X86_FEAT_SSE41) \
    I(pmaxuw, 0F38, 0x3e, 66, X86_FEAT_SSE41) I(pmaxud, 0F38, 0x3f, 66, X86_FEAT_SSE41) \
    I(pmulld, 0F38, 0x40, 66, X86_FEAT_SSE41) I(phminposuw, 0F38, 0x41, 66, X86_FEAT_SSE41) \
    I(aesimc, 0F38, 0xdb, 66, X86_FEAT_AES) I(aesenc, 0F38, 0xdc, 66, X86_FEAT_AES) \
    I(aesenclast, 0F38, 0xdd, 66, X86_FEAT_AES) I(aesdec, 0F38, 0xde, 66, X86_FEAT_AES) \
    I(aesdeclast, 0F38, 0xdf, 66, X86_FEAT_AES)

/*
 * B(name, map, opcode, feature): the same with prefix 66, and with MMX registers and an unaligned m64 without it.  The
 * feature of the MMX form is that of the other, but none for those of MMX and SSE itself.
 */
#define SSE_MMX_LIST(B) \
    B(packsswb, 0F, 0x63, 0) B(pcmpgtb, 0F, 0x64, 0) B(pcmpgtw, 0F, 0x65, 0) B(pcmpgtd, 0F, 0x66, 0) \
    B(packuswb, 0F, 0x67, 0) B(punpckhbw, 0F, 0x68, 0) B(punpckhwd, 0F, 0x69, 0) B(punpckhdq, 0F, 0x6a, 0) \
    B(packssdw, 0F, 0x6b, 0) B(pcmpeqb, 0F, 0x74, 0) B(pcmpeqw, 0F, 0x75, 0) B(pcmpeqd, 0F, 0x76, 0) \
    B(psrlw, 0F, 0xd1, 0) B(psrld, 0F, 0xd2, 0) B(psrlq, 0F, 0xd3, 0) B(paddq, 0F, 0xd4, 0) B(pmullw, 0F, 0xd5, 0) \
    B(psubusb, 0F, 0xd8, 0) B(psubusw, 0F, 0xd9, 0) B(pminub, 0F, 0xda, 0) B(pand, 0F, 0xdb, 0) \
    B(paddusb, 0F, 0xdc, 0) B(paddusw, 0F, 0xdd, 0) B(pmaxub, 0F, 0xde, 0) B(pandn, 0F, 0xdf, 0) \
    B(pavgb, 0F, 0xe0, 0) B(psraw, 0F, 0xe1, 0) B(psrad, 0F, 0xe2, 0) B(pavgw, 0F, 0xe3, 0) B(pmulhuw, 0F, 0xe4, 0) \
    B(pmulhw, 0F, 0xe5, 0) B(psubsb, 0F, 0xe8, 0) B(psubsw, 0F, 0xe9, 0) B(pminsw, 0F, 0xea, 0) B(por, 0F, 0xeb, 0) \
    B(paddsb, 0F, 0xec, 0) B(paddsw, 0F, 0xed, 0) B(pmaxsw, 0F, 0xee, 0) B(pxor, 0F, 0xef, 0) B(psllw, 0F, 0xf1, 0) \
    B(pslld, 0F, 0xf2, 0) B(psllq, 0F, 0xf3, 0) B(pmuludq, 0F, 0xf4, 0) B(pmaddwd, 0F, 0xf5, 0) B(psadbw, 0F, 0xf6, 0) \
    B(psubb, 0F, 0xf8, 0) B(psubw, 0F, 0xf9, 0) B(psubd, 0F, 0xfa, 0) B(psubq, 0F, 0xfb, 0) B(paddb, 0F, 0xfc, 0) \
    B(paddw, 0F, 0xfd, 0) B(paddd, 0F, 0xfe, 0) \
    B(pshufb, 0F38, 0x00, X86_FEAT_SSSE3) B(phaddw, 0F38, 0x01, X86_FEAT_SSSE3) B(phaddd, 0F38, 0x02, X86_FEAT_SSSE3) \
    B(phaddsw, 0F38, 0x03, X86_FEAT_SSSE3) B(pmaddubsw, 0F38, 0x04, X86_FEAT_SSSE3) \
    B(phsubw, 0F38, 0x05, X86_FEAT_SSSE3) B(phsubd, 0F38, 0x06, X86_FEAT_SSSE3) \
    B(phsubsw, 0F38, 0x07, X86_FEAT_SSSE3) B(psignb, 0F38, 0x08, X86_FEAT_SSSE3) \
    B(psignw, 0F38, 0x09, X86_FEAT_SSSE3) B(psignd, 0F38, 0x0a, X86_FEAT_SSSE3) \
    B(pmulhrsw, 0F38, 0x0b, X86_FEAT_SSSE3) B(pabsb, 0F38, 0x1c, X86_FEAT_SSSE3) \
    B(pabsw, 0F38, 0x1d, X86_FEAT_SSSE3) B(pabsd, 0F38, 0x1e, X86_FEAT_SSSE3)

/* The same, but the MMX form reads m32. */
#define SSE_MMX_LOW_LIST(B) B(punpcklbw, 0F, 0x60, 0) B(punpcklwd, 0F, 0x61, 0) B(punpckldq, 0F, 0x62, 0)

/* F(name, opcode, prefix, load, feature), map 0F: xmm, xmm/m with MXCSR; LOAD is the memory operand's: aligned, 64 or 32 bits. */
#define SSE_FLOAT_LIST(F) \
    F(sqrtps, 0x51, NONE, _aligned, 0) F(sqrtpd, 0x51, 66, _aligned, 0) F(sqrtss, 0x51, F3, 32, 0) F(sqrtsd, 0x51, F2, 64, 0) \
    F(addps, 0x58, NONE, _aligned, 0) F(addpd, 0x58, 66, _aligned, 0) F(addss, 0x58, F3, 32, 0) F(addsd, 0x58, F2, 64, 0) \
    F(mulps, 0x59, NONE, _aligned, 0) F(mulpd, 0x59, 66, _aligned, 0) F(mulss, 0x59, F3, 32, 0) F(mulsd, 0x59, F2, 64, 0) \
    F(cvtps2pd, 0x5a, NONE, 64, 0) F(cvtpd2ps, 0x5a, 66, _aligned, 0) F(cvtss2sd, 0x5a, F3, 32, 0) \
    F(cvtsd2ss, 0x5a, F2, 64, 0) F(cvtdq2ps, 0x5b, NONE, _aligned, 0) F(cvtps2dq, 0x5b, 66, _aligned, 0) \
    F(cvttps2dq, 0x5b, F3, _aligned, 0) \
    F(subps, 0x5c, NONE, _aligned, 0) F(subpd, 0x5c, 66, _aligned, 0) F(subss, 0x5c, F3, 32, 0) F(subsd, 0x5c, F2, 64, 0) \
    F(minps, 0x5d, NONE, _aligned, 0) F(minpd, 0x5d, 66, _aligned, 0) F(minss, 0x5d, F3, 32, 0) F(minsd, 0x5d, F2, 64, 0) \
    F(divps, 0x5e, NONE, _aligned, 0) F(divpd, 0x5e, 66, _aligned, 0) F(divss, 0x5e, F3, 32, 0) F(divsd, 0x5e, F2, 64, 0) \
    F(maxps, 0x5f, NONE, _aligned, 0) F(maxpd, 0x5f, 66, _aligned, 0) F(maxss, 0x5f, F3, 32, 0) F(maxsd, 0x5f, F2, 64, 0) \
    F(cvttpd2dq, 0xe6, 66, _aligned, 0) F(cvtdq2pd, 0xe6, F3, 64, 0) F(cvtpd2dq, 0xe6, F2, _aligned, 0) \
    F(rcpss, 0x53, F3, 32, 0) F(rsqrtss, 0x52, F3, 32, 0) \
    F(haddpd, 0x7c, 66, _aligned, X86_FEAT_SSE3) F(haddps, 0x7c, F2, _aligned, X86_FEAT_SSE3) \
    F(hsubpd, 0x7d, 66, _aligned, X86_FEAT_SSE3) F(hsubps, 0x7d, F2, _aligned, X86_FEAT_SSE3) \
    F(addsubpd, 0xd0, 66, _aligned, X86_FEAT_SSE3) F(addsubps, 0xd0, F2, _aligned, X86_FEAT_SSE3)

/* C(name, prefix, load): the compares of opcode 0F C2 by their predicate. */
#define SSE_COMPARE_LIST(C) C(cmpps, NONE, _aligned) C(cmppd, 66, _aligned) C(cmpss, F3, 32) C(cmpsd, F2, 64)

/* X(name, opcode, load), map 0F38, prefix 66: widening moves of SSE4.1. */
#define SSE_EXTEND_LIST(X) \
    X(pmovsxbw, 0x20, 64) X(pmovsxbd, 0x21, 32) X(pmovsxbq, 0x22, 16) X(pmovsxwd, 0x23, 64) X(pmovsxwq, 0x24, 32) \
    X(pmovsxdq, 0x25, 64) X(pmovzxbw, 0x30, 64) X(pmovzxbd, 0x31, 32) X(pmovzxbq, 0x32, 16) X(pmovzxwd, 0x33, 64) \
    X(pmovzxwq, 0x34, 32) X(pmovzxdq, 0x35, 64)

/* N(name, opcode, prefix, load): compares that set EFLAGS. */
#define SSE_FLAGS_LIST(N) \
    N(ucomiss, 0x2e, NONE, 32) N(ucomisd, 0x2e, 66, 64) N(comiss, 0x2f, NONE, 32) N(comisd, 0x2f, 66, 64)

/* G(name, opcode, prefix, load): conversions to a general register of 32 or, with REX.W, 64 bits. */
#define SSE_TO_GENERAL_LIST(G) \
    G(cvttss2si, 0x2c, F3, 32) G(cvttsd2si, 0x2c, F2, 64) G(cvtss2si, 0x2d, F3, 32) G(cvtsd2si, 0x2d, F2, 64)

/* S(name, opcode, group): shifts by an immediate, of xmm and mm registers alike, as the shift by a register of this name. */
#define SSE_SHIFT_LIST(S) \
    S(psrlw, 0x71, 2) S(psraw, 0x71, 4) S(psllw, 0x71, 6) S(psrld, 0x72, 2) S(psrad, 0x72, 4) S(pslld, 0x72, 6) \
    S(psrlq, 0x73, 2) S(psllq, 0x73, 6)

/* R(name, opcode, load), map 0F3A, prefix 66: rounding of SSE4.1, by the low four bits of the immediate. */
#define SSE_ROUND_LIST(R) \
    R(roundps, 0x08, _aligned) R(roundpd, 0x09, _aligned) R(roundss, 0x0a, 32) R(roundsd, 0x0b, 64)
