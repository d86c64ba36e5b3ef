/* SPDX-License-Identifier: GPL-2.0-or-later */
/* none.c - what stands for fast mode on machines for which there are no stubs (see Makefile). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fast/inject.h"

void (*remote__on_step)(const char *what);

int fast__map(int pid, const struct remote_host *host, struct fast_plan *plan, int text,
	      uint64_t rate, struct fast *f, char why[FAST_WHY])
{
	memset(f, 0, sizeof(*f));
	snprintf(why, FAST_WHY, "only x86-64 programs can be sampled inside");
	return -EOPNOTSUPP;
}

int fast__patch(const struct fast *f, char why[FAST_WHY])
{
	*why = 0;
	return -EOPNOTSUPP;
}

int fast__unpatch(const struct fast *f, char why[FAST_WHY])
{
	*why = 0;
	return -EOPNOTSUPP;
}

size_t fast__patched(const struct fast *f)
{
	return 0;
}

bool fast__mapped(const struct fast *f)
{
	return false;
}

void fast__fini(struct fast *f)
{
}

int fast__set_rate(const struct fast *f, uint64_t rate)
{
	return -EOPNOTSUPP;
}

uint64_t fast__full(const struct fast *f)
{
	return 0;
}

int fast__clean(int pid, const struct remote_host *host, bool look, struct fast_left *ret,
		char why[FAST_WHY])
{
	memset(ret, 0, sizeof(*ret));
	*why = 0;
	return 0;
}
