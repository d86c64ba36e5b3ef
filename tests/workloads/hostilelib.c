/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostilelib.c - what hostile.c loads under a name that no terminal should see as it is. */
#include <stdlib.h>

void *hostile_alloc(size_t n)
{
	return malloc(n);
}
