// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * setuid_victim: a program of root's that anybody may run with root's rights, of which everybody
 * knows where its code is. Says "root", waits for a line, and says "intact", or "gained" if it
 * takes its user for an administrator by then.
 */
#include <stdio.h>
#include <unistd.h>
#include "wl.h"

/* At 0x20000000. It begins with a jump, as a function does into which stubs were put. */
int is_admin(void);
__asm__(".pushsection .victim, \"ax\"\n"
	".globl is_admin\n"
	"is_admin:\n"
	"	.byte 0xe9\n"
	"	.long 1f - . - 4\n"
	"	ret\n"
	".org 0x2000, 0xcc\n"
	"1:	xor %eax, %eax\n"
	"	ret\n"
	".popsection\n");

int main(void)
{
	char line[64];

	wl_say(geteuid() ? "nobody" : "root");
	if (fgets(line, sizeof(line), stdin))
		wl_say(is_admin() ? "gained" : "intact");
	return 0;
}
