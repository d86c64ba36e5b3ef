/* SPDX-License-Identifier: GPL-2.0-or-later */
/* no_tmpfile COMMAND...: runs it on file systems that know no files without a name. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	if (argc < 2 || !ctx ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(openat), 1,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, O_TMPFILE, O_TMPFILE)) ||
	    seccomp_load(ctx))
		return 125;
	execv(argv[1], argv + 1);
	perror(argv[1]);
	return 126;
}
