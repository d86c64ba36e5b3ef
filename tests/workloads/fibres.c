/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fibres DEPTH: ten blocks each from a ucontext fibre, from a fibre that returns into code like
 * boost.context's, from code whose frame pointer leads to a zero, and from DEPTH frames of
 * recursion; sizes tell them apart. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

void *volatile kept[100];
static int n_kept;
static char stack[1 << 16] __attribute__((aligned(64)));

__attribute__((noinline)) void allocate(size_t size)
{
	kept[n_kept++] = malloc(size);
}

static ucontext_t here, there;

__attribute__((noinline)) void in_ucontext(void)
{
	for (int i = 0; i < 10; i++)
		allocate(1001);
	swapcontext(&there, &here);
}

__attribute__((noinline)) void in_boost(void)
{
	for (int i = 0; i < 10; i++)
		allocate(1002);
}

__attribute__((noinline)) void without_root(void)
{
	for (int i = 0; i < 10; i++)
		allocate(1003);
}

__attribute__((noinline)) int recurse(int depth)
{
	volatile int n = depth;

	if (n)
		return recurse(n - 1) + n;
	for (int i = 0; i < 10; i++)
		allocate(1004);
	return 0;
}

/*
 * Without unwind information, as boost.context's assembly is. fibre_start(function, stack): the
 * function returns into `finish`, which here comes back. guessed_zero: calls the
 * function with the frame pointer at a pair of zeros, above on the stack.
 */
asm(".text\n"
    ".globl fibre_start, guessed_zero\n"
    "fibre_start:\n"
    "	push %rbp\n	push %rbx\n	push %r12\n"
    "	mov %rsp, %r12\n"
    "	mov %rsi, %rsp\n"
    "	lea finish(%rip), %rax\n"
    "	push %rax\n"
    "	xor %ebp, %ebp\n"
    "	jmp *%rdi\n"
    "	nop\n"
    "finish:\n"
    "	.byte 0x48, 0x31, 0xff\n" /* xor %rdi, %rdi: as that assembler encodes it */
    "	call fibre_back\n"
    "	hlt\n"
    "fibre_back:\n"
    "	mov %r12, %rsp\n"
    "	pop %r12\n	pop %rbx\n	pop %rbp\n	ret\n"
    "guessed_zero:\n"
    "	push %rbp\n"
    "	sub $32, %rsp\n"
    "	movq $0, (%rsp)\n	movq $0, 8(%rsp)\n"
    "	mov %rsp, %rbp\n"
    "	sub $8, %rsp\n"
    "	and $-16, %rsp\n"
    "	call *%rdi\n"
    "	lea 32(%rbp), %rsp\n"
    "	pop %rbp\n	ret\n");
void fibre_start(void (*fn)(void), void *top);
void guessed_zero(void (*fn)(void));

int main(int argc, char **argv)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	if (argc < 2 || !fgets(line, sizeof(line), stdin))
		return 1;
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof(stack);
	there.uc_link = &here;
	makecontext(&there, in_ucontext, 0);
	swapcontext(&here, &there);
	memset(stack, 0, sizeof(stack));
	fibre_start(in_boost, stack + sizeof(stack) - 64);
	guessed_zero(without_root);
	recurse(atoi(argv[1]));
	puts("done");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
