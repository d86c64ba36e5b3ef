/* SPDX-License-Identifier: GPL-2.0-or-later */
/* renew.h - for workloads that verify what they hold: a lost or changed byte ends them. */
#ifndef RENEW_H
#define RENEW_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A block of n times the byte v in place of one like it; status 81 if a byte of that is not right, 82
 * if there is none to be had. */
static inline void renew(unsigned char **p, size_t n, unsigned char v)
{
	for (size_t i = 0; *p && i < n; i++) {
		if ((*p)[i] != v)
			_exit(81);
	}
	free(*p);
	*p = malloc(n);
	if (!*p)
		_exit(82);
	memset(*p, v, n);
}

#endif
