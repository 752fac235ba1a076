/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code of the trials in long mode.  X(name, instructions) is defined where a list is used.
 *
 * Runs in: neither program; a guest's kernel.
 */
#ifndef TESTS_GUEST_PRIVILEGED_TRIALS64_H
#define TESTS_GUEST_PRIVILEGED_TRIALS64_H

#define MSR(name, number, high, low) \
    X(rdmsr_##name, "movl $" #number ", %ecx; rdmsr; xorl %eax, %eax; xorl %edx, %edx") \
    X(wrmsr_##name, "movl $" #number ", %ecx; movl $" #high ", %edx; movl $" #low ", %eax; wrmsr")
#define TO_CR(number, name, value) \
    X(cr##number##_##name, "movabsq $" #value ", %rax; movq %rax, %cr" #number "; movq %cr" #number ", %rax")
#define WITH(register, bits, name, text) \
    X(register##_##name, "movq %" #register ", %rax; orq $" #bits ", %rax; movq %rax, %" #register "; " text)

/* One by one, at CPL 0 and 3. */
#define TRIALS \
    X(clts, "clts") \
    X(hlt_not, "cmpl $1, %ebx; jne 1f; hlt; 1:") \
    X(hlt_user, "movl %cs, %eax; testl $3, %eax; jz 1f; hlt; 1:") \
    X(invd, "invd") \
    X(wbinvd, "wbinvd") \
    X(invlpg, "invlpg (%rsp)") \
    X(invlpg_far, "movabsq $0x900000000000, %rax; invlpg (%rax)") \
    X(invlpg_register, ".byte 0x0f, 0x01, 0xff") \
    X(swapgs, "swapgs; swapgs") \
    X(rdtsc, "rdtsc; xorl %eax, %eax; xorl %edx, %edx") \
    X(rdpmc, "movl $0x100, %ecx; rdpmc") \
    X(cli_sti, "cli; pushfq; popq %rax; sti; cli") \
    X(in, "inb $0x84, %al") \
    X(sgdt, "subq $16, %rsp; sgdt (%rsp); xorl %eax, %eax; movw (%rsp), %ax") \
    X(sidt, "subq $16, %rsp; sidt (%rsp); xorl %eax, %eax; movw (%rsp), %ax") \
    X(sldt, "movl $0x12345678, %eax; sldt %ax; movq $-1, %rdx; sldt %rdx") \
    X(str, "movl $0x12345678, %eax; str %ax; movq $-1, %rdx; str %rdx") \
    X(smsw, "movl $0x12345678, %eax; smsw %ax; smsw %rdx") \
    X(smsw_memory, "pushq $-1; smsw (%rsp); popq %rax") \
    X(lmsw, "movl $0xa, %eax; lmsw %ax; movq %cr0, %rax") \
    X(lmsw_clears_not, "xorl %eax, %eax; lmsw %ax; movq %cr0, %rax") \
    X(lgdt_register, ".byte 0x0f, 0x01, 0xd7") \
    X(clac_stac, "stac; pushfq; popq %rax; clac; pushfq; popq %rdx") \
    X(monitor, "movq %rsp, %rax; xorl %ecx, %ecx; monitor") \
    X(rdfsbase, "rdfsbase %rax") \
    X(wrgsbase, "wrgsbase %rax") \
    X(fsgsbase_on, "movq %cr4, %rax; orl $0x10000, %eax; movq %rax, %cr4; movabsq $0x800000000000, %rax; " \
      "wrfsbase %rax") \
    X(fsbase_works, "movq %cr4, %rax; orl $0x10000, %eax; movq %rax, %cr4; movl $0x123, %eax; wrfsbase %rax; " \
      "xorl %eax, %eax; rdfsbase %rax") \
    X(rdtscp, "rdtscp; xorl %eax, %eax; xorl %edx, %edx") \
    X(tsd, "movq %cr4, %rax; orl $4, %eax; movq %rax, %cr4; rdtsc; xorl %eax, %eax; xorl %edx, %edx") \
    X(pce, "movq %cr4, %rax; orl $0x100, %eax; movq %rax, %cr4; xorl %ecx, %ecx; movl $77, %ecx; rdpmc") \
    X(popf, "pushq $0x47dd7; popfq; pushfq; popq %rax; pushq $2; popfq") \
    X(popf_rf_vm, "pushq $0x30002; popfq; pushfq; popq %rax") \
    X(popf_vif, "pushq $0x1a0002; popfq; pushfq; popq %rax; pushq $2; popfq") \
    X(pop_id, "pushq $0x200002; popfq; pushfq; popq %rax") \
    X(popfw, "pushw $0x3002; popfw; pushfq; popq %rax; pushq $2; popfq") \
    X(int_80, "int $0x80") \
    X(int_81, "int $0x81") \
    X(int_3, "int3") \
    X(int_3_long, "int $3") \
    X(icebp, ".byte 0xf1") \
    X(int_4, "int $4") \
    X(into, ".byte 0xce") \
    X(bound, ".byte 0x62, 0x07") \
    X(ud0, ".byte 0x0f, 0xff, 0xc0") \
    X(ud1, ".byte 0x0f, 0xb9, 0xc0") \
    X(ud2, "ud2") \
    X(salc, ".byte 0xd6") \
    X(lock_mov, ".byte 0xf0, 0x89, 0x00") \
    X(lock_register, ".byte 0xf0, 0x01, 0xc0") \
    X(too_long, ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, " \
      "0x90") \
    X(far_pointer_to_register, ".byte 0xff, 0xe8") \
    X(les_in_64, ".byte 0xc4, 0x00") \
    X(push_es, ".byte 0x06") \
    X(mov_to_cs, ".byte 0x8e, 0xc8") \
    X(mov_from_seg6, ".byte 0x8c, 0xf0") \
    X(cr1, "movq %cr1, %rax") \
    X(cr5, ".byte 0x0f, 0x20, 0xe8") \
    X(cr9, ".byte 0x44, 0x0f, 0x20, 0xc8") \
    X(cr8, "movl $5, %eax; movq %rax, %cr8; movq %cr8, %rax") \
    TO_CR(8, reserved, 0x10) \
    X(cr3, "movq %cr3, %rax; movq %rax, %cr3; xorl %eax, %eax") \
    TO_CR(0, nw_without_cd, 0xa0010033) \
    TO_CR(0, high, 0x180010033) \
    TO_CR(0, et, 0x80010023) \
    TO_CR(0, others, 0x9ffdffff) \
    TO_CR(4, la57, 0x1620) \
    TO_CR(4, bits, 0x6bc) \
    WITH(cr0, 8, ts_fpu, "fld1") \
    WITH(cr0, 8, ts_sse, "xorps %xmm0, %xmm0") \
    WITH(cr0, 8, ts_mmx, "emms") \
    WITH(cr0, 8, ts_wait, "fwait") \
    WITH(cr0, 8, ts_ldmxcsr, "ldmxcsr (%rsp)") \
    WITH(cr0, 8, ts_fxsave, "fxsave (%rsp)") \
    WITH(cr0, 4, em_fpu, "fld1") \
    WITH(cr0, 4, em_sse, "xorps %xmm0, %xmm0") \
    WITH(cr0, 4, em_mmx, "emms") \
    WITH(cr0, 4, em_wait, "fwait") \
    WITH(cr0, 12, em_ts_sse, "xorps %xmm0, %xmm0") \
    WITH(cr0, 12, em_ts_fpu, "fld1") \
    WITH(cr0, 8, ts_pause, "pause; sfence; lfence; mfence; prefetcht0 (%rsp); movnti %eax, -8(%rsp)") \
    WITH(cr0, 8, ts_crc, "xorl %eax, %eax; crc32l %eax, %eax; popcnt %eax, %eax") \
    X(no_osfxsr, "movq %cr4, %rax; andl $~0x200, %eax; movq %rax, %cr4; xorps %xmm0, %xmm0") \
    X(no_osfxsr_fxsave, "movq %cr4, %rax; andl $~0x200, %eax; movq %rax, %cr4; leaq -1024(%rsp), %rax; " \
      "andq $-16, %rax; fxsave (%rax)") \
    X(no_osfxsr_movnti, "movq %cr4, %rax; andl $~0x200, %eax; movq %rax, %cr4; movnti %eax, -8(%rsp)") \
    X(no_osxmmexcpt, "movq %cr4, %rax; andl $~0x400, %eax; movq %rax, %cr4; pushq $0x1d80; ldmxcsr (%rsp); " \
      "movl $1, %eax; cvtsi2sdl %eax, %xmm0; xorps %xmm1, %xmm1; divsd %xmm1, %xmm0") \
    X(sse_exception, "pushq $0x1d80; ldmxcsr (%rsp); movl $1, %eax; cvtsi2sdl %eax, %xmm0; xorps %xmm1, %xmm1; " \
      "divsd %xmm1, %xmm0") \
    X(sse_kept, "pushq $0x1fbf; ldmxcsr (%rsp); movl $1, %eax; cvtsi2sdl %eax, %xmm0; stmxcsr (%rsp); " \
      "movl (%rsp), %eax") \
    X(ldmxcsr_reserved, "pushq $0x11f80; ldmxcsr (%rsp)") \
    X(x87_exception, "pushq $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; nop; fwait") \
    X(x87_by_next, "pushq $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; nop; fld1") \
    X(x87_not_by_control, "pushq $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; fnstsw %ax; fnstcw (%rsp); fnclex; fld1") \
    X(x87_by_mmx, "pushq $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; emms") \
    X(x87_not_by_sse, "pushq $0x37b; fldcw (%rsp); fld1; fldz; fdivrp; xorps %xmm0, %xmm0") \
    X(x87_by_pin, "movq %cr0, %rax; andl $~0x20, %eax; movq %rax, %cr0; pushq $0x37b; fldcw (%rsp); fld1; fldz; " \
      "fdivrp; nop; fld1") \
    X(sysret_not_canonical, "movabsq $0x800000000000, %rcx; movl $2, %r11d; sysretq") \
    X(sysret_32, "movl $0xfffff000, %ecx; movl $2, %r11d; sysretl") \
    X(sysexit_null, "movl $0x174, %ecx; xorl %eax, %eax; xorl %edx, %edx; wrmsr; sysexitl") \
    X(sysenter_null, "sysenter") \
    X(sysexit_not_canonical, "movl $0x174, %ecx; movl $8, %eax; xorl %edx, %edx; wrmsr; " \
      "movabsq $0x800000000000, %rdx; movq %rsp, %rcx; rex.w sysexit") \
    X(no_syscall, "movl $0xc0000080, %ecx; rdmsr; andl $~1, %eax; wrmsr; syscall") \
    X(no_sysret, "movl $0xc0000080, %ecx; rdmsr; andl $~1, %eax; wrmsr; sysretq") \
    X(xsetbv_off, "movl $1, %eax; xorl %ecx, %ecx; xorl %edx, %edx; xsetbv") \
    X(xgetbv_off, "xorl %ecx, %ecx; xgetbv") \
    X(xsetbv, "movq %cr4, %rax; orl $0x40000, %eax; movq %rax, %cr4; movl $3, %eax; xorl %ecx, %ecx; " \
      "xorl %edx, %edx; xsetbv; xgetbv") \
    X(xsetbv_no_x87, "movq %cr4, %rax; orl $0x40000, %eax; movq %rax, %cr4; movl $2, %eax; xorl %ecx, %ecx; " \
      "xorl %edx, %edx; xsetbv") \
    X(xsetbv_ymm_only, "movq %cr4, %rax; orl $0x40000, %eax; movq %rax, %cr4; movl $5, %eax; xorl %ecx, %ecx; " \
      "xorl %edx, %edx; xsetbv") \
    X(xsetbv_1, "movq %cr4, %rax; orl $0x40000, %eax; movq %rax, %cr4; movl $1, %eax; movl $1, %ecx; " \
      "xorl %edx, %edx; xsetbv") \
    X(xsave_off, "andq $-64, %rsp; movl $3, %eax; xorl %edx, %edx; xsave -1024(%rsp)") \
    X(xsave_unaligned, "movq %cr4, %rax; orl $0x40000, %eax; movq %rax, %cr4; andq $-64, %rsp; movl $3, %eax; " \
      "xsave -1016(%rsp)") \
    X(fxsave_unaligned, "andq $-16, %rsp; fxsave -1016(%rsp)") \
    X(movaps_unaligned, "andq $-16, %rsp; movaps 8(%rsp), %xmm0") \
    X(cmpxchg16b_unaligned, "andq $-16, %rsp; cmpxchg16b -8(%rsp)") \
    X(iret_nt, "pushq $0x4002; popfq; iretq") \
    X(iret_ip_not_canonical, "movl %cs, %eax; movl %ss, %ecx; movq %rsp, %rdx; push %rcx; push %rdx; pushq $2; " \
      "push %rax; movabsq $0x800000000000, %rax; push %rax; iretq") \
    X(iret_sp_not_canonical, "movl %cs, %eax; movl %ss, %ecx; movabsq $0x800000000000, %rdx; push %rcx; " \
      "push %rdx; pushq $2; push %rax; leaq 1f(%rip), %rax; push %rax; iretq; 1: nop; movl %esp, %eax") \
    X(iret_null_ss, "movl %cs, %eax; movq %rsp, %rdx; pushq $0; push %rdx; pushq $2; push %rax; " \
      "leaq 1f(%rip), %rax; push %rax; iretq; 1: movl %ss, %eax") \
    X(iret_null_ss_3, "movl %cs, %eax; movq %rsp, %rdx; pushq $3; push %rdx; pushq $2; push %rax; " \
      "leaq 1f(%rip), %rax; push %rax; iretq; 1: movl %ss, %eax") \
    X(iret_flags, "movl %cs, %eax; movl %ss, %ecx; movq %rsp, %rdx; push %rcx; push %rdx; pushq $0x243cd7; " \
      "push %rax; leaq 1f(%rip), %rax; push %rax; iretq; 1: pushfq; popq %rax; pushq $2; popfq") \
    X(iret_vm, "movl %cs, %eax; movl %ss, %ecx; movq %rsp, %rdx; push %rcx; push %rdx; pushq $0x20002; push %rax; " \
      "leaq 1f(%rip), %rax; push %rax; iretq; 1: pushfq; popq %rax") \
    X(iret_32, "movl %cs, %eax; movl %ss, %ecx; movl %esp, %edx; subq $20, %rsp; leaq 1f(%rip), %rbx; " \
      "movl %ebx, (%rsp); movl %eax, 4(%rsp); movl $2, 8(%rsp); movl %edx, 12(%rsp); movl %ecx, 16(%rsp); iretl; " \
      "1: nop") \
    X(lret_imm, "movl %cs, %eax; push %rsp; pushq $0x1234; push %rax; leaq 1f(%rip), %rax; push %rax; lretq $8; " \
      "1: popq %rax; subq %rsp, %rax") \
    X(lret_not_canonical, "movl %cs, %eax; push %rax; movabsq $0x800000000000, %rax; push %rax; lretq") \
    X(call_not_canonical, "movabsq $0x800000000000, %rax; call *%rax") \
    X(ret_not_canonical, "movabsq $0x800000000000, %rax; push %rax; ret") \
    X(stack_not_canonical, "movabsq $0x800000000000, %rax; movq (%rsp,%rax), %rcx") \
    X(rbp_not_canonical, "movabsq $0x800000000000, %rbp; movl (%rbp), %ecx") \
    X(rbp_index_not_canonical, "movabsq $0x800000000000, %rbp; xorl %ebx, %ebx; movl (%rbx,%rbp), %ecx") \
    X(fs_not_canonical, "movabsq $0x800000000000, %rax; movl %fs:(%rax), %ecx") \
    X(fs_rbp_not_canonical, "movabsq $0x800000000000, %rbp; movl %fs:(%rbp), %ecx") \
    X(across_canonical, "movabsq $0x7ffffffffffe, %rax; movl (%rax), %ecx") \
    X(across_top, "movq $-2, %rax; movl (%rax), %ecx") \
    X(enter_not_canonical, "movabsq $0x800000000010, %rsp; enter $16, $0") \
    X(push_not_canonical, "movabsq $0x800000000004, %rsp; pushq %rax") \
    X(dr4, "movq %db4, %rax") \
    X(dr4_de, "movq %cr4, %rax; orl $8, %eax; movq %rax, %cr4; movq %db4, %rax") \
    X(dr6_high, "movabsq $0x100000000, %rax; movq %rax, %db6") \
    X(dr7_high, "movabsq $0x100000400, %rax; movq %rax, %db7") \
    X(dr7_bits, "movl $0xffff, %eax; andl $~0x2000, %eax; movq %rax, %db7; movq %db7, %rax; movl $0x400, %edx; " \
      "movq %rdx, %db7") \
    X(dr6_bits, "movl $0xffffffff, %eax; movq %rax, %db6; movq %db6, %rax") \
    X(dr6_zero, "xorl %eax, %eax; movq %rax, %db6; movq %db6, %rax") \
    X(dr0_not_canonical, "movabsq $0x800000000000, %rax; movq %rax, %db0; movq %db0, %rax; xorl %edx, %edx; " \
      "movq %rdx, %db0") \
    X(dr7_gd, "movl $0x2400, %eax; movq %rax, %db7; movq %db0, %rax") \
    X(divide, "xorl %ecx, %ecx; divl %ecx") \
    X(divide_16, "movw $1, %dx; movw $1, %cx; divw %cx") \
    X(idiv_min, "movl $0x80000000, %eax; cltd; movl $-1, %ecx; idivl %ecx") \
    X(aam_in_64, ".byte 0xd4, 0x0a") \
    X(pop_ss, ".byte 0x17") \
    X(lfs, "pushq $0; movl $0x80, 4(%rsp); lfs (%rsp), %eax; movl %fs, %eax") \
    X(lss, "movl %ss, %eax; subq $16, %rsp; movl %esp, (%rsp); movl %eax, 4(%rsp); lss (%rsp), %eax; movl %ss, %eax") \
    X(jump_to_gate_by_imm, ".byte 0xea, 0, 0, 0, 0, 0, 0") \
    X(vmcall, "vmcall") \
    X(vmmcall, "vmmcall") \
    X(rsm, "rsm") \
    X(cpuid_shape, "movl $0x80000008, %eax; xorl %ecx, %ecx; cpuid; andl $0xff00, %eax; cmpb $48, %ah; setae %al; " \
      "movzbl %al, %eax; xorl %edx, %edx") \
    MSR(tsc_absent, 0x12345, 0, 0) \
    MSR(efer_reserved, 0xc0000080, 0, 0x80000d01) \
    MSR(efer_high, 0xc0000080, 1, 0xd01) \
    MSR(efer_lme, 0xc0000080, 0, 0x801) \
    MSR(lstar, 0xc0000082, 0x8000, 0) \
    MSR(cstar, 0xc0000083, 0x8000, 0) \
    MSR(star, 0xc0000081, 0x1b0008, 0) \
    MSR(sfmask, 0xc0000084, 0, 0xffffffff) \
    MSR(fsbase, 0xc0000100, 0x8000, 0) \
    MSR(kernelgs, 0xc0000102, 0x8000, 0) \
    MSR(sysenter_ip, 0x176, 0x8000, 0) \
    MSR(sysenter_cs, 0x174, 0, 0) \
    MSR(pat, 0x277, 0x7040600, 0x02040600) \
    MSR(apic_base, 0x1b, 0x80000000, 0xfee00900) \
    MSR(microcode, 0x8b, 0, 0) \
    MSR(mtrr_cap, 0xfe, 0, 0)

/* These shut stock's processor down, or leave it with tables of nothing; they come last. */
#define FATAL_TRIALS \
    X(lgdt_not_canonical, "pushq $0x8000; pushq $0; movb $9, 15(%rsp); lgdt 6(%rsp)") \
    TO_CR(3, bit_52, 0x10000000000000) \
    TO_CR(0, pg_without_pe, 0x80000010) \
    TO_CR(0, no_pg, 0x11) \
    TO_CR(4, no_pae, 0x600) \
    TO_CR(4, bit_31, 0x80000620) \
    TO_CR(4, bit_19, 0x80620) \
    TO_CR(4, bit_15, 0x8620) \
    TO_CR(4, vmxe_smxe, 0x4620) \
    TO_CR(4, high, 0x100000620)

/* With single steps and breakpoints; DI is the watched word. */
#define STOPS \
    X(plain, "nop; nop; movl $1, %eax; nop") \
    X(repeat, "movl $3, %ecx; rep stosb; nop; rep stosb; nop") \
    X(port, "movl $0x84, %edx; inb %dx, %al; nop") \
    X(software_interrupt, "nop; int $0x82; nop") \
    X(shadow, "movl %ss, %eax; movl %eax, %ss; nop; nop") \
    X(sti, "sti; nop; cli; nop") \
    X(popf, "pushfq; popfq; nop; pushfq; popq %rax") \
    X(iret, "movl %cs, %eax; movl %ss, %ecx; movq %rsp, %rdx; push %rcx; push %rdx; pushfq; push %rax; " \
      "leaq 1f(%rip), %rax; push %rax; iretq; 1: nop; nop") \
    X(cpuid, "cpuid; nop; xorl %eax, %eax; xorl %edx, %edx; nop") \
    X(write, "movq %rdi, (%rdi); nop; movl (%rdi), %eax; nop; movb $1, 7(%rdi); nop") \
    X(read, "movl 4(%rdi), %eax; nop; movzbl 3(%rdi), %ecx; nop; lock incl (%rdi); nop; movl 8(%rdi), %eax; nop") \
    X(string, "movl $4, %ecx; subq $8, %rdi; rep stosq; nop") \
    X(compare, "leaq 8(%rdi), %rsi; movl $3, %ecx; subq $8, %rdi; repe cmpsq; nop") \
    X(vector, "movups (%rdi), %xmm0; nop; movups %xmm0, (%rdi); nop; movaps -16(%rdi), %xmm1; nop") \
    X(across, "movl %eax, -2(%rdi); nop; movw %ax, -2(%rdi); nop; movl -1(%rdi), %eax; nop") \
    X(jump, "jmp 1f; nop; 1: nop; call 2f; nop; jmp 3f; 2: ret; 3: nop") \
    X(shadowed_write, "movl %ss, %eax; movl %eax, (%rdi); movw (%rdi), %ss; nop; nop") \
    X(exception, "nop; ud2; nop") \
    X(icebp, "nop; .byte 0xf1; nop; int3")

/* With EFLAGS.AC; DI is aligned data. */
#define ALIGNED \
    X(read1, "movb 1(%rdi), %al") \
    X(read2, "movw 2(%rdi), %ax; movw 1(%rdi), %ax") \
    X(read4, "movl 4(%rdi), %eax; movl 2(%rdi), %eax") \
    X(read8, "movq 8(%rdi), %rax; movq 4(%rdi), %rax") \
    X(write2, "movw %ax, 3(%rdi)") \
    X(write8, "movq %rax, 4(%rdi)") \
    X(add, "addl $1, 4(%rdi); addl $1, 1(%rdi)") \
    X(lock, "lock addl $1, 8(%rdi); lock addl $1, 2(%rdi)") \
    X(push, "subq $4, %rsp; pushq %rax") \
    X(pop, "subq $4, %rsp; popq %rax") \
    X(call, "subq $4, %rsp; call 1f; 1: nop") \
    X(string, "incl %ecx; rep stosq; addq $3, %rdi; incl %ecx; rep stosq") \
    X(x87, "fldl 8(%rdi); fldl 4(%rdi)") \
    X(no_page, "movabsq $0x9000000001, %rax; movl (%rax), %ecx") \
    X(sse, "movsd 8(%rdi), %xmm0; movsd 4(%rdi), %xmm0") \
    X(off, "pushfq; andl $~0x40000, (%rsp); popfq; movl 1(%rdi), %eax; pushfq; orl $0x40000, (%rsp); popfq; " \
      "movl 1(%rdi), %eax")

/* Code of 32 bits. */
#define COMPATIBLE \
    X(plain, "movl $-1, %eax; incl %eax; .byte 0x40") \
    X(syscall, "movl $5, %ecx; syscall") \
    X(sysenter, "sysenter") \
    X(into, "movb $127, %al; incb %al; into") \
    X(bound, "pushl $5; pushl $1; movl $7, %eax; boundl %eax, (%esp)") \
    X(aam, "movb $5, %al; aam $0") \
    X(push_cs, "pushl %cs; popl %eax") \
    X(les, "pushl $0x23; pushl $7; les (%esp), %eax; movl %es, %edx") \
    X(lds_null, "pushl $0; pushl $7; lds (%esp), %eax; movl %ss:(%esp), %edx; movl (%esi), %eax") \
    X(swapgs, ".byte 0x0f, 0x01, 0xf8") \
    X(arpl, "movl $0x80, %eax; movl $3, %edx; arpl %dx, %ax; movzwl %ax, %eax") \
    X(high, "movl $0xffffffff, %eax; movl (%eax), %ecx") \
    X(wraps, "movl $-4, %ebx; leal 8(%ebx), %eax; movl $0xfffffffe, %edx; addl %esp, %ebx; movl (%ebx), %edx") \
    X(lret, "pushl %cs; pushl $1f; lretl; 1: nop") \
    X(iret, "pushfl; pushl %cs; pushl $1f; iretl; 1: nop") \
    X(iret_nt, "pushl $0x4002; popfl; iretl") \
    X(pushf_popf, "pushl $0x243ed7; popfl; pushfl; popl %eax; pushl $2; popfl") \
    X(mov_cr0, "movl %cr0, %eax; xorl %eax, %eax") \
    X(daa, "movb $0x9a, %al; daa; movzbl %al, %eax") \
    X(salc, ".byte 0xd6; movzbl %al, %eax") \
    X(cli, "cli") \
    X(in, "inb $0x84, %al; movb $0, %al") \
    X(retf_to_64, "movl %cs, %eax; andl $3, %eax; jz 1f; pushl $0x2b; jmp 2f; 1: pushl $8; 2: pushl $3f; lretl; " \
      "3: nop") \
    X(xlat, "leal 4(%esp), %ebx; movb $0, %al; movl $7, 4(%esp); xlatb; movzbl %al, %eax") \
    X(int_82, "int $0x82") \
    X(int3, "int3") \
    X(push_gs, "pushl $-1; pushl %gs; popl %eax; popl %edx") \
    X(rex_free, ".byte 0x48; movl %eax, %eax")

#endif
